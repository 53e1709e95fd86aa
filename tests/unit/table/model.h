/* SPDX-License-Identifier: Apache-2.0
 *
 * Random histories of a database against a model of every version ever committed.
 *
 * What is asked of the database, and what it answered, stands in a journal in a mapped file: an
 * entry is written before an operation starts and answered after it. The model is the replay of the
 * journal, so a process may die at any moment. Each life of the database is a process: it opens the
 * folder, settles what the last life left without an answer (there whole or not at all), compares
 * all that is stored key by key, and goes on with random operations.
 *
 * It fails by test_failed (tests/unit/test.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum ModelLife {
    MODEL_SETUP,  /* make the tables, then a few steps; ends by closing */
    MODEL_RANDOM, /* ends by closing or by SIGKILL, also in the middle of something */
    /* the disk may fail for a while: errors are answers, then it must go on; ends by closing */
    MODEL_FAULTY,
    /* the disk may fail and stay so: writes end, reads go on; ends by closing */
    MODEL_FAULTY_FOR_GOOD,
    MODEL_CHECK, /* after a fault: settles and compares, a few steps, closes */
} ModelLife;

/* Makes the journal, or maps the one that is there. */
void model_create(const char *path, uint64_t seed, uint64_t steps);
void model_map(const char *path);
void model_unmap(void);
uint64_t model_steps_left(void);
void model_print_figures(void);
/* One life of the database in `folder`. True when it ended by closing after all it was to do; false
 * when the disk let it not open (the faulty ones only). */
bool model_live(const char *folder, ModelLife life);
