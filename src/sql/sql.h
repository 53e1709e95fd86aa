/* SPDX-License-Identifier: Apache-2.0
 *
 * SQL text to statement trees. Pure: no I/O, no clock, no globals; any thread, one arena each.
 *
 * Every error of a text has a place (Error.line, Error.column, both from 1, column in characters).
 */
#pragma once

#include "sql/statement.h"

/* One statement of a request; `text` borrows from the request, comments are still in it. */
typedef struct SqlPiece {
    Slice text;
    uint32_t line, column; /* where it begins in the request */
} SqlPiece;

/* Splits at semicolons outside quotes and comments; pieces that hold nothing but blanks and
 * comments are
 * left out. E_BATCH_PARSE for an unfinished quote or comment or more than SQL_STATEMENTS_MAX
 * pieces,
 * E_EMPTY_SQL for none, E_INVALID_SQL above SQL_BYTES_MAX or for text that is not UTF-8. */
CHECKED Code sql_split(Slice request, Arena *arena, SqlPiece **out_pieces, size_t *out_count,
                       Error *e);

/* Parses exactly one statement (a trailing semicolon is fine). E_INVALID_SQL with place and what
 * was expected;
 * E_UNSUPPORTED for what the dialect knows and this server does not do; E_INVALID_INPUT for a
 * malformed
 * EXECUTE AS USER; E_INVALID_OPERATION for UPDATE and DELETE without WHERE. */
CHECKED Code sql_parse(Slice text, Arena *arena, Statement **out, Error *e);
/* The same for a piece of a request: places count from the beginning of the request. */
CHECKED Code sql_parse_piece(const SqlPiece *piece, Arena *arena, Statement **out, Error *e);
/* Moves the place of an error that counts from the piece's beginning (sql_bind, sql_print_select
 * with the piece's text) to the request's. Once per error; errors without a place stay as they
 * are. */
void sql_place_in_request(const SqlPiece *piece, Error *e);
/* Parses one expression and nothing after it: for tests of expressions, without a statement. */
CHECKED Code sql_parse_expr(Slice text, Arena *arena, Expr **out, Error *e);

/* Line and column, from 1, of a byte offset. */
void sql_place(Slice text, uint32_t offset, uint32_t *out_line, uint32_t *out_column);

typedef enum SqlNameKind { SQL_NAME_NAMESPACE, SQL_NAME_TABLE, SQL_NAME_COLUMN } SqlNameKind;

/* Whether a new object may be called so (docs/sql.md, "Names"). E_INVALID_OPERATION with the
 * reason. The parser
 * has checked the names of CREATE NAMESPACE and CREATE TABLE already. */
CHECKED Code sql_check_name(SqlNameKind kind, Slice name, Error *e);

/* The default that ALTER COLUMN … SET DEFAULT sets: `text` is the statement's, `target` the column,
 * of which name and type are read; a literal is converted to that type. E_INVALID_SQL, E_CONSTRAINT
 * with the place in `text`. */
CHECKED Code sql_column_default(Slice text, Expr *expr, const Column *target, Arena *arena,
                                DefaultKind *out_kind, Value *out_value, Error *e);

/* Whether a SELECT can be a live query: one qualified table, *, or columns, and a WHERE that
 * runs natively.
 * E_INVALID_SQL with the reason and the place in `text`. SUBSCRIBE TO has passed it. */
CHECKED Code sql_check_live(const Select *select, Slice text, Error *e);

/* True when the expression can be bound and evaluated by sql_bind and sql_eval: no aggregates,
 * windows,
 * sub-selects or functions we leave to DuckDB. Column names are not looked at. NULL is native. */
bool sql_expr_is_native(const Expr *expr);
/* True when an aggregate function (count, sum …) stands in the expression, not counting
 * sub-selects. */
bool sql_expr_has_aggregate(const Expr *expr);
/* One table or none, no join, set operation, WITH, DISTINCT, GROUP BY or HAVING, and native
 * expressions throughout, where
 * `count(*)` alone counts as native too: the shape of the native executor. */
bool sql_select_is_native(const Select *select);
/* What a result column is called: the alias, the column's name as written, or the expression's
 * text with a function's
 * name in lower case ("count(*)"). A star has no name. */
Slice sql_item_name(const SelectItem *item, Arena *arena);
/* count(*) or count(1) without FILTER, DISTINCT or OVER. */
bool sql_expr_is_count_star(const Expr *expr);
