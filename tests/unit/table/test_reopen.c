/* SPDX-License-Identifier: Apache-2.0
 *
 * Going on after a failed write without a restart. The disk fails by a limit on the size of files,
 * which holds for the log of RocksDB too. What a failed sync does is tests/fault's business.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../test.h"
#include "fixture.h"
#include "os/file.h"
#include "os/thread.h"

enum { FILE_BYTES_MAX = 4096, TEXT_BYTES = 3000 };

static void set_limit(rlim_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

/* What a sink was told. */
typedef struct Heard {
    _Atomic uint64_t commits, last_seq, reopened, lost;
} Heard;

static void on_commit(void *context, const CommitGroup *group)
{
    Heard *heard = context;
    CHECK(group->last_seq > atomic_load(&heard->last_seq));
    atomic_store(&heard->last_seq, group->last_seq);
    atomic_fetch_add(&heard->commits, group->count);
}

static void on_reopen(void *context, bool has_lost)
{
    Heard *heard = context;
    atomic_fetch_add(&heard->lost, has_lost);
    atomic_fetch_add(&heard->reopened, 1);
}

static Code try_put(Fixture *f, int64_t id, const char *v, Error *e)
{
    ReadView *view = NULL;
    TRY(view_open(f->db, HOT_BLOCKING, &view, e));
    CLEANUP(intent_unref_ptr) Intent *intent = fixture_resolve(f, view, id, v);
    view_close(view);
    return database_commit(f->db, intent, e);
}

/* A flush that cannot begin a log: what comes next is not written. */
static void break_flush(Fixture *f)
{
    Error error = {0};
    struct rlimit limit;
    int next = open("/dev/null", O_RDONLY);
    CHECK(next >= 0);
    close(next);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = (rlim_t)next;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_INT(hot_flush(database_hot(f->db), &error), E_IO);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static const char *long_text(void)
{
    static char text[TEXT_BYTES + 1];
    memset(text, 'x', TEXT_BYTES);
    return text;
}

/* Writes until one fails; the log is longer than the limit then. */
static void break_disk(Fixture *f)
{
    Error error = {0};
    Code code = OK;
    set_limit(FILE_BYTES_MAX);
    for (int i = 0; i < 4 && code == OK; i++)
        code = try_put(f, 1000 + i, long_text(), &error);
    CHECK_INT(code, E_OUTCOME_UNKNOWN);
    CHECK(database_is_read_only(f->db));
}

/* Waits for what must come. */
static void wait_for_writes(Fixture *f)
{
    const struct timespec pause = {0, 5000000};
    while (database_is_read_only(f->db))
        nanosleep(&pause, NULL);
}

static void open_heard(Fixture *f, TableKind kind, Heard *heard)
{
    fixture_open(f, test_folder(), kind);
    database_add_sink(f->db, (ChangeSink){on_commit, heard, on_reopen});
}

TEST("a server that needs a restart after its disk was bad for a while, or loses what it "
     "acknowledged before")
{
    Fixture f;
    Heard heard = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_USER, &heard);
    fixture_put(&f, 1, "a");
    fixture_put(&f, 2, "b");
    uint64_t cursor = fixture_put(&f, 1, "c");
    break_disk(&f);
    CHECK_CODE(try_put(&f, 3, "refused", e), E_IO);
    const char *before = fixture_rows(&f, arena);
    CHECK(strstr(before, "1=c "));
    set_limit(RLIM_INFINITY);
    wait_for_writes(&f);
    CHECK_INT(heard.reopened, 1);
    CHECK_INT(heard.lost, 0);
    CHECK_TEXT(fixture_rows(&f, arena), before); /* a log cut short holds none of the group */
    uint64_t next = fixture_put(&f, 3, "d");
    CHECK(next > cursor);
    CHECK_INT(heard.last_seq, next);
    fixture_delete(&f, 2);
    CHECK(strstr(fixture_rows(&f, arena), "1=c "));
    CHECK(strstr(fixture_rows(&f, arena), "3=d "));
    CHECK(strstr(fixture_feed(&f, cursor, arena), "+3=d -2=b "));
    fixture_close(&f);
    fixture_open(&f, f.folder, TABLE_USER);
    CHECK(strstr(fixture_rows(&f, arena), "3=d "));
    fixture_close(&f);
}

TEST(
    "a view that is closed by the server, or a row that changes in it, because writes are to go on")
{
    Fixture f;
    Heard heard = {0};
    ReadView *view = NULL;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_USER, &heard);
    fixture_put(&f, 1, "a");
    break_disk(&f);
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    set_limit(RLIM_INFINITY);
    DatabaseStats stats = {0};
    for (const struct timespec pause = {0, 5000000}; stats.reopen_tries < 2;
         nanosleep(&pause, NULL))
        database_stats(f.db, &stats);
    CHECK(database_is_read_only(f.db));
    Version version;
    CHECK_INT(view_find(view, f.table, f.partition, SLICE("no such key"), arena, &version, NULL),
              E_NOT_FOUND);
    view_close(view);
    wait_for_writes(&f);
    fixture_put(&f, 1, "b");
    fixture_close(&f);
}

typedef struct Reader {
    Fixture *f;
    _Atomic bool *stop;
    HotRead mode;
    uint64_t views, would_block;
    uint64_t last_seq;
} Reader;

static void read_on(void *argument)
{
    Reader *reader = argument;
    while (!atomic_load(reader->stop)) {
        ReadView *view = NULL;
        PartitionState state;
        Code code = view_open(reader->f->db, reader->mode, &view, NULL);
        if (code == OK) {
            CHECK(view_seq(view) >= reader->last_seq);
            reader->last_seq = view_seq(view);
            code = view_partition(view, reader->f->table, reader->f->partition, &state, NULL);
            view_close(view);
            reader->views++;
        }
        CHECK(code == OK || (code == E_WOULD_BLOCK && reader->mode == HOT_CACHED_ONLY));
        reader->would_block += code != OK;
    }
}

TEST("a reader who fails, goes back in time or is raced while the store is opened again")
{
    Fixture f;
    Heard heard = {0};
    _Atomic bool stop = false;
    Thread *threads[3] = {NULL};
    open_heard(&f, TABLE_USER, &heard);
    fixture_put(&f, 1, "a");
    Reader readers[3] = {{&f, &stop, HOT_BLOCKING, 0, 0, 0},
                         {&f, &stop, HOT_BLOCKING, 0, 0, 0},
                         {&f, &stop, HOT_CACHED_ONLY, 0, 0, 0}};
    for (int i = 0; i < 3; i++)
        CHECK_OK(thread_start("reader", i == 2 ? THREAD_LOOP : THREAD_WORKER, read_on, &readers[i],
                              &threads[i], e));
    for (int round = 0; round < 3; round++) {
        break_disk(&f);
        set_limit(RLIM_INFINITY);
        wait_for_writes(&f);
        fixture_put(&f, 1, "b");
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    CHECK_INT(heard.reopened, 3);
    CHECK(readers[0].views > 0 && readers[1].views > 0);
    fixture_close(&f);
}

/* The newest log of RocksDB. */
static const char *log_path(const Fixture *f, Arena *arena)
{
    FileEntry *files;
    size_t count;
    const char *folder = arena_printf(arena, "%s/rocksdb", f->folder), *found = NULL;
    CHECK_OK(file_list(folder, 1000, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (strstr(files[i].name, ".log"))
            found = arena_printf(arena, "%s/%s", folder, files[i].name);
    }
    CHECK(found);
    return found;
}

TEST("a cursor of an async table that is still taken after the disk has lost commits behind it")
{
    Fixture f;
    Heard heard = {0};
    uint64_t bytes = 0;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_STREAM, &heard);
    fixture_put(&f, 1, "kept");
    CLEANUP(intent_unref_ptr) Intent *synced = intent_new(database_last_seq(f.db));
    synced->durable = true;
    CHECK_OK(database_commit(f.db, synced, e));
    const char *log = log_path(&f, arena);
    CHECK_OK(file_size(log, &bytes, e));
    uint64_t cursor = fixture_put(&f, 2, "lost");
    break_disk(&f);
    CHECK(truncate(log, (off_t)bytes) == 0);
    set_limit(RLIM_INFINITY);
    wait_for_writes(&f);
    CHECK_INT(heard.lost, 1);
    CHECK(database_last_seq(f.db) > cursor);
    CHECK_TEXT(fixture_rows(&f, arena), "1=kept ");
    ReadView *view = NULL;
    Feed *feed = NULL;
    CHECK_OK(view_open(f.db, HOT_BLOCKING, &view, e));
    CHECK_INT(view_seq(view), database_last_seq(f.db));
    CHECK_CODE(feed_open(view, f.table, f.partition, cursor, &feed, e), E_CURSOR_TOO_OLD);
    view_close(view);
    fixture_put(&f, 3, "next");
    CHECK_TEXT(fixture_rows(&f, arena), "1=kept 3=next ");
    fixture_close(&f);
}

TEST("a commit that was certainly not written is told to be of unknown outcome, or is there later")
{
    Fixture f;
    Heard heard = {0};
    Error error = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_USER, &heard);
    fixture_put(&f, 1, "a");
    break_flush(&f);
    CHECK(!database_is_read_only(f.db)); /* a write is the first to hear of it */
    CHECK_INT(try_put(&f, 2, "refused", &error), E_IO);
    CHECK(strstr(error.text, "writes are refused since one to the disk failed"));
    CHECK(strstr(error.text, "Too many open files"));
    wait_for_writes(&f);
    CHECK_INT(heard.reopened, 1);
    CHECK_INT(heard.lost, 0);
    CHECK_INT(heard.commits, 1);
    CHECK_TEXT(fixture_rows(&f, arena), "1=a ");
    fixture_put(&f, 2, "b");
    CHECK_TEXT(fixture_rows(&f, arena), "1=a 2=b ");
    fixture_close(&f);
}

TEST("commits of an async table that are lost in silence, because the commit that met the failure "
     "was refused")
{
    Fixture f;
    Heard heard = {0};
    uint64_t bytes = 0;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_STREAM, &heard);
    fixture_put(&f, 1, "kept");
    CLEANUP(intent_unref_ptr) Intent *synced = intent_new(database_last_seq(f.db));
    synced->durable = true;
    CHECK_OK(database_commit(f.db, synced, e));
    const char *log = log_path(&f, arena);
    CHECK_OK(file_size(log, &bytes, e));
    uint64_t cursor = fixture_put(&f, 2, "lost");
    break_flush(&f);
    CHECK(truncate(log, (off_t)bytes) == 0);
    CHECK_CODE(try_put(&f, 3, "refused", e), E_IO);
    wait_for_writes(&f);
    CHECK_INT(heard.reopened, 1);
    CHECK_INT(heard.lost, 1);
    CHECK(database_last_seq(f.db) > cursor);
    CHECK_TEXT(fixture_rows(&f, arena), "1=kept ");
    fixture_put(&f, 3, "next");
    CHECK_TEXT(fixture_rows(&f, arena), "1=kept 3=next ");
    fixture_close(&f);
}

TEST("writes that go on although the disk has lost a commit that was synced")
{
    Fixture f;
    Heard heard = {0};
    uint64_t bytes = 0;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    open_heard(&f, TABLE_USER, &heard);
    fixture_put(&f, 1, "a");
    const char *log = log_path(&f, arena);
    CHECK_OK(file_size(log, &bytes, e));
    fixture_put(&f, 2, "b");
    break_disk(&f);
    CHECK(truncate(log, (off_t)bytes) == 0);
    set_limit(RLIM_INFINITY);
    Error error = {0};
    while (!strstr(error.text, "synced")) {
        const struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
        CHECK_INT(try_put(&f, 3, "c", &error), E_IO);
    }
    CHECK_INT(heard.reopened, 0);
    fixture_close(&f);
}
