/* SPDX-License-Identifier: Apache-2.0
 *
 * What is due by itself, on a clock of the test: flush policies to the letter, the feed window,
 * expiry, and that an idle partition leaves nothing in the due index.
 */
#include <string.h>

#include "../table/fixture.h"
#include "../test.h"
#include "cold/cold.h"
#include "data/row.h"
#include "jobs/dirt.h"
#include "jobs/jobs.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

enum { WAIT_MS = 60 * 1000, DAY_S = 86400, HOUR_S = 3600 };

static _Atomic int64_t now_us;

static int64_t test_clock(void)
{
    return now_us;
}

typedef struct Stage {
    Fixture f;
    Jobs *jobs;
    Table *other; /* its flushes give the thread turns */
    int64_t next_id;
    JobsOptions options;
} Stage;

static void alter(Stage *s, Table *definition)
{
    CatalogChange *change = NULL;
    Schema schema = *s->f.table->schema;
    schema.version++;
    definition->schema = &schema;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(s->f.db));
    CHECK_OK(catalog_plan_alter_table(database_catalog(s->f.db), s->f.table, definition, false,
                                      &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(s->f.db, intent, e));
    table_unref(s->f.table);
    s->f.table = catalog_find_table(database_catalog(s->f.db), SLICE("app"), SLICE("t"));
}

static void set_policy(Stage *s, uint32_t rows, uint32_t interval_s)
{
    Table definition = *s->f.table;
    definition.flush_rows = rows;
    definition.flush_interval_s = interval_s;
    alter(s, &definition);
}

static void make_other(Stage *s)
{
    Catalog *catalog = database_catalog(s->f.db);
    CatalogChange *change = NULL;
    Table definition = *s->f.table;
    definition.kind = TABLE_SHARED;
    definition.ttl_s = 0;
    definition.name = SLICE("other");
    definition.flush_rows = 1000 * 1000 - 1;
    definition.flush_interval_s = 0;
    s->other = catalog_find_table(catalog, SLICE("app"), SLICE("other"));
    if (s->other)
        return;
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(s->f.db));
    CHECK_OK(catalog_plan_create_table(catalog, &definition, &change, e));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(s->f.db, intent, e));
    s->other = catalog_find_table(catalog, SLICE("app"), SLICE("other"));
}

static void open_stage(Stage *s, const char *folder, TableKind kind)
{
    fixture_open_window(&s->f, folder, kind, DAY_S);
    make_other(s);
    CHECK_OK(jobs_start(s->f.db, &s->options, &s->jobs, e));
}

static void begin(Stage *s, const char *folder, TableKind kind)
{
    now_us = INT64_C(1800000000) * 1000000;
    clock_replace(test_clock, NULL);
    *s = (Stage){.options = {.flush_rows_default = 100, .check_interval_s = 60}};
    open_stage(s, folder, kind);
}

static void close_stage(Stage *s)
{
    jobs_stop(s->jobs);
    table_unref(s->other);
    fixture_close(&s->f);
    jobs_free(s->jobs);
}

static void end(Stage *s)
{
    close_stage(s);
    clock_replace(NULL, NULL);
}

static void flush_other(Stage *s)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Fixture other = s->f;
    FlushRequest outcome;
    char id[JOB_ID_BYTES];
    JobInfo info;
    other.table = s->other;
    other.partition = (Partition){s->other->id, 0};
    fixture_put(&other, ++s->next_id, "x");
    CHECK_OK(jobs_request_flush(s->jobs, s->other, &outcome, id, e));
    CHECK_INT(outcome, FLUSH_STARTED);
    CHECK_OK(jobs_wait(s->jobs, id, WAIT_MS, arena, &info, e));
    CHECK_INT(info.status, JOB_COMPLETED);
}

/* The thread looks for due work between two jobs. */
static void turn(Stage *s)
{
    flush_other(s);
    flush_other(s);
}

/* What must happen is waited for, a minute at most: lanes rest, and the machine may be busy. Then
 * comes one more turn: the look that did it has planned the next one, by the clock before the test
 * sets it on. What must not happen is looked for after one turn. */
#define TURN_UNTIL_AFTER(s, turn_s, condition)                                                  \
    do {                                                                                        \
        int64_t deadline_us_ = clock_monotonic_us() + WAIT_MS * INT64_C(1000);                  \
        for (; !(condition) && clock_monotonic_us() < deadline_us_; now_us += (turn_s)*1000000) \
            turn(s);                                                                            \
        turn(s);                                                                                \
        CHECK(condition);                                                                       \
    } while (0)
/* The clock goes on: a partition that another lane works on is looked at again a second later. */
#define TURN_UNTIL(s, condition) TURN_UNTIL_AFTER(s, 1, condition)

static void pass(Stage *s, int64_t seconds)
{
    now_us += seconds * 1000000;
    turn(s);
}

static uint64_t count_flushed(Stage *s)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *entries;
    size_t count;
    uint64_t rows = 0;
    ReadView *view = NULL;
    CHECK_OK(view_open(s->f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, s->f.partition, 0, UINT64_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++)
        rows += entries[i].row_count;
    view_close(view);
    return rows;
}

static size_t count_keys(Stage *s, HotFamily family, Partition partition)
{
    char from[12], to[12];
    for (int i = 0; i < 4; i++)
        from[i] = to[i] = (char)(partition.table_id >> (24 - 8 * i));
    for (int i = 0; i < 8; i++) {
        from[4 + i] = (char)(partition.user >> (56 - 8 * i));
        to[4 + i] = (char)((partition.user + 1) >> (56 - 8 * i));
    }
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(s->f.db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, family, slice_of(from, 12),
                                        slice_of(to, 12), false);
    size_t count = 0;
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

/* Entries and plans of the partition in the due index. */
static size_t count_due(Stage *s)
{
    static const char from[1] = {0};
    char to[32], wanted[12];
    size_t count = 0;
    memset(to, 0xFF, sizeof to);
    for (int i = 0; i < 4; i++)
        wanted[i] = (char)(s->f.partition.table_id >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        wanted[4 + i] = (char)(s->f.partition.user >> (56 - 8 * i));
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(s->f.db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_DUE, slice_of(from, 1),
                                        slice_of(to, sizeof to), false);
    while (hot_next(it))
        count += hot_key(it).size == 20 && memcmp(hot_key(it).data + 8, wanted, 12) == 0;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

TEST("interval:S that flushes early, late, or not after a restart")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    set_policy(&s, 0, 300);
    turn(&s);
    fixture_put(&s.f, 1, "a");
    pass(&s, 200);
    fixture_put(&s.f, 2, "b");
    pass(&s, 99);
    CHECK_INT(count_flushed(&s), 0);
    pass(&s, 2);
    TURN_UNTIL(&s, count_flushed(&s) == 2);
    fixture_put(&s.f, 3, "c");
    pass(&s, 100);
    close_stage(&s);
    now_us += INT64_C(150) * 1000000;
    open_stage(&s, folder, TABLE_USER);
    turn(&s);
    CHECK_INT(count_flushed(&s), 2);
    pass(&s, 51);
    TURN_UNTIL(&s, count_flushed(&s) == 3);
    end(&s);
}

TEST("rows:N that flushes with fewer, does not with as many, or forgets what it counted before a "
     "restart")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    set_policy(&s, 10, 0);
    for (int i = 1; i <= 9; i++)
        fixture_put(&s.f, i, "v");
    fixture_put(&s.f, 9, "again"); /* ten changes of nine rows */
    turn(&s);
    CHECK_INT(count_flushed(&s), 0);
    fixture_put(&s.f, 10, "v");
    turn(&s);
    TURN_UNTIL(&s, count_flushed(&s) == 10);
    for (int i = 11; i <= 16; i++)
        fixture_put(&s.f, i, "v");
    turn(&s);
    close_stage(&s);
    open_stage(&s, folder, TABLE_USER);
    for (int i = 17; i <= 19; i++)
        fixture_put(&s.f, i, "v");
    turn(&s);
    CHECK_INT(count_flushed(&s), 10);
    fixture_put(&s.f, 20, "v");
    turn(&s);
    TURN_UNTIL(&s, count_flushed(&s) == 20);
    pass(&s, 10 * DAY_S);
    fixture_put(&s.f, 21, "v");
    pass(&s, 10 * DAY_S); /* rows alone: never by age */
    CHECK_INT(count_flushed(&s), 20);
    end(&s);
}

TEST("rows:N,interval:S of which only one is honoured")
{
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 5, 60);
    for (int i = 1; i <= 5; i++)
        fixture_put(&s.f, i, "v");
    turn(&s);
    TURN_UNTIL(&s, count_flushed(&s) == 5);
    fixture_put(&s.f, 6, "v");
    pass(&s, 59);
    CHECK_INT(count_flushed(&s), 5);
    pass(&s, 2);
    TURN_UNTIL(&s, count_flushed(&s) == 6);
    end(&s);
}

TEST("the server's default that makes a tiny file, or never flushes by age")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    close_stage(&s);
    s.options.flush_interval_default_s = DAY_S;
    s.options.flush_rows_min = 3;
    open_stage(&s, folder, TABLE_USER);
    fixture_put(&s.f, 1, "v");
    fixture_put(&s.f, 2, "v");
    pass(&s, DAY_S + HOUR_S);
    pass(&s, DAY_S);
    CHECK_INT(count_flushed(&s), 0);
    fixture_put(&s.f, 3, "v");
    pass(&s, 2 * HOUR_S);
    TURN_UNTIL(&s, count_flushed(&s) == 3);
    for (int i = 4; i <= 6; i++)
        fixture_put(&s.f, i, "v");
    pass(&s, DAY_S - 60);
    CHECK_INT(count_flushed(&s), 3);
    pass(&s, 120);
    TURN_UNTIL(&s, count_flushed(&s) == 6);
    end(&s);
}

TEST("the server's default of less than an hour that is noticed when the hour is over, or after a "
     "restart never")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    close_stage(&s);
    s.options.flush_interval_default_s = 300;
    open_stage(&s, folder, TABLE_USER);
    for (int i = 1; i <= 4; i++) {
        int64_t put_us = now_us;
        fixture_put(&s.f, i, "v");
        if (i == 3) {
            close_stage(&s);
            open_stage(&s, folder, TABLE_USER);
        }
        pass(&s, 290);
        CHECK_INT(count_flushed(&s), i - 1);
        now_us = put_us + 301 * INT64_C(1000000);
        TURN_UNTIL(&s, count_flushed(&s) == (uint64_t)i);
        CHECK(now_us < put_us + 600 * INT64_C(1000000));
    }
    end(&s);
}

TEST("rows that make a flush due together with those a look has just counted, and wait for more")
{
    Stage s;
    Dirt looked, again;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 4, 0);
    jobs_stop(s.jobs); /* the test looks itself */
    fixture_put(&s.f, 1, "v");
    CHECK_INT(jobs__take_dirt(s.jobs, &looked, 1), 1);
    for (int i = 2; i <= 4; i++)
        fixture_put(&s.f, i, "v");
    CHECK_INT(jobs__take_dirt(s.jobs, &again, 1), 0);
    looked.rows = 1;
    jobs__return_dirt(s.jobs, s.f.table, &looked);
    CHECK_INT(jobs__take_dirt(s.jobs, &again, 1), 1);
    CHECK_INT(again.rows, 4);
    table_unref(s.other);
    fixture_close(&s.f);
    jobs_free(s.jobs);
    clock_replace(NULL, NULL);
}

TEST("a policy given by ALTER TABLE that rows from before do not see")
{
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 1000, 0);
    fixture_put(&s.f, 1, "v");
    pass(&s, 3 * DAY_S); /* all looks that the commit made due are over */
    CHECK_INT(count_flushed(&s), 0);
    set_policy(&s, 0, 60);
    turn(&s);
    TURN_UNTIL(&s, count_flushed(&s) == 1);
    end(&s);
}

TEST("fewer rows given by ALTER TABLE than wait already, and nobody writes: they were counted for "
     "the old policy")
{
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 1000, 0);
    for (int i = 1; i <= 20; i++)
        fixture_put(&s.f, i, "v");
    turn(&s);
    CHECK_INT(count_flushed(&s), 0);
    set_policy(&s, 10, 0);
    TURN_UNTIL(&s, count_flushed(&s) == 20);
    end(&s);
}

enum { MANY = 10 * 1000, MANY_AT_ONCE = 500 };

/* A row in each of many partitions. */
static void put_many(Stage *s)
{
    for (uint64_t first = 0; first < MANY; first += MANY_AT_ONCE) {
        CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(s->f.db));
        for (uint64_t i = first; i < first + MANY_AT_ONCE; i++) {
            CLEANUP(buffer_done) Buffer row = {0};
            CLEANUP(buffer_done) Buffer key = {0};
            Value values[2] = {value_integer(TYPE_BIGINT, 1), value_text(SLICE("v"))};
            row_encode(s->f.table->schema, values, &row);
            CHECK_OK(key_encode(&values[0], &key, e));
            RowChange change = {
                .kind = CHANGE_INSERT, .key = buffer_slice(&key), .new_row = buffer_slice(&row)};
            Partition partition = {s->f.table->id, 1000 + i};
            CHECK_OK(intent_add(intent, intent_part(intent, s->f.table, partition), &change, e));
        }
        CHECK_OK(database_commit(s->f.db, intent, e));
    }
}

/* Entries of a family: from key bytes `first` on, below `end`. */
static size_t count_range(Stage *s, HotFamily family, Slice first, Slice end)
{
    size_t count = 0;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(s->f.db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, family, first, end, false);
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

/* Looks that are due and were not made. */
static size_t count_overdue(Stage *s)
{
    char until[8];
    for (int i = 0; i < 8; i++)
        until[i] = (char)((uint64_t)now_us >> (56 - 8 * i));
    return count_range(s, HOT_DUE, SLICE("\0"), slice_of(until, sizeof until));
}

static size_t count_segments(Stage *s)
{
    char from[4], to[4];
    for (int i = 0; i < 4; i++) {
        from[i] = (char)(s->f.table->id >> (24 - 8 * i));
        to[i] = (char)((s->f.table->id + 1) >> (24 - 8 * i));
    }
    return count_range(s, HOT_SEGMENTS, slice_of(from, 4), slice_of(to, 4));
}

TEST("ten thousand small partitions that the server's default makes as many files of, or looks at "
     "for ever; one among them that is large enough and waits with them")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    close_stage(&s);
    s.options.flush_interval_default_s = DAY_S;
    s.options.flush_rows_min = 3;
    open_stage(&s, folder, TABLE_USER);
    put_many(&s);
    for (int i = 1; i <= 3; i++)
        fixture_put(&s.f, i, "v");
    for (int hour = 0; hour < 30; hour++) {
        pass(&s, HOUR_S);
        TURN_UNTIL(&s, count_overdue(&s) == 0);
    }
    CHECK_INT(count_segments(&s), 1);
    CHECK_INT(count_flushed(&s), 3);
    end(&s);
}

TEST("history, tombstones or hot copies of an idle partition that stay after the window, or a "
     "partition looked at for ever")
{
    Stage s;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&s, test_folder(), TABLE_USER);
    for (int i = 1; i <= 4; i++)
        fixture_put(&s.f, i, "v");
    fixture_put(&s.f, 1, "w");
    fixture_delete(&s.f, 2);
    CHECK_INT(count_keys(&s, HOT_HISTORY, s.f.partition), 2);
    pass(&s, DAY_S - HOUR_S);
    CHECK_INT(count_keys(&s, HOT_HISTORY, s.f.partition), 2);
    CHECK(count_due(&s) > 0);
    for (int i = 0; i < 4; i++)
        pass(&s, 2 * HOUR_S);
    TURN_UNTIL(&s, count_keys(&s, HOT_HISTORY, s.f.partition) == 0);
    CHECK_INT(count_keys(&s, HOT_ROWS, s.f.partition), 3);
    CHECK_TEXT(fixture_rows(&s.f, arena), "3=v 4=v 1=w ");
    pass(&s, 30 * DAY_S);
    pass(&s, 30 * DAY_S);
    TURN_UNTIL(&s, count_due(&s) == 0);
    end(&s);
}

static bool is_in_hot_files(const Stage *s, const char *text)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *entries;
    size_t count;
    const char *folder = arena_printf(arena, "%s/rocksdb", s->f.folder);
    CHECK_OK(file_list(folder, 100000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        Slice bytes;
        Error gone;
        if (file_read(arena_printf(arena, "%s/%s", folder, entries[i].name), 1 << 28, arena, &bytes,
                      &gone) != OK)
            continue; /* a merge has removed it */
        if (bytes.size && memmem(bytes.data, bytes.size, text, strlen(text)))
            return true;
    }
    return false;
}

static void check_canary_leaves(TableKind kind)
{
    Stage s;
    begin(&s, test_folder(), kind);
    fixture_put(&s.f, 1, "canary-c90b7e");
    if (kind != TABLE_STREAM)
        fixture_put(&s.f, 1, "replaced");
    CHECK_OK(hot_flush(database_hot(s.f.db), e)); /* else the file of its deletion would hide it */
    pass(&s, DAY_S - 2 * HOUR_S);
    CHECK(is_in_hot_files(&s, "canary-c90b7e"));
    for (int i = 0; i < 8; i++)
        pass(&s, HOUR_S);
    TURN_UNTIL(&s,
               count_keys(&s, kind == TABLE_STREAM ? HOT_ROWS : HOT_HISTORY, s.f.partition) == 0);
    pass(&s, DAY_S);
    TURN_UNTIL(&s, !is_in_hot_files(&s, "canary-c90b7e"));
    end(&s);
}

TEST("the text of a row that was replaced, still in a file or the log of the hot tier a window "
     "after "
     "it was trimmed")
{
    check_canary_leaves(TABLE_USER);
}

TEST("the text of an event that expired, still in a file of the hot tier a window later")
{
    check_canary_leaves(TABLE_STREAM);
}

TEST(
    "a note and a plan of one partition that are due together and looked at side by side: one look "
    "finds the other's claim and comes back for nothing")
{
    enum { USERS = 16 };
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 1000, 0);
    for (uint64_t user = 1; user <= USERS; user++) {
        s.f.partition.user = user;
        fixture_put(&s.f, 1, "v");
    }
    set_policy(&s, 999, 0); /* a look that plans, beside the note of the commit */
    for (uint64_t user = 1; user <= USERS; user++) {
        s.f.partition.user = user;
        TURN_UNTIL_AFTER(&s, 0, count_due(&s) == 3);
    }
    pass(&s, 3 * DAY_S);
    for (uint64_t user = 1; user <= USERS; user++) {
        s.f.partition.user = user;
        TURN_UNTIL_AFTER(&s, 0, count_due(&s) == 0);
    }
    end(&s);
}

TEST("a partition of inserts that is looked at for ever, or hot copies that stay: its rows are "
     "flushed on request when the feed window has passed them")
{
    Stage s;
    FlushRequest outcome;
    char id[JOB_ID_BYTES];
    JobInfo info;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 1000, 0);
    fixture_put(&s.f, 1, "v");
    pass(&s, 3 * DAY_S);
    TURN_UNTIL(&s, count_due(&s) == 0);
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, id, e));
    CHECK_OK(jobs_wait(s.jobs, id, WAIT_MS, arena, &info, e));
    CHECK_INT(count_flushed(&s), 1);
    pass(&s, DAY_S);
    TURN_UNTIL(&s, count_keys(&s, HOT_ROWS, s.f.partition) == 0);
    pass(&s, DAY_S);
    TURN_UNTIL(&s, count_due(&s) == 0);
    end(&s);
}

TEST("a feed that outgrows its bytes since each flush by rows begins their count anew")
{
    enum { ROUNDS = 30, ROWS = 10, WINDOW_BYTES = 5000, ROW_BYTES_MIN = 50 };
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    Table definition = *s.f.table;
    definition.flush_rows = ROWS;
    definition.feed_window_bytes = WINDOW_BYTES;
    alter(&s, &definition);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 1; k <= ROWS; k++)
            fixture_put(&s.f, i * ROWS + k, "a text of a few bytes, much less than the window");
        turn(&s);
    }
    TURN_UNTIL(&s, count_keys(&s, HOT_ROWS, s.f.partition) < WINDOW_BYTES * 2 / ROW_BYTES_MIN);
    end(&s);
}

TEST("as many rows as rows:N says that are not flushed, since a restart forgot them and nobody "
     "writes")
{
    Stage s;
    const char *folder = test_folder();
    begin(&s, folder, TABLE_USER);
    set_policy(&s, 10, 0);
    turn(&s);
    close_stage(&s);
    fixture_open_window(&s.f, folder, TABLE_USER, DAY_S);
    for (int i = 1; i <= 10; i++)
        fixture_put(&s.f, i, "v"); /* no jobs yet: as if the server had ended before its look */
    fixture_close(&s.f);
    open_stage(&s, folder, TABLE_USER);
    pass(&s, HOUR_S + 1);
    TURN_UNTIL(&s, count_flushed(&s) == 10);
    end(&s);
}

TEST("events of a STREAM that expired on an idle server and still take space")
{
    Stage s;
    begin(&s, test_folder(), TABLE_STREAM);
    for (int i = 1; i <= 4; i++)
        fixture_put(&s.f, i, "v");
    pass(&s, HOUR_S - 60);
    CHECK_INT(count_keys(&s, HOT_ROWS, s.f.partition), 4);
    for (int i = 0; i < 3; i++)
        pass(&s, HOUR_S);
    TURN_UNTIL(&s, count_keys(&s, HOT_ROWS, s.f.partition) == 0);
    TURN_UNTIL(&s, count_due(&s) == 0);
    end(&s);
}

TEST("events that had expired when the TTL was made longer, and stay on the disk as long as that")
{
    Stage s;
    begin(&s, test_folder(), TABLE_STREAM);
    for (int i = 1; i <= 4; i++)
        fixture_put(&s.f, i, "v");
    now_us += (HOUR_S + 60) * INT64_C(1000000); /* nothing has looked at them yet */
    fixture_put(&s.f, 5, "v");
    Table definition = *s.f.table;
    definition.expired_before_us = now_us - (int64_t)definition.ttl_s * 1000000;
    definition.ttl_s = 30 * DAY_S;
    alter(&s, &definition);
    TURN_UNTIL(&s, count_keys(&s, HOT_ROWS, s.f.partition) == 1);
    end(&s);
}

TEST("the content of a row that died, still in a file when the window has passed and nobody writes")
{
    Stage s;
    begin(&s, test_folder(), TABLE_USER);
    set_policy(&s, 3, 0);
    for (int i = 1; i <= 3; i++)
        fixture_put(&s.f, i, "v");
    TURN_UNTIL(&s, count_flushed(&s) == 3);
    fixture_delete(&s.f, 2);
    pass(&s, DAY_S - HOUR_S);
    CHECK_INT(count_flushed(&s), 3);
    for (int i = 0; i < 4; i++)
        pass(&s, HOUR_S);
    TURN_UNTIL(&s, count_flushed(&s) == 2);
    TURN_UNTIL(&s, count_keys(&s, HOT_DEAD, s.f.partition) == 0);
    end(&s);
}
