/* SPDX-License-Identifier: Apache-2.0
 *
 * Erasing a dropped user: nothing stays on the disk, nobody else loses anything, a crash goes on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "fixture.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/file_piece.h"
#include "table/erase.h"
#include "table/export.h"
#include "table/manifest.h"
#include "table/table_int.h"
#include "table/verify.h"

#define CANARY "canary-5f1c0e7a"

static void set_deleted(Fixture *f, const char *user_id, int64_t at_us)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    CatalogChange *change = NULL;
    User user;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    CHECK_OK(catalog_get_user(snapshot, HOT_BLOCKING, slice_of_text(user_id), arena, &user, e));
    hot_snapshot_free(snapshot);
    user.deleted_at_us = at_us;
    user.email = SLICE(CANARY "@example.org");
    CHECK_OK(catalog_plan_put_user(database_catalog(f->db), &user, &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
}

static Code erase(Database *db, const char *user_id, int64_t dropped_until_us, const JobStop *stop,
                  EraseReport *out, Error *e)
{
    EraseTask task = {.user_id = slice_of_text(user_id), .stop = stop ? *stop : (JobStop){0}};
    database_erase_users(db, &(EraseBatch){&task, 1, dropped_until_us, NULL});
    *out = task.report;
    return task.code == OK ? OK : fail(e, task.code, "%s", task.error.text);
}

/* How many files below the folder hold the text. */
static int count_files(const char *folder, const char *text, Arena *arena)
{
    FileEntry *entries;
    size_t count;
    int found = 0;
    CHECK_OK(file_list(folder, 100000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(arena, "%s/%s", folder, entries[i].name);
        if (entries[i].is_folder) {
            found += count_files(path, text, arena);
            continue;
        }
        Slice bytes;
        CHECK_OK(file_read(path, 1 << 28, arena, &bytes, e));
        if (bytes.size && memmem(bytes.data, bytes.size, text, strlen(text))) {
            found++;
            fprintf(stderr, "    %s holds it\n", path);
        }
    }
    return found;
}

/* Rows in both tiers, replaced, deleted, exported, with an incompressible canary in each. */
static void fill(Fixture *f)
{
    ExportReport report;
    for (int i = 1; i <= 20; i++)
        fixture_put(f, i, CANARY);
    fixture_flush(f);
    for (int i = 21; i <= 30; i++)
        fixture_put(f, i, CANARY);
    fixture_put(f, 3, CANARY " changed");
    fixture_delete(f, 4);
    fixture_delete(f, 25);
    CHECK_OK(hot_flush(database_hot(f->db), e));
    fixture_put(f, 31, CANARY " in the log");
    CHECK_OK(database_export_user(f->db, f->partition.user, "UE-1", (BackupStop){0}, &report, e));
}

TEST("a text of an erased user is still in some file, or somebody else's rows are not")
{
    Fixture f;
    Arena *arena = arena_new();
    EraseReport report;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    Partition alice = f.partition;
    fill(&f);
    f.partition = fixture_partition(&f, "bob");
    for (int i = 1; i <= 20; i++)
        fixture_put(&f, i, "bob's");
    fixture_flush(&f);
    fixture_put(&f, 21, "bob's");
    const char *bobs = fixture_rows(&f, arena);
    f.partition = alice;
    set_deleted(&f, "alice", clock_wall_us());
    CHECK(count_files(folder, CANARY, arena) > 2);
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_INT(report.tables, 1);
    CHECK_INT(report.segments, 1);
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    CHECK(!file_exists(arena_printf(arena, "%s/storage/user/alice", folder)));
    CHECK(!file_exists(arena_printf(arena, "%s/exports/alice", folder)));
    CHECK_TEXT(fixture_rows(&f, arena), "");
    f.partition = fixture_partition(&f, "bob");
    CHECK_TEXT(fixture_rows(&f, arena), bobs);
    fixture_check_sound(&f);
    fixture_close(&f);
    fixture_open(&f, folder, TABLE_USER);
    CHECK_INT(f.partition.user, alice.user); /* the tombstone: neither id is given out again */
    CHECK_TEXT(fixture_rows(&f, arena), "");
    fixture_check_sound(&f);
    fixture_close(&f);
    arena_free(arena);
}

TEST("a write resolved before the drop, or after it, lands in the partition of a dropped user")
{
    Fixture f;
    Arena *arena = arena_new();
    EraseReport report;
    ReadView *view = NULL;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "x");
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *before = fixture_resolve(&f, view, 2, "late");
    Intent *again = fixture_resolve(&f, view, 2, "late");
    view_close(view);
    set_deleted(&f, "alice", clock_wall_us());
    CHECK_CODE(database_commit(f.db, before, e), E_PERMISSION_DENIED);
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_CODE(database_commit(f.db, again, e), E_PERMISSION_DENIED);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *after = fixture_resolve(&f, view, 3, "later");
    view_close(view);
    CHECK_CODE(database_commit(f.db, after, e), E_PERMISSION_DENIED);
    CHECK_TEXT(fixture_rows(&f, arena), "");
    intent_unref(before);
    intent_unref(again);
    intent_unref(after);
    fixture_close(&f);
    arena_free(arena);
}

TEST("a user within the grace period is erased, or a restored one is, or cannot write again")
{
    Fixture f;
    Arena *arena = arena_new();
    EraseReport report;
    User *due;
    size_t count;
    int64_t next_us, now_us = clock_wall_us(), hour_us = (int64_t)3600 * 1000000;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "x");
    set_deleted(&f, "alice", now_us);
    CHECK_CODE(erase(f.db, "alice", now_us - hour_us, NULL, &report, e), E_INVALID_OPERATION);
    CHECK_OK(database_list_erasable(f.db, now_us - hour_us, 10, arena, &due, &count, &next_us, e));
    CHECK_INT(count, 0);
    CHECK(next_us == now_us);
    CHECK_OK(database_list_erasable(f.db, now_us, 10, arena, &due, &count, &next_us, e));
    CHECK_INT(count, 1);
    CHECK(next_us == 0);
    set_deleted(&f, "alice", 0);
    CHECK_CODE(erase(f.db, "alice", now_us + hour_us, NULL, &report, e), E_INVALID_OPERATION);
    fixture_put(&f, 2, "y");
    CHECK_TEXT(fixture_rows(&f, arena), "1=x 2=y ");
    fixture_close(&f);
    arena_free(arena);
}

static int fail_unlink(const char *operation, const char *path)
{
    return strcmp(operation, "unlink") == 0 && strstr(path, "alice") ? EIO : 0;
}

TEST("an erasure that was cut is taken for done, or is not taken up after a restart")
{
    Fixture f;
    Arena *arena = arena_new();
    EraseReport report;
    User *due;
    size_t count;
    int64_t next_us;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill(&f);
    set_deleted(&f, "alice", clock_wall_us());
    file_set_fault(fail_unlink);
    CHECK_CODE(erase(f.db, "alice", clock_wall_us(), NULL, &report, e), E_IO);
    file_set_fault(NULL);
    fixture_close(&f);
    fixture_open(&f, folder, TABLE_USER);
    CHECK_OK(database_list_erasable(f.db, 0, 10, arena, &due, &count, &next_us,
                                    e)); /* begun: due whatever the time */
    CHECK_INT(count, 1);
    CHECK(due[0].erasure == ERASURE_BEGUN);
    CHECK_INT(due[0].email.size, 0);
    CHECK_OK(erase(f.db, "alice", 0, NULL, &report, e));
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    CHECK_OK(database_list_erasable(f.db, INT64_MAX, 10, arena, &due, &count, &next_us, e));
    CHECK_INT(count, 0);
    CHECK_OK(erase(f.db, "alice", 0, NULL, &report, e)); /* once more is fine */
    fixture_close(&f);
    arena_free(arena);
}

/* One commit of a catalog change. */
static void change(Fixture *f, CatalogChange *change)
{
    Intent *intent = intent_new(database_last_seq(f->db));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
    intent_unref(intent);
}

TEST("what a user had in a table that was dropped before them is still in some file")
{
    Fixture f;
    Arena *arena = arena_new();
    CatalogChange *drop;
    EraseReport report;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill(&f);
    CHECK_OK(catalog_plan_drop_table(database_catalog(f.db), f.table, &drop, e));
    change(&f, drop);
    CHECK_OK(flush_purge_dropped(f.db, NULL, e));
    set_deleted(&f, "alice", clock_wall_us());
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    fixture_close(&f);
    arena_free(arena);
}

/* A folder stands where a file should: it can neither be read nor be unlinked as one. */
static void block_file(const char *path, Arena *arena)
{
    CHECK_OK(file_remove(path, e));
    CHECK_OK(file_make_folders(arena_printf(arena, "%s/inside", path), 0700, e));
}

static bool is_dropped_table_listed(Fixture *f)
{
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(from, 1),
                                        slice_of(to, 1), false);
    bool found = hot_next(it);
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return found;
}

TEST("a dropped table is forgotten while a file of it cannot be read or unlinked, which then stays "
     "for good; or one bad file keeps the purge from ever ending")
{
    Fixture f;
    Error error = {0};
    CatalogChange *drop;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill(&f);
    const char *file = arena_printf(arena, "%s/storage/user/alice/app/t/batch-0.parquet", folder);
    CHECK_OK(catalog_plan_drop_table(database_catalog(f.db), f.table, &drop, e));
    change(&f, drop);
    block_file(file, arena);
    for (int i = 0; i < 2; i++) {
        CHECK_CODE(flush_purge_dropped(f.db, NULL, &error), E_IO);
        CHECK(strstr(error.text, "batch-0.parquet"));
        CHECK(is_dropped_table_listed(&f));
    }
    CHECK_OK(file_remove_tree(file, 4, e));
    CHECK_OK(file_write(file, SLICE(CANARY), 0600, e));
    CHECK_OK(flush_purge_dropped(f.db, NULL, e));
    CHECK(!is_dropped_table_listed(&f));
    CHECK(!file_exists(file));
    fixture_close(&f);
}

static void check_no_folder(Fixture *f)
{
    FileLook look;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = arena_printf(arena, "%s/user/alice", database_storage_folder(f->db));
    CHECK_OK(file_look(folder, &look, e));
    CHECK(look.kind == FILE_NOTHING);
}

TEST("a flush that was due before an erasure leaves the folder of a user who is gone")
{
    Fixture f;
    EraseReport report;
    uint64_t rows = 1;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill(&f);
    set_deleted(&f, "alice", clock_wall_us());
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_INT(rows, 0);
    check_no_folder(&f);
    fixture_close(&f);
}

TEST("a manifest.json that is written after an erasure makes the folder of a user who is gone")
{
    Fixture f;
    EraseReport report;
    fixture_open(&f, test_folder(), TABLE_USER);
    fill(&f);
    fixture_flush(&f);
    set_deleted(&f, "alice", clock_wall_us());
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_OK(table__write_manifest(f.db, f.table, f.partition, e)); /* as the end of a restore */
    check_no_folder(&f);
    fixture_close(&f);
}

TEST("a user counts as erased although something in the user's folder could not be removed")
{
    Fixture f;
    Error error = {0};
    EraseReport report;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill(&f);
    set_deleted(&f, "alice", clock_wall_us());
    const char *user = arena_printf(arena, "%s/storage/user/alice", folder);
    CHECK_OK(file_make_folders(arena_printf(arena, "%s/1/2/3/4/5/6/7", user), 0700, e));
    for (int i = 0; i < 2; i++) {
        User alice;
        HotSnapshot *snapshot;
        CHECK(erase(f.db, "alice", clock_wall_us(), NULL, &report, &error) != OK);
        snapshot = hot_snapshot_new(database_hot(f.db));
        CHECK_OK(catalog_get_user(snapshot, HOT_BLOCKING, SLICE("alice"), arena, &alice, e));
        hot_snapshot_free(snapshot);
        CHECK_INT(alice.erasure, ERASURE_BEGUN);
    }
    CHECK_OK(file_remove_tree(user, 10, e));
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    fixture_close(&f);
}

static bool from_the_third(void *context)
{
    return ++*(int *)context >= 3;
}

TEST("KILL JOB waits until all of an erased user's ranges are merged")
{
    Fixture f;
    int asked = 0;
    EraseReport report;
    JobStop stop = {from_the_third, &asked};
    fixture_open(&f, test_folder(), TABLE_USER);
    fill(&f);
    set_deleted(&f, "alice", clock_wall_us());
    CHECK_CODE(erase(f.db, "alice", clock_wall_us(), &stop, &report, e), E_CANCELLED);
    CHECK(asked < 20);
    CHECK_OK(erase(f.db, "alice", clock_wall_us(), NULL, &report, e));
    fixture_close(&f);
}

/* ---- several at once ---- */

enum { MANY = 12 };

/* Users of their own text each, dropped; rows of both tiers. */
static void fill_many(Fixture *f, EraseTask *tasks, Arena *arena)
{
    Partition alice = f->partition;
    for (int i = 0; i < MANY; i++) {
        const char *name = arena_printf(arena, "user%d", i);
        f->partition = fixture_partition(f, name);
        fixture_put(f, 1, arena_printf(arena, CANARY " cold of user%d.", i));
        fixture_flush(f);
        fixture_put(f, 2, arena_printf(arena, CANARY " hot of user%d.", i));
        set_deleted(f, name, clock_wall_us());
        tasks[i] = (EraseTask){.user_id = slice_of_text(name)};
    }
    f->partition = alice;
}

static size_t ended_count;

static void count_ended(EraseTask *task)
{
    (void)task;
    ended_count++;
}

static int count_of(const char *folder, int user, Arena *arena)
{
    return count_files(folder, arena_printf(arena, " of user%d.", user), arena);
}

/* Each flush and each merge makes a new version of a family. */
static uint64_t count_rewrites(Fixture *f)
{
    return hot_property(database_hot(f->db), "rocksdb.current-super-version-number");
}

TEST("the hot tier is rewritten once for each of several users that are erased together, or "
     "something of one of them stays")
{
    Fixture f;
    EraseTask tasks[MANY];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "alice's");
    fill_many(&f, tasks, arena);
    uint64_t before = count_rewrites(&f);
    CHECK_OK(erase(f.db, "user0", clock_wall_us(), NULL, &tasks[0].report, e));
    uint64_t one = count_rewrites(&f) - before;
    ended_count = 0;
    database_erase_users(f.db, &(EraseBatch){tasks + 1, MANY - 1, clock_wall_us(), count_ended});
    uint64_t many = count_rewrites(&f) - before - one;
    CHECK(many < 2 * one);
    CHECK_INT(ended_count, MANY - 1);
    for (int i = 1; i < MANY; i++) {
        CHECK_INT(tasks[i].code, OK);
        CHECK_INT(tasks[i].report.segments, 1);
    }
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    CHECK_TEXT(fixture_rows(&f, arena), "1=alice's ");
    fixture_check_sound(&f);
    fixture_close(&f);
}

static int fail_user3(const char *operation, const char *path)
{
    return strcmp(operation, "unlink") == 0 && strstr(path, "/user3/") ? EIO : 0;
}

static bool is_told(void *context)
{
    return *(bool *)context;
}

static bool is_killed;

/* Two of them are killed when one has failed whose erasure had begun. */
static void kill_two(EraseTask *task)
{
    is_killed |= slice_equal(task->user_id, SLICE("user3"));
    count_ended(task);
}

TEST(
    "one who was restored, whose folder cannot be removed or whose job is killed keeps others from "
    "being erased, or counts as erased")
{
    Fixture f;
    EraseTask tasks[MANY];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fill_many(&f, tasks, arena);
    set_deleted(&f, "user2", 0);
    tasks[5].stop = tasks[6].stop = (JobStop){is_told, &is_killed};
    file_set_fault(fail_user3);
    is_killed = false;
    ended_count = 0;
    database_erase_users(f.db, &(EraseBatch){tasks, MANY, clock_wall_us(), kill_two});
    file_set_fault(NULL);
    CHECK_INT(ended_count, MANY);
    for (int i = 0; i < MANY; i++) {
        Code want = i == 2             ? E_INVALID_OPERATION
                    : i == 3           ? E_IO
                    : i == 5 || i == 6 ? E_CANCELLED
                                       : OK;
        CHECK_INT(tasks[i].code, want);
        if (want == OK)
            CHECK_INT(count_of(folder, i, arena), 0);
    }
    CHECK(count_of(folder, 2, arena) > 0);
    f.partition = fixture_partition(&f, "user2");
    CHECK(strstr(fixture_rows(&f, arena), "2=" CANARY " hot of user2."));
    for (int i = 3; i < 7; i++)
        CHECK_OK(erase(f.db, arena_printf(arena, "user%d", i), 0, NULL, &tasks[i].report, e));
    set_deleted(&f, "user2", 1);
    CHECK_OK(erase(f.db, "user2", 1, NULL, &tasks[2].report, e));
    CHECK_INT(count_files(folder, CANARY, arena), 0);
    fixture_close(&f);
}
