/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes a second that several threads share: who wants more waits. For background work, which has
 * time.
 */
#pragma once

#include <stdint.h>

typedef struct Throttle Throttle;

Throttle *throttle_new(uint64_t bytes_per_s); /* 0 = no limit */
void throttle_free(Throttle *throttle);       /* accepts NULL */
/* Takes that many bytes, and sleeps until they are due. Any thread that may block; NULL limits
 * nothing. */
void throttle_take(Throttle *throttle, uint64_t bytes);
/* The same without sleeping: how long to wait, from now_us on, before that many bytes. For
 * throttle_take and tests. */
int64_t throttle_reserve(Throttle *throttle, uint64_t bytes, int64_t now_us);
