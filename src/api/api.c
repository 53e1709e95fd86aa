/* SPDX-License-Identifier: Apache-2.0
 *
 * The route table, and the context that all routes share.
 */
#include "api/api.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/auth_route.h"
#include "api/export_route.h"
#include "api/failure_log.h"
#include "api/live_socket.h"
#include "api/live_stream.h"
#include "api/metrics_route.h"
#include "api/reply.h"
#include "api/session.h"
#include "api/sql_route.h"
#include "base/limits.h"
#include "data/json.h"
#include "os/clock.h"

/* A path that ends with '/' stands for all below it. */
typedef void RouteHandler(ApiLoop *api, HttpRequest *request);

static void health(ApiLoop *api, HttpRequest *request);

static const struct {
    HttpMethod method;
    const char *path;
    RouteHandler *run;
} routes[] = {
    {METHOD_POST, "/v1/api/sql", sql_route},
    {METHOD_POST, "/api/v1/query", sql_route}, /* the name of the earliest documentation */
    {METHOD_GET, "/v1/ws", live_socket_accept},
    {METHOD_GET, "/v1/api/live", live_stream_route},
    {METHOD_GET, "/health", health},
    {METHOD_GET, "/v1/api/healthcheck", health},
    {METHOD_GET, "/metrics", metrics_route},
    {METHOD_POST, "/v1/api/auth/login", auth_login_route},
    {METHOD_POST, "/v1/api/auth/refresh", auth_refresh_route},
    {METHOD_POST, "/v1/api/auth/logout", auth_logout_route},
    {METHOD_GET, "/v1/api/auth/me", auth_me_route},
    {METHOD_POST, "/v1/api/auth/setup", auth_setup_route},
    {METHOD_GET, "/v1/api/auth/status", auth_status_route},
    {METHOD_GET, EXPORT_ROUTE_PREFIX, export_route},
};

/* The original tells its health to the machine itself only; so do we: versions are nobody else's
 * business. */
static void health(ApiLoop *api, HttpRequest *request)
{
    ClientAddress client;
    guard_client(api->context->guard, request, &client);
    if (!client.is_loopback) {
        http_respond_json(
            request, 403,
            SLICE("{\"error\":\"Access denied. Health endpoint is localhost-only.\"}"));
        return;
    }
    Buffer body = {0};
    bool read_only = database_is_read_only(api->context->db);
    buffer_add_text(&body, read_only ? "{\"status\":\"degraded\",\"version\":"
                                     : "{\"status\":\"healthy\",\"version\":");
    json_add_text(&body, api->context->settings.version);
    buffer_add_text(&body, ",\"api_version\":\"v1\",\"build_date\":");
    json_add_text(&body, api->context->settings.build_date);
    buffer_add_char(&body, '}');
    reply_json(api, request, read_only ? 503 : 200, &body);
}

static bool pass_guard(ApiLoop *api, HttpRequest *request)
{
    ClientAddress client;
    guard_client(api->context->guard, request, &client);
    return guard_request(api->context->guard, &client);
}

static void refuse_request(ApiLoop *api, HttpRequest *request)
{
    static const HttpHeader reset = {{"X-RateLimit-Reset", 17}, {"1", 1}};
    Buffer body = {0};
    buffer_add_text(
        &body,
        "{\"error\":\"RATE_LIMIT_EXCEEDED\",\"message\":\"Too many requests from your IP address\","
        "\"retry_after_seconds\":1}");
    reply_json_with(api, request, 429, &reset, 1, &body);
}

static bool is_path(Slice path, Slice route)
{
    bool is_above = route.data[route.size - 1] == '/';
    return is_above ? slice_starts_with(path, route) : slice_equal(path, route);
}

static int on_connect(void *context, const Peer *peer, Buffer *body)
{
    return guard_connected(((ApiLoop *)context)->context->guard, peer, body);
}

static void on_disconnect(void *context, const Peer *peer)
{
    guard_disconnected(((ApiLoop *)context)->context->guard, peer);
}

static void on_request(void *context, HttpRequest *request)
{
    ApiLoop *api = (ApiLoop *)context;
    atomic_fetch_add_explicit(&api->context->requests, 1, memory_order_relaxed);
    if (!pass_guard(api, request)) {
        refuse_request(api, request);
        return;
    }
    bool path_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (!is_path(request->path, slice_of_text(routes[i].path)))
            continue;
        path_known = true;
        bool is_head = request->method == METHOD_HEAD && routes[i].method == METHOD_GET;
        if (request->method == routes[i].method || is_head) {
            routes[i].run(api, request);
            return;
        }
    }
    if (request->method == METHOD_OPTIONS)
        reply_preflight(api, request);
    else if (path_known)
        reply_flat_error(api, request, 405, "METHOD_NOT_ALLOWED",
                         "This route exists, but not with this method");
    else
        reply_flat_error(api, request, 404, "NOT_FOUND",
                         "There is no such route; SQL goes to POST /v1/api/sql, live queries to "
                         "GET /v1/ws or /v1/api/live");
}

/* ---- life ---- */

/* A change of a user may make cached tokens wrong. Committer thread, before the change is
 * answered. */
static void on_commit(void *context, const CommitGroup *group)
{
    ApiContext *api = (ApiContext *)context;
    for (size_t i = 0; i < group->count; i++) {
        const CatalogChange *change = group->intents[i]->catalog_change;
        Slice user_id = change ? catalog_change_user(change) : (Slice){0};
        if (user_id.size)
            session_cache_forget(api->sessions, user_id);
    }
}

Code api_context_new(Database *db, Executor *executor, LiveHub *live, Workers *workers,
                     const ApiSettings *settings, ApiContext **out, Error *e)
{
    Guard *guard;
    json_object_seed(0); /* else the first loops and workers that parse do it side by side */
    TRY(guard_new(&settings->guard, &guard, e));
    ApiContext *context = x_new(ApiContext);
    context->db = db;
    context->executor = executor;
    context->live = live;
    context->workers = workers;
    context->settings = *settings;
    context->sessions = session_cache_new(settings->jwt_secret);
    context->gate = auth_gate_new(settings->auth_requests_per_s);
    context->guard = guard;
    context->failures = failure_log_new();
    context->started_at_us = clock_wall_us();
    Code code = workers_start("monitor", THREAD_WORKER, 1, MONITOR_QUEUE_MAX, &context->monitor, e);
    if (code != OK) {
        api_context_free(context);
        return code;
    }
    database_add_sink(db, (ChangeSink){on_commit, context, NULL});
    *out = context;
    return OK;
}

void api_context_finish(ApiContext *context)
{
    if (context)
        workers_finish(context->monitor);
}

void api_context_free(ApiContext *context)
{
    if (!context)
        return;
    workers_stop(context->monitor);
    session_cache_free(context->sessions);
    auth_gate_free(context->gate);
    guard_free(context->guard);
    failure_log_free(context->failures);
    free(context);
}

Code api_loop_new(ApiContext *context, Loop *loop, const HttpOptions *options, ApiLoop **out,
                  Error *e)
{
    static const HttpHandlers handlers = {
        .on_request = on_request, .on_connect = on_connect, .on_disconnect = on_disconnect};
    ApiLoop *api = x_new(ApiLoop);
    api->context = context;
    api->loop = loop;
    Code code = live_loop_new(context->live, loop, &api->live, e);
    if (code != OK) {
        free(api);
        return code;
    }
    api->http = http_server_new(loop, &handlers, api, options);
    *out = api;
    return OK;
}

void api_loop_free(ApiLoop *api)
{
    if (!api)
        return;
    http_server_free(api->http);
    loop_settle(api->loop); /* requests that were cut may end in a task of their own */
    live_loop_free(api->live);
    free(api);
}

void api_loop_drain(ApiLoop *api, void (*done)(void *context), void *context)
{
    live_socket_close_all(api);
    http_server_drain(api->http, done, context);
}
