/* SPDX-License-Identifier: Apache-2.0
 *
 * Access tokens that were verified, with the user they were found to belong to, so that a request
 * costs one SHA-256 instead of a signature, a JSON parse and a user record. Bounded; thread-safe.
 *
 * A change of a user's role, password or life must end what is cached, also when a request that
 * read the user before the change puts its finding after it. Therefore:
 *
 *     reader: generation = token_cache_generation(…); take a snapshot; verify; read the user;
 *             token_cache_put(…, generation)
 *     writer: commit the user's record; token_cache_forget_user(…)
 */
#pragma once

#include "catalog/catalog.h"

typedef struct CachedToken {
    uint64_t user; /* numeric id */
    Slice user_id; /* at most USER_ID_BYTES_MAX */
    Role role;
    int64_t expires_at_s; /* the claim; TOKEN_LEEWAY_S is added here as in token_verify */
    int64_t credentials_at_us;
} CachedToken;

typedef struct TokenCache TokenCache;

/* Room for about `entries_max` tokens (rounded up to a power of two); memory is touched as it
 * fills. */
TokenCache *token_cache_new(size_t entries_max);
void token_cache_free(TokenCache *cache); /* accepts NULL */

/* False when it is not there, has expired or its user was forgotten since. user_id is copied to the
 * arena. */
bool token_cache_get(TokenCache *cache, Slice token, Arena *arena, CachedToken *out);
uint64_t token_cache_generation(TokenCache *cache, Slice user_id);
/* Keeps an access token under the generation asked for before the user was read. May push out
 * another. */
void token_cache_put(TokenCache *cache, Slice token, const CachedToken *found, uint64_t generation);
/* Everything cached for the user is void, now and for puts that are under way. */
void token_cache_forget_user(TokenCache *cache, Slice user_id);
