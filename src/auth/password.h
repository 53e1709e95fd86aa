/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords: the rules for new ones, bcrypt hashes, checking.
 *
 * Hashing and checking take a quarter of a second at the default cost: on workers only. Copies made
 * here are wiped after use; wiping the caller's copy is the caller's. No error text holds a
 * password.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

enum {
    PASSWORD_CHARACTERS_MIN = 8,
    PASSWORD_BYTES_MAX = 72, /* bcrypt reads no more, so more would be cut silently */
    PASSWORD_COST_MIN = 4,
    PASSWORD_COST_MAX = 16, /* 4 seconds; also of stored hashes, which cost as much to check */
};

/* The rules for a new password: length, not a common one, and with `complex` one character of each
 * kind. E_WEAK_PASSWORD with the text that clients show. */
CHECKED Code password_check(Slice password, bool complex, Error *e);

/* A new bcrypt hash ("$2b$", 60 characters) in the arena. Asks only what bcrypt needs:
 * E_WEAK_PASSWORD for an empty password, one of more than PASSWORD_BYTES_MAX bytes or with a NUL.
 * The cost is brought into its limits. */
CHECKED Code password_hash(Slice password, uint32_t cost, Arena *arena, Slice *out_hash, Error *e);

/* True when the password belongs to the hash ($2a$, $2b$ or $2y$). Compares in constant time. With
 * no usable hash (an unknown user) it does the same work at `cost` and says false, so that the time
 * does not tell who exists. */
bool password_verify(Slice password, Slice hash, uint32_t cost);
