/* SPDX-License-Identifier: Apache-2.0
 *
 * Commits, views, feed, past states and restarts on a real hot store.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "../test.h"
#include "fixture.h"
#include "os/thread.h"
#include "table/due.h"
#include "table/flush.h"
#include "table/seq.h"
#include "table/table_int.h"

TEST("an acknowledged row that a reopened folder has lost, doubled or changed")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "b");
    fixture_put(&f, 1, "c");
    fixture_put(&f, 3, "d");
    fixture_delete(&f, 2);
    CHECK_TEXT(fixture_rows(&f, arena), "1=c 3=d ");
    fixture_close(&f);
    fixture_open(&f, folder, TABLE_USER);
    CHECK_TEXT(fixture_rows(&f, arena), "1=c 3=d ");
    CHECK_TEXT(fixture_feed(&f, 0, arena), "+1=a +2=b ~1=a>1=c +3=d -2=b ");
    fixture_close(&f);
}

TEST("a seq that is given out again after a restart")
{
    Fixture f;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    uint64_t first = fixture_put(&f, 1, "a");
    uint64_t id = 0;
    CHECK_OK(database_give_id(f.db, &id, e));
    fixture_close(&f);
    fixture_open(&f, folder, TABLE_USER);
    uint64_t second = fixture_put(&f, 1, "b");
    CHECK(second > first);
    CHECK(second > id);
    CHECK(database_next_id(f.db) > second);
    fixture_close(&f);
}

TEST("two writers of one key that both believe they were first")
{
    Fixture f;
    fixture_open(&f, test_folder(), TABLE_USER);
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *one = fixture_resolve(&f, view, 7, "one"), *two = fixture_resolve(&f, view, 7, "two");
    view_close(view);
    CHECK_OK(database_commit(f.db, one, e));
    CHECK_CODE(database_commit(f.db, two, e), E_CONFLICT);
    intent_unref(one);
    intent_unref(two);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CHECK_TEXT(fixture_rows(&f, arena), "7=one ");
    fixture_close(&f);
}

TEST("a dropped table that leaves its policy in the due index for ever")
{
    Fixture f;
    uint64_t policy = 0;
    fixture_open(&f, test_folder(), TABLE_USER);
    CHECK_OK(due_set_policy(f.db, f.table->id, 7, e));
    CHECK_OK(due_set_policy(f.db, f.table->id + 1, 8, e));
    CatalogChange *change = NULL;
    CHECK_OK(catalog_plan_drop_table(database_catalog(f.db), f.table, &change, e));
    Intent *drop = intent_new(database_last_seq(f.db));
    intent_set_catalog_change(drop, change);
    CHECK_OK(database_commit(f.db, drop, e));
    intent_unref(drop);
    CHECK_OK(flush_purge_dropped(f.db, NULL, e));
    CHECK_OK(due_policy(f.db, f.table->id, &policy, e));
    CHECK_INT(policy, 0);
    CHECK_OK(due_policy(f.db, f.table->id + 1, &policy, e));
    CHECK_INT(policy, 8); /* of another table */
    fixture_close(&f);
}

TEST("an intent on a dropped table that is committed all the same")
{
    Fixture f;
    CatalogChange *change = NULL;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *late = fixture_resolve(&f, view, 2, "b");
    view_close(view);
    CHECK_OK(catalog_plan_drop_table(database_catalog(f.db), f.table, &change, e));
    Intent *drop = intent_new(database_last_seq(f.db));
    intent_set_catalog_change(drop, change);
    CHECK_OK(database_commit(f.db, drop, e));
    intent_unref(drop);
    CHECK_CODE(database_commit(f.db, late, e), E_CONFLICT);
    intent_unref(late);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CHECK_TEXT(fixture_rows(&f, arena), "");
    fixture_close(&f);
}

TEST("a past state that shows later changes, or misses rows changed since, at any page size")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "b");
    fixture_put(&f, 3, "c");
    uint64_t then = fixture_put(&f, 2, "B");
    fixture_put(&f, 1, "later");
    fixture_delete(&f, 3);
    fixture_put(&f, 4, "later");
    for (size_t limit = 1; limit <= 4; limit++) {
        CHECK_TEXT(fixture_rows_at(&f, then, limit, false, arena), "1=a 3=c 2=B ");
        CHECK_TEXT(fixture_rows_at(&f, then, limit, true, arena), "2=B 3=c 1=a ");
    }
    fixture_close(&f);
}

TEST("a feed that loses a before-image, an order or a deletion, or gives a change twice")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    uint64_t cursor = fixture_put(&f, 2, "b");
    fixture_put(&f, 1, "x");
    fixture_put(&f, 1, "y");
    fixture_delete(&f, 1);
    fixture_put(&f, 1, "z");
    CHECK_TEXT(fixture_feed(&f, cursor, arena), "~1=a>1=x ~1=x>1=y -1=y +1=z ");
    CHECK_TEXT(fixture_feed(&f, database_last_seq(f.db), arena), "");
    fixture_close(&f);
}

TEST("a cursor from the future that is taken for the newest (etcd: a watch on a future revision)")
{
    Fixture f;
    fixture_open(&f, test_folder(), TABLE_USER);
    uint64_t last = fixture_put(&f, 1, "a");
    ReadView *view = NULL;
    Feed *feed = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_CODE(feed_open(view, f.table, f.partition, last + 1, &feed, e), E_CURSOR_TOO_NEW);
    view_close(view);
    fixture_close(&f);
}

/* Beside all commits, as no statement can; nothing can read it. */
static void put_beyond(Fixture *f, HotFamily family, uint64_t seq)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    SeqKey key = table__seq_key(f->partition, seq);
    intent_add_raw(intent, RAW_PUT, family, table__key_slice(&key), SLICE("?"));
    CHECK_OK(database_commit(f->db, intent, e));
}

TEST("a walk or a feed that goes on past its own commit, where it would run behind the writers")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    uint64_t beyond = database_last_seq(f.db) + (1ULL << 50);
    put_beyond(&f, HOT_ROWS, beyond);
    put_beyond(&f, HOT_HISTORY, beyond + 1);
    fixture_put(&f, 1, "b");
    CHECK_TEXT(fixture_feed(&f, 0, arena), "+1=a ~1=a>1=b ");
    CHECK_TEXT(fixture_feed(&f, database_last_seq(f.db), arena), "");
    bool end;
    uint64_t seq;
    Slice row;
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    for (int descending = 0; descending < 2; descending++) {
        CLEANUP(row_walk_close_ptr) RowWalk *walk = NULL;
        CHECK_OK(row_walk_open(view, f.table, f.partition, 0, UINT64_MAX, descending, &walk, e));
        CHECK_OK(row_walk_next(walk, &end, &seq, &row, e));
        CHECK(!end && seq == view_seq(view));
        CHECK_OK(row_walk_next(walk, &end, &seq, &row, e));
        CHECK(end);
    }
    view_close(TAKE(view));
    fixture_close(&f);
}

TEST("one user's rows in another user's walk, feed or past state")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    Partition alice = f.partition, bob = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "alice's");
    f.partition = bob;
    fixture_put(&f, 1, "bob's");
    fixture_delete(&f, 1);
    CHECK_TEXT(fixture_rows(&f, arena), "");
    CHECK_TEXT(fixture_feed(&f, 0, arena), "+1=bob's -1=bob's ");
    f.partition = alice;
    CHECK_TEXT(fixture_rows(&f, arena), "1=alice's ");
    CHECK_TEXT(fixture_feed(&f, 0, arena), "+1=alice's ");
    fixture_close(&f);
}

TEST("a flushed row that is shown twice, lost, or comes back after UPDATE, DELETE, flush and "
     "restart")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    uint64_t rows = 0;
    fixture_open(&f, folder, TABLE_USER);
    for (int i = 1; i <= 5; i++)
        fixture_put(&f, i, "old");
    uint64_t then = database_last_seq(f.db);
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_INT(rows, 5);
    fixture_put(&f, 2, "new");
    fixture_delete(&f, 4);
    fixture_put(&f, 6, "hot");
    const char *want = "1=old 3=old 5=old 2=new 6=hot ";
    CHECK_TEXT(fixture_rows(&f, arena), want);
    CHECK_TEXT(fixture_rows_at(&f, then, 2, false, arena), "1=old 2=old 3=old 4=old 5=old ");
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_INT(rows, 2);
    CHECK_TEXT(fixture_rows(&f, arena), want);
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_INT(rows, 0);
    fixture_close(&f);
    fixture_open(&f, folder, TABLE_USER);
    CHECK_TEXT(fixture_rows(&f, arena), want);
    fixture_put(&f, 4, "again");
    fixture_delete(&f, 2);
    CHECK_TEXT(fixture_rows_at(&f, database_last_seq(f.db), 1, true, arena),
               "4=again 6=hot 5=old 3=old 1=old ");
    fixture_close(&f);
}

TEST("a row updated between the snapshot of a flush and its commit that is shown twice afterwards")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t rows = 0;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    /* An intent resolved before the flush commits must not be committed as if its old row were
     * hot. */
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *before = fixture_resolve(&f, view, 1, "b");
    view_close(view);
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_CODE(database_commit(f.db, before, e), E_CONFLICT);
    intent_unref(before);
    fixture_put(&f, 1, "b");
    CHECK_TEXT(fixture_rows(&f, arena), "1=b ");
    fixture_close(&f);
}

typedef struct Writers {
    Fixture *f;
    _Atomic int next;
} Writers;

static void write_many(void *argument)
{
    Writers *w = (Writers *)argument;
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < 600;)
        fixture_put(w->f, i % 20, i % 2 ? "odd" : "even");
}

TEST("rows lost, doubled or out of order while writers, flushes and trims run at once")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    Writers writers = {.f = &f};
    Thread *threads[4];
    for (int i = 0; i < 4; i++)
        CHECK_OK(thread_start("writer", THREAD_WORKER, write_many, &writers, &threads[i], e));
    uint64_t rows = 0;
    for (int i = 0; i < 4; i++)
        CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    const char *all = fixture_rows(&f, arena);
    int count = 0;
    for (const char *p = all; *p; p++)
        count += *p == ' ';
    CHECK_INT(count, 20);
    int changes = 0;
    for (const char *p = fixture_feed(&f, 0, arena); *p; p++)
        changes += *p == ' ';
    CHECK_INT(changes, 600);
    fixture_close(&f);
}

TEST("a STREAM whose INSERT of a known key fails or replaces")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_STREAM);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 1, "b");
    CHECK_TEXT(fixture_rows(&f, arena), "1=a 1=b ");
    CHECK_TEXT(fixture_feed(&f, 0, arena), "+1=a +1=b ");
    fixture_close(&f);
}

TEST("a folder that two servers use at once")
{
    Fixture f, second = {0};
    (void)second;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    DatabaseOptions options = {.folder = folder};
    Database *db = NULL;
    CHECK_CODE(database_open(&options, &db, e), E_LOCKED);
    fixture_close(&f);
}

static void trim_and_check(Fixture *f, Arena *arena)
{
    CHECK_OK(flush_trim(f->db, f->partition, e));
    CHECK_TEXT(fixture_rows(f, arena), "1=old 3=old 2=new ");
}

TEST("a trim of the feed window that takes a live row, or lets an old cursor pass")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    uint64_t rows = 0;
    fixture_open(&f, folder, TABLE_USER);
    for (int i = 1; i <= 4; i++)
        fixture_put(&f, i, "old");
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    fixture_put(&f, 2, "new");
    uint64_t cursor = fixture_delete(&f, 4);
    fixture_close(&f);
    DatabaseOptions options = {
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1},
        .feed_window_s = 0,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    CHECK_OK(database_open(&options, &f.db, e));
    f.table = catalog_find_table(database_catalog(f.db), SLICE("app"), SLICE("t"));
    trim_and_check(&f, arena);
    trim_and_check(&f, arena);
    /* Hot copies are gone: the old row of an UPDATE now comes from the segment. */
    fixture_put(&f, 1, "from cold");
    CHECK_TEXT(fixture_rows(&f, arena), "3=old 2=new 1=from cold ");
    ReadView *view = NULL;
    Feed *feed = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_CODE(feed_open(view, f.table, f.partition, cursor - 1, &feed, e), E_CURSOR_TOO_OLD);
    view_close(view);
    CHECK_TEXT(fixture_feed(&f, cursor, arena), "~1=old>1=from cold ");
    fixture_close(&f);
}
