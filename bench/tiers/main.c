/* SPDX-License-Identifier: Apache-2.0
 *
 * tiers <port> <token> <folder> <seconds> <pid> <part>: measures the two tiers of a running server.
 * Without arguments it names the parts; each wants a server of its own, with <folder>/data as its
 * data folder and a text for the words of the rows in <folder>/words.
 *
 * As in bench.c a figure stands beside a yardstick taken in turns with it: DuckDB itself, in this
 * process, over the very files the server wrote; the rate, the time or the size of the same without
 * what is measured. What a part checks besides (counts, the rows that were asked for) ends it with
 * an error.
 *
 * Sizes come from the environment, so that a short run and the full one are the same program:
 * TIERS_SEGMENTS (10; of 100,000 rows), TIERS_USERS (2,000; of 20 rows), TIERS_LARGE (20; of
 * 100,000 rows), TIERS_SINGLE_ROWS (5,000,000), TIERS_PARTITIONS (20,000), TIERS_ROUNDS (2, at
 * least, of part ten).
 */
#include "tiers.h"

#include <signal.h>

static void open_all(Bench *b)
{
    char name[4096];
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    b->statement = malloc(STATEMENT_BYTES_MAX);
    snprintf(name, sizeof name, "%s/words", b->folder);
    b->chat = chat_open(name);
    if (!b->statement)
        die("no memory");
    tiers_sql(b, "CREATE NAMESPACE IF NOT EXISTS chat");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(Bench *b);
    } parts[] = {{"scan", tiers_scan},    {"point", tiers_point},
                 {"size", tiers_space},   {"flush", tiers_flush},
                 {"ten", tiers_ten},      {"mix", tiers_mix},
                 {"users", tiers_users},  {"partitions", tiers_partitions},
                 {"expire", tiers_expire}};
    enum { PARTS = sizeof parts / sizeof parts[0] };
    for (size_t i = 0; argc == 1 && i < PARTS; i++)
        puts(parts[i].name);
    if (argc == 1)
        return 0;
    if (argc != 7)
        die("usage: tiers <port> <token> <folder> <seconds for each measurement> <pid> <part>");
    Bench b = {.port = (int)strtol(argv[1], NULL, 10),
               .token = argv[2],
               .folder = argv[3],
               .seconds = strtod(argv[4], NULL),
               .server = (pid_t)strtol(argv[5], NULL, 10)};
    open_all(&b);
    for (size_t i = 0; i < PARTS; i++)
        if (strcmp(argv[6], parts[i].name) == 0)
            parts[i].run(&b);
    return 0;
}
