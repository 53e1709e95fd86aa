/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions are read with relaxed order: a test sets them before it starts threads.
 */
#include "os/clock.h"

#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static _Atomic(ClockFunction *) wall_replacement, monotonic_replacement;

static int64_t now_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_wall_us(void)
{
    ClockFunction *f = atomic_load_explicit(&wall_replacement, memory_order_relaxed);
    return f ? f() : now_us(CLOCK_REALTIME);
}

int64_t clock_monotonic_us(void)
{
    ClockFunction *f = atomic_load_explicit(&monotonic_replacement, memory_order_relaxed);
    return f ? f() : now_us(CLOCK_MONOTONIC);
}

void clock_replace(ClockFunction *wall_us, ClockFunction *monotonic_us)
{
    atomic_store_explicit(&wall_replacement, wall_us, memory_order_relaxed);
    atomic_store_explicit(&monotonic_replacement, monotonic_us, memory_order_relaxed);
}
