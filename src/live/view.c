/* SPDX-License-Identifier: Apache-2.0
 *
 * Live queries on system tables. Their rows are made when they are read, out of the catalog, the jobs and the subscriptions,
 * and no feed tells what became of them. So when one of these changes, and somebody follows the view, a worker makes all rows
 * once more; the loops send each follower the difference between the rows it has and these.
 *
 *     something changes ─> live__touch ─> poked (a loop) ─> refresh (a worker) ─> arrived (each loop) ─> live__view_step (each follower)
 *
 * I1. A view's `interest` is raised before a follower asks for rows, and looked at after a change has become visible; so the rows that a
 *     follower begins with, or a later refresh, show the change (as in hub.c, I1).
 * I2. A follower begins with rows of a refresh that began after it asked: what it has been told was done before is in them.
 * I3. What a follower has been sent is `have`, and, between two steps, the part of `target` before the place of the merge.
 * I4. Changes that come faster than rows can be made, or than a client reads, are told as one difference. Rows that a slow client pins
 *     are bounded: SNAPSHOTS_MAX of a view, then it has to begin anew.
 */
#include "live/view_int.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "data/row.h"
#include "os/clock.h"

enum {
    PAGE_ROWS_DEFAULT = 1000,
    PAGE_BYTES_MAX = 256 * 1024,
    SNAPSHOTS_MAX = 8,           /* of one view at a time */
    QUICK_US = 5 * 1000,         /* a refresh that takes longer than this … */
    REST_FACTOR = 9,             /* … is followed by so many times as long without one */
    STEP_CHANGES = 64,           /* between two looks at the client's queue */
    FIRST_TABLE_ID = 0x7FFFFF00, /* tables never get there */
};

typedef struct ViewRow {
    Slice key; /* of its primary key columns, one after the other */
    const Value *values;
    uint64_t stamp; /* of the refresh that found it like this */
} ViewRow;

struct ViewRows {
    _Atomic unsigned refs;
    View *view;
    Arena *arena;
    ViewRow *rows; /* by key */
    size_t count, capacity, bytes;
    uint64_t ticket; /* it holds all that was asked for up to here */
};

struct View {
    LiveHub *hub;
    Table *table; /* in no catalog */
    unsigned sources;
    uint64_t figures;
    LiveViewFill *fill;
    void *context;
    _Atomic size_t interest, alive; /* followers; ViewRows */
    ViewRows *current;              /* of the refresh that runs, or ran last */
    LoopTask poke;                  /* asks `poked_loop` to start a refresh */
    /* guarded by hub->lock */
    LiveLoop *poked_loop;  /* a reference, while the poke is on its way */
    uint64_t wanted, done; /* tickets */
    int64_t not_before_us;
    bool is_running;
};

struct ViewFollower {
    View *view;
    uint64_t ticket; /* I2 */
    ViewRows *have, *target;
    size_t have_at, target_at;
    uint32_t batch_num;
    Error *resnapshot; /* told before the first page */
    bool is_acked;
    bool is_loaded; /* has got its first rows */
    bool is_lost;   /* I4: what it has is not known any more */
};

/* ---- rows ---- */

static ViewRows *rows_new(View *view)
{
    ViewRows *rows = x_new(ViewRows);
    atomic_init(&rows->refs, 1);
    atomic_fetch_add_explicit(&view->alive, 1, memory_order_relaxed);
    rows->view = view;
    rows->arena = arena_new();
    return rows;
}

static ViewRows *rows_ref(ViewRows *rows)
{
    atomic_fetch_add_explicit(&rows->refs, 1, memory_order_relaxed);
    return rows;
}

void live__view_rows_unref(ViewRows *rows)
{
    /* release: our uses come before the free; acquire: the free comes after theirs. */
    if (!rows || atomic_fetch_sub_explicit(&rows->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&rows->view->alive, 1, memory_order_relaxed);
    arena_free(rows->arena);
    free(rows->rows);
    free(rows);
}

static Value copy_value(ViewRows *rows, const Value *value)
{
    Value copy = *value;
    if (!value->is_null && (type_is_text(value->type) || value->type == TYPE_BYTES)) {
        copy.bytes = arena_copy(rows->arena, value->bytes);
        rows->bytes += copy.bytes.size;
    }
    return copy;
}

static const Value *copy_values(ViewRows *rows, const Value *values)
{
    uint32_t count = rows->view->table->schema->column_count;
    Value *copy = arena_new_array(rows->arena, Value, count);
    for (uint32_t i = 0; i < count; i++)
        copy[i] = copy_value(rows, &values[i]);
    rows->bytes += count * sizeof(Value);
    return copy;
}

static Code encode_key(const View *view, const Value *values, Buffer *out, Error *e)
{
    const Schema *schema = view->table->schema;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (schema->columns[i].primary_key)
            TRY(key_encode(&values[i], out, e));
    }
    return OK;
}

static Code keep_row(void *context, const Value *values, Error *e)
{
    ViewRows *rows = (ViewRows *)context;
    CLEANUP(buffer_done) Buffer key = {0};
    if (rows->count == LIVE_VIEW_ROWS_MAX || rows->bytes > LIVE_VIEW_BYTES_MAX)
        return fail(e, E_UNSUPPORTED,
                    "%.*s.%.*s has more rows than can be followed: at most %d, and %d MiB",
                    SLICE_ARGS(rows->view->table->namespace_name),
                    SLICE_ARGS(rows->view->table->name), LIVE_VIEW_ROWS_MAX,
                    LIVE_VIEW_BYTES_MAX / (1024 * 1024));
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 64;
        rows->rows = (ViewRow *)x_grow(rows->rows, rows->capacity * sizeof(ViewRow));
    }
    TRY(encode_key(rows->view, values, &key, e));
    rows->rows[rows->count++] = (ViewRow){.key = arena_copy(rows->arena, buffer_slice(&key)),
                                          .values = copy_values(rows, values)};
    return OK;
}

static int compare_rows(const void *a, const void *b)
{
    return slice_compare(((const ViewRow *)a)->key, ((const ViewRow *)b)->key);
}

static bool is_same_cell(const View *view, uint32_t column, const Value *a, const Value *b)
{
    bool is_figure = column < 64 && (view->figures >> column & 1);
    return is_figure || value_identical(&a[column], &b[column]);
}

static bool is_same(const View *view, const Value *a, const Value *b)
{
    for (uint32_t i = 0; i < view->table->schema->column_count; i++) {
        if (!is_same_cell(view, i, a, b))
            return false;
    }
    return true;
}

/* Rows that are as they were keep their stamp, and what was told of them. */
static void stamp(ViewRows *rows, const ViewRows *before)
{
    size_t k = 0;
    for (size_t i = 0; i < rows->count; i++) {
        ViewRow *row = &rows->rows[i];
        while (before && k < before->count && slice_compare(before->rows[k].key, row->key) < 0)
            k++;
        const ViewRow *old = before && k < before->count ? &before->rows[k] : NULL;
        row->stamp = rows->ticket;
        if (!old || !slice_equal(old->key, row->key) ||
            !is_same(rows->view, old->values, row->values))
            continue;
        row->stamp = old->stamp;
        row->values = copy_values(rows, old->values);
    }
}

static Code make_rows(View *view, uint64_t ticket, ViewRows **out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ViewRows *rows = rows_new(view);
    rows->ticket = ticket;
    Code code = view->fill(view->context, arena, keep_row, rows, e);
    if (code != OK) {
        live__view_rows_unref(rows);
        return code;
    }
    if (rows->count)
        qsort(rows->rows, rows->count, sizeof *rows->rows, compare_rows);
    stamp(rows, view->current);
    *out = rows;
    return OK;
}

/* ---- refresh ---- */

/* Rows, or why there are none, on their way to one loop. */
typedef struct Arrival {
    LoopTask task;
    LiveLoop *loop; /* a reference */
    View *view;
    ViewRows *rows; /* a reference; NULL: `error` */
    Error error;
} Arrival;

static void deliver_rows(Arrival *arrival, Entry *entry)
{
    live__view_rows_unref(entry->view_rows);
    entry->view_rows = rows_ref(arrival->rows);
    for (Channel *channel = entry->channels, *next; channel; channel = next) {
        next = channel->next; /* an error may end the last of a channel */
        for (Subscription *s = channel->subscriptions, *after; s; s = after) {
            after = s->next;
            if (!s->is_waiting)
                live__view_step(s);
        }
    }
}

static void end_followers(Entry *entry, const Error *error)
{
    for (Channel *channel = entry->channels, *next; channel; channel = next) {
        next = channel->next;
        for (Subscription *s = channel->subscriptions, *after; s; s = after) {
            after = s->next;
            live__end(s, error);
        }
    }
}

static Partition partition_of(const View *view)
{
    return (Partition){view->table->id, 0};
}

static void arrived(LoopTask *task)
{
    Arrival *arrival = (Arrival *)task;
    LiveLoop *loop = arrival->loop;
    Partition partition = partition_of(arrival->view);
    Entry *entry = loop->is_closed ? NULL : live__find_entry(loop, &partition);
    if (entry && arrival->rows)
        deliver_rows(arrival, entry);
    else if (entry)
        end_followers(entry, &arrival->error);
    live__view_rows_unref(arrival->rows);
    free(arrival);
    live__loop_unref(loop);
}

static void post_to_loops(View *view, ViewRows *rows, const Error *error)
{
    LiveHub *hub = view->hub;
    MUTEX_SCOPE(&hub->lock); /* no loop can be closed meanwhile */
    for (size_t i = 0; i < hub->loop_count; i++) {
        Arrival *arrival = x_new(Arrival);
        *arrival = (Arrival){.task = {.run = arrived}, .loop = hub->loops[i], .view = view};
        if (rows)
            arrival->rows = rows_ref(rows);
        else
            arrival->error = *error;
        atomic_fetch_add_explicit(&arrival->loop->refs, 1, memory_order_relaxed);
        loop_post_task(arrival->loop->loop, &arrival->task);
    }
}

static void start_refresh(View *view);

/* Says what the next refresh waits for; true when it may begin at once. */
static bool end_refresh(View *view, uint64_t ticket, int64_t began_us)
{
    int64_t now_us = clock_monotonic_us(), took_us = now_us - began_us;
    MUTEX_SCOPE(&view->hub->lock);
    view->done = ticket;
    view->is_running = false;
    view->not_before_us = took_us > QUICK_US ? now_us + REST_FACTOR * took_us : 0;
    return view->wanted != ticket && view->not_before_us == 0;
}

static void refresh(void *argument) /* worker thread, one at a time for a view */
{
    View *view = (View *)argument;
    Error error = {0};
    ViewRows *rows = NULL;
    int64_t began_us = clock_monotonic_us();
    mutex_lock(&view->hub->lock);
    uint64_t ticket = view->wanted;
    mutex_unlock(&view->hub->lock);
    bool is_followed = atomic_load_explicit(&view->interest, memory_order_acquire) > 0;
    if (is_followed) {
        if (make_rows(view, ticket, &rows, &error) != OK)
            rows = NULL;
        post_to_loops(view, rows, &error);
    }
    live__view_rows_unref(view->current);
    view->current = rows;
    if (end_refresh(view, ticket, began_us))
        start_refresh(view);
}

/* Does nothing when one is under way, is not due, or when the workers have no room: live__views_tick looks again. On loops and
 * workers only, for they end before the workers' queue does. */
static void start_refresh(View *view)
{
    LiveHub *hub = view->hub;
    mutex_lock(&hub->lock);
    bool starts = !view->is_running && view->wanted != view->done &&
                  clock_monotonic_us() >= view->not_before_us;
    view->is_running |= starts;
    mutex_unlock(&hub->lock);
    if (!starts || workers_push(hub->workers, (Task){refresh, view}))
        return;
    mutex_lock(&hub->lock);
    view->is_running = false;
    mutex_unlock(&hub->lock);
}

static uint64_t want_refresh(View *view)
{
    MUTEX_SCOPE(&view->hub->lock);
    return ++view->wanted;
}

static void poked(LoopTask *task)
{
    View *view = (View *)((char *)task - offsetof(View, poke));
    mutex_lock(&view->hub->lock);
    LiveLoop *loop = view->poked_loop;
    view->poked_loop = NULL;
    mutex_unlock(&view->hub->lock);
    if (!loop->is_closed)
        start_refresh(view);
    live__loop_unref(loop);
}

/* Whatever happens until the loop comes to it is one refresh. */
static void poke(View *view)
{
    LiveHub *hub = view->hub;
    MUTEX_SCOPE(&hub->lock); /* no loop can be closed meanwhile */
    view->wanted++;
    if (view->poked_loop || hub->loop_count == 0)
        return;
    view->poked_loop = hub->loops[0];
    view->poke.run = poked;
    atomic_fetch_add_explicit(&view->poked_loop->refs, 1, memory_order_relaxed);
    loop_post_task(view->poked_loop->loop, &view->poke);
}

void live__touch(LiveHub *hub, unsigned sources)
{
    for (size_t i = 0; i < hub->view_count && sources; i++) {
        View *view = hub->views[i];
        /* I1: a read-modify-write although nothing changes. */
        if (!(view->sources & sources) ||
            atomic_fetch_add_explicit(&view->interest, 0, memory_order_acq_rel) == 0)
            continue;
        poke(view);
    }
}

void live__views_tick(LiveHub *hub)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        if (atomic_load_explicit(&hub->views[i]->interest, memory_order_relaxed) > 0)
            start_refresh(hub->views[i]);
    }
}

/* ---- what a follower is sent ---- */

static bool is_full(const Subscription *s)
{
    return s->client->io->queued_bytes(s->client->socket) >
           s->loop->hub->options.socket_queue_bytes_max;
}

static void send_message(Subscription *s, Slice message)
{
    live__send(s->client, message, 0);
    atomic_fetch_add_explicit(&s->changes, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->sent_bytes, message.size, memory_order_relaxed);
    atomic_store_explicit(&s->last_update_us, clock_wall_us(), memory_order_relaxed);
}

/* The next seq of the server's sequence: `_seq` rises with each message, and is a cursor for nothing. */
static uint64_t next_seq(const Subscription *s)
{
    return database_next_id(s->loop->hub->db);
}

/* A page under way, in loop->body. */
typedef struct Page {
    uint32_t rows;
    uint64_t last_seq;
} Page;

static void send_ack(Subscription *s, bool has_more, uint32_t total_rows)
{
    Buffer *message = &s->loop->message;
    BatchControl control = {.has_more = has_more,
                            .seq_text = s->client->features.seq_text,
                            .total_rows = has_more ? 0 : total_rows};
    buffer_clear(message);
    live__add_ack(message, s->id, s->query, &control);
    send_message(s, buffer_slice(message));
    s->view->is_acked = true;
}

static void send_page(Subscription *s, Page *page, bool has_more)
{
    LiveLoop *loop = s->loop;
    ViewFollower *follower = s->view;
    if (!follower->is_acked)
        send_ack(s, has_more, page->rows);
    if (follower->resnapshot) {
        buffer_clear(&loop->message);
        live__add_resnapshot(&loop->message, s->id, follower->resnapshot);
        send_message(s, buffer_slice(&loop->message));
        free(follower->resnapshot);
        follower->resnapshot = NULL;
    }
    if (s->request.has_options) {
        BatchControl control = {.batch_num = follower->batch_num++,
                                .has_more = has_more,
                                .seq_text = s->client->features.seq_text,
                                .last_seq = has_more ? page->last_seq : next_seq(s)};
        buffer_clear(&loop->message);
        live__add_batch(&loop->message, s->id, buffer_slice(&loop->body), &control);
        send_message(s, buffer_slice(&loop->message));
    }
    buffer_clear(&loop->body);
    *page = (Page){0};
}

static bool is_page_full(const Subscription *s, const Page *page)
{
    const LiveRequest *request = &s->request;
    uint64_t rows =
        request->has_batch_size && request->batch_size ? request->batch_size : PAGE_ROWS_DEFAULT;
    return page->rows >= rows || page->rows >= LIVE_PAGE_ROWS_MAX ||
           s->loop->body.size >= PAGE_BYTES_MAX;
}

static Code add_to_page(Subscription *s, const ViewRow *row, Page *page, Error *e)
{
    page->last_seq = next_seq(s);
    if (page->rows++)
        buffer_add_char(&s->loop->body, ',');
    return live__add_row(&s->loop->body, s->query, row->values, page->last_seq, e);
}

static Code row_matches(Subscription *s, const ViewRow *row, bool *out, Error *e)
{
    arena_reset(s->loop->arena);
    return live__query_matches(s->query, row->values, 0, s->loop->arena, out, e);
}

/* Where the last n rows that match begin. */
static Code find_last_rows(Subscription *s, size_t *out, Error *e)
{
    const ViewRows *target = s->view->target;
    uint64_t wanted = s->request.last_rows;
    size_t at = target->count;
    for (bool matches; wanted > 0 && at > 0; wanted -= matches)
        TRY(row_matches(s, &target->rows[--at], &matches, e));
    *out = at;
    return OK;
}

/* ORDER BY: one page (order.c). */
static Code send_ordered(Subscription *s, OrderedRows **ordered, Error *e)
{
    ViewFollower *follower = s->view;
    Page page = {0};
    for (; follower->target_at < follower->target->count; follower->target_at++) {
        const ViewRow *row = &follower->target->rows[follower->target_at];
        bool matches;
        TRY(row_matches(s, row, &matches, e));
        if (!matches)
            continue;
        uint64_t seq = next_seq(s);
        buffer_clear(&s->loop->body);
        TRY(live__add_row(&s->loop->body, s->query, row->values, seq, e));
        TRY(live__ordered_add(ordered, s->query, row->values, seq, buffer_slice(&s->loop->body),
                              s->loop->arena, e));
    }
    buffer_clear(&s->loop->body);
    page.rows = live__ordered_take(*ordered, s->query, &s->loop->body);
    send_page(s, &page, false);
    return OK;
}

/* First rows from target_at on. */
static Code send_rows(Subscription *s, bool *out_all, Error *e)
{
    ViewFollower *follower = s->view;
    Page page = {0};
    buffer_clear(&s->loop->body);
    for (; follower->target_at < follower->target->count; follower->target_at++) {
        const ViewRow *row = &follower->target->rows[follower->target_at];
        bool matches;
        TRY(row_matches(s, row, &matches, e));
        if (!matches)
            continue;
        if (is_page_full(s, &page)) {
            send_page(s, &page, true);
            *out_all = false;
            if (is_full(s))
                return OK;
        }
        TRY(add_to_page(s, row, &page, e));
    }
    send_page(s, &page, false);
    *out_all = true;
    return OK;
}

static Code send_first_rows(Subscription *s, bool *out_all, Error *e)
{
    if (s->query->order_count == 0)
        return send_rows(s, out_all, e);
    OrderedRows *ordered = NULL;
    *out_all = true;
    Code code = send_ordered(s, &ordered, e);
    live__ordered_free(ordered);
    return code;
}

/* ---- differences ---- */

/* The next key of the two: what it had, what it has. */
static void next_difference(ViewFollower *f, const ViewRow **out_old, const ViewRow **out_new)
{
    const ViewRow *old = f->have_at < f->have->count ? &f->have->rows[f->have_at] : NULL;
    const ViewRow *now = f->target_at < f->target->count ? &f->target->rows[f->target_at] : NULL;
    int order = !old ? 1 : !now ? -1 : slice_compare(old->key, now->key);
    *out_old = order <= 0 ? old : NULL;
    *out_new = order >= 0 ? now : NULL;
    f->have_at += order <= 0;
    f->target_at += order >= 0;
}

/* Whether the client would see a difference. */
static bool looks_same(const LiveQuery *query, const ViewRow *old, const ViewRow *now)
{
    if (!old || !now)
        return false;
    bool is_same_row = old->stamp == now->stamp;
    for (uint32_t i = 0; i < query->column_count && !is_same_row; i++) {
        if (!is_same_cell(query->view, query->columns[i].index, old->values, now->values))
            return false;
    }
    return true;
}

static Code send_difference(Subscription *s, const ViewRow *old, const ViewRow *now, Error *e)
{
    LiveLoop *loop = s->loop;
    LiveEvent event;
    LiveChange change = {
        .kind = !old   ? CHANGE_INSERT
                : !now ? CHANGE_DELETE
                       : CHANGE_UPDATE,
        .seq = next_seq(s),
        .old_values = old ? old->values : NULL,
        .new_values = now ? now->values : NULL,
    };
    if (old && now && old->stamp == now->stamp)
        return OK;
    arena_reset(loop->arena);
    TRY(live__query_event(s->query, &change, loop->arena, &event, e));
    if (event == LIVE_EVENT_NONE || (event == LIVE_EVENT_UPDATE && looks_same(s->query, old, now)))
        return OK;
    buffer_clear(&loop->message);
    live__add_change_head(&loop->message, s->id);
    TRY(live__add_change_body(&loop->message, s->query, event, &change, e));
    send_message(s, buffer_slice(&loop->message));
    return OK;
}

static Code send_differences(Subscription *s, bool *out_all, Error *e)
{
    ViewFollower *f = s->view;
    const ViewRow *old, *now;
    *out_all = false;
    for (size_t n = 1; f->have_at < f->have->count || f->target_at < f->target->count; n++) {
        next_difference(f, &old, &now);
        TRY(send_difference(s, old, now, e));
        if (n % STEP_CHANGES == 0 && is_full(s))
            return OK;
    }
    *out_all = true;
    return OK;
}

/* ---- followers ---- */

static void forget_rows(ViewFollower *follower)
{
    live__view_rows_unref(follower->have);
    live__view_rows_unref(follower->target);
    follower->have = follower->target = NULL;
}

/* I4 */
static void wait_for_client(Subscription *s)
{
    ViewFollower *follower = s->view;
    if (s->state == SUB_LIVE)
        live__set_state(s, SUB_CATCHING_UP);
    live__stall(s);
    if (atomic_load_explicit(&follower->view->alive, memory_order_relaxed) <= SNAPSHOTS_MAX)
        return;
    forget_rows(follower);
    follower->is_lost = true;
}

/* What the client has is not known, or never was: first rows in place, where it knows what that is. False: it has ended. */
static bool begin_anew(Subscription *s, const char *why)
{
    ViewFollower *follower = s->view;
    Error error = {0};
    (void)!fail(&error, E_CURSOR_TOO_OLD, "%s; subscribe again without a cursor", why);
    if (!s->client->features.resnapshot) {
        live__end(s, &error);
        return false;
    }
    free(follower->resnapshot);
    follower->resnapshot = x_new(Error);
    *follower->resnapshot = error;
    follower->batch_num = 0;
    follower->is_loaded = follower->is_lost = false;
    if (s->state == SUB_CATCHING_UP)
        live__set_state(s, SUB_LOADING);
    return true;
}

/* False when there is nothing newer than what it has. */
static bool take_target(Subscription *s)
{
    ViewFollower *follower = s->view;
    ViewRows *newest = s->channel->entry->view_rows;
    if (follower->target)
        return true;
    if (!newest || newest == follower->have || newest->ticket < follower->ticket) /* I2 */
        return false;
    follower->target = rows_ref(newest);
    follower->have_at = follower->target_at = 0;
    return true;
}

/* Some of what leads to the target. */
static Code step(Subscription *s, Error *e)
{
    ViewFollower *follower = s->view;
    bool is_all;
    if (follower->is_loaded) {
        TRY(send_differences(s, &is_all, e));
    } else {
        bool begins = follower->target_at == 0 && follower->batch_num == 0;
        if (begins && !s->request.has_options)
            follower->target_at = follower->target->count;
        else if (begins && s->request.has_last_rows)
            TRY(find_last_rows(s, &follower->target_at, e));
        TRY(send_first_rows(s, &is_all, e));
    }
    if (!is_all)
        return OK;
    live__view_rows_unref(follower->have);
    follower->have = follower->target;
    follower->target = NULL;
    follower->is_loaded = true;
    return OK;
}

void live__view_step(Subscription *s)
{
    Error error = {0};
    if (s->view->is_lost && !begin_anew(s, "The client was too slow for this system table"))
        return;
    while (take_target(s)) {
        if (is_full(s)) {
            wait_for_client(s);
            return;
        }
        if (step(s, &error) != OK) {
            live__end(s, &error);
            return;
        }
    }
    if (!s->view->is_loaded)
        return;
    if (s->state == SUB_LOADING)
        live__set_state(s, SUB_CATCHING_UP);
    if (s->state == SUB_CATCHING_UP)
        live__set_state(s, SUB_LIVE);
}

void live__view_start(Subscription *s)
{
    ViewFollower *follower = x_new(ViewFollower);
    View *view = follower->view = s->query->view;
    s->view = follower;
    atomic_fetch_add_explicit(&view->interest, 1, memory_order_acq_rel); /* I1 */
    live__set_state(s, SUB_LOADING);
    bool has_cursor = s->request.has_from && s->request.from > 0;
    if (has_cursor && !begin_anew(s, "A system table keeps no changes"))
        return;
    follower->ticket = want_refresh(view);
    start_refresh(view);
}

void live__view_leave(Subscription *s)
{
    if (s->view)
        atomic_fetch_sub_explicit(&s->view->view->interest, 1, memory_order_acq_rel);
}

void live__view_free(ViewFollower *follower)
{
    if (!follower)
        return;
    forget_rows(follower);
    free(follower->resnapshot);
    free(follower);
}

/* ---- the views of a hub ---- */

void live_hub_add_view(LiveHub *hub, const LiveView *definition)
{
    must(hub->view_count < LIVE_VIEWS_MAX);
    View *view = x_new(View);
    Table table = {
        .name = definition->name,
        .kind = TABLE_SHARED,
        .access = ACCESS_DBA,
        .schema = definition->schema,
    };
    view->hub = hub;
    view->table = catalog_table_of_view(&table, definition->namespace_name,
                                        FIRST_TABLE_ID + (uint32_t)hub->view_count);
    view->sources = definition->sources;
    view->figures = definition->figures;
    view->fill = definition->fill;
    view->context = definition->context;
    hub->views[hub->view_count++] = view;
}

View *live__find_view(LiveHub *hub, Slice namespace_name, Slice name, Table **out_table)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        const Table *table = hub->views[i]->table;
        if (!slice_equal_ignoring_case(table->namespace_name, namespace_name) ||
            !slice_equal_ignoring_case(table->name, name))
            continue;
        *out_table = table_ref(hub->views[i]->table);
        return hub->views[i];
    }
    return NULL;
}

void live__views_free(LiveHub *hub)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        live__view_rows_unref(hub->views[i]->current);
        table_unref(hub->views[i]->table);
        free(hub->views[i]);
    }
}
