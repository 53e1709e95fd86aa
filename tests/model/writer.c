/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements, planned before they run. Each writer has keys of its own, so it knows what its
 * statement will do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

enum { WRITER_NOBODY = WRITERS /* whose rows anna must never see */ };

/* ---- the plan ---- */

static Book *book_of(const Writer *w)
{
    return &model->books[w->book];
}

static void plan_add(Writer *w, uint32_t id, EventKind kind, char v, int64_t n)
{
    Book *book = book_of(w);
    uint32_t at = ++book->plan_count;
    must(at < model->log_max);
    book->plan[at] =
        (Planned){.id = id, .kind = kind, .v = v, .n = n, .statement = w->pending_from};
    if (book->plan_last[id])
        book->plan[book->plan_last[id]].next = at;
    else
        book->plan_first[id] = at;
    book->plan_last[id] = at;
    w->pending_to = at + 1;
}

/* What was seen, or will never be, leaves the front. */
static void plan_trim(Book *book, uint32_t id)
{
    uint32_t at = book->plan_first[id];
    while (at && (book->plan[at].is_void || book->plan[at].is_seen))
        at = book->plan[at].next;
    book->plan_first[id] = at;
    if (!at)
        book->plan_last[id] = 0;
}

void plan_seen(int at, const Event *event)
{
    Book *book = &model->books[at];
    plan_trim(book, event->id);
    Planned *planned = &book->plan[book->plan_first[event->id]];
    if (!book->plan_first[event->id]) {
        failed("the witness got change %llu of row %u of %s, which nobody made",
               (unsigned long long)event->seq, event->id, book_info[at].name);
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
    plan_trim(book, event->id);
}

static bool is_of(const Planned *planned, const Writer *w)
{
    return w == &model->writers[WRITERS] ||
           planned->id / WRITER_KEYS == (uint32_t)(w - model->writers);
}

static State state_after(const Planned *planned)
{
    return (State){.is_there = planned->kind != EVENT_DELETE, .v = planned->v, .n = planned->n};
}

/* Entries of other writers stand between. */
static void plan_end(Writer *w, bool happened)
{
    Book *book = book_of(w);
    for (uint32_t at = w->pending_from; at < w->pending_to; at++) {
        Planned *planned = &book->plan[at];
        if (!is_of(planned, w))
            continue;
        if (!happened) {
            planned->is_void = true;
            continue;
        }
        planned->is_acked = true;
        book->now[planned->id] = state_after(planned);
        model->changes++;
    }
    w->pending_from = w->pending_to = 0;
}

static void plan_begin(Writer *w, int book)
{
    w->book = book;
    w->pending_from = w->pending_to = book_of(w)->plan_count + 1;
}

/* Whether the witness has seen its changes; -1: some of them. */
static int seen_of(const Writer *w)
{
    size_t seen = 0, all = 0;
    for (uint32_t at = w->pending_from; at < w->pending_to; at++) {
        if (is_of(&book_of(w)->plan[at], w)) {
            all++;
            seen += book_of(w)->plan[at].is_seen;
        }
    }
    return seen == 0 ? 0 : seen == all ? 1 : -1;
}

/* ---- a book after a kill (I4) ---- */

void book_begin_life(int at)
{
    Book *book = &model->books[at];
    book->life++;
    book->needs_base = true;
    book->log_count = 0;
    memset(book->log_state, 0, sizeof book->log_state);
    memset(book->plan_first, 0, sizeof book->plan_first);
    memset(book->plan_last, 0, sizeof book->plan_last);
}

static bool rows_fit(const Book *book, const State *rows, int writer)
{
    uint32_t first = (uint32_t)writer * WRITER_KEYS;
    uint32_t to = writer == WRITERS ? KEYS : first + WRITER_KEYS;
    for (uint32_t id = first; id < to; id++) {
        if (rows[id].is_there != book->base[id].is_there ||
            (rows[id].is_there &&
             (rows[id].n != book->base[id].n || rows[id].v != book->base[id].v)))
            return false;
    }
    return true;
}

/* The statements of one writer that are on disk are the first ones, and each as a whole. `last`:
 * one that must be. */
static void settle_writer(Book *book, int writer, uint32_t last)
{
    static State rows[KEYS];
    memcpy(rows, book->settled, sizeof rows);
    uint32_t statement = book->settled_count, at = book->settled_count + 1;
    for (; at <= book->plan_count; at++) {
        const Planned *planned = &book->plan[at];
        if (planned->is_void || planned->id / WRITER_KEYS != (uint32_t)writer)
            continue;
        if (planned->statement != statement && statement >= last && rows_fit(book, rows, writer))
            break;
        statement = planned->statement;
        rows[planned->id] = state_after(planned);
    }
    if (statement < last || !rows_fit(book, rows, writer))
        failed("the rows of writer %d in %s after a %s are not what it had written at any time",
               writer, book_info[book - model->books].name, model->was_cut ? "power cut" : "kill");
}

static uint32_t last_acked(const Book *book, int writer)
{
    for (uint32_t at = book->plan_count; at > book->settled_count; at--) {
        const Planned *planned = &book->plan[at];
        if (planned->is_acked && planned->id / WRITER_KEYS == (uint32_t)writer)
            return planned->statement;
    }
    return book->settled_count;
}

void writers_settle_life(int at)
{
    Book *book = &model->books[at];
    MUTEX_SCOPE(&world.lock);
    for (int i = 0; i <= WRITERS; i++)
        settle_writer(book, i, model->was_cut ? book->settled_count : last_acked(book, i));
    for (int i = 0; i <= WRITERS; i++) {
        Writer *w = &model->writers[i];
        if (book_of(w) == book)
            w->pending_from = w->pending_to = 0;
    }
    memcpy(book->now, book->base, sizeof book->now);
    memcpy(book->settled, book->base, sizeof book->settled);
    book->settled_count = book->plan_count;
    book->needs_settling = false;
}

void writers_note_synced(int at)
{
    Book *book = &model->books[at];
    MUTEX_SCOPE(&world.lock);
    memcpy(book->settled, book->now, sizeof book->settled);
    book->settled_count = book->plan_count;
}

/* ---- */

static void settle_pending(Writer *w)
{
    int seen = seen_of(w);
    if (seen < 0)
        failed("a statement of writer %d happened by half", (int)(w - model->writers));
    plan_end(w, seen == 1);
}

void writers_settle(int at)
{
    Book *book = &model->books[at];
    MUTEX_SCOPE(&world.lock);
    for (int i = 0; i <= WRITERS; i++) {
        if (model->writers[i].book == at)
            settle_pending(&model->writers[i]);
    }
    for (uint32_t id = 0; id < KEYS; id++) {
        plan_trim(book, id);
        if (book->plan_first[id])
            failed("row %u of %s: an acknowledged change was never seen", id, book_info[at].name);
    }
}

/* ---- statements ---- */

typedef struct Text {
    Writer *writer;
    const Book *book;
    const char *table;
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
        if (t->book->now[id].is_there)
            continue;
        if (is_first)
            buffer_printf(&t->sql, "INSERT INTO %s (id, v, n) VALUES ", t->table);
        buffer_printf(&t->sql, "%s(%u, '%c', %lld)", is_first ? "" : ", ", id, v,
                      (long long)(base + id));
        is_first = false;
        plan_add(t->writer, id, EVENT_INSERT, v, base + id);
    }
    if (is_first)
        buffer_printf(&t->sql, "DELETE FROM %s WHERE id = %d", t->table, KEYS + 7);
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
    buffer_printf(&t->sql, "UPDATE %s SET n = %lld + id, v = ", t->table, (long long)base);
    if (v)
        buffer_printf(&t->sql, "'%c'", v);
    else
        buffer_add_text(&t->sql, "NULL");
    add_where(t, from, to);
    for (uint32_t id = from; id < to; id++) {
        if (t->book->now[id].is_there)
            plan_add(t->writer, id, EVENT_UPDATE, v, base + id);
    }
}

static void add_delete(Text *t, uint32_t from, uint32_t to)
{
    buffer_printf(&t->sql, "DELETE FROM %s", t->table);
    add_where(t, from, to);
    for (uint32_t id = from; id < to; id++) {
        if (t->book->now[id].is_there)
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
    uint32_t count = 2 + (uint32_t)(random_of(&t->writer->random) % 3),
             planned = t->book->plan_count;
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
    for (uint32_t at = planned + 1; at <= t->book->plan_count; at++)
        t->book->plan[at].is_void = true;
    t->writer->pending_to = t->writer->pending_from;
}

static void compose(Text *t)
{
    Writer *w = t->writer;
    plan_begin(w, (int)(random_of(&w->random) % BOOKS));
    t->book = book_of(w);
    t->table = book_info[w->book].name;
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
    Code code = sql_run(book_info[w->book].writer, sql, NULL, &error);
    MUTEX_SCOPE(&world.lock);
    model->figures.statements++;
    bool is_altered = book_of(w)->columns > 0;
    plan_end(w, code == OK);
    if (code == OK)
        return;
    model->figures.refused++;
    if (!is_altered)
        failed("%.200s: %s", sql, error.text);
}

/* ---- threads ---- */

enum { WRITER_OF_STREAMS = WRITERS + 1, THREADS };

static Thread *threads[THREADS];
static int numbers[THREADS];

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
    Code code = sql_run(BERT, sql, NULL, &error);
    (void)code; /* the key may be there */
}

static void run_writer(void *argument)
{
    int number = *(int *)argument;
    uint64_t random = model->seed + (uint64_t)number;
    while (enter()) {
        if (number == WRITER_NOBODY)
            write_as_bert(&random);
        else if (number == WRITER_OF_STREAMS)
            streams_write();
        else
            write_once(number);
        leave();
    }
}

void writers_start(void)
{
    world.is_stopping = false;
    for (int i = 0; i < THREADS; i++) {
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
    for (int i = 0; i < THREADS; i++)
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

void writers_truncate(int at)
{
    Writer *w = &model->writers[WRITERS];
    char sql[80];
    mutex_lock(&world.lock);
    plan_begin(w, at);
    for (uint32_t id = 0; id < KEYS; id++) {
        if (book_of(w)->now[id].is_there)
            plan_add(w, id, EVENT_DELETE, 0, 0);
    }
    model->figures.truncates++;
    mutex_unlock(&world.lock);
    snprintf(sql, sizeof sql, "TRUNCATE TABLE %s", book_info[at].name);
    run_planned(w, sql);
    writers_note_synced(
        at); /* a kill loses no acknowledged statement, and a cut comes after a note of its own */
}

/* The old table's cursors are worth nothing in the new one. */
void writers_drop(int at)
{
    Book *book = &model->books[at];
    mutex_lock(&world.lock);
    book_begin_life(at);
    memset(book->now, 0, sizeof book->now);
    book->columns = 0;
    model->figures.drops++;
    mutex_unlock(&world.lock);
    sql_must("DROP TABLE %s", book_info[at].name);
    sql_must("%s", book_info[at].create);
    writers_note_synced(at);
}

static void write_fence(Writer *w, uint32_t id, char v)
{
    char sql[160], text[8] = "NULL";
    const Book *book = book_of(w);
    if (v)
        snprintf(text, sizeof text, "'%c'", v);
    mutex_lock(&world.lock);
    int64_t n = next_base();
    n += 21 - n % 21;
    bool is_there = book->now[id].is_there;
    plan_begin(w, w->book);
    plan_add(w, id, is_there ? EVENT_UPDATE : EVENT_INSERT, v, n);
    mutex_unlock(&world.lock);
    snprintf(sql, sizeof sql,
             is_there ? "UPDATE %s SET v = %s, n = %lld WHERE id = %u"
                      : "INSERT INTO %s (v, n, id) VALUES (%s, %lld, %u)",
             book_info[w->book].name, text, (long long)n, id);
    run_planned(w, sql);
}

/* One of them is seen through every filter. FENCE: v NULL, n divisible by 3 and 7; FENCE_B: v
 * 'b'. */
void writers_fence(int at)
{
    Writer *w = &model->writers[WRITERS];
    w->book = at;
    write_fence(w, FENCE_B, 'b');
    write_fence(w, FENCE, 0);
}
