/* SPDX-License-Identifier: Apache-2.0
 *
 * What CREATE TABLE and ALTER TABLE say, as the parser filled it. See ast.h for ownership.
 */
#pragma once

#include "sql/ast.h"

typedef enum SqlTableKind {
    SQL_TABLE_UNSET,
    SQL_TABLE_USER,
    SQL_TABLE_SHARED,
    SQL_TABLE_STREAM
} SqlTableKind;
typedef enum SqlAccess {
    SQL_ACCESS_UNSET,
    SQL_ACCESS_PUBLIC,
    SQL_ACCESS_PRIVATE,
    SQL_ACCESS_RESTRICTED,
    SQL_ACCESS_DBA
} SqlAccess;
typedef struct ColumnDefinition {
    Slice name;
    uint32_t offset;
    Type type;
    bool not_null; /* also set for the primary key */
    bool primary_key;
    DefaultKind default_kind;
    Value default_value; /* DEFAULT_LITERAL: already of the column's type */
} ColumnDefinition;

/* What a STREAM is told that names a feed window. */
#define SQL_STREAM_FEED_WINDOW \
    "STREAM tables have no feed window: what TTL_SECONDS keeps can be resumed"

/* What one is told that names a flush policy. */
#define SQL_STREAM_FLUSH_POLICY                                                                 \
    "STREAM tables are never flushed and take no FLUSH_POLICY: TTL_SECONDS says how long rows " \
    "stay"

/* WITH ( … ): each has_x says whether the option was written. Checked by the parser
 * (docs/sql.md). */
typedef struct TableOptions {
    SqlTableKind kind; /* from the prefix or TYPE; SQL_TABLE_UNSET: neither was written */
    SqlAccess access;
    Slice storage_id; /* empty: not written */
    bool use_user_storage;
    bool has_flush_policy;
    uint32_t flush_rows;       /* 0: no row limit */
    uint32_t flush_interval_s; /* 0: no interval */
    bool has_ttl;
    uint64_t ttl_s;
    bool has_feed_window, has_feed_bytes;
    uint32_t feed_window_s;                /* 0: the server's default */
    uint64_t feed_window_bytes;            /* 0: the server's default */
    bool has_durability, durability_async; /* DURABILITY = 'sync' | 'async' */
} TableOptions;

typedef struct CreateTable {
    TableName table;
    bool if_not_exists;
    ColumnDefinition *columns;
    uint32_t column_count;
    int32_t key_index; /* -1: no primary key */
    TableOptions options;
} CreateTable;

typedef enum AlterAction {
    ALTER_ADD_COLUMN,    /* definition, if_not_exists */
    ALTER_DROP_COLUMN,   /* if_exists */
    ALTER_RENAME_COLUMN, /* new_name */
    ALTER_COLUMN_TYPE,   /* type; nullability where MODIFY says it */
    ALTER_SET_NOT_NULL,
    ALTER_DROP_NOT_NULL,
    /* default_expr: sql_column_default makes it a default, once the type is known */
    ALTER_SET_DEFAULT,
    ALTER_DROP_DEFAULT,
    ALTER_SET_OPTIONS,   /* options */
    ALTER_RESET_OPTIONS, /* options: those that get the server's default again, as 0 */
} AlterAction;
typedef enum Nullability { NULLABILITY_UNSET, NULLABILITY_NULL, NULLABILITY_NOT_NULL } Nullability;

typedef struct AlterTable {
    TableName table;
    AlterAction action;
    Slice column; /* the one that changes */
    uint32_t column_offset;
    bool if_exists, if_not_exists;
    Slice new_name;
    ColumnDefinition definition;
    Type type;
    Nullability nullability;
    Expr *default_expr;
    TableOptions options; /* access, flush policy and TTL only */
} AlterTable;
