/* SPDX-License-Identifier: Apache-2.0
 *
 * See rows.h.
 */
#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "test.h"

typedef struct Scan {
    TestTable *table;
    uint64_t at;
} Scan;

static Code open_scan(void *context, void **out_scan, Error *e)
{
    (void)e;
    static Scan scan; /* a flush reads once */
    TestTable *table = context;
    scan = (Scan){table, 0};
    table->open_scans++;
    *out_scan = &scan;
    return OK;
}

static Code next_row(void *pointer, EngineRow *out_row, bool *out_end, Error *e)
{
    Scan *scan = pointer;
    TestTable *table = scan->table;
    if (scan->at == table->row_count) {
        *out_end = true;
        return OK;
    }
    uint64_t row = scan->at++;
    bool is_last = scan->at == table->row_count;
    if (scan->at == table->fail_at)
        return fail(e, E_CORRUPT, "row %" PRIu64 " is bad", scan->at);
    table->make(row, table->values);
    *out_row = (EngineRow){.values = table->values,
                           .seq = table->first_seq + row * table->seq_step,
                           .deleted = table->has_tombstone && is_last};
    if (table->breaks_order && is_last)
        out_row->seq = table->first_seq;
    return OK;
}

static void close_scan(void *pointer)
{
    ((Scan *)pointer)->table->open_scans--;
}

EngineSource table_source(TestTable *table)
{
    return (EngineSource){.schema = &table->schema,
                          .context = table,
                          .open = open_scan,
                          .next = next_row,
                          .close = close_scan};
}

void table_add_column(TestTable *table, uint32_t field_id, const char *name, Type type)
{
    table->schema.columns = table->columns;
    table->columns[table->schema.column_count++] =
        (Column){.field_id = field_id, .name = slice_of_text(name), .type = type};
}

static void make_row(uint64_t row, Value *out_values)
{
    static char name[32];
    int size = snprintf(name, sizeof name, "n%" PRIu64, row);
    out_values[0] = value_integer(TYPE_BIGINT, (int64_t)row);
    out_values[1] = row % 5 == 4 ? value_null(TYPE_TEXT) : value_text(slice_of(name, (size_t)size));
    out_values[2] = value_double((double)row / 4);
}

void table_init(TestTable *table, uint64_t rows)
{
    *table = (TestTable){.row_count = rows, .first_seq = 100, .seq_step = 10, .make = make_row};
    table->schema.version = 1;
    table_add_column(table, 1, "id", TYPE_BIGINT);
    table_add_column(table, 2, "name", TYPE_TEXT);
    table_add_column(table, 3, "score", TYPE_DOUBLE);
}

const char *cold_root(void)
{
    static char root[512];
    snprintf(root, sizeof root, "%s/storage", test_folder());
    return root;
}

EnginePool *cold_pool(void)
{
    char temp[512];
    snprintf(temp, sizeof temp, "%s/tmp", test_folder());
    mkdir(cold_root(), 0700);
    EngineConfig config = {.instances = 1,
                           .threads_per_instance = 2,
                           .memory_limit_bytes = 256 << 20,
                           .temp_directory = temp,
                           .allowed_folder = cold_root()};
    EnginePool *pool = NULL;
    CHECK_OK(engine_pool_new(&config, &pool, e));
    return pool;
}

Code cold_write(EnginePool *pool, TestTable *table, uint64_t batch, Arena *arena,
                SegmentEntry **out_entry, Error *e)
{
    EngineSource source = table_source(table);
    SegmentWrite write = {.pool = pool,
                          .storage_root = cold_root(),
                          .folder = "user/u/ns/t",
                          .batch = batch,
                          .now_ms = 1700000000000,
                          .rows = &source};
    return cold_segment_write(&write, arena, out_entry, e);
}

SegmentList cold_list(const uint64_t *batches, uint32_t count)
{
    return (SegmentList){cold_root(), SLICE("user/u/ns/t"), batches, count};
}

Slice cold_print(EnginePool *pool, const SegmentList *list, const Schema *schema)
{
    static Buffer text;
    Arena *arena = arena_new();
    ColdRange range = {.max_seq = UINT64_MAX, .wait_ms = 1000};
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_range(pool, list, schema, &range, arena, &rows, &count, e));
    buffer_clear(&text);
    for (uint32_t i = 0; i < count; i++) {
        buffer_printf(&text, "%s%" PRIu64 ":", i ? ";" : "", rows[i].seq);
        for (uint32_t c = 0; c < schema->column_count; c++) {
            buffer_add_text(&text, c ? "|" : "");
            if (rows[i].values[c].is_null)
                buffer_add_text(&text, "NULL");
            else
                value_print(&rows[i].values[c], &text);
        }
    }
    arena_free(arena);
    return buffer_slice(&text);
}
