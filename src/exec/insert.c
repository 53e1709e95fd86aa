/* SPDX-License-Identifier: Apache-2.0
 *
 * INSERT: VALUES, SELECT and DEFAULT VALUES into changes of an Intent. Every column gets its value,
 * its default or NULL; NOT NULL and the uniqueness of the key are checked here at the view, and
 * races between statements by the committer. A STREAM appends: its keys need not be unique.
 */
#include "exec/dml.h"

#include "base/limits.h"
#include "base/map.h"
#include "data/row.h"
#include "sql/sql.h"

#include <stdio.h>

typedef struct Inserter {
    Dml *dml;
    const Insert *insert;
    int32_t *columns; /* which table column each given value is for */
    size_t width;
    bool *is_given; /* by table column */
    Map *keys;      /* of this statement */
    size_t rows;
    size_t result_width; /* INSERT … SELECT */
    Value *selected;     /* rows of the SELECT, one after the other */
    size_t selected_count, selected_capacity;
} Inserter;

/* Finds the column that the INSERT names at place `i`. */
static Code name_column(Inserter *in, size_t i, Error *e)
{
    const Schema *schema = in->dml->table->schema;
    TRY(exec__find_column(schema, in->insert->columns[i], &in->columns[i], e));
    if (in->is_given[in->columns[i]])
        return fail(e, E_INVALID_SQL, "Column '%.*s' is named twice",
                    SLICE_ARGS(schema->columns[in->columns[i]].name));
    return OK;
}

static Code map_columns(Inserter *in, Error *e)
{
    const Schema *schema = in->dml->table->schema;
    Arena *arena = in->dml->run->arena;
    in->is_given = arena_new_array(arena, bool, schema->column_count);
    in->width = in->insert->default_values ? 0 : in->insert->column_count;
    if (in->width == 0 && !in->insert->default_values)
        in->width = schema->column_count;
    in->columns = arena_new_array(arena, int32_t, in->width + 1);
    for (size_t i = 0; i < in->width; i++) {
        in->columns[i] = (int32_t)i;
        if (in->insert->column_count)
            TRY(exec__place(in->dml->run, in->insert->column_offsets[i], name_column(in, i, e), e));
        in->is_given[in->columns[i]] = true;
    }
    return OK;
}

static Code check_width(const Inserter *in, size_t width, Error *e)
{
    if (width == in->width)
        return OK;
    const Insert *insert = in->insert;
    uint32_t offset = insert->select      ? insert->select->offset
                      : width > in->width ? insert->values[in->width]->offset
                                          : insert->row_offset;
    return exec__place(
        in->dml->run, offset,
        fail(e, E_INVALID_SQL, "INSERT has %zu values for %zu columns", width, in->width), e);
}

/* Fills the columns that the statement leaves out, and checks NOT NULL in all. */
static Code complete_row(Inserter *in, Error *e)
{
    Dml *dml = in->dml;
    const Schema *schema = dml->table->schema;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        if (in->is_given[i]) {
            TRY(exec__check_not_null(column, &dml->values[i], in->rows, e));
            continue;
        }
        TRY(sql_default_value(column, &dml->run->eval, dml->scratch, &dml->values[i], e));
        if (column->not_null && dml->values[i].is_null)
            return fail(e, E_CONSTRAINT,
                        "NOT NULL constraint violation: column '%.*s' is missing in row %zu",
                        SLICE_ARGS(column->name), in->rows);
    }
    return OK;
}

static Code key_violation(const Inserter *in, const char *how, Error *e)
{
    const Schema *schema = in->dml->table->schema;
    CLEANUP(buffer_done) Buffer text = {0};
    value_print(&in->dml->values[schema->key_index], &text);
    return fail(e, E_ALREADY_EXISTS, "Primary key violation: value '%.*s' %s column '%.*s'",
                (int)(text.size > 200 ? 200 : text.size), text.data, how,
                SLICE_ARGS(schema->columns[schema->key_index].name));
}

static Code check_key(Inserter *in, Error *e)
{
    Dml *dml = in->dml;
    Slice key = buffer_slice(&dml->key);
    if (in->keys && map_put(in->keys, key, in))
        return key_violation(in, "appears multiple times in the insert batch for", e);
    Version version = {0};
    Error lookup = {0};
    TableView at = exec__table_view(dml);
    Code code = exec__find(&at, key, dml->scratch, &version, &lookup);
    if (code == E_NOT_FOUND)
        return OK;
    if (code == OK)
        return key_violation(in, "already exists in", e);
    *e = lookup;
    return code;
}

/* The row of which the given columns are in dml->values. */
static Code add_row(Inserter *in, Error *e)
{
    Dml *dml = in->dml;
    in->rows++;
    TRY(complete_row(in, e));
    TRY(exec__encode_key(dml, dml->values, e));
    if (dml->table->kind != TABLE_STREAM)
        TRY(check_key(in, e));
    TRY(exec__encode_row(dml, dml->values, &dml->row, e));
    RowChange change = {
        .kind = CHANGE_INSERT,
        .key = buffer_slice(&dml->key),
        .new_row = buffer_slice(&dml->row),
    };
    TRY(intent_add(dml->intent, dml->part, &change, e));
    dml->affected++;
    if (in->rows % EXEC_CLOCK_ROWS == 0)
        TRY(exec__check_time(dml->run, e));
    arena_reset(dml->scratch);
    return OK;
}

static Code insert_values(Inserter *in, Error *e)
{
    Dml *dml = in->dml;
    const Schema *schema = dml->table->schema;
    const Insert *insert = in->insert;
    TRY(check_width(in, insert->width, e));
    BindContext bind = exec__bind_context(dml->run, NULL);
    for (uint32_t row = 0; row < insert->row_count; row++) {
        for (size_t i = 0; i < in->width; i++) {
            const Column *column = &schema->columns[in->columns[i]];
            BoundExpr *bound = NULL;
            TRY(sql_bind_assignment(&bind, insert->values[row * insert->width + i], column,
                                    dml->scratch, &bound, e));
            TRY(sql_eval(bound, NULL, &dml->run->eval, dml->scratch, &dml->values[in->columns[i]],
                         e));
        }
        TRY(add_row(in, e));
    }
    return OK;
}

/* ---- INSERT … SELECT ---- */

static void select_begin(void *context)
{
    ((Inserter *)context)->selected_count = 0;
}

static void select_columns(void *context, const ResultColumn *columns, size_t count)
{
    (void)columns;
    ((Inserter *)context)->result_width = count;
}

static Code select_row(void *context, const Value *values, Error *e)
{
    Inserter *in = context;
    Arena *arena = in->dml->run->arena;
    TRY(check_width(in, in->result_width, e));
    if (in->selected_count == INSERT_ROWS_MAX)
        return fail(e, E_TOO_LARGE, "INSERT … SELECT of more than %d rows", INSERT_ROWS_MAX);
    if (in->selected_count == in->selected_capacity) {
        size_t capacity = in->selected_capacity ? in->selected_capacity * 2 : 64;
        Value *grown = arena_new_array(arena, Value, capacity * in->width);
        if (in->selected_count)
            memcpy(grown, in->selected, in->selected_count * in->width * sizeof *grown);
        in->selected = grown;
        in->selected_capacity = capacity;
    }
    Value *row = &in->selected[in->selected_count++ * in->width];
    for (size_t i = 0; i < in->width; i++)
        row[i] = exec__copy_value(&values[i], arena);
    if (arena_bytes(arena) > EXEC_RESULT_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "The rows of INSERT … SELECT do not fit in memory");
    return OK;
}

static Code insert_select(Inserter *in, Error *e)
{
    Dml *dml = in->dml;
    if (dml->run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "INSERT … SELECT runs on a worker");
    RowOutput output = {in, select_begin, select_columns, select_row};
    size_t rows = 0;
    TRY(exec__select(dml->run, dml->view, in->insert->select, &output, &rows, e));
    TRY(check_width(in, in->result_width, e));
    for (size_t row = 0; row < in->selected_count; row++) {
        for (size_t i = 0; i < in->width; i++) {
            const Column *column = &dml->table->schema->columns[in->columns[i]];
            char what[NAME_BYTES_MAX + 16];
            snprintf(what, sizeof what, "column '%.*s'", SLICE_ARGS(column->name));
            TRY(value_cast(&in->selected[row * in->width + i], column->type, what, dml->scratch,
                           &dml->values[in->columns[i]], e));
        }
        TRY(add_row(in, e));
    }
    return OK;
}

Code exec__resolve_insert(Dml *dml, Error *e)
{
    const Insert *insert = &dml->run->statement->insert;
    Inserter in = {.dml = dml, .insert = insert};
    TRY(map_columns(&in, e));
    if (insert->default_values)
        return add_row(&in, e);
    if (insert->select || insert->row_count > 1)
        in.keys = map_new();
    Code code = insert->select ? insert_select(&in, e) : insert_values(&in, e);
    map_free(in.keys);
    return code;
}
