/* SPDX-License-Identifier: Apache-2.0
 *
 * Evaluates bound expressions for one row. NULL is "unknown": AND and OR decide where one side is
 * enough, everything else is NULL when an operand is.
 *
 * The tree is at most SQL_NESTING_MAX high, so recursion is bounded.
 */
#include "sql/eval_int.h"

typedef struct Eval {
    const RowView *row;
    const EvalContext *context;
    Arena *arena;
    Error *e;
} Eval;

static Code eval(const Eval *v, const BoundExpr *n, Value *out);

static Code give(Value *out, Value value)
{
    *out = value;
    return OK;
}

static Code give_boolean(Value *out, bool b)
{
    return give(out, value_boolean(b));
}

static Code give_null(Value *out, const BoundExpr *n)
{
    return give(out, value_null(n->type));
}

/* AND is decided by FALSE, OR by TRUE; `decisive` is which. */
static Code eval_logic(const Eval *v, const BoundExpr *n, Value *out)
{
    bool decisive = n->kind == NODE_OR;
    Value a, b;
    TRY(eval(v, n->args[0], &a));
    if (!a.is_null && a.boolean == decisive)
        return give_boolean(out, decisive);
    TRY(eval(v, n->args[1], &b));
    if (!b.is_null && b.boolean == decisive)
        return give_boolean(out, decisive);
    return a.is_null || b.is_null ? give_null(out, n) : give_boolean(out, !decisive);
}

static Code eval_not(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a;
    TRY(eval(v, n->args[0], &a));
    return a.is_null ? give_null(out, n) : give_boolean(out, !a.boolean);
}

static Code eval_compare(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a, b;
    TRY(eval(v, n->args[0], &a));
    TRY(eval(v, n->args[1], &b));
    if (a.is_null || b.is_null)
        return give_null(out, n);
    return give_boolean(out, sql__compare(n->op, &a, &b));
}

static Code eval_distinct(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a, b;
    TRY(eval(v, n->args[0], &a));
    TRY(eval(v, n->args[1], &b));
    bool is_same = a.is_null || b.is_null ? a.is_null && b.is_null : value_compare(&a, &b) == 0;
    return give_boolean(out, is_same == n->negated);
}

static Code eval_is(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a;
    TRY(eval(v, n->args[0], &a));
    bool holds = a.is_null;
    if (n->is == IS_TRUE || n->is == IS_FALSE)
        holds = !a.is_null && a.boolean == (n->is == IS_TRUE);
    return give_boolean(out, holds != n->negated);
}

/* x >= a AND x <= b: one side that fails decides, even when the other is NULL. */
static Code eval_between(const Eval *v, const BoundExpr *n, Value *out)
{
    Value x, low, high;
    TRY(eval(v, n->args[0], &x));
    TRY(eval(v, n->args[1], &low));
    TRY(eval(v, n->args[2], &high));
    if (x.is_null)
        return give_null(out, n);
    bool is_below = !low.is_null && value_compare(&x, &low) < 0;
    bool is_above = !high.is_null && value_compare(&x, &high) > 0;
    if (is_below || is_above)
        return give_boolean(out, n->negated);
    return low.is_null || high.is_null ? give_null(out, n) : give_boolean(out, !n->negated);
}

static bool is_among(const Value *x, const Value *sorted, uint32_t count)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = value_compare(x, &sorted[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static Code eval_in(const Eval *v, const BoundExpr *n, Value *out)
{
    Value x, item;
    TRY(eval(v, n->args[0], &x));
    if (x.is_null)
        return give_null(out, n);
    bool has_null = n->has_null;
    bool is_found = n->kind == NODE_IN_SORTED && is_among(&x, n->values, n->value_count);
    for (uint32_t i = 1; i < n->arg_count && !is_found; i++) {
        TRY(eval(v, n->args[i], &item));
        has_null |= item.is_null;
        is_found = !item.is_null && value_compare(&x, &item) == 0;
    }
    if (!is_found && has_null)
        return give_null(out, n);
    return give_boolean(out, is_found != n->negated);
}

static Code eval_like(const Eval *v, const BoundExpr *n, Value *out)
{
    Value text, pattern, escape = value_text(SLICE(""));
    TRY(eval(v, n->args[0], &text));
    TRY(eval(v, n->args[1], &pattern));
    if (n->arg_count > 2)
        TRY(eval(v, n->args[2], &escape));
    if (text.is_null || pattern.is_null || escape.is_null)
        return give_null(out, n);
    if (n->ignore_case) {
        text.bytes = sql__text_lower(text.bytes, v->arena);
        pattern.bytes = sql__text_lower(pattern.bytes, v->arena);
    }
    bool matches;
    TRY(sql__like(text.bytes, pattern.bytes, escape.bytes, &matches, v->e));
    return give_boolean(out, matches != n->negated);
}

static Code eval_case(const Eval *v, const BoundExpr *n, Value *out)
{
    Value operand, when;
    uint32_t i = n->has_operand ? 1 : 0;
    if (n->has_operand)
        TRY(eval(v, n->args[0], &operand));
    for (; i + 1 < n->arg_count; i += 2) {
        TRY(eval(v, n->args[i], &when));
        bool is_hit = !when.is_null && !n->has_operand && when.boolean;
        if (n->has_operand)
            is_hit = !when.is_null && !operand.is_null && value_compare(&operand, &when) == 0;
        if (is_hit)
            return eval(v, n->args[i + 1], out);
    }
    return eval(v, n->args[n->arg_count - 1], out);
}

static Code eval_arithmetic(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a, b;
    TRY(eval(v, n->args[0], &a));
    if (n->kind == NODE_NEGATE)
        return sql__negate(&a, out, v->e);
    TRY(eval(v, n->args[1], &b));
    return sql__arithmetic(n->op, n->type, &a, &b, out, v->e);
}

static Code eval_add_us(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a;
    TRY(eval(v, n->args[0], &a));
    if (!a.is_null && __builtin_add_overflow(a.integer, n->shift_us, &a.integer))
        return fail(v->e, E_EXECUTION, "The timestamp is out of range");
    return give(out, a);
}

static Code eval_concat(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a, b;
    TRY(eval(v, n->args[0], &a));
    TRY(eval(v, n->args[1], &b));
    if (a.is_null || b.is_null)
        return give_null(out, n);
    size_t size = a.bytes.size + b.bytes.size;
    TRY(sql__check_room(v->arena, "||", size, v->e));
    char *text = arena_alloc(v->arena, size + 1);
    if (a.bytes.size)
        memcpy(text, a.bytes.data, a.bytes.size);
    if (b.bytes.size)
        memcpy(text + a.bytes.size, b.bytes.data, b.bytes.size);
    return give(out, value_text(slice_of(text, size)));
}

static Code eval_cast(const Eval *v, const BoundExpr *n, Value *out)
{
    Value a;
    TRY(eval(v, n->args[0], &a));
    Code code = n->is_assignment ? value_cast(&a, n->type, n->what, v->arena, out, v->e)
                                 : value_cast_explicitly(&a, n->type, n->what, v->arena, out, v->e);
    if (code != E_CONSTRAINT || n->is_assignment)
        return code;
    if (v->e)
        v->e->code = E_EXECUTION;
    return E_EXECUTION;
}

enum { ARGUMENTS_ON_STACK = 8 };

static Code eval_call(const Eval *v, const BoundExpr *n, Value *out)
{
    Value few[ARGUMENTS_ON_STACK];
    Value *args =
        n->arg_count <= ARGUMENTS_ON_STACK ? few : arena_new_array(v->arena, Value, n->arg_count);
    for (uint32_t i = 0; i < n->arg_count; i++) {
        TRY(eval(v, n->args[i], &args[i]));
        if (args[i].is_null && !n->function->takes_null)
            return give_null(out, n);
    }
    CallContext call = {n, v->context, v->arena, v->e};
    return n->function->body(&call, args, n->arg_count, out);
}

static Code eval_row_part(const Eval *v, const BoundExpr *n, Value *out)
{
    must(v->row);
    if (n->kind == NODE_SEQ)
        return give(out, value_integer(TYPE_BIGINT, (int64_t)v->row->seq));
    if (n->kind == NODE_DELETED)
        return give_boolean(out, v->row->deleted);
    return give(out, v->row->values[n->column]);
}

static Code eval(const Eval *v, const BoundExpr *n, Value *out)
{
    switch (n->kind) {
    case NODE_CONSTANT:
        return give(out, n->value);
    case NODE_COLUMN:
    case NODE_SEQ:
    case NODE_DELETED:
        return eval_row_part(v, n, out);
    case NODE_AND:
    case NODE_OR:
        return eval_logic(v, n, out);
    case NODE_NOT:
        return eval_not(v, n, out);
    case NODE_COMPARE:
        return eval_compare(v, n, out);
    case NODE_DISTINCT:
        return eval_distinct(v, n, out);
    case NODE_IS:
        return eval_is(v, n, out);
    case NODE_BETWEEN:
        return eval_between(v, n, out);
    case NODE_IN:
    case NODE_IN_SORTED:
        return eval_in(v, n, out);
    case NODE_LIKE:
        return eval_like(v, n, out);
    case NODE_CASE:
        return eval_case(v, n, out);
    case NODE_NEGATE:
    case NODE_ARITHMETIC:
        return eval_arithmetic(v, n, out);
    case NODE_ADD_US:
        return eval_add_us(v, n, out);
    case NODE_CONCAT:
        return eval_concat(v, n, out);
    case NODE_CAST:
        return eval_cast(v, n, out);
    case NODE_CALL:
        return eval_call(v, n, out);
    case NODE_DEFAULT:
        return sql_default_value(n->target, v->context, v->arena, out, v->e);
    }
    must(!"a node of unknown kind");
    return E_INTERNAL;
}

Code sql_eval(const BoundExpr *expr, const RowView *row, const EvalContext *context, Arena *arena,
              Value *out, Error *e)
{
    Eval v = {row, context, arena, e};
    Value value;
    TRY(eval(&v, expr, &value));
    *out = value;
    return OK;
}

Code sql_eval_condition(const BoundExpr *expr, const RowView *row, const EvalContext *context,
                        Arena *arena, bool *out, Error *e)
{
    Value value = value_boolean(true);
    if (expr)
        TRY(sql_eval(expr, row, context, arena, &value, e));
    *out = !value.is_null && value.boolean;
    return OK;
}

static Code default_source(const Column *column, const EvalContext *context, Arena *arena,
                           Value *out, Error *e)
{
    switch (column->default_kind) {
    case DEFAULT_NONE:
        return give(out, value_null(column->type));
    case DEFAULT_LITERAL:
        return give(out, column->default_value);
    case DEFAULT_NOW:
        return give(out, value_integer(TYPE_TIMESTAMP, context->now_us));
    case DEFAULT_CURRENT_USER:
        return give(out, value_text(context->user_id));
    default:
        if (!context->new_id)
            return fail(e, E_EXECUTION, "The default of column '%.*s' makes no ids here",
                        SLICE_ARGS(column->name));
        return context->new_id(context->id_context, column->default_kind, arena, out, e);
    }
}

Code sql_default_value(const Column *column, const EvalContext *context, Arena *arena, Value *out,
                       Error *e)
{
    Value value;
    TRY(default_source(column, context, arena, &value, e));
    if (value.type == column->type)
        return give(out, value);
    const char *what = arena_printf(arena, "column '%.*s'", SLICE_ARGS(column->name));
    return value_cast(&value, column->type, what, arena, out, e);
}

/* ---- looking at a bound expression ---- */

Type sql_bound_type(const BoundExpr *expr)
{
    return expr->type;
}

const Value *sql_bound_constant(const BoundExpr *expr)
{
    return expr->kind == NODE_CONSTANT ? &expr->value : NULL;
}

int32_t sql_bound_column(const BoundExpr *expr)
{
    switch (expr->kind) {
    case NODE_COLUMN:
        return expr->column;
    case NODE_SEQ:
        return BOUND_SEQ;
    case NODE_DELETED:
        return BOUND_DELETED;
    default:
        return BOUND_NOT_A_COLUMN;
    }
}

void sql_bound_columns(const BoundExpr *expr, bool *io_used)
{
    if (!expr || !expr->uses_row)
        return;
    if (expr->kind == NODE_COLUMN)
        io_used[expr->column] = true;
    for (uint32_t i = 0; i < expr->arg_count; i++)
        sql_bound_columns(expr->args[i], io_used);
}

bool sql_bound_is_pure(const BoundExpr *expr)
{
    return expr->is_pure;
}
