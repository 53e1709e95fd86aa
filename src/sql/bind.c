/* SPDX-License-Identifier: Apache-2.0
 *
 * Expression tree to bound tree: names become indexes, each form of expression becomes a node whose
 * operands have the types it needs (bind_type.c).
 */
#include <stdlib.h>

#include "sql/bind_int.h"
#include "sql/sql_int.h"

/* ---- leaves ---- */

static bool same_name(Slice a, Slice b)
{
    return slice_equal_ignoring_case(a, b);
}

static Code check_qualifier(Binder *b, const Expr *expr)
{
    const BindContext *c = b->context;
    const ColumnName *name = &expr->column;
    if (!name->table.size)
        return OK;
    bool is_known = c->schema && same_name(name->table, c->alias.size ? c->alias : c->table);
    if (name->namespace_name.size)
        is_known = is_known && !c->alias.size && same_name(name->namespace_name, c->namespace_name);
    return is_known ? OK
                    : sql__bind_fail(b, expr, E_COLUMN_NOT_FOUND,
                                     "Table '%.*s' of column '%.*s' is not in FROM",
                                     SLICE_ARGS(name->table), SLICE_ARGS(name->name));
}

static Code bind_column(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(check_qualifier(b, expr));
    const Schema *schema = b->context->schema;
    Slice name = expr->column.name;
    BoundExpr *n = sql__node(b, NODE_COLUMN, TYPE_NULL, 0);
    n->uses_row = true;
    int32_t index = schema ? schema_find(schema, name) : -1;
    if (index >= 0) {
        n->column = index;
        n->type = schema->columns[index].type;
    } else if (schema && same_name(name, SLICE("_seq"))) {
        n->kind = NODE_SEQ;
        n->type = TYPE_BIGINT;
    } else if (schema && same_name(name, SLICE("_deleted"))) {
        n->kind = NODE_DELETED;
        n->type = TYPE_BOOLEAN;
    } else {
        return sql__bind_fail(b, expr, E_COLUMN_NOT_FOUND, "Column '%.*s' does not exist",
                              SLICE_ARGS(name));
    }
    *out = n;
    return OK;
}

static Code bind_parameter(Binder *b, const Expr *expr, BoundExpr **out)
{
    if (expr->parameter > b->context->parameter_count)
        return sql__bind_fail(b, expr, E_INVALID_PARAMETER, "No value was given for parameter $%u",
                              expr->parameter);
    *out = sql__constant(b, b->context->parameters[expr->parameter - 1]);
    return OK;
}

/* ---- operators ---- */

static Code bind_logic(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool is_not = expr->kind == EXPR_UNARY;
    BoundExpr *n = sql__node(b,
                             is_not               ? NODE_NOT
                             : expr->op == OP_AND ? NODE_AND
                                                  : NODE_OR,
                             TYPE_BOOLEAN, is_not ? 1 : 2);
    TRY(sql__bind_boolean(b, expr->left, &n->args[0]));
    if (!is_not)
        TRY(sql__bind_boolean(b, expr->right, &n->args[1]));
    return sql__finish(b, expr, n, out);
}

static Code bind_compare(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool is_distinct = expr->op == OP_DISTINCT_FROM || expr->op == OP_NOT_DISTINCT_FROM;
    BoundExpr *n = sql__node(b, is_distinct ? NODE_DISTINCT : NODE_COMPARE, TYPE_BOOLEAN, 2);
    n->op = expr->op;
    n->negated = expr->op == OP_NOT_DISTINCT_FROM;
    TRY(sql__bind(b, expr->left, &n->args[0]));
    TRY(sql__bind(b, expr->right, &n->args[1]));
    TRY(sql__unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    return sql__finish(b, expr, n, out);
}

static Code bind_shift(Binder *b, const Expr *expr, const Expr *time, const Expr *interval,
                       BoundExpr **out)
{
    if (interval->months)
        return sql__bind_fail(b, interval, E_UNSUPPORTED,
                              "Months and years in an interval are not supported here; use days");
    BoundExpr *n = sql__node(b, NODE_ADD_US, TYPE_TIMESTAMP, 1);
    TRY(sql__bind(b, time, &n->args[0]));
    if (sql__is_constant(n->args[0]))
        TRY(sql__convert(b, time, TYPE_TIMESTAMP, &n->args[0]));
    if (n->args[0]->type != TYPE_TIMESTAMP)
        return sql__bind_fail(b, time, E_INVALID_SQL,
                              "Expected a TIMESTAMP beside the interval, found %s",
                              sql__type_name(n->args[0]->type));
    n->shift_us = interval->interval_us;
    if (expr->op == OP_SUBTRACT && __builtin_sub_overflow(0, n->shift_us, &n->shift_us))
        return sql__bind_fail(b, interval, E_EXECUTION, "The interval is too long");
    return sql__finish(b, expr, n, out);
}

static Code bind_arithmetic(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool adds = expr->op == OP_ADD || expr->op == OP_SUBTRACT;
    if (adds && expr->right->kind == EXPR_INTERVAL)
        return bind_shift(b, expr, expr->left, expr->right, out);
    if (expr->op == OP_ADD && expr->left->kind == EXPR_INTERVAL)
        return bind_shift(b, expr, expr->right, expr->left, out);
    BoundExpr *n = sql__node(b, NODE_ARITHMETIC, TYPE_NULL, 2);
    TRY(sql__bind(b, expr->left, &n->args[0]));
    TRY(sql__bind(b, expr->right, &n->args[1]));
    TRY(sql__adapt_parameter(b, expr->left, n->args[1], &n->args[0]));
    TRY(sql__adapt_parameter(b, expr->right, n->args[0], &n->args[1]));
    TRY(sql__check_number(b, expr->left, &n->args[0]));
    TRY(sql__check_number(b, expr->right, &n->args[1]));
    n->op = expr->op;
    n->type = sql__arithmetic_type(expr->op, n->args[0]->type, n->args[1]->type);
    return sql__finish(b, expr, n, out);
}

static Code bind_concat(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_CONCAT, TYPE_TEXT, 2);
    TRY(sql__bind_as_text(b, expr->left, &n->args[0]));
    TRY(sql__bind_as_text(b, expr->right, &n->args[1]));
    return sql__finish(b, expr, n, out);
}

static Code bind_binary(Binder *b, const Expr *expr, BoundExpr **out)
{
    switch (expr->op) {
    case OP_AND:
    case OP_OR:
        return bind_logic(b, expr, out);
    case OP_CONCAT:
        return bind_concat(b, expr, out);
    case OP_ADD:
    case OP_SUBTRACT:
    case OP_MULTIPLY:
    case OP_DIVIDE:
    case OP_INTEGER_DIVIDE:
    case OP_MODULO:
        return bind_arithmetic(b, expr, out);
    case OP_JSON_GET:
    case OP_JSON_GET_TEXT:
        return sql__bind_fail(b, expr, E_UNSUPPORTED, "-> and ->> are supported in SELECT only");
    default:
        return bind_compare(b, expr, out);
    }
}

static Code bind_unary(Binder *b, const Expr *expr, BoundExpr **out)
{
    if (expr->op == OP_NOT)
        return bind_logic(b, expr, out);
    BoundExpr *n = sql__node(b, NODE_NEGATE, TYPE_NULL, 1);
    TRY(sql__bind_number(b, expr->left, &n->args[0]));
    n->type = n->args[0]->type;
    if (expr->op == OP_PLUS) {
        *out = n->args[0];
        return OK;
    }
    return sql__finish(b, expr, n, out);
}

static Code bind_is(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_IS, TYPE_BOOLEAN, 1);
    n->is = expr->is;
    n->negated = expr->negated;
    if (expr->is == IS_NULL)
        TRY(sql__bind(b, expr->left, &n->args[0]));
    else
        TRY(sql__bind_boolean(b, expr->left, &n->args[0]));
    return sql__finish(b, expr, n, out);
}

static Code bind_between(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_BETWEEN, TYPE_BOOLEAN, 3);
    n->negated = expr->negated;
    TRY(sql__bind(b, expr->left, &n->args[0]));
    TRY(sql__bind(b, expr->right, &n->args[1]));
    TRY(sql__bind(b, expr->third, &n->args[2]));
    TRY(sql__unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    TRY(sql__unify(b, expr->left, &n->args[0], expr->third, &n->args[2]));
    TRY(sql__unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    return sql__finish(b, expr, n, out);
}

/* ---- IN ---- */

static int compare_for_sort(const void *a, const void *b)
{
    return value_compare(a, b);
}

/* All items are constants: sorted once, found by halving. */
static void sort_items(Binder *b, BoundExpr *n)
{
    Value *values = arena_new_array(b->arena, Value, n->arg_count);
    uint32_t count = 0;
    for (uint32_t i = 1; i < n->arg_count; i++) {
        if (!sql__is_constant(n->args[i]))
            return;
        if (n->args[i]->value.is_null)
            n->has_null = true;
        else
            values[count++] = n->args[i]->value;
    }
    qsort(values, count, sizeof(*values), compare_for_sort);
    n->kind = NODE_IN_SORTED;
    n->values = values;
    n->value_count = count;
    n->arg_count = 1;
}

static Code bind_in(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_IN, TYPE_BOOLEAN, expr->item_count + 1);
    n->negated = expr->negated;
    TRY(sql__bind(b, expr->left, &n->args[0]));
    for (uint32_t i = 0; i < expr->item_count; i++) {
        TRY(sql__bind(b, expr->items[i], &n->args[i + 1]));
        TRY(sql__unify(b, expr->left, &n->args[0], expr->items[i], &n->args[i + 1]));
    }
    if (sql__is_constant(n->args[0])) /* it may have taken the type of a later item */
        for (uint32_t i = 0; i < expr->item_count; i++)
            TRY(sql__unify(b, expr->left, &n->args[0], expr->items[i], &n->args[i + 1]));
    sort_items(b, n);
    return sql__finish(b, expr, n, out);
}

/* ---- LIKE, CASE, CAST ---- */

static Code bind_like(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_LIKE, TYPE_BOOLEAN, expr->third ? 3 : 2);
    n->negated = expr->negated;
    n->ignore_case = expr->ignore_case;
    TRY(sql__bind_text(b, expr->left, &n->args[0]));
    TRY(sql__bind_text(b, expr->right, &n->args[1]));
    if (expr->third) {
        TRY(sql__bind_text(b, expr->third, &n->args[2]));
        const Value *escape = &n->args[2]->value;
        if (!sql__is_constant(n->args[2]) || escape->is_null || sql__text_length(escape->bytes) > 1)
            return sql__bind_fail(b, expr->third, E_INVALID_SQL,
                                  "ESCAPE must be a text of at most one "
                                  "character");
    }
    return sql__finish(b, expr, n, out);
}

/* The operand of CASE x WHEN a WHEN b and its alternatives, made comparable one by one; it is
 * evaluated once. */
static Code bind_operand(Binder *b, const Expr *expr, BoundExpr *n)
{
    BoundExpr **operand = &n->args[0];
    TRY(sql__bind(b, expr->left, operand));
    for (uint32_t i = 0; i < expr->item_count; i += 2) {
        TRY(sql__bind(b, expr->items[i], &n->args[i + 1]));
        TRY(sql__unify(b, expr->left, operand, expr->items[i], &n->args[i + 1]));
    }
    if (sql__is_constant(*operand)) /* it may have taken the type of a later alternative */
        for (uint32_t i = 0; i < expr->item_count; i += 2)
            TRY(sql__unify(b, expr->left, operand, expr->items[i], &n->args[i + 1]));
    return OK;
}

static Code bind_case(Binder *b, const Expr *expr, BoundExpr **out)
{
    uint32_t pairs = expr->item_count / 2, first = expr->left ? 1 : 0;
    BoundExpr *n = sql__node(b, NODE_CASE, TYPE_NULL, first + expr->item_count + 1);
    BoundExpr **values = arena_new_array(b->arena, BoundExpr *, pairs + 1);
    const Expr **at = arena_new_array(b->arena, const Expr *, pairs + 1);
    n->has_operand = expr->left != NULL;
    if (expr->left)
        TRY(bind_operand(b, expr, n));
    for (uint32_t i = 0; i < pairs; i++) {
        if (!expr->left)
            TRY(sql__bind_boolean(b, expr->items[2 * i], &n->args[2 * i]));
        at[i] = expr->items[2 * i + 1];
        TRY(sql__bind(b, at[i], &values[i]));
    }
    at[pairs] = expr->right ? expr->right : expr;
    values[pairs] = sql__constant(b, value_null(TYPE_NULL));
    if (expr->right)
        TRY(sql__bind(b, expr->right, &values[pairs]));
    TRY(sql__common_type(b, at, values, pairs + 1, &n->type));
    for (uint32_t i = 0; i < pairs; i++)
        n->args[first + 2 * i + 1] = values[i];
    n->args[n->arg_count - 1] = values[pairs];
    return sql__finish(b, expr, n, out);
}

static Code bind_cast(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = sql__node(b, NODE_CAST, expr->type, 1);
    n->what = "CAST";
    TRY(sql__bind(b, expr->left, &n->args[0]));
    return sql__finish(b, expr, n, out);
}

Code sql__bind(Binder *b, const Expr *expr, BoundExpr **out)
{
    switch (expr->kind) {
    case EXPR_LITERAL:
        *out = sql__constant(b, expr->value);
        return OK;
    case EXPR_PARAMETER:
        return bind_parameter(b, expr, out);
    case EXPR_COLUMN:
        return bind_column(b, expr, out);
    case EXPR_UNARY:
        return bind_unary(b, expr, out);
    case EXPR_BINARY:
        return bind_binary(b, expr, out);
    case EXPR_IS:
        return bind_is(b, expr, out);
    case EXPR_BETWEEN:
        return bind_between(b, expr, out);
    case EXPR_IN:
        return bind_in(b, expr, out);
    case EXPR_LIKE:
        return bind_like(b, expr, out);
    case EXPR_CASE:
        return bind_case(b, expr, out);
    case EXPR_CAST:
        return bind_cast(b, expr, out);
    case EXPR_CALL:
        return sql__bind_call(b, expr, out);
    case EXPR_DEFAULT:
        return sql__bind_fail(b, expr, E_INVALID_SQL,
                              "DEFAULT is allowed as a value of INSERT and SET only");
    case EXPR_INTERVAL:
        return sql__bind_fail(b, expr, E_INVALID_SQL,
                              "An interval can only be added to or subtracted from a "
                              "TIMESTAMP");
    default:
        return sql__bind_fail(b, expr, E_UNSUPPORTED, "A sub-select is not supported here");
    }
}

/* ---- the ways in ---- */

Code sql_bind(const BindContext *context, const Expr *expr, Arena *arena, BoundExpr **out, Error *e)
{
    Binder b = {context, arena, e};
    return sql__bind(&b, expr, out);
}

Code sql_bind_condition(const BindContext *context, const Expr *expr, Arena *arena, BoundExpr **out,
                        Error *e)
{
    if (!expr) {
        *out = NULL;
        return OK;
    }
    Binder b = {context, arena, e};
    return sql__bind_boolean(&b, expr, out);
}

static Code assign_constant(Binder *b, const Expr *expr, const BoundExpr *n, BoundExpr *cast,
                            BoundExpr **out)
{
    Value value;
    if (value_cast(&n->value, cast->type, cast->what, b->arena, &value, b->e) != OK)
        return sql__place(b->context->text, expr->offset, b->e);
    *out = sql__constant(b, value);
    return OK;
}

Code sql_bind_assignment(const BindContext *context, const Expr *expr, const Column *column,
                         Arena *arena, BoundExpr **out, Error *e)
{
    Binder b = {context, arena, e};
    BoundExpr *n;
    if (expr->kind == EXPR_DEFAULT) {
        n = sql__node(&b, NODE_DEFAULT, column->type, 0);
        n->target = column;
        n->is_pure =
            column->default_kind == DEFAULT_NONE || column->default_kind == DEFAULT_LITERAL;
        return sql__finish(&b, expr, n, out);
    }
    TRY(sql__bind(&b, expr, &n));
    if (n->type == column->type) {
        *out = n;
        return OK;
    }
    BoundExpr *cast = sql__node(&b, NODE_CAST, column->type, 1);
    cast->args[0] = n;
    cast->what = arena_printf(arena, "column '%.*s'", SLICE_ARGS(column->name));
    cast->is_assignment = true;
    if (sql__is_constant(n))
        return assign_constant(&b, expr, n, cast, out);
    return sql__finish(&b, expr, cast, out);
}
