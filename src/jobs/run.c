/* SPDX-License-Identifier: Apache-2.0
 *
 * The threads of jobs/, one for each lane: queued jobs first, then what is due by itself.
 *
 * A lane sleeps until somebody queues a job, work is due, or its own next look. Nothing runs twice
 * at once: a lane runs one thing at a time, and what could meet in a partition claims it. Failures
 * are logged here, once.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "jobs/cleanup.h"
#include "jobs/keep.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"

enum { ENGINE_IDLE_S = 60 };
#define SLEEP_MAX_US (INT64_C(24) * 3600 * 1000000)

static const Lane lane_of[JOB_TYPE_COUNT] = {
    [JOB_FLUSH] = LANE_UPKEEP, [JOB_CLEANUP] = LANE_CLEANUP,  [JOB_COMPACT] = LANE_COMPACT,
    [JOB_BACKUP] = LANE_KEEP,  [JOB_USER_EXPORT] = LANE_KEEP, [JOB_USER_CLEANUP] = LANE_CLEANUP,
    [JOB_RESTORE] = LANE_KEEP,
};

bool jobs__is_killed(Jobs *jobs, const Job *job)
{
    MUTEX_SCOPE(&jobs->lock);
    return jobs->stopping || (job && job->kill);
}

bool jobs__is_stopped(void *context)
{
    const JobRun *run = (const JobRun *)context;
    return jobs__is_killed(run->jobs, run->job);
}

void jobs__progress(Jobs *jobs, const Job *job, const char *format, ...)
{
    char text[256];
    va_list arguments;
    if (!job)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mutex_lock(&jobs->lock);
    for (Job *own = jobs->newest; own; own = own->next) {
        if (own != job)
            continue;
        free(own->message);
        own->message = x_text(slice_of_text(text));
        break;
    }
    jobs__tell(jobs);
    mutex_unlock(&jobs->lock);
}

/* ---- one partition ---- */

static Code flush_current(Jobs *jobs, Partition partition, uint64_t *out_rows, Error *e)
{
    for (int tries = 1;; tries++) {
        CLEANUP(table_unref_ptr)
        Table *table = catalog_find_table_by_id(database_catalog(jobs->db), partition.table_id);
        if (!table)
            return fail(e, E_CANCELLED, "the table was dropped");
        Code code = flush_partition(jobs->db, table, partition, out_rows, e);
        if (code != E_CONFLICT || table_is_current(table) || tries == JOBS_ALTER_TRIES_MAX)
            return code;
    }
}

static Code trim_current(Jobs *jobs, Partition partition, Error *e)
{
    Code code = E_CONFLICT;
    for (int tries = 0; tries < JOBS_ALTER_TRIES_MAX && code == E_CONFLICT; tries++)
        code = flush_trim(jobs->db, partition, e);
    return code;
}

Code jobs__trim(Jobs *jobs, Partition partition, Error *e)
{
    JobRun run = {jobs, NULL};
    for (int tries = 0;;) {
        if (jobs__is_killed(jobs, NULL))
            return fail(e, E_CANCELLED, "the server is stopping");
        Code code = trim_current(jobs, partition, e);
        if (code == OK)
            jobs__note_deleted(jobs);
        if (code == OK || !jobs__may_try_again(&run, partition, &tries, e))
            return code;
    }
}

Code jobs__flush(Jobs *jobs, const Job *job, Partition partition, uint64_t *out_rows, Error *e)
{
    JobRun run = {jobs, job};
    for (int tries = 0;;) {
        if (jobs__is_killed(jobs, job))
            return fail(e, E_CANCELLED, "the job was cancelled");
        uint64_t rows = 0;
        Code code = flush_current(jobs, partition, &rows, e);
        if (code == OK && rows > 0)
            jobs__note_compactable(jobs, partition);
        if (code == OK)
            *out_rows = rows;
        if (code == OK || !jobs__may_try_again(&run, partition, &tries, e))
            return code;
    }
}

/* ---- one job ---- */

typedef struct FlushRun {
    Jobs *jobs;
    const Job *job;
    Partition batch[JOBS_BATCH_MAX]; /* still to be flushed */
    size_t count;

    Mutex lock;
    /* guarded by lock */
    uint64_t rows, partitions;
    Code code; /* of the first that failed; the others are left then */
    Error error;
} FlushRun;

static bool has_failed(FlushRun *run)
{
    MUTEX_SCOPE(&run->lock);
    return run->code != OK;
}

static void flush_one(void *context, size_t index)
{
    FlushRun *run = (FlushRun *)context;
    uint64_t rows = 0, all_rows, all_partitions;
    Error error = {0};
    if (has_failed(run))
        return;
    Code code = jobs__flush(run->jobs, run->job, run->batch[index], &rows, &error);
    mutex_lock(&run->lock);
    if (code != OK && run->code == OK) {
        run->code = code;
        run->error = error;
    }
    all_rows = run->rows += rows;
    all_partitions = run->partitions += rows > 0;
    mutex_unlock(&run->lock);
    if (rows)
        jobs__progress(run->jobs, run->job,
                       "Flushed %" PRIu64 " row(s) of %" PRIu64 " partition(s) so far", all_rows,
                       all_partitions);
}

static Code flush_batch(FlushRun *run, Error *e)
{
    jobs__each(run->jobs, run->count, flush_one, run);
    run->count = 0;
    if (run->code != OK)
        *e = run->error;
    return run->code;
}

static Code add_to_batch(void *context, Partition partition, Error *e)
{
    FlushRun *run = (FlushRun *)context;
    run->batch[run->count++] = partition;
    return run->count == JOBS_BATCH_MAX ? flush_batch(run, e) : OK;
}

static Code run_flush(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), job->table_id);
    if (!table)
        return fail(e, E_CANCELLED, "the table was dropped");
    FlushRun run = {.jobs = jobs, .job = job};
    mutex_init(&run.lock);
    Code code = flush_each_partition(jobs->db, table, add_to_batch, &run, e);
    if (code == OK)
        code = flush_batch(&run, e);
    mutex_done(&run.lock);
    TRY(code);
    snprintf(message, message_bytes, "Flushed %" PRIu64 " row(s) of %" PRIu64 " partition(s)",
             run.rows, run.partitions);
    return OK;
}

static Code run_type(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    switch (job->type) {
    case JOB_FLUSH:
        return run_flush(jobs, job, message, message_bytes, e);
    case JOB_CLEANUP:
        return jobs__run_cleanup(jobs, job, message, message_bytes, e);
    case JOB_COMPACT:
        return jobs__run_compact(jobs, job, message, message_bytes, e);
    case JOB_BACKUP:
        return jobs__run_backup(jobs, job, message, message_bytes, e);
    case JOB_RESTORE:
        return jobs__run_restore(jobs, job, message, message_bytes, e);
    case JOB_USER_EXPORT:
        return jobs__run_export(jobs, job, message, message_bytes, e);
    case JOB_USER_CLEANUP: /* several at once */
    case JOB_TYPE_COUNT:
        break;
    }
    return fail(e, E_INTERNAL, "a job of an unknown type");
}

/* An export writes where the erasure of a user removes everything; a restore fills tables that
 * count as dropped until it is done. */
static const struct {
    JobType one, other;
} excluded[] = {
    {JOB_USER_EXPORT, JOB_USER_CLEANUP},
    {JOB_RESTORE, JOB_USER_CLEANUP},
    {JOB_RESTORE, JOB_CLEANUP},
};

static bool is_excluded(JobType a, JobType b)
{
    for (size_t i = 0; i < sizeof excluded / sizeof *excluded; i++) {
        if ((excluded[i].one == a && excluded[i].other == b) ||
            (excluded[i].one == b && excluded[i].other == a))
            return true;
    }
    return false;
}

static bool may_run(const Jobs *jobs, const Job *job)
{
    if ((jobs->wants_purge || jobs->is_purging) && job->type == JOB_RESTORE)
        return false;
    for (const Job *running = jobs->newest; running; running = running->next) {
        if (running->status == JOB_RUNNING && is_excluded(running->type, job->type))
            return false;
    }
    return true;
}

static void begin_job(Jobs *jobs, Job *job)
{
    job->status = JOB_RUNNING;
    job->started_at_us = clock_wall_us();
    jobs->queued_count--;
    jobs__tell_now(jobs);
}

static bool is_ready(const Job *job)
{
    return job->status == JOB_QUEUED && job->saves == 0;
}

/* The oldest queued job of the lane, now running; NULL when there is none. */
static Job *take_job(Jobs *jobs, Lane lane)
{
    MUTEX_SCOPE(&jobs->lock);
    Job *oldest = NULL;
    for (Job *job = jobs->newest; job; job = job->next) {
        if (is_ready(job) && lane_of[job->type] == lane && may_run(jobs, job))
            oldest = job;
    }
    if (oldest)
        begin_job(jobs, oldest);
    return oldest;
}

size_t jobs__take_alike(Jobs *jobs, JobType type, Job **out, size_t limit)
{
    MUTEX_SCOPE(&jobs->lock);
    size_t count = 0;
    for (Job *job = jobs->newest; job && count < limit; job = job->next) {
        if (!is_ready(job) || job->type != type)
            continue;
        begin_job(jobs, job);
        out[count++] = job;
    }
    return count;
}

static void end_job(Jobs *jobs, Job *job, JobStatus status, Code code, const char *message)
{
    mutex_lock(&jobs->lock);
    job->status = status;
    job->code = code;
    job->finished_at_us = clock_wall_us();
    jobs->ended_counts[job->type][status]++;
    free(job->message);
    job->message = x_text(slice_of_text(message));
    job->saves++;
    cond_broadcast(&jobs->ended);
    jobs__wake(jobs); /* a job of another lane may have waited for it */
    mutex_unlock(&jobs->lock);
    jobs__save(jobs, job);
}

static bool was_asked_to_stop(Jobs *jobs, const Job *job)
{
    MUTEX_SCOPE(&jobs->lock);
    return job->kill;
}

void jobs__finish(Jobs *jobs, Job *job, Code code, const char *message, const Error *error)
{
    if (code == OK) {
        end_job(jobs, job, JOB_COMPLETED, OK, message);
        return;
    }
    if (code == E_CANCELLED && !was_asked_to_stop(jobs, job) && jobs__is_killed(jobs, NULL))
        return; /* the server stops: the record still says queued, so the next start runs it */
    log_event(LOG_LEVEL_WARN, "a job did not complete", LOG_TEXT("job", job->id),
              LOG_TEXT("type", jobs__type_name(job->type)), LOG_ERROR(error));
    end_job(jobs, job, code == E_CANCELLED ? JOB_CANCELLED : JOB_FAILED, code, error->text);
}

static void run_job(Jobs *jobs, Job *job)
{
    Error error = {0};
    char message[256] = "";
    if (job->type == JOB_USER_CLEANUP) {
        jobs__run_user_cleanups(jobs, job);
        return;
    }
    Code code = run_type(jobs, job, message, sizeof message, &error);
    jobs__finish(jobs, job, code, message, &error);
}

/* ---- the lanes ---- */

/* What a power cut or a failed write has left of the last commits. */
static void tell_cuts(Jobs *jobs)
{
    HotCut cut;
    while (hot_take_cut(database_hot(jobs->db), &cut))
        log_event(
            LOG_LEVEL_WARN,
            "the end of a file of the hot tier is not whole and was left out: taken for writes "
            "that were never synced",
            LOG_TEXT("file", cut.file), LOG_INT("offset", (int64_t)cut.offset),
            LOG_INT("bytes", (int64_t)cut.bytes));
}

/* At start, and after a failed write: files whose commit did not happen. */
static void sweep(Jobs *jobs)
{
    Error error = {0};
    uint32_t removed = 0;
    JobRun run = {jobs, NULL};
    JobStop stop = {jobs__is_stopped, &run};
    tell_cuts(jobs);
    Code code = flush_sweep(jobs->db, &stop, &removed, &error);
    if (code != OK && code != E_CANCELLED)
        log_event(LOG_LEVEL_WARN, "left-over files were not all removed", LOG_ERROR(&error));
    if (removed)
        log_event(LOG_LEVEL_INFO, "removed files that no manifest names",
                  LOG_INT("files", removed));
}

/* Committer thread: what was in doubt is settled, and nobody else knows of its files. */
void jobs__on_reopen(void *context, bool has_lost)
{
    Jobs *jobs = (Jobs *)context;
    jobs__tell_reopen(jobs, has_lost);
    MUTEX_SCOPE(&jobs->lock);
    jobs->is_reopened = jobs->wants_mending = true;
    jobs->wants_purge = true; /* a DROP whose outcome was unknown may be there */
    jobs__wake(jobs);
}

static bool take_reopened(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    bool was = jobs->is_reopened;
    jobs->is_reopened = false;
    return was;
}

static bool take_mending(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    bool was = jobs->wants_mending;
    jobs->wants_mending = false;
    return was;
}

/* Nothing waits for it but what else LANE_CLEANUP has to do. */
static void mend_manifests(Jobs *jobs)
{
    Error error = {0};
    JobRun run = {jobs, NULL};
    JobStop stop = {jobs__is_stopped, &run};
    if (!take_mending(jobs))
        return;
    Code code = flush_mend_manifests(jobs->db, &stop, &error);
    if (code != OK && code != E_CANCELLED)
        log_event(LOG_LEVEL_WARN, "a manifest.json was not put right", LOG_ERROR(&error));
}

static void sweep_at_start(Jobs *jobs)
{
    sweep(jobs);
    jobs__sweep_exports(jobs);
    MUTEX_SCOPE(&jobs->lock);
    jobs->is_swept = true;
    jobs__wake(jobs);
}

static void wait_for_sweep(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    while (!jobs->is_swept && !jobs->stopping)
        cond_wait(&jobs->wake, &jobs->lock);
}

static void begin(Jobs *jobs, Lane lane)
{
    if (lane == LANE_UPKEEP)
        sweep_at_start(jobs);
    wait_for_sweep(jobs);
    if (lane == LANE_CLEANUP)
        (void)jobs__purge(jobs);
}

static int64_t min_us(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What is due without a job; returns how long the lane may sleep. */
static int64_t work(Jobs *jobs, Lane lane)
{
    if (lane != LANE_KEEP && jobs__rests(jobs)) /* old exports go: that needs no commit */
        return INT64_MAX;                       /* jobs__on_reopen wakes it */
    switch (lane) {
    case LANE_UPKEEP:
        if (take_reopened(jobs)) {
            sweep(jobs);
            jobs->due_whole_at_us = 0; /* an old commit may be there only now */
        }
        engine_pool_trim(database_engine(jobs->db), ENGINE_IDLE_S);
        engine_pool_trim(database_flush_engine(jobs->db), ENGINE_IDLE_S);
        return jobs__upkeep(jobs);
    case LANE_COMPACT:
        return jobs__compact_due(jobs);
    case LANE_KEEP:
        return jobs__expire_exports(jobs);
    case LANE_CLEANUP: {
        int64_t wait_us = jobs__purge(jobs);
        mend_manifests(jobs);
        wait_us = min_us(wait_us, jobs__queue_cleanups(jobs));
        return min_us(wait_us, jobs__reclaim(jobs));
    }
    case LANE_COUNT:
        break;
    }
    return INT64_MAX;
}

static void sleep_lane(LaneThread *lane, int64_t wait_us)
{
    Jobs *jobs = lane->jobs;
    int64_t now_us = clock_monotonic_us();
    int64_t until_us = now_us + (wait_us < SLEEP_MAX_US ? wait_us : SLEEP_MAX_US);
    MUTEX_SCOPE(&jobs->lock);
    bool sleeps = !jobs->stopping && !lane->has_news;
    while (!jobs->stopping && !lane->has_news &&
           cond_wait_until(&jobs->wake, &jobs->lock, until_us))
        ;
    lane->has_news = false;
    if (sleeps)
        lane->awake_since_us = clock_monotonic_us();
}

void jobs__run_lane(void *lane_thread)
{
    LaneThread *lane = (LaneThread *)lane_thread;
    Jobs *jobs = lane->jobs;
    lane->awake_since_us = clock_monotonic_us();
    begin(jobs, lane->lane);
    while (!jobs__is_killed(jobs, NULL)) {
        for (Job *job; !jobs__is_killed(jobs, NULL) && (job = take_job(jobs, lane->lane));)
            run_job(jobs, job);
        int64_t wait_us = work(jobs, lane->lane);
        if (wait_us > 0)
            sleep_lane(lane, wait_us);
    }
}
