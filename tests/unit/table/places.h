/* SPDX-License-Identifier: Apache-2.0
 *
 * What tests of backups share: a database, its backup and what is restored from it beside each
 * other, and damage to the files of a backup.
 */
#pragma once

#include "fixture.h"

/* Paths in the test's folder; none exists yet. The arena is the caller's to free. */
typedef struct Places {
    Arena *arena;
    const char *data, *backup, *other;
} Places;

Places places_new(void);
/* Rows in two segments and hot, some updated or deleted since they were flushed or while hot. */
void places_fill(Fixture *f);
/* The paths of all files below a folder; returns how many. */
size_t places_files(const char *folder, Arena *arena, const char *const **out_paths);
/* Changes a bit in the middle of a file that is not empty; returns what it held. */
Slice places_damage(const char *path, Arena *arena);
