/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "os/clock.h"
#include "os/random.h"
#include "test.h"

static int64_t long_ago(void)
{
    return 1234567;
}

TEST("time can be replaced and restored")
{
    clock_replace(long_ago, long_ago);
    CHECK_INT(clock_wall_us(), 1234567);
    CHECK_INT(clock_monotonic_ms(), 1234);
    clock_replace(NULL, NULL);
    CHECK(clock_wall_ms() > 1700000000000);
    int64_t before = clock_monotonic_us();
    CHECK(clock_monotonic_us() >= before);
}

TEST("random bytes differ, and with a seed they repeat at any size")
{
    unsigned char a[1000] = {0}, b[1000] = {0};
    random_bytes(a, sizeof a);
    random_bytes(b, sizeof b);
    CHECK(memcmp(a, b, sizeof a) != 0);
    CHECK(random_u64() != random_u64());
    random_replace(7);
    random_bytes(a, 13);
    uint64_t after = random_u64();
    random_replace(7);
    random_bytes(b, 13);
    CHECK(memcmp(a, b, 13) == 0);
    CHECK(random_u64() == after);
    random_restore();
}
