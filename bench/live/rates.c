/* SPDX-License-Identifier: Apache-2.0
 *
 * Part rates: changes that get through, beside Redis.
 */
#include "live.h"
#include "redis.h"

typedef struct Rate {
    double deliveries, wall_seconds, cpu_seconds;
} Rate;

/* `statements` of `rows` each go out on several connections, then all deliveries are awaited. */
static void changes_slice(Bench *b, Crowd *c, unsigned rows, unsigned statements, Rate *out)
{
    uint64_t started = now_ns(), ended = started;
    double cpu = process_seconds(b->server);
    while (ended < started + SLICE_MS * 1000000ull) {
        crowd_expect(c, (uint64_t)rows * statements);
        for (unsigned i = 0; i < statements; i++) {
            if (i >= WRITERS)
                live_await_insert(b, i);
            live_send_insert(b, i, "rate", rows, 0);
        }
        for (unsigned i = 0; i < WRITERS && i < statements; i++)
            live_await_insert(b, i);
        ended = crowd_await(c);
        out->deliveries += (double)c->plan.sockets * rows * statements;
    }
    out->wall_seconds += (double)(ended - started) / 1e9;
    out->cpu_seconds += process_seconds(b->server) - cpu;
}

static void redis_rate_slice(Redis *r, Crowd *c, unsigned rows, unsigned statements, Rate *out)
{
    uint64_t started = now_ns(), ended = started;
    double cpu = process_seconds(r->pid);
    while (ended < started + SLICE_MS * 1000000ull) {
        crowd_expect(c, (uint64_t)rows * statements);
        for (unsigned i = 0; i < statements; i++) {
            wire_send(&r->publisher, r->publishes, r->bytes);
            if (i + 1 >= WRITERS)
                redis_await(r, rows);
        }
        redis_await(r, rows * (statements < WRITERS ? statements : WRITERS - 1));
        ended = crowd_await(c);
        out->deliveries += (double)c->plan.sockets * rows * statements;
    }
    out->wall_seconds += (double)(ended - started) / 1e9;
    out->cpu_seconds += process_seconds(r->pid) - cpu;
}

static void print_rate(const char *name, const Rate *rate, const Rate *redis)
{
    double wall = rate->deliveries / rate->wall_seconds,
           core = rate->deliveries / rate->cpu_seconds;
    if (redis)
        line(name, "%.0f/s, %.0f/s per server core: %.2f x and %.2f x Redis", wall, core,
             wall * redis->wall_seconds / redis->deliveries,
             core * redis->cpu_seconds / redis->deliveries);
    else
        line(name, "%.0f/s, %.0f/s per server core", wall, core);
}

static const char ROWS[] = "SELECT id, at, v FROM live.rate";

static void measure_rate(Bench *b, unsigned subscribers, unsigned rows, unsigned statements)
{
    CrowdPlan plan = {.kind = CROWD_LIVE,
                      .port = b->port,
                      .token = b->token,
                      .sql = ROWS,
                      .options = "{\"last_rows\":1}",
                      .sockets = subscribers,
                      .subscriptions = 1};
    Crowd *c = crowd_open(&plan), *redis_crowd = NULL;
    Redis redis = {0};
    Rate rate = {0}, redis_rate = {0};
    char name[100];
    crowd_await_ready(c);
    bool has_redis = redis_start(&redis);
    if (has_redis) {
        CrowdPlan listen = {.kind = CROWD_REDIS,
                            .port = redis.port,
                            .sockets = subscribers,
                            .subscriptions = 1,
                            .message_bytes = redis_prepare(&redis, rows, 220)};
        redis_crowd = crowd_open(&listen);
        crowd_await_ready(redis_crowd);
    }
    for (int i = 0; i < (live_slices(b) + 1) / 2; i++) {
        changes_slice(b, c, rows, statements, &rate);
        if (has_redis)
            redis_rate_slice(&redis, redis_crowd, rows, statements, &redis_rate);
    }
    snprintf(name, sizeof name, "  Redis, %u subscribers, %u PUBLISHes at once", subscribers, rows);
    if (has_redis)
        print_rate(name, &redis_rate, NULL);
    snprintf(name, sizeof name, "changes to %u subscriber%s, %u rows a statement", subscribers,
             subscribers == 1 ? "" : "s", rows);
    print_rate(name, &rate, has_redis ? &redis_rate : NULL);
    if (has_redis) {
        crowd_close(redis_crowd);
        redis_stop(&redis);
    }
    crowd_close(c);
}

/* ---- what a delivery costs by itself ---- */

enum { LAG_ROWS = 100 * 1000, LAG_ROWS_A_STATEMENT = 1000 };

/* Reads until `wanted` frames of `live` hold a change. */
static void count_changes(Wire *live, unsigned wanted)
{
    static char in[1 << 20];
    size_t size = live->bytes, bytes, count;
    const char *payload;
    memcpy(in, live->in, size);
    while (wanted > 0) {
        ssize_t n = recv(live->fd, in + size, sizeof in - size, 0);
        if (n <= 0)
            die("the server closed the connection: %m");
        Wire w = {.in = in, .bytes = size + (size_t)n};
        for (; (bytes = wire_frame(&w, &payload, &count)) > 0; w.in += bytes, w.bytes -= bytes)
            wanted -= wanted > 0 && starts(payload, count, "{\"type\":\"change\"");
        size = w.bytes;
        memmove(in, w.in, size);
    }
}

/* Changes that are committed already, to one subscriber that had stopped reading: nothing but
 * delivery. */
static void measure_lag(Bench *b, Rate *out)
{
    Wire live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live, "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"l\",\"sql\":"
                           "\"SELECT id, at, v FROM live.rate\",\"options\":{\"last_rows\":1}}}");
    wire_wait_frame(&live, "initial_data_batch");
    for (unsigned i = 0; i < LAG_ROWS / LAG_ROWS_A_STATEMENT; i++)
        live_insert(b, "rate", LAG_ROWS_A_STATEMENT, 0);
    live_settle(b);
    double cpu = process_seconds(b->server);
    uint64_t started = now_ns();
    count_changes(&live, LAG_ROWS);
    out->wall_seconds += (double)(now_ns() - started) / 1e9;
    out->cpu_seconds += process_seconds(b->server) - cpu;
    out->deliveries += LAG_ROWS;
    wire_close(&live);
}

static void measure_delivery(Bench *b)
{
    enum { PUBLISHES = 100, TIMES = 16 };
    Redis redis = {0};
    Rate lag = {0}, redis_rate = {0};
    bool has_redis = redis_start(&redis);
    Crowd *c = NULL;
    if (has_redis) {
        CrowdPlan listen = {.kind = CROWD_REDIS,
                            .port = redis.port,
                            .sockets = 1,
                            .subscriptions = 1,
                            .message_bytes = redis_prepare(&redis, PUBLISHES, 220)};
        c = crowd_open(&listen);
        crowd_await_ready(c);
    }
    for (int i = 0; i < live_slices(b) / 4 + 1; i++) {
        measure_lag(b, &lag);
        if (has_redis)
            redis_rate_slice(&redis, c, PUBLISHES, TIMES, &redis_rate);
    }
    print_rate("100,000 changes committed before, to 1 subscriber", &lag,
               has_redis ? &redis_rate : NULL);
    if (has_redis) {
        crowd_close(c);
        redis_stop(&redis);
    }
}

void live_rates(Bench *b)
{
    if (system("command -v redis-server >/dev/null 2>&1") != 0)
        line("  Redis", "redis-server not installed");
    live_make_table(b, "rate");
    live_insert(b, "rate", 1, 0);
    measure_rate(b, 1, 100, 16);
    measure_delivery(b);
    measure_rate(b, 100, 100, 4);
    measure_rate(b, 1000, 16, 4);
    measure_rate(b, 1000, 1, 4);
}
