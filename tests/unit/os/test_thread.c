/* SPDX-License-Identifier: Apache-2.0 */
#include "os/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/clock.h"
#include "os/os_int.h"
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

enum { PUSHERS = 3, TASKS_EACH = 2000 };

typedef struct Weight { /* as the scheduler has it */
    int nice;
    uint64_t slice_ns; /* 0: a kernel that does not say */
} Weight;

static void weigh(void *argument)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t slice_ns, deadline_ns, period_ns;
    } attributes = {0};
    (void)syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0);
    *(Weight *)argument = (Weight){getpriority(PRIO_PROCESS, (id_t)gettid()), attributes.slice_ns};
}

TEST("threads of jobs weigh little and are interrupted at once, no others: the sync of a log would "
     "wait for a flush")
{
    Weight plain = {0}, jobs = {0};
    Thread *thread;
    CHECK_OK(thread_start("plain", THREAD_COMMITTER, weigh, &plain, &thread, e));
    thread_join(thread);
    CHECK_OK(thread_start("jobs", THREAD_JOBS, weigh, &jobs, &thread, e));
    thread_join(thread);
    CHECK(jobs.nice >= 10);
    CHECK(plain.nice < jobs.nice || plain.nice >= 10); /* the test itself may be nice */
    CHECK(plain.slice_ns == 0 || jobs.slice_ns > plain.slice_ns);
}

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

TEST("workers that have finished run what was pushed before, and nothing after")
{
    atomic_store(&runs, 0);
    Workers *workers;
    CHECK_OK(workers_start("worker", THREAD_WORKER, 2, 100, &workers, e));
    for (int i = 0; i < 100; i++)
        CHECK(workers_push(workers, (Task){count_run, NULL}));
    workers_finish(workers);
    CHECK_INT(atomic_load(&runs), 100);
    CHECK(!workers_push(workers, (Task){count_run, NULL}));
    workers_finish(workers);
    workers_stop(workers);
    CHECK_INT(atomic_load(&runs), 100);
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

enum { QUEUED = 2 };
typedef struct Order {
    Gate begun, end;
    int items[QUEUED], count;
} Order;
typedef struct Numbered {
    Order *order;
    int number;
} Numbered;

static void wait_gate(Gate *gate)
{
    MUTEX_SCOPE(&gate->lock);
    while (!gate->open)
        cond_wait(&gate->opened, &gate->lock);
}

static void hold_worker(void *argument)
{
    Order *order = argument;
    open_gate(&order->begun);
    wait_gate(&order->end);
}

static void note_number(void *argument)
{
    Numbered *n = argument;
    n->order->items[n->order->count++] = n->number;
}

TEST("a full queue takes more, or gives what it holds in another order")
{
    Order order = {0};
    Gate *gates[] = {&order.begun, &order.end};
    for (int i = 0; i < 2; i++) {
        mutex_init(&gates[i]->lock);
        cond_init(&gates[i]->opened);
    }
    Workers *workers;
    CHECK_OK(workers_start("worker", THREAD_WORKER, 1, QUEUED, &workers, e));
    CHECK(workers_push(workers, (Task){hold_worker, &order}));
    wait_gate(&order.begun);
    Numbered tasks[] = {{&order, 1}, {&order, 2}};
    for (int i = 0; i < QUEUED; i++)
        CHECK(workers_push(workers, (Task){note_number, &tasks[i]}));
    CHECK(!workers_push(workers, (Task){count_run, NULL}));
    CHECK_INT(workers_waiting(workers), QUEUED);
    open_gate(&order.end);
    workers_stop(workers);
    CHECK_INT(order.count, QUEUED);
    CHECK_INT(order.items[0], 1);
    CHECK_INT(order.items[1], 2);
    for (int i = 0; i < 2; i++) {
        cond_done(&gates[i]->opened);
        mutex_done(&gates[i]->lock);
    }
}

/* What a child that runs `body` says on stderr before it aborts; "" when it ends well. */
static const char *last_words(void (*body)(void))
{
    static char words[1024];
    int ends[2];
    CHECK(pipe(ends) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        body();
        _exit(0);
    }
    close(ends[1]);
    size_t bytes = 0;
    for (ssize_t got; (got = read(ends[0], words + bytes, sizeof words - 1 - bytes)) > 0;)
        bytes += (size_t)got;
    words[bytes] = 0;
    close(ends[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(bytes == 0 ? status == 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return words;
}

static const LockPlace outer = {LOCK_STATEMENT, "outer", "a.c", 1};
static const LockPlace leaf = {LOCK_LEAF, "leaf", "b.c", 2};
static const LockPlace other_leaf = {LOCK_LEAF, "other", "c.c", 3};

static void take_rightly(void)
{
    for (int i = 0; i < 3; i++) {
        os__order_take(&outer);
        os__order_take(&leaf);
        os__order_release(&outer); /* in any order */
        os__order_wait(&leaf);
        os__order_release(&leaf);
        os__order_none();
    }
}

static void take_outer_last(void)
{
    os__order_take(&leaf);
    os__order_take(&outer);
}

static void take_two_leaves(void)
{
    os__order_take(&leaf);
    os__order_take(&other_leaf);
}

static void take_twice(void)
{
    os__order_take(&leaf);
    os__order_take(&leaf);
}

static void release_what_is_not_held(void)
{
    os__order_take(&outer);
    os__order_release(&leaf);
}

static void wait_with_two(void)
{
    os__order_take(&outer);
    os__order_take(&leaf);
    os__order_wait(&leaf);
}

static void commit_with_one(void)
{
    os__order_take(&leaf);
    os__order_none();
}

TEST("a wrong order of locks aborts and names both, a right one does not")
{
    static const struct {
        void (*body)(void);
        const char *words;
    } cases[] = {
        {take_rightly, ""},
        {take_outer_last, "lock order: taking outer (rank 2, a.c:1) while holding leaf (rank 3, "
                          "b.c:2); see docs/locks.md\n"},
        {take_two_leaves, "lock order: taking other (rank 3, c.c:3) while holding leaf (rank 3, "
                          "b.c:2); see docs/locks.md\n"},
        {take_twice, "lock order: taking leaf (rank 3, b.c:2) while holding leaf (rank 3, b.c:2); "
                     "see docs/locks.md\n"},
        {release_what_is_not_held, "lock order: releasing what this thread does not hold: leaf "
                                   "(rank 3, b.c:2) while holding outer (rank 2, a.c:1); see "
                                   "docs/locks.md\n"},
        {wait_with_two,
         "lock order: waiting with leaf (rank 3, b.c:2) while holding outer (rank 2, "
         "a.c:1), leaf (rank 3, b.c:2); see docs/locks.md\n"},
        {commit_with_one,
         "lock order: waiting for a commit while holding leaf (rank 3, b.c:2); see "
         "docs/locks.md\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_TEXT(last_words(cases[i].body), cases[i].words);
}

#ifdef KALAM_DEBUG
static void lock_two_mutexes(void)
{
    Mutex first, second;
    mutex_init(&first);
    mutex_init(&second);
    mutex_lock(&first);
    mutex_lock(&second);
}

TEST("mutexes of debug builds check their order")
{
    const char *words = last_words(lock_two_mutexes);
    CHECK(strstr(words, "taking &second (rank 3"));
    CHECK(strstr(words, "while holding &first (rank 3"));
}
#endif

TEST("the system answers how large it is")
{
    CHECK(os_cpu_count() >= 1);
    CHECK(os_resident_bytes() > 100000);
}
