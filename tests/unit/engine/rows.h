/* SPDX-License-Identifier: Apache-2.0
 *
 * A row source for tests: rows made from their number, with hooks to fail and to count.
 */
#pragma once

#include <stdatomic.h>

#include "engine/engine.h"

typedef struct Rows {
    Schema schema;
    Column columns[12];
    Value row[12];
    uint64_t count;
    uint64_t first_seq;
    uint64_t fail_at; /* 0 = never */
    Code fail_code;
    uint64_t
        dead_every; /* seqs divisible by it are dead, and such rows of the first file; 0 = none */
    bool is_endless;
    atomic_int opened, closed, asked_dead, found_dead;
    char text[64];
} Rows;

/* Columns: id BIGINT key (field 1), name TEXT (2), score DOUBLE (3). Row n has id n, name "name
 * <n>", NULL for every seventh, score n / 2. */
void rows_init(Rows *rows, uint64_t count);
EngineSource rows_source(Rows *rows);

EnginePool *
rows_pool(uint32_t instances); /* in test_folder(), whose `storage` is the allowed folder */
/* A path below `storage`. */
const char *rows_path(const char *name);

/* Runs SQL, in which %h stands for the handle of a query over one source (rows may be NULL), and
 * prints the rows as `1|a;2|b`. The text lives until the next call. */
Code rows_run(EnginePool *pool, Rows *rows, const char *sql, Slice *out_text, Error *e);
