/* SPDX-License-Identifier: Apache-2.0
 *
 * Many files in one: what an export is fetched as. For threads that may block.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct ColdZipFile {
    const char *path; /* on disk */
    const char *name; /* in the archive: relative, UTF-8 */
} ColdZipFile;
typedef struct ColdZip {
    const char *path; /* of the archive; must not exist */
    const ColdZipFile *files;
    size_t count;                      /* at least 1 */
    bool (*is_stopped)(void *context); /* optional; asked now and then */
    void *context;
} ColdZip;
/* Writes the files, stored, into an archive whose bytes are on disk after OK (its name after
 * file_sync_folder), in bounded memory. After a failure no archive is left. E_CANCELLED,
 * E_ALREADY_EXISTS, E_DISK_FULL, E_IO. */
CHECKED Code cold_zip_write(const ColdZip *order, Error *e);
