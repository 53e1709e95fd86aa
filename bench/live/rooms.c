/* SPDX-License-Identifier: Apache-2.0
 *
 * Part rooms: an INSERT under many filters on one table, of which it concerns one.
 */
#include "live.h"

enum { ROOMS = 10 * 1000, ROOM_SOCKETS = 100 };

/* Inserts of which each concerns one of the rooms; the server's processor time for one, in
 * microseconds. */
static double rooms_slice(Bench *b)
{
    enum { INSERTS = 60 };
    double cpu = process_seconds(b->server);
    for (int i = 0; i < INSERTS; i++)
        live_insert(b, "rooms", 1, 0);
    return (process_seconds(b->server) - cpu) * 1e6 / INSERTS;
}

void live_rooms(Bench *b)
{
    live_make_table(b, "rooms");
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
        live_settle(b);
        stats_add(&all, (uint64_t)(rooms_slice(b) * 1000));
        crowd_close(c);
        live_settle(b);
    }
    double none_us = stats_percentile_ms(&none, 50) * 1000,
           all_us = stats_percentile_ms(&all, 50) * 1000;
    line("INSERT, nobody follows the table", "%.0f us of server", none_us);
    line("INSERT, 10,000 filters `id = k`, one of them concerned", "%.0f us of server: %.1f x",
         all_us, all_us / none_us);
}
