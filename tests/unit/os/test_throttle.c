/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes a second, on times of the test.
 */
#include "os/throttle.h"

#include "../test.h"

static const int64_t second_us = 1000000;

TEST("more bytes a second than the limit, over any length of time")
{
    Throttle *throttle = throttle_new(1000 * 1000);
    int64_t now_us = 100 * second_us, start_us = now_us;
    for (int i = 0; i < 500; i++)
        now_us += throttle_reserve(throttle, 100 * 1000, now_us); /* 50 MB at 1 MB/s */
    CHECK(now_us - start_us >= 49 * second_us);
    CHECK(now_us - start_us <= 50 * second_us);
    throttle_free(throttle);
}

TEST("bytes that were saved up over an hour, taken in one burst")
{
    Throttle *throttle = throttle_new(1000 * 1000);
    int64_t now_us = 3600 * second_us;
    CHECK_INT(throttle_reserve(throttle, 100 * 1000, now_us), 0);
    CHECK_INT(throttle_reserve(throttle, 1000 * 1000, now_us), 0);
    CHECK(throttle_reserve(throttle, 1, now_us) > second_us / 2);
    throttle_free(throttle);
}

TEST("a limit where none was set")
{
    Throttle *throttle = throttle_new(0);
    CHECK_INT(throttle_reserve(throttle, UINT64_C(1) << 50, 1), 0);
    CHECK_INT(throttle_reserve(throttle, 1, 1), 0);
    CHECK_INT(throttle_reserve(NULL, 1, 1), 0);
    throttle_free(throttle);
}
