/* SPDX-License-Identifier: Apache-2.0
 *
 * Conversion of values to the type of a column: what INSERT, UPDATE, parameters and CAST share.
 *
 * Text converts to every type, because existing clients quote numbers in keys (WHERE id = '42').
 * A number that does not fit is refused, never wrapped or clamped. TIMESTAMP and BIGINT convert as
 * microseconds, the form timestamps have on the wire.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "data/data_int.h"
#include "data/json.h"
#include "data/value.h"

enum {
    SHOWN_BYTES_MAX = 64,    /* of a value in a message */
    NUMBER_BYTES_MAX = 1100, /* a double never needs more than 767 digits to be read exactly */
};

typedef struct Cast {
    const Value *from;
    Type to;
    const char *what;
    bool rounds_text;
    Arena *arena;
    Error *e;
} Cast;

/* The value for a message: its start, cut between characters; always UTF-8, without NUL. */
static Slice shown(const Value *value, Buffer *scratch)
{
    Value part = *value;
    if (type_is_text(part.type) || part.type == TYPE_BYTES) {
        size_t size = part.bytes.size < SHOWN_BYTES_MAX ? part.bytes.size : SHOWN_BYTES_MAX;
        while (size > 0 && size < part.bytes.size &&
               ((unsigned char)part.bytes.data[size] & 0xC0) == 0x80)
            size--;
        part.bytes.size = size;
        if (!slice_is_utf8(part.bytes) || (size && memchr(part.bytes.data, 0, size)))
            part.type = TYPE_BYTES;
    }
    value_print(&part, scratch);
    return buffer_slice(scratch);
}

static const char *expected(Type type)
{
    switch (type) {
    case TYPE_BOOLEAN:
        return "expected true or false";
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
        return "expected a whole number";
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return "expected a number";
    case TYPE_TIMESTAMP:
        return "expected a time such as 2026-01-31 23:59:59.5 of the years 1 to 9999";
    case TYPE_UUID:
        return "expected 32 hexadecimal digits, with or without hyphens";
    case TYPE_BYTES:
        return "expected ASCII text, other bytes written as \\xAA";
    default:
        return "the text is malformed";
    }
}

static Code malformed(const Cast *c)
{
    CLEANUP(buffer_done) Buffer scratch = {0};
    Slice text = shown(c->from, &scratch);
    return fail(c->e, E_CONSTRAINT, "Invalid %s literal '%.*s' for %s: %s", type_info(c->to)->name,
                SLICE_ARGS(text), c->what, expected(c->to));
}

static Code out_of_range(const Cast *c)
{
    CLEANUP(buffer_done) Buffer scratch = {0};
    Slice text = shown(c->from, &scratch);
    return fail(c->e, E_CONSTRAINT, "Value %.*s is out of range for type %s of %s",
                SLICE_ARGS(text), type_info(c->to)->name, c->what);
}

static Code impossible(const Cast *c)
{
    return fail(c->e, E_CONSTRAINT, "A value of type %s cannot be converted to type %s of %s",
                type_info(c->from->type)->name, type_info(c->to)->name, c->what);
}

static Slice trimmed(Slice s)
{
    while (s.size && (s.data[0] == ' ' || (s.data[0] >= '\t' && s.data[0] <= '\r')))
        s = slice_of(s.data + 1, s.size - 1);
    while (s.size && (s.data[s.size - 1] == ' ' ||
                      (s.data[s.size - 1] >= '\t' && s.data[s.size - 1] <= '\r')))
        s.size--;
    return s;
}

/* ---- Numbers in text ------------------------------------------------------------------------- */

typedef struct Number {
    bool negative, has_fraction, has_exponent;
    Slice whole, fraction; /* digits only; one of them may be empty */
} Number;

static Slice take_digits(Slice *s)
{
    size_t count = 0;
    while (count < s->size && s->data[count] >= '0' && s->data[count] <= '9')
        count++;
    Slice digits = slice_of(s->data, count);
    *s = slice_of(s->data + count, s->size - count);
    return digits;
}

static bool take_sign(Slice *s)
{
    bool negative = s->size && s->data[0] == '-';
    if (s->size && (s->data[0] == '-' || s->data[0] == '+'))
        *s = slice_of(s->data + 1, s->size - 1);
    return negative;
}

/* [+-]digits[.digits][e[+-]digits], with at least one digit before the e. */
static bool split_number(Slice s, Number *out)
{
    Number n = {.negative = take_sign(&s)};
    n.whole = take_digits(&s);
    if (s.size && s.data[0] == '.') {
        s = slice_of(s.data + 1, s.size - 1);
        n.has_fraction = true; /* also as "2." */
        n.fraction = take_digits(&s);
    }
    if (n.whole.size + n.fraction.size == 0)
        return false;
    if (s.size && (s.data[0] == 'e' || s.data[0] == 'E')) {
        s = slice_of(s.data + 1, s.size - 1);
        take_sign(&s);
        n.has_exponent = true;
        if (take_digits(&s).size == 0)
            return false;
    }
    *out = n;
    return s.size == 0;
}

/* Exact to the last digit; a fraction rounds half away from zero, as DuckDB reads text. False when
 * it overflows. */
static bool integer_of_number(const Number *n, int64_t *out)
{
    int64_t v = 0;
    for (size_t i = 0; i < n->whole.size; i++) {
        int digit = n->whole.data[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, n->negative ? -digit : digit, &v))
            return false;
    }
    bool round_up = n->fraction.size && n->fraction.data[0] >= '5';
    if (round_up && __builtin_add_overflow(v, n->negative ? -1 : 1, &v))
        return false;
    *out = v;
    return true;
}

/* Reads what split_number has accepted, or nan, inf and infinity. False when it is neither. */
static bool real_of_text(Slice s, bool as_float, double *out)
{
    char text[NUMBER_BYTES_MAX + 1];
    Number n;
    Slice name = s;
    bool negative = take_sign(&name);
    if (slice_equal_ignoring_case(name, SLICE("nan"))) {
        *out = (double)NAN;
        return true;
    }
    if (slice_equal_ignoring_case(name, SLICE("inf")) ||
        slice_equal_ignoring_case(name, SLICE("infinity"))) {
        *out = negative ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    if (s.size > NUMBER_BYTES_MAX || !split_number(s, &n))
        return false;
    memcpy(text, s.data, s.size);
    text[s.size] = 0;
    *out = as_float ? (double)strtof(text, NULL) : strtod(text, NULL);
    return true;
}

/* ---- One function per target ----------------------------------------------------------------- */

static Code integer_of_rounded(const Cast *c, double rounded, int64_t *out)
{
    if (!(rounded >= -0x1p63 && rounded < 0x1p63))
        return out_of_range(c);
    *out = (int64_t)rounded;
    return OK;
}

static Code integer_of_text(const Cast *c, int64_t *out)
{
    Slice text = trimmed(c->from->bytes);
    Number n;
    if (text.size > NUMBER_BYTES_MAX || !split_number(text, &n))
        return malformed(c);
    if (!c->rounds_text && (n.has_fraction || n.has_exponent))
        return malformed(c);
    if (!n.has_exponent)
        return integer_of_number(&n, out) ? OK : out_of_range(c);
    double real;
    if (!real_of_text(text, false, &real))
        return malformed(c);
    return integer_of_rounded(c, round(real),
                              out); /* half away from zero, as without an exponent */
}

static Code to_integer(const Cast *c, Value *out)
{
    int64_t v = 0;
    switch (c->from->type) {
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        v = c->from->integer;
        break;
    case TYPE_BOOLEAN:
        v = c->from->boolean;
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        TRY(integer_of_rounded(c, nearbyint(c->from->real), &v)); /* half to even */
        break;
    case TYPE_TEXT:
    case TYPE_JSON:
        TRY(integer_of_text(c, &v));
        break;
    default:
        return impossible(c);
    }
    if (!data__integer_fits(v, c->to))
        return out_of_range(c);
    *out = value_integer(c->to, v);
    return OK;
}

static Code to_real(const Cast *c, Value *out)
{
    bool as_float = c->to == TYPE_FLOAT;
    double v = 0;
    bool finite = true; /* what came in */
    switch (c->from->type) {
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
        v = as_float ? (double)(float)c->from->integer : (double)c->from->integer;
        break;
    case TYPE_BOOLEAN:
        v = c->from->boolean;
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        finite = isfinite(c->from->real);
        v = as_float ? (double)(float)c->from->real : c->from->real;
        break;
    case TYPE_TEXT:
    case TYPE_JSON: {
        Number n;
        Slice text = trimmed(c->from->bytes);
        if (!real_of_text(text, as_float, &v))
            return malformed(c);
        finite = split_number(text, &n);
        break;
    }
    default:
        return impossible(c);
    }
    if (finite && !isfinite(v))
        return out_of_range(c);
    *out = (Value){.type = c->to, .real = v};
    return OK;
}

static Code to_boolean(const Cast *c, Value *out)
{
    static const char *const yes[] = {"true", "t", "1", "yes", "y"};
    static const char *const no[] = {"false", "f", "0", "no", "n"};
    if (type_is_integer(c->from->type)) {
        *out = value_boolean(c->from->integer != 0);
        return OK;
    }
    if (type_is_number(c->from->type)) {
        *out = value_boolean(c->from->real != 0);
        return OK;
    }
    if (!type_is_text(c->from->type))
        return impossible(c);
    Slice text = trimmed(c->from->bytes);
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        bool is_yes = slice_equal_ignoring_case(text, slice_of_text(yes[i]));
        if (is_yes || slice_equal_ignoring_case(text, slice_of_text(no[i]))) {
            *out = value_boolean(is_yes);
            return OK;
        }
    }
    return malformed(c);
}

static Code to_timestamp(const Cast *c, Value *out)
{
    int64_t us = 0;
    if (type_is_text(c->from->type)) {
        if (!timestamp_parse(trimmed(c->from->bytes), &us))
            return malformed(c);
    } else if (type_is_integer(c->from->type)) {
        us = c->from->integer;
    } else {
        return impossible(c);
    }
    if (!data__integer_fits(us, TYPE_TIMESTAMP))
        return out_of_range(c);
    *out = value_integer(TYPE_TIMESTAMP, us);
    return OK;
}

static Code to_uuid(const Cast *c, Value *out)
{
    Value v = {.type = TYPE_UUID};
    if (type_is_text(c->from->type)) {
        if (!uuid_parse(trimmed(c->from->bytes), v.uuid))
            return malformed(c);
    } else if (c->from->type == TYPE_BYTES) {
        if (c->from->bytes.size != sizeof v.uuid)
            return malformed(c);
        memcpy(v.uuid, c->from->bytes.data, sizeof v.uuid);
    } else {
        return impossible(c);
    }
    *out = v;
    return OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* DuckDB's text form of a BLOB: \xAA is a byte, other ASCII stands for itself. */
static Code to_bytes(const Cast *c, Value *out)
{
    if (c->from->type == TYPE_UUID) {
        Slice copy = arena_copy(c->arena, slice_of(c->from->uuid, sizeof c->from->uuid));
        *out = (Value){.type = TYPE_BYTES, .bytes = copy};
        return OK;
    }
    if (!type_is_text(c->from->type))
        return impossible(c);
    Slice text = c->from->bytes;
    char *bytes = (char *)arena_alloc(c->arena, text.size + 1);
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if ((unsigned char)byte >= 0x80)
            return malformed(c);
        if (byte == '\\') {
            if (text.size - i < 4 || text.data[i + 1] != 'x')
                return malformed(c);
            int high = hex_digit(text.data[i + 2]), low = hex_digit(text.data[i + 3]);
            if (high < 0 || low < 0)
                return malformed(c);
            byte = (char)(high << 4 | low);
            i += 3;
        }
        bytes[size++] = byte;
    }
    *out = (Value){.type = TYPE_BYTES, .bytes = slice_of(bytes, size)};
    return OK;
}

static Code to_text(const Cast *c, Value *out)
{
    if (type_is_text(c->from->type)) {
        *out = value_text(c->from->bytes);
        return OK;
    }
    CLEANUP(buffer_done) Buffer text = {0};
    value_print(c->from, &text);
    *out = value_text(arena_copy(c->arena, buffer_slice(&text)));
    return OK;
}

static Code json_of_text(const Cast *c, Value *out)
{
    size_t offset;
    if (!json_text_valid(c->from->bytes, &offset)) {
        CLEANUP(buffer_done) Buffer scratch = {0};
        Slice text = shown(c->from, &scratch);
        return fail(c->e, E_CONSTRAINT, "Invalid JSON literal '%.*s' for %s: not valid at byte %zu",
                    SLICE_ARGS(text), c->what, offset);
    }
    *out = (Value){.type = TYPE_JSON, .bytes = c->from->bytes};
    return OK;
}

/* Numbers and booleans are JSON as printed, times and UUIDs become JSON strings. */
static Code to_json(const Cast *c, Value *out)
{
    const Value *from = c->from;
    if (from->type == TYPE_TEXT)
        return json_of_text(c, out);
    if (from->type == TYPE_BYTES)
        return impossible(c);
    bool is_real = type_is_number(from->type) && !type_is_integer(from->type);
    if (is_real && !isfinite(from->real))
        return out_of_range(c);
    CLEANUP(buffer_done) Buffer printed = {0};
    CLEANUP(buffer_done) Buffer json = {0};
    value_print(from, &printed);
    if (type_is_number(from->type) || from->type == TYPE_BOOLEAN)
        buffer_add_slice(&json, buffer_slice(&printed));
    else
        json_add_string(&json, buffer_slice(&printed));
    *out = (Value){.type = TYPE_JSON, .bytes = arena_copy(c->arena, buffer_slice(&json))};
    return OK;
}

static Code cast(const Cast *c, Value *out)
{
    if (c->from->is_null) {
        *out = value_null(c->to);
        return OK;
    }
    if (c->from->type == c->to) {
        *out = *c->from;
        return OK;
    }
    switch (c->to) {
    case TYPE_BOOLEAN:
        return to_boolean(c, out);
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
        return to_integer(c, out);
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return to_real(c, out);
    case TYPE_TEXT:
        return to_text(c, out);
    case TYPE_TIMESTAMP:
        return to_timestamp(c, out);
    case TYPE_JSON:
        return to_json(c, out);
    case TYPE_BYTES:
        return to_bytes(c, out);
    case TYPE_UUID:
        return to_uuid(c, out);
    case TYPE_NULL:
        break;
    }
    return impossible(c);
}

Code value_cast(const Value *from, Type to, const char *what, Arena *arena, Value *out, Error *e)
{
    Cast c = {from, to, what ? what : "CAST", false, arena, e};
    return cast(&c, out);
}

Code value_cast_explicitly(const Value *from, Type to, const char *what, Arena *arena, Value *out,
                           Error *e)
{
    Cast c = {from, to, what ? what : "CAST", true, arena, e};
    return cast(&c, out);
}
