/* SPDX-License-Identifier: Apache-2.0
 *
 * A log of writes whose end a power cut has torn: cut there, or refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../test.h"
#include "hot/hot_int.h"
#include "os/file.h"

enum { KEYS = 3 };

static Code open_store(const char *folder, HotStore **out, Error *e)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    return hot_open(folder, &options, out, e);
}

/* A store of some keys that are in its log only, as a power cut leaves it; returns the log. */
static Slice make_store(char folder[300], char path[700], Arena *arena)
{
    HotStore *store = NULL;
    snprintf(folder, 300, "%s", test_folder());
    CHECK_OK(open_store(folder, &store, e));
    for (char key = 'a'; key < 'a' + KEYS; key++) {
        HotBatch *batch = hot_batch_new();
        hot_batch_put(batch, store, HOT_SYSTEM, slice_of(&key, 1), SLICE("a value of some length"));
        CHECK_OK(hot_write(store, batch, true, e));
        hot_batch_free(batch);
    }
    hot_close(store);
    FileEntry *files;
    size_t count;
    CHECK_OK(file_list(folder, 1000, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++)
        if (strstr(files[i].name, ".log"))
            snprintf(path, 700, "%s/%s", folder, files[i].name);
    Slice bytes = {0};
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    return bytes;
}

static int count_keys(HotStore *store)
{
    int count = 0;
    HotSnapshot *snapshot = hot_snapshot_new(store);
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, SLICE("a"), SLICE("z"), false);
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

TEST("a server that does not start after a power cut has left garbage of the right size in the "
     "last record of its log")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice bytes = make_store(folder, path, arena);
    ((char *)bytes.data)[bytes.size - 5] ^= 1;
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS - 1);
    hot_close(store);
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS - 1);
    hot_close(store);
}

/* How much of a log was left out, told once and by its name. */
static void check_told(HotStore *store, const char *path, size_t offset, size_t bytes)
{
    HotCut cut;
    uint64_t cuts, cut_bytes;
    CHECK(hot_take_cut(store, &cut));
    CHECK_TEXT(cut.file, strrchr(path, '/') + 1);
    CHECK_INT(cut.offset, offset);
    CHECK_INT(cut.bytes, bytes);
    CHECK(!hot_take_cut(store, &cut));
    hot_count_cuts(store, &cuts, &cut_bytes);
    CHECK_INT(cuts, 1);
    CHECK_INT(cut_bytes, bytes);
}

TEST("the end of a log left out at a start in silence, whether it is garbage or too short; or one "
     "that is whole is told of")
{
    static const size_t lost[] = {0, 3};
    for (int i = 0; i < 2; i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        char folder[300], path[700];
        HotStore *store = NULL;
        HotCut cut;
        size_t last = 0;
        Slice bytes = make_store(folder, path, arena);
        CHECK(hot__manifest_end(slice_of(bytes.data, bytes.size - 1), &last));
        bytes.size -= lost[i];
        ((char *)bytes.data)[bytes.size - 5] ^= 1;
        CHECK_OK(file_write(path, bytes, 0600, e));
        CHECK_OK(open_store(folder, &store, e));
        check_told(store, path, last, bytes.size - last);
        hot_close(store);
        CHECK_OK(open_store(folder, &store, e));
        CHECK(!hot_take_cut(store, &cut));
        hot_close(store);
    }
}

TEST("commits lost in silence because the log is cut at damage that records follow")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice bytes = make_store(folder, path, arena), end = {0};
    size_t last = 0;
    CHECK(hot__manifest_end(slice_of(bytes.data, bytes.size - 1), &last)); /* without the last */
    ((char *)bytes.data)[last - 5] ^= 1;
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    CHECK_OK(file_read(path, 1 << 20, arena, &end, e));
    CHECK_SLICE(end, bytes);
}

TEST("all commits of the log are gone in silence because somebody has removed its file")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice bytes = make_store(folder, path, arena);
    CHECK_OK(file_remove(path, e));
    CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS);
    hot_close(store);
}

/* Stopped as a server is: whatever the log holds is synced, and that is known. */
static void stop_cleanly(const char *folder)
{
    HotStore *store = NULL;
    HotBatch *batch = hot_batch_new();
    CHECK_OK(open_store(folder, &store, e));
    hot_batch_put(batch, store, HOT_SYSTEM, SLICE("k"), SLICE("a value of some length"));
    CHECK_OK(hot_write(store, batch, true, e));
    CHECK_OK(hot_note_stop(store, e));
    hot_batch_free(batch);
    hot_close(store);
}

/* The newest log of a store. */
static Slice read_log(const char *folder, char path[700], Arena *arena)
{
    uint64_t number = 0, size = 0;
    Slice bytes = {0};
    CHECK_OK(hot__find_log(folder, &number, &size, e));
    snprintf(path, 700, "%s/%06llu.log", folder, (unsigned long long)number);
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    CHECK_INT(bytes.size, size);
    return bytes;
}

TEST("commits lost in silence because a log was cut or went bad at its end after a clean stop")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    (void)make_store(folder, path, arena);
    stop_cleanly(folder);
    Slice bytes = read_log(folder, path, arena);
    const size_t left[] = {0, 1, bytes.size / 2, bytes.size - 1};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        CHECK_OK(file_write(path, slice_of(bytes.data, left[i]), 0600, e));
        CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    }
    Slice bad = arena_copy(arena, bytes);
    ((char *)bad.data)[bad.size - 5] ^= 1;
    CHECK_OK(file_write(path, bad, 0600, e));
    CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS + 1);
    hot_close(store);
}

TEST("a server that does not start after kill -9 since the log is not what it was at the stop "
     "before")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    (void)make_store(folder, path, arena);
    stop_cleanly(folder);
    CHECK_OK(open_store(folder, &store, e)); /* what the log held goes to tables */
    hot_close(store);                        /* without a note */
    Slice bytes = read_log(folder, path, arena);
    CHECK_OK(file_write(path, slice_of(bytes.data, 0), 0600, e));
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS + 1);
    hot_close(store);
}

TEST("a server that does not start because what was noted of its log went bad, and not the log")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice note;
    (void)make_store(folder, path, arena);
    stop_cleanly(folder);
    snprintf(path, sizeof path, "%s/synced", folder);
    CHECK_OK(file_read(path, 1000, arena, &note, e));
    char *digit = (char *)memchr(note.data, '\n', note.size) + 1;
    *digit = '9'; /* 9…: such a log there was never */
    char longer[1000] = {0};
    const Slice bad[] = {note, slice_of(longer, 0), slice_of(longer, sizeof longer)};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_OK(file_write(path, bad[i], 0600, e));
        CHECK_OK(open_store(folder, &store, e));
        CHECK_INT(count_keys(store), KEYS + 1);
        hot_close(store);
    }
}

/* The log after that one, as a memtable that was full leaves it. */
static void write_next_log(const char *path, Slice bytes)
{
    char next[700];
    const char *name = strrchr(path, '/') + 1;
    snprintf(next, sizeof next, "%.*s%06llu.log", (int)(name - path), path,
             strtoull(name, NULL, 10) + 1);
    CHECK_OK(file_write(next, bytes, 0600, e));
}

TEST("a server that does not start after a power cut that came when a new log was begun and empty")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice bytes = make_store(folder, path, arena);
    ((char *)bytes.data)[bytes.size - 5] ^= 1;
    CHECK_OK(file_write(path, bytes, 0600, e));
    write_next_log(path, slice_of("", 0));
    CHECK_OK(open_store(folder, &store, e));
    CHECK_INT(count_keys(store), KEYS - 1);
    hot_close(store);
}

TEST("a hole in the commits: the end of a log is cut although the next log has some")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700];
    HotStore *store = NULL;
    Slice bytes = make_store(folder, path, arena), end = {0};
    write_next_log(path, bytes);
    ((char *)bytes.data)[bytes.size - 5] ^= 1;
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    CHECK_OK(file_read(path, 1 << 20, arena, &end, e));
    CHECK_SLICE(end, bytes);
}

TEST(
    "the last commit of a log that was closed and synced is lost in silence, since the next log is "
    "empty yet")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700], *error = NULL;
    HotStore *store = NULL;
    (void)make_store(folder, path, arena);
    CHECK_OK(open_store(folder, &store, e));
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_ROWS, SLICE("k"), SLICE("v"));
    hot_batch_put(batch, store, HOT_SYSTEM, SLICE("k"), SLICE("v"));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flush_cf(store->db, options, store->families[HOT_ROWS], &error); /* of one family */
    rocksdb_flushoptions_destroy(options);
    CHECK(!error);
    hot_close(store);
    FileEntry *files;
    size_t count, logs = 0;
    CHECK_OK(file_list(folder, 1000, arena, &files, &count, e));
    for (size_t i = count; i-- > 0;) { /* the first one by name is the closed one */
        if (strstr(files[i].name, ".log") && ++logs)
            snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
    }
    CHECK_INT(logs, 2);
    Slice bytes;
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    ((char *)bytes.data)[bytes.size - 5] ^= 1;
    CHECK_OK(file_write(path, bytes, 0600, e));
    for (int starts = 0; starts < 3; starts++)
        CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
}

TEST("commits lost in silence because a page of the log came back as zeros, which RocksDB skips")
{
    enum { COMMITS = 25, VALUE_BYTES = 1000, HOLE_BYTES = 4096 }; /* in the last block of 32 KiB */
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char folder[300], path[700], value[VALUE_BYTES];
    HotStore *store = NULL;
    (void)make_store(folder, path, arena);
    memset(value, 'v', sizeof value);
    CHECK_OK(open_store(folder, &store, e));
    for (int i = 0; i < COMMITS; i++) {
        HotBatch *batch = hot_batch_new();
        const char *key = arena_printf(arena, "k%03d", i);
        hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), slice_of(value, sizeof value));
        CHECK_OK(hot_write(store, batch, true, e));
        hot_batch_free(batch);
    }
    hot_close(store);
    FileEntry *files;
    size_t count, hole = 0;
    Slice bytes, end;
    CHECK_OK(file_list(folder, 1000, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++)
        if (strstr(files[i].name, ".log"))
            snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
    CHECK_OK(file_read(path, 1 << 20, arena, &bytes, e));
    CHECK(bytes.size > COMMITS * VALUE_BYTES);
    CHECK(hot__manifest_end(slice_of(bytes.data, 10 * VALUE_BYTES), &hole) && hole > 0);
    memset((char *)bytes.data + hole, 0, HOLE_BYTES);
    CHECK_OK(file_write(path, bytes, 0600, e));
    CHECK_CODE(open_store(folder, &store, e), E_CORRUPT);
    CHECK_OK(file_read(path, 1 << 20, arena, &end, e));
    CHECK_SLICE(end, bytes);
}
