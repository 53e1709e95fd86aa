/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of jobs: queueing, waiting, listing, killing, and their records in the system
 * family.
 */
#include "jobs/jobs.h"

#include <stdio.h>
#include <stdlib.h>

#include "data/json.h"
#include "jobs/cleanup.h"
#include "jobs/dirt.h"
#include "jobs/jobs_int.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "os/throttle.h"
#include "table/backup.h"

/* ---- records ---- */

static Slice key_of(uint64_t number, char out[9])
{
    out[0] = SYSTEM_PREFIX_JOB;
    for (int i = 0; i < 8; i++)
        out[1 + i] = (char)(number >> (56 - 8 * i));
    return slice_of(out, 9);
}

void jobs__save(Jobs *jobs, Job *job)
{
    static const char what[] = "the record of a job was not written";
    static const Partition nowhere = {0};
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(jobs->db));
    CLEANUP(buffer_done) Buffer bytes = {0};
    char key[9];
    Error error = {0};
    mutex_lock(&jobs->lock);
    must(job->saves > 0);
    jobs__encode(job, &bytes);
    mutex_unlock(&jobs->lock);
    intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, key_of(job->number, key), buffer_slice(&bytes));
    Code code = database_commit(jobs->db, intent, &error);
    if (code == OK)
        jobs__went_well(jobs, what, nowhere);
    else if (code != E_SHUTTING_DOWN)
        jobs__warn(jobs, what, nowhere, &error);
    mutex_lock(&jobs->lock);
    job->saves--;
    mutex_unlock(&jobs->lock);
}

void jobs__wake(Jobs *jobs)
{
    for (int i = 0; i < LANE_COUNT; i++)
        jobs->lanes[i].has_news = true;
    cond_broadcast(&jobs->wake);
}

/* Backups, restores and exports are not taken up again: a folder is half full, and perhaps nobody
 * wants them any more. Dropped users are looked for at every start, and get a new job. */
static void restart_job(Jobs *jobs, Job *job)
{
    bool is_cleanup = job->type == JOB_USER_CLEANUP;
    if (job->type == JOB_BACKUP || job->type == JOB_RESTORE || job->type == JOB_USER_EXPORT ||
        is_cleanup) {
        job->status = JOB_FAILED;
        free(job->message);
        job->message = x_text(
            is_cleanup ? SLICE("the server stopped before it was complete; a new job goes on")
                       : SLICE("the server stopped before it was complete; ask again"));
        return;
    }
    job->status = JOB_QUEUED;
    jobs->queued_count++;
}

/* Of a restored server: the backup that made it stands in its copy as not ended. There is one at a
 * time, so it is the last that was not. */
static void end_own_backup(Jobs *jobs, Job *backup)
{
    if (!backup || backup->created_at_us >= backup_restored_at_us(jobs->db))
        return;
    backup->status = JOB_COMPLETED;
    free(backup->message);
    backup->message = x_text(SLICE("this server was restored from the copy that it made"));
}

/* Loads the records, oldest first; what was queued or running is queued again. */
static Code load(Jobs *jobs, Error *e)
{
    static const char from[] = {SYSTEM_PREFIX_JOB}, to[] = {SYSTEM_PREFIX_JOB + 1};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(jobs->db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(from, 1),
                                        slice_of(to, 1), false);
    Code code = OK;
    Job *cut_backup = NULL;
    while (code == OK && hot_next(it)) {
        Job *job;
        code = jobs__decode(hot_value(it), &job, e);
        if (code != OK)
            break;
        if (job->status == JOB_QUEUED || job->status == JOB_RUNNING) {
            restart_job(jobs, job);
            cut_backup = job->type == JOB_BACKUP ? job : cut_backup;
        }
        job->next = jobs->newest;
        jobs->newest = job;
        jobs->job_count++;
        jobs->next_number = job->number + 1;
    }
    if (code == OK)
        code = hot_iterator_end(it, e);
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    end_own_backup(jobs, cut_backup);
    return code;
}

/* ---- start and stop ---- */

static void free_all(Jobs *jobs)
{
    for (Job *job = jobs->newest; job;) {
        Job *next = job->next;
        jobs__free_job(job);
        job = next;
    }
    jobs__free_dirt(jobs->dirt);
    jobs__free_dirt(jobs->compactable);
    jobs__free_told(jobs->told);
    map_free(jobs->policies);
    obsolete_free(jobs->obsolete);
    mutex_done(&jobs->dirt_lock);
    mutex_done(&jobs->lock);
    cond_done(&jobs->wake);
    cond_done(&jobs->ended);
    cond_done(&jobs->tell);
    free(jobs);
}

static void join_lanes(Jobs *jobs)
{
    mutex_lock(&jobs->lock);
    jobs->stopping = true;
    cond_broadcast(&jobs->wake);
    cond_broadcast(&jobs->ended);
    cond_broadcast(&jobs->tell);
    mutex_unlock(&jobs->lock);
    throttle_lift(database_throttle(jobs->db));
    hot_allow_merges(database_hot(jobs->db), false);
    for (int i = 0; i < LANE_COUNT; i++) {
        thread_join(jobs->lanes[i].thread);
        jobs->lanes[i].thread = NULL;
    }
    thread_join(jobs->teller);
    jobs->teller = NULL;
}

static Code start_lanes(Jobs *jobs, Error *e)
{
    static const char *const names[LANE_COUNT] = {
        [LANE_UPKEEP] = "jobs-upkeep",
        [LANE_COMPACT] = "jobs-compact",
        [LANE_KEEP] = "jobs-keep",
        [LANE_CLEANUP] = "jobs-cleanup",
    };
    Code code = thread_start("jobs-tell", THREAD_JOBS, jobs__run_teller, jobs, &jobs->teller, e);
    throttle_restore(database_throttle(jobs->db)); /* other jobs may have run on it, and stopped */
    hot_allow_merges(database_hot(jobs->db), true);
    for (int i = 0; i < LANE_COUNT && code == OK; i++) {
        LaneThread *lane = &jobs->lanes[i];
        lane->jobs = jobs;
        lane->lane = (Lane)i;
        code = thread_start(names[i], THREAD_JOBS, jobs__run_lane, lane, &lane->thread, e);
    }
    if (code != OK)
        join_lanes(jobs);
    return code;
}

Code jobs_start(Database *db, const JobsOptions *options, Jobs **out, Error *e)
{
    Jobs *jobs = x_new(Jobs);
    jobs->db = db;
    jobs->options = *options;
    jobs->dirt = map_new();
    jobs->compactable = map_new();
    jobs->policies = map_new();
    jobs->wants_purge = jobs->wants_mending = true;
    jobs->reclaim_at_us = jobs->purge_at_us = INT64_MAX;
    jobs->obsolete = obsolete_new(db);
    database_set_flush_interval(db, options->flush_interval_default_s);
    mutex_init(&jobs->lock);
    mutex_init(&jobs->dirt_lock);
    cond_init(&jobs->wake);
    cond_init(&jobs->ended);
    cond_init(&jobs->tell);
    Code code = load(jobs, e);
    if (code == OK) {
        database_add_sink(db, (ChangeSink){jobs__on_commit, jobs, jobs__on_reopen});
        code = start_lanes(jobs, e);
    }
    if (code != OK) {
        free_all(jobs);
        return code;
    }
    *out = jobs;
    return OK;
}

void jobs_stop(Jobs *jobs)
{
    if (jobs)
        join_lanes(jobs);
}

void jobs_free(Jobs *jobs)
{
    if (jobs)
        free_all(jobs);
}

/* ---- queueing ---- */

/* What is asked for: of a table, or (table NULL) of the whole database. */
typedef struct Order {
    JobType type;
    const Table *table;
    const char *target; /* of a backup or restore */
    Slice space;        /* its namespace; empty: all */
    const User *user;   /* of an export or a user cleanup */
} Order;

static void add_parameters(const Order *order, Buffer *out)
{
    if (order->user) {
        buffer_add_text(out, "{\"user_id\":");
        json_add_string(out, order->user->user_id);
    } else if (order->target) {
        buffer_add_text(out, "{\"path\":");
        json_add_string(out, slice_of_text(order->target));
        if (order->space.size) {
            buffer_add_text(out, ",\"namespace_id\":");
            json_add_string(out, order->space);
        }
    } else if (order->table) {
        buffer_add_text(out, "{\"namespace_id\":");
        json_add_string(out, order->table->namespace_name);
        buffer_add_text(out, ",\"table_name\":");
        json_add_string(out, order->table->name);
    } else {
        buffer_add_text(out, "{");
    }
    buffer_add_text(out, "}");
}

static Job *find_active(Jobs *jobs, JobType type, uint32_t table_id)
{
    for (Job *job = jobs->newest; job; job = job->next) {
        if (job->type == type && job->table_id == table_id && job->status <= JOB_RUNNING)
            return job;
    }
    return NULL;
}

/* The job of that type and user that is active, or an export that was completed today (UTC): one a
 * day, since each fills the disk. */
static Job *find_of_user(Jobs *jobs, const Order *order)
{
    CLEANUP(buffer_done) Buffer wanted = {0};
    int64_t day_us = (int64_t)24 * 3600 * 1000000, today = clock_wall_us() / day_us;
    add_parameters(order, &wanted);
    for (Job *job = jobs->newest; job; job = job->next) {
        if (job->type != order->type ||
            !slice_equal(slice_of_text(job->parameters), buffer_slice(&wanted)))
            continue;
        bool is_done_today = job->status == JOB_COMPLETED && job->created_at_us / day_us == today;
        if (job->status <= JOB_RUNNING || (is_done_today && order->type == JOB_USER_EXPORT))
            return job;
    }
    return NULL;
}

/* Takes out the oldest ended job. */
static Job *forget_oldest(Jobs *jobs)
{
    Job **oldest = NULL;
    for (Job **link = &jobs->newest; *link; link = &(*link)->next) {
        if ((*link)->status > JOB_RUNNING && (*link)->saves == 0)
            oldest = link;
    }
    if (!oldest)
        return NULL;
    Job *job = *oldest;
    *oldest = job->next;
    job->next = NULL;
    jobs->job_count--;
    return job;
}

/* Makes room for a new job: those that wait or run stay, and may be as many as there is room for.
 * The records of what is returned go with the new job's. */
static Job *make_room(Jobs *jobs)
{
    Job *forgotten = NULL, *oldest;
    while (jobs->job_count >= JOBS_KEPT_MAX && (oldest = forget_oldest(jobs))) {
        oldest->next = forgotten;
        forgotten = oldest;
    }
    return forgotten;
}

static void delete_records(Job *forgotten, Intent *intent)
{
    char key[9];
    for (Job *next; forgotten; forgotten = next) {
        next = forgotten->next;
        intent_add_raw(intent, RAW_DELETE, HOT_SYSTEM, key_of(forgotten->number, key), (Slice){0});
        jobs__free_job(forgotten);
    }
}

static Job *new_job(Jobs *jobs, const Order *order)
{
    static const char *const prefixes[JOB_TYPE_COUNT] = {
        [JOB_FLUSH] = "FL",   [JOB_CLEANUP] = "CL",     [JOB_COMPACT] = "CO",
        [JOB_BACKUP] = "BK",  [JOB_USER_EXPORT] = "UE", [JOB_USER_CLEANUP] = "UC",
        [JOB_RESTORE] = "RS",
    };
    Job *job = x_new(Job);
    uint64_t random = random_u64();
    job->number = jobs->next_number++;
    job->type = order->type;
    job->status = JOB_QUEUED;
    job->table_id = order->table ? order->table->id : 0;
    job->user = order->user ? order->user->id : 0;
    job->target = order->target ? x_text(slice_of_text(order->target)) : NULL;
    job->space = order->space.size ? x_text(order->space) : NULL;
    job->created_at_us = clock_wall_us();
    snprintf(job->id, sizeof job->id, "%s-%012llx", prefixes[order->type],
             (unsigned long long)(random & 0xFFFFFFFFFFFFu));
    CLEANUP(buffer_done) Buffer parameters = {0};
    add_parameters(order, &parameters);
    job->parameters = x_text(buffer_slice(&parameters));
    return job;
}

/* Puts a new job into the list, perhaps in place of an old one; the thread does not take it yet. */
static Code add_job(Jobs *jobs, const Order *order, Job **out, Job **out_forgotten, Error *e)
{
    if (jobs->stopping)
        return fail(e, E_SHUTTING_DOWN, "the server is stopping");
    if (jobs->queued_count >= JOBS_QUEUED_MAX)
        return fail(e, E_BUSY, "%d jobs are waiting already; retry later", JOBS_QUEUED_MAX);
    *out_forgotten = make_room(jobs);
    Job *job = new_job(jobs, order);
    job->saves = 1;
    job->next = jobs->newest;
    jobs->newest = job;
    jobs->job_count++;
    jobs->queued_count++;
    *out = job;
    return OK;
}

/* The record of a new job is written, or could not be (`why`). */
static void settle_job(Jobs *jobs, Job *job, const Error *why)
{
    mutex_lock(&jobs->lock);
    bool was_killed = job->status != JOB_QUEUED;
    if (why && !was_killed) {
        job->status = JOB_FAILED;
        job->code = why->code;
        job->message = x_text(slice_of_text(why->text));
        job->finished_at_us = clock_wall_us();
        jobs->ended_counts[job->type][JOB_FAILED]++;
        jobs->queued_count--;
        cond_broadcast(&jobs->ended);
    }
    if (!was_killed)
        job->saves--;
    jobs__wake(jobs);
    mutex_unlock(&jobs->lock);
    if (was_killed)
        jobs__save(jobs, job); /* once more: the record that says queued may have come last */
}

/* Makes the job and its record durable before the thread takes it. */
static Code queue_order(Jobs *jobs, const Order *order, bool *out_existed,
                        char out_id[JOB_ID_BYTES], Error *e)
{
    mutex_lock(&jobs->lock);
    Job *active = order->user ? find_of_user(jobs, order)
                              : find_active(jobs, order->type, order->table ? order->table->id : 0);
    if (active) {
        memcpy(out_id, active->id, JOB_ID_BYTES);
        mutex_unlock(&jobs->lock);
        *out_existed = true;
        return OK;
    }
    Job *forgotten = NULL, *job = NULL;
    Code code = add_job(jobs, order, &job, &forgotten, e);
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(jobs->db));
    char key[9];
    if (job) {
        memcpy(out_id, job->id, JOB_ID_BYTES);
        jobs__encode(job, &bytes);
        intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, key_of(job->number, key), buffer_slice(&bytes));
    }
    mutex_unlock(&jobs->lock);
    delete_records(forgotten, intent);
    TRY(code);
    intent->durable = true;
    Error why = {0};
    code = database_commit(jobs->db, intent, &why);
    settle_job(jobs, job, code == OK ? NULL : &why);
    if (code != OK && e)
        *e = why;
    *out_existed = false;
    return code;
}

static Code queue(Jobs *jobs, JobType type, const Table *table, bool *out_existed,
                  char out_id[JOB_ID_BYTES], Error *e)
{
    Order order = {.type = type, .table = table};
    return queue_order(jobs, &order, out_existed, out_id, e);
}

typedef struct PendingSearch {
    Database *db;
    const Table *table;
    bool found;
} PendingSearch;

static Code search_pending(void *context, Partition partition, Error *e)
{
    PendingSearch *search = (PendingSearch *)context;
    TRY(flush_is_pending(search->db, search->table, partition, &search->found, e));
    return search->found ? fail(e, E_CANCELLED, "found") : OK; /* the walk ends */
}

Code jobs_request_flush(Jobs *jobs, Table *table, FlushRequest *out, char out_id[JOB_ID_BYTES],
                        Error *e)
{
    PendingSearch search = {jobs->db, table, false};
    Code code = flush_each_partition(jobs->db, table, search_pending, &search, e);
    if (code != OK && !search.found)
        return code;
    if (!search.found) {
        *out = FLUSH_NOTHING_PENDING;
        return OK;
    }
    bool existed;
    TRY(queue(jobs, JOB_FLUSH, table, &existed, out_id, e));
    *out = existed ? FLUSH_ALREADY_QUEUED : FLUSH_STARTED;
    return OK;
}

Code jobs_request_compact(Jobs *jobs, Table *table, bool *out_started, char out_id[JOB_ID_BYTES],
                          Error *e)
{
    bool existed;
    TRY(queue(jobs, JOB_COMPACT, table, &existed, out_id, e));
    *out_started = !existed;
    return OK;
}

Code jobs_request_cleanup(Jobs *jobs, Table *dropped, char out_id[JOB_ID_BYTES], Error *e)
{
    bool existed;
    Code code = queue(jobs, JOB_CLEANUP, dropped, &existed, out_id, e);
    if (code == OK)
        return OK;
    MUTEX_SCOPE(&jobs->lock);
    jobs->wants_purge = true;
    jobs__wake(jobs);
    return code;
}

Code jobs__request_purge(Jobs *jobs, Error *e)
{
    char id[JOB_ID_BYTES];
    bool existed;
    return queue(jobs, JOB_CLEANUP, NULL, &existed, id, e);
}

static Code queue_keeping(Jobs *jobs, Order *order, Slice place, char out_id[JOB_ID_BYTES],
                          Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    bool existed;
    TRY(backup_place(jobs->db, jobs->options.backup_folder, place, arena, &order->target, e));
    TRY(order->type == JOB_RESTORE ? backup_check_source(order->target, e)
                                   : backup_check_target(order->target, e));
    TRY(queue_order(jobs, order, &existed, out_id, e));
    if (existed)
        return fail(e, E_CONFLICT, "a %s is queued or running already: job %s",
                    jobs__type_name(order->type), out_id);
    return OK;
}

Code jobs_request_backup(Jobs *jobs, Slice namespace_name, Slice place, char out_id[JOB_ID_BYTES],
                         Error *e)
{
    Order order = {.type = JOB_BACKUP, .space = namespace_name};
    return queue_keeping(jobs, &order, place, out_id, e);
}

Code jobs_request_restore(Jobs *jobs, Slice namespace_name, Slice place, char out_id[JOB_ID_BYTES],
                          Error *e)
{
    Order order = {.type = JOB_RESTORE, .space = namespace_name};
    return queue_keeping(jobs, &order, place, out_id, e);
}

Code jobs_request_export(Jobs *jobs, const User *user, char out_id[JOB_ID_BYTES], Error *e)
{
    Order order = {.type = JOB_USER_EXPORT, .user = user};
    bool existed;
    return queue_order(jobs, &order, &existed, out_id, e);
}

Code jobs__request_user_cleanup(Jobs *jobs, const User *user, Error *e)
{
    Order order = {.type = JOB_USER_CLEANUP, .user = user};
    char id[JOB_ID_BYTES];
    bool existed;
    return queue_order(jobs, &order, &existed, id, e);
}

void jobs_note_dropped_user(Jobs *jobs)
{
    int64_t due_us = clock_wall_us() + (int64_t)jobs->options.dropped_user_grace_s * 1000000;
    MUTEX_SCOPE(&jobs->lock);
    if (due_us < jobs->erase_at_us)
        jobs->erase_at_us = due_us;
    jobs__wake(jobs);
}

bool jobs_is_export_of(const JobInfo *job, Slice user_id)
{
    CLEANUP(buffer_done) Buffer wanted = {0};
    User user = {.user_id = user_id};
    Order order = {.type = JOB_USER_EXPORT, .user = &user};
    add_parameters(&order, &wanted);
    return strcmp(job->type, jobs__type_name(JOB_USER_EXPORT)) == 0 &&
           slice_equal(job->parameters, buffer_slice(&wanted));
}

/* ---- looking ---- */

static void describe(const Job *job, Arena *arena, JobInfo *out)
{
    *out = (JobInfo){
        .type = jobs__type_name(job->type),
        .status = job->status,
        .parameters = arena_copy(arena, slice_of_text(job->parameters)),
        .message = arena_copy(arena, slice_of_text(job->message ? job->message : "")),
        .code = job->code,
        .created_at_us = job->created_at_us,
        .started_at_us = job->started_at_us,
        .finished_at_us = job->finished_at_us,
    };
    memcpy(out->id, job->id, JOB_ID_BYTES);
}

static Job *find(Jobs *jobs, Slice id)
{
    Job *job = jobs->newest;
    while (job && !slice_equal(slice_of_text(job->id), id))
        job = job->next;
    return job;
}

Code jobs_wait(Jobs *jobs, const char *id, uint32_t timeout_ms, Arena *arena, JobInfo *out,
               Error *e)
{
    int64_t deadline_us = clock_monotonic_us() + (int64_t)timeout_ms * 1000;
    MUTEX_SCOPE(&jobs->lock);
    for (;;) {
        Job *job =
            find(jobs, slice_of_text(id)); /* again each time: it may be forgotten meanwhile */
        if (!job)
            return fail(e, E_NOT_FOUND, "Job '%s' not found", id);
        bool ended = job->status > JOB_RUNNING;
        if (ended || jobs->stopping || !cond_wait_until(&jobs->ended, &jobs->lock, deadline_us)) {
            job = find(jobs, slice_of_text(id));
            if (!job)
                return fail(e, E_NOT_FOUND, "Job '%s' not found", id);
            describe(job, arena, out);
            return OK;
        }
    }
}

Code jobs_kill(Jobs *jobs, Slice id, Error *e)
{
    mutex_lock(&jobs->lock);
    Job *job = find(jobs, id);
    bool was_queued = job && job->status == JOB_QUEUED;
    JobStatus status = job ? job->status : JOB_SKIPPED;
    bool may_merge = job && status == JOB_RUNNING && job->type == JOB_USER_CLEANUP;
    if (job && status <= JOB_RUNNING)
        job->kill = true;
    cond_broadcast(&jobs->wake); /* it may pause before another try */
    if (was_queued) {
        job->status = JOB_CANCELLED;
        job->finished_at_us = clock_wall_us();
        jobs->ended_counts[job->type][JOB_CANCELLED]++;
        job->saves++;
        jobs->queued_count--;
        cond_broadcast(&jobs->ended);
    }
    mutex_unlock(&jobs->lock);
    if (may_merge)
        hot_cancel_merges(database_hot(jobs->db));
    if (was_queued)
        jobs__save(jobs, job); /* else the next start queues it again */
    if (!job)
        return fail(e, E_NOT_FOUND, "Job '%.*s' not found", SLICE_ARGS(id));
    if (status > JOB_RUNNING)
        return fail(e, E_INVALID_OPERATION, "Job '%.*s' has ended already: it is %s",
                    SLICE_ARGS(id), job_status_name(status));
    return OK;
}

void jobs_watch(Jobs *jobs, JobsWatcher watcher)
{
    MUTEX_SCOPE(&jobs->lock);
    jobs->watcher = watcher;
}

void jobs_figures(Jobs *jobs, JobFigures out[JOB_TYPES_MAX], size_t *out_count)
{
    _Static_assert((int)JOB_TYPE_COUNT <= (int)JOB_TYPES_MAX, "all types fit");
    MUTEX_SCOPE(&jobs->lock);
    for (int i = 0; i < JOB_TYPE_COUNT; i++) {
        const uint64_t *ended = jobs->ended_counts[i];
        out[i] = (JobFigures){.type = jobs__type_name((JobType)i),
                              .completed = ended[JOB_COMPLETED],
                              .failed = ended[JOB_FAILED],
                              .cancelled = ended[JOB_CANCELLED]};
    }
    for (const Job *job = jobs->newest; job; job = job->next) {
        out[job->type].queued += job->status == JOB_QUEUED;
        out[job->type].running += job->status == JOB_RUNNING;
    }
    *out_count = JOB_TYPE_COUNT;
}

Code jobs_list(Jobs *jobs, Arena *arena, JobInfo **out, size_t *out_count, Error *e)
{
    (void)e;
    MUTEX_SCOPE(&jobs->lock);
    JobInfo *infos = arena_new_array(arena, JobInfo, jobs->job_count);
    size_t count = 0;
    for (Job *job = jobs->newest; job; job = job->next)
        describe(job, arena, &infos[count++]);
    *out = infos;
    *out_count = count;
    return OK;
}
