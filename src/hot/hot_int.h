/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of hot/ share: the handles, and how RocksDB's error strings become codes.
 */
#pragma once

#include <rocksdb/c.h>
#include <stdatomic.h>

#include "hot/hot.h"
#include "os/thread.h"

/* What was deleted in a family and may still be in its files (reclaim.c). */
typedef struct Garbage {
    uint64_t bytes;         /* about; 0 = none */
    int64_t since_us;       /* wall clock: the oldest of it */
    int64_t rests_until_us; /* monotonic: not merged before */
} Garbage;

/* After a failed call that writes, nothing else may: RocksDB switches a memtable whose next log it
 * could not make a second time, and an assertion of Debian's build ends the process. Opening the
 * store again clears it. */
CHECKED Code hot__may_write(HotStore *store, Error *e);
/* `code`, noted when it says that the disk refused. */
Code hot__note_failed(HotStore *store, Code code);

struct HotStore {
    rocksdb_t *db; /* NULL: it could not be opened again, not even to read */
    char *folder;
    rocksdb_options_t *options;
    struct HotTamer *tamer; /* lives as long as the options */
    rocksdb_options_t *family_options[HOT_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *synced;
    rocksdb_writeoptions_t *unsynced;
    rocksdb_column_family_handle_t *families[HOT_FAMILY_COUNT];
    int64_t keep_deleted_us;
    _Atomic bool has_failed; /* a call that writes: see hot__may_write */

    Mutex lock;
    Cond changed;
    /* guarded by lock */
    size_t users; /* snapshots, and calls that are under way */
    bool is_shut; /* new users wait (gate.c) */
    Garbage garbage[HOT_FAMILY_COUNT];
};

struct HotSnapshot {
    HotStore *store;
    Code refusal; /* OK, or what each read through it answers; there is no snapshot then */
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read[2]; /* by HotRead */
};

/* Takes RocksDB's malloc'ed error text (must not be NULL), frees it and fails with the code it
 * means. */
CHECKED Code hot__fail(Error *e, char *error_text, const char *doing);

/* store.c: what hot_open and hot_reopen share. */
CHECKED Code hot__open_db(HotStore *store, bool read_only, Error *e);
void hot__close_db(HotStore *store);

/* gate.c: every use of `db` but those of the writer stands between the two. Not OK: E_WOULD_BLOCK
 * on a loop while the store is shut, E_IO when it could not be opened again; then there is nothing
 * to leave. */
CHECKED Code hot__enter(HotStore *store, Error *e);
void hot__leave(HotStore *store);

/* tame.cc: RocksDB neither repairs itself after a failed write nor keeps a log of events, and knows
 * which logs it has synced. */
struct HotTamer *hot__tame(rocksdb_options_t *options);
/* While held, no compaction begins. */
void hot__hold_compactions(struct HotTamer *tamer, bool is_held);
/* Merges the range anew, down to the lowest level; NULL, or why not, for hot__fail. */
char *hot__rewrite_range(rocksdb_t *db, rocksdb_column_family_handle_t *family, const char *from,
                         size_t from_size, const char *to, size_t to_size);
/* Merges all files of a family down to the lowest level, but for those that nothing lies above. As
 * the last one. */
char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                      struct HotTamer *tamer);
/* While it is not allowed, hot__merge_down fails: at once, or soon when it is under way. */
void hot__allow_merges(struct HotTamer *tamer, bool is_allowed);

/* reclaim.c: counts some garbage in every family. */
void hot__assume_garbage(HotStore *store);

/* manifest.c */
/* Notes what the MANIFEST of a store that was just opened holds. No compaction may have begun. */
CHECKED Code hot__note_manifest(const char *folder, Error *e);
/* Cuts the torn last record of the MANIFEST of a store that is not open. Fails when that is not
 * what is wrong with it, or not for sure. */
CHECKED Code hot__mend_manifest(const char *folder, Error *e);
/* Cuts the torn last record of the newest log of a store that is not open; fails when that is not
 * what is wrong. */
CHECKED Code hot__mend_log(const char *folder, Error *e); /* log_end.c */
/* E_CORRUPT where RocksDB might skip damage amidst a log in silence. Reads all logs. */
CHECKED Code hot__check_logs(const char *folder, Error *e); /* log_end.c */
/* Where the records of a MANIFEST or a log end. False when there are more behind a damaged one. */
bool hot__manifest_end(Slice bytes, size_t *out_end);
