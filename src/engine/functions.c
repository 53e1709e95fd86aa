/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions every instance knows: the table function hot(handle, ref) and the scalar functions
 * dead(), dead_found() and dead_at(). All find their source by the handle; an unknown handle is an
 * error and never another statement's rows.
 *
 * hot() fills DuckDB's vectors in place, only the columns the plan wants, on one thread. When the
 * source fails, its error is kept with the query and DuckDB gets a text that says nothing.
 */
#include "engine/engine_int.h"

#include <stdlib.h>
#include <string.h>

static const char *const SOURCE_FAILED = "the row source failed";
/* What a plan that wants rows but no column (count(*)) may ask for: nobody reads it. */
static const uint32_t NO_COLUMN = UINT32_MAX;
static const char *const UNKNOWN_SOURCE = "unknown row source";

typedef struct HotBind {
    EngineQuery *query;
    const EngineSource *source;
} HotBind;

typedef struct HotScan {
    EngineQuery *query;
    const EngineSource *source;
    void *scan;
    bool is_at_end;
    uint32_t column_count;
    uint32_t *columns; /* index into the schema; column_count of it is _seq, one more is _deleted */
    ColumnWriter *writers;
} HotScan;

/* ---- hot: bind ---- */

static void add_column(duckdb_bind_info info, Slice name, duckdb_type kind)
{
    char text[NAME_BYTES_MAX + 1];
    must(name.size < sizeof text);
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    duckdb_logical_type type = duckdb_create_logical_type(kind);
    duckdb_bind_add_result_column(info, text, type);
    duckdb_destroy_logical_type(&type);
}

static uint64_t bind_number(duckdb_bind_info info, idx_t index)
{
    duckdb_value value = duckdb_bind_get_parameter(info, index);
    uint64_t number = (uint64_t)duckdb_get_int64(value);
    duckdb_destroy_value(&value);
    return number;
}

static void hot_bind(duckdb_bind_info info)
{
    EngineQuery *query = NULL;
    const EngineSource *source = engine__find_source(
        duckdb_bind_get_extra_info(info), bind_number(info, 0), bind_number(info, 1), &query);
    if (!source || !source->open) {
        duckdb_bind_set_error(info, UNKNOWN_SOURCE);
        return;
    }
    const Schema *schema = source->schema;
    for (uint32_t i = 0; i < schema->column_count; i++)
        add_column(info, schema->columns[i].name, engine__duckdb_type(schema->columns[i].type));
    add_column(info, SLICE("_seq"), DUCKDB_TYPE_BIGINT);
    add_column(info, SLICE("_deleted"), DUCKDB_TYPE_BOOLEAN);
    if (source->rows_estimated)
        duckdb_bind_set_cardinality(info, source->rows_estimated, false);
    HotBind *bind = x_new(HotBind);
    *bind = (HotBind){query, source};
    duckdb_bind_set_bind_data(info, bind, free);
}

/* ---- hot: scan ---- */

static void hot_scan_free(void *pointer)
{
    HotScan *scan = pointer;
    EngineQuery *query = scan->query;
    if (scan->scan) {
        atomic_load_explicit(&query->hand_over, memory_order_acquire);
        if (scan->source->close)
            scan->source->close(scan->scan);
        mutex_lock(&query->lock);
        query->open_scans--;
        cond_broadcast(&query->scan_closed);
        mutex_unlock(&query->lock);
    }
    free(scan->columns);
    free(scan->writers);
    free(scan);
}

static Type column_type(const Schema *schema, uint32_t index)
{
    if (index < schema->column_count)
        return schema->columns[index].type;
    return index == schema->column_count ? TYPE_BIGINT : TYPE_BOOLEAN;
}

static void hot_init(duckdb_init_info info)
{
    const HotBind *bind = duckdb_init_get_bind_data(info);
    HotScan *scan = x_new(HotScan);
    scan->query = bind->query;
    scan->source = bind->source;
    scan->column_count = (uint32_t)duckdb_init_get_column_count(info);
    scan->columns = x_new_array(uint32_t, scan->column_count + 1);
    scan->writers = x_new_array(ColumnWriter, scan->column_count + 1);
    for (uint32_t i = 0; i < scan->column_count; i++) {
        idx_t index = duckdb_init_get_column_index(info, i);
        bool is_column = index < bind->source->schema->column_count + 2;
        scan->columns[i] = is_column ? (uint32_t)index : NO_COLUMN;
        if (is_column)
            scan->writers[i].type = column_type(bind->source->schema, scan->columns[i]);
    }
    duckdb_init_set_max_threads(info, 1);
    duckdb_init_set_init_data(info, scan, hot_scan_free);
    Error error = {0};
    if (scan->source->open(scan->source->context, &scan->scan, &error) != OK) {
        scan->scan = NULL;
        engine__keep_error(scan->query, &error);
        duckdb_init_set_error(info, SOURCE_FAILED);
        return;
    }
    must(scan->scan);
    mutex_lock(&scan->query->lock);
    scan->query->open_scans++;
    mutex_unlock(&scan->query->lock);
    atomic_fetch_add_explicit(&scan->query->hand_over, 1, memory_order_acq_rel);
}

static void write_row(HotScan *scan, idx_t at, const EngineRow *row)
{
    uint32_t count = scan->source->schema->column_count;
    for (uint32_t i = 0; i < scan->column_count; i++) {
        uint32_t column = scan->columns[i];
        ColumnWriter *writer = &scan->writers[i];
        if (column < count)
            engine__write_value(writer, at, &row->values[column]);
        else if (column == count)
            ((int64_t *)writer->data)[at] = (int64_t)row->seq;
        else if (column == count + 1)
            ((bool *)writer->data)[at] = row->deleted;
    }
}

/* Stops early without an error when the statement is cancelled: DuckDB has been interrupted too. */
static Code fill_chunk(HotScan *scan, idx_t room, idx_t *out_count, Error *e)
{
    idx_t count = 0;
    while (count < room) {
        if (atomic_load_explicit(&scan->query->is_cancelled, memory_order_relaxed) ||
            atomic_load_explicit(&scan->query->is_expired, memory_order_relaxed))
            return fail(e, E_CANCELLED, "the statement was stopped");
        EngineRow row = {0};
        bool end = false;
        TRY(scan->source->next(scan->scan, &row, &end, e));
        if (end) {
            scan->is_at_end = true;
            break;
        }
        write_row(scan, count++, &row);
    }
    *out_count = count;
    return OK;
}

static void hot_next(duckdb_function_info info, duckdb_data_chunk chunk)
{
    HotScan *scan = duckdb_function_get_init_data(info);
    const HotBind *bind = duckdb_function_get_bind_data(info);
    atomic_fetch_add_explicit(&bind->query->hand_over, 1, memory_order_acq_rel);
    if (scan->is_at_end) {
        duckdb_data_chunk_set_size(chunk, 0);
        return;
    }
    for (uint32_t i = 0; i < scan->column_count; i++)
        engine__writer_start(&scan->writers[i], duckdb_data_chunk_get_vector(chunk, i));
    idx_t count = 0;
    Error error = {0};
    if (fill_chunk(scan, duckdb_vector_size(), &count, &error) != OK) {
        if (error.code != E_CANCELLED)
            engine__keep_error(scan->query, &error);
        duckdb_function_set_error(info, SOURCE_FAILED);
        count = 0;
    }
    duckdb_data_chunk_set_size(chunk, count);
    atomic_fetch_add_explicit(&scan->query->hand_over, 1, memory_order_acq_rel);
}

/* ---- dead ---- */

/* The source of a call, and its columns behind handle and ref. */
static const EngineSource *source_of_call(duckdb_function_info info, duckdb_data_chunk input,
                                          const uint64_t *out_columns[2], EngineQuery **out_query)
{
    const uint64_t *column[4] = {0};
    idx_t count = duckdb_data_chunk_get_column_count(input);
    must(count <= 4);
    for (idx_t i = 0; i < count; i++)
        column[i] = duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, i));
    out_columns[0] = column[2];
    out_columns[1] = column[3];
    return engine__find_source(duckdb_scalar_function_get_extra_info(info), column[0][0],
                               column[1][0], out_query);
}

static void dead_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    if (count == 0)
        return;
    const uint64_t *columns[2]; /* _seq, and perhaps file_row_number */
    EngineQuery *query = NULL;
    const EngineSource *source = source_of_call(info, input, columns, &query);
    if (!source || !source->are_dead || (columns[1] && !source->found_dead)) {
        duckdb_scalar_function_set_error(info, UNKNOWN_SOURCE);
        return;
    }
    Error error = {0};
    bool *out_dead = duckdb_vector_get_data(output);
    if (source->are_dead(source->context, columns[0], (uint32_t)count, out_dead, &error) != OK) {
        engine__keep_error(query, &error);
        duckdb_scalar_function_set_error(info, SOURCE_FAILED);
        return;
    }
    for (idx_t i = 0; columns[1] && i < count; i++)
        if (out_dead[i])
            source->found_dead(source->context, columns[0][i], columns[1][i]);
}

static void dead_at_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    if (count == 0)
        return;
    const uint64_t *columns[2]; /* file_index, file_row_number */
    EngineQuery *query = NULL;
    const EngineSource *source = source_of_call(info, input, columns, &query);
    if (!source || !source->are_dead_at) {
        duckdb_scalar_function_set_error(info, UNKNOWN_SOURCE);
        return;
    }
    source->are_dead_at(source->context, columns[0], columns[1], (uint32_t)count,
                        duckdb_vector_get_data(output));
}

/* ---- Registration ---- */

static duckdb_state register_hot(Instance *instance, duckdb_logical_type number)
{
    duckdb_table_function f = duckdb_create_table_function();
    duckdb_table_function_set_name(f, "hot");
    duckdb_table_function_add_parameter(f, number);
    duckdb_table_function_add_parameter(f, number);
    duckdb_table_function_set_extra_info(f, instance->pool, NULL);
    duckdb_table_function_set_bind(f, hot_bind);
    duckdb_table_function_set_init(f, hot_init);
    duckdb_table_function_set_function(f, hot_next);
    duckdb_table_function_supports_projection_pushdown(f, true);
    duckdb_state state = duckdb_register_table_function(instance->connection, f);
    duckdb_destroy_table_function(&f);
    return state;
}

/* A function of handle, ref and `count` more numbers that tells which rows are dead. */
static duckdb_state register_dead(Instance *instance, const char *name,
                                  duckdb_scalar_function_t run, const duckdb_type *types,
                                  size_t count)
{
    duckdb_logical_type boolean = duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_scalar_function_set_name(f, name);
    for (size_t i = 0; i < count + 2; i++) {
        duckdb_logical_type type =
            duckdb_create_logical_type(i < 2 ? DUCKDB_TYPE_BIGINT : types[i - 2]);
        duckdb_scalar_function_add_parameter(f, type);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_scalar_function_set_return_type(f, boolean);
    duckdb_scalar_function_set_extra_info(f, instance->pool, NULL);
    duckdb_scalar_function_set_function(f, run);
    duckdb_state state = duckdb_register_scalar_function(instance->connection, f);
    duckdb_destroy_scalar_function(&f);
    duckdb_destroy_logical_type(&boolean);
    return state;
}

static bool register_all_dead(Instance *instance)
{
    static const duckdb_type seq_and_row[] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_BIGINT};
    static const duckdb_type file_and_row[] = {DUCKDB_TYPE_UBIGINT, DUCKDB_TYPE_BIGINT};
    return register_dead(instance, "dead", dead_run, seq_and_row, 1) == DuckDBSuccess &&
           register_dead(instance, "dead_found", dead_run, seq_and_row, 2) == DuckDBSuccess &&
           register_dead(instance, "dead_at", dead_at_run, file_and_row, 2) == DuckDBSuccess;
}

Code engine__register_functions(Instance *instance, Error *e)
{
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_state hot = register_hot(instance, number);
    duckdb_destroy_logical_type(&number);
    if (hot != DuckDBSuccess || !register_all_dead(instance))
        return fail(e, E_INTERNAL, "DuckDB refused the functions of the server");
    return OK;
}
