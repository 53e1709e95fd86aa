/* SPDX-License-Identifier: Apache-2.0
 *
 * A history checker for live queries: random writers, followers that stall, leave, come back and
 * filter, a database that changes its layout, is stopped, killed and cut from its power. What every
 * follower was told is compared, event by event, with what the writers did.
 *
 * Each epoch is a child process with a database of its own life; what must outlive it is in shared
 * memory: the clients' copies, the writers' plans, the logs. A table with all that is a Book.
 *
 * I1. A change is planned (the row's next state, unique by `n`) before its statement runs. The
 *     witness of a book, a follower of everything, takes each event off the plan of its row, which
 *     a lost, doubled or misplaced one does not fit. What it got, in its order, is the log.
 * I2. Every other follower must have got, since a known cursor, exactly the events that its filter
 *     makes of the log, and its rows must be the log's state there. The table must be its end.
 * I3. Shared memory changes under world.lock only, and an epoch is killed by a thread that holds
 *     it: none is half done there. A statement under way then happened whole or not at all.
 * I4. A life of a book ends with its table, and for an async one with a kill: a cursor of an
 *     earlier life must be refused as too old. The log of a new life begins with the witness's
 *     first rows; those of an async table must be what each writer wrote up to some statement,
 *     the last acknowledged one (kill), the last synced one (power cut) or a later one.
 */
#pragma once

#include "world.h"

enum {
    WRITERS = 3,
    WRITER_KEYS = 250,
    FENCE = WRITERS * WRITER_KEYS, /* the ids of the rows that end a check */
    FENCE_B,                       /* for filters on v = 'b' */
    KEYS,
    EVENTS_MAX = 100 * 1000, /* that one follower gets between two checks */
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
    bool is_seen, is_void, is_acked; /* is_void: its statement did not happen */
    uint32_t statement;
    int64_t n;
} Planned;

typedef struct Writer {
    uint64_t random;
    int book;
    uint32_t pending_from, pending_to; /* plan entries of the statement under way */
} Writer;

typedef enum BookKind { BOOK_USER, BOOK_SHARED, BOOK_ASYNC, BOOKS } BookKind;

typedef struct Book {
    uint32_t life;                              /* I4 */
    bool needs_base, needs_settling;            /* I4 */
    uint32_t columns;                           /* added by ALTER */
    State base[KEYS];                           /* with what the log begins */
    State now[KEYS];                            /* by the statements that have ended */
    State settled[KEYS];                        /* what is on disk for certain, */
    uint32_t settled_count;                     /* up to this entry of the plan */
    uint32_t plan_first[KEYS], plan_last[KEYS]; /* what the witness has not seen */
    State log_state[KEYS];
    uint32_t plan_count;
    size_t log_count;
    Planned *plan; /* from 1 */
    Event *log;
} Book;

typedef enum Mode {
    MODE_AWAY,   /* knows nothing */
    MODE_STALE,  /* will be told that its cursor is too old */
    MODE_FIRST,  /* first rows */
    MODE_RESUME, /* pages of a resume */
    MODE_EXACT   /* every event is due */
} Mode;

typedef struct Follower {
    Mode mode;
    bool is_acked, is_begun;           /* is_begun: its first rows have not been looked at */
    uint32_t life;                     /* of the book, which its cursor is of */
    uint64_t base;                     /* MODE_EXACT: `events` are those after it */
    uint64_t cursor;                   /* what it would resume from */
    uint64_t from, last_seq, page_seq; /* from: of the last resume */
    uint64_t begun_at;                 /* the commit of its first rows */
    bool knows[KEYS], begun[KEYS]; /* of one that sees part of the rows; what it had at begun_at */
    State rows[KEYS];
    uint32_t touched[KEYS]; /* the resume in which the row was told, and as what */
    Event touched_as[KEYS];
    uint32_t resumes;
    size_t event_count;
    Event events[EVENTS_MAX]; /* `old` of updates and deletes has only what was told */
} Follower;

typedef struct Figures {
    uint64_t statements, refused, delivered, kills, cuts, stops, checks, resumes, replays, anew,
        stale, too_old, truncates, drops, alters, flushes, compactions, stalls, expired;
} Figures;

typedef struct Model {
    uint64_t seed, random, wanted; /* random: of the main thread */
    bool is_created, dies_now, was_killed, was_cut;
    _Atomic bool has_failed;
    char failure[1000];
    char synced_file[512]; /* the write-ahead log synced last, and how much of it was */
    uint64_t synced_bytes;
    int traveller; /* the link that stays away until returns_at_us; -1: none */
    int64_t returns_at_us, looked_at_us;
    _Atomic int64_t now_us; /* see let_time_pass() */
    int64_t counter;        /* makes each n unique */
    _Atomic uint64_t changes;
    Figures figures;
    Writer writers[WRITERS + 1]; /* the last is the main thread's */
    Book books[BOOKS];
    Follower followers[FOLLOWERS];
    size_t log_max;
} Model;

extern Model *model; /* shared memory */
void *model_shared(size_t bytes);
/* KALAM_MODEL_WITHOUT leaves things out: "truncate alter". */
bool model_wants(const char *what);

typedef struct BookInfo {
    const char *name, *create;
    Who writer;
    int first, count; /* its followers; the first is the witness */
} BookInfo;

extern const BookInfo book_info[BOOKS];
/* ---- writer.c ---- */

void writers_start(void);
void writers_stop(void);
void writers_pause(void); /* until writers_resume no statement runs */
void writers_resume(void);
/* While they are paused. */
void writers_truncate(int book);
void writers_drop(int book);
void writers_fence(int book);
/* While they are paused and the witness has caught up: nothing acknowledged is missing (I3, I4). */
void writers_settle(int book);
/* What an async book has after a kill becomes what was written (I4). */
void writers_settle_life(int book);
/* What was acknowledged is synced now. */
void writers_note_synced(int book);
/* I4. Under the lock. */
void book_begin_life(int book);
/* I1. Under the lock. */
void plan_seen(int book, const Event *event);

/* ---- follower.c ---- */

void followers_open(void);
const char *follower_query(int index);
int follower_book(int index);
int follower_fence(int index);
int64_t follower_age_us(int index); /* of its cursor */
/* The newest rows it asks for; KEYS: all; 0: none. */
unsigned follower_first_rows(int index);
bool follower_matches(int index, uint32_t id, const State *state);

/* ---- check.c ---- */

/* With the writers paused: lets connected followers catch up and compares everything (I2). */
void check_all(void);
void check_book(int book);
/* Waits until `is_there` or a failure; tends the links. */
void check_wait(const char *what, bool (*is_there)(int argument), int argument);
/* Until follower `index` gets every change of the book's life. */
void check_wait_exact(int index);
void check_wait_fence(int index);

/* ---- stream.c ---- */

void streams_make(void);
void streams_create_table(void);
/* After an unclean stop (I4), before its clients connect. */
void streams_begin_life(void);
void streams_open(void);
/* One statement. */
void streams_write(void);
void streams_note_synced(void);
/* With the writers paused: as check_all. */
void streams_check(void);
