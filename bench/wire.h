/* SPDX-License-Identifier: Apache-2.0
 *
 * The least of HTTP/1.1 and WebSocket a load generator needs, over plain sockets: requests with a
 * JSON body, answers by Content-Length or in chunks, masked text frames out, whole frames in. It
 * trusts the server; what does not parse ends the program. Reads are buffered per connection, so a
 * caller that polls first asks wire_response() or wire_frame() whether one is complete.
 */
#pragma once

#include "stats.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WIRE_BYTES_MAX = 4 * 1024 * 1024 };

typedef struct Wire {
    int fd;
    char *in; /* what has been read and not taken */
    size_t bytes;
    uint64_t sent_ns; /* when its request went out; set by wire_post() */
} Wire;

_Noreturn __attribute__((format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static inline Wire wire_open(int port)
{
    Wire w = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
              .in = malloc(WIRE_BYTES_MAX + 1)};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (w.fd < 0 || !w.in || connect(w.fd, (struct sockaddr *)&to, sizeof to) < 0)
        die("connect to port %d: %m", port);
    int on = 1;
    setsockopt(w.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return w;
}

static inline void wire_close(Wire *w)
{
    close(w->fd);
    free(w->in);
}

static inline void wire_send(Wire *w, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = send(w->fd, bytes, count, MSG_NOSIGNAL);
        if (n <= 0)
            die("send: %m");
        bytes += n;
        count -= (size_t)n;
    }
}

/* Blocks until something more has come. */
static inline void wire_read(Wire *w)
{
    if (w->bytes == WIRE_BYTES_MAX)
        die("an answer of more than %d bytes", WIRE_BYTES_MAX);
    ssize_t n = recv(w->fd, w->in + w->bytes, WIRE_BYTES_MAX - w->bytes, 0);
    if (n <= 0)
        die("the server closed the connection: %m");
    w->bytes += (size_t)n;
    w->in[w->bytes] = 0;
}

static inline void wire_take(Wire *w, size_t count)
{
    memmove(w->in, w->in + count, w->bytes - count);
    w->bytes -= count;
    w->in[w->bytes] = 0;
}

/* The bytes of the first answer if it is all there, else 0; its status, which must be one. */
static inline size_t wire_response(const Wire *w, int *out_status)
{
    const char *end = w->bytes ? strstr(w->in, "\r\n\r\n") : NULL;
    if (!end)
        return 0;
    *out_status = (int)strtol(w->in + sizeof "HTTP/1.1", NULL, 10);
    size_t head = (size_t)(end - w->in) + 4;
    const char *length = strcasestr(w->in, "\r\ncontent-length:");
    if (length && length < end) {
        size_t all = head + (size_t)strtoul(length + sizeof "\r\ncontent-length:" - 1, NULL, 10);
        return w->bytes >= all ? all : 0;
    }
    const char *last = strstr(end, "\r\n0\r\n\r\n");
    return last ? (size_t)(last - w->in) + 7 : 0;
}

/* Builds a request; `body` NULL means GET. Returns its bytes. */
static inline size_t wire_request(char *out, size_t capacity, const char *target, const char *token,
                                  const char *body)
{
    int n = body ? snprintf(out, capacity,
                            "POST %s HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer %s\r\n"
                            "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                            target, token, strlen(body), body)
                 : snprintf(out, capacity, "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", target);
    if (n < 0 || (size_t)n >= capacity)
        die("a request of more than %zu bytes", capacity);
    return (size_t)n;
}

/* Sends one SQL request, its body as it is. */
static inline void wire_post(Wire *w, const char *token, const char *body)
{
    size_t capacity = strlen(body) + 8192;
    char *request = malloc(capacity);
    if (!request)
        abort();
    w->sent_ns = now_ns();
    wire_send(w, request, wire_request(request, capacity, "/v1/api/sql", token, body));
    free(request);
}

/* Waits for an answer, which must be 200; returns its bytes, which the caller takes. */
static inline size_t wire_await(Wire *w)
{
    int status = 0;
    size_t bytes;
    while ((bytes = wire_response(w, &status)) == 0)
        wire_read(w);
    if (status != 200)
        die("an answer of status %d: %.*s", status, (int)(bytes > 600 ? 600 : bytes), w->in);
    return bytes;
}

/* One SQL request and its answer. */
static inline void wire_sql(Wire *w, const char *token, const char *body)
{
    wire_post(w, token, body);
    wire_take(w, wire_await(w));
}
