/* SPDX-License-Identifier: Apache-2.0
 *
 * Growing byte buffers and the checked cursor that reads them back.
 */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/error.h"

void buffer_done(Buffer *buffer)
{
    free(buffer->data);
    *buffer = (Buffer){0};
}

char *buffer_reserve(Buffer *buffer, size_t more)
{
    must(more <= SIZE_MAX / 4 && buffer->size <= SIZE_MAX / 4);
    size_t need = buffer->size + more;
    if (need > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : 64;
        while (capacity < need)
            capacity *= 2;
        buffer->data = (char *)x_grow(buffer->data, capacity);
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->size;
}

void buffer_add(Buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    memcpy(buffer_reserve(buffer, size), bytes, size);
    buffer->size += size;
}

void buffer_add_text(Buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

void buffer_add_char(Buffer *buffer, char c)
{
    *buffer_reserve(buffer, 1) = c;
    buffer->size++;
}

void buffer_add_u8(Buffer *buffer, uint8_t v)
{
    buffer_add_char(buffer, (char)v);
}

void buffer_add_u32(Buffer *buffer, uint32_t v)
{
    unsigned char bytes[4] = {(unsigned char)(v >> 24), (unsigned char)(v >> 16),
                              (unsigned char)(v >> 8), (unsigned char)v};
    buffer_add(buffer, bytes, sizeof bytes);
}

void buffer_add_u64(Buffer *buffer, uint64_t v)
{
    buffer_add_u32(buffer, (uint32_t)(v >> 32));
    buffer_add_u32(buffer, (uint32_t)v);
}

void buffer_add_varint(Buffer *buffer, uint64_t v)
{
    while (v >= 0x80) {
        buffer_add_u8(buffer, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    buffer_add_u8(buffer, (uint8_t)v);
}

void buffer_add_sized(Buffer *buffer, Slice s)
{
    buffer_add_varint(buffer, s.size);
    buffer_add_slice(buffer, s);
}

void buffer_printf(Buffer *buffer, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    must(size >= 0);
    vsnprintf(buffer_reserve(buffer, (size_t)size + 1), (size_t)size + 1, format, again);
    va_end(again);
    buffer->size += (size_t)size;
}

bool cursor_bytes(Cursor *c, size_t size, Slice *out)
{
    if (cursor_left(c) < size)
        return false;
    *out = slice_of(c->at, size);
    c->at += size;
    return true;
}

bool cursor_u8(Cursor *c, uint8_t *out)
{
    Slice s;
    if (!cursor_bytes(c, 1, &s))
        return false;
    *out = (uint8_t)s.data[0];
    return true;
}

static uint64_t big_endian(Slice s)
{
    uint64_t v = 0;
    for (size_t i = 0; i < s.size; i++)
        v = v << 8 | (unsigned char)s.data[i];
    return v;
}

bool cursor_u32(Cursor *c, uint32_t *out)
{
    Slice s;
    if (!cursor_bytes(c, 4, &s))
        return false;
    *out = (uint32_t)big_endian(s);
    return true;
}

bool cursor_u64(Cursor *c, uint64_t *out)
{
    Slice s;
    if (!cursor_bytes(c, 8, &s))
        return false;
    *out = big_endian(s);
    return true;
}

bool cursor_varint(Cursor *c, uint64_t *out)
{
    uint64_t v = 0;
    Cursor at = *c;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (!cursor_u8(&at, &byte) || (shift == 63 && byte > 1))
            return false;
        v |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80)) {
            *c = at;
            *out = v;
            return true;
        }
    }
    return false;
}

bool cursor_sized(Cursor *c, Slice *out)
{
    Cursor at = *c;
    uint64_t size;
    if (!cursor_varint(&at, &size) || size > cursor_left(&at) || !cursor_bytes(&at, size, out))
        return false;
    *c = at;
    return true;
}

void buffer_add_quoted(Buffer *buffer, Slice s, char quote)
{
    buffer_add_char(buffer, quote);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == quote)
            buffer_add_char(buffer, quote);
        buffer_add_char(buffer, s.data[i]);
    }
    buffer_add_char(buffer, quote);
}
