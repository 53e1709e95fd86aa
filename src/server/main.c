/* SPDX-License-Identifier: Apache-2.0
 *
 * kalamdb-server [settings file]: reads the settings, opens the server, says where it listens, runs
 * it. kalamdb-server --verify <folder>, --restore <backup> <folder>: work on a folder instead
 * (offline.h). Exit codes: 0 stopped as asked, 1 could not start (the reason is on standard error),
 * 2 wrong usage.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/log.h"
#include "server/offline.h"
#include "server/server.h"
#include "server/version.h"

static const char usage[] =
    "kalamdb-server " KALAMDB_VERSION "\n"
    "\n"
    "  kalamdb-server [settings.toml]   start; without a file ./server.toml is read if it exists\n"
    "  kalamdb-server --verify <data folder>   check a stopped server's folder, or a backup; "
    "changes nothing\n"
    "  kalamdb-server --restore <backup> <data folder>   make a new data folder out of a backup\n"
    "  kalamdb-server --version\n"
    "  kalamdb-server --help\n"
    "\n"
    "Every setting can also be given as an environment variable, for example "
    "KALAMDB_SERVER_PORT=9000\n"
    "or KALAMDB_DATA_DIR=/var/lib/kalamdb. docs/configuration.md lists them all.\n";

static void warn(void *context, const char *text)
{
    (void)context;
    log_event(LOG_LEVEL_WARN, text);
}

static LogFormat log_format_of(const char *name)
{
    if (strcmp(name, "json") == 0)
        return LOG_FORMAT_JSON;
    return strcmp(name, "compact") == 0 ? LOG_FORMAT_TEXT : LOG_FORMAT_AUTO;
}

/* As many descriptors as the system lets us have: each connection is one. */
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void print_welcome(const Config *config, const Server *server)
{
    const char *host =
        strcmp(config->server_host, "0.0.0.0") == 0 ? "127.0.0.1" : config->server_host;
    printf("KalamDB %s listens on http://%s:%u\n", KALAMDB_VERSION, host, server_port(server));
    printf("data folder: %s\n", config->storage_data_path);
    const char *token = server_setup_token(server);
    if (token) {
        printf(
            "\nFirst-time setup, from this machine:\n"
            "  curl -X POST http://%s:%u/v1/api/auth/setup -H 'Content-Type: application/json' \\\n"
            "       -d "
            "'{\"user\":\"admin\",\"password\":\"<yours>\",\"root_password\":\"<another>\"}'\n"
            "From another machine add the header  X-Setup-Token: %s\n",
            host, server_port(server), token);
    }
    printf("\nThe quick start is in README.md; Ctrl-C stops the server.\n");
    fflush(stdout);
}

static void print_failure(const Error *error)
{
    fprintf(stderr, "kalamdb-server: %s\n", error->text);
    if (error->code == E_ADDRESS_IN_USE)
        fprintf(stderr, "Choose another port: KALAMDB_SERVER_PORT=<port> kalamdb-server, or "
                        "server.port in server.toml;\n"
                        "with make: KALAMDB_SERVER_PORT=<port> make run\n");
}

static int serve(const char *file)
{
    Error error = {0};
    Config config;
    Server *server = NULL;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ConfigWarnings warnings = {warn, NULL};
    Code code = config_load(file, environ, warnings, arena, &config, &error);
    if (code == OK) {
        LogLevel level = LOG_LEVEL_INFO;
        if (!log_level_of(slice_of_text(config.logging_level), &level))
            code = fail(&error, E_CONFIG,
                        "logging.level is '%s'; it must be error, warn, info or debug",
                        config.logging_level);
        log_set(level, log_format_of(config.logging_format));
    }
    if (code == OK)
        code = config_ensure_secret(&config, warnings, arena, &error);
    if (code == OK)
        code = server_open(&config, &server, &error);
    if (code != OK) {
        print_failure(&error);
        return 1;
    }
    print_welcome(&config, server);
    log_event(LOG_LEVEL_INFO, "listening", LOG_TEXT("host", config.server_host),
              LOG_INT("port", server_port(server)));
    server_run(server);
    server_close(server);
    log_event(LOG_LEVEL_INFO, "stopped");
    return 0;
}

int main(int argc, char **argv)
{
    umask(0077); /* what the stores write, and a backup on another disk, is nobody else's to read */
    if (argc == 3 && strcmp(argv[1], "--verify") == 0)
        return offline_verify(argv[2]);
    if (argc == 4 && strcmp(argv[1], "--restore") == 0)
        return offline_restore(argv[2], argv[3]);
    if (argc > 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("kalamdb-server %s (built %s)\n", KALAMDB_VERSION, KALAMDB_BUILD_DATE);
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc == 2 && argv[1][0] == '-') {
        bool is_known = strcmp(argv[1], "--verify") == 0 || strcmp(argv[1], "--restore") == 0;
        fprintf(stderr, "kalamdb-server: %s %s\n\n%s",
                is_known ? "a folder is missing after" : "unknown option", argv[1], usage);
        return 2;
    }
    mallopt(M_ARENA_MAX, 2); /* many threads, few of which allocate much: memory stays small */
    raise_descriptors();
    return serve(argc == 2 ? argv[1] : NULL);
}
