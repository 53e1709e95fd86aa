/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop on libuv.
 *
 * Invariants
 * I1  One wake-up per batch: only the push that finds the inbox empty sends one, and the loop takes
 *     the whole inbox at once.
 * I2  Tasks run in the order of posting. One posted by a task runs in a later batch.
 * I3  Streams are flushed once a turn, in the prepare phase: after timers, reads and tasks, before
 *     the loop sleeps. Nothing that queues bytes runs between that and sleeping.
 */
#include "os/loop_int.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"

struct LoopTimer {
    uv_timer_t uv;
    LoopLink link;
    Loop *loop;
    void (*run)(void *context);
    void *context;
    bool is_freed;
};

typedef struct PostedCall {
    LoopTask task;
    void (*run)(void *argument);
    void *argument;
} PostedCall;

typedef struct SignalWatch {
    uv_signal_t uv;
    void (*run)(void *context, int signal);
    void *context;
} SignalWatch;

Code loop__fail(Error *e, int uv_result, const char *what)
{
    return fail(e, E_IO, "%s: %s", what, uv_strerror(uv_result));
}

/* Acquire pairs with the release of the push: the task's contents are visible. */
static void run_inbox(Loop *loop)
{
    LoopTask *newest = atomic_exchange_explicit(&loop->inbox, NULL, memory_order_acquire);
    LoopTask *oldest = NULL;
    while (newest) { /* I2 */
        LoopTask *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest) {
        LoopTask *task = oldest;
        oldest = task->next;
        task->run(task); /* may free the task or post it again */
    }
}

static void on_wake(uv_async_t *wake)
{
    Loop *loop = (Loop *)wake->data;
    run_inbox(loop);
    if (atomic_load_explicit(&loop->stopping, memory_order_acquire))
        uv_stop(&loop->uv);
}

static void on_turn_end(uv_prepare_t *prepare)
{
    tcp__flush_dirty((Loop *)prepare->data); /* I3 */
}

Code loop_new(Loop **out_loop, Error *e)
{
    signal(SIGPIPE, SIG_IGN); /* a client that has left is an error of the write, not our end */
    Loop *loop = x_new(Loop);
    int result = uv_loop_init(&loop->uv);
    if (result) {
        free(loop);
        return loop__fail(e, result, "event loop");
    }
    loop->streams = (LoopLink){&loop->streams, &loop->streams};
    loop->listeners = (LoopLink){&loop->listeners, &loop->listeners};
    loop->timers = (LoopLink){&loop->timers, &loop->timers};
    loop->wake.data = loop->turn_end.data = loop;
    result = uv_async_init(&loop->uv, &loop->wake, on_wake);
    if (result) {
        uv_loop_close(&loop->uv);
        free(loop);
        return loop__fail(e, result, "event loop wake-up");
    }
    uv_prepare_init(&loop->uv, &loop->turn_end);
    uv_prepare_start(&loop->turn_end, on_turn_end);
    *out_loop = loop;
    return OK;
}

static void free_signal(uv_handle_t *handle)
{
    free(handle);
}

void loop_free(Loop *loop)
{
    if (!loop)
        return;
    must(!loop->has_thread);
    run_inbox(loop);
    tcp__close_all(loop);
    while (loop->timers.next != &loop->timers)
        loop_timer_free((LoopTimer *)((char *)loop->timers.next - offsetof(LoopTimer, link)));
    for (int i = 0; i < loop->signal_count; i++)
        uv_close((uv_handle_t *)loop->signals[i], free_signal);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->turn_end, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    run_inbox(loop);
    must(uv_loop_close(&loop->uv) == 0);
    free(loop);
}

void loop_settle(Loop *loop)
{
    must(!loop->has_thread);
    while (atomic_load_explicit(&loop->inbox, memory_order_acquire))
        run_inbox(loop);
}

void loop_run(Loop *loop)
{
    while (!atomic_load_explicit(&loop->stopping, memory_order_acquire))
        uv_run(&loop->uv, UV_RUN_DEFAULT);
    atomic_store_explicit(&loop->stopping, false, memory_order_relaxed);
}

void loop_stop(Loop *loop)
{
    atomic_store_explicit(&loop->stopping, true, memory_order_release);
    uv_async_send(&loop->wake);
}

static void *thread_main(void *argument)
{
    loop_run((Loop *)argument);
    return NULL;
}

Code loop_thread_start(Loop *loop, const char *name, Error *e)
{
    must(!loop->has_thread);
    int result = pthread_create(&loop->thread, NULL, thread_main, loop);
    if (result)
        return fail(e, E_IO, "thread %s: %s", name, strerror(result));
    char short_name[16]; /* the kernel's limit */
    snprintf(short_name, sizeof short_name, "%s", name);
    pthread_setname_np(loop->thread, short_name);
    loop->has_thread = true;
    return OK;
}

void loop_thread_join(Loop *loop)
{
    if (!loop->has_thread)
        return;
    loop_stop(loop);
    pthread_join(loop->thread, NULL);
    loop->has_thread = false;
}

uint64_t loop_now_ms(const Loop *loop)
{
    return uv_now(&loop->uv);
}

void loop_set_user(Loop *loop, void *user)
{
    loop->user = user;
}

void *loop_user(const Loop *loop)
{
    return loop->user;
}

/* Release: what the sender wrote before is there when the task runs. */
void loop_post_task(Loop *loop, LoopTask *task)
{
    LoopTask *top = atomic_load_explicit(&loop->inbox, memory_order_relaxed);
    do {
        task->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&loop->inbox, &top, task, memory_order_release,
                                                    memory_order_relaxed));
    if (!top)
        uv_async_send(&loop->wake); /* I1 */
}

static void run_posted(LoopTask *task)
{
    PostedCall call = *(PostedCall *)task;
    free(task);
    call.run(call.argument);
}

void loop_post(Loop *loop, void (*run)(void *argument), void *argument)
{
    PostedCall *call = x_new(PostedCall);
    *call = (PostedCall){{NULL, run_posted}, run, argument};
    loop_post_task(loop, &call->task);
}

static void on_timer(uv_timer_t *uv)
{
    LoopTimer *timer = (LoopTimer *)uv;
    timer->run(timer->context);
}

LoopTimer *loop_timer_new(Loop *loop, void (*run)(void *context), void *context)
{
    LoopTimer *timer = x_new(LoopTimer);
    timer->loop = loop;
    timer->run = run;
    timer->context = context;
    uv_timer_init(&loop->uv, &timer->uv);
    loop__link(&loop->timers, &timer->link);
    return timer;
}

void loop_timer_start(LoopTimer *timer, uint64_t delay_ms, uint64_t repeat_ms)
{
    must(!timer->is_freed);
    uv_timer_start(&timer->uv, on_timer, delay_ms, repeat_ms);
}

void loop_timer_stop(LoopTimer *timer)
{
    uv_timer_stop(&timer->uv);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle);
}

void loop_timer_free(LoopTimer *timer)
{
    if (!timer)
        return;
    must(!timer->is_freed);
    timer->is_freed = true;
    loop__unlink(&timer->link);
    uv_close((uv_handle_t *)&timer->uv, on_timer_closed);
}

static void on_signal(uv_signal_t *uv, int signal)
{
    SignalWatch *watch = (SignalWatch *)uv;
    watch->run(watch->context, signal);
}

Code loop_on_signal(Loop *loop, int signal, void (*run)(void *context, int signal), void *context,
                    Error *e)
{
    must(loop->signal_count < LOOP_SIGNALS_MAX);
    SignalWatch *watch = x_new(SignalWatch);
    watch->run = run;
    watch->context = context;
    uv_signal_init(&loop->uv, &watch->uv);
    loop->signals[loop->signal_count++] = &watch->uv;
    int result = uv_signal_start(&watch->uv, on_signal, signal);
    return result ? loop__fail(e, result, "signal") : OK;
}
