/* SPDX-License-Identifier: Apache-2.0
 *
 * Thin wrappers over pthread. A failing lock call is a programmer's mistake (a destroyed or foreign
 * lock) and aborts.
 */
#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/os_int.h"

enum {
    NAME_BYTES = 16,
    STACK_BYTES = 8 * 1024 * 1024,
    JOBS_NICENESS = 10,                /* flush and compaction give way to statements */
    JOBS_SLICE_NS = 100 * 1000 * 1000, /* the longest there is */
};

struct Thread {
    pthread_t handle;
    ThreadFunction *run;
    void *argument;
    ThreadKind kind;
    char name[NAME_BYTES];
};

static _Thread_local ThreadKind this_kind = THREAD_ANY;

ThreadKind thread_kind(void)
{
    return this_kind;
}

/* As sched_setattr(2) takes it. Not all versions of glibc know it. */
typedef struct Attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
} Attributes;

/* Niceness counts only among the threads of a session or cgroup; between those of it and others,
 * say the kernel's own that end the sync of a log, the length of the slice does: who asked for a
 * long one is interrupted at once for who wakes with a shorter one, else at the next tick. Linux
 * older than 6.12 ignores the slice; what is refused is done without. */
static void give_way(void)
{
    Attributes attributes = {.size = sizeof attributes,
                             .policy = SCHED_OTHER,
                             .nice = JOBS_NICENESS,
                             .slice_ns = JOBS_SLICE_NS};
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), JOBS_NICENESS); /* on Linux the thread's own */
    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

static void *thread_main(void *argument)
{
    Thread *thread = argument;
    this_kind = thread->kind;
    pthread_setname_np(pthread_self(), thread->name);
    if (thread->kind == THREAD_JOBS)
        give_way();
    thread->run(thread->argument);
    return NULL;
}

Code thread_start(const char *name, ThreadKind kind, ThreadFunction *run, void *argument,
                  Thread **out_thread, Error *e)
{
    Thread *thread = x_new(Thread);
    thread->run = run;
    thread->argument = argument;
    thread->kind = kind;
    snprintf(thread->name, sizeof thread->name, "%s", name);

    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    int status = pthread_create(&thread->handle, &attributes, thread_main, thread);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status != 0) {
        free(thread);
        return fail(e, E_BUSY, "cannot start thread %s: %s", name, strerror(status));
    }
    *out_thread = thread;
    return OK;
}

void thread_join(Thread *thread)
{
    if (!thread)
        return;
    must(pthread_join(thread->handle, NULL) == 0);
    free(thread);
}

int os_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

size_t os_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    unsigned long total = 0, resident = 0;
    int fields = fscanf(file, "%lu %lu", &total, &resident);
    fclose(file);
    return fields == 2 ? (size_t)resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

#ifdef KALAM_DEBUG
#define IN_DEBUG(call) call
#else
#define IN_DEBUG(call) ((void)0)
#endif

void mutex__init(Mutex *mutex, LockPlace place)
{
    (void)place;
    IN_DEBUG(mutex->place = place);
    must(pthread_mutex_init(&mutex->handle, NULL) == 0);
}

void mutex_done(Mutex *mutex)
{
    must(pthread_mutex_destroy(&mutex->handle) == 0);
}

void mutex_lock(Mutex *mutex)
{
    IN_DEBUG(os__order_take(&mutex->place));
    must(pthread_mutex_lock(&mutex->handle) == 0);
}

void mutex_unlock(Mutex *mutex)
{
    must(pthread_mutex_unlock(&mutex->handle) == 0);
    IN_DEBUG(os__order_release(&mutex->place));
}

void mutex_none_held(void)
{
    IN_DEBUG(os__order_none());
}

Mutex *mutex__lock_scope(Mutex *mutex)
{
    mutex_lock(mutex);
    return mutex;
}

void mutex__unlock_scope(Mutex **mutex)
{
    mutex_unlock(*mutex);
}

void cond_init(Cond *cond)
{
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes) == 0);
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    must(pthread_cond_init(&cond->handle, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
}

void cond_done(Cond *cond)
{
    must(pthread_cond_destroy(&cond->handle) == 0);
}

void cond_wait(Cond *cond, Mutex *mutex)
{
    IN_DEBUG(os__order_wait(&mutex->place));
    must(pthread_cond_wait(&cond->handle, &mutex->handle) == 0);
}

bool cond_wait_until(Cond *cond, Mutex *mutex, int64_t deadline_us)
{
    IN_DEBUG(os__order_wait(&mutex->place));
    if (deadline_us < 0)
        deadline_us = 0;
    struct timespec until = {.tv_sec = deadline_us / 1000000,
                             .tv_nsec = (deadline_us % 1000000) * 1000};
    int status = pthread_cond_timedwait(&cond->handle, &mutex->handle, &until);
    must(status == 0 || status == ETIMEDOUT);
    return status == 0;
}

void cond_signal(Cond *cond)
{
    must(pthread_cond_signal(&cond->handle) == 0);
}

void cond_broadcast(Cond *cond)
{
    must(pthread_cond_broadcast(&cond->handle) == 0);
}
