/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop's way: one statement that needs nothing but memory runs at once, a write waits for its
 * commit without holding a thread. Everything else moves to a worker, which starts it anew: reads
 * are only from memory, at most EXEC_CACHED_ROWS_MAX rows, and nothing has happened when it moves.
 */
#include "exec/exec_int.h"

#include "os/clock.h"
#include "sql/sql.h"

#include <stdlib.h>

/* A write that waits. Made on the loop, filled by the committer, freed on the loop. */
struct ExecPending {
    Run run; /* for the end: session, arena, index */
    Resolved resolved;
    ExecDone *done;
    void *context;
    Code code; /* what the committer said; published by calling `done` */
    Error error;
};

static bool is_short(const Run *run)
{
    const Statement *statement = run->statement;
    switch (statement->kind) {
    case STATEMENT_SELECT:
        return sql_select_is_native(statement->select);
    case STATEMENT_INSERT:
        return !statement->insert.select &&
               statement->insert.row_count <= EXEC_CACHED_INSERT_ROWS_MAX;
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
        return true; /* those that are not short run into E_WOULD_BLOCK */
    default:
        return false;
    }
}

/* A view may block while it is filled: jobs and users are read from the store. */
static bool reads_view(const Run *run)
{
    const Statement *statement = run->statement;
    if (statement->kind != STATEMENT_SELECT || !statement->select->from)
        return false;
    const TableRef *from = statement->select->from;
    return from->kind != REF_TABLE ||
           catalog_is_system_namespace(exec__namespace_of(run, &from->table));
}

static void committed(void *context, Intent *intent, Code code, const Error *error)
{
    ExecPending *pending = context;
    (void)intent; /* exec_finish releases it */
    pending->code = code;
    if (code != OK && error)
        pending->error = *error;
    pending->error.code = code;
    pending->done(pending->context, pending);
}

/* What exec_try was called with, and what came of it. */
typedef struct Attempt {
    Executor *executor;
    const ExecRequest *request;
    Arena *arena;
    const ResultSink *sink;
    ExecDone *done;
    void *context;
    bool is_pending;
} Attempt;

static Code try_write(Attempt *attempt, Run *run, Error *e)
{
    Resolved resolved = {0};
    TRY(exec__resolve(run, &resolved, e));
    if (!resolved.intent) {
        exec__end_dml(run, &resolved);
        return OK;
    }
    ExecPending *pending = x_new(ExecPending);
    pending->run = *run;
    pending->resolved = resolved;
    pending->done = attempt->done;
    pending->context = attempt->context;
    resolved.intent->done = committed;
    resolved.intent->context = pending;
    /* The queue takes one reference, exec_finish releases the other. The committer may call `done`
     * before the submit returns: from then on `pending` is not ours. */
    Code code = database_submit(run->executor->db, intent_ref(resolved.intent), e);
    attempt->is_pending = code == OK;
    if (code == OK)
        return OK;
    intent_unref(resolved.intent);
    intent_unref(resolved.intent);
    free(pending);
    return code;
}

static Code try_statement(Attempt *attempt, Run *run, Error *e)
{
    if (!is_short(run) || reads_view(run))
        return fail(e, E_WOULD_BLOCK, "the statement runs on a worker");
    run->eval.now_us = clock_wall_us();
    run->sink = attempt->sink;
    run->sink->begin(run->sink->context, 0);
    Code code = run->statement->kind == STATEMENT_SELECT ? exec__run_select(run, e)
                                                         : try_write(attempt, run, e);
    if (code == OK || code == E_WOULD_BLOCK)
        return code;
    return exec__name_failure(run, e);
}

static Code try_request(Attempt *attempt, Error *e)
{
    if (attempt->request->sql.size > EXEC_CACHED_SQL_BYTES_MAX)
        return fail(e, E_WOULD_BLOCK, "a long text is parsed by a worker");
    Prepared *prepared = NULL;
    size_t count = 0;
    TRY(exec__prepare(attempt->executor, attempt->request, attempt->arena, HOT_CACHED_ONLY,
                      &prepared, &count, e));
    Code code = try_statement(attempt, &prepared->run, e);
    exec__release(prepared, count);
    return code;
}

ExecOutcome exec_try(Executor *executor, const ExecRequest *request, Arena *arena,
                     const ResultSink *sink, ExecDone *done, void *context, Code *out_code,
                     Error *e)
{
    Attempt attempt = {executor, request, arena, sink, done, context, false};
    Error local = {0};
    Code code = try_request(&attempt, &local);
    if (code == E_WOULD_BLOCK)
        return EXEC_MOVE;
    if (attempt.is_pending)
        return EXEC_PENDING;
    *out_code = code;
    if (code != OK && e)
        *e = local;
    return EXEC_ENDED;
}

Code exec_finish(Executor *executor, ExecPending *pending, const ResultSink *sink, Error *e)
{
    (void)executor;
    Code code = pending->code;
    if (code == OK) {
        pending->run.sink = sink;
        exec__end_dml(&pending->run, &pending->resolved);
    } else if (code != E_CONFLICT) { /* which the client never sees: the statement runs again */
        code = exec__name_failure(&pending->run, &pending->error);
    }
    if (code != OK && e)
        *e = pending->error;
    intent_unref(pending->resolved.intent);
    free(pending);
    return code;
}
