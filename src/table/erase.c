/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing a dropped user.
 *
 *   1. the record: "erasure begun", credentials gone        from here on there is no way back
 *   2. for each table one commit: all keys of the partition, segment entries and partition state
 *      included
 *   3. no view is left that could read the files: storage/user/<user>/, exports/<user>/ go
 *   4. the hot store rewrites the ranges, and those of numbers that no table has, so that deleted
 *      bytes leave its files and its log
 *   5. the record: "erased"
 *
 * I1. A crash anywhere repeats all steps; each finds what is left. 5 comes last and only after all
 *     others.
 * I2. Nothing is written to the partitions meanwhile: the committer refuses intents with rows of
 *     dropped users, flush, trim and compaction claim a partition as this does, and exports and
 *     this never run at once.
 * I3. Folders go whole, whatever lies in them: the names are made of the user's id alone, which
 *     nobody else ever gets.
 */
#include "table/erase.h"

#include <stdlib.h>

#include "cold/cold.h"
#include "os/clock.h"
#include "os/file.h"
#include "table/flush.h"
#include "table/table_int.h"

enum { USERS_PAGE = 1000, COMMIT_TRIES_MAX = 100, CLAIM_WAIT_MS = 60 * 1000, FOLDER_DEPTH_MAX = 6 };

static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD, HOT_SEGMENTS};
enum { FAMILY_COUNT = sizeof families / sizeof *families };

typedef struct Erase {
    Database *db;
    Arena *arena;
    User user;
    int64_t dropped_until_us;
    const JobStop *stop;
    EraseReport report;
} Erase;

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
            erase->report.segments += count;
        intent_add_raw(intent, RAW_DELETE_RANGE, families[i], range.from_key, range.to_key);
    }
    Slice state_key = table__state_key(erase->arena, partition), state;
    Code code = hot_get(snapshot, HOT_BLOCKING, HOT_SYSTEM, state_key, erase->arena, &state, e);
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
    erase->report.tables++;
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

static Code scrub_family(const Erase *erase, HotFamily family, const HotRange *range, Error *e)
{
    HotStop stop = {erase->stop ? erase->stop->is_stopped : NULL,
                    erase->stop ? erase->stop->context : NULL};
    return hot_scrub(database_hot(erase->db), family, range, &stop, e);
}

static Code scrub_families(const Erase *erase, const HotRange *range, Error *e)
{
    for (size_t i = 0; i < FAMILY_COUNT; i++)
        TRY(scrub_family(erase, families[i], range, e));
    return OK;
}

static Code scrub_partition(Erase *erase, Partition partition, Error *e)
{
    PartitionRange range;
    range_of(partition, &range);
    return scrub_families(erase, &(HotRange){range.from_key, range.to_key}, e);
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

/* ---- all of it ---- */

static int by_id(const void *a, const void *b)
{
    uint32_t x = (*(Table *const *)a)->id, y = (*(Table *const *)b)->id;
    return (x > y) - (x < y);
}

static Code scrub_ids(Erase *erase, uint32_t from_id, uint32_t to_id, Error *e)
{
    SeqKey from = table__seq_key((Partition){from_id, 0}, 0);
    SeqKey to = table__seq_key((Partition){to_id, 0}, 0);
    return scrub_families(erase, &(HotRange){slice_of(from.bytes, 4), slice_of(to.bytes, 4)}, e);
}

/* The user may have had rows in tables that were dropped: DROP deletes their ranges, but their
 * bytes wait for some merge. Their numbers are those that no table has. */
static Code scrub_dropped(Erase *erase, Table **tables, size_t count, Error *e)
{
    uint32_t next = 0;
    if (count)
        qsort(tables, count, sizeof *tables, by_id);
    for (size_t i = 0; i < count; i++) {
        if (tables[i]->id > next)
            TRY(scrub_ids(erase, next, tables[i]->id, e));
        next = tables[i]->id + 1;
    }
    return scrub_ids(erase, next, UINT32_MAX, e);
}

static Code scrub(Erase *erase, Table **tables, size_t count, Error *e)
{
    TRY(hot_flush(database_hot(erase->db), e));
    for (size_t i = 0; i < count; i++) {
        if (tables[i]->kind != TABLE_SHARED)
            TRY(scrub_partition(erase, (Partition){tables[i]->id, erase->user.id}, e));
    }
    TRY(scrub_dropped(erase, tables, count, e));
    /* Records of users and of jobs lie here; the family is small. */
    static const char from[] = {0}, to[] = {(char)0xFF};
    return scrub_family(erase, HOT_SYSTEM, &(HotRange){slice_of(from, 1), slice_of(to, 1)}, e);
}

static Code erase_tables(Erase *erase, Table **tables, size_t count, Error *e)
{
    for (size_t i = 0; i < count; i++) {
        if (tables[i]->kind != TABLE_SHARED)
            TRY(erase_partition(erase, (Partition){tables[i]->id, erase->user.id}, e));
    }
    TRY(flush_purge_dropped(erase->db, erase->stop,
                            e)); /* tables that went before the list was made */
    TRY(pins_wait(database__pins(erase->db), erase->stop, e));
    TRY(remove_files(erase, e));
    TRY(scrub(erase, tables, count, e));
    return set_erasure(erase, ERASURE_DONE, e);
}

Code database_erase_user(Database *db, Slice user_id, int64_t dropped_until_us, const JobStop *stop,
                         EraseReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Erase erase = {.db = db,
                   .arena = arena,
                   .user = {.user_id = user_id},
                   .dropped_until_us = dropped_until_us,
                   .stop = stop};
    TRY(set_erasure(&erase, ERASURE_BEGUN, e));
    Table **tables;
    size_t count;
    catalog_list_tables(database_catalog(db), arena, &tables, &count);
    Code code = erase.user.erasure == ERASURE_DONE ? OK : erase_tables(&erase, tables, count, e);
    for (size_t i = 0; i < count; i++)
        table_unref(tables[i]);
    if (code == OK)
        *out = erase.report;
    return code;
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
