/* SPDX-License-Identifier: Apache-2.0 */
#include "table/seq.h"

#include "../test.h"

TEST("a clock that steps back and makes the sequence repeat")
{
    SeqGenerator g;
    seq_init(&g, 3, 0);
    int64_t now = 1750000000000000;
    uint64_t last = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t next = seq_next(&g, now - i * 1000);
        CHECK(next > last);
        CHECK_INT((next >> SEQ_COUNTER_BITS) & 1023, 3);
        last = next;
    }
    /* 20,000 numbers in one millisecond borrow four further ones. */
    CHECK_INT(seq_time_us(last) / 1000 - now / 1000, 4);
}

TEST("a start whose first number lies at or below the ceiling, whatever node wrote it")
{
    for (uint32_t node = 0; node < 1024; node += 341) {
        for (uint64_t low = 0; low < 1 << 22; low += 99991) {
            SeqGenerator g;
            uint64_t ceiling = (uint64_t)80000000000 << 22 | low;
            seq_init(&g, node, ceiling);
            CHECK(seq_next(&g, 0) > ceiling);
        }
    }
}

TEST("a moment whose seq is above a version made in it")
{
    SeqGenerator g;
    seq_init(&g, 0, 0);
    int64_t now = 1750000000123456;
    uint64_t seq = seq_next(&g, now);
    CHECK(seq >= seq_at(now));
    CHECK(seq_time_us(seq) <= now);
    CHECK(now - seq_time_us(seq) < 1000);
}
