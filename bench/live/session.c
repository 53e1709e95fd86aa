/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of live ask of the server and of the disk.
 */
#include "live.h"

#define TEXT "a message of the length that people write in a chat, some sixty bytes"

enum {
    SYNC_BYTES = 256,
    SERVER_FILES_SPARE = 1500, /* descriptors of the server that are no sockets */
};

/* Connected when it is wanted first: the server closes those that say nothing. */
static Wire *writer(Bench *b, unsigned nth)
{
    Wire *w = &b->writers[nth % WRITERS];
    if (!w->in)
        *w = wire_open(b->port);
    return w;
}

void live_sql(Bench *b, const char *text)
{
    char body[1024];
    snprintf(body, sizeof body, "{\"sql\":\"%s\"}", text);
    wire_sql(writer(b, 0), b->token, body);
}

void live_make_table(Bench *b, const char *name)
{
    char text[512];
    snprintf(text, sizeof text,
             "CREATE SHARED TABLE live.%s (id BIGINT PRIMARY KEY, at BIGINT, v TEXT) WITH "
             "(ACCESS_LEVEL = 'PUBLIC')",
             name);
    live_sql(b, text);
}

void live_send_insert(Bench *b, unsigned nth, const char *table, unsigned rows, unsigned padding)
{
    static const char prefix[] = "{\"sql\":\"INSERT INTO live.%s (id, at, v) VALUES ";
    char *out = b->statement;
    size_t room = STATEMENT_BYTES_MAX, at = (size_t)snprintf(out, room, prefix, table);
    uint64_t sent_ns = now_ns();
    for (unsigned i = 0; i < rows; i++)
        at += (size_t)snprintf(out + at, room - at, "%s(%llu,%llu,'" TEXT "%*s')", i ? "," : "",
                               (unsigned long long)b->next_id++, (unsigned long long)sent_ns,
                               (int)padding, "");
    snprintf(out + at, room - at, "\"}");
    wire_post(writer(b, nth), b->token, out);
}

void live_await_insert(Bench *b, unsigned nth)
{
    Wire *w = writer(b, nth);
    wire_take(w, wire_await(w));
}

void live_insert(Bench *b, const char *table, unsigned rows, unsigned padding)
{
    live_send_insert(b, 0, table, rows, padding);
    live_await_insert(b, 0);
}

void live_sync(const Bench *b)
{
    char bytes[SYNC_BYTES];
    memset(bytes, 'x', sizeof bytes);
    if (write(b->sync_fd, bytes, sizeof bytes) != sizeof bytes || fdatasync(b->sync_fd) < 0)
        die("fdatasync: %m");
}

void live_settle(const Bench *b)
{
    for (int i = 0, quiet = 0; i < 400 && quiet < 5; i++) {
        usleep(10 * 1000);
        quiet = process_is_busy(b->server) ? 0 : quiet + 1;
    }
}

int live_slices(const Bench *b)
{
    int n = (int)(b->seconds * 1000 / SLICE_MS / 2);
    return n > 0 ? n : 1;
}

unsigned live_sockets(unsigned wanted)
{
    unsigned files = crowd_files_max();
    unsigned most = files > 2 * SERVER_FILES_SPARE ? files - SERVER_FILES_SPARE : files / 2;
    return wanted < most ? wanted : most;
}
