/* SPDX-License-Identifier: Apache-2.0
 *
 * An event loop: one thread that sleeps until a socket, a timer, a signal or another thread has
 * something for it. Nothing that runs on a loop may block.
 *
 * Everything here belongs to the loop's own thread, except the functions marked "any thread".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/slice.h"

typedef struct Loop Loop;

/* Ready to run on whichever thread calls loop_run. E_IO when descriptors are out. */
CHECKED Code loop_new(Loop **out_loop, Error *e);
/* Not while it runs. Streams, listeners and timers left are closed, tasks left are run. Accepts
 * NULL. */
void loop_free(Loop *loop);

/* Runs what was posted until nothing is left, on this thread; for the end, when no other runs the
 * loop and nobody else posts. */
void loop_settle(Loop *loop);

/* Runs until loop_stop. */
void loop_run(Loop *loop);
/* Any thread. The turn under way is finished first. */
void loop_stop(Loop *loop);
/* A thread of its own for loop_run; loop_thread_join stops the loop and waits for the thread. */
CHECKED Code loop_thread_start(Loop *loop, const char *name, Error *e);
void loop_thread_join(Loop *loop);

/* Milliseconds of a monotonic clock, taken once a turn. */
uint64_t loop_now_ms(const Loop *loop);
/* Room for what the layer above wants to find again from a loop; borrowed. */
void loop_set_user(Loop *loop, void *user);
void *loop_user(const Loop *loop);

/* -- work from other threads ------------------------------------------------------------------ */

/* A task is part of the thing it is about, so handing it over allocates nothing and cannot fail.
 * It may be posted again once it runs. Bounds are the sender's: every task belongs to a request,
 * a commit or a job that met its own limit before. */
typedef struct LoopTask {
    struct LoopTask *next; /* the inbox's */
    void (*run)(struct LoopTask *task);
} LoopTask;

/* Any thread. Runs on the loop's thread in the order of posting; one wake-up per batch. */
void loop_post_task(Loop *loop, LoopTask *task);
/* The same for when there is nothing to embed a task in: allocates one. Any thread. */
void loop_post(Loop *loop, void (*run)(void *argument), void *argument);

/* -- timers ----------------------------------------------------------------------------------- */

typedef struct LoopTimer LoopTimer;
/* `context` is borrowed. */
LoopTimer *loop_timer_new(Loop *loop, void (*run)(void *context), void *context);
/* Fires after delay_ms, then every repeat_ms (0 = once). Starting again replaces the old time. */
void loop_timer_start(LoopTimer *timer, uint64_t delay_ms, uint64_t repeat_ms);
void loop_timer_stop(LoopTimer *timer);
/* Also from within its own callback. Accepts NULL. */
void loop_timer_free(LoopTimer *timer);

/* -- signals ---------------------------------------------------------------------------------- */

enum { LOOP_SIGNALS_MAX = 8 };
/* Calls `run` on this loop whenever the process gets the signal. */
CHECKED Code loop_on_signal(Loop *loop, int signal, void (*run)(void *context, int signal),
                            void *context, Error *e);
