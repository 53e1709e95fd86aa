/* SPDX-License-Identifier: Apache-2.0
 *
 * Binds expressions to one table and evaluates them: WHERE, SET, VALUES, DEFAULT and live filters.
 * DuckDB's semantics (docs/sql.md, "Expressions"): three-valued logic, `/` gives DOUBLE, x / 0
 * and x % 0 are NULL, BIGINT overflow is E_EXECUTION.
 *
 * A BoundExpr is immutable and lives in the arena given to sql_bind together with everything it
 * needs, so that one may be evaluated from several threads. It borrows the schema.
 */
#pragma once

#include "sql/sql.h"

typedef struct BoundExpr BoundExpr;

/* What names can mean. `_seq` (BIGINT) and `_deleted` (BOOLEAN) exist beside the schema's
 * columns. */
typedef struct BindContext {
    Slice text;           /* the SQL text, for places in errors */
    const Schema *schema; /* NULL: no columns, as in VALUES */
    Slice namespace_name, table,
        alias; /* how columns may be qualified; an alias hides the table's name */
    const Value *parameters;
    uint32_t parameter_count;
} BindContext;

/* Binds; constants are folded, parameters become constants of the type their context asks for.
 * E_COLUMN_NOT_FOUND, E_INVALID_PARAMETER ($n without a value), E_INVALID_SQL (types do not fit,
 * unknown function), E_EXECUTION (a constant part fails). */
CHECKED Code sql_bind(const BindContext *context, const Expr *expr, Arena *arena, BoundExpr **out,
                      Error *e);
/* For WHERE: must be BOOLEAN or NULL. `expr` NULL gives *out NULL, which means every row. */
CHECKED Code sql_bind_condition(const BindContext *context, const Expr *expr, Arena *arena,
                                BoundExpr **out, Error *e);
/* For VALUES and SET: the result is cast to the column's type when evaluated (E_CONSTRAINT names
 * the column). EXPR_DEFAULT becomes the column's default. NULL in a NOT NULL column is not checked
 * here. */
CHECKED Code sql_bind_assignment(const BindContext *context, const Expr *expr, const Column *column,
                                 Arena *arena, BoundExpr **out, Error *e);

Type sql_bound_type(const BoundExpr *expr); /* TYPE_NULL for an untyped NULL */
/* The value when it is known without a row and a context, else NULL. */
const Value *sql_bound_constant(const BoundExpr *expr);
/* The column's index; BOUND_SEQ or BOUND_DELETED for the pseudo columns, BOUND_NOT_A_COLUMN for
 * any other expression. */
enum { BOUND_SEQ = -1, BOUND_DELETED = -2, BOUND_NOT_A_COLUMN = -3 };
int32_t sql_bound_column(const BoundExpr *expr);
/* Sets io_used[i] for each column i that the expression reads; NULL reads none. */
void sql_bound_columns(const BoundExpr *expr, bool *io_used);
/* False when the value depends on the time, the user or an id generator. */
bool sql_bound_is_pure(const BoundExpr *expr);
/* With all it points to but the schema; NULL of NULL. */
BoundExpr *sql_bound_copy(const BoundExpr *expr, Arena *arena);

typedef struct RowView {
    const Value *values; /* schema->column_count of them */
    uint64_t seq;
    bool deleted;
} RowView;

typedef struct EvalContext {
    int64_t now_us;      /* fixed per statement */
    Slice user_id, role; /* the effective user; role as "user" */
    /* DEFAULT_SNOWFLAKE_ID (BIGINT), DEFAULT_UUID_V7, DEFAULT_ULID (TEXT): a new id each call.
     * May be NULL: then E_EXECUTION. */
    Code (*new_id)(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e);
    void *id_context;
} EvalContext;

/* `row` may be NULL when no column is used. *out may point into the row and into the expression. */
CHECKED Code sql_eval(const BoundExpr *expr, const RowView *row, const EvalContext *context,
                      Arena *arena, Value *out, Error *e);
/* For WHERE: true only when the value is TRUE; `expr` NULL is true. */
CHECKED Code sql_eval_condition(const BoundExpr *expr, const RowView *row,
                                const EvalContext *context, Arena *arena, bool *out, Error *e);
/* The value of a column that a row leaves out: its default cast to the column's type, or NULL. */
CHECKED Code sql_default_value(const Column *column, const EvalContext *context, Arena *arena,
                               Value *out, Error *e);

/* What a WHERE says about key and seq, found in the ANDs at its top. The WHERE must still be
 * evaluated. */
typedef struct KeyCondition {
    bool has_key,
        never;    /* never: no row can match (key = NULL, key = 1 AND key = 2, empty seq range) */
    Value key;    /* of the key column's type, not null */
    bool has_seq; /* some bound on _seq was found; else the two are 0 and UINT64_MAX */
    uint64_t seq_min, seq_max; /* inclusive */
    bool key_only;             /* the WHERE says `key = constant` and nothing else */
} KeyCondition;

/* key_index: schema->key_index, -1 without a key. `where` may be NULL. */
KeyCondition sql_key_condition(const BoundExpr *where, int32_t key_index);
/* key IN (constants): the distinct non-null values in ascending order; false when the WHERE has no
 * such part in its top ANDs. `key = c` counts. Memory from the arena. */
bool sql_key_list(const BoundExpr *where, int32_t key_index, Arena *arena, Value **out_keys,
                  size_t *out_count);
