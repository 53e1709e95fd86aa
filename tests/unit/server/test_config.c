/* SPDX-License-Identifier: Apache-2.0 */
#include "server/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/token.h"
#include "os/file.h"
#include "test.h"

static char warned[2048];

static void note(void *context, const char *text)
{
    (void)context;
    size_t size = strlen(warned);
    snprintf(warned + size, sizeof warned - size, "%s\n", text);
}

static const ConfigWarnings warnings = {note, NULL};

static const char *in_folder(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    return path;
}

/* Reads a file with that content; the message of a failure has the folder cut off. */
static Code load(const char *content, char *const *environment, Arena *arena, Config *out,
                 Error *error)
{
    warned[0] = 0;
    const char *path = in_folder("server.toml");
    CHECK_OK(file_write(path, slice_of_text(content), 0644, e));
    return config_load(path, environment, warnings, arena, out, error);
}

TEST("with nothing at all every default is in place")
{
    Arena *arena = arena_new();
    Config c;
    CHECK_OK(load("", NULL, arena, &c, e));
    CHECK_TEXT(c.server_host, "127.0.0.1");
    CHECK_INT(c.server_port, 8080);
    CHECK_TEXT(c.storage_data_path, "./data");
    CHECK_INT(c.rate_limit_max_subscriptions_per_user, 100000);
    CHECK_INT(c.websocket_auth_timeout_secs, 3);
    CHECK_INT(c.auth_bcrypt_cost, 12);
    CHECK(c.auth_cookie_secure && !c.auth_allow_remote_setup);
    CHECK_INT(c.security_cors_allowed_origins.count, 0);
    CHECK_TEXT(warned, "");
    arena_free(arena);
}

TEST("the file overrides defaults, the environment overrides the file")
{
    Arena *arena = arena_new();
    Config c;
    char *environment[] = {"PATH=/bin", "KALAMDB_SERVER_PORT=9001", "KALAMDB_COOKIE_SECURE=false",
                           "KALAMDB_SECURITY_CORS_ALLOWED_ORIGINS=https://a.example, ,b ", NULL};
    CHECK_OK(load("[server]\nhost = \"0.0.0.0\"\nport = 9000\n[storage.rocksdb]\n"
                  "max_background_jobs = 3\n[authentication]\nbcrypt_cost = 4\n"
                  "[security.cors]\nallowed_origins = [\"x\"]\n[rate_limit]\n"
                  "request_body_limit_bytes = 2048\n",
                  environment, arena, &c, e));
    CHECK_TEXT(c.server_host, "0.0.0.0");
    CHECK_INT(c.server_port, 9001);
    CHECK_INT(c.storage_rocksdb_max_background_jobs, 3);
    CHECK_INT(c.auth_bcrypt_cost, 4);
    CHECK(!c.auth_cookie_secure);
    CHECK_INT(c.security_cors_allowed_origins.count, 2);
    CHECK_TEXT(c.security_cors_allowed_origins.items[1], "b");
    CHECK_INT(c.security_max_request_body_size, 2048);
    arena_free(arena);
}

TEST("a wrong setting is refused with its line and what would be right")
{
    static const struct {
        const char *content, *want;
    } cases[] = {
        {"[server]\nprot = 1", ":2:1: unknown setting server.prot; did you mean server.port?"},
        {"[nonsense]\nx = 1", ":2:1: unknown setting nonsense.x"},
        {"bcrypt_cost = 5", ":1:1: unknown setting bcrypt_cost; did you mean auth.bcrypt_cost?"},
        {"[server]\nport = \"80\"",
         ":2:1: server.port cannot be \"80\"; it must be a whole number from 0 to 65535"},
        {"[server]\nport = 65536",
         ":2:1: server.port cannot be 65536; it must be a whole number from 0 to 65535"},
        {"[server]\nport = 1.5",
         ":2:1: server.port cannot be that value; it must be a whole number from 0 to 65535"},
        {"[server]\n\n  host = 5", ":3:3: server.host cannot be 5; it must be a text"},
        {"[server]\nhost = \"\"",
         ":2:1: server.host cannot be \"\"; it must be a text of 1 to 255 bytes"},
        {"[auth]\ncookie_secure = 1",
         ":2:1: auth.cookie_secure cannot be 1; it must be true or false"},
        {"[auth]\njwt_secret = 77",
         ":2:1: auth.jwt_secret cannot be that value; it must be a text"},
        {"[security.cors]\nallowed_origins = [1]", ":2:1: security.cors.allowed_origins cannot be "
                                                   "that value; it must be a list of at most 64 "
                                                   "texts"},
        {"[logging]\nlevel = \"loud\"",
         "logging.level cannot be \"loud\"; it must be error, warn, info or debug"},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Config c;
        Error error = {0};
        CHECK_INT(load(cases[i].content, NULL, arena, &c, &error), E_CONFIG);
        const char *tail = strstr(error.text, cases[i].want);
        CHECK_TEXT(tail ? tail : error.text, cases[i].want);
    }
    arena_free(arena);
}

TEST("what is no TOML is refused with its place, and a missing file is not silently skipped")
{
    Arena *arena = arena_new();
    Config c;
    Error error = {0};
    CHECK_INT(load("[server]\nport = = 1\n", NULL, arena, &c, &error), E_CONFIG);
    CHECK_INT(error.line, 2);
    CHECK(strstr(error.text, "server.toml:2:"));
    CHECK_CODE(config_load(in_folder("none.toml"), NULL, warnings, arena, &c, e), E_NOT_FOUND);
    arena_free(arena);
}

TEST("a key of the original without effect warns once and does not stop the start")
{
    Arena *arena = arena_new();
    Config c;
    char *environment[] = {"KALAMDB_CLUSTER_RPC_ADDR=127.0.0.1:9188",
                           "KALAMDB_CLUSTER_API_ADDR=127.0.0.1:8080",
                           "KALAMDB_URL=http://x",
                           "KALAMDB_SERVER_PROT=1",
                           "KALAMDB_NODE_ID=7",
                           NULL};
    CHECK_OK(load("[oauth]\nenabled = false\nauto_provision = false\n"
                  "[[cluster.peers]]\nnode_id = 3\n[server]\nenable_http2 = true\n",
                  environment, arena, &c, e));
    CHECK_INT(c.cluster_node_id, 7);
    const char *at = strstr(warned, "oauth.");
    CHECK(at && !strstr(at + 1, "oauth."));
    CHECK(strstr(warned, "cluster.peers has no effect here: one server works alone"));
    CHECK(strstr(warned, "server.enable_http2 has no effect here"));
    CHECK(strstr(warned, "KALAMDB_SERVER_PROT is no setting; did you mean KALAMDB_SERVER_PORT?"));
    CHECK(!strstr(warned, "KALAMDB_URL"));
    arena_free(arena);
}

TEST("a value in the environment is checked like one in the file")
{
    Arena *arena = arena_new();
    Config c;
    static const char *const bad[] = {
        "KALAMDB_SERVER_PORT=", "KALAMDB_SERVER_PORT=80x", "KALAMDB_SERVER_PORT= 80",
        "KALAMDB_SERVER_PORT=99999999999999999999", "KALAMDB_COOKIE_SECURE=maybe"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *environment[] = {(char *)bad[i], NULL};
        CHECK_CODE(load("", environment, arena, &c, e), E_CONFIG);
    }
    arena_free(arena);
}

TEST("a random secret is made once, kept private and read again")
{
    Arena *arena = arena_new();
    Config c = {.server_host = "0.0.0.0", .auth_jwt_secret = ""};
    c.storage_data_path = arena_text(arena, slice_of_text(in_folder("data/below")));
    CHECK_OK(config_ensure_secret(&c, warnings, arena, e));
    const char *first = c.auth_jwt_secret;
    CHECK_INT(strlen(first), 96);
    struct stat st;
    CHECK(stat(in_folder("data/below/jwt_secret"), &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    c.auth_jwt_secret = "";
    CHECK_OK(config_ensure_secret(&c, warnings, arena, e));
    CHECK_TEXT(c.auth_jwt_secret, first);
    CHECK_OK(file_write(in_folder("data/below/jwt_secret"), SLICE("short\n"), 0600, e));
    c.auth_jwt_secret = "";
    CHECK_CODE(config_ensure_secret(&c, warnings, arena, e), E_CONFIG);
    arena_free(arena);
}

TEST("a well-known or short secret is refused unless only this machine can connect")
{
    static const struct {
        const char *host, *secret;
        Code want;
    } cases[] = {
        {"0.0.0.0", "your-secret-key-at-least-32-chars-change-me-in-production", E_CONFIG},
        {"192.168.1.2", "short", E_CONFIG},
        {"db.example.org", "test", E_CONFIG},
        {"127.0.0.1", "test", OK},
        {"127.9.9.9", "short", OK},
        {"::1", "short", OK},
        {"localhost", "short", OK},
        {"0.0.0.0", "a secret of more than thirty-two bytes", OK},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        warned[0] = 0;
        Config c = {.server_host = cases[i].host, .auth_jwt_secret = cases[i].secret};
        Error error = {0};
        CHECK_INT(config_ensure_secret(&c, warnings, arena, &error), cases[i].want);
        CHECK(!strstr(error.text, cases[i].secret));
        CHECK((warned[0] != 0) == (cases[i].want == OK && strlen(cases[i].secret) < 32));
    }
    arena_free(arena);
}

TEST("a secret that is too long stops the server later, where it cannot say why")
{
    Arena *arena = arena_new();
    char secret[TOKEN_SECRET_BYTES_MAX + 2];
    memset(secret, 'x', sizeof secret - 1);
    secret[sizeof secret - 1] = 0;
    Config c = {.server_host = "127.0.0.1", .auth_jwt_secret = secret};
    CHECK_CODE(config_ensure_secret(&c, (ConfigWarnings){0}, arena, e), E_CONFIG);
    secret[TOKEN_SECRET_BYTES_MAX] = 0;
    CHECK_OK(config_ensure_secret(&c, (ConfigWarnings){0}, arena, e));
    arena_free(arena);
}
