/* SPDX-License-Identifier: Apache-2.0
 *
 * Followers of system tables: first rows, then the difference between the rows that a client has
 * and the newest (view_rows.c makes them). On the loop's thread.
 *
 * I1. A follower begins with rows of a refresh that began after it asked: what it has been told was
 *     done before is in them.
 * I2. What a follower has been sent is `have`, and, between two steps, the part of `target` before
 *     the place of the merge.
 * I3. Changes that come faster than rows can be made, or than a client reads, are told as one
 *     difference. Rows that a slow client pins are bounded: SNAPSHOTS_MAX of a view, then it has to
 *     begin anew.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "live/view_int.h"
#include "os/clock.h"

enum {
    PAGE_ROWS_DEFAULT = 1000,
    PAGE_BYTES_MAX = 256 * 1024,
    SNAPSHOTS_MAX = 8, /* of one view at a time */
    STEP_CHANGES = 64, /* between two looks at the client's queue */
};

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

/* The next seq of the server's sequence: `_seq` rises with each message, and is a cursor for
 * nothing. */
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
static Code send_ordered(Subscription *s, OrderedRows *ordered, Error *e)
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
    page.rows = live__ordered_take(ordered, s->query, &s->loop->body);
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
    OrderedRows *ordered = live__ordered_new(&s->loop->hub->ordered);
    *out_all = true;
    Code code = send_ordered(s, ordered, e);
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
        if (!live__view_same_cell(query->view, query->columns[i].index, old->values, now->values))
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

/* I3 */
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

/* What the client has is not known, or never was: first rows in place, where it knows what that is.
 * False: it has ended. */
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
    if (!newest || newest == follower->have || newest->ticket < follower->ticket) /* I1 */
        return false;
    follower->target = live__view_rows_ref(newest);
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
    atomic_fetch_add_explicit(&view->interest, 1, memory_order_acq_rel); /* view_rows.c, I1 */
    live__set_state(s, SUB_LOADING);
    bool has_cursor = s->request.has_from && s->request.from > 0;
    if (has_cursor && !begin_anew(s, "A system table keeps no changes"))
        return;
    follower->ticket = live__view_refresh(view);
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
