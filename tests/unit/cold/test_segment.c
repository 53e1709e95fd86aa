/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing, reading and sweeping segments.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/file.h"
#include "rows.h"
#include "test.h"

static const char *file_path(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/user/u/ns/t/%s", cold_root(), name);
    return path;
}

TEST("a segment reads back as it was written, with an entry that describes it")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    table_init(&table, 6);
    SegmentEntry *entry = NULL;
    CHECK_OK(cold_write(pool, &table, 0, arena, &entry, e));
    CHECK_INT(table.open_scans, 0);
    CHECK_INT(entry->min_seq, 100);
    CHECK_INT(entry->max_seq, 150);
    CHECK_INT(entry->row_count, 6);
    CHECK_INT(entry->schema_version, 1);
    CHECK_INT(entry->stats_count, 3);
    CHECK_INT(entry->stats[0].min.integer, 0);
    CHECK_INT(entry->stats[0].max.integer, 5);
    CHECK_INT(entry->stats[1].null_count, 1);
    CHECK_SLICE(entry->stats[1].max.bytes, SLICE("n5"));
    uint64_t batches[] = {0};
    SegmentList list = cold_list(batches, 1);
    CHECK_SLICE(cold_print(pool, &list, &table.schema),
                SLICE("100:0|n0|0.0;110:1|n1|0.25;120:2|n2|0.5;130:3|n3|0.75;140:4|NULL|1.0;"
                      "150:5|n5|1.25"));
    uint64_t bytes = 0;
    CHECK_OK(file_size(file_path("batch-0.parquet"), &bytes, e));
    CHECK_INT(entry->size_bytes, bytes);
    CHECK_OK(cold_segment_verify(cold_root(), SLICE("user/u/ns/t"), entry, e));
    CHECK(!file_exists(file_path("batch-0.parquet.tmp")));
    engine_pool_free(pool);
}

TEST("rows come in order of seq from many row groups and files, by range, limit and direction")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    SegmentEntry *entry = NULL;
    table_init(&table, 40000);
    CHECK_OK(cold_write(pool, &table, 0, arena, &entry, e));
    table.first_seq = 100 + 40000 * 10;
    CHECK_OK(cold_write(pool, &table, 1, arena, &entry, e));
    uint64_t batches[] = {0, 1};
    SegmentList list = cold_list(batches, 2);
    ColdRange range = {.min_seq = 0, .max_seq = UINT64_MAX};
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, e));
    CHECK_INT(count, 80000);
    for (uint32_t i = 0; i < count; i++)
        CHECK_INT(rows[i].seq, 100 + i * 10);
    range = (ColdRange){.min_seq = 400095, .max_seq = 400125, .descending = true};
    CHECK_OK(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, e));
    CHECK_INT(count, 3);
    CHECK_INT(rows[0].seq, 400120);
    CHECK_INT(rows[2].seq, 400100);
    range = (ColdRange){.min_seq = 400090, .max_seq = UINT64_MAX, .limit = 2};
    CHECK_OK(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, e));
    CHECK_INT(count, 2);
    CHECK_INT(rows[0].seq, 400090);
    CHECK_INT(rows[0].values[0].integer, 39999);
    CHECK_INT(rows[1].values[0].integer, 0);
    engine_pool_free(pool);
}

/* Three files of 20,000 rows, two row groups each; seqs 100, 110, … */
static void check_range(EnginePool *pool, const SegmentList *list, const Schema *schema,
                        const ColdRange *range)
{
    enum { FIRST = 100, STEP = 10, LAST = 100 + 59999 * 10 };
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t low = range->min_seq < FIRST ? FIRST : (range->min_seq + STEP - 1) / STEP * STEP;
    uint64_t high = range->max_seq > LAST ? LAST : range->max_seq / STEP * STEP;
    uint64_t want = low <= high && range->max_seq >= FIRST ? (high - low) / STEP + 1 : 0;
    if (range->limit && want > range->limit)
        want = range->limit;
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_range(pool, list, schema, range, arena, &rows, &count, e));
    CHECK_INT(count, want);
    for (uint32_t i = 0; i < count; i++)
        CHECK_INT(rows[i].seq, range->descending ? high - i * STEP : low + i * STEP);
}

TEST("any range, limit and direction gives what a sorted list would give")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    SegmentEntry *entry = NULL;
    uint64_t batches[] = {7, 2, 9}; /* batch numbers need not ascend with the seqs */
    table_init(&table, 20000);
    for (uint64_t i = 0; i < 3; i++) {
        table.first_seq = 100 + i * 200000;
        CHECK_OK(cold_write(pool, &table, batches[i], arena, &entry, e));
    }
    SegmentList list = cold_list(batches, 3);
    for (int i = 0; i < 60; i++) {
        ColdRange range = {.descending = test_random() % 2};
        range.limit = test_random() % 3 ? 1 + test_random() % 40000 : test_random() % 10;
        range.min_seq = test_random() % 2 ? test_random() % 700000 : 0;
        range.max_seq = test_random() % 2 ? range.min_seq + test_random() % 400000 : UINT64_MAX;
        check_range(pool, &list, &table.schema, &range);
    }
    engine_pool_free(pool);
}

TEST("single rows are found by seq, and one that is not there is left out")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    SegmentEntry *entry = NULL;
    table_init(&table, 50000);
    CHECK_OK(cold_write(pool, &table, 3, arena, &entry, e));
    uint64_t batches[] = {3}, seqs[] = {400000, 100, 101};
    SegmentList list = cold_list(batches, 1);
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_rows(pool, &list, &table.schema, seqs, 1, arena, &rows, &count, e));
    CHECK_INT(count, 1);
    CHECK_INT(rows[0].seq, 400000);
    CHECK_INT(rows[0].values[0].integer, 39990);
    CHECK_OK(cold_read_rows(pool, &list, &table.schema, seqs, 3, arena, &rows, &count, e));
    CHECK_INT(count, 2);
    CHECK_OK(cold_read_rows(pool, &list, &table.schema, seqs + 2, 1, arena, &rows, &count, e));
    CHECK_INT(count, 0);
    CHECK_OK(cold_read_rows(pool, &list, &table.schema, seqs, 0, arena, &rows, &count, e));
    CHECK_INT(count, 0);
    engine_pool_free(pool);
}

/* ---- Types ---- */

static void make_typed(uint64_t row, Value *v)
{
    v[0] = value_boolean(row % 2);
    v[1] = value_integer(TYPE_SMALLINT, row ? INT16_MIN : INT16_MAX);
    v[2] = value_integer(TYPE_INT, row ? INT32_MIN : INT32_MAX);
    v[3] = value_integer(TYPE_BIGINT, row ? INT64_MIN : INT64_MAX);
    v[4] = value_double(row ? -0.1 : INFINITY);
    v[5] = (Value){.type = TYPE_FLOAT, .real = (double)(row ? 1.1f : 3.4028235e38f)};
    v[6] = value_text(row ? SLICE("a\0b \xF0\x9F\x98\x80 'quoted'") : SLICE(""));
    v[7] = value_integer(TYPE_TIMESTAMP, row ? -1 : 1795233600123456);
    v[8] = (Value){.type = TYPE_JSON, .bytes = SLICE("{\"a\": [1]}")};
    v[9] = (Value){.type = TYPE_BYTES, .bytes = SLICE("\0\xFF\x80")};
    v[10] = (Value){.type = TYPE_UUID, .uuid = {row ? 0xFF : 0x01, [15] = 0x80}};
    if (row == 2) {
        for (int i = 0; i < 11; i++)
            v[i] = value_null(v[i].type);
    }
}

TEST("every type survives the way through a file, NULLs too")
{
    static const Type types[] = {TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,  TYPE_BIGINT,
                                 TYPE_DOUBLE,  TYPE_FLOAT,    TYPE_TEXT, TYPE_TIMESTAMP,
                                 TYPE_JSON,    TYPE_BYTES,    TYPE_UUID};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table = {.row_count = 3, .first_seq = 1, .seq_step = 1, .make = make_typed};
    for (uint32_t i = 0; i < 11; i++) {
        char *name = arena_printf(arena, "column \"%u\"", i);
        table_add_column(&table, 10 + i, name, types[i]);
    }
    SegmentEntry *entry = NULL;
    CHECK_OK(cold_write(pool, &table, 0, arena, &entry, e));
    uint64_t batches[] = {0};
    SegmentList list = cold_list(batches, 1);
    ColdRange range = {.max_seq = UINT64_MAX};
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, e));
    CHECK_INT(count, 3);
    for (uint32_t r = 0; r < 3; r++) {
        Value want[TABLE_COLUMNS_MAX];
        make_typed(r, want);
        for (uint32_t i = 0; i < 11; i++) {
            if (!value_identical(&rows[r].values[i], &want[i]))
                test_failed(__FILE__, __LINE__, "row %u, %s differs", r, type_info(types[i])->name);
        }
    }
    engine_pool_free(pool);
}

/* ---- Changed schemas ---- */

TEST("renamed, added, dropped, re-added and widened columns read right from old files")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable old, now = {.schema.version = 2};
    SegmentEntry *entry = NULL;
    table_init(&old, 2);
    old.columns[0].type = TYPE_BIGINT;
    CHECK_OK(cold_write(pool, &old, 0, arena, &entry, e));
    /* name -> title, score dropped, a new column called `score`, defaults of each kind. */
    table_add_column(&now, 2, "title", TYPE_TEXT);
    table_add_column(&now, 1, "id", TYPE_DOUBLE);
    table_add_column(&now, 4, "score", TYPE_TEXT);
    table_add_column(&now, 5, "count", TYPE_INT);
    table_add_column(&now, 6, "bytes", TYPE_BYTES);
    table_add_column(&now, 7, "at", TYPE_TIMESTAMP);
    table_add_column(&now, 8, "real", TYPE_DOUBLE);
    table_add_column(&now, 9, "made", TYPE_BIGINT);
    Value defaults[] = {{.type = TYPE_TEXT, .bytes = SLICE("it's \\x41 \0 {'a':1}")},
                        value_integer(TYPE_INT, -42),
                        {.type = TYPE_BYTES, .bytes = SLICE("\0'\\\xFF")},
                        value_integer(TYPE_TIMESTAMP, 1795233600123456),
                        value_double(0.1)};
    for (int i = 0; i < 5; i++) {
        now.columns[2 + i].has_fill = true;
        now.columns[2 + i].fill = defaults[i];
    }
    now.columns[7].default_kind = DEFAULT_SNOWFLAKE_ID; /* no fill: old rows have NULL */
    uint64_t batches[] = {0};
    SegmentList list = cold_list(batches, 1);
    ColdRange range = {.max_seq = UINT64_MAX};
    ColdRow *rows = NULL;
    uint32_t count = 0;
    CHECK_OK(cold_read_range(pool, &list, &now.schema, &range, arena, &rows, &count, e));
    CHECK_INT(count, 2);
    CHECK_SLICE(rows[1].values[0].bytes, SLICE("n1"));
    CHECK(rows[1].values[1].type == TYPE_DOUBLE && rows[1].values[1].real == 1.0);
    for (int i = 0; i < 5; i++)
        CHECK(value_identical(&rows[0].values[2 + i], &defaults[i]));
    CHECK(rows[0].values[7].is_null);
    engine_pool_free(pool);
}

TEST("files of different schemas read as one table")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable old, now;
    SegmentEntry *entry = NULL;
    table_init(&old, 2);
    old.schema.column_count = 1;
    CHECK_OK(cold_write(pool, &old, 0, arena, &entry, e));
    table_init(&now, 2);
    now.first_seq = 200;
    now.columns[1].name = SLICE("title");
    CHECK_OK(cold_write(pool, &now, 1, arena, &entry, e));
    now.columns[2].has_fill = true;
    now.columns[2].fill = value_double(9);
    uint64_t batches[] = {0, 1};
    SegmentList list = cold_list(batches, 2);
    CHECK_SLICE(cold_print(pool, &list, &now.schema),
                SLICE("100:0|NULL|9.0;110:1|NULL|9.0;200:0|n0|0.0;210:1|n1|0.25"));
    engine_pool_free(pool);
}

/* ---- Failures ---- */

TEST("a batch number in use is refused and the file of that number stays as it is")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    SegmentEntry *first = NULL, *second = NULL;
    table_init(&table, 3);
    CHECK_OK(cold_write(pool, &table, 5, arena, &first, e));
    CHECK_CODE(cold_write(pool, &table, 5, arena, &second, e), E_ALREADY_EXISTS);
    CHECK(second == NULL);
    CHECK_OK(cold_segment_verify(cold_root(), SLICE("user/u/ns/t"), first, e));
    engine_pool_free(pool);
}

TEST("no file is left when there are no rows, the source fails, or rows break a rule")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    static const Code want[] = {E_INVALID_OPERATION, E_CORRUPT, E_INTERNAL, E_INTERNAL};
    for (int i = 0; i < 4; i++) {
        TestTable table;
        SegmentEntry *entry = NULL;
        table_init(&table, i == 0 ? 0 : 5000);
        table.fail_at = i == 1 ? 3000 : 0;
        table.breaks_order = i == 2;
        table.has_tombstone = i == 3;
        CHECK_CODE(cold_write(pool, &table, 0, arena, &entry, e), want[i]);
        CHECK(!file_exists(file_path("batch-0.parquet")));
        CHECK(!file_exists(file_path("batch-0.parquet.tmp")));
        CHECK_INT(table.open_scans, 0);
    }
    engine_pool_free(pool);
}

static const char *failing;

static int fail_operation(const char *operation, const char *path)
{
    (void)path;
    return failing && strcmp(operation, failing) == 0 ? EIO : 0;
}

TEST("a disk that fails to sync or rename fails the write and leaves no segment")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    static const char *const operations[] = {"fsync", "rename"};
    for (int i = 0; i < 2; i++) {
        TestTable table;
        SegmentEntry *entry = NULL;
        table_init(&table, 10);
        failing = NULL;
        CHECK_OK(file_make_folders(file_path(""), 0700, e));
        file_set_fault(fail_operation);
        failing = operations[i];
        Error error = {0};
        Code code = cold_write(pool, &table, (uint64_t)i, arena, &entry, &error);
        failing = NULL;
        file_set_fault(NULL);
        CHECK_INT(code, E_IO);
        CHECK(entry == NULL);
        CHECK(!file_exists(file_path("batch-0.parquet.tmp")));
        CHECK(!file_exists(file_path("batch-1.parquet.tmp")));
    }
    engine_pool_free(pool);
}

static void damage(const char *path, long at)
{
    int file = open(path, O_RDWR);
    char byte = 0;
    CHECK(file >= 0);
    CHECK_INT(pread(file, &byte, 1, at), 1);
    byte ^= 0x55;
    CHECK_INT(pwrite(file, &byte, 1, at), 1);
    close(file);
}

TEST("a damaged, cut or missing segment is named, and its checksum finds every wrong byte")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table;
    SegmentEntry *entry = NULL;
    table_init(&table, 1000);
    CHECK_OK(cold_write(pool, &table, 8, arena, &entry, e));
    uint64_t batches[] = {8};
    SegmentList list = cold_list(batches, 1);
    ColdRange range = {.max_seq = UINT64_MAX};
    ColdRow *rows = NULL;
    uint32_t count = 0;
    const char *path = file_path("batch-8.parquet");
    for (uint64_t at = 0; at < entry->size_bytes; at += 1 + entry->size_bytes / 50) {
        damage(path, (long)at);
        CHECK_CODE(cold_segment_verify(cold_root(), SLICE("user/u/ns/t"), entry, e), E_CORRUPT);
        damage(path, (long)at);
    }
    CHECK_OK(cold_segment_verify(cold_root(), SLICE("user/u/ns/t"), entry, e));
    damage(path, (long)entry->size_bytes - 1);
    Error error = {0};
    CHECK_INT(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, &error),
              E_CORRUPT);
    CHECK(strstr(error.text, "batch-8.parquet"));
    CHECK(!strstr(error.text, cold_root()));
    CHECK_INT(truncate(path, 100), 0);
    CHECK_CODE(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, e),
               E_CORRUPT);
    CHECK_INT(unlink(path), 0);
    CHECK_INT(cold_read_range(pool, &list, &table.schema, &range, arena, &rows, &count, &error),
              E_IO);
    CHECK(strstr(error.text, "batch-8.parquet"));
    CHECK_CODE(cold_segment_verify(cold_root(), SLICE("user/u/ns/t"), entry, e), E_NOT_FOUND);
    engine_pool_free(pool);
}

TEST("a file that was replaced under its name is not read from a cache")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    for (uint64_t round = 0; round < 3; round++) {
        TestTable table;
        SegmentEntry *entry = NULL;
        uint64_t batches[] = {0};
        SegmentList list = cold_list(batches, 1);
        table_init(&table, 1);
        table.first_seq = 100 + round;
        CHECK_OK(cold_write(pool, &table, 0, arena, &entry, e));
        CLEANUP(buffer_done) Buffer want = {0};
        buffer_printf(&want, "%d:0|n0|0.0", 100 + (int)round);
        CHECK_SLICE(cold_print(pool, &list, &table.schema), buffer_slice(&want));
        CHECK_OK(cold_segment_remove(cold_root(), SLICE("user/u/ns/t"), 0, e));
    }
    engine_pool_free(pool);
}

TEST("field ids and types of a file are those of docs/formats/segment.md")
{
    static const Type types[] = {TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,  TYPE_BIGINT,
                                 TYPE_DOUBLE,  TYPE_FLOAT,    TYPE_TEXT, TYPE_TIMESTAMP,
                                 TYPE_JSON,    TYPE_BYTES,    TYPE_UUID};
    static const char want[] =
        "10 BOOLEAN -;11 INT32 INT_16;12 INT32 INT_32;13 INT64 INT_64;14 DOUBLE -;15 FLOAT -;"
        "16 BYTE_ARRAY UTF8;17 INT64 TIMESTAMP_MICROS;18 BYTE_ARRAY UTF8;19 BYTE_ARRAY -;"
        "20 FIXED_LEN_BYTE_ARRAY -;2147000001 INT64 INT_64;2147000002 BOOLEAN -";
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EnginePool *pool = cold_pool();
    TestTable table = {.row_count = 3, .first_seq = 1, .seq_step = 1, .make = make_typed};
    for (uint32_t i = 0; i < 11; i++)
        table_add_column(&table, 10 + i, arena_printf(arena, "c%u", i), types[i]);
    SegmentEntry *entry = NULL;
    CHECK_OK(cold_write(pool, &table, 0, arena, &entry, e));
    EngineQuery *query = engine_query_new(pool);
    EngineResult *result = NULL;
    EngineLimits limits = {0};
    char *sql = arena_printf(arena,
                             "SELECT string_agg(concat_ws(' ', field_id, type, "
                             "coalesce(converted_type, '-')), ';') FROM parquet_schema('%s') "
                             "WHERE field_id IS NOT NULL",
                             file_path("batch-0.parquet"));
    CHECK_OK(engine_run(query, slice_of_text(sql), &limits, &result, e));
    const Value *row = NULL;
    bool end = true;
    CHECK_OK(engine_result_next(result, &row, &end, e));
    CHECK_SLICE(row[0].bytes, SLICE(want));
    engine_result_free(result);
    engine_query_free(query);
    engine_pool_free(pool);
}

/* ---- Sweeping ---- */

static bool is_two(void *context, uint64_t batch)
{
    ++*(int *)context;
    return batch == 2;
}

static Code count_folder(void *context, Slice folder, Error *e)
{
    (void)e;
    buffer_add_slice(context, folder);
    buffer_add_char(context, ';');
    return OK;
}

TEST("the sweep removes temporary files and unlisted batches, and nothing it does not know")
{
    static const char *const names[] = {
        "batch-1.parquet",     "batch-2.parquet",     "batch-02.parquet",
        "batch-3.parquet.tmp", "manifest.json",       "manifest.json.tmp",
        "notes.txt",           "batch-1.parquet.bak", "batch-18446744073709551615.parquet"};
    static const bool stays[] = {false, true, true, false, true, false, true, true, false};
    int asked = 0;
    uint32_t removed = 0;
    CHECK_OK(cold_sweep(cold_root(), SLICE("user/u/ns/t"), is_two, &asked, &removed, e));
    CHECK_INT(removed, 0); /* no folder yet */
    CHECK_OK(file_make_folders(file_path(""), 0700, e));
    for (int i = 0; i < 9; i++)
        CHECK_OK(file_write(file_path(names[i]), SLICE("x"), 0600, e));
    CHECK_OK(cold_sweep(cold_root(), SLICE("user/u/ns/t"), is_two, &asked, &removed, e));
    CHECK_INT(removed, 4);
    CHECK_INT(asked, 3);
    for (int i = 0; i < 9; i++)
        CHECK(file_exists(file_path(names[i])) == stays[i]);
    CLEANUP(buffer_done) Buffer folders = {0};
    CHECK_OK(cold_each_folder(cold_root(), count_folder, &folders, e));
    CHECK_SLICE(buffer_slice(&folders), SLICE("user/u/ns/t;"));
    CHECK_OK(cold_segment_remove(cold_root(), SLICE("user/u/ns/t"), 2, e));
    CHECK_OK(cold_segment_remove(cold_root(), SLICE("user/u/ns/t"), 2, e));
    CHECK(!file_exists(file_path("batch-2.parquet")));
}
