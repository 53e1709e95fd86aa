/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving back what the feed window no longer needs, and what has expired or was dropped.
 *
 * Below feed low may go: versions in history that died at or below it, tombstones, and hot copies of rows that a
 * segment holds. Feed low moves in the same commit.
 *
 * I1. A version in history with superseded_by > feed low stays, however old: it is the before-image of a
 *     change in the window, and part of every past state in it.
 * I2. Rows at or above the flush mark that live are never touched.
 */
#include "os/clock.h"
#include "table/table_int.h"

enum { TRIM_KEYS_MAX = 20000 }; /* per commit; the next run goes on */

static uint64_t min_seq(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

typedef struct Trim {
    ReadView *view;
    const Table *table;
    Partition partition;
    Intent *intent;
    uint64_t low; /* the new feed low */
    bool
        is_cut; /* TRIM_KEYS_MAX was reached: the rows wait for the next run, which finds the partition by them */
} Trim;

/* Superseded versions that died at or below the new low. */
static Code trim_history(Trim *trim, Error *e)
{
    SeqKey from = table__seq_key(trim->partition, 0),
           to = table__seq_key(trim->partition, trim->low + 1);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(trim->view), HOT_BLOCKING, HOT_HISTORY,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        VersionHeader header;
        TRY(table__decode_history(hot_key(it), hot_value(it), &header, e));
        if (header.superseded_by > trim->low) /* I1 */
            continue;
        if (trim->intent->raw_count >= TRIM_KEYS_MAX) {
            trim->is_cut = true;
            break;
        }
        intent_add_raw(trim->intent, RAW_DELETE, HOT_HISTORY, hot_key(it), (Slice){0});
    }
    return hot_iterator_end(it, e);
}

/* Tombstones at or above the flush mark and at or below the new low. */
static Code trim_tombstones(Trim *trim, uint64_t from_seq, Error *e)
{
    SeqKey from = table__seq_key(trim->partition, from_seq);
    SeqKey to = table__seq_key(trim->partition, trim->low + 1);
    if (from_seq > trim->low)
        return OK;
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(trim->view), HOT_BLOCKING, HOT_ROWS,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it) && trim->intent->raw_count < TRIM_KEYS_MAX) {
        VersionHeader header;
        TRY(table__decode_row(hot_key(it), hot_value(it), &header, e));
        if (header.kind == VERSION_TOMBSTONE) /* I2 */
            intent_add_raw(trim->intent, RAW_DELETE, HOT_ROWS, hot_key(it), (Slice){0});
    }
    return hot_iterator_end(it, e);
}

/* Everything below to_seq, where there is anything. */
static Code trim_range(Trim *trim, HotFamily family, uint64_t to_seq, Error *e)
{
    SeqKey from = table__seq_key(trim->partition, 0), to = table__seq_key(trim->partition, to_seq);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(trim->view), HOT_BLOCKING, family,
                                        table__key_slice(&from), table__key_slice(&to), false);
    if (hot_next(it))
        intent_add_raw(trim->intent, RAW_DELETE_RANGE, family, table__key_slice(&from),
                       table__key_slice(&to));
    return hot_iterator_end(it, e);
}

static Code plan_trim(Trim *trim, PartitionState *state, Error *e)
{
    if (trim->table->kind == TABLE_STREAM) { /* what expired goes whole, by range */
        uint64_t floor = table__ttl_floor(trim->table);
        TRY(trim_range(trim, HOT_ROWS, floor, e));
        return trim_range(
            trim, HOT_HISTORY, floor,
            e); /* a cursor of a STREAM never gets too old by expiry: what it missed has expired */
    }
    TRY(trim_history(trim, e));
    state->feed_low = trim->low;
    if (trim->is_cut)
        return OK;
    /* hot copies and tombstones */
    TRY(trim_range(trim, HOT_ROWS, min_seq(trim->low + 1, state->flush_mark), e));
    return trim_tombstones(trim, state->flush_mark, e);
}

static Code commit_trim(Database *db, Trim *trim, const PartitionState *state, Error *e)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    table__encode_state(state, &bytes);
    intent_add_raw(trim->intent, RAW_PUT, HOT_SYSTEM,
                   table__state_key(trim->intent->arena, trim->partition), buffer_slice(&bytes));
    return database_commit(db, trim->intent, e);
}

Code flush_trim(Database *db, Table *table, Partition partition, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    PartitionState state;
    TRY(view_partition(view, table, partition, &state, e));
    int64_t window_us = (int64_t)database_feed_window_s(db) * 1000000;
    Trim trim = {
        .view = view,
        .table = table,
        .partition = partition,
        .low = min_seq(seq_at(clock_wall_us() - window_us), view_seq(view)),
    };
    if (trim.low <= state.feed_low && table->kind != TABLE_STREAM)
        return OK;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(view_seq(view));
    (void)intent_part(intent, table, partition);
    trim.intent = intent;
    TRY(plan_trim(&trim, &state, e));
    if (intent->raw_count == 0)
        return OK;
    return commit_trim(db, &trim, &state, e);
}
