/* SPDX-License-Identifier: Apache-2.0
 *
 * Which channels of a partition a change may concern (index.c).
 */
#pragma once

#include "live/query_int.h"

typedef struct Entry Entry;
typedef struct Channel Channel;
typedef struct Bucket Bucket;

/* A column of which channels ask for one value. */
typedef struct IndexColumn {
    const Schema *schema;
    uint32_t column, bucket_count; /* 0 buckets: unused */
} IndexColumn;

enum { INDEX_COLUMNS_MAX = 8 }; /* of one partition; channels that ask for others are scanned */

void live__index_add(Entry *entry, Channel *channel);
void live__index_remove(Entry *entry, Channel *channel);
/* Appends the channels in the buckets of both rows, as pointers. `change` is decoded by the
 * column's schema. */
void live__index_find(const Entry *entry, const IndexColumn *column, const LiveChange *change,
                      Buffer *scratch, Buffer *out);
