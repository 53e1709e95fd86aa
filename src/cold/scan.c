/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading whole segments row by row: the input of a compaction. DuckDB keeps the order of the files
 * and of the rows in them (preserve_insertion_order), so nothing is sorted or collected.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "cold/cold_int.h"

struct ColdScan {
    const Schema *schema;
    EngineQuery *query;
    EngineResult *result;
    Value *values;
};

Code cold_scan_open(EnginePool *pool, const SegmentList *list, const Schema *schema,
                    uint32_t wait_ms, ColdScan **out, Error *e)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    cold__add_select(&sql, list, schema);
    EngineLimits limits = {.wait_ms = wait_ms};
    ColdScan *scan = x_new(ColdScan);
    scan->schema = schema;
    scan->values = x_new_array(Value, schema->column_count + 1);
    scan->query = engine_query_new(pool);
    Code code = engine_run(scan->query, buffer_slice(&sql), &limits, &scan->result, e);
    if (code != OK) {
        cold_scan_close(scan);
        return code;
    }
    *out = scan;
    return OK;
}

void cold_scan_close(ColdScan *scan)
{
    if (!scan)
        return;
    engine_result_free(scan->result);
    engine_query_free(scan->query);
    free(scan->values);
    free(scan);
}

Code cold_scan_next(ColdScan *scan, bool *out_end, uint64_t *out_seq, const Value **out_values,
                    Error *e)
{
    const Value *row = NULL;
    TRY(engine_result_next(scan->result, &row, out_end, e));
    if (*out_end)
        return OK;
    if (row[0].is_null)
        return fail(e, E_CORRUPT, "a row of a segment has no _seq");
    for (uint32_t i = 0; i < scan->schema->column_count; i++) {
        Type type = scan->schema->columns[i].type;
        scan->values[i] = row[i + 1];
        must(scan->values[i].type == type || type_is_text(type));
        scan->values[i].type = type; /* DuckDB knows JSON as text */
    }
    *out_seq = (uint64_t)row[0].integer;
    *out_values = scan->values;
    return OK;
}
