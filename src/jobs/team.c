/* SPDX-License-Identifier: Apache-2.0
 *
 * Work on several partitions at once. A partition of a few rows costs next to no processor time but
 * several syncs, one after the other: of its file, of the folder, of the commit. Those of several
 * partitions go to the disk together.
 *
 * I1. Beside statements that write, at most every other processor works here: the scheduler lets a
 *     thread of low priority finish its slice, some milliseconds, before one that a statement waits
 *     for (docs/decisions/0026-team-beside-statements.md).
 * I2. The thread that asks works all the time: what is due is done however much is written.
 * I3. Compaction by itself counts as one who works here, and is the first to wait: it begins
 *     nothing while a team beside statements is complete without it. After half a minute it has a
 *     round.
 */
#include <stdatomic.h>

#include "jobs/jobs_int.h"
#include "os/clock.h"

enum {
    CALM_US = 1000 * 1000,        /* without a row written, nobody is taken to write */
    BACKLOG_US = 30 * 1000 * 1000 /* of work without a pause: more comes than a narrow team does */
};

typedef struct Helper {
    struct Team *team;
    Thread *thread;
    size_t number; /* from 1 on: the thread that asked is 0 */
    bool has_left; /* guarded by the team's lock */
} Helper;

typedef struct Team {
    Jobs *jobs;
    JobsWork *work;
    void *context;
    size_t count;
    Helper helpers[JOBS_TEAM_MAX - 1]; /* of the thread that asked */

    Mutex lock;
    /* guarded by lock, with Jobs.rows_seen and written_at_us */
    size_t next;
} Team;

static size_t narrow_width(void)
{
    int width = os_cpu_count() / 2;
    return width < 1 ? 1 : width > JOBS_TEAM_MAX ? JOBS_TEAM_MAX : (size_t)width;
}

/* How many may work now; under lock. */
static size_t width(const Team *team, uint64_t rows_written)
{
    Jobs *jobs = team->jobs;
    int64_t now_us = clock_monotonic_us();
    if (jobs->rows_seen != rows_written) {
        jobs->rows_seen = rows_written;
        jobs->written_at_us = now_us;
    }
    bool is_calm = now_us - jobs->written_at_us >= CALM_US;
    bool is_late = now_us - jobs->lanes[LANE_UPKEEP].awake_since_us >= BACKLOG_US;
    return is_calm || is_late ? JOBS_TEAM_MAX : narrow_width();
}

static uint64_t rows_written(const Team *team)
{
    DatabaseStats stats;
    database_stats(team->jobs->db, &stats);
    return stats.rows;
}

/* I3. Where nothing is left there is room, so that the last word of a team is that there is. */
static void tell_compaction(Team *team)
{
    uint64_t rows = rows_written(team);
    MUTEX_SCOPE(&team->lock);
    size_t wanted = width(team, rows), left = team->count - team->next;
    bool is_crowded = wanted < JOBS_TEAM_MAX && left >= narrow_width();
    atomic_store_explicit(&team->jobs->is_crowded, is_crowded, memory_order_relaxed);
}

bool jobs__gives_way(Jobs *jobs)
{
    if (!atomic_load_explicit(&jobs->is_crowded, memory_order_relaxed)) {
        jobs->gives_way_since_us = 0;
        return false;
    }
    int64_t now_us = clock_monotonic_us();
    if (jobs->gives_way_since_us == 0)
        jobs->gives_way_since_us = now_us;
    if (now_us - jobs->gives_way_since_us < BACKLOG_US)
        return true;
    jobs->gives_way_since_us = now_us; /* one round, then it waits again */
    return false;
}

static bool take(Team *team, size_t *out_index)
{
    MUTEX_SCOPE(&team->lock);
    *out_index = team->next;
    if (team->next == team->count)
        return false;
    team->next++;
    return true;
}

static bool may_go_on(Helper *helper)
{
    uint64_t rows = rows_written(helper->team);
    MUTEX_SCOPE(&helper->team->lock);
    helper->has_left = helper->number >= width(helper->team, rows);
    return !helper->has_left;
}

static void help(void *argument)
{
    Helper *helper = (Helper *)argument;
    Team *team = helper->team;
    for (size_t index; may_go_on(helper) && take(team, &index);)
        team->work(team->context, index);
}

/* Whether the helper is wanted and not there; under lock. */
static bool is_missing(const Team *team, const Helper *helper, size_t wanted)
{
    size_t left = team->count - team->next;
    return helper->number < wanted && helper->number < left + 1 &&
           (!helper->thread || helper->has_left);
}

/* Those who left when statements came are called back when they have gone. */
static void call_helpers(Team *team)
{
    uint64_t rows = rows_written(team);
    for (size_t i = 0; i < JOBS_TEAM_MAX - 1; i++) {
        Helper *helper = &team->helpers[i];
        Error error = {0};
        mutex_lock(&team->lock);
        bool is_wanted = is_missing(team, helper, width(team, rows));
        mutex_unlock(&team->lock);
        if (!is_wanted)
            continue;
        thread_join(helper->thread);
        *helper = (Helper){.team = team, .number = i + 1};
        if (thread_start("jobs-team", THREAD_JOBS, help, helper, &helper->thread, &error) != OK)
            return; /* who is there does the work */
    }
}

void jobs__each(Jobs *jobs, size_t count, JobsWork *work, void *context)
{
    Team team = {.jobs = jobs, .work = work, .context = context, .count = count};
    for (size_t i = 0; i < JOBS_TEAM_MAX - 1; i++)
        team.helpers[i].number = i + 1;
    mutex_init(&team.lock);
    for (size_t index; call_helpers(&team), tell_compaction(&team), take(&team, &index);)
        work(context, index);
    for (size_t i = 0; i < JOBS_TEAM_MAX - 1; i++)
        thread_join(team.helpers[i].thread);
    mutex_done(&team.lock);
}
