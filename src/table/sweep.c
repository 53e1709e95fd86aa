/* SPDX-License-Identifier: Apache-2.0
 *
 * Removing files: those of dropped tables, and what a crash left between a rename and its commit.
 * Putting right what lies beside them: manifest.json.
 *
 * I1. A file is removed because an entry names it (purge) or because none does (sweep), never
 *     because of the folder it is in: a table of the same name may live in the same folder. The
 *     purge compares size and checksum first. A file that cannot be read or removed keeps its table
 *     listed, and the job says so; other tables go.
 * I2. The sweep touches only folders of tables that exist or are being purged; unknown folders are
 *     left alone, but for empty ones: a restore that was cut leaves those.
 * I3. The sweep may run beside flushes, compactions and restores: it claims the partition of
 *     everybody who keeps files in the folder, then reads what is listed, obsolete files included
 *     while there are views, so that neither a file whose commit is still to come is taken for left
 *     over, nor one that a view may read.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cold/cold.h"
#include "os/file.h"
#include "table/manifest.h"
#include "table/table_int.h"

enum { CLAIM_WAIT_MS = 10 * 1000, OWNERS_MAX = 8 };

/* ---- purge ---- */

typedef struct Purge {
    Database *db;
    HotSnapshot *snapshot;
    Arena *arena;
    Intent *intent;
    const char *folder; /* where files were removed; NULL: nowhere yet, or it is left */
    bool is_own;        /* nobody else has files there */
} Purge;

/* Without a namesake nobody else writes there, so a damaged file goes too. With one, a file of
 * other content is the namesake's, or damaged: then no manifest names it and the sweep of the next
 * start removes it. What cannot be read is neither. */
static Code remove_own(const char *root, Slice folder, const SegmentEntry *entry, bool has_namesake,
                       Error *e)
{
    Error error = {0};
    Code code = cold_segment_verify(root, folder, entry, &error);
    if (code == OK || (code == E_CORRUPT && !has_namesake)) /* I1 */
        return cold_segment_remove(root, folder, entry->batch, e);
    if (code == E_CORRUPT || code == E_NOT_FOUND)
        return OK;
    return fail(e, code, "%s", error.text);
}

/* The commit forgets the files, so no power cut may bring them back after it. */
static Code leave_folder(Purge *purge, Error *e)
{
    const char *folder = TAKE(purge->folder);
    if (!folder || !file_exists(folder))
        return OK;
    TRY(file_sync_folder(folder, e));
    return purge->is_own ? file_remove_empty_folder(folder, e) : OK;
}

static Code enter_folder(Purge *purge, const char *folder, bool is_own, Error *e)
{
    if (purge->folder && strcmp(purge->folder, folder) != 0)
        TRY(leave_folder(purge, e));
    purge->folder = folder;
    purge->is_own = is_own;
    return OK;
}

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
    CLEANUP(table_unref_ptr)
    Table *namesake =
        catalog_find_table(database_catalog(purge->db), table->namespace_name, table->name);
    const char *path = arena_printf(purge->arena, "%s/%.*s", root, SLICE_ARGS(folder));
    TRY(enter_folder(purge, path, !namesake, e));
    TRY(remove_own(root, folder, entry, namesake != NULL, e));
    return namesake ? OK : file_remove(arena_printf(purge->arena, "%s/manifest.json", path), e);
}

static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD, HOT_SEGMENTS};
enum { FAMILY_COUNT = sizeof families / sizeof *families };

/* DROP TABLE has removed most of its keys; those of a restore that was cut are still there. */
static void purge_keys(Purge *purge, const SeqKey *from, const SeqKey *to)
{
    HotStore *hot = database_hot(purge->db);
    Slice first = slice_of(from->bytes, 4), end = slice_of(to->bytes, 4);
    for (size_t i = 0; i < FAMILY_COUNT; i++) {
        intent_add_raw(purge->intent, RAW_DELETE_RANGE, families[i], first, end);
        hot_note_deleted(hot, families[i], hot_range_bytes(hot, families[i], first, end));
    }
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
    due_forget_policy(purge->intent, table.id);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(purge->snapshot, HOT_BLOCKING, HOT_SEGMENTS,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it))
        TRY(purge_segment(purge, &table, hot_key(it), hot_value(it), e));
    TRY(hot_iterator_end(it, e));
    TRY(leave_folder(purge, e));
    intent_add_raw(purge->intent, RAW_DELETE, HOT_SYSTEM, key, (Slice){0});
    return OK;
}

/* One that fails stays listed and holds up no other. */
static void try_table(Purge *purge, Slice key, Slice value, Error *io_first)
{
    Error error = {0};
    size_t before = purge->intent->raw_count;
    if (purge_table(purge, key, value, &error) == OK)
        return;
    purge->intent->raw_count = before;
    purge->folder = NULL;
    if (io_first->code == OK)
        *io_first = error;
}

static Code purge_all(Purge *purge, Error *io_first, Error *e)
{
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(purge->snapshot, HOT_BLOCKING, HOT_SYSTEM,
                                        slice_of(from, 1), slice_of(to, 1), false);
    while (hot_next(it)) {
        if (hot_key(it).size == 5)
            try_table(purge, hot_key(it), hot_value(it), io_first);
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

Code flush_purge_dropped(Database *db, const JobStop *stop, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
    Purge purge = {db, hot_snapshot_new(database_hot(db)), arena, intent, NULL, false};
    Error first = {0}; /* of the tables that could not be purged */
    bool found = false;
    Code code = has_dropped(purge.snapshot, &found, e);
    if (code == OK && found)
        code = pins_wait(database__pins(db), stop, e);
    if (code == OK && found)
        code = purge_all(&purge, &first, e);
    hot_snapshot_free(purge.snapshot);
    intent->durable = true;
    if (code == OK && intent->raw_count)
        code = database_commit(db, intent, e);
    return code == OK && first.code != OK ? fail(e, first.code, "%s", first.text) : code;
}

/* ---- sweep ---- */

typedef struct Sweep {
    Database *db;
    HotSnapshot *snapshot;
    Arena *arena;
    const JobStop *stop;
    const StrayTell *tell; /* nothing is removed, only told; NULL: removed */
    bool mends;            /* nothing is removed, manifests are put right */
    bool has_readers;      /* of what the snapshot names no more */
    uint32_t removed;
    Error first; /* of the folders that could not be swept */
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

static void add_batch(Sweep *sweep, uint64_t batch, Listed *listed)
{
    if (listed->count == listed->capacity) {
        listed->capacity = listed->capacity ? listed->capacity * 2 : 16;
        uint64_t *more = arena_new_array(sweep->arena, uint64_t, listed->capacity);
        if (listed->count)
            memcpy(more, listed->batches, listed->count * sizeof *more);
        listed->batches = more;
    }
    listed->batches[listed->count++] = batch;
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
        add_batch(sweep, entry->batch, listed);
    }
    return hot_iterator_end(it, e);
}

/* "user/<id>/<namespace>/<table>" or "shared/<namespace>/<table>"; false when it is no such
 * folder. */
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

/* Files that were replaced and that somebody may still read: obsolete.c unlinks them. */
static Code add_obsolete(Sweep *sweep, Partition partition, Listed *listed, Error *e)
{
    char from[1 + SEQ_KEY_BYTES] = {SYSTEM_PREFIX_OBSOLETE}, to[] = {SYSTEM_PREFIX_OBSOLETE + 1};
    SeqKey start = table__seq_key(partition, 0);
    memcpy(from + 1, start.bytes, SEQ_KEY_BYTES);
    if (!sweep->has_readers)
        return OK;
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(sweep->snapshot, HOT_BLOCKING, HOT_SYSTEM,
                                        slice_of(from, sizeof from), slice_of(to, 1), false);
    while (hot_next(it)) {
        Partition of;
        uint64_t batch;
        Slice key = hot_key(it);
        if (key.size != sizeof from ||
            !table__read_seq_key(slice_of(key.data + 1, SEQ_KEY_BYTES), &of, &batch))
            return fail(e, E_CORRUPT, "the key of an obsolete file is damaged");
        if (!partition_equal(of, partition))
            break;
        add_batch(sweep, batch, listed);
    }
    return hot_iterator_end(it, e);
}

/* Who keeps files in this folder: the table of that name, and dropped ones, which a restore may be
 * filling. */
typedef struct Owners {
    Partition partitions[OWNERS_MAX];
    size_t count;
    bool is_first_living, are_too_many;
} Owners;

static void add_owner(Owners *owners, uint32_t table_id, uint64_t user)
{
    owners->are_too_many |= owners->count == OWNERS_MAX;
    if (!owners->are_too_many)
        owners->partitions[owners->count++] = (Partition){table_id, user};
}

static Code find_owners(Sweep *sweep, const ColdPlace *place, uint64_t user, Owners *out, Error *e)
{
    Table *table =
        catalog_find_table(database_catalog(sweep->db), place->namespace_name, place->table_name);
    *out = (Owners){.is_first_living = table != NULL};
    if (table)
        add_owner(out, table->id, user);
    table_unref(table);
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(sweep->snapshot, HOT_BLOCKING, HOT_SYSTEM,
                                        slice_of(from, 1), slice_of(to, 1), false);
    while (hot_next(it)) {
        Table dropped;
        TRY(table__decode_dropped(hot_key(it), hot_value(it), &dropped, e));
        if (slice_equal_ignoring_case(dropped.namespace_name, place->namespace_name) &&
            slice_equal_ignoring_case(dropped.name, place->table_name))
            add_owner(out, dropped.id, user);
    }
    return hot_iterator_end(it, e);
}

static bool are_same(const Owners *a, const Owners *b)
{
    bool same = a->count == b->count && !a->are_too_many && !b->are_too_many;
    for (size_t i = 0; same && i < a->count; i++)
        same = partition_equal(a->partitions[i], b->partitions[i]);
    return same;
}

static void release_owners(Sweep *sweep, const Owners *owners, size_t count)
{
    while (count > 0)
        claims_release(database__claims(sweep->db), owners->partitions[--count]);
}

/* All of them, or none and false. Only a restore claims what counts as dropped, and it takes its
 * time. */
static bool claim_owners(Sweep *sweep, const Owners *owners)
{
    Error busy;
    for (size_t i = 0; i < owners->count; i++) {
        uint32_t wait_ms = i == 0 && owners->is_first_living ? CLAIM_WAIT_MS : 0;
        if (claims_take(database__claims(sweep->db), owners->partitions[i], wait_ms, &busy) != OK) {
            release_owners(sweep, owners, i);
            return false;
        }
    }
    return true;
}

/* The segments of all owners, who are claimed; false in *out when they are others by now. */
static Code list_files(Sweep *sweep, const ColdPlace *place, const Owners *claimed, Listed *listed,
                       bool *out, Error *e)
{
    Owners owners;
    TRY(find_owners(sweep, place, claimed->partitions[0].user, &owners, e));
    *out = are_same(&owners, claimed);
    for (size_t i = 0; *out && i < owners.count; i++) {
        TRY(add_listed(sweep, owners.partitions[i], listed, e));
        TRY(add_obsolete(sweep, owners.partitions[i], listed, e));
    }
    return OK;
}

/* ---- telling, in place of removing ---- */

__attribute__((format(printf, 2, 3))) static void tell(const Sweep *sweep, const char *format, ...)
{
    char text[COLD_PATH_BYTES_MAX + 256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    sweep->tell->tell(sweep->tell->context, text);
}

static Code tell_files(Sweep *sweep, Slice folder, Listed *listed, Error *e)
{
    static const char *const what[] = {
        [COLD_STRAY_SEGMENT] = "no manifest names this file; the next start removes it",
        [COLD_STRAY_TEMPORARY] =
            "a temporary file that a crash has left; the next start removes it",
        [COLD_STRAY_UNKNOWN] = "nothing of ours; it is left alone",
    };
    ColdStray *strays = NULL;
    size_t count = 0;
    TRY(cold_find_stray(database_storage_folder(sweep->db), folder, is_listed, listed, sweep->arena,
                        &strays, &count, e));
    for (size_t i = 0; i < count; i++)
        tell(sweep, "%.*s/%s: %s", SLICE_ARGS(folder), strays[i].name, what[strays[i].kind]);
    return OK;
}

static Code tell_manifest(Sweep *sweep, Slice folder, const ColdPlace *place, Partition partition,
                          Error *e)
{
    ManifestState state;
    CLEANUP(table_unref_ptr)
    Table *table =
        catalog_find_table(database_catalog(sweep->db), place->namespace_name, place->table_name);
    if (!table || table->id != partition.table_id)
        return OK;
    TRY(table__check_manifest(sweep->db, table, partition, &state, e));
    if (state != MANIFEST_RIGHT)
        tell(sweep, "%.*s/manifest.json: %s; the next start writes it", SLICE_ARGS(folder),
             state == MANIFEST_MISSING ? "it is missing" : "it is not what the catalog says");
    return OK;
}

static Code sweep_files(Sweep *sweep, Slice folder, Listed *listed, Error *e)
{
    uint32_t removed = 0;
    if (sweep->tell)
        return tell_files(sweep, folder, listed, e);
    TRY(cold_sweep(database_storage_folder(sweep->db), folder, is_listed, listed, &removed, e));
    sweep->removed += removed;
    return OK;
}

static Code sweep_claimed(Sweep *sweep, Slice folder, const ColdPlace *place, const Owners *claimed,
                          Error *e)
{
    Listed listed = {0};
    bool is_known = false;
    Pins *pins = database__pins(sweep->db);
    sweep->snapshot = hot_snapshot_new(database_hot(sweep->db)); /* I3 */
    sweep->has_readers = sweep->tell || !pins_have_passed(pins, pins_mark(pins));
    Code code = list_files(sweep, place, claimed, &listed, &is_known, e);
    hot_snapshot_free(TAKE(sweep->snapshot));
    if (code != OK || !is_known)
        return code;
    TRY(sweep_files(sweep, folder, &listed, e));
    bool tells = sweep->tell && claimed->is_first_living;
    return tells ? tell_manifest(sweep, folder, place, claimed->partitions[0], e) : OK;
}

/* Whoever works on the partition for long writes it anew at the end. */
static Code mend_place(Sweep *sweep, const ColdPlace *place, uint64_t user, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table =
        catalog_find_table(database_catalog(sweep->db), place->namespace_name, place->table_name);
    Error busy;
    if (!table)
        return OK;
    Partition partition = {table->id, user};
    if (claims_take(database__claims(sweep->db), partition, CLAIM_WAIT_MS, &busy) != OK)
        return OK;
    Code code = table__mend_manifest(sweep->db, table, partition, e);
    claims_release(database__claims(sweep->db), partition);
    return code;
}

/* Of no table, or of no user. */
static Code sweep_unknown(Sweep *sweep, Slice folder, const char *owner, Error *e)
{
    if (sweep->mends)
        return OK;
    if (!sweep->tell)
        return file_remove_empty_folder(arena_printf(sweep->arena, "%s/%.*s",
                                                     database_storage_folder(sweep->db),
                                                     SLICE_ARGS(folder)),
                                        e);
    tell(sweep, "%.*s: a folder of no %s; it is left alone unless it is empty", SLICE_ARGS(folder),
         owner);
    return OK;
}

/* What cannot be claimed now is left to the next sweep. */
static Code sweep_place(Sweep *sweep, Slice folder, const ColdPlace *place, uint64_t user, Error *e)
{
    Owners owners;
    sweep->snapshot = hot_snapshot_new(database_hot(sweep->db));
    Code code = find_owners(sweep, place, user, &owners, e);
    hot_snapshot_free(TAKE(sweep->snapshot));
    if (code == OK && owners.count == 0)
        return sweep_unknown(sweep, folder, "table", e); /* I2 */
    if (code != OK || owners.are_too_many || !claim_owners(sweep, &owners))
        return code;
    code = sweep_claimed(sweep, folder, place, &owners, e);
    release_owners(sweep, &owners, owners.count);
    return code;
}

/* False when no user of that id has a folder to sweep; the erasure of a user removes it whole. */
static Code find_user(Sweep *sweep, const ColdPlace *place, uint64_t *out_user, bool *out_found,
                      Error *e)
{
    User user = {0};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(sweep->db));
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, place->user_id, sweep->arena, &user, e);
    hot_snapshot_free(snapshot);
    *out_user = user.id;
    *out_found = code == OK && user.erasure == ERASURE_NONE;
    return code == E_NOT_FOUND ? OK : code;
}

static Code try_folder(Sweep *sweep, Slice folder, Error *e)
{
    ColdPlace place;
    uint64_t user = 0;
    bool found = true;
    arena_reset(sweep->arena);
    bool is_place = parse_folder(sweep, folder, &place);
    if (is_place && !place.is_shared)
        TRY(find_user(sweep, &place, &user, &found, e));
    if (!is_place || !found)
        return sweep_unknown(sweep, folder, is_place ? "user" : "table", e); /* I2 */
    return sweep->mends ? mend_place(sweep, &place, user, e)
                        : sweep_place(sweep, folder, &place, user, e);
}

/* One that cannot be read holds up no other. */
static Code sweep_folder(void *context, Slice folder, Error *e)
{
    Sweep *sweep = (Sweep *)context;
    Error error = {0};
    if (sweep->stop && sweep->stop->is_stopped && sweep->stop->is_stopped(sweep->stop->context))
        return fail(e, E_CANCELLED, "the server stops");
    if (try_folder(sweep, folder, &error) != OK && sweep->first.code == OK)
        sweep->first = error;
    return OK;
}

static Code sweep_all(Sweep *sweep, Error *e)
{
    Code code = cold_each_folder(database_storage_folder(sweep->db), sweep_folder, sweep, e);
    if (code == OK && sweep->first.code != OK)
        return fail(e, sweep->first.code, "%s", sweep->first.text);
    return code;
}

Code flush_sweep(Database *db, const JobStop *stop, uint32_t *out_removed, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Sweep sweep = {.db = db, .arena = arena, .stop = stop};
    Code code = sweep_all(&sweep, e);
    *out_removed = sweep.removed;
    return code;
}

Code flush_mend_manifests(Database *db, const JobStop *stop, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Sweep sweep = {.db = db, .arena = arena, .stop = stop, .mends = true};
    return sweep_all(&sweep, e);
}

Code flush_find_stray(Database *db, const StrayTell *tell, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Sweep sweep = {.db = db, .arena = arena, .tell = tell};
    return sweep_all(&sweep, e);
}
