/* SPDX-License-Identifier: Apache-2.0
 *
 * The printer's state, shared by print.c (SELECT), print_from.c (tables and names), print_expr.c
 * and
 * print_functions.c.
 */
#pragma once

#include "sql/eval_int.h"
#include "sql/print.h"
#include "sql/sql_int.h"

/* One column that names can mean: of a table, of a sub-select, or made one by JOIN … USING. */
typedef struct ScopeColumn {
    Slice name;           /* as users write it */
    Slice printed;        /* DuckDB SQL: "t0"."name", or a coalesce of both sides of a FULL JOIN */
    Type type;            /* TYPE_NULL when not known */
    const Column *source; /* NULL unless it is a table's column unchanged */
    uint32_t relation;    /* index of the table it belongs to; of the first one when merged */
    bool is_merged; /* hides the columns of this name in the relations [relation, merged_end) */
    uint32_t merged_end;
    bool is_hidden; /* by a merged one: found with its table's name only */
} ScopeColumn;

typedef struct ScopeRelation {
    Slice name;           /* alias or table name */
    Slice namespace_name; /* empty for an alias */
} ScopeRelation;

typedef struct Scope {
    struct Scope *outer;  /* of the enclosing SELECT, for correlated sub-selects */
    const Select *select; /* for aliases in GROUP BY, HAVING and ORDER BY */
    ScopeRelation *relations;
    ScopeColumn *columns; /* in the order of SELECT * */
    uint32_t relation_count, column_count;
    uint32_t visible_from; /* ON sees the relations of its own join only */
} Scope;

/* A WITH table: its columns are printed c0, c1 … */
typedef struct PrintWith {
    struct PrintWith *next;
    Slice name, printed;
    ScopeColumn *columns;
    uint32_t column_count;
} PrintWith;

typedef struct Printer {
    const PrintRequest *request;
    Arena *arena;
    Buffer *out;
    Error *e;
    Scope *scope;
    PrintWith *with;
    uint32_t relation_counter;
    bool allows_alias; /* GROUP BY, HAVING, ORDER BY: a name may be that of an item */
} Printer;

CHECKED Code sql__print_fail(Printer *p, uint32_t offset, Code code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* print.c: prints the SELECT with columns c0, c1 …; returns what they are (printed is the bare
 * name). */
CHECKED Code sql__print_select(Printer *p, const Select *select, Scope *outer,
                               ScopeColumn **out_columns, uint32_t *out_count);
/* print_from.c */
CHECKED Code sql__print_from(Printer *p, TableRef *ref);
/* *out is NULL when there is no such name; E_INVALID_SQL when it is ambiguous. */
CHECKED Code sql__resolve(Printer *p, const Expr *expr, const ScopeColumn **out);
/* print_top.c: fills where and top of the table, whose columns are in the scope already. */
CHECKED Code sql__print_top(Printer *p, const TableRef *ref, PrintTable *table);
/* print_expr.c */
CHECKED Code sql__print_expr(Printer *p, const Expr *expr);
/* The type when it is plain to see, else TYPE_NULL. */
Type sql__print_type(Printer *p, const Expr *expr);
/* Of values of which one is taken, as CASE and coalesce() do: the type that constant texts among
 * them get, TYPE_NULL when it is not plain to see. */
Type sql__print_common_type(Printer *p, const Expr *const *exprs, uint32_t count);
/* One of them. */
CHECKED Code sql__print_choice(Printer *p, const Expr *expr, Type common);
CHECKED Code sql__print_order(Printer *p, const OrderItem *order, uint32_t count);
/* A whole number that is known now: LIMIT, OFFSET. */
CHECKED Code sql__print_count(Printer *p, const Expr *expr, const char *what, uint64_t *out);
/* print_group.c: E_INVALID_SQL for a column that is neither grouped nor aggregated. */
CHECKED Code sql__check_groups(Printer *p, const Select *select);
/* print_functions.c */
CHECKED Code sql__print_call(Printer *p, const Expr *call);
