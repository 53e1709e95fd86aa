/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "data/json.h"
#include "data/value.h"
#include "test.h"

static Arena *arena; /* of the running test */

/* Casts and prints; NULL in `want` means E_CONSTRAINT. */
static void check_cast(Value from, Type to, const char *want)
{
    Error e = {0};
    Value out = {.type = TYPE_NULL};
    CLEANUP(buffer_done) Buffer text = {0}, source = {0};
    value_print(&from, &source);
    buffer_add_u8(&source, 0);
    Code code = value_cast(&from, to, "column 'c'", arena, &out, &e);
    if (code == OK)
        value_print(&out, &text);
    buffer_add_u8(&text, 0);
    if (want == NULL && code == OK)
        test_failed(__FILE__, __LINE__, "`%s` to %s gives `%s`", source.data, type_info(to)->name,
                    text.data);
    if (want == NULL) {
        CHECK_INT(code, E_CONSTRAINT);
        CHECK(strstr(e.text, "column 'c'"));
        CHECK_INT(out.type, TYPE_NULL);
        return;
    }
    if (code != OK)
        test_failed(__FILE__, __LINE__, "`%s` to %s: %s", source.data, type_info(to)->name, e.text);
    CHECK_INT(out.type, to);
    CHECK_TEXT(text.data, want);
}

static void check_text(const char *from, Type to, const char *want)
{
    check_cast(value_text(slice_of_text(from)), to, want);
}

static void check_explicit(const char *from, Type to, const char *want)
{
    Value text = value_text(slice_of_text(from)), out;
    CLEANUP(buffer_done) Buffer printed = {0};
    CHECK_OK(value_cast_explicitly(&text, to, NULL, arena, &out, e));
    CHECK_INT(out.type, to);
    value_print(&out, &printed);
    buffer_add_u8(&printed, 0);
    CHECK_TEXT(printed.data, want);
}

TEST("CAST of a text with a fraction rounds unlike DuckDB")
{
    arena = arena_new();
    check_explicit("1.5", TYPE_INT, "2");
    check_explicit("2.5", TYPE_INT, "3");
    check_explicit("-2.5", TYPE_INT, "-3");
    check_explicit("1e3", TYPE_INT, "1000");
    check_explicit("25e-1", TYPE_INT, "3");
    arena_free(arena);
}

TEST("text does not convert to a number as a client that quotes its keys expects")
{
    arena = arena_new();
    check_text("42", TYPE_BIGINT, "42");
    check_text(" -42\n", TYPE_BIGINT, "-42");
    check_text("+7", TYPE_SMALLINT, "7");
    check_text("9223372036854775807", TYPE_BIGINT, "9223372036854775807");
    check_text("-9223372036854775808", TYPE_BIGINT, "-9223372036854775808");
    check_text("9223372036854775808", TYPE_BIGINT, NULL);
    check_text("9223372036854775807.5", TYPE_BIGINT, NULL);
    check_text("-9223372036854775809", TYPE_BIGINT, NULL);
    check_text("1.5", TYPE_INT, NULL);
    check_text("2.0", TYPE_INT, NULL);
    check_text("2.", TYPE_BIGINT, NULL);
    check_text("1e3", TYPE_INT, NULL);
    check_text("1.5", TYPE_DOUBLE, "1.5");
    check_text("1e300", TYPE_BIGINT, NULL);
    check_text("2147483648", TYPE_INT, NULL);
    check_text("32768", TYPE_SMALLINT, NULL);
    static const char *const bad[] = {"",  " ", "abc", "1x",  "0x10", "--1",
                                      ".", "-", "1e",  "1 2", "nan",  "1_000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_text(bad[i], TYPE_BIGINT, NULL);
    check_text("1.25", TYPE_DOUBLE, "1.25");
    check_text(".5", TYPE_DOUBLE, "0.5");
    check_text("-inf", TYPE_DOUBLE, "-inf");
    check_text("NaN", TYPE_DOUBLE, "nan");
    check_text("1e400", TYPE_DOUBLE, NULL);
    check_text("1e39", TYPE_FLOAT, NULL);
    check_text("0.1", TYPE_FLOAT, "0.1");
    check_text("0x1p3", TYPE_DOUBLE, NULL);
    check_text("1 ", TYPE_DOUBLE, "1.0");
    arena_free(arena);
}

TEST("numbers convert inexactly or out of range without an error")
{
    arena = arena_new();
    check_cast(value_double(2.5), TYPE_BIGINT, "2");
    check_cast(value_double(3.5), TYPE_BIGINT, "4");
    check_cast(value_double(0x1p63), TYPE_BIGINT, NULL);
    check_cast(value_double(-0x1p63), TYPE_BIGINT, "-9223372036854775808");
    check_cast(value_double((double)NAN), TYPE_INT, NULL);
    check_cast(value_double((double)INFINITY), TYPE_INT, NULL);
    check_cast(value_double(1e39), TYPE_FLOAT, NULL);
    check_cast(value_double((double)INFINITY), TYPE_FLOAT, "inf");
    check_cast(value_double(0.1), TYPE_FLOAT, "0.1");
    check_cast(value_integer(TYPE_BIGINT, 70000), TYPE_SMALLINT, NULL);
    check_cast(value_integer(TYPE_BIGINT, -5), TYPE_SMALLINT, "-5");
    check_cast(value_integer(TYPE_INT, 5), TYPE_DOUBLE, "5.0");
    check_cast(value_boolean(true), TYPE_INT, "1");
    check_cast(value_integer(TYPE_INT, 2), TYPE_BOOLEAN, "true");
    arena_free(arena);
}

TEST("text converts wrongly to a time, UUID, boolean or bytes")
{
    arena = arena_new();
    check_text(" 2026-11-21T04:07:12Z ", TYPE_TIMESTAMP, "2026-11-21 04:07:12");
    check_text("9999-12-31 23:59:59-01", TYPE_TIMESTAMP, NULL);
    check_text("soon", TYPE_TIMESTAMP, NULL);
    check_cast(value_integer(TYPE_BIGINT, 1500000), TYPE_TIMESTAMP, "1970-01-01 00:00:01.5");
    check_cast(value_integer(TYPE_BIGINT, INT64_MAX), TYPE_TIMESTAMP, NULL);
    check_cast(value_integer(TYPE_TIMESTAMP, 1500000), TYPE_BIGINT, "1500000");
    check_text("{ABCD0000-0000-0000-0000-000000000000}", TYPE_UUID,
               "abcd0000-0000-0000-0000-000000000000");
    check_text("nope", TYPE_UUID, NULL);
    check_text("T", TYPE_BOOLEAN, "true");
    check_text("no", TYPE_BOOLEAN, "false");
    check_text("2", TYPE_BOOLEAN, NULL);
    check_text("a\\xFFb", TYPE_BYTES, "a\\xFFb");
    check_text("\\x0", TYPE_BYTES, NULL);
    check_text("\\n12", TYPE_BYTES, NULL);
    check_text("\xC3\xA9", TYPE_BYTES, NULL);
    check_cast((Value){.type = TYPE_BYTES, .bytes = SLICE("0123456789abcdef")}, TYPE_UUID,
               "30313233-3435-3637-3839-616263646566");
    check_cast((Value){.type = TYPE_BYTES, .bytes = SLICE("short")}, TYPE_UUID, NULL);
    check_cast((Value){.type = TYPE_BYTES, .bytes = SLICE("1")}, TYPE_INT, NULL);
    arena_free(arena);
}

TEST("a JSON column takes text that is no JSON, or refuses what is")
{
    arena = arena_new();
    check_text("{\"a\": [1, null]}", TYPE_JSON, "{\"a\": [1, null]}");
    check_text("{\"a\": }", TYPE_JSON, NULL);
    check_text("\"\xFF\"", TYPE_JSON, NULL);
    check_cast(value_double(1e300), TYPE_JSON, "1e+300");
    check_cast(value_double((double)NAN), TYPE_JSON, NULL);
    check_cast(value_integer(TYPE_TIMESTAMP, 0), TYPE_JSON, "\"1970-01-01 00:00:00\"");
    check_cast((Value){.type = TYPE_JSON, .bytes = SLICE("7")}, TYPE_INT, "7");
    Error error = {0}, *e = &error;
    Value v = value_text(SLICE("[1,]")), out;
    CHECK_INT(value_cast(&v, TYPE_JSON, "column 'c'", arena, &out, e), E_CONSTRAINT);
    CHECK(strstr(error.text, "byte 3"));
    arena_free(arena);
}

TEST("a NULL loses its nullness or does not get the type")
{
    arena = arena_new();
    Value from = value_null(TYPE_NULL), out;
    CHECK_OK(value_cast(&from, TYPE_UUID, "column 'c'", arena, &out, e));
    CHECK(out.is_null && out.type == TYPE_UUID);
    arena_free(arena);
}

TEST("a message ends at a zero byte or is not UTF-8 when the value is not")
{
    arena = arena_new();
    Error error = {0};
    Value from = value_text(SLICE("\xFF\0x")), out;
    CHECK_INT(value_cast(&from, TYPE_INT, "column 'c'", arena, &out, &error), E_CONSTRAINT);
    CHECK_TEXT(error.text,
               "Invalid INT literal '\\xFF\\x00x' for column 'c': expected a whole number");
    arena_free(arena);
}

TEST("a message shows all of a huge value or half a character")
{
    arena = arena_new();
    char *text = arena_printf(arena, "%063d\xE2\x82\xAC%0900d", 0, 0);
    Value from = value_text(slice_of_text(text)), out;
    Error error = {0};
    CHECK_INT(value_cast(&from, TYPE_UUID, "column 'c'", arena, &out, &error), E_CONSTRAINT);
    CHECK(strlen(error.text) < 200);
    CHECK(slice_is_utf8(slice_of_text(error.text)));
    arena_free(arena);
}
