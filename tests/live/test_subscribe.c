/* SPDX-License-Identifier: Apache-2.0
 *
 * From subscribe to live, as far as a .spec file cannot show it: the seam between first rows and
 * changes, shared frames, what is left behind.
 */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>

#define T "SELECT * FROM t.x"
static const LiveRequest all = {0};

static void begin(Stage *stage)
{
    stage_open(stage, NULL, NULL, 3600);
    stage_sql(stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
    stage_sql(stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
}

static void insert(Stage *stage, const char *user, int from, int to)
{
    for (int i = from; i <= to; i++)
        stage_sql(stage, user, ROLE_USER, "INSERT INTO t.x VALUES (%d, 'v%d', %d)", i, i, i);
}

TEST("last_rows counts rows that match, newest first, and gives them ascending")
{
    Stage stage;
    Follower f;
    begin(&stage);
    insert(&stage, "anna", 1, 200);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T " WHERE n % 2 = 0",
                       &(LiveRequest){.has_last_rows = true, .last_rows = 30});
    follower_until(&f, f.is_ready);
    CHECK_INT(f.batch_rows, 30);
    CHECK(follower_has(&f, 200) && follower_has(&f, 142) && !follower_has(&f, 140));
    CHECK(!f.violation[0]);
    follower_clear(&f);
    follower_subscribe(&f, T, &(LiveRequest){.has_last_rows = true, .last_rows = 0});
    follower_until(&f, f.is_ready);
    CHECK_INT(f.batch_rows, 0);
    follower_clear(&f);
    follower_subscribe(&f, T, &(LiveRequest){.has_last_rows = true, .last_rows = 5000});
    follower_until(&f, f.is_ready);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

/* Subscribes and keeps the loop until the first read is over and the test says go on. */
typedef struct Seam {
    Follower *follower;
    Gate read, go;
} Seam;

static void mark_read(void *argument)
{
    Gate *gate = (Gate *)argument;
    MUTEX_SCOPE(&gate->stage->lock);
    gate->is_reached = true;
    cond_broadcast(&gate->stage->changed);
}

static void wait_reached(Gate *gate)
{
    MUTEX_SCOPE(&gate->stage->lock);
    while (!gate->is_reached)
        cond_wait(&gate->stage->changed, &gate->stage->lock);
}

static void subscribe_and_hold(void *argument)
{
    Seam *seam = (Seam *)argument;
    Follower *f = seam->follower;
    Stage *stage = f->stage;
    LiveRequest request = {.id = SLICE("s"), .sql = SLICE(T), .has_options = true};
    live_subscribe(f->client, &request);
    CHECK(workers_push(stage->workers,
                       (Task){mark_read, &seam->read})); /* one worker is left: after the read */
    wait_reached(&seam->read);
    mark_read(&seam->go);
    MUTEX_SCOPE(&stage->lock);
    while (!seam->go.is_open)
        cond_wait(&stage->changed, &stage->lock);
}

TEST("a commit after the snapshot, before the loop goes live, is a change: not lost, not doubled")
{
    Stage stage;
    Follower f;
    Gate gates[STAGE_WORKERS];
    begin(&stage);
    insert(&stage, "anna", 1, 3);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    for (int i = 1; i < STAGE_WORKERS; i++)
        gate_hold_worker(&gates[i], &stage);
    Seam seam = {.follower = &f, .read = {.stage = &stage}, .go = {.stage = &stage}};
    loop_post(stage.loops[0], subscribe_and_hold, &seam);
    wait_reached(&seam.go);
    insert(&stage, "anna", 4, 5);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 1");
    mutex_lock(&stage.lock);
    seam.go.is_open = true;
    cond_broadcast(&stage.changed);
    mutex_unlock(&stage.lock);
    follower_until(&f, f.deletes == 1);
    CHECK_INT(f.batch_rows, 3);
    CHECK_INT(f.inserts, 2);
    follower_check(&f, T);
    for (int i = 1; i < STAGE_WORKERS; i++)
        gate_open(&gates[i]);
    follower_done(&f);
    stage_close(&stage);
}

TEST("neighbours with the same id and query share a frame and see the same")
{
    Stage stage;
    Follower f[3];
    begin(&stage);
    for (int i = 0; i < 3; i++) {
        follower_init(&f[i], &stage, 0, 0, "anna", ROLE_USER);
        follower_connect(&f[i]);
        follower_subscribe(&f[i], T, &all);
        follower_until(&f[i], f[i].is_ready);
    }
    insert(&stage, "anna", 1, 3);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 2");
    for (int i = 0; i < 3; i++) {
        follower_until(&f[i], f[i].deletes == 1);
        follower_check(&f[i], T);
        follower_done(&f[i]);
    }
    stage_close(&stage);
}

TEST("what cannot be live is refused with a code, and nothing is left behind")
{
    static const struct {
        const char *sql, *code;
    } cases[] = {
        {"SELECT * FROM t.x WHERE n > 0 ORDER BY id LIMIT 3", "INVALID_SQL"},
        {"SELECT count(*) FROM t.x", "INVALID_SQL"},
        {"SELECT * FROM x", "INVALID_SQL"},
        {"SELECT * FROM t.x WHERE nope = 1", "INVALID_SQL"},
        {"SELECT nope FROM t.x", "INVALID_SQL"},
        {"SELECT id, _seq FROM t.x", "INVALID_SQL"},
        {"SELECT * FROM t.x WHERE n = $1", "INVALID_SQL"},
        {"SELECT * FROM t.x WHERE NOW() > TIMESTAMP '2020-01-01 00:00:00'", "INVALID_SQL"},
        {"DELETE FROM t.x WHERE id = 1", "INVALID_SQL"},
        {"", "INVALID_SQL"},
        {"SELECT * FROM t.none", "NOT_FOUND"},
        {"SELECT * FROM system.jobs", "UNAUTHORIZED"},
    };
    Stage stage;
    Follower f;
    LiveStats stats;
    begin(&stage);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        follower_subscribe(&f, cases[i].sql, &all);
        CHECK_TEXT(f.error_code, cases[i].code);
        CHECK(f.error_text[0]);
    }
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 0);
    follower_subscribe(&f, T " WHERE v = CURRENT_USER()", &all);
    follower_until(&f, f.is_ready);
    follower_done(&f);
    stage_close(&stage);
}

static void unsubscribe(void *argument)
{
    live_unsubscribe(((Follower *)argument)->client, SLICE("s"));
}

TEST("the same id again replaces; unsubscribe ends at once; nothing is counted twice")
{
    Stage stage;
    Follower f;
    LiveStats stats;
    begin(&stage);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    for (int i = 0; i < 50; i++) /* while the reads of the former are under way */
        follower_subscribe(&f, i % 2 ? T : T " WHERE n > 5", &all);
    follower_until(&f, f.is_ready);
    stage_settle(&stage, 0);
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 1);
    stage_on_loop(&stage, 0, unsubscribe, &f);
    insert(&stage, "anna", 6, 6);
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 0);
    CHECK_INT(f.inserts, 0);
    CHECK(!f.violation[0]);
    follower_done(&f);
    stage_close(&stage);
}

TEST("a client that leaves while it is being read for leaves nothing")
{
    Stage stage;
    Follower f;
    LiveStats stats;
    Gate gates[STAGE_WORKERS];
    begin(&stage);
    insert(&stage, "anna", 1, 50);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    for (int round = 0; round < 3; round++) {
        follower_connect(&f);
        for (int i = 0; i < STAGE_WORKERS; i++)
            gate_hold_worker(&gates[i], &stage);
        follower_subscribe(&f, T, &all);
        follower_disconnect(&f);
        for (int i = 0; i < STAGE_WORKERS; i++)
            gate_open(&gates[i]);
    }
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 0);
    follower_done(&f);
    stage_close(&stage);
}

TEST("a list of the subscriptions says who follows what, and how it stands")
{
    Stage stage;
    Follower f;
    begin(&stage);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T, NULL);
    insert(&stage, "anna", 1, 2);
    follower_until(&f, follower_has(&f, 2));
    stage_settle(&stage, 0);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    LiveInfo *list;
    size_t count;
    live_list(stage.hub, arena, &list, &count);
    CHECK_INT(count, 1);
    CHECK_SLICE(list[0].subscription_id, SLICE("s"));
    CHECK_SLICE(list[0].user_id, SLICE("anna"));
    CHECK_SLICE(list[0].table_name, SLICE("x"));
    CHECK_SLICE(list[0].query, SLICE(T));
    CHECK_TEXT(list[0].status, "live");
    CHECK_INT(list[0].changes, 2);
    follower_done(&f);
    stage_close(&stage);
}
