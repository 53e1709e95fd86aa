/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading for one subscription: the first rows, what a resumed client missed, the changes since a
 * cursor. All of it goes in steps of bounded work, each on a ReadView of its own, so that nothing is pinned
 * while a client is slow. What a step found stands as messages in reader->out.
 *
 * I1. The first rows show commit at_seq however long they take: versions that died since are found in
 *     history, which is kept for the feed window.
 * I2. On resume each key is in the pages or in the deletes or in neither. The pages hold rows that are live
 *     and match at at_seq and changed since the cursor. A delete is sent for the end of a chain of
 *     versions that matched at the cursor, when its key is not in the pages. Only one chain of a key can reach back
 *     to the cursor, so no key gets two deletes.
 * I3. reader->cursor moves only over changes whose messages are in `out`.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "data/row.h"
#include "live/reader_int.h"

enum {
    PAGE_ROWS_DEFAULT = 1000,
    PAGE_BYTES_MAX = 256 * 1024, /* a page of large rows ends early */
    STEP_ROWS_FIRST = 16, /* rows asked of the first past page, while their size is unknown */
    STEP_ROWS_MAX = 1000,
    STEP_BYTES = 512 * 1024,   /* of rows in memory for one past page */
    DELETES_MAX = 1000 * 1000, /* more, and a resume is told to start anew */
    SKIP_MAX = 64,             /* changes passed over before the feed is opened anew */
};

/* ---- life ---- */

static Reader *reader_new(LiveQuery *query, Slice id)
{
    Reader *reader = x_new(Reader);
    reader->query = live__query_ref(query);
    reader->id = id;
    reader->step_rows = STEP_ROWS_FIRST;
    return reader;
}

Reader *live__reader_new(LiveQuery *query, Slice id, const LiveRequest *request,
                         const LiveFeatures *features)
{
    Reader *reader = reader_new(query, id);
    uint64_t rows =
        request->has_batch_size && request->batch_size ? request->batch_size : PAGE_ROWS_DEFAULT;
    reader->page_rows = (uint32_t)(rows < LIVE_PAGE_ROWS_MAX ? rows : LIVE_PAGE_ROWS_MAX);
    reader->seq_text = features->seq_text;
    reader->phase = READ_ROWS;
    if (request->has_from && request->from > 0) { /* 0 is what a client has that has seen nothing */
        reader->is_resume = true;
        reader->from = reader->cursor = request->from;
        reader->next_seq = request->from + 1;
        reader->phase = features->replay ? READ_FEED : READ_RESUME_SCAN;
    } else if (request->has_last_rows) {
        reader->last_rows = request->last_rows;
        reader->next_seq = UINT64_MAX;
        reader->phase = READ_LAST_ROWS;
    }
    return reader;
}

Reader *live__reader_feed(LiveQuery *query, Slice id, uint64_t cursor)
{
    Reader *reader = reader_new(query, id);
    reader->phase = READ_FEED;
    reader->is_acked = true;
    reader->cursor = cursor;
    return reader;
}

void live__reader_free(Reader *reader)
{
    if (!reader)
        return;
    live__query_unref(reader->query);
    buffer_done(&reader->rows);
    buffer_done(&reader->out);
    free(reader->deletes);
    free(reader);
}

/* ---- messages ---- */

/* The head is filled in when the bytes are there. */
static size_t begin_message(Reader *reader)
{
    MessageHead head = {0};
    size_t start = reader->out.size;
    buffer_add(&reader->out, &head, sizeof head);
    return start;
}

static void end_message(Reader *reader, size_t start, uint64_t cursor)
{
    MessageHead head = {cursor, reader->out.size - start - sizeof head};
    memcpy(reader->out.data + start, &head, sizeof head);
}

static void add_ack(Reader *reader, const BatchControl *control, uint64_t cursor)
{
    size_t start = begin_message(reader);
    live__add_ack(&reader->out, reader->id, reader->query, control);
    end_message(reader, start, cursor);
    reader->is_acked = true;
}

static void flush_page(Reader *reader, bool has_more)
{
    /* While deletes are still to come, a client that leaves now must come back with its old cursor. */
    bool keeps_cursor = reader->is_resume && reader->delete_count > 0;
    BatchControl control = {
        .batch_num = reader->batch_num++,
        .has_more = has_more,
        .seq_text = reader->seq_text,
        .last_seq = keeps_cursor ? reader->from
                    : has_more   ? reader->last_row_seq
                                 : reader->at_seq,
    };
    if (!reader->is_acked)
        add_ack(reader, &control, 0);
    size_t start = begin_message(reader);
    live__add_batch(&reader->out, reader->id, buffer_slice(&reader->rows), &control);
    end_message(reader, start, has_more || keeps_cursor ? 0 : reader->at_seq);
    buffer_clear(&reader->rows);
    reader->row_count = 0;
}

static Code add_change(Reader *reader, LiveEvent event, const LiveChange *change, uint64_t cursor,
                       Error *e)
{
    size_t start = begin_message(reader);
    live__add_change_head(&reader->out, reader->id);
    Code code = live__add_change_body(&reader->out, reader->query, event, change, e);
    if (code != OK) {
        reader->out.size = start;
        return code;
    }
    end_message(reader, start, cursor);
    return OK;
}

/* ---- rows as they were at at_seq ---- */

/* One page of the past, ascending from next_seq or descending from it. */
static Code read_past(Reader *reader, ReadView *view, bool descending, Arena *arena,
                      PastResult *out, Error *e)
{
    if (reader->at_seq == 0)
        reader->at_seq = view_seq(view);
    PastRange range = {
        .at_seq = reader->at_seq,
        .min_seq = descending ? 0 : reader->next_seq,
        .max_seq = descending ? reader->next_seq : reader->at_seq,
        .limit = reader->step_rows,
        .descending = descending,
    };
    if (range.max_seq > reader->at_seq)
        range.max_seq = reader->at_seq;
    *out = (PastResult){0};
    if (range.min_seq > range.max_seq)
        return OK;
    return view_past_page(view, reader->query->table, reader->query->partition, &range, arena, out,
                          e);
}

/* The next page asks for as many rows of this size as fit in STEP_BYTES. */
static void fit_step(Reader *reader, const PastResult *page)
{
    size_t bytes = 0;
    for (size_t i = 0; i < page->count; i++)
        bytes += page->rows[i].row.size;
    size_t each = page->count ? bytes / page->count + 1 : 1;
    size_t rows = STEP_BYTES / each;
    reader->step_rows = rows < 1 ? 1 : rows > STEP_ROWS_MAX ? STEP_ROWS_MAX : rows;
}

static Code decode_match(Reader *reader, const PastRow *row, Value *values, Arena *arena, bool *out,
                         Error *e)
{
    TRY(row_decode(reader->query->table->schema, row->row, values, e));
    return live__query_matches(reader->query, values, row->seq, arena, out, e);
}

static Code add_page_row(Reader *reader, const PastRow *row, const Value *values, Error *e)
{
    if (reader->row_count == reader->page_rows || reader->rows.size >= PAGE_BYTES_MAX)
        flush_page(reader, true);
    size_t start = reader->rows.size;
    if (reader->row_count)
        buffer_add_char(&reader->rows, ',');
    Code code = live__add_row(&reader->rows, reader->query, values, row->seq, e);
    if (code != OK) {
        reader->rows.size = start;
        return code;
    }
    reader->row_count++;
    reader->last_row_seq = row->seq;
    return OK;
}

static Code step_rows(Reader *reader, ReadView *view, size_t *io_rows, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PastResult page;
    TRY(read_past(reader, view, false, arena, &page, e));
    Value *values = arena_new_array(arena, Value, reader->query->table->schema->column_count);
    for (size_t i = 0; i < page.count; i++) {
        bool matches;
        TRY(decode_match(reader, &page.rows[i], values, arena, &matches, e));
        if (matches)
            TRY(add_page_row(reader, &page.rows[i], values, e));
    }
    *io_rows += page.count + 1;
    fit_step(reader, &page);
    if (page.more) {
        reader->next_seq = page.resume_seq;
        return OK;
    }
    flush_page(reader, false);
    reader->cursor = reader->at_seq;
    reader->phase = reader->delete_count ? READ_DELETES : READ_FEED;
    return OK;
}

/* Counts back from the newest row until n match; the pages begin there. */
static Code step_last_rows(Reader *reader, ReadView *view, size_t *io_rows, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    PastResult page;
    if (reader->last_rows < reader->step_rows)
        reader->step_rows =
            reader->last_rows < STEP_ROWS_FIRST ? STEP_ROWS_FIRST : (size_t)reader->last_rows;
    TRY(read_past(reader, view, true, arena, &page, e));
    Value *values = arena_new_array(arena, Value, reader->query->table->schema->column_count);
    uint64_t first_seq = reader->at_seq + 1;
    for (size_t i = 0; i < page.count && reader->found < reader->last_rows; i++) {
        bool matches;
        TRY(decode_match(reader, &page.rows[i], values, arena, &matches, e));
        if (matches && ++reader->found == reader->last_rows)
            first_seq = page.rows[i].seq;
    }
    *io_rows += page.count + 1;
    fit_step(reader, &page);
    if (reader->found == reader->last_rows || !page.more) {
        reader->next_seq = reader->found == reader->last_rows ? first_seq : 0;
        reader->phase = READ_ROWS;
        return OK;
    }
    reader->next_seq = page.resume_seq;
    return OK;
}

/* ---- resume: what went out of sight ---- */

typedef struct Scan {
    Reader *reader;
    ReadView *view;
    Arena *arena; /* of one change */
} Scan;

static Code scan_match(Scan *scan, Slice row, uint64_t seq, Value **out_values, bool *out, Error *e)
{
    const LiveQuery *query = scan->reader->query;
    *out_values = arena_new_array(scan->arena, Value, query->table->schema->column_count);
    TRY(row_decode(query->table->schema, row, *out_values, e));
    return live__query_matches(query, *out_values, seq, scan->arena, out, e);
}

/* Follows the chain of a change back to the version that lived at the cursor. *out_seq 0: the key's chain began later. */
static Code find_origin(Scan *scan, const FeedChange *change, Slice *out_row, uint64_t *out_seq,
                        Error *e)
{
    const LiveQuery *query = scan->reader->query;
    uint64_t seq = change->old_seq;
    Slice row = arena_copy(scan->arena, change->old_row);
    if (query->table->kind == TABLE_STREAM && seq > scan->reader->from)
        seq = 0; /* rows of a STREAM are born once and never updated; the birth may have expired */
    while (seq > scan->reader->from) {
        CLEANUP(feed_close_ptr) Feed *feed = NULL;
        FeedChange older;
        bool end;
        TRY(feed_open(scan->view, query->table, query->partition, seq - 1, &feed, e));
        TRY(feed_next(feed, &end, &older, e));
        if (end || older.seq != seq)
            return fail(e, E_CORRUPT, "the version that change %llu replaced is missing",
                        (unsigned long long)change->seq);
        seq = older.old_seq;
        row = arena_copy(scan->arena, older.old_row);
    }
    *out_row = row;
    *out_seq = seq;
    return OK;
}

/* Whether the key of a deleted row has come back and is in the pages. */
static Code is_back(Scan *scan, const Value *values, bool *out, Error *e)
{
    const LiveQuery *query = scan->reader->query;
    *out = false;
    if (query->table->kind == TABLE_STREAM)
        return OK;
    CLEANUP(buffer_done) Buffer key = {0};
    TRY(key_encode(&values[query->table->schema->key_index], &key, e));
    Version version;
    Code code = view_find(scan->view, query->table, query->partition, buffer_slice(&key),
                          scan->arena, &version, e);
    if (code == E_NOT_FOUND)
        return OK;
    if (code != OK)
        return code;
    if (!version.has_row)
        TRY(view_load_cold(scan->view, query->table, query->partition, scan->arena, &version, e));
    Value *current;
    return scan_match(scan, version.row, version.seq, &current, out, e);
}

/* I2: whether this change is the end of a chain whose key the client has and must lose. */
static Code is_lost(Scan *scan, const FeedChange *change, bool *out, Error *e)
{
    *out = false;
    if (change->superseded || change->old_seq == 0)
        return OK;
    Value *values;
    bool matches, came_back = false;
    TRY(scan_match(scan, change->new_row, change->seq, &values, &matches, e));
    if (change->kind != CHANGE_DELETE && matches)
        return OK; /* in the pages */
    Slice origin;
    uint64_t origin_seq = 0;
    TRY(find_origin(scan, change, &origin, &origin_seq, e));
    if (origin_seq == 0)
        return OK;
    Value *before;
    TRY(scan_match(scan, origin, origin_seq, &before, &matches, e));
    if (!matches)
        return OK;
    if (change->kind == CHANGE_DELETE)
        TRY(is_back(scan, values, &came_back, e));
    *out = !came_back;
    return OK;
}

static Code add_delete(Reader *reader, uint64_t seq, Error *e)
{
    if (reader->delete_count == DELETES_MAX)
        return fail(e, E_CURSOR_TOO_OLD,
                    "more than %d rows were deleted since the cursor; subscribe again without it",
                    DELETES_MAX);
    if (reader->delete_count == reader->delete_capacity) {
        reader->delete_capacity = reader->delete_capacity ? reader->delete_capacity * 2 : 64;
        reader->deletes =
            (uint64_t *)x_grow(reader->deletes, reader->delete_capacity * sizeof(uint64_t));
    }
    reader->deletes[reader->delete_count++] = seq;
    return OK;
}

/* Reads the whole range through one view: what is the end of a chain depends on it. */
static Code step_resume_scan(Reader *reader, ReadView *view, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    Scan scan = {reader, view, arena};
    TRY(feed_open(view, reader->query->table, reader->query->partition, reader->from, &feed, e));
    for (;;) {
        FeedChange change;
        bool end, lost;
        TRY(feed_next(feed, &end, &change, e));
        if (end)
            break;
        arena_reset(arena);
        TRY(is_lost(&scan, &change, &lost, e));
        if (lost)
            TRY(add_delete(reader, change.seq, e));
    }
    reader->at_seq = view_seq(view);
    reader->phase = READ_ROWS;
    return OK;
}

static Code send_delete(Reader *reader, const FeedChange *found, Arena *arena, Error *e)
{
    LiveChange change;
    const Schema *schema = reader->query->table->schema;
    TRY(live__change_decode(schema, CHANGE_DELETE, found->seq, found->old_seq, found->new_row,
                            found->old_row, arena, &change, e));
    return add_change(reader, LIVE_EVENT_DELETE, &change, 0, e); /* others are still to come */
}

/* A change can leave the feed while it waits here: in a STREAM, when its row's time is over. */
static Code check_expired(const Reader *reader, Error *e)
{
    if (reader->query->table->kind == TABLE_STREAM)
        return OK;
    return fail(e, E_CORRUPT, "change %llu is missing from the feed",
                (unsigned long long)reader->deletes[reader->delete_at]);
}

/* Sends deletes from delete_at on, as long as they are close together in the feed. */
static Code step_deletes(Reader *reader, ReadView *view, const ReadBudget *budget, size_t *io_rows,
                         Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    const LiveQuery *query = reader->query;
    uint64_t after = reader->deletes[reader->delete_at] - 1;
    TRY(feed_open(view, query->table, query->partition, after, &feed, e));
    size_t skipped = 0;
    while (reader->delete_at < reader->delete_count && skipped < SKIP_MAX &&
           reader->out.size < budget->bytes) {
        FeedChange found;
        bool end;
        TRY(feed_next(feed, &end, &found, e));
        if (!end && found.seq < reader->deletes[reader->delete_at]) {
            skipped++;
            continue;
        }
        if (end || found.seq > reader->deletes[reader->delete_at]) {
            TRY(check_expired(reader, e));
            reader->delete_at++;
            break;
        }
        arena_reset(arena);
        TRY(send_delete(reader, &found, arena, e));
        reader->delete_at++;
        skipped = 0;
    }
    *io_rows += 1 + skipped;
    if (reader->delete_at == reader->delete_count)
        reader->phase = READ_FEED;
    return OK;
}

/* ---- the feed ---- */

static Code feed_change(Reader *reader, const FeedChange *found, Arena *arena, Error *e)
{
    LiveChange change;
    LiveEvent event;
    const Schema *schema = reader->query->table->schema;
    TRY(live__change_decode(schema, found->kind, found->seq, found->old_seq, found->new_row,
                            found->old_row, arena, &change, e));
    TRY(live__query_event(reader->query, &change, arena, &event, e));
    return event == LIVE_EVENT_NONE ? OK : add_change(reader, event, &change, found->seq, e);
}

static Code step_feed(Reader *reader, ReadView *view, const ReadBudget *budget, size_t *io_rows,
                      Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    TRY(feed_open(view, reader->query->table, reader->query->partition, reader->cursor, &feed, e));
    if (!reader->is_acked) /* a resume that is replayed has no pages */
        add_ack(reader, &(BatchControl){.seq_text = reader->seq_text, .last_seq = reader->cursor},
                reader->cursor);
    while (*io_rows < budget->rows && reader->out.size < budget->bytes) {
        FeedChange found;
        bool end;
        TRY(feed_next(feed, &end, &found, e));
        if (end) {
            reader->cursor = view_seq(view);
            reader->reached = true;
            return OK;
        }
        arena_reset(arena);
        TRY(feed_change(reader, &found, arena, e));
        reader->cursor = found.seq; /* I3 */
        ++*io_rows;
    }
    return OK;
}

Code live__reader_step(Reader *reader, Database *db, const ReadBudget *budget, Error *e)
{
    must(budget->mode == HOT_BLOCKING || reader->phase == READ_FEED);
    size_t rows = 0;
    reader->reached = false;
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    TRY(view_open(db, budget->mode, &view, e));
    TRY(live__query_check(reader->query, db, e));
    while (!reader->reached && rows < budget->rows && reader->out.size < budget->bytes) {
        switch (reader->phase) {
        case READ_LAST_ROWS:
            TRY(step_last_rows(reader, view, &rows, e));
            break;
        case READ_RESUME_SCAN:
            TRY(step_resume_scan(reader, view, e));
            break;
        case READ_ROWS:
            TRY(step_rows(reader, view, &rows, e));
            break;
        case READ_DELETES:
            TRY(step_deletes(reader, view, budget, &rows, e));
            break;
        case READ_FEED:
            TRY(step_feed(reader, view, budget, &rows, e));
            break;
        }
    }
    return OK;
}
