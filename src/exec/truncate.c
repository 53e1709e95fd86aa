/* SPDX-License-Identifier: Apache-2.0
 *
 * TRUNCATE: every row of the session's partition is deleted, oldest first, in as few commits as
 * fit.
 *
 * Up to COMMIT_ROWS_MAX rows and COMMIT_BYTES_MAX bytes it is one commit. More take several, each
 * of them whole; it ends when one has found less than fits, so that the partition was empty at that
 * commit. Subscribers see each deletion. In a transaction it is a DELETE of every row like any
 * other.
 */
#include "exec/exec_int.h"

/* WHERE _seq > after: the rows below are gone already. */
static Expr *newer_than(uint64_t after, Arena *arena)
{
    Expr *seq = arena_new_of(arena, Expr);
    *seq = (Expr){.kind = EXPR_COLUMN, .column = {.name = SLICE("_seq")}};
    Expr *bound = arena_new_of(arena, Expr);
    *bound = (Expr){.kind = EXPR_LITERAL, .value = value_integer(TYPE_BIGINT, (int64_t)after)};
    Expr *where = arena_new_of(arena, Expr);
    *where = (Expr){.kind = EXPR_BINARY, .op = OP_GREATER, .left = seq, .right = bound};
    return where;
}

/* One commit of the rows after *io_after. */
static Code truncate_some(const Run *run, uint64_t *io_after, Resolved *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new(); /* the rows of one commit, no longer */
    Statement statement = *run->statement;
    Run part = *run;
    part.arena = arena;
    part.statement = &statement;
    if (*io_after)
        statement.delete_.where = newer_than(*io_after, arena);
    *out = (Resolved){0};
    TRY(exec__commit_dml(&part, out, e));
    *io_after = out->last_seq;
    return OK;
}

Code exec__run_truncate(Run *run, Error *e)
{
    uint64_t after = 0;
    size_t affected = 0, commits = 0;
    Resolved resolved = {0};
    do {
        Code code = truncate_some(run, &after, &resolved, e);
        if (code != OK && commits)
            return wrap(e, "TRUNCATE has deleted %zu rows in %zu commits", affected, commits);
        TRY(code);
        affected += resolved.affected;
        commits++;
    } while (resolved.is_partial);
    resolved.affected = affected;
    exec__end_dml(run, &resolved);
    return OK;
}
