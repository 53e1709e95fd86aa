/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing what a dropped user had, so that nothing of it is in the data folder afterwards but the
 * two ids, which stay so that nobody gets them again. Rows in SHARED tables belong to the table,
 * and backups are not touched.
 *
 * For the jobs thread: no flush, compaction or export may run meanwhile.
 */
#pragma once

#include "table/flush.h"

typedef struct EraseReport {
    uint64_t tables, segments; /* that held something */
} EraseReport;

/* One user to erase. */
typedef struct EraseTask {
    Slice user_id;
    JobStop stop; /* of this one alone; may be {0} */
    void *context;
    /* how it ended */
    Code code;
    Error error; /* when it failed */
    EraseReport report;
} EraseTask;

typedef struct EraseBatch {
    EraseTask *tasks; /* of different users */
    size_t count;
    int64_t dropped_until_us; /* only who was dropped at or before it, or whose erasure was begun */
    /* Called once for each as soon as it has ended, with its code set; may be NULL. Its stop is not
     * asked any more. */
    void (*ended)(EraseTask *task);
} EraseBatch;

/* Erases dropped users, or goes on with what a crash cut; rewriting the hot tier, which is most of
 * the work, is done once for all of them. Waits for the statements that read now. Each ends for
 * itself: E_INVALID_OPERATION when the user was restored or is not due, E_CANCELLED when stopped;
 * after other failures erase it again. Only hot_cancel_merges makes a stop heard during a merge. No
 * export may run. */
void database_erase_users(Database *db, EraseBatch *batch);
/* The dropped users that are due, at most `limit`, in order of user_id; *out_next_us: when the
 * first of the others was dropped (0: there are none). Reads all users. */
CHECKED Code database_list_erasable(Database *db, int64_t dropped_until_us, size_t limit,
                                    Arena *arena, User **out, size_t *out_count,
                                    int64_t *out_next_us, Error *e);
