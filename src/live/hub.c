/* SPDX-License-Identifier: Apache-2.0
 *
 * From the committer to the loops, and the list of all subscriptions.
 *
 * Nothing falls between a subscription's reading and its live changes:
 *
 * I1. A loop's `interest` is raised before a subscription takes its first snapshot, and the
 *     committer looks at it after the commit has become visible. Both are read-modify-writes of one
 *     atomic, so one comes first. If the committer's does, all it did before (making the commit
 *     visible) happened before the snapshot, which therefore holds the commit. If the
 *     subscription's does, the committer sees it and posts the commit to the loop. The same holds
 *     for database_last_seq in place of a snapshot.
 * I2. Commits are posted in order; a loop handles them in order. A snapshot taken on the loop holds
 *     everything the loop has handled.
 * I3. A loop that is behind by more than backlog_bytes_max gets no more bundles: `missed_seq` says
 *     what it did not get. Nothing goes live below missed_seq, and what is live falls back when it
 *     grows. A bundle is on its way whenever missed_seq grows, so the loop will look.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "live/view_int.h"
#include "os/clock.h"
#include "table/seq.h"

enum {
    STALL_TIMEOUT_MS = 60 * 1000,
    CHUNK_BYTES = 128 * 1024,
    BACKLOG_BYTES = 64 * 1024 * 1024,
};

/* ---- bundles ---- */

static bool concerns_us(const Intent *intent)
{
    return intent->row_count > 0 || intent->catalog_change;
}

/* NULL when nobody can care. One reference, the caller's. */
static CommitBundle *bundle_new(const CommitGroup *group)
{
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < group->count; i++)
        count += concerns_us(group->intents[i]);
    if (count == 0)
        return NULL;
    CommitBundle *bundle = (CommitBundle *)x_new_bytes(sizeof *bundle + count * sizeof(Intent *));
    atomic_init(&bundle->refs, 1);
    bundle->last_seq = group->last_seq;
    for (size_t i = 0; i < group->count; i++) {
        Intent *intent = group->intents[i];
        if (!concerns_us(intent))
            continue;
        bundle->intents[bundle->count++] = intent_ref(intent);
        bytes += intent->bytes + sizeof(Intent);
    }
    bundle->bytes = bytes;
    return bundle;
}

static void bundle_unref(CommitBundle *bundle)
{
    if (!bundle || atomic_fetch_sub_explicit(&bundle->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < bundle->count; i++)
        intent_unref(bundle->intents[i]);
    free(bundle);
}

/* A bundle on its way to one loop. */
typedef struct Delivery {
    LoopTask task;
    LiveLoop *loop;       /* a reference */
    CommitBundle *bundle; /* a reference */
} Delivery;

static void run_delivery(LoopTask *task)
{
    Delivery *delivery = (Delivery *)task;
    LiveLoop *loop = delivery->loop;
    CommitBundle *bundle = delivery->bundle;
    free(delivery);
    /* Before missed_seq is read: what is missed from here on brings a reminder of its own. */
    atomic_store_explicit(&loop->is_reminded, false, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&loop->backlog_bytes, bundle->bytes, memory_order_relaxed);
    if (!loop->is_closed)
        live__deliver(loop, bundle);
    bundle_unref(bundle);
    live__loop_unref(loop);
}

/* I3. Makes the loop look, should it have begun the last full one already. Changes of the catalog
 * are small, rare and found nowhere else: they come along. NULL when there is none and a reminder
 * is on its way. */
static CommitBundle *reminder_of(LiveLoop *loop, const CommitBundle *missed)
{
    size_t count = 0;
    for (size_t i = 0; i < missed->count; i++)
        count += missed->intents[i]->catalog_change != NULL;
    atomic_store_explicit(&loop->missed_seq, missed->last_seq, memory_order_seq_cst);
    if (atomic_exchange_explicit(&loop->is_reminded, true, memory_order_seq_cst) && count == 0)
        return NULL;
    CommitBundle *reminder =
        (CommitBundle *)x_new_bytes(sizeof *reminder + count * sizeof(Intent *));
    atomic_init(&reminder->refs, 1);
    reminder->is_partial = true;
    for (size_t i = 0; i < missed->count; i++) {
        if (missed->intents[i]->catalog_change)
            reminder->intents[reminder->count++] = intent_ref(missed->intents[i]);
    }
    return reminder;
}

/* Takes one reference. hub->lock is held, so the loop cannot be closed meanwhile. */
static void deliver(LiveLoop *loop, CommitBundle *bundle)
{
    atomic_fetch_add_explicit(&loop->backlog_bytes, bundle->bytes, memory_order_relaxed);
    Delivery *delivery = x_new(Delivery);
    delivery->task.run = run_delivery;
    delivery->loop = loop;
    delivery->bundle = bundle;
    atomic_fetch_add_explicit(&loop->refs, 1, memory_order_relaxed);
    loop_post_task(loop->loop, &delivery->task);
}

/* hub->lock is held. */
static void post(LiveLoop *loop, CommitBundle *bundle)
{
    size_t waiting = atomic_load_explicit(&loop->backlog_bytes, memory_order_relaxed);
    if (waiting <= loop->hub->options.backlog_bytes_max)
        atomic_fetch_add_explicit(&bundle->refs, 1, memory_order_relaxed);
    else
        bundle = reminder_of(loop, bundle);
    if (bundle)
        deliver(loop, bundle);
}

/* What system tables show of it. The records of jobs are writes beside rows. */
static unsigned sources_of(const CommitGroup *group)
{
    unsigned sources = 0;
    for (size_t i = 0; i < group->count; i++) {
        const Intent *intent = group->intents[i];
        if (intent->catalog_change)
            sources |=
                catalog_change_user(intent->catalog_change).size ? LIVE_ON_USERS : LIVE_ON_CATALOG;
        for (size_t k = 0; k < intent->raw_count; k++)
            sources |= intent->raw[k].family == HOT_SYSTEM ? LIVE_ON_JOBS : 0;
    }
    return sources;
}

/* Committer thread. */
static void on_commit(void *context, const CommitGroup *group)
{
    LiveHub *hub = (LiveHub *)context;
    CommitBundle *bundle = NULL;
    live_hub_touch(hub, sources_of(group));
    MUTEX_SCOPE(&hub->lock);
    for (size_t i = 0; i < hub->loop_count; i++) {
        /* I1: a read-modify-write although nothing changes. */
        if (atomic_fetch_add_explicit(&hub->loops[i]->interest, 0, memory_order_acq_rel) == 0)
            continue;
        if (!bundle)
            bundle = bundle_new(group);
        if (!bundle)
            return;
        post(hub->loops[i], bundle);
    }
    bundle_unref(bundle);
}

/* I3. Commits that were published are gone: everybody goes back to the feed, which says to whom
 *     that matters. Committer thread. */
static void on_reopen(void *context, bool has_lost)
{
    LiveHub *hub = (LiveHub *)context;
    CommitBundle missed = {.last_seq = database_last_seq(hub->db)};
    if (!has_lost)
        return;
    MUTEX_SCOPE(&hub->lock);
    for (size_t i = 0; i < hub->loop_count; i++) {
        CommitBundle *reminder = reminder_of(hub->loops[i], &missed);
        if (reminder)
            deliver(hub->loops[i], reminder);
    }
}

/* ---- life ---- */

Code live_hub_new(Database *db, Workers *workers, const LiveOptions *options, LiveHub **out,
                  Error *e)
{
    (void)e;
    LiveHub *hub = x_new(LiveHub);
    hub->db = db;
    hub->workers = workers;
    hub->options = options ? *options : (LiveOptions){0};
    if (!hub->options.stall_timeout_ms)
        hub->options.stall_timeout_ms = STALL_TIMEOUT_MS;
    if (!hub->options.socket_queue_bytes_max)
        hub->options.socket_queue_bytes_max = SOCKET_QUEUE_BYTES_MAX;
    if (!hub->options.chunk_bytes_max)
        hub->options.chunk_bytes_max = CHUNK_BYTES;
    if (!hub->options.backlog_bytes_max)
        hub->options.backlog_bytes_max = BACKLOG_BYTES;
    if (!hub->options.subscriptions_per_client_max)
        hub->options.subscriptions_per_client_max = SUBSCRIPTIONS_PER_CONNECTION_MAX;
    hub->ordered.bytes_max = hub->options.ordered_bytes_max ? hub->options.ordered_bytes_max
                                                            : LIVE_ORDERED_TOTAL_BYTES_MAX;
    mutex_init(&hub->lock);
    hub->users = map_new();
    database_add_sink(db, (ChangeSink){on_commit, hub, on_reopen});
    *out = hub;
    return OK;
}

void live_hub_free(LiveHub *hub)
{
    if (!hub)
        return;
    must(hub->loop_count == 0);
    must(!hub->subscriptions);
    must(hub->ordered.bytes == 0);
    live__views_free(hub);
    map_free(hub->users);
    mutex_done(&hub->lock);
    free(hub);
}

/* A full socket of which nothing moves for too long. */
static void close_stalled(LiveLoop *loop, LiveClient *client, uint64_t now_ms)
{
    if (!client->stalled.first || client->is_closing)
        return;
    size_t queued = client->io->queued_bytes(client->socket);
    if (queued != client->stalled_bytes || queued <= client->drained_mark) {
        client->stalled_bytes = queued;
        client->stalled_at_ms = now_ms;
    } else if (now_ms - client->stalled_at_ms >= loop->hub->options.stall_timeout_ms) {
        client->is_closing = true;
        client->io->close(client->socket, 1008, "Client does not read; resume from your cursor");
    }
}

static void tick(void *context)
{
    LiveLoop *loop = (LiveLoop *)context;
    uint64_t now_ms = loop_now_ms(loop->loop);
    for (LiveClient *client = loop->clients, *next; client; client = next) {
        next = client->next;
        atomic_store_explicit(&client->queued_bytes, client->io->queued_bytes(client->socket),
                              memory_order_relaxed);
        close_stalled(loop, client, now_ms);
        if (client->io->tick)
            client->io->tick(client->socket, now_ms);
    }
    live__views_tick(loop->hub);
}

static void retry(void *context)
{
    live__pump((LiveLoop *)context);
}

Code live_loop_new(LiveHub *hub, Loop *loop, LiveLoop **out, Error *e)
{
    LiveLoop *live = x_new(LiveLoop);
    live->hub = hub;
    live->loop = loop;
    atomic_init(&live->refs, 1);
    live->entries = map_new();
    live->channels = map_new();
    live->arena = arena_new();
    live->tick = loop_timer_new(loop, tick, live);
    live->retry = loop_timer_new(loop, retry, live);
    mutex_lock(&hub->lock);
    bool fits = hub->loop_count < LIVE_LOOPS_MAX;
    if (fits)
        hub->loops[hub->loop_count++] = live;
    mutex_unlock(&hub->lock);
    if (!fits) {
        live_loop_free(live);
        return fail(e, E_BUSY, "at most %d loops can serve live queries", LIVE_LOOPS_MAX);
    }
    *out = live;
    return OK;
}

void live__loop_unref(LiveLoop *loop)
{
    if (atomic_fetch_sub_explicit(&loop->refs, 1, memory_order_acq_rel) != 1)
        return;
    map_free(loop->entries);
    map_free(loop->channels);
    arena_free(loop->arena);
    buffer_done(&loop->body);
    buffer_done(&loop->message);
    buffer_done(&loop->matched);
    free(loop);
}

void live_loop_free(LiveLoop *loop)
{
    if (!loop)
        return;
    must(!loop->clients);
    LiveHub *hub = loop->hub;
    mutex_lock(&hub->lock);
    for (size_t i = 0; i < hub->loop_count; i++) {
        if (hub->loops[i] == loop)
            hub->loops[i] = hub->loops[--hub->loop_count];
    }
    mutex_unlock(&hub->lock);
    loop->is_closed = true;
    live__drop_ended(&loop->ready);
    loop_timer_free(loop->tick);
    loop_timer_free(loop->retry);
    live__loop_unref(loop);
}

/* ---- all subscriptions ---- */

static Slice user_key(const uint64_t *user)
{
    return slice_of(user, sizeof *user);
}

static bool add(LiveHub *hub, Subscription *subscription, uint32_t user_max)
{
    MUTEX_SCOPE(&hub->lock);
    uintptr_t count = (uintptr_t)map_get(hub->users, user_key(&subscription->user));
    if (count >= user_max)
        return false;
    map_put(hub->users, user_key(&subscription->user), (void *)(count + 1));
    subscription->hub_next = hub->subscriptions;
    if (subscription->hub_next)
        subscription->hub_next->hub_prev = subscription;
    hub->subscriptions = subscription;
    atomic_fetch_add_explicit(&hub->subscription_count, 1, memory_order_relaxed);
    return true;
}

bool live__hub_add(LiveHub *hub, Subscription *subscription, uint32_t user_max)
{
    bool fits = add(hub, subscription, user_max);
    live_hub_touch(hub, LIVE_ON_SUBSCRIPTIONS);
    return fits;
}

static void take_out(LiveHub *hub, Subscription *subscription)
{
    MUTEX_SCOPE(&hub->lock);
    uintptr_t count = (uintptr_t)map_get(hub->users, user_key(&subscription->user));
    must(count > 0);
    if (count == 1)
        map_remove(hub->users, user_key(&subscription->user));
    else
        map_put(hub->users, user_key(&subscription->user), (void *)(count - 1));
    if (subscription->hub_prev)
        subscription->hub_prev->hub_next = subscription->hub_next;
    else
        hub->subscriptions = subscription->hub_next;
    if (subscription->hub_next)
        subscription->hub_next->hub_prev = subscription->hub_prev;
    atomic_fetch_sub_explicit(&hub->subscription_count, 1, memory_order_relaxed);
}

void live__hub_remove(LiveHub *hub, Subscription *subscription)
{
    take_out(hub, subscription);
    live_hub_touch(hub, LIVE_ON_SUBSCRIPTIONS);
}

void live__set_state(Subscription *subscription, SubState state)
{
    LiveHub *hub = subscription->loop->hub;
    must(live__may_move(subscription->state, state));
    mutex_lock(&hub->lock);
    subscription->state = state;
    mutex_unlock(&hub->lock);
    live_hub_touch(hub, LIVE_ON_SUBSCRIPTIONS);
}

static uint64_t lag_ms_of(const Subscription *s, int64_t now_us)
{
    if (s->state == SUB_LIVE)
        return 0;
    uint64_t seen = atomic_load_explicit(&s->seen_seq, memory_order_relaxed);
    int64_t newest_us = seen ? seq_time_us(database_last_seq(s->loop->hub->db)) : now_us;
    int64_t lag_us = newest_us - (seen ? seq_time_us(seen) : s->created_at_us);
    return lag_us > 0 ? (uint64_t)lag_us / 1000 : 0;
}

static void add_figures(const Subscription *s, LiveInfo *info)
{
    int64_t now_us = clock_wall_us();
    int64_t age_s = (now_us - s->created_at_us) / 1000000;
    info->lag_ms = lag_ms_of(s, now_us);
    info->queued_bytes = atomic_load_explicit(&s->client->queued_bytes, memory_order_relaxed);
    info->sent_bytes = atomic_load_explicit(&s->sent_bytes, memory_order_relaxed);
    info->reads = atomic_load_explicit(&s->read_count, memory_order_relaxed);
    info->changes_per_s = info->changes / (uint64_t)(age_s > 0 ? age_s : 1);
}

static LiveInfo info_of(const Subscription *subscription, Arena *arena)
{
    const Table *table = subscription->query->table;
    LiveInfo info = {
        .subscription_id = arena_copy(arena, subscription->id),
        .namespace_name = arena_copy(arena, table->namespace_name),
        .table_name = arena_copy(arena, table->name),
        .user_id = arena_copy(arena, slice_of_text(subscription->client->user_id)),
        .query = arena_copy(arena, subscription->query->sql),
        .status = live__state_name(subscription->state),
        .created_at_us = subscription->created_at_us,
        .last_update_us = atomic_load_explicit(&subscription->last_update_us, memory_order_relaxed),
        .last_ping_us =
            atomic_load_explicit(&subscription->client->last_ping_us, memory_order_relaxed),
        .changes = atomic_load_explicit(&subscription->changes, memory_order_relaxed),
        .has_options = subscription->request.has_options,
        .options = subscription->request,
    };
    add_figures(subscription, &info);
    memcpy(info.connection_id, subscription->client->connection_id, sizeof info.connection_id);
    return info;
}

void live_list(LiveHub *hub, Arena *arena, LiveInfo **out, size_t *out_count)
{
    MUTEX_SCOPE(&hub->lock);
    size_t count = 0,
           capacity = atomic_load_explicit(&hub->subscription_count, memory_order_relaxed);
    LiveInfo *list = arena_new_array(arena, LiveInfo, capacity + 1);
    for (Subscription *s = hub->subscriptions; s && count < capacity; s = s->hub_next)
        list[count++] = info_of(s, arena);
    *out = list;
    *out_count = count;
}

void live_stats(LiveHub *hub, LiveStats *out)
{
    *out = (LiveStats){
        .subscriptions = atomic_load_explicit(&hub->subscription_count, memory_order_relaxed),
        .sent = atomic_load_explicit(&hub->sent, memory_order_relaxed),
        .fallbacks = atomic_load_explicit(&hub->fallbacks, memory_order_relaxed),
        .reads = atomic_load_explicit(&hub->reads, memory_order_relaxed),
    };
}
