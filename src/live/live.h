/* SPDX-License-Identifier: Apache-2.0
 *
 * Live queries: a subscription is a snapshot at a commit and then every change after it, exactly
 * once and in commit order, at any speed of its client.
 *
 * A LiveHub serves one Database. Each network loop has a LiveLoop; each socket is a LiveClient of
 * its loop and carries any number of subscriptions. Messages go out through a LiveSocket, a struct
 * of functions that whoever owns the socket fills in: this folder knows no WebSocket.
 *
 * What takes a LiveLoop or a LiveClient belongs to the loop's thread; what takes the LiveHub says
 * whose it is.
 */
#pragma once

#include "data/value.h"
#include "os/loop.h"
#include "os/stream.h"
#include "os/thread.h"
#include "table/view.h"

typedef struct LiveHub LiveHub;
typedef struct LiveLoop LiveLoop;
typedef struct LiveClient LiveClient;

/* 0 means the default. */
typedef struct LiveOptions {
    uint32_t stall_timeout_ms;     /* a client that takes nothing for so long is closed: 60 s */
    size_t socket_queue_bytes_max; /* above it subscriptions fall back to catch-up */
    size_t chunk_bytes_max;        /* of one read of catch-up: 128 KiB */
    size_t backlog_bytes_max;      /* of commits that wait for one loop: 64 MiB */
    uint32_t subscriptions_per_client_max; /* SUBSCRIPTIONS_PER_CONNECTION_MAX */
    size_t ordered_bytes_max;              /* LIVE_ORDERED_TOTAL_BYTES_MAX */
} LiveOptions;

/* Registers a ChangeSink: before traffic. Borrows both; options may be NULL. */
CHECKED Code live_hub_new(Database *db, Workers *workers, const LiveOptions *options, LiveHub **out,
                          Error *e);
/* After database_close, for the committer calls the sink until then. Accepts NULL. */
void live_hub_free(LiveHub *hub);

/* What a system table shows. */
enum {
    LIVE_ON_CATALOG = 1, /* namespaces and tables */
    LIVE_ON_USERS = 2,
    LIVE_ON_JOBS = 4,
    LIVE_ON_SUBSCRIPTIONS = 8,
    LIVE_VIEWS_MAX = 64,
};
typedef Code LiveViewFill(void *context, Arena *arena,
                          Code (*row)(void *row_context, const Value *values, Error *e),
                          void *row_context, Error *e);
/* A system table that can be followed: its rows are made when what it shows has changed, by a
 * worker. */
typedef struct LiveView {
    Slice namespace_name, name;
    const Schema
        *schema;      /* copied; its primary_key columns are never NULL and tell the rows apart */
    unsigned sources; /* LIVE_ON_… */
    uint64_t figures; /* bits by column: what changes all the time, and alone is no change */
    LiveViewFill *fill;
    void *context;
} LiveView;
/* Before traffic. Followed by administrators only. */
void live_hub_add_view(LiveHub *hub, const LiveView *view);
/* Something that views show (LIVE_ON_…) has changed. Any thread, holding no lock. */
void live_hub_touch(LiveHub *hub, unsigned sources);

/* On the loop's thread, or before it runs. */
CHECKED Code live_loop_new(LiveHub *hub, Loop *loop, LiveLoop **out, Error *e);
/* When its clients are gone and the workers stand still; before loop_free, which runs the tasks
 * that are left. Accepts NULL. */
void live_loop_free(LiveLoop *loop);

/* How messages leave. None of these may call back into live/ before it returns. */
typedef struct LiveSocket {
    /* One whole JSON message, copied. `cursor`: whoever has got everything up to this message may
     * resume from it, with `replay`, without gap or double; 0 when that is not so. */
    void (*send)(void *socket, Slice message, uint64_t cursor);
    /* One message made ready once for many sockets (framed, and compressed if so asked). NULL:
     * `send` each. */
    SharedBuffer *(*frame)(Slice message, uint64_t cursor, bool compress);
    void (*send_frame)(void *socket, SharedBuffer *frame);
    /* Bytes that wait for this client. */
    size_t (*queued_bytes)(void *socket);
    /* Starts closing; live_client_free follows from the owner. */
    void (*close)(void *socket, int code, const char *reason);
    /* A failure inside the server ended a subscription: for the log. */
    void (*report)(void *socket, const Error *error);
    /* Once a second, for the owner's own timeouts. */
    void (*tick)(void *socket, uint64_t now_ms);
} LiveSocket;

typedef struct LiveUser {
    uint64_t user; /* numeric id: the partition of USER and STREAM tables, and nothing else is */
    Slice user_id;
    Role role;
    int64_t credentials_at_us; /* as the token says; a change of the user's ends the client */
} LiveUser;

/* What a client announced when it authenticated. */
typedef struct LiveFeatures {
    bool replay;         /* resume gives every change as a `change` message */
    bool seq_text;       /* batch_control carries `last_seq`, the cursor as a string */
    bool schema;         /* new columns of a table come as a `schema` message */
    bool resnapshot;     /* a cursor that is no good is answered with new first rows in place */
    bool token_expiring; /* told before its token ends; the socket owner's */
} LiveFeatures;

enum { LIVE_CONNECTION_ID_BYTES = 32 };

/* `queue_drained_mark`: live_client_drained will be called when the queue falls to it after having
 * been above. A new client may not subscribe before live_client_set_user. Borrows `io` and
 * `socket`. */
LiveClient *live_client_new(LiveLoop *loop, const LiveSocket *io, void *socket,
                            size_t queue_drained_mark, bool compress);
/* Copies the texts. subscriptions_max: of this user, on all connections together. False when the
 * user was dropped or got another role since it was looked up: nothing may be asked for then. Later
 * such changes end all and close the socket. */
bool live_client_set_user(LiveClient *client, const LiveUser *user, const LiveFeatures *features,
                          uint32_t subscriptions_max);
/* Ends all its subscriptions without a word. Accepts NULL. */
void live_client_free(LiveClient *client);
/* The queue is short again: what waited for it goes on. */
void live_client_drained(LiveClient *client);
/* LIVE_CONNECTION_ID_BYTES hex digits, as system.live shows them; lives as long as the client. For
 * tests, which know their connections there by it. */
const char *live_client_connection_id(const LiveClient *client);
/* Any frame came from the client: what last_ping_at shows. */
void live_client_touched(LiveClient *client);
/* {"type":"error", …}: also for errors that are not about a subscription. */
void live_client_error(LiveClient *client, Slice subscription_id, const char *code,
                       const char *message);
/* Says this code to all clients of the loop. */
void live_loop_close_clients(LiveLoop *loop, int code, const char *reason);

typedef struct LiveRequest {
    Slice id, sql;
    const Value *params; /* $1 is params[0] */
    size_t param_count;
    bool has_options; /* false: no first rows, changes only */
    bool has_batch_size, has_last_rows, has_from;
    uint64_t batch_size, last_rows, from;
} LiveRequest;

/* Answers with subscription_ack and what follows it, or with an error message. The same id again
 * replaces. */
void live_subscribe(LiveClient *client, const LiveRequest *request);
/* No answer; an unknown id is nothing. */
void live_unsubscribe(LiveClient *client, Slice id);

/* One subscription as system.live shows it; texts in the arena. */
typedef struct LiveInfo {
    Slice subscription_id, namespace_name, table_name, user_id, query;
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    const char *status; /* "loading", "catching_up", "live" */
    int64_t created_at_us, last_update_us, last_ping_us;
    uint64_t changes;
    uint64_t lag_ms; /* how much older what it has seen is than the newest commit; 0 while live */
    uint64_t queued_bytes; /* of its connection, at most a second ago */
    uint64_t sent_bytes, reads;
    uint64_t changes_per_s; /* since it began */
    bool has_options;
    LiveRequest options;
} LiveInfo;
/* All subscriptions, in no particular order. Any thread. */
void live_list(LiveHub *hub, Arena *arena, LiveInfo **out, size_t *out_count);

/* Ends the subscription that system.live shows as `live_id` with `error` KILLED: any for
 * administrators, others only their own (E_NOT_FOUND). It ends soon after. Any thread. */
CHECKED Code live_kill(LiveHub *hub, Slice live_id, uint64_t user, Role role, Error *e);

typedef struct LiveStats {
    uint64_t subscriptions, sent, fallbacks,
        reads; /* fallbacks: live subscriptions that fell back to catch-up */
} LiveStats;
/* Any thread. */
void live_stats(LiveHub *hub, LiveStats *out);
