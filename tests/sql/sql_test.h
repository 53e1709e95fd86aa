/* SPDX-License-Identifier: Apache-2.0
 *
 * What the SQL test program shares: a database with an executor in a folder, and running one
 * request to a printable result.
 */
#pragma once

#include "exec/exec.h"

typedef enum Mode {
    MODE_NATIVE, /* as a server does: the loop's way first, then a worker's */
    MODE_DUCK,   /* every SELECT of a table through DuckDB */
    MODE_COLD,   /* as MODE_NATIVE, with a flush wherever the file says so */
    MODE_COUNT,
} Mode;
extern const char *const mode_names[MODE_COUNT];

typedef struct World {
    Database *db;
    Jobs *jobs;
    Executor *executor;
    Executor *duck; /* the same database, all SELECTs through DuckDB */
} World;

/* Aborts on failure: without a database no test means anything. */
void world_open(World *world, const char *folder);
void world_close(World *world);

/* What one request gave: rows as text, one line each, or the message, or the error. */
typedef struct Outcome {
    Code code;
    char *error;    /* code name and text, heap */
    Buffer columns; /* "id BIGINT pk|name TEXT" */
    char **rows;
    size_t row_count, row_capacity, column_count;
    Buffer messages; /* one per statement without rows, separated by newlines */
    size_t moves;    /* times that the loop gave it to a worker */
} Outcome;

typedef struct Caller {
    Slice user_id;
    Role role;
    Slice namespace_name;
    Value params[64];
    size_t param_count;
} Caller;

void run_sql(World *world, Mode mode, const Caller *caller, const char *sql, Outcome *out);
void outcome_done(Outcome *outcome);

/* Flushes all tables, waits. */
void world_flush(World *world);

/* ---- random.c ---- */
void run_random(World *world, int queries, int *io_passed, int *io_failed);
