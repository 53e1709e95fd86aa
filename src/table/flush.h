/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving rows from the hot to the cold tier, and giving back what the feed window no longer needs.
 *
 * All functions here belong to the jobs thread: one at a time per partition. Each commits through the
 * committer; before that commit nothing has happened, after it everything.
 */
#pragma once

#include "table/view.h"

/* Visits every partition of a table that has rows in the hot tier, in key order. */
CHECKED Code flush_each_partition(Database *db, const Table *table,
                                  Code (*visit)(void *context, Partition partition, Error *e),
                                  void *context, Error *e);
/* True when live rows at or above the flush mark exist. */
CHECKED Code flush_is_pending(Database *db, const Table *table, Partition partition, bool *out,
                              Error *e);
/* Live rows at or above the flush mark, counted up to `limit`. */
CHECKED Code flush_count_pending(Database *db, const Table *table, Partition partition,
                                 size_t limit, size_t *out, Error *e);
/* Writes one segment of everything live from the flush mark to the newest commit, and commits it; rewrites manifest.json.
 * *out_rows = 0: nothing to do. */
CHECKED Code flush_partition(Database *db, Table *table, Partition partition, uint64_t *out_rows,
                             Error *e);
/* Raises feed low to the start of the window (for a STREAM also drops what has expired) and removes what lies below it. */
CHECKED Code flush_trim(Database *db, Table *table, Partition partition, Error *e);
/* Where the segments of a partition lie, relative to the storage folder. */
CHECKED Code flush_folder(Database *db, const Table *table, Partition partition, Arena *arena,
                          Slice *out_folder, Error *e);
/* Removes the files and entries that dropped tables left behind; waits for statements that may read them. */
CHECKED Code flush_purge_dropped(Database *db, Error *e);
/* Removes temporary files and segment files that no entry names, everywhere. Once, after open, before the first flush. */
CHECKED Code flush_sweep(Database *db, uint32_t *out_removed, Error *e);
