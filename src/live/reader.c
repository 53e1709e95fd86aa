/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading for one subscription: the first rows, what a resumed client missed, the changes since a
 * cursor. All of it goes in steps of bounded work, each on a ReadView of its own, so that nothing
 * is pinned while a client is slow. What a step found stands as messages in reader->out.
 *
 * I1. The first rows show commit at_seq however long they take: versions that died since are found
 *     in history, which is kept for the feed window.
 * I2. A resume sends two kinds of things in one seq order: rows that are live and match at at_seq
 *     and changed since the cursor, and a delete where a row that matched at the cursor stopped to
 *     match for the first time since. (Only one chain of versions of a key reaches back to the
 *     cursor: no key gets two deletes.) The client may leave after any message and come back with
 *     the largest seq it has seen, m:
 *     a. Each row it then has matched at m. Either it had it at the cursor, and the delete would
 *        have come had it stopped to match up to m; or it stood in a page, so it lived at
 *        at_seq >= m as it was. The next resume therefore finds that the row matched at its cursor,
 *        and sends the delete when it is gone. No ghosts.
 *     b. Each row that matched at m and still lives in that version has been sent. No holes.
 *     That is why a row that left and came back gets its delete too: between the two the client
 *     must not have it, for a resume from there would not look for it.
 *     The deletes are found ahead of the rows, but only so many: what a resume holds in memory
 *     does not grow with what was deleted.
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
    STEP_BYTES = 512 * 1024, /* of rows in memory for one past page */
    DELETE_SHARE = 64,       /* so many bytes of a step's budget for each delete found ahead */
    SKIP_MAX = 64,           /* changes passed over before the feed is opened anew */
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
    reader->is_ordered = query->order_count > 0;
    if (request->has_from && request->from > 0) { /* 0 is what a client has that has seen nothing */
        reader->from = reader->cursor = request->from;
        reader->next_seq = request->from + 1;
        reader->scanned_seq = request->from;
        reader->phase = features->replay ? READ_FEED : READ_RESUME_SCAN;
        reader->is_ordered = false; /* I2 is about one seq order */
    } else if (request->has_last_rows) {
        reader->last_rows = request->last_rows;
        reader->next_seq = UINT64_MAX;
        reader->phase = READ_LAST_ROWS;
    }
    return reader;
}

Reader *live__reader_anew(Reader *old, const LiveRequest *request, const LiveFeatures *features,
                          const Error *why)
{
    LiveRequest again = *request;
    if (why || old->resnapshot)
        again.has_from = false;
    Reader *reader = live__reader_new(old->query, old->id, &again, features);
    if (!request->has_options) { /* it never asked for rows: as if it had asked now */
        reader->phase = READ_FEED;
        reader->is_from_now = true;
    }
    reader->is_acked = old->is_acked;
    if (why) {
        reader->resnapshot = x_new(Error);
        *reader->resnapshot = *why;
    } else {
        reader->resnapshot = TAKE(old->resnapshot);
    }
    live__reader_free(old);
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
    live__ordered_free(reader->ordered);
    free(reader->resnapshot);
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

static void add_ack(Reader *reader, bool has_more, uint64_t cursor)
{
    size_t start = begin_message(reader);
    BatchControl control = {
        .has_more = has_more,
        .seq_text = reader->seq_text,
        .last_seq = reader->from,
        .total_rows = has_more ? 0 : reader->row_count,
    };
    live__add_ack(&reader->out, reader->id, reader->query, &control);
    end_message(reader, start, cursor);
    reader->is_acked = true;
}

/* Before anything else. Nothing has been sent yet: the acknowledgement tells the client the cursor
 * that it came with. */
static void begin_sending(Reader *reader, bool has_more, uint64_t cursor)
{
    reader->has_sent = true;
    if (!reader->is_acked)
        add_ack(reader, has_more, cursor);
    if (!reader->resnapshot)
        return;
    size_t start = begin_message(reader);
    live__add_resnapshot(&reader->out, reader->id, reader->resnapshot);
    end_message(reader, start, 0);
    free(reader->resnapshot);
    reader->resnapshot = NULL;
}

static void flush_page(Reader *reader, bool has_more)
{
    BatchControl control = {
        .batch_num = reader->batch_num++,
        .has_more = has_more,
        .seq_text = reader->seq_text,
        .last_seq = has_more ? reader->last_row_seq : reader->at_seq,
    };
    begin_sending(reader, has_more, 0);
    size_t start = begin_message(reader);
    live__add_batch(&reader->out, reader->id, buffer_slice(&reader->rows), &control);
    end_message(reader, start, has_more ? 0 : reader->at_seq);
    buffer_clear(&reader->rows);
    reader->row_count = 0;
}

void live__reader_end_page(Reader *reader)
{
    if (reader->row_count)
        flush_page(reader, true);
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

static Code add_ordered_row(Reader *reader, const PastRow *row, const Value *values, Arena *arena,
                            Error *e)
{
    buffer_clear(&reader->rows);
    TRY(live__add_row(&reader->rows, reader->query, values, row->seq, e));
    return live__ordered_add(reader->ordered, reader->query, values, row->seq,
                             buffer_slice(&reader->rows), arena, e);
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

static Code scan_match(Scan *scan, Slice row, uint64_t seq, bool *out, Error *e)
{
    const LiveQuery *query = scan->reader->query;
    Value *values = arena_new_array(scan->arena, Value, query->table->schema->column_count);
    TRY(row_decode(query->table->schema, row, values, e));
    return live__query_matches(query, values, seq, scan->arena, out, e);
}

/* What the version `seq` had replaced. */
static Code find_older(Scan *scan, uint64_t seq, Slice *out_row, uint64_t *out_seq, Error *e)
{
    const LiveQuery *query = scan->reader->query;
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    FeedChange change;
    bool end;
    TRY(feed_open(scan->view, query->table, query->partition, seq - 1, &feed, e));
    TRY(feed_next(feed, &end, &change, e));
    if (end || change.seq != seq)
        return fail(e, E_CORRUPT, "version %llu, which a change replaced, is missing",
                    (unsigned long long)seq);
    *out_row = arena_copy(scan->arena, change.old_row);
    *out_seq = change.old_seq;
    return OK;
}

/* I2: whether with this change a row that matched at the cursor stops to match for the first time.
 * Walks back only over versions that matched, so all walks of a scan together visit each version
 * once. */
static Code is_lost(Scan *scan, const FeedChange *change, bool *out, Error *e)
{
    uint64_t from = scan->reader->from, seq = change->old_seq;
    bool matches = false;
    Slice row = change->old_row.size ? change->old_row : change->new_row;
    *out = false;
    if (change->kind != CHANGE_DELETE)
        TRY(scan_match(scan, change->new_row, change->seq, &matches, e));
    if (matches || seq == 0)
        return OK; /* in the pages, or on its way there; or new */
    TRY(scan_match(scan, row, seq, &matches, e));
    if (scan->reader->query->table->kind == TABLE_STREAM && seq > from)
        return OK; /* rows of a STREAM are never updated; the birth may have expired */
    while (matches && seq > from) {
        TRY(find_older(scan, seq, &row, &seq, e));
        if (seq == 0)
            return OK; /* born since the cursor */
        TRY(scan_match(scan, row, seq, &matches, e));
    }
    *out = matches;
    return OK;
}

/* Whether all deletes below `before` were found. */
static bool is_scanned(const Reader *reader, uint64_t before)
{
    return reader->from == 0 || reader->scanned_seq >= reader->at_seq ||
           reader->scanned_seq >= before - 1;
}

static bool has_room(const Reader *reader, const ReadBudget *budget)
{
    return reader->delete_count <= budget->bytes / DELETE_SHARE;
}

static void add_delete(Reader *reader, uint64_t seq)
{
    if (reader->delete_count == reader->delete_capacity) {
        reader->delete_capacity = reader->delete_capacity ? reader->delete_capacity * 2 : 64;
        reader->deletes =
            (uint64_t *)x_grow(reader->deletes, reader->delete_capacity * sizeof(uint64_t));
    }
    reader->deletes[reader->delete_count++] = seq;
}

/* Finds the next deletes, as many as there is room and budget for. */
static Code scan_deletes(Reader *reader, ReadView *view, const ReadBudget *budget, size_t *io_rows,
                         Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    Scan scan = {reader, view, arena};
    const LiveQuery *query = reader->query;
    if (reader->delete_at == reader->delete_count)
        reader->delete_at = reader->delete_count = 0;
    TRY(feed_open(view, query->table, query->partition, reader->scanned_seq, &feed, e));
    while (has_room(reader, budget) && *io_rows < budget->rows) {
        FeedChange change;
        bool end, lost;
        TRY(feed_next(feed, &end, &change, e));
        if (end || change.seq > reader->at_seq) {
            reader->scanned_seq = reader->at_seq;
            return OK;
        }
        arena_reset(arena);
        TRY(is_lost(&scan, &change, &lost, e));
        if (lost)
            add_delete(reader, change.seq);
        reader->scanned_seq = change.seq;
        ++*io_rows;
    }
    return OK;
}

/* Before the pages, so that a client that reads slowly needs little of the feed afterwards. */
static Code step_resume_scan(Reader *reader, ReadView *view, const ReadBudget *budget,
                             size_t *io_rows, Error *e)
{
    if (reader->at_seq == 0)
        reader->at_seq = view_seq(view);
    TRY(scan_deletes(reader, view, budget, io_rows, e));
    if (!has_room(reader, budget) || is_scanned(reader, UINT64_MAX))
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

static bool has_delete_before(const Reader *reader, uint64_t seq)
{
    return reader->delete_at < reader->delete_count && reader->deletes[reader->delete_at] < seq;
}

static bool is_over(const Reader *reader, const ReadBudget *budget)
{
    return reader->out.size >= budget->bytes;
}

/* Sends deletes from delete_at on, as long as they are close together in the feed. */
static Code send_close_deletes(Reader *reader, ReadView *view, uint64_t before,
                               const ReadBudget *budget, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    const LiveQuery *query = reader->query;
    uint64_t after = reader->deletes[reader->delete_at] - 1;
    TRY(feed_open(view, query->table, query->partition, after, &feed, e));
    size_t skipped = 0;
    while (has_delete_before(reader, before) && skipped < SKIP_MAX && !is_over(reader, budget)) {
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
    return OK;
}

/* The deletes found below `before`, as the budget allows. */
static Code send_found(Reader *reader, ReadView *view, uint64_t before, const ReadBudget *budget,
                       Error *e)
{
    if (has_delete_before(reader, before)) {
        live__reader_end_page(reader);
        begin_sending(reader, true, 0);
    }
    while (has_delete_before(reader, before) && !is_over(reader, budget))
        TRY(send_close_deletes(reader, view, before, budget, e));
    return OK;
}

/* One step of reading: what it may cost, and has. */
typedef struct Step {
    ReadView *view;
    const ReadBudget *budget;
    size_t *rows;
} Step;

/* I2: the deletes that come before a row of seq `before`. With `*out_all` false the budget ended
 * first. */
static Code send_deletes(Reader *reader, const Step *step, uint64_t before, bool *out_all, Error *e)
{
    const ReadBudget *budget = step->budget;
    for (;;) {
        TRY(send_found(reader, step->view, before, budget, e));
        bool has_more = has_delete_before(reader, before);
        *out_all = !has_more && is_scanned(reader, before);
        if (*out_all || has_more || is_over(reader, budget) || *step->rows >= budget->rows)
            return OK;
        TRY(scan_deletes(reader, step->view, budget, step->rows, e));
    }
}

/* ---- pages ---- */

static Code add_page_rows(Reader *reader, const Step *step, const PastResult *page, Arena *arena,
                          bool *out_all, Error *e)
{
    Value *values = arena_new_array(arena, Value, reader->query->table->schema->column_count);
    for (size_t i = 0; i < page->count; i++) {
        const PastRow *row = &page->rows[i];
        bool matches, all;
        TRY(decode_match(reader, row, values, arena, &matches, e));
        if (!matches)
            continue;
        if (reader->is_ordered) {
            TRY(add_ordered_row(reader, row, values, arena, e));
            continue;
        }
        TRY(send_deletes(reader, step, row->seq, &all, e));
        if (!all) {
            reader->next_seq = row->seq;
            *out_all = false;
            return OK;
        }
        TRY(add_page_row(reader, row, values, e));
    }
    *out_all = true;
    return OK;
}

static Code step_rows(Reader *reader, ReadView *view, const ReadBudget *budget, size_t *io_rows,
                      Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Step step = {view, budget, io_rows};
    PastResult page;
    bool all;
    if (reader->is_ordered && !reader->ordered)
        reader->ordered = live__ordered_new(budget->ordered);
    TRY(read_past(reader, view, false, arena, &page, e));
    *io_rows += page.count + 1;
    fit_step(reader, &page);
    TRY(add_page_rows(reader, &step, &page, arena, &all, e));
    if (!all)
        return OK;
    reader->next_seq = page.more ? page.resume_seq : reader->at_seq + 1;
    if (page.more)
        return OK;
    TRY(send_deletes(reader, &step, UINT64_MAX, &all, e));
    if (!all)
        return OK;
    if (reader->is_ordered) {
        buffer_clear(&reader->rows);
        reader->row_count = live__ordered_take(reader->ordered, reader->query, &reader->rows);
        live__ordered_free(TAKE(reader->ordered));
    }
    flush_page(reader, false);
    reader->cursor = reader->at_seq;
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
    if (reader->is_from_now)
        reader->cursor = view_seq(view);
    TRY(feed_open(view, reader->query->table, reader->query->partition, reader->cursor, &feed, e));
    reader->is_from_now = false;
    begin_sending(reader, false, reader->cursor); /* a resume that is replayed has no pages */
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
    if (view_seq(view) < live__query_born(reader->query))
        return OK; /* the commit that makes the table is not published; the next view has it */
    while (!reader->reached && rows < budget->rows && reader->out.size < budget->bytes) {
        switch (reader->phase) {
        case READ_LAST_ROWS:
            TRY(step_last_rows(reader, view, &rows, e));
            break;
        case READ_RESUME_SCAN:
            TRY(step_resume_scan(reader, view, budget, &rows, e));
            break;
        case READ_ROWS:
            TRY(step_rows(reader, view, budget, &rows, e));
            break;
        case READ_FEED:
            TRY(step_feed(reader, view, budget, &rows, e));
            break;
        }
    }
    return OK;
}
