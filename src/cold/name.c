/* SPDX-License-Identifier: Apache-2.0
 *
 * File names for user ids, namespaces and tables. The mapping is injective by construction, also
 * where a file system ignores case, and needs no hash that somebody could find a collision for:
 *
 *   plain   a-z 0-9 _ - @ and inner dots stand for themselves, every other byte is %XX with
 * upper-case
 *           hex (an upper-case letter too, so that "Bob" and "bob" differ without case: %42ob, bob)
 *   long    an id whose plain form is longer than COLD_NAME_BYTES_MAX is "%~" and its bytes in
 *           base 32 (a-z 2-7), which is at most 2 + 205 bytes for USER_ID_BYTES_MAX
 *
 * "%~" is no plain form, as ~ is no hex digit. The hex digits of a plain name are the only
 * upper-case letters in it, and a % always comes before them: folding case keeps names apart.
 */
#include <string.h>

#include "cold/cold_int.h"

static bool is_plain(Slice id, size_t at)
{
    char c = id.data[at];
    if (c == '.')
        return at > 0 && at + 1 < id.size;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '@';
}

static size_t plain_size(Slice id)
{
    size_t size = 0;
    for (size_t i = 0; i < id.size; i++)
        size += is_plain(id, i) ? 1 : 3;
    return size;
}

static void add_plain(Slice id, Buffer *out)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < id.size; i++) {
        unsigned char c = (unsigned char)id.data[i];
        if (is_plain(id, i)) {
            buffer_add_char(out, (char)c);
            continue;
        }
        buffer_add_char(out, '%');
        buffer_add_char(out, hex[c >> 4]);
        buffer_add_char(out, hex[c & 15]);
    }
}

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

static void add_base32(Slice id, Buffer *out)
{
    uint32_t bits = 0, count = 0;
    buffer_add_text(out, "%~");
    for (size_t i = 0; i < id.size; i++) {
        bits = bits << 8 | (unsigned char)id.data[i];
        for (count += 8; count >= 5; count -= 5)
            buffer_add_char(out, base32[bits >> (count - 5) & 31]);
        bits &= ((uint32_t)1 << count) - 1;
    }
    if (count > 0)
        buffer_add_char(out, base32[bits << (5 - count) & 31]);
}

Code cold_encode_name(Slice id, Buffer *out, Error *e)
{
    if (id.size == 0)
        return fail(e, E_INVALID_INPUT, "an empty name has no folder");
    if (id.size > USER_ID_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "a name of %zu bytes has no folder, the limit is %d", id.size,
                    USER_ID_BYTES_MAX);
    size_t before = out->size;
    if (plain_size(id) <= COLD_NAME_BYTES_MAX)
        add_plain(id, out);
    else
        add_base32(id, out);
    must(out->size - before <= COLD_NAME_BYTES_MAX);
    return OK;
}

/* ---- The reverse ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool decode_plain(Slice name, Buffer *out)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] != '%') {
            buffer_add_char(out, name.data[i]);
            continue;
        }
        if (name.size - i < 3)
            return false;
        int high = hex_digit(name.data[i + 1]), low = hex_digit(name.data[i + 2]);
        if (high < 0 || low < 0)
            return false;
        buffer_add_u8(out, (uint8_t)(high << 4 | low));
        i += 2;
    }
    return true;
}

static bool decode_base32(Slice name, Buffer *out)
{
    uint32_t bits = 0, count = 0;
    for (size_t i = 2; i < name.size; i++) {
        const char *digit = name.data[i] ? strchr(base32, name.data[i]) : NULL;
        if (!digit)
            return false;
        bits = bits << 5 | (uint32_t)(digit - base32);
        count += 5;
        if (count >= 8) {
            count -= 8;
            buffer_add_u8(out, (uint8_t)(bits >> count));
            bits &= ((uint32_t)1 << count) - 1;
        }
    }
    return true;
}

Code cold_decode_name(Slice name, Buffer *out, Error *e)
{
    CLEANUP(buffer_done) Buffer id = {0}, again = {0};
    bool is_long = slice_starts_with(name, SLICE("%~"));
    bool decoded = is_long ? decode_base32(name, &id) : decode_plain(name, &id);
    /* What does not encode to this very name was not made by us. */
    Error ignored;
    if (!decoded || cold_encode_name(buffer_slice(&id), &again, &ignored) != OK ||
        !slice_equal(buffer_slice(&again), name))
        return fail(e, E_INVALID_INPUT, "a folder name that no id has");
    buffer_add_slice(out, buffer_slice(&id));
    return OK;
}
