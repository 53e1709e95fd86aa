/* SPDX-License-Identifier: Apache-2.0
 *
 * What LANE_CLEANUP does: dropped users and tables, and the space of what was deleted.
 */
#pragma once

#include "jobs/jobs_int.h"

/* erase.c */
/* Runs and ends a user cleanup that was taken, and with it all others that wait. */
void jobs__run_user_cleanups(Jobs *jobs, Job *first);
/* Queues a job for each dropped user whose grace period is over; returns as jobs__upkeep. */
int64_t jobs__queue_cleanups(Jobs *jobs);

/* purge.c */
CHECKED Code jobs__run_cleanup(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                               Error *e);
/* Purges where no job does it, and queues one where it has failed; returns as jobs__upkeep. */
int64_t jobs__purge(Jobs *jobs);

/* reclaim.c: the space of what was deleted in the hot store */
/* Something was deleted: LANE_CLEANUP is woken if it has to look earlier than it would. */
void jobs__note_deleted(Jobs *jobs);
/* LANE_CLEANUP; returns as the others. */
int64_t jobs__reclaim(Jobs *jobs);

/* jobs.c */
CHECKED Code jobs__request_user_cleanup(Jobs *jobs, const User *user, Error *e);
/* A cleanup that nobody dropped a table for. */
CHECKED Code jobs__request_purge(Jobs *jobs, Error *e);
