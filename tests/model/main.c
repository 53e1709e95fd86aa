/* SPDX-License-Identifier: Apache-2.0
 *
 * Epochs: a child process each, which ends by a clean stop or a kill. KALAM_MODEL_EVENTS changes of rows in all;
 * KALAM_TEST_SEED replays the choices (not the interleaving of threads).
 */
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"

enum { EVENTS_DEFAULT = 1000 * 1000, CHECK_EVENTS_MAX = 8000, EPOCH_CHECKS = 5 };

Model *model;
static char folder[256];

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(memory != MAP_FAILED);
    return memory;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 10) : otherwise;
}

static void make_model(void)
{
    model = (Model *)shared(sizeof *model);
    model->wanted = setting("KALAM_MODEL_EVENTS", EVENTS_DEFAULT);
    model->seed = setting("KALAM_TEST_SEED", (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid());
    model->random = model->seed;
    for (int i = 0; i <= WRITERS; i++)
        model->writers[i].random = model->seed * 31 + (uint64_t)i;
    model->log_max = model->wanted * 2 + 200 * 1000;
    model->log = (Event *)shared(model->log_max * sizeof *model->log);
    model->plan = (Planned *)shared((model->log_max + 1) * sizeof *model->plan);
}

/* ---- one epoch ---- */

static void create_table(void)
{
    if (model->is_created)
        return;
    sql_must("CREATE NAMESPACE t");
    sql_must("CREATE USER TABLE t.x (id BIGINT PRIMARY KEY, v TEXT, n BIGINT)");
    model->is_created = true;
}

static void alter(void)
{
    mutex_lock(&world.lock);
    uint32_t column = ++model->columns;
    mutex_unlock(&world.lock);
    model->alters++;
    if (column % 2)
        sql_must("ALTER TABLE t.x ADD COLUMN extra%u INT DEFAULT %u", column, column);
    else
        sql_must("ALTER TABLE t.x DROP COLUMN extra%u", column - 1);
}

static void disturb_follower(void)
{
    int index = (int)(random_of(&model->random) % FOLLOWERS);
    switch (random_of(&model->random) % 8) {
    case 0:
    case 1:
        follower_stall(index);
        break;
    case 2:
    case 3:
        follower_unstall(index);
        break;
    case 4:
        follower_disconnect(index);
        if (index == 0)
            follower_connect(index);
        break;
    case 5:
    case 6:
        follower_connect(index);
        break;
    default:
        if (index > 0)
            follower_anew(index);
    }
}

/* KALAM_MODEL_WITHOUT leaves things out, to find what a failure needs: "truncate alter". */
static bool is_wanted(const char *what)
{
    const char *without = getenv("KALAM_MODEL_WITHOUT");
    return !without || !strstr(without, what);
}

static void disturb(void)
{
    static const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    uint64_t what = random_of(&model->random) % 1000;
    for (int i = 0; i < FOLLOWERS; i++)
        follower_tend(i);
    if (what == 0 && is_wanted("truncate")) {
        writers_pause();
        writers_truncate();
        writers_resume();
    } else if (what < 3 && is_wanted("alter")) {
        alter();
    } else if (what < 5 && is_wanted("compact")) {
        sql_must("STORAGE COMPACT TABLE t.x");
        model->compactions++;
    } else if (what < 13 && is_wanted("flush")) {
        sql_must("STORAGE FLUSH TABLE t.x");
        model->flushes++;
    } else if (what < 500) {
        disturb_follower();
    } else {
        nanosleep(&pause, NULL);
    }
}

/* The witness must not be away for long: its events are the log. */
static bool has_room(void)
{
    for (int i = 0; i < FOLLOWERS; i++) {
        if (model->followers[i].event_count > EVENTS_MAX / 2)
            return false;
    }
    return true;
}

static void run_until_check(void)
{
    uint64_t each = 500 + model->wanted / 20; /* a short run has checks and kills too */
    uint64_t until = model->changes + (each < CHECK_EVENTS_MAX ? each : CHECK_EVENTS_MAX);
    writers_resume();
    while (model->changes < until && has_room() && !model->failure[0])
        disturb();
    if (model->dies_now)
        return;
    writers_pause();
    check_all();
}

/* Nobody holds the lock, so shared memory is whole (I3). */
static _Noreturn void die(void)
{
    mutex_lock(&world.lock);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void run_epoch(void)
{
    world_open(folder);
    create_table();
    follower_reset_all();
    for (int i = 0; i < FOLLOWERS; i++)
        follower_connect(i);
    world.is_paused = true;
    writers_start();
    check_wait(0, false); /* so that the log begins before the first change */
    writers_fence();
    check_wait(0, true);
    writers_settle();
    uint64_t rounds = 1 + random_of(&model->random) % EPOCH_CHECKS;
    bool is_killed = random_of(&model->random) % 2;
    for (uint64_t i = 0; i < rounds && !model->failure[0] && model->changes < model->wanted; i++) {
        model->dies_now = is_killed && i + 1 == rounds;
        run_until_check();
    }
    if (model->dies_now && !model->failure[0]) {
        model->kills++;
        die();
    }
    model->stops++;
    for (int i = 0; i < FOLLOWERS; i++)
        follower_disconnect(i);
    writers_stop();
    world_close();
    _Exit(0);
}

/* ---- the parent ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void print_figures(void)
{
    const Model *m = model;
    printf(
        "seed %llu: %llu changes in %llu statements (%llu refused during ALTER), %llu delivered\n",
        (unsigned long long)m->seed, (unsigned long long)m->changes,
        (unsigned long long)m->statements, (unsigned long long)m->refused,
        (unsigned long long)m->delivered);
    printf("  %llu kills, %llu stops, %llu checks; %llu resumes in pages, %llu replays, %llu fresh "
           "starts, "
           "%llu cursors too old, %llu stalls\n",
           (unsigned long long)m->kills, (unsigned long long)m->stops,
           (unsigned long long)m->checks, (unsigned long long)m->resumes,
           (unsigned long long)m->replays, (unsigned long long)m->anew,
           (unsigned long long)m->too_old, (unsigned long long)m->stalls);
    printf("  %llu TRUNCATE, %llu ALTER, %llu flushes, %llu compactions\n",
           (unsigned long long)m->truncates, (unsigned long long)m->alters,
           (unsigned long long)m->flushes, (unsigned long long)m->compactions);
}

static bool run_child(void)
{
    int status;
    pid_t child = fork();
    must(child >= 0);
    if (child == 0)
        run_epoch();
    must(waitpid(child, &status, 0) == child);
    bool was_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && model->dies_now;
    bool was_stopped = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!was_killed && !was_stopped)
        failed("the epoch ended with status %x", (unsigned)status);
    return !model->failure[0];
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/kalam-model-XXXXXX", base ? base : "/tmp");
    must(mkdtemp(folder) != NULL);
    make_model();
    for (uint64_t tenths = 1; run_child() && model->changes < model->wanted;) {
        if (model->changes * 10 < model->wanted * tenths)
            continue;
        printf("%llu of %llu changes\n", (unsigned long long)model->changes,
               (unsigned long long)model->wanted);
        fflush(stdout);
        tenths = model->changes * 10 / model->wanted + 1;
    }
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    print_figures();
    if (model->failure[0])
        printf("FAILED (KALAM_TEST_SEED=%llu): %s\n", (unsigned long long)model->seed,
               model->failure);
    printf("%d passed, %d failed\n", !model->failure[0], model->failure[0] != 0);
    return model->failure[0] != 0;
}
