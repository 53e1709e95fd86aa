/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics, read on a worker because RocksDB's properties may take its lock. Format: Prometheus text
 * exposition format 0.0.4.
 */
#include "api/metrics_route.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/reply.h"
#include "api/session.h"
#include "os/clock.h"

typedef struct MetricsCall {
    LoopTask back;
    ApiLoop *api;
    HttpRequest *request;
    Buffer body;
} MetricsCall;

static void add(Buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buffer_printf(out, "# HELP kalamdb_%s %s\n# TYPE kalamdb_%s %s\nkalamdb_%s %" PRIu64 "\n", name,
                  help, name, type, name, value);
}

static void add_commits(Buffer *out, Database *db)
{
    DatabaseStats stats;
    database_stats(db, &stats);
    add(out, "commits_total", "counter", "Commits acknowledged.", stats.commits);
    add(out, "commit_groups_total", "counter",
        "Batches written; one sync serves all commits of a group.", stats.groups);
    add(out, "commit_rows_total", "counter", "Row changes committed.", stats.rows);
    add(out, "commit_conflicts_total", "counter",
        "Statements resolved again because another commit was faster.", stats.conflicts);
    add(out, "reopen_tries_total", "counter", "Tries to go on after a failed write.",
        stats.reopen_tries);
    add(out, "syncs_total", "counter", "Synced batches.", stats.syncs);
    add(out, "sync_microseconds_total", "counter", "Time spent writing and syncing them.",
        stats.sync_us);
    add(out, "commit_queue_depth", "gauge", "Commits that wait for the committer.",
        stats.queue_depth);
    add(out, "last_seq", "gauge", "Newest committed seq.", database_last_seq(db));
    add(out, "read_only", "gauge", "1 after a failed sync: writes are refused.",
        database_is_read_only(db));
}

static void add_hot(Buffer *out, HotStore *hot)
{
    static const struct {
        const char *name, *property, *help;
    } figures[] = {
        {"hot_bytes", "rocksdb.estimate-live-data-size",
         "Live bytes of the hot tier on disk, estimated."},
        {"hot_keys", "rocksdb.estimate-num-keys", "Keys of the hot tier, estimated."},
        {"hot_memtable_bytes", "rocksdb.cur-size-all-mem-tables", "New rows in memory."},
        {"hot_pending_compaction_bytes", "rocksdb.estimate-pending-compaction-bytes",
         "Bytes that wait to be merged."},
        {"hot_write_stopped", "rocksdb.is-write-stopped", "Above 0 while RocksDB stalls writes."},
        {"hot_running_compactions", "rocksdb.num-running-compactions", "Merges that run."},
        {"hot_running_flushes", "rocksdb.num-running-flushes",
         "Writes of memory to disk that run."},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        add(out, figures[i].name, "gauge", figures[i].help, hot_property(hot, figures[i].property));
}

static void add_live(Buffer *out, LiveHub *hub)
{
    LiveStats stats;
    live_stats(hub, &stats);
    add(out, "subscriptions", "gauge", "Live queries subscribed now.", stats.subscriptions);
    add(out, "live_messages_total", "counter", "Changes delivered to subscribers.", stats.sent);
    add(out, "live_fallbacks_total", "counter", "Times a slow subscriber fell back to catch-up.",
        stats.fallbacks);
    add(out, "live_reads_total", "counter", "Catch-up reads.", stats.reads);
}

static void reply(LoopTask *task)
{
    static const HttpHeader headers[] = {{{"Content-Type", 12}, {"text/plain; version=0.0.4", 25}}};
    MetricsCall *call = (MetricsCall *)task;
    http_respond_buffer(call->request, 200, headers, 1, &call->body);
    free(call);
}

static void collect(void *argument)
{
    MetricsCall *call = (MetricsCall *)argument;
    ApiContext *context = call->api->context;
    Buffer *out = &call->body;
    add_commits(out, context->db);
    add_hot(out, database_hot(context->db));
    add_live(out, context->live);
    add(out, "http_requests_total", "counter", "HTTP requests received.",
        atomic_load_explicit(&context->requests, memory_order_relaxed));
    add(out, "worker_queue_depth", "gauge", "Statements that wait for a worker.",
        workers_waiting(context->workers));
    add(out, "resident_bytes", "gauge", "Memory of the process.", os_resident_bytes());
    add(out, "uptime_seconds", "gauge", "Since the start.",
        (uint64_t)((clock_wall_us() - context->started_at_us) / 1000000));
    call->back.run = reply;
    loop_post_task(call->api->loop, &call->back);
}

/* This machine, or an administrator's token. */
static bool may_read(ApiLoop *api, HttpRequest *request)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ClientAddress client;
    Session session;
    Slice token;
    int64_t expires_at_us;
    Error ignored;
    guard_client(api->context->guard, request, &client);
    if (client.is_loopback)
        return true;
    return session_bearer(request, &token, &ignored) == OK &&
           session_of_token(api->context, token, HOT_CACHED_ONLY, arena, &session, &expires_at_us,
                            &ignored) == OK &&
           role_is_admin(session.role);
}

void metrics_route(ApiLoop *api, HttpRequest *request)
{
    if (!may_read(api, request)) {
        reply_flat_error(api, request, 403, "FORBIDDEN",
                         "Metrics are for this machine and for administrators");
        return;
    }
    MetricsCall *call = x_new(MetricsCall);
    call->api = api;
    call->request = request;
    if (workers_push(api->context->workers, (Task){collect, call}))
        return;
    free(call);
    reply_flat_error(api, request, 503, "SERVER_BUSY",
                     "Too many statements are waiting; retry in a moment");
}
