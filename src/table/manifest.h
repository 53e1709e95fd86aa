/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.json of a partition, a copy for people and tools (folder.c).
 */
#pragma once

#include "table/database.h"

/* Rewrites manifest.json from the newest commit. */
CHECKED Code table__write_manifest(Database *db, const Table *table, Partition partition, Error *e);
/* Whether it is there and says what it should: a crash may have come before it was written, or
 * somebody has changed it. A partition without segments may have none. */
typedef enum ManifestState { MANIFEST_RIGHT, MANIFEST_MISSING, MANIFEST_WRONG } ManifestState;
CHECKED Code table__check_manifest(Database *db, const Table *table, Partition partition,
                                   ManifestState *out, Error *e);
/* Rewrites it unless it is right. */
CHECKED Code table__mend_manifest(Database *db, const Table *table, Partition partition, Error *e);
