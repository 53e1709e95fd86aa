/* SPDX-License-Identifier: Apache-2.0
 *
 * The comparison (I2). The log is read from its beginning each time: simple, and fast enough.
 */
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "os/clock.h"

enum { WAIT_S = 60 };

static Book *book_of(int index)
{
    return &model->books[follower_book(index)];
}

/* ---- waiting ---- */

void check_wait(const char *what, bool (*is_there)(int argument), int argument)
{
    int64_t deadline = clock_monotonic_us() + WAIT_S * 1000000LL;
    for (;;) {
        for (int i = 0; i < LINKS; i++)
            link_tend(i);
        MUTEX_SCOPE(&world.lock);
        if (model->has_failed || is_there(argument))
            return;
        if (clock_monotonic_us() > deadline) {
            failed("waiting for %s of %d takes more than %d s", what, argument, WAIT_S);
            return;
        }
        cond_wait_until(&world.changed, &world.lock, clock_monotonic_us() + 20 * 1000);
    }
}

static bool is_exact(int index)
{
    const Follower *f = &model->followers[index];
    return f->mode == MODE_EXACT && f->life == book_of(index)->life;
}

static bool has_fence(int index)
{
    int fence = follower_fence(index);
    return is_exact(index) && model->followers[index].rows[fence].n == book_of(index)->now[fence].n;
}

void check_wait_exact(int index)
{
    check_wait("every change being due", is_exact, index);
}

void check_wait_fence(int index)
{
    check_wait("the fence", has_fence, index);
}

/* ---- events ---- */

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

/* ---- rows ---- */

/* One that asked for the newest rows only had exactly those: `rows` is what matched at begun_at. */
static void check_begun(int index, const State rows[KEYS])
{
    Follower *f = &model->followers[index];
    unsigned wanted = follower_first_rows(index), there = 0, got = 0;
    uint64_t newest_left = 0, oldest_got = UINT64_MAX;
    f->is_begun = false;
    for (uint32_t id = 0; id < KEYS; id++) {
        there += rows[id].is_there;
        got += f->begun[id];
        if (f->begun[id] && !rows[id].is_there)
            failed("follower %d began with row %u, which did not match", index, id);
        if (f->begun[id] && rows[id].seq < oldest_got)
            oldest_got = rows[id].seq;
        if (!f->begun[id] && rows[id].is_there && rows[id].seq > newest_left)
            newest_left = rows[id].seq;
    }
    bool is_newest = got == 0 || newest_left < oldest_got;
    if (got != (there < wanted ? there : wanted) || !is_newest)
        failed("follower %d began with %u rows of %u, down to %llu; the newest left out is %llu",
               index, got, there, (unsigned long long)oldest_got, (unsigned long long)newest_left);
}

static void check_rows(int index, const State rows[KEYS], uint64_t limit)
{
    const Follower *f = &model->followers[index];
    bool is_whole = follower_first_rows(index) == KEYS;
    static const State none;
    for (uint32_t id = 0; id < KEYS; id++) {
        const State *due = is_whole || f->knows[id] ? &rows[id] : &none;
        if (!same_state(due, &f->rows[id]))
            failed(
                "follower %d at %llu: row %u is there %d n %lld seq %llu; the log has %d %lld %llu",
                index, (unsigned long long)limit, id, f->rows[id].is_there,
                (long long)f->rows[id].n, (unsigned long long)f->rows[id].seq, due->is_there,
                (long long)due->n, (unsigned long long)due->seq);
    }
}

static void begin_rows(int index, State rows[KEYS])
{
    const Book *book = book_of(index);
    for (uint32_t id = 0; id < KEYS; id++)
        rows[id] = follower_matches(index, id, &book->base[id]) ? book->base[id] : (State){0};
}

/* Its events are those of the log up to `limit`, its rows the state there. */
static void check_follower(int index, uint64_t limit)
{
    static State rows[KEYS];
    Follower *f = &model->followers[index];
    const Book *book = book_of(index);
    size_t at = 0;
    if (!is_exact(index))
        return;
    begin_rows(index, rows);
    for (size_t i = 0; i < book->log_count && book->log[i].seq <= limit; i++) {
        const Event *e = &book->log[i];
        EventKind kind = kind_for(index, e);
        if (f->is_begun && e->seq > f->begun_at)
            check_begun(index, rows);
        rows[e->id] = follower_matches(index, e->id, &e->new) ? e->new : (State){0};
        if (kind != EVENT_NONE && e->seq > f->base)
            check_event(index, e, kind, at++);
        if (model->has_failed)
            return;
    }
    if (f->is_begun)
        check_begun(index, rows);
    if (at < f->event_count)
        failed("follower %d got %zu changes too many, the first at %llu", index,
               f->event_count - at, (unsigned long long)f->events[at].seq);
    check_rows(index, rows, limit);
    f->base = limit;
    f->event_count = 0;
}

static void keep_row(void *context, const Value *values)
{
    State *rows = (State *)context;
    must(values[0].integer >= 0 && values[0].integer < KEYS);
    must(!rows[values[0].integer].is_there);
    rows[values[0].integer] = (State){.is_there = true,
                                      .v = values[1].is_null ? 0 : values[1].bytes.data[0],
                                      .n = values[2].integer,
                                      .seq = (uint64_t)values[3].integer};
}

static void check_table(int at)
{
    static State rows[KEYS];
    char sql[100];
    const Book *book = &model->books[at];
    memset(rows, 0, sizeof rows);
    snprintf(sql, sizeof sql, "SELECT id, v, n, _seq FROM %s", book_info[at].name);
    sql_each(book_info[at].writer, sql, keep_row, rows);
    for (uint32_t id = 0; id < KEYS; id++) {
        if (!same_state(&rows[id], &book->log_state[id]))
            failed("row %u of %s: there %d n %lld seq %llu; the log has %d %lld %llu", id,
                   book_info[at].name, rows[id].is_there, (long long)rows[id].n,
                   (unsigned long long)rows[id].seq, book->log_state[id].is_there,
                   (long long)book->log_state[id].n, (unsigned long long)book->log_state[id].seq);
        if (rows[id].is_there != book->now[id].is_there ||
            (rows[id].is_there && rows[id].n != book->now[id].n))
            failed("row %u of %s is not what its writer left", id, book_info[at].name);
    }
}

void check_book(int at)
{
    const BookInfo *info = &book_info[at];
    writers_fence(at);
    for (int i = info->first; i < info->first + info->count; i++) {
        if (!link_is_connected(i))
            continue;
        link_unstall(i);
        check_wait_fence(i);
    }
    if (model->has_failed)
        return;
    writers_settle(at);
    mutex_lock(&world.lock);
    const Book *book = &model->books[at];
    for (int i = info->first; i < info->first + info->count && !model->has_failed; i++) {
        const Follower *f = &model->followers[i];
        check_follower(i, link_is_connected(i) ? book->log[book->log_count - 1].seq : f->cursor);
    }
    mutex_unlock(&world.lock);
    if (!model->has_failed)
        check_table(at);
}

void check_all(void)
{
    for (int i = 0; i < BOOKS && !model->has_failed; i++)
        check_book(i);
    model->figures.checks++;
}
