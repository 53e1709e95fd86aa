/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run of the checker works on: a database with loops, SQL on it, and clients with sockets
 * that can stall.
 */
#pragma once

#include <jansson.h>

#include "exec/exec.h"
#include "live/live.h"

enum {
    FOLLOWERS = 21, /* clients of books */
    STREAM_FOLLOWERS = 4,
    LINKS = FOLLOWERS + STREAM_FOLLOWERS,
    LOOPS = 2,
    WORKERS = 2,
    FEED_WINDOW_S = 8,
    STREAM_TTL_S = 4,
};

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

typedef enum Who { ANNA, BERT, ROOT } Who;

void world_open(const char *folder);
void world_close(void);
/* The first failure ends the run. */
void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t random_of(uint64_t *state);
LiveUser user_of(Who who);
CHECKED Code sql_run(Who who, const char *sql, const ResultSink *sink, Error *e);
/* As an administrator; fails the run. */
void sql_must(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Calls `row` for each row; a failure ends the run. */
void sql_each(Who who, const char *sql, void (*row)(void *context, const Value *values),
              void *context);
void on_loop(int loop, void (*run)(void *argument), void *argument);

/* ---- link.c: sockets of clients; all but the last belong to the main thread ---- */

/* What a client makes of its socket. Under the lock, but for `compose`. */
typedef struct LinkUser {
    void (*compose)(int link, LiveRequest *out); /* what to ask for, from what it knows */
    void (*take)(int link, const char *type, const json_t *message);
    void (*forget)(int link);
} LinkUser;

void link_use(int link, const LinkUser *user, Who who, bool replay);
void link_connect(int link);
void link_disconnect(int link);
void link_stall(int link);
void link_unstall(int link);
int64_t link_stalled_us(int link); /* for how long */
void link_anew(int link);
/* Comes back when its subscription was ended. */
void link_tend(int link);
bool link_is_connected(int link);
/* The subscription has ended; with `forgets` it is to start anew. Under the lock. */
void link_ended(int link, bool forgets);
/* Of a JSON number or text. */
uint64_t number_of(const json_t *object, const char *name);
