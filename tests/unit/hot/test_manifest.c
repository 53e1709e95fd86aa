/* SPDX-License-Identifier: Apache-2.0
 *
 * A MANIFEST of RocksDB that a power cut or time has damaged: cut at its end, or refused.
 */
#include <stdio.h>
#include <unistd.h>

#include "../test.h"
#include "base/buffer.h"
#include "hot/hot_int.h"
#include "os/file.h"

enum { TORN_BYTES = 512 };

typedef struct Place {
    char store[300], manifest[600];
    uint64_t first_bytes; /* of the MANIFEST when it was made */
} Place;

static Code open_store(const Place *place, HotStore **out, Error *e)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    return hot_open(place->store, &options, out, e);
}

static Slice read_manifest(Place *place, Arena *arena)
{
    Slice name, bytes;
    char path[400];
    snprintf(path, sizeof path, "%s/CURRENT", place->store);
    CHECK_OK(file_read(path, 100, arena, &name, e));
    snprintf(place->manifest, sizeof place->manifest, "%s/%.*s", place->store, (int)name.size - 1,
             name.data);
    CHECK_OK(file_read(place->manifest, 1 << 20, arena, &bytes, e));
    return bytes;
}

static void put(HotStore *store, const char *key)
{
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), SLICE("v"));
    hot_batch_put(batch, store, HOT_SYSTEM, slice_of_text(key), SLICE("v"));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
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

/* A store of two keys, one in a table file, one in the log; its MANIFEST has grown since it was
 * made. */
static void make_store(Place *place)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotStore *store = NULL;
    snprintf(place->store, sizeof place->store, "%s", test_folder());
    CHECK_OK(open_store(place, &store, e));
    place->first_bytes = read_manifest(place, arena).size;
    put(store, "b");
    CHECK_OK(hot_flush(store, e));
    put(store, "c");
    hot_close(store);
    CHECK(read_manifest(place, arena).size > place->first_bytes);
}

static void damage(const Place *place, Slice before, Slice tail)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    buffer_add(&bytes, before.data, before.size);
    buffer_add(&bytes, tail.data, tail.size);
    CHECK_OK(file_write(place->manifest, buffer_slice(&bytes), 0600, e));
}

static Slice garbage(char bytes[TORN_BYTES])
{
    for (int i = 0; i < TORN_BYTES; i++)
        bytes[i] = (char)test_random();
    return slice_of(bytes, TORN_BYTES);
}

TEST("a server that does not start after a power cut has left garbage at the end of the MANIFEST")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char torn[TORN_BYTES];
    Place place;
    HotStore *store = NULL;
    make_store(&place);
    damage(&place, read_manifest(&place, arena), garbage(torn));
    CHECK_OK(open_store(&place, &store, e));
    CHECK_INT(count_keys(store), 2);
    put(store, "d");
    hot_close(store);
    CHECK_OK(open_store(&place, &store, e));
    CHECK_INT(count_keys(store), 3);
    hot_close(store);
}

TEST("a damaged record in the middle of the MANIFEST that is cut with all that follows it")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Place place;
    HotStore *store = NULL;
    make_store(&place);
    Slice bytes = read_manifest(&place, arena);
    Slice copy = arena_copy(arena, bytes);
    ((char *)copy.data)[place.first_bytes + 10] ^= 1; /* the first record that was added */
    damage(&place, copy, (Slice){0});
    CHECK_CODE(open_store(&place, &store, e), E_CORRUPT);
    CHECK_SLICE(read_manifest(&place, arena), copy);
}

TEST("a MANIFEST that loses what it held when it was made")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Place place;
    HotStore *store = NULL;
    make_store(&place);
    Slice bytes = slice_of(read_manifest(&place, arena).data, (size_t)place.first_bytes);
    Slice copy = arena_copy(arena, bytes);
    ((char *)copy.data)[copy.size - 1] ^= 1;
    damage(&place, copy, (Slice){0});
    CHECK_CODE(open_store(&place, &store, e), E_CORRUPT);
    CHECK_SLICE(read_manifest(&place, arena), copy);
}

/* Where the last record of a MANIFEST starts. */
static size_t last_record(Slice bytes)
{
    size_t end = 0, before = bytes.size;
    do
        CHECK(hot__manifest_end(slice_of(bytes.data, --before), &end));
    while (end == bytes.size);
    return end;
}

static void copy_store(const Place *from, Place *to, int number)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *files;
    size_t count;
    *to = *from;
    snprintf(to->store, sizeof to->store, "%.200s/copy-%d", from->store, number);
    CHECK_OK(file_make_folders(to->store, 0700, e));
    CHECK_OK(file_list(from->store, 1000, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (!files[i].is_folder)
            CHECK_OK(file_copy(arena_printf(arena, "%s/%s", from->store, files[i].name),
                               arena_printf(arena, "%s/%s", to->store, files[i].name), 0600, e));
    }
}

TEST("rows lost in silence when the last record was synced, its log is removed, and the record is "
     "taken for torn")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char torn[TORN_BYTES];
    Place place, copy;
    HotStore *store = NULL;
    int refused = 0, number = 0;
    make_store(&place);
    CHECK_OK(open_store(&place, &store, e));
    put(store, "d");
    CHECK_OK(hot_flush(store, e));
    put(store, "e");
    size_t before = read_manifest(&place, arena).size;
    CHECK_OK(hot_flush(store, e));
    hot_close(store);
    Slice bytes = read_manifest(&place, arena);
    /* What the last flush has written, its first record excepted: that is the end of the log, on
     * which the others rely. */
    for (size_t end = last_record(bytes), next;
         (next = last_record(slice_of(bytes.data, end))) >= before; end = next) {
        copy_store(&place, &copy, number++);
        (void)read_manifest(&copy, arena);
        damage(&copy, slice_of(bytes.data, end), garbage(torn));
        Code code = open_store(&copy, &store, NULL);
        if (code == OK)
            CHECK_INT(count_keys(store), 4);
        if (code == OK)
            hot_close(store);
        else
            CHECK_INT(code, E_CORRUPT);
        refused += code != OK;
    }
    CHECK(refused > 0);
}
