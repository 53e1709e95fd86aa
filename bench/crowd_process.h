/* SPDX-License-Identifier: Apache-2.0
 *
 * A process of a crowd as a whole: it connects, waits for its sockets and for orders, and answers
 * an order with the time at which it was fulfilled.
 */
#pragma once

#include "crowd_member.h"

#include <signal.h>
#include <sys/prctl.h>

static inline void member_connect(CrowdProcess *p, Member *m)
{
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET}, to = from;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (m->number / SOCKETS_OF_ADDRESS << 8));
    to.sin_port = htons((uint16_t)p->plan->port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (m->fd < 0)
        die("socket: %m");
    setsockopt(m->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct linger reset = {.l_onoff = 1}; /* leaves no port in TIME_WAIT */
    setsockopt(m->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (bind(m->fd, (struct sockaddr *)&from, sizeof from) < 0)
        die("bind: %m");
    if (connect(m->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
        die("connect: %m");
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = m};
    if (epoll_ctl(p->epoll, EPOLL_CTL_ADD, m->fd, &event) < 0)
        die("epoll: %m");
}

static inline void member_connected(CrowdProcess *p, Member *m)
{
    static const char redis[] = "SUBSCRIBE c\r\n";
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = m};
    int failed = 0;
    socklen_t size = sizeof failed;
    getsockopt(m->fd, SOL_SOCKET, SO_ERROR, &failed, &size);
    if (failed || epoll_ctl(p->epoll, EPOLL_CTL_MOD, m->fd, &event) < 0)
        die("connect: %s", strerror(failed ? failed : errno));
    Wire w = {.fd = m->fd};
    if (p->plan->kind == CROWD_LIVE)
        wire_send(&w, WIRE_UPGRADE, sizeof WIRE_UPGRADE - 1);
    else if (p->plan->kind == CROWD_REDIS)
        wire_send(&w, redis, sizeof redis - 1);
    else
        atomic_fetch_add(&p->shared->ready, 1);
    m->is_open = p->plan->kind == CROWD_PLAIN;
}

static inline bool crowd_is_reached(const CrowdProcess *p)
{
    const CrowdShared *shared = p->shared;
    switch (p->order.kind) {
    case AWAIT_READY:
        return atomic_load(&shared->ready) >= p->order.target;
    case AWAIT_CHANGES:
        return atomic_load(&shared->changes) >= p->order.target;
    case AWAIT_IDS:
        return atomic_load(&shared->ids) >= p->order.target;
    case CHECK_TALLY:
        break;
    }
    uint64_t wrong = 0;
    for (unsigned i = 0; i < p->count; i++)
        wrong += p->members[i].seen_sum != p->order.seen_sum ||
                 p->members[i].gone_sum != p->order.gone_sum;
    atomic_store(&p->shared->wrong_sockets, wrong);
    return true;
}

static inline void crowd_answer(CrowdProcess *p)
{
    if (!p->has_order || !crowd_is_reached(p))
        return;
    uint64_t now = now_ns();
    p->has_order = false;
    if (write(p->orders, &now, sizeof now) != sizeof now)
        _exit(1);
}

static inline void crowd_event(CrowdProcess *p, const struct epoll_event *event)
{
    Member *m = event->data.ptr;
    if (!m) {
        if (read(p->orders, &p->order, sizeof p->order) != sizeof p->order)
            _exit(0); /* the crowd is not wanted any more */
        p->has_order = true;
    } else if (event->events & EPOLLOUT) {
        member_connected(p, m);
    } else {
        member_read(p, m);
    }
}

_Noreturn static inline void crowd_run(CrowdProcess *p)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->in = malloc(CROWD_READ_BYTES);
    p->members = calloc(p->count, sizeof *p->members);
    struct epoll_event events[CROWD_EVENTS], order = {.events = EPOLLIN};
    if (!p->in || !p->members || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->orders, &order) < 0)
        die("epoll: %m");
    for (unsigned i = 0; i < p->count; i++) {
        p->members[i].number = p->first + i;
        member_connect(p, &p->members[i]);
    }
    for (;;) {
        int n = epoll_wait(p->epoll, events, CROWD_EVENTS, -1);
        for (int i = 0; i < n; i++)
            crowd_event(p, &events[i]);
        crowd_answer(p);
    }
}
