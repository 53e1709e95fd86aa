/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding a NULL in a column.
 *
 * I1. Partitions are listed from a newer snapshot than the view; one the view does not know yet is
 *     empty there.
 * I2. A segment whose statistics count no NULL has none; one without statistics of the column is
 *     older than the column, so that its rows read the fill.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "table/nulls.h"
#include "table/table_int.h"

enum { PAGE_ROWS = 4096, ENGINE_WAIT_MS = 30 * 1000, PAGE_TIMEOUT_MS = 60 * 1000 };

typedef struct NullSearch {
    ReadView *view;
    const Table *table;
    int32_t column;
    uint64_t after_seq;
    Value *values; /* of one row */
    Arena *arena;  /* of one page */
    bool found;
} NullSearch;

static bool is_hit(const NullSearch *search, const Value *values)
{
    return search->column < 0 || values[search->column].is_null;
}

static Code search_hot(void *context, Partition partition, Error *e)
{
    NullSearch *search = (NullSearch *)context;
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    if (search->found)
        return OK;
    TRY(row_walk_open(search->view, search->table, partition, search->after_seq + 1, UINT64_MAX,
                      false, &walk, e));
    while (!search->found) {
        bool end;
        uint64_t seq;
        Slice row;
        TRY(row_walk_next(walk, &end, &seq, &row, e));
        if (end)
            break;
        TRY(row_decode(search->table->schema, row, search->values, e));
        search->found = is_hit(search, search->values);
    }
    return OK;
}

/* ---- segments ---- */

/* I2 */
static bool may_hit(const NullSearch *search, const SegmentEntry *entry)
{
    if (search->column < 0)
        return true;
    const Column *column = &search->table->schema->columns[search->column];
    const SegmentStats *stats = segment_stats(entry, column->field_id);
    return stats ? stats->null_count > 0 : !column->has_fill;
}

/* Looks at the rows of a page, dead ones left out. */
static Code search_page(NullSearch *search, Partition partition, const ColdRow *rows,
                        uint32_t count, Error *e)
{
    for (uint32_t i = 0; i < count && !search->found; i++) {
        uint64_t dead_at = 0;
        if (!is_hit(search, rows[i].values))
            continue;
        TRY(view_dead_at(search->view, partition, rows[i].seq, &dead_at, e));
        search->found = dead_at == 0;
    }
    return OK;
}

static Code search_segment(NullSearch *search, Partition partition, const SegmentEntry *entry,
                           Error *e)
{
    bool is_cut = entry->min_seq <= search->after_seq;
    ColdRange range = {.min_seq = is_cut ? search->after_seq + 1 : entry->min_seq,
                       .max_seq = entry->max_seq,
                       .limit = PAGE_ROWS,
                       .wait_ms = ENGINE_WAIT_MS,
                       .timeout_ms = PAGE_TIMEOUT_MS};
    for (bool more = true; more && !search->found;) {
        arena_reset(search->arena);
        SegmentList list;
        ColdRow *rows = NULL;
        uint32_t count = 0;
        TRY(view__segment_list(search->view, search->table, partition, entry, 1, search->arena,
                               &list, e));
        TRY(cold_read_range(database_engine(view__database(search->view)), &list,
                            search->table->schema, &range, search->arena, &rows, &count, e));
        TRY(search_page(search, partition, rows, count, e));
        more = count == PAGE_ROWS;
        if (more)
            range.min_seq = rows[count - 1].seq + 1;
    }
    return OK;
}

static Code search_cold(void *context, Partition partition, Error *e)
{
    NullSearch *search = (NullSearch *)context;
    if (search->found)
        return OK;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries = NULL;
    size_t count = 0;
    bool has_dead = true;
    TRY(view_segments(search->view, partition, search->after_seq + 1, UINT64_MAX, arena, &entries,
                      &count, e));
    TRY(view_has_dead(search->view, partition, &has_dead, e));
    for (size_t i = 0; i < count && !search->found; i++) {
        if (!may_hit(search, &entries[i]))
            continue;
        if (has_dead || entries[i].min_seq <= search->after_seq)
            TRY(search_segment(search, partition, &entries[i], e));
        else
            search->found = true; /* every row of the segment lives and is new */
    }
    return OK;
}

Code table_find_null(ReadView *view, const Table *table, int32_t column, uint64_t after_seq,
                     bool *out_found, Error *e)
{
    Database *db = view__database(view);
    NullSearch search = {.view = view,
                         .table = table,
                         .column = column,
                         .after_seq = after_seq,
                         .values = x_new_array(Value, table->schema->column_count),
                         .arena = arena_new()};
    Code code = table__each_partition(db, HOT_ROWS, table, search_hot, &search, e);
    if (code == OK && table->kind != TABLE_STREAM)
        code = table__each_partition(db, HOT_SEGMENTS, table, search_cold, &search, e);
    arena_free(search.arena);
    free(search.values);
    if (code == OK)
        *out_found = search.found;
    return code;
}
