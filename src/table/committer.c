/* SPDX-License-Identifier: Apache-2.0
 *
 * The committer: one thread that makes commits durable, in seq order, and reads nothing.
 *
 *     queue (in turns) -> take a group -> admit or refuse each -> seqs -> one batch, one sync ->
 *     apply -> publish -> answer
 *
 * I1. Seqs ascend in commit order; the batch that holds them holds last_seq too, so a snapshot's
 *     last_seq is always the end of a commit.
 * I2. No seq is acknowledged above the synced ceiling: a batch that raises the ceiling is synced.
 * I3. A durable intent is answered only after the sync of its batch returned OK. After a failed
 *     write nothing more is written until the store was opened again (reopen.c). The outcome of its
 *     group is unknown if any of it was given to the log; should it be there then, it is published,
 *     late but in its place: no other was committed in between. Else it is refused like those after
 *     it.
 * I4. An admitted intent saw no key, guard or layout that was committed after its snapshot R, and
 *     no row version it has read died after R. Nobody writes to the rows of a dropped user: not
 *     what was resolved before, nor what is resolved again after. Nor does one write who was
 *     dropped, or whose role was lowered, since their statement was allowed.
 * I5. A group holds at most one catalog change, as its last intent: what follows is judged by the
 *     new catalog.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "os/clock.h"
#include "os/thread.h"
#include "table/standing.h"
#include "table/table_int.h"

enum {
    GROUP_INTENTS_MAX = 2048,
    TABLE_SLOTS = 4096,
    CEILING_MARGIN_MS = 1000,
    SEQ_MS_SHIFT = SEQ_NODE_BITS + SEQ_COUNTER_BITS,
    RETRY_MS_MIN = 100, /* between a failed write and the first try to go on; doubled after each */
    RETRY_MS_MAX = 5000,
};

typedef struct Death {
    uint64_t seq, at;
} Death;

struct Committer {
    Database *db;
    HotStore *hot;
    Thread *thread;

    Mutex lock;
    Cond wake;
    /* guarded by lock */
    IntentQueue queue;
    bool stopping;

    /* the committer thread's own */
    Conflicts *conflicts;
    DueNotes *due;
    /* By table id modulo the slots, at least the seq of the last commit with rows of it. */
    uint64_t row_seqs[TABLE_SLOTS];
    Standings *standings; /* since the start; who was dropped before has no session to write with */
    HotBatch *batch;
    Buffer scratch;
    Buffer deaths; /* Death records of the flush being admitted */
    Intent *group[GROUP_INTENTS_MAX];
    Code codes[GROUP_INTENTS_MAX];
    Intent *admitted[GROUP_INTENTS_MAX];
    size_t group_count, admitted_count;
    KnownSeqs known; /* `synced` always, the others after a failed write */

    /* the same, after a failed write (I3) */
    Intent *doubted[GROUP_INTENTS_MAX]; /* the group of unknown outcome, or none; references */
    size_t doubted_count;
    Error reason;        /* why writes are refused */
    int64_t retry_at_us; /* when to try again; 0 = writes go on */
    int64_t patience_ms; /* for readers to leave; also how long until the next try */

    /* read by anyone; relaxed, for figures only */
    _Atomic uint64_t commits, groups, rows, refused, syncs, sync_us, reopen_tries;
};

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

/* ---- taking ---- */

/* Until somebody submits, or it is time to try again. */
static void wait_for_intents(Committer *c)
{
    while (c->queue.count == 0 && !c->stopping) {
        if (c->retry_at_us == 0)
            cond_wait(&c->wake, &c->lock);
        else if (!cond_wait_until(&c->wake, &c->lock, c->retry_at_us))
            return;
    }
}

/* Moves queued intents into the group, up to the caps; maybe none. False when stopping and nothing
 * is left. */
static bool take_group(Committer *c)
{
    MUTEX_SCOPE(&c->lock);
    wait_for_intents(c);
    c->group_count = 0;
    size_t rows = 0, bytes = 0;
    for (Intent *intent;
         c->group_count < GROUP_INTENTS_MAX && (intent = queue__first(&c->queue));) {
        bool fits = rows + intent->row_count <= COMMIT_ROWS_MAX &&
                    bytes + intent->bytes <= COMMIT_BYTES_MAX;
        if (c->group_count > 0 && !fits)
            break;
        queue__pop(&c->queue);
        rows += intent->row_count;
        bytes += intent->bytes;
        c->group[c->group_count++] = intent;
        if (intent->catalog_change) /* I5 */
            break;
    }
    return c->group_count > 0 || !c->stopping;
}

/* ---- admitting: from memory alone ---- */

static uint64_t change_key(const IntentPart *part, const RowChange *change)
{
    return part->table->kind == TABLE_STREAM
               ? conflicts_version_key(part->partition, change->old_seq)
               : conflicts_key(part->partition, change->key);
}

/* A STREAM's INSERT replaces nothing and cannot collide. */
static bool change_is_guarded(const IntentPart *part, const RowChange *change)
{
    return part->table->kind != TABLE_STREAM || change->kind != CHANGE_INSERT;
}

static bool has_valid_definition(Committer *c, const Intent *intent, const IntentPart *part)
{
    if (table_is_current(part->table) || !intent->is_trim)
        return table_is_current(part->table);
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(c->db), part->table->id);
    return table && (table->kind != TABLE_STREAM || intent->expired_seq <= table__ttl_floor(table));
}

static Code admit_part(Committer *c, const Intent *intent, const IntentPart *part)
{
    if (!has_valid_definition(c, intent, part))
        return E_CONFLICT;
    if (standings_is_dropped(c->standings, part->partition.user))
        return E_PERMISSION_DENIED;
    if (conflicts_hit(c->conflicts, conflicts_layout_key(part->partition), intent->read_seq))
        return E_CONFLICT;
    for (size_t i = 0; i < part->count; i++) {
        const RowChange *change = &part->changes[i];
        if (change_is_guarded(part, change) &&
            conflicts_hit(c->conflicts, change_key(part, change), intent->read_seq))
            return E_CONFLICT;
    }
    return OK;
}

static void collect_death(void *context, uint64_t died_seq, uint64_t at)
{
    Death death = {died_seq, at};
    buffer_add((Buffer *)context, &death, sizeof death);
}

/* Whether the rows of the table that an ALTER looked at may have changed since. */
static bool has_stale_rows(const Committer *c, const Intent *intent)
{
    uint32_t id = intent->catalog_change ? catalog_change_quiet_table(intent->catalog_change) : 0;
    return id && c->row_seqs[id % TABLE_SLOTS] > intent->read_seq;
}

static Code admit(Committer *c, const Intent *intent)
{
    if (database_is_read_only(c->db))
        return c->reason.code;
    if (!standings_has_role(c->standings, intent->actor, intent->actor_role))
        return E_PERMISSION_DENIED;
    if (has_stale_rows(c, intent))
        return E_CONFLICT;
    const CatalogChange *change = intent->catalog_change;
    if (change && conflicts_hit(c->conflicts, catalog_change_guard(change), intent->read_seq))
        return E_CONFLICT;
    for (size_t i = 0; i < intent->read_count; i++) {
        if (!table_is_current(intent->reads[i].table))
            return E_CONFLICT;
    }
    if (intent->read_count &&
        conflicts_hit_reads(c->conflicts, intent->reads, intent->read_count, intent->read_seq))
        return E_CONFLICT;
    for (size_t i = 0; i < intent->part_count; i++) {
        Code code = admit_part(c, intent, &intent->parts[i]);
        if (code != OK)
            return code;
    }
    buffer_clear(&c->deaths);
    if (intent->flush &&
        !conflicts_deaths(c->conflicts, intent->flush, intent->read_seq, collect_death, &c->deaths))
        return E_CONFLICT;
    return OK;
}

/* ---- writing ---- */

static void put_dead(Committer *c, Partition partition, uint64_t seq, uint64_t at)
{
    SeqKey key = table__seq_key(partition, seq);
    char value[SEQ_BYTES];
    table__encode_u64(at, value);
    hot_batch_put(c->batch, c->hot, HOT_DEAD, table__key_slice(&key), slice_of(value, SEQ_BYTES));
}

/* Moves the replaced version from rows to history. */
static void put_history(Committer *c, Partition partition, const RowChange *change)
{
    SeqKey old = table__seq_key(partition, change->old_seq);
    VersionHeader header = {VERSION_LIVE, change->old_prev_seq, change->seq, change->old_row};
    buffer_clear(&c->scratch);
    table__encode_history(&old, &header, &c->scratch);
    hot_batch_put(c->batch, c->hot, HOT_HISTORY, table__key_slice(&old), buffer_slice(&c->scratch));
    hot_batch_delete(c->batch, c->hot, HOT_ROWS, table__key_slice(&old));
    if (change->old_is_cold)
        put_dead(c, partition, change->old_seq, change->seq);
}

static void put_head(Committer *c, Partition partition, const RowChange *change)
{
    buffer_clear(&c->scratch);
    table__add_head_key(&c->scratch, partition, change->key);
    if (change->kind == CHANGE_DELETE) {
        hot_batch_delete(c->batch, c->hot, HOT_HEADS, buffer_slice(&c->scratch));
        return;
    }
    char value[SEQ_BYTES];
    table__encode_u64(change->seq, value);
    hot_batch_put(c->batch, c->hot, HOT_HEADS, buffer_slice(&c->scratch),
                  slice_of(value, SEQ_BYTES));
}

static void put_change(Committer *c, const IntentPart *part, RowChange *change)
{
    SeqKey key = table__seq_key(part->partition, change->seq);
    bool is_delete = change->kind == CHANGE_DELETE;
    must((change->old_seq != 0) == (change->kind != CHANGE_INSERT));
    VersionHeader header = {is_delete ? VERSION_TOMBSTONE : VERSION_LIVE, change->old_seq, 0,
                            change->new_row};
    buffer_clear(&c->scratch);
    table__encode_row(&key, &header, &c->scratch);
    hot_batch_put(c->batch, c->hot, HOT_ROWS, table__key_slice(&key), buffer_slice(&c->scratch));
    if (change->old_seq)
        put_history(c, part->partition, change);
    if (part->table->kind != TABLE_STREAM)
        put_head(c, part->partition, change);
    if (change_is_guarded(part, change))
        conflicts_note(c->conflicts, change_key(part, change), change->seq, part->partition,
                       change->old_seq);
}

static void put_raw(Committer *c, const RawWrite *raw)
{
    switch (raw->kind) {
    case RAW_PUT:
        hot_batch_put(c->batch, c->hot, raw->family, raw->key, raw->value);
        break;
    case RAW_DELETE:
        hot_batch_delete(c->batch, c->hot, raw->family, raw->key);
        break;
    case RAW_DELETE_RANGE:
        hot_batch_delete_range(c->batch, c->hot, raw->family, raw->key, raw->value);
        break;
    }
}

static void put_flush(Committer *c, const Intent *intent)
{
    const Death *deaths = (const Death *)c->deaths.data;
    for (size_t i = 0; i < c->deaths.size / sizeof(Death); i++)
        put_dead(c, intent->flush->partition, deaths[i].seq, deaths[i].at);
    conflicts_note(c->conflicts, conflicts_layout_key(intent->flush->partition), intent->commit_seq,
                   intent->flush->partition, 0);
}

/* A dropped table's keys go by range; its segment entries stay for the purge, which unlinks their
 * files. */
static void put_drop(Committer *c, const Table *dropped)
{
    static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD};
    SeqKey from = table__seq_key((Partition){dropped->id, 0}, 0);
    SeqKey to = table__seq_key((Partition){dropped->id + 1, 0}, 0);
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        hot_batch_delete_range(c->batch, c->hot, families[i], slice_of(from.bytes, 4),
                               slice_of(to.bytes, 4));
    char state_from[5] = {SYSTEM_PREFIX_PARTITION}, state_to[5] = {SYSTEM_PREFIX_PARTITION};
    memcpy(state_from + 1, from.bytes, 4);
    memcpy(state_to + 1, to.bytes, 4);
    hot_batch_delete_range(c->batch, c->hot, HOT_SYSTEM, slice_of(state_from, 5),
                           slice_of(state_to, 5));
    buffer_clear(&c->scratch);
    table__encode_dropped(dropped, &c->scratch);
    state_from[0] = SYSTEM_PREFIX_DROPPED;
    hot_batch_put(c->batch, c->hot, HOT_SYSTEM, slice_of(state_from, 5), buffer_slice(&c->scratch));
}

static void put_drops(Committer *c, const CatalogChange *change)
{
    for (; change; change = catalog_change_next(change)) {
        const Table *dropped = catalog_change_dropped_table(change);
        if (dropped)
            put_drop(c, dropped);
    }
}

/* A table is created in the future by up to a millisecond (view_partition says why). */
static int64_t time_of(const Intent *intent)
{
    int64_t now_us = clock_wall_us();
    int64_t not_before_us =
        intent->catalog_change ? catalog_change_not_before_us(intent->catalog_change) : 0;
    return now_us > not_before_us ? now_us : not_before_us;
}

static void append(Committer *c, Intent *intent)
{
    SeqGenerator *generator = database__generator(c->db);
    int64_t now_us = time_of(intent);
    DueWrite due = {c->db, c->hot, c->batch, now_us};
    for (size_t i = 0; i < intent->part_count; i++) {
        IntentPart *part = &intent->parts[i];
        for (size_t k = 0; k < part->count; k++) {
            part->changes[k].seq = intent->commit_seq = seq_next(generator, now_us); /* I1 */
            put_change(c, part, &part->changes[k]);
        }
        if (part->count == 0)
            continue;
        c->row_seqs[part->partition.table_id % TABLE_SLOTS] = intent->commit_seq;
        due__note(c->due, &due, part, intent->commit_seq);
    }
    if (intent->row_count == 0)
        intent->commit_seq = seq_next(generator, now_us);
    for (size_t i = 0; i < intent->raw_count; i++)
        put_raw(c, &intent->raw[i]);
    if (intent->flush) {
        put_flush(c, intent);
        due__note(c->due, &due, &intent->parts[0], intent->commit_seq); /* hot copies go by time */
    }
    for (size_t i = 0; i < intent->settle_count; i++)
        due__settle(c->due, &due, &intent->settles[i], intent->read_seq);
    const CatalogChange *change = intent->catalog_change;
    if (change) {
        static const Partition nowhere = {0, 0};
        catalog_change_write(change, c->hot, c->batch);
        put_drops(c, change);
        conflicts_note(c->conflicts, catalog_change_guard(change), intent->commit_seq, nowhere, 0);
    }
}

static void put_system_u64(Committer *c, Slice key, uint64_t v)
{
    char value[8];
    table__encode_u64(v, value);
    hot_batch_put(c->batch, c->hot, HOT_SYSTEM, key, slice_of(value, sizeof value));
}

/* Writes the group's batch. */
static Code write_group(Committer *c, bool durable, Error *e)
{
    SeqGenerator *generator = database__generator(c->db);
    uint64_t last_seq = c->admitted[c->admitted_count - 1]->commit_seq;
    uint64_t ceiling = atomic_load_explicit(&generator->ceiling, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&generator->last, memory_order_relaxed);
    bool raise = used + ((uint64_t)CEILING_MARGIN_MS << SEQ_MS_SHIFT) > ceiling;
    if (raise) {
        ceiling = used + ((uint64_t)CEILING_AHEAD_MS << SEQ_MS_SHIFT);
        put_system_u64(c, SYSTEM_KEY_CEILING, ceiling);
    }
    put_system_u64(c, SYSTEM_KEY_LAST_SEQ, last_seq);
    bool sync = durable || raise; /* I2 */
    int64_t start_us = clock_monotonic_us();
    TRY(hot_write(c->hot, c->batch, sync, e));
    if (sync) {
        c->known.synced = last_seq;
        count(&c->syncs, 1);
        count(&c->sync_us, (uint64_t)(clock_monotonic_us() - start_us));
    }
    if (raise)
        atomic_store_explicit(&generator->ceiling, ceiling, memory_order_relaxed);
    return OK;
}

/* From the next group on (I5). */
static void note_user(Committer *c, const CatalogChange *change)
{
    if (!catalog_change_user(change).size)
        return;
    UserState state = catalog_change_user_state(change);
    standings_note(c->standings, catalog_change_user_number(change), &state);
}

static void publish(Committer *c, Intent *const *intents, size_t intent_count)
{
    Intent *last = intents[intent_count - 1];
    if (last->catalog_change) {
        note_user(c, last->catalog_change);
        catalog_change_apply(database_catalog(c->db), last->catalog_change);
    }
    database__set_last_seq(c->db, last->commit_seq);
    CommitGroup group = {intents, intent_count, last->commit_seq};
    size_t sink_count;
    const ChangeSink *sinks = database__sinks(c->db, &sink_count);
    for (size_t i = 0; i < sink_count; i++)
        sinks[i].on_commit(sinks[i].context, &group);
    for (size_t i = 0; i < intent_count; i++)
        count(&c->rows, intents[i]->row_count);
    count(&c->commits, intent_count);
    count(&c->groups, 1);
}

static void answer(Intent *intent, Code code, const Error *error)
{
    if (intent->done)
        intent->done(intent->context, intent, code, error);
    intent_unref(intent);
}

static Code say_refused(const Committer *c, Error *error)
{
    return fail(error, c->reason.code,
                "writes are refused since one to the disk failed, reads go on, and the server "
                "tries again by itself: %.300s",
                c->reason.text);
}

/* What a refused intent is told; conflicts need no text, the statement is resolved again. */
static void refuse(Committer *c, Intent *intent, Code code)
{
    Error error = {.code = code};
    if (code == E_CONFLICT)
        count(&c->refused, 1);
    else if (code == E_PERMISSION_DENIED)
        code = fail(&error, code, "the user was dropped, or has a lower role by now");
    else
        code = say_refused(c, &error);
    answer(intent, code, &error);
}

/* ---- after a failed write ---- */

/* E_BUSY says only that readers kept the store from being opened: the reason stays. */
static void try_later(Committer *c, const Error *error)
{
    if (error->code != E_BUSY) {
        c->reason = *error;
        if (c->reason.code != E_DISK_FULL)
            c->reason.code = E_IO;
    }
    c->patience_ms = c->patience_ms ? c->patience_ms * 2 : RETRY_MS_MIN;
    if (c->patience_ms > RETRY_MS_MAX)
        c->patience_ms = RETRY_MS_MAX;
    c->retry_at_us = clock_monotonic_us() + c->patience_ms * 1000;
}

/* I3. */
static Code refuse_writes(Committer *c, Error *error)
{
    must(c->doubted_count == 0);
    try_later(c, error);
    database__set_read_only(c->db, true);
    if (!hot_batch_was_given(c->batch)) /* a flush or a merge has failed before */
        return say_refused(c, error);
    for (size_t i = 0; i < c->admitted_count; i++)
        c->doubted[c->doubted_count++] = intent_ref(c->admitted[i]);
    Code code = wrap(error, "the outcome of this commit is unknown");
    error->code = code = E_OUTCOME_UNKNOWN;
    return code;
}

static void forget_doubted(Committer *c)
{
    for (size_t i = 0; i < c->doubted_count; i++)
        intent_unref(c->doubted[i]);
    c->doubted_count = 0;
}

/* Memory follows the store. Whatever was resolved before the last commit is resolved again: notes
 * of the doubted group may be wrong. */
static void settle_doubted(Committer *c, GroupFate fate)
{
    if (fate == GROUP_THERE)
        publish(c, c->doubted, c->doubted_count);
    forget_doubted(c);
    if (fate != COMMITS_LOST) /* what opening found, it has synced */
        c->known.synced = database_last_seq(c->db);
}

static void forget_conflicts(Committer *c)
{
    uint64_t last_seq = database_last_seq(c->db);
    due__notes_forget(c->due, last_seq);
    conflicts_free(c->conflicts);
    c->conflicts = conflicts_new(last_seq);
    for (size_t i = 0; i < TABLE_SLOTS; i++)
        c->row_seqs[i] = last_seq;
}

static void try_to_go_on(Committer *c)
{
    Error error = {0};
    GroupFate fate;
    c->known.published = database_last_seq(c->db);
    c->known.doubted = c->doubted_count ? c->doubted[c->doubted_count - 1]->commit_seq : 0;
    Code code = reopen__open(c->db, c->patience_ms, &c->known, &fate, &error);
    if (code == OK) {
        settle_doubted(c, fate);
        code = reopen__end(c->db, fate, &c->known, &error);
    }
    count(&c->reopen_tries, 1);
    if (code != OK) {
        try_later(c, &error);
        return;
    }
    c->known = (KnownSeqs){.synced = database_last_seq(c->db)};
    forget_conflicts(c);
    c->retry_at_us = c->patience_ms = 0;
    database__set_read_only(c->db, false);
    size_t sink_count;
    const ChangeSink *sinks = database__sinks(c->db, &sink_count);
    for (size_t i = 0; i < sink_count; i++) {
        if (sinks[i].on_reopen)
            sinks[i].on_reopen(sinks[i].context, fate == COMMITS_LOST);
    }
}

static void commit_group(Committer *c)
{
    Error error = {0};
    bool durable = false;
    hot_batch_clear(c->batch);
    c->admitted_count = 0;
    for (size_t i = 0; i < c->group_count; i++) {
        Intent *intent = c->group[i];
        c->codes[i] = admit(c, intent); /* I4 */
        if (c->codes[i] != OK)
            continue;
        append(c, intent);
        durable |= intent->durable;
        c->admitted[c->admitted_count++] = intent;
    }
    Code code = OK;
    if (c->admitted_count > 0) {
        code = write_group(c, durable, &error);
        if (code == OK) {
            publish(c, c->admitted, c->admitted_count);
        } else {
            code = refuse_writes(c, &error);
        }
    }
    for (size_t i = 0; i < c->group_count; i++) {
        if (c->codes[i] == OK)
            answer(c->group[i], code, &error);
        else
            refuse(c, c->group[i], c->codes[i]);
    }
}

static void run(void *argument)
{
    Committer *c = (Committer *)argument;
    while (take_group(c)) {
        commit_group(c);
        if (c->retry_at_us && clock_monotonic_us() >= c->retry_at_us)
            try_to_go_on(c);
    }
}

/* ---- from other threads ---- */

Code committer_start(Database *db, uint64_t last_seq, Committer **out, Error *e)
{
    Committer *c = x_new(Committer);
    c->db = db;
    c->hot = database_hot(db);
    c->batch = hot_batch_new();
    c->standings = standings_new();
    c->due = due__notes_new();
    c->conflicts = conflicts_new(last_seq);
    c->known.synced = last_seq;
    mutex_init(&c->lock);
    cond_init(&c->wake);
    Code code = thread_start("committer", THREAD_COMMITTER, run, c, &c->thread, e);
    if (code != OK) {
        committer_free(c);
        return code;
    }
    *out = c;
    return OK;
}

void committer_stop(Committer *c)
{
    mutex_lock(&c->lock);
    c->stopping = true;
    cond_signal(&c->wake);
    mutex_unlock(&c->lock);
    thread_join(c->thread);
    c->thread = NULL;
}

void committer_free(Committer *c)
{
    if (!c)
        return;
    must(!c->thread);
    must(c->queue.count == 0);
    forget_doubted(c);
    conflicts_free(c->conflicts);
    due__notes_free(c->due);
    standings_free(c->standings);
    hot_batch_free(c->batch);
    buffer_done(&c->scratch);
    buffer_done(&c->deaths);
    mutex_done(&c->lock);
    cond_done(&c->wake);
    free(c);
}

Code committer_submit(Committer *c, Intent *intent, Error *e)
{
    MUTEX_SCOPE(&c->lock);
    if (c->stopping)
        return fail(e, E_SHUTTING_DOWN, "the server is stopping");
    if (!queue__push(&c->queue, intent))
        return fail(e, E_BUSY, "%zu commits are waiting already; retry in a moment",
                    c->queue.count);
    if (c->queue.count == 1)
        cond_signal(&c->wake);
    return OK;
}

void committer_stats(Committer *c, DatabaseStats *out)
{
    *out = (DatabaseStats){
        .commits = atomic_load_explicit(&c->commits, memory_order_relaxed),
        .groups = atomic_load_explicit(&c->groups, memory_order_relaxed),
        .rows = atomic_load_explicit(&c->rows, memory_order_relaxed),
        .conflicts = atomic_load_explicit(&c->refused, memory_order_relaxed),
        .syncs = atomic_load_explicit(&c->syncs, memory_order_relaxed),
        .sync_us = atomic_load_explicit(&c->sync_us, memory_order_relaxed),
        .reopen_tries = atomic_load_explicit(&c->reopen_tries, memory_order_relaxed),
    };
    MUTEX_SCOPE(&c->lock);
    out->queue_depth = c->queue.count;
}
