/* SPDX-License-Identifier: Apache-2.0
 *
 * A database with loops, workers and live queries, and clients whose sockets the test holds in its
 * hand: they can stall, come back, and keep a copy of the rows as an application would.
 */
#pragma once

#include "exec/exec.h"
#include "live/live.h"
#include "table/flush.h"
#include "test.h"

enum { STAGE_LOOPS = 2, STAGE_WORKERS = 2, COPY_ROWS_MAX = 20000, WAIT_S = 60 };

typedef struct Stage {
    Database *db;
    Jobs *jobs;
    Executor *executor;
    Workers *workers;
    LiveHub *hub;
    Loop *loops[STAGE_LOOPS];
    LiveLoop *live[STAGE_LOOPS];
    Mutex lock;
    Cond changed; /* something arrived, or a call has run */
} Stage;

/* options NULL: the defaults. folder NULL: a fresh one. */
void stage_open(Stage *stage, const LiveOptions *options, const char *folder,
                uint32_t feed_window_s);
void stage_close(Stage *stage);
/* Runs SQL as user `user` of that role; fails the test on an error. */
void stage_sql(Stage *stage, const char *user, Role role, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
CHECKED Code stage_try_sql(Stage *stage, const char *user, Role role, const char *sql, Error *e);
/* Trims; waits while a job works on the partition. */
void stage_trim(Stage *stage, Table *table, uint64_t user);
/* The rows of a query of three columns as "id|v|n" lines sorted by id; heap. */
char *stage_rows(Stage *stage, const char *user, const char *sql);
/* Calls `run` on a loop and waits until it has run. */
void stage_on_loop(Stage *stage, int loop, void (*run)(void *argument), void *argument);
/* Waits until what the loop is doing is done. */
void stage_settle(Stage *stage, int loop);
/* A worker and a loop that stand still until the gate opens. */
typedef struct Gate {
    Stage *stage;
    bool is_open, is_reached;
} Gate;
void gate_hold_worker(Gate *gate, Stage *stage);
void gate_hold_loop(Gate *gate, Stage *stage, int loop);
void gate_open(Gate *gate);

typedef struct CopyRow {
    int64_t id;
    char v[40];
    int64_t n;
    bool n_is_null;
    uint64_t seq;
} CopyRow;

/* One client with one subscription, and its copy of the rows. */
typedef struct Follower {
    Stage *stage;
    int loop;
    LiveUser user;
    LiveFeatures features;
    LiveClient *client; /* NULL while away */
    char **held;        /* messages its socket has not taken */
    size_t held_count, held_capacity, held_bytes;
    bool is_stalled, is_closed;
    /* guarded by stage->lock */
    CopyRow *rows; /* by id, unsorted */
    size_t row_count;
    uint64_t cursor, last_change_seq;
    bool is_acked, is_ready, tolerant; /* tolerant: resumed, so a change may repeat what it has */
    size_t messages_max; /* of one subscription: what comes after them is lost; 0 = nothing is */
    size_t messages, inserts, updates, deletes, unknown_deletes, batches, batch_rows,
        last_batch_rows, schemas;
    char error_code[40], error_text[200], close_reason[80];
    char violation[256]; /* the first breach of the promises */
    char last[2000];     /* newest message */
} Follower;

void follower_init(Follower *f, Stage *stage, int loop, uint64_t user, const char *user_id,
                   Role role);
void follower_done(Follower *f);
void follower_connect(Follower *f);
void follower_disconnect(Follower *f);
/* Forgets its copy. */
void follower_clear(Follower *f);
/* options NULL: none. The subscription's id is "s". */
void follower_subscribe(Follower *f, const char *sql, const LiveRequest *options);
/* resume: from its cursor. */
void follower_resume(Follower *f, const char *sql, uint64_t batch_size);
void follower_stall(Follower *f);
void follower_unstall(Follower *f);
/* Waits until the condition on `f` holds; fails the test after WAIT_S. */
#define follower_until(f, condition)                                                        \
    do {                                                                                    \
        int64_t deadline_ = clock_monotonic_us() + WAIT_S * 1000000LL;                      \
        mutex_lock(&(f)->stage->lock);                                                      \
        bool in_time_ = true;                                                               \
        while (in_time_ && !(condition))                                                    \
            in_time_ = cond_wait_until(&(f)->stage->changed, &(f)->stage->lock, deadline_); \
        mutex_unlock(&(f)->stage->lock);                                                    \
        if (!in_time_)                                                                      \
            test_failed(__FILE__, __LINE__,                                                 \
                        "waited too long for %s; last message: %s; "                        \
                        "violation: %s",                                                    \
                        #condition, (f)->last, (f)->violation);                             \
    } while (0)
bool follower_has(const Follower *f, int64_t id);
/* Its copy is what the query gives, and no promise was broken. */
void follower_check(Follower *f, const char *sql);

#include "os/clock.h"
