/* SPDX-License-Identifier: Apache-2.0
 *
 * Work on several partitions at once. A partition of a few rows costs next to no processor time but
 * several syncs, one after the other: of its file, of the folder, of the commit. Those of several
 * partitions go to the disk together.
 */
#include "jobs/jobs_int.h"

typedef struct Team {
    JobsWork *work;
    void *context;
    size_t count;

    Mutex lock;
    /* guarded by lock */
    size_t next;
} Team;

static bool take(Team *team, size_t *out_index)
{
    MUTEX_SCOPE(&team->lock);
    *out_index = team->next;
    if (team->next == team->count)
        return false;
    team->next++;
    return true;
}

static void run(void *argument)
{
    Team *team = (Team *)argument;
    for (size_t index; take(team, &index);)
        team->work(team->context, index);
}

void jobs__each(size_t count, JobsWork *work, void *context)
{
    Team team = {.work = work, .context = context, .count = count};
    Thread *threads[JOBS_TEAM_MAX] = {NULL};
    size_t started = 0;
    mutex_init(&team.lock);
    for (; started + 1 < JOBS_TEAM_MAX && started + 1 < count; started++) {
        Error error = {0}; /* who is there does the work */
        if (thread_start("jobs-team", THREAD_JOBS, run, &team, &threads[started], &error) != OK)
            break;
    }
    run(&team);
    for (size_t i = 0; i < started; i++)
        thread_join(threads[i]);
    mutex_done(&team.lock);
}
