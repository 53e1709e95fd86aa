/* SPDX-License-Identifier: Apache-2.0
 *
 * Part fan: one change to many sockets, beside a loop that sends them the same bytes.
 */
#include "live.h"

/* A process that holds `count` sockets and, for each byte from `orders`, sends them the message. */
static pid_t plain_server(unsigned count, const char *bytes, size_t byte_count, int *out_port,
                          int *out_orders)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t size = sizeof any;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int ends[2], fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof any) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&any, &size) < 0 || pipe(ends) < 0)
        die("a plain server: %m");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[1]);
        int *sockets = calloc(count, sizeof *sockets), on = 1;
        for (unsigned i = 0; sockets && i < count; i++) {
            sockets[i] = accept(fd, NULL, NULL);
            setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        }
        for (char order; sockets && read(ends[0], &order, 1) == 1;)
            for (unsigned i = 0; i < count; i++)
                if (send(sockets[i], bytes, byte_count, MSG_NOSIGNAL) < 0)
                    _exit(1);
        _exit(0);
    }
    close(fd);
    close(ends[0]);
    *out_port = ntohs(any.sin_port);
    *out_orders = ends[1];
    return pid;
}

/* A change of live.fan as it goes over the wire, head included. */
static size_t capture_frame(Bench *b, char *out, size_t capacity)
{
    Wire live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live, "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"s0\",\"sql\":"
                           "\"SELECT id, at, v FROM live.fan\",\"options\":{\"last_rows\":1}}}");
    wire_wait_frame(&live, "initial_data_batch");
    live_insert(b, "fan", 1, 0);
    const char *payload;
    size_t count, bytes;
    while ((bytes = wire_frame(&live, &payload, &count)) == 0)
        wire_read(&live);
    if (bytes > capacity)
        die("a change of %zu bytes", bytes);
    memcpy(out, live.in, bytes);
    wire_close(&live);
    return bytes;
}

typedef struct Fan {
    Stats times;
    double cpu_seconds, deliveries;
} Fan;

static void fan_slice(Bench *b, Crowd *c, Fan *fan)
{
    uint64_t until = now_ns() + SLICE_MS * 1000000ull, started;
    double cpu = process_seconds(b->server);
    while ((started = now_ns()) < until) {
        crowd_expect(c, 1);
        live_insert(b, "fan", 1, 0);
        stats_add(&fan->times, crowd_await(c) - started);
        fan->deliveries += c->plan.sockets;
    }
    fan->cpu_seconds += process_seconds(b->server) - cpu;
}

static void plain_slice(Bench *b, Crowd *c, pid_t pid, int orders, Fan *fan)
{
    uint64_t until = now_ns() + SLICE_MS * 1000000ull, started;
    double cpu = process_seconds(pid);
    while ((started = now_ns()) < until) {
        crowd_expect(c, 1);
        live_sync(b);
        if (write(orders, "x", 1) != 1)
            die("the plain loop has ended");
        stats_add(&fan->times, crowd_await(c) - started);
        fan->deliveries += c->plan.sockets;
    }
    fan->cpu_seconds += process_seconds(pid) - cpu;
}

static void measure_fan(Bench *b, unsigned wanted, bool own_ids)
{
    unsigned sockets = live_sockets(wanted);
    char frame[1024], name[100];
    Fan fan = {0}, plain = {0};
    int orders, port;
    size_t bytes = capture_frame(b, frame, sizeof frame);
    pid_t pid = plain_server(sockets, frame, bytes, &port, &orders);
    CrowdPlan plan = {.kind = CROWD_PLAIN, .port = port, .sockets = sockets, .subscriptions = 1};
    Crowd *plain_crowd = crowd_open(&plan);
    plan = (CrowdPlan){.kind = CROWD_LIVE,
                       .port = b->port,
                       .token = b->token,
                       .own_ids = own_ids,
                       .sql = "SELECT id, at, v FROM live.fan",
                       .options = "{\"last_rows\":1}",
                       .sockets = sockets,
                       .subscriptions = 1};
    Crowd *c = crowd_open(&plan);
    crowd_await_ready(plain_crowd);
    crowd_await_ready(c);
    for (int i = 0; i < (live_slices(b) + 1) / 2; i++) {
        plain_slice(b, plain_crowd, pid, orders, &plain);
        fan_slice(b, c, &fan);
    }
    crowd_close(plain_crowd);
    crowd_close(c);
    close(orders);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    double plain_ms = stats_percentile_ms(&plain.times, 50),
           ms = stats_percentile_ms(&fan.times, 50);
    double plain_us = plain.cpu_seconds * 1e6 / plain.deliveries;
    double us = fan.cpu_seconds * 1e6 / fan.deliveries;
    snprintf(name, sizeof name, "  fdatasync, then a plain loop over %u sockets", sockets);
    line(name, "p50 %.2f ms, %.2f us of processor a delivery", plain_ms, plain_us);
    snprintf(name, sizeof name, "one change to %u sockets%s", sockets,
             own_ids ? ", each with its own id" : "");
    line(name, "p50 %.2f ms, %.2f us a delivery: %.0f %% and %.0f %% of the plain loop's speed", ms,
         us, plain_ms * 100 / ms, plain_us * 100 / us);
}

void live_fan(Bench *b)
{
    live_make_table(b, "fan");
    measure_fan(b, 1000, false);
    measure_fan(b, 10000, false);
    measure_fan(b, 10000, true);
}
