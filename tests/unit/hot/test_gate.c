/* SPDX-License-Identifier: Apache-2.0
 *
 * Shutting readers out of a hot store, and opening it again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../test.h"
#include "hot/hot.h"
#include "os/thread.h"

static HotStore *open_store(const char *folder)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20, .background_jobs = 1};
    HotStore *store = NULL;
    CHECK_OK(hot_open(folder, &options, &store, e));
    return store;
}

static void put(HotStore *store, const char *key, const char *value)
{
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_ROWS, slice_of_text(key), slice_of_text(value));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
}

static Code get(HotStore *store, HotRead mode, const char *key, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice value;
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code = hot_get(snapshot, mode, HOT_ROWS, slice_of_text(key), arena, &value, e);
    hot_snapshot_free(snapshot);
    return code;
}

TEST("a store that is closed below a snapshot, or readers that stay shut out when one does not "
     "leave")
{
    HotStore *store = open_store(test_folder());
    put(store, "a", "1");
    HotSnapshot *inside = hot_snapshot_new(store);
    CHECK(!hot_shut(store, 1));
    CHECK_OK(get(store, HOT_BLOCKING, "a", e));
    hot_snapshot_free(inside);
    CHECK(hot_shut(store, 1));
    hot_admit(store);
    hot_close(store);
}

typedef struct Reader {
    HotStore *store;
    HotRead mode;
    Code get, walk;
    uint64_t property;
} Reader;

static void read_all(void *argument)
{
    Reader *reader = argument;
    Error error = {0};
    reader->get = get(reader->store, reader->mode, "a", &error);
    HotSnapshot *snapshot = hot_snapshot_new(reader->store);
    HotIterator *it =
        hot_iterator_open(snapshot, reader->mode, HOT_ROWS, SLICE("a"), SLICE("z"), false);
    while (hot_next(it))
        ;
    hot_seek(it, SLICE("b"));
    reader->walk = hot_iterator_end(it, &error);
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    reader->property = hot_property(reader->store, "rocksdb.estimate-num-keys");
}

static Thread *start(ThreadKind kind, Reader *reader)
{
    Thread *thread = NULL;
    CHECK_OK(thread_start("reader", kind, read_all, reader, &thread, e));
    return thread;
}

TEST("a loop that waits while the store is opened again, or a worker that does not")
{
    HotStore *store = open_store(test_folder());
    put(store, "a", "1");
    CHECK(hot_shut(store, 1));
    Reader loop = {store, HOT_CACHED_ONLY, OK, OK, 0}, worker = {store, HOT_BLOCKING, OK, OK, 0};
    thread_join(start(THREAD_LOOP, &loop));
    CHECK_INT(loop.get, E_WOULD_BLOCK);
    CHECK_INT(loop.walk, E_WOULD_BLOCK);
    CHECK_INT(loop.property, 0);
    Thread *waiting = start(THREAD_WORKER, &worker);
    CHECK_OK(hot_reopen(store, e));
    hot_admit(store);
    thread_join(waiting);
    CHECK_INT(worker.get, OK);
    CHECK_INT(worker.walk, OK);
    CHECK_INT(worker.property, 1);
    put(store, "b", "2");
    CHECK_OK(get(store, HOT_BLOCKING, "b", e));
    hot_close(store);
}

/* New files cannot be opened, as on a disk that fails. */
static void forbid_files(void)
{
    struct rlimit limit;
    int next = open("/dev/null", O_RDONLY);
    CHECK(next >= 0);
    close(next);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)next;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void allow_files(void)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

TEST(
    "a second flush after one that could not begin a log: an assertion of RocksDB ends the process")
{
    Error error;
    HotStore *store = open_store(test_folder());
    HotBatch *batch = hot_batch_new();
    put(store, "a", "1");
    hot_batch_delete_range(batch, store, HOT_ROWS, SLICE("x"), SLICE("y"));
    CHECK_OK(hot_write(store, batch, true, e));
    forbid_files();
    CHECK(hot_flush(store, &error) != OK);
    CHECK(hot_flush(store, &error) != OK);
    CHECK(hot_write(store, batch, true, &error) != OK);
    allow_files();
    CHECK(hot_flush(store, &error) != OK); /* not before it was opened again */
    CHECK(hot_shut(store, 1000));
    CHECK_OK(hot_reopen(store, e));
    hot_admit(store);
    CHECK_OK(get(store, HOT_BLOCKING, "a", e));
    CHECK_OK(hot_write(store, batch, true, e));
    CHECK_OK(hot_flush(store, e));
    hot_batch_free(batch);
    hot_close(store);
}

TEST("a copy after a flush that could not begin a log: RocksDB's own flush for it ends the process")
{
    char path[512];
    Error error;
    const char *folder = test_folder();
    HotStore *store = open_store(folder);
    HotBatch *batch = hot_batch_new();
    hot_batch_delete_range(batch, store, HOT_ROWS, SLICE("x"), SLICE("y"));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
    forbid_files();
    CHECK(hot_flush(store, &error) != OK);
    allow_files();
    snprintf(path, sizeof path, "%s-copy", folder);
    CHECK_CODE(hot_checkpoint(store, path, e), E_IO);
    CHECK_CODE(hot_scrub(store, HOT_ROWS, &(HotRange){SLICE("a"), SLICE("z")}, 1, NULL, e), E_IO);
    hot_close(store);
}

typedef struct Doubt {
    HotStore *store;
    bool shuts, answer;
} Doubt;

/* Asked by a merge, which is inside by then. */
static bool doubt(void *context)
{
    Doubt *asked = context;
    if (asked->shuts)
        CHECK(!hot_shut(asked->store, 1));
    else if (!asked->answer)
        hot_cancel_merges(asked->store);
    return asked->answer;
}

TEST("a merge that goes on when the store is to be opened again, or its job was killed, holds both "
     "up for minutes")
{
    static const HotRange range = {SLICE("a"), SLICE("c")};
    HotStore *store = open_store(test_folder());
    put(store, "a", "1");
    CHECK_OK(hot_flush(store, e));
    put(store, "b", "2");
    Doubt shut = {.store = store, .shuts = true}, cancelled = {.store = store};
    Doubt killed = {.store = store, .answer = true};
    CHECK_CODE(hot_scrub(store, HOT_ROWS, &range, 1, &(HotStop){doubt, &shut}, e), E_CANCELLED);
    CHECK_CODE(hot_scrub(store, HOT_ROWS, &range, 1, &(HotStop){doubt, &cancelled}, e),
               E_CANCELLED);
    CHECK_CODE(hot_scrub(store, HOT_ROWS, &range, 1, &(HotStop){doubt, &killed}, e), E_CANCELLED);
    CHECK_OK(hot_scrub(store, HOT_ROWS, &range, 1, NULL, e));
    hot_close(store);
}

TEST("a merge changes the row at the start of its range, or brings back a deleted one")
{
    static const HotRange whole = {SLICE("a"), SLICE("c")}, rest = {SLICE("b"), SLICE("c")};
    HotStore *store = open_store(test_folder());
    HotBatch *batch = hot_batch_new();
    put(store, "a", "1");
    put(store, "b", "2");
    hot_batch_delete(batch, store, HOT_ROWS, SLICE("b"));
    CHECK_OK(hot_write(store, batch, true, e));
    hot_batch_free(batch);
    for (int i = 0; i < 2; i++) {
        CHECK_OK(hot_scrub(store, HOT_ROWS, &whole, 1, NULL, e));
        CHECK_OK(hot_scrub(store, HOT_ROWS, &rest, 1, NULL, e));
        CHECK_OK(get(store, HOT_BLOCKING, "a", e));
        CHECK_CODE(get(store, HOT_BLOCKING, "b", e), E_NOT_FOUND);
    }
    hot_close(store);
}
