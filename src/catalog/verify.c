/* SPDX-License-Identifier: Apache-2.0
 *
 * Every record of the catalog decodes, links and users name each other, and no counter gives out a
 * number again.
 */
#include "catalog/catalog_int.h"

typedef struct Check {
    HotSnapshot *snapshot;
    Arena *arena;
    uint64_t next_table, next_user; /* of the counters */
    uint64_t users;
} Check;

typedef Code CheckRecord(Check *check, Slice key, Slice value, Error *e);

static Code check_namespace(Check *check, Slice key, Slice value, Error *e)
{
    Namespace n;
    return catalog__decode_namespace(key, value, check->arena, &n, e);
}

static Code check_table(Check *check, Slice key, Slice value, Error *e)
{
    Table t;
    TRY(catalog__decode_table(key, value, check->arena, &t, e));
    if (t.id >= check->next_table)
        return catalog__corrupt(key, "its number is not below the counter of tables", e);
    return OK;
}

static Code check_past(Check *check, Slice key, Slice value, Error *e)
{
    Table t;
    Slice record;
    TRY(catalog__decode_past(key, value, check->arena, &t, e));
    RecordKey table = catalog__key_u32(KEY_TABLE, t.id);
    Code code = hot_get(check->snapshot, HOT_BLOCKING, HOT_SYSTEM, record_key_slice(&table),
                        check->arena, &record, e);
    if (code == E_NOT_FOUND)
        return catalog__corrupt(key, "its table does not exist", e);
    return code;
}

static Code check_user(Check *check, Slice key, Slice value, Error *e)
{
    User user, again;
    check->users++;
    TRY(catalog__decode_user(key, value, check->arena, &user, e));
    if (user.id >= check->next_user)
        return catalog__corrupt(key, "its number is not below the counter of users", e);
    Code code =
        catalog_get_user_by_id(check->snapshot, HOT_BLOCKING, user.id, check->arena, &again, e);
    if (code == E_NOT_FOUND || (code == OK && !slice_equal(again.user_id, user.user_id)))
        return catalog__corrupt(key, "no link leads from its number to it", e);
    return code;
}

static Code check_link(Check *check, Slice key, Slice value, Error *e)
{
    (void)value;
    User user;
    Cursor c = cursor_of(slice_of(key.data + 1, key.size - 1));
    uint64_t id;
    if (!cursor_u64(&c, &id) || cursor_left(&c) > 0)
        return catalog__corrupt(key, "the key is malformed", e);
    return catalog_get_user_by_id(check->snapshot, HOT_BLOCKING, id, check->arena, &user, e);
}

static Code check_counter(Check *check, Slice key, Slice value, Error *e)
{
    uint64_t next;
    TRY(catalog__decode_counter(key, value, &next, e));
    if (slice_equal(key, SLICE("ctable")))
        check->next_table = next;
    else if (slice_equal(key, SLICE("cuser")))
        check->next_user = next;
    return OK;
}

Code catalog_verify(HotSnapshot *snapshot, void (*on_problem)(void *context, const char *text),
                    void *context, uint64_t *out_users, Error *e)
{
    static const struct {
        char prefix;
        CheckRecord *check;
    } kinds[] = {
        {KEY_COUNTER, check_counter}, {KEY_NAMESPACE, check_namespace}, {KEY_TABLE, check_table},
        {KEY_USER, check_user},       {KEY_USER_LINK, check_link},      {KEY_PAST, check_past},
    };
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Check check = {.snapshot = snapshot, .arena = arena, .next_table = 1, .next_user = 1};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char from = kinds[i].prefix, to = (char)(from + 1);
        CLEANUP(hot_iterator_close_ptr)
        HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(&from, 1),
                                            slice_of(&to, 1), false);
        while (hot_next(it)) {
            Error error = {0};
            Slice key = hot_key(it);
            if (from == KEY_COUNTER && !slice_equal(key, SLICE("ctable")) &&
                !slice_equal(key, SLICE("cuser")))
                continue; /* "clean_stop" and its like belong to others */
            Code code = kinds[i].check(&check, key, hot_value(it), &error);
            if (code != OK)
                on_problem(context, error.text[0]
                                        ? error.text
                                        : "a record of the catalog names one that is missing");
            arena_reset(arena);
        }
        TRY(hot_iterator_end(it, e));
    }
    *out_users = check.users;
    return OK;
}
