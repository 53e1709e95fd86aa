/* SPDX-License-Identifier: Apache-2.0
 *
 * Parts flush, ten and mix: writers beside something large.
 */
#include "beside.h"

enum { TEN = 10 }; /* partitions of part ten */

void tiers_flush(Bench *b)
{
    enum { ROUNDS = 4 };
    uint64_t rows = tiers_size("TIERS_SEGMENTS", 10) * SEGMENT_ROWS, next = 0;
    Stats quiet = {0}, flush = {0}, compact = {0};
    Beside flusher = {.b = b}, compactor = {.b = b};
    tiers_make_table(b, "messages");
    tiers_make_table(b, "other");
    Inserter in = {.b = b, .table = "messages", .next = 1u << 30};
    for (int i = 0; i < ROUNDS; i++) {
        tiers_load(b, "messages", NULL, next, rows / ROUNDS);
        tiers_finish(b);
        if (i == 0) /* here, since one that says nothing is closed after a while */
            in.w = wire_open(b->port);
        next += rows / ROUNDS;
        insert_for(&in, (uint64_t)(b->seconds * 1000 / ROUNDS), &quiet);
        insert_beside(&in, &flusher, "STORAGE FLUSH TABLE chat.messages", &flush);
    }
    insert_for(&in, 1000, &quiet);
    for (uint64_t i = 0; i < ROUNDS; i++) /* a dead row in each, so that all are written anew */
        tiers_update_row(b, i * (rows / ROUNDS));
    insert_beside(&in, &compactor, "STORAGE COMPACT TABLE chat.messages", &compact);
    insert_for(&in, 1000, &quiet);
    tiers_load(b, "other", NULL, next, rows);
    double alone = tiers_sql(b, "STORAGE FLUSH TABLE chat.other");
    line("flush of a partition, alone", "%.0f rows/s", (double)rows / alone);
    line("flush of a quarter of it, beside inserts", "%.0f rows/s",
         (double)rows / ROUNDS * 1e3 / stats_percentile_ms(&flusher.times, 50));
    line("compaction of all, beside inserts", "%.0f rows/s",
         (double)rows * 1e3 / stats_percentile_ms(&compactor.times, 50));
    compare("INSERT, quiet", &quiet, &quiet);
    compare("INSERT beside flush", &flush, &quiet);
    compare("INSERT beside compaction", &compact, &quiet);
}

/* Fills each of the partitions; then a row at a time into a table of another user, before, while
 * all of them are flushed, and after. */
static void ten_round(Inserter *in, uint64_t first, Beside *flusher, Stats *quiet, Stats *beside)
{
    Bench *b = in->b;
    uint64_t quiet_ms = (uint64_t)(b->seconds * 1000 / 4);
    for (uint64_t p = 0; p < TEN; p++) {
        char user[32];
        snprintf(user, sizeof user, "ten%llu", (unsigned long long)p);
        tiers_load(b, "ten", user, first + p * SEGMENT_ROWS, SEGMENT_ROWS);
    }
    tiers_finish(b);
    tiers_await_quiet(b);
    in->w = wire_open(b->port); /* here, since one that says nothing is closed after a while */
    insert_for(in, quiet_ms, quiet);
    insert_beside(in, flusher, "STORAGE FLUSH TABLE chat.ten", beside);
    insert_for(in, quiet_ms, quiet);
    wire_close(&in->w);
}

/* A p99 wants some thousands of INSERTs, and a flush is over after a few hundred of them or a few
 * thousand: so many rounds as it takes. */
void tiers_ten(Bench *b)
{
    enum { TIMED_MIN = 3000, ROUNDS_MIN = 2, ROUNDS_MAX = 20 };
    Stats quiet = {0}, beside = {0};
    Beside flusher = {.b = b};
    uint64_t rounds = 0, least = tiers_size("TIERS_ROUNDS", ROUNDS_MIN);
    tiers_make_table(b, "ten");
    tiers_make_table(b, "other");
    Inserter in = {.b = b, .table = "other", .next = 1u << 30};
    while (rounds < least || (beside.count < TIMED_MIN && rounds < ROUNDS_MAX))
        ten_round(&in, rounds++ * TEN * SEGMENT_ROWS, &flusher, &quiet, &beside);
    line("flush of 10 partitions of 100,000 rows", "%.0f rows/s beside inserts, %llu rounds",
         (double)TEN * SEGMENT_ROWS * 1e3 / stats_percentile_ms(&flusher.times, 50),
         (unsigned long long)rounds);
    compare("  INSERT, quiet", &quiet, &quiet);
    compare("  INSERT beside it", &beside, &quiet);
}

void tiers_mix(Bench *b)
{
    static const char *const texts[] = {
        "SELECT count(*) FROM chat.messages",
        ("SELECT id, content FROM chat.messages WHERE conversation_id = 17 ORDER BY created_at "
         "DESC LIMIT 50"),
        "SELECT id, content FROM chat.messages ORDER BY _seq DESC LIMIT 50"};
    uint64_t rows = tiers_size("TIERS_SEGMENTS", 10) * SEGMENT_ROWS / 2;
    tiers_make_table(b, "messages");
    for (uint64_t n = 0; n < rows; n += SEGMENT_ROWS) {
        tiers_load(b, "messages", NULL, n, SEGMENT_ROWS);
        tiers_sql(b, "STORAGE FLUSH TABLE chat.messages");
    }
    Inserter in = {.b = b, .table = "messages", .w = wire_open(b->port), .next = 1u << 30};
    Stats quiet = {0}, busy = {0};
    uint64_t ms = (uint64_t)(b->seconds * 100);
    insert_for(&in, ms, &quiet);
    for (size_t q = 0; q < sizeof texts / sizeof texts[0]; q++) {
        Beside alone = {.b = b, .repeats = true}, beside = {.b = b, .repeats = true};
        char name[100];
        snprintf(alone.text, sizeof alone.text, "%s", texts[q]);
        memcpy(beside.text, alone.text, sizeof beside.text);
        beside_start(&alone);
        usleep((useconds_t)ms * 1000);
        atomic_store(&alone.stop, true);
        pthread_join(alone.thread, NULL);
        beside_start(&beside);
        insert_for(&in, ms, &busy);
        atomic_store(&beside.stop, true);
        pthread_join(beside.thread, NULL);
        snprintf(name, sizeof name, "%.50s", texts[q]);
        compare(name, &alone.times, &alone.times);
        compare("  beside inserts", &beside.times, &alone.times);
        insert_for(&in, ms, &quiet);
    }
    compare("INSERT, quiet", &quiet, &quiet);
    compare("INSERT beside the queries", &busy, &quiet);
}
