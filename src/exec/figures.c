/* SPDX-License-Identifier: Apache-2.0
 *
 * SHOW MANIFEST, system.manifest and SHOW STATS: figures of the partitions that the session may
 * read: an administrator all of them, others their own and those of SHARED tables they may read.
 * Counted at one view.
 */
#include "exec/views.h"

#include "table/figures.h"

static const ResultColumn manifest_columns[] = {
    COLUMN("namespace_id", TYPE_TEXT),   COLUMN("table_name", TYPE_TEXT),
    COLUMN("user_id", TYPE_TEXT),        COLUMN("segments", TYPE_BIGINT),
    COLUMN("row_count", TYPE_BIGINT),    COLUMN("size_bytes", TYPE_BIGINT),
    COLUMN("min_seq", TYPE_BIGINT),      COLUMN("max_seq", TYPE_BIGINT),
    COLUMN("pending_rows", TYPE_BIGINT), COLUMN("sync_state", TYPE_TEXT),
    COLUMN("schema_version", TYPE_INT),  COLUMN("flushed_at", TYPE_TIMESTAMP),
};

static const ResultColumn stats_columns[] = {
    COLUMN("table_name", TYPE_TEXT),         COLUMN("namespace", TYPE_TEXT),
    COLUMN("schema_version", TYPE_INT),      COLUMN("logical_rows", TYPE_BIGINT),
    COLUMN("flushed_segments", TYPE_BIGINT), COLUMN("active_streams", TYPE_BIGINT),
    COLUMN("memory_bytes", TYPE_BIGINT),     COLUMN("partitions", TYPE_BIGINT),
    COLUMN("hot_rows", TYPE_BIGINT),         COLUMN("cold_rows", TYPE_BIGINT),
    COLUMN("dead_rows", TYPE_BIGINT),        COLUMN("cold_bytes", TYPE_BIGINT),
};

typedef struct Figures {
    Run *run;
    ReadView *view;
    const Table *table; /* whose partitions are visited */
    PartitionFigures total;
    uint64_t partitions; /* that have rows or segments */
    size_t rows;         /* sent */
} Figures;

static Value number(uint64_t v)
{
    return value_integer(TYPE_BIGINT, (int64_t)v);
}

static Value number_or_null(uint64_t v)
{
    return v ? number(v) : value_null(TYPE_BIGINT);
}

static Code owner_of(Figures *figures, Partition partition, Value *out, Error *e)
{
    User user = {0};
    *out = value_null(TYPE_TEXT);
    if (partition.user == 0)
        return OK;
    TRY(catalog_get_user_by_id(view_snapshot(figures->view), HOT_BLOCKING, partition.user,
                               figures->run->arena, &user, e));
    *out = value_text(user.user_id);
    return OK;
}

static Code send_partition(void *context, Partition partition, Error *e)
{
    Figures *figures = context;
    const Run *run = figures->run;
    const Table *table = figures->table;
    PartitionFigures f;
    Value owner;
    TRY(exec__check_time(run, e));
    TRY(view_figures(figures->view, table, partition, &f, e));
    if (f.segments == 0 && f.hot_rows == 0)
        return OK;
    TRY(owner_of(figures, partition, &owner, e));
    Value values[] = {
        value_text(table->namespace_name),
        value_text(table->name),
        owner,
        number(f.segments),
        number(f.segment_rows),
        number(f.segment_bytes),
        number_or_null(f.min_seq),
        number_or_null(f.max_seq),
        number(f.hot_rows),
        value_text(f.hot_rows ? SLICE("pending_write") : SLICE("in_sync")),
        value_integer(TYPE_INT, table->schema->version),
        f.state.flushed_at_us ? value_integer(TYPE_TIMESTAMP, (int64_t)f.state.flushed_at_us)
                              : value_null(TYPE_TIMESTAMP),
    };
    figures->rows++;
    return run->sink->row(run->sink->context, values, e);
}

static Code add_partition(void *context, Partition partition, Error *e)
{
    Figures *figures = context;
    PartitionFigures f;
    TRY(exec__check_time(figures->run, e));
    TRY(view_figures(figures->view, figures->table, partition, &f, e));
    figures->partitions += f.hot_rows || f.segments;
    figures->total.live_rows += f.live_rows;
    figures->total.hot_rows += f.hot_rows;
    figures->total.hot_bytes += f.hot_bytes;
    figures->total.segments += f.segments;
    figures->total.segment_rows += f.segment_rows;
    figures->total.segment_bytes += f.segment_bytes;
    figures->total.dead_rows += f.dead_rows;
    return OK;
}

/* The partitions of a table that the session may know of. */
static Code visit_table(Figures *figures, const Table *table,
                        Code (*visit)(void *context, Partition partition, Error *e), Error *e)
{
    const Session *session = &figures->run->session;
    figures->table = table;
    if (role_is_admin(session->role))
        return view_each_partition(figures->view, table, visit, figures, e);
    bool is_shared = table->kind == TABLE_SHARED;
    if (is_shared && !exec__may_access(session->role, table->kind, table->access, ACCESS_READ))
        return OK;
    if (!is_shared && session->user == 0)
        return OK; /* nothing was ever written under this id */
    return visit(figures, exec__partition(session, table), e);
}

/* Every partition of every table that the session may know of. */
static Code visit_all(Figures *figures, Code (*visit)(void *context, Partition partition, Error *e),
                      Error *e)
{
    const Run *run = figures->run;
    Table **tables;
    size_t count;
    Code code = OK;
    catalog_list_tables(database_catalog(run->executor->db), run->arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        if (code == OK)
            code = visit_table(figures, tables[i], visit, e);
        table_unref(tables[i]);
    }
    return code;
}

static Code show_manifest(Run *run, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(run->executor->db, HOT_BLOCKING, &view, e));
    Figures figures = {.run = run, .view = view};
    run->sink->columns(run->sink->context, manifest_columns,
                       sizeof manifest_columns / sizeof *manifest_columns);
    TRY(visit_all(&figures, send_partition, e));
    run->sink->end(run->sink->context, figures.rows, NULL, run->session.user_id);
    return OK;
}

/* ---- system.manifest ---- */

static const ResultColumn view_columns[] = {
    KEY_COLUMN("cache_key", TYPE_TEXT),
    COLUMN("namespace_id", TYPE_TEXT),
    COLUMN("table_name", TYPE_TEXT),
    COLUMN("scope", TYPE_TEXT),
    COLUMN("etag", TYPE_TEXT),
    COLUMN("last_refreshed", TYPE_TIMESTAMP),
    COLUMN("last_accessed", TYPE_TIMESTAMP),
    COLUMN("in_memory", TYPE_BOOLEAN),
    COLUMN("sync_state", TYPE_TEXT),
    COLUMN("manifest_json", TYPE_JSON),
};

typedef struct ManifestRows {
    Figures figures; /* first: a ManifestRows * is the Figures * of visit_all */
    ExecRow *row;
    void *context;
} ManifestRows;

static Code manifest_row(void *context, Partition partition, Error *e)
{
    ManifestRows *rows = context;
    const Table *table = rows->figures.table;
    Arena *arena = rows->figures.run->arena;
    PartitionFigures f;
    Value owner;
    TRY(view_figures(rows->figures.view, table, partition, &f, e));
    if (f.segments == 0 && f.hot_rows == 0)
        return OK;
    TRY(owner_of(&rows->figures, partition, &owner, e));
    Slice scope = owner.is_null ? SLICE("shared") : owner.bytes;
    CLEANUP(buffer_done) Buffer text = {0};
    TRY(view_print_manifest(rows->figures.view, table, partition, &text, e));
    Value manifest = value_text(arena_copy(arena, buffer_slice(&text)));
    manifest.type = TYPE_JSON;
    char *key = arena_printf(arena, "%.*s:%.*s:%.*s", SLICE_ARGS(table->namespace_name),
                             SLICE_ARGS(table->name), SLICE_ARGS(scope));
    Value values[] = {
        value_text(slice_of_text(key)),
        value_text(table->namespace_name),
        value_text(table->name),
        value_text(scope),
        value_null(TYPE_TEXT),
        f.state.flushed_at_us ? value_integer(TYPE_TIMESTAMP, (int64_t)f.state.flushed_at_us)
                              : value_null(TYPE_TIMESTAMP),
        value_null(TYPE_TIMESTAMP),
        value_boolean(false),
        value_text(f.hot_rows ? SLICE("pending_write") : SLICE("in_sync")),
        manifest,
    };
    return rows->row(rows->context, values, e);
}

static Code fill_manifest(void *context, const Session *session, Arena *arena, ExecRow *row,
                          void *row_context, Error *e)
{
    Run run = {.executor = context, .session = *session, .arena = arena};
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(run.executor->db, HOT_BLOCKING, &view, e));
    ManifestRows rows = {{.run = &run, .view = view}, row, row_context};
    return visit_all(&rows.figures, manifest_row, e);
}

void exec__add_manifest_view(Executor *executor)
{
    executor_add_view(executor, &(ExecView){
                                    .namespace_name = "system",
                                    .name = "manifest",
                                    .columns = view_columns,
                                    .column_count = sizeof view_columns / sizeof *view_columns,
                                    .admin_only = true,
                                    .fill = fill_manifest,
                                    .context = executor,
                                });
}

/* ---- live queries, out of system.live ---- */

typedef struct LiveCount {
    const Table *table;
    size_t namespace_column, table_column;
    uint64_t count;
} LiveCount;

static Code count_live(void *context, const Value *values, Error *e)
{
    LiveCount *live = context;
    (void)e;
    live->count += slice_equal_ignoring_case(values[live->namespace_column].bytes,
                                             live->table->namespace_name) &&
                   slice_equal_ignoring_case(values[live->table_column].bytes, live->table->name);
    return OK;
}

static Code count_live_queries(Run *run, const Table *table, uint64_t *out, Error *e)
{
    Run as_system = *run;
    as_system.session.role = ROLE_SYSTEM;
    const ExecView *view = NULL;
    LiveCount live = {.table = table, .namespace_column = SIZE_MAX, .table_column = SIZE_MAX};
    Error none;
    *out = 0;
    if (exec__find_view(&as_system, SLICE("system"), SLICE("live"), &view, &none) != OK)
        return OK;
    for (size_t i = 0; i < view->column_count; i++) {
        if (slice_equal(view->columns[i].name, SLICE("namespace_id")))
            live.namespace_column = i;
        if (slice_equal(view->columns[i].name, SLICE("table_name")))
            live.table_column = i;
    }
    if (live.namespace_column == SIZE_MAX || live.table_column == SIZE_MAX)
        return OK;
    TRY(view->fill(view->context, &as_system.session, run->arena, count_live, &live, e));
    *out = live.count;
    return OK;
}

static Code show_stats(Run *run, Error *e)
{
    CLEANUP(table_unref_ptr) Table *table = NULL;
    TRY(exec__find_table(run, &run->statement->table.name, &table, e));
    TRY(exec__check_access(run, table, ACCESS_READ, e));
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(run->executor->db, HOT_BLOCKING, &view, e));
    Figures figures = {.run = run, .view = view};
    uint64_t live = 0;
    TRY(visit_table(&figures, table, add_partition, e));
    TRY(count_live_queries(run, table, &live, e));
    Value values[] = {
        value_text(table->name),
        value_text(table->namespace_name),
        value_integer(TYPE_INT, table->schema->version),
        number(figures.total.live_rows),
        number(figures.total.segments),
        number(live),
        number(figures.total.hot_bytes),
        number(figures.partitions),
        number(figures.total.hot_rows),
        number(figures.total.segment_rows - figures.total.dead_rows),
        number(figures.total.dead_rows),
        number(figures.total.segment_bytes),
    };
    run->sink->columns(run->sink->context, stats_columns,
                       sizeof stats_columns / sizeof *stats_columns);
    TRY(run->sink->row(run->sink->context, values, e));
    run->sink->end(run->sink->context, 1, NULL, run->session.user_id);
    return OK;
}

Code exec__run_figures(Run *run, Error *e)
{
    return run->statement->kind == STATEMENT_SHOW_MANIFEST ? show_manifest(run, e)
                                                           : show_stats(run, e);
}
