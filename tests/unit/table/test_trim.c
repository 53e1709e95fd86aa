/* SPDX-License-Identifier: Apache-2.0
 *
 * The feed window: by time, by bytes, by table, and what is left of a busy partition.
 */
#include "../test.h"
#include "fixture.h"
#include "os/clock.h"

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

static size_t count_keys(Fixture *f, HotFamily family)
{
    char low[1] = {0}, high[13];
    memset(high, 0xFF, sizeof high);
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, family, slice_of(low, sizeof low),
                                        slice_of(high, sizeof high), false);
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
