/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of a request: split, parse, unwrap EXECUTE AS USER, check the rights of every statement,
 * and only then run them one after the other. A refusal anywhere means that nothing ran; a failure
 * while they run leaves what the earlier ones did.
 */
#include "exec/dead_rows.h"
#include "exec/open.h"
#include "exec/plan_cache.h"
#include "exec/select.h"
#include "exec/transaction.h"
#include "exec/turns.h"
#include "exec/views.h"

#include "base/limits.h"
#include "os/clock.h"
#include "os/random.h"
#include "sql/sql.h"

#include <inttypes.h>
#include <stdlib.h>

Code executor_new(Database *db, Jobs *jobs, const ExecutorOptions *options, Executor **out,
                  Error *e)
{
    if (options->result_rows_max == 0)
        return fail(e, E_CONFIG, "the limit of result rows must not be 0");
    Executor *executor = x_new(Executor);
    executor->db = db;
    executor->jobs = jobs;
    executor->options = *options;
    executor->dead_rows = exec__dead_rows_new();
    executor->plans = exec__plans_new(options->plans_max ? options->plans_max : EXEC_PLANS_MAX);
    executor->open = exec__open_new();
    executor->turns = exec__turns_new();
    exec__add_builtin_views(executor);
    *out = executor;
    return OK;
}

void exec_leave(Executor *executor, atomic_bool *has_left)
{
    atomic_store_explicit(has_left, true, memory_order_relaxed); /* it hands nothing over */
    engine_pool_look(database_engine(executor->db));
}

void executor_free(Executor *executor)
{
    if (!executor)
        return;
    exec__plans_free(executor->plans);
    exec__dead_rows_free(executor->dead_rows);
    exec__open_free(executor->open);
    exec__turns_free(executor->turns);
    free(executor->builtin_contexts);
    free(executor);
}

void executor_stop(Executor *executor)
{
    if (!executor)
        return;
    atomic_store_explicit(&executor->is_stopping, true, memory_order_relaxed);
    engine_pool_stop(database_engine(executor->db));
}

Jobs *executor_jobs(Executor *executor)
{
    return executor->jobs;
}

void executor_add_view(Executor *executor, const ExecView *view)
{
    must(executor->view_count < EXEC_VIEWS_MAX);
    executor->views[executor->view_count++] = *view;
}

void exec__own_intent(const Run *run, Intent *intent)
{
    intent->owner = run->session.user;
    intent->actor = run->request->session.user;
    intent->actor_role = run->request->session.role;
}

Partition exec__partition(const Session *session, const Table *table)
{
    if (table->kind == TABLE_SHARED)
        return (Partition){table->id, 0};
    must(session->user != 0); /* 0 is the partition of everybody */
    return (Partition){table->id, session->user};
}

const atomic_bool *exec__has_left(const Run *run)
{
    return run->statement->kind == STATEMENT_SELECT ? run->request->has_left : NULL;
}

Code exec__check_time(const Run *run, Error *e)
{
    if (atomic_load_explicit(&run->executor->is_stopping, memory_order_relaxed))
        return fail(e, E_SHUTTING_DOWN, "the server is stopping");
    const atomic_bool *has_left = exec__has_left(run);
    if (has_left && atomic_load_explicit(has_left, memory_order_relaxed))
        return fail(e, E_CANCELLED, "nobody waits for its answer any more");
    if (run->deadline_us == 0 || clock_monotonic_us() < run->deadline_us)
        return OK;
    return fail(e, E_TIMEOUT, "exceeded %gs", run->request->timeout_ms / 1000.0);
}

Slice exec__namespace_of(const Run *run, const TableName *name)
{
    return name->namespace_name.size ? name->namespace_name : run->session.namespace_name;
}

Code exec__place(const Run *run, uint32_t offset, Code code, Error *e)
{
    if (code != OK && e && !e->line)
        sql_place(run->text, offset, &e->line, &e->column);
    return code;
}

static Code find_table(const Run *run, const TableName *name, Table **out, Error *e)
{
    Slice namespace_name = exec__namespace_of(run, name);
    if (catalog_is_system_namespace(namespace_name))
        return fail(e, E_INVALID_OPERATION, "System table '%.*s.%.*s' does not allow this",
                    SLICE_ARGS(namespace_name), SLICE_ARGS(name->name));
    Table *table =
        catalog_find_table(database_catalog(run->executor->db), namespace_name, name->name);
    if (!table)
        return fail(e, E_TABLE_NOT_FOUND, "Table '%.*s' not found in namespace '%.*s'",
                    SLICE_ARGS(name->name), SLICE_ARGS(namespace_name));
    *out = table;
    return OK;
}

Code exec__find_table(const Run *run, const TableName *name, Table **out, Error *e)
{
    return exec__place(run, name->offset, find_table(run, name, out, e), e);
}

BindContext exec__bind_context(const Run *run, const Schema *schema)
{
    return (BindContext){
        .text = run->text,
        .schema = schema,
        .parameters = run->request->params,
        .parameter_count = (uint32_t)run->request->param_count,
    };
}

Value exec__copy_value(const Value *value, Arena *arena)
{
    Value copy = *value;
    bool has_bytes = type_is_text(value->type) || value->type == TYPE_BYTES;
    if (has_bytes && !value->is_null)
        copy.bytes = arena_copy(arena, value->bytes);
    return copy;
}

void exec__end_message(const Run *run, size_t row_count, const char *message)
{
    run->sink->end(run->sink->context, row_count, message, run->session.user_id);
}

Code exec__name_failure(const Run *run, Error *e)
{
    SqlPiece piece = {run->text, run->line, run->column};
    sql_place_in_request(&piece, e);
    return wrap(e, "Statement %zu failed: %s", run->index + 1, code_info(e->code)->kind);
}

/* ---- ids ---- */

static const char crockford[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/* 48 bits of milliseconds and 80 random bits, as both UUIDv7 and ULID have them. */
static void time_and_random(uint8_t out[16])
{
    random_bytes(out, 16);
    uint64_t ms = (uint64_t)clock_wall_ms();
    for (int i = 0; i < 6; i++)
        out[i] = (uint8_t)(ms >> (8 * (5 - i)));
}

static Slice ulid(Arena *arena)
{
    uint8_t bytes[16];
    time_and_random(bytes);
    char *text = arena_alloc(arena, 27);
    /* 26 characters of 5 bits are 130: the first carries the two bits that are always 0. */
    for (int i = 0; i < 26; i++) {
        int bit = i * 5 - 2;
        unsigned v = 0;
        for (int b = bit; b < bit + 5; b++)
            v = v << 1 | (b < 0 ? 0u : (bytes[b / 8] >> (7 - b % 8)) & 1u);
        text[i] = crockford[v];
    }
    return slice_of(text, 26);
}

static Slice uuid_v7(Arena *arena)
{
    uint8_t bytes[16];
    time_and_random(bytes);
    bytes[6] = (uint8_t)(0x70 | (bytes[6] & 0x0f));
    bytes[8] = (uint8_t)(0x80 | (bytes[8] & 0x3f));
    CLEANUP(buffer_done) Buffer text = {0};
    uuid_print(bytes, &text);
    return arena_copy(arena, buffer_slice(&text));
}

/* For statements that only answer: their ids are in no commit, so they must be safe as they are. */
static Code give_id(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e)
{
    if (kind != DEFAULT_SNOWFLAKE_ID)
        return exec__new_id(context, kind, arena, out, e);
    uint64_t id;
    TRY(database_give_id(context, &id, e));
    *out = value_integer(TYPE_BIGINT, (int64_t)id);
    return OK;
}

Code exec__new_id(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e)
{
    Database *db = context;
    switch (kind) {
    case DEFAULT_SNOWFLAKE_ID:
        *out = value_integer(TYPE_BIGINT, (int64_t)database_next_id(db));
        return OK;
    case DEFAULT_UUID_V7:
        *out = value_text(uuid_v7(arena));
        return OK;
    case DEFAULT_ULID:
        *out = value_text(ulid(arena));
        return OK;
    default:
        return fail(e, E_INTERNAL, "no such id generator");
    }
}

/* ---- changes of the catalog ---- */

static Code change_once(Executor *executor, const Run *run, PlanChange *plan, void *context,
                        Error *e)
{
    /* R is read before the plan: a commit is in a new view slightly before the catalog in memory
     * has it, and a plan made in between must meet its guard. */
    uint64_t read_seq = database_last_seq(executor->db);
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(executor->db, HOT_BLOCKING, &view, e));
    CatalogChange *change = NULL;
    TRY(plan(context, view, &change, e));
    if (!change)
        return OK;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(read_seq);
    if (run)
        exec__own_intent(run, intent);
    intent_set_catalog_change(intent, change);
    intent->durable = true;
    view_close(TAKE(view));
    return database_commit(executor->db, intent, e);
}

Code exec__change(Executor *executor, const Run *run, PlanChange *plan, void *context, Error *e)
{
    Code code = E_CONFLICT;
    for (int i = 0; i < EXEC_CONFLICT_TRIES_MAX && code == E_CONFLICT; i++)
        code = change_once(executor, run, plan, context, e);
    if (code == E_CONFLICT)
        return fail(e, code, "it met other commits again and again; run the statement again");
    return code;
}

/* ---- preparing ---- */

static bool takes_parameters(const Statement *statement)
{
    switch (statement->kind) {
    case STATEMENT_INSERT:
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
    case STATEMENT_SELECT:
        return true;
    case STATEMENT_EXECUTE_AS:
        return takes_parameters(statement->execute_as.statement);
    default:
        return false;
    }
}

static Code check_parameters(const ExecRequest *request, size_t statement_count, Error *e)
{
    size_t count = request->param_count;
    if (count && statement_count > 1)
        return fail(e, E_PARAMS_WITH_BATCH,
                    "Parameters are not supported with more than one statement");
    if (count > SQL_PARAMETERS_MAX)
        return fail(e, E_INVALID_PARAMETER,
                    "Parameter count exceeded: maximum %d parameters allowed, got %zu",
                    SQL_PARAMETERS_MAX, count);
    for (size_t i = 0; i < count; i++) {
        const Value *value = &request->params[i];
        if (!value->is_null && value->type == TYPE_TEXT &&
            value->bytes.size > SQL_PARAMETER_BYTES_MAX)
            return fail(e, E_INVALID_PARAMETER,
                        "Parameter size exceeded: $%zu has %zu bytes, at most %d are allowed",
                        i + 1, value->bytes.size, SQL_PARAMETER_BYTES_MAX);
    }
    return OK;
}

static Code check_parameter_count(const ExecRequest *request, const Statement *statement, Error *e)
{
    if (request->param_count && !takes_parameters(statement))
        return fail(e, E_INVALID_PARAMETER, "Parameters not supported for %s statements",
                    sql_statement_name(statement->kind));
    if (request->param_count != statement->parameter_count)
        return fail(e, E_INVALID_PARAMETER,
                    "Parameter count mismatch: expected %" PRIu32 " parameters, got %zu",
                    statement->parameter_count, request->param_count);
    return OK;
}

static bool may_be_wrapped(StatementKind kind)
{
    return kind == STATEMENT_SELECT || kind == STATEMENT_INSERT || kind == STATEMENT_UPDATE ||
           kind == STATEMENT_DELETE;
}

/* Whether the caller may be the target, as that is stored now. Who is not stored is a user. */
static Code find_target(const Run *run, Slice target, User *out, bool *out_found, Error *e)
{
    const Session *caller = &run->request->session;
    Error not_found = {0};
    *out = (User){.role = ROLE_USER};
    Code code = exec__find_user(run->executor, run->mode, target, run->arena, out, &not_found);
    if (code != OK && code != E_NOT_FOUND) {
        *e = not_found;
        return code;
    }
    if (!exec__may_impersonate(caller->role, out->role, slice_equal(target, caller->user_id)))
        return fail(e, E_PERMISSION_DENIED, "Role '%s' is not allowed to EXECUTE AS USER '%.*s'",
                    role_name(caller->role), SLICE_ARGS(target));
    if (out->deleted_at_us)
        return fail(e, E_NOT_FOUND, "User '%.*s' not found", SLICE_ARGS(target));
    *out_found = code == OK;
    return OK;
}

Code exec__check_target(const Run *run, Error *e)
{
    User target;
    bool is_known;
    if (!run->is_impersonated)
        return OK;
    return find_target(run, run->session.user_id, &target, &is_known, e);
}

/* Makes `run` the run of the inner statement, as the target with the role of a user. */
static Code impersonate(Run *run, Error *e)
{
    Slice target = run->statement->execute_as.user;
    const Statement *inner = run->statement->execute_as.statement;
    if (!may_be_wrapped(inner->kind))
        return fail(e, E_INVALID_INPUT,
                    "EXECUTE AS USER can wrap SELECT, INSERT, UPDATE and DELETE, not %s",
                    sql_statement_name(inner->kind));
    User user;
    bool is_known = false;
    TRY(find_target(run, target, &user, &is_known, e));
    if (!is_known && run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the user id has no number yet");
    run->session.user = is_known ? user.id : 0; /* 0: gets its number when the statement runs */
    run->session.user_id = target;
    run->session.role = ROLE_USER;
    run->is_impersonated = true;
    run->statement = inner;
    return OK;
}

static Code parse(Executor *executor, const SqlPiece *piece, Prepared *prepared, Error *e)
{
    Run *run = &prepared->run;
    run->text = piece->text;
    run->line = piece->line;
    run->column = piece->column;
    prepared->plan = exec__plans_get(executor->plans, piece->text);
    if (!prepared->plan)
        prepared->plan = exec__plans_offer(executor->plans, piece->text);
    if (prepared->plan) {
        run->statement = prepared->plan->statement;
        return OK;
    }
    Statement *statement = NULL;
    TRY(sql_parse_piece(piece, run->arena, &statement, e));
    run->statement = statement;
    return OK;
}

static Code prepare_one(Executor *executor, const SqlPiece *piece, Prepared *prepared, Error *e)
{
    Run *run = &prepared->run;
    TRY(parse(executor, piece, prepared, e));
    TRY(check_parameter_count(run->request, run->statement, e));
    TRY(exec__check_rights(&run->session, run->statement, e));
    if (run->statement->kind == STATEMENT_EXECUTE_AS)
        TRY(impersonate(run, e));
    run->eval = (EvalContext){
        .user_id = run->session.user_id,
        .role = slice_of_text(role_name(run->session.role)),
        .new_id = run->statement->kind == STATEMENT_SELECT ? give_id : exec__new_id,
        .id_context = executor->db,
    };
    return OK;
}

void exec__release(Prepared *prepared, size_t count)
{
    for (size_t i = 0; i < count; i++)
        exec__plan_unref(prepared[i].plan);
}

Code exec__prepare(Executor *executor, const ExecRequest *request, Arena *arena, HotRead mode,
                   Prepared **out, size_t *out_count, Error *e)
{
    SqlPiece *pieces = NULL;
    size_t count = 0;
    TRY(sql_split(request->sql, arena, &pieces, &count, e));
    if (mode == HOT_CACHED_ONLY && count > 1)
        return fail(e, E_WOULD_BLOCK, "a batch runs on a worker");
    TRY(check_parameters(request, count, e));
    int64_t deadline_us =
        request->timeout_ms ? clock_monotonic_us() + (int64_t)request->timeout_ms * 1000 : 0;
    Prepared *prepared = arena_new_array(arena, Prepared, count);
    for (size_t i = 0; i < count; i++) {
        prepared[i].run = (Run){.executor = executor,
                                .request = request,
                                .session = request->session,
                                .index = i,
                                .arena = arena,
                                .mode = mode,
                                .deadline_us = deadline_us};
        Code code = prepare_one(executor, &pieces[i], &prepared[i], e);
        if (code != OK) {
            exec__release(prepared, i + 1);
            return code;
        }
    }
    *out = prepared;
    *out_count = count;
    return OK;
}

/* ---- running ---- */

static Code use_namespace(Run *run, Error *e)
{
    Slice name = run->statement->namespace_.name;
    if (!catalog_has_namespace(database_catalog(run->executor->db), name) &&
        !catalog_is_system_namespace(name))
        return fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' does not exist", SLICE_ARGS(name));
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Namespace switched to '%.*s'", SLICE_ARGS(name)));
    return OK;
}

static Code unsupported(const Run *run, Error *e)
{
    StatementKind kind = run->statement->kind;
    return fail(e, E_UNSUPPORTED, "%s - not supported by this server", sql_statement_name(kind));
}

static Code run_statement(Run *run, Error *e)
{
    TRY(exec__place(run, run->statement->offset, exec__check_in_transaction(run, e), e));
    run->eval.now_us = clock_wall_us();
    switch (run->statement->kind) {
    case STATEMENT_SELECT:
        return exec__run_select(run, e);
    case STATEMENT_INSERT:
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
        return exec__run_dml(run, e);
    case STATEMENT_TRUNCATE:
        return exec__run_truncate(run, e);
    case STATEMENT_CREATE_NAMESPACE:
        return exec__create_namespace(run, e);
    case STATEMENT_DROP_NAMESPACE:
        return exec__drop_namespace(run, e);
    case STATEMENT_USE_NAMESPACE:
        return use_namespace(run, e);
    case STATEMENT_CREATE_TABLE:
        return exec__create_table(run, e);
    case STATEMENT_DROP_TABLE:
        return exec__drop_table(run, e);
    case STATEMENT_ALTER_TABLE:
        return exec__alter_table(run, e);
    case STATEMENT_CREATE_USER:
    case STATEMENT_ALTER_USER:
    case STATEMENT_DROP_USER:
        return exec__run_account(run, e);
    case STATEMENT_SHOW_NAMESPACES:
    case STATEMENT_SHOW_TABLES:
    case STATEMENT_SHOW_STORAGES:
    case STATEMENT_SHOW_CREATE_TABLE:
    case STATEMENT_DESCRIBE_TABLE:
    case STATEMENT_KILL_JOB:
    case STATEMENT_KILL_LIVE_QUERY:
    case STATEMENT_SUBSCRIBE:
        return exec__run_admin(run, e);
    case STATEMENT_SHOW_MANIFEST:
    case STATEMENT_SHOW_STATS:
        return exec__run_figures(run, e);
    case STATEMENT_FLUSH_TABLE:
    case STATEMENT_FLUSH_ALL:
    case STATEMENT_COMPACT_TABLE:
    case STATEMENT_COMPACT_ALL:
        return exec__run_storage(run, e);
    case STATEMENT_STORAGE_CHECK:
    case STATEMENT_BACKUP:
    case STATEMENT_RESTORE:
    case STATEMENT_EXPORT_USER:
    case STATEMENT_SHOW_EXPORT:
        return exec__run_keep(run, e);
    case STATEMENT_BEGIN:
    case STATEMENT_COMMIT:
    case STATEMENT_ROLLBACK:
        return exec__run_transaction(run, e);
    case STATEMENT_EXECUTE_AS: /* unwrapped by exec__prepare */
    case STATEMENT_EXPLAIN:
        break;
    }
    return unsupported(run, e);
}

/* A request may run for long: who was dropped meanwhile, or has a lower role, reads no more. */
static Code check_caller(Run *run, Error *e)
{
    const Session *caller = &run->request->session;
    if (run->index == 0) /* looked at just now */
        return OK;
    return exec__check_user(run->executor, caller->user_id, caller->role, run->arena, e);
}

static Code run_one(Run *run, Error *e)
{
    TRY(check_caller(run, e));
    if (run->is_impersonated && run->session.user == 0) {
        User user = {0};
        TRY(exec_resolve_user(run->executor, run->session.user_id, run->arena, &user, e));
        if (user.deleted_at_us)
            return fail(e, E_NOT_FOUND, "User '%.*s' not found", SLICE_ARGS(run->session.user_id));
        run->session.user = user.id;
    }
    TRY(exec__check_time(run, e));
    return run_statement(run, e);
}

static Code run_all(Prepared *prepared, size_t count, const ResultSink *sink,
                    Transaction **io_transaction, Error *e)
{
    for (size_t i = 0; i < count; i++) {
        Run *run = &prepared[i].run;
        run->sink = sink;
        run->transaction = *io_transaction;
        sink->begin(sink->context, i);
        Code code = run_one(run, e);
        *io_transaction = run->transaction;
        if (code != OK)
            return exec__name_failure(run, e);
        if (run->statement->kind != STATEMENT_USE_NAMESPACE)
            continue;
        for (size_t later = i + 1; later < count; later++)
            prepared[later].run.session.namespace_name = run->statement->namespace_.name;
    }
    return OK;
}

Code exec_run(Executor *executor, const ExecRequest *request, Arena *arena, const ResultSink *sink,
              Error *e)
{
    Error local = {0};
    if (!e)
        e = &local;
    Prepared *prepared = NULL;
    size_t count = 0;
    TRY(exec__prepare(executor, request, arena, HOT_BLOCKING, &prepared, &count, e));
    Transaction *transaction = NULL;
    Code code = run_all(prepared, count, sink, &transaction, e);
    exec__release(prepared, count);
    return exec__end_request(transaction, code, e);
}
