/* SPDX-License-Identifier: Apache-2.0
 *
 * Values <-> DuckDB's vectors and parameters. Vectors are filled and read in place, without the
 * value API of DuckDB, which allocates per value and crashes on UUIDs.
 *
 * A UUID is a 128-bit integer in a vector whose top bit is flipped, so that it sorts like its text.
 */
#include "engine/engine_int.h"

#include <string.h>

static const struct {
    Type type;
    duckdb_type kind;
    const char *name;
} type_names[] = {
    {TYPE_BOOLEAN, DUCKDB_TYPE_BOOLEAN, "BOOLEAN"},
    {TYPE_SMALLINT, DUCKDB_TYPE_SMALLINT, "SMALLINT"},
    {TYPE_INT, DUCKDB_TYPE_INTEGER, "INTEGER"},
    {TYPE_BIGINT, DUCKDB_TYPE_BIGINT, "BIGINT"},
    {TYPE_FLOAT, DUCKDB_TYPE_FLOAT, "FLOAT"},
    {TYPE_DOUBLE, DUCKDB_TYPE_DOUBLE, "DOUBLE"},
    {TYPE_TEXT, DUCKDB_TYPE_VARCHAR, "VARCHAR"},
    {TYPE_JSON, DUCKDB_TYPE_VARCHAR, "VARCHAR"},
    {TYPE_TIMESTAMP, DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP"},
    {TYPE_BYTES, DUCKDB_TYPE_BLOB, "BLOB"},
    {TYPE_UUID, DUCKDB_TYPE_UUID, "UUID"},
    {TYPE_NULL, DUCKDB_TYPE_VARCHAR, "VARCHAR"},
};

duckdb_type engine__duckdb_type(Type type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (type_names[i].type == type)
            return type_names[i].kind;
    }
    must(!"a type without a DuckDB type");
    return DUCKDB_TYPE_INVALID;
}

const char *engine_type_name(Type type)
{
    for (size_t i = 0; i < sizeof type_names / sizeof *type_names; i++) {
        if (type_names[i].type == type)
            return type_names[i].name;
    }
    must(!"a type without a DuckDB type");
    return "";
}

static uint64_t load_u64_big(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static void store_u64_big(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

static const uint64_t TOP_BIT = (uint64_t)1 << 63;

/* ---- Writing ---- */

void engine__writer_start(ColumnWriter *writer, duckdb_vector vector)
{
    writer->vector = vector;
    writer->data = duckdb_vector_get_data(vector);
    writer->validity = NULL;
}

static void write_null(ColumnWriter *writer, idx_t row)
{
    if (!writer->validity) {
        duckdb_vector_ensure_validity_writable(writer->vector);
        writer->validity = duckdb_vector_get_validity(writer->vector);
    }
    writer->validity[row / 64] &= ~((uint64_t)1 << (row % 64));
}

void engine__write_value(ColumnWriter *writer, idx_t row, const Value *value)
{
    if (value->is_null) {
        write_null(writer, row);
        return;
    }
    must(value->type == writer->type);
    switch (value->type) {
    case TYPE_BOOLEAN:
        ((bool *)writer->data)[row] = value->boolean;
        return;
    case TYPE_SMALLINT:
        ((int16_t *)writer->data)[row] = (int16_t)value->integer;
        return;
    case TYPE_INT:
        ((int32_t *)writer->data)[row] = (int32_t)value->integer;
        return;
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        ((int64_t *)writer->data)[row] = value->integer;
        return;
    case TYPE_FLOAT:
        ((float *)writer->data)[row] = (float)value->real;
        return;
    case TYPE_DOUBLE:
        ((double *)writer->data)[row] = value->real;
        return;
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        duckdb_vector_assign_string_element_len(
            writer->vector, row, value->bytes.data ? value->bytes.data : "", value->bytes.size);
        return;
    case TYPE_UUID:
        ((duckdb_hugeint *)writer->data)[row] =
            (duckdb_hugeint){.lower = load_u64_big(value->uuid + 8),
                             .upper = (int64_t)(load_u64_big(value->uuid) ^ TOP_BIT)};
        return;
    case TYPE_NULL:
        break;
    }
    must(!"a value of no type");
}

/* ---- Reading ---- */

static Type type_of_duckdb(duckdb_type kind)
{
    switch (kind) { /* long: table */
    case DUCKDB_TYPE_BOOLEAN:
        return TYPE_BOOLEAN;
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_SMALLINT:
        return TYPE_SMALLINT;
    case DUCKDB_TYPE_USMALLINT:
    case DUCKDB_TYPE_INTEGER:
        return TYPE_INT;
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT:
        return TYPE_BIGINT;
    case DUCKDB_TYPE_FLOAT:
        return TYPE_FLOAT;
    case DUCKDB_TYPE_DOUBLE:
    case DUCKDB_TYPE_DECIMAL:
        return TYPE_DOUBLE;
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        return TYPE_TIMESTAMP;
    case DUCKDB_TYPE_BLOB:
        return TYPE_BYTES;
    case DUCKDB_TYPE_UUID:
        return TYPE_UUID;
    case DUCKDB_TYPE_SQLNULL:
        return TYPE_NULL;
    default:
        return TYPE_TEXT;
    }
}

bool engine__reader_knows(duckdb_type kind)
{
    return kind == DUCKDB_TYPE_VARCHAR || type_of_duckdb(kind) != TYPE_TEXT ||
           kind == DUCKDB_TYPE_INVALID; /* that of a bare parameter, known once it is bound */
}

void engine__reader_init(ColumnReader *reader, duckdb_logical_type type)
{
    *reader = (ColumnReader){.kind = duckdb_get_type_id(type)};
    reader->type = type_of_duckdb(reader->kind);
    if (reader->kind == DUCKDB_TYPE_DECIMAL) {
        reader->storage = duckdb_decimal_internal_type(type);
        reader->divisor = 1;
        for (uint8_t i = 0; i < duckdb_decimal_scale(type); i++)
            reader->divisor *= 10;
    }
}

void engine__reader_start(ColumnReader *reader, duckdb_vector vector)
{
    reader->data = duckdb_vector_get_data(vector);
    reader->validity = duckdb_vector_get_validity(vector);
}

static Code read_wide(uint64_t lower, int64_t upper, bool is_unsigned, Value *out, Error *e)
{
    bool fits =
        is_unsigned ? upper == 0 && lower <= INT64_MAX : upper == ((int64_t)lower < 0 ? -1 : 0);
    if (!fits)
        return fail(e, E_EXECUTION, "an integer of the result is out of range for type BIGINT");
    out->integer = (int64_t)lower;
    return OK;
}

static __int128 read_decimal_integer(const ColumnReader *reader, idx_t row)
{
    switch (reader->storage) {
    case DUCKDB_TYPE_SMALLINT:
        return ((const int16_t *)reader->data)[row];
    case DUCKDB_TYPE_INTEGER:
        return ((const int32_t *)reader->data)[row];
    case DUCKDB_TYPE_BIGINT:
        return ((const int64_t *)reader->data)[row];
    default: {
        duckdb_hugeint v = ((const duckdb_hugeint *)reader->data)[row];
        return (__int128)((unsigned __int128)(uint64_t)v.upper << 64 | v.lower);
    }
    }
}

/* As DuckDB's own cast: integers beyond 2^53 are split, so that only one rounding matters. */
static double read_decimal(const ColumnReader *reader, idx_t row)
{
    __int128 v = read_decimal_integer(reader, row);
    const __int128 exact = (__int128)1 << 53;
    if (v >= -exact && v <= exact)
        return (double)v / (double)reader->divisor;
    return (double)(v / reader->divisor) + (double)(v % reader->divisor) / (double)reader->divisor;
}

static Code scale_timestamp(int64_t v, int64_t factor, Value *out, Error *e)
{
    bool is_infinite = v == INT64_MAX || v == -INT64_MAX;
    out->integer = v;
    if (!is_infinite && __builtin_mul_overflow(v, factor, &out->integer))
        return fail(e, E_EXECUTION, "a timestamp of the result is out of range");
    return OK;
}

static void read_uuid(duckdb_hugeint v, Value *out)
{
    store_u64_big(out->uuid, (uint64_t)v.upper ^ TOP_BIT);
    store_u64_big(out->uuid + 8, v.lower);
}

Code engine__read_value(const ColumnReader *reader, idx_t row, Value *out, Error *e)
{ /* long: table */
    *out = (Value){.type = reader->type};
    const void *data = reader->data;
    if (reader->type == TYPE_NULL ||
        (reader->validity && !(reader->validity[row / 64] >> (row % 64) & 1))) {
        out->is_null = true;
        return OK;
    }
    switch (reader->kind) {
    case DUCKDB_TYPE_BOOLEAN:
        out->boolean = ((const bool *)data)[row];
        return OK;
    case DUCKDB_TYPE_TINYINT:
        out->integer = ((const int8_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_UTINYINT:
        out->integer = ((const uint8_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_SMALLINT:
        out->integer = ((const int16_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_USMALLINT:
        out->integer = ((const uint16_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_INTEGER:
        out->integer = ((const int32_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_UINTEGER:
        out->integer = ((const uint32_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_BIGINT:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        out->integer = ((const int64_t *)data)[row];
        return OK;
    case DUCKDB_TYPE_UBIGINT:
        return read_wide(((const uint64_t *)data)[row], 0, true, out, e);
    case DUCKDB_TYPE_HUGEINT:
        return read_wide(((const duckdb_hugeint *)data)[row].lower,
                         ((const duckdb_hugeint *)data)[row].upper, false, out, e);
    case DUCKDB_TYPE_UHUGEINT:
        return read_wide(((const duckdb_uhugeint *)data)[row].lower,
                         (int64_t)((const duckdb_uhugeint *)data)[row].upper, true, out, e);
    case DUCKDB_TYPE_FLOAT:
        out->real = (double)((const float *)data)[row];
        return OK;
    case DUCKDB_TYPE_DOUBLE:
        out->real = ((const double *)data)[row];
        return OK;
    case DUCKDB_TYPE_DECIMAL:
        out->real = read_decimal(reader, row);
        return OK;
    case DUCKDB_TYPE_TIMESTAMP_S:
        return scale_timestamp(((const int64_t *)data)[row], 1000000, out, e);
    case DUCKDB_TYPE_TIMESTAMP_MS:
        return scale_timestamp(((const int64_t *)data)[row], 1000, out, e);
    case DUCKDB_TYPE_TIMESTAMP_NS:
        out->integer = ((const int64_t *)data)[row] / 1000;
        return OK;
    case DUCKDB_TYPE_UUID:
        read_uuid(((const duckdb_hugeint *)data)[row], out);
        return OK;
    default: { /* VARCHAR, BLOB: all else was cast to text */
        duckdb_string_t *text = &((duckdb_string_t *)(uintptr_t)data)[row];
        out->bytes = slice_of(duckdb_string_t_data(text), duckdb_string_t_length(*text));
        return OK;
    }
    }
}
