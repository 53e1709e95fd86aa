/* SPDX-License-Identifier: Apache-2.0
 *
 * A crowd: thousands of sockets in processes of their own, as many processes as descriptors demand,
 * from several loopback addresses so that ports do not run out. Who made it asks for moments ("each
 * subscription has had 10 changes") and gets the time of the last process to reach them.
 */
#pragma once

#include "crowd_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { CROWD_PROCESSES_MAX = 16, CROWD_FILES_SPARE = 64, CROWD_PATIENCE_MS = 60 * 1000 };

typedef struct Crowd {
    CrowdPlan plan;
    unsigned count; /* of processes */
    struct {
        pid_t pid;
        int orders;
        unsigned sockets;
        CrowdShared *shared;
    } processes[CROWD_PROCESSES_MAX];
    uint64_t changes_each; /* awaited so far */
} Crowd;

static inline unsigned crowd_files_max(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > 1024 * 1024 ? 1024 * 1024 : (unsigned)limit.rlim_cur;
}

static inline void crowd_start(Crowd *c, unsigned first, unsigned sockets)
{
    int ends[2];
    CrowdShared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (shared == MAP_FAILED || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        die("socketpair: %m");
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        for (unsigned i = 0; i < c->count; i++)
            close(c->processes[i].orders);
        close(ends[0]);
        crowd_run(&(CrowdProcess){.plan = &c->plan,
                                  .shared = shared,
                                  .first = first,
                                  .count = sockets,
                                  .orders = ends[1]});
    }
    close(ends[1]);
    c->processes[c->count].pid = pid;
    c->processes[c->count].orders = ends[0];
    c->processes[c->count].sockets = sockets;
    c->processes[c->count++].shared = shared;
}

/* Starts the processes, which connect and subscribe at once. */
static inline Crowd *crowd_open(const CrowdPlan *plan)
{
    Crowd *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->plan = *plan;
    unsigned each = crowd_files_max() - CROWD_FILES_SPARE;
    for (unsigned first = 0; first < plan->sockets && c->count < CROWD_PROCESSES_MAX; first += each)
        crowd_start(c, first, plan->sockets - first < each ? plan->sockets - first : each);
    return c;
}

/* `each`: of one subscription. Returns when the last process had got there, in now_ns(). */
static inline void crowd_order(Crowd *c, OrderKind kind, uint64_t each, uint64_t seen,
                               uint64_t gone)
{
    for (unsigned i = 0; i < c->count; i++) {
        unsigned of_socket = c->plan.subscriptions ? c->plan.subscriptions : 1;
        CrowdOrder order = {kind, (uint64_t)c->processes[i].sockets * of_socket * each, seen, gone};
        if (write(c->processes[i].orders, &order, sizeof order) != sizeof order)
            die("a client process has ended");
    }
}

static inline uint64_t crowd_await(Crowd *c)
{
    uint64_t last = 0, at;
    for (unsigned i = 0; i < c->count; i++) {
        struct pollfd one = {.fd = c->processes[i].orders, .events = POLLIN};
        if (poll(&one, 1, CROWD_PATIENCE_MS) == 0)
            die("after %d s: %llu subscriptions ready, %llu changes, %llu ids",
                CROWD_PATIENCE_MS / 1000, (unsigned long long)c->processes[i].shared->ready,
                (unsigned long long)c->processes[i].shared->changes,
                (unsigned long long)c->processes[i].shared->ids);
        if (read(one.fd, &at, sizeof at) != sizeof at)
            die("a client process has ended");
        last = at > last ? at : last;
    }
    return last;
}

static inline uint64_t crowd_await_ready(Crowd *c)
{
    crowd_order(c, AWAIT_READY, 1, 0, 0);
    return crowd_await(c);
}

/* Until each subscription has had `more` further changes. */
static inline void crowd_expect(Crowd *c, uint64_t more)
{
    c->changes_each += more;
    crowd_order(c, AWAIT_CHANGES, c->changes_each, 0, 0);
}

/* Sockets whose ids are not exactly those of the sums. */
static inline uint64_t crowd_check(Crowd *c, uint64_t seen_sum, uint64_t gone_sum)
{
    uint64_t wrong = 0;
    crowd_order(c, CHECK_TALLY, 0, seen_sum, gone_sum);
    crowd_await(c);
    for (unsigned i = 0; i < c->count; i++)
        wrong += c->processes[i].shared->wrong_sockets;
    return wrong;
}

/* Takes the times out, in the order of their process. */
static inline void crowd_take_times(Crowd *c, Stats *out)
{
    for (unsigned i = 0; i < c->count; i++) {
        CrowdShared *shared = c->processes[i].shared;
        uint64_t n = atomic_exchange(&shared->sample_count, 0);
        for (uint64_t k = 0; out && k < n; k++)
            stats_add(out, (uint64_t)shared->samples_100ns[k] * 100);
    }
}

static inline void crowd_close(Crowd *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        close(c->processes[i].orders);
        kill(c->processes[i].pid, SIGKILL);
        waitpid(c->processes[i].pid, NULL, 0);
        munmap(c->processes[i].shared, sizeof *c->processes[i].shared);
    }
    free(c);
}
