/* SPDX-License-Identifier: Apache-2.0
 *
 * A client: one socket of a loop with its user, and what is sent to it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "live/live_int.h"
#include "os/clock.h"
#include "os/random.h"

/* ---- coming and going ---- */

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
    live__drop_ended(&client->stalled);
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

/* ---- sending ---- */

void live__send(LiveClient *client, Slice message, uint64_t cursor)
{
    client->io->send(client->socket, message, cursor);
    atomic_fetch_add_explicit(&client->loop->hub->sent, 1, memory_order_relaxed);
}

void live__send_error(LiveClient *client, Slice id, const Error *error)
{
    Buffer text = {0};
    live__error_text(error, &text);
    live_client_error(client, id, live__error_code(error->code), text.data);
    buffer_done(&text);
    bool is_logged = error->code == E_INTERNAL || error->code == E_IO || error->code == E_CORRUPT ||
                     error->code == E_SEGMENT_DAMAGED;
    if (is_logged && client->io->report)
        client->io->report(client->socket, error);
}
