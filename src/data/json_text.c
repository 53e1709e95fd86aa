/* SPDX-License-Identifier: Apache-2.0
 *
 * A recogniser of JSON texts (RFC 8259): says whether, builds nothing. It does not recurse; the
 * open arrays and objects are a stack of one bit each, which JSON_DEPTH_MAX keeps within 64.
 *
 * Stricter than the grammar in one point: an escaped surrogate must be one of a pair, because a
 * lone one is no character and DuckDB refuses it later.
 */
#include "base/limits.h"
#include "data/json.h"

_Static_assert(JSON_DEPTH_MAX <= 64, "the stack is one 64-bit word");

typedef struct Scan {
    const char *start, *at, *end;
    uint64_t objects; /* bit 0: whether the innermost open container is an object */
    int depth;
} Scan;

static bool more(const Scan *s)
{
    return s->at < s->end;
}

static bool take(Scan *s, char c)
{
    if (!more(s) || *s->at != c)
        return false;
    s->at++;
    return true;
}

static void skip_blanks(Scan *s)
{
    while (more(s) && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool take_word(Scan *s, const char *word)
{
    for (; *word; word++) {
        if (!take(s, *word))
            return false;
    }
    return true;
}

static bool take_digits(Scan *s)
{
    const char *before = s->at;
    while (more(s) && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > before;
}

static bool take_number(Scan *s)
{
    take(s, '-');
    if (!take(s, '0') && !take_digits(s))
        return false;
    if (take(s, '.') && !take_digits(s))
        return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+'))
            take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_hex4(Scan *s, unsigned *out)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++, s->at++) {
        if (!more(s))
            return false;
        char c = *s->at, lower = (char)(c | 0x20);
        if (c >= '0' && c <= '9')
            v = v << 4 | (unsigned)(c - '0');
        else if (lower >= 'a' && lower <= 'f')
            v = v << 4 | (unsigned)(lower - 'a' + 10);
        else
            return false;
    }
    *out = v;
    return true;
}

/* What follows a backslash. */
static bool take_escape(Scan *s)
{
    unsigned unit, low;
    if (!more(s))
        return false;
    if (strchr("\"\\/bfnrt", *s->at) && *s->at) {
        s->at++;
        return true;
    }
    if (!take(s, 'u') || !take_hex4(s, &unit))
        return false;
    if (unit < 0xD800 || unit > 0xDFFF)
        return true;
    if (unit > 0xDBFF || !take_word(s, "\\u") || !take_hex4(s, &low))
        return false;
    return low >= 0xDC00 && low <= 0xDFFF;
}

/* One character of more than one byte. */
static bool take_wide(Scan *s)
{
    unsigned char c = (unsigned char)*s->at;
    size_t size = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if ((size_t)(s->end - s->at) < size || !slice_is_utf8(slice_of(s->at, size)))
        return false;
    s->at += size;
    return true;
}

static bool take_string(Scan *s)
{
    if (!take(s, '"'))
        return false;
    while (more(s)) {
        unsigned char c = (unsigned char)*s->at;
        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20 || (c >= 0x80 && !take_wide(s)))
            return false;
        if (c < 0x80)
            s->at++;
        if (c == '\\' && !take_escape(s))
            return false;
    }
    return false;
}

/* `"name" :` with blanks after it */
static bool take_member_name(Scan *s)
{
    skip_blanks(s);
    if (!take_string(s))
        return false;
    skip_blanks(s);
    return take(s, ':');
}

static bool take_scalar(Scan *s)
{
    if (!more(s))
        return false;
    switch (*s->at) {
    case '"':
        return take_string(s);
    case 't':
        return take_word(s, "true");
    case 'f':
        return take_word(s, "false");
    case 'n':
        return take_word(s, "null");
    default:
        return take_number(s);
    }
}

/* After a value: closes what ends here. `out_value` says whether another value must follow. */
static bool take_ends(Scan *s, bool *out_value)
{
    *out_value = false;
    for (; s->depth > 0; s->depth--, s->objects >>= 1) {
        bool object = s->objects & 1;
        skip_blanks(s);
        if (take(s, ',')) {
            *out_value = true;
            return !object || take_member_name(s);
        }
        if (!take(s, object ? '}' : ']'))
            return false;
    }
    return true;
}

/* An opening bracket. `out_value` says whether a value must follow: not when it closes at once. */
static bool take_open(Scan *s, bool *out_value)
{
    bool object = *s->at == '{';
    if (s->depth == JSON_DEPTH_MAX)
        return false;
    s->at++;
    skip_blanks(s);
    *out_value = false;
    if (take(s, object ? '}' : ']'))
        return true;
    s->depth++;
    s->objects = s->objects << 1 | object;
    *out_value = true;
    return !object || take_member_name(s);
}

static bool scan_text(Scan *s)
{
    bool value = true;
    while (value) {
        skip_blanks(s);
        if (more(s) && (*s->at == '{' || *s->at == '[')) {
            if (!take_open(s, &value))
                return false;
            if (value)
                continue;
        } else if (!take_scalar(s)) {
            return false;
        }
        if (!take_ends(s, &value))
            return false;
    }
    skip_blanks(s);
    return !more(s);
}

bool json_text_valid(Slice text, size_t *out_offset)
{
    if (text.size == 0) {
        *out_offset = 0;
        return false;
    }
    Scan s = {.start = text.data, .at = text.data, .end = text.data + text.size};
    if (scan_text(&s))
        return true;
    *out_offset = (size_t)(s.at - s.start);
    return false;
}
