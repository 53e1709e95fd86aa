/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of live/ share.
 *
 *   LiveLoop ── entries: one per partition that somebody on this loop follows
 *                 └─ channels: one per distinct query on it (filter and encoding are done once per channel)
 *                      └─ subscriptions, each of a LiveClient
 */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "live/live.h"
#include "sql/eval.h"

/* ---- query.c: what is asked for ---- */

typedef struct LiveColumn {
    uint32_t index; /* in the schema */
    Slice name;     /* on the wire: the alias if there is one */
} LiveColumn;

/* Immutable once made; shared by reference between a loop and the workers. */
typedef struct LiveQuery {
    _Atomic unsigned refs;
    Arena *arena;
    Table *table; /* a reference */
    Partition partition;
    BoundExpr *where; /* NULL: every row */
    EvalContext eval;
    Slice sql;
    LiveColumn *columns;
    uint32_t column_count;
    bool is_star;      /* `_deleted` is shown too */
    bool is_shareable; /* the same for every user of the role */
} LiveQuery;

CHECKED Code live__query_new(Database *db, const LiveUser *user, Slice sql, LiveQuery **out, Error *e);
LiveQuery *live__query_ref(LiveQuery *query);
void live__query_unref(LiveQuery *query); /* accepts NULL */
CHECKED Code live__query_matches(const LiveQuery *query, const Value *values, uint64_t seq, Arena *arena,
                                 bool *out, Error *e);

/* ---- event.c: what a change means to a query ---- */

typedef enum LiveEvent { LIVE_EVENT_NONE, LIVE_EVENT_INSERT, LIVE_EVENT_UPDATE, LIVE_EVENT_DELETE } LiveEvent;

LiveEvent live__event_of(ChangeKind kind, bool old_matches, bool new_matches);

/* A change with its rows decoded by one schema; made once, looked at by every channel. */
typedef struct LiveChange {
    ChangeKind kind;
    uint64_t seq, old_seq;
    const Value *old_values, *new_values; /* NULL where there is none */
} LiveChange;

CHECKED Code live__change_decode(const Schema *schema, ChangeKind kind, uint64_t seq, uint64_t old_seq,
                                 Slice new_row, Slice old_row, Arena *arena, LiveChange *out, Error *e);
CHECKED Code live__change_event(const LiveQuery *query, const LiveChange *change, Arena *arena, LiveEvent *out,
                                Error *e);

/* ---- message.c: the JSON that goes out ---- */

typedef struct BatchControl {
    uint32_t batch_num;
    bool has_more, seq_text;
    uint64_t last_seq;
} BatchControl;

void live__add_ack(Buffer *out, Slice id, const LiveQuery *query, const BatchControl *control);
void live__add_batch(Buffer *out, Slice id, Slice rows, const BatchControl *control);
void live__add_error(Buffer *out, Slice id, const char *code, const char *message);
/* {…} of a row. */
CHECKED Code live__add_row(Buffer *out, const LiveQuery *query, const Value *values, uint64_t seq, Error *e);
/* A change message is head + body; the body is the same for all subscriptions of a query. */
void live__add_change_head(Buffer *out, Slice id);
CHECKED Code live__add_change_body(Buffer *out, const LiveQuery *query, LiveEvent event,
                                   const LiveChange *change, Error *e);
/* The socket's word for a code, and its sentence. */
const char *live__error_code(Code code);
void live__error_text(const Error *error, Buffer *out);

/* ---- state.c ---- */

typedef enum SubState { SUB_NEW, SUB_LOADING, SUB_CATCHING_UP, SUB_LIVE, SUB_ENDED, SUB_STATES } SubState;

bool live__may_move(SubState from, SubState to);
const char *live__state_name(SubState state);

/* ---- reader.c: first rows, resume and catch-up, in bounded steps ---- */

typedef enum ReadPhase {
    READ_LAST_ROWS,   /* finding where the newest n rows begin */
    READ_RESUME_SCAN, /* finding what was deleted since the cursor */
    READ_ROWS,        /* pages */
    READ_DELETES,     /* what READ_RESUME_SCAN found */
    READ_FEED,        /* changes after `cursor` */
} ReadPhase;

typedef struct ReadBudget {
    HotRead mode;
    size_t bytes, rows; /* of one step */
} ReadBudget;

typedef struct Reader {
    LiveQuery *query; /* a reference */
    Slice id;         /* borrowed from the subscription, which outlives its reads */
    ReadPhase phase;
    bool seq_text, is_acked, is_resume;
    bool reached;      /* out: the feed was read to its end at `cursor` */
    uint64_t at_seq;   /* first rows: the commit they show; 0 until the first step */
    uint64_t from;     /* resume: the client's cursor */
    uint64_t cursor;   /* READ_FEED: everything up to here was read */
    uint64_t next_seq; /* READ_ROWS: continue here; READ_LAST_ROWS: look below here, inclusive */
    uint64_t last_rows, found;
    uint32_t page_rows, batch_num, row_count;
    size_t step_rows;  /* rows asked of one past page, by their size */
    uint64_t last_row_seq;
    Buffer rows;       /* the page under way */
    uint64_t *deletes; /* seqs of the changes that took a row out of sight */
    size_t delete_count, delete_capacity, delete_at;
    Buffer out;        /* messages: u32 size, bytes */
} Reader;

/* Loading for a request with options. */
Reader *live__reader_new(LiveQuery *query, Slice id, const LiveRequest *request, const LiveFeatures *features);
/* Catch-up after `cursor`. */
Reader *live__reader_feed(LiveQuery *query, Slice id, uint64_t cursor);
void live__reader_free(Reader *reader); /* accepts NULL */
/* Appends messages to reader->out. After a failure what is in `out` is still right. Any thread, one at a time;
 * with HOT_CACHED_ONLY (READ_FEED only) E_WOULD_BLOCK leaves the reader as a shorter step would. */
CHECKED Code live__reader_step(Reader *reader, Database *db, const ReadBudget *budget, Error *e);

/* ---- hub.c, subscription.c, deliver.c ---- */

typedef struct Subscription Subscription;
typedef struct Channel Channel;
typedef struct Entry Entry;

/* A partition that this loop follows. */
struct Entry {
    Partition partition;
    Channel *channels;
    uint64_t last_change_seq; /* newest change of it that this loop has seen */
};

struct Channel {
    LiveQuery *query; /* a reference */
    Entry *entry;
    Channel *next; /* of the entry */
    Subscription *subscriptions;
    Slice key; /* in loop->channels; in the query's arena */
};

struct Subscription {
    LiveClient *client; /* NULL once it has ended while a read is under way */
    LiveLoop *loop;
    Channel *channel; /* NULL once ended */
    Subscription *prev, *next;         /* of the channel */
    Subscription *wait_next;           /* in the loop's queue or the client's */
    Subscription *hub_prev, *hub_next; /* guarded by hub->lock */
    Slice id;
    LiveQuery *query; /* a reference */
    Reader *reader;   /* NULL while live */
    uint64_t cursor;  /* live: changes up to here are not for it */
    SubState state;   /* changed under hub->lock, so that live_list may look */
    bool is_reading, is_waiting;
    LoopTask task;    /* brings the end of a read back to the loop */
    Code code;     /* of that read */
    Error *error;
    LiveRequest request; /* its texts are not set */
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    Slice user_id;
    uint64_t user;
    int64_t created_at_us;
    _Atomic int64_t last_update_us;
    _Atomic uint64_t changes;
};

typedef struct WaitQueue {
    Subscription *first, *last;
} WaitQueue;

struct LiveClient {
    LiveLoop *loop;
    const LiveSocket *io;
    void *socket;
    size_t drained_mark;
    bool compress, has_user, is_closing;
    LiveFeatures features;
    uint64_t user;
    char *user_id;
    Role role;
    uint32_t subscriptions_max;
    Map *subscriptions; /* by id */
    WaitQueue stalled;  /* wait for the socket to drain */
    size_t reading;     /* reads under way */
    uint64_t stalled_at_ms;
    size_t stalled_bytes; /* queue when last looked at */
    LiveClient *prev, *next; /* of the loop */
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    _Atomic int64_t last_ping_us;
};

/* Commits on their way to loops. */
typedef struct CommitBundle {
    _Atomic unsigned refs;
    uint64_t last_seq;
    size_t bytes, count;
    Intent *intents[]; /* references */
} CommitBundle;

struct LiveLoop {
    LiveHub *hub;
    Loop *loop;
    _Atomic unsigned refs; /* the owner's, and one per task on its way */
    bool is_closed;
    Map *entries;  /* by partition */
    Map *channels; /* by query key */
    LiveClient *clients;
    WaitQueue ready; /* want to read */
    size_t reads;    /* under way */
    LoopTimer *tick;
    LoopTimer *retry; /* the workers' queue was full */
    Arena *arena;     /* of one change */
    Buffer body, message;
    uint64_t processed_seq;   /* of the last bundle handled */
    uint64_t seen_missed_seq;
    _Atomic size_t interest;       /* subscriptions; see hub.c */
    _Atomic size_t backlog_bytes;  /* of bundles posted and not begun */
    _Atomic uint64_t missed_seq;   /* newest commit that was not posted because the backlog was full */
    _Atomic bool is_reminded;      /* an empty bundle that says so is on its way */
};

enum { LIVE_LOOPS_MAX = 64 };

struct LiveHub {
    Database *db;
    Workers *workers;
    LiveOptions options;
    Mutex lock;
    /* guarded by lock */
    LiveLoop *loops[LIVE_LOOPS_MAX];
    size_t loop_count;
    Subscription *subscriptions;
    Map *users; /* numeric id -> number of subscriptions */
    /* figures */
    _Atomic uint64_t subscription_count, sent, fallbacks, reads;
};

void live__loop_unref(LiveLoop *loop);
/* False when the user has as many subscriptions as allowed. */
bool live__hub_add(LiveHub *hub, Subscription *subscription, uint32_t user_max);
void live__hub_remove(LiveHub *hub, Subscription *subscription);

/* Queues the next read of a subscription that is not live. */
void live__want_read(Subscription *subscription);
/* Runs the reads that may run. */
void live__pump(LiveLoop *loop);
/* Once no client is left: frees what is still queued. */
void live__drop_ended(LiveLoop *loop);
/* Ends with an error message (error NULL: silently); the subscription is gone when no read is under way. */
void live__end(Subscription *subscription, const Error *error);
/* Live no more: everything after `cursor` has to be read. */
void live__fall_back(Subscription *subscription, uint64_t cursor);
void live__set_state(Subscription *subscription, SubState state);
void live__send(LiveClient *client, Slice message);

Entry *live__find_entry(LiveLoop *loop, const Partition *partition); /* NULL when nobody follows it */
/* A bundle arrived on the loop. */
void live__deliver(LiveLoop *loop, const CommitBundle *bundle);
