/* SPDX-License-Identifier: Apache-2.0
 *
 * Proving that a data folder agrees with itself: heads, rows, history, dead records, segments,
 * partition state, catalog and files, all read at one commit. docs/operations.md says what each
 * finding means.
 */
#pragma once

#include "table/view.h"

typedef struct VerifyOptions {
    /* every byte and row of them; else only that they are there with their size */
    bool read_segments;
    void (*on_problem)(void *context,
                       const char *text); /* called for the first VERIFY_PROBLEMS_TOLD problems */
    bool (*is_stopped)(void *context);    /* asked now and then; may be NULL */
    void *context;
    /* When not NULL: only these are checked, whatever the catalog says; ascending ids without a
     * gap. */
    const Table *only;
    size_t only_count;
} VerifyOptions;

enum { VERIFY_PROBLEMS_TOLD = 1000 };

typedef struct VerifyReport {
    uint64_t seq; /* the commit at which everything was read */
    uint64_t users, tables, partitions;
    uint64_t rows, tombstones, history, heads, dead; /* records of the hot store */
    uint64_t segments, segment_rows, segment_bytes;
    uint64_t problems;
} VerifyReport;

/* Not on loops. Damage is a problem, told through on_problem, and OK is returned; an error means
 * that the check could not be finished: E_CANCELLED, or the hot store itself cannot be read. Holds
 * a view meanwhile: not on the jobs thread of a database that drops tables from another. */
CHECKED Code database_verify(Database *db, const VerifyOptions *options, VerifyReport *out,
                             Error *e);
