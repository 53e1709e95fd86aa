/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of reservations: each takes the next stretch of time that its bytes need at the rate, and
 * waits for its beginning. What was not used in the last BURST_US may be taken at once, so that
 * small work waits for nothing.
 */
#include "os/throttle.h"

#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "os/clock.h"
#include "os/thread.h"

enum { BURST_US = 250 * 1000 };
static const uint64_t us_per_s = 1000000;

struct Throttle {
    uint64_t bytes_per_s;
    Mutex lock;
    int64_t free_at_us; /* monotonic: when all reservations are used up; guarded by lock */
};

Throttle *throttle_new(uint64_t bytes_per_s)
{
    Throttle *throttle = x_new(Throttle);
    throttle->bytes_per_s = bytes_per_s;
    mutex_init(&throttle->lock);
    return throttle;
}

void throttle_free(Throttle *throttle)
{
    if (!throttle)
        return;
    mutex_done(&throttle->lock);
    free(throttle);
}

int64_t throttle_reserve(Throttle *throttle, uint64_t bytes, int64_t now_us)
{
    if (!throttle || throttle->bytes_per_s == 0)
        return 0;
    int64_t needs_us = (int64_t)((double)bytes * (double)us_per_s / (double)throttle->bytes_per_s);
    MUTEX_SCOPE(&throttle->lock);
    if (throttle->free_at_us < now_us - BURST_US)
        throttle->free_at_us = now_us - BURST_US;
    int64_t wait_us = throttle->free_at_us - now_us;
    throttle->free_at_us += needs_us;
    return wait_us > 0 ? wait_us : 0;
}

void throttle_take(Throttle *throttle, uint64_t bytes)
{
    int64_t wait_us = throttle_reserve(throttle, bytes, clock_monotonic_us());
    struct timespec pause = {.tv_sec = wait_us / (int64_t)us_per_s,
                             .tv_nsec = (wait_us % (int64_t)us_per_s) * 1000};
    if (wait_us > 0)
        nanosleep(&pause, NULL);
}
