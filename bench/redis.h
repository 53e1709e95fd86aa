/* SPDX-License-Identifier: Apache-2.0
 *
 * A Redis of the bench's own, on a free port, writing no disk, and one connection that publishes.
 */
#pragma once

#include "wire_socket.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

typedef struct Redis {
    pid_t pid;
    int port;
    Wire publisher;
    char *publishes; /* of one statement's worth */
    size_t bytes;
} Redis;

static inline int free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t size = sizeof any;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0 ||
        getsockname(fd, (struct sockaddr *)&any, &size) < 0)
        die("a free port: %m");
    close(fd);
    return ntohs(any.sin_port);
}

static inline bool try_connect(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool is_up = connect(fd, (struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return is_up;
}

/* False when Redis is not installed. */
static inline bool redis_start(Redis *r)
{
    if (system("command -v redis-server >/dev/null 2>&1") != 0)
        return false;
    char port[16];
    r->port = free_port();
    snprintf(port, sizeof port, "%d", r->port);
    fflush(stdout);
    r->pid = fork();
    if (r->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (!freopen("/dev/null", "w", stdout))
            _exit(127);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 200 && !try_connect(r->port); i++)
        usleep(20 * 1000);
    r->publisher = wire_open(r->port);
    return true;
}

static inline void redis_stop(Redis *r)
{
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    wire_close(&r->publisher);
    free(r->publishes);
}

/* `rows` PUBLISH commands with a payload of `size` bytes each; returns a message's bytes. */
static inline size_t redis_prepare(Redis *r, unsigned rows, size_t size)
{
    size_t room = rows * (size + 64);
    r->publishes = malloc(room);
    char *payload = malloc(size + 1);
    if (!r->publishes || !payload)
        abort();
    memset(payload, 'x', size);
    payload[size] = 0;
    r->bytes = 0;
    for (unsigned i = 0; i < rows; i++)
        r->bytes +=
            (size_t)snprintf(r->publishes + r->bytes, room - r->bytes,
                             "*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$%zu\r\n%s\r\n", size, payload);
    free(payload);
    return (size_t)snprintf(NULL, 0, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$%zu\r\n", size) + size + 2;
}

/* The answers to so many PUBLISHes: one line each. */
static inline void redis_await(Redis *r, unsigned answers)
{
    Wire *w = &r->publisher;
    while (answers > 0) {
        char *end = w->bytes ? memchr(w->in, '\n', w->bytes) : NULL;
        if (!end) {
            wire_read(w);
            continue;
        }
        answers--;
        wire_take(w, (size_t)(end - w->in) + 1);
    }
}
