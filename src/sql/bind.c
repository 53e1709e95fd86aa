/* SPDX-License-Identifier: Apache-2.0
 *
 * Expression tree to bound tree: names become indexes, constants get the type of what they meet,
 * what is constant is computed once.
 *
 * I1: the operands of NODE_COMPARE, BETWEEN, IN and DISTINCT are comparable (value_comparable)
 * or NULL.
 * I2: a node without columns, clock, user and ids is a NODE_CONSTANT.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sql/eval_int.h"
#include "sql/sql_int.h"

typedef struct Binder {
    const BindContext *context;
    Arena *arena;
    Error *e;
} Binder;

static Code bind(Binder *b, const Expr *expr, BoundExpr **out);

__attribute__((format(printf, 4, 5))) static Code bind_fail(Binder *b, const Expr *at, Code code,
                                                            const char *format, ...)
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

static const char *name_of(Type type)
{
    return type == TYPE_NULL ? "NULL" : type_info(type)->name;
}

/* ---- nodes ---- */

static BoundExpr *node(Binder *b, NodeKind kind, Type type, uint32_t arg_count)
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

static BoundExpr *constant(Binder *b, Value value)
{
    BoundExpr *n = node(b, NODE_CONSTANT, value.type, 0);
    n->value = value;
    return n;
}

static bool is_constant(const BoundExpr *n)
{
    return n->kind == NODE_CONSTANT;
}

/* Inherits from the arguments and folds (I2). */
static Code finish(Binder *b, const Expr *at, BoundExpr *n, BoundExpr **out)
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
        return bind_fail(b, at, code, "%s", error.text);
    *out = constant(b, value);
    (*out)->type = n->type;
    (*out)->value.type = n->type;
    return OK;
}

static bool is_parameter(const Expr *expr)
{
    return expr->kind == EXPR_PARAMETER;
}

/* A constant becomes one of `type`; anything else gets a cast node. */
static Code convert(Binder *b, const Expr *at, Type type, BoundExpr **io)
{
    BoundExpr *n = *io;
    if (n->type == type)
        return OK;
    if (n->type == TYPE_NULL && is_constant(n)) {
        *io = constant(b, value_null(type));
        return OK;
    }
    if (!is_constant(n)) {
        BoundExpr *cast = node(b, NODE_CAST, type, 1);
        cast->args[0] = n;
        cast->what = "the expression";
        return finish(b, at, cast, io);
    }
    Value value;
    Error error = {0};
    const char *what = is_parameter(at) ? arena_printf(b->arena, "parameter $%u", at->parameter)
                                        : "the expression";
    if (value_cast(&n->value, type, what, b->arena, &value, &error) != OK)
        return bind_fail(b, at, is_parameter(at) ? E_INVALID_PARAMETER : E_EXECUTION, "%s",
                         error.text);
    *io = constant(b, value);
    return OK;
}

/* Text takes the type of the other side; a number takes that of a timestamp (microseconds) or of
 * text. */
static bool adapts(const BoundExpr *n, Type other)
{
    if (!is_constant(n) || other == TYPE_NULL)
        return n->type == TYPE_NULL && other != TYPE_NULL;
    return n->type == TYPE_NULL || n->type == TYPE_TEXT ||
           (type_is_number(n->type) && (other == TYPE_TIMESTAMP || type_is_text(other)));
}

/* Makes the two comparable (I1). */
static Code unify(Binder *b, const Expr *at_a, BoundExpr **a, const Expr *at_b, BoundExpr **c)
{
    Type left = (*a)->type, right = (*c)->type;
    if (left == right || value_comparable(left, right))
        return OK;
    /* a text meets a number: the typed side decides; two constants: the text gives way */
    bool right_adapts = adapts(*c, left), left_adapts = adapts(*a, right);
    if (right_adapts && left_adapts && type_is_text(left))
        right_adapts = false;
    if (right_adapts)
        return convert(b, at_b, left, c);
    if (left_adapts)
        return convert(b, at_a, right, a);
    return bind_fail(b, at_b, E_INVALID_SQL, "%s cannot be compared with %s; use CAST",
                     name_of(left), name_of(right));
}

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
                    : bind_fail(b, expr, E_COLUMN_NOT_FOUND,
                                "Table '%.*s' of column '%.*s' is not in FROM",
                                SLICE_ARGS(name->table), SLICE_ARGS(name->name));
}

static Code bind_column(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(check_qualifier(b, expr));
    const Schema *schema = b->context->schema;
    Slice name = expr->column.name;
    BoundExpr *n = node(b, NODE_COLUMN, TYPE_NULL, 0);
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
        return bind_fail(b, expr, E_COLUMN_NOT_FOUND, "Column '%.*s' does not exist",
                         SLICE_ARGS(name));
    }
    *out = n;
    return OK;
}

static Code bind_parameter(Binder *b, const Expr *expr, BoundExpr **out)
{
    if (expr->parameter > b->context->parameter_count)
        return bind_fail(b, expr, E_INVALID_PARAMETER, "No value was given for parameter $%u",
                         expr->parameter);
    *out = constant(b, b->context->parameters[expr->parameter - 1]);
    return OK;
}

/* ---- operators ---- */

static Code bind_boolean(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(bind(b, expr, out));
    if ((*out)->type == TYPE_NULL || ((*out)->type == TYPE_TEXT && is_constant(*out)))
        return convert(b, expr, TYPE_BOOLEAN, out);
    return (*out)->type == TYPE_BOOLEAN
               ? OK
               : bind_fail(b, expr, E_INVALID_SQL, "Expected a condition, found %s",
                           name_of((*out)->type));
}

static Code bind_logic(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool is_not = expr->kind == EXPR_UNARY;
    BoundExpr *n = node(b,
                        is_not               ? NODE_NOT
                        : expr->op == OP_AND ? NODE_AND
                                             : NODE_OR,
                        TYPE_BOOLEAN, is_not ? 1 : 2);
    TRY(bind_boolean(b, expr->left, &n->args[0]));
    if (!is_not)
        TRY(bind_boolean(b, expr->right, &n->args[1]));
    return finish(b, expr, n, out);
}

static Code bind_compare(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool is_distinct = expr->op == OP_DISTINCT_FROM || expr->op == OP_NOT_DISTINCT_FROM;
    BoundExpr *n = node(b, is_distinct ? NODE_DISTINCT : NODE_COMPARE, TYPE_BOOLEAN, 2);
    n->op = expr->op;
    n->negated = expr->op == OP_NOT_DISTINCT_FROM;
    TRY(bind(b, expr->left, &n->args[0]));
    TRY(bind(b, expr->right, &n->args[1]));
    TRY(unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    return finish(b, expr, n, out);
}

/* A parameter that was sent as text takes the type of the number beside it. */
static Code adapt_parameter(Binder *b, const Expr *expr, const BoundExpr *other, BoundExpr **io)
{
    if (!is_parameter(expr) || (*io)->type != TYPE_TEXT || !type_is_number(other->type))
        return OK;
    return convert(b, expr, other->type, io);
}

static Code check_number(Binder *b, const Expr *expr, BoundExpr **io)
{
    if ((*io)->type == TYPE_NULL)
        return convert(b, expr, TYPE_BIGINT, io);
    if (is_parameter(expr) && (*io)->type == TYPE_TEXT)
        return convert(b, expr, TYPE_DOUBLE, io);
    return type_is_number((*io)->type)
               ? OK
               : bind_fail(b, expr, E_INVALID_SQL, "Expected a number, found %s",
                           name_of((*io)->type));
}

static Code bind_number(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(bind(b, expr, out));
    return check_number(b, expr, out);
}

static Code bind_shift(Binder *b, const Expr *expr, const Expr *time, const Expr *interval,
                       BoundExpr **out)
{
    if (interval->months)
        return bind_fail(b, interval, E_UNSUPPORTED,
                         "Months and years in an interval are not supported here; use days");
    BoundExpr *n = node(b, NODE_ADD_US, TYPE_TIMESTAMP, 1);
    TRY(bind(b, time, &n->args[0]));
    if (is_constant(n->args[0]))
        TRY(convert(b, time, TYPE_TIMESTAMP, &n->args[0]));
    if (n->args[0]->type != TYPE_TIMESTAMP)
        return bind_fail(b, time, E_INVALID_SQL,
                         "Expected a TIMESTAMP beside the interval, found %s",
                         name_of(n->args[0]->type));
    n->shift_us = interval->interval_us;
    if (expr->op == OP_SUBTRACT && __builtin_sub_overflow(0, n->shift_us, &n->shift_us))
        return bind_fail(b, interval, E_EXECUTION, "The interval is too long");
    return finish(b, expr, n, out);
}

static Code bind_arithmetic(Binder *b, const Expr *expr, BoundExpr **out)
{
    bool adds = expr->op == OP_ADD || expr->op == OP_SUBTRACT;
    if (adds && expr->right->kind == EXPR_INTERVAL)
        return bind_shift(b, expr, expr->left, expr->right, out);
    if (expr->op == OP_ADD && expr->left->kind == EXPR_INTERVAL)
        return bind_shift(b, expr, expr->right, expr->left, out);
    BoundExpr *n = node(b, NODE_ARITHMETIC, TYPE_NULL, 2);
    TRY(bind(b, expr->left, &n->args[0]));
    TRY(bind(b, expr->right, &n->args[1]));
    TRY(adapt_parameter(b, expr->left, n->args[1], &n->args[0]));
    TRY(adapt_parameter(b, expr->right, n->args[0], &n->args[1]));
    TRY(check_number(b, expr->left, &n->args[0]));
    TRY(check_number(b, expr->right, &n->args[1]));
    n->op = expr->op;
    n->type = sql__arithmetic_type(expr->op, n->args[0]->type, n->args[1]->type);
    return finish(b, expr, n, out);
}

/* Anything to TEXT, as || and concat do. */
static Code bind_as_text(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(bind(b, expr, out));
    return convert(b, expr, TYPE_TEXT, out);
}

static Code bind_concat(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = node(b, NODE_CONCAT, TYPE_TEXT, 2);
    TRY(bind_as_text(b, expr->left, &n->args[0]));
    TRY(bind_as_text(b, expr->right, &n->args[1]));
    return finish(b, expr, n, out);
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
        return bind_fail(b, expr, E_UNSUPPORTED, "-> and ->> are supported in SELECT only");
    default:
        return bind_compare(b, expr, out);
    }
}

static Code bind_unary(Binder *b, const Expr *expr, BoundExpr **out)
{
    if (expr->op == OP_NOT)
        return bind_logic(b, expr, out);
    BoundExpr *n = node(b, NODE_NEGATE, TYPE_NULL, 1);
    TRY(bind_number(b, expr->left, &n->args[0]));
    n->type = n->args[0]->type;
    if (expr->op == OP_PLUS) {
        *out = n->args[0];
        return OK;
    }
    return finish(b, expr, n, out);
}

static Code bind_is(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = node(b, NODE_IS, TYPE_BOOLEAN, 1);
    n->is = expr->is;
    n->negated = expr->negated;
    if (expr->is == IS_NULL)
        TRY(bind(b, expr->left, &n->args[0]));
    else
        TRY(bind_boolean(b, expr->left, &n->args[0]));
    return finish(b, expr, n, out);
}

static Code bind_between(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = node(b, NODE_BETWEEN, TYPE_BOOLEAN, 3);
    n->negated = expr->negated;
    TRY(bind(b, expr->left, &n->args[0]));
    TRY(bind(b, expr->right, &n->args[1]));
    TRY(bind(b, expr->third, &n->args[2]));
    TRY(unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    TRY(unify(b, expr->left, &n->args[0], expr->third, &n->args[2]));
    TRY(unify(b, expr->left, &n->args[0], expr->right, &n->args[1]));
    return finish(b, expr, n, out);
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
        if (!is_constant(n->args[i]))
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
    BoundExpr *n = node(b, NODE_IN, TYPE_BOOLEAN, expr->item_count + 1);
    n->negated = expr->negated;
    TRY(bind(b, expr->left, &n->args[0]));
    for (uint32_t i = 0; i < expr->item_count; i++) {
        TRY(bind(b, expr->items[i], &n->args[i + 1]));
        TRY(unify(b, expr->left, &n->args[0], expr->items[i], &n->args[i + 1]));
    }
    if (is_constant(n->args[0])) /* it may have taken the type of a later item */
        for (uint32_t i = 0; i < expr->item_count; i++)
            TRY(unify(b, expr->left, &n->args[0], expr->items[i], &n->args[i + 1]));
    sort_items(b, n);
    return finish(b, expr, n, out);
}

/* ---- LIKE, CASE, CAST ---- */

static Code bind_text(Binder *b, const Expr *expr, BoundExpr **out)
{
    TRY(bind(b, expr, out));
    if ((*out)->type == TYPE_NULL || (is_parameter(expr) && !type_is_text((*out)->type)))
        return convert(b, expr, TYPE_TEXT, out);
    return type_is_text((*out)->type)
               ? OK
               : bind_fail(b, expr, E_INVALID_SQL, "Expected a text, found %s; use CAST",
                           name_of((*out)->type));
}

static Code bind_like(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = node(b, NODE_LIKE, TYPE_BOOLEAN, expr->third ? 3 : 2);
    n->negated = expr->negated;
    n->ignore_case = expr->ignore_case;
    TRY(bind_text(b, expr->left, &n->args[0]));
    TRY(bind_text(b, expr->right, &n->args[1]));
    if (expr->third) {
        TRY(bind_text(b, expr->third, &n->args[2]));
        const Value *escape = &n->args[2]->value;
        if (!is_constant(n->args[2]) || escape->is_null || sql__text_length(escape->bytes) > 1)
            return bind_fail(b, expr->third, E_INVALID_SQL,
                             "ESCAPE must be a text of at most one "
                             "character");
    }
    return finish(b, expr, n, out);
}

/* The type that all of the values can have; constants of text take the type of the others. */
static Code common_type(Binder *b, const Expr *const *at, BoundExpr **values, uint32_t count,
                        Type *out)
{
    Type type = TYPE_NULL;
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < count; i++) {
            Type next = values[i]->type;
            bool gives_way = is_constant(values[i]) && next == TYPE_TEXT;
            if (next == TYPE_NULL || next == type || gives_way != (pass == 1))
                continue;
            if (type == TYPE_NULL)
                type = next;
            else if (type_is_number(type) && type_is_number(next))
                type = sql__arithmetic_type(OP_ADD, type, next);
            else if (type_is_text(type) && type_is_text(next))
                type = TYPE_TEXT;
            else if (!gives_way)
                return bind_fail(b, at[i], E_INVALID_SQL,
                                 "%s and %s cannot be mixed here; use CAST", name_of(type),
                                 name_of(next));
        }
    for (uint32_t i = 0; i < count && type != TYPE_NULL; i++)
        TRY(convert(b, at[i], type, &values[i]));
    *out = type;
    return OK;
}

/* The operand of CASE x WHEN a WHEN b and its alternatives, made comparable; it is evaluated
 * once. */
static Code bind_operand(Binder *b, const Expr *expr, BoundExpr *n)
{
    uint32_t count = expr->item_count / 2 + 1;
    BoundExpr **values = arena_new_array(b->arena, BoundExpr *, count);
    const Expr **at = arena_new_array(b->arena, const Expr *, count);
    Type ignored;
    for (uint32_t i = 0; i < count; i++) {
        at[i] = i ? expr->items[2 * (i - 1)] : expr->left;
        TRY(bind(b, at[i], &values[i]));
    }
    TRY(common_type(b, at, values, count, &ignored));
    n->args[0] = values[0];
    for (uint32_t i = 1; i < count; i++)
        n->args[2 * i - 1] = values[i];
    return OK;
}

static Code bind_case(Binder *b, const Expr *expr, BoundExpr **out)
{
    uint32_t pairs = expr->item_count / 2, first = expr->left ? 1 : 0;
    BoundExpr *n = node(b, NODE_CASE, TYPE_NULL, first + expr->item_count + 1);
    BoundExpr **values = arena_new_array(b->arena, BoundExpr *, pairs + 1);
    const Expr **at = arena_new_array(b->arena, const Expr *, pairs + 1);
    n->has_operand = expr->left != NULL;
    if (expr->left)
        TRY(bind_operand(b, expr, n));
    for (uint32_t i = 0; i < pairs; i++) {
        if (!expr->left)
            TRY(bind_boolean(b, expr->items[2 * i], &n->args[2 * i]));
        at[i] = expr->items[2 * i + 1];
        TRY(bind(b, at[i], &values[i]));
    }
    at[pairs] = expr->right ? expr->right : expr;
    values[pairs] = constant(b, value_null(TYPE_NULL));
    if (expr->right)
        TRY(bind(b, expr->right, &values[pairs]));
    TRY(common_type(b, at, values, pairs + 1, &n->type));
    for (uint32_t i = 0; i < pairs; i++)
        n->args[first + 2 * i + 1] = values[i];
    n->args[n->arg_count - 1] = values[pairs];
    return finish(b, expr, n, out);
}

static Code bind_cast(Binder *b, const Expr *expr, BoundExpr **out)
{
    BoundExpr *n = node(b, NODE_CAST, expr->type, 1);
    n->what = "CAST";
    TRY(bind(b, expr->left, &n->args[0]));
    return finish(b, expr, n, out);
}

/* ---- calls ---- */

static Code bind_argument(Binder *b, const Expr *expr, char kind, BoundExpr **out)
{
    switch (kind) {
    case 't':
        return bind_text(b, expr, out);
    case 'c':
        return bind_as_text(b, expr, out);
    case 's':
        return bind(b, expr, out);
    case 'T':
        TRY(bind(b, expr, out));
        if (is_constant(*out))
            return convert(b, expr, TYPE_TIMESTAMP, out);
        return (*out)->type == TYPE_TIMESTAMP
                   ? OK
                   : bind_fail(b, expr, E_INVALID_SQL, "Expected a TIMESTAMP, found %s",
                               name_of((*out)->type));
    default:
        break;
    }
    TRY(bind_number(b, expr, out));
    if (kind == 'D' || (kind == 'd' && (*out)->type != TYPE_FLOAT))
        return convert(b, expr, TYPE_DOUBLE, out);
    if (kind == 'i' && (*out)->type != TYPE_BIGINT)
        return convert(b, expr, TYPE_BIGINT, out);
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
        return bind_fail(b, expr, E_INVALID_SQL, "The aggregate %.*s() is not allowed here",
                         SLICE_ARGS(expr->name));
    return bind_fail(b, expr, E_INVALID_SQL, "Function '%.*s' is not known here. Known are: %s",
                     SLICE_ARGS(expr->name), sql__function_names(b->arena));
}

static Code check_call(Binder *b, const Expr *expr, const SqlFunction *f)
{
    if (expr->window || expr->star || expr->distinct || expr->call_order_count)
        return bind_fail(b, expr, E_INVALID_SQL,
                         "%.*s() is neither an aggregate nor a window function",
                         SLICE_ARGS(expr->name));
    if (expr->item_count >= f->arg_min && expr->item_count <= f->arg_max)
        return OK;
    if (f->arg_max == 0)
        return bind_fail(b, expr, E_INVALID_SQL, "%.*s() takes no arguments",
                         SLICE_ARGS(expr->name));
    return bind_fail(b, expr, E_INVALID_SQL, "%.*s() takes %d to %d arguments, %u were given",
                     SLICE_ARGS(expr->name), f->arg_min, f->arg_max, expr->item_count);
}

static Code bind_call(Binder *b, const Expr *expr, BoundExpr **out)
{
    const SqlFunction *f = sql__find_function(expr->name);
    if (!f)
        return unknown_function(b, expr);
    TRY(check_call(b, expr, f));
    BoundExpr *n = node(b, NODE_CALL, TYPE_NULL, expr->item_count);
    size_t letters = strlen(f->signature);
    for (uint32_t i = 0; i < expr->item_count; i++)
        TRY(bind_argument(b, expr->items[i], f->signature[i < letters ? i : letters - 1],
                          &n->args[i]));
    n->function = f;
    n->is_pure = !f->is_impure;
    Type common;
    if (f->signature[0] == 's')
        TRY(common_type(b, (const Expr *const *)expr->items, n->args, expr->item_count, &common));
    n->type = result_type(f, n->args);
    return finish(b, expr, n, out);
}

static Code bind(Binder *b, const Expr *expr, BoundExpr **out)
{
    switch (expr->kind) {
    case EXPR_LITERAL:
        *out = constant(b, expr->value);
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
        return bind_call(b, expr, out);
    case EXPR_DEFAULT:
        return bind_fail(b, expr, E_INVALID_SQL,
                         "DEFAULT is allowed as a value of INSERT and SET only");
    case EXPR_INTERVAL:
        return bind_fail(b, expr, E_INVALID_SQL,
                         "An interval can only be added to or subtracted from a "
                         "TIMESTAMP");
    default:
        return bind_fail(b, expr, E_UNSUPPORTED, "A sub-select is not supported here");
    }
}

/* ---- the ways in ---- */

Code sql_bind(const BindContext *context, const Expr *expr, Arena *arena, BoundExpr **out, Error *e)
{
    Binder b = {context, arena, e};
    return bind(&b, expr, out);
}

Code sql_bind_condition(const BindContext *context, const Expr *expr, Arena *arena, BoundExpr **out,
                        Error *e)
{
    if (!expr) {
        *out = NULL;
        return OK;
    }
    Binder b = {context, arena, e};
    return bind_boolean(&b, expr, out);
}

static Code assign_constant(Binder *b, const Expr *expr, const BoundExpr *n, BoundExpr *cast,
                            BoundExpr **out)
{
    Value value;
    if (value_cast(&n->value, cast->type, cast->what, b->arena, &value, b->e) != OK)
        return sql__place(b->context->text, expr->offset, b->e);
    *out = constant(b, value);
    return OK;
}

Code sql_bind_assignment(const BindContext *context, const Expr *expr, const Column *column,
                         Arena *arena, BoundExpr **out, Error *e)
{
    Binder b = {context, arena, e};
    BoundExpr *n;
    if (expr->kind == EXPR_DEFAULT) {
        n = node(&b, NODE_DEFAULT, column->type, 0);
        n->target = column;
        n->is_pure =
            column->default_kind == DEFAULT_NONE || column->default_kind == DEFAULT_LITERAL;
        return finish(&b, expr, n, out);
    }
    TRY(bind(&b, expr, &n));
    if (n->type == column->type) {
        *out = n;
        return OK;
    }
    BoundExpr *cast = node(&b, NODE_CAST, column->type, 1);
    cast->args[0] = n;
    cast->what = arena_printf(arena, "column '%.*s'", SLICE_ARGS(column->name));
    cast->is_assignment = true;
    if (is_constant(n))
        return assign_constant(&b, expr, n, cast, out);
    return finish(&b, expr, cast, out);
}
