/* SPDX-License-Identifier: Apache-2.0 */
#include "table/intent.h"

#include "test.h"

enum { MANY = 20000, BYTES_EACH_MAX = 8 * (int)sizeof(uint64_t) };

TEST("an intent whose memory grows with the square of its guards")
{
    Intent *intent = intent_new(1);
    for (uint64_t i = 0; i < MANY; i++)
        intent_add_guard(intent, i * 3);
    CHECK_INT(intent->guard_count, MANY);
    for (uint64_t i = 0; i < MANY; i++)
        CHECK_INT(intent->guards[i], i * 3);
    CHECK(arena_bytes(intent->arena) < MANY * BYTES_EACH_MAX);
    intent_unref(intent);
}
