/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of jobs: killing, and what a restart finds.
 */
#include <sched.h>

#include "../table/fixture.h"
#include "../test.h"
#include "jobs/jobs.h"

enum { WAIT_MS = 60 * 1000 };

typedef struct Stage {
    Fixture f;
    Jobs *jobs;
} Stage;

static void start(Stage *s, const char *folder)
{
    JobsOptions options = {.flush_rows_default = 1000, .check_interval_s = 3600};
    fixture_open(&s->f, folder, TABLE_USER);
    CHECK_OK(jobs_start(s->f.db, &options, &s->jobs, e));
}

static void stop(Stage *s)
{
    jobs_stop(s->jobs);
    fixture_close(&s->f);
    jobs_free(s->jobs);
}

static JobStatus status_of(Stage *s, const char *id)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo *infos;
    size_t count;
    CHECK_OK(jobs_list(s->jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(slice_of_text(infos[i].id), slice_of_text(id)))
            return infos[i].status;
    }
    test_failed(__FILE__, __LINE__, "job %s is not listed", id);
}

/* Drops the table's namesake-to-be: a cleanup waits for the view, and all later jobs with it. */
static ReadView *block_jobs(Stage *s, char out_id[JOB_ID_BYTES])
{
    ReadView *view = NULL;
    CHECK_OK(view_open(s->f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(jobs_request_cleanup(s->jobs, s->f.table, out_id, e));
    while (status_of(s, out_id) == JOB_QUEUED)
        sched_yield();
    return view;
}

TEST("a queued job that was killed and runs after the restart")
{
    Stage s;
    char cleanup[JOB_ID_BYTES], flush[JOB_ID_BYTES];
    FlushRequest outcome;
    const char *folder = test_folder();
    start(&s, folder);
    fixture_put(&s.f, 1, "v");
    ReadView *view = block_jobs(&s, cleanup);
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, flush, e));
    CHECK_INT(outcome, FLUSH_STARTED);
    CHECK_OK(jobs_kill(s.jobs, slice_of_text(flush), e));
    CHECK_INT(status_of(&s, flush), JOB_CANCELLED);
    view_close(view);
    stop(&s);
    start(&s, folder);
    CHECK_INT(status_of(&s, flush), JOB_CANCELLED);
    stop(&s);
}

TEST("a job that ended and is queued again by a restart, because its first record was written last")
{
    Stage s;
    char ids[30][JOB_ID_BYTES];
    FlushRequest outcome;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    start(&s, folder);
    fixture_put(&s.f, 1, "v");
    for (int i = 0; i < 30; i++) {
        JobInfo info;
        CHECK_OK(jobs_request_cleanup(s.jobs, s.f.table, ids[i], e));
        CHECK_OK(jobs_wait(s.jobs, ids[i], WAIT_MS, arena, &info, e));
        CHECK_INT(info.status, JOB_COMPLETED);
    }
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, ids[0], e));
    stop(&s);
    start(&s, folder);
    for (int i = 1; i < 30; i++)
        CHECK_INT(status_of(&s, ids[i]), JOB_COMPLETED);
    stop(&s);
}
