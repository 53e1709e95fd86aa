/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens to subscriptions from outside: the definition of their table changes or goes, their
 * user is dropped or gets another role or password, somebody kills them. On the loop's thread, in
 * the order of commits.
 *
 * A definition changed by ALTER TABLE is followed when each column that the query uses is there as
 * it was: same field, name and type, and the user may still read the table. The query is compiled
 * anew and the subscription goes over to it. What the client sees differs only when `*` has new
 * columns: a client that announced `schema` is told them, any other is told to subscribe again. In
 * all other cases the subscription ends.
 *
 * I1. A subscription that a worker reads for keeps its query until the read has ended: the reader
 *     finds the definition outdated by itself (live__query_check) and live__follow runs then.
 * I2. Rows sent before a `schema` message have the columns of before, rows after it those it names;
 *     it tells what the former read in the new ones. So a page that is under way ends there, and
 *     first rows of which nothing was sent begin anew.
 * I3. A loop that is late may follow several definitions at once. Each one since the subscription
 *     began must let it read: each is looked at in its turn, before the changes after it are
 *     delivered. What a worker reads meanwhile is refused by table_open_since.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "live/live_int.h"

/* ---- ALTER and DROP ---- */

/* What the query shows, asks for or orders by, and the key, which every message tells. */
static void find_used(const LiveQuery *query, bool *out_used)
{
    const Schema *schema = query->table->schema;
    if (schema->key_index >= 0)
        out_used[schema->key_index] = true;
    for (uint32_t i = 0; i < query->column_count; i++)
        out_used[query->columns[i].index] = true;
    sql_bound_columns(query->where, out_used);
    for (uint32_t i = 0; i < query->order_count; i++)
        sql_bound_columns(query->order[i].expr, out_used);
}

static bool has_column(const Schema *schema, const Column *column)
{
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const Column *other = &schema->columns[i];
        if (other->field_id == column->field_id)
            return other->type == column->type && slice_equal(other->name, column->name);
    }
    return false;
}

/* Whether each column that the query uses is there as it was. New columns come after all others,
 * so that what `*` shows keeps its order. */
static bool is_kept(const LiveQuery *query, const Schema *now)
{
    const Schema *old = query->table->schema;
    bool used[COLUMNS_MAX] = {false};
    must(old->column_count <= COLUMNS_MAX);
    find_used(query, used);
    for (uint32_t i = 0; i < old->column_count; i++)
        if (used[i] && !has_column(now, &old->columns[i]))
            return false;
    return true;
}

static Code refuse(const Subscription *s, Error *e)
{
    return live__query_check(s->query, s->loop->hub->db, e);
}

static bool may_follow(const Subscription *s, const Table *now)
{
    const Table *old = s->query->table;
    if (!now || now->id != old->id || !is_kept(s->query, now->schema))
        return false;
    bool is_wider = s->query->is_star && now->schema->column_count > old->schema->column_count;
    bool is_told = s->client->features.schema || (s->reader && !s->reader->is_acked);
    return !is_wider || is_told;
}

/* The query against the definition of now. */
static Code find_successor(Subscription *s, Channel **out, Error *e)
{
    const LiveQuery *old = s->query;
    CLEANUP(table_unref_ptr)
    Table *now = catalog_find_table_by_id(database_catalog(s->loop->hub->db), old->table->id);
    if (!may_follow(s, now))
        return refuse(s, e);
    Channel *channel;
    LiveRequest request = {.sql = old->sql, .params = old->params, .param_count = old->param_count};
    TRY(live__channel_of(s->client, &request, &channel, e));
    if (!may_follow(s, channel->query->table)) { /* altered once more in between */
        live__drop_unused(s->loop, channel);
        return refuse(s, e);
    }
    *out = channel;
    return OK;
}

/* I2 */
static void end_old_rows(Subscription *s)
{
    Reader *reader = s->reader;
    bool is_loading = reader && reader->phase != READ_FEED;
    if (is_loading && reader->has_sent)
        live__reader_end_page(reader);
    else if (is_loading)
        s->reader = live__reader_anew(reader, &s->request, &s->client->features, NULL);
    if (reader && reader == s->reader)
        live__send_out(s);
}

static Code tell_schema(const Subscription *s, uint32_t old_columns, Error *e)
{
    if (s->reader && !s->reader->is_acked)
        return OK;
    CLEANUP(buffer_done) Buffer message = {0};
    TRY(live__add_schema_message(&message, s->id, s->query, old_columns, e));
    live__send(s->client, buffer_slice(&message), 0);
    return OK;
}

Code live__follow(Subscription *s, Error *e)
{
    must(!s->is_reading); /* I1 */
    Channel *channel = NULL;
    const LiveQuery *old = s->query;
    uint32_t old_columns = old->column_count;
    TRY(find_successor(s, &channel, e));
    bool is_news = old->is_star && channel->query->column_count != old_columns;
    if (is_news)
        end_old_rows(s);
    live__move(s, channel);
    return is_news ? tell_schema(s, old_columns, e) : OK;
}

/* Follows, or ends. */
static void follow_or_end(Subscription *s)
{
    Error error = {0};
    if (!s->is_reading && live__follow(s, &error) != OK)
        live__end(s, &error);
}

static void visit_channel(LiveLoop *loop, Channel *channel)
{
    Error error = {0};
    if (live__query_check(channel->query, loop->hub->db, &error) == OK)
        return;
    for (Subscription *s = channel->subscriptions, *next; s; s = next) {
        next = s->next; /* the channel goes with its last subscription */
        follow_or_end(s);
    }
}

/* I3. The level that this one commit gave the table: the catalog may have a later one by now. */
static Code check_level(const Subscription *s, const Table *then, Error *e)
{
    Role role = s->client->role;
    if (then->schema->version <= s->first_version || access_level_allows(then->access, role, false))
        return OK;
    return fail(e, E_PERMISSION_DENIED,
                "Access denied: role '%s' may no longer read SHARED table '%.*s.%.*s' (access "
                "level '%s')",
                role_name(role), SLICE_ARGS(then->namespace_name), SLICE_ARGS(then->name),
                access_level_name(then->access));
}

static void check_channel(const Channel *channel, const Table *then)
{
    for (Subscription *s = channel->subscriptions, *next; s; s = next) {
        Error error = {0};
        next = s->next; /* the channel goes with its last subscription */
        if (check_level(s, then, &error) != OK)
            live__end(s, &error);
    }
}

static void visit_altered(LiveLoop *loop, const Table *then)
{
    const Partition all = {then->id, 0};
    Entry *entry = then->kind == TABLE_SHARED ? live__find_entry(loop, &all) : NULL;
    for (Channel *channel = entry ? entry->channels : NULL, *next; channel; channel = next) {
        next = channel->next; /* the entry goes with its last channel */
        check_channel(channel, then);
    }
}

static void visit_entries(LiveLoop *loop)
{
    Slice key;
    void *value;
    for (size_t i = 0; map_next(loop->entries, &i, &key, &value);) {
        for (Channel *channel = ((Entry *)value)->channels, *next; channel; channel = next) {
            next = channel->next;
            visit_channel(loop, channel);
        }
    }
}

/* ---- users ---- */

static void end_all(LiveClient *client, const Error *error)
{
    Slice id;
    void *s;
    for (size_t i = 0; map_next(client->subscriptions, &i, &id, &s);)
        live__end((Subscription *)s, error);
}

/* Its subscriptions end, and nothing more can be asked for with what was proved then. */
static void revoke(LiveClient *client, const char *what)
{
    Error error = {.code = E_PERMISSION_DENIED};
    snprintf(error.text, sizeof error.text, "%s; authenticate again", what);
    end_all(client, &error);
    client->is_closing = true;
    client->io->close(client->socket, 1008, what);
}

/* The client may know of a later change than this one already. */
static void visit_user(LiveLoop *loop, Slice user_id, const UserState *state)
{
    for (LiveClient *client = loop->clients, *next; client; client = next) {
        next = client->next;
        if (!client->has_user || client->is_closing ||
            !slice_equal(slice_of_text(client->user_id), user_id))
            continue;
        if (!state->is_alive)
            revoke(client, "The user was dropped");
        else if (state->role != client->role)
            revoke(client, "The user has another role now");
        else if (state->credentials_at_us > client->credentials_at_us)
            revoke(client, "The user has a new password");
    }
}

/* What changed a moment ago is in memory; a record that is not there has been as it is for long. */
bool live__user_is_as_told(LiveHub *hub, const LiveUser *user)
{
    User found;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(hub->db));
    Error error = {0};
    Code code = catalog_get_user(snapshot, HOT_CACHED_ONLY, user->user_id, arena, &found, &error);
    hot_snapshot_free(snapshot);
    if (code != OK || !found.registered)
        return true;
    return found.deleted_at_us == 0 && found.role == user->role &&
           found.credentials_at_us == user->credentials_at_us;
}

void live__catalog_changed(LiveLoop *loop, const CatalogChange *change)
{
    Slice user_id = catalog_change_user(change);
    if (!user_id.size) {
        for (const CatalogChange *c = change; c; c = catalog_change_next(c))
            if (catalog_change_altered_table(c))
                visit_altered(loop, catalog_change_altered_table(c));
        visit_entries(loop);
        return;
    }
    UserState state = catalog_change_user_state(change);
    visit_user(loop, user_id, &state);
}

/* ---- KILL LIVE QUERY ---- */

typedef struct Kill {
    LoopTask task;
    LiveLoop *loop; /* a reference */
    char connection_id[LIVE_CONNECTION_ID_BYTES + 1];
    size_t id_size;
    char id[]; /* of the subscription */
} Kill;

static void run_kill(LoopTask *task)
{
    Kill *kill = (Kill *)task;
    LiveLoop *loop = kill->loop;
    for (LiveClient *client = loop->clients; client; client = client->next) {
        if (strcmp(client->connection_id, kill->connection_id) != 0)
            continue;
        Slice id = slice_of(kill->id, kill->id_size);
        Subscription *s = (Subscription *)map_get(client->subscriptions, id);
        if (s) {
            live_client_error(client, id, "KILLED", "The live query was killed");
            live__end(s, NULL);
        }
        break;
    }
    free(kill);
    live__loop_unref(loop);
}

static bool skip(Slice *io, Slice prefix)
{
    if (io->size < prefix.size || memcmp(io->data, prefix.data, prefix.size) != 0)
        return false;
    *io = slice_of(io->data + prefix.size, io->size - prefix.size);
    return true;
}

/* user-connection-subscription. Any of them may hold '-', so the id is compared and not split. */
static bool has_live_id(const Subscription *s, Slice live_id)
{
    return skip(&live_id, slice_of_text(s->client->user_id)) && skip(&live_id, SLICE("-")) &&
           skip(&live_id, slice_of_text(s->client->connection_id)) && skip(&live_id, SLICE("-")) &&
           slice_equal(live_id, s->id);
}

/* hub->lock is held, so that the loop cannot be closed meanwhile. */
static void post_kill(const Subscription *s)
{
    Kill *kill = (Kill *)x_new_bytes(sizeof *kill + s->id.size);
    kill->task.run = run_kill;
    kill->loop = s->loop;
    memcpy(kill->connection_id, s->client->connection_id, sizeof kill->connection_id);
    kill->id_size = s->id.size;
    memcpy(kill->id, s->id.data, s->id.size);
    atomic_fetch_add_explicit(&s->loop->refs, 1, memory_order_relaxed);
    loop_post_task(s->loop->loop, &kill->task);
}

Code live_kill(LiveHub *hub, Slice live_id, uint64_t user, Role role, Error *e)
{
    MUTEX_SCOPE(&hub->lock);
    for (const Subscription *s = hub->subscriptions; s; s = s->hub_next) {
        if ((role_is_admin(role) || s->user == user) && has_live_id(s, live_id)) {
            post_kill(s);
            return OK;
        }
    }
    return fail(e, E_NOT_FOUND, "Live query '%.*s' not found", SLICE_ARGS(live_id));
}
