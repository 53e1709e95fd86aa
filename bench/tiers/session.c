/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of tiers share: figures of the server's process and of its folder, statements on a
 * few connections, rows by key.
 */
#include "tiers.h"

#include <ftw.h>

enum { QUIET_MS = 200, QUIET_WAIT_S = 60 };

/* ---- environment, figures ---- */

uint64_t tiers_size(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);
    uint64_t size = text ? strtoull(text, NULL, 10) : 0;
    return size ? size : otherwise;
}

double tiers_seconds_since(uint64_t started)
{
    return (double)(now_ns() - started) / 1e9;
}

double tiers_resident_mb(const Bench *b)
{
    return process_resident_bytes(b->server) / 1e6;
}

static uint64_t tree_bytes;

static int add_file(const char *name, const struct stat *s, int kind, struct FTW *at)
{
    (void)name;
    (void)at;
    if (kind == FTW_F)
        tree_bytes += (uint64_t)s->st_size;
    return 0;
}

double tiers_data_bytes(const Bench *b, const char *folder)
{
    char name[4096];
    snprintf(name, sizeof name, "%s/data/%s", b->folder, folder);
    tree_bytes = 0;
    nftw(name, add_file, 32, FTW_PHYS);
    return (double)tree_bytes;
}

double tiers_resident_most_mb(const Bench *b)
{
    char name[64], text[128];
    unsigned long long kb = 0;
    snprintf(name, sizeof name, "/proc/%d/status", b->server);
    FILE *file = fopen(name, "r");
    while (file && kb == 0 && fgets(text, sizeof text, file))
        sscanf(text, "VmHWM: %llu", &kb);
    if (kb == 0)
        die("%s: %m", name);
    fclose(file);
    return (double)kb * 1024 / 1e6;
}

void tiers_await_quiet(const Bench *b)
{
    uint64_t started = now_ns();
    double used = process_seconds(b->server), now = used + 1;
    while (now - used > QUIET_MS / 1e3 * 0.1 && tiers_seconds_since(started) < QUIET_WAIT_S) {
        used = process_seconds(b->server);
        usleep(QUIET_MS * 1000);
        now = process_seconds(b->server);
    }
}

/* ---- requests ---- */

void tiers_finish(Bench *b)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        if (b->is_out[i])
            wire_take(&b->writers[i], wire_await(&b->writers[i]));
        b->is_out[i] = false;
    }
}

void tiers_send(Bench *b)
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

double tiers_sql(Bench *b, const char *format, ...)
{
    char text[4096], body[5000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tiers_finish(b);
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

void tiers_make_table(Bench *b, const char *name)
{
    tiers_sql(b,
              "CREATE TABLE chat.%s (id BIGINT PRIMARY KEY, conversation_id BIGINT NOT NULL, "
              "role TEXT NOT NULL, content TEXT NOT NULL, created_at TIMESTAMP NOT NULL) WITH "
              "(TYPE = 'USER')",
              name);
}

void tiers_send_rows(Bench *b, const char *table, const char *user, uint64_t first, uint64_t count)
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
    tiers_send(b);
}

void tiers_load(Bench *b, const char *table, const char *user, uint64_t first, uint64_t count)
{
    for (uint64_t n = 0; n < count; n += INSERT_ROWS)
        tiers_send_rows(b, table, user, first + n,
                        count - n < INSERT_ROWS ? count - n : INSERT_ROWS);
}

/* ---- point reads ---- */

void tiers_point_body(char *out, size_t capacity, const char *table, const char *user, uint64_t n)
{
    char open[128] = "";
    if (user)
        snprintf(open, sizeof open, "EXECUTE AS USER '%s' (", user);
    snprintf(out, capacity, "{\"sql\":\"%sSELECT id, content FROM chat.%s WHERE id = %llu%s\"}",
             open, table, (unsigned long long)chat_id(n), user ? ")" : "");
}

void tiers_read_point(Bench *b, Wire *w, const char *table, const char *user, uint64_t n,
                      Stats *stats)
{
    char body[1024], text[2 * CHAT_TEXT_BYTES];
    tiers_point_body(body, sizeof body, table, user, n);
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    stats_add(stats, now_ns() - w->sent_ns);
    chat_text(b->chat, n, text);
    if (!strstr(w->in, text))
        die("row %llu is not there: %.*s", (unsigned long long)n, (int)bytes, w->in);
    wire_take(w, bytes);
}

void tiers_health(Wire *w, Stats *stats)
{
    char request[256];
    w->sent_ns = now_ns();
    wire_send(w, request, wire_request(request, sizeof request, "/health", "", NULL));
    size_t bytes = wire_await(w);
    stats_add(stats, now_ns() - w->sent_ns);
    wire_take(w, bytes);
}

void tiers_update_row(Bench *b, uint64_t n)
{
    char body[1024];
    Wire *w = &b->writers[0];
    snprintf(body, sizeof body,
             "{\"sql\":\"UPDATE chat.messages SET role = 'system' WHERE id = %llu\"}",
             (unsigned long long)chat_id(n));
    wire_post(w, b->token, body);
    size_t bytes = wire_await(w);
    if (!strstr(w->in, "\"row_count\":1"))
        die("row %llu was not changed: %s", (unsigned long long)n, w->in);
    wire_take(w, bytes);
}
