/* SPDX-License-Identifier: Apache-2.0
 *
 * The due index: which partitions are to be looked at when, for flush by interval, trim of the feed
 * window, expiry and old dead rows. It is kept with the data, so that neither a start nor a look
 * walks over partitions that have nothing to do.
 *
 *   - A commit with rows notes its partition (unless a note is known to wait), in its own batch:
 *     look within due_delay_us.
 *   - A look does what is due, and plans the next one for the moment when more will be. Nothing
 *     left: no entry.
 *
 * So every partition in which time makes work has an entry, and one that is idle and trimmed has
 * none.
 */
#pragma once

#include "table/view.h"

typedef struct DueEntry {
    Partition partition;
    int64_t at_us;      /* wall clock */
    int64_t planned_us; /* the entry that the last look planned, which may be this one; 0 = none */
} DueEntry;

/* At most `limit` entries of a span of the wall clock, the earliest first; *out_next_us is the time
 * of the first one after them, INT64_MAX when there is none. Entries that are gone still cost the
 * walk over them, so a span begins where none is left. Jobs thread. */
typedef struct DueSpan {
    int64_t from_us, until_us;
} DueSpan;
CHECKED Code due_list(Database *db, DueSpan span, size_t limit, Arena *arena, DueEntry **out,
                      size_t *out_count, int64_t *out_next_us, Error *e);

/* What a look has found. */
typedef struct DueSettle {
    DueEntry entry;
    int64_t next_us;  /* when to look again; 0 = time will make no work there */
    int64_t delay_us; /* the table's, for rows that were committed while the look went on */
} DueSettle;
/* Takes the entries and plans the next looks, in one commit. read_seq: last_seq from before the
 * first of the looks. */
CHECKED Code due_settle(Database *db, uint64_t read_seq, const DueSettle *settles, size_t count,
                        Error *e);

/* How long after a commit its partition is looked at, at the latest: no later than anything that
 * time makes due. */
int64_t due_delay_us(Database *db, const Table *table);

/* All partitions with an entry at a snapshot, for checks; due_partitions_done frees them. */
typedef struct DuePartitions {
    Partition *sorted;
    size_t count, capacity;
} DuePartitions;
CHECKED Code due_partitions(HotSnapshot *snapshot, DuePartitions *out, Error *e);
bool due_has(const DuePartitions *all, Partition partition);
void due_partitions_done(DuePartitions *all);

/* What the looks at a table were planned by (a hash of its policies), 0 when that is not known.
 * When it has changed, all its partitions are to be noted: due_note_all, then due_set_policy. */
CHECKED Code due_policy(Database *db, uint32_t table_id, uint64_t *out, Error *e);
CHECKED Code due_policy_at(HotSnapshot *snapshot, uint32_t table_id, uint64_t *out, Error *e);
CHECKED Code due_set_policy(Database *db, uint32_t table_id, uint64_t policy, Error *e);
void due_forget_policy(Intent *intent, uint32_t table_id); /* with the commit that purges it */
/* Walks over the partitions of a table and notes them for now. is_stopped may be NULL;
 * E_CANCELLED. */
CHECKED Code due_note_all(Database *db, const Table *table, bool (*is_stopped)(void *context),
                          void *context, Error *e);
