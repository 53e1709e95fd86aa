/* SPDX-License-Identifier: Apache-2.0
 *
 * The feed window: by time, by bytes, by table, and what is left of a busy partition.
 */
#include "../test.h"
#include "os/clock.h"
#include "places.h"
#include "table/backup.h"
#include "table/window.h"

static int64_t now_us;

static int64_t test_monotonic(void)
{
    return now_us;
}

/* What happens when this thread next asks what time it is. */
static _Thread_local void (*meanwhile)(Fixture *f);
static _Thread_local Fixture *meanwhile_to;

static int64_t test_clock(void)
{
    void (*happens)(Fixture * f) = meanwhile;
    meanwhile = NULL;
    if (happens)
        happens(meanwhile_to);
    return now_us;
}

static void begin_kind(Fixture *f, TableKind kind)
{
    now_us = INT64_C(1800000000) * 1000000; /* 2027: seqs follow this clock */
    clock_replace(test_clock, test_monotonic);
    fixture_open_window(f, test_folder(), kind, 3600);
}

static void begin(Fixture *f)
{
    begin_kind(f, TABLE_USER);
}

static void end(Fixture *f)
{
    fixture_close(f);
    clock_replace(NULL, NULL);
}

static void pass(int64_t seconds)
{
    now_us += seconds * 1000000;
}

/* Of alice's partition. */
static size_t count_keys(Fixture *f, HotFamily family)
{
    SeqKey from = table__seq_key(f->partition, 0), to = table__seq_key(f->partition, UINT64_MAX);
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, family, table__key_slice(&from),
                                        table__key_slice(&to), false);
    size_t count = 0;
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

static void trim(Fixture *f)
{
    CHECK_OK(flush_trim(f->db, f->partition, e));
}

static Code open_feed(Fixture *f, uint64_t after_seq)
{
    ReadView *view = NULL;
    Feed *feed = NULL;
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    Error ignored = {0};
    Code code = feed_open(view, f->table, f->partition, after_seq, &feed, &ignored);
    feed_close(feed);
    view_close(view);
    return code;
}

/* A commit that is none of alice's. */
static void commit_elsewhere(Fixture *f)
{
    Fixture bob = *f;
    bob.partition = fixture_partition(f, "bob");
    fixture_put(&bob, 1, "elsewhere");
}

static void set_window(Fixture *f, uint32_t seconds, uint64_t bytes)
{
    CatalogChange *change = NULL;
    Table definition = *f->table;
    Schema schema = *f->table->schema;
    schema.version++;
    definition.schema = &schema;
    definition.feed_window_s = seconds;
    definition.feed_window_bytes = bytes;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    CHECK_OK(catalog_plan_alter_table(database_catalog(f->db), f->table, &definition, false,
                                      &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
    table_unref(f->table);
    f->table = catalog_find_table(database_catalog(f->db), SLICE("app"), SLICE("t"));
}

TEST("history of a busy partition that stays although its window has passed")
{
    enum { UPDATES = 20 * 1000 + 500 }; /* more than one commit of a trim takes */
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&f);
    for (int i = 0; i <= UPDATES; i++)
        fixture_put(&f, 1, "v");
    fixture_put(&f, 2, "gone");
    fixture_delete(&f, 2);
    CHECK_INT(count_keys(&f, HOT_HISTORY), UPDATES + 1);
    pass(7200);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    CHECK_INT(count_keys(&f, HOT_ROWS), 1);
    CHECK_TEXT(fixture_rows(&f, arena), "1=v ");
    end(&f);
}

TEST("a before-image or a tombstone inside the window that goes with what is older")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&f);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "x");
    fixture_put(&f, 2, "y");
    pass(3000);
    uint64_t cursor = fixture_put(&f, 1, "b") - 1;
    fixture_delete(&f, 2);
    fixture_put(&f, 1, "c");
    pass(1000); /* the first three are out of the window now */
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 3); /* 1=a, 1=b and 2=y */
    CHECK_TEXT(fixture_feed(&f, cursor, arena), "~1=a>1=b -2=y ~1=b>1=c ");
    CHECK_TEXT(fixture_rows_at(&f, cursor, 10, false, arena), "1=a 2=y ");
    pass(4000);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    CHECK_INT(count_keys(&f, HOT_ROWS), 1);
    CHECK_INT(open_feed(&f, cursor), E_CURSOR_TOO_OLD);
    CHECK_INT(open_feed(&f, database_last_seq(f.db)), OK);
    end(&f);
}

TEST("hot copies of rows that were flushed only after their window, kept for ever")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t rows;
    begin(&f);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 1, "b");
    pass(7200);
    trim(&f);
    CHECK_OK(flush_partition(f.db, f.table, f.partition, &rows, e));
    CHECK_INT(count_keys(&f, HOT_ROWS), 1);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_ROWS), 0);
    CHECK_TEXT(fixture_rows(&f, arena), "1=b ");
    end(&f);
}

TEST("a window of bytes that keeps more, or lets a cursor below it pass, or takes a live row")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&f);
    fixture_put(&f, 1, "first");
    fixture_put(&f, 2, "second");
    uint64_t early = database_last_seq(f.db);
    for (int i = 0; i < 100; i++)
        fixture_put(&f, 1, "a text of some length, written again and again");
    uint64_t late = fixture_put(&f, 2, "the end");
    trim(&f); /* no limit of bytes: the hour has not passed */
    CHECK_INT(open_feed(&f, early), OK);
    set_window(&f, 0, 1000);
    trim(&f);
    size_t kept = count_keys(&f, HOT_HISTORY);
    CHECK(kept > 2 && kept < 15);
    CHECK_INT(open_feed(&f, early), E_CURSOR_TOO_OLD);
    CHECK_INT(open_feed(&f, late), OK);
    CHECK_TEXT(fixture_feed(&f, late - 1, arena), "~2=second>2=the end ");
    CHECK_TEXT(fixture_rows(&f, arena),
               "1=a text of some length, written again and again 2=the end ");
    end(&f);
}

TEST("the window of a table that the server's default decides instead")
{
    Fixture f;
    begin(&f);
    fixture_put(&f, 1, "a");
    uint64_t cursor = fixture_put(&f, 1, "b");
    fixture_put(&f, 1, "c");
    set_window(&f, 4 * 3600, 0);
    pass(2 * 3600);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 2);
    CHECK_INT(open_feed(&f, cursor), OK);
    set_window(&f, 60, 0);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    CHECK_INT(open_feed(&f, cursor), E_CURSOR_TOO_OLD);
    end(&f);
}

TEST("a client that has missed nothing is told that its cursor is too old, since others committed")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&f);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "x");
    uint64_t missed = fixture_delete(&f, 2) - 1;
    pass(1);
    commit_elsewhere(&f);
    uint64_t seen = fixture_put(&f, 1, "b");
    for (int hour = 0; hour < 30; hour += 10) { /* by then it has left the window, whose start … */
        pass(1);
        commit_elsewhere(&f); /* … is a commit of another partition, and then nobody's */
        pass(hour * 3600 + 3599);
        commit_elsewhere(&f);
        trim(&f);
        CHECK_INT(open_feed(&f, seen), OK);
        CHECK_TEXT(fixture_feed(&f, seen, arena), "");
        CHECK_TEXT(fixture_rows_at(&f, seen, 10, false, arena), "1=b ");
    }
    CHECK_INT(open_feed(&f, missed), E_CURSOR_TOO_OLD); /* the delete is gone, nobody may skip it */
    CHECK_INT(open_feed(&f, seen - 1), E_CURSOR_TOO_OLD);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    fixture_flush(&f);
    trim(&f); /* the hot copy goes */
    uint64_t next = fixture_put(&f, 1, "c");
    CHECK_TEXT(fixture_feed(&f, seen, arena), "~1=b>1=c ");
    CHECK_TEXT(fixture_rows_at(&f, seen, 10, false, arena), "1=b ");
    pass(3601);
    trim(&f);
    CHECK_INT(open_feed(&f, seen), E_CURSOR_TOO_OLD);
    CHECK_INT(open_feed(&f, next), OK);
    fixture_check_sound(&f);
    end(&f);
}

TEST("a partition without changes gets a low end to its feed, or one that a trim in pieces "
     "overshoots")
{
    enum { UPDATES = 20 * 1000 + 500 }; /* more than one commit of a trim takes */
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&f);
    commit_elsewhere(&f);
    uint64_t early = database_last_seq(f.db), last = 0;
    pass(7200);
    commit_elsewhere(&f);
    trim(&f);
    CHECK_INT(open_feed(&f, early), OK); /* nothing has left it */
    for (int i = 0; i <= UPDATES; i++)
        last = fixture_put(&f, 1, "v");
    CHECK_INT(open_feed(&f, early), OK);
    pass(3601);
    commit_elsewhere(&f);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    CHECK_INT(open_feed(&f, early), E_CURSOR_TOO_OLD);
    CHECK_INT(open_feed(&f, last - 1), E_CURSOR_TOO_OLD);
    CHECK_TEXT(fixture_feed(&f, last, arena), "");
    end(&f);
}

TEST("a window of bytes whose low end is another than the newest change that did not fit")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t seqs[40];
    int first = 0;
    begin(&f);
    for (int i = 0; i < 40; i++) {
        seqs[i] = fixture_put(&f, 1, "a text of some length, written again and again");
        commit_elsewhere(&f);
    }
    set_window(&f, 0, 1000);
    trim(&f);
    while (first < 40 && open_feed(&f, seqs[first]) != OK)
        first++;
    CHECK(first > 20 && first < 38);
    CHECK_INT(open_feed(&f, seqs[first] - 1), E_CURSOR_TOO_OLD);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 39 - first); /* also what the first one kept replaced */
    pass(3601);
    commit_elsewhere(&f);
    trim(&f); /* by time; what fits into the bytes goes, too */
    CHECK_INT(open_feed(&f, seqs[39] - 1), E_CURSOR_TOO_OLD);
    CHECK_TEXT(fixture_feed(&f, seqs[39], arena), "");
    end(&f);
}

TEST("deleted rows of before a restore whose last text stays for ever, where a flush or a "
     "compaction "
     "comes before the first trim")
{
    Fixture f;
    Places p = places_new();
    BackupReport report;
    fixture_open(&f, p.data, TABLE_USER);
    places_fill(&f);
    CHECK_OK(database_backup(f.db, p.backup, (BackupStop){0}, &report, e));
    fixture_close(&f);
    for (int compacts = 0; compacts < 2; compacts++) {
        const char *folder = arena_printf(p.arena, "%s%d", p.other, compacts);
        CHECK_OK(backup_restore(p.backup, folder, &report, e));
        fixture_open_window(&f, folder, TABLE_USER, 1);
        uint64_t before = report.seq;
        if (compacts)
            CHECK(fixture_compact(&f, COMPACT_ALL) > 0);
        else
            fixture_flush(&f);
        CHECK(count_keys(&f, HOT_HISTORY) > 0);
        trim(&f);
        CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
        CHECK_INT(open_feed(&f, before), E_CURSOR_TOO_OLD); /* the mark of the restore stays */
        CHECK_INT(open_feed(&f, database_last_seq(f.db)), OK);
        fixture_check_sound(&f);
        fixture_close(&f);
    }
    arena_free(p.arena);
}

static void alter_window(Fixture *f)
{
    set_window(f, 3600, f->table->feed_window_bytes + 1024 * 1024);
}

TEST("a trim that never ends well while somebody alters the table all the time")
{
    Fixture f;
    begin(&f);
    for (int i = 0; i < 3; i++)
        fixture_put(&f, 1, "v");
    pass(3601);
    meanwhile = alter_window;
    meanwhile_to = &f;
    trim(&f);
    CHECK(!meanwhile);
    CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
    end(&f);
}

static void alter_ttl(Fixture *f, uint32_t ttl_s, int64_t expired_before_us)
{
    CatalogChange *change = NULL;
    Table definition = *f->table;
    Schema schema = *f->table->schema;
    schema.version++;
    definition.schema = &schema;
    definition.ttl_s = ttl_s;
    definition.expired_before_us = expired_before_us;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    CHECK_OK(catalog_plan_alter_table(database_catalog(f->db), f->table, &definition, false,
                                      &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
    table_unref(f->table);
    f->table = catalog_find_table(database_catalog(f->db), SLICE("app"), SLICE("t"));
}

/* The TTL is made longer, and time passes until the rows would have expired by the old one. */
static void lengthen(Fixture *f)
{
    uint32_t ttl_s = f->table->ttl_s;
    alter_ttl(f, 10 * ttl_s, now_us - (int64_t)ttl_s * 1000000);
    pass(ttl_s + 1);
}

static void shorten(Fixture *f)
{
    alter_ttl(f, f->table->ttl_s / 2, f->table->expired_before_us);
}

TEST("events go that a TTL made longer keeps, when the trim had begun before; or a shorter one "
     "keeps "
     "what is over")
{
    Fixture f;
    begin_kind(&f, TABLE_STREAM);
    for (int i = 1; i <= 3; i++)
        fixture_put(&f, i, "v");
    meanwhile = lengthen;
    meanwhile_to = &f;
    CHECK_CODE(flush_trim(f.db, f.partition, e), E_CONFLICT);
    CHECK_INT(count_keys(&f, HOT_ROWS), 3);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_ROWS), 3);
    pass(10 * f.table->ttl_s);
    meanwhile = shorten;
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_ROWS), 0);
    end(&f);
}

static void drop_table(Fixture *f)
{
    CatalogChange *change = NULL;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    CHECK_OK(catalog_plan_drop_table(database_catalog(f->db), f->table, &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
}

TEST("a trim that ends after the DROP of its table leaves the state of a partition that is no more")
{
    Fixture f;
    begin(&f);
    for (int i = 0; i < 3; i++)
        fixture_put(&f, 1, "v");
    pass(3601);
    meanwhile = drop_table;
    meanwhile_to = &f;
    CHECK_CODE(flush_trim(f.db, f.partition, e), E_CONFLICT);
    CHECK_CODE(flush_trim(f.db, f.partition, e), E_CANCELLED);
    CHECK_OK(flush_purge_dropped(f.db, NULL, e));
    fixture_check_sound(&f);
    end(&f);
}

static uint64_t feed_low(Fixture *f)
{
    ReadView *view = NULL;
    PartitionState state = {0};
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(view__stored_partition(view, f->partition, &state, e));
    view_close(view);
    return state.feed_low;
}

/* Of the changes above feed low. */
static uint64_t weigh_feed(Fixture *f)
{
    ReadView *view = NULL;
    Feed *feed = NULL;
    FeedChange change;
    uint64_t bytes = 0;
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(feed_open(view, f->table, f->partition, feed_low(f), &feed, e));
    for (bool is_end = false;;) {
        CHECK_OK(feed_next(feed, &is_end, &change, e));
        if (is_end)
            break;
        bytes += SEQ_KEY_BYTES + change.new_row.size;
    }
    feed_close(feed);
    view_close(view);
    return bytes;
}

TEST("what is remembered of a window's weight differs from what its changes weigh, after rows were "
     "changed, deleted, flushed and trimmed by bytes or by time")
{
    enum { LIMIT = 600 * 1000, TEXT = 2000, ROUNDS = 12, PUTS = 100 };
    Fixture f;
    Weight weight;
    char text[TEXT + 1];
    memset(text, 'a', TEXT);
    text[TEXT] = 0;
    begin(&f);
    set_window(&f, 0, LIMIT);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < PUTS; i++)
            fixture_put(&f, (round * 37 + i * 7) % 300, text + i);
        fixture_delete(&f, (round * 37) % 300);
        if (round % 3 == 1)
            fixture_flush(&f);
        pass(round % 4 == 3 ? 1800 : 1);
        trim(&f);
        uint64_t bytes = weigh_feed(&f);
        CHECK(bytes <= LIMIT);
        CHECK(windows_get(database__windows(f.db), f.partition, &weight) == (bytes >= 256 * 1024));
        if (bytes >= 256 * 1024) {
            CHECK_INT(weight.bytes, bytes);
            CHECK_INT(weight.effective_low, feed_low(&f)); /* else the next trim weighs all anew */
        }
        if (round == 8) /* so much that the bytes decide: the next change did not fit */
            CHECK(bytes > LIMIT - 2 * TEXT);
    }
    fixture_check_sound(&f);
    end(&f);
}

TEST("the hot store is merged for rows that left the feed and are not flushed, of which nothing is "
     "deleted; or not for what is deleted of them after their flush")
{
    Fixture f;
    begin(&f);
    HotStore *hot = database_hot(f.db);
    pass(7200);
    CHECK_OK(hot_reclaim(hot, e)); /* what is assumed at a start */
    CHECK(hot_reclaim_wait_us(hot) == INT64_MAX);
    for (int i = 0; i < 100; i++)
        fixture_put(&f, i, "a row that is inserted once");
    uint64_t before = feed_low(&f);
    pass(3700);
    trim(&f);
    CHECK(feed_low(&f) > before);
    CHECK(hot_reclaim_wait_us(hot) == INT64_MAX);
    fixture_flush(&f);
    trim(&f);
    CHECK_INT(count_keys(&f, HOT_ROWS), 0);
    CHECK(hot_reclaim_wait_us(hot) < INT64_MAX);
    end(&f);
}

TEST(
    "a text that was replaced or deleted stays in the files for good, since its row was older than "
    "the window when it died: nothing counts as deleted")
{
    Fixture f;
    begin(&f);
    HotStore *hot = database_hot(f.db);
    pass(7200);
    CHECK_OK(hot_reclaim(hot, e)); /* what is assumed at a start */
    for (int deletes = 0; deletes < 2; deletes++) {
        fixture_put(&f, deletes, "the text");
        pass(3700);
        trim(&f);
        if (deletes)
            fixture_delete(&f, deletes);
        else
            fixture_put(&f, deletes, "another");
        CHECK_OK(hot_reclaim(hot, e));
        CHECK(hot_reclaim_wait_us(hot) == INT64_MAX);
        pass(3700);
        trim(&f);
        CHECK_INT(count_keys(&f, HOT_HISTORY), 0);
        CHECK(hot_reclaim_wait_us(hot) < INT64_MAX);
        pass(3700);
        CHECK_INT(hot_reclaim_wait_us(hot), 0);
        CHECK_OK(hot_reclaim(hot, e));
        CHECK(hot_reclaim_wait_us(hot) == INT64_MAX);
    }
    end(&f);
}
