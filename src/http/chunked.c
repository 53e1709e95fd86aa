/* SPDX-License-Identifier: Apache-2.0
 *
 * The chunked transfer coding (RFC 9112, 7.1), strictly: lines end in CRLF, sizes are 1 to 8 hex
 * digits, extensions and trailers are skipped but counted against a limit.
 */
#include "http/http_int.h"

enum { CHUNK_DIGITS_MAX = 8, CHUNK_LINE_BYTES_MAX = 256, TRAILER_BYTES_MAX = 4096 };

enum {
    AT_SIZE,
    AT_EXTENSION,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* at the start of a trailer line, or of the empty line that ends it all */
    AT_TRAILER_TEXT,
    AT_TRAILER_LF,
    AT_LAST_LF,
};

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_line_byte(unsigned char c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

static bool step_size(ChunkDecoder *d, unsigned char c)
{
    int value = hex_value(c);
    if (value >= 0) {
        d->left = d->left << 4 | (uint64_t)value;
        return ++d->digits <= CHUNK_DIGITS_MAX;
    }
    if (d->digits == 0)
        return false;
    d->state = c == '\r' ? AT_SIZE_LF : AT_EXTENSION;
    return c == '\r' || c == ';' || c == ' ' || c == '\t';
}

static bool step_extension(ChunkDecoder *d, unsigned char c)
{
    if (c == '\r')
        d->state = AT_SIZE_LF;
    else if (!is_line_byte(c))
        return false;
    return ++d->line_bytes <= CHUNK_LINE_BYTES_MAX;
}

static bool step_size_lf(ChunkDecoder *d, unsigned char c)
{
    d->state = d->left ? AT_DATA : AT_TRAILER;
    d->line_bytes = 0;
    d->digits = 0;
    return c == '\n';
}

static bool step_trailer(ChunkDecoder *d, unsigned char c)
{
    if (++d->line_bytes > TRAILER_BYTES_MAX)
        return false;
    bool is_start = d->state == AT_TRAILER;
    if (c == '\r') {
        d->state = is_start ? AT_LAST_LF : AT_TRAILER_LF;
        return true;
    }
    d->state = AT_TRAILER_TEXT;
    return is_line_byte(c) && !(is_start && (c == ' ' || c == '\t'));
}

/* One framing byte; false when it breaks the rules. */
static bool step(ChunkDecoder *d, unsigned char c)
{
    switch (d->state) {
    case AT_SIZE:
        return step_size(d, c);
    case AT_EXTENSION:
        return step_extension(d, c);
    case AT_SIZE_LF:
        return step_size_lf(d, c);
    case AT_DATA_CR:
        d->state = AT_DATA_LF;
        return c == '\r';
    case AT_DATA_LF:
        d->state = AT_SIZE;
        return c == '\n';
    case AT_TRAILER:
    case AT_TRAILER_TEXT:
        return step_trailer(d, c);
    case AT_TRAILER_LF:
        d->state = AT_TRAILER;
        return c == '\n';
    default:
        return c == '\n';
    }
}

ChunkResult http__decode_chunks(ChunkDecoder *d, Slice bytes, size_t max, Buffer *body,
                                size_t *out_taken)
{
    size_t i = 0;
    while (i < bytes.size) {
        if (d->state == AT_DATA) {
            size_t piece = bytes.size - i < d->left ? bytes.size - i : (size_t)d->left;
            buffer_add(body, bytes.data + i, piece);
            d->left -= piece;
            i += piece;
            if (d->left == 0)
                d->state = AT_DATA_CR;
            continue;
        }
        bool is_last = d->state == AT_LAST_LF;
        if (!step(d, (unsigned char)bytes.data[i++]))
            return CHUNK_BAD;
        if (d->state == AT_DATA && d->left > max - body->size)
            return CHUNK_TOO_LARGE;
        if (is_last) {
            *out_taken = i;
            return CHUNK_DONE;
        }
    }
    *out_taken = i;
    return CHUNK_MORE;
}
