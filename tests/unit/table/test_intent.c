/* SPDX-License-Identifier: Apache-2.0 */
#include "table/intent.h"

#include "test.h"

enum { MANY = 20000, BYTES_EACH_MAX = 8 * (int)sizeof(RawWrite) };

TEST("an intent whose memory grows with the square of its writes")
{
    Intent *intent = intent_new(1);
    for (uint64_t i = 0; i < MANY; i++)
        intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, slice_of(&i, sizeof i), (Slice){0});
    CHECK_INT(intent->raw_count, MANY);
    for (uint64_t i = 0; i < MANY; i++)
        CHECK_SLICE(intent->raw[i].key, slice_of(&i, sizeof i));
    CHECK(arena_bytes(intent->arena) < MANY * BYTES_EACH_MAX);
    intent_unref(intent);
}
