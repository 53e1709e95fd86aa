/* SPDX-License-Identifier: Apache-2.0
 *
 * Values to JSON bytes. TEXT and JSON values are UTF-8 by the time they are values, so strings are
 * copied in runs and only quotes, backslashes and control characters stop a run.
 */
#include "data/json.h"

#include <math.h>
#include <stdio.h>

/* What follows the backslash for a byte that must be escaped; 'u' for \u00XX, 0 for none. */
static char escape_of(unsigned char c)
{
    switch (c) {
    case '"':
        return '"';
    case '\\':
        return '\\';
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c < 0x20 ? 'u' : 0;
    }
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

void json_add_string(Buffer *out, Slice text)
{
    static const char digits[] = "0123456789abcdef";
    buffer_reserve(out, text.size + 2);
    buffer_add_char(out, '"');
    size_t start = 0;
    for (size_t at = 0; at < text.size; at++) {
        unsigned char c = (unsigned char)text.data[at];
        if (is_plain(c))
            continue;
        buffer_add(out, text.data + start, at - start);
        start = at + 1;
        char escape = escape_of(c);
        buffer_add_char(out, '\\');
        buffer_add_char(out, escape);
        if (escape == 'u') {
            char code[] = {'0', '0', digits[c >> 4], digits[c & 15]};
            buffer_add(out, code, sizeof code);
        }
    }
    if (text.size > start)
        buffer_add(out, text.data + start, text.size - start);
    buffer_add_char(out, '"');
}

void json_add_text(Buffer *out, const char *text)
{
    json_add_string(out, slice_of_text(text));
}

void json_add_name(Buffer *out, const char *name)
{
    json_add_text(out, name);
    buffer_add_char(out, ':');
}

static void add_integer(Buffer *out, int64_t v)
{
    char text[24];
    char *at = text + sizeof text;
    uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (v < 0)
        *--at = '-';
    buffer_add(out, at, (size_t)(text + sizeof text - at));
}

static Code add_real(Buffer *out, const Value *value, Error *e)
{
    if (!isfinite(value->real))
        return fail(e, E_EXECUTION, "JSON has no number for %s",
                    isnan(value->real) ? "NaN" : "an infinite value");
    if (value->type == TYPE_FLOAT)
        float_print((float)value->real, out);
    else
        double_print(value->real, out);
    return OK;
}

static void add_bytes(Buffer *out, Slice bytes)
{
    buffer_add_char(out, '[');
    for (size_t i = 0; i < bytes.size; i++) {
        if (i)
            buffer_add_char(out, ',');
        add_integer(out, (unsigned char)bytes.data[i]);
    }
    buffer_add_char(out, ']');
}

Code json_add_value(Buffer *out, const Value *value, Error *e)
{
    Type type = value->is_null ? TYPE_NULL : value->type;
    switch (type) {
    case TYPE_NULL:
        buffer_add_text(out, "null");
        break;
    case TYPE_BOOLEAN:
        buffer_add_text(out, value->boolean ? "true" : "false");
        break;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_TIMESTAMP:
        add_integer(out, value->integer);
        break;
    case TYPE_BIGINT: /* JavaScript rounds numbers above 2^53 */
        buffer_add_char(out, '"');
        add_integer(out, value->integer);
        buffer_add_char(out, '"');
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return add_real(out, value, e);
    case TYPE_TEXT:
    case TYPE_JSON:
        json_add_string(out, value->bytes);
        break;
    case TYPE_BYTES:
        add_bytes(out, value->bytes);
        break;
    case TYPE_UUID:
        buffer_add_char(out, '"');
        uuid_print(value->uuid, out);
        buffer_add_char(out, '"');
        break;
    }
    return OK;
}
