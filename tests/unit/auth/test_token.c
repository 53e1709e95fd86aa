/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens: what is issued verifies, and every known way to forge or misuse one is refused. Time is
 * fake.
 */
#include "auth/token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/limits.h"
#include "os/clock.h"
#include "test.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_S 2000000000
#define GOOD_HEADER "{\"typ\":\"JWT\",\"alg\":\"HS256\"}"
#define CLAIMS(sub, iss, exp, iat, role, type)                      \
    "{\"sub\":" sub ",\"iss\":" iss ",\"exp\":" exp ",\"iat\":" iat \
    ",\"email\":null,\"role\":" role ",\"token_type\":" type "}"
#define GOOD_CLAIMS \
    CLAIMS("\"alice\"", "\"kalamdb\"", "2000086400", "2000000000", "\"user\"", "\"access\"")

static int64_t now_us;
static TokenKey *key;
static Arena *arena;

static int64_t fake_clock(void)
{
    return now_us;
}

static void begin(void)
{
    now_us = NOW_S * INT64_C(1000000);
    clock_replace(fake_clock, fake_clock);
    key = token_key_new(SLICE(SECRET));
    arena = arena_new();
}

static void end(void)
{
    token_key_free(key);
    arena_free(arena);
    clock_replace(NULL, NULL);
}

static void add_base64url(Buffer *out, const void *data, size_t size)
{
    unsigned char text[8192];
    CHECK(size < 6000);
    int n = EVP_EncodeBlock(text, data, (int)size);
    for (int i = 0; i < n && text[i] != '='; i++)
        buffer_add_char(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
}

/* A token of any header and claims, signed as asked; an unknown digest name gives an empty
 * signature. */
static Slice forge(const char *header, const char *claims, const char *secret, const char *digest)
{
    Buffer token = {0};
    add_base64url(&token, header, strlen(header));
    buffer_add_char(&token, '.');
    add_base64url(&token, claims, strlen(claims));
    const EVP_MD *md = EVP_get_digestbyname(digest);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (md)
        CHECK(HMAC(md, secret, (int)strlen(secret), (const unsigned char *)token.data, token.size,
                   mac, &size));
    buffer_add_char(&token, '.');
    add_base64url(&token, mac, size);
    Slice copy = arena_copy(arena, buffer_slice(&token));
    buffer_done(&token);
    return copy;
}

static Slice issue(TokenType type, uint32_t life_s)
{
    TokenClaims claims = {.user_id = SLICE("alice"), .role = ROLE_USER, .type = type};
    Slice token = {0};
    CHECK_OK(token_issue(key, &claims, life_s, arena, &token, e));
    return token;
}

static Code verify(Slice token, TokenType want)
{
    TokenClaims got;
    Error e = {0};
    Code code = token_verify(key, token, want, arena, &got, &e);
    if (code == E_INVALID_CREDENTIALS && want == TOKEN_ACCESS)
        CHECK_TEXT(e.text, "Invalid credentials"); /* and nothing about why */
    return code;
}

TEST("what was issued does not verify, or its claims change on the way")
{
    begin();
    TokenClaims claims = {.user_id = SLICE("A \"quoted\" \xc3\xa9"),
                          .email = SLICE("a@example.org"),
                          .role = ROLE_DBA,
                          .type = TOKEN_REFRESH,
                          .credentials_at_us = INT64_C(1795255815000001)},
                got = {0};
    Slice token;
    CHECK_OK(token_issue(key, &claims, 3600, arena, &token, e));
    CHECK_INT(claims.issued_at_s, NOW_S);
    CHECK_INT(claims.expires_at_s, NOW_S + 3600);
    CHECK_OK(token_verify(key, token, TOKEN_REFRESH, arena, &got, e));
    CHECK_SLICE(got.user_id, claims.user_id);
    CHECK_SLICE(got.email, claims.email);
    CHECK_INT(got.role, ROLE_DBA);
    CHECK_INT(got.type, TOKEN_REFRESH);
    CHECK_INT(got.issued_at_s, NOW_S);
    CHECK_INT(got.expires_at_s, NOW_S + 3600);
    CHECK_INT(got.credentials_at_us, claims.credentials_at_us);
    end();
}

#define CREDENTIALS(value)                                                          \
    "{\"sub\":\"alice\",\"iss\":\"kalamdb\",\"exp\":2000086400,\"iat\":2000000000," \
    "\"role\":\"user\",\"token_type\":\"access\",\"credentials_at\":" value "}"

TEST("credentials_at of another form is read as that of a user who never changed")
{
    static const char *const bad[] = {
        CREDENTIALS("null"), CREDENTIALS("\"0\""), CREDENTIALS("0.0"), CREDENTIALS("-1"),
        CREDENTIALS("[]"),   CREDENTIALS("true"),  CREDENTIALS("1e3"), CREDENTIALS("\"\"")};
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(verify(forge(GOOD_HEADER, bad[i], SECRET, "SHA256"), TOKEN_ACCESS),
                  E_INVALID_CREDENTIALS);
    TokenClaims got = {.credentials_at_us = -1};
    Slice token = forge(GOOD_HEADER, CREDENTIALS("7"), SECRET, "SHA256");
    CHECK_OK(token_verify(key, token, TOKEN_ACCESS, arena, &got, e));
    CHECK_INT(got.credentials_at_us, 7);
    token = forge(GOOD_HEADER, GOOD_CLAIMS, SECRET, "SHA256"); /* signed by another program */
    CHECK_OK(token_verify(key, token, TOKEN_ACCESS, arena, &got, e));
    CHECK_INT(got.credentials_at_us, TOKEN_CREDENTIALS_UNTOLD);
    end();
}

TEST("a token that another program signed with the same secret is refused")
{
    begin();
    Slice token =
        SLICE("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSIsImlzcyI6ImthbGFtZGIi"
              "LCJleHAiOjIwMDAwODY0MDAsImlhdCI6MjAwMDAwMDAwMCwiZW1haWwiOm51bGwsInJvbGUiOiJ1c2"
              "VyIiwidG9rZW5fdHlwZSI6ImFjY2VzcyJ9."
              "1HR2elNf3BhijTmnH1-x7DuWJE2iFUWA3yITzXHK4AA");
    CHECK_INT(verify(token, TOKEN_ACCESS), OK);
    CHECK_INT(verify(forge(GOOD_HEADER, GOOD_CLAIMS, SECRET, "SHA256"), TOKEN_ACCESS), OK);
    CHECK_INT(verify(forge("{\"alg\":\"HS256\"}", GOOD_CLAIMS, SECRET, "SHA256"), TOKEN_ACCESS),
              OK);
    end();
}

TEST("a header chooses the algorithm or the key")
{
    static const struct {
        const char *header, *digest;
        Code want;
    } rows[] = {
        {"{\"typ\":\"JWT\",\"alg\":\"none\"}", "-", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"None\"}", "-", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"none\"}", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"HS384\"}", "SHA384", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"HS512\"}", "SHA512", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"HS512\"}", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"RS256\"}", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"ES256\"}", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\"}", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":5}", "SHA256", E_INVALID_CREDENTIALS},
        {"[]", "SHA256", E_INVALID_CREDENTIALS},
        {"", "SHA256", E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"crit\":[\"x\"],\"x\":1}", "SHA256",
         E_INVALID_CREDENTIALS},
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"../../../dev/null\"}", "-",
         E_INVALID_CREDENTIALS},
        /* With the right signature a kid is just not looked at. */
        {"{\"typ\":\"JWT\",\"alg\":\"HS256\",\"kid\":\"' OR 1=1\"}", "SHA256", OK},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_INT(verify(forge(rows[i].header, GOOD_CLAIMS, SECRET, rows[i].digest), TOKEN_ACCESS),
                  rows[i].want);
    /* A key that an attacker names: the empty file's, or one sent along. */
    Slice token = forge("{\"alg\":\"HS256\",\"kid\":\"/dev/null\"}", GOOD_CLAIMS, "", "SHA256");
    CHECK_INT(verify(token, TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    end();
}

TEST("a claim is missing, of the wrong type or of the wrong value, and the token passes")
{ /* long: table */
#define SUB "\"alice\""
#define ISS "\"kalamdb\""
#define EXP "2000086400"
#define IAT "2000000000"
#define ROLE "\"user\""
#define TYPE "\"access\""
    static const struct {
        const char *claims;
        Code want;
    } rows[] = {
        {CLAIMS(SUB, ISS, EXP, IAT, ROLE, TYPE), OK},
        {CLAIMS("\"\"", ISS, EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS("null", ISS, EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS("7", ISS, EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS("\"a\\u0000b\"", ISS, EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, "\"other\"", EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, "[\"kalamdb\"]", EXP, IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "null", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "\"2000086400\"", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "2e9", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "-1", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "0", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "9223372036854775807", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, "99999999999999999999999", IAT, ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, "\"x\"", ROLE, TYPE), E_INVALID_CREDENTIALS},
        /* a token that names no credentials and is from the future outlives a new password */
        {CLAIMS(SUB, ISS, EXP, "2000000006", ROLE, TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, "2000000005", ROLE, TYPE), OK},
        {"{\"credentials_at\":7,\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP
         ",\"iat\":2000000060,\"role\":" ROLE ",\"token_type\":" TYPE "}",
         OK},
        {CLAIMS(SUB, ISS, EXP, IAT, "\"DBA\"", TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, IAT, "\"anonymous\"", TYPE), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, IAT, ROLE, "\"\""), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, IAT, ROLE, "null"), E_INVALID_CREDENTIALS},
        {CLAIMS(SUB, ISS, EXP, IAT, ROLE, "\"refresh\""), E_INVALID_CREDENTIALS},
        /* missing ones */
        {"{\"iss\":" ISS ",\"exp\":" EXP ",\"iat\":" IAT ",\"role\":" ROLE ",\"token_type\":" TYPE
         "}",
         E_INVALID_CREDENTIALS},
        {"{\"sub\":" SUB ",\"exp\":" EXP ",\"iat\":" IAT ",\"role\":" ROLE ",\"token_type\":" TYPE
         "}",
         E_INVALID_CREDENTIALS},
        {"{\"sub\":" SUB ",\"iss\":" ISS ",\"iat\":" IAT ",\"role\":" ROLE ",\"token_type\":" TYPE
         "}",
         E_INVALID_CREDENTIALS},
        {"{\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP ",\"role\":" ROLE ",\"token_type\":" TYPE
         "}",
         E_INVALID_CREDENTIALS},
        {"{\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP ",\"iat\":" IAT ",\"token_type\":" TYPE
         "}",
         E_INVALID_CREDENTIALS},
        {"{\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP ",\"iat\":" IAT ",\"role\":" ROLE "}",
         E_INVALID_CREDENTIALS},
        /* not before */
        {"{\"nbf\":2000000061,\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP ",\"iat\":" IAT
         ",\"role\":" ROLE ",\"token_type\":" TYPE "}",
         E_INVALID_CREDENTIALS},
        {"{\"nbf\":\"never\",\"sub\":" SUB ",\"iss\":" ISS ",\"exp\":" EXP ",\"iat\":" IAT
         ",\"role\":" ROLE ",\"token_type\":" TYPE "}",
         E_INVALID_CREDENTIALS},
        {"[]", E_INVALID_CREDENTIALS},
        {"", E_INVALID_CREDENTIALS},
        {"{\"sub\":", E_INVALID_CREDENTIALS},
    };
    begin();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Code got = verify(forge(GOOD_HEADER, rows[i].claims, SECRET, "SHA256"), TOKEN_ACCESS);
        if (got != rows[i].want)
            test_failed(__FILE__, __LINE__, "%s gave %d", rows[i].claims, (int)got);
    }
    end();
}

TEST("a user id longer than any user's is taken from a token")
{
    begin();
    for (int size = USER_ID_BYTES_MAX; size <= USER_ID_BYTES_MAX + 1; size++) {
        char *id = arena_printf(arena, "\"%0*d\"", size, 0);
        char *claims =
            arena_printf(arena,
                         "{\"sub\":%s,\"iss\":\"kalamdb\",\"exp\":2000086400,"
                         "\"iat\":2000000000,\"role\":\"user\",\"token_type\":\"access\"}",
                         id);
        CHECK_INT(verify(forge(GOOD_HEADER, claims, SECRET, "SHA256"), TOKEN_ACCESS),
                  size > USER_ID_BYTES_MAX ? E_INVALID_CREDENTIALS : OK);
    }
    end();
}

TEST("a refresh token opens what needs an access token, or the reverse")
{
    begin();
    Slice access = issue(TOKEN_ACCESS, 60), refresh = issue(TOKEN_REFRESH, 60);
    CHECK_INT(verify(access, TOKEN_ACCESS), OK);
    CHECK_INT(verify(refresh, TOKEN_REFRESH), OK);
    CHECK_INT(verify(refresh, TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    TokenClaims got;
    Error e = {0};
    CHECK_INT(token_verify(key, access, TOKEN_REFRESH, arena, &got, &e), E_INVALID_CREDENTIALS);
    CHECK_TEXT(e.text, "Refresh endpoint requires a refresh token");
    end();
}

TEST("a token lives longer than its time and the leeway, or dies before")
{
    begin();
    Slice token = issue(TOKEN_ACCESS, 100);
    now_us = (NOW_S + 100 + TOKEN_LEEWAY_S) * INT64_C(1000000);
    CHECK_INT(verify(token, TOKEN_ACCESS), OK);
    now_us += 1000000;
    CHECK_INT(verify(token, TOKEN_ACCESS), E_TOKEN_EXPIRED);
    /* Expired is said only of a token that is good otherwise. */
    CHECK_INT(verify(issue(TOKEN_REFRESH, 0), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    Slice forged = forge(GOOD_HEADER, CLAIMS(SUB, ISS, "1000000000", "1000000000", ROLE, TYPE),
                         "wrong", "SHA256");
    CHECK_INT(verify(forged, TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    end();
}

TEST("a changed or cut token, or one signed with another secret, passes")
{
    begin();
    Slice token = issue(TOKEN_ACCESS, 60);
    char *copy = arena_text(arena, token);
    for (size_t i = 0; i < token.size; i++) {
        char before = copy[i];
        copy[i] = before == 'A' ? 'B' : 'A';
        CHECK_INT(verify(slice_of(copy, token.size), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
        copy[i] = 0;
        CHECK_INT(verify(slice_of(copy, token.size), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
        copy[i] = before;
        CHECK_INT(verify(slice_of(copy, i), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    }
    CHECK_INT(verify(slice_of(copy, token.size), TOKEN_ACCESS), OK);
    static const char *const tails[] = {"A", "=", ".", " ", ".A", "\n"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *longer = arena_printf(arena, "%s%s", copy, tails[i]);
        CHECK_INT(verify(slice_of_text(longer), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    }
    CHECK_INT(verify(forge(GOOD_HEADER, GOOD_CLAIMS, "another secret of the same size!", "SHA256"),
                     TOKEN_ACCESS),
              E_INVALID_CREDENTIALS);
    end();
}

TEST("the last bits of a signature have two spellings")
{
    begin();
    Slice token = issue(TOKEN_ACCESS, 60);
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char *copy = arena_text(arena, token);
    size_t valid = 0;
    for (size_t i = 0; i < 64; i++) {
        copy[token.size - 1] = alphabet[i];
        valid += verify(slice_of(copy, token.size), TOKEN_ACCESS) == OK;
    }
    CHECK_INT(valid, 1);
    end();
}

TEST("a token of a megabyte is worked on")
{
    begin();
    size_t size = 1024 * 1024;
    char *huge = arena_alloc(arena, size);
    memset(huge, 'A', size);
    CHECK_INT(verify(slice_of(huge, size), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    huge[1] = huge[2] = '.';
    CHECK_INT(verify(slice_of(huge, size), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    CHECK_INT(verify(slice_of(huge, TOKEN_BYTES_MAX), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    CHECK_INT(verify((Slice){0}, TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    CHECK_INT(verify(SLICE(".."), TOKEN_ACCESS), E_INVALID_CREDENTIALS);
    end();
}

TEST("a secret that everybody knows or can guess is not noticed")
{
    CHECK(token_secret_weakness(SLICE("secret")));
    CHECK(token_secret_weakness(SLICE("kalamdb-dev-secret-key-change-in-production")));
    CHECK(
        token_secret_weakness(SLICE("your-secret-key-at-least-32-chars-change-me-in-production")));
    CHECK(token_secret_weakness(SLICE("0123456789abcdef0123456789abcde")));
    CHECK(token_secret_weakness(SLICE("")));
    CHECK(!token_secret_weakness(SLICE(SECRET)));
}
