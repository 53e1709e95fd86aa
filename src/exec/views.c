/* SPDX-License-Identifier: Apache-2.0
 *
 * The system views: rows made when they are read, out of the catalog, the jobs and the counters.
 * They are found by name among the views of the executor, where other folders add their own. Names
 * and columns are those of the original's clients; what has no meaning here reads as NULL.
 */
#include "exec/views.h"

Code exec__each_table(const RowTarget *to, TableVisit *visit, Error *e)
{
    Table **tables = NULL;
    size_t count = 0;
    catalog_list_tables(database_catalog(to->executor->db), to->arena, &tables, &count);
    Code code = OK;
    for (size_t i = 0; i < count; i++) {
        if (code == OK)
            code = visit(to, tables[i], e);
        table_unref(tables[i]);
    }
    return code;
}

/* ---- those that are built in ---- */

/* An ExecView calls with one context; the built-in ones need the executor and their number. */
typedef struct BuiltinContext {
    Executor *executor;
    const BuiltinView *builtin;
} BuiltinContext;

static Code fill_builtin(void *context, const Session *session, Arena *arena, ExecRow *row,
                         void *row_context, Error *e)
{
    const BuiltinContext *c = context;
    const RowTarget to = {c->executor, session, arena, row, row_context};
    return c->builtin->fill(&to, e);
}

static void add_builtin(BuiltinContext *context)
{
    const BuiltinView *builtin = context->builtin;
    const ExecView view = {
        .namespace_name = builtin->namespace_name,
        .name = builtin->name,
        .columns = builtin->columns,
        .column_count = builtin->column_count,
        .admin_only = builtin->admin_only,
        .live_sources = builtin->live_sources,
        .fill = fill_builtin,
        .context = context,
    };
    executor_add_view(context->executor, &view);
}

void exec__add_builtin_views(Executor *executor)
{
    const BuiltinViews files[] = {
        exec__catalog_views(),
        exec__server_views(),
        exec__information_views(),
    };
    BuiltinContext *context = x_new_array(BuiltinContext, EXEC_VIEWS_MAX);
    executor->builtin_contexts = context;
    for (size_t i = 0; i < COUNT(files); i++)
        for (size_t k = 0; k < files[i].count; k++, context++) {
            *context = (BuiltinContext){executor, &files[i].views[k]};
            add_builtin(context);
        }
    exec__add_manifest_view(executor);
    exec__add_transactions_view(executor);
}

/* ---- finding one ---- */

/* A view registered twice is listed once: the newest is the one that is read. */
bool exec__is_listed(const Executor *x, size_t index, const Session *session)
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
