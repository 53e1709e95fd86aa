/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of system.live and system.settings, made when they are read.
 */
#include "server/views.h"

#include "data/json.h"

typedef Code RowFunction(void *row_context, const Value *values, Error *e);

static Value text(Slice s)
{
    return value_text(s);
}

static Value time_or_null(int64_t us)
{
    return us ? value_integer(TYPE_TIMESTAMP, us) : value_null(TYPE_TIMESTAMP);
}

static Value json(Slice s)
{
    return (Value){.type = TYPE_JSON, .bytes = s};
}

/* ---- system.live ---- */

enum { LIVE_COLUMNS = 19 };

static const ResultColumn live_columns[LIVE_COLUMNS] = {
    {.name = SLICE("live_id"), .type = TYPE_TEXT, .primary_key = true},
    {.name = SLICE("connection_id"), .type = TYPE_TEXT},
    {.name = SLICE("subscription_id"), .type = TYPE_TEXT},
    {.name = SLICE("namespace_id"), .type = TYPE_TEXT},
    {.name = SLICE("table_name"), .type = TYPE_TEXT},
    {.name = SLICE("user_id"), .type = TYPE_TEXT},
    {.name = SLICE("query"), .type = TYPE_TEXT},
    {.name = SLICE("options"), .type = TYPE_JSON},
    {.name = SLICE("status"), .type = TYPE_TEXT},
    {.name = SLICE("created_at"), .type = TYPE_TIMESTAMP},
    {.name = SLICE("last_update"), .type = TYPE_TIMESTAMP},
    {.name = SLICE("changes"), .type = TYPE_BIGINT},
    {.name = SLICE("node_id"), .type = TYPE_BIGINT},
    {.name = SLICE("last_ping_at"), .type = TYPE_TIMESTAMP},
    {.name = SLICE("lag_ms"), .type = TYPE_BIGINT},
    {.name = SLICE("queued_bytes"), .type = TYPE_BIGINT},
    {.name = SLICE("sent_bytes"), .type = TYPE_BIGINT},
    {.name = SLICE("changes_per_s"), .type = TYPE_BIGINT},
    {.name = SLICE("reads"), .type = TYPE_BIGINT},
};

/* From last_update on: they grow with every message. Whoever follows system.live sees them as they
 * are when something else of the row changes. */
static const uint64_t live_figures = (UINT64_C(1) << LIVE_COLUMNS) - (UINT64_C(1) << 10);

static void add_option(Buffer *out, bool is_set, const char *name, uint64_t value)
{
    if (is_set)
        buffer_printf(out, "%s\"%s\":%llu", out->size > 1 ? "," : "", name,
                      (unsigned long long)value);
}

static Slice print_options(const LiveInfo *info, Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_add_char(&out, '{');
    add_option(&out, info->options.has_last_rows, "last_rows", info->options.last_rows);
    add_option(&out, info->options.has_batch_size, "batch_size", info->options.batch_size);
    add_option(&out, info->options.has_from, "from", info->options.from);
    buffer_add_char(&out, '}');
    return arena_copy(arena, buffer_slice(&out));
}

static Code fill_live(void *context, const Session *session, Arena *arena, RowFunction *row,
                      void *row_context, Error *e)
{
    (void)session;
    LiveInfo *infos;
    size_t count;
    live_list((LiveHub *)context, arena, &infos, &count);
    for (size_t i = 0; i < count; i++) {
        const LiveInfo *info = &infos[i];
        char *id = arena_printf(arena, "%.*s-%s-%.*s", SLICE_ARGS(info->user_id),
                                info->connection_id, SLICE_ARGS(info->subscription_id));
        const Value values[LIVE_COLUMNS] = {
            text(slice_of_text(id)),
            text(arena_copy(arena, slice_of_text(info->connection_id))),
            text(info->subscription_id),
            text(info->namespace_name),
            text(info->table_name),
            text(info->user_id),
            text(info->query),
            info->has_options ? json(print_options(info, arena)) : value_null(TYPE_JSON),
            text(slice_of_text(info->status)),
            time_or_null(info->created_at_us),
            time_or_null(info->last_update_us),
            value_integer(TYPE_BIGINT, (int64_t)info->changes),
            value_integer(TYPE_BIGINT, 0),
            time_or_null(info->last_ping_us),
            value_integer(TYPE_BIGINT, (int64_t)info->lag_ms),
            value_integer(TYPE_BIGINT, (int64_t)info->queued_bytes),
            value_integer(TYPE_BIGINT, (int64_t)info->sent_bytes),
            value_integer(TYPE_BIGINT, (int64_t)info->changes_per_s),
            value_integer(TYPE_BIGINT, (int64_t)info->reads),
        };
        TRY(row(row_context, values, e));
    }
    return OK;
}

/* ---- system.settings ---- */

static const ResultColumn setting_columns[4] = {
    {.name = SLICE("name"), .type = TYPE_TEXT, .primary_key = true},
    {.name = SLICE("value"), .type = TYPE_TEXT},
    {.name = SLICE("description"), .type = TYPE_TEXT},
    {.name = SLICE("category"), .type = TYPE_TEXT},
};

static Code fill_settings(void *context, const Session *session, Arena *arena, RowFunction *row,
                          void *row_context, Error *e)
{
    (void)session;
    const ConfigSetting *settings;
    size_t count;
    config_describe((const Config *)context, arena, &settings, &count);
    for (size_t i = 0; i < count; i++) {
        Slice name = slice_of_text(settings[i].name);
        const char *dot = strchr(settings[i].name, '.');
        size_t category = dot ? (size_t)(dot - settings[i].name) : 0;
        const Value values[4] = {
            text(name),
            text(settings[i].value),
            text(slice_of_text(settings[i].meaning)),
            text(slice_of(name.data, category)),
        };
        TRY(row(row_context, values, e));
    }
    return OK;
}

static Code kill_live(void *context, const Session *session, Slice live_id, Error *e)
{
    return live_kill((LiveHub *)context, live_id, session->user, session->role, e);
}

static void jobs_changed(void *context)
{
    live_hub_touch((LiveHub *)context, LIVE_ON_JOBS);
}

void server_add_views(Executor *executor, LiveHub *live, const Config *config)
{
    const ExecView views[] = {
        {.namespace_name = "system",
         .name = "live",
         .columns = live_columns,
         .column_count = LIVE_COLUMNS,
         .admin_only = true,
         .live_sources = LIVE_ON_SUBSCRIPTIONS,
         .live_figures = live_figures,
         .fill = fill_live,
         .context = live},
        /* The name of older documentation. */
        {.namespace_name = "system",
         .name = "live_queries",
         .columns = live_columns,
         .column_count = LIVE_COLUMNS,
         .admin_only = true,
         .live_sources = LIVE_ON_SUBSCRIPTIONS,
         .live_figures = live_figures,
         .fill = fill_live,
         .context = live},
        {.namespace_name = "system",
         .name = "settings",
         .columns = setting_columns,
         .column_count = 4,
         .admin_only = true,
         .fill = fill_settings,
         .context = (void *)config},
    };
    for (size_t i = 0; i < sizeof views / sizeof *views; i++)
        executor_add_view(executor, &views[i]);
    executor_follow_views(executor, live);
    executor_set_kill_live(executor, &(ExecKillLive){kill_live, live});
    jobs_watch(executor_jobs(executor), (JobsWatcher){jobs_changed, live});
}
