/* SPDX-License-Identifier: Apache-2.0
 *
 * The server of one loop: listening, counting, timeouts, stopping.
 *
 * Timeouts are one sweep a few times a second over the connections, not a timer each: they need no
 * precision. WebSockets are swept only while they close; with idle ones alone the sweep stands
 * still.
 */
#include "http/http_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"

enum { SWEEP_MS = 250, LISTENERS_MAX = 8 };

static void on_sweep(void *context)
{
    HttpServer *server = (HttpServer *)context;
    uint64_t now_ms = loop_now_ms(server->loop);
    ServerLink *at = server->connections.next;
    while (at != &server->connections) {
        ServerLink *next = at->next; /* a sweep closes, but frees in a later turn */
        http__sweep_connection((HttpConnection *)at, now_ms);
        at = next;
    }
    at = server->closing.next;
    while (at != &server->closing) {
        ServerLink *next = at->next;
        ws__sweep(at, now_ms);
        at = next;
    }
    if (server->connection_count == 0 && server->closing.next == &server->closing) {
        loop_timer_stop(server->sweep);
        server->is_sweeping = false;
    }
}

void http__start_sweep(HttpServer *server)
{
    if (server->is_sweeping)
        return;
    server->is_sweeping = true;
    loop_timer_start(server->sweep, SWEEP_MS, SWEEP_MS);
}

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

HttpServer *http_server_new(Loop *loop, const HttpHandlers *handlers, void *context,
                            const HttpOptions *options)
{
    HttpServer *server = x_new(HttpServer);
    server->loop = loop;
    server->handlers = handlers;
    server->context = context;
    HttpOptions o = options ? *options : (HttpOptions){0};
    if (o.body_bytes_max == 0 || o.body_bytes_max > HTTP_BODY_BYTES_MAX)
        o.body_bytes_max = HTTP_BODY_BYTES_MAX;
    o.connections_max = or_default(o.connections_max, 25000);
    o.head_timeout_ms = or_default(o.head_timeout_ms, 10 * 1000);
    o.body_timeout_ms = or_default(o.body_timeout_ms, 60 * 1000);
    o.idle_timeout_ms = or_default(o.idle_timeout_ms, 75 * 1000);
    o.write_timeout_ms = or_default(o.write_timeout_ms, 30 * 1000);
    server->options = o;
    server->connections = (ServerLink){&server->connections, &server->connections};
    server->sockets = (ServerLink){&server->sockets, &server->sockets};
    server->closing = (ServerLink){&server->closing, &server->closing};
    server->sweep = loop_timer_new(loop, on_sweep, server);
    return server;
}

void http_server_serve(HttpServer *server, Stream *stream, const Peer *peer)
{
    CLEANUP(buffer_done) Buffer refusal = {0};
    int status = 0;
    size_t count = http_server_connections(server);
    if (count >= server->options.connections_max) {
        status = 503;
        buffer_printf(&refusal,
                      "{\"error\":\"TOO_MANY_CONNECTIONS\",\"message\":\"Too many connections\","
                      "\"current\":%zu,\"max\":%u}",
                      count, server->options.connections_max);
    } else if (server->handlers->on_connect) {
        status = server->handlers->on_connect(server->context, peer, &refusal);
    }
    http__connection_new(server, stream, peer, status == 0, status, buffer_slice(&refusal));
}

static void on_accepted(void *context, Stream *stream, const Peer *peer)
{
    http_server_serve((HttpServer *)context, stream, peer);
}

Code http_server_listen(HttpServer *server, const char *host, uint16_t port, uint16_t *out_port,
                        Error *e)
{
    must(server->listener_count < LISTENERS_MAX);
    TcpListen listen = {host, port, on_accepted, server};
    TRY(tcp_listen(server->loop, &listen, &server->listeners[server->listener_count], out_port, e));
    server->listener_count++;
    return OK;
}

static void close_listeners(HttpServer *server)
{
    while (server->listener_count)
        listener_close(server->listeners[--server->listener_count]);
}

static void check_drained(HttpServer *server)
{
    if (!server->is_draining || server->connection_count || !server->drained)
        return;
    void (*drained)(void *context) = server->drained;
    server->drained = NULL;
    drained(server->drained_context);
}

void http_server_drain(HttpServer *server, void (*done)(void *context), void *context)
{
    close_listeners(server);
    server->is_draining = true;
    server->drained = done;
    server->drained_context = context;
    for (ServerLink *at = server->connections.next; at != &server->connections;) {
        ServerLink *next = at->next;
        http__run((HttpConnection *)at);
        at = next;
    }
    check_drained(server);
}

void http__forget_connection(HttpConnection *c)
{
    HttpServer *server = c->server;
    if (!server)
        return;
    http__unlink(&c->link);
    server->connection_count--;
    /* after an upgrade the WebSocket goes on as the same connection */
    if (!c->upgraded && c->is_let_in && server->handlers->on_disconnect)
        server->handlers->on_disconnect(server->context, &c->peer);
    check_drained(server);
}

size_t http_server_connections(const HttpServer *server)
{
    return server->connection_count + server->socket_count;
}

void http_server_free(HttpServer *server)
{
    if (!server)
        return;
    close_listeners(server);
    server->drained = NULL;
    while (server->connections.next != &server->connections)
        http__cut((HttpConnection *)server->connections.next);
    while (server->sockets.next != &server->sockets)
        ws__cut(server->sockets.next);
    while (server->closing.next != &server->closing)
        ws__cut(server->closing.next);
    loop_timer_free(server->sweep);
    free(server);
}
