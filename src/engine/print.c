/* SPDX-License-Identifier: Apache-2.0
 *
 * Printing names and values into SQL for DuckDB. What is data passes through here and nowhere
 * else, so this is where quoting is right or wrong: names double their quotes, texts theirs, and
 * DuckDB knows no backslash escape in plain strings. A zero byte ends a statement inside DuckDB and
 * is therefore printed as chr(0).
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "engine/engine.h"

void engine_add_name(Buffer *out, Slice name)
{
    must(name.size > 0);
    must(!memchr(name.data, 0, name.size));
    buffer_add_quoted(out, name, '"');
}

void engine_add_text(Buffer *out, Slice text)
{
    const char *zero = text.size ? memchr(text.data, 0, text.size) : NULL;
    if (!zero) {
        buffer_add_quoted(out, text, '\'');
        return;
    }
    buffer_add_char(out, '(');
    while (zero) {
        size_t before = (size_t)(zero - text.data);
        buffer_add_quoted(out, slice_of(text.data, before), '\'');
        buffer_add_text(out, "||chr(0)||");
        text = slice_of(zero + 1, text.size - before - 1);
        zero = text.size ? memchr(text.data, 0, text.size) : NULL;
    }
    buffer_add_quoted(out, text, '\'');
    buffer_add_char(out, ')');
}

static void add_bytes(Buffer *out, Slice bytes)
{
    static const char hex[] = "0123456789ABCDEF";
    buffer_add_text(out, "from_hex('");
    char *to = buffer_reserve(out, bytes.size * 2);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char b = (unsigned char)bytes.data[i];
        to[2 * i] = hex[b >> 4];
        to[2 * i + 1] = hex[b & 15];
    }
    out->size += bytes.size * 2;
    buffer_add_text(out, "')");
}

static void add_real(Buffer *out, double v, const char *type)
{
    if (isnan(v))
        buffer_printf(out, "'nan'::%s", type);
    else if (isinf(v))
        buffer_printf(out, "'%sinf'::%s", v < 0 ? "-" : "", type);
    else
        buffer_printf(out, "'%.17g'::%s", v, type);
}

static void add_uuid(Buffer *out, const uint8_t uuid[16])
{
    buffer_add_char(out, '\'');
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            buffer_add_char(out, '-');
        buffer_printf(out, "%02x", uuid[i]);
    }
    buffer_add_text(out, "'::UUID");
}

void engine_add_literal(Buffer *out, const Value *value)
{
    if (value->is_null) {
        if (value->type == TYPE_NULL)
            buffer_add_text(out, "NULL");
        else
            buffer_printf(out, "NULL::%s", engine_type_name(value->type));
        return;
    }
    switch (value->type) {
    case TYPE_BOOLEAN:
        buffer_add_text(out, value->boolean ? "true" : "false");
        return;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT: /* quoted: -9223372036854775808 is no integer literal */
        buffer_printf(out, "'%" PRId64 "'::%s", value->integer, engine_type_name(value->type));
        return;
    case TYPE_TIMESTAMP:
        buffer_printf(out, "make_timestamp('%" PRId64 "'::BIGINT)", value->integer);
        return;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        add_real(out, value->real, engine_type_name(value->type));
        return;
    case TYPE_TEXT:
    case TYPE_JSON:
        engine_add_text(out, value->bytes);
        return;
    case TYPE_BYTES:
        add_bytes(out, value->bytes);
        return;
    case TYPE_UUID:
        add_uuid(out, value->uuid);
        return;
    case TYPE_NULL:
        break;
    }
    must(!"a value of no type");
}
