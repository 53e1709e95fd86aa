/* SPDX-License-Identifier: Apache-2.0
 *
 * Making deleted bytes leave the disk at once instead of at some later merge.
 *
 * The names of a file's first and last key stay in RocksDB's own manifest until the next start,
 * which writes it anew.
 */
#include "hot/hot_int.h"

Code hot_flush(HotStore *store, Error *e)
{
    char *error_text = NULL;
    TRY(hot__may_write(store, e));
    TRY(hot__enter(store, e));
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; i < HOT_FAMILY_COUNT && !error_text; i++)
        rocksdb_flush_cf(store->db, options, store->families[i], &error_text);
    rocksdb_flushoptions_destroy(options);
    hot__leave(store);
    Code code = error_text ? hot__fail(e, error_text, "flush the hot store") : OK;
    return hot__note_failed(store, code);
}

Code hot_scrub(HotStore *store, HotFamily family, Slice from, Slice to, Error *e)
{
    TRY(hot__may_write(store, e));
    TRY(hot__enter(store, e));
    char *error_text = hot__rewrite_range(store->db, store->families[family], from.data, from.size,
                                          to.data, to.size);
    hot__leave(store);
    Code code = error_text ? hot__fail(e, error_text, "rewrite the hot store") : OK;
    return hot__note_failed(store, code);
}
