/* SPDX-License-Identifier: Apache-2.0
 *
 * ALTER TABLE against everything that runs meanwhile: writers, flushes, compactions, other ALTERs.
 */
#include "fixture.h"
#include "test.h"

#include "os/file.h"
#include "os/thread.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { WRITERS = 3 };

static World w;
static atomic_bool stopping;

static void open_all(void)
{
    w = world_open();
    atomic_store(&stopping, false);
}

static Code run_as(int user, const char *sql, Error *e)
{
    Answer answer = {0};
    return world_run_as(&w, user, ROLE_SYSTEM, sql, &answer, e);
}

static int64_t number(int user, const char *sql)
{
    Answer answer = {0};
    CHECK_OK(world_run_as(&w, user, ROLE_SYSTEM, sql, &answer, e));
    CHECK_INT(answer.rows, 1);
    return answer.last;
}

typedef struct Writer {
    int user;
    const char *format; /* of one row, %d is the key */
    int written, refused;
    Code failure;
} Writer;

/* Inserts until told to stop. A violated constraint is what some tests want to happen. */
static void write_rows(void *context)
{
    Writer *writer = context;
    for (int i = 0; i < 100000 && !atomic_load(&stopping); i++) {
        char sql[256];
        Error e = {0};
        snprintf(sql, sizeof sql, writer->format, i);
        Code code = run_as(writer->user, sql, &e);
        writer->written += code == OK;
        writer->refused += code == E_CONSTRAINT;
        if (code != OK && code != E_CONSTRAINT) {
            writer->failure = code;
            fprintf(stderr, "%s: %s\n", sql, e.text);
            return;
        }
    }
}

static void start_writers(Writer *writers, Thread **threads, const char *format)
{
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (Writer){.user = i % WORLD_USERS, .format = format};
        CHECK_OK(thread_start("writer", THREAD_WORKER, write_rows, &writers[i], &threads[i], e));
    }
}

static void stop_writers(Writer *writers, Thread **threads)
{
    atomic_store(&stopping, true);
    for (int i = 0; i < WRITERS; i++)
        thread_join(threads[i]);
    for (int i = 0; i < WRITERS; i++) {
        CHECK_INT(writers[i].failure, OK);
        int64_t rows = number(writers[i].user, "SELECT count(*) FROM t");
        CHECK_INT(rows, writers[i].written);
    }
}

TEST("a row is lost, doubled or unreadable when the table changes under writers, flushes and "
     "compactions")
{
    open_all();
    world_run(
        &w,
        "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY, n SMALLINT, s TEXT)");
    Writer writers[WRITERS];
    Thread *threads[WRITERS];
    start_writers(writers, threads, "INSERT INTO t (id, n) VALUES (%d, 5)");
    for (int round = 0; round < 3; round++) {
        char sql[256];
        snprintf(sql, sizeof sql, "ALTER TABLE t ADD COLUMN c%d INT DEFAULT %d", round, round);
        world_run(&w, sql);
        world_run(&w, "STORAGE FLUSH TABLE app.t");
        world_run(&w, round == 0   ? "ALTER TABLE t MODIFY n INT"
                      : round == 1 ? "ALTER TABLE t MODIFY n BIGINT"
                                   : "ALTER TABLE t MODIFY id BIGINT");
        world_run(&w, "ALTER TABLE t RENAME s TO s2; ALTER TABLE t RENAME s2 TO s");
        world_run(&w, "STORAGE COMPACT TABLE app.t");
        world_run(
            &w, "ALTER TABLE t ADD COLUMN gone TEXT NOT NULL DEFAULT 'x'; ALTER TABLE t DROP gone");
        CHECK_INT(number(0, "SELECT count(*) FROM system.jobs WHERE status = 'failed'"), 0);
    }
    stop_writers(writers, threads);
    for (int user = 0; user < WORLD_USERS; user++) {
        CHECK_INT(number(user, "SELECT count(*) FROM t WHERE n <> 5 OR n IS NULL"), 0);
        CHECK_INT(number(user, "SELECT count(*) FROM t WHERE c0 <> 0 OR c1 <> 1 OR c2 <> 2"), 0);
        CHECK_INT(number(user, "SELECT count(*) FROM t WHERE c0 IS NULL OR c2 IS NULL"), 0);
    }
    CHECK_INT(number(0, "SELECT version FROM system.tables WHERE table_name = 't'"), 1 + 3 * 6);
    world_close(&w);
}

TEST("SET NOT NULL lets a NULL slip in that is written at the same time")
{
    open_all();
    world_run(
        &w,
        "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY, s TEXT DEFAULT 'd')");
    Writer writers[WRITERS];
    Thread *threads[WRITERS];
    start_writers(writers, threads, "INSERT INTO t VALUES (%d, NULL)");
    Error refused = {0};
    int tries = 0;
    for (Code code = E_CONSTRAINT; code != OK; tries++) {
        for (int user = 0; user < WORLD_USERS; user++)
            CHECK_OK(run_as(user, "UPDATE t SET s = 'x' WHERE s IS NULL", e));
        code = run_as(0, "ALTER TABLE t ALTER COLUMN s SET NOT NULL", &refused);
        if (tries == 20) /* the writers always win: let the change through */
            atomic_store(&stopping, true);
        CHECK(code == OK || code == E_CONSTRAINT || code == E_CONFLICT);
    }
    stop_writers(writers, threads);
    for (int user = 0; user < WORLD_USERS; user++)
        CHECK_INT(number(user, "SELECT count(*) FROM t WHERE s IS NULL"), 0);
    Error error = {0};
    CHECK_CODE(run_as(0, "INSERT INTO t VALUES (-1, NULL)", &error), E_CONSTRAINT);
    world_close(&w);
}

static void alter_often(void *context)
{
    int *failures = context;
    for (int i = 0; i < 20; i++) {
        Error e = {0};
        Code code = run_as(0,
                           i % 2 ? "ALTER TABLE t DROP COLUMN IF EXISTS c"
                                 : "ALTER TABLE t ADD COLUMN IF NOT EXISTS c INT",
                           &e);
        *failures += code != OK;
        if (code != OK && code != E_TABLE_NOT_FOUND)
            fprintf(stderr, "%s\n", e.text);
    }
}

TEST("two ALTERs at once lose one of them, or a DROP beside them does not find the table")
{
    open_all();
    world_run(&w, "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY)");
    Thread *threads[2];
    int failures[2] = {0};
    for (int i = 0; i < 2; i++)
        CHECK_OK(thread_start("alter", THREAD_WORKER, alter_often, &failures[i], &threads[i], e));
    for (int i = 0; i < 2; i++)
        thread_join(threads[i]);
    CHECK_INT(failures[0] + failures[1], 0);
    int64_t version = number(0, "SELECT version FROM system.tables WHERE table_name = 't'");
    CHECK(version > 1 && version <= 41);
    CHECK_OK(thread_start("alter", THREAD_WORKER, alter_often, &failures[0], &threads[0], e));
    Error error = {0};
    CHECK_INT(run_as(0, "DROP TABLE t", &error), OK);
    thread_join(threads[0]); /* it may have failed: the table is gone */
    world_close(&w);
}

static atomic_int alters;

/* Before every new segment gets its name: the definition it was written by is an old one. */
static int alter_meanwhile(const char *operation, const char *path)
{
    if (strcmp(operation, "rename") != 0 || !strstr(path, "/batch-"))
        return 0;
    char sql[128];
    Error e = {0};
    int i = atomic_fetch_add(&alters, 1);
    snprintf(sql, sizeof sql,
             i % 2 ? "ALTER TABLE t DROP COLUMN c%d" : "ALTER TABLE t ADD COLUMN c%d INT DEFAULT 7",
             i / 2);
    if (run_as(0, sql, &e) != OK)
        fprintf(stderr, "%s: %s\n", sql, e.text);
    return 0;
}

TEST("a flush or a compaction that gives up because somebody alters the table again and again")
{
    open_all();
    atomic_store(&alters, 0);
    world_run(&w, "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY, n INT)");
    file_set_fault(alter_meanwhile);
    for (int i = 0; i < 5; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "INSERT INTO t (id, n) VALUES (%d, %d)", i, i);
        world_run(&w, sql);
        world_run(&w, "STORAGE FLUSH TABLE t");
    }
    CHECK_INT(number(0, "SELECT count(*) FROM system.jobs WHERE status = 'completed'"), 5);
    world_run(&w, "STORAGE COMPACT TABLE t");
    file_set_fault(NULL);
    CHECK(atomic_load(&alters) >= 6);
    CHECK_INT(number(0, "SELECT count(*) FROM system.jobs WHERE status <> 'completed'"), 0);
    CHECK_INT(number(0, "SELECT count(*) FROM t"), 5);
    CHECK_INT(number(0, "SELECT sum(n) FROM t WHERE id >= 2"), 9);
    world_run(&w, "STORAGE CHECK EXTENDED");
    world_close(&w);
}

static atomic_int allowed, altered;

/* When a new segment gets its name: what a column is called, its type and whether it is the same
 * one change between the rows and the commit of their segment. */
static int alter_in_turn(const char *operation, const char *path)
{
    static const char *const changes[] = {
        "ADD COLUMN c INT DEFAULT 100",
        "DROP COLUMN c",
        "ADD COLUMN c INT DEFAULT 200",
        "RENAME s TO d",
        "MODIFY n INT",
        "RENAME c TO s",
        "MODIFY n BIGINT",
        "DROP COLUMN s",
    };
    char sql[128];
    Error e = {0};
    int i = atomic_load(&alters);
    if (strcmp(operation, "rename") != 0 || !strstr(path, "/batch-") || i >= atomic_load(&allowed))
        return 0;
    if (!atomic_compare_exchange_strong(&alters, &i, i + 1))
        return 0;
    snprintf(sql, sizeof sql, "ALTER TABLE t %s", changes[i]);
    if (run_as(0, sql, &e) != OK)
        fprintf(stderr, "%s: %s\n", sql, e.text);
    atomic_fetch_add(&altered, 1);
    return 0;
}

/* Until a flush or a compaction has met the next change. */
static void alter_beside(const char *sql)
{
    int count = atomic_fetch_add(&allowed, 1) + 1;
    world_run(&w, sql);
    CHECK_INT(atomic_load(&alters), count);
    while (atomic_load(&altered) < count)
        sched_yield();
}

/* The rows 0 to 6, by both engines and by what the statistics of the segments say. */
static void check_altered(int64_t s)
{
    char sql[128];
    CHECK_INT(number(0, "SELECT count(*) FROM t"), 7);
    CHECK_INT(number(0, "SELECT sum(n) FROM t"), 21);
    CHECK_INT(number(0, "SELECT sum(x.d) FROM t x JOIN t y ON x.id = y.id"), 91);
    CHECK_INT(number(0, "SELECT sum(x.s) FROM t x JOIN t y ON x.id = y.id"), 7 * s);
    CHECK_INT(number(0, "SELECT count(*) FROM t WHERE d >= 13"), 4);
    CHECK_INT(number(0, "SELECT count(*) FROM t WHERE n < 2"), 2);
    CHECK_INT(number(0, "SELECT count(*) FROM t WHERE s = 100"), 0);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM t WHERE s = %d", (int)s);
    CHECK_INT(number(0, sql), 7);
}

TEST("a segment by an older definition gives a column's values to another one of its name")
{
    open_all();
    atomic_store(&alters, 0);
    atomic_store(&allowed, 0);
    atomic_store(&altered, 0);
    world_run(&w, "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY, n SMALLINT, "
                  "s INT)");
    file_set_fault(alter_in_turn);
    for (int i = 0; i < 7; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "INSERT INTO t (id, n, %s) VALUES (%d, %d, %d)",
                 i > 3 ? "d" : "s", i, i, 10 + i);
        world_run(&w, sql);
        alter_beside("STORAGE FLUSH TABLE t");
        if (i < 2)
            continue;
        snprintf(sql, sizeof sql, "SELECT sum(x.%s) FROM t x JOIN t y ON x.id = y.id",
                 i < 5 ? "c" : "s");
        CHECK_INT(number(0, sql), 200 * (i + 1));
    }
    check_altered(200);
    world_run(&w, "UPDATE t SET n = 6 WHERE id = 6"); /* so that there is something to compact */
    alter_beside("STORAGE COMPACT TABLE t");
    file_set_fault(NULL);
    world_run(&w, "ALTER TABLE t ADD COLUMN s INT DEFAULT 3");
    check_altered(3);
    CHECK_INT(number(0, "SELECT count(*) FROM system.jobs WHERE status <> 'completed'"), 0);
    world_run(&w, "STORAGE CHECK EXTENDED");
    world_close(&w);
}
