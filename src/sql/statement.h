/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements, each with the fields the parser filled. See ast.h for ownership.
 */
#pragma once

#include "sql/table_statement.h"

typedef enum StatementKind {
    STATEMENT_CREATE_NAMESPACE, /* namespace_ */
    STATEMENT_DROP_NAMESPACE,   /* namespace_ */
    STATEMENT_USE_NAMESPACE,    /* namespace_ */
    STATEMENT_SHOW_NAMESPACES,
    STATEMENT_SHOW_TABLES, /* namespace_; the name is empty without IN */
    STATEMENT_SHOW_STORAGES,
    STATEMENT_SHOW_CREATE_TABLE, /* table */
    STATEMENT_SHOW_MANIFEST,
    STATEMENT_SHOW_STATS,     /* table */
    STATEMENT_CREATE_TABLE,   /* create_table */
    STATEMENT_DROP_TABLE,     /* table */
    STATEMENT_ALTER_TABLE,    /* alter_table */
    STATEMENT_DESCRIBE_TABLE, /* table */
    STATEMENT_INSERT,         /* insert */
    STATEMENT_UPDATE,         /* update */
    STATEMENT_DELETE,         /* delete_ */
    STATEMENT_TRUNCATE,       /* delete_, without a WHERE */
    STATEMENT_SELECT,         /* select */
    STATEMENT_EXECUTE_AS,     /* execute_as */
    STATEMENT_CREATE_USER,    /* user */
    STATEMENT_ALTER_USER,     /* user */
    STATEMENT_DROP_USER,      /* user */
    STATEMENT_FLUSH_TABLE,    /* table */
    STATEMENT_FLUSH_ALL,      /* namespace_; the name is empty without IN */
    STATEMENT_COMPACT_TABLE,  /* table */
    STATEMENT_COMPACT_ALL,    /* namespace_ */
    STATEMENT_STORAGE_CHECK,  /* check */
    STATEMENT_BACKUP,         /* backup */
    STATEMENT_RESTORE,        /* backup */
    STATEMENT_EXPORT_USER,
    STATEMENT_SHOW_EXPORT,
    STATEMENT_KILL_JOB,        /* id */
    STATEMENT_KILL_LIVE_QUERY, /* id */
    STATEMENT_SUBSCRIBE,       /* subscribe */
    STATEMENT_BEGIN,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_EXPLAIN, /* inner */
} StatementKind;

typedef enum SqlRole {
    SQL_ROLE_UNSET,
    SQL_ROLE_USER,
    SQL_ROLE_SERVICE,
    SQL_ROLE_DBA,
    SQL_ROLE_SYSTEM
} SqlRole;

typedef struct Insert {
    TableName table;
    Slice *columns; /* names as written; column_count 0: all columns in table order */
    uint32_t *column_offsets;
    uint32_t column_count;
    uint32_t row_count; /* VALUES: rows of `width` expressions each, one after the other */
    uint32_t width;
    uint32_t row_offset; /* of the first row */
    Expr **values;       /* [row * width + column]; EXPR_DEFAULT for the keyword */
    bool default_values; /* INSERT INTO t DEFAULT VALUES */
    Select *select;      /* INSERT … SELECT, else NULL */
} Insert;

typedef struct Assignment {
    Slice column;
    uint32_t offset;
    Expr *value; /* EXPR_DEFAULT for the keyword */
} Assignment;

typedef struct Update {
    TableName table;
    Slice alias;
    Assignment *assignments;
    uint32_t assignment_count;
    Expr *where; /* never NULL */
} Update;

typedef struct Delete {
    TableName table;
    Slice alias;
    Expr *where; /* NULL in a TRUNCATE only */
} Delete;

typedef enum UserAuth {
    USER_AUTH_UNSET,
    USER_AUTH_PASSWORD,
    USER_AUTH_OAUTH,
    USER_AUTH_INTERNAL
} UserAuth;

/* CREATE USER (auth, role, email), ALTER USER (exactly one of password, role, email, restore), DROP
 * USER (if_exists). */
typedef struct UserStatement {
    Slice name;
    uint32_t offset;
    UserAuth auth;
    Slice password; /* the clear text; must not be logged */
    Slice oauth;    /* JSON text */
    SqlRole role;
    bool has_password, has_email, if_exists, is_restore;
    Slice email;
} UserStatement;

typedef struct Subscribe {
    Select *select; /* SUBSCRIBE TO t WHERE … is SELECT * FROM t WHERE …; passed sql_check_live */
    bool has_last_rows, has_batch_size, has_from;
    uint64_t last_rows, batch_size, from;
} Subscribe;

struct Statement {
    StatementKind kind;
    uint32_t offset;
    uint32_t parameter_count; /* the highest $n */
    Slice text;               /* as written, without the semicolon */
    union {
        struct {
            Slice name;
            uint32_t offset;
            bool if_exists, if_not_exists, cascade;
        } namespace_;
        struct {
            TableName name;
            bool if_exists;
            bool with_history; /* DESCRIBE TABLE … HISTORY */
        } table;
        CreateTable create_table;
        AlterTable alter_table;
        Insert insert;
        Update update;
        Delete delete_;
        Select *select;
        struct {
            Slice user;
            Statement *statement;
        } execute_as;
        UserStatement user;
        Slice id;
        struct {
            Slice id; /* as written; empty = the only storage */
            uint32_t offset;
            bool is_extended;
        } check;
        struct {
            Slice namespace_name; /* empty: the whole server */
            Slice place;          /* as written */
            uint32_t name_offset, place_offset;
        } backup;
        Subscribe subscribe;
        Statement *inner;
    };
};

/* "CREATE TABLE": for messages, logs and metrics. */
const char *sql_statement_name(StatementKind kind);
