/* SPDX-License-Identifier: Apache-2.0
 *
 * The database of one epoch.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/exec/no_sink.h"
#include "../unit/table/small.h"
#include "model.h"
#include "os/log.h"

World world;

void failed(const char *format, ...)
{
    if (model->has_failed)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(model->failure, sizeof model->failure, format, args);
    va_end(args);
    model->has_failed = true;
}

uint64_t random_of(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static void must_be_ok(Code code, const Error *e, const char *what)
{
    if (code == OK)
        return;
    fprintf(stderr, "%s: %s %s\n", what, code_info(code)->name, e->text);
    exit(3);
}

#define MUST_OK(call)                  \
    do {                               \
        Error e_ = {0}, *e = &e_;      \
        Code code_ = (call);           \
        must_be_ok(code_, &e_, #call); \
    } while (0)

static uint64_t number_of_user(const char *name)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User found;
    MUST_OK(exec_resolve_user(world.executor, slice_of_text(name), arena, &found, e));
    return found.id;
}

LiveUser user_of(Who who)
{
    switch (who) {
    case ANNA:
        return (LiveUser){world.anna, SLICE("anna"), ROLE_USER, 0};
    case BERT:
        return (LiveUser){world.bert, SLICE("bert"), ROLE_USER, 0};
    case ROOT:
        break;
    }
    return (LiveUser){world.root, SLICE("root"), ROLE_SYSTEM, 0};
}

static void open_database(const char *folder)
{
    DatabaseOptions options = small_database(folder, FEED_WINDOW_S);
    options.hot.write_buffer_bytes = 4 << 20; /* so that it is flushed now and then */
    JobsOptions jobs = {.flush_rows_default = 2000, .check_interval_s = 1};
    ExecutorOptions exec = {
        .flush_wait_ms = 30 * 1000, .result_rows_max = 100000, .bcrypt_cost = 4};
    MUST_OK(database_open(&options, &world.db, e));
    MUST_OK(jobs_start(world.db, &jobs, &world.jobs, e));
    MUST_OK(executor_new(world.db, world.jobs, &exec, &world.executor, e));
    MUST_OK(exec_ensure_root(world.executor, SLICE("rootpassword"), e));
}

void world_open(const char *folder)
{
    /* Small, so that falling back, catching up and missing commits are ordinary. */
    static const LiveOptions sizes[] = {
        {0},
        {.socket_queue_bytes_max = 6000, .chunk_bytes_max = 1000},
        {.socket_queue_bytes_max = 20000, .chunk_bytes_max = 4000, .backlog_bytes_max = 20000},
    };
    world = (World){0};
    log_set(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    mutex_init_ranked(&world.lock, LOCK_CALLER);
    cond_init(&world.changed);
    open_database(folder);
    MUST_OK(workers_start("worker", THREAD_WORKER, WORKERS, 64, &world.workers, e));
    const LiveOptions *live = &sizes[random_of(&model->random) % 3];
    MUST_OK(live_hub_new(world.db, world.workers, live, &world.hub, e));
    for (int i = 0; i < LOOPS; i++) {
        MUST_OK(loop_new(&world.loops[i], e));
        MUST_OK(live_loop_new(world.hub, world.loops[i], &world.live[i], e));
        MUST_OK(loop_thread_start(world.loops[i], "loop", e));
    }
    world.anna = number_of_user("anna");
    world.bert = number_of_user("bert");
    world.root = number_of_user("root");
}

void world_close(void)
{
    for (int i = 0; i < LOOPS; i++)
        loop_thread_join(world.loops[i]);
    workers_stop(world.workers);
    for (int i = 0; i < LOOPS; i++) {
        live_loop_free(world.live[i]);
        loop_free(world.loops[i]);
    }
    jobs_stop(world.jobs);
    database_close(world.db);
    live_hub_free(world.hub);
    executor_free(world.executor);
    jobs_free(world.jobs);
}

/* ---- SQL ---- */

Code sql_run(Who who, const char *sql, const ResultSink *sink, Error *e)
{
    LiveUser user = user_of(who);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ExecRequest request = {
        .session = {user.user, user.user_id, user.role, SLICE("default"), true, 0},
        .sql = slice_of_text(sql),
        .timeout_ms = 60 * 1000};
    return exec_run(world.executor, &request, arena, sink ? sink : &no_sink, e);
}

void sql_must(const char *format, ...)
{
    char sql[300];
    Error error = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    if (sql_run(ROOT, sql, NULL, &error) != OK) {
        MUTEX_SCOPE(&world.lock);
        failed("%s: %s", sql, error.text);
    }
}

typedef struct Each {
    void (*row)(void *context, const Value *values);
    void *context;
} Each;

static Code each_row(void *context, const Value *values, Error *e)
{
    const Each *each = (const Each *)context;
    (void)e;
    each->row(each->context, values);
    return OK;
}

void sql_each(Who who, const char *sql, void (*row)(void *context, const Value *values),
              void *context)
{
    Each each = {row, context};
    ResultSink sink = {&each, no_begin, no_columns, each_row, no_end};
    Error error = {0};
    if (sql_run(who, sql, &sink, &error) != OK)
        failed("%s: %s", sql, error.text);
}

/* ---- calls to loops ---- */

typedef struct Call {
    void (*run)(void *argument);
    void *argument;
    bool has_run;
} Call;

static void run_call(void *argument)
{
    Call *call = (Call *)argument;
    call->run(call->argument);
    MUTEX_SCOPE(&world.lock);
    call->has_run = true;
    cond_broadcast(&world.changed);
}

void on_loop(int loop, void (*run)(void *argument), void *argument)
{
    Call call = {run, argument, false};
    loop_post(world.loops[loop], run_call, &call);
    MUTEX_SCOPE(&world.lock);
    while (!call.has_run)
        cond_wait(&world.changed, &world.lock);
}
