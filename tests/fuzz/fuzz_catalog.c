/* SPDX-License-Identifier: Apache-2.0
 *
 * Catalog records from arbitrary bytes: no decoder may crash, read past the end or accept what does
 * not encode to the same bytes again.
 * Input: one byte that selects the record, one byte for the size of the key's rest, the rest, then the record without
 * its checksum; with the selector's top bit set the checksum is the input's own.
 */
#include "catalog/catalog_int.h"
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same(Slice want, const Buffer *got)
{
    must(slice_equal(want, buffer_slice(got)));
}

static void decode(Slice key, Slice value, Arena *arena)
{
    CLEANUP(buffer_done) Buffer again = {0};
    Error error = {0};
    Namespace n;
    Table t;
    User u;
    Slice user_id;
    uint64_t next;
    if (key.data[0] == KEY_NAMESPACE) {
        if (catalog__decode_namespace(key, value, arena, &n, &error) != OK)
            return;
        catalog__encode_namespace(key, &n, &again);
    } else if (key.data[0] == KEY_TABLE) {
        if (catalog__decode_table(key, value, arena, &t, &error) != OK)
            return;
        /* Sizes may be spelt as longer varints than ours: equal meaning is what is asked. */
        catalog__encode_table(key, &t, &again);
        must(catalog__decode_table(key, buffer_slice(&again), arena, &t, &error) == OK);
        return;
    } else if (key.data[0] == KEY_USER) {
        if (catalog__decode_user(key, value, arena, &u, &error) != OK)
            return;
        catalog__encode_user(key, &u, &again);
        must(catalog__decode_user(key, buffer_slice(&again), arena, &u, &error) == OK);
        return;
    } else if (key.data[0] == KEY_USER_LINK) {
        if (catalog__decode_user_link(key, value, arena, &user_id, &error) != OK)
            return;
        catalog__encode_user_link(key, user_id, &again);
        must(catalog__decode_user_link(key, buffer_slice(&again), arena, &user_id, &error) == OK);
        return;
    } else {
        if (catalog__decode_counter(key, value, &next, &error) != OK)
            return;
        catalog__encode_counter(key, next, &again);
        same(value, &again);
        return;
    }
    must(catalog__decode_namespace(key, buffer_slice(&again), arena, &n, &error) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefixes[] = {KEY_NAMESPACE, KEY_TABLE, KEY_USER, KEY_USER_LINK, KEY_COUNTER};
    if (size < 2 || size > 1024 * 1024)
        return 0;
    size_t rest_size = data[1] % (USER_ID_BYTES_MAX + 1);
    if (size < 2 + rest_size)
        return 0;
    RecordKey key = catalog__key(prefixes[(data[0] & 0x7F) % sizeof prefixes],
                                 slice_of(data + 2, rest_size));
    CLEANUP(buffer_done) Buffer value = {0};
    buffer_add(&value, data + 2 + rest_size, size - 2 - rest_size);
    if (!(data[0] & 0x80))
        buffer_add_u32(&value, crc32c(crc32c(0, record_key_slice(&key)), buffer_slice(&value)));
    Arena *arena = arena_new();
    decode(record_key_slice(&key), buffer_slice(&value), arena);
    arena_free(arena);
    return 0;
}
