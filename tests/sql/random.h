/* SPDX-License-Identifier: Apache-2.0
 *
 * What the random tests share: choices that follow from the seed, the same statement for several
 * tables, and answers that must agree.
 */
#pragma once

#include "sql_test.h"

uint32_t pick(uint32_t below);
/* Aborts when it fails. */
void must_run(World *world, const Caller *caller, const char *sql);
/* As alice, with each table for @; empties it. */
void on_both(World *world, Buffer *sql, const char *const tables[2]);

/* One way to ask; @ of a query stands for the table, # for the seq. */
typedef struct Way {
    const char *what, *table;
    Mode mode;
    const char *seq;
} Way;
enum { WAYS_MAX = 4 };
/* Prints where they do not agree. Adds to *io_native when the loop answered the first by itself. */
bool agree_in(World *world, const Buffer *query, const Way *ways, int count, int *io_native);

/* random_tiers.c: how many have failed. */
int run_tiers(World *world, int queries);
/* random_writes.c: the same. */
int run_writes(World *world, int requests);
