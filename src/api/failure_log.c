/* SPDX-License-Identifier: Apache-2.0
 *
 * I1. A cause takes the place of one whose pause is over, never of one that may not be told again
 *     yet: so there are at most FAILURE_LOG_CAUSES_MAX lines in each FAILURE_LOG_PAUSE_S.
 * I2. A full disk is one cause, whatever the sentence: it tells how many bytes are free. All else
 *     is told apart by its text, which names the file.
 */
#include "api/failure_log.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/thread.h"

typedef struct Cause {
    const char *what; /* NULL: free */
    Error error;
    int64_t silent_until_us; /* monotonic */
    uint64_t left_out;       /* since its line */
} Cause;

struct FailureLog {
    Mutex lock;
    Cause causes[FAILURE_LOG_CAUSES_MAX]; /* guarded by lock */
    uint64_t count;                       /* guarded by lock */
};

FailureLog *failure_log_new(void)
{
    FailureLog *log = x_new(FailureLog);
    mutex_init(&log->lock);
    return log;
}

void failure_log_free(FailureLog *log)
{
    if (!log)
        return;
    mutex_done(&log->lock);
    free(log);
}

static bool is_same(const Cause *cause, const char *what, const Error *error)
{
    return cause->what && strcmp(cause->what, what) == 0 && cause->error.code == error->code &&
           (error->code == E_DISK_FULL || strcmp(cause->error.text, error->text) == 0); /* I2 */
}

/* The cause as known, or a place for it; NULL: it may not be told (I1). */
static Cause *find(FailureLog *log, const char *what, const Error *error, int64_t now_us)
{
    Cause *place = NULL;
    for (size_t i = 0; i < FAILURE_LOG_CAUSES_MAX; i++) {
        Cause *cause = &log->causes[i];
        if (is_same(cause, what, error))
            return cause;
        if (!place && (!cause->what || now_us >= cause->silent_until_us))
            place = cause;
    }
    if (place)
        *place = (Cause){.what = what, .error = *error};
    return place;
}

/* Whether to write a line, and how many were left out since the last. */
static bool is_news(FailureLog *log, const char *what, const Error *error, uint64_t *out_left_out)
{
    int64_t now_us = clock_monotonic_us();
    MUTEX_SCOPE(&log->lock);
    log->count++;
    Cause *cause = find(log, what, error, now_us);
    if (!cause)
        return false;
    if (now_us < cause->silent_until_us) {
        cause->left_out++;
        return false;
    }
    *out_left_out = cause->left_out;
    cause->left_out = 0;
    cause->silent_until_us = now_us + (int64_t)FAILURE_LOG_PAUSE_S * 1000000;
    return true;
}

void failure_log_tell(FailureLog *log, const char *what, Slice user, const Error *error)
{
    uint64_t left_out = 0;
    if (!is_news(log, what, error, &left_out))
        return;
    LogField fields[5] = {LOG_ERROR(error)}; /* ends with one that has no name */
    size_t used = 2;
    if (user.size)
        fields[used++] = LOG_SLICE("user", user);
    if (left_out)
        fields[used++] = LOG_INT("more_since_the_last_line", left_out);
    log_write(LOG_LEVEL_ERROR, what, fields);
}

uint64_t failure_log_count(FailureLog *log)
{
    MUTEX_SCOPE(&log->lock);
    return log->count;
}
