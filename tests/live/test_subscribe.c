/* SPDX-License-Identifier: Apache-2.0
 *
 * From subscribe to live: first rows, the seam between them and the changes, filters, refusals, ends.
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

TEST("first rows come in pages of the size asked for, in seq order, then changes")
{
    Stage stage;
    Follower f;
    begin(&stage);
    insert(&stage, "anna", 1, 25);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T, &(LiveRequest){.has_batch_size = true, .batch_size = 10});
    follower_until(&f, f.is_ready);
    CHECK_INT(f.batches, 3);
    CHECK_INT(f.last_batch_rows, 5);
    insert(&stage, "anna", 26, 26);
    follower_until(&f, follower_has(&f, 26));
    CHECK_INT(f.inserts, 1);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("an empty table is one empty page, a page exactly full is the last one")
{
    Stage stage;
    Follower f;
    begin(&stage);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T, &all);
    follower_until(&f, f.is_ready);
    CHECK_INT(f.batches, 1);
    insert(&stage, "anna", 1, 10);
    follower_until(&f, follower_has(&f, 10));
    follower_clear(&f);
    follower_subscribe(&f, T, &(LiveRequest){.has_batch_size = true, .batch_size = 5});
    follower_until(&f, f.is_ready);
    CHECK_INT(f.batches, 2);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
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

TEST("a commit before the first snapshot is in the first rows and not a change")
{
    Stage stage;
    Follower f;
    Gate gates[STAGE_WORKERS];
    begin(&stage);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    for (int i = 0; i < STAGE_WORKERS; i++)
        gate_hold_worker(&gates[i], &stage);
    follower_subscribe(&f, T, &all);
    insert(&stage, "anna", 1, 5); /* the loop hears of it before anything was read */
    for (int i = 0; i < STAGE_WORKERS; i++)
        gate_open(&gates[i]);
    follower_until(&f, f.is_ready);
    insert(&stage, "anna", 6, 6);
    follower_until(&f, follower_has(&f, 6));
    CHECK_INT(f.batch_rows, 5);
    CHECK_INT(f.inserts, 1);
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
    must(workers_push(stage->workers,
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

TEST("without options there are no first rows, and every later commit is a change")
{
    Stage stage;
    Follower f;
    begin(&stage);
    insert(&stage, "anna", 1, 3);
    follower_init(&f, &stage, 1, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T, NULL);
    CHECK(f.is_acked);
    insert(&stage, "anna", 4, 8);
    follower_until(&f, follower_has(&f, 8));
    CHECK_INT(f.inserts, 5);
    CHECK_INT(f.batches, 0);
    CHECK(!f.violation[0]);
    follower_done(&f);
    stage_close(&stage);
}

TEST("entering the filter is insert, leaving is delete, staying is update")
{
    Stage stage;
    Follower f;
    begin(&stage);
    insert(&stage, "anna", 1, 4);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T " WHERE n >= 3", &all);
    follower_until(&f, f.is_ready);
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET n = 30 WHERE id = 1");
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET v = NULL WHERE id = 1");
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET n = 0 WHERE id = 3");
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 2");
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET n = NULL WHERE id = 4");
    insert(&stage, "anna", 100, 100);
    follower_until(&f, follower_has(&f, 100));
    CHECK_INT(f.inserts, 2);
    CHECK_INT(f.updates, 1);
    CHECK_INT(f.deletes, 2);
    follower_check(&f, T " WHERE n >= 3");
    follower_done(&f);
    stage_close(&stage);
}

TEST("another user's rows are never seen, whatever the filter says")
{
    Stage stage;
    Follower f;
    begin(&stage);
    insert(&stage, "bert", 1, 5);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_subscribe(&f, T " WHERE n >= 0 OR true", &all);
    follower_until(&f, f.is_ready);
    insert(&stage, "bert", 6, 9);
    insert(&stage, "anna", 10, 10);
    follower_until(&f, follower_has(&f, 10));
    CHECK_INT(f.row_count, 1);
    follower_done(&f);
    stage_close(&stage);
}

TEST("a SHARED table is followed by role and access level, on every loop")
{
    Stage stage;
    Follower f[2], refused;
    begin(&stage);
    stage_sql(&stage, "root", ROLE_SYSTEM,
              "CREATE SHARED TABLE t.pub (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (ACCESS_LEVEL "
              "= 'public')");
    stage_sql(&stage, "root", ROLE_SYSTEM,
              "CREATE SHARED TABLE t.priv (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    for (int i = 0; i < 2; i++) {
        follower_init(&f[i], &stage, i, 0, i ? "anna" : "bert", ROLE_USER);
        follower_connect(&f[i]);
        follower_subscribe(&f[i], "SELECT * FROM t.pub", &all);
        follower_until(&f[i], f[i].is_ready);
    }
    follower_init(&refused, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&refused);
    follower_subscribe(&refused, "SELECT * FROM t.priv", &all);
    CHECK_TEXT(refused.error_code, "UNAUTHORIZED");
    stage_sql(&stage, "root", ROLE_SYSTEM, "INSERT INTO t.pub VALUES (1, 'a', 1), (2, 'b', 2)");
    for (int i = 0; i < 2; i++) {
        follower_until(&f[i], follower_has(&f[i], 2));
        follower_check(&f[i], "SELECT * FROM t.pub");
        follower_done(&f[i]);
    }
    follower_done(&refused);
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
        {"SELECT * FROM t.x WHERE n > 0 ORDER BY id", "INVALID_SQL"},
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

TEST("a filter that fails ends only its own subscription; the writer and the others go on")
{
    Stage stage;
    Follower bad, good;
    begin(&stage);
    follower_init(&bad, &stage, 0, 0, "anna", ROLE_USER);
    follower_init(&good, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&bad);
    follower_connect(&good);
    follower_subscribe(&bad, T " WHERE CAST(v AS INT) = 1", &all);
    follower_subscribe(&good, T, &all);
    follower_until(&bad, bad.is_ready);
    follower_until(&good, good.is_ready);
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (1, '1', 1)");
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (2, 'two', 2)");
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (3, '1', 3)");
    follower_until(&good, follower_has(&good, 3));
    follower_until(&bad, bad.error_code[0]);
    CHECK_INT(bad.inserts, 1);
    follower_check(&good, T);
    follower_done(&bad);
    follower_done(&good);
    stage_close(&stage);
}

TEST("a dropped table ends its subscriptions with the reason, and none of another table")
{
    Stage stage;
    Follower dropped, other;
    begin(&stage);
    stage_sql(&stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.y (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    follower_init(&dropped, &stage, 0, 0, "anna", ROLE_USER);
    follower_init(&other, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&dropped);
    follower_connect(&other);
    follower_subscribe(&dropped, T, &all);
    follower_subscribe(&other, "SELECT * FROM t.y", &all);
    follower_until(&dropped, dropped.is_ready);
    follower_until(&other, other.is_ready);
    insert(&stage, "anna", 1, 1);
    stage_sql(&stage, "root", ROLE_SYSTEM, "DROP TABLE t.x");
    follower_until(&dropped, dropped.error_code[0]);
    CHECK_TEXT(dropped.error_code, "NOT_FOUND");
    CHECK_INT(dropped.inserts, 1); /* what came before the drop came first */
    stage_sql(&stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    follower_clear(&dropped);
    follower_subscribe(&dropped, T, &all); /* the new table of that name, not the old query */
    follower_until(&dropped, dropped.is_ready);
    CHECK_INT(dropped.row_count, 0);
    insert(&stage, "anna", 7, 7);
    follower_until(&dropped, follower_has(&dropped, 7));
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.y VALUES (1, 'a', 1)");
    follower_until(&other, follower_has(&other, 1));
    follower_done(&dropped);
    follower_done(&other);
    stage_close(&stage);
}

static void unsubscribe(void *argument)
{
    live_unsubscribe(((Follower *)argument)->client, SLICE("s"));
}

TEST("an altered table ends its subscriptions with the reason, or a new one sees the old columns")
{
    Stage stage;
    Follower altered, other;
    begin(&stage);
    stage_sql(&stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.y (id BIGINT PRIMARY KEY, v TEXT, n INT)");
    follower_init(&altered, &stage, 0, 0, "anna", ROLE_USER);
    follower_init(&other, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&altered);
    follower_connect(&other);
    follower_subscribe(&altered, T, &all);
    follower_subscribe(&other, "SELECT * FROM t.y", &all);
    follower_until(&altered, altered.is_ready);
    follower_until(&other, other.is_ready);
    insert(&stage, "anna", 1, 1);
    stage_sql(&stage, "anna", ROLE_USER, "ALTER TABLE t.x ADD COLUMN late TEXT DEFAULT 'old'");
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x (id, v, n) VALUES (2, 'b', 2)");
    follower_until(&altered, altered.error_code[0]);
    CHECK_TEXT(altered.error_code, "NOT_FOUND");
    CHECK(strstr(altered.error_text, "its definition changed; subscribe again"));
    CHECK_INT(altered.inserts, 1); /* what came before came first, and nothing after */
    follower_clear(&altered);
    follower_subscribe(&altered, T, &all);
    follower_until(&altered, altered.is_ready);
    CHECK_INT(altered.row_count, 2);
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (7, 'a', 7, 'new')");
    follower_until(&altered, follower_has(&altered, 7));
    CHECK(strstr(altered.last, "\"late\":\"new\""));
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.y VALUES (1, 'a', 1)");
    follower_until(&other, follower_has(&other, 1));
    CHECK_INT(other.error_code[0], 0);
    follower_done(&altered);
    follower_done(&other);
    stage_close(&stage);
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
