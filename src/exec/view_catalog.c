/* SPDX-License-Identifier: Apache-2.0
 *
 * What the catalog holds, as system views: namespaces, tables, their past definitions, columns,
 * users. A password hash is never shown, to nobody.
 */
#include "exec/views.h"

#include "data/json.h"
#include "live/live.h"

#include <inttypes.h>

enum { USERS_PAGE = 1000 };

/* ---- tables as JSON ---- */

static Slice table_id(const Table *table, Arena *arena)
{
    return slice_of_text(arena_printf(arena, "%.*s:%.*s", SLICE_ARGS(table->namespace_name),
                                      SLICE_ARGS(table->name)));
}

static Slice options_json(const Table *table, Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_printf(&out, "{\"table_type\":\"%s\",\"durability\":\"%s\"",
                  table_kind_name(table->kind), table->durable ? "sync" : "async");
    if (table->kind == TABLE_SHARED)
        buffer_printf(&out, ",\"access_level\":\"%s\"", access_level_name(table->access));
    if (table->ttl_s)
        buffer_printf(&out, ",\"ttl_seconds\":%" PRIu32, table->ttl_s);
    if (table->flush_rows)
        buffer_printf(&out, ",\"flush_rows\":%" PRIu32, table->flush_rows);
    if (table->flush_interval_s)
        buffer_printf(&out, ",\"flush_interval_seconds\":%" PRIu32, table->flush_interval_s);
    if (table->feed_window_s)
        buffer_printf(&out, ",\"feed_window_seconds\":%" PRIu32, table->feed_window_s);
    if (table->feed_window_bytes)
        buffer_printf(&out, ",\"feed_window_bytes\":%" PRIu64, table->feed_window_bytes);
    buffer_add_char(&out, '}');
    return arena_copy(arena, buffer_slice(&out));
}

static Slice columns_json(const Schema *schema, Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_add_char(&out, '[');
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        buffer_printf(&out, "%s{\"column_id\":%" PRIu32 ",\"column_name\":", i ? "," : "",
                      column->field_id);
        json_add_string(&out, column->name);
        buffer_printf(&out, ",\"ordinal_position\":%" PRIu32 ",\"data_type\":", i + 1);
        json_add_text(&out, type_info(column->type)->wire);
        buffer_printf(&out, ",\"is_nullable\":%s,\"is_primary_key\":%s,\"default_value\":",
                      column->not_null ? "false" : "true", column->primary_key ? "true" : "false");
        Value shown = exec__default_text(column, arena);
        if (shown.is_null)
            buffer_add_text(&out, "null");
        else
            json_add_string(&out, shown.bytes);
        buffer_add_char(&out, '}');
    }
    buffer_add_char(&out, ']');
    return arena_copy(arena, buffer_slice(&out));
}

/* ---- system.namespaces ---- */

static const ResultColumn namespaces_columns[] = {
    KEY_COLUMN("namespace_id", TYPE_TEXT), COLUMN("name", TYPE_TEXT),
    COLUMN("created_at", TYPE_TIMESTAMP),  COLUMN("options", TYPE_JSON),
    COLUMN("table_count", TYPE_INT),
};

static Code fill_namespaces(const RowTarget *to, Error *e)
{
    Catalog *catalog = database_catalog(to->executor->db);
    Namespace *namespaces = NULL;
    Table **tables = NULL;
    size_t count = 0, table_count = 0;
    catalog_list_namespaces(catalog, to->arena, &namespaces, &count);
    catalog_list_tables(catalog, to->arena, &tables, &table_count);
    Code code = OK;
    for (size_t i = 0; i < count && code == OK; i++) {
        int64_t in_it = 0;
        for (size_t k = 0; k < table_count; k++)
            in_it += slice_equal_ignoring_case(tables[k]->namespace_name, namespaces[i].name);
        Value values[] = {
            value_text(namespaces[i].name),
            value_text(namespaces[i].name),
            cell_time(namespaces[i].created_at_us),
            cell_json(SLICE("{}")),
            cell_int(in_it),
        };
        code = SEND_ROW(to, namespaces_columns, values, e);
    }
    for (size_t i = 0; i < table_count; i++)
        table_unref(tables[i]);
    return code;
}

/* ---- system.tables, system.schemas ---- */

static const ResultColumn tables_columns[] = {
    KEY_COLUMN("namespace_id", TYPE_TEXT), KEY_COLUMN("table_name", TYPE_TEXT),
    COLUMN("table_type", TYPE_TEXT),       COLUMN("storage_id", TYPE_TEXT),
    COLUMN("version", TYPE_INT),           COLUMN("options", TYPE_JSON),
    COLUMN("comment", TYPE_TEXT),          COLUMN("updated_at", TYPE_TIMESTAMP),
    COLUMN("created_at", TYPE_TIMESTAMP),
};

static Code tables_row(const RowTarget *to, const Table *table, Error *e)
{
    Value values[] = {
        value_text(table->namespace_name),
        value_text(table->name),
        cell_text(table_kind_name(table->kind)),
        cell_text("local"),
        cell_int(table->schema->version),
        cell_json(options_json(table, to->arena)),
        value_null(TYPE_TEXT),
        cell_time(table->updated_at_us),
        cell_time(table->created_at_us),
    };
    return SEND_ROW(to, tables_columns, values, e);
}

static Code fill_tables(const RowTarget *to, Error *e)
{
    return exec__each_table(to, tables_row, e);
}

static const ResultColumn schemas_columns[] = {
    KEY_COLUMN("table_id", TYPE_TEXT),    COLUMN("table_name", TYPE_TEXT),
    COLUMN("namespace_id", TYPE_TEXT),    COLUMN("table_type", TYPE_TEXT),
    COLUMN("created_at", TYPE_TIMESTAMP), KEY_COLUMN("schema_version", TYPE_INT),
    COLUMN("columns", TYPE_JSON),         COLUMN("table_comment", TYPE_TEXT),
    COLUMN("updated_at", TYPE_TIMESTAMP), COLUMN("options", TYPE_JSON),
    COLUMN("access_level", TYPE_TEXT),    COLUMN("is_latest", TYPE_BOOLEAN),
    COLUMN("storage_id", TYPE_TEXT),      COLUMN("use_user_storage", TYPE_BOOLEAN),
};

static Code schemas_row(const RowTarget *to, const Table *table, bool is_latest, Error *e)
{
    bool shared = table->kind == TABLE_SHARED;
    Value values[] = {
        value_text(table_id(table, to->arena)),
        value_text(table->name),
        value_text(table->namespace_name),
        cell_text(table_kind_name(table->kind)),
        cell_time(table->created_at_us),
        cell_int(table->schema->version),
        cell_json(columns_json(table->schema, to->arena)),
        value_null(TYPE_TEXT),
        cell_time(table->updated_at_us),
        cell_json(options_json(table, to->arena)),
        shared ? cell_text(access_level_name(table->access)) : value_null(TYPE_TEXT),
        value_boolean(is_latest),
        cell_text("local"),
        value_boolean(false),
    };
    return SEND_ROW(to, schemas_columns, values, e);
}

static Code latest_row(const RowTarget *to, const Table *table, Error *e)
{
    return schemas_row(to, table, true, e);
}

/* The catalog in memory may be older than the snapshot: what it has as the latest is the latest. */
static Code schemas_rows(const RowTarget *to, const Table *table, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Table *past;
    size_t count;
    TRY(view_open(to->executor->db, HOT_BLOCKING, &view, e));
    TRY(catalog_read_past(view_snapshot(view), table->id, to->arena, &past, &count, e));
    for (size_t i = 0; i < count; i++)
        if (past[i].schema->version < table->schema->version)
            TRY(schemas_row(to, &past[i], false, e));
    return latest_row(to, table, e);
}

static Code fill_schemas(const RowTarget *to, Error *e)
{
    return exec__each_table(to, schemas_rows, e);
}

Code exec__each_latest_schema(Run *run, ExecRow *row, void *context, Error *e)
{
    const RowTarget to = {run->executor, &run->session, run->arena, row, context};
    return exec__each_table(&to, latest_row, e);
}

/* ---- system.columns ---- */

static const ResultColumn columns_columns[] = {
    KEY_COLUMN("namespace_id", TYPE_TEXT), KEY_COLUMN("table_name", TYPE_TEXT),
    COLUMN("version", TYPE_INT),           COLUMN("column_id", TYPE_BIGINT),
    KEY_COLUMN("column_name", TYPE_TEXT),  COLUMN("comment", TYPE_TEXT),
    COLUMN("data_type", TYPE_TEXT),        COLUMN("default_value", TYPE_TEXT),
    COLUMN("ordinal", TYPE_INT),           COLUMN("nullable", TYPE_BOOLEAN),
    COLUMN("primary_key", TYPE_BOOLEAN),   COLUMN("primary_key_pos", TYPE_INT),
};

static Code columns_rows(const RowTarget *to, const Table *table, Error *e)
{
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        Value values[] = {
            value_text(table->namespace_name),
            value_text(table->name),
            cell_int(table->schema->version),
            value_integer(TYPE_BIGINT, column->field_id),
            value_text(column->name),
            value_null(TYPE_TEXT),
            cell_text(type_info(column->type)->name),
            exec__default_text(column, to->arena),
            cell_int(i + 1),
            value_boolean(!column->not_null),
            value_boolean(column->primary_key),
            column->primary_key ? cell_int(1) : value_null(TYPE_INT),
        };
        TRY(SEND_ROW(to, columns_columns, values, e));
    }
    return OK;
}

static Code fill_columns(const RowTarget *to, Error *e)
{
    return exec__each_table(to, columns_rows, e);
}

/* ---- system.users ---- */

static const ResultColumn users_columns[] = {
    KEY_COLUMN("user_id", TYPE_TEXT),
    COLUMN("password_hash", TYPE_TEXT),
    COLUMN("role", TYPE_TEXT),
    COLUMN("email", TYPE_TEXT),
    COLUMN("auth_type", TYPE_TEXT),
    COLUMN("auth_data", TYPE_JSON),
    COLUMN("storage_mode", TYPE_TEXT),
    COLUMN("storage_id", TYPE_TEXT),
    COLUMN("failed_login_attempts", TYPE_INT),
    COLUMN("locked_until", TYPE_TIMESTAMP),
    COLUMN("last_login_at", TYPE_TIMESTAMP),
    COLUMN("created_at", TYPE_TIMESTAMP),
    COLUMN("updated_at", TYPE_TIMESTAMP),
    COLUMN("last_seen", TYPE_TIMESTAMP),
    COLUMN("deleted_at", TYPE_TIMESTAMP),
};

static Code users_row(const RowTarget *to, const User *user, Error *e)
{
    Value values[] = {
        value_text(user->user_id),
        user->password_hash.size ? cell_text("***") : value_null(TYPE_TEXT),
        cell_text(role_name(user->role)),
        cell_text_or_null(user->email),
        cell_text_or_null(user->auth_type),
        value_null(TYPE_JSON),
        cell_text("table"),
        value_null(TYPE_TEXT),
        cell_int(user->failed_logins),
        cell_time(user->locked_until_us),
        cell_time(user->last_login_us),
        cell_time(user->created_at_us),
        cell_time(user->updated_at_us),
        value_null(TYPE_TIMESTAMP),
        cell_time(user->deleted_at_us),
    };
    return SEND_ROW(to, users_columns, values, e);
}

static Code fill_users(const RowTarget *to, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(to->executor->db, HOT_BLOCKING, &view, e));
    CLEANUP(arena_free_ptr) Arena *page = arena_new();
    CLEANUP(buffer_done) Buffer after = {0};
    for (;;) {
        User *users = NULL;
        size_t count = 0;
        arena_reset(page);
        TRY(catalog_list_users(view_snapshot(view), buffer_slice(&after), USERS_PAGE, page, &users,
                               &count, e));
        for (size_t i = 0; i < count; i++)
            if (users[i].registered)
                TRY(users_row(to, &users[i], e));
        if (count < USERS_PAGE)
            return OK;
        buffer_clear(&after);
        buffer_add_slice(&after, users[count - 1].user_id);
    }
}

static const BuiltinView views[] = {
    BUILTIN_VIEW("system", "namespaces", namespaces_columns, true, fill_namespaces,
                 LIVE_ON_CATALOG),
    BUILTIN_VIEW("system", "tables", tables_columns, true, fill_tables, LIVE_ON_CATALOG),
    BUILTIN_VIEW("system", "schemas", schemas_columns, true, fill_schemas, LIVE_ON_CATALOG),
    BUILTIN_VIEW("system", "table_schemas", schemas_columns, true, fill_schemas, LIVE_ON_CATALOG),
    BUILTIN_VIEW("system", "columns", columns_columns, true, fill_columns, LIVE_ON_CATALOG),
    BUILTIN_VIEW("system", "users", users_columns, true, fill_users, LIVE_ON_USERS),
};

BuiltinViews exec__catalog_views(void)
{
    return (BuiltinViews){views, COUNT(views)};
}
