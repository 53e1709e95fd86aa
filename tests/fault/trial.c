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

static const Variant variants[] = {
    {.way = WAY_CUT,
     .name = "cut, keeping nothing",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "none"}},
    {.way = WAY_FAIL,
     .name = "EIO",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "EIO"}},
    {.way = WAY_CUT,
     .name = "cut, keeping parts",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "prefix"}},
    {.way = WAY_FAIL,
     .name = "a full disk, once",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC"}},
    {.way = WAY_CUT,
     .name = "cut, torn",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "torn"}},
    {.way = WAY_SHORT, .name = "short write", .settings = {"KALAM_FAULT_MODE", "short"}},
    {.way = WAY_CUT,
     .name = "cut, keeping all",
     .settings = {"KALAM_FAULT_MODE", "cut", "KALAM_FAULT_KEEP", "all"}},
    {.way = WAY_FAIL,
     .name = "a full disk, for good",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC", "KALAM_FAULT_TIMES",
                  "0"},
     .is_for_good = true},
    {.way = WAY_FAIL,
     .name = "EIO, for a while",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_TIMES", "3"}},
    {.way = WAY_FAIL,
     .name = "EIO, and again soon",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_TIMES", "3", "KALAM_FAULT_EVERY", "17"}},
    {.way = WAY_FAIL,
     .name = "EIO, after a while", /* meanwhile others come to wait behind it */
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_DELAY_US", "100000"}},
    {.way = WAY_FAIL,
     .name = "a full disk, and again soon",
     .settings = {"KALAM_FAULT_MODE", "fail", "KALAM_FAULT_ERRNO", "ENOSPC", "KALAM_FAULT_TIMES",
                  "4", "KALAM_FAULT_EVERY", "9"}},
};
enum { VARIANTS = sizeof variants / sizeof *variants };
const Variant trial_counting = {.name = "count", .settings = {"KALAM_FAULT_MODE", "count"}};

/* Where lives run; that of a lane lies in that of the run, which has what trials start with. */
static char top[PATH_BYTES - 100], run_folder[PATH_BYTES - 150];
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

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(run_folder, sizeof run_folder, "%s/kalam-fault-XXXXXX", base ? base : "/tmp");
    CHECK(mkdtemp(run_folder));
    snprintf(top, sizeof top, "%s", run_folder);
    CHECK(mkdir(trial_path("disk"), 0700) == 0);
}

static const char *kept(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s.start", run_folder, name);
    return path;
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
    if (variant)
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

/* ---- many trials ---- */

enum { LANES_MAX = 16 };

/* Each trial is counted once, by what it really hit. */
typedef struct Tally {
    unsigned long hit[WAY_COUNT];
    unsigned long
        missed; /* the life made fewer calls than were counted, or it was none to shorten */
    unsigned long failed;
} Tally;

typedef struct Scene {
    const TrialProgram *program;
    const char *name;
    size_t scene;
    unsigned long calls;  /* that a life makes when nothing fails */
    unsigned long points; /* to be hit, each in one way; 0 = all calls, each in all ways */
    const Variant *only;  /* the one way, each call once; NULL: as above */
} Scene;

static Tally total;
static unsigned long total_calls;

/* Whether the life has made its n-th call, and for a short write whether it was one of more than a
 * byte. */
static bool was_hit(unsigned long at, Way way)
{
    char line[PATH_BYTES * 2], operation[16];
    unsigned long number = 0, bytes = 0;
    bool found = false;
    FILE *log = fopen(trial_path("calls"), "r");
    while (log && !found && fgets(line, sizeof line, log))
        found = sscanf(line, "%lu %15s %lu", &number, operation, &bytes) == 3 && number == at;
    if (log)
        fclose(log);
    return found && (way != WAY_SHORT || (strcmp(operation, "write") == 0 && bytes > 1));
}

/* The n-th variant of a way, in turn. */
static const Variant *variant_of(Way way, uint64_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < VARIANTS; i++)
        count += variants[i].way == way;
    n %= count;
    for (size_t i = 0;; i++) {
        if (variants[i].way == way && n-- == 0)
            return &variants[i];
    }
}

/* The i-th of `points` calls, spread evenly over `calls`, each moved a little by the seed. */
static unsigned long spread(unsigned long i, unsigned long points, unsigned long calls,
                            uint64_t seed)
{
    unsigned long step = points < calls ? calls / points + 1 : 1; /* all are hit, some twice */
    unsigned long moved = (unsigned long)(slice_hash(slice_of(&i, sizeof i), seed) % step);
    return 1 + (i * calls / points + moved) % calls;
}

/* False: FAILED, printed. */
static bool passes(const Scene *scene, unsigned long at, const Variant *variant)
{
    const Trial trial = {scene->scene, at, variant};
    TrialEnds ends = scene->program->run(&trial);
    if (ends.check == 0)
        return true;
    fprintf(stderr,
            "FAILED %s, call %lu, %s: the life under fault ended with %d, the check with %d "
            "(KALAM_FAULT_POINT=%zu,%lu,%zu)\n",
            scene->name, at, variant->name, ends.life, ends.check, scene->scene, at,
            scene->only ? 0 : (size_t)(variant - variants));
    return false;
}

/* True when the call was there to be hit. */
static bool run_trial(const Scene *scene, unsigned long at, const Variant *variant, Tally *tally)
{
    tally->failed += !passes(scene, at, variant);
    bool is_hit = was_hit(at, variant->way);
    tally->hit[variant->way] += is_hit;
    tally->missed += !is_hit;
    return is_hit;
}

/* One call in every way; only a write can be short. */
static void run_call(const Scene *scene, unsigned long at, uint64_t seed, Tally *tally)
{
    bool is_write =
        run_trial(scene, at, variant_of(WAY_FAIL, at + seed), tally) && was_hit(at, WAY_SHORT);
    if (is_write)
        (void)run_trial(scene, at, variant_of(WAY_SHORT, at + seed), tally);
    (void)run_trial(scene, at, variant_of(WAY_CUT, at + seed), tally);
}

static void run_sample(const Scene *scene, unsigned long i, uint64_t seed, Tally *tally)
{
    unsigned long at = spread(i, scene->points, scene->calls, seed);
    size_t kind = (i + scene->scene + seed) % VARIANTS;
    (void)run_trial(scene, at, &variants[kind], tally);
}

/* A folder of its own for each lane. */
static void enter_lane(int lane)
{
    snprintf(top, sizeof top, "%s/lane-%d", run_folder, lane);
    if (access(top, F_OK) != 0)
        CHECK(mkdir(top, 0700) == 0);
}

/* A lane whose process ends in another way has failed. */
static void run_lane(const Scene *scene, int lane, int lanes, uint64_t seed, int out)
{
    Tally tally = {0};
    unsigned long count = scene->points ? scene->points : scene->calls;
    enter_lane(lane);
    for (unsigned long i = (unsigned long)lane; i < count; i += (unsigned long)lanes) {
        if (scene->only)
            (void)run_trial(scene, i + 1, scene->only, &tally);
        else if (scene->points)
            run_sample(scene, i, seed, &tally);
        else
            run_call(scene, i + 1, seed, &tally);
    }
    _exit(write(out, &tally, sizeof tally) == sizeof tally ? 0 : 1);
}

static void add(Tally *to, const Tally *tally)
{
    for (int way = 0; way < WAY_COUNT; way++)
        to->hit[way] += tally->hit[way];
    to->missed += tally->missed;
    to->failed += tally->failed;
}

static unsigned long hits(const Tally *tally)
{
    return tally->hit[WAY_FAIL] + tally->hit[WAY_SHORT] + tally->hit[WAY_CUT];
}

static void print_tally(const char *name, unsigned long calls, const Tally *tally)
{
    printf("%s: %lu calls, %lu points: %lu calls failed, %lu short writes, %lu power cuts", name,
           calls, hits(tally), tally->hit[WAY_FAIL], tally->hit[WAY_SHORT], tally->hit[WAY_CUT]);
    if (tally->missed) /* threads of RocksDB and DuckDB: a life makes a few calls more or less */
        printf("; %lu trials hit nothing", tally->missed);
    printf("\n");
    fflush(stdout);
}

/* The value of a variable: 0 for "all". */
static unsigned long points_of(const char *variable, unsigned long otherwise)
{
    const char *given = getenv(variable);
    if (!given || !*given)
        return otherwise;
    return strcmp(given, "all") == 0 ? 0 : strtoul(given, NULL, 10);
}

static void run_scene(const Scene *scene, uint64_t seed)
{
    unsigned long given = points_of("KALAM_FAULT_LANES", 1);
    int lanes = given < 1 ? 1 : given > LANES_MAX ? LANES_MAX : (int)given;
    pid_t children[LANES_MAX];
    int ends[2];
    Tally tally = {0};
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    for (int i = 0; i < lanes; i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0)
            run_lane(scene, i, lanes, seed, ends[1]);
    }
    for (int i = 0; i < lanes; i++) {
        Tally part = {.failed = 1};
        if (wait_for(children[i]) == 0)
            CHECK(read(ends[0], &part, sizeof part) == sizeof part);
        add(&tally, &part);
    }
    close(ends[0]);
    close(ends[1]);
    add(&total, &tally);
    total_calls += scene->calls;
    print_tally(scene->name, scene->calls, &tally);
}

static int report(void)
{
    print_tally("in all", total_calls, &total);
    printf("%lu passed, %lu failed\n", hits(&total) + total.missed - total.failed, total.failed);
    return total.failed > 0;
}

/* ---- the program ---- */

static uint64_t choose_seed(void)
{
    const char *given = getenv("KALAM_FAULT_RUN");
    uint64_t seed =
        given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
    fprintf(stderr, "KALAM_FAULT_RUN=%llu\n", (unsigned long long)seed);
    return seed;
}

static bool is_wanted(const char *scene_name)
{
    const char *only = getenv("KALAM_FAULT_ONLY");
    return !only || strstr(scene_name, only);
}

static const Variant *only_of(const TrialProgram *program, size_t scene)
{
    return program->only ? program->only(scene) : NULL;
}

static int run_all(const TrialProgram *program, uint64_t seed)
{
    unsigned long points = points_of(program->points_variable, program->points_default);
    size_t sharing = 0, next = 0; /* scenes */
    for (size_t i = 0; i < program->scene_count; i++)
        sharing += !only_of(program, i);
    for (size_t i = 0; i < program->scene_count; i++) {
        Scene scene = {.program = program, .name = program->scene_name(i), .scene = i};
        scene.only = only_of(program, i);
        if (!scene.only)
            scene.points = points / sharing + (next++ < points % sharing);
        bool has_points = scene.only || points == 0 || scene.points > 0;
        if (!has_points || !is_wanted(scene.name))
            continue;
        scene.calls = program->count_calls(i);
        run_scene(&scene, seed);
    }
    return report();
}

static int run_one(const TrialProgram *program, const char *point)
{
    Scene scene = {.program = program};
    unsigned long at = 1, kind = 0;
    CHECK(sscanf(point, "%zu,%lu,%lu", &scene.scene, &at, &kind) == 3 &&
          scene.scene < program->scene_count);
    scene.name = program->scene_name(scene.scene);
    scene.only = only_of(program, scene.scene);
    bool passed = passes(&scene, at, scene.only ? scene.only : &variants[kind % VARIANTS]);
    printf("%s\n%d passed, %d failed\n", top, passed, !passed);
    return !passed;
}

int trial_main(const TrialProgram *program, int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--life") == 0) {
        snprintf(top, sizeof top, "%s", argv[2]);
        return program->live((int)strtol(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: %s <libfault.so>\n", program->name);
        return 2;
    }
    const char *point = getenv("KALAM_FAULT_POINT");
    uint64_t seed = choose_seed();
    library = argv[1];
    make_folder();
    program->prepare(seed);
    if (point)
        return run_one(program, point);
    int status = run_all(program, seed);
    remove_all(run_folder);
    return status;
}
