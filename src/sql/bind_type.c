/* SPDX-License-Identifier: Apache-2.0
 *
 * Bound nodes and their types: what is constant is computed once (I2 of bind_int.h), two sides of a
 * comparison get a type that both have (I1), an operand gets the type that its place asks for.
 */
#include <stdio.h>

#include "sql/bind_int.h"

Code sql__bind_fail(Binder *b, const Expr *at, Code code, const char *format, ...)
{
    char message[ERROR_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    uint32_t line, column;
    sql_place(b->context->text, at->offset, &line, &column);
    return fail_at(b->e, code, line, column, "%s", message);
}

const char *sql__type_name(Type type)
{
    return type == TYPE_NULL ? "NULL" : type_info(type)->name;
}

/* ---- nodes ---- */

BoundExpr *sql__node(Binder *b, NodeKind kind, Type type, uint32_t arg_count)
{
    BoundExpr *n = arena_new_of(b->arena, BoundExpr);
    n->kind = kind;
    n->type = type;
    n->is_pure = true;
    n->arg_count = arg_count;
    if (arg_count)
        n->args = arena_new_array(b->arena, BoundExpr *, arg_count);
    return n;
}

BoundExpr *sql__constant(Binder *b, Value value)
{
    BoundExpr *n = sql__node(b, NODE_CONSTANT, value.type, 0);
    n->value = value;
    return n;
}

bool sql__is_constant(const BoundExpr *n)
{
    return n->kind == NODE_CONSTANT;
}

Code sql__finish(Binder *b, const Expr *at, BoundExpr *n, BoundExpr **out)
{
    for (uint32_t i = 0; i < n->arg_count; i++) {
        n->is_pure &= n->args[i]->is_pure;
        n->uses_row |= n->args[i]->uses_row;
    }
    if (n->kind == NODE_CONSTANT || !n->is_pure || n->uses_row) {
        *out = n;
        return OK;
    }
    static const EvalContext nothing = {0};
    Value value;
    Error error = {0};
    Code code = sql_eval(n, NULL, &nothing, b->arena, &value, &error);
    if (code != OK)
        return sql__bind_fail(b, at, code, "%s", error.text);
    *out = sql__constant(b, value);
    (*out)->type = n->type;
    (*out)->value.type = n->type;
    return OK;
}

static bool is_parameter(const Expr *expr)
{
    return expr->kind == EXPR_PARAMETER;
}

Code sql__convert(Binder *b, const Expr *at, Type type, BoundExpr **io)
{
    BoundExpr *n = *io;
    if (n->type == type)
        return OK;
    if (n->type == TYPE_NULL && sql__is_constant(n)) {
        *io = sql__constant(b, value_null(type));
        return OK;
    }
    if (!sql__is_constant(n)) {
        BoundExpr *cast = sql__node(b, NODE_CAST, type, 1);
        cast->args[0] = n;
        cast->what = "the expression";
        return sql__finish(b, at, cast, io);
    }
    Value value;
    Error error = {0};
    const char *what = is_parameter(at) ? arena_printf(b->arena, "parameter $%u", at->parameter)
                                        : "the expression";
    if (value_cast(&n->value, type, what, b->arena, &value, &error) != OK)
        return sql__bind_fail(b, at, is_parameter(at) ? E_INVALID_PARAMETER : E_EXECUTION, "%s",
                              error.text);
    *io = sql__constant(b, value);
    return OK;
}

/* Text takes the type of the other side; a number takes that of a timestamp (microseconds) or of
 * text. */
static bool adapts(const BoundExpr *n, Type other)
{
    if (!sql__is_constant(n) || other == TYPE_NULL)
        return n->type == TYPE_NULL && other != TYPE_NULL;
    return n->type == TYPE_NULL || n->type == TYPE_TEXT ||
           (type_is_number(n->type) && (other == TYPE_TIMESTAMP || type_is_text(other)));
}

Code sql__unify(Binder *b, const Expr *at_a, BoundExpr **a, const Expr *at_b, BoundExpr **c)
{
    Type left = (*a)->type, right = (*c)->type;
    if (left == right || value_comparable(left, right))
        return OK;
    /* a text meets a number: the typed side decides; two constants: the text gives way */
    bool right_adapts = adapts(*c, left), left_adapts = adapts(*a, right);
    if (right_adapts && left_adapts && type_is_text(left))
        right_adapts = false;
    if (right_adapts)
        return sql__convert(b, at_b, left, c);
    if (left_adapts)
        return sql__convert(b, at_a, right, a);
    return sql__bind_fail(b, at_b, E_INVALID_SQL, "%s cannot be compared with %s; use CAST",
                          sql__type_name(left), sql__type_name(right));
}

Code sql__common_type(Binder *b, const Expr *const *at, BoundExpr **values, uint32_t count,
                      Type *out)
{
    Type type = TYPE_NULL;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < count; i++) {
            Type next = values[i]->type;
            bool gives_way = sql__is_constant(values[i]) && next == TYPE_TEXT;
            if (next == TYPE_NULL || next == type || gives_way != (pass == 1))
                continue;
            if (type == TYPE_NULL)
                type = next;
            else if (type_is_number(type) && type_is_number(next))
                type = sql__arithmetic_type(OP_ADD, type, next);
            else if (type_is_text(type) && type_is_text(next))
                type = TYPE_TEXT;
            else if (!gives_way)
                return sql__bind_fail(b, at[i], E_INVALID_SQL,
                                      "%s and %s cannot be mixed here; use CAST",
                                      sql__type_name(type), sql__type_name(next));
        }
    for (uint32_t i = 0; i < count && type != TYPE_NULL; i++)
        TRY(sql__convert(b, at[i], type, &values[i]));
    *out = type;
    return OK;
}

/* ---- expressions of a wanted type ---- */

Code sql__bind_boolean(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(sql__bind(b, expr, out));
    if ((*out)->type == TYPE_NULL || ((*out)->type == TYPE_TEXT && sql__is_constant(*out)))
        return sql__convert(b, expr, TYPE_BOOLEAN, out);
    return (*out)->type == TYPE_BOOLEAN
               ? OK
               : sql__bind_fail(b, expr, E_INVALID_SQL, "Expected a condition, found %s",
                                sql__type_name((*out)->type));
}

Code sql__bind_text(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(sql__bind(b, expr, out));
    if ((*out)->type == TYPE_NULL || (is_parameter(expr) && !type_is_text((*out)->type)))
        return sql__convert(b, expr, TYPE_TEXT, out);
    return type_is_text((*out)->type)
               ? OK
               : sql__bind_fail(b, expr, E_INVALID_SQL, "Expected a text, found %s; use CAST",
                                sql__type_name((*out)->type));
}

Code sql__bind_as_text(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(sql__bind(b, expr, out));
    return sql__convert(b, expr, TYPE_TEXT, out);
}

Code sql__adapt_parameter(Binder *b, const Expr *expr, const BoundExpr *other, BoundExpr **io)
{
    if (!is_parameter(expr) || (*io)->type != TYPE_TEXT || !type_is_number(other->type))
        return OK;
    return sql__convert(b, expr, other->type, io);
}

Code sql__check_number(Binder *b, const Expr *expr, BoundExpr **io)
{
    if ((*io)->type == TYPE_NULL)
        return sql__convert(b, expr, TYPE_BIGINT, io);
    if (is_parameter(expr) && (*io)->type == TYPE_TEXT)
        return sql__convert(b, expr, TYPE_DOUBLE, io);
    return type_is_number((*io)->type)
               ? OK
               : sql__bind_fail(b, expr, E_INVALID_SQL, "Expected a number, found %s",
                                sql__type_name((*io)->type));
}

Code sql__bind_number(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(sql__bind(b, expr, out));
    return sql__check_number(b, expr, out);
}
