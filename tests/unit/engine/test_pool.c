/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool: one query per instance, waiting, and many threads at once.
 */
#include "os/thread.h"
#include "rows.h"
#include "test.h"

static Code start_query(EnginePool *pool, uint32_t wait_ms, EngineQuery **out_query,
                        EngineResult **out_result, Error *e)
{
    EngineLimits limits = {.wait_ms = wait_ms};
    *out_query = engine_query_new(pool);
    return engine_run(*out_query, SLICE("SELECT x FROM range(100000000) t(x)"), &limits, out_result,
                      e);
}

TEST("with all instances busy the next query gets E_BUSY, and an instance freed is used again")
{
    EnginePool *pool = rows_pool(2);
    EngineQuery *queries[3];
    EngineResult *results[3] = {0};
    CHECK_OK(start_query(pool, 0, &queries[0], &results[0], e));
    CHECK_OK(start_query(pool, 0, &queries[1], &results[1], e));
    CHECK_CODE(start_query(pool, 0, &queries[2], &results[2], e), E_BUSY);
    engine_query_free(queries[2]);
    CHECK_CODE(start_query(pool, 20, &queries[2], &results[2], e), E_BUSY);
    engine_query_free(queries[2]);
    engine_result_free(results[0]);
    CHECK_OK(start_query(pool, 0, &queries[2], &results[2], e));
    engine_result_free(results[1]);
    engine_result_free(results[2]);
    for (int i = 0; i < 3; i++)
        engine_query_free(queries[i]);
    engine_pool_free(pool);
}

TEST("trimming closes what is idle, leaves what runs, and the pool goes on")
{
    EnginePool *pool = rows_pool(2);
    EngineQuery *query;
    EngineResult *result = NULL;
    engine_pool_trim(pool, 0); /* nothing is open yet */
    CHECK_OK(rows_run(pool, NULL, "SELECT 1", NULL, e));
    CHECK_OK(start_query(pool, 0, &query, &result, e));
    CHECK_OK(rows_run(pool, NULL, "SELECT 1", NULL, e));
    engine_pool_trim(pool, 0);
    const Value *row = NULL;
    bool end = true;
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK(!end);
    engine_result_free(result);
    engine_query_free(query);
    CHECK_OK(rows_run(pool, NULL, "SELECT 1", NULL, e));
    engine_pool_free(pool);
}

TEST("a stopped pool ends what runs and starts nothing new")
{
    EnginePool *pool = rows_pool(1);
    EngineQuery *query;
    EngineResult *result = NULL;
    CHECK_OK(start_query(pool, 0, &query, &result, e));
    engine_pool_stop(pool);
    Code code = OK;
    Error error = {0};
    const Value *row = NULL;
    bool end = false;
    while (code == OK && !end)
        code = engine_result_next(result, &row, &end, &error);
    CHECK_INT(code, E_CANCELLED);
    engine_result_free(result);
    engine_query_free(query);
    CHECK_CODE(rows_run(pool, NULL, "SELECT 1", NULL, e), E_SHUTTING_DOWN);
    engine_pool_free(pool);
}

/* ---- Threads ---- */

enum { THREADS = 4, ROUNDS = 25 };

typedef struct Load {
    EnginePool *pool;
    atomic_int wrong, finished;
} Load;

static Code count_rows(EnginePool *pool, Rows *rows, int64_t *out, Error *e)
{
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    CLEANUP(buffer_done) Buffer sql = {0};
    EngineSource source = rows_source(rows);
    EngineLimits limits = {.wait_ms = 60000, .timeout_ms = 60000};
    uint32_t ref = 0;
    TRY(engine_query_add_source(query, &source, &ref, e));
    unsigned long long handle = engine_query_handle(query);
    buffer_printf(&sql, "SELECT count(*) FROM hot(%llu,0) WHERE alive(%llu,0,_seq)", handle,
                  handle);
    TRY(engine_run(query, buffer_slice(&sql), &limits, &result, e));
    const Value *row = NULL;
    bool end = false;
    TRY(engine_result_next(result, &row, &end, e));
    *out = row[0].integer;
    return OK;
}

static void run_load(void *argument)
{
    Load *load = argument;
    for (int i = 0; i < ROUNDS; i++) {
        Rows rows;
        Error error;
        int64_t got = 0;
        rows_init(&rows, 1 + (uint64_t)i * 100);
        Code code = count_rows(load->pool, &rows, &got, &error);
        if (code != OK || got != 1 + i * 100 || rows.opened != rows.closed)
            atomic_fetch_add(&load->wrong, 1);
    }
    atomic_fetch_add(&load->finished, 1);
}

TEST("more threads than instances each get their own rows and nobody waits for ever")
{
    Load load = {.pool = rows_pool(2)};
    Thread *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(thread_start("load", THREAD_ANY, run_load, &load, &threads[i], e));
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    CHECK_INT(load.wrong, 0);
    CHECK_INT(load.finished, THREADS);
    engine_pool_free(load.pool);
}

typedef struct Canceller {
    EnginePool *pool;
    Rows *rows;
    atomic_bool is_cancelled;
} Canceller;

static void cancel_once_scanning(void *argument)
{
    Canceller *canceller = argument;
    while (atomic_load(&canceller->rows->opened) == 0)
        ;
    atomic_store(&canceller->is_cancelled, true);
    engine_pool_look(canceller->pool);
}

TEST("a statement without a timeout is cancelled by another thread while it runs")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 1);
    rows.is_endless = true;
    EngineSource source = rows_source(&rows);
    EngineQuery *query = engine_query_new(pool);
    CLEANUP(buffer_done) Buffer sql = {0};
    EngineLimits limits = {0};
    EngineResult *result = NULL;
    uint32_t ref = 0;
    CHECK_OK(engine_query_add_source(query, &source, &ref, e));
    buffer_printf(&sql, "SELECT sum(id) FROM hot(%llu,0)",
                  (unsigned long long)engine_query_handle(query));
    Canceller canceller = {pool, &rows, false};
    engine_query_watch(query, &canceller.is_cancelled);
    Thread *thread = NULL;
    CHECK_OK(thread_start("cancel", THREAD_ANY, cancel_once_scanning, &canceller, &thread, e));
    Error error = {0};
    Code code = engine_run(query, buffer_slice(&sql), &limits, &result, &error);
    const Value *row = NULL;
    bool end = false;
    if (code == OK)
        code = engine_result_next(result, &row, &end, &error);
    CHECK_INT(code, E_CANCELLED);
    thread_join(thread);
    engine_result_free(result);
    engine_query_free(query);
    CHECK_OK(rows_run(pool, NULL, "SELECT 1", NULL, e));
    engine_pool_free(pool);
}
