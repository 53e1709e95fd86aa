/* SPDX-License-Identifier: Apache-2.0
 *
 * The cold tier: one folder per partition with Parquet segments `batch-<n>.parquet` and a
 * manifest.json for people and tools. The truth about which segments exist is kept by the caller
 * (a key per segment); files no entry names are garbage.
 *
 * Threads: any that may block; the functions share no state. Formats: docs/formats/segment.md,
 * docs/formats/manifest.md.
 */
#pragma once

#include "data/schema.h"
#include "engine/engine.h"

/* ---- Folders ---- */

enum { COLD_NAME_BYTES_MAX = 255, COLD_PATH_BYTES_MAX = 4096 };

/* A file name for any id: distinct ids give names that differ even where case is ignored; the name
 * is at most COLD_NAME_BYTES_MAX bytes, is never "." or "..", and needs no quoting in a glob or URL
 * path. E_TOO_LARGE above USER_ID_BYTES_MAX, E_INVALID_INPUT when empty. */
CHECKED Code cold_encode_name(Slice id, Buffer *out, Error *e);
/* The reverse, for tools; E_INVALID_INPUT when no id has this name. */
CHECKED Code cold_decode_name(Slice name, Buffer *out, Error *e);

typedef struct ColdPlace {
    Slice namespace_name, table_name;
    bool is_shared;
    Slice user_id; /* of USER tables */
} ColdPlace;

/* `user/<user_id>/<namespace>/<table>` or `shared/<namespace>/<table>`, relative to the storage
 * root. */
CHECKED Code cold_folder_path(const ColdPlace *place, Buffer *out, Error *e);
/* `batch-<n>.parquet` */
void cold_segment_name(uint64_t batch, Buffer *out);

/* ---- Segment entries ---- */

typedef struct SegmentStats { /* of one column */
    uint32_t field_id;
    uint64_t null_count;
    bool has_bounds; /* false: nothing but NULLs, or a value (NaN) that no bound can express */
    Value min, max;  /* bounds, not always values: a long text is cut */
} SegmentStats;

typedef struct SegmentEntry {
    uint64_t batch;
    uint64_t min_seq, max_seq, row_count;
    uint64_t size_bytes;
    int64_t created_at_ms;
    uint32_t schema_version;
    uint32_t crc;   /* CRC-32C of the whole file */
    uint64_t stamp; /* of the file whose bytes had the CRC, from cold_segment_write; not stored */
    uint32_t stats_count;
    SegmentStats *stats;
} SegmentEntry;

void segment_encode(const SegmentEntry *entry, Buffer *out);
/* Checks everything; allocates in the arena. E_CORRUPT, E_FORMAT_VERSION. */
CHECKED Code segment_decode(Slice bytes, Arena *arena, SegmentEntry **out_entry, Error *e);
/* NULL when the segment has no statistics of that column (it was added later). */
const SegmentStats *segment_stats(const SegmentEntry *entry, uint32_t field_id);
/* False when no row of the segment can have min <= column <= max; a NULL bound is open. */
bool segment_may_contain(const SegmentEntry *entry, const Column *column, const Value *min,
                         const Value *max);

/* ---- Writing ---- */

typedef struct SegmentWrite {
    EnginePool *pool; /* that of flush and compaction */
    const char *storage_root;
    const char *folder; /* relative; made when missing */
    uint64_t batch;
    int64_t now_ms;
    const EngineSource *rows; /* ascending seq, no tombstones */
    uint32_t wait_ms;         /* for a free instance of the pool */
} SegmentWrite;

/* Writes a temporary file, syncs it, renames it to batch-<n>.parquet and syncs the folder;
 * *out_entry is allocated in the arena. When it returns OK, the file is on disk whole. On failure
 * no file is left. E_ALREADY_EXISTS: the batch number is in use. E_INVALID_OPERATION: no rows. Else
 * what the source, the engine or the disk said. */
CHECKED Code cold_segment_write(const SegmentWrite *write, Arena *arena, SegmentEntry **out_entry,
                                Error *e);
/* Reads the whole file and compares size and checksum: E_CORRUPT names the file. */
CHECKED Code cold_segment_verify(const char *storage_root, Slice folder, const SegmentEntry *entry,
                                 Error *e);

/* The same without reading it: that the file is there and has its size. */
CHECKED Code cold_segment_check(const char *storage_root, Slice folder, const SegmentEntry *entry,
                                Error *e);

/* CRC-32C and size of any file; E_NOT_FOUND. */
CHECKED Code cold_file_checksum(const char *path, uint32_t *out_crc, uint64_t *out_bytes, Error *e);
/* Verifies the file unless *io_stamp says that this very file was verified before (0 = never); sets
 * the stamp. E_SEGMENT_DAMAGED, also when there is no file; its text has no path of the server and
 * may be shown to whose rows they are. */
CHECKED Code cold_segment_trust(const char *storage_root, Slice folder, const SegmentEntry *entry,
                                uint64_t *io_stamp, Error *e);

/* Removes a listed file; a file that is not there is fine. */
CHECKED Code cold_segment_remove(const char *storage_root, Slice folder, uint64_t batch, Error *e);
/* What lies in a folder beside manifest.json and the batch files that is_listed knows. */
typedef enum ColdStrayKind {
    COLD_STRAY_SEGMENT,
    COLD_STRAY_TEMPORARY,
    COLD_STRAY_UNKNOWN /* not ours, or a folder */
} ColdStrayKind;
typedef struct ColdStray {
    const char *name; /* in the arena */
    ColdStrayKind kind;
} ColdStray;
CHECKED Code cold_find_stray(const char *storage_root, Slice folder,
                             bool (*is_listed)(void *context, uint64_t batch), void *context,
                             Arena *arena, ColdStray **out, size_t *out_count, Error *e);
/* At start: removes temporary files and batch files that is_listed denies. Returns the count
 * removed. */
CHECKED Code cold_sweep(const char *storage_root, Slice folder,
                        bool (*is_listed)(void *context, uint64_t batch), void *context,
                        uint32_t *out_removed, Error *e);
/* Calls back for every partition folder under the root, so that start-up can find what no table
 * owns. */
CHECKED Code cold_each_folder(const char *storage_root,
                              Code (*visit)(void *context, Slice folder, Error *e), void *context,
                              Error *e);

typedef struct ManifestInfo {
    ColdPlace place;
    uint64_t version;
    int64_t created_at_ms, updated_at_ms;
    const Schema *schema; /* names for the statistics */
} ManifestInfo;

/* Replaces <folder>/manifest.json atomically and durably. */
CHECKED Code cold_manifest_write(const char *storage_root, Slice folder, const ManifestInfo *info,
                                 const SegmentEntry *const *entries, uint32_t count, Error *e);
/* The same text, for SHOW MANIFEST and system.manifest. */
CHECKED Code cold_manifest_print(const ManifestInfo *info, const SegmentEntry *const *entries,
                                 uint32_t count, Buffer *out, Error *e);

/* ---- Reading ---- */

typedef struct SegmentList { /* segments of one partition */
    const char *storage_root;
    Slice folder;
    const uint64_t *batches; /* ascending by their seqs, which do not overlap */
    uint32_t count;          /* at least 1 */
} SegmentList;

/* Appends `read_parquet([…], schema = MAP {…})`: columns of `schema` under their names of today,
 * then `_seq` and `_deleted`; a column a file lacks reads as its fill, else NULL. */
void cold_add_read_parquet(Buffer *out, const SegmentList *list, const Schema *schema);

typedef struct ColdRange {
    uint64_t min_seq, max_seq; /* inclusive */
    uint64_t limit;            /* 0 = none */
    bool descending;
    uint32_t wait_ms, timeout_ms;
} ColdRange;

typedef struct ColdRow {
    uint64_t seq;
    Value *values; /* schema->column_count */
} ColdRow;

/* The rows of the segments in the range by seq, dead ones included; rows and texts live in the
 * arena. */
CHECKED Code cold_read_range(EnginePool *pool, const SegmentList *list, const Schema *schema,
                             const ColdRange *range, Arena *arena, ColdRow **out_rows,
                             uint32_t *out_count, Error *e);
/* The rows with these seqs (no duplicates), in no particular order; a seq that is not there is left
 * out. */
CHECKED Code cold_read_rows(EnginePool *pool, const SegmentList *list, const Schema *schema,
                            const uint64_t *seqs, uint32_t seq_count, Arena *arena,
                            ColdRow **out_rows, uint32_t *out_count, Error *e);

/* All rows of the segments in the order of the list, dead ones included, in bounded memory: for
 * compaction. Holds an instance of the pool until it is closed; one thread at a time. */
typedef struct ColdScan ColdScan;
CHECKED Code cold_scan_open(EnginePool *pool, const SegmentList *list, const Schema *schema,
                            uint32_t wait_ms, ColdScan **out, Error *e);
void cold_scan_close(ColdScan *scan); /* accepts NULL */
/* *out_values: schema->column_count, borrowed until the next call. */
CHECKED Code cold_scan_next(ColdScan *scan, bool *out_end, uint64_t *out_seq,
                            const Value **out_values, Error *e);
