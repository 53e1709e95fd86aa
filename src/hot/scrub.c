/* SPDX-License-Identifier: Apache-2.0
 *
 * Making deleted bytes leave the disk at once instead of at some later merge.
 *
 * The names of a file's first and last key stay in RocksDB's own manifest until the next start, which writes it anew.
 */
#include "hot/hot_int.h"

enum { REWRITE_BOTTOMMOST = 2 /* BottommostLevelCompaction::kForce */ };

Code hot_flush(HotStore *store, Error *e)
{
    char *error_text = NULL;
    TRY(hot__enter(store, e));
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; i < HOT_FAMILY_COUNT && !error_text; i++)
        rocksdb_flush_cf(store->db, options, store->families[i], &error_text);
    rocksdb_flushoptions_destroy(options);
    hot__leave(store);
    return error_text ? hot__fail(e, error_text, "flush the hot store") : OK;
}

void hot_scrub(HotStore *store, HotFamily family, Slice from, Slice to)
{
    Error ignored; /* the commit that ends an erasure is refused then too */
    if (hot__enter(store, &ignored) != OK)
        return;
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, REWRITE_BOTTOMMOST);
    rocksdb_compact_range_cf_opt(store->db, store->families[family], options, from.data, from.size,
                                 to.data, to.size);
    rocksdb_compactoptions_destroy(options);
    hot__leave(store);
}
