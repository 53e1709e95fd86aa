/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one segment. Steps, after any of which the power may go:
 *
 *   1. rows -> batch-<n>.parquet.tmp (by DuckDB, which syncs nothing)
 *   2. sync the file, read it back for its checksum
 *   3. rename it to batch-<n>.parquet, sync the folder
 *
 * Only after 3 may the caller commit the entry; a file without an entry is swept at the next start.
 * The rows pass through a scan of ours that keeps the statistics and checks their order.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cold/cold_int.h"
#include "os/file.h"

typedef struct Pass { /* the source as DuckDB sees it: that of the caller, watched */
    const EngineSource *rows;
    void *scan;
    uint64_t row_count, min_seq, max_seq;
    uint32_t column_count;
    StatsBuilder *stats;
} Pass;

static Code pass_open(void *context, void **out_scan, Error *e)
{
    Pass *pass = context;
    must(!pass->scan); /* COPY reads its rows once */
    TRY(pass->rows->open(pass->rows->context, &pass->scan, e));
    *out_scan = pass;
    return OK;
}

static Code pass_next(void *scan, EngineRow *out_row, bool *out_end, Error *e)
{
    Pass *pass = scan;
    EngineRow row = {0};
    bool end = false;
    TRY(pass->rows->next(pass->scan, &row, &end, e));
    if (end) {
        *out_end = true;
        return OK;
    }
    if (row.deleted)
        return fail(e, E_INTERNAL, "a tombstone must not go into a segment");
    if (pass->row_count > 0 && row.seq <= pass->max_seq)
        return fail(e, E_INTERNAL, "the rows of a segment are out of order at seq %" PRIu64,
                    row.seq);
    if (pass->row_count++ == 0)
        pass->min_seq = row.seq;
    pass->max_seq = row.seq;
    for (uint32_t i = 0; i < pass->column_count; i++)
        cold__stats_add(&pass->stats[i], &row.values[i]);
    *out_row = row;
    return OK;
}

static void pass_close(void *scan)
{
    Pass *pass = scan;
    if (pass->rows->close)
        pass->rows->close(pass->scan);
    pass->scan = NULL;
}

static Code write_rows(const SegmentWrite *write, Pass *pass, const char *path, Error *e)
{
    const Schema *schema = write->rows->schema;
    pass->rows = write->rows;
    pass->column_count = schema->column_count;
    pass->stats = x_new_array(StatsBuilder, schema->column_count + 1);
    for (uint32_t i = 0; i < schema->column_count; i++)
        cold__stats_init(&pass->stats[i], &schema->columns[i]);
    EngineSource source = {.schema = schema,
                           .context = pass,
                           .open = pass_open,
                           .next = pass_next,
                           .close = pass_close};
    EngineWriteOptions options = {.wait_ms = write->wait_ms};
    uint64_t written = 0;
    TRY(engine_write_parquet(write->pool, &source, path, &options, &written, e));
    if (written != pass->row_count)
        return fail(e, E_INTERNAL, "DuckDB wrote %" PRIu64 " rows of %" PRIu64, written,
                    pass->row_count);
    if (written == 0)
        return fail(e, E_INVALID_OPERATION, "a segment needs at least one row");
    return OK;
}

static int by_field_id(const void *a, const void *b)
{
    const SegmentStats *x = a, *y = b;
    return (x->field_id > y->field_id) - (x->field_id < y->field_id);
}

static SegmentEntry *make_entry(const SegmentWrite *write, const Pass *pass, Arena *arena)
{
    SegmentEntry *entry = arena_new_of(arena, SegmentEntry);
    entry->batch = write->batch;
    entry->min_seq = pass->min_seq;
    entry->max_seq = pass->max_seq;
    entry->row_count = pass->row_count;
    entry->created_at_ms = write->now_ms;
    entry->schema_version = write->rows->schema->version;
    entry->stats_count = pass->column_count;
    entry->stats = arena_new_array(arena, SegmentStats, pass->column_count + 1);
    for (uint32_t i = 0; i < pass->column_count; i++)
        entry->stats[i] = cold__stats_finish(&pass->stats[i], arena);
    qsort(entry->stats, entry->stats_count, sizeof *entry->stats, by_field_id);
    return entry;
}

typedef struct FileFigures { /* of the synced file */
    uint32_t crc;
    uint64_t bytes, stamp;
} FileFigures;

/* Steps 1 to 3 with both paths known. */
static Code write_file(const SegmentWrite *write, const char *temporary, const char *final,
                       Pass *pass, FileFigures *out, Error *e)
{
    TRY(write_rows(write, pass, temporary, e));
    TRY(file_sync(temporary, e));
    out->stamp = cold__stamp(temporary); /* a rename leaves it as it is */
    TRY(cold_file_checksum(temporary, &out->crc, &out->bytes, e));
    return file_rename(temporary, final, e);
}

static Code write_segment(const SegmentWrite *write, Pass *pass, Arena *arena,
                          SegmentEntry **out_entry, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0}, folder = {0}, final = {0}, temporary = {0};
    Slice relative = slice_of_text(write->folder);
    cold_segment_name(write->batch, &name);
    TRY(cold__path(write->storage_root, relative, (Slice){0}, &folder, e));
    TRY(cold__path(write->storage_root, relative, buffer_slice(&name), &final, e));
    buffer_printf(&temporary, "%s.tmp%c", final.data, 0);
    TRY(file_make_folders(folder.data, 0700, e));
    if (file_exists(final.data))
        return fail(e, E_ALREADY_EXISTS, "%s exists: its number was used before", final.data);
    FileFigures figures = {0};
    Code code = write_file(write, temporary.data, final.data, pass, &figures, e);
    if (code != OK) {
        Error ignored = {0}; /* what cannot be removed is swept at the next start */
        (void)!file_remove(temporary.data, &ignored);
        return code;
    }
    *out_entry = make_entry(write, pass, arena);
    (*out_entry)->crc = figures.crc;
    (*out_entry)->size_bytes = figures.bytes;
    (*out_entry)->stamp = figures.stamp;
    return OK;
}

Code cold_segment_write(const SegmentWrite *write, Arena *arena, SegmentEntry **out_entry, Error *e)
{
    Pass pass = {0};
    Code code = write_segment(write, &pass, arena, out_entry, e);
    free(pass.stats);
    return code;
}
