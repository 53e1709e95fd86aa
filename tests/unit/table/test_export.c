/* SPDX-License-Identifier: Apache-2.0
 *
 * Export of a user: both tiers at one commit, only what lives, only theirs, whole or not at all.
 */
#include <duckdb.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"
#include "data/row.h"
#include "fixture.h"
#include "os/clock.h"
#include "os/file.h"
#include "table/export.h"

TEST("an export lacks a row of a tier, or holds one that was deleted or replaced")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    FileEntry *entries;
    size_t count;
    Slice json;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    for (int i = 1; i <= 20; i++)
        fixture_put(&f, i, "x");
    fixture_flush(&f);
    for (int i = 21; i <= 25; i++)
        fixture_put(&f, i, "x");
    fixture_flush(&f);
    fixture_put(&f, 3, "changed"); /* the old version stays in the segment */
    fixture_delete(&f, 4);
    fixture_delete(&f, 25);
    fixture_put(&f, 26, "hot");
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_INT(report.rows, 24);
    CHECK_INT(report.tables, 1);
    CHECK(report.seq == database_last_seq(f.db));
    const char *whole = arena_printf(arena, "%s/exports/alice/UE-1", folder);
    CHECK_OK(file_list(whole, 100, arena, &entries, &count, e));
    CHECK_INT(count, 3);
    CHECK_OK(file_read(arena_printf(arena, "%s/manifest.json", whole), 1 << 20, arena, &json, e));
    CHECK(strstr(arena_text(arena, json), "\"rows\":24"));
    CHECK_OK(file_read(arena_printf(arena, "%s/schema.json", whole), 1 << 20, arena, &json, e));
    CHECK(strstr(arena_text(arena, json),
                 "\"name\":\"id\",\"type\":\"BIGINT\",\"nullable\":false,\"primary_key\":true"));
    CHECK(!file_exists(arena_printf(arena, "%s/storage/export/UE-1", folder)));
    CHECK(!file_exists(arena_printf(arena, "%s.part", whole)));
    CHECK(file_exists(arena_printf(arena, "%s.zip", whole)));
    CHECK(!file_exists(arena_printf(arena, "%s.zip.part", whole)));
    CHECK_CODE(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e),
               E_ALREADY_EXISTS);
    fixture_close(&f);
    arena_free(arena);
}

TEST("somebody without rows gets a folder, or the rows of another")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    Partition bob = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "alice's");
    CHECK_OK(database_export_user(f.db, bob.user, "UE-2", (BackupStop){0}, &report, e));
    CHECK_INT(report.rows, 0);
    CHECK_INT(report.tables, 0);
    CHECK(!file_exists(arena_printf(arena, "%s/exports/bob/UE-2", folder)));
    CHECK(!file_exists(arena_printf(arena, "%s/exports/bob/UE-2.part", folder)));
    CHECK_CODE(database_export_user(f.db, 4711, "UE-3", (BackupStop){0}, &report, e), E_NOT_FOUND);
    fixture_close(&f);
    arena_free(arena);
}

/* One value of a query, by DuckDB as it comes. */
static int64_t ask(const char *sql)
{
    duckdb_database db;
    duckdb_connection connection;
    duckdb_result result;
    CHECK(duckdb_open(NULL, &db) == DuckDBSuccess);
    CHECK(duckdb_connect(db, &connection) == DuckDBSuccess);
    bool ok = duckdb_query(connection, sql, &result) == DuckDBSuccess;
    if (!ok)
        test_failed(__FILE__, __LINE__, "%s", duckdb_result_error(&result));
    int64_t value = duckdb_value_int64(&result, 0, 0);
    duckdb_destroy_result(&result);
    duckdb_disconnect(&connection);
    duckdb_close(&db);
    return value;
}

TEST("DuckDB does not read an export of several tables by one glob, or reads other rows")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    Column columns[] = {
        {.name = SLICE("id"),
         .type = TYPE_TEXT,
         .field_id = 1,
         .not_null = true,
         .primary_key = true},
        {.name = SLICE("more"), .type = TYPE_DOUBLE, .field_id = 2},
    };
    Schema schema = {
        .version = 1, .columns = columns, .column_count = 2, .key_index = 0, .next_field_id = 3};
    Table other = {.namespace_name = SLICE("app"),
                   .name = SLICE("other"),
                   .kind = TABLE_USER,
                   .durable = true,
                   .schema = &schema};
    CatalogChange *change;
    CHECK_OK(catalog_plan_create_table(database_catalog(f.db), &other, &change, e));
    Intent *intent = intent_new(database_last_seq(f.db));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f.db, intent, e));
    intent_unref(intent);
    for (int i = 1; i <= 10; i++)
        fixture_put(&f, i, "x");
    fixture_flush(&f);
    fixture_delete(&f, 2);
    Table *table = catalog_find_table(database_catalog(f.db), other.namespace_name, other.name);
    Value values[] = {value_text(SLICE("k")), {.type = TYPE_DOUBLE, .real = 2.5}};
    CLEANUP(buffer_done) Buffer row = {0};
    CLEANUP(buffer_done) Buffer key = {0};
    row_encode(table->schema, values, &row);
    CHECK_OK(key_encode(&values[0], &key, e));
    Partition partition = {table->id, f.partition.user};
    intent = intent_new(database_last_seq(f.db));
    RowChange insert = {
        .kind = CHANGE_INSERT, .key = buffer_slice(&key), .new_row = buffer_slice(&row)};
    CHECK_OK(intent_add(intent, intent_part(intent, table, partition), &insert, e));
    CHECK_OK(database_commit(f.db, intent, e));
    intent_unref(intent);
    table_unref(table);
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_INT(report.tables, 2);
    const char *glob = arena_printf(arena, "%s/exports/alice/UE-1/*.parquet", folder);
    CHECK_INT(ask(arena_printf(
                  arena, "SELECT count(*) FROM read_parquet('%s', union_by_name = true)", glob)),
              10);
    CHECK_INT(
        ask(arena_printf(arena,
                         "SELECT count(*) FROM read_parquet('%s', union_by_name = true, "
                         "filename = true) WHERE filename LIKE '%%app.t.parquet' AND id = '2'",
                         glob)),
        0);
    CHECK_INT(ask(arena_printf(arena, "SELECT count(*) FROM '%s/exports/alice/UE-1/app.t.parquet'",
                               folder)),
              9);
    fixture_close(&f);
    arena_free(arena);
}

/* As a commit does, but memory only: what a view that was opened before does not know of. */
static void apply(Fixture *f, CatalogChange *change)
{
    catalog_change_apply(database_catalog(f->db), change);
    catalog_change_free(change);
}

TEST("a table that is dropped or made while an export opens its view is missing, or too many")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    CatalogChange *change;
    Slice json;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "x");
    fixture_flush(&f);
    fixture_put(&f, 2, "x");
    Table later = *f.table;
    later.name = SLICE("later");
    CHECK_OK(catalog_plan_create_table(database_catalog(f.db), &later, &change, e));
    apply(&f, change);
    CHECK_OK(catalog_plan_drop_table(database_catalog(f.db), f.table, &change, e));
    apply(&f, change);
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_INT(report.rows, 2);
    const char *path = arena_printf(arena, "%s/exports/alice/UE-1/schema.json", folder);
    CHECK_OK(file_read(path, 1 << 20, arena, &json, e));
    CHECK(strstr(arena_text(arena, json), "\"table\":\"t\""));
    CHECK(!strstr(arena_text(arena, json), "\"table\":\"later\""));
    fixture_close(&f);
    arena_free(arena);
}

TEST("a column that is renamed while an export opens its view has its new name")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    CatalogChange *change;
    Slice json;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "x");
    fixture_flush(&f);
    Table next = *f.table;
    Column columns[] = {f.table->schema->columns[0], f.table->schema->columns[1]};
    Schema schema = *f.table->schema;
    schema.version++;
    schema.columns = columns;
    columns[1].name = SLICE("renamed");
    next.schema = &schema;
    CHECK_OK(catalog_plan_alter_table(database_catalog(f.db), f.table, &next, false, &change, e));
    apply(&f, change);
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_INT(report.rows, 1);
    const char *path = arena_printf(arena, "%s/exports/alice/UE-1/schema.json", folder);
    CHECK_OK(file_read(path, 1 << 20, arena, &json, e));
    CHECK(strstr(arena_text(arena, json), "\"name\":\"v\""));
    fixture_close(&f);
    arena_free(arena);
}

static Code find(Fixture *f, const char *user, const char *name, Arena *arena, Error *e)
{
    const char *path;
    return export_zip_path(f->db, slice_of_text(user), slice_of_text(name), arena, &path, e);
}

TEST("an archive is handed out under a name that no export has, or while its folder is not whole")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "x");
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_OK(find(&f, "alice", "UE-1", arena, e));
    static const char *const wrong[] = {"",       "UE-2", "UE-1.zip", "../alice/UE-1", "UE-1/x",
                                        "UE-1\n", ".",    "..",       "UE-1%2F..",     "ue-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_CODE(find(&f, "alice", wrong[i], arena, e), E_NOT_FOUND);
    CHECK_CODE(find(&f, "bob", "UE-1", arena, e), E_NOT_FOUND);
    CHECK_CODE(find(&f, "../exports/alice", "UE-1", arena, e), E_NOT_FOUND);
    CHECK_CODE(find(&f, "", "UE-1", arena, e), E_NOT_FOUND);
    const char *whole = arena_printf(arena, "%s/exports/alice/UE-1", folder);
    CHECK_OK(file_rename(whole, arena_printf(arena, "%s.part", whole), e));
    CHECK_CODE(find(&f, "alice", "UE-1", arena, e), E_NOT_FOUND);
    uint32_t removed = 0;
    CHECK_OK(export_sweep(f.db, &removed, e));
    CHECK_INT(removed, 2);
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice", folder)));
    fixture_close(&f);
    arena_free(arena);
}

TEST("an export goes before its time, or stays after it; a link in the folder leads a removal "
     "outside")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    uint32_t removed = 0;
    const char *folder = test_folder(), *outside = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "x");
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_OK(file_write(arena_printf(arena, "%s/kept", outside), SLICE("x"), 0600, e));
    CHECK(symlink(outside, arena_printf(arena, "%s/exports/alice/UE-1/link", folder)) == 0);
    int64_t now_us = clock_wall_us();
    CHECK_OK(export_expire(f.db, now_us - 3600 * (int64_t)1000000, &removed, e));
    CHECK_INT(removed, 0);
    CHECK_OK(export_sweep(f.db, &removed, e));
    CHECK_INT(removed, 0);
    CHECK_OK(find(&f, "alice", "UE-1", arena, e));
    CHECK_OK(export_expire(f.db, now_us + 3600 * (int64_t)1000000, &removed, e));
    CHECK_INT(removed, 2);
    CHECK_CODE(find(&f, "alice", "UE-1", arena, e), E_NOT_FOUND);
    CHECK(file_exists(arena_printf(arena, "%s/kept", outside)));
    fixture_close(&f);
    arena_free(arena);
}

TEST("an export whose removal stops half-way counts as whole")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    Error error;
    uint32_t removed = 0;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "x");
    CHECK_OK(database_export_user(f.db, f.partition.user, "UE-1", (BackupStop){0}, &report, e));
    CHECK_OK(find(&f, "alice", "UE-1", arena, e));
    const char *export = arena_printf(arena, "%s/exports/alice/UE-1", folder);
    CHECK_OK(file_make_folders(arena_printf(arena, "%s/1/2/3/4/5/6", export), 0700, e));
    int64_t later_us = clock_wall_us() + 3600 * (int64_t)1000000;
    CHECK(export_expire(f.db, later_us, &removed, &error) != OK); /* too deep to be removed */
    CHECK(!file_exists(export));
    CHECK_CODE(find(&f, "alice", "UE-1", arena, e), E_NOT_FOUND);
    fixture_close(&f);
    arena_free(arena);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

TEST("a stopped export, or one of a damaged segment, leaves something behind")
{
    Fixture f;
    Arena *arena = arena_new();
    ExportReport report;
    Slice folder;
    const char *data = test_folder();
    fixture_open(&f, data, TABLE_USER);
    fixture_put(&f, 1, "x");
    CHECK_CODE(database_export_user(f.db, f.partition.user, "UE-4",
                                    (BackupStop){always, NULL, NULL}, &report, e),
               E_CANCELLED);
    fixture_flush(&f);
    folder = fixture_folder(&f, f.partition, arena);
    CHECK_OK(file_remove(
        arena_printf(arena, "%s/storage/%.*s/batch-0.parquet", data, SLICE_ARGS(folder)), e));
    CHECK_CODE(database_export_user(f.db, f.partition.user, "UE-4", (BackupStop){0}, &report, e),
               E_SEGMENT_DAMAGED);
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice/UE-4.part", data)));
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice/UE-4", data)));
    CHECK(!file_exists(arena_printf(arena, "%s/storage/export/UE-4", data)));
    fixture_close(&f);
    arena_free(arena);
}
