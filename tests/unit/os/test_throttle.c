/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes a second, on times of the test.
 */
#include "os/throttle.h"

#include "../test.h"
#include "os/clock.h"
#include "os/thread.h"

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

static bool third_time(void *context)
{
    return ++*(int *)context == 3;
}

TEST("a wait of hours that nobody can cut, or one that was cut and others wait for")
{
    Throttle *throttle = throttle_new(1000);
    int asked = 0;
    CHECK(throttle_take(throttle, 3600 * 1000, third_time, &asked));
    CHECK_INT(asked, 0);
    int64_t now_us = clock_monotonic_us();
    int64_t before_us = throttle_reserve(throttle, 0, now_us);
    CHECK(before_us > 3000 * second_us);
    CHECK(!throttle_take(throttle, 3600 * 1000, third_time, &asked));
    CHECK_INT(asked, 3);
    CHECK_INT(throttle_reserve(throttle, 0, now_us), before_us);
    throttle_free(throttle);
}

static void take_twice(void *context)
{
    (void)throttle_take((Throttle *)context, 3600 * 1000, NULL, NULL);
    (void)throttle_take((Throttle *)context, 3600 * 1000, NULL, NULL);
}

TEST("a stop that waits for hours until a flush may go on")
{
    Throttle *throttle = throttle_new(1000);
    Thread *thread;
    CHECK_OK(thread_start("taker", THREAD_ANY, take_twice, throttle, &thread, e));
    throttle_lift(throttle);
    thread_join(thread);
    throttle_free(throttle);
}

TEST(
    "a limit that is off for good once a server has stopped, or that counts what was taken without "
    "it")
{
    Throttle *throttle = throttle_new(1000 * 1000);
    int64_t now_us = 100 * second_us;
    CHECK_INT(throttle_reserve(throttle, 3600 * 1000, now_us), 0);
    throttle_lift(throttle);
    CHECK_INT(throttle_reserve(throttle, 3600 * 1000, now_us), 0);
    throttle_restore(throttle);
    CHECK_INT(throttle_reserve(throttle, 1000 * 1000, now_us), 0);
    int64_t wait_us = throttle_reserve(throttle, 1, now_us);
    CHECK(wait_us > 0 && wait_us <= second_us);
    throttle_restore(throttle); /* nothing is forgotten where it held */
    CHECK(throttle_reserve(throttle, 1, now_us) >= wait_us);
    throttle_free(throttle);
}
