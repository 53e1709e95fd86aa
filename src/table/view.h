/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading at one commit: partition state, versions by key, walks of live rows, the change feed.
 *
 * A ReadView pins one snapshot of the hot store; S = view_seq() is read through it, so it is always
 * the end of a commit. Views are cheap and short-lived; each is used by one thread at a time. With
 * HOT_CACHED_ONLY every call may give E_WOULD_BLOCK: start again on a worker.
 */
#pragma once

#include "table/database.h"

typedef struct ReadView ReadView;

CHECKED Code view_open(Database *db, HotRead mode, ReadView **out, Error *e);
void view_close(ReadView *view); /* accepts NULL */
void view_close_ptr(ReadView **view);
uint64_t view_seq(const ReadView *view);
HotSnapshot *view_snapshot(const ReadView *view);
HotRead view_mode(const ReadView *view);

/* What a partition knows of its tiers. A partition never written has {0}. */
typedef struct PartitionState {
    uint64_t flush_mark; /* rows with a lower seq are in segments */
    uint64_t feed_low;   /* cursors below it are too old; above it every change is there */
    uint64_t next_batch; /* number of the next segment file, never reused */
    uint64_t flushed_at_us;
} PartitionState;
/* The next whole millisecond, as microseconds since 1970, after now and all commits of the view. */
int64_t view_next_moment_us(const ReadView *view, int64_t now_us);
/* The first seq at which the table is shown to all whom its access level allows: 0, or that of the
 * commit which let more roles read it. No change, no past state and no view from before is. */
uint64_t table_open_since(const Table *table);
CHECKED Code view_partition(ReadView *view, const Table *table, Partition partition,
                            PartitionState *out, Error *e);

/* One live row version. */
typedef struct Version {
    uint64_t seq;
    uint64_t prev_seq; /* the version this one replaced; 0 = none or no longer known */
    bool is_cold; /* its home is a segment (seq below the flush mark); a hot copy may still exist */
    bool has_row; /* `row` is loaded; false when only a segment has it */
    Slice row;    /* row codec */
} Version;

/* The newest live version of a primary key, over both tiers. E_NOT_FOUND without text. Not for
 * STREAM tables. When the row lies only in a segment, has_row is false and view_load_cold reads
 * it. */
CHECKED Code view_find(ReadView *view, const Table *table, Partition partition, Slice key,
                       Arena *arena, Version *out, Error *e);
/* Reads a row that lies only in a segment; on workers only. Fills out->row (encoded with the
 * current schema). */
CHECKED Code view_load_cold(ReadView *view, const Table *table, Partition partition, Arena *arena,
                            Version *io_version, Error *e);

/* Live rows of the hot tier at S with from <= seq <= to, tombstones skipped; the walk never goes
 * below the flush mark (nor, in a STREAM, below what the TTL lets live). */
typedef struct RowWalk RowWalk;
CHECKED Code row_walk_open(ReadView *view, const Table *table, Partition partition,
                           uint64_t from_seq, uint64_t to_seq, bool descending, RowWalk **out,
                           Error *e);
void row_walk_close(RowWalk *walk); /* accepts NULL */
void row_walk_close_ptr(RowWalk **walk);
/* out_row points into the walk until the next call. */
CHECKED Code row_walk_next(RowWalk *walk, bool *out_end, uint64_t *out_seq, Slice *out_row,
                           Error *e);

/* The segments of a partition at S whose seq range meets [from, to], ascending. */
struct SegmentEntry;
CHECKED Code view_segments(ReadView *view, Partition partition, uint64_t from_seq, uint64_t to_seq,
                           Arena *arena, struct SegmentEntry **out, size_t *out_count, Error *e);
/* Before reading them: that their files are there and as they were written. E_CORRUPT names the
 * first that is not. Cheap once a file was found good; not on loops. */
CHECKED Code view_check_segments(ReadView *view, const Table *table, Partition partition,
                                 const struct SegmentEntry *entries, size_t count, Error *e);
/* The seq at which a row that lives in a segment died, 0 while it lives. */
CHECKED Code view_dead_at(ReadView *view, Partition partition, uint64_t seq, uint64_t *out,
                          Error *e);
/* The dead rows of the partition's segments, ascending; in the arena. */
enum { DEAD_LIST_MAX = 1000 * 1000 };
typedef struct DeadList {
    uint64_t *seqs;
    size_t count;
    bool is_cut; /* there may be more than DEAD_LIST_MAX: ask view_dead_at */
} DeadList;
CHECKED Code view_dead_list(ReadView *view, Partition partition, Arena *arena, DeadList *out,
                            Error *e);
bool view_is_dead(const DeadList *list, uint64_t seq);
/* Whether any with from <= seq <= to may be; always when the list is cut. */
bool view_has_dead_between(const DeadList *list, uint64_t from, uint64_t to);
/* The opposite for many; any thread, as long as nobody changes the list. */
void view_mark_alive(const DeadList *list, const uint64_t *seqs, uint32_t count, bool *out_alive);
/* True when no row of any segment of the partition is dead at S (the check can then be left
 * out). */
CHECKED Code view_has_dead(ReadView *view, Partition partition, bool *out, Error *e);

/* The state as it was at `at_seq` (feed low <= at_seq <= S), over both tiers: versions with min_seq
 * <= seq <= max_seq that lived then, rebuilt from rows, history and segments. This is how the first
 * rows of a subscription are paged while the table changes, without pinning anything. At most
 * `limit` rows per page. Reads segments only when the range needs it: on workers. */
typedef struct PastRow {
    uint64_t seq;
    Slice row; /* row codec, in the arena */
} PastRow;
typedef struct PastRange {
    uint64_t at_seq;
    uint64_t min_seq, max_seq; /* inclusive */
    size_t limit;
    bool descending; /* newest first */
} PastRange;
typedef struct PastResult {
    PastRow *rows;
    size_t count;        /* may be 0 although there is more */
    bool more;           /* the range may hold more beyond this page … */
    uint64_t resume_seq; /* … continue with this as min_seq (descending: as max_seq) */
} PastResult;
CHECKED Code view_past_page(ReadView *view, const Table *table, Partition partition,
                            const PastRange *range, Arena *arena, PastResult *out, Error *e);

/* The feed: every change with after < seq <= S, in seq order, with before-images. */
typedef struct FeedChange {
    ChangeKind kind;
    uint64_t seq, old_seq;
    Slice new_row,
        old_row;     /* new_row of a DELETE is the last row; valid until the next feed_next */
    bool superseded; /* a later change within the view replaced this version */
} FeedChange;
typedef struct Feed Feed;
/* E_CURSOR_TOO_OLD below feed low, E_CURSOR_TOO_NEW above S. */
CHECKED Code feed_open(ReadView *view, const Table *table, Partition partition, uint64_t after_seq,
                       Feed **out, Error *e);
void feed_close(Feed *feed); /* accepts NULL */
void feed_close_ptr(Feed **feed);
CHECKED Code feed_next(Feed *feed, bool *out_end, FeedChange *out, Error *e);

/* A view pins the segment files it may read until it is closed. This keeps them for longer: they
 * are not unlinked before unpin. */
uint64_t view_pin_files(ReadView *view);
void view_unpin_files(Database *db, uint64_t pin);
