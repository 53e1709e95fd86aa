/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's socket that can stall. What a client remembers is in shared memory and outlives its
 * epoch; its connection is not and does not.
 */
#include <stdlib.h>

#include "model.h"
#include "os/clock.h"

enum { DRAINED_MARK = 2048 };

typedef struct Link {
    const LinkUser *user;
    Who who;
    bool replay;
    LiveClient *client; /* NULL while away */
    char **held;        /* messages the stalled socket has not taken */
    size_t held_count, held_capacity, held_bytes;
    int64_t stalled_at_us;
    bool is_stalled, has_ended; /* has_ended: guarded by world.lock */
    bool forgets;               /* the end means to start anew */
} Link;

static Link links[LINKS];

void link_use(int link, const LinkUser *user, Who who, bool replay)
{
    links[link] = (Link){.user = user, .who = who, .replay = replay};
}

bool link_is_connected(int link)
{
    return links[link].client != NULL;
}

void link_ended(int link, bool forgets)
{
    links[link].has_ended = true;
    links[link].forgets = forgets;
}

uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

/* ---- what live/ calls ---- */

static void take(Link *link, const char *text)
{
    MUTEX_SCOPE(&world.lock);
    if (!model->has_failed) {
        json_t *message = json_loads(text, 0, NULL);
        must(message);
        link->user->take((int)(link - links), json_string_value(json_object_get(message, "type")),
                         message);
        json_decref(message);
    }
    cond_broadcast(&world.changed);
}

static void socket_send(void *socket, Slice message, uint64_t cursor)
{
    Link *link = (Link *)socket;
    char *text = x_text(message);
    (void)cursor;
    if (!link->is_stalled) {
        take(link, text);
        free(text);
        return;
    }
    if (link->held_count == link->held_capacity) {
        link->held_capacity = link->held_capacity ? link->held_capacity * 2 : 64;
        link->held = (char **)x_grow(link->held, link->held_capacity * sizeof(char *));
    }
    link->held[link->held_count++] = text;
    link->held_bytes += message.size;
}

static size_t socket_queued_bytes(void *socket)
{
    return ((const Link *)socket)->held_bytes;
}

static void socket_close(void *socket, int code, const char *reason)
{
    MUTEX_SCOPE(&world.lock);
    failed("link %d was closed: %d %s", (int)((Link *)socket - links), code, reason);
}

static const LiveSocket io = {
    .send = socket_send, .queued_bytes = socket_queued_bytes, .close = socket_close};

static void drop_held(Link *link)
{
    for (size_t i = 0; i < link->held_count; i++)
        free(link->held[i]);
    link->held_count = link->held_bytes = 0;
}

/* ---- coming and going; each runs on the link's loop ---- */

static void ask_now(void *argument)
{
    Link *link = (Link *)argument;
    LiveRequest request = {.id = SLICE("s")};
    mutex_lock(&world.lock);
    link->has_ended = link->forgets = false;
    link->user->compose((int)(link - links), &request);
    mutex_unlock(&world.lock);
    live_subscribe(link->client, &request);
}

static void connect_now(void *argument)
{
    Link *link = (Link *)argument;
    LiveUser user = user_of(link->who);
    LiveFeatures features = {.replay = link->replay, .seq_text = true};
    link->client =
        live_client_new(world.live[(link - links) % LOOPS], &io, link, DRAINED_MARK, false);
    must(live_client_set_user(link->client, &user, &features, 1000));
    ask_now(link);
}

static void run(int link, void (*what)(void *argument))
{
    on_loop(link % LOOPS, what, &links[link]);
}

void link_connect(int link)
{
    if (!links[link].client)
        run(link, connect_now);
}

static void disconnect_now(void *argument)
{
    Link *link = (Link *)argument;
    live_client_free(link->client);
    link->client = NULL;
    link->is_stalled = false;
    drop_held(link);
}

void link_disconnect(int link)
{
    if (links[link].client)
        run(link, disconnect_now);
}

static void stall_now(void *argument)
{
    ((Link *)argument)->is_stalled = true;
}

void link_stall(int link)
{
    if (links[link].client && !links[link].is_stalled) {
        links[link].stalled_at_us = clock_monotonic_us();
        run(link, stall_now);
    }
    model->figures.stalls++;
}

int64_t link_stalled_us(int link)
{
    bool is_stalled = links[link].client && links[link].is_stalled;
    return is_stalled ? clock_monotonic_us() - links[link].stalled_at_us : 0;
}

static void unstall_now(void *argument)
{
    Link *link = (Link *)argument;
    bool was_above = link->held_bytes > DRAINED_MARK;
    link->is_stalled = false;
    for (size_t i = 0; i < link->held_count; i++)
        take(link, link->held[i]);
    drop_held(link);
    if (was_above)
        live_client_drained(link->client);
}

void link_unstall(int link)
{
    if (links[link].client && links[link].is_stalled)
        run(link, unstall_now);
}

void link_tend(int link)
{
    Link *l = &links[link];
    mutex_lock(&world.lock);
    bool has_ended = l->client && l->has_ended && !model->has_failed;
    if (has_ended && l->forgets)
        l->user->forget(link);
    mutex_unlock(&world.lock);
    if (has_ended)
        run(link, ask_now);
}

void link_anew(int link)
{
    link_disconnect(link);
    mutex_lock(&world.lock);
    links[link].user->forget(link);
    mutex_unlock(&world.lock);
    link_connect(link);
}
