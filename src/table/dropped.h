/* SPDX-License-Identifier: Apache-2.0
 *
 * The users that were dropped since the start, by number: the committer's memory of whom it refuses
 * (committer.c, I4). They are never forgotten while the server runs, since a statement from before
 * the drop may come back at any time after the erasure. Numbers are given out in turn, so a bit for
 * each is the limit: a million users dropped one after the other take 130 KB, and one among
 * thousands that stay takes 600 bytes.
 *
 * For one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct DroppedUsers DroppedUsers;

DroppedUsers *dropped_users_new(void);
void dropped_users_free(DroppedUsers *users); /* accepts NULL */
void dropped_users_set(DroppedUsers *users, uint64_t number, bool is_dropped);
bool dropped_users_has(const DroppedUsers *users, uint64_t number);
