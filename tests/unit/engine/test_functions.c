/* SPDX-License-Identifier: Apache-2.0
 *
 * hot() and alive(): what DuckDB sees of our rows.
 */
#include "rows.h"
#include "test.h"

#include <stdio.h>

static void check(EnginePool *pool, Rows *rows, const char *sql, const char *want)
{
    Slice got = {0};
    CHECK_OK(rows_run(pool, rows, sql, &got, e));
    CHECK_SLICE(got, slice_of_text(want));
}

TEST("hot() gives the columns of the schema and the two system columns, NULLs included")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 8);
    check(pool, &rows, "SELECT * FROM hot(%h,0) WHERE id IN (1,7)",
          "1|name 1|0.5|1000|false;7|NULL|3.5|1006|false");
    check(pool, &rows, "SELECT score, _seq FROM hot(%h,0) LIMIT 1", "0.5|1000");
    CHECK_INT(rows.opened, rows.closed);
    engine_pool_free(pool);
}

TEST("more rows than one chunk arrive once each, in order, and count(*) needs no column")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 10000);
    check(pool, &rows, "SELECT count(*) FROM hot(%h,0)", "10000");
    check(pool, &rows, "SELECT sum(id), min(_seq), max(_seq), count(name) FROM hot(%h,0)",
          "50005000|1000|10999|8572");
    check(pool, &rows,
          "SELECT count(*) FROM (SELECT _seq - lag(_seq) OVER () AS d FROM hot(%h,0)) WHERE d <> 1",
          "0");
    engine_pool_free(pool);
}

TEST("a self-join scans the same source twice at once")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 3000);
    check(pool, &rows, "SELECT count(*) FROM hot(%h,0) a JOIN hot(%h,0) b ON a.id = b.id + 1",
          "2999");
    CHECK_INT(rows.opened, 2);
    CHECK_INT(rows.closed, 2);
    engine_pool_free(pool);
}

TEST("a source without rows is an empty table")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 0);
    check(pool, &rows, "SELECT * FROM hot(%h,0)", "");
    check(pool, &rows, "SELECT count(*), max(name) FROM hot(%h,0)", "0|NULL");
    engine_pool_free(pool);
}

TEST("alive() asks the source by the vector and filters")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 10000);
    rows.dead_every = 10;
    check(pool, &rows, "SELECT count(*) FROM hot(%h,0) WHERE alive(%h,0,_seq)", "9000");
    CHECK(rows.asked_dead >= 1);
    CHECK(rows.asked_dead < 20);
    engine_pool_free(pool);
}

TEST("alive_found() tells the row of the file, alive_at() asks by it, also behind skipped row "
     "groups")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 10000);
    rows.dead_every = 10;
    EngineSource source = rows_source(&rows);
    EngineWriteOptions options = {.row_group_rows = 2048};
    uint64_t written = 0;
    const char *path = rows_path("places.parquet");
    CHECK_OK(engine_write_parquet(pool, &source, path, &options, &written, e));
    char sql[2000];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM read_parquet('%s') WHERE id<>5 AND "
             "alive_found(%%h,0,_seq,file_row_number)",
             path);
    check(pool, &rows, sql, "8999");
    CHECK_INT(rows.found_dead, 1000);
    snprintf(sql, sizeof sql,
             "SELECT count(*), min(id) FROM read_parquet(['%s','%s']) WHERE id>9000 AND "
             "alive_at(%%h,0,file_index::UINTEGER,file_row_number)",
             path, path);
    check(pool, &rows, sql, "1900|9001");
    engine_pool_free(pool);
}

TEST("a handle of another, ended or unknown statement reads nobody's rows")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 3);
    CHECK_CODE(rows_run(pool, &rows, "SELECT * FROM hot(999,0)", NULL, e), E_INVALID_SQL);
    CHECK_CODE(rows_run(pool, &rows, "SELECT * FROM hot(%h,1)", NULL, e), E_INVALID_SQL);
    CHECK_CODE(rows_run(pool, &rows, "SELECT alive(999,0,_seq) FROM hot(%h,0)", NULL, e),
               E_EXECUTION);
    CHECK_CODE(rows_run(pool, NULL, "SELECT * FROM hot(%h,0)", NULL, e), E_INVALID_SQL);
    CHECK_INT(rows.opened, rows.closed);
    engine_pool_free(pool);
}

TEST("what a source fails with is what the statement fails with, and the instance goes on")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 5000);
    rows.fail_at = 4000;
    rows.fail_code = E_CORRUPT;
    Error error = {0};
    CHECK_INT(rows_run(pool, &rows, "SELECT sum(id) FROM hot(%h,0)", NULL, &error), E_CORRUPT);
    CHECK_TEXT(error.text, "row 4000 is bad");
    CHECK_INT(rows_run(pool, &rows, "SELECT id FROM hot(%h,0)", NULL, &error), E_CORRUPT);
    rows.fail_at = UINT64_MAX;
    rows.fail_code = E_IO;
    CHECK_CODE(
        rows_run(pool, &rows, "SELECT id FROM hot(%h,0) WHERE NOT alive(%h,0,_seq)", NULL, e),
        E_IO);
    CHECK_INT(rows.opened, rows.closed);
    rows.fail_at = 0;
    check(pool, &rows, "SELECT count(*) FROM hot(%h,0)", "5000");
    engine_pool_free(pool);
}
