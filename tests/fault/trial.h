/* SPDX-License-Identifier: Apache-2.0
 *
 * What the programs on a failing disk share: the kinds of fault, and a trial's folder, in which
 * this program runs again as a process of its own, below the preloaded library or without it.
 *
 * It also brings the test_failed of tests/unit/test.h: a failed CHECK ends the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VARIANT_SETTINGS_MAX = 8, TRIAL_CUT = 137 /* status of a life whose power was cut */ };

/* What becomes of the call that is hit. */
typedef enum Way { WAY_FAIL, WAY_SHORT, WAY_CUT, WAY_COUNT } Way;

typedef struct Variant {
    Way way;
    const char *name;
    const char *settings[VARIANT_SETTINGS_MAX]; /* name, value, … */
    bool is_for_good;                           /* the disk never gets well */
} Variant;

extern const Variant trial_variants[];
extern const size_t trial_variant_count;
extern const Variant trial_counting; /* nothing fails; the calls go to the file `calls` */

/* Makes the folder of this run; `library` is preloaded from here on. */
void trial_begin(const char *library);
/* The folder is there: this process is a life that trial_life began. */
void trial_join(const char *folder);
void trial_end(void); /* removes the folder */
const char *trial_folder(void);
/* A name in the folder. The disk under fault is `disk`. Valid until the eighth call after it. */
const char *trial_path(const char *name);

/* Keeps `name` as what each trial starts with. */
void trial_keep(const char *name);
/* Puts it there again, and removes what a power cut left. */
void trial_restore(const char *name);

/* Runs this program again as `--life <folder> <life> <scene>`, with the disk's n-th call under
 * fault; `variant` NULL: without the library. Returns its status, 1000 + signal for a death. */
int trial_life(int life, size_t scene, const Variant *variant, unsigned long at);
/* After TRIAL_CUT: what the disk then holds becomes the disk. */
void trial_cut(void);
/* KALAM_FAULT_RUN, or one of its own; printed. */
uint64_t trial_seed(void);

/* ---- many trials ---- */

typedef struct TrialScene {
    const char *name;
    size_t scene;
    unsigned long calls;  /* that a life makes when nothing fails: trial_calls */
    unsigned long points; /* to be hit, each in one way; 0 = all calls, each in all ways */
    bool (*run)(size_t scene, unsigned long at,
                const Variant *variant); /* false: FAILED, printed */
} TrialScene;

/* KALAM_FAULT_ONLY, if given, is part of the name. */
bool trial_is_wanted(const char *scene_name);
/* How many calls the last life with a variant has made. */
unsigned long trial_calls(void);
/* Runs the trials of a scene in KALAM_FAULT_LANES processes (1) and prints what they hit. */
void trial_run_scene(const TrialScene *scene, uint64_t seed);
/* Prints what all scenes have hit, then "N passed, M failed"; the status for exit. */
int trial_report(void);
/* The value of a variable: 0 for "all". */
unsigned long trial_points(const char *variable, unsigned long otherwise);
