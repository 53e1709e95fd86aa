/* SPDX-License-Identifier: Apache-2.0
 *
 * key_decode over any bytes; the first byte is the type. A value has one encoding only: what
 * decodes encodes to the bytes it was read from. Two keys in a row must sort as their values.
 */
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool try_key(Slice *io_bytes, Type type, Arena *arena, Value *out, Slice *out_key)
{
    Error e = {0};
    Slice before = *io_bytes;
    if (key_decode(io_bytes, type, arena, out, &e) != OK) {
        must(e.code == E_CORRUPT && io_bytes->size == before.size);
        return false;
    }
    *out_key = slice_of(before.data, before.size - io_bytes->size);
    CLEANUP(buffer_done) Buffer again = {0};
    must(key_encode(out, &again, &e) == OK);
    must(slice_equal(buffer_slice(&again), *out_key));
    return true;
}

static int sign(int order)
{
    return (order > 0) - (order < 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    Arena *arena = arena_new();
    Type type = (Type)data[0];
    Slice left = slice_of(data + 1, size - 1), a_key, b_key;
    Value a, b;
    if (try_key(&left, type, arena, &a, &a_key) && try_key(&left, type, arena, &b, &b_key))
        must(sign(slice_compare(a_key, b_key)) == value_compare(&a, &b));
    arena_free(arena);
    return 0;
}
