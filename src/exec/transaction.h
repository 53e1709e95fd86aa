/* SPDX-License-Identifier: Apache-2.0
 *
 * BEGIN … COMMIT inside one request: what the statements of a transaction read and write through.
 *
 * Every read and write of a table's rows in exec/ goes through these functions. Without a
 * transaction they are those of table/view.h; within one, the rows it has staged stand in for those
 * of its view.
 *
 * Not thread-safe: DuckDB's threads call them under the lock of their statement.
 */
#pragma once

#include "exec/exec_int.h"

/* One partition as a statement sees it. */
typedef struct TableView {
    const Run *run;
    ReadView *view;
    Table *table;
    Partition partition;
} TableView;

/* The transaction's view, or a new one, of which the target of EXECUTE AS USER, as it is stored
 * once the view is open, may be shown the rows. Close it with exec__close_view. */
CHECKED Code exec__open_view(const Run *run, ReadView **out, Error *e);
void exec__close_view(const Run *run, ReadView *view); /* accepts NULL */

/* view_find. A staged row has a provisional seq above that of the view. */
CHECKED Code exec__find(const TableView *at, Slice key, Arena *arena, Version *out, Error *e);

/* row_walk_next with the staged rows merged in: they are newer than all others. The staged rows
 * must not change meanwhile. */
typedef struct StagedWalk StagedWalk;
CHECKED Code exec__walk_open(const TableView *at, uint64_t from_seq, uint64_t to_seq,
                             bool descending, StagedWalk **out, Error *e);
CHECKED Code exec__walk_next(StagedWalk *walk, bool *out_end, uint64_t *out_seq, Slice *out_row,
                             Error *e);
void exec__walk_close(StagedWalk *walk); /* accepts NULL */
void exec__walk_close_ptr(StagedWalk **walk);

/* Whether the transaction has replaced or deleted this version of the view. */
bool exec__is_hidden(const TableView *at, uint64_t seq);
/* Remembers that a version of the view was read: COMMIT fails when somebody changed it. Nothing
 * outside a transaction, nothing for staged rows. */
void exec__note_read(const TableView *at, uint64_t seq);

/* ---- for the statements ---- */
/* Takes over the changes of a resolved statement, all or none. E_TOO_LARGE: more than a commit may
 * hold. */
CHECKED Code exec__stage(const Run *run, const Intent *intent, Error *e);
/* STREAM tables are refused, and those that changed since the transaction saw them. */
CHECKED Code exec__check_transactional(const Run *run, const Table *table, Error *e);
/* Rights are those of now, rows those of the view: a view from before more roles came to read the
 * table shows what they were not to see. E_CONFLICT: read at a newer view; in a transaction there
 * is none. */
CHECKED Code exec__check_open(const Run *run, const ReadView *view, const Table *table, Error *e);
/* Whether the caller may be the target of EXECUTE AS USER, as that is stored now: what a view from
 * before shows is of a time when it had no other role. executor.c */
CHECKED Code exec__check_target(const Run *run, Error *e);
/* Whether a statement of this kind may stand between BEGIN and COMMIT. */
CHECKED Code exec__check_in_transaction(const Run *run, Error *e);
/* BEGIN, COMMIT, ROLLBACK: sets run->transaction. */
CHECKED Code exec__run_transaction(Run *run, Error *e);
/* What is left at the end of a request is rolled back: E_INVALID_OPERATION unless it failed
 * already. Accepts NULL. */
CHECKED Code exec__end_request(Transaction *transaction, Code code, Error *e);

/* ---- staging.c, for transaction.c ---- */
Transaction *exec__transaction_new(ReadView *view); /* takes the view */
void exec__transaction_free(Transaction *transaction);
Slice exec__transaction_id(const Transaction *transaction);
/* Gives it its id and an entry in system.transactions. Once, before anything else. */
void exec__transaction_enlist(Transaction *transaction, const Run *run, Slice id);
/* Brings the figures of that entry up to date. */
void exec__transaction_tell(const Transaction *transaction, bool commits);
/* After a conflict: it may come from a flush, or because the committer's memory is short. Where
 * nobody has changed what was read or staged, the next intent counts from the newer view.
 * E_CONFLICT otherwise. */
CHECKED Code exec__transaction_rebase(Transaction *transaction, ReadView *view, Error *e);
/* All that is staged and was read, as one Intent; NULL when nothing is to be committed. */
CHECKED Code exec__transaction_intent(Transaction *transaction, Intent **out, Error *e);
