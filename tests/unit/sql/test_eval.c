/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions: what they give, checked against DuckDB 1.4.4's answers by hand (docs/sql.md says
 * where we differ), and
 * what a WHERE says about key and _seq.
 */
#include "sql/eval.h"
#include "test.h"

#include <stdio.h>

static Column columns[] = {
    {.field_id = 1,
     .name = {"id", 2},
     .type = TYPE_BIGINT,
     .not_null = true,
     .primary_key = true,
     .default_kind = DEFAULT_SNOWFLAKE_ID},
    {.field_id = 2, .name = {"name", 4}, .type = TYPE_TEXT, .default_kind = DEFAULT_CURRENT_USER},
    {.field_id = 3, .name = {"n", 1}, .type = TYPE_INT},
    {.field_id = 4, .name = {"small", 5}, .type = TYPE_SMALLINT},
    {.field_id = 5, .name = {"f", 1}, .type = TYPE_FLOAT},
    {.field_id = 6, .name = {"d", 1}, .type = TYPE_DOUBLE},
    {.field_id = 7, .name = {"ok", 2}, .type = TYPE_BOOLEAN},
    {.field_id = 8, .name = {"at", 2}, .type = TYPE_TIMESTAMP, .default_kind = DEFAULT_NOW},
    {.field_id = 9, .name = {"Nothing", 7}, .type = TYPE_TEXT},
    {.field_id = 10, .name = {"u", 1}, .type = TYPE_UUID},
    {.field_id = 11, .name = {"j", 1}, .type = TYPE_JSON},
};
static const Schema schema = {
    .version = 1, .column_count = 11, .key_index = 0, .next_field_id = 12, .columns = columns};

static Code next_id(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e)
{
    (void)context, (void)arena, (void)e;
    *out = kind == DEFAULT_SNOWFLAKE_ID ? value_integer(TYPE_BIGINT, 77)
           : kind == DEFAULT_ULID       ? value_text(SLICE("01ULID"))
                                        : value_text(SLICE("0190-uuid"));
    return OK;
}

static const EvalContext statement = {
    .now_us = 1000000, .user_id = {"alice", 5}, .role = {"user", 4}, .new_id = next_id};

static void fill_row(Value values[11])
{
    values[0] = value_integer(TYPE_BIGINT, 42);
    values[1] = value_text(SLICE("Zoë"));
    values[2] = value_integer(TYPE_INT, 7);
    values[3] = value_integer(TYPE_SMALLINT, 32767);
    values[4] = value_double(1.5);
    values[4].type = TYPE_FLOAT;
    values[5] = value_double(2.5);
    values[6] = value_boolean(true);
    values[7] = value_integer(TYPE_TIMESTAMP, 86400000000);
    values[8] = value_null(TYPE_TEXT);
    values[9] = (Value){.type = TYPE_UUID, .uuid = {[15] = 1}};
    values[10] = value_text(SLICE("{\"a\":1}"));
    values[10].type = TYPE_JSON;
}

static Value parameters[] = {
    {.type = TYPE_BIGINT, .integer = 42},     {.type = TYPE_TEXT, .bytes = {"42", 2}},
    {.type = TYPE_NULL, .is_null = true},     {.type = TYPE_BIGINT, .integer = 86400000000},
    {.type = TYPE_TEXT, .bytes = {"abc", 3}},
};

static BindContext context_of(const char *text)
{
    return (BindContext){.text = slice_of_text(text),
                         .schema = &schema,
                         .namespace_name = SLICE("chat"),
                         .table = SLICE("messages"),
                         .parameters = parameters,
                         .parameter_count = sizeof(parameters) / sizeof(*parameters)};
}

static Code run(const char *text, Arena *arena, Value *out, Error *e)
{
    Expr *expr;
    BoundExpr *bound;
    BindContext context = context_of(text);
    Value values[11];
    fill_row(values);
    RowView row = {.values = values, .seq = 1000, .deleted = false};
    TRY(sql_parse_expr(context.text, arena, &expr, e));
    TRY(sql_bind(&context, expr, arena, &bound, e));
    TRY(sql_eval(bound, &row, &statement, arena, out, e));
    CHECK(out->type == sql_bound_type(bound) || out->is_null || type_is_text(out->type));
    return OK;
}

typedef struct Case {
    const char *text, *want; /* NULL: the SQL NULL */
} Case;

static void check_all(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer got = {0};
        Value value;
        Error e = {0};
        Code code = run(cases[i].text, arena, &value, &e);
        if (code != OK)
            test_failed(__FILE__, __LINE__, "%s failed: %s", cases[i].text, e.text);
        if (value.is_null != !cases[i].want)
            test_failed(__FILE__, __LINE__, "%s is %sNULL", cases[i].text,
                        value.is_null ? "" : "not ");
        if (!cases[i].want)
            continue;
        value_print(&value, &got);
        if (!slice_equal(buffer_slice(&got), slice_of_text(cases[i].want)))
            test_failed(__FILE__, __LINE__, "%s is %.*s, want %s", cases[i].text,
                        SLICE_ARGS(buffer_slice(&got)), cases[i].want);
    }
}

#define CHECK_ALL(cases) check_all((cases), sizeof(cases) / sizeof(*(cases)))

TEST("arithmetic has DuckDB's types and results, and division by zero is NULL")
{
    static const Case cases[] = {
        {"1 + 2 * 3", "7"},   {"(1 + 2) * 3", "9"},
        {"7 / 2", "3.5"},     {"7 // 2", "3"},
        {"-7 // 2", "-3"},    {"-7 % 3", "-1"},
        {"5.5 % 2.0", "1.5"}, {"5.5 // 2.0", "2.75"},
        {"1 / 0", NULL},      {"1.5 / 0", NULL},
        {"1 % 0", NULL},      {"1 // 0", NULL},
        {"1e0 % 0", NULL},    {"n + 1", "8"},
        {"n / 2", "3.5"},     {"f / n", "0.21428572"},
        {"f + 1", "2.5"},     {"f * d", "3.75"},
        {"-n", "-7"},         {"+n", "7"},
        {"- -n", "7"},        {"-9223372036854775808", "-9223372036854775808"},
        {"NULL + 1", NULL},   {"1e308 * 10", "inf"},
        {"$1 + 1", "43"},     {"$2 + 1", "43"},
        {"10 - 2 - 3", "5"},  {"2 * -3", "-6"},
    };
    CHECK_ALL(cases);
}

TEST("logic is three-valued: unknown stays unknown unless the other side decides")
{
    static const Case cases[] = {
        {"NULL AND FALSE", "false"},
        {"FALSE AND NULL", "false"},
        {"NULL OR TRUE", "true"},
        {"TRUE AND NULL", NULL},
        {"FALSE OR NULL", NULL},
        {"NOT NULL", NULL},
        {"NOT TRUE", "false"},
        {"NOT ok AND FALSE", "false"},
        {"NULL = NULL", NULL},
        {"1 = NULL", NULL},
        {"Nothing = 'x'", NULL},
        {"Nothing IS NULL", "true"},
        {"Nothing IS NOT NULL", "false"},
        {"NULL IS TRUE", "false"},
        {"NULL IS NOT TRUE", "true"},
        {"ok IS TRUE", "true"},
        {"ok IS FALSE", "false"},
        {"NULL IS UNKNOWN", "true"},
        {"NULL IS DISTINCT FROM NULL", "false"},
        {"1 IS DISTINCT FROM NULL", "true"},
        {"1 IS NOT DISTINCT FROM 1", "true"},
        {"1 IN (2, NULL)", NULL},
        {"1 IN (1, NULL)", "true"},
        {"NULL IN (1)", NULL},
        {"1 NOT IN (2, NULL)", NULL},
        {"1 NOT IN (2, 3)", "true"},
        {"n IN (5, n)", "true"},
        {"1 BETWEEN NULL AND 0", "false"},
        {"1 BETWEEN NULL AND 5", NULL},
        {"2 BETWEEN 1 AND 3 AND TRUE", "true"},
        {"2 NOT BETWEEN 1 AND 3", "false"},
    };
    CHECK_ALL(cases);
}

TEST("comparisons give constants the column's type")
{
    static const Case cases[] = {
        {"id = 42", "true"},
        {"id = '42'", "true"},
        {"'42' = id", "true"},
        {"id = $1", "true"},
        {"id = $2", "true"},
        {"id = $3", NULL},
        {"id IN ('41', '42')", "true"},
        {"id BETWEEN '1' AND '100'", "true"},
        {"id < 42.5", "true"},
        {"id <> 42", "false"},
        {"id != 42", "false"},
        {"n >= 7 AND n <= 7", "true"},
        {"at = '1970-01-02'", "true"},
        {"at = '1970-01-02T00:00:00Z'", "true"},
        {"at = $4", "true"},
        {"at = 86400000000", "true"},
        {"at < TIMESTAMP '1970-01-03'", "true"},
        {"at + INTERVAL '1 day 1 hour' = '1970-01-03 01:00:00'", "true"},
        {"at - INTERVAL 1 DAY", "1970-01-01 00:00:00"},
        {"u = '00000000-0000-0000-0000-000000000001'", "true"},
        {"name = 42", "false"},
        {"name > 'A'", "true"},
        {"'a' < 'B'", "false"},
        {"ok = 'true'", "true"},
        {"ok", "true"},
        {"_seq = 1000", "true"},
        {"_deleted", "false"},
        {"ID = 42", "true"},
        {"messages.id = 42", "true"},
        {"chat.Messages.\"id\" = 42", "true"},
        {"d = 2.5", "true"},
        {"9007199254740993 = 9007199254740992.0", "false"},
    };
    CHECK_ALL(cases);
}

TEST("text functions count characters, not bytes, and agree with DuckDB")
{
    static const Case cases[] = {
        {"length(name)", "3"},
        {"strlen(name)", "4"},
        {"upper(name)", "ZOË"},
        {"lower('ÀBÇ ΩЖ')", "àbç ωж"},
        {"upper('ß é ı')", "ẞ É I"},
        {"lower('İ')", "i"},
        {"substr('hello', 2, 3)", "ell"},
        {"substr('hello', -3, 2)", "ll"},
        {"substr('hello', 0, 2)", "h"},
        {"substr('hello', 0)", "hello"},
        {"substr('hello', 2, -1)", "h"},
        {"substr('hello', 10)", ""},
        {"substr('hello', -10, 7)", "he"},
        {"substr('hello', 3, -2)", "he"},
        {"substring('héllo', 2, 1)", "é"},
        {"substr('a', 9223372036854775807, 9223372036854775807)", ""},
        {"trim('  a ')", "a"},
        {"trim('xyaxy', 'xy')", "a"},
        {"ltrim('xya', 'yx')", "a"},
        {"rtrim('ab ')", "ab"},
        {"left('abc', 2)", "ab"},
        {"left('abc', -1)", "ab"},
        {"left('abc', 10)", "abc"},
        {"left('hello', -10)", ""},
        {"right('héé', 2)", "éé"},
        {"right('abc', -1)", "bc"},
        {"right('hello', -10)", ""},
        {"repeat('ab', 2)", "abab"},
        {"repeat('a', -1)", ""},
        {"replace('aaa', 'aa', 'b')", "ba"},
        {"replace('aaa', '', 'b')", "aaa"},
        {"replace('abcabc', 'b', '')", "acac"},
        {"starts_with('abc', 'ab')", "true"},
        {"ends_with('abc', 'bc')", "true"},
        {"contains('abc', '')", "true"},
        {"strpos('héllo', 'l')", "3"},
        {"strpos('', 'a')", "0"},
        {"'a' || 1", "a1"},
        {"'a' || TRUE", "atrue"},
        {"'a' || NULL", NULL},
        {"'a' || 1.0", "a1.0"},
        {"concat('a', NULL, 1)", "a1"},
        {"concat(NULL)", ""},
        {"lower(NULL)", NULL},
        {"length($1)", "2"},
    };
    CHECK_ALL(cases);
}

TEST("LIKE works on characters, has no escape unless asked, and folds case for ILIKE only")
{
    static const Case cases[] = {
        {"'abc' LIKE 'a%'", "true"},
        {"'aéc' LIKE 'a_c'", "true"},
        {"'a%c' LIKE 'a\\%c'", "false"},
        {"'a%c' LIKE 'a\\%c' ESCAPE '\\'", "true"},
        {"'abc' LIKE 'a\\%c' ESCAPE '\\'", "false"},
        {"'ab' LIKE 'axb' ESCAPE 'x'", "true"},
        {"'ABC' ILIKE 'a_c'", "true"},
        {"'É' ILIKE 'é'", "true"},
        {"'É' LIKE 'é'", "false"},
        {"NULL LIKE 'a'", NULL},
        {"'abc' NOT LIKE 'b%'", "true"},
        {"'' LIKE ''", "true"},
        {"'' LIKE '%'", "true"},
        {"'' LIKE '_'", "false"},
        {"'aaab' LIKE '%a%b'", "true"},
        {"'mississippi' LIKE '%iss%pi'", "true"},
        {"'mississippi' LIKE '%iss%p'", "false"},
        {"name LIKE 'Zo_'", "true"},
    };
    CHECK_ALL(cases);
}

TEST("CASE, CAST, NULL functions and numbers")
{
    static const Case cases[] = {
        {"CASE WHEN NULL THEN 1 ELSE 2 END", "2"},
        {"CASE 1 WHEN 1 THEN 'a' END", "a"},
        {"CASE NULL WHEN NULL THEN 1 ELSE 2 END", "2"},
        {"CASE n WHEN 7 THEN 'seven' ELSE 'other' END", "seven"},
        {"CASE WHEN n > 100 THEN 1 END", NULL},
        {"CASE WHEN ok THEN n ELSE 2.5 END", "7.0"},
        {"coalesce(NULL, 2)", "2"},
        {"coalesce(Nothing, name)", "Zoë"},
        {"coalesce(NULL, NULL)", NULL},
        {"ifnull(NULL, 3)", "3"},
        {"nullif(1, 1)", NULL},
        {"nullif(1, NULL)", "1"},
        {"greatest(1, NULL, 3)", "3"},
        {"least(1, NULL, 3)", "1"},
        {"greatest(at, '2021-01-01')", "2021-01-01 00:00:00"},
        {"CAST('12' AS BIGINT)", "12"},
        {"'12'::INT + 1", "13"},
        {"CAST(n AS TEXT) || 'x'", "7x"},
        {"2.5::BIGINT", "2"},
        {"3.5::BIGINT", "4"},
        {"TRUE::TEXT", "true"},
        {"abs(-5)", "5"},
        {"abs(-2.5)", "2.5"},
        {"round(2.5)", "3.0"},
        {"round(-2.5)", "-3.0"},
        {"round(3)", "3"},
        {"ceil(1.2)", "2.0"},
        {"ceil(3)", "3.0"},
        {"floor(-1.2)", "-2.0"},
        {"trunc(-1.7)", "-1.0"},
        {"sign(-3)", "-1"},
        {"sqrt(16)", "4.0"},
        {"mod(7, 3)", "1"},
        {"mod(7, 0)", NULL},
        {"epoch_ms(at)", "86400000"},
        {"now()", "1970-01-01 00:00:01"},
        {"CURRENT_TIMESTAMP", "1970-01-01 00:00:01"},
        {"CURRENT_TIMESTAMP()", "1970-01-01 00:00:01"},
        {"CURRENT_USER", "alice"},
        {"current_user()", "alice"},
        {"CURRENT_USER_ID()", "alice"},
        {"CURRENT_ROLE", "user"},
        {"SNOWFLAKE_ID()", "77"},
        {"UUID_V7()", "0190-uuid"},
        {"ULID()", "01ULID"},
    };
    CHECK_ALL(cases);
}

TEST("errors of expressions name the place and the reason")
{
    static const struct {
        const char *text;
        Code code;
        uint32_t column;
        const char *message;
    } cases[] = {
        {"1 + missing", E_COLUMN_NOT_FOUND, 5, "Column 'missing' does not exist"},
        {"other.id", E_COLUMN_NOT_FOUND, 1, "Table 'other' of column 'id' is not in FROM"},
        {"xyz.messages.id", E_COLUMN_NOT_FOUND, 1,
         "Table 'messages' of column 'id' is not in FROM"},
        {"id = 'abc'", E_EXECUTION, 6, NULL},
        {"id = $5", E_INVALID_PARAMETER, 6, NULL},
        {"id = $6", E_INVALID_PARAMETER, 6, "No value was given for parameter $6"},
        {"9223372036854775807 + 1", E_EXECUTION, 21, "Overflow in addition of BIGINT"},
        {"small + small", E_EXECUTION, 0, "Overflow in addition of SMALLINT"},
        {"-(-9223372036854775808)", E_EXECUTION, 1, "Overflow in negation of BIGINT"},
        {"-9223372036854775808 // -1", E_EXECUTION, 22, "Overflow in division of BIGINT"},
        {"abs(-9223372036854775808)", E_EXECUTION, 1, NULL},
        {"name + 1", E_INVALID_SQL, 1, "Expected a number, found TEXT"},
        {"name = n", E_INVALID_SQL, 8, "TEXT cannot be compared with INT; use CAST"},
        {"lower(n)", E_INVALID_SQL, 7, "Expected a text, found INT; use CAST"},
        {"NOT n", E_INVALID_SQL, 5, "Expected a condition, found INT"},
        {"n AND ok", E_INVALID_SQL, 1, "Expected a condition, found INT"},
        {"count(*)", E_INVALID_SQL, 1, "The aggregate count() is not allowed here"},
        {"now(1)", E_INVALID_SQL, 1, "now() takes no arguments"},
        {"SNOWFLAKE_ID(1)", E_INVALID_SQL, 1, "SNOWFLAKE_ID() takes no arguments"},
        {"substr('a')", E_INVALID_SQL, 1, "substr() takes 2 to 3 arguments, 1 were given"},
        {"'a' LIKE 'a' ESCAPE 'xx'", E_INVALID_SQL, 21,
         "ESCAPE must be a text of at most one character"},
        {"'ab' LIKE 'a\\' ESCAPE '\\'", E_EXECUTION, 6,
         "A LIKE pattern must not end with its escape character"},
        {"repeat('0123456789', 10000000)", E_TOO_LARGE, 1, NULL},
        {"sqrt(-1)", E_EXECUTION, 1, "Cannot take the square root of a negative number"},
        {"CAST('x' AS INT)", E_EXECUTION, 1, NULL},
        {"DEFAULT", E_INVALID_SQL, 1, NULL},
        {"coalesce(n, ok)", E_INVALID_SQL, 13, "INT and BOOLEAN cannot be mixed here; use CAST"},
        {"INTERVAL '1 day'", E_INVALID_SQL, 1, NULL},
        {"at + INTERVAL '1 month'", E_UNSUPPORTED, 6, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Value value;
        Error e = {0};
        Code code = run(cases[i].text, arena, &value, &e);
        if (code != cases[i].code || e.column != cases[i].column)
            test_failed(__FILE__, __LINE__, "%s: %s at %u: %s", cases[i].text,
                        code ? code_info(code)->name : "OK", e.column, e.text);
        if (cases[i].message)
            CHECK_TEXT(e.text, cases[i].message);
    }
}

TEST("an unknown function is answered with the list of known ones")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Value value;
    Error e = {0};
    CHECK_INT(run("frobnicate(1)", arena, &value, &e), E_INVALID_SQL);
    CHECK(strstr(e.text, "Function 'frobnicate' is not known here") && strstr(e.text, "coalesce"));
}

TEST("an assignment casts to the column, and DEFAULT gives the column's default")
{
    static const struct {
        const char *text;
        int column;
        const char *want;
    } cases[] = {
        {"'12'", 2, "12"},
        {"5", 1, "5"},
        {"'1970-01-02'", 7, "1970-01-02 00:00:00"},
        {"$2", 0, "42"},
        {"DEFAULT", 0, "77"},
        {"DEFAULT", 1, "alice"},
        {"DEFAULT", 2, NULL},
        {"DEFAULT", 7, "1970-01-01 00:00:01"},
        {"NULL", 2, NULL},
        {"n + 1", 0, "8"},
        {"'{\"b\":2}'", 10, "{\"b\":2}"},
        {"$3", 1, NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer got = {0};
        char text[100];
        snprintf(text, sizeof(text), "INSERT INTO t VALUES (%s)", cases[i].text);
        Statement *s;
        CHECK_OK(sql_parse(slice_of_text(text), arena, &s, e));
        BindContext context = context_of(text);
        BoundExpr *bound;
        Value values[11], value;
        fill_row(values);
        RowView row = {.values = values};
        const Column *column = &columns[cases[i].column];
        CHECK_OK(sql_bind_assignment(&context, s->insert.values[0], column, arena, &bound, e));
        CHECK_OK(sql_eval(bound, &row, &statement, arena, &value, e));
        CHECK_INT(value.type, column->type);
        CHECK_INT(value.is_null, !cases[i].want);
        if (!value.is_null) {
            value_print(&value, &got);
            CHECK_SLICE(buffer_slice(&got), slice_of_text(cases[i].want));
        }
    }
}

TEST("an assignment that does not fit names the column")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Expr *expr;
    BoundExpr *bound;
    BindContext context = context_of("'x'");
    CHECK_OK(sql_parse_expr(context.text, arena, &expr, e));
    Error e = {0};
    CHECK_INT(sql_bind_assignment(&context, expr, &columns[2], arena, &bound, &e), E_CONSTRAINT);
    CHECK(strstr(e.text, "column 'n'") && e.line == 1 && e.column == 1);
}

static KeyCondition condition_of(const char *text, Arena *arena)
{
    Expr *expr;
    BoundExpr *bound;
    BindContext context = context_of(text);
    CHECK_OK(sql_parse_expr(context.text, arena, &expr, e));
    CHECK_OK(sql_bind_condition(&context, expr, arena, &bound, e));
    return sql_key_condition(bound, 0);
}

TEST("the key and the _seq range are found in the ANDs of a WHERE and nowhere else")
{
    static const struct {
        const char *text;
        bool has_key, never, key_only, has_seq;
        uint64_t min, max;
    } cases[] = {
        {"id = 42", true, false, true, false, 0, UINT64_MAX},
        {"'42' = id", true, false, true, false, 0, UINT64_MAX},
        {"id = $2 AND n = 1", true, false, false, false, 0, UINT64_MAX},
        {"n = 1 AND (ok AND id = 5)", true, false, false, false, 0, UINT64_MAX},
        {"id IN (42)", true, false, false, false, 0, UINT64_MAX},
        {"id = 1 OR id = 2", false, false, false, false, 0, UINT64_MAX},
        {"id > 1", false, false, false, false, 0, UINT64_MAX},
        {"NOT id = 1", false, false, false, false, 0, UINT64_MAX},
        {"id = n", false, false, false, false, 0, UINT64_MAX},
        {"id = NULL", false, true, false, false, 0, UINT64_MAX},
        {"id = 1 AND id = 2", true, true, false, false, 0, UINT64_MAX},
        {"_seq > 10", false, false, false, true, 11, UINT64_MAX},
        {"10 < _seq AND _seq <= 20", false, false, false, true, 11, 20},
        {"_seq BETWEEN 5 AND 6", false, false, false, true, 5, 6},
        {"_seq = 7", false, false, false, true, 7, 7},
        {"_seq < 5 AND _seq > 5", false, true, false, true, 6, 4},
        {"_seq < 0", false, true, false, false, 0, UINT64_MAX},
        {"_seq >= -5", false, false, false, false, 0, UINT64_MAX},
        {"_seq > 9223372036854775807", false, false, false, true, 9223372036854775808u, UINT64_MAX},
        {"FALSE", false, true, false, false, 0, UINT64_MAX},
        {"1 = 2", false, true, false, false, 0, UINT64_MAX},
        {"TRUE", false, false, false, false, 0, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        KeyCondition c = condition_of(cases[i].text, arena);
        bool is_good = c.has_key == cases[i].has_key && c.never == cases[i].never &&
                       c.key_only == cases[i].key_only && c.has_seq == cases[i].has_seq &&
                       c.seq_min == cases[i].min && c.seq_max == cases[i].max;
        if (!is_good)
            test_failed(__FILE__, __LINE__, "%s: key %d never %d only %d seq %d %llu %llu",
                        cases[i].text, c.has_key, c.never, c.key_only, c.has_seq,
                        (unsigned long long)c.seq_min, (unsigned long long)c.seq_max);
        if (c.has_key)
            CHECK_INT(c.key.type, TYPE_BIGINT);
    }
}

TEST("a list of keys is found, sorted and without doubles")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Expr *expr;
    BoundExpr *bound;
    BindContext context = context_of("id IN (5, '3', 5, NULL) AND ok");
    CHECK_OK(sql_parse_expr(context.text, arena, &expr, e));
    CHECK_OK(sql_bind_condition(&context, expr, arena, &bound, e));
    Value *keys;
    size_t count;
    CHECK(sql_key_list(bound, 0, arena, &keys, &count));
    CHECK_INT(count, 2);
    CHECK_INT(keys[0].integer, 3);
    CHECK_INT(keys[1].integer, 5);
    CHECK(!sql_key_list(NULL, 0, arena, &keys, &count));
}
