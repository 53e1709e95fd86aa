/* SPDX-License-Identifier: Apache-2.0
 *
 * live <port> <token> <folder> <seconds> <pid> <part>: measures the live queries of a running
 * server. Without arguments it names the parts. Each wants a server of its own, for what one leaves
 * in the server's memory would be taken for what the next one costs.
 *
 * Like bench.c it takes figures in slices that alternate with those of a yardstick: a WebSocket
 * ping plus an fdatasync, Redis, a plain loop that sends the same bytes to as many sockets. The
 * clients are processes of their own (crowd.h) and share the cores with the server; the processor
 * time of a delivery is taken from the process that delivers, so that it does not depend on the
 * clients.
 */
#include "crowd.h"
#include "redis.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>

enum {
    SLICE_MS = 250,
    SYNC_BYTES = 256,
    WRITERS = 4,
    STATEMENT_BYTES_MAX = 1024 * 1024,
    SERVER_FILES_SPARE = 1500, /* descriptors of the server that are no sockets */
    HEALTHY = 1000,            /* beside the slow reader */
    HEALTHY_INSERTS = 15,      /* in a slice of the slow reader's measurement */
    HEALTHY_WARM_INSERTS = 3,
    HEALTHY_STEP_MS = 20,
    RESUMED = 10000,
    IDLE_SOCKETS = 1000,
    IDLE_SUBSCRIPTIONS = 1000 * 1000,
};

#define TEXT "a message of the length that people write in a chat, some sixty bytes"

typedef struct Bench {
    int port;
    const char *token;
    const char *folder;
    double seconds; /* for each measurement, its yardstick included */
    pid_t server;
    int sync_fd;
    uint64_t next_id;
    char *statement; /* STATEMENT_BYTES_MAX */
    Wire writers[WRITERS];
} Bench;

static void line(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-54s ", name);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* ---- what the measurements share ---- */

static double cpu_seconds(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        die("the processor time of %d: %m", pid);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double resident_bytes(pid_t pid)
{
    char name[64], text[128];
    long long all = 0, resident = 0;
    snprintf(name, sizeof name, "/proc/%d/statm", pid);
    FILE *file = fopen(name, "r");
    if (!file || !fgets(text, sizeof text, file) || sscanf(text, "%lld %lld", &all, &resident) != 2)
        die("%s: %m", name);
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* Connected when it is wanted first: the server closes those that say nothing. */
static Wire *writer(Bench *b, unsigned i)
{
    Wire *w = &b->writers[i % WRITERS];
    if (!w->in)
        *w = wire_open(b->port);
    return w;
}

static void sql(Bench *b, const char *text)
{
    char body[1024];
    snprintf(body, sizeof body, "{\"sql\":\"%s\"}", text);
    wire_sql(writer(b, 0), b->token, body);
}

static void make_table(Bench *b, const char *name)
{
    char text[512];
    snprintf(text, sizeof text,
             "CREATE SHARED TABLE live.%s (id BIGINT PRIMARY KEY, at BIGINT, v TEXT) WITH "
             "(ACCESS_LEVEL = 'PUBLIC')",
             name);
    sql(b, text);
}

/* Sends an INSERT of so many rows, `padding` bytes of text in each beside the usual. */
static void send_insert(Bench *b, Wire *w, const char *table, unsigned rows, unsigned padding)
{
    static const char prefix[] = "{\"sql\":\"INSERT INTO live.%s (id, at, v) VALUES ";
    char *out = b->statement;
    size_t room = STATEMENT_BYTES_MAX, at = (size_t)snprintf(out, room, prefix, table);
    uint64_t sent_ns = now_ns();
    for (unsigned i = 0; i < rows; i++)
        at += (size_t)snprintf(out + at, room - at, "%s(%llu,%llu,'" TEXT "%*s')", i ? "," : "",
                               (unsigned long long)b->next_id++, (unsigned long long)sent_ns,
                               (int)padding, "");
    snprintf(out + at, room - at, "\"}");
    char head[8192];
    size_t bytes = (size_t)snprintf(head, sizeof head,
                                    "POST /v1/api/sql HTTP/1.1\r\nHost: bench\r\nAuthorization: "
                                    "Bearer %s\r\nContent-Type: application/json\r\n"
                                    "Content-Length: %zu\r\n\r\n",
                                    b->token, strlen(out));
    wire_send(w, head, bytes);
    wire_send(w, out, strlen(out));
}

static void await_answer(Wire *w)
{
    int status = 0;
    size_t bytes;
    while ((bytes = wire_response(w, &status)) == 0)
        wire_read(w);
    if (status != 200)
        die("an answer of status %d: %.*s", status, (int)(bytes > 600 ? 600 : bytes), w->in);
    wire_take(w, bytes);
}

static void insert(Bench *b, const char *table, unsigned rows, unsigned padding)
{
    send_insert(b, writer(b, 0), table, rows, padding);
    await_answer(writer(b, 0));
}

static void write_and_sync(const Bench *b)
{
    char bytes[SYNC_BYTES];
    memset(bytes, 'x', sizeof bytes);
    if (write(b->sync_fd, bytes, sizeof bytes) != sizeof bytes || fdatasync(b->sync_fd) < 0)
        die("fdatasync: %m");
}

/* Whether a thread of the server runs or waits for a processor or a disk. */
static bool is_busy(pid_t pid)
{
    char name[300], text[512];
    bool busy = false;
    snprintf(name, sizeof name, "/proc/%d/task", pid);
    DIR *tasks = opendir(name);
    if (!tasks)
        die("%s: %m", name);
    for (struct dirent *task; !busy && (task = readdir(tasks));) {
        snprintf(name, sizeof name, "/proc/%d/task/%s/stat", pid, task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(name, "r");
        const char *end = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
        busy = end && (end[2] == 'R' || end[2] == 'D');
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return busy;
}

/* Until the server has had nothing to do a few times in a row, or some seconds have passed. */
static void settle(const Bench *b)
{
    for (int i = 0, quiet = 0; i < 400 && quiet < 5; i++) {
        usleep(10 * 1000);
        quiet = is_busy(b->server) ? 0 : quiet + 1;
    }
}

static int slices(const Bench *b)
{
    int n = (int)(b->seconds * 1000 / SLICE_MS / 2);
    return n > 0 ? n : 1;
}

/* Sockets that the server may hold, at most `wanted`. */
static unsigned sockets_of(unsigned wanted)
{
    unsigned files = crowd_files_max();
    unsigned most = files > 2 * SERVER_FILES_SPARE ? files - SERVER_FILES_SPARE : files / 2;
    return wanted < most ? wanted : most;
}

/* ---- commit to subscriber ---- */

static void echo_slice(Bench *b, Wire *live, Stats *stats)
{
    static const char ping[6] = {(char)0x89, (char)0x80};
    uint64_t until = now_ns() + SLICE_MS * 1000000ull;
    while (now_ns() < until) {
        uint64_t started = now_ns();
        wire_send(live, ping, sizeof ping);
        const char *payload;
        size_t count, bytes;
        for (bool is_pong = false; !is_pong; wire_take(live, bytes)) {
            while ((bytes = wire_frame(live, &payload, &count)) == 0)
                wire_read(live);
            is_pong = (live->in[0] & 15) == 10;
        }
        write_and_sync(b);
        stats_add(stats, now_ns() - started);
    }
}

static void change_slice(Bench *b, Wire *live, Stats *stats)
{
    uint64_t until = now_ns() + SLICE_MS * 1000000ull;
    while (now_ns() < until) {
        uint64_t started = now_ns();
        send_insert(b, writer(b, 0), "one", 1, 0);
        wire_wait_frame(live, "\"change\"");
        stats_add(stats, now_ns() - started);
        await_answer(writer(b, 0));
    }
}

static void measure_one(Bench *b)
{
    Stats echo = {0}, change = {0};
    make_table(b, "one");
    Wire live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live, "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"b\",\"sql\":"
                           "\"SELECT * FROM live.one\",\"options\":{\"last_rows\":1}}}");
    wire_wait_frame(&live, "initial_data_batch");
    for (int i = 0; i < slices(b); i++) {
        echo_slice(b, &live, &echo);
        change_slice(b, &live, &change);
    }
    double echo_50 = stats_percentile_ms(&echo, 50), echo_99 = stats_percentile_ms(&echo, 99);
    double change_50 = stats_percentile_ms(&change, 50),
           change_99 = stats_percentile_ms(&change, 99);
    line("WebSocket ping to pong, then fdatasync", "p50 %.3f ms, p99 %.3f ms", echo_50, echo_99);
    line("INSERT to the change at one subscriber", "p50 %.3f ms, p99 %.3f ms: %.2f x and %.2f x",
         change_50, change_99, change_50 / echo_50, change_99 / echo_99);
    wire_close(&live);
}

/* ---- rates, beside Redis ---- */

typedef struct Rate {
    double deliveries, wall_seconds, cpu_seconds;
} Rate;

/* `statements` of `rows` each go out on several connections, then all deliveries are awaited. */
static void live_rate_slice(Bench *b, Crowd *c, unsigned rows, unsigned statements, Rate *out)
{
    uint64_t started = now_ns(), ended = started;
    double cpu = cpu_seconds(b->server);
    while (ended < started + SLICE_MS * 1000000ull) {
        crowd_expect(c, (uint64_t)rows * statements);
        for (unsigned i = 0; i < statements; i++) {
            if (i >= WRITERS)
                await_answer(writer(b, i));
            send_insert(b, writer(b, i), "rate", rows, 0);
        }
        for (unsigned i = 0; i < WRITERS && i < statements; i++)
            await_answer(writer(b, i));
        ended = crowd_await(c);
        out->deliveries += (double)c->plan.sockets * rows * statements;
    }
    out->wall_seconds += (double)(ended - started) / 1e9;
    out->cpu_seconds += cpu_seconds(b->server) - cpu;
}

static void redis_rate_slice(Redis *r, Crowd *c, unsigned rows, unsigned statements, Rate *out)
{
    uint64_t started = now_ns(), ended = started;
    double cpu = cpu_seconds(r->pid);
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
    out->cpu_seconds += cpu_seconds(r->pid) - cpu;
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
    for (int i = 0; i < (slices(b) + 1) / 2; i++) {
        live_rate_slice(b, c, rows, statements, &rate);
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
        insert(b, "rate", LAG_ROWS_A_STATEMENT, 0);
    settle(b);
    double cpu = cpu_seconds(b->server);
    uint64_t started = now_ns();
    count_changes(&live, LAG_ROWS);
    out->wall_seconds += (double)(now_ns() - started) / 1e9;
    out->cpu_seconds += cpu_seconds(b->server) - cpu;
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
    for (int i = 0; i < slices(b) / 4 + 1; i++) {
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

static void measure_rates(Bench *b)
{
    if (system("command -v redis-server >/dev/null 2>&1") != 0)
        line("  Redis", "redis-server not installed");
    make_table(b, "rate");
    insert(b, "rate", 1, 0);
    measure_rate(b, 1, 100, 16);
    measure_delivery(b);
    measure_rate(b, 100, 100, 4);
    measure_rate(b, 1000, 16, 4);
    measure_rate(b, 1000, 1, 4);
}

/* ---- fan-out, beside a plain loop ---- */

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
    insert(b, "fan", 1, 0);
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
    double cpu = cpu_seconds(b->server);
    while ((started = now_ns()) < until) {
        crowd_expect(c, 1);
        insert(b, "fan", 1, 0);
        stats_add(&fan->times, crowd_await(c) - started);
        fan->deliveries += c->plan.sockets;
    }
    fan->cpu_seconds += cpu_seconds(b->server) - cpu;
}

static void plain_slice(Bench *b, Crowd *c, pid_t pid, int orders, Fan *fan)
{
    uint64_t until = now_ns() + SLICE_MS * 1000000ull, started;
    double cpu = cpu_seconds(pid);
    while ((started = now_ns()) < until) {
        crowd_expect(c, 1);
        write_and_sync(b);
        if (write(orders, "x", 1) != 1)
            die("the plain loop has ended");
        stats_add(&fan->times, crowd_await(c) - started);
        fan->deliveries += c->plan.sockets;
    }
    fan->cpu_seconds += cpu_seconds(pid) - cpu;
}

static void measure_fan(Bench *b, unsigned wanted, bool own_ids)
{
    unsigned sockets = sockets_of(wanted);
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
    for (int i = 0; i < (slices(b) + 1) / 2; i++) {
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

static void measure_fans(Bench *b)
{
    make_table(b, "fan");
    measure_fan(b, 1000, false);
    measure_fan(b, 10000, false);
    measure_fan(b, 10000, true);
}

/* ---- idling ---- */

/* What `sockets` x `subscriptions` cost while nothing happens. */
static void measure_idle_crowd(Bench *b, unsigned sockets, unsigned subscriptions, const char *text)
{
    CrowdPlan plan = {.kind = CROWD_LIVE,
                      .port = b->port,
                      .token = b->token,
                      .sql = text,
                      .sockets = sockets,
                      .subscriptions = subscriptions};
    char name[100];
    double before = resident_bytes(b->server);
    uint64_t started = now_ns();
    Crowd *c = crowd_open(&plan);
    double seconds = (double)(crowd_await_ready(c) - started) / 1e9;
    double bytes = resident_bytes(b->server) - before, each = sockets * fmax(subscriptions, 1);
    double cpu = cpu_seconds(b->server);
    started = now_ns();
    usleep(2000 * 1000);
    cpu = (cpu_seconds(b->server) - cpu) * 1e9 / (double)(now_ns() - started);
    crowd_close(c);
    if (subscriptions == 0)
        snprintf(name, sizeof name, "%u idle sockets", sockets);
    else
        snprintf(name, sizeof name, "%u idle subscriptions on %u sockets%s",
                 sockets * subscriptions, sockets, strstr(text, "%u") ? ", no two alike" : "");
    line(name, "%.0f MB, %.0f bytes each, %.2f %% of a core; opened in %.1f s", bytes / 1e6,
         bytes / each, cpu * 100, seconds);
}

static double available_bytes(void)
{
    char text[256];
    double kilobytes = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(text, sizeof text, file))
        if (sscanf(text, "MemAvailable: %lf", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

static void measure_idle(Bench *b)
{
    measure_idle_crowd(b, sockets_of(10000), 0, "");
}

static void measure_idle_alike(Bench *b)
{
    make_table(b, "idle");
    unsigned sockets = sockets_of(IDLE_SOCKETS);
    double most = fmin(available_bytes() / 3000, IDLE_SUBSCRIPTIONS);
    if (most < IDLE_SUBSCRIPTIONS)
        line("  fewer idle subscriptions than 1,000,000", "memory has %.0f MB left",
             available_bytes() / 1e6);
    measure_idle_crowd(b, sockets, (unsigned)(most / sockets), "SELECT * FROM live.idle");
}

static void measure_idle_different(Bench *b)
{
    make_table(b, "idle");
    measure_idle_crowd(b, 100, 500, "SELECT * FROM live.idle WHERE id = %u");
}

/* ---- many filters on one table ---- */

enum { ROOMS = 10 * 1000, ROOM_SOCKETS = 100 };

/* Inserts of which each concerns one of the rooms; the server's processor time for one, in
 * microseconds. */
static double rooms_slice(Bench *b)
{
    enum { INSERTS = 60 };
    double cpu = cpu_seconds(b->server);
    for (int i = 0; i < INSERTS; i++)
        insert(b, "rooms", 1, 0);
    return (cpu_seconds(b->server) - cpu) * 1e6 / INSERTS;
}

static void measure_rooms(Bench *b)
{
    make_table(b, "rooms");
    CrowdPlan plan = {.kind = CROWD_LIVE,
                      .port = b->port,
                      .token = b->token,
                      .sql = "SELECT * FROM live.rooms WHERE id = %u",
                      .sockets = ROOM_SOCKETS,
                      .subscriptions = ROOMS / ROOM_SOCKETS};
    Stats none = {0}, all = {0};
    for (int i = 0; i < 8; i++) {
        stats_add(&none, (uint64_t)(rooms_slice(b) * 1000));
        Crowd *c = crowd_open(&plan);
        crowd_await_ready(c);
        settle(b);
        stats_add(&all, (uint64_t)(rooms_slice(b) * 1000));
        crowd_close(c);
        settle(b);
    }
    double none_us = stats_percentile_ms(&none, 50) * 1000,
           all_us = stats_percentile_ms(&all, 50) * 1000;
    line("INSERT, nobody follows the table", "%.0f us of server", none_us);
    line("INSERT, 10,000 filters `id = k`, one of them concerned", "%.0f us of server: %.1f x",
         all_us, all_us / none_us);
}

/* ---- one slow reader ---- */

/* A process that subscribes to live.slow and reads a byte a second, or everything. */
static pid_t start_reader(Bench *b, const char *options, bool is_slow)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    static char text[64 * 1024];
    Wire w = wire_open_socket(b->port, b->token);
    snprintf(text, sizeof text,
             "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"slow\",\"sql\":\"SELECT id, at, v "
             "FROM live.slow\",\"options\":%s}}",
             options);
    wire_send_frame(&w, text);
    while (recv(w.fd, text, is_slow ? 1 : sizeof text, 0) > 0)
        if (is_slow)
            sleep(1);
    _exit(0);
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

typedef struct Phase {
    double p50_ms, p99_ms, cpu_seconds;
} Phase;

/* Inserts at an even pace, and when the healthy ones had them. */
static Phase healthy_phase(Bench *b, Crowd *c)
{
    Stats times = {0};
    Phase phase;
    for (int i = 0; i < HEALTHY_WARM_INSERTS; i++) {
        crowd_expect(c, 1);
        insert(b, "slow", 1, 0);
        crowd_await(c);
    }
    double cpu = cpu_seconds(b->server);
    uint64_t step = HEALTHY_STEP_MS * 1000000ull, next = now_ns();
    crowd_take_times(c, NULL);
    for (int i = 0; i < HEALTHY_INSERTS; i++, next += step) {
        uint64_t now = now_ns();
        if (now < next)
            usleep((useconds_t)((next - now) / 1000));
        crowd_expect(c, 1);
        insert(b, "slow", 1, 0);
        crowd_await(c);
    }
    phase.cpu_seconds = cpu_seconds(b->server) - cpu;
    crowd_take_times(c, &times);
    phase.p50_ms = stats_percentile_ms(&times, 50);
    phase.p99_ms = stats_percentile_ms(&times, 99);
    free(times.times_ns);
    return phase;
}

/* Beside one more, whose first rows fill its queue at once if it is slow. */
static Phase phase_beside(Bench *b, Crowd *c, bool is_slow)
{
    pid_t reader = start_reader(b, "{}", is_slow);
    usleep(100 * 1000);
    settle(b); /* what is measured is a slow reader, not a new one */
    Phase phase = healthy_phase(b, c);
    end_process(reader);
    return phase;
}

/* What the rounds of a comparison gave: Stats of nanoseconds serve for milliseconds and for
 * ratios. */
typedef struct Rounds {
    Stats p50, p99, slow_p50, slow_p99, p99_ratio, cpu_ratio;
} Rounds;

static void add_value(Stats *s, double value)
{
    stats_add(s, (uint64_t)(value * 1e6));
}

static void add_round(Rounds *r, const Phase *quiet, const Phase *slow)
{
    add_value(&r->p50, quiet->p50_ms);
    add_value(&r->p99, quiet->p99_ms);
    add_value(&r->slow_p50, slow->p50_ms);
    add_value(&r->slow_p99, slow->p99_ms);
    add_value(&r->p99_ratio, slow->p99_ms / quiet->p99_ms);
    add_value(&r->cpu_ratio, slow->cpu_seconds / quiet->cpu_seconds);
}

static void print_ratio(const char *name, Stats *ratios)
{
    line(name, "%.2f x (half of %zu rounds between %.2f and %.2f)", stats_percentile_ms(ratios, 50),
         ratios->count, stats_percentile_ms(ratios, 25), stats_percentile_ms(ratios, 75));
}

/* Each round has a phase beside a slow reader and one beside a fast one, in changing order; the
 * medians over many rounds count, so that what else the machine does decides nothing. */
static void measure_slow_latency(Bench *b)
{
    CrowdPlan plan = {.kind = CROWD_LIVE,
                      .port = b->port,
                      .token = b->token,
                      .take_times = true,
                      .sql = "SELECT id, at, v FROM live.slow",
                      .options = "{\"last_rows\":1}",
                      .sockets = sockets_of(HEALTHY),
                      .subscriptions = 1};
    Rounds r = {0};
    Crowd *c = crowd_open(&plan);
    crowd_await_ready(c);
    healthy_phase(b, c);
    for (int i = 0; i < (int)(b->seconds * 2) || i < 4; i++) {
        Phase phases[2];
        for (int k = 0; k < 2; k++)
            phases[(i + k) % 2] = phase_beside(b, c, (i + k) % 2);
        add_round(&r, &phases[0], &phases[1]);
    }
    double p99 = stats_percentile_ms(&r.p99, 50), slow_p99 = stats_percentile_ms(&r.slow_p99, 50);
    line("1,000 subscribers beside one more, INSERT to change", "p50 %.2f ms, p99 %.2f ms",
         stats_percentile_ms(&r.p50, 50), p99);
    line("the same beside one that reads 1 byte/s", "p50 %.2f ms, p99 %.2f ms: p99 %.2f x",
         stats_percentile_ms(&r.slow_p50, 50), slow_p99, slow_p99 / p99);
    print_ratio("  p99, round by round", &r.p99_ratio);
    print_ratio("  the server's processor time a change, likewise", &r.cpu_ratio);
    crowd_close(c);
}

static void insert_many(Bench *b, unsigned rows)
{
    enum { ROWS_A_STATEMENT = 2000 };
    unsigned statements = rows / ROWS_A_STATEMENT;
    for (unsigned i = 0; i < statements; i++) {
        if (i >= WRITERS)
            await_answer(writer(b, i));
        send_insert(b, writer(b, i), "slow", ROWS_A_STATEMENT, 0);
    }
    for (unsigned i = 0; i < WRITERS && i < statements; i++)
        await_answer(writer(b, i));
}

static void measure_slow(Bench *b)
{
    make_table(b, "slow");
    for (int i = 0; i < 20; i++)
        insert(b, "slow", 500, 1000); /* 10 MB of first rows */
    measure_slow_latency(b);
    unsigned rows = (unsigned)(fmin(b->seconds, 10) * 100 * 1000);
    insert_many(b, rows / 2);
    double before = resident_bytes(b->server);
    insert_many(b, rows / 2);
    double plain = resident_bytes(b->server);
    pid_t slow[2] = {start_reader(b, "{}", true), start_reader(b, "{\"last_rows\":1}", true)};
    usleep(200 * 1000);
    uint64_t started = now_ns();
    insert_many(b, rows / 2);
    double half = resident_bytes(b->server);
    insert_many(b, rows / 2);
    double after = resident_bytes(b->server);
    char name[100];
    snprintf(name, sizeof name, "%u changes beside two that read 1 byte/s", rows);
    line(name, "server %+.0f MB, then %+.0f MB, to %.0f MB, in %.1f s (%u before them: %+.0f MB)",
         (half - plain) / 1e6, (after - half) / 1e6, after / 1e6,
         (double)(now_ns() - started) / 1e9, rows / 2, (plain - before) / 1e6);
    end_process(slow[0]);
    end_process(slow[1]);
}

/* ---- many resume at once ---- */

enum { KEPT = 100, ADDED = 100, UPDATED = 50, DELETED = 20 };

/* The cursor of a subscription that has seen all there is. */
static uint64_t read_cursor(Bench *b)
{
    Wire live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live,
                    "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"c\",\"sql\":"
                    "\"SELECT id, at, v FROM live.resumed\",\"options\":{\"last_rows\":1}}}");
    const char *payload, *mark = "\"last_seq_id\":";
    size_t count, bytes;
    for (;; wire_take(&live, bytes)) {
        while ((bytes = wire_frame(&live, &payload, &count)) == 0)
            wire_read(&live);
        if (!memmem(payload, count, "initial_data_batch", 18))
            continue;
        const char *at = memmem(payload, count, mark, strlen(mark));
        uint64_t cursor = at ? strtoull(at + strlen(mark), NULL, 10) : 0;
        if (cursor == 0)
            die("no cursor in %.*s", (int)count, payload);
        wire_close(&live);
        return cursor;
    }
}

/* Rows come, change and go; the sums of the ids a resumed subscription has to see. */
static void change_meanwhile(Bench *b, uint64_t first, uint64_t *out_seen, uint64_t *out_gone)
{
    char text[256];
    *out_seen = *out_gone = 0;
    for (uint64_t id = b->next_id; id < b->next_id + ADDED; id++)
        *out_seen += crowd_mix(id);
    for (int i = 0; i < 4; i++)
        insert(b, "resumed", ADDED / 4, 0);
    snprintf(text, sizeof text,
             "UPDATE live.resumed SET v = 'other' WHERE id >= %llu AND id < %llu",
             (unsigned long long)first, (unsigned long long)first + UPDATED);
    sql(b, text);
    for (uint64_t id = first; id < first + UPDATED; id++)
        *out_seen += crowd_mix(id);
    snprintf(text, sizeof text, "DELETE FROM live.resumed WHERE id >= %llu AND id < %llu",
             (unsigned long long)first + UPDATED, (unsigned long long)first + UPDATED + DELETED);
    sql(b, text);
    for (uint64_t id = first + UPDATED; id < first + UPDATED + DELETED; id++)
        *out_gone += crowd_mix(id);
}

static void measure_resume(Bench *b)
{
    make_table(b, "resumed");
    uint64_t first = b->next_id, seen, gone;
    insert(b, "resumed", KEPT, 0);
    uint64_t cursor = read_cursor(b);
    change_meanwhile(b, first, &seen, &gone);
    char options[64], name[100];
    snprintf(options, sizeof options, "{\"from\":%llu}", (unsigned long long)cursor);
    CrowdPlan plan = {.kind = CROWD_LIVE,
                      .port = b->port,
                      .token = b->token,
                      .tally = true,
                      .sql = "SELECT id, at, v FROM live.resumed",
                      .options = options,
                      .sockets = sockets_of(RESUMED),
                      .subscriptions = 1};
    double cpu = cpu_seconds(b->server);
    uint64_t started = now_ns();
    Crowd *c = crowd_open(&plan);
    crowd_order(c, AWAIT_IDS, ADDED + UPDATED + DELETED, 0, 0);
    double seconds = (double)(crowd_await(c) - started) / 1e9;
    cpu = cpu_seconds(b->server) - cpu;
    uint64_t wrong = crowd_check(c, seen, gone);
    seen +=
        crowd_mix(b->next_id); /* and they are live: one more reaches them all, and nothing twice */
    insert(b, "resumed", 1, 0);
    crowd_order(c, AWAIT_IDS, ADDED + UPDATED + DELETED + 1, 0, 0);
    crowd_await(c);
    wrong += crowd_check(c, seen, gone);
    crowd_close(c);
    snprintf(name, sizeof name, "%u connect and resume at once, %d changes behind", plan.sockets,
             ADDED + UPDATED + DELETED);
    line(name, "all complete after %.2f s, %.0f us of server a socket; %llu wrong", seconds,
         cpu * 1e6 / plan.sockets, (unsigned long long)wrong);
    if (wrong)
        die("%llu sockets missed something or had it twice", (unsigned long long)wrong);
}

/* ---- all ---- */

static void open_all(Bench *b)
{
    char name[4096];
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    b->statement = malloc(STATEMENT_BYTES_MAX);
    snprintf(name, sizeof name, "%s/fdatasync", b->folder);
    b->sync_fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (!b->statement || b->sync_fd < 0)
        die("open %s: %m", name);
    sql(b, "CREATE NAMESPACE live");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Bench *b);
    } parts[] = {{"one", measure_one},
                 {"rates", measure_rates},
                 {"fan", measure_fans},
                 {"rooms", measure_rooms},
                 {"slow", measure_slow},
                 {"resume", measure_resume},
                 {"idle", measure_idle},
                 {"idle-alike", measure_idle_alike},
                 {"idle-different", measure_idle_different}};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    for (size_t i = 0; argc == 1 && i < PARTS; i++)
        puts(parts[i].name);
    if (argc == 1)
        return 0;
    if (argc != 7)
        die("usage: live <port> <token> <folder> <seconds for each measurement> <pid> <part>");
    Bench b = {.port = (int)strtol(argv[1], NULL, 10),
               .token = argv[2],
               .folder = argv[3],
               .seconds = strtod(argv[4], NULL),
               .server = (pid_t)strtol(argv[5], NULL, 10),
               .next_id = 1};
    open_all(&b);
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(argv[6], parts[i].name) == 0)
            parts[i].run(&b);
    return 0;
}
