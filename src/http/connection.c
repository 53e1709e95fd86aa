/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP connection: from bytes to requests, in order, and on to the next.
 *
 * Invariants
 * I1  Exchanges stand in the order of arrival; only the first one writes to the stream, the others
 *     hold their answer.
 * I2  A request is dispatched when it is the first, or when it and all before it are safe: side
 *     effects happen in the client's order.
 * I3  Nothing is parsed while HTTP_PIPELINE_MAX exchanges wait, while their bodies together exceed
 *     the limit of one, while an upgrade is undecided, or while the client does not read.
 * I4  http__run is the only place that parses, dispatches and releases; it is not reentrant:
 *     whoever answers from within on_request only leaves a mark.
 */
#include "http/http_int.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"

static void free_exchanges(HttpConnection *c)
{
    HttpExchange *x = c->first;
    c->first = c->last = c->reading = NULL;
    c->exchange_count = 0;
    while (x) {
        HttpExchange *next = x->next;
        x->connection = NULL;
        x->next = NULL;
        if (!x->is_dispatched || x->is_answered)
            http__exchange_free(x);
        else if (x->gone)
            x->gone(x->gone_argument); /* may answer, and so free it */
        x = next;
    }
}

static void connection_free(HttpConnection *c)
{
    buffer_done(&c->head);
    buffer_done(&c->input);
    free(c);
}

/* -- receiving -------------------------------------------------------------------------------- */

static void append_exchange(HttpConnection *c, HttpExchange *x)
{
    x->connection = c;
    x->request.peer = c->peer;
    if (c->last)
        c->last->next = x;
    else
        c->first = x;
    c->last = x;
    c->exchange_count++;
}

static void body_complete(HttpConnection *c, HttpExchange *x)
{
    x->request.body = buffer_slice(&x->body);
    x->is_complete = true;
    c->body_bytes += x->body.size;
    c->reading = NULL;
    c->had_request = true;
    c->wait = WAIT_NONE;
    if (!x->request.keep_alive)
        c->is_input_closed = true;
}

/* compat: flat JSON with the sizes */
static void refuse_body(HttpConnection *c, uint64_t size)
{
    CLEANUP(buffer_done) Buffer body = {0};
    size_t max = c->server->options.body_bytes_max;
    buffer_printf(
        &body,
        "{\"error\":\"BODY_TOO_LARGE\",\"message\":\"Request body exceeds maximum allowed "
        "size\",\"size_bytes\":%llu,\"max_bytes\":%zu}",
        (unsigned long long)size, max);
    HttpExchange *x = c->reading;
    c->reading = NULL;
    c->is_input_closed = true;
    x->is_complete = x->is_dispatched = true;
    x->request.keep_alive = false;
    http_respond_json(&x->request, 413, buffer_slice(&body));
}

static void refuse(HttpConnection *c, const HttpProblem *problem)
{
    HttpExchange *x = c->reading;
    if (!x) {
        x = http__exchange_new();
        append_exchange(c, x);
    }
    c->reading = NULL;
    c->is_input_closed = true;
    x->is_complete = x->is_dispatched = true;
    x->request.keep_alive = false;
    CLEANUP(buffer_done) Buffer body = {0};
    buffer_printf(&body, "{\"error\":\"%s\",\"message\":\"%s\"}", problem->code, problem->message);
    http_respond_json(&x->request, problem->status, buffer_slice(&body));
}

static void head_received(HttpConnection *c, Slice head)
{
    HttpProblem problem;
    HttpExchange *x = http__parse_head(head, c->scan.lines, &problem);
    c->scan = (HeadScan){0};
    if (!x) {
        refuse(c, &problem);
        return;
    }
    append_exchange(c, x);
    c->reading = x;
    c->wait = WAIT_NONE;
    if (x->body_left > c->server->options.body_bytes_max)
        refuse_body(c, x->body_left);
    else if (x->body_kind == BODY_NONE)
        body_complete(c, x);
    else if (x->body_kind == BODY_CHUNKED)
        c->chunks = (ChunkDecoder){0};
}

static void scan_refused(HttpConnection *c, ScanResult result)
{
    static const HttpProblem problems[] = {
        [SCAN_BAD] = {400, "BAD_REQUEST", "The request is not valid HTTP/1.1"},
        [SCAN_TARGET_TOO_LONG] = {414, "URI_TOO_LONG", "The request target is too long"},
        [SCAN_HEADERS_TOO_LARGE] = {431, "HEADERS_TOO_LARGE", "The request headers are too large"},
    };
    refuse(c, &problems[result]);
}

static void parse_head(HttpConnection *c, Slice *input)
{
    size_t taken = 0;
    ScanResult result = http__scan_head(&c->scan, *input, &taken);
    Slice piece = slice_of(input->data, taken);
    *input = slice_of(input->data + taken, input->size - taken);
    if (result == SCAN_DONE && c->head.size == 0) {
        head_received(c, piece);
    } else if (result == SCAN_DONE || result == SCAN_MORE) {
        buffer_add_slice(&c->head, piece);
        if (result == SCAN_DONE) {
            head_received(c, buffer_slice(&c->head));
            buffer_done(&c->head);
        }
    } else {
        scan_refused(c, result);
    }
}

static void parse_sized_body(HttpConnection *c, HttpExchange *x, Slice *input)
{
    size_t piece = input->size < x->body_left ? input->size : (size_t)x->body_left;
    buffer_add(&x->body, input->data, piece);
    x->body_left -= piece;
    *input = slice_of(input->data + piece, input->size - piece);
    if (x->body_left == 0)
        body_complete(c, x);
}

static void parse_chunked_body(HttpConnection *c, HttpExchange *x, Slice *input)
{
    size_t taken = 0, max = c->server->options.body_bytes_max;
    ChunkResult result = http__decode_chunks(&c->chunks, *input, max, &x->body, &taken);
    *input = slice_of(input->data + taken, input->size - taken);
    if (result == CHUNK_DONE)
        body_complete(c, x);
    else if (result == CHUNK_TOO_LARGE)
        refuse_body(c, x->body.size + c->chunks.left);
    else if (result == CHUNK_BAD)
        refuse(c, &(HttpProblem){400, "BAD_REQUEST", "The chunked body is malformed"});
}

static void parse_input(HttpConnection *c, Slice *input)
{
    if (!c->reading)
        parse_head(c, input);
    else if (c->reading->body_kind == BODY_SIZED)
        parse_sized_body(c, c->reading, input);
    else
        parse_chunked_body(c, c->reading, input);
}

/* -- moving on -------------------------------------------------------------------------------- */

/* I3 */
static bool may_parse(const HttpConnection *c)
{
    if (c->is_input_closed || c->is_closing || c->upgraded)
        return false;
    if (c->reading)
        return true;
    bool undecided = c->last && c->last->request.wants_upgrade;
    return !undecided && c->exchange_count < HTTP_PIPELINE_MAX &&
           c->body_bytes <= c->server->options.body_bytes_max &&
           stream_queued_bytes(c->stream) <= SOCKET_QUEUE_BYTES_MAX;
}

static bool is_safe(const HttpExchange *x)
{
    HttpMethod method = x->request.method;
    return (method == METHOD_GET || method == METHOD_HEAD || method == METHOD_OPTIONS) &&
           !x->request.wants_upgrade;
}

/* I2 */
static bool dispatch(HttpConnection *c)
{
    for (HttpExchange *x = c->first; x && x->is_complete; x = x->next) {
        if (!x->is_dispatched) {
            if (x != c->first && !is_safe(x))
                return false;
            x->is_dispatched = true;
            c->server->handlers->on_request(c->server->context, &x->request);
            return true;
        }
        if (!is_safe(x))
            return false;
    }
    return false;
}

static void close_now(HttpConnection *c)
{
    c->is_closing = true;
    stream_close(c->stream);
    free_exchanges(c);
}

/* A streamed answer that was held may go on, unless the stream will say so itself. */
static void tell_drained(HttpConnection *c)
{
    HttpExchange *x = c->first;
    if (x->is_streaming && x->drained &&
        stream_queued_bytes(c->stream) <= SOCKET_QUEUE_BYTES_MAX / 4)
        x->drained(x->drained_argument);
}

/* I1: the next one's held bytes go out; false when nothing was finished. */
static bool release(HttpConnection *c)
{
    HttpExchange *x = c->first;
    if (!x || !x->is_answered || c->is_closing)
        return false;
    bool closes = !x->request.keep_alive || c->server->is_draining;
    if (x->is_cut) {
        c->is_closing = true;
        stream_abort(c->stream);
        free_exchanges(c);
        return false;
    }
    c->first = x->next;
    if (!c->first)
        c->last = NULL;
    c->exchange_count--;
    c->body_bytes -= x->is_complete ? x->request.body.size : 0;
    http__exchange_free(x);
    if (closes) {
        close_now(c);
        return false;
    }
    if (c->first && c->first->held.size) {
        stream_write_buffer(c->stream, &c->first->held);
        tell_drained(c);
    }
    return true;
}

#define CONTINUE SLICE("HTTP/1.1 100 Continue\r\n\r\n")

static void send_continue(HttpConnection *c)
{
    HttpExchange *x = c->reading;
    if (!x || x != c->first || !x->expects_continue)
        return;
    x->expects_continue = false;
    if (x->body.size == 0) /* a client that has begun to send does not wait */
        stream_write(c->stream, CONTINUE);
}

static void set_wait(HttpConnection *c)
{
    const HttpOptions *options = &c->server->options;
    WaitKind wait = WAIT_NONE;
    uint32_t timeout_ms = 0;
    if (c->reading) {
        wait = WAIT_BODY;
        timeout_ms = options->body_timeout_ms;
    } else if (c->head.size || (!c->had_request && !c->first)) {
        wait = WAIT_HEAD;
        timeout_ms = options->head_timeout_ms;
    } else if (!c->first) {
        wait = WAIT_IDLE;
        timeout_ms = options->idle_timeout_ms;
    }
    if (wait != c->wait)
        c->deadline_ms = wait ? loop_now_ms(c->server->loop) + timeout_ms : 0;
    c->wait = wait;
}

static void set_reading(HttpConnection *c)
{
    bool pause = c->input.size > 0 || (!may_parse(c) && !c->is_input_closed);
    if (pause == c->is_paused)
        return;
    c->is_paused = pause;
    if (pause)
        stream_pause(c->stream);
    else
        stream_resume(c->stream);
}

/* Parses, dispatches and releases as far as it goes; returns what could not be taken yet. I4 */
static Slice run(HttpConnection *c, Slice input)
{
    c->is_busy = true;
    bool moved = true;
    while (moved && !c->is_closing && !c->upgraded) {
        moved = release(c);
        if (c->is_closing)
            break;
        moved |= dispatch(c);
        if (!c->upgraded && input.size && may_parse(c)) {
            parse_input(c, &input);
            moved = true;
        }
    }
    c->is_busy = false;
    return input;
}

static void settle(HttpConnection *c)
{
    if (c->is_closing)
        return;
    if (c->has_ended && (c->first == NULL || c->first == c->reading)) {
        close_now(c);
        return;
    }
    if (c->server->is_draining && !c->first && c->head.size == 0) {
        close_now(c);
        return;
    }
    send_continue(c);
    set_reading(c);
    set_wait(c);
}

static void finish_upgrade(HttpConnection *c, Slice rest)
{
    if (rest.size)
        ws__early_input(c->upgraded, rest);
    connection_free(c);
}

static void take_input(HttpConnection *c, Slice bytes)
{
    Slice rest = run(c, bytes);
    if (c->upgraded) {
        finish_upgrade(c, rest);
        return;
    }
    if (!c->is_closing && !c->is_input_closed)
        buffer_add_slice(&c->input, rest);
    settle(c);
}

void http__run(HttpConnection *c)
{
    if (c->is_busy || c->is_closing)
        return;
    Buffer waiting = c->input;
    c->input = (Buffer){0};
    take_input(c, buffer_slice(&waiting));
    buffer_done(&waiting);
}

/* -- the stream's callbacks ------------------------------------------------------------------- */

static void on_read(void *context, char *bytes, size_t size)
{
    HttpConnection *c = (HttpConnection *)context;
    if (c->is_closing || c->is_input_closed)
        return;
    if (c->input.size) { /* a stream that does not pause at once */
        buffer_add(&c->input, bytes, size);
        http__run(c);
        return;
    }
    take_input(c, slice_of(bytes, size));
}

/* Nobody half-closes to watch a stream; the answer may begin after the end has come
 * (http__sweep_connection). */
static bool leave_stream(HttpConnection *c)
{
    if (!c->has_ended || !c->first || !c->first->is_streaming)
        return false;
    c->is_closing = true;
    stream_abort(c->stream);
    free_exchanges(c);
    return true;
}

static void on_end(void *context)
{
    HttpConnection *c = (HttpConnection *)context;
    c->has_ended = true;
    c->is_input_closed = true;
    if (!leave_stream(c))
        settle(c);
}

static void on_drained(void *context)
{
    HttpConnection *c = (HttpConnection *)context;
    HttpExchange *x = c->first;
    if (x && x->is_streaming && x->drained) {
        c->is_busy = true; /* the run below does it all, and may free the connection */
        x->drained(x->drained_argument);
        c->is_busy = false;
    }
    http__run(c);
}

static void on_closed(void *context)
{
    HttpConnection *c = (HttpConnection *)context;
    c->is_closing = true;
    free_exchanges(c);
    http__forget_connection(c);
    connection_free(c);
}

static const StreamHandlers stream_handlers = {on_read, on_end, on_drained, on_closed};

void http__connection_new(HttpServer *server, Stream *stream, const Peer *peer, bool is_let_in,
                          int status, Slice refusal)
{
    HttpConnection *c = x_new(HttpConnection);
    c->server = server;
    c->stream = stream;
    c->peer = *peer;
    c->is_let_in = is_let_in;
    stream->handlers = &stream_handlers;
    stream->context = c;
    http__link(&server->connections, &c->link);
    server->connection_count++;
    http__start_sweep(server);
    if (status) {
        HttpExchange *x = http__exchange_new();
        append_exchange(c, x);
        c->is_input_closed = true;
        x->is_complete = x->is_dispatched = true;
        HttpHeader headers[] = {{SLICE("Content-Type"), SLICE("application/json")},
                                {SLICE("Retry-After"), SLICE("5")}};
        http_respond(&x->request, status, headers, status == 503 ? 2 : 1, refusal);
        return;
    }
    set_wait(c);
}

void http__cut(HttpConnection *c)
{
    c->is_closing = true;
    free_exchanges(c);
    http__forget_connection(c);
    c->server = NULL;
    stream_abort(c->stream);
}

/* -- time and upgrades ------------------------------------------------------------------------ */

static void check_progress(HttpConnection *c, uint64_t now_ms)
{
    size_t queued = stream_queued_bytes(c->stream);
    if (queued == 0 || queued != c->progress_bytes) {
        c->progress_bytes = queued;
        c->progress_ms = now_ms;
    } else if (now_ms - c->progress_ms >= c->server->options.write_timeout_ms) {
        c->is_closing = true;
        stream_abort(c->stream);
    }
}

enum { ASKED_MAX = 4 }; /* some clients take no more than five interim answers */

/* A client that has closed looks like one that only sends no more, until something is written: it
 * resets the connection at that, and the write after it fails. Clients read over a 100 before their
 * answer, also when they have not asked for it (RFC 9110, 15.2); those of HTTP/1.0 do not. */
static void ask_whether_gone(HttpConnection *c)
{
    const HttpExchange *x = c->first;
    bool is_waiting = x && x->is_dispatched && x->gone && !x->is_streaming && !x->is_http_10;
    if (!c->has_ended || c->is_closing || !is_waiting || c->asked == ASKED_MAX)
        return;
    if (stream_queued_bytes(c->stream) == 0) {
        c->asked++;
        stream_write(c->stream, CONTINUE);
    }
}

void http__sweep_connection(HttpConnection *c, uint64_t now_ms)
{
    check_progress(c, now_ms);
    ask_whether_gone(c);
    if (c->is_closing || leave_stream(c) || c->wait == WAIT_NONE || now_ms < c->deadline_ms)
        return;
    if (c->wait == WAIT_IDLE || (c->wait == WAIT_HEAD && c->head.size == 0)) {
        close_now(c);
        return;
    }
    refuse(c, &(HttpProblem){408, "REQUEST_TIMEOUT", "The request took too long to arrive"});
    http__run(c);
}

Stream *http__upgrade(HttpExchange *exchange, struct WsConnection *socket, Slice answer,
                      Peer *out_peer)
{
    HttpConnection *c = exchange->connection;
    must(c->first == exchange && c->last == exchange);
    Stream *stream = c->stream;
    *out_peer = c->peer;
    stream_write(stream, answer);
    c->upgraded = socket;
    c->stream = NULL;
    c->first = c->last = NULL;
    http__exchange_free(exchange);
    if (c->is_paused)
        stream_resume(stream);
    http__forget_connection(c);
    if (!c->is_busy) {
        Slice rest = buffer_slice(&c->input);
        finish_upgrade(c, rest);
    }
    return stream;
}
