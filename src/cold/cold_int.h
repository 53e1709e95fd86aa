/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of cold/ share.
 */
#pragma once

#include "base/limits.h"
#include "cold/cold.h"

/* stats.c: bounds of one column, kept while rows pass. */
typedef struct StatsBuilder {
    Type type;
    uint32_t field_id;
    uint64_t null_count;
    bool has_bounds;
    bool is_unbounded; /* a value was seen that no bound can express */
    Value min, max;    /* texts point into the two arrays */
    char min_bytes[SEGMENT_STATS_BYTES_MAX], max_bytes[SEGMENT_STATS_BYTES_MAX];
} StatsBuilder;

void cold__stats_init(StatsBuilder *stats, const Column *column);
void cold__stats_add(StatsBuilder *stats, const Value *value);
/* Copies texts into the arena. */
SegmentStats cold__stats_finish(const StatsBuilder *stats, Arena *arena);

/* checksum.c: changes when the file is replaced, written or cut; 0 when there is none. */
uint64_t cold__stamp(const char *path);

/* folder.c: <root>/<folder>/<name>, zero-terminated; E_TOO_LARGE above COLD_PATH_BYTES_MAX. */
CHECKED Code cold__path(const char *storage_root, Slice folder, Slice name, Buffer *out, Error *e);

/* read.c: the quoted path of one segment. */
void cold__add_segment_path(Buffer *out, const SegmentList *list, uint32_t index);
/* read.c: SELECT _seq, then the columns of the schema, without conditions. */
void cold__add_select(Buffer *out, const SegmentList *list, const Schema *schema);

/* narrow.c: cuts files off the list and seqs off the range that lie behind its first `limit` rows.
 * */
CHECKED Code cold__narrow(EnginePool *pool, SegmentList *io_list, ColdRange *io_range, Error *e);
