/* SPDX-License-Identifier: Apache-2.0
 *
 * Transactions against other commits: what is a conflict and what is not, one commit with one place
 * in the feed, and threads that move money while others count it.
 */
#include "fixture.h"
#include "test.h"

#include "base/limits.h"
#include "exec/transaction.h"
#include "exec/turns.h"
#include "os/clock.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>

static World open_world(void)
{
    World w = world_open();
    world_run(&w, "CREATE NAMESPACE app");
    world_run(&w, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n BIGINT)");
    world_run(&w, "CREATE SHARED TABLE app.s (id BIGINT PRIMARY KEY, n BIGINT)");
    return w;
}

/* Of the first values of all rows of all statements. */
static int64_t sum_of(World *w, const char *sql)
{
    Answer answer = {0};
    CHECK_OK(world_try(w, sql, &answer, e));
    return answer.sum;
}

/* ---- conflicts ---- */

/* `first` runs, then the other request, then `rest`, all of first and rest in one transaction. */
typedef struct Case {
    const char *first, *meanwhile, *rest;
    Code want;
} Case;

static void play(World *w, const Case *c)
{
    char sql[512];
    snprintf(sql, sizeof sql, "BEGIN; %s; %s; COMMIT", c->first, c->rest);
    Answer answer = {.meanwhile = c->meanwhile, .at = 2};
    Error e = {0};
    Code code = world_try(w, sql, &answer, &e);
    if (code != c->want)
        test_failed(__FILE__, __LINE__, "%s; meanwhile %s; %s gave %d %s", c->first, c->meanwhile,
                    c->rest, code, e.text);
    CHECK(!answer.meanwhile);
    if (code == E_CONFLICT)
        CHECK(strstr(e.text, "Conflict: ") && strstr(e.text, "run the transaction again"));
}

static void play_all(const Case *cases, size_t count, bool flushed)
{
    World w = open_world();
    for (size_t i = 0; i < count; i++) {
        world_run(&w, "TRUNCATE t; TRUNCATE s");
        world_run(
            &w,
            "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, 40); INSERT INTO s VALUES (1, 1)");
        if (flushed)
            world_run(&w, "STORAGE FLUSH TABLE app.t; STORAGE FLUSH TABLE app.s");
        play(&w, &cases[i]);
    }
    world_close(&w);
}

static const Case both_tiers[] = {
    /* rows that were read and not changed */
    {"SELECT n FROM t WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"SELECT n FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"SELECT n FROM t WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 3",
     "UPDATE t SET n = 1 WHERE id = 2", OK},
    {"SELECT n FROM t WHERE id = 1", "UPDATE s SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", OK},
    {"SELECT n FROM s WHERE id = 1", "UPDATE s SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"SELECT n FROM t WHERE n > 25", "UPDATE t SET n = 0 WHERE id = 3",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"SELECT n FROM t WHERE n > 25", "UPDATE t SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", OK},
    {"SELECT sum(n) FROM t WHERE n > 25", "UPDATE t SET n = 0 WHERE id = 3",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"SELECT sum(n) FROM t", "UPDATE t SET n = 0 WHERE id = 1", "INSERT INTO s VALUES (2, 2)",
     E_CONFLICT},
    {"SELECT t.n FROM t JOIN s USING (id)", "UPDATE s SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"UPDATE s SET n = (SELECT max(n) FROM t) WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 4",
     "SELECT 1", E_CONFLICT},
    {"UPDATE t SET n = 10 WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"UPDATE t SET n = 5 WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1",
     "UPDATE t SET n = 10 WHERE id = 1; UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"INSERT INTO s SELECT id + 10, n FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1",
     "SELECT 1", E_CONFLICT},
    /* rows that were changed */
    {"UPDATE t SET n = 5 WHERE id = 1", "UPDATE t SET n = 6 WHERE id = 1", "SELECT 1", E_CONFLICT},
    {"DELETE FROM t WHERE id = 1", "DELETE FROM t WHERE id = 1", "SELECT 1", E_CONFLICT},
    {"INSERT INTO t VALUES (9, 9)", "INSERT INTO t VALUES (9, 8)", "SELECT 1", E_CONFLICT},
    {"DELETE FROM t WHERE id = 1", "UPDATE t SET n = 6 WHERE id = 1", "INSERT INTO t VALUES (1, 7)",
     E_CONFLICT},
    {"UPDATE t SET n = 5 WHERE id = 1", "UPDATE t SET n = 6 WHERE id = 2", "SELECT 1", OK},
    {"INSERT INTO t VALUES (9, 9)", "INSERT INTO t VALUES (9, 8)",
     "DELETE FROM t WHERE id = 9; UPDATE s SET n = 5 WHERE id = 1", OK},
    /* new rows are no changes of what was read */
    {"SELECT n FROM t WHERE n > 25", "INSERT INTO t VALUES (9, 99)",
     "UPDATE t SET n = 1 WHERE id = 2", OK},
    /* a reader alone has nothing to lose */
    {"SELECT n FROM t WHERE id = 1", "UPDATE t SET n = 0 WHERE id = 1", "SELECT 1", OK},
    /* two that read the same row and write others */
    {"SELECT n FROM t WHERE id = 1",
     "BEGIN; SELECT n FROM t WHERE id = 1; UPDATE t SET n = 0 WHERE id = 3; COMMIT",
     "UPDATE t SET n = 1 WHERE id = 2", OK},
    /* write skew */
    {"SELECT n FROM t WHERE id IN (1, 2)",
     "BEGIN; SELECT n FROM t WHERE id IN (1, 2); UPDATE t SET n = 0 WHERE id = 1; COMMIT",
     "UPDATE t SET n = 0 WHERE id = 2", E_CONFLICT},
    {"SELECT sum(n) FROM t", "BEGIN; SELECT sum(n) FROM t; UPDATE t SET n = 0 WHERE id = 1; COMMIT",
     "UPDATE t SET n = 0 WHERE id = 2", E_CONFLICT},
    /* the table itself */
    {"SELECT n FROM s WHERE id = 1",
     "DROP TABLE app.s; CREATE SHARED TABLE app.s (id BIGINT PRIMARY KEY, n BIGINT)",
     "UPDATE t SET n = 1 WHERE id = 2", E_CONFLICT},
    {"UPDATE s SET n = 5 WHERE id = 1",
     "DROP TABLE app.s; CREATE SHARED TABLE app.s (id BIGINT PRIMARY KEY, n BIGINT)", "SELECT 1",
     E_CONFLICT},
};

TEST("a row that was read or written and changed meanwhile is a conflict, others are not")
{
    play_all(both_tiers, sizeof both_tiers / sizeof *both_tiers, false);
}

TEST("the same with all rows in segments")
{
    play_all(both_tiers, sizeof both_tiers / sizeof *both_tiers, true);
}

TEST("among hot rows the WHERE of an aggregate says which rows were read")
{
    static const Case cases[] = {
        {"SELECT sum(n) FROM t WHERE n > 25", "UPDATE t SET n = 0 WHERE id = 1",
         "UPDATE t SET n = 1 WHERE id = 2", OK},
        {"SELECT max(n) FROM t AS x WHERE x.id < 3", "UPDATE t SET n = 0 WHERE id = 4",
         "INSERT INTO s VALUES (2, 2)", OK},
    };
    play_all(cases, 2, false);
}

static const Case flushes[] = {
    {"SELECT n FROM t WHERE id = 1", "STORAGE FLUSH TABLE app.t", "UPDATE t SET n = 1 WHERE id = 2",
     OK},
    {"UPDATE t SET n = 5 WHERE id = 1", "STORAGE FLUSH TABLE app.t", "DELETE FROM t WHERE id = 2",
     OK},
    {"UPDATE t SET n = 5 WHERE id = 1",
     "UPDATE t SET n = 3 WHERE id = 3; STORAGE FLUSH TABLE app.t", "DELETE FROM t WHERE id = 2",
     OK},
    {"SELECT sum(n) FROM t", "UPDATE t SET n = 3 WHERE id = 3; STORAGE FLUSH TABLE app.t",
     "DELETE FROM t WHERE id = 2", E_CONFLICT},
    {"DELETE FROM t WHERE id = 2", "UPDATE t SET n = 3 WHERE id = 2; STORAGE FLUSH TABLE app.t",
     "SELECT 1", E_CONFLICT},
    {"INSERT INTO t VALUES (9, 9)", "INSERT INTO t VALUES (9, 9); STORAGE FLUSH TABLE app.t",
     "SELECT 1", E_CONFLICT},
};

TEST("a flush meanwhile is no conflict, a change is one with a flush behind it")
{
    play_all(flushes, sizeof flushes / sizeof *flushes, false);
}

TEST("the same with rows that a second flush or a compaction moves")
{
    play_all(flushes, sizeof flushes / sizeof *flushes, true);
}

TEST("all statements of a transaction read one snapshot and their own writes")
{
    World w = open_world();
    world_run(&w, "INSERT INTO t VALUES (1, 10), (2, 20); INSERT INTO s VALUES (1, 5)");
    Answer answer = {.meanwhile =
                         "UPDATE t SET n = 1000 WHERE id = 2; UPDATE s SET n = 1000 WHERE id = 1",
                     .at = 2};
    CHECK_OK(
        world_try(&w,
                  "BEGIN; UPDATE t SET n = 11 WHERE id = 1; SELECT sum(n) FROM t; SELECT n FROM s "
                  "WHERE id = 1; ROLLBACK",
                  &answer, e));
    CHECK_INT(answer.sum, 11 + 20 + 5);
    CHECK_INT(sum_of(&w, "SELECT sum(n) FROM t"), 1010);
    world_close(&w);
}

/* What a DBA's statements come to when their account changes before the one at `at` is resolved. */
static Code run_beside(World *w, const char *change, const char *sql, size_t at, Error *e)
{
    world_run(w, "ALTER USER 'u1' SET ROLE 'dba'");
    Answer answer = {.meanwhile = change, .at = at};
    return world_run_as(w, 1, ROLE_DBA, sql, &answer, e);
}

TEST("what was allowed to a role is committed after its user lost it, or was dropped")
{
    static const char *const transaction = "BEGIN; UPDATE s SET n = n + 1 WHERE id = 1; COMMIT",
                             *const alone = "UPDATE s SET n = n + 1 WHERE id = 1";
    static const char *const lower = "ALTER USER 'u1' SET ROLE 'service'",
                             *const higher = "ALTER USER 'u1' SET ROLE 'system'",
                             *const password = "ALTER USER 'u1' SET PASSWORD 'Correct-horse-2'";
    World w = open_world();
    Error error;
    world_run(&w, "INSERT INTO s VALUES (1, 0)");
    world_run(&w, "CREATE USER 'u1' WITH PASSWORD 'Correct-horse-1' ROLE 'dba'");
    CHECK_CODE(run_beside(&w, lower, transaction, 2, &error), E_PERMISSION_DENIED);
    CHECK_CODE(run_beside(&w, lower, alone, 0, &error), E_PERMISSION_DENIED);
    CHECK_INT(world_number(&w, "SELECT n FROM s"), 0);
    CHECK_OK(run_beside(&w, higher, transaction, 2, e));
    CHECK_OK(run_beside(&w, password, alone, 0, e));
    CHECK_INT(world_number(&w, "SELECT n FROM s"), 2);
    CHECK_CODE(run_beside(&w, "DROP USER 'u1'", transaction, 2, &error), E_PERMISSION_DENIED);
    CHECK_INT(world_number(&w, "SELECT n FROM s"), 2);
    world_close(&w);
}

TEST("a change of the catalog is committed after its user lost the role that allowed it")
{
    static const char *const changes[] = {
        "CREATE NAMESPACE late",
        "DROP NAMESPACE empty",
        "CREATE SHARED TABLE late (id BIGINT PRIMARY KEY)",
        "ALTER TABLE s ADD COLUMN late TEXT",
        "DROP TABLE s",
        "CREATE USER 'late' WITH PASSWORD 'Correct-horse-1' ROLE 'dba'",
        "ALTER USER 'u2' SET ROLE 'dba'",
        "ALTER USER 'u1' SET ROLE 'dba'",
        "DROP USER 'u2'",
    };
    World w = open_world();
    Error error;
    world_run(&w, "CREATE NAMESPACE empty");
    world_run(&w, "CREATE USER 'u1' WITH PASSWORD 'Correct-horse-1' ROLE 'dba'");
    world_run(&w, "CREATE USER 'u2' WITH PASSWORD 'Correct-horse-1' ROLE 'user'");
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        CHECK_CODE(run_beside(&w, "ALTER USER 'u1' SET ROLE 'user'", changes[i], 0, &error),
                   E_PERMISSION_DENIED);
    CHECK_OK(run_beside(&w, "ALTER USER 'u1' SET ROLE 'system'", changes[0], 0, e));
    CHECK_CODE(run_beside(&w, "DROP USER 'u1'", changes[4], 0, &error), E_PERMISSION_DENIED);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM s"), 0);
    world_close(&w);
}

/* ---- one commit ---- */

typedef struct Watched {
    size_t intents, parts, rows;
    uint64_t first_seq, last_seq, commit_seq;
} Watched;

static void watch(void *context, const CommitGroup *group)
{
    Watched *watched = context;
    for (size_t i = 0; i < group->count; i++) {
        const Intent *intent = group->intents[i];
        if (!intent->row_count)
            continue;
        watched->intents++;
        watched->parts = intent->part_count;
        watched->rows = intent->row_count;
        watched->commit_seq = intent->commit_seq;
        watched->first_seq = intent->parts[0].changes[0].seq;
        const IntentPart *last = &intent->parts[intent->part_count - 1];
        watched->last_seq = last->changes[last->count - 1].seq;
    }
}

static size_t read_feed(World *w, const char *table_name, uint64_t user, uint64_t after,
                        FeedChange *out)
{
    Table *table =
        catalog_find_table(database_catalog(w->db), SLICE("app"), slice_of_text(table_name));
    ReadView *view = NULL;
    Feed *feed = NULL;
    size_t count = 0;
    CHECK_OK(view_open(w->db, HOT_BLOCKING, &view, e));
    CHECK_OK(feed_open(view, table, (Partition){table->id, user}, after, &feed, e));
    for (bool end = false;;) {
        CHECK_OK(feed_next(feed, &end, &out[count], e));
        if (end)
            break;
        count++;
    }
    feed_close(feed);
    view_close(view);
    table_unref(table);
    return count;
}

TEST("a transaction is one commit: its changes stand together in the feed, each key once")
{
    World w = open_world();
    world_run(&w, "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)");
    Watched watched = {0};
    database_add_sink(w.db, (ChangeSink){watch, &watched, NULL});
    uint64_t before = database_last_seq(w.db);
    world_run(
        &w, "BEGIN; UPDATE t SET n = 11 WHERE id = 1; INSERT INTO s VALUES (1, 1); DELETE FROM t "
            "WHERE id = 2;"
            "INSERT INTO t VALUES (4, 40), (5, 50); UPDATE t SET n = 12 WHERE id = 1; DELETE FROM "
            "t WHERE id = 5;"
            "DELETE FROM t WHERE id = 3; INSERT INTO t VALUES (3, 31); UPDATE s SET n = 2 WHERE id "
            "= 1; COMMIT");
    CHECK_INT(watched.intents, 1);
    CHECK_INT(watched.parts, 2);
    CHECK_INT(watched.rows, 5);
    CHECK(watched.first_seq > before);
    CHECK_INT(watched.last_seq, watched.commit_seq);
    CHECK(database_last_seq(w.db) >= watched.commit_seq); /* a job may have committed since */
    FeedChange changes[16];
    CHECK_INT(read_feed(&w, "t", w.users[0], before, changes), 4);
    static const ChangeKind want[] = {CHANGE_DELETE, CHANGE_INSERT, CHANGE_UPDATE, CHANGE_UPDATE};
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(changes[i].kind, want[i]);
        CHECK(changes[i].seq >= watched.first_seq && changes[i].seq <= watched.commit_seq);
    }
    CHECK_INT(read_feed(&w, "s", 0, before, changes), 1);
    CHECK_INT(changes[0].kind, CHANGE_INSERT);
    CHECK(changes[0].seq >= watched.first_seq && changes[0].seq <= watched.commit_seq);
    world_close(&w);
}

/* ---- against the same statements committed one by one ---- */

enum { KEYS = 12, STEPS_MAX = 10, ROUNDS_RANDOM = 60 };

/* Writes, and looks at the table in one of several ways. */
static void add_step(Buffer *sql, const char *name, const unsigned choice[4], unsigned n)
{
    unsigned key = choice[1] % KEYS;
    switch (choice[0] % 6) {
    case 0:
    case 1:
        buffer_printf(sql, "DELETE FROM %s WHERE id = %u; INSERT INTO %s VALUES (%u, %u);", name,
                      key, name, key, n);
        break;
    case 2:
        buffer_printf(sql, "UPDATE %s SET n = n + %u WHERE id = %u;", name, n, key);
        break;
    case 3:
        buffer_printf(sql, "UPDATE %s SET n = n + %u WHERE n %% 3 = %u;", name, n, key % 3);
        break;
    case 4:
        buffer_printf(sql, "DELETE FROM %s WHERE id BETWEEN %u AND %u;", name, key, key + 1);
        break;
    default:
        buffer_printf(sql, "UPDATE %s SET n = n + %u WHERE id IN (SELECT max(id) FROM %s);", name,
                      n, name);
    }
    static const char *const looks[] = {
        "SELECT n * 31 + id FROM @;",
        "SELECT sum(n * 31 + id)::BIGINT FROM @;",
        "SELECT id FROM @ ORDER BY _seq DESC LIMIT 3;",
        "SELECT count(*) FROM @ WHERE n % 2 = 0;",
    };
    for (const char *at = looks[choice[2] % 4]; *at; at++)
        if (*at == '@')
            buffer_add_text(sql, name);
        else
            buffer_add_char(sql, *at);
}

TEST("random transactions read and leave what the same statements do one by one")
{
    World w = open_world();
    world_run(&w, "CREATE USER TABLE app.twin (id BIGINT PRIMARY KEY, n BIGINT)");
    unsigned n = 1000;
    for (int round = 0; round < ROUNDS_RANDOM; round++) {
        Buffer together = {0}, one_by_one = {0};
        buffer_add_text(&together, "BEGIN;");
        for (unsigned steps = 1 + test_random() % STEPS_MAX; steps; steps--) {
            unsigned choice[4];
            for (int i = 0; i < 4; i++)
                choice[i] = (unsigned)test_random();
            n += 7;
            add_step(&together, "t", choice, n);
            add_step(&one_by_one, "twin", choice, n);
        }
        buffer_add_text(&together, "COMMIT");
        buffer_add_u8(&together, 0);
        buffer_add_u8(&one_by_one, 0);
        int64_t want = sum_of(&w, one_by_one.data), got = sum_of(&w, together.data);
        if (got != want)
            test_failed(__FILE__, __LINE__, "round %d: %lld, want %lld: %s", round, (long long)got,
                        (long long)want, together.data);
        CHECK_INT(sum_of(&w, "SELECT n * 31 + id FROM t"),
                  sum_of(&w, "SELECT n * 31 + id FROM twin"));
        buffer_done(&together);
        buffer_done(&one_by_one);
        if (round % 5 == 2)
            world_run(&w, "STORAGE FLUSH TABLE app.t; STORAGE FLUSH TABLE app.twin");
    }
    world_close(&w);
}

/* ---- limits ---- */

static void stage_many(Run *at, Table *table, size_t from, size_t count, Code want)
{
    Intent *intent = intent_new(1);
    for (size_t i = 0; i < count; i++) {
        uint64_t key = from + i;
        RowChange change = {
            .kind = CHANGE_INSERT, .key = slice_of(&key, sizeof key), .new_row = SLICE("row")};
        CHECK_OK(intent_add(intent, intent_part(intent, table, (Partition){1, 1}), &change, e));
    }
    CHECK_CODE(exec__stage(at, intent, e), want);
    intent_unref(intent);
}

TEST("a transaction holds as many rows as a commit, and lists so many that it read")
{
    World w = open_world();
    Table *table = catalog_find_table(database_catalog(w.db), SLICE("app"), SLICE("t"));
    ReadView *view = NULL;
    CHECK_OK(view_open(w.db, HOT_BLOCKING, &view, e));
    Run at = {.transaction = exec__transaction_new(view)};
    TableView seen = {&at, view, table, {1, 1}}, other = {&at, view, table, {1, 2}};
    stage_many(&at, table, 0, COMMIT_ROWS_MAX, OK);
    for (uint64_t i = 0; i < 3 * TRANSACTION_READS_MAX; i++)
        exec__note_read(&seen, 1 + i % 10); /* the same ones again and again */
    exec__note_read(&seen, UINT64_MAX);     /* a staged one */
    for (uint64_t i = 0; i < 3 * TRANSACTION_READS_MAX; i++)
        exec__note_read(&other, 1 + i);
    Intent *intent = NULL;
    CHECK_OK(exec__transaction_intent(at.transaction, &intent, e));
    CHECK_INT(intent->row_count, COMMIT_ROWS_MAX);
    CHECK_INT(intent->read_count, 2);
    CHECK_INT(intent->reads[0].count, 10);
    CHECK(!intent->reads[0].all);
    CHECK(intent->reads[1].all);
    intent_unref(intent);
    stage_many(&at, table, COMMIT_ROWS_MAX, 1, E_TOO_LARGE);
    exec__transaction_free(at.transaction);
    table_unref(table);
    world_close(&w);
}

/* ---- threads ---- */

enum { THREADS = 4, TRANSFERS = 15, ACCOUNTS = 4, TOTAL = 2 * ACCOUNTS * 100 };

typedef struct Bank {
    World *w;
    _Atomic int conflicts, number;
    _Atomic bool open;
} Bank;

static void transfer(void *argument)
{
    Bank *bank = argument;
    unsigned self = (unsigned)atomic_fetch_add(&bank->number, 1);
    for (unsigned i = 0; i < TRANSFERS; i++) {
        unsigned from = (self + i) % ACCOUNTS, to = (self * 3 + i * 5 + 1) % ACCOUNTS;
        char sql[512];
        snprintf(sql, sizeof sql,
                 "BEGIN; UPDATE %s SET n = n - 7 WHERE id = %u; SELECT n FROM t WHERE id = %u;"
                 "UPDATE %s SET n = n + 7 WHERE id = %u; COMMIT",
                 i % 2 ? "t" : "s", from, to, i % 2 ? "s" : "t", to);
        Code code = E_CONFLICT;
        while (code == E_CONFLICT) {
            Answer answer = {0};
            Error e = {0};
            code = world_try(bank->w, sql, &answer, &e);
            must(code == OK || code == E_CONFLICT);
            atomic_fetch_add(&bank->conflicts, code == E_CONFLICT);
        }
    }
}

/* Counts natively and through DuckDB; row by row and in sums. */
static void audit(void *argument)
{
    Bank *bank = argument;
    for (unsigned i = 0; atomic_load(&bank->open); i++) {
        Answer answer = {0};
        Error e = {0};
        must(world_try(
                 bank->w,
                 i % 2
                     ? "BEGIN; SELECT n FROM t; SELECT n FROM s; COMMIT"
                     : "BEGIN; SELECT sum(n)::BIGINT FROM t; SELECT sum(n)::BIGINT FROM s; COMMIT",
                 &answer, &e) == OK);
        must(answer.sum == TOTAL);
        if (i % 4 == 3)
            must(world_try(bank->w, "STORAGE FLUSH TABLE app.t; STORAGE FLUSH TABLE app.s", &answer,
                           &e) == OK);
    }
}

TEST("the sum of all accounts never changes while threads move money between two tables")
{
    World w = open_world();
    for (int i = 0; i < ACCOUNTS; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, 100); INSERT INTO s VALUES (%d, 100)",
                 i, i);
        world_run(&w, sql);
    }
    Bank bank = {.w = &w};
    atomic_store(&bank.open, true);
    Thread *auditor = NULL, *threads[THREADS];
    CHECK_OK(thread_start("audit", THREAD_ANY, audit, &bank, &auditor, e));
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(thread_start("transfer", THREAD_ANY, transfer, &bank, &threads[i], e));
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    atomic_store(&bank.open, false);
    thread_join(auditor);
    CHECK_INT(sum_of(&w, "SELECT sum(n)::BIGINT FROM t") +
                  sum_of(&w, "SELECT sum(n)::BIGINT FROM s"),
              TOTAL);
    CHECK_INT(sum_of(&w, "SELECT count(*) FROM t") + sum_of(&w, "SELECT count(*) FROM s"),
              2 * ACCOUNTS);
    world_close(&w);
}

/* What one thread writes while another one alters the table: each by another way through dml.c. */
typedef struct Altering {
    World *w;
    _Atomic bool is_done;
} Altering;

static void alter_again_and_again(void *argument)
{
    static const char *const alters[] = {"ALTER TABLE s SET ACCESS LEVEL PUBLIC",
                                         "ALTER TABLE s ADD COLUMN IF NOT EXISTS late BIGINT",
                                         "ALTER TABLE s SET ACCESS LEVEL PRIVATE",
                                         "ALTER TABLE s DROP COLUMN IF EXISTS late"};
    Altering *altering = argument;
    for (size_t i = 0; !atomic_load(&altering->is_done); i++) {
        Answer answer = {0};
        Error e = {0};
        Code code = world_try(altering->w, alters[i % 4], &answer, &e);
        must(code == OK || code == E_CONFLICT); /* it may have met commits of rows too often */
        i -= code == E_CONFLICT;
    }
}

TEST(
    "a conflict with ALTER reaches nobody who writes outside a transaction, whatever the statement")
{
    static const char *const writes[] = {
        "INSERT INTO s (id, n) VALUES (9, 9)",
        "UPDATE s SET n = n + 1 WHERE id = 9",
        "UPDATE s SET n = n + 1 WHERE upper('a') = 'A'",
        "INSERT INTO s (id, n) SELECT id + 100, n FROM s WHERE id < 100",
        "DELETE FROM s WHERE id > 100",
        "UPDATE s SET n = (SELECT max(n) FROM s) WHERE id = 9",
        "TRUNCATE s",
    };
    World w = open_world();
    Altering altering = {.w = &w};
    Thread *thread = NULL;
    CHECK_OK(thread_start("alter", THREAD_ANY, alter_again_and_again, &altering, &thread, e));
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
            Answer answer = {0};
            CHECK_OK(world_try(&w, writes[i], &answer, e));
        }
    }
    atomic_store(&altering.is_done, true);
    thread_join(thread);
    world_close(&w);
}

TEST("a write that takes many times as long as an ALTER is let through by them")
{
    World w = open_world();
    for (int i = 0; i < 150; i++) {
        char sql[64];
        snprintf(sql, sizeof sql, "INSERT INTO s (id, n) VALUES (%d, 1)", i);
        world_run(&w, sql);
    }
    Altering altering = {.w = &w};
    Thread *thread = NULL;
    CHECK_OK(thread_start("alter", THREAD_ANY, alter_again_and_again, &altering, &thread, e));
    Answer answer = {0};
    CHECK_OK(world_try(&w,
                       "UPDATE s SET n = (SELECT max(a.n + b.n * c.n) FROM s a, s b, s c) "
                       "WHERE id < 9",
                       &answer, e));
    atomic_store(&altering.is_done, true);
    thread_join(thread);
    CHECK_INT(sum_of(&w, "SELECT n FROM s WHERE id = 8"), 2);
    world_close(&w);
}

TEST("only who would alter the same table waits for a turn, and not beyond its deadline")
{
    Turns *turns = exec__turns_new();
    Turn first = {0}, second = {0};
    exec__turn_take(turns, 1, &first);
    exec__turn_take(turns, 1, &second);
    exec__turns_wait(turns, 2, INT64_MAX);
    exec__turn_end(&first);
    exec__turn_end(&first); /* nothing is left to end */
    int64_t deadline_us = clock_monotonic_us() + 1000;
    exec__turns_wait(turns, 1, deadline_us);
    CHECK(clock_monotonic_us() >= deadline_us);
    exec__turn_end(&second);
    exec__turns_wait(turns, 1, INT64_MAX);
    exec__turns_free(turns);
}

TEST("a snapshot from before a table was opened to more readers is shown to none of them")
{
    static const char *const reads[] = {"SELECT id FROM p", "SELECT id FROM p WHERE id = 9",
                                        "SELECT max(id) FROM p",
                                        "INSERT INTO t SELECT id, 0 FROM p"};
    World w = open_world();
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        world_run(&w, "CREATE SHARED TABLE p (id BIGINT PRIMARY KEY); INSERT INTO p VALUES (9)");
        char sql[128];
        snprintf(sql, sizeof sql, "BEGIN; SELECT 1; %s; COMMIT", reads[i]);
        Answer answer = {.w = &w,
                         .meanwhile = "DELETE FROM p WHERE id = 9; INSERT INTO p VALUES (1); "
                                      "ALTER TABLE p SET ACCESS LEVEL PUBLIC",
                         .at = 2};
        CHECK_CODE(world_run_as(&w, 1, ROLE_USER, sql, &answer, NULL), E_CONFLICT);
        CHECK(!answer.meanwhile);
        Answer now = {.w = &w};
        CHECK_OK(world_run_as(&w, 1, ROLE_USER, "SELECT id FROM p", &now, e));
        CHECK_INT(now.last, 1);
        world_run(&w, "DROP TABLE p");
    }
    world_close(&w);
}

TEST("a target that got a higher role meanwhile is out of reach, of the first statement too")
{
    World w = open_world();
    world_run(&w, "CREATE USER up WITH PASSWORD 'long-enough-1' ROLE user");
    world_run(&w, "EXECUTE AS USER 'up' (INSERT INTO t VALUES (1, 1))");
    static const char *const requests[] = {
        "SELECT 1; EXECUTE AS USER 'up' (SELECT id FROM t)",
        "BEGIN; EXECUTE AS USER 'up' (SELECT id FROM t); COMMIT",
        "EXECUTE AS USER 'up' (SELECT id FROM t)", /* checked before it begins, and again */
        "EXECUTE AS USER 'up' (SELECT max(id) FROM t)",
        "EXECUTE AS USER 'up' (UPDATE t SET n = 2 WHERE id = 1)",
    };
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        world_run(&w, "ALTER USER up SET ROLE user");
        Answer answer = {.w = &w, .meanwhile = "ALTER USER up SET ROLE dba", .at = i < 2};
        CHECK_CODE(world_run_as(&w, 1, ROLE_SERVICE, requests[i], &answer, NULL),
                   E_PERMISSION_DENIED);
    }
    world_close(&w);
}

TEST("a write finds by its condition what was there before the table was opened to the writer")
{
    static const char *const writes[] = {"DELETE FROM p WHERE id = 9",
                                         "UPDATE p SET v = 1 WHERE v = 9"};
    World w = open_world();
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        world_run(&w, "CREATE SHARED TABLE p (id BIGINT PRIMARY KEY, v INT) "
                      "WITH (ACCESS_LEVEL = 'DBA'); INSERT INTO p VALUES (9, 9)");
        char sql[128];
        snprintf(sql, sizeof sql, "BEGIN; SELECT 1; %s; ROLLBACK", writes[i]);
        Answer answer = {.w = &w,
                         .meanwhile = "DELETE FROM p WHERE id = 9; "
                                      "ALTER TABLE p SET ACCESS LEVEL RESTRICTED",
                         .at = 2};
        CHECK_CODE(world_run_as(&w, 1, ROLE_SERVICE, sql, &answer, NULL), E_CONFLICT);
        CHECK(!answer.meanwhile);
        world_run(&w, "DROP TABLE p");
    }
    world_close(&w);
}

TEST("a target that nobody had used is made meanwhile with a role out of reach, and is reached")
{
    World w = open_world();
    Answer answer = {
        .w = &w, .meanwhile = "CREATE USER fresh WITH PASSWORD 'long-enough-1' ROLE dba", .at = 0};
    CHECK_CODE(world_run_as(&w, 1, ROLE_SERVICE, "EXECUTE AS USER 'fresh' (SELECT id FROM t)",
                            &answer, NULL),
               E_PERMISSION_DENIED);
    CHECK(!answer.meanwhile);
    world_close(&w);
}
