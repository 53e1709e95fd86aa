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
 * every way. KALAM_FAULT_RUN=<seed> repeats a run's choices; with
 * KALAM_FAULT_POINT=0,<call>,<variant> it runs one trial and keeps its folder.
 */

#include "../unit/table/model.h"
#include "../unit/test.h"
#include "trial.h"

enum { POINTS_DEFAULT = 60, STATUS_NOT_OPENED = 3 };

static int live(int life, size_t scene)
{
    (void)scene;
    model_map(trial_path("model"));
    bool opened = model_live(trial_path("disk"), (ModelLife)life);
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
static unsigned long count_calls(size_t scene)
{
    (void)scene;
    start_over();
    CHECK_INT(trial_life(MODEL_FAULTY, 0, &trial_counting, 0), 0);
    return trial_calls();
}

static TrialEnds run_trial(const Trial *trial)
{
    start_over();
    int status = trial_life(trial->variant->is_for_good ? MODEL_FAULTY_FOR_GOOD : MODEL_FAULTY, 0,
                            trial->variant, trial->at);
    bool is_fair = status == 0 || status == TRIAL_CUT || status == STATUS_NOT_OPENED;
    if (status == TRIAL_CUT)
        trial_cut();
    int check = is_fair ? trial_life(MODEL_CHECK, 0, NULL, 0) : -1;
    return (TrialEnds){status, check};
}

static const char *scene_name(size_t scene)
{
    (void)scene;
    return "a random history";
}

int main(int argc, char **argv)
{
    static const TrialProgram program = {.name = "fault_database",
                                         .points_variable = "KALAM_FAULT_POINTS",
                                         .points_default = POINTS_DEFAULT,
                                         .scene_count = 1,
                                         .scene_name = scene_name,
                                         .live = live,
                                         .prepare = prepare,
                                         .count_calls = count_calls,
                                         .run = run_trial};
    return trial_main(&program, argc, argv);
}
