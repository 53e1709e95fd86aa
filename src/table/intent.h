/* SPDX-License-Identifier: Apache-2.0
 *
 * An Intent is what a statement wants committed: final rows, never SQL, resolved at a snapshot R.
 *
 * The committer decides from the intent and its own memory alone whether it may be committed, gives
 * out seqs, writes, syncs, publishes and answers. Afterwards the intent is the commit record: the
 * change feed and live subscribers share it by reference and never modify it.
 */
#pragma once

#include "base/arena.h"
#include "catalog/catalog.h"

typedef struct Partition {
    uint32_t table_id;
    uint64_t user; /* numeric user id; 0 for SHARED */
} Partition;

static inline bool partition_equal(Partition a, Partition b)
{
    return a.table_id == b.table_id && a.user == b.user;
}

typedef enum ChangeKind { CHANGE_INSERT = 1, CHANGE_UPDATE = 2, CHANGE_DELETE = 3 } ChangeKind;

typedef struct RowChange {
    ChangeKind kind;
    Slice key;         /* encoded primary key; empty in a STREAM without one */
    Slice new_row;     /* row codec; for DELETE the last row */
    Slice old_row;     /* row codec of the version replaced; empty for INSERT */
    uint64_t old_seq;  /* version replaced; 0 for INSERT */
    bool old_is_cold;  /* old_seq lies below the flush mark of the snapshot */
    uint64_t seq;      /* given by the committer */
} RowChange;

/* What a finished flush asks for: see table/flush.h. */
typedef struct FlushCommit {
    uint64_t from_seq, to_seq;  /* the flush mark was from_seq and becomes to_seq + 1 */
    Slice segment_key, segment; /* entry of the segments family; empty when no row was live */
    uint64_t *dead_seqs;        /* rows of the segment that died up to R … */
    uint64_t *dead_at;          /* … and the seqs of their deaths */
    size_t dead_count;
    Slice state; /* the partition's new state record */
} FlushCommit;

typedef struct IntentPart {
    Table *table; /* a reference */
    Partition partition;
    RowChange *changes;
    size_t count, capacity;
    FlushCommit *flush; /* NULL for row changes */
} IntentPart;

typedef struct Intent Intent;
/* Runs on the committer thread once the fate is known: hand over, do not work. OK: committed (and synced where asked).
 * E_CONFLICT: resolve again at a new snapshot. E_TABLE_NOT_FOUND, E_DISK_FULL, E_OUTCOME_UNKNOWN, E_SHUTTING_DOWN …
 * The callback may unref the intent. */
typedef void IntentDone(void *context, Intent *intent, Code code, const Error *error);

struct Intent {
    Arena *arena;       /* owns everything below; lives as long as the intent */
    uint64_t read_seq;  /* R: last_seq through the snapshot it was resolved at */
    IntentPart *parts;
    size_t part_count;
    size_t row_count, bytes; /* for the caps of a commit */
    bool durable;       /* acknowledge only after a sync */
    uint64_t *guards;   /* conflict keys beside those of the rows */
    size_t guard_count;
    CatalogChange *catalog_change; /* owned; NULL for none */
    IntentDone *done;
    void *context;
    uint64_t commit_seq; /* last seq of this commit; given by the committer */
    Intent *next;        /* queue link, the committer's */
    _Atomic unsigned refs;
};

Intent *intent_new(uint64_t read_seq);
Intent *intent_ref(Intent *intent);
void intent_unref(Intent *intent); /* accepts NULL */
void intent_unref_ptr(Intent **intent);
/* The part for a partition, made when there is none; takes its own reference to the table. */
IntentPart *intent_part(Intent *intent, Table *table, Partition partition);
/* Adds a change; its slices are copied into the intent. E_TOO_LARGE above COMMIT_ROWS_MAX or COMMIT_BYTES_MAX. */
CHECKED Code intent_add(Intent *intent, IntentPart *part, const RowChange *change, Error *e);
