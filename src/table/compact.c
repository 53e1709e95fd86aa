/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: neighbouring segments of a partition become one without the rows that died.
 *
 *   1. at a view R: choose segments; their rows, in seq order, less those dead at R, to
 *      batch-<n>.parquet (synced, renamed, folder synced)
 *   2. commit: the old entries go, the new one comes (none when no row is left), the dead records
 *      of the dropped rows go, the old files are listed as obsolete, the batch number is used up
 *   3. manifest.json, a copy for people; later obsolete.c unlinks the old files
 *
 * I1. Before 2 nothing has happened: the file is garbage that the sweep removes. After 2 everything
 *     has.
 * I2. Every row that is dead at R may be dropped, even inside the feed window: past states and
 *     before-images find it in history. The commit that killed it at D wrote it there, and trim
 *     removes it only when feed low reaches D; no past state S < D may be asked for then, since S
 *     >= feed low.
 * I3. Writers go on and never conflict with a compaction. A row that dies between R and the commit
 *     is in the new segment, with a dead record under its seq, which the commit leaves alone: it
 *     deletes only records visible at R. Such a record is always written, because a row of a
 *     segment lies below the flush mark of every snapshot that an intent admitted after the flush
 *     can have been resolved at.
 * I4. A reader sees the old entries with the old dead records, or the new ones with the rest: both
 *     come from one snapshot.
 * I5. A row is rewritten a bounded number of times: by a merge only when its segment is at most
 *     half of what is merged, so log2(2 * SMALL_ROWS) times; for its dead neighbours at most once
 *     per feed window.
 * I6. Damage is not passed on: inputs must have their checksums and give as many rows as their
 *     entries say.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "os/clock.h"
#include "os/throttle.h"
#include "table/compact.h"
#include "table/manifest.h"
#include "table/seq.h"
#include "table/table_int.h"
#include "table/work_done.h"

enum {
    SMALL_ROWS = 100 * 1000, /* larger segments are not merged */
    SMALL_BYTES = 32 * 1024 * 1024,
    MERGE_MIN = 4, /* segments, when nobody asked */
    MERGE_MAX = 64,
    DEAD_DELETES_MAX = 20 * 1000, /* per commit */
    COMMIT_TRIES_MAX = 100,
    BATCH_TRIES_MAX = 1000,
    ENGINE_WAIT_MS = 10 * 1000,
    STOP_CHECK_ROWS = 4096,
};

/* ---- what to do ---- */

typedef struct Piece {
    const SegmentEntry *entry;
    bool has_old_dead; /* rows whose death is old enough to rewrite it */
} Piece;

typedef struct Plan {
    Piece *pieces; /* all segments of the partition, ascending */
    size_t count;
    size_t first, chosen; /* what the next step rewrites; chosen = 0: nothing */
} Plan;

typedef struct Compaction {
    Database *db;
    Table *table;
    Partition partition;
    const CompactOptions *options;
    Arena *arena;
    ReadView *view; /* at R */
    Slice folder;
    Plan plan;
    uint64_t from_seq, to_seq; /* of the chosen segments */
    SegmentEntry *entry;       /* the new segment; NULL when no row is left */
    uint64_t next_batch;
    uint64_t rows_expected, bytes_expected, rows_read, rows_kept;
    bool was_stopped;
} Compaction;

/* Finds the segments with rows that died at or before old_seq: both lists ascend by seq. */
static Code find_old_dead(ReadView *view, Partition partition, uint64_t old_seq, Plan *plan,
                          Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    size_t at = 0;
    while (hot_next(it)) {
        Partition of;
        uint64_t seq, died;
        if (!table__read_seq_key(hot_key(it), &of, &seq) ||
            !table__decode_u64(hot_value(it), &died))
            return fail(e, E_CORRUPT, "the record of a dead row is damaged");
        while (at < plan->count && plan->pieces[at].entry->max_seq < seq)
            at++;
        if (at == plan->count)
            break;
        if (seq < plan->pieces[at].entry->min_seq)
            continue;
        plan->pieces[at].has_old_dead |= died <= old_seq;
    }
    return hot_iterator_end(it, e);
}

static bool is_small(const Piece *piece)
{
    return piece->entry->row_count < SMALL_ROWS && piece->entry->size_bytes < SMALL_BYTES;
}

/* The longest run of neighbours that pays (I5); of equally long ones the one with the fewest
 * rows. */
static void choose_run(Plan *plan, CompactMode mode)
{
    size_t least = mode == COMPACT_ALL ? 2 : MERGE_MIN;
    uint64_t best_rows = UINT64_MAX;
    for (size_t first = 0; first < plan->count; first++) {
        uint64_t rows = 0, bytes = 0, largest = 0;
        for (size_t i = first;
             i < plan->count && i - first < MERGE_MAX && is_small(&plan->pieces[i]); i++) {
            const SegmentEntry *entry = plan->pieces[i].entry;
            size_t length = i - first + 1;
            rows += entry->row_count;
            bytes += entry->size_bytes;
            largest = entry->row_count > largest ? entry->row_count : largest;
            if (rows > 2 * SMALL_ROWS || bytes > 2 * SMALL_BYTES)
                break;
            bool pays = mode == COMPACT_ALL || 2 * largest <= rows; /* I5 */
            bool better = length > plan->chosen || (length == plan->chosen && rows < best_rows);
            if (length < least || !pays || !better)
                continue;
            plan->first = first;
            plan->chosen = length;
            best_rows = rows;
        }
    }
}

static void choose_dead(Plan *plan)
{
    for (size_t i = 0; i < plan->count && plan->chosen == 0; i++) {
        plan->first = i;
        plan->chosen = plan->pieces[i].has_old_dead;
    }
}

/* Deaths up to here make a segment worth rewriting. */
static uint64_t old_seq_of(Database *db, const Table *table, const CompactOptions *options)
{
    if (options->mode == COMPACT_ALL)
        return options->until_seq ? options->until_seq : UINT64_MAX;
    return seq_at(clock_wall_us() - (int64_t)database_feed_window_s(db, table) * 1000000);
}

typedef struct Where {
    const Table *table;
    Partition partition;
} Where;

static Code make_plan(ReadView *view, const Where *where, const CompactOptions *options,
                      Arena *arena, Plan *out, Error *e)
{
    Partition partition = where->partition;
    SegmentEntry *entries;
    Plan plan = {0};
    uint64_t old_seq = old_seq_of(view__database(view), where->table, options);
    TRY(view_segments(view, partition, 0, UINT64_MAX, arena, &entries, &plan.count, e));
    plan.pieces = arena_new_array(arena, Piece, plan.count + 1);
    for (size_t i = 0; i < plan.count; i++)
        plan.pieces[i].entry = &entries[i];
    TRY(find_old_dead(view, partition, old_seq, &plan, e));
    choose_run(&plan, options->mode);
    if (plan.chosen == 0)
        choose_dead(&plan);
    *out = plan;
    return OK;
}

Code compact_is_due(Database *db, const Table *table, Partition partition, bool *out, Error *e)
{
    Where where = {table, partition};
    CompactOptions options = {.mode = COMPACT_DUE};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Plan plan;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    TRY(make_plan(view, &where, &options, arena, &plan, e));
    *out = plan.chosen > 0;
    return OK;
}

Code compact_each_partition(Database *db, const Table *table, bool only_with_dead,
                            Code (*visit)(void *context, Partition partition, Error *e),
                            void *context, Error *e)
{
    return table__each_partition(db, only_with_dead ? HOT_DEAD : HOT_SEGMENTS, table, visit,
                                 context, e);
}

/* ---- step 1: the rows that live ---- */

typedef struct Merge {
    Compaction *c;
    ColdScan *scan;
    HotIterator *dead; /* records of the range, ascending like the rows */
    bool has_dead;
    uint64_t dead_seq; /* of the record it stands on */
} Merge;

static Code next_dead(Merge *merge, Error *e)
{
    Partition partition;
    merge->has_dead = hot_next(merge->dead);
    if (!merge->has_dead)
        return hot_iterator_end(merge->dead, e);
    if (!table__read_seq_key(hot_key(merge->dead), &partition, &merge->dead_seq))
        return fail(e, E_CORRUPT, "the record of a dead row is damaged");
    return OK;
}

static Code merge_open(void *context, void **out_scan, Error *e)
{
    Merge *merge = (Merge *)context;
    *out_scan = merge;
    return next_dead(merge, e);
}

/* Now and then: waits for its share of the disk, as much as these rows read and write. */
static Code check_stop(Compaction *c, Error *e)
{
    bool is_time = c->rows_read % STOP_CHECK_ROWS == 0, ask = c->options->is_stopped && is_time;
    if (is_time && c->rows_read)
        (void)throttle_take(database_throttle(c->db),
                            2 * c->bytes_expected * STOP_CHECK_ROWS / c->rows_expected,
                            c->options->is_stopped, c->options->context);
    if (!ask || !c->options->is_stopped(c->options->context))
        return OK;
    c->was_stopped = true;
    return fail(e, E_CANCELLED, "the compaction was cancelled");
}

static Code merge_next(void *context, EngineRow *out_row, bool *out_end, Error *e)
{
    Merge *merge = (Merge *)context;
    Compaction *c = merge->c;
    for (;;) {
        uint64_t seq = 0;
        const Value *values = NULL;
        TRY(check_stop(c, e));
        TRY(cold_scan_next(merge->scan, out_end, &seq, &values, e));
        if (*out_end && c->rows_read != c->rows_expected) /* I6 */
            return fail(e, E_CORRUPT,
                        "segments of table %.*s have %llu rows, their entries say %llu",
                        SLICE_ARGS(c->table->name), (unsigned long long)c->rows_read,
                        (unsigned long long)c->rows_expected);
        if (*out_end)
            return OK;
        c->rows_read++;
        while (merge->has_dead && merge->dead_seq < seq)
            TRY(next_dead(merge, e));
        if (merge->has_dead && merge->dead_seq == seq) /* I2 */
            continue;
        c->rows_kept++;
        *out_row = (EngineRow){.values = values, .seq = seq};
        return OK;
    }
}

/* Writes the file under the first free batch number; c->entry stays NULL when no row is left. */
static Code write_merged(Compaction *c, Merge *merge, Error *e)
{
    EngineSource source = {
        .schema = c->table->schema, .context = merge, .open = merge_open, .next = merge_next};
    SegmentWrite write = {
        .pool = database_flush_engine(c->db),
        .storage_root = database_storage_folder(c->db),
        .folder = arena_text(c->arena, c->folder),
        .batch = c->next_batch,
        .now_ms = clock_wall_ms(),
        .rows = &source,
        .wait_ms = ENGINE_WAIT_MS,
    };
    Code code = E_ALREADY_EXISTS;
    for (int tries = 0; code == E_ALREADY_EXISTS && tries < BATCH_TRIES_MAX;
         tries++, c->next_batch++) {
        write.batch = c->next_batch;
        code = cold_segment_write(&write, c->arena, &c->entry, e);
    }
    if (c->was_stopped) /* the engine gives its own code for a cancelled source */
        return fail(e, E_CANCELLED, "the compaction was cancelled");
    bool is_empty =
        code == E_INVALID_OPERATION && c->rows_kept == 0 && c->rows_read == c->rows_expected;
    return is_empty ? OK : code; /* only then may the old segments go without a new one */
}

static Code open_merge(Compaction *c, const SegmentEntry *entries, Merge *merge, Error *e)
{
    SegmentList list;
    SeqKey from = table__seq_key(c->partition, c->from_seq),
           to = table__seq_key(c->partition, c->to_seq + 1);
    TRY(view__segment_list(c->view, c->table, c->partition, entries, c->plan.chosen, c->arena,
                           &list, e));
    merge->c = c;
    TRY(cold_scan_open(database_flush_engine(c->db), &list, c->table->schema, ENGINE_WAIT_MS,
                       &merge->scan, e));
    merge->dead = hot_iterator_open(view_snapshot(c->view), HOT_BLOCKING, HOT_DEAD,
                                    table__key_slice(&from), table__key_slice(&to), false);
    return OK;
}

static Code rewrite(Compaction *c, Error *e)
{
    const Piece *chosen = &c->plan.pieces[c->plan.first];
    SegmentEntry *entries = arena_new_array(c->arena, SegmentEntry, c->plan.chosen);
    PartitionState state;
    TRY(view_partition(c->view, c->table, c->partition, &state, e));
    TRY(table__folder(c->db, view_snapshot(c->view), c->table, c->partition, c->arena, &c->folder,
                      e));
    for (size_t i = 0; i < c->plan.chosen; i++) {
        entries[i] = *chosen[i].entry;
        c->rows_expected += entries[i].row_count;
        c->bytes_expected += entries[i].size_bytes;
        TRY(cold_segment_verify(database_storage_folder(c->db), c->folder, &entries[i],
                                e)); /* I6 */
    }
    c->next_batch = state.next_batch;
    c->from_seq = entries[0].min_seq;
    c->to_seq = entries[c->plan.chosen - 1].max_seq;
    must(c->to_seq < state.flush_mark); /* I3 */
    Merge merge = {0};
    Code code = open_merge(c, entries, &merge, e);
    if (code == OK)
        code = write_merged(c, &merge, e);
    hot_iterator_close(merge.dead);
    cold_scan_close(merge.scan);
    return code;
}

/* ---- step 2: the commit ---- */

/* Deletes dead records of the range as of R, from *io_seq on, until the intent is full; raises
 * *io_seq beyond the last. */
static Code add_dead_deletes(Compaction *c, Intent *intent, uint64_t *io_seq, bool *out_more,
                             Error *e)
{
    SeqKey from = table__seq_key(c->partition, *io_seq),
           to = table__seq_key(c->partition, c->to_seq + 1);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(c->view), HOT_BLOCKING, HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    *out_more = false;
    while (!*out_more && hot_next(it)) {
        Partition partition;
        must(table__read_seq_key(hot_key(it), &partition, io_seq)); /* the merge read it */
        intent_add_raw(intent, RAW_DELETE, HOT_DEAD, hot_key(it), (Slice){0});
        ++*io_seq;
        *out_more = intent->raw_count >= DEAD_DELETES_MAX;
    }
    return hot_iterator_end(it, e);
}

static void add_layout(Compaction *c, PartitionState state, Intent *intent)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    for (size_t i = 0; i < c->plan.chosen; i++) {
        const SegmentEntry *old = c->plan.pieces[c->plan.first + i].entry;
        SeqKey key = table__seq_key(c->partition, old->min_seq);
        intent_add_raw(intent, RAW_DELETE, HOT_SEGMENTS, table__key_slice(&key), (Slice){0});
        obsolete__add(intent, c->partition, c->folder, old);
    }
    if (c->entry) { /* after the deletes: it may have the key of the first old one */
        SeqKey key = table__seq_key(c->partition, c->entry->min_seq);
        segment_encode(c->entry, &bytes);
        intent_add_raw(intent, RAW_PUT, HOT_SEGMENTS, table__key_slice(&key), buffer_slice(&bytes));
    }
    if (state.next_batch < c->next_batch)
        state.next_batch = c->next_batch;
    buffer_clear(&bytes);
    table__encode_state(&state, &bytes);
    intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, table__state_key(intent->arena, c->partition),
                   buffer_slice(&bytes));
}

/* The part without changes makes the committer check that the table lives; an ALTER since R does
 * not matter, as in flush.c, I3. Where no row is left none can die meanwhile. */
static Code commit_once(Compaction *c, uint64_t *io_seq, bool *out_more, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *now = NULL;
    PartitionState state;
    uint64_t dead_seq = c->from_seq;
    SeqKey from = table__seq_key(c->partition, c->from_seq),
           to = table__seq_key(c->partition, c->to_seq + 1);
    TRY(view_open(c->db, HOT_BLOCKING, &now, e));
    TRY(view__stored_partition(now, c->partition, &state, e)); /* not the floors (trim.c, I3) */
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(view_seq(now));
    TRY(table__add_newest_part(c->db, intent, c->table, c->partition, e));
    intent->durable = true;
    add_layout(c, state, intent);
    *out_more = false;
    if (c->entry)
        TRY(add_dead_deletes(c, intent, &dead_seq, out_more, e)); /* I3 */
    else
        intent_add_raw(intent, RAW_DELETE_RANGE, HOT_DEAD, table__key_slice(&from),
                       table__key_slice(&to));
    TRY(database_commit(c->db, intent, e));
    *io_seq = dead_seq;
    return OK;
}

/* What did not fit. Should the server stop before, the records are harmless: a later compaction
 * of the range takes them. */
static Code delete_more_dead(Compaction *c, uint64_t seq, Error *e)
{
    for (bool more = true; more;) {
        CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(c->db));
        TRY(add_dead_deletes(c, intent, &seq, &more, e));
        if (intent->raw_count > 0)
            TRY(database_commit(c->db, intent, e));
    }
    return OK;
}

static Code commit_layout(Compaction *c, uint64_t *out_seq, bool *out_more, Error *e)
{
    Code code = E_CONFLICT;
    for (int tries = 0; code == E_CONFLICT && tries < COMMIT_TRIES_MAX; tries++)
        code = commit_once(c, out_seq, out_more, e);
    if (code == E_CONFLICT)
        return fail(e, E_CONFLICT, "the commit of the compaction met newer commits %d times",
                    COMMIT_TRIES_MAX);
    return code;
}

static Code commit(Compaction *c, Error *e)
{
    uint64_t seq = 0;
    bool more = false;
    Code code = commit_layout(c, &seq, &more, e);
    if (code != OK && code != E_OUTCOME_UNKNOWN && c->entry) { /* I1 */
        Error ignored;
        if (cold_segment_remove(database_storage_folder(c->db), c->folder, c->entry->batch,
                                &ignored) != OK)
            return code; /* the sweep of the next start removes it */
    }
    TRY(code);
    if (c->entry)
        trust__written(database__trust(c->db), c->partition, c->entry);
    return more ? delete_more_dead(c, seq, e) : OK;
}

/* ---- all steps ---- */

static Code run_step(Compaction *c, CompactResult *out, Error *e)
{
    TRY(view_open(c->db, HOT_BLOCKING, &c->view, e));
    if (!table_is_current(c->table)) /* else there may be segments of a newer schema */
        return fail(e, E_CONFLICT, "table %.*s was altered or dropped meanwhile",
                    SLICE_ARGS(c->table->name));
    Where where = {c->table, c->partition};
    TRY(make_plan(c->view, &where, c->options, c->arena, &c->plan, e));
    if (c->plan.chosen == 0) {
        *out = (CompactResult){0};
        return OK;
    }
    TRY(rewrite(c, e));
    TRY(commit(c, e));
    *out = (CompactResult){(uint32_t)c->plan.chosen, c->rows_read, c->rows_kept};
    return table__write_manifest(c->db, c->table, c->partition, e);
}

Code compact_step(Database *db, Table *table, Partition partition, const CompactOptions *options,
                  CompactResult *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Compaction c = {
        .db = db, .table = table, .partition = partition, .options = options, .arena = arena};
    int64_t started_us = clock_monotonic_us();
    TRY(claims_take(database__claims(db), partition, 0, e));
    Code code = run_step(&c, out, e);
    view_close(c.view);
    claims_release(database__claims(db), partition);
    table__count_work(database__compacted(db), code, started_us, c.rows_read,
                      c.rows_read - c.rows_kept);
    return code;
}
