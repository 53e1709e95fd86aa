/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/data_int.h"
#include "data/value.h"
#include "test.h"

static void check_time(const char *text, int64_t want_us)
{
    int64_t us = 0;
    if (!timestamp_parse(slice_of_text(text), &us))
        test_failed(__FILE__, __LINE__, "`%s` is refused", text);
    if (us != want_us)
        test_failed(__FILE__, __LINE__, "`%s` is %lld", text, (long long)us);
}

TEST("a form of ISO 8601 time is refused or read wrong")
{
    check_time("1970-01-01", 0);
    check_time("1970-01-01T00:00:00Z", 0);
    check_time("1970-01-01 00:00:00.000001", 1);
    check_time("1969-12-31 23:59:59.999999", -1);
    check_time("2026-11-21 04:07:12.123456", INT64_C(1795234032123456));
    check_time("2026-11-21T04:07:12.123456789+00", INT64_C(1795234032123456));
    check_time("2026-11-21T06:37:12.123456+02:30", INT64_C(1795234032123456));
    check_time("2026-11-20 23:07:12.123456 -0500", INT64_C(1795234032123456));
    check_time("2026-11-21 04:07", INT64_C(1795234020000000));
    check_time("2000-02-29", INT64_C(951782400000000));
    check_time("1970-01-01 00:00:00.5", 500000);
    check_time("0001-01-01", DATA__TIMESTAMP_MIN_US);
    check_time("9999-12-31 23:59:59.999999999", DATA__TIMESTAMP_MAX_US);
}

TEST("a malformed time is accepted")
{
    static const char *const texts[] = {
        "",
        "2026",
        "2026-13-01",
        "2026-02-30",
        "1900-02-29",
        "2026-1",
        "2026-01-01 ",
        "2026-01-01T",
        "2026-01-01 24:00",
        "2026-01-01 00:60",
        "2026-01-01 00:00:60",
        "2026-01-01 00:00:00.",
        "2026-01-01 00:00:00.1234567890",
        "2026-01-01 00:00:00+",
        "2026-01-01 00:00:00+1",
        "2026-01-01 00:00:00+16",
        "2026-01-01 00:00:00+01:",
        "2026-01-01 00:00:00Zx",
        "2026-01-01Z",
        "0000-01-01",
        "2026-01-00",
        "26-01-01",
        "2026-01-01 00:00:00 ",
    };
    int64_t us;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (timestamp_parse(slice_of_text(texts[i]), &us))
            test_failed(__FILE__, __LINE__, "`%s` is accepted", texts[i]);
    }
}

TEST("a printed time does not read back")
{
    CLEANUP(buffer_done) Buffer text = {0};
    timestamp_print(-1, &text);
    CHECK_SLICE(buffer_slice(&text), SLICE("1969-12-31 23:59:59.999999"));
    buffer_clear(&text);
    timestamp_print(INT64_C(1795234032120000), &text);
    CHECK_SLICE(buffer_slice(&text), SLICE("2026-11-21 04:07:12.12"));
    uint64_t span = (uint64_t)(DATA__TIMESTAMP_MAX_US - DATA__TIMESTAMP_MIN_US);
    for (int i = 0; i < 20000; i++) {
        int64_t us = DATA__TIMESTAMP_MIN_US + (int64_t)(test_random() % span), back;
        if (i % 3 == 0)
            us -= us % 1000000;
        buffer_clear(&text);
        timestamp_print(us, &text);
        CHECK(timestamp_parse(buffer_slice(&text), &back));
        CHECK_INT(back, us);
    }
    timestamp_print(INT64_MIN, &text); /* outside the type's range, but must not crash */
    timestamp_print(INT64_MAX, &text);
}

TEST("a UUID form is refused or a malformed one accepted")
{
    static const char *const good[] = {"0191d5e2-7b3a-7def-8123-456789abcdef",
                                       "0191D5E27B3A7DEF8123456789ABCDEF",
                                       "{0191d5e2-7b3a-7def-8123-456789abcdef}"};
    static const char *const bad[] = {"",
                                      "0191d5e2-7b3a-7def-8123-456789abcde",
                                      "0191d5e2-7b3a-7def-8123-456789abcdeg",
                                      "0191d5e27-b3a-7def-8123-456789abcdef",
                                      "{0191d5e2-7b3a-7def-8123-456789abcdef",
                                      "0191D5E27B3A7DEF8123456789ABCDE-"};
    uint8_t uuid[16];
    for (size_t i = 0; i < 3; i++) {
        CLEANUP(buffer_done) Buffer text = {0};
        CHECK(uuid_parse(slice_of_text(good[i]), uuid));
        uuid_print(uuid, &text);
        CHECK_SLICE(buffer_slice(&text), SLICE("0191d5e2-7b3a-7def-8123-456789abcdef"));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!uuid_parse(slice_of_text(bad[i]), uuid));
}

static void check_double(double v, const char *want)
{
    CLEANUP(buffer_done) Buffer text = {0};
    double_print(v, &text);
    CHECK_SLICE(buffer_slice(&text), slice_of_text(want));
}

TEST("a double is not printed in its shortest form")
{
    check_double(1, "1.0");
    check_double(0, "0.0");
    check_double(-0.0, "-0.0");
    check_double(0.1, "0.1");
    check_double(-12.34, "-12.34");
    check_double(0.1 + 0.2, "0.30000000000000004");
    check_double(1.0 / 3, "0.3333333333333333");
    check_double(1e300, "1e+300");
    check_double(1.5e-7, "1.5e-07");
    check_double(0.0001, "0.0001");
    check_double(0.00001, "1e-05");
    check_double(1e15, "1000000000000000.0");
    check_double(1e16, "1e+16");
    check_double(9007199254740993.0, "9007199254740992.0");
    check_double(123456789012345680.0, "1.2345678901234568e+17");
    check_double(5e-324, "5e-324");
    check_double(1.7976931348623157e308, "1.7976931348623157e+308");
    check_double((double)INFINITY, "inf");
    check_double(-(double)INFINITY, "-inf");
    check_double((double)NAN, "nan");
    CLEANUP(buffer_done) Buffer text = {0};
    float_print(0.1f, &text);
    buffer_add_char(&text, ' ');
    float_print(16777216.0f, &text);
    buffer_add_char(&text, ' ');
    float_print(3.4028235e38f, &text);
    CHECK_SLICE(buffer_slice(&text), SLICE("0.1 16777216.0 3.4028235e+38"));
}

static double random_double(int kind)
{
    uint64_t bits = test_random();
    double v;
    if (kind == 0)
        return (double)(int64_t)bits / 1024;
    if (kind == 1)
        return (double)(bits % 100000000) / 100;
    if (kind == 2)
        return (double)(bits % 1000000000000) / 1000000;
    memcpy(&v, &bits, sizeof v);
    return v;
}

TEST("a printed double or float does not read back to the same bits")
{
    CLEANUP(buffer_done) Buffer text = {0};
    for (int i = 0; i < 50000; i++) {
        double v = random_double(i % 4);
        float f = (float)v;
        if (isnan(v))
            continue;
        buffer_clear(&text);
        double_print(v, &text);
        buffer_add_u8(&text, 0);
        double back = strtod(text.data, NULL);
        CHECK(memcmp(&back, &v, sizeof v) == 0);
        CHECK(text.size <= 25);
        buffer_clear(&text);
        float_print(f, &text);
        buffer_add_u8(&text, 0);
        float float_back = strtof(text.data, NULL);
        CHECK(memcmp(&float_back, &f, sizeof f) == 0);
    }
}

TEST("a decimal of at most 15 digits is printed with more")
{
    CLEANUP(buffer_done) Buffer text = {0};
    for (int i = 0; i < 50000; i++) {
        char want[40];
        unsigned long long whole = test_random() % 1000000, fraction = test_random() % 100000;
        snprintf(want, sizeof want, "%llu.%05llu", whole, fraction);
        size_t size = strlen(want);
        while (want[size - 1] == '0' && want[size - 2] != '.')
            size--;
        if (whole == 0 && fraction < 10)
            continue; /* has an exponent */
        buffer_clear(&text);
        double_print(strtod(want, NULL), &text);
        CHECK_SLICE(buffer_slice(&text), slice_of(want, size));
    }
}
