/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the server from its first byte: heads, bodies, pipelines, upgrades and frames, through the
 * same code as sockets, on a stream in memory. The first byte chooses the size of the pieces and
 * how the handler answers.
 */
#include "http/fake_stream.h"
#include "http/http.h"
#include "http/ws.h"

static unsigned mode;
static HttpRequest *waiting;

static void on_message(void *context, WsConnection *socket, WsOpcode opcode, Slice payload)
{
    (void)context;
    if (opcode == WS_TEXT)
        must(slice_is_utf8(payload));
    ws_send(socket, opcode, payload);
}

static void on_close(void *context, WsConnection *socket, int code, Slice reason)
{
    (void)context;
    (void)socket;
    (void)code;
    must(slice_is_utf8(reason));
}

static const WsHandlers socket_handlers = {.on_message = on_message, .on_close = on_close};

static void answer(HttpRequest *request)
{
    Buffer value = {0};
    http_query(request, "q", &value);
    http_respond_buffer(request, 200, request->headers, request->header_count, &value);
}

static void on_request(void *context, HttpRequest *request)
{
    (void)context;
    if (request->wants_upgrade)
        ws_accept(request, &socket_handlers, NULL);
    else if ((mode & 0x40) && !waiting)
        waiting = request;
    else
        answer(request);
}

static void answer_waiting(void)
{
    if (waiting)
        answer(TAKE(waiting));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const HttpHandlers handlers = {.on_request = on_request};
    static Loop *loop;
    Error e = {0};
    if (!loop)
        must(loop_new(&loop, &e) == OK);
    if (size < 1)
        return 0;
    mode = data[0];
    size_t half = size / 2, piece = (mode & 0x3F) + 1;
    HttpOptions options = {.body_bytes_max = 1000};
    HttpServer *server = http_server_new(loop, &handlers, NULL, &options);
    FakeStream *fake = fake_new();
    Peer peer = {"127.0.0.1", true};
    http_server_serve(server, &fake->stream, &peer);
    fake_push(fake, slice_of(data + 1, half), piece);
    if (mode & 0x80)
        answer_waiting();
    fake_turn(loop);
    fake_push(fake, slice_of(data + 1 + half, size - 1 - half), piece);
    if (!(mode & 1))
        answer_waiting();
    fake_turn(loop);
    fake_free(fake);
    answer_waiting();
    http_server_free(server);
    return 0;
}
