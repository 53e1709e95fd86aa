/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of live/ share.
 *
 *   LiveLoop ── entries: one per partition that somebody on this loop follows
 *                 └─ channels: one per distinct query on it, which filters and encodes once
 *                      └─ subscriptions, each of a LiveClient
 */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "live/channel_int.h"
#include "live/reader_int.h"

/* ---- state.c ---- */

typedef enum SubState {
    SUB_NEW,
    SUB_LOADING,
    SUB_CATCHING_UP,
    SUB_LIVE,
    SUB_ENDED,
    SUB_STATES
} SubState;

bool live__may_move(SubState from, SubState to);
const char *live__state_name(SubState state);

/* ---- hub.c, subscription.c, client.c, deliver.c ---- */

typedef struct View View;

struct Subscription {
    LiveClient *client; /* NULL once it has ended while a read is under way */
    LiveLoop *loop;
    Channel *channel;                  /* NULL once ended */
    Subscription *prev, *next;         /* of the channel */
    Subscription *wait_next;           /* in the loop's queue or the client's */
    Subscription *hub_prev, *hub_next; /* guarded by hub->lock */
    Slice id;
    LiveQuery *query;          /* a reference */
    Reader *reader;            /* NULL while live */
    struct ViewFollower *view; /* of a system table, in place of a reader; else NULL */
    uint32_t first_version;    /* of the table's definition, when it began */
    uint64_t cursor;           /* live: changes up to here are not for it */
    SubState state;            /* changed under hub->lock, so that live_list may look */
    bool is_reading, is_waiting;
    LoopTask task; /* brings the end of a read back to the loop */
    Code code;     /* of that read */
    Error *error;
    LiveRequest request; /* its texts and parameters are not set */
    uint64_t user;
    int64_t created_at_us;
    _Atomic int64_t last_update_us;
    _Atomic uint64_t changes, sent_bytes, read_count;
    _Atomic uint64_t seen_seq; /* while not live: what was read up to here; 0 = nothing yet */
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
    bool is_refused; /* the user changed while it was looked up */
    LiveFeatures features;
    uint64_t user;
    char *user_id;
    Role role;
    int64_t credentials_at_us;
    uint32_t subscriptions_max;
    Map *subscriptions; /* by id */
    WaitQueue stalled;  /* wait for the socket to drain */
    size_t reading;     /* reads under way */
    uint64_t stalled_at_ms;
    size_t stalled_bytes;    /* queue when last looked at */
    LiveClient *prev, *next; /* of the loop */
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    _Atomic int64_t last_ping_us;
    _Atomic uint64_t queued_bytes; /* as of the last tick */
};

/* Commits on their way to loops. */
typedef struct CommitBundle {
    _Atomic unsigned refs;
    uint64_t last_seq;
    size_t bytes, count;
    bool is_partial;   /* changes of the catalog only: the loop's backlog is full */
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
    Buffer matched;         /* Channel *: those of the buckets of one change */
    uint64_t processed_seq; /* of the last bundle handled */
    uint64_t seen_missed_seq;
    _Atomic size_t interest;      /* subscriptions, and clients with a user; see hub.c */
    _Atomic size_t backlog_bytes; /* of bundles posted and not begun */
    _Atomic uint64_t missed_seq;  /* newest commit that was not posted: the backlog was full */
    _Atomic bool is_reminded;     /* an empty bundle that says so is on its way */
};

enum { LIVE_LOOPS_MAX = 64 };

struct LiveHub {
    Database *db;
    Workers *workers;
    LiveOptions options;
    OrderedMemory ordered;
    View *views[LIVE_VIEWS_MAX]; /* fixed before traffic, but not before the first commits */
    _Atomic size_t view_count;   /* counts a view once it stands in `views` */
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

/* Runs the reads that may run. */
void live__pump(LiveLoop *loop);
/* Frees what is still in a queue when all of its subscriptions have ended. */
void live__drop_ended(WaitQueue *queue);
/* With an error message, NULL: silently; it is gone when no read is under way. */
void live__end(Subscription *subscription, const Error *error);
/* Among its client's stalled, until the socket has drained. */
void live__stall(Subscription *subscription);
/* What its reader has ready goes out. */
void live__send_out(Subscription *subscription);
/* Live no more: everything after `cursor` has to be read. */
void live__fall_back(Subscription *subscription, uint64_t cursor);
void live__set_state(Subscription *subscription, SubState state);
/* client.c. `cursor` as LiveSocket.send has it. */
void live__send(LiveClient *client, Slice message, uint64_t cursor);
/* As an `error` message; a failure inside the server is reported to the log too. */
void live__send_error(LiveClient *client, Slice id, const Error *error);

/* lifecycle.c. Goes on under the new definition of the query's table, or fails with the reason. */
CHECKED Code live__follow(Subscription *subscription, Error *e);
bool live__user_is_as_told(LiveHub *hub, const LiveUser *user);
/* A change of the catalog was committed. */
void live__catalog_changed(LiveLoop *loop, const CatalogChange *change);

/* A bundle arrived on the loop. */
void live__deliver(LiveLoop *loop, const CommitBundle *bundle);
