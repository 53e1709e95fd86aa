/* SPDX-License-Identifier: Apache-2.0
 *
 * What STORAGE FLUSH and STORAGE COMPACT answer when their job did not do its work.
 */
#include <errno.h>
#include <string.h>

#include "../test.h"
#include "fixture.h"
#include "os/file.h"
#include "table/table_int.h"

enum { WAIT_MS = 60 * 1000 };

static World w;

static void make_table(void)
{
    w = world_open();
    world_run(&w, "CREATE NAMESPACE app; CREATE USER TABLE app.t (id INT PRIMARY KEY);"
                  "INSERT INTO t VALUES (1)");
}

static bool is_new_segment(const char *operation, const char *path)
{
    return strcmp(operation, "rename") == 0 && strstr(path, "/batch-");
}

static int fill_disk(const char *operation, const char *path)
{
    return is_new_segment(operation, path) ? ENOSPC : 0;
}

/* Whoever follows system.jobs: kills what runs. */
static void kill_running(void *context)
{
    (void)context;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    JobInfo *jobs;
    size_t count;
    CHECK_OK(jobs_list(w.jobs, arena, &jobs, &count, e));
    for (size_t i = 0; i < count; i++) {
        Error error = {0};
        if (jobs[i].status != JOB_RUNNING)
            continue;
        Code code = jobs_kill(w.jobs, slice_of_text(jobs[i].id), &error);
        CHECK(code == OK || code == E_INVALID_OPERATION); /* it has just ended */
    }
}

static int drop_table(const char *operation, const char *path)
{
    Answer answer = {0};
    if (is_new_segment(operation, path))
        CHECK_OK(world_try(&w, "DROP TABLE app.t", &answer, e));
    return 0;
}

static Code flush(FileFault *fault, Error *e)
{
    Answer answer = {0};
    file_set_fault(fault);
    Code code = world_try(&w, "STORAGE FLUSH ALL IN app", &answer, e);
    file_set_fault(NULL);
    return code;
}

TEST("a flush that failed and tells the client not to try again, though it may; or the other way")
{
    Error error = {0};
    make_table();
    CHECK_CODE(flush(fill_disk, &error), E_DISK_FULL);
    CHECK(strstr(error.text, " failed: "));
    CHECK(code_info(error.code)->can_retry);
    CHECK_OK(flush(NULL, e));
    CHECK_INT(world_number(&w, "SELECT id FROM t"), 1);
    world_close(&w);
}

TEST("a flush that somebody killed and that is answered like one that was done")
{
    Error error = {0};
    make_table();
    Table *table = catalog_find_table(database_catalog(w.db), SLICE("app"), SLICE("t"));
    Partition held = {table->id, w.users[0]}; /* so that it has not ended before it is killed */
    table_unref(table);
    CHECK_OK(claims_take(database__claims(w.db), held, WAIT_MS, e));
    jobs_watch(w.jobs, (JobsWatcher){kill_running, NULL});
    CHECK_CODE(flush(NULL, &error), E_CANCELLED);
    CHECK(strstr(error.text, " was cancelled"));
    jobs_watch(w.jobs, (JobsWatcher){0});
    claims_release(database__claims(w.db), held);
    CHECK_OK(flush(NULL, e));
    world_close(&w);
}

TEST("a flush of all tables that fails for one that was dropped meanwhile")
{
    make_table();
    CHECK_OK(flush(drop_table, e));
    world_close(&w);
}
