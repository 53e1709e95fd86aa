/* SPDX-License-Identifier: Apache-2.0
 *
 * What the server does and is, as system views: jobs, counters, settings, storages, types.
 */
#include "exec/views.h"

#include "live/live.h"

#include <inttypes.h>

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

static Code jobs_row(const RowTarget *to, const JobInfo *job, Error *e)
{
    int64_t updated = job->finished_at_us  ? job->finished_at_us
                      : job->started_at_us ? job->started_at_us
                                           : job->created_at_us;
    Value values[] = {
        cell_text(job->id),
        cell_text(job->type),
        cell_text(job_status_name(job->status)),
        value_null(TYPE_TEXT),
        job->parameters.size ? cell_json(job->parameters) : value_null(TYPE_JSON),
        cell_text_or_null(job->message),
        value_null(TYPE_TEXT),
        value_null(TYPE_TEXT),
        value_null(TYPE_TEXT),
        value_null(TYPE_INT),
        value_integer(TYPE_SMALLINT, 0),
        value_integer(TYPE_SMALLINT, 0),
        value_null(TYPE_BIGINT),
        value_null(TYPE_BIGINT),
        cell_time(job->created_at_us),
        cell_time(updated),
        cell_time(job->started_at_us),
        cell_time(job->finished_at_us),
        value_integer(TYPE_BIGINT, 0),
        value_null(TYPE_BIGINT),
    };
    return SEND_ROW(to, jobs_columns, values, e);
}

static Code fill_jobs(const RowTarget *to, Error *e)
{
    JobInfo *jobs = NULL;
    size_t count = 0;
    TRY(jobs_list(to->executor->jobs, to->arena, &jobs, &count, e));
    for (size_t i = 0; i < count; i++)
        TRY(jobs_row(to, &jobs[i], e));
    return OK;
}

/* ---- system.stats, system.settings ---- */

static const ResultColumn stats_columns[] = {
    COLUMN("metric_name", TYPE_TEXT),
    COLUMN("metric_value", TYPE_TEXT),
};

static Code stats_row(const RowTarget *to, const char *name, uint64_t v, Error *e)
{
    Value values[] = {cell_text(name), cell_text(arena_printf(to->arena, "%" PRIu64, v))};
    return SEND_ROW(to, stats_columns, values, e);
}

static Code fill_stats(const RowTarget *to, Error *e)
{
    Database *db = to->executor->db;
    DatabaseStats stats = {0};
    database_stats(db, &stats);
    TRY(stats_row(to, "commits", stats.commits, e));
    TRY(stats_row(to, "commit_groups", stats.groups, e));
    TRY(stats_row(to, "rows_committed", stats.rows, e));
    TRY(stats_row(to, "commit_conflicts", stats.conflicts, e));
    TRY(stats_row(to, "syncs", stats.syncs, e));
    TRY(stats_row(to, "sync_microseconds", stats.sync_us, e));
    TRY(stats_row(to, "commit_queue_depth", stats.queue_depth, e));
    TRY(stats_row(to, "last_seq", database_last_seq(db), e));
    TRY(stats_row(to, "catalog_version", catalog_version(database_catalog(db)), e));
    return stats_row(to, "read_only", database_is_read_only(db), e);
}

static const ResultColumn settings_columns[] = {
    COLUMN("name", TYPE_TEXT),
    COLUMN("value", TYPE_TEXT),
    COLUMN("description", TYPE_TEXT),
    COLUMN("category", TYPE_TEXT),
};

static Code fill_settings(const RowTarget *to, Error *e)
{
    const Executor *x = to->executor;
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
            cell_text(rows[i].name),
            cell_text(arena_printf(to->arena, "%" PRIu64, rows[i].value)),
            cell_text(rows[i].description),
            cell_text(rows[i].category),
        };
        TRY(SEND_ROW(to, settings_columns, values, e));
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
static Code fill_storages(const RowTarget *to, Error *e)
{
    const char *folder = database_storage_folder(to->executor->db);
    Value values[] = {
        cell_text("local"),
        cell_text("Local storage"),
        cell_text("Parquet files below the data folder"),
        cell_text("filesystem"),
        role_is_admin(to->session->role) ? cell_text(folder) : value_null(TYPE_TEXT),
        value_null(TYPE_JSON),
        value_null(TYPE_JSON),
        cell_text("shared/{namespace}/{tableName}"),
        cell_text("user/{userId}/{namespace}/{tableName}"),
        value_null(TYPE_TIMESTAMP),
        value_null(TYPE_TIMESTAMP),
    };
    return SEND_ROW(to, storages_columns, values, e);
}

static const ResultColumn datatypes_columns[] = {
    COLUMN("arrow_type", TYPE_TEXT),
    KEY_COLUMN("kalam_type", TYPE_TEXT),
    COLUMN("sql_name", TYPE_TEXT),
    COLUMN("description", TYPE_TEXT),
};

static Code fill_datatypes(const RowTarget *to, Error *e)
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
        Value values[] = {cell_text(rows[i].arrow), cell_text(info->wire), cell_text(info->name),
                          cell_text(rows[i].description)};
        TRY(SEND_ROW(to, datatypes_columns, values, e));
    }
    return OK;
}

static const BuiltinView views[] = {
    BUILTIN_VIEW("system", "jobs", jobs_columns, true, fill_jobs, LIVE_ON_JOBS),
    BUILTIN_VIEW("system", "stats", stats_columns, true, fill_stats, 0),
    BUILTIN_VIEW("system", "settings", settings_columns, true, fill_settings, 0),
    BUILTIN_VIEW("system", "storages", storages_columns, true, fill_storages, 0),
    BUILTIN_VIEW("system", "datatypes", datatypes_columns, true, fill_datatypes, 0),
};

BuiltinViews exec__server_views(void)
{
    return (BuiltinViews){views, COUNT(views)};
}
