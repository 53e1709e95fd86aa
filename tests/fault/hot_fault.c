/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot store alone on a disk that fails: `fault_hot libfault.so`. RocksDB asserts in places that
 * a failing disk reaches when several threads make it write: one writes and fills memtables, while
 * others flush, rewrite a range, merge a family and copy the store. Each trial hits one call that
 * changes the disk; the process must live, and what was acknowledged must be there, in the same
 * life after hot_reopen as in the next.
 *
 * KALAM_FAULT_HOT_POINTS (default 36) calls are hit, "all" for every one in every way; of the last
 * scene always each sync of a log.
 * KALAM_FAULT_RUN=<seed> repeats a run's choices; with KALAM_FAULT_POINT=<scene>,<call>,<variant>
 * it runs one trial and keeps its folder.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../unit/test.h"
#include "hot/hot.h"
#include "os/thread.h"
#include "trial.h"

enum {
    POINTS_DEFAULT = 36,
    STATUS_FAILED = 3,
    WRITES = 60,
    ROUNDS = 3,
    VALUE_BYTES = 24 * 1024, /* so that some fill a memtable */
    REOPEN_TRIES = 20,
    GARBAGE_BYTES = 32 << 20, /* enough for hot_reclaim to act at once */
};

typedef enum Life { LIFE_PREPARE, LIFE_RUN, LIFE_CHECK } Life;

static HotStore *open_store(Error *e)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 2 << 20, .background_jobs = 2};
    HotStore *store = NULL;
    return hot_open(trial_path("disk/hot"), &options, &store, e) == OK ? store : NULL;
}

/* ---- what is written ---- */

static const char *key_of(int number, char out[16])
{
    snprintf(out, 16, "m%05d", number);
    return out;
}

/* The key, its twin in another family, and a deleted range: a memtable with one is what RocksDB
 * asserts about when it is switched twice. */
static Code write_one(HotStore *store, int number, Error *e)
{
    char key[16], value[VALUE_BYTES];
    for (size_t i = 0; i < sizeof value; i += sizeof(uint64_t)) { /* does not compress */
        uint64_t bits = slice_hash(slice_of(&i, sizeof i), (uint64_t)number);
        memcpy(value + i, &bits, sizeof bits);
    }
    HotBatch *batch = hot_batch_new();
    Slice name = slice_of_text(key_of(number, key));
    hot_batch_put(batch, store, HOT_ROWS, name, slice_of(value, sizeof value));
    hot_batch_put(batch, store, HOT_HEADS, name, name);
    hot_batch_delete_range(batch, store, HOT_ROWS, SLICE("a"), SLICE("b"));
    hot_batch_delete_range(batch, store, HOT_HISTORY, SLICE("a"), SLICE("b"));
    Code code = hot_write(store, batch, true, e);
    hot_batch_free(batch);
    return code;
}

/* How many were acknowledged is kept beside the disk, a byte each: the power may be cut at any
 * moment. */
static int acknowledged(void)
{
    struct stat st;
    return stat(trial_path("acknowledged"), &st) == 0 ? (int)st.st_size : 0;
}

static void note_acknowledged(void)
{
    FILE *file = fopen(trial_path("acknowledged"), "a");
    CHECK(file && fputc('.', file) == '.');
    CHECK(fclose(file) == 0);
}

/* All up to `count`, in both families alike; the one after them in both or in neither. */
static void check_rows(HotStore *store, int count)
{
    char key[16];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotSnapshot *snapshot = hot_snapshot_new(store);
    for (int i = 0; i <= count; i++) {
        Slice value, name = slice_of_text(key_of(i, key));
        Error error = {0};
        Code row = hot_get(snapshot, HOT_BLOCKING, HOT_ROWS, name, arena, &value, &error);
        Code head = hot_get(snapshot, HOT_BLOCKING, HOT_HEADS, name, arena, &value, &error);
        if (row != head || (row != OK && (row != E_NOT_FOUND || i < count)))
            test_failed(__FILE__, __LINE__, "%s of %d: codes %d and %d: %s", key, count, (int)row,
                        (int)head, error.text);
    }
    hot_snapshot_free(snapshot);
}

/* ---- at a time ---- */

static atomic_bool has_failed;

static void note(Code code, const Error *error)
{
    if (code == OK || code == E_CANCELLED)
        return;
    atomic_store(&has_failed, true);
    if (getenv("KALAM_FAULT_TELL"))
        fprintf(stderr, "    %s\n", error->text);
}

static void flush_once(void *store)
{
    Error error;
    note(hot_flush(store, &error), &error);
}

static void flush(void *store)
{
    for (int i = 0; i < ROUNDS * 2; i++)
        flush_once(store);
}

/* The heads are a table that is small and not empty, the history one with ranges only: when such a
 * one cannot be written, late.cc keeps the failure back. */
static void scrub(void *store)
{
    Error error;
    for (int i = 0; i < ROUNDS; i++) {
        note(hot_scrub(store, HOT_ROWS, &(HotRange){SLICE("a"), SLICE("z")}, 1, NULL, &error),
             &error);
        note(hot_scrub(store, HOT_HEADS, &(HotRange){SLICE("a"), SLICE("z")}, 1, NULL, &error),
             &error);
    }
}

static void reclaim(void *store)
{
    Error error;
    hot_note_deleted(store, HOT_ROWS, GARBAGE_BYTES);
    hot_note_deleted(store, HOT_HISTORY, GARBAGE_BYTES);
    note(hot_reclaim(store, &error), &error);
}

/* The writer has trial_path for itself. */
static void copy(void *store)
{
    char path[600];
    Error error;
    for (int i = 0; i < ROUNDS; i++) {
        snprintf(path, sizeof path, "%s/disk/copy%d", trial_folder(), i);
        note(hot_checkpoint(store, path, &error), &error);
    }
}

static void write_some(HotStore *store, int count)
{
    Error error;
    int next = acknowledged();
    for (int end = next + count; next < end && next < WRITES; next++) {
        Code code = write_one(store, next, &error);
        note(code, &error);
        if (code != OK)
            return;
        note_acknowledged();
    }
}

static void write_all(void *store)
{
    write_some(store, WRITES);
}

/* As the committer does after a failed write. */
static bool reopen(HotStore *store)
{
    Error error;
    for (int i = 0; i < REOPEN_TRIES; i++) {
        CHECK(hot_shut(store, 60 * 1000));
        Code code = hot_reopen(store, &error);
        hot_admit(store);
        if (code == OK)
            return true;
    }
    return false;
}

typedef struct Doing {
    const char *name;
    ThreadKind kind;
    ThreadFunction *run;
} Doing;

static void run_together(HotStore *store)
{
    static const Doing doing[] = {
        {"writes", THREAD_COMMITTER, write_all},
        {"flush", THREAD_JOBS, flush},
        {"scrub", THREAD_JOBS, scrub},
        {"reclaim", THREAD_JOBS, reclaim},
        {"copy", THREAD_JOBS, copy},
    };
    enum { COUNT = sizeof doing / sizeof *doing };
    Thread *threads[COUNT];
    for (int i = 0; i < COUNT; i++)
        CHECK_OK(thread_start(doing[i].name, doing[i].kind, doing[i].run, store, &threads[i], e));
    for (int i = 0; i < COUNT; i++)
        thread_join(threads[i]);
}

static void run_alone(HotStore *store)
{
    write_all(store);
    flush(store);
    write_all(store);
    scrub(store);
    reclaim(store);
    copy(store);
}

/* Tables as small as one whose failure is kept back (late.cc), and none of them empty. */
static void run_small(HotStore *store)
{
    char key[16];
    Error error;
    for (int i = 0; i < ROUNDS; i++) {
        Slice name = slice_of_text(key_of(acknowledged(), key));
        HotBatch *batch = hot_batch_new();
        hot_batch_put(batch, store, HOT_ROWS, name, name);
        hot_batch_put(batch, store, HOT_HEADS, name, name);
        Code code = hot_write(store, batch, true, &error);
        hot_batch_free(batch);
        note(code, &error);
        if (code == OK)
            note_acknowledged();
        note(hot_scrub(store, HOT_HEADS, &(HotRange){SLICE("a"), SLICE("z")}, 1, NULL, &error),
             &error);
    }
}

static atomic_bool is_flushed;

static void flush_and_tell(void *store)
{
    flush_once(store);
    atomic_store(&is_flushed, true);
}

/* A flush closes a log with bytes that nobody has synced, and syncs it; meanwhile one writes who
 * has to sync it, too. */
static void run_logs(HotStore *store)
{
    Error error;
    for (int i = 0; i < ROUNDS && !atomic_load(&has_failed); i++) {
        Thread *thread;
        HotBatch *batch = hot_batch_new();
        hot_batch_put(batch, store, HOT_ROWS, SLICE("unsynced"), SLICE("v"));
        note(hot_write(store, batch, false, &error), &error);
        hot_batch_free(batch);
        atomic_store(&is_flushed, false);
        CHECK_OK(thread_start("flush", THREAD_JOBS, flush_and_tell, store, &thread, e));
        while (!hot_property(store, "rocksdb.num-immutable-mem-table") && !atomic_load(&is_flushed))
            sched_yield();
        write_some(store, 4);
        thread_join(thread);
    }
}

/* Of these calls each fails after a while, in which others come to wait for its end. */
static const Variant log_syncs = {.way = WAY_FAIL,
                                  .name = "a log's sync fails after a while",
                                  .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_DELAY_US",
                                               "50000", "KALAM_FAULT_OPS", "fsync",
                                               "KALAM_FAULT_PATH", ".log"}};

typedef struct Scene {
    const char *name;
    void (*run)(HotStore *store);
    bool tells_all;      /* a table that was not written or synced must not go unnoticed */
    const Variant *only; /* if not NULL: what each call that it counts is hit by */
} Scene;

static const Scene scenes[] = {
    {"one thing after the other in the hot store", run_alone, false, NULL},
    {"all at a time in the hot store", run_together, false, NULL},
    {"small tables in the hot store", run_small, true, NULL},
    {"logs that are closed in the hot store", run_logs, false, &log_syncs},
};
enum { SCENES = sizeof scenes / sizeof *scenes };

static int live_run(const Scene *scene)
{
    Error error;
    remove(trial_path("acknowledged"));
    HotStore *store = open_store(&error);
    if (!store)
        return STATUS_FAILED;
    scene->run(store);
    bool failed = atomic_load(&has_failed);
    bool is_open = !failed || reopen(store); /* a disk that stays bad may keep it closed */
    if (is_open)
        check_rows(store, acknowledged());
    if (failed && is_open)
        write_all(store); /* it goes on */
    hot_close(store);
    return failed ? STATUS_FAILED : 0;
}

static void live_check(void)
{
    Error error = {0};
    HotStore *store = open_store(&error);
    if (!store)
        test_failed(__FILE__, __LINE__, "the store does not open: %s", error.text);
    check_rows(store, acknowledged());
    write_all(store);
    check_rows(store, WRITES);
    hot_close(store);
}

static void live_prepare(void)
{
    HotStore *store = open_store(NULL);
    CHECK(store);
    hot_close(store);
}

static int live(int life, size_t scene)
{
    if (life == LIFE_RUN)
        return live_run(&scenes[scene]);
    if (life == LIFE_CHECK)
        live_check();
    else
        live_prepare();
    return 0;
}

/* Whether the call wrote bytes of a table or synced them. */
static bool wrote_table(unsigned long at)
{
    char line[1024], operation[16], path[800];
    unsigned long number;
    bool found = false;
    FILE *log = fopen(trial_path("calls"), "r");
    while (log && !found && fgets(line, sizeof line, log))
        found = sscanf(line, "%lu %15s %*u %799s", &number, operation, path) == 3 && number == at &&
                strstr(path, ".sst") &&
                (strcmp(operation, "write") == 0 || strcmp(operation, "fsync") == 0);
    if (log)
        fclose(log);
    return found;
}

static TrialEnds run_trial(const Trial *trial)
{
    trial_restore("disk");
    int status = trial_life(LIFE_RUN, trial->scene, trial->variant, trial->at);
    bool must_tell = scenes[trial->scene].tells_all && trial->variant->way == WAY_FAIL;
    bool is_fair = status == TRIAL_CUT || status == STATUS_FAILED ||
                   (status == 0 && !(must_tell && wrote_table(trial->at)));
    if (status == TRIAL_CUT)
        trial_cut();
    int check = is_fair ? trial_life(LIFE_CHECK, trial->scene, NULL, 0) : -1;
    return (TrialEnds){status, check};
}

static unsigned long count_calls(size_t scene)
{
    const Variant *only = scenes[scene].only;
    trial_restore("disk"); /* the call 0 is never made */
    CHECK_INT(trial_life(LIFE_RUN, scene, only ? only : &trial_counting, 0), 0);
    return trial_calls();
}

static const Variant *only_variant(size_t scene)
{
    return scenes[scene].only;
}

static const char *scene_name(size_t scene)
{
    return scenes[scene].name;
}

static void prepare(uint64_t seed)
{
    (void)seed;
    CHECK_INT(trial_life(LIFE_PREPARE, 0, NULL, 0), 0);
    trial_keep("disk");
}

int main(int argc, char **argv)
{
    static const TrialProgram program = {.name = "fault_hot",
                                         .points_variable = "KALAM_FAULT_HOT_POINTS",
                                         .points_default = POINTS_DEFAULT,
                                         .scene_count = SCENES,
                                         .scene_name = scene_name,
                                         .live = live,
                                         .prepare = prepare,
                                         .count_calls = count_calls,
                                         .run = run_trial,
                                         .only = only_variant};
    return trial_main(&program, argc, argv);
}
