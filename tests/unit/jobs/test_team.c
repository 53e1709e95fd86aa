/* SPDX-License-Identifier: Apache-2.0
 *
 * How many partitions are worked on at once.
 */
#include <sched.h>
#include <time.h>

#include "../table/fixture.h"
#include "../test.h"
#include "jobs/dirt.h"
#include "jobs/jobs_int.h"
#include "os/clock.h"

enum { PIECES = 64, SECOND_US = 1000 * 1000, PATIENCE_US = 60 * SECOND_US };

static _Atomic int64_t now_us;

static int64_t test_clock(void)
{
    return now_us;
}

typedef struct Stage {
    Fixture f;
    Jobs jobs;
    uint64_t rows;
    _Atomic int at_once, most, done[PIECES];
    _Atomic int wanted; /* who works waits for so many */
} Stage;

static void begin(Stage *s)
{
    *s = (Stage){0};
    now_us = 100 * (int64_t)SECOND_US;
    fixture_open(&s->f, test_folder(), TABLE_USER);
    s->jobs.db = s->f.db;
    s->jobs.lanes[LANE_UPKEEP].awake_since_us = now_us;
    clock_replace(NULL, test_clock);
}

static void end(Stage *s)
{
    clock_replace(NULL, NULL);
    fixture_close(&s->f);
}

static void write_row(Stage *s)
{
    fixture_put(&s->f, (int64_t)++s->rows, "text");
}

static int64_t real_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)SECOND_US + now.tv_nsec / 1000;
}

static void work(void *context, size_t index)
{
    Stage *s = (Stage *)context;
    int64_t until_us = real_us() + PATIENCE_US;
    int at_once = atomic_fetch_add(&s->at_once, 1) + 1, most = s->most;
    while (at_once > most && !atomic_compare_exchange_weak(&s->most, &most, at_once))
        ;
    for (int i = 0; i < 100 || (s->most < s->wanted && real_us() < until_us); i++)
        sched_yield();
    s->done[index]++;
    atomic_fetch_sub(&s->at_once, 1);
}

static void each(Stage *s, int wanted)
{
    s->most = 0;
    s->wanted = wanted;
    for (int i = 0; i < PIECES; i++)
        s->done[i] = 0;
    jobs__each(&s->jobs, PIECES, work, s);
    for (int i = 0; i < PIECES; i++)
        CHECK_INT(s->done[i], 1);
}

static int narrow(void)
{
    int half = os_cpu_count() / 2;
    return half < 1 ? 1 : half > JOBS_TEAM_MAX ? JOBS_TEAM_MAX : half;
}

TEST("a flush of many partitions takes the processors from statements that write")
{
    Stage s;
    begin(&s);
    write_row(&s);
    each(&s, narrow());
    CHECK_INT(s.most, narrow());
    end(&s);
}

TEST("a flush of many partitions goes one by one, although nobody writes any more")
{
    Stage s;
    begin(&s);
    each(&s, JOBS_TEAM_MAX); /* nobody has */
    CHECK_INT(s.most, JOBS_TEAM_MAX);
    write_row(&s);
    each(&s, narrow());
    now_us += SECOND_US;
    each(&s, JOBS_TEAM_MAX);
    CHECK_INT(s.most, JOBS_TEAM_MAX);
    end(&s);
}

TEST("a lane that cannot keep up beside statements falls behind for ever")
{
    Stage s;
    begin(&s);
    now_us += 30 * (int64_t)SECOND_US; /* without a sleep */
    write_row(&s);
    each(&s, JOBS_TEAM_MAX);
    CHECK_INT(s.most, JOBS_TEAM_MAX);
    end(&s);
}

/* The first piece that a team does alone lets the time pass. */
static void work_until_calm(void *context, size_t index)
{
    Stage *s = (Stage *)context;
    if (index == 0)
        now_us += SECOND_US;
    else if (index < JOBS_TEAM_MAX)
        s->wanted = JOBS_TEAM_MAX;
    work(context, index);
}

TEST("helpers that left when statements came do not come back when these have gone")
{
    Stage s;
    begin(&s);
    write_row(&s);
    jobs__each(&s.jobs, PIECES, work_until_calm, &s);
    CHECK_INT(s.most, JOBS_TEAM_MAX);
    end(&s);
}

/* Half a minute goes by in the middle. */
static void ask_beside(void *context, size_t index)
{
    Stage *s = (Stage *)context;
    s->done[index] = jobs__gives_way(&s->jobs);
    if (index == PIECES / 2)
        now_us += 30 * (int64_t)SECOND_US - 1;
    if (index == PIECES / 2 + 1)
        now_us++;
    write_row(s);
}

TEST("a compaction takes the processor that a flush leaves to statements, or waits for ever")
{
    Stage s;
    cpu_set_t all, one;
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    begin(&s);
    write_row(&s);
    CHECK(!jobs__gives_way(&s.jobs));
    s.jobs.lanes[LANE_UPKEEP].awake_since_us = now_us + PATIENCE_US;
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0); /* so that a team is one */
    jobs__each(&s.jobs, PIECES, ask_beside, &s);
    CHECK(sched_setaffinity(0, sizeof all, &all) == 0);
    for (int i = 0; i < PIECES; i++)
        CHECK_INT(s.done[i], i != PIECES / 2 + 2);
    CHECK(!jobs__gives_way(&s.jobs)); /* the flush is over */
    end(&s);
}

TEST("a compaction that is to wait begins nevertheless, or is forgotten")
{
    Stage s;
    begin(&s);
    mutex_init(&s.jobs.lock);
    cond_init(&s.jobs.wake);
    s.jobs.compactable = map_new();
    jobs__note_compactable(&s.jobs, s.f.partition);
    s.jobs.is_crowded = true;
    int64_t wait_us = jobs__compact_due(&s.jobs);
    CHECK(wait_us > 0 && wait_us <= SECOND_US);
    CHECK_INT(map_count(s.jobs.compactable), 1);
    jobs__free_dirt(s.jobs.compactable);
    cond_done(&s.jobs.wake);
    mutex_done(&s.jobs.lock);
    end(&s);
}
