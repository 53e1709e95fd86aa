/* SPDX-License-Identifier: Apache-2.0
 *
 * live <port> <token> <folder> <seconds> <pid> <part>: measures the live queries of a running
 * server. Without arguments it names the parts. Each wants a server of its own, for what one leaves
 * in the server's memory would be taken for what the next one costs.
 *
 * Like bench.c it takes figures in slices that alternate with those of a yardstick: a WebSocket
 * ping plus an fdatasync, Redis, a plain loop that sends the same bytes to as many sockets. The
 * clients are processes of their own (crowd.h) and share the cores with the server; the processor
 * time of a delivery is taken from the process that delivers, so that it does not depend on the
 * clients.
 */
#include "live.h"

#include <fcntl.h>

static void open_all(Bench *b)
{
    char name[4096];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    b->statement = malloc(STATEMENT_BYTES_MAX);
    snprintf(name, sizeof name, "%s/fdatasync", b->folder);
    b->sync_fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (!b->statement || b->sync_fd < 0)
        die("open %s: %m", name);
    live_sql(b, "CREATE NAMESPACE live");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Bench *b);
    } parts[] = {{"one", live_one},
                 {"rates", live_rates},
                 {"fan", live_fan},
                 {"rooms", live_rooms},
                 {"slow", live_slow},
                 {"resume", live_resume},
                 {"idle", live_idle},
                 {"idle-alike", live_idle_alike},
                 {"idle-different", live_idle_different}};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    for (size_t i = 0; argc == 1 && i < PARTS; i++)
        puts(parts[i].name);
    if (argc == 1)
        return 0;
    if (argc != 7)
        die("usage: live <port> <token> <folder> <seconds for each measurement> <pid> <part>");
    Bench b = {.port = (int)strtol(argv[1], NULL, 10),
               .token = argv[2],
               .folder = argv[3],
               .seconds = strtod(argv[4], NULL),
               .server = (pid_t)strtol(argv[5], NULL, 10),
               .next_id = 1};
    open_all(&b);
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(argv[6], parts[i].name) == 0)
            parts[i].run(&b);
    return 0;
}
