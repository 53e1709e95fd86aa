/* SPDX-License-Identifier: Apache-2.0
 *
 * From the text of a subscription to something that can be asked of each row: parsed, checked for
 * rights, bound to one partition.
 *
 * I1. The partition of a USER or STREAM table is that of the session's user, whatever the text
 *     says.
 */
#include "live/query_int.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "table/seq.h"

enum { KEPT_BYTES = 448 }; /* of a short query, with what it is compiled to; more grows */

static const char *const clock_functions[] = {"now", "current_timestamp", "snowflake_id", "ulid",
                                              "uuid_v7"};

/* The first call whose value changes by itself: no commit would tell that a row has left such a
 * filter. */
static const Expr *find_clock(const Expr *expr)
{
    if (!expr)
        return NULL;
    if (expr->kind == EXPR_CALL) {
        for (size_t i = 0; i < sizeof clock_functions / sizeof *clock_functions; i++) {
            if (slice_equal_ignoring_case(expr->name, slice_of_text(clock_functions[i])))
                return expr;
        }
    }
    for (uint32_t i = 0; i < expr->item_count; i++) {
        const Expr *found = find_clock(expr->items[i]);
        if (found)
            return found;
    }
    if (expr->kind < EXPR_UNARY || expr->kind > EXPR_CAST)
        return NULL;
    const Expr *found = find_clock(expr->left);
    if (!found)
        found = find_clock(expr->right);
    return found ? found : find_clock(expr->third);
}

static Code refuse_at(const LiveQuery *query, uint32_t offset, Code code, const char *reason,
                      Error *e)
{
    uint32_t line, column;
    sql_place(query->sql, offset, &line, &column);
    return fail_at(e, code, line, column, "%s", reason);
}

static Code parse(LiveQuery *query, const Select **out, Error *e)
{
    Statement *statement;
    TRY(sql_parse(query->sql, query->arena, &statement, e));
    if (statement->kind != STATEMENT_SELECT && statement->kind != STATEMENT_SUBSCRIBE)
        return fail(e, E_INVALID_SQL, "Only SELECT can be subscribed to, not %s",
                    sql_statement_name(statement->kind));
    const Select *select =
        statement->kind == STATEMENT_SELECT ? statement->select : statement->subscribe.select;
    if (statement->kind == STATEMENT_SUBSCRIBE) {
        const Subscribe *from = &statement->subscribe;
        query->options = (LiveRequest){
            .has_options = from->has_last_rows || from->has_batch_size || from->has_from,
            .has_last_rows = from->has_last_rows,
            .has_batch_size = from->has_batch_size,
            .has_from = from->has_from,
            .last_rows = from->last_rows,
            .batch_size = from->batch_size,
            .from = from->from,
        };
    }
    TRY(sql_check_live(select, query->sql, e));
    const Expr *clock = find_clock(select->where);
    for (uint32_t i = 0; i < select->order_count && !clock; i++)
        clock = find_clock(select->order[i].expr);
    if (clock)
        return refuse_at(query, clock->offset, E_INVALID_SQL,
                         "A subscription query cannot use the clock or ids: a row would leave its "
                         "WHERE without a change",
                         e);
    *out = select;
    return OK;
}

static bool may_read(Role role, const Table *table)
{
    if (role == ROLE_ANONYMOUS)
        return false;
    if (table->kind != TABLE_SHARED)
        return true;
    return access_level_allows(table->access, role, false);
}

static Code find_system_table(LiveHub *hub, const LiveUser *user, const TableName *name,
                              LiveQuery *query, Error *e)
{
    if (!role_is_admin(user->role))
        return fail(e, E_PERMISSION_DENIED, "System tables are for administrators");
    query->view = live__find_view(hub, name->namespace_name, name->name, &query->table);
    if (!query->view)
        return refuse_at(query, name->offset, E_UNSUPPORTED,
                         "This system table cannot be subscribed to, or there is no such", e);
    query->partition = (Partition){query->table->id, 0};
    return OK;
}

static Code find_table(LiveHub *hub, Database *db, const LiveUser *user, const TableName *name,
                       LiveQuery *query, Error *e)
{
    if (catalog_is_system_namespace(name->namespace_name))
        return find_system_table(hub, user, name, query, e);
    Table *table = catalog_find_table(database_catalog(db), name->namespace_name, name->name);
    if (!table)
        return fail(e, E_TABLE_NOT_FOUND, "Table not found: %.*s:%.*s",
                    SLICE_ARGS(name->namespace_name), SLICE_ARGS(name->name));
    query->table = table;
    if (!may_read(user->role, table))
        return fail(
            e, E_PERMISSION_DENIED,
            "Access denied: role '%s' may not read SHARED table '%.*s.%.*s' (access level '%s')",
            role_name(user->role), SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name),
            access_level_name(table->access));
    must(table->kind == TABLE_SHARED || user->user != 0);
    query->partition =
        (Partition){table->id, table->kind == TABLE_SHARED ? 0 : user->user}; /* I1 */
    return OK;
}

static void select_all(LiveQuery *query)
{
    const Schema *schema = query->table->schema;
    query->is_star = true;
    query->column_count = schema->column_count;
    query->columns = arena_new_array(query->arena, LiveColumn, schema->column_count);
    for (uint32_t i = 0; i < schema->column_count; i++)
        query->columns[i] = (LiveColumn){i, schema->columns[i].name};
}

static Code select_columns(LiveQuery *query, const Select *select, const BindContext *bind,
                           Error *e)
{
    for (uint32_t i = 0; i < select->item_count; i++) {
        if (select->items[i].star) {
            select_all(query);
            return OK;
        }
    }
    query->columns = arena_new_array(query->arena, LiveColumn, select->item_count);
    for (uint32_t i = 0; i < select->item_count; i++) {
        const SelectItem *item = &select->items[i];
        BoundExpr *column;
        TRY(sql_bind(bind, item->expr, query->arena, &column, e));
        int32_t index = sql_bound_column(column);
        if (index < 0)
            return refuse_at(query, item->offset, E_INVALID_SQL,
                             "A subscription query can only select columns and *", e);
        Slice name = query->table->schema->columns[index].name;
        query->columns[query->column_count++] =
            (LiveColumn){(uint32_t)index, item->alias.size ? item->alias : name};
    }
    return OK;
}

/* ORDER BY 2, ORDER BY alias: the column it is; empty for an expression. */
static Code find_ordered_column(const LiveQuery *query, const OrderItem *item, Slice *out, Error *e)
{
    const Expr *expr = item->expr;
    int32_t index = -1;
    if (expr->kind == EXPR_LITERAL) {
        bool is_place = expr->value.type == TYPE_BIGINT && !expr->value.is_null;
        int64_t place = is_place ? expr->value.integer : 0;
        if (place < 1 || place > query->column_count)
            return refuse_at(query, expr->offset, E_INVALID_SQL,
                             "ORDER BY can name a column by its place, from 1", e);
        index = (int32_t)query->columns[place - 1].index;
    }
    for (uint32_t i = 0; index < 0 && expr->kind == EXPR_COLUMN && i < query->column_count; i++) {
        if (!expr->column.table.size &&
            slice_equal_ignoring_case(query->columns[i].name, expr->column.name))
            index = (int32_t)query->columns[i].index;
    }
    *out = index < 0 ? (Slice){0} : query->table->schema->columns[index].name;
    return OK;
}

static Code bind_order(LiveQuery *query, const Select *select, const BindContext *bind, Error *e)
{
    query->order = arena_new_array(query->arena, LiveOrder, select->order_count);
    query->order_count = select->order_count;
    for (uint32_t i = 0; i < select->order_count; i++) {
        const OrderItem *item = &select->order[i];
        Expr column = {.kind = EXPR_COLUMN, .offset = item->expr->offset};
        TRY(find_ordered_column(query, item, &column.column.name, e));
        const Expr *expr = column.column.name.size ? &column : item->expr;
        LiveOrder *order = &query->order[i];
        *order = (LiveOrder){.descending = item->descending, .nulls_first = item->nulls_first};
        TRY(sql_bind(bind, expr, query->arena, &order->expr, e));
    }
    return OK;
}

/* Bound constants may point into them. */
static const Value *copy_parameters(LiveQuery *query, const LiveRequest *request)
{
    Value *values = arena_new_array(query->arena, Value, request->param_count);
    for (size_t i = 0; i < request->param_count; i++) {
        values[i] = request->params[i];
        if (values[i].type == TYPE_TEXT && !values[i].is_null)
            values[i].bytes = arena_copy(query->arena, values[i].bytes);
    }
    return values;
}

/* CURRENT_USER() in WHERE or ORDER BY is whoever asks. */
static bool is_the_same_for_all(const LiveQuery *query)
{
    bool is_pure = !query->where || sql_bound_is_pure(query->where);
    for (uint32_t i = 0; i < query->order_count; i++)
        is_pure &= sql_bound_is_pure(query->order[i].expr);
    return is_pure;
}

static Code compile(LiveHub *hub, Database *db, const LiveUser *user, const LiveRequest *request,
                    LiveQuery *query, Error *e)
{
    const Select *select = NULL;
    query->params = copy_parameters(query, request);
    query->param_count = request->param_count;
    TRY(parse(query, &select, e));
    TRY(find_table(hub, db, user, &select->from->table, query, e));
    BindContext bind = {
        .text = query->sql,
        .schema = query->table->schema,
        .namespace_name = query->table->namespace_name,
        .table = query->table->name,
        .alias = select->from->alias,
        .parameters = query->params,
        .parameter_count = (uint32_t)query->param_count,
    };
    TRY(sql_bind_condition(&bind, select->where, query->arena, &query->where, e));
    TRY(select_columns(query, select, &bind, e));
    TRY(bind_order(query, select, &bind, e));
    query->eval = (EvalContext){
        .user_id = arena_copy(query->arena, user->user_id),
        .role = slice_of_text(role_name(user->role)),
    };
    query->is_shareable = query->partition.user == 0 && is_the_same_for_all(query);
    return OK;
}

static const Value *keep_parameters(const LiveQuery *query, Arena *arena)
{
    Value *values = arena_new_array(arena, Value, query->param_count);
    for (size_t i = 0; i < query->param_count; i++) {
        values[i] = query->params[i];
        if (values[i].type == TYPE_TEXT && !values[i].is_null)
            values[i].bytes = arena_copy(arena, values[i].bytes);
    }
    return values;
}

/* The names are those of the schema, which the table holds, or aliases. */
static LiveColumn *keep_columns(const LiveQuery *query, Arena *arena)
{
    LiveColumn *columns = arena_new_array(arena, LiveColumn, query->column_count);
    for (uint32_t i = 0; i < query->column_count; i++) {
        columns[i] = query->columns[i];
        if (columns[i].name.data != query->table->schema->columns[columns[i].index].name.data)
            columns[i].name = arena_copy(arena, columns[i].name);
    }
    return columns;
}

/* What is needed from here on goes into an arena of its size; what was parsed is let go. */
static void keep(LiveQuery *query)
{
    Arena *arena = arena_new_small(KEPT_BYTES);
    query->sql = arena_copy(arena, query->sql);
    query->params = keep_parameters(query, arena);
    query->columns = keep_columns(query, arena);
    query->where = sql_bound_copy(query->where, arena);
    query->eval.user_id = arena_copy(arena, query->eval.user_id);
    LiveOrder *order = arena_new_array(arena, LiveOrder, query->order_count);
    for (uint32_t i = 0; i < query->order_count; i++) {
        order[i] = query->order[i];
        order[i].expr = sql_bound_copy(query->order[i].expr, arena);
    }
    query->order = order;
    arena_free(query->arena);
    query->arena = arena;
}

Code live__query_new(LiveHub *hub, Database *db, const LiveUser *user, const LiveRequest *request,
                     LiveQuery **out, Error *e)
{
    LiveQuery *query = x_new(LiveQuery);
    atomic_init(&query->refs, 1);
    query->arena = arena_new();
    query->sql = arena_copy(query->arena, request->sql);
    Code code = compile(hub, db, user, request, query, e);
    if (code != OK) {
        live__query_unref(query);
        return code;
    }
    keep(query);
    *out = query;
    return OK;
}

LiveQuery *live__query_ref(LiveQuery *query)
{
    atomic_fetch_add_explicit(&query->refs, 1, memory_order_relaxed);
    return query;
}

void live__query_unref(LiveQuery *query)
{
    /* release: our uses come before the free; acquire: the free comes after theirs. */
    if (!query || atomic_fetch_sub_explicit(&query->refs, 1, memory_order_acq_rel) != 1)
        return;
    table_unref(query->table);
    arena_free(query->arena);
    free(query);
}

Code live__query_check(const LiveQuery *query, Database *db, Error *e)
{
    const Table *table = query->table;
    if (table_is_current(table))
        return OK;
    CLEANUP(table_unref_ptr)
    Table *now = catalog_find_table_by_id(database_catalog(db), table->id);
    return fail(e, E_TABLE_NOT_FOUND, "Table not found: %.*s:%.*s %s",
                SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name),
                now ? "as it was (its definition changed; subscribe again)" : "(it was dropped)");
}

uint64_t live__query_born(const LiveQuery *query)
{
    uint64_t created = seq_at(query->table->created_at_us), open = table_open_since(query->table);
    return created > open ? created : open;
}

Code live__query_matches(const LiveQuery *query, const Value *values, uint64_t seq, Arena *arena,
                         bool *out, Error *e)
{
    RowView row = {.values = values, .seq = seq};
    return sql_eval_condition(query->where, &row, &query->eval, arena, out, e);
}

Code live__query_event(const LiveQuery *query, const LiveChange *change, Arena *arena,
                       LiveEvent *out, Error *e)
{
    bool old_matches = false, new_matches = false;
    if (change->old_values)
        TRY(live__query_matches(query, change->old_values, change->old_seq, arena, &old_matches,
                                e));
    if (change->new_values)
        TRY(live__query_matches(query, change->new_values, change->seq, arena, &new_matches, e));
    *out = live__event_of(change->kind, old_matches, new_matches);
    return OK;
}
