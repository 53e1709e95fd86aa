/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads that may not wait for the disk, of blocks that the kernel has in memory or has not.
 */
#include "page_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

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

/* Whether the file system tells what is in memory; not all do. */
static bool folder_tells(const char *folder)
{
    char path[300], byte;
    struct iovec into = {&byte, 1};
    snprintf(path, sizeof path, "%s/CURRENT", folder);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0);
    CHECK_INT(pread(file, &byte, 1, 0), 1);
    bool tells = preadv2(file, &into, 1, 0, RWF_NOWAIT) == 1;
    close(file);
    return tells;
}

/* What was just read from the disk, and the block cache has no more. */
static Code get_again(const char *folder)
{
    HotStore *store = open_store(folder);
    HotSnapshot *snapshot = hot_snapshot_new(store);
    CHECK_INT(get(snapshot, HOT_BLOCKING, 0), OK);
    hot_snapshot_free(snapshot);
    hot_close(store);
    store = open_store(folder);
    snapshot = hot_snapshot_new(store);
    Code code = get(snapshot, HOT_CACHED_ONLY, 0);
    hot_snapshot_free(snapshot);
    hot_close(store);
    return code;
}

TEST("a loop's read that goes to a worker for a block that the kernel has in memory")
{
    enum { TRIES = 20 }; /* it may have forgotten it meanwhile */
    const char *folder = test_folder();
    Code code = E_WOULD_BLOCK;
    hot_close(open_written(folder));
    kernel_memory(KERNEL_HAS_ALL);
    CHECK_OK(get_again(folder));
    CHECK(kernel_reads() > 0);
    kernel_memory(KERNEL_AS_IT_IS);
    for (int i = 0; i < TRIES && code == E_WOULD_BLOCK && folder_tells(folder); i++)
        code = get_again(folder);
    CHECK(code == OK || !folder_tells(folder));
}

TEST("a loop's read that waits for the disk, or takes a block that it did not get for a key that "
     "is not there; a later read that does not wait though it may")
{
    HotStore *store = open_written(test_folder());
    HotSnapshot *snapshot;
    Code code;
    for (int i = 0; i < KEYS; i += KEYS / 7) {
        snapshot = hot_snapshot_new(store);
        kernel_memory(KERNEL_HAS_NONE);
        CHECK_INT(get(snapshot, HOT_CACHED_ONLY, i), E_WOULD_BLOCK);
        CHECK_INT(walk(snapshot, HOT_CACHED_ONLY, i % 2 == 0, &code), 0);
        CHECK_INT(code, E_WOULD_BLOCK);
        CHECK(kernel_reads() > 0);
        hot_snapshot_free(snapshot);
    }
    snapshot = hot_snapshot_new(store);
    CHECK_INT(get(snapshot, HOT_BLOCKING, KEYS / 2), OK);
    CHECK_INT(get(snapshot, HOT_CACHED_ONLY, KEYS / 2), OK);
    kernel_memory(KERNEL_AS_IT_IS);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

TEST("a statement on a loop that has many blocks out of files, while others wait; one that loses "
     "keys where it may have no more")
{
    HotStore *store = open_written(test_folder());
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code;
    kernel_memory(KERNEL_HAS_ALL);
    CHECK(walk(snapshot, HOT_CACHED_ONLY, false, &code) < KEYS);
    CHECK_INT(code, E_WOULD_BLOCK);
    CHECK(walk(snapshot, HOT_CACHED_ONLY, true, &code) < KEYS);
    CHECK_INT(code, E_WOULD_BLOCK);
    CHECK(kernel_reads() > 0 && kernel_reads() <= 16);
    CHECK_INT(walk(snapshot, HOT_BLOCKING, false, &code), KEYS);
    CHECK_INT(code, OK);
    for (int descending = 0; descending < 2; descending++) { /* all of it out of the block cache */
        CHECK_INT(walk(snapshot, HOT_CACHED_ONLY, descending, &code), KEYS);
        CHECK_INT(code, OK);
    }
    kernel_memory(KERNEL_AS_IT_IS);
    hot_snapshot_free(snapshot);
    hot_close(store);
}

/* ---- the same reads with and without waiting ---- */

enum { CHANGES = 60, BATCHES = 8, CACHE_BYTES = 128 << 10, COMPARED_MAX = 80 };

/* New rows, deleted ones and deleted ranges, in a table of their own; before: what a snapshot sees
 * stays in the table. */
static void write_some(HotStore *store)
{
    char from[KEY_BYTES], to[KEY_BYTES], value[VALUE_BYTES];
    HotBatch *batch = hot_batch_new();
    for (int i = 0; i < CHANGES; i++) {
        int at = (int)(test_random() % KEYS), chance = (int)(test_random() % 10);
        Slice key = key_of(at, from);
        random_bytes(value, sizeof value);
        if (chance < 6)
            hot_batch_put(batch, store, HOT_ROWS, key, slice_of(value, sizeof value));
        else if (chance < 9)
            hot_batch_delete(batch, store, HOT_ROWS, key);
        else
            hot_batch_delete_range(batch, store, HOT_ROWS, key,
                                   key_of(at + (int)(test_random() % 100), to));
    }
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
}

typedef struct Found {
    int count;
    uint64_t hash; /* of keys and values, in order */
    Code code;
} Found;

static void add_found(Found *found, Slice bytes)
{
    found->hash = slice_hash(bytes, found->hash);
}

static Found find_one(HotSnapshot *snapshot, HotRead mode, int at)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char key[KEY_BYTES];
    Found found = {0};
    Slice value;
    found.code = hot_get(snapshot, mode, HOT_ROWS, key_of(at, key), arena, &value, NULL);
    if (found.code == OK)
        add_found(&found, value);
    return found;
}

static Found find_some(HotSnapshot *snapshot, HotRead mode, int at, int seed)
{
    char from[KEY_BYTES], to[KEY_BYTES], jump[KEY_BYTES];
    int width = 1 + seed % COMPARED_MAX;
    Found found = {0};
    HotIterator *it = hot_iterator_open(snapshot, mode, HOT_ROWS, key_of(at, from),
                                        key_of(at + width, to), seed / 100 % 2 == 0);
    for (; hot_next(it); found.count++) {
        add_found(&found, hot_key(it));
        add_found(&found, hot_value(it));
        if (found.count == 2 && seed / 200 % 2 == 0)
            hot_seek(it, key_of(at + seed % width, jump));
    }
    found.code = hot_iterator_end(it, NULL);
    hot_iterator_close(it);
    return found;
}

/* False when it would have to wait. */
static bool compare(HotSnapshot *snapshot)
{
    int at = (int)(test_random() % KEYS), seed = (int)(test_random() % 400);
    bool is_one = test_random() % 2 == 0;
    Found cached = is_one ? find_one(snapshot, HOT_CACHED_ONLY, at)
                          : find_some(snapshot, HOT_CACHED_ONLY, at, seed);
    if (cached.code == E_WOULD_BLOCK)
        return false;
    Found all =
        is_one ? find_one(snapshot, HOT_BLOCKING, at) : find_some(snapshot, HOT_PASSING, at, seed);
    CHECK_INT(cached.code, all.code);
    CHECK_INT(cached.count, all.count);
    CHECK_INT(cached.hash, all.hash);
    return true;
}

TEST(
    "a read on a loop that leaves out rows, or shows old ones, where it did not get a block beside "
    "deleted ranges; a table that is worse for a read that was refused")
{
    enum { ROUNDS = 400, READS = 12 };
    const char *folder = test_folder();
    HotOptions options = {
        .block_cache_bytes = CACHE_BYTES, .write_buffer_bytes = 8 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    int seen = 0, refused = 0;
    hot_close(open_written(folder));
    CHECK_OK(hot_open(folder, &options, &store, e));
    HotSnapshot *first = hot_snapshot_new(store); /* whose rows stay in the tables */
    for (int i = 0; i < BATCHES; i++) {
        write_some(store);
        CHECK_OK(hot_flush(store, e));
    }
    kernel_memory(KERNEL_HAS_SOME);
    for (int i = 0; i < ROUNDS; i++) {
        HotSnapshot *snapshot = hot_snapshot_new(store);
        for (int j = 0; j < READS; j++)
            compare(snapshot) ? seen++ : refused++;
        hot_snapshot_free(snapshot);
    }
    CHECK(seen > ROUNDS);
    CHECK(refused > ROUNDS);
    kernel_memory(KERNEL_AS_IT_IS);
    hot_snapshot_free(first);
    hot_close(store);
}
