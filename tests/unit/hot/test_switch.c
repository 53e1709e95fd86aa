/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes second on a disk that has failed: who writes, and who copies.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "../test.h"
#include "hot/hot_int.h"

enum { FILE_BYTES_MAX = 4096 };

static HotStore *open_store(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

/* As long as files may not be longer, the log cannot be written. */
static void set_limit(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static HotBatch *batch_of(HotStore *store, const char *key)
{
    char value[FILE_BYTES_MAX] = {0};
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), slice_of(value, sizeof value));
    return batch;
}

static Code find(HotStore *store, const char *key, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice value;
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code = hot_get(snapshot, HOT_BLOCKING, HOT_ROWS, slice_of_text(key), arena, &value, e);
    hot_snapshot_free(snapshot);
    return code;
}

static void reopen(HotStore *store)
{
    CHECK(hot_shut(store, 1000));
    CHECK_OK(hot_reopen(store, e));
    hot_admit(store);
}

/* The copy's own part alone, as when the write fails between hot_flush and it. */
TEST("a copy syncs the log that a write has failed on: an assertion of RocksDB ends the process")
{
    char path[512];
    char *error_text = NULL;
    Error error;
    const char *folder = test_folder();
    HotStore *store = open_store(folder);
    HotBatch *batch = batch_of(store, "a");
    CHECK_OK(hot_write(store, batch, true, e));
    set_limit(FILE_BYTES_MAX);
    CHECK(hot_write(store, batch, true, &error) != OK);
    set_limit(RLIM_INFINITY);
    snprintf(path, sizeof path, "%s-copy", folder);
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(store->db, &error_text);
    CHECK(!error_text);
    rocksdb_checkpoint_create(checkpoint, path, UINT64_MAX, &error_text);
    rocksdb_checkpoint_object_destroy(checkpoint);
    CHECK(!error_text);
    reopen(store);
    CHECK_OK(find(store, "a", e));
    hot_batch_free(batch);
    hot_close(store);
    store = open_store(path);
    CHECK_OK(find(store, "a", e));
    hot_close(store);
}

TEST("a write that nothing came of is taken for one that may be there, or the other way round")
{
    Error error;
    HotStore *store = open_store(test_folder());
    HotBatch *first = batch_of(store, "a"), *second = batch_of(store, "b");
    CHECK(!hot_batch_was_given(first));
    CHECK_OK(hot_write(store, first, true, e));
    CHECK(hot_batch_was_given(first));
    set_limit(FILE_BYTES_MAX);
    CHECK(hot_write(store, first, true, &error) != OK);
    CHECK(hot_batch_was_given(first)); /* a part of it may lie in the log */
    set_limit(RLIM_INFINITY);
    CHECK(hot_write(store, second, true, &error) != OK);
    CHECK(strstr(error.text, "File too large")); /* what failed before */
    CHECK(!hot_batch_was_given(second));
    reopen(store);
    CHECK_CODE(find(store, "b", e), E_NOT_FOUND);
    CHECK_OK(hot_write(store, second, false, e));
    CHECK(hot_batch_was_given(second));
    CHECK_OK(find(store, "b", e));
    hot_batch_clear(second);
    CHECK(!hot_batch_was_given(second));
    hot_batch_free(first);
    hot_batch_free(second);
    hot_close(store);
}
