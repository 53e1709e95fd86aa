/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of jobs/ share: the registry, the dirt that commits leave, job records.
 */
#pragma once

#include "base/map.h"
#include "jobs/jobs.h"
#include "os/thread.h"
#include "table/compact.h"
#include "table/flush.h"

enum {
    JOBS_KEPT_MAX = 1000, /* ended jobs that system.jobs remembers */
    JOBS_QUEUED_MAX = 1000,
    JOBS_ALTER_TRIES_MAX = 10,         /* of work that an ALTER TABLE came in between of */
    DIRTY_PARTITIONS_MAX = 100 * 1000, /* above it the next check looks at every partition */
    SYSTEM_PREFIX_JOB = 'j',
};

/* In records: append only. */
typedef enum JobType {
    JOB_FLUSH,
    JOB_CLEANUP,
    JOB_COMPACT,
    JOB_BACKUP,
    JOB_USER_EXPORT,
    JOB_USER_CLEANUP,
    JOB_RESTORE,
    JOB_TYPE_COUNT
} JobType;

typedef struct Job {
    struct Job *next; /* newest first */
    uint64_t number;  /* grows; in the key */
    JobType type;
    JobStatus status;
    char id[JOB_ID_BYTES];
    uint32_t table_id;
    char *parameters; /* JSON text, owned */
    char *target;     /* path of a backup, owned; NULL for others, and after a restart */
    char *
        space; /* the namespace of a backup or restore, owned; NULL for others, and after a restart */
    uint64_t user; /* of an export or a user cleanup; 0 for others, and after a restart */
    char *message; /* owned, may be NULL */
    bool kill;     /* asked to stop */
    unsigned
        saves; /* writes of its record under way: until they are over it is neither taken nor forgotten */
    int64_t created_at_us, started_at_us, finished_at_us;
} Job;

/* Partitions that commits touched since the last check. */
typedef struct Dirt {
    uint32_t table_id;
    uint64_t user;
    uint64_t rows;       /* what waited when it was last counted, and rows changed since */
    int64_t first_at_us; /* when the oldest of them was committed */
} Dirt;

struct Jobs {
    Database *db;
    JobsOptions options;
    Thread *thread;

    Mutex lock;
    Cond wake;  /* the jobs thread has something to do */
    Cond ended; /* a job has ended */
    /* guarded by lock */
    Job *newest;
    size_t job_count, queued_count;
    uint64_t next_number;
    bool stopping;
    int64_t erase_at_us; /* wall clock: when dropped users are looked for */
    bool is_reopened;    /* left-over files are to be looked for */
    bool has_news;       /* since the thread last slept: a job to run, or a partition that is due */

    Mutex
        dirt_lock; /* taken by the committer: held for a few lines only; never together with lock */
    /* guarded by dirt_lock */
    Map *dirt; /* partition bytes -> Dirt, owned */
    bool dirt_overflowed;
    bool is_due; /* a partition reached its policy's rows */

    /* the jobs thread's own */
    Map *
        compactable; /* partition bytes -> Dirt, owned: flushed since they were last looked at, or with old dead rows */
    Obsolete *obsolete;
    int64_t exports_at_us; /* wall clock: when old exports are looked for */
};

/* record.c */
void jobs__encode(const Job *job, Buffer *out);
CHECKED Code jobs__decode(Slice bytes, Job **out, Error *e);
void jobs__free_job(Job *job);
const char *jobs__type_name(JobType type);

/* dirt.c */
void jobs__on_commit(void *context, const CommitGroup *group);
/* Takes all dirt; the map is the caller's: free with jobs__free_dirt. *out_all: look at every partition instead. */
Map *jobs__take_dirt(Jobs *jobs, bool *out_all);
void jobs__free_dirt(Map *dirt);
/* Puts back what is not due yet. */
void jobs__return_dirt(Jobs *jobs, const Dirt *dirt);
uint32_t jobs__policy_rows(const Jobs *jobs, const Table *table);

/* erase.c, jobs thread only */
CHECKED Code jobs__run_user_cleanup(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                                    Error *e);
/* Queues a job for each dropped user whose grace period is over. */
void jobs__queue_cleanups(Jobs *jobs);

/* jobs.c */
CHECKED Code jobs__request_user_cleanup(Jobs *jobs, const User *user, Error *e);

/* keep.c, jobs thread only */
CHECKED Code jobs__run_export(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                              Error *e);
CHECKED Code jobs__run_backup(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                              Error *e);
CHECKED Code jobs__run_restore(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                               Error *e);

/* At start: removes what a crash left of exports. */
void jobs__sweep_exports(Jobs *jobs);
/* Removes exports that are too old, once an hour. */
void jobs__expire_exports(Jobs *jobs);

/* compact.c, jobs thread only */
CHECKED Code jobs__run_compact(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                               Error *e);
/* Notes that a partition may have something to merge. */
void jobs__note_compactable(Jobs *jobs, Partition partition);
/* Notes the partitions of a table that have rows which died before the feed window. */
void jobs__note_old_dead(Jobs *jobs, Table *table);
/* Compacts noted partitions, a bounded amount of rows, and unlinks replaced files. Returns after how many microseconds it wants
 * to be called again: 0 = at once. */
int64_t jobs__compact_due(Jobs *jobs);

/* run.c */
/* True when the server stops, or the job (may be NULL) was killed. */
bool jobs__is_killed(Jobs *jobs, const Job *job);
void jobs__warn_of_table(const char *what, const Table *table, const Error *error);
void jobs__run(void *argument);
/* Has all partitions of a table looked at by the next check. */
void jobs__note_partitions(Jobs *jobs, Table *table);
void jobs__on_reopen(void *context, bool has_lost);
/* Writes the job's record, which takes back one of job->saves; after a failure the job goes on, its row is only not
 * remembered. */
void jobs__save(Jobs *jobs, Job *job);
/* Wakes the jobs thread; under lock. */
void jobs__wake(Jobs *jobs);
