/* SPDX-License-Identifier: Apache-2.0
 *
 * Part resume: many connect and resume at once; each must see exactly what changed.
 */
#include "live.h"

enum { RESUMED = 10000, KEPT = 100, ADDED = 100, UPDATED = 50, DELETED = 20 };

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
        live_insert(b, "resumed", ADDED / 4, 0);
    snprintf(text, sizeof text,
             "UPDATE live.resumed SET v = 'other' WHERE id >= %llu AND id < %llu",
             (unsigned long long)first, (unsigned long long)first + UPDATED);
    live_sql(b, text);
    for (uint64_t id = first; id < first + UPDATED; id++)
        *out_seen += crowd_mix(id);
    snprintf(text, sizeof text, "DELETE FROM live.resumed WHERE id >= %llu AND id < %llu",
             (unsigned long long)first + UPDATED, (unsigned long long)first + UPDATED + DELETED);
    live_sql(b, text);
    for (uint64_t id = first + UPDATED; id < first + UPDATED + DELETED; id++)
        *out_gone += crowd_mix(id);
}

void live_resume(Bench *b)
{
    live_make_table(b, "resumed");
    uint64_t first = b->next_id, seen, gone;
    live_insert(b, "resumed", KEPT, 0);
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
                      .sockets = live_sockets(RESUMED),
                      .subscriptions = 1};
    double cpu = process_seconds(b->server);
    uint64_t started = now_ns();
    Crowd *c = crowd_open(&plan);
    crowd_order(c, AWAIT_IDS, ADDED + UPDATED + DELETED, 0, 0);
    double seconds = (double)(crowd_await(c) - started) / 1e9;
    cpu = process_seconds(b->server) - cpu;
    uint64_t wrong = crowd_check(c, seen, gone);
    seen +=
        crowd_mix(b->next_id); /* and they are live: one more reaches them all, and nothing twice */
    live_insert(b, "resumed", 1, 0);
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
