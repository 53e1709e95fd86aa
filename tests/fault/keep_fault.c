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

#include "../unit/test.h"
#include "trial.h"

enum { POINTS_DEFAULT = 24, STATUS_NOT_ACKNOWLEDGED = 3 };

typedef enum Life { LIFE_PREPARE, LIFE_RUN, LIFE_CHECK_ANY, LIFE_CHECK_ACKNOWLEDGED } Life;

static int live(int life, size_t scene)
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

static TrialEnds run_trial(const Trial *trial)
{
    trial_restore("disk");
    int status = trial_life(LIFE_RUN, trial->scene, trial->variant, trial->at);
    bool is_fair = status == 0 || status == TRIAL_CUT || status == STATUS_NOT_ACKNOWLEDGED;
    if (status == TRIAL_CUT)
        trial_cut();
    Life life = status == 0 ? LIFE_CHECK_ACKNOWLEDGED : LIFE_CHECK_ANY;
    int check = is_fair ? trial_life(life, trial->scene, NULL, 0) : -1;
    return (TrialEnds){status, check};
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
    const TrialProgram program = {.name = "fault_keep",
                                  .points_variable = "KALAM_FAULT_KEEP_POINTS",
                                  .points_default = POINTS_DEFAULT,
                                  .scene_count = scene_count,
                                  .scene_name = scene_name,
                                  .live = live,
                                  .prepare = prepare,
                                  .count_calls = count_calls,
                                  .run = run_trial};
    return trial_main(&program, argc, argv);
}
