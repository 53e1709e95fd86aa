/* SPDX-License-Identifier: Apache-2.0
 *
 * The work queue is a ring under one mutex: tasks cost at least tens of microseconds, so the lock
 * is not what limits them. The worker threads take from it until it is closed and empty.
 *
 * I1: count <= tasks_max. I2: once closed, a queue never opens again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "os/thread.h"

typedef struct WorkQueue {
    Mutex lock;
    Cond filled;
    size_t tasks_max;
    size_t first; /* guarded by lock, as is all below */
    size_t count;
    bool closed;
    Task tasks[];
} WorkQueue;

static WorkQueue *queue_new(size_t tasks_max)
{
    must(tasks_max > 0);
    WorkQueue *queue = x_new_bytes(sizeof *queue + tasks_max * sizeof(Task));
    mutex_init(&queue->lock);
    cond_init(&queue->filled);
    queue->tasks_max = tasks_max;
    return queue;
}

static void queue_free(WorkQueue *queue)
{
    cond_done(&queue->filled);
    mutex_done(&queue->lock);
    free(queue);
}

static bool queue_push(WorkQueue *queue, Task task)
{
    MUTEX_SCOPE(&queue->lock);
    must(queue->count <= queue->tasks_max); /* I1 */
    if (queue->closed || queue->count == queue->tasks_max)
        return false;
    queue->tasks[(queue->first + queue->count++) % queue->tasks_max] = task;
    cond_signal(&queue->filled);
    return true;
}

/* Waits for a task; false when the queue is closed and empty. */
static bool queue_take(WorkQueue *queue, Task *out_task)
{
    MUTEX_SCOPE(&queue->lock);
    while (queue->count == 0 && !queue->closed)
        cond_wait(&queue->filled, &queue->lock);
    if (queue->count == 0)
        return false;
    *out_task = queue->tasks[queue->first];
    queue->first = (queue->first + 1) % queue->tasks_max;
    queue->count--;
    return true;
}

/* Refuses further pushes and wakes the takers, who still get what is in it. */
static void queue_close(WorkQueue *queue)
{
    MUTEX_SCOPE(&queue->lock);
    queue->closed = true;
    cond_broadcast(&queue->filled);
}

static size_t queue_count(WorkQueue *queue)
{
    MUTEX_SCOPE(&queue->lock);
    return queue->count;
}

struct Workers {
    WorkQueue *queue;
    int started;
    Thread *threads[];
};

static void worker_main(void *argument)
{
    Workers *workers = argument;
    Task task;
    while (queue_take(workers->queue, &task))
        task.run(task.argument);
}

Code workers_start(const char *name, ThreadKind kind, int threads, size_t tasks_max,
                   Workers **out_workers, Error *e)
{
    must(threads > 0);
    Workers *workers = x_new_bytes(sizeof *workers + (size_t)threads * sizeof(Thread *));
    workers->queue = queue_new(tasks_max);
    for (int i = 0; i < threads; i++) {
        char numbered[32];
        snprintf(numbered, sizeof numbered, "%s-%d", name, i);
        Code code = thread_start(numbered, kind, worker_main, workers, &workers->threads[i], e);
        if (code != OK) {
            workers_stop(workers);
            return code;
        }
        workers->started++;
    }
    *out_workers = workers;
    return OK;
}

bool workers_push(Workers *workers, Task task)
{
    return queue_push(workers->queue, task);
}

size_t workers_waiting(Workers *workers)
{
    return queue_count(workers->queue);
}

void workers_finish(Workers *workers)
{
    if (!workers)
        return;
    queue_close(workers->queue);
    while (workers->started > 0)
        thread_join(workers->threads[--workers->started]);
}

void workers_stop(Workers *workers)
{
    if (!workers)
        return;
    workers_finish(workers);
    queue_free(workers->queue);
    free(workers);
}
