/* SPDX-License-Identifier: Apache-2.0
 *
 * Export of one user's rows.
 *
 *   1. at a view: for each table the live rows of its segments, then those of the hot tier, in seq
 *      order, to storage/export/<name>/<namespace>.<table>/batch-0.parquet (the engine may write
 *      below storage/ only)
 *   2. files moved to exports/<user>/<name>.part/<namespace>.<table>.parquet, schema.json and
 *      manifest.json beside them
 *   3. all of them once more to exports/<user>/<name>.zip.part
 *   4. the archive renamed to <name>.zip, the folder renamed to <name>, folder above them synced
 *
 * I1. A folder without ".part" is whole, and so is the archive beside it. An archive without its
 *     folder is what a crash left. Hence a folder that goes is renamed before its first file goes.
 * I2. Only rows of the partition (table, user) are read, from nowhere else.
 * I3. Tables and their definitions are those of the view, as its rows are.
 */
#include "table/export.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "cold/cold.h"
#include "cold/zip.h"
#include "data/json.h"
#include "data/row.h"
#include "os/clock.h"
#include "os/file_piece.h"
#include "os/throttle.h"
#include "table/backup_int.h"
#include "table/table_int.h"

enum {
    ENGINE_WAIT_MS = 60 * 1000,
    STOP_CHECK_ROWS = 4096,
    USERS_MAX = 10 * 1000 * 1000, /* folders below exports/ */
    EXPORTS_MAX = 100 * 1000,     /* of one user */
    DEPTH_MAX = 4
};
#define PART ".part"
#define ZIP ".zip"

typedef struct Export {
    Database *db;
    ReadView *view;
    Arena *arena;
    BackupStop stop;
    User user;
    const char *stage; /* relative to storage/ */
    const char *part;  /* the folder that is being filled */
    Buffer tables;     /* JSON of schema.json */
    Buffer files;      /* JSON of manifest.json */
    Buffer names;      /* const char * of each file written */
    ExportReport report;
} Export;

/* The rows of one table. */
typedef struct Rows {
    Export *x;
    const Table *table;
    Partition partition;
    ColdScan *cold; /* NULL once its rows have passed, or without segments */
    HotIterator *dead;
    bool has_dead;
    uint64_t dead_seq;
    RowWalk *hot;
    Value *values;
    uint64_t count;
    bool was_stopped;
} Rows;

/* ---- rows ---- */

static bool is_stopped(const Export *x)
{
    return x->stop.is_stopped && x->stop.is_stopped(x->stop.context);
}

static Code open_cold(Rows *rows, Error *e)
{
    Export *x = rows->x;
    SegmentEntry *entries;
    size_t count;
    SegmentList list;
    SeqKey from = table__seq_key(rows->partition, 0),
           to = table__seq_key(rows->partition, UINT64_MAX);
    TRY(view_segments(x->view, rows->partition, 0, UINT64_MAX, x->arena, &entries, &count, e));
    if (count == 0)
        return OK;
    TRY(view_check_segments(x->view, rows->table, rows->partition, entries, count, e));
    TRY(view__segment_list(x->view, rows->table, rows->partition, entries, count, x->arena, &list,
                           e));
    for (size_t i = 0; i < count && !is_stopped(x); i++) /* read and written anew */
        (void)throttle_take(database_throttle(x->db), 2 * entries[i].size_bytes, x->stop.is_stopped,
                            x->stop.context);
    TRY(cold_scan_open(database_flush_engine(x->db), &list, rows->table->schema, ENGINE_WAIT_MS,
                       &rows->cold, e));
    rows->dead = hot_iterator_open(view_snapshot(x->view), HOT_BLOCKING, HOT_DEAD,
                                   table__key_slice(&from), table__key_slice(&to), false);
    rows->has_dead = true;
    return OK;
}

static Code rows_open(void *context, void **out_scan, Error *e)
{
    (void)e;
    *out_scan = context;
    return OK;
}

static Code is_dead(Rows *rows, uint64_t seq, bool *out, Error *e)
{
    Partition partition;
    while (rows->has_dead && rows->dead_seq < seq) {
        rows->has_dead = hot_next(rows->dead);
        if (rows->has_dead &&
            !table__read_seq_key(hot_key(rows->dead), &partition, &rows->dead_seq))
            return fail(e, E_CORRUPT, "the record of a dead row is damaged");
    }
    *out = rows->has_dead && rows->dead_seq == seq;
    return rows->has_dead ? OK : hot_iterator_end(rows->dead, e);
}

/* The next cold row; *out_end when there is none left. */
static Code next_cold(Rows *rows, EngineRow *out_row, bool *out_end, Error *e)
{
    for (;;) {
        bool dead = false;
        uint64_t seq = 0;
        const Value *values = NULL;
        TRY(cold_scan_next(rows->cold, out_end, &seq, &values, e));
        if (*out_end)
            return OK;
        TRY(is_dead(rows, seq, &dead, e));
        if (dead)
            continue;
        *out_row = (EngineRow){.values = values, .seq = seq};
        return OK;
    }
}

static Code next_hot(Rows *rows, EngineRow *out_row, bool *out_end, Error *e)
{
    uint64_t seq = 0;
    Slice row;
    TRY(row_walk_next(rows->hot, out_end, &seq, &row, e));
    if (*out_end)
        return OK;
    TRY(row_decode(rows->table->schema, row, rows->values, e));
    *out_row = (EngineRow){.values = rows->values, .seq = seq};
    return OK;
}

static Code rows_next(void *context, EngineRow *out_row, bool *out_end, Error *e)
{
    Rows *rows = (Rows *)context;
    if (rows->count % STOP_CHECK_ROWS == 0 && is_stopped(rows->x)) {
        rows->was_stopped = true;
        return fail(e, E_CANCELLED, "the export was stopped");
    }
    *out_end = true;
    if (rows->cold)
        TRY(next_cold(rows, out_row, out_end, e));
    if (*out_end && rows->cold) { /* the segments are through */
        cold_scan_close(rows->cold);
        rows->cold = NULL;
    }
    if (*out_end)
        TRY(next_hot(rows, out_row, out_end, e));
    rows->count += !*out_end;
    return OK;
}

static Code write_rows(Rows *rows, const char *folder, SegmentEntry **out, Error *e)
{
    Export *x = rows->x;
    EngineSource source = {
        .schema = rows->table->schema, .context = rows, .open = rows_open, .next = rows_next};
    SegmentWrite write = {
        .pool = database_flush_engine(x->db),
        .storage_root = database_storage_folder(x->db),
        .folder = folder,
        .now_ms = clock_wall_ms(),
        .wait_ms = ENGINE_WAIT_MS,
        .rows = &source,
    };
    TRY(open_cold(rows, e));
    TRY(row_walk_open(x->view, rows->table, rows->partition, 0, UINT64_MAX, false, &rows->hot, e));
    Code code = cold_segment_write(&write, x->arena, out, e);
    if (rows->was_stopped)
        return fail(e, E_CANCELLED, "the export was stopped");
    if (code == E_INVALID_OPERATION && rows->count == 0) { /* no row */
        *out = NULL;
        return OK;
    }
    return code;
}

/* ---- files ---- */

static void describe_table(const Table *table, const char *file, Buffer *out)
{
    buffer_add_text(out, out->size ? ",\n    {" : "\n    {");
    json_add_name(out, "namespace");
    json_add_string(out, table->namespace_name);
    buffer_add_char(out, ',');
    json_add_name(out, "table");
    json_add_string(out, table->name);
    buffer_add_char(out, ',');
    json_add_name(out, "type");
    json_add_text(out, table_kind_name(table->kind));
    buffer_add_char(out, ',');
    json_add_name(out, "file");
    json_add_text(out, file);
    buffer_add_text(out, ",\"columns\":[");
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        buffer_add_text(out, i ? ",{" : "{");
        json_add_name(out, "name");
        json_add_string(out, column->name);
        buffer_printf(out, ",\"type\":\"%s\",\"nullable\":%s,\"primary_key\":%s}",
                      type_info(column->type)->name,
                      column->not_null || column->primary_key ? "false" : "true",
                      column->primary_key ? "true" : "false");
    }
    buffer_add_text(out, "]}");
}

static void describe_file(const char *file, const SegmentEntry *entry, Buffer *out)
{
    buffer_add_text(out, out->size ? ",\n    {" : "\n    {");
    json_add_name(out, "file");
    json_add_text(out, file);
    buffer_printf(out, ",\"rows\":%llu,\"bytes\":%llu,\"crc32c\":\"%08x\"}",
                  (unsigned long long)entry->row_count, (unsigned long long)entry->size_bytes,
                  entry->crc);
}

static Code file_name(Export *x, const Table *table, const char **out, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0};
    TRY(cold_encode_name(table->namespace_name, &name, e));
    buffer_add_char(&name, '.');
    TRY(cold_encode_name(table->name, &name, e));
    buffer_add_text(&name, ".parquet");
    *out = arena_text(x->arena, buffer_slice(&name));
    return OK;
}

static Code export_table(Export *x, const Table *table, Error *e)
{
    const char *file;
    SegmentEntry *entry = NULL;
    Rows rows = {.x = x, .table = table, .partition = {table->id, x->user.id}}; /* I2 */
    TRY(file_name(x, table, &file, e));
    const char *stage = arena_printf(x->arena, "%s/%s", x->stage, file);
    rows.values = arena_new_array(x->arena, Value, table->schema->column_count + 1);
    Code code = write_rows(&rows, stage, &entry, e);
    row_walk_close(rows.hot);
    hot_iterator_close(rows.dead);
    cold_scan_close(rows.cold);
    if (code != OK)
        return code;
    describe_table(table, entry ? file : "", &x->tables);
    const char *root = database_storage_folder(x->db);
    if (entry) {
        TRY(file_rename(arena_printf(x->arena, "%s/%s/batch-0.parquet", root, stage),
                        arena_printf(x->arena, "%s/%s", x->part, file), e));
        describe_file(file, entry, &x->files);
        buffer_add(&x->names, &file, sizeof file);
        x->report.tables++;
        x->report.rows += entry->row_count;
        x->report.bytes += entry->size_bytes;
        backup__tell(&x->stop, "Exported %llu row(s) of %llu table(s) so far",
                     (unsigned long long)x->report.rows, (unsigned long long)x->report.tables);
    }
    return file_remove_empty_folder(arena_printf(x->arena, "%s/%s", root, stage), e);
}

static Code export_tables(Export *x, Error *e)
{
    Table *tables;
    size_t count;
    TRY(catalog_read_tables(view_snapshot(x->view), (Slice){0}, x->arena, &tables, &count,
                            e)); /* I3 */
    for (size_t i = 0; i < count; i++)
        if (tables[i].kind != TABLE_SHARED)
            TRY(export_table(x, &tables[i], e));
    return OK;
}

/* {"user_id": …, "commit": …, "<list>": […]} */
static Code write_json(Export *x, const char *file, const char *list, const Buffer *items, Error *e)
{
    CLEANUP(buffer_done) Buffer text = {0};
    buffer_add_text(&text, "{\n  \"format\": 1,\n  \"user_id\": ");
    json_add_string(&text, x->user.user_id);
    buffer_printf(
        &text, ",\n  \"commit\": \"%llu\",\n  \"created_at_ms\": %lld,\n  \"%s\": [%.*s\n  ]\n}\n",
        (unsigned long long)x->report.seq, (long long)clock_wall_ms(), list,
        SLICE_ARGS(buffer_slice(items)));
    buffer_add(&x->names, &file, sizeof file);
    return file_write(arena_printf(x->arena, "%s/%s", x->part, file), buffer_slice(&text), 0600, e);
}

static Code fill(Export *x, Error *e)
{
    TRY(file_make_folders(x->part, 0700, e));
    TRY(view_open(x->db, HOT_BLOCKING, &x->view, e));
    x->report.seq = view_seq(x->view);
    TRY(catalog_get_user_by_id(view_snapshot(x->view), HOT_BLOCKING, x->user.id, x->arena, &x->user,
                               e));
    TRY(export_tables(x, e));
    TRY(write_json(x, "schema.json", "tables", &x->tables, e));
    return write_json(x, "manifest.json", "files", &x->files, e);
}

static Code write_zip(Export *x, const char *path, Error *e)
{
    size_t count = x->names.size / sizeof(const char *);
    const char *const *names = (const char *const *)(const void *)x->names.data;
    ColdZipFile *files = arena_new_array(x->arena, ColdZipFile, count);
    for (size_t i = 0; i < count; i++)
        files[i] = (ColdZipFile){arena_printf(x->arena, "%s/%s", x->part, names[i]), names[i]};
    ColdZip order = {.path = path,
                     .files = files,
                     .count = count,
                     .is_stopped = x->stop.is_stopped,
                     .context = x->stop.context};
    TRY(cold_zip_write(&order, e));
    return file_size(path, &x->report.zip_bytes, e);
}

/* <data>/exports/<user> */
static Code folder_of(Database *db, Slice user_id, Arena *arena, const char **out, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0};
    TRY(cold_encode_name(user_id, &name, e));
    *out = arena_printf(arena, "%s/exports/%.*s", database_folder(db),
                        SLICE_ARGS(buffer_slice(&name)));
    return OK;
}

static Code find_user(Export *x, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(x->db));
    Code code = catalog_get_user_by_id(snapshot, HOT_BLOCKING, x->user.id, x->arena, &x->user, e);
    hot_snapshot_free(snapshot);
    if (code == E_NOT_FOUND || (code == OK && x->user.deleted_at_us))
        return fail(e, E_NOT_FOUND, "the user does not exist");
    return code;
}

/* What stays is found by the next start. */
static void try_remove(const char *path)
{
    Error ignored;
    if (file_remove_tree(path, DEPTH_MAX, &ignored) != OK)
        return;
}

static Code remove_export(const char *whole, const char *part, Error *e)
{
    TRY(file_rename(whole, part, e)); /* I1 */
    return file_remove_tree(part, DEPTH_MAX, e);
}

/* Also when only the last sync failed. One that cannot be removed is left whole. */
static void undo_export(const Export *x, const char *whole, const char *zip)
{
    Error ignored;
    if (file_exists(whole) && remove_export(whole, x->part, &ignored) != OK)
        return;
    try_remove(zip);
    try_remove(x->part);
}

/* All of it under temporary names, then under their own. */
static Code write_export(Export *x, const char *whole, Error *e)
{
    const char *zip = arena_printf(x->arena, "%s" ZIP, whole);
    const char *zip_part = arena_printf(x->arena, "%s" PART, zip);
    Code code = fill(x, e);
    view_close(x->view);
    x->view = NULL;
    if (code == OK && x->report.tables == 0)
        return file_remove_tree(x->part, DEPTH_MAX, e);
    if (code == OK)
        code = write_zip(x, zip_part, e);
    if (code == OK)
        code = file_rename(zip_part, zip, e);
    if (code == OK)
        code = file_rename(x->part, whole, e); /* I1 */
    if (code == OK)
        return OK;
    try_remove(zip_part);
    undo_export(x, whole, zip);
    return code;
}

Code database_export_user(Database *db, uint64_t user, const char *name, BackupStop stop,
                          ExportReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Export x = {.db = db, .arena = arena, .stop = stop, .user = {.id = user}};
    const char *above = NULL;
    TRY(find_user(&x, e));
    TRY(folder_of(db, x.user.user_id, arena, &above, e));
    const char *whole = arena_printf(arena, "%s/%s", above, name);
    if (file_exists(whole))
        return fail(e, E_ALREADY_EXISTS, "the export %s exists already", name);
    x.part = arena_printf(arena, "%s" PART, whole);
    x.stage = arena_printf(arena, "export/%s", name);
    Code code = write_export(&x, whole, e);
    try_remove(arena_printf(arena, "%s/%s", database_storage_folder(db), x.stage));
    buffer_done(&x.tables);
    buffer_done(&x.files);
    buffer_done(&x.names);
    if (code == OK)
        *out = x.report;
    return code;
}

/* ---- what is there ---- */

/* Letters, digits and '-', as the ids of jobs are: it stands in a path. */
static bool is_name(Slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-')
            return false;
    }
    return name.size > 0 && name.size <= COLD_NAME_BYTES_MAX - sizeof(ZIP PART);
}

Code export_zip_path(Database *db, Slice user_id, Slice name, Arena *arena, const char **out_path,
                     Error *e)
{
    const char *above = NULL;
    FileLook folder = {0}, zip = {0};
    if (user_id.size == 0 || user_id.size > USER_ID_BYTES_MAX || !is_name(name))
        return fail(e, E_NOT_FOUND, "There is no such export");
    TRY(folder_of(db, user_id, arena, &above, e));
    const char *whole = arena_printf(arena, "%s/%.*s", above, SLICE_ARGS(name));
    const char *path = arena_printf(arena, "%s" ZIP, whole);
    TRY(file_look(whole, &folder, e));
    TRY(file_look(path, &zip, e));
    if (folder.kind != FILE_FOLDER || zip.kind != FILE_PLAIN) /* I1 */
        return fail(e, E_NOT_FOUND, "There is no such export");
    *out_path = path;
    return OK;
}

/* ---- removing ---- */

typedef struct Removal {
    Arena *arena;
    int64_t before_us; /* INT64_MIN: what is not whole */
    uint32_t removed;
} Removal;

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool is_left_over(const char *folder, const char *name, Arena *arena)
{
    if (ends_with(name, PART))
        return true;
    size_t size = strlen(name), end = sizeof ZIP - 1;
    return ends_with(name, ZIP) &&
           !file_exists(arena_printf(arena, "%s/%.*s", folder, (int)(size - end), name)); /* I1 */
}

static Code is_too_old(const char *path, int64_t before_us, bool *out, Error *e)
{
    FileLook look;
    TRY(file_look(path, &look, e));
    *out = look.kind != FILE_NOTHING && look.changed_at_us < before_us;
    return OK;
}

static Code remove_entry(Arena *arena, const char *path, const FileEntry *entry, Error *e)
{
    if (entry->is_folder && !ends_with(entry->name, PART))
        return remove_export(path, arena_printf(arena, "%s" PART, path), e);
    return file_remove_tree(path, DEPTH_MAX, e);
}

static Code remove_of_user(Removal *removal, const char *folder, Error *e)
{
    FileEntry *entries;
    size_t count;
    TRY(file_list(folder, EXPORTS_MAX, removal->arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(removal->arena, "%s/%s", folder, entries[i].name);
        bool goes = false;
        if (removal->before_us == INT64_MIN)
            goes = is_left_over(folder, entries[i].name, removal->arena);
        else
            TRY(is_too_old(path, removal->before_us, &goes, e));
        if (!goes)
            continue;
        TRY(remove_entry(removal->arena, path, &entries[i], e));
        removal->removed++;
    }
    return file_remove_empty_folder(folder, e);
}

static Code remove_exports(Database *db, Removal *removal, Error *e)
{
    FileEntry *users;
    size_t count;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *exports = arena_printf(arena, "%s/exports", database_folder(db));
    if (!file_exists(exports))
        return OK;
    TRY(file_list(exports, USERS_MAX, arena, &users, &count, e));
    for (size_t i = 0; i < count; i++) {
        arena_reset(removal->arena);
        const char *folder = arena_printf(removal->arena, "%s/%s", exports, users[i].name);
        if (users[i].is_folder)
            TRY(remove_of_user(removal, folder, e));
    }
    return OK;
}

Code export_sweep(Database *db, uint32_t *out_removed, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Removal removal = {.arena = arena, .before_us = INT64_MIN};
    TRY(file_remove_tree(arena_printf(arena, "%s/export", database_storage_folder(db)), DEPTH_MAX,
                         e));
    TRY(remove_exports(db, &removal, e));
    *out_removed = removal.removed;
    return OK;
}

Code export_expire(Database *db, int64_t before_us, uint32_t *out_removed, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Removal removal = {.arena = arena, .before_us = before_us};
    TRY(remove_exports(db, &removal, e));
    *out_removed = removal.removed;
    return OK;
}
