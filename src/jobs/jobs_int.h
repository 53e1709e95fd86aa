/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of jobs/ share: the registry, job records, what each lane does.
 */
#pragma once

#include "base/limits.h"
#include "base/map.h"
#include "jobs/jobs.h"
#include "os/thread.h"
#include "table/compact.h"
#include "table/due.h"
#include "table/flush.h"

enum {
    JOBS_ALTER_TRIES_MAX = 10,         /* of work that an ALTER TABLE came in between of */
    JOBS_TEAM_MAX = 8,                 /* partitions that one lane works on at once */
    JOBS_BATCH_MAX = 256,              /* … before it looks again what there is */
    DIRTY_PARTITIONS_MAX = 100 * 1000, /* whose rows are counted, and that wait for compaction */
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
    /* NULL or 0 where the type has none, and after a restart. */
    char *target;   /* path of a backup, owned */
    char *space;    /* namespace of a backup or restore, owned */
    uint64_t user;  /* of an export or a user cleanup */
    char *message;  /* owned, may be NULL */
    Code code;      /* why it failed */
    bool kill;      /* asked to stop */
    unsigned saves; /* of its record, under way: meanwhile it is neither taken nor forgotten */
    int64_t created_at_us, started_at_us, finished_at_us;
} Job;

/* Jobs run on one thread for each lane, so that a backup holds up no flush. Jobs of one lane never
 * run at once; several lanes are kept apart in a partition by its claim (table/claims.c). */
typedef enum Lane {
    LANE_UPKEEP,  /* flush, trim, expiry */
    LANE_COMPACT, /* compaction, files that were replaced */
    LANE_KEEP,    /* backup and export */
    LANE_CLEANUP, /* dropped tables and users, which wait for readers; space of deleted entries;
                   * manifest.json after a start */
    LANE_COUNT
} Lane;

typedef struct LaneThread {
    struct Jobs *jobs;
    Lane lane;
    Thread *thread;
    bool has_news;          /* since the thread last slept; guarded by Jobs.lock */
    int64_t awake_since_us; /* monotonic; the thread's own */
} LaneThread;

/* A job that runs, for functions that ask whether it shall stop. */
typedef struct JobRun {
    struct Jobs *jobs;
    const Job *job; /* NULL: nobody asked for it */
} JobRun;
bool jobs__is_stopped(void *run); /* of a JobRun */

/* Runs work(context, i) for each i < count, several at once on threads of their own, fewer beside
 * statements that write; returns when all have. LANE_UPKEEP. */
typedef void JobsWork(void *context, size_t index);
void jobs__each(Jobs *jobs, size_t count, JobsWork *work, void *context);
/* Whether compaction by itself is to wait for those, not for ever. LANE_COMPACT. */
bool jobs__gives_way(Jobs *jobs);

typedef struct Dirt Dirt; /* dirt.h */
typedef struct DirtList {
    Dirt *first, *last;
} DirtList;
typedef struct Told Told;   /* rest.h */
typedef struct Noted Noted; /* compact.c */

struct Jobs {
    Database *db;
    JobsOptions options;
    LaneThread lanes[LANE_COUNT];
    Thread *teller;

    Mutex lock;
    Cond wake;  /* some lane has something to do */
    Cond ended; /* a job has ended */
    Cond tell;  /* the watcher is to be told something */
    /* guarded by lock */
    Job *newest;
    size_t job_count, queued_count;
    JobsWatcher watcher;
    bool has_untold;    /* of what the watcher was not told yet */
    int64_t told_at_us; /* monotonic; INT64_MIN: no pause before the next time */
    uint64_t ended_counts[JOB_TYPE_COUNT][JOB_SKIPPED + 1]; /* since the start, by status */
    uint64_t next_number;
    bool stopping;
    int64_t erase_at_us;   /* wall clock: when dropped users are looked for */
    int64_t reclaim_at_us; /* monotonic: when LANE_CLEANUP gives space back */
    bool is_swept;         /* left-over files are gone: other lanes may write */
    Map *compactable;      /* partition bytes -> Noted, owned: to be looked at by LANE_COMPACT */
    Noted *first_noted, *last_noted; /* the same, in turn */
    bool wants_purge;                /* dropped tables may be left that no job is for */
    bool is_purging;                 /* they are being removed */
    uint32_t purge_retry_s;          /* how long the last purge that failed waits for the next */
    int64_t purge_at_us;             /* monotonic: when that is due; INT64_MAX: none is */
    bool is_reopened;                /* left-over files are to be looked for */
    bool wants_mending;              /* a manifest.json may not be right */
    Told *told;                      /* warnings that are in the log; owned */
    size_t told_count;

    /* Taken by the committer: held for a few lines only; never together with lock. */
    Mutex dirt_lock;
    /* guarded by dirt_lock */
    Map *dirt;                         /* partition bytes -> Dirt, owned */
    DirtList listed;                   /* those that wait for a look, in turn */
    DirtList idle;                     /* all others, the one touched last at the end */
    int64_t sleeps_until_us;           /* wall clock: when LANE_UPKEEP looks again by itself */
    bool is_rest_told, is_reopen_told; /* since the last commit */

    /* of LANE_UPKEEP */
    Map *policies; /* table id -> hash of what its looks were planned by */
    uint64_t policies_version;
    int64_t due_from_us, due_until_us; /* wall clock: where the due index has entries still; and
                                        * when it was read last */
    int64_t due_whole_at_us;           /* monotonic: when it is read from its start again */
    /* of its team, under that one's lock */
    uint64_t rows_seen;      /* written since the start */
    int64_t written_at_us;   /* monotonic: when these were last seen to be more */
    _Atomic bool is_crowded; /* read by LANE_COMPACT; relaxed, it orders nothing */
    /* of LANE_COMPACT */
    int64_t gives_way_since_us; /* monotonic; 0: it does not */
    Obsolete *obsolete;
    /* of LANE_CLEANUP */
    bool has_more_to_erase; /* dropped users that are due, beside those with jobs */
    /* of LANE_KEEP */
    int64_t exports_at_us; /* wall clock: when old exports are looked for */
};

/* record.c */
void jobs__encode(const Job *job, Buffer *out);
CHECKED Code jobs__decode(Slice bytes, Job **out, Error *e);
void jobs__free_job(Job *job);
const char *jobs__type_name(JobType type);

/* look.c: what is due by itself. Returns in how many microseconds it wants to be called again. */
int64_t jobs__upkeep(Jobs *jobs);

/* tell.c: the watcher; under lock */
void jobs__tell(Jobs *jobs);     /* soon */
void jobs__tell_now(Jobs *jobs); /* without a pause after the last time */
void jobs__run_teller(void *jobs);

/* compact.c */
CHECKED Code jobs__run_compact(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                               Error *e);
/* Notes that a partition may have something to merge or to drop. Any lane. */
void jobs__note_compactable(Jobs *jobs, Partition partition);
/* Compacts noted partitions, a bounded amount of rows, and unlinks replaced files; returns as the
 * others: 0 = at once. */
int64_t jobs__compact_due(Jobs *jobs);

/* run.c */
/* True when the server stops, or the job (may be NULL) was killed. */
bool jobs__is_killed(Jobs *jobs, const Job *job);
/* Flush and trim by the table's definition of this moment: an ALTER in between makes another try of
 * it. E_CLAIMED for what is due by itself; E_BUSY when that lasted. */
CHECKED Code jobs__flush(Jobs *jobs, const Job *job, Partition partition, uint64_t *out_rows,
                         Error *e);
CHECKED Code jobs__trim(Jobs *jobs, Partition partition, Error *e);
/* What system.jobs says of a job while it runs. */
void jobs__progress(Jobs *jobs, const Job *job, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void jobs__run_lane(void *lane_thread);
/* Takes others of the type that wait, at most so many, which run then; returns how many. For a type
 * of which a job runs, so that it may. */
size_t jobs__take_alike(Jobs *jobs, JobType type, Job **out, size_t limit);
/* Ends a job that runs, with its message or (not OK) its error; it may be freed then. */
void jobs__finish(Jobs *jobs, Job *job, Code code, const char *message, const Error *error);
void jobs__on_reopen(void *context, bool has_lost);
/* Writes the job's record, which takes back one of job->saves; after a failure the job goes on, its
 * row is only not remembered. */
void jobs__save(Jobs *jobs, Job *job);
/* Wakes all lanes; under lock. */
void jobs__wake(Jobs *jobs);
