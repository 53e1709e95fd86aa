/* SPDX-License-Identifier: Apache-2.0
 *
 * A database, its jobs and its executors without a server; running requests the way the API does:
 * on the loop first, on a worker when that says so.
 */
#include "sql_test.h"

#include "../unit/table/small.h"
#include "os/thread.h"

#include <stdio.h>
#include <stdlib.h>

const char *const mode_names[MODE_COUNT] = {"native", "duckdb", "flushed"};

static void need(Code code, const Error *e, const char *what)
{
    if (code == OK)
        return;
    fprintf(stderr, "%s: %s %s\n", what, code_info(code)->name, e->text);
    exit(1);
}

void world_open(World *world, const char *folder)
{
    Error e = {0};
    DatabaseOptions options = small_database(folder, 3600);
    options.engine.instances = 2;
    need(database_open(&options, &world->db, &e), &e, "open the database");
    JobsOptions jobs = {
        .flush_rows_default = 1000 * 1000, .check_interval_s = 3600, .dropped_user_grace_s = 3600};
    need(jobs_start(world->db, &jobs, &world->jobs, &e), &e, "start the jobs");
    ExecutorOptions exec = {.flush_wait_ms = 30 * 1000, .result_rows_max = 5000, .bcrypt_cost = 4};
    need(executor_new(world->db, world->jobs, &exec, &world->executor, &e), &e,
         "make the executor");
    exec.duckdb_only = true;
    need(executor_new(world->db, world->jobs, &exec, &world->duck, &e), &e, "make the executor");
    need(exec_ensure_root(world->executor, SLICE("rootpassword"), &e), &e, "make root");
}

void world_close(World *world)
{
    executor_free(world->executor);
    executor_free(world->duck);
    jobs_stop(world->jobs);
    database_close(world->db);
    jobs_free(world->jobs);
}

/* ---- the sink ---- */

static void clear_rows(Outcome *outcome)
{
    for (size_t i = 0; i < outcome->row_count; i++)
        free(outcome->rows[i]);
    outcome->row_count = 0;
    buffer_clear(&outcome->columns);
}

/* Rows stay until a statement gives others, so that those of the last SELECT of a batch can be
 * compared. */
static void sink_begin(void *context, size_t index)
{
    (void)context;
    (void)index;
}

static void sink_columns(void *context, const ResultColumn *columns, size_t count)
{
    Outcome *outcome = context;
    clear_rows(outcome);
    outcome->column_count = count;
    for (size_t i = 0; i < count; i++) {
        buffer_printf(&outcome->columns, "%s%.*s %s", i ? "|" : "", SLICE_ARGS(columns[i].name),
                      type_info(columns[i].type)->name);
        if (columns[i].primary_key)
            buffer_add_text(&outcome->columns, " pk");
        else if (columns[i].not_null)
            buffer_add_text(&outcome->columns, " nn");
    }
}

static Code sink_row(void *context, const Value *values, Error *e)
{
    Outcome *outcome = context;
    (void)e;
    Buffer line = {0};
    for (size_t i = 0; i < outcome->column_count; i++) {
        if (i)
            buffer_add_char(&line, '|');
        size_t before = line.size;
        if (values[i].is_null)
            buffer_add_text(&line, "NULL");
        else
            value_print(&values[i], &line);
        if (line.size == before)
            buffer_add_text(&line, "(empty)");
    }
    if (outcome->row_count == outcome->row_capacity) {
        outcome->row_capacity = outcome->row_capacity ? outcome->row_capacity * 2 : 16;
        outcome->rows = x_grow(outcome->rows, outcome->row_capacity * sizeof *outcome->rows);
    }
    outcome->rows[outcome->row_count++] = x_text(buffer_slice(&line));
    buffer_done(&line);
    return OK;
}

static void sink_end(void *context, size_t row_count, const char *message, Slice as_user)
{
    Outcome *outcome = context;
    (void)as_user;
    int shown = message ? (int)strlen(message) : 0;
    if (message && strncmp(message, "Transaction ", 12) == 0)
        shown -= 39; /* " (" and a UUID ")", another one each time */
    if (message)
        buffer_printf(&outcome->messages, "%s%.*s", outcome->messages.size ? "\n" : "", shown,
                      message);
    else if (row_count != outcome->row_count)
        buffer_printf(&outcome->messages, "row_count %zu with %zu rows", row_count,
                      outcome->row_count);
}

/* ---- one request ---- */

typedef struct Waiter {
    Mutex lock;
    Cond ended;
    ExecPending *pending;
} Waiter;

static void on_done(void *context, ExecPending *pending)
{
    Waiter *waiter = context;
    mutex_lock(&waiter->lock);
    waiter->pending = pending;
    cond_signal(&waiter->ended);
    mutex_unlock(&waiter->lock);
}

static Code finish(Executor *executor, Waiter *waiter, const ResultSink *sink, Error *e)
{
    mutex_lock(&waiter->lock);
    while (!waiter->pending)
        cond_wait(&waiter->ended, &waiter->lock);
    mutex_unlock(&waiter->lock);
    return exec_finish(executor, waiter->pending, sink, e);
}

static Code run_as_server(Executor *executor, const ExecRequest *request, Arena *arena,
                          const ResultSink *sink, Error *e)
{
    Waiter waiter = {0};
    mutex_init(&waiter.lock);
    cond_init(&waiter.ended);
    Code code = OK;
    ExecOutcome outcome = exec_try(executor, request, arena, sink, on_done, &waiter, &code, e);
    if (outcome == EXEC_PENDING)
        code = finish(executor, &waiter, sink, e);
    if (outcome == EXEC_MOVE || (outcome == EXEC_PENDING && code == E_CONFLICT)) {
        ((Outcome *)sink->context)->moves++;
        code = exec_run(executor, request, arena, sink, e);
    }
    cond_done(&waiter.ended);
    mutex_done(&waiter.lock);
    return code;
}

void run_sql(World *world, Mode mode, const Caller *caller, const char *sql, Outcome *out)
{
    *out = (Outcome){0};
    Error e = {0};
    Arena *arena = arena_new();
    User user = {0};
    need(exec_resolve_user(world->executor, caller->user_id, arena, &user, &e), &e,
         "find the user");
    ExecRequest request = {
        .session = {.user = user.id,
                    .user_id = caller->user_id,
                    .role = caller->role,
                    .namespace_name = caller->namespace_name},
        .sql = slice_of_text(sql),
        .params = caller->params,
        .param_count = caller->param_count,
        .timeout_ms = 600 * 1000, /* only a hang meets it */
    };
    ResultSink sink = {out, sink_begin, sink_columns, sink_row, sink_end};
    Executor *executor = mode == MODE_DUCK ? world->duck : world->executor;
    out->code = run_as_server(executor, &request, arena, &sink, &e);
    if (out->code != OK) {
        Buffer text = {0};
        buffer_printf(&text, "%s %s", code_info(out->code)->name, e.text);
        out->error = x_text(buffer_slice(&text));
        buffer_done(&text);
    }
    arena_free(arena);
}

void outcome_done(Outcome *outcome)
{
    clear_rows(outcome);
    free(outcome->rows);
    free(outcome->error);
    buffer_done(&outcome->columns);
    buffer_done(&outcome->messages);
}

void world_flush(World *world)
{
    Caller root = {
        .user_id = SLICE("root"), .role = ROLE_SYSTEM, .namespace_name = SLICE("default")};
    Outcome list;
    run_sql(world, MODE_NATIVE, &root,
            "SELECT namespace_id, table_name FROM system.tables WHERE table_type <> 'stream'",
            &list);
    for (size_t i = 0; i < list.row_count; i++) {
        char *bar = strchr(list.rows[i], '|');
        must(bar != NULL);
        *bar = '.';
        Buffer sql = {0};
        buffer_printf(&sql, "STORAGE FLUSH TABLE %s", list.rows[i]);
        buffer_add_u8(&sql, 0);
        Outcome flushed;
        run_sql(world, MODE_NATIVE, &root, sql.data, &flushed);
        if (flushed.code != OK)
            fprintf(stderr, "%s: %s\n", sql.data, flushed.error);
        must(flushed.code == OK);
        outcome_done(&flushed);
        buffer_done(&sql);
    }
    outcome_done(&list);
}
