/* SPDX-License-Identifier: Apache-2.0
 *
 * The server on a stream in memory: order, limits, errors, answers that come late. One fixture:
 * every request is kept until the test answers it, or answered at once with its own path.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "http/fake_stream.h"
#include "http/http.h"
#include "http/ws.h"

enum { KEPT_MAX = 100 };

typedef struct Fixture {
    Loop *loop;
    HttpServer *server;
    FakeStream *fake;
    HttpRequest *kept[KEPT_MAX];
    int count, connects, disconnects, gone;
    bool keeps; /* requests wait in `kept` instead of being answered with their path */
    WsConnection *socket;
    Buffer events;
} Fixture;

static void on_message(void *context, WsConnection *socket, WsOpcode opcode, Slice payload)
{
    Fixture *f = (Fixture *)context;
    buffer_printf(&f->events, "%s:%.*s ", opcode == WS_TEXT ? "t" : "b", SLICE_ARGS(payload));
    if (slice_equal(payload, SLICE("close")))
        ws_close(socket, 1000, SLICE("bye"));
    else
        ws_send(socket, opcode, payload);
}

static void on_too_large(void *context, WsConnection *socket)
{
    buffer_add_text(&((Fixture *)context)->events, "L ");
    ws_send(socket, WS_TEXT, SLICE("too large"));
}

static void on_close(void *context, WsConnection *socket, int code, Slice reason)
{
    Fixture *f = (Fixture *)context;
    (void)socket;
    buffer_printf(&f->events, "x%d:%.*s ", code, SLICE_ARGS(reason));
    f->socket = NULL;
}

static const WsHandlers socket_handlers = {
    .on_message = on_message, .on_too_large = on_too_large, .on_close = on_close};

static void on_request(void *context, HttpRequest *request)
{
    Fixture *f = (Fixture *)context;
    if (slice_equal(request->path, SLICE("/ws")) && !f->keeps)
        f->socket = ws_accept(request, &socket_handlers, f);
    else if (f->keeps)
        f->kept[f->count] = request;
    else
        http_respond(request, 200, NULL, 0, request->body.size ? request->body : request->path);
    f->count++;
}

static int on_connect(void *context, const Peer *peer, Buffer *body)
{
    Fixture *f = (Fixture *)context;
    f->connects++;
    if (peer->is_loopback)
        return 0;
    buffer_add_text(body, "{\"error\":\"REFUSED\"}");
    return 503;
}

static void on_disconnect(void *context, const Peer *peer)
{
    (void)peer;
    ((Fixture *)context)->disconnects++;
}

static void on_gone(void *context)
{
    ((Fixture *)context)->gone++;
}

static const HttpHandlers handlers = {on_request, on_connect, on_disconnect};
static const Peer local = {"127.0.0.1", true};

static void start(Fixture *f, const HttpOptions *options)
{
    *f = (Fixture){0};
    CHECK_OK(loop_new(&f->loop, e));
    f->server = http_server_new(f->loop, &handlers, f, options);
    f->fake = fake_new();
    http_server_serve(f->server, &f->fake->stream, &local);
}

static void stop(Fixture *f)
{
    fake_turn(f->loop);
    fake_free(f->fake);
    http_server_free(f->server);
    loop_free(f->loop);
    buffer_done(&f->events);
    CHECK_INT(f->disconnects, f->connects);
}

/* The answers without Date lines. */
static Slice answers(Fixture *f)
{
    Buffer *out = &f->fake->out;
    char *at;
    buffer_add_char(out, 0);
    out->size--;
    while ((at = strstr(out->data, "Date: ")) != NULL) {
        char *end = strstr(at, "\r\n") + 2;
        size_t rest = (size_t)(out->data + out->size + 1 - end);
        memmove(at, end, rest);
        out->size -= (size_t)(end - at);
    }
    return buffer_slice(out);
}

static bool has(Slice text, const char *part)
{
    return memmem(text.data, text.size, part, strlen(part)) != NULL;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK_HEAD(length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n"

TEST("requests cut at any byte give the same answers")
{
    Slice input =
        SLICE(GET("/a") "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
                        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" GET("/d"));
    for (size_t piece = 1; piece <= input.size; piece++) {
        Fixture f;
        start(&f, NULL);
        fake_push(f.fake, input, piece);
        CHECK_SLICE(answers(&f),
                    SLICE(OK_HEAD(2) "/a" OK_HEAD(5) "hello" OK_HEAD(5) "abcde" OK_HEAD(2) "/d"));
        CHECK(!f.fake->is_closed);
        stop(&f);
    }
}

TEST("pipelined answers that are ready early go out before their turn")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1") GET("/2") GET("/3")), 1000);
    CHECK_INT(f.count, 3);
    http_respond(f.kept[2], 200, NULL, 0, SLICE("three"));
    http_respond_begin(f.kept[1], 200, NULL, 0);
    http_respond_chunk(f.kept[1], SLICE("tw"));
    CHECK_INT(f.fake->out.size, 0);
    http_respond(f.kept[0], 200, NULL, 0, SLICE("one"));
    http_respond_chunk(f.kept[1], SLICE("o"));
    http_respond_end(f.kept[1]);
    CHECK_SLICE(answers(&f),
                SLICE(OK_HEAD(3) "one"
                                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                 "2\r\ntw\r\n1\r\no\r\n0\r\n\r\n" OK_HEAD(5) "three"));
    stop(&f);
}

TEST("a shared chunk is what a chunk of one's own is: now, in its turn, and without chunks in "
     "HTTP/1.0")
{
    Fixture f;
    SharedBuffer *chunk = http_chunk_shared(SLICE("sixteen bytes\n\n."));
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1") "GET /2 HTTP/1.0\r\n\r\n"), 1000);
    CHECK_INT(f.count, 2);
    for (int i = 0; i < 2; i++) {
        http_respond_begin(f.kept[i], 200, NULL, 0);
        http_respond_chunk_shared(f.kept[i], chunk);
    }
    http_respond_end(f.kept[0]);
    http_respond_chunk_shared(f.kept[1], chunk);
    http_respond_end(f.kept[1]);
    shared_buffer_unref(chunk);
    CHECK_SLICE(answers(&f), SLICE("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                   "10\r\nsixteen bytes\n\n.\r\n0\r\n\r\n"
                                   "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
                                   "sixteen bytes\n\n.sixteen bytes\n\n."));
    stop(&f);
}

TEST("a pipelined write starts before the request ahead of it has ended")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(
        f.fake,
        SLICE(GET("/1") "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" GET("/3")),
        1000);
    CHECK_INT(f.count, 1);
    http_respond(f.kept[0], 200, NULL, 0, SLICE("1"));
    CHECK_INT(f.count, 2);
    http_respond(f.kept[1], 200, NULL, 0, SLICE("2"));
    CHECK_INT(f.count, 3);
    http_respond(f.kept[2], 200, NULL, 0, SLICE("3"));
    stop(&f);
}

TEST("a flood of pipelined requests is taken without bound")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    for (int i = 0; i < HTTP_PIPELINE_MAX + 10; i++)
        fake_push(f.fake, SLICE(GET("/")), 1000);
    CHECK_INT(f.count, HTTP_PIPELINE_MAX);
    CHECK(f.fake->is_paused);
    for (int i = 0; i < HTTP_PIPELINE_MAX + 10; i++)
        http_respond(f.kept[i], 204, NULL, 0, (Slice){0});
    CHECK_INT(f.count, HTTP_PIPELINE_MAX + 10);
    CHECK(!f.fake->is_paused);
    stop(&f);
}

TEST("a client that does not read its answers makes the server pile them up")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE(GET("/1")), 1000);
    f.fake->unread = SOCKET_QUEUE_BYTES_MAX + 1;
    fake_push(f.fake, SLICE(GET("/2")), 1000);
    CHECK_INT(f.count, 1);
    CHECK(f.fake->is_paused);
    f.fake->unread = 0;
    f.fake->stream.handlers->on_drained(f.fake->stream.context);
    CHECK_INT(f.count, 2);
    CHECK(!f.fake->is_paused);
    stop(&f);
}

static void check_refused(const char *input, int status, const char *code)
{
    Fixture f;
    char want[64];
    start(&f, NULL);
    fake_push(f.fake, slice_of_text(input), 7);
    snprintf(want, sizeof want, "HTTP/1.1 %d ", status);
    Slice got = answers(&f);
    CHECK(slice_starts_with(got, slice_of_text(want)));
    CHECK(has(got, "Connection: close\r\n"));
    CHECK(has(got, code));
    CHECK(f.fake->is_closed);
    CHECK_INT(f.count, 0);
    stop(&f);
}

TEST("a bad request reaches a handler, or gets no coded answer and no close")
{
    check_refused("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", 400, "{\"error\":\"BAD_REQUEST\"");
    check_refused("GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "{\"error\":\"BAD_REQUEST\"");
    check_refused("\x16\x03\x01\x02", 400, "{\"error\":\"BAD_REQUEST\"");
    check_refused(
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10485761\r\n\r\n", 413,
        "{\"error\":\"BODY_TOO_LARGE\",\"message\":\"Request body exceeds maximum allowed "
        "size\",\"size_bytes\":10485761,\"max_bytes\":10485760}");
    check_refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nA00001\r\n", 413,
                  "BODY_TOO_LARGE");
    check_refused("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz", 400,
                  "BAD_REQUEST");
    check_refused("GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "VERSION_NOT_SUPPORTED");
}

TEST("an error after good requests overtakes their answers")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1") "nonsense\r\n\r\n"), 1000);
    CHECK_INT(f.fake->out.size, 0);
    http_respond(f.kept[0], 200, NULL, 0, SLICE("1"));
    Slice got = answers(&f);
    CHECK(slice_starts_with(got, SLICE(OK_HEAD(1) "1HTTP/1.1 400 ")));
    CHECK(f.fake->is_closed);
    stop(&f);
}

TEST("a request whose client left is freed early, or its answer is written nowhere")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1") GET("/2")), 1000);
    http_request_on_gone(f.kept[0], on_gone, &f);
    fake_end(f.fake);
    CHECK_INT(f.gone, 1);
    CHECK_SLICE(f.kept[0]->path, SLICE("/1"));
    http_respond(f.kept[0], 200, NULL, 0, SLICE("late"));
    http_respond_begin(f.kept[1], 200, NULL, 0);
    http_respond_chunk(f.kept[1], SLICE("late"));
    http_respond_end(f.kept[1]);
    CHECK_INT(f.fake->out.size, 0);
    stop(&f);
}

TEST("requests outlive their server")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1")), 1000);
    http_server_free(f.server);
    http_respond(f.kept[0], 200, NULL, 0, SLICE("late"));
    f.server = NULL;
    stop(&f);
}

TEST("HEAD, 204, HTTP/1.0, Connection: close and 100-continue are answered by the book")
{
    static const struct {
        const char *input, *want;
        bool closes;
    } rows[] = {
        {"HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\n", OK_HEAD(4), false},
        {"GET /a HTTP/1.0\r\n\r\n",
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/a", true},
        {"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
         "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n/a", false},
        {"GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" GET("/never"),
         "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n/a", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Fixture f;
        start(&f, NULL);
        fake_push(f.fake, slice_of_text(rows[i].input), 1000);
        CHECK_SLICE(answers(&f), slice_of_text(rows[i].want));
        CHECK_INT(f.fake->is_closed, rows[i].closes);
        stop(&f);
    }
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake,
              SLICE("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\n"),
              1000);
    CHECK_SLICE(answers(&f), SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    fake_push(f.fake, SLICE("ok"), 1000);
    CHECK_SLICE(answers(&f), SLICE("HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD(2) "ok"));
    stop(&f);
}

TEST("a header value with a line break writes a header of its own")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/")), 1000);
    HttpHeader header = {SLICE("Location"), SLICE("/a\r\nSet-Cookie: evil")};
    http_respond(f.kept[0], 302, &header, 1, (Slice){0});
    CHECK(has(answers(&f), "Location: /a  Set-Cookie: evil\r\n"));
    stop(&f);
}

TEST("connections over the limit, or refused by the owner, are not told why")
{
    Fixture f;
    HttpOptions options = {.connections_max = 1};
    start(&f, &options);
    FakeStream *second = fake_new();
    http_server_serve(f.server, &second->stream, &local);
    CHECK(has(buffer_slice(&second->out), "HTTP/1.1 503 "));
    CHECK(has(buffer_slice(&second->out), "Retry-After: 5\r\n"));
    CHECK(has(buffer_slice(&second->out), "TOO_MANY_CONNECTIONS"));
    CHECK(second->is_closed);
    fake_free(second);
    fake_end(f.fake);
    FakeStream *remote = fake_new();
    Peer peer = {"10.0.0.1", false};
    http_server_serve(f.server, &remote->stream, &peer);
    CHECK(has(buffer_slice(&remote->out), "{\"error\":\"REFUSED\"}"));
    fake_free(remote);
    f.disconnects++; /* the refused one is not told of */
    stop(&f);
}

TEST("half a request and then the end keeps the connection for ever; a whole one loses its answer")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE("GET / HT"), 1000);
    f.fake->stream.handlers->on_end(f.fake->stream.context);
    CHECK(f.fake->is_closed);
    stop(&f);
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/")), 1000);
    f.fake->stream.handlers->on_end(f.fake->stream.context);
    CHECK(!f.fake->is_closed);
    http_respond(f.kept[0], 200, NULL, 0, SLICE("1"));
    CHECK(f.fake->is_closed);
    CHECK(has(answers(&f), "\r\n\r\n1"));
    stop(&f);
}

/* -- WebSocket -------------------------------------------------------------------------------- */

#define UPGRADE                                                                                \
    "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define ACCEPTED                                                                        \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
/* Frames masked with zeros are readable. */
#define HI "\x81\x82\0\0\0\0hi"

TEST("a WebSocket upgrade in any pieces, with frames right behind it, loses none")
{
    Slice input = SLICE(UPGRADE HI "\x89\x81\0\0\0\0p"
                                   "\x88\x82\0\0\0\0\x03\xE8");
    for (size_t piece = 1; piece <= input.size; piece += 3) {
        Fixture f;
        start(&f, NULL);
        fake_push(f.fake, input, piece);
        fake_turn(f.loop);
        CHECK_SLICE(buffer_slice(&f.fake->out),
                    SLICE(ACCEPTED "\x81\x02hi\x8A\x01p\x88\x02\x03\xE8"));
        CHECK_SLICE(buffer_slice(&f.events), SLICE("t:hi x1000: "));
        CHECK(f.fake->is_closed);
        stop(&f);
    }
}

TEST("an upgrade answered later delivers its first message before the caller has the connection")
{
    Fixture f;
    start(&f, NULL);
    f.keeps = true;
    fake_push(f.fake, SLICE(GET("/1") UPGRADE HI), 1000);
    CHECK_INT(f.count, 1);
    http_respond(f.kept[0], 204, NULL, 0, (Slice){0});
    CHECK_INT(f.count, 2);
    f.socket = ws_accept(f.kept[1], &socket_handlers, &f);
    CHECK(f.socket);
    CHECK_INT(f.events.size, 0);
    fake_turn(f.loop);
    CHECK_SLICE(buffer_slice(&f.events), SLICE("t:hi "));
    CHECK_INT(http_server_connections(f.server), 1);
    stop(&f);
}

TEST("an upgrade request that is none is let through")
{
    static const struct {
        const char *input;
        const char *want;
    } rows[] = {
        {"GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 426 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
         "HTTP/1.1 426 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: short\r\nSec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 "},
        {"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Content-Length: 0\r\n\r\n",
         "HTTP/1.1 426 "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Fixture f;
        start(&f, NULL);
        fake_push(f.fake, slice_of_text(rows[i].input), 1000);
        CHECK(slice_starts_with(answers(&f), slice_of_text(rows[i].want)));
        CHECK(!f.socket);
        fake_push(f.fake, SLICE(GET("/after")), 1000);
        CHECK(has(answers(&f), "/after"));
        stop(&f);
    }
}

TEST("violations close with their code, and a client that leaves counts as 1006")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE(UPGRADE), 1000);
    buffer_clear(&f.fake->out);
    fake_push(f.fake, SLICE("\x81\x02hi"), 1000);
    CHECK(slice_starts_with(buffer_slice(&f.fake->out), SLICE("\x88\x15\x03\xEA")));
    CHECK_SLICE(buffer_slice(&f.events), SLICE("x1002:frame is not masked "));
    CHECK(f.fake->is_closed);
    stop(&f);
    start(&f, NULL);
    fake_push(f.fake, SLICE(UPGRADE), 1000);
    f.fake->stream.handlers->on_end(f.fake->stream.context);
    fake_end(f.fake);
    CHECK_SLICE(buffer_slice(&f.events), SLICE("x1006: "));
    stop(&f);
}

TEST("closing from within a message, and messages after it, are handled once")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE(UPGRADE), 1000);
    buffer_clear(&f.fake->out);
    fake_push(f.fake, SLICE("\x81\x85\0\0\0\0close" HI), 1000);
    ws_send(f.socket, WS_TEXT, SLICE("ignored"));
    CHECK_SLICE(buffer_slice(&f.fake->out), SLICE("\x88\x05\x03\xE8"
                                                  "bye"));
    CHECK_SLICE(buffer_slice(&f.events), SLICE("t:close "));
    fake_push(f.fake, SLICE("\x88\x82\0\0\0\0\x03\xE8"), 1000);
    CHECK_SLICE(buffer_slice(&f.events), SLICE("t:close x1000: "));
    CHECK(f.fake->is_closed);
    stop(&f);
}

TEST("a message over the limit closes the connection or loses the next one")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE(UPGRADE "\x81\xFF\0\0\0\0\0\x10\0\x01\0\0\0\0"), 1000);
    fake_turn(f.loop);
    CHECK_SLICE(buffer_slice(&f.events), SLICE("L "));
    char *big = (char *)x_new_bytes(WS_MESSAGE_BYTES_MAX + 1);
    fake_push(f.fake, slice_of(big, WS_MESSAGE_BYTES_MAX + 1), 60000);
    free(big);
    fake_push(f.fake, SLICE(HI), 3);
    CHECK_SLICE(buffer_slice(&f.events), SLICE("L t:hi "));
    stop(&f);
}

TEST("a server that stops leaves WebSockets without their on_close")
{
    Fixture f;
    start(&f, NULL);
    fake_push(f.fake, SLICE(UPGRADE), 1000);
    http_server_free(f.server);
    f.server = NULL;
    CHECK_SLICE(buffer_slice(&f.events), SLICE("x1006: "));
    stop(&f);
}
