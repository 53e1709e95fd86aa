/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot store: ordered bytes in RocksDB. It knows families, batches, snapshots and iterators, and
 * nothing of tables, rows or seqs; the key layout is table/'s (docs/formats/keys.md).
 *
 * Threads: a HotStore and its snapshots may be used from any thread, a batch or an iterator by one
 * at a time, and a snapshot by one at a time with HOT_CACHED_ONLY. On a loop thread read so: what
 * is neither in the store's memory nor, for a few blocks, in the kernel's gives E_WOULD_BLOCK.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

/* Families are by kind, not by table. The order is the order on disk; append only. */
typedef enum HotFamily {
    HOT_ROWS,
    HOT_HISTORY,
    HOT_HEADS,
    HOT_DEAD,
    HOT_SEGMENTS,
    HOT_DUE,
    HOT_SYSTEM,
    HOT_FAMILY_COUNT,
} HotFamily;

typedef enum HotRead {
    HOT_BLOCKING,
    HOT_CACHED_ONLY,
    HOT_PASSING, /* as HOT_BLOCKING; walks leave nothing in the block cache */
} HotRead;

typedef struct HotOptions {
    size_t block_cache_bytes;
    size_t write_buffer_bytes; /* all families together */
    int background_jobs;
    uint64_t merge_bytes_per_s; /* that merging and writing out may write; 0 = no limit */
    uint32_t keep_deleted_s;    /* how long what was deleted may lie in files before hot_reclaim */
    bool read_only;             /* nothing on the disk changes; hot_write is not to be called */
} HotOptions;

typedef struct HotStore HotStore;
typedef struct HotSnapshot HotSnapshot;
typedef struct HotBatch HotBatch;
typedef struct HotIterator HotIterator;

/* Creates or opens the store in `folder`. E_LOCKED when another process has it, E_CORRUPT when its
 * log is damaged. */
CHECKED Code hot_open(const char *folder, const HotOptions *options, HotStore **out, Error *e);
void hot_close(HotStore *store); /* accepts NULL; no snapshot or iterator may be left */

/* ---- after a failed write: only by the thread that writes ---- */
/* Shuts new readers out and waits for those inside. While it is shut, snapshots made on loops
 * answer E_WOULD_BLOCK to every read, and other threads wait in hot_snapshot_new; the caller's own
 * pass. False when somebody is still inside after `wait_ms`: then all are let in again. */
bool hot_shut(HotStore *store, int64_t wait_ms);
/* Closes the store and opens it as a new process would: the log decides what the failed write has
 * done, in all families alike, and what it found is durable after OK. When it cannot be opened to
 * write it is opened to read, if that can be. Between hot_shut and hot_admit. */
CHECKED Code hot_reopen(HotStore *store, Error *e);
void hot_admit(HotStore *store);

/* What was not whole at the end of a file when the store was opened, and so is not there: the last
 * writes of before, whose sync never ended (docs/decisions/0013 and 0017). */
typedef struct HotCut {
    char file[32]; /* the name: a log, or the MANIFEST */
    uint64_t offset, bytes;
} HotCut;
/* The next that nobody has taken; false when there is none. */
bool hot_take_cut(HotStore *store, HotCut *out);
/* Since hot_open. */
void hot_count_cuts(HotStore *store, uint64_t *out_cuts, uint64_t *out_bytes);

/* Notes how long the log is: a store whose log is gone, shorter or damaged within that length does
 * not open again (E_CORRUPT). After a synced write, when no other follows before hot_close. */
CHECKED Code hot_note_stop(HotStore *store, Error *e);

/* A consistent view of all families. */
HotSnapshot *hot_snapshot_new(HotStore *store);
void hot_snapshot_free(HotSnapshot *snapshot); /* accepts NULL */

/* The value of a key as of the snapshot, copied to the arena. E_NOT_FOUND (without text),
 * E_WOULD_BLOCK, E_CORRUPT, E_IO. */
CHECKED Code hot_get(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice key, Arena *arena,
                     Slice *out_value, Error *e);

HotBatch *hot_batch_new(void);
void hot_batch_free(HotBatch *batch); /* accepts NULL */
void hot_batch_clear(HotBatch *batch);
void hot_batch_put(HotBatch *batch, HotStore *store, HotFamily family, Slice key, Slice value);
void hot_batch_delete(HotBatch *batch, HotStore *store, HotFamily family, Slice key);
/* Deletes from <= key < to. */
void hot_batch_delete_range(HotBatch *batch, HotStore *store, HotFamily family, Slice from,
                            Slice to);
/* Applies the batch atomically; with `sync` it is on disk when this returns OK, and all before it.
 * E_DISK_FULL, E_IO; from the first failure on, of a flush or a merge, too, until hot_reopen. */
CHECKED Code hot_write(HotStore *store, HotBatch *batch, bool sync, Error *e);
/* Whether bytes of it were given to the log since it was cleared. If not, a write of it that failed
 * has left nothing; else the outcome of that is unknown. */
bool hot_batch_was_given(const HotBatch *batch);

/* Walks from <= key < to, ascending or descending. Starts before the first entry: while
 * (hot_next(it)) …; then hot_iterator_end tells whether the walk ended for lack of entries or by an
 * error. */
HotIterator *hot_iterator_open(HotSnapshot *snapshot, HotRead mode, HotFamily family, Slice from,
                               Slice to, bool descending);
void hot_iterator_close(HotIterator *iterator); /* accepts NULL */
void hot_iterator_close_ptr(HotIterator **iterator);
bool hot_next(HotIterator *iterator);
/* Jumps so that the next hot_next gives the first entry at or after `key` (at or before,
 * descending). */
void hot_seek(HotIterator *iterator, Slice key);
Slice hot_key(const HotIterator *iterator);   /* until the next hot_next */
Slice hot_value(const HotIterator *iterator); /* until the next hot_next */
CHECKED Code hot_iterator_end(HotIterator *iterator, Error *e);

/* A consistent copy of the store as of now, in a folder that does not exist yet (the one above it
 * does): a store that hot_open opens. Files are linked where that folder is on the same disk.
 * Synced. E_IO, E_DISK_FULL. */
CHECKED Code hot_checkpoint(HotStore *store, const char *folder, Error *e);

typedef struct HotRange {
    Slice from, to; /* from <= key < to */
} HotRange;
/* Who asks whether to stop; both may be NULL. */
typedef struct HotStop {
    bool (*is_stopped)(void *context);
    void *context;
} HotStop;
/* Makes the bytes of deleted and replaced entries of the ranges leave the disk, as far as no
 * snapshot needs them: rewrites the files that hold them. The ranges ascend and do not overlap;
 * many at once cost little more than one. Call hot_flush before, which takes them out of memory and
 * the log. Blocks; for jobs. `stop` (may be NULL) is asked before each merge, and during one only
 * by hot_cancel_merges. E_CANCELLED when stopped, or when merges are not allowed. After a failure
 * some of it may still be there. */
CHECKED Code hot_scrub(HotStore *store, HotFamily family, const HotRange *ranges, size_t count,
                       const HotStop *stop, Error *e);
/* Writes what is only in memory to files, so that the log starts anew. Blocks. */
CHECKED Code hot_flush(HotStore *store, Error *e);

/* ---- the space of deleted entries (reclaim.c) ---- */
/* About so many bytes were deleted, or are going to be at once. Reads nothing. */
void hot_note_deleted(HotStore *store, HotFamily family, uint64_t bytes);
/* About how many bytes of the range lie in files, those of deleted entries included. May read the
 * disk. */
uint64_t hot_range_bytes(HotStore *store, HotFamily family, Slice from, Slice to);
/* After how long hot_reclaim has something to do: 0 = now, INT64_MAX = nothing was deleted. */
int64_t hot_reclaim_wait_us(HotStore *store);
/* Makes the bytes of deleted entries leave the families in which there are many, or some for long,
 * and the log, as far as no snapshot needs them. Blocks; one at a time. E_CANCELLED: merges are not
 * allowed. */
CHECKED Code hot_reclaim(HotStore *store, Error *e);
/* While they are not allowed hot_reclaim and hot_scrub fail, also those under way. For a server
 * that is to stop. */
void hot_allow_merges(HotStore *store, bool is_allowed);
/* Those under way fail with E_CANCELLED. For whoever has told one of them to stop. */
void hot_cancel_merges(HotStore *store);

/* A RocksDB property such as "rocksdb.estimate-num-keys", summed over families; 0 when unknown. */
uint64_t hot_property(HotStore *store, const char *name);
uint64_t hot_family_property(HotStore *store, HotFamily family, const char *name);
/* How long RocksDB has held writers up since it was opened, in microseconds. */
uint64_t hot_stall_us(HotStore *store);
