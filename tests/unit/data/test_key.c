/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/limits.h"
#include "data/row.h"
#include "sample.h"
#include "test.h"

static Slice take_word(Slice *line, char end)
{
    size_t size = 0;
    while (size < line->size && line->data[size] != end)
        size++;
    Slice word = slice_of(line->data, size);
    *line = size < line->size ? slice_of(line->data + size + 1, line->size - size - 1) : (Slice){0};
    return word;
}

/* "TYPE|text|hex": the text cast to the type must encode to the bytes, and decode from them. */
static void check_golden_line(Slice line, Arena *arena)
{
    CLEANUP(buffer_done) Buffer bytes = {0}, hex = {0};
    Type type = type_of_sql(take_word(&line, '|'));
    Value text = value_text(take_word(&line, '|')), value, back;
    CHECK_OK(value_cast(&text, type, "key", arena, &value, e));
    CHECK_OK(key_encode(&value, &bytes, e));
    for (size_t i = 0; i < bytes.size; i++)
        buffer_printf(&hex, "%02x", (unsigned char)bytes.data[i]);
    CHECK_SLICE(buffer_slice(&hex), line);
    Slice left = buffer_slice(&bytes);
    CHECK_OK(key_decode(&left, type, arena, &back, e));
    CHECK_INT(left.size, 0);
    sample_check_values(&back, &value, 1);
}

TEST("the bytes of a stored key have changed: old data folders become unreadable")
{
    Arena *arena = arena_new();
    Slice text = sample_golden_text("keys.txt", arena);
    int checked = 0;
    while (text.size) {
        Slice line = take_word(&text, '\n');
        if (line.size == 0 || line.data[0] == '#')
            continue;
        check_golden_line(line, arena);
        checked++;
    }
    CHECK(checked >= 20);
    arena_free(arena);
}

/* Both orders must agree, and neither encoding may start the other. */
static void check_pair(Value a, Value b)
{
    CLEANUP(buffer_done) Buffer a_key = {0}, b_key = {0};
    CHECK_OK(key_encode(&a, &a_key, e));
    CHECK_OK(key_encode(&b, &b_key, e));
    Slice x = buffer_slice(&a_key), y = buffer_slice(&b_key);
    int order = slice_compare(x, y);
    CHECK_INT((order > 0) - (order < 0), value_compare(&a, &b));
    if (order)
        CHECK(!slice_starts_with(x, y) && !slice_starts_with(y, x));
}

TEST("keys do not sort as their values, or one is the start of another")
{
    static const double reals[] = {-1e300, -1, -5e-324, -0.0, 0.0, 5e-324, 0.5, 1, 2, 1e300};
    static const int64_t integers[] = {INT64_MIN, -256, -255, -1, 0, 1, 255, 256, INT64_MAX};
    for (size_t i = 0; i < 10; i++) {
        for (size_t j = 0; j < 10; j++)
            check_pair(value_double(reals[i]), value_double(reals[j]));
        check_pair(value_double(reals[i]), value_double((double)NAN));
        check_pair(value_double(reals[i]), value_double(-(double)INFINITY));
    }
    for (size_t i = 0; i < 9; i++) {
        for (size_t j = 0; j < 9; j++)
            check_pair(value_integer(TYPE_BIGINT, integers[i]),
                       value_integer(TYPE_BIGINT, integers[j]));
    }
    check_pair(value_double((double)NAN), value_double(-(double)NAN));
    check_pair(value_double((double)NAN), value_double((double)INFINITY));
    char text[2][8];
    for (int round = 0; round < 20000; round++) {
        size_t size[2];
        for (int i = 0; i < 2; i++) {
            size[i] = test_random() % 8;
            for (size_t at = 0; at < size[i]; at++)
                text[i][at] = "\0\1\2\xFE\xFF"
                              "a"[test_random() % 6];
        }
        check_pair(value_text(slice_of(text[0], size[0])), value_text(slice_of(text[1], size[1])));
    }
}

TEST("widening a key column changes its keys")
{
    CLEANUP(buffer_done) Buffer small = {0}, wide = {0};
    for (int v = -3; v <= 3; v++) {
        Value a = value_integer(TYPE_SMALLINT, v), b = value_integer(TYPE_BIGINT, v);
        CHECK_OK(key_encode(&a, &small, e));
        CHECK_OK(key_encode(&b, &wide, e));
        Value c = {.type = TYPE_FLOAT, .real = v}, d = value_double(v);
        CHECK_OK(key_encode(&c, &small, e));
        CHECK_OK(key_encode(&d, &wide, e));
    }
    sample_check_bytes("keys", buffer_slice(&small), buffer_slice(&wide));
}

TEST("a NULL or too long a key is accepted, or leaves bytes behind")
{
    CLEANUP(buffer_done) Buffer out = {0};
    Arena *arena = arena_new();
    Value null = value_null(TYPE_TEXT);
    CHECK_CODE(key_encode(&null, &out, e), E_CONSTRAINT);
    char *zeros = (char *)arena_alloc(arena, KEY_BYTES_MAX);
    Value longest = value_text(slice_of(zeros, (KEY_BYTES_MAX - 2) / 2)), longer = longest;
    longer.bytes.size++;
    CHECK_CODE(key_encode(&longer, &out, e), E_CONSTRAINT);
    CHECK_INT(out.size, 0);
    CHECK_OK(key_encode(&longest, &out, e));
    CHECK_INT(out.size, KEY_BYTES_MAX);
    Slice left = buffer_slice(&out);
    Value back;
    CHECK_OK(key_decode(&left, TYPE_TEXT, arena, &back, e));
    sample_check_values(&back, &longest, 1);
    arena_free(arena);
}

TEST("bytes that no value encodes to are decoded")
{
    static const struct {
        Type type;
        Slice bytes;
    } rows[] = {
        {TYPE_BOOLEAN, {"", 0}},
        {TYPE_BOOLEAN, {"\2", 1}},
        {TYPE_BIGINT, {"\x80\0\0\0\0\0\0", 7}},
        {TYPE_SMALLINT, {"\x80\0\0\0\0\1\0\0", 8}},
        {TYPE_INT, {"\0\0\0\0\0\0\0\0", 8}},
        {TYPE_DOUBLE, {"\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8}}, /* -0.0 */
        {TYPE_DOUBLE, {"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8}}, /* another NaN */
        {TYPE_FLOAT, {"\xBF\xB9\x99\x99\x99\x99\x99\x9A", 8}},  /* 0.1 is no float */
        {TYPE_UUID, {"0123456789abcde", 15}},
        {TYPE_TEXT, {"a", 1}},
        {TYPE_TEXT, {"a\0", 2}},
        {TYPE_TEXT, {"a\0\0", 3}},
        {TYPE_TEXT, {"a\0\xFF", 3}},
        {TYPE_NULL, {"a", 1}},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        Slice left = rows[i].bytes;
        Value value;
        CHECK_CODE(key_decode(&left, rows[i].type, arena, &value, e), E_CORRUPT);
        CHECK_INT(left.size, rows[i].bytes.size);
    }
    arena_free(arena);
}

TEST("a key is not found in front of other bytes")
{
    Arena *arena = arena_new();
    Slice left = SLICE("ab\0\xFF"
                       "c\0\1rest");
    Value value;
    CHECK_OK(key_decode(&left, TYPE_TEXT, arena, &value, e));
    CHECK_SLICE(value.bytes, SLICE("ab\0c"));
    CHECK_SLICE(left, SLICE("rest"));
    arena_free(arena);
}
