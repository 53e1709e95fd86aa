/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of native functions: their arguments by the letters of a signature, the type of the result.
 */
#include "sql/bind_int.h"

static Code bind_argument(Binder *b, const Expr *expr, char kind, BoundExpr **out)
{
    switch (kind) {
    case 't':
        return sql__bind_text(b, expr, out);
    case 'c':
        return sql__bind_as_text(b, expr, out);
    case 's':
        return sql__bind(b, expr, out);
    case 'T':
        TRY(sql__bind(b, expr, out));
        if (sql__is_constant(*out))
            return sql__convert(b, expr, TYPE_TIMESTAMP, out);
        return (*out)->type == TYPE_TIMESTAMP
                   ? OK
                   : sql__bind_fail(b, expr, E_INVALID_SQL, "Expected a TIMESTAMP, found %s",
                                    sql__type_name((*out)->type));
    default:
        break;
    }
    TRY(sql__bind_number(b, expr, out));
    if (kind == 'D' || (kind == 'd' && (*out)->type != TYPE_FLOAT))
        return sql__convert(b, expr, TYPE_DOUBLE, out);
    if (kind == 'i' && (*out)->type != TYPE_BIGINT)
        return sql__convert(b, expr, TYPE_BIGINT, out);
    return OK;
}

static Type result_type(const SqlFunction *f, BoundExpr *const *args)
{
    switch (f->result) {
    case 't':
        return TYPE_TEXT;
    case 'i':
        return TYPE_BIGINT;
    case 'n':
        return TYPE_INT;
    case 'd':
        return TYPE_DOUBLE;
    case 'b':
        return TYPE_BOOLEAN;
    case 'T':
        return TYPE_TIMESTAMP;
    case '%':
        return sql__arithmetic_type(OP_MODULO, args[0]->type, args[1]->type);
    default:
        return args[0]->type;
    }
}

static Code unknown_function(Binder *b, const Expr *expr)
{
    if (sql__is_aggregate(expr->name))
        return sql__bind_fail(b, expr, E_INVALID_SQL, "The aggregate %.*s() is not allowed here",
                              SLICE_ARGS(expr->name));
    return sql__bind_fail(b, expr, E_INVALID_SQL,
                          "Function '%.*s' is not known here. Known are: %s",
                          SLICE_ARGS(expr->name), sql__function_names(b->arena));
}

static Code check_call(Binder *b, const Expr *expr, const SqlFunction *f)
{
    if (expr->window || expr->star || expr->distinct || expr->call_order_count)
        return sql__bind_fail(b, expr, E_INVALID_SQL,
                              "%.*s() is neither an aggregate nor a window function",
                              SLICE_ARGS(expr->name));
    if (expr->item_count >= f->arg_min && expr->item_count <= f->arg_max)
        return OK;
    if (f->arg_max == 0)
        return sql__bind_fail(b, expr, E_INVALID_SQL, "%.*s() takes no arguments",
                              SLICE_ARGS(expr->name));
    return sql__bind_fail(b, expr, E_INVALID_SQL, "%.*s() takes %d to %d arguments, %u were given",
                          SLICE_ARGS(expr->name), f->arg_min, f->arg_max, expr->item_count);
}

Code sql__bind_call(Binder *b, const Expr *expr, BoundExpr **out)
{
    const SqlFunction *f = sql__find_function(expr->name);
    if (!f)
        return unknown_function(b, expr);
    TRY(check_call(b, expr, f));
    BoundExpr *n = sql__node(b, NODE_CALL, TYPE_NULL, expr->item_count);
    size_t letters = strlen(f->signature);
    for (uint32_t i = 0; i < expr->item_count; i++)
        TRY(bind_argument(b, expr->items[i], f->signature[i < letters ? i : letters - 1],
                          &n->args[i]));
    n->function = f;
    n->is_pure = !f->is_impure;
    Type common;
    if (f->signature[0] == 's')
        TRY(sql__common_type(b, (const Expr *const *)expr->items, n->args, expr->item_count,
                             &common));
    n->type = result_type(f, n->args);
    return sql__finish(b, expr, n, out);
}
