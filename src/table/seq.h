/* SPDX-License-Identifier: Apache-2.0
 *
 * The one sequence: 41 bits of milliseconds since 2024-01-01, 10 of node, 12 of counter. Row
 * versions (`_seq`), commits, cursors and SNOWFLAKE_ID() all come from it, strictly increasing.
 *
 * I1. A number is never given out twice, neither after a restart nor when the clock steps back: the
 *     generator starts above the synced ceiling, and nothing above the ceiling is acknowledged.
 * I2. When 4,096 numbers of a millisecond are used up, the next millisecond is borrowed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SEQ_EPOCH_MS 1704067200000 /* 2024-01-01T00:00:00Z */
enum { SEQ_NODE_BITS = 10, SEQ_COUNTER_BITS = 12 };

typedef struct SeqGenerator {
    uint64_t node;
    _Atomic uint64_t last;    /* the last number given out */
    _Atomic uint64_t ceiling; /* synced: numbers up to here may be acknowledged */
} SeqGenerator;

/* Starts above `ceiling`, the highest number an earlier run can have given out. */
void seq_init(SeqGenerator *g, uint32_t node, uint64_t ceiling);
/* The next number; any thread. `now_us` is wall-clock time since 1970. */
uint64_t seq_next(SeqGenerator *g, int64_t now_us);
/* The lowest seq of a moment (for TTLs and windows): every version made at or after `at_us` is >=
 * it. */
uint64_t seq_at(int64_t at_us);
/* The moment of a seq in microseconds since 1970. */
int64_t seq_time_us(uint64_t seq);
