/* SPDX-License-Identifier: Apache-2.0
 *
 * What is due without anybody asking: partitions that reached the rows of their policy, those that
 * the due index names, and those of tables whose policies have changed. Nothing here walks over
 * partitions but the last, once for each change.
 *
 * A look at a partition flushes it when its interval is over, trims its feed, removes what expired,
 * and notes old dead rows for compaction; then it plans the next look for when time will have made
 * more work, or none.
 */
#include "jobs/dirt.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"
#include "table/seq.h"

enum {
    LOOKS_MAX = 4096, /* before queued jobs get their turn */
    CLAIMED_RETRY_S = 1,
    PIECE_S_MAX = 3600,
    WINDOW_PARTS = 8, /* a feed window is trimmed in pieces of that */
    PIECE_PARTS = 64, /* planned looks of so long come together */
    LATE_S_MAX = 60,  /* a commit may take so long from its clock to the due index */
    WHOLE_S = 3600,   /* how often the index is looked through from its start nevertheless */
};
static const int64_t second_us = 1000000;

static int64_t earlier(int64_t a_us, int64_t b_us)
{
    return b_us && (a_us == 0 || b_us < a_us) ? b_us : a_us;
}

/* How long what left the window may wait for more of it. */
static int64_t piece_us(const Jobs *jobs, const Table *table)
{
    int64_t seconds = table->kind == TABLE_STREAM
                          ? table->ttl_s
                          : database_feed_window_s(jobs->db, table) / WINDOW_PARTS;
    if (seconds > PIECE_S_MAX)
        seconds = PIECE_S_MAX;
    return (seconds > 0 ? seconds : 1) * second_us;
}

static const char flush_failed[] = "a flush by policy failed";
static const char upkeep_failed[] = "upkeep of a partition failed";
static const char index_failed[] = "the due index could not be read or written";
static const char policies_failed[] = "the policies of a table were not applied";

/* The server stops, or a write has failed: what is not done stays due. */
static bool is_stopping(void *context)
{
    Jobs *jobs = (Jobs *)context;
    return jobs__is_killed(jobs, NULL) || database_is_read_only(jobs->db);
}

/* ---- flush ---- */

static int64_t interval_us(const Jobs *jobs, const Table *table)
{
    return (int64_t)database_flush_interval_s(jobs->db, table) * second_us;
}

static Code flush_by_policy(Jobs *jobs, const Table *table, Partition partition, Error *e)
{
    uint64_t rows = 0;
    TRY(jobs__flush(jobs, NULL, partition, &rows, e));
    log_event(LOG_LEVEL_INFO, "flushed by policy", LOG_SLICE("namespace", table->namespace_name),
              LOG_SLICE("table", table->name), LOG_INT("rows", rows));
    return OK;
}

/* A table that names no policy may keep small partitions hot, so that they make no tiny files. */
static Code is_worth_flushing(Jobs *jobs, const Table *table, Partition partition, bool *out,
                              Error *e)
{
    size_t count = 0, least = jobs->options.flush_rows_min;
    *out = true;
    if (table->flush_interval_s || least <= 1)
        return OK;
    TRY(flush_count_pending(jobs->db, table, partition, least, &count, e));
    *out = count >= least;
    return OK;
}

/* ---- partitions that were counted ---- */

/* What is left of it is in *out_left. */
static Code flush_counted(Jobs *jobs, const Table *table, const Dirt *dirt, Dirt *out_left,
                          Error *e)
{
    uint32_t policy = jobs__policy_rows(jobs, table);
    uint64_t feed_bytes = database_feed_window_bytes(jobs->db, table);
    size_t limit = policy == UINT32_MAX ? 0 : policy, pending = (size_t)dirt->rows;
    if (limit && (!dirt->is_counted || pending >= limit)) /* else at most so many wait */
        TRY(flush_count_pending(jobs->db, table, dirt->partition, limit, &pending, e));
    if (limit && pending >= limit) {
        TRY(flush_by_policy(jobs, table, dirt->partition, e));
        pending = 0;
    }
    bool is_trimmed = feed_bytes && dirt->bytes >= feed_bytes / FEED_PARTS;
    if (is_trimmed)
        TRY(jobs__trim(jobs, dirt->partition, e));
    *out_left = (Dirt){.partition = dirt->partition, .rows = pending};
    if (!is_trimmed)
        out_left->bytes = dirt->bytes;
    return OK;
}

static void handle_dirt(Jobs *jobs, const Dirt *dirt)
{
    Dirt left = {.partition = dirt->partition, .bytes = dirt->bytes};
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), dirt->partition.table_id);
    Error error = {0};
    if (!table)
        return;
    if (is_stopping(jobs)) {
        left.not_before_us = clock_wall_us();
        jobs__return_dirt(jobs, table, &left);
        return;
    }
    Code code = flush_counted(jobs, table, dirt, &left, &error);
    if (code == OK) {
        jobs__return_dirt(jobs, table, &left);
        jobs__went_well(jobs, flush_failed, dirt->partition);
        return;
    }
    int64_t wait_s = code == E_CLAIMED ? CLAIMED_RETRY_S : (int64_t)jobs->options.check_interval_s;
    left.not_before_us = clock_wall_us() + wait_s * second_us;
    jobs__return_dirt(jobs, table, &left);
    if (code != E_CLAIMED && code != E_CANCELLED)
        jobs__warn(jobs, flush_failed, dirt->partition, &error);
}

typedef struct DirtBatch {
    Jobs *jobs;
    Dirt dirt[JOBS_BATCH_MAX];
} DirtBatch;

static void handle_one(void *context, size_t index)
{
    const DirtBatch *batch = (const DirtBatch *)context;
    handle_dirt(batch->jobs, &batch->dirt[index]);
}

/* Also what becomes due meanwhile. False when queued jobs are to get their turn first. */
static bool handle_all_dirt(Jobs *jobs)
{
    DirtBatch batch = {.jobs = jobs};
    size_t count = 1;
    for (size_t looked = 0; count > 0 && looked < LOOKS_MAX && !is_stopping(jobs);
         looked += count) {
        count = jobs__take_dirt(jobs, batch.dirt, JOBS_BATCH_MAX);
        jobs__each(jobs, count, handle_one, &batch);
    }
    return count == 0 || is_stopping(jobs);
}

/* ---- looks ---- */

/* A little earlier, when others are looked at: an idle server wakes for all of them once. */
static int64_t together(int64_t at_us, int64_t piece_us)
{
    return at_us - at_us % (piece_us / PIECE_PARTS);
}

/* When time makes the next work, from how the partition is now. */
static int64_t plan_next(const Jobs *jobs, const Table *table, const Outlook *outlook)
{
    int64_t now_us = clock_wall_us(), piece = piece_us(jobs, table), next_us = 0;
    int64_t lives_us =
        (int64_t)(table->kind == TABLE_STREAM ? table->ttl_s
                                              : database_feed_window_s(jobs->db, table)) *
        second_us;
    int64_t flush_us = interval_us(jobs, table);
    if (outlook->change_seq)
        next_us = together(seq_time_us(outlook->change_seq) + lives_us + piece, piece);
    if (outlook->has_stale_copies || outlook->has_dead)
        next_us = earlier(next_us, now_us + piece);
    if (outlook->pending_seq && flush_us) {
        int64_t due_us = seq_time_us(outlook->pending_seq) + flush_us;
        if (due_us > now_us || table->flush_interval_s)
            next_us = earlier(next_us, due_us);
    }
    return next_us && next_us <= now_us ? now_us + CLAIMED_RETRY_S * second_us : next_us;
}

static Code flush_if_over(Jobs *jobs, const Table *table, Partition partition, Outlook *io_outlook,
                          Error *e)
{
    int64_t interval = interval_us(jobs, table);
    bool is_worth = false;
    if (!interval || !io_outlook->pending_seq ||
        clock_wall_us() < seq_time_us(io_outlook->pending_seq) + interval)
        return OK;
    TRY(is_worth_flushing(jobs, table, partition, &is_worth, e));
    if (!is_worth)
        return OK;
    TRY(flush_by_policy(jobs, table, partition, e));
    return flush_outlook(jobs->db, table, partition, io_outlook, e);
}

static Code trim_if_over(Jobs *jobs, const Table *table, Partition partition, Outlook *io_outlook,
                         Error *e)
{
    uint32_t lives_s =
        table->kind == TABLE_STREAM ? table->ttl_s : database_feed_window_s(jobs->db, table);
    int64_t before_us = clock_wall_us() - (int64_t)lives_s * second_us;
    if (before_us < table->expired_before_us) /* a longer TTL gives them no more time */
        before_us = table->expired_before_us;
    uint64_t low = seq_at(before_us);
    bool is_over = io_outlook->change_seq && io_outlook->change_seq <= low;
    if (!is_over && !io_outlook->has_stale_copies)
        return OK;
    TRY(jobs__trim(jobs, partition, e));
    return flush_outlook(jobs->db, table, partition, io_outlook, e);
}

/* Rows that waited when the server started: no commit has counted them. */
static Code count_if_unknown(Jobs *jobs, const Table *table, Partition partition, Error *e)
{
    const Dirt dirt = {.partition = partition};
    Dirt left;
    if (jobs__is_counted(jobs, partition))
        return OK;
    return flush_counted(jobs, table, &dirt, &left, e);
}

static Code look_at(Jobs *jobs, const Table *table, Partition partition, int64_t *out_next_us,
                    Error *e)
{
    Outlook outlook;
    bool is_due = false;
    if (table->kind != TABLE_STREAM)
        TRY(count_if_unknown(jobs, table, partition, e));
    TRY(flush_outlook(jobs->db, table, partition, &outlook, e));
    if (table->kind != TABLE_STREAM)
        TRY(flush_if_over(jobs, table, partition, &outlook, e));
    TRY(trim_if_over(jobs, table, partition, &outlook, e));
    if (outlook.has_dead)
        TRY(compact_is_due(jobs->db, table, partition, &is_due, e));
    if (is_due)
        jobs__note_compactable(jobs, partition);
    *out_next_us = plan_next(jobs, table, &outlook);
    return OK;
}

static void look(Jobs *jobs, const DueEntry *entry, DueSettle *out)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), entry->partition.table_id);
    Error error = {0};
    *out = (DueSettle){.entry = *entry};
    if (!table)
        return; /* dropped: nothing is left to look at */
    out->delay_us = due_delay_us(jobs->db, table);
    Code code = look_at(jobs, table, entry->partition, &out->next_us, &error);
    if (code == OK) {
        jobs__went_well(jobs, upkeep_failed, entry->partition);
        return;
    }
    int64_t wait_s = code == E_CLAIMED ? CLAIMED_RETRY_S : (int64_t)jobs->options.check_interval_s;
    out->next_us = clock_wall_us() + wait_s * second_us;
    if (code != E_CLAIMED && code != E_CANCELLED && code != E_CONFLICT)
        jobs__warn(jobs, upkeep_failed, entry->partition, &error);
}

typedef struct LookBatch {
    Jobs *jobs;
    const DueEntry *entries;
    DueSettle *settles;
    bool *is_looked;
} LookBatch;

/* A partition may have a note and a plan that are both due. It is looked at once, or its looks
 * would find each other's claim. */
static size_t first_of(const DueEntry *entries, size_t index)
{
    size_t first = 0;
    while (!partition_equal(entries[first].partition, entries[index].partition))
        first++;
    return first;
}

static void look_at_one(void *context, size_t index)
{
    const LookBatch *batch = (const LookBatch *)context;
    if (first_of(batch->entries, index) != index || is_stopping(batch->jobs))
        return;
    look(batch->jobs, &batch->entries[index], &batch->settles[index]);
    batch->is_looked[index] = true;
}

/* The looks of all entries, in order; a stopping server leaves some. Entries of one partition share
 * the outcome of its look. */
static size_t collect(const LookBatch *batch, size_t count, DueSettle *out)
{
    size_t collected = 0;
    for (size_t i = 0; i < count; i++) {
        size_t first = first_of(batch->entries, i);
        if (!batch->is_looked[first])
            continue;
        out[collected] = batch->settles[first];
        out[collected++].entry = batch->entries[i];
    }
    return collected;
}

/* Entries that were settled are walked over until RocksDB drops them, a million of them for
 * seconds: a look begins where the last one ended. From the start it begins once in a while, and
 * when the clock was set back, since a note may then lie before that. */
static DueSpan next_span(Jobs *jobs)
{
    int64_t now_us = clock_wall_us(), monotonic_us = clock_monotonic_us();
    if (now_us < jobs->due_until_us || monotonic_us >= jobs->due_whole_at_us) {
        jobs->due_from_us = 0;
        jobs->due_whole_at_us = monotonic_us + WHOLE_S * second_us;
    }
    jobs->due_until_us = now_us;
    return (DueSpan){jobs->due_from_us, now_us};
}

/* All entries up to there are settled. */
static void settled_until(Jobs *jobs, const DueSpan *span, int64_t at_us)
{
    int64_t sure_us = span->until_us - LATE_S_MAX * second_us;
    int64_t from_us = at_us < sure_us ? at_us : sure_us;
    if (from_us > jobs->due_from_us)
        jobs->due_from_us = from_us;
}

/* One commit of looks; *out_next_us is when the next ones are due, *out_count how many there
 * were. */
static Code look_at_some(Jobs *jobs, size_t *out_count, int64_t *out_next_us, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    DueEntry *entries;
    size_t count;
    uint64_t read_seq = database_last_seq(jobs->db);
    DueSpan span = next_span(jobs);
    TRY(due_list(jobs->db, span, JOBS_BATCH_MAX, arena, &entries, &count, out_next_us, e));
    LookBatch batch = {.jobs = jobs, .entries = entries};
    batch.settles = arena_new_array(arena, DueSettle, count + 1);
    batch.is_looked = arena_new_array(arena, bool, count + 1);
    memset(batch.is_looked, 0, count + 1);
    jobs__each(jobs, count, look_at_one, &batch);
    DueSettle *settles = arena_new_array(arena, DueSettle, count + 1);
    size_t looked = *out_count = collect(&batch, count, settles);
    if (looked)
        TRY(due_settle(jobs->db, read_seq, settles, looked, e));
    if (looked == count)
        settled_until(jobs, &span,
                      count == JOBS_BATCH_MAX ? entries[count - 1].at_us : span.until_us);
    return OK;
}

static Code look_at_due(Jobs *jobs, int64_t *out_next_us, Error *e)
{
    size_t looked = 0;
    for (size_t count = 1; count > 0 && looked < LOOKS_MAX && !is_stopping(jobs); looked += count)
        TRY(look_at_some(jobs, &count, out_next_us, e));
    return OK;
}

/* ---- policies ---- */

static uint64_t mix(uint64_t hash, uint64_t v)
{
    hash = (hash ^ v) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* All that decides when a partition of the table is looked at; never 0. */
static uint64_t policy_of(const Jobs *jobs, const Table *table)
{
    uint64_t hash = mix(1, (uint64_t)table->ttl_s);
    hash = mix(hash, jobs__policy_rows(jobs, table));
    hash = mix(hash, (uint64_t)interval_us(jobs, table));
    hash = mix(hash, jobs->options.flush_rows_min);
    hash = mix(hash, database_feed_window_s(jobs->db, table));
    hash = mix(hash, database_feed_window_bytes(jobs->db, table));
    return hash ? hash : 1;
}

static Code check_policy(Jobs *jobs, const Table *table, Error *e)
{
    uint64_t policy = policy_of(jobs, table), known;
    Slice key = slice_of(&table->id, sizeof table->id);
    void *mark = (void *)(uintptr_t)policy;
    if (map_get(jobs->policies, key) == mark)
        return OK;
    TRY(due_policy(jobs->db, table->id, &known, e));
    if (known != policy) {
        jobs__forget_counts(jobs, table->id);
        TRY(due_note_all(jobs->db, table, is_stopping, jobs, e));
        TRY(due_set_policy(jobs->db, table->id, policy, e));
    }
    map_put(jobs->policies, key, mark);
    return OK;
}

/* Those of tables that were dropped. */
static void forget_policies(Jobs *jobs)
{
    Slice key;
    void *mark;
    for (size_t at = 0; map_next(jobs->policies, &at, &key, &mark);) {
        uint32_t id;
        memcpy(&id, key.data, sizeof id);
        CLEANUP(table_unref_ptr)
        Table *table = catalog_find_table_by_id(database_catalog(jobs->db), id);
        if (!table)
            map_remove(jobs->policies, key);
    }
}

static void check_policies(Jobs *jobs)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table **tables;
    size_t count;
    uint64_t version = catalog_version(database_catalog(jobs->db));
    bool failed = false;
    if (version == jobs->policies_version)
        return;
    catalog_list_tables(database_catalog(jobs->db), arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        Error error = {0};
        Partition whole = {tables[i]->id, 0};
        Code code = is_stopping(jobs) ? E_CANCELLED : check_policy(jobs, tables[i], &error);
        failed |= code != OK;
        if (code == OK)
            jobs__went_well(jobs, policies_failed, whole);
        else if (code != E_CANCELLED)
            jobs__warn(jobs, policies_failed, whole, &error);
        table_unref(tables[i]);
    }
    if (map_count(jobs->policies) > count)
        forget_policies(jobs);
    if (!failed)
        jobs->policies_version = version;
}

int64_t jobs__upkeep(Jobs *jobs)
{
    Error error = {0};
    int64_t next_us = INT64_MAX, now_us = clock_wall_us();
    int64_t sleep_us = (int64_t)jobs->options.check_interval_s * second_us;
    jobs__sleeps_until(
        jobs, now_us + sleep_us); /* commits from here on may come too late for this look */
    check_policies(jobs);
    bool is_all = handle_all_dirt(jobs);
    Code code = look_at_due(jobs, &next_us, &error);
    if (code == OK)
        jobs__went_well(jobs, index_failed, (Partition){0, 0});
    else if (code != E_CANCELLED && code != E_SHUTTING_DOWN)
        jobs__warn(jobs, index_failed, (Partition){0, 0}, &error);
    now_us = clock_wall_us();
    if (code == OK && next_us - now_us < sleep_us)
        sleep_us = next_us > now_us ? next_us - now_us : 0;
    if (!is_all)
        sleep_us = 0;
    jobs__sleeps_until(jobs, now_us + sleep_us);
    return sleep_us;
}
