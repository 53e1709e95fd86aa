/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading segments: the read_parquet text of a table reference, and rows by seq.
 *
 * Columns are found by field id, so a file reads right whatever its columns were called when it was
 * written; one it lacks reads as its fill (data/schema.h). DuckDB takes that as text and converts
 * it like any text of the column's type.
 */
#include <inttypes.h>
#include <math.h>

#include "cold/cold_int.h"

enum { ROWS_WAIT_MS = 10 * 1000, ROWS_TIMEOUT_MS = 30 * 1000 }; /* of cold_read_rows */

/* ---- SQL ---- */

/* The text that DuckDB converts to the fill. */
static void add_fill(Buffer *out, const Column *column)
{
    const Value *v = &column->fill;
    if (!column->has_fill) {
        buffer_add_text(out, "NULL");
        return;
    }
    CLEANUP(buffer_done) Buffer text = {0};
    if (v->type == TYPE_BYTES) {
        for (size_t i = 0; i < v->bytes.size; i++)
            buffer_printf(&text, "\\x%02X", (unsigned char)v->bytes.data[i]);
    } else if ((v->type == TYPE_DOUBLE || v->type == TYPE_FLOAT) && isfinite(v->real)) {
        buffer_printf(&text, "%.17g", v->real);
    } else {
        value_print(v, &text);
    }
    engine_add_text(out, buffer_slice(&text));
}

static void add_field(Buffer *out, uint32_t field_id, Slice name, Type type, const Column *column)
{
    buffer_printf(out, "%u:{name:", field_id);
    engine_add_text(out, name);
    buffer_printf(out, ",type:'%s',default_value:", engine_type_name(type));
    if (column)
        add_fill(out, column);
    else
        buffer_add_text(out, "NULL");
    buffer_add_char(out, '}');
}

void cold__add_segment_path(Buffer *out, const SegmentList *list, uint32_t index)
{
    CLEANUP(buffer_done) Buffer path = {0};
    buffer_printf(&path, "%s/%.*s/", list->storage_root, SLICE_ARGS(list->folder));
    cold_segment_name(list->batches[index], &path);
    engine_add_text(out, buffer_slice(&path));
}

void cold_add_read_parquet(Buffer *out, const SegmentList *list, const Schema *schema)
{
    must(list->count > 0); /* an empty list is an error of DuckDB */
    buffer_add_text(out, "read_parquet([");
    for (uint32_t i = 0; i < list->count; i++) {
        if (i)
            buffer_add_char(out, ',');
        cold__add_segment_path(out, list, i);
    }
    buffer_add_text(out, "],hive_partitioning=false,schema=MAP{");
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        add_field(out, column->field_id, column->name, column->type, column);
        buffer_add_char(out, ',');
    }
    add_field(out, ENGINE_FIELD_ID_SEQ, SLICE("_seq"), TYPE_BIGINT, NULL);
    buffer_add_char(out, ',');
    add_field(out, ENGINE_FIELD_ID_DELETED, SLICE("_deleted"), TYPE_BOOLEAN, NULL);
    buffer_add_text(out, "})");
}

/* ---- Rows ---- */

void cold__add_select(Buffer *out, const SegmentList *list, const Schema *schema)
{
    buffer_add_text(out, "SELECT _seq");
    for (uint32_t i = 0; i < schema->column_count; i++) {
        buffer_add_char(out, ',');
        engine_add_name(out, schema->columns[i].name);
    }
    buffer_add_text(out, " FROM ");
    cold_add_read_parquet(out, list, schema);
}

static Code take_row(const Value *row, const Schema *schema, Arena *arena, ColdRow *out, Error *e)
{
    if (row[0].is_null)
        return fail(e, E_CORRUPT, "a row of a segment has no _seq");
    out->seq = (uint64_t)row[0].integer;
    out->values = arena_new_array(arena, Value, schema->column_count + 1);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        Value *v = &out->values[i];
        *v = row[i + 1];
        must(v->type == schema->columns[i].type || type_is_text(schema->columns[i].type));
        v->type = schema->columns[i].type;
        if (!v->is_null && (type_is_text(v->type) || v->type == TYPE_BYTES))
            v->bytes = arena_copy(arena, v->bytes);
    }
    return OK;
}

typedef struct RowList { /* grows in the arena */
    ColdRow *rows;
    uint32_t count, room;
} RowList;

static ColdRow *add_row(RowList *list, Arena *arena)
{
    if (list->count == list->room) {
        uint32_t room = list->room ? list->room * 2 : 16;
        ColdRow *rows = arena_new_array(arena, ColdRow, room);
        for (uint32_t i = 0; i < list->count; i++)
            rows[i] = list->rows[i];
        list->rows = rows;
        list->room = room;
    }
    return &list->rows[list->count++];
}

static Code run(EnginePool *pool, Slice sql, const EngineLimits *limits, const Schema *schema,
                Arena *arena, RowList *out, Error *e)
{
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    TRY(engine_run(query, sql, limits, &result, e));
    for (;;) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end)
            return OK;
        TRY(take_row(row, schema, arena, add_row(out, arena), e));
    }
}

Code cold_read_range(EnginePool *pool, const SegmentList *list, const Schema *schema,
                     const ColdRange *range, Arena *arena, ColdRow **out_rows, uint32_t *out_count,
                     Error *e)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    SegmentList files = *list;
    ColdRange wanted = *range;
    if (wanted.max_seq > INT64_MAX)
        wanted.max_seq = INT64_MAX;
    if (wanted.limit)
        TRY(cold__narrow(pool, &files, &wanted, e));
    cold__add_select(&sql, &files, schema);
    buffer_printf(&sql, " WHERE _seq>=%" PRIu64 " AND _seq<=%" PRIu64 " ORDER BY _seq%s",
                  wanted.min_seq, wanted.max_seq, wanted.descending ? " DESC" : "");
    if (wanted.limit)
        buffer_printf(&sql, " LIMIT %" PRIu64, wanted.limit);
    EngineLimits limits = {.wait_ms = range->wait_ms, .timeout_ms = range->timeout_ms};
    RowList rows = {0};
    TRY(run(pool, buffer_slice(&sql), &limits, schema, arena, &rows, e));
    *out_rows = rows.rows;
    *out_count = rows.count;
    return OK;
}

/* A range beside the list lets DuckDB skip row groups by their bounds. */
static void add_seq_condition(Buffer *out, const uint64_t *seqs, uint32_t count)
{
    uint64_t min = seqs[0], max = seqs[0];
    for (uint32_t i = 1; i < count; i++) {
        min = seqs[i] < min ? seqs[i] : min;
        max = seqs[i] > max ? seqs[i] : max;
    }
    if (count == 1) {
        buffer_printf(out, " WHERE _seq=%" PRIu64, min);
        return;
    }
    buffer_printf(out, " WHERE _seq>=%" PRIu64 " AND _seq<=%" PRIu64 " AND _seq IN (", min, max);
    for (uint32_t i = 0; i < count; i++)
        buffer_printf(out, "%s%" PRIu64, i ? "," : "", seqs[i]);
    buffer_add_char(out, ')');
}

Code cold_read_rows(EnginePool *pool, const SegmentList *list, const Schema *schema,
                    const uint64_t *seqs, uint32_t seq_count, Arena *arena, ColdRow **out_rows,
                    uint32_t *out_count, Error *e)
{
    if (seq_count == 0) {
        *out_count = 0;
        return OK;
    }
    CLEANUP(buffer_done) Buffer sql = {0};
    cold__add_select(&sql, list, schema);
    add_seq_condition(&sql, seqs, seq_count);
    EngineLimits limits = {
        .wait_ms = ROWS_WAIT_MS, .timeout_ms = ROWS_TIMEOUT_MS, .is_small = true};
    RowList rows = {0};
    TRY(run(pool, buffer_slice(&sql), &limits, schema, arena, &rows, e));
    *out_rows = rows.rows;
    *out_count = rows.count;
    return OK;
}
