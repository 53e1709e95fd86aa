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
    Slice key;             /* encoded primary key; empty in a STREAM without one */
    Slice new_row;         /* row codec; for DELETE the last row */
    Slice old_row;         /* row codec of the version replaced; empty for INSERT */
    uint64_t old_seq;      /* version replaced; 0 for INSERT */
    uint64_t old_prev_seq; /* the version that one replaced (Version.prev_seq); 0 = none */
    bool old_is_cold;      /* old_seq lies below the flush mark of the snapshot */
    uint64_t seq;          /* given by the committer */
} RowChange;

/* A write beside the rows: partition state, segment entries, jobs, trims. */
typedef enum RawKind { RAW_PUT, RAW_DELETE, RAW_DELETE_RANGE } RawKind;
typedef struct RawWrite {
    RawKind kind;
    HotFamily family;
    Slice key;
    Slice value; /* RAW_DELETE_RANGE: the key where the range ends, exclusive */
} RawWrite;

/* A finished flush moves the flush mark over [from_seq, to_seq]. The committer adds what it alone
 * knows: rows of that range that died after R. Every intent of the partition that was resolved
 * before is then a conflict. */
typedef struct FlushRange {
    Partition partition;
    uint64_t from_seq, to_seq;
} FlushRange;

/* Row versions that a transaction has read and not changed: a commit that replaced or deleted one
 * of them after R is a conflict. */
typedef struct ReadSet {
    Table *table; /* a reference; must still be current */
    Partition partition;
    uint64_t *seqs; /* ascending */
    size_t count;
    bool all; /* too many to list: every change of a row of the partition counts */
} ReadSet;

typedef struct IntentPart {
    Table *table; /* a reference */
    Partition partition;
    RowChange *changes;
    size_t count, capacity;
} IntentPart;

typedef struct Intent Intent;
/* Runs on the committer thread once the fate is known: hand over, do not work. OK: committed (and
 * synced where asked). E_CONFLICT: resolve again at a new snapshot. E_TABLE_NOT_FOUND, E_DISK_FULL,
 * E_OUTCOME_UNKNOWN, E_SHUTTING_DOWN … The callback may unref the intent. */
typedef void IntentDone(void *context, Intent *intent, Code code, const Error *error);

struct Intent {
    Arena *arena; /* owns everything below; lives as long as the intent */
    /* who waits for it, for the turns in the queue (queue.c); 0 = the server itself */
    uint64_t owner;
    /* whose statement it is, and by which role it was allowed; 0 = the server itself */
    uint64_t actor;
    Role actor_role;
    uint64_t read_seq; /* R: last_seq through the snapshot it was resolved at */
    IntentPart *parts;
    size_t part_count, part_capacity;
    size_t row_count, bytes; /* for the caps of a commit */
    bool durable;            /* acknowledge only after a sync */
    ReadSet *reads;
    size_t read_count, read_capacity;
    RawWrite *raw;
    size_t raw_count, raw_capacity;
    FlushRange *flush;         /* NULL unless this is the commit of a flush */
    struct DueSettle *settles; /* looks of the due index that are over (due.h), in the arena */
    size_t settle_count;
    /* A trim holds by whatever definition its table has by then, so that no ALTER keeps it from
     * being committed; unless (a STREAM) not all below that seq has expired by it. */
    bool is_trim;
    uint64_t expired_seq;
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
/* Adds a change; its slices are copied into the intent. E_TOO_LARGE above COMMIT_ROWS_MAX or
 * COMMIT_BYTES_MAX. */
CHECKED Code intent_add(Intent *intent, IntentPart *part, const RowChange *change, Error *e);
/* Adds a write beside the rows; key and value are copied. */
void intent_add_raw(Intent *intent, RawKind kind, HotFamily family, Slice key, Slice value);
/* Adds what was read of a partition: takes a reference to the table, copies the seqs. */
void intent_add_reads(Intent *intent, const ReadSet *reads);
/* Takes the change, whose guard is a conflict key beside those of the rows. Once per intent. */
void intent_set_catalog_change(Intent *intent, CatalogChange *change);
