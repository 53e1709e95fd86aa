/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes a second that several threads share: who wants more waits. For background work, which has
 * time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Throttle Throttle;

Throttle *throttle_new(uint64_t bytes_per_s); /* 0 = no limit */
void throttle_free(Throttle *throttle);       /* accepts NULL */
/* Takes that many bytes, and sleeps until they are due. False when is_stopped (may be NULL; asked
 * some times a second, without locks) said so before: then they are given back. Any thread that may
 * block; NULL limits nothing. */
bool throttle_take(Throttle *throttle, uint64_t bytes, bool (*is_stopped)(void *context),
                   void *context);
/* From now on nobody waits: the server stops, and what is begun shall end. Any thread. */
void throttle_lift(Throttle *throttle);
/* The limit holds again; what was taken meanwhile does not count. */
void throttle_restore(Throttle *throttle);
/* The same without sleeping: how long to wait, from now_us on, before that many bytes. For
 * throttle_take and tests. */
int64_t throttle_reserve(Throttle *throttle, uint64_t bytes, int64_t now_us);
