/* SPDX-License-Identifier: Apache-2.0
 *
 * See rows.h.
 */
#include "rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "test.h"

typedef struct Scan {
    Rows *rows;
    uint64_t at;
} Scan;

static Code open_scan(void *context, void **out_scan, Error *e)
{
    (void)e;
    Scan *scan = x_new(Scan);
    scan->rows = context;
    atomic_fetch_add(&scan->rows->opened, 1);
    *out_scan = scan;
    return OK;
}

static void close_scan(void *pointer)
{
    Scan *scan = pointer;
    atomic_fetch_add(&scan->rows->closed, 1);
    free(scan);
}

static Code next_row(void *pointer, EngineRow *out_row, bool *out_end, Error *e)
{
    Scan *scan = pointer;
    Rows *rows = scan->rows;
    if (scan->at == rows->count && !rows->is_endless) {
        *out_end = true;
        return OK;
    }
    uint64_t n = ++scan->at;
    if (n == rows->fail_at)
        return fail(e, rows->fail_code, "row %" PRIu64 " is bad", n);
    int size = snprintf(rows->text, sizeof rows->text, "name %" PRIu64, n);
    rows->row[0] = value_integer(TYPE_BIGINT, (int64_t)n);
    rows->row[1] = n % 7 ? value_text(slice_of(rows->text, (size_t)size)) : value_null(TYPE_TEXT);
    rows->row[2] = value_double((double)n / 2);
    *out_row = (EngineRow){.values = rows->row, .seq = rows->first_seq + n - 1};
    return OK;
}

static Code are_alive(void *context, const uint64_t *seqs, uint32_t count, bool *out_alive,
                      Error *e)
{
    Rows *rows = context;
    atomic_fetch_add(&rows->asked_dead, 1);
    if (rows->fail_at == UINT64_MAX)
        return fail(e, rows->fail_code, "the list of the dead is bad");
    for (uint32_t i = 0; i < count; i++)
        out_alive[i] = !rows->dead_every || seqs[i] % rows->dead_every != 0;
    return OK;
}

static void are_alive_at(void *context, const uint32_t *files, const uint64_t *at, uint32_t count,
                         bool *out_alive)
{
    const Rows *rows = context;
    for (uint32_t i = 0; i < count; i++)
        out_alive[i] = !rows->dead_every || files[i] != 0 || at[i] % rows->dead_every != 0;
}

static void found_dead(void *context, uint64_t seq, uint64_t row)
{
    Rows *rows = context;
    CHECK(seq == row + rows->first_seq);
    atomic_fetch_add(&rows->found_dead, 1);
}

void rows_init(Rows *rows, uint64_t count)
{
    *rows = (Rows){.count = count, .first_seq = 1000};
    rows->columns[0] = (Column){.field_id = 1,
                                .name = SLICE("id"),
                                .type = TYPE_BIGINT,
                                .not_null = true,
                                .primary_key = true};
    rows->columns[1] = (Column){.field_id = 2, .name = SLICE("name"), .type = TYPE_TEXT};
    rows->columns[2] = (Column){.field_id = 3, .name = SLICE("score"), .type = TYPE_DOUBLE};
    rows->schema =
        (Schema){.version = 1, .column_count = 3, .next_field_id = 4, .columns = rows->columns};
}

EngineSource rows_source(Rows *rows)
{
    return (EngineSource){.schema = &rows->schema,
                          .context = rows,
                          .rows_estimated = rows->count,
                          .open = open_scan,
                          .next = next_row,
                          .close = close_scan,
                          .are_alive = are_alive,
                          .are_alive_at = are_alive_at,
                          .found_dead = found_dead};
}

const char *rows_path(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/storage/%s", test_folder(), name);
    return path;
}

static void print_trace(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "  DuckDB: %s\n", text);
}

EnginePool *rows_pool(uint32_t instances)
{
    char temp[512];
    snprintf(temp, sizeof temp, "%s/tmp", test_folder());
    mkdir(rows_path(""), 0700);
    EngineConfig config = {.instances = instances,
                           .threads_per_instance = 2,
                           .memory_limit_bytes = 64 * 1024 * 1024,
                           .temp_directory = temp,
                           .allowed_folder = rows_path("")};
    EnginePool *pool = NULL;
    CHECK_OK(engine_pool_new(&config, &pool, e));
    if (getenv("KALAM_TEST_TRACE"))
        engine_pool_trace(pool, print_trace, NULL);
    return pool;
}

static void print_sql(uint64_t handle, const char *sql, Buffer *out)
{
    const char *at;
    while ((at = strstr(sql, "%h"))) {
        buffer_add(out, sql, (size_t)(at - sql));
        buffer_printf(out, "%" PRIu64, handle);
        sql = at + 2;
    }
    buffer_add_text(out, sql);
}

static Code print_rows(EngineResult *result, Buffer *out, Error *e)
{
    for (bool first = true;; first = false) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end)
            return OK;
        if (!first)
            buffer_add_char(out, ';');
        for (uint32_t i = 0; i < engine_result_column_count(result); i++) {
            if (i)
                buffer_add_char(out, '|');
            if (row[i].is_null)
                buffer_add_text(out, "NULL");
            else
                value_print(&row[i], out);
        }
    }
}

Code rows_run(EnginePool *pool, Rows *rows, const char *sql, Slice *out_text, Error *e)
{
    static Buffer text;
    CLEANUP(engine_query_free_ptr) EngineQuery *query = engine_query_new(pool);
    if (rows) {
        EngineSource source = rows_source(rows);
        uint32_t ref = 0;
        TRY(engine_query_add_source(query, &source, &ref, e));
    }
    CLEANUP(buffer_done) Buffer printed = {0};
    print_sql(engine_query_handle(query), sql, &printed);
    EngineLimits limits = {.timeout_ms = 60000};
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    TRY(engine_run(query, buffer_slice(&printed), &limits, &result, e));
    buffer_clear(&text);
    TRY(print_rows(result, &text, e));
    if (out_text)
        *out_text = buffer_slice(&text);
    return OK;
}
