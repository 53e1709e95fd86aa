/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing dropped users, several at once.
 *
 *   1. the record of each: "erasure begun", credentials gone   from here on there is no way back
 *   2. of each, for each table one commit: all keys of the partition, segment entries and partition
 *      state included
 *   3. no view is left that could read the files: storage/user/<user>/, exports/<user>/ go
 *   4. the hot store rewrites the ranges of all of them together, and those of numbers that no
 *      table has, so that deleted bytes leave its files and its log
 *   5. the record of each: "erased"
 *
 * I1. A crash anywhere repeats all steps for whom 5 did not come; each finds what is left. 5 comes
 *     last and only after all others.
 * I2. Nothing is written to the partitions meanwhile: the committer refuses intents with rows of
 *     dropped users, flush, trim and compaction claim a partition as this does, and exports and
 *     this never run at once.
 * I3. Folders go whole, whatever lies in them: the names are made of the user's id alone, which
 *     nobody else ever gets.
 * I4. One that fails or is stopped leaves the others to go on; a step for all of them that fails
 *     fails them all. Who has ended is not touched any more.
 */
#include "table/erase.h"

#include <stdlib.h>

#include "cold/cold.h"
#include "os/clock.h"
#include "os/file.h"
#include "table/flush.h"
#include "table/table_int.h"

enum {
    USERS_PAGE = 1000,
    COMMIT_TRIES_MAX = 100,
    CLAIM_WAIT_MS = 60 * 1000,
    FOLDER_DEPTH_MAX = 6,
    RANGES_MAX = 100 * 1000, /* above it those of a table are one, others between them included */
};

static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD, HOT_SEGMENTS};
enum { FAMILY_COUNT = sizeof families / sizeof *families };

/* Of one user. */
typedef struct Erase {
    Database *db;
    Arena *arena;
    User user;
    int64_t dropped_until_us;
    EraseTask *task;
    bool has_ended;
} Erase;

/* Of all. */
typedef struct EraseAll {
    Database *db;
    Arena *arena;
    EraseBatch *batch;
    Erase *erases; /* by the number of the user, once it is known */
    size_t count, living;
    Table **tables; /* by number; references */
    size_t table_count;
} EraseAll;

/* ---- the record ---- */

static void forget_credentials(User *user)
{
    *user = (User){
        .id = user->id,
        .user_id = user->user_id,
        .registered = user->registered,
        .role = user->role,
        .auth_type = user->auth_type,
        .created_at_us = user->created_at_us,
        .deleted_at_us = user->deleted_at_us,
        .credentials_at_us = user->credentials_at_us,
        .updated_at_us = clock_wall_us(),
    };
}

static Code set_once(Erase *erase, Erasure erasure, Error *e)
{
    uint64_t read_seq = database_last_seq(erase->db);
    CatalogChange *change = NULL;
    User user = {0};
    Slice user_id = erase->user.user_id;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(erase->db));
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, user_id, erase->arena, &user, e);
    hot_snapshot_free(snapshot);
    if (code == E_NOT_FOUND)
        return fail(e, E_NOT_FOUND, "User '%.*s' not found", SLICE_ARGS(user_id));
    if (code != OK)
        return code;
    erase->user = user;
    if (user.erasure == ERASURE_DONE || user.erasure == erasure)
        return OK; /* I1 */
    if (user.deleted_at_us == 0 ||
        (user.erasure == ERASURE_NONE && user.deleted_at_us > erase->dropped_until_us))
        return fail(e, E_INVALID_OPERATION, "User '%.*s' was restored", SLICE_ARGS(user_id));
    forget_credentials(&user);
    user.erasure = erasure;
    TRY(catalog_plan_put_user(database_catalog(erase->db), &user, &change, e));
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(read_seq);
    intent_set_catalog_change(intent, change);
    intent->durable = true;
    erase->user.erasure = erasure;
    return database_commit(erase->db, intent, e);
}

static Code set_erasure(Erase *erase, Erasure erasure, Error *e)
{
    Code code = E_CONFLICT;
    for (int i = 0; i < COMMIT_TRIES_MAX && code == E_CONFLICT; i++)
        code = set_once(erase, erasure, e);
    return code;
}

/* ---- keys ---- */

typedef struct PartitionRange {
    SeqKey from, to;
    Slice from_key, to_key; /* into the two above */
} PartitionRange;

static void range_of(Partition partition, PartitionRange *out)
{
    must(partition.user > 0 && partition.user < UINT64_MAX);
    out->from = table__seq_key(partition, 0);
    out->to = table__seq_key((Partition){partition.table_id, partition.user + 1}, 0);
    out->from_key = table__partition_slice(&out->from);
    out->to_key = table__partition_slice(&out->to);
}

static Code count_keys(HotSnapshot *snapshot, HotFamily family, const PartitionRange *range,
                       uint64_t limit, uint64_t *out, Error *e)
{
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, family, range->from_key, range->to_key, false);
    uint64_t count = 0;
    while (count < limit && hot_next(it))
        count++;
    TRY(hot_iterator_end(it, e));
    *out = count;
    return OK;
}

/* Adds the deletions of a partition to the intent, where there is anything. */
static Code plan_partition(Erase *erase, HotSnapshot *snapshot, Partition partition, Intent *intent,
                           Error *e)
{
    PartitionRange range;
    range_of(partition, &range);
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        uint64_t count = 0;
        uint64_t limit = families[i] == HOT_SEGMENTS ? UINT64_MAX : 1;
        TRY(count_keys(snapshot, families[i], &range, limit, &count, e));
        if (count == 0)
            continue;
        if (families[i] == HOT_SEGMENTS)
            erase->task->report.segments += count;
        intent_add_raw(intent, RAW_DELETE_RANGE, families[i], range.from_key, range.to_key);
    }
    Slice state_key = table__state_key(intent->arena, partition), state;
    Code code = hot_get(snapshot, HOT_BLOCKING, HOT_SYSTEM, state_key, intent->arena, &state, e);
    if (code == OK)
        intent_add_raw(intent, RAW_DELETE, HOT_SYSTEM, state_key, (Slice){0});
    return code == E_NOT_FOUND ? OK : code;
}

static Code erase_claimed(Erase *erase, Partition partition, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(erase->db));
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(erase->db));
    Code code = plan_partition(erase, snapshot, partition, intent, e);
    hot_snapshot_free(snapshot);
    if (code != OK || intent->raw_count == 0)
        return code;
    intent->durable = true;
    erase->task->report.tables++;
    return database_commit(erase->db, intent, e); /* I2 */
}

/* Whoever works on the partition is done first, and finds nothing later. */
static Code erase_partition(Erase *erase, Partition partition, Error *e)
{
    TRY(claims_take(database__claims(erase->db), partition, CLAIM_WAIT_MS, e));
    Code code = erase_claimed(erase, partition, e);
    claims_release(database__claims(erase->db), partition);
    return code;
}

/* ---- files ---- */

static Code remove_files(Erase *erase, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0};
    const char *storage = database_storage_folder(erase->db);
    must(erase->user.user_id.size > 0); /* I3 */
    TRY(cold_encode_name(erase->user.user_id, &name, e));
    Slice folder = buffer_slice(&name);
    TRY(file_remove_tree(arena_printf(erase->arena, "%s/user/%.*s", storage, SLICE_ARGS(folder)),
                         FOLDER_DEPTH_MAX, e));
    TRY(file_remove_tree(arena_printf(erase->arena, "%s/exports/%.*s", database_folder(erase->db),
                                      SLICE_ARGS(folder)),
                         FOLDER_DEPTH_MAX, e));
    /* What a crash left of somebody's export: none runs now (I2). */
    return file_remove_tree(arena_printf(erase->arena, "%s/export", storage), FOLDER_DEPTH_MAX, e);
}

/* ---- who goes on ---- */

static void end_one(EraseAll *all, Erase *erase, Code code, const Error *error)
{
    must(!erase->has_ended);
    erase->has_ended = true;
    all->living--;
    erase->task->code = code;
    if (code != OK)
        erase->task->error = *error;
    if (all->batch->ended)
        all->batch->ended(erase->task);
}

static void end_all(EraseAll *all, Code code, const Error *error)
{
    for (size_t i = 0; i < all->count; i++) {
        if (!all->erases[i].has_ended)
            end_one(all, &all->erases[i], code, error);
    }
}

static bool is_one_stopped(const Erase *erase)
{
    const JobStop *stop = &erase->task->stop;
    return !erase->has_ended && stop->is_stopped && stop->is_stopped(stop->context);
}

static bool is_any_stopped(void *context)
{
    const EraseAll *all = (const EraseAll *)context;
    for (size_t i = 0; i < all->count; i++) {
        if (is_one_stopped(&all->erases[i]))
            return true;
    }
    return false;
}

static void end_stopped(EraseAll *all)
{
    Error error = {0};
    Code code = fail(&error, E_CANCELLED, "the job was cancelled");
    for (size_t i = 0; i < all->count; i++) {
        if (is_one_stopped(&all->erases[i]))
            end_one(all, &all->erases[i], code, &error);
    }
}

/* What is done for each of them on its own. */
static void for_each(EraseAll *all, Code (*work)(EraseAll *all, Erase *erase, Error *e))
{
    for (size_t i = 0; i < all->count; i++) {
        Erase *erase = &all->erases[i];
        Error error = {0};
        if (erase->has_ended)
            continue;
        Code code = is_one_stopped(erase) ? fail(&error, E_CANCELLED, "the job was cancelled")
                                          : work(all, erase, &error);
        if (code != OK)
            end_one(all, erase, code, &error); /* I4 */
    }
}

/* What is done once for all of them. One who is stopped interrupts it for the others, who begin it
 * anew; so may the end of a merge that was cancelled for one who had been heard, hence two tries
 * for each. */
static void for_all(EraseAll *all, Code (*work)(EraseAll *all, const JobStop *stop, Error *e))
{
    const JobStop stop = {is_any_stopped, all};
    Error error = {0};
    Code code = OK;
    for (size_t tries = 0; all->living && tries < 2 * all->count; tries++) {
        code = work(all, &stop, &error);
        if (code != E_CANCELLED)
            break;
        end_stopped(all);
    }
    if (code != OK)
        end_all(all, code, &error); /* I4 */
}

/* ---- the steps ---- */

static Code begin(EraseAll *all, Erase *erase, Error *e)
{
    TRY(set_erasure(erase, ERASURE_BEGUN, e));
    if (erase->user.erasure == ERASURE_DONE)
        end_one(all, erase, OK, NULL);
    return OK;
}

static Code erase_keys(EraseAll *all, Erase *erase, Error *e)
{
    for (size_t i = 0; i < all->table_count; i++) {
        if (all->tables[i]->kind != TABLE_SHARED)
            TRY(erase_partition(erase, (Partition){all->tables[i]->id, erase->user.id}, e));
    }
    return OK;
}

/* Tables that went before the list was made are purged, and nobody reads what was deleted. */
static Code wait_for_readers(EraseAll *all, const JobStop *stop, Error *e)
{
    TRY(flush_purge_dropped(all->db, stop, e));
    return pins_wait(database__pins(all->db), stop, e);
}

static Code erase_files(EraseAll *all, Erase *erase, Error *e)
{
    (void)all;
    return remove_files(erase, e);
}

static Code finish(EraseAll *all, Erase *erase, Error *e)
{
    TRY(set_erasure(erase, ERASURE_DONE, e));
    end_one(all, erase, OK, NULL);
    return OK;
}

/* ---- the hot store ---- */

typedef struct Ranges {
    HotRange *ranges;
    size_t count, capacity;
    bool is_coarse; /* one for all users of a table */
    Arena *arena;
} Ranges;

static void add_range(Ranges *ranges, Slice from, Slice to)
{
    must(ranges->count < ranges->capacity);
    ranges->ranges[ranges->count++] =
        (HotRange){arena_copy(ranges->arena, from), arena_copy(ranges->arena, to)};
}

/* Numbers that no table has. The users may have had rows in tables that were dropped: DROP deletes
 * their ranges, but their bytes wait for some merge. */
static void add_ids(Ranges *ranges, uint32_t from_id, uint32_t to_id)
{
    SeqKey from = table__seq_key((Partition){from_id, 0}, 0);
    SeqKey to = table__seq_key((Partition){to_id, 0}, 0);
    if (from_id < to_id)
        add_range(ranges, slice_of(from.bytes, 4), slice_of(to.bytes, 4));
}

static void add_users(const EraseAll *all, const Table *table, Ranges *ranges)
{
    bool is_first = true;
    for (size_t i = 0; i < all->count && table->kind != TABLE_SHARED; i++) {
        PartitionRange range;
        if (all->erases[i].has_ended)
            continue;
        range_of((Partition){table->id, all->erases[i].user.id}, &range);
        if (is_first || !ranges->is_coarse)
            add_range(ranges, range.from_key, range.to_key);
        else
            ranges->ranges[ranges->count - 1].to = arena_copy(ranges->arena, range.to_key);
        is_first = false;
    }
}

/* In order of their keys: by table, then by user. */
static void list_ranges(const EraseAll *all, Arena *arena, Ranges *out)
{
    uint32_t next = 0;
    size_t users = all->living;
    *out = (Ranges){.arena = arena, .is_coarse = users > RANGES_MAX / (all->table_count + 1)};
    out->capacity = all->table_count * (1 + (out->is_coarse ? 1 : users)) + 1;
    out->ranges = arena_new_array(arena, HotRange, out->capacity);
    for (size_t i = 0; i < all->table_count; i++) {
        add_ids(out, next, all->tables[i]->id);
        add_users(all, all->tables[i], out);
        next = all->tables[i]->id + 1;
    }
    add_ids(out, next, UINT32_MAX);
}

static Code scrub(EraseAll *all, const JobStop *stop, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotStore *hot = database_hot(all->db);
    HotStop hot_stop = {stop->is_stopped, stop->context};
    Ranges ranges;
    TRY(hot_flush(hot, e));
    list_ranges(all, arena, &ranges);
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        TRY(hot_scrub(hot, families[i], ranges.ranges, ranges.count, &hot_stop, e));
    /* Records of users and of jobs lie here; the family is small. */
    static const char from[] = {0}, to[] = {(char)0xFF};
    return hot_scrub(hot, HOT_SYSTEM, &(HotRange){slice_of(from, 1), slice_of(to, 1)}, 1, &hot_stop,
                     e);
}

/* ---- all of it ---- */

static int by_id(const void *a, const void *b)
{
    uint32_t x = (*(Table *const *)a)->id, y = (*(Table *const *)b)->id;
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = ((const Erase *)a)->user.id, y = ((const Erase *)b)->user.id;
    return (x > y) - (x < y);
}

static void erase_begun(EraseAll *all)
{
    catalog_list_tables(database_catalog(all->db), all->arena, &all->tables, &all->table_count);
    if (all->table_count)
        qsort(all->tables, all->table_count, sizeof(Table *), by_id);
    qsort(all->erases, all->count, sizeof *all->erases, by_number);
    for_each(all, erase_keys);
    for_all(all, wait_for_readers);
    for_each(all, erase_files);
    for_all(all, scrub);
    for_each(all, finish);
    for (size_t i = 0; i < all->table_count; i++)
        table_unref(all->tables[i]);
}

void database_erase_users(Database *db, EraseBatch *batch)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    EraseAll all = {
        .db = db, .arena = arena, .batch = batch, .count = batch->count, .living = batch->count};
    all.erases = arena_new_array(arena, Erase, batch->count + 1);
    for (size_t i = 0; i < batch->count; i++) {
        EraseTask *task = &batch->tasks[i];
        task->report = (EraseReport){0};
        all.erases[i] = (Erase){.db = db,
                                .arena = arena,
                                .user = {.user_id = task->user_id},
                                .dropped_until_us = batch->dropped_until_us,
                                .task = task};
    }
    for_each(&all, begin);
    if (all.living)
        erase_begun(&all);
}

/* ---- who is due ---- */

typedef struct DueList {
    int64_t until_us, next_us;
    User *users;
    size_t count, limit;
} DueList;

static void add_due(DueList *list, const User *user, Arena *arena)
{
    if (user->deleted_at_us == 0 || user->erasure == ERASURE_DONE)
        return;
    bool is_due = user->erasure == ERASURE_BEGUN || user->deleted_at_us <= list->until_us;
    if (is_due && list->count < list->limit) {
        list->users[list->count] = *user;
        list->users[list->count++].user_id = arena_copy(arena, user->user_id);
        return;
    }
    if (list->next_us == 0 || user->deleted_at_us < list->next_us)
        list->next_us = user->deleted_at_us;
}

Code database_list_erasable(Database *db, int64_t dropped_until_us, size_t limit, Arena *arena,
                            User **out, size_t *out_count, int64_t *out_next_us, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *page = arena_new();
    CLEANUP(buffer_done) Buffer after = {0};
    DueList list = {
        .until_us = dropped_until_us, .users = arena_new_array(arena, User, limit), .limit = limit};
    for (size_t count = USERS_PAGE; count == USERS_PAGE;) {
        User *users = NULL;
        arena_reset(page);
        HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
        Code code =
            catalog_list_users(snapshot, buffer_slice(&after), USERS_PAGE, page, &users, &count, e);
        hot_snapshot_free(snapshot);
        if (code != OK)
            return code;
        for (size_t i = 0; i < count; i++)
            add_due(&list, &users[i], arena);
        buffer_clear(&after);
        if (count)
            buffer_add_slice(&after, users[count - 1].user_id);
    }
    *out = list.users;
    *out_count = list.count;
    *out_next_us = list.next_us;
    return OK;
}
