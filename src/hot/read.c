/* SPDX-License-Identifier: Apache-2.0
 *
 * Snapshots, point reads and ordered walks.
 *
 * I1. Below the block cache tier RocksDB 7.8 answers OK and an empty value when the key may be in a
 *     file that is not open (DB::KeyMayExist shares that path). So an empty value proves nothing
 *     there: such a read would block.
 * I2. A walk from the end below the block cache tier may likewise end at once, with the status OK,
 *     where a block is not in memory. So its end counts only where a step from the beginning, which
 *     tells what it lacks, finds nothing that the walk has not seen.
 */
#include <stdlib.h>

#include "base/buffer.h"
#include "hot/hot_int.h"

enum { BLOCK_CACHE_TIER = 1 }; /* rocksdb::ReadTier */

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
    rocksdb_readoptions_set_read_tier(snapshot->read[HOT_CACHED_ONLY], BLOCK_CACHE_TIER);
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

static Code refuse(Code refusal, Error *e)
{
    return fail(e, refusal, "the hot store is being opened again after a failed write");
}

Code hot_get(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice key, Arena *arena,
             Slice *out_value, Error *e)
{
    char *error_text = NULL;
    HotStore *store = snapshot->store;
    if (snapshot->refusal != OK)
        return refuse(snapshot->refusal, e);
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

struct HotIterator {
    Code refusal; /* that of the snapshot; when it is not OK there is nothing below */
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *options;
    bool descending;
    bool positioned; /* false before the first hot_next and after hot_seek */
    bool at_entry;
    bool is_doubtful, has_missed; /* I2: whether its end is checked; what that has found */
    Buffer last;                  /* the last key of a doubtful walk; empty at its beginning */
    Slice target;                 /* where hot_seek jumped; owned */
    size_t lower_size, upper_size;
    char bounds[]; /* lower, then upper: RocksDB borrows them */
};

HotIterator *hot_iterator_open(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice from,
                               Slice to, bool descending)
{
    HotIterator *it = (HotIterator *)x_new_bytes(sizeof(HotIterator) + from.size + to.size);
    it->refusal = snapshot->refusal;
    if (it->refusal != OK)
        return it;
    it->lower_size = from.size;
    it->upper_size = to.size;
    memcpy(it->bounds, from.data, from.size);
    memcpy(it->bounds + from.size, to.data, to.size);
    it->descending = descending;
    it->is_doubtful = descending && mode == HOT_CACHED_ONLY;
    it->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(it->options, snapshot->snapshot);
    rocksdb_readoptions_set_iterate_lower_bound(it->options, it->bounds, from.size);
    rocksdb_readoptions_set_iterate_upper_bound(it->options, it->bounds + from.size, to.size);
    if (mode == HOT_CACHED_ONLY)
        rocksdb_readoptions_set_read_tier(it->options, BLOCK_CACHE_TIER);
    if (mode == HOT_PASSING)
        rocksdb_readoptions_set_fill_cache(it->options, 0);
    it->iterator = rocksdb_create_iterator_cf(snapshot->store->db, it->options,
                                              snapshot->store->families[family]);
    return it;
}

void hot_iterator_close(HotIterator *it)
{
    if (!it)
        return;
    if (it->refusal == OK) {
        rocksdb_iter_destroy(it->iterator);
        rocksdb_readoptions_destroy(it->options);
    }
    buffer_done(&it->last);
    free((char *)it->target.data);
    free(it);
}

void hot_iterator_close_ptr(HotIterator **it)
{
    hot_iterator_close(*it);
    *it = NULL;
}

static void position(HotIterator *it)
{
    Slice target = it->target;
    if (target.data && it->descending)
        rocksdb_iter_seek_for_prev(it->iterator, target.data, target.size);
    else if (target.data)
        rocksdb_iter_seek(it->iterator, target.data, target.size);
    else if (it->descending)
        rocksdb_iter_seek_to_last(it->iterator);
    else
        rocksdb_iter_seek_to_first(it->iterator);
    it->positioned = true;
}

Slice hot_key(const HotIterator *it)
{
    size_t size = 0;
    const char *data = rocksdb_iter_key(it->iterator, &size);
    return slice_of(data, size);
}

static void keep_key(HotIterator *it)
{
    buffer_clear(&it->last);
    buffer_add_slice(&it->last, hot_key(it));
}

/* At the end of a doubtful walk, I2. What the step cannot read becomes the status of the walk. */
static bool has_missed(HotIterator *it)
{
    char *error_text = NULL;
    rocksdb_iter_get_error(it->iterator, &error_text);
    rocksdb_free(error_text);
    if (error_text)
        return false;
    rocksdb_iter_seek_to_first(it->iterator);
    if (!rocksdb_iter_valid(it->iterator))
        return it->last.size > 0;
    Slice first = hot_key(it);
    if (it->last.size)
        return slice_compare(first, buffer_slice(&it->last)) < 0;
    return !it->target.data || slice_compare(first, it->target) <= 0;
}

bool hot_next(HotIterator *it)
{
    if (it->refusal != OK)
        return false;
    if (it->is_doubtful && it->positioned && it->at_entry)
        keep_key(it);
    if (!it->positioned)
        position(it);
    else if (!it->at_entry)
        return false;
    else if (it->descending)
        rocksdb_iter_prev(it->iterator);
    else
        rocksdb_iter_next(it->iterator);
    it->at_entry = rocksdb_iter_valid(it->iterator);
    if (!it->at_entry && it->is_doubtful)
        it->has_missed = has_missed(it);
    return it->at_entry;
}

void hot_seek(HotIterator *it, Slice key)
{
    free((char *)it->target.data);
    it->target = (Slice){x_text(key), key.size};
    it->positioned = false;
    buffer_clear(&it->last);
}

Slice hot_value(const HotIterator *it)
{
    size_t size = 0;
    const char *data = rocksdb_iter_value(it->iterator, &size);
    return slice_of(data, size);
}

Code hot_iterator_end(HotIterator *it, Error *e)
{
    char *error_text = NULL;
    if (it->refusal != OK)
        return refuse(it->refusal, e);
    if (it->has_missed)
        return fail(e, E_WOULD_BLOCK, "a block of the walk is not in memory");
    rocksdb_iter_get_error(it->iterator, &error_text);
    return error_text ? hot__fail(e, error_text, "walk the hot store") : OK;
}
