/* SPDX-License-Identifier: Apache-2.0
 *
 * Commits to live subscriptions, on the loop's thread.
 *
 * A changed row is decoded once, a filter is evaluated once for all who ask the same, and their
 * message is encoded once; only the subscription's id differs, and where even that is the same, one
 * frame serves all.
 */
#include <stdlib.h>

#include "live/live_int.h"
#include "os/clock.h"

/* The frame of the message sent last, for neighbours who get the very same. */
typedef struct FrameCache {
    const LiveSocket *io;
    Slice id;
    bool compress;
    SharedBuffer *frame; /* made when it is wanted a second time */
} FrameCache;

static bool serves(const FrameCache *cache, const Subscription *s)
{
    return cache->io == s->client->io && cache->compress == s->client->compress &&
           slice_equal(cache->id, s->id);
}

static void send_change(LiveLoop *loop, Subscription *s, uint64_t seq, FrameCache *cache)
{
    LiveClient *client = s->client;
    if (cache->io && serves(cache, s) && client->io->frame) {
        if (!cache->frame)
            cache->frame = client->io->frame(buffer_slice(&loop->message), seq, client->compress);
        client->io->send_frame(client->socket, cache->frame);
    } else {
        buffer_clear(&loop->message);
        live__add_change_head(&loop->message, s->id);
        buffer_add_slice(&loop->message, buffer_slice(&loop->body));
        client->io->send(client->socket, buffer_slice(&loop->message), seq);
        shared_buffer_unref(cache->frame);
        *cache = (FrameCache){.io = client->io, .id = s->id, .compress = client->compress};
    }
    atomic_fetch_add_explicit(&s->changes, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->sent_bytes, loop->message.size, memory_order_relaxed);
}

static bool is_for(const Subscription *s, uint64_t seq)
{
    return s->state == SUB_LIVE && s->cursor < seq;
}

static void send_to_all(LiveLoop *loop, Channel *channel, uint64_t seq)
{
    FrameCache cache = {0};
    uint64_t sent = 0;
    int64_t now_us = clock_wall_us();
    for (Subscription *s = channel->subscriptions; s; s = s->next) {
        if (!is_for(s, seq))
            continue;
        if (s->client->io->queued_bytes(s->client->socket) >
            loop->hub->options.socket_queue_bytes_max) {
            live__fall_back(s, seq - 1);
            continue;
        }
        send_change(loop, s, seq, &cache);
        atomic_store_explicit(&s->last_update_us, now_us, memory_order_relaxed);
        sent++;
    }
    shared_buffer_unref(cache.frame);
    atomic_fetch_add_explicit(&loop->hub->sent, sent, memory_order_relaxed);
}

/* A filter or a value that fails ends those who asked, and nobody else. */
static void end_all(Channel *channel, uint64_t seq, const Error *error)
{
    for (Subscription *s = channel->subscriptions, *next; s; s = next) {
        next = s->next; /* the channel goes with its last subscription */
        if (is_for(s, seq))
            live__end(s, error);
    }
}

static bool has_live(const Channel *channel, uint64_t seq)
{
    for (const Subscription *s = channel->subscriptions; s; s = s->next) {
        if (is_for(s, seq))
            return true;
    }
    return false;
}

static Code encode(LiveLoop *loop, const LiveQuery *query, const LiveChange *change, LiveEvent *out,
                   Error *e)
{
    LiveEvent event;
    TRY(live__query_event(query, change, loop->arena, &event, e));
    buffer_clear(&loop->body);
    if (event != LIVE_EVENT_NONE)
        TRY(live__add_change_body(&loop->body, query, event, change, e));
    *out = event;
    return OK;
}

/* A change as the last query that asked saw it: by the definition of the table that the query has,
 * which is not that of the commit while an ALTER is on its way. */
typedef struct Decoded {
    const Schema *schema;
    LiveChange change;
    Code code;
    Error error;
} Decoded;

static void decode_for(LiveLoop *loop, const Schema *schema, const RowChange *row, Decoded *io)
{
    if (io->schema == schema)
        return;
    io->schema = schema;
    io->code = live__change_decode(schema, row->kind, row->seq, row->old_seq, row->new_row,
                                   row->old_row, loop->arena, &io->change, &io->error);
}

static void deliver_to(LiveLoop *loop, Channel *channel, const RowChange *row, Decoded *io)
{
    LiveEvent event = LIVE_EVENT_NONE;
    Error error = {0};
    if (!has_live(channel, row->seq))
        return;
    decode_for(loop, channel->query->table->schema, row, io);
    if (io->code != OK)
        end_all(channel, row->seq, &io->error);
    else if (encode(loop, channel->query, &io->change, &event, &error) != OK)
        end_all(channel, row->seq, &error);
    else if (event != LIVE_EVENT_NONE)
        send_to_all(loop, channel, row->seq);
}

/* Those in the buckets of the change; false when it cannot be decoded, which is every channel's
 * affair. */
static bool match(LiveLoop *loop, const Entry *entry, const RowChange *row, Decoded *io)
{
    buffer_clear(&loop->matched);
    for (size_t i = 0; i < INDEX_COLUMNS_MAX; i++) {
        const IndexColumn *column = &entry->columns[i];
        if (!column->bucket_count)
            continue;
        decode_for(loop, column->schema, row, io);
        if (io->code != OK)
            return false;
        live__index_find(entry, column, &io->change, &loop->message, &loop->matched);
    }
    return true;
}

/* What is delivered may end a channel, and with the last one its entry; never another one. */
static void deliver_change(LiveLoop *loop, Entry *entry, const RowChange *row)
{
    Decoded decoded = {0};
    arena_reset(loop->arena);
    entry->last_change_seq = row->seq;
    bool is_matched = match(loop, entry, row, &decoded);
    Channel *others = is_matched ? entry->scanned : entry->channels;
    for (size_t i = 0; is_matched && i < loop->matched.size / sizeof(Channel *); i++)
        deliver_to(loop, ((Channel **)loop->matched.data)[i], row, &decoded);
    for (Channel *next; others; others = next) {
        next = is_matched ? others->peer_next : others->next;
        deliver_to(loop, others, row, &decoded);
    }
}

static void deliver_part(LiveLoop *loop, const IntentPart *part)
{
    for (size_t i = 0; i < part->count; i++) {
        Entry *entry =
            live__find_entry(loop, &part->partition); /* each time: an error may have removed it */
        if (!entry)
            return;
        deliver_change(loop, entry, &part->changes[i]);
    }
}

/* hub.c, I3 */
static void look_for_missed(LiveLoop *loop)
{
    uint64_t missed = atomic_load_explicit(&loop->missed_seq, memory_order_seq_cst);
    if (missed == loop->seen_missed_seq)
        return;
    loop->seen_missed_seq = missed;
    Slice key;
    void *value;
    for (size_t i = 0; map_next(loop->entries, &i, &key, &value);) {
        for (Channel *channel = ((Entry *)value)->channels; channel; channel = channel->next) {
            for (Subscription *s = channel->subscriptions; s; s = s->next) {
                if (s->state == SUB_LIVE && !s->view)
                    live__fall_back(s, s->cursor > loop->processed_seq ? s->cursor
                                                                       : loop->processed_seq);
            }
        }
    }
}

void live__deliver(LiveLoop *loop, const CommitBundle *bundle)
{
    look_for_missed(loop);
    for (size_t i = 0; i < bundle->count; i++) {
        const Intent *intent = bundle->intents[i];
        for (size_t k = 0; k < intent->part_count && !bundle->is_partial; k++)
            deliver_part(loop, &intent->parts[k]);
        if (intent->catalog_change)
            live__catalog_changed(loop, intent->catalog_change);
    }
    if (bundle->count && !bundle->is_partial)
        loop->processed_seq = bundle->last_seq;
    live__pump(loop);
}
