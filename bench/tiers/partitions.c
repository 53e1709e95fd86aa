/* SPDX-License-Identifier: Apache-2.0
 *
 * Part partitions of tiers: what a great number of partitions with a row or two costs a server that
 * has nothing to do for them (memory, processor time; bench/run starts it once more), and what a
 * flush of a thousand of them costs the INSERTs beside it.
 */
#include "beside.h"

enum {
    PARTITION_TABLES = 10, /* a partition is a table of a user, and tables are quickly made */
    PARTITION_WRITERS = 32,
    PARTITION_USERS_AT_ONCE = 10, /* of a request */
    DUE_PARTITIONS = 1000,
    DUE_ROWS = 20,
    DUE_ROUNDS = 5,
    PARTITIONS_IDLE_S = 10,
};

typedef struct Partitions {
    Bench *b;
    Wire writers[PARTITION_WRITERS];
    bool is_out[PARTITION_WRITERS];
    unsigned next_writer;
} Partitions;

static void partitions_finish(Partitions *p)
{
    for (unsigned i = 0; i < PARTITION_WRITERS; i++) {
        if (p->is_out[i])
            wire_take(&p->writers[i], wire_await(&p->writers[i]));
        p->is_out[i] = false;
    }
}

static void partitions_send(Partitions *p)
{
    unsigned i = p->next_writer++ % PARTITION_WRITERS;
    if (p->is_out[i])
        wire_take(&p->writers[i], wire_await(&p->writers[i]));
    wire_post(&p->writers[i], p->b->token, p->b->statement);
    p->is_out[i] = true;
}

/* A row in each table of the users [first, first + count). */
static void partitions_rows(Partitions *p, uint64_t first, uint64_t count)
{
    char *out = p->b->statement;
    size_t at = (size_t)snprintf(out, STATEMENT_BYTES_MAX, "{\"sql\":\"");
    for (uint64_t u = first; u < first + count; u++) {
        for (int t = 0; t < PARTITION_TABLES; t++) {
            at += (size_t)snprintf(
                out + at, STATEMENT_BYTES_MAX - at,
                "EXECUTE AS USER 'p%llu' (INSERT INTO chat.p%d (id, conversation_id, role, "
                "content, created_at) VALUES ",
                (unsigned long long)u, t);
            at += chat_values(p->b->chat, u * PARTITION_TABLES + (uint64_t)t, out + at,
                              STATEMENT_BYTES_MAX - at);
            at += (size_t)snprintf(out + at, STATEMENT_BYTES_MAX - at, ");");
        }
    }
    snprintf(out + at - 1, STATEMENT_BYTES_MAX - at, "\"}");
    partitions_send(p);
}

static void partitions_make(Partitions *p, uint64_t users)
{
    Bench *b = p->b;
    char name[16];
    double used = process_seconds(b->server);
    uint64_t started = now_ns();
    for (int t = 0; t < PARTITION_TABLES; t++) {
        snprintf(name, sizeof name, "p%d", t);
        tiers_make_table(b, name);
    }
    for (uint64_t u = 0; u < users; u += PARTITION_USERS_AT_ONCE)
        partitions_rows(p, u, PARTITION_USERS_AT_ONCE);
    partitions_finish(p);
    double partitions = (double)users * PARTITION_TABLES;
    used = process_seconds(b->server) - used;
    line("partitions of a row", "%.0f in %.1f s, processor %.1f us each", partitions,
         tiers_seconds_since(started), used * 1e6 / partitions);
    line("  memory of the server", "%.0f MB, at most %.0f MB", tiers_resident_mb(b),
         tiers_resident_most_mb(b));
}

static void partitions_idle(const Bench *b)
{
    tiers_await_quiet(b);
    double used = process_seconds(b->server);
    sleep(PARTITIONS_IDLE_S);
    used = process_seconds(b->server) - used;
    line("  idle", "processor %.3f %%", used / PARTITIONS_IDLE_S * 100);
}

/* A thousand partitions have rows again; then INSERTs while nothing happens, and while they are
 * flushed. */
static void partitions_flush_round(Partitions *p, uint64_t round, Inserter *in, Stats *quiet,
                                   Stats *beside)
{
    Bench *b = p->b;
    Beside flusher = {.b = b};
    for (uint64_t u = 0; u < DUE_PARTITIONS; u++) {
        char user[32];
        snprintf(user, sizeof user, "p%llu", (unsigned long long)u);
        tiers_send_rows(b, "due", user, (round * DUE_PARTITIONS + u) * DUE_ROWS, DUE_ROWS);
    }
    tiers_finish(b);
    tiers_await_quiet(b);
    insert_for(in, (uint64_t)(b->seconds * 1000 / DUE_ROUNDS), quiet);
    insert_beside(in, &flusher, "STORAGE FLUSH TABLE chat.due", beside);
    insert_for(in, (uint64_t)(b->seconds * 1000 / DUE_ROUNDS), quiet);
}

static void partitions_flush(Partitions *p)
{
    Stats quiet = {0}, beside = {0};
    char label[100];
    tiers_make_table(p->b, "due");
    tiers_make_table(p->b, "other");
    Inserter in = {.b = p->b, .table = "other", .w = wire_open(p->b->port), .next = 1u << 30};
    for (uint64_t round = 0; round < DUE_ROUNDS; round++)
        partitions_flush_round(p, round, &in, &quiet, &beside);
    wire_close(&in.w);
    compare("INSERT, quiet", &quiet, &quiet);
    snprintf(label, sizeof label, "INSERT beside a flush of %d partitions", DUE_PARTITIONS);
    compare(label, &beside, &quiet);
}

void tiers_partitions(Bench *b)
{
    Partitions *p = calloc(1, sizeof *p);
    if (!p)
        die("no memory");
    p->b = b;
    for (int i = 0; i < PARTITION_WRITERS; i++)
        p->writers[i] = wire_open(b->port);
    partitions_make(p, tiers_size("TIERS_PARTITIONS", 20 * 1000) / PARTITION_TABLES);
    partitions_idle(b);
    partitions_flush(p);
    for (int i = 0; i < PARTITION_WRITERS; i++)
        wire_close(&p->writers[i]);
    free(p);
}
