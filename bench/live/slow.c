/* SPDX-License-Identifier: Apache-2.0
 *
 * Part slow: what one reader of a byte a second costs the others, and the server's memory.
 */
#include "live.h"

#include <math.h>

enum {
    HEALTHY = 1000, /* beside the slow reader */
    INSERTS = 15,   /* in one phase */
    WARM_INSERTS = 3,
    STEP_MS = 20,
};

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
    for (int i = 0; i < WARM_INSERTS; i++) {
        crowd_expect(c, 1);
        live_insert(b, "slow", 1, 0);
        crowd_await(c);
    }
    double cpu = process_seconds(b->server);
    uint64_t step = STEP_MS * 1000000ull, next = now_ns();
    crowd_take_times(c, NULL);
    for (int i = 0; i < INSERTS; i++, next += step) {
        uint64_t now = now_ns();
        if (now < next)
            usleep((useconds_t)((next - now) / 1000));
        crowd_expect(c, 1);
        live_insert(b, "slow", 1, 0);
        crowd_await(c);
    }
    phase.cpu_seconds = process_seconds(b->server) - cpu;
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
    live_settle(b); /* what is measured is a slow reader, not a new one */
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
                      .sockets = live_sockets(HEALTHY),
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
            live_await_insert(b, i);
        live_send_insert(b, i, "slow", ROWS_A_STATEMENT, 0);
    }
    for (unsigned i = 0; i < WRITERS && i < statements; i++)
        live_await_insert(b, i);
}

void live_slow(Bench *b)
{
    live_make_table(b, "slow");
    for (int i = 0; i < 20; i++)
        live_insert(b, "slow", 500, 1000); /* 10 MB of first rows */
    measure_slow_latency(b);
    unsigned rows = (unsigned)(fmin(b->seconds, 10) * 100 * 1000);
    insert_many(b, rows / 2);
    double before = process_resident_bytes(b->server);
    insert_many(b, rows / 2);
    double plain = process_resident_bytes(b->server);
    pid_t slow[2] = {start_reader(b, "{}", true), start_reader(b, "{\"last_rows\":1}", true)};
    usleep(200 * 1000);
    uint64_t started = now_ns();
    insert_many(b, rows / 2);
    double half = process_resident_bytes(b->server);
    insert_many(b, rows / 2);
    double after = process_resident_bytes(b->server);
    char name[100];
    snprintf(name, sizeof name, "%u changes beside two that read 1 byte/s", rows);
    line(name, "server %+.0f MB, then %+.0f MB, to %.0f MB, in %.1f s (%u before them: %+.0f MB)",
         (half - plain) / 1e6, (after - half) / 1e6, after / 1e6,
         (double)(now_ns() - started) / 1e9, rows / 2, (plain - before) / 1e6);
    end_process(slow[0]);
    end_process(slow[1]);
}
