/* SPDX-License-Identifier: Apache-2.0
 *
 * The executor on a real database in a folder: accounts with lockout, time limits, the loop's way,
 * and statements of many threads against each other.
 */
#include "fixture.h"
#include "test.h"

#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void make_table(World *w)
{
    world_run(w, "CREATE NAMESPACE app");
    world_run(w, "CREATE USER TABLE app.t (id BIGINT PRIMARY KEY, n INT, s TEXT)");
}

/* ---- where an error stands ---- */

TEST("an error of a running statement tells its place in the statement and not in the request, or "
     "none")
{
    static const struct {
        const char *sql;
        uint32_t line, column;
    } cases[] = {
        {"SELECT CAST('x' AS INT)", 1, 8},
        {"SELECT 1;\n\n  SELECT CAST('x' AS INT)", 3, 10},
        {"BEGIN; SELECT CAST('x' AS INT); COMMIT", 1, 15},
        {"\n/* a\nb */ SELECT CAST('x' AS INT)", 3, 13},
        {"SELECT 1; SELECT nosuch FROM app.t", 1, 18},
        {"SELECT 1; SELECT sum(nosuch) FROM app.t", 1, 22},
        {"SELECT 1;\nSELECT * FROM app.nosuch", 2, 15},
        {"\nSELECT id FROM app.nosuch WHERE id = 1", 2, 16},
        {"SELECT 1;\nINSERT INTO app.nosuch VALUES (1)", 2, 13},
        {"SELECT 1;\nINSERT INTO app.t (id, nosuch) VALUES (1, 2)", 2, 24},
        {"INSERT INTO app.t (id, ID) VALUES (1, 2)", 1, 24},
        {"UPDATE app.t SET nosuch = 1 WHERE id = 1", 1, 18},
        {"EXECUTE AS USER 'zoe' (UPDATE app.t SET id = 1 WHERE id = 1)", 1, 41},
        {"ALTER TABLE app.nosuch ADD x INT", 1, 13},
        {"ALTER TABLE app.t ADD COLUMN id INT", 1, 30},
        {"ALTER TABLE app.t RENAME nosuch TO x", 1, 26},
        {"SELECT 1;\nDESCRIBE TABLE app.nosuch", 2, 16},
        {"BEGIN;\n BEGIN; COMMIT", 2, 2},
        {"SELECT 1; COMMIT", 1, 11},
        {"SELECT 1; ROLLBACK", 1, 11},
        {"BEGIN; SELECT 1; KILL JOB 'FL-1'", 1, 18},
        {"INSERT INTO app.t VALUES (1)", 1, 26},
        {"INSERT INTO app.t VALUES\n (1, 'a', 2 + 3, 4)", 2, 18},
        {"INSERT INTO app.t VALUES (1, 'a'), (2)", 1, 36},
        {"INSERT INTO app.t SELECT 1", 1, 19},
        {"SELECT 1; STORAGE FLUSH TABLE app.nosuch", 1, 31},
        {"STORAGE FLUSH ALL IN nosuch", 1, 22},
        {"STORAGE COMPACT ALL IN NAMESPACE nosuch", 1, 34},
        {"STORAGE CHECK nosuch", 1, 15},
        {"STORAGE CHECK 'nosuch'", 1, 15},
        {"BACKUP DATABASE nosuch TO 'x'", 1, 17},
        {"BACKUP DATABASE system TO 'x'", 1, 17},
        {"BACKUP DATABASE TO '../x'", 1, 20},
        {"BACKUP DATABASE app TO '../x'", 1, 24},
        {"RESTORE DATABASE app FROM 'nosuch'", 1, 18}, /* it has tables */
        {"RESTORE DATABASE other FROM 'nosuch'", 1, 29},
        {"RESTORE DATABASE \"a b\" FROM 'nosuch'", 1, 18},
    };
    World w = world_open();
    make_table(&w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int again = 0; again < 3; again++) { /* the text is in the plan cache at last */
            Error error = {0};
            Answer answer = {0};
            CHECK(world_try(&w, cases[i].sql, &answer, &error) != OK);
            if (error.line != cases[i].line || error.column != cases[i].column)
                test_failed(__FILE__, __LINE__, "%s: at %u:%u, want %u:%u (%s)", cases[i].sql,
                            error.line, error.column, cases[i].line, cases[i].column, error.text);
        }
    }
    world_close(&w);
}

/* ---- accounts ---- */

static _Atomic int64_t now_us;
static int64_t fixed_clock(void)
{
    return now_us;
}

TEST("setup is needed until root has a password, and can be done once")
{
    World w = world_open();
    Arena *arena = arena_new();
    User user = {0};
    Slice none = {0}, good = SLICE("correct horse"), root = SLICE("root battery");
    CHECK(exec_needs_setup(w.executor));
    CHECK_OK(exec_ensure_root(w.executor, none, e));
    CHECK(exec_needs_setup(w.executor));
    CHECK_CODE(exec_login(w.executor, SLICE("root"), none, arena, &user, e), E_SETUP_REQUIRED);
    CHECK_CODE(exec_login(w.executor, SLICE("root"), good, arena, &user, e), E_INVALID_CREDENTIALS);
    CHECK_CODE(exec_setup(w.executor, SLICE("root"), good, root, none, arena, &user, e),
               E_INVALID_INPUT);
    CHECK_CODE(exec_setup(w.executor, SLICE("ann"), SLICE("short"), root, none, arena, &user, e),
               E_WEAK_PASSWORD);
    CHECK(exec_needs_setup(w.executor));
    CHECK_OK(exec_setup(w.executor, SLICE("ann"), good, root, SLICE("a@b.c"), arena, &user, e));
    CHECK_INT(user.role, ROLE_DBA);
    CHECK(!exec_needs_setup(w.executor));
    CHECK_CODE(exec_setup(w.executor, SLICE("bea"), good, root, none, arena, &user, e),
               E_ALREADY_CONFIGURED);
    CHECK_OK(exec_login(w.executor, SLICE("root"), root, arena, &user, e));
    CHECK_INT(user.role, ROLE_SYSTEM);
    CHECK_OK(exec_login(w.executor, SLICE("ann"), good, arena, &user, e));
    CHECK_CODE(exec_login(w.executor, SLICE("ann"), root, arena, &user, e), E_INVALID_CREDENTIALS);
    /* A configured password does not replace the stored one. */
    CHECK_OK(exec_ensure_root(w.executor, SLICE("from the file"), e));
    CHECK_OK(exec_login(w.executor, SLICE("root"), root, arena, &user, e));
    arena_free(arena);
    world_close(&w);
}

TEST("five wrong passwords lock an account for 15 minutes, and a right one resets the count")
{
    World w = world_open();
    Arena *arena = arena_new();
    User user = {0};
    now_us = clock_wall_us();
    clock_replace(fixed_clock, NULL);
    world_run(&w, "CREATE USER eve WITH PASSWORD 'evespassword' ROLE user");
    Slice right = SLICE("evespassword"), wrong = SLICE("x"), eve = SLICE("eve");
    for (int i = 0; i < 4; i++)
        CHECK_CODE(exec_login(w.executor, eve, wrong, arena, &user, e), E_INVALID_CREDENTIALS);
    CHECK_OK(exec_login(w.executor, eve, right, arena, &user, e));
    for (int i = 0; i < 5; i++)
        CHECK_CODE(exec_login(w.executor, eve, wrong, arena, &user, e), E_INVALID_CREDENTIALS);
    CHECK_CODE(exec_login(w.executor, eve, right, arena, &user, e), E_ACCOUNT_LOCKED);
    now_us += 14 * 60 * 1000000LL;
    CHECK_CODE(exec_login(w.executor, eve, right, arena, &user, e), E_ACCOUNT_LOCKED);
    now_us += 61 * 1000000LL;
    CHECK_OK(exec_login(w.executor, eve, right, arena, &user, e));
    world_run(&w, "DROP USER eve");
    CHECK_CODE(exec_login(w.executor, eve, right, arena, &user, e), E_INVALID_CREDENTIALS);
    clock_replace(NULL, NULL);
    arena_free(arena);
    world_close(&w);
}

static bool is_erased(World *w, Arena *arena)
{
    JobInfo *jobs;
    size_t count;
    CHECK_OK(jobs_list(w->jobs, arena, &jobs, &count, e));
    return count > 0 && strcmp(jobs[0].type, "user_cleanup") == 0 &&
           strncmp(jobs[0].id, "UC-", 3) == 0 && jobs[0].status == JOB_COMPLETED;
}

TEST("a dropped user is not erased once the grace period is over, or comes back afterwards")
{
    World w = world_open(); /* whose grace period is 0 */
    Arena *arena = arena_new();
    Error error = {0};
    Answer answer = {0};
    User user = {0};
    world_run(&w, "CREATE USER eve WITH PASSWORD 'evespassword' ROLE user EMAIL 'eve@example.org'");
    world_run(&w, "DROP USER eve");
    while (!is_erased(&w, arena))
        sched_yield();
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(w.db));
    CHECK_OK(catalog_get_user(snapshot, HOT_BLOCKING, SLICE("eve"), arena, &user, e));
    hot_snapshot_free(snapshot);
    CHECK(user.erasure == ERASURE_DONE);
    CHECK_INT(user.email.size + user.password_hash.size, 0);
    CHECK_CODE(world_run_as(&w, 0, ROLE_DBA, "ALTER USER eve RESTORE", &answer, &error),
               E_INVALID_OPERATION);
    CHECK_CODE(world_run_as(&w, 0, ROLE_DBA, "CREATE USER eve WITH PASSWORD 'x' ROLE user", &answer,
                            &error),
               E_ALREADY_EXISTS);
    arena_free(arena);
    world_close(&w);
}

TEST("SHOW MANIFEST shows somebody the partition of another")
{
    World w = world_open();
    Answer answer = {0};
    world_run(&w, "CREATE NAMESPACE figures; CREATE USER TABLE figures.t (id BIGINT PRIMARY KEY)");
    world_run(&w, "INSERT INTO figures.t VALUES (1)");
    world_run(&w, "EXECUTE AS USER 'zoe' (INSERT INTO figures.t VALUES (1))");
    CHECK_OK(world_run_as(&w, 0, ROLE_USER, "SHOW MANIFEST", &answer, e));
    CHECK_INT(answer.rows, 1);
    CHECK_OK(world_run_as(&w, 0, ROLE_DBA, "SHOW MANIFEST", &answer, e));
    CHECK_INT(answer.rows, 2);
    world_close(&w);
}

TEST("a user id gets one number for ever, also when it is registered later")
{
    World w = world_open();
    Arena *arena = arena_new();
    User first = {0}, again = {0}, login = {0};
    CHECK_OK(exec_resolve_user(w.executor, SLICE("zoe"), arena, &first, e));
    CHECK(first.id != 0);
    CHECK(!first.registered);
    CHECK_OK(exec_resolve_user(w.executor, SLICE("zoe"), arena, &again, e));
    CHECK_INT(first.id, again.id);
    CHECK_CODE(exec_login(w.executor, SLICE("zoe"), SLICE(""), arena, &login, e),
               E_INVALID_CREDENTIALS);
    world_run(&w, "CREATE USER zoe WITH PASSWORD 'zoespassword' ROLE user");
    CHECK_OK(exec_login(w.executor, SLICE("zoe"), SLICE("zoespassword"), arena, &login, e));
    CHECK_INT(login.id, first.id);
    CHECK_CODE(exec_resolve_user(w.executor, SLICE("a/../b"), arena, &again, e), E_INVALID_INPUT);
    CHECK_CODE(exec_resolve_user(w.executor, SLICE(""), arena, &again, e), E_INVALID_INPUT);
    arena_free(arena);
    world_close(&w);
}

/* ---- limits ---- */

static void fill(World *w, int from, int count)
{
    Buffer sql = {0};
    buffer_add_text(&sql, "INSERT INTO t VALUES ");
    for (int i = 0; i < count; i++)
        buffer_printf(&sql, "%s(%d, 0, 'row')", i ? ", " : "", from + i);
    buffer_add_u8(&sql, 0);
    world_run(w, sql.data);
    buffer_done(&sql);
}

TEST("more rows than the limit are an error and never a silent cut")
{
    World w = world_open();
    make_table(&w);
    fill(&w, 0, 101);
    Answer answer = {0};
    CHECK_CODE(world_try(&w, "SELECT * FROM t", &answer, e), E_TOO_LARGE);
    CHECK_CODE(world_try(&w, "SELECT a.id FROM t a JOIN t b ON a.id = b.id", &answer, e),
               E_TOO_LARGE);
    CHECK_OK(world_try(&w, "SELECT * FROM t LIMIT 100", &answer, e));
    CHECK_INT(answer.rows, 100);
    world_close(&w);
}

/* Every look at the clock is a second later. */
static int64_t ticking_clock(void)
{
    return atomic_fetch_add(&now_us, 1000000) + 1000000;
}

TEST("a statement that runs past its time is stopped, in walks too")
{
    World w = world_open();
    make_table(&w);
    for (int i = 0; i < 4; i++)
        fill(&w, i * 10000, 10000);
    Answer answer = {0};
    now_us = 1000000000;
    clock_replace(NULL, ticking_clock);
    CHECK_CODE(world_try(&w, "SELECT count(*) FROM t WHERE s LIKE '%x%'", &answer, e), E_TIMEOUT);
    CHECK_CODE(world_try(&w, "UPDATE t SET n = 1 WHERE s LIKE '%r%'", &answer, e), E_TIMEOUT);
    clock_replace(NULL, NULL);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t WHERE n = 1"), 0);
    world_close(&w);
}

/* ---- the loop's way ---- */

typedef struct Waiter {
    Mutex lock;
    Cond ended;
    ExecPending *pending;
} Waiter;

static void on_done(void *context, ExecPending *pending)
{
    Waiter *waiter = context;
    MUTEX_SCOPE(&waiter->lock);
    waiter->pending = pending;
    cond_signal(&waiter->ended);
}

static ExecOutcome try_sql(World *w, const char *sql, Answer *answer, Code *out_code)
{
    Arena *arena = arena_new();
    ResultSink sink = world_sink(answer);
    ExecRequest request = {.session = world_session(w, 0, ROLE_SYSTEM), .sql = slice_of_text(sql)};
    Waiter waiter = {0};
    mutex_init(&waiter.lock);
    cond_init(&waiter.ended);
    Error e = {0};
    *out_code = OK;
    ExecOutcome outcome =
        exec_try(w->executor, &request, arena, &sink, on_done, &waiter, out_code, &e);
    if (outcome == EXEC_PENDING) {
        mutex_lock(&waiter.lock);
        while (!waiter.pending)
            cond_wait(&waiter.ended, &waiter.lock);
        mutex_unlock(&waiter.lock);
        *out_code = exec_finish(w->executor, waiter.pending, &sink, &e);
    }
    cond_done(&waiter.ended);
    mutex_done(&waiter.lock);
    arena_free(arena);
    return outcome;
}

TEST("the loop answers what is short, waits for commits, and moves everything else")
{
    static const struct {
        const char *sql;
        ExecOutcome want;
        Code code;
    } rows[] = {
        {"INSERT INTO t VALUES (1, 1, 'a')", EXEC_PENDING, OK},
        {"INSERT INTO t VALUES (1, 1, 'a')", EXEC_ENDED, E_ALREADY_EXISTS},
        {"UPDATE t SET n = 2 WHERE id = 1", EXEC_PENDING, OK},
        {"UPDATE t SET n = 2 WHERE id = 1", EXEC_ENDED, OK},
        {"SELECT n FROM t WHERE id = 1", EXEC_ENDED, OK},
        {"SELECT * FROM t ORDER BY n LIMIT 3", EXEC_ENDED, OK},
        {"SELECT 1", EXEC_ENDED, OK},
        {"SELECT nix FROM t", EXEC_ENDED, E_COLUMN_NOT_FOUND},
        {"SELEC", EXEC_ENDED, E_INVALID_SQL},
        {"DELETE FROM t WHERE id = 1", EXEC_PENDING, OK},
        {"SELECT sum(n) FROM t", EXEC_MOVE, OK},
        {"SELECT * FROM system.namespaces", EXEC_MOVE, OK},
        {"INSERT INTO t SELECT * FROM t", EXEC_MOVE, OK},
        {"UPDATE t SET n = (SELECT 1) WHERE id = 1", EXEC_MOVE, OK},
        {"CREATE NAMESPACE other", EXEC_MOVE, OK},
        {"SELECT 1; SELECT 2", EXEC_MOVE, OK},
        {"EXECUTE AS USER 'new' (SELECT 1)", EXEC_MOVE, OK},
        {"STORAGE FLUSH TABLE app.t", EXEC_MOVE, OK},
    };
    World w = world_open();
    make_table(&w);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Answer answer = {0};
        Code code = OK;
        ExecOutcome outcome = try_sql(&w, rows[i].sql, &answer, &code);
        if (outcome != rows[i].want || code != rows[i].code)
            test_failed(__FILE__, __LINE__, "%s: outcome %d, code %d", rows[i].sql, outcome, code);
        CHECK_INT(answer.ends, outcome != EXEC_MOVE && code == OK);
    }
    Answer answer = {0};
    Code code = OK;
    fill(&w, 0, 2000); /* above the loop's budget of rows */
    CHECK_INT(try_sql(&w, "SELECT count(*) FROM t", &answer, &code), EXEC_MOVE);
    CHECK_INT(try_sql(&w, "DELETE FROM t WHERE s = 'none'", &answer, &code), EXEC_MOVE);
    CHECK_INT(try_sql(&w, "SELECT id FROM t ORDER BY _seq DESC LIMIT 1", &answer, &code),
              EXEC_ENDED);
    CHECK_INT(answer.last, 1999);
    world_close(&w);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 25 };

typedef struct Crowd {
    World *w;
    _Atomic int won, lost;
} Crowd;

static void increment(void *argument)
{
    Crowd *crowd = argument;
    for (int i = 0; i < ROUNDS; i++) {
        Answer answer = {0};
        CHECK_OK(world_try(crowd->w, "UPDATE t SET n = n + 1 WHERE id = 1", &answer, e));
    }
}

static void run_crowd(Crowd *crowd, ThreadFunction *function)
{
    Thread *threads[THREADS] = {0};
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(thread_start("crowd", THREAD_ANY, function, crowd, &threads[i], e));
    for (int i = 0; i < THREADS; i++)
        thread_join(threads[i]);
}

TEST("increments of one row by many threads are all counted")
{
    World w = world_open();
    make_table(&w);
    world_run(&w, "INSERT INTO t VALUES (1, 0, '')");
    Crowd crowd = {.w = &w};
    run_crowd(&crowd, increment);
    CHECK_INT(world_number(&w, "SELECT n FROM t WHERE id = 1"), THREADS * ROUNDS);
    world_close(&w);
}

static void insert_same(void *argument)
{
    Crowd *crowd = argument;
    for (int i = 0; i < ROUNDS; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d, 0, '')", i);
        Answer answer = {0};
        Error e = {0};
        Code code = world_try(crowd->w, sql, &answer, &e);
        CHECK(code == OK || code == E_ALREADY_EXISTS);
        atomic_fetch_add(code == OK ? &crowd->won : &crowd->lost, 1);
    }
}

TEST("of many INSERTs of one key exactly one wins")
{
    World w = world_open();
    make_table(&w);
    Crowd crowd = {.w = &w};
    run_crowd(&crowd, insert_same);
    CHECK_INT(crowd.won, ROUNDS);
    CHECK_INT(crowd.lost, (THREADS - 1) * ROUNDS);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t"), ROUNDS);
    world_close(&w);
}

static void create_same(void *argument)
{
    Crowd *crowd = argument;
    for (int i = 0; i < 5; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "CREATE USER TABLE app.c%d (id INT PRIMARY KEY)", i);
        Answer answer = {0};
        Error e = {0};
        Code code = world_try(crowd->w, sql, &answer, &e);
        CHECK(code == OK || code == E_ALREADY_EXISTS);
        atomic_fetch_add(code == OK ? &crowd->won : &crowd->lost, 1);
    }
}

TEST("of many CREATE TABLEs of one name exactly one wins")
{
    World w = world_open();
    make_table(&w);
    Crowd crowd = {.w = &w};
    run_crowd(&crowd, create_same);
    CHECK_INT(crowd.won, 5);
    world_close(&w);
}

static _Atomic bool flushing;

static void flush_often(void *argument)
{
    World *w = argument;
    while (atomic_load(&flushing)) {
        Answer answer = {0};
        CHECK_OK(world_try(w, "STORAGE FLUSH TABLE app.t", &answer, e));
    }
}

TEST("increments are counted while the table is flushed again and again")
{
    World w = world_open();
    make_table(&w);
    fill(&w, 0, 20);
    Thread *flusher = NULL;
    atomic_store(&flushing, true);
    CHECK_OK(thread_start("flush", THREAD_ANY, flush_often, &w, &flusher, e));
    Crowd crowd = {.w = &w};
    run_crowd(&crowd, increment);
    atomic_store(&flushing, false);
    thread_join(flusher);
    CHECK_INT(world_number(&w, "SELECT n FROM t WHERE id = 1"), THREADS * ROUNDS);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t"), 20);
    CHECK_INT(world_number(&w, "SELECT count(DISTINCT id) FROM t"), 20);
    world_close(&w);
}

/* ---- the end ---- */

static Executor *stopped_in_between;

static int stop_in_between(const char *operation, const char *path)
{
    (void)operation;
    if (stopped_in_between && strstr(path, "/.check"))
        executor_stop(stopped_in_between);
    return 0;
}

static void fill_with(World *w, int count)
{
    Buffer sql = {0};
    buffer_add_text(&sql, "INSERT INTO app.t VALUES (0, 0, '')");
    for (int i = 1; i < count; i++)
        buffer_printf(&sql, ", (%d, 0, '')", i);
    buffer_add_char(&sql, 0);
    world_run(w, sql.data);
    buffer_done(&sql);
}

TEST("STORAGE CHECK that a stopping server waits for until its statement timeout")
{
    World w = world_open();
    Answer answer = {0};
    Error error = {0};
    make_table(&w);
    fill_with(&w, 5000);
    stopped_in_between = w.executor;
    file_set_fault(stop_in_between);
    CHECK_CODE(world_try(&w, "STORAGE CHECK", &answer, &error), E_SHUTTING_DOWN);
    file_set_fault(NULL);
    CHECK_INT(answer.ends, 0);
    world_close(&w);
}

static void stop_later(void *context)
{
    World *w = (World *)context;
    Answer answer = {0};
    Error error = {0};
    /* Once that many runs are through, the other statement has long begun. */
    for (int i = 0; i < 50; i++)
        (void)world_try(w, "SELECT count(*) FROM app.t a, app.t b WHERE a.id = b.id", &answer,
                        &error);
    executor_stop(w->executor);
}

TEST("a statement of DuckDB that a stopping server waits for until its statement timeout")
{
    World w = world_open();
    Answer answer = {0};
    Error error = {0};
    Thread *thread = NULL;
    make_table(&w);
    fill_with(&w, 5000);
    CHECK_OK(thread_start("stop", THREAD_WORKER, stop_later, &w, &thread, e));
    Code code = world_try(
        &w, "SELECT sum(a.id * b.id + c.id * d.id) FROM app.t a, app.t b, app.t c, app.t d",
        &answer, &error);
    CHECK(code == E_SHUTTING_DOWN || code == E_CANCELLED);
    CHECK_INT(answer.ends, 0);
    thread_join(thread);
    world_close(&w);
}

static Code ask_and_leave(World *w, const char *sql, bool at_once)
{
    Answer answer = {.has_left = at_once, .leaves_at_row = !at_once};
    Error error = {0};
    return world_try(w, sql, &answer, &error);
}

TEST("a SELECT runs on although nobody waits for it, or a write is lost because nobody does")
{
    World w = world_open();
    make_table(&w);
    fill_with(&w, 5000);
    for (int at_once = 0; at_once < 2; at_once++) {
        CHECK_CODE(
            ask_and_leave(&w, "SELECT id FROM t WHERE n < id AND id < 8 ORDER BY _seq", at_once),
            E_CANCELLED);
        CHECK_CODE(ask_and_leave(&w, "SELECT name FROM system.namespaces; SELECT 1", at_once),
                   E_CANCELLED);
        CHECK_CODE(ask_and_leave(&w, "SELECT a.id FROM t a, t b LIMIT 1; SELECT 1", at_once),
                   E_CANCELLED);
    }
    CHECK_CODE(ask_and_leave(&w, "SELECT 1; UPDATE t SET n = 7 WHERE n = 0", true), E_CANCELLED);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t WHERE n = 7"), 0);
    CHECK_CODE(ask_and_leave(&w, "INSERT INTO t SELECT id + 10000, 8, s FROM t", true), OK);
    CHECK_CODE(ask_and_leave(&w, "UPDATE t SET n = 8 WHERE n = 0", true), OK);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t WHERE n = 8"), 10000);
    CHECK_CODE(ask_and_leave(&w, "BEGIN; UPDATE t SET n = 9 WHERE n = 8; SELECT 1; COMMIT", true),
               E_CANCELLED);
    CHECK_INT(world_number(&w, "SELECT count(*) FROM t WHERE n = 9"), 0);
    world_close(&w);
}

typedef struct Leaver {
    World *w;
    Answer *answer; /* of the statement of another thread, which fills it meanwhile */
} Leaver;

static void leave_later(void *context)
{
    Leaver *leaver = context;
    /* Once that many runs are through, the other statement has long begun. */
    for (int i = 0; i < 20; i++) {
        Answer other = {0};
        Error error = {0};
        (void)world_try(leaver->w, "SELECT count(*) FROM t a, t b WHERE a.id = b.id", &other,
                        &error);
    }
    exec_leave(leaver->w->executor, &leaver->answer->has_left);
}

TEST("a client that leaves has a worker and DuckDB until its statement's timeout")
{
    World w = world_open();
    Answer answer = {0};
    Leaver leaver = {.w = &w, .answer = &answer};
    Error error = {0};
    Thread *thread = NULL;
    make_table(&w);
    fill_with(&w, 5000);
    CHECK_OK(thread_start("leave", THREAD_WORKER, leave_later, &leaver, &thread, e));
    CHECK_CODE(world_try(&w, "SELECT sum(a.id * b.id + c.id * d.id) FROM t a, t b, t c, t d",
                         &answer, &error),
               E_CANCELLED);
    CHECK_INT(answer.ends, 0);
    thread_join(thread);
    world_close(&w);
}

typedef struct SpaceWatch {
    Database *db;
    _Atomic size_t tables; /* of the namespace, when it was last looked at */
    _Atomic size_t halves; /* commits after which some were there and some not */
} SpaceWatch;

static void watch_space(void *context, const CommitGroup *group)
{
    SpaceWatch *watch = context;
    static const Slice names[] = {SLICE("a"), SLICE("b"), SLICE("c")};
    size_t there = catalog_has_namespace(database_catalog(watch->db), SLICE("shop"));
    size_t tables = 0;
    (void)group;
    for (size_t i = 0; i < 3; i++) {
        Table *table = catalog_find_table(database_catalog(watch->db), SLICE("shop"), names[i]);
        tables += table != NULL;
        table_unref(table);
    }
    watch->tables = tables;
    watch->halves += there + tables != 0 && there + tables != 4;
}

TEST("a namespace dropped in more than one commit: a disk that fails in between leaves half of it")
{
    World w = world_open();
    SpaceWatch watch = {.db = w.db};
    world_run(&w, "CREATE NAMESPACE shop; CREATE TABLE shop.a (id INT PRIMARY KEY);"
                  "CREATE TABLE shop.b (id INT PRIMARY KEY); CREATE TABLE shop.c (id INT PRIMARY "
                  "KEY); INSERT INTO shop.b VALUES (1)");
    database_add_sink(w.db, (ChangeSink){watch_space, &watch, NULL});
    world_run(&w, "INSERT INTO shop.a VALUES (1)");
    CHECK_INT(watch.tables, 3);
    world_run(&w, "DROP NAMESPACE shop CASCADE");
    CHECK_INT(watch.tables, 0);
    CHECK_INT(watch.halves, 0);
    world_close(&w);
}
