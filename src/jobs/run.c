/* SPDX-License-Identifier: Apache-2.0
 *
 * The jobs thread: queued jobs first, then what is due by policy, then the trim of the feed window, then compaction in
 * bounded rounds.
 *
 * It sleeps until somebody queues a job, a partition reaches its policy, or the check interval is over. Nothing runs
 * twice at once because only this thread runs anything. Failures are logged here, once.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jobs/jobs_int.h"
#include "os/clock.h"
#include "os/log.h"
#include "table/seq.h"

enum { TRIM_INTERVAL_S_MAX = 300 };

/* ---- one job ---- */

typedef struct FlushRun {
    Jobs *jobs;
    const Job *job; /* NULL for an automatic flush */
    Table *table;
    uint64_t rows;
    size_t partitions;
} FlushRun;

bool jobs__is_killed(Jobs *jobs, const Job *job)
{
    MUTEX_SCOPE(&jobs->lock);
    return jobs->stopping || (job && job->kill);
}

/* Flushes by the table's definition of this moment: an ALTER in between makes another try of it. */
static Code flush_current(FlushRun *run, Partition partition, uint64_t *out_rows, Error *e)
{
    for (int tries = 1;; tries++) {
        CLEANUP(table_unref_ptr)
        Table *table =
            catalog_find_table_by_id(database_catalog(run->jobs->db), partition.table_id);
        if (!table)
            return fail(e, E_CANCELLED, "the table was dropped");
        Code code = flush_partition(run->jobs->db, table, partition, out_rows, e);
        if (code != E_CONFLICT || table_is_current(table) || tries == JOBS_ALTER_TRIES_MAX)
            return code;
    }
}

static Code flush_one(void *context, Partition partition, Error *e)
{
    FlushRun *run = (FlushRun *)context;
    if (jobs__is_killed(run->jobs, run->job))
        return fail(e, E_CANCELLED, "the job was cancelled");
    uint64_t rows = 0;
    TRY(flush_current(run, partition, &rows, e));
    run->rows += rows;
    run->partitions += rows > 0;
    if (rows > 0)
        jobs__note_compactable(run->jobs, partition);
    return OK;
}

static Code run_flush(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), job->table_id);
    if (!table)
        return fail(e, E_CANCELLED, "the table was dropped");
    FlushRun run = {.jobs = jobs, .job = job, .table = table};
    TRY(flush_each_partition(jobs->db, table, flush_one, &run, e));
    snprintf(message, message_bytes, "Flushed %llu row(s) of %zu partition(s)",
             (unsigned long long)run.rows, run.partitions);
    return OK;
}

static Code run_cleanup(Jobs *jobs, char *message, size_t message_bytes, Error *e)
{
    TRY(flush_purge_dropped(jobs->db, e));
    snprintf(message, message_bytes, "Removed the files of dropped tables");
    return OK;
}

static Code run_type(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    switch (job->type) {
    case JOB_FLUSH:
        return run_flush(jobs, job, message, message_bytes, e);
    case JOB_CLEANUP:
        return run_cleanup(jobs, message, message_bytes, e);
    case JOB_COMPACT:
        return jobs__run_compact(jobs, job, message, message_bytes, e);
    case JOB_BACKUP:
        return jobs__run_backup(jobs, job, message, message_bytes, e);
    case JOB_RESTORE:
        return jobs__run_restore(jobs, job, message, message_bytes, e);
    case JOB_USER_EXPORT:
        return jobs__run_export(jobs, job, message, message_bytes, e);
    case JOB_USER_CLEANUP:
        return jobs__run_user_cleanup(jobs, job, message, message_bytes, e);
    case JOB_TYPE_COUNT:
        break;
    }
    return fail(e, E_INTERNAL, "a job of an unknown type");
}

/* The oldest queued job, now running; NULL when there is none. */
static Job *take_job(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    Job *oldest = NULL;
    for (Job *job = jobs->newest; job; job = job->next) {
        if (job->status == JOB_QUEUED && job->saves == 0)
            oldest = job;
    }
    if (oldest) {
        oldest->status = JOB_RUNNING;
        oldest->started_at_us = clock_wall_us();
        jobs->queued_count--;
    }
    return oldest;
}

static void end_job(Jobs *jobs, Job *job, JobStatus status, const char *message)
{
    mutex_lock(&jobs->lock);
    job->status = status;
    job->finished_at_us = clock_wall_us();
    free(job->message);
    job->message = x_text(slice_of_text(message));
    job->saves++;
    cond_broadcast(&jobs->ended);
    mutex_unlock(&jobs->lock);
    jobs__save(jobs, job);
}

static bool was_asked_to_stop(Jobs *jobs, const Job *job)
{
    MUTEX_SCOPE(&jobs->lock);
    return job->kill;
}

static void run_job(Jobs *jobs, Job *job)
{
    Error error = {0};
    char message[256] = "";
    Code code = run_type(jobs, job, message, sizeof message, &error);
    if (code == OK) {
        end_job(jobs, job, JOB_COMPLETED, message);
        return;
    }
    if (code == E_CANCELLED && !was_asked_to_stop(jobs, job) && jobs__is_killed(jobs, NULL))
        return; /* the server stops: the record still says queued, so the next start runs it again */
    log_event(LOG_LEVEL_WARN, "a job did not complete", LOG_TEXT("job", job->id),
              LOG_TEXT("type", jobs__type_name(job->type)), LOG_ERROR(&error));
    end_job(jobs, job, code == E_CANCELLED ? JOB_CANCELLED : JOB_FAILED, error.text);
}

/* ---- due work ---- */

void jobs__warn_of_table(const char *what, const Table *table, const Error *error)
{
    log_event(LOG_LEVEL_WARN, what, LOG_SLICE("namespace", table->namespace_name),
              LOG_SLICE("table", table->name), LOG_ERROR(error));
}

/* What waits after all: else each further commit would find the partition due again. After a failure 0, so that the next
 * check tries again and not the next commit. */
static void return_dirt(Jobs *jobs, const Dirt *dirt, uint64_t rows)
{
    Dirt rest = *dirt;
    rest.rows = rows;
    jobs__return_dirt(jobs, &rest);
}

static void flush_if_due(Jobs *jobs, const Dirt *dirt)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), dirt->table_id);
    if (!table || table->kind == TABLE_STREAM)
        return;
    Error error = {0};
    Partition partition = {dirt->table_id, dirt->user};
    uint32_t rows_policy = jobs__policy_rows(jobs, table);
    size_t pending = 0;
    Code code = flush_count_pending(jobs->db, table, partition, rows_policy, &pending, &error);
    bool by_rows = pending >= rows_policy;
    bool by_time =
        pending > 0 && table->flush_interval_s &&
        clock_wall_us() - dirt->first_at_us >= (int64_t)table->flush_interval_s * 1000000;
    if (code == OK && (by_rows || by_time)) {
        FlushRun run = {.jobs = jobs, .table = table};
        code = flush_one(&run, partition, &error);
        if (code == OK)
            log_event(LOG_LEVEL_INFO, "flushed by policy",
                      LOG_SLICE("namespace", table->namespace_name),
                      LOG_SLICE("table", table->name), LOG_INT("rows", run.rows));
    } else if (code == OK && pending > 0) {
        return_dirt(jobs, dirt, pending);
    }
    if (code != OK && code != E_CANCELLED) {
        jobs__warn_of_table("a flush by policy failed", table, &error);
        return_dirt(jobs, dirt, 0);
    }
}

static Code note_partition(void *context, Partition partition, Error *e)
{
    (void)e;
    Dirt dirt = {partition.table_id, partition.user, 0, clock_wall_us()};
    jobs__return_dirt((Jobs *)context, &dirt);
    return OK;
}

static void each_table(Jobs *jobs, void (*visit)(Jobs *jobs, Table *table))
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table **tables;
    size_t count;
    catalog_list_tables(database_catalog(jobs->db), arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        if (!jobs__is_killed(jobs, NULL))
            visit(jobs, tables[i]);
        table_unref(tables[i]);
    }
}

void jobs__note_partitions(Jobs *jobs, Table *table)
{
    Error error = {0};
    if (flush_each_partition(jobs->db, table, note_partition, jobs, &error) != OK)
        jobs__warn_of_table("the search for partitions failed", table, &error);
}

static void flush_due(Jobs *jobs)
{
    bool all;
    Map *dirt = jobs__take_dirt(jobs, &all);
    Slice key;
    void *value;
    for (size_t at = 0; map_next(dirt, &at, &key, &value) && !jobs__is_killed(jobs, NULL);)
        flush_if_due(jobs, (const Dirt *)value);
    jobs__free_dirt(dirt);
    if (all)
        each_table(jobs, jobs__note_partitions);
}

typedef struct TrimRun {
    Jobs *jobs;
    Table *table;
} TrimRun;

static Code trim_one(void *context, Partition partition, Error *e)
{
    TrimRun *run = (TrimRun *)context;
    if (jobs__is_killed(run->jobs, NULL))
        return fail(e, E_CANCELLED, "the server stops");
    Code code = flush_trim(run->jobs->db, run->table, partition, e);
    return code == E_CONFLICT ? OK : code; /* the next run finds it again */
}

static void trim_table(Jobs *jobs, Table *table)
{
    Error error = {0};
    TrimRun run = {jobs, table};
    Code code = flush_each_partition(jobs->db, table, trim_one, &run, &error);
    if (code != OK && code != E_CANCELLED)
        jobs__warn_of_table("the trim of the feed window failed", table, &error);
}

/* ---- the thread ---- */

static void wait_for_work(Jobs *jobs, int64_t until_us)
{
    MUTEX_SCOPE(&jobs->lock);
    while (!jobs->stopping && !jobs->has_news &&
           cond_wait_until(&jobs->wake, &jobs->lock, until_us))
        ;
    jobs->has_news = false;
}

/* At start, and after a failed write: files whose commit did not happen. */
static void sweep(Jobs *jobs)
{
    Error error = {0};
    uint32_t removed = 0;
    Code code = flush_sweep(jobs->db, &removed, &error);
    if (code == OK)
        code = flush_purge_dropped(jobs->db, &error);
    if (code != OK)
        log_event(LOG_LEVEL_WARN, "left-over files were not removed", LOG_ERROR(&error));
    else if (removed)
        log_event(LOG_LEVEL_INFO, "removed files that no manifest names",
                  LOG_INT("files", removed));
}

/* Committer thread: what was in doubt is settled, and nobody else knows of its files. */
void jobs__on_reopen(void *context, bool has_lost)
{
    Jobs *jobs = (Jobs *)context;
    log_event(has_lost ? LOG_LEVEL_WARN : LOG_LEVEL_INFO,
              has_lost
                  ? "writes go on; commits of async tables are lost, and their feeds start anew"
                  : "writes go on");
    MUTEX_SCOPE(&jobs->lock);
    jobs->is_reopened = true;
    jobs__wake(jobs);
}

static bool take_reopened(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    bool was = jobs->is_reopened;
    jobs->is_reopened = false;
    return was;
}

/* ---- the feed window ---- */

typedef struct Upkeep {
    int64_t interval_us, every_us, next_at_us;
    uint64_t trimmed_seq; /* last_seq after the last trim */
    bool
        is_settled; /* that trim came after the window of trimmed_seq had passed: nothing is left */
} Upkeep;

static Upkeep upkeep_start(const Jobs *jobs)
{
    int64_t interval_us = (int64_t)jobs->options.check_interval_s * 1000000;
    int64_t window_us = (int64_t)database_feed_window_s(jobs->db, NULL) * 1000000 / 8;
    int64_t every_us = window_us < (int64_t)TRIM_INTERVAL_S_MAX * 1000000
                           ? window_us
                           : (int64_t)TRIM_INTERVAL_S_MAX * 1000000;
    return (Upkeep){.interval_us = interval_us,
                    .every_us = every_us > interval_us ? every_us : interval_us,
                    .next_at_us = clock_monotonic_us() + interval_us};
}

/* An idle server trims twice after its last commit: soon, and once the window of that commit has passed. */
static void upkeep_run(Jobs *jobs, Upkeep *upkeep)
{
    if (clock_monotonic_us() < upkeep->next_at_us)
        return;
    uint64_t last_seq = database_last_seq(jobs->db);
    uint64_t low =
        seq_at(clock_wall_us() - (int64_t)database_feed_window_s(jobs->db, NULL) * 1000000);
    bool has_passed = low >= last_seq;
    if (upkeep->trimmed_seq != last_seq || (has_passed && !upkeep->is_settled)) {
        each_table(jobs, trim_table);
        upkeep->is_settled = has_passed;
    }
    each_table(jobs, jobs__note_old_dead);
    upkeep->trimmed_seq = database_last_seq(jobs->db);
    upkeep->next_at_us = clock_monotonic_us() + upkeep->every_us;
}

void jobs__run(void *argument)
{
    Jobs *jobs = (Jobs *)argument;
    Upkeep upkeep = upkeep_start(jobs);
    sweep(jobs);
    jobs__sweep_exports(jobs);
    each_table(jobs, jobs__note_partitions);
    while (!jobs__is_killed(jobs, NULL)) {
        if (take_reopened(jobs))
            sweep(jobs);
        jobs__queue_cleanups(jobs);
        jobs__expire_exports(jobs);
        for (Job *job; !jobs__is_killed(jobs, NULL) && (job = take_job(jobs));)
            run_job(jobs, job);
        flush_due(jobs);
        upkeep_run(jobs, &upkeep);
        int64_t wait_us = jobs__compact_due(jobs);
        if (wait_us > 0)
            wait_for_work(jobs, clock_monotonic_us() +
                                    (wait_us < upkeep.interval_us ? wait_us : upkeep.interval_us));
    }
}
