/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling the watcher that rows of system.jobs have changed without a commit. A thread of its own
 * does it, since whoever makes progress may then be busy for long: what came too soon after the
 * last time is told as soon as it may be.
 *
 * I1. After a change of what jobs_list shows the watcher is called, PAUSE_US later at the latest.
 */
#include "jobs/jobs_int.h"
#include "os/clock.h"

enum { PAUSE_US = 500 * 1000 };

void jobs__tell(Jobs *jobs)
{
    if (!jobs->watcher.changed || jobs->has_untold)
        return;
    jobs->has_untold = true;
    cond_signal(&jobs->tell);
}

void jobs__tell_now(Jobs *jobs)
{
    jobs->told_at_us = INT64_MIN;
    jobs->has_untold = false; /* the thread may wait for the end of the pause */
    jobs__tell(jobs);
}

/* Until there is something to tell and it may be; false when the server stops. */
static bool wait_for_news(Jobs *jobs)
{
    while (!jobs->stopping) {
        int64_t from_us = jobs->told_at_us == INT64_MIN ? 0 : jobs->told_at_us + PAUSE_US;
        if (!jobs->has_untold)
            cond_wait(&jobs->tell, &jobs->lock);
        else if (clock_monotonic_us() < from_us)
            (void)cond_wait_until(&jobs->tell, &jobs->lock, from_us);
        else
            return true;
    }
    return false;
}

void jobs__run_teller(void *context)
{
    Jobs *jobs = (Jobs *)context;
    mutex_lock(&jobs->lock);
    while (wait_for_news(jobs)) {
        JobsWatcher watcher = jobs->watcher;
        jobs->has_untold = false; /* I1: before the watcher looks */
        jobs->told_at_us = clock_monotonic_us();
        mutex_unlock(&jobs->lock);
        watcher.changed(watcher.context);
        mutex_lock(&jobs->lock);
    }
    mutex_unlock(&jobs->lock);
}
