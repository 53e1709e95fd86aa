/* SPDX-License-Identifier: Apache-2.0
 *
 * One SQL value. Text and bytes are borrowed from an arena, a row or the SQL text.
 */
#pragma once

#include "base/arena.h"
#include "base/buffer.h"
#include "base/error.h"
#include "data/type.h"

typedef struct Value {
    Type type;
    bool is_null; /* a NULL keeps its type; TYPE_NULL is always null */
    union {
        bool boolean;
        int64_t integer; /* SMALLINT, INT, BIGINT; TIMESTAMP in microseconds */
        double real;     /* FLOAT (already rounded to float), DOUBLE */
        Slice bytes;     /* TEXT, JSON, BYTES */
        uint8_t uuid[16];
    };
} Value;

static inline Value value_null(Type type)
{
    return (Value){.type = type, .is_null = true};
}
static inline Value value_integer(Type type, int64_t v)
{
    return (Value){.type = type, .integer = v};
}
static inline Value value_text(Slice s)
{
    return (Value){.type = TYPE_TEXT, .bytes = s};
}
static inline Value value_boolean(bool b)
{
    return (Value){.type = TYPE_BOOLEAN, .boolean = b};
}
static inline Value value_double(double d)
{
    return (Value){.type = TYPE_DOUBLE, .real = d};
}

/* Total order of two non-null values of comparable types (numbers of any kind with each other
 * exactly, text with JSON, equal types else): -1, 0, 1. Texts compare by bytes (DuckDB's binary
 * collation), NaN is equal to itself and above all numbers (DuckDB). */
int value_compare(const Value *a, const Value *b);
/* False when value_compare has no meaning for the two types. */
bool value_comparable(Type a, Type b);
/* Same type, nullness and content (-0.0 is 0.0): what "unchanged" means for UPDATE. */
bool value_identical(const Value *a, const Value *b);

/* Converts to a column's type as INSERT, UPDATE and comparisons do (rules, messages: docs/sql.md).
 * Text converts to every type, numbers to numbers when in range (DOUBLE to integer rounds half to
 * even as DuckDB does), anything to TEXT. A NULL converts to a NULL of the type. `what` names the
 * target for the message, as "column 'id'". New memory comes from the arena. E_CONSTRAINT when out
 * of range or malformed: text is no integer unless it is whole digits, which '1.5' and '1e3' are
 * not. */
CHECKED Code value_cast(const Value *from, Type to, const char *what, Arena *arena, Value *out,
                        Error *e);
/* The same for CAST(x AS type): such text is rounded, half away from zero, as DuckDB does. */
CHECKED Code value_cast_explicitly(const Value *from, Type to, const char *what, Arena *arena,
                                   Value *out, Error *e);

/* The value as text, as CAST(x AS TEXT) and messages show it (doubles in the shortest form that
 * reads back, timestamps as 2026-11-21 04:07:12.123456, UUIDs lower case, bytes as \xAA…). */
void value_print(const Value *value, Buffer *out);

/* Timestamps: ISO 8601 in, with a T or a blank, optional fraction up to 9 digits (truncated to
 * microseconds) and optional zone (Z or ±hh[:mm]); a date alone is midnight. */
bool timestamp_parse(Slice text, int64_t *out_us);
void timestamp_print(int64_t us, Buffer *out); /* 2026-11-21 04:07:12[.ffffff] */
bool uuid_parse(Slice text, uint8_t out[16]);
void uuid_print(const uint8_t uuid[16], Buffer *out);
/* Shortest decimal form that reads back to the same double (or float); "1.0", "1e+300", "nan",
 * "inf". */
void double_print(double v, Buffer *out);
void float_print(float v, Buffer *out);
