/* SPDX-License-Identifier: Apache-2.0
 *
 * The parser's small steps and the statement dispatch. Recursive descent with one token of
 * lookahead;
 * every rule returns a Code and fills *out only when it succeeds.
 *
 * I1: depth <= SQL_NESTING_MAX, so that the C stack is bounded whatever the text.
 */
#include <stdio.h>

#include "sql/sql_int.h"

enum { FOUND_BYTES_MAX = 40 };

static Code fail_va(Parser *p, Code code, uint32_t offset, const char *format, va_list args)
{
    char message[ERROR_TEXT_BYTES_MAX];
    vsnprintf(message, sizeof(message), format, args);
    uint32_t line, column;
    sql_place(p->text, offset, &line, &column);
    return fail_at(p->e, code, line, column, "%s", message);
}

Code sql__fail(Parser *p, Code code, uint32_t offset, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    Code result = fail_va(p, code, offset, format, args);
    va_end(args);
    return result;
}

Code sql__place(Slice text, uint32_t offset, Error *e)
{
    if (!e)
        return E_INVALID_SQL;
    sql_place(text, offset, &e->line, &e->column);
    return e->code;
}

/* A piece of the user's text for a message: at most FOUND_BYTES_MAX bytes, cut between
 * characters. */
static Slice excerpt(Slice s)
{
    if (s.size <= FOUND_BYTES_MAX)
        return s;
    size_t size = FOUND_BYTES_MAX;
    while (size && ((unsigned char)s.data[size] & 0xC0) == 0x80)
        size--;
    return slice_of(s.data, size);
}

Code sql__expected(Parser *p, const char *what)
{
    const Token *t = &p->token;
    if (t->kind == TOKEN_ERROR && t->text.size)
        return sql__fail(p, E_INVALID_SQL, t->start, "%s, found '%.*s'", t->problem,
                         SLICE_ARGS(excerpt(t->text)));
    if (t->kind == TOKEN_ERROR)
        return sql__fail(p, E_INVALID_SQL, t->start, "%s", t->problem);
    if (t->kind == TOKEN_END)
        return sql__fail(p, E_INVALID_SQL, t->start, "Expected %s, found the end of the statement",
                         what);
    Slice found = slice_of(p->text.data + t->start, t->end - t->start);
    return sql__fail(p, E_INVALID_SQL, t->start, "Expected %s, found '%.*s'", what,
                     SLICE_ARGS(excerpt(found)));
}

Code sql__unsupported(Parser *p, uint32_t offset, const char *what)
{
    return sql__fail(p, E_UNSUPPORTED, offset, "%s", what);
}

bool sql__accept(Parser *p, TokenKind kind)
{
    if (p->token.kind != kind)
        return false;
    sql__advance(p);
    return true;
}

bool sql__at_word(const Parser *p, Keyword keyword)
{
    return p->token.kind == TOKEN_WORD && p->token.keyword == keyword;
}

bool sql__at_text(const Parser *p, const char *word)
{
    return p->token.kind == TOKEN_WORD &&
           slice_equal_ignoring_case(p->token.text, slice_of_text(word));
}

bool sql__accept_word(Parser *p, Keyword keyword)
{
    if (!sql__at_word(p, keyword))
        return false;
    sql__advance(p);
    return true;
}

Code sql__expect(Parser *p, TokenKind kind, const char *what)
{
    return sql__accept(p, kind) ? OK : sql__expected(p, what);
}

Code sql__expect_word(Parser *p, Keyword keyword)
{
    return sql__accept_word(p, keyword) ? OK : sql__expected(p, sql__keyword_text(keyword));
}

bool sql__at_name(const Parser *p)
{
    return p->token.kind == TOKEN_QUOTED ||
           (p->token.kind == TOKEN_WORD && sql__keyword_use(p->token.keyword) != RESERVED);
}

Code sql__name(Parser *p, const char *what, Slice *out)
{
    if (p->token.kind == TOKEN_WORD && sql__keyword_use(p->token.keyword) == RESERVED)
        return sql__fail(
            p, E_INVALID_SQL, p->token.start,
            "Expected %s, found the reserved word '%.*s'; to use it as a name write it in "
            "double quotes",
            what, SLICE_ARGS(p->token.text));
    if (!sql__at_name(p))
        return sql__expected(p, what);
    *out = p->token.text;
    sql__advance(p);
    return OK;
}

Code sql__table_name(Parser *p, TableName *out)
{
    TableName name = {.offset = p->token.start};
    TRY(sql__name(p, "a table name", &name.name));
    if (sql__accept(p, TOKEN_DOT)) {
        name.namespace_name = name.name;
        TRY(sql__name(p, "a table name after the dot", &name.name));
    }
    *out = name;
    return OK;
}

Code sql__string(Parser *p, const char *what, Slice *out)
{
    if (p->token.kind != TOKEN_STRING)
        return sql__expected(p, what);
    *out = p->token.text;
    sql__advance(p);
    return OK;
}

Code sql__unsigned(Parser *p, const char *what, uint64_t max, uint64_t *out)
{
    if (p->token.kind != TOKEN_INTEGER)
        return sql__expected(p, what);
    if (p->token.number > max)
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "Expected %s of at most %llu, found %.*s", what, (unsigned long long)max,
                         SLICE_ARGS(excerpt(p->token.text)));
    *out = p->token.number;
    sql__advance(p);
    return OK;
}

Code sql__enter(Parser *p)
{
    if (p->depth == SQL_NESTING_MAX)
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "The statement is nested more than %d deep", SQL_NESTING_MAX);
    p->depth++;
    return OK;
}

void sql__leave(Parser *p)
{
    must(p->depth > 0);
    p->depth--;
}

/* Joins and set operations nest to the left, so their number bounds that depth. */
Code sql__count_join(Parser *p, uint32_t offset)
{
    if (p->joins == SQL_NESTING_MAX)
        return sql__fail(p, E_INVALID_SQL, offset, "More than %d joins and set operations",
                         SQL_NESTING_MAX);
    p->joins++;
    return OK;
}

void *sql__push(Arena *arena, void *array, uint32_t count, size_t item_size)
{
    bool is_full = count == 0 || (count >= 4 && (count & (count - 1)) == 0);
    if (!is_full)
        return array;
    uint32_t capacity = count ? count * 2 : 4;
    void *grown = arena_alloc(arena, capacity * item_size);
    if (count)
        memcpy(grown, array, count * item_size);
    return grown;
}

/* ---- statements ---- */

static Code if_exists(Parser *p, bool *out)
{
    *out = sql__accept_word(p, KW_IF);
    return *out ? sql__expect_word(p, KW_EXISTS) : OK;
}

static Code create_namespace(Parser *p, Statement *s)
{
    s->kind = STATEMENT_CREATE_NAMESPACE;
    if (sql__accept_word(p, KW_IF)) {
        TRY(sql__expect_word(p, KW_NOT));
        TRY(sql__expect_word(p, KW_EXISTS));
        s->namespace_.if_not_exists = true;
    }
    s->namespace_.offset = p->token.start;
    if (p->token.kind ==
        TOKEN_WORD) { /* a reserved word gets the better message of the name check */
        s->namespace_.name = p->token.text;
        sql__advance(p);
    } else {
        TRY(sql__name(p, "a namespace name", &s->namespace_.name));
    }
    if (sql_check_name(SQL_NAME_NAMESPACE, s->namespace_.name, p->e) != OK)
        return sql__place(p->text, s->namespace_.offset, p->e);
    return OK;
}

static Code parse_create(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_NAMESPACE))
        return create_namespace(p, s);
    if (sql__at_word(p, KW_USER) && sql__peek_second(p).keyword != KW_TABLE) {
        sql__advance(p);
        return sql__create_user(p, s);
    }
    if (sql__at_word(p, KW_TABLE) || sql__at_word(p, KW_USER) || sql__at_word(p, KW_SHARED) ||
        sql__at_word(p, KW_STREAM))
        return sql__create_table(p, s);
    static const char *const others[] = {"VIEW",     "INDEX",    "UNIQUE", "STORAGE",   "TOPIC",
                                         "MACRO",    "FUNCTION", "TYPE",   "SEQUENCE",  "SCHEMA",
                                         "DATABASE", "TRIGGER",  "TEMP",   "TEMPORARY", "OR",
                                         "ROLE",     "EXTENSION"};
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (sql__at_text(p, others[i]))
            return sql__fail(p, E_INVALID_SQL, s->offset, "Unsupported statement type: CREATE %s",
                             others[i]);
    return sql__expected(p, "NAMESPACE, TABLE, USER TABLE, SHARED TABLE, STREAM TABLE or USER");
}

static Code drop_table(Parser *p, Statement *s)
{
    s->kind = STATEMENT_DROP_TABLE;
    TRY(if_exists(p, &s->table.if_exists));
    TRY(sql__table_name(p, &s->table.name));
    if (!sql__accept_word(p, KW_CASCADE))
        (void)sql__accept_word(p, KW_RESTRICT);
    return OK;
}

static Code parse_drop(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_NAMESPACE)) {
        s->kind = STATEMENT_DROP_NAMESPACE;
        TRY(if_exists(p, &s->namespace_.if_exists));
        s->namespace_.offset = p->token.start;
        TRY(sql__name(p, "a namespace name", &s->namespace_.name));
        s->namespace_.cascade = sql__accept_word(p, KW_CASCADE);
        return OK;
    }
    bool has_prefix = sql__at_word(p, KW_SHARED) || sql__at_word(p, KW_STREAM) ||
                      (sql__at_word(p, KW_USER) && sql__peek_second(p).keyword == KW_TABLE);
    if (has_prefix)
        sql__advance(p);
    if (sql__accept_word(p, KW_TABLE))
        return drop_table(p, s);
    if (!has_prefix && sql__accept_word(p, KW_USER))
        return sql__drop_user(p, s);
    static const char *const others[] = {"VIEW",   "INDEX",    "STORAGE", "TOPIC",
                                         "MACRO",  "FUNCTION", "TYPE",    "SEQUENCE",
                                         "SCHEMA", "DATABASE", "TRIGGER"};
    for (size_t i = 0; !has_prefix && i < sizeof(others) / sizeof(*others); i++)
        if (sql__at_text(p, others[i]))
            return sql__fail(p, E_INVALID_SQL, s->offset, "Unsupported statement type: DROP %s",
                             others[i]);
    return sql__expected(p, has_prefix ? "TABLE" : "NAMESPACE, TABLE or USER");
}

static Code parse_alter(Parser *p, Statement *s)
{
    bool has_prefix = sql__at_word(p, KW_SHARED) || sql__at_word(p, KW_STREAM) ||
                      (sql__at_word(p, KW_USER) && sql__peek_second(p).keyword == KW_TABLE);
    if (has_prefix)
        sql__advance(p);
    if (sql__accept_word(p, KW_TABLE))
        return sql__alter_table(p, s);
    if (!has_prefix && sql__accept_word(p, KW_USER))
        return sql__alter_user(p, s);
    if (sql__at_word(p, KW_NAMESPACE) || sql__at_word(p, KW_STORAGE) || sql__at_text(p, "TOPIC"))
        return sql__fail(p, E_UNSUPPORTED, s->offset, "ALTER %.*s is not supported yet",
                         SLICE_ARGS(p->token.text));
    return sql__expected(p, has_prefix ? "TABLE" : "TABLE or USER");
}

static Code use_namespace(Parser *p, Statement *s)
{
    s->kind = STATEMENT_USE_NAMESPACE;
    s->namespace_.offset = p->token.start;
    return sql__name(p, "a namespace name", &s->namespace_.name);
}

static Code parse_use(Parser *p, Statement *s)
{
    /* `USE namespace` alone switches to a namespace of that name. */
    if (sql__at_word(p, KW_NAMESPACE)) {
        TokenKind next = sql__peek_second(p).kind;
        if (next == TOKEN_WORD || next == TOKEN_QUOTED)
            sql__advance(p);
    }
    return use_namespace(p, s);
}

static Code parse_set(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_NAMESPACE))
        return use_namespace(p, s);
    return sql__fail(p, E_UNSUPPORTED, s->offset,
                     "SET is supported as SET NAMESPACE name only; settings are the server's");
}

static Code show_stats(Parser *p, Statement *s)
{
    s->kind = STATEMENT_SHOW_STATS;
    sql__advance(p);
    if (!sql__at_text(p, "FOR"))
        return sql__expected(p, "FOR TABLE");
    sql__advance(p);
    TRY(sql__expect_word(p, KW_TABLE));
    return sql__table_name(p, &s->table.name);
}

static Code parse_show(Parser *p, Statement *s)
{
    if (sql__accept_word(p, KW_NAMESPACES)) {
        s->kind = STATEMENT_SHOW_NAMESPACES;
        return OK;
    }
    if (sql__accept_word(p, KW_EXPORT)) {
        s->kind = STATEMENT_SHOW_EXPORT;
        return OK;
    }
    if (sql__at_text(p, "MANIFEST")) {
        s->kind = STATEMENT_SHOW_MANIFEST;
        sql__advance(p);
        return OK;
    }
    if (sql__at_text(p, "STORAGES")) {
        s->kind = STATEMENT_SHOW_STORAGES;
        sql__advance(p);
        return OK;
    }
    if (sql__at_text(p, "STATS"))
        return show_stats(p, s);
    if (sql__accept_word(p, KW_CREATE)) {
        s->kind = STATEMENT_SHOW_CREATE_TABLE;
        TRY(sql__expect_word(p, KW_TABLE));
        return sql__table_name(p, &s->table.name);
    }
    if (!sql__accept_word(p, KW_TABLES)) {
        if (p->token.kind != TOKEN_WORD)
            return sql__expected(p, "NAMESPACES or TABLES");
        return sql__fail(
            p, E_INVALID_SQL, s->offset,
            "Unsupported statement type: SHOW %.*s; there are SHOW NAMESPACES, TABLES, "
            "CREATE TABLE, STATS FOR TABLE, MANIFEST, STORAGES and EXPORT",
            SLICE_ARGS(excerpt(p->token.text)));
    }
    s->kind = STATEMENT_SHOW_TABLES;
    if (!sql__accept_word(p, KW_IN) && !sql__accept_word(p, KW_FROM))
        return OK;
    if (sql__at_word(p, KW_NAMESPACE) && sql__peek_second(p).kind == TOKEN_WORD)
        sql__advance(p);
    s->namespace_.offset = p->token.start;
    return sql__name(p, "a namespace name", &s->namespace_.name);
}

static Code parse_describe(Parser *p, Statement *s)
{
    s->kind = STATEMENT_DESCRIBE_TABLE;
    (void)sql__accept_word(p, KW_TABLE);
    TRY(sql__table_name(p, &s->table.name));
    s->table.with_history = sql__at_text(p, "HISTORY");
    if (s->table.with_history)
        sql__advance(p);
    return OK;
}

static Code parse_begin(Parser *p, Statement *s)
{
    s->kind = STATEMENT_BEGIN;
    if (!sql__accept_word(p, KW_TRANSACTION) && sql__at_text(p, "WORK"))
        sql__advance(p);
    return OK;
}

static Code parse_start(Parser *p, Statement *s)
{
    s->kind = STATEMENT_BEGIN;
    return sql__expect_word(p, KW_TRANSACTION);
}

static Code end_transaction(Parser *p, Statement *s, StatementKind kind)
{
    s->kind = kind;
    if (!sql__accept_word(p, KW_TRANSACTION) && sql__at_text(p, "WORK"))
        sql__advance(p);
    return OK;
}

static Code parse_commit(Parser *p, Statement *s)
{
    return end_transaction(p, s, STATEMENT_COMMIT);
}

static Code parse_rollback(Parser *p, Statement *s)
{
    return end_transaction(p, s, STATEMENT_ROLLBACK);
}

static Code parse_select(Parser *p, Statement *s)
{
    s->kind = STATEMENT_SELECT;
    return sql__select(p, &s->select);
}

static Code parse_explain(Parser *p, Statement *s)
{
    if (sql__at_text(p, "ANALYZE"))
        return sql__unsupported(p, p->token.start, "EXPLAIN ANALYZE is not supported; EXPLAIN is");
    s->kind = STATEMENT_EXPLAIN;
    return sql__statement(p, &s->inner);
}

typedef Code Rule(Parser *p, Statement *s);

static const struct {
    Keyword keyword;
    bool keep; /* the rule wants the keyword itself */
    Rule *rule;
} rules[] = {
    {KW_SELECT, true, parse_select},      {KW_INSERT, false, sql__insert},
    {KW_UPDATE, false, sql__update},      {KW_DELETE, false, sql__delete},
    {KW_TRUNCATE, false, sql__truncate},  {KW_WITH, true, parse_select},
    {KW_BEGIN, false, parse_begin},       {KW_COMMIT, false, parse_commit},
    {KW_EXECUTE, false, sql__execute_as}, {KW_CREATE, false, parse_create},
    {KW_DROP, false, parse_drop},         {KW_ALTER, false, parse_alter},
    {KW_USE, false, parse_use},           {KW_SET, false, parse_set},
    {KW_SHOW, false, parse_show},         {KW_DESCRIBE, false, parse_describe},
    {KW_DESC, false, parse_describe},     {KW_STORAGE, false, sql__storage},
    {KW_KILL, false, sql__kill},          {KW_SUBSCRIBE, false, sql__subscribe},
    {KW_START, false, parse_start},       {KW_ROLLBACK, false, parse_rollback},
    {KW_EXPLAIN, false, parse_explain},   {KW_BACKUP, false, sql__backup},
    {KW_RESTORE, false, sql__restore},    {KW_EXPORT, false, sql__export_user},
};

static Code unknown_statement(Parser *p)
{
    static const char *const known[] = {
        "GRANT",      "REVOKE",  "COPY",    "VACUUM", "ANALYZE", "ATTACH",  "DETACH",
        "PRAGMA",     "LOAD",    "INSTALL", "IMPORT", "CALL",    "PREPARE", "DEALLOCATE",
        "CHECKPOINT", "REPLACE", "MERGE",   "VALUES", "DECLARE", "LOCK",    "SAVEPOINT",
        "RELEASE",    "CLUSTER", "CONSUME", "ACK",    "CLEAR",   "COMMENT", "RESET",
        "PIVOT",      "FROM",    "END",     "ABORT",  "REINDEX", "DO",      "LISTEN",
        "NOTIFY",     "FETCH",   "TABLE",
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (sql__at_text(p, known[i]))
            return sql__fail(p, E_INVALID_SQL, p->token.start, "Unsupported statement type: %s",
                             known[i]);
    return sql__expected(p, "a statement such as SELECT, INSERT, UPDATE, DELETE or CREATE");
}

Code sql__statement(Parser *p, Statement **out)
{
    TRY(sql__enter(p));
    Statement *s = arena_new_of(p->arena, Statement);
    s->offset = p->token.start;
    Rule *rule = p->token.kind == TOKEN_LEFT ? parse_select : NULL;
    for (size_t i = 0; p->token.keyword && i < sizeof(rules) / sizeof(*rules); i++) {
        if (rules[i].keyword != p->token.keyword)
            continue;
        rule = rules[i].rule;
        if (!rules[i].keep)
            sql__advance(p);
        break;
    }
    if (!rule)
        return unknown_statement(p);
    TRY(rule(p, s));
    s->text = slice_of(p->text.data + s->offset, p->previous_end - s->offset);
    s->parameter_count = p->parameter_count;
    *out = s;
    sql__leave(p);
    return OK;
}

static Code check_size(Slice text, Error *e)
{
    if (text.size > SQL_BYTES_MAX)
        return fail(e, E_INVALID_SQL, "SQL query too long: %zu bytes (maximum %d bytes)", text.size,
                    SQL_BYTES_MAX);
    return slice_is_utf8(text) ? OK : fail(e, E_INVALID_SQL, "The SQL text is not valid UTF-8");
}

Code sql_parse(Slice text, Arena *arena, Statement **out, Error *e)
{
    TRY(check_size(text, e));
    Parser p;
    sql__parser_init(&p, text, arena, e);
    if (p.token.kind == TOKEN_END || p.token.kind == TOKEN_SEMICOLON)
        return fail(e, E_EMPTY_SQL, "No SQL statements provided");
    Statement *statement;
    TRY(sql__statement(&p, &statement));
    while (sql__accept(&p, TOKEN_SEMICOLON))
        continue;
    if (p.token.kind != TOKEN_END)
        return sql__expected(&p, "the end of the statement");
    statement->parameter_count = p.parameter_count;
    *out = statement;
    return OK;
}

void sql_place_in_request(const SqlPiece *piece, Error *e)
{
    if (!e || !e->line)
        return;
    if (e->line == 1)
        e->column += piece->column - 1;
    e->line += piece->line - 1;
}

Code sql_parse_piece(const SqlPiece *piece, Arena *arena, Statement **out, Error *e)
{
    if (e)
        e->line = 0;
    Code code = sql_parse(piece->text, arena, out, e);
    if (code != OK)
        sql_place_in_request(piece, e);
    return code;
}

Code sql_parse_expr(Slice text, Arena *arena, Expr **out, Error *e)
{
    TRY(check_size(text, e));
    Parser p;
    sql__parser_init(&p, text, arena, e);
    Expr *expr;
    TRY(sql__expr(&p, &expr));
    if (p.token.kind != TOKEN_END)
        return sql__expected(&p, "the end of the expression");
    *out = expr;
    return OK;
}

const char *sql_statement_name(StatementKind kind)
{
    static const char *const names[] = {
        [STATEMENT_CREATE_NAMESPACE] = "CREATE NAMESPACE",
        [STATEMENT_DROP_NAMESPACE] = "DROP NAMESPACE",
        [STATEMENT_USE_NAMESPACE] = "USE NAMESPACE",
        [STATEMENT_SHOW_NAMESPACES] = "SHOW NAMESPACES",
        [STATEMENT_SHOW_TABLES] = "SHOW TABLES",
        [STATEMENT_SHOW_STORAGES] = "SHOW STORAGES",
        [STATEMENT_SHOW_CREATE_TABLE] = "SHOW CREATE TABLE",
        [STATEMENT_SHOW_MANIFEST] = "SHOW MANIFEST",
        [STATEMENT_SHOW_STATS] = "SHOW STATS",
        [STATEMENT_CREATE_TABLE] = "CREATE TABLE",
        [STATEMENT_DROP_TABLE] = "DROP TABLE",
        [STATEMENT_ALTER_TABLE] = "ALTER TABLE",
        [STATEMENT_DESCRIBE_TABLE] = "DESCRIBE TABLE",
        [STATEMENT_INSERT] = "INSERT",
        [STATEMENT_UPDATE] = "UPDATE",
        [STATEMENT_DELETE] = "DELETE",
        [STATEMENT_TRUNCATE] = "TRUNCATE",
        [STATEMENT_SELECT] = "SELECT",
        [STATEMENT_EXECUTE_AS] = "EXECUTE AS USER",
        [STATEMENT_CREATE_USER] = "CREATE USER",
        [STATEMENT_ALTER_USER] = "ALTER USER",
        [STATEMENT_DROP_USER] = "DROP USER",
        [STATEMENT_FLUSH_TABLE] = "STORAGE FLUSH TABLE",
        [STATEMENT_FLUSH_ALL] = "STORAGE FLUSH ALL",
        [STATEMENT_COMPACT_TABLE] = "STORAGE COMPACT TABLE",
        [STATEMENT_COMPACT_ALL] = "STORAGE COMPACT ALL",
        [STATEMENT_STORAGE_CHECK] = "STORAGE CHECK",
        [STATEMENT_BACKUP] = "BACKUP DATABASE",
        [STATEMENT_RESTORE] = "RESTORE DATABASE",
        [STATEMENT_EXPORT_USER] = "EXPORT USER DATA",
        [STATEMENT_SHOW_EXPORT] = "SHOW EXPORT",
        [STATEMENT_KILL_JOB] = "KILL JOB",
        [STATEMENT_KILL_LIVE_QUERY] = "KILL LIVE QUERY",
        [STATEMENT_SUBSCRIBE] = "SUBSCRIBE TO",
        [STATEMENT_BEGIN] = "BEGIN",
        [STATEMENT_COMMIT] = "COMMIT",
        [STATEMENT_ROLLBACK] = "ROLLBACK",
        [STATEMENT_EXPLAIN] = "EXPLAIN",
    };
    must((size_t)kind < sizeof(names) / sizeof(*names));
    return names[kind];
}
