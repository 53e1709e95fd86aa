/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts idle: what sockets and subscriptions cost while nothing happens.
 */
#include "live.h"

#include <math.h>

enum { SOCKETS = 10000, SOCKETS_SUBSCRIBED = 1000, SUBSCRIPTIONS = 1000 * 1000 };

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
    double before = process_resident_bytes(b->server);
    uint64_t started = now_ns();
    Crowd *c = crowd_open(&plan);
    double seconds = (double)(crowd_await_ready(c) - started) / 1e9;
    double bytes = process_resident_bytes(b->server) - before,
           each = sockets * fmax(subscriptions, 1);
    double cpu = process_seconds(b->server);
    started = now_ns();
    usleep(2000 * 1000);
    cpu = (process_seconds(b->server) - cpu) * 1e9 / (double)(now_ns() - started);
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

void live_idle(Bench *b)
{
    measure_idle_crowd(b, live_sockets(SOCKETS), 0, "");
}

void live_idle_alike(Bench *b)
{
    live_make_table(b, "idle");
    unsigned sockets = live_sockets(SOCKETS_SUBSCRIBED);
    double most = fmin(available_bytes() / 3000, SUBSCRIPTIONS);
    if (most < SUBSCRIPTIONS)
        line("  fewer idle subscriptions than 1,000,000", "memory has %.0f MB left",
             available_bytes() / 1e6);
    measure_idle_crowd(b, sockets, (unsigned)(most / sockets), "SELECT * FROM live.idle");
}

void live_idle_different(Bench *b)
{
    live_make_table(b, "idle");
    measure_idle_crowd(b, 100, 500, "SELECT * FROM live.idle WHERE id = %u");
}
