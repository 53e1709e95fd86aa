/* SPDX-License-Identifier: Apache-2.0
 *
 * When the files of dropped tables go: with the job that a DROP queues; without one at start, after
 * a failed write and where no job could be queued.
 *
 * What fails is tried again by a job of its own, whose row says what is wrong: soon, then after
 * twice as long each time, and never less often than RETRY_S_MAX, until it goes well.
 */
#include <stdio.h>

#include "jobs/cleanup.h"
#include "jobs/rest.h"
#include "os/clock.h"

enum { RETRY_S_MIN = 1, RETRY_S_MAX = 3600 };
static const char purge_failed[] = "the files of dropped tables were not removed";

/* Returns in how many seconds it is tried again. */
static uint32_t plan_retry(Jobs *jobs, bool was_killed)
{
    MUTEX_SCOPE(&jobs->lock);
    uint32_t seconds = jobs->purge_retry_s ? 2 * jobs->purge_retry_s : RETRY_S_MIN;
    if (was_killed || seconds > RETRY_S_MAX)
        seconds = RETRY_S_MAX;
    jobs->purge_retry_s = seconds;
    jobs->purge_at_us = clock_monotonic_us() + (int64_t)seconds * 1000000;
    return seconds;
}

static void went_well(Jobs *jobs)
{
    mutex_lock(&jobs->lock);
    jobs->purge_retry_s = 0;
    jobs->purge_at_us = INT64_MAX;
    mutex_unlock(&jobs->lock);
    jobs__went_well(jobs, purge_failed, (Partition){0, 0});
}

/* For a job, or (NULL) for nobody. */
static Code purge(Jobs *jobs, const Job *job, Error *e)
{
    Error error = {0};
    JobRun run = {jobs, job};
    JobStop stop = {jobs__is_stopped, &run};
    Code code = flush_purge_dropped(jobs->db, &stop, &error);
    if (code == OK) {
        went_well(jobs);
        return OK;
    }
    if (jobs__is_killed(jobs, NULL)) /* the next start goes on */
        return fail(e, code, "%s", error.text);
    uint32_t seconds = plan_retry(jobs, jobs__is_killed(jobs, job));
    return fail(e, code, "%.900s; tried again in %u s", error.text, seconds);
}

Code jobs__run_cleanup(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    TRY(purge(jobs, job, e));
    snprintf(message, message_bytes, "Removed the files of dropped tables");
    return OK;
}

/* Not beside a restore: the tables that it fills count as dropped. */
static bool begin_purge(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    for (const Job *job = jobs->newest; job; job = job->next) {
        if (job->status == JOB_RUNNING && job->type == JOB_RESTORE)
            return false;
    }
    jobs->is_purging = jobs->wants_purge;
    jobs->wants_purge = false;
    return jobs->is_purging;
}

static void end_purge(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    jobs->is_purging = false;
    jobs__wake(jobs);
}

/* How long until what failed is tried again; 0: now, and then it is not planned any more. */
static int64_t until_retry(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    int64_t now_us = clock_monotonic_us();
    if (jobs->purge_at_us > now_us)
        return jobs->purge_at_us == INT64_MAX ? INT64_MAX : jobs->purge_at_us - now_us;
    jobs->purge_at_us = INT64_MAX;
    return 0;
}

int64_t jobs__purge(Jobs *jobs)
{
    Error error = {0};
    if (begin_purge(jobs)) {
        Code code = purge(jobs, NULL, &error);
        if (code != OK && !jobs__is_killed(jobs, NULL))
            jobs__warn(jobs, purge_failed, (Partition){0, 0}, &error);
        end_purge(jobs);
    }
    int64_t wait_us = until_retry(jobs);
    if (wait_us > 0)
        return wait_us;
    if (jobs__request_purge(jobs, &error) != OK && !jobs__is_killed(jobs, NULL))
        return (int64_t)plan_retry(jobs, false) * 1000000;
    return INT64_MAX; /* the job is taken next */
}
