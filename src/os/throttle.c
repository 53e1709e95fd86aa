/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of reservations: each takes the next stretch of time that its bytes need at the rate, and
 * waits for its beginning. What was not used in the last BURST_US may be taken at once, so that
 * small work waits for nothing.
 */
#include "os/throttle.h"

#include <stdlib.h>

#include "base/arena.h"
#include "os/clock.h"
#include "os/thread.h"

enum { BURST_US = 250 * 1000, ASK_US = 50 * 1000 };
static const uint64_t us_per_s = 1000000;

struct Throttle {
    uint64_t bytes_per_s;
    Mutex lock;
    Cond lifted;
    /* guarded by lock */
    int64_t free_at_us; /* monotonic: when all reservations are used up */
    bool is_lifted;
};

Throttle *throttle_new(uint64_t bytes_per_s)
{
    Throttle *throttle = x_new(Throttle);
    throttle->bytes_per_s = bytes_per_s;
    mutex_init(&throttle->lock);
    cond_init(&throttle->lifted);
    return throttle;
}

void throttle_free(Throttle *throttle)
{
    if (!throttle)
        return;
    cond_done(&throttle->lifted);
    mutex_done(&throttle->lock);
    free(throttle);
}

static int64_t time_of(const Throttle *throttle, uint64_t bytes)
{
    return (int64_t)((double)bytes * (double)us_per_s / (double)throttle->bytes_per_s);
}

int64_t throttle_reserve(Throttle *throttle, uint64_t bytes, int64_t now_us)
{
    if (!throttle || throttle->bytes_per_s == 0)
        return 0;
    MUTEX_SCOPE(&throttle->lock);
    if (throttle->is_lifted)
        return 0;
    if (throttle->free_at_us < now_us - BURST_US)
        throttle->free_at_us = now_us - BURST_US;
    int64_t wait_us = throttle->free_at_us - now_us;
    throttle->free_at_us += time_of(throttle, bytes);
    return wait_us > 0 ? wait_us : 0;
}

/* Whether the wait is over: it is due, or nobody waits any more. */
static bool wait_a_while(Throttle *throttle, int64_t due_us)
{
    int64_t now_us = clock_monotonic_us();
    MUTEX_SCOPE(&throttle->lock);
    if (throttle->is_lifted || now_us >= due_us)
        return true;
    int64_t until_us = due_us - now_us > ASK_US ? now_us + ASK_US : due_us;
    (void)cond_wait_until(&throttle->lifted, &throttle->lock, until_us);
    return throttle->is_lifted;
}

static void give_back(Throttle *throttle, uint64_t bytes)
{
    MUTEX_SCOPE(&throttle->lock);
    throttle->free_at_us -= time_of(throttle, bytes);
}

bool throttle_take(Throttle *throttle, uint64_t bytes, bool (*is_stopped)(void *context),
                   void *context)
{
    int64_t now_us = clock_monotonic_us();
    int64_t due_us = now_us + throttle_reserve(throttle, bytes, now_us);
    if (due_us == now_us)
        return true;
    while (!wait_a_while(throttle, due_us)) {
        if (is_stopped && is_stopped(context)) {
            give_back(throttle, bytes);
            return false;
        }
    }
    return true;
}

void throttle_lift(Throttle *throttle)
{
    MUTEX_SCOPE(&throttle->lock);
    throttle->is_lifted = true;
    cond_broadcast(&throttle->lifted);
}

void throttle_restore(Throttle *throttle)
{
    MUTEX_SCOPE(&throttle->lock);
    if (throttle->is_lifted)
        throttle->free_at_us = 0;
    throttle->is_lifted = false;
}
