/* SPDX-License-Identifier: Apache-2.0
 *
 * The work of LANE_KEEP: backups, restores and exports. Its thread only.
 */
#pragma once

#include "jobs/jobs_int.h"

CHECKED Code jobs__run_export(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                              Error *e);
CHECKED Code jobs__run_backup(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                              Error *e);
CHECKED Code jobs__run_restore(Jobs *jobs, const Job *job, char *message, size_t message_bytes,
                               Error *e);
/* Removes what a crash left of exports; once, before the first. */
void jobs__sweep_exports(Jobs *jobs);
/* Removes exports that are older than they are kept, once in a while; returns as the others. */
int64_t jobs__expire_exports(Jobs *jobs);
