/* SPDX-License-Identifier: Apache-2.0
 *
 * Comparing and printing values. Orders and spellings are DuckDB's, since a query may be answered
 * by either engine and must not change its answer when rows move to the cold tier.
 */
#include "data/value.h"

#include <math.h>
#include <stdio.h>

#include "data/data_int.h"

#define THREE_WAY(a, b) (((a) > (b)) - ((a) < (b)))

bool value_comparable(Type a, Type b)
{
    if (a == TYPE_NULL || b == TYPE_NULL)
        return false;
    return a == b || (type_is_number(a) && type_is_number(b)) ||
           (type_is_text(a) && type_is_text(b));
}

static int compare_reals(double a, double b)
{
    if (isnan(a) || isnan(b))
        return (isnan(a) != 0) - (isnan(b) != 0);
    return THREE_WAY(a, b);
}

/* Exact: converting either side to the other's type would merge neighbours above 2^53. */
static int compare_integer_with_real(int64_t integer, double real)
{
    if (isnan(real) || real >= 0x1p63)
        return -1;
    if (real < -0x1p63)
        return 1;
    int64_t whole = (int64_t)real;
    if (integer != whole)
        return THREE_WAY(integer, whole);
    return THREE_WAY((double)whole,
                     real); /* a fraction exists below 2^53 only, where this is exact */
}

static int compare_numbers(const Value *a, const Value *b)
{
    bool a_integer = type_is_integer(a->type), b_integer = type_is_integer(b->type);
    if (a_integer && b_integer)
        return THREE_WAY(a->integer, b->integer);
    if (a_integer)
        return compare_integer_with_real(a->integer, b->real);
    if (b_integer)
        return -compare_integer_with_real(b->integer, a->real);
    return compare_reals(a->real, b->real);
}

static int sign(int order)
{
    return THREE_WAY(order, 0);
}

int value_compare(const Value *a, const Value *b)
{
    must(!a->is_null && !b->is_null);
    must(value_comparable(a->type, b->type));
    switch (a->type) {
    case TYPE_BOOLEAN:
        return THREE_WAY(a->boolean, b->boolean);
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return compare_numbers(a, b);
    case TYPE_TIMESTAMP:
        return THREE_WAY(a->integer, b->integer);
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        return sign(slice_compare(a->bytes, b->bytes));
    case TYPE_UUID:
        return sign(memcmp(a->uuid, b->uuid, sizeof a->uuid));
    case TYPE_NULL:
        break;
    }
    must(!"a value of no known type");
    return 0;
}

bool value_identical(const Value *a, const Value *b)
{
    if (a->type != b->type || a->is_null != b->is_null)
        return false;
    return a->is_null || value_compare(a, b) == 0;
}

/* DuckDB's form of a BLOB, which value_cast reads back: printable ASCII stands for itself. */
static void print_bytes(Slice bytes, Buffer *out)
{
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        if (c >= 32 && c <= 126 && c != '\\' && c != '\'' && c != '"')
            buffer_add_char(out, (char)c);
        else
            buffer_printf(out, "\\x%02X", c);
    }
}

void value_print(const Value *value, Buffer *out)
{
    if (value->is_null) {
        buffer_add_text(out, "NULL");
        return;
    }
    switch (value->type) {
    case TYPE_NULL:
        buffer_add_text(out, "NULL");
        break;
    case TYPE_BOOLEAN:
        buffer_add_text(out, value->boolean ? "true" : "false");
        break;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
        buffer_printf(out, "%lld", (long long)value->integer);
        break;
    case TYPE_FLOAT:
        float_print((float)value->real, out);
        break;
    case TYPE_DOUBLE:
        double_print(value->real, out);
        break;
    case TYPE_TIMESTAMP:
        timestamp_print(value->integer, out);
        break;
    case TYPE_TEXT:
    case TYPE_JSON:
        buffer_add_slice(out, value->bytes);
        break;
    case TYPE_BYTES:
        print_bytes(value->bytes, out);
        break;
    case TYPE_UUID:
        uuid_print(value->uuid, out);
        break;
    }
}
