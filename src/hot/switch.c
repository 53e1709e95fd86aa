/* SPDX-License-Identifier: Apache-2.0
 *
 * Switching memtables on a disk that may fail. A switch begins a log and may add to the MANIFEST;
 * when that fails, RocksDB keeps the memtable in a state in which it asserts that nobody switches
 * it again, and an assertion of Debian's build ends the process. A write looks whether a switch has
 * failed before it makes one; a flush, and the flush that a merge begins with, do not. So:
 *
 * I1. Whoever may switch a memtable holds `switching`, and has seen since that no such call has
 *     failed after the store was opened. That are writes, flushes, and merges that somebody asks
 *     for. Opening, closing, RocksDB's own merges and a checkpoint that flushes nothing switch
 *     none.
 * I2. A failure is noted before `switching` is free again.
 * I3. Nobody holds `switching` for long: a flush or a merge, which go on for as long as the disk
 *     takes, let it go when their one switch is done. To be sure that they make one, their memtable
 *     is given an entry.
 */
#include <stdlib.h>

#include "hot/hot_int.h"

static _Thread_local HotStore *held; /* whose `switching` this thread holds */
static _Thread_local bool is_once;   /* and lets go at its next switch */

Code hot__switch_refusal(HotStore *store, Error *e)
{
    const Error *failure = atomic_load(&store->failure);
    if (!failure)
        return OK;
    return fail(e, failure->code == E_DISK_FULL ? E_DISK_FULL : E_IO,
                "the hot store is opened again first: %.300s", failure->text);
}

void hot__switch_forget(HotStore *store)
{
    free(atomic_exchange(&store->failure, NULL));
}

static void note_failure(HotStore *store, const Error *failure)
{
    Error *none = NULL, *noted = x_new(Error);
    *noted = *failure;
    if (!atomic_compare_exchange_strong(&store->failure, &none, noted)) /* I2 */
        free(noted);
}

Code hot__switch_begin(HotStore *store, Error *e)
{
    must(!held);
    mutex_lock(&store->switching);
    Code code = hot__switch_refusal(store, e); /* I1 */
    if (code != OK) {
        mutex_unlock(&store->switching);
        return code;
    }
    held = store;
    is_once = false;
    return OK;
}

static void let_go(void)
{
    HotStore *store = held;
    held = NULL;
    mutex_unlock(&store->switching);
}

Code hot__switch_end(HotStore *store, char *error_text, const char *doing, Error *e)
{
    Error failure;
    Code code = error_text ? hot__fail(&failure, error_text, doing) : OK;
    if (code != OK && code != E_CANCELLED)
        note_failure(store, &failure);
    if (code != OK && e)
        *e = failure;
    if (held)
        let_go();
    return code;
}

void hot__switch_once(void)
{
    must(held);
    is_once = true;
}

void hot__switched(void)
{
    if (held && is_once) /* I3 */
        let_go();
}

/* Nobody else writes meanwhile, so what was read is what is written. */
char *hot__touch(HotStore *store, HotFamily family, Slice key)
{
    char *error_text = NULL;
    size_t size = 0;
    rocksdb_column_family_handle_t *handle = store->families[family];
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    char *value =
        rocksdb_get_cf(store->db, options, handle, key.data, key.size, &size, &error_text);
    rocksdb_readoptions_destroy(options);
    if (!error_text && value)
        rocksdb_put_cf(store->db, store->unsynced, handle, key.data, key.size, value, size,
                       &error_text);
    else if (!error_text)
        rocksdb_delete_cf(store->db, store->unsynced, handle, key.data, key.size, &error_text);
    rocksdb_free(value);
    return error_text;
}
