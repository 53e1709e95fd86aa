/* SPDX-License-Identifier: Apache-2.0
 *
 * What the changes in the feed windows of partitions weigh, as the last trim left them.
 */
#pragma once

#include "table/table_int.h"

typedef struct Weight {
    uint64_t feed_low, seen_seq; /* of the changes with feed_low < seq <= seen_seq */
    uint64_t bytes;
    /* with the floors of the server: where they rise, what was weighed may be lost */
    uint64_t effective_low;
} Weight;

typedef struct Windows Windows;
Windows *windows_new(void);
void windows_free(Windows *windows); /* accepts NULL */
Windows *database__windows(Database *db);
/* False where it is not known. Thread-safe. */
bool windows_get(Windows *windows, Partition partition, Weight *out);
/* By whoever has the partition's claim: so what is known is never older than what was. */
void windows_put(Windows *windows, Partition partition, const Weight *weight);
