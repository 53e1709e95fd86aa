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
#include "os/random.h"

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

static Slice partition_key(const Partition *partition, char bytes[12])
{
    memcpy(bytes, &partition->table_id, 4);
    memcpy(bytes + 4, &partition->user, 8);
    return slice_of(bytes, 12);
}

static void release_channel(LiveLoop *loop, Channel *channel)
{
    Entry *entry = channel->entry;
    live__index_remove(entry, channel);
    *(channel->prev ? &channel->prev->next : &entry->channels) = channel->next;
    if (channel->next)
        channel->next->prev = channel->prev;
    if (map_get(loop->channels, channel->key) == channel)
        map_remove(loop->channels, channel->key);
    live__query_unref(channel->query);
    free((void *)channel->key.data);
    free(channel);
    if (entry->channels)
        return;
    char bytes[12];
    map_remove(loop->entries, partition_key(&entry->partition, bytes));
    live__view_rows_unref(entry->view_rows);
    map_free(entry->equals);
    free(entry);
}

void live__drop_unused(LiveLoop *loop, Channel *channel)
{
    if (!channel->subscriptions)
        release_channel(loop, channel);
}

static void join_channel(Subscription *s, Channel *channel)
{
    s->channel = channel;
    s->prev = NULL;
    s->next = channel->subscriptions;
    if (s->next)
        s->next->prev = s;
    channel->subscriptions = s;
    /* hub.c, I1: before the first snapshot. */
    atomic_fetch_add_explicit(&s->loop->interest, 1, memory_order_acq_rel);
}

static void leave_channel(Subscription *s)
{
    Channel *channel = s->channel;
    if (s->prev)
        s->prev->next = s->next;
    else
        channel->subscriptions = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->channel = NULL;
    atomic_fetch_sub_explicit(&s->loop->interest, 1, memory_order_acq_rel);
    live__drop_unused(s->loop, channel);
}

void live__send(LiveClient *client, Slice message, uint64_t cursor)
{
    client->io->send(client->socket, message, cursor);
    atomic_fetch_add_explicit(&client->loop->hub->sent, 1, memory_order_relaxed);
}

static void send_error(LiveClient *client, Slice id, const Error *error)
{
    Buffer text = {0};
    live__error_text(error, &text);
    live_client_error(client, id, live__error_code(error->code), text.data);
    buffer_done(&text);
    bool is_inner = error->code == E_INTERNAL || error->code == E_IO || error->code == E_CORRUPT;
    if (is_inner && client->io->report)
        client->io->report(client->socket, error);
}

void live__end(Subscription *s, const Error *error)
{
    LiveClient *client = s->client;
    if (error)
        send_error(client, s->id, error);
    live__hub_remove(s->loop->hub, s);
    live__set_state(s, SUB_ENDED);
    map_remove(client->subscriptions, s->id);
    live__view_leave(s);
    leave_channel(s);
    if (s->is_reading)
        client->reading--;
    s->client = NULL;
    free_if_done(s);
}

/* ---- reading ---- */

void live__want_read(Subscription *s)
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
            live__want_read(s);
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
    live__want_read(s);
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
        live__want_read(s);
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

void live__drop_ended(LiveLoop *loop)
{
    for (Subscription *s; (s = queue_take(&loop->ready));) {
        must(s->state == SUB_ENDED);
        free_if_done(s);
    }
}

void live__fall_back(Subscription *s, uint64_t cursor)
{
    live__set_state(s, SUB_CATCHING_UP);
    s->reader = live__reader_feed(s->query, s->id, cursor);
    atomic_store_explicit(&s->seen_seq, cursor, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->loop->hub->fallbacks, 1, memory_order_relaxed);
    live__want_read(s);
}

/* ---- clients ---- */

LiveClient *live_client_new(LiveLoop *loop, const LiveSocket *io, void *socket,
                            size_t queue_drained_mark, bool compress)
{
    LiveClient *client = x_new(LiveClient);
    client->loop = loop;
    client->io = io;
    client->socket = socket;
    client->drained_mark = queue_drained_mark;
    client->compress = compress;
    client->subscriptions = map_new();
    client->next = loop->clients;
    if (client->next)
        client->next->prev = client;
    else
        loop_timer_start(loop->tick, 1000, 1000);
    loop->clients = client;
    uint8_t id[LIVE_CONNECTION_ID_BYTES / 2];
    random_bytes(id, sizeof id);
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(client->connection_id + 2 * i, 3, "%02x", id[i]);
    live_client_touched(client);
    return client;
}

bool live_client_set_user(LiveClient *client, const LiveUser *user, const LiveFeatures *features,
                          uint32_t subscriptions_max)
{
    free(client->user_id);
    client->user_id = x_text(user->user_id);
    client->user = user->user;
    client->role = user->role;
    client->credentials_at_us = user->credentials_at_us;
    client->features = *features;
    client->subscriptions_max = subscriptions_max;
    /* hub.c, I1: from here on the loop is told of changes of the user; those before are looked
     * for. */
    if (!client->has_user)
        atomic_fetch_add_explicit(&client->loop->interest, 1, memory_order_acq_rel);
    client->has_user = true;
    client->is_refused = !live__user_is_as_told(client->loop->hub, user);
    return !client->is_refused;
}

void live_client_free(LiveClient *client)
{
    if (!client)
        return;
    LiveLoop *loop = client->loop;
    Slice id;
    void *s;
    for (size_t i = 0; map_next(client->subscriptions, &i, &id, &s);)
        live__end((Subscription *)s, NULL);
    while (client->stalled.first)
        free_if_done(queue_take(&client->stalled));
    must(client->reading == 0);
    if (client->has_user)
        atomic_fetch_sub_explicit(&loop->interest, 1, memory_order_acq_rel);
    if (client->prev)
        client->prev->next = client->next;
    else
        loop->clients = client->next;
    if (client->next)
        client->next->prev = client->prev;
    if (!loop->clients)
        loop_timer_stop(loop->tick);
    map_free(client->subscriptions);
    free(client->user_id);
    free(client);
}

void live_client_drained(LiveClient *client)
{
    release_stalled(client);
    live__pump(client->loop);
}

void live_client_touched(LiveClient *client)
{
    atomic_store_explicit(&client->last_ping_us, clock_wall_us(), memory_order_relaxed);
}

const char *live_client_connection_id(const LiveClient *client)
{
    return client->connection_id;
}

void live_client_error(LiveClient *client, Slice subscription_id, const char *code,
                       const char *message)
{
    CLEANUP(buffer_done) Buffer out = {0};
    live__add_error(&out, subscription_id, code, message);
    live__send(client, buffer_slice(&out), 0);
}

void live_loop_close_clients(LiveLoop *loop, int code, const char *reason)
{
    for (LiveClient *client = loop->clients; client; client = client->next) {
        client->is_closing = true;
        client->io->close(client->socket, code, reason);
    }
}

/* ---- subscribing ---- */

static void add_parameter(Buffer *out, const Value *value)
{
    size_t start = out->size + 2;
    buffer_add_u8(out, (uint8_t)value->type);
    buffer_add_u8(out, value->is_null);
    buffer_add_u64(out, 0); /* the text's size */
    if (!value->is_null)
        value_print(value, out);
    uint64_t size = out->size - start - sizeof size;
    memcpy(out->data + start, &size, sizeof size);
}

/* The text, and what else the answer depends on. */
static Slice channel_key(LiveClient *client, const LiveRequest *request, bool is_shareable,
                         Buffer *out)
{
    buffer_clear(out);
    buffer_add_u8(out, (uint8_t)client->role);
    buffer_add_u64(out, is_shareable ? 0 : client->user);
    for (size_t i = 0; i < request->param_count; i++)
        add_parameter(out, &request->params[i]);
    buffer_add_slice(out, request->sql);
    return buffer_slice(out);
}

static Channel *find_channel(LiveClient *client, const LiveRequest *request)
{
    LiveLoop *loop = client->loop;
    for (int shareable = 0; shareable < 2; shareable++) {
        Slice key = channel_key(client, request, shareable, &loop->message);
        Channel *channel = (Channel *)map_get(loop->channels, key);
        if (channel && table_is_current(channel->query->table))
            return channel;
    }
    return NULL;
}

Entry *live__find_entry(LiveLoop *loop, const Partition *partition)
{
    char bytes[12];
    return (Entry *)map_get(loop->entries, partition_key(partition, bytes));
}

static Entry *entry_of(LiveLoop *loop, const Partition *partition)
{
    Entry *entry = live__find_entry(loop, partition);
    if (!entry) {
        char bytes[12];
        entry = x_new(Entry);
        entry->partition = *partition;
        map_put(loop->entries, partition_key(partition, bytes), entry);
    }
    return entry;
}

Code live__channel_of(LiveClient *client, const LiveRequest *request, Channel **out, Error *e)
{
    LiveLoop *loop = client->loop;
    Channel *channel = find_channel(client, request);
    if (!channel) {
        LiveUser user = {client->user, slice_of_text(client->user_id), client->role,
                         client->credentials_at_us};
        LiveQuery *query;
        TRY(live__query_new(loop->hub, loop->hub->db, &user, request, &query, e));
        channel = x_new(Channel);
        channel->query = query;
        channel->entry = entry_of(loop, &query->partition);
        channel->next = channel->entry->channels;
        if (channel->next)
            channel->next->prev = channel;
        channel->entry->channels = channel;
        live__index_add(channel->entry, channel);
        Slice key = channel_key(client, request, query->is_shareable, &loop->message);
        map_put(loop->channels, key, channel);
        channel->key = slice_of(memcpy(x_new_bytes(key.size), key.data, key.size), key.size);
    }
    *out = channel;
    return OK;
}

void live__move(Subscription *s, Channel *channel)
{
    LiveQuery *query = live__query_ref(channel->query), *old = s->query;
    must(channel->entry == s->channel->entry);
    must(!s->is_reading);
    atomic_fetch_add_explicit(&s->loop->interest, 1, memory_order_acq_rel); /* never 0 in between */
    leave_channel(s);
    join_channel(s, channel);
    atomic_fetch_sub_explicit(&s->loop->interest, 1, memory_order_acq_rel);
    mutex_lock(&s->loop->hub->lock);
    s->query = query;
    mutex_unlock(&s->loop->hub->lock);
    if (s->reader) {
        live__query_unref(s->reader->query);
        s->reader->query = live__query_ref(query);
    }
    live__query_unref(old);
}

static Subscription *subscription_new(LiveClient *client, Channel *channel,
                                      const LiveRequest *request)
{
    Subscription *s = x_new(Subscription);
    s->client = client;
    s->loop = client->loop;
    s->query = live__query_ref(channel->query);
    s->id = slice_of_text(x_text(request->id));
    s->id.size = request->id.size;
    s->user = client->user;
    s->request = *request;
    s->request.id = s->request.sql = (Slice){0};
    s->request.params = NULL;
    s->created_at_us = clock_wall_us();
    atomic_init(&s->last_update_us, s->created_at_us);
    map_put(client->subscriptions, s->id, s);
    join_channel(s, channel);
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
    live__want_read(s);
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
        send_error(client, asked->id, &error);
        return;
    }
    const LiveRequest merged = merge_options(asked, &channel->query->options), *request = &merged;
    Subscription *s = subscription_new(client, channel, request);
    if (!live__hub_add(client->loop->hub, s, client->subscriptions_max)) {
        live_client_error(client, request->id, "SUBSCRIPTION_LIMIT_EXCEEDED",
                          "Maximum subscriptions reached");
        map_remove(client->subscriptions, s->id);
        leave_channel(s);
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
