/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing run of bytes on the heap. `{0}` is an empty buffer; buffer_done releases it.
 * Integers are written big-endian unless the name says otherwise.
 */
#pragma once

#include "base/slice.h"

typedef struct Buffer {
    char *data;
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
} Buffer;

void buffer_done(Buffer *buffer); /* frees and zeroes; for CLEANUP too */
static inline void buffer_clear(Buffer *buffer)
{
    buffer->size = 0;
}
static inline Slice buffer_slice(const Buffer *buffer)
{
    return (Slice){buffer->data, buffer->size};
}
/* Makes room for `more` further bytes; returns where they go. Does not change size. */
char *buffer_reserve(Buffer *buffer, size_t more);
void buffer_add(Buffer *buffer, const void *bytes, size_t size);
static inline void buffer_add_slice(Buffer *buffer, Slice s)
{
    buffer_add(buffer, s.data, s.size);
}
/* Between two quotes, and every quote in it doubled: how SQL writes names and texts. */
void buffer_add_quoted(Buffer *buffer, Slice s, char quote);
void buffer_add_text(Buffer *buffer, const char *text);
void buffer_add_char(Buffer *buffer, char c);
void buffer_add_u8(Buffer *buffer, uint8_t v);
void buffer_add_u32(Buffer *buffer, uint32_t v);
void buffer_add_u64(Buffer *buffer, uint64_t v);
/* LEB128, at most 10 bytes. */
void buffer_add_varint(Buffer *buffer, uint64_t v);
void buffer_printf(Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A cursor over encoded bytes. Every read says false instead of passing the end. */
typedef struct Cursor {
    const unsigned char *at, *end;
} Cursor;

static inline Cursor cursor_of(Slice s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    return (Cursor){p, p + s.size};
}
static inline size_t cursor_left(const Cursor *c)
{
    return (size_t)(c->end - c->at);
}
bool cursor_u8(Cursor *c, uint8_t *out);
bool cursor_u32(Cursor *c, uint32_t *out);
bool cursor_u64(Cursor *c, uint64_t *out);
bool cursor_varint(Cursor *c, uint64_t *out);
bool cursor_bytes(Cursor *c, size_t size, Slice *out);
/* varint size, then the bytes */
bool cursor_sized(Cursor *c, Slice *out);
void buffer_add_sized(Buffer *buffer, Slice s);
