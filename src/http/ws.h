/* SPDX-License-Identifier: Apache-2.0
 *
 * WebSocket connections (RFC 6455, version 13, no extensions). They belong to the loop thread of
 * the request they came from. The protocol itself is in ws_frame.h; this is the connection.
 */
#pragma once

#include "http/http.h"
#include "http/ws_frame.h"

typedef struct WsConnection WsConnection;

typedef struct WsHandlers {
    /* WS_TEXT (valid UTF-8) or WS_BINARY. Borrows the payload until it returns. */
    void (*on_message)(void *context, WsConnection *connection, WsOpcode opcode, Slice payload);
    /* Optional: a message longer than WS_MESSAGE_BYTES_MAX begins. It is skipped, the connection
     * stays. */
    void (*on_too_large)(void *context, WsConnection *connection);
    /* Optional: any frame arrived, pings included (for idle timers). */
    void (*on_activity)(void *context, WsConnection *connection);
    /* Optional: the queue fell to a quarter of SOCKET_QUEUE_BYTES_MAX after having been above. */
    void (*on_drained)(void *context, WsConnection *connection);
    /* The last call, exactly once, never from within a ws_* call (http_server_free aside). 1006: no
     * close frame came. The connection must not be used afterwards. */
    void (*on_close)(void *context, WsConnection *connection, int code, Slice reason);
} WsHandlers;

/* Answers the request: with 101 and a connection, or with 400/426 and NULL (also NULL when the
 * client has left). Either way the request is gone. Borrows handlers and context. */
WsConnection *ws_accept(HttpRequest *request, const WsHandlers *handlers, void *context);

/* Frames and queues a copy of a whole message. Ignored once the connection is closing. */
void ws_send(WsConnection *connection, WsOpcode opcode, Slice payload);
/* Queues a frame made by ws_frame_shared; adds a reference of its own. One frame serves any number
 * of connections. */
void ws_send_shared(WsConnection *connection, SharedBuffer *frame);
/* Bytes waiting for this client. Not bounded here: look before sending more. */
size_t ws_queued_bytes(const WsConnection *connection);
/* Starts the close handshake; messages from the client are no longer delivered. on_close follows
 * when the client agrees, or after 3 s. `reason` is cut to what a frame holds. */
void ws_close(WsConnection *connection, int code, Slice reason);
