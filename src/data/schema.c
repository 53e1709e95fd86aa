/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas: finding columns, and their bytes in the catalog (docs/formats/row.md, "Schemas"):
 *
 *     schema  = format(u8 = 1 or 2)  version  next field id  key column + 1  column count
 *               column*  crc(u32 big-endian)
 *     column  = field id  name(size and bytes)  type(u8)  flags(u8: 1 not null, 2 key, 4 fill)
 *               default kind(u8)  [literal: null(u8), payload unless null]  [fill: payload]
 *
 * Numbers without a width are varints. Format 2 has the flag 4 and is written only when a column
 * needs it.
 *
 * I1. Field ids rise from column to column and are below the next field id. ADD COLUMN appends with
 *     the next one, DROP COLUMN leaves a gap; rows rely on it.
 * I2. Names are unique ignoring case.
 * I3. The key column is the only one with primary_key, and it is not_null.
 */
#include "data/schema.h"

#include "base/limits.h"
#include "data/data_int.h"
#include "data/row.h"

enum {
    FORMAT_PLAIN = 1,
    FORMAT_FILLS = 2,
    FLAG_NOT_NULL = 1,
    FLAG_PRIMARY_KEY = 2,
    FLAG_FILL = 4,
    CRC_BYTES = 4,
};

int32_t schema_find(const Schema *schema, Slice name)
{
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (slice_equal_ignoring_case(schema->columns[i].name, name))
            return (int32_t)i;
    }
    return -1;
}

/* ---- Encoding -------------------------------------------------------------------------------- */

static void put_value(const Column *column, const Value *value, Buffer *out)
{
    must(value->type == column->type);
    unsigned char *at = (unsigned char *)buffer_reserve(out, data__payload_bytes_max(value));
    out->size += (size_t)(data__put_payload(at, value) - at);
}

static void put_default(const Column *column, Buffer *out)
{
    const Value *value = &column->default_value;
    buffer_add_u8(out, (uint8_t)column->default_kind);
    if (column->default_kind != DEFAULT_LITERAL)
        return;
    buffer_add_u8(out, value->is_null);
    if (!value->is_null)
        put_value(column, value, out);
}

static uint8_t flags_of(const Column *column)
{
    return (uint8_t)((column->not_null ? FLAG_NOT_NULL : 0) |
                     (column->primary_key ? FLAG_PRIMARY_KEY : 0) |
                     (column->has_fill ? FLAG_FILL : 0));
}

static uint8_t format_of(const Schema *schema)
{
    for (uint32_t i = 0; i < schema->column_count; i++)
        if (schema->columns[i].has_fill)
            return FORMAT_FILLS;
    return FORMAT_PLAIN;
}

void schema_encode(const Schema *schema, Buffer *out)
{
    size_t start = out->size;
    uint32_t before = 0;
    buffer_add_u8(out, format_of(schema));
    buffer_add_varint(out, schema->version);
    buffer_add_varint(out, schema->next_field_id);
    buffer_add_varint(out, (uint64_t)((int64_t)schema->key_index + 1));
    buffer_add_varint(out, schema->column_count);
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *column = &schema->columns[i];
        must(column->field_id > before); /* I1 */
        must(column->field_id < schema->next_field_id);
        before = column->field_id;
        buffer_add_varint(out, column->field_id);
        buffer_add_sized(out, column->name);
        buffer_add_u8(out, (uint8_t)column->type);
        buffer_add_u8(out, flags_of(column));
        put_default(column, out);
        if (column->has_fill) {
            must(!column->fill.is_null);
            put_value(column, &column->fill, out);
        }
    }
    buffer_add_u32(out, crc32c(0, slice_of(out->data + start, out->size - start)));
}

/* ---- Decoding -------------------------------------------------------------------------------- */

static bool take_u32(Cursor *c, uint32_t *out)
{
    uint64_t v;
    if (!cursor_varint(c, &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool is_column_type(uint8_t tag)
{
    return tag != TYPE_NULL && type_info((Type)tag)->type == (Type)tag;
}

static bool take_value(Cursor *c, Arena *arena, Type type, Value *out)
{
    if (!data__take_payload(c, type, out))
        return false;
    if (type_is_text(type) || type == TYPE_BYTES)
        out->bytes = arena_copy(arena, out->bytes);
    return true;
}

static bool take_default(Cursor *c, Arena *arena, Column *column)
{
    uint8_t kind, is_null;
    if (!cursor_u8(c, &kind) || kind > DEFAULT_CURRENT_USER)
        return false;
    column->default_kind = (DefaultKind)kind;
    column->default_value = value_null(column->type);
    if (kind != DEFAULT_LITERAL)
        return true;
    if (!cursor_u8(c, &is_null) || is_null > 1)
        return false;
    return is_null || take_value(c, arena, column->type, &column->default_value);
}

static bool take_column(Cursor *c, Arena *arena, uint8_t flags_max, Column *column)
{
    Slice name;
    uint8_t tag, flags;
    if (!take_u32(c, &column->field_id) || !cursor_sized(c, &name) || name.size == 0 ||
        name.size > NAME_BYTES_MAX || !slice_is_utf8(name) || !cursor_u8(c, &tag) ||
        !is_column_type(tag) || !cursor_u8(c, &flags) || flags > flags_max)
        return false;
    column->name = arena_copy(arena, name);
    column->type = (Type)tag;
    column->not_null = flags & FLAG_NOT_NULL;
    column->primary_key = flags & FLAG_PRIMARY_KEY;
    column->has_fill = flags & FLAG_FILL;
    column->fill = value_null(column->type);
    if (!take_default(c, arena, column))
        return false;
    return !column->has_fill || take_value(c, arena, column->type, &column->fill);
}

static bool column_fits(const Schema *schema, uint32_t index) /* I1, I2, I3 */
{
    const Column *column = &schema->columns[index];
    uint32_t before = index ? schema->columns[index - 1].field_id : 0;
    if (column->field_id <= before || column->field_id >= schema->next_field_id)
        return false;
    if (column->primary_key != ((int64_t)index == schema->key_index))
        return false;
    if (column->primary_key && !column->not_null)
        return false;
    return schema_find(schema, column->name) == (int32_t)index;
}

Code schema_decode(Slice bytes, Arena *arena, Schema **out, Error *e)
{
    if (bytes.size < CRC_BYTES + 1)
        return fail(e, E_CORRUPT, "schema: %zu bytes are too few", bytes.size);
    Slice body = slice_of(bytes.data, bytes.size - CRC_BYTES);
    Cursor tail = cursor_of(slice_of(bytes.data + body.size, CRC_BYTES));
    uint32_t crc = 0, key = 0;
    must(cursor_u32(&tail, &crc));
    if (crc != crc32c(0, body))
        return fail(e, E_CORRUPT, "schema: the checksum is wrong");
    Cursor c = cursor_of(body);
    uint8_t format = 0;
    if (!cursor_u8(&c, &format) || (format != FORMAT_PLAIN && format != FORMAT_FILLS))
        return fail(e, E_CORRUPT, "schema: format %u is unknown", format);
    Schema s = {0};
    if (!take_u32(&c, &s.version) || s.version == 0 || !take_u32(&c, &s.next_field_id) ||
        !take_u32(&c, &key) || !take_u32(&c, &s.column_count))
        return fail(e, E_CORRUPT, "schema: the head is malformed");
    if (s.column_count == 0 || s.column_count > COLUMNS_MAX || key > s.column_count)
        return fail(e, E_CORRUPT, "schema: %u columns with key %u", s.column_count, key);
    uint8_t flags_max = FLAG_NOT_NULL | FLAG_PRIMARY_KEY | (format == FORMAT_FILLS ? FLAG_FILL : 0);
    s.key_index = (int32_t)key - 1;
    s.columns = arena_new_array(arena, Column, s.column_count);
    for (uint32_t i = 0; i < s.column_count; i++) {
        if (!take_column(&c, arena, flags_max, &s.columns[i]) || !column_fits(&s, i))
            return fail(e, E_CORRUPT, "schema: column %u is malformed", i);
    }
    if (cursor_left(&c) > 0)
        return fail(e, E_CORRUPT, "schema: %zu bytes too many", cursor_left(&c));
    Schema *copy = arena_new_of(arena, Schema);
    *copy = s;
    *out = copy;
    return OK;
}
