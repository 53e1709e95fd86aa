/* SPDX-License-Identifier: Apache-2.0
 *
 * System views as live/ follows them.
 */
#include "exec/views.h"
#include "live/live.h"

/* What a follower sees does not depend on who it is: only administrators may follow. */
static Code fill(void *context, Arena *arena,
                 Code (*row)(void *row_context, const Value *values, Error *e), void *row_context,
                 Error *e)
{
    const ExecView *view = context;
    const Session session = {.role = ROLE_SYSTEM, .namespace_name = SLICE("system")};
    return view->fill(view->context, &session, arena, row, row_context, e);
}

static void follow(ExecView *view, LiveHub *hub)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Schema *schema = (Schema *)exec__view_schema(view, arena);
    for (size_t i = 0; i < view->column_count; i++)
        schema->columns[i].primary_key = schema->columns[i].not_null = view->columns[i].primary_key;
    const LiveView live = {
        .namespace_name = slice_of_text(view->namespace_name),
        .name = slice_of_text(view->name),
        .schema = schema,
        .sources = view->live_sources,
        .figures = view->live_figures,
        .fill = fill,
        .context = view,
    };
    live_hub_add_view(hub, &live);
}

void executor_follow_views(Executor *executor, LiveHub *hub)
{
    for (size_t i = executor->view_count; i-- > 0;) { /* the newest of a name comes first */
        if (executor->views[i].live_sources)
            follow(&executor->views[i], hub);
    }
}
