/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec of segment entries (docs/formats/segment.md; golden bytes:
 * tests/unit/cold/test_entry.c).
 *
 *   u8      format, 1
 *   varint  batch, min_seq, max_seq, row_count, size_bytes, created_at_ms, schema_version
 *   u32     CRC-32C of the file
 *   varint  number of statistics, then for each, ascending by field id:
 *             varint field id, varint nulls, u8 1 with bounds or 0 without;
 *             with bounds: u8 type, min, max
 *   u32     CRC-32C of all bytes before
 *
 * A bound is u8 for BOOLEAN, u64 for integers and TIMESTAMP (two's complement), u64 for FLOAT and
 * DOUBLE (IEEE bits of the double), varint size and bytes for TEXT and BYTES, 16 bytes for UUID.
 */
#include <math.h>
#include <string.h>

#include "cold/cold_int.h"
#include "data/row.h"

enum { FORMAT = 1 };

/* ---- Encode ---- */

static void add_bound(const Value *v, Buffer *out)
{
    uint64_t bits = 0;
    switch (v->type) {
    case TYPE_BOOLEAN:
        buffer_add_u8(out, v->boolean);
        return;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        buffer_add_u64(out, (uint64_t)v->integer);
        return;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        memcpy(&bits, &v->real, sizeof bits);
        buffer_add_u64(out, bits);
        return;
    case TYPE_TEXT:
    case TYPE_BYTES:
        must(v->bytes.size <= SEGMENT_STATS_BYTES_MAX);
        buffer_add_sized(out, v->bytes);
        return;
    case TYPE_UUID:
        buffer_add(out, v->uuid, sizeof v->uuid);
        return;
    case TYPE_JSON:
    case TYPE_NULL:
        break;
    }
    must(!"a bound of a type without order");
}

static void add_stats(const SegmentStats *stats, Buffer *out)
{
    buffer_add_varint(out, stats->field_id);
    buffer_add_varint(out, stats->null_count);
    buffer_add_u8(out, stats->has_bounds);
    if (!stats->has_bounds)
        return;
    must(stats->min.type == stats->max.type);
    buffer_add_u8(out, (uint8_t)stats->min.type);
    add_bound(&stats->min, out);
    add_bound(&stats->max, out);
}

void segment_encode(const SegmentEntry *entry, Buffer *out)
{
    size_t start = out->size;
    buffer_add_u8(out, FORMAT);
    buffer_add_varint(out, entry->batch);
    buffer_add_varint(out, entry->min_seq);
    buffer_add_varint(out, entry->max_seq);
    buffer_add_varint(out, entry->row_count);
    buffer_add_varint(out, entry->size_bytes);
    buffer_add_varint(out, (uint64_t)entry->created_at_ms);
    buffer_add_varint(out, entry->schema_version);
    buffer_add_u32(out, entry->crc);
    buffer_add_varint(out, entry->stats_count);
    for (uint32_t i = 0; i < entry->stats_count; i++)
        add_stats(&entry->stats[i], out);
    buffer_add_u32(out, crc32c(0, slice_of(out->data + start, out->size - start)));
}

/* ---- Decode ---- */

static bool read_integer(Cursor *c, Type type, Value *out)
{
    uint64_t bits = 0;
    if (!cursor_u64(c, &bits))
        return false;
    out->integer = (int64_t)bits;
    if (type == TYPE_SMALLINT)
        return out->integer == (int16_t)out->integer;
    return type != TYPE_INT || out->integer == (int32_t)out->integer;
}

static bool read_real(Cursor *c, Type type, Value *out)
{
    uint64_t bits = 0;
    if (!cursor_u64(c, &bits))
        return false;
    memcpy(&out->real, &bits, sizeof bits);
    if (isnan(out->real))
        return false;
    return type == TYPE_DOUBLE || memcmp(&out->real, &(double){(float)out->real}, 8) == 0;
}

static bool read_bound(Cursor *c, Type type, Arena *arena, Value *out)
{
    *out = (Value){.type = type};
    uint8_t byte = 0;
    Slice bytes;
    switch (type) {
    case TYPE_BOOLEAN:
        if (!cursor_u8(c, &byte) || byte > 1)
            return false;
        out->boolean = byte;
        return true;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        return read_integer(c, type, out);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return read_real(c, type, out);
    case TYPE_TEXT:
    case TYPE_BYTES:
        if (!cursor_sized(c, &bytes) || bytes.size > SEGMENT_STATS_BYTES_MAX)
            return false;
        out->bytes = arena_copy(arena, bytes);
        return type == TYPE_BYTES || slice_is_utf8(bytes);
    case TYPE_UUID:
        if (!cursor_bytes(c, sizeof out->uuid, &bytes))
            return false;
        memcpy(out->uuid, bytes.data, sizeof out->uuid);
        return true;
    case TYPE_JSON:
    case TYPE_NULL:
        break;
    }
    return false;
}

static bool read_u32_varint(Cursor *c, uint32_t *out)
{
    uint64_t v = 0;
    if (!cursor_varint(c, &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool read_stats(Cursor *c, Arena *arena, SegmentStats *out)
{
    uint8_t has_bounds = 0, type = 0;
    if (!read_u32_varint(c, &out->field_id) || !cursor_varint(c, &out->null_count) ||
        !cursor_u8(c, &has_bounds) || has_bounds > 1)
        return false;
    out->has_bounds = has_bounds;
    if (!has_bounds)
        return true;
    return cursor_u8(c, &type) && read_bound(c, (Type)type, arena, &out->min) &&
           read_bound(c, (Type)type, arena, &out->max) && value_compare(&out->min, &out->max) <= 0;
}

static bool read_head(Cursor *c, SegmentEntry *out)
{
    uint64_t created = 0;
    bool complete = cursor_varint(c, &out->batch) && cursor_varint(c, &out->min_seq) &&
                    cursor_varint(c, &out->max_seq) && cursor_varint(c, &out->row_count) &&
                    cursor_varint(c, &out->size_bytes) && cursor_varint(c, &created) &&
                    read_u32_varint(c, &out->schema_version) && cursor_u32(c, &out->crc) &&
                    read_u32_varint(c, &out->stats_count);
    out->created_at_ms = (int64_t)created;
    return complete && out->min_seq <= out->max_seq && out->row_count > 0 &&
           out->row_count - 1 <= out->max_seq - out->min_seq && out->stats_count <= COLUMNS_MAX;
}

static bool read_all_stats(Cursor *c, Arena *arena, SegmentEntry *out)
{
    out->stats = arena_new_array(arena, SegmentStats, out->stats_count + 1);
    for (uint32_t i = 0; i < out->stats_count; i++) {
        SegmentStats *stats = &out->stats[i];
        if (!read_stats(c, arena, stats) || stats->null_count > out->row_count)
            return false;
        if (i > 0 && stats->field_id <= out->stats[i - 1].field_id)
            return false;
    }
    return cursor_left(c) == 0;
}

Code segment_decode(Slice bytes, Arena *arena, SegmentEntry **out_entry, Error *e)
{
    if (bytes.size > SEGMENT_ENTRY_BYTES_MAX)
        return fail(e, E_CORRUPT, "a segment entry of %zu bytes", bytes.size);
    if (bytes.size < 5)
        return fail(e, E_CORRUPT, "a segment entry is cut short");
    Slice body = slice_of(bytes.data, bytes.size - 4);
    Cursor end = cursor_of(slice_of(bytes.data + body.size, 4));
    uint32_t crc = 0;
    must(cursor_u32(&end, &crc));
    if (crc != crc32c(0, body))
        return fail(e, E_CORRUPT, "the checksum of a segment entry does not match");
    Cursor c = cursor_of(body);
    uint8_t format = 0;
    must(cursor_u8(&c, &format));
    if (format != FORMAT)
        return fail(e, E_FORMAT_VERSION, "a segment entry of format %u, known is %d", format,
                    FORMAT);
    SegmentEntry *entry = arena_new_of(arena, SegmentEntry);
    if (!read_head(&c, entry) || !read_all_stats(&c, arena, entry))
        return fail(e, E_CORRUPT, "a segment entry contradicts itself");
    *out_entry = entry;
    return OK;
}
