/* SPDX-License-Identifier: Apache-2.0
 *
 * Replacing RocksDB's instance under its readers. Two instances of one folder cannot live side by
 * side: each would remove files of the other. So the old one is closed when nobody is inside, and
 * new readers wait for the moment it takes.
 *
 * I1. Whoever uses `db` is counted in `users`, but for the one thread that writes: it is the same
 *     that shuts and reopens.
 * I2. `db` and `families` change only while the store is shut and nobody is inside.
 */
#include "hot/hot_int.h"
#include "os/clock.h"

Code hot__enter(HotStore *store, Error *e)
{
    mutex_none_held(); /* it may wait */
    MUTEX_SCOPE(&store->lock);
    while (store->is_shut && thread_kind() != THREAD_COMMITTER) {
        if (thread_kind() == THREAD_LOOP)
            return fail(e, E_WOULD_BLOCK, "the hot store is being opened again");
        cond_wait(&store->changed, &store->lock);
    }
    if (!store->db)
        return fail(e, E_IO, "the hot store could not be opened again after a failed write");
    store->users++;
    return OK;
}

void hot__leave(HotStore *store)
{
    MUTEX_SCOPE(&store->lock);
    must(store->users > 0);
    if (--store->users == 0 && store->is_shut)
        cond_broadcast(&store->changed);
}

/* With the lock. */
static void let_in(HotStore *store)
{
    store->is_shut = false;
    hot__bar_merges(store->tamer, HOT_BAR_SHUT, false);
    cond_broadcast(&store->changed);
}

bool hot_shut(HotStore *store, int64_t wait_ms)
{
    int64_t deadline_us = clock_monotonic_us() + wait_ms * 1000;
    MUTEX_SCOPE(&store->lock);
    must(!store->is_shut);
    store->is_shut = true;
    hot__bar_merges(store->tamer, HOT_BAR_SHUT, true); /* they would stay inside for long */
    while (store->users > 0 && cond_wait_until(&store->changed, &store->lock, deadline_us))
        ;
    if (store->users == 0)
        return true;
    let_in(store);
    return false;
}

Code hot_reopen(HotStore *store, Error *e)
{
    mutex_lock(&store->lock);
    must(store->is_shut);
    must(store->users == 0); /* I2 */
    mutex_unlock(&store->lock);
    hot__close_db(store);
    Code code = hot__open_db(store, false, e);
    Error ignored; /* what kept it from opening to write says more */
    if (code != OK && hot__open_db(store, true, &ignored) != OK)
        must(!store->db);
    return code;
}

void hot_admit(HotStore *store)
{
    MUTEX_SCOPE(&store->lock);
    must(store->is_shut);
    let_in(store);
}
