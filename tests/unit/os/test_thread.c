/* SPDX-License-Identifier: Apache-2.0 */
#include "os/thread.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "os/clock.h"
#include "test.h"

static atomic_int runs;

static void count_run(void *argument)
{
    (void)argument;
    atomic_fetch_add(&runs, 1);
}

static void check_kind(void *argument)
{
    on_thread(WORKER);
    *(ThreadKind *)argument = thread_kind();
}

TEST("a thread runs with its kind and can be joined")
{
    ThreadKind kind = THREAD_ANY;
    Thread *thread;
    CHECK_OK(thread_start("a-name-longer-than-15", THREAD_WORKER, check_kind, &kind, &thread, e));
    thread_join(thread);
    thread_join(NULL);
    CHECK_INT(kind, THREAD_WORKER);
    CHECK_INT(thread_kind(), THREAD_ANY);
}

TEST("a full or closed queue refuses, a closed one still gives what it holds, in order")
{
    int items[3];
    WorkQueue *queue = work_queue_new(2);
    CHECK(work_queue_push(queue, (Task){count_run, &items[0]}));
    CHECK(work_queue_push(queue, (Task){count_run, &items[1]}));
    CHECK(!work_queue_push(queue, (Task){count_run, &items[2]}));
    CHECK_INT(work_queue_count(queue), 2);
    Task task;
    CHECK(work_queue_take(queue, &task));
    CHECK(task.argument == &items[0]);
    CHECK(work_queue_push(queue, (Task){count_run, &items[2]}));
    work_queue_close(queue);
    CHECK(!work_queue_push(queue, (Task){count_run, &items[0]}));
    CHECK(work_queue_take(queue, &task) && task.argument == &items[1]);
    CHECK(work_queue_take(queue, &task) && task.argument == &items[2]);
    CHECK(!work_queue_take(queue, &task));
    work_queue_free(queue);
}

enum { PUSHERS = 3, TASKS_EACH = 2000 };

static void push_many(void *argument)
{
    for (int i = 0; i < TASKS_EACH;) {
        if (workers_push(argument, (Task){count_run, NULL}))
            i++;
    }
}

TEST("with many pushers and takers every task runs exactly once")
{
    atomic_store(&runs, 0);
    Workers *workers;
    CHECK_OK(workers_start("worker", THREAD_WORKER, 3, 16, &workers, e));
    Thread *pushers[PUSHERS];
    for (int i = 0; i < PUSHERS; i++)
        CHECK_OK(thread_start("pusher", THREAD_ANY, push_many, workers, &pushers[i], e));
    for (int i = 0; i < PUSHERS; i++)
        thread_join(pushers[i]);
    workers_stop(workers);
    CHECK_INT(atomic_load(&runs), PUSHERS * TASKS_EACH);
}

typedef struct Gate {
    Mutex lock;
    Cond opened;
    bool open; /* guarded by lock */
} Gate;

static void open_gate(void *argument)
{
    Gate *gate = argument;
    MUTEX_SCOPE(&gate->lock);
    gate->open = true;
    cond_broadcast(&gate->opened);
}

TEST("a waiter is woken, and a deadline that has passed is reported")
{
    Gate gate = {.open = false};
    mutex_init(&gate.lock);
    cond_init(&gate.opened);
    Thread *thread;
    mutex_lock(&gate.lock);
    CHECK(!cond_wait_until(&gate.opened, &gate.lock, 0));
    CHECK(!cond_wait_until(&gate.opened, &gate.lock, clock_monotonic_us() - 5));
    CHECK_OK(thread_start("opener", THREAD_ANY, open_gate, &gate, &thread, e));
    while (!gate.open)
        cond_wait(&gate.opened, &gate.lock);
    mutex_unlock(&gate.lock);
    thread_join(thread);
    cond_done(&gate.opened);
    mutex_done(&gate.lock);
}

TEST("the system answers how large it is")
{
    CHECK(os_cpu_count() >= 1);
    CHECK(os_resident_bytes() > 100000);
}
