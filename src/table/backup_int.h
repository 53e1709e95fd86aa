/* SPDX-License-Identifier: Apache-2.0
 *
 * What the backups of a server and of a namespace share: their folder and its list of files
 * (backup.c).
 */
#pragma once

#include "table/backup.h"

void backup__tell(const BackupStop *stop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Makes the folder, and marks it as a backup that is not finished, until backup__write_list.
 * E_INVALID_OPERATION when there is something in it. */
CHECKED Code backup__begin(const char *folder, Error *e);
/* Writes the file BACKUP over what lies in the folders of that name (the last one is NULL); adds
 * files and bytes to the report. */
CHECKED Code backup__write_list(const char *folder, const char *const *roots, bool is_namespace,
                                BackupReport *io_report, Error *e);
/* E_NOT_FOUND when the folder is no complete backup. */
CHECKED Code backup__read_list(const char *backup, Arena *arena, Slice *out_bytes, BackupList *out,
                               Error *e);
/* Compares a file with the list. */
CHECKED Code backup__check_file(const char *backup, const BackupFile *file, Arena *arena, Error *e);
