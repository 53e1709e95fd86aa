/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordered walks, and that none loses a key.
 *
 * I1. A step that has missed a block (gaps.cc) ends the walk: it would block, or fails, whatever
 *     RocksDB says of it and though it may stand at a key, for others may be missing before that.
 * I2. What passes the block cache is not counted there. Such a walk is made twice at once, by the
 *     deleted ranges and without them, and a key that only the second finds must be deleted: a
 *     point read tells. Nothing but a deleted range comes between a failure and its being told
 *     (gaps.cc), so the second walk loses nothing.
 */
#include <stdlib.h>

#include "hot/hot_int.h"

struct HotIterator {
    HotSnapshot *snapshot;
    HotRead mode;
    HotFamily family;
    rocksdb_iterator_t *iterator; /* NULL: the snapshot refuses */
    rocksdb_iterator_t *plain;    /* HOT_PASSING: without deleted ranges (I2) */
    rocksdb_readoptions_t *options, *plain_options;
    bool descending;
    bool positioned; /* false before the first hot_next and after hot_seek */
    bool at_entry;
    bool has_missed;  /* I1, I2 */
    char *error_text; /* why a point read of I2 failed; owned, of RocksDB's making */
    Slice target;     /* where hot_seek jumped; owned */
    size_t lower_size, upper_size;
    char bounds[]; /* lower, then upper: RocksDB borrows them */
};

static rocksdb_iterator_t *open_walk(HotIterator *it, bool is_plain,
                                     rocksdb_readoptions_t **out_options)
{
    rocksdb_readoptions_t *o = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(o, it->snapshot->snapshot);
    rocksdb_readoptions_set_iterate_lower_bound(o, it->bounds, it->lower_size);
    rocksdb_readoptions_set_iterate_upper_bound(o, it->bounds + it->lower_size, it->upper_size);
    rocksdb_readoptions_set_ignore_range_deletions(o, is_plain);
    if (it->mode == HOT_PASSING)
        rocksdb_readoptions_set_fill_cache(o, 0);
    *out_options = o;
    HotStore *store = it->snapshot->store;
    return rocksdb_create_iterator_cf(store->db, o, store->families[it->family]);
}

HotIterator *hot_iterator_open(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice from,
                               Slice to, bool descending)
{
    HotIterator *it = (HotIterator *)x_new_bytes(sizeof(HotIterator) + from.size + to.size);
    it->snapshot = snapshot;
    it->mode = mode;
    it->family = family;
    if (snapshot->refusal != OK)
        return it;
    it->lower_size = from.size;
    it->upper_size = to.size;
    memcpy(it->bounds, from.data, from.size);
    memcpy(it->bounds + from.size, to.data, to.size);
    it->descending = descending;
    int64_t gaps = hot__gaps();
    hot__read_begin(snapshot, mode);
    it->iterator = open_walk(it, false, &it->options);
    if (mode == HOT_PASSING)
        it->plain = open_walk(it, true, &it->plain_options);
    else
        it->has_missed = hot__gaps() > gaps;
    hot__read_end(snapshot, mode);
    return it;
}

void hot_iterator_close(HotIterator *it)
{
    if (!it)
        return;
    if (it->iterator) {
        rocksdb_iter_destroy(it->iterator);
        rocksdb_readoptions_destroy(it->options);
    }
    if (it->plain) {
        rocksdb_iter_destroy(it->plain);
        rocksdb_readoptions_destroy(it->plain_options);
    }
    rocksdb_free(it->error_text);
    free((char *)it->target.data);
    free(it);
}

void hot_iterator_close_ptr(HotIterator **it)
{
    hot_iterator_close(*it);
    *it = NULL;
}

static void position(const HotIterator *it, rocksdb_iterator_t *iterator)
{
    Slice target = it->target;
    if (target.data && it->descending)
        rocksdb_iter_seek_for_prev(iterator, target.data, target.size);
    else if (target.data)
        rocksdb_iter_seek(iterator, target.data, target.size);
    else if (it->descending)
        rocksdb_iter_seek_to_last(iterator);
    else
        rocksdb_iter_seek_to_first(iterator);
}

static void advance(const HotIterator *it, rocksdb_iterator_t *iterator)
{
    if (it->descending)
        rocksdb_iter_prev(iterator);
    else
        rocksdb_iter_next(iterator);
}

static Slice key_of(const rocksdb_iterator_t *iterator)
{
    size_t size = 0;
    const char *data = rocksdb_iter_key(iterator, &size);
    return slice_of(data, size);
}

Slice hot_key(const HotIterator *it)
{
    return key_of(it->iterator);
}

/* By a point read, which tells every failure. */
static bool is_deleted(HotIterator *it, Slice key)
{
    HotStore *store = it->snapshot->store;
    rocksdb_pinnableslice_t *value =
        rocksdb_get_pinned_cf(store->db, it->snapshot->read, store->families[it->family], key.data,
                              key.size, &it->error_text);
    if (value)
        rocksdb_pinnableslice_destroy(value);
    return !value && !it->error_text;
}

/* Takes the plain walk to where the other one is: past its key, or to its end. False when that one
 * has missed a key, or this one a block. */
static bool catch_up(HotIterator *it)
{
    for (; rocksdb_iter_valid(it->plain); advance(it, it->plain)) {
        Slice key = key_of(it->plain);
        int order = it->at_entry ? slice_compare(key, hot_key(it)) : 0;
        if (it->at_entry && order == 0) {
            advance(it, it->plain);
            return true;
        }
        if (it->descending ? order < 0 : order > 0)
            return false; /* the other way round */
        if (!is_deleted(it, key))
            return false;
    }
    return !it->at_entry;
}

static void step(HotIterator *it)
{
    int64_t gaps = hot__gaps();
    hot__read_begin(it->snapshot, it->mode);
    bool is_first = !it->positioned;
    it->positioned = true;
    if (is_first)
        position(it, it->iterator);
    else
        advance(it, it->iterator);
    it->at_entry = rocksdb_iter_valid(it->iterator);
    if (is_first && it->plain)
        position(it, it->plain);
    if (it->plain ? !catch_up(it) : hot__gaps() > gaps)
        it->has_missed = true;
    hot__read_end(it->snapshot, it->mode);
}

bool hot_next(HotIterator *it)
{
    if (!it->iterator || it->has_missed)
        return false;
    if (it->positioned && !it->at_entry)
        return false;
    step(it);
    return it->at_entry && !it->has_missed;
}

void hot_seek(HotIterator *it, Slice key)
{
    free((char *)it->target.data);
    it->target = (Slice){x_text(key), key.size};
    it->positioned = false;
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
    if (!it->iterator)
        return hot__refuse(it->snapshot->refusal, e);
    rocksdb_iter_get_error(it->iterator, &error_text);
    if (!error_text && it->plain)
        rocksdb_iter_get_error(it->plain, &error_text);
    if (!error_text)
        error_text = TAKE(it->error_text);
    if (error_text)
        return hot__fail(e, error_text, "walk the hot store");
    if (it->has_missed && it->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "a block of the walk is not in memory");
    if (it->has_missed)
        return fail(e, E_IO, "walk the hot store: a block of it could not be read");
    return OK;
}
