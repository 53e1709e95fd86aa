/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing a Parquet file from a row source: COPY (SELECT * FROM hot(h, 0)) TO … with field ids, so
 * that columns are found again after renames. Order of rows = order of the source.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_int.h"

/* A dictionary takes -0.0 and 0.0 for one value and writes whichever came first; the Bloom filter
 * that comes with it does not, so that `= 0` would miss the other one. Tables with such columns do
 * without. */
static bool has_reals(const Schema *schema)
{
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (schema->columns[i].type == TYPE_DOUBLE || schema->columns[i].type == TYPE_FLOAT)
            return true;
    return false;
}

static Code print_copy(const EngineQuery *query, const char *path, uint32_t row_group_rows,
                       Buffer *out, Error *e)
{
    const Schema *schema = query->sources[0].schema;
    buffer_printf(out, "COPY (SELECT * FROM hot(%llu,0)) TO ", (unsigned long long)query->handle);
    engine_add_text(out, slice_of_text(path));
    buffer_printf(out,
                  " (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, PARQUET_VERSION v2,"
                  " ROW_GROUP_SIZE %u, USE_TMP_FILE false,%s FIELD_IDS {",
                  row_group_rows,
                  has_reals(schema) ? " DICTIONARY_SIZE_LIMIT 0, WRITE_BLOOM_FILTER false," : "");
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (schema->columns[i].field_id > ENGINE_FIELD_ID_MAX)
            return fail(e, E_TOO_LARGE, "a field id is out of range");
        engine_add_name(out, schema->columns[i].name);
        buffer_printf(out, ":%u,", schema->columns[i].field_id);
    }
    buffer_printf(out, "\"_seq\":%d,\"_deleted\":%d})", ENGINE_FIELD_ID_SEQ,
                  ENGINE_FIELD_ID_DELETED);
    return OK;
}

static Code run_copy(Instance *instance, EngineQuery *query, const char *sql, uint64_t *out_rows,
                     Error *e)
{
    duckdb_result result;
    duckdb_state state = duckdb_query(instance->connection, sql, &result);
    Code code = OK;
    if (state != DuckDBSuccess)
        code = engine__failure(instance, query, duckdb_result_error(&result), e);
    else
        *out_rows = duckdb_rows_changed(&result);
    duckdb_destroy_result(&result);
    return code;
}

Code engine_write_parquet(EnginePool *pool, const EngineSource *rows, const char *path,
                          const EngineWriteOptions *options, uint64_t *out_rows, Error *e)
{
    uint32_t ref = 0;
    uint32_t group = options->row_group_rows ? options->row_group_rows : ENGINE_ROW_GROUP_ROWS;
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    CLEANUP(buffer_done) Buffer sql = {0};
    TRY(engine_query_add_source(query, rows, &ref, e));
    TRY(print_copy(query, path, group, &sql, e));
    buffer_add_char(&sql, 0);
    Instance *instance = NULL;
    TRY(engine__acquire(pool, query, options->wait_ms, options->timeout_ms, &instance, e));
    Code code = run_copy(instance, query, sql.data, out_rows, e);
    engine__release(instance);
    engine__wait_for_scans(query); /* I2 */
    return code;
}
