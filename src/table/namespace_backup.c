/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup of one namespace while everything runs. No checkpoint: what belongs to a namespace is read
 * at one view, which pins the segment files.
 *
 *     view · for each table: table-<n>/rows (table/dump.h) and its segments, table-<n>/<k>.parquet
 *     · all synced · read back and compared · BACKUP, the list of files, last
 *
 * I1. Everything is read through the view: catalog, partitions, rows, entries. So the backup is the
 *     namespace at the commit view_seq().
 * I2. A row that is not live at that commit is in no `rows`; where a segment holds it, its dead
 *     record goes along.
 * I3. A folder without BACKUP is no backup, and BACKUP is written after all else was read back.
 */
#include "cold/cold.h"
#include "os/file_piece.h"
#include "os/throttle.h"
#include "table/backup_int.h"
#include "table/dump.h"
#include "table/table_int.h"

enum { STOP_CHECK_RECORDS = 4096 };

typedef struct Space {
    Database *db;
    ReadView *view;
    const char *folder; /* of the backup */
    BackupStop stop;
    BackupReport *report;
    Arena *arena;         /* of the table */
    Arena *partition_own; /* of the partition */
    const char *table_folder;
    const Table *table;
    DumpWriter *dump;
    uint64_t files, records;
} Space;

static Code check_stop(const Space *s, Error *e)
{
    if (s->stop.is_stopped && s->stop.is_stopped(s->stop.context))
        return fail(e, E_CANCELLED, "the backup was stopped");
    backup__tell(&s->stop, "Copied %llu row(s) of %llu table(s) so far",
                 (unsigned long long)s->report->rows, (unsigned long long)s->report->tables + 1);
    return OK;
}

static Code put(Space *s, const DumpRecord *record, Error *e)
{
    if (s->records++ % STOP_CHECK_RECORDS == 0)
        TRY(check_stop(s, e));
    return dump_writer_put(s->dump, record, e);
}

/* ---- one partition ---- */

static Code copy_segment(Space *s, Slice folder, const SegmentEntry *entry, Error *e)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(buffer_done) Buffer name = {0};
    uint64_t number = s->files++;
    cold_segment_name(entry->batch, &name);
    segment_encode(entry, &bytes);
    DumpRecord record = {.kind = DUMP_SEGMENT, .number = number, .bytes = buffer_slice(&bytes)};
    TRY(put(s, &record, e));
    const char *from =
        arena_printf(s->partition_own, "%s/%.*s/%.*s", database_storage_folder(s->db),
                     SLICE_ARGS(folder), SLICE_ARGS(buffer_slice(&name)));
    return file_copy(from,
                     arena_printf(s->partition_own, "%s/%llu.parquet", s->table_folder,
                                  (unsigned long long)number),
                     0600, e);
}

static Code write_segments(Space *s, Partition partition, Error *e)
{
    SegmentEntry *entries;
    size_t count;
    Slice folder;
    TRY(view_segments(s->view, partition, 0, UINT64_MAX, s->partition_own, &entries, &count, e));
    if (count == 0)
        return OK;
    TRY(table__folder(s->db, view_snapshot(s->view), s->table, partition, s->partition_own, &folder,
                      e));
    for (size_t i = 0; i < count; i++) {
        (void)throttle_take(database_throttle(s->db), 2 * entries[i].size_bytes, s->stop.is_stopped,
                            s->stop.context);
        TRY(check_stop(s, e));
        TRY(copy_segment(s, folder, &entries[i], e));
    }
    return OK;
}

static Code write_dead(Space *s, Partition partition, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(s->view), HOT_BLOCKING, HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        DumpRecord record = {.kind = DUMP_DEAD};
        Partition of;
        if (!table__read_seq_key(hot_key(it), &of, &record.seq) ||
            !table__decode_u64(hot_value(it), &record.number))
            return fail(e, E_CORRUPT, "the record of a dead row is damaged");
        TRY(put(s, &record, e));
    }
    return hot_iterator_end(it, e);
}

static Code write_rows(Space *s, Partition partition, Error *e)
{
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    TRY(row_walk_open(s->view, s->table, partition, 0, UINT64_MAX, false, &walk, e));
    for (bool end = false;;) {
        DumpRecord record = {.kind = DUMP_ROW};
        TRY(row_walk_next(walk, &end, &record.seq, &record.bytes, e));
        if (end)
            return OK;
        TRY(put(s, &record, e));
        s->report->rows += s->table->kind == TABLE_STREAM;
    }
}

static HotIterator *heads_of(Space *s, Partition partition)
{
    SeqKey from = table__seq_key(partition, 0);
    SeqKey to = table__seq_key((Partition){partition.table_id, partition.user + 1}, 0);
    return hot_iterator_open(view_snapshot(s->view), HOT_BLOCKING, HOT_HEADS,
                             table__partition_slice(&from), table__partition_slice(&to), false);
}

static Code write_heads(Space *s, Partition partition, Error *e)
{
    CLEANUP(hot_iterator_close_ptr) HotIterator *it = heads_of(s, partition);
    while (hot_next(it)) {
        Slice key = hot_key(it);
        DumpRecord record = {.kind = DUMP_HEAD,
                             .bytes =
                                 slice_of(key.data + PARTITION_BYTES, key.size - PARTITION_BYTES)};
        if (!table__decode_u64(hot_value(it), &record.seq))
            return fail(e, E_CORRUPT, "a head is damaged");
        TRY(put(s, &record, e));
        s->report->rows++;
    }
    return hot_iterator_end(it, e);
}

/* Whose the partition is; false when nobody's any more. */
static Code find_owner(Space *s, Partition partition, Slice *out, bool *out_is_there, Error *e)
{
    User user = {0};
    *out = (Slice){0};
    *out_is_there = true;
    if (s->table->kind == TABLE_SHARED)
        return OK;
    Code code = catalog_get_user_by_id(view_snapshot(s->view), HOT_BLOCKING, partition.user,
                                       s->partition_own, &user, e);
    if (code == E_NOT_FOUND)
        return fail(e, E_CORRUPT, "user %llu of a partition is not in the catalog",
                    (unsigned long long)partition.user);
    *out = user.user_id;
    *out_is_there = user.erasure == ERASURE_NONE;
    return code;
}

static Code write_partition(Space *s, Partition partition, Error *e)
{
    DumpRecord record = {.kind = DUMP_PARTITION};
    bool is_there;
    arena_reset(s->partition_own);
    TRY(find_owner(s, partition, &record.user_id, &is_there, e));
    if (!is_there)
        return OK;
    TRY(view_partition(s->view, s->table, partition, &record.state, e));
    TRY(put(s, &record, e));
    TRY(write_segments(s, partition, e));
    TRY(write_dead(s, partition, e));
    TRY(write_rows(s, partition, e));
    return write_heads(s, partition, e);
}

/* ---- one table ---- */

/* The partitions with a live row: they have a head, or (STREAM) a row. */
static Code write_partitions(Space *s, Error *e)
{
    HotFamily family = s->table->kind == TABLE_STREAM ? HOT_ROWS : HOT_HEADS;
    SeqKey from = table__seq_key((Partition){s->table->id, 0}, 0);
    SeqKey to = table__seq_key((Partition){s->table->id + 1, 0}, 0);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(view_snapshot(s->view), HOT_BLOCKING, family,
                          table__partition_slice(&from), table__partition_slice(&to), false);
    while (hot_next(it)) {
        Cursor c = cursor_of(hot_key(it));
        Partition partition;
        if (!cursor_u32(&c, &partition.table_id) || !cursor_u64(&c, &partition.user) ||
            partition.user == UINT64_MAX)
            return fail(e, E_CORRUPT, "a key of table %.*s is damaged", SLICE_ARGS(s->table->name));
        TRY(write_partition(s, partition, e));
        SeqKey next = table__seq_key((Partition){partition.table_id, partition.user + 1}, 0);
        hot_seek(it, table__partition_slice(&next));
    }
    return hot_iterator_end(it, e);
}

static Code write_table(Space *s, Error *e)
{
    CLEANUP(buffer_done) Buffer definition = {0};
    TRY(file_make_folders(s->table_folder, 0700, e));
    TRY(dump_writer_open(arena_printf(s->arena, "%s/rows", s->table_folder), &s->dump, e));
    catalog_encode_definition(s->table, &definition);
    DumpRecord record = {.kind = DUMP_TABLE, .bytes = buffer_slice(&definition)};
    TRY(put(s, &record, e));
    TRY(write_partitions(s, e));
    TRY(dump_writer_finish(s->dump, e));
    s->report->tables++;
    return file_sync_folder(s->table_folder, e);
}

/* ---- reading back ---- */

static Code check_segment(const char *folder, const DumpRecord *record, Arena *arena, Error *e)
{
    SegmentEntry *entry;
    uint32_t crc;
    uint64_t bytes;
    TRY(segment_decode(record->bytes, arena, &entry, e));
    TRY(cold_file_checksum(
        arena_printf(arena, "%s/%llu.parquet", folder, (unsigned long long)record->number), &crc,
        &bytes, e));
    if (crc != entry->crc || bytes != entry->size_bytes)
        return fail(e, E_CORRUPT,
                    "%s/%llu.parquet is not what the server wrote as batch-%llu.parquet; STORAGE "
                    "CHECK EXTENDED tells whether the server's own file is damaged, or this copy",
                    folder, (unsigned long long)record->number, (unsigned long long)entry->batch);
    return OK;
}

static Code check_records(DumpReader *reader, const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (DumpRecord record = {0}; record.kind != DUMP_END; arena_reset(arena)) {
        TRY(dump_reader_next(reader, &record, e));
        if (record.kind == DUMP_SEGMENT)
            TRY(check_segment(folder, &record, arena, e));
    }
    return OK;
}

static Code check_table(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    DumpReader *reader = NULL;
    TRY(dump_reader_open(arena_printf(arena, "%s/rows", folder), &reader, e));
    Code code = check_records(reader, folder, e);
    dump_reader_close(reader);
    return code;
}

/* ---- all of it ---- */

static Code write_tables(Space *s, const Table *tables, size_t count, const char **io_roots,
                         Arena *arena, Error *e)
{
    for (size_t i = 0; i < count; i++) {
        arena_reset(s->arena);
        io_roots[i] = arena_printf(arena, "table-%zu", i);
        s->table = &tables[i];
        s->table_folder = arena_printf(arena, "%s/%s", s->folder, io_roots[i]);
        s->files = 0;
        Code code = write_table(s, e);
        dump_writer_close(s->dump);
        s->dump = NULL;
        if (code != OK)
            return code;
        TRY(check_table(s->table_folder, e));
    }
    return OK;
}

static Code write_space(Space *s, Slice name, Arena *arena, Error *e)
{
    Table *tables;
    size_t count;
    s->report->seq = view_seq(s->view);
    TRY(catalog_read_tables(view_snapshot(s->view), name, arena, &tables, &count, e)); /* I1 */
    const char **roots = arena_new_array(arena, const char *, count + 1);
    TRY(write_tables(s, tables, count, roots, arena, e));
    roots[count] = NULL;
    TRY(file_sync_folder(s->folder, e));
    return backup__write_list(s->folder, roots, true, s->report, e); /* I3 */
}

Code database_backup_namespace(Database *db, Slice name, const char *folder, BackupStop stop,
                               BackupReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(arena_free_ptr) Arena *of_table = arena_new();
    CLEANUP(arena_free_ptr) Arena *of_partition = arena_new();
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    BackupReport report = {0};
    TRY(backup_check_path(db, slice_of_text(folder), e));
    if (!catalog_has_namespace(database_catalog(db), name))
        return fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' not found", SLICE_ARGS(name));
    TRY(backup__begin(folder, e));
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    Space s = {.db = db,
               .view = view,
               .folder = folder,
               .stop = stop,
               .report = &report,
               .arena = of_table,
               .partition_own = of_partition};
    TRY(write_space(&s, name, arena, e));
    *out = report;
    return OK;
}
