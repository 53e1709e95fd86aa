/* SPDX-License-Identifier: Apache-2.0
 *
 * Epochs: a child process each, which ends by a clean stop or a kill. KALAM_MODEL_EVENTS changes of
 * rows in all; KALAM_TEST_SEED replays the choices (not the interleaving of threads).
 */
#include <dirent.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "os/clock.h"

enum {
    EVENTS_DEFAULT = 1000 * 1000,
    CHECK_EVENTS_MAX = 8000,
    EPOCH_CHECKS = 5,
    STEP_US_MAX = 50 * 1000
};

Model *model;
static char folder[256];

void *model_shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    must(memory != MAP_FAILED);
    return memory;
}

bool model_wants(const char *what)
{
    const char *without = getenv("KALAM_MODEL_WITHOUT");
    return !without || !strstr(without, what);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *given = getenv(name);
    return given ? strtoull(given, NULL, 10) : otherwise;
}

static void make_model(void)
{
    model = (Model *)model_shared(sizeof *model);
    model->wanted = setting("KALAM_MODEL_EVENTS", EVENTS_DEFAULT);
    model->seed = setting("KALAM_TEST_SEED", (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid());
    model->random = model->seed;
    model->traveller = -1;
    atomic_init(&model->now_us, clock_wall_us());
    model->looked_at_us = clock_monotonic_us();
    for (int i = 0; i <= WRITERS; i++)
        model->writers[i].random = model->seed * 31 + (uint64_t)i;
    model->log_max = model->wanted * 2 + 200 * 1000;
    for (int i = 0; i < BOOKS; i++) {
        Book *book = &model->books[i];
        book->log = (Event *)model_shared(model->log_max * sizeof *book->log);
        book->plan = (Planned *)model_shared((model->log_max + 1) * sizeof *book->plan);
    }
    streams_make();
}

/* ---- one epoch ---- */

static void create_tables(void)
{
    if (model->is_created)
        return;
    sql_must("CREATE NAMESPACE t");
    for (int i = 0; i < BOOKS; i++) {
        sql_must("%s", book_info[i].create);
        book_begin_life(i);
    }
    streams_create_table();
    model->is_created = true;
}

static void alter(int at)
{
    Book *book = &model->books[at];
    mutex_lock(&world.lock);
    uint32_t column = ++book->columns;
    mutex_unlock(&world.lock);
    model->figures.alters++;
    if (column % 2)
        sql_must("ALTER TABLE %s ADD COLUMN extra%u INT DEFAULT %u", book_info[at].name, column,
                 column);
    else
        sql_must("ALTER TABLE %s DROP COLUMN extra%u", book_info[at].name, column - 1);
}

/* ---- time ---- */

/* What the database and the checks go by. It passes with the steps of the main thread and waits for
 * the witnesses, so that neither a restart nor a slow machine lets the feed window pass under
 * them. */
static int64_t model_clock(void)
{
    return atomic_load(&model->now_us);
}

static bool are_witnesses_near(void)
{
    for (int i = 0; i < BOOKS; i++) {
        if (follower_age_us(book_info[i].first) > FEED_WINDOW_S * 1000000 / 2)
            return false;
    }
    return true;
}

static void let_time_pass(void)
{
    int64_t now_us = clock_monotonic_us(), passed_us = now_us - model->looked_at_us;
    model->looked_at_us = now_us;
    if (are_witnesses_near())
        atomic_fetch_add(&model->now_us, passed_us < STEP_US_MAX ? passed_us : STEP_US_MAX);
}

/* Witnesses are never away for long. */
static bool is_at_home(int link)
{
    for (int i = 0; i < BOOKS; i++) {
        if (link == book_info[i].first)
            return true;
    }
    return link == FOLLOWERS;
}

/* One at a time stays away, over epochs too, until its cursor is too old, or nearly. */
static void travel(void)
{
    int64_t now_us = clock_wall_us();
    if (model->traveller >= 0 && now_us < model->returns_at_us)
        return;
    if (model->traveller >= 0)
        link_connect(model->traveller);
    int link = (int)(random_of(&model->random) % LINKS);
    model->traveller = is_at_home(link) ? -1 : link;
    model->returns_at_us =
        now_us + (int64_t)(random_of(&model->random) % (3 * FEED_WINDOW_S * 1000)) * 1000;
    if (model->traveller >= 0)
        link_disconnect(link);
}

static void keep_witnesses(void)
{
    for (int i = 0; i < BOOKS; i++) {
        if (link_stalled_us(book_info[i].first) > FEED_WINDOW_S * 1000000 / 4)
            link_unstall(book_info[i].first);
    }
}

static bool may_leave(int link)
{
    return !is_at_home(link) || follower_age_us(link) < FEED_WINDOW_S * 1000000 / 4;
}

static void disturb_link(void)
{
    int link = (int)(random_of(&model->random) % LINKS);
    bool is_witness = is_at_home(link);
    if (link == model->traveller || link == FOLLOWERS)
        return;
    switch (random_of(&model->random) % 8) {
    case 0:
    case 1:
        link_stall(link);
        break;
    case 2:
    case 3:
        link_unstall(link);
        break;
    case 4:
        if (may_leave(link))
            link_disconnect(link);
        if (is_witness)
            link_connect(link);
        break;
    case 5:
    case 6:
        link_connect(link);
        break;
    default:
        if (!is_witness)
            link_anew(link);
    }
}

static void drop(int book)
{
    writers_pause();
    check_book(book);
    if (model->has_failed)
        return;
    writers_drop(book);
    check_wait_exact(book_info[book].first);
    writers_resume();
}

static void disturb_table(uint64_t what, int book)
{
    const char *table = book_info[book].name;
    if (what == 0 && model_wants("truncate")) {
        writers_pause();
        writers_truncate(book);
        writers_resume();
    } else if (what == 1 && random_of(&model->random) % 2 && model_wants("drop")) {
        drop(book);
    } else if (what >= 2 && what < 4 && model_wants("alter")) {
        alter(book);
    } else if (what >= 4 && what < 6 && model_wants("compact")) {
        sql_must("STORAGE COMPACT TABLE %s", table);
        model->figures.compactions++;
    } else if (what >= 6 && what < 14 && model_wants("flush")) {
        sql_must("STORAGE FLUSH TABLE %s", table);
        model->figures.flushes++;
    }
}

static void disturb(void)
{
    static const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};
    uint64_t what = random_of(&model->random) % 1000;
    int book = (int)(random_of(&model->random) % BOOKS);
    for (int i = 0; i < LINKS; i++)
        link_tend(i);
    let_time_pass();
    if (what < 14)
        disturb_table(what, book);
    else if (what < 500)
        disturb_link();
    else
        nanosleep(&pause, NULL);
    keep_witnesses();
    travel();
}

static bool goes_on(uint64_t until)
{
    MUTEX_SCOPE(&world.lock);
    return model->changes < until && !model->has_failed;
}

/* The witness must not be away for long: its events are the log. */
static bool has_room(void)
{
    MUTEX_SCOPE(&world.lock);
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
    while (goes_on(until) && has_room())
        disturb();
    if (model->dies_now)
        return;
    writers_pause();
    check_all();
    streams_check();
}

/* ---- its end ---- */

static uint64_t file_bytes(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* RocksDB's newest write-ahead log: file names rise. */
static void find_log(char *out, size_t size)
{
    char path[300], best[300] = "";
    snprintf(path, sizeof path, "%s/rocksdb", folder);
    DIR *entries = opendir(path);
    must(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
        const char *end = strrchr(entry->d_name, '.');
        if (end && strcmp(end, ".log") == 0 && strcmp(entry->d_name, best) > 0)
            snprintf(best, sizeof best, "%s", entry->d_name);
    }
    closedir(entries);
    must(best[0]);
    snprintf(out, size, "%s/%s", path, best);
}

/* Guards model->synced_file and synced_bytes. The kernel's side: below all ranks. */
static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;

/* What async statements did up to here is on disk, what they do from here on may be lost. */
static void run_until_cut(void)
{
    writers_pause();
    writers_fence(BOOK_USER); /* a synced commit takes everything before it along */
    writers_note_synced(BOOK_ASYNC);
    streams_note_synced();
    uint64_t until = model->changes + 50 + random_of(&model->random) % 3000;
    writers_resume();
    while (goes_on(until) && has_room())
        disturb();
    model->was_cut = true;
    model->figures.cuts++;
}

/* Told of each sync, by whoever asks the kernel for it, whatever locks of the engine it holds. */
int fdatasync(int fd)
{
    char name[64], path[512];
    struct stat st;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    bool is_log = size > 4 && memcmp(path + size - 4, ".log", 4) == 0 && fstat(fd, &st) == 0;
    int result = (int)syscall(SYS_fdatasync, fd);
    if (!is_log || result != 0 || !model)
        return result;
    path[size] = 0;
    pthread_mutex_lock(&sync_lock);
    snprintf(model->synced_file, sizeof model->synced_file, "%s", path);
    model->synced_bytes = (uint64_t)st.st_size; /* what was written before the call */
    pthread_mutex_unlock(&sync_lock);
    return result;
}

/* What the disk lost: part of the newest log, beyond what was synced of it. */
static void cut(void)
{
    char newest[512];
    find_log(newest, sizeof newest);
    uint64_t kept = strcmp(newest, model->synced_file) == 0 ? model->synced_bytes : 0;
    uint64_t bytes = file_bytes(newest);
    must(bytes >= kept);
    kept += random_of(&model->random) % (bytes - kept + 1);
    must(truncate(newest, (off_t)kept) == 0);
}

/* Nobody holds the locks, so shared memory is whole (I3). */
static _Noreturn void die(void)
{
    mutex_lock(&world.lock);
    pthread_mutex_lock(&sync_lock);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* ---- its beginning ---- */

static void begin_lives(void)
{
    if (!model->was_killed)
        return;
    book_begin_life(BOOK_ASYNC);
    model->books[BOOK_ASYNC].needs_settling = true;
    streams_begin_life();
}

static void begin_epoch(void)
{
    clock_replace(model_clock, NULL);
    world_open(folder);
    create_tables();
    begin_lives();
    followers_open();
    streams_open();
    for (int i = 0; i < LINKS; i++) {
        if (i != model->traveller)
            link_connect(i);
    }
    world.is_paused = true;
    writers_start();
    for (int i = 0; i < BOOKS; i++) /* so that the log begins before the first change */
        check_wait_exact(book_info[i].first);
    for (int i = 0; i < BOOKS && !model->has_failed; i++) {
        if (model->books[i].needs_settling)
            writers_settle_life(i);
        writers_fence(i);
        check_wait_fence(book_info[i].first);
        if (!model->has_failed)
            writers_settle(i);
    }
    model->was_killed = model->was_cut = false;
}

static void run_epoch(void)
{
    begin_epoch();
    uint64_t rounds = 1 + random_of(&model->random) % EPOCH_CHECKS;
    bool is_killed = random_of(&model->random) % 2 && model_wants("kill");
    bool is_cut = is_killed && random_of(&model->random) % 2 && model_wants("cut");
    for (uint64_t i = 0; i < rounds && !model->has_failed && model->changes < model->wanted; i++) {
        model->dies_now = is_killed && i + 1 == rounds;
        run_until_check();
    }
    if (model->dies_now && is_cut && !model->has_failed)
        run_until_cut();
    if (model->dies_now && !model->has_failed) {
        model->figures.kills++;
        model->was_killed = true;
        die();
    }
    model->figures.stops++;
    for (int i = 0; i < LINKS; i++)
        link_disconnect(i);
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
    const Figures *f = &model->figures;
    const struct {
        const char *name;
        uint64_t count;
    } figures[] = {
        {"statements", f->statements},
        {"refused during ALTER", f->refused},
        {"delivered", f->delivered},
        {"kills", f->kills},
        {"of them power cuts", f->cuts},
        {"stops", f->stops},
        {"checks", f->checks},
        {"resumes in pages", f->resumes},
        {"replays", f->replays},
        {"fresh starts", f->anew},
        {"cursors too old", f->too_old},
        {"of a former life", f->stale},
        {"stalls", f->stalls},
        {"TRUNCATE", f->truncates},
        {"DROP", f->drops},
        {"ALTER", f->alters},
        {"flushes", f->flushes},
        {"compactions", f->compactions},
        {"stream rows expired", f->expired},
    };
    printf("seed %llu: %llu changes", (unsigned long long)model->seed,
           (unsigned long long)model->changes);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        printf("%s%llu %s", i % 6 ? ", " : "\n  ", (unsigned long long)figures[i].count,
               figures[i].name);
    putchar('\n');
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
    if (was_killed && model->was_cut)
        cut();
    return !model->has_failed;
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
    if (model->has_failed)
        printf("FAILED (KALAM_TEST_SEED=%llu): %s\n", (unsigned long long)model->seed,
               model->failure);
    printf("%d passed, %d failed\n", !model->has_failed, model->has_failed != 0);
    return model->has_failed != 0;
}
