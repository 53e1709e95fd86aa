/* SPDX-License-Identifier: Apache-2.0
 *
 * The row codec. The format, also in docs/formats/row.md:
 *
 *     row     = format(u8 = 1)  schema version(varint)  field*  crc(u32 big-endian)
 *     field   = head(varint: step << 5 | tag)  payload
 *     step    = field id minus the field id before it (0 before the first), so at least 1
 *     tag     = a Type; 0 for NULL, without payload; 0x1E for a run of NULLs,
 *               payload: how many (varint, >= 2)
 *     payload = BOOLEAN u8 0 or 1 | integers and TIMESTAMP zigzag varint | FLOAT 4, DOUBLE 8
 *               bytes big-endian | TEXT, JSON, BYTES size(varint) and bytes | UUID 16 bytes
 *     crc     = CRC-32C of everything before it
 *
 * I1. Field ids rise. A field that comes twice or out of order cannot be written down: its step
 *     would be 0.
 * I2. A row of the schema's own version has exactly the schema's fields. Only rows of other
 *     versions may lack fields or have unknown ones.
 * I3. The checksum is tested before anything else is believed; what follows it still checks each
 *     size, so that a forged checksum can give a wrong value but never a read out of bounds.
 */
#include "data/row.h"

#include "base/limits.h"
#include "data/data_int.h"

enum {
    ROW_FORMAT = 1,
    TAG_BITS = 5,
    TAG_NULL_RUN = 0x1E,
    CRC_BYTES = 4,
    VARINT_BYTES_MAX = 10,
};

/* ---- Payloads -------------------------------------------------------------------------------- */

/* LEB128 into memory that has room for 10 bytes; returns the place after it. */
static unsigned char *put_varint(unsigned char *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (unsigned char)(v | 0x80);
    *at++ = (unsigned char)v;
    return at;
}

/* cursor_varint with its common case in line. */
static inline bool take_varint(Cursor *c, uint64_t *out)
{
    if (c->at < c->end && *c->at < 0x80) {
        *out = *c->at++;
        return true;
    }
    const unsigned char *at = c->at;
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && at < c->end; shift += 7) {
        unsigned char byte = *at++;
        if (shift == 63 && byte > 1)
            return false;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            c->at = at;
            *out = v;
            return true;
        }
    }
    return false;
}

static unsigned char *put_big_endian(unsigned char *at, uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--)
        *at++ = (unsigned char)(v >> (8 * i));
    return at;
}

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    uint64_t bits = v >> 1 ^ (0 - (v & 1));
    int64_t out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

bool data__integer_fits(int64_t v, Type type)
{
    switch (type) {
    case TYPE_SMALLINT:
        return v >= INT16_MIN && v <= INT16_MAX;
    case TYPE_INT:
        return v >= INT32_MIN && v <= INT32_MAX;
    case TYPE_TIMESTAMP:
        return v >= DATA__TIMESTAMP_MIN_US && v <= DATA__TIMESTAMP_MAX_US;
    default:
        return true;
    }
}

size_t data__payload_bytes_max(const Value *value)
{
    if (type_is_text(value->type) || value->type == TYPE_BYTES)
        return VARINT_BYTES_MAX + value->bytes.size;
    return sizeof value->uuid;
}

unsigned char *data__put_payload(unsigned char *at, const Value *value)
{
    switch (value->type) {
    case TYPE_BOOLEAN:
        *at++ = value->boolean;
        return at;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        return put_varint(at, zigzag(value->integer));
    case TYPE_FLOAT: {
        float real = (float)value->real + 0.0F; /* -0.0 becomes 0.0 */
        uint32_t bits;
        memcpy(&bits, &real, sizeof bits);
        return put_big_endian(at, bits, 4);
    }
    case TYPE_DOUBLE: {
        double real = value->real + 0.0;
        uint64_t bits;
        memcpy(&bits, &real, sizeof bits);
        return put_big_endian(at, bits, 8);
    }
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        at = put_varint(at, value->bytes.size);
        if (value->bytes.size)
            memcpy(at, value->bytes.data, value->bytes.size);
        return at + value->bytes.size;
    case TYPE_UUID:
        memcpy(at, value->uuid, sizeof value->uuid);
        return at + sizeof value->uuid;
    case TYPE_NULL:
        break;
    }
    must(!"a value of no known type");
    return at;
}

static bool take_integer(Cursor *c, Type tag, Value *out)
{
    uint64_t v;
    if (!take_varint(c, &v))
        return false;
    out->integer = unzigzag(v);
    return tag == TYPE_TIMESTAMP || data__integer_fits(out->integer, tag);
}

static bool take_real(Cursor *c, Type tag, Value *out)
{
    if (tag == TYPE_DOUBLE) {
        uint64_t bits;
        if (!cursor_u64(c, &bits))
            return false;
        memcpy(&out->real, &bits, sizeof bits);
        return true;
    }
    uint32_t bits;
    float real;
    if (!cursor_u32(c, &bits))
        return false;
    memcpy(&real, &bits, sizeof real);
    out->real = (double)real;
    return true;
}

static bool take_bytes(Cursor *c, Slice *out)
{
    uint64_t size;
    if (!take_varint(c, &size) || size > cursor_left(c))
        return false;
    *out = slice_of(c->at, (size_t)size);
    c->at += size;
    return true;
}

bool data__take_payload(Cursor *c, Type tag, Value *out)
{
    Value v = {.type = tag};
    bool taken = false;
    uint8_t byte;
    Slice bytes;
    switch (tag) {
    case TYPE_BOOLEAN:
        taken = cursor_u8(c, &byte) && byte <= 1;
        v.boolean = taken && byte;
        break;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
        taken = take_integer(c, tag, &v);
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        taken = take_real(c, tag, &v);
        break;
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        taken = take_bytes(c, &v.bytes);
        break;
    case TYPE_UUID:
        taken = cursor_bytes(c, sizeof v.uuid, &bytes);
        if (taken)
            memcpy(v.uuid, bytes.data, sizeof v.uuid);
        break;
    case TYPE_NULL:
        break;
    }
    if (taken)
        *out = v;
    return taken;
}

/* ---- Encoding -------------------------------------------------------------------------------- */

/* How many NULLs stand from column `first` on under consecutive field ids. */
static uint32_t null_run(const Schema *schema, const Value *values, uint32_t first)
{
    uint32_t count = 0;
    while (first + count < schema->column_count && values[first + count].is_null &&
           schema->columns[first + count].field_id == schema->columns[first].field_id + count)
        count++;
    return count;
}

void row_encode(const Schema *schema, const Value *values, Buffer *out)
{
    size_t bytes_max = 1 + VARINT_BYTES_MAX + CRC_BYTES;
    for (uint32_t i = 0; i < schema->column_count; i++)
        bytes_max += VARINT_BYTES_MAX +
                     (values[i].is_null ? VARINT_BYTES_MAX : data__payload_bytes_max(&values[i]));
    unsigned char *start = (unsigned char *)buffer_reserve(out, bytes_max), *at = start;
    *at++ = ROW_FORMAT;
    at = put_varint(at, schema->version);
    uint64_t before = 0; /* the last field id written */
    for (uint32_t i = 0; i < schema->column_count;) {
        const Column *column = &schema->columns[i];
        must(column->field_id > before); /* I1 */
        uint64_t step = column->field_id - before;
        uint32_t nulls = null_run(schema, values, i);
        if (nulls > 1) {
            at = put_varint(at, step << TAG_BITS | TAG_NULL_RUN);
            at = put_varint(at, nulls);
        } else if (nulls == 1) {
            at = put_varint(at, step << TAG_BITS | TYPE_NULL);
        } else {
            must(values[i].type == column->type);
            at = put_varint(at, step << TAG_BITS | (unsigned)column->type);
            at = data__put_payload(at, &values[i]);
        }
        i += nulls ? nulls : 1;
        before = schema->columns[i - 1].field_id;
    }
    uint32_t crc = crc32c(0, slice_of(start, (size_t)(at - start)));
    at = put_big_endian(at, crc, CRC_BYTES);
    out->size += (size_t)(at - start);
}

/* ---- Decoding -------------------------------------------------------------------------------- */

typedef struct Decoder {
    const Schema *schema;
    Value *values;
    uint32_t next;    /* the first column not yet set */
    uint64_t version; /* of the row */
    Cursor cursor;
    Error *e;
} Decoder;

/* A type that ALTER may have turned into a wider one since. False when the value does not fit. */
static bool widen(Value *value, Type to)
{
    Type from = value->type;
    if (from == to)
        return true;
    if (type_is_integer(from) && type_is_integer(to)) {
        value->type = to;
        return data__integer_fits(value->integer, to);
    }
    if (type_is_integer(from) && to == TYPE_DOUBLE) {
        int64_t integer = value->integer;
        *value = value_double((double)integer);
        return integer >= -(INT64_C(1) << 53) && integer <= INT64_C(1) << 53;
    }
    value->type = to;
    return (from == TYPE_FLOAT && to == TYPE_DOUBLE) || (from == TYPE_JSON && to == TYPE_TEXT);
}

/* Sets every column before field `id` that the row does not have. */
static Code set_missing(Decoder *d, uint64_t id)
{
    const Schema *schema = d->schema;
    for (; d->next < schema->column_count && schema->columns[d->next].field_id < id; d->next++) {
        const Column *column = &schema->columns[d->next];
        if (d->version == schema->version) /* I2 */
            return fail(d->e, E_CORRUPT, "row: field %u (%.*s) is missing", column->field_id,
                        SLICE_ARGS(column->name));
        d->values[d->next] = column->has_fill ? column->fill : value_null(column->type);
    }
    return OK;
}

/* The column that field `id` is, or NULL when the schema has none; columns before it are set. */
static Code find_column(Decoder *d, uint64_t id, const Column **out)
{
    const Schema *schema = d->schema;
    TRY(set_missing(d, id));
    *out = NULL;
    if (d->next < schema->column_count && schema->columns[d->next].field_id == id)
        *out = &schema->columns[d->next];
    else if (d->version == schema->version) /* I2 */
        return fail(d->e, E_CORRUPT, "row: field %llu is not of schema version %u",
                    (unsigned long long)id, schema->version);
    return OK;
}

static Code take_nulls(Decoder *d, uint64_t first, uint64_t count)
{
    for (uint64_t id = first; id < first + count; id++) {
        const Column *column;
        TRY(find_column(d, id, &column));
        if (column)
            d->values[d->next++] = value_null(column->type);
    }
    return OK;
}

static Code take_value(Decoder *d, uint64_t id, Type tag)
{
    const Column *column;
    Value value;
    TRY(find_column(d, id, &column));
    if (!data__take_payload(&d->cursor, tag, &value))
        return fail(d->e, E_CORRUPT, "row: field %llu is no value of tag %u",
                    (unsigned long long)id, (unsigned)tag);
    if (!column)
        return OK;
    if (!widen(&value, column->type))
        return fail(d->e, E_CORRUPT, "row: field %llu (%.*s) is %s in the row and %s in the schema",
                    (unsigned long long)id, SLICE_ARGS(column->name), type_info(tag)->name,
                    type_info(column->type)->name);
    d->values[d->next++] = value;
    return OK;
}

/* Takes one field; `io_id` is the last field id taken. */
static Code take_field(Decoder *d, uint64_t *io_id)
{
    uint64_t head, count = 1;
    if (!take_varint(&d->cursor, &head))
        return fail(d->e, E_CORRUPT, "row: cut off after field %llu", (unsigned long long)*io_id);
    uint64_t step = head >> TAG_BITS;
    unsigned tag = head & ((1u << TAG_BITS) - 1);
    if (step == 0 || step > UINT32_MAX) /* I1 */
        return fail(d->e, E_CORRUPT, "row: a field follows field %llu with step %llu",
                    (unsigned long long)*io_id, (unsigned long long)step);
    if (tag == TAG_NULL_RUN &&
        (!take_varint(&d->cursor, &count) || count < 2 || count > COLUMNS_MAX))
        return fail(d->e, E_CORRUPT, "row: bad run of NULLs after field %llu",
                    (unsigned long long)*io_id);
    uint64_t first = *io_id + step;
    if (first + count - 1 > UINT32_MAX)
        return fail(d->e, E_CORRUPT, "row: field id %llu is out of range",
                    (unsigned long long)first);
    *io_id = first + count - 1;
    if (tag == TAG_NULL_RUN || tag == TYPE_NULL)
        return take_nulls(d, first, count);
    return take_value(d, first, (Type)tag);
}

/* Tests the checksum and takes what stands before the fields. */
static Code open_row(Decoder *d, Slice bytes)
{
    if (bytes.size < CRC_BYTES + 2)
        return fail(d->e, E_CORRUPT, "row: %zu bytes are too few", bytes.size);
    Slice body = slice_of(bytes.data, bytes.size - CRC_BYTES);
    Cursor tail = cursor_of(slice_of(bytes.data + body.size, CRC_BYTES));
    uint32_t crc = 0;
    must(cursor_u32(&tail, &crc));
    if (crc != crc32c(0, body)) /* I3 */
        return fail(d->e, E_CORRUPT, "row: the checksum of its %zu bytes is wrong", bytes.size);
    d->cursor = cursor_of(body);
    uint8_t format = 0;
    must(cursor_u8(&d->cursor, &format));
    if (format != ROW_FORMAT)
        return fail(d->e, E_CORRUPT, "row: format %u is unknown", format);
    if (!take_varint(&d->cursor, &d->version) || d->version == 0 || d->version > UINT32_MAX)
        return fail(d->e, E_CORRUPT, "row: bad schema version");
    return OK;
}

Code row_decode(const Schema *schema, Slice bytes, Value *out_values, Error *e)
{
    Decoder d = {.schema = schema, .values = out_values, .e = e};
    TRY(open_row(&d, bytes));
    uint64_t id = 0;
    while (cursor_left(&d.cursor) > 0)
        TRY(take_field(&d, &id));
    return set_missing(&d, UINT64_MAX);
}
