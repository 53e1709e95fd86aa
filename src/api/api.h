/* SPDX-License-Identifier: Apache-2.0
 *
 * The wire: HTTP routes and WebSocket sessions over one Executor. Everything above exec/ and live/
 * that knows HTTP, JSON envelopes, tokens and cookies is in this folder.
 *
 * One ApiContext serves the process; each network loop has an ApiLoop. Handlers run on the loop's
 * thread; what would block goes to the workers and comes back by a posted task.
 */
#pragma once

#include "api/guard.h"
#include "exec/exec.h"
#include "http/http.h"
#include "live/live.h"
#include "os/loop.h"
#include "os/thread.h"

typedef struct ApiSettings {
    const char *version; /* "0.1.0" */
    const char *build_date;
    const char *jwt_secret;
    const char *setup_token; /* one-time token that allows setup from elsewhere; NULL = none */
    const char *const *allowed_origins; /* ends with NULL; empty or "*" = any */
    const char *public_origin;          /* always allowed beside them; "" = none */
    uint32_t statement_timeout_ms;
    uint32_t access_hours;        /* life of an access token; refresh tokens live 7 times as long */
    uint32_t auth_requests_per_s; /* per address */
    uint32_t ws_client_timeout_ms, ws_auth_timeout_ms, ws_heartbeat_ms;
    uint32_t ws_messages_per_s;
    uint32_t subscriptions_per_user_max;
    bool allow_remote_setup;
    bool cookie_secure;
    bool strict_ws_origin;
    uint32_t slow_statement_ms; /* statements slower than this are logged; 0 = none */
    GuardSettings guard;
} ApiSettings;

typedef struct SessionCache SessionCache;
typedef struct AuthGate AuthGate;
typedef struct FailureLog FailureLog;

/* How much lies in all partitions, as of the last count; figures only (metrics_route.c). */
typedef struct CountedTotals {
    _Atomic bool is_counting;
    _Atomic int64_t next_at_us; /* monotonic: not counted again before */
    _Atomic uint64_t partitions, segments, segment_rows, segment_bytes;
} CountedTotals;

typedef struct ApiContext {
    Database *db;
    Executor *executor;
    LiveHub *live;
    Workers *workers;     /* statements that may block */
    Workers *monitor;     /* /metrics, which is to answer when all others are busy; owned */
    ApiSettings settings; /* texts borrowed, live as long as the process */
    SessionCache *sessions;
    AuthGate *gate; /* the limiter of the auth routes */
    Guard *guard;
    FailureLog *failures; /* of requests and live queries */
    int64_t started_at_us;
    _Atomic bool is_draining;
    _Atomic uint64_t connections, websockets, requests; /* figures only */
    CountedTotals totals;
} ApiContext;

/* Borrows all but the settings, which it copies. Registers a ChangeSink: before traffic.
 * E_CONFIG. */
CHECKED Code api_context_new(Database *db, Executor *executor, LiveHub *live, Workers *workers,
                             const ApiSettings *settings, ApiContext **out, Error *e);
/* Ends the thread that it has: before database_close. Accepts NULL. */
void api_context_finish(ApiContext *context);
/* After database_close, for the committer calls its sink until then. Accepts NULL. */
void api_context_free(ApiContext *context);

typedef struct ApiLoop {
    ApiContext *context;
    Loop *loop;
    LiveLoop *live;
    HttpServer *http;
} ApiLoop;

/* Serves one loop; owns the HttpServer and the LiveLoop. On the loop's thread, or before it
 * runs. */
CHECKED Code api_loop_new(ApiContext *context, Loop *loop, const HttpOptions *options,
                          ApiLoop **out, Error *e);
/* Once nobody else posts to the loop and it runs on no thread. Accepts NULL. */
void api_loop_free(ApiLoop *api);
/* Stops listening, ends WebSockets with 1001, answers what runs; `done` is called once nothing is
 * left. Loop thread. */
void api_loop_drain(ApiLoop *api, void (*done)(void *context), void *context);
