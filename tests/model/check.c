/* SPDX-License-Identifier: Apache-2.0
 *
 * The comparison (I2). The log is read from its beginning each time: simple, and fast enough.
 */
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "os/clock.h"

enum { WAIT_S = 60 };

static bool has_fence(int index)
{
    const Follower *f = &model->followers[index];
    return f->mode == MODE_EXACT && f->rows[FENCE].n == model->now[FENCE].n;
}

/* With `fence`: until it has seen the newest one; else until every change is due. */
static bool is_there(int index, bool fence)
{
    return fence ? has_fence(index) : model->followers[index].mode == MODE_EXACT;
}

void check_wait(int index, bool fence)
{
    int64_t deadline = clock_monotonic_us() + WAIT_S * 1000000LL;
    for (;;) {
        follower_tend(index);
        MUTEX_SCOPE(&world.lock);
        if (is_there(index, fence) || model->failure[0])
            return;
        if (clock_monotonic_us() > deadline) {
            failed("follower %d waits for the fence; mode %d, cursor %llu", index,
                   model->followers[index].mode,
                   (unsigned long long)model->followers[index].cursor);
            return;
        }
        cond_wait_until(&world.changed, &world.lock, clock_monotonic_us() + 20 * 1000);
    }
}

/* What a change of the log is to a follower. */
static EventKind kind_for(int index, const Event *e)
{
    bool before = follower_matches(index, e->id, &e->old);
    bool after = follower_matches(index, e->id, &e->new);
    return after ? before ? EVENT_UPDATE : EVENT_INSERT : before ? EVENT_DELETE : EVENT_NONE;
}

static bool same_state(const State *a, const State *b)
{
    return a->is_there == b->is_there &&
           (!a->is_there || (a->v == b->v && a->n == b->n && a->seq == b->seq));
}

static void check_event(int index, const Event *due, EventKind kind, size_t at)
{
    const Follower *f = &model->followers[index];
    if (at >= f->event_count) {
        failed("follower %d (%s) never got change %llu of row %u, kind %d; it stands at %llu",
               index, follower_query(index), (unsigned long long)due->seq, due->id, kind,
               (unsigned long long)f->cursor);
        return;
    }
    const Event *got = &f->events[at];
    bool same = got->seq == due->seq && got->id == due->id && got->kind == kind;
    if (kind != EVENT_DELETE)
        same = same && same_state(&got->new, &due->new);
    else /* the row as it was, with the seq of the change */
        same = same && got->old.n == due->old.n && got->old.v == due->old.v;
    if (!same)
        failed("follower %d (%s) got kind %d of row %u at %llu; kind %d of row %u at %llu was due",
               index, follower_query(index), got->kind, got->id, (unsigned long long)got->seq, kind,
               due->id, (unsigned long long)due->seq);
}

/* Its events are those of the log up to `limit`, its rows the state there. */
static void check_follower(int index, uint64_t limit)
{
    static State rows[KEYS];
    Follower *f = &model->followers[index];
    size_t at = 0;
    if (f->mode != MODE_EXACT)
        return;
    memset(rows, 0, sizeof rows);
    for (size_t i = 0; i < model->log_count && model->log[i].seq <= limit; i++) {
        const Event *e = &model->log[i];
        EventKind kind = kind_for(index, e);
        rows[e->id] = follower_matches(index, e->id, &e->new) ? e->new : (State){0};
        if (kind != EVENT_NONE && e->seq > f->base)
            check_event(index, e, kind, at++);
        if (model->failure[0])
            return;
    }
    if (at < f->event_count)
        failed("follower %d got %zu changes too many, the first at %llu", index,
               f->event_count - at, (unsigned long long)f->events[at].seq);
    for (uint32_t id = 0; id < KEYS; id++) {
        if (!same_state(&rows[id], &f->rows[id]))
            failed(
                "follower %d at %llu: row %u is there %d n %lld seq %llu; the log has %d %lld %llu",
                index, (unsigned long long)limit, id, f->rows[id].is_there,
                (long long)f->rows[id].n, (unsigned long long)f->rows[id].seq, rows[id].is_there,
                (long long)rows[id].n, (unsigned long long)rows[id].seq);
    }
    f->base = limit;
    f->event_count = 0;
}

static void check_table(void)
{
    static State rows[KEYS];
    sql_rows(rows);
    for (uint32_t id = 0; id < KEYS; id++) {
        if (!same_state(&rows[id], &model->log_state[id]))
            failed("row %u of the table: there %d n %lld seq %llu; the log has %d %lld %llu", id,
                   rows[id].is_there, (long long)rows[id].n, (unsigned long long)rows[id].seq,
                   model->log_state[id].is_there, (long long)model->log_state[id].n,
                   (unsigned long long)model->log_state[id].seq);
        if (rows[id].is_there != model->now[id].is_there ||
            (rows[id].is_there && rows[id].n != model->now[id].n))
            failed("row %u of the table is not what its writer left", id);
    }
}

void check_all(void)
{
    writers_fence();
    for (int i = 0; i < FOLLOWERS; i++) {
        if (!follower_is_connected(i))
            continue;
        follower_unstall(i);
        check_wait(i, true);
    }
    writers_settle();
    MUTEX_SCOPE(&world.lock);
    model->checks++;
    for (int i = 0; i < FOLLOWERS && !model->failure[0]; i++) {
        const Follower *f = &model->followers[i];
        bool is_whole = follower_is_connected(i);
        check_follower(i, is_whole ? model->log[model->log_count - 1].seq : f->cursor);
    }
    if (!model->failure[0])
        check_table();
}
