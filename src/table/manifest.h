/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest.json of a partition, a copy for people and tools (folder.c).
 */
#pragma once

#include "table/database.h"

/* Rewrites manifest.json from the newest commit. */
CHECKED Code table__write_manifest(Database *db, const Table *table, Partition partition, Error *e);
/* Rewrites it if it is missing or not as it should be: a crash may have come before it was written,
 * or somebody has changed it. */
CHECKED Code table__mend_manifest(Database *db, const Table *table, Partition partition,
                                  bool *out_mended, Error *e);
