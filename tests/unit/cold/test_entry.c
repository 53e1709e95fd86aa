/* SPDX-License-Identifier: Apache-2.0
 *
 * The codec of segment entries and the bounds in them.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cold/cold_int.h"
#include "data/row.h"
#include "test.h"

static SegmentEntry make_entry(Arena *arena)
{
    SegmentEntry entry = {.batch = 7,
                          .min_seq = 1000,
                          .max_seq = 5000,
                          .row_count = 42,
                          .size_bytes = 123456,
                          .created_at_ms = 1700000000000,
                          .schema_version = 3,
                          .crc = 0xDEADBEEF,
                          .stats_count = 5};
    entry.stats = arena_new_array(arena, SegmentStats, 5);
    entry.stats[0] = (SegmentStats){1, 0, true, value_integer(TYPE_BIGINT, INT64_MIN),
                                    value_integer(TYPE_BIGINT, INT64_MAX)};
    entry.stats[1] =
        (SegmentStats){2, 3, true, value_text(SLICE("")), value_text(SLICE("z\xC3\xA9"))};
    entry.stats[2] = (SegmentStats){5, 42, false, value_null(TYPE_NULL), value_null(TYPE_NULL)};
    entry.stats[3] = (SegmentStats){6, 1, true, value_double(-INFINITY), value_double(0.1)};
    entry.stats[4] = (SegmentStats){
        9, 0, true, {.type = TYPE_UUID, .uuid = {1}}, {.type = TYPE_UUID, .uuid = {2, [15] = 9}}};
    return entry;
}

TEST("an entry decodes to what was encoded")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer bytes = {0}, again = {0};
    SegmentEntry entry = make_entry(arena), *back = NULL;
    segment_encode(&entry, &bytes);
    CHECK_OK(segment_decode(buffer_slice(&bytes), arena, &back, e));
    CHECK_INT(back->batch, 7);
    CHECK_INT(back->row_count, 42);
    CHECK_INT(back->crc, 0xDEADBEEF);
    CHECK_INT(back->stats_count, 5);
    CHECK(value_identical(&back->stats[1].max, &entry.stats[1].max));
    CHECK(segment_stats(back, 6) == &back->stats[3]);
    CHECK(segment_stats(back, 7) == NULL);
    segment_encode(back, &again);
    CHECK_SLICE(buffer_slice(&again), buffer_slice(&bytes));
}

TEST("entries on disk from earlier builds still decode (golden bytes)")
{
    static const char golden[] =
        "0107e8078827 2ac0c40780d095ffbc31 03 deadbeef 05"
        "010001 03 8000000000000000 7fffffffffffffff"
        "020301 06 00 037ac3a9"
        "052a00"
        "060101 04 fff0000000000000 3fb999999999999a"
        "090001 0e 01000000000000000000000000000000 02000000000000000000000000000009";
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer want = {0}, bytes = {0};
    for (const char *at = golden; *at;) {
        unsigned byte = 0;
        if (*at == ' ' && at++)
            continue;
        CHECK(sscanf(at, "%2x", &byte) == 1);
        buffer_add_u8(&want, (uint8_t)byte);
        at += 2;
    }
    buffer_add_u32(&want, crc32c(0, buffer_slice(&want)));
    SegmentEntry entry = make_entry(arena), *back = NULL;
    segment_encode(&entry, &bytes);
    CHECK_SLICE(buffer_slice(&bytes), buffer_slice(&want));
    CHECK_OK(segment_decode(buffer_slice(&want), arena, &back, e));
}

TEST("any flipped bit, cut or extra byte of an entry is corrupt")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer bytes = {0};
    SegmentEntry entry = make_entry(arena), *back = NULL;
    segment_encode(&entry, &bytes);
    for (size_t i = 0; i < bytes.size * 8; i++) {
        bytes.data[i / 8] ^= (char)(1 << i % 8);
        CHECK_CODE(segment_decode(buffer_slice(&bytes), arena, &back, e), E_CORRUPT);
        bytes.data[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t size = 0; size < bytes.size; size++)
        CHECK_CODE(segment_decode(slice_of(bytes.data, size), arena, &back, e), E_CORRUPT);
    buffer_add_u8(&bytes, 0);
    CHECK_CODE(segment_decode(buffer_slice(&bytes), arena, &back, e), E_CORRUPT);
}

/* Encodes and expects the decoder to say that it contradicts itself, the checksum being right. */
static void check_refused(const SegmentEntry *entry)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer bytes = {0};
    SegmentEntry *back = NULL;
    segment_encode(entry, &bytes);
    CHECK_CODE(segment_decode(buffer_slice(&bytes), arena, &back, e), E_CORRUPT);
}

TEST("an entry that contradicts itself is corrupt although its checksum is right")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry entry = make_entry(arena);
    entry.min_seq = 5001;
    check_refused(&entry);
    entry = make_entry(arena);
    entry.row_count = 0;
    check_refused(&entry);
    entry = make_entry(arena);
    entry.row_count = 4002; /* more than there are seqs */
    check_refused(&entry);
    entry = make_entry(arena);
    entry.stats[0].null_count = 43;
    check_refused(&entry);
    entry = make_entry(arena);
    entry.stats[1].field_id = 1;
    check_refused(&entry);
    entry = make_entry(arena);
    entry.stats[1].max = value_text(SLICE("\xFF"));
    check_refused(&entry);
    entry = make_entry(arena);
    entry.stats[3].min = value_double(0.2);
    check_refused(&entry);
    entry = make_entry(arena);
    entry.stats[3].max = value_double(NAN);
    check_refused(&entry);
}

TEST("an entry of a newer format says so")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer bytes = {0};
    SegmentEntry *back = NULL;
    buffer_add_u8(&bytes, 2);
    buffer_add_text(&bytes, "what we cannot know");
    buffer_add_u32(&bytes, crc32c(0, buffer_slice(&bytes)));
    CHECK_CODE(segment_decode(buffer_slice(&bytes), arena, &back, e), E_FORMAT_VERSION);
}

/* ---- Bounds ---- */

static Slice random_text(char *room, Type type)
{
    static const char *const characters[] = {
        "a", "b", "\x7F", "\xC3\xA9", "\xED\x9F\xBF", "\xEF\xBF\xBF", "\xF4\x8F\xBF\xBF"};
    size_t size = 0, want = test_random() % 100;
    size_t same = test_random() % 4 ? 62 : 0; /* most share a long beginning */
    while (size < want) {
        if (type == TYPE_BYTES) {
            room[size] = size < same ? 'a' : (char)(test_random() % 3 ? 0xFF : test_random());
            size++;
            continue;
        }
        const char *c = size < same ? "a" : characters[test_random() % 7];
        memcpy(room + size, c, strlen(c));
        size += strlen(c);
    }
    return slice_of(room, size);
}

TEST("bounds of texts and bytes hold every value, are short, and stay UTF-8")
{
    for (int round = 0; round < 5000; round++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Column column = {.field_id = 1, .type = round % 2 ? TYPE_TEXT : TYPE_BYTES};
        StatsBuilder builder;
        Value values[8];
        cold__stats_init(&builder, &column);
        for (int i = 0; i < 8; i++) {
            char room[128];
            Slice text = random_text(room, column.type);
            values[i] = (Value){.type = column.type, .bytes = arena_copy(arena, text)};
            cold__stats_add(&builder, &values[i]);
        }
        SegmentStats stats = cold__stats_finish(&builder, arena);
        if (!stats.has_bounds)
            continue;
        CHECK(stats.min.bytes.size <= SEGMENT_STATS_BYTES_MAX);
        CHECK(stats.max.bytes.size <= SEGMENT_STATS_BYTES_MAX);
        CHECK(column.type == TYPE_BYTES || slice_is_utf8(stats.max.bytes));
        CHECK(column.type == TYPE_BYTES || slice_is_utf8(stats.min.bytes));
        for (int i = 0; i < 8; i++) {
            CHECK(value_compare(&stats.min, &values[i]) <= 0);
            CHECK(value_compare(&stats.max, &values[i]) >= 0);
        }
    }
}

TEST("NaN, JSON and texts without a next one leave a column without bounds, so nothing is pruned")
{
    static const char top[] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer text = {0};
    for (int i = 0; i < 5; i++)
        buffer_add_text(&text, top);
    Value values[] = {value_double(NAN),
                      {.type = TYPE_JSON, .bytes = SLICE("{}")},
                      {.type = TYPE_BYTES, .bytes = buffer_slice(&text)}};
    for (int i = 0; i < 3; i++) {
        Column column = {.field_id = 1, .type = values[i].type};
        StatsBuilder builder;
        cold__stats_init(&builder, &column);
        cold__stats_add(&builder, &values[i]);
        SegmentStats stats = cold__stats_finish(&builder, arena);
        CHECK(!stats.has_bounds);
        SegmentEntry entry = {.row_count = 1, .stats_count = 1, .stats = &stats};
        CHECK(segment_may_contain(&entry, &column, &values[i], &values[i]));
    }
}

TEST("a segment is pruned only when no row can match")
{
    SegmentStats stats[] = {
        {1, 0, true, value_integer(TYPE_INT, 10), value_integer(TYPE_INT, 20)},
        {2, 42, false, value_null(TYPE_TEXT), value_null(TYPE_TEXT)},
    };
    SegmentEntry entry = {.row_count = 42, .stats_count = 2, .stats = stats};
    Column number = {.field_id = 1, .type = TYPE_INT}, wide = {.field_id = 1, .type = TYPE_BIGINT};
    Column text = {.field_id = 1, .type = TYPE_TEXT}, nulls = {.field_id = 2, .type = TYPE_TEXT};
    Column added = {.field_id = 3, .type = TYPE_INT};
    Value five = value_integer(TYPE_INT, 5), ten = value_integer(TYPE_BIGINT, 10);
    Value twenty = value_double(20), more = value_double(20.5), word = value_text(SLICE("5"));
    CHECK(segment_may_contain(&entry, &number, &five, &ten));
    CHECK(segment_may_contain(&entry, &number, &twenty, NULL));
    CHECK(!segment_may_contain(&entry, &number, &more, NULL));
    CHECK(!segment_may_contain(&entry, &number, NULL, &five));
    CHECK(!segment_may_contain(&entry, &wide, NULL, &five));
    CHECK(segment_may_contain(&entry, &number, NULL, NULL));
    CHECK(segment_may_contain(&entry, &text, &word, &word)); /* was INT when it was written */
    CHECK(!segment_may_contain(&entry, &nulls, &word, NULL));
    CHECK(segment_may_contain(&entry, &nulls, NULL, NULL));
    CHECK(segment_may_contain(&entry, &added, &five, &five)); /* reads as its default */
}
