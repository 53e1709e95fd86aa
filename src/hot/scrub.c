/* SPDX-License-Identifier: Apache-2.0
 *
 * Making deleted bytes leave the disk at once instead of at some later merge.
 *
 * The names of a file's first and last key stay in RocksDB's own manifest until the next start,
 * which writes it anew.
 */
#include "hot/hot_int.h"

/* Where a memtable waits to be written, the flush of an empty one would wait for it and not switch
 * (switch.c, I3). */
static Code flush_family(HotStore *store, HotFamily family, Error *e)
{
    uint64_t waiting = 0;
    TRY(hot__switch_begin(store, e));
    (void)rocksdb_property_int_cf(store->db, store->families[family],
                                  "rocksdb.num-immutable-mem-table", &waiting);
    char *error_text = waiting ? hot__touch(store, family, SLICE("")) : NULL;
    hot__switch_once();
    if (!error_text)
        error_text = hot__flush_family(store->db, store->families[family]);
    return hot__switch_end(store, error_text, "flush the hot store", e);
}

Code hot_flush(HotStore *store, Error *e)
{
    Code code = OK;
    TRY(hot__enter(store, e));
    for (int i = 0; i < HOT_FAMILY_COUNT && code == OK; i++)
        code = flush_family(store, (HotFamily)i, e);
    hot__leave(store);
    return code;
}

static Code merge_range(HotStore *store, HotFamily family, Slice from, Slice to, Error *e,
                        struct HotMerge *merge)
{
    TRY(hot__switch_begin(store, e));
    char *error_text = hot__touch(store, family, from);
    hot__switch_once();
    if (!error_text)
        error_text = hot__merge_range(store->db, store->families[family], from, to, merge);
    return hot__switch_end(store, error_text, "rewrite the hot store", e);
}

Code hot_scrub(HotStore *store, HotFamily family, const HotRange *range, const HotStop *stop,
               Error *e)
{
    TRY(hot__enter(store, e));
    struct HotMerge *merge = hot__merge_join(store->tamer);
    /* asked after it can be cancelled, so that whoever says stop and then cancels is heard */
    bool is_stopped = stop && stop->is_stopped && stop->is_stopped(stop->context);
    Code code = is_stopped ? fail(e, E_CANCELLED, "stopped")
                           : merge_range(store, family, range->from, range->to, e, merge);
    hot__merge_leave(store->tamer, merge);
    Code refusal = code == E_CANCELLED ? hot__switch_refusal(store, e) : OK;
    if (refusal != OK) /* merges are barred until who is inside has left */
        code = refusal;
    hot__leave(store);
    return code;
}
