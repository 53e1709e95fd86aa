/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients: a socket that can stall, a cursor, a copy of the rows. What a client remembers is in shared memory and outlives
 * its epoch; its connection is not and does not.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"
#include "os/clock.h"
#include "table/seq.h"

enum { DRAINED_MARK = 2048 };

typedef struct Link {
    LiveClient *client; /* NULL while away */
    char **held;        /* messages the stalled socket has not taken */
    size_t held_count, held_capacity, held_bytes;
    bool is_stalled, has_ended; /* has_ended: guarded by world.lock */
    bool forgets;               /* the end means to start anew */
} Link;

static Link links[FOLLOWERS];

static bool v_is(const State *s, char v)
{
    return s->v == v;
}

/* The queries, and the same in C. Every one shows the fence. */
static const struct {
    const char *sql;
    bool replay;
} queries[FOLLOWERS] = {
    {"SELECT * FROM t.x", true},
    {"SELECT id, v, n FROM t.x WHERE n % 3 = 0", true},
    {"SELECT * FROM t.x WHERE v = 'a' OR v IS NULL", true},
    {"SELECT id, v, n FROM t.x WHERE id % 2 = 0", false},
    {"SELECT * FROM t.x", false},
    {"SELECT n, v, id FROM t.x WHERE (v IN ('a', 'b') AND n % 2 = 0) OR id = 750", true},
    {"SELECT * FROM t.x WHERE n % 5 <> 0 OR v IS NULL", false},
    {"SELECT id, v, n FROM t.x WHERE id BETWEEN 100 AND 400 OR id = 750", true},
    {"SELECT * FROM t.x WHERE NOT (v = 'b')  OR n % 7 = 0", false},
};

bool follower_matches(int index, uint32_t id, const State *s)
{
    if (!s->is_there)
        return false;
    switch (index) {
    case 1:
        return s->n % 3 == 0;
    case 2:
        return v_is(s, 'a') || s->v == 0;
    case 3:
        return id % 2 == 0;
    case 5:
        return ((v_is(s, 'a') || v_is(s, 'b')) && s->n % 2 == 0) || id == FENCE;
    case 6:
        return s->n % 5 != 0 || s->v == 0;
    case 7:
        return (id >= 100 && id <= 400) || id == FENCE;
    case 8:
        return (s->v && s->v != 'b') || s->n % 7 == 0;
    default:
        return true;
    }
}

const char *follower_query(int index)
{
    return queries[index].sql;
}

bool follower_is_connected(int index)
{
    return links[index].client != NULL;
}

/* ---- what a message says ---- */

static uint64_t number_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return json_is_string(value) ? strtoull(json_string_value(value), NULL, 10)
                                 : (uint64_t)json_integer_value(value);
}

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
    if (json_is_true(json_object_get(control, "has_more")))
        return;
    f->mode = MODE_EXACT;
    f->base = f->last_seq = f->cursor;
    f->event_count = 0;
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

static void note_log(const Event *event)
{
    Event whole = *event;
    whole.old = model->log_state[event->id];
    must(model->log_count < model->log_max);
    model->log[model->log_count++] = whole;
    model->log_state[event->id] = event->new;
    plan_seen(event);
}

static void on_due(int index, const Event *event)
{
    Follower *f = &model->followers[index];
    State *have = &f->rows[event->id];
    if (event->seq <= f->last_seq)
        failed("follower %d got change %llu after %llu", index, (unsigned long long)event->seq,
               (unsigned long long)f->last_seq);
    if (have->is_there == (event->kind == EVENT_INSERT))
        failed("follower %d got kind %d of row %u at %llu; it has the row: %d", index, event->kind,
               event->id, (unsigned long long)event->seq, have->is_there);
    if (event->kind == EVENT_UPDATE && event->old.seq != have->seq)
        failed("follower %d: change %llu of row %u replaces %llu, it has %llu", index,
               (unsigned long long)event->seq, event->id, (unsigned long long)event->old.seq,
               (unsigned long long)have->seq);
    must(f->event_count < EVENTS_MAX);
    f->events[f->event_count++] = *event;
    f->last_seq = f->cursor = event->seq;
    *have = event->new;
    if (index == 0)
        note_log(event);
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
    model->delivered++;
    if (model->followers[index].mode == MODE_EXACT)
        on_due(index, &event);
    else
        on_loss(index, &event);
}

static void on_error(int index, const json_t *message)
{
    const Follower *f = &model->followers[index];
    const char *code = json_string_value(json_object_get(message, "code"));
    int64_t age_ms = (clock_wall_us() - seq_time_us(f->cursor)) / 1000;
    links[index].has_ended = true;
    if (strcmp(code, "CURSOR_TOO_OLD") == 0 && f->cursor && index > 0 &&
        age_ms >= FEED_WINDOW_S * 1000) {
        links[index].forgets = true;
        model->too_old++;
    } else if (strcmp(code, "NOT_FOUND") != 0 || model->columns == 0) { /* else: ALTER TABLE */
        failed("follower %d (cursor %llu, %lld ms old): %s %s", index,
               (unsigned long long)f->cursor, (long long)age_ms, code,
               json_string_value(json_object_get(message, "message")));
    }
}

static void apply(int index, const char *text)
{
    json_t *message = json_loads(text, 0, NULL);
    must(message);
    Follower *f = &model->followers[index];
    const char *type = json_string_value(json_object_get(message, "type"));
    if (strcmp(type, "error") == 0) {
        on_error(index, message);
    } else if (strcmp(type, "subscription_ack") == 0) {
        if (f->is_acked)
            failed("follower %d was acknowledged twice", index);
        f->is_acked = true;
    } else if (!f->is_acked) {
        failed("follower %d got %s before the acknowledgement", index, type);
    } else if (type[0] == 'i') {
        on_batch(index, message);
    } else {
        on_change(index, message);
    }
    json_decref(message);
}

/* ---- the socket ---- */

static void take(int index, const char *text)
{
    MUTEX_SCOPE(&world.lock);
    if (!model->failure[0])
        apply(index, text);
    cond_broadcast(&world.changed);
}

static void socket_send(void *socket, Slice message, uint64_t cursor)
{
    Link *link = (Link *)socket;
    char *text = x_text(message);
    (void)cursor;
    if (!link->is_stalled) {
        take((int)(link - links), text);
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
    failed("follower %d was closed: %d %s", (int)((Link *)socket - links), code, reason);
}

static const LiveSocket io = {
    .send = socket_send, .queued_bytes = socket_queued_bytes, .close = socket_close};

static void drop_held(Link *link)
{
    for (size_t i = 0; i < link->held_count; i++)
        free(link->held[i]);
    link->held_count = link->held_bytes = 0;
}

/* ---- coming and going; each runs on the follower's loop ---- */

static void forget(Follower *f)
{
    memset(f->rows, 0, sizeof f->rows);
    f->cursor = 0;
    f->mode = MODE_AWAY;
    f->event_count = 0;
}

static void ask(int index)
{
    Follower *f = &model->followers[index];
    LiveRequest request = {.id = SLICE("s"),
                           .sql = slice_of_text(queries[index].sql),
                           .has_options = true,
                           .has_batch_size = true,
                           .batch_size = 1 + random_of(&model->random) % 60,
                           .has_from = f->cursor > 0,
                           .from = f->cursor};
    mutex_lock(&world.lock);
    bool every = f->mode == MODE_EXACT && queries[index].replay;
    if (f->cursor && !every && queries[index].replay)
        forget(f); /* cut off in its first rows: only a whole state can be replayed upon */
    request.has_from = f->cursor > 0;
    request.from = f->cursor;
    f->mode = every ? MODE_EXACT : f->cursor ? MODE_RESUME : MODE_FIRST;
    *(f->cursor ? every ? &model->replays : &model->resumes : &model->anew) += 1;
    f->is_acked = false;
    f->from = f->page_seq = f->cursor;
    f->resumes++;
    links[index].has_ended = links[index].forgets = false;
    mutex_unlock(&world.lock);
    live_subscribe(links[index].client, &request);
}

static void connect_now(void *argument)
{
    Link *link = (Link *)argument;
    int index = (int)(link - links);
    LiveUser user = {world.anna, SLICE("anna"), ROLE_USER};
    LiveFeatures features = {.replay = queries[index].replay, .seq_text = true};
    link->client = live_client_new(world.live[index % LOOPS], &io, link, DRAINED_MARK, false);
    live_client_set_user(link->client, &user, &features, 1000);
    ask(index);
}

void follower_connect(int index)
{
    if (!links[index].client)
        on_loop(index % LOOPS, connect_now, &links[index]);
}

static void disconnect_now(void *argument)
{
    Link *link = (Link *)argument;
    live_client_free(link->client);
    link->client = NULL;
    link->is_stalled = false;
    drop_held(link);
}

void follower_disconnect(int index)
{
    if (links[index].client)
        on_loop(index % LOOPS, disconnect_now, &links[index]);
}

static void stall_now(void *argument)
{
    ((Link *)argument)->is_stalled = true;
}

void follower_stall(int index)
{
    if (links[index].client)
        on_loop(index % LOOPS, stall_now, &links[index]);
    model->stalls++;
}

static void unstall_now(void *argument)
{
    Link *link = (Link *)argument;
    bool was_above = link->held_bytes > DRAINED_MARK;
    link->is_stalled = false;
    for (size_t i = 0; i < link->held_count; i++)
        take((int)(link - links), link->held[i]);
    drop_held(link);
    if (was_above)
        live_client_drained(link->client);
}

void follower_unstall(int index)
{
    if (links[index].client && links[index].is_stalled)
        on_loop(index % LOOPS, unstall_now, &links[index]);
}

static void ask_now(void *argument)
{
    ask((int)((Link *)argument - links));
}

void follower_tend(int index)
{
    Link *link = &links[index];
    mutex_lock(&world.lock);
    bool has_ended = link->client && link->has_ended && !model->failure[0];
    if (has_ended && link->forgets)
        forget(&model->followers[index]);
    mutex_unlock(&world.lock);
    if (has_ended)
        on_loop(index % LOOPS, ask_now, link);
}

void follower_anew(int index)
{
    follower_disconnect(index);
    mutex_lock(&world.lock);
    forget(&model->followers[index]);
    mutex_unlock(&world.lock);
    follower_connect(index);
}

void follower_reset_all(void)
{
    memset(links, 0, sizeof links);
}
