/* SPDX-License-Identifier: Apache-2.0
 *
 * The checks of verify.h, partition by partition, at one view. What must hold, per partition with
 * flush mark M, feed low L:
 *
 *   C1. Every record decodes, its checksum included. C2. Segments: keyed by their first seq, ranges
 *   disjoint, below M, batch numbers distinct and below the next one. C3. Segments: the file is
 *   there with its size; read whole, its checksum matches, its rows ascend within the range and are
 *   as
 *       many as the entry says.
 *   C4. A live row (hot at or above M, or in a segment without a dead record) has its head, and
 *   every head has such a row. The
 *       first half is checked row by row; keys differ, so equal counts per segment prove the
 *       second. STREAMs have no heads.
 *   C5. A version above L replaced one that history has, superseded by it; and the reverse. C6. A
 *   hot copy below M is in the range of a segment; a dead record names a later seq than its own.
 *   C7. A partition in which time makes work (changes above feed low, hot copies, dead rows) has an
 *   entry in the due index, once the
 *       policies of its table are known there; else nobody would ever trim it.
 *
 * A dead record without a row is no damage: a crash between the commits of a large compaction
 * leaves some. An expired version of a STREAM may be gone at any time.
 */
#include "table/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "table/table_int.h"

enum { PROBLEM_BYTES = 512, STOP_CHECK_RECORDS = 4096, SCAN_WAIT_MS = 60 * 1000 };

typedef struct Piece {
    SegmentEntry entry;
    uint64_t heads, live_rows;
    bool is_readable;
} Piece;

typedef struct Verify {
    Database *db;
    ReadView *view;
    const VerifyOptions *options;
    VerifyReport report;
    DuePartitions due;
    uint64_t visited;
    Arena *arena; /* of the partition */
    Arena *row;   /* of the record */
    /* the partition */
    const Table *table;
    Partition partition;
    Slice user_id; /* empty: of nobody, or not known */
    PartitionState state;
    uint64_t ttl_floor;
    uint64_t hot_heads, hot_rows;
    Piece *pieces;
    size_t piece_count;
} Verify;

/* ---- telling ---- */

static void tell(void *context, const char *text)
{
    Verify *v = (Verify *)context;
    if (v->report.problems++ < VERIFY_PROBLEMS_TOLD && v->options->on_problem)
        v->options->on_problem(v->options->context, text);
}

static unsigned long long number(uint64_t v)
{
    return v;
}

/* "app.t, user 7 ('alice'): "; how long that is. */
static size_t print_place(const Verify *v, char *text, size_t bytes)
{
    CLEANUP(buffer_done) Buffer place = {0};
    buffer_printf(&place, "%.*s.%.*s", SLICE_ARGS(v->table->namespace_name),
                  SLICE_ARGS(v->table->name));
    if (v->table->kind != TABLE_SHARED || v->partition.user)
        buffer_printf(&place, ", user %llu", number(v->partition.user));
    if (v->user_id.size)
        buffer_printf(&place, " ('%.*s')", SLICE_ARGS(v->user_id));
    buffer_add_text(&place, ": ");
    if (place.size >= bytes)
        return 0;
    memcpy(text, place.data, place.size);
    return place.size;
}

__attribute__((format(printf, 2, 3))) static void problem(Verify *v, const char *format, ...)
{
    char text[PROBLEM_BYTES];
    size_t start = v->table ? print_place(v, text, sizeof text) : 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + start, sizeof text - start, format, arguments);
    va_end(arguments);
    tell(v, text);
}

/* Called for every record: a person may stop the check. */
static Code next_record(Verify *v, Error *e)
{
    arena_reset(v->row);
    if (++v->visited % STOP_CHECK_RECORDS == 0 && v->options->is_stopped &&
        v->options->is_stopped(v->options->context))
        return fail(e, E_CANCELLED, "the check was stopped");
    return OK;
}

/* ---- reading ---- */

/* The value of p|seq; *out_found tells whether there is one. */
static Code get(Verify *v, HotFamily family, uint64_t seq, bool *out_found, Slice *out, Error *e)
{
    SeqKey key = table__seq_key(v->partition, seq);
    Code code = hot_get(view_snapshot(v->view), HOT_BLOCKING, family, table__key_slice(&key),
                        v->row, out, e);
    *out_found = code == OK;
    return code == E_NOT_FOUND ? OK : code;
}

/* The head of a key, 0 when it has none. */
static Code get_head(Verify *v, Slice key, uint64_t *out, Error *e)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    Slice value;
    table__add_head_key(&bytes, v->partition, key);
    Code code = hot_get(view_snapshot(v->view), HOT_BLOCKING, HOT_HEADS, buffer_slice(&bytes),
                        v->row, &value, e);
    *out = 0;
    if (code == E_NOT_FOUND)
        return OK;
    if (code == OK)
        (void)table__decode_u64(value,
                                out); /* a head that does not decode is told by the walk of heads */
    return code;
}

static Piece *piece_of(Verify *v, uint64_t seq)
{
    size_t low = 0, high = v->piece_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->pieces[middle].entry.max_seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < v->piece_count && v->pieces[low].entry.min_seq <= seq ? &v->pieces[low] : NULL;
}

static bool is_stream(const Verify *v)
{
    return v->table->kind == TABLE_STREAM;
}

typedef Code CheckRecord(Verify *v, uint64_t seq, Slice key, Slice value, Error *e);

/* Visits the records of a family of seq keys in the partition. */
static Code each_record(Verify *v, HotFamily family, CheckRecord *check, Error *e)
{
    SeqKey from = table__seq_key(v->partition, 0), to = table__seq_key(v->partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(v->view), HOT_BLOCKING, family,
                                        table__key_slice(&from), table__key_slice(&to), false);
    while (hot_next(it)) {
        Partition partition;
        uint64_t seq;
        TRY(next_record(v, e));
        if (!table__read_seq_key(hot_key(it), &partition, &seq))
            problem(v, "a key is damaged"); /* C1 */
        else
            TRY(check(v, seq, hot_key(it), hot_value(it), e));
    }
    return hot_iterator_end(it, e);
}

/* ---- segments: C2 and C3 ---- */

static int by_batch(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void check_batches(Verify *v)
{
    uint64_t *batches = arena_new_array(v->arena, uint64_t, v->piece_count + 1);
    for (size_t i = 0; i < v->piece_count; i++)
        batches[i] = v->pieces[i].entry.batch;
    qsort(batches, v->piece_count, sizeof *batches, by_batch);
    for (size_t i = 0; i < v->piece_count; i++) {
        if (i > 0 && batches[i] == batches[i - 1])
            problem(v, "two segments name batch-%llu.parquet", number(batches[i]));
        if (batches[i] >= v->state.next_batch)
            problem(v, "batch-%llu.parquet has a number that is still to be given out",
                    number(batches[i]));
    }
}

static void check_place(Verify *v, const Piece *piece, const Piece *before)
{
    const SegmentEntry *entry = &piece->entry;
    if (entry->min_seq > entry->max_seq || entry->row_count == 0 ||
        entry->row_count - 1 > entry->max_seq - entry->min_seq)
        problem(v, "batch-%llu.parquet has an impossible range", number(entry->batch));
    if (entry->max_seq >= v->state.flush_mark)
        problem(v, "batch-%llu.parquet reaches above the flush mark", number(entry->batch));
    if (before && before->entry.max_seq >= entry->min_seq)
        problem(v, "batch-%llu.parquet and batch-%llu.parquet overlap", number(before->entry.batch),
                number(entry->batch));
}

static Code add_piece(Verify *v, uint64_t seq, Slice key, Slice value, Error *e)
{
    (void)key;
    (void)e;
    SegmentEntry *entry;
    Error error = {0};
    v->report.segments++;
    if (segment_decode(value, v->arena, &entry, &error) != OK) { /* C1 */
        problem(v, "%s", error.text);
        return OK;
    }
    if (entry->min_seq != seq)
        problem(v, "the entry of batch-%llu.parquet is filed under a wrong seq",
                number(entry->batch));
    if ((v->piece_count & (v->piece_count - 1)) == 0) { /* a power of two: full */
        Piece *more = arena_new_array(v->arena, Piece, v->piece_count ? v->piece_count * 2 : 1);
        if (v->piece_count)
            memcpy(more, v->pieces, v->piece_count * sizeof *more);
        v->pieces = more;
    }
    v->pieces[v->piece_count] = (Piece){.entry = *entry};
    check_place(v, &v->pieces[v->piece_count],
                v->piece_count ? &v->pieces[v->piece_count - 1] : NULL);
    v->piece_count++;
    v->report.segment_rows += entry->row_count;
    v->report.segment_bytes += entry->size_bytes;
    return OK;
}

static Code check_files(Verify *v, Error *e)
{
    Slice folder;
    Error error = {0};
    if (v->piece_count == 0)
        return OK;
    if (table__folder(v->db, view_snapshot(v->view), v->table, v->partition, v->arena, &folder,
                      &error) != OK) {
        problem(v, "%s", error.text);
        return OK;
    }
    for (size_t i = 0; i < v->piece_count; i++) {
        const SegmentEntry *entry = &v->pieces[i].entry;
        const char *root = database_storage_folder(v->db);
        TRY(next_record(v, e));
        Code code = v->options->read_segments ? cold_segment_verify(root, folder, entry, &error)
                                              : cold_segment_check(root, folder, entry, &error);
        v->pieces[i].is_readable = code == OK;
        if (code != OK)
            problem(v, "%s", error.text);
    }
    return OK;
}

typedef struct Scan {
    Piece *piece;
    HotIterator *dead;
    bool has_dead;
    uint64_t dead_seq;
    uint64_t rows, last_seq;
} Scan;

/* Moves to the first dead record at or after `seq`. */
static bool is_dead(Scan *scan, uint64_t seq)
{
    Partition partition;
    while (scan->has_dead && scan->dead_seq < seq) {
        scan->has_dead = hot_next(scan->dead);
        if (scan->has_dead &&
            !table__read_seq_key(hot_key(scan->dead), &partition, &scan->dead_seq))
            scan->dead_seq = 0;
    }
    return scan->has_dead && scan->dead_seq == seq;
}

static Code check_cold_row(Verify *v, Scan *scan, uint64_t seq, const Value *values, Error *e)
{
    const SegmentEntry *entry = &scan->piece->entry;
    if (seq < entry->min_seq || seq > entry->max_seq || (scan->rows > 0 && seq <= scan->last_seq))
        problem(v, "batch-%llu.parquet: row %llu is out of place", number(entry->batch),
                number(seq));
    scan->rows++;
    scan->last_seq = seq;
    bool dead = is_dead(scan, seq);
    if (v->table->schema->key_index < 0)
        return OK;
    CLEANUP(buffer_done) Buffer key = {0};
    Error error = {0};
    if (key_encode(&values[v->table->schema->key_index], &key, &error) != OK) {
        problem(v, "batch-%llu.parquet: row %llu has no key", number(entry->batch), number(seq));
        return OK;
    }
    uint64_t head;
    TRY(get_head(v, buffer_slice(&key), &head, e));
    scan->piece->live_rows += !dead;
    if (!dead && head != seq) /* C4 */
        problem(v, "batch-%llu.parquet: row %llu lives but the head of its key is %llu",
                number(entry->batch), number(seq), number(head));
    if (dead && head == seq)
        problem(v, "batch-%llu.parquet: row %llu is dead but a head points at it",
                number(entry->batch), number(seq));
    return OK;
}

static Code scan_rows(Verify *v, ColdScan *cold, Scan *scan, Error *e)
{
    for (;;) {
        bool end = false;
        uint64_t seq = 0;
        const Value *values = NULL;
        Error error = {0};
        if (cold_scan_next(cold, &end, &seq, &values, &error) != OK) {
            problem(v, "batch-%llu.parquet: %s", number(scan->piece->entry.batch), error.text);
            return OK;
        }
        if (end)
            break;
        TRY(next_record(v, e));
        TRY(check_cold_row(v, scan, seq, values, e));
    }
    const SegmentEntry *entry = &scan->piece->entry;
    if (scan->rows != entry->row_count) /* C3 */
        problem(v, "batch-%llu.parquet has %llu rows, its entry says %llu", number(entry->batch),
                number(scan->rows), number(entry->row_count));
    if (!is_stream(v) && scan->piece->live_rows != scan->piece->heads) /* C4 */
        problem(v, "batch-%llu.parquet has %llu live rows, %llu heads point into it",
                number(entry->batch), number(scan->piece->live_rows), number(scan->piece->heads));
    return hot_iterator_end(scan->dead, e);
}

static Code read_piece(Verify *v, Piece *piece, Error *e)
{
    SegmentList list;
    ColdScan *cold = NULL;
    TRY(view__segment_list(v->view, v->table, v->partition, &piece->entry, 1, v->arena, &list, e));
    SeqKey from = table__seq_key(v->partition, piece->entry.min_seq);
    SeqKey to = table__seq_key(v->partition, piece->entry.max_seq + 1);
    Scan scan = {.piece = piece, .has_dead = true};
    Error error = {0};
    if (cold_scan_open(database_flush_engine(v->db), &list, v->table->schema, SCAN_WAIT_MS, &cold,
                       &error) != OK) {
        problem(v, "batch-%llu.parquet: %s", number(piece->entry.batch), error.text);
        return OK;
    }
    scan.dead = hot_iterator_open(view_snapshot(v->view), HOT_BLOCKING, HOT_DEAD,
                                  table__key_slice(&from), table__key_slice(&to), false);
    Code code = scan_rows(v, cold, &scan, e);
    hot_iterator_close(scan.dead);
    cold_scan_close(cold);
    return code;
}

/* ---- hot records: C4, C5, C6 ---- */

/* History must have what a version above feed low replaced. */
static Code check_replaced(Verify *v, uint64_t seq, uint64_t prev_seq, Error *e)
{
    bool found;
    Slice value;
    VersionHeader header;
    Error error = {0};
    if (prev_seq == 0 || seq <= v->state.feed_low || prev_seq < v->ttl_floor)
        return OK;
    TRY(get(v, HOT_HISTORY, prev_seq, &found, &value, e));
    SeqKey key = table__seq_key(v->partition, prev_seq);
    if (!found)
        problem(v, "version %llu replaced %llu, which history lacks", number(seq),
                number(prev_seq)); /* C5 */
    else if (table__decode_history(table__key_slice(&key), value, &header, &error) == OK &&
             header.superseded_by != seq)
        problem(v, "version %llu replaced %llu, which history says %llu did", number(seq),
                number(prev_seq), number(header.superseded_by));
    return OK;
}

/* The key of a row, after decoding all of it; false (and a problem told) when it does not
 * decode. */
static bool key_of(Verify *v, uint64_t seq, Slice row, Slice *out)
{
    Error error = {0};
    *out = (Slice){0};
    Code code;
    if (v->table->schema->key_index >= 0) {
        code = table__key_of_row(v->table->schema, row, v->row, out, &error);
    } else {
        Value *values = arena_new_array(v->row, Value, v->table->schema->column_count + 1);
        code = row_decode(v->table->schema, row, values, &error);
    }
    if (code != OK)
        problem(v, "version %llu: %s", number(seq), error.text); /* C1 */
    return code == OK;
}

static Code check_row(Verify *v, uint64_t seq, Slice key, Slice value, Error *e)
{
    VersionHeader header;
    Error error = {0};
    Slice row_key;
    uint64_t head = 0;
    bool is_hot = seq >= v->state.flush_mark;
    if (table__decode_row(key, value, &header, &error) != OK) {
        problem(v, "%s", error.text);
        return OK;
    }
    v->report.rows += header.kind == VERSION_LIVE;
    v->report.tombstones += header.kind == VERSION_TOMBSTONE;
    if (seq > v->report.seq)
        problem(v, "version %llu is newer than the newest commit", number(seq));
    TRY(check_replaced(v, seq, header.prev_seq, e));
    if (!key_of(v, seq, header.row, &row_key) || is_stream(v))
        return OK;
    TRY(get_head(v, row_key, &head, e));
    if (header.kind == VERSION_TOMBSTONE) {
        if (head != 0 && head <= seq)
            problem(v, "the key that %llu deleted still has the head %llu", number(seq),
                    number(head));
        return OK;
    }
    v->hot_rows += is_hot;
    if (head != seq) /* C4 */
        problem(v, "row %llu lives but the head of its key is %llu", number(seq), number(head));
    if (!is_hot && !piece_of(v, seq)) /* C6 */
        problem(v, "row %llu lies below the flush mark but in no segment", number(seq));
    return OK;
}

static Code check_history(Verify *v, uint64_t seq, Slice key, Slice value, Error *e)
{
    VersionHeader header;
    Error error = {0};
    Slice row_key;
    bool in_rows, in_history = false;
    v->report.history++;
    if (table__decode_history(key, value, &header, &error) != OK) {
        problem(v, "%s", error.text);
        return OK;
    }
    (void)key_of(v, seq, header.row, &row_key);
    TRY(check_replaced(v, seq, header.prev_seq, e));
    uint64_t by = header.superseded_by;
    if (by <= v->state.feed_low || by < v->ttl_floor)
        return OK;
    TRY(get(v, HOT_ROWS, by, &in_rows, &value, e));
    if (!in_rows)
        TRY(get(v, HOT_HISTORY, by, &in_history, &value, e));
    if (!in_rows && !in_history) /* C5 */
        problem(v, "history says %llu replaced %llu, but it is missing", number(by), number(seq));
    return OK;
}

static Code check_dead(Verify *v, uint64_t seq, Slice key, Slice value, Error *e)
{
    (void)key;
    (void)e;
    uint64_t at;
    v->report.dead++;
    if (!table__decode_u64(value, &at))
        problem(v, "the dead record of %llu is damaged", number(seq));
    else if (at <= seq || at > v->report.seq) /* C6 */
        problem(v, "the dead record of %llu names %llu as its end", number(seq), number(at));
    if (seq >= v->state.flush_mark)
        problem(v, "the dead record of %llu lies above the flush mark", number(seq));
    return OK;
}

/* ---- heads ---- */

static Code check_hot_head(Verify *v, uint64_t seq, Slice head_key, Error *e)
{
    bool found;
    Slice value, row_key;
    VersionHeader header;
    Error error = {0};
    v->hot_heads++;
    TRY(get(v, HOT_ROWS, seq, &found, &value, e));
    if (!found) {
        problem(v, "a head points at row %llu, which is missing", number(seq));
        return OK;
    }
    SeqKey key = table__seq_key(v->partition, seq);
    if (table__decode_row(table__key_slice(&key), value, &header, &error) != OK)
        return OK; /* told by the walk of rows */
    if (header.kind != VERSION_LIVE)
        problem(v, "a head points at %llu, which is a tombstone", number(seq));
    else if (table__key_of_row(v->table->schema, header.row, v->row, &row_key, &error) == OK &&
             !slice_equal(row_key, head_key))
        problem(v, "a head points at row %llu, which has another key", number(seq));
    return OK;
}

static Code check_cold_head(Verify *v, uint64_t seq, Error *e)
{
    bool dead;
    Slice value;
    Piece *piece = piece_of(v, seq);
    if (!piece) {
        problem(v, "a head points at row %llu, which is in no segment", number(seq));
        return OK;
    }
    piece->heads++;
    TRY(get(v, HOT_DEAD, seq, &dead, &value, e));
    if (dead)
        problem(v, "a head points at row %llu, which is dead", number(seq));
    return OK;
}

static Code check_heads(Verify *v, Error *e)
{
    SeqKey from = table__seq_key(v->partition, 0);
    SeqKey to = table__seq_key((Partition){v->partition.table_id, v->partition.user + 1}, 0);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(view_snapshot(v->view), HOT_BLOCKING, HOT_HEADS,
                          table__partition_slice(&from), table__partition_slice(&to), false);
    while (hot_next(it)) {
        uint64_t seq;
        Slice key = hot_key(it);
        TRY(next_record(v, e));
        v->report.heads++;
        if (!table__decode_u64(hot_value(it), &seq)) {
            problem(v, "a head is damaged"); /* C1 */
            continue;
        }
        if (seq < v->state.flush_mark)
            TRY(check_cold_head(v, seq, e));
        else
            TRY(check_hot_head(
                v, seq, slice_of(key.data + PARTITION_BYTES, key.size - PARTITION_BYTES), e));
    }
    return hot_iterator_end(it, e);
}

/* ---- partitions ---- */

static Code check_parts(Verify *v, Error *e)
{
    TRY(each_record(v, HOT_SEGMENTS, add_piece, e));
    check_batches(v);
    TRY(check_files(v, e));
    if (is_stream(v) && v->piece_count)
        problem(v, "a STREAM has segments");
    TRY(each_record(v, HOT_ROWS, check_row, e));
    TRY(each_record(v, HOT_HISTORY, check_history, e));
    TRY(each_record(v, HOT_DEAD, check_dead, e));
    TRY(check_heads(v, e));
    if (v->hot_heads != v->hot_rows)
        problem(v, "%llu heads point at hot rows, %llu live", number(v->hot_heads),
                number(v->hot_rows));
    for (size_t i = 0; v->options->read_segments && i < v->piece_count; i++) {
        if (v->pieces[i].is_readable)
            TRY(read_piece(v, &v->pieces[i], e));
    }
    return OK;
}

static Code check_owner(Verify *v, Error *e)
{
    User user;
    if (v->table->kind == TABLE_SHARED) {
        if (v->partition.user != 0)
            problem(v, "a SHARED table has rows of a user");
        return OK;
    }
    Error error = {0};
    Code code = catalog_get_user_by_id(view_snapshot(v->view), HOT_BLOCKING, v->partition.user,
                                       v->arena, &user, &error);
    if (code == E_IO)
        return fail(e, E_IO, "%s", error.text);
    if (code != OK)
        problem(v, "the catalog has no such user");
    else
        v->user_id = user.user_id;
    return OK;
}

/* What a dropped table leaves is the purge's; what no table ever owned is a problem. */
static Code check_unknown(Verify *v, Error *e)
{
    char key[5] = {SYSTEM_PREFIX_DROPPED};
    SeqKey place = table__seq_key(v->partition, 0);
    Slice value;
    memcpy(key + 1, place.bytes, 4);
    Code code = hot_get(view_snapshot(v->view), HOT_BLOCKING, HOT_SYSTEM, slice_of(key, 5), v->row,
                        &value, e);
    if (code == OK)
        return OK;
    key[0] = 't'; /* a table of this view that was dropped since */
    if (code == E_NOT_FOUND)
        code = hot_get(view_snapshot(v->view), HOT_BLOCKING, HOT_SYSTEM, slice_of(key, 5), v->row,
                       &value, e);
    if (code == E_NOT_FOUND) {
        problem(v, "there are records of table %u, which does not exist", v->partition.table_id);
        return OK;
    }
    return code;
}

static Code check_due(Verify *v, Error *e) /* C7 */
{
    Outlook outlook;
    uint64_t policy = 0;
    if (v->options->only || due_has(&v->due, v->partition))
        return OK; /* tables that a restore fills get entries when they appear */
    TRY(due_policy_at(view_snapshot(v->view), v->table->id, &policy, e));
    if (!policy)
        return OK;
    Code code = flush_outlook_at(v->view, v->table, v->partition, &outlook, e);
    if (code != OK)
        return code == E_CORRUPT ? OK : code; /* what is damaged was told */
    if (outlook.change_seq || outlook.has_stale_copies || outlook.has_dead)
        problem(v,
                "the due index has no entry, so nothing is trimmed, expired or compacted by time");
    return OK;
}

static Code check_partition(Verify *v, Partition partition, Error *e)
{
    Error error = {0};
    arena_reset(v->arena);
    arena_reset(v->row);
    v->partition = partition;
    v->user_id = (Slice){0};
    v->pieces = NULL;
    v->piece_count = 0;
    v->hot_heads = v->hot_rows = 0;
    CLEANUP(table_unref_ptr) Table *found = NULL;
    const VerifyOptions *options = v->options;
    if (!options->only)
        found = catalog_find_table_by_id(database_catalog(v->db), partition.table_id);
    v->table = options->only ? &options->only[partition.table_id - options->only[0].id] : found;
    if (!v->table)
        return check_unknown(v, e);
    v->ttl_floor = table__ttl_floor(v->table);
    v->report.partitions++;
    Code code = view_partition(v->view, v->table, partition, &v->state, &error);
    if (code == E_CORRUPT) {
        problem(v, "%s", error.text);
        code = OK;
    } else if (code != OK) {
        code = fail(e, code, "%s", error.text);
    } else {
        code = check_owner(v, e);
        if (code == OK)
            code = check_parts(v, e);
        if (code == OK)
            code = check_due(v, e);
    }
    v->table = NULL;
    return code;
}

/* The first partition at or after *io that has a record in any family; false when there is none. */
static bool find_partition(HotIterator **iterators, size_t count, Partition *io)
{
    SeqKey at = table__seq_key(*io, 0);
    bool found = false;
    Slice best = {0};
    for (size_t i = 0; i < count; i++) {
        hot_seek(iterators[i], table__partition_slice(&at));
        if (!hot_next(iterators[i]) || hot_key(iterators[i]).size < PARTITION_BYTES)
            continue;
        Slice prefix = slice_of(hot_key(iterators[i]).data, PARTITION_BYTES);
        if (!found || slice_compare(prefix, best) < 0)
            best = prefix;
        found = true;
    }
    if (!found)
        return false;
    Cursor c = cursor_of(best);
    return cursor_u32(&c, &io->table_id) && cursor_u64(&c, &io->user);
}

static Code each_partition(Verify *v, Error *e)
{
    static const HotFamily families[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD, HOT_SEGMENTS};
    enum { COUNT = sizeof families / sizeof *families };
    const VerifyOptions *options = v->options;
    uint32_t first = options->only ? options->only[0].id : 0;
    uint32_t end = options->only ? first + (uint32_t)options->only_count : UINT32_MAX;
    SeqKey from = table__seq_key((Partition){first, 0}, 0),
           to = table__seq_key((Partition){end, 0}, 0);
    HotIterator *iterators[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        iterators[i] = hot_iterator_open(view_snapshot(v->view), HOT_BLOCKING, families[i],
                                         table__key_slice(&from), table__key_slice(&to), false);
    Code code = OK;
    for (Partition partition = {first, 0};
         code == OK && find_partition(iterators, COUNT, &partition);) {
        code = check_partition(v, partition, e);
        if (partition.user++ == UINT64_MAX)
            partition = (Partition){partition.table_id + 1, 0};
    }
    for (size_t i = 0; i < COUNT; i++) {
        if (code == OK)
            code = hot_iterator_end(iterators[i], e);
        hot_iterator_close(iterators[i]);
    }
    return code;
}

static Code run(Verify *v, Error *e)
{
    Table **tables;
    size_t count;
    if (v->options->only)
        return v->options->only_count ? each_partition(v, e) : OK;
    TRY(catalog_verify(view_snapshot(v->view), tell, v, &v->report.users, e));
    catalog_list_tables(database_catalog(v->db), v->arena, &tables, &count);
    v->report.tables = count;
    for (size_t i = 0; i < count; i++)
        table_unref(tables[i]);
    TRY(due_partitions(view_snapshot(v->view), &v->due, e));
    return each_partition(v, e);
}

Code database_verify(Database *db, const VerifyOptions *options, VerifyReport *out, Error *e)
{
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(arena_free_ptr) Arena *row = arena_new();
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    Verify verify = {.db = db, .view = view, .options = options, .arena = arena, .row = row};
    verify.report.seq = view_seq(view);
    Code code = run(&verify, e);
    due_partitions_done(&verify.due);
    if (code == OK)
        *out = verify.report;
    return code;
}
