/* SPDX-License-Identifier: Apache-2.0
 *
 * What keeps data elsewhere, or makes it go, on a disk that fails: `fault_keep libfault.so`. The
 * scenes are in keep_scenes.c; each trial runs one of them on a copy of the same folder below the
 * preloaded library, which hits the n-th call that changes the disk, and checks what is left in a
 * second process.
 *
 * KALAM_FAULT_KEEP_POINTS (default 24) calls are hit, spread over the scenes and all of their
 * calls; "all" hits every call of every scene in every way.
 * KALAM_FAULT_RUN=<seed> repeats a run's choices; with KALAM_FAULT_POINT=<scene>,<call>,<variant>
 * it runs one trial and keeps its folder.
 */
#include "keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/test.h"
#include "trial.h"

enum { POINTS_DEFAULT = 24, STATUS_NOT_ACKNOWLEDGED = 3 };

typedef enum Life { LIFE_PREPARE, LIFE_RUN, LIFE_CHECK_ANY, LIFE_CHECK_ACKNOWLEDGED } Life;

static int live(Life life, size_t scene)
{
    const char *disk = trial_path("disk");
    if (life == LIFE_PREPARE)
        scenes_prepare(disk);
    else if (life == LIFE_RUN)
        return scenes[scene].run(disk) ? 0 : STATUS_NOT_ACKNOWLEDGED;
    else
        scenes[scene].check(disk, life == LIFE_CHECK_ACKNOWLEDGED);
    return 0;
}

/* How many calls a scene makes; they vary a little with the threads of RocksDB and DuckDB. */
static unsigned long count_calls(size_t scene)
{
    trial_restore("disk");
    CHECK_INT(trial_life(LIFE_RUN, scene, &trial_counting, 0), 0);
    CHECK_INT(trial_life(LIFE_CHECK_ACKNOWLEDGED, scene, NULL, 0), 0);
    return trial_calls();
}

static bool run_trial(size_t scene, unsigned long at, const Variant *variant)
{
    trial_restore("disk");
    int status = trial_life(LIFE_RUN, scene, variant, at);
    bool is_fair = status == 0 || status == TRIAL_CUT || status == STATUS_NOT_ACKNOWLEDGED;
    if (status == TRIAL_CUT)
        trial_cut();
    Life life = status == 0 ? LIFE_CHECK_ACKNOWLEDGED : LIFE_CHECK_ANY;
    int check = is_fair ? trial_life(life, scene, NULL, 0) : -1;
    if (check == 0)
        return true;
    fprintf(stderr,
            "FAILED %s, call %lu, %s: the life under fault ended with %d, the check with %d "
            "(KALAM_FAULT_POINT=%zu,%lu,%zu)\n",
            scenes[scene].name, at, variant->name, status, check, scene, at,
            (size_t)(variant - trial_variants));
    return false;
}

static int run_trials(uint64_t seed)
{
    unsigned long points = trial_points("KALAM_FAULT_KEEP_POINTS", POINTS_DEFAULT);
    for (size_t i = 0; i < scene_count; i++) {
        TrialScene scene = {.name = scenes[i].name, .scene = i, .run = run_trial};
        scene.points = points / scene_count + (i < points % scene_count);
        if ((points > 0 && scene.points == 0) || !trial_is_wanted(scene.name))
            continue;
        scene.calls = count_calls(i);
        trial_run_scene(&scene, seed);
    }
    return trial_report();
}

static int run_one(const char *point)
{
    size_t scene = 0;
    unsigned long at = 1, kind = 0;
    CHECK(sscanf(point, "%zu,%lu,%lu", &scene, &at, &kind) == 3 && scene < scene_count);
    bool passed = run_trial(scene, at, &trial_variants[kind % trial_variant_count]);
    printf("%s\n%d passed, %d failed\n", trial_folder(), passed, !passed);
    return !passed;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--life") == 0) {
        trial_join(argv[2]);
        return live((Life)strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: fault_keep <libfault.so>\n");
        return 2;
    }
    const char *point = getenv("KALAM_FAULT_POINT");
    trial_begin(argv[1]);
    CHECK_INT(trial_life(LIFE_PREPARE, 0, NULL, 0), 0);
    trial_keep("disk");
    if (point)
        return run_one(point);
    int status = run_trials(trial_seed());
    trial_end();
    return status;
}
