/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "../table/small.h"
#include "test.h"

static const Slice user_ids[WORLD_USERS] = {SLICE("u0"), SLICE("u1"), SLICE("u2")};

World world_open(void)
{
    World w = {0};
    DatabaseOptions options = small_database(test_folder(), 3600);
    options.engine.instances = 2;
    JobsOptions jobs = {.flush_rows_default = 1000000, .check_interval_s = 3600};
    ExecutorOptions exec = {.flush_wait_ms = 30000, .result_rows_max = 100, .bcrypt_cost = 4};
    CHECK_OK(database_open(&options, &w.db, e));
    CHECK_OK(jobs_start(w.db, &jobs, &w.jobs, e));
    CHECK_OK(executor_new(w.db, w.jobs, &exec, &w.executor, e));
    for (int i = 0; i < WORLD_USERS; i++) {
        Arena *arena = arena_new();
        User user = {0};
        CHECK_OK(exec_resolve_user(w.executor, user_ids[i], arena, &user, e));
        w.users[i] = user.id;
        arena_free(arena);
    }
    return w;
}

void world_close(World *w)
{
    executor_free(w->executor);
    jobs_stop(w->jobs);
    database_close(w->db);
    jobs_free(w->jobs);
}

static void on_begin(void *context, size_t index)
{
    Answer *answer = context;
    answer->rows = 0;
    answer->sum = answer->ended_sum;
    if (answer->meanwhile && index == answer->at) {
        const char *sql = answer->meanwhile;
        answer->meanwhile = NULL;
        world_run(answer->w, sql);
    }
}

static void on_columns(void *context, const ResultColumn *columns, size_t count)
{
    (void)context;
    (void)columns;
    (void)count;
}

static Code on_row(void *context, const Value *values, Error *e)
{
    Answer *answer = context;
    (void)e;
    answer->rows++;
    if (answer->leaves_at_row)
        exec_leave(answer->w->executor, &answer->has_left);
    if (values[0].is_null) {
        answer->last = -1;
        return OK;
    }
    answer->last = values[0].type == TYPE_DOUBLE ? (int64_t)values[0].real : values[0].integer;
    answer->sum += answer->last;
    return OK;
}

static void on_end(void *context, size_t row_count, const char *message, Slice as_user)
{
    (void)row_count;
    (void)message;
    (void)as_user;
    Answer *answer = context;
    answer->ends++;
    answer->ended_sum = answer->sum;
}

ResultSink world_sink(Answer *answer)
{
    return (ResultSink){answer, on_begin, on_columns, on_row, on_end};
}

Session world_session(const World *w, int user, Role role)
{
    return (Session){.user = w->users[user],
                     .user_id = user_ids[user],
                     .role = role,
                     .namespace_name = SLICE("app")};
}

Code world_run_as(World *w, int user, Role role, const char *sql, Answer *answer, Error *e)
{
    Arena *arena = arena_new();
    ResultSink sink = world_sink(answer);
    ExecRequest request = {.session = world_session(w, user, role),
                           .sql = slice_of_text(sql),
                           .timeout_ms = 30000,
                           .has_left = &answer->has_left};
    answer->w = w;
    Code code = exec_run(w->executor, &request, arena, &sink, e);
    arena_free(arena);
    return code;
}

Code world_try(World *w, const char *sql, Answer *answer, Error *e)
{
    return world_run_as(w, 0, ROLE_SYSTEM, sql, answer, e);
}

void world_run(World *w, const char *sql)
{
    Answer answer = {0};
    CHECK_OK(world_try(w, sql, &answer, e));
}

int64_t world_number(World *w, const char *sql)
{
    Answer answer = {0};
    CHECK_OK(world_try(w, sql, &answer, e));
    return answer.last;
}
