/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.json (docs/formats/manifest.md): what a folder holds, for people and tools. The server
 * never reads it: the truth is the segment entries, and the file is rewritten from them.
 */
#include <inttypes.h>
#include <math.h>

#include "cold/cold_int.h"
#include "data/json.h"
#include "os/file.h"

static Code add_bound(Buffer *out, const SegmentStats *stats, const Value *bound, Error *e)
{
    bool is_real = bound->type == TYPE_DOUBLE || bound->type == TYPE_FLOAT;
    if (!stats->has_bounds || (is_real && !isfinite(bound->real))) {
        buffer_add_text(out, "null");
        return OK;
    }
    if (type_is_integer(bound->type)) { /* a number here; on the wire it is a string */
        buffer_printf(out, "%" PRId64, bound->integer);
        return OK;
    }
    return json_add_value(out, bound, e);
}

static Code add_stats(Buffer *out, const SegmentEntry *entry, Error *e)
{
    buffer_add_text(out, "      \"column_stats\": {");
    for (uint32_t i = 0; i < entry->stats_count; i++) {
        const SegmentStats *stats = &entry->stats[i];
        buffer_printf(out, "%s\n        \"%u\": { \"min\": ", i ? "," : "", stats->field_id);
        TRY(add_bound(out, stats, &stats->min, e));
        buffer_add_text(out, ", \"max\": ");
        TRY(add_bound(out, stats, &stats->max, e));
        buffer_printf(out, ", \"null_count\": %" PRIu64 " }", stats->null_count);
    }
    buffer_add_text(out, entry->stats_count ? "\n      },\n" : "},\n");
    return OK;
}

static Code add_segment(Buffer *out, const SegmentEntry *entry, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0};
    cold_segment_name(entry->batch, &name);
    buffer_add_text(out, "    {\n      \"id\": ");
    json_add_string(out, buffer_slice(&name));
    buffer_add_text(out, ",\n      \"path\": ");
    json_add_string(out, buffer_slice(&name));
    buffer_printf(out,
                  ",\n      \"min_seq\": %" PRIu64 ",\n      \"max_seq\": %" PRIu64
                  ",\n      \"row_count\": %" PRIu64 ",\n      \"size_bytes\": %" PRIu64
                  ",\n      \"created_at\": %" PRId64 ",\n",
                  entry->min_seq, entry->max_seq, entry->row_count, entry->size_bytes,
                  entry->created_at_ms);
    TRY(add_stats(out, entry, e));
    buffer_printf(out,
                  "      \"schema_version\": %u,\n      \"status\": \"committed\",\n"
                  "      \"crc32c\": \"%08x\"\n    }",
                  entry->schema_version, entry->crc);
    return OK;
}

static void add_head(Buffer *out, const ManifestInfo *info)
{
    const ColdPlace *place = &info->place;
    buffer_add_text(out, "{\n  \"table_id\": {\n    \"namespace_id\": ");
    json_add_string(out, place->namespace_name);
    buffer_add_text(out, ",\n    \"table_name\": ");
    json_add_string(out, place->table_name);
    buffer_add_text(out, "\n  },\n  \"user_id\": ");
    if (place->is_shared)
        buffer_add_text(out, "null");
    else
        json_add_string(out, place->user_id);
    buffer_printf(out,
                  ",\n  \"version\": %" PRIu64 ",\n  \"created_at\": %" PRId64
                  ",\n  \"updated_at\": %" PRId64 ",\n",
                  info->version, info->created_at_ms, info->updated_at_ms);
}

/* Not in the original's manifest: which column a field id is. */
static void add_columns(Buffer *out, const Schema *schema)
{
    buffer_add_text(out, "  \"columns\": {");
    for (uint32_t i = 0; schema && i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        buffer_printf(out, "%s\n    \"%u\": { \"name\": ", i ? "," : "", column->field_id);
        json_add_string(out, column->name);
        buffer_add_text(out, ", \"type\": ");
        json_add_text(out, type_info(column->type)->name);
        buffer_add_text(out, " }");
    }
    buffer_add_text(out, schema && schema->column_count ? "\n  },\n" : "},\n");
}

Code cold_manifest_print(const ManifestInfo *info, const SegmentEntry *const *entries,
                         uint32_t count, Buffer *out, Error *e)
{
    CLEANUP(buffer_done) Buffer text = {0};
    uint64_t last_batch = 0;
    add_head(&text, info);
    buffer_add_text(&text, "  \"segments\": [");
    for (uint32_t i = 0; i < count; i++) {
        buffer_add_text(&text, i ? ",\n" : "\n");
        TRY(add_segment(&text, entries[i], e));
        if (entries[i]->batch > last_batch)
            last_batch = entries[i]->batch;
    }
    buffer_add_text(&text, count ? "\n  ],\n" : "],\n");
    add_columns(&text, info->schema);
    buffer_printf(&text,
                  "  \"last_sequence_number\": %" PRIu64 ",\n  \"files\": null,\n"
                  "  \"vector_indexes\": {}\n}\n",
                  last_batch);
    buffer_add_slice(out, buffer_slice(&text));
    return OK;
}

Code cold_manifest_write(const char *storage_root, Slice folder, const ManifestInfo *info,
                         const SegmentEntry *const *entries, uint32_t count, Error *e)
{
    CLEANUP(buffer_done) Buffer text = {0}, path = {0};
    TRY(cold__path(storage_root, folder, (Slice){0}, &path, e));
    if (count == 0 && !file_exists(path.data)) /* nothing to tell: its user may have been erased */
        return OK;
    if (count)
        TRY(file_make_folders(path.data, 0700, e));
    TRY(cold__path(storage_root, folder, SLICE("manifest.json"), &path, e));
    TRY(cold_manifest_print(info, entries, count, &text, e));
    return file_write(path.data, buffer_slice(&text), 0600, e);
}
