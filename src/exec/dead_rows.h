/* SPDX-License-Identifier: Apache-2.0
 *
 * Where in their files the dead rows of segments lie; see dead_rows.c.
 */
#pragma once

#include "cold/cold.h"
#include "table/view.h"

typedef struct DeadRows DeadRows;

typedef struct DeadRow {
    uint64_t seq;
    uint64_t row; /* of the file, from 0 */
} DeadRow;

DeadRows *exec__dead_rows_new(void);
void exec__dead_rows_free(DeadRows *known); /* accepts NULL */
/* The rows of these dead seqs, which lie in the segment, ascending, in the arena; false when one is
 * not known. */
bool exec__dead_rows_find(DeadRows *known, Partition partition, const SegmentEntry *entry,
                          const DeadList *dead, Arena *arena, DeadList *out);
/* What a scan of the segment has found, ascending by seq. */
void exec__dead_rows_add(DeadRows *known, Partition partition, const SegmentEntry *entry,
                         const DeadRow *rows, size_t count);
