/* SPDX-License-Identifier: Apache-2.0
 *
 * Login and setup. Password work and reads of user records run on workers; the loop parses and
 * answers.
 *
 * Errors here are flat: {"error": name, "message": text}. A wrong user and a wrong password read
 * and cost the same. Passwords are wiped with the call's arena text.
 */
#include "api/auth_route.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <time.h>

#include "api/failure_log.h"
#include "api/json_tree.h"
#include "api/reply.h"
#include "api/session.h"
#include "auth/limiter.h"
#include "auth/token.h"
#include "base/limits.h"
#include "data/json.h"
#include "os/clock.h"

enum {
    GATE_KEYS = 16 * 1024,
    REFRESH_FACTOR = 7, /* a refresh token lives so many times as long as an access token */
};

struct AuthGate {
    Limiter *limiter;
};

AuthGate *auth_gate_new(uint32_t requests_per_s)
{
    AuthGate *gate = x_new(AuthGate);
    gate->limiter = limiter_new(requests_per_s, requests_per_s, GATE_KEYS);
    return gate;
}

void auth_gate_free(AuthGate *gate)
{
    if (!gate)
        return;
    limiter_free(gate->limiter);
    free(gate);
}

bool auth_gate_take(AuthGate *gate, Slice key)
{
    return limiter_take(gate->limiter, key);
}

typedef struct AuthCall {
    LoopTask back;
    ApiLoop *api;
    HttpRequest *request;
    Arena *arena;
    Slice user_id, password, root_password, email, token;
    void (*work)(struct AuthCall *call);  /* worker thread */
    void (*reply)(struct AuthCall *call); /* loop thread, when code is OK */
    User user;
    Code code;
    Error error;
} AuthCall;

/* ---- errors ---- */

static void reply_error(AuthCall *call)
{
    static const struct {
        Code code;
        int status;
        const char *name;
    } names[] = {
        {E_SETUP_REQUIRED, 428, "setup_required"},
        {E_ACCOUNT_LOCKED, 401, "account_locked"},
        {E_INVALID_CREDENTIALS, 401, "unauthorized"},
        {E_MISSING_AUTHORIZATION, 401, "unauthorized"},
        {E_TOKEN_EXPIRED, 401, "unauthorized"},
        {E_PERMISSION_DENIED, 403, "forbidden"},
        {E_WEAK_PASSWORD, 400, "weak_password"},
        {E_INVALID_INPUT, 400, "invalid_request"},
        {E_INVALID_OPERATION, 400, "invalid_user"},
        {E_ALREADY_EXISTS, 409, "user_exists"},
        {E_ALREADY_CONFIGURED, 409, "already_configured"},
        {E_RATE_LIMITED, 429, "rate_limited"},
        {E_BUSY, 503, "busy"},
        {E_SHUTTING_DOWN, 503, "busy"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].code == call->code) {
            reply_flat_error(call->api, call->request, names[i].status, names[i].name,
                             call->error.text);
            return;
        }
    }
    failure_log_tell(call->api->context->failures, "an auth request failed", (Slice){0},
                     &call->error);
    reply_flat_error(call->api, call->request, 500, "internal_error", "Authentication failed");
}

static void wipe(Slice secret)
{
    if (secret.size)
        explicit_bzero((char *)secret.data, secret.size);
}

static void finish(AuthCall *call)
{
    wipe(call->password);
    wipe(call->root_password);
    if (call->code == OK)
        call->reply(call);
    else
        reply_error(call);
    arena_free(call->arena);
    free(call);
}

/* ---- moving between threads ---- */

static void come_back(LoopTask *task)
{
    finish((AuthCall *)task);
}

static void run_on_worker(void *argument)
{
    AuthCall *call = (AuthCall *)argument;
    call->work(call);
    call->back.run = come_back;
    loop_post_task(call->api->loop, &call->back);
}

static void start(AuthCall *call)
{
    if (workers_push(call->api->context->workers, (Task){run_on_worker, call}))
        return;
    call->code = fail(&call->error, E_BUSY, "Too many requests are waiting; retry in a moment");
    finish(call);
}

static AuthCall *call_new(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = x_new(AuthCall);
    call->api = api;
    call->request = request;
    call->arena = arena_new();
    return call;
}

/* Guessing is slowed by address, loopback included. False: already answered. */
static bool pass_gate(AuthCall *call)
{
    char buffer[16];
    ClientAddress client;
    guard_client(call->api->context->guard, call->request, &client);
    Slice key = limiter_address_key(slice_of_text(client.text), buffer);
    if (limiter_take(call->api->context->gate->limiter, key))
        return true;
    call->code = fail(&call->error, E_RATE_LIMITED,
                      "Too many authentication requests. Please retry shortly.");
    finish(call);
    return false;
}

/* ---- bodies ---- */

typedef struct Field {
    const char *name;
    Slice *out;
    size_t bytes_max;
    bool is_required;
} Field;

static const Field *find_field(const Field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    }
    return NULL;
}

static Code read_object(AuthCall *call, json_t *root, const Field *fields, size_t count, Error *e)
{
    const char *name;
    json_t *value;
    if (!json_is_object(root))
        return fail(e, E_INVALID_INPUT, "an object is expected");
    json_object_foreach(root, name, value)
    {
        const Field *field = find_field(fields, count, name);
        if (!field)
            return fail(e, E_INVALID_INPUT, "unknown field `%.64s`", name);
        if (json_is_null(value) && !field->is_required)
            continue;
        if (!json_is_string(value))
            return fail(e, E_INVALID_INPUT, "field `%s` must be a string", name);
        if (json_string_length(value) > field->bytes_max)
            return fail(e, E_INVALID_INPUT, "field `%s` is longer than %zu bytes", name,
                        field->bytes_max);
        *field->out =
            arena_copy(call->arena, slice_of(json_string_value(value), json_string_length(value)));
    }
    for (size_t i = 0; i < count; i++) {
        if (fields[i].is_required && !fields[i].out->data)
            return fail(e, E_INVALID_INPUT, "missing field `%s`", fields[i].name);
    }
    return OK;
}

static Code read_body(AuthCall *call, const Field *fields, size_t count, Error *e)
{
    json_error_t where;
    Slice body = call->request->body;
    if (body.size > AUTH_BODY_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "the body is longer than %d bytes", AUTH_BODY_BYTES_MAX);
    json_t *root = json_tree_parse(body, 0, &where);
    if (!root)
        return fail(e, E_INVALID_INPUT, "Invalid JSON: %s (line %d, column %d)", where.text,
                    where.line, where.column);
    Code code = read_object(call, root, fields, count, e);
    json_decref(root);
    return code;
}

/* ---- answers ---- */

static void add_time(Buffer *out, int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    char text[40];
    gmtime_r(&seconds, &parts);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &parts);
    json_add_text(out, text);
}

static void add_user(Buffer *out, const User *user)
{
    buffer_add_text(out, "\"user\":{\"id\":");
    json_add_string(out, user->user_id);
    buffer_add_text(out, ",\"role\":");
    json_add_text(out, role_name(user->role));
    buffer_add_text(out, ",\"email\":");
    if (user->email.size)
        json_add_string(out, user->email);
    else
        buffer_add_text(out, "null");
    buffer_add_text(out, ",\"created_at\":");
    add_time(out, user->created_at_us);
    buffer_add_text(out, ",\"updated_at\":");
    add_time(out, user->updated_at_us);
    buffer_add_char(out, '}');
}

static Slice cookie(AuthCall *call, const char *name, Slice token, int64_t life_s)
{
    bool secure = call->api->context->settings.cookie_secure && !call->request->peer.is_loopback;
    return slice_of_text(arena_printf(
        call->arena, "%s=%.*s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%" PRId64 "%s", name,
        SLICE_ARGS(token), life_s, secure ? "; Secure" : ""));
}

static Code issue(AuthCall *call, TokenType type, uint32_t life_s, Slice *out_token,
                  int64_t *out_expires_s)
{
    TokenClaims claims = {.user_id = call->user.user_id,
                          .email = call->user.email,
                          .role = call->user.role,
                          .type = type,
                          .credentials_at_us = call->user.credentials_at_us};
    TRY(token_issue(session_key(call->api->context->sessions), &claims, life_s, call->arena,
                    out_token, &call->error));
    *out_expires_s = claims.expires_at_s;
    return OK;
}

static void reply_tokens(AuthCall *call)
{
    Slice access, refresh;
    int64_t access_until_s, refresh_until_s;
    uint32_t life_s = call->api->context->settings.access_hours * 3600;
    call->code = issue(call, TOKEN_ACCESS, life_s, &access, &access_until_s);
    if (call->code == OK)
        call->code =
            issue(call, TOKEN_REFRESH, life_s * REFRESH_FACTOR, &refresh, &refresh_until_s);
    if (call->code != OK) {
        reply_error(call);
        return;
    }
    Buffer body = {0};
    buffer_add_char(&body, '{');
    add_user(&body, &call->user);
    buffer_add_text(&body, role_is_admin(call->user.role)
                               ? ",\"admin_ui_access\":true,\"expires_at\":"
                               : ",\"admin_ui_access\":false,\"expires_at\":");
    add_time(&body, access_until_s * 1000000);
    buffer_add_text(&body, ",\"access_token\":");
    json_add_string(&body, access);
    buffer_add_text(&body, ",\"refresh_token\":");
    json_add_string(&body, refresh);
    buffer_add_text(&body, ",\"refresh_expires_at\":");
    add_time(&body, refresh_until_s * 1000000);
    buffer_add_char(&body, '}');
    HttpHeader headers[] = {
        {SLICE("Set-Cookie"), cookie(call, "kalamdb_auth", access, life_s)},
        {SLICE("Set-Cookie"),
         cookie(call, "kalamdb_refresh", refresh, (int64_t)life_s * REFRESH_FACTOR)},
        {SLICE("Cache-Control"), SLICE("no-store")},
    };
    reply_json_with(call->api, call->request, 200, headers, 3, &body);
}

/* ---- login ---- */

static void work_login(AuthCall *call)
{
    call->code = exec_login(call->api->context->executor, call->user_id, call->password,
                            call->arena, &call->user, &call->error);
}

void auth_login_route(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = call_new(api, request);
    const Field fields[] = {
        {"user", &call->user_id, USER_ID_BYTES_MAX, true},
        {"password", &call->password, LOGIN_PASSWORD_BYTES_MAX, true},
        {"username", &call->user_id, USER_ID_BYTES_MAX, false},
    };
    if (!pass_gate(call))
        return;
    call->work = work_login;
    call->reply = reply_tokens;
    call->code = read_body(call, fields, 3, &call->error);
    if (call->code == OK)
        start(call);
    else
        finish(call);
}

/* ---- refresh, me, logout ---- */

static void work_token(AuthCall *call, TokenType type)
{
    TokenClaims claims;
    ApiContext *context = call->api->context;
    call->code = token_verify(session_key(context->sessions), call->token, type, call->arena,
                              &claims, &call->error);
    if (call->code == OK)
        call->code = session_user_of_claims(context, &claims, HOT_BLOCKING, call->arena,
                                            &call->user, &call->error);
}

static void work_refresh(AuthCall *call)
{
    work_token(call, TOKEN_REFRESH);
}

static void work_me(AuthCall *call)
{
    work_token(call, TOKEN_ACCESS);
}

/* The token of a cookie, else of the Authorization header (refresh), or the other way round
 * (me). */
static Code find_token(AuthCall *call, const char *cookie_name, bool cookie_first)
{
    bool has_cookie = http_cookie(call->request, cookie_name, &call->token);
    if (has_cookie && cookie_first)
        return OK;
    Slice bearer;
    Code code = session_bearer(call->request, &bearer, &call->error);
    if (code == OK)
        call->token = bearer;
    return has_cookie ? OK : code;
}

void auth_refresh_route(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = call_new(api, request);
    if (!pass_gate(call))
        return;
    call->work = work_refresh;
    call->reply = reply_tokens;
    call->code = find_token(call, "kalamdb_refresh", true);
    if (call->code == OK)
        start(call);
    else
        finish(call);
}

static void reply_me(AuthCall *call)
{
    Buffer body = {0};
    buffer_add_char(&body, '{');
    add_user(&body, &call->user);
    buffer_add_text(&body, role_is_admin(call->user.role) ? ",\"admin_ui_access\":true}"
                                                          : ",\"admin_ui_access\":false}");
    reply_json(call->api, call->request, 200, &body);
}

void auth_me_route(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = call_new(api, request);
    call->work = work_me;
    call->reply = reply_me;
    call->code = find_token(call, "kalamdb_auth", false);
    if (call->code == OK)
        start(call);
    else
        finish(call);
}

void auth_logout_route(ApiLoop *api, HttpRequest *request)
{
    static const HttpHeader headers[] = {
        {{"Set-Cookie", 10}, SLICE("kalamdb_auth=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")},
        {{"Set-Cookie", 10},
         SLICE("kalamdb_refresh=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0")},
    };
    Buffer body = {0};
    buffer_add_text(&body, "{\"message\":\"Logged out successfully\"}");
    reply_json_with(api, request, 200, headers, 2, &body);
}

/* ---- first-time setup ---- */

/* Loopback, or whoever knows the token that the server printed at its start, or anyone if so
 * configured. */
static bool may_set_up(const ApiLoop *api, const HttpRequest *request)
{
    const ApiSettings *settings = &api->context->settings;
    Slice token;
    ClientAddress client;
    guard_client(api->context->guard, request, &client);
    if (client.is_loopback || settings->allow_remote_setup)
        return true;
    return settings->setup_token && http_header(request, "x-setup-token", &token) &&
           slice_equal_secret(token, slice_of_text(settings->setup_token));
}

static void refuse_setup(AuthCall *call)
{
    call->code = fail(&call->error, E_PERMISSION_DENIED,
                      "Setup is allowed from the server's own machine, or with the header "
                      "X-Setup-Token and the token "
                      "printed at its start");
    finish(call);
}

static void work_setup(AuthCall *call)
{
    call->code =
        exec_setup(call->api->context->executor, call->user_id, call->password, call->root_password,
                   call->email, call->arena, &call->user, &call->error);
}

static void reply_setup(AuthCall *call)
{
    Buffer body = {0};
    buffer_add_char(&body, '{');
    add_user(&body, &call->user);
    buffer_add_text(&body, ",\"message\":");
    json_add_text(
        &body, arena_printf(call->arena,
                            "Server setup complete. User '%.*s' is an administrator; log in next.",
                            SLICE_ARGS(call->user.user_id)));
    buffer_add_char(&body, '}');
    reply_json(call->api, call->request, 200, &body);
}

void auth_setup_route(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = call_new(api, request);
    const Field fields[] = {
        {"user", &call->user_id, USER_ID_BYTES_MAX, true},
        {"password", &call->password, LOGIN_PASSWORD_BYTES_MAX, true},
        {"root_password", &call->root_password, LOGIN_PASSWORD_BYTES_MAX, true},
        {"email", &call->email, EMAIL_BYTES_MAX, false},
        {"username", &call->user_id, USER_ID_BYTES_MAX, false},
    };
    if (!pass_gate(call))
        return;
    if (!may_set_up(api, request)) {
        refuse_setup(call);
        return;
    }
    call->work = work_setup;
    call->reply = reply_setup;
    call->code = read_body(call, fields, 5, &call->error);
    if (call->code == OK)
        start(call);
    else
        finish(call);
}

static void work_status(AuthCall *call)
{
    call->code = OK;
    call->user.registered = exec_needs_setup(call->api->context->executor);
}

static void reply_status(AuthCall *call)
{
    Buffer body = {0};
    buffer_add_text(&body,
                    call->user.registered
                        ? "{\"needs_setup\":true,\"message\":\"Server requires initial setup\"}"
                        : "{\"needs_setup\":false,\"message\":\"Server is configured and ready\"}");
    reply_json(call->api, call->request, 200, &body);
}

void auth_status_route(ApiLoop *api, HttpRequest *request)
{
    AuthCall *call = call_new(api, request);
    if (!may_set_up(api, request)) {
        refuse_setup(call);
        return;
    }
    call->work = work_status;
    call->reply = reply_status;
    start(call);
}
