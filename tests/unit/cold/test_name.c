/* SPDX-License-Identifier: Apache-2.0
 *
 * Folder names: a collision would put two users into one folder.
 */
#include <stdlib.h>
#include <strings.h>

#include "base/limits.h"
#include "base/map.h"
#include "cold/cold.h"
#include "test.h"

TEST("names are encoded as documented")
{
    static const struct {
        const char *id, *want;
    } rows[] = {
        {"alice", "alice"},     {"alice@example.com", "alice@example.com"},
        {"Bob", "%42ob"},       {".", "%2E"},
        {"..", "%2E%2E"},       {".hidden", "%2Ehidden"},
        {"dot.", "dot%2E"},     {"a/b", "a%2Fb"},
        {"a b", "a%20b"},       {"100%", "100%25"},
        {"%~", "%25%7E"},       {"a*?[b", "a%2A%3F%5Bb"},
        {"a=b", "a%3Db"},       {"it's", "it%27s"},
        {"\xC3\xA9", "%C3%A9"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP(buffer_done) Buffer name = {0}, back = {0};
        CHECK_OK(cold_encode_name(slice_of_text(rows[i].id), &name, e));
        CHECK_SLICE(buffer_slice(&name), slice_of_text(rows[i].want));
        CHECK_OK(cold_decode_name(buffer_slice(&name), &back, e));
        CHECK_SLICE(buffer_slice(&back), slice_of_text(rows[i].id));
    }
}

TEST("an empty id and one beyond the limit have no folder")
{
    CLEANUP(buffer_done) Buffer name = {0};
    char id[300] = {0};
    CHECK_CODE(cold_encode_name((Slice){0}, &name, e), E_INVALID_INPUT);
    CHECK_CODE(cold_encode_name(slice_of(id, sizeof id), &name, e), E_TOO_LARGE);
    CHECK_INT(name.size, 0);
}

TEST("names that no id has are refused, so that a walk finds no stranger's folder")
{
    static const char *const names[] = {"",    "Bob",  "%",   "%4",  "%zz",  "%62ob",
                                        "%2e", "%~a",  "%~1", "a b", "..",   ".",
                                        "%~",  "%42%", "a/b", "~",   "a..b/"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CLEANUP(buffer_done) Buffer id = {0};
        CHECK_CODE(cold_decode_name(slice_of_text(names[i]), &id, e), E_INVALID_INPUT);
        CHECK_INT(id.size, 0);
    }
}

/* Ids that are near each other: few letters, cases mixed, escapes and the marker of long names. */
static Slice random_id(char *room)
{
    static const char letters[] = "aAbB.%~/\\ _-@0\0\xFF";
    size_t size = 1 + test_random() % (test_random() % 8 == 0 ? USER_ID_BYTES_MAX : 4);
    for (size_t i = 0; i < size; i++)
        room[i] = test_random() % 16 == 0 ? (char)test_random()
                                          : letters[test_random() % (sizeof letters - 1)];
    return slice_of(room, size);
}

static void fold(Buffer *name)
{
    for (size_t i = 0; i < name->size; i++) {
        if (name->data[i] >= 'A' && name->data[i] <= 'Z')
            name->data[i] = (char)(name->data[i] - 'A' + 'a');
    }
}

TEST("distinct ids have names that differ without case, are short, and decode back")
{
    Map *ids = map_new();
    for (int i = 0; i < 100000; i++) {
        char room[USER_ID_BYTES_MAX];
        Slice id = random_id(room);
        CLEANUP(buffer_done) Buffer name = {0}, back = {0};
        CHECK_OK(cold_encode_name(id, &name, e));
        CHECK(name.size > 0 && name.size <= COLD_NAME_BYTES_MAX);
        CHECK(name.data[0] != '.');
        CHECK(!memchr(name.data, '/', name.size));
        CHECK(!memchr(name.data, 0, name.size));
        CHECK_OK(cold_decode_name(buffer_slice(&name), &back, e));
        CHECK_SLICE(buffer_slice(&back), id);
        fold(&name);
        Buffer *other = map_get(ids, buffer_slice(&name));
        if (other) {
            CHECK_SLICE(buffer_slice(other), id);
            continue;
        }
        Buffer *kept = x_new(Buffer);
        buffer_add_slice(kept, id);
        map_put(ids, buffer_slice(&name), kept);
    }
    Slice key;
    void *value;
    for (size_t at = 0; map_next(ids, &at, &key, &value);) {
        buffer_done(value);
        free(value);
    }
    map_free(ids);
}

TEST("the folder of a partition follows from its user and table")
{
    CLEANUP(buffer_done) Buffer path = {0};
    ColdPlace place = {.namespace_name = SLICE("chat"),
                       .table_name = SLICE("Messages"),
                       .user_id = SLICE("../Bob")};
    CHECK_OK(cold_folder_path(&place, &path, e));
    CHECK_SLICE(buffer_slice(&path), SLICE("user/%2E.%2F%42ob/chat/%4Dessages"));
    buffer_clear(&path);
    place.is_shared = true;
    CHECK_OK(cold_folder_path(&place, &path, e));
    CHECK_SLICE(buffer_slice(&path), SLICE("shared/chat/%4Dessages"));
    place = (ColdPlace){.namespace_name = SLICE("chat"), .table_name = SLICE("t")};
    CHECK_CODE(cold_folder_path(&place, &path, e), E_INVALID_INPUT);
}
