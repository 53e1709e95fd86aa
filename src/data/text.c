/* SPDX-License-Identifier: Apache-2.0
 *
 * The text forms of timestamps, UUIDs and floating-point numbers. What a printer writes its parser
 * reads back to the same value. strtod and printf are used in the C locale, which the process never
 * leaves.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/value.h"

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY (INT64_C(86400) * US_PER_SECOND)

/* ---- Timestamps ------------------------------------------------------------------------------ */

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years start in March here,
 * so that the leap day is the last of its year. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *out_year, int *out_month, int *out_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    *out_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    *out_month = (int)(month < 10 ? month + 3 : month - 9);
    *out_year = year_of_era + era * 400 + (*out_month <= 2);
}

/* Reads between `least` and `most` digits. */
static bool take_digits(Slice *s, size_t least, size_t most, int *out)
{
    size_t count = 0;
    int v = 0;
    while (count < most && count < s->size && s->data[count] >= '0' && s->data[count] <= '9')
        v = v * 10 + (s->data[count++] - '0');
    if (count < least)
        return false;
    *s = slice_of(s->data + count, s->size - count);
    *out = v;
    return true;
}

static bool take_char(Slice *s, char c)
{
    if (s->size == 0 || s->data[0] != c)
        return false;
    *s = slice_of(s->data + 1, s->size - 1);
    return true;
}

static bool take_date(Slice *s, int64_t *out_days)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day;
    if (!take_digits(s, 4, 4, &year) || !take_char(s, '-') || !take_digits(s, 1, 2, &month) ||
        !take_char(s, '-') || !take_digits(s, 1, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1])
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month == 2 && day == 29 && !leap)
        return false;
    *out_days = days_of_date(year, month, day);
    return true;
}

/* ".123456789": what is below a microsecond is cut off. */
static bool take_fraction(Slice *s, int64_t *out_us)
{
    size_t before = s->size;
    int value;
    if (!take_digits(s, 1, 9, &value))
        return false;
    int64_t us = value;
    for (size_t digits = before - s->size; digits < 6; digits++)
        us *= 10;
    for (size_t digits = before - s->size; digits > 6; digits--)
        us /= 10;
    *out_us = us;
    return true;
}

static bool take_time(Slice *s, int64_t *out_us)
{
    int hour, minute, second = 0;
    int64_t fraction_us = 0;
    if (!take_digits(s, 1, 2, &hour) || !take_char(s, ':') || !take_digits(s, 2, 2, &minute))
        return false;
    if (take_char(s, ':')) {
        if (!take_digits(s, 2, 2, &second))
            return false;
        if (take_char(s, '.') && !take_fraction(s, &fraction_us))
            return false;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    *out_us = (hour * INT64_C(3600) + minute * 60 + second) * US_PER_SECOND + fraction_us;
    return true;
}

/* Nothing, Z, or ±hh, ±hhmm, ±hh:mm with one blank before; the offset is what to subtract. */
static bool take_zone(Slice *s, int64_t *out_us)
{
    *out_us = 0;
    if (s->size == 0)
        return true;
    take_char(s, ' ');
    if (take_char(s, 'Z') || take_char(s, 'z'))
        return true;
    bool west = take_char(s, '-');
    if (!west && !take_char(s, '+'))
        return false;
    int hours, minutes = 0;
    if (!take_digits(s, 2, 2, &hours))
        return false;
    if ((take_char(s, ':') || s->size > 0) && !take_digits(s, 2, 2, &minutes))
        return false;
    if (hours > 15 || minutes > 59)
        return false;
    int64_t us = (hours * INT64_C(3600) + minutes * 60) * US_PER_SECOND;
    *out_us = west ? -us : us;
    return true;
}

bool timestamp_parse(Slice text, int64_t *out_us)
{
    int64_t days, time_us = 0, zone_us = 0;
    if (!take_date(&text, &days))
        return false;
    if (text.size > 0) {
        if (!take_char(&text, 'T') && !take_char(&text, 't') && !take_char(&text, ' '))
            return false;
        if (!take_time(&text, &time_us) || !take_zone(&text, &zone_us))
            return false;
    }
    if (text.size > 0)
        return false;
    *out_us = days * US_PER_DAY + time_us - zone_us;
    return true;
}

void timestamp_print(int64_t us, Buffer *out)
{
    int64_t days = us / US_PER_DAY, rest_us = us % US_PER_DAY, year;
    if (rest_us < 0) {
        days--;
        rest_us += US_PER_DAY;
    }
    int month, day;
    date_of_days(days, &year, &month, &day);
    int second = (int)(rest_us / US_PER_SECOND), fraction = (int)(rest_us % US_PER_SECOND);
    buffer_printf(out, "%04lld-%02d-%02d %02d:%02d:%02d", (long long)year, month, day,
                  second / 3600, second / 60 % 60, second % 60);
    if (fraction == 0)
        return;
    int digits = 6;
    for (; fraction % 10 == 0; digits--)
        fraction /= 10;
    buffer_printf(out, ".%0*d", digits, fraction);
}

/* ---- UUIDs ----------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(Slice text, uint8_t out[16])
{
    if (text.size >= 2 && text.data[0] == '{' && text.data[text.size - 1] == '}')
        text = slice_of(text.data + 1, text.size - 2);
    bool hyphens = text.size == 36;
    if (!hyphens && text.size != 32)
        return false;
    uint8_t bytes[16];
    size_t at = 0;
    for (int i = 0; i < 16; i++) {
        if (hyphens && (i == 4 || i == 6 || i == 8 || i == 10) && text.data[at++] != '-')
            return false;
        int high = hex_digit(text.data[at]), low = hex_digit(text.data[at + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    memcpy(out, bytes, sizeof bytes);
    return true;
}

void uuid_print(const uint8_t uuid[16], Buffer *out)
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            buffer_add_char(out, '-');
        buffer_add_char(out, digits[uuid[i] >> 4]);
        buffer_add_char(out, digits[uuid[i] & 15]);
    }
}

/* ---- Floating-point numbers ------------------------------------------------------------------ */

/* Writes d.ddd × 10^exponent, plain between 1e-4 and 1e16 and with an exponent outside, as DuckDB
 * does. */
static void lay_out(const char *digits, int count, int exponent, Buffer *out)
{
    if (exponent < -4 || exponent >= 16) {
        buffer_printf(out, "%c%s%.*s", digits[0], count > 1 ? "." : "", count - 1, digits + 1);
        buffer_printf(out, "e%+03d", exponent);
        return;
    }
    if (exponent < 0) {
        buffer_add_text(out, "0.");
        for (int i = exponent; i < -1; i++)
            buffer_add_char(out, '0');
        buffer_add(out, digits, (size_t)count);
        return;
    }
    for (int i = 0; i <= exponent; i++)
        buffer_add_char(out, i < count ? digits[i] : '0');
    buffer_add_char(out, '.');
    if (count > exponent + 1)
        buffer_add(out, digits + exponent + 1, (size_t)(count - exponent - 1));
    else
        buffer_add_char(out, '0');
}

/* Whole numbers and those with up to six decimals, which are most, without printf and strtod: r /
 * 10^k with both exact is rounded once, just as reading the text "r·10^-k" is. With r < 10^15 no
 * other decimal of that size reads back to v, and the smallest k is the shortest. */
static bool print_few_decimals(double v, Buffer *out)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    if (v != 0 && v < 1e-4)
        return false;
    for (int k = 0; k <= 6; k++) {
        double scaled = v * powers[k];
        if (scaled >= (k == 0 ? 0x1p53 : 1e15))
            return false;
        int64_t r = (int64_t)(scaled + 0.5);
        if ((double)r / powers[k] != v)
            continue;
        int64_t power = (int64_t)powers[k];
        if (k == 0)
            buffer_printf(out, "%lld.0", (long long)r);
        else
            buffer_printf(out, "%lld.%0*lld", (long long)(r / power), k, (long long)(r % power));
        return true;
    }
    return false;
}

/* "-", "nan", "inf": what double and float have in common. True when nothing is left to print. */
static bool print_special(double v, Buffer *out)
{
    if (isnan(v)) {
        buffer_add_text(out, "nan");
        return true;
    }
    if (signbit(v))
        buffer_add_char(out, '-');
    if (isinf(v))
        buffer_add_text(out, "inf");
    return isinf(v);
}

/* Takes "d.ddde±xx" apart and lays it out without the zeros at the end. */
static void print_scientific(const char *text, Buffer *out)
{
    char digits[24];
    int count = 0;
    const char *at = text;
    for (; *at && *at != 'e'; at++) {
        if (*at != '.')
            digits[count++] = *at;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    lay_out(digits, count, (int)strtol(at + 1, NULL, 10), out);
}

void double_print(double v, Buffer *out)
{
    if (print_special(v, out))
        return;
    v = fabs(v);
    if (print_few_decimals(v, out))
        return;
    char text[40];
    /* Any decimal of 15 digits survives the way through a normal double; subnormals hold fewer. */
    for (int digits = v < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, v);
        if (strtod(text, NULL) == v)
            break;
    }
    print_scientific(text, out);
}

void float_print(float v, Buffer *out)
{
    if (print_special((double)v, out))
        return;
    v = fabsf(v);
    char text[40];
    for (int digits = v < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, (double)v);
        if (strtof(text, NULL) == v)
            break;
    }
    print_scientific(text, out);
}
