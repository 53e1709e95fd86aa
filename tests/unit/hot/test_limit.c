/* SPDX-License-Identifier: Apache-2.0
 *
 * The limit of bytes a second for flushes and merges: at so low a one a megabyte takes a quarter of
 * an hour.
 */
#include <sched.h>
#include <stdio.h>

#include "../test.h"
#include "hot/hot.h"

enum { VALUE_BYTES = 16 * 1024, VALUES = 40, VALUES_MAX = 10000, KEY_BYTES = 16 };

static HotStore *open_store(const char *folder, uint64_t merge_bytes_per_s)
{
    HotOptions options = {.block_cache_bytes = 1 << 20,
                          .write_buffer_bytes = 1 << 20,
                          .background_jobs = 1,
                          .merge_bytes_per_s = merge_bytes_per_s};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

static void put(HotStore *store, int n)
{
    char key[KEY_BYTES], value[VALUE_BYTES];
    HotBatch *batch = hot_batch_new();
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(test_random() >> 11);
    snprintf(key, sizeof key, "key %06d", n);
    hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), slice_of(value, sizeof value));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
}

TEST("a start that is held up for minutes by the limit of background bytes, or a stop")
{
    const char *folder = test_folder();
    HotStore *store = open_store(folder, 0);
    for (int i = 0; i < VALUES; i++)
        put(store, i);
    hot_close(store);
    store = open_store(folder, 1); /* it writes what the log holds */
    CHECK(hot_property(store, "rocksdb.live-sst-files-size") > 0);
    for (int i = 0; i < VALUES_MAX && !hot_property(store, "rocksdb.num-immutable-mem-table"); i++)
        put(store, i);
    CHECK(hot_property(store, "rocksdb.num-immutable-mem-table") > 0);
    while (!hot_property(store, "rocksdb.num-running-flushes"))
        sched_yield(); /* one more memtable that is full, and a write waits for the flush */
    hot_close(store);  /* a flush is under way */
}
