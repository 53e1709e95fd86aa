/* SPDX-License-Identifier: Apache-2.0
 *
 * Wiring: which part is made from which, in which order, and taken down in the reverse.
 *
 *     database -> jobs -> executor -> workers -> live hub -> api context -> loops
 *
 * I1. First all threads end, then what they share is freed: loops, jobs, workers, the committer.
 *     What they have posted to the loops is run before the loops go, and meets closed queues: it
 *     can answer, and start nothing.
 */
#include "server/server.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/api.h"
#include "base/limits.h"
#include "os/clock.h"
#include "os/log.h"
#include "os/random.h"
#include "server/version.h"
#include "server/views.h"

enum { LOOPS_MAX = 64, SETUP_TOKEN_BYTES = 16, MERGE_BYTES_PER_S_MIN = 1024 * 1024 };

struct Server {
    const Config *config;
    Database *db;
    Jobs *jobs;
    Executor *executor;
    Workers *workers;
    LiveHub *live;
    ApiContext *context;
    Loop *loops[LOOPS_MAX]; /* the first runs on the thread that calls server_run */
    ApiLoop *apis[LOOPS_MAX];
    size_t loop_count, thread_count;
    LoopTimer *give_up;
    uint16_t port;
    char setup_token[2 * SETUP_TOKEN_BYTES + 1];
    bool is_draining;
    _Atomic size_t undrained;
};

/* Less would hold up statements, which wait when the hot tier cannot flush. */
static uint64_t merge_bytes_per_s(const Config *c)
{
    uint64_t limit = (uint64_t)c->storage_background_bytes_per_second;
    return limit && limit < MERGE_BYTES_PER_S_MIN ? MERGE_BYTES_PER_S_MIN : limit;
}

static Code open_database(Server *server, Error *e)
{
    const Config *c = server->config;
    DatabaseOptions options = {
        .folder = c->storage_data_path,
        .hot = {.block_cache_bytes = (size_t)c->storage_rocksdb_block_cache_size,
                .write_buffer_bytes = (size_t)c->storage_rocksdb_write_buffer_size,
                .background_jobs = (int)c->storage_rocksdb_max_background_jobs,
                .merge_bytes_per_s = merge_bytes_per_s(c)},
        .node = (uint32_t)c->cluster_node_id,
        .feed_window_s = (uint32_t)c->retention_feed_window_seconds,
        .feed_window_bytes = (uint64_t)c->retention_feed_window_bytes,
        .background_bytes_per_s = (uint64_t)c->storage_background_bytes_per_second,
        .engine = {.instances = (uint32_t)c->analytics_instances,
                   .threads_per_instance = (uint32_t)c->analytics_query_parallelism,
                   .memory_limit_bytes = (uint64_t)c->analytics_memory_limit},
    };
    return database_open(&options, &server->db, e);
}

static Code open_core(Server *server, Error *e)
{
    const Config *c = server->config;
    JobsOptions jobs = {
        .flush_rows_default = (uint32_t)c->flush_default_row_limit,
        .flush_interval_default_s = (uint32_t)c->flush_default_time_interval,
        .flush_rows_min = (uint32_t)c->flush_small_partition_rows,
        .check_interval_s = (uint32_t)c->flush_check_interval_seconds,
        .dropped_user_grace_s = (uint32_t)c->user_management_deletion_grace_period_days * 24 * 3600,
        .backup_folder = c->backup_path,
        .export_keep_s = (uint32_t)c->exports_keep_days * 24 * 3600,
    };
    ExecutorOptions executor = {
        .flush_wait_ms = (uint32_t)c->flush_wait_ms,
        .result_rows_max = (size_t)c->limits_max_query_limit,
        .bcrypt_cost = (uint32_t)c->auth_bcrypt_cost,
        .plans_max = (size_t)c->execution_sql_plan_cache_max_entries,
        .complex_passwords = c->auth_enforce_password_complexity,
    };
    TRY(open_database(server, e));
    TRY(jobs_start(server->db, &jobs, &server->jobs, e));
    TRY(executor_new(server->db, server->jobs, &executor, &server->executor, e));
    TRY(exec_ensure_root(server->executor, slice_of_text(c->auth_root_password), e));
    return workers_start("worker", THREAD_WORKER, (int)c->performance_worker_threads,
                         WORKER_QUEUE_MAX, &server->workers, e);
}

/* Setup from another machine needs the token that only who started the server can read. */
static void make_setup_token(Server *server)
{
    if (!exec_needs_setup(server->executor))
        return;
    uint8_t bytes[SETUP_TOKEN_BYTES];
    random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(server->setup_token + 2 * i, 3, "%02x", bytes[i]);
}

static ApiSettings api_settings(const Server *server)
{
    const Config *c = server->config;
    return (ApiSettings){
        .version = KALAMDB_VERSION,
        .build_date = KALAMDB_BUILD_DATE,
        .jwt_secret = c->auth_jwt_secret,
        .setup_token = server->setup_token[0] ? server->setup_token : NULL,
        .allowed_origins = c->security_cors_allowed_origins.items,
        .public_origin = c->server_public_origin,
        .statement_timeout_ms = (uint32_t)c->execution_handler_timeout_seconds * 1000,
        .access_hours = (uint32_t)c->auth_jwt_expiry_hours,
        .auth_requests_per_s = (uint32_t)c->rate_limit_max_auth_requests_per_ip_per_sec,
        .ws_client_timeout_ms = (uint32_t)c->websocket_client_timeout_secs * 1000,
        .ws_auth_timeout_ms = (uint32_t)c->websocket_auth_timeout_secs * 1000,
        .ws_heartbeat_ms = (uint32_t)c->websocket_heartbeat_interval_secs * 1000,
        .ws_messages_per_s = (uint32_t)c->rate_limit_max_messages_per_sec,
        .subscriptions_per_user_max = (uint32_t)c->rate_limit_max_subscriptions_per_user,
        .allow_remote_setup = c->auth_allow_remote_setup,
        .cookie_secure = c->auth_cookie_secure,
        .strict_ws_origin = c->security_strict_ws_origin_check,
        .slow_statement_ms = (uint32_t)c->logging_slow_query_threshold_ms,
        .guard = {.is_enabled = c->rate_limit_enabled,
                  .connections_per_address = (uint32_t)c->rate_limit_max_connections_per_ip,
                  .requests_per_address_per_s = (uint32_t)c->rate_limit_max_requests_per_ip_per_sec,
                  .statements_per_user_per_s = (uint32_t)c->rate_limit_max_queries_per_sec,
                  .trusted_proxies = c->security_trusted_proxy_ranges.items},
    };
}

static Code open_loop(Server *server, const HttpOptions *options, size_t index, Error *e)
{
    const Config *c = server->config;
    TRY(loop_new(&server->loops[index], e));
    server->loop_count = index + 1;
    TRY(api_loop_new(server->context, server->loops[index], options, &server->apis[index], e));
    uint16_t port = index == 0 ? (uint16_t)c->server_port : server->port;
    return http_server_listen(server->apis[index]->http, c->server_host, port, &server->port, e);
}

static Code open_network(Server *server, Error *e)
{
    const Config *c = server->config;
    TRY(tcp_port_check(c->server_host, (uint16_t)c->server_port, e));
    LiveOptions live = {
        .stall_timeout_ms = (uint32_t)c->live_stall_timeout_seconds * 1000,
        .socket_queue_bytes_max = (size_t)c->live_queue_bytes,
        .backlog_bytes_max = (size_t)c->live_backlog_bytes,
        .subscriptions_per_client_max = (uint32_t)c->live_subscriptions_per_connection,
    };
    TRY(live_hub_new(server->db, server->workers, &live, &server->live, e));
    server_add_views(server->executor, server->live, c);
    make_setup_token(server);
    ApiSettings settings = api_settings(server);
    TRY(api_context_new(server->db, server->executor, server->live, server->workers, &settings,
                        &server->context, e));
    size_t count = c->server_workers ? (size_t)c->server_workers : (size_t)os_cpu_count();
    if (count > LOOPS_MAX)
        count = LOOPS_MAX;
    HttpOptions options = {
        .body_bytes_max = (size_t)c->security_max_request_body_size,
        .connections_max = (uint32_t)((size_t)c->performance_max_connections / count + 1),
        .head_timeout_ms = (uint32_t)c->performance_client_request_timeout * 1000,
        .idle_timeout_ms = (uint32_t)c->performance_keepalive_timeout * 1000,
    };
    for (size_t i = 0; i < count; i++)
        TRY(open_loop(server, &options, i, e));
    return OK;
}

Code server_open(const Config *config, Server **out, Error *e)
{
    Server *server = x_new(Server);
    server->config = config;
    Code code = open_core(server, e);
    if (code == OK)
        code = open_network(server, e);
    if (code != OK) {
        server_close(server);
        return code;
    }
    *out = server;
    return OK;
}

uint16_t server_port(const Server *server)
{
    return server->port;
}

const char *server_setup_token(const Server *server)
{
    return server->setup_token[0] ? server->setup_token : NULL;
}

/* ---- running and stopping ---- */

static void stop_first_loop(void *argument)
{
    loop_stop(((Server *)argument)->loops[0]);
}

static void loop_drained(void *context)
{
    Server *server = (Server *)context;
    if (atomic_fetch_sub(&server->undrained, 1) == 1)
        loop_post(server->loops[0], stop_first_loop, server);
}

static void drain_loop(void *argument)
{
    ApiLoop *api = (ApiLoop *)argument;
    api_loop_drain(api, loop_drained, loop_user(api->loop));
}

static void give_up(void *context)
{
    log_event(LOG_LEVEL_WARN, "some requests did not end in time and are cut");
    stop_first_loop(context);
}

static void on_signal(void *context, int number)
{
    Server *server = (Server *)context;
    if (server->is_draining) {
        stop_first_loop(server); /* the second signal does not wait */
        return;
    }
    server->is_draining = true;
    log_event(LOG_LEVEL_INFO, "stopping", LOG_INT("signal", number));
    atomic_store(&server->context->is_draining, true);
    atomic_store(&server->undrained, server->loop_count);
    loop_timer_start(server->give_up, (uint64_t)server->config->shutdown_timeout * 1000, 0);
    for (size_t i = 0; i < server->loop_count; i++)
        loop_post(server->loops[i], drain_loop, server->apis[i]);
}

void server_run(Server *server)
{
    Error error = {0};
    Loop *first = server->loops[0];
    server->give_up = loop_timer_new(first, give_up, server);
    for (size_t i = 0; i < server->loop_count; i++)
        loop_set_user(server->loops[i], server);
    Code code = loop_on_signal(first, SIGTERM, on_signal, server, &error);
    if (code == OK)
        code = loop_on_signal(first, SIGINT, on_signal, server, &error);
    for (size_t i = 1; code == OK && i < server->loop_count; i++) {
        code = loop_thread_start(server->loops[i], "loop", &error);
        if (code == OK)
            server->thread_count++;
    }
    if (code == OK)
        loop_run(first);
    else
        log_event(LOG_LEVEL_ERROR, "the network did not start", LOG_ERROR(&error));
    for (size_t i = 1; i <= server->thread_count; i++)
        loop_thread_join(server->loops[i]);
    server->thread_count = 0;
    loop_timer_free(server->give_up);
    server->give_up = NULL;
}

void server_close(Server *server)
{
    if (!server)
        return;
    executor_stop(server->executor); /* what had its time to end and has not */
    jobs_stop(server->jobs);         /* I1; workers may wait for one */
    workers_finish(server->workers);
    api_context_finish(server->context);
    database_finish(server->db);
    for (size_t i = 0; i < server->loop_count; i++)
        loop_settle(server->loops[i]);
    for (size_t i = 0; i < server->loop_count; i++) {
        api_loop_free(server->apis[i]);
        loop_free(server->loops[i]);
    }
    workers_stop(server->workers);
    database_close(server->db);
    live_hub_free(server->live);
    api_context_free(server->context);
    executor_free(server->executor);
    jobs_free(server->jobs);
    free(server);
}
