/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of live and what they share. One thread; what fails ends the program.
 */
#pragma once

#include "crowd.h"
#include "process.h"

enum { SLICE_MS = 250, WRITERS = 4, STATEMENT_BYTES_MAX = 1024 * 1024 };

typedef struct Bench {
    int port;
    const char *token;
    const char *folder;
    double seconds; /* for each measurement, its yardstick included */
    pid_t server;
    int sync_fd;
    uint64_t next_id;
    char *statement; /* STATEMENT_BYTES_MAX */
    Wire writers[WRITERS];
} Bench;

/* main.c names each part; each prints its lines. */
void live_one(Bench *b);
void live_rates(Bench *b);
void live_fan(Bench *b);
void live_rooms(Bench *b);
void live_slow(Bench *b);
void live_resume(Bench *b);
void live_idle(Bench *b);
void live_idle_alike(Bench *b);
void live_idle_different(Bench *b);

/* `text`, free of what JSON would escape, on writer 0. */
void live_sql(Bench *b, const char *text);
/* live.<name> with id, at and v. */
void live_make_table(Bench *b, const char *name);

/* An INSERT of so many rows, `padding` bytes of text in each beside the usual, on writer
 * `nth % WRITERS`, and its answer. */
void live_send_insert(Bench *b, unsigned nth, const char *table, unsigned rows, unsigned padding);
void live_await_insert(Bench *b, unsigned nth);
/* Both, on writer 0. */
void live_insert(Bench *b, const char *table, unsigned rows, unsigned padding);

/* The yardstick of a commit: a few bytes written and synced on the server's disk. */
void live_sync(const Bench *b);
/* Returns when the server has had nothing to do a few times in a row, or after some seconds. */
void live_settle(const Bench *b);
/* How many slices make a measurement. */
int live_slices(const Bench *b);
/* Sockets that the server may hold, at most `wanted`. */
unsigned live_sockets(unsigned wanted);
