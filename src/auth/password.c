/* SPDX-License-Identifier: Apache-2.0
 *
 * bcrypt through libxcrypt. Its working memory and our zero-terminated copy of the password are
 * wiped before they are released.
 */
#include "auth/password.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/random.h"
#include "os/thread.h"

enum { HASH_BYTES = 60, SALT_BYTES = 16 };

/* ---- Rules ---- */

/* What leaked lists start with, of those that are long enough to get this far. Lower case. */
static const char *const common_passwords[] = {
    "11111111",   "12341234",  "123123123",  "123321123",  "12345678",    "123456789",
    "1234567890", "1234qwer",  "12qwaszx",   "1q2w3e4r",   "1q2w3e4r5t",  "1qaz2wsx",
    "1qazxsw2",   "87654321",  "88888888",   "987654321",  "00000000",    "aa123456",
    "abc12345",   "abcd1234",  "abcdefgh",   "admin123",   "admin1234",   "administrator",
    "asdfasdf",   "asdfghjk",  "asdfghjkl",  "baseball",   "changeme",    "computer",
    "corvette",   "dragon123", "football",   "football1",  "iloveyou",    "iloveyou1",
    "internet",   "jennifer",  "kalamdb1",   "letmein1",   "letmein123",  "liverpool",
    "master123",  "michelle",  "monkey123",  "p@ssw0rd",   "p@ssword",    "passw0rd",
    "password",   "password!", "password1",  "password12", "password123", "password1234",
    "princess",   "princess1", "q1w2e3r4",   "qazwsxedc",  "qwer1234",    "qwerasdf",
    "qwerty12",   "qwerty123", "qwertyui",   "qwertyuiop", "root1234",    "samantha",
    "secret123",  "starwars",  "sunshine",   "sunshine1",  "superman",    "test1234",
    "trustno1",   "welcome1",  "welcome123", "whatever",   "zaq12wsx",
};

static bool is_common(Slice password)
{
    for (size_t i = 0; i < sizeof common_passwords / sizeof *common_passwords; i++) {
        if (slice_equal_ignoring_case(password, slice_of_text(common_passwords[i])))
            return true;
    }
    return false;
}

static size_t count_characters(Slice utf8)
{
    size_t count = 0;
    for (size_t i = 0; i < utf8.size; i++)
        count += ((unsigned char)utf8.data[i] & 0xC0) != 0x80;
    return count;
}

static Code check_complexity(Slice password, Error *e)
{
    bool upper = false, lower = false, digit = false, special = false;
    for (size_t i = 0; i < password.size; i++) {
        unsigned char c = (unsigned char)password.data[i];
        if (c >= 'A' && c <= 'Z')
            upper = true;
        else if (c >= 'a' && c <= 'z')
            lower = true;
        else if (c >= '0' && c <= '9')
            digit = true;
        else
            special = true;
    }
    const char *missing = !upper     ? "uppercase letter"
                          : !lower   ? "lowercase letter"
                          : !digit   ? "digit"
                          : !special ? "special character"
                                     : NULL;
    if (missing)
        return fail(e, E_WEAK_PASSWORD, "Password must include at least one %s", missing);
    return OK;
}

/* What bcrypt can tell apart. */
static Code check_bcrypt(Slice password, Error *e)
{
    if (password.size == 0)
        return fail(e, E_WEAK_PASSWORD, "Password cannot be empty");
    if (password.size > PASSWORD_BYTES_MAX)
        return fail(e, E_WEAK_PASSWORD,
                    "Password must be at most %d characters (bcrypt limit, weak)",
                    PASSWORD_BYTES_MAX);
    if (memchr(password.data, 0, password.size))
        return fail(e, E_WEAK_PASSWORD, "Password cannot contain a NUL character");
    return OK;
}

Code password_check(Slice password, bool complex, Error *e)
{
    if (count_characters(password) < PASSWORD_CHARACTERS_MIN)
        return fail(e, E_WEAK_PASSWORD, "Password must be at least %d characters (weak)",
                    PASSWORD_CHARACTERS_MIN);
    TRY(check_bcrypt(password, e));
    if (is_common(password))
        return fail(e, E_WEAK_PASSWORD, "Password is too common");
    return complex ? check_complexity(password, e) : OK;
}

/* ---- bcrypt ---- */

static uint32_t clamp_cost(uint32_t cost)
{
    if (cost < PASSWORD_COST_MIN)
        return PASSWORD_COST_MIN;
    return cost > PASSWORD_COST_MAX ? PASSWORD_COST_MAX : cost;
}

/* Hashes under a setting (a salt or an earlier hash); false when libxcrypt refuses the setting. */
static bool run_bcrypt(Slice password, const char *setting, char out_hash[HASH_BYTES])
{
    must(password.size <= PASSWORD_BYTES_MAX);
    char phrase[PASSWORD_BYTES_MAX + 1] = {0};
    if (password.size)
        memcpy(phrase, password.data, password.size);
    struct crypt_data *work = x_new(struct crypt_data);
    const char *hash = crypt_rn(phrase, setting, work, (int)sizeof *work);
    bool done = hash && strlen(hash) == HASH_BYTES;
    if (done)
        memcpy(out_hash, hash, HASH_BYTES);
    explicit_bzero(work, sizeof *work);
    explicit_bzero(phrase, sizeof phrase);
    free(work);
    return done;
}

Code password_hash(Slice password, uint32_t cost, Arena *arena, Slice *out_hash, Error *e)
{
    on_thread(WORKER);
    TRY(check_bcrypt(password, e));
    char salt[SALT_BYTES], setting[CRYPT_GENSALT_OUTPUT_SIZE], hash[HASH_BYTES];
    random_bytes(salt, sizeof salt);
    if (!crypt_gensalt_rn("$2b$", clamp_cost(cost), salt, sizeof salt, setting, sizeof setting) ||
        !run_bcrypt(password, setting, hash))
        return fail(e, E_INTERNAL, "This system's libcrypt does not know bcrypt");
    *out_hash = arena_copy(arena, slice_of(hash, sizeof hash));
    return OK;
}

/* "$2b$12$" and 53 more; a cost above the limit would be a way to keep a worker busy. */
static bool is_bcrypt(Slice hash)
{
    if (hash.size != HASH_BYTES || memcmp(hash.data, "$2", 2) != 0 ||
        !strchr("aby", hash.data[2]) || hash.data[2] == 0 || hash.data[3] != '$' ||
        hash.data[6] != '$')
        return false;
    unsigned tens = (unsigned)(hash.data[4] - '0'), ones = (unsigned)(hash.data[5] - '0');
    if (tens > 9 || ones > 9)
        return false;
    unsigned cost = tens * 10 + ones;
    return cost >= PASSWORD_COST_MIN && cost <= PASSWORD_COST_MAX;
}

bool password_verify(Slice password, Slice hash, uint32_t cost)
{
    on_thread(WORKER);
    if (password.size > PASSWORD_BYTES_MAX ||
        (password.size && memchr(password.data, 0, password.size)))
        return false; /* no hash was ever made of it; the time tells only what the caller sent */
    char setting[HASH_BYTES + 1] = {0}, computed[HASH_BYTES] = {0};
    bool usable = is_bcrypt(hash);
    if (usable)
        memcpy(setting, hash.data, HASH_BYTES);
    else
        snprintf(setting, sizeof setting, "$2b$%02u$......................", clamp_cost(cost));
    bool done = run_bcrypt(password, setting, computed);
    const char *want = usable ? hash.data : setting;
    bool equal = CRYPTO_memcmp(computed, want, HASH_BYTES) == 0;
    explicit_bzero(computed, sizeof computed);
    return usable && done && equal;
}
