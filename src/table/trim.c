/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving back what the feed window no longer needs, and what has expired.
 *
 * Feed low rises to the newest change that has left the window: it is so long ago, or those after
 * it fill the window's bytes. What the changes up to there replaced goes, their tombstones, and hot
 * copies of rows that a segment holds. The changes are read in seq order and each names the version
 * it replaced, so a trim costs what leaves the window and never a walk over what stays. Feed low
 * moves in the same commit, as far as that commit got.
 *
 * I1. A version in history with superseded_by > feed low stays, however old: it is the before-image
 *     of a change in the window, and part of every past state in it.
 * I2. Rows at or above the flush mark that live are never touched.
 * I3. Every change above feed low is there, in rows or history, and so is what it replaced: nothing
 *     but a trim removes any of it, and a trim nothing of a change above where it puts feed low.
 *     Hence the feed after a cursor at or above feed low has no gap, however old the cursor is.
 *     What else makes cursors too old (a restore, lost commits, a table made anew or opened to more
 *     roles) stands beside the stored feed low and waits for no trim: view_partition,
 *     table_open_since. Nothing in history died at or below the stored one: the next trim starts
 *     there.
 * I4. Feed low passes every change that has left the window, also where nothing goes, or the
 *     partition would be looked at for ever; and it ends at such a change. At the start of the
 *     window, or at a commit of another partition, it would refuse cursors that have missed
 *     nothing.
 * I5. Each commit is planned by the definition of its moment, and holds by any that comes before it
 *     does: an ALTER in between is as if it had come right after. Only what expired by the old
 *     definition of a STREAM and lives by the new one may not go.
 */
#include "os/clock.h"
#include "table/window.h"

enum {
    TRIM_KEYS_MAX = 20 * 1000, /* per commit; then the next one */
    TRIM_READS_MAX = 200 * 1000,
    RANGE_BYTES_MIN = 1024,
};

static uint64_t min_seq(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

typedef struct Trim {
    Database *db;
    ReadView *view;
    const Table *table;
    Partition partition;
    Intent *intent;
    PartitionState state; /* as stored: without the floors of the server */
    uint64_t low;         /* what leaves lies up to there; then where feed low shall be */
    bool is_cut;          /* some of it is left to the next commit */
    size_t reads;
    Weight weight; /* of the changes above `low` that the view sees (window.h) */
    bool is_weighed;
    uint64_t excess;           /* bytes of it that are to leave whatever their age */
    uint64_t deleted_bytes[2]; /* of rows and history: told once they are deleted */
} Trim;

static HotIterator *walk(const Trim *trim, HotFamily family, uint64_t from_seq, uint64_t end_seq)
{
    SeqKey from = table__seq_key(trim->partition, from_seq),
           to = table__seq_key(trim->partition, end_seq);
    return hot_iterator_open(view_snapshot(trim->view), HOT_PASSING, family,
                             table__key_slice(&from), table__key_slice(&to), false);
}

/* ---- the changes of a range, from both families ---- */

typedef struct Changes {
    HotIterator *sides[2]; /* rows, history */
    uint64_t seqs[2];
    bool has[2];
    int at;
} Changes;

static Code advance(Changes *changes, int side, Error *e)
{
    Partition partition;
    HotIterator *it = changes->sides[side];
    changes->has[side] = hot_next(it);
    if (!changes->has[side])
        return hot_iterator_end(it, e);
    if (!table__read_seq_key(hot_key(it), &partition, &changes->seqs[side]))
        return fail(e, E_CORRUPT, "the key of a row version is damaged");
    return OK;
}

static void close_changes(Changes *changes)
{
    hot_iterator_close(changes->sides[0]);
    hot_iterator_close(changes->sides[1]);
}

/* Those with from_seq <= seq < end_seq, oldest first. Close it also after a failure. */
static Code open_changes(const Trim *trim, uint64_t from_seq, uint64_t end_seq, Changes *out,
                         Error *e)
{
    *out = (Changes){.at = -1};
    out->sides[0] = walk(trim, HOT_ROWS, from_seq, end_seq);
    out->sides[1] = walk(trim, HOT_HISTORY, from_seq, end_seq);
    TRY(advance(out, 0, e));
    return advance(out, 1, e);
}

static Code next_change(Changes *changes, bool *out_end, Error *e)
{
    if (changes->at >= 0)
        TRY(advance(changes, changes->at, e));
    *out_end = !changes->has[0] && !changes->has[1];
    bool rows_first = changes->seqs[0] < changes->seqs[1];
    changes->at = changes->has[0] && (!changes->has[1] || rows_first) ? 0 : 1;
    return OK;
}

/* ---- how far ---- */

static Code decode(const Changes *changes, VersionHeader *out, Error *e)
{
    const HotIterator *it = changes->sides[changes->at];
    return changes->at == 1 ? table__decode_history(hot_key(it), hot_value(it), out, e)
                            : table__decode_row(hot_key(it), hot_value(it), out, e);
}

static uint64_t weight_of(const VersionHeader *header)
{
    return SEQ_KEY_BYTES + header->row.size;
}

/* Weighs what came since the last trim, or all that is above the stored feed low. */
static Code weigh(Trim *trim, uint64_t effective_low, Error *e)
{
    Changes changes = {0};
    Weight *weight = &trim->weight;
    uint64_t low = trim->state.feed_low;
    Weight nothing = {.feed_low = low, .effective_low = effective_low, .seen_seq = low};
    if (!windows_get(database__windows(trim->db), trim->partition, weight) ||
        weight->feed_low != low || weight->effective_low != effective_low)
        *weight = nothing;
    if (weight->seen_seq >= view_seq(trim->view))
        return OK;
    Code code = open_changes(trim, weight->seen_seq + 1, view_seq(trim->view) + 1, &changes, e);
    for (bool end = false; code == OK;) {
        VersionHeader header;
        code = next_change(&changes, &end, e);
        if (code != OK || end)
            break;
        code = decode(&changes, &header, e);
        if (code == OK)
            weight->bytes += weight_of(&header);
    }
    close_changes(&changes);
    weight->seen_seq = view_seq(trim->view);
    return code;
}

static Code find_goal(Trim *trim, Error *e)
{
    PartitionState effective;
    uint64_t limit = database_feed_window_bytes(trim->db, trim->table);
    int64_t window_us = (int64_t)database_feed_window_s(trim->db, trim->table) * 1000000;
    trim->low = min_seq(seq_at(clock_wall_us() - window_us), view_seq(trim->view));
    TRY(view_partition(trim->view, trim->table, trim->partition, &effective, e));
    if (trim->low < effective.feed_low)
        trim->low = effective.feed_low;
    if (limit == 0)
        return OK;
    TRY(weigh(trim, effective.feed_low, e));
    trim->is_weighed = true;
    trim->excess = trim->weight.bytes > limit ? trim->weight.bytes - limit : 0;
    return OK;
}

/* ---- what goes ---- */

/* The version that a change replaced, and the change itself when it is a tombstone. */
static Code trim_change(Trim *trim, const Changes *changes, Error *e)
{
    const HotIterator *it = changes->sides[changes->at];
    bool is_history = changes->at == 1;
    VersionHeader header;
    TRY(decode(changes, &header, e));
    uint64_t hot_bytes = hot_key(it).size + hot_value(it).size;
    bool is_copy = !is_history && changes->seqs[0] < trim->state.flush_mark;
    if (is_copy || (!is_history && header.kind == VERSION_TOMBSTONE))
        trim->deleted_bytes[0] += hot_bytes;
    if (header.prev_seq) { /* it died by this change: I1 */
        SeqKey replaced = table__seq_key(trim->partition, header.prev_seq);
        intent_add_raw(trim->intent, RAW_DELETE, HOT_HISTORY, table__key_slice(&replaced),
                       (Slice){0});
        /* there and, when it died, in rows: it is not read, and weighs about what replaced it */
        trim->deleted_bytes[0] += hot_bytes;
        trim->deleted_bytes[1] += hot_bytes;
    }
    if (!is_history && header.kind == VERSION_TOMBSTONE) /* I2 */
        intent_add_raw(trim->intent, RAW_DELETE, HOT_ROWS, hot_key(it), (Slice){0});
    uint64_t bytes = weight_of(&header);
    trim->weight.bytes -= min_seq(bytes, trim->weight.bytes);
    trim->excess -= min_seq(bytes, trim->excess);
    return OK;
}

/* Leaves `low` at the last change it got to (I4). */
static Code trim_changes(Trim *trim, Error *e)
{
    Changes changes = {0};
    uint64_t reached = trim->state.feed_low;
    uint64_t last = trim->excess ? view_seq(trim->view) : trim->low;
    Code code = open_changes(trim, reached + 1, last + 1, &changes, e);
    for (bool end = false; code == OK;) {
        code = next_change(&changes, &end, e);
        if (code != OK || end)
            break;
        if (changes.seqs[changes.at] > trim->low && trim->excess == 0)
            break;
        trim->is_cut = trim->intent->raw_count >= TRIM_KEYS_MAX || trim->reads++ >= TRIM_READS_MAX;
        if (trim->is_cut)
            break;
        code = trim_change(trim, &changes, e);
        reached = changes.seqs[changes.at];
    }
    close_changes(&changes);
    if (code == OK)
        trim->low = reached;
    return code;
}

/* How much a deleted range has from its first key on. Little may lie within one block, which
 * RocksDB takes for nothing. */
static void count_range(Trim *trim, HotFamily family, Slice first, uint64_t end_seq)
{
    SeqKey end = table__seq_key(trim->partition, end_seq);
    if (slice_compare(first, table__key_slice(&end)) >= 0)
        return;
    uint64_t bytes = hot_range_bytes(database_hot(trim->db), family, first, table__key_slice(&end));
    trim->deleted_bytes[family == HOT_HISTORY] += bytes > RANGE_BYTES_MIN ? bytes : RANGE_BYTES_MIN;
}

/* Everything below end_seq, where there is anything; what lies below uncounted_seq was not counted
 * as deleted before. */
static Code trim_range(Trim *trim, HotFamily family, uint64_t end_seq, uint64_t uncounted_seq,
                       Error *e)
{
    SeqKey from = table__seq_key(trim->partition, 0), to = table__seq_key(trim->partition, end_seq);
    CLEANUP(hot_iterator_close_ptr) HotIterator *it = walk(trim, family, 0, end_seq);
    if (hot_next(it)) {
        intent_add_raw(trim->intent, RAW_DELETE_RANGE, family, table__key_slice(&from),
                       table__key_slice(&to));
        count_range(trim, family, hot_key(it), uncounted_seq);
    }
    return hot_iterator_end(it, e);
}

/* What expired goes whole, by range. A cursor of a STREAM never gets too old by expiry: what it
 * missed has expired. */
static Code plan_stream(Trim *trim, Error *e)
{
    uint64_t floor = table__ttl_floor(trim->table);
    trim->intent->expired_seq = floor; /* I5 */
    TRY(trim_range(trim, HOT_ROWS, floor, floor, e));
    return trim_range(trim, HOT_HISTORY, floor, floor, e);
}

static Code plan_table(Trim *trim, Error *e)
{
    uint64_t old_low = trim->state.feed_low;
    TRY(find_goal(trim, e));
    if (trim->low > old_low || trim->excess)
        TRY(trim_changes(trim, e));
    else
        trim->low = old_low;
    /* hot copies: also of rows that were flushed only after feed low had passed them */
    TRY(trim_range(trim, HOT_ROWS, min_seq(trim->low + 1, trim->state.flush_mark),
                   min_seq(old_low + 1, trim->state.flush_mark), e));
    trim->state.feed_low = trim->weight.feed_low = trim->low;
    if (trim->weight.effective_low < trim->low)
        trim->weight.effective_low = trim->low;
    return OK;
}

/* ---- commits ---- */

static Code commit_trim(Trim *trim, Error *e)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    if (trim->intent->raw_count == 0 && trim->reads == 0) /* I4 */
        return OK;
    if (trim->table->kind != TABLE_STREAM) {
        table__encode_state(&trim->state, &bytes);
        intent_add_raw(trim->intent, RAW_PUT, HOT_SYSTEM,
                       table__state_key(trim->intent->arena, trim->partition),
                       buffer_slice(&bytes));
    }
    TRY(database_commit(trim->db, trim->intent, e));
    /* not before: a merge in between would find nothing, and nobody would ask for another */
    hot_note_deleted(database_hot(trim->db), HOT_ROWS, trim->deleted_bytes[0]);
    hot_note_deleted(database_hot(trim->db), HOT_HISTORY, trim->deleted_bytes[1]);
    return OK;
}

static Code trim_once(Database *db, Partition partition, bool *out_more, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(db), partition.table_id);
    if (!table)
        return fail(e, E_CANCELLED, "the table was dropped");
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(db, HOT_PASSING, &view, e));
    Trim trim = {.db = db, .view = view, .table = table, .partition = partition};
    TRY(view__stored_partition(view, partition, &trim.state, e));
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(view_seq(view));
    (void)intent_part(intent, table, partition);
    intent->is_trim = true; /* I5 */
    trim.intent = intent;
    TRY(table->kind == TABLE_STREAM ? plan_stream(&trim, e) : plan_table(&trim, e));
    *out_more = trim.is_cut;
    TRY(commit_trim(&trim, e));
    if (trim.is_weighed)
        windows_put(database__windows(db), partition, &trim.weight);
    return OK;
}

Code flush_trim(Database *db, Partition partition, Error *e)
{
    Code code = OK;
    TRY(claims_take(database__claims(db), partition, 0, e));
    for (bool more = true; more && code == OK;)
        code = trim_once(db, partition, &more, e);
    claims_release(database__claims(db), partition);
    return code;
}
