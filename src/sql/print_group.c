/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether a grouped SELECT asks only for what a group has: its GROUP BY expressions, aggregates and
 * constants. Two expressions are the same when they print the same. DuckDB would refuse the rest as
 * well, but without the place.
 */
#include "sql/print_int.h"

typedef struct Groups {
    Slice *texts;
    uint32_t count;
} Groups;

static Code check(Printer *p, const Groups *groups, const Expr *expr);

static Code print_aside(Printer *p, const Expr *expr, Buffer *aside)
{
    Buffer *out = p->out;
    p->out = aside;
    Code code = sql__print_expr(p, expr);
    p->out = out;
    return code;
}

static Code is_group(Printer *p, const Groups *groups, const Expr *expr, bool *out)
{
    CLEANUP(buffer_done) Buffer text = {0};
    *out = false;
    if (!groups->count)
        return OK;
    TRY(print_aside(p, expr, &text));
    for (uint32_t i = 0; i < groups->count && !*out; i++)
        *out = slice_equal(groups->texts[i], buffer_slice(&text));
    return OK;
}

static Code check_column(Printer *p, const Expr *expr)
{
    const ScopeColumn *column;
    const Scope *scope = p->scope;
    TRY(sql__resolve(p, expr, &column));
    bool is_ours = column >= scope->columns && column < scope->columns + scope->column_count;
    if (!column ||
        !is_ours) /* an item's alias, checked as that item, or a column of an outer SELECT */
        return OK;
    return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                           "Column '%.*s' must stand in GROUP BY or in an aggregate",
                           SLICE_ARGS(expr->column.name));
}

static Code check_window(Printer *p, const Groups *groups, const Window *window)
{
    for (uint32_t i = 0; i < window->partition_count; i++)
        TRY(check(p, groups, window->partition[i]));
    for (uint32_t i = 0; i < window->order_count; i++)
        TRY(check(p, groups, window->order[i].expr));
    return OK;
}

static Code check_parts(Printer *p, const Groups *groups, const Expr *expr)
{
    for (uint32_t i = 0; i < expr->item_count; i++)
        TRY(check(p, groups, expr->items[i]));
    if (expr->kind == EXPR_CALL)
        return expr->window ? check_window(p, groups, expr->window) : OK;
    const Expr *operands[] = {expr->left, expr->right, expr->third};
    for (int i = 0; i < 3; i++)
        if (operands[i])
            TRY(check(p, groups, operands[i]));
    return OK;
}

static Code check(Printer *p, const Groups *groups, const Expr *expr)
{
    switch (expr->kind) {
    case EXPR_LITERAL:
    case EXPR_PARAMETER:
    case EXPR_INTERVAL:
    case EXPR_DEFAULT:
    case EXPR_EXISTS:
    case EXPR_SUBQUERY:
        return OK;
    case EXPR_CALL:
        if (!expr->window && sql__is_aggregate(expr->name))
            return OK;
        break;
    default:
        break;
    }
    bool is_grouped;
    TRY(is_group(p, groups, expr, &is_grouped));
    if (is_grouped)
        return OK;
    return expr->kind == EXPR_COLUMN ? check_column(p, expr) : check_parts(p, groups, expr);
}

static bool has_star(const Select *select)
{
    for (uint32_t i = 0; i < select->item_count; i++)
        if (select->items[i].star)
            return true;
    return false;
}

static bool is_grouped_select(const Select *select)
{
    bool is_grouped = select->group_count || select->having;
    for (uint32_t i = 0; i < select->item_count && !is_grouped; i++)
        is_grouped = !select->items[i].star && sql_expr_has_aggregate(select->items[i].expr);
    for (uint32_t i = 0; i < select->order_count && !is_grouped; i++)
        is_grouped = sql_expr_has_aggregate(select->order[i].expr);
    return is_grouped;
}

/* The number n of GROUP BY n has been checked when it was printed. */
static Code collect(Printer *p, const Select *select, Groups *groups)
{
    groups->texts = arena_new_array(p->arena, Slice, select->group_count);
    for (uint32_t i = 0; i < select->group_count; i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        const Expr *expr = select->group[i];
        bool is_number = expr->kind == EXPR_LITERAL && expr->value.type == TYPE_BIGINT;
        if (is_number)
            expr = select->items[expr->value.integer - 1].expr;
        p->allows_alias = !is_number;
        TRY(print_aside(p, expr, &text));
        groups->texts[groups->count++] = arena_copy(p->arena, buffer_slice(&text));
    }
    return OK;
}

static bool is_alias(const Select *select, const Expr *expr)
{
    if (expr->kind != EXPR_COLUMN || expr->column.table.size)
        return false;
    for (uint32_t i = 0; i < select->item_count; i++)
        if (slice_equal_ignoring_case(select->items[i].alias, expr->column.name))
            return true;
    return false;
}

Code sql__check_groups(Printer *p, const Select *select)
{
    Groups groups = {0};
    if (!is_grouped_select(select) || has_star(select)) /* a star in a group is left to DuckDB */
        return OK;
    bool allowed_alias = p->allows_alias;
    TRY(collect(p, select, &groups));
    p->allows_alias = false;
    for (uint32_t i = 0; i < select->item_count; i++)
        TRY(check(p, &groups, select->items[i].expr));
    p->allows_alias = true;
    if (select->having)
        TRY(check(p, &groups, select->having));
    for (uint32_t i = 0; i < select->order_count; i++)
        if (!is_alias(select, select->order[i].expr))
            TRY(check(p, &groups, select->order[i].expr));
    p->allows_alias = allowed_alias;
    return OK;
}
