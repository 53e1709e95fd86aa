/* SPDX-License-Identifier: Apache-2.0
 *
 * Background work as rows of system.jobs: flush, compaction, trim of the feed window, stream
 * expiry, cleanup after DROP. A job survives a restart (it is queued again), never runs twice at
 * once, and tells its progress.
 *
 * Threads: one for each kind of work (flush and upkeep, compaction, backup and export, cleanup),
 * each runs its jobs one after the other; every function here is for any thread but the loops.
 */
#pragma once

#include "table/database.h"

enum { JOB_ID_BYTES = 16 }; /* "FL-" + 12 hex digits + NUL */

typedef enum JobStatus {
    JOB_QUEUED,
    JOB_RUNNING,
    JOB_COMPLETED,
    JOB_FAILED,
    JOB_CANCELLED,
    JOB_SKIPPED,
} JobStatus;
const char *job_status_name(JobStatus status); /* "queued" */

typedef struct JobInfo {
    char id[JOB_ID_BYTES];
    const char *type; /* "flush", "compact", "backup" … (record.c has them all): static text */
    JobStatus status;
    Slice parameters; /* JSON text */
    Slice message;    /* for a person; why it failed */
    Code code;        /* the same for a program; OK also where that is not known after a restart */
    int64_t created_at_us, started_at_us, finished_at_us; /* 0 = not yet */
} JobInfo;

typedef struct Jobs Jobs;
typedef struct JobsOptions {
    /* For tables that name no policy: rows that make a flush due, or (0: never) an age, then of at
     * least so many rows. */
    uint32_t flush_rows_default, flush_interval_default_s, flush_rows_min;
    uint32_t check_interval_s;     /* the longest sleep; what failed is tried again after it */
    uint32_t dropped_user_grace_s; /* how long a dropped user can be restored */
    const char *backup_folder;     /* where backups lie; NULL or empty: none is made; borrowed */
    uint32_t export_keep_s;        /* exports older than that are removed; 0 = never */
} JobsOptions;

CHECKED Code jobs_start(Database *db, const JobsOptions *options, Jobs **out, Error *e);
/* Interrupts or lets end what runs and joins the threads; the other functions still answer. Before
 * database_close. Accepts NULL. */
void jobs_stop(Jobs *jobs);
void jobs_free(
    Jobs *jobs); /* after database_close: the committer notes dirt until then; accepts NULL */

typedef enum FlushRequest {
    FLUSH_STARTED,
    FLUSH_NOTHING_PENDING,
    FLUSH_ALREADY_QUEUED
} FlushRequest;
/* Queues a flush of all partitions of a table. out_id is set for FLUSH_STARTED and
 * FLUSH_ALREADY_QUEUED. */
CHECKED Code jobs_request_flush(Jobs *jobs, Table *table, FlushRequest *out,
                                char out_id[JOB_ID_BYTES], Error *e);
/* Waits until the job has ended or the time is over; E_NOT_FOUND for an unknown id. Workers
 * only. */
CHECKED Code jobs_wait(Jobs *jobs, const char *id, uint32_t timeout_ms, Arena *arena, JobInfo *out,
                       Error *e);
/* Queues a compaction of all partitions of a table: whatever can be merged, and every dead row.
 * *out_started is false when one was queued or running already, whose id out_id then is. */
CHECKED Code jobs_request_compact(Jobs *jobs, Table *table, bool *out_started,
                                  char out_id[JOB_ID_BYTES], Error *e);
/* Queues the removal of the files of a dropped table, and of all others that were dropped before.
 * They go without a job when this fails. */
CHECKED Code jobs_request_cleanup(Jobs *jobs, Table *dropped, char out_id[JOB_ID_BYTES], Error *e);
/* Queues a backup of a namespace, or (name empty) of the whole database, to that place below the
 * folder for backups (backup_place). E_INVALID_INPUT for a place that may not be used, E_CONFLICT
 * while another backup is queued or running. */
CHECKED Code jobs_request_backup(Jobs *jobs, Slice namespace_name, Slice place,
                                 char out_id[JOB_ID_BYTES], Error *e);
/* Queues the restore of a namespace from there. */
CHECKED Code jobs_request_restore(Jobs *jobs, Slice namespace_name, Slice place,
                                  char out_id[JOB_ID_BYTES], Error *e);
/* Queues an export of all that a user has (table/export.h); the id is that of the one that runs or
 * was completed today, if there is. */
CHECKED Code jobs_request_export(Jobs *jobs, const User *user, char out_id[JOB_ID_BYTES], Error *e);
bool jobs_is_export_of(const JobInfo *job, Slice user_id);
/* Somebody was dropped: when the grace period is over, a job (user_cleanup, UC-…) erases what they
 * had. */
void jobs_note_dropped_user(Jobs *jobs);
/* Asks a queued or running job to stop. E_NOT_FOUND, E_INVALID_OPERATION when it has ended. */
CHECKED Code jobs_kill(Jobs *jobs, Slice id, Error *e);
/* Who is to know that rows of jobs_list have changed though nothing was committed: a job has begun,
 * or tells how far it is, of which two come at least half a second apart and the last is never left
 * out. Called on a thread of jobs, without locks, until jobs_stop. */
typedef struct JobsWatcher {
    void (*changed)(void *context);
    void *context;
} JobsWatcher;
void jobs_watch(Jobs *jobs, JobsWatcher watcher);
/* Of each type: how many wait and run now, and how many have ended since the start. */
enum { JOB_TYPES_MAX = 16 };
typedef struct JobFigures {
    const char *type; /* static text */
    uint64_t queued, running, completed, failed, cancelled;
} JobFigures;
void jobs_figures(Jobs *jobs, JobFigures out[JOB_TYPES_MAX], size_t *out_count);
/* All jobs kept, newest first. */
CHECKED Code jobs_list(Jobs *jobs, Arena *arena, JobInfo **out, size_t *out_count, Error *e);
