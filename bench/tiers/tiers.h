/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of tiers and what they share: figures of the server's process and of its folder,
 * statements on a few connections, rows by key. One thread; what fails ends the program.
 */
#pragma once

#include "chat.h"
#include "process.h"

enum {
    WRITERS = 3,
    STATEMENT_BYTES_MAX = 1024 * 1024,
    INSERT_ROWS = 1000,
    SEGMENT_ROWS = 100 * 1000,
    POINTS = 2000,
    SLICE_MS = 250,
};

typedef struct Bench {
    int port;
    const char *token;
    const char *folder;
    double seconds;
    pid_t server;
    Chat *chat;
    char *statement; /* STATEMENT_BYTES_MAX */
    Wire writers[WRITERS];
    bool is_out[WRITERS]; /* its answer has not been taken */
    unsigned next_writer;
} Bench;

/* main.c names each part; each prints its lines. */
void tiers_scan(Bench *b);
void tiers_point(Bench *b);
void tiers_space(Bench *b);
void tiers_flush(Bench *b);
void tiers_ten(Bench *b);
void tiers_mix(Bench *b);
void tiers_users(Bench *b);
void tiers_partitions(Bench *b);
void tiers_expire(Bench *b);

/* session.c */
uint64_t tiers_size(const char *variable, uint64_t otherwise);
double tiers_seconds_since(uint64_t started);
double tiers_resident_mb(const Bench *b);
/* The bytes of all files below data/<folder>. */
double tiers_data_bytes(const Bench *b, const char *folder);
/* The most it was since it started. */
double tiers_resident_most_mb(const Bench *b);
/* Until the server uses next to no processor time. */
void tiers_await_quiet(const Bench *b);
/* Takes the answers that are out. */
void tiers_finish(Bench *b);
/* Sends b->statement on a free writer; a few are out at a time. */
void tiers_send(Bench *b);
/* One statement alone; its time in seconds. The answer stays readable in the first writer until the
 * next. */
double tiers_sql(Bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tiers_make_table(Bench *b, const char *name);
/* Rows [first, first + count) of the user (NULL: the session's own), in one statement. */
void tiers_send_rows(Bench *b, const char *table, const char *user, uint64_t first, uint64_t count);
void tiers_load(Bench *b, const char *table, const char *user, uint64_t first, uint64_t count);
void tiers_point_body(char *out, size_t capacity, const char *table, const char *user, uint64_t n);
/* Reads row n, which must be there whole. */
void tiers_read_point(Bench *b, Wire *w, const char *table, const char *user, uint64_t n,
                      Stats *stats);
/* Changes row n, which must be there: an UPDATE that leaves a row as it is makes no dead one. */
void tiers_update_row(Bench *b, uint64_t n);
void tiers_health(Wire *w, Stats *stats);
