/* SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens: JWT, HS256 and nothing else, signed with the server's secret.
 *
 * Neither an error text nor an Error's code tells more about a bad token than that it is bad or has
 * expired. The time comes from os/clock.h. Any thread.
 */
#pragma once

#include "catalog/catalog.h"

enum {
    TOKEN_LEEWAY_S = 60, /* clocks may differ by so much: of `exp`, `iat` and `nbf` */
    /* The same of `iat` where it decides whether a token is younger than a password: one that is
     * ahead survives a change of it that comes within this time. */
    TOKEN_AHEAD_S = 5,
    TOKEN_SECRET_BYTES_MIN = 32,
    TOKEN_SECRET_BYTES_MAX = 4096,
    TOKEN_CREDENTIALS_UNTOLD = -1, /* by another program that has the secret */
};

typedef enum TokenType { TOKEN_ACCESS, TOKEN_REFRESH } TokenType;

typedef struct TokenClaims {
    Slice user_id; /* sub */
    Slice email;   /* empty = null */
    Role role;
    TokenType type;
    int64_t issued_at_s, expires_at_s; /* since 1970 */
    int64_t credentials_at_us;         /* User.credentials_at_us when it was issued; or UNTOLD */
} TokenClaims;

typedef struct TokenKey TokenKey;

/* Copies the secret, which must not be empty; free wipes it. */
TokenKey *token_key_new(Slice secret);
void token_key_free(TokenKey *key); /* accepts NULL */

/* Why a secret is no good ("is a well-known one"), or NULL. What follows, server/ decides. */
const char *token_secret_weakness(Slice secret);

/* Signs a token that lives `life_s` from now; fills in the two times of the claims. The token is in
 * the arena. E_TOO_LARGE above TOKEN_BYTES_MAX. */
CHECKED Code token_issue(const TokenKey *key, TokenClaims *io_claims, uint32_t life_s, Arena *arena,
                         Slice *out_token, Error *e);

/* Checks signature, algorithm, issuer, times and type; the claims' texts are in the arena.
 * E_TOKEN_EXPIRED when that is all that is wrong, else E_INVALID_CREDENTIALS. Whether the user
 * exists and still has the role and the credentials is the caller's to check. */
CHECKED Code token_verify(const TokenKey *key, Slice token, TokenType want, Arena *arena,
                          TokenClaims *out, Error *e);
