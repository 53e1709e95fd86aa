/* SPDX-License-Identifier: Apache-2.0
 *
 * What DuckDB gets to see: names resolved and quoted, values rendered, no user text, nothing
 * that is not listed.
 */
#include "sql/print.h"
#include "test.h"

static Column columns[] = {
    {.field_id = 1, .name = {"id", 2}, .type = TYPE_BIGINT, .not_null = true, .primary_key = true},
    {.field_id = 2, .name = {"Body", 4}, .type = TYPE_TEXT},
    {.field_id = 3, .name = {"at", 2}, .type = TYPE_TIMESTAMP},
};
static const Schema schema = {
    .version = 1, .column_count = 3, .next_field_id = 4, .columns = columns};

static Code find_table(void *context, const TableName *name, PrintTable *out, Error *e)
{
    bool is_view = slice_equal_ignoring_case(name->name, SLICE("jobs"));
    if (!slice_equal_ignoring_case(name->name, SLICE("m")) &&
        !slice_equal_ignoring_case(name->name, SLICE("n")) && !is_view)
        return fail(e, E_TABLE_NOT_FOUND, "Table not found: %.*s", SLICE_ARGS(name->name));
    (void)context;
    *out = (PrintTable){
        .schema = &schema, .namespace_name = SLICE("chat"), .has_system_columns = !is_view};
    return OK;
}

static Code print_table(void *context, const TableRef *ref, const PrintTable *table, Buffer *out,
                        Error *e)
{
    (void)context, (void)table, (void)e;
    buffer_printf(out, "hot(%.*s)", SLICE_ARGS(ref->table.name));
    return OK;
}

static Value parameters[] = {
    {.type = TYPE_BIGINT, .integer = -7},
    {.type = TYPE_TEXT, .bytes = {"it's \"x\"\0;--", 12}},
    {.type = TYPE_NULL, .is_null = true},
    {.type = TYPE_TEXT, .bytes = {"42", 2}},
};

static const EvalContext statement = {.now_us = 0, .user_id = {"o'neil", 6}, .role = {"user", 4}};

static Code print(const char *text, Arena *arena, Buffer *out, PrintColumn **result, size_t *count,
                  Error *e)
{
    static const PrintCallbacks callbacks = {.find_table = find_table, .print_table = print_table};
    PrintRequest request = {slice_of_text(text), parameters, 4, &statement, &callbacks};
    Statement *s;
    TRY(sql_parse(request.text, arena, &s, e));
    return sql_print_select(&request, s->select, arena, out, result, count, e);
}

static Code print_top(void *context, const TableRef *ref, const PrintTable *table, Buffer *out,
                      Error *e)
{
    (void)ref, (void)e;
    Buffer *said = context;
    buffer_printf(said, "%.*s|%.*s|%.*s;", SLICE_ARGS(table->alias), SLICE_ARGS(table->where),
                  SLICE_ARGS(table->top));
    buffer_add_text(out, "hot(m)");
    return OK;
}

TEST("what is said to a table of which the first rows are wanted; nothing where that could change "
     "an answer")
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"SELECT Body FROM m WHERE id > 5 ORDER BY at DESC LIMIT 3 OFFSET 2",
         "t0|(t0.\"id\" > 5::BIGINT)| ORDER BY t0.\"at\" DESC NULLS LAST LIMIT 5;"},
        {"SELECT * FROM m AS x ORDER BY x.id, _seq LIMIT 1",
         "t0|| ORDER BY t0.\"id\" ASC NULLS LAST, t0.\"_seq\" ASC NULLS LAST LIMIT 1;"},
        {"SELECT * FROM (SELECT id FROM m ORDER BY at LIMIT 7) AS y",
         "t1|| ORDER BY t1.\"at\" ASC NULLS LAST LIMIT 7;"},
        {"SELECT id AS i FROM m ORDER BY at", "t0||;"},           /* no limit */
        {"SELECT id FROM m LIMIT 4", "t0||;"},                    /* no order */
        {"SELECT -id AS at FROM m ORDER BY at LIMIT 4", "t0||;"}, /* at is the item */
        {"SELECT id FROM m ORDER BY 1 LIMIT 4", "t0||;"},
        {"SELECT count(*) FROM m ORDER BY 1 LIMIT 4", "t0||;"},
        {"SELECT max(id) FROM m GROUP BY at ORDER BY at LIMIT 4", "t0||;"},
        {"SELECT DISTINCT id FROM m ORDER BY id LIMIT 4", "t0||;"},
        {"SELECT row_number() OVER (ORDER BY id) FROM m ORDER BY at LIMIT 4", "t0||;"},
        {"SELECT id FROM m WHERE id IN (SELECT id FROM n) ORDER BY id LIMIT 4", "t0||;t1||;"},
        {"SELECT m.id FROM m JOIN n ON m.id = n.id ORDER BY m.id LIMIT 4", "t0||;t1||;"},
        {"SELECT id FROM m UNION SELECT id FROM n ORDER BY id LIMIT 4", "t0||;t1||;"},
        {"SELECT id FROM m ORDER BY id LIMIT 10001", "t0||;"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer out = {0}, said = {0};
        PrintCallbacks callbacks = {&said, find_table, print_top};
        PrintRequest request = {slice_of_text(cases[i].text), parameters, 4, &statement,
                                &callbacks};
        Statement *s;
        PrintColumn *result;
        size_t count;
        CHECK_OK(sql_parse(request.text, arena, &s, e));
        CHECK_OK(sql_print_select(&request, s->select, arena, &out, &result, &count, e));
        CHECK_SLICE(buffer_slice(&said), slice_of_text(cases[i].want));
    }
}

TEST("the printed SQL, shape by shape")
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"SELECT * FROM m",
         "SELECT t0.\"id\" AS c0, t0.\"Body\" AS c1, t0.\"at\" AS c2, t0.\"_seq\" AS c3, "
         "t0.\"_deleted\" AS c4 FROM hot(m) AS t0"},
        {"SELECT * FROM jobs",
         "SELECT t0.\"id\" AS c0, t0.\"Body\" AS c1, t0.\"at\" AS c2 FROM hot(jobs) AS t0"},
        {"SELECT x.BODY b FROM chat.m x WHERE x.id = 5",
         "SELECT t0.\"Body\" AS c0 FROM hot(m) AS t0 WHERE (t0.\"id\" = 5::BIGINT)"},
        {"SELECT $2", "SELECT ('it''s \"x\"' || chr(0) || ';--') AS c0"},
        {"SELECT id FROM m WHERE id = $4 AND Body = $1 AND at > $1",
         "SELECT t0.\"id\" AS c0 FROM hot(m) AS t0 WHERE (((t0.\"id\" = 42::BIGINT) AND "
         "(t0.\"Body\" = '-7')) AND "
         "(t0.\"at\" > '1969-12-31 23:59:59.999993'::TIMESTAMP))"},
        {"SELECT $3 IS NULL", "SELECT (NULL IS NULL) AS c0"},
        {"SELECT id / 2, id / id, 7 % id FROM m",
         "SELECT (t0.\"id\" / 2::BIGINT) AS c0, (t0.\"id\" / nullif(t0.\"id\", 0)) AS c1, "
         "(7::BIGINT % nullif(t0.\"id\", 0)) AS c2 FROM hot(m) AS t0"},
        {"SELECT id || Body FROM m",
         "SELECT ((CAST(t0.\"id\" AS VARCHAR) || t0.\"Body\")::VARCHAR) AS c0 FROM hot(m) AS t0"},
        {"SELECT CURRENT_USER, NOW()",
         "SELECT 'o''neil' AS c0, '1970-01-01 00:00:00'::TIMESTAMP AS c1"},
        {"SELECT Body FROM m ORDER BY id DESC, Body NULLS FIRST LIMIT 5 OFFSET 2",
         "SELECT t0.\"Body\" AS c0 FROM hot(m) AS t0 ORDER BY t0.\"id\" DESC NULLS LAST, 1 ASC "
         "NULLS "
         "FIRST LIMIT 5 OFFSET 2"},
        {"SELECT a.id FROM m a JOIN n b ON a.id = b.id",
         "SELECT t0.\"id\" AS c0 FROM (hot(m) AS t0 JOIN hot(n) AS t1 ON (t0.\"id\" = t1.\"id\"))"},
        {"SELECT id FROM m RIGHT JOIN n USING (id)",
         "SELECT t1.\"id\" AS c0 FROM (hot(m) AS t0 RIGHT JOIN hot(n) AS t1 ON (t0.\"id\" = "
         "t1.\"id\"))"},
        {"SELECT lower(Body) k, count(*) FROM m GROUP BY k HAVING count(*) > 1",
         "SELECT lower(t0.\"Body\") AS c0, count(*) AS c1 FROM hot(m) AS t0 GROUP BY "
         "lower(t0.\"Body\") HAVING "
         "(count(*) > 1::BIGINT)"},
        {"SELECT at + INTERVAL '1 day' FROM m",
         "SELECT (t0.\"at\" + (to_months(0) + to_microseconds(86400000000::BIGINT))) AS c0 FROM "
         "hot(m) AS t0"},
        {"SELECT CAST(5 AS TIMESTAMP), CAST(at AS BIGINT) FROM m",
         "SELECT CAST(make_timestamp(5::BIGINT) AS TIMESTAMP) AS c0, CAST(epoch_us(t0.\"at\") AS "
         "BIGINT) AS c1 "
         "FROM hot(m) AS t0"},
        {"SELECT Body -> 'a\"b' FROM m",
         "SELECT (t0.\"Body\" -> '$.\"a\\\"b\"') AS c0 FROM hot(m) AS t0"},
        {"WITH w AS (SELECT id FROM m) SELECT * FROM w",
         "WITH w0 AS (SELECT t1.\"id\" AS c0 FROM hot(m) AS t1) SELECT t2.\"c0\" AS c0 FROM w0 AS "
         "t2"},
        {"SELECT 1.5, -1.5e300, '-9'::UUID IS NULL, TRUE",
         "SELECT '1.5'::DOUBLE AS c0, '-1.5e+300'::DOUBLE AS c1, (CAST('-9' AS UUID) IS NULL) AS "
         "c2, true AS c3"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer out = {0};
        PrintColumn *result;
        size_t count;
        Error e = {0};
        if (print(cases[i].text, arena, &out, &result, &count, &e) != OK)
            test_failed(__FILE__, __LINE__, "%s: %s", cases[i].text, e.text);
        CHECK_SLICE(buffer_slice(&out), slice_of_text(cases[i].want));
    }
}

TEST("doors into DuckDB stay shut: files, settings, catalog, queries, its own words")
{
    static const char *const refused[] = {
        "SELECT read_text('/etc/passwd')",
        "SELECT * FROM read_csv('x')",
        "SELECT * FROM 'x.parquet'",
        "SELECT * FROM \"x.parquet\"",
        "SELECT * FROM glob('*')",
        "SELECT query('SELECT 1')",
        "SELECT getenv('HOME')",
        "SELECT current_setting('x')",
        "SELECT getvariable('x')",
        "SELECT json_execute_serialized_sql('x')",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM sqlite_master",
        "SELECT pragma_version()",
        "SELECT nextval('x')",
        "SELECT \"current_user\"",
        "SELECT current_database()",
        "SELECT version()",
        "SELECT COLUMNS(*) FROM m",
        "SELECT rowid FROM m",
        "SELECT hot(1)",
        "SELECT error('x')",
        "SELECT \"id\"\"; DROP\" FROM m",
        "SELECT m FROM m",
        "SELECT c0 FROM m",
        "SELECT t0.id FROM m",
        "SELECT * FROM t0",
        "SELECT * FROM w0",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer out = {0};
        PrintColumn *result;
        size_t count;
        Error e = {0};
        if (print(refused[i], arena, &out, &result, &count, &e) == OK)
            test_failed(__FILE__, __LINE__, "%s was printed: %.*s", refused[i],
                        SLICE_ARGS(buffer_slice(&out)));
        CHECK(e.line == 1 && e.column > 0);
    }
}

TEST("errors of names, aggregates and counts have a place and a reason")
{
    static const struct {
        const char *text;
        Code code;
        uint32_t column;
        const char *message;
    } cases[] = {
        {"SELECT nothing FROM m", E_COLUMN_NOT_FOUND, 8, "Column 'nothing' does not exist"},
        {"SELECT x.id FROM m", E_COLUMN_NOT_FOUND, 8, "Column 'x.id' does not exist"},
        {"SELECT m.id FROM m AS x", E_COLUMN_NOT_FOUND, 8, "Column 'm.id' does not exist"},
        {"SELECT x.* FROM m", E_TABLE_NOT_FOUND, 8, "Table 'x' is not in FROM"},
        {"SELECT * FROM missing", E_TABLE_NOT_FOUND, 15, "Table not found: missing"},
        {"SELECT id FROM m, n", E_INVALID_SQL, 8,
         "Column 'id' is ambiguous; write its table before it"},
        {"SELECT a.id FROM m a, n a", E_INVALID_SQL, 23, "The table name 'a' is used twice"},
        {"SELECT id FROM m JOIN n USING (zip)", E_COLUMN_NOT_FOUND, 18,
         "Column 'zip' of USING is not on both sides"},
        {"SELECT id FROM m WHERE count(*) > 1", E_INVALID_SQL, 24,
         "Aggregates are not allowed in WHERE and ON; use HAVING"},
        {"SELECT id FROM m GROUP BY 3", E_INVALID_SQL, 27,
         "There is no column number 3; the result has 1"},
        {"SELECT id, Body FROM m GROUP BY id", E_INVALID_SQL, 12,
         "Column 'Body' must stand in GROUP BY or in an aggregate"},
        {"SELECT id, count(*) FROM m", E_INVALID_SQL, 8,
         "Column 'id' must stand in GROUP BY or in an aggregate"},
        {"SELECT id FROM m LIMIT -1", E_INVALID_SQL, 24,
         "LIMIT must be a whole number of 0 or more"},
        {"SELECT id FROM m UNION SELECT id, Body FROM m", E_INVALID_SQL, 24,
         "The two sides have 1 and 2 columns"},
        {"SELECT id FROM m UNION SELECT id FROM n ORDER BY id + 1", E_INVALID_SQL, 53,
         "ORDER BY after UNION, INTERSECT or EXCEPT takes names and numbers of result columns "
         "only"},
        {"SELECT (SELECT id, Body FROM m)", E_INVALID_SQL, 9,
         "A sub-select here must have one column, this has 2"},
        {"SELECT row_number() FROM m", E_INVALID_SQL, 8, "row_number() needs OVER (…)"},
        {"SELECT lower(DISTINCT Body) FROM m", E_INVALID_SQL, 8,
         "DISTINCT and ORDER BY inside () are for aggregates only"},
        {"SELECT sum(*) FROM m", E_INVALID_SQL, 8, "sum() takes 1 to 1 arguments, 0 were given"},
        {"SELECT frobnicate(1)", E_INVALID_SQL, 8, "Function 'frobnicate' is not available"},
        {"SELECT id = 'x' FROM m", E_EXECUTION, 13, NULL},
        {"SELECT $5", E_INVALID_PARAMETER, 8, "No value was given for parameter $5"},
        {"SELECT *", E_INVALID_SQL, 8, "SELECT * needs FROM"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer out = {0};
        PrintColumn *result;
        size_t count;
        Error e = {0};
        Code code = print(cases[i].text, arena, &out, &result, &count, &e);
        if (code != cases[i].code || e.column != cases[i].column)
            test_failed(__FILE__, __LINE__, "%s: %s at %u: %s", cases[i].text,
                        code ? code_info(code)->name : "OK", e.column, e.text);
        if (cases[i].message)
            CHECK_TEXT(e.text, cases[i].message);
    }
}

TEST("grouped queries that are right pass the GROUP BY check")
{
    static const char *const accepted[] = {
        "SELECT id, count(*) FROM m GROUP BY id",
        "SELECT id + 1, count(*) FROM m GROUP BY id + 1",
        "SELECT (id + 1) * 2 FROM m GROUP BY id + 1",
        "SELECT lower(Body) AS k, max(id) FROM m GROUP BY k",
        "SELECT lower(Body), max(id) FROM m GROUP BY 1",
        "SELECT count(*), 'x', $1, now() FROM m",
        "SELECT m.id FROM m GROUP BY id ORDER BY count(*)",
        "SELECT sum(id) + 1 FROM m HAVING max(id) > 1",
        "SELECT id, (SELECT max(n.id) FROM n WHERE n.id = m.id) FROM m GROUP BY id",
        "SELECT id, row_number() OVER (ORDER BY id) FROM m GROUP BY id",
        "SELECT count(*) FROM m ORDER BY 1",
    };
    for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        CLEANUP(buffer_done) Buffer out = {0};
        PrintColumn *result;
        size_t count;
        Error e = {0};
        if (print(accepted[i], arena, &out, &result, &count, &e) != OK)
            test_failed(__FILE__, __LINE__, "%s: %u %s", accepted[i], e.column, e.text);
    }
}

TEST("result columns carry names, sources and the order of SELECT *")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer out = {0};
    PrintColumn *result;
    size_t count;
    CHECK_OK(print("SELECT body, _seq, count(*) OVER () AS n, m.* FROM m", arena, &out, &result,
                   &count, e));
    CHECK_INT(count, 8);
    CHECK_SLICE(result[0].name, SLICE("Body"));
    CHECK(result[0].source == &columns[1]);
    CHECK_INT(result[1].type, TYPE_BIGINT);
    CHECK(!result[1].source);
    CHECK_SLICE(result[2].name, SLICE("n"));
    CHECK(result[3].source == &columns[0]);
    CHECK_SLICE(result[7].name, SLICE("_deleted"));
}

TEST("the merged column of USING comes first in SELECT *, once")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer out = {0};
    PrintColumn *result;
    size_t count;
    CHECK_OK(print("SELECT * FROM (SELECT at AS x, id FROM m) a JOIN (SELECT id, Body AS y FROM n) "
                   "b USING (id)",
                   arena, &out, &result, &count, e));
    CHECK_INT(count, 3);
    CHECK_SLICE(result[0].name, SLICE("id"));
    CHECK_SLICE(result[1].name, SLICE("x"));
    CHECK_SLICE(result[2].name, SLICE("y"));
}
