/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients of books: a cursor and a copy of the rows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "os/clock.h"
#include "table/seq.h"

enum { LAST_ROWS = 25 };

/* The queries; follower_matches says the same in C. Every one shows a fence. */
static const struct {
    const char *sql;
    bool replay;
    Who who;
    unsigned first_rows;
} queries[FOLLOWERS] = {
    {"SELECT * FROM t.x", true, ANNA, KEYS},
    {"SELECT id, v, n FROM t.x WHERE n % 3 = 0", true, ANNA, KEYS},
    {"SELECT * FROM t.x WHERE v = 'a' OR v IS NULL", true, ANNA, KEYS},
    {"SELECT id, v, n FROM t.x WHERE id % 2 = 0", false, ANNA, KEYS},
    {"SELECT * FROM t.x", false, ANNA, KEYS},
    {"SELECT n, v, id FROM t.x WHERE (v IN ('a', 'b') AND n % 2 = 0) OR id = 750", true, ANNA,
     KEYS},
    {"SELECT * FROM t.x WHERE n % 5 <> 0 OR v IS NULL", false, ANNA, KEYS},
    {"SELECT id, v, n FROM t.x WHERE id BETWEEN 100 AND 400 OR id = 750", true, ANNA, KEYS},
    {"SELECT * FROM t.x WHERE NOT (v = 'b')  OR n % 7 = 0", false, ANNA, KEYS},
    {"SELECT * FROM t.x", true, ANNA, LAST_ROWS},
    {"SELECT id, n, v FROM t.x WHERE id % 2 = 0", true, ANNA, 0},
    {"SELECT n, id, v AS letter FROM t.x WHERE v = 'b'", true, ANNA, KEYS},
    {"SELECT * FROM t.s", true, ANNA, KEYS},
    {"SELECT id, v, n FROM t.s WHERE v = 'b'", false, BERT, KEYS},
    {"SELECT * FROM t.s WHERE id = 751", true, ANNA, KEYS},
    {"SELECT id, n, v FROM t.s WHERE n % 3 = 0", true, BERT, LAST_ROWS},
    {"SELECT id, v, n FROM t.s WHERE 'b' = v", true, BERT, 0},
    {"SELECT id, v, n FROM t.s WHERE v = 'b'", false, ANNA, KEYS},
    {"SELECT * FROM t.a", true, ANNA, KEYS},
    {"SELECT * FROM t.a WHERE n % 3 = 0", true, ANNA, KEYS},
    {"SELECT id, v, n FROM t.a WHERE v = 'b' AND id > 10", false, ANNA, KEYS},
};

const BookInfo book_info[BOOKS] = {
    {"t.x", "CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n BIGINT)", ANNA, 0, 12},
    {"t.s",
     "CREATE SHARED TABLE t.s (id BIGINT PRIMARY KEY, v TEXT, n BIGINT) "
     "WITH (ACCESS_LEVEL = 'PUBLIC')",
     ROOT, 12, 6},
    {"t.a",
     "CREATE USER TABLE t.a (id BIGINT PRIMARY KEY, v TEXT, n BIGINT) "
     "WITH (DURABILITY = 'async')",
     ANNA, 18, 3},
};

bool follower_matches(int index, uint32_t id, const State *s)
{
    if (!s->is_there)
        return false;
    switch (index) { /* long: table */
    case 1:
    case 15:
    case 19:
        return s->n % 3 == 0;
    case 2:
        return s->v == 'a' || s->v == 0;
    case 3:
    case 10:
        return id % 2 == 0;
    case 5:
        return ((s->v == 'a' || s->v == 'b') && s->n % 2 == 0) || id == FENCE;
    case 6:
        return s->n % 5 != 0 || s->v == 0;
    case 7:
        return (id >= 100 && id <= 400) || id == FENCE;
    case 8:
        return (s->v && s->v != 'b') || s->n % 7 == 0;
    case 11:
    case 13:
    case 16:
    case 17:
        return s->v == 'b';
    case 14:
        return id == FENCE_B;
    case 20:
        return s->v == 'b' && id > 10;
    default:
        return true;
    }
}

int follower_fence(int index)
{
    State fence = {.is_there = true, .n = 21};
    return follower_matches(index, FENCE, &fence) ? FENCE : FENCE_B;
}

int64_t follower_age_us(int index)
{
    MUTEX_SCOPE(&world.lock);
    return clock_wall_us() - seq_time_us(model->followers[index].cursor);
}

const char *follower_query(int index)
{
    return queries[index].sql;
}

unsigned follower_first_rows(int index)
{
    return queries[index].first_rows;
}

int follower_book(int index)
{
    int book = 0;
    while (index >= book_info[book].first + book_info[book].count)
        book++;
    return book;
}

static Book *book_of(int index)
{
    return &model->books[follower_book(index)];
}

static bool is_witness(int index)
{
    return index == book_info[follower_book(index)].first;
}

/* ---- what a message says ---- */

static uint32_t id_of(int index, const json_t *row)
{
    uint64_t id = number_of(row, "id");
    if (id < KEYS)
        return (uint32_t)id;
    failed("follower %d sees row %llu of somebody else", index, (unsigned long long)id);
    return 0;
}

static State state_of(const json_t *row)
{
    const json_t *v = json_object_get(row, "v");
    if (!v)
        v = json_object_get(row, "letter");
    return (State){.is_there = true,
                   .v = json_is_string(v) ? json_string_value(v)[0] : 0,
                   .n = (int64_t)number_of(row, "n"),
                   .seq = number_of(row, "_seq")};
}

/* Once, or as lost and then as found again. */
static void touch(int index, const Event *event)
{
    Follower *f = &model->followers[index];
    uint32_t id = event->id;
    bool comes_back = f->touched_as[id].kind == EVENT_DELETE && event->kind == EVENT_INSERT;
    if (f->touched[id] == f->resumes && !comes_back)
        failed("follower %d (mode %d, from %llu) was told of row %u as kind %d at %llu, then as "
               "kind %d at %llu",
               index, f->mode, (unsigned long long)f->from, id, f->touched_as[id].kind,
               (unsigned long long)f->touched_as[id].seq, event->kind,
               (unsigned long long)event->seq);
    f->touched[id] = f->resumes;
    f->touched_as[id] = *event;
}

/* From here on every event is due. */
static void become_exact(int index)
{
    Follower *f = &model->followers[index];
    Book *book = book_of(index);
    if (f->mode == MODE_FIRST) {
        f->is_begun = true;
        f->begun_at = f->cursor;
        for (uint32_t id = 0; id < KEYS; id++)
            f->begun[id] = f->knows[id] = f->rows[id].is_there;
    }
    f->mode = MODE_EXACT;
    f->base = f->last_seq = f->cursor;
    f->event_count = 0;
    if (!is_witness(index) || !book->needs_base)
        return;
    memcpy(book->base, f->rows, sizeof book->base);
    memcpy(book->log_state, f->rows, sizeof book->log_state);
    book->needs_base = false;
}

static void on_batch(int index, const json_t *message)
{
    Follower *f = &model->followers[index];
    const json_t *rows = json_object_get(message, "rows"),
                 *control = json_object_get(message, "batch_control");
    if (f->mode == MODE_EXACT)
        failed("follower %d got a page when every change was due", index);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        uint32_t id = id_of(index, row);
        State state = state_of(row);
        if (state.seq <= f->page_seq)
            failed("follower %d: row %u at %llu stands after %llu in a page", index, id,
                   (unsigned long long)state.seq, (unsigned long long)f->page_seq);
        f->page_seq = state.seq;
        touch(index, &(Event){.id = id, .kind = EVENT_INSERT, .seq = state.seq});
        f->rows[id] = state;
    }
    f->cursor = number_of(control, "last_seq");
    if (!json_is_true(json_object_get(control, "has_more")))
        become_exact(index);
}

/* A row that a resumed client loses. */
static void on_loss(int index, const Event *event)
{
    Follower *f = &model->followers[index];
    if (event->kind != EVENT_DELETE)
        failed("follower %d got change %llu of row %u before its pages were over", index,
               (unsigned long long)event->seq, event->id);
    if (event->seq <= f->page_seq)
        failed("follower %d: delete %llu stands after %llu", index, (unsigned long long)event->seq,
               (unsigned long long)f->page_seq);
    touch(index, event);
    f->page_seq = f->cursor = event->seq;
    f->rows[event->id] = (State){0};
}

static void note_log(int index, const Event *event)
{
    Book *book = book_of(index);
    Event whole = *event;
    whole.old = book->log_state[event->id];
    must(book->log_count < model->log_max);
    book->log[book->log_count++] = whole;
    book->log_state[event->id] = event->new;
    plan_seen(follower_book(index), event);
}

static void on_due(int index, const Event *event)
{
    Follower *f = &model->followers[index];
    State *have = &f->rows[event->id];
    bool knows = follower_first_rows(index) == KEYS || f->knows[event->id];
    if (event->seq <= f->last_seq)
        failed("follower %d got change %llu after %llu", index, (unsigned long long)event->seq,
               (unsigned long long)f->last_seq);
    if (knows && have->is_there == (event->kind == EVENT_INSERT))
        failed("follower %d got kind %d of row %u at %llu; it has the row: %d", index, event->kind,
               event->id, (unsigned long long)event->seq, have->is_there);
    if (knows && event->kind == EVENT_UPDATE && event->old.seq != have->seq)
        failed("follower %d: change %llu of row %u replaces %llu, it has %llu", index,
               (unsigned long long)event->seq, event->id, (unsigned long long)event->old.seq,
               (unsigned long long)have->seq);
    must(f->event_count < EVENTS_MAX);
    f->events[f->event_count++] = *event;
    f->last_seq = f->cursor = event->seq;
    f->knows[event->id] = true;
    *have = event->new;
    if (is_witness(index))
        note_log(index, event);
}

static void on_change(int index, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "change_type"));
    const json_t *old = json_array_get(json_object_get(message, "old_values"), 0);
    const json_t *new = json_array_get(json_object_get(message, "rows"), 0);
    Event event = {.kind = type[0] == 'i'   ? EVENT_INSERT
                           : type[0] == 'u' ? EVENT_UPDATE
                                            : EVENT_DELETE};
    if (event.kind != EVENT_INSERT)
        event.old = state_of(old);
    if (event.kind != EVENT_DELETE)
        event.new = state_of(new);
    event.id = id_of(index, new ? new : old);
    event.seq = new ? event.new.seq : event.old.seq;
    model->figures.delivered++;
    if (model->followers[index].mode == MODE_EXACT)
        on_due(index, &event);
    else
        on_loss(index, &event);
}

static void on_error(int index, const json_t *message)
{
    const Follower *f = &model->followers[index];
    const Book *book = book_of(index);
    const char *code = json_string_value(json_object_get(message, "code"));
    int64_t age_ms = (clock_wall_us() - seq_time_us(f->cursor)) / 1000;
    bool is_refused = strcmp(code, "CURSOR_TOO_OLD") == 0;
    bool is_aged = f->cursor && !is_witness(index) && age_ms >= FEED_WINDOW_S * 1000;
    bool has_changed = book->columns > 0 || f->life != book->life; /* ALTER or DROP TABLE */
    if (is_refused && (f->mode == MODE_STALE || is_aged)) {
        link_ended(index, true);
        *(f->mode == MODE_STALE ? &model->figures.stale : &model->figures.too_old) += 1;
    } else if (strcmp(code, "NOT_FOUND") == 0 && has_changed) {
        link_ended(index, false);
    } else {
        failed("follower %d (cursor %llu, %lld ms old, mode %d): %s %s", index,
               (unsigned long long)f->cursor, (long long)age_ms, f->mode, code,
               json_string_value(json_object_get(message, "message")));
    }
}

static void on_ack(int index, const json_t *message)
{
    Follower *f = &model->followers[index];
    if (f->is_acked)
        failed("follower %d was acknowledged twice", index);
    f->is_acked = true;
    if (f->mode != MODE_FIRST || follower_first_rows(index) > 0)
        return;
    f->cursor = number_of(json_object_get(message, "batch_control"), "last_seq");
    become_exact(index);
}

static void on_message(int index, const char *type, const json_t *message)
{
    const Follower *f = &model->followers[index];
    if (strcmp(type, "error") == 0)
        on_error(index, message);
    else if (f->mode == MODE_STALE)
        failed("follower %d resumes at %llu, which is of a table or of rows that are no more",
               index, (unsigned long long)f->cursor);
    else if (strcmp(type, "subscription_ack") == 0)
        on_ack(index, message);
    else if (!f->is_acked)
        failed("follower %d got %s before the acknowledgement", index, type);
    else if (type[0] == 'i')
        on_batch(index, message);
    else
        on_change(index, message);
}

/* ---- asking ---- */

static void forget(int index)
{
    Follower *f = &model->followers[index];
    memset(f->rows, 0, sizeof f->rows);
    memset(f->knows, 0, sizeof f->knows);
    f->cursor = 0;
    f->mode = MODE_AWAY;
    f->event_count = 0;
    f->is_begun = false;
}

static Mode mode_of_ask(const Follower *f, const Book *book, bool replay)
{
    if (!f->cursor)
        return MODE_FIRST;
    if (f->life != book->life)
        return MODE_STALE;
    return replay ? MODE_EXACT : MODE_RESUME;
}

static void compose(int index, LiveRequest *out)
{
    Follower *f = &model->followers[index];
    const Book *book = book_of(index);
    Figures *figures = &model->figures;
    bool replay = queries[index].replay, is_whole = f->mode == MODE_EXACT || f->mode == MODE_STALE;
    if (f->cursor && replay && !is_whole)
        forget(index); /* cut off in its first rows: only a whole state can be replayed upon */
    f->mode = mode_of_ask(f, book, replay);
    if (f->mode == MODE_FIRST)
        f->life = book->life;
    *(f->mode == MODE_EXACT    ? &figures->replays
      : f->mode == MODE_RESUME ? &figures->resumes
                               : &figures->anew) += 1;
    f->is_acked = false;
    f->from = f->page_seq = f->cursor;
    f->resumes++;
    unsigned first = follower_first_rows(index);
    out->sql = slice_of_text(queries[index].sql);
    out->has_options = first > 0 || f->cursor > 0;
    out->has_last_rows = first > 0 && first < KEYS;
    out->last_rows = first;
    out->has_batch_size = true;
    out->batch_size = 1 + random_of(&model->random) % 60;
    out->has_from = f->cursor > 0;
    out->from = f->cursor;
}

void followers_open(void)
{
    static const LinkUser user = {compose, on_message, forget};
    for (int i = 0; i < FOLLOWERS; i++)
        link_use(i, &user, queries[i].who, queries[i].replay);
}
