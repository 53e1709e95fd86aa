/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything a user has, as files that any tool opens: one Parquet file for each USER and STREAM table with the rows of both tiers that
 * live at one commit, schema.json and manifest.json with checksums.
 */
#pragma once

#include "table/backup.h"

typedef struct ExportReport {
    uint64_t seq;                 /* the commit at which everything was read */
    uint64_t tables, rows, bytes; /* tables: those with a row, each a file */
} ExportReport;

/* Writes <data>/exports/<user>/<name>/, whole or not at all. Blocks; holds a view meanwhile, so not while the caller's thread waits for
 * views to close. E_ALREADY_EXISTS, E_CORRUPT when a segment is damaged, E_CANCELLED. Without any row nothing is written. */
CHECKED Code database_export_user(Database *db, uint64_t user, const char *name, BackupStop stop,
                                  ExportReport *out, Error *e);
