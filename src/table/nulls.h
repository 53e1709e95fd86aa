/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking for NULLs in every live row of a table, over all partitions and both tiers: for
 * constraints that come later than the rows.
 */
#pragma once

#include "table/view.h"

/* Whether a live row with seq > after_seq has NULL in the column at this index of table->schema;
 * with index -1, whether there is a live row at all. Segments are read only where their statistics
 * leave it open. The table must be found after the view was opened. Workers only. */
CHECKED Code table_find_null(ReadView *view, const Table *table, int32_t column, uint64_t after_seq,
                             bool *out_found, Error *e);
