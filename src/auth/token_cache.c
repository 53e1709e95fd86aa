/* SPDX-License-Identifier: Apache-2.0
 *
 * A set-associative table: the token's SHA-256 selects a set of a few entries, a new one replaces
 * the entry of the set that expires first. No token is kept, only its digest.
 *
 * I1. An entry answers only while its user's generation is the one it was put with.
 * I2. Generations are counters shared by all users of a hash value: forgetting one user may forget
 *     others, which costs them a verification; it never keeps one that should go.
 */
#include "auth/token_cache.h"

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/token.h"
#include "base/limits.h"
#include "os/clock.h"
#include "os/thread.h"

enum { WAYS = 4, LOCKS = 16, GENERATIONS = 4096, DIGEST_BYTES = 32 };

typedef struct Entry {
    unsigned char digest[DIGEST_BYTES];
    int64_t expires_at_s; /* 0 = empty */
    int64_t credentials_at_us;
    uint64_t user;
    uint64_t generation;
    uint32_t generation_index;
    uint8_t role;
    uint8_t user_id_size;
    char user_id[USER_ID_BYTES_MAX];
} Entry;

_Static_assert(USER_ID_BYTES_MAX <= UINT8_MAX, "user_id_size is a byte");

struct TokenCache {
    size_t set_count; /* a power of two */
    EVP_MD *sha256;
    atomic_uint_least64_t generations[GENERATIONS];
    Mutex locks[LOCKS]; /* rank: docs/locks.md, "token cache" */
    /* guarded by locks[set % LOCKS] */
    Entry *entries;
};

TokenCache *token_cache_new(size_t entries_max)
{
    must(entries_max > 0);
    must(entries_max <= TOKEN_CACHE_ENTRIES_MAX);
    TokenCache *cache = x_new(TokenCache);
    cache->set_count = 1;
    while (cache->set_count * WAYS < entries_max)
        cache->set_count *= 2;
    cache->entries = x_new_array(Entry, cache->set_count * WAYS);
    cache->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    must(cache->sha256);
    for (int i = 0; i < LOCKS; i++)
        mutex_init(&cache->locks[i]);
    return cache;
}

void token_cache_free(TokenCache *cache)
{
    if (!cache)
        return;
    for (int i = 0; i < LOCKS; i++)
        mutex_done(&cache->locks[i]);
    EVP_MD_free(cache->sha256);
    free(cache->entries);
    free(cache);
}

static uint32_t generation_index(Slice user_id)
{
    return (uint32_t)(slice_hash(user_id, 0) % GENERATIONS);
}

static uint64_t generation_at(TokenCache *cache, uint32_t index)
{
    /* Acquire: a reader that sees the new generation also sees the commit that came before it. */
    return atomic_load_explicit(&cache->generations[index], memory_order_acquire);
}

uint64_t token_cache_generation(TokenCache *cache, Slice user_id)
{
    return generation_at(cache, generation_index(user_id));
}

void token_cache_forget_user(TokenCache *cache, Slice user_id)
{
    /* Release: pairs with generation_at. */
    atomic_fetch_add_explicit(&cache->generations[generation_index(user_id)], 1,
                              memory_order_release);
}

typedef struct Place {
    unsigned char digest[DIGEST_BYTES];
    Entry *set; /* its WAYS entries */
    Mutex *lock;
} Place;

static Place find_place(TokenCache *cache, Slice token)
{
    Place place;
    uint64_t number;
    must(EVP_Digest(token.data, token.size, place.digest, NULL, cache->sha256, NULL) == 1);
    memcpy(&number, place.digest, sizeof number);
    size_t set = (size_t)number & (cache->set_count - 1);
    place.set = cache->entries + set * WAYS;
    place.lock = &cache->locks[set % LOCKS];
    return place;
}

static bool is_alive(TokenCache *cache, const Entry *entry, int64_t now_s)
{
    return entry->expires_at_s != 0 && entry->expires_at_s + TOKEN_LEEWAY_S >= now_s &&
           entry->generation == generation_at(cache, entry->generation_index); /* I1 */
}

bool token_cache_get(TokenCache *cache, Slice token, Arena *arena, CachedToken *out)
{
    if (token.size == 0 || token.size > TOKEN_BYTES_MAX)
        return false;
    Place place = find_place(cache, token);
    int64_t now_s = clock_wall_us() / 1000000;
    MUTEX_SCOPE(place.lock);
    for (int i = 0; i < WAYS; i++) {
        const Entry *entry = &place.set[i];
        if (memcmp(entry->digest, place.digest, DIGEST_BYTES) != 0)
            continue;
        if (!is_alive(cache, entry, now_s))
            return false;
        out->user = entry->user;
        out->user_id = arena_copy(arena, slice_of(entry->user_id, entry->user_id_size));
        out->role = (Role)entry->role;
        out->expires_at_s = entry->expires_at_s;
        out->credentials_at_us = entry->credentials_at_us;
        return true;
    }
    return false;
}

/* The entry of this token, else the one that is worth least. */
static Entry *choose(TokenCache *cache, const Place *place, int64_t now_s)
{
    Entry *worst = NULL;
    for (int i = 0; i < WAYS; i++) {
        Entry *entry = &place->set[i];
        if (memcmp(entry->digest, place->digest, DIGEST_BYTES) == 0)
            return entry;
        if (!is_alive(cache, entry, now_s))
            entry->expires_at_s = 0;
        if (!worst || entry->expires_at_s < worst->expires_at_s)
            worst = entry;
    }
    return worst;
}

void token_cache_put(TokenCache *cache, Slice token, const CachedToken *found, uint64_t generation)
{
    must(token.size > 0);
    must(found->user_id.size <= USER_ID_BYTES_MAX);
    must(found->expires_at_s > 0);
    Place place = find_place(cache, token);
    MUTEX_SCOPE(place.lock);
    Entry *entry = choose(cache, &place, clock_wall_us() / 1000000);
    memcpy(entry->digest, place.digest, DIGEST_BYTES);
    entry->expires_at_s = found->expires_at_s;
    entry->credentials_at_us = found->credentials_at_us;
    entry->user = found->user;
    entry->generation = generation;
    entry->generation_index = generation_index(found->user_id);
    entry->role = (uint8_t)found->role;
    entry->user_id_size = (uint8_t)found->user_id.size;
    if (found->user_id.size)
        memcpy(entry->user_id, found->user_id.data, found->user_id.size);
}
