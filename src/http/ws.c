/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSocket connections: the framer on a stream, and the two ways a connection ends.
 *
 *     OPEN --ws_close--> CLOSING --close frame, end or time over--> DONE
 *       \---- close frame, violation, end ----------------------------/
 *
 * Invariants
 * W1  on_close is called once, on the way to DONE; after it the handlers are never called again.
 * W2  A connection is freed by its stream's on_closed only, so every callback may close it.
 * W3  An open, idle connection holds this struct and its stream, nothing else.
 */
#include "http/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"
#include "http/http_int.h"

enum { CLOSE_TIMEOUT_MS = 3000, KEY_BYTES = 24 };

typedef enum WsState { WS_OPEN, WS_CLOSING, WS_DONE } WsState;

/* Bytes that came together with the upgrade request wait here for a turn of their own: the caller
 * of ws_accept must have the connection in hand before its first message. */
typedef struct EarlyInput {
    LoopTask task;
    WsConnection *connection; /* NULL when that is gone */
    Buffer bytes;
} EarlyInput;

struct WsConnection {
    ServerLink link;    /* first: the server's ring */
    HttpServer *server; /* NULL when the server is gone */
    Stream *stream;
    const WsHandlers *handlers;
    void *context;
    EarlyInput *early;
    uint64_t deadline_ms; /* of the close handshake; 0 = none */
    int close_code;       /* the one we sent */
    WsState state;
    bool is_paused;
    Peer peer;
    WsFramer framer;
};

/* -- the handshake ---------------------------------------------------------------------------- */

static void accept_key(Slice key, char out_accept[32])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_BYTES + sizeof magic];
    memcpy(text, key.data, KEY_BYTES);
    memcpy(text + KEY_BYTES, magic, sizeof magic - 1);
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1((const unsigned char *)text, KEY_BYTES + sizeof magic - 1, digest);
    EVP_EncodeBlock((unsigned char *)out_accept, digest, SHA_DIGEST_LENGTH);
}

static void refuse(HttpRequest *request, int status, const char *message)
{
    HttpHeader headers[] = {{SLICE("Content-Type"), SLICE("application/json")},
                            {SLICE("Upgrade"), SLICE("websocket")},
                            {SLICE("Sec-WebSocket-Version"), SLICE("13")}};
    CLEANUP(buffer_done) Buffer body = {0};
    buffer_printf(&body, "{\"error\":\"%s\",\"message\":\"%s\"}",
                  status == 426 ? "UPGRADE_REQUIRED" : "BAD_REQUEST", message);
    http_respond(request, status, headers, status == 426 ? 3 : 1, buffer_slice(&body));
}

/* 16 bytes in base64: 22 characters and "==". */
static bool is_key(Slice key)
{
    unsigned char nonce[KEY_BYTES];
    return key.size == KEY_BYTES && key.data[22] == '=' && key.data[23] == '=' &&
           key.data[21] != '=' &&
           EVP_DecodeBlock(nonce, (const unsigned char *)key.data, KEY_BYTES) == 18;
}

static bool connection_says_upgrade(const HttpRequest *request)
{
    Slice value;
    if (!http_header(request, "connection", &value))
        return false;
    static const char word[] = "upgrade";
    for (size_t i = 0; i + sizeof word - 1 <= value.size; i++)
        if (slice_equal_ignoring_case(slice_of(value.data + i, sizeof word - 1), SLICE("upgrade")))
            return true;
    return false;
}

/* 0, or the status to refuse with. */
static int check_request(const HttpRequest *request, Slice *out_key, const char **out_message)
{
    Slice version;
    *out_message = "This is a WebSocket endpoint";
    if (!request->wants_upgrade || !connection_says_upgrade(request))
        return 426;
    if (!http_header(request, "sec-websocket-version", &version) ||
        !slice_equal(version, SLICE("13"))) {
        *out_message = "Only WebSocket version 13 is supported";
        return 426;
    }
    if (!http_header(request, "sec-websocket-key", out_key) || !is_key(*out_key)) {
        *out_message = "Sec-WebSocket-Key is missing or malformed";
        return 400;
    }
    return 0;
}

/* -- ending ----------------------------------------------------------------------------------- */

/* W1 */
static void finish(WsConnection *ws, int code, Slice reason)
{
    if (ws->state == WS_DONE)
        return;
    ws->state = WS_DONE;
    ws->handlers->on_close(ws->context, ws, code, reason);
}

static void send_close(WsConnection *ws, int code, Slice reason)
{
    CLEANUP(buffer_done) Buffer frame = {0};
    ws_frame_close(code, reason, &frame);
    stream_write(ws->stream, buffer_slice(&frame));
}

/* From now on the connection has a deadline, also for sending what is queued. */
static void set_deadline(WsConnection *ws)
{
    HttpServer *server = ws->server;
    if (ws->deadline_ms || !server)
        return;
    ws->deadline_ms = loop_now_ms(server->loop) + CLOSE_TIMEOUT_MS;
    http__unlink(&ws->link);
    http__link(&server->closing, &ws->link);
    http__start_sweep(server);
}

static void peer_closed(WsConnection *ws, const WsEvent *event)
{
    if (ws->state == WS_OPEN)
        send_close(ws, event->code, (Slice){0});
    set_deadline(ws);
    stream_close(ws->stream);
    finish(ws, event->code, event->payload);
}

static void broke_rules(WsConnection *ws, const WsEvent *event)
{
    if (ws->state == WS_OPEN)
        send_close(ws, event->code, event->payload);
    set_deadline(ws);
    stream_close(ws->stream);
    finish(ws, event->code, event->payload);
}

/* -- receiving -------------------------------------------------------------------------------- */

static void pong(WsConnection *ws, Slice payload)
{
    bool is_open = ws->state == WS_OPEN;
    if (is_open && stream_queued_bytes(ws->stream) <= SOCKET_QUEUE_BYTES_MAX)
        ws_send(ws, WS_PONG, payload); /* a peer that does not read gets no more of them */
}

static void on_event(WsConnection *ws, const WsEvent *event)
{
    const WsHandlers *handlers = ws->handlers;
    bool is_open = ws->state == WS_OPEN;
    switch (event->kind) {
    case WS_EVENT_MESSAGE:
        if (is_open)
            handlers->on_message(ws->context, ws, event->opcode, event->payload);
        break;
    case WS_EVENT_TOO_LARGE:
        if (is_open && handlers->on_too_large)
            handlers->on_too_large(ws->context, ws);
        break;
    case WS_EVENT_PING:
        pong(ws, event->payload);
        break;
    case WS_EVENT_CLOSE:
        peer_closed(ws, event);
        break;
    case WS_EVENT_ERROR:
        broke_rules(ws, event);
        break;
    default:
        break;
    }
}

/* A client that sends without reading waits until it reads. */
static void check_queue(WsConnection *ws)
{
    bool pause = stream_queued_bytes(ws->stream) > 2 * (size_t)SOCKET_QUEUE_BYTES_MAX;
    if (pause && !ws->is_paused && ws->state == WS_OPEN) {
        ws->is_paused = true;
        stream_pause(ws->stream);
    }
}

static void feed(WsConnection *ws, Slice input)
{
    if (ws->state == WS_OPEN && ws->handlers->on_activity)
        ws->handlers->on_activity(ws->context, ws);
    while (ws->state != WS_DONE) {
        WsEvent event = ws_framer_next(&ws->framer, &input);
        if (event.kind == WS_EVENT_NONE)
            break;
        on_event(ws, &event);
    }
    if (ws->state == WS_OPEN)
        check_queue(ws);
}

static void on_read(void *context, char *bytes, size_t size)
{
    WsConnection *ws = (WsConnection *)context;
    if (ws->early) { /* a stream that does not pause at once: keep the order */
        buffer_add(&ws->early->bytes, bytes, size);
        return;
    }
    feed(ws, slice_of(bytes, size));
}

static void on_end(void *context)
{
    WsConnection *ws = (WsConnection *)context;
    stream_abort(ws->stream); /* without a close frame there is nobody to say goodbye to */
}

static void on_drained(void *context)
{
    WsConnection *ws = (WsConnection *)context;
    if (ws->is_paused) {
        ws->is_paused = false;
        stream_resume(ws->stream);
    }
    if (ws->state == WS_OPEN && ws->handlers->on_drained)
        ws->handlers->on_drained(ws->context, ws);
}

static void forget(WsConnection *ws)
{
    HttpServer *server = ws->server;
    if (!server)
        return;
    ws->server = NULL;
    http__unlink(&ws->link);
    server->socket_count--;
    if (server->handlers->on_disconnect)
        server->handlers->on_disconnect(server->context, &ws->peer);
}

/* W2 */
static void on_closed(void *context)
{
    WsConnection *ws = (WsConnection *)context;
    int code = ws->state == WS_CLOSING ? ws->close_code : WS_CODE_ABNORMAL;
    finish(ws, code, (Slice){0});
    forget(ws);
    if (ws->early)
        ws->early->connection = NULL;
    ws_framer_done(&ws->framer);
    free(ws);
}

static const StreamHandlers stream_handlers = {on_read, on_end, on_drained, on_closed};

static void run_early(LoopTask *task)
{
    EarlyInput *early = (EarlyInput *)task;
    WsConnection *ws = early->connection;
    if (ws) {
        ws->early = NULL;
        stream_resume(ws->stream);
        feed(ws, buffer_slice(&early->bytes));
    }
    buffer_done(&early->bytes);
    free(early);
}

void ws__early_input(WsConnection *ws, Slice bytes)
{
    if (ws->state == WS_DONE)
        return;
    EarlyInput *early = x_new(EarlyInput);
    early->task.run = run_early;
    early->connection = ws;
    buffer_add_slice(&early->bytes, bytes);
    ws->early = early;
    stream_pause(ws->stream);
    loop_post_task(ws->server->loop, &early->task);
}

void ws__sweep(ServerLink *link, uint64_t now_ms)
{
    WsConnection *ws = (WsConnection *)link;
    if (now_ms >= ws->deadline_ms)
        stream_abort(ws->stream);
}

void ws__cut(ServerLink *link)
{
    WsConnection *ws = (WsConnection *)link;
    finish(ws, WS_CODE_ABNORMAL, (Slice){0});
    forget(ws);
    stream_abort(ws->stream);
}

/* -- the public functions --------------------------------------------------------------------- */

WsConnection *ws_accept(HttpRequest *request, const WsHandlers *handlers, void *context)
{
    HttpExchange *x = (HttpExchange *)request;
    Slice key;
    const char *message;
    if (!x->connection) {
        http_respond(request, 400, NULL, 0, (Slice){0});
        return NULL;
    }
    int status = check_request(request, &key, &message);
    if (status) {
        refuse(request, status, message);
        return NULL;
    }
    char accept[32];
    accept_key(key, accept);
    CLEANUP(buffer_done) Buffer answer = {0};
    buffer_printf(&answer,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                  accept);
    WsConnection *ws = x_new(WsConnection);
    ws->server = x->connection->server;
    ws->handlers = handlers;
    ws->context = context;
    ws_framer_init(&ws->framer, WS_MESSAGE_BYTES_MAX);
    http__link(&ws->server->sockets, &ws->link);
    ws->server->socket_count++;
    ws->stream = x->connection->stream;
    ws->stream->handlers = &stream_handlers;
    ws->stream->context = ws;
    http__upgrade(x, ws, buffer_slice(&answer), &ws->peer);
    return ws;
}

void ws_send(WsConnection *ws, WsOpcode opcode, Slice payload)
{
    if (ws->state != WS_OPEN)
        return;
    char head[10];
    stream_write(ws->stream, slice_of(head, ws_frame_head(opcode, payload.size, head)));
    stream_write(ws->stream, payload);
}

void ws_send_shared(WsConnection *ws, SharedBuffer *frame)
{
    if (ws->state == WS_OPEN)
        stream_write_shared(ws->stream, frame);
}

size_t ws_queued_bytes(const WsConnection *ws)
{
    return stream_queued_bytes(ws->stream);
}

void ws_close(WsConnection *ws, int code, Slice reason)
{
    if (ws->state != WS_OPEN)
        return;
    send_close(ws, code, reason);
    ws->state = WS_CLOSING;
    ws->close_code = code;
    set_deadline(ws);
    if (ws->is_paused) {
        ws->is_paused = false;
        stream_resume(ws->stream);
    }
}
