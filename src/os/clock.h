/* SPDX-License-Identifier: Apache-2.0
 *
 * Time, in microseconds. Code that decides by time asks here and not the system, so that a test can
 * give it any time. Thread-safe.
 */
#pragma once

#include <stdint.h>

/* Since 1970-01-01 UTC. May step backwards: never use it to measure how long something took. */
int64_t clock_wall_us(void);
/* Since some moment before the process started; never runs backwards. */
int64_t clock_monotonic_us(void);
static inline int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}
static inline int64_t clock_monotonic_ms(void)
{
    return clock_monotonic_us() / 1000;
}

typedef int64_t ClockFunction(void);
/* For tests: answers from now on; NULL is the real clock. Borrows the functions for ever. */
void clock_replace(ClockFunction *wall_us, ClockFunction *monotonic_us);
