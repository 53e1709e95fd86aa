/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading users through a snapshot. They are not kept in memory: there may be a million.
 */
#include "catalog/catalog_int.h"

Code catalog_get_user(HotSnapshot *snapshot, HotRead mode, Slice user_id, Arena *arena, User *out,
                      Error *e)
{
    if (user_id.size == 0 || user_id.size > USER_ID_BYTES_MAX)
        return E_NOT_FOUND; /* nobody can have such an id */
    RecordKey key = catalog__key(KEY_USER, user_id);
    Slice value;
    TRY(hot_get(snapshot, mode, HOT_SYSTEM, record_key_slice(&key), arena, &value, e));
    return catalog__decode_user(record_key_slice(&key), value, arena, out, e);
}

Code catalog_get_user_by_id(HotSnapshot *snapshot, HotRead mode, uint64_t id, Arena *arena,
                            User *out, Error *e)
{
    RecordKey key = catalog__key_u64(KEY_USER_LINK, id);
    Slice value, user_id;
    TRY(hot_get(snapshot, mode, HOT_SYSTEM, record_key_slice(&key), arena, &value, e));
    TRY(catalog__decode_user_link(record_key_slice(&key), value, arena, &user_id, e));
    User user;
    Code code = catalog_get_user(snapshot, mode, user_id, arena, &user, e);
    if (code == E_NOT_FOUND)
        return catalog__corrupt(record_key_slice(&key), "the user it names does not exist", e);
    TRY(code);
    if (user.id != id)
        return catalog__corrupt(record_key_slice(&key), "the user it names has another number", e);
    *out = user;
    return OK;
}

Code catalog_list_users(HotSnapshot *snapshot, Slice after, size_t limit, Arena *arena, User **out,
                        size_t *out_count, Error *e)
{
    char from[1 + USER_ID_BYTES_MAX + 1] = {KEY_USER};
    if (after.size > USER_ID_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "User id is too long (%zu bytes, max %d)", after.size,
                    USER_ID_BYTES_MAX);
    if (after.size)
        memcpy(from + 1, after.data, after.size);
    /* With the zero byte behind it: the first key after `after` itself. */
    Slice first = slice_of(from, 1 + after.size + (after.size > 0));
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, first, SLICE("v"), false);
    User *list = NULL;
    size_t count = 0, capacity = 0;
    while (count < limit && hot_next(it)) {
        if (count == capacity) {
            capacity = capacity ? 2 * capacity : 16;
            User *grown = arena_new_array(arena, User, capacity);
            if (count)
                memcpy(grown, list, count * sizeof *list);
            list = grown;
        }
        TRY(catalog__decode_user(hot_key(it), hot_value(it), arena, &list[count], e));
        count++;
    }
    TRY(hot_iterator_end(it, e));
    *out = list;
    *out_count = count;
    return OK;
}
