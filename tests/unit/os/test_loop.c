/* SPDX-License-Identifier: Apache-2.0
 *
 * The event loop: tasks from other threads, timers, signals, and the end.
 */
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/arena.h"
#include "os/loop.h"

enum { SENDERS = 4, TASKS_EACH = 2000 };

typedef struct Inbox {
    Loop *loop;
    pthread_t thread; /* that runs it */
    int got, last[SENDERS];
    bool in_order;
} Inbox;

typedef struct NumberedTask {
    LoopTask task;
    Inbox *inbox;
    int sender, number;
} NumberedTask;

static void on_task(LoopTask *task)
{
    NumberedTask *t = (NumberedTask *)task;
    Inbox *inbox = t->inbox;
    if (t->number != inbox->last[t->sender] + 1 || !pthread_equal(pthread_self(), inbox->thread))
        inbox->in_order = false;
    inbox->last[t->sender] = t->number;
    if (++inbox->got == SENDERS * TASKS_EACH)
        loop_stop(inbox->loop);
    free(t);
}

typedef struct Sender {
    Inbox *inbox;
    int index;
} Sender;

static void *send_all(void *argument)
{
    Sender *sender = (Sender *)argument;
    for (int i = 1; i <= TASKS_EACH; i++) {
        NumberedTask *t = x_new(NumberedTask);
        *t = (NumberedTask){{NULL, on_task}, sender->inbox, sender->index, i};
        loop_post_task(sender->inbox->loop, &t->task);
    }
    return NULL;
}

TEST("tasks posted by several threads are lost, doubled or run out of order")
{
    Inbox inbox = {.in_order = true, .thread = pthread_self()};
    CHECK_OK(loop_new(&inbox.loop, e));
    pthread_t threads[SENDERS];
    Sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (Sender){&inbox, i};
        CHECK_INT(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    loop_run(inbox.loop);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(inbox.in_order);
    CHECK_INT(inbox.got, SENDERS * TASKS_EACH);
    loop_free(inbox.loop);
}

static void count(void *argument)
{
    ++*(int *)argument;
}

TEST("a task posted before the loop goes is forgotten")
{
    Loop *loop;
    int ran = 0;
    CHECK_OK(loop_new(&loop, e));
    loop_post(loop, count, &ran);
    loop_free(loop);
    CHECK_INT(ran, 1);
}

typedef struct Ticker {
    Loop *loop;
    LoopTimer *timer, *stopped;
    int ticks;
} Ticker;

static void on_tick(void *context)
{
    Ticker *ticker = (Ticker *)context;
    if (++ticker->ticks == 3) {
        loop_timer_free(ticker->timer); /* from its own callback */
        loop_stop(ticker->loop);
    }
}

TEST("a repeating timer stops early, or a stopped one fires")
{
    Ticker ticker = {0};
    CHECK_OK(loop_new(&ticker.loop, e));
    int fired = 0;
    ticker.timer = loop_timer_new(ticker.loop, on_tick, &ticker);
    ticker.stopped = loop_timer_new(ticker.loop, count, &fired);
    loop_timer_start(ticker.stopped, 0, 0);
    loop_timer_stop(ticker.stopped);
    loop_timer_start(ticker.timer, 0, 1);
    loop_run(ticker.loop);
    CHECK_INT(ticker.ticks, 3);
    CHECK_INT(fired, 0);
    loop_free(ticker.loop); /* frees the timer that is left */
}

static void on_signal(void *context, int number)
{
    if (number == SIGUSR1)
        loop_stop((Loop *)context);
}

TEST("a signal to the process does not reach the loop")
{
    Loop *loop;
    CHECK_OK(loop_new(&loop, e));
    CHECK_OK(loop_on_signal(loop, SIGUSR1, on_signal, loop, e));
    raise(SIGUSR1);
    loop_run(loop);
    loop_free(loop);
}

TEST("a loop thread cannot be stopped and joined")
{
    Loop *loop;
    CHECK_OK(loop_new(&loop, e));
    loop_set_user(loop, &loop);
    CHECK(loop_user(loop) == &loop);
    CHECK_OK(loop_thread_start(loop, "test", e));
    loop_thread_join(loop);
    loop_free(loop);
    loop_free(NULL);
}

typedef struct Chain {
    LoopTask task;
    Loop *loop;
    int left;
} Chain;

static void run_chain(LoopTask *task)
{
    Chain *chain = (Chain *)task;
    if (--chain->left > 0)
        loop_post_task(chain->loop, task);
}

TEST("a loop that is settled leaves tasks that its tasks have posted")
{
    Loop *loop;
    CHECK_OK(loop_new(&loop, e));
    Chain chain = {{NULL, run_chain}, loop, 5};
    loop_settle(loop);
    loop_post_task(loop, &chain.task);
    loop_settle(loop);
    CHECK_INT(chain.left, 0);
    loop_free(loop);
}
