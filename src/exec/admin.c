/* SPDX-License-Identifier: Apache-2.0
 *
 * KILL JOB, SHOW, DESCRIBE TABLE and SUBSCRIBE TO. SHOW answers with rows of the system
 * views, read as the session that asks but without their admin rule: what they show is no secret.
 */
#include "exec/views.h"

#include "data/json.h"
#include "os/random.h"
#include "sql/sql.h"

#include <inttypes.h>

/* ---- rows ---- */

typedef struct Rows {
    const Run *run;
    size_t count;
    Slice namespace_name; /* SHOW TABLES: only those; empty = all */
    size_t namespace_column;
} Rows;

static Code send_row(void *context, const Value *values, Error *e)
{
    Rows *rows = context;
    if (rows->namespace_name.size &&
        !slice_equal_ignoring_case(values[rows->namespace_column].bytes, rows->namespace_name))
        return OK;
    rows->count++;
    return rows->run->sink->row(rows->run->sink->context, values, e);
}

static void end_rows(const Rows *rows)
{
    rows->run->sink->end(rows->run->sink->context, rows->count, NULL, rows->run->session.user_id);
}

static Code show_view(Run *run, const char *name, Rows *rows, Error *e)
{
    Run as_system = *run;
    as_system.session.role = ROLE_SYSTEM;
    const ExecView *view = NULL;
    TRY(exec__find_view(&as_system, SLICE("system"), slice_of_text(name), &view, e));
    run->sink->columns(run->sink->context, view->columns, view->column_count);
    TRY(view->fill(view->context, &run->session, run->arena, send_row, rows, e));
    end_rows(rows);
    return OK;
}

static Code show_tables(Run *run, Error *e)
{
    Rows rows = {
        .run = run, .namespace_name = run->statement->namespace_.name, .namespace_column = 2};
    if (rows.namespace_name.size &&
        !catalog_has_namespace(database_catalog(run->executor->db), rows.namespace_name))
        return fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' does not exist",
                    SLICE_ARGS(rows.namespace_name));
    const ExecView *schemas = NULL;
    Run as_system = *run;
    as_system.session.role = ROLE_SYSTEM;
    TRY(exec__find_view(&as_system, SLICE("system"), SLICE("schemas"), &schemas, e));
    run->sink->columns(run->sink->context, schemas->columns, schemas->column_count);
    TRY(exec__each_latest_schema(run, send_row, &rows, e));
    end_rows(&rows);
    return OK;
}

/* ---- DESCRIBE TABLE ---- */

static const ResultColumn describe_columns[] = {
    COLUMN("column_name", TYPE_TEXT),    COLUMN("ordinal_position", TYPE_INT),
    COLUMN("column_id", TYPE_BIGINT),    COLUMN("data_type", TYPE_TEXT),
    COLUMN("is_nullable", TYPE_BOOLEAN), COLUMN("is_primary_key", TYPE_BOOLEAN),
    COLUMN("column_default", TYPE_TEXT), COLUMN("column_comment", TYPE_TEXT),
    COLUMN("schema_version", TYPE_INT),
};

static Code describe_columns_of(Rows *rows, const Schema *schema, Error *e)
{
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        Value values[] = {
            value_text(column->name),
            value_integer(TYPE_INT, i + 1),
            value_integer(TYPE_BIGINT, column->field_id),
            value_text(slice_of_text(type_info(column->type)->name)),
            value_boolean(!column->not_null),
            value_boolean(column->primary_key),
            exec__default_text(column, rows->run->arena),
            value_null(TYPE_TEXT),
            value_integer(TYPE_INT, schema->version),
        };
        TRY(send_row(rows, values, e));
    }
    return OK;
}

/* HISTORY: the definitions before, too, the oldest first. */
static Code describe_past(Rows *rows, const Table *table, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Table *past;
    size_t count;
    TRY(view_open(rows->run->executor->db, HOT_BLOCKING, &view, e));
    TRY(catalog_read_past(view_snapshot(view), table->id, rows->run->arena, &past, &count, e));
    for (size_t i = 0; i < count; i++)
        if (past[i].schema->version < table->schema->version)
            TRY(describe_columns_of(rows, past[i].schema, e));
    return OK;
}

static Code describe_table(Run *run, Error *e)
{
    const TableName *name = &run->statement->table.name;
    Slice namespace_name = exec__namespace_of(run, name);
    const Schema *schema = NULL;
    CLEANUP(table_unref_ptr) Table *table = NULL;
    Rows rows = {.run = run};
    if (catalog_is_system_namespace(namespace_name)) {
        const ExecView *view = NULL;
        TRY(exec__find_view(run, namespace_name, name->name, &view, e));
        schema = exec__view_schema(view, run->arena);
    } else {
        TRY(exec__find_table(run, name, &table, e));
        schema = table->schema;
    }
    run->sink->columns(run->sink->context, describe_columns,
                       sizeof describe_columns / sizeof *describe_columns);
    if (table && run->statement->table.with_history)
        TRY(describe_past(&rows, table, e));
    TRY(describe_columns_of(&rows, schema, e));
    end_rows(&rows);
    return OK;
}

/* ---- KILL JOB ---- */

static Code kill_job(Run *run, Error *e)
{
    Slice id = run->statement->id;
    Code code = jobs_kill(run->executor->jobs, id, e);
    if (code == E_NOT_FOUND)
        return fail(e, E_NOT_FOUND, "Job '%.*s' not found", SLICE_ARGS(id));
    TRY(code);
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Job %.*s killed: cancelled", SLICE_ARGS(id)));
    return OK;
}

/* ---- KILL LIVE QUERY ---- */

void executor_set_kill_live(Executor *executor, const ExecKillLive *kill)
{
    executor->kill_live = *kill;
}

static Code kill_live(Run *run, Error *e)
{
    const ExecKillLive *kill = &run->executor->kill_live;
    Slice id = run->statement->id;
    if (!kill->kill)
        return fail(e, E_UNSUPPORTED, "There are no live queries here");
    TRY(kill->kill(kill->context, &run->session, id, e));
    exec__end_message(run, 0, arena_printf(run->arena, "Live query killed: %.*s", SLICE_ARGS(id)));
    return OK;
}

/* ---- SUBSCRIBE TO: HTTP can only tell where to go ---- */

static const ResultColumn subscribe_columns[] = {
    COLUMN("status", TYPE_TEXT),
    COLUMN("ws_url", TYPE_TEXT),
    COLUMN("subscription", TYPE_JSON),
    COLUMN("message", TYPE_TEXT),
};

static Code check_subscribed(Run *run, const TableName *name, Error *e)
{
    if (slice_equal_ignoring_case(name->namespace_name, SLICE("system"))) {
        const ExecView *view;
        TRY(exec__find_view(run, name->namespace_name, name->name, &view, e));
        if (!view->live_sources)
            return fail(e, E_UNSUPPORTED, "system.%s cannot be subscribed to", view->name);
        return OK;
    }
    CLEANUP(table_unref_ptr) Table *table = NULL;
    TRY(exec__find_table(run, name, &table, e));
    return exec__check_access(run, table, ACCESS_READ, e);
}

static Code subscribe(Run *run, Error *e)
{
    const TableName *name = &run->statement->subscribe.select->from->table;
    TRY(check_subscribed(run, name, e));
    char *id = arena_printf(run->arena, "sub-%.*s-%.*s-%016" PRIx64,
                            SLICE_ARGS(name->namespace_name), SLICE_ARGS(name->name), random_u64());
    CLEANUP(buffer_done) Buffer json = {0};
    buffer_add_char(&json, '{');
    json_add_name(&json, "id");
    json_add_text(&json, id);
    buffer_add_char(&json, ',');
    json_add_name(&json, "sql");
    json_add_string(&json, run->statement->text);
    buffer_add_char(&json, '}');
    Value subscription = value_text(buffer_slice(&json));
    subscription.type = TYPE_JSON;
    Value values[] = {
        value_text(SLICE("active")),
        value_text(SLICE("/v1/ws")),
        subscription,
        value_text(SLICE("Open the WebSocket and send this SQL in a subscribe message")),
    };
    Rows rows = {.run = run};
    run->sink->columns(run->sink->context, subscribe_columns,
                       sizeof subscribe_columns / sizeof *subscribe_columns);
    TRY(send_row(&rows, values, e));
    end_rows(&rows);
    return OK;
}

Code exec__run_admin(Run *run, Error *e)
{
    Rows rows = {.run = run};
    switch (run->statement->kind) {
    case STATEMENT_SHOW_NAMESPACES:
        return show_view(run, "namespaces", &rows, e);
    case STATEMENT_SHOW_STORAGES:
        return show_view(run, "storages", &rows, e);
    case STATEMENT_SHOW_TABLES:
        return show_tables(run, e);
    case STATEMENT_SHOW_CREATE_TABLE:
        return exec__show_create_table(run, e);
    case STATEMENT_DESCRIBE_TABLE:
        return describe_table(run, e);
    case STATEMENT_KILL_LIVE_QUERY:
        return kill_live(run, e);
    case STATEMENT_KILL_JOB:
        return kill_job(run, e);
    case STATEMENT_SUBSCRIBE:
        return subscribe(run, e);
    default:
        return fail(e, E_INTERNAL, "not an administrative statement");
    }
}
