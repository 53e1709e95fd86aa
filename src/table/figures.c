/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting a partition: what its segment entries say, less the dead, and what lives at or above the
 * flush mark.
 */
#include "table/figures.h"

#include "cold/cold.h"
#include "table/table_int.h"

static Code count_dead(ReadView *view, Partition partition, uint64_t *out, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), view_mode(view), HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    uint64_t count = 0;
    while (hot_next(it))
        count++;
    TRY(hot_iterator_end(it, e));
    *out = count;
    return OK;
}

static Code count_hot(ReadView *view, const Table *table, Partition partition,
                      PartitionFigures *out, Error *e)
{
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    TRY(row_walk_open(view, table, partition, 0, UINT64_MAX, false, &walk, e));
    bool is_end = false;
    uint64_t seq;
    Slice row;
    for (;;) {
        TRY(row_walk_next(walk, &is_end, &seq, &row, e));
        if (is_end)
            break;
        out->hot_rows++;
        out->hot_bytes += row.size;
    }
    return OK;
}

Code view_count_cold(ReadView *view, Partition partition, uint64_t *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries;
    size_t count;
    uint64_t dead = 0, rows = 0;
    TRY(view_segments(view, partition, 0, UINT64_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++)
        rows += entries[i].row_count;
    TRY(count_dead(view, partition, &dead, e));
    if (dead > rows)
        return fail(e, E_CORRUPT, "more rows of segments are dead than there are");
    *out = rows - dead;
    return OK;
}

Code view_figures(ReadView *view, const Table *table, Partition partition, PartitionFigures *out,
                  Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PartitionFigures figures = {0};
    SegmentEntry *entries;
    size_t count;
    uint64_t dead = 0;
    TRY(view_partition(view, table, partition, &figures.state, e));
    TRY(view_segments(view, partition, 0, UINT64_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        figures.segment_rows += entries[i].row_count;
        figures.segment_bytes += entries[i].size_bytes;
    }
    if (count > 0) {
        figures.min_seq = entries[0].min_seq;
        figures.max_seq = entries[count - 1].max_seq;
    }
    figures.segments = count;
    TRY(count_dead(view, partition, &dead, e));
    TRY(count_hot(view, table, partition, &figures, e));
    if (dead > figures.segment_rows)
        return fail(e, E_CORRUPT, "more rows of segments are dead than there are");
    figures.dead_rows = dead;
    figures.live_rows = figures.segment_rows - dead + figures.hot_rows;
    *out = figures;
    return OK;
}

/* The first partition of the table at or after *io_user with a key in the family. */
static Code find_from(ReadView *view, HotFamily family, uint32_t table_id, uint64_t *io_user,
                      bool *out_found, Error *e)
{
    SeqKey from = table__seq_key((Partition){table_id, *io_user}, 0);
    SeqKey to = table__seq_key((Partition){table_id + 1, 0}, 0);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), view_mode(view), family,
                                        table__key_slice(&from), table__key_slice(&to), false);
    Partition partition;
    uint64_t seq;
    *out_found = hot_next(it);
    if (!*out_found)
        return hot_iterator_end(it, e);
    if (!table__read_seq_key(hot_key(it), &partition, &seq))
        return fail(e, E_CORRUPT, "the key of a row version is damaged");
    *io_user = partition.user;
    return OK;
}

Code view_each_partition(ReadView *view, const Table *table,
                         Code (*visit)(void *context, Partition partition, Error *e), void *context,
                         Error *e)
{
    for (uint64_t user = 0; user < UINT64_MAX; user++) {
        uint64_t hot = user, cold = user;
        bool has_hot, has_cold;
        TRY(find_from(view, HOT_ROWS, table->id, &hot, &has_hot, e));
        TRY(find_from(view, HOT_SEGMENTS, table->id, &cold, &has_cold, e));
        if (!has_hot && !has_cold)
            return OK;
        user = has_hot && (!has_cold || hot < cold) ? hot : cold;
        TRY(visit(context, (Partition){table->id, user}, e));
    }
    return OK;
}

/* ---- all partitions ---- */

typedef struct PartitionWalk {
    HotIterator *it;
    Partition partition; /* of the entry it stands on */
    bool is_end;
} PartitionWalk;

static Code next_entry(PartitionWalk *walk, Error *e)
{
    uint64_t seq;
    walk->is_end = !hot_next(walk->it);
    if (walk->is_end)
        return hot_iterator_end(walk->it, e);
    if (!table__read_seq_key(hot_key(walk->it), &walk->partition, &seq))
        return fail(e, E_CORRUPT, "the key of a row version is damaged");
    return OK;
}

static Code next_partition(PartitionWalk *walk, Error *e)
{
    SeqKey last = table__seq_key(walk->partition, UINT64_MAX);
    hot_seek(walk->it, table__key_slice(&last));
    return next_entry(walk, e);
}

static bool is_before(Partition a, Partition b)
{
    return a.table_id != b.table_id ? a.table_id < b.table_id : a.user < b.user;
}

static Code add_segments(PartitionWalk *cold, Partition partition, Arena *arena, TableTotals *out,
                         Error *e)
{
    while (!cold->is_end && !is_before(partition, cold->partition)) {
        SegmentEntry *entry;
        arena_reset(arena);
        TRY(segment_decode(hot_value(cold->it), arena, &entry, e));
        out->segments++;
        out->segment_rows += entry->row_count;
        out->segment_bytes += entry->size_bytes;
        TRY(next_entry(cold, e));
    }
    return OK;
}

static Code add_totals(PartitionWalk *hot, PartitionWalk *cold, TableTotals *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TRY(next_entry(hot, e));
    TRY(next_entry(cold, e));
    while (!hot->is_end || !cold->is_end) {
        bool has_hot =
            cold->is_end || (!hot->is_end && !is_before(cold->partition, hot->partition));
        Partition partition = has_hot ? hot->partition : cold->partition;
        out->partitions++;
        if (has_hot)
            TRY(next_partition(hot, e));
        TRY(add_segments(cold, partition, arena, out, e));
    }
    return OK;
}

Code database_totals(Database *db, TableTotals *out, Error *e)
{
    TableTotals totals = {0};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    SeqKey from = table__seq_key((Partition){0, 0}, 0);
    SeqKey to = table__seq_key((Partition){UINT32_MAX, UINT64_MAX}, UINT64_MAX);
    Slice lower = table__key_slice(&from), upper = table__key_slice(&to);
    PartitionWalk hot = {
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_ROWS, lower, upper, false), {0}, false};
    PartitionWalk cold = {
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SEGMENTS, lower, upper, false), {0}, false};
    Code code = add_totals(&hot, &cold, &totals, e);
    hot_iterator_close(hot.it);
    hot_iterator_close(cold.it);
    hot_snapshot_free(snapshot);
    if (code == OK)
        *out = totals;
    return code;
}
