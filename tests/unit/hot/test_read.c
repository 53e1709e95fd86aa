/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that may not wait for the disk.
 */
#include "page_cache.h"

#include <stdio.h>

#include "hot/hot.h"

enum { ROUNDS = 4, KEY_BYTES = 16 };

static HotStore *open_store(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

static Slice key_of(int round, char key[KEY_BYTES])
{
    return slice_of(key, (size_t)snprintf(key, KEY_BYTES, "key %d", round));
}

static void add_change(HotBatch *batch, HotStore *store, HotFamily family, Slice key)
{
    hot_batch_put(batch, store, family, key, SLICE("value"));
    hot_batch_delete_range(batch, store, family, SLICE("range"), SLICE("range of old"));
}

/* A key and a deleted range in each family, and, by what the next opening does, a file in each. */
static void write_round(const char *folder, int round)
{
    char key[KEY_BYTES];
    HotStore *store = open_store(folder);
    HotBatch *batch = hot_batch_new();
    for (int family = 0; family < HOT_FAMILY_COUNT; family++)
        add_change(batch, store, (HotFamily)family, key_of(round, key));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
    hot_close(store);
}

static void check_get(HotSnapshot *snapshot, HotFamily family, int round)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char key[KEY_BYTES];
    Slice value;
    Error error;
    Code code =
        hot_get(snapshot, HOT_CACHED_ONLY, family, key_of(round, key), arena, &value, &error);
    if (code == OK)
        CHECK_SLICE(value, SLICE("value"));
    else
        CHECK_INT(code, E_WOULD_BLOCK);
}

TEST("a read that may not wait, after a start, of a file that is not open: RocksDB answers OK and "
     "an empty value")
{
    const char *folder = test_folder();
    for (int round = 0; round < ROUNDS; round++)
        write_round(folder, round);
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    for (int family = 0; family < HOT_FAMILY_COUNT; family++) {
        for (int round = 0; round < ROUNDS; round++)
            check_get(snapshot, (HotFamily)family, round);
    }
    hot_snapshot_free(snapshot);
    hot_close(store);
}

/* Walks all of a family's keys, as far as memory has them. */
static void check_walk(HotSnapshot *snapshot, HotFamily family)
{
    Error error;
    size_t count = 0;
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_CACHED_ONLY, family, SLICE("a"), SLICE("z"), false);
    while (hot_next(it))
        count++;
    if (hot_iterator_end(it, &error) == OK)
        CHECK_INT(count, ROUNDS);
    else
        CHECK_INT(error.code, E_WOULD_BLOCK);
    hot_iterator_close(it);
}

TEST("a walk that may not wait, after a start, over many files with deleted ranges: RocksDB frees "
     "those of one file twice when it may not open the next, which ended the server")
{
    const char *folder = test_folder();
    for (int round = 0; round < ROUNDS; round++)
        write_round(folder, round);
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    for (int family = 0; family < HOT_FAMILY_COUNT; family++)
        check_walk(snapshot, (HotFamily)family);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

enum { MANY = 600 * 1000, MANY_AT_ONCE = 10 * 1000 };

/* As many keys in one file that its filter is 750 KB and its index no less. */
static HotStore *open_large(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 4 << 20, .write_buffer_bytes = 512 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < MANY; i++) {
        char key[KEY_BYTES];
        hot_batch_put(batch, store, HOT_HEADS, key_of(i, key), SLICE("value"));
        if (i % MANY_AT_ONCE != MANY_AT_ONCE - 1)
            continue;
        CHECK_OK(hot_write(store, batch, false, e));
        hot_batch_clear(batch);
    }
    hot_batch_free(batch);
    CHECK_OK(hot_flush(store, e));
    return store;
}

TEST("a key that is known to be free and cannot be seen so from memory, since the filter of its "
     "large file is more than the block cache takes in one piece: each INSERT has it from the file")
{
    HotStore *store = open_large(test_folder());
    HotSnapshot *snapshot = hot_snapshot_new(store);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (int i = 0; i < MANY; i += MANY / 7) {
        char key[KEY_BYTES];
        Slice value, absent = slice_of(key, (size_t)snprintf(key, KEY_BYTES, "key %d ", i));
        CHECK_INT(hot_get(snapshot, HOT_BLOCKING, HOT_HEADS, absent, arena, &value, NULL),
                  E_NOT_FOUND);
        kernel_memory(KERNEL_HAS_NONE);
        CHECK_INT(hot_get(snapshot, HOT_CACHED_ONLY, HOT_HEADS, absent, arena, &value, NULL),
                  E_NOT_FOUND);
    }
    kernel_memory(KERNEL_AS_IT_IS);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

static size_t count_walked(HotSnapshot *snapshot, HotRead mode)
{
    HotIterator *it = hot_iterator_open(snapshot, mode, HOT_ROWS, SLICE("key "), SLICE("l"), false);
    size_t count = 0;
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    return count;
}

TEST("a flush or a trim that pushes out of the block cache what statements find there")
{
    enum { FEW = 100 };
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char key[KEY_BYTES];
    Slice value;
    HotStore *store = open_store(test_folder());
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < FEW; i++)
        hot_batch_put(batch, store, HOT_ROWS, key_of(i, key), SLICE("value"));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    CHECK_OK(hot_flush(store, e));
    HotSnapshot *snapshot = hot_snapshot_new(store);
    CHECK_INT(count_walked(snapshot, HOT_PASSING), FEW);
    kernel_memory(KERNEL_HAS_NONE);
    CHECK_INT(hot_get(snapshot, HOT_CACHED_ONLY, HOT_ROWS, key_of(1, key), arena, &value, NULL),
              E_WOULD_BLOCK);
    CHECK_INT(count_walked(snapshot, HOT_BLOCKING), FEW);
    CHECK_OK(hot_get(snapshot, HOT_CACHED_ONLY, HOT_ROWS, key_of(1, key), arena, &value, e));
    CHECK_SLICE(value, SLICE("value"));
    kernel_memory(KERNEL_AS_IT_IS);
    hot_snapshot_free(snapshot);
    hot_close(store);
}
