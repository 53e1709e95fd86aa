/* SPDX-License-Identifier: Apache-2.0
 *
 * Partitions from outside: which there are, where their segments lie (user/<user
 * id>/<namespace>/<table> or shared/<namespace>/<table>), and the manifest there, a copy for
 * people.
 */
#include "cold/cold.h"
#include "os/clock.h"
#include "os/file.h"
#include "table/figures.h"
#include "table/manifest.h"
#include "table/table_int.h"

enum { MANIFEST_TEXT_BYTES_MAX = 64 * 1024 * 1024 };

Code table__folder(Database *db, HotSnapshot *snapshot, const Table *table, Partition partition,
                   Arena *arena, Slice *out, Error *e)
{
    (void)db;
    ColdPlace place = {
        .namespace_name = table->namespace_name,
        .table_name = table->name,
        .is_shared = table->kind == TABLE_SHARED,
    };
    if (!place.is_shared) {
        User user;
        Code code = catalog_get_user_by_id(snapshot, HOT_BLOCKING, partition.user, arena, &user, e);
        if (code == E_NOT_FOUND)
            return fail(e, E_CORRUPT, "user %llu of a partition is not in the catalog",
                        (unsigned long long)partition.user);
        if (code != OK)
            return code;
        place.user_id = user.user_id;
    }
    CLEANUP(buffer_done) Buffer path = {0};
    TRY(cold_folder_path(&place, &path, e));
    *out = arena_copy(arena, buffer_slice(&path));
    return OK;
}

Code table__add_newest_part(Database *db, Intent *intent, const Table *table, Partition partition,
                            Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *newest = catalog_find_table_by_id(database_catalog(db), table->id);
    if (!newest)
        return fail(e, E_CANCELLED, "table %.*s was dropped meanwhile", SLICE_ARGS(table->name));
    (void)intent_part(intent, newest, partition);
    return OK;
}

/* The keys of these families start with the partition and a seq. */
Code table__each_partition(Database *db, HotFamily family, const Table *table,
                           Code (*visit)(void *context, Partition partition, Error *e),
                           void *context, Error *e)
{
    must(family == HOT_ROWS || family == HOT_SEGMENTS || family == HOT_DEAD);
    /* The walk may be long: who waits until nothing reads what was deleted waits for it too. */
    uint64_t pin = pins_add(database__pins(db));
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    SeqKey from = table__seq_key((Partition){table->id, 0}, 0);
    SeqKey to = table__seq_key((Partition){table->id + 1, 0}, 0);
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, family, table__key_slice(&from),
                                        table__key_slice(&to), false);
    Code code = OK;
    while (code == OK && hot_next(it)) {
        Partition partition;
        uint64_t seq;
        if (!table__read_seq_key(hot_key(it), &partition, &seq)) {
            code = fail(e, E_CORRUPT, "the key of a row version is damaged");
            break;
        }
        code = visit(context, partition, e);
        SeqKey next = table__seq_key((Partition){partition.table_id, partition.user + 1}, 0);
        if (partition.user == UINT64_MAX)
            break;
        hot_seek(it, table__key_slice(&next));
    }
    if (code == OK)
        code = hot_iterator_end(it, e);
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    pins_remove(database__pins(db), pin);
    return code;
}

static Code describe_place(ReadView *view, const Table *table, Partition partition, Arena *arena,
                           ColdPlace *out, Error *e)
{
    User user = {0};
    if (table->kind != TABLE_SHARED)
        TRY(catalog_get_user_by_id(view_snapshot(view), HOT_BLOCKING, partition.user, arena, &user,
                                   e));
    *out = (ColdPlace){.namespace_name = table->namespace_name,
                       .table_name = table->name,
                       .is_shared = table->kind == TABLE_SHARED,
                       .user_id = user.user_id};
    return OK;
}

typedef struct Manifest {
    ManifestInfo info;
    const SegmentEntry **entries;
    uint32_t count;
} Manifest;

static Code describe_manifest(ReadView *view, const Table *table, Partition partition, Arena *arena,
                              Manifest *out, Error *e)
{
    SegmentEntry *entries;
    size_t count;
    PartitionState state;
    TRY(view_partition(view, table, partition, &state, e));
    TRY(view_segments(view, partition, 0, UINT64_MAX, arena, &entries, &count, e));
    const SegmentEntry **list = arena_new_array(arena, const SegmentEntry *, count + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = &entries[i];
    int64_t flushed_at_ms = (int64_t)(state.flushed_at_us / 1000);
    Manifest manifest = {
        .info = {.version = state.next_batch,
                 .created_at_ms = count ? entries[0].created_at_ms : flushed_at_ms,
                 .updated_at_ms = flushed_at_ms,
                 .schema = table->schema},
        .entries = list,
        .count = (uint32_t)count,
    };
    TRY(describe_place(view, table, partition, arena, &manifest.info.place, e));
    *out = manifest;
    return OK;
}

Code view_print_manifest(ReadView *view, const Table *table, Partition partition, Buffer *out,
                         Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Manifest manifest;
    TRY(describe_manifest(view, table, partition, arena, &manifest, e));
    return cold_manifest_print(&manifest.info, manifest.entries, manifest.count, out, e);
}

Code table__write_manifest(Database *db, const Table *table, Partition partition, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Manifest manifest;
    Slice folder;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    TRY(describe_manifest(view, table, partition, arena, &manifest, e));
    TRY(table__folder(db, view_snapshot(view), table, partition, arena, &folder, e));
    manifest.info.updated_at_ms = clock_wall_ms();
    return cold_manifest_write(database_storage_folder(db), folder, &manifest.info,
                               manifest.entries, manifest.count, e);
}

/* When the text says that it was written; 0 when it does not. */
static int64_t updated_at_of(Slice text)
{
    static const char label[] = "\"updated_at\":";
    const char *at = text.size ? memmem(text.data, text.size, label, sizeof label - 1) : NULL;
    int64_t value = 0;
    for (at = at ? at + sizeof label - 1 : NULL; at && at < text.data + text.size; at++) {
        if (*at == ' ')
            continue;
        if (*at < '0' || *at > '9' || value > INT64_MAX / 10 - 9)
            break;
        value = value * 10 + (*at - '0');
    }
    return value;
}

static Code is_as_written(ReadView *view, const Table *table, Partition partition, Slice text,
                          bool *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer wanted = {0};
    Manifest manifest;
    TRY(describe_manifest(view, table, partition, arena, &manifest, e));
    if (text.size == 0) { /* none: nothing to tell is right so */
        *out = manifest.count == 0;
        return OK;
    }
    manifest.info.updated_at_ms = updated_at_of(text);
    TRY(cold_manifest_print(&manifest.info, manifest.entries, manifest.count, &wanted, e));
    *out = slice_equal(buffer_slice(&wanted), text);
    return OK;
}

Code table__check_manifest(Database *db, const Table *table, Partition partition,
                           ManifestState *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Slice folder, text = {0};
    bool is_right = false;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    TRY(table__folder(db, view_snapshot(view), table, partition, arena, &folder, e));
    const char *path = arena_printf(arena, "%s/%.*s/manifest.json", database_storage_folder(db),
                                    SLICE_ARGS(folder));
    Code code = file_read(path, MANIFEST_TEXT_BYTES_MAX, arena, &text, e);
    if (code != OK && code != E_NOT_FOUND && code != E_TOO_LARGE)
        return code;
    TRY(is_as_written(view, table, partition, text, &is_right, e));
    *out = is_right ? MANIFEST_RIGHT : code == E_NOT_FOUND ? MANIFEST_MISSING : MANIFEST_WRONG;
    return OK;
}

Code table__mend_manifest(Database *db, const Table *table, Partition partition, Error *e)
{
    ManifestState state;
    TRY(table__check_manifest(db, table, partition, &state, e));
    return state == MANIFEST_RIGHT ? OK : table__write_manifest(db, table, partition, e);
}
