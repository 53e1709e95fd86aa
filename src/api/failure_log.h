/* SPDX-License-Identifier: Apache-2.0
 *
 * The log of what failed inside the server while it answered clients. One line is news, a line for
 * each request that meets the same would fill the disk with itself: who is refused tries again.
 * Thread-safe.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

enum { FAILURE_LOG_PAUSE_S = 60, FAILURE_LOG_CAUSES_MAX = 32 };

typedef struct FailureLog FailureLog;

FailureLog *failure_log_new(void);
void failure_log_free(FailureLog *log); /* accepts NULL */
/* Writes a line, unless the same `what` (a literal) failed for the same reason within the last
 * FAILURE_LOG_PAUSE_S, or FAILURE_LOG_CAUSES_MAX other reasons were told in that time. The next
 * line says how many were left out. `user` may be empty. */
void failure_log_tell(FailureLog *log, const char *what, Slice user, const Error *error);
/* How many there were, told or not. */
uint64_t failure_log_count(FailureLog *log);
