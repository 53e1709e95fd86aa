/* SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets on a fake clock.
 */
#include "auth/limiter.h"

#include <stdio.h>

#include "os/clock.h"
#include "test.h"

static int64_t now_us;

static int64_t fake_clock(void)
{
    return now_us;
}

static Limiter *begin(uint32_t per_second, uint32_t burst, size_t keys_max)
{
    now_us = 5000000;
    clock_replace(fake_clock, fake_clock);
    return limiter_new(per_second, burst, keys_max);
}

static void end(Limiter *limiter)
{
    limiter_free(limiter);
    clock_replace(NULL, NULL);
}

static int take_all(Limiter *limiter, Slice key)
{
    int taken = 0;
    while (taken < 1000 && limiter_take(limiter, key))
        taken++;
    return taken;
}

TEST("a bucket gives more than its burst, or does not grow again at its rate")
{
    Limiter *limiter = begin(20, 5, 100);
    CHECK_INT(take_all(limiter, SLICE("a")), 5);
    now_us += 49999;
    CHECK(!limiter_take(limiter, SLICE("a")));
    now_us += 1;
    CHECK_INT(take_all(limiter, SLICE("a")), 1);
    now_us += 100000;
    CHECK_INT(take_all(limiter, SLICE("a")), 2);
    now_us += 3600 * INT64_C(1000000);
    CHECK_INT(take_all(limiter, SLICE("a")), 5);
    end(limiter);
}

TEST("one key's requests are counted against another's")
{
    Limiter *limiter = begin(1, 3, 100);
    CHECK_INT(take_all(limiter, SLICE("a")), 3);
    CHECK_INT(take_all(limiter, SLICE("b")), 3);
    CHECK(!limiter_take(limiter, SLICE("a")));
    end(limiter);
}

TEST("refused requests push the end of the wait away")
{
    Limiter *limiter = begin(1, 1, 100);
    CHECK(limiter_take(limiter, SLICE("a")));
    for (int i = 0; i < 100; i++)
        CHECK(!limiter_take(limiter, SLICE("a")));
    now_us += 1000000;
    CHECK(limiter_take(limiter, SLICE("a")));
    end(limiter);
}

TEST("a rate of 0 limits")
{
    Limiter *limiter = begin(0, 0, 1);
    CHECK_INT(take_all(limiter, SLICE("a")), 1000);
    end(limiter);
}

TEST("more keys than fit free a key that has used up its burst before idle ones")
{
    Limiter *limiter = begin(1, 10, 8);
    CHECK_INT(take_all(limiter, SLICE("busy")), 10);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        CHECK(limiter_take(limiter, slice_of_text(key)));
    }
    CHECK(!limiter_take(limiter, SLICE("busy")));
    end(limiter);
}

TEST("one IPv6 subscriber is many, or an IPv4 address has two keys")
{
    char a[16], b[16];
    CHECK_SLICE(limiter_address_key(SLICE("192.0.2.1"), a), SLICE("\xc0\x00\x02\x01"));
    CHECK_SLICE(limiter_address_key(SLICE("::ffff:192.0.2.1"), a), SLICE("\xc0\x00\x02\x01"));
    CHECK_SLICE(limiter_address_key(SLICE("2001:db8:1:2::1"), a),
                limiter_address_key(SLICE("2001:db8:1:2:ffff::9"), b));
    CHECK(!slice_equal(limiter_address_key(SLICE("2001:db8:1:2::1"), a),
                       limiter_address_key(SLICE("2001:db8:1:3::1"), b)));
    CHECK_SLICE(limiter_address_key(SLICE("not an address"), a), SLICE("not an address"));
    CHECK_SLICE(limiter_address_key(SLICE(""), a), SLICE(""));
}
