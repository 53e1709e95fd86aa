/* SPDX-License-Identifier: Apache-2.0
 *
 * getrandom(2) blocks only until the kernel's generator is seeded, early at boot.
 */
#include "os/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

#include "base/error.h"

static atomic_bool replaced;
static uint64_t state;

static uint64_t next_replaced(void)
{
    state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void random_bytes(void *out_bytes, size_t size)
{
    unsigned char *at = out_bytes;
    while (size > 0) {
        size_t piece = size < 256 ? size : 256;
        if (atomic_load(&replaced)) {
            piece = piece < 8 ? piece : 8;
            uint64_t v = next_replaced();
            memcpy(at, &v, piece);
        } else {
            ssize_t got = getrandom(at, piece, 0);
            if (got < 0 && errno == EINTR)
                continue;
            must(got > 0);
            piece = (size_t)got;
        }
        at += piece;
        size -= piece;
    }
}

uint64_t random_u64(void)
{
    uint64_t v;
    random_bytes(&v, sizeof v);
    return v;
}

void random_replace(uint64_t seed)
{
    state = seed;
    atomic_store(&replaced, true);
}

void random_restore(void)
{
    atomic_store(&replaced, false);
}
