/* SPDX-License-Identifier: Apache-2.0
 *
 * Export of a user: both tiers at one commit, only what lives, only theirs, whole or not at all.
 */
#include <string.h>

#include "../test.h"
#include "fixture.h"
#include "os/file.h"
#include "table/export.h"

static void flush(Fixture *f)
{
    uint64_t rows;
    CHECK_OK(flush_partition(f->db, f->table, f->partition, &rows, e));
}

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
    flush(&f);
    for (int i = 21; i <= 25; i++)
        fixture_put(&f, i, "x");
    flush(&f);
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
    CHECK_CODE(database_export_user(f.db, f.partition.user, "UE-4", (BackupStop){always, NULL},
                                    &report, e),
               E_CANCELLED);
    flush(&f);
    CHECK_OK(flush_folder(f.db, f.table, f.partition, arena, &folder, e));
    CHECK_OK(file_remove(
        arena_printf(arena, "%s/storage/%.*s/batch-0.parquet", data, SLICE_ARGS(folder)), e));
    CHECK_CODE(database_export_user(f.db, f.partition.user, "UE-4", (BackupStop){0}, &report, e),
               E_CORRUPT);
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice/UE-4.part", data)));
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice/UE-4", data)));
    CHECK(!file_exists(arena_printf(arena, "%s/storage/export/UE-4", data)));
    fixture_close(&f);
    arena_free(arena);
}
