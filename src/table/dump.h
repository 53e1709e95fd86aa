/* SPDX-License-Identifier: Apache-2.0
 *
 * The file `rows` of a namespace backup (docs/formats/backup.md): what the hot store knows of one
 * table, as records in a fixed order. Users stand in it by their text ids, numbers of tables and
 * users do not: a restore gives out its own.
 */
#pragma once

#include "os/file_piece.h"
#include "table/view.h"

typedef enum DumpKind {
    DUMP_TABLE = 1, /* first, once: bytes is the definition */
    DUMP_PARTITION, /* user_id (empty: SHARED), state; the records after it are of this partition */
    DUMP_SEGMENT,   /* number: of the file beside this one; bytes is the manifest entry */
    DUMP_DEAD,      /* seq, number: seq of death */
    DUMP_ROW,       /* seq, bytes is the row: live, at or above the flush mark */
    DUMP_HEAD,      /* seq, bytes is the encoded primary key */
    DUMP_END,       /* last, once: number is how many records came before */
} DumpKind;

typedef struct DumpRecord {
    DumpKind kind;
    uint64_t seq, number;
    Slice bytes, user_id;
    PartitionState state; /* feed_low is not kept */
} DumpRecord;

typedef struct DumpWriter DumpWriter;
CHECKED Code dump_writer_open(const char *path, DumpWriter **out, Error *e);
/* E_INTERNAL when the record may not stand here. */
CHECKED Code dump_writer_put(DumpWriter *writer, const DumpRecord *record, Error *e);
/* Writes the end; all bytes are on disk after OK. */
CHECKED Code dump_writer_finish(DumpWriter *writer, Error *e);
void dump_writer_close(DumpWriter *writer); /* accepts NULL */

typedef struct DumpReader DumpReader;
CHECKED Code dump_reader_open(const char *path, DumpReader **out, Error *e);
/* The next record, whose slices hold until the next call. E_CORRUPT for everything that a writer
 * does not write: wrong checksums, a wrong order, an end too early. After DUMP_END there is
 * none. */
CHECKED Code dump_reader_next(DumpReader *reader, DumpRecord *out, Error *e);
void dump_reader_close(DumpReader *reader); /* accepts NULL */

/* Where a reader is in the order of records, for dump_take. `{0}` to start. */
typedef struct DumpOrder {
    DumpKind last;
    uint64_t records, seq, partitions;
    bool has_partition;
} DumpOrder;
/* Takes one framed record off the bytes: *out_used = 0 when they are too few. E_CORRUPT. What
 * dump_reader_next does without the file, for fuzz_dump. */
CHECKED Code dump_take(Slice bytes, DumpOrder *order, DumpRecord *out, size_t *out_used, Error *e);
