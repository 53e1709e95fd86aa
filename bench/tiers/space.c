/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts size and expire: bytes of a row on disk; what is left of events of a STREAM.
 */
#include "tiers.h"

#include <dirent.h>

enum {
    TRIM_WAIT_S = 120,
    EXPIRE_ROWS = 1000 * 1000,
    EXPIRE_TTL_S = 40,
    EXPIRE_WAIT_S = 300,
    IDLE_S = 5,
};

/* ---- part size: bytes of a row on disk ---- */

/* The rows as COPY of PostgreSQL reads them. */
static void dump_rows(const Bench *b, uint64_t rows)
{
    char name[4096], text[2 * CHAT_TEXT_BYTES], at[40];
    snprintf(name, sizeof name, "%s/rows", b->folder);
    FILE *file = fopen(name, "w");
    if (!file)
        die("open %s: %m", name);
    for (uint64_t n = 0; n < rows; n++) {
        chat_text(b->chat, n, text);
        chat_time(n, at, sizeof at);
        fprintf(file, "%llu\t%u\t%s\t%s\t%s\n", (unsigned long long)chat_id(n),
                chat_conversation(n), chat_role(n), text, at);
    }
    if (fclose(file) != 0)
        die("write %s: %m", name);
}

/* Waits until the hot tier has given its space back: no change for a while. */
static void await_trim(const Bench *b)
{
    double before = 0, now = tiers_data_bytes(b, "rocksdb");
    for (int quiet = 0, i = 0; quiet < 8 && i < TRIM_WAIT_S; i++) {
        sleep(1);
        before = now;
        now = tiers_data_bytes(b, "rocksdb");
        quiet = now == before ? quiet + 1 : 0;
    }
}

/* The server keeps changes for a second only; bench/run weighs the data folder when it has been
 * started anew. */
void tiers_space(Bench *b)
{
    uint64_t rows = tiers_size("TIERS_SEGMENTS", 10) * SEGMENT_ROWS, step = rows / 20;
    tiers_make_table(b, "messages");
    dump_rows(b, rows);
    for (uint64_t n = 0; n < rows; n += step) {
        tiers_load(b, "messages", NULL, n, step);
        tiers_sql(b, "STORAGE FLUSH TABLE chat.messages");
    }
    tiers_sql(b, "STORAGE COMPACT TABLE chat.messages");
    await_trim(b);
}

/* ---- part expire: events of a STREAM that go by themselves ---- */

static double idle_load(const Bench *b)
{
    double before = process_seconds(b->server);
    sleep(IDLE_S);
    return (process_seconds(b->server) - before) / IDLE_S;
}

/* From before the first event expires to when the last has left the files. */
void tiers_expire(Bench *b)
{
    double full, bytes, most_mb = 0;
    int seconds = 0;
    tiers_sql(
        b,
        "CREATE TABLE chat.events (id BIGINT PRIMARY KEY, conversation_id BIGINT NOT NULL, role "
        "TEXT NOT NULL, content TEXT NOT NULL, created_at TIMESTAMP NOT NULL) WITH (TYPE = "
        "'STREAM', TTL_SECONDS = %d)",
        EXPIRE_TTL_S);
    uint64_t started = now_ns();
    tiers_load(b, "events", NULL, 0, EXPIRE_ROWS);
    tiers_finish(b);
    double loading = tiers_seconds_since(started);
    sleep(IDLE_S); /* what the writes themselves make RocksDB do */
    double idle = idle_load(b), full_mb = tiers_resident_mb(b), used = process_seconds(b->server);
    full = bytes = tiers_data_bytes(b, "rocksdb");
    for (; bytes > full / 20 && seconds < EXPIRE_WAIT_S; seconds++) {
        sleep(1);
        bytes = tiers_data_bytes(b, "rocksdb");
        most_mb = tiers_resident_mb(b) > most_mb ? tiers_resident_mb(b) : most_mb;
    }
    used = process_seconds(b->server) - used;
    line("events inserted", "%d in %.1f s, %.0f MB in the hot store", EXPIRE_ROWS, loading,
         full / 1e6);
    line("  until they had left it", "%d s, then %.1f MB", seconds, bytes / 1e6);
    line("  processor time of that", "%.2f s, less %.4f of each second idle: %.2f s", used, idle,
         used - idle * seconds);
    line("  memory of the server", "%.0f MB, then at most %.0f MB", full_mb, most_mb);
}
