/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions for DuckDB, in parentheses throughout, so that DuckDB's precedence is never asked.
 * What can mean something else there than in eval.c is written so that it does not:
 *   x / y, x // y, x % y   a zero on the right becomes NULL (DuckDB gives inf or nan for reals)
 *   5, 1.5                 BIGINT and DOUBLE (DuckDB: INTEGER, DECIMAL)
 *   c = '5', c = $1        a constant takes the type of the column, cast by us (DuckDB casts c)
 *   id > 2.0               a whole number (DuckDB rounds the column to a DOUBLE)
 *   a || 1                 the number is cast to text here
 *   CAST(5 AS TIMESTAMP)   microseconds
 */
#include <math.h>

#include "sql/print_int.h"

/* ---- constants and their types ---- */

static Code constant_value(Printer *p, const Expr *expr, const Value **out)
{
    *out = NULL;
    if (expr->kind == EXPR_LITERAL)
        *out = &expr->value;
    if (expr->kind != EXPR_PARAMETER)
        return OK;
    if (expr->parameter > p->request->parameter_count)
        return sql__print_fail(p, expr->offset, E_INVALID_PARAMETER,
                               "No value was given for parameter $%u", expr->parameter);
    *out = &p->request->parameters[expr->parameter - 1];
    return OK;
}

static Type column_type(Printer *p, const Expr *expr)
{
    Error ignored, *e = p->e;
    const ScopeColumn *column;
    p->e = &ignored;
    Type type = sql__resolve(p, expr, &column) == OK && column ? column->type : TYPE_NULL;
    p->e = e;
    return type;
}

static Type call_type(Printer *p, const Expr *expr)
{
    const SqlFunction *f = sql__find_function(expr->name);
    if (slice_equal_ignoring_case(expr->name, SLICE("count")))
        return TYPE_BIGINT;
    bool is_extreme = slice_equal_ignoring_case(expr->name, SLICE("min")) ||
                      slice_equal_ignoring_case(expr->name, SLICE("max"));
    if (is_extreme && expr->item_count == 1)
        return sql__print_type(p, expr->items[0]);
    switch (f ? f->result : ' ') {
    case 't':
        return TYPE_TEXT;
    case 'i':
        return TYPE_BIGINT;
    case 'T':
        return TYPE_TIMESTAMP;
    case 'b':
        return TYPE_BOOLEAN;
    default:
        return TYPE_NULL;
    }
}

Type sql__print_type(Printer *p, const Expr *expr)
{
    switch (expr->kind) {
    case EXPR_LITERAL:
        return expr->value.type;
    case EXPR_COLUMN:
        return column_type(p, expr);
    case EXPR_CAST:
        return expr->type;
    case EXPR_CALL:
        return call_type(p, expr);
    case EXPR_UNARY:
        return expr->op == OP_NOT ? TYPE_BOOLEAN : sql__print_type(p, expr->left);
    case EXPR_BINARY:
        if (expr->op >= OP_OR && expr->op <= OP_GREATER_EQUAL)
            return TYPE_BOOLEAN;
        if (expr->op >= OP_ADD && expr->op <= OP_MODULO && expr->right->kind != EXPR_INTERVAL)
            return sql__arithmetic_type(expr->op, sql__print_type(p, expr->left),
                                        sql__print_type(p, expr->right));
        return expr->op == OP_CONCAT || expr->op == OP_JSON_GET_TEXT ? TYPE_TEXT : TYPE_NULL;
    default:
        return TYPE_NULL;
    }
}

/* Whether a constant takes the type of what it is compared with; as the binder does. */
static bool adapts(const Value *value, Type other)
{
    if (other == TYPE_NULL || value->type == other || value_comparable(value->type, other))
        return false;
    return value->type == TYPE_NULL || value->type == TYPE_TEXT ||
           (type_is_number(value->type) && (other == TYPE_TIMESTAMP || type_is_text(other)));
}

/* What a fraction is among integers. */
typedef enum Fraction { FRACTION_STAYS, FRACTION_UP, FRACTION_DOWN, FRACTION_NO_MATCH } Fraction;

/* A DOUBLE beside a BIGINT. Those that no BIGINT reaches are all alike: one past the end. */
static void print_real(Printer *p, double real, Fraction fraction)
{
    double whole = fraction == FRACTION_UP ? ceil(real) : floor(real);
    if (whole != real && fraction == FRACTION_STAYS) {
        Value value = value_double(real);
        sql_print_value(p->out, &value);
    } else if (isnan(real) || whole >= 0x1p63 || (whole != real && fraction == FRACTION_NO_MATCH)) {
        buffer_add_text(p->out, "9223372036854775808::HUGEINT");
    } else if (whole < -0x1p63) {
        buffer_add_text(p->out, "(-9223372036854775809)::HUGEINT");
    } else {
        Value value = value_integer(TYPE_BIGINT, (int64_t)whole);
        sql_print_value(p->out, &value);
    }
}

/* An operand beside something of type `other`. */
static Code print_rounded(Printer *p, const Expr *expr, Type other, Fraction fraction)
{
    const Value *value;
    TRY(constant_value(p, expr, &value));
    if (value && !value->is_null && value->type == TYPE_DOUBLE && type_is_integer(other)) {
        print_real(p, value->real, fraction);
        return OK;
    }
    if (!value || !adapts(value, other))
        return sql__print_expr(p, expr);
    Value cast;
    bool is_parameter = expr->kind == EXPR_PARAMETER;
    const char *what =
        is_parameter ? arena_printf(p->arena, "parameter $%u", expr->parameter) : "the expression";
    if (value_cast(value, other, what, p->arena, &cast, p->e) != OK) {
        if (p->e)
            p->e->code = is_parameter ? E_INVALID_PARAMETER : E_EXECUTION;
        return sql__place(p->request->text, expr->offset, p->e);
    }
    sql_print_value(p->out, &cast);
    return OK;
}

static Code print_operand(Printer *p, const Expr *expr, Type other)
{
    return print_rounded(p, expr, other, FRACTION_STAYS);
}

/* NULL for what is no constant. */
static const Value *known_value(const Printer *p, const Expr *expr)
{
    if (expr->kind == EXPR_LITERAL)
        return &expr->value;
    bool is_given = expr->kind == EXPR_PARAMETER && expr->parameter <= p->request->parameter_count;
    return is_given ? &p->request->parameters[expr->parameter - 1] : NULL;
}

static bool gives_way(const Value *value)
{
    return value && (value->is_null || value->type == TYPE_TEXT);
}

Type sql__print_common_type(Printer *p, const Expr *const *exprs, uint32_t count)
{
    Type common = TYPE_NULL;
    for (uint32_t i = 0; i < count; i++) {
        const Value *value = known_value(p, exprs[i]);
        if (gives_way(value))
            continue;
        Type type = value ? value->type : sql__print_type(p, exprs[i]);
        if (type == TYPE_NULL)
            return TYPE_NULL;
        if (common == TYPE_NULL)
            common = type;
        else if (type_is_number(common) && type_is_number(type))
            common = sql__arithmetic_type(OP_ADD, common, type);
    }
    return common;
}

Code sql__print_choice(Printer *p, const Expr *expr, Type common)
{
    const Value *value = known_value(p, expr);
    bool converts = gives_way(value) && !value->is_null;
    return converts ? print_operand(p, expr, common) : sql__print_expr(p, expr);
}

static Code print_bare(Printer *p, const char *text)
{
    buffer_add_text(p->out, text);
    return OK;
}

/* ---- columns ---- */

/* In GROUP BY, HAVING and ORDER BY a name that is no column may be that of an item: its
 * expression again. */
static Code print_alias(Printer *p, const Expr *expr, bool *out_found)
{
    const Select *select = p->scope ? p->scope->select : NULL;
    *out_found = false;
    for (uint32_t i = 0;
         select && p->allows_alias && !expr->column.table.size && i < select->item_count; i++) {
        const SelectItem *item = &select->items[i];
        if (!item->alias.size || !slice_equal_ignoring_case(item->alias, expr->column.name))
            continue;
        p->allows_alias = false; /* an alias is not defined by another */
        Code code = sql__print_expr(p, item->expr);
        p->allows_alias = true;
        *out_found = true;
        return code;
    }
    return OK;
}

static Code print_column(Printer *p, const Expr *expr)
{
    const ScopeColumn *column;
    TRY(sql__resolve(p, expr, &column));
    if (column) {
        buffer_add_slice(p->out, column->printed);
        return OK;
    }
    bool is_alias;
    TRY(print_alias(p, expr, &is_alias));
    if (is_alias)
        return OK;
    return sql__print_fail(p, expr->offset, E_COLUMN_NOT_FOUND,
                           "Column '%.*s%s%.*s' does not exist", SLICE_ARGS(expr->column.table),
                           expr->column.table.size ? "." : "", SLICE_ARGS(expr->column.name));
}

/* ---- operators ---- */

static bool is_nonzero_literal(const Expr *expr)
{
    if (expr->kind != EXPR_LITERAL || expr->value.is_null)
        return false;
    return type_is_integer(expr->value.type)
               ? expr->value.integer != 0
               : type_is_number(expr->value.type) && expr->value.real != 0;
}

static Code print_divisor(Printer *p, const Expr *expr)
{
    if (is_nonzero_literal(expr))
        return sql__print_expr(p, expr);
    buffer_add_text(p->out, "nullif(");
    TRY(sql__print_expr(p, expr));
    buffer_add_text(p->out, ", 0)");
    return OK;
}

static Code print_as_text(Printer *p, const Expr *expr)
{
    if (type_is_text(sql__print_type(p, expr)))
        return sql__print_expr(p, expr);
    buffer_add_text(p->out, "CAST(");
    TRY(sql__print_expr(p, expr));
    return print_bare(p, " AS VARCHAR)");
}

/* The key of -> and ->>: a constant becomes a path that says nothing else than the key. */
static Code print_json_key(Printer *p, const Expr *expr)
{
    const Value *value;
    TRY(constant_value(p, expr, &value));
    if (!value || value->is_null || value->type != TYPE_TEXT)
        return sql__print_expr(p, expr);
    CLEANUP(buffer_done) Buffer path = {0};
    buffer_add_text(&path, "$.\"");
    for (size_t i = 0; i < value->bytes.size; i++) {
        char c = value->bytes.data[i];
        if (c == '"' || c == '\\')
            buffer_add_char(&path, '\\');
        buffer_add_char(&path, c);
    }
    buffer_add_char(&path, '"');
    Value text = value_text(buffer_slice(&path));
    sql_print_value(p->out, &text);
    return OK;
}

static Code print_binary(Printer *p, const Expr *expr)
{
    static const char *const words[] = {
        [OP_OR] = " OR ",
        [OP_AND] = " AND ",
        [OP_EQUAL] = " = ",
        [OP_NOT_EQUAL] = " <> ",
        [OP_LESS] = " < ",
        [OP_LESS_EQUAL] = " <= ",
        [OP_GREATER] = " > ",
        [OP_GREATER_EQUAL] = " >= ",
        [OP_ADD] = " + ",
        [OP_SUBTRACT] = " - ",
        [OP_MULTIPLY] = " * ",
        [OP_DIVIDE] = " / ",
        [OP_INTEGER_DIVIDE] = " // ",
        [OP_MODULO] = " % ",
        [OP_CONCAT] = " || ",
        [OP_JSON_GET] = " -> ",
        [OP_JSON_GET_TEXT] = " ->> ",
        [OP_DISTINCT_FROM] = " IS DISTINCT FROM ",
        [OP_NOT_DISTINCT_FROM] = " IS NOT DISTINCT FROM ",
    };
    bool compares = (expr->op >= OP_EQUAL && expr->op <= OP_GREATER_EQUAL) ||
                    expr->op == OP_DISTINCT_FROM || expr->op == OP_NOT_DISTINCT_FROM;
    bool divides = expr->op == OP_DIVIDE || expr->op == OP_INTEGER_DIVIDE || expr->op == OP_MODULO;
    buffer_add_char(p->out, '(');
    if (expr->op == OP_CONCAT) /* text also where one side is NULL and DuckDB folds the whole */
        buffer_add_char(p->out, '(');
    if (compares)
        TRY(print_operand(p, expr->left, sql__print_type(p, expr->right)));
    else if (expr->op == OP_CONCAT)
        TRY(print_as_text(p, expr->left));
    else
        TRY(sql__print_expr(p, expr->left));
    buffer_add_text(p->out, words[expr->op]);
    if (compares)
        TRY(print_operand(p, expr->right, sql__print_type(p, expr->left)));
    else if (expr->op == OP_CONCAT)
        TRY(print_as_text(p, expr->right));
    else if (divides)
        TRY(print_divisor(p, expr->right));
    else if (expr->op == OP_JSON_GET || expr->op == OP_JSON_GET_TEXT)
        TRY(print_json_key(p, expr->right));
    else
        TRY(sql__print_expr(p, expr->right));
    return print_bare(p, expr->op == OP_CONCAT ? ")::VARCHAR)" : ")");
}

static Code print_unary(Printer *p, const Expr *expr)
{
    buffer_add_text(p->out, expr->op == OP_NOT ? "(NOT " : expr->op == OP_NEGATE ? "(- " : "(+ ");
    TRY(sql__print_expr(p, expr->left));
    return print_bare(p, ")");
}

static Code print_is(Printer *p, const Expr *expr)
{
    static const char *const words[] = {"NULL", "TRUE", "FALSE", "NULL"};
    buffer_add_char(p->out, '(');
    TRY(sql__print_expr(p, expr->left));
    buffer_printf(p->out, " IS %s%s)", expr->negated ? "NOT " : "", words[expr->is]);
    return OK;
}

static Type first_type(Printer *p, const Expr *const *exprs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (exprs[i]->kind != EXPR_LITERAL && exprs[i]->kind != EXPR_PARAMETER)
            return sql__print_type(p, exprs[i]);
    return TYPE_NULL;
}

static Code print_between(Printer *p, const Expr *expr)
{
    Type type = sql__print_type(p, expr->left);
    const Expr *bounds[] = {expr->right, expr->third};
    buffer_add_char(p->out, '(');
    TRY(print_operand(p, expr->left, first_type(p, bounds, 2)));
    buffer_add_text(p->out, expr->negated ? " NOT BETWEEN " : " BETWEEN ");
    TRY(print_rounded(p, expr->right, type, FRACTION_UP)); /* one DOUBLE makes all three that */
    buffer_add_text(p->out, " AND ");
    TRY(print_rounded(p, expr->third, type, FRACTION_DOWN));
    return print_bare(p, ")");
}

static Code print_in(Printer *p, const Expr *expr)
{
    Type type = sql__print_type(p, expr->left);
    buffer_add_char(p->out, '(');
    TRY(print_operand(p, expr->left,
                      first_type(p, (const Expr *const *)expr->items, expr->item_count)));
    buffer_add_text(p->out, expr->negated ? " NOT IN (" : " IN (");
    for (uint32_t i = 0; i < expr->item_count; i++) {
        if (i)
            buffer_add_text(p->out, ", ");
        TRY(print_rounded(p, expr->items[i], type, FRACTION_NO_MATCH)); /* as for BETWEEN */
    }
    return print_bare(p, "))");
}

static Code print_like(Printer *p, const Expr *expr)
{
    const Value *escape = NULL;
    buffer_add_char(p->out, '(');
    TRY(print_operand(p, expr->left, TYPE_TEXT));
    buffer_printf(p->out, " %s%s ", expr->negated ? "NOT " : "",
                  expr->ignore_case ? "ILIKE" : "LIKE");
    TRY(print_operand(p, expr->right, TYPE_TEXT));
    if (expr->third) {
        TRY(constant_value(p, expr->third, &escape));
        if (!escape || escape->is_null || !type_is_text(escape->type) ||
            sql__text_length(escape->bytes) > 1)
            return sql__print_fail(p, expr->third->offset, E_INVALID_SQL,
                                   "ESCAPE must be a text of at most one character");
        buffer_add_text(p->out, " ESCAPE ");
        sql_print_value(p->out, escape);
    }
    return print_bare(p, ")");
}

static Type case_type(Printer *p, const Expr *expr)
{
    uint32_t count = 0;
    const Expr **results = arena_new_array(p->arena, const Expr *, expr->item_count / 2 + 1);
    for (uint32_t i = 1; i < expr->item_count; i += 2)
        results[count++] = expr->items[i];
    if (expr->right)
        results[count++] = expr->right;
    return sql__print_common_type(p, results, count);
}

static Code print_case(Printer *p, const Expr *expr)
{
    Type operand = expr->left ? sql__print_type(p, expr->left) : TYPE_NULL;
    Type result = case_type(p, expr);
    buffer_add_text(p->out, "(CASE");
    if (expr->left) {
        buffer_add_char(p->out, ' ');
        TRY(print_operand(p, expr->left, sql__print_type(p, expr->items[0])));
    }
    for (uint32_t i = 0; i < expr->item_count; i += 2) {
        buffer_add_text(p->out, " WHEN ");
        TRY(print_operand(p, expr->items[i], operand));
        buffer_add_text(p->out, " THEN ");
        TRY(sql__print_choice(p, expr->items[i + 1], result));
    }
    if (expr->right) {
        buffer_add_text(p->out, " ELSE ");
        TRY(sql__print_choice(p, expr->right, result));
    }
    return print_bare(p, " END)");
}

static Code print_cast(Printer *p, const Expr *expr)
{
    Type from = sql__print_type(p, expr->left);
    bool to_time = expr->type == TYPE_TIMESTAMP && type_is_integer(from);
    bool from_time = type_is_integer(expr->type) && from == TYPE_TIMESTAMP;
    buffer_add_text(p->out, "CAST(");
    if (to_time || from_time)
        buffer_add_text(p->out, to_time ? "make_timestamp(" : "epoch_us(");
    TRY(sql__print_expr(p, expr->left));
    buffer_printf(p->out, "%s AS %s)", to_time || from_time ? ")" : "",
                  type_info(expr->type)->duckdb);
    return OK;
}

static Code print_sub_select(Printer *p, const Expr *expr)
{
    ScopeColumn *columns;
    uint32_t count;
    bool is_in = expr->kind == EXPR_IN_SELECT;
    buffer_add_char(p->out, '(');
    if (is_in)
        TRY(sql__print_expr(p, expr->left));
    buffer_add_text(p->out, is_in                       ? (expr->negated ? " NOT IN (" : " IN (")
                            : expr->kind == EXPR_EXISTS ? "EXISTS ("
                                                        : "(");
    TRY(sql__print_select(p, expr->select, p->scope, &columns, &count));
    if (expr->kind != EXPR_EXISTS && count != 1)
        return sql__print_fail(p, expr->select->offset, E_INVALID_SQL,
                               "A sub-select here must have one column, this has %u", count);
    return print_bare(p, "))");
}

static Code print_interval(Printer *p, const Expr *expr)
{
    buffer_printf(p->out, "(to_months(%d) + to_microseconds(%lld::BIGINT))", expr->months,
                  (long long)expr->interval_us);
    return OK;
}

static Code print_constant(Printer *p, const Expr *expr)
{
    const Value *value;
    TRY(constant_value(p, expr, &value));
    sql_print_value(p->out, value);
    return OK;
}

Code sql__print_expr(Printer *p, const Expr *expr)
{
    /* An alias in ORDER BY is printed as its expression, so that a short text could become a
     * long one. */
    if (p->out->size > SQL_PRINTED_BYTES_MAX)
        return sql__print_fail(p, expr->offset, E_TOO_LARGE, "The statement is too large");
    switch (expr->kind) {
    case EXPR_LITERAL:
    case EXPR_PARAMETER:
        return print_constant(p, expr);
    case EXPR_COLUMN:
        return print_column(p, expr);
    case EXPR_UNARY:
        return print_unary(p, expr);
    case EXPR_BINARY:
        return print_binary(p, expr);
    case EXPR_IS:
        return print_is(p, expr);
    case EXPR_BETWEEN:
        return print_between(p, expr);
    case EXPR_IN:
        return print_in(p, expr);
    case EXPR_LIKE:
        return print_like(p, expr);
    case EXPR_CASE:
        return print_case(p, expr);
    case EXPR_CAST:
        return print_cast(p, expr);
    case EXPR_CALL:
        return sql__print_call(p, expr);
    case EXPR_IN_SELECT:
    case EXPR_EXISTS:
    case EXPR_SUBQUERY:
        return print_sub_select(p, expr);
    case EXPR_INTERVAL:
        return print_interval(p, expr);
    case EXPR_DEFAULT:
        break;
    }
    return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                           "DEFAULT is allowed as a value of INSERT and SET only");
}

Code sql__print_count(Printer *p, const Expr *expr, const char *what, uint64_t *out)
{
    BindContext context = {.text = p->request->text,
                           .parameters = p->request->parameters,
                           .parameter_count = p->request->parameter_count};
    BoundExpr *bound;
    TRY(sql_bind(&context, expr, p->arena, &bound, p->e));
    const Value *value = sql_bound_constant(bound);
    Value number;
    bool is_number = value && !value->is_null &&
                     value_cast(value, TYPE_BIGINT, what, p->arena, &number, NULL) == OK;
    if (!is_number || number.integer < 0)
        return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                               "%s must be a whole number of 0 or more", what);
    *out = (uint64_t)number.integer;
    return OK;
}
