/* SPDX-License-Identifier: Apache-2.0
 *
 * A bucket is one number: the time at which it will be full again ("generic cell rate algorithm").
 * Taking a token moves that time by 1/rate; it is refused when that would be further away than a
 * burst. A full bucket says nothing, so that an entry whose time has passed is as good as empty.
 *
 * Keys are kept as a 64-bit hash with a random seed: nobody outside can aim at another's bucket.
 */
#include "auth/limiter.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "os/clock.h"
#include "os/random.h"
#include "os/thread.h"

enum { WAYS = 8, LOCKS = 16 };

typedef struct Bucket {
    uint64_t hash;
    int64_t full_at_ns;
} Bucket;

struct Limiter {
    int64_t interval_ns;  /* time that one token takes to grow; 0 = no limit */
    int64_t tolerance_ns; /* a bucket may be this far from full and still give a token */
    uint64_t seed;
    size_t set_count;   /* a power of two */
    Mutex locks[LOCKS]; /* rank: docs/locks.md, "limiter" */
    /* guarded by locks[set % LOCKS] */
    Bucket *buckets;
};

Limiter *limiter_new(uint32_t per_second, uint32_t burst, size_t keys_max)
{
    must(burst > 0 || per_second == 0);
    must(keys_max > 0);
    must(keys_max <= LIMITER_KEYS_MAX);
    Limiter *limiter = x_new(Limiter);
    limiter->interval_ns = per_second ? 1000000000 / (int64_t)per_second : 0;
    limiter->tolerance_ns = limiter->interval_ns * (int64_t)(burst - 1);
    limiter->seed = random_u64();
    limiter->set_count = 1;
    while (limiter->set_count * WAYS < keys_max)
        limiter->set_count *= 2;
    limiter->buckets = x_new_array(Bucket, limiter->set_count * WAYS);
    for (int i = 0; i < LOCKS; i++)
        mutex_init(&limiter->locks[i]);
    return limiter;
}

void limiter_free(Limiter *limiter)
{
    if (!limiter)
        return;
    for (int i = 0; i < LOCKS; i++)
        mutex_done(&limiter->locks[i]);
    free(limiter->buckets);
    free(limiter);
}

/* The key's bucket, else the one closest to full, taken over. */
static Bucket *find_bucket(Bucket *set, uint64_t hash)
{
    Bucket *fullest = &set[0];
    for (int i = 0; i < WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].full_at_ns < fullest->full_at_ns)
            fullest = &set[i];
    }
    *fullest = (Bucket){.hash = hash};
    return fullest;
}

bool limiter_take(Limiter *limiter, Slice key)
{
    if (limiter->interval_ns == 0)
        return true;
    uint64_t hash = slice_hash(key, limiter->seed);
    size_t set = (size_t)(hash >> 8) & (limiter->set_count - 1);
    int64_t now_ns = clock_monotonic_us() * 1000;
    MUTEX_SCOPE(&limiter->locks[set % LOCKS]);
    Bucket *bucket = find_bucket(limiter->buckets + set * WAYS, hash);
    int64_t full_at_ns = bucket->full_at_ns > now_ns ? bucket->full_at_ns : now_ns;
    if (full_at_ns - now_ns > limiter->tolerance_ns)
        return false;
    bucket->full_at_ns = full_at_ns + limiter->interval_ns;
    return true;
}

Slice limiter_address_key(Slice address, char buffer[16])
{
    static const char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '\xff', '\xff'};
    char text[INET6_ADDRSTRLEN];
    if (address.size >= sizeof text)
        return address;
    if (address.size)
        memcpy(text, address.data, address.size);
    text[address.size] = 0;
    if (inet_pton(AF_INET, text, buffer) == 1)
        return slice_of(buffer, 4);
    if (inet_pton(AF_INET6, text, buffer) != 1)
        return address;
    if (memcmp(buffer, mapped, sizeof mapped) == 0)
        return slice_of(buffer + 12, 4);
    return slice_of(buffer, 8);
}
