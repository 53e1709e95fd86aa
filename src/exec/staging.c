/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows a transaction has changed, laid over its view, and the versions it has read.
 *
 * I1. A key is staged at most once per partition, with its net change against the view: insert +
 *     update is an insert, insert + delete is nothing, update + delete a delete, delete + insert an
 *     update. The before-image is always the view's.
 * I2. The list of staged rows is in the order of their last change: the order of their seqs after
 *     the commit.
 * I3. by_seq holds exactly the staged rows that replace or delete a version of the view.
 * I4. Statements stage when they have been resolved as a whole: nothing changes under a walk.
 *
 * I5. A staged row has a provisional seq: above the view's, unique, ascending in the order of I2.
 *     The commit gives the final one.
 */
#include "exec/open.h"
#include "exec/transaction.h"

#include "base/limits.h"
#include "base/map.h"

#include <stdlib.h>

typedef struct StagedRow {
    struct StagedRow *previous, *next; /* I2 */
    RowChange change;                  /* net; its slices point behind this struct; seq: I5 */
} StagedRow;

typedef struct StagedPart {
    Table *table; /* a reference */
    Partition partition;
    Map *by_key, *by_seq; /* of StagedRow; owned by the list */
    StagedRow *first, *last;
    uint64_t *reads; /* versions of the view, unsorted, some twice */
    size_t read_count, read_capacity;
    bool read_all; /* too many to list */
    struct StagedPart *next;
} StagedPart;

struct Transaction {
    char *id;
    OpenTransaction *entry; /* in the list of open ones; NULL until it has an id */
    ReadView *view;
    StagedPart *parts, **tail;
    size_t row_count, bytes; /* staged */
    size_t read_count;       /* listed, of all parts */
    uint64_t seq;            /* the last provisional one */
    uint64_t valid_seq;      /* up to here nobody has changed what was read or staged */
};

Transaction *exec__transaction_new(ReadView *view)
{
    Transaction *transaction = x_new(Transaction);
    transaction->view = view;
    transaction->seq = transaction->valid_seq = view_seq(view);
    transaction->tail = &transaction->parts;
    return transaction;
}

static void part_free(StagedPart *part)
{
    for (StagedRow *row = part->first, *next; row; row = next) {
        next = row->next;
        free(row);
    }
    map_free(part->by_key);
    map_free(part->by_seq);
    table_unref(part->table);
    free(part->reads);
    free(part);
}

void exec__transaction_free(Transaction *transaction)
{
    if (!transaction)
        return;
    for (StagedPart *part = transaction->parts, *next; part; part = next) {
        next = part->next;
        part_free(part);
    }
    exec__open_remove(transaction->entry);
    view_close(transaction->view);
    free(transaction->id);
    free(transaction);
}

Slice exec__transaction_id(const Transaction *transaction)
{
    return slice_of_text(transaction->id);
}

void exec__transaction_enlist(Transaction *transaction, const Run *run, Slice id)
{
    must(!transaction->entry);
    transaction->id = x_text(id);
    transaction->entry =
        exec__open_add(run->executor->open, id, run->session.user_id, view_seq(transaction->view));
}

void exec__transaction_tell(const Transaction *transaction, bool commits)
{
    OpenFigures figures = {transaction->row_count, transaction->bytes, 0, commits};
    for (const StagedPart *part = transaction->parts; part; part = part->next)
        figures.table_count++;
    if (transaction->entry)
        exec__open_tell(transaction->entry, &figures);
}

static StagedPart *find_part(const Transaction *transaction, Partition partition)
{
    StagedPart *part = transaction ? transaction->parts : NULL;
    while (part && !partition_equal(part->partition, partition))
        part = part->next;
    return part;
}

static StagedPart *need_part(Transaction *transaction, Table *table, Partition partition)
{
    StagedPart *part = find_part(transaction, partition);
    if (part)
        return part;
    part = x_new(StagedPart);
    part->table = table_ref(table);
    part->partition = partition;
    part->by_key = map_new();
    part->by_seq = map_new();
    *transaction->tail = part;
    transaction->tail = &part->next;
    return part;
}

static Slice seq_key(const uint64_t *seq)
{
    return slice_of(seq, sizeof *seq);
}

Code exec__check_transactional(const Run *run, const Table *table, Error *e)
{
    if (!run->transaction)
        return OK;
    if (table->kind == TABLE_STREAM)
        return fail(e, E_INVALID_OPERATION,
                    "STREAM tables are not transactional; use '%.*s.%.*s' outside BEGIN and COMMIT",
                    SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name));
    for (const StagedPart *part = run->transaction->parts; part; part = part->next)
        if (part->table->id == table->id && part->table != table)
            return fail(e, E_CONFLICT,
                        "table '%.*s.%.*s' was altered meanwhile; run the transaction again",
                        SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name));
    return OK;
}

Code exec__check_open(const Run *run, const ReadView *view, const Table *table, Error *e)
{
    if (view_seq(view) >= table_open_since(table))
        return OK;
    if (run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the view is older than the table's access level");
    return fail(e, E_CONFLICT, "table '%.*s.%.*s' was altered meanwhile; run the %s again",
                SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name),
                run->transaction ? "transaction" : "statement");
}

/* ---- reading ---- */

Code exec__open_view(const Run *run, ReadView **out, Error *e)
{
    if (run->transaction) {
        *out = run->transaction->view;
        return exec__check_target(run, e);
    }
    ReadView *view = NULL;
    TRY(view_open(run->executor->db, run->mode, &view, e));
    Code code = exec__check_target(run, e); /* not before: the view may show what came after it */
    if (code == OK)
        *out = view;
    else
        view_close(view);
    return code;
}

void exec__close_view(const Run *run, ReadView *view)
{
    if (!run->transaction)
        view_close(view);
}

Code exec__find(const TableView *at, Slice key, Arena *arena, Version *out, Error *e)
{
    const StagedPart *part = find_part(at->run->transaction, at->partition);
    const StagedRow *row = part ? map_get(part->by_key, key) : NULL;
    if (!row)
        return view_find(at->view, at->table, at->partition, key, arena, out, e);
    if (row->change.kind == CHANGE_DELETE)
        return E_NOT_FOUND;
    *out = (Version){.seq = row->change.seq, .has_row = true, .row = row->change.new_row};
    return OK;
}

bool exec__is_hidden(const TableView *at, uint64_t seq)
{
    const StagedPart *part = find_part(at->run->transaction, at->partition);
    return part && map_get(part->by_seq, seq_key(&seq));
}

struct StagedWalk {
    RowWalk *walk;
    const StagedPart *part; /* or NULL */
    const StagedRow *next;  /* staged row to give; NULL when they are through */
    uint64_t from_seq, to_seq;
    bool descending;
};

Code exec__walk_open(const TableView *at, uint64_t from_seq, uint64_t to_seq, bool descending,
                     StagedWalk **out, Error *e)
{
    RowWalk *rows = NULL;
    TRY(row_walk_open(at->view, at->table, at->partition, from_seq, to_seq, descending, &rows, e));
    StagedWalk *walk = x_new(StagedWalk);
    walk->walk = rows;
    walk->part = find_part(at->run->transaction, at->partition);
    walk->from_seq = from_seq;
    walk->to_seq = to_seq;
    walk->descending = descending;
    if (walk->part)
        walk->next = descending ? walk->part->last : walk->part->first;
    *out = walk;
    return OK;
}

void exec__walk_close(StagedWalk *walk)
{
    if (!walk)
        return;
    row_walk_close(walk->walk);
    free(walk);
}

void exec__walk_close_ptr(StagedWalk **walk)
{
    exec__walk_close(*walk);
    *walk = NULL;
}

static bool next_staged(StagedWalk *walk, uint64_t *out_seq, Slice *out_row)
{
    while (walk->next) {
        const RowChange *change = &walk->next->change;
        walk->next = walk->descending ? walk->next->previous : walk->next->next;
        if (change->kind == CHANGE_DELETE || change->seq < walk->from_seq ||
            change->seq > walk->to_seq)
            continue;
        *out_seq = change->seq;
        *out_row = change->new_row;
        return true;
    }
    return false;
}

Code exec__walk_next(StagedWalk *walk, bool *out_end, uint64_t *out_seq, Slice *out_row, Error *e)
{
    *out_end = false;
    if (walk->descending && next_staged(walk, out_seq, out_row))
        return OK;
    do {
        TRY(row_walk_next(walk->walk, out_end, out_seq, out_row, e));
    } while (!*out_end && walk->part && map_get(walk->part->by_seq, seq_key(out_seq)));
    if (*out_end && !walk->descending)
        *out_end = !next_staged(walk, out_seq, out_row);
    return OK;
}

/* ---- what was read ---- */

static int compare_seqs(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts the reads of a part and leaves each once. */
static void tidy_reads(Transaction *transaction, StagedPart *part)
{
    if (part->read_count < 2)
        return;
    qsort(part->reads, part->read_count, sizeof *part->reads, compare_seqs);
    size_t kept = 1;
    for (size_t i = 1; i < part->read_count; i++)
        if (part->reads[i] != part->reads[kept - 1])
            part->reads[kept++] = part->reads[i];
    transaction->read_count -= part->read_count - kept;
    part->read_count = kept;
}

static void add_read(Transaction *transaction, StagedPart *part, uint64_t seq)
{
    if (part->read_all)
        return;
    if (transaction->read_count >= 2 * TRANSACTION_READS_MAX) {
        tidy_reads(transaction, part);
        part->read_all = transaction->read_count >= TRANSACTION_READS_MAX;
    }
    if (part->read_all) {
        transaction->read_count -= part->read_count;
        part->read_count = 0;
        return;
    }
    if (part->read_count == part->read_capacity) {
        part->read_capacity = part->read_capacity ? part->read_capacity * 2 : 64;
        part->reads = x_grow(part->reads, part->read_capacity * sizeof *part->reads);
    }
    part->reads[part->read_count++] = seq;
    transaction->read_count++;
}

void exec__note_read(const TableView *at, uint64_t seq)
{
    Transaction *transaction = at->run->transaction;
    if (transaction && seq <= view_seq(transaction->view)) /* I5 */
        add_read(transaction, need_part(transaction, at->table, at->partition), seq);
}

/* ---- staging ---- */

static size_t change_bytes(const RowChange *change)
{
    return change->key.size + change->new_row.size + change->old_row.size;
}

static Slice put(char **io_at, Slice bytes)
{
    if (bytes.size)
        memcpy(*io_at, bytes.data, bytes.size);
    Slice copy = slice_of(*io_at, bytes.size);
    *io_at += bytes.size;
    return copy;
}

/* What `change` comes to after what was staged before. False: nothing is left of both. */
static bool merge(const RowChange *before, const RowChange *change, RowChange *out)
{
    *out = *change;
    if (!before)
        return true;
    bool was_there = before->kind != CHANGE_INSERT; /* in the view */
    must((before->kind == CHANGE_DELETE) == (change->kind == CHANGE_INSERT));
    out->old_row = before->old_row;
    out->old_seq = before->old_seq;
    out->old_prev_seq = before->old_prev_seq;
    out->old_is_cold = before->old_is_cold;
    if (change->kind == CHANGE_DELETE) {
        out->new_row = before->old_row; /* the last row that others saw */
        return was_there;
    }
    out->kind = was_there ? CHANGE_UPDATE : CHANGE_INSERT;
    return true;
}

static void unlink_row(Transaction *transaction, StagedPart *part, StagedRow *row)
{
    *(row->previous ? &row->previous->next : &part->first) = row->next;
    *(row->next ? &row->next->previous : &part->last) = row->previous;
    (void)map_remove(part->by_key, row->change.key);
    if (row->change.old_seq)
        (void)map_remove(part->by_seq, seq_key(&row->change.old_seq));
    transaction->row_count--;
    transaction->bytes -= change_bytes(&row->change);
}

static void link_row(Transaction *transaction, StagedPart *part, const RowChange *change)
{
    StagedRow *row = x_new_bytes(sizeof *row + change_bytes(change));
    char *at = (char *)(row + 1);
    row->change = *change;
    row->change.key = put(&at, change->key);
    row->change.new_row = put(&at, change->new_row);
    row->change.old_row = put(&at, change->old_row);
    row->change.seq = ++transaction->seq;
    row->previous = part->last;
    *(part->last ? &part->last->next : &part->first) = row;
    part->last = row;
    (void)map_put(part->by_key, row->change.key, row);
    if (row->change.old_seq)
        (void)map_put(part->by_seq, seq_key(&row->change.old_seq), row); /* I3 */
    transaction->row_count++;
    transaction->bytes += change_bytes(change);
}

static void stage_row(Transaction *transaction, StagedPart *part, const RowChange *change)
{
    StagedRow *before = map_get(part->by_key, change->key);
    RowChange net;
    bool remains = merge(before ? &before->change : NULL, change, &net);
    if (before)
        unlink_row(transaction, part, before);
    if (remains)
        link_row(transaction, part, &net);
    free(before); /* whose bytes `net` pointed to */
}

Code exec__stage(const Run *run, const Intent *intent, Error *e)
{
    Transaction *transaction = run->transaction;
    for (size_t i = 0; i < intent->part_count; i++) {
        const IntentPart *from = &intent->parts[i];
        StagedPart *part = need_part(transaction, from->table, from->partition);
        for (size_t k = 0; k < from->count; k++)
            stage_row(transaction, part, &from->changes[k]);
    }
    if (transaction->row_count > COMMIT_ROWS_MAX)
        return fail(e, E_TOO_LARGE, "a transaction may change at most %d rows; use several",
                    COMMIT_ROWS_MAX);
    if (transaction->bytes > COMMIT_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "a transaction may hold at most %d bytes of rows; use several",
                    COMMIT_BYTES_MAX);
    exec__transaction_tell(transaction, false);
    return OK;
}

/* ---- the end ---- */

static Code add_changes(Transaction *transaction, StagedPart *part, Intent *intent, Error *e)
{
    IntentPart *to = NULL;
    for (StagedRow *row = part->first; row; row = row->next) {
        const RowChange *change = &row->change;
        if (change->kind == CHANGE_UPDATE && slice_equal(change->new_row, change->old_row)) {
            add_read(transaction, part, change->old_seq); /* it is as it was, and must stay so */
            continue;
        }
        if (!to)
            to = intent_part(intent, part->table, part->partition);
        TRY(intent_add(intent, to, change, e));
    }
    return OK;
}

Code exec__transaction_intent(Transaction *transaction, Intent **out, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(transaction->valid_seq);
    for (StagedPart *part = transaction->parts; part; part = part->next)
        TRY(add_changes(transaction, part, intent, e));
    if (intent->row_count == 0)
        return OK;
    for (StagedPart *part = transaction->parts; part; part = part->next) {
        tidy_reads(transaction, part);
        ReadSet reads = {part->table, part->partition, part->reads, part->read_count,
                         part->read_all};
        if (reads.count || reads.all)
            intent_add_reads(intent, &reads);
    }
    *out = TAKE(intent);
    return OK;
}

/* ---- moving to a newer view ---- */

static Code changed(const StagedPart *part, Error *e)
{
    return fail(e, E_CONFLICT,
                "a row of table '%.*s.%.*s' that the transaction read or changed was changed by "
                "another commit; run the transaction again",
                SLICE_ARGS(part->table->namespace_name), SLICE_ARGS(part->table->name));
}

/* Looks for changes of what was read or is replaced. Too many changes, or ones that the feed no
 * longer has, are as good as a conflict. */
static Code check_feed(const Transaction *transaction, const StagedPart *part, ReadView *view,
                       Error *e)
{
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    Code code = feed_open(view, part->table, part->partition, transaction->valid_seq, &feed, e);
    if (code == E_CURSOR_TOO_OLD)
        return changed(part, e);
    TRY(code);
    for (size_t i = 0; i < TRANSACTION_READS_MAX; i++) {
        bool end = false;
        FeedChange change = {0};
        TRY(feed_next(feed, &end, &change, e));
        if (end)
            return OK;
        if (change.old_seq == 0)
            continue;
        bool was_read = part->read_all ||
                        (part->read_count && bsearch(&change.old_seq, part->reads, part->read_count,
                                                     sizeof *part->reads, compare_seqs));
        if (was_read || map_get(part->by_seq, seq_key(&change.old_seq)))
            break;
    }
    return changed(part, e);
}

/* Where the replaced versions lie by now; the keys of new rows must still be free. */
static Code renew_rows(StagedPart *part, ReadView *view, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (StagedRow *row = part->first; row; row = row->next) {
        RowChange *change = &row->change;
        Version version = {0};
        Code code = view_find(view, part->table, part->partition, change->key, arena, &version, e);
        if (code != OK && code != E_NOT_FOUND)
            return code;
        if (version.seq != change->old_seq)
            return changed(part, e);
        change->old_prev_seq = version.prev_seq;
        change->old_is_cold = version.is_cold;
        arena_reset(arena);
    }
    return OK;
}

Code exec__transaction_rebase(Transaction *transaction, ReadView *view, Error *e)
{
    for (StagedPart *part = transaction->parts; part; part = part->next) {
        if (!table_is_current(part->table))
            return fail(e, E_CONFLICT,
                        "table '%.*s.%.*s' was altered meanwhile; run the transaction again",
                        SLICE_ARGS(part->table->namespace_name), SLICE_ARGS(part->table->name));
        tidy_reads(transaction, part);
        TRY(check_feed(transaction, part, view, e));
        TRY(renew_rows(part, view, e));
    }
    transaction->valid_seq = view_seq(view);
    return OK;
}
