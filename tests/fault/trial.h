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

extern const Variant trial_counting; /* nothing fails; the calls go to the file `calls` */

/* The folder of this trial. */
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
/* How many calls the last life with a variant has made. */
unsigned long trial_calls(void);

/* ---- many trials ---- */

/* Which call of which scene is hit, and how. */
typedef struct Trial {
    size_t scene;
    unsigned long at;
    const Variant *variant;
} Trial;

/* How its lives ended: 0 is well. */
typedef struct TrialEnds {
    int life;  /* the one under fault */
    int check; /* the one after it; -1: none, for the other ended as it never may */
} TrialEnds;

typedef struct TrialProgram {
    const char *name;
    const char *points_variable; /* how many calls to hit, over all scenes; "all": in all ways */
    unsigned long points_default;
    size_t scene_count;
    const char *(*scene_name)(size_t scene);
    int (*live)(int life, size_t scene); /* a life that trial_life began; its status */
    void (*prepare)(uint64_t seed);      /* makes and keeps what trials start with */
    /* The calls that a life of the scene makes when nothing fails. */
    unsigned long (*count_calls)(size_t scene);
    TrialEnds (*run)(const Trial *trial);
    /* How each call of a scene is hit, once, whatever the points; NULL, or answers NULL: in
     * turn. */
    const Variant *(*only)(size_t scene);
} TrialProgram;

/* The main of such a program, `<name> <libfault.so>`: hits calls of all scenes (of those with
 * KALAM_FAULT_ONLY in their name) in KALAM_FAULT_LANES processes (1), prints what it hit, then
 * "N passed, M failed". KALAM_FAULT_RUN=<seed> repeats its choices;
 * KALAM_FAULT_POINT=<scene>,<call>,<variant> runs one trial and leaves its folder. */
int trial_main(const TrialProgram *program, int argc, char **argv);
