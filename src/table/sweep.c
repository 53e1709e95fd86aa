/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing files: those of dropped tables, and what a crash left between a rename and its commit.
 *
 * I1. A file is removed because an entry names it (purge) or because none does (sweep), never because of the folder it is in: a
 *     table of the same name may live in the same folder. The purge compares size and checksum first.
 * I2. The sweep touches only folders of tables that exist or are being purged; unknown folders are left alone.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "os/file.h"
#include "table/table_int.h"

/* ---- purge ---- */

typedef struct Purge {
    Database *db;
    HotSnapshot *snapshot;
    Arena *arena;
    Intent *intent;
} Purge;

static Code purge_segment(Purge *purge, const Table *table, Slice key, Slice value, Error *e)
{
    Partition partition;
    uint64_t first_seq;
    Slice folder;
    SegmentEntry *entry;
    const char *root = database_storage_folder(purge->db);
    if (!table__read_seq_key(key, &partition, &first_seq))
        return fail(e, E_CORRUPT, "the key of a segment entry is damaged");
    TRY(segment_decode(value, purge->arena, &entry, e));
    TRY(table__folder(purge->db, purge->snapshot, table, partition, purge->arena, &folder, e));
    Error mismatch;
    if (cold_segment_verify(root, folder, entry, &mismatch) == OK) /* I1 */
        TRY(cold_segment_remove(root, folder, entry->batch, e));
    Table *namesake =
        catalog_find_table(database_catalog(purge->db), table->namespace_name, table->name);
    if (!namesake) {
        TRY(file_remove(
            arena_printf(purge->arena, "%s/%.*s/manifest.json", root, SLICE_ARGS(folder)), e));
        TRY(file_remove_empty_folder(
            arena_printf(purge->arena, "%s/%.*s", root, SLICE_ARGS(folder)), e));
    }
    table_unref(namesake);
    intent_add_raw(purge->intent, RAW_DELETE, HOT_SEGMENTS, key, (Slice){0});
    return OK;
}

/* DROP TABLE has removed its keys; those of a restore that was cut are still there. */
static void purge_keys(Purge *purge, const SeqKey *from, const SeqKey *to)
{
    static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        intent_add_raw(purge->intent, RAW_DELETE_RANGE, families[i], slice_of(from->bytes, 4),
                       slice_of(to->bytes, 4));
    char state_from[5] = {SYSTEM_PREFIX_PARTITION}, state_to[5] = {SYSTEM_PREFIX_PARTITION};
    memcpy(state_from + 1, from->bytes, 4);
    memcpy(state_to + 1, to->bytes, 4);
    intent_add_raw(purge->intent, RAW_DELETE_RANGE, HOT_SYSTEM, slice_of(state_from, 5),
                   slice_of(state_to, 5));
}

static Code purge_table(Purge *purge, Slice key, Slice value, Error *e)
{
    Table table;
    TRY(table__decode_dropped(key, value, &table, e));
    SeqKey from = table__seq_key((Partition){table.id, 0}, 0);
    SeqKey to = table__seq_key((Partition){table.id + 1, 0}, 0);
    purge_keys(purge, &from, &to);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(purge->snapshot, HOT_BLOCKING, HOT_SEGMENTS,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it))
        TRY(purge_segment(purge, &table, hot_key(it), hot_value(it), e));
    TRY(hot_iterator_end(it, e));
    intent_add_raw(purge->intent, RAW_DELETE, HOT_SYSTEM, key, (Slice){0});
    return OK;
}

static Code purge_all(Purge *purge, Error *e)
{
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(purge->snapshot, HOT_BLOCKING, HOT_SYSTEM,
                                        slice_of(from, 1), slice_of(to, 1), false);
    while (hot_next(it)) {
        if (hot_key(it).size == 5)
            TRY(purge_table(purge, hot_key(it), hot_value(it), e));
    }
    return hot_iterator_end(it, e);
}

static Code has_dropped(HotSnapshot *snapshot, bool *out, Error *e)
{
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(from, 1),
                                        slice_of(to, 1), false);
    bool found = hot_next(it);
    TRY(hot_iterator_end(it, e));
    *out = found;
    return OK;
}

Code flush_purge_dropped(Database *db, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
    Purge purge = {db, hot_snapshot_new(database_hot(db)), arena, intent};
    bool found = false;
    Code code = has_dropped(purge.snapshot, &found, e);
    if (code == OK && found) { /* waiting for readers holds up all other jobs: only for a reason */
        pins_wait(database__pins(db));
        code = purge_all(&purge, e);
    }
    hot_snapshot_free(purge.snapshot);
    if (code != OK || intent->raw_count == 0)
        return code;
    intent->durable = true;
    return database_commit(db, intent, e);
}

/* ---- sweep ---- */

typedef struct Sweep {
    Database *db;
    HotSnapshot *snapshot;
    Arena *arena;
    uint32_t removed;
} Sweep;

typedef struct Listed {
    uint64_t *batches;
    size_t count, capacity;
} Listed;

static bool is_listed(void *context, uint64_t batch)
{
    const Listed *listed = (const Listed *)context;
    for (size_t i = 0; i < listed->count; i++) {
        if (listed->batches[i] == batch)
            return true;
    }
    return false;
}

static Code add_listed(Sweep *sweep, Partition partition, Listed *listed, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(sweep->snapshot, HOT_BLOCKING, HOT_SEGMENTS,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        SegmentEntry *entry;
        TRY(segment_decode(hot_value(it), sweep->arena, &entry, e));
        if (listed->count == listed->capacity) {
            listed->capacity = listed->capacity ? listed->capacity * 2 : 16;
            uint64_t *more = arena_new_array(sweep->arena, uint64_t, listed->capacity);
            if (listed->count)
                memcpy(more, listed->batches, listed->count * sizeof *more);
            listed->batches = more;
        }
        listed->batches[listed->count++] = entry->batch;
    }
    return hot_iterator_end(it, e);
}

/* "user/<id>/<namespace>/<table>" or "shared/<namespace>/<table>"; false when it is no such folder. */
static bool parse_folder(Sweep *sweep, Slice folder, ColdPlace *out)
{
    Slice parts[4];
    size_t count = 0;
    const char *start = folder.data;
    for (size_t i = 0; i <= folder.size; i++) {
        if (i < folder.size && folder.data[i] != '/')
            continue;
        if (count == 4)
            return false;
        parts[count++] = slice_of(start, (size_t)(folder.data + i - start));
        start = folder.data + i + 1;
    }
    bool is_shared = count == 3 && slice_equal(parts[0], SLICE("shared"));
    if (!is_shared && !(count == 4 && slice_equal(parts[0], SLICE("user"))))
        return false;
    for (size_t i = 1; i < count; i++) {
        CLEANUP(buffer_done) Buffer name = {0};
        Error ignored;
        if (cold_decode_name(parts[i], &name, &ignored) != OK)
            return false;
        parts[i] = arena_copy(sweep->arena, buffer_slice(&name));
    }
    *out = (ColdPlace){.namespace_name = parts[count - 2],
                       .table_name = parts[count - 1],
                       .is_shared = is_shared,
                       .user_id = is_shared ? (Slice){0} : parts[1]};
    return true;
}

/* The segments of every table, living or dropped, that keeps its files in this folder. */
static Code list_owners(Sweep *sweep, const ColdPlace *place, uint64_t user, Listed *listed,
                        bool *out_known, Error *e)
{
    Table *table =
        catalog_find_table(database_catalog(sweep->db), place->namespace_name, place->table_name);
    if (table) {
        Partition partition = {table->id, user};
        *out_known = true;
        table_unref(table);
        TRY(add_listed(sweep, partition, listed, e));
    }
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(sweep->snapshot, HOT_BLOCKING, HOT_SYSTEM,
                                        slice_of(from, 1), slice_of(to, 1), false);
    while (hot_next(it)) {
        Table dropped;
        TRY(table__decode_dropped(hot_key(it), hot_value(it), &dropped, e));
        if (!slice_equal_ignoring_case(dropped.namespace_name, place->namespace_name) ||
            !slice_equal_ignoring_case(dropped.name, place->table_name))
            continue;
        *out_known = true;
        TRY(add_listed(sweep, (Partition){dropped.id, user}, listed, e));
    }
    return hot_iterator_end(it, e);
}

static Code sweep_folder(void *context, Slice folder, Error *e)
{
    Sweep *sweep = (Sweep *)context;
    ColdPlace place;
    arena_reset(sweep->arena);
    if (!parse_folder(sweep, folder, &place))
        return OK; /* I2 */
    User user = {0};
    if (!place.is_shared) {
        Code code =
            catalog_get_user(sweep->snapshot, HOT_BLOCKING, place.user_id, sweep->arena, &user, e);
        if (code == E_NOT_FOUND)
            return OK; /* I2 */
        if (code != OK)
            return code;
    }
    Listed listed = {0};
    bool known = false;
    TRY(list_owners(sweep, &place, user.id, &listed, &known, e));
    if (!known)
        return OK; /* I2 */
    uint32_t removed = 0;
    TRY(cold_sweep(database_storage_folder(sweep->db), folder, is_listed, &listed, &removed, e));
    sweep->removed += removed;
    return OK;
}

Code flush_sweep(Database *db, uint32_t *out_removed, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    pins_wait(database__pins(db)); /* a view may read files that are listed as obsolete */
    Sweep sweep = {db, hot_snapshot_new(database_hot(db)), arena, 0};
    Code code = cold_each_folder(database_storage_folder(db), sweep_folder, &sweep, e);
    hot_snapshot_free(sweep.snapshot);
    *out_removed = sweep.removed;
    return code;
}
