/* SPDX-License-Identifier: Apache-2.0
 *
 * Rest while writes are refused, and warnings that are written once. A bad disk fails everything
 * that is due, and may fail it again after each time that it was opened anew (table/reopen.c): one
 * line for each cause is news, hundreds hide the others.
 *
 * I1. What was told is forgotten by success only: of the same work at the same place, or, of a
 * failure for everybody, anywhere.
 */
#include <stdlib.h>

#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"

enum {
    TOLD_MAX = 1000, /* further causes are not told: there is enough to read */
    CLAIM_WAIT_MS = 200,
    BUSY_PAUSE_MS = 20,
};

struct Told {
    Told *next;
    const char *what;
    Partition where;  /* table 0: everywhere */
    Partition failed; /* the one that was told of: others of its table may do well meanwhile */
    Code code;
};

void jobs__free_told(Told *told)
{
    while (told) {
        Told *next = told->next;
        free(told);
        told = next;
    }
}

bool jobs__rests(Jobs *jobs)
{
    mutex_lock(&jobs->dirt_lock);
    bool rests = database_is_read_only(jobs->db), is_news = rests && !jobs->is_rest_told;
    jobs->is_rest_told |= rests;
    mutex_unlock(&jobs->dirt_lock);
    if (is_news)
        log_event(
            LOG_LEVEL_WARN,
            "writes are refused since one to the disk failed; flushes, compaction and cleanup "
            "rest until they go on");
    return rests;
}

void jobs__tell_reopen(Jobs *jobs, bool has_lost)
{
    mutex_lock(&jobs->dirt_lock);
    bool is_news = !jobs->is_reopen_told;
    jobs->is_reopen_told = true;
    mutex_unlock(&jobs->dirt_lock);
    if (has_lost)
        log_event(LOG_LEVEL_WARN,
                  "writes go on; commits of async tables are lost, and their feeds start anew");
    else if (is_news)
        log_event(LOG_LEVEL_INFO, "writes go on");
}

/* One line for all partitions of a table that fail in the same way. */
static bool is_news(Jobs *jobs, const char *what, Partition where, Code code)
{
    bool is_everywhere = database_is_read_only(jobs->db);
    Partition scope = {is_everywhere ? 0 : where.table_id, 0};
    MUTEX_SCOPE(&jobs->lock);
    for (const Told *told = jobs->told; told; told = told->next) {
        if (told->what == what && partition_equal(told->where, scope) && told->code == code)
            return false;
    }
    if (jobs->told_count == TOLD_MAX)
        return false;
    Told *told = x_new(Told);
    *told = (Told){jobs->told, what, scope, where, code};
    jobs->told = told;
    jobs->told_count++;
    return true;
}

void jobs__warn(Jobs *jobs, const char *what, Partition where, const Error *error)
{
    if (!is_news(jobs, what, where, error->code))
        return;
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), where.table_id);
    if (table)
        log_event(LOG_LEVEL_WARN, what, LOG_SLICE("namespace", table->namespace_name),
                  LOG_SLICE("table", table->name), LOG_ERROR(error));
    else
        log_event(LOG_LEVEL_WARN, what, LOG_ERROR(error));
}

void jobs__went_well(Jobs *jobs, const char *what, Partition where)
{
    MUTEX_SCOPE(&jobs->lock);
    for (Told **link = &jobs->told; *link;) {
        Told *told = *link;
        if (told->what != what ||
            (told->where.table_id != 0 && !partition_equal(told->failed, where))) { /* I1 */
            link = &told->next;
            continue;
        }
        *link = told->next;
        free(told);
        jobs->told_count--;
    }
}

static void pause_for(const JobRun *run, int64_t pause_us)
{
    Jobs *jobs = run->jobs;
    int64_t until_us = clock_monotonic_us() + pause_us;
    MUTEX_SCOPE(&jobs->lock);
    while (!jobs->stopping && !(run->job && run->job->kill) &&
           cond_wait_until(&jobs->wake, &jobs->lock, until_us))
        ;
}

bool jobs__may_try_again(const JobRun *run, Partition partition, int *io_tries, Error *e)
{
    if (e->code == E_CLAIMED && run->job) {
        flush_wait(run->jobs->db, partition, CLAIM_WAIT_MS);
        return true;
    }
    if (e->code != E_BUSY)
        return false;
    if (++*io_tries == JOBS_BUSY_TRIES_MAX)
        return wrap(e, "given up after %d tries", *io_tries) == OK; /* it is not */
    pause_for(run, (int64_t)BUSY_PAUSE_MS * 1000 << *io_tries);
    return true;
}
