/* SPDX-License-Identifier: Apache-2.0
 *
 * Read views: one snapshot, its last_seq, and point reads through it over both tiers.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "os/thread.h"
#include "table/table_int.h"

enum { COLD_WAIT_MS = 10000, COLD_TIMEOUT_MS = 30000 };

struct ReadView {
    Database *db;
    HotSnapshot *snapshot;
    uint64_t pin; /* of the segment files that the snapshot names */
    HotRead mode;
    uint64_t seq;
    bool has_state; /* the state of the partition asked last: statements ask many times for one */
    Partition state_of;
    PartitionState state;
};

Code view_open(Database *db, HotRead mode, ReadView **out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t pin = pins_add(database__pins(db)); /* before the snapshot */
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    Slice value;
    uint64_t seq = 0;
    Code code = hot_get(snapshot, mode, HOT_SYSTEM, SYSTEM_KEY_LAST_SEQ, arena, &value, e);
    if (code == OK && !table__decode_u64(value, &seq))
        code = fail(e, E_CORRUPT, "the record last_seq is damaged");
    if (code != OK && code != E_NOT_FOUND) { /* a new folder has no commit yet */
        hot_snapshot_free(snapshot);
        pins_remove(database__pins(db), pin);
        return code;
    }
    ReadView *view = x_new(ReadView);
    *view = (ReadView){.db = db, .snapshot = snapshot, .pin = pin, .mode = mode, .seq = seq};
    *out = view;
    return OK;
}

void view_close(ReadView *view)
{
    if (!view)
        return;
    hot_snapshot_free(view->snapshot);
    pins_remove(database__pins(view->db), view->pin);
    free(view);
}

void view_close_ptr(ReadView **view)
{
    view_close(*view);
    *view = NULL;
}

uint64_t view_seq(const ReadView *view)
{
    return view->seq;
}

HotSnapshot *view_snapshot(const ReadView *view)
{
    return view->snapshot;
}

HotRead view_mode(const ReadView *view)
{
    return view->mode;
}

Database *view__database(const ReadView *view)
{
    return view->db;
}

Code view__stored_partition(ReadView *view, Partition partition, PartitionState *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice value;
    Code code = hot_get(view->snapshot, view->mode, HOT_SYSTEM, table__state_key(arena, partition),
                        arena, &value, e);
    if (code == E_NOT_FOUND) {
        *out = (PartitionState){0};
        return OK;
    }
    if (code != OK)
        return code;
    return table__decode_state(value, out, e);
}

int64_t view_next_moment_us(const ReadView *view, int64_t now_us)
{
    int64_t last_us = seq_time_us(view_seq(view));
    return ((now_us > last_us ? now_us : last_us) / 1000 + 1) * 1000;
}

uint64_t table_open_since(const Table *table)
{
    return table->opened_at_us ? seq_at(table->opened_at_us) : 0;
}

Code view_partition(ReadView *view, const Table *table, Partition partition, PartitionState *out,
                    Error *e)
{
    if (!view->has_state || !partition_equal(view->state_of, partition)) {
        TRY(view__stored_partition(view, partition, &view->state, e));
        view->state_of = partition;
        view->has_state = true;
    }
    *out = view->state;
    uint64_t floor = database__feed_floor(view->db), async_floor = database__async_floor(view->db);
    uint64_t created = seq_at(table->created_at_us);
    if (!table->durable && floor < async_floor)
        floor = async_floor;
    if (floor < created) /* a cursor from before is one of another table that had this name */
        floor = created;
    if (out->feed_low < floor)
        out->feed_low = floor;
    return OK;
}

Code view_find(ReadView *view, const Table *table, Partition partition, Slice key, Arena *arena,
               Version *out, Error *e)
{
    must(table->kind != TABLE_STREAM);
    CLEANUP(buffer_done) Buffer head = {0};
    table__add_head_key(&head, partition, key);
    Slice value;
    uint64_t seq;
    Code code =
        hot_get(view->snapshot, view->mode, HOT_HEADS, buffer_slice(&head), arena, &value, e);
    if (code != OK)
        return code;
    if (!table__decode_u64(value, &seq))
        return fail(e, E_CORRUPT, "a head of table %.*s is damaged", SLICE_ARGS(table->name));
    PartitionState state;
    TRY(view_partition(view, table, partition, &state, e));
    Version version = {.seq = seq, .is_cold = seq < state.flush_mark};
    SeqKey row_key = table__seq_key(partition, seq);
    code =
        hot_get(view->snapshot, view->mode, HOT_ROWS, table__key_slice(&row_key), arena, &value, e);
    if (code == E_NOT_FOUND && !version.is_cold)
        return fail(e, E_CORRUPT, "the row of a key of table %.*s is missing",
                    SLICE_ARGS(table->name));
    if (code == OK) {
        VersionHeader header;
        TRY(table__decode_row(table__key_slice(&row_key), value, &header, e));
        if (header.kind != VERSION_LIVE)
            return fail(e, E_CORRUPT, "a head of table %.*s points at a deleted row",
                        SLICE_ARGS(table->name));
        version.has_row = true;
        version.prev_seq = header.prev_seq;
        version.row = header.row;
    } else if (code != E_NOT_FOUND) {
        return code;
    }
    *out = version;
    return OK;
}

/* The segments whose seq range meets [from, to]. They are disjoint and keyed by their first seq. */
Code view_segments(ReadView *view, Partition partition, uint64_t from_seq, uint64_t to_seq,
                   Arena *arena, SegmentEntry **out, size_t *out_count, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    SegmentEntry *entries = NULL;
    size_t count = 0, capacity = 0;
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view->snapshot, view->mode, HOT_SEGMENTS,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        SegmentEntry *entry;
        TRY(segment_decode(hot_value(it), arena, &entry, e));
        if (entry->max_seq < from_seq)
            continue;
        if (entry->min_seq > to_seq)
            break;
        if (count == capacity) {
            capacity = capacity ? capacity * 2 : 8;
            SegmentEntry *more = arena_new_array(arena, SegmentEntry, capacity);
            if (count)
                memcpy(more, entries, count * sizeof *entries);
            entries = more;
        }
        entries[count++] = *entry;
    }
    TRY(hot_iterator_end(it, e));
    *out = entries;
    *out_count = count;
    return OK;
}

Code view_dead_at(ReadView *view, Partition partition, uint64_t seq, uint64_t *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SeqKey key = table__seq_key(partition, seq);
    Slice value;
    Code code =
        hot_get(view->snapshot, view->mode, HOT_DEAD, table__key_slice(&key), arena, &value, e);
    if (code == E_NOT_FOUND) {
        *out = 0;
        return OK;
    }
    if (code != OK)
        return code;
    if (!table__decode_u64(value, out))
        return fail(e, E_CORRUPT, "the record of a dead row is damaged");
    return OK;
}

Code view_has_dead(ReadView *view, Partition partition, bool *out, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view->snapshot, view->mode, HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    bool found = hot_next(it);
    TRY(hot_iterator_end(it, e));
    *out = found;
    return OK;
}

/* ---- reading segments ---- */

/* What cold/ needs to know to read some segments of a partition; memory in the arena. */
Code view__segment_list(ReadView *view, const Table *table, Partition partition,
                        const SegmentEntry *entries, size_t count, Arena *arena, SegmentList *out,
                        Error *e)
{
    uint64_t *batches = arena_new_array(arena, uint64_t, count);
    for (size_t i = 0; i < count; i++)
        batches[i] = entries[i].batch;
    Slice folder;
    TRY(table__folder(view->db, view->snapshot, table, partition, arena, &folder, e));
    *out = (SegmentList){
        .storage_root = database_storage_folder(view->db),
        .folder = folder,
        .batches = batches,
        .count = (uint32_t)count,
    };
    return OK;
}

Code view_load_cold(ReadView *view, const Table *table, Partition partition, Arena *arena,
                    Version *io_version, Error *e)
{
    SegmentEntry *entries;
    size_t count;
    uint64_t seq = io_version->seq;
    TRY(view_segments(view, partition, seq, seq, arena, &entries, &count, e));
    if (count == 0)
        return fail(e, E_CORRUPT, "no segment of table %.*s holds the row of a key",
                    SLICE_ARGS(table->name));
    SegmentList list;
    TRY(view_check_segments(view, table, partition, entries, count, e));
    TRY(view__segment_list(view, table, partition, entries, count, arena, &list, e));
    uint64_t pin = view_pin_files(view);
    ColdRow *rows = NULL;
    uint32_t row_count = 0;
    Code code = cold_read_rows(database_engine(view->db), &list, table->schema, &seq, 1, arena,
                               &rows, &row_count, e);
    view_unpin_files(view->db, pin);
    if (code != OK)
        return code;
    if (row_count != 1)
        return fail(e, E_CORRUPT, "a segment of table %.*s lacks the row of a key",
                    SLICE_ARGS(table->name));
    CLEANUP(buffer_done) Buffer row = {0};
    row_encode(table->schema, rows[0].values, &row);
    io_version->row = arena_copy(arena, buffer_slice(&row));
    io_version->has_row = true;
    return OK;
}

uint64_t view_pin_files(ReadView *view)
{
    return pins_add(database__pins(view->db));
}

void view_unpin_files(Database *db, uint64_t pin)
{
    pins_remove(database__pins(db), pin);
}
