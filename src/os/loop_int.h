/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of a loop, for os/ only.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "os/loop.h"

enum { LOOP_READ_BYTES = 64 * 1024 };

/* Things that must be closed before the loop can go: streams, listeners, timers. */
typedef struct LoopLink {
    struct LoopLink *next, *previous;
} LoopLink;

struct Loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t turn_end;     /* runs after all callbacks of a turn, before the loop sleeps */
    _Atomic(LoopTask *) inbox; /* newest first; pushed by any thread, taken whole by the loop */
    atomic_bool stopping;
    pthread_t thread;
    bool has_thread;
    void *user;
    struct TcpStream *dirty;             /* streams with something to send this turn */
    LoopLink streams, listeners, timers; /* rings */
    uv_signal_t *signals[LOOP_SIGNALS_MAX];
    int signal_count;
    char read_block[LOOP_READ_BYTES]; /* one for all: a read is consumed before the next */
};

static inline void loop__link(LoopLink *ring, LoopLink *link)
{
    link->next = ring->next;
    link->previous = ring;
    ring->next->previous = link;
    ring->next = link;
}

static inline void loop__unlink(LoopLink *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link->next = link->previous = link;
}

/* Fills *e from a libuv result. */
CHECKED Code loop__fail(Error *e, int uv_result, const char *what);
/* Sends what the streams of this loop have queued (tcp.c). */
void tcp__flush_dirty(Loop *loop);
/* Aborts all streams and closes all listeners (tcp.c). */
void tcp__close_all(Loop *loop);
