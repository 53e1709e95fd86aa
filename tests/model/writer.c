/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements, planned before they run. Each writer has keys of its own, so it knows what its statement will do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

enum { WRITER_NOBODY = WRITERS /* whose rows anna must never see */ };

/* ---- the plan ---- */

static void plan_add(Writer *w, uint32_t id, EventKind kind, char v, int64_t n)
{
    uint32_t at = ++model->plan_count;
    must(at < model->log_max);
    model->plan[at] = (Planned){.id = id, .kind = kind, .v = v, .n = n};
    if (model->plan_last[id])
        model->plan[model->plan_last[id]].next = at;
    else
        model->plan_first[id] = at;
    model->plan_last[id] = at;
    w->pending_to = at + 1;
}

/* What was seen, or will never be, leaves the front. */
static void plan_trim(uint32_t id)
{
    uint32_t at = model->plan_first[id];
    while (at && (model->plan[at].is_void || model->plan[at].is_seen))
        at = model->plan[at].next;
    model->plan_first[id] = at;
    if (!at)
        model->plan_last[id] = 0;
}

void plan_seen(const Event *event)
{
    plan_trim(event->id);
    Planned *planned = &model->plan[model->plan_first[event->id]];
    if (!model->plan_first[event->id]) {
        failed("the witness got change %llu of row %u, which nobody made",
               (unsigned long long)event->seq, event->id);
        return;
    }
    bool same =
        planned->kind == event->kind &&
        (event->kind == EVENT_DELETE || (planned->v == event->new.v && planned->n == event->new.n));
    if (!same)
        failed(
            "the witness got kind %d n %lld v %d of row %u at %llu; kind %d n %lld v %d was next",
            event->kind, (long long)event->new.n, event->new.v, event->id,
            (unsigned long long)event->seq, planned->kind, (long long)planned->n, planned->v);
    planned->is_seen = true;
    plan_trim(event->id);
}

static bool is_of(const Planned *planned, const Writer *w)
{
    return w == &model->writers[WRITERS] ||
           planned->id / WRITER_KEYS == (uint32_t)(w - model->writers);
}

/* Entries of other writers stand between. */
static void plan_end(Writer *w, bool happened)
{
    for (uint32_t at = w->pending_from; at < w->pending_to; at++) {
        Planned *planned = &model->plan[at];
        if (!is_of(planned, w))
            continue;
        if (!happened) {
            planned->is_void = true;
            continue;
        }
        bool is_there = planned->kind != EVENT_DELETE;
        model->now[planned->id] = (State){.is_there = is_there, .v = planned->v, .n = planned->n};
        model->changes++;
    }
    w->pending_from = w->pending_to = 0;
}

static void plan_begin(Writer *w)
{
    w->pending_from = w->pending_to = model->plan_count + 1;
}

/* Whether the witness has seen its changes; -1: some of them. */
static int seen_of(const Writer *w)
{
    size_t seen = 0, all = 0;
    for (uint32_t at = w->pending_from; at < w->pending_to; at++) {
        if (is_of(&model->plan[at], w)) {
            all++;
            seen += model->plan[at].is_seen;
        }
    }
    return seen == 0 ? 0 : seen == all ? 1 : -1;
}

void writers_settle(void)
{
    MUTEX_SCOPE(&world.lock);
    for (int i = 0; i <= WRITERS; i++) {
        int seen = seen_of(&model->writers[i]);
        if (seen < 0)
            failed("a statement of writer %d happened by half", i);
        plan_end(&model->writers[i], seen == 1);
    }
    for (uint32_t id = 0; id < KEYS; id++) {
        plan_trim(id);
        if (model->plan_first[id])
            failed("row %u: an acknowledged change was never seen", id);
    }
}

/* ---- statements ---- */

typedef struct Text {
    Writer *writer;
    Buffer sql;
    uint32_t first; /* of the writer's keys */
} Text;

static char letter(Writer *w)
{
    return (char)('a' + random_of(&w->random) % 4);
}

static int64_t next_base(void)
{
    return (++model->counter) * 1000; /* n = base + id is unique */
}

static void add_insert(Text *t, uint32_t from, uint32_t to)
{
    int64_t base = next_base();
    char v = letter(t->writer);
    bool is_first = true;
    for (uint32_t id = from; id < to; id++) {
        if (model->now[id].is_there)
            continue;
        buffer_printf(&t->sql, "%s(%u, '%c', %lld)",
                      is_first ? "INSERT INTO t.x (id, v, n) VALUES " : ", ", id, v,
                      (long long)(base + id));
        is_first = false;
        plan_add(t->writer, id, EVENT_INSERT, v, base + id);
    }
    if (is_first)
        buffer_printf(&t->sql, "DELETE FROM t.x WHERE id = %d", KEYS + 7);
}

/* By a list of keys, which needs no scan of segments, or by a range, which does. */
static void add_where(Text *t, uint32_t from, uint32_t to)
{
    if (to - from > 12 || random_of(&t->writer->random) % 3 == 0) {
        buffer_printf(&t->sql, " WHERE id >= %u AND id < %u", from, to);
        return;
    }
    for (uint32_t id = from; id < to; id++)
        buffer_printf(&t->sql, "%s%u", id == from ? " WHERE id IN (" : ", ", id);
    buffer_add_char(&t->sql, ')');
}

static void add_update(Text *t, uint32_t from, uint32_t to)
{
    int64_t base = next_base();
    char v = random_of(&t->writer->random) % 8 ? letter(t->writer) : 0;
    buffer_printf(&t->sql, "UPDATE t.x SET n = %lld + id, v = ", (long long)base);
    if (v)
        buffer_printf(&t->sql, "'%c'", v);
    else
        buffer_add_text(&t->sql, "NULL");
    add_where(t, from, to);
    for (uint32_t id = from; id < to; id++) {
        if (model->now[id].is_there)
            plan_add(t->writer, id, EVENT_UPDATE, v, base + id);
    }
}

static void add_delete(Text *t, uint32_t from, uint32_t to)
{
    buffer_add_text(&t->sql, "DELETE FROM t.x");
    add_where(t, from, to);
    for (uint32_t id = from; id < to; id++) {
        if (model->now[id].is_there)
            plan_add(t->writer, id, EVENT_DELETE, 0, 0);
    }
}

static void add_statement(Text *t, uint32_t from, uint32_t to)
{
    switch (random_of(&t->writer->random) % 10) {
    case 0:
    case 1:
        add_delete(t, from, to);
        break;
    case 2:
    case 3:
    case 4:
        add_insert(t, from, to);
        break;
    default:
        add_update(t, from, to);
    }
}

/* Statements of one transaction on rows of their own, so that each row changes once. */
static void add_transaction(Text *t)
{
    bool is_undone = random_of(&t->writer->random) % 4 == 0;
    uint32_t count = 2 + (uint32_t)(random_of(&t->writer->random) % 3), planned = model->plan_count;
    buffer_add_text(&t->sql, "BEGIN; ");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from =
            t->first + i * (WRITER_KEYS / 5) + (uint32_t)(random_of(&t->writer->random) % 30);
        add_statement(t, from, from + 1 + (uint32_t)(random_of(&t->writer->random) % 15));
        buffer_add_text(&t->sql, "; ");
    }
    buffer_add_text(&t->sql, is_undone ? "ROLLBACK" : "COMMIT");
    if (!is_undone)
        return;
    for (uint32_t at = planned + 1; at <= model->plan_count; at++)
        model->plan[at].is_void = true;
    t->writer->pending_to = t->writer->pending_from;
}

static void compose(Text *t)
{
    Writer *w = t->writer;
    plan_begin(w);
    if (random_of(&w->random) % 12 == 0) {
        add_transaction(t);
        return;
    }
    uint32_t length = 1 + (uint32_t)(random_of(&w->random) % 12);
    if (random_of(&w->random) % 20 == 0)
        length += 80;
    uint32_t at = (uint32_t)(random_of(&w->random) % (WRITER_KEYS - length));
    add_statement(t, t->first + at, t->first + at + length);
}

static void run_planned(Writer *w, const char *sql)
{
    Error error = {0};
    Code code = sql_run(world.anna, "anna", ROLE_USER, sql, &error);
    MUTEX_SCOPE(&world.lock);
    model->statements++;
    plan_end(w, code == OK);
    if (code == OK)
        return;
    model->refused++;
    if (model->columns == 0)
        failed("%.200s: %s", sql, error.text);
}

/* ---- threads ---- */

static Thread *threads[WRITERS + 1];
static int numbers[WRITERS + 1];

/* False: stop. */
static bool enter(void)
{
    MUTEX_SCOPE(&world.lock);
    while (world.is_paused && !world.is_stopping)
        cond_wait(&world.changed, &world.lock);
    world.writing += !world.is_stopping;
    return !world.is_stopping;
}

static void leave(void)
{
    MUTEX_SCOPE(&world.lock);
    world.writing--;
    cond_broadcast(&world.changed);
}

static void write_once(int number)
{
    Text text = {.writer = &model->writers[number], .first = (uint32_t)number * WRITER_KEYS};
    mutex_lock(&world.lock);
    compose(&text);
    buffer_add_char(&text.sql, 0);
    mutex_unlock(&world.lock);
    run_planned(text.writer, text.sql.data);
    buffer_done(&text.sql);
}

static void write_as_bert(uint64_t *random)
{
    Error error = {0};
    char sql[100];
    int id = (int)(random_of(random) % 20) + KEYS + 1;
    snprintf(sql, sizeof sql,
             random_of(random) % 2 ? "DELETE FROM t.x WHERE id = %d"
                                   : "INSERT INTO t.x (id, v, n) VALUES (%d, 'z', 0)",
             id);
    Code code = sql_run(world.bert, "bert", ROLE_USER, sql, &error);
    (void)code; /* the key may be there */
}

static void run_writer(void *argument)
{
    int number = *(int *)argument;
    uint64_t random = model->seed + (uint64_t)number;
    while (enter()) {
        if (number == WRITER_NOBODY)
            write_as_bert(&random);
        else
            write_once(number);
        leave();
    }
}

void writers_start(void)
{
    world.is_stopping = false;
    for (int i = 0; i <= WRITERS; i++) {
        Error error = {0};
        numbers[i] = i;
        must(thread_start("writer", THREAD_ANY, run_writer, &numbers[i], &threads[i], &error) ==
             OK);
    }
}

void writers_stop(void)
{
    mutex_lock(&world.lock);
    world.is_stopping = true;
    cond_broadcast(&world.changed);
    mutex_unlock(&world.lock);
    for (int i = 0; i <= WRITERS; i++)
        thread_join(threads[i]);
}

void writers_pause(void)
{
    MUTEX_SCOPE(&world.lock);
    world.is_paused = true;
    while (world.writing)
        cond_wait(&world.changed, &world.lock);
}

void writers_resume(void)
{
    MUTEX_SCOPE(&world.lock);
    world.is_paused = false;
    cond_broadcast(&world.changed);
}

/* ---- statements of the main thread ---- */

void writers_truncate(void)
{
    Writer *w = &model->writers[WRITERS];
    mutex_lock(&world.lock);
    plan_begin(w);
    for (uint32_t id = 0; id < KEYS; id++) {
        if (model->now[id].is_there)
            plan_add(w, id, EVENT_DELETE, 0, 0);
    }
    model->truncates++;
    mutex_unlock(&world.lock);
    run_planned(w, "TRUNCATE TABLE t.x");
}

/* Seen through every filter: v NULL, n divisible by 3 and 7, the id FENCE. */
void writers_fence(void)
{
    Writer *w = &model->writers[WRITERS];
    char sql[120];
    mutex_lock(&world.lock);
    int64_t n = next_base();
    n += 21 - n % 21;
    bool is_there = model->now[FENCE].is_there;
    plan_begin(w);
    plan_add(w, FENCE, is_there ? EVENT_UPDATE : EVENT_INSERT, 0, n);
    mutex_unlock(&world.lock);
    snprintf(sql, sizeof sql,
             is_there ? "UPDATE t.x SET v = NULL, n = %lld WHERE id = %d"
                      : "INSERT INTO t.x (n, id) VALUES (%lld, %d)",
             (long long)n, FENCE);
    run_planned(w, sql);
}
