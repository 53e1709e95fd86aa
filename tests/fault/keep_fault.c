/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeps data elsewhere, or makes it go, on a disk that fails: `fault_keep libfault.so`. The
 * scenes are in keep_scenes.c; each trial runs one of them on a copy of the same folder below the
 * preloaded library, which hits the n-th call that changes the disk, and checks what is left in a
 * second process.
 *
 * KALAM_FAULT_KEEP_POINTS (default 24) calls are hit, spread over the scenes and all of their
 * calls; "all" hits every call of every scene once, with the kinds of fault in turn.
 * KALAM_FAULT_RUN=<seed> repeats a run's choices; with KALAM_FAULT_POINT=<scene>,<call>,<variant>
 * it runs one trial and keeps its folder.
 */
#include "keep.h"

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

#include "../unit/test.h"

enum {
    PATH_BYTES = 512,
    POINTS_DEFAULT = 24,
    STATUS_CUT = 137,
    STATUS_NOT_ACKNOWLEDGED = 3,
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

/* ---- what CHECKs need ---- */

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

typedef enum Life { LIFE_PREPARE, LIFE_RUN, LIFE_CHECK_ANY, LIFE_CHECK_ACKNOWLEDGED } Life;

static int live(Life life, size_t scene)
{
    const char *disk = in_top("disk");
    if (life == LIFE_PREPARE)
        scenes_prepare(disk);
    else if (life == LIFE_RUN)
        return scenes[scene].run(disk) ? 0 : STATUS_NOT_ACKNOWLEDGED;
    else
        scenes[scene].check(disk, life == LIFE_CHECK_ACKNOWLEDGED);
    return 0;
}

/* Runs one life in this program again; `variant` NULL: without the library. */
static int start_life(Life life, size_t scene, const Variant *variant, const char *at)
{
    char life_text[8], scene_text[24];
    snprintf(life_text, sizeof life_text, "%d", (int)life);
    snprintf(scene_text, sizeof scene_text, "%zu", scene);
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
    execl("/proc/self/exe", "fault_keep", "--life", top, life_text, scene_text, (char *)NULL);
    _exit(127);
}

static void start_over(void)
{
    remove_all(in_top("disk"));
    remove_all(in_top("after"));
    copy(in_top("disk.start"), in_top("disk"));
}

/* How many calls a scene makes; they vary a little with the threads of RocksDB and DuckDB. */
static unsigned long count_calls(size_t scene)
{
    static const Variant counting = {.name = "count", .settings = {"KALAM_FAULT_MODE", "count"}};
    unsigned long lines = 0;
    start_over();
    remove(in_top("calls"));
    setenv("KALAM_FAULT_LOG", in_top("calls"), 1);
    CHECK_INT(start_life(LIFE_RUN, scene, &counting, "0"), 0);
    unsetenv("KALAM_FAULT_LOG");
    CHECK_INT(start_life(LIFE_CHECK_ACKNOWLEDGED, scene, NULL, "0"), 0);
    FILE *log = fopen(in_top("calls"), "r");
    CHECK(log);
    for (int c; (c = getc(log)) != EOF;)
        lines += c == '\n';
    fclose(log);
    CHECK(lines > 0);
    return lines;
}

static unsigned long acknowledged; /* trials */

static bool run_trial(size_t scene, unsigned long at, const Variant *variant)
{
    char number[24];
    snprintf(number, sizeof number, "%lu", at);
    start_over();
    int status = start_life(LIFE_RUN, scene, variant, number);
    bool is_fair = status == 0 || status == STATUS_CUT || status == STATUS_NOT_ACKNOWLEDGED;
    if (status == STATUS_CUT) {
        remove_all(in_top("disk"));
        CHECK(rename(in_top("after"), in_top("disk")) == 0);
    }
    acknowledged += status == 0;
    Life life = status == 0 ? LIFE_CHECK_ACKNOWLEDGED : LIFE_CHECK_ANY;
    int check = is_fair ? start_life(life, scene, NULL, "0") : -1;
    if (check == 0)
        return true;
    fprintf(stderr,
            "FAILED %s, call %lu, %s: the life under fault ended with %d, the check with %d "
            "(KALAM_FAULT_POINT=%zu,%lu,%d)\n",
            scenes[scene].name, at, variant->name, status, check, scene, at,
            (int)(variant - variants));
    return false;
}

typedef struct Tally {
    unsigned long hit, passed;
    uint64_t seed;
} Tally;

/* Points are spread evenly over the calls, each moved a little by the seed; every variant gets its
 * share. */
static void run_scene(size_t scene, unsigned long points, Tally *tally)
{
    unsigned long calls = count_calls(scene);
    if (points == 0)
        points = calls; /* all */
    for (unsigned long i = 0; i < points; i++, tally->hit++) {
        unsigned long step = calls / points;
        unsigned long moved = (unsigned long)(slice_hash(slice_of(&i, sizeof i), tally->seed) %
                                              (step + (points < calls)));
        unsigned long at = 1 + (i * calls / points + moved) % calls;
        tally->passed +=
            run_trial(scene, at, &variants[(tally->hit + tally->seed) % VARIANT_COUNT]);
    }
    printf("%s: %lu of %lu calls were hit\n", scenes[scene].name, points, calls);
    fflush(stdout);
}

static int run_trials(uint64_t seed)
{
    const char *given = getenv("KALAM_FAULT_KEEP_POINTS");
    bool all = given && strcmp(given, "all") == 0;
    unsigned long points = given && !all ? strtoul(given, NULL, 10) : POINTS_DEFAULT;
    Tally tally = {.seed = seed};
    for (size_t i = 0; i < scene_count; i++) {
        unsigned long share = points / scene_count + (i < points % scene_count);
        if (all || share > 0)
            run_scene(i, all ? 0 : share, &tally);
    }
    printf("%lu calls were hit, %lu acknowledged all the same\n", tally.hit, acknowledged);
    printf("%lu passed, %lu failed\n", tally.passed, tally.hit - tally.passed);
    return tally.passed < tally.hit;
}

static uint64_t seed_of_run(void)
{
    const char *given = getenv("KALAM_FAULT_RUN");
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    fprintf(stderr, "KALAM_FAULT_RUN=%llu\n", (unsigned long long)seed);
    return seed;
}

static int run_one(const char *point)
{
    size_t scene = 0;
    unsigned long at = 1, variant = 0;
    CHECK(sscanf(point, "%zu,%lu,%lu", &scene, &at, &variant) == 3 && scene < scene_count);
    bool passed = run_trial(scene, at, &variants[variant % VARIANT_COUNT]);
    printf("%s\n%d passed, %d failed\n", top, passed, !passed);
    return !passed;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--life") == 0) {
        snprintf(top, sizeof top, "%s", argv[2]);
        return live((Life)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: fault_keep <libfault.so>\n");
        return 2;
    }
    library = argv[1];
    const char *base = getenv("TMPDIR"), *point = getenv("KALAM_FAULT_POINT");
    snprintf(top, sizeof top, "%s/kalam-keep-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(top));
    CHECK(mkdir(in_top("disk"), 0700) == 0);
    CHECK_INT(start_life(LIFE_PREPARE, 0, NULL, "0"), 0);
    CHECK(rename(in_top("disk"), in_top("disk.start")) == 0);
    if (point)
        return run_one(point);
    int status = run_trials(seed_of_run());
    remove_all(top);
    return status;
}
