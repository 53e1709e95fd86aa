/* SPDX-License-Identifier: Apache-2.0
 *
 * One process of a crowd (crowd.h): many sockets, one epoll, buffers only where a frame is not
 * whole.
 *
 * A live socket authenticates, subscribes `subscriptions` times and then counts what it is told. A
 * plain one counts frames from the first byte on; a Redis one counts messages of a fixed size.
 */
#pragma once

#include "crowd_plan.h"

/* Ids are summed up mixed, so that no two sets are likely to have the same sum. */
static inline uint64_t crowd_mix(uint64_t id)
{
    id = (id ^ id >> 31) * 0x9e3779b97f4a7c15u;
    return id ^ id >> 29;
}

static inline void member_send(const Member *m, const char *text)
{
    Wire w = {.fd = m->fd};
    wire_send_frame(&w, text);
}

static inline void member_subscribe(const CrowdProcess *p, Member *m)
{
    const CrowdPlan *plan = p->plan;
    char sql[512], text[1024];
    for (; m->asked < plan->subscriptions && m->asked - m->acked < SUBSCRIBES_OUT_MAX; m->asked++) {
        unsigned number = m->number * plan->subscriptions + m->asked;
        const char *mark = strstr(plan->sql, "%u");
        snprintf(sql, sizeof sql, "%.*s", mark ? (int)(mark - plan->sql) : 500, plan->sql);
        if (mark)
            snprintf(sql + strlen(sql), 20, "%u", number);
        snprintf(text, sizeof text,
                 "{\"type\":\"subscribe\",\"subscription\":{\"id\":\"s%u\",\"sql\":\"%s\"%s%s}}",
                 plan->own_ids ? number : m->asked, sql, plan->options ? ",\"options\":" : "",
                 plan->options ? plan->options : "");
        member_send(m, text);
    }
}

/* Sums up what follows each `"id":"` that opens a row. Returns their number. */
static inline uint64_t member_ids(const char *at, size_t size, uint64_t *sum)
{
    static const char mark[] = "{\"id\":\"";
    const char *end = at + size;
    uint64_t count = 0;
    while ((at = memmem(at, (size_t)(end - at), mark, sizeof mark - 1))) {
        at += sizeof mark - 1;
        *sum += crowd_mix(strtoull(at, NULL, 10));
        count++;
    }
    return count;
}

static inline void member_change(CrowdProcess *p, Member *m, const char *payload, size_t size)
{
    if (p->plan->take_times) {
        const char *at = memmem(payload, size, "\"at\":\"", 6);
        uint64_t spent = at ? now_ns() - strtoull(at + 6, NULL, 10) : 0;
        uint64_t n = atomic_load_explicit(&p->shared->sample_count, memory_order_relaxed);
        if (n < CROWD_SAMPLES_MAX) {
            p->shared->samples_100ns[n] =
                spent / 100 < UINT32_MAX ? (uint32_t)(spent / 100) : UINT32_MAX;
            atomic_store_explicit(&p->shared->sample_count, n + 1, memory_order_release);
        }
    }
    if (p->plan->tally) {
        bool gone = memmem(payload, size < 120 ? size : 120, "\"delete\"", 8);
        atomic_fetch_add_explicit(&p->shared->ids,
                                  member_ids(payload, size, gone ? &m->gone_sum : &m->seen_sum),
                                  memory_order_relaxed);
    }
}

static inline bool starts(const char *text, size_t size, const char *with)
{
    return size >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

/* Returns the changes in it: 1 or 0. */
static inline unsigned member_text(CrowdProcess *p, Member *m, const char *payload, size_t size)
{
    if (starts(payload, size, "{\"type\":\"change\"")) {
        member_change(p, m, payload, size);
        return 1;
    }
    if (starts(payload, size, "{\"type\":\"auth_success\"")) {
        if (p->plan->subscriptions == 0)
            atomic_fetch_add(&p->shared->ready, 1);
        member_subscribe(p, m);
    } else if (starts(payload, size, "{\"type\":\"subscription_ack\"")) {
        m->acked++;
        if (!p->plan->options)
            atomic_fetch_add(&p->shared->ready, 1);
        member_subscribe(p, m);
    } else if (starts(payload, size, "{\"type\":\"initial_data_batch\"")) {
        if (p->plan->tally)
            atomic_fetch_add(&p->shared->ids, member_ids(payload, size, &m->seen_sum));
        if (memmem(payload, size, "\"has_more\":false", 16))
            atomic_fetch_add(&p->shared->ready, 1);
    } else {
        die("the server said %.*s", (int)(size < 500 ? size : 500), payload);
    }
    return 0;
}

static inline unsigned member_frame(CrowdProcess *p, Member *m, int opcode, const char *payload,
                                    size_t size)
{
    if (opcode == 1)
        return member_text(p, m, payload, size);
    if (opcode == 9) { /* the heartbeat */
        char pong[6 + 125] = {(char)0x8a, (char)(0x80 | size)};
        memcpy(pong + 6, payload, size);
        Wire w = {.fd = m->fd};
        wire_send(&w, pong, 6 + size);
    } else if (opcode == 8) {
        die("the server closed: %.*s", size > 2 ? (int)size - 2 : 0, payload + 2);
    }
    return 0;
}

/* Handles the whole frames of `in`; returns the bytes they had. */
static inline size_t member_frames(CrowdProcess *p, Member *m, char *in, size_t size)
{
    unsigned changes = 0;
    size_t at = 0, bytes, count;
    const char *payload;
    if (!m->is_open) {
        static const char redis[] = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
        bool is_live = p->plan->kind == CROWD_LIVE;
        const char *end = memmem(in, size, is_live ? "\r\n\r\n" : ":1\r\n", 4);
        if (!end || (is_live && !starts(in, size, "HTTP/1.1 101")) ||
            (!is_live && !starts(in, size, redis)))
            die("no welcome: %.*s", (int)(size < 300 ? size : 300), in);
        m->is_open = true;
        at = (size_t)(end - in) + 4;
        if (is_live)
            wire_send_authenticate(&(Wire){.fd = m->fd}, p->plan->token);
        else
            atomic_fetch_add(&p->shared->ready, 1);
    }
    if (p->plan->kind == CROWD_REDIS) {
        changes = (unsigned)((size - at) / p->plan->message_bytes);
        at += changes * p->plan->message_bytes;
    } else {
        Wire w = {.in = in + at, .bytes = size - at};
        for (; (bytes = wire_frame(&w, &payload, &count)) > 0; w.in += bytes, w.bytes -= bytes) {
            bool is_live = p->plan->kind == CROWD_LIVE;
            changes += is_live ? member_frame(p, m, w.in[0] & 15, payload, count) : 1;
        }
        at = size - w.bytes;
    }
    atomic_fetch_add_explicit(&p->shared->changes, changes, memory_order_relaxed);
    return at;
}

static inline void member_read(CrowdProcess *p, Member *m)
{
    if (m->rest_bytes)
        memcpy(p->in, m->rest, m->rest_bytes);
    ssize_t n = recv(m->fd, p->in + m->rest_bytes, CROWD_READ_BYTES - m->rest_bytes, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        die("the server closed the connection: %m");
    size_t size = m->rest_bytes + (size_t)n;
    atomic_fetch_add_explicit(&p->shared->bytes, (uint64_t)n, memory_order_relaxed);
    size_t taken = member_frames(p, m, p->in, size);
    m->rest_bytes = (uint32_t)(size - taken);
    if (m->rest_bytes == CROWD_READ_BYTES)
        die("a frame of more than %d bytes", CROWD_READ_BYTES);
    free(m->rest);
    m->rest = m->rest_bytes ? malloc(m->rest_bytes) : NULL;
    if (m->rest)
        memcpy(m->rest, p->in + taken, m->rest_bytes);
}
