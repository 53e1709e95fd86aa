/* SPDX-License-Identifier: Apache-2.0
 *
 * Answering. Bytes of the first exchange go to the stream, those of the others wait in `held`.
 */
#include "http/http_int.h"

#include <stdio.h>
#include <time.h>

static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *status_text(int status)
{
    for (size_t i = 0; i < sizeof status_texts / sizeof *status_texts; i++)
        if (status_texts[i].status == status)
            return status_texts[i].text;
    return "Status";
}

/* Formatted once a second: the calendar costs more than the rest of an answer. */
static Slice date_of(HttpServer *server)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = time(NULL);
    if (now != server->date_second) {
        struct tm t;
        gmtime_r(&now, &t);
        snprintf(server->date, sizeof server->date, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                 days[t.tm_wday], (unsigned)t.tm_mday % 100, months[t.tm_mon],
                 (unsigned)(t.tm_year + 1900) % 10000, (unsigned)t.tm_hour % 100,
                 (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100);
        server->date_second = now;
    }
    return slice_of_text(server->date);
}

static void emit(HttpExchange *x, Slice bytes)
{
    if (x->connection->first == x)
        stream_write(x->connection->stream, bytes);
    else
        buffer_add_slice(&x->held, bytes);
}

static void emit_buffer(HttpExchange *x, Buffer *bytes)
{
    if (x->connection->first == x) {
        stream_write_buffer(x->connection->stream, bytes);
        return;
    }
    buffer_add_slice(&x->held, buffer_slice(bytes));
    buffer_done(bytes);
}

/* A line break in a value would let its author write headers: it becomes a space. */
static void add_header(Buffer *out, const HttpHeader *header)
{
    buffer_add_slice(out, header->name);
    buffer_add(out, ": ", 2);
    for (size_t i = 0; i < header->value.size; i++) {
        unsigned char c = (unsigned char)header->value.data[i];
        buffer_add_char(out, c == '\r' || c == '\n' || c == 0 ? ' ' : (char)c);
    }
    buffer_add(out, "\r\n", 2);
}

static void add_head(HttpExchange *x, int status, const HttpHeader *headers, size_t header_count,
                     Buffer *out)
{
    HttpServer *server = x->connection->server;
    if (server->is_draining)
        x->request.keep_alive = false;
    if (status == 200)
        buffer_add_slice(out, SLICE("HTTP/1.1 200 OK\r\nDate: "));
    else
        buffer_printf(out, "HTTP/1.1 %d %s\r\nDate: ", status, status_text(status));
    buffer_add_slice(out, date_of(server));
    buffer_add(out, "\r\n", 2);
    for (size_t i = 0; i < header_count; i++)
        add_header(out, &headers[i]);
    if (!x->request.keep_alive)
        buffer_add_slice(out, SLICE("Connection: close\r\n"));
    else if (x->is_http_10)
        buffer_add_slice(out, SLICE("Connection: keep-alive\r\n"));
}

static void add_length(Buffer *out, uint64_t length)
{
    char digits[24];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + length % 10);
        length /= 10;
    } while (length);
    buffer_add_slice(out, SLICE("Content-Length: "));
    buffer_add(out, digits + at, sizeof digits - at);
    buffer_add(out, "\r\n", 2);
}

static void finish(HttpExchange *x)
{
    x->is_streaming = false;
    x->is_answered = true;
    http__run(x->connection);
}

/* The head of an answer whose length is known. `body` is copied behind it when not NULL. */
static void respond_head(HttpExchange *x, int status, const HttpHeader *headers,
                         size_t header_count, size_t body_bytes)
{
    CLEANUP(buffer_done) Buffer head = {0};
    buffer_reserve(&head, 256);
    add_head(x, status, headers, header_count, &head);
    if (status != 204 && status != 304 && status >= 200)
        add_length(&head, body_bytes);
    buffer_add(&head, "\r\n", 2);
    emit(x, buffer_slice(&head));
}

static bool has_no_body(const HttpExchange *x, int status)
{
    return x->request.method == METHOD_HEAD || status == 204 || status == 304;
}

/* Whoever still answers when the client has left only lets go. */
static bool is_gone(HttpExchange *x)
{
    must(!x->is_answered);
    if (x->connection)
        return false;
    http__exchange_free(x);
    return true;
}

void http_respond(HttpRequest *request, int status, const HttpHeader *headers, size_t header_count,
                  Slice body)
{
    HttpExchange *x = (HttpExchange *)request;
    if (is_gone(x))
        return;
    respond_head(x, status, headers, header_count, body.size);
    if (!has_no_body(x, status))
        emit(x, body);
    finish(x);
}

void http_respond_buffer(HttpRequest *request, int status, const HttpHeader *headers,
                         size_t header_count, Buffer *body)
{
    HttpExchange *x = (HttpExchange *)request;
    if (is_gone(x)) {
        buffer_done(body);
        return;
    }
    respond_head(x, status, headers, header_count, body->size);
    if (!has_no_body(x, status))
        emit_buffer(x, body);
    buffer_done(body);
    finish(x);
}

void http_respond_json(HttpRequest *request, int status, Slice body)
{
    HttpHeader header = {SLICE("Content-Type"), SLICE("application/json")};
    http_respond(request, status, &header, 1, body);
}

/* -- streaming -------------------------------------------------------------------------------- */

static void begin(HttpExchange *x, int status, const HttpHeader *headers, size_t header_count)
{
    must(!x->is_streaming && !x->is_answered);
    x->is_streaming = true;
    if (!x->connection)
        return;
    if (x->is_http_10 && !x->is_sized) /* no chunks: the end of the connection ends the body */
        x->request.keep_alive = false;
    CLEANUP(buffer_done) Buffer head = {0};
    add_head(x, status, headers, header_count, &head);
    if (x->is_sized)
        add_length(&head, x->body_owed);
    else if (!x->is_http_10)
        buffer_add_slice(&head, SLICE("Transfer-Encoding: chunked\r\n"));
    buffer_add(&head, "\r\n", 2);
    emit(x, buffer_slice(&head));
}

void http_respond_begin(HttpRequest *request, int status, const HttpHeader *headers,
                        size_t header_count)
{
    begin((HttpExchange *)request, status, headers, header_count);
}

void http_respond_begin_sized(HttpRequest *request, int status, const HttpHeader *headers,
                              size_t header_count, uint64_t body_bytes)
{
    HttpExchange *x = (HttpExchange *)request;
    x->is_sized = true;
    x->body_owed = body_bytes;
    begin(x, status, headers, header_count);
}

void http_respond_chunk(HttpRequest *request, Slice bytes)
{
    HttpExchange *x = (HttpExchange *)request;
    must(x->is_streaming);
    must(!x->is_sized || bytes.size <= x->body_owed);
    x->body_owed -= x->is_sized ? bytes.size : 0;
    if (!x->connection || bytes.size == 0 || request->method == METHOD_HEAD)
        return;
    if (x->is_http_10 || x->is_sized) {
        emit(x, bytes);
        return;
    }
    char size[24];
    int size_bytes = snprintf(size, sizeof size, "%zx\r\n", bytes.size);
    emit(x, slice_of(size, (size_t)size_bytes));
    emit(x, bytes);
    emit(x, SLICE("\r\n"));
}

SharedBuffer *http_chunk_shared(Slice bytes)
{
    char size[24];
    must(bytes.size > 0);
    size_t size_bytes = (size_t)snprintf(size, sizeof size, "%zx\r\n", bytes.size);
    SharedBuffer *chunk = shared_buffer_new(size_bytes + bytes.size + 2);
    char *at = chunk->data;
    memcpy(at, size, size_bytes);
    memcpy(at + size_bytes, bytes.data, bytes.size);
    memcpy(at + size_bytes + bytes.size, "\r\n", 2);
    return chunk;
}

/* What it holds between the lines that HTTP/1.0 does not know. */
static Slice chunk_body(const SharedBuffer *chunk)
{
    Slice all = shared_buffer_slice(chunk);
    const char *body = (const char *)memchr(all.data, '\n', all.size) + 1;
    return slice_of(body, all.size - (size_t)(body - all.data) - 2);
}

void http_respond_chunk_shared(HttpRequest *request, SharedBuffer *chunk)
{
    HttpExchange *x = (HttpExchange *)request;
    must(x->is_streaming && !x->is_sized);
    if (!x->connection || request->method == METHOD_HEAD)
        return;
    if (x->is_http_10)
        emit(x, chunk_body(chunk));
    else if (x->connection->first == x)
        stream_write_shared(x->connection->stream, chunk);
    else
        buffer_add_slice(&x->held, shared_buffer_slice(chunk));
}

void http_respond_end(HttpRequest *request)
{
    HttpExchange *x = (HttpExchange *)request;
    must(x->is_streaming);
    must(!x->is_sized || x->body_owed == 0 || request->method == METHOD_HEAD || !x->connection);
    if (is_gone(x))
        return;
    if (!x->is_http_10 && !x->is_sized && request->method != METHOD_HEAD)
        emit(x, SLICE("0\r\n\r\n"));
    finish(x);
}

void http_respond_abort(HttpRequest *request)
{
    HttpExchange *x = (HttpExchange *)request;
    if (is_gone(x))
        return;
    x->is_cut = true;
    finish(x);
}

size_t http_respond_queued_bytes(const HttpRequest *request)
{
    const HttpExchange *x = (const HttpExchange *)request;
    if (!x->connection)
        return 0;
    return x->held.size +
           (x->connection->first == x ? stream_queued_bytes(x->connection->stream) : 0);
}

void http_respond_on_drained(HttpRequest *request, void (*drained)(void *argument), void *argument)
{
    HttpExchange *x = (HttpExchange *)request;
    x->drained = drained;
    x->drained_argument = argument;
}
