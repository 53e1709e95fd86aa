/* SPDX-License-Identifier: Apache-2.0
 *
 * The scenes: export, backup and restore of a server and of a namespace, erasing users, dropping a
 * table and making it again, dropping a namespace, events of a stream. Each starts from the same
 * folder: rows of three users in both tiers, some replaced, some deleted.
 *
 * After every scene, whatever call failed: the rows of the others are exactly what they were,
 * everything verifies, no file is left that nothing names, and what was acknowledged is there
 * whole; what was not is there whole or not at all.
 */
#include "keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/table/fixture.h"
#include "../unit/test.h"
#include "data/row.h"
#include "os/clock.h"
#include "os/file.h"
#include "table/backup.h"
#include "table/compact.h"
#include "table/erase.h"
#include "table/export.h"
#include "table/verify.h"

#define CANARY "canary-71bd90"
#define CAROLS "canary-c4a201"
enum { PATH_BYTES = 1024, EVENTS = 40 };

const char *keep_path(const char *disk, const char *name)
{
    static char paths[8][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_BYTES, "%s/%s", disk, name);
    return path;
}

/* ---- under fault: every call may fail ---- */

static Code open_database(const char *folder, Database **out, Error *e)
{
    DatabaseOptions options = {
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1},
        .feed_window_s = 86400,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    return database_open(&options, out, e);
}

Code keep_find_user(Database *db, const char *name, Arena *arena, User *out, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(db));
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, slice_of_text(name), arena, out, e);
    hot_snapshot_free(snapshot);
    return code;
}

static Code commit_change(Database *db, CatalogChange *change, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
    intent_set_catalog_change(intent, change);
    intent->durable = true;
    return database_commit(db, intent, e);
}

/* What a start does before anything else. */
Code keep_sweep(Database *db, Error *e)
{
    uint32_t removed;
    bool more = true;
    TRY(flush_sweep(db, NULL, &removed, e));
    TRY(flush_purge_dropped(db, NULL, e));
    TRY(export_sweep(db, &removed, e));
    Obsolete *obsolete = obsolete_new(db);
    Code code = OK;
    while (more && code == OK)
        code = obsolete_remove(obsolete, &more, e);
    obsolete_free(obsolete);
    return code;
}

bool keep_act(const char *disk, Act *run)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = NULL;
    Error error = {0};
    Code code = open_database(keep_path(disk, "data"), &db, &error);
    if (code == OK)
        code = keep_sweep(db, &error);
    if (code == OK)
        code = run(db, disk, arena, &error);
    database_close(db);
    return code == OK;
}

/* ---- without ---- */

static Database *open_sound(const char *folder)
{
    Database *db = NULL;
    Error error = {0};
    Code code = open_database(folder, &db, &error);
    if (code != OK)
        test_failed(__FILE__, __LINE__, "the database does not open: %s", error.text);
    return db;
}

static void tell(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "    %s\n", text);
}

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* Counts the Parquet files; CHECKs that no temporary file is there. */
static uint64_t count_files(const char *folder, Arena *arena)
{
    FileEntry *entries;
    size_t count;
    uint64_t found = 0;
    if (!file_exists(folder))
        return 0;
    CHECK_OK(file_list(folder, 100000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(arena, "%s/%s", folder, entries[i].name);
        if (ends_with(path, ".part") || ends_with(path, ".tmp") || strstr(path, "/.") ||
            strstr(path, "storage/export"))
            test_failed(__FILE__, __LINE__, "%s is left over", path);
        found += entries[i].is_folder ? count_files(path, arena) : ends_with(path, ".parquet");
    }
    return found;
}

static void check_sound(Database *db, const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    VerifyReport report;
    VerifyOptions options = {.read_segments = true, .on_problem = tell};
    CHECK_OK(database_verify(db, &options, &report, e));
    CHECK_INT(report.problems, 0);
    CHECK_INT(count_files(arena_printf(arena, "%s/storage", folder), arena), report.segments);
    (void)count_files(arena_printf(arena, "%s/exports", folder), arena);
}

/* "1=x 2=y " : the rows of a user in a table. */
const char *keep_rows(Database *db, const char *space, const char *name, const char *user,
                      Arena *arena)
{
    Fixture f = {.db = db};
    User found = {0};
    f.table = catalog_find_table(database_catalog(db), slice_of_text(space), slice_of_text(name));
    CHECK(f.table);
    CHECK_OK(keep_find_user(db, user, arena, &found, e));
    f.partition = (Partition){f.table->id, found.id};
    const char *rows = arena_text(arena, slice_of_text(fixture_rows(&f, arena)));
    table_unref(f.table);
    return rows;
}

static const char *const alices =
    "1=x 2=x 5=x 6=x 7=x 8=x 9=x 10=x 11=y 12=y 13=y 14=y 15=y 3=changed 16=hot ";
static const char *const bobs =
    "1=" CANARY " 3=" CANARY " 4=" CANARY " 2=" CANARY " again 5=" CANARY " hot ";
static const char *const carols = "1=" CAROLS " 2=" CAROLS " hot ";

/* The database of a folder: what the scene was not about is as it was. NULL: the start was
 * refused. */
Database *keep_open_checked(const char *folder, bool has_bob)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = open_sound(folder);
    if (!db)
        return NULL;
    CHECK_OK(keep_sweep(db, e));
    check_sound(db, folder);
    CHECK_TEXT(keep_rows(db, "app", "t", "alice", arena), alices);
    if (has_bob) {
        CHECK_TEXT(keep_rows(db, "app", "t", "bob", arena), bobs);
        CHECK_TEXT(keep_rows(db, "app", "t", "carol", arena), carols);
    }
    return db;
}

/* ---- export ---- */

static Code run_export(Database *db, const char *disk, Arena *arena, Error *e)
{
    User alice;
    ExportReport report;
    (void)disk;
    TRY(keep_find_user(db, "alice", arena, &alice, e));
    return database_export_user(db, alice.id, "UE-1", (BackupStop){0}, &report, e);
}

static bool export_run(const char *disk)
{
    return keep_act(disk, run_export);
}

/* The archive is whole: its directory comes last, and names five files. */
static void check_zip(const char *path, Arena *arena)
{
    Slice bytes;
    CHECK_OK(file_read(path, 1 << 26, arena, &bytes, e));
    CHECK(bytes.size > 22 && memcmp(bytes.data, "PK\3\4", 4) == 0);
    const char *end = bytes.data + bytes.size - 22;
    CHECK(memcmp(end, "PK\5\6", 4) == 0 && end[10] == 5 && end[11] == 0);
}

static void check_export(const char *folder, Arena *arena)
{
    FileEntry *entries;
    size_t count;
    Slice json;
    CHECK_OK(file_list(folder, 10, arena, &entries, &count, e));
    CHECK_INT(count, 5);
    CHECK_OK(file_read(arena_printf(arena, "%s/manifest.json", folder), 1 << 20, arena, &json, e));
    CHECK(strstr(arena_text(arena, json), "\"file\":\"app.t.parquet\",\"rows\":15"));
}

static void export_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    const char *zip;
    Error error;
    if (!db)
        return;
    bool is_there = export_zip_path(db, SLICE("alice"), SLICE("UE-1"), arena, &zip, &error) == OK;
    CHECK(is_there || !acknowledged);
    const char *exports = keep_path(disk, "data/exports/alice");
    if (is_there) {
        check_zip(zip, arena);
        check_export(arena_printf(arena, "%s/UE-1", exports), arena);
    }
    CHECK(file_exists(arena_printf(arena, "%s/UE-1", exports)) == is_there);
    CHECK(file_exists(arena_printf(arena, "%s/UE-1.zip", exports)) == is_there);
    database_close(db);
}

/* ---- backups ---- */

static Code run_backup(Database *db, const char *disk, Arena *arena, Error *e)
{
    BackupReport report;
    return database_backup(db, arena_printf(arena, "%s/backups/new", disk), (BackupStop){0},
                           &report, e);
}

static bool server_backup_run(const char *disk)
{
    return keep_act(disk, run_backup);
}

static bool is_backup(const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice text;
    return file_read(arena_printf(arena, "%s/BACKUP", folder), 1 << 20, arena, &text, NULL) == OK &&
           slice_starts_with(text, SLICE("kalamdb "));
}

/* A backup with its list is whole: it restores to the same rows. */
static void server_backup_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    BackupReport report;
    const char *backup = arena_printf(arena, "%s/backups/new", disk);
    const char *restored = arena_printf(arena, "%s/restored", disk);
    bool is_one = is_backup(backup);
    CHECK(is_one || !acknowledged);
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    database_close(db);
    if (!is_one) {
        Error error;
        CHECK(backup_restore(backup, restored, &report, &error) != OK);
        return;
    }
    CHECK_OK(backup_restore(backup, restored, &report, e));
    database_close(keep_open_checked(restored, true));
}

static Code run_space_backup(Database *db, const char *disk, Arena *arena, Error *e)
{
    BackupReport report;
    return database_backup_namespace(db, SLICE("app"), arena_printf(arena, "%s/backups/new", disk),
                                     (BackupStop){0}, &report, e);
}

static bool space_backup_run(const char *disk)
{
    return keep_act(disk, run_space_backup);
}

static void check_copy(Database *db, const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CHECK_TEXT(keep_rows(db, "copy", "t", "alice", arena), alices);
    CHECK_TEXT(keep_rows(db, "copy", "t", "bob", arena), bobs);
    check_sound(db, folder);
}

static void space_backup_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    BackupReport report;
    Error error;
    const char *backup = arena_printf(arena, "%s/backups/new", disk);
    const char *data = arena_printf(arena, "%s/data", disk);
    bool is_one = is_backup(backup);
    CHECK(is_one || !acknowledged);
    Database *db = keep_open_checked(data, true);
    if (!db)
        return;
    Code code =
        database_restore_namespace(db, backup, SLICE("copy"), (BackupStop){0}, &report, &error);
    CHECK((code == OK) == is_one);
    if (is_one)
        check_copy(db, data);
    database_close(db);
}

/* ---- restores ---- */

static Code run_space_restore(Database *db, const char *disk, Arena *arena, Error *e)
{
    BackupReport report;
    return database_restore_namespace(db, arena_printf(arena, "%s/backups/space", disk),
                                      SLICE("copy"), (BackupStop){0}, &report, e);
}

static bool space_restore_run(const char *disk)
{
    return keep_act(disk, run_space_restore);
}

static void space_restore_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *data = arena_printf(arena, "%s/data", disk);
    Database *db = keep_open_checked(data, true);
    if (!db)
        return;
    bool is_there = catalog_has_namespace(database_catalog(db), SLICE("copy"));
    CHECK(is_there || !acknowledged);
    if (!is_there) {
        CHECK(!file_exists(
            arena_printf(arena, "%s/storage/user/alice/copy/t/batch-0.parquet", data)));
        CHECK_OK(run_space_restore(db, disk, arena, e)); /* nothing is in its way */
    }
    check_copy(db, data);
    database_close(db);
}

static bool server_restore_run(const char *disk)
{
    BackupReport report;
    Error error;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    return backup_restore(arena_printf(arena, "%s/backups/whole", disk),
                          arena_printf(arena, "%s/restored", disk), &report, &error) == OK;
}

static void server_restore_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *restored = arena_printf(arena, "%s/restored", disk);
    BackupReport report;
    Database *db = NULL;
    Error error;
    bool is_whole = file_exists(arena_printf(arena, "%s/rocksdb/CURRENT", restored)) &&
                    !file_exists(arena_printf(arena, "%s/BACKUP", restored));
    CHECK(is_whole || !acknowledged);
    if (is_whole) {
        database_close(keep_open_checked(restored, true));
        return;
    }
    if (file_exists(arena_printf(arena, "%s/BACKUP", restored)))
        CHECK(open_database(restored, &db, &error) != OK); /* refused */
    CHECK_OK(file_remove_tree(restored, 8, e));
    CHECK_OK(backup_restore(arena_printf(arena, "%s/backups/whole", disk), restored, &report, e));
    database_close(keep_open_checked(restored, true));
}

/* ---- erasing ---- */

enum { LEAVING = 2 };
static const struct {
    const char *name, *canary;
    const char *const *rows;
} leaving[LEAVING] = {{"bob", CANARY, &bobs}, {"carol", CAROLS, &carols}};

static Code drop_user(Database *db, const char *name, Arena *arena, Error *e)
{
    User user;
    CatalogChange *change;
    TRY(keep_find_user(db, name, arena, &user, e));
    if (user.deleted_at_us)
        return OK;
    user.deleted_at_us = 1;
    TRY(catalog_plan_put_user(database_catalog(db), &user, &change, e));
    return commit_change(db, change, e);
}

static Code run_erase(Database *db, const char *disk, Arena *arena, Error *e)
{
    EraseTask tasks[LEAVING];
    (void)disk;
    for (int i = 0; i < LEAVING; i++) {
        TRY(drop_user(db, leaving[i].name, arena, e));
        tasks[i] = (EraseTask){.user_id = slice_of_text(leaving[i].name)};
    }
    database_erase_users(db, &(EraseBatch){tasks, LEAVING, clock_wall_us(), NULL});
    for (int i = 0; i < LEAVING; i++) {
        if (tasks[i].code != OK)
            return fail(e, tasks[i].code, "%s", tasks[i].error.text);
    }
    return OK;
}

static bool erase_run(const char *disk)
{
    return keep_act(disk, run_erase);
}

static void check_no_canary(const char *folder, const char *canary, Arena *arena)
{
    FileEntry *entries;
    size_t count;
    CHECK_OK(file_list(folder, 100000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(arena, "%s/%s", folder, entries[i].name);
        Slice bytes;
        if (entries[i].is_folder) {
            check_no_canary(path, canary, arena);
            continue;
        }
        CHECK_OK(file_read(path, 1 << 28, arena, &bytes, e));
        if (bytes.size && memmem(bytes.data, bytes.size, canary, strlen(canary)))
            test_failed(__FILE__, __LINE__, "%s holds what was erased", path);
    }
}

/* Whoever counts as erased is in no file, whatever became of the others. */
static void find_erasures(const char *data, Erasure out[LEAVING], Arena *arena)
{
    Database *db = open_sound(data);
    CHECK_OK(keep_sweep(db, e));
    for (int i = 0; i < LEAVING; i++) {
        User user;
        CHECK_OK(keep_find_user(db, leaving[i].name, arena, &user, e));
        out[i] = user.erasure;
    }
    database_close(db);
    for (int i = 0; i < LEAVING; i++) {
        if (out[i] == ERASURE_DONE)
            check_no_canary(data, leaving[i].canary, arena);
    }
}

/* The job goes on. While it is under way files may lie in the users' folders, which go whole. */
static void erase_rest(const char *disk, const char *data, const Erasure *before, Arena *arena)
{
    Database *db = open_sound(data);
    bool is_begun = false;
    CHECK_OK(keep_sweep(db, e));
    for (int i = 0; i < LEAVING; i++) {
        is_begun |= before[i] != ERASURE_NONE;
        if (before[i] == ERASURE_NONE)
            CHECK_TEXT(keep_rows(db, "app", "t", leaving[i].name, arena), *leaving[i].rows);
    }
    if (!is_begun)
        check_sound(db, data);
    CHECK_OK(run_erase(db, disk, arena, e));
    database_close(db);
}

static void erase_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *data = arena_printf(arena, "%s/data", disk);
    Erasure before[LEAVING];
    find_erasures(data, before, arena);
    for (int i = 0; i < LEAVING; i++)
        CHECK(before[i] == ERASURE_DONE || !acknowledged);
    erase_rest(disk, data, before, arena);
    Database *db = keep_open_checked(data, false);
    for (int i = 0; i < LEAVING; i++) {
        CHECK_TEXT(keep_rows(db, "app", "t", leaving[i].name, arena), "");
        CHECK(!file_exists(arena_printf(arena, "%s/storage/user/%s", data, leaving[i].name)));
    }
    check_sound(db, data);
    database_close(db);
    for (int i = 0; i < LEAVING; i++)
        check_no_canary(data, leaving[i].canary, arena);
}

/* ---- a table that goes and comes again ---- */

static Code create_table(Database *db, const char *name, TableKind kind, Error *e)
{
    CatalogChange *change;
    Column columns[] = {
        {.field_id = 1,
         .name = SLICE("id"),
         .type = TYPE_BIGINT,
         .not_null = true,
         .primary_key = true},
        {.field_id = 2, .name = SLICE("v"), .type = TYPE_TEXT},
    };
    Schema schema = {
        .version = 1, .column_count = 2, .key_index = 0, .next_field_id = 3, .columns = columns};
    Table definition = {.namespace_name = SLICE("tmp"),
                        .name = slice_of_text(name),
                        .kind = kind,
                        .durable = kind != TABLE_STREAM,
                        .ttl_s = kind == TABLE_STREAM ? 3600 : 0,
                        .created_at_us = clock_wall_us(),
                        .schema = &schema};
    TRY(catalog_plan_create_table(database_catalog(db), &definition, &change, e));
    return commit_change(db, change, e);
}

static Code insert(Database *db, Table *table, uint64_t user, int64_t id, const char *text,
                   Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
    CLEANUP(buffer_done) Buffer row = {0};
    CLEANUP(buffer_done) Buffer key = {0};
    Value values[] = {value_integer(TYPE_BIGINT, id), value_text(slice_of_text(text))};
    row_encode(table->schema, values, &row);
    TRY(key_encode(&values[0], &key, e));
    RowChange change = {
        .kind = CHANGE_INSERT, .key = buffer_slice(&key), .new_row = buffer_slice(&row)};
    TRY(intent_add(intent, intent_part(intent, table, (Partition){table->id, user}), &change, e));
    intent->durable = table->durable;
    return database_commit(db, intent, e);
}

static Table *find(Database *db, const char *name)
{
    return catalog_find_table(database_catalog(db), SLICE("tmp"), slice_of_text(name));
}

static Code fill_again(Database *db, Arena *arena, Error *e)
{
    CLEANUP(table_unref_ptr) Table *table = find(db, "d");
    User alice;
    uint64_t rows;
    TRY(keep_find_user(db, "alice", arena, &alice, e));
    TRY(insert(db, table, alice.id, 1, "new", e));
    TRY(flush_partition(db, table, (Partition){table->id, alice.id}, &rows, e));
    return insert(db, table, alice.id, 2, "new too", e);
}

static Code run_again(Database *db, const char *disk, Arena *arena, Error *e)
{
    CatalogChange *change;
    (void)disk;
    CLEANUP(table_unref_ptr) Table *table = find(db, "d");
    TRY(catalog_plan_drop_table(database_catalog(db), table, &change, e));
    TRY(commit_change(db, change, e));
    TRY(create_table(db, "d", TABLE_USER, e));
    TRY(flush_purge_dropped(db, NULL, e));
    return fill_again(db, arena, e);
}

static bool again_run(const char *disk)
{
    return keep_act(disk, run_again);
}

/* The old table, no table, or the new one with as many of its rows as came. */
static void again_check(const char *disk, bool acknowledged)
{
    static const char *const fair[] = {"1=old 2=old 3=old 4=old ", "", "1=new ",
                                       "1=new 2=new too "};
    enum { FAIR = sizeof fair / sizeof *fair };
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    if (!db)
        return;
    CLEANUP(table_unref_ptr) Table *table = find(db, "d");
    const char *rows = table ? keep_rows(db, "tmp", "d", "alice", arena) : "";
    bool is_fair = false;
    for (int i = 0; i < FAIR; i++)
        is_fair = is_fair || strcmp(rows, fair[i]) == 0;
    if (!is_fair || (acknowledged && strcmp(rows, fair[FAIR - 1]) != 0))
        test_failed(__FILE__, __LINE__, "the table holds %s", rows);
    database_close(db);
}

/* ---- dropping a namespace ---- */

static Code run_space_drop(Database *db, const char *disk, Arena *arena, Error *e)
{
    CatalogChange *change;
    (void)disk;
    (void)arena;
    TRY(catalog_plan_drop_namespace(database_catalog(db), SLICE("tmp"), true, &change, e));
    TRY(commit_change(db, change, e));
    return flush_purge_dropped(db, NULL, e);
}

static bool space_drop_run(const char *disk)
{
    return keep_act(disk, run_space_drop);
}

/* The namespace with both of its tables and their rows, or nothing of it. */
static void space_drop_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    if (!db)
        return;
    CLEANUP(table_unref_ptr) Table *table = find(db, "d");
    CLEANUP(table_unref_ptr) Table *stream = find(db, "s");
    bool is_there = catalog_has_namespace(database_catalog(db), SLICE("tmp"));
    CHECK(!is_there || !acknowledged);
    CHECK(is_there == (table != NULL));
    CHECK(is_there == (stream != NULL));
    if (is_there) {
        CHECK_TEXT(keep_rows(db, "tmp", "d", "alice", arena), "1=old 2=old 3=old 4=old ");
        CHECK_TEXT(keep_rows(db, "tmp", "s", "alice", arena), "1=old 2=old ");
    }
    database_close(db);
}

/* ---- events ---- */

static Code run_events(Database *db, const char *disk, Arena *arena, Error *e)
{
    User alice;
    (void)disk;
    CLEANUP(table_unref_ptr) Table *table = find(db, "s");
    TRY(keep_find_user(db, "alice", arena, &alice, e));
    for (int i = 0; i < EVENTS; i++) {
        TRY(insert(db, table, alice.id, 100 + i, "event", e));
        if (i % 10 == 9)
            TRY(hot_flush(database_hot(db), e));
    }
    TRY(flush_trim(db, (Partition){table->id, alice.id}, e));
    return hot_flush(database_hot(db), e);
}

static bool events_run(const char *disk)
{
    return keep_act(disk, run_events);
}

/* Events are acknowledged before they are synced: the last ones may be gone, never one in
 * between. */
static void events_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer prefix = {0};
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    if (!db)
        return;
    const char *rows = keep_rows(db, "tmp", "s", "alice", arena);
    buffer_add_text(&prefix, "1=old 2=old ");
    for (int i = 0; i < EVENTS && prefix.size < strlen(rows); i++)
        buffer_printf(&prefix, "%d=event ", 100 + i);
    CHECK_SLICE(slice_of_text(rows), buffer_slice(&prefix));
    CHECK(!acknowledged || strstr(rows, "139=event"));
    database_close(db);
}

const Scene scenes[] = {
    {"start", start_run, start_check},
    {"commits", commits_run, commits_check},
    {"flush", flush_run, flush_check},
    {"compaction", compact_run, compact_check},
    {"export", export_run, export_check},
    {"backup of the server", server_backup_run, server_backup_check},
    {"backup of a namespace", space_backup_run, space_backup_check},
    {"restore of a namespace", space_restore_run, space_restore_check},
    {"restore of the server", server_restore_run, server_restore_check},
    {"erasing users", erase_run, erase_check},
    {"a table dropped and made again", again_run, again_check},
    {"a namespace dropped with its tables", space_drop_run, space_drop_check},
    {"events of a stream", events_run, events_check},
};
const size_t scene_count = sizeof scenes / sizeof *scenes;

/* ---- the start of all ---- */

static void flush(Fixture *f)
{
    uint64_t rows;
    CHECK_OK(flush_partition(f->db, f->table, f->partition, &rows, e));
}

static void fill_users(Fixture *f)
{
    for (int i = 1; i <= 10; i++)
        fixture_put(f, i, "x");
    flush(f);
    for (int i = 11; i <= 15; i++)
        fixture_put(f, i, "y");
    flush(f);
    fixture_put(f, 3, "changed");
    fixture_delete(f, 4);
    fixture_put(f, 16, "hot");
    f->partition = fixture_partition(f, "bob");
    for (int i = 1; i <= 4; i++)
        fixture_put(f, i, CANARY);
    flush(f);
    fixture_put(f, 2, CANARY " again");
    fixture_put(f, 5, CANARY " hot");
    fixture_put(f, 6, CANARY " deleted");
    fixture_delete(f, 6);
    f->partition = fixture_partition(f, "carol");
    fixture_put(f, 1, CAROLS);
    flush(f);
    fixture_put(f, 2, CAROLS " hot");
}

static void fill_tables(Fixture *f)
{
    CatalogChange *change;
    uint64_t rows;
    CHECK_OK(catalog_plan_create_namespace(database_catalog(f->db), SLICE("tmp"), 1, &change, e));
    CHECK_OK(commit_change(f->db, change, e));
    CHECK_OK(create_table(f->db, "d", TABLE_USER, e));
    CHECK_OK(create_table(f->db, "s", TABLE_STREAM, e));
    uint64_t alice = fixture_partition(f, "alice").user;
    CLEANUP(table_unref_ptr) Table *d = find(f->db, "d");
    CLEANUP(table_unref_ptr) Table *s = find(f->db, "s");
    for (int i = 1; i <= 3; i++)
        CHECK_OK(insert(f->db, d, alice, i, "old", e));
    CHECK_OK(flush_partition(f->db, d, (Partition){d->id, alice}, &rows, e));
    CHECK_OK(insert(f->db, d, alice, 4, "old", e));
    for (int i = 1; i <= 2; i++)
        CHECK_OK(insert(f->db, s, alice, i, "old", e));
}

void scenes_prepare(const char *disk)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *data = arena_printf(arena, "%s/data", disk);
    Fixture f;
    BackupReport report;
    fixture_open(&f, data, TABLE_USER);
    fill_users(&f);
    fill_tables(&f);
    CHECK_OK(file_make_folders(arena_printf(arena, "%s/backups", disk), 0700, e));
    CHECK_OK(database_backup(f.db, arena_printf(arena, "%s/backups/whole", disk), (BackupStop){0},
                             &report, e));
    CHECK_OK(database_backup_namespace(f.db, SLICE("app"),
                                       arena_printf(arena, "%s/backups/space", disk),
                                       (BackupStop){0}, &report, e));
    fixture_close(&f);
    database_close(keep_open_checked(data, true));
    start_prepare(disk);
}
