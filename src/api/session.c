/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens to sessions, through the cache of verified tokens.
 *
 * I1. What is cached was found under a generation read before the user's record was: a change of
 *     the user that commits meanwhile voids it (auth/token_cache.h).
 */
#include "api/session.h"

#include <stdlib.h>

#include "auth/token.h"
#include "auth/token_cache.h"

enum { CACHED_TOKENS = 16 * 1024 };

struct SessionCache {
    TokenCache *tokens;
    TokenKey *key;
};

SessionCache *session_cache_new(const char *secret)
{
    SessionCache *cache = x_new(SessionCache);
    cache->tokens = token_cache_new(CACHED_TOKENS);
    cache->key = token_key_new(slice_of_text(secret));
    return cache;
}

void session_cache_free(SessionCache *cache)
{
    if (!cache)
        return;
    token_cache_free(cache->tokens);
    token_key_free(cache->key);
    free(cache);
}

void session_cache_forget(SessionCache *cache, Slice user_id)
{
    token_cache_forget_user(cache->tokens, user_id);
}

const TokenKey *session_key(const SessionCache *cache)
{
    return cache->key;
}

Code session_bearer(const HttpRequest *request, Slice *out_token, Error *e)
{
    Slice header;
    if (!http_header(request, "authorization", &header))
        return fail(e, E_MISSING_AUTHORIZATION, "Authentication required");
    static const Slice scheme = {"bearer ", 7};
    if (header.size <= scheme.size ||
        !slice_equal_ignoring_case(slice_of(header.data, scheme.size), scheme))
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    *out_token = slice_of(header.data + scheme.size, header.size - scheme.size);
    return OK;
}

/* A token that does not name them is one of another program that has the secret: it must be younger
 * than they are. Its time is in seconds, so one of that very second is refused. */
static bool has_credentials(const User *user, const TokenClaims *claims)
{
    if (claims->credentials_at_us == TOKEN_CREDENTIALS_UNTOLD)
        return claims->issued_at_s * 1000000 >= user->credentials_at_us;
    return claims->credentials_at_us == user->credentials_at_us;
}

Code session_user_of_claims(ApiContext *context, const TokenClaims *claims, HotRead mode,
                            Arena *arena, User *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(context->db));
    Code code = catalog_get_user(snapshot, mode, claims->user_id, arena, out, e);
    hot_snapshot_free(snapshot);
    if (code == E_NOT_FOUND)
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    if (code != OK)
        return code;
    if (out->deleted_at_us || !out->registered || out->role != claims->role ||
        !has_credentials(out, claims))
        return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
    return OK;
}

Code session_check(ApiContext *context, const Session *session, Arena *arena, Error *e)
{
    User user;
    TokenClaims claims = {.user_id = session->user_id,
                          .role = session->role,
                          .credentials_at_us = session->credentials_at_us};
    return session_user_of_claims(context, &claims, HOT_BLOCKING, arena, &user, e);
}

static Code verify(ApiContext *context, Slice token, HotRead mode, Arena *arena, CachedToken *out,
                   Error *e)
{
    TokenClaims claims;
    User user;
    TRY(token_verify(context->sessions->key, token, TOKEN_ACCESS, arena, &claims, e));
    uint64_t generation =
        token_cache_generation(context->sessions->tokens, claims.user_id); /* I1 */
    TRY(session_user_of_claims(context, &claims, mode, arena, &user, e));
    *out = (CachedToken){.user = user.id,
                         .user_id = user.user_id,
                         .role = user.role,
                         .expires_at_s = claims.expires_at_s,
                         .credentials_at_us = user.credentials_at_us};
    token_cache_put(context->sessions->tokens, token, out, generation);
    return OK;
}

Code session_of_token(ApiContext *context, Slice token, HotRead mode, Arena *arena, Session *out,
                      int64_t *out_expires_at_us, Error *e)
{
    CachedToken found;
    if (!token_cache_get(context->sessions->tokens, token, arena, &found))
        TRY(verify(context, token, mode, arena, &found, e));
    *out = (Session){
        .user = found.user,
        .user_id = found.user_id,
        .role = found.role,
        .namespace_name = SLICE("default"),
        .credentials_at_us = found.credentials_at_us,
    };
    *out_expires_at_us = found.expires_at_s * 1000000;
    return OK;
}
