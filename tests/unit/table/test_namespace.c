/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup and restore of one namespace: what comes back is what lived at the backup's commit, all of
 * it or nothing, and nobody's cursor is taken for one of the new tables.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../test.h"
#include "os/clock.h"
#include "os/file.h"
#include "places.h"
#include "table/backup.h"
#include "table/compact.h"
#include "table/dump.h"
#include "table/erase.h"
#include "table/verify.h"

static void backup(Fixture *f, const Places *p, BackupReport *out)
{
    CHECK_OK(database_backup_namespace(f->db, SLICE("app"), p->backup, (BackupStop){0}, out, e));
}

static Code restore(Fixture *f, const Places *p, const char *name, Error *e)
{
    BackupReport report;
    return database_restore_namespace(f->db, p->backup, slice_of_text(name), (BackupStop){0},
                                      &report, e);
}

/* The same database, seen through the restored table. */
static Fixture seen(const Fixture *f, const char *name)
{
    Fixture g = *f;
    g.table = catalog_find_table(database_catalog(f->db), slice_of_text(name), SLICE("t"));
    CHECK(g.table);
    g.partition.table_id = g.table->id;
    return g;
}

static char *rows_of(Fixture *f, Arena *arena)
{
    return arena_text(arena, slice_of_text(fixture_rows(f, arena)));
}

static void drop(Fixture *f)
{
    CatalogChange *change;
    CHECK_OK(catalog_plan_drop_table(database_catalog(f->db), f->table, &change, e));
    for (int i = 0; i < 2; i++) {
        Intent *intent = intent_new(database_last_seq(f->db));
        intent_set_catalog_change(intent, change);
        CHECK_OK(database_commit(f->db, intent, e));
        intent_unref(intent);
        if (i == 0)
            CHECK_OK(catalog_plan_drop_namespace(database_catalog(f->db), SLICE("app"), false,
                                                 &change, e));
    }
}

TEST("a restored namespace lacks a row of a tier, has one that came later, or one that was deleted")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    Partition alice = f.partition, bob = fixture_partition(&f, "bob");
    f.partition = bob;
    fixture_put(&f, 1, "bob's");
    f.partition = alice;
    char *rows = rows_of(&f, p.arena);
    backup(&f, &p, &report);
    CHECK(report.seq == database_last_seq(f.db));
    CHECK_INT(report.tables, 1);
    CHECK_INT(report.rows, 30);
    fixture_put(&f, 3, "later");
    fixture_delete(&f, 1);
    fixture_put(&f, 40, "later");
    CHECK_OK(restore(&f, &p, "copy", e));
    fixture_check_sound(&f);
    g = seen(&f, "copy");
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    fixture_flush(&g);
    fixture_compact(&g, COMPACT_ALL);
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    g.partition.user = bob.user;
    CHECK_TEXT(fixture_rows(&g, p.arena), "1=bob's ");
    fixture_put(&g, 1, "changed after");
    CHECK_TEXT(fixture_rows(&g, p.arena), "1=changed after ");
    g.partition.user = alice.user;
    fixture_put(&g, 5, "new");
    fixture_delete(&g, 31);
    rows = rows_of(&g, p.arena);
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    fixture_open(&f, p.data, TABLE_USER);
    g = seen(&f, "copy");
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("after DROP a restore under the old name brings rows or files of the old table in, or a "
     "cursor of it is resumed")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    Feed *feed = NULL;
    ReadView *view = NULL;
    fixture_open(&f, p.data, TABLE_USER);
    Partition bob = fixture_partition(&f, "bob");
    places_fill(&f);
    char *rows = rows_of(&f, p.arena);
    uint64_t before = database_last_seq(f.db);
    backup(&f, &p, &report);
    uint64_t after = fixture_put(&f, 50, "later");
    drop(&f);
    CHECK_OK(restore(&f, &p, "app", e));
    uint64_t now = database_last_seq(f.db);
    g = seen(&f, "app");
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_CODE(feed_open(view, g.table, g.partition, before, &feed, e), E_CURSOR_TOO_OLD);
    CHECK_CODE(feed_open(view, g.table, g.partition, after, &feed, e), E_CURSOR_TOO_OLD);
    bob.table_id = g.table->id; /* who has no rows has cursors all the same */
    CHECK_CODE(feed_open(view, g.table, bob, after, &feed, e), E_CURSOR_TOO_OLD);
    CHECK_OK(feed_open(view, g.table, g.partition, now, &feed, e));
    feed_close(feed);
    view_close(view);
    uint64_t at = fixture_put(&g, 60, "new");
    CHECK(at > now);
    CHECK_TEXT(fixture_feed(&g, now, p.arena), "+60=new ");
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("rows get new seqs, so that an expired event lives again or the order changes")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    uint64_t seqs[3];
    fixture_open(&f, p.data, TABLE_STREAM);
    for (int i = 0; i < 3; i++)
        seqs[i] = fixture_put(&f, i + 1, "event");
    backup(&f, &p, &report);
    CHECK_INT(report.rows, 3);
    CHECK_OK(restore(&f, &p, "copy", e));
    g = seen(&f, "copy");
    CHECK_TEXT(fixture_rows(&g, p.arena), "1=event 2=event 3=event ");
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(row_walk_open(view, g.table, g.partition, 0, UINT64_MAX, false, &walk, e));
    for (int i = 0; i < 3; i++) {
        bool end;
        uint64_t seq;
        Slice row;
        CHECK_OK(row_walk_next(walk, &end, &seq, &row, e));
        CHECK(!end && seq == seqs[i]);
    }
    row_walk_close(TAKE(walk));
    view_close(TAKE(view));
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("a backup is restored over tables, without its list, or as what it is not")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    CHECK_CODE(
        database_backup_namespace(f.db, SLICE("none"), p.backup, (BackupStop){0}, &report, e),
        E_NAMESPACE_NOT_FOUND);
    CHECK(!file_exists(p.backup));
    backup(&f, &p, &report);
    CHECK_CODE(database_backup_namespace(f.db, SLICE("app"), p.backup, (BackupStop){0}, &report, e),
               E_INVALID_OPERATION);
    CHECK_CODE(restore(&f, &p, "app", e), E_ALREADY_EXISTS);
    CHECK_CODE(restore(&f, &p, "APP", e), E_ALREADY_EXISTS);
    CHECK_CODE(restore(&f, &p, "system", e), E_INVALID_OPERATION);
    CHECK_CODE(restore(&f, &p, "", e), E_INVALID_OPERATION);
    CHECK_CODE(backup_restore(p.backup, p.other, &report, e), E_INVALID_INPUT);
    CHECK_OK(database_backup(f.db, p.other, (BackupStop){0}, &report, e));
    Places whole = {p.arena, p.data, p.other, NULL};
    CHECK_CODE(restore(&f, &whole, "copy", e), E_INVALID_INPUT);
    CHECK_OK(file_remove(arena_printf(p.arena, "%s/BACKUP", p.backup), e));
    CHECK_CODE(restore(&f, &p, "copy", e), E_NOT_FOUND);
    CHECK(!catalog_has_namespace(database_catalog(f.db), SLICE("copy")));
    fixture_check_sound(&f);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("a backup of another server loses a user it does not know, or brings one back who was erased")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    EraseTask erased = {.user_id = SLICE("carol")};
    fixture_open(&f, p.data, TABLE_USER);
    fixture_put(&f, 1, "alice's");
    Partition alice = f.partition;
    f.partition = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "bob's");
    f.partition = fixture_partition(&f, "carol");
    fixture_put(&f, 1, "carol's");
    fixture_flush(&f);
    backup(&f, &p, &report);
    fixture_close(&f);
    fixture_open(&f, p.other,
                 TABLE_SHARED); /* another server: it has alice, and numbers of its own */
    fixture_partition(&f, "somebody");
    fixture_partition(&f, "carol");
    CatalogChange *change;
    User carol;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f.db));
    CHECK_OK(catalog_get_user(snapshot, HOT_BLOCKING, SLICE("carol"), p.arena, &carol, e));
    hot_snapshot_free(snapshot);
    carol.deleted_at_us = 1;
    CHECK_OK(catalog_plan_put_user(database_catalog(f.db), &carol, &change, e));
    Intent *intent = intent_new(database_last_seq(f.db));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f.db, intent, e));
    intent_unref(intent);
    database_erase_users(f.db, &(EraseBatch){&erased, 1, clock_wall_us(), NULL});
    CHECK_INT(erased.code, OK);
    CHECK_OK(restore(&f, &p, "copy", e));
    g = seen(&f, "copy");
    g.partition.user = fixture_partition(&f, "alice").user;
    CHECK_TEXT(fixture_rows(&g, p.arena), "1=alice's ");
    g.partition.user = fixture_partition(&f, "bob").user;
    CHECK(g.partition.user != alice.user);
    CHECK_TEXT(fixture_rows(&g, p.arena), "1=bob's ");
    g.partition.user = carol.id;
    CHECK_TEXT(fixture_rows(&g, p.arena), "");
    CHECK(!file_exists(arena_printf(p.arena, "%s/storage/user/carol", p.other)));
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

static size_t count_files(const char *folder)
{
    Arena *arena = arena_new();
    const char *const *paths;
    size_t count = places_files(folder, arena, &paths);
    arena_free(arena);
    return count;
}

TEST("a wrong byte in any file of a backup, or a link in it, is restored")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    backup(&f, &p, &report);
    const char *const *paths;
    size_t count = places_files(p.backup, p.arena, &paths), stored = count_files(p.data);
    CHECK_INT(count, report.files + 1);
    for (size_t i = 0; i < count; i++) {
        Slice bytes = places_damage(paths[i], p.arena);
        CHECK_CODE(restore(&f, &p, "copy", e), E_CORRUPT);
        CHECK_OK(file_write(paths[i], bytes, 0600, e));
        if (!strstr(paths[i], "/table-0/"))
            continue;
        const char *aside = arena_printf(p.arena, "%s/aside", p.data);
        CHECK(rename(paths[i], aside) == 0 && symlink(aside, paths[i]) == 0);
        CHECK_CODE(restore(&f, &p, "copy", e), E_CORRUPT);
        CHECK(rename(aside, paths[i]) == 0);
    }
    CHECK(!catalog_has_namespace(database_catalog(f.db), SLICE("copy")));
    CHECK_INT(count_files(p.data), stored);
    CHECK_OK(restore(&f, &p, "copy", e));
    fixture_close(&f);
    arena_free(p.arena);
}

static int calls_left;

static int fail_one(const char *operation, const char *path)
{
    bool counts = strcmp(operation, "stat") != 0 && strcmp(operation, "read") != 0 &&
                  !strstr(path, "manifest.json");
    return counts && --calls_left == 0 ? EIO : 0;
}

TEST("a restore that fails half-way leaves a table, rows or files; the next one does not work")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    char *rows = rows_of(&f, p.arena);
    backup(&f, &p, &report);
    size_t stored = count_files(arena_printf(p.arena, "%s/storage", p.data));
    bool has_come = false;
    int failures = 0;
    for (int at = 1; !has_come; at++) {
        Error error;
        calls_left = at;
        file_set_fault(fail_one);
        has_come = restore(&f, &p, "copy", &error) == OK;
        file_set_fault(NULL);
        failures += !has_come;
        if (has_come)
            break;
        CHECK(!catalog_has_namespace(database_catalog(f.db), SLICE("copy")));
        CHECK_INT(count_files(arena_printf(p.arena, "%s/storage", p.data)), stored);
        fixture_check_sound(&f);
    }
    CHECK(failures > 10);
    g = seen(&f, "copy");
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

static Fixture *swept;
static int copies_left;

/* As the thread does that keeps house, once writes go on after an outage. */
static int sweep_between_copies(const char *operation, const char *path)
{
    uint32_t removed = 0;
    bool counts =
        strcmp(operation, "open") == 0 && strstr(path, "/copy/") && strstr(path, ".parquet");
    if (!counts || --copies_left != 0)
        return 0;
    CHECK_OK(flush_sweep(swept->db, NULL, &removed, e));
    CHECK_INT(removed, 0);
    return 0;
}

TEST("a sweep that takes the files of a restore for left over, because no catalog knows its tables")
{
    Fixture f, g;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    char *rows = rows_of(&f, p.arena);
    backup(&f, &p, &report);
    swept = &f;
    copies_left = 2;
    file_set_fault(sweep_between_copies);
    CHECK_OK(restore(&f, &p, "copy", e));
    file_set_fault(NULL);
    CHECK(copies_left <= 0);
    g = seen(&f, "copy");
    CHECK_TEXT(fixture_rows(&g, p.arena), rows);
    fixture_check_sound(&f);
    table_unref(g.table);
    fixture_close(&f);
    arena_free(p.arena);
}

static bool stop_later(void *context)
{
    int *left = context;
    return --*left <= 0;
}

TEST("a backup or a restore that was stopped looks whole, or leaves something in the database")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    int once = 1, late = 1000;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    CHECK_CODE(database_backup_namespace(f.db, SLICE("app"), p.backup,
                                         (BackupStop){stop_later, &once, NULL}, &report, e),
               E_CANCELLED);
    CHECK_CODE(restore(&f, &p, "copy", e), E_NOT_FOUND);
    CHECK_OK(file_remove_tree(p.backup, 3, e));
    backup(&f, &p, &report);
    once = 1;
    CHECK_CODE(database_restore_namespace(f.db, p.backup, SLICE("copy"),
                                          (BackupStop){stop_later, &once, NULL}, &report, e),
               E_CANCELLED);
    CHECK_CODE(database_restore_namespace(f.db, p.backup, SLICE("copy"),
                                          (BackupStop){stop_later, &late, NULL}, &report, e),
               OK); /* so few records are restored before it says so */
    fixture_check_sound(&f);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("SQL names a folder outside the one for backups")
{
    Fixture f;
    Places p = places_new();
    const char *path;
    fixture_open(&f, p.data, TABLE_USER);
    const char *root = arena_printf(p.arena, "%s/backups", p.other);
    CHECK_OK(backup_place(f.db, root, SLICE("2026-11-21_a.b"), p.arena, &path, e));
    CHECK(strstr(path, "/backups/2026-11-21_a.b"));
    CHECK_OK(backup_place(f.db, root, slice_of_text(arena_printf(p.arena, "%s/x", root)), p.arena,
                          &path, e));
    CHECK(strstr(path, "/backups/x"));
    static const char *const refused[] = {
        "",        ".",   "..",  "../x", "a/b",          "a/../b", "/etc/x", "/x",
        ".hidden", "a b", "a\n", "~",    "backups/../x", "a/",     "a%2Fb",  "\xC3\xA4"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_CODE(backup_place(f.db, root, slice_of_text(refused[i]), p.arena, &path, e),
                   E_INVALID_INPUT);
    CHECK_CODE(backup_place(f.db, root, slice_of("a\0b", 3), p.arena, &path, e), E_INVALID_INPUT);
    CHECK_CODE(backup_place(f.db, root, slice_of_text(arena_printf(p.arena, "%s/../x", root)),
                            p.arena, &path, e),
               E_INVALID_INPUT);
    CHECK(symlink("/tmp", arena_printf(p.arena, "%s/link", root)) == 0);
    CHECK_CODE(backup_place(f.db, root, SLICE("link"), p.arena, &path, e), E_INVALID_INPUT);
    CHECK_CODE(backup_place(f.db, "", SLICE("x"), p.arena, &path, e), E_INVALID_OPERATION);
    CHECK_CODE(backup_place(f.db, NULL, SLICE("x"), p.arena, &path, e), E_INVALID_OPERATION);
    CHECK_CODE(
        backup_place(f.db, arena_printf(p.arena, "%s/in", p.data), SLICE("x"), p.arena, &path, e),
        E_INVALID_INPUT); /* a backup in the data folder */
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("records of a dump come out of order, or not at all, and nobody notices")
{
    static const DumpRecord good[] = {
        {.kind = DUMP_TABLE, .bytes = {"t", 1}},
        {.kind = DUMP_PARTITION, .user_id = {"u", 1}, .state = {.flush_mark = 9}},
        {.kind = DUMP_DEAD, .seq = 1, .number = 5},
        {.kind = DUMP_DEAD, .seq = 2, .number = 6},
        {.kind = DUMP_ROW, .seq = 10, .bytes = {"row", 3}},
        {.kind = DUMP_HEAD, .seq = 10, .bytes = {"key", 3}},
        {.kind = DUMP_PARTITION},
    };
    enum { COUNT = sizeof good / sizeof *good };
    const char *folder = test_folder();
    Arena *arena = arena_new();
    for (int wrong = 0; wrong <= COUNT; wrong++) { /* COUNT: none; else it stands first or last */
        DumpWriter *writer;
        DumpReader *reader;
        DumpRecord record = {0};
        const char *path = arena_printf(arena, "%s/%d", folder, wrong);
        CHECK_OK(dump_writer_open(path, &writer, e));
        bool is_refused = false;
        for (int i = 0; i < COUNT && !is_refused; i++) {
            int at = wrong == COUNT ? i : i == 0 ? wrong : i <= wrong ? i - 1 : i;
            Error error;
            is_refused = dump_writer_put(writer, &good[at], &error) != OK;
        }
        CHECK(is_refused == (wrong != COUNT && wrong != 0));
        if (!is_refused)
            CHECK_OK(dump_writer_finish(writer, e));
        dump_writer_close(writer);
        if (is_refused)
            continue;
        CHECK_OK(dump_reader_open(path, &reader, e));
        for (int i = 0; i < COUNT; i++) {
            CHECK_OK(dump_reader_next(reader, &record, e));
            CHECK(record.kind == good[i].kind && record.seq == good[i].seq &&
                  record.number == good[i].number &&
                  record.state.flush_mark == good[i].state.flush_mark);
            CHECK_SLICE(record.bytes, good[i].bytes);
            CHECK_SLICE(record.user_id, good[i].user_id);
        }
        CHECK_OK(dump_reader_next(reader, &record, e));
        CHECK(record.kind == DUMP_END && record.number == COUNT);
        dump_reader_close(reader);
    }
    arena_free(arena);
}
