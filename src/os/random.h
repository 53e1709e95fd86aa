/* SPDX-License-Identifier: Apache-2.0
 *
 * Unpredictable bytes from the kernel, for secrets, tokens and ids. Thread-safe. A test may replace
 * them by a seeded sequence.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Fills; aborts if the kernel has no randomness, because to go on would make guessable secrets. */
void random_bytes(void *out_bytes, size_t size);
uint64_t random_u64(void);

/* For tests: a sequence that the seed determines, until random_restore. Not for threads. */
void random_replace(uint64_t seed);
void random_restore(void);
