/* SPDX-License-Identifier: Apache-2.0
 *
 * Flush: one segment of everything live between the flush mark and a snapshot F, committed through
 * the committer.
 *
 *   1. at F: live rows with flush mark <= seq <= F, in seq order, to batch-<n>.parquet (synced,
 *      renamed, folder synced)
 *   2. at a later R: which of them died since F -> dead records
 *   3. commit: segment entry, dead records, partition state with the mark at F + 1; the committer
 *      adds the deaths since R and makes every intent of the partition that was resolved before a
 *      conflict
 *   4. manifest.json, a copy for people
 *
 * I1. Before 3 nothing has happened: the file is garbage that the sweep removes. After 3 everything
 *     has.
 * I2. heads is not touched; hot copies stay until they lie below feed low (trim.c).
 * I3. An ALTER between F and the commit does not matter: a segment that was written by an older
 *     definition is read like any other that is older than the ALTER. A DROP does.
 * I4. A batch number is never used twice in a folder: the number is in the state record, and a file
 *     that exists is skipped.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "os/clock.h"
#include "os/thread.h"
#include "os/throttle.h"
#include "table/manifest.h"
#include "table/table_int.h"
#include "table/work_done.h"

enum { COMMIT_TRIES_MAX = 100, BATCH_TRIES_MAX = 1000, THROTTLE_BYTES = 256 * 1024 };

/* ---- finding partitions ---- */

Code flush_each_partition(Database *db, const Table *table,
                          Code (*visit)(void *context, Partition partition, Error *e),
                          void *context, Error *e)
{
    return table__each_partition(db, HOT_ROWS, table, visit, context, e);
}

Code flush_count_pending(Database *db, const Table *table, Partition partition, size_t limit,
                         size_t *out, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    TRY(view_open(db, HOT_PASSING, &view, e));
    TRY(row_walk_open(view, table, partition, 0, UINT64_MAX, false, &walk, e));
    size_t count = 0;
    while (count < limit) {
        bool end;
        uint64_t seq;
        Slice row;
        TRY(row_walk_next(walk, &end, &seq, &row, e));
        if (end)
            break;
        count++;
    }
    *out = count;
    return OK;
}

Code flush_is_pending(Database *db, const Table *table, Partition partition, bool *out, Error *e)
{
    size_t count;
    TRY(flush_count_pending(db, table, partition, 1, &count, e));
    *out = count > 0;
    return OK;
}

/* The first key of a partition with from_seq <= seq < end_seq; 0 = none. */
static Code first_seq(ReadView *view, HotFamily family, Partition partition,
                      const uint64_t range[2], uint64_t *out, Error *e)
{
    SeqKey from = table__seq_key(partition, range[0]), to = table__seq_key(partition, range[1]);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, family,
                                        table__key_slice(&from), table__key_slice(&to), false);
    Partition of;
    *out = 0;
    if (hot_next(it) && !table__read_seq_key(hot_key(it), &of, out))
        return fail(e, E_CORRUPT, "the key of a row version is damaged");
    return hot_iterator_end(it, e);
}

static Code first_pending(ReadView *view, const Table *table, Partition partition, uint64_t *out,
                          Error *e)
{
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    bool end;
    uint64_t seq = 0;
    Slice row;
    TRY(row_walk_open(view, table, partition, 0, UINT64_MAX, false, &walk, e));
    TRY(row_walk_next(walk, &end, &seq, &row, e));
    *out = end ? 0 : seq;
    return OK;
}

Code flush_outlook(Database *db, const Table *table, Partition partition, Outlook *out, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    return flush_outlook_at(view, table, partition, out, e);
}

Code flush_outlook_at(ReadView *view, const Table *table, Partition partition, Outlook *out,
                      Error *e)
{
    PartitionState state;
    uint64_t in_history = 0, stale = 0;
    TRY(view__stored_partition(view, partition, &state, e));
    uint64_t end = state.feed_low + 1 < state.flush_mark ? state.feed_low + 1 : state.flush_mark;
    uint64_t window[2] = {state.feed_low + 1, view_seq(view) + 1}; /* no further: walk.c, I3 */
    *out = (Outlook){0};
    if (window[1] < window[0])
        window[1] = window[0];
    TRY(first_seq(view, HOT_ROWS, partition, window, &out->change_seq, e));
    if (table->kind == TABLE_STREAM)
        return OK;
    TRY(first_seq(view, HOT_HISTORY, partition, window, &in_history, e));
    if (in_history && (in_history < out->change_seq || out->change_seq == 0))
        out->change_seq = in_history;
    TRY(first_seq(view, HOT_ROWS, partition, (uint64_t[]){0, end}, &stale, e));
    out->has_stale_copies = stale > 0;
    TRY(first_pending(view, table, partition, &out->pending_seq, e));
    return view_has_dead(view, partition, &out->has_dead, e);
}

void flush_wait(Database *db, Partition partition, uint32_t wait_ms)
{
    Error ignored;
    if (claims_take(database__claims(db), partition, wait_ms, &ignored) == OK)
        claims_release(database__claims(db), partition);
}

/* ---- step 1: the segment ---- */

typedef struct FlushRows {
    ReadView *view;
    Table *table;
    Partition partition;
    uint64_t from_seq;
} FlushRows;

typedef struct FlushScan {
    const Schema *schema;
    RowWalk *walk;
    Value *values;
    Throttle *throttle;
    uint64_t bytes; /* read since the throttle was asked */
} FlushScan;

static Code scan_open(void *context, void **out_scan, Error *e)
{
    FlushRows *rows = (FlushRows *)context;
    FlushScan *scan = x_new(FlushScan);
    scan->schema = rows->table->schema;
    scan->throttle = database_throttle(view__database(rows->view));
    scan->values = x_new_array(Value, rows->table->schema->column_count);
    Code code = row_walk_open(rows->view, rows->table, rows->partition, rows->from_seq, UINT64_MAX,
                              false, &scan->walk, e);
    if (code != OK) {
        free(scan->values);
        free(scan);
        return code;
    }
    *out_scan = scan;
    return OK;
}

static Code scan_next(void *context, EngineRow *out_row, bool *out_end, Error *e)
{
    FlushScan *scan = (FlushScan *)context;
    Slice row;
    uint64_t seq = 0;
    TRY(row_walk_next(scan->walk, out_end, &seq, &row, e));
    if (*out_end)
        return OK;
    scan->bytes += row.size;
    if (scan->bytes >= THROTTLE_BYTES) {
        (void)throttle_take(scan->throttle, scan->bytes, NULL, NULL);
        scan->bytes = 0;
    }
    TRY(row_decode(scan->schema, row, scan->values, e));
    *out_row = (EngineRow){.values = scan->values, .seq = seq};
    return OK;
}

static void scan_close(void *context)
{
    FlushScan *scan = (FlushScan *)context;
    row_walk_close(scan->walk);
    free(scan->values);
    free(scan);
}

typedef struct Flush {
    Database *db;
    Table *table;
    Partition partition;
    Arena *arena;
    PartitionState state; /* at F */
    uint64_t flush_seq;   /* F */
    Slice folder;
    SegmentEntry *entry;
} Flush;

/* Writes the file under the first free batch number at or after the state's (I4). */
static Code write_segment(Flush *flush, ReadView *view, Error *e)
{
    FlushRows rows = {view, flush->table, flush->partition, flush->state.flush_mark};
    EngineSource source = {
        .schema = flush->table->schema,
        .context = &rows,
        .open = scan_open,
        .next = scan_next,
        .close = scan_close,
    };
    SegmentWrite write = {
        .pool = database_flush_engine(flush->db),
        .storage_root = database_storage_folder(flush->db),
        .folder = arena_text(flush->arena, flush->folder),
        .batch = flush->state.next_batch,
        .now_ms = clock_wall_ms(),
        .wait_ms = 60000,
        .rows = &source,
    };
    Code code = E_ALREADY_EXISTS;
    for (int tries = 0; code == E_ALREADY_EXISTS && tries < BATCH_TRIES_MAX; tries++, write.batch++)
        code = cold_segment_write(&write, flush->arena, &flush->entry, e);
    return code;
}

/* ---- steps 2 and 3: the commit ---- */

/* Adds a dead record for every row of the segment that died after F, as of the view. */
static Code add_deaths(Flush *flush, ReadView *view, Intent *intent, Error *e)
{
    SeqKey from = table__seq_key(flush->partition, flush->state.flush_mark);
    SeqKey to = table__seq_key(flush->partition, flush->flush_seq + 1);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), HOT_BLOCKING, HOT_HISTORY,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        VersionHeader header;
        TRY(table__decode_history(hot_key(it), hot_value(it), &header, e));
        if (header.superseded_by <= flush->flush_seq)
            continue;
        char at[SEQ_BYTES];
        table__encode_u64(header.superseded_by, at);
        intent_add_raw(intent, RAW_PUT, HOT_DEAD, hot_key(it), slice_of(at, SEQ_BYTES));
    }
    return hot_iterator_end(it, e);
}

static void add_layout(Flush *flush, Intent *intent)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    SeqKey key = table__seq_key(flush->partition, flush->entry->min_seq);
    segment_encode(flush->entry, &bytes);
    intent_add_raw(intent, RAW_PUT, HOT_SEGMENTS, table__key_slice(&key), buffer_slice(&bytes));
    PartitionState state = flush->state;
    state.flush_mark = flush->flush_seq + 1;
    state.next_batch = flush->entry->batch + 1;
    state.flushed_at_us = (uint64_t)clock_wall_us();
    buffer_clear(&bytes);
    table__encode_state(&state, &bytes);
    intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, table__state_key(flush->arena, flush->partition),
                   buffer_slice(&bytes));
    intent->flush = arena_new_of(intent->arena, FlushRange);
    *intent->flush = (FlushRange){flush->partition, flush->state.flush_mark, flush->flush_seq};
}

static Code commit_once(Flush *flush, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(flush->db, HOT_BLOCKING, &view, e));
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(view_seq(view));
    TRY(table__add_newest_part(flush->db, intent, flush->table, flush->partition, e)); /* I3 */
    intent->durable = true;
    TRY(add_deaths(flush, view, intent, e));
    add_layout(flush, intent);
    return database_commit(flush->db, intent, e);
}

static Code commit_flush(Flush *flush, Error *e)
{
    Code code = E_CONFLICT;
    for (int tries = 0; code == E_CONFLICT && tries < COMMIT_TRIES_MAX; tries++)
        code = commit_once(flush, e);
    if (code == E_CONFLICT)
        return fail(e, E_CONFLICT, "the commit of the flush met newer commits %d times",
                    COMMIT_TRIES_MAX);
    return code;
}

static Code run_flush(Flush *flush, uint64_t *out_rows, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(flush->db, HOT_PASSING, &view, e));
    if (!table_is_current(flush->table)) /* else the view may hold rows of a newer schema */
        return fail(e, E_CONFLICT, "table %.*s was altered or dropped meanwhile",
                    SLICE_ARGS(flush->table->name));
    /* without the server's floors: a trim would never see what lies below them (trim.c, I3) */
    TRY(view__stored_partition(view, flush->partition, &flush->state, e));
    flush->flush_seq = view_seq(view);
    TRY(table__folder(flush->db, view_snapshot(view), flush->table, flush->partition, flush->arena,
                      &flush->folder, e));
    uint64_t pending = 0;
    TRY(first_pending(view, flush->table, flush->partition, &pending, e));
    if (pending == 0) { /* not even a folder: its user may have been erased */
        *out_rows = 0;
        return OK;
    }
    TRY(write_segment(flush, view, e));
    view_close_ptr(&view);
    Code code = commit_flush(flush, e);
    if (code != OK && code != E_OUTCOME_UNKNOWN) { /* I1 */
        Error ignored;
        if (cold_segment_remove(database_storage_folder(flush->db), flush->folder,
                                flush->entry->batch, &ignored) != OK)
            return code; /* the sweep of the next start removes it */
    }
    if (code != OK)
        return code;
    trust__written(database__trust(flush->db), flush->partition, flush->entry);
    *out_rows = flush->entry->row_count;
    return table__write_manifest(flush->db, flush->table, flush->partition, e); /* 4 */
}

Code flush_partition(Database *db, Table *table, Partition partition, uint64_t *out_rows, Error *e)
{
    must(table->kind != TABLE_STREAM);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Flush flush = {.db = db, .table = table, .partition = partition, .arena = arena};
    int64_t started_us = clock_monotonic_us();
    TRY(claims_take(database__claims(db), partition, 0, e));
    Code code = run_flush(&flush, out_rows, e);
    claims_release(database__claims(db), partition);
    table__count_work(database__flushed(db), code, started_us, code == OK ? *out_rows : 0, 0);
    return code;
}
