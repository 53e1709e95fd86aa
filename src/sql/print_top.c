/* SPDX-License-Identifier: Apache-2.0
 *
 * The first rows of one table: SELECT … FROM t WHERE c ORDER BY x LIMIT n. Where the table is a
 * union of parts, the first n rows of all are among the first n of each part, and a part that is
 * asked for only those can skip what it need not read; DuckDB does not find that out for a union by
 * itself. So condition, order and limit are printed once more for the parts. The whole is still
 * filtered, ordered and cut as ever: what is said here may be ignored.
 */
#include "sql/print_int.h"

enum { TOP_ROWS_MAX = 10000 }; /* more is no small part of most tables */

/* False when the name may mean an item of the SELECT instead of a column. */
static bool is_plain_column(const Select *select, const Expr *expr)
{
    if (expr->kind != EXPR_COLUMN)
        return false;
    for (uint32_t i = 0; i < select->item_count && !expr->column.table.size; i++) {
        const SelectItem *item = &select->items[i];
        if (!item->star && item->alias.size &&
            slice_equal_ignoring_case(item->alias, expr->column.name))
            return false;
    }
    return true;
}

static bool may_be_split(const Printer *p, const TableRef *ref)
{
    const Select *select = p->scope->select;
    if (p->scope->outer || select->from != ref || !select->limit || select->order_count == 0 ||
        !sql_select_is_native(select))
        return false;
    for (uint32_t i = 0; i < select->item_count; i++)
        if (!select->items[i].star && sql_expr_has_aggregate(select->items[i].expr))
            return false;
    for (uint32_t i = 0; i < select->order_count; i++)
        if (!is_plain_column(select, select->order[i].expr))
            return false;
    return true;
}

static Code print_parts(Printer *p, const Select *select, Buffer *where, Buffer *order,
                        uint64_t rows)
{
    p->out = where;
    if (select->where)
        TRY(sql__print_expr(p, select->where));
    p->out = order;
    TRY(sql__print_order(p, select->order, select->order_count));
    buffer_printf(order, " LIMIT %llu", (unsigned long long)rows);
    return OK;
}

Code sql__print_top(Printer *p, const TableRef *ref, PrintTable *table)
{
    const Select *select = p->scope->select;
    uint64_t limit = 0, skipped = 0;
    if (!may_be_split(p, ref))
        return OK;
    TRY(sql__print_count(p, select->limit, "LIMIT", &limit));
    if (select->row_offset)
        TRY(sql__print_count(p, select->row_offset, "OFFSET", &skipped));
    if (limit > TOP_ROWS_MAX || skipped > TOP_ROWS_MAX)
        return OK;
    CLEANUP(buffer_done) Buffer where = {0}, order = {0};
    Buffer *out = p->out;
    Code code = print_parts(p, select, &where, &order, limit + skipped);
    p->out = out;
    TRY(code);
    table->where = arena_copy(p->arena, buffer_slice(&where));
    table->top = arena_copy(p->arena, buffer_slice(&order));
    return OK;
}
