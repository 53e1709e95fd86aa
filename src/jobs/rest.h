/* SPDX-License-Identifier: Apache-2.0
 *
 * While writes are refused; warnings that are told once. Any thread.
 */
#pragma once

#include "jobs/jobs_int.h"

/* True while they are: nothing that is due by itself is begun. Says so in the log. */
bool jobs__rests(Jobs *jobs);
void jobs__tell_reopen(Jobs *jobs, bool has_lost);
/* Warns once of each cause: what failed (static text), where (a table alone: user 0; nothing: table
 * 0), and the code, until jobs__went_well of the same. A disk that fails everything is one cause
 * for each `what`. */
void jobs__warn(Jobs *jobs, const char *what, Partition where, const Error *error);
void jobs__went_well(Jobs *jobs, const char *what, Partition where);
void jobs__free_told(Told *told); /* and all after it */
