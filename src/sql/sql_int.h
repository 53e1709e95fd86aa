/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this folder share: tokens, the parser's state, its helpers.
 */
#pragma once

#include "base/limits.h"
#include "sql/sql.h"

typedef enum Keyword {
    KW_NONE,
#define KEYWORD(word, use) KW_##word,
#include "sql/keywords.def"
#undef KEYWORD
    KW_COUNT,
} Keyword;

typedef enum KeywordUse { FREE, NAME, RESERVED } KeywordUse;

Keyword sql__keyword(Slice word);
const char *sql__keyword_text(Keyword keyword);
KeywordUse sql__keyword_use(Keyword keyword);

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_ERROR, /* problem says why */
    TOKEN_WORD,
    TOKEN_QUOTED, /* "name" or `name` */
    TOKEN_STRING,
    TOKEN_INTEGER,
    TOKEN_NUMBER,
    TOKEN_PARAMETER,
    TOKEN_LEFT,
    TOKEN_RIGHT,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_SEMICOLON,
    TOKEN_CAST,
    TOKEN_COLON,
    TOKEN_EQUAL,
    TOKEN_NOT_EQUAL,
    TOKEN_LESS,
    TOKEN_LESS_EQUAL,
    TOKEN_GREATER,
    TOKEN_GREATER_EQUAL,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_SLASH_SLASH,
    TOKEN_PERCENT,
    TOKEN_CONCAT,
    TOKEN_ARROW,
    TOKEN_ARROW_TEXT,
} TokenKind;

typedef struct Token {
    TokenKind kind;
    Keyword keyword;     /* of an unquoted word, else KW_NONE */
    uint32_t start, end; /* bytes of the text */
    Slice text;          /* word or string without its quotes, number as written */
    uint64_t number;     /* TOKEN_INTEGER (saturated), TOKEN_PARAMETER */
    const char *problem; /* TOKEN_ERROR */
} Token;

typedef struct Parser {
    Slice text;
    Arena *arena;
    Error *e;
    Token token;           /* the next one, not yet consumed */
    uint32_t at;           /* behind `token` */
    uint32_t previous_end; /* end of the last consumed token */
    uint32_t depth, tokens, parameter_count;
    uint32_t height; /* of the highest expression of the SELECT being parsed */
    uint32_t joins;  /* joins and set operations so far, in the whole statement */
} Parser;

/* lex.c */
void sql__parser_init(Parser *p, Slice text, Arena *arena, Error *e);
void sql__advance(Parser *p);
Token sql__peek_second(const Parser *p);
/* The bytes from the current token to the next blank, parenthesis, comma or semicolon; consumes
 * them. */
Slice sql__raw_word(Parser *p);
/* Skips what starts at *io_at if it is a quoted run or a comment; false when it does not end. */
bool sql__skip_opaque(Slice text, size_t *io_at, const char **out_problem);
bool sql__is_blank(char c);

/* parse.c: the small steps of every rule */
CHECKED Code sql__expected(Parser *p, const char *what);
CHECKED Code sql__fail(Parser *p, Code code, uint32_t offset, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Puts the place of `offset` on an error made by a function that knows none. Returns e->code. */
CHECKED Code sql__place(Slice text, uint32_t offset, Error *e);
CHECKED Code sql__unsupported(Parser *p, uint32_t offset, const char *what);
bool sql__accept(Parser *p, TokenKind kind);
bool sql__accept_word(Parser *p, Keyword keyword);
bool sql__at_word(const Parser *p, Keyword keyword);
bool sql__at_text(const Parser *p, const char *word); /* a word that is no keyword */
CHECKED Code sql__expect(Parser *p, TokenKind kind, const char *what);
CHECKED Code sql__expect_word(Parser *p, Keyword keyword);
bool sql__at_name(const Parser *p);
CHECKED Code sql__name(Parser *p, const char *what, Slice *out);
CHECKED Code sql__table_name(Parser *p, TableName *out);
CHECKED Code sql__string(Parser *p, const char *what, Slice *out);
CHECKED Code sql__unsigned(Parser *p, const char *what, uint64_t max, uint64_t *out);
CHECKED Code sql__enter(Parser *p); /* one level deeper; E_INVALID_SQL at SQL_NESTING_MAX */
void sql__leave(Parser *p);
CHECKED Code sql__count_join(Parser *p, uint32_t offset);
/* Appends room for one more item to an array that doubles in the arena. */
void *sql__push(Arena *arena, void *array, uint32_t count, size_t item_size);
#define PUSH(p, array, count) \
    ((array) = sql__push((p)->arena, (array), (count), sizeof(*(array))), &(array)[(count)++])
CHECKED Code sql__statement(Parser *p, Statement **out);

/* parse_expr.c */
CHECKED Code sql__expr(Parser *p, Expr **out);
CHECKED Code sql__expr_list(Parser *p, Expr ***out, uint32_t *out_count);
/* Height from the children; E_INVALID_SQL when the tree is too high. */
CHECKED Code sql__finish_expr(Parser *p, Expr *expr);
/* parse_primary.c */
CHECKED Code sql__primary(Parser *p, Expr **out);
CHECKED Code sql__type(Parser *p, Type *out);
/* CAST target or column type: SERIAL sets *out_serial. */
CHECKED Code sql__column_type(Parser *p, Type *out, bool *out_serial);
/* parse_select.c */
bool sql__at_select(const Parser *p);
CHECKED Code sql__select(Parser *p, Select **out);
CHECKED Code sql__order_list(Parser *p, OrderItem **out, uint32_t *out_count);
/* parse_table.c */
CHECKED Code sql__create_table(Parser *p, Statement *s);
/* Type and constraints of a column whose name is in io_column; a NOT NULL one with DEFAULT NULL is
 * refused. */
typedef struct ColumnState {
    bool has_null, has_not_null;
    uint32_t key_count;
} ColumnState;
CHECKED Code sql__column(Parser *p, ColumnDefinition *io_column, ColumnState *state);
/* Any word, so that a reserved one gets the better message of the name check. */
CHECKED Code sql__new_column_name(Parser *p, Slice *out);
CHECKED Code sql__table_options(Parser *p, TableOptions *options);
CHECKED Code sql__reset_options(Parser *p, TableOptions *options);
CHECKED Code sql__check_options(Parser *p, uint32_t offset, TableOptions *options);
CHECKED Code sql__access_level(Parser *p, TableOptions *options); /* the word after ACCESS LEVEL */
/* parse_alter.c */
CHECKED Code sql__alter_table(Parser *p, Statement *s);
/* parse_dml.c */
CHECKED Code sql__insert(Parser *p, Statement *s);
CHECKED Code sql__update(Parser *p, Statement *s);
CHECKED Code sql__delete(Parser *p, Statement *s);
CHECKED Code sql__truncate(Parser *p, Statement *s);
/* parse_admin.c */
CHECKED Code sql__execute_as(Parser *p, Statement *s);
CHECKED Code sql__create_user(Parser *p, Statement *s);
CHECKED Code sql__alter_user(Parser *p, Statement *s);
CHECKED Code sql__drop_user(Parser *p, Statement *s);
CHECKED Code sql__storage(Parser *p, Statement *s);
CHECKED Code sql__kill(Parser *p, Statement *s);
CHECKED Code sql__storage_check(Parser *p, Statement *s); /* at CHECK */
CHECKED Code sql__export_user(Parser *p, Statement *s);
CHECKED Code sql__backup(Parser *p, Statement *s);
CHECKED Code sql__restore(Parser *p, Statement *s);
CHECKED Code sql__subscribe(Parser *p, Statement *s);
