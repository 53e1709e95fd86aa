/* SPDX-License-Identifier: Apache-2.0
 *
 * A copy of the running store: RocksDB links or copies its files, the log included, and syncs them.
 */
#include "hot/hot_int.h"

/* RocksDB flushes nothing for it: its flush looks at no failure (switch.c). */
#define LOG_BYTES_FOR_FLUSH UINT64_MAX

static Code copy_to(HotStore *store, const char *folder, Error *e)
{
    char *error_text = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(store->db, &error_text);
    if (error_text)
        return hot__fail(e, error_text, "prepare a copy of the hot store");
    rocksdb_checkpoint_create(checkpoint, folder, LOG_BYTES_FOR_FLUSH, &error_text);
    rocksdb_checkpoint_object_destroy(checkpoint);
    return error_text ? hot__fail(e, error_text, "copy the hot store") : OK;
}

Code hot_checkpoint(HotStore *store, const char *folder, Error *e)
{
    TRY(hot_flush(store, e)); /* so that the copy opens without a long replay */
    TRY(hot__enter(store, e));
    Code code = copy_to(store, folder, e);
    hot__leave(store);
    return code;
}
