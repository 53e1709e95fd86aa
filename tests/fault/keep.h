/* SPDX-License-Identifier: Apache-2.0
 *
 * What keep_fault.c (trials) and keep_scenes.c (what is done under fault, and what must be true
 * afterwards) share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct Scene {
    const char *name;
    /* Under fault: true when it was acknowledged. `disk` holds data/ and backups/. */
    bool (*run)(const char *disk);
    /* Without: CHECKs what is left. */
    void (*check)(const char *disk, bool acknowledged);
} Scene;

extern const Scene scenes[];
extern const size_t scene_count;

/* Makes disk/data, disk/backups. */
void scenes_prepare(const char *disk);
