/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the binder share. It makes nodes from their leaves up; each node goes through
 * sql__finish, and what a place asks for goes through sql__convert or sql__unify.
 *
 * I1: the operands of NODE_COMPARE, BETWEEN, IN and DISTINCT are comparable (value_comparable)
 * or NULL.
 * I2: a node without columns, clock, user and ids is a NODE_CONSTANT.
 */
#pragma once

#include "sql/eval_int.h"

typedef struct Binder {
    const BindContext *context;
    Arena *arena;
    Error *e;
} Binder;

/* ---- bind.c ---- */
CHECKED Code sql__bind(Binder *b, const Expr *expr, BoundExpr **out);

/* ---- bind_call.c ---- */
CHECKED Code sql__bind_call(Binder *b, const Expr *expr, BoundExpr **out);

/* ---- bind_type.c ---- */

/* Fails with the place of `at` in the text. */
CHECKED Code sql__bind_fail(Binder *b, const Expr *at, Code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const char *sql__type_name(Type type); /* for messages */

BoundExpr *sql__node(Binder *b, NodeKind kind, Type type, uint32_t arg_count);
BoundExpr *sql__constant(Binder *b, Value value);
bool sql__is_constant(const BoundExpr *n);
/* The node whose arguments are all bound: inherits from them, and folds (I2). */
CHECKED Code sql__finish(Binder *b, const Expr *at, BoundExpr *n, BoundExpr **out);

/* A constant becomes one of `type`; anything else gets a cast node. */
CHECKED Code sql__convert(Binder *b, const Expr *at, Type type, BoundExpr **io);
/* Makes the two comparable (I1). */
CHECKED Code sql__unify(Binder *b, const Expr *at_a, BoundExpr **a, const Expr *at_b,
                        BoundExpr **c);
/* Gives all of the values one type; constants of text take that of the others. TYPE_NULL when there
 * are only NULLs. */
CHECKED Code sql__common_type(Binder *b, const Expr *const *at, BoundExpr **values, uint32_t count,
                              Type *out);
/* A parameter that was sent as text takes the type of the number beside it. */
CHECKED Code sql__adapt_parameter(Binder *b, const Expr *expr, const BoundExpr *other,
                                  BoundExpr **io);
/* A number, or E_INVALID_SQL; NULL and parameters that were sent as text become one. */
CHECKED Code sql__check_number(Binder *b, const Expr *expr, BoundExpr **io);

/* Bound as what its place takes, or E_INVALID_SQL. */
CHECKED Code sql__bind_boolean(Binder *b, const Expr *expr, BoundExpr **out);
CHECKED Code sql__bind_number(Binder *b, const Expr *expr, BoundExpr **out);
CHECKED Code sql__bind_text(Binder *b, const Expr *expr, BoundExpr **out);
/* Anything, cast to TEXT, as || and concat do. */
CHECKED Code sql__bind_as_text(Binder *b, const Expr *expr, BoundExpr **out);
