/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of tiers share: figures of the server's process and of its folder, statements on a
 * few connections, rows by key. One thread.
 */
#pragma once

#include "chat.h"
#include "process.h"

#include <fcntl.h>
#include <ftw.h>

enum { WRITERS = 3, STATEMENT_BYTES_MAX = 1024 * 1024, INSERT_ROWS = 1000, POINTS = 2000 };

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

/* ---- environment, figures ---- */

static inline uint64_t size_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    uint64_t size = text ? strtoull(text, NULL, 10) : 0;
    return size ? size : otherwise;
}

static inline double seconds_since(uint64_t started)
{
    return (double)(now_ns() - started) / 1e9;
}

static inline double resident_mb(const Bench *b)
{
    return process_resident_bytes(b->server) / 1e6;
}

static uint64_t tree_bytes;

static inline int add_file(const char *name, const struct stat *s, int kind, struct FTW *at)
{
    (void)name;
    (void)at;
    if (kind == FTW_F)
        tree_bytes += (uint64_t)s->st_size;
    return 0;
}

/* The bytes of all files below data/<folder>. */
static inline double data_bytes(const Bench *b, const char *folder)
{
    char name[4096];
    snprintf(name, sizeof name, "%s/data/%s", b->folder, folder);
    tree_bytes = 0;
    nftw(name, add_file, 32, FTW_PHYS);
    return (double)tree_bytes;
}

/* ---- requests ---- */

static inline void finish_writers(Bench *b)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        if (b->is_out[i])
            wire_take(&b->writers[i], wire_await(&b->writers[i]));
        b->is_out[i] = false;
    }
}

/* Sends b->statement on a free writer; a few are out at a time. */
static inline void send_statement(Bench *b)
{
    unsigned i = b->next_writer++ % WRITERS;
    Wire *w = &b->writers[i];
    if (!w->in)
        *w = wire_open(b->port);
    if (b->is_out[i])
        wire_take(w, wire_await(w));
    wire_post(w, b->token, b->statement);
    b->is_out[i] = true;
}

/* One statement alone; its time in seconds. The answer stays readable in the first writer until the
 * next. */
static inline double sql(Bench *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline double sql(Bench *b, const char *format, ...)
{
    char text[4096], body[5000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    finish_writers(b);
    Wire *w = &b->writers[0];
    if (!w->in)
        *w = wire_open(b->port);
    snprintf(body, sizeof body, "{\"sql\":\"%s\"}", text);
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    double seconds = (double)(now_ns() - w->sent_ns) / 1e9;
    if (bytes > 3 && getenv("TIERS_TRACE"))
        fprintf(stderr, "%.3f ms %s -> %.*s\n", seconds * 1e3, text, 300,
                strstr(w->in, "\r\n\r\n"));
    wire_take(w, bytes);
    return seconds;
}

static inline void make_table(Bench *b, const char *name)
{
    sql(b,
        "CREATE TABLE chat.%s (id BIGINT PRIMARY KEY, conversation_id BIGINT NOT NULL, "
        "role TEXT NOT NULL, content TEXT NOT NULL, created_at TIMESTAMP NOT NULL) WITH "
        "(TYPE = 'USER')",
        name);
}

/* Rows [first, first + count) of the user (NULL: the session's own), in one statement. */
static inline void send_rows(Bench *b, const char *table, const char *user, uint64_t first,
                             uint64_t count)
{
    char *out = b->statement;
    size_t at = (size_t)snprintf(out, STATEMENT_BYTES_MAX, "{\"sql\":\"");
    if (user)
        at += (size_t)snprintf(out + at, STATEMENT_BYTES_MAX - at, "EXECUTE AS USER '%s' (", user);
    at += (size_t)snprintf(out + at, STATEMENT_BYTES_MAX - at,
                           "INSERT INTO chat.%s (id, conversation_id, role, content, created_at) "
                           "VALUES ",
                           table);
    for (uint64_t n = first; n < first + count; n++) {
        if (n > first)
            out[at++] = ',';
        at += chat_values(b->chat, n, out + at, STATEMENT_BYTES_MAX - at);
    }
    snprintf(out + at, STATEMENT_BYTES_MAX - at, user ? ")\"}" : "\"}");
    send_statement(b);
}

static inline void load(Bench *b, const char *table, const char *user, uint64_t first,
                        uint64_t count)
{
    for (uint64_t n = 0; n < count; n += INSERT_ROWS)
        send_rows(b, table, user, first + n, count - n < INSERT_ROWS ? count - n : INSERT_ROWS);
}

/* ---- point reads ---- */

static inline void point_body(char *out, size_t capacity, const char *table, const char *user,
                              uint64_t n)
{
    char open[128] = "";
    if (user)
        snprintf(open, sizeof open, "EXECUTE AS USER '%s' (", user);
    snprintf(out, capacity, "{\"sql\":\"%sSELECT id, content FROM chat.%s WHERE id = %llu%s\"}",
             open, table, (unsigned long long)chat_id(n), user ? ")" : "");
}

/* Reads row n, which must be there whole. */
static inline void read_point(Bench *b, Wire *w, const char *table, const char *user, uint64_t n,
                              Stats *stats)
{
    char body[1024], text[2 * CHAT_TEXT_BYTES];
    point_body(body, sizeof body, table, user, n);
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    stats_add(stats, now_ns() - w->sent_ns);
    chat_text(b->chat, n, text);
    if (!strstr(w->in, text))
        die("row %llu is not there: %.*s", (unsigned long long)n, (int)bytes, w->in);
    wire_take(w, bytes);
}

static inline void health(Wire *w, Stats *stats)
{
    char request[256];
    w->sent_ns = now_ns();
    wire_send(w, request, wire_request(request, sizeof request, "/health", "", NULL));
    size_t bytes = wire_await(w);
    stats_add(stats, now_ns() - w->sent_ns);
    wire_take(w, bytes);
}
