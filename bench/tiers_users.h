/* SPDX-License-Identifier: Apache-2.0
 *
 * Part users of tiers: many users with few rows each, and some with many, beside one user.
 */
#pragma once

#include "tiers.h"

enum {
    FLUSHED_USERS = 1000, /* a partition of a few rows costs as many syncs as one of many */
    SMALL_ROWS = 20,      /* of each of many users */
    LARGE_ROWS = 50 * 1000,
};

static inline void make_users(Bench *b, const char *prefix, uint64_t count)
{
    enum { AT_ONCE = 500 };
    uint64_t started = now_ns();
    for (uint64_t i = 0; i < count;) {
        size_t at = (size_t)snprintf(b->statement, STATEMENT_BYTES_MAX, "{\"sql\":\"");
        for (int j = 0; j < AT_ONCE && i < count; j++, i++)
            at += (size_t)snprintf(b->statement + at, STATEMENT_BYTES_MAX - at,
                                   "CREATE USER %s%llu WITH OAUTH '{\\\"provider\\\":\\\"bench\\\","
                                   "\\\"subject\\\":\\\"%s%llu\\\"}' ROLE user;",
                                   prefix, (unsigned long long)i, prefix, (unsigned long long)i);
        snprintf(b->statement + at, STATEMENT_BYTES_MAX - at, "\"}");
        send_statement(b);
    }
    finish_writers(b);
    line("CREATE USER", "%llu, %.0f/s, server then %.0f MB", (unsigned long long)count,
         (double)count / seconds_since(started), resident_mb(b));
}

typedef struct Layout { /* `rows` of each of `users`, in statements of `at_once` rows */
    const char *table, *prefix;
    uint64_t users, rows, at_once;
} Layout;

/* Sends the statements [from, to) of those that make the layout: a few rows of each user in
 * turn. */
static inline double load_users(Bench *b, const Layout *l, uint64_t from, uint64_t to)
{
    uint64_t started = now_ns();
    for (uint64_t i = from; i < to; i++) {
        uint64_t u = i % l->users, n = i / l->users * l->at_once;
        char user[64];
        snprintf(user, sizeof user, "%s%llu", l->prefix, (unsigned long long)u);
        send_rows(b, l->table, user, u * l->rows + n, l->at_once);
    }
    finish_writers(b);
    return seconds_since(started);
}

/* In slices that alternate, because the disk's mood changes. */
static inline void load_both(Bench *b, const Layout *one, const Layout *many, const char *name)
{
    enum { SLICES = 20 };
    uint64_t statements = many->users * many->rows / many->at_once;
    double one_s = 0, many_s = 0;
    for (uint64_t i = 0; i < SLICES; i++) {
        uint64_t from = statements * i / SLICES, to = statements * (i + 1) / SLICES;
        one_s += load_users(b, one, from, to);
        many_s += load_users(b, many, from, to);
    }
    double rows = (double)(many->users * many->rows);
    line(name, "insert %.0f rows/s, one user %.0f   %.2f x", rows / many_s, rows / one_s,
         one_s / many_s);
}

static inline void points_of_users(Bench *b, const Layout *l, Stats *stats)
{
    Wire w = wire_open(b->port);
    for (uint64_t i = 0; i < POINTS; i++) {
        uint64_t u = chat_mix(i) % l->users, n = chat_mix(i + POINTS) % l->rows;
        char user[64];
        snprintf(user, sizeof user, "%s%llu", l->prefix, (unsigned long long)u);
        read_point(b, &w, l->table, user, u * l->rows + n, stats);
    }
    wire_close(&w);
}

/* The many beside one user who has as many rows, written in the same statements. */
static inline void measure_layout(Bench *b, const char *name, Layout many)
{
    Layout one = many;
    Stats many_points = {0}, one_points = {0}, many_cold = {0}, one_cold = {0};
    one.users = 1;
    one.rows = many.users * many.rows;
    one.prefix = "single";
    char one_table[64], many_table[64], label[100];
    snprintf(one_table, sizeof one_table, "%s_one", many.table);
    snprintf(many_table, sizeof many_table, "%s_many", many.table);
    make_table(b, one.table = one_table);
    make_table(b, many.table = many_table);
    load_both(b, &one, &many, name);
    points_of_users(b, &one, &one_points);
    points_of_users(b, &many, &many_points);
    line("  row by key, hot", "p50 %.3f p99 %.3f ms, one user %.3f %.3f   %.2f x",
         stats_percentile_ms(&many_points, 50), stats_percentile_ms(&many_points, 99),
         stats_percentile_ms(&one_points, 50), stats_percentile_ms(&one_points, 99),
         stats_percentile_ms(&many_points, 50) / stats_percentile_ms(&one_points, 50));
    if (many.users > FLUSHED_USERS) {
        line("  memory of the server", "%.0f MB", resident_mb(b));
        return;
    }
    double one_flush = sql(b, "STORAGE FLUSH TABLE chat.%s", one.table);
    double many_flush = sql(b, "STORAGE FLUSH TABLE chat.%s", many.table);
    snprintf(label, sizeof label, "  flush of %llu partitions", (unsigned long long)many.users);
    line(label, "%.2f s, of one %.2f s", many_flush, one_flush);
    points_of_users(b, &one, &one_cold);
    points_of_users(b, &many, &many_cold);
    line("  row by key after it", "p50 %.3f p99 %.3f ms, one user %.3f %.3f   %.2f x",
         stats_percentile_ms(&many_cold, 50), stats_percentile_ms(&many_cold, 99),
         stats_percentile_ms(&one_cold, 50), stats_percentile_ms(&one_cold, 99),
         stats_percentile_ms(&many_cold, 50) / stats_percentile_ms(&one_cold, 50));
    line("  memory of the server", "%.0f MB", resident_mb(b));
}

static inline void measure_users(Bench *b)
{
    uint64_t users = size_of("TIERS_USERS", 2000), large = size_of("TIERS_LARGE", 20);
    char name[100];
    make_users(b, "single", 1);
    make_users(b, "u", users > large ? users : large);
    snprintf(name, sizeof name, "%llu users x %d rows", (unsigned long long)users, SMALL_ROWS);
    measure_layout(b, name, (Layout){"small", "u", users, SMALL_ROWS, SMALL_ROWS});
    snprintf(name, sizeof name, "%llu users x %d rows", (unsigned long long)large, LARGE_ROWS);
    measure_layout(b, name, (Layout){"large", "u", large, LARGE_ROWS, INSERT_ROWS});
}
