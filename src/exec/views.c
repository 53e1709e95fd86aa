/* SPDX-License-Identifier: Apache-2.0
 *
 * The system views: rows made when they are read, out of the catalog, the jobs and the counters.
 * They are found by name among the views of the executor, where other folders add their own. Names
 * and columns are those of the original's clients; what has no meaning here reads as NULL.
 *
 * A password hash is never shown, to nobody.
 */
#include "exec/exec_int.h"

#include "data/json.h"
#include "live/live.h"

#include <inttypes.h>

#define COLUMN(name_, type_)                                  \
    {                                                         \
        .name = {(name_), sizeof(name_) - 1}, .type = (type_) \
    }
/* Of those that tell rows apart. */
#define KEY_COLUMN(name_, type_)                                                   \
    {                                                                              \
        .name = {(name_), sizeof(name_) - 1}, .type = (type_), .primary_key = true \
    }
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { USERS_PAGE = 1000 };

/* Where the rows of a view go. */
typedef struct Filler {
    Executor *executor;
    const Session *session;
    Arena *arena;
    ExecRow *row;
    void *context;
} Filler;

static Value text(const char *s)
{
    return value_text(slice_of_text(s));
}

static Value text_or_null(Slice s)
{
    return s.size ? value_text(s) : value_null(TYPE_TEXT);
}

static Value json(Slice s)
{
    Value value = value_text(s);
    value.type = TYPE_JSON;
    return value;
}

static Value time_or_null(int64_t us)
{
    return us ? value_integer(TYPE_TIMESTAMP, us) : value_null(TYPE_TIMESTAMP);
}

static Value number(int64_t v)
{
    return value_integer(TYPE_INT, v);
}

Value exec__default_text(const Column *column, Arena *arena)
{
    switch (column->default_kind) {
    case DEFAULT_NONE:
        return value_null(TYPE_TEXT);
    case DEFAULT_NOW:
        return text("NOW()");
    case DEFAULT_SNOWFLAKE_ID:
        return text("SNOWFLAKE_ID()");
    case DEFAULT_UUID_V7:
        return text("UUID_V7()");
    case DEFAULT_ULID:
        return text("ULID()");
    case DEFAULT_CURRENT_USER:
        return text("CURRENT_USER()");
    case DEFAULT_LITERAL:
        break;
    }
    if (column->default_value.is_null)
        return text("NULL");
    CLEANUP(buffer_done) Buffer out = {0};
    value_print(&column->default_value, &out);
    return value_text(arena_copy(arena, buffer_slice(&out)));
}

/* ---- walks over the catalog ---- */

typedef Code TableVisit(const Filler *filler, const Table *table, Error *e);

static Code each_table(const Filler *filler, TableVisit *visit, Error *e)
{
    Table **tables = NULL;
    size_t count = 0;
    catalog_list_tables(database_catalog(filler->executor->db), filler->arena, &tables, &count);
    Code code = OK;
    for (size_t i = 0; i < count; i++) {
        if (code == OK)
            code = visit(filler, tables[i], e);
        table_unref(tables[i]);
    }
    return code;
}

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

static Code fill_namespaces(const Filler *filler, Error *e)
{
    Catalog *catalog = database_catalog(filler->executor->db);
    Namespace *namespaces = NULL;
    Table **tables = NULL;
    size_t count = 0, table_count = 0;
    catalog_list_namespaces(catalog, filler->arena, &namespaces, &count);
    catalog_list_tables(catalog, filler->arena, &tables, &table_count);
    Code code = OK;
    for (size_t i = 0; i < count && code == OK; i++) {
        int64_t in_it = 0;
        for (size_t k = 0; k < table_count; k++)
            in_it += slice_equal_ignoring_case(tables[k]->namespace_name, namespaces[i].name);
        Value values[] = {
            value_text(namespaces[i].name),
            value_text(namespaces[i].name),
            time_or_null(namespaces[i].created_at_us),
            json(SLICE("{}")),
            number(in_it),
        };
        code = filler->row(filler->context, values, e);
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

static Code tables_row(const Filler *filler, const Table *table, Error *e)
{
    Value values[] = {
        value_text(table->namespace_name),
        value_text(table->name),
        text(table_kind_name(table->kind)),
        text("local"),
        number(table->schema->version),
        json(options_json(table, filler->arena)),
        value_null(TYPE_TEXT),
        time_or_null(table->updated_at_us),
        time_or_null(table->created_at_us),
    };
    return filler->row(filler->context, values, e);
}

static Code fill_tables(const Filler *filler, Error *e)
{
    return each_table(filler, tables_row, e);
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

static Code schemas_row(const Filler *filler, const Table *table, bool is_latest, Error *e)
{
    bool shared = table->kind == TABLE_SHARED;
    Value values[] = {
        value_text(table_id(table, filler->arena)),
        value_text(table->name),
        value_text(table->namespace_name),
        text(table_kind_name(table->kind)),
        time_or_null(table->created_at_us),
        number(table->schema->version),
        json(columns_json(table->schema, filler->arena)),
        value_null(TYPE_TEXT),
        time_or_null(table->updated_at_us),
        json(options_json(table, filler->arena)),
        shared ? text(access_level_name(table->access)) : value_null(TYPE_TEXT),
        value_boolean(is_latest),
        text("local"),
        value_boolean(false),
    };
    return filler->row(filler->context, values, e);
}

static Code latest_row(const Filler *filler, const Table *table, Error *e)
{
    return schemas_row(filler, table, true, e);
}

/* The catalog in memory may be older than the snapshot: what it has as the latest is the latest. */
static Code schemas_rows(const Filler *filler, const Table *table, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Table *past;
    size_t count;
    TRY(view_open(filler->executor->db, HOT_BLOCKING, &view, e));
    TRY(catalog_read_past(view_snapshot(view), table->id, filler->arena, &past, &count, e));
    for (size_t i = 0; i < count; i++)
        if (past[i].schema->version < table->schema->version)
            TRY(schemas_row(filler, &past[i], false, e));
    return latest_row(filler, table, e);
}

static Code fill_schemas(const Filler *filler, Error *e)
{
    return each_table(filler, schemas_rows, e);
}

Code exec__each_latest_schema(Run *run, ExecRow *row, void *context, Error *e)
{
    Filler filler = {run->executor, &run->session, run->arena, row, context};
    return each_table(&filler, latest_row, e);
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

static Code columns_rows(const Filler *filler, const Table *table, Error *e)
{
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        Value values[] = {
            value_text(table->namespace_name),
            value_text(table->name),
            number(table->schema->version),
            value_integer(TYPE_BIGINT, column->field_id),
            value_text(column->name),
            value_null(TYPE_TEXT),
            text(type_info(column->type)->name),
            exec__default_text(column, filler->arena),
            number(i + 1),
            value_boolean(!column->not_null),
            value_boolean(column->primary_key),
            column->primary_key ? number(1) : value_null(TYPE_INT),
        };
        TRY(filler->row(filler->context, values, e));
    }
    return OK;
}

static Code fill_columns(const Filler *filler, Error *e)
{
    return each_table(filler, columns_rows, e);
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

static Code users_row(const Filler *filler, const User *user, Error *e)
{
    Value values[] = {
        value_text(user->user_id),
        user->password_hash.size ? text("***") : value_null(TYPE_TEXT),
        text(role_name(user->role)),
        text_or_null(user->email),
        text_or_null(user->auth_type),
        value_null(TYPE_JSON),
        text("table"),
        value_null(TYPE_TEXT),
        number(user->failed_logins),
        time_or_null(user->locked_until_us),
        time_or_null(user->last_login_us),
        time_or_null(user->created_at_us),
        time_or_null(user->updated_at_us),
        value_null(TYPE_TIMESTAMP),
        time_or_null(user->deleted_at_us),
    };
    return filler->row(filler->context, values, e);
}

static Code fill_users(const Filler *filler, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(filler->executor->db, HOT_BLOCKING, &view, e));
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
                TRY(users_row(filler, &users[i], e));
        if (count < USERS_PAGE)
            return OK;
        buffer_clear(&after);
        buffer_add_slice(&after, users[count - 1].user_id);
    }
}

/* ---- system.jobs ---- */

static const ResultColumn jobs_columns[] = {
    KEY_COLUMN("job_id", TYPE_TEXT),      COLUMN("job_type", TYPE_TEXT),
    COLUMN("status", TYPE_TEXT),          COLUMN("leader_status", TYPE_TEXT),
    COLUMN("parameters", TYPE_JSON),      COLUMN("message", TYPE_TEXT),
    COLUMN("exception_trace", TYPE_TEXT), COLUMN("idempotency_key", TYPE_TEXT),
    COLUMN("queue", TYPE_TEXT),           COLUMN("priority", TYPE_INT),
    COLUMN("retry_count", TYPE_SMALLINT), COLUMN("max_retries", TYPE_SMALLINT),
    COLUMN("memory_used", TYPE_BIGINT),   COLUMN("cpu_used", TYPE_BIGINT),
    COLUMN("created_at", TYPE_TIMESTAMP), COLUMN("updated_at", TYPE_TIMESTAMP),
    COLUMN("started_at", TYPE_TIMESTAMP), COLUMN("finished_at", TYPE_TIMESTAMP),
    COLUMN("node_id", TYPE_BIGINT),       COLUMN("leader_node_id", TYPE_BIGINT),
};

static Code jobs_row(const Filler *filler, const JobInfo *job, Error *e)
{
    int64_t updated = job->finished_at_us  ? job->finished_at_us
                      : job->started_at_us ? job->started_at_us
                                           : job->created_at_us;
    Value values[] = {
        text(job->id),
        text(job->type),
        text(job_status_name(job->status)),
        value_null(TYPE_TEXT),
        job->parameters.size ? json(job->parameters) : value_null(TYPE_JSON),
        text_or_null(job->message),
        value_null(TYPE_TEXT),
        value_null(TYPE_TEXT),
        value_null(TYPE_TEXT),
        value_null(TYPE_INT),
        value_integer(TYPE_SMALLINT, 0),
        value_integer(TYPE_SMALLINT, 0),
        value_null(TYPE_BIGINT),
        value_null(TYPE_BIGINT),
        time_or_null(job->created_at_us),
        time_or_null(updated),
        time_or_null(job->started_at_us),
        time_or_null(job->finished_at_us),
        value_integer(TYPE_BIGINT, 0),
        value_null(TYPE_BIGINT),
    };
    return filler->row(filler->context, values, e);
}

static Code fill_jobs(const Filler *filler, Error *e)
{
    JobInfo *jobs = NULL;
    size_t count = 0;
    TRY(jobs_list(filler->executor->jobs, filler->arena, &jobs, &count, e));
    for (size_t i = 0; i < count; i++)
        TRY(jobs_row(filler, &jobs[i], e));
    return OK;
}

/* ---- system.stats, system.settings ---- */

static const ResultColumn stats_columns[] = {
    COLUMN("metric_name", TYPE_TEXT),
    COLUMN("metric_value", TYPE_TEXT),
};

static Code stats_row(const Filler *filler, const char *name, uint64_t v, Error *e)
{
    Value values[] = {text(name), text(arena_printf(filler->arena, "%" PRIu64, v))};
    return filler->row(filler->context, values, e);
}

static Code fill_stats(const Filler *filler, Error *e)
{
    Database *db = filler->executor->db;
    DatabaseStats stats = {0};
    database_stats(db, &stats);
    TRY(stats_row(filler, "commits", stats.commits, e));
    TRY(stats_row(filler, "commit_groups", stats.groups, e));
    TRY(stats_row(filler, "rows_committed", stats.rows, e));
    TRY(stats_row(filler, "commit_conflicts", stats.conflicts, e));
    TRY(stats_row(filler, "syncs", stats.syncs, e));
    TRY(stats_row(filler, "sync_microseconds", stats.sync_us, e));
    TRY(stats_row(filler, "commit_queue_depth", stats.queue_depth, e));
    TRY(stats_row(filler, "last_seq", database_last_seq(db), e));
    TRY(stats_row(filler, "catalog_version", catalog_version(database_catalog(db)), e));
    return stats_row(filler, "read_only", database_is_read_only(db), e);
}

static const ResultColumn settings_columns[] = {
    COLUMN("name", TYPE_TEXT),
    COLUMN("value", TYPE_TEXT),
    COLUMN("description", TYPE_TEXT),
    COLUMN("category", TYPE_TEXT),
};

static Code fill_settings(const Filler *filler, Error *e)
{
    const Executor *x = filler->executor;
    const struct {
        const char *name, *description, *category;
        uint64_t value;
    } rows[] = {
        {"result_rows_max", "Rows a SELECT may return", "limits", x->options.result_rows_max},
        {"flush_wait_ms", "How long STORAGE FLUSH waits for its job", "flush",
         x->options.flush_wait_ms},
        {"bcrypt_cost", "Cost of password hashes", "auth", x->options.bcrypt_cost},
        {"feed_window_seconds", "How long changes can be resumed", "live",
         database_feed_window_s(x->db, NULL)},
        {"feed_window_bytes", "How many bytes of changes a partition keeps; 0 is no limit", "live",
         database_feed_window_bytes(x->db, NULL)},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        Value values[] = {
            text(rows[i].name),
            text(arena_printf(filler->arena, "%" PRIu64, rows[i].value)),
            text(rows[i].description),
            text(rows[i].category),
        };
        TRY(filler->row(filler->context, values, e));
    }
    return OK;
}

/* ---- system.storages, system.datatypes ---- */

static const ResultColumn storages_columns[] = {
    KEY_COLUMN("storage_id", TYPE_TEXT),       COLUMN("storage_name", TYPE_TEXT),
    COLUMN("description", TYPE_TEXT),          COLUMN("storage_type", TYPE_TEXT),
    COLUMN("base_directory", TYPE_TEXT),       COLUMN("credentials", TYPE_JSON),
    COLUMN("config_json", TYPE_JSON),          COLUMN("shared_tables_template", TYPE_TEXT),
    COLUMN("user_tables_template", TYPE_TEXT), COLUMN("created_at", TYPE_TIMESTAMP),
    COLUMN("updated_at", TYPE_TIMESTAMP),
};

/* There is one; where it lies on the disk is for administrators. */
static Code fill_storages(const Filler *filler, Error *e)
{
    const char *folder = database_storage_folder(filler->executor->db);
    Value values[] = {
        text("local"),
        text("Local storage"),
        text("Parquet files below the data folder"),
        text("filesystem"),
        role_is_admin(filler->session->role) ? text(folder) : value_null(TYPE_TEXT),
        value_null(TYPE_JSON),
        value_null(TYPE_JSON),
        text("shared/{namespace}/{tableName}"),
        text("user/{userId}/{namespace}/{tableName}"),
        value_null(TYPE_TIMESTAMP),
        value_null(TYPE_TIMESTAMP),
    };
    return filler->row(filler->context, values, e);
}

static const ResultColumn datatypes_columns[] = {
    COLUMN("arrow_type", TYPE_TEXT),
    KEY_COLUMN("kalam_type", TYPE_TEXT),
    COLUMN("sql_name", TYPE_TEXT),
    COLUMN("description", TYPE_TEXT),
};

static Code fill_datatypes(const Filler *filler, Error *e)
{
    static const struct {
        Type type;
        const char *arrow, *description;
    } rows[] = {
        {TYPE_BOOLEAN, "Boolean", "true or false"},
        {TYPE_SMALLINT, "Int16", "whole number of 16 bits"},
        {TYPE_INT, "Int32", "whole number of 32 bits"},
        {TYPE_BIGINT, "Int64", "whole number of 64 bits; digits in a JSON string"},
        {TYPE_FLOAT, "Float32", "IEEE 754 number of 32 bits"},
        {TYPE_DOUBLE, "Float64", "IEEE 754 number of 64 bits"},
        {TYPE_TEXT, "Utf8", "text of any length"},
        {TYPE_TIMESTAMP, "Timestamp(Microsecond, None)", "microseconds since 1970, no time zone"},
        {TYPE_JSON, "Utf8", "JSON text"},
        {TYPE_BYTES, "Binary", "bytes of any length"},
        {TYPE_UUID, "FixedSizeBinary(16)", "16 bytes"},
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        const TypeInfo *info = type_info(rows[i].type);
        Value values[] = {text(rows[i].arrow), text(info->wire), text(info->name),
                          text(rows[i].description)};
        TRY(filler->row(filler->context, values, e));
    }
    return OK;
}

/* ---- information_schema ---- */

static const ResultColumn info_schemata_columns[] = {
    COLUMN("catalog_name", TYPE_TEXT),
    COLUMN("schema_name", TYPE_TEXT),
};

static Code fill_info_schemata(const Filler *filler, Error *e)
{
    Namespace *namespaces = NULL;
    size_t count = 0;
    catalog_list_namespaces(database_catalog(filler->executor->db), filler->arena, &namespaces,
                            &count);
    for (size_t i = 0; i < count; i++) {
        Value values[] = {text("kalam"), value_text(namespaces[i].name)};
        TRY(filler->row(filler->context, values, e));
    }
    Value values[] = {text("kalam"), text("information_schema")};
    return filler->row(filler->context, values, e);
}

static const ResultColumn info_tables_columns[] = {
    COLUMN("table_catalog", TYPE_TEXT),
    COLUMN("table_schema", TYPE_TEXT),
    COLUMN("table_name", TYPE_TEXT),
    COLUMN("table_type", TYPE_TEXT),
};

static Code info_tables_row(const Filler *filler, const Table *table, Error *e)
{
    Value values[] = {text("kalam"), value_text(table->namespace_name), value_text(table->name),
                      text("BASE TABLE")};
    return filler->row(filler->context, values, e);
}

/* A view registered twice is listed once: the newest is the one that is read. */
static bool is_listed(const Executor *x, size_t index, const Session *session)
{
    const ExecView *view = &x->views[index];
    if (view->admin_only && !role_is_admin(session->role))
        return false;
    for (size_t i = index + 1; i < x->view_count; i++)
        if (!strcmp(x->views[i].name, view->name) &&
            !strcmp(x->views[i].namespace_name, view->namespace_name))
            return false;
    return true;
}

static Code fill_info_tables(const Filler *filler, Error *e)
{
    const Executor *x = filler->executor;
    TRY(each_table(filler, info_tables_row, e));
    for (size_t i = 0; i < x->view_count; i++) {
        if (!is_listed(x, i, filler->session))
            continue;
        Value values[] = {text("kalam"), text(x->views[i].namespace_name), text(x->views[i].name),
                          text("VIEW")};
        TRY(filler->row(filler->context, values, e));
    }
    return OK;
}

static const ResultColumn info_columns_columns[] = {
    COLUMN("table_catalog", TYPE_TEXT),   COLUMN("table_schema", TYPE_TEXT),
    COLUMN("table_name", TYPE_TEXT),      COLUMN("column_name", TYPE_TEXT),
    COLUMN("ordinal_position", TYPE_INT), COLUMN("column_default", TYPE_TEXT),
    COLUMN("is_nullable", TYPE_TEXT),     COLUMN("data_type", TYPE_TEXT),
};

static Code info_columns_rows(const Filler *filler, const Table *table, Error *e)
{
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        Value values[] = {
            text("kalam"),
            value_text(table->namespace_name),
            value_text(table->name),
            value_text(column->name),
            number(i + 1),
            exec__default_text(column, filler->arena),
            text(column->not_null ? "NO" : "YES"),
            text(type_info(column->type)->name),
        };
        TRY(filler->row(filler->context, values, e));
    }
    return OK;
}

static Code fill_info_columns(const Filler *filler, Error *e)
{
    const Executor *x = filler->executor;
    TRY(each_table(filler, info_columns_rows, e));
    for (size_t i = 0; i < x->view_count; i++) {
        const ExecView *view = &x->views[i];
        for (size_t c = 0; is_listed(x, i, filler->session) && c < view->column_count; c++) {
            Value values[] = {
                text("kalam"),
                text(view->namespace_name),
                text(view->name),
                value_text(view->columns[c].name),
                number((int64_t)c + 1),
                value_null(TYPE_TEXT),
                text("YES"),
                text(type_info(view->columns[c].type)->name),
            };
            TRY(filler->row(filler->context, values, e));
        }
    }
    return OK;
}

/* ---- the registry ---- */

typedef Code Fill(const Filler *filler, Error *e);

typedef struct Builtin {
    const char *namespace_name, *name;
    const ResultColumn *columns;
    size_t column_count;
    bool admin_only;
    Fill *fill;
    unsigned live_sources;
} Builtin;

#define BUILTIN(ns, name_, columns_, admin, fill_, sources)                     \
    {                                                                           \
        (ns), (name_), (columns_), COUNT(columns_), (admin), (fill_), (sources) \
    }

static const Builtin builtins[] = {
    BUILTIN("system", "namespaces", namespaces_columns, true, fill_namespaces, LIVE_ON_CATALOG),
    BUILTIN("system", "tables", tables_columns, true, fill_tables, LIVE_ON_CATALOG),
    BUILTIN("system", "schemas", schemas_columns, true, fill_schemas, LIVE_ON_CATALOG),
    BUILTIN("system", "table_schemas", schemas_columns, true, fill_schemas, LIVE_ON_CATALOG),
    BUILTIN("system", "columns", columns_columns, true, fill_columns, LIVE_ON_CATALOG),
    BUILTIN("system", "users", users_columns, true, fill_users, LIVE_ON_USERS),
    BUILTIN("system", "jobs", jobs_columns, true, fill_jobs, LIVE_ON_JOBS),
    BUILTIN("system", "stats", stats_columns, true, fill_stats, 0),
    BUILTIN("system", "settings", settings_columns, true, fill_settings, 0),
    BUILTIN("system", "storages", storages_columns, true, fill_storages, 0),
    BUILTIN("system", "datatypes", datatypes_columns, true, fill_datatypes, 0),
    BUILTIN("information_schema", "schemata", info_schemata_columns, false, fill_info_schemata, 0),
    BUILTIN("information_schema", "tables", info_tables_columns, false, fill_info_tables, 0),
    BUILTIN("information_schema", "columns", info_columns_columns, false, fill_info_columns, 0),
};

/* An ExecView calls with one context; the built-in ones need the executor and their number. */
typedef struct BuiltinContext {
    Executor *executor;
    const Builtin *builtin;
} BuiltinContext;

static Code fill_builtin(void *context, const Session *session, Arena *arena, ExecRow *row,
                         void *row_context, Error *e)
{
    const BuiltinContext *c = context;
    Filler filler = {c->executor, session, arena, row, row_context};
    return c->builtin->fill(&filler, e);
}

void exec__add_builtin_views(Executor *executor)
{
    BuiltinContext *contexts = x_new_array(BuiltinContext, COUNT(builtins));
    executor->builtin_contexts = contexts;
    for (size_t i = 0; i < COUNT(builtins); i++) {
        const Builtin *builtin = &builtins[i];
        contexts[i] = (BuiltinContext){executor, builtin};
        ExecView view = {
            .namespace_name = builtin->namespace_name,
            .name = builtin->name,
            .columns = builtin->columns,
            .column_count = builtin->column_count,
            .admin_only = builtin->admin_only,
            .live_sources = builtin->live_sources,
            .fill = fill_builtin,
            .context = &contexts[i],
        };
        executor_add_view(executor, &view);
    }
    exec__add_manifest_view(executor);
    exec__add_transactions_view(executor);
}

Code exec__find_view(const Run *run, Slice namespace_name, Slice name, const ExecView **out,
                     Error *e)
{
    const Executor *x = run->executor;
    for (size_t i = x->view_count; i-- > 0;) {
        const ExecView *view = &x->views[i];
        if (!slice_equal_ignoring_case(name, slice_of_text(view->name)) ||
            !slice_equal_ignoring_case(namespace_name, slice_of_text(view->namespace_name)))
            continue;
        if (view->admin_only && !role_is_admin(run->session.role))
            return fail(e, E_PERMISSION_DENIED,
                        "Access denied: '%.*s.%.*s' requires DBA or System role",
                        SLICE_ARGS(namespace_name), SLICE_ARGS(name));
        *out = view;
        return OK;
    }
    return fail(e, E_TABLE_NOT_FOUND, "Table '%.*s' not found in namespace '%.*s'",
                SLICE_ARGS(name), SLICE_ARGS(namespace_name));
}

const Schema *exec__view_schema(const ExecView *view, Arena *arena)
{
    Schema *schema = arena_new_of(arena, Schema);
    *schema = (Schema){
        .version = 1,
        .column_count = (uint32_t)view->column_count,
        .key_index = -1,
        .next_field_id = (uint32_t)view->column_count + 1,
        .columns = arena_new_array(arena, Column, view->column_count),
    };
    for (size_t i = 0; i < view->column_count; i++)
        schema->columns[i] = (Column){
            .field_id = (uint32_t)i + 1,
            .name = view->columns[i].name,
            .type = view->columns[i].type,
        };
    return schema;
}
