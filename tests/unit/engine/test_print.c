/* SPDX-License-Identifier: Apache-2.0
 *
 * Printing names and values: what is data must never become SQL.
 */
#include "rows.h"
#include "test.h"

/* Runs SELECT <literal> and checks that the same text comes back. */
static void check_round_trip(EnginePool *pool, Slice text)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    buffer_add_text(&sql, "SELECT ");
    engine_add_text(&sql, text);
    EngineLimits limits = {0};
    CHECK_OK(engine_run(query, buffer_slice(&sql), &limits, &result, e));
    CHECK_INT(engine_result_column_count(result), 1);
    const Value *row = NULL;
    bool end = true;
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK(!end);
    CHECK_INT(row[0].type, TYPE_TEXT);
    CHECK_SLICE(row[0].bytes, text);
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
        check_round_trip(pool, slice_of(text, size));
    }
    check_round_trip(pool, SLICE("it's '' \\ \" ; -- $1 ? \n {x} \xF0\x9F\x98\x80"));
    check_round_trip(pool, SLICE("\0start, mid\0dle, end\0"));
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
