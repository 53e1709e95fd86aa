/* SPDX-License-Identifier: Apache-2.0
 *
 * Bounds of a column, kept while its values pass. A bound may be looser than the values, never
 * tighter:
 *
 *   - a text longer than SEGMENT_STATS_BYTES_MAX is cut for the lower bound, and cut and raised to
 * the next
 *     text for the upper bound (characters stay whole, so bounds are valid UTF-8);
 *   - NaN and a text that has no next one leave the column without bounds;
 *   - JSON texts are not compared.
 */
#include <math.h>
#include <string.h>

#include "cold/cold_int.h"

void cold__stats_init(StatsBuilder *stats, const Column *column)
{
    *stats = (StatsBuilder){.type = column->type, .field_id = column->field_id};
    stats->is_unbounded = column->type == TYPE_JSON;
}

/* The longest prefix of at most SEGMENT_STATS_BYTES_MAX bytes that splits no character. */
static Slice cut(Slice s, Type type)
{
    if (s.size <= SEGMENT_STATS_BYTES_MAX)
        return s;
    size_t size = SEGMENT_STATS_BYTES_MAX;
    while (type == TYPE_TEXT && size > 0 && ((unsigned char)s.data[size] & 0xC0) == 0x80)
        size--;
    return slice_of(s.data, size);
}

static bool next_bytes(char *bytes, size_t *io_size)
{
    while (*io_size > 0 && (unsigned char)bytes[*io_size - 1] == 0xFF)
        --*io_size;
    if (*io_size == 0)
        return false;
    bytes[*io_size - 1]++;
    return true;
}

static uint32_t decode_character(const unsigned char *p, size_t size)
{
    uint32_t c = size == 1 ? p[0] : p[0] & (0xFFu >> (size + 1));
    for (size_t i = 1; i < size; i++)
        c = c << 6 | (p[i] & 0x3F);
    return c;
}

static size_t encode_character(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3F));
    to[0] = (char)((0xF00u >> size) | c);
    return size;
}

/* A text above all that begin with these characters: the last one that has a next one is raised.
 * The next one is at most a byte longer, for which there is room or the character before is raised.
 * */
static bool next_text(char *bytes, size_t *io_size)
{
    size_t end = *io_size;
    while (end > 0) {
        size_t start = end - 1;
        while (start > 0 && ((unsigned char)bytes[start] & 0xC0) == 0x80)
            start--;
        uint32_t c = decode_character((const unsigned char *)bytes + start, end - start) + 1;
        if (c == 0xD800)
            c = 0xE000; /* surrogates are no characters */
        char next[4];
        size_t size = c <= 0x10FFFF ? encode_character(c, next) : 0;
        if (size > 0 && start + size <= SEGMENT_STATS_BYTES_MAX) {
            memcpy(bytes + start, next, size);
            *io_size = start + size;
            return true;
        }
        end = start;
    }
    return false;
}

/* Copies `from` into the bytes of a bound. */
static void keep_text(Value *bound, char *bytes, Type type, Slice from)
{
    must(from.size <= SEGMENT_STATS_BYTES_MAX);
    if (from.size)
        memcpy(bytes, from.data, from.size);
    *bound = (Value){.type = type, .bytes = slice_of(bytes, from.size)};
}

static bool raise_max(StatsBuilder *stats, Slice text)
{
    Slice prefix = cut(text, stats->type);
    keep_text(&stats->max, stats->max_bytes, stats->type, prefix);
    if (prefix.size == text.size)
        return true;
    size_t size = prefix.size;
    bool found = stats->type == TYPE_TEXT ? next_text(stats->max_bytes, &size)
                                          : next_bytes(stats->max_bytes, &size);
    stats->max.bytes.size = size;
    return found;
}

static void add_text(StatsBuilder *stats, Slice text)
{
    if (!stats->has_bounds || slice_compare(text, stats->min.bytes) < 0)
        keep_text(&stats->min, stats->min_bytes, stats->type, cut(text, stats->type));
    if (!stats->has_bounds || slice_compare(text, stats->max.bytes) > 0)
        stats->is_unbounded = !raise_max(stats, text);
    stats->has_bounds = true;
}

static void add_scalar(StatsBuilder *stats, const Value *value)
{
    if (!stats->has_bounds) {
        stats->min = stats->max = *value;
        stats->has_bounds = true;
        return;
    }
    if (value_compare(value, &stats->min) < 0)
        stats->min = *value;
    if (value_compare(value, &stats->max) > 0)
        stats->max = *value;
}

void cold__stats_add(StatsBuilder *stats, const Value *value)
{
    if (value->is_null) {
        stats->null_count++;
        return;
    }
    if (stats->is_unbounded)
        return;
    bool is_real = value->type == TYPE_DOUBLE || value->type == TYPE_FLOAT;
    if (is_real && isnan(value->real))
        stats->is_unbounded = true;
    else if (value->type == TYPE_TEXT || value->type == TYPE_BYTES)
        add_text(stats, value->bytes);
    else
        add_scalar(stats, value);
}

SegmentStats cold__stats_finish(const StatsBuilder *stats, Arena *arena)
{
    SegmentStats out = {.field_id = stats->field_id, .null_count = stats->null_count};
    out.has_bounds = stats->has_bounds && !stats->is_unbounded;
    if (out.has_bounds && stats->type == TYPE_TEXT)
        out.has_bounds = slice_is_utf8(stats->min.bytes) && slice_is_utf8(stats->max.bytes);
    if (!out.has_bounds)
        return out;
    out.min = stats->min;
    out.max = stats->max;
    if (stats->type == TYPE_TEXT || stats->type == TYPE_BYTES) {
        out.min.bytes = arena_copy(arena, out.min.bytes);
        out.max.bytes = arena_copy(arena, out.max.bytes);
    }
    return out;
}

const SegmentStats *segment_stats(const SegmentEntry *entry, uint32_t field_id)
{
    uint32_t low = 0, high = entry->stats_count; /* ascending by field id */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entry->stats[middle].field_id == field_id)
            return &entry->stats[middle];
        if (entry->stats[middle].field_id < field_id)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool segment_may_contain(const SegmentEntry *entry, const Column *column, const Value *min,
                         const Value *max)
{
    const SegmentStats *stats = segment_stats(entry, column->field_id);
    bool is_open = (!min || min->is_null) && (!max || max->is_null);
    if (!stats || is_open)
        return true;
    if (stats->null_count == entry->row_count)
        return false; /* NULL lies in no range */
    if (!stats->has_bounds)
        return true;
    bool same_order = stats->min.type == column->type ||
                      (type_is_number(stats->min.type) && type_is_number(column->type));
    if (!same_order)
        return true; /* the column has another type by now */
    if (min && !min->is_null && value_comparable(min->type, stats->max.type) &&
        value_compare(&stats->max, min) < 0)
        return false;
    return !(max && !max->is_null && value_comparable(max->type, stats->min.type) &&
             value_compare(&stats->min, max) > 0);
}
