/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup of a running database, and restore.
 *
 *   backup  : pin the segment files · checkpoint of the hot store · copy what the checkpoint names
 *   · unpin · verify the copy ·
 *             list the files in BACKUP
 *   restore : compare every file with the list · BACKUP into the new folder · copy · verify · mark
 *   · remove BACKUP
 *
 * I1. The checkpoint is the backup's commit: everything else is read through it. RocksDB's log
 *     makes it the end of a batch in all families, and each batch is whole commits.
 * I2. The pin is older than the checkpoint, so every file that the checkpoint names stays until it
 *     is copied.
 * I3. No server runs in a folder that holds BACKUP. It is the first file written, and says then
 *     that the rest is not whole; the list of all others takes its place at last: a copy that was
 *     cut is neither a backup nor a data folder. A folder that is being restored holds BACKUP until
 *     everything is done.
 * I4. The mark. A client may hold the cursor of any commit that the old server gave out, also of
 *     those after the backup, which are gone: resuming there would miss what takes their place.
 *     Seqs are times (table/seq.h): the old server gave out none above the moment it stopped, but
 *     for the counter running ahead of the clock, which takes more than 4 million rows a second to
 *     gain a second. The restore comes later. So feed_floor = the seq of now + MARGIN_S lies above
 *     every cursor out there, as long as the clock of this machine is not more than MARGIN_S behind
 *     the old one's; the new seqs start above it (ceiling), and every cursor below it is answered
 *     CURSOR_TOO_OLD, in every partition, whether it comes from before or after the backup: which
 *     of both cannot be told for sure.
 */
#include "table/backup.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "cold/cold.h"
#include "os/clock.h"
#include "os/file_piece.h"
#include "os/throttle.h"
#include "table/backup_int.h"
#include "table/manifest.h"
#include "table/table_int.h"

enum { MARGIN_S = 60, ENTRIES_MAX = 10 * 1000 * 1000, DEPTH_MAX = 8 };

/* ---- where ---- */

static bool lies_in(Slice path, Slice folder)
{
    while (folder.size > 0 && folder.data[folder.size - 1] == '/')
        folder.size--;
    return slice_starts_with(path, folder) &&
           (path.size == folder.size || path.data[folder.size] == '/');
}

/* Links followed, for the part of the path that exists. */
static Slice real_path(Slice path, Arena *arena)
{
    for (size_t size = path.size; size > 1; size--) {
        if (size < path.size && path.data[size] != '/')
            continue;
        char *real = realpath(arena_text(arena, slice_of(path.data, size)), NULL);
        if (!real)
            continue;
        const char *slash = strcmp(real, "/") == 0 ? "" : real;
        Slice found = slice_of_text(
            arena_printf(arena, "%s%.*s", slash, (int)(path.size - size), path.data + size));
        free(real);
        return found;
    }
    return path;
}

static Code check_words(Slice path, Error *e)
{
    if (path.size == 0 || path.data[0] != '/')
        return fail(e, E_INVALID_INPUT, "The path must be absolute");
    if (path.size >= BACKUP_PATH_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "The path is longer than %d bytes", BACKUP_PATH_BYTES_MAX);
    if (memchr(path.data, 0, path.size))
        return fail(e, E_INVALID_INPUT, "The path must not contain a NUL byte");
    if (memmem(path.data, path.size, "..", 2))
        return fail(e, E_INVALID_INPUT, "The path must not contain '..'");
    if (memmem(path.data, path.size, "/./", 3) || memmem(path.data, path.size, "//", 2))
        return fail(e, E_INVALID_INPUT, "The path must not contain '//' or '/./'");
    return OK;
}

Code backup_check_path(Database *db, Slice path, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TRY(check_words(path, e));
    Slice data = real_path(slice_of_text(database_folder(db)), arena);
    Slice forms[] = {path, real_path(path, arena)};
    for (size_t i = 0; i < 2; i++)
        if (lies_in(forms[i], data) || lies_in(data, forms[i]))
            return fail(e, E_INVALID_INPUT,
                        "The path must not lie in the data folder, nor hold it");
    return OK;
}

static bool is_backup_name(Slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_mark = c == '-' || c == '_' || (c == '.' && i > 0);
        if (!is_letter && !(c >= '0' && c <= '9') && !is_mark)
            return false;
    }
    return name.size > 0 && name.size <= NAME_BYTES_MAX;
}

Code backup_place(Database *db, const char *root, Slice name, Arena *arena, const char **out,
                  Error *e)
{
    FileLook look;
    if (!root || !*root)
        return fail(e, E_INVALID_OPERATION,
                    "No folder for backups is configured: set backup.path and start again");
    TRY(file_make_folders(root, 0700, e));
    Slice real = real_path(slice_of_text(root), arena);
    if (real.size == 0 || real.data[0] != '/')
        return fail(e, E_INVALID_OPERATION, "The folder for backups, %s, cannot be found", root);
    TRY(backup_check_path(db, real, e));
    Slice rest = name, given = slice_of_text(root);
    Slice *above = slice_starts_with(name, real) ? &real : &given;
    if (name.size > above->size && slice_starts_with(name, *above) && name.data[above->size] == '/')
        rest = slice_of(name.data + above->size + 1, name.size - above->size - 1);
    if (!is_backup_name(rest))
        return fail(e, E_INVALID_INPUT,
                    "A backup is named by 1 to %d letters, digits, '-', '_' and '.', and lies in "
                    "%.*s (setting backup.path); other paths are not written to, nor read",
                    NAME_BYTES_MAX, SLICE_ARGS(real));
    const char *path = arena_printf(arena, "%.*s/%.*s", SLICE_ARGS(real), SLICE_ARGS(rest));
    TRY(file_look(path, &look, e));
    if (look.kind != FILE_NOTHING && look.kind != FILE_FOLDER)
        return fail(e, E_INVALID_INPUT, "%s is a link or a file, not the folder of a backup", path);
    *out = path;
    return OK;
}

Code backup_check_target(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *entries;
    size_t count;
    Code code = file_list(folder, 1, arena, &entries, &count, e);
    if (code == E_TOO_LARGE || (code == OK && count > 0))
        return fail(e, E_INVALID_OPERATION, "the folder %s is not empty", folder);
    return code == E_NOT_FOUND ? OK : code;
}

Code backup_check_source(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileLook look;
    TRY(file_look(folder, &look, e));
    if (look.kind == FILE_NOTHING)
        return fail(e, E_NOT_FOUND, "There is no backup %s", folder);
    if (!file_exists(arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, folder)))
        return fail(e, E_NOT_FOUND,
                    "%s is no complete backup: it has no file " BACKUP_MANIFEST_NAME, folder);
    return OK;
}

/* Makes the folder; E_INVALID_OPERATION when there is something in it. */
static Code make_empty(const char *folder, Error *e)
{
    TRY(file_make_folders(folder, 0700, e));
    return backup_check_target(folder, e);
}

/* ---- backup ---- */

/* What BACKUP says before it is a list (I3). */
static const char unfinished[] = "an unfinished backup, which nothing can be restored from\n";

Code backup__begin(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TRY(make_empty(folder, e));
    return file_write(arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, folder),
                      slice_of_text(unfinished), 0600, e);
}

void backup__tell(const BackupStop *stop, const char *format, ...)
{
    char text[160];
    va_list arguments;
    if (!stop->tell)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    stop->tell(stop->context, text);
}

typedef struct Backup {
    Database *source;
    Database *copy; /* of the checkpoint, to inspect */
    const char *folder;
    BackupStop stop;
    Arena *arena;
    const Table *table;
    uint64_t segments, segment_bytes; /* copied so far */
    BackupReport report;
} Backup;

static Code check_stop(const Backup *b, Error *e)
{
    if (b->stop.is_stopped && b->stop.is_stopped(b->stop.context))
        return fail(e, E_CANCELLED, "the backup was stopped");
    return OK;
}

static Code copy_segments(Backup *b, ReadView *view, Partition partition, Error *e)
{
    SegmentEntry *entries;
    size_t count;
    Slice folder;
    CLEANUP(buffer_done) Buffer name = {0};
    TRY(view_segments(view, partition, 0, UINT64_MAX, b->arena, &entries, &count, e));
    TRY(table__folder(b->copy, view_snapshot(view), b->table, partition, b->arena, &folder, e));
    const char *to = arena_printf(b->arena, "%s/storage/%.*s", b->folder, SLICE_ARGS(folder));
    TRY(file_make_folders(to, 0700, e));
    for (size_t i = 0; i < count; i++) {
        buffer_clear(&name);
        cold_segment_name(entries[i].batch, &name);
        const char *from =
            arena_printf(b->arena, "%s/%.*s/%.*s", database_storage_folder(b->source),
                         SLICE_ARGS(folder), SLICE_ARGS(buffer_slice(&name)));
        (void)throttle_take(database_throttle(b->source), 2 * entries[i].size_bytes,
                            b->stop.is_stopped, b->stop.context);
        TRY(check_stop(b, e));
        TRY(file_copy(from, arena_printf(b->arena, "%s/%.*s", to, SLICE_ARGS(buffer_slice(&name))),
                      0600, e));
        b->segments++;
        b->segment_bytes += entries[i].size_bytes;
        backup__tell(&b->stop, "Copied %llu segment(s), %llu bytes so far",
                     (unsigned long long)b->segments, (unsigned long long)b->segment_bytes);
    }
    return file_sync_folder(to, e);
}

static Code copy_partition(void *context, Partition partition, Error *e)
{
    Backup *b = (Backup *)context;
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    arena_reset(b->arena);
    TRY(view_open(b->copy, HOT_BLOCKING, &view, e));
    TRY(copy_segments(b, view, partition, e));
    return table__write_manifest(b->copy, b->table, partition, e);
}

static Code copy_tables(Backup *b, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table **tables;
    size_t count;
    Code code = OK;
    catalog_list_tables(database_catalog(b->copy), arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        b->table = tables[i];
        if (code == OK)
            code = table__each_partition(b->copy, HOT_SEGMENTS, tables[i], copy_partition, b, e);
        table_unref(tables[i]);
    }
    return code;
}

/* The first problem of a verification, for the error. */
typedef struct Found {
    BackupStop stop;
    Error first;
} Found;

static void keep_first(void *context, const char *text)
{
    Found *found = (Found *)context;
    if (found->first.code == OK)
        found->first.code = fail(&found->first, E_CORRUPT, "%s", text);
}

static bool is_stopped(void *context)
{
    const Found *found = (const Found *)context;
    return found->stop.is_stopped && found->stop.is_stopped(found->stop.context);
}

static Code verify(Database *db, BackupStop stop, uint64_t *out_seq, Error *e)
{
    Found found = {.stop = stop};
    VerifyReport report;
    VerifyOptions options = {.read_segments = true,
                             .on_problem = keep_first,
                             .is_stopped = is_stopped,
                             .context = &found};
    TRY(database_verify(db, &options, &report, e));
    if (report.problems)
        return fail(e, E_CORRUPT, "%llu problem(s), the first: %s",
                    (unsigned long long)report.problems, found.first.text);
    *out_seq = report.seq;
    return OK;
}

/* ---- the list ---- */

typedef struct Listing {
    const char *root;
    Arena *arena;
    Buffer files; /* BackupFile */
    BackupReport *report;
} Listing;

static Code list_folder(Listing *list, const char *relative, int depth, Error *e)
{
    FileEntry *entries;
    size_t count;
    if (depth == 0)
        return fail(e, E_TOO_LARGE, "%s/%s is nested too deeply", list->root, relative);
    const char *path = arena_printf(list->arena, "%s/%s", list->root, relative);
    TRY(file_list(path, ENTRIES_MAX, list->arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *below = arena_printf(list->arena, "%s/%s", relative, entries[i].name);
        if (entries[i].is_folder) {
            TRY(list_folder(list, below, depth - 1, e));
            continue;
        }
        BackupFile file = {.path = slice_of_text(below)};
        TRY(cold_file_checksum(arena_printf(list->arena, "%s/%s", list->root, below), &file.crc,
                               &file.bytes, e));
        buffer_add(&list->files, &file, sizeof file);
        list->report->files++;
        list->report->bytes += file.bytes;
    }
    return OK;
}

Code backup__write_list(const char *folder, const char *const *roots, bool is_namespace,
                        BackupReport *io_report, Error *e)
{
    CLEANUP(buffer_done) Buffer text = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Listing listing = {.root = folder, .arena = arena, .report = io_report};
    Code code = OK;
    for (; *roots && code == OK; roots++)
        code = list_folder(&listing, *roots, DEPTH_MAX, e);
    BackupList list = {
        .is_namespace = is_namespace,
        .seq = io_report->seq,
        .created_at_ms = clock_wall_ms(),
        .files = (BackupFile *)listing.files.data,
        .count = listing.files.size / sizeof(BackupFile),
    };
    if (code == OK) {
        backup_list_print(&list, &text);
        code = file_write(arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, folder),
                          buffer_slice(&text), 0600, e);
    }
    buffer_done(&listing.files);
    return code;
}

static Code copy_and_verify(Backup *b, Error *e)
{
    const char *storage = arena_printf(b->arena, "%s/storage", b->folder);
    TRY(file_make_folders(storage, 0700, e));
    TRY(hot_checkpoint(database_hot(b->source), arena_printf(b->arena, "%s/rocksdb", b->folder),
                       e)); /* I1 */
    TRY(check_stop(b, e));
    DatabaseOptions options = database_inspect_options(b->folder);
    TRY(database_open(&options, &b->copy, e));
    TRY(copy_tables(b, e));
    backup__tell(&b->stop, "Copied %llu segment(s), %llu bytes; reading them back",
                 (unsigned long long)b->segments, (unsigned long long)b->segment_bytes);
    return verify(b->copy, b->stop, &b->report.seq, e);
}

static Code pin_files(Database *db, uint64_t *out, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    *out = view_pin_files(view);
    return OK;
}

Code database_backup(Database *db, const char *folder, BackupStop stop, BackupReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Backup b = {.source = db, .folder = folder, .stop = stop, .arena = arena};
    uint64_t pin;
    TRY(backup_check_path(db, slice_of_text(folder), e));
    TRY(backup__begin(folder, e)); /* I3 */
    TRY(pin_files(db, &pin, e));   /* I2 */
    Code code = copy_and_verify(&b, e);
    view_unpin_files(db, pin);
    database_close(b.copy);
    if (code != OK)
        return code;
    static const char *const roots[] = {"rocksdb", "storage", NULL};
    TRY(backup__write_list(folder, roots, false, &b.report, e)); /* I3 */
    *out = b.report;
    return OK;
}

/* ---- restore ---- */

Code backup__read_list(const char *backup, Arena *arena, Slice *out_bytes, BackupList *out,
                       Error *e)
{
    const char *path = arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, backup);
    Code code = file_read(path, BACKUP_LIST_BYTES_MAX, arena, out_bytes, e);
    if (code == E_NOT_FOUND)
        return fail(e, E_NOT_FOUND,
                    "%s is no complete backup: it has no file " BACKUP_MANIFEST_NAME, backup);
    if (code != OK)
        return code;
    if (slice_equal(*out_bytes, slice_of_text(unfinished)))
        return fail(e, E_NOT_FOUND, "%s is no complete backup: it was not finished", backup);
    return backup_list_parse(*out_bytes, arena, out, e);
}

Code backup__check_file(const char *backup, const BackupFile *file, Arena *arena, Error *e)
{
    uint32_t crc;
    uint64_t bytes;
    TRY(cold_file_checksum(arena_printf(arena, "%s/%.*s", backup, SLICE_ARGS(file->path)), &crc,
                           &bytes, e));
    if (crc != file->crc || bytes != file->bytes)
        return fail(e, E_CORRUPT, "%.*s of the backup is damaged: its checksum does not match",
                    SLICE_ARGS(file->path));
    return OK;
}

static Code restore_file(const char *backup, const char *folder, const BackupFile *file,
                         Arena *arena, Error *e)
{
    const char *to = arena_printf(arena, "%s/%.*s", folder, SLICE_ARGS(file->path));
    char *above = arena_text(arena, slice_of_text(to));
    *strrchr(above, '/') = 0;
    TRY(file_make_folders(above, 0700, e));
    TRY(file_copy(arena_printf(arena, "%s/%.*s", backup, SLICE_ARGS(file->path)), to, 0600, e));
    return file_sync_folder(above, e);
}

/* Checks all files before anything is written. */
static Code restore_files(const char *backup, const char *folder, const BackupList *list, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (size_t i = 0; i < list->count; i++, arena_reset(arena))
        TRY(restore_file(backup, folder, &list->files[i], arena, e));
    TRY(file_make_folders(arena_printf(arena, "%s/storage", folder), 0700, e));
    return OK;
}

static Code verify_folder(const char *folder, uint64_t *out_seq, Error *e)
{
    Database *db = NULL;
    DatabaseOptions options = database_inspect_options(folder);
    TRY(database_open(&options, &db, e));
    Code code = verify(db, (BackupStop){0}, out_seq, e);
    database_close(db);
    return code;
}

static void put_seq(HotStore *store, HotBatch *batch, Slice key, uint64_t seq)
{
    char value[SEQ_BYTES];
    table__encode_u64(seq, value);
    hot_batch_put(batch, store, HOT_SYSTEM, key, slice_of(value, sizeof value));
}

/* I4 */
static Code mark(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotStore *store = NULL;
    DatabaseOptions options = database_inspect_options(folder);
    uint64_t floor = seq_at(clock_wall_us() + (int64_t)MARGIN_S * 1000000);
    TRY(hot_open(arena_printf(arena, "%s/rocksdb", folder), &options.hot, &store, e));
    HotBatch *batch = hot_batch_new();
    put_seq(store, batch, SYSTEM_KEY_FEED_FLOOR, floor);
    put_seq(store, batch, SYSTEM_KEY_LAST_SEQ, floor);
    put_seq(store, batch, SYSTEM_KEY_CEILING, floor);
    hot_batch_delete(batch, store, HOT_SYSTEM, SYSTEM_KEY_CLEAN);
    Code code = hot_write(store, batch, true, e);
    hot_batch_free(batch);
    hot_close(store);
    return code;
}

int64_t backup_restored_at_us(Database *db)
{
    uint64_t floor = database__feed_floor(db);
    return floor ? seq_time_us(floor) - (int64_t)MARGIN_S * 1000000 : 0;
}

bool backup_is_there(const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    return file_exists(arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, folder));
}

Code backup_check(const char *backup, const BackupTell *tell, BackupList *out, Arena *arena,
                  Error *e)
{
    CLEANUP(arena_free_ptr) Arena *paths = arena_new();
    Slice bytes;
    TRY(backup__read_list(backup, arena, &bytes, out, e));
    for (size_t i = 0; i < out->count; i++, arena_reset(paths)) {
        Error error = {0};
        if (backup__check_file(backup, &out->files[i], paths, &error) != OK)
            tell->on_problem(tell->context, error.text);
    }
    return OK;
}

Code backup_restore(const char *backup, const char *folder, BackupReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(arena_free_ptr) Arena *paths = arena_new();
    BackupList list;
    BackupReport report = {0};
    Slice bytes;
    TRY(backup__read_list(backup, arena, &bytes, &list, e));
    if (list.is_namespace)
        return fail(e, E_INVALID_INPUT,
                    "%s is the backup of a namespace; a running server takes it with RESTORE "
                    "DATABASE <namespace> FROM '<name>'",
                    backup);
    for (size_t i = 0; i < list.count; i++, arena_reset(paths)) {
        TRY(backup__check_file(backup, &list.files[i], paths, e));
        report.files++;
        report.bytes += list.files[i].bytes;
    }
    if (lies_in(real_path(slice_of_text(folder), arena), real_path(slice_of_text(backup), arena)))
        return fail(e, E_INVALID_INPUT, "%s lies in the backup", folder);
    TRY(make_empty(folder, e));
    const char *guard = arena_printf(arena, "%s/" BACKUP_MANIFEST_NAME, folder);
    TRY(file_write(guard, bytes, 0600, e)); /* I3 */
    TRY(restore_files(backup, folder, &list, e));
    TRY(verify_folder(folder, &report.seq, e));
    if (report.seq != list.seq)
        return fail(e, E_CORRUPT, "the backup is of commit %llu, its list says %llu",
                    (unsigned long long)report.seq, (unsigned long long)list.seq);
    TRY(mark(folder, e));
    TRY(file_remove(guard, e));
    TRY(file_sync_folder(folder, e));
    *out = report;
    return OK;
}
