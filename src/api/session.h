/* SPDX-License-Identifier: Apache-2.0
 *
 * From a bearer token to a Session: signature and claims (auth/), then the user as stored: alive,
 * with the role and the credentials the token says. Verified tokens are cached until their user
 * changes.
 */
#pragma once

#include "api/api.h"
#include "auth/token.h"

SessionCache *session_cache_new(const char *secret);
void session_cache_free(SessionCache *cache); /* accepts NULL */
/* The user's tokens are verified anew from now on. Any thread. */
void session_cache_forget(SessionCache *cache, Slice user_id);
/* What tokens are signed with. */
const TokenKey *session_key(const SessionCache *cache);

/* The session of an access token; its texts live in the arena. E_INVALID_CREDENTIALS,
 * E_TOKEN_EXPIRED; with HOT_CACHED_ONLY also E_WOULD_BLOCK: ask again on a worker. Any thread. */
CHECKED Code session_of_token(ApiContext *context, Slice token, HotRead mode, Arena *arena,
                              Session *out, int64_t *out_expires_at_us, Error *e);
/* The user that verified claims speak of: alive, of that role and with those credentials, else
 * E_INVALID_CREDENTIALS. */
CHECKED Code session_user_of_claims(ApiContext *context, const TokenClaims *claims, HotRead mode,
                                    Arena *arena, User *out, Error *e);

/* E_INVALID_CREDENTIALS once the session's user was dropped, or has another role or password than
 * when its token was verified. Worker thread. */
CHECKED Code session_check(ApiContext *context, const Session *session, Arena *arena, Error *e);
/* The token of an Authorization header, borrowed from the request. E_MISSING_AUTHORIZATION without
 * one, E_INVALID_CREDENTIALS for another scheme. */
CHECKED Code session_bearer(const HttpRequest *request, Slice *out_token, Error *e);
