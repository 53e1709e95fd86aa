/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything a user has, as files that any tool opens: one Parquet file for each USER and STREAM
 * table with the rows of both tiers that live at one commit, schema.json and manifest.json with
 * checksums; the same once more as one zip.
 */
#pragma once

#include "table/backup.h"

typedef struct ExportReport {
    uint64_t seq;                 /* the commit at which everything was read */
    uint64_t tables, rows, bytes; /* tables: those with a row, each a file */
    uint64_t zip_bytes;
} ExportReport;

/* Writes <data>/exports/<user>/<name>/ and <name>.zip beside it, whole or not at all. Blocks; holds
 * a view meanwhile, so not while the caller's thread waits for views to close. E_NOT_FOUND for a
 * user that does not exist or was dropped, E_ALREADY_EXISTS, E_CORRUPT when a segment is damaged,
 * E_CANCELLED. Without any row nothing is written. */
CHECKED Code database_export_user(Database *db, uint64_t user, const char *name, BackupStop stop,
                                  ExportReport *out, Error *e);

/* The zip of a whole export; E_NOT_FOUND when there is none of that name, or the name is none that
 * an export has. */
CHECKED Code export_zip_path(Database *db, Slice user_id, Slice name, Arena *arena,
                             const char **out_path, Error *e);

/* At start, before an export runs: removes what a crash left of exports. */
CHECKED Code export_sweep(Database *db, uint32_t *out_removed, Error *e);
/* Removes exports that were complete before that time. Not while an export runs. */
CHECKED Code export_expire(Database *db, int64_t before_us, uint32_t *out_removed, Error *e);
