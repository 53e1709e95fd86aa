/* SPDX-License-Identifier: Apache-2.0
 *
 * Bound expressions, shared by the binder (bind_int.h), the evaluator (eval.c) and the functions.
 */
#pragma once

#include "base/limits.h"
#include "sql/eval.h"

typedef enum NodeKind {
    NODE_CONSTANT, /* value */
    NODE_COLUMN,   /* column */
    NODE_SEQ,
    NODE_DELETED,
    NODE_AND, /* args[0], args[1], as for all with two operands */
    NODE_OR,
    NODE_NOT,
    NODE_COMPARE,   /* op; the operands are comparable */
    NODE_DISTINCT,  /* args[0] IS [negated: NOT] DISTINCT FROM args[1] */
    NODE_IS,        /* args[0] IS [NOT] is */
    NODE_BETWEEN,   /* args[0] BETWEEN args[1] AND args[2] */
    NODE_IN,        /* args[0] IN args[1 …] */
    NODE_IN_SORTED, /* args[0] IN values[0 … value_count), sorted; has_null: and a NULL */
    NODE_LIKE,      /* args[0] LIKE args[1] [ESCAPE args[2]] */
    NODE_CASE,      /* [has_operand: CASE args[0]] WHEN, THEN pairs, then ELSE */
    NODE_NEGATE,
    NODE_ARITHMETIC, /* op; both operands have the node's type, except for `/` */
    NODE_ADD_US,     /* TIMESTAMP args[0] + shift_us */
    NODE_CONCAT,     /* || */
    NODE_CAST,       /* args[0] to type; what */
    NODE_CALL,       /* function(args) */
    NODE_DEFAULT,    /* the default of `target` */
} NodeKind;

typedef struct SqlFunction SqlFunction;

struct BoundExpr {
    NodeKind kind;
    Type type;
    Operator op;
    IsKind is;
    bool negated, ignore_case, has_null;
    bool is_pure;       /* no clock, user or ids below */
    bool uses_row;      /* a column, _seq or _deleted below */
    bool has_operand;   /* NODE_CASE */
    bool is_assignment; /* NODE_CAST: a failure is E_CONSTRAINT, else E_EXECUTION */
    int32_t column;
    uint32_t arg_count, value_count;
    BoundExpr **args;
    const SqlFunction *function;
    const Column *target;
    const Value *values;
    const char *what; /* names the target of a cast for messages */
    int64_t shift_us;
    Value value;
};

typedef struct CallContext {
    const BoundExpr *call;
    const EvalContext *eval;
    Arena *arena;
    Error *e;
} CallContext;

/* args: `count` of them, evaluated; none is NULL unless takes_null. */
typedef Code FunctionBody(const CallContext *context, const Value *args, uint32_t count,
                          Value *out);

/* Signature, a letter for each argument, the last repeats up to arg_max: t text, n number, i
 * integer, d FLOAT or what casts to DOUBLE, D casts to DOUBLE, T timestamp, s any but all of one
 * type, c anything, cast to text. Result: t TEXT, i BIGINT, n INT, d DOUBLE, b BOOLEAN,
 * T TIMESTAMP, = the type of the first argument, % that of a % b. */
struct SqlFunction {
    const char *name;
    const char *signature;
    uint8_t arg_min, arg_max;
    char result;
    bool takes_null, is_impure;
    FunctionBody *body;
};

/* functions.c */
const SqlFunction *sql__find_function(Slice name); /* NULL when unknown; ignores case */
/* The known names, for a message. */
const char *sql__function_names(Arena *arena);
/* native.c */
bool sql__is_aggregate(Slice name);
const Expr *sql__find_aggregate(const Expr *expr); /* NULL: there is none */
/* text.c; all count in characters and take well-formed UTF-8 */
int64_t sql__text_length(Slice s);
Slice sql__substring(Slice s, int64_t start, int64_t length, bool has_length);
Slice sql__text_lower(Slice s, Arena *arena);
Slice sql__text_upper(Slice s, Arena *arena);
/* escape: empty or one character. E_EXECUTION when the pattern ends with it. */
CHECKED Code sql__like(Slice text, Slice pattern, Slice escape, bool *out, Error *e);
size_t sql__character_bytes(Slice s, size_t at);
/* E_TOO_LARGE when a text of so many bytes is more than a row or the statement's arena may hold. */
CHECKED Code sql__check_room(const Arena *arena, const char *what, size_t bytes, Error *e);
/* arithmetic.c */
CHECKED Code sql__arithmetic(Operator op, Type type, const Value *a, const Value *b, Value *out,
                             Error *e);
CHECKED Code sql__negate(const Value *a, Value *out, Error *e);
/* As for `x op y` (DuckDB's rules); TYPE_NULL when the two are not both numbers. */
Type sql__arithmetic_type(Operator op, Type a, Type b);
/* Both are not null. Compares exactly. */
bool sql__compare(Operator op, const Value *a, const Value *b);
