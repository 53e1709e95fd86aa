/* SPDX-License-Identifier: Apache-2.0
 *
 * How much is in a partition, counted at a view: from segment entries, dead rows and the hot rows;
 * no segment is read.
 */
#pragma once

#include "table/view.h"

typedef struct PartitionFigures {
    uint64_t live_rows;                             /* over both tiers */
    uint64_t hot_rows;                              /* of these, those that are in no segment */
    uint64_t segments, segment_rows, segment_bytes; /* rows: dead ones included */
    uint64_t dead_rows;                             /* of segment_rows */
    uint64_t min_seq, max_seq;                      /* of the segments; 0 without any */
    uint64_t hot_bytes;                             /* of the rows in hot_rows */
    PartitionState state;
} PartitionFigures;

/* The living rows of the partition's segments; reads no file. */
CHECKED Code view_count_cold(ReadView *view, Partition partition, uint64_t *out, Error *e);

/* Takes as long as a walk of the hot rows. */
CHECKED Code view_figures(ReadView *view, const Table *table, Partition partition,
                          PartitionFigures *out, Error *e);
/* What lies in all partitions together. */
typedef struct TableTotals {
    uint64_t partitions; /* with rows in either tier */
    uint64_t segments, segment_rows, segment_bytes;
} TableTotals;
/* One walk over the entries of segments, with a jump for each partition. Workers only. */
CHECKED Code database_totals(Database *db, TableTotals *out, Error *e);
/* The text of manifest.json, as it is at the view (folder.c). */
CHECKED Code view_print_manifest(ReadView *view, const Table *table, Partition partition,
                                 Buffer *out, Error *e);
/* Visits every partition of a table that has hot rows or segments at the view, in key order. */
CHECKED Code view_each_partition(ReadView *view, const Table *table,
                                 Code (*visit)(void *context, Partition partition, Error *e),
                                 void *context, Error *e);
