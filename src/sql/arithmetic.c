/* SPDX-License-Identifier: Apache-2.0
 *
 * Numbers and comparisons, with DuckDB's types and results, except that dividing by zero gives
 * NULL for every operator and type (the printer asks DuckDB for the same).
 */
#include <math.h>

#include "sql/eval_int.h"

bool sql__compare(Operator op, const Value *a, const Value *b)
{
    int order = value_compare(a, b);
    switch (op) {
    case OP_EQUAL:
        return order == 0;
    case OP_NOT_EQUAL:
        return order != 0;
    case OP_LESS:
        return order < 0;
    case OP_LESS_EQUAL:
        return order <= 0;
    case OP_GREATER:
        return order > 0;
    default:
        must(op == OP_GREATER_EQUAL);
        return order >= 0;
    }
}

Type sql__arithmetic_type(Operator op, Type a, Type b)
{
    if (!type_is_number(a) || !type_is_number(b))
        return TYPE_NULL;
    if (a == TYPE_DOUBLE || b == TYPE_DOUBLE)
        return TYPE_DOUBLE;
    if (a == TYPE_FLOAT || b == TYPE_FLOAT)
        return TYPE_FLOAT;
    if (op == OP_DIVIDE)
        return TYPE_DOUBLE;
    if (a == TYPE_BIGINT || b == TYPE_BIGINT)
        return TYPE_BIGINT;
    return a == TYPE_INT || b == TYPE_INT ? TYPE_INT : TYPE_SMALLINT;
}

static double real_of(const Value *v, Type type)
{
    double real = type_is_integer(v->type) ? (double)v->integer : v->real;
    return type == TYPE_FLOAT ? (double)(float)real : real;
}

static Code overflow(const char *what, Type type, Error *e)
{
    return fail(e, E_EXECUTION, "Overflow in %s of %s", what, type_info(type)->name);
}

static bool fits(int64_t n, Type type)
{
    if (type == TYPE_SMALLINT)
        return n >= INT16_MIN && n <= INT16_MAX;
    return type != TYPE_INT || (n >= INT32_MIN && n <= INT32_MAX);
}

static Code integer_arithmetic(Operator op, Type type, int64_t a, int64_t b, Value *out, Error *e)
{
    int64_t n = 0;
    bool is_over = false;
    const char *what = "division";
    switch (op) {
    case OP_ADD:
        what = "addition";
        is_over = __builtin_add_overflow(a, b, &n);
        break;
    case OP_SUBTRACT:
        what = "subtraction";
        is_over = __builtin_sub_overflow(a, b, &n);
        break;
    case OP_MULTIPLY:
        what = "multiplication";
        is_over = __builtin_mul_overflow(a, b, &n);
        break;
    default:
        must(op == OP_INTEGER_DIVIDE || op == OP_MODULO);
        is_over = a == INT64_MIN && b == -1;
        if (!is_over)
            n = op == OP_MODULO ? a % b : a / b;
    }
    if (is_over || !fits(n, type))
        return overflow(what, type, e);
    *out = value_integer(type, n);
    return OK;
}

static double real_arithmetic(Operator op, double a, double b)
{
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUBTRACT:
        return a - b;
    case OP_MULTIPLY:
        return a * b;
    case OP_MODULO:
        return fmod(a, b);
    default:
        must(op == OP_DIVIDE || op == OP_INTEGER_DIVIDE); /* DuckDB's // does not round reals */
        return a / b;
    }
}

Code sql__arithmetic(Operator op, Type type, const Value *a, const Value *b, Value *out, Error *e)
{
    bool divides = op == OP_DIVIDE || op == OP_INTEGER_DIVIDE || op == OP_MODULO;
    if (a->is_null || b->is_null || (divides && real_of(b, b->type) == 0)) {
        *out = value_null(type);
        return OK;
    }
    if (type_is_integer(type))
        return integer_arithmetic(op, type, a->integer, b->integer, out, e);
    double real = real_arithmetic(op, real_of(a, type), real_of(b, type));
    *out = value_double(type == TYPE_FLOAT ? (double)(float)real : real);
    out->type = type;
    return OK;
}

Code sql__negate(const Value *a, Value *out, Error *e)
{
    Value result = *a;
    if (!a->is_null && type_is_integer(a->type)) {
        if (a->integer == INT64_MIN || !fits(-a->integer, a->type))
            return overflow("negation", a->type, e);
        result.integer = -a->integer;
    } else if (!a->is_null) {
        result.real = -a->real;
    }
    *out = result;
    return OK;
}
