/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction as a job, and by itself after flushes.
 */
#include <string.h>
#include <time.h>

#include "../table/fixture.h"
#include "../test.h"
#include "cold/cold.h"
#include "jobs/jobs.h"
#include "os/clock.h"

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

static void flush_row(Stage *s, int64_t id)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FlushRequest outcome;
    char id_of_job[JOB_ID_BYTES];
    JobInfo info;
    fixture_put(&s->f, id, "v");
    CHECK_OK(jobs_request_flush(s->jobs, s->f.table, &outcome, id_of_job, e));
    CHECK_INT(outcome, FLUSH_STARTED);
    CHECK_OK(jobs_wait(s->jobs, id_of_job, WAIT_MS, arena, &info, e));
    CHECK_INT(info.status, JOB_COMPLETED);
}

static void compact(Stage *s, Arena *arena, JobInfo *out)
{
    char id[JOB_ID_BYTES];
    bool started;
    CHECK_OK(jobs_request_compact(s->jobs, s->f.table, &started, id, e));
    CHECK(started);
    CHECK_OK(jobs_wait(s->jobs, id, WAIT_MS, arena, out, e));
}

static size_t segment_count(Stage *s)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries;
    size_t count;
    ReadView *view = NULL;
    CHECK_OK(view_open(s->f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, s->f.partition, 0, UINT64_MAX, arena, &entries, &count, e));
    view_close(view);
    return count;
}

TEST("a compaction on request that merges nothing, or is forgotten by a restart")
{
    Stage s;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    JobInfo info, *list;
    size_t count;
    start(&s, folder);
    flush_row(&s, 1);
    flush_row(&s, 2);
    fixture_delete(&s.f, 1);
    compact(&s, arena, &info);
    CHECK_INT(info.status, JOB_COMPLETED);
    CHECK_SLICE(info.message, SLICE("Rewrote 2 segment(s), dropped 1 of 2 row(s)"));
    CHECK_TEXT(info.type, "compact");
    CHECK(strncmp(info.id, "CO-", 3) == 0);
    CHECK_INT(segment_count(&s), 1);
    CHECK_TEXT(fixture_rows(&s.f, arena), "2=v ");
    stop(&s);
    start(&s, folder);
    CHECK_OK(jobs_list(s.jobs, arena, &list, &count, e));
    CHECK_INT(count, 3);
    CHECK_TEXT(list[0].id, info.id);
    CHECK_INT(list[0].status, JOB_COMPLETED);
    stop(&s);
}

TEST("small segments that nobody merges after flushes")
{
    Stage s;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    start(&s, test_folder());
    for (int i = 0; i < 4; i++)
        flush_row(&s, i);
    /* It comes by itself, with nobody to wake the thread again. */
    const struct timespec pause = {0, 5000000};
    for (int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
         segment_count(&s) > 1 && clock_monotonic_us() < end_us;)
        nanosleep(&pause, NULL);
    CHECK_INT(segment_count(&s), 1);
    CHECK_TEXT(fixture_rows(&s.f, arena), "0=v 1=v 2=v 3=v ");
    stop(&s);
}
