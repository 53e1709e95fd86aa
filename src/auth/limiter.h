/* SPDX-License-Identifier: Apache-2.0
 *
 * Token buckets by key (an address, a user) in bounded memory, for logins and the like.
 * Thread-safe.
 */
#pragma once

#include "base/slice.h"

typedef struct Limiter Limiter;

/* `per_second` in the long run, up to `burst` (at least 1) at once, for about `keys_max` keys at
 * a time. With per_second 0 there is no limit and burst means nothing. When more keys are in use
 * than fit, the one closest to its full burst is forgotten. */
Limiter *limiter_new(uint32_t per_second, uint32_t burst, size_t keys_max);
void limiter_free(Limiter *limiter); /* accepts NULL */

/* Takes one token; false when there is none: answer E_RATE_LIMITED. */
bool limiter_take(Limiter *limiter, Slice key);

/* The key of a numeric address: IPv4 whole (also when written as IPv6), IPv6 by its /64, because
 * one subscriber owns all of that. Anything else is its own key. Borrows `address` or `buffer`. */
Slice limiter_address_key(Slice address, char buffer[16]);
