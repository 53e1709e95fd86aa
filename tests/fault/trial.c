/* SPDX-License-Identifier: Apache-2.0
 *
 * Trials on a failing disk. See trial.h.
 */
#include "trial.h"

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

enum { PATH_BYTES = 512 };

const Variant trial_variants[] = {
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
const size_t trial_variant_count = sizeof trial_variants / sizeof *trial_variants;
const Variant trial_counting = {.name = "count", .settings = {"KALAM_FAULT_MODE", "count"}};

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

const char *trial_path(const char *name)
{
    static char paths[8][PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_BYTES, "%s/%s", top, name);
    return path;
}

const char *trial_folder(void)
{
    return top;
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

void trial_begin(const char *preloaded)
{
    const char *base = getenv("TMPDIR");
    library = preloaded;
    snprintf(top, sizeof top, "%s/kalam-fault-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(top));
    CHECK(mkdir(trial_path("disk"), 0700) == 0);
}

void trial_join(const char *folder)
{
    snprintf(top, sizeof top, "%s", folder);
}

void trial_end(void)
{
    remove_all(top);
}

static const char *kept(const char *name)
{
    char text[64];
    snprintf(text, sizeof text, "%s.start", name);
    return trial_path(text);
}

void trial_keep(const char *name)
{
    CHECK(rename(trial_path(name), kept(name)) == 0);
}

void trial_restore(const char *name)
{
    remove_all(trial_path(name));
    remove_all(trial_path("after"));
    copy(kept(name), trial_path(name));
}

/* ---- lives ---- */

static void preload(const Variant *variant, const char *at)
{
    setenv("LD_PRELOAD", library, 1);
    setenv("KALAM_FAULT_DIR", trial_path("disk"), 1);
    setenv("KALAM_FAULT_AFTER", trial_path("after"), 1);
    setenv("KALAM_FAULT_SEED", at, 1);
    /* not sync_file_range: RocksDB asserts that it cannot fail */
    setenv("KALAM_FAULT_OPS", "open,write,fsync,rename,unlink,link,truncate,allocate,mkdir,rmdir",
           1);
    setenv("KALAM_FAULT_AT", at, 1);
    if (variant == &trial_counting)
        setenv("KALAM_FAULT_LOG", trial_path("calls"), 1);
    for (int i = 0; i < VARIANT_SETTINGS_MAX && variant->settings[i]; i += 2)
        setenv(variant->settings[i], variant->settings[i + 1], 1);
}

int trial_life(int life, size_t scene, const Variant *variant, unsigned long at)
{
    char life_text[16], scene_text[24], at_text[24];
    snprintf(life_text, sizeof life_text, "%d", life);
    snprintf(scene_text, sizeof scene_text, "%zu", scene);
    snprintf(at_text, sizeof at_text, "%lu", at);
    if (variant == &trial_counting)
        remove(trial_path("calls"));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0)
        return wait_for(child);
    if (variant)
        preload(variant, at_text);
    execl("/proc/self/exe", "fault", "--life", top, life_text, scene_text, (char *)NULL);
    _exit(127);
}

void trial_cut(void)
{
    remove_all(trial_path("disk"));
    CHECK(rename(trial_path("after"), trial_path("disk")) == 0);
}

unsigned long trial_calls(void)
{
    unsigned long lines = 0;
    FILE *log = fopen(trial_path("calls"), "r");
    CHECK(log);
    for (int c; (c = getc(log)) != EOF;)
        lines += c == '\n';
    fclose(log);
    CHECK(lines > 0);
    return lines;
}

/* ---- which calls ---- */

unsigned long trial_point(unsigned long i, unsigned long points, unsigned long calls, uint64_t seed)
{
    unsigned long step = calls / points;
    unsigned long moved =
        (unsigned long)(slice_hash(slice_of(&i, sizeof i), seed) % (step + (points < calls)));
    return 1 + (i * calls / points + moved) % calls;
}

uint64_t trial_seed(void)
{
    const char *given = getenv("KALAM_FAULT_RUN");
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    fprintf(stderr, "KALAM_FAULT_RUN=%llu\n", (unsigned long long)seed);
    return seed;
}
