/* SPDX-License-Identifier: Apache-2.0
 *
 * Issuing and verifying tokens.
 *
 * I1. The first thing done with a token is to compute HMAC-SHA256 over it and compare in constant
 *     time, whatever its header says. No header can therefore choose an algorithm or a key, and
 *     the JSON parser sees only what a holder of the secret has signed.
 * I2. The signature is compared as text: exactly one spelling of a token is valid.
 * I3. Then libjwt reads header and claims, and the header must name HS256 all the same.
 */
#include "auth/token.h"

#include <errno.h>
#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "base/limits.h"
#include "data/json.h"
#include "os/clock.h"

static const char issuer[] = "kalamdb";
static const char *const type_names[] = {[TOKEN_ACCESS] = "access", [TOKEN_REFRESH] = "refresh"};

enum { MAC_BYTES = 32, MAC_TEXT_BYTES = 43 };

struct TokenKey {
    size_t size;
    unsigned char secret[];
};

TokenKey *token_key_new(Slice secret)
{
    must(secret.size > 0);
    must(secret.size <= TOKEN_SECRET_BYTES_MAX);
    TokenKey *key = (TokenKey *)x_new_bytes(sizeof(TokenKey) + secret.size);
    key->size = secret.size;
    memcpy(key->secret, secret.data, secret.size);
    return key;
}

void token_key_free(TokenKey *key)
{
    if (!key)
        return;
    explicit_bzero(key->secret, key->size);
    free(key);
}

const char *token_secret_weakness(Slice secret)
{
    static const char *const known[] = {
        "CHANGE_ME_IN_PRODUCTION",
        "kalamdb-dev-secret-key-change-in-production",
        "your-secret-key-at-least-32-chars-change-me-in-production",
        "test",
        "secret",
        "password",
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (slice_equal(secret, slice_of_text(known[i])))
            return "is a well-known one";
    }
    if (secret.size < TOKEN_SECRET_BYTES_MIN)
        return "has fewer than 32 bytes";
    if (secret.size > TOKEN_SECRET_BYTES_MAX)
        return "has more than 4096 bytes";
    return NULL;
}

/* ---- Issuing ---- */

static void add_member(Buffer *json, const char *name, Slice value)
{
    json_add_name(json, name);
    json_add_string(json, value);
    buffer_add_char(json, ',');
}

static void add_claims(Buffer *json, const TokenClaims *claims)
{
    buffer_add_char(json, '{');
    add_member(json, "sub", claims->user_id);
    add_member(json, "iss", slice_of_text(issuer));
    if (claims->email.size)
        add_member(json, "email", claims->email);
    else
        buffer_add_text(json, "\"email\":null,");
    add_member(json, "role", slice_of_text(role_name(claims->role)));
    add_member(json, "token_type", slice_of_text(type_names[claims->type]));
    buffer_printf(json, "\"exp\":%lld,\"iat\":%lld,\"credentials_at\":%lld}",
                  (long long)claims->expires_at_s, (long long)claims->issued_at_s,
                  (long long)claims->credentials_at_us);
    buffer_add_char(json, 0);
}

static char *sign(const TokenKey *key, const TokenClaims *claims)
{
    CLEANUP(buffer_done) Buffer json = {0};
    add_claims(&json, claims);
    jwt_t *jwt = NULL;
    char *text = NULL;
    if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, json.data) == 0 &&
        jwt_set_alg(jwt, JWT_ALG_HS256, key->secret, (int)key->size) == 0)
        text = jwt_encode_str(jwt);
    jwt_free(jwt); /* accepts NULL */
    return text;
}

Code token_issue(const TokenKey *key, TokenClaims *io_claims, uint32_t life_s, Arena *arena,
                 Slice *out_token, Error *e)
{
    must(io_claims->user_id.size > 0);
    must(io_claims->user_id.size <= USER_ID_BYTES_MAX);
    must(io_claims->role != ROLE_ANONYMOUS);
    TokenClaims claims = *io_claims;
    claims.issued_at_s = clock_wall_us() / 1000000;
    claims.expires_at_s = claims.issued_at_s + life_s;
    char *text = sign(key, &claims);
    if (!text)
        return fail(e, E_INTERNAL, "The token could not be signed");
    size_t size = strlen(text);
    if (size <= TOKEN_BYTES_MAX) {
        *out_token = arena_copy(arena, slice_of(text, size));
        *io_claims = claims;
    }
    explicit_bzero(text, size);
    free(text);
    return size <= TOKEN_BYTES_MAX ? OK : fail(e, E_TOO_LARGE, "The token would be too large");
}

/* ---- Verifying ---- */

static Code refuse(Error *e)
{
    return fail(e, E_INVALID_CREDENTIALS, "Invalid credentials");
}

static bool is_token_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* Splits `head.claims.signature`; false unless it has that form. */
static bool split(Slice token, Slice *out_signed, Slice *out_signature)
{
    size_t dots = 0, last = 0;
    if (token.size == 0 || token.size > TOKEN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < token.size; i++) {
        if (token.data[i] == '.') {
            dots++;
            last = i;
        } else if (!is_token_character(token.data[i])) {
            return false;
        }
    }
    *out_signed = slice_of(token.data, last);
    *out_signature = slice_of(token.data + last + 1, token.size - last - 1);
    return dots == 2;
}

/* Base64url without padding of HMAC-SHA256 (RFC 7515). */
static void compute_mac(const TokenKey *key, Slice text, char out[MAC_TEXT_BYTES])
{
    unsigned char mac[MAC_BYTES], encoded[MAC_TEXT_BYTES + 2];
    unsigned size = 0;
    must(HMAC(EVP_sha256(), key->secret, (int)key->size, (const unsigned char *)text.data,
              text.size, mac, &size));
    must(size == MAC_BYTES);
    must(EVP_EncodeBlock(encoded, mac, MAC_BYTES) == MAC_TEXT_BYTES + 1); /* and one '=' */
    for (int i = 0; i < MAC_TEXT_BYTES; i++)
        out[i] = encoded[i] == '+' ? '-' : encoded[i] == '/' ? '_' : (char)encoded[i];
}

static bool signature_is_right(const TokenKey *key, Slice token) /* I1, I2 */
{
    Slice text, signature;
    char want[MAC_TEXT_BYTES];
    if (!split(token, &text, &signature) || signature.size != MAC_TEXT_BYTES)
        return false;
    compute_mac(key, text, want);
    return CRYPTO_memcmp(want, signature.data, MAC_TEXT_BYTES) == 0;
}

/* A claim that is a whole number, as the standard's dates are here; false when missing or anything
 * else. */
static bool take_date(jwt_t *jwt, const char *name, int64_t *out_s)
{
    errno = 0;
    long v = jwt_get_grant_int(jwt, name);
    if (errno != 0 || v <= 0 || v > INT64_MAX / 1000000)
        return false;
    *out_s = v;
    return true;
}

static bool has_claim(jwt_t *jwt, const char *name)
{
    char *json = jwt_get_grants_json(jwt, name);
    bool has = json != NULL;
    free(json);
    return has;
}

/* libjwt reads what is no whole number as 0. */
static bool take_credentials(jwt_t *jwt, int64_t *out_us)
{
    char *json = jwt_get_grants_json(jwt, "credentials_at");
    bool is_number = true;
    for (const char *c = json; c && *c; c++)
        is_number &= *c >= '0' && *c <= '9';
    *out_us = json ? jwt_get_grant_int(jwt, "credentials_at") : TOKEN_CREDENTIALS_UNTOLD;
    free(json);
    return is_number;
}

static bool has_header(jwt_t *jwt, const char *name)
{
    char *json = jwt_get_headers_json(jwt, name);
    bool has = json != NULL;
    free(json);
    return has;
}

static bool take_type(jwt_t *jwt, TokenType *out)
{
    const char *name = jwt_get_grant(jwt, "token_type");
    for (size_t i = 0; name && i < sizeof type_names / sizeof *type_names; i++) {
        if (strcmp(name, type_names[i]) == 0) {
            *out = (TokenType)i;
            return true;
        }
    }
    return false;
}

/* All but the comparison with the time. */
static bool take_claims(jwt_t *jwt, Arena *arena, TokenClaims *out)
{
    if (jwt_get_alg(jwt) != JWT_ALG_HS256 || has_header(jwt, "crit")) /* I3 */
        return false;
    const char *iss = jwt_get_grant(jwt, "iss"), *sub = jwt_get_grant(jwt, "sub");
    const char *role = jwt_get_grant(jwt, "role"), *email = jwt_get_grant(jwt, "email");
    if (!iss || strcmp(iss, issuer) != 0 || !sub || !role)
        return false;
    size_t sub_size = strlen(sub);
    if (sub_size == 0 || sub_size > USER_ID_BYTES_MAX)
        return false;
    if (!role_of_text(slice_of_text(role), &out->role) || out->role == ROLE_ANONYMOUS)
        return false;
    if (!take_type(jwt, &out->type) || !take_date(jwt, "exp", &out->expires_at_s) ||
        !take_date(jwt, "iat", &out->issued_at_s) ||
        !take_credentials(jwt, &out->credentials_at_us))
        return false;
    out->user_id = arena_copy(arena, slice_of(sub, sub_size));
    out->email = email ? arena_copy(arena, slice_of_text(email)) : (Slice){0};
    return true;
}

static bool not_yet_valid(jwt_t *jwt, const TokenClaims *claims, int64_t now_s)
{
    int64_t not_before_s = 0;
    if (has_claim(jwt, "nbf") && !take_date(jwt, "nbf", &not_before_s))
        return true;
    bool is_foreign = claims->credentials_at_us == TOKEN_CREDENTIALS_UNTOLD;
    int64_t ahead_s = is_foreign ? TOKEN_AHEAD_S : TOKEN_LEEWAY_S;
    return claims->issued_at_s > now_s + ahead_s || not_before_s > now_s + TOKEN_LEEWAY_S;
}

static Code judge(jwt_t *jwt, TokenType want, Arena *arena, TokenClaims *out, Error *e)
{
    int64_t now_s = clock_wall_us() / 1000000;
    TokenClaims claims = {0};
    if (!take_claims(jwt, arena, &claims) || not_yet_valid(jwt, &claims, now_s))
        return refuse(e);
    if (claims.type != want) {
        if (want == TOKEN_REFRESH)
            return fail(e, E_INVALID_CREDENTIALS, "Refresh endpoint requires a refresh token");
        return refuse(e);
    }
    if (claims.expires_at_s + TOKEN_LEEWAY_S < now_s)
        return fail(e, E_TOKEN_EXPIRED, "Invalid credentials");
    *out = claims;
    return OK;
}

Code token_verify(const TokenKey *key, Slice token, TokenType want, Arena *arena, TokenClaims *out,
                  Error *e)
{
    if (!signature_is_right(key, token))
        return refuse(e);
    char *text = x_text(token);
    jwt_t *jwt = NULL;
    int failed = jwt_decode(&jwt, text, key->secret, (int)key->size);
    explicit_bzero(text, token.size);
    free(text);
    Code code = failed ? refuse(e) : judge(jwt, want, arena, out, e);
    if (!failed)
        jwt_free(jwt);
    return code;
}
