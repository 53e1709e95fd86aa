/* SPDX-License-Identifier: Apache-2.0
 *
 * Which merges make deleted bytes leave the files: as few as can be, and none too few.
 */
#include "../test.h"
#include "base/arena.h"
#include "hot/hot.h"
#include "os/file.h"

#define CANARY "canary-2f70d3"
enum { VALUE_BYTES = 4096 };

static HotStore *open_store(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

/* Random bytes with the canary in front, which no compression hides. */
static void put(HotStore *store, const char *key)
{
    char value[VALUE_BYTES];
    HotBatch *batch = hot_batch_new();
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)(test_random() >> 11);
    memcpy(value, CANARY, strlen(CANARY));
    hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), slice_of(value, sizeof value));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
}

static void remove_key(HotStore *store, const char *key)
{
    HotBatch *batch = hot_batch_new();
    hot_batch_delete(batch, store, HOT_ROWS, slice_of_text(key));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
}

static bool count_asked(void *context)
{
    ++*(int *)context;
    return false;
}

/* Returns how many merges it took. */
static int scrub(HotStore *store, const HotRange *ranges, size_t count)
{
    int asked = 0;
    CHECK_OK(hot_flush(store, e));
    CHECK_OK(hot_scrub(store, HOT_ROWS, ranges, count, &(HotStop){count_asked, &asked}, e));
    return asked;
}

static size_t count_texts(Slice bytes)
{
    size_t found = 0;
    for (const char *at = bytes.data, *end = bytes.data + bytes.size;
         (at = memmem(at, (size_t)(end - at), CANARY, strlen(CANARY))); at++)
        found++;
    return found;
}

/* How often the canary is in the files of the store. */
static size_t count_canaries(const char *folder)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *entries;
    size_t count, found = 0;
    CHECK_OK(file_list(folder, 1000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        Slice bytes;
        CHECK_OK(file_read(arena_printf(arena, "%s/%s", folder, entries[i].name), 1 << 26, arena,
                           &bytes, e));
        found += count_texts(bytes);
    }
    return found;
}

#define RANGE(low, high)        \
    {                           \
        SLICE(low), SLICE(high) \
    }

/* Three files that nothing lies above: a1 to a5, m1, z1 to z2. */
static HotStore *open_three(const char *folder)
{
    static const HotRange as = RANGE("a", "b"), ms = RANGE("m", "n"), zs = RANGE("z", "zz");
    HotStore *store = open_store(folder);
    for (const char *const *key = (const char *const[]){"a1", "a2", "a3", "a4", "a5", NULL}; *key;
         key++)
        put(store, *key);
    CHECK_INT(scrub(store, &as, 1), 1);
    put(store, "m1");
    CHECK_INT(scrub(store, &ms, 1), 1);
    put(store, "z1");
    put(store, "z2");
    CHECK_INT(scrub(store, &zs, 1), 1);
    CHECK_INT(count_canaries(folder), 8);
    return store;
}

TEST("many ranges that lie in one file rewrite it once for each of them")
{
    static const HotRange ranges[] = {RANGE("a1", "a2"), RANGE("a3", "a4"), RANGE("a5", "a6")};
    const char *folder = test_folder();
    HotStore *store = open_three(folder);
    remove_key(store, "a1");
    remove_key(store, "a3");
    remove_key(store, "a5");
    CHECK_INT(scrub(store, ranges, 3), 1);
    CHECK_INT(count_canaries(folder), 5);
    hot_close(store);
}

TEST("ranges of several files that are merged with a file between them, or of which one is left "
     "out")
{
    static const HotRange ranges[] = {RANGE("a1", "a2"), RANGE("b", "c"), RANGE("z1", "z2")};
    const char *folder = test_folder();
    HotStore *store = open_three(folder);
    remove_key(store, "a1");
    CHECK_OK(hot_flush(store, e));
    remove_key(store, "z1");
    CHECK_INT(scrub(store, ranges, 3), 2);
    CHECK_INT(count_canaries(folder), 6);
    CHECK_INT(scrub(store, ranges, 3), 0); /* what has gone is in no file */
    hot_close(store);
}

TEST("a range that no file holds is merged, or one that is in memory only is taken for none")
{
    static const HotRange nobodys[] = {RANGE("b", "c"), RANGE("n", "o")}, qs = RANGE("q", "r");
    const char *folder = test_folder();
    HotStore *store = open_three(folder);
    int asked = 0;
    CHECK_INT(scrub(store, nobodys, 2), 0);
    put(store, "q1");
    remove_key(store, "q1");
    CHECK_OK(hot_scrub(store, HOT_ROWS, &qs, 1, &(HotStop){count_asked, &asked}, e));
    CHECK_INT(asked, 1);
    CHECK_INT(scrub(store, nobodys, 2), 0);
    CHECK_INT(count_canaries(folder), 8);
    hot_close(store);
}
