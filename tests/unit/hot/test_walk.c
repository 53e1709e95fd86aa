/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks over deleted ranges, of whose keys the file still has all: where RocksDB forgets that it
 * could not read a block.
 */
#include "page_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hot/hot.h"
#include "os/random.h"

enum { KEYS = 2000, DEAD_FROM = 500, DEAD_TO = 1500, LIVING = 1000 };
enum { KEY_BYTES = 16, VALUE_BYTES = 100 };

static HotStore *open_store(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

static Slice key_of(int i, char key[KEY_BYTES])
{
    return slice_of(key, (size_t)snprintf(key, KEY_BYTES, "key %04d", i));
}

/* One file with all keys, since a snapshot sees them, and the range that deletes half of them. */
static void write_all(const char *folder)
{
    char from[KEY_BYTES], to[KEY_BYTES], value[VALUE_BYTES];
    HotStore *store = open_store(folder);
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < KEYS; i++) {
        random_bytes(value, sizeof value); /* which nothing makes smaller */
        hot_batch_put(batch, store, HOT_ROWS, key_of(i, from), slice_of(value, sizeof value));
    }
    CHECK_OK(hot_write(store, batch, true, e));
    HotSnapshot *before = hot_snapshot_new(store);
    hot_batch_clear(batch);
    hot_batch_delete_range(batch, store, HOT_ROWS, key_of(DEAD_FROM, from), key_of(DEAD_TO, to));
    CHECK_OK(hot_write(store, batch, true, e));
    CHECK_OK(hot_flush(store, e));
    hot_snapshot_free(before);
    hot_batch_free(batch);
    hot_close(store);
}

/* The blocks of these keys, and the file's index, are in the block cache from now on. */
static void read_keys(HotSnapshot *snapshot, int from, int to)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char key[KEY_BYTES];
    Slice value;
    for (int i = from; i < to; i++)
        CHECK_OK(hot_get(snapshot, HOT_BLOCKING, HOT_ROWS, key_of(i, key), arena, &value, NULL));
}

static Code walk(HotSnapshot *snapshot, HotRead mode, bool descending, int *out_count)
{
    HotIterator *it =
        hot_iterator_open(snapshot, mode, HOT_ROWS, SLICE("key "), SLICE("l"), descending);
    *out_count = 0;
    while (hot_next(it))
        ++*out_count;
    Code code = hot_iterator_end(it, NULL);
    hot_iterator_close(it);
    return code;
}

static void check_cached(HotSnapshot *snapshot, bool descending, Code wanted)
{
    int count;
    kernel_memory(KERNEL_HAS_NONE);
    CHECK_INT(walk(snapshot, HOT_CACHED_ONLY, descending, &count), wanted);
    if (wanted == OK)
        CHECK_INT(count, LIVING);
    kernel_memory(KERNEL_AS_IT_IS);
}

TEST("a walk that may not wait, in a deleted range, for a block that is not in memory: all keys "
     "behind it were missing, and the walk went well")
{
    const char *folder = test_folder();
    write_all(folder);
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    int count;
    read_keys(snapshot, 0, DEAD_FROM);
    check_cached(snapshot, false, E_WOULD_BLOCK);
    read_keys(snapshot, DEAD_TO, KEYS);
    check_cached(snapshot, true, E_WOULD_BLOCK);
    CHECK_OK(walk(snapshot, HOT_BLOCKING, false, &count));
    check_cached(snapshot, false, OK);
    check_cached(snapshot, true, OK);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

/* Half-way through the only table file, amidst the deleted range. */
static void damage(const char *folder)
{
    char path[1024] = "";
    struct stat stat;
    DIR *listed = opendir(folder);
    CHECK(listed);
    for (struct dirent *entry; (entry = readdir(listed));) {
        if (strstr(entry->d_name, ".sst"))
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    }
    closedir(listed);
    int file = open(path, O_RDWR | O_CLOEXEC);
    CHECK(file >= 0 && fstat(file, &stat) == 0);
    CHECK_INT(pwrite(file, "damage", 6, stat.st_size / 2), 6);
    close(file);
}

TEST("a damaged block amidst a deleted range: a flush would have lost the rows behind it, and a "
     "query not have told that they are missing")
{
    const char *folder = test_folder();
    write_all(folder);
    damage(folder);
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    int count;
    CHECK(walk(snapshot, HOT_BLOCKING, false, &count) != OK);
    CHECK(walk(snapshot, HOT_BLOCKING, true, &count) != OK);
    CHECK(walk(snapshot, HOT_PASSING, false, &count) != OK);
    CHECK(walk(snapshot, HOT_PASSING, true, &count) != OK);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

TEST("a walk past the block cache that takes deleted keys for missed ones, or forgets a jump")
{
    const char *folder = test_folder();
    char key[KEY_BYTES];
    int count;
    write_all(folder);
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    for (int descending = 0; descending < 2; descending++) {
        CHECK_OK(walk(snapshot, HOT_PASSING, descending, &count));
        CHECK_INT(count, LIVING);
    }
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_PASSING, HOT_ROWS, SLICE("key "), SLICE("l"), false);
    CHECK(hot_next(it));
    hot_seek(it, key_of(DEAD_FROM - 1, key));
    CHECK(hot_next(it));
    CHECK_SLICE(hot_key(it), key_of(DEAD_FROM - 1, key));
    CHECK(hot_next(it));
    CHECK_SLICE(hot_key(it), key_of(DEAD_TO, key));
    for (count = 1; hot_next(it);)
        count++;
    CHECK_INT(count, KEYS - DEAD_TO);
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    hot_close(store);
}
