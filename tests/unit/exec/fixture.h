/* SPDX-License-Identifier: Apache-2.0
 *
 * An executor on a database in the test's folder, with jobs that do nothing by themselves, and
 * requests to it as the API makes them.
 */
#pragma once

#include "exec/exec_int.h"

enum { WORLD_USERS = 3 };

typedef struct World {
    Database *db;
    Jobs *jobs;
    Executor *executor;
    uint64_t users[WORLD_USERS]; /* of "u0", "u1", "u2" */
} World;

World world_open(void);
void world_close(World *w);

/* What a request gave, by the first values of its rows. Starts as zeros. */
typedef struct Answer {
    size_t ends;  /* statements that ended */
    size_t rows;  /* of the last statement */
    int64_t last; /* of its last row; -1 for NULL */
    int64_t sum;  /* over all statements */
    int64_t
        ended_sum; /* over those that ended: what a statement gives before it begins anew is void */
    size_t begun;  /* the statement that ran last, counted from 1 … */
    int64_t sum_before; /* … and `sum` when it began: it may begin again elsewhere */
    World *w;
    const char *meanwhile; /* another request, run when the statement `at` begins; then NULL */
    size_t at;
    atomic_bool has_left; /* nobody waits for it … */
    bool leaves_at_row;   /* … from its first row on */
} Answer;

ResultSink world_sink(Answer *answer);
/* Of users[user], in namespace app. */
Session world_session(const World *w, int user, Role role);
Code world_run_as(World *w, int user, Role role, const char *sql, Answer *answer, Error *e);
/* The same for u0 with every right. */
Code world_try(World *w, const char *sql, Answer *answer, Error *e);
/* What must not fail: a failed CHECK, so never on a thread of the test's own. */
void world_run(World *w, const char *sql);
/* The same; the last row's first value. */
int64_t world_number(World *w, const char *sql);
