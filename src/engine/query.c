/* SPDX-License-Identifier: Apache-2.0
 *
 * The context of one statement, and the list by which DuckDB's callbacks find it from the handle
 * printed in the SQL. Few statements live at once (an instance each, and those that wait for one),
 * so that list is walked.
 */
#include "engine/engine_int.h"

#include <stdlib.h>

enum { SCANS_WAIT_US = 60 * 1000 * 1000 };

EngineQuery *engine_query_new(EnginePool *pool)
{
    EngineQuery *query = x_new(EngineQuery);
    query->pool = pool;
    mutex_init(&query->lock);
    cond_init(&query->scan_closed);
    mutex_lock(&pool->lock);
    query->handle = ++pool->last_handle;
    query->next = pool->queries;
    if (query->next)
        query->next->previous = query;
    pool->queries = query;
    mutex_unlock(&pool->lock);
    return query;
}

void engine_query_free(EngineQuery *query)
{
    if (!query)
        return;
    must(query->open_scans == 0); /* I2 */
    EnginePool *pool = query->pool;
    mutex_lock(&pool->lock);
    if (query->next)
        query->next->previous = query->previous;
    if (query->previous)
        query->previous->next = query->next;
    else
        pool->queries = query->next;
    mutex_unlock(&pool->lock);
    cond_done(&query->scan_closed);
    mutex_done(&query->lock);
    free(query->sources);
    free(query);
}

void engine_query_free_ptr(EngineQuery **query)
{
    engine_query_free(*query);
    *query = NULL;
}

uint64_t engine_query_handle(const EngineQuery *query)
{
    return query->handle;
}

Code engine_query_add_source(EngineQuery *query, const EngineSource *source, uint32_t *out_ref,
                             Error *e)
{
    must(source->schema);
    if (query->source_count == ENGINE_SOURCES_MAX)
        return fail(e, E_TOO_LARGE, "a statement may name at most %d tables", ENGINE_SOURCES_MAX);
    query->sources = x_grow(query->sources, sizeof *query->sources * (query->source_count + 1));
    query->sources[query->source_count] = *source;
    *out_ref = query->source_count++;
    return OK;
}

void engine_query_watch(EngineQuery *query, const atomic_bool *is_cancelled)
{
    query->watched = is_cancelled;
}

bool engine__is_cancelled(const EngineQuery *query)
{
    /* Relaxed: it hands nothing over, and the pool's lock orders it before each wait. */
    return atomic_load_explicit(&query->is_cancelled, memory_order_relaxed) ||
           (query->watched && atomic_load_explicit(query->watched, memory_order_relaxed));
}

EngineQuery *engine__find_query(EnginePool *pool, uint64_t handle)
{
    mutex_lock(&pool->lock);
    EngineQuery *query = pool->queries;
    while (query && query->handle != handle)
        query = query->next;
    mutex_unlock(&pool->lock);
    return query;
}

const EngineSource *engine__find_source(EnginePool *pool, uint64_t handle, uint64_t ref,
                                        EngineQuery **out_query)
{
    EngineQuery *query = engine__find_query(pool, handle);
    if (!query || ref >= query->source_count)
        return NULL;
    *out_query = query;
    return &query->sources[ref];
}

void engine__keep_error(EngineQuery *query, const Error *error)
{
    must(error->code != OK);
    mutex_lock(&query->lock);
    if (query->error.code == OK)
        query->error = *error;
    mutex_unlock(&query->lock);
}

void engine__wait_for_scans(EngineQuery *query)
{
    int64_t give_up = clock_monotonic_us() + SCANS_WAIT_US;
    mutex_lock(&query->lock);
    while (query->open_scans > 0) {
        bool in_time = cond_wait_until(&query->scan_closed, &query->lock, give_up);
        must(in_time || query->open_scans == 0); /* I2: what they read is about to be freed */
    }
    mutex_unlock(&query->lock);
    atomic_load_explicit(&query->hand_over, memory_order_acquire);
}
