/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "base/limits.h"
#include "data/json.h"
#include "test.h"

TEST("a string is escaped wrongly")
{
    CLEANUP(buffer_done) Buffer out = {0};
    json_add_string(&out, SLICE("a\"b\\c\n\r\t\b\f\x01\x1F\x7F\xC3\xA9/\0z"));
    CHECK_SLICE(buffer_slice(&out),
                SLICE("\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f\x7F\xC3\xA9/\\u0000z\""));
    buffer_clear(&out);
    json_add_name(&out, "n");
    json_add_text(&out, "");
    CHECK_SLICE(buffer_slice(&out), SLICE("\"n\":\"\""));
}

TEST("a value has another form on the wire than existing clients read")
{
    Value uuid = {.type = TYPE_UUID, .uuid = {1}};
    Value values[] = {value_null(TYPE_BIGINT),
                      value_boolean(false),
                      value_integer(TYPE_SMALLINT, -7),
                      value_integer(TYPE_INT, 0),
                      value_integer(TYPE_BIGINT, INT64_MIN),
                      value_integer(TYPE_TIMESTAMP, 1795234032123456),
                      value_double(1e300),
                      {.type = TYPE_FLOAT, .real = (double)0.1f},
                      value_text(SLICE("hi")),
                      {.type = TYPE_JSON, .bytes = SLICE("{\"a\":1}")},
                      {.type = TYPE_BYTES, .bytes = SLICE("\x00\xFF")},
                      {.type = TYPE_BYTES},
                      uuid};
    CLEANUP(buffer_done) Buffer out = {0};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buffer_add_text(&out, i ? " " : "");
        CHECK_OK(json_add_value(&out, &values[i], e));
    }
    CHECK_SLICE(buffer_slice(&out),
                SLICE("null false -7 0 \"-9223372036854775808\" 1795234032123456 1e+300 0.1 \"hi\" "
                      "\"{\\\"a\\\":1}\" [0,255] [] \"01000000-0000-0000-0000-000000000000\""));
    Value nan = value_double((double)NAN), infinite = value_double(-(double)INFINITY);
    CHECK_CODE(json_add_value(&out, &nan, e), E_EXECUTION);
    CHECK_CODE(json_add_value(&out, &infinite, e), E_EXECUTION);
}

TEST("a valid JSON text is refused")
{
    static const char *const texts[] = {
        "0",
        "-0",
        "1.5e-7",
        "1E+2",
        "\"\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        " [ ] ",
        "[1,2,[3]]",
        "{\"a\":{\"b\":[]},\"c\":\"d\"}",
        "\"\\u0041\\n\\/\\\\\"",
        "\"\\uD83D\\uDE00\"",
        "\"\xF0\x9F\x98\x80\"",
        "\t\r\n{ \"a\" : 1 , \"a\" : 2 }\n",
    };
    size_t offset;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (!json_text_valid(slice_of_text(texts[i]), &offset))
            test_failed(__FILE__, __LINE__, "`%s` is refused at %zu", texts[i], offset);
    }
}

TEST("an invalid JSON text is accepted or its offset is wrong")
{
    static const struct {
        const char *text;
        size_t offset;
    } rows[] = {
        {"", 0},
        {" ", 1},
        {"01", 1},
        {"-", 1},
        {"1.", 2},
        {"+1", 0},
        {"1e", 2},
        {".5", 0},
        {"tru", 3},
        {"nul1", 3},
        {"NaN", 0},
        {"'a'", 0},
        {"[1,]", 3},
        {"[,1]", 1},
        {"[1 2]", 3},
        {"[1", 2},
        {"]", 0},
        {"[}", 1},
        {"{\"a\"}", 4},
        {"{\"a\":}", 5},
        {"{a:1}", 1},
        {"{\"a\":1,}", 7},
        {"1 1", 2},
        {"\"a", 2},
        {"\"\n\"", 1},
        {"\"\\x\"", 2},
        {"\"\\u12G4\"", 5},
        {"\"\\uD800\"", 7},
        {"\"\\uDC00\"", 7},
        {"\"\xC0\x80\"", 1},
        {"\"\xFF\"", 1},
        {"\"\xC3", 1},
        {"[1]]", 3},
        {"//", 0},
        {"\xEF\xBB\xBF"
         "1",
         0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t offset = 999;
        if (json_text_valid(slice_of_text(rows[i].text), &offset))
            test_failed(__FILE__, __LINE__, "`%s` is accepted", rows[i].text);
        if (offset != rows[i].offset)
            test_failed(__FILE__, __LINE__, "`%s`: offset %zu", rows[i].text, offset);
    }
    CHECK(!json_text_valid(SLICE("\"\\\0\""), &(size_t){0}));
}

TEST("nesting above the limit is accepted, or at the limit refused")
{
    char text[2 * (JSON_DEPTH_MAX + 1)];
    size_t offset;
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK(json_text_valid(slice_of(text, 2 * depth), &offset) == (depth == JSON_DEPTH_MAX));
    }
    CHECK_INT(offset, JSON_DEPTH_MAX);
}
