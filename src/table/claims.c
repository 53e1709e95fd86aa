/* SPDX-License-Identifier: Apache-2.0
 *
 * Claims: who changes the layout of a partition (flush, trim, compaction, erasure) has it for
 * itself meanwhile. Several jobs run at once, each reads the partition's state and writes it back,
 * so two of them may not overlap in one partition.
 */
#include <stdlib.h>

#include "os/clock.h"
#include "os/thread.h"
#include "table/table_int.h"

enum { CLAIMS_MAX = 16 }; /* one for each thread of jobs/, and some for tests */

struct Claims {
    Mutex lock;
    Cond released;
    /* guarded by lock */
    Partition taken[CLAIMS_MAX];
    size_t count;
};

Claims *claims_new(void)
{
    Claims *claims = x_new(Claims);
    mutex_init(&claims->lock);
    cond_init(&claims->released);
    return claims;
}

void claims_free(Claims *claims)
{
    if (!claims)
        return;
    must(claims->count == 0);
    cond_done(&claims->released);
    mutex_done(&claims->lock);
    free(claims);
}

static bool is_taken(const Claims *claims, Partition partition)
{
    for (size_t i = 0; i < claims->count; i++) {
        if (partition_equal(claims->taken[i], partition))
            return true;
    }
    return claims->count == CLAIMS_MAX;
}

Code claims_take(Claims *claims, Partition partition, uint32_t wait_ms, Error *e)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)wait_ms * 1000;
    MUTEX_SCOPE(&claims->lock);
    while (is_taken(claims, partition)) {
        if (wait_ms == 0 || !cond_wait_until(&claims->released, &claims->lock, deadline_us))
            return fail(e, E_CLAIMED, "another job works on the partition");
    }
    claims->taken[claims->count++] = partition;
    return OK;
}

void claims_release(Claims *claims, Partition partition)
{
    MUTEX_SCOPE(&claims->lock);
    for (size_t i = 0; i < claims->count; i++) {
        if (!partition_equal(claims->taken[i], partition))
            continue;
        claims->taken[i] = claims->taken[--claims->count];
        cond_broadcast(&claims->released);
        return;
    }
    must(!"a claim is released once");
}
