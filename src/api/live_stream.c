/* SPDX-License-Identifier: Apache-2.0
 *
 * One live query as an endless answer: who asks, for what, and how messages become events. What a
 * subscription is and what it gets is live/'s; live_socket.c does the same for WebSockets.
 *
 *     token -> query string -> live_subscribe ──first message──> head, events … ──end──> released
 *                                                └─an error──> an ordinary answer
 *
 * I1. The answer begins with the first message, so that what is refused at once is refused by its
 *     status.
 * I2. An event has an id only where resuming is exact (LiveSocket.send): `Last-Event-ID` resumes
 *     with replay.
 * I3. The last event of a stream that the server ends is an error that says why; only who does not
 *     read is cut without one.
 * I4. live/ calls us while it works on the client: ending is always a task of its own.
 * I5. A stream lives until its request is answered, no worker looks at its token and no task is
 *     posted.
 */
#include "api/live_stream.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "api/failure_log.h"
#include "api/live_message.h"
#include "api/parameters.h"
#include "api/reply.h"
#include "api/session.h"
#include "auth/token.h"
#include "base/limits.h"
#include "http/ws.h"
#include "os/clock.h"

enum {
    PING_MS = 15 * 1000,
    DRAINED_MARK = SOCKET_QUEUE_BYTES_MAX / 4, /* as os/stream.h says */
};

/* When a browser that was cut off comes back. */
#define RETRY_MS "2000"

/* The id of the only subscription of a stream, and how its errors begin. */
#define STREAM_ID "live"
static const Slice error_start =
    SLICE("{\"type\":\"error\",\"subscription_id\":\"" STREAM_ID "\",");

typedef struct LiveStream {
    ApiLoop *api;
    HttpRequest *request; /* answered when the stream ends */
    LiveClient *client;   /* NULL before the token is verified, and once the stream ends */
    bool is_begun, is_ending, is_cut, is_gone;
    bool is_pending;   /* a worker or the loop's inbox has the task */
    uint64_t moved_ms; /* when something was last sent */
    Buffer refusal;    /* the error message that came before anything else */
    Buffer event;
    Arena *arena;
    Slice token;           /* borrowed from the request */
    LiveRequest ask;       /* texts in arena */
    Session user;          /* texts in arena */
    int64_t expires_at_us; /* as the token says */
    LoopTask task;
    Code code;
    Error error;
} LiveStream;

/* ---- the end ---- */

/* The socket's codes (docs/websocket.md) as statuses. */
static int status_of(Slice rest)
{
    static const struct {
        const char *start;
        int status;
    } statuses[] = {
        {"\"code\":\"INVALID_SQL\"", 400},    {"\"code\":\"UNSUPPORTED\"", 400},
        {"\"code\":\"UNAUTHORIZED\"", 403},   {"\"code\":\"TOKEN_EXPIRED\"", 401},
        {"\"code\":\"SHUTTING_DOWN\"", 503},  {"\"code\":\"SERVER_BUSY\"", 503},
        {"\"code\":\"NOT_FOUND\"", 404},      {"\"code\":\"CURSOR_TOO_OLD\"", 410},
        {"\"code\":\"CURSOR_TOO_NEW\"", 400}, {"\"code\":\"SUBSCRIPTION_LIMIT_EXCEEDED\"", 429},
    };
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        if (slice_starts_with(rest, slice_of_text(statuses[i].start)))
            return statuses[i].status;
    }
    return 500;
}

/* {"status":"error","results":[],"error":{"code":…,"message":…}} out of the message live/ sent. */
static void refuse(LiveStream *stream)
{
    Buffer body = {0};
    Slice rest = buffer_slice(&stream->refusal);
    must(slice_starts_with(rest, error_start));
    rest = slice_of(rest.data + error_start.size, rest.size - error_start.size);
    buffer_add_text(&body, "{\"status\":\"error\",\"results\":[],\"error\":{");
    buffer_add_slice(&body, rest);
    buffer_add_char(&body, '}');
    reply_json(stream->api, stream->request, status_of(rest), &body);
}

static void refuse_stopping(ApiLoop *api, HttpRequest *request)
{
    reply_flat_error(api, request, 503, "SHUTTING_DOWN", "The server is stopping; connect again");
}

static void answer(LiveStream *stream)
{
    HttpRequest *request = stream->request;
    if (stream->is_begun && stream->is_cut)
        http_respond_abort(request);
    else if (stream->is_begun)
        http_respond_end(request);
    else if (stream->is_gone)
        http_respond(request, 503, NULL, 0, (Slice){0}); /* nobody reads it */
    else if (stream->refusal.size)
        refuse(stream);
    else if (stream->code != OK)
        reply_sql_error(stream->api, request, &stream->error, 0, false, (Slice){0});
    else
        refuse_stopping(stream->api, request);
}

static void finish(LiveStream *stream) /* I5 */
{
    live_client_free(stream->client);
    stream->client = NULL;
    answer(stream);
    buffer_done(&stream->refusal);
    buffer_done(&stream->event);
    arena_free(stream->arena);
    free(stream);
}

static void finish_task(LoopTask *task)
{
    finish((LiveStream *)((char *)task - offsetof(LiveStream, task)));
}

static void end_later(LiveStream *stream) /* I4 */
{
    if (stream->is_ending)
        return;
    stream->is_ending = stream->is_pending = true;
    stream->task.run = finish_task;
    loop_post_task(stream->api->loop, &stream->task);
}

static void on_gone(void *argument)
{
    LiveStream *stream = (LiveStream *)argument;
    stream->is_gone = true;
    live_client_free(stream->client);
    stream->client = NULL;
    if (!stream->is_pending)
        finish(stream);
}

/* ---- events ---- */

static void begin(LiveStream *stream) /* I1 */
{
    HttpHeader headers[3 + REPLY_CORS_HEADERS_MAX] = {
        {SLICE("Content-Type"), SLICE("text/event-stream")},
        {SLICE("Cache-Control"), SLICE("no-store")},
        {SLICE("X-Accel-Buffering"), SLICE("no")}, /* or nginx keeps events to itself */
    };
    size_t count = reply_add_cors(stream->api, stream->request, headers, 3);
    http_respond_begin(stream->request, 200, headers, count);
    http_respond_chunk(stream->request, SLICE("retry: " RETRY_MS "\n\n"));
    stream->is_begun = true;
}

/* The value of "type", which is the first field of every message. */
static Slice type_of(Slice message)
{
    static const Slice start = SLICE("{\"type\":\"");
    must(slice_starts_with(message, start));
    const char *type = message.data + start.size;
    const char *end = (const char *)memchr(type, '"', message.size - start.size);
    return slice_of(type, (size_t)(end - type));
}

static void write_text(LiveStream *stream, Slice text)
{
    stream->moved_ms = loop_now_ms(stream->api->loop);
    http_respond_chunk(stream->request, text);
}

/* JSON has no line break outside its escapes: a message is one line of data. */
static void add_event(Slice message, uint64_t cursor, Buffer *out)
{
    buffer_add_text(out, "event: ");
    buffer_add_slice(out, type_of(message));
    if (cursor) /* I2 */
        buffer_printf(out, "\nid: %llu", (unsigned long long)cursor);
    buffer_add_text(out, "\ndata: ");
    buffer_add_slice(out, message);
    buffer_add_text(out, "\n\n");
}

static void events_send(void *socket, Slice message, uint64_t cursor)
{
    LiveStream *stream = (LiveStream *)socket;
    if (stream->is_ending)
        return;
    bool is_error = slice_equal(type_of(message), SLICE("error"));
    if (is_error && !stream->is_begun) {
        buffer_add_slice(&stream->refusal, message);
        end_later(stream);
        return;
    }
    if (!stream->is_begun)
        begin(stream);
    buffer_clear(&stream->event);
    add_event(message, cursor, &stream->event);
    write_text(stream, buffer_slice(&stream->event));
    if (is_error) /* its subscription is over */
        end_later(stream);
}

static SharedBuffer *events_frame(Slice message, uint64_t cursor, bool compress)
{
    (void)compress;
    CLEANUP(buffer_done) Buffer event = {0};
    add_event(message, cursor, &event);
    return http_chunk_shared(buffer_slice(&event));
}

static void events_send_frame(void *socket, SharedBuffer *frame)
{
    LiveStream *stream = (LiveStream *)socket;
    if (stream->is_ending)
        return;
    if (!stream->is_begun)
        begin(stream);
    stream->moved_ms = loop_now_ms(stream->api->loop);
    http_respond_chunk_shared(stream->request, frame);
}

static size_t events_queued_bytes(void *socket)
{
    return http_respond_queued_bytes(((const LiveStream *)socket)->request);
}

/* I3. A client that does not read would not read the end either. */
static void end_with(LiveStream *stream, const char *code, const char *reason)
{
    CLEANUP(buffer_done) Buffer message = {0};
    if (stream->is_ending)
        return;
    stream->is_cut = stream->is_begun && events_queued_bytes(stream) > DRAINED_MARK;
    if (stream->is_cut) {
        end_later(stream);
        return;
    }
    buffer_add_slice(&message, error_start);
    buffer_printf(&message, "\"code\":\"%s\",\"message\":\"%s\"}", code, reason);
    events_send(stream, buffer_slice(&message), 0);
}

static void events_close(void *socket, int code, const char *reason)
{
    end_with((LiveStream *)socket, code == WS_CODE_GOING_AWAY ? "SHUTTING_DOWN" : "CLOSED", reason);
}

static void events_report(void *socket, const Error *error)
{
    const LiveStream *stream = (const LiveStream *)socket;
    failure_log_tell(stream->api->context->failures, "a live query failed", stream->user.user_id,
                     error);
}

static bool has_expired(const LiveStream *stream)
{
    return clock_wall_us() - stream->expires_at_us >= TOKEN_LEEWAY_S * INT64_C(1000000);
}

/* Proxies and clients take a silent connection for a dead one. */
static void events_tick(void *socket, uint64_t now_ms)
{
    LiveStream *stream = (LiveStream *)socket;
    if (has_expired(stream)) { /* what it proved is proved no longer */
        end_with(stream, "TOKEN_EXPIRED", "Token expired");
        return;
    }
    if (stream->is_ending || now_ms - stream->moved_ms < PING_MS || events_queued_bytes(stream) > 0)
        return;
    if (!stream->is_begun)
        begin(stream);
    write_text(stream, SLICE(": ping\n\n"));
}

static const LiveSocket live_io = {
    .send = events_send,
    .frame = events_frame,
    .send_frame = events_send_frame,
    .queued_bytes = events_queued_bytes,
    .close = events_close,
    .report = events_report,
    .tick = events_tick,
};

static void on_drained(void *argument)
{
    LiveStream *stream = (LiveStream *)argument;
    if (!stream->is_ending)
        live_client_drained(stream->client);
}

/* ---- the request ---- */

static CHECKED Code read_digits(const char *name, Slice text, uint64_t *out, Error *e)
{
    uint64_t n = 0;
    bool fits = text.size > 0 && text.size <= 19;
    for (size_t i = 0; fits && i < text.size; i++) {
        fits = text.data[i] >= '0' && text.data[i] <= '9';
        n = n * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (!fits || n > INT64_MAX)
        return fail(e, E_INVALID_INPUT, "%s must be a number from 0 to 9223372036854775807", name);
    *out = n;
    return OK;
}

static CHECKED Code read_number(const HttpRequest *request, const char *name, bool *out_has,
                                uint64_t *out, Error *e)
{
    CLEANUP(buffer_done) Buffer text = {0};
    if (!http_query(request, name, &text))
        return OK;
    *out_has = true;
    return read_digits(name, buffer_slice(&text), out, e);
}

/* A browser that comes back asks for the same URL: the header is newer than `from`. */
static CHECKED Code read_cursor(const HttpRequest *request, LiveRequest *ask, Error *e)
{
    Slice header;
    TRY(read_number(request, "from", &ask->has_from, &ask->from, e));
    if (!http_header(request, "last-event-id", &header) || header.size == 0)
        return OK;
    ask->has_from = true;
    return read_digits("Last-Event-ID", header, &ask->from, e);
}

/* "schema,resnapshot" */
static void read_features(const HttpRequest *request, LiveFeatures *out)
{
    CLEANUP(buffer_done) Buffer text = {0};
    *out = (LiveFeatures){.replay = true, .seq_text = true};
    if (!http_query(request, "features", &text))
        return;
    for (size_t start = 0, at = 0; at <= text.size; at++) {
        if (at < text.size && text.data[at] != ',')
            continue;
        live_features_add(out, slice_of(text.data + start, at - start));
        start = at + 1;
    }
}

static CHECKED Code read_query(LiveStream *stream, Error *e)
{
    const HttpRequest *request = stream->request;
    LiveRequest *ask = &stream->ask;
    CLEANUP(buffer_done) Buffer sql = {0};
    CLEANUP(buffer_done) Buffer params = {0};
    if (!http_query(request, "sql", &sql) || !slice_is_utf8(buffer_slice(&sql)))
        return fail(e, E_INVALID_INPUT, "The query parameter sql is missing or is not UTF-8 text");
    ask->id = SLICE(STREAM_ID);
    ask->sql = arena_copy(stream->arena, buffer_slice(&sql));
    ask->has_options = true;
    TRY(read_number(request, "last_rows", &ask->has_last_rows, &ask->last_rows, e));
    TRY(read_number(request, "batch_size", &ask->has_batch_size, &ask->batch_size, e));
    TRY(read_cursor(request, ask, e));
    if (!http_query(request, "params", &params))
        return OK;
    return parameters_parse(buffer_slice(&params), stream->arena, &ask->params, &ask->param_count,
                            e);
}

static void subscribe(LiveStream *stream)
{
    ApiLoop *api = stream->api;
    if (stream->is_gone || stream->code != OK || atomic_load(&api->context->is_draining)) {
        finish(stream);
        return;
    }
    LiveUser user = {stream->user.user, stream->user.user_id, stream->user.role,
                     stream->user.credentials_at_us};
    LiveFeatures features;
    read_features(stream->request, &features);
    stream->moved_ms = loop_now_ms(api->loop);
    stream->client = live_client_new(api->live, &live_io, stream, DRAINED_MARK, false);
    live_client_set_user(stream->client, &user, &features,
                         api->context->settings.subscriptions_per_user_max);
    http_respond_on_drained(stream->request, on_drained, stream);
    live_subscribe(stream->client, &stream->ask);
}

static Code verify(LiveStream *stream, HotRead mode)
{
    return session_of_token(stream->api->context, stream->token, mode, stream->arena, &stream->user,
                            &stream->expires_at_us, &stream->error);
}

static void verify_done(LoopTask *task)
{
    LiveStream *stream = (LiveStream *)((char *)task - offsetof(LiveStream, task));
    stream->is_pending = false;
    subscribe(stream);
}

static void run_verify(void *argument) /* worker thread */
{
    LiveStream *stream = (LiveStream *)argument;
    stream->code = verify(stream, HOT_BLOCKING);
    stream->task.run = verify_done;
    loop_post_task(stream->api->loop, &stream->task);
}

static void start(LiveStream *stream)
{
    stream->code = session_bearer(stream->request, &stream->token, &stream->error);
    if (stream->code == OK)
        stream->code = read_query(stream, &stream->error);
    if (stream->code == OK)
        stream->code = verify(stream, HOT_CACHED_ONLY);
    if (stream->code == E_WOULD_BLOCK) {
        stream->is_pending =
            workers_push(stream->api->context->workers, (Task){run_verify, stream});
        if (stream->is_pending)
            return;
        stream->code = fail(&stream->error, E_BUSY, "Too many statements are waiting; retry");
    }
    subscribe(stream);
}

void live_stream_route(ApiLoop *api, HttpRequest *request)
{
    if (request->method == METHOD_HEAD) {
        reply_flat_error(api, request, 405, "METHOD_NOT_ALLOWED", "A stream of events has no HEAD");
        return;
    }
    LiveStream *stream = x_new(LiveStream);
    stream->api = api;
    stream->request = request;
    stream->arena = arena_new();
    http_request_on_gone(request, on_gone, stream);
    start(stream);
}
