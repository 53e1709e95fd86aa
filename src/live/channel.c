/* SPDX-License-Identifier: Apache-2.0
 *
 * Who follows what on a loop: an entry for each partition that somebody follows, in it a channel
 * for each distinct query, in it the subscriptions that share its filter and its messages. A
 * channel lives while it has a subscription, an entry while it has a channel.
 */
#include <stdlib.h>

#include "live/view_int.h"

static Slice partition_key(const Partition *partition, char bytes[12])
{
    memcpy(bytes, &partition->table_id, 4);
    memcpy(bytes + 4, &partition->user, 8);
    return slice_of(bytes, 12);
}

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

/* Takes the reference to the query. */
static Channel *new_channel(LiveClient *client, const LiveRequest *request, LiveQuery *query)
{
    LiveLoop *loop = client->loop;
    Channel *channel = x_new(Channel);
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
    return channel;
}

Code live__channel_of(LiveClient *client, const LiveRequest *request, Channel **out, Error *e)
{
    Channel *channel = find_channel(client, request);
    if (!channel) {
        LiveHub *hub = client->loop->hub;
        LiveUser user = {client->user, slice_of_text(client->user_id), client->role,
                         client->credentials_at_us};
        LiveQuery *query;
        TRY(live__query_new(hub, hub->db, &user, request, &query, e));
        channel = new_channel(client, request, query);
    }
    *out = channel;
    return OK;
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

void live__join(Subscription *s, Channel *channel)
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

void live__leave(Subscription *s)
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

void live__move(Subscription *s, Channel *channel)
{
    LiveQuery *query = live__query_ref(channel->query), *old = s->query;
    must(channel->entry == s->channel->entry);
    must(!s->is_reading);
    atomic_fetch_add_explicit(&s->loop->interest, 1, memory_order_acq_rel); /* never 0 in between */
    live__leave(s);
    live__join(s, channel);
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
