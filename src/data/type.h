/* SPDX-License-Identifier: Apache-2.0
 *
 * The column types and their names in each language we speak: SQL, the wire, DuckDB.
 */
#pragma once

#include "base/slice.h"

/* The numbers are the storage tags of docs/formats/row.md; never renumber. */
typedef enum Type {
    TYPE_NULL = 0, /* the type of an untyped NULL literal or parameter, never of a column */
    TYPE_BOOLEAN = 0x01,
    TYPE_INT = 0x02,    /* 32 bit */
    TYPE_BIGINT = 0x03, /* 64 bit */
    TYPE_DOUBLE = 0x04,
    TYPE_FLOAT = 0x05,
    TYPE_TEXT = 0x06,      /* UTF-8 */
    TYPE_TIMESTAMP = 0x07, /* microseconds since 1970-01-01 00:00 UTC */
    TYPE_JSON = 0x0B,      /* the JSON text as sent */
    TYPE_BYTES = 0x0C,
    TYPE_UUID = 0x0E,     /* 16 bytes, big-endian */
    TYPE_SMALLINT = 0x10, /* 16 bit */
} Type;

typedef struct TypeInfo {
    Type type;
    const char *name;   /* "BIGINT": SQL, error texts, DuckDB's spelling where it is the same */
    const char *wire;   /* "BigInt": `data_type` in result schemas */
    const char *duckdb; /* "BIGINT" */
    const char *parquet_note; /* one word for the docs: physical type */
} TypeInfo;

const TypeInfo *type_info(Type type);
/* Looks up any SQL spelling of a type ("int8", "VARCHAR"), ignoring case; TYPE_NULL when
 * unknown. */
Type type_of_sql(Slice spelling);
static inline bool type_is_integer(Type t)
{
    return t == TYPE_SMALLINT || t == TYPE_INT || t == TYPE_BIGINT;
}
static inline bool type_is_number(Type t)
{
    return type_is_integer(t) || t == TYPE_FLOAT || t == TYPE_DOUBLE;
}
static inline bool type_is_text(Type t)
{
    return t == TYPE_TEXT || t == TYPE_JSON;
}
