/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots and point reads.
 */
#include <stdlib.h>

#include "hot/hot_int.h"

/* Each of them is copied, checked and expanded while others wait for the loop; a statement that
 * needs more is better off on a worker. */
enum { FILE_BLOCKS_MAX = 16 };

HotSnapshot *hot_snapshot_new(HotStore *store)
{
    HotSnapshot *snapshot = x_new(HotSnapshot);
    snapshot->store = store;
    snapshot->refusal = hot__enter(store, NULL);
    if (snapshot->refusal != OK)
        return snapshot;
    snapshot->snapshot = rocksdb_create_snapshot(store->db);
    snapshot->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(snapshot->read, snapshot->snapshot);
    atomic_init(&snapshot->blocks_left, FILE_BLOCKS_MAX);
    return snapshot;
}

void hot_snapshot_free(HotSnapshot *snapshot)
{
    if (!snapshot)
        return;
    if (snapshot->refusal == OK) {
        rocksdb_readoptions_destroy(snapshot->read);
        rocksdb_release_snapshot(snapshot->store->db, snapshot->snapshot);
        hot__leave(snapshot->store);
    }
    free(snapshot);
}

Code hot__refuse(Code refusal, Error *e)
{
    return fail(e, refusal, "the hot store is being opened again after a failed write");
}

/* Relaxed: it is a budget, and a snapshot that may not wait is read by one thread, a loop. */
void hot__read_begin(HotSnapshot *snapshot, HotRead mode)
{
    if (mode == HOT_CACHED_ONLY)
        hot__wait_for_none(atomic_load_explicit(&snapshot->blocks_left, memory_order_relaxed));
}

void hot__read_end(HotSnapshot *snapshot, HotRead mode)
{
    if (mode == HOT_CACHED_ONLY)
        atomic_store_explicit(&snapshot->blocks_left, hot__wait_again(), memory_order_relaxed);
}

Code hot_get(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice key, Arena *arena,
             Slice *out_value, Error *e)
{
    char *error_text = NULL;
    HotStore *store = snapshot->store;
    if (snapshot->refusal != OK)
        return hot__refuse(snapshot->refusal, e);
    hot__read_begin(snapshot, mode);
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(
        store->db, snapshot->read, store->families[family], key.data, key.size, &error_text);
    hot__read_end(snapshot, mode);
    if (error_text)
        return hot__fail(e, error_text, "read from the hot store");
    if (!pinned)
        return E_NOT_FOUND;
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value(pinned, &size);
    *out_value = arena_copy(arena, slice_of(data, size));
    rocksdb_pinnableslice_destroy(pinned);
    return OK;
}
