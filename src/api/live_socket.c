/* SPDX-License-Identifier: Apache-2.0
 *
 * A WebSocket session: who is it, what does it ask for, when is it over. What a subscription is and
 * what it gets is live/'s; this is how messages come and go.
 *
 *     WAITING ──(authenticate, or a token in the upgrade)──> VERIFYING ──> OPEN ──> CLOSING
 *        └──────────────(3 s, or a bad token)──────────────────┴────────────────────> ^
 *
 * I1. A session lives until its connection is closed and no worker looks at its token.
 * I2. No subscription exists before OPEN, so live/ never sees a session without a user.
 * I3. A session never changes its user or role. A new token of the same ones lengthens it; when the
 *     last one has expired it is closed, and clients come back with a fresh token and their
 *     cursors.
 */
#include "api/live_socket.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "api/auth_route.h"
#include "api/failure_log.h"
#include "api/live_message.h"
#include "api/reply.h"
#include "api/session.h"
#include "auth/limiter.h"
#include "auth/token.h"
#include "base/limits.h"
#include "data/json.h"
#include "http/ws.h"
#include "os/clock.h"

enum {
    COMPRESS_BYTES_MIN = 512,
    GZIP_WINDOW_BITS = 15 + 16,                /* zlib: + 16 writes a gzip header */
    TOKEN_WARNING_S = 60,                      /* before its end */
    RENEWALS_MAX = 10 * 1000,                  /* of one connection */
    DRAINED_MARK = SOCKET_QUEUE_BYTES_MAX / 4, /* as http/ws.h says */
};

typedef enum SessionState {
    SESSION_WAITING,
    SESSION_VERIFYING,
    SESSION_OPEN,
    SESSION_CLOSING
} SessionState;

/* A token that is being looked at. */
typedef struct Login {
    LoopTask task; /* brings it back from the worker */
    struct LiveSession *session;
    Arena *arena;
    Session found; /* whom it is of; texts in arena */
    int64_t expires_at_us;
    Code code;
    Error error;
} Login;

typedef struct LiveSession {
    ApiLoop *api;
    WsConnection *ws; /* NULL once closed */
    LiveClient *client;
    Login *login; /* while a worker has it */
    SessionState state;
    bool compress, is_json, has_features;
    bool is_warned;        /* that the token expires */
    bool is_suspected;     /* nothing was heard of it for too long, at one look */
    LiveFeatures features; /* as announced */
    Slice compression;     /* likewise; owned */
    Slice token;           /* the one looked at last; owned */
    LiveUser user;         /* the id is owned */
    int64_t expires_at_us;
    uint64_t opened_ms, active_ms,
        checked_ms;  /* last frame from the client; last heartbeat check */
    uint64_t second; /* the second that `messages` counts */
    uint32_t messages, renewals;
    uint8_t address_size;
    char address[GUARD_ADDRESS_BYTES]; /* key of the limiter */
} LiveSession;

/* ---- sending ---- */

/* False when it would not be smaller. */
static bool gzip(Slice message, Buffer *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    z.next_in = (Bytef *)message.data;
    z.avail_in = (uInt)message.size;
    z.next_out = (Bytef *)buffer_reserve(out, message.size);
    z.avail_out = (uInt)message.size - 1;
    bool is_smaller = deflate(&z, Z_FINISH) == Z_STREAM_END;
    if (is_smaller)
        out->size += z.total_out;
    deflateEnd(&z);
    return is_smaller;
}

static bool wants_gzip(Slice message, bool compress)
{
    return compress && message.size >= COMPRESS_BYTES_MIN && message.size <= UINT32_MAX;
}

static void session_send(void *socket, Slice message, uint64_t cursor)
{
    LiveSession *session = (LiveSession *)socket;
    (void)cursor; /* clients of a WebSocket find it in the message */
    if (!session->ws)
        return;
    CLEANUP(buffer_done) Buffer zipped = {0};
    if (wants_gzip(message, session->compress) && gzip(message, &zipped))
        ws_send(session->ws, WS_BINARY, buffer_slice(&zipped));
    else
        ws_send(session->ws, WS_TEXT, message);
}

static SharedBuffer *session_frame(Slice message, uint64_t cursor, bool compress)
{
    (void)cursor;
    CLEANUP(buffer_done) Buffer zipped = {0};
    if (wants_gzip(message, compress) && gzip(message, &zipped))
        return ws_frame_shared(WS_BINARY, buffer_slice(&zipped));
    return ws_frame_shared(WS_TEXT, message);
}

static void session_send_frame(void *socket, SharedBuffer *frame)
{
    LiveSession *session = (LiveSession *)socket;
    if (session->ws)
        ws_send_shared(session->ws, frame);
}

static size_t session_queued_bytes(void *socket)
{
    const LiveSession *session = (const LiveSession *)socket;
    return session->ws ? ws_queued_bytes(session->ws) : 0;
}

static void session_close(void *socket, int code, const char *reason)
{
    LiveSession *session = (LiveSession *)socket;
    session->state = SESSION_CLOSING;
    if (session->ws)
        ws_close(session->ws, code, slice_of_text(reason));
}

static void session_report(void *socket, const Error *error)
{
    const LiveSession *session = (const LiveSession *)socket;
    failure_log_tell(session->api->context->failures, "a live query failed", session->user.user_id,
                     error);
}

/* I3 */
static void check_token(LiveSession *session)
{
    int64_t left_us = session->expires_at_us - clock_wall_us();
    if (left_us <= -TOKEN_LEEWAY_S * INT64_C(1000000)) {
        session_close(session, WS_CODE_POLICY, "Token expired");
        return;
    }
    if (session->is_warned || left_us > TOKEN_WARNING_S * INT64_C(1000000))
        return;
    session->is_warned = true;
    if (!session->features.token_expiring)
        return;
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_printf(&out, "{\"type\":\"token_expiring\",\"expires_at\":%lld}",
                  (long long)(session->expires_at_us / 1000));
    session_send(session, buffer_slice(&out), 0);
}

/* ---- authentication ---- */

static void set_text(Slice *io, Slice text)
{
    free((void *)io->data);
    *io = slice_of(x_text(text), text.size);
}

static void session_free(LiveSession *session) /* I1 */
{
    if (session->ws || session->login)
        return;
    free((void *)session->compression.data);
    free((void *)session->token.data);
    free((void *)session->user.user_id.data);
    free(session);
}

static void send_auth_error(LiveSession *session, const char *message)
{
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_add_text(&out, "{\"type\":\"auth_error\",\"message\":");
    json_add_text(&out, message);
    buffer_add_char(&out, '}');
    if (session->ws)
        ws_send(session->ws, WS_TEXT, buffer_slice(&out));
}

static void refuse(LiveSession *session, const char *message, const char *reason)
{
    send_auth_error(session, message);
    session_close(session, WS_CODE_POLICY, reason);
}

static void check_patience(LiveSession *session, uint64_t now_ms)
{
    uint32_t timeout_ms = session->api->context->settings.ws_auth_timeout_ms;
    if (now_ms - session->opened_ms < timeout_ms)
        return;
    char message[96];
    snprintf(message, sizeof message,
             "Authentication timeout - no auth message received within %u seconds",
             timeout_ms / 1000);
    refuse(session, message, "Authentication timeout");
}

static void session_tick(void *socket, uint64_t now_ms)
{
    LiveSession *session = (LiveSession *)socket;
    if (session->state == SESSION_OPEN)
        check_token(session);
    else if (session->state != SESSION_CLOSING)
        check_patience(session, now_ms);
    const ApiSettings *settings = &session->api->context->settings;
    if (session->state == SESSION_CLOSING ||
        now_ms - session->checked_ms < settings->ws_heartbeat_ms)
        return;
    if (now_ms - session->active_ms <= settings->ws_client_timeout_ms) {
        session->checked_ms = now_ms;
        session->is_suspected = false;
    } else if (session->is_suspected) {
        session_close(session, WS_CODE_NORMAL, "Heartbeat timeout");
    } else { /* what came while the loop was late is read before the next tick */
        session->is_suspected = true;
    }
}

static const LiveSocket live_io = {
    .send = session_send,
    .frame = session_frame,
    .send_frame = session_send_frame,
    .queued_bytes = session_queued_bytes,
    .close = session_close,
    .report = session_report,
    .tick = session_tick,
};

/* Those of the client's that this server knows. */
static void add_features(Buffer *out, const LiveFeatures *features)
{
    const struct {
        bool is_on;
        const char *name;
    } known[] = {
        {features->replay, "replay"},
        {features->seq_text, "seq_text"},
        {features->schema, "schema"},
        {features->resnapshot, "resnapshot"},
        {features->token_expiring, "token_expiring"},
    };
    const char *comma = "";
    buffer_add_text(out, ",\"features\":[");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (!known[i].is_on)
            continue;
        buffer_printf(out, "%s\"%s\"", comma, known[i].name);
        comma = ",";
    }
    buffer_add_char(out, ']');
}

static void send_success(LiveSession *session)
{
    CLEANUP(buffer_done) Buffer out = {0};
    buffer_add_text(&out, "{\"type\":\"auth_success\",\"user\":");
    json_add_string(&out, session->user.user_id);
    buffer_add_text(&out, ",\"role\":");
    json_add_text(&out, role_name(session->user.role));
    buffer_add_text(&out, ",\"protocol\":{\"serialization\":\"json\",\"compression\":");
    json_add_string(&out, session->compression);
    if (session->has_features)
        add_features(&out, &session->features);
    buffer_add_text(&out, "}}");
    session_send(session, buffer_slice(&out), 0);
}

static void open_session(LiveSession *session, const Login *login)
{
    const ApiSettings *settings = &session->api->context->settings;
    LiveUser *user = &session->user;
    user->user = login->found.user;
    user->role = login->found.role;
    user->credentials_at_us = login->found.credentials_at_us;
    set_text(&user->user_id, login->found.user_id);
    if (!live_client_set_user(session->client, user, &session->features,
                              settings->subscriptions_per_user_max)) {
        refuse(session, "Invalid credentials", "Authentication failed");
        return;
    }
    session->state = SESSION_OPEN;
    session->expires_at_us = login->expires_at_us;
    send_success(session);
}

/* Failures are counted by address, with those of the auth routes. */
static const char *reason_of(LiveSession *session, Code code)
{
    if (code == E_BUSY)
        return "The server is busy. Please retry shortly.";
    if (!auth_gate_take(session->api->context->gate,
                        slice_of(session->address, session->address_size)))
        return "Too many authentication attempts. Please retry shortly.";
    return "Invalid credentials";
}

/* I3 */
static void renewed(LiveSession *session, const Login *login)
{
    bool is_same = login->code == OK && login->found.user == session->user.user &&
                   login->found.role == session->user.role;
    if (is_same) {
        session->expires_at_us = login->expires_at_us;
        session->is_warned = false;
        send_success(session);
        return;
    }
    set_text(&session->token, SLICE("")); /* it is to be looked at again */
    send_auth_error(session, login->code != OK
                                 ? reason_of(session, login->code)
                                 : "The token is of another user or role; connect again");
}

static void verified(LiveSession *session, const Login *login)
{
    if (session->state == SESSION_OPEN)
        renewed(session, login);
    else if (login->code == OK)
        open_session(session, login);
    else
        refuse(session, reason_of(session, login->code), "Authentication failed");
}

static void login_free(Login *login)
{
    arena_free(login->arena);
    free(login);
}

static void verify_done(LoopTask *task)
{
    Login *login = (Login *)task;
    LiveSession *session = login->session;
    session->login = NULL;
    if (!session->ws)
        session_free(session);
    else if (session->state == SESSION_VERIFYING || session->state == SESSION_OPEN)
        verified(session, login);
    login_free(login);
}

static Code verify(Login *login, HotRead mode)
{
    const LiveSession *session = login->session;
    return session_of_token(session->api->context, session->token, mode, login->arena,
                            &login->found, &login->expires_at_us, &login->error);
}

static void run_verify(void *argument) /* worker thread */
{
    Login *login = (Login *)argument;
    login->code = verify(login, HOT_BLOCKING);
    loop_post_task(login->session->api->loop, &login->task);
}

/* session->token is set, and stays while it is looked at. */
static void look_at_token(LiveSession *session)
{
    Login *login = x_new(Login);
    login->task.run = verify_done;
    login->session = session;
    login->arena = arena_new();
    login->code = verify(login, HOT_CACHED_ONLY);
    if (login->code == E_WOULD_BLOCK) {
        session->login = login; /* before the worker may be done */
        if (workers_push(session->api->context->workers, (Task){run_verify, login}))
            return;
        session->login = NULL;
        login->code = E_BUSY;
    }
    verified(session, login);
    login_free(login);
}

/* session->token is set. */
static void authenticate(LiveSession *session)
{
    session->state = SESSION_VERIFYING;
    if (session->is_json)
        look_at_token(session);
    else
        refuse(session, "This server speaks serialization 'json' only", "Authentication failed");
}

/* The token before stays good until its end, and what the client announced stays. */
static void renew(LiveSession *session, Slice token)
{
    if (session->login)
        return; /* the answer to the one before comes first; this one may be sent again */
    if (slice_equal(token, session->token)) {
        send_success(session);
        return;
    }
    if (++session->renewals > RENEWALS_MAX) {
        session_close(session, WS_CODE_POLICY, "Too many tokens; connect again");
        return;
    }
    set_text(&session->token, token);
    look_at_token(session);
}

/* ---- messages ---- */

static void on_authenticate(LiveSession *session, const ClientMessage *message)
{
    if (session->state == SESSION_OPEN) {
        renew(session, message->token);
        return;
    }
    if (session->state != SESSION_WAITING)
        return; /* one is being verified already */
    session->features = message->features;
    session->has_features = message->has_features;
    session->is_json = slice_equal(message->serialization, SLICE("json"));
    set_text(&session->compression, message->compression);
    set_text(&session->token, message->token);
    authenticate(session);
}

static void on_client_message(LiveSession *session, const ClientMessage *message)
{
    bool is_open = session->state == SESSION_OPEN;
    switch (message->kind) {
    case MESSAGE_AUTHENTICATE:
        on_authenticate(session, message);
        break;
    case MESSAGE_SUBSCRIBE:
        if (is_open) /* I2 */
            live_subscribe(session->client, &message->request);
        else
            live_client_error(session->client, SLICE("subscribe"), "AUTH_REQUIRED",
                              "Authentication required before subscribing");
        break;
    case MESSAGE_UNSUBSCRIBE:
        if (is_open)
            live_unsubscribe(session->client, message->id);
        break;
    case MESSAGE_NEXT_BATCH: /* pages are pushed; this one is on its way or was sent already */
    case MESSAGE_PING:
        break;
    }
}

static bool is_too_fast(LiveSession *session)
{
    uint64_t second = loop_now_ms(session->api->loop) / 1000;
    if (second != session->second) {
        session->second = second;
        session->messages = 0;
    }
    return ++session->messages > session->api->context->settings.ws_messages_per_s;
}

static void on_message(void *context, WsConnection *ws, WsOpcode opcode, Slice payload)
{
    LiveSession *session = (LiveSession *)context;
    (void)ws;
    if (session->state == SESSION_CLOSING)
        return;
    if (is_too_fast(session)) {
        live_client_error(session->client, SLICE("rate_limit"), "RATE_LIMIT_EXCEEDED",
                          "Too many messages");
        return;
    }
    if (opcode != WS_TEXT) {
        live_client_error(session->client, SLICE("protocol"), "UNSUPPORTED_DATA",
                          "Binary not supported");
        return;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ClientMessage message;
    Error error = {0};
    if (live_message_parse(payload, arena, &message, &error) != OK)
        session_close(session, WS_CODE_INTERNAL, error.text);
    else
        on_client_message(session, &message);
}

static void on_too_large(void *context, WsConnection *ws)
{
    LiveSession *session = (LiveSession *)context;
    (void)ws;
    if (session->state == SESSION_WAITING) { /* nobody yet: it may not keep us busy */
        session_close(session, WS_CODE_TOO_LARGE, "Message too large");
        return;
    }
    char text[64];
    snprintf(text, sizeof text, "A message may have at most %d bytes", WS_MESSAGE_BYTES_MAX);
    live_client_error(session->client, SLICE("protocol"), "MESSAGE_TOO_LARGE", text);
}

static void on_activity(void *context, WsConnection *ws)
{
    LiveSession *session = (LiveSession *)context;
    (void)ws;
    session->active_ms = loop_now_ms(session->api->loop);
    live_client_touched(session->client);
}

static void on_drained(void *context, WsConnection *ws)
{
    LiveSession *session = (LiveSession *)context;
    (void)ws;
    if (session->state == SESSION_OPEN)
        live_client_drained(session->client);
}

static void on_close(void *context, WsConnection *ws, int code, Slice reason)
{
    LiveSession *session = (LiveSession *)context;
    (void)ws, (void)code, (void)reason;
    atomic_fetch_sub_explicit(&session->api->context->websockets, 1, memory_order_relaxed);
    session->ws = NULL;
    session->state = SESSION_CLOSING;
    live_client_free(session->client);
    session->client = NULL;
    session_free(session);
}

static const WsHandlers ws_handlers = {
    .on_message = on_message,
    .on_too_large = on_too_large,
    .on_activity = on_activity,
    .on_drained = on_drained,
    .on_close = on_close,
};

/* ---- the upgrade ---- */

static bool may_connect(ApiLoop *api, HttpRequest *request)
{
    const ApiSettings *settings = &api->context->settings;
    Slice origin;
    if (atomic_load(&api->context->is_draining)) {
        reply_flat_error(api, request, 503, "SHUTTING_DOWN",
                         "The server is stopping; connect again");
        return false;
    }
    bool has_origin = http_header(request, "origin", &origin);
    bool is_listed = settings->allowed_origins && settings->allowed_origins[0];
    if (has_origin && !reply_origin_allowed(api->context, origin)) {
        reply_flat_error(api, request, 403, "FORBIDDEN", "Origin not allowed");
        return false;
    }
    if (!has_origin && is_listed && settings->strict_ws_origin) {
        reply_flat_error(api, request, 403, "FORBIDDEN", "Origin header required");
        return false;
    }
    return true;
}

static bool query_is(const HttpRequest *request, const char *name, const char *wanted)
{
    CLEANUP(buffer_done) Buffer value = {0};
    return http_query(request, name, &value) &&
           slice_equal(buffer_slice(&value), slice_of_text(wanted));
}

static LiveSession *session_new(ApiLoop *api, const HttpRequest *request)
{
    LiveSession *session = x_new(LiveSession);
    session->api = api;
    session->compress = !query_is(request, "compress", "false");
    session->opened_ms = session->active_ms = session->checked_ms = loop_now_ms(api->loop);
    char buffer[16];
    ClientAddress client;
    guard_client(api->context->guard, request, &client);
    Slice key = limiter_address_key(slice_of_text(client.text), buffer);
    must(key.size < sizeof session->address);
    memcpy(session->address, key.data, key.size);
    session->address_size = (uint8_t)key.size;
    session->is_json = !query_is(request, "serialization", "msgpack");
    set_text(&session->compression,
             query_is(request, "compression", "none") ? SLICE("none") : SLICE("gzip"));
    return session;
}

void live_socket_accept(ApiLoop *api, HttpRequest *request)
{
    if (!may_connect(api, request))
        return;
    Error error = {0};
    Slice token = {0};
    LiveSession *session = session_new(api, request);
    Slice header;
    bool has_header = http_header(request, "authorization", &header);
    if (has_header && session_bearer(request, &token, &error) == OK)
        set_text(&session->token, token);
    session->ws = ws_accept(request, &ws_handlers, session);
    if (!session->ws) {
        session_free(session);
        return;
    }
    atomic_fetch_add_explicit(&api->context->websockets, 1, memory_order_relaxed);
    session->client =
        live_client_new(api->live, &live_io, session, DRAINED_MARK, session->compress);
    if (has_header)
        authenticate(session);
}

void live_socket_close_all(ApiLoop *api)
{
    live_loop_close_clients(api->live, WS_CODE_GOING_AWAY, "Server shutting down");
}
