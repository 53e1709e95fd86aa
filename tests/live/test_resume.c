/* SPDX-License-Identifier: Apache-2.0
 *
 * Slow clients, clients that come back, and the seven bugs found in etcd's watch stream by its
 * robustness tests.
 */
#include "stage.h"

#include "os/clock.h"
#include "table/seq.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define T "SELECT * FROM t.x"
static const LiveRequest all = {0};
/* Small, so that a few rows are much. */
static const LiveOptions tight = {.socket_queue_bytes_max = 4096, .chunk_bytes_max = 1024};

static void begin(Stage *stage, const LiveOptions *options, uint32_t feed_window_s)
{
    stage_open(stage, options, NULL, feed_window_s);
    stage_sql(stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
    stage_sql(stage, "anna", ROLE_USER,
              "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
}

/* For a test that opens several databases. */
static const char *part_folder(int part)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%d", test_folder(), part);
    return path;
}

static void insert(Stage *stage, int from, int to)
{
    for (int i = from; i <= to; i++)
        stage_sql(stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (%d, 'v%d', %d)", i, i, i);
}

static void follow(Follower *f, Stage *stage, const char *sql)
{
    follower_init(f, stage, 0, 0, "anna", ROLE_USER);
    follower_connect(f);
    follower_subscribe(f, sql, &all);
    follower_until(f, f->is_ready);
}

/* Writes a row at the end and waits until the follower has it: all before it has come. */
static void fence(Follower *f, int id)
{
    stage_sql(f->stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (%d, 'fence', %d)", id, id);
    follower_until(f, follower_has(f, id));
}

TEST("etcd 1: events are not lost when a slow stream starves: it falls back and gets every one")
{
    Stage stage;
    Follower slow, quick;
    LiveStats stats;
    begin(&stage, &tight, 3600);
    follow(&slow, &stage, T);
    follow(&quick, &stage, T);
    follower_stall(&slow);
    insert(&stage, 1, 400);
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET v = 'changed' WHERE id <= 100");
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id > 350");
    follower_until(&quick, quick.deletes == 50); /* not held up by the other */
    live_stats(stage.hub, &stats);
    CHECK(stats.fallbacks > 0);
    CHECK(slow.held_bytes < 16 * 1024); /* bounded, whatever was written */
    follower_unstall(&slow);
    follower_until(&slow, slow.deletes == 50);
    CHECK_INT(slow.inserts, 400);
    CHECK_INT(slow.updates, 100);
    fence(&slow, 1000);
    follower_check(&slow, T);
    follower_check(&quick, T);
    follower_done(&slow);
    follower_done(&quick);
    stage_close(&stage);
}

static Table *find_table(Stage *stage)
{
    return catalog_find_table(database_catalog(stage->db), SLICE("t"), SLICE("x"));
}

static _Atomic int64_t later_us;
static int64_t later_clock(void)
{
    static _Atomic int64_t ticks;
    return later_us + atomic_fetch_add(&ticks, 1);
}

/* Lets the feed window pass over everything written so far and trims. Time goes on from there. */
static void trim_all(Stage *stage, uint64_t user)
{
    later_us = clock_wall_us() + 10 * 1000000;
    clock_replace(later_clock, NULL);
    Table *table = find_table(stage);
    stage_trim(stage, table, user);
    table_unref(table);
}

TEST("etcd 2: a delete is not dropped when the feed is trimmed and flushed at it")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 5);
    insert(&stage, 1, 10);
    follow(&f, &stage, T);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 1");
    fence(&f, 11);
    trim_all(&stage, f.user.user); /* feed low is now at the cursor */
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (12, 'a', 12)");
    follower_until(&f, follower_has(&f, 12));
    follower_disconnect(&f);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 5");
    stage_sql(&stage, "root", ROLE_SYSTEM, "STORAGE FLUSH TABLE t.x");
    Table *table = find_table(&stage);
    stage_trim(&stage, table, f.user.user); /* the window still holds it */
    table_unref(table);
    follower_connect(&f);
    follower_resume(&f, T, 1000);
    follower_until(&f, f.deletes == 2);
    CHECK(!follower_has(&f, 5));
    follower_check(&f, T);
    follower_done(&f);
    clock_replace(NULL, NULL);
    stage_close(&stage);
}

TEST("etcd 3: a delete right after the low end of the feed comes to a client whose cursor is that "
     "end")
{
    for (int replay = 0; replay < 2; replay++) {
        Stage stage;
        Follower f;
        stage_open(&stage, NULL, part_folder(replay), 5);
        stage_sql(&stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
        stage_sql(&stage, "anna", ROLE_USER,
                  "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
        insert(&stage, 1, 5);
        follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
        f.features.replay = replay;
        follower_connect(&f);
        follower_subscribe(&f, T, &all);
        follower_until(&f, f.is_ready);
        stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 1");
        fence(&f, 6);
        follower_disconnect(&f);
        stage_sql(&stage, "bob", ROLE_USER, "INSERT INTO t.x VALUES (1, 'elsewhere', 1)");
        trim_all(&stage, f.user.user); /* feed low is now the cursor, and not bob's commit */
        stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 3");
        follower_connect(&f);
        follower_resume(&f, T, 1000);
        follower_until(&f, f.deletes == 2);
        follower_check(&f, T);
        follower_done(&f);
        clock_replace(NULL, NULL);
        stage_close(&stage);
    }
}

TEST("etcd 4, 5: after coming back nothing is older than the cursor and nothing comes twice")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    insert(&stage, 1, 5);
    follower_init(&f, &stage, 1, 0, "anna", ROLE_USER);
    f.features.replay = true;
    follower_connect(&f);
    follower_subscribe(&f, T, &all);
    follower_until(&f, f.is_ready);
    for (int round = 0; round < 20; round++) {
        uint64_t before = f.cursor;
        size_t inserts = f.inserts;
        follower_disconnect(&f);
        insert(&stage, 100 + round * 2, 101 + round * 2);
        follower_connect(&f);
        follower_resume(&f, T, 1000);
        f.last_change_seq = before; /* any change at or below the cursor is a violation */
        follower_until(&f, follower_has(&f, 101 + round * 2));
        CHECK_INT(f.inserts, inserts + 2);
    }
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("etcd 6: the cursor of a page never runs ahead of what was sent: a client cut between pages "
     "misses nothing")
{
    Stage stage;
    Follower f;
    begin(&stage, &tight, 3600);
    insert(&stage, 1, 60);
    follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
    follower_connect(&f);
    follower_stall(&f);
    follower_subscribe(&f, T, &(LiveRequest){.has_batch_size = true, .batch_size = 7});
    insert(&stage, 61, 61);
    follower_unstall(&f); /* what the queue took, and no more than that */
    follower_until(&f, f.batches > 0);
    follower_disconnect(&f);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id IN (2, 40)");
    stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET v = 'new' WHERE id IN (3, 41)");
    follower_connect(&f);
    follower_resume(&f, T, 7);
    follower_until(&f, f.is_ready);
    fence(&f, 1000);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("etcd 7: a cursor of the future is refused and gives no old events")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    insert(&stage, 1, 5);
    for (int replay = 0; replay < 2; replay++) {
        follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
        f.features.replay = replay;
        follower_connect(&f);
        f.cursor = seq_at(clock_wall_us() + 3600 * 1000000LL); /* far: jobs commit meanwhile */
        follower_resume(&f, T, 1000);
        follower_until(&f, f.error_code[0]);
        CHECK_TEXT(f.error_code, "CURSOR_TOO_NEW");
        CHECK_INT(f.messages, 1);
        follower_done(&f);
    }
    stage_close(&stage);
}

TEST("a cursor the feed no longer reaches is told so, and the subscription is over")
{
    Stage stage;
    Follower f;
    LiveStats stats;
    begin(&stage, NULL, 5);
    insert(&stage, 1, 5);
    follow(&f, &stage, T);
    follower_disconnect(&f);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 2");
    insert(&stage, 6, 7);
    trim_all(&stage, f.user.user);
    follower_connect(&f);
    follower_resume(&f, T, 1000);
    follower_until(&f, f.error_code[0]);
    CHECK_TEXT(f.error_code, "CURSOR_TOO_OLD");
    stage_settle(&stage, 0);
    live_stats(stage.hub, &stats);
    CHECK_INT(stats.subscriptions, 0);
    follower_clear(&f);
    follower_subscribe(&f, T, &all);
    follower_until(&f, f.is_ready);
    follower_check(&f, T);
    follower_done(&f);
    clock_replace(NULL, NULL);
    stage_close(&stage);
}

/* Everything that can happen to a key while its follower is away. */
static void change_everything(Stage *stage)
{
    static const char *const statements[] = {
        "UPDATE t.x SET v = 'once' WHERE id = 1", /* changed */
        "UPDATE t.x SET v = 'twice' WHERE id = 1",
        "DELETE FROM t.x WHERE id = 2",        /* gone */
        "UPDATE t.x SET v = 'a' WHERE id = 3", /* changed, then gone */
        "UPDATE t.x SET v = 'b' WHERE id = 3",
        "DELETE FROM t.x WHERE id = 3",
        "DELETE FROM t.x WHERE id = 4", /* gone and back */
        "INSERT INTO t.x VALUES (4, 'back', 4)",
        "DELETE FROM t.x WHERE id = 5", /* gone, back, gone */
        "INSERT INTO t.x VALUES (5, 'back', 5)",
        "DELETE FROM t.x WHERE id = 5",
        "UPDATE t.x SET n = -1 WHERE id = 6", /* left the filter */
        "UPDATE t.x SET n = -1 WHERE id = 7", /* left and came back */
        "UPDATE t.x SET n = 70 WHERE id = 7",
        "DELETE FROM t.x WHERE id = 8", /* gone, back outside the filter */
        "INSERT INTO t.x VALUES (8, 'outside', -8)",
        "UPDATE t.x SET n = 90 WHERE id = 9",       /* entered (it was outside) */
        "UPDATE t.x SET n = -10 WHERE id = 10",     /* stayed outside */
        "DELETE FROM t.x WHERE id = 11",            /* was outside, gone */
        "INSERT INTO t.x VALUES (20, 'new', 20)",   /* new */
        "INSERT INTO t.x VALUES (21, 'short', 21)", /* new and gone */
        "DELETE FROM t.x WHERE id = 21",
        "INSERT INTO t.x VALUES (22, 'outside', -1)", /* new outside */
        "DELETE FROM t.x WHERE id = 12",              /* gone, back outside, gone */
        "INSERT INTO t.x VALUES (12, 'outside', -12)",
        "DELETE FROM t.x WHERE id = 12",
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        stage_sql(stage, "anna", ROLE_USER, "%s", statements[i]);
}

static void prepare_everything(Stage *stage)
{
    insert(stage, 1, 8);
    stage_sql(stage, "anna", ROLE_USER,
              "INSERT INTO t.x VALUES (9, 'o', -9), (10, 'o', -10), (11, 'o', -11), (12, 'v12', "
              "12), (13, 'v13', 13)");
}

TEST("resume for clients that know rows: newest states and exactly the deletes, in one order")
{
    for (int flush = 0; flush < 3; flush++) {
        Stage stage;
        Follower f;
        stage_open(&stage, NULL, part_folder(flush), 3600);
        stage_sql(&stage, "root", ROLE_SYSTEM, "CREATE NAMESPACE t");
        stage_sql(&stage, "anna", ROLE_USER,
                  "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n INT)");
        prepare_everything(&stage);
        if (flush == 1)
            stage_sql(&stage, "root", ROLE_SYSTEM, "STORAGE FLUSH TABLE t.x");
        follow(&f, &stage, T " WHERE n > 0");
        follower_disconnect(&f);
        change_everything(&stage);
        if (flush == 2)
            stage_sql(&stage, "root", ROLE_SYSTEM, "STORAGE FLUSH TABLE t.x");
        follower_connect(&f);
        follower_resume(&f, T " WHERE n > 0", 2);
        follower_until(&f, f.is_ready);
        CHECK_INT(f.batch_rows, 5);      /* 1, 4, 7, 9, 20 */
        CHECK_INT(f.unknown_deletes, 0); /* every delete is of a row it has */
        fence(&f, 1000);
        CHECK_INT(f.deletes, 8); /* 2, 3, 5, 6, 8, 12, and before they come back 4, 7 */
        CHECK_INT(f.inserts, 1);
        follower_check(&f, T " WHERE n > 0");
        follower_done(&f);
        stage_close(&stage);
    }
}

/* A row that was gone, or outside the filter, whatever of it was last seen. */
static void change_again(Stage *stage, int round)
{
    for (int i = 0; i < 6; i++) {
        int id = 1 + (int)(test_random() % 22), n = (int)(test_random() % 40) - 15;
        if (test_random() % 3 == 0)
            stage_sql(stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = %d", id);
        else
            stage_sql(stage, "anna", ROLE_USER, "UPDATE t.x SET v = 'r%d', n = %d WHERE id = %d",
                      round, n, id);
    }
}

/* What a client sees that loses its connection after `cut` messages of each of several resumes. */
static void resume_in_pieces(Follower *f, size_t cut, uint64_t page_rows)
{
    Stage *stage = f->stage;
    change_everything(stage);
    for (int round = 0; round < 4; round++) {
        follower_connect(f);
        f->messages_max = cut;
        follower_resume(f, T " WHERE n > 0", page_rows);
        follower_until(f, f->is_ready || f->messages == cut);
        follower_disconnect(f);
        change_again(stage, round);
    }
    f->messages_max = 0;
    follower_connect(f);
    follower_resume(f, T " WHERE n > 0", page_rows);
    follower_until(f, f->is_ready);
    follower_check(f, T " WHERE n > 0");
    follower_disconnect(f);
    stage_sql(stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id > 0");
}

TEST("resume cut after any message, again and again: no row is missed, none stays that is gone")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    for (size_t cut = 1; cut <= 16; cut++) {
        for (uint64_t page_rows = 1; page_rows <= 3; page_rows += 2) {
            prepare_everything(&stage);
            follow(&f, &stage, T " WHERE n > 0");
            follower_disconnect(&f);
            resume_in_pieces(&f, cut, page_rows);
            follower_done(&f);
        }
    }
    stage_close(&stage);
}

TEST("a row born and seen while away, and gone before the next resume, is no ghost")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    insert(&stage, 1, 3);
    follow(&f, &stage, T);
    follower_disconnect(&f);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 1");
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (4, 'born', 4)");
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 2");
    follower_connect(&f);
    f.messages_max = 3; /* acknowledgement, delete of 1, page with 4; then the connection is lost */
    follower_resume(&f, T, 1000);
    follower_until(&f, f.messages == 3);
    CHECK(follower_has(&f, 4) && follower_has(&f, 2) && !follower_has(&f, 1));
    follower_disconnect(&f);
    f.messages_max = 0;
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 4");
    follower_connect(&f);
    follower_resume(&f, T, 1000);
    follower_until(&f, f.is_ready);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("first rows cut after any page: the cursor of the rows seen is good for the rest")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    insert(&stage, 1, 12);
    for (size_t cut = 1; cut <= 7; cut++) {
        follower_init(&f, &stage, 0, 0, "anna", ROLE_USER);
        follower_connect(&f);
        f.messages_max = cut;
        follower_subscribe(&f, T, &(LiveRequest){.has_batch_size = true, .batch_size = 2});
        follower_until(&f, f.messages == cut || f.is_ready);
        follower_disconnect(&f);
        stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = %d", (int)cut);
        stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET n = n + 1 WHERE id > 8");
        f.messages_max = 0;
        follower_connect(&f);
        follower_resume(&f, T, 3);
        follower_until(&f, f.is_ready);
        follower_check(&f, T);
        follower_done(&f);
    }
    stage_close(&stage);
}

TEST("resume with many deletes between many rows, in small steps")
{
    Stage stage;
    Follower f;
    begin(&stage, &tight, 3600);
    insert(&stage, 1, 200);
    follow(&f, &stage, T);
    follower_disconnect(&f);
    for (int i = 1; i <= 200; i++) {
        if (i % 2)
            stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = %d", i);
        else
            stage_sql(&stage, "anna", ROLE_USER, "UPDATE t.x SET n = 0 WHERE id = %d", i);
    }
    follower_connect(&f);
    follower_resume(&f, T, 1000);
    follower_until(&f, f.is_ready);
    CHECK_INT(f.deletes, 100);
    CHECK_INT(f.batch_rows, 100);
    CHECK_INT(f.unknown_deletes, 0);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("resume with replay: every change, one by one, as if it had never left")
{
    Stage stage;
    Follower here, away;
    begin(&stage, &tight, 3600);
    prepare_everything(&stage);
    follow(&here, &stage, T " WHERE n > 0");
    follower_init(&away, &stage, 1, 0, "anna", ROLE_USER);
    away.features.replay = true;
    follower_connect(&away);
    follower_subscribe(&away, T " WHERE n > 0", &all);
    follower_until(&away, away.is_ready);
    follower_disconnect(&away);
    change_everything(&stage);
    follower_connect(&away);
    follower_resume(&away, T " WHERE n > 0", 1000);
    fence(&away, 1000);
    follower_until(&here, follower_has(&here, 1000));
    CHECK_INT(away.inserts, here.inserts);
    CHECK_INT(away.updates, here.updates);
    CHECK_INT(away.deletes, here.deletes);
    follower_check(&away, T " WHERE n > 0");
    follower_check(&here, T " WHERE n > 0");
    follower_done(&here);
    follower_done(&away);
    stage_close(&stage);
}

TEST("resume after a restart of the database")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    prepare_everything(&stage);
    follow(&f, &stage, T);
    fence(&f, 999);
    follower_disconnect(&f);
    change_everything(&stage);
    stage_close(&stage);
    stage_open(&stage, NULL, test_folder(), 3600);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id = 13");
    follower_connect(&f);
    follower_resume(&f, T, 3);
    follower_until(&f, f.is_ready);
    fence(&f, 1000);
    CHECK(!follower_has(&f, 13));
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}

TEST("resume of a stream: its deletes too")
{
    Stage stage;
    Follower f;
    begin(&stage, NULL, 3600);
    stage_sql(
        &stage, "anna", ROLE_USER,
        "CREATE STREAM TABLE t.s (id BIGINT PRIMARY KEY, v TEXT, n INT) WITH (TTL_SECONDS = 600)");
    stage_sql(&stage, "anna", ROLE_USER,
              "INSERT INTO t.s VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)");
    follow(&f, &stage, "SELECT * FROM t.s");
    follower_disconnect(&f);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.s WHERE id = 2");
    stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.s VALUES (4, 'd', 4), (5, 'e', 5)");
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.s WHERE id = 5");
    follower_connect(&f);
    follower_resume(&f, "SELECT * FROM t.s", 1000);
    follower_until(&f, f.is_ready);
    CHECK_INT(f.deletes, 1);
    CHECK_INT(f.batch_rows, 1);
    follower_check(&f, "SELECT * FROM t.s");
    follower_done(&f);
    stage_close(&stage);
}

TEST("a lagging loop whose backlog is full misses nothing")
{
    static const LiveOptions small = {.backlog_bytes_max = 1000};
    Stage stage;
    Follower f[4];
    Gate gate;
    begin(&stage, &small, 3600);
    for (int i = 0; i < 4; i++)
        follow(&f[i], &stage, i % 2 ? T : T " WHERE n % 2 = 0");
    gate_hold_loop(&gate, &stage, 0);
    insert(&stage, 1, 300);
    stage_sql(&stage, "anna", ROLE_USER, "DELETE FROM t.x WHERE id <= 100");
    gate_open(&gate);
    for (int i = 0; i < 4; i++) {
        fence(&f[i], 1000 + 2 * i);
        CHECK_INT(f[i].deletes, i % 2 ? 100 : 50);
    }
    for (int i = 0; i < 4; i++)
        follower_until(&f[i], follower_has(&f[i], 1006));
    for (int i = 0; i < 4; i++) {
        follower_check(&f[i], i % 2 ? T : T " WHERE n % 2 = 0");
        follower_done(&f[i]);
    }
    stage_close(&stage);
}

TEST("rows far larger than a page, and a page larger than the socket's queue, arrive whole")
{
    Stage stage;
    Follower f;
    char *large = x_new_bytes(30001);
    memset(large, 'x', 30000);
    begin(&stage, &tight, 3600);
    for (int i = 1; i <= 20; i++)
        stage_sql(&stage, "anna", ROLE_USER, "INSERT INTO t.x VALUES (%d, '%s', %d)", i, large, i);
    follow(&f, &stage, T);
    CHECK_INT(f.batch_rows, 20);
    CHECK(f.batches > 1); /* 600 KB do not come as one page */
    CHECK(!f.violation[0]);
    free(large);
    follower_done(&f);
    stage_close(&stage);
}

TEST("a client that takes nothing is closed with a reason, and its cursor is still good")
{
    static const LiveOptions impatient = {
        .socket_queue_bytes_max = 4096, .chunk_bytes_max = 1024, .stall_timeout_ms = 1};
    Stage stage;
    Follower f;
    begin(&stage, &impatient, 3600);
    follow(&f, &stage, T);
    follower_stall(&f);
    insert(&stage, 1, 100);
    follower_until(&f, f.is_closed);
    CHECK_TEXT(f.close_reason, "1008 Client does not read; resume from your cursor");
    follower_disconnect(&f); /* what it did not take is lost with the socket */
    follower_connect(&f);
    follower_resume(&f, T, 1000);
    follower_until(&f, f.is_ready);
    fence(&f, 1000);
    follower_check(&f, T);
    follower_done(&f);
    stage_close(&stage);
}
