/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsed statements by text, for applications that send the same text with other parameters. A plan
 * is a parse tree and nothing more: names are looked up and parameters bound in each run, so a plan
 * never goes stale and needs no key but its text.
 *
 * I1. A plan is immutable and counted; one that is thrown out lives until its last user is done.
 * I2. At most plans_max plans; the one used longest ago goes first.
 * I3. Only statements on rows are kept: the text of CREATE USER holds a password.
 * I4. A text is kept only when it is seen a second time: literal INSERTs never come twice, and
 *     would push out everything else.
 */
#include "exec/plan_cache.h"

#include "base/map.h"
#include "os/thread.h"
#include "sql/sql.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { SEEN_SLOTS = 4096 };

typedef struct Entry {
    Plan *plan;
    struct Entry *newer, *older;
} Entry;

struct PlanCache {
    Mutex lock;
    size_t plans_max;
    Map *entries; /* text -> Entry; guarded by lock, as all below */
    Entry *newest, *oldest;
    uint32_t *seen; /* hashes of texts that came once */
};

PlanCache *exec__plans_new(size_t plans_max)
{
    PlanCache *cache = x_new(PlanCache);
    mutex_init(&cache->lock);
    cache->plans_max = plans_max;
    cache->entries = map_new();
    cache->seen = x_new_array(uint32_t, SEEN_SLOTS);
    return cache;
}

void exec__plan_unref(Plan *plan)
{
    /* Release orders this user's reads before the free; acquire makes the last one see them. */
    if (!plan || atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) != 1)
        return;
    arena_free(plan->arena);
    free(plan);
}

void exec__plans_free(PlanCache *cache)
{
    if (!cache)
        return;
    for (Entry *entry = cache->newest; entry;) {
        Entry *older = entry->older;
        exec__plan_unref(entry->plan);
        free(entry);
        entry = older;
    }
    map_free(cache->entries);
    free(cache->seen);
    mutex_done(&cache->lock);
    free(cache);
}

static void unlink_entry(PlanCache *cache, Entry *entry)
{
    *(entry->newer ? &entry->newer->older : &cache->newest) = entry->older;
    *(entry->older ? &entry->older->newer : &cache->oldest) = entry->newer;
}

static void link_newest(PlanCache *cache, Entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    *(cache->newest ? &cache->newest->newer : &cache->oldest) = entry;
    cache->newest = entry;
}

Plan *exec__plans_get(PlanCache *cache, Slice text)
{
    if (text.size > EXEC_PLAN_TEXT_BYTES_MAX)
        return NULL;
    MUTEX_SCOPE(&cache->lock);
    Entry *entry = map_get(cache->entries, text);
    if (!entry)
        return NULL;
    unlink_entry(cache, entry);
    link_newest(cache, entry);
    /* Relaxed: the lock orders it, and the cache's own reference keeps the count above 0. */
    atomic_fetch_add_explicit(&entry->plan->refs, 1, memory_order_relaxed);
    return entry->plan;
}

/* I4 */
static bool seen_before(PlanCache *cache, Slice text)
{
    uint64_t hash = slice_hash(text, 0);
    uint32_t mark = (uint32_t)(hash >> 32) | 1;
    MUTEX_SCOPE(&cache->lock);
    uint32_t *slot = &cache->seen[hash % SEEN_SLOTS];
    bool seen = *slot == mark;
    *slot = mark;
    return seen;
}

/* I3 */
static bool is_kept(const Statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_SELECT:
    case STATEMENT_INSERT:
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
    case STATEMENT_EXECUTE_AS:
        return true;
    default:
        return false;
    }
}

static Plan *make_plan(Slice text)
{
    Plan *plan = x_new(Plan);
    plan->arena = arena_new();
    plan->text = arena_copy(plan->arena, text);
    plan->refs = 2; /* the cache's and the caller's */
    Error ignored = {0};
    if (sql_parse(plan->text, plan->arena, &plan->statement, &ignored) == OK &&
        is_kept(plan->statement))
        return plan;
    arena_free(plan->arena); /* the caller parses again, for the error with its place */
    free(plan);
    return NULL;
}

static void drop_oldest(PlanCache *cache)
{
    Entry *entry = cache->oldest;
    unlink_entry(cache, entry);
    map_remove(cache->entries, entry->plan->text);
    exec__plan_unref(entry->plan);
    free(entry);
}

Plan *exec__plans_offer(PlanCache *cache, Slice text)
{
    if (text.size > EXEC_PLAN_TEXT_BYTES_MAX || !seen_before(cache, text))
        return NULL;
    Plan *plan = make_plan(text);
    if (!plan)
        return NULL;
    MUTEX_SCOPE(&cache->lock);
    if (map_get(cache->entries, text)) { /* another thread was faster: this one stays unshared */
        atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_relaxed);
        return plan;
    }
    Entry *entry = x_new(Entry);
    entry->plan = plan;
    map_put(cache->entries, text, entry);
    link_newest(cache, entry);
    if (map_count(cache->entries) > cache->plans_max) /* I2 */
        drop_oldest(cache);
    return plan;
}
