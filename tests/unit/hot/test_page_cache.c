/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that may not wait for the disk, of blocks that the kernel has in memory or has not.
 */
#include "page_cache.h"

#include "hot/hot.h"
#include "os/random.h"

enum { KEYS = 600, KEY_BYTES = 16, VALUE_BYTES = 1000 }; /* some 40 blocks */

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

/* One table with all keys, of which the block cache has nothing. */
static HotStore *open_written(const char *folder)
{
    char key[KEY_BYTES], value[VALUE_BYTES];
    HotStore *store = open_store(folder);
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < KEYS; i++) {
        random_bytes(value, sizeof value); /* which nothing makes smaller */
        hot_batch_put(batch, store, HOT_ROWS, key_of(i, key), slice_of(value, sizeof value));
    }
    CHECK_OK(hot_write(store, batch, true, e));
    CHECK_OK(hot_flush(store, e));
    hot_batch_free(batch);
    hot_close(store);
    return open_store(folder);
}

static Code get(HotSnapshot *snapshot, HotRead mode, int i)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char key[KEY_BYTES];
    Slice value;
    Code code = hot_get(snapshot, mode, HOT_ROWS, key_of(i, key), arena, &value, NULL);
    if (code == OK)
        CHECK_INT(value.size, VALUE_BYTES);
    return code;
}

/* How many keys it finds before it ends, in order. */
static int walk(HotSnapshot *snapshot, HotRead mode, bool descending, Code *out)
{
    HotIterator *it =
        hot_iterator_open(snapshot, mode, HOT_ROWS, SLICE("key "), SLICE("l"), descending);
    char key[KEY_BYTES];
    int count = 0;
    for (; hot_next(it); count++)
        CHECK_SLICE(hot_key(it), key_of(descending ? KEYS - 1 - count : count, key));
    *out = hot_iterator_end(it, NULL);
    hot_iterator_close(it);
    return count;
}

TEST("a loop's read that goes to a worker for a block that the kernel has in memory")
{
    const char *folder = test_folder();
    HotStore *store = open_written(folder);
    if (page_cache_tells(folder)) {
        HotSnapshot *snapshot = hot_snapshot_new(store);
        CHECK_INT(get(snapshot, HOT_BLOCKING, 0), OK); /* so that the kernel has it */
        hot_snapshot_free(snapshot);
        hot_close(store);
        store = open_store(folder);
        snapshot = hot_snapshot_new(store);
        CHECK_INT(get(snapshot, HOT_CACHED_ONLY, 0), OK);
        hot_snapshot_free(snapshot);
    }
    hot_close(store);
}

TEST("a loop's read that waits for the disk, or takes a block that it did not get for a key that "
     "is not there; a later read that does not wait though it may")
{
    const char *folder = test_folder();
    HotStore *store = open_written(folder);
    HotSnapshot *snapshot;
    for (int i = 0; i < KEYS; i += KEYS / 7) {
        Code code;
        snapshot = hot_snapshot_new(store);
        drop_page_cache(folder);
        code = get(snapshot, HOT_CACHED_ONLY, i);
        CHECK(code == OK || code == E_WOULD_BLOCK);
        int count = walk(snapshot, HOT_CACHED_ONLY, i % 2 == 0, &code);
        CHECK(code == E_WOULD_BLOCK || (code == OK && count == KEYS));
        hot_snapshot_free(snapshot);
    }
    snapshot = hot_snapshot_new(store);
    CHECK_INT(get(snapshot, HOT_BLOCKING, KEYS / 2), OK);
    CHECK_INT(get(snapshot, HOT_CACHED_ONLY, KEYS / 2), OK);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

TEST("a statement on a loop that has many blocks out of files, while others wait; one that loses "
     "keys where it may have no more")
{
    const char *folder = test_folder();
    HotStore *store = open_written(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code;
    CHECK(walk(snapshot, HOT_CACHED_ONLY, false, &code) < KEYS);
    CHECK_INT(code, E_WOULD_BLOCK);
    CHECK(walk(snapshot, HOT_CACHED_ONLY, true, &code) < KEYS);
    CHECK_INT(code, E_WOULD_BLOCK);
    CHECK_INT(walk(snapshot, HOT_BLOCKING, false, &code), KEYS);
    CHECK_INT(code, OK);
    for (int descending = 0; descending < 2; descending++) { /* all of it out of the block cache */
        CHECK_INT(walk(snapshot, HOT_CACHED_ONLY, descending, &code), KEYS);
        CHECK_INT(code, OK);
    }
    hot_snapshot_free(snapshot);
    hot_close(store);
}
