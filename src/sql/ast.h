/* SPDX-License-Identifier: Apache-2.0
 *
 * The statement tree: what the parser makes of one statement. Plain data in the caller's arena; the
 * texts borrow from the SQL text, which must live as long as the tree. Names keep the case written
 * and are compared without case. An `offset` is the byte in the text where the node begins.
 */
#pragma once

#include "data/schema.h"

typedef struct Expr Expr;
typedef struct Select Select;
typedef struct Statement Statement;

/* ---- expressions ---- */

typedef enum ExprKind {
    EXPR_LITERAL,   /* value */
    EXPR_PARAMETER, /* parameter: n of $n, from 1 */
    EXPR_COLUMN,    /* column */
    EXPR_UNARY,     /* op, left */
    EXPR_BINARY,    /* op, left, right */
    EXPR_IS,        /* left IS [NOT] is */
    EXPR_BETWEEN,   /* left [NOT] BETWEEN right AND third */
    EXPR_IN,        /* left [NOT] IN (items) */
    EXPR_IN_SELECT, /* left [NOT] IN (select) */
    EXPR_LIKE,      /* left [NOT] LIKE|ILIKE right [ESCAPE third] */
    EXPR_CASE,      /* CASE [left] WHEN items[2i] THEN items[2i+1] … [ELSE right] END */
    EXPR_CAST,      /* CAST(left AS type) */
    EXPR_CALL,      /* name(items) */
    EXPR_EXISTS,    /* EXISTS (select) */
    EXPR_SUBQUERY,  /* (select) as a scalar */
    EXPR_INTERVAL,  /* INTERVAL '1 day' */
    EXPR_DEFAULT,   /* the keyword DEFAULT in VALUES or SET */
} ExprKind;

typedef enum Operator {
    OP_NEGATE,
    OP_PLUS,
    OP_NOT, /* unary */
    OP_OR,
    OP_AND,
    OP_EQUAL,
    OP_NOT_EQUAL,
    OP_LESS,
    OP_LESS_EQUAL,
    OP_GREATER,
    OP_GREATER_EQUAL,
    OP_ADD,
    OP_SUBTRACT,
    OP_MULTIPLY,
    OP_DIVIDE,
    OP_INTEGER_DIVIDE,
    OP_MODULO,
    OP_CONCAT,
    OP_JSON_GET,      /* -> */
    OP_JSON_GET_TEXT, /* ->> */
    OP_DISTINCT_FROM,
    OP_NOT_DISTINCT_FROM, /* IS [NOT] DISTINCT FROM */
} Operator;

typedef enum IsKind { IS_NULL, IS_TRUE, IS_FALSE, IS_UNKNOWN } IsKind;

typedef struct ColumnName {
    Slice namespace_name; /* empty unless written ns.table.column */
    Slice table;          /* table or alias; empty when not written */
    Slice name;
} ColumnName;

typedef struct OrderItem {
    Expr *expr;
    bool descending;
    bool nulls_first; /* the default is last, for ASC and DESC (DuckDB) */
} OrderItem;

typedef enum FrameBound {
    FRAME_NONE,
    FRAME_UNBOUNDED_PRECEDING,
    FRAME_PRECEDING,
    FRAME_CURRENT_ROW,
    FRAME_FOLLOWING,
    FRAME_UNBOUNDED_FOLLOWING,
} FrameBound;

typedef struct Window { /* OVER (…) */
    Expr **partition;
    uint32_t partition_count, order_count;
    OrderItem *order;
    bool has_frame, frame_is_range;
    FrameBound frame_start, frame_end;
    Expr *frame_start_expr, *frame_end_expr; /* for n PRECEDING, n FOLLOWING */
} Window;

/* Only the fields that the kind names are valid; the union's other members are not. */
struct Expr {
    ExprKind kind;
    uint32_t offset;
    uint32_t item_count;
    uint16_t height; /* of the tree below; at most SQL_NESTING_MAX */
    Operator op : 8;
    IsKind is : 8;
    bool negated : 1;     /* IS NOT, NOT BETWEEN, NOT IN, NOT LIKE, NOT EXISTS */
    bool ignore_case : 1; /* ILIKE */
    bool distinct : 1;    /* EXPR_CALL: count(DISTINCT x) */
    bool star : 1;        /* EXPR_CALL: count(*) */
    uint32_t parameter;   /* EXPR_PARAMETER */
    Type type;            /* EXPR_CAST */
    Expr **items;         /* list, arguments, WHEN/THEN pairs */
    union {
        Value value;       /* EXPR_LITERAL: BOOLEAN, BIGINT, DOUBLE, TEXT, TIMESTAMP or NULL */
        ColumnName column; /* EXPR_COLUMN */
        struct {
            Expr *left, *right, *third;
            Select *select;
        };
        struct {                   /* EXPR_CALL */
            Slice name;            /* as written */
            Window *window;        /* NULL without OVER */
            OrderItem *call_order; /* string_agg(x, ',' ORDER BY y) */
            uint32_t call_order_count;
        };
        struct { /* EXPR_INTERVAL */
            int32_t months;
            int64_t interval_us;
        };
    };
};

/* ---- SELECT ---- */

typedef struct TableName {
    Slice namespace_name; /* empty when not written: the session's namespace */
    Slice name;
    uint32_t offset;
} TableName;

typedef enum TableRefKind { REF_TABLE, REF_SELECT, REF_JOIN } TableRefKind;
typedef enum JoinKind { JOIN_INNER, JOIN_LEFT, JOIN_RIGHT, JOIN_FULL, JOIN_CROSS } JoinKind;

typedef struct TableRef {
    TableRefKind kind;
    uint32_t offset;
    TableName table; /* REF_TABLE; a name without namespace may be that of a WITH table */
    Slice alias;     /* empty when not written */
    Select *select;  /* REF_SELECT */
    JoinKind join;   /* REF_JOIN; `FROM a, b` is JOIN_CROSS */
    struct TableRef *left, *right;
    Expr *on; /* or NULL */
    Slice *using_columns;
    uint32_t using_count;
} TableRef;

typedef struct SelectItem {
    uint32_t offset;
    bool star;        /* * or t.* */
    Slice star_table; /* t of t.*, else empty */
    Expr *expr;       /* NULL for a star */
    Slice alias;      /* empty when not written */
    Slice text;       /* the expression as written: the column's name when there is no alias */
} SelectItem;

typedef enum SetOperation { SET_NONE, SET_UNION, SET_INTERSECT, SET_EXCEPT } SetOperation;

typedef struct WithTable {
    Slice name;
    uint32_t offset;
    Slice *columns;
    uint32_t column_count;
    Select *select;
} WithTable;

/* A plain SELECT (set_operation SET_NONE), or left UNION right. WITH, ORDER BY and LIMIT belong
 * to either. */
struct Select {
    uint32_t offset;
    uint16_t height; /* of the highest expression in it, sub-selects included */
    SetOperation set_operation;
    bool set_all;
    Select *left, *right;
    WithTable *with;
    uint32_t with_count;
    bool distinct;
    SelectItem *items;
    uint32_t item_count, group_count, order_count;
    TableRef *from; /* NULL without FROM */
    Expr *where;    /* NULL when absent, as all below */
    Expr **group;
    Expr *having;
    OrderItem *order;
    Expr *limit;      /* LIMIT ALL is NULL with has_limit */
    Expr *row_offset; /* OFFSET */
    bool has_limit;
    Slice text; /* as written */
};
