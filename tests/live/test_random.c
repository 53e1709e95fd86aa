/* SPDX-License-Identifier: Apache-2.0
 *
 * A random history: writers, flushes, and followers that stall, leave and come back. At the end
 * each copy is what the table says, and no event was lost, doubled or out of order on the way.
 * KALAM_TEST_SEED replays the choices (not the interleaving of threads); KALAM_LIVE_STEPS sets the
 * length.
 */
#include "stage.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

enum { FOLLOWERS = 6, IDS = 120, WRITERS = 2, STEPS = 150 };

static const char *const queries[FOLLOWERS] = {
    "SELECT * FROM t.x",
    "SELECT * FROM t.x WHERE n >= 50",
    "SELECT id, v, n FROM t.x WHERE n % 3 = 0 OR n IS NULL",
    "SELECT * FROM t.x",
    "SELECT * FROM t.x WHERE v LIKE 'a%' OR n > 900",
    "SELECT * FROM t.x WHERE id % 2 = 0",
};

typedef struct Writer {
    Stage *stage;
    uint64_t state;
    int index;
    _Atomic bool *stop;
    Thread *thread;
} Writer;

static uint64_t next_random(uint64_t *state)
{
    *state += 0x9E3779B97F4A7C15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Each writer has ids of its own, so that no INSERT meets a key that is there. */
static void write_once(Writer *w, bool *there)
{
    int id = (int)(next_random(&w->state) % IDS);
    int key = id * WRITERS + w->index;
    char letter = (char)('a' + next_random(&w->state) % 3);
    int n = (int)(next_random(&w->state) % 100);
    switch (next_random(&w->state) % 8) {
    case 0:
    case 1:
        if (there[id]) {
            stage_sql(w->stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = %d", key);
            there[id] = false;
            break;
        }
        /* fall through */
    case 2:
        if (!there[id]) {
            stage_sql(w->stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (%d, '%c%d', %d)", key,
                      letter, n, n);
            there[id] = true;
        }
        break;
    case 3:
        stage_sql(w->stage, "anna", ROLE_USER, "UPDATE t.x SET n = NULL WHERE id = %d", key);
        break;
    case 4: /* many rows in one commit */
        stage_sql(w->stage, "anna", ROLE_USER, "UPDATE t.x SET v = '%c' WHERE n = %d", letter, n);
        break;
    default:
        stage_sql(w->stage, "anna", ROLE_USER, "UPDATE t.x SET v = '%c%d', n = %d WHERE id = %d",
                  letter, n, n, key);
    }
}

static void run_writer(void *argument)
{
    Writer *w = (Writer *)argument;
    bool there[IDS] = {false};
    while (!atomic_load(w->stop))
        write_once(w, there);
}

/* One thing that happens to a follower. */
static void disturb(Follower *f, const char *sql)
{
    switch (test_random() % 6) {
    case 0:
    case 1:
        follower_stall(f);
        break;
    case 2:
    case 3:
        follower_unstall(f);
        break;
    case 4:                       /* leave for a moment; only what was taken counts */
        if (f->features.replay) { /* what is replayed are changes to whole first rows */
            follower_until(f, f->is_ready || f->is_stalled);
            if (!f->is_ready)
                break;
        }
        follower_disconnect(f);
        follower_connect(f);
        follower_resume(f, sql, 1 + test_random() % 30);
        break;
    case 5: /* start anew */
        follower_disconnect(f);
        follower_clear(f);
        follower_connect(f);
        follower_subscribe(
            f, sql, &(LiveRequest){.has_batch_size = true, .batch_size = 1 + test_random() % 50});
        break;
    }
}

static void end_history(Stage *stage, Follower *followers)
{
    for (int i = 0; i < FOLLOWERS; i++)
        follower_unstall(&followers[i]);
    stage_sql(stage, "anna", ROLE_USER,
              "INSERT INTO t.x VALUES (999999, 'away', 999), (999990, 'all', 990)");
    for (int i = 0; i < FOLLOWERS; i++) {
        follower_until(&followers[i], follower_has(&followers[i], 999990) ||
                                          followers[i].error_code[0] || followers[i].violation[0]);
        CHECK_TEXT(followers[i].error_code, "");
        follower_check(&followers[i], queries[i]);
    }
}

static void run_history(const LiveOptions *options, int steps)
{
    Stage stage;
    Follower followers[FOLLOWERS];
    Writer writers[WRITERS];
    _Atomic bool stop = false;
    stage_open(&stage, options, NULL, 3600);
    stage_sql(&stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
    stage_sql(&stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    for (int i = 0; i < FOLLOWERS; i++) {
        follower_init(&followers[i], &stage, i % STAGE_LOOPS, 0, "anna", ROLE_USER);
        followers[i].features.replay = i % 2 == 0;
        follower_connect(&followers[i]);
        follower_subscribe(&followers[i], queries[i], &(LiveRequest){0});
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){&stage, test_random(), i, &stop, NULL};
        CHECK_OK(
            thread_start("writer", THREAD_ANY, run_writer, &writers[i], &writers[i].thread, e));
    }
    for (int i = 0; i < steps; i++) {
        int index = (int)(test_random() % FOLLOWERS);
        disturb(&followers[index], queries[index]);
        if (i % 50 == 49)
            stage_sql(&stage, "root", ROLE_SYSTEM, "STORAGE FLUSH TABLE t.x");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++)
        thread_join(writers[i].thread);
    end_history(&stage, followers);
    for (int i = 0; i < FOLLOWERS; i++)
        follower_done(&followers[i]);
    stage_close(&stage);
}

static void run_hot_writer(void *argument)
{
    Writer *w = (Writer *)argument;
    while (!atomic_load(w->stop))
        stage_sql(w->stage, "anna", ROLE_USER, "UPDATE t.x SET n = %d WHERE id = %d",
                  (int)(next_random(&w->state) % 1000),
                  (int)(next_random(&w->state) % 4) * WRITERS + w->index);
}

/* Subscribes again and again into the middle of a stream of updates of a few rows, each of which
 * tells what it replaces. */
static void run_seam(const LiveOptions *options, int rounds)
{
    Stage stage;
    Follower f;
    Writer writers[WRITERS];
    _Atomic bool stop = false;
    stage_open(&stage, options, NULL, 3600);
    stage_sql(&stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
    stage_sql(&stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    for (int i = 0; i < 4 * WRITERS; i++)
        stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (%d, 'a', %d)", i, i);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){&stage, test_random(), i, &stop, NULL};
        CHECK_OK(
            thread_start("writer", THREAD_ANY, run_hot_writer, &writers[i], &writers[i].thread, e));
    }
    for (int i = 0; i < rounds && !f.violation[0]; i++) {
        size_t before = f.updates;
        follower_clear(&f);
        follower_connect(&f);
        follower_subscribe(&f, queries[0], &(LiveRequest){0});
        follower_until(&f, f.updates > before + 20 || f.violation[0]);
        follower_disconnect(&f);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < WRITERS; i++)
        thread_join(writers[i].thread);
    CHECK_TEXT(f.violation, "");
    follower_done(&f);
    stage_close(&stage);
}

static int steps(void)
{
    const char *given = getenv("KALAM_LIVE_STEPS");
    return given ? (int)strtol(given, NULL, 10) : STEPS;
}

TEST("random history with ordinary limits: no change is lost, doubled or out of order")
{
    run_history(NULL, steps());
}

TEST("random history with tiny queues: always falling back, always catching up")
{
    static const LiveOptions tiny = {.socket_queue_bytes_max = 3000, .chunk_bytes_max = 300};
    run_history(&tiny, steps());
}

TEST("random history with a tiny backlog: loops that miss commits find them again")
{
    static const LiveOptions tiny = {
        .socket_queue_bytes_max = 3000, .chunk_bytes_max = 1000, .backlog_bytes_max = 200};
    run_history(&tiny, steps());
}

TEST("the seam between first rows and changes holds in the middle of a stream of updates")
{
    run_seam(NULL, steps());
}

TEST("the seam holds for loops that miss commits while they read")
{
    static const LiveOptions tiny = {.backlog_bytes_max = 1};
    run_seam(&tiny, steps());
}
