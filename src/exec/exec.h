/* SPDX-License-Identifier: Apache-2.0
 *
 * Running SQL for a session: text in, results into a sink. This is where rights are checked, where
 * the partition is taken from the session (never from SQL text), and where a statement goes to the
 * native executor or to DuckDB.
 */
#pragma once

#include "jobs/jobs.h"
#include "table/view.h"

#include <stdatomic.h>

/* Who runs the statement. The partition of USER and STREAM tables is `user` and nothing else. */
typedef struct Session {
    uint64_t user; /* numeric id */
    Slice user_id; /* text id */
    Role role;
    Slice namespace_name;      /* of names without one; "default" when the request names none */
    bool is_loopback;          /* the peer */
    int64_t credentials_at_us; /* as the token says; statements do not look at it */
} Session;

typedef struct ResultColumn {
    Slice name;
    Type type;
    bool primary_key, not_null, unique;
} ResultColumn;

/* Where results go. Called in order: begin, then for row results columns and rows, then end; per
 * statement. A statement that is started again elsewhere begins again: begin() discards what came
 * since the last begin() of that index. */
typedef struct ResultSink {
    void *context;
    void (*begin)(void *context, size_t statement_index);
    void (*columns)(void *context, const ResultColumn *columns, size_t count);
    CHECKED Code (*row)(void *context, const Value *values,
                        Error *e); /* E_TOO_LARGE: result over its limit */
    /* message: NULL for row results; row_count: rows returned or affected; as_user: effective
     * user */
    void (*end)(void *context, size_t row_count, const char *message, Slice as_user);
} ResultSink;

typedef struct ExecRequest {
    Session session;
    Slice sql;
    const Value *params; /* $1 is params[0]; types as sent: BOOLEAN, BIGINT, DOUBLE, TEXT or NULL */
    size_t param_count;
    uint32_t timeout_ms;
    /* Nobody waits for the answer any more (exec_leave): a SELECT ends with E_CANCELLED, and so its
     * request. What writes is finished. NULL: nobody leaves. */
    const atomic_bool *has_left;
} ExecRequest;

typedef struct ExecutorOptions {
    uint32_t flush_wait_ms; /* STORAGE FLUSH answers after the job ended or this long */
    size_t result_rows_max; /* hard cap; more is an error, never a silent cut */
    uint32_t bcrypt_cost;
    size_t plans_max;       /* parsed statements kept; 0 = EXEC_PLANS_MAX */
    bool complex_passwords; /* new passwords need a character of each kind */
    bool duckdb_only;       /* for tests: no SELECT of a table runs natively */
} ExecutorOptions;

typedef struct Executor Executor;
CHECKED Code executor_new(Database *db, Jobs *jobs, const ExecutorOptions *options, Executor **out,
                          Error *e);
/* The server stops: what runs ends soon with E_SHUTTING_DOWN, and so does whatever comes. Any
 * thread; accepts NULL. */
void executor_stop(Executor *executor);
void executor_free(Executor *executor); /* accepts NULL */
/* Sets the has_left of a request that may run. Any thread, loops too. */
void exec_leave(Executor *executor, atomic_bool *has_left);
Jobs *executor_jobs(Executor *executor);

/* Runs the whole request on this thread, which must be a worker. The failing statement is named in
 * the error's text: "Statement 2 failed: Already exists: …". */
CHECKED Code exec_run(Executor *executor, const ExecRequest *request, Arena *arena,
                      const ResultSink *sink, Error *e);

/* On a loop thread: tries to run without blocking.
 *   EXEC_ENDED   it ran (or failed: *out_code); the sink is filled
 *   EXEC_PENDING it waits for its commit; `done` will be called on the committer thread, after
 *                which exec_finish() on the loop fills the sink
 *   EXEC_MOVE    nothing happened; run exec_run on a worker
 * The request and the arena must live until the end. */
typedef enum ExecOutcome { EXEC_ENDED, EXEC_PENDING, EXEC_MOVE } ExecOutcome;
typedef struct ExecPending ExecPending;
typedef void ExecDone(void *context, ExecPending *pending);
ExecOutcome exec_try(Executor *executor, const ExecRequest *request, Arena *arena,
                     const ResultSink *sink, ExecDone *done, void *context, Code *out_code,
                     Error *e);
/* Loop thread, after `done`. Frees `pending`. E_CONFLICT means: run exec_run on a worker (the
 * statement is resolved again). */
CHECKED Code exec_finish(Executor *executor, ExecPending *pending, const ResultSink *sink,
                         Error *e);

typedef Code ExecRow(void *row_context, const Value *values, Error *e);
/* Virtual tables (system.live …) that live elsewhere register here at start: rows are made when
 * read. */
typedef struct ExecView {
    const char *namespace_name, *name; /* "system", "live" */
    const ResultColumn *columns;
    size_t column_count;
    bool admin_only;
    /* What its rows show (LIVE_ON_…): then live queries can follow it, and its primary_key columns
     * tell the rows apart. 0: they cannot. */
    unsigned live_sources;
    uint64_t live_figures; /* LiveView.figures */
    /* Calls `row` for each row with column_count values. */
    CHECKED Code (*fill)(void *context, const Session *session, Arena *arena, ExecRow *row,
                         void *row_context, Error *e);
    void *context;
} ExecView;
/* Copies the struct, borrows what it points to; hides an older view of that name. At most
 * EXEC_VIEWS_MAX; before traffic. */
void executor_add_view(Executor *executor, const ExecView *view);
struct LiveHub;
/* Those that live queries can follow, to their hub. Once all are added; before traffic. */
void executor_follow_views(Executor *executor, struct LiveHub *hub);
/* What KILL LIVE QUERY 'id' does; E_NOT_FOUND when the session may kill no such query. Without it
 * the statement is refused. */
typedef struct ExecKillLive {
    CHECKED Code (*kill)(void *context, const Session *session, Slice live_id, Error *e);
    void *context;
} ExecKillLive;
void executor_set_kill_live(Executor *executor, const ExecKillLive *kill);

/* Whether a session may fetch what that user exported: its own, or as an administrator who may act
 * as that user. */
bool exec_may_fetch_export(const Session *session, const User *owner);

/* ---- accounts (used by api/ for the auth routes and WebSocket authentication); workers only where
 * they say so ---- */
/* Finds or makes the numeric id of a user text id (commits a record when new). Workers only. */
CHECKED Code exec_resolve_user(Executor *executor, Slice user_id, Arena *arena, User *out,
                               Error *e);
/* Checks a password with lockout (5 failures: 15 minutes). E_INVALID_CREDENTIALS, E_ACCOUNT_LOCKED,
 * E_SETUP_REQUIRED (root without a password and an empty one given). Workers only: bcrypt takes a
 * quarter of a second. */
CHECKED Code exec_login(Executor *executor, Slice user_id, Slice password, Arena *arena, User *out,
                        Error *e);
/* True while root has no password. Workers only. */
bool exec_needs_setup(Executor *executor);
/* First-time setup: sets root's password and creates a dba. Workers only. */
CHECKED Code exec_setup(Executor *executor, Slice user_id, Slice password, Slice root_password,
                        Slice email, Arena *arena, User *out, Error *e);
/* Makes root (role system) exist; sets its password when one is configured and none is stored. At
 * start. */
CHECKED Code exec_ensure_root(Executor *executor, Slice configured_password, Error *e);
