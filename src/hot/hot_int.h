/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of hot/ share: the handles, and how RocksDB's error strings become codes.
 */
#pragma once

#include <rocksdb/c.h>

#include "hot/hot.h"
#include "os/thread.h"

struct HotStore {
    rocksdb_t *db; /* NULL: it could not be opened again, not even to read */
    char *folder;
    rocksdb_options_t *options;
    rocksdb_options_t *family_options[HOT_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_column_family_handle_t *families[HOT_FAMILY_COUNT];

    Mutex lock;
    Cond changed;
    /* guarded by lock */
    size_t users; /* snapshots, and calls that are under way */
    bool is_shut; /* new users wait (gate.c) */
};

struct HotSnapshot {
    HotStore *store;
    Code refusal; /* OK, or what each read through it answers; there is no snapshot then */
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read[2]; /* by HotRead */
};

/* Takes RocksDB's malloc'ed error text (must not be NULL), frees it and fails with the code it means. */
CHECKED Code hot__fail(Error *e, char *error_text, const char *doing);

/* store.c: what hot_open and hot_reopen share. */
CHECKED Code hot__open_db(HotStore *store, bool read_only, Error *e);
void hot__close_db(HotStore *store);

/* gate.c: every use of `db` but those of the writer stands between the two. Not OK: E_WOULD_BLOCK on a loop while the store
 * is shut, E_IO when it could not be opened again; then there is nothing to leave. */
CHECKED Code hot__enter(HotStore *store, Error *e);
void hot__leave(HotStore *store);

/* tame.cc: RocksDB neither repairs itself after a failed write nor keeps a log of events. */
void hot__tame(rocksdb_options_t *options);
