/* SPDX-License-Identifier: Apache-2.0
 *
 * Flushes and compactions while the queue of the committer is full: how often they write their
 * file, who may stop them, and that nothing is forgotten.
 */
#include <sched.h>
#include <string.h>
#include <time.h>

#include "../table/fixture.h"
#include "../test.h"
#include "cold/cold.h"
#include "jobs/dirt.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/file_piece.h"
#include "os/thread.h"
#include "table/table_int.h"

enum { WAIT_MS = 60 * 1000 };

typedef struct Stage {
    Fixture f;
    Jobs *jobs;
} Stage;

static Stage s;
static _Atomic int files; /* segments that were written since the queue is full */
static _Atomic bool is_held, may_go, is_full;
static _Atomic(const char *) killed; /* job to be killed with the first file; NULL: none */

static void start(void)
{
    JobsOptions options = {.flush_rows_default = 1000, .check_interval_s = 3600};
    files = 0;
    is_held = may_go = is_full = false;
    killed = NULL;
    fixture_open(&s.f, test_folder(), TABLE_USER);
    CHECK_OK(jobs_start(s.f.db, &options, &s.jobs, e));
}

static void stop(void)
{
    file_set_fault(NULL);
    jobs_stop(s.jobs);
    fixture_close(&s.f);
    jobs_free(s.jobs);
}

static void hold(void *context, Intent *intent, Code code, const Error *error)
{
    (void)context, (void)intent, (void)code, (void)error;
    is_held = true;
    while (!may_go)
        sched_yield();
}

static Code submit(IntentDone *done)
{
    Error error = {0};
    Intent *intent = intent_new(database_last_seq(s.f.db));
    intent_add_raw(intent, RAW_DELETE, HOT_SYSTEM, SLICE("none"), (Slice){0});
    intent->done = done;
    Code code = database_submit(s.f.db, intent, &error);
    if (code != OK)
        intent_unref(intent);
    return code;
}

static void fill_queue(void)
{
    CHECK(submit(hold) == OK);
    while (!is_held)
        sched_yield();
    while (submit(NULL) == OK)
        ;
    is_full = true;
}

/* No segment file is renamed before the queue is full. */
static int count_files(const char *operation, const char *path)
{
    if (strcmp(operation, "rename") != 0 || !strstr(path, ".parquet"))
        return 0;
    if (files++ == 0) {
        fill_queue();
        if (killed)
            CHECK_OK(jobs_kill(s.jobs, slice_of_text(killed), e));
    }
    return 0;
}

static void empty_queue(void)
{
    DatabaseStats stats;
    may_go = true;
    do
        database_stats(s.f.db, &stats);
    while (stats.queue_depth > 0);
}

static void wait_for(const char *id, Arena *arena, JobInfo *out)
{
    CHECK_OK(jobs_wait(s.jobs, id, WAIT_MS, arena, out, e));
}

static void begin_flush(char out_id[JOB_ID_BYTES])
{
    FlushRequest outcome;
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, out_id, e));
    CHECK_INT(outcome, FLUSH_STARTED);
}

static void begin_compaction(char out_id[JOB_ID_BYTES])
{
    bool started;
    CHECK_OK(jobs_request_compact(s.jobs, s.f.table, &started, out_id, e));
    CHECK(started);
}

/* The job ends by itself, says why, and does its work when there are places again. */
static void check_gives_up(void (*begin)(char out_id[JOB_ID_BYTES]), const char *rows)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo info;
    char id[JOB_ID_BYTES];
    file_set_fault(count_files);
    begin(id);
    wait_for(id, arena, &info);
    CHECK_INT(info.status, JOB_FAILED);
    CHECK_INT(info.code, E_BUSY);
    const char *message = arena_printf(arena, "%.*s", SLICE_ARGS(info.message));
    CHECK(strstr(message, "given up after 8 tries: "));
    CHECK(strstr(message, "commits are waiting already; retry in a moment"));
    CHECK_INT(files, JOBS_BUSY_TRIES_MAX);
    empty_queue();
    file_set_fault(NULL);
    begin(id);
    wait_for(id, arena, &info);
    CHECK_INT(info.status, JOB_COMPLETED);
    CHECK_TEXT(fixture_rows(&s.f, arena), rows);
}

TEST("a flush that writes its file over and over as long as the committer's queue is full")
{
    start();
    fixture_put(&s.f, 1, "v");
    check_gives_up(begin_flush, "1=v ");
    stop();
}

TEST("a compaction that writes its file over and over as long as the committer's queue is full")
{
    start();
    for (int i = 1; i <= 2; i++) {
        fixture_put(&s.f, i, "v");
        fixture_flush(&s.f);
    }
    check_gives_up(begin_compaction, "1=v 2=v ");
    stop();
}

static size_t segment_count(void)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    SegmentEntry *entries;
    size_t count;
    CHECK_OK(view_open(s.f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, s.f.partition, 0, UINT64_MAX, arena, &entries, &count, e));
    return count;
}

/* What a lane would be, without its thread. */
static void begin_alone(Jobs *jobs)
{
    fixture_open(&s.f, test_folder(), TABLE_USER);
    *jobs = (Jobs){.db = s.f.db, .options.check_interval_s = 3600};
    mutex_init(&jobs->lock);
    cond_init(&jobs->wake);
    jobs->compactable = map_new();
    jobs->obsolete = obsolete_new(s.f.db);
    files = 0;
    is_held = may_go = is_full = false;
    killed = NULL;
}

static void end_alone(Jobs *jobs)
{
    file_set_fault(NULL);
    jobs__free_told(jobs->told);
    jobs__free_dirt(jobs->compactable);
    obsolete_free(jobs->obsolete);
    cond_done(&jobs->wake);
    mutex_done(&jobs->lock);
    fixture_close(&s.f);
}

TEST("a compaction that was due by itself, was refused as often as it may be, and is forgotten")
{
    static Jobs jobs;
    begin_alone(&jobs);
    for (int i = 1; i <= 4; i++) {
        fixture_put(&s.f, i, "v");
        fixture_flush(&s.f);
    }
    file_set_fault(count_files);
    jobs__note_compactable(&jobs, s.f.partition);
    CHECK_INT(jobs__compact_due(&jobs), INT64_C(3600) * 1000 * 1000); /* not at once */
    CHECK_INT(files, JOBS_BUSY_TRIES_MAX);
    CHECK_INT(segment_count(), 4);
    empty_queue();
    (void)jobs__compact_due(&jobs);
    CHECK_INT(segment_count(), 1);
    CHECK_INT(map_count(jobs.compactable), 0);
    end_alone(&jobs);
}

TEST("KILL JOB of a flush that is refused, which tries on to the end nevertheless")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo info;
    static char id[JOB_ID_BYTES];
    start();
    fixture_put(&s.f, 1, "v");
    file_set_fault(count_files);
    Partition held = s.f.partition; /* until the id is known */
    CHECK_OK(claims_take(database__claims(s.f.db), held, WAIT_MS, e));
    begin_flush(id);
    killed = id;
    claims_release(database__claims(s.f.db), held);
    wait_for(id, arena, &info);
    CHECK_INT(info.status, JOB_CANCELLED);
    CHECK_INT(files, 1);
    may_go = true;
    stop();
}

/* What waits until some time by this clock waits an hour. */
static int64_t fast_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec + 3600) * INT64_C(1000) * 1000;
}

TEST("a pause before another try that a job which is killed, or a server that stops, sits out")
{
    static Jobs jobs;
    Job job = {.type = JOB_FLUSH, .kill = true};
    Error busy = {0};
    int tries = 0;
    begin_alone(&jobs);
    JobRun run = {&jobs, &job};
    CHECK_CODE(fail(&busy, E_BUSY, "busy"), E_BUSY);
    clock_replace(NULL, fast_clock);
    CHECK(jobs__may_try_again(&run, s.f.partition, &tries, &busy));
    job.kill = false;
    jobs.stopping = true;
    CHECK(jobs__may_try_again(&run, s.f.partition, &tries, &busy));
    clock_replace(NULL, NULL);
    CHECK_INT(tries, 2);
    end_alone(&jobs);
}

TEST("a stopping server that waits until a flush is not refused any more")
{
    static char id[JOB_ID_BYTES];
    start();
    fixture_put(&s.f, 1, "v");
    file_set_fault(count_files);
    begin_flush(id);
    while (!is_full)
        sched_yield();
    jobs_stop(s.jobs);
    CHECK(files < JOBS_BUSY_TRIES_MAX);
    may_go = true;
    stop();
}

TEST("somebody's claim that a flush waits for only so often, or that keeps the upkeep of others")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo info;
    Job job = {.type = JOB_FLUSH};
    Error error = {0};
    char id[JOB_ID_BYTES];
    uint64_t rows;
    int tries = 0;
    start();
    JobRun of_job = {s.jobs, &job};
    fixture_put(&s.f, 1, "v");
    CHECK_OK(claims_take(database__claims(s.f.db), s.f.partition, WAIT_MS, e));
    CHECK_CODE(jobs__flush(s.jobs, NULL, s.f.partition, &rows, &error), E_CLAIMED);
    begin_flush(id);
    for (int i = 0; i <= JOBS_BUSY_TRIES_MAX; i++)
        CHECK(jobs__may_try_again(&of_job, s.f.partition, &tries, &error));
    CHECK_INT(tries, 0);
    claims_release(database__claims(s.f.db), s.f.partition);
    wait_for(id, arena, &info);
    CHECK_INT(info.status, JOB_COMPLETED);
    stop();
}
