/* SPDX-License-Identifier: Apache-2.0
 *
 * A request to statements: quotes and comments hide semicolons, all or nothing.
 */
#include "base/limits.h"
#include "sql/sql.h"
#include "sql/sql_int.h"
#include "test.h"

TEST("statements are split at semicolons outside quotes and comments")
{
    static const struct {
        const char *text;
        size_t count;
        const char *pieces[3];
    } cases[] = {
        {"SELECT 1", 1, {"SELECT 1"}},
        {"SELECT 1;", 1, {"SELECT 1"}},
        {";; SELECT 1 ;; SELECT 2 ;", 2, {"SELECT 1", "SELECT 2"}},
        {"SELECT 'a;b'; SELECT \"x;y\"; SELECT `p;q`",
         3,
         {"SELECT 'a;b'", "SELECT \"x;y\"", "SELECT `p;q`"}},
        {"SELECT 'it''s;'; SELECT 2", 2, {"SELECT 'it''s;'", "SELECT 2"}},
        {"SELECT 1 -- a;b\n; SELECT 2", 2, {"SELECT 1", "SELECT 2"}},
        {"/* ; */ SELECT 1 /* ; */; -- the end;", 1, {"SELECT 1"}},
        {"SELECT 1 /* in ' it */ + 2", 1, {"SELECT 1 /* in ' it */ + 2"}},
        {"SELECT 1 -- no newline at the end ;", 1, {"SELECT 1"}},
        {"SELECT 1 - -1; SELECT 4/2", 2, {"SELECT 1 - -1", "SELECT 4/2"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        SqlPiece *pieces;
        size_t count;
        CHECK_OK(sql_split(slice_of_text(cases[i].text), arena, &pieces, &count, e));
        CHECK_INT(count, cases[i].count);
        for (size_t k = 0; k < count; k++)
            CHECK_SLICE(pieces[k].text, slice_of_text(cases[i].pieces[k]));
    }
}

TEST("what cannot be split fails as a whole, with the original's words")
{
    static const struct {
        const char *text;
        Code code;
        const char *message;
    } cases[] = {
        {"", E_EMPTY_SQL, "No SQL statements provided"},
        {" ; -- x\n /* y */ ;", E_EMPTY_SQL, "No SQL statements provided"},
        {"SELECT 1; SELECT 'x", E_BATCH_PARSE,
         "Failed to parse SQL batch: Unterminated quoted string in SQL batch"},
        {"SELECT \"x", E_BATCH_PARSE,
         "Failed to parse SQL batch: Unterminated quoted string in SQL batch"},
        {"SELECT 1 /* x", E_BATCH_PARSE,
         "Failed to parse SQL batch: Unterminated block comment in SQL batch"},
        {"SELECT '\xff'", E_INVALID_SQL, "The SQL text is not valid UTF-8"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        SqlPiece *pieces;
        size_t count;
        Error e = {0};
        CHECK_INT(sql_split(slice_of_text(cases[i].text), arena, &pieces, &count, &e),
                  cases[i].code);
        CHECK_TEXT(e.text, cases[i].message);
    }
}

TEST("places of errors count from the beginning of the request")
{
    static const struct {
        const char *text;
        size_t piece;
        uint32_t line, column;
    } cases[] = {
        {"SELECT 1; SELECT +", 1, 1, 19},
        {"SELECT 1;\n\n  SELECT\n +", 1, 4, 3},
        {"SELECT 'é'; SELECT +", 1, 1, 21},
        {"-- first\nSELECT +", 0, 2, 9},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        SqlPiece *pieces;
        size_t count;
        Statement *s;
        Error error = {0};
        CHECK_OK(sql_split(slice_of_text(cases[i].text), arena, &pieces, &count, e));
        CHECK_INT(sql_parse_piece(&pieces[cases[i].piece], arena, &s, &error), E_INVALID_SQL);
        CHECK_INT(error.line, cases[i].line);
        CHECK_INT(error.column, cases[i].column);
    }
}

TEST("more statements than the limit are refused")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer text = {0};
    for (int i = 0; i <= SQL_STATEMENTS_MAX; i++)
        buffer_add_text(&text, "x;");
    SqlPiece *pieces;
    size_t count;
    CHECK_CODE(sql_split(buffer_slice(&text), arena, &pieces, &count, e), E_BATCH_PARSE);
    text.size -= 2;
    CHECK_OK(sql_split(buffer_slice(&text), arena, &pieces, &count, e));
    CHECK_INT(count, SQL_STATEMENTS_MAX);
}

TEST("the keyword table is sorted, or halving would miss words")
{
    for (int k = 1; k < KW_COUNT; k++) {
        const char *word = sql__keyword_text((Keyword)k);
        CHECK_INT(sql__keyword(slice_of_text(word)), k);
        CHECK(k == 1 || strcmp(sql__keyword_text((Keyword)(k - 1)), word) < 0);
    }
    CHECK_INT(sql__keyword(SLICE("sElEcT")), KW_SELECT);
    CHECK_INT(sql__keyword(SLICE("selec")), KW_NONE);
}

TEST("names of new objects follow the original's rules")
{
    static const struct {
        SqlNameKind kind;
        const char *name, *message;
    } cases[] = {
        {SQL_NAME_TABLE, "messages", NULL},
        {SQL_NAME_TABLE, "Messages_2", NULL},
        {SQL_NAME_COLUMN, "type", NULL},
        {SQL_NAME_COLUMN, "user", NULL},
        {SQL_NAME_TABLE, "default", "Name 'default' is a reserved SQL keyword and cannot be used"},
        {SQL_NAME_NAMESPACE, "Default", "Namespace 'Default' is reserved and cannot be used"},
        {SQL_NAME_NAMESPACE, "kalamdb", "Namespace 'kalamdb' is reserved and cannot be used"},
        {SQL_NAME_TABLE, "", "Name cannot be empty"},
        {SQL_NAME_TABLE, "_x", "Name cannot start with underscore (reserved for system columns)"},
        {SQL_NAME_TABLE, "1x", "Name cannot start with a number"},
        {SQL_NAME_TABLE, "a b", "Name cannot contain spaces"},
        {SQL_NAME_TABLE, "a-b",
         "Name 'a-b' contains invalid characters (only alphanumeric and underscore allowed)"},
        {SQL_NAME_TABLE, "é",
         "Name 'é' contains invalid characters (only alphanumeric and underscore allowed)"},
        {SQL_NAME_TABLE, "Index", "Name 'Index' is a reserved SQL keyword and cannot be used"},
        {SQL_NAME_COLUMN, "_SEQ", "Column name '_SEQ' is reserved and cannot be used"},
        {SQL_NAME_COLUMN, "_commit_seq",
         "Column name '_commit_seq' is reserved and cannot be used"},
        {SQL_NAME_TABLE, "a123456789b123456789c123456789d123456789e123456789f123456789g1234",
         "Name is too long (65 characters, max 64)"},
        {SQL_NAME_TABLE, "a123456789b123456789c123456789d123456789e123456789f123456789g123", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        Error e = {0};
        Code code = sql_check_name(cases[i].kind, slice_of_text(cases[i].name), &e);
        CHECK_INT(code, cases[i].message ? E_INVALID_OPERATION : OK);
        if (cases[i].message)
            CHECK_TEXT(e.text, cases[i].message);
    }
}
