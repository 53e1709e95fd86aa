/* SPDX-License-Identifier: Apache-2.0
 *
 * Writers beside something large: statements on a connection and thread of their own, while rows
 * are inserted one at a time.
 */
#pragma once

#include "tiers.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct Beside { /* statements on a connection and thread of their own */
    const Bench *b;
    pthread_t thread;
    char text[512];
    Stats times;
    atomic_bool is_done, stop;
    bool repeats;
} Beside;

static inline void *beside_run(void *context)
{
    Beside *beside = context;
    char body[600];
    Wire w = wire_open(beside->b->port);
    snprintf(body, sizeof body, "{\"sql\":\"%s\"}", beside->text);
    do {
        uint64_t started = now_ns();
        wire_sql(&w, beside->b->token, body);
        stats_add(&beside->times, now_ns() - started);
    } while (beside->repeats && !atomic_load(&beside->stop));
    wire_close(&w);
    atomic_store(&beside->is_done, true);
    return NULL;
}

static inline void beside_start(Beside *beside)
{
    atomic_store(&beside->is_done, false);
    if (pthread_create(&beside->thread, NULL, beside_run, beside) != 0)
        die("no thread");
}

typedef struct Inserter { /* one row at a time, keep-alive */
    Bench *b;
    const char *table;
    Wire w;
    uint64_t next;
} Inserter;

static inline void insert_one(Inserter *in, Stats *stats)
{
    Bench *b = in->b;
    char body[1024];
    size_t at = (size_t)snprintf(body, sizeof body,
                                 "{\"sql\":\"INSERT INTO chat.%s (id, conversation_id, role, "
                                 "content, created_at) VALUES ",
                                 in->table);
    at += chat_values(b->chat, in->next++, body + at, sizeof body - at);
    snprintf(body + at, sizeof body - at, "\"}");
    wire_post(&in->w, b->token, body);
    size_t bytes = wire_await(&in->w);
    stats_add(stats, now_ns() - in->w.sent_ns);
    wire_take(&in->w, bytes);
}

static inline void insert_for(Inserter *in, uint64_t ms, Stats *stats)
{
    uint64_t until = now_ns() + ms * 1000000u;
    while (now_ns() < until)
        insert_one(in, stats);
}

static inline void insert_beside(Inserter *in, Beside *beside, const char *text, Stats *stats)
{
    snprintf(beside->text, sizeof beside->text, "%s", text);
    beside_start(beside);
    while (!atomic_load(&beside->is_done))
        insert_one(in, stats);
    pthread_join(beside->thread, NULL);
}

static inline void compare(const char *name, Stats *stats, Stats *quiet)
{
    line(name, "p50 %.3f  p99 %.3f  p99.9 %.3f  max %.1f ms of %zu   p99 %.2f x quiet",
         stats_percentile_ms(stats, 50), stats_percentile_ms(stats, 99),
         stats_percentile_ms(stats, 99.9), stats_percentile_ms(stats, 100), stats->count,
         stats_percentile_ms(stats, 99) / stats_percentile_ms(quiet, 99));
}
