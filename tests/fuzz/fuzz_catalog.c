/* SPDX-License-Identifier: Apache-2.0
 *
 * Catalog records from arbitrary bytes: no decoder may crash or read past the end, and what one
 * accepts must encode to a record it accepts again.
 * Input: a byte that selects the record (its top bit: the input brings its own checksum), a byte
 * for the size of the key's rest, that rest, the record.
 */
#include "catalog/catalog_int.h"
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes, and encodes what it got into `again`; true when the record was accepted. */
static bool round_trip(Slice key, Slice value, Arena *arena, Buffer *again)
{
    Error e = {0};
    Namespace n;
    Table t;
    User u;
    Slice user_id;
    uint64_t next;
    switch (key.data[0]) {
    case KEY_NAMESPACE:
        if (catalog__decode_namespace(key, value, arena, &n, &e) != OK)
            return false;
        catalog__encode_namespace(key, &n, again);
        return true;
    case KEY_TABLE:
        if (catalog__decode_table(key, value, arena, &t, &e) != OK)
            return false;
        catalog__encode_table(key, &t, again);
        return true;
    case KEY_USER:
        if (catalog__decode_user(key, value, arena, &u, &e) != OK)
            return false;
        catalog__encode_user(key, &u, again);
        return true;
    case KEY_USER_LINK:
        if (catalog__decode_user_link(key, value, arena, &user_id, &e) != OK)
            return false;
        catalog__encode_user_link(key, user_id, again);
        return true;
    default:
        if (catalog__decode_counter(key, value, &next, &e) != OK)
            return false;
        catalog__encode_counter(key, next, again);
        return true;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefixes[] = {KEY_NAMESPACE, KEY_TABLE, KEY_USER, KEY_USER_LINK, KEY_COUNTER};
    if (size < 2 || size > 1024 * 1024)
        return 0;
    size_t rest_size = data[1] % (USER_ID_BYTES_MAX + 1);
    if (size < 2 + rest_size)
        return 0;
    RecordKey record_key =
        catalog__key(prefixes[(data[0] & 0x7F) % sizeof prefixes], slice_of(data + 2, rest_size));
    Slice key = record_key_slice(&record_key);
    CLEANUP(buffer_done) Buffer value = {0};
    CLEANUP(buffer_done) Buffer again = {0};
    CLEANUP(buffer_done) Buffer third = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    buffer_add(&value, data + 2 + rest_size, size - 2 - rest_size);
    if (!(data[0] & 0x80))
        buffer_add_u32(&value, crc32c(crc32c(0, key), buffer_slice(&value)));
    if (round_trip(key, buffer_slice(&value), arena, &again)) {
        /* The input may spell a size as a longer varint than we do, but only the first time. */
        must(round_trip(key, buffer_slice(&again), arena, &third));
        must(slice_equal(buffer_slice(&again), buffer_slice(&third)));
    }
    return 0;
}
