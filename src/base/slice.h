/* SPDX-License-Identifier: Apache-2.0
 *
 * A Slice borrows bytes that somebody else owns. It is not zero-terminated.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Slice {
    const char *data; /* may be NULL when size is 0 */
    size_t size;      /* bytes */
} Slice;

#define SLICE(literal) ((Slice){(literal), sizeof(literal) - 1})
#define SLICE_ARGS(slice) (int)(slice).size, (slice).data /* for "%.*s" */

static inline Slice slice_of(const void *data, size_t size)
{
    return (Slice){(const char *)data, size};
}

static inline Slice slice_of_text(const char *text)
{
    return (Slice){text, strlen(text)};
}

static inline bool slice_equal(Slice a, Slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The same in a time that depends on the sizes only: for secrets. */
bool slice_equal_secret(Slice a, Slice b);

/* Byte order, the shorter first where one is a prefix of the other. */
static inline int slice_compare(Slice a, Slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

/* ASCII letters fold, all other bytes must be equal. */
bool slice_equal_ignoring_case(Slice a, Slice b);
bool slice_starts_with(Slice s, Slice prefix);
/* Well-formed UTF-8 without surrogates or over-long forms (Unicode 15, table 3-7). */
bool slice_is_utf8(Slice s);
/* 64-bit hash for tables in memory (FNV-1a folded by a multiply-xor finish); never stored on
 * disk. */
uint64_t slice_hash(Slice s, uint64_t seed);
