/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of exec/ share: the executor, the run of one statement, and the functions of the
 * statement families.
 *
 * I1. A partition is made in exec__partition() and nowhere else, from the session and the table.
 * I2. A statement reads through one ReadView, however many tables it names.
 * I3. With run->mode HOT_CACHED_ONLY nothing blocks: what would gives E_WOULD_BLOCK, and the caller
 *     starts the statement again on a worker.
 */
#pragma once

#include "exec/exec.h"
#include "sql/eval.h"

#include <stdatomic.h>

enum {
    EXEC_VIEWS_MAX = 64,
    EXEC_CONFLICT_TRIES_MAX = 200,         /* one of N that change one row wins per commit */
    EXEC_CLOCK_ROWS = 1000,                /* rows between two looks at the clock */
    EXEC_CACHED_ROWS_MAX = 1000,           /* rows a loop may visit for one statement */
    EXEC_CACHED_SQL_BYTES_MAX = 64 * 1024, /* longer texts are parsed by workers */
    EXEC_CACHED_INSERT_ROWS_MAX = 100,
    EXEC_NATIVE_BYTES_MAX = 64 * 1024 * 1024, /* rows kept to be sorted; above it DuckDB does it */
    EXEC_VIEW_ROWS_MAX = 200 * 1000,
    EXEC_RESULT_BYTES_MAX = 256 * 1024 * 1024,
    EXEC_ENGINE_WAIT_MS = 10 * 1000,
};

/* Columns of results and views, for static tables. */
#define COLUMN(name_, type_)                  \
    {                                         \
        .name = SLICE(name_), .type = (type_) \
    }
/* Of those that tell the rows of a view apart. */
#define KEY_COLUMN(name_, type_)                                   \
    {                                                              \
        .name = SLICE(name_), .type = (type_), .primary_key = true \
    }

typedef struct Transaction Transaction;
typedef struct OpenTransactions OpenTransactions;

struct Executor {
    Database *db;
    Jobs *jobs;
    ExecutorOptions options;
    struct PlanCache *plans;
    struct DeadRows *dead_rows;     /* where dead rows lie in their files */
    ExecView views[EXEC_VIEWS_MAX]; /* the newest first wins; filled before traffic */
    size_t view_count;
    ExecKillLive kill_live;
    void *builtin_contexts; /* of views.c */
    OpenTransactions *open;
    struct Turns *turns;     /* of writes that lose to ALTERs */
    atomic_bool is_stopping; /* relaxed: it orders nothing, and is asked for again and again */
};

/* One statement on its way. */
typedef struct Run {
    Executor *executor;
    const ExecRequest *request;
    Session session;       /* the effective one */
    bool is_impersonated;  /* inside EXECUTE AS USER */
    Slice text;            /* what the offsets of the tree count in … */
    uint32_t line, column; /* … and where it begins in the request */
    const Statement *statement;
    size_t index;
    Arena *arena;
    const ResultSink *sink;
    HotRead mode;
    int64_t deadline_us; /* monotonic; 0 = none */
    EvalContext eval;
    Transaction *transaction; /* between BEGIN and COMMIT, else NULL */
} Run;

/* ---- executor.c ---- */
/* The partition of a table that this session reads and writes. I1. */
Partition exec__partition(const Session *session, const Table *table);
/* Says whose turn it takes, and by whose right: that of the request, also for another user. */
void exec__own_intent(const Run *run, Intent *intent);
/* E_TIMEOUT once the deadline has passed; E_CANCELLED when nobody waits, E_SHUTTING_DOWN. */
CHECKED Code exec__check_time(const Run *run, Error *e);
/* A reference to a table of the catalog. E_TABLE_NOT_FOUND; E_INVALID_OPERATION for system.x. */
CHECKED Code exec__find_table(const Run *run, const TableName *name, Table **out, Error *e);
/* Gives the error of a failed `code` the place of a name in the statement, unless it has one.
 * Returns the code. */
CHECKED Code exec__place(const Run *run, uint32_t offset, Code code, Error *e);
Slice exec__namespace_of(const Run *run, const TableName *name);
/* What names mean in an expression over `schema` (may be NULL). */
BindContext exec__bind_context(const Run *run, const Schema *schema);
/* A copy whose text lives in the arena. */
Value exec__copy_value(const Value *value, Arena *arena);
/* Ends the statement with a message, no rows. */
void exec__end_message(const Run *run, size_t row_count, const char *message);
/* Plans one change of the catalog at a view; leaves *out NULL when there is nothing to do. */
typedef Code PlanChange(void *context, ReadView *view, CatalogChange **out, Error *e);
/* Plans, commits, waits; again after a conflict. run: NULL for the server itself. Workers only. */
CHECKED Code exec__change(Executor *executor, const Run *run, PlanChange *plan, void *context,
                          Error *e);
/* A fresh id for DEFAULT SNOWFLAKE_ID() and its like; context is the Database. */
Code exec__new_id(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e);

/* One statement of a request, parsed and allowed. */
typedef struct Prepared {
    Run run;
    struct Plan *plan; /* a reference, or NULL: the tree lives in the request's arena */
} Prepared;
/* Splits, parses, unwraps EXECUTE AS USER and checks the rights of every statement. On failure
 * nothing is left to release. With HOT_CACHED_ONLY it may give E_WOULD_BLOCK. */
CHECKED Code exec__prepare(Executor *executor, const ExecRequest *request, Arena *arena,
                           HotRead mode, Prepared **out, size_t *out_count, Error *e);
void exec__release(Prepared *prepared, size_t count);
/* Puts "Statement 2 failed: Already exists" before the text, and the place where it stands in the
 * request. Once per failure. */
CHECKED Code exec__name_failure(const Run *run, Error *e);

/* ---- rights.c ---- */
/* Whether the role may run a statement of this kind at all, before anything runs. */
CHECKED Code exec__check_rights(const Session *session, const Statement *statement, Error *e);
/* Whether `role` may impersonate somebody of role `target`; `is_self` when it is the same id. */
bool exec__may_impersonate(Role role, Role target, bool is_self);
typedef enum Access { ACCESS_READ, ACCESS_WRITE } Access;
bool exec__may_access(Role role, TableKind kind, AccessLevel level, Access access);
bool exec__may_create_table(Role role, TableKind kind); /* of its own for the test of the matrix */
/* Whether the role may learn from an answer what the rows of all partitions are like. */
bool exec__may_learn_of_rows(Role role, TableKind kind);
bool exec__may_alter_table(Role role, TableKind kind, AccessLevel level);
/* E_PERMISSION_DENIED; E_INVALID_OPERATION for SHARED tables inside EXECUTE AS USER. */
CHECKED Code exec__check_access(const Run *run, const Table *table, Access access, Error *e);
/* The kind a CREATE TABLE makes for this session. */
TableKind exec__table_kind(const Session *session, const CreateTable *create);

/* ---- the statement families ---- */
CHECKED Code exec__create_namespace(Run *run, Error *e);
CHECKED Code exec__drop_namespace(Run *run, Error *e);
CHECKED Code exec__create_table(Run *run, Error *e);
CHECKED Code exec__drop_table(Run *run, Error *e);
CHECKED Code exec__alter_table(Run *run, Error *e); /* alter.c */
AccessLevel exec__access_level(SqlAccess access);   /* PRIVATE when unset */

/* A resolved INSERT, UPDATE or DELETE. */
typedef struct Resolved {
    Intent *intent; /* a reference; NULL when nothing is to be committed */
    size_t affected;
    const char *verb;          /* "Inserted" */
    bool is_partial;           /* TRUNCATE: there are more rows */
    uint64_t last_seq;         /* once committed: the version that the last change replaced */
    uint32_t altered_table_id; /* after E_CONFLICT: it lost to an ALTER of this table; else 0 */
} Resolved;
/* Resolves at a new view; in a transaction at its view, and stages. */
CHECKED Code exec__resolve(Run *run, Resolved *out, Error *e);
/* Resolves, commits, resolves again after a conflict. Workers only. */
CHECKED Code exec__commit_dml(Run *run, Resolved *out, Error *e);
/* The same, and ends the statement. */
CHECKED Code exec__run_dml(Run *run, Error *e);
/* TRUNCATE: as many commits as it takes, each of at most COMMIT_ROWS_MAX rows. Workers only. */
CHECKED Code exec__run_truncate(Run *run, Error *e);
void exec__end_dml(const Run *run, const Resolved *resolved);

/* Runs a SELECT into the sink; the rest of SELECT is in exec/select.h. */
CHECKED Code exec__run_select(Run *run, Error *e);

/* ---- definition.c ---- */
/* How a column's default is shown: "NOW()", "'x'", NULL for none. */
Value exec__default_text(const Column *column, Arena *arena);
/* SHOW CREATE TABLE */
CHECKED Code exec__show_create_table(Run *run, Error *e);
/* KILL JOB, SHOW, DESCRIBE, SUBSCRIBE TO */
CHECKED Code exec__run_admin(Run *run, Error *e);
/* STORAGE FLUSH, STORAGE COMPACT */
CHECKED Code exec__run_storage(Run *run, Error *e);
/* STORAGE CHECK, BACKUP DATABASE, RESTORE DATABASE, EXPORT USER DATA, SHOW EXPORT */
CHECKED Code exec__run_keep(Run *run, Error *e);
/* SHOW MANIFEST, SHOW STATS */
CHECKED Code exec__run_figures(Run *run, Error *e);
/* CREATE, ALTER, DROP USER */
CHECKED Code exec__run_account(Run *run, Error *e);
/* A user record, deleted ones too; E_NOT_FOUND without text. */
CHECKED Code exec__find_user(Executor *executor, HotRead mode, Slice user_id, Arena *arena,
                             User *out, Error *e);
/* E_PERMISSION_DENIED when the user was dropped, or has a lower role by now. May read the disk. */
CHECKED Code exec__check_user(Executor *executor, Slice user_id, Role role, Arena *arena, Error *e);
