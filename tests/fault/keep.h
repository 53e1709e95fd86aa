/* SPDX-License-Identifier: Apache-2.0
 *
 * What keep_fault.c (trials), keep_scenes.c and keep_writes.c (what is done under fault, and what
 * must be true afterwards) share.
 */
#pragma once

#include "table/flush.h"

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

/* ---- keep_scenes.c ---- */
/* A name below the disk. Valid until the eighth call after it. */
const char *keep_path(const char *disk, const char *name);
/* Opens the database, does what a start does, then `run`; true when nothing failed. */
typedef Code Act(Database *db, const char *disk, Arena *arena, Error *e);
bool keep_act(const char *disk, Act *run);
/* What a start does before anything else. */
CHECKED Code keep_sweep(Database *db, Error *e);
CHECKED Code keep_find_user(Database *db, const char *name, Arena *arena, User *out, Error *e);
/* Without faults: the database of a folder, after CHECKs that all is sound and that what no scene
 * changes is as it was. */
Database *keep_open_checked(const char *folder, bool has_bob);
/* "1=x 2=y " : the rows of a user in a table. */
const char *keep_rows(Database *db, const char *space, const char *name, const char *user,
                      Arena *arena);

/* ---- keep_writes.c ---- */
bool commits_run(const char *disk);
void commits_check(const char *disk, bool acknowledged);
bool flush_run(const char *disk);
void flush_check(const char *disk, bool acknowledged);
bool compact_run(const char *disk);
void compact_check(const char *disk, bool acknowledged);
bool start_run(const char *disk);
void start_check(const char *disk, bool acknowledged);
void start_prepare(const char *disk);
