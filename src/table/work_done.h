/* SPDX-License-Identifier: Apache-2.0
 *
 * What flushes and compactions have done since the start, for figures only (database.c).
 */
#pragma once

#include "table/database.h"

typedef struct WorkDone {
    _Atomic uint64_t count, rows, dropped_rows, us, failures;
} WorkDone;
WorkDone *database__flushed(Database *db);
WorkDone *database__compacted(Database *db);
/* Counts one that began at started_us (monotonic) and read so many rows; without rows it found
 * nothing to do. */
void table__count_work(WorkDone *work, Code code, int64_t started_us, uint64_t rows,
                       uint64_t dropped_rows);
