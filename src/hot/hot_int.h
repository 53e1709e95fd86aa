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

/* The newest; what does not fit is only counted. */
enum { HOT_CUTS_MAX = 16 };
typedef struct HotCuts {
    HotCut cuts[HOT_CUTS_MAX];
    size_t count;
    uint64_t total, bytes;
} HotCuts;

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
    uint64_t merge_bytes_per_s; /* 0 = no limit */
    Mutex switching;            /* held while RocksDB may switch a memtable (switch.c) */
    _Atomic(Error *) failure; /* of the first such call that failed since opening, or NULL; owned */

    Mutex lock;
    Cond changed;
    /* guarded by lock */
    size_t users; /* snapshots, and calls that are under way */
    bool is_shut; /* new users wait (gate.c) */
    Garbage garbage[HOT_FAMILY_COUNT];
    HotCuts cuts;
};

struct HotSnapshot {
    HotStore *store;
    Code refusal; /* OK, or what each read through it answers; there is no snapshot then */
    const rocksdb_snapshot_t *snapshot;
    rocksdb_readoptions_t *read; /* of point reads */
    atomic_int blocks_left; /* that HOT_CACHED_ONLY may still read out of files (page_cache.cc) */
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

/* switch.c: every call that may make RocksDB switch a memtable stands between the two. Not OK: one
 * has failed and the store is to be opened again first; there is nothing to end then. */
CHECKED Code hot__switch_begin(HotStore *store, Error *e);
/* Also notes that it failed; `error_text` as for hot__fail, or NULL when it went well. */
CHECKED Code hot__switch_end(HotStore *store, char *error_text, const char *doing, Error *e);
/* OK, or how the first call has failed since the store was opened: E_DISK_FULL, E_IO. */
CHECKED Code hot__switch_refusal(HotStore *store, Error *e);
/* The store is opened anew, or closed: nobody is inside. */
void hot__switch_forget(HotStore *store);
/* In between: this thread's next switch lets others do theirs, since it makes no other one. */
void hot__switch_once(void);
/* tame.cc: this thread has switched a memtable. */
void hot__switched(void);
/* In between: gives the family's memtable an entry, and changes nothing. NULL, or why not. */
char *hot__touch(HotStore *store, HotFamily family, Slice key);

/* tame.cc: RocksDB neither repairs itself after a failed write nor keeps a log of events, and knows
 * which logs it has synced. */
struct HotTamer *hot__tame(rocksdb_options_t *options);
/* What flushes and merges of a store with a limit may write from now on; 0 = all there is. */
void hot__limit_merges(rocksdb_options_t *options, uint64_t bytes_per_s);
/* While held, no compaction begins. */
void hot__hold_compactions(struct HotTamer *tamer, bool is_held);
/* Writes a memtable to a file and waits for it; NULL, or why not, for hot__fail. */
char *hot__flush_family(rocksdb_t *db, rocksdb_column_family_handle_t *family);

/* A merge that somebody asked for; from when it joins to when it leaves it can be cancelled. */
struct HotMerge *hot__merge_join(struct HotTamer *tamer);
void hot__merge_leave(struct HotTamer *tamer, struct HotMerge *merge); /* frees it */
/* Merges the range anew, down to the lowest level. NULL, or why not, for hot__fail. */
char *hot__merge_range(rocksdb_t *db, rocksdb_column_family_handle_t *family, Slice from, Slice to,
                       struct HotMerge *merge);
/* Merges all files of a family down to the lowest level, but for those that nothing lies above. As
 * the last one. */
char *hot__merge_down(rocksdb_t *db, rocksdb_column_family_handle_t *family,
                      struct HotMerge *merge);
/* Those under way fail soon. */
void hot__cancel_merges(struct HotTamer *tamer);
/* While there is a reason merges fail, also those under way. */
typedef enum HotBar { HOT_BAR_STOPPING, HOT_BAR_SHUT, HOT_BAR_COUNT } HotBar;
void hot__bar_merges(struct HotTamer *tamer, HotBar reason, bool is_barred);

/* logs.cc: a log is durable before the next one begins. After hot__tell_late. */
void hot__guard_logs(rocksdb_options_t *options);
/* How often this thread has given bytes to a log, even if that failed. */
uint64_t hot__log_appends(void);

/* gaps.cc */
void hot__count_gaps(rocksdb_options_t *options);
/* How many blocks this thread's reads did not find in the block cache and did not put there. What
 * passes the cache counts, too; point reads do not. */
int64_t hot__gaps(void);

/* page_cache.cc */
void hot__read_page_cache(rocksdb_options_t *options); /* after hot__tell_late */
/* From the first to the second call this thread's reads of files fail where they would wait for the
 * disk, and when they were so many; the second one tells how many are left. */
void hot__wait_for_none(int blocks);
int hot__wait_again(void);

/* read.c, for walk.c, too. */
CHECKED Code hot__refuse(Code refusal, Error *e); /* why a snapshot refuses */
/* Each call of RocksDB that reads stands between the two. */
void hot__read_begin(HotSnapshot *snapshot, HotRead mode);
void hot__read_end(HotSnapshot *snapshot, HotRead mode);

/* late.cc: that a table of a merge could not be written is told when it is opened. */
void hot__tell_late(rocksdb_options_t *options);

/* reclaim.c: counts some garbage in every family. */
void hot__assume_garbage(HotStore *store);

/* log_end.c: the log with the highest number, which may be empty; 0 without one. */
CHECKED Code hot__find_log(const char *folder, uint64_t *out_number, uint64_t *out_bytes, Error *e);

/* manifest.c */
/* The newest log as it was noted, and how much of it is synced; 0 when nothing was noted. */
CHECKED Code hot__noted_log(const char *folder, uint64_t *out_number, uint64_t *out_bytes,
                            Error *e);
/* Notes what the MANIFEST of a store that was just opened holds. No compaction may have begun. */
CHECKED Code hot__note_manifest(const char *folder, Error *e);
/* Cuts the torn last record of the MANIFEST of a store that is not open. Fails when that is not
 * what is wrong with it, or not for sure. */
CHECKED Code hot__mend_manifest(const char *folder, HotCuts *cuts, Error *e);
/* Cuts the torn last record of the newest log of a store that is not open; fails when that is not
 * what is wrong. */
CHECKED Code hot__mend_log(const char *folder, Error *e); /* log_end.c */
/* E_CORRUPT where RocksDB might skip damage amidst a log in silence. Reads all logs, and notes what
 * is not whole at their ends: RocksDB or hot__mend_log leaves it out. */
CHECKED Code hot__check_logs(const char *folder, HotCuts *cuts, Error *e);      /* log_end.c */
void hot__add_cut(HotCuts *cuts, const char *path, size_t offset, size_t size); /* log_end.c */
/* Where the records of a MANIFEST or a log end. False when there are more behind a damaged one. */
bool hot__manifest_end(Slice bytes, size_t *out_end);
