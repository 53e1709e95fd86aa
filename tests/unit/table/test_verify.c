/* SPDX-License-Identifier: Apache-2.0
 *
 * The check of a data folder: sound ones pass at every stage of life, and each kind of damage is
 * named.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../test.h"
#include "cold/cold.h"
#include "data/row.h"
#include "fixture.h"
#include "os/file.h"
#include "table/compact.h"
#include "table/table_int.h"
#include "table/verify.h"

static void note(void *context, const char *text)
{
    buffer_printf((Buffer *)context, "%s\n", text);
}

/* Checks at the newest commit; all problems as lines. */
static const char *verify(Database *db, bool read_segments, Arena *arena, VerifyReport *out)
{
    Buffer text = {0};
    VerifyReport report = {0};
    VerifyOptions options = {.read_segments = read_segments, .on_problem = note, .context = &text};
    CHECK_OK(database_verify(db, &options, &report, e));
    const char *copy = arena_text(arena, buffer_slice(&text));
    buffer_done(&text);
    if (out)
        *out = report;
    return copy;
}

static void check_told(Fixture *f, const char *words)
{
    Arena *arena = arena_new();
    const char *text = verify(f->db, true, arena, NULL);
    if (!strstr(text, words))
        test_failed(__FILE__, __LINE__, "no '%s' in: %s", words, text);
    arena_free(arena);
}

static void put_raw(Fixture *f, HotFamily family, Slice key, Slice value)
{
    Intent *intent = intent_new(database_last_seq(f->db));
    intent_add_raw(intent, value.size ? RAW_PUT : RAW_DELETE, family, key, value);
    CHECK_OK(database_commit(f->db, intent, e));
    intent_unref(intent);
}

static void put_seq(Fixture *f, HotFamily family, uint64_t seq, Slice value)
{
    SeqKey key = table__seq_key(f->partition, seq);
    put_raw(f, family, table__key_slice(&key), value);
}

static void put_head(Fixture *f, int64_t id, uint64_t seq)
{
    Buffer key = {0}, head = {0};
    Value value = {.type = TYPE_BIGINT, .integer = id};
    char bytes[8];
    CHECK_OK(key_encode(&value, &key, e));
    table__add_head_key(&head, f->partition, buffer_slice(&key));
    table__encode_u64(seq, bytes);
    put_raw(f, HOT_HEADS, buffer_slice(&head), seq ? slice_of(bytes, 8) : (Slice){0});
    buffer_done(&key);
    buffer_done(&head);
}

static const char *segment_path(Fixture *f, Arena *arena)
{
    Slice folder = fixture_folder(f, f->partition, arena);
    return arena_printf(arena, "%s/%.*s/batch-0.parquet", database_storage_folder(f->db),
                        SLICE_ARGS(folder));
}

/* Ten rows in a segment, of which 3 was updated and 4 deleted since, and one hot row. */
static void make_two_tiers(Fixture *f)
{
    fixture_open(f, test_folder(), TABLE_USER);
    for (int i = 1; i <= 10; i++)
        fixture_put(f, i, "x");
    fixture_flush(f);
    fixture_put(f, 3, "y");
    fixture_delete(f, 4);
    fixture_put(f, 11, "z");
}

TEST("a sound folder passes at every stage of life, a problem would be one of the check itself")
{
    Fixture f;
    Arena *arena = arena_new();
    VerifyReport report;
    make_two_tiers(&f);
    CHECK_TEXT(verify(f.db, true, arena, &report), "");
    CHECK_INT(report.segments, 1);
    CHECK_INT(report.segment_rows, 10);
    CHECK_INT(report.dead, 2);
    CHECK_INT(report.heads, 10);
    CHECK_INT(report.partitions, 1);
    fixture_flush(&f);
    fixture_put(&f, 5, "later");
    fixture_check_sound(&f);
    CompactOptions options = {.mode = COMPACT_ALL};
    CompactResult result = {.segments = 1};
    while (result.segments)
        CHECK_OK(compact_step(f.db, f.table, f.partition, &options, &result, e));
    fixture_check_sound(&f);
    fixture_close(&f);
    arena_free(arena);
}

TEST("a sound folder passes after the feed window was trimmed")
{
    Fixture f;
    fixture_open_window(&f, test_folder(), TABLE_USER, 0);
    for (int i = 1; i <= 5; i++)
        fixture_put(&f, i, "x");
    fixture_put(&f, 1, "y");
    fixture_delete(&f, 2);
    fixture_flush(&f);
    fixture_put(&f, 3, "y");
    CHECK_OK(flush_trim(f.db, f.partition, e));
    fixture_check_sound(&f);
    fixture_put(&f, 3, "z");
    fixture_delete(&f, 1);
    fixture_check_sound(&f);
    fixture_close(&f);
}

/* Removes all entries of the due index. */
static void forget_due(Fixture *f)
{
    static const char from[8] = {0};
    char to[8];
    memset(to, 0xFF, sizeof to);
    Intent *intent = intent_new(database_last_seq(f->db));
    intent_add_raw(intent, RAW_DELETE_RANGE, HOT_DUE, slice_of(from, 8), slice_of(to, 8));
    CHECK_OK(database_commit(f->db, intent, e));
    intent_unref(intent);
}

TEST("a partition that no look would ever trim, expire or compact passes for sound; or one whose "
     "looks "
     "are still to be planned does not")
{
    Fixture f;
    make_two_tiers(&f);
    CHECK_OK(due_set_policy(f.db, f.table->id, 77, e));
    fixture_check_sound(&f);
    forget_due(&f);
    check_told(&f, "app.t, user 1 ('alice'): the due index has no entry");
    CHECK_OK(due_set_policy(f.db, f.table->id, 0, e)); /* all are noted soon */
    fixture_check_sound(&f);
    fixture_close(&f);
}

TEST("a partition in which time makes no more work is missed in the due index")
{
    Fixture f;
    fixture_open_window(&f, test_folder(), TABLE_USER, 0);
    fixture_put(&f, 1, "x");
    fixture_flush(&f);
    CHECK_OK(due_set_policy(f.db, f.table->id, 77, e));
    Outlook outlook = {.change_seq = 1};
    while (outlook.change_seq || outlook.has_stale_copies) { /* until the millisecond is over */
        CHECK_OK(flush_trim(f.db, f.partition, e));
        CHECK_OK(flush_outlook(f.db, f.table, f.partition, &outlook, e));
    }
    forget_due(&f);
    fixture_check_sound(&f);
    fixture_close(&f);
}

TEST("a STREAM has no heads, and is sound")
{
    Fixture f;
    fixture_open(&f, test_folder(), TABLE_STREAM);
    fixture_check_sound(&f);
    fixture_close(&f);
}

TEST("a head that points nowhere, at another row, at a dead row or at a cold row that is not there")
{
    Fixture f;
    make_two_tiers(&f);
    uint64_t seq = fixture_put(&f, 12, "w");
    put_head(&f, 99, seq + 1000);
    check_told(&f, "which is missing");
    put_head(&f, 99, seq);
    check_told(&f, "has another key");
    put_head(&f, 99, 5);
    check_told(&f, "which is in no segment");
    put_head(&f, 99, 0);
    fixture_check_sound(&f);
    fixture_close(&f);
}

TEST("a live row without its head, hot and cold")
{
    Fixture f;
    make_two_tiers(&f);
    put_head(&f, 11, 0);
    check_told(&f, "lives but the head of its key is 0");
    fixture_close(&f);
    Fixture g;
    make_two_tiers(&g);
    put_head(&g, 7, 0);
    check_told(&g, "heads point into it");
    fixture_close(&g);
}

TEST("a version whose predecessor is gone from history, and a wrong byte in a row")
{
    Fixture f;
    fixture_open(&f, test_folder(), TABLE_USER);
    uint64_t first = fixture_put(&f, 1, "a");
    uint64_t second = fixture_put(&f, 1, "b");
    put_seq(&f, HOT_HISTORY, first, (Slice){0});
    check_told(&f, "which history lacks");
    put_seq(&f, HOT_ROWS, second, SLICE("\x11\x00\x00\x00garbage"));
    check_told(&f, "fails its check");
    put_seq(&f, HOT_DEAD, first, SLICE("1234567"));
    check_told(&f, "dead record");
    fixture_close(&f);
}

TEST("a segment that is gone, cut or changed in one byte is named")
{
    Fixture f;
    Arena *arena = arena_new();
    Slice bytes;
    VerifyReport report;
    make_two_tiers(&f);
    const char *path = segment_path(&f, arena);
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    char *changed = arena_text(arena, bytes);
    memcpy(changed, bytes.data, bytes.size);
    changed[bytes.size / 3] ^= 1;
    CHECK_OK(file_write(path, slice_of(changed, bytes.size), 0600, e));
    check_told(&f, "batch-0.parquet: the checksum does not match");
    CHECK_TEXT(verify(f.db, false, arena, &report), ""); /* the quick check does not read */
    CHECK_OK(file_write(path, slice_of(bytes.data, bytes.size - 7), 0600, e));
    CHECK(strstr(verify(f.db, false, arena, &report), "batch-0.parquet has"));
    CHECK_OK(file_remove(path, e));
    CHECK(strstr(verify(f.db, false, arena, &report), "batch-0.parquet"));
    CHECK_INT(report.problems, 1);
    CHECK_OK(file_write(path, bytes, 0600, e));
    fixture_check_sound(&f);
    fixture_close(&f);
    arena_free(arena);
}

TEST("a row is read out of a segment whose bytes are not those that were written")
{
    Fixture f;
    Arena *arena = arena_new();
    Slice bytes;
    fixture_open_window(&f, test_folder(), TABLE_USER, 0);
    for (int i = 1; i <= 10; i++)
        fixture_put(&f, i, "x");
    fixture_flush(&f);
    fixture_put(&f, 11, "hot");
    CHECK_OK(flush_trim(f.db, f.partition, e)); /* no hot copies */
    Version version = {0};
    Buffer key = {0};
    Value value = {.type = TYPE_BIGINT, .integer = 3};
    CHECK_OK(key_encode(&value, &key, e));
    ReadView *view = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_find(view, f.table, f.partition, buffer_slice(&key), arena, &version, e));
    CHECK(!version.has_row);
    const char *path = segment_path(&f, arena);
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    CHECK_OK(view_load_cold(view, f.table, f.partition, arena, &version, e));
    char *changed = arena_text(arena, bytes);
    memcpy(changed, bytes.data, bytes.size);
    changed[bytes.size / 3] ^= 1;
    CHECK_OK(file_write(path, slice_of(changed, bytes.size), 0600, e));
    CHECK_CODE(view_load_cold(view, f.table, f.partition, arena, &version, e), E_SEGMENT_DAMAGED);
    CHECK_OK(file_remove(path, e));
    CHECK_CODE(view_load_cold(view, f.table, f.partition, arena, &version, e), E_SEGMENT_DAMAGED);
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_OK(view_load_cold(view, f.table, f.partition, arena, &version, e));
    view_close(view);
    buffer_done(&key);
    fixture_close(&f);
    arena_free(arena);
}

static Code read_cold(Fixture *f, int64_t id, Arena *arena, Error *error)
{
    Version version = {0};
    CLEANUP(buffer_done) Buffer key = {0};
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    Value value = {.type = TYPE_BIGINT, .integer = id};
    CHECK_OK(key_encode(&value, &key, e));
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_find(view, f->table, f->partition, buffer_slice(&key), arena, &version, e));
    CHECK(!version.has_row);
    return view_load_cold(view, f->table, f->partition, arena, &version, error);
}

/* Another first byte, which nothing but the checksum looks at. */
static void change_in_place(const char *path, bool keeps_time)
{
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    int file = open(path, O_RDWR | O_CLOEXEC);
    char byte = 0;
    CHECK_INT(pread(file, &byte, 1, 0), 1);
    byte ^= 1;
    CHECK_INT(pwrite(file, &byte, 1, 0), 1);
    struct timespec later = {st.st_mtim.tv_sec + 1, 0};
    CHECK_INT(futimens(file, (struct timespec[2]){st.st_atim, keeps_time ? st.st_mtim : later}), 0);
    close(file);
}

static void check_trust(bool compacts)
{
    Fixture f;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    fixture_open_window(&f, folder, TABLE_USER, 0);
    for (int i = 1; i <= 4; i++) {
        fixture_put(&f, i, "x");
        fixture_flush(&f);
    }
    if (compacts)
        fixture_compact(&f, COMPACT_ALL);
    fixture_put(&f, 11, "hot");
    CHECK_OK(flush_trim(f.db, f.partition, e)); /* no hot copies */
    const char *path =
        arena_printf(arena, "%s/storage/%.*s/batch-%d.parquet", folder,
                     SLICE_ARGS(fixture_folder(&f, f.partition, arena)), compacts ? 4 : 0);
    change_in_place(path, true);
    CHECK_OK(read_cold(&f, 1, arena, e)); /* what changed is not asked for again … */
    fixture_close(&f);
    fixture_open_window(&f, folder, TABLE_USER, 0);
    CHECK_CODE(read_cold(&f, 1, arena, e), E_SEGMENT_DAMAGED); /* … before the next start */
    change_in_place(path, true);
    CHECK_OK(read_cold(&f, 1, arena, e));
    change_in_place(path, false);
    CHECK_CODE(read_cold(&f, 1, arena, e), E_SEGMENT_DAMAGED);
    fixture_close(&f);
}

TEST("a flushed segment that is read whole before its first row though this process wrote it, or "
     "that is trusted when it was written to, or by another process")
{
    check_trust(false);
}

TEST("the same of a segment that a compaction made")
{
    check_trust(true);
}

TEST("segments that overlap or reach above the flush mark, records of no table, a damaged catalog "
     "record")
{
    Fixture f;
    Arena *arena = arena_new();
    SegmentEntry *entries;
    size_t count;
    Buffer bytes = {0};
    ReadView *view = NULL;
    make_two_tiers(&f);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(view_segments(view, f.partition, 0, UINT64_MAX, arena, &entries, &count, e));
    view_close(view);
    entries[0].min_seq++;
    entries[0].row_count--; /* as many as one millisecond's seqs leave room for */
    segment_encode(&entries[0], &bytes);
    put_seq(&f, HOT_SEGMENTS, entries[0].min_seq, buffer_slice(&bytes));
    check_told(&f, "overlap");
    check_told(&f, "two segments name batch-0.parquet");
    SeqKey lost = table__seq_key((Partition){4711, 1}, 1);
    put_raw(&f, HOT_ROWS, table__key_slice(&lost), SLICE("x"));
    check_told(&f, "table 4711, which does not exist");
    put_raw(&f, HOT_SYSTEM, SLICE("ualice"), SLICE("x"));
    check_told(&f, "alice");
    buffer_done(&bytes);
    fixture_close(&f);
    arena_free(arena);
}

TEST("an inspection changes nothing and refuses a folder in use")
{
    Fixture f;
    Arena *arena = arena_new();
    Database *db = NULL;
    const char *folder = test_folder();
    fixture_open(&f, folder, TABLE_USER);
    for (int i = 1; i <= 10; i++)
        fixture_put(&f, i, "x");
    fixture_flush(&f);
    fixture_put(&f, 11, "hot");
    DatabaseOptions options = {
        .folder = folder,
        .inspect = true,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 2},
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 256 << 20}};
    CHECK_CODE(database_open(&options, &db, e), E_LOCKED);
    fixture_close(&f);
    CHECK_OK(database_open(&options, &db, e));
    VerifyReport report;
    CHECK_TEXT(verify(db, true, arena, &report), "");
    CHECK_INT(report.heads, 11);
    database_close(db);
    fixture_open(&f, folder, TABLE_USER);
    CHECK(strstr(fixture_rows(&f, arena), "11=hot"));
    fixture_close(&f);
    options.folder = arena_printf(arena, "%s/nothing", folder);
    CHECK_CODE(database_open(&options, &db, e), E_NOT_FOUND);
    arena_free(arena);
}
