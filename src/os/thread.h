/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads, locks and the bounded queue by which work crosses from one thread to another.
 * Lock ranks are listed in docs/locks.md. All of it is thread-safe except init and done.
 */
#pragma once

#include <pthread.h>

#include "base/error.h"

/* What a thread is for. A function tied to one kind starts with `on_thread(LOOP);`. Threads that
 * were not given a kind (main, tests) pass every such check. */
typedef enum ThreadKind {
    THREAD_ANY = 0,
    THREAD_LOOP,      /* network; never blocks */
    THREAD_WORKER,    /* statements that may block */
    THREAD_COMMITTER, /* the one that writes commits */
    THREAD_JOBS,      /* flush, expire, purge: at a lower priority (nice 10) */
} ThreadKind;

typedef struct Thread Thread;
typedef void ThreadFunction(void *argument);

/* Starts a thread; `name` shows in top and gdb (15 bytes are kept). Signals are blocked in it, so
 * that they reach the thread that waits for them. Returns a new Thread; E_BUSY when the system has
 * no room. */
CHECKED Code thread_start(const char *name, ThreadKind kind, ThreadFunction *run, void *argument,
                          Thread **out_thread, Error *e);
/* Waits until it ends, then frees it. Accepts NULL. */
void thread_join(Thread *thread);
ThreadKind thread_kind(void);
#define on_thread(wanted) must(thread_kind() == THREAD_##wanted || thread_kind() == THREAD_ANY)

/* CPUs this process may use, at least 1. */
int os_cpu_count(void);
/* Resident bytes of this process, 0 when the system does not say. */
size_t os_resident_bytes(void);

/* The order of locks: docs/locks.md. A lock may be taken by who holds none, or only locks of a
 * lower rank; builds with KALAM_DEBUG abort where that is broken, others know no ranks. */
typedef enum LockRank {
    LOCK_CALLER = 1,    /* of a program around the engine; held while it calls the engine */
    LOCK_STATEMENT = 2, /* exec/duck.c; held while rows are read */
    LOCK_LEAF = 3,      /* all others: whoever holds one takes no other */
} LockRank;

typedef struct LockPlace {
    LockRank rank;
    const char *name;
    const char *file;
    int line;
} LockPlace;

typedef struct Mutex {
    pthread_mutex_t handle;
#ifdef KALAM_DEBUG
    LockPlace place;
#endif
} Mutex;

void mutex__init(Mutex *mutex, LockPlace place);
#define mutex_init_ranked(mutex, rank) \
    mutex__init((mutex), (LockPlace){(rank), #mutex, __FILE__, __LINE__})
#define mutex_init(mutex) mutex_init_ranked(mutex, LOCK_LEAF)
void mutex_done(Mutex *mutex);
void mutex_lock(Mutex *mutex);
void mutex_unlock(Mutex *mutex);
/* Aborts when this thread holds a lock; nothing without KALAM_DEBUG. For what may wait long. */
void mutex_none_held(void);
/* MUTEX_SCOPE(&x->lock); holds the lock to the end of the block. */
Mutex *mutex__lock_scope(Mutex *mutex);
void mutex__unlock_scope(Mutex **mutex);
#define MUTEX_SCOPE_NAME(line) mutex_scope_##line
#define MUTEX_SCOPE_AT(mutex, line) \
    CLEANUP(mutex__unlock_scope)    \
    __attribute__((unused)) Mutex *MUTEX_SCOPE_NAME(line) = mutex__lock_scope(mutex)
#define MUTEX_SCOPE(mutex) MUTEX_SCOPE_AT(mutex, __LINE__)

typedef struct Cond {
    pthread_cond_t handle;
} Cond;

void cond_init(Cond *cond);
void cond_done(Cond *cond);
/* May wake for no reason: test the condition in a loop. */
void cond_wait(Cond *cond, Mutex *mutex);
/* The same until clock_monotonic_us() reaches `deadline_us`; false when it did. Uses the real
 * clock. */
bool cond_wait_until(Cond *cond, Mutex *mutex, int64_t deadline_us);
void cond_signal(Cond *cond);
void cond_broadcast(Cond *cond);

/* A unit of work: runs once, on some thread of the taker's. It owns its argument. */
typedef struct Task {
    ThreadFunction *run;
    void *argument;
} Task;

/* Threads that take tasks from one bounded queue, first in first out, and run them. */
typedef struct Workers Workers;

CHECKED Code workers_start(const char *name, ThreadKind kind, int threads, size_t tasks_max,
                           Workers **out_workers, Error *e);
/* False when full or finished: the task stays the caller's, who answers E_BUSY. Never blocks. */
bool workers_push(Workers *workers, Task task);
/* Tasks that wait. */
size_t workers_waiting(Workers *workers);
/* Runs what was pushed and joins the threads; whatever is pushed from then on is refused. Accepts
 * NULL. */
void workers_finish(Workers *workers);
/* The same, and frees. Accepts NULL. */
void workers_stop(Workers *workers);
