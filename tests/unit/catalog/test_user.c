/* SPDX-License-Identifier: Apache-2.0
 *
 * Users over a real hot store, and the words for roles.
 */
#include <stdio.h>

#include "catalog/catalog_int.h"
#include "data/row.h"
#include "test.h"

static HotStore *store;
static Catalog *catalog;
static Arena *arena;

static void open_all(void)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 4 << 20, .background_jobs = 2};
    CHECK_OK(hot_open(test_folder(), &options, &store, e));
    CHECK_OK(catalog_open(store, &catalog, e));
    arena = arena_new();
}

static void close_all(void)
{
    arena_free(arena);
    catalog_close(catalog);
    hot_close(store);
}

static void put(User *io_user)
{
    CatalogChange *change;
    CHECK_OK(catalog_plan_put_user(catalog, io_user, &change, e));
    HotBatch *batch = hot_batch_new();
    catalog_change_write(change, store, batch);
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    catalog_change_apply(catalog, change);
    catalog_change_free(change);
}

static Code get(Slice user_id, User *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, user_id, arena, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

static Code get_by_id(uint64_t id, User *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code = catalog_get_user_by_id(snapshot, HOT_BLOCKING, id, arena, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

TEST("a user comes back with every field, by text and by number, and after a reopen")
{
    open_all();
    User user = {.user_id = SLICE("Alice B."),
                 .registered = true,
                 .role = ROLE_SERVICE,
                 .email = SLICE("a@example.org"),
                 .password_hash = SLICE("$2b$12$x"),
                 .auth_type = SLICE("Password"),
                 .failed_logins = 3,
                 .locked_until_us = 1,
                 .last_login_us = 2,
                 .created_at_us = 3,
                 .updated_at_us = 4,
                 .deleted_at_us = 5,
                 .credentials_at_us = 6};
    put(&user);
    CHECK(user.id != 0);
    close_all();
    open_all();
    User got = {0};
    CHECK_OK(get(SLICE("Alice B."), &got, e));
    CHECK_INT(got.id, user.id);
    CHECK_SLICE(got.user_id, user.user_id);
    CHECK(got.registered);
    CHECK_INT(got.role, ROLE_SERVICE);
    CHECK_SLICE(got.email, user.email);
    CHECK_SLICE(got.password_hash, user.password_hash);
    CHECK_SLICE(got.auth_type, user.auth_type);
    CHECK_INT(got.failed_logins, 3);
    CHECK_INT(got.locked_until_us, 1);
    CHECK_INT(got.last_login_us, 2);
    CHECK_INT(got.created_at_us, 3);
    CHECK_INT(got.updated_at_us, 4);
    CHECK_INT(got.deleted_at_us, 5);
    CHECK_INT(got.credentials_at_us, 6);
    User by_id = {0};
    CHECK_OK(get_by_id(user.id, &by_id, e));
    CHECK_SLICE(by_id.user_id, user.user_id);
    close_all();
}

TEST("a user id that differs in case is another user")
{
    open_all();
    User a = {.user_id = SLICE("alice"), .role = ROLE_USER}, b = a, got;
    b.user_id = SLICE("ALICE");
    put(&a);
    put(&b);
    CHECK(a.id != b.id);
    CHECK_OK(get(SLICE("alice"), &got, e));
    CHECK_INT(got.id, a.id);
    CHECK_CODE(get(SLICE("Alice"), &got, e), E_NOT_FOUND);
    close_all();
}

TEST("an update keeps the number, and a number is not given out again after a reopen")
{
    open_all();
    User a = {.user_id = SLICE("a"), .role = ROLE_USER}, got;
    put(&a);
    uint64_t first = a.id;
    a.role = ROLE_DBA;
    a.deleted_at_us = 9;
    put(&a);
    CHECK_INT(a.id, first);
    close_all();
    open_all();
    User b = {.user_id = SLICE("b"), .role = ROLE_USER};
    put(&b);
    CHECK(b.id > first);
    CHECK_OK(get(SLICE("a"), &got, e));
    CHECK_INT(got.role, ROLE_DBA);
    CHECK_INT(got.deleted_at_us, 9);
    close_all();
}

TEST("ids that are empty, too long, no text or a way out of a folder are refused")
{
    char longest[USER_ID_BYTES_MAX + 1];
    memset(longest, 'u', sizeof longest);
    static const Slice bad[] = {
        {"", 0},     {"a/b", 3},  {"a\\b", 3}, {"..", 2},    {"a..b", 4},
        {"a\0b", 3}, {"a\nb", 3}, {"\xff", 1}, {"a\x7f", 2}, {".", 1},
    };
    static const Slice good[] = {
        {"a.", 2}, {"a b", 3}, {"UPPER", 5}, {"\xc3\xa9", 2}, {"a@b.c", 5}};
    open_all();
    User user = {.role = ROLE_USER};
    CatalogChange *change;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        user.user_id = bad[i];
        CHECK_CODE(catalog_plan_put_user(catalog, &user, &change, e), E_INVALID_INPUT);
        CHECK_INT(user.id, 0);
    }
    user.user_id = slice_of(longest, sizeof longest);
    CHECK_CODE(catalog_plan_put_user(catalog, &user, &change, e), E_INVALID_INPUT);
    CHECK_CODE(get(user.user_id, &user, e), E_NOT_FOUND);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        User ok = {.user_id = good[i], .role = ROLE_USER}, got;
        put(&ok);
        CHECK_OK(get(good[i], &got, e));
        CHECK_INT(got.id, ok.id);
    }
    User ok = {.user_id = slice_of(longest, USER_ID_BYTES_MAX), .role = ROLE_USER}, got;
    put(&ok);
    CHECK_OK(get(ok.user_id, &got, e));
    close_all();
}

TEST("a list in pages shows every user once, in order")
{
    open_all();
    enum { USERS = 40 };
    for (int i = 0; i < USERS; i++) {
        char name[16];
        snprintf(name, sizeof name, "u%02d", (i * 7) % USERS);
        User user = {.user_id = slice_of_text(name), .role = ROLE_USER};
        put(&user);
    }
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Slice after = {0};
    int seen = 0;
    for (;;) {
        User *page;
        size_t count;
        CHECK_OK(catalog_list_users(snapshot, after, 17, arena, &page, &count, e));
        for (size_t i = 0; i < count; i++, seen++) {
            char want[16];
            snprintf(want, sizeof want, "u%02d", seen);
            CHECK_SLICE(page[i].user_id, slice_of_text(want));
        }
        if (count < 17)
            break;
        after = page[count - 1].user_id;
    }
    hot_snapshot_free(snapshot);
    CHECK_INT(seen, USERS);
    close_all();
}

TEST("a damaged user record is named, and never read as a user")
{
    open_all();
    User user = {.user_id = SLICE("bob"), .role = ROLE_DBA}, got;
    put(&user);
    CLEANUP(buffer_done) Buffer value = {0};
    catalog__encode_user(SLICE("ubob"), &user, &value);
    for (size_t i = 0; i < value.size; i++) {
        value.data[i] ^= 1;
        HotBatch *batch = hot_batch_new();
        hot_batch_put(batch, store, HOT_SYSTEM, SLICE("ubob"), buffer_slice(&value));
        CHECK_OK(hot_write(store, batch, false, e));
        hot_batch_free(batch);
        Error e = {0};
        CHECK_INT(get(SLICE("bob"), &got, &e), E_CORRUPT);
        CHECK_TEXT(e.text, "user record, system key 'ubob': the checksum is wrong");
        value.data[i] ^= 1;
    }
    close_all();
}

TEST("a link to a user that is gone, or to another's, is corrupt and not a wrong user")
{
    open_all();
    User user = {.user_id = SLICE("bob"), .role = ROLE_DBA}, got;
    put(&user);
    RecordKey gone = catalog__key_u64(KEY_USER_LINK, 77),
              wrong = catalog__key_u64(KEY_USER_LINK, 78);
    CLEANUP(buffer_done) Buffer to_nobody = {0};
    CLEANUP(buffer_done) Buffer to_bob = {0};
    catalog__encode_user_link(record_key_slice(&gone), SLICE("nobody"), &to_nobody);
    catalog__encode_user_link(record_key_slice(&wrong), SLICE("bob"), &to_bob);
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_SYSTEM, record_key_slice(&gone), buffer_slice(&to_nobody));
    hot_batch_put(batch, store, HOT_SYSTEM, record_key_slice(&wrong), buffer_slice(&to_bob));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    CHECK_CODE(get_by_id(77, &got, e), E_CORRUPT);
    CHECK_CODE(get_by_id(78, &got, e), E_CORRUPT);
    CHECK_CODE(get_by_id(79, &got, e), E_NOT_FOUND);
    close_all();
    open_all();
    User next = {.user_id = SLICE("next"), .role = ROLE_USER};
    put(&next);
    CHECK(next.id > 78);
    close_all();
}

TEST("a record of a later version is refused by its version, not called corrupt")
{
    CLEANUP(buffer_done) Buffer value = {0};
    buffer_add_text(&value, "\2later");
    buffer_add_u32(&value, crc32c(crc32c(0, SLICE("ubob")), buffer_slice(&value)));
    CLEANUP(arena_free_ptr) Arena *a = arena_new();
    User got;
    CHECK_CODE(catalog__decode_user(SLICE("ubob"), buffer_slice(&value), a, &got, e),
               E_FORMAT_VERSION);
}

TEST("only the exact wire spelling of a role is one")
{
    Role role = ROLE_ANONYMOUS;
    for (Role r = ROLE_ANONYMOUS; r <= ROLE_SYSTEM; r++) {
        CHECK(role_of_text(slice_of_text(role_name(r)), &role));
        CHECK_INT(role, r);
    }
    CHECK(!role_of_text(SLICE("DBA"), &role));
    CHECK(!role_of_text(SLICE("dba "), &role));
    CHECK(!role_of_text(SLICE(""), &role));
    CHECK(!role_is_admin(ROLE_SERVICE));
    CHECK(role_is_admin(ROLE_DBA));
}
