/* SPDX-License-Identifier: Apache-2.0
 *
 * BEGIN, COMMIT and ROLLBACK inside one request. A transaction is its view, the rows it staged and
 * the versions it read (staging.c); COMMIT makes one Intent of them, so that it happens as a whole,
 * at one place of the feed, or not at all.
 *
 * I1. Nothing of a transaction is visible or on disk before its COMMIT is answered.
 * I2. It commits only if nobody changed a row that it read or writes since its view. A conflict is
 *     the client's: the statements are not run again, for they may depend on what was read before.
 *     What the committer refuses although no such row changed (a flush moved the partition) is
 *     offered again.
 * I3. It ends with its request.
 */
#include "exec/transaction.h"

static Code new_id(const Run *run, Slice *out, Error *e)
{
    Value id = {0};
    TRY(exec__new_id(run->executor->db, DEFAULT_UUID_V7, run->arena, &id, e));
    *out = id.bytes;
    return OK;
}

/* A BEGIN inside of a transaction, or the end of none. */
static Code refuse(const Run *run, Error *e)
{
    if (!run->transaction)
        return fail(e, E_INVALID_OPERATION, "There is no open transaction; BEGIN starts one");
    Slice open = exec__transaction_id(run->transaction);
    return fail(e, E_NESTED_BEGIN,
                "request owner 'sql-req-%.*s' already has an active transaction '%.*s'",
                SLICE_ARGS(open), SLICE_ARGS(open));
}

static Code begin(Run *run, Error *e)
{
    Slice id = {0};
    TRY(new_id(run, &id, e));
    ReadView *view = NULL;
    TRY(view_open(run->executor->db, run->mode, &view, e));
    run->transaction = exec__transaction_new(view);
    exec__transaction_enlist(run->transaction, run, id);
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Transaction started (%.*s)", SLICE_ARGS(id)));
    return OK;
}

static Code commit_once(Run *run, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = NULL;
    TRY(exec__transaction_intent(run->transaction, &intent, e));
    if (!intent)
        return OK;
    exec__own_intent(run, intent);
    return database_commit(run->executor->db, intent, e);
}

static Code rebase(Run *run, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(exec__check_time(run, e));
    TRY(view_open(run->executor->db, run->mode, &view, e));
    return exec__transaction_rebase(run->transaction, view, e);
}

static Code commit(Run *run, Error *e)
{
    for (int i = 0; i < EXEC_CONFLICT_TRIES_MAX; i++) {
        Code code = commit_once(run, e);
        if (code != E_CONFLICT)
            return code;
        TRY(rebase(run, e));
    }
    return fail(e, E_CONFLICT, "its tables are moved again and again; run the transaction again");
}

static Code end(Run *run, bool commits, Error *e)
{
    exec__transaction_tell(run->transaction, commits);
    TRY(commits ? commit(run, e) : OK);
    Slice id = exec__transaction_id(run->transaction);
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Transaction %s (%.*s)",
                                   commits ? "committed" : "rolled back", SLICE_ARGS(id)));
    exec__transaction_free(TAKE(run->transaction));
    return OK;
}

Code exec__run_transaction(Run *run, Error *e)
{
    bool is_begin = run->statement->kind == STATEMENT_BEGIN;
    if (is_begin == (run->transaction != NULL))
        return exec__place(run, run->statement->offset, refuse(run, e), e);
    return is_begin ? begin(run, e) : end(run, run->statement->kind == STATEMENT_COMMIT, e);
}

Code exec__check_in_transaction(const Run *run, Error *e)
{
    if (!run->transaction)
        return OK;
    exec__transaction_tell(run->transaction, false);
    switch (run->statement->kind) {
    case STATEMENT_SELECT:
    case STATEMENT_INSERT:
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
    case STATEMENT_TRUNCATE:
    case STATEMENT_BEGIN: /* refused with a sentence of its own */
    case STATEMENT_COMMIT:
    case STATEMENT_ROLLBACK:
    case STATEMENT_USE_NAMESPACE:
    case STATEMENT_SHOW_NAMESPACES:
    case STATEMENT_SHOW_TABLES:
    case STATEMENT_SHOW_STORAGES:
    case STATEMENT_SHOW_CREATE_TABLE:
    case STATEMENT_DESCRIBE_TABLE:
        return OK;
    default:
        return fail(e, E_INVALID_OPERATION,
                    "%s is not allowed inside a transaction; it takes SELECT, INSERT, UPDATE, "
                    "DELETE and TRUNCATE",
                    sql_statement_name(run->statement->kind));
    }
}

Code exec__end_request(Transaction *transaction, Code code, Error *e)
{
    if (!transaction)
        return code;
    exec__transaction_free(transaction); /* I3 */
    if (code != OK)
        return code;
    return fail(e, E_INVALID_OPERATION,
                "Request completed with an open explicit transaction; rolled back automatically");
}
