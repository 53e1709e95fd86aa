/* SPDX-License-Identifier: Apache-2.0
 *
 * The secret that signs tokens. Whoever knows it is anybody, so a well-known or short one is
 * refused where other machines can reach the server, and with none configured a random one is made
 * and kept.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "auth/token.h"
#include "os/file.h"
#include "os/random.h"
#include "server/config.h"

enum { RANDOM_BYTES = 48, SECRET_FILE_BYTES_MAX = 1024 };

/* True for localhost, 127.0.0.0/8 and ::1. */
static bool is_loopback(const char *host)
{
    struct in_addr four;
    struct in6_addr six;
    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static Code check_configured(const Config *config, ConfigWarnings warnings, Arena *arena, Error *e)
{
    Slice secret = slice_of_text(config->auth_jwt_secret);
    const char *why = token_secret_weakness(secret);
    if (!why)
        return OK;
    if (secret.size > TOKEN_SECRET_BYTES_MAX)
        return fail(e, E_CONFIG, "auth.jwt_secret %s", why);
    if (!is_loopback(config->server_host))
        return fail(e, E_CONFIG,
                    "auth.jwt_secret %s, which is refused because the server listens on %s; leave "
                    "it out to have a random one made",
                    why, config->server_host);
    if (warnings.warn)
        warnings.warn(
            warnings.context,
            arena_printf(arena, "auth.jwt_secret %s; good enough for this machine only", why));
    return OK;
}

static Code make_secret(const char *path, Arena *arena, const char **out_secret, Error *e)
{
    unsigned char bytes[RANDOM_BYTES];
    char text[RANDOM_BYTES * 2 + 1];
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    TRY(file_write(path, slice_of_text(text), 0600, e));
    *out_secret = arena_text(arena, slice_of_text(text));
    return OK;
}

Code config_ensure_secret(Config *config, ConfigWarnings warnings, Arena *arena, Error *e)
{
    if (*config->auth_jwt_secret)
        return check_configured(config, warnings, arena, e);
    TRY(file_make_folders(config->storage_data_path, 0700, e));
    const char *path = arena_printf(arena, "%s/jwt_secret", config->storage_data_path);
    if (!file_exists(path))
        return make_secret(path, arena, &config->auth_jwt_secret, e);
    Slice text;
    TRY(file_read(path, SECRET_FILE_BYTES_MAX, arena, &text, e));
    while (text.size > 0 && strchr("\r\n ", text.data[text.size - 1]))
        text.size--;
    if (text.size < TOKEN_SECRET_BYTES_MIN || memchr(text.data, 0, text.size))
        return fail(e, E_CONFIG,
                    "%s holds no secret of at least 32 bytes; remove it to have a new one made "
                    "(everybody then logs in again)",
                    path);
    config->auth_jwt_secret = arena_text(arena, text);
    return OK;
}
