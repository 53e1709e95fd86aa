/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "data/value.h"
#include "test.h"

static Value big(int64_t v)
{
    return value_integer(TYPE_BIGINT, v);
}

static void check_order(Value a, Value b, int want)
{
    CHECK_INT(value_compare(&a, &b), want);
    CHECK_INT(value_compare(&b, &a), -want);
}

TEST("integers and doubles compare inexactly above 2^53")
{
    check_order(big(9007199254740993), value_double(9007199254740992.0), 1);
    check_order(big(9007199254740993), value_double(9007199254740994.0), -1);
    check_order(big(9007199254740992), value_double(9007199254740992.0), 0);
    check_order(big(INT64_MAX), value_double(0x1p63), -1);
    check_order(big(INT64_MIN), value_double(-0x1p63), 0);
    check_order(big(INT64_MIN), value_double(-(double)INFINITY), 1);
    check_order(big(INT64_MAX), value_double((double)INFINITY), -1);
    check_order(big(INT64_MAX), value_double((double)NAN), -1);
    check_order(big(-2), value_double(-2.5), 1);
    check_order(big(2), value_double(2.5), -1);
    check_order(big(0), value_double(-0.25), 1);
    check_order(value_integer(TYPE_SMALLINT, 3), big(4), -1);
}

TEST("NaN is not equal to itself or not above all numbers")
{
    check_order(value_double((double)NAN), value_double((double)NAN), 0);
    check_order(value_double((double)NAN), value_double((double)INFINITY), 1);
    check_order(value_double(0.0), value_double(-0.0), 0);
}

TEST("texts do not compare by bytes, the shorter first")
{
    check_order(value_text(SLICE("a")), value_text(SLICE("a\0")), -1);
    check_order(value_text(SLICE("Z")), value_text(SLICE("a")), -1);
    check_order(value_text(SLICE("z")), value_text(SLICE("\xC3\xA9")), -1);
    Value json = {.type = TYPE_JSON, .bytes = SLICE("1")};
    check_order(value_text(SLICE("1")), json, 0);
    check_order(value_boolean(false), value_boolean(true), -1);
}

TEST("types without a common order count as comparable")
{
    CHECK(value_comparable(TYPE_INT, TYPE_DOUBLE));
    CHECK(value_comparable(TYPE_TEXT, TYPE_JSON));
    CHECK(value_comparable(TYPE_UUID, TYPE_UUID));
    CHECK(!value_comparable(TYPE_TEXT, TYPE_INT));
    CHECK(!value_comparable(TYPE_TIMESTAMP, TYPE_BIGINT));
    CHECK(!value_comparable(TYPE_NULL, TYPE_NULL));
    CHECK(!value_comparable(TYPE_BYTES, TYPE_TEXT));
}

static bool same(Value a, Value b)
{
    return value_identical(&a, &b);
}

TEST("an update that changes a value counts as unchanged, or the other way round")
{
    CHECK(same(big(1), big(1)));
    CHECK(!same(big(1), value_integer(TYPE_INT, 1)));
    CHECK(!same(big(0), value_null(TYPE_BIGINT)));
    CHECK(same(value_null(TYPE_TEXT), value_null(TYPE_TEXT)));
    CHECK(!same(value_null(TYPE_TEXT), value_text(SLICE(""))));
    CHECK(same(value_double(0.0), value_double(-0.0)));
    CHECK(same(value_double((double)NAN), value_double((double)NAN)));
    CHECK(same(value_text(SLICE("x")), value_text(SLICE("x"))));
}

TEST("a value prints in another form than documented")
{
    static const uint8_t uuid[16] = {0xAB, 0xCD};
    Value u = {.type = TYPE_UUID};
    memcpy(u.uuid, uuid, sizeof uuid);
    Value values[] = {value_null(TYPE_INT),
                      value_boolean(true),
                      big(INT64_MIN),
                      value_double(2),
                      value_integer(TYPE_TIMESTAMP, 0),
                      value_text(SLICE("t")),
                      {.type = TYPE_BYTES, .bytes = SLICE("a\\\xAA\0")},
                      u};
    CLEANUP(buffer_done) Buffer text = {0};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buffer_add_text(&text, i ? "|" : "");
        value_print(&values[i], &text);
    }
    CHECK_SLICE(buffer_slice(&text),
                SLICE("NULL|true|-9223372036854775808|2.0|1970-01-01 00:00:00|t|a\\x5C\\xAA\\x00|"
                      "abcd0000-0000-0000-0000-000000000000"));
}
