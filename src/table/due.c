/* SPDX-License-Identifier: Apache-2.0
 *
 * The due index and the committer's memory of what is noted in it.
 *
 *   time u64 µs | partition  -> u8 format  an entry: a note of a commit, or a planned look
 *   FF × 8 | partition       -> time u64   its planned entry; the next plan replaces it
 *   FF × 8 | table id u32    -> u64        the policies by which the looks of a table were planned
 *
 * The committer reads nothing, so it keeps the partitions it noted last in memory: four to a
 * bucket, and more buckets up to a limit while partitions push each other out. A partition that is
 * not there is noted once more, which costs one small write and one look.
 *
 * I1. A partition in the table has an entry that is no further away than its delay: a settled one
 *     leaves the table.
 * I2. A look sees a partition as of its view. Rows committed after it may have relied on the entry
 *     that is settled now; `touched` tells, and then a note comes in its place. For
 *     one that was pushed out of its bucket it is the last commit of any such, so it never tells
 *     too little.
 * I3. Times of notes are rounded, so that many notes of one partition are one entry. Each has a
 *     phase, or all that were written in an hour would be looked at in the same second.
 */
#include "table/due.h"

#include <stdlib.h>

#include "os/clock.h"
#include "table/flush.h"
#include "table/table_int.h"

enum {
    BUCKET_NOTES = 4,
    BUCKETS_MIN = 1 << 12,
    BUCKETS_MAX = 1 << 18, /* a million partitions in 27 MB */
    CROWDED_SHARE = 4,     /* one in so many notes was pushed out */
    PHASES = 64,
    DUE_FORMAT = 1,
    DUE_ENTRY_BYTES = 8 + PARTITION_BYTES,
    DUE_POLICY_BYTES = 8 + 4,
    DELAY_S_MAX = 3600,
    STREAM_DELAY_S_MIN = 60,
    WINDOW_PARTS = 8, /* a window is trimmed in so many pieces */
    NOTES_PER_COMMIT = 10 * 1000,
};
static const int64_t second_us = 1000000;

typedef struct Note {
    Partition partition; /* table id 0: none */
    uint64_t touched;
} Note;

typedef struct Bucket {
    Note notes[BUCKET_NOTES]; /* the newest first */
    uint64_t others_touched;  /* the last commit of any partition that was pushed out */
} Bucket;

struct DueNotes {
    Bucket *buckets;
    size_t bucket_count;
    size_t pushed_out; /* since there are as many */
};

/* ---- keys ---- */

typedef struct DueKey {
    char bytes[DUE_ENTRY_BYTES];
} DueKey;

static DueKey entry_key(uint64_t time, Partition partition)
{
    DueKey key;
    SeqKey of = table__seq_key(partition, 0);
    table__encode_u64(time, key.bytes);
    memcpy(key.bytes + 8, of.bytes, PARTITION_BYTES);
    return key;
}

static Slice key_slice(const DueKey *key)
{
    return slice_of(key->bytes, DUE_ENTRY_BYTES);
}

static DueKey plan_key(Partition partition)
{
    return entry_key(UINT64_MAX, partition);
}

static Slice policy_key(uint32_t table_id, DueKey *out)
{
    *out = plan_key((Partition){table_id, 0});
    return slice_of(out->bytes, DUE_POLICY_BYTES);
}

static bool read_entry_key(Slice bytes, Partition *out_partition, int64_t *out_at_us)
{
    char seq_key[SEQ_KEY_BYTES] = {0};
    uint64_t time, seq;
    if (bytes.size != DUE_ENTRY_BYTES || !table__decode_u64(slice_of(bytes.data, 8), &time))
        return false;
    memcpy(seq_key, bytes.data + 8, PARTITION_BYTES);
    *out_at_us = (int64_t)time;
    return table__read_seq_key(slice_of(seq_key, SEQ_KEY_BYTES), out_partition, &seq);
}

/* ---- the committer's side ---- */

DueNotes *due__notes_new(void)
{
    DueNotes *notes = x_new(DueNotes);
    notes->bucket_count = BUCKETS_MIN;
    notes->buckets = x_new_array(Bucket, notes->bucket_count);
    return notes;
}

void due__notes_free(DueNotes *notes)
{
    if (notes)
        free(notes->buckets);
    free(notes);
}

void due__notes_forget(DueNotes *notes, uint64_t last_seq)
{
    for (size_t i = 0; i < notes->bucket_count; i++)
        notes->buckets[i] = (Bucket){.others_touched = last_seq}; /* I2: nobody knows better */
}

static uint64_t hash_of(Partition partition)
{
    uint64_t hash = (partition.user + ((uint64_t)partition.table_id << 40)) * 0x9E3779B97F4A7C15u;
    return hash >> 32;
}

static Bucket *bucket_of(DueNotes *notes, Partition partition)
{
    return &notes->buckets[hash_of(partition) & (notes->bucket_count - 1)];
}

static Note *find(Bucket *bucket, Partition partition)
{
    for (size_t i = 0; i < BUCKET_NOTES; i++) {
        if (partition_equal(bucket->notes[i].partition, partition))
            return &bucket->notes[i];
    }
    return NULL;
}

/* Returns whether another one was pushed out. */
static bool remember(Bucket *bucket, Note note)
{
    Note last = bucket->notes[BUCKET_NOTES - 1];
    memmove(bucket->notes + 1, bucket->notes, (BUCKET_NOTES - 1) * sizeof *bucket->notes);
    bucket->notes[0] = note;
    if (last.touched > bucket->others_touched) /* I2 */
        bucket->others_touched = last.touched;
    return last.partition.table_id != 0;
}

static void forget(Bucket *bucket, Note *note)
{
    size_t after = (size_t)(bucket->notes + BUCKET_NOTES - 1 - note);
    memmove(note, note + 1, after * sizeof *note);
    bucket->notes[BUCKET_NOTES - 1] = (Note){.touched = 0};
}

static void grow(DueNotes *notes)
{
    Bucket *old = notes->buckets;
    size_t old_count = notes->bucket_count;
    notes->bucket_count *= 2;
    notes->buckets = x_new_array(Bucket, notes->bucket_count);
    notes->pushed_out = 0;
    for (size_t i = 0; i < old_count; i++) {
        uint64_t others = old[i].others_touched;
        notes->buckets[i].others_touched = notes->buckets[i + old_count].others_touched = others;
        for (size_t k = BUCKET_NOTES; k-- > 0;) { /* the newest one last */
            if (old[i].notes[k].partition.table_id)
                (void)remember(bucket_of(notes, old[i].notes[k].partition), old[i].notes[k]);
        }
    }
    free(old);
}

static void put_entry(const DueWrite *to, int64_t at_us, Partition partition)
{
    static const char format[] = {DUE_FORMAT};
    DueKey key = entry_key((uint64_t)at_us, partition);
    hot_batch_put(to->batch, to->hot, HOT_DUE, key_slice(&key), slice_of(format, 1));
}

/* The next of the times at which partitions of its phase are looked at (I3). */
static int64_t note_time_us(Partition partition, int64_t now_us, int64_t delay_us)
{
    int64_t phase_us = (int64_t)(hash_of(partition) % PHASES) * (delay_us / PHASES);
    return ((now_us - phase_us) / delay_us + 1) * delay_us + phase_us;
}

void due__note(DueNotes *notes, const DueWrite *to, const IntentPart *part, uint64_t commit_seq)
{
    Bucket *bucket = bucket_of(notes, part->partition);
    Note *known = find(bucket, part->partition);
    if (known) { /* I1 */
        known->touched = commit_seq;
        return;
    }
    put_entry(to, note_time_us(part->partition, to->now_us, due_delay_us(to->db, part->table)),
              part->partition);
    notes->pushed_out += remember(bucket, (Note){part->partition, commit_seq});
    if (notes->pushed_out > notes->bucket_count * BUCKET_NOTES / CROWDED_SHARE &&
        notes->bucket_count < BUCKETS_MAX)
        grow(notes);
}

static void delete_entry(const DueWrite *to, int64_t at_us, Partition partition)
{
    DueKey key = entry_key((uint64_t)at_us, partition);
    hot_batch_delete(to->batch, to->hot, HOT_DUE, key_slice(&key));
}

void due__settle(DueNotes *notes, const DueWrite *to, const DueSettle *settle, uint64_t read_seq)
{
    Partition partition = settle->entry.partition;
    Bucket *bucket = bucket_of(notes, partition);
    Note *known = find(bucket, partition);
    DueKey plan = plan_key(partition);
    int64_t next_us = settle->next_us;
    if ((known ? known->touched : bucket->others_touched) > read_seq) { /* I2 */
        if (next_us == 0 || next_us > to->now_us + settle->delay_us)
            next_us = to->now_us + settle->delay_us;
    } else if (known) {
        forget(bucket, known); /* I1 */
    }
    delete_entry(to, settle->entry.at_us, partition);
    if (settle->entry.planned_us && settle->entry.planned_us != settle->entry.at_us)
        delete_entry(to, settle->entry.planned_us, partition);
    if (next_us) {
        char value[8];
        table__encode_u64((uint64_t)next_us, value);
        put_entry(to, next_us, partition);
        hot_batch_put(to->batch, to->hot, HOT_DUE, key_slice(&plan), slice_of(value, 8));
    } else if (settle->entry.planned_us) {
        hot_batch_delete(to->batch, to->hot, HOT_DUE, key_slice(&plan));
    }
}

/* ---- looking ---- */

int64_t due_delay_us(Database *db, const Table *table)
{
    int64_t delay_s = DELAY_S_MAX;
    if (table->kind == TABLE_STREAM) {
        if (table->ttl_s < delay_s)
            delay_s = table->ttl_s < STREAM_DELAY_S_MIN ? STREAM_DELAY_S_MIN : table->ttl_s;
        return delay_s * second_us;
    }
    int64_t window_s = database_feed_window_s(db, table) / WINDOW_PARTS;
    if (window_s < delay_s)
        delay_s = window_s > 0 ? window_s : 1;
    int64_t interval_s = database_flush_interval_s(db, table);
    if (interval_s && interval_s < delay_s)
        delay_s = interval_s;
    return delay_s * second_us;
}

static Code read_number(HotSnapshot *snapshot, Slice key, uint64_t *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice value;
    Code code = hot_get(snapshot, HOT_BLOCKING, HOT_DUE, key, arena, &value, e);
    *out = 0;
    if (code == E_NOT_FOUND)
        return OK;
    if (code == OK && !table__decode_u64(value, out))
        return fail(e, E_CORRUPT, "a record of the due index is damaged");
    return code;
}

static Code read_plan(HotSnapshot *snapshot, DueEntry *entry, Error *e)
{
    DueKey key = plan_key(entry->partition);
    uint64_t planned_us;
    TRY(read_number(snapshot, key_slice(&key), &planned_us, e));
    entry->planned_us = (int64_t)planned_us;
    return OK;
}

typedef struct DueFound {
    DueEntry *entries;
    size_t count, limit;
    int64_t from_us, until_us, next_us;
} DueFound;

static Code list_entries(HotSnapshot *snapshot, DueFound *found, Error *e)
{
    DueKey from = entry_key((uint64_t)found->from_us, (Partition){0, 0});
    DueKey to = entry_key(INT64_MAX, (Partition){0, 0});
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_DUE, key_slice(&from), key_slice(&to), false);
    while (hot_next(it)) {
        DueEntry entry = {0};
        if (!read_entry_key(hot_key(it), &entry.partition, &entry.at_us))
            return fail(e, E_CORRUPT, "a key of the due index is damaged");
        if (entry.at_us > found->until_us || found->count == found->limit) {
            found->next_us = entry.at_us;
            break;
        }
        TRY(read_plan(snapshot, &entry, e));
        found->entries[found->count++] = entry;
    }
    return hot_iterator_end(it, e);
}

Code due_list(Database *db, DueSpan span, size_t limit, Arena *arena, DueEntry **out,
              size_t *out_count, int64_t *out_next_us, Error *e)
{
    DueFound found = {.entries = arena_new_array(arena, DueEntry, limit),
                      .limit = limit,
                      .from_us = span.from_us,
                      .until_us = span.until_us,
                      .next_us = INT64_MAX};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    Code code = list_entries(snapshot, &found, e);
    hot_snapshot_free(snapshot);
    if (code != OK)
        return code;
    *out = found.entries;
    *out_count = found.count;
    *out_next_us = found.next_us;
    return OK;
}

/* ---- checking ---- */

static int by_partition(const void *a, const void *b)
{
    const Partition *x = (const Partition *)a, *y = (const Partition *)b;
    if (x->table_id != y->table_id)
        return x->table_id < y->table_id ? -1 : 1;
    return (x->user > y->user) - (x->user < y->user);
}

static void add_partition(DuePartitions *all, Partition partition)
{
    if (all->count == all->capacity) {
        all->capacity = all->capacity ? all->capacity * 2 : 64;
        all->sorted = (Partition *)x_grow(all->sorted, all->capacity * sizeof *all->sorted);
    }
    all->sorted[all->count++] = partition;
}

Code due_partitions(HotSnapshot *snapshot, DuePartitions *out, Error *e)
{
    DueKey from = entry_key(0, (Partition){0, 0}), to = entry_key(INT64_MAX, (Partition){0, 0});
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_DUE, key_slice(&from), key_slice(&to), false);
    DuePartitions all = {0};
    while (hot_next(it)) {
        Partition partition;
        int64_t at_us;
        if (read_entry_key(hot_key(it), &partition, &at_us))
            add_partition(&all, partition);
    }
    Code code = hot_iterator_end(it, e);
    if (code != OK) {
        due_partitions_done(&all);
        return code;
    }
    if (all.count)
        qsort(all.sorted, all.count, sizeof *all.sorted, by_partition);
    *out = all;
    return OK;
}

bool due_has(const DuePartitions *all, Partition partition)
{
    return all->count &&
           bsearch(&partition, all->sorted, all->count, sizeof *all->sorted, by_partition) != NULL;
}

void due_partitions_done(DuePartitions *all)
{
    free(all->sorted);
    *all = (DuePartitions){0};
}

Code due_settle(Database *db, uint64_t read_seq, const DueSettle *settles, size_t count, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(read_seq);
    intent->settles = arena_new_array(intent->arena, DueSettle, count);
    memcpy(intent->settles, settles, count * sizeof *settles);
    intent->settle_count = count;
    return database_commit(db, intent, e);
}

/* ---- changed policies ---- */

Code due_policy_at(HotSnapshot *snapshot, uint32_t table_id, uint64_t *out, Error *e)
{
    DueKey key;
    return read_number(snapshot, policy_key(table_id, &key), out, e);
}

Code due_policy(Database *db, uint32_t table_id, uint64_t *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    Code code = due_policy_at(snapshot, table_id, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

Code due_set_policy(Database *db, uint32_t table_id, uint64_t policy, Error *e)
{
    DueKey key;
    char value[8];
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
    table__encode_u64(policy, value);
    intent_add_raw(intent, RAW_PUT, HOT_DUE, policy_key(table_id, &key), slice_of(value, 8));
    return database_commit(db, intent, e);
}

void due_forget_policy(Intent *intent, uint32_t table_id)
{
    DueKey key;
    intent_add_raw(intent, RAW_DELETE, HOT_DUE, policy_key(table_id, &key), (Slice){0});
}

typedef struct NoteAll {
    Database *db;
    bool (*is_stopped)(void *context);
    void *context;
    Intent *intent; /* NULL between commits */
} NoteAll;

static Code commit_notes(NoteAll *all, Error *e)
{
    Code code = all->intent ? database_commit(all->db, all->intent, e) : OK;
    intent_unref_ptr(&all->intent);
    return code;
}

static Code note_one(void *context, Partition partition, Error *e)
{
    static const char format[] = {DUE_FORMAT};
    NoteAll *all = (NoteAll *)context;
    if (all->is_stopped && all->is_stopped(all->context))
        return fail(e, E_CANCELLED, "the server stops");
    if (!all->intent)
        all->intent = intent_new(database_last_seq(all->db));
    DueKey key = entry_key((uint64_t)clock_wall_us(), partition);
    intent_add_raw(all->intent, RAW_PUT, HOT_DUE, key_slice(&key), slice_of(format, 1));
    return all->intent->raw_count < NOTES_PER_COMMIT ? OK : commit_notes(all, e);
}

/* History alone makes no work: what replaced it lies in rows until feed low passes both. */
Code due_note_all(Database *db, const Table *table, bool (*is_stopped)(void *context),
                  void *context, Error *e)
{
    NoteAll all = {db, is_stopped, context, NULL};
    Code code = table__each_partition(db, HOT_ROWS, table, note_one, &all, e);
    if (code == OK)
        code = table__each_partition(db, HOT_DEAD, table, note_one, &all, e);
    if (code == OK)
        code = commit_notes(&all, e);
    intent_unref(all.intent);
    return code;
}
