/* SPDX-License-Identifier: Apache-2.0
 *
 * Part one: from an INSERT to the change at a subscriber, beside a ping, a pong and an fdatasync.
 */
#include "live.h"

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
        live_sync(b);
        stats_add(stats, now_ns() - started);
    }
}

static void change_slice(Bench *b, Wire *live, Stats *stats)
{
    uint64_t until = now_ns() + SLICE_MS * 1000000ull;
    while (now_ns() < until) {
        uint64_t started = now_ns();
        live_send_insert(b, 0, "one", 1, 0);
        wire_wait_frame(live, "\"change\"");
        stats_add(stats, now_ns() - started);
        live_await_insert(b, 0);
    }
}

void live_one(Bench *b)
{
    Stats echo = {0}, change = {0};
    live_make_table(b, "one");
    Wire live = wire_open_socket(b->port, b->token);
    wire_send_frame(&live, "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"b\",\"sql\":"
                           "\"SELECT * FROM live.one\",\"options\":{\"last_rows\":1}}}");
    wire_wait_frame(&live, "initial_data_batch");
    for (int i = 0; i < live_slices(b); i++) {
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
