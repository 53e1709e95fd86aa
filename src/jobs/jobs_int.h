/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of jobs/ share: the registry, the dirt that commits leave, job records.
 */
#pragma once

#include "base/map.h"
#include "jobs/jobs.h"
#include "os/thread.h"
#include "table/flush.h"

enum {
    JOBS_KEPT_MAX = 1000,      /* ended jobs that system.jobs remembers */
    JOBS_QUEUED_MAX = 1000,
    DIRTY_PARTITIONS_MAX = 100 * 1000, /* above it the next check looks at every partition */
    SYSTEM_PREFIX_JOB = 'j',
};

typedef enum JobType { JOB_FLUSH, JOB_CLEANUP, JOB_TYPE_COUNT } JobType;

typedef struct Job {
    struct Job *next; /* newest first */
    uint64_t number;  /* grows; in the key */
    JobType type;
    JobStatus status;
    char id[JOB_ID_BYTES];
    uint32_t table_id;
    char *parameters; /* JSON text, owned */
    char *message;    /* owned, may be NULL */
    bool kill;        /* asked to stop */
    int64_t created_at_us, started_at_us, finished_at_us;
} Job;

/* Partitions that commits touched since the last check. */
typedef struct Dirt {
    uint32_t table_id;
    uint64_t user;
    uint64_t rows;       /* changed rows, an upper bound of what waits */
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

    Mutex dirt_lock; /* taken by the committer: held for a few lines only; never together with lock */
    /* guarded by dirt_lock */
    Map *dirt; /* partition bytes -> Dirt, owned */
    bool dirt_overflowed;
    bool is_due; /* a partition reached its policy's rows */
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

/* run.c */
void jobs__run(void *argument);
/* Writes the job's record; after a failure the job goes on, its row is only not remembered. */
void jobs__save(Jobs *jobs, const Job *job);
