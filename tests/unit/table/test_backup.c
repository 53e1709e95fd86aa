/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup and restore: the restored folder is the database at the backup's commit, damaged backups
 * are refused, and cursors from before a restore are told that they are too old.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "cold/cold.h"
#include "os/file.h"
#include "os/thread.h"
#include "places.h"
#include "table/backup.h"
#include "table/table_int.h"

static void backup(Fixture *f, const Places *p, BackupReport *out)
{
    CHECK_OK(database_backup(f->db, p->backup, (BackupStop){0}, out, e));
}

TEST("a restored folder holds the rows of both tiers as of the backup, deletes included, and "
     "nothing later")
{
    Fixture f;
    Places p = places_new();
    BackupReport report, restored;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    char *rows = arena_text(p.arena, slice_of_text(fixture_rows(&f, p.arena)));
    uint64_t seq = database_last_seq(f.db);
    backup(&f, &p, &report);
    CHECK(report.seq == seq);
    fixture_put(&f, 3, "later");
    fixture_delete(&f, 1);
    fixture_put(&f, 40, "later");
    fixture_close(&f);
    CHECK_OK(backup_restore(p.backup, p.other, &restored, e));
    CHECK(restored.seq == seq);
    CHECK_INT(restored.files, report.files);
    fixture_open(&f, p.other, TABLE_USER);
    CHECK_TEXT(fixture_rows(&f, p.arena), rows);
    fixture_flush(&f);
    CHECK_TEXT(fixture_rows(&f, p.arena), rows); /* the deleted stay deleted */
    VerifyReport verified;
    VerifyOptions options = {.read_segments = true};
    CHECK_OK(database_verify(f.db, &options, &verified, e));
    CHECK_INT(verified.problems, 0);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("a cursor from before a restore is resumed in a history that is not its own")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    Feed *feed = NULL;
    ReadView *view = NULL;
    fixture_open(&f, p.data, TABLE_USER);
    uint64_t before = fixture_put(&f, 1, "a");
    backup(&f, &p, &report);
    uint64_t after = fixture_put(&f, 2, "lost"); /* a client saw this commit */
    fixture_close(&f);
    CHECK_OK(backup_restore(p.backup, p.other, &report, e));
    fixture_open(&f, p.other, TABLE_USER);
    uint64_t fresh = fixture_put(&f, 2, "new");
    CHECK(fresh > after);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_CODE(feed_open(view, f.table, f.partition, before, &feed, e), E_CURSOR_TOO_OLD);
    CHECK_CODE(feed_open(view, f.table, f.partition, after, &feed, e), E_CURSOR_TOO_OLD);
    view_close(view);
    view = NULL;
    uint64_t next = fixture_put(&f, 3, "newer");
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(feed_open(view, f.table, f.partition, fresh, &feed, e));
    FeedChange change;
    bool end;
    CHECK_OK(feed_next(feed, &end, &change, e));
    CHECK(!end && change.seq == next);
    feed_close(feed);
    view_close(view);
    fixture_close(&f); /* the mark survives restarts */
    fixture_open(&f, p.other, TABLE_USER);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_CODE(feed_open(view, f.table, f.partition, after, &feed, e), E_CURSOR_TOO_OLD);
    view_close(view);
    fixture_close(&f);
    arena_free(p.arena);
}

TEST("a folder that is not empty is overwritten, or a backup without its list is taken for one")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    Database *db = NULL;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    backup(&f, &p, &report);
    CHECK_CODE(database_backup(f.db, p.backup, (BackupStop){0}, &report, e), E_INVALID_OPERATION);
    fixture_close(&f);
    CHECK_CODE(backup_restore(p.backup, p.data, &report, e), E_INVALID_OPERATION);
    DatabaseOptions options = database_inspect_options(p.backup);
    options.inspect = false;
    CHECK_CODE(database_open(&options, &db, e),
               E_INVALID_OPERATION); /* no server runs in a backup */
    options.inspect = true;
    CHECK_OK(database_open(&options, &db, e)); /* but it can be checked */
    database_close(db);
    CHECK_OK(file_remove(arena_printf(p.arena, "%s/BACKUP", p.backup), e));
    CHECK_CODE(backup_restore(p.backup, p.other, &report, e), E_NOT_FOUND);
    CHECK(!file_exists(p.other));
    arena_free(p.arena);
}

TEST("a wrong byte in any file of a backup is restored")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    backup(&f, &p, &report);
    fixture_close(&f);
    const char *const *paths;
    size_t count = places_files(p.backup, p.arena, &paths);
    CHECK_INT(count, report.files + 1);
    for (size_t i = 0; i < count; i++) {
        Slice bytes = places_damage(paths[i], p.arena);
        CHECK_CODE(backup_restore(p.backup, p.other, &report, e), E_CORRUPT);
        CHECK(!file_exists(p.other));
        CHECK_OK(file_write(paths[i], bytes, 0600, e));
    }
    CHECK_OK(backup_restore(p.backup, p.other, &report, e));
    arena_free(p.arena);
}

TEST("a backup lands where it must not")
{
    Fixture f;
    Places p = places_new();
    fixture_open(&f, p.data, TABLE_USER);
    static const char *const refused[] = {"", "relative", "../up", "/tmp/../etc/x", "/tmp//x", "/"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        CHECK_CODE(backup_check_path(f.db, slice_of_text(refused[i]), e), E_INVALID_INPUT);
    CHECK_CODE(backup_check_path(f.db, slice_of("/tmp/a\0b", 8), e), E_INVALID_INPUT);
    CHECK_CODE(backup_check_path(f.db, slice_of_text(p.data), e), E_INVALID_INPUT);
    CHECK_CODE(
        backup_check_path(f.db, slice_of_text(arena_printf(p.arena, "%s/storage/b", p.data)), e),
        E_INVALID_INPUT);
    CHECK_CODE(backup_check_path(f.db, slice_of_text(test_folder()), e), E_INVALID_INPUT);
    CHECK_OK(backup_check_path(f.db, slice_of_text(p.backup), e));
    CHECK_OK(
        backup_check_path(f.db, SLICE("/root/kalamdb/backups/b"), e)); /* of who runs as root */
    CHECK_OK(backup_check_path(f.db, slice_of_text(arena_printf(p.arena, "%s-2", p.data)), e));
    fixture_close(&f);
    arena_free(p.arena);
}

typedef struct Writer {
    Fixture *f;
    _Atomic bool stop;
    uint64_t written;
} Writer;

static void write_rows(void *argument)
{
    Writer *writer = (Writer *)argument;
    for (int i = 0; !atomic_load(&writer->stop) || i < 100; i++, writer->written++) {
        fixture_put(writer->f, 1000 + i, "w");
        if (i % 50 == 49)
            fixture_flush(writer->f);
    }
}

TEST("writes and flushes during a backup tear it")
{
    Fixture f;
    Places p = places_new();
    BackupReport report, restored;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    Writer writer = {.f = &f};
    Thread *thread = NULL;
    CHECK_OK(thread_start("writer", THREAD_WORKER, write_rows, &writer, &thread, e));
    backup(&f, &p, &report);
    atomic_store(&writer.stop, true);
    thread_join(thread);
    char *then =
        arena_text(p.arena, slice_of_text(fixture_rows_at(&f, report.seq, 1000, false, p.arena)));
    fixture_close(&f);
    CHECK_OK(backup_restore(p.backup, p.other, &restored, e));
    CHECK(restored.seq == report.seq);
    fixture_open(&f, p.other, TABLE_USER);
    CHECK_TEXT(fixture_rows(&f, p.arena), then);
    fixture_close(&f);
    arena_free(p.arena);
}

typedef struct StopAt {
    int after, asked;
} StopAt;

static bool is_enough(void *context)
{
    StopAt *stop = (StopAt *)context;
    return stop->asked++ >= stop->after;
}

TEST("a stopped backup looks like one, or like a data folder")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    Database *db = NULL;
    const char *early = arena_printf(p.arena, "%s-early", p.backup);
    StopAt stop = {.after = 1};
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    CHECK_CODE(
        database_backup(f.db, early, (BackupStop){is_enough, &(StopAt){0}, NULL}, &report, e),
        E_CANCELLED);
    CHECK_CODE(database_backup(f.db, p.backup, (BackupStop){is_enough, &stop, NULL}, &report, e),
               E_CANCELLED);
    CHECK_INT(stop.asked, 2); /* the hot tier was copied */
    fixture_close(&f);
    CHECK_CODE(backup_restore(p.backup, p.other, &report, e), E_NOT_FOUND);
    CHECK_CODE(backup_restore(early, p.other, &report, e), E_NOT_FOUND);
    DatabaseOptions options = database_inspect_options(p.backup);
    options.inspect = false;
    CHECK_CODE(database_open(&options, &db, e), E_INVALID_OPERATION);
    options.folder = early;
    CHECK_CODE(database_open(&options, &db, e), E_INVALID_OPERATION);
    arena_free(p.arena);
}

TEST("a line of the list that leads out of the backup")
{
    Arena *arena = arena_new();
    Buffer text = {0};
    BackupList list, again;
    static const char *const refused[] = {"storage/../../x", "/etc/passwd", "rocksdb//x",
                                          "storage/.",       "other/x",     "rocksdb/"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        BackupFile file = {slice_of_text(refused[i]), 1, 2};
        list = (BackupList){.seq = 7, .created_at_ms = 8, .files = &file, .count = 1};
        buffer_clear(&text);
        backup_list_print(&list, &text);
        CHECK_CODE(backup_list_parse(buffer_slice(&text), arena, &again, e), E_CORRUPT);
    }
    BackupFile files[] = {{SLICE("rocksdb/CURRENT"), 16, 0xFFFFFFFFu},
                          {SLICE("storage/user/a b/batch-0.parquet"), 0, 0}};
    list = (BackupList){.seq = UINT64_MAX, .created_at_ms = 8, .files = files, .count = 2};
    buffer_clear(&text);
    backup_list_print(&list, &text);
    CHECK_OK(backup_list_parse(buffer_slice(&text), arena, &again, e));
    CHECK_INT(again.count, 2);
    CHECK(again.seq == UINT64_MAX && again.files[0].crc == 0xFFFFFFFFu);
    CHECK_SLICE(again.files[1].path, SLICE("storage/user/a b/batch-0.parquet"));
    for (size_t cut = 0; cut < text.size; cut++)
        CHECK(backup_list_parse(slice_of(text.data, cut), arena, &again, &(Error){0}) != OK);
    buffer_done(&text);
    arena_free(arena);
}
