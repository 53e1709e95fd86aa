/* SPDX-License-Identifier: Apache-2.0
 *
 * The server over loopback: a loop in a thread, plain blocking sockets as clients.
 */
#include "test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "http/ws.h"

enum { SOCKETS = 20 };

typedef struct Site {
    Loop *loop;
    HttpServer *server;
    uint16_t port;
    WsConnection *sockets[SOCKETS];
    int socket_count;
    bool is_drained;
    HttpRequest *kept;
    int gone[2]; /* a pipe that gets a byte when the client of `kept` has left */
} Site;

static void on_message(void *context, WsConnection *socket, WsOpcode opcode, Slice payload)
{
    Site *site = (Site *)context;
    (void)socket;
    SharedBuffer *frame = ws_frame_shared(opcode, payload); /* one frame for all */
    for (int i = 0; i < site->socket_count; i++)
        ws_send_shared(site->sockets[i], frame);
    shared_buffer_unref(frame);
}

static void on_close(void *context, WsConnection *socket, int code, Slice reason)
{
    Site *site = (Site *)context;
    (void)code;
    (void)reason;
    for (int i = 0; i < site->socket_count; i++)
        if (site->sockets[i] == socket)
            site->sockets[i] = site->sockets[--site->socket_count];
}

static const WsHandlers socket_handlers = {.on_message = on_message, .on_close = on_close};

static void answer(void *request)
{
    http_respond_json((HttpRequest *)request, 200, SLICE("{\"ok\":true}"));
}

static void *work(void *argument)
{
    void **both = (void **)argument;
    loop_post((Loop *)both[0], answer, both[1]);
    free(both);
    return NULL;
}

/* As a worker thread would: the answer comes from elsewhere through the loop's inbox. */
static void answer_later(Site *site, HttpRequest *request)
{
    void **both = x_new_array(void *, 2);
    both[0] = site->loop;
    both[1] = request;
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, both) == 0)
        pthread_detach(thread);
}

static void on_gone(void *context)
{
    Site *site = (Site *)context;
    CHECK(write(site->gone[1], "g", 1) == 1);
    http_respond(site->kept, 200, NULL, 0, SLICE("nobody reads this"));
}

static void on_request(void *context, HttpRequest *request)
{
    Site *site = (Site *)context;
    if (request->wants_upgrade) {
        WsConnection *socket = ws_accept(request, &socket_handlers, site);
        if (socket)
            site->sockets[site->socket_count++] = socket;
    } else if (slice_equal(request->path, SLICE("/later"))) {
        answer_later(site, request);
    } else if (slice_equal(request->path, SLICE("/kept"))) {
        site->kept = request;
        http_request_on_gone(request, on_gone, site);
    } else if (slice_equal(request->path, SLICE("/big"))) {
        Buffer body = {0};
        memset(buffer_reserve(&body, 4 << 20), 'x', 4 << 20);
        body.size = 4 << 20;
        http_respond_buffer(request, 200, NULL, 0, &body);
    } else {
        http_respond(request, 200, NULL, 0, request->body);
    }
}

static const HttpHandlers handlers = {.on_request = on_request};

static void start(Site *site, const HttpOptions *options)
{
    *site = (Site){0};
    CHECK_OK(loop_new(&site->loop, e));
    site->server = http_server_new(site->loop, &handlers, site, options);
    CHECK_OK(http_server_listen(site->server, "127.0.0.1", 0, &site->port, e));
    CHECK_OK(loop_thread_start(site->loop, "site", e));
}

static void free_server(void *site)
{
    http_server_free(((Site *)site)->server);
    loop_stop(((Site *)site)->loop);
}

static void stop(Site *site)
{
    loop_thread_join(site->loop);
    http_server_free(site->server);
    CHECK_INT(site->socket_count, 0);
    loop_free(site->loop);
}

static int dial(const Site *site)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(site->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_text(int fd, Slice text)
{
    CHECK_INT(send(fd, text.data, text.size, MSG_NOSIGNAL), text.size);
}

/* Reads until `until` has come, or the end when that is NULL. */
static void receive(int fd, const char *until, Buffer *out)
{
    for (;;) {
        if (until && out->size && memmem(out->data, out->size, until, strlen(until)))
            return;
        ssize_t n = read(fd, buffer_reserve(out, 65536), 65536);
        if (n <= 0)
            break;
        out->size += (size_t)n;
    }
    CHECK(until == NULL);
}

static bool has(const Buffer *text, const char *part)
{
    return memmem(text->data, text->size, part, strlen(part)) != NULL;
}

TEST("answers of a worker thread, echoes and large bodies come over one connection")
{
    Site site;
    CLEANUP(buffer_done) Buffer got = {0};
    start(&site, NULL);
    int fd = dial(&site);
    send_text(fd, SLICE("GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
                        "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"));
    receive(fd, "\r\n\r\nbody", &got);
    CHECK(has(&got, "\r\n\r\n{\"ok\":true}HTTP/1.1 200 OK\r\nDate: "));
    buffer_clear(&got);
    send_text(fd, SLICE("GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    receive(fd, NULL, &got);
    CHECK(has(&got, "Content-Length: 4194304\r\n"));
    CHECK(got.size > 4 << 20);
    close(fd);
    stop(&site);
}

TEST("a refusal is lost because the client was still sending its body")
{
    Site site;
    CLEANUP(buffer_done) Buffer got = {0};
    start(&site, &(HttpOptions){.body_bytes_max = 1000});
    int fd = dial(&site);
    send_text(fd, SLICE("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n"));
    char block[30000] = {0};
    for (int i = 0; i < 100; i++)
        if (send(fd, block, sizeof block, MSG_NOSIGNAL) < 0)
            break;
    shutdown(fd, SHUT_WR);
    receive(fd, NULL, &got);
    CHECK(has(&got, "HTTP/1.1 413 "));
    CHECK(has(&got, "\"size_bytes\":3000000,\"max_bytes\":1000}"));
    close(fd);
    stop(&site);
}

TEST("slow heads, slow bodies and idle connections are kept for ever")
{
    Site site;
    HttpOptions options = {.head_timeout_ms = 1, .body_timeout_ms = 1, .idle_timeout_ms = 1};
    start(&site, &options);
    static const struct {
        const char *sends, *want;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHos", "HTTP/1.1 408 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 408 "},
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 "},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CLEANUP(buffer_done) Buffer got = {0};
        for (int tries = rows[i].want[0] ? 20 : 1; tries > 0 && got.size == 0; tries--) {
            int fd = dial(&site); /* idle and closed in silence when what is sent comes late */
            send_text(fd, slice_of_text(rows[i].sends));
            receive(fd, NULL, &got); /* returns only when the server closes */
            close(fd);
        }
        CHECK(slice_starts_with(buffer_slice(&got), slice_of_text(rows[i].want)));
    }
    stop(&site);
}

static void on_drained(void *context)
{
    Site *site = (Site *)context;
    site->is_drained = true;
    loop_stop(site->loop);
}

static void drain(void *context)
{
    http_server_drain(((Site *)context)->server, on_drained, context);
}

TEST("draining cuts a request short, or waits for idle connections")
{
    Site site;
    CLEANUP(buffer_done) Buffer got = {0};
    CLEANUP(buffer_done) Buffer rest = {0};
    start(&site, NULL);
    int idle = dial(&site), busy = dial(&site);
    send_text(idle, SLICE("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    receive(idle, "\r\n\r\n", &got);
    send_text(busy, SLICE("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n"
                          "Expect: 100-continue\r\n\r\n"));
    receive(busy, "100 Continue\r\n\r\n", &rest);
    loop_post(site.loop, drain, &site);
    receive(idle, NULL, &got); /* closed */
    send_text(busy, SLICE("body"));
    receive(busy, NULL, &rest);
    CHECK(has(&rest, "Connection: close\r\n"));
    CHECK(has(&rest, "\r\n\r\nbody"));
    close(idle);
    close(busy);
    loop_thread_join(site.loop);
    CHECK(site.is_drained);
    CHECK_INT(http_server_connections(site.server), 0);
    stop(&site);
}

static const Slice upgrade = {
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    142};

TEST("a frame shared by many sockets reaches each once, and a server that goes closes them all")
{
    Site site;
    int fds[SOCKETS];
    start(&site, NULL);
    for (int i = 0; i < SOCKETS; i++) {
        CLEANUP(buffer_done) Buffer got = {0};
        fds[i] = dial(&site);
        send_text(fds[i], upgrade);
        receive(fds[i], "\r\n\r\n", &got);
    }
    for (int i = 0; i < 3; i++)
        send_text(fds[i], SLICE("\x81\x85\0\0\0\0hello"));
    for (int i = 0; i < SOCKETS; i++) {
        CLEANUP(buffer_done) Buffer got = {0};
        receive(fds[i], "\x81\x05hello\x81\x05hello\x81\x05hello", &got);
        CHECK_INT(got.size, 21);
    }
    loop_post(site.loop, free_server, &site);
    for (int i = 0; i < SOCKETS; i++) {
        CLEANUP(buffer_done) Buffer got = {0};
        receive(fds[i], NULL, &got);
        close(fds[i]);
    }
    loop_thread_join(site.loop);
    site.server = NULL;
    stop(&site);
}

static void answer_kept(void *context)
{
    http_respond(((Site *)context)->kept, 200, NULL, 0, SLICE("made"));
}

#define ASKED "HTTP/1.1 100 Continue\r\n\r\n"

static int dial_half_closed(Site *site)
{
    int fd = dial(site);
    send_text(fd, SLICE("POST /kept HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
    CHECK_INT(shutdown(fd, SHUT_WR), 0);
    return fd;
}

TEST("nobody is told that a client has closed, or one that only sends no more loses its answer")
{
    Site site;
    char byte = 0;
    CLEANUP(buffer_done) Buffer got = {0};
    start(&site, NULL);
    CHECK_INT(pipe(site.gone), 0);
    int fd = dial(&site);
    send_text(fd, SLICE("POST /kept HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"));
    close(fd);
    CHECK_INT(read(site.gone[0], &byte, 1), 1); /* else for ever */
    fd = dial_half_closed(&site);
    receive(fd, ASKED ASKED, &got);
    loop_post(site.loop, answer_kept, &site);
    receive(fd, NULL, &got);
    CHECK(has(&got, "\r\n\r\nmade"));
    close(fd);
    stop(&site);
    close(site.gone[0]);
    close(site.gone[1]);
}

TEST("a client that only sends no more is asked for ever, and gives up at the fifth interim answer")
{
    Site site;
    CLEANUP(buffer_done) Buffer first = {0};
    CLEANUP(buffer_done) Buffer second = {0};
    start(&site, NULL);
    CHECK_INT(pipe(site.gone), 0);
    int patient = dial_half_closed(&site);
    receive(patient, ASKED ASKED ASKED ASKED, &first);
    HttpRequest *kept = site.kept;
    int later = dial_half_closed(&site);
    receive(later, ASKED ASKED, &second); /* two sweeps more */
    loop_post(site.loop, answer_kept, &site);
    receive(later, NULL, &second);
    site.kept = kept;
    loop_post(site.loop, answer_kept, &site);
    receive(patient, NULL, &first);
    CHECK(!has(&first, ASKED ASKED ASKED ASKED ASKED));
    CHECK(has(&first, "\r\n\r\nmade"));
    close(patient);
    close(later);
    stop(&site);
    close(site.gone[0]);
    close(site.gone[1]);
}

static void close_first(void *context)
{
    Site *site = (Site *)context;
    ws_close(site->sockets[0], 1001, SLICE("Server shutting down"));
}

TEST("a client that ignores a close frame keeps its connection")
{
    Site site;
    CLEANUP(buffer_done) Buffer got = {0};
    start(&site, NULL);
    int fd = dial(&site);
    send_text(fd, upgrade);
    receive(fd, "\r\n\r\n", &got);
    loop_post(site.loop, close_first, &site);
    receive(fd, "Server shutting down", &got);
    send_text(fd, SLICE("\x88\x82\0\0\0\0\x03\xE9")); /* agrees; else 3 s later */
    receive(fd, NULL, &got);
    close(fd);
    stop(&site);
}

TEST("a client that neither agrees to a close nor reads keeps its connection for ever")
{
    Site site;
    CLEANUP(buffer_done) Buffer got = {0};
    start(&site, NULL);
    int fd = dial(&site);
    send_text(fd, upgrade);
    receive(fd, "\r\n\r\n", &got);
    loop_post(site.loop, close_first, &site);
    receive(fd, NULL, &got); /* returns only when the server gives up waiting */
    close(fd);
    stop(&site);
}
