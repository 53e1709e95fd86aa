/* SPDX-License-Identifier: Apache-2.0
 *
 * Text as characters: length, substring, upper and lower case, LIKE. Equal to DuckDB 1.4.4 on
 * well-formed UTF-8; a malformed byte counts as a character and never leads outside the text.
 */
#include "sql/eval_int.h"

size_t sql__character_bytes(Slice s, size_t at)
{
    size_t end = at + 1;
    while (end < s.size && ((unsigned char)s.data[end] & 0xC0) == 0x80)
        end++;
    return end - at;
}

int64_t sql__text_length(Slice s)
{
    int64_t count = 0;
    for (size_t at = 0; at < s.size; at += sql__character_bytes(s, at))
        count++;
    return count;
}

static size_t byte_of(Slice s, int64_t character)
{
    size_t at = 0;
    for (int64_t i = 0; i < character && at < s.size; i++)
        at += sql__character_bytes(s, at);
    return at;
}

static int64_t clamp(int64_t n, int64_t low, int64_t high)
{
    return n < low ? low : n > high ? high : n;
}

/* From the first character 1; 0 and below lie before the text, negative starts count from its
 * end, a
 * negative length runs backwards. */
Slice sql__substring(Slice s, int64_t start, int64_t length, bool has_length)
{
    int64_t size = sql__text_length(s);
    start = clamp(start, -2 * (int64_t)SQL_BYTES_MAX - size, size + 1);
    length = clamp(length, -4 * (int64_t)SQL_BYTES_MAX - 2 * size,
                   4 * (int64_t)SQL_BYTES_MAX + 2 * size);
    int64_t from = start < 0 ? size + start : start - 1;
    int64_t to = has_length ? from + length : size;
    if (to < from) {
        int64_t swap = from;
        from = to;
        to = swap;
    }
    from = clamp(from, 0, size);
    to = clamp(to, from, size);
    size_t first = byte_of(s, from);
    Slice rest = slice_of(s.data + first, s.size - first);
    return slice_of(rest.data, byte_of(rest, to - from));
}

/* A short statement can ask for much text: repeat() in every value of an INSERT. */
Code sql__check_room(const Arena *arena, const char *what, size_t bytes, Error *e)
{
    if (bytes > ROW_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "The result of %s is larger than %d bytes", what,
                    ROW_BYTES_MAX);
    if (arena_bytes(arena) + bytes > SQL_EVAL_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "The statement's values are together larger than %d bytes",
                    SQL_EVAL_BYTES_MAX);
    return OK;
}

/* ---- case ---- */

typedef struct CaseRange {
    uint32_t first, last;
    int32_t step, add;
} CaseRange;

#define CASE(first, last, step, add) {first, last, step, add},
static const CaseRange lower_ranges[] = {
#define CASE_LOWER
#include "sql/case_table.def"
#undef CASE_LOWER
};
static const CaseRange upper_ranges[] = {
#define CASE_UPPER
#include "sql/case_table.def"
#undef CASE_UPPER
};
#undef CASE

static uint32_t fold(uint32_t c, const CaseRange *ranges, size_t count)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].last < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count || c < ranges[low].first ||
        (c - ranges[low].first) % (uint32_t)ranges[low].step)
        return c;
    return (uint32_t)((int32_t)c + ranges[low].add);
}

static uint32_t decode(Slice s, size_t at, size_t size)
{
    unsigned char c = (unsigned char)s.data[at];
    uint32_t value = size == 1 ? c : size == 2 ? c & 0x1Fu : size == 3 ? c & 0x0Fu : c & 0x07u;
    for (size_t i = 1; i < size; i++)
        value = (value << 6) | ((unsigned char)s.data[at + i] & 0x3Fu);
    return value;
}

static size_t encode(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t size = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (c & 0x3F));
        c >>= 6;
    }
    static const unsigned char marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(marks[size] | c);
    return size;
}

static uint32_t fold_lower(uint32_t c)
{
    if (c < 0x80)
        return c >= 'A' && c <= 'Z' ? c + 32 : c;
    return fold(c, lower_ranges, sizeof(lower_ranges) / sizeof(*lower_ranges));
}

static uint32_t fold_upper(uint32_t c)
{
    if (c < 0x80)
        return c >= 'a' && c <= 'z' ? c - 32 : c;
    return fold(c, upper_ranges, sizeof(upper_ranges) / sizeof(*upper_ranges));
}

static Slice fold_text(Slice s, uint32_t (*map)(uint32_t), Arena *arena)
{
    char *out =
        arena_alloc(arena, s.size * 2 + 4); /* a character of two bytes may become one of three */
    size_t size = 0;
    for (size_t at = 0; at < s.size;) {
        size_t bytes = sql__character_bytes(s, at);
        if (bytes > 4)
            bytes = 1;
        size += encode(map(decode(s, at, bytes)), out + size);
        at += bytes;
    }
    return slice_of(out, size);
}

Slice sql__text_lower(Slice s, Arena *arena)
{
    return fold_text(s, fold_lower, arena);
}

Slice sql__text_upper(Slice s, Arena *arena)
{
    return fold_text(s, fold_upper, arena);
}

/* ---- LIKE ---- */

typedef struct LikeState {
    Slice text, pattern, escape;
    size_t t, p; /* where we are */
    bool has_star;
    size_t star_t, star_p; /* where to go on when a match behind the last % fails */
} LikeState;

static bool at_bytes(Slice s, size_t at, Slice bytes)
{
    return bytes.size && s.size - at >= bytes.size &&
           memcmp(s.data + at, bytes.data, bytes.size) == 0;
}

/* One character of the pattern against one of the text. *out_end: the pattern ends in the
 * escape. */
static bool like_step(LikeState *s, bool *out_end)
{
    bool is_escaped = at_bytes(s->pattern, s->p, s->escape);
    size_t p = s->p + (is_escaped ? s->escape.size : 0);
    if (p >= s->pattern.size) {
        *out_end = is_escaped;
        return false;
    }
    size_t size = sql__character_bytes(s->pattern, p);
    size_t text_size = sql__character_bytes(s->text, s->t);
    bool is_any = !is_escaped && s->pattern.data[p] == '_';
    bool is_same = size == text_size && memcmp(s->pattern.data + p, s->text.data + s->t, size) == 0;
    if (!is_any && !is_same)
        return false;
    s->p = p + size;
    s->t += text_size;
    return true;
}

static bool at_percent(const LikeState *s)
{
    return s->p < s->pattern.size && s->pattern.data[s->p] == '%' &&
           !at_bytes(s->pattern, s->p, s->escape);
}

/* Only the last % is ever retried, so the work is at most text times pattern. */
static bool like_match(LikeState *s, bool *out_end)
{
    while (s->t < s->text.size) {
        if (at_percent(s)) {
            s->has_star = true;
            s->star_p = ++s->p;
            s->star_t = s->t;
            continue;
        }
        if (like_step(s, out_end))
            continue;
        if (*out_end || !s->has_star)
            return false;
        s->star_t += sql__character_bytes(s->text, s->star_t);
        s->t = s->star_t;
        s->p = s->star_p;
    }
    while (at_percent(s))
        s->p++;
    return s->p >= s->pattern.size;
}

Code sql__like(Slice text, Slice pattern, Slice escape, bool *out, Error *e)
{
    LikeState s = {.text = text, .pattern = pattern, .escape = escape};
    bool is_end = false;
    bool matches = like_match(&s, &is_end);
    if (is_end)
        return fail(e, E_EXECUTION, "A LIKE pattern must not end with its escape character");
    *out = matches;
    return OK;
}
