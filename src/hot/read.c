/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots and point reads.
 *
 * I1. Below the block cache tier RocksDB 7.8 answers OK and an empty value when the key may be in a
 *     file that is not open (DB::KeyMayExist shares that path). So an empty value proves nothing
 *     there: such a read would block.
 */
#include <stdlib.h>

#include "hot/hot_int.h"

HotSnapshot *hot_snapshot_new(HotStore *store)
{
    HotSnapshot *snapshot = x_new(HotSnapshot);
    snapshot->store = store;
    snapshot->refusal = hot__enter(store, NULL);
    if (snapshot->refusal != OK)
        return snapshot;
    snapshot->snapshot = rocksdb_create_snapshot(store->db);
    for (int i = 0; i < HOT_READ_COUNT; i++) {
        snapshot->read[i] = rocksdb_readoptions_create();
        rocksdb_readoptions_set_snapshot(snapshot->read[i], snapshot->snapshot);
    }
    rocksdb_readoptions_set_read_tier(snapshot->read[HOT_CACHED_ONLY], HOT_BLOCK_CACHE_TIER);
    return snapshot;
}

void hot_snapshot_free(HotSnapshot *snapshot)
{
    if (!snapshot)
        return;
    if (snapshot->refusal == OK) {
        for (int i = 0; i < HOT_READ_COUNT; i++)
            rocksdb_readoptions_destroy(snapshot->read[i]);
        rocksdb_release_snapshot(snapshot->store->db, snapshot->snapshot);
        hot__leave(snapshot->store);
    }
    free(snapshot);
}

Code hot__refuse(Code refusal, Error *e)
{
    return fail(e, refusal, "the hot store is being opened again after a failed write");
}

Code hot_get(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice key, Arena *arena,
             Slice *out_value, Error *e)
{
    char *error_text = NULL;
    HotStore *store = snapshot->store;
    if (snapshot->refusal != OK)
        return hot__refuse(snapshot->refusal, e);
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(
        store->db, snapshot->read[mode], store->families[family], key.data, key.size, &error_text);
    if (error_text)
        return hot__fail(e, error_text, "read from the hot store");
    if (!pinned)
        return E_NOT_FOUND;
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value(pinned, &size);
    if (mode == HOT_CACHED_ONLY && size == 0) { /* I1 */
        rocksdb_pinnableslice_destroy(pinned);
        return fail(e, E_WOULD_BLOCK, "the file of this key is not open yet");
    }
    *out_value = arena_copy(arena, slice_of(data, size));
    rocksdb_pinnableslice_destroy(pinned);
    return OK;
}
