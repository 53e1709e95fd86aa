/* SPDX-License-Identifier: Apache-2.0
 *
 * Values to bytes that sort as the values do (docs/formats/keys.md):
 *
 *     BOOLEAN            1 byte, 0 or 1
 *     integers, TIMESTAMP 8 bytes big-endian, sign bit flipped; one width, so that widening
 *                        keeps keys
 *     FLOAT, DOUBLE      8 bytes of the double: negative numbers inverted, others with the
 *                        sign bit set
 *     UUID               its 16 bytes
 *     TEXT, JSON, BYTES  the bytes with 00 written as 00 FF, closed by 00 01
 *
 * I1. Prefix-free: no encoding is the start of another of the same type.
 * I2. One value, one encoding: 0.0 stands for -0.0 too, and one NaN for all. The decoder refuses
 *     others.
 */
#include <math.h>

#include "base/limits.h"
#include "data/data_int.h"
#include "data/row.h"

#define SIGN_BIT (UINT64_C(1) << 63)

enum { ESCAPED_ZERO = 0xFF, END = 0x01 };

static uint64_t bits_of_real(double real)
{
    uint64_t bits;
    if (isnan(real))
        real = (double)NAN; /* I2 */
    if (real == 0)
        real = 0; /* I2 */
    memcpy(&bits, &real, sizeof bits);
    if (isnan(real))
        bits &= ~SIGN_BIT;
    return bits & SIGN_BIT ? ~bits : bits | SIGN_BIT;
}

static double real_of_bits(uint64_t bits)
{
    double real;
    bits = bits & SIGN_BIT ? bits & ~SIGN_BIT : ~bits;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static Code encode_bytes(Slice bytes, Buffer *out, Error *e)
{
    size_t zeros = 0;
    for (size_t i = 0; i < bytes.size && i < KEY_BYTES_MAX; i++)
        zeros += bytes.data[i] == 0;
    size_t size = bytes.size + zeros + 2;
    if (size > KEY_BYTES_MAX)
        return fail(e, E_CONSTRAINT, "A primary key of %zu bytes is longer than the %d allowed",
                    size, KEY_BYTES_MAX);
    buffer_reserve(out, size);
    for (size_t i = 0; i < bytes.size; i++) {
        buffer_add_char(out, bytes.data[i]);
        if (bytes.data[i] == 0)
            buffer_add_u8(out, ESCAPED_ZERO);
    }
    buffer_add_u8(out, 0);
    buffer_add_u8(out, END);
    return OK;
}

Code key_encode(const Value *value, Buffer *out, Error *e)
{
    if (value->is_null)
        return fail(e, E_CONSTRAINT, "A primary key cannot be NULL");
    switch (value->type) {
    case TYPE_BOOLEAN:
        buffer_add_u8(out, value->boolean);
        return OK;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        buffer_add_u64(out, (uint64_t)value->integer ^ SIGN_BIT);
        return OK;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        buffer_add_u64(out, bits_of_real(value->real));
        return OK;
    case TYPE_UUID:
        buffer_add(out, value->uuid, sizeof value->uuid);
        return OK;
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        return encode_bytes(value->bytes, out, e);
    case TYPE_NULL:
        break;
    }
    must(!"a value of no known type");
    return OK;
}

/* Finds the end of an escaped run. `out_size` is the size without escapes. */
static bool measure_bytes(Cursor *c, Slice *out_escaped, size_t *out_size)
{
    const unsigned char *start = c->at;
    size_t size = 0;
    for (const unsigned char *at = start; at < c->end; at++, size++) {
        if (*at)
            continue;
        if (++at == c->end)
            return false;
        if (*at == END) {
            *out_escaped = slice_of(start, (size_t)(at - 1 - start));
            *out_size = size;
            c->at = at + 1;
            return true;
        }
        if (*at != ESCAPED_ZERO)
            return false;
    }
    return false;
}

static bool decode_bytes(Cursor *c, Arena *arena, Slice *out)
{
    Slice escaped;
    size_t size;
    if (!measure_bytes(c, &escaped, &size) || escaped.size + 2 > KEY_BYTES_MAX)
        return false;
    char *bytes = (char *)arena_alloc(arena, size + 1);
    size_t at = 0;
    for (size_t i = 0; i < escaped.size; i++) {
        bytes[at++] = escaped.data[i];
        if (escaped.data[i] == 0)
            i++; /* the FF after it */
    }
    *out = slice_of(bytes, size);
    return true;
}

static bool decode_integer(Cursor *c, Type type, int64_t *out)
{
    uint64_t bits;
    if (!cursor_u64(c, &bits))
        return false;
    bits ^= SIGN_BIT;
    memcpy(out, &bits, sizeof *out);
    return type == TYPE_TIMESTAMP || data__integer_fits(*out, type);
}

static bool decode_real(Cursor *c, Type type, double *out)
{
    uint64_t bits;
    if (!cursor_u64(c, &bits))
        return false;
    *out = real_of_bits(bits);
    if (type == TYPE_FLOAT && !isnan(*out) && (double)(float)*out != *out)
        return false;
    return bits_of_real(*out) == bits; /* I2 */
}

static bool decode_value(Cursor *c, Type type, Arena *arena, Value *out)
{
    uint8_t byte;
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
        return decode_integer(c, type, &out->integer);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return decode_real(c, type, &out->real);
    case TYPE_UUID:
        if (!cursor_bytes(c, sizeof out->uuid, &bytes))
            return false;
        memcpy(out->uuid, bytes.data, sizeof out->uuid);
        return true;
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        return decode_bytes(c, arena, &out->bytes);
    case TYPE_NULL:
        break;
    }
    return false;
}

Code key_decode(Slice *io_bytes, Type type, Arena *arena, Value *out, Error *e)
{
    Cursor c = cursor_of(*io_bytes);
    Value value = {.type = type};
    if (!decode_value(&c, type, arena, &value))
        return fail(e, E_CORRUPT, "key: %zu bytes do not start with a %s key", io_bytes->size,
                    type_info(type)->name);
    *io_bytes = slice_of(c.at, cursor_left(&c));
    *out = value;
    return OK;
}
