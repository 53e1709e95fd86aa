/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of table/ share: keys, version headers, the parts of a Database.
 *
 * Keys (docs/formats/keys.md): partition = table id u32 | user u64, then seq u64 or primary key.
 *
 *   rows     p|seq  -> header(kind, seq - prev) row     newest version of a row, or its tombstone
 *   history  p|seq  -> header(kind, seq - prev, superseded - seq) row
 *   heads    p|key  -> seq                              of every live row, hot or cold
 *   dead     p|seq  -> seq of death                     for rows of segments
 *   segments p|min seq -> SegmentEntry (cold/)
 *   system   'p'|p  -> PartitionState · 'x'|table id -> a dropped table whose files are still there
 *            'o'|p|batch -> a segment file that nothing names any more
 *   due      time|p -> a partition to look at (due.c)
 */
#pragma once

#include "table/conflict.h"
#include "table/due.h"
#include "table/flush.h"
#include "table/pins.h"
#include "table/seq.h"
#include "table/view.h"

enum { PARTITION_BYTES = 12, SEQ_BYTES = 8, SEQ_KEY_BYTES = PARTITION_BYTES + SEQ_BYTES };

typedef struct SeqKey {
    char bytes[SEQ_KEY_BYTES];
} SeqKey;

SeqKey table__seq_key(Partition partition, uint64_t seq);
static inline Slice table__key_slice(const SeqKey *key)
{
    return (Slice){key->bytes, SEQ_KEY_BYTES};
}
/* False when the bytes are no such key. */
bool table__read_seq_key(Slice bytes, Partition *out_partition, uint64_t *out_seq);
/* `p` alone, as a prefix of SEQ_KEY_BYTES - SEQ_BYTES bytes. */
static inline Slice table__partition_slice(const SeqKey *key)
{
    return (Slice){key->bytes, PARTITION_BYTES};
}
void table__add_head_key(Buffer *out, Partition partition, Slice key);
Slice table__state_key(Arena *arena, Partition partition);
void table__encode_u64(uint64_t v, char out[8]);
bool table__decode_u64(Slice bytes, uint64_t *out);
void table__encode_state(const PartitionState *state, Buffer *out);
CHECKED Code table__decode_state(Slice bytes, PartitionState *out, Error *e);

typedef enum VersionKind { VERSION_LIVE = 1, VERSION_TOMBSTONE = 2 } VersionKind;
typedef struct VersionHeader {
    VersionKind kind;
    uint64_t prev_seq;      /* 0 = none */
    uint64_t superseded_by; /* history only */
    Slice row;
} VersionHeader;
/* rows: superseded_by is 0 and not written. */
void table__encode_row(const SeqKey *key, const VersionHeader *header, Buffer *out);
void table__encode_history(const SeqKey *key, const VersionHeader *header, Buffer *out);
CHECKED Code table__decode_row(Slice key, Slice value, VersionHeader *out, Error *e);
CHECKED Code table__decode_history(Slice key, Slice value, VersionHeader *out, Error *e);

/* Encoded primary key of an encoded row. E_CORRUPT when it does not decode. */
CHECKED Code table__key_of_row(const Schema *schema, Slice row, Arena *arena, Slice *out_key,
                               Error *e);

/* What is kept of a dropped table until its files are gone. Texts borrow from the bytes. */
void table__encode_dropped(const Table *table, Buffer *out);
CHECKED Code table__decode_dropped(Slice key, Slice value, Table *out, Error *e);

/* The lowest seq that lives in a STREAM at this moment; 0 for other tables. */
uint64_t table__ttl_floor(const Table *table);

/* ---- committer.c ---- */
typedef struct Committer Committer;
CHECKED Code committer_start(Database *db, uint64_t last_seq, Committer **out, Error *e);
/* Refuses new intents, ends the queued ones, joins. */
void committer_stop(Committer *committer);
void committer_free(Committer *committer);
CHECKED Code committer_submit(Committer *committer, Intent *intent, Error *e);
void committer_stats(Committer *committer, DatabaseStats *out);

/* ---- queue.c: intents that wait; under the committer's lock ---- */
enum { INTENT_LANES = 256 };
typedef struct IntentLane {
    Intent *head, *tail;
    size_t count;
    struct IntentLane *next_turn;
} IntentLane;
typedef struct IntentQueue {
    IntentLane lanes[INTENT_LANES];
    IntentLane *first_turn, *last_turn;
    size_t count;
} IntentQueue; /* empty: {0} */
/* False when it is full, or holds too many of this owner. */
bool queue__push(IntentQueue *queue, Intent *intent);
/* Whose turn it is; NULL when it is empty. */
Intent *queue__first(const IntentQueue *queue);
/* Takes the first one out; the next turn is somebody else's, if anybody else waits. */
void queue__pop(IntentQueue *queue);

/* ---- reopen.c: after a failed write; committer thread ---- */
enum { CEILING_AHEAD_MS = 3000 };
typedef struct KnownSeqs {
    uint64_t synced;    /* acknowledged and synced */
    uint64_t published; /* acknowledged, perhaps not synced */
    uint64_t doubted;   /* of the group whose write failed; 0 = there is none, or it is settled */
    uint64_t floor;     /* of a reopen__end after lost commits whose write failed; 0 = none */
} KnownSeqs;
typedef enum GroupFate {
    GROUP_ABSENT,
    GROUP_THERE,
    COMMITS_LOST, /* the group, and acknowledged commits that were not synced */
} GroupFate;
/* One try. After OK the store is open, readers are still shut out, and reopen__end must follow,
 * once what is in memory fits the fate. Else readers go on with what there is. */
CHECKED Code reopen__open(Database *db, int64_t patience_ms, const KnownSeqs *known, GroupFate *out,
                          Error *e);
/* Proves that writes work and lets readers in. After lost commits last_seq and async floor rise. */
CHECKED Code reopen__end(Database *db, GroupFate fate, KnownSeqs *io_known, Error *e);

/* ---- claims.c: who changes the layout of a partition has it for itself ---- */
typedef struct Claims Claims;
Claims *claims_new(void);
void claims_free(Claims *claims); /* accepts NULL; none may be taken */
/* E_CLAIMED when somebody has the partition for longer than that. */
CHECKED Code claims_take(Claims *claims, Partition partition, uint32_t wait_ms, Error *e);
void claims_release(Claims *claims, Partition partition);
Claims *database__claims(Database *db);

/* ---- due.c: what the committer notes in the due index ---- */
typedef struct DueNotes DueNotes;
DueNotes *due__notes_new(void);
void due__notes_free(DueNotes *notes); /* accepts NULL */
/* After the store was opened anew: what a doubted batch noted may not be there. */
void due__notes_forget(DueNotes *notes, uint64_t last_seq);
/* Where the committer writes. */
typedef struct DueWrite {
    Database *db;
    HotStore *hot;
    HotBatch *batch;
    int64_t now_us;
} DueWrite;
void due__note(DueNotes *notes, const DueWrite *to, const IntentPart *part, uint64_t commit_seq);
void due__settle(DueNotes *notes, const DueWrite *to, const DueSettle *settle, uint64_t read_seq);

/* ---- trust.c: which segment files were found good, or were written by this process ---- */
typedef struct Trust Trust;
Trust *trust_new(void);
void trust_free(Trust *trust); /* accepts NULL */
Trust *database__trust(Database *db);
void trust__written(Trust *trust, Partition partition, const struct SegmentEntry *entry);
/* ---- view.c, folder.c ---- */
Database *view__database(const ReadView *view);
/* The state as it is stored: view_partition raises feed low to the floors of the server. */
CHECKED Code view__stored_partition(ReadView *view, Partition partition, PartitionState *out,
                                    Error *e);
struct SegmentList;
CHECKED Code view__segment_list(ReadView *view, const Table *table, Partition partition,
                                const struct SegmentEntry *entries, size_t count, Arena *arena,
                                struct SegmentList *out, Error *e);
/* The folder of a partition's segments, relative to the storage folder. */
CHECKED Code table__folder(Database *db, HotSnapshot *snapshot, const Table *table,
                           Partition partition, Arena *arena, Slice *out, Error *e);
/* Adds a part without changes by the newest definition, so that the committer refuses the intent
 * when another comes before it. E_CANCELLED: the table was dropped. */
CHECKED Code table__add_newest_part(Database *db, Intent *intent, const Table *table,
                                    Partition partition, Error *e);
/* Visits every partition of a table that has a key in the family, in key order. */
CHECKED Code table__each_partition(Database *db, HotFamily family, const Table *table,
                                   Code (*visit)(void *context, Partition partition, Error *e),
                                   void *context, Error *e);
/* ---- obsolete.c ---- */
/* Lists a segment file for removal in the commit that stops naming it. */
void obsolete__add(Intent *intent, Partition partition, Slice folder,
                   const struct SegmentEntry *entry);
Pins *database__pins(Database *db);
SeqGenerator *database__generator(Database *db);
const ChangeSink *database__sinks(Database *db, size_t *out_count);
uint64_t database__async_floor(Database *db);
uint64_t database__feed_floor(Database *db);
void database__set_last_seq(Database *db, uint64_t seq);
void database__set_read_only(Database *db, bool is_read_only);
/* With last_seq; readers are shut out. */
void database__set_async_floor(Database *db, uint64_t floor);

/* Keys of the system family that table/ owns. */
#define SYSTEM_KEY_LAST_SEQ SLICE("last_seq")
#define SYSTEM_KEY_CEILING SLICE("seq_ceiling")
#define SYSTEM_KEY_FORMAT SLICE("format")
#define SYSTEM_KEY_CLEAN SLICE("clean_stop")
#define SYSTEM_KEY_ASYNC_FLOOR SLICE("async_floor")
#define SYSTEM_KEY_FEED_FLOOR SLICE("feed_floor")
#define BACKUP_MANIFEST_NAME "BACKUP"
enum {
    SYSTEM_PREFIX_PARTITION = 'p',
    SYSTEM_PREFIX_DROPPED = 'x',
    SYSTEM_PREFIX_OBSOLETE = 'o',
    FORMAT_VERSION = 1
};
