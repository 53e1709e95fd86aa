/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions every instance knows: the table function hot(handle, ref) and the scalar functions
 * alive(), alive_found() and alive_at(). All find their source by the handle; an unknown handle is
 * an error and never another statement's rows.
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
        if (engine__is_cancelled(scan->query) ||
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

/* ---- alive ---- */

static const void *column_of(duckdb_data_chunk input, idx_t index)
{
    return duckdb_vector_get_data(duckdb_data_chunk_get_vector(input, index));
}

/* The source of a call: handle and ref come first. */
static const EngineSource *source_of_call(duckdb_function_info info, duckdb_data_chunk input,
                                          EngineQuery **out_query)
{
    const uint64_t *handles = column_of(input, 0);
    const uint16_t *refs = column_of(input, 1);
    return engine__find_source(duckdb_scalar_function_get_extra_info(info), handles[0], refs[0],
                               out_query);
}

static void tell_found(const EngineSource *source, const uint64_t *seqs, const uint64_t *rows,
                       const bool *alive, size_t count)
{
    for (size_t at = 0; at < count; at++) {
        const bool *dead = memchr(alive + at, false, count - at);
        if (!dead)
            return;
        at = (size_t)(dead - alive);
        source->found_dead(source->context, seqs[at], rows[at]);
    }
}

static void alive_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    if (count == 0)
        return;
    bool tells = duckdb_data_chunk_get_column_count(input) == 4; /* alive_found() */
    EngineQuery *query = NULL;
    const EngineSource *source = source_of_call(info, input, &query);
    if (!source || !source->are_alive || (tells && !source->found_dead)) {
        duckdb_scalar_function_set_error(info, UNKNOWN_SOURCE);
        return;
    }
    Error error = {0};
    const uint64_t *seqs = column_of(input, 2);
    bool *alive = duckdb_vector_get_data(output);
    if (source->are_alive(source->context, seqs, (uint32_t)count, alive, &error) != OK) {
        engine__keep_error(query, &error);
        duckdb_scalar_function_set_error(info, SOURCE_FAILED);
        return;
    }
    if (tells)
        tell_found(source, seqs, column_of(input, 3), alive, count);
}

static void alive_at_run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    idx_t count = duckdb_data_chunk_get_size(input);
    if (count == 0)
        return;
    EngineQuery *query = NULL;
    const EngineSource *source = source_of_call(info, input, &query);
    if (!source || !source->are_alive_at) {
        duckdb_scalar_function_set_error(info, UNKNOWN_SOURCE);
        return;
    }
    source->are_alive_at(source->context, column_of(input, 2), column_of(input, 3), (uint32_t)count,
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

/* A function of handle, ref and `count` more numbers that tells which rows live. DuckDB hands over
 * constants as full vectors, so what is small has a small type. */
static duckdb_state register_alive(Instance *instance, const char *name,
                                   duckdb_scalar_function_t run, const duckdb_type *types,
                                   size_t count)
{
    static const duckdb_type handle_and_ref[] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_USMALLINT};
    duckdb_logical_type boolean = duckdb_create_logical_type(DUCKDB_TYPE_BOOLEAN);
    duckdb_scalar_function f = duckdb_create_scalar_function();
    duckdb_scalar_function_set_name(f, name);
    for (size_t i = 0; i < count + 2; i++) {
        duckdb_logical_type type =
            duckdb_create_logical_type(i < 2 ? handle_and_ref[i] : types[i - 2]);
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

static bool register_all_alive(Instance *instance)
{
    static const duckdb_type seq_and_row[] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_BIGINT};
    static const duckdb_type file_and_row[] = {DUCKDB_TYPE_UINTEGER, DUCKDB_TYPE_BIGINT};
    return register_alive(instance, "alive", alive_run, seq_and_row, 1) == DuckDBSuccess &&
           register_alive(instance, "alive_found", alive_run, seq_and_row, 2) == DuckDBSuccess &&
           register_alive(instance, "alive_at", alive_at_run, file_and_row, 2) == DuckDBSuccess;
}

Code engine__register_functions(Instance *instance, Error *e)
{
    duckdb_logical_type number = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);
    duckdb_state hot = register_hot(instance, number);
    duckdb_destroy_logical_type(&number);
    if (hot != DuckDBSuccess || !register_all_alive(instance))
        return fail(e, E_INTERNAL, "DuckDB refused the functions of the server");
    return OK;
}
