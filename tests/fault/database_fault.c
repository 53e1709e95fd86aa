/* SPDX-License-Identifier: Apache-2.0
 *
 * A database on a disk that fails: `fault_database libfault.so`.
 *
 * A folder with some history (tests/unit/table/model.h) is the start of every trial. A trial runs
 * one life on a copy of it below the preloaded library, which hits the n-th call that changes the
 * disk: fails it, with EIO or a full disk, for once, now and then or for good, writes short, or
 * cuts the power there, keeping nothing, a part, or all of what was not synced. Unless the disk
 * stays bad the same life goes on, once writes are taken again, settles and compares. So does a
 * second life, on what is left: nothing acknowledged is lost, nothing doubled, what had no answer
 * is there whole or not at all, every key and every file is one the model knows, the feed is
 * complete, and it goes on.
 *
 * KALAM_FAULT_POINTS (default 60) calls are hit, spread over all of them; KALAM_FAULT_RUN=<seed>
 * repeats a run's choices; with KALAM_FAULT_POINT=<call>,<variant> it runs one trial and keeps its
 * folder.
 */
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/table/model.h"
#include "../unit/test.h"

enum {
    PATH_BYTES = 512,
    POINTS_DEFAULT = 60,
    STATUS_CUT = 137,
    STATUS_NOT_OPENED = 3,
    SETTINGS_MAX = 8
};

typedef struct Variant {
    const char *name;
    const char *settings[SETTINGS_MAX]; /* name, value, … */
    bool is_for_good;                   /* the disk never gets well */
} Variant;

static const Variant variants[] = {
    {.name = "cut, keeping nothing",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "none"}},
    {.name = "EIO", .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "EIO"}},
    {.name = "cut, keeping parts",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "prefix"}},
    {.name = "a full disk, once",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC"}},
    {.name = "cut, torn", .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "torn"}},
    {.name = "short write", .settings = {"KALAM_FAULT_MODE", "short"}},
    {.name = "cut, keeping all",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "all"}},
    {.name = "a full disk, for good",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC", "KALAM_FAULT_TIMES",
                  "0"},
     .is_for_good = true},
    {.name = "EIO, for a while",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_TIMES", "3"}},
    {.name = "EIO, and again soon",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_TIMES", "3", "KALAM_FAULT_EVERY", "17"}},
    {.name = "a full disk, and again soon",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC", "KALAM_FAULT_TIMES",
                  "4", "KALAM_FAULT_EVERY", "9"}},
};
enum { VARIANT_COUNT = sizeof variants / sizeof *variants };

static char top[PATH_BYTES - 100];
static const char *library;

/* ---- what the model's CHECKs need ---- */

_Noreturn void test_failed(const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "  %s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    _exit(1);
}

void test_check_slice(const char *file, int line, const char *what, Slice got, Slice want)
{
    if (!slice_equal(got, want))
        test_failed(file, line, "%s is `%.*s`, want `%.*s`", what, SLICE_ARGS(got),
                    SLICE_ARGS(want));
}

/* ---- folders ---- */

static const char *in_top(const char *name)
{
    static char paths[8][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_BYTES, "%s/%s", top, name);
    return path;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static void remove_all(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int wait_for(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void copy(const char *from, const char *to)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        execlp("cp", "cp", "-a", "--sparse=always", from, to, (char *)NULL);
        _exit(127);
    }
    CHECK_INT(wait_for(child), 0);
}

/* ---- lives ---- */

static int live(ModelLife life)
{
    model_map(in_top("model"));
    bool opened = model_live(in_top("disk"), life);
    model_unmap();
    return opened ? 0 : STATUS_NOT_OPENED;
}

/* Runs one life in this program again; `variant` NULL: without the library. */
static int start_life(ModelLife life, const Variant *variant, const char *at)
{
    char number[8];
    snprintf(number, sizeof number, "%d", (int)life);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0)
        return wait_for(child);
    if (variant) {
        setenv("LD_PRELOAD", library, 1);
        setenv("KALAM_FAULT_DIR", in_top("disk"), 1);
        setenv("KALAM_FAULT_AFTER", in_top("after"), 1);
        setenv("KALAM_FAULT_SEED", at, 1);
        /* not sync_file_range: RocksDB asserts that it cannot fail */
        setenv("KALAM_FAULT_OPS",
               "open,write,fsync,rename,unlink,link,truncate,allocate,mkdir,rmdir", 1);
        setenv("KALAM_FAULT_AT", at, 1);
        for (int i = 0; i < SETTINGS_MAX && variant->settings[i]; i += 2)
            setenv(variant->settings[i], variant->settings[i + 1], 1);
    }
    execl("/proc/self/exe", "fault_database", "--life", top, number, (char *)NULL);
    _exit(127);
}

static void prepare(uint64_t seed)
{
    CHECK(mkdir(in_top("disk"), 0700) == 0);
    model_create(in_top("model"), seed, UINT64_MAX);
    model_unmap();
    CHECK_INT(start_life(MODEL_SETUP, NULL, "0"), 0);
    CHECK_INT(start_life(MODEL_SETUP, NULL, "0"), 0);
    CHECK(rename(in_top("disk"), in_top("disk.start")) == 0);
    CHECK(rename(in_top("model"), in_top("model.start")) == 0);
}

static void start_over(void)
{
    remove_all(in_top("disk"));
    remove_all(in_top("after"));
    copy(in_top("disk.start"), in_top("disk"));
    copy(in_top("model.start"), in_top("model"));
}

/* How many calls a life makes; they vary a little with the threads of RocksDB and DuckDB. */
static unsigned long count_calls(void)
{
    static const Variant counting = {.name = "count", .settings = {"KALAM_FAULT_MODE", "count"}};
    unsigned long lines = 0;
    start_over();
    setenv("KALAM_FAULT_LOG", in_top("calls"), 1);
    CHECK_INT(start_life(MODEL_FAULTY, &counting, "0"), 0);
    unsetenv("KALAM_FAULT_LOG");
    FILE *log = fopen(in_top("calls"), "r");
    CHECK(log);
    for (int c; (c = getc(log)) != EOF;)
        lines += c == '\n';
    fclose(log);
    return lines;
}

static bool run_trial(unsigned long at, const Variant *variant)
{
    char number[24];
    snprintf(number, sizeof number, "%lu", at);
    start_over();
    int status =
        start_life(variant->is_for_good ? MODEL_FAULTY_FOR_GOOD : MODEL_FAULTY, variant, number);
    bool is_fair = status == 0 || status == STATUS_CUT || status == STATUS_NOT_OPENED;
    if (status == STATUS_CUT) {
        remove_all(in_top("disk"));
        CHECK(rename(in_top("after"), in_top("disk")) == 0);
    }
    int check = is_fair ? start_life(MODEL_CHECK, NULL, "0") : -1;
    if (is_fair && check == 0)
        return true;
    fprintf(stderr,
            "FAILED call %lu, %s: the life under fault ended with %d, the check with %d "
            "(KALAM_FAULT_POINT=%lu,%d)\n",
            at, variant->name, status, check, at, (int)(variant - variants));
    return false;
}

/* Points are spread evenly, each moved a little by the seed; every variant gets its share. */
static int run_trials(unsigned long calls, uint64_t seed)
{
    const char *given = getenv("KALAM_FAULT_POINTS");
    unsigned long points = given ? strtoul(given, NULL, 10) : POINTS_DEFAULT;
    unsigned long passed = 0;
    for (unsigned long i = 0; i < points; i++) {
        unsigned long moved =
            (unsigned long)(slice_hash(slice_of(&i, sizeof i), seed) % (calls / points + 1));
        unsigned long at = 1 + (i * calls / points + moved) % calls;
        passed += run_trial(at, &variants[(i + seed) % VARIANT_COUNT]);
    }
    printf("%lu calls of %lu were hit\n", points, calls);
    printf("%lu passed, %lu failed\n", passed, points - passed);
    return passed < points;
}

static uint64_t seed_of_run(void)
{
    const char *given = getenv("KALAM_FAULT_RUN");
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    fprintf(stderr, "KALAM_FAULT_RUN=%llu\n", (unsigned long long)seed);
    return seed;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--life") == 0) {
        snprintf(top, sizeof top, "%s", argv[2]);
        return live((ModelLife)strtoul(argv[3], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: fault_database <libfault.so>\n");
        return 2;
    }
    library = argv[1];
    const char *base = getenv("TMPDIR"), *point = getenv("KALAM_FAULT_POINT");
    snprintf(top, sizeof top, "%s/kalam-fault-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(top));
    uint64_t seed = seed_of_run();
    prepare(seed);
    if (point) {
        char *rest = NULL;
        unsigned long at = strtoul(point, &rest, 10),
                      variant = *rest ? strtoul(rest + 1, NULL, 10) : 0;
        bool passed = run_trial(at, &variants[variant % VARIANT_COUNT]);
        printf("%s\n%d passed, %d failed\n", top, passed, !passed);
        return !passed;
    }
    int status = run_trials(count_calls(), seed);
    remove_all(top);
    return status;
}
