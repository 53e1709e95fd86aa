/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks in seq order: live rows of the hot tier, and the change feed.
 *
 * I1. A walk of live rows starts at the flush mark: hot copies of flushed rows may still be below
 *     it.
 * I2. A version is either in rows (newest, or tombstone) or in history (superseded), never in both;
 *     the feed is the merge of the two, and the version a change replaced is in history while the
 *     change is in the feed.
 * I3. A walk ends at the seq of its view, for there is nothing to see beyond. Without that bound it
 *     would step over all that is being written there, and never end where writers are quicker.
 */
#include <stdlib.h>

#include "data/row.h"
#include "table/table_int.h"

static uint64_t max_seq(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t min_seq(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* from <= seq <= to of one partition in one family (I3). */
static HotIterator *open_range(ReadView *view, HotFamily family, Partition partition, uint64_t from,
                               uint64_t to, bool descending)
{
    uint64_t end = min_seq(to, view_seq(view)) + 1;
    SeqKey lower = table__seq_key(partition, from);
    SeqKey upper = table__seq_key(partition, max_seq(from, end));
    return hot_iterator_open(view_snapshot(view), view_mode(view), family, table__key_slice(&lower),
                             table__key_slice(&upper), descending);
}

/* ---- live rows ---- */

struct RowWalk {
    HotIterator *iterator;
};

Code row_walk_open(ReadView *view, const Table *table, Partition partition, uint64_t from_seq,
                   uint64_t to_seq, bool descending, RowWalk **out, Error *e)
{
    PartitionState state;
    TRY(view_partition(view, table, partition, &state, e));
    uint64_t from = max_seq(max_seq(from_seq, state.flush_mark), table__ttl_floor(table)); /* I1 */
    RowWalk *walk = x_new(RowWalk);
    if (from <= to_seq)
        walk->iterator = open_range(view, HOT_ROWS, partition, from, to_seq, descending);
    *out = walk;
    return OK;
}

void row_walk_close(RowWalk *walk)
{
    if (!walk)
        return;
    hot_iterator_close(walk->iterator);
    free(walk);
}

void row_walk_close_ptr(RowWalk **walk)
{
    row_walk_close(*walk);
    *walk = NULL;
}

Code row_walk_next(RowWalk *walk, bool *out_end, uint64_t *out_seq, Slice *out_row, Error *e)
{
    while (walk->iterator && hot_next(walk->iterator)) {
        VersionHeader header;
        Partition partition;
        Slice key = hot_key(walk->iterator);
        TRY(table__decode_row(key, hot_value(walk->iterator), &header, e));
        if (header.kind == VERSION_TOMBSTONE)
            continue;
        must(table__read_seq_key(key, &partition, out_seq));
        *out_row = header.row;
        *out_end = false;
        return OK;
    }
    if (walk->iterator)
        TRY(hot_iterator_end(walk->iterator, e));
    *out_end = true;
    return OK;
}

/* ---- the feed ---- */

/* One side of the merge. */
typedef struct Side {
    HotIterator *iterator;
    bool has_entry;
    uint64_t seq;
} Side;

struct Feed {
    ReadView *view;
    Partition partition;
    bool is_stream;
    Side rows, history;
    Side *current; /* whose entry the last feed_next gave; NULL at the start */
    Arena *arena;  /* the before-image of the current change */
};

static Code advance(Side *side, Error *e)
{
    Partition partition;
    side->has_entry = hot_next(side->iterator);
    if (!side->has_entry)
        return hot_iterator_end(side->iterator, e);
    if (!table__read_seq_key(hot_key(side->iterator), &partition, &side->seq))
        return fail(e, E_CORRUPT, "the key of a row version is damaged");
    return OK;
}

Code feed_open(ReadView *view, const Table *table, Partition partition, uint64_t after_seq,
               Feed **out, Error *e)
{
    PartitionState state;
    TRY(view_partition(view, table, partition, &state, e));
    if (after_seq < max_seq(state.feed_low, table_open_since(table)))
        return fail(e, E_CURSOR_TOO_OLD,
                    "the cursor %llu lies before the feed window; subscribe again without it",
                    (unsigned long long)after_seq);
    if (after_seq > view_seq(view))
        return fail(e, E_CURSOR_TOO_NEW,
                    "the cursor %llu lies after the newest commit; subscribe again without it",
                    (unsigned long long)after_seq);
    uint64_t from = max_seq(after_seq + 1, table__ttl_floor(table));
    Feed *feed = x_new(Feed);
    feed->view = view;
    feed->partition = partition;
    feed->is_stream = table->kind == TABLE_STREAM;
    feed->arena = arena_new();
    feed->rows.iterator = open_range(view, HOT_ROWS, partition, from, UINT64_MAX, false);
    feed->history.iterator = open_range(view, HOT_HISTORY, partition, from, UINT64_MAX, false);
    Code code = advance(&feed->rows, e);
    if (code == OK)
        code = advance(&feed->history, e);
    if (code != OK) {
        feed_close(feed);
        return code;
    }
    *out = feed;
    return OK;
}

void feed_close(Feed *feed)
{
    if (!feed)
        return;
    hot_iterator_close(feed->rows.iterator);
    hot_iterator_close(feed->history.iterator);
    arena_free(feed->arena);
    free(feed);
}

void feed_close_ptr(Feed **feed)
{
    feed_close(*feed);
    *feed = NULL;
}

/* The row that `seq` replaced: its version is in history (I2). */
static Code load_before_image(Feed *feed, uint64_t prev_seq, Slice *out, Error *e)
{
    SeqKey key = table__seq_key(feed->partition, prev_seq);
    Slice value;
    VersionHeader header;
    Code code = hot_get(view_snapshot(feed->view), view_mode(feed->view), HOT_HISTORY,
                        table__key_slice(&key), feed->arena, &value, e);
    if (code == E_NOT_FOUND)
        return fail(e, E_CORRUPT, "the version that change %llu replaced is missing",
                    (unsigned long long)prev_seq);
    if (code != OK)
        return code;
    TRY(table__decode_history(table__key_slice(&key), value, &header, e));
    *out = header.row;
    return OK;
}

static Code describe(Feed *feed, FeedChange *out, Error *e)
{
    Side *side = feed->current;
    VersionHeader header;
    bool superseded = side == &feed->history;
    Slice key = hot_key(side->iterator), value = hot_value(side->iterator);
    TRY(superseded ? table__decode_history(key, value, &header, e)
                   : table__decode_row(key, value, &header, e));
    FeedChange change = {
        .kind = header.kind == VERSION_TOMBSTONE ? CHANGE_DELETE
                : header.prev_seq                ? CHANGE_UPDATE
                                                 : CHANGE_INSERT,
        .seq = side->seq,
        .old_seq = header.prev_seq,
        .new_row = header.row,
        .superseded = superseded,
    };
    arena_reset(feed->arena);
    if (header.prev_seq && feed->is_stream)
        change.old_row = header.row; /* a STREAM's row is never updated: its tombstone holds it */
    else if (header.prev_seq)
        TRY(load_before_image(feed, header.prev_seq, &change.old_row, e));
    *out = change;
    return OK;
}

Code feed_next(Feed *feed, bool *out_end, FeedChange *out, Error *e)
{
    if (feed->current)
        TRY(advance(feed->current, e));
    Side *rows = &feed->rows, *history = &feed->history;
    if (!rows->has_entry && !history->has_entry) {
        feed->current = NULL;
        *out_end = true;
        return OK;
    }
    bool take_rows = rows->has_entry && (!history->has_entry || rows->seq < history->seq);
    feed->current = take_rows ? rows : history;
    *out_end = false;
    return describe(feed, out, e);
}
