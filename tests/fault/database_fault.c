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
 * KALAM_FAULT_POINTS (default 60) calls are hit, spread over all of them; with "all" every one, in
 * every way. KALAM_FAULT_RUN=<seed>
 * repeats a run's choices; with KALAM_FAULT_POINT=<call>,<variant> it runs one trial and keeps its
 * folder.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/table/model.h"
#include "../unit/test.h"
#include "trial.h"

enum { POINTS_DEFAULT = 60, STATUS_NOT_OPENED = 3 };

static int live(ModelLife life)
{
    model_map(trial_path("model"));
    bool opened = model_live(trial_path("disk"), life);
    model_unmap();
    return opened ? 0 : STATUS_NOT_OPENED;
}

static void prepare(uint64_t seed)
{
    model_create(trial_path("model"), seed, UINT64_MAX);
    model_unmap();
    CHECK_INT(trial_life(MODEL_SETUP, 0, NULL, 0), 0);
    CHECK_INT(trial_life(MODEL_SETUP, 0, NULL, 0), 0);
    trial_keep("disk");
    trial_keep("model");
}

static void start_over(void)
{
    trial_restore("disk");
    trial_restore("model");
}

/* How many calls a life makes; they vary a little with the threads of RocksDB and DuckDB. */
static unsigned long count_calls(void)
{
    start_over();
    CHECK_INT(trial_life(MODEL_FAULTY, 0, &trial_counting, 0), 0);
    return trial_calls();
}

static bool run_trial(size_t scene, unsigned long at, const Variant *variant)
{
    (void)scene;
    start_over();
    int status =
        trial_life(variant->is_for_good ? MODEL_FAULTY_FOR_GOOD : MODEL_FAULTY, 0, variant, at);
    bool is_fair = status == 0 || status == TRIAL_CUT || status == STATUS_NOT_OPENED;
    if (status == TRIAL_CUT)
        trial_cut();
    int check = is_fair ? trial_life(MODEL_CHECK, 0, NULL, 0) : -1;
    if (check == 0)
        return true;
    fprintf(stderr,
            "FAILED call %lu, %s: the life under fault ended with %d, the check with %d "
            "(KALAM_FAULT_POINT=%lu,%zu)\n",
            at, variant->name, status, check, at, (size_t)(variant - trial_variants));
    return false;
}

static int run_trials(uint64_t seed)
{
    TrialScene scene = {.name = "a random history",
                        .calls = count_calls(),
                        .points = trial_points("KALAM_FAULT_POINTS", POINTS_DEFAULT),
                        .run = run_trial};
    trial_run_scene(&scene, seed);
    return trial_report();
}

static int run_one(const char *point)
{
    char *rest = NULL;
    unsigned long at = strtoul(point, &rest, 10), kind = *rest ? strtoul(rest + 1, NULL, 10) : 0;
    bool passed = run_trial(0, at, &trial_variants[kind % trial_variant_count]);
    printf("%s\n%d passed, %d failed\n", trial_folder(), passed, !passed);
    return !passed;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--life") == 0) {
        trial_join(argv[2]);
        return live((ModelLife)strtoul(argv[3], NULL, 10));
    }
    if (argc != 2) {
        fprintf(stderr, "usage: fault_database <libfault.so>\n");
        return 2;
    }
    const char *point = getenv("KALAM_FAULT_POINT");
    trial_begin(argv[1]);
    uint64_t seed = trial_seed();
    prepare(seed);
    if (point)
        return run_one(point);
    int status = run_trials(seed);
    trial_end();
    return status;
}
