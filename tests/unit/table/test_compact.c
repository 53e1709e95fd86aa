/* SPDX-License-Identifier: Apache-2.0
 *
 * Compaction: the same rows, past states and feed before and after; what is left on the disk.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../test.h"
#include "cold/cold.h"
#include "data/row.h"
#include "fixture.h"
#include "os/file.h"
#include "os/thread.h"
#include "table/compact.h"

enum { FILE_BYTES_MAX = 64 << 20 };

static size_t segments(Fixture *f, Arena *arena, SegmentEntry **out)
{
    size_t count;
    ReadView *view = NULL;
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, f->partition, 0, UINT64_MAX, arena, out, &count, e));
    view_close(view);
    return count;
}

static const char *folder_of(Fixture *f, Arena *arena)
{
    Slice folder = fixture_folder(f, f->partition, arena);
    return arena_printf(arena, "%s/%.*s", database_storage_folder(f->db), SLICE_ARGS(folder));
}

static size_t files(Fixture *f, Arena *arena, FileEntry **out)
{
    size_t count = 0;
    CHECK_OK(file_list(folder_of(f, arena), 1000, arena, out, &count, e));
    return count;
}

static void unlink_obsolete(Fixture *f)
{
    bool more;
    Obsolete *obsolete = obsolete_new(f->db);
    CHECK_OK(obsolete_remove(obsolete, &more, e));
    CHECK(!more);
    obsolete_free(obsolete);
}

/* Opens the folder again with a feed window that has passed at once. */
static void reopen_without_window(Fixture *f)
{
    DatabaseOptions options = {
        .folder = f->folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1},
        .feed_window_s = 0,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    fixture_close(f);
    CHECK_OK(database_open(&options, &f->db, e));
    f->table = catalog_find_table(database_catalog(f->db), SLICE("app"), SLICE("t"));
}

typedef struct Past {
    uint64_t seq[64];
    const char *rows[64], *feed[64];
    size_t count;
} Past;

static void remember(Fixture *f, Past *past, Arena *arena)
{
    past->seq[past->count] = database_last_seq(f->db);
    past->rows[past->count++] = fixture_rows(f, arena);
}

static void check_past(Fixture *f, Past *past, Arena *arena)
{
    for (size_t i = 0; i < past->count; i++) {
        CHECK_TEXT(fixture_rows_at(f, past->seq[i], 7, false, arena), past->rows[i]);
        CHECK_TEXT(fixture_feed(f, past->seq[i], arena), past->feed[i]);
    }
}

TEST("rows, past states or a feed that a compaction changes, at once or after a restart")
{
    Fixture f;
    Past past = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 5; i++)
            fixture_put(&f, (round * 3 + i * 7) % 23, arena_printf(arena, "r%d", round));
        fixture_delete(&f, (round * 5) % 23);
        remember(&f, &past, arena);
        if (round < 11)
            fixture_flush(&f);
        fixture_delete(&f, (round * 11) % 23);
        remember(&f, &past, arena);
    }
    for (size_t i = 0; i < past.count; i++)
        past.feed[i] = fixture_feed(&f, past.seq[i], arena);
    check_past(&f, &past, arena);
    CHECK(fixture_compact(&f, COMPACT_ALL) > 0);
    check_past(&f, &past, arena);
    unlink_obsolete(&f);
    check_past(&f, &past, arena);
    fixture_close(&f);
    fixture_open(&f, f.folder, TABLE_USER);
    check_past(&f, &past, arena);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 0);
    fixture_close(&f);
}

TEST("small segments that stay apart, are merged too eagerly, or overlap after a merge")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 3; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 0);
    fixture_put(&f, 3, "v");
    fixture_flush(&f);
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 1);
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK_INT(list[0].row_count, 4);
    for (int i = 10; i < 30; i++)
        fixture_put(&f, i, "w");
    fixture_flush(&f); /* 20 rows: three small ones after them do not make it worth rewriting */
    for (int i = 4; i < 7; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 0);
    CHECK_INT(segments(&f, arena, &list), 5);
    fixture_put(&f, 7, "v");
    fixture_flush(&f);
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 1);
    CHECK_INT(segments(&f, arena, &list), 3);
    CHECK_INT(list[1].row_count, 20);
    CHECK_INT(list[2].row_count, 4);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK_INT(list[0].row_count, 28);
    fixture_put(&f, 99, "v");
    fixture_flush(&f);
    CHECK_INT(segments(&f, arena, &list), 2);
    CHECK(list[0].max_seq < list[1].min_seq);
    CHECK(list[0].batch < list[1].batch);
    fixture_close(&f);
}

/* Whether the text is in the bytes of a file or, since they are compressed, in the rows of a
 * segment. */
static bool file_has(Fixture *f, const char *path, const char *text, Arena *arena)
{
    Slice bytes;
    CHECK_OK(file_read(path, FILE_BYTES_MAX, arena, &bytes, e));
    if (memmem(bytes.data, bytes.size, text, strlen(text)))
        return true;
    if (!strstr(path, ".parquet"))
        return false;
    EngineQuery *query = engine_query_new(database_engine(f->db));
    EngineResult *result = NULL;
    EngineLimits limits = {.wait_ms = 1000};
    const Value *row;
    bool end;
    char *sql = arena_printf(arena, "SELECT count(*) FROM read_parquet('%s') WHERE v LIKE '%%%s%%'",
                             path, text);
    CHECK_OK(engine_run(query, slice_of_text(sql), &limits, &result, e));
    CHECK_OK(engine_result_next(result, &row, &end, e));
    bool found = row[0].integer > 0;
    engine_result_free(result);
    engine_query_free(query);
    return found;
}

static bool hot_has(Fixture *f, const char *text)
{
    bool found = false;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    for (int family = 0; family < HOT_FAMILY_COUNT; family++) {
        HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, (HotFamily)family, SLICE(""),
                                            SLICE("\xff\xff\xff"), false);
        while (hot_next(it))
            found |= memmem(hot_value(it).data, hot_value(it).size, text, strlen(text)) != NULL;
        hot_iterator_close(it);
    }
    hot_snapshot_free(snapshot);
    return found;
}

static bool is_on_disk(Fixture *f, const char *text, Arena *arena)
{
    FileEntry *list;
    size_t count = files(f, arena, &list);
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= file_has(f, arena_printf(arena, "%s/%s", folder_of(f, arena), list[i].name), text,
                          arena);
    return found;
}

TEST("an erased row whose text is still in a file, a bound or a manifest after the feed window")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "zebra-canary-4711");
    fixture_put(&f, 3, "b");
    fixture_flush(&f);
    CHECK(is_on_disk(&f, "canary-4711", arena));
    fixture_delete(&f, 2);
    fixture_put(&f, 3, "c");
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 0); /* inside the window deaths are gathered */
    reopen_without_window(&f);
    CHECK_OK(flush_trim(f.db, f.partition, e));
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 1);
    unlink_obsolete(&f);
    CHECK(!is_on_disk(&f, "canary-4711", arena));
    CHECK(!hot_has(&f, "canary-4711"));
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK_INT(list[0].row_count, 1);
    CHECK_TEXT(fixture_rows(&f, arena), "1=a 3=c ");
    ReadView *view = NULL;
    bool has_dead = true;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_has_dead(view, f.partition, &has_dead, e));
    view_close(view);
    CHECK(!has_dead);
    fixture_close(&f);
}

TEST("a segment without a living row that keeps an entry or a file, or gives its number away again")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    FileEntry *names;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "b");
    uint64_t then = database_last_seq(f.db);
    fixture_flush(&f);
    CHECK_INT(segments(&f, arena, &list), 1);
    uint64_t batch = list[0].batch;
    fixture_delete(&f, 1);
    fixture_delete(&f, 2);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    unlink_obsolete(&f);
    CHECK_INT(segments(&f, arena, &list), 0);
    CHECK_INT(files(&f, arena, &names), 1);
    CHECK_TEXT(names[0].name, "manifest.json");
    CHECK_TEXT(fixture_rows(&f, arena), "");
    CHECK_TEXT(fixture_rows_at(&f, then, 10, false, arena), "1=a 2=b ");
    fixture_put(&f, 1, "again");
    fixture_flush(&f);
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK(list[0].batch > batch);
    CHECK_TEXT(fixture_rows(&f, arena), "1=again ");
    fixture_put(&f, 2, "b");
    fixture_flush(&f);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL),
              1); /* the last number is now that of a merged file */
    CHECK_INT(segments(&f, arena, &list), 1);
    batch = list[0].batch;
    fixture_delete(&f, 1);
    fixture_delete(&f, 2);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    unlink_obsolete(&f);
    fixture_put(&f, 1, "b");
    fixture_flush(&f);
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK(list[0].batch > batch);
    fixture_close(&f);
}

TEST("a crash between the new file and its commit whose file stays, or is taken for a segment")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *names;
    SegmentEntry *list;
    Slice bytes;
    uint32_t removed = 0;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    CHECK_INT(segments(&f, arena, &list), 4);
    const char *folder = folder_of(&f, arena);
    unsigned next = (unsigned)list[3].batch + 1;
    const char *last = arena_printf(arena, "%s/batch-%u.parquet", folder, next - 1);
    CHECK_OK(file_read(last, FILE_BYTES_MAX, arena, &bytes, e));
    CHECK_OK(file_write(arena_printf(arena, "%s/batch-%u.parquet", folder, next), bytes, 0644, e));
    CHECK_OK(file_write(arena_printf(arena, "%s/batch-%u.parquet.tmp", folder, next + 1), bytes,
                        0644, e));
    fixture_close(&f);
    fixture_open(&f, f.folder, TABLE_USER);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 2=v 3=v ");
    CHECK_OK(flush_sweep(f.db, NULL, &removed, e));
    CHECK_INT(removed, 2);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    CHECK_INT(files(&f, arena, &names), 6);
    /* The old files are named by nothing now: a restart before their removal is no leak. */
    fixture_close(&f);
    fixture_open(&f, f.folder, TABLE_USER);
    unlink_obsolete(&f);
    CHECK_INT(files(&f, arena, &names), 2);
    CHECK_OK(flush_sweep(f.db, NULL, &removed, e));
    CHECK_INT(removed, 0);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 2=v 3=v ");
    fixture_close(&f);
}

TEST("an empty folder of a table that never came to be stays for ever, or one with a file is lost")
{
    static const char *const gone[] = {"user/alice/app/cut", "user/nobody/app/chat",
                                       "shared/a/cut"};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Fixture f;
    uint32_t removed = 0;
    fixture_open(&f, test_folder(), TABLE_USER);
    const char *root = database_storage_folder(f.db);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        CHECK_OK(file_make_folders(arena_printf(arena, "%s/%s", root, gone[i]), 0700, e));
    const char *kept = arena_printf(arena, "%s/user/alice/app/other", root);
    CHECK_OK(file_make_folders(kept, 0700, e));
    CHECK_OK(file_write(arena_printf(arena, "%s/batch-1.parquet", kept), SLICE("x"), 0644, e));
    CHECK_OK(flush_sweep(f.db, NULL, &removed, e));
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        CHECK(!file_exists(arena_printf(arena, "%s/%s", root, gone[i])));
    CHECK(file_exists(arena_printf(arena, "%s/batch-1.parquet", kept)));
    CHECK_INT(removed, 0);
    fixture_close(&f);
}

static bool always(void *context)
{
    (void)context;
    return true;
}

/* A segment file without a commit in the folder of the partition; returns its path. */
static const char *leave_file(Fixture *f, Arena *arena)
{
    const char *path = arena_printf(arena, "%s/batch-77.parquet", folder_of(f, arena));
    CHECK_OK(file_write(path, SLICE("left over"), 0644, e));
    return path;
}

static int keep_alices(const char *operation, const char *path)
{
    return strcmp(operation, "unlink") == 0 && strstr(path, "/user/alice/") ? EIO : 0;
}

TEST("a folder that cannot be swept keeps the others from it, or a server from stopping")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Fixture f;
    Error error;
    uint32_t removed;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "v");
    fixture_flush(&f);
    (void)leave_file(&f, arena);
    f.partition = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "v");
    fixture_flush(&f);
    const char *left = leave_file(&f, arena);
    CHECK_CODE(flush_sweep(f.db, &(JobStop){always, NULL}, &removed, e), E_CANCELLED);
    CHECK(file_exists(left));
    file_set_fault(keep_alices);
    CHECK(flush_sweep(f.db, NULL, &removed, &error) != OK);
    file_set_fault(NULL);
    CHECK(strstr(error.text, "user/alice/"));
    CHECK_INT(removed, 1);
    CHECK(!file_exists(left));
    fixture_close(&f);
}

TEST("a manifest.json that cannot be put right keeps the others from it, or a server from stopping")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Fixture f;
    Error error;
    fixture_open(&f, test_folder(), TABLE_USER);
    fixture_put(&f, 1, "v");
    fixture_flush(&f);
    const char *alices = arena_printf(arena, "%s/manifest.json", folder_of(&f, arena));
    CHECK_OK(file_remove(alices, e));
    CHECK_OK(file_make_folders(alices, 0700, e)); /* no file, so it cannot be read */
    f.partition = fixture_partition(&f, "bob");
    fixture_put(&f, 1, "v");
    fixture_flush(&f);
    const char *bobs = arena_printf(arena, "%s/manifest.json", folder_of(&f, arena));
    CHECK_OK(file_remove(bobs, e));
    CHECK_CODE(flush_mend_manifests(f.db, &(JobStop){always, NULL}, e), E_CANCELLED);
    CHECK(!file_exists(bobs));
    CHECK(flush_mend_manifests(f.db, NULL, &error) != OK);
    CHECK(strstr(error.text, "user/alice/"));
    CHECK(file_exists(bobs));
    fixture_close(&f);
}

TEST(
    "a file that is removed while a view may still read it, however late it lists its segments, or "
    "that stays because it was replaced while others waited")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *names;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    ReadView *view = NULL;
    bool more = false;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 1);
    Obsolete *obsolete = obsolete_new(f.db);
    CHECK_OK(obsolete_remove(obsolete, &more, e));
    CHECK(more);
    PastRange range = {.at_seq = view_seq(view), .max_seq = UINT64_MAX, .limit = 10};
    PastResult page;
    CHECK_OK(view_past_page(view, f.table, f.partition, &range, arena, &page, e));
    CHECK_INT(page.count, 4);
    fixture_put(&f, 4, "v");
    fixture_flush(&f);
    CHECK(fixture_compact(&f, COMPACT_ALL) > 0);
    view_close(view);
    CHECK_OK(obsolete_remove(obsolete, &more, e));
    CHECK(!more);
    obsolete_free(obsolete);
    CHECK_INT(files(&f, arena, &names), 2);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 2=v 3=v 4=v ");
    fixture_close(&f);
}

/* What happens while the rows of a compaction pass, on whatever thread. */
static bool delete_row_2(void *context)
{
    return fixture_delete((Fixture *)context, 2) == UINT64_MAX;
}

TEST("a row that dies while it is merged and comes back with the new segment")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    fixture_delete(&f, 3);
    CompactOptions options = {.mode = COMPACT_ALL, .is_stopped = delete_row_2, .context = &f};
    CompactResult result;
    CHECK_OK(compact_step(f.db, f.table, f.partition, &options, &result, e));
    CHECK_INT(result.segments, 4);
    CHECK_INT(result.rows_kept, 3);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v ");
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v ");
    fixture_put(&f, 2, "new");
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 2=new ");
    fixture_close(&f);
}

/* An UPDATE of a cold row, resolved before a compaction and committed after it. */
TEST("a writer that conflicts with a compaction, or whose old row stays visible")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    Intent *before = fixture_resolve(&f, view, 1, "w");
    view_close(view);
    CHECK_INT(fixture_compact(&f, COMPACT_DUE), 1);
    unlink_obsolete(&f);
    CHECK_OK(database_commit(f.db, before, e));
    intent_unref(before);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 2=v 3=v 1=w ");
    fixture_close(&f);
}

static bool is_stopped(void *context)
{
    (void)context;
    return true;
}

static bool drop_table(void *context)
{
    Fixture *f = (Fixture *)context;
    CatalogChange *change = NULL;
    if (!table_is_current(f->table))
        return false;
    CHECK_OK(catalog_plan_drop_table(database_catalog(f->db), f->table, &change, e));
    Intent *drop = intent_new(database_last_seq(f->db));
    intent_set_catalog_change(drop, change);
    CHECK_OK(database_commit(f->db, drop, e));
    intent_unref(drop);
    return false;
}

TEST("a compaction that is stopped, or whose table is dropped meanwhile, and leaves something "
     "behind")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *names;
    SegmentEntry *list;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    CompactOptions options = {.mode = COMPACT_ALL, .is_stopped = is_stopped};
    CompactResult result;
    CHECK_CODE(compact_step(f.db, f.table, f.partition, &options, &result, e), E_CANCELLED);
    CHECK_INT(files(&f, arena, &names), 5);
    CHECK_INT(segments(&f, arena, &list), 4);
    options = (CompactOptions){.mode = COMPACT_ALL, .is_stopped = drop_table, .context = &f};
    Error error = {0};
    CHECK_INT(compact_step(f.db, f.table, f.partition, &options, &result, &error), E_CANCELLED);
    CHECK(strstr(error.text, "dropped")); /* and not that it met newer commits */
    CHECK_INT(files(&f, arena, &names), 5);
    CHECK_OK(flush_purge_dropped(f.db, NULL, e));
    CHECK(!file_exists(folder_of(&f, arena)));
    fixture_close(&f);
}

static bool kill_another(void *context)
{
    Fixture *f = (Fixture *)context;
    static int64_t next;
    next = next % 9 + 1;
    return fixture_delete(f, next) == UINT64_MAX;
}

TEST("a compaction on request that never ends because rows go on dying")
{
    Fixture f;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 10; i++)
        fixture_put(&f, i, "v");
    fixture_flush(&f);
    fixture_delete(&f, 0);
    CompactOptions options = {COMPACT_ALL, database_last_seq(f.db), kill_another, &f};
    CompactResult result = {.segments = 1};
    int steps = 0;
    for (; result.segments; steps++)
        CHECK_OK(compact_step(f.db, f.table, f.partition, &options, &result, e));
    CHECK_INT(steps, 2);
    fixture_close(&f);
}

TEST("a damaged segment whose damage a compaction makes look sound")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    Slice bytes;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    CHECK_INT(segments(&f, arena, &list), 4);
    const char *path =
        arena_printf(arena, "%s/batch-%u.parquet", folder_of(&f, arena), (unsigned)list[1].batch);
    CHECK_OK(file_read(path, FILE_BYTES_MAX, arena, &bytes, e));
    ((char *)bytes.data)[bytes.size / 2] ^= 1;
    CHECK_OK(file_write(path, bytes, 0644, e));
    CompactOptions options = {.mode = COMPACT_ALL};
    CompactResult result;
    CHECK_CODE(compact_step(f.db, f.table, f.partition, &options, &result, e), E_CORRUPT);
    CHECK_INT(segments(&f, arena, &list), 4);
    fixture_close(&f);
}

static int calls_until_failure;

static int fail_a_call(const char *operation, const char *path)
{
    (void)operation, (void)path;
    return --calls_until_failure == 0 ? 28 : 0; /* ENOSPC */
}

TEST("a file call that fails in a compaction and costs a row, a segment or the next compaction")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    FileEntry *names;
    uint32_t removed;
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int i = 0; i < 4; i++) {
        fixture_put(&f, i, "v");
        fixture_flush(&f);
    }
    fixture_delete(&f, 2);
    bool failed = true;
    for (int n = 1; failed; n++) {
        CHECK(n < 100);
        CompactOptions options = {.mode = COMPACT_ALL};
        CompactResult result;
        Error error;
        calls_until_failure = n;
        file_set_fault(fail_a_call);
        failed = compact_step(f.db, f.table, f.partition, &options, &result, &error) != OK;
        file_set_fault(NULL);
        CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 3=v ");
        CHECK(!failed || error.code == E_DISK_FULL);
        if (segments(&f, arena, &list) == 1) /* committed; only manifest.json failed */
            break;
        CHECK_INT(segments(&f, arena, &list), 4);
    }
    (void)fixture_compact(&f, COMPACT_ALL);
    unlink_obsolete(&f);
    CHECK_OK(flush_sweep(f.db, NULL, &removed, e));
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK_INT(list[0].row_count, 3);
    CHECK(files(&f, arena, &names) <= 2);
    CHECK_TEXT(fixture_rows(&f, arena), "0=v 1=v 3=v ");
    fixture_close(&f);
}

/* One commit with a row of every id below `count`. */
static Intent *insert_many(Fixture *f, int count)
{
    Intent *intent = intent_new(database_last_seq(f->db));
    IntentPart *part = intent_part(intent, f->table, f->partition);
    for (int i = 0; i < count; i++) {
        CLEANUP(buffer_done) Buffer row = {0};
        CLEANUP(buffer_done) Buffer key = {0};
        Value values[2] = {value_integer(TYPE_BIGINT, i), value_text(SLICE("v"))};
        row_encode(f->table->schema, values, &row);
        CHECK_OK(key_encode(&values[0], &key, e));
        RowChange change = {
            .kind = CHANGE_INSERT, .key = buffer_slice(&key), .new_row = buffer_slice(&row)};
        CHECK_OK(intent_add(intent, part, &change, e));
    }
    CHECK_OK(database_commit(f->db, intent, e));
    return intent;
}

/* Deletes every row of it but each 100th, after a flush. */
static void delete_most(Fixture *f, const Intent *inserted)
{
    Intent *intent = intent_new(database_last_seq(f->db));
    IntentPart *part = intent_part(intent, f->table, f->partition);
    for (size_t i = 0; i < inserted->parts[0].count; i++) {
        RowChange change = inserted->parts[0].changes[i];
        change.kind = CHANGE_DELETE;
        change.old_row = change.new_row;
        change.old_seq = change.seq;
        change.old_is_cold = true;
        if (i % 100)
            CHECK_OK(intent_add(intent, part, &change, e));
    }
    CHECK_OK(database_commit(f->db, intent, e));
    intent_unref(intent);
}

TEST("more dead rows than one commit deletes the records of, some of which stay")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SegmentEntry *list;
    fixture_open(&f, test_folder(), TABLE_USER);
    Intent *inserted = insert_many(&f, 45000);
    fixture_flush(&f);
    delete_most(&f, inserted);
    intent_unref(inserted);
    CHECK_INT(fixture_compact(&f, COMPACT_ALL), 1);
    CHECK_INT(segments(&f, arena, &list), 1);
    CHECK_INT(list[0].row_count, 450);
    ReadView *view = NULL;
    bool has_dead = true;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_has_dead(view, f.partition, &has_dead, e));
    view_close(view);
    CHECK(!has_dead);
    fixture_close(&f);
}

typedef struct Writers {
    Fixture *f;
    _Atomic int next;
} Writers;

static void write_many(void *argument)
{
    Writers *w = (Writers *)argument;
    for (int i; (i = atomic_fetch_add(&w->next, 1)) < 400;) {
        if (i % 7 == 0)
            fixture_delete(w->f, i % 20);
        else
            fixture_put(w->f, i % 20, i % 2 ? "odd" : "even");
    }
}

static void read_many(void *argument)
{
    Writers *w = (Writers *)argument;
    while (atomic_load(&w->next) < 400) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        (void)fixture_rows(w->f, arena);
    }
}

/* "3=x 1=y " as a set: rows by id, so that two orders compare. */
static void collect(const char *rows, char out[20][8])
{
    int id, used;
    char v[8];
    memset(out, 0, 20 * 8);
    for (; sscanf(rows, "%d=%7s %n", &id, v, &used) == 2; rows += used) {
        CHECK(id >= 0);
        CHECK(id < 20);
        CHECK(!out[id][0]); /* shown twice */
        snprintf(out[id], 8, "%s", v);
    }
}

/* The state that the whole feed leads to. */
static void replay(const char *feed, char out[20][8])
{
    int id, used;
    char v[8];
    memset(out, 0, 20 * 8);
    for (; *feed; feed += used) {
        if (sscanf(feed, "+%d=%7[a-z] %n", &id, v, &used) == 2)
            snprintf(out[id], 8, "%s", v);
        else if (sscanf(feed, "-%d=%7[a-z] %n", &id, v, &used) == 2)
            out[id][0] = 0;
        else if (sscanf(feed, "~%*[^>]>%d=%7[a-z] %n", &id, v, &used) == 2)
            snprintf(out[id], 8, "%s", v);
        else
            test_failed(__FILE__, __LINE__, "not a feed: %s", feed);
    }
}

TEST("rows lost, doubled or brought back while writers, readers, flushes and compactions run at "
     "once")
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    Writers writers = {.f = &f};
    Thread *threads[4];
    Obsolete *obsolete = obsolete_new(f.db);
    bool more;
    for (int i = 0; i < 4; i++)
        CHECK_OK(thread_start("writer", THREAD_WORKER, i ? write_many : read_many, &writers,
                              &threads[i], e));
    while (atomic_load(&writers.next) < 400) {
        fixture_flush(&f);
        (void)fixture_compact(&f, COMPACT_ALL);
        CHECK_OK(obsolete_remove(obsolete, &more, e));
    }
    for (int i = 0; i < 4; i++)
        thread_join(threads[i]);
    fixture_flush(&f);
    (void)fixture_compact(&f, COMPACT_ALL);
    obsolete_free(obsolete);
    char shown[20][8], replayed[20][8];
    collect(fixture_rows(&f, arena), shown);
    replay(fixture_feed(&f, 0, arena), replayed);
    for (int i = 0; i < 20; i++)
        CHECK_TEXT(shown[i], replayed[i]);
    fixture_close(&f);
}

/* One random step; every one must leave the rows as the model has them. */
static void random_step(Fixture *f, char model[20][8], uint64_t dice)
{
    int id = (int)(dice >> 32 & 0xFFFF) % 20;
    switch (dice % 16) {
    case 0:
    case 1:
        fixture_flush(f);
        break;
    case 2:
        (void)fixture_compact(f, dice & 1024 ? COMPACT_ALL : COMPACT_DUE);
        break;
    case 3:
        unlink_obsolete(f);
        break;
    case 4:
        if (dice & 7 << 12) /* seven of eight times */
            break;
        fixture_close(f);
        fixture_open(f, f->folder, TABLE_USER);
        break;
    case 5:
    case 6:
    case 7:
        fixture_delete(f, id);
        model[id][0] = 0;
        break;
    default:
        snprintf(model[id], 8, "%c%c", 'a' + (int)(dice >> 16 & 0xFF) % 26,
                 'a' + (int)(dice >> 24 & 0xFF) % 26);
        fixture_put(f, id, model[id]);
    }
}

TEST("a random run of writes, flushes, compactions and restarts that loses track of a row or of "
     "the past")
{
    Fixture f;
    Past past = {0};
    char model[20][8] = {0}, shown[20][8];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    fixture_open(&f, test_folder(), TABLE_USER);
    for (int step = 0; step < 400; step++) {
        random_step(&f, model, test_random());
        if (step % 10)
            continue;
        remember(&f, &past, arena);
        collect(past.rows[past.count - 1], shown);
        for (int i = 0; i < 20; i++)
            CHECK_TEXT(shown[i], model[i]);
        size_t then = test_random() % past.count;
        CHECK_TEXT(fixture_rows_at(&f, past.seq[then], 3, false, arena), past.rows[then]);
    }
    for (size_t i = 0; i < past.count; i++)
        CHECK_TEXT(fixture_rows_at(&f, past.seq[i], 5, false, arena), past.rows[i]);
    replay(fixture_feed(&f, 0, arena), shown);
    for (int i = 0; i < 20; i++)
        CHECK_TEXT(shown[i], model[i]);
    fixture_close(&f);
}
