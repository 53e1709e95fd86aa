/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints a SELECT for DuckDB out of our own tree. User text never passes: names are resolved
 * against
 * our catalog and quoted, literals and parameters are rendered anew with their type, functions
 * come from
 * an allow list, tables are whatever the caller prints for them.
 */
#pragma once

#include "sql/eval.h"

/* A table as the printer needs it; filled by the caller. */
typedef struct PrintTable {
    const Schema *schema;
    Slice namespace_name;
    bool has_system_columns; /* _seq and _deleted exist and end SELECT *; false for system views */
    void *tag;               /* the caller's; given back to print_table */
    /* For print_table. Where only the first rows of the table are wanted, `top` is " ORDER BY …
     * LIMIT n" and `where` their condition (empty: none): each part of what is printed may be cut
     * to them under the name `alias`. Else `top` is empty. */
    Slice alias, where, top;
} PrintTable;

typedef struct PrintCallbacks {
    void *context;
    /* E_TABLE_NOT_FOUND and the like; the printer adds the place. */
    Code (*find_table)(void *context, const TableName *name, PrintTable *out, Error *e);
    /* Writes a FROM item whose columns are those of the schema, then _seq BIGINT and _deleted
     * BOOLEAN: a table
     * function call or a sub-select in parentheses. The printer adds the alias. */
    Code (*print_table)(void *context, const TableRef *ref, const PrintTable *table, Buffer *out,
                        Error *e);
} PrintCallbacks;

/* One column of the result. Its type is known from DuckDB's result. */
typedef struct PrintColumn {
    Slice name;
    const Column *source; /* the table's column when it is passed on unchanged, else NULL */
    Type type;            /* that column's type, else TYPE_NULL: BIGINT of `_seq`, and so on */
} PrintColumn;

typedef struct PrintRequest {
    Slice text; /* the SQL text, for places in errors */
    const Value *parameters;
    uint32_t parameter_count;
    const EvalContext *eval; /* NOW(), CURRENT_USER … become constants of the statement */
    const PrintCallbacks *callbacks;
} PrintRequest;

/* Appends the SQL to `out`. The columns come from the arena. Errors carry places:
 * E_COLUMN_NOT_FOUND, E_TABLE_NOT_FOUND,
 * E_INVALID_SQL (a function that is not on the list, an ambiguous column), E_INVALID_PARAMETER.
 * On failure `out`
 * holds garbage after its old size. */
CHECKED Code sql_print_select(const PrintRequest *request, const Select *select, Arena *arena,
                              Buffer *out, PrintColumn **out_columns, size_t *out_column_count,
                              Error *e);

/* "name", with quotes inside doubled. */
void sql_print_name(Buffer *out, Slice name);
/* A value as DuckDB SQL of exactly its type: 5::BIGINT, 'it''s', TIMESTAMP '…'. */
void sql_print_value(Buffer *out, const Value *value);
