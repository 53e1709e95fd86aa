/* SPDX-License-Identifier: Apache-2.0
 *
 * Running one SELECT and handing out its rows.
 *
 * The result streams: DuckDB works on while rows are fetched, and keeps the statement open until it
 * is drained. A result freed before its end is therefore interrupted, and a trivial statement makes
 * DuckDB drop what was open, so that every scan is closed when engine_result_free returns (I2).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_int.h"

struct EngineResult {
    EngineQuery *query;
    Instance *instance;
    EngineLimits limits;
    duckdb_prepared_statement statement;
    duckdb_result result;
    bool has_result;
    bool is_drained;
    uint32_t column_count;
    Buffer names;
    EngineColumn *columns;
    ColumnReader *readers;
    Value *row;
    duckdb_data_chunk chunk;
    idx_t chunk_rows, at;
    uint64_t rows, bytes;
};

uint32_t engine_result_column_count(const EngineResult *result)
{
    return result->column_count;
}

const EngineColumn *engine_result_columns(const EngineResult *result)
{
    return result->columns;
}

/* ---- Ending ---- */

static void drop_open_statement(Instance *instance)
{
    duckdb_interrupt(instance->connection);
    duckdb_result ignored;
    if (duckdb_query(instance->connection, "SELECT 1", &ignored) != DuckDBSuccess)
        instance->is_broken = true; /* I3 */
    duckdb_destroy_result(&ignored);
}

void engine_result_free(EngineResult *result)
{
    if (!result)
        return;
    duckdb_destroy_data_chunk(&result->chunk);
    if (result->has_result)
        duckdb_destroy_result(&result->result);
    duckdb_destroy_prepare(&result->statement);
    if (result->instance) {
        if (!result->is_drained)
            drop_open_statement(result->instance);
        engine__release(result->instance);     /* closes it when it is broken */
        engine__wait_for_scans(result->query); /* I2 */
    }
    buffer_done(&result->names);
    free(result->columns);
    free(result->readers);
    free(result->row);
    free(result);
}

void engine_result_free_ptr(EngineResult **result)
{
    engine_result_free(*result);
    *result = NULL;
}

/* ---- Starting ---- */

static Code prepare(EngineResult *result, Slice sql, Error *e)
{
    char *text = x_text(sql);
    duckdb_destroy_prepare(&result->statement);
    duckdb_state state = duckdb_prepare(result->instance->connection, text, &result->statement);
    free(text);
    if (state != DuckDBSuccess)
        return engine__failure(result->instance, result->query,
                               duckdb_prepare_error(result->statement), e);
    if (duckdb_prepared_statement_type(result->statement) != DUCKDB_STATEMENT_TYPE_SELECT)
        return fail(e, E_INTERNAL, "only a SELECT may run here");
    return OK;
}

/* Prints SELECT c0, CAST(c1 AS VARCHAR) … FROM (sql) AS t(c0, …) when a column has a type that is
 * not ours. The names of the columns are those of the statement it replaces. */
static bool needs_casts(duckdb_prepared_statement statement, Slice sql, Buffer *out)
{
    idx_t count = duckdb_prepared_statement_column_count(statement);
    bool needed = false;
    buffer_add_text(out, "SELECT ");
    for (idx_t i = 0; i < count; i++) {
        bool known = engine__reader_knows(duckdb_prepared_statement_column_type(statement, i));
        needed |= !known;
        buffer_printf(out, known ? "%sc%u" : "%sCAST(c%u AS VARCHAR)", i ? "," : "", (unsigned)i);
    }
    buffer_add_text(out, " FROM (");
    buffer_add_slice(out, sql);
    buffer_add_text(out, ") AS t(");
    for (idx_t i = 0; i < count; i++)
        buffer_printf(out, "%sc%u", i ? "," : "", (unsigned)i);
    buffer_add_char(out, ')');
    return needed;
}

/* The names that the first statement gave, which the one with casts no longer shows. */
static void add_statement_names(duckdb_prepared_statement statement, Buffer *out)
{
    idx_t count = duckdb_prepared_statement_column_count(statement);
    for (idx_t i = 0; i < count; i++) {
        const char *name = duckdb_prepared_statement_column_name(statement, i);
        buffer_add_sized(out, slice_of_text(name ? name : ""));
        duckdb_free((void *)(uintptr_t)name);
    }
}

static void add_result_names(duckdb_result *result, Buffer *out)
{
    idx_t count = duckdb_column_count(result);
    for (idx_t i = 0; i < count; i++) {
        const char *name = duckdb_column_name(result, i);
        buffer_add_sized(out, slice_of_text(name ? name : ""));
    }
}

static Code execute(EngineResult *result, Error *e)
{
    duckdb_pending_result pending = NULL;
    Code code = OK;
    if (duckdb_pending_prepared_streaming(result->statement, &pending) != DuckDBSuccess) {
        code = engine__failure(result->instance, result->query, duckdb_pending_error(pending), e);
    } else {
        duckdb_state state = duckdb_execute_pending(pending, &result->result);
        result->has_result = true;
        if (state != DuckDBSuccess)
            code = engine__failure(result->instance, result->query,
                                   duckdb_result_error(&result->result), e);
    }
    duckdb_destroy_pending(&pending);
    return code;
}

/* Takes the names. */
static Code init_columns(EngineResult *result, Buffer *names, Error *e)
{
    uint32_t count = (uint32_t)duckdb_column_count(&result->result);
    result->column_count = count;
    result->names = *names;
    *names = (Buffer){0};
    result->columns = x_new_array(EngineColumn, count + 1);
    result->readers = x_new_array(ColumnReader, count + 1);
    result->row = x_new_array(Value, count + 1);
    Cursor at = cursor_of(buffer_slice(&result->names));
    for (uint32_t i = 0; i < count; i++) {
        must(cursor_sized(&at, &result->columns[i].name));
        duckdb_logical_type type = duckdb_column_logical_type(&result->result, i);
        engine__reader_init(&result->readers[i], type);
        result->columns[i].type = result->readers[i].type;
        duckdb_destroy_logical_type(&type);
        if (!engine__reader_knows(result->readers[i].kind))
            return fail(e, E_UNSUPPORTED, "column %u of the result has an unknown type", i + 1);
    }
    return OK;
}

/* A prepared statement over files is bound and planned once more when it runs, with the footers of
 * its files: too much for one that wants a single row. */
static Code execute_small(EngineResult *result, Slice sql, Error *e)
{
    char *text = x_text(sql);
    duckdb_state state = duckdb_query(result->instance->connection, text, &result->result);
    free(text);
    result->has_result = true;
    if (state != DuckDBSuccess)
        return engine__failure(result->instance, result->query,
                               duckdb_result_error(&result->result), e);
    return OK;
}

static Code start_small(EngineResult *result, Slice sql, Error *e)
{
    CLEANUP(buffer_done) Buffer names = {0};
    TRY(execute_small(result, sql, e));
    add_result_names(&result->result, &names);
    return init_columns(result, &names, e);
}

static Code start(EngineResult *result, Slice sql, Error *e)
{
    CLEANUP(buffer_done) Buffer with_casts = {0}, names = {0};
    TRY(prepare(result, sql, e));
    if (needs_casts(result->statement, sql, &with_casts)) {
        add_statement_names(result->statement, &names);
        TRY(prepare(result, buffer_slice(&with_casts), e));
    }
    TRY(execute(result, e));
    if (names.size == 0)
        add_result_names(&result->result, &names);
    return init_columns(result, &names, e);
}

Code engine_run(EngineQuery *query, Slice sql, const EngineLimits *limits,
                EngineResult **out_result, Error *e)
{
    if (sql.size && memchr(sql.data, 0, sql.size))
        return fail(e, E_INTERNAL, "a zero byte in printed SQL");
    CLEANUP(engine_result_free_ptr) EngineResult *result = x_new(EngineResult);
    result->query = query;
    result->limits = *limits;
    TRY(engine__acquire(query->pool, query, limits->wait_ms, limits->timeout_ms, &result->instance,
                        e));
    TRY(limits->is_small ? start_small(result, sql, e) : start(result, sql, e));
    *out_result = TAKE(result);
    return OK;
}

/* ---- Rows ---- */

static Code fetch_chunk(EngineResult *result, Error *e)
{
    duckdb_destroy_data_chunk(&result->chunk);
    result->at = result->chunk_rows = 0;
    if (result->is_drained)
        return OK;
    EngineQuery *query = result->query;
    bool is_stopped = engine__is_cancelled(query); /* no interrupt comes between two steps */
    result->chunk = is_stopped ? NULL : duckdb_fetch_chunk(result->result);
    if (result->chunk) {
        result->chunk_rows = duckdb_data_chunk_get_size(result->chunk);
        for (uint32_t i = 0; i < result->column_count; i++)
            engine__reader_start(&result->readers[i],
                                 duckdb_data_chunk_get_vector(result->chunk, i));
        return OK;
    }
    /* The end, or an error. A stopped statement can look like an ended one: never take it for that.
     * */
    const char *text = duckdb_result_error(&result->result);
    if ((text && *text) || engine__is_cancelled(query) || atomic_load(&query->is_expired))
        return engine__failure(result->instance, query, text, e);
    result->is_drained = true;
    return OK;
}

static Code check_limits(EngineResult *result, Error *e)
{
    const EngineLimits *limits = &result->limits;
    result->rows++;
    if (limits->rows_max && result->rows > limits->rows_max)
        return fail(e, E_TOO_LARGE, "the result has more than %llu rows; use LIMIT",
                    (unsigned long long)limits->rows_max);
    for (uint32_t i = 0; i < result->column_count; i++) {
        const Value *v = &result->row[i];
        bool is_long = type_is_text(v->type) || v->type == TYPE_BYTES;
        result->bytes += is_long && !v->is_null ? v->bytes.size + 8 : 8;
    }
    if (limits->bytes_max && result->bytes > limits->bytes_max)
        return fail(e, E_TOO_LARGE, "the result is larger than %llu bytes; use LIMIT",
                    (unsigned long long)limits->bytes_max);
    return OK;
}

Code engine_result_next(EngineResult *result, const Value **out_row, bool *out_end, Error *e)
{
    while (result->at == result->chunk_rows && !result->is_drained)
        TRY(fetch_chunk(result, e));
    if (result->at == result->chunk_rows) {
        *out_end = true;
        return OK;
    }
    for (uint32_t i = 0; i < result->column_count; i++)
        TRY(engine__read_value(&result->readers[i], result->at, &result->row[i], e));
    result->at++;
    TRY(check_limits(result, e));
    *out_row = result->row;
    *out_end = false;
    return OK;
}
