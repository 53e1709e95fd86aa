/* SPDX-License-Identifier: Apache-2.0
 *
 * While writes are refused: nothing that is due is begun, the log says so once, and all of it comes
 * when they go on. The disk fails by a limit on the size of files.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../table/fixture.h"
#include "../test.h"
#include "cold/cold.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"

enum { WAIT_MS = 60 * 1000, FILE_BYTES_MAX = 4096, TEXT_BYTES = 3000, HOUR_S = 3600 };

static _Atomic int64_t now_us;

static int64_t test_clock(void)
{
    return now_us;
}

typedef struct Stage {
    Fixture f;
    Jobs *jobs;
    int log[2];
} Stage;

static void set_limit(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void begin(Stage *s)
{
    JobsOptions options = {
        .flush_rows_default = 1000, .flush_interval_default_s = HOUR_S, .check_interval_s = HOUR_S};
    *s = (Stage){.log = {-1, -1}};
    now_us = INT64_C(1800000000) * 1000000;
    clock_replace(test_clock, NULL);
    CHECK(pipe2(s->log, O_NONBLOCK | O_CLOEXEC) == 0); /* a flood shall not block */
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    log_set_descriptor(s->log[1]);
    fixture_open(&s->f, test_folder(), TABLE_USER);
    CHECK_OK(jobs_start(s->f.db, &options, &s->jobs, e));
}

static void end(Stage *s)
{
    jobs_stop(s->jobs);
    fixture_close(&s->f);
    jobs_free(s->jobs);
    log_set_descriptor(STDERR_FILENO);
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    clock_replace(NULL, NULL);
    close(s->log[0]);
    close(s->log[1]);
}

/* What the log got since the last call. */
static const char *read_log(Stage *s)
{
    static char text[128 * 1024];
    size_t size = 0;
    for (ssize_t got; size < sizeof text - 1 &&
                      (got = read(s->log[0], text + size, sizeof text - 1 - size)) > 0;)
        size += (size_t)got;
    text[size] = 0;
    return text;
}

static int count_of(const char *text, const char *what)
{
    int count = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        count++;
    return count;
}

static void break_disk(Fixture *f)
{
    static char text[TEXT_BYTES + 1];
    Code code = OK;
    memset(text, 'x', TEXT_BYTES);
    set_limit(FILE_BYTES_MAX);
    for (int i = 0; i < 4 && code == OK; i++) {
        ReadView *view = NULL;
        Error error = {0};
        CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
        CLEANUP(intent_unref_ptr) Intent *intent = fixture_resolve(f, view, 1000 + i, text);
        view_close(view);
        code = database_commit(f->db, intent, &error);
    }
    set_limit(0); /* or the store is opened again and again, and each time a write fails anew */
    CHECK_INT(code, E_OUTCOME_UNKNOWN);
    CHECK(database_is_read_only(f->db));
}

static bool has_news(Jobs *jobs)
{
    bool has = false;
    MUTEX_SCOPE(&jobs->lock);
    for (int i = 0; i < LANE_COUNT; i++)
        has |= jobs->lanes[i].has_news;
    return has;
}

/* The lanes look what is due. They take the news of the next call only when they have looked. */
static void wake(Stage *s)
{
    const struct timespec pause = {0, 1000000};
    mutex_lock(&s->jobs->lock);
    jobs__wake(s->jobs);
    mutex_unlock(&s->jobs->lock);
    for (int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
         has_news(s->jobs) && clock_monotonic_us() < end_us;)
        nanosleep(&pause, NULL);
    CHECK(!has_news(s->jobs));
}

static bool is_flushed(Stage *s)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries;
    size_t count;
    ReadView *view = NULL;
    CHECK_OK(view_open(s->f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, s->f.partition, 0, UINT64_MAX, arena, &entries, &count, e));
    view_close(view);
    return count > 0;
}

TEST("upkeep that goes on while writes are refused and warns at each try, or that does not "
     "start again when they go on")
{
    Stage s;
    const struct timespec pause = {0, 5000000};
    begin(&s);
    fixture_put(&s.f, 1, "v");
    for (int i = 0; i < 3; i++) /* or a look that is under way tells how its commit failed */
        wake(&s);
    break_disk(&s.f);
    now_us += INT64_C(3) * HOUR_S * 1000000; /* it is due */
    for (int i = 0; i < 20; i++)
        wake(&s);
    const char *log = read_log(&s);
    bool was_flushed = is_flushed(&s);
    set_limit(RLIM_INFINITY); /* before the checks, which may have something to say */
    CHECK(!was_flushed);
    CHECK_INT(count_of(log, "\"upkeep of a partition failed\""), 0);
    CHECK_INT(count_of(log, "\"the due index could not be read or written\""), 0);
    int reopened = count_of(log, "\"writes go on\""); /* before the disk refused all */
    int told = count_of(log, "\"message\":\"writes are refused since one to the disk failed");
    CHECK(told >= 1 && told <= 1 + reopened);
    int64_t end_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while ((database_is_read_only(s.f.db) || !is_flushed(&s)) && clock_monotonic_us() < end_us)
        nanosleep(&pause, NULL);
    CHECK(is_flushed(&s));
    CHECK_INT(count_of(read_log(&s), "\"writes go on\""), 1);
    end(&s);
}

TEST("a warning for each partition of a table and each try, one that hides another cause, or none "
     "when what had gone well fails again")
{
    static const char what[] = "a thing failed", other[] = "another thing failed";
    Stage s;
    const Error io = {.code = E_IO, .text = "bad"}, corrupt = {.code = E_CORRUPT, .text = "bad"};
    begin(&s);
    Partition one = {s.f.table->id, 1}, two = {s.f.table->id, 2};
    for (int i = 0; i < 3; i++) {
        jobs__warn(s.jobs, what, one, &io);
        jobs__warn(s.jobs, what, two, &io);
    }
    CHECK_INT(count_of(read_log(&s), "\"a thing failed\""), 1);
    jobs__warn(s.jobs, what, two, &corrupt);
    jobs__warn(s.jobs, other, two, &io);
    const char *log = read_log(&s);
    CHECK_INT(count_of(log, "\"a thing failed\""), 1);
    CHECK_INT(count_of(log, "\"another thing failed\""), 1);
    jobs__went_well(s.jobs, other, one);
    jobs__went_well(s.jobs, what, two); /* of the second cause; the first was told of `one` */
    jobs__warn(s.jobs, what, one, &io);
    jobs__warn(s.jobs, other, two, &io);
    CHECK_INT(count_of(read_log(&s), "failed"), 0);
    jobs__went_well(s.jobs, what, one);
    jobs__warn(s.jobs, what, one, &io);
    CHECK_INT(count_of(read_log(&s), "\"a thing failed\""), 1);
    end(&s);
}
