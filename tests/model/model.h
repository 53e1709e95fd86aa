/* SPDX-License-Identifier: Apache-2.0
 *
 * A history checker for live queries. Random writers, followers that stall, leave, come back and filter, and a database that
 * flushes, compacts, trims, alters and truncates, is stopped and killed; what every follower was told is then
 * compared, event by event, with what the writers did.
 *
 * Each epoch is a child process with a database of its own life; what must outlive it stands in memory shared with the
 * parent: the clients' copies, the writers' plans, the log.
 *
 * I1. A change is planned (the row's next state, unique by `n`) before its statement runs. The witness, a follower
 *     of everything, takes each event off the plan of its row: what it did not get, got twice or got in another
 *     order within a row does not fit. What it got, in its order, is the log.
 * I2. Every other follower must have got, since it last stood at a known cursor, exactly the events that its filter makes of
 *     the log, and its rows must be the state the log has at its cursor. The table must be the log's end.
 * I3. Shared memory changes under model->lock only, and an epoch is killed by a thread that holds it: no change is
 *     ever half done there. A statement under way at a kill may have happened, but whole or not at all.
 */
#pragma once

#include "exec/exec.h"
#include "live/live.h"
#include "table/flush.h"

enum {
    WRITERS = 3,
    WRITER_KEYS = 250,
    FENCE = WRITERS * WRITER_KEYS, /* the id of the row that ends a check */
    KEYS = FENCE + 1,
    FOLLOWERS = 9, /* the first is the witness */
    LOOPS = 2,
    WORKERS = 2,
    EVENTS_MAX = 150 * 1000, /* that one follower gets between two checks */
    FEED_WINDOW_S = 8,
};

typedef struct State {
    bool is_there;
    char v; /* 0: NULL */
    int64_t n;
    uint64_t seq;
} State;

typedef enum EventKind { EVENT_NONE, EVENT_INSERT, EVENT_UPDATE, EVENT_DELETE } EventKind;

typedef struct Event {
    uint64_t seq;
    uint32_t id;
    EventKind kind;
    State old, new; /* seq of the states: of their versions */
} Event;

/* A change that a statement will make. */
typedef struct Planned {
    uint32_t id, next; /* of the same row; 0: none */
    EventKind kind;
    char v;
    int64_t n;
    bool is_seen, is_void; /* is_void: its statement did not happen */
} Planned;

typedef struct Writer {
    uint64_t random;
    uint32_t pending_from, pending_to; /* plan entries of the statement under way */
} Writer;

typedef enum Mode {
    MODE_AWAY,   /* knows nothing */
    MODE_FIRST,  /* first rows */
    MODE_RESUME, /* pages of a resume */
    MODE_EXACT   /* every event is due */
} Mode;

typedef struct Follower {
    Mode mode;
    bool is_acked;
    uint64_t base;                     /* MODE_EXACT: `events` are those after it */
    uint64_t cursor;                   /* what it would resume from */
    uint64_t from, last_seq, page_seq; /* from: of the last resume */
    State rows[KEYS];
    uint32_t touched[KEYS]; /* the resume in which the row was told, and as what */
    Event touched_as[KEYS];
    uint32_t resumes;
    size_t event_count;
    Event events[EVENTS_MAX]; /* `old` of updates and deletes has only what was told */
} Follower;

typedef struct Model {
    uint64_t seed, random, wanted; /* random: of the main thread */
    bool is_created, dies_now;
    char failure[1000];
    int64_t counter; /* makes each n unique */
    uint64_t changes, statements, refused, delivered;
    uint64_t kills, stops, checks, resumes, replays, anew, too_old, truncates, alters, flushes,
        compactions, stalls;
    uint32_t columns;                           /* added by ALTER */
    State now[KEYS];                            /* by the statements that have ended */
    uint32_t plan_first[KEYS], plan_last[KEYS]; /* what the witness has not seen */
    Writer writers[WRITERS + 1];                /* the last is the main thread's */
    Follower followers[FOLLOWERS];
    State log_state[KEYS];
    uint32_t plan_count;
    size_t log_count, log_max;
    Planned *plan; /* from 1 */
    Event *log;
} Model;

extern Model *model; /* shared memory */

/* ---- world.c: a database with loops, and SQL on it ---- */

typedef struct World {
    Database *db;
    Jobs *jobs;
    Executor *executor;
    Workers *workers;
    LiveHub *hub;
    Loop *loops[LOOPS];
    LiveLoop *live[LOOPS];
    uint64_t anna, bert, root;
    Mutex lock; /* guards *model too */
    Cond changed;
    bool is_paused, is_stopping; /* writers */
    int writing;
} World;

extern World world;

void world_open(const char *folder);
void world_close(void);
/* The first failure ends the run. */
void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t random_of(uint64_t *state);
CHECKED Code sql_run(uint64_t user, const char *name, Role role, const char *sql, Error *e);
/* As an administrator; fails the run. */
void sql_must(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The table's rows as anna sees them. */
void sql_rows(State rows[KEYS]);
void on_loop(int loop, void (*run)(void *argument), void *argument);

/* ---- writer.c ---- */

void writers_start(void);
void writers_stop(void);
void writers_pause(void); /* until writers_resume no statement runs */
void writers_resume(void);
/* While they are paused. */
void writers_truncate(void);
void writers_fence(void);
/* While they are paused and the witness has caught up: nothing that was acknowledged is missing, and what was
 * under way at a kill happened whole or not at all (I3). */
void writers_settle(void);
/* I1. Under the lock. */
void plan_seen(const Event *event);

/* ---- follower.c: clients; all but the last belong to the main thread ---- */

void follower_reset_all(void); /* of a former epoch */
void follower_connect(int index);
void follower_disconnect(int index);
void follower_stall(int index);
void follower_unstall(int index);
void follower_anew(int index);
/* Comes back when its subscription was ended. */
void follower_tend(int index);
bool follower_is_connected(int index);
const char *follower_query(int index);
bool follower_matches(int index, uint32_t id, const State *state);

/* ---- check.c ---- */

/* With the writers paused: lets connected followers catch up and compares everything (I2). */
void check_all(void);
/* Waits until follower `index` has seen the newest fence, or only until it gets every change. */
void check_wait(int index, bool fence);
