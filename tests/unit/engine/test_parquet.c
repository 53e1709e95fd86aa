/* SPDX-License-Identifier: Apache-2.0
 *
 * Written files as another reader sees them.
 */
#include <stdio.h>
#include <unistd.h>

#include "rows.h"
#include "test.h"

static void check(EnginePool *pool, const char *select, const char *path, const char *want)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    buffer_printf(&sql, "%s('%s')%c", select, path, 0);
    Slice got = {0};
    CHECK_OK(rows_run(pool, NULL, sql.data, &got, e));
    CHECK_SLICE(got, slice_of_text(want));
}

TEST("a file has the rows in order, the field ids, ZSTD and row groups of the asked size")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 40000);
    EngineSource source = rows_source(&rows);
    EngineWriteOptions options = {0};
    uint64_t written = 0;
    const char *path = rows_path("x.parquet");
    CHECK_OK(engine_write_parquet(pool, &source, path, &options, &written, e));
    CHECK_INT(written, 40000);
    CHECK_INT(rows.opened, 1);
    CHECK_INT(rows.closed, 1);
    check(pool, "SELECT name, field_id FROM parquet_schema", path,
          "duckdb_schema|NULL;id|1;name|2;score|3;_seq|2147000001;_deleted|2147000002");
    check(pool,
          "SELECT count(DISTINCT row_group_id), max(row_group_num_rows), min(compression),"
          " max(compression) FROM parquet_metadata",
          path, "5|8192|ZSTD|ZSTD");
    check(pool, "SELECT count(*), sum(id), count(name), bool_or(_deleted) FROM read_parquet", path,
          "40000|800020000|34286|false");
    check(pool, "SELECT min(_seq - file_row_number), max(_seq - file_row_number) FROM read_parquet",
          path, "1000|1000");
    engine_pool_free(pool);
}

TEST("a file outside the allowed folder is not written")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 1);
    EngineSource source = rows_source(&rows);
    EngineWriteOptions options = {0};
    uint64_t written = 0;
    char path[600];
    snprintf(path, sizeof path, "%s/outside.parquet", test_folder());
    CHECK_CODE(engine_write_parquet(pool, &source, path, &options, &written, e), E_INTERNAL);
    CHECK(access(path, F_OK) != 0);
    snprintf(path, sizeof path, "%s/storage/../outside.parquet", test_folder());
    CHECK_CODE(engine_write_parquet(pool, &source, path, &options, &written, e), E_INTERNAL);
    CHECK(access(path, F_OK) != 0);
    engine_pool_free(pool);
}

TEST("a source that fails while a file is written gives its own error")
{
    EnginePool *pool = rows_pool(1);
    Rows rows;
    rows_init(&rows, 40000);
    rows.fail_at = 30000;
    rows.fail_code = E_CORRUPT;
    EngineSource source = rows_source(&rows);
    EngineWriteOptions options = {0};
    uint64_t written = 0;
    Error error = {0};
    CHECK_INT(
        engine_write_parquet(pool, &source, rows_path("x.parquet"), &options, &written, &error),
        E_CORRUPT);
    CHECK_TEXT(error.text, "row 30000 is bad");
    CHECK_INT(rows.closed, 1);
    engine_pool_free(pool);
}
