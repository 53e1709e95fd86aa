/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of jobs: killing, and what a restart finds.
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "../table/fixture.h"
#include "../test.h"
#include "base/limits.h"
#include "jobs/jobs.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/throttle.h"
#include "table/table_int.h"

enum { WAIT_MS = 60 * 1000 };

typedef struct Stage {
    Fixture f;
    Jobs *jobs;
} Stage;

static void start(Stage *s, const char *folder)
{
    JobsOptions options = {.flush_rows_default = 1000, .check_interval_s = 3600};
    fixture_open(&s->f, folder, TABLE_USER);
    CHECK_OK(jobs_start(s->f.db, &options, &s->jobs, e));
}

static void stop(Stage *s)
{
    jobs_stop(s->jobs);
    fixture_close(&s->f);
    jobs_free(s->jobs);
}

static JobStatus status_of(Stage *s, const char *id)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo *infos;
    size_t count;
    CHECK_OK(jobs_list(s->jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(slice_of_text(infos[i].id), slice_of_text(id)))
            return infos[i].status;
    }
    test_failed(__FILE__, __LINE__, "job %s is not listed", id);
}

static void commit_change(Stage *s, uint64_t read_seq, CatalogChange *change)
{
    Intent *intent = intent_new(read_seq);
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(s->f.db, intent, e));
    intent_unref(intent);
}

/* Another table like that of the fixture. */
static Table *make_table(Stage *s, Slice name)
{
    Catalog *catalog = database_catalog(s->f.db);
    CatalogChange *change = NULL;
    Table definition = *s->f.table;
    definition.name = name;
    uint64_t read_seq = database_last_seq(s->f.db);
    CHECK_OK(catalog_plan_create_table(catalog, &definition, &change, e));
    commit_change(s, read_seq, change);
    Table *made = catalog_find_table(catalog, SLICE("app"), name);
    CHECK(made);
    return made;
}

/* Leaves something to clean up. */
static void drop_a_table(Stage *s)
{
    Catalog *catalog = database_catalog(s->f.db);
    CatalogChange *change = NULL;
    Table *gone = make_table(s, SLICE("gone"));
    uint64_t read_seq = database_last_seq(s->f.db);
    CHECK_OK(catalog_plan_drop_table(catalog, gone, &change, e));
    commit_change(s, read_seq, change);
    table_unref(gone);
}

static void wait_for_job(Stage *s, const char *id, JobStatus status)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo info;
    CHECK_OK(jobs_wait(s->jobs, id, WAIT_MS, arena, &info, e));
    CHECK_INT(info.status, status);
}

/* Until what the thread of cleanups does at its start is over. */
static void wait_for_start(Stage *s)
{
    char first[JOB_ID_BYTES];
    CHECK_OK(jobs_request_cleanup(s->jobs, s->f.table, first, e));
    wait_for_job(s, first, JOB_COMPLETED);
}

/* A cleanup waits for the view, and all later cleanups wait for it. */
static ReadView *block_jobs(Stage *s, char out_id[JOB_ID_BYTES])
{
    ReadView *view = NULL;
    wait_for_start(s);
    drop_a_table(s);
    CHECK_OK(view_open(s->f.db, HOT_BLOCKING, &view, e));
    CHECK_OK(jobs_request_cleanup(s->jobs, s->f.table, out_id, e));
    while (status_of(s, out_id) == JOB_QUEUED)
        sched_yield();
    return view;
}

TEST("a flush of more partitions than go at once that leaves some out, counts wrong, or flushes "
     "one twice")
{
    enum { USERS = 300 };
    Stage s;
    char flush[JOB_ID_BYTES], name[32];
    FlushRequest outcome;
    JobInfo info;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    start(&s, test_folder());
    Partition alice = s.f.partition;
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        s.f.partition = fixture_partition(&s.f, name);
        fixture_put(&s.f, i, "v");
    }
    s.f.partition = alice;
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, flush, e));
    CHECK_OK(jobs_wait(s.jobs, flush, WAIT_MS, arena, &info, e));
    CHECK_INT(info.status, JOB_COMPLETED);
    CHECK_TEXT(arena_printf(arena, "%.*s", SLICE_ARGS(info.message)),
               "Flushed 300 row(s) of 300 partition(s)");
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, flush, e));
    CHECK_INT(outcome, FLUSH_NOTHING_PENDING);
    stop(&s);
}

/* What a follower of system.jobs sees: the messages of jobs whenever it is told to look. */
typedef struct Follower {
    Stage *s;
    const char *wanted;
    _Atomic bool is_seen;
} Follower;

static void follow(void *context)
{
    Follower *follower = (Follower *)context;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo *infos;
    size_t count;
    Error error = {0};
    if (jobs_list(follower->s->jobs, arena, &infos, &count, &error) != OK)
        return;
    for (size_t i = 0; i < count; i++) {
        if (infos[i].status == JOB_RUNNING &&
            slice_equal(infos[i].message, slice_of_text(follower->wanted)))
            follower->is_seen = true;
    }
}

static _Atomic bool is_mending, may_mend;

/* The first manifest.json that is read after a start is a long time coming. */
static int hold_mending(const char *operation, const char *path)
{
    if (strcmp(operation, "open") != 0 || !strstr(path, "/alice/app/t/manifest.json"))
        return 0;
    is_mending = true;
    while (!may_mend)
        sched_yield();
    return 0;
}

TEST("a flush or a compaction that waits after a start until every manifest.json was looked at")
{
    Stage s;
    char id[JOB_ID_BYTES];
    FlushRequest outcome;
    bool started;
    const char *folder = test_folder();
    start(&s, folder);
    fixture_put(&s.f, 1, "v");
    fixture_flush(&s.f);
    stop(&s);
    is_mending = may_mend = false;
    file_set_fault(hold_mending);
    start(&s, folder);
    while (!is_mending)
        sched_yield();
    Fixture other = s.f;
    other.table = make_table(&s, SLICE("other"));
    other.partition.table_id = other.table->id;
    fixture_put(&other, 2, "v");
    CHECK_OK(jobs_request_flush(s.jobs, other.table, &outcome, id, e));
    wait_for_job(&s, id, JOB_COMPLETED);
    CHECK_OK(jobs_request_compact(s.jobs, other.table, &started, id, e));
    wait_for_job(&s, id, JOB_COMPLETED);
    table_unref(other.table);
    may_mend = true;
    file_set_fault(NULL);
    stop(&s);
}

TEST("progress that follows other progress at once and is never told, while the job works on for "
     "long")
{
    enum { USERS = 20 };
    Stage s;
    char flush[JOB_ID_BYTES], name[32];
    FlushRequest outcome;
    start(&s, test_folder());
    Partition alice = s.f.partition;
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        s.f.partition = fixture_partition(&s.f, name);
        fixture_put(&s.f, i, "v");
    }
    Partition held = s.f.partition; /* the last one is in somebody's hands */
    s.f.partition = alice;
    CHECK_OK(claims_take(database__claims(s.f.db), held, WAIT_MS, e));
    Follower follower = {&s, "Flushed 19 row(s) of 19 partition(s) so far", false};
    jobs_watch(s.jobs, (JobsWatcher){follow, &follower});
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, flush, e));
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while (!follower.is_seen && clock_monotonic_us() < until_us)
        sched_yield();
    CHECK(follower.is_seen);
    claims_release(database__claims(s.f.db), held);
    wait_for_job(&s, flush, JOB_COMPLETED);
    stop(&s);
}

TEST("a reader that holds up jobs which need not wait for it")
{
    Stage s;
    char cleanup[JOB_ID_BYTES], flush[JOB_ID_BYTES], compact[JOB_ID_BYTES];
    FlushRequest outcome;
    bool started;
    start(&s, test_folder());
    fixture_put(&s.f, 1, "v");
    ReadView *view = block_jobs(&s, cleanup);
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, flush, e));
    wait_for_job(&s, flush, JOB_COMPLETED);
    CHECK_OK(jobs_request_compact(s.jobs, s.f.table, &started, compact, e));
    wait_for_job(&s, compact, JOB_COMPLETED);
    CHECK_INT(status_of(&s, cleanup), JOB_RUNNING);
    view_close(view);
    wait_for_job(&s, cleanup, JOB_COMPLETED);
    stop(&s);
}

TEST("KILL JOB of a job that waits for a reader, and ends only with the reader")
{
    Stage s;
    char cleanup[JOB_ID_BYTES];
    start(&s, test_folder());
    ReadView *view = block_jobs(&s, cleanup);
    CHECK_OK(jobs_kill(s.jobs, slice_of_text(cleanup), e));
    wait_for_job(&s, cleanup, JOB_CANCELLED);
    view_close(view);
    stop(&s);
}

TEST("KILL JOB says that it killed a job that has long ended, and counts it twice")
{
    Stage s;
    char cleanup[JOB_ID_BYTES];
    Error error = {0};
    JobFigures figures[JOB_TYPES_MAX];
    size_t count, cancelled = 0, active = 0;
    start(&s, test_folder());
    ReadView *view = block_jobs(&s, cleanup);
    CHECK_OK(jobs_kill(s.jobs, slice_of_text(cleanup), e));
    wait_for_job(&s, cleanup, JOB_CANCELLED);
    CHECK_CODE(jobs_kill(s.jobs, slice_of_text(cleanup), &error), E_INVALID_OPERATION);
    CHECK(strstr(error.text, "is cancelled"));
    jobs_figures(s.jobs, figures, &count);
    for (size_t i = 0; i < count; i++) {
        cancelled += figures[i].cancelled;
        active += figures[i].queued + figures[i].running;
    }
    CHECK_INT(cancelled, 1);
    CHECK_INT(active, 0);
    view_close(view);
    stop(&s);
}

TEST("a queued job that was killed and runs after the restart")
{
    Stage s;
    char cleanup[JOB_ID_BYTES], queued[JOB_ID_BYTES];
    const char *folder = test_folder();
    start(&s, folder);
    ReadView *view = block_jobs(&s, cleanup);
    Table other = *s.f.table; /* one cleanup is queued for each table */
    other.id += 100;
    CHECK_OK(jobs_request_cleanup(s.jobs, &other, queued, e));
    CHECK_INT(status_of(&s, queued), JOB_QUEUED);
    CHECK_OK(jobs_kill(s.jobs, slice_of_text(queued), e));
    CHECK_INT(status_of(&s, queued), JOB_CANCELLED);
    view_close(view);
    stop(&s);
    start(&s, folder);
    CHECK_INT(status_of(&s, queued), JOB_CANCELLED);
    stop(&s);
}

TEST("a job that ended and is queued again by a restart, because its first record was written last")
{
    Stage s;
    char ids[30][JOB_ID_BYTES];
    FlushRequest outcome;
    const char *folder = test_folder();
    start(&s, folder);
    fixture_put(&s.f, 1, "v");
    for (int i = 0; i < 30; i++) {
        CHECK_OK(jobs_request_cleanup(s.jobs, s.f.table, ids[i], e));
        wait_for_job(&s, ids[i], JOB_COMPLETED);
    }
    CHECK_OK(jobs_request_flush(s.jobs, s.f.table, &outcome, ids[0], e));
    stop(&s);
    start(&s, folder);
    for (int i = 1; i < 30; i++)
        CHECK_INT(status_of(&s, ids[i]), JOB_COMPLETED);
    stop(&s);
}

static size_t count_jobs(Stage *s, Slice *out_newest, Slice *out_oldest, Arena *arena)
{
    JobInfo *infos;
    size_t count;
    CHECK_OK(jobs_list(s->jobs, arena, &infos, &count, e));
    *out_newest = arena_copy(arena, slice_of_text(infos[0].id));
    *out_oldest = arena_copy(arena, slice_of_text(infos[count - 1].id));
    return count;
}

TEST(
    "old jobs that are never forgotten after many have waited, or a running or the newest one that "
    "is; before and after a restart")
{
    Stage s;
    Slice newest, oldest;
    char running[JOB_ID_BYTES], id[JOB_ID_BYTES];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    start(&s, folder);
    ReadView *view = block_jobs(&s, running);
    Table other = *s.f.table; /* one cleanup is queued for each table */
    for (int i = 0; i < JOBS_QUEUED_MAX; i++) {
        other.id++;
        CHECK_OK(jobs_request_cleanup(s.jobs, &other, id, e));
    }
    other.id++;
    CHECK_CODE(jobs_request_cleanup(s.jobs, &other, id, e), E_BUSY);
    CHECK(count_jobs(&s, &newest, &oldest, arena) > JOBS_KEPT_MAX); /* all of them wait */
    JobInfo *infos;
    size_t count;
    CHECK_OK(jobs_list(s.jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (infos[i].status == JOB_QUEUED)
            CHECK_OK(jobs_kill(s.jobs, slice_of_text(infos[i].id), e));
    }
    CHECK_OK(jobs_request_cleanup(s.jobs, &other, id, e));
    CHECK_INT(count_jobs(&s, &newest, &oldest, arena), JOBS_KEPT_MAX);
    CHECK_SLICE(newest, slice_of_text(id));
    CHECK_SLICE(oldest, slice_of_text(running));
    CHECK_INT(status_of(&s, running), JOB_RUNNING);
    view_close(view);
    stop(&s);
    start(&s, folder);
    CHECK_INT(count_jobs(&s, &newest, &oldest, arena), JOBS_KEPT_MAX);
    CHECK_SLICE(newest, slice_of_text(id));
    CHECK_SLICE(oldest, slice_of_text(running));
    stop(&s);
}

static size_t count_dropped(Stage *s)
{
    static const char from[] = {SYSTEM_PREFIX_DROPPED}, to[] = {SYSTEM_PREFIX_DROPPED + 1};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(s->f.db));
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(from, 1),
                                        slice_of(to, 1), false);
    size_t count = 0;
    while (hot_next(it))
        count++;
    CHECK_OK(hot_iterator_end(it, e));
    hot_iterator_close(it);
    hot_snapshot_free(snapshot);
    return count;
}

static bool has_dropped(Stage *s)
{
    return count_dropped(s) > 0;
}

TEST("the files of a dropped table stay until the next start when no job for them could be queued")
{
    Stage s;
    char running[JOB_ID_BYTES], id[JOB_ID_BYTES];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo *infos;
    size_t count;
    start(&s, test_folder());
    ReadView *view = block_jobs(&s, running); /* it does not know of the tables dropped later */
    Table other = *s.f.table;
    for (int i = 0; i < JOBS_QUEUED_MAX; i++) {
        other.id++;
        CHECK_OK(jobs_request_cleanup(s.jobs, &other, id, e));
    }
    drop_a_table(&s);
    other.id++;
    CHECK_CODE(jobs_request_cleanup(s.jobs, &other, id, e), E_BUSY);
    CHECK_OK(jobs_list(s.jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (infos[i].status == JOB_QUEUED)
            CHECK_OK(jobs_kill(s.jobs, slice_of_text(infos[i].id), e));
    }
    view_close(view);
    wait_for_job(&s, running, JOB_COMPLETED);
    while (has_dropped(&s))
        sched_yield();
    stop(&s);
}

TEST("a job asked of a stopping server is told that too many wait, or is queued")
{
    Stage s;
    char id[JOB_ID_BYTES];
    start(&s, test_folder());
    jobs_stop(s.jobs);
    CHECK_CODE(jobs_request_cleanup(s.jobs, s.f.table, id, e), E_SHUTTING_DOWN);
    fixture_close(&s.f);
    jobs_free(s.jobs);
}

/* ---- dropped tables whose files stay ---- */

static int fail_unlink(const char *operation, const char *path)
{
    return strcmp(operation, "unlink") == 0 && strstr(path, "/gone/") ? EIO : 0;
}

/* A dropped table that has a segment, beside one whose files can be removed. */
static void drop_with_files(Stage *s)
{
    CatalogChange *change = NULL;
    Fixture gone = s->f;
    gone.table = make_table(s, SLICE("gone"));
    gone.partition.table_id = gone.table->id;
    fixture_put(&gone, 1, "v");
    fixture_flush(&gone);
    uint64_t read_seq = database_last_seq(s->f.db);
    CHECK_OK(catalog_plan_drop_table(database_catalog(s->f.db), gone.table, &change, e));
    commit_change(s, read_seq, change);
    table_unref(gone.table);
}

/* The newest job of the type; false when there is none. */
static bool find_newest(Stage *s, const char *type, Arena *arena, JobInfo *out)
{
    JobInfo *infos;
    size_t count;
    CHECK_OK(jobs_list(s->jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(infos[i].type, type) != 0)
            continue;
        *out = infos[i];
        return true;
    }
    return false;
}

/* Waits until such a job that nobody asked for has ended in that way. */
static const char *wait_for_own(Stage *s, const char *type, JobStatus status, Arena *arena)
{
    JobInfo info;
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while (clock_monotonic_us() < until_us) {
        CLEANUP(arena_free_ptr) Arena *scratch = arena_new();
        if (find_newest(s, type, scratch, &info) && info.status == status &&
            slice_equal(info.parameters, SLICE("{}")))
            return arena_text(arena, info.message);
        sched_yield();
    }
    test_failed(__FILE__, __LINE__, "no such job");
}

static void wait_for_purge(Stage *s)
{
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    while (has_dropped(s) && clock_monotonic_us() < until_us)
        sched_yield();
    CHECK(!has_dropped(s));
}

TEST(
    "the files of a dropped table that could not be removed stay until somebody drops another one, "
    "or system.jobs does not say so")
{
    Stage s;
    char id[JOB_ID_BYTES];
    JobInfo info;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    start(&s, test_folder());
    wait_for_start(&s);
    drop_with_files(&s);
    file_set_fault(fail_unlink);
    CHECK_OK(jobs_request_cleanup(s.jobs, s.f.table, id, e));
    CHECK_OK(jobs_wait(s.jobs, id, WAIT_MS, arena, &info, e));
    CHECK_INT(info.status, JOB_FAILED);
    CHECK(strstr(arena_text(arena, info.message), "; tried again in 1 s"));
    const char *message = wait_for_own(&s, "cleanup", JOB_FAILED, arena);
    CHECK(strstr(message, "/gone/batch-0.parquet"));
    CHECK(strstr(message, "; tried again in ") && !strstr(message, "in 1 s")); /* less often */
    file_set_fault(NULL);
    wait_for_purge(&s);
    CHECK_TEXT(wait_for_own(&s, "cleanup", JOB_COMPLETED, arena),
               "Removed the files of dropped tables");
    stop(&s);
}

TEST(
    "what a start could not remove of dropped tables waits for the next start, and nobody sees it; "
    "or one of them keeps the others")
{
    Stage s;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    start(&s, folder);
    stop(&s);
    fixture_open(&s.f, folder, TABLE_USER);
    drop_with_files(&s);
    drop_a_table(&s);
    fixture_close(&s.f);
    file_set_fault(fail_unlink);
    start(&s, folder);
    const char *message = wait_for_own(&s, "cleanup", JOB_FAILED, arena);
    CHECK(strstr(message, "/gone/batch-0.parquet"));
    CHECK_INT(count_dropped(&s), 1);
    file_set_fault(NULL);
    wait_for_purge(&s);
    stop(&s);
}

/* ---- dropped users ---- */

static void drop_user(Stage *s, const char *user_id)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CatalogChange *change = NULL;
    User user;
    uint64_t read_seq = database_last_seq(s->f.db);
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(s->f.db));
    CHECK_OK(catalog_get_user(snapshot, HOT_BLOCKING, slice_of_text(user_id), arena, &user, e));
    hot_snapshot_free(snapshot);
    user.deleted_at_us = 1;
    CHECK_OK(catalog_plan_put_user(database_catalog(s->f.db), &user, &change, e));
    commit_change(s, read_seq, change);
}

/* The ids of the user cleanups in that state. */
static size_t list_cleanups(Stage *s, JobStatus status, Slice *out, size_t limit, Arena *arena)
{
    JobInfo *infos;
    size_t count, found = 0;
    CHECK_OK(jobs_list(s->jobs, arena, &infos, &count, e));
    for (size_t i = 0; i < count && found < limit; i++) {
        if (strcmp(infos[i].type, "user_cleanup") == 0 && infos[i].status == status)
            out[found++] = arena_copy(arena, slice_of_text(infos[i].id));
    }
    return found;
}

static void wait_for_cleanups(Stage *s, JobStatus status, size_t count, Slice *out, Arena *arena)
{
    int64_t until_us = clock_monotonic_us() + WAIT_MS * INT64_C(1000);
    for (;;) {
        size_t found = list_cleanups(s, status, out, count, arena);
        if (found == count)
            return;
        if (clock_monotonic_us() > until_us)
            test_failed(__FILE__, __LINE__, "%zu user cleanups are %s, want %zu", found,
                        job_status_name(status), count);
        sched_yield();
    }
}

TEST("dropped users are erased one after the other, KILL JOB of one of them stops all or none, or "
     "the killed one is never erased")
{
    enum { USERS = 5 };
    Stage s;
    char name[32];
    Slice ids[USERS];
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *folder = test_folder();
    ReadView *view = NULL;
    start(&s, folder);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        Fixture f = s.f;
        f.partition = fixture_partition(&s.f, name);
        fixture_put(&f, i, "v");
    }
    stop(&s);
    fixture_open(&s.f, folder, TABLE_USER);
    for (int i = 0; i < USERS; i++) {
        snprintf(name, sizeof name, "user%d", i);
        drop_user(&s, name);
    }
    CHECK_OK(view_open(s.f.db, HOT_BLOCKING, &view, e)); /* it holds them all up */
    JobsOptions options = {.flush_rows_default = 1000, .check_interval_s = 3600};
    CHECK_OK(jobs_start(s.f.db, &options, &s.jobs, e));
    wait_for_cleanups(&s, JOB_RUNNING, USERS, ids, arena);
    char killed[JOB_ID_BYTES] = "";
    memcpy(killed, ids[2].data, ids[2].size);
    CHECK_OK(jobs_kill(s.jobs, ids[2], e));
    wait_for_job(&s, killed, JOB_CANCELLED);
    CHECK_INT(list_cleanups(&s, JOB_RUNNING, ids, USERS, arena), USERS - 1);
    view_close(view);
    wait_for_cleanups(&s, JOB_COMPLETED, USERS - 1, ids, arena);
    stop(&s);
    start(&s, folder);
    wait_for_cleanups(&s, JOB_COMPLETED, USERS, ids, arena);
    stop(&s);
}

TEST("jobs that are started again on an open database know no limit of background bytes")
{
    enum { RATE = 1000 * 1000 };
    Database *db;
    Jobs *first, *second;
    JobsOptions jobs = {.flush_rows_default = 1000, .check_interval_s = 3600};
    DatabaseOptions options = database_inspect_options(test_folder());
    options.inspect = false;
    options.background_bytes_per_s = RATE;
    CHECK_OK(database_open(&options, &db, e));
    CHECK_OK(jobs_start(db, &jobs, &first, e));
    jobs_stop(first);
    CHECK_OK(jobs_start(db, &jobs, &second, e));
    int64_t now_us = clock_monotonic_us();
    (void)throttle_reserve(database_throttle(db), UINT64_C(3600) * RATE, now_us);
    CHECK(throttle_reserve(database_throttle(db), 1, now_us) > 0);
    jobs_stop(second);
    database_close(db);
    jobs_free(first);
    jobs_free(second);
}
