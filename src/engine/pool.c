/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool of instances and the watchdog that stops statements which run too long or were
 * cancelled.
 *
 * DuckDB forgets an interrupt that arrives between two steps of a statement. The watchdog therefore
 * repeats it every REPEAT_MS until the instance is free again. With nothing to stop and no deadline
 * ahead it sleeps without a timeout.
 */
#include "engine/engine_int.h"

#include <stdlib.h>

enum { REPEAT_MS = 20 };
static const int64_t US_PER_MS = 1000;
static const uint64_t MEMORY_BYTES_MIN = 16 * 1024 * 1024;

/* ---- The watchdog ---- */

/* Interrupts what is due; returns when to look again, 0 = when told. The pool is locked. */
static int64_t interrupt_due(EnginePool *pool, int64_t now)
{
    int64_t next = 0;
    for (uint32_t i = 0; i < pool->config.instances; i++) {
        EngineQuery *query = pool->instances[i].running;
        if (!query)
            continue;
        if (query->deadline_us && query->deadline_us <= now)
            atomic_store(&query->is_expired, true);
        int64_t at = query->deadline_us;
        if (atomic_load(&query->is_expired) || engine__is_cancelled(query)) {
            duckdb_interrupt(pool->instances[i].connection);
            at = now + REPEAT_MS * US_PER_MS;
        }
        if (at && (!next || at < next))
            next = at;
    }
    return next;
}

static void watchdog_run(void *argument)
{
    EnginePool *pool = argument;
    mutex_lock(&pool->lock);
    while (!pool->is_stopping) {
        int64_t next = interrupt_due(pool, clock_monotonic_us());
        if (next)
            (void)cond_wait_until(&pool->watched, &pool->lock, next);
        else
            cond_wait(&pool->watched, &pool->lock);
    }
    mutex_unlock(&pool->lock);
}

/* ---- Instances ---- */

/* A free instance, an open one if there is any. The pool is locked. */
static Instance *find_free(EnginePool *pool)
{
    Instance *closed = NULL;
    for (uint32_t i = 0; i < pool->config.instances; i++) {
        Instance *instance = &pool->instances[i];
        if (instance->is_busy)
            continue;
        if (instance->is_open)
            return instance;
        if (!closed)
            closed = instance;
    }
    return closed;
}

static Code take_free(EnginePool *pool, EngineQuery *query, uint32_t wait_ms, Instance **out,
                      Error *e)
{
    int64_t give_up = clock_monotonic_us() + wait_ms * US_PER_MS;
    for (;;) {
        if (pool->is_refusing)
            return fail(e, E_SHUTTING_DOWN, "the server is stopping");
        if (engine__is_cancelled(query))
            return fail(e, E_CANCELLED, "the statement was cancelled");
        *out = find_free(pool);
        if (*out)
            return OK;
        if (clock_monotonic_us() >= give_up)
            return fail(e, E_BUSY, "all %u query engines are busy", pool->config.instances);
        (void)cond_wait_until(&pool->freed, &pool->lock, give_up);
    }
}

static Code start_watchdog(EnginePool *pool, Error *e)
{
    if (pool->watchdog)
        return OK;
    return thread_start("engine-watch", THREAD_ANY, watchdog_run, pool, &pool->watchdog, e);
}

Code engine__acquire(EnginePool *pool, EngineQuery *query, uint32_t wait_ms, uint32_t timeout_ms,
                     Instance **out_instance, Error *e)
{
    must(thread_kind() != THREAD_LOOP);
    must(thread_kind() != THREAD_COMMITTER);
    Instance *instance = NULL;
    mutex_lock(&pool->lock);
    Code code = start_watchdog(pool, e);
    if (code == OK)
        code = take_free(pool, query, wait_ms, &instance, e);
    if (code == OK)
        instance->is_busy = true;
    mutex_unlock(&pool->lock);
    if (code != OK)
        return code;
    if (!instance->is_open && (code = engine__open(instance, e)) != OK) {
        engine__release(instance);
        return code;
    }
    mutex_lock(&pool->lock);
    must(!instance->running); /* I1 */
    query->deadline_us = timeout_ms ? clock_monotonic_us() + timeout_ms * US_PER_MS : 0;
    instance->running = query;
    cond_broadcast(&pool->watched);
    mutex_unlock(&pool->lock);
    *out_instance = instance;
    return OK;
}

void engine__release(Instance *instance)
{
    EnginePool *pool = instance->pool;
    mutex_lock(&pool->lock);
    instance->running = NULL; /* the watchdog leaves the connection alone from here on */
    mutex_unlock(&pool->lock);
    if (instance->is_broken) /* I3 */
        engine__close(instance);
    mutex_lock(&pool->lock);
    instance->used_at_us = clock_monotonic_us();
    instance->is_busy = false;
    cond_broadcast(&pool->freed);
    mutex_unlock(&pool->lock);
}

/* ---- The pool ---- */

static Code check_config(const EngineConfig *config, Error *e)
{
    if (config->instances < 1 || config->instances > ENGINE_INSTANCES_MAX)
        return fail(e, E_CONFIG, "query engines: 1 to %d", ENGINE_INSTANCES_MAX);
    if (config->threads_per_instance < 1 || config->threads_per_instance > ENGINE_THREADS_MAX)
        return fail(e, E_CONFIG, "threads of a query engine: 1 to %d", ENGINE_THREADS_MAX);
    if (config->memory_limit_bytes < MEMORY_BYTES_MIN)
        return fail(e, E_CONFIG, "memory of a query engine: at least 16 MiB");
    return OK;
}

Code engine_pool_new(const EngineConfig *config, EnginePool **out_pool, Error *e)
{
    TRY(check_config(config, e));
    EnginePool *pool = x_new(EnginePool);
    mutex_init(&pool->lock);
    cond_init(&pool->freed);
    cond_init(&pool->watched);
    Code code = engine__prepare_folders(pool, config, e);
    if (code != OK) {
        engine_pool_free(pool);
        return code;
    }
    pool->instances = x_new_array(Instance, config->instances);
    for (uint32_t i = 0; i < config->instances; i++) {
        pool->instances[i].pool = pool;
        pool->instances[i].index = i;
    }
    *out_pool = pool;
    return OK;
}

static void stop_watchdog(EnginePool *pool)
{
    mutex_lock(&pool->lock);
    pool->is_stopping = true;
    cond_broadcast(&pool->watched);
    mutex_unlock(&pool->lock);
    thread_join(pool->watchdog);
}

void engine_pool_free(EnginePool *pool)
{
    if (!pool)
        return;
    must(!pool->queries);
    stop_watchdog(pool);
    for (uint32_t i = 0; pool->instances && i < pool->config.instances; i++) {
        must(!pool->instances[i].is_busy);
        engine__close(&pool->instances[i]);
    }
    cond_done(&pool->freed);
    cond_done(&pool->watched);
    mutex_done(&pool->lock);
    free(pool->instances);
    free((char *)(uintptr_t)pool->config.temp_directory);
    free((char *)(uintptr_t)pool->config.allowed_folder);
    free(pool);
}

void engine_pool_stop(EnginePool *pool)
{
    mutex_lock(&pool->lock);
    pool->is_refusing = true;
    for (EngineQuery *query = pool->queries; query; query = query->next)
        atomic_store(&query->is_cancelled, true);
    cond_broadcast(&pool->watched);
    cond_broadcast(&pool->freed);
    mutex_unlock(&pool->lock);
}

void engine_pool_look(EnginePool *pool)
{
    mutex_lock(&pool->lock);
    cond_broadcast(&pool->watched);
    cond_broadcast(&pool->freed);
    mutex_unlock(&pool->lock);
}

void engine_pool_trim(EnginePool *pool, uint32_t idle_s)
{
    int64_t until_us = clock_monotonic_us() - (int64_t)idle_s * 1000 * US_PER_MS;
    for (uint32_t i = 0; i < pool->config.instances; i++) {
        Instance *instance = &pool->instances[i];
        mutex_lock(&pool->lock);
        /* Busy first: the rest of a busy one is its user's, and not guarded by the lock. */
        bool is_mine = !instance->is_busy && instance->is_open && instance->used_at_us <= until_us;
        if (is_mine)
            instance->is_busy = true;
        mutex_unlock(&pool->lock);
        if (is_mine) {
            engine__close(instance);
            engine__release(instance);
        }
    }
}

void engine_pool_trace(EnginePool *pool, void (*trace)(void *context, const char *text),
                       void *context)
{
    pool->trace = trace;
    pool->trace_context = context;
}
