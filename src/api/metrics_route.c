/* SPDX-License-Identifier: Apache-2.0
 *
 * Metrics, collected on a thread of their own: RocksDB's properties may take its lock, so not on a
 * loop, and they are asked for most when all workers are busy. Format: Prometheus text exposition
 * format 0.0.4, in base units (seconds, bytes). No name of a user, table or namespace is in it.
 *
 * I1. What needs a walk (partitions, segments) is counted at most 1 / COUNT_SHARE of the time, and
 *     between two counts the last one is told.
 * I2. Only who has the right to metrics is let into the queue, as far as a loop can tell.
 */
#include "api/metrics_route.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/failure_log.h"
#include "api/reply.h"
#include "api/session.h"
#include "os/clock.h"
#include "os/log.h"
#include "table/figures.h"

enum { COUNT_SHARE = 20 };

typedef struct MetricsCall {
    LoopTask back;
    ApiLoop *api;
    HttpRequest *request;
    bool is_allowed, is_refused;
    Buffer body;
} MetricsCall;

/* ---- the format ---- */

static void add_head(Buffer *out, const char *name, const char *type, const char *help)
{
    buffer_printf(out, "# HELP kalamdb_%s %s\n# TYPE kalamdb_%s %s\n", name, help, name, type);
}

static void add(Buffer *out, const char *name, const char *type, const char *help, uint64_t value)
{
    add_head(out, name, type, help);
    buffer_printf(out, "kalamdb_%s %" PRIu64 "\n", name, value);
}

static void add_seconds(Buffer *out, const char *name, const char *help, uint64_t us)
{
    add_head(out, name, "counter", help);
    buffer_printf(out, "kalamdb_%s %" PRIu64 ".%06" PRIu64 "\n", name, us / 1000000, us % 1000000);
}

/* ---- commits, flush, compaction ---- */

static void add_commits(Buffer *out, Database *db, const DatabaseStats *stats)
{
    add(out, "commits_total", "counter", "Commits acknowledged.", stats->commits);
    add(out, "commit_groups_total", "counter",
        "Batches written; one sync serves all commits of a group.", stats->groups);
    add(out, "commit_rows_total", "counter", "Row changes committed.", stats->rows);
    add(out, "commit_conflicts_total", "counter",
        "Statements resolved again because another commit was faster.", stats->conflicts);
    add(out, "reopen_tries_total", "counter", "Tries to go on after a failed write.",
        stats->reopen_tries);
    add(out, "syncs_total", "counter", "Synced batches.", stats->syncs);
    add_seconds(out, "sync_seconds_total", "Time spent writing and syncing them.", stats->sync_us);
    add(out, "commit_queue_depth", "gauge", "Commits that wait for the committer.",
        stats->queue_depth);
    add(out, "last_seq", "gauge", "Newest committed seq.", database_last_seq(db));
    add(out, "read_only", "gauge", "1 after a failed sync: writes are refused.",
        database_is_read_only(db));
}

static void add_work(Buffer *out, const DatabaseStats *stats)
{
    add(out, "flushes_total", "counter", "Flushes of a partition, each one segment.",
        stats->flushes);
    add(out, "flush_rows_total", "counter", "Rows they wrote.", stats->flush_rows);
    add_seconds(out, "flush_seconds_total", "Time they took.", stats->flush_us);
    add(out, "flush_failures_total", "counter", "Flushes that failed.", stats->flush_failures);
    add(out, "compactions_total", "counter", "Rewrites of segments into one.", stats->compactions);
    add(out, "compaction_rows_total", "counter", "Rows they read.", stats->compact_rows);
    add(out, "compaction_dropped_rows_total", "counter", "Of these, dead ones that they left out.",
        stats->compact_dropped_rows);
    add_seconds(out, "compaction_seconds_total", "Time they took.", stats->compact_us);
    add(out, "compaction_failures_total", "counter", "Compactions that failed.",
        stats->compact_failures);
}

/* ---- what there is ---- */

static void store(_Atomic uint64_t *figure, uint64_t value)
{
    atomic_store_explicit(figure, value, memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static void count_totals(ApiContext *context)
{
    CountedTotals *counted = &context->totals;
    int64_t now_us = clock_monotonic_us();
    TableTotals totals;
    Error error = {0};
    if (now_us < atomic_load_explicit(&counted->next_at_us, memory_order_relaxed) ||
        atomic_exchange_explicit(&counted->is_counting, true, memory_order_acquire))
        return; /* I1 */
    Code code = database_totals(context->db, &totals, &error);
    if (code == OK) {
        store(&counted->partitions, totals.partitions);
        store(&counted->segments, totals.segments);
        store(&counted->segment_rows, totals.segment_rows);
        store(&counted->segment_bytes, totals.segment_bytes);
    } else {
        log_event(LOG_LEVEL_WARN, "partitions could not be counted", LOG_ERROR(&error));
    }
    int64_t took_us = clock_monotonic_us() - now_us;
    atomic_store_explicit(&counted->next_at_us, now_us + took_us * COUNT_SHARE,
                          memory_order_relaxed);
    /* Release: who counts next sees when this one ended. */
    atomic_store_explicit(&counted->is_counting, false, memory_order_release);
}

static void add_totals(Buffer *out, ApiContext *context)
{
    CountedTotals *counted = &context->totals;
    count_totals(context);
    add(out, "partitions", "gauge", "Partitions that hold rows.", load(&counted->partitions));
    add(out, "segments", "gauge", "Segments of all partitions.", load(&counted->segments));
    add(out, "segment_rows", "gauge", "Rows in them, dead ones included.",
        load(&counted->segment_rows));
    add(out, "segment_bytes", "gauge", "Bytes of their files.", load(&counted->segment_bytes));
}

static uint64_t family_bytes(HotStore *hot, HotFamily family)
{
    return hot_family_property(hot, family, "rocksdb.estimate-live-data-size") +
           hot_family_property(hot, family, "rocksdb.cur-size-all-mem-tables");
}

static void add_cuts(Buffer *out, HotStore *hot)
{
    uint64_t cuts, bytes;
    hot_count_cuts(hot, &cuts, &bytes);
    add(out, "hot_cuts_total", "counter",
        "Ends of logs that were not whole when the hot tier was opened, and are left out.", cuts);
    add(out, "hot_cut_bytes_total", "counter", "How many bytes these were.", bytes);
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
    /* One cache and one limit serve all families. */
    add(out, "hot_delayed_write_bytes_per_second", "gauge",
        "What RocksDB slows writes down to; 0 while it does not.",
        hot_family_property(hot, HOT_ROWS, "rocksdb.actual-delayed-write-rate"));
    add(out, "hot_cache_bytes", "gauge", "Hot rows kept in memory for reads.",
        hot_family_property(hot, HOT_ROWS, "rocksdb.block-cache-usage"));
    add_seconds(out, "hot_stall_seconds_total", "How long RocksDB has held writes up.",
                hot_stall_us(hot));
    add(out, "feed_bytes", "gauge", "Versions kept for the feed and hot rows, estimated.",
        family_bytes(hot, HOT_ROWS) + family_bytes(hot, HOT_HISTORY));
    add(out, "feed_versions", "gauge", "How many these are, estimated.",
        hot_family_property(hot, HOT_ROWS, "rocksdb.estimate-num-keys") +
            hot_family_property(hot, HOT_HISTORY, "rocksdb.estimate-num-keys"));
}

/* ---- jobs, live queries, the process ---- */

static void add_jobs(Buffer *out, Jobs *jobs)
{
    JobFigures figures[JOB_TYPES_MAX];
    size_t count;
    jobs_figures(jobs, figures, &count);
    add_head(out, "jobs", "gauge", "Jobs that wait or run.");
    for (size_t i = 0; i < count; i++)
        buffer_printf(out,
                      "kalamdb_jobs{type=\"%s\",status=\"queued\"} %" PRIu64
                      "\nkalamdb_jobs{type=\"%s\",status=\"running\"} %" PRIu64 "\n",
                      figures[i].type, figures[i].queued, figures[i].type, figures[i].running);
    add_head(out, "jobs_ended_total", "counter", "Jobs that have ended since the start.");
    for (size_t i = 0; i < count; i++) {
        const struct {
            const char *status;
            uint64_t count;
        } ends[] = {{"completed", figures[i].completed},
                    {"failed", figures[i].failed},
                    {"cancelled", figures[i].cancelled}};
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
            buffer_printf(out, "kalamdb_jobs_ended_total{type=\"%s\",status=\"%s\"} %" PRIu64 "\n",
                          figures[i].type, ends[k].status, ends[k].count);
    }
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

static void add_process(Buffer *out, ApiContext *context)
{
    add(out, "http_requests_total", "counter", "HTTP requests received.", load(&context->requests));
    add(out, "failures_total", "counter",
        "Requests and live queries that failed inside the server: the disk, damage, a bug.",
        failure_log_count(context->failures));
    add(out, "worker_queue_depth", "gauge", "Statements that wait for a worker.",
        workers_waiting(context->workers));
    add(out, "resident_bytes", "gauge", "Memory of the process.", os_resident_bytes());
    add(out, "uptime_seconds", "gauge", "Since the start.",
        (uint64_t)((clock_wall_us() - context->started_at_us) / 1000000));
}

/* ---- the route ---- */

static void refuse(ApiLoop *api, HttpRequest *request)
{
    reply_flat_error(api, request, 403, "FORBIDDEN",
                     "Metrics are for this machine and for administrators");
}

static void reply(LoopTask *task)
{
    static const HttpHeader headers[] = {{{"Content-Type", 12}, {"text/plain; version=0.0.4", 25}}};
    MetricsCall *call = (MetricsCall *)task;
    if (call->is_refused)
        refuse(call->api, call->request);
    else
        http_respond_buffer(call->request, 200, headers, 1, &call->body);
    free(call);
}

/* An administrator's token. */
static Code check_right(ApiLoop *api, const HttpRequest *request, HotRead mode, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Session session;
    Slice token;
    int64_t expires_at_us;
    TRY(session_bearer(request, &token, e));
    TRY(session_of_token(api->context, token, mode, arena, &session, &expires_at_us, e));
    return role_is_admin(session.role) ? OK : fail(e, E_PERMISSION_DENIED, "not an administrator");
}

static void collect(void *argument)
{
    MetricsCall *call = (MetricsCall *)argument;
    ApiContext *context = call->api->context;
    Buffer *out = &call->body;
    DatabaseStats stats;
    Error ignored = {0};
    call->is_refused =
        !call->is_allowed && check_right(call->api, call->request, HOT_BLOCKING, &ignored) != OK;
    if (!call->is_refused) {
        database_stats(context->db, &stats);
        add_commits(out, context->db, &stats);
        add_work(out, &stats);
        add_totals(out, context);
        add_hot(out, database_hot(context->db));
        add_cuts(out, database_hot(context->db));
        add_jobs(out, executor_jobs(context->executor));
        add_live(out, context->live);
        add_process(out, context);
    }
    call->back.run = reply;
    loop_post_task(call->api->loop, &call->back);
}

void metrics_route(ApiLoop *api, HttpRequest *request)
{
    ClientAddress client;
    Error ignored = {0};
    guard_client(api->context->guard, request, &client);
    Code code = client.is_loopback ? OK : check_right(api, request, HOT_CACHED_ONLY, &ignored);
    if (code != OK && code != E_WOULD_BLOCK) { /* I2 */
        refuse(api, request);
        return;
    }
    MetricsCall *call = x_new(MetricsCall);
    call->api = api;
    call->request = request;
    call->is_allowed = code == OK;
    if (workers_push(api->context->monitor, (Task){collect, call}))
        return;
    free(call);
    reply_flat_error(api, request, 503, "SERVER_BUSY",
                     "Too many requests for metrics are waiting; retry in a moment");
}
