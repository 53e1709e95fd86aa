/* SPDX-License-Identifier: Apache-2.0
 *
 * Subscriptions of one loop: made, loaded, caught up, live, ended (state.c has the picture).
 *
 * A subscription that is not live has a Reader and is in exactly one place: under way on a worker,
 * in the loop's queue of reads, or among its client's stalled, which wait until the socket has
 * drained.
 *
 * I1. It goes live only when its cursor has reached every change of its partition that the loop has
 *     handled (entry->last_change_seq) or was told it missed. If the worker's snapshot was too old
 *     for that, the rest is read on the loop itself, whose snapshot holds all it has handled: a
 *     busy table cannot keep a subscription from going live.
 * I2. A read is started only while the client's queue is short, and at most CLIENT_READS_MAX at
 *     once: what a client that does not read costs is bounded.
 * I3. An ended subscription is freed when it is neither being read for nor queued.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "live/view_int.h"
#include "os/clock.h"

enum {
    READS_MAX = 8, /* under way for one loop: workers serve statements too */
    CLIENT_READS_MAX = 4,
    READ_ROWS_MAX = 20 * 1000, /* rows or changes of one read */
    TAIL_ROWS_MAX = 256,       /* of a read on the loop's own thread */
    TAIL_BYTES_MAX = 32 * 1024,
    RETRY_MS = 5,
};

static void queue_add(WaitQueue *queue, Subscription *s)
{
    must(!s->is_waiting);
    s->is_waiting = true;
    s->wait_next = NULL;
    if (queue->last)
        queue->last->wait_next = s;
    else
        queue->first = s;
    queue->last = s;
}

static void queue_add_first(WaitQueue *queue, Subscription *s)
{
    must(!s->is_waiting);
    s->is_waiting = true;
    s->wait_next = queue->first;
    queue->first = s;
    if (!queue->last)
        queue->last = s;
}

static Subscription *queue_take(WaitQueue *queue)
{
    Subscription *s = queue->first;
    if (!s)
        return NULL;
    queue->first = s->wait_next;
    if (!queue->first)
        queue->last = NULL;
    s->is_waiting = false;
    return s;
}

/* ---- ending ---- */

static void free_if_done(Subscription *s) /* I3 */
{
    if (s->state != SUB_ENDED || s->is_reading || s->is_waiting)
        return;
    live__reader_free(s->reader);
    live__view_free(s->view);
    live__query_unref(s->query);
    free(s->error);
    free((void *)s->id.data);
    free(s);
}

void live__end(Subscription *s, const Error *error)
{
    LiveClient *client = s->client;
    if (error)
        live__send_error(client, s->id, error);
    live__hub_remove(s->loop->hub, s);
    live__set_state(s, SUB_ENDED);
    map_remove(client->subscriptions, s->id);
    live__view_leave(s);
    live__leave(s);
    if (s->is_reading)
        client->reading--;
    s->client = NULL;
    free_if_done(s);
}

/* ---- reading ---- */

static void want_read(Subscription *s)
{
    must(s->reader);
    queue_add(&s->loop->ready, s);
}

/* Moves as many of the stalled to the loop's queue as the client may read at once. */
static void release_stalled(LiveClient *client)
{
    size_t room = client->reading < CLIENT_READS_MAX ? CLIENT_READS_MAX - client->reading : 0;
    while (room > 0 && client->stalled.first) {
        Subscription *s = queue_take(&client->stalled);
        if (s->state == SUB_ENDED) {
            free_if_done(s);
            continue;
        }
        if (s->view)
            live__view_step(s);
        else
            want_read(s);
        room--;
    }
}

static bool is_full(const LiveClient *client)
{
    return client->io->queued_bytes(client->socket) > client->drained_mark;
}

void live__stall(Subscription *s)
{
    LiveClient *client = s->client;
    if (!client->stalled.first) {
        client->stalled_at_ms = loop_now_ms(client->loop->loop);
        client->stalled_bytes = client->io->queued_bytes(client->socket);
    }
    queue_add(&client->stalled, s);
}

void live__send_out(Subscription *s)
{
    Buffer *out = &s->reader->out;
    uint64_t count = 0;
    for (size_t at = 0; at < out->size; count++) {
        MessageHead head;
        memcpy(&head, out->data + at, sizeof head);
        live__send(s->client, slice_of(out->data + at + sizeof head, head.size), head.cursor);
        at += sizeof head + head.size;
    }
    size_t bytes = out->size - count * sizeof(MessageHead);
    atomic_store_explicit(&s->seen_seq, s->reader->cursor, memory_order_relaxed);
    buffer_clear(out);
    if (count == 0)
        return;
    atomic_fetch_add_explicit(&s->changes, count, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->sent_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&s->last_update_us, clock_wall_us(), memory_order_relaxed);
}

static bool may_go_live(const Subscription *s) /* I1 */
{
    uint64_t missed = atomic_load_explicit(&s->loop->missed_seq, memory_order_seq_cst);
    return s->reader->reached && s->reader->cursor >= s->channel->entry->last_change_seq &&
           s->reader->cursor >= missed;
}

static void go_live(Subscription *s)
{
    s->cursor = s->reader->cursor;
    live__reader_free(s->reader);
    s->reader = NULL;
    live__set_state(s, SUB_LIVE);
}

/* I1: reads what is left on this thread, out of memory and not much of it. */
static Code read_tail(Subscription *s, Error *e)
{
    ReadBudget budget = {HOT_CACHED_ONLY, TAIL_BYTES_MAX, TAIL_ROWS_MAX, NULL};
    Code code = live__reader_step(s->reader, s->loop->hub->db, &budget, e);
    live__send_out(s);
    return code == E_WOULD_BLOCK ? OK : code;
}

/* Its cursor is no good: new first rows in place, where the client knows what that is. */
static bool begin_anew(Subscription *s, const Error *why)
{
    bool is_bad_cursor = why->code == E_CURSOR_TOO_OLD || why->code == E_CURSOR_TOO_NEW;
    if (!is_bad_cursor || !s->client->features.resnapshot)
        return false;
    s->reader = live__reader_anew(s->reader, &s->request, &s->client->features, why);
    if (s->state != SUB_LOADING)
        live__set_state(s, SUB_LOADING);
    want_read(s);
    return true;
}

static void end_or_begin_anew(Subscription *s, const Error *error)
{
    if (!begin_anew(s, error))
        live__end(s, error);
}

/* A read has ended: live now, or what next. */
static void go_on(Subscription *s)
{
    Error error = {0};
    if (!table_is_current(
            s->query->table)) { /* the reader may have noticed, or may have been just in time */
        s->code = live__follow(s, s->error);
        s->reader->reached = false;
    }
    if (s->code != OK) {
        end_or_begin_anew(s, s->error);
        return;
    }
    if (s->state == SUB_LOADING && s->reader->phase == READ_FEED)
        live__set_state(s, SUB_CATCHING_UP);
    if (s->reader->reached && !may_go_live(s) && !is_full(s->client)) {
        bool has_failed = read_tail(s, &error) != OK;
        if (has_failed && table_is_current(s->query->table)) {
            end_or_begin_anew(s, &error);
            return;
        }
    }
    if (may_go_live(s))
        go_live(s);
    else
        want_read(s);
}

static void read_done(LoopTask *task)
{
    Subscription *s = (Subscription *)((char *)task - offsetof(Subscription, task));
    LiveLoop *loop = s->loop;
    loop->reads--;
    s->is_reading = false;
    if (s->state == SUB_ENDED) {
        free_if_done(s);
    } else {
        LiveClient *client = s->client;
        client->reading--;
        live__send_out(s);
        go_on(s);
        if (!is_full(client))
            release_stalled(client);
    }
    if (!loop->is_closed)
        live__pump(loop);
    live__loop_unref(loop);
}

static void run_read(void *argument) /* worker thread */
{
    Subscription *s = (Subscription *)argument;
    LiveHub *hub = s->loop->hub;
    ReadBudget budget = {HOT_BLOCKING, hub->options.chunk_bytes_max, READ_ROWS_MAX, &hub->ordered};
    s->code = live__reader_step(s->reader, hub->db, &budget, s->error);
    loop_post_task(s->loop->loop, &s->task);
}

/* False when the workers have no room. */
static bool start_read(Subscription *s)
{
    LiveLoop *loop = s->loop;
    if (!s->error)
        s->error = x_new(Error);
    *s->error = (Error){0};
    s->task.run = read_done;
    s->is_reading = true;
    atomic_fetch_add_explicit(&loop->refs, 1, memory_order_relaxed);
    if (!workers_push(loop->hub->workers, (Task){run_read, s})) {
        s->is_reading = false;
        live__loop_unref(loop);
        return false;
    }
    loop->reads++;
    s->client->reading++;
    atomic_fetch_add_explicit(&loop->hub->reads, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->read_count, 1, memory_order_relaxed);
    return true;
}

void live__pump(LiveLoop *loop)
{
    while (loop->reads < READS_MAX && loop->ready.first) {
        Subscription *s = queue_take(&loop->ready);
        if (s->state == SUB_ENDED) {
            free_if_done(s);
        } else if (s->client->reading >= CLIENT_READS_MAX || is_full(s->client)) { /* I2 */
            live__stall(s);
        } else if (!start_read(s)) {
            queue_add_first(&loop->ready, s);
            loop_timer_start(loop->retry, RETRY_MS, 0);
            return;
        }
    }
}

void live__drop_ended(WaitQueue *queue)
{
    for (Subscription *s; (s = queue_take(queue));) {
        must(s->state == SUB_ENDED);
        free_if_done(s);
    }
}

void live_client_drained(LiveClient *client)
{
    release_stalled(client);
    live__pump(client->loop);
}

void live__fall_back(Subscription *s, uint64_t cursor)
{
    live__set_state(s, SUB_CATCHING_UP);
    s->reader = live__reader_feed(s->query, s->id, cursor);
    atomic_store_explicit(&s->seen_seq, cursor, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->loop->hub->fallbacks, 1, memory_order_relaxed);
    want_read(s);
}

/* ---- subscribing ---- */

static Subscription *subscription_new(LiveClient *client, Channel *channel,
                                      const LiveRequest *request)
{
    Subscription *s = x_new(Subscription);
    s->client = client;
    s->loop = client->loop;
    s->query = live__query_ref(channel->query);
    s->first_version = s->query->table->schema->version;
    s->id = slice_of_text(x_text(request->id));
    s->id.size = request->id.size;
    s->user = client->user;
    s->request = *request;
    s->request.id = s->request.sql = (Slice){0};
    s->request.params = NULL;
    s->created_at_us = clock_wall_us();
    atomic_init(&s->last_update_us, s->created_at_us);
    map_put(client->subscriptions, s->id, s);
    live__join(s, channel);
    return s;
}

/* Without first rows nothing has to be read: what is committed from here on will be delivered
 * (hub.c, I1). */
static void start_live(Subscription *s)
{
    uint64_t last_seq = database_last_seq(s->loop->hub->db), born = live__query_born(s->query);
    s->cursor = last_seq > born ? last_seq : born;
    BatchControl control = {.seq_text = s->client->features.seq_text, .last_seq = s->cursor};
    CLEANUP(buffer_done) Buffer ack = {0};
    live__add_ack(&ack, s->id, s->query, &control);
    live__send(s->client, buffer_slice(&ack), s->cursor);
    live__set_state(s, SUB_LIVE);
}

static void start_loading(Subscription *s, const LiveRequest *request)
{
    s->reader = live__reader_new(s->query, s->id, request, &s->client->features);
    live__set_state(s, SUB_LOADING);
    want_read(s);
    live__pump(s->loop);
}

/* True when the request may go on. */
static bool check_request(LiveClient *client, const LiveRequest *request)
{
    must(client->has_user);
    if (client->is_refused) {
        live_client_error(client, request->id, "UNAUTHORIZED",
                          "The user has changed; authenticate again");
        return false;
    }
    Slice invalid = SLICE("invalid_subscription");
    if (request->id.size == 0) {
        live_client_error(client, invalid, "INVALID_SUBSCRIPTION_ID",
                          "Subscription ID cannot be empty");
        return false;
    }
    if (request->id.size > SUBSCRIPTION_ID_BYTES_MAX) {
        live_client_error(client, invalid, "INVALID_SUBSCRIPTION_ID",
                          "Subscription ID is too long");
        return false;
    }
    Subscription *old = (Subscription *)map_get(client->subscriptions, request->id);
    if (old)
        live__end(old, NULL);
    uint32_t most = client->loop->hub->options.subscriptions_per_client_max;
    if (map_count(client->subscriptions) >= most) {
        char text[80];
        snprintf(text, sizeof text, "Maximum subscriptions (%u) per connection exceeded", most);
        live_client_error(client, request->id, "UNSUPPORTED", text);
        return false;
    }
    return true;
}

/* Options of the message are stronger than those of the text. */
static LiveRequest merge_options(const LiveRequest *request, const LiveRequest *text)
{
    LiveRequest merged = *request;
    merged.has_options |= text->has_options;
    if (!request->has_last_rows) {
        merged.has_last_rows = text->has_last_rows;
        merged.last_rows = text->last_rows;
    }
    if (!request->has_batch_size) {
        merged.has_batch_size = text->has_batch_size;
        merged.batch_size = text->batch_size;
    }
    if (!request->has_from) {
        merged.has_from = text->has_from;
        merged.from = text->from;
    }
    return merged;
}

void live_subscribe(LiveClient *client, const LiveRequest *asked)
{
    Error error = {0};
    Channel *channel;
    if (!check_request(client, asked))
        return;
    if (live__channel_of(client, asked, &channel, &error) != OK) {
        live__send_error(client, asked->id, &error);
        return;
    }
    const LiveRequest merged = merge_options(asked, &channel->query->options), *request = &merged;
    Subscription *s = subscription_new(client, channel, request);
    if (!live__hub_add(client->loop->hub, s, client->subscriptions_max)) {
        live_client_error(client, request->id, "SUBSCRIPTION_LIMIT_EXCEEDED",
                          "Maximum subscriptions reached");
        map_remove(client->subscriptions, s->id);
        live__leave(s);
        s->state = SUB_ENDED; /* nobody knows it yet */
        free_if_done(s);
        return;
    }
    /* Now that the loop is told of changes: one in between would have passed unseen. */
    if (live__query_check(s->query, s->loop->hub->db, &error) != OK)
        live__end(s, &error);
    else if (s->query->view)
        live__view_start(s);
    else if (request->has_options)
        start_loading(s, request);
    else
        start_live(s);
}

void live_unsubscribe(LiveClient *client, Slice id)
{
    Subscription *s = (Subscription *)map_get(client->subscriptions, id);
    if (s)
        live__end(s, NULL);
}
