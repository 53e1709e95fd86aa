/* SPDX-License-Identifier: Apache-2.0
 *
 * One SQL request from body to answer.
 *
 *     loop:   token -> body -> exec_try ──ended──────────────────────────────> answer
 *                                 ├──pending──> commit ──done, posted──> exec_finish ──> answer
 *                                 └──move──> worker: exec_run ──posted──────────────────> answer
 *
 * I1. A SqlCall is touched by one thread at a time: the loop until it hands over, then the worker
 *     or committer until it posts back; but for has_left, which the loop sets at any time.
 * I2. The HTTP request is answered exactly once, on its loop.
 * I3. No body is read before the signature of its token was found good.
 */
#include "api/sql_route.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#include "api/json_tree.h"
#include "api/parameters.h"
#include "api/reply.h"
#include "api/result_json.h"
#include "api/session.h"
#include "base/limits.h"
#include "os/clock.h"
#include "os/log.h"

typedef struct SqlCall {
    LoopTask back; /* posted to the loop when another thread is done */
    ApiLoop *api;
    HttpRequest *request;
    Arena *arena;
    Slice token; /* borrowed from the request, which lives until it is answered */
    bool has_session;
    ExecRequest exec;
    atomic_bool has_left; /* the client, before the answer */
    ResultJson json;
    ResultSink sink;
    ExecPending *pending;
    int64_t started_us;
    Code code;
    Error error;
} SqlCall;

static void call_free(SqlCall *call)
{
    result_json_done(&call->json);
    arena_free(call->arena);
    free(call);
}

/* The statement with every literal as `?`: values may be secrets. */
static Slice without_literals(SqlCall *call)
{
    enum { SHOWN_BYTES_MAX = 300 };
    Slice sql = call->exec.sql;
    char *text = (char *)arena_alloc(call->arena, SHOWN_BYTES_MAX);
    size_t used = 0;
    for (size_t i = 0; i < sql.size && used < SHOWN_BYTES_MAX; i++) {
        char c = sql.data[i];
        bool in_word = used > 0 && (isalnum((unsigned char)text[used - 1]) ||
                                    text[used - 1] == '_' || text[used - 1] == '$');
        if (c == '\'') {
            while (++i < sql.size &&
                   (sql.data[i] != '\'' || (i + 1 < sql.size && sql.data[i + 1] == '\'' && i++)))
                continue;
            c = '?';
        } else if (isdigit((unsigned char)c) && !in_word) {
            while (i + 1 < sql.size &&
                   (isalnum((unsigned char)sql.data[i + 1]) || sql.data[i + 1] == '.'))
                i++;
            c = '?';
        }
        text[used++] = c;
    }
    return slice_of(text, used);
}

static void log_if_slow(SqlCall *call, double took_ms)
{
    uint32_t threshold_ms = call->api->context->settings.slow_statement_ms;
    if (threshold_ms && took_ms >= threshold_ms && call->has_session)
        log_event(LOG_LEVEL_WARN, "slow statement", LOG_INT("took_ms", took_ms),
                  LOG_SLICE("user", call->exec.session.user_id),
                  LOG_SLICE("sql", without_literals(call)));
}

static void answer(SqlCall *call)
{
    double took_ms = (double)(clock_monotonic_us() - call->started_us) / 1000.0;
    log_if_slow(call, took_ms);
    if (call->code == OK) {
        result_json_finish(&call->json, took_ms);
        reply_json(call->api, call->request, 200, &call->json.out);
    } else {
        bool is_admin = call->has_session && role_is_admin(call->exec.session.role);
        call->error.code = call->code;
        reply_sql_error(call->api, call->request, &call->error, took_ms, is_admin, call->exec.sql);
    }
    call_free(call);
}

static void fail_call(SqlCall *call, Code code)
{
    call->code = code;
    answer(call);
}

/* ---- the body ---- */

static Slice copy_string(SqlCall *call, json_t *text)
{
    return arena_copy(call->arena, slice_of(json_string_value(text), json_string_length(text)));
}

static Code read_fields(SqlCall *call, json_t *root, Error *e)
{
    json_t *sql = json_object_get(root, "sql");
    json_t *name = json_object_get(root, "namespace_id");
    if (!json_is_object(root))
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: an object is expected");
    if (!json_is_string(sql))
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: missing field `sql` (a string)");
    if (name && !json_is_null(name) && !json_is_string(name))
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: namespace_id must be a string");
    if (json_string_length(sql) > SQL_BYTES_MAX)
        return fail(e, E_INVALID_SQL, "SQL query too long: %zu bytes (maximum %d bytes)",
                    json_string_length(sql), SQL_BYTES_MAX);
    if (json_is_string(name) && json_string_length(name) > NAME_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "namespace_id is longer than %d bytes", NAME_BYTES_MAX);
    call->exec.sql = copy_string(call, sql);
    if (json_is_string(name) && json_string_length(name))
        call->exec.session.namespace_name = copy_string(call, name);
    return parameters_read(json_object_get(root, "params"), call->arena, &call->exec.params,
                           &call->exec.param_count, e);
}

static Code read_body(SqlCall *call, Error *e)
{
    json_error_t where;
    Slice body = call->request->body;
    if (!slice_is_utf8(body))
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: the body is not UTF-8");
    json_t *root = json_tree_parse(body, 0, &where);
    if (!root)
        return fail(e, E_INVALID_INPUT, "Invalid JSON payload: %s (line %d, column %d)", where.text,
                    where.line, where.column);
    Code code = read_fields(call, root, e);
    json_decref(root);
    return code;
}

/* ---- running ---- */

static Code find_session(SqlCall *call, HotRead mode, Error *e)
{
    int64_t expires_at_us;
    Slice name = call->exec.session.namespace_name;
    TRY(session_of_token(call->api->context, call->token, mode, call->arena, &call->exec.session,
                         &expires_at_us, e));
    call->exec.session.namespace_name = name.size ? name : SLICE("default");
    call->exec.session.is_loopback = call->request->peer.is_loopback;
    call->has_session = true;
    if (!guard_statement(call->api->context->guard, call->exec.session.user_id))
        return fail(e, E_RATE_LIMITED, "Too many queries per second. Please slow down.");
    return OK;
}

static void come_back(LoopTask *task)
{
    answer((SqlCall *)task);
}

static void run_on_worker(void *argument)
{
    SqlCall *call = (SqlCall *)argument;
    call->code = call->has_session ? OK : find_session(call, HOT_BLOCKING, &call->error);
    if (call->code == OK)
        call->code = exec_run(call->api->context->executor, &call->exec, call->arena, &call->sink,
                              &call->error);
    call->back.run = come_back;
    loop_post_task(call->api->loop, &call->back);
}

static void move_to_worker(SqlCall *call)
{
    if (workers_push(call->api->context->workers, (Task){run_on_worker, call}))
        return;
    fail_call(call,
              fail(&call->error, E_BUSY, "Too many statements are waiting; retry in a moment"));
}

static void finish_pending(LoopTask *task)
{
    SqlCall *call = (SqlCall *)task;
    call->code =
        exec_finish(call->api->context->executor, call->pending, &call->sink, &call->error);
    if (call->code == E_CONFLICT)
        move_to_worker(call); /* somebody was faster: resolve it again */
    else
        answer(call);
}

/* Committer thread. */
static void commit_done(void *context, ExecPending *pending)
{
    SqlCall *call = (SqlCall *)context;
    call->pending = pending;
    call->back.run = finish_pending;
    loop_post_task(call->api->loop, &call->back);
}

static void run(SqlCall *call)
{
    if (!call->has_session) { /* the user's record has to be read first */
        move_to_worker(call);
        return;
    }
    switch (exec_try(call->api->context->executor, &call->exec, call->arena, &call->sink,
                     commit_done, call, &call->code, &call->error)) {
    case EXEC_ENDED:
        answer(call);
        break;
    case EXEC_PENDING:
        break; /* commit_done follows, perhaps has begun already: the call is no longer ours */
    case EXEC_MOVE:
        move_to_worker(call);
        break;
    }
}

/* The answer still follows, and is written nowhere. */
static void on_gone(void *argument)
{
    SqlCall *call = (SqlCall *)argument;
    exec_leave(call->api->context->executor, &call->has_left);
}

void sql_route(ApiLoop *api, HttpRequest *request)
{
    SqlCall *call = x_new(SqlCall);
    call->api = api;
    call->request = request;
    call->arena = arena_new();
    call->started_us = clock_monotonic_us();
    call->exec.timeout_ms = api->context->settings.statement_timeout_ms;
    call->exec.has_left = &call->has_left;
    http_request_on_gone(request, on_gone, call);
    result_json_init(&call->json, call->arena);
    call->sink = result_json_sink(&call->json);
    Code code = session_bearer(request, &call->token, &call->error);
    if (code == OK)
        code = find_session(call, HOT_CACHED_ONLY, &call->error);
    if (code == OK || code == E_WOULD_BLOCK) /* I3 */
        code = read_body(call, &call->error);
    if (code == OK)
        run(call);
    else
        fail_call(call, code);
}
