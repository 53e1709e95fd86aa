/* SPDX-License-Identifier: Apache-2.0
 *
 * Printing names and values: what is data must never become SQL.
 */
#include <math.h>
#include <stdlib.h>

#include "rows.h"
#include "test.h"

/* Runs SELECT <literal> and checks that the same value of the same type comes back. */
static void check_round_trip(EnginePool *pool, const Value *value)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    buffer_add_text(&sql, "SELECT ");
    engine_add_literal(&sql, value);
    EngineLimits limits = {0};
    CHECK_OK(engine_run(query, buffer_slice(&sql), &limits, &result, e));
    CHECK_INT(engine_result_column_count(result), 1);
    const Value *row = NULL;
    bool end = true;
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK(!end);
    Value got = row[0];
    if (value->type == TYPE_JSON && got.type == TYPE_TEXT)
        got.type = TYPE_JSON;
    bool both_nan = value->type == TYPE_DOUBLE && isnan(value->real) && isnan(got.real);
    if (!both_nan && !value_identical(&got, value))
        test_failed(__FILE__, __LINE__, "%.*s came back as another value",
                    SLICE_ARGS(buffer_slice(&sql)));
}

TEST("literals of every type read back as the same value and type")
{
    Value values[] = {
        value_boolean(true),
        value_boolean(false),
        value_integer(TYPE_SMALLINT, INT16_MIN),
        value_integer(TYPE_INT, INT32_MIN),
        value_integer(TYPE_BIGINT, INT64_MIN),
        value_integer(TYPE_BIGINT, INT64_MAX),
        value_double(0.1),
        value_double(-0.0),
        value_double(5e-324),
        value_double(1.7976931348623157e308),
        value_double(INFINITY),
        value_double(-INFINITY),
        value_double(NAN),
        {.type = TYPE_FLOAT, .real = (double)1.1f},
        value_text(SLICE("")),
        value_text(SLICE("it's '' \\ \" ; -- $1 ? \n {x} \xF0\x9F\x98\x80")),
        value_text(SLICE("\0start, mid\0dle, end\0")),
        value_integer(TYPE_TIMESTAMP, 0),
        value_integer(TYPE_TIMESTAMP, -1),
        value_integer(TYPE_TIMESTAMP, 1795233600123456),
        value_integer(TYPE_TIMESTAMP, -62135596800000000),
        {.type = TYPE_JSON, .bytes = SLICE("{\"a\": \"it's\"}")},
        {.type = TYPE_BYTES, .bytes = SLICE("")},
        {.type = TYPE_BYTES, .bytes = SLICE("\0\xFF\\x41'")},
        {.type = TYPE_UUID, .uuid = {0xFF, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0x80}},
        {.type = TYPE_UUID},
        value_null(TYPE_BIGINT),
        value_null(TYPE_TEXT),
        value_null(TYPE_UUID),
        value_null(TYPE_BYTES),
    };
    EnginePool *pool = rows_pool(1);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        check_round_trip(pool, &values[i]);
    engine_pool_free(pool);
}

TEST("random texts of quotes, zero bytes and backslashes stay texts")
{
    static const char letters[] = "'\"\\\0;-a\n$";
    EnginePool *pool = rows_pool(1);
    for (int i = 0; i < 300; i++) {
        char text[40];
        size_t size = test_random() % sizeof text;
        for (size_t j = 0; j < size; j++)
            text[j] = letters[test_random() % 9];
        Value value = value_text(slice_of(text, size));
        check_round_trip(pool, &value);
    }
    engine_pool_free(pool);
}

TEST("a column may be called anything")
{
    static const char *const names[] = {
        "a", "A b", "\"", "\"\"; DROP TABLE x; --", "select", "\xC3\xA9", "'", "\\", "%s"};
    EnginePool *pool = rows_pool(1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        Rows rows;
        rows_init(&rows, 1);
        rows.columns[1].name = slice_of_text(names[i]);
        CLEANUP(buffer_done) Buffer sql = {0};
        buffer_add_text(&sql, "SELECT t.");
        engine_add_name(&sql, slice_of_text(names[i]));
        buffer_printf(&sql, " FROM hot(%%h,0) t%c", 0);
        Slice got = {0};
        CHECK_OK(rows_run(pool, &rows, sql.data, &got, e));
        CHECK_SLICE(got, SLICE("name 1"));
    }
    engine_pool_free(pool);
}
