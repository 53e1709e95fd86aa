/* SPDX-License-Identifier: Apache-2.0
 *
 * Times in nanoseconds, kept whole and sorted at the end, so that percentiles are exact. For one
 * thread.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct Stats {
    uint64_t *times_ns;
    size_t count, capacity;
    uint64_t spent_ns; /* wall time of the slices these were measured in */
} Stats;

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void stats_add(Stats *s, uint64_t time_ns)
{
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 4096;
        s->times_ns = realloc(s->times_ns, s->capacity * sizeof *s->times_ns);
        if (!s->times_ns)
            abort();
    }
    s->times_ns[s->count++] = time_ns;
}

static inline int stats__compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The time below which `percent` of them lie, in milliseconds. Sorts. */
static inline double stats_percentile_ms(Stats *s, double percent)
{
    if (s->count == 0)
        return 0;
    qsort(s->times_ns, s->count, sizeof *s->times_ns, stats__compare);
    size_t at = (size_t)((double)(s->count - 1) * percent / 100.0);
    return (double)s->times_ns[at] / 1e6;
}

static inline double stats_per_second(const Stats *s)
{
    return s->spent_ns ? (double)s->count * 1e9 / (double)s->spent_ns : 0;
}

static inline void stats_print(const char *name, Stats *s)
{
    printf("%-44s %9.3f %9.3f %11.0f", name, stats_percentile_ms(s, 50), stats_percentile_ms(s, 99),
           stats_per_second(s));
}
