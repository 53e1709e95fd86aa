/* SPDX-License-Identifier: Apache-2.0
 *
 * bench <port> <token> <folder> <seconds>: measures a running server and prints a table.
 *
 * A figure alone says more about the machine than about the server, so each is taken in short
 * slices that alternate with slices of a yardstick: durable inserts with a loop of write +
 * fdatasync in the server's own folder, point reads with GET /health. What disturbs the machine
 * disturbs both, and the last column, the ratio of the two, is what to compare between days and
 * machines. Clients and server share the cores. One thread.
 */
#include "stats.h"
#include "wire.h"
#include "wire_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

enum {
    CONNECTIONS_MAX = 64,
    REQUEST_BYTES_MAX = 8192,
    SLICE_MS = 200,
    SYNC_BYTES = 256, /* about what one small row adds to the log */
    FLUSH_ROWS = 1000,
    FLUSH_ROUNDS = 10,
};

typedef struct Bench {
    int port;
    const char *token;
    const char *folder;
    double seconds; /* for each measurement, its yardstick included */
    uint64_t next_id;
    uint64_t first_id;
} Bench;

/* Writes the body of the next request into `out`. */
typedef void MakeBody(Bench *b, char *out, size_t capacity);

static void insert_body(Bench *b, char *out, size_t capacity)
{
    snprintf(out, capacity,
             "{\"sql\":\"INSERT INTO bench.rows (id, v) VALUES ($1, $2)\",\"params\":[%llu,\"a "
             "message of the length that people write in a chat, some sixty bytes\"]}",
             (unsigned long long)b->next_id++);
}

static void select_body(Bench *b, char *out, size_t capacity)
{
    uint64_t span = b->next_id - b->first_id;
    uint64_t id = b->first_id + (uint64_t)random() % (span ? span : 1);
    snprintf(out, capacity,
             "{\"sql\":\"SELECT id, v FROM bench.rows WHERE id = $1\",\"params\":[%llu]}",
             (unsigned long long)id);
}

static void send_next(Bench *b, Wire *w, MakeBody *make)
{
    char body[REQUEST_BYTES_MAX / 2];
    char request[REQUEST_BYTES_MAX];
    if (make)
        make(b, body, sizeof body);
    size_t bytes = wire_request(request, sizeof request, make ? "/v1/api/sql" : "/health", b->token,
                                make ? body : NULL);
    w->sent_ns = now_ns();
    wire_send(w, request, bytes);
}

/* Takes an answer that is complete. Returns false if there is none yet. */
static bool take_answer(Wire *w, Stats *stats)
{
    int status = 0;
    size_t bytes = wire_response(w, &status);
    if (bytes == 0)
        return false;
    if (status != 200)
        die("an answer of status %d: %.*s", status, (int)(bytes > 600 ? 600 : bytes), w->in);
    stats_add(stats, now_ns() - w->sent_ns);
    wire_take(w, bytes);
    return true;
}

/* Keeps one request out on each of `count` connections for a slice; ends with none out. */
static void http_slice(Bench *b, Wire *wires, int count, MakeBody *make, Stats *stats)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t started = now_ns(), until = started + SLICE_MS * 1000000ull;
    int out = count;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &wires[i]};
        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, wires[i].fd, &event) < 0)
            die("epoll: %m");
        send_next(b, &wires[i], make);
    }
    while (out > 0) {
        struct epoll_event events[CONNECTIONS_MAX];
        int n = epoll_wait(epoll, events, CONNECTIONS_MAX, 10000);
        if (n <= 0)
            die("no answer for 10 seconds");
        for (int i = 0; i < n; i++) {
            Wire *w = events[i].data.ptr;
            wire_read(w);
            if (!take_answer(w, stats))
                continue;
            if (now_ns() < until)
                send_next(b, w, make);
            else
                out--;
        }
    }
    close(epoll);
    stats->spent_ns += now_ns() - started;
}

static void sync_slice(int fd, Stats *stats)
{
    char bytes[SYNC_BYTES];
    memset(bytes, 'x', sizeof bytes);
    uint64_t started = now_ns(), before = started;
    while (before < started + SLICE_MS * 1000000ull) {
        if (write(fd, bytes, sizeof bytes) != sizeof bytes || fdatasync(fd) < 0)
            die("fdatasync: %m");
        uint64_t after = now_ns();
        stats_add(stats, after - before);
        before = after;
    }
    stats->spent_ns += before - started;
}

static int open_sync_file(const Bench *b)
{
    char name[4096];
    snprintf(name, sizeof name, "%s/fdatasync", b->folder);
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        die("open %s: %m", name);
    return fd;
}

static int slices(const Bench *b)
{
    int n = (int)(b->seconds * 1000 / SLICE_MS / 2);
    return n > 0 ? n : 1;
}

/* `count` connections send `make`, beside the fdatasync loop. */
static void measure_insert(Bench *b, int count)
{
    Wire wires[CONNECTIONS_MAX];
    Stats insert = {0}, sync = {0};
    int fd = open_sync_file(b);
    for (int i = 0; i < count; i++)
        wires[i] = wire_open(b->port);
    for (int i = 0; i < slices(b); i++) {
        sync_slice(fd, &sync);
        http_slice(b, wires, count, insert_body, &insert);
    }
    char name[64];
    snprintf(name, sizeof name, "INSERT, %d connection%s", count, count == 1 ? "" : "s");
    stats_print("write + fdatasync, 256 bytes", &sync);
    printf("\n");
    stats_print(name, &insert);
    if (count == 1)
        printf("   %.2f x fdatasync p50\n",
               stats_percentile_ms(&insert, 50) / stats_percentile_ms(&sync, 50));
    else
        printf("   %.1f rows a fdatasync\n", stats_per_second(&insert) / stats_per_second(&sync));
    for (int i = 0; i < count; i++)
        wire_close(&wires[i]);
    close(fd);
}

static void measure_select(Bench *b, int count)
{
    Wire wires[CONNECTIONS_MAX];
    Stats rows = {0}, health = {0};
    for (int i = 0; i < count; i++)
        wires[i] = wire_open(b->port);
    for (int i = 0; i < slices(b); i++) {
        http_slice(b, wires, count, NULL, &health);
        http_slice(b, wires, count, select_body, &rows);
    }
    char name[64];
    snprintf(name, sizeof name, "GET /health, %d connection%s", count, count == 1 ? "" : "s");
    stats_print(name, &health);
    printf("\n");
    snprintf(name, sizeof name, "SELECT by key, %d connection%s", count, count == 1 ? "" : "s");
    stats_print(name, &rows);
    printf("   %.2f x /health rate\n", stats_per_second(&rows) / stats_per_second(&health));
    for (int i = 0; i < count; i++)
        wire_close(&wires[i]);
}

/* One insert at a time; when its answer and when its change arrive. */
static void notify_slice(Bench *b, Wire *http, Wire *live, Stats *answers, Stats *changes)
{
    wire_send_frame(live, "{\"type\":\"ping\"}"); /* a silent client is closed after 10 s */
    uint64_t started = now_ns();
    while (now_ns() < started + SLICE_MS * 1000000ull) {
        send_next(b, http, insert_body);
        bool answered = false, changed = false;
        while (!answered || !changed) {
            struct pollfd both[2] = {{.fd = http->fd, .events = POLLIN},
                                     {.fd = live->fd, .events = POLLIN}};
            if (poll(both, 2, 10000) <= 0)
                die("no answer or no change for 10 seconds");
            const char *payload;
            size_t count, bytes;
            if (both[1].revents) {
                wire_read(live);
                while ((bytes = wire_frame(live, &payload, &count)) > 0) {
                    if (memmem(payload, count, "\"change\"", 8)) {
                        stats_add(changes, now_ns() - http->sent_ns);
                        changed = true;
                    }
                    wire_take(live, bytes);
                }
            }
            if (both[0].revents) {
                wire_read(http);
                answered = take_answer(http, answers) || answered;
            }
        }
    }
    changes->spent_ns += now_ns() - started;
    answers->spent_ns = changes->spent_ns;
}

static void measure_notify(Bench *b)
{
    Wire http = wire_open(b->port), live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live, "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"b\",\"sql\":"
                           "\"SELECT * FROM bench.rows\",\"options\":{\"last_rows\":1}}}");
    wire_wait_frame(&live, "initial_data_batch");
    Stats answers = {0}, changes = {0}, sync = {0};
    int fd = open_sync_file(b);
    for (int i = 0; i < slices(b); i++) {
        sync_slice(fd, &sync);
        notify_slice(b, &http, &live, &answers, &changes);
    }
    stats_print("INSERT to its answer", &answers);
    printf("\n");
    stats_print("INSERT to the subscriber's change", &changes);
    printf("   %+.3f ms over fdatasync p50 (%.3f)\n",
           stats_percentile_ms(&changes, 50) - stats_percentile_ms(&sync, 50),
           stats_percentile_ms(&sync, 50));
    wire_close(&http);
    wire_close(&live);
    close(fd);
}

static void measure_flush(Bench *b)
{
    Wire w = wire_open(b->port);
    Stats flush = {0};
    size_t capacity = FLUSH_ROWS * 96;
    char *body = malloc(capacity);
    if (!body)
        abort();
    for (int round = 0; round < FLUSH_ROUNDS; round++) {
        size_t at = (size_t)snprintf(body, capacity,
                                     "{\"sql\":\"INSERT INTO bench.flushed (id, v) VALUES ");
        for (int i = 0; i < FLUSH_ROWS; i++)
            at += (size_t)snprintf(body + at, capacity - at,
                                   "%s(%d, 'a row of a flush, some forty bytes long')",
                                   i ? "," : "", round * FLUSH_ROWS + i);
        snprintf(body + at, capacity - at, "\"}");
        wire_sql(&w, b->token, body);
        uint64_t before = now_ns();
        wire_sql(&w, b->token, "{\"sql\":\"STORAGE FLUSH TABLE bench.flushed\"}");
        stats_add(&flush, now_ns() - before);
        flush.spent_ns += now_ns() - before;
    }
    stats_print("STORAGE FLUSH TABLE of 1,000 rows", &flush);
    printf("\n");
    free(body);
    wire_close(&w);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        die("usage: bench <port> <token> <folder> <seconds for each measurement>");
    Bench b = {.port = (int)strtol(argv[1], NULL, 10),
               .token = argv[2],
               .folder = argv[3],
               .seconds = strtod(argv[4], NULL),
               .next_id = 1,
               .first_id = 1};
    Wire w = wire_open(b.port);
    wire_sql(&w, b.token, "{\"sql\":\"CREATE NAMESPACE bench\"}");
    wire_sql(&w, b.token,
             "{\"sql\":\"CREATE USER TABLE bench.rows (id BIGINT PRIMARY KEY, v TEXT NOT NULL)\"}");
    wire_sql(
        &w, b.token,
        "{\"sql\":\"CREATE USER TABLE bench.flushed (id BIGINT PRIMARY KEY, v TEXT NOT NULL)\"}");
    wire_close(&w);
    printf("%-44s %9s %9s %11s\n", "", "p50 ms", "p99 ms", "a second");
    setlinebuf(stdout);
    measure_insert(&b, 1);
    measure_insert(&b, CONNECTIONS_MAX);
    measure_select(&b, 1);
    measure_select(&b, CONNECTIONS_MAX);
    measure_notify(&b);
    measure_flush(&b);
    return 0;
}
