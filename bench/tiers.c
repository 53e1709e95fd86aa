/* SPDX-License-Identifier: Apache-2.0
 *
 * tiers <port> <token> <folder> <seconds> <pid> <part>: measures the two tiers of a running server.
 * Without arguments it names the parts; each wants a server of its own, with <folder>/data as its
 * data folder and a text for the words of the rows in <folder>/words.
 *
 * As in bench.c a figure stands beside a yardstick taken in turns with it: DuckDB itself, in this
 * process, over the very files the server wrote; the rate, the time or the size of the same without
 * what is measured. What a part checks besides (counts, the rows that were asked for) ends it with
 * an error.
 *
 * Sizes come from the environment, so that a short run and the full one are the same program:
 * TIERS_SEGMENTS (10; of 100,000 rows), TIERS_USERS (2,000; of 20 rows), TIERS_LARGE (20; of
 * 100,000 rows), TIERS_SINGLE_ROWS (5,000,000), TIERS_PARTITIONS (20,000).
 */
#include "tiers_beside.h"
#include "tiers_partitions.h"
#include "tiers_users.h"

#include <dirent.h>
#include <duckdb.h>
#include <signal.h>

enum {
    SEGMENT_ROWS = 100 * 1000,
    SCAN_ROUNDS = 5,
    DEAD_ROWS = 1000,
    SLICE_MS = 250,
    TRIM_WAIT_S = 120,
    EXPIRE_ROWS = 1000 * 1000,
    EXPIRE_TTL_S = 40,
    EXPIRE_WAIT_S = 300,
    IDLE_S = 5,
    COLD_WAIT_S = 5,
};

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
        sql(b, "%s", ours);
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
        health(&w, &yardstick);
        read_point(b, &w, "messages", NULL, chat_mix(i) % rows, &points);
    }
    line(name, "p50 %.2f ms  p99 %.2f ms   GET /health p50 %.3f ms",
         stats_percentile_ms(&points, 50), stats_percentile_ms(&points, 99),
         stats_percentile_ms(&yardstick, 50));
    wire_close(&w);
}

/* Changes row n, which must be there: an UPDATE that leaves a row as it is makes no dead one. */
static void update_row(Bench *b, uint64_t n)
{
    char body[1024];
    Wire *w = &b->writers[0];
    snprintf(body, sizeof body,
             "{\"sql\":\"UPDATE chat.messages SET role = 'system' WHERE id = %llu\"}",
             (unsigned long long)chat_id(n));
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    if (!strstr(w->in, "\"row_count\":1"))
        die("row %llu was not changed: %s", (unsigned long long)n, w->in);
    wire_take(w, bytes);
}

static void update_some(Bench *b, uint64_t rows)
{
    finish_writers(b);
    for (uint64_t i = 0; i < DEAD_ROWS; i++)
        update_row(b, i * (rows / DEAD_ROWS) + chat_mix(i) % (rows / DEAD_ROWS));
}

/* Loads and flushes so many segments; *out_* take the seconds. */
static void load_segments(Bench *b, uint64_t first, uint64_t count, double *out_load,
                          double *out_flush)
{
    *out_load = *out_flush = 0;
    for (uint64_t i = first; i < first + count; i++) {
        uint64_t started = now_ns();
        load(b, "messages", NULL, i * SEGMENT_ROWS, SEGMENT_ROWS);
        finish_writers(b);
        *out_load += seconds_since(started);
        *out_flush += sql(b, "STORAGE FLUSH TABLE chat.messages");
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
            (uint64_t)(1e9 * sql(b,
                                 "SELECT id, content FROM chat.messages WHERE conversation_id "
                                 "= %llu ORDER BY created_at DESC LIMIT 50",
                                 (unsigned long long)(1 + chat_mix(i) % CHAT_CONVERSATIONS))));
    snprintf(name, sizeof name, "newest 50 of one of %d conversations%s", CHAT_CONVERSATIONS,
             label);
    line(name, "p50 %.2f ms  p99 %.2f ms", stats_percentile_ms(&stats, 50),
         stats_percentile_ms(&stats, 99));
}

static void measure_scan(Bench *b)
{
    uint64_t segments = size_of("TIERS_SEGMENTS", 10), rows = segments * SEGMENT_ROWS;
    char name[100], files[4096];
    double loading, flushing;
    make_table(b, "messages");
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
    line("memory of the server", "%.0f MB", resident_mb(b));
}

/* ---- part point: rows by key that are nowhere but in segments ---- */

/* The server keeps changes for a second only (bench/run); after it flushed rows are cold. */
static void await_cold(void)
{
    sleep(COLD_WAIT_S);
}

static void measure_point(Bench *b)
{
    uint64_t segments = size_of("TIERS_SEGMENTS", 10);
    char name[100];
    double loading, flushing;
    make_table(b, "messages");
    load_segments(b, 0, 1, &loading, &flushing);
    await_cold();
    measure_points(b, SEGMENT_ROWS, "cold row by key, 1 segment of 100,000");
    load_segments(b, 1, segments - 1, &loading, &flushing);
    await_cold();
    snprintf(name, sizeof name, "cold row by key, %llu segments", (unsigned long long)segments);
    measure_points(b, segments * SEGMENT_ROWS, name);
    line("memory of the server", "%.0f MB", resident_mb(b));
}

/* ---- part size: bytes of a row on disk ---- */

/* The rows as COPY of PostgreSQL reads them. */
static void dump_rows(const Bench *b, uint64_t rows)
{
    char name[4096], text[2 * CHAT_TEXT_BYTES], at[40];
    snprintf(name, sizeof name, "%s/rows", b->folder);
    FILE *file = fopen(name, "w");
    if (!file)
        die("open %s: %m", name);
    for (uint64_t n = 0; n < rows; n++) {
        chat_text(b->chat, n, text);
        chat_time(n, at, sizeof at);
        fprintf(file, "%llu\t%u\t%s\t%s\t%s\n", (unsigned long long)chat_id(n),
                chat_conversation(n), chat_role(n), text, at);
    }
    if (fclose(file) != 0)
        die("write %s: %m", name);
}

/* Waits until the hot tier has given its space back: no change for a while. */
static void await_trim(const Bench *b)
{
    double before = 0, now = data_bytes(b, "rocksdb");
    for (int quiet = 0, i = 0; quiet < 8 && i < TRIM_WAIT_S; i++) {
        sleep(1);
        before = now;
        now = data_bytes(b, "rocksdb");
        quiet = now == before ? quiet + 1 : 0;
    }
}

/* The server keeps changes for a second only; bench/run weighs the data folder when it has been
 * started anew. */
static void measure_size(Bench *b)
{
    uint64_t rows = size_of("TIERS_SEGMENTS", 10) * SEGMENT_ROWS, step = rows / 20;
    make_table(b, "messages");
    dump_rows(b, rows);
    for (uint64_t n = 0; n < rows; n += step) {
        load(b, "messages", NULL, n, step);
        sql(b, "STORAGE FLUSH TABLE chat.messages");
    }
    sql(b, "STORAGE COMPACT TABLE chat.messages");
    await_trim(b);
}

/* ---- parts flush and mix: writers beside something large ---- */

static void measure_flush(Bench *b)
{
    enum { ROUNDS = 4 };
    uint64_t rows = size_of("TIERS_SEGMENTS", 10) * SEGMENT_ROWS, next = 0;
    Stats quiet = {0}, flush = {0}, compact = {0};
    Beside flusher = {.b = b}, compactor = {.b = b};
    make_table(b, "messages");
    make_table(b, "other");
    Inserter in = {.b = b, .table = "messages", .w = wire_open(b->port), .next = 1u << 30};
    for (int i = 0; i < ROUNDS; i++) {
        load(b, "messages", NULL, next, rows / ROUNDS);
        finish_writers(b);
        next += rows / ROUNDS;
        insert_for(&in, (uint64_t)(b->seconds * 1000 / ROUNDS), &quiet);
        insert_beside(&in, &flusher, "STORAGE FLUSH TABLE chat.messages", &flush);
    }
    insert_for(&in, 1000, &quiet);
    for (uint64_t i = 0; i < ROUNDS; i++) /* a dead row in each, so that all are written anew */
        update_row(b, i * (rows / ROUNDS));
    insert_beside(&in, &compactor, "STORAGE COMPACT TABLE chat.messages", &compact);
    insert_for(&in, 1000, &quiet);
    load(b, "other", NULL, next, rows);
    double alone = sql(b, "STORAGE FLUSH TABLE chat.other");
    line("flush of a partition, alone", "%.0f rows/s", (double)rows / alone);
    line("flush of a quarter of it, beside inserts", "%.0f rows/s",
         (double)rows / ROUNDS * 1e3 / stats_percentile_ms(&flusher.times, 50));
    line("compaction of all, beside inserts", "%.0f rows/s",
         (double)rows * 1e3 / stats_percentile_ms(&compactor.times, 50));
    compare("INSERT, quiet", &quiet, &quiet);
    compare("INSERT beside flush", &flush, &quiet);
    compare("INSERT beside compaction", &compact, &quiet);
}

static void measure_mix(Bench *b)
{
    static const char *const texts[] = {
        "SELECT count(*) FROM chat.messages",
        ("SELECT id, content FROM chat.messages WHERE conversation_id = 17 ORDER BY created_at "
         "DESC LIMIT 50"),
        "SELECT id, content FROM chat.messages ORDER BY _seq DESC LIMIT 50"};
    uint64_t rows = size_of("TIERS_SEGMENTS", 10) * SEGMENT_ROWS / 2;
    make_table(b, "messages");
    for (uint64_t n = 0; n < rows; n += SEGMENT_ROWS) {
        load(b, "messages", NULL, n, SEGMENT_ROWS);
        sql(b, "STORAGE FLUSH TABLE chat.messages");
    }
    Inserter in = {.b = b, .table = "messages", .w = wire_open(b->port), .next = 1u << 30};
    Stats quiet = {0}, busy = {0};
    uint64_t ms = (uint64_t)(b->seconds * 100);
    insert_for(&in, ms, &quiet);
    for (size_t q = 0; q < sizeof texts / sizeof texts[0]; q++) {
        Beside alone = {.b = b, .repeats = true}, beside = {.b = b, .repeats = true};
        char name[100];
        snprintf(alone.text, sizeof alone.text, "%s", texts[q]);
        memcpy(beside.text, alone.text, sizeof beside.text);
        beside_start(&alone);
        usleep((useconds_t)ms * 1000);
        atomic_store(&alone.stop, true);
        pthread_join(alone.thread, NULL);
        beside_start(&beside);
        insert_for(&in, ms, &busy);
        atomic_store(&beside.stop, true);
        pthread_join(beside.thread, NULL);
        snprintf(name, sizeof name, "%.50s", texts[q]);
        compare(name, &alone.times, &alone.times);
        compare("  beside inserts", &beside.times, &alone.times);
        insert_for(&in, ms, &quiet);
    }
    compare("INSERT, quiet", &quiet, &quiet);
    compare("INSERT beside the queries", &busy, &quiet);
}

/* ---- part expire: events of a STREAM that go by themselves ---- */

static double idle_load(const Bench *b)
{
    double before = process_seconds(b->server);
    sleep(IDLE_S);
    return (process_seconds(b->server) - before) / IDLE_S;
}

/* From before the first event expires to when the last has left the files. */
static void measure_expire(Bench *b)
{
    double full, bytes, most_mb = 0;
    int seconds = 0;
    sql(b,
        "CREATE TABLE chat.events (id BIGINT PRIMARY KEY, conversation_id BIGINT NOT NULL, role "
        "TEXT NOT NULL, content TEXT NOT NULL, created_at TIMESTAMP NOT NULL) WITH (TYPE = "
        "'STREAM', TTL_SECONDS = %d)",
        EXPIRE_TTL_S);
    uint64_t started = now_ns();
    load(b, "events", NULL, 0, EXPIRE_ROWS);
    finish_writers(b);
    double loading = seconds_since(started);
    sleep(IDLE_S); /* what the writes themselves make RocksDB do */
    double idle = idle_load(b), full_mb = resident_mb(b), used = process_seconds(b->server);
    full = bytes = data_bytes(b, "rocksdb");
    for (; bytes > full / 20 && seconds < EXPIRE_WAIT_S; seconds++) {
        sleep(1);
        bytes = data_bytes(b, "rocksdb");
        most_mb = resident_mb(b) > most_mb ? resident_mb(b) : most_mb;
    }
    used = process_seconds(b->server) - used;
    line("events inserted", "%d in %.1f s, %.0f MB in the hot store", EXPIRE_ROWS, loading,
         full / 1e6);
    line("  until they had left it", "%d s, then %.1f MB", seconds, bytes / 1e6);
    line("  processor time of that", "%.2f s, less %.4f of each second idle: %.2f s", used, idle,
         used - idle * seconds);
    line("  memory of the server", "%.0f MB, then at most %.0f MB", full_mb, most_mb);
}

/* ---- all ---- */

static void open_all(Bench *b)
{
    char name[4096];
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    b->statement = malloc(STATEMENT_BYTES_MAX);
    snprintf(name, sizeof name, "%s/words", b->folder);
    b->chat = chat_open(name);
    if (!b->statement)
        die("no memory");
    sql(b, "CREATE NAMESPACE IF NOT EXISTS chat");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Bench *b);
    } parts[] = {{"scan", measure_scan},
                 {"point", measure_point},
                 {"size", measure_size},
                 {"flush", measure_flush},
                 {"mix", measure_mix},
                 {"users", measure_users},
                 {"partitions", measure_partitions},
                 {"expire", measure_expire}};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    for (size_t i = 0; argc == 1 && i < PARTS; i++)
        puts(parts[i].name);
    if (argc == 1)
        return 0;
    if (argc != 7)
        die("usage: tiers <port> <token> <folder> <seconds for each measurement> <pid> <part>");
    Bench b = {.port = (int)strtol(argv[1], NULL, 10),
               .token = argv[2],
               .folder = argv[3],
               .seconds = strtod(argv[4], NULL),
               .server = (pid_t)strtol(argv[5], NULL, 10)};
    open_all(&b);
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(argv[6], parts[i].name) == 0)
            parts[i].run(&b);
    return 0;
}
