/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/1.1 server of one loop. It knows no routes and no SQL: a complete request goes to
 * on_request, and somebody answers it, at once or later, on the same loop thread.
 *
 * A request lives until it is answered, also when its client has left; then answering does nothing
 * but release it. Each request must be answered exactly once: http_respond*, begin … end, or
 * ws_accept. Requests that a client pipelines are answered in their order; only safe ones (GET,
 * HEAD, OPTIONS) run side by side.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "os/loop.h"
#include "os/tcp.h"

typedef struct HttpServer HttpServer;

typedef enum HttpMethod {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_OTHER, /* see method_text */
} HttpMethod;

typedef struct HttpHeader {
    Slice name, value;
} HttpHeader;

/* All slices point into the request's own memory. */
typedef struct HttpRequest {
    HttpMethod method;
    bool keep_alive;    /* the connection stays open after the answer */
    bool wants_upgrade; /* asks for a WebSocket: ws_accept or any other answer */
    Slice method_text;
    Slice target; /* as sent */
    Slice path;   /* up to '?', not percent-decoded; starts with '/' (or is "*") */
    Slice query;  /* after '?', not decoded */
    const HttpHeader *headers;
    size_t header_count;
    Slice body;
    Peer peer;
    void *user; /* the handler's */
} HttpRequest;

typedef struct HttpHandlers {
    void (*on_request)(void *context, HttpRequest *request);
    /* Optional. Returns 0 to serve the connection, or the HTTP status to refuse it with; then
     * `body` may be filled with a JSON text. A 503 also says Retry-After: 5. */
    int (*on_connect)(void *context, const Peer *peer, Buffer *body);
    /* Optional. For each connection that on_connect let in, when it ends, also as a WebSocket. */
    void (*on_disconnect)(void *context, const Peer *peer);
} HttpHandlers;

/* 0 means the default. */
typedef struct HttpOptions {
    size_t body_bytes_max;     /* HTTP_BODY_BYTES_MAX */
    uint32_t connections_max;  /* of this loop, WebSockets included: 25000 */
    uint32_t head_timeout_ms;  /* first byte to end of headers: 10 s */
    uint32_t body_timeout_ms;  /* end of headers to end of body: 60 s */
    uint32_t idle_timeout_ms;  /* between requests: 75 s */
    uint32_t write_timeout_ms; /* an answer of which nothing moves: 30 s */
} HttpOptions;

/* Borrows handlers and context; options may be NULL. */
HttpServer *http_server_new(Loop *loop, const HttpHandlers *handlers, void *context,
                            const HttpOptions *options);
/* Several times for several addresses. Port 0: the kernel's choice, told by out_port (or NULL).
 * See tcp_port_check for a port that another server has. */
CHECKED Code http_server_listen(HttpServer *server, const char *host, uint16_t port,
                                uint16_t *out_port, Error *e);
/* Stops listening, closes idle connections, the others after their answer. `done` is called once
 * when no HTTP connection is left (WebSockets are the caller's to close). */
void http_server_drain(HttpServer *server, void (*done)(void *context), void *context);
/* Cuts all connections, WebSockets too (their on_close is called). Not from within a
 * callback of its own. Accepts NULL. */
void http_server_free(HttpServer *server);
/* Connections open now, WebSockets included: what http_server_drain waits for, and tests ask. */
size_t http_server_connections(const HttpServer *server);
/* Serves a stream that came from elsewhere than a listener of this server. Takes it. */
void http_server_serve(HttpServer *server, Stream *stream, const Peer *peer);

/* -- reading a request ------------------------------------------------------------------------ */

/* The first header of that name, ignoring case; false when absent. */
bool http_header(const HttpRequest *request, const char *name, Slice *out_value);
/* Appends the decoded value of the first query parameter of that name; false when absent or
 * badly encoded. `+` is a space. */
bool http_query(const HttpRequest *request, const char *name, Buffer *out_value);
/* Appends the decoded text; false (nothing appended) on a bad escape or %00. */
bool http_percent_decode(Slice text, bool plus_is_space, Buffer *out);
/* The value of one cookie; false when absent. */
bool http_cookie(const HttpRequest *request, const char *name, Slice *out_value);
/* Called once if the client leaves before the answer, so that work can be cancelled. One that
 * closed its side is asked with "100 Continue", four times at most, whether it still reads. */
void http_request_on_gone(HttpRequest *request, void (*gone)(void *argument), void *argument);

/* -- answering; the request is gone when these return ------------------------------------------ */

/* Content-Length, Date and Connection are added. Copies the body. */
void http_respond(HttpRequest *request, int status, const HttpHeader *headers, size_t header_count,
                  Slice body);
/* The same, but takes the buffer's memory (left empty). */
void http_respond_buffer(HttpRequest *request, int status, const HttpHeader *headers,
                         size_t header_count, Buffer *body);
/* Content-Type application/json and no further header. */
void http_respond_json(HttpRequest *request, int status, Slice body);

/* Streaming: begin, any number of chunks, end. The request lives until end. */
void http_respond_begin(HttpRequest *request, int status, const HttpHeader *headers,
                        size_t header_count);
/* The same with Content-Length: exactly so many bytes follow in chunks, or the answer is
 * aborted. */
void http_respond_begin_sized(HttpRequest *request, int status, const HttpHeader *headers,
                              size_t header_count, uint64_t body_bytes);
void http_respond_chunk(HttpRequest *request, Slice bytes);
/* A chunk of an answer without a length, made ready once for many requests. Not empty. */
SharedBuffer *http_chunk_shared(Slice bytes);
/* Sends it, by reference where it can. Any loop's. */
void http_respond_chunk_shared(HttpRequest *request, SharedBuffer *chunk);
void http_respond_end(HttpRequest *request);
/* Cuts a streamed answer short so that the client sees it is not whole. Instead of end. */
void http_respond_abort(HttpRequest *request);
/* Bytes of this answer that wait for the client; above SOCKET_QUEUE_BYTES_MAX stop producing. */
size_t http_respond_queued_bytes(const HttpRequest *request);
/* Called each time the queue of a streamed answer has become short again. */
void http_respond_on_drained(HttpRequest *request, void (*drained)(void *argument), void *argument);
