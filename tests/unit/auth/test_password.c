/* SPDX-License-Identifier: Apache-2.0
 *
 * Password rules with the texts that clients match, and bcrypt against known hashes. Cost 4 keeps
 * it fast.
 */
#include "auth/password.h"

#include "test.h"

TEST("a weak password is taken, or a good one refused")
{
    static const struct {
        const char *password;
        bool complex;
        const char *want; /* NULL = accepted */
    } rows[] = {
        {"", false, "Password must be at least 8 characters (weak)"},
        {"seven77", false, "Password must be at least 8 characters (weak)"},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", false,
         "Password must be at least 8 characters (weak)"},
        {"eight-88", false, NULL},
        {"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", false, NULL},
        {"0123456789012345678901234567890123456789012345678901234567890123456789xy", false, NULL},
        {"0123456789012345678901234567890123456789012345678901234567890123456789xyz", false,
         "Password must be at most 72 characters (bcrypt limit, weak)"},
        {"password", false, "Password is too common"},
        {"PassWord", false, "Password is too common"},
        {"12345678", false, "Password is too common"},
        {"lowercase-1", true, "Password must include at least one uppercase letter"},
        {"UPPERCASE-1", true, "Password must include at least one lowercase letter"},
        {"MixedCase-", true, "Password must include at least one digit"},
        {"MixedCase1", true, "Password must include at least one special character"},
        {"MixedCase-1", true, NULL},
        {"correct horse battery", false, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Error e = {0};
        Code code = password_check(slice_of_text(rows[i].password), rows[i].complex, &e);
        CHECK_INT(code, rows[i].want ? E_WEAK_PASSWORD : OK);
        if (rows[i].want)
            CHECK_TEXT(e.text, rows[i].want);
    }
    CHECK_CODE(password_check(SLICE("with\0a NUL in it"), false, e), E_WEAK_PASSWORD);
}

TEST("a hash is of the wrong kind, does not fit its password, or fits another")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice hash, again;
    CHECK_OK(password_hash(SLICE("correct horse"), 4, arena, &hash, e));
    CHECK_INT(hash.size, 60);
    CHECK(slice_starts_with(hash, SLICE("$2b$04$")));
    CHECK(password_verify(SLICE("correct horse"), hash, 4));
    CHECK(!password_verify(SLICE("correct horsf"), hash, 4));
    CHECK(!password_verify(SLICE("correct hors"), hash, 4));
    CHECK(!password_verify(SLICE("correct horse "), hash, 4));
    CHECK(!password_verify(SLICE("correct horse\0x"), hash, 4));
    CHECK(!password_verify(SLICE(""), hash, 4));
    CHECK_OK(password_hash(SLICE("correct horse"), 4, arena, &again, e));
    CHECK(!slice_equal(hash, again)); /* a salt of its own */
}

TEST("hashes that other programs made are not understood")
{
    CHECK(password_verify(
        SLICE("U*U"), SLICE("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"), 4));
    CHECK(password_verify(
        SLICE("U*U*"), SLICE("$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"), 4));
    CHECK(!password_verify(
        SLICE("U*U*"), SLICE("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"), 4));
}

TEST("a password longer than bcrypt reads is cut and then accepted")
{
    char password[PASSWORD_BYTES_MAX + 1];
    memset(password, 'p', sizeof password);
    Slice longest = slice_of(password, PASSWORD_BYTES_MAX),
          longer = slice_of(password, sizeof password);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice hash;
    CHECK_OK(password_hash(longest, 4, arena, &hash, e));
    CHECK(password_verify(longest, hash, 4));
    CHECK(!password_verify(longer, hash, 4));
    CHECK_CODE(password_hash(longer, 4, arena, &hash, e), E_WEAK_PASSWORD);
    CHECK_CODE(password_hash(SLICE(""), 4, arena, &hash, e), E_WEAK_PASSWORD);
    CHECK_CODE(password_hash(SLICE("a\0b"), 4, arena, &hash, e), E_WEAK_PASSWORD);
}

TEST("something that is no bcrypt hash lets somebody in")
{
    static const char *const hashes[] = {
        "",
        "plain",
        "$1$salt$9YqUQMZnBHVYwZF7mV0hB0",
        "$2b$04$......................",
        "$2b$99$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2a$05$CCCCCCCCCCCCCCCCCCCCC!E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        CHECK(!password_verify(SLICE("U*U"), slice_of_text(hashes[i]), 4));
        CHECK(!password_verify(SLICE(""), slice_of_text(hashes[i]), 4));
    }
}
