/* SPDX-License-Identifier: Apache-2.0
 *
 * Results: types, limits, errors, stopping, and instances that survive all of it.
 */
#include <stdio.h>

#include "rows.h"
#include "test.h"

static void check(EnginePool *pool, const char *sql, const char *want)
{
    Slice got = {0};
    CHECK_OK(rows_run(pool, NULL, sql, &got, e));
    CHECK_SLICE(got, slice_of_text(want));
}

/* Runs and fetches all; the columns' types are checked against `types` when given. */
static Code drain(EngineQuery *query, const char *sql, const EngineLimits *limits, uint64_t *rows,
                  Error *e)
{
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    TRY(engine_run(query, slice_of_text(sql), limits, &result, e));
    for (*rows = 0;; ++*rows) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end)
            return OK;
    }
}

static Code drain_new(EnginePool *pool, const char *sql, const EngineLimits *limits, Error *e)
{
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    uint64_t rows = 0;
    return drain(query, sql, limits, &rows, e);
}

TEST("every type of DuckDB becomes one of ours or text, with the right value")
{
    static const struct {
        const char *expression, *want;
        Type type;
    } rows[] = {
        {"true", "true", TYPE_BOOLEAN},
        {"(-7)::TINYINT", "-7", TYPE_SMALLINT},
        {"255::UTINYINT", "255", TYPE_SMALLINT},
        {"(-32768)::SMALLINT", "-32768", TYPE_SMALLINT},
        {"65535::USMALLINT", "65535", TYPE_INT},
        {"(-2147483648)::INTEGER", "-2147483648", TYPE_INT},
        {"4294967295::UINTEGER", "4294967295", TYPE_BIGINT},
        {"(-9223372036854775807)::BIGINT - 1", "-9223372036854775808", TYPE_BIGINT},
        {"9223372036854775807::UBIGINT", "9223372036854775807", TYPE_BIGINT},
        {"(-5)::HUGEINT", "-5", TYPE_BIGINT},
        {"7::UHUGEINT", "7", TYPE_BIGINT},
        {"1.5::FLOAT", "1.5", TYPE_FLOAT},
        {"0.1::DOUBLE", "0.1", TYPE_DOUBLE},
        {"1.25", "1.25", TYPE_DOUBLE},
        {"(-12345678901234567890.5)::DECIMAL(38,1)", "-1.2345678901234567e+19", TYPE_DOUBLE},
        {"0.001::DECIMAL(4,3)", "0.001", TYPE_DOUBLE},
        {"'a' || chr(0) || 'long enough to leave the string_t'",
         "a\0long enough to leave the string_t", TYPE_TEXT},
        {"''", "", TYPE_TEXT},
        {"TIMESTAMP '2026-11-21 04:07:12.123456'", "2026-11-21 04:07:12.123456", TYPE_TIMESTAMP},
        {"TIMESTAMP_S '2026-11-21 04:07:12'", "2026-11-21 04:07:12", TYPE_TIMESTAMP},
        {"TIMESTAMP_MS '2026-11-21 04:07:12.5'", "2026-11-21 04:07:12.5", TYPE_TIMESTAMP},
        {"TIMESTAMP_NS '2026-11-21 04:07:12.5'", "2026-11-21 04:07:12.5", TYPE_TIMESTAMP},
        {"DATE '2026-11-21'", "2026-11-21", TYPE_TEXT},
        {"TIME '04:07:12'", "04:07:12", TYPE_TEXT},
        {"INTERVAL 3 DAY", "3 days", TYPE_TEXT},
        {"[1,2]", "[1, 2]", TYPE_TEXT},
        {"{'a':1}", "{'a': 1}", TYPE_TEXT},
        {"'00112233-4455-6677-8899-aabbccddeeff'::UUID", "00112233-4455-6677-8899-aabbccddeeff",
         TYPE_UUID},
        {"'ff112233-4455-6677-8899-aabbccddeeff'::UUID", "ff112233-4455-6677-8899-aabbccddeeff",
         TYPE_UUID},
        {"NULL::UUID", "NULL", TYPE_UUID},
        {"NULL::BIGINT", "NULL", TYPE_BIGINT},
        {"'{\"a\":1}'::JSON", "{\"a\":1}", TYPE_TEXT},
    };
    EnginePool *pool = rows_pool(1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
        CLEANUP(buffer_done) Buffer sql = {0}, got = {0};
        buffer_printf(&sql, "SELECT %s AS \"Name of it\"", rows[i].expression);
        EngineLimits limits = {0};
        EngineResult *result = NULL;
        CHECK_OK(engine_run(query, buffer_slice(&sql), &limits, &result, e));
        CHECK_INT(engine_result_columns(result)[0].type, rows[i].type);
        CHECK_SLICE(engine_result_columns(result)[0].name, SLICE("Name of it"));
        const Value *row = NULL;
        bool end = true;
        CHECK_OK(engine_result_next(result, &row, &end, e));
        CHECK(!end);
        if (row->is_null)
            buffer_add_text(&got, "NULL");
        else
            value_print(row, &got);
        size_t size = strlen(rows[i].want);
        if (strncmp(rows[i].expression, "'a' ||", 6) == 0)
            size = 35;
        CHECK_SLICE(buffer_slice(&got), slice_of(rows[i].want, size));
        CHECK_OK(engine_result_next(result, &row, &end, e));
        CHECK(end);
        engine_result_free(result);
    }
    engine_pool_free(pool);
}

TEST("a sum that leaves BIGINT is an error, not a wrapped number")
{
    EnginePool *pool = rows_pool(1);
    check(pool, "SELECT sum(x) FROM (VALUES (9223372036854775806),(1)) t(x)",
          "9223372036854775807");
    CHECK_CODE(
        rows_run(pool, NULL, "SELECT sum(x) FROM (VALUES (9223372036854775807),(1)) t(x)", NULL, e),
        E_EXECUTION);
    CHECK_CODE(rows_run(pool, NULL, "SELECT 18446744073709551615::UBIGINT", NULL, e), E_EXECUTION);
    engine_pool_free(pool);
}

TEST("columns cast to text keep their names and the order of the rows")
{
    EnginePool *pool = rows_pool(1);
    check(pool,
          "SELECT x AS a, DATE '2026-01-01' + x::INT AS a FROM range(5) t(x) ORDER BY x DESC "
          "LIMIT 3",
          "4|2026-01-05;3|2026-01-04;2|2026-01-03");
    engine_pool_free(pool);
}

TEST("limits on rows and bytes end a result, and the instance goes on")
{
    EnginePool *pool = rows_pool(1);
    const char *sql = "SELECT x, repeat('a', 100) FROM range(100000) t(x)";
    EngineLimits rows = {.rows_max = 5000}, bytes = {.bytes_max = 100000}, none = {0};
    CHECK_CODE(drain_new(pool, sql, &rows, e), E_TOO_LARGE);
    CHECK_CODE(drain_new(pool, sql, &bytes, e), E_TOO_LARGE);
    CHECK_OK(drain_new(pool, sql, &none, e));
    engine_pool_free(pool);
}

TEST("a statement over its time is stopped, and the instance goes on")
{
    EnginePool *pool = rows_pool(1);
    EngineLimits limits = {.timeout_ms = 50};
    const char *endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b";
    CHECK_CODE(drain_new(pool, endless, &limits, e), E_TIMEOUT);
    CHECK_CODE(drain_new(pool, endless, &limits, e), E_TIMEOUT);
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}

TEST("a small result says another thing than a streamed one, or its statement cannot be stopped")
{
    EnginePool *pool = rows_pool(1);
    EngineLimits small = {.is_small = true}, rows_max = {.is_small = true, .rows_max = 2};
    EngineLimits timeout = {.is_small = true, .timeout_ms = 50};
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    EngineResult *result = NULL;
    const Value *row = NULL;
    bool end = false;
    CHECK_OK(engine_run(query, SLICE("SELECT 7::BIGINT AS a, 'x' AS b"), &small, &result, e));
    CHECK_INT(engine_result_column_count(result), 2);
    CHECK_SLICE(engine_result_columns(result)[1].name, SLICE("b"));
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK_INT(row[0].integer, 7);
    CHECK_SLICE(row[1].bytes, SLICE("x"));
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK(end);
    engine_result_free(result);
    CHECK_CODE(drain_new(pool, "SELECT x FROM range(3) t(x)", &rows_max, e), E_TOO_LARGE);
    CHECK_CODE(drain_new(pool, "SELECT DATE '2026-11-21'", &small, e), E_UNSUPPORTED);
    CHECK_CODE(drain_new(pool, "SELECT 'a'::INTEGER", &small, e), E_EXECUTION);
    CHECK_CODE(
        drain_new(pool, "SELECT count(*) FROM range(10000000) a, range(10000000) b", &timeout, e),
        E_TIMEOUT);
    check(pool, "SELECT 1 + 1", "2");
    engine_query_free_ptr(&query);
    engine_pool_free(pool);
}

TEST("the timeout covers fetching and sources that never end")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 1);
    rows.is_endless = true;
    EngineSource source = rows_source(&rows);
    for (int i = 0; i < 2; i++) {
        EngineQuery *query = engine_query_new(pool);
        uint32_t ref = 0;
        CHECK_OK(engine_query_add_source(query, &source, &ref, e));
        CLEANUP(buffer_done) Buffer sql = {0};
        buffer_printf(&sql,
                      i ? "SELECT max(id) FROM hot(%llu,0)%c" : "SELECT id FROM hot(%llu,0)%c",
                      (unsigned long long)engine_query_handle(query), 0);
        EngineLimits limits = {.timeout_ms = 50};
        uint64_t count = 0;
        CHECK_CODE(drain(query, sql.data, &limits, &count, e), E_TIMEOUT);
        CHECK_INT(rows.opened, rows.closed);
        engine_query_free(query);
    }
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}

TEST("a cancelled statement does not start and a running one stops")
{
    EnginePool *pool = rows_pool(1);
    EngineQuery *query = engine_query_new(pool);
    EngineLimits limits = {0};
    uint64_t count = 0;
    atomic_bool is_cancelled = true;
    engine_query_watch(query, &is_cancelled);
    CHECK_CODE(drain(query, "SELECT 1", &limits, &count, e), E_CANCELLED);
    is_cancelled = false;
    EngineResult *result = NULL;
    CHECK_OK(engine_run(query, SLICE("SELECT x FROM range(1000000000) t(x)"), &limits, &result, e));
    const Value *row = NULL;
    bool end = false;
    CHECK_OK(engine_result_next(result, &row, &end, e));
    is_cancelled = true; /* told to nobody: it stops after what it has fetched */
    Code code = OK;
    Error error = {0};
    while (code == OK && !end) {
        code = engine_result_next(result, &row, &end, &error);
        count++;
    }
    CHECK_INT(code, E_CANCELLED);
    CHECK(count < 10000);
    engine_result_free(result);
    engine_query_free(query);
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}

TEST("a result freed early closes its scans at once")
{
    EnginePool *pool = rows_pool(1);
    for (int fetched = 0; fetched < 2; fetched++) {
        Rows rows;
        rows_init(&rows, 1000000);
        EngineSource source = rows_source(&rows);
        EngineQuery *query = engine_query_new(pool);
        uint32_t ref = 0;
        CHECK_OK(engine_query_add_source(query, &source, &ref, e));
        CLEANUP(buffer_done) Buffer sql = {0};
        buffer_printf(&sql, "SELECT * FROM hot(%llu,0)",
                      (unsigned long long)engine_query_handle(query));
        EngineLimits limits = {0};
        EngineResult *result = NULL;
        CHECK_OK(engine_run(query, buffer_slice(&sql), &limits, &result, e));
        const Value *row = NULL;
        bool end = false;
        if (fetched)
            CHECK_OK(engine_result_next(result, &row, &end, e));
        engine_result_free(result);
        CHECK_INT(rows.opened, 1);
        CHECK_INT(rows.closed, 1);
        engine_query_free(query);
    }
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}

TEST("errors of DuckDB become ours, without its SQL and its places")
{
    static const struct {
        const char *sql;
        Code code;
    } rows[] = {
        {"SELECT CAST('abc' AS INTEGER)", E_EXECUTION},
        {"SELECT x::TINYINT FROM range(300, 301) t(x)", E_EXECUTION},
        {"SELECT 9223372036854775807 + x FROM range(1, 2) t(x)", E_EXECUTION},
        {"SELECT no_such_function(1)", E_INVALID_SQL},
        {"SELECT * FROM no_such_table", E_INVALID_SQL},
        {"SELECT sum('a'::BLOB)", E_INVALID_SQL},
        {"SELEC 1", E_INTERNAL},
        {"SELECT error('by hand')", E_EXECUTION},
    };
    EnginePool *pool = rows_pool(1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Error error = {0};
        Code code = rows_run(pool, NULL, rows[i].sql, NULL, &error);
        if (code != rows[i].code)
            test_failed(__FILE__, __LINE__, "%s: %s (%s)", rows[i].sql, code_info(code)->name,
                        error.text);
        CHECK(!strstr(error.text, "LINE"));
        CHECK(!strstr(error.text, "Error:"));
        CHECK(!strchr(error.text, '\n'));
    }
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}

TEST("a statement beyond its memory fails alone")
{
    EnginePool *pool = rows_pool(1);
    CHECK_CODE(rows_run(pool, NULL,
                        "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(1000000)",
                        NULL, e),
               E_NO_MEMORY);
    check(pool, "SELECT 1 + 1", "2");
    engine_pool_free(pool);
}
