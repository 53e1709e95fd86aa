/* SPDX-License-Identifier: Apache-2.0
 *
 * "The newest 100 rows" of a partition with a million of them: DuckDB would read every row, since
 * it does not know that segments are sorted by seq. The footers of the files say what lies in each
 * row group, so the range is narrowed to the groups at its end that surely hold enough rows.
 */
#include <inttypes.h>

#include "cold/cold_int.h"

typedef struct Narrow {
    EnginePool *pool;
    const SegmentList *list;
    ColdRange *range;
    EngineLimits limits;
    uint64_t rows; /* in groups that lie in the range whole */
} Narrow;

static void print_groups(const Narrow *narrow, uint32_t index, Buffer *out)
{
    const ColdRange *range = narrow->range;
    buffer_add_text(out, "SELECT lo,hi,n FROM (SELECT TRY_CAST(stats_min_value AS BIGINT) lo,"
                         "TRY_CAST(stats_max_value AS BIGINT) hi,row_group_num_rows n "
                         "FROM parquet_metadata(");
    cold__add_segment_path(out, narrow->list, index);
    buffer_printf(out,
                  ") WHERE path_in_schema='_seq') WHERE hi>=%" PRIu64 " AND lo<=%" PRIu64
                  " ORDER BY lo%s",
                  range->min_seq, range->max_seq, range->descending ? " DESC" : "");
}

/* One row group, from the end of the range that is wanted; moves the other end behind it. */
static void take_group(Narrow *narrow, uint64_t low, uint64_t high, uint64_t rows)
{
    ColdRange *range = narrow->range;
    if (low >= range->min_seq && high <= range->max_seq)
        narrow->rows += rows;
    if (narrow->rows < range->limit)
        return;
    if (range->descending && low > range->min_seq)
        range->min_seq = low;
    else if (!range->descending && high < range->max_seq)
        range->max_seq = high;
}

static Code narrow_file(Narrow *narrow, uint32_t index, Error *e)
{
    CLEANUP(buffer_done) Buffer sql = {0};
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(narrow->pool);
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    print_groups(narrow, index, &sql);
    TRY(engine_run(query, buffer_slice(&sql), &narrow->limits, &result, e));
    while (narrow->rows < narrow->range->limit) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end)
            break;
        if (!row[0].is_null && !row[1].is_null)
            take_group(narrow, (uint64_t)row[0].integer, (uint64_t)row[1].integer,
                       (uint64_t)row[2].integer);
    }
    return OK;
}

Code cold__narrow(EnginePool *pool, SegmentList *io_list, ColdRange *io_range, Error *e)
{
    Narrow narrow = {.pool = pool, .list = io_list, .range = io_range};
    narrow.limits = (EngineLimits){
        .wait_ms = io_range->wait_ms, .timeout_ms = io_range->timeout_ms, .is_small = true};
    uint32_t files = 0, count = io_list->count;
    while (files < count && narrow.rows < io_range->limit) {
        uint32_t index = io_range->descending ? count - 1 - files : files;
        TRY(narrow_file(&narrow, index, e));
        files++;
    }
    if (io_range->descending)
        io_list->batches += count - files;
    io_list->count = files;
    return OK;
}
