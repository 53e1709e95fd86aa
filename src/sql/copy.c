/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy of a bound expression in an arena of its own, for what outlives its statement: the tree
 * that was parsed, into which texts of the original point, is several times its size. As deep as
 * the parser let it be.
 */
#include "sql/eval_int.h"

static Value copy_value(const Value *value, Arena *arena)
{
    Value copy = *value;
    bool has_bytes =
        value->type == TYPE_TEXT || value->type == TYPE_JSON || value->type == TYPE_BYTES;
    if (has_bytes && !value->is_null)
        copy.bytes = arena_copy(arena, value->bytes);
    return copy;
}

BoundExpr *sql_bound_copy(const BoundExpr *expr, Arena *arena)
{
    if (!expr)
        return NULL;
    BoundExpr *copy = arena_new_of(arena, BoundExpr);
    *copy = *expr;
    copy->value = copy_value(&expr->value, arena);
    if (expr->what)
        copy->what = arena_text(arena, slice_of_text(expr->what));
    if (expr->arg_count)
        copy->args = arena_new_array(arena, BoundExpr *, expr->arg_count);
    for (uint32_t i = 0; i < expr->arg_count; i++)
        copy->args[i] = sql_bound_copy(expr->args[i], arena);
    if (expr->value_count) {
        Value *values = arena_new_array(arena, Value, expr->value_count);
        for (uint32_t i = 0; i < expr->value_count; i++)
            values[i] = copy_value(&expr->values[i], arena);
        copy->values = values;
    }
    return copy;
}
