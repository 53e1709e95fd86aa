/* SPDX-License-Identifier: Apache-2.0
 *
 * The space of deleted entries: when it is given back, and that their bytes are gone from the files
 * then.
 */
#include <stdio.h>

#include "../test.h"
#include "base/arena.h"
#include "hot/hot.h"
#include "os/clock.h"
#include "os/file.h"

#define CANARY "canary-8c1f27"
enum { KEY_BYTES = 16, VALUE_BYTES = 64 * 1024, LARGE_COUNT = 400, DAY_S = 86400 };

static _Atomic int64_t now_us;

static int64_t test_clock(void)
{
    return now_us;
}

static HotStore *open_store(const char *folder)
{
    HotOptions options = {.block_cache_bytes = 1 << 20,
                          .write_buffer_bytes = 1 << 20,
                          .background_jobs = 1,
                          .keep_deleted_s = DAY_S};
    HotStore *store = NULL;
    now_us = INT64_C(1800000000) * 1000000;
    clock_replace(test_clock, NULL);
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

static void close_store(HotStore *store)
{
    hot_close(store);
    clock_replace(NULL, NULL);
}

static Slice key_of(int n, char key[KEY_BYTES])
{
    return slice_of(key, (size_t)snprintf(key, KEY_BYTES, "key %06d", n));
}

/* Random bytes with the canary in front, which no compression hides. */
static Slice make_value(Arena *arena)
{
    char *value = (char *)arena_alloc(arena, VALUE_BYTES);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        value[i] = (char)(test_random() >> 11);
    memcpy(value, CANARY, strlen(CANARY));
    return slice_of(value, VALUE_BYTES);
}

static void put_many(HotStore *store, HotFamily family, int count)
{
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < count; i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        char key[KEY_BYTES];
        hot_batch_clear(batch);
        hot_batch_put(batch, store, family, key_of(i, key), make_value(arena));
        CHECK_OK(hot_write(store, batch, false, e));
    }
    hot_batch_free(batch);
    CHECK_OK(hot_flush(store, e));
}

static void delete_all(HotStore *store, HotFamily family)
{
    HotBatch *batch = hot_batch_new();
    hot_batch_delete_range(batch, store, family, SLICE("key "), SLICE("key~"));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
}

static bool is_on_disk(const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *entries;
    size_t count;
    CHECK_OK(file_list(folder, 100000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        CLEANUP(arena_free_ptr) Arena *of_file = arena_new();
        Slice bytes;
        CHECK_OK(file_read(arena_printf(arena, "%s/%s", folder, entries[i].name), 1 << 28, of_file,
                           &bytes, e));
        if (bytes.size && memmem(bytes.data, bytes.size, CANARY, strlen(CANARY)))
            return true;
    }
    return false;
}

TEST("little that was deleted leaves the files at once, which costs more than it gives, or not "
     "after "
     "the time either")
{
    const char *folder = test_folder();
    HotStore *store = open_store(folder);
    put_many(store, HOT_HISTORY, 3);
    delete_all(store, HOT_HISTORY);
    CHECK(hot_reclaim_wait_us(store) > 0);
    CHECK_OK(hot_reclaim(store, e));
    CHECK(is_on_disk(folder));
    now_us += INT64_C(1000000) * DAY_S;
    CHECK_INT(hot_reclaim_wait_us(store), 0);
    CHECK_OK(hot_reclaim(store, e));
    CHECK(!is_on_disk(folder));
    CHECK(hot_reclaim_wait_us(store) == INT64_MAX);
    close_store(store);
}

TEST("much that was deleted waits for the time; or it is merged again and again, whatever that "
     "takes")
{
    const char *folder = test_folder();
    HotStore *store = open_store(folder);
    put_many(store, HOT_ROWS, LARGE_COUNT);
    uint64_t bytes = hot_range_bytes(store, HOT_ROWS, SLICE("key "), SLICE("key~"));
    CHECK(bytes > (uint64_t)LARGE_COUNT * VALUE_BYTES / 2);
    delete_all(store, HOT_ROWS);
    CHECK(hot_reclaim_wait_us(store) > 0);
    hot_note_deleted(store, HOT_ROWS, bytes);
    CHECK_INT(hot_reclaim_wait_us(store), 0);
    CHECK_OK(hot_reclaim(store, e));
    CHECK(!is_on_disk(folder));
    CHECK_INT(hot_range_bytes(store, HOT_ROWS, SLICE("key "), SLICE("key~")), 0);
    hot_note_deleted(store, HOT_ROWS, bytes);
    CHECK(hot_reclaim_wait_us(store) > 0);
    close_store(store);
}

TEST("a store that is to stop merges on, or what it did not merge is forgotten")
{
    const char *folder = test_folder();
    HotStore *store = open_store(folder);
    put_many(store, HOT_ROWS, 3);
    put_many(store, HOT_ROWS, 3);
    delete_all(store, HOT_ROWS);
    now_us += INT64_C(1000000) * DAY_S;
    hot_allow_merges(store, false);
    CHECK_CODE(hot_reclaim(store, e), E_CANCELLED);
    hot_allow_merges(store, true);
    CHECK(is_on_disk(folder));
    now_us += INT64_C(1000000) * DAY_S;
    while (hot_reclaim_wait_us(store) !=
           INT64_MAX) /* it rests many times as long as the try took */
        CHECK_OK(hot_reclaim(store, e));
    CHECK(!is_on_disk(folder));
    close_store(store);
}
