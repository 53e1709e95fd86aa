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

/* Erases a user that was dropped at or before the given time, or goes on with what a crash cut.
 * Waits for the statements that read now. E_INVALID_OPERATION when the user was restored or is not
 * due, E_CANCELLED when stopped (may be NULL); after other failures call it again. No export may
 * run. */
CHECKED Code database_erase_user(Database *db, Slice user_id, int64_t dropped_until_us,
                                 const JobStop *stop, EraseReport *out, Error *e);
/* The dropped users that are due, at most `limit`, in order of user_id; *out_next_us: when the
 * first of the others was dropped (0: there are none). Reads all users. */
CHECKED Code database_list_erasable(Database *db, int64_t dropped_until_us, size_t limit,
                                    Arena *arena, User **out, size_t *out_count,
                                    int64_t *out_next_us, Error *e);
