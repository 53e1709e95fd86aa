/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: small neighbouring segments become one, and rows that died leave the disk.
 *
 * For threads of jobs/, as flush.h.
 */
#pragma once

#include "table/view.h"

typedef enum CompactMode {
    /* Runs of small segments where merging pays; segments with rows that died before the window. */
    COMPACT_DUE,
    COMPACT_ALL, /* on request: whatever can be merged, and every dead row */
} CompactMode;

typedef struct CompactOptions {
    CompactMode mode;
    /* COMPACT_ALL rewrites for rows that died up to here, so that it ends; 0 = all */
    uint64_t until_seq;
    bool (*is_stopped)(void *context); /* asked now and then while rows pass; may be NULL */
    void *context;
} CompactOptions;

typedef struct CompactResult {
    uint32_t segments; /* rewritten; 0 = there was nothing to do */
    uint64_t rows_read, rows_kept;
} CompactResult;

/* Does the next piece of work of a partition, one commit, and rewrites manifest.json. Call it
 * again until out->segments is 0. Files it replaced stay on the obsolete list. E_CANCELLED when
 * stopped or the table was dropped meanwhile, E_CONFLICT when it began with an old definition,
 * E_CORRUPT when a segment is damaged, E_CLAIMED and E_BUSY as in flush.h; then nothing has
 * changed. */
CHECKED Code compact_step(Database *db, Table *table, Partition partition,
                          const CompactOptions *options, CompactResult *out, Error *e);
/* True when compact_step would do something as COMPACT_DUE. */
CHECKED Code compact_is_due(Database *db, const Table *table, Partition partition, bool *out,
                            Error *e);
/* Visits every partition of a table that has segments, or only those with dead rows in them, in
 * key order. */
CHECKED Code compact_each_partition(Database *db, const Table *table, bool only_with_dead,
                                    Code (*visit)(void *context, Partition partition, Error *e),
                                    void *context, Error *e);

/* Unlinks what is on the obsolete list once no view can read it any more; it never waits. */
typedef struct Obsolete Obsolete;
Obsolete *obsolete_new(Database *db);
void obsolete_free(Obsolete *obsolete); /* accepts NULL */
/* Call it now and then. *out_more: some files wait for readers, or for the next call. */
CHECKED Code obsolete_remove(Obsolete *obsolete, bool *out_more, Error *e);
