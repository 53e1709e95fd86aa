/* SPDX-License-Identifier: Apache-2.0
 *
 * While writes are refused; warnings that are told once; waits before another try. Any thread.
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

enum { JOBS_BUSY_TRIES_MAX = 8 }; /* over a few seconds */
/* Whether work on a partition that was refused (*e) is to be done again, after a wait: for whoever
 * has claimed the partition (only for a job; what is due by itself comes back later) or,
 * JOBS_BUSY_TRIES_MAX tries long, for what else was short, with pauses that grow. What kills the
 * job or stops the server ends the wait: ask jobs__is_stopped before each try. *io_tries is 0 at
 * first. In the end *e says how often it was tried. */
bool jobs__may_try_again(const JobRun *run, Partition partition, int *io_tries, Error *e);
