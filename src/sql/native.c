/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions about a tree: can we evaluate it ourselves, can it be a live query.
 */
#include "sql/eval_int.h"
#include "sql/sql_int.h"

static const char *const aggregates[] = {
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "string_agg",
    "array_agg",
    "bool_and",
    "bool_or",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "median",
    "mode",
    "first",
    "last",
    "any_value",
    "arg_min",
    "arg_max",
    "approx_count_distinct",
    "quantile_cont",
    "quantile_disc",
    "corr",
    "covar_pop",
    "covar_samp",
    "bit_and",
    "bit_or",
    "bit_xor",
    "count_if",
    "product",
};

bool sql__is_aggregate(Slice name)
{
    for (size_t i = 0; i < sizeof(aggregates) / sizeof(*aggregates); i++)
        if (slice_equal_ignoring_case(name, slice_of_text(aggregates[i])))
            return true;
    return false;
}

typedef bool Test(const Expr *expr);

/* The first part of the expression for which the test holds, sub-selects not searched; NULL when
 * none. */
static const Expr *find(const Expr *expr, Test *test)
{
    if (!expr || test(expr))
        return expr;
    const Expr *found = NULL;
    for (uint32_t i = 0; i < expr->item_count && !found; i++)
        found = find(expr->items[i], test);
    if (found || expr->kind < EXPR_UNARY || expr->kind > EXPR_CAST)
        return found;
    found = find(expr->left, test);
    if (!found)
        found = find(expr->right, test);
    return found ? found : find(expr->third, test);
}

static bool is_aggregate_call(const Expr *expr)
{
    return expr->kind == EXPR_CALL && !expr->window && sql__is_aggregate(expr->name);
}

static bool is_foreign_call(const Expr *expr)
{
    if (expr->window || expr->star || expr->distinct || expr->call_order_count)
        return true;
    const SqlFunction *f = sql__find_function(expr->name);
    return !f || expr->item_count < f->arg_min || expr->item_count > f->arg_max;
}

static bool is_foreign(const Expr *expr)
{
    switch (expr->kind) {
    case EXPR_IN_SELECT:
    case EXPR_EXISTS:
    case EXPR_SUBQUERY:
        return true;
    case EXPR_INTERVAL:
        return expr->months != 0; /* the calendar's arithmetic is DuckDB's */
    case EXPR_BINARY:
        return expr->op == OP_JSON_GET || expr->op == OP_JSON_GET_TEXT;
    case EXPR_CALL:
        return is_foreign_call(expr);
    default:
        return false;
    }
}

const Expr *sql__find_aggregate(const Expr *expr)
{
    return find(expr, is_aggregate_call);
}

bool sql_expr_has_aggregate(const Expr *expr)
{
    return sql__find_aggregate(expr) != NULL;
}

bool sql_expr_is_native(const Expr *expr)
{
    return find(expr, is_foreign) == NULL;
}

bool sql_expr_is_count_star(const Expr *expr)
{
    if (expr->kind != EXPR_CALL || expr->window || expr->distinct || expr->call_order_count ||
        !slice_equal_ignoring_case(expr->name, SLICE("count")))
        return false;
    if (expr->star)
        return true;
    return expr->item_count == 1 && expr->items[0]->kind == EXPR_LITERAL &&
           !expr->items[0]->value.is_null;
}

Slice sql_item_name(const SelectItem *item, Arena *arena)
{
    must(!item->star);
    if (item->alias.size)
        return item->alias;
    if (item->expr->kind == EXPR_COLUMN)
        return item->expr->column.name;
    if (item->expr->kind != EXPR_CALL)
        return item->text;
    Slice copy = arena_copy(arena, item->text);
    char *text = (char *)copy.data;
    for (size_t i = 0; i < item->expr->name.size && i < copy.size; i++)
        if (text[i] >= 'A' && text[i] <= 'Z')
            text[i] = (char)(text[i] + 32);
    return copy;
}

static bool has_native_items(const Select *select)
{
    bool is_count = select->item_count == 1 && !select->items[0].star &&
                    sql_expr_is_count_star(select->items[0].expr);
    if (is_count)
        return select->order_count == 0;
    for (uint32_t i = 0; i < select->item_count; i++)
        if (!select->items[i].star && !sql_expr_is_native(select->items[i].expr))
            return false;
    for (uint32_t i = 0; i < select->order_count; i++)
        if (!sql_expr_is_native(select->order[i].expr))
            return false;
    return true;
}

bool sql_select_is_native(const Select *select)
{
    if (select->set_operation != SET_NONE || select->with_count || select->distinct ||
        select->group_count || select->having)
        return false;
    if (select->from && select->from->kind != REF_TABLE)
        return false;
    return has_native_items(select) && sql_expr_is_native(select->where) &&
           sql_expr_is_native(select->limit) && sql_expr_is_native(select->row_offset);
}

/* ---- live queries ---- */

static Code refuse(Slice text, uint32_t offset, Error *e, const char *reason)
{
    uint32_t line, column;
    sql_place(text, offset, &line, &column);
    return fail_at(e, E_INVALID_SQL, line, column, "%s", reason);
}

static Code check_live_items(const Select *select, Slice text, Error *e)
{
    for (uint32_t i = 0; i < select->item_count; i++) {
        const SelectItem *item = &select->items[i];
        if (item->star)
            continue;
        if (item->expr->kind != EXPR_COLUMN)
            return refuse(text, item->offset, e,
                          "A subscription query can only select columns and *");
        Slice name = item->expr->column.name;
        if (slice_equal_ignoring_case(name, SLICE("_seq")) ||
            slice_equal_ignoring_case(name, SLICE("_deleted")))
            return refuse(text, item->offset, e,
                          "Subscription query cannot project system columns '_seq' or '_deleted'.");
    }
    return OK;
}

Code sql_check_live(const Select *select, Slice text, Error *e)
{
    const char *reason = NULL;
    if (select->set_operation != SET_NONE)
        reason = "A subscription query cannot use UNION, INTERSECT or EXCEPT";
    else if (select->with_count)
        reason = "A subscription query cannot use WITH";
    else if (select->has_limit || select->row_offset)
        reason = "A subscription query cannot use LIMIT or OFFSET; see the option last_rows";
    else if (select->distinct)
        reason = "A subscription query cannot use DISTINCT";
    else if (select->group_count || select->having)
        reason = "A subscription query cannot use GROUP BY or HAVING";
    else if (!select->from)
        reason = "A subscription query needs FROM and a table";
    if (reason)
        return refuse(text, select->offset, e, reason);
    if (select->from->kind != REF_TABLE)
        return refuse(
            text, select->from->offset, e,
            "A subscription query reads exactly one table, without joins and sub-selects");
    if (!select->from->table.namespace_name.size)
        return refuse(text, select->from->offset, e, "Query must use namespace.table format");
    TRY(check_live_items(select, text, e));
    const Expr *foreign = find(select->where, is_foreign);
    for (uint32_t i = 0; i < select->order_count && !foreign; i++)
        foreign = find(select->order[i].expr, is_foreign);
    if (foreign)
        return refuse(text, foreign->offset, e,
                      "WHERE and ORDER BY of a subscription query cannot use "
                      "aggregates, windows, sub-selects, or functions that do not run live");
    return OK;
}
