/* SPDX-License-Identifier: Apache-2.0
 *
 * When dropped users are erased: those whose jobs wait at one time together, since most of the work
 * is the same for one as for many. The records of users tell who is due, so nothing is lost with a
 * job: they are read at start, when the grace period of a drop is over, and a while after jobs were
 * queued, in case one failed or was killed.
 */
#include <stdio.h>

#include "jobs/cleanup.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "table/erase.h"

enum { USERS_MAX = 500, LOOK_AGAIN_S = 600 };
static const int64_t second_us = 1000000;

static int64_t grace_us(const Jobs *jobs)
{
    return (int64_t)jobs->options.dropped_user_grace_s * second_us;
}

static Code find_user(Jobs *jobs, uint64_t id, Arena *arena, User *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(jobs->db));
    Code code = catalog_get_user_by_id(snapshot, HOT_BLOCKING, id, arena, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

/* ---- erasing ---- */

/* Of one user; the job is not touched once it has ended. */
typedef struct Cleanup {
    JobRun run;
    Job *job;
} Cleanup;

static void look_at(Jobs *jobs, int64_t at_us)
{
    MUTEX_SCOPE(&jobs->lock);
    if (at_us < jobs->erase_at_us)
        jobs->erase_at_us = at_us;
}

static void end_one(EraseTask *task)
{
    const Cleanup *cleanup = (const Cleanup *)task->context;
    Jobs *jobs = cleanup->run.jobs;
    char message[128] = "";
    snprintf(message, sizeof message,
             "Erased what the user had in %llu table(s), with %llu segment(s)",
             (unsigned long long)task->report.tables, (unsigned long long)task->report.segments);
    jobs__finish(jobs, cleanup->job, task->code, message, &task->error);
    if (task->code == OK && jobs->has_more_to_erase)
        look_at(jobs, clock_wall_us());
}

/* False when there is nobody to erase. */
static bool prepare(Jobs *jobs, Job *job, Arena *arena, Cleanup *cleanup, EraseTask *out)
{
    Error error = {0};
    User user = {0};
    must(job->user); /* such a job does not survive a restart */
    Code code = find_user(jobs, job->user, arena, &user, &error);
    if (code != OK) {
        jobs__finish(jobs, job, code, "", &error);
        return false;
    }
    *cleanup = (Cleanup){{jobs, job}, job};
    *out = (EraseTask){
        .user_id = user.user_id, .stop = {jobs__is_stopped, &cleanup->run}, .context = cleanup};
    return true;
}

void jobs__run_user_cleanups(Jobs *jobs, Job *first)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Job **taken = arena_new_array(arena, Job *, USERS_MAX);
    EraseTask *tasks = arena_new_array(arena, EraseTask, USERS_MAX);
    Cleanup *cleanups = arena_new_array(arena, Cleanup, USERS_MAX);
    taken[0] = first;
    size_t count = 1 + jobs__take_alike(jobs, first->type, taken + 1, USERS_MAX - 1);
    EraseBatch batch = {
        .tasks = tasks, .dropped_until_us = clock_wall_us() - grace_us(jobs), .ended = end_one};
    for (size_t i = 0; i < count; i++) {
        EraseTask *task = &tasks[batch.count];
        if (prepare(jobs, taken[i], arena, &cleanups[batch.count], task))
            batch.count++;
    }
    for (size_t i = 0; i < batch.count && batch.count > 1; i++)
        jobs__progress(jobs, cleanups[i].job, "Erasing %zu users together", batch.count);
    database_erase_users(jobs->db, &batch);
}

/* ---- who is due ---- */

static bool take_look(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    if (clock_wall_us() < jobs->erase_at_us)
        return false;
    jobs->erase_at_us = INT64_MAX;
    return true;
}

static Code queue_due(Jobs *jobs, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User *users;
    size_t count;
    int64_t next_us, now_us = clock_wall_us();
    TRY(database_list_erasable(jobs->db, now_us - grace_us(jobs), USERS_MAX, arena, &users, &count,
                               &next_us, e));
    if (next_us)
        look_at(jobs, next_us + grace_us(jobs) > now_us ? next_us + grace_us(jobs)
                                                        : now_us + LOOK_AGAIN_S * second_us);
    if (count)
        look_at(jobs, now_us + LOOK_AGAIN_S * second_us);
    jobs->has_more_to_erase = count == USERS_MAX; /* the next ones as soon as some of these went */
    for (size_t i = 0; i < count; i++)
        TRY(jobs__request_user_cleanup(jobs, &users[i], e));
    return OK;
}

static int64_t until_next(Jobs *jobs)
{
    MUTEX_SCOPE(&jobs->lock);
    int64_t now_us = clock_wall_us();
    return jobs->erase_at_us > now_us ? jobs->erase_at_us - now_us : 0;
}

int64_t jobs__queue_cleanups(Jobs *jobs)
{
    static const char failed[] = "dropped users could not be looked for";
    Error error = {0};
    if (!take_look(jobs))
        return until_next(jobs);
    Code code = queue_due(jobs, &error);
    if (code != OK)
        look_at(jobs, clock_wall_us() + LOOK_AGAIN_S * second_us);
    if (code == OK)
        jobs__went_well(jobs, failed, (Partition){0, 0});
    else if (code != E_SHUTTING_DOWN)
        jobs__warn(jobs, failed, (Partition){0, 0}, &error);
    return until_next(jobs);
}
