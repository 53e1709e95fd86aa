/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of hot/ share: the handles, and how RocksDB's error strings become codes.
 */
#pragma once

#include <rocksdb/c.h>

#include "hot/hot.h"

struct HotStore {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_options_t *family_options[HOT_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_column_family_handle_t *families[HOT_FAMILY_COUNT];
};

struct HotSnapshot {
    HotStore *store;
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read[2]; /* by HotRead */
};

/* Takes RocksDB's malloc'ed error text (must not be NULL), frees it and fails with the code it means. */
CHECKED Code hot__fail(Error *e, char *error_text, const char *doing);

/* tame.cc: RocksDB neither repairs itself after a failed write nor keeps a log of events. */
void hot__tame(rocksdb_options_t *options);
