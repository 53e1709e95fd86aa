/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts scan and point: segments beside DuckDB over the same files; rows by key that are nowhere
 * but in segments.
 */
#include "tiers.h"

#include <duckdb.h>
#include <fcntl.h>

enum { SCAN_ROUNDS = 5, DEAD_ROWS = 1000, COLD_WAIT_S = 5 };

/* ---- DuckDB as it comes ---- */

typedef struct Plain {
    duckdb_database database;
    duckdb_connection connection;
} Plain;

static void plain_run(Plain *p, const char *text)
{
    duckdb_result result;
    if (duckdb_query(p->connection, text, &result) != DuckDBSuccess)
        die("DuckDB: %s: %s", text, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
}

static Plain plain_open(void)
{
    Plain p = {0};
    if (duckdb_open(NULL, &p.database) != DuckDBSuccess ||
        duckdb_connect(p.database, &p.connection) != DuckDBSuccess)
        die("DuckDB does not open");
    plain_run(&p, "SET threads=1");
    return p;
}

static void plain_close(Plain *p)
{
    duckdb_disconnect(&p->connection);
    duckdb_close(&p->database);
}

/* ---- part scan: segments beside DuckDB over the same files ---- */

typedef struct Query {
    const char *name, *text; /* with one %s where the table stands */
} Query;

static const Query queries[] = {
    {"count(*)", "SELECT count(*) FROM %s"},
    {"filter on text, count",
     "SELECT count(*) FROM %s WHERE content LIKE '%%segment%%' AND role = 'user'"},
    {"group by conversation, top 10",
     "SELECT conversation_id, count(*), max(created_at) FROM %s GROUP BY conversation_id ORDER BY "
     "2 DESC, 1 LIMIT 10"},
    {"sum of the texts' lengths", "SELECT sum(length(content)) FROM %s"},
    {"newest 50 by time", "SELECT id, content FROM %s ORDER BY created_at DESC LIMIT 50"},
    {"newest 50 of a conversation",
     "SELECT id, content FROM %s WHERE conversation_id = 17 ORDER BY created_at DESC LIMIT 50"},
};

static double cpu_seconds(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) < 0)
        die("the processor time: %m");
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Time of the clock and of the processor: the first meets whatever else the machine does. */
static void measure_scan_of(Bench *b, Plain *plain, const char *ours, const char *theirs,
                            const char *name)
{
    Stats server = {0}, yardstick = {0};
    clockid_t clock;
    double server_cpu = 0, plain_cpu = 0;
    if (clock_getcpuclockid(b->server, &clock) != 0)
        die("the processor time of %d: %m", b->server);
    for (int i = 0; i <= SCAN_ROUNDS; i++) {
        double cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
        uint64_t before = now_ns();
        plain_run(plain, theirs);
        uint64_t between = now_ns();
        double cpu_between = cpu_seconds(clock);
        cpu = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        tiers_sql(b, "%s", ours);
        if (i == 0) /* both warm up */
            continue;
        stats_add(&yardstick, between - before);
        stats_add(&server, now_ns() - between);
        plain_cpu += cpu;
        server_cpu += cpu_seconds(clock) - cpu_between;
    }
    double time = stats_percentile_ms(&server, 50), other = stats_percentile_ms(&yardstick, 50);
    line(name, "%8.1f ms, DuckDB %8.1f ms   %.2f x, processor %.2f x", time, other, time / other,
         server_cpu / plain_cpu);
}

static void measure_scans(Bench *b, Plain *plain, const char *files, const char *label)
{
    for (size_t q = 0; q < sizeof queries / sizeof queries[0]; q++) {
        char ours[1024], theirs[1024], name[100];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(ours, sizeof ours, queries[q].text, "chat.messages");
        snprintf(theirs, sizeof theirs, queries[q].text, files);
#pragma GCC diagnostic pop
        snprintf(name, sizeof name, "%s%s", queries[q].name, label);
        measure_scan_of(b, plain, ours, theirs, name);
    }
}

static void measure_points(Bench *b, uint64_t rows, const char *name)
{
    Wire w = wire_open(b->port);
    Stats points = {0}, yardstick = {0};
    for (uint64_t i = 0; i < POINTS; i++) {
        tiers_health(&w, &yardstick);
        tiers_read_point(b, &w, "messages", NULL, chat_mix(i) % rows, &points);
    }
    line(name, "p50 %.2f ms  p99 %.2f ms   GET /health p50 %.3f ms",
         stats_percentile_ms(&points, 50), stats_percentile_ms(&points, 99),
         stats_percentile_ms(&yardstick, 50));
    wire_close(&w);
}

static void update_some(Bench *b, uint64_t rows)
{
    tiers_finish(b);
    for (uint64_t i = 0; i < DEAD_ROWS; i++)
        tiers_update_row(b, i * (rows / DEAD_ROWS) + chat_mix(i) % (rows / DEAD_ROWS));
}

/* Loads and flushes so many segments; *out_* take the seconds. */
static void load_segments(Bench *b, uint64_t first, uint64_t count, double *out_load,
                          double *out_flush)
{
    *out_load = *out_flush = 0;
    for (uint64_t i = first; i < first + count; i++) {
        uint64_t started = now_ns();
        tiers_load(b, "messages", NULL, i * SEGMENT_ROWS, SEGMENT_ROWS);
        tiers_finish(b);
        *out_load += tiers_seconds_since(started);
        *out_flush += tiers_sql(b, "STORAGE FLUSH TABLE chat.messages");
    }
}

/* What a chat asks when somebody opens a conversation. */
static void measure_newest(Bench *b, const char *label)
{
    enum { TIMES = 200 };
    Stats stats = {0};
    char name[100];
    for (uint64_t i = 0; i < TIMES; i++)
        stats_add(
            &stats,
            (uint64_t)(1e9 *
                       tiers_sql(b,
                                 "SELECT id, content FROM chat.messages WHERE conversation_id "
                                 "= %llu ORDER BY created_at DESC LIMIT 50",
                                 (unsigned long long)(1 + chat_mix(i) % CHAT_CONVERSATIONS))));
    snprintf(name, sizeof name, "newest 50 of one of %d conversations%s", CHAT_CONVERSATIONS,
             label);
    line(name, "p50 %.2f ms  p99 %.2f ms", stats_percentile_ms(&stats, 50),
         stats_percentile_ms(&stats, 99));
}

void tiers_scan(Bench *b)
{
    uint64_t segments = tiers_size("TIERS_SEGMENTS", 10), rows = segments * SEGMENT_ROWS;
    char name[100], files[4096];
    double loading, flushing;
    tiers_make_table(b, "messages");
    load_segments(b, 0, segments, &loading, &flushing);
    snprintf(name, sizeof name, "%llu rows in %llu segments", (unsigned long long)rows,
             (unsigned long long)segments);
    line(name, "inserted %.0f rows/s, flushed %.0f rows/s", (double)rows / loading,
         (double)rows / flushing);
    snprintf(files, sizeof files,
             "read_parquet('%s/data/storage/user/root/chat/messages/*.parquet')", b->folder);
    Plain plain = plain_open();
    measure_scans(b, &plain, files, "");
    measure_newest(b, "");
    update_some(b, rows);
    snprintf(name, sizeof name, ", %d rows dead", DEAD_ROWS);
    measure_scans(b, &plain, files, name);
    measure_newest(b, name);
    plain_close(&plain);
    line("memory of the server", "%.0f MB", tiers_resident_mb(b));
}

/* ---- part point: rows by key that are nowhere but in segments ---- */

/* The server keeps changes for a second only (bench/run); after it flushed rows are cold. */
static void await_cold(void)
{
    sleep(COLD_WAIT_S);
}

void tiers_point(Bench *b)
{
    uint64_t segments = tiers_size("TIERS_SEGMENTS", 10);
    char name[100];
    double loading, flushing;
    tiers_make_table(b, "messages");
    load_segments(b, 0, 1, &loading, &flushing);
    await_cold();
    measure_points(b, SEGMENT_ROWS, "cold row by key, 1 segment of 100,000");
    load_segments(b, 1, segments - 1, &loading, &flushing);
    await_cold();
    snprintf(name, sizeof name, "cold row by key, %llu segments", (unsigned long long)segments);
    measure_points(b, segments * SEGMENT_ROWS, name);
    line("memory of the server", "%.0f MB", tiers_resident_mb(b));
}
