/* SPDX-License-Identifier: Apache-2.0
 *
 * When the space of deleted entries is given back: the hot store counts them and knows
 * (hot/reclaim.c); here is who asks it. The lane that erases users rewrites the same files, so the
 * two never do it at once.
 */
#include "jobs/cleanup.h"
#include "jobs/rest.h"
#include "os/clock.h"

#define RETRY_US (INT64_C(60) * 1000000)
static const char reclaim_failed[] = "the space of deleted rows was not given back";

static int64_t plan(Jobs *jobs, int64_t wait_us)
{
    MUTEX_SCOPE(&jobs->lock);
    jobs->reclaim_at_us = wait_us == INT64_MAX ? INT64_MAX : clock_monotonic_us() + wait_us;
    return wait_us;
}

void jobs__note_deleted(Jobs *jobs)
{
    int64_t wait_us = hot_reclaim_wait_us(database_hot(jobs->db));
    if (wait_us == INT64_MAX)
        return;
    int64_t at_us = clock_monotonic_us() + wait_us;
    MUTEX_SCOPE(&jobs->lock);
    if (at_us >= jobs->reclaim_at_us)
        return;
    jobs->reclaim_at_us = at_us;
    jobs->lanes[LANE_CLEANUP].has_news = true;
    cond_broadcast(&jobs->wake);
}

int64_t jobs__reclaim(Jobs *jobs)
{
    Error error = {0};
    HotStore *hot = database_hot(jobs->db);
    (void)plan(jobs, 0); /* nobody is to wake the lane that is at it */
    Code code = hot_reclaim(hot, &error);
    if (code == OK) {
        jobs__went_well(jobs, reclaim_failed, (Partition){0, 0});
        (void)plan(jobs, hot_reclaim_wait_us(hot));
        return plan(jobs, hot_reclaim_wait_us(hot)); /* what was noted before the first plan */
    }
    if (code != E_CANCELLED)
        jobs__warn(jobs, reclaim_failed, (Partition){0, 0}, &error);
    return plan(jobs, RETRY_US);
}
