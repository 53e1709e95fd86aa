/* SPDX-License-Identifier: Apache-2.0
 *
 * The state of a partition as it was at an earlier commit, page by page, over both tiers.
 *
 * A version lived at commit A when seq <= A and nothing replaced it up to A. Such versions are
 *   in rows      seq <= A, not a tombstone          (the newest version: nothing replaced it)
 *   in history   seq <= A < superseded_by
 *   in segments  seq <= A and not dead, or dead only after A
 * A version of a segment may also be in rows (its hot copy) or in history (it died since): the
 * merge takes one of equal seqs. Below the flush mark rows may be gone from the hot tier, so
 * segments are read there, and only there.
 *
 * I1. A lies at or above feed low, so no version that lived at A has left history.
 * I2. What history holds was superseded at or before the view's commit: none of it lives there, and
 *     at A = view_seq it need not be read.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "table/table_int.h"

typedef struct PastSource {
    HotIterator *iterator; /* rows or history; NULL for the cold source */
    bool is_history;
    ColdRow *cold; /* cold source: rows already filtered */
    size_t cold_count, cold_at;
    bool has_entry;
    uint64_t seq;
    Slice row;
} PastSource;

typedef struct PastPage {
    ReadView *view;
    const Table *table;
    Partition partition;
    const PastRange *range;
    Arena *arena;
    PastSource sources[3];
    size_t source_count;
    /* the cold source is complete only up to here (inclusive, in walk direction) */
    uint64_t cold_limit_seq;
    bool cold_is_cut;
} PastPage;

/* Moves a hot source to its next version that lived at the commit. */
static Code advance_hot(PastSource *source, uint64_t at_seq, Error *e)
{
    source->has_entry = false;
    while (hot_next(source->iterator)) {
        VersionHeader header;
        Partition partition;
        Slice key = hot_key(source->iterator), value = hot_value(source->iterator);
        TRY(source->is_history ? table__decode_history(key, value, &header, e)
                               : table__decode_row(key, value, &header, e));
        if (header.kind == VERSION_TOMBSTONE ||
            (source->is_history && header.superseded_by <= at_seq))
            continue;
        must(table__read_seq_key(key, &partition, &source->seq));
        source->row = header.row;
        source->has_entry = true;
        return OK;
    }
    return hot_iterator_end(source->iterator, e);
}

static Code advance(PastPage *page, PastSource *source, Error *e)
{
    if (source->iterator)
        return advance_hot(source, page->range->at_seq, e);
    source->has_entry = source->cold_at < source->cold_count;
    if (!source->has_entry)
        return OK;
    ColdRow *row = &source->cold[source->cold_at++];
    CLEANUP(buffer_done) Buffer bytes = {0};
    row_encode(page->table->schema, row->values, &bytes);
    source->seq = row->seq;
    source->row = arena_copy(page->arena, buffer_slice(&bytes));
    return OK;
}

static void close_page(PastPage *page)
{
    for (size_t i = 0; i < page->source_count; i++)
        hot_iterator_close(page->sources[i].iterator);
}

static void add_hot_source(PastPage *page, HotFamily family, uint64_t from, uint64_t to)
{
    SeqKey lower = table__seq_key(page->partition, from);
    SeqKey upper = table__seq_key(page->partition, to == UINT64_MAX ? to : to + 1);
    PastSource *source = &page->sources[page->source_count++];
    *source = (PastSource){.is_history = family == HOT_HISTORY};
    source->iterator = hot_iterator_open(view_snapshot(page->view), view_mode(page->view), family,
                                         table__key_slice(&lower), table__key_slice(&upper),
                                         page->range->descending);
}

/* Reads one page of segment rows in the range and keeps those that lived at the commit. */
static Code read_cold(PastPage *page, uint64_t from, uint64_t to, Error *e)
{
    SegmentEntry *entries;
    size_t count;
    TRY(view_segments(page->view, page->partition, from, to, page->arena, &entries, &count, e));
    if (count == 0)
        return OK;
    if (view_mode(page->view) == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "segments are read by workers");
    SegmentList list;
    TRY(view_check_segments(page->view, page->table, page->partition, entries, count, e));
    TRY(view__segment_list(page->view, page->table, page->partition, entries, count, page->arena,
                           &list, e));
    ColdRange range = {
        .min_seq = from,
        .max_seq = to,
        .limit = page->range->limit + 1,
        .descending = page->range->descending,
        .wait_ms = 10000,
        .timeout_ms = 30000,
    };
    ColdRow *rows = NULL;
    uint32_t row_count = 0;
    uint64_t pin = view_pin_files(page->view);
    Code code = cold_read_range(database_engine(view__database(page->view)), &list,
                                page->table->schema, &range, page->arena, &rows, &row_count, e);
    view_unpin_files(view__database(page->view), pin);
    if (code != OK)
        return code;
    page->cold_is_cut = row_count == range.limit;
    if (page->cold_is_cut)
        page->cold_limit_seq = rows[row_count - 1].seq;
    size_t kept = 0;
    for (uint32_t i = 0; i < row_count; i++) {
        uint64_t dead_at;
        TRY(view_dead_at(page->view, page->partition, rows[i].seq, &dead_at, e));
        if (dead_at == 0 || dead_at > page->range->at_seq)
            rows[kept++] = rows[i];
    }
    page->sources[page->source_count++] = (PastSource){.cold = rows, .cold_count = kept};
    return OK;
}

static Code open_sources(PastPage *page, Error *e)
{
    const PastRange *range = page->range;
    PartitionState state;
    TRY(view_partition(page->view, page->table, page->partition, &state, e));
    if (range->at_seq < state.feed_low || range->at_seq < table_open_since(page->table)) /* I1 */
        return fail(e, E_CURSOR_TOO_OLD,
                    "the snapshot is older than the feed window; subscribe again");
    uint64_t floor = table__ttl_floor(page->table);
    uint64_t from = range->min_seq > floor ? range->min_seq : floor;
    uint64_t to = range->max_seq < range->at_seq ? range->max_seq : range->at_seq;
    if (from > to)
        return OK;
    add_hot_source(page, HOT_ROWS, from, to);
    if (range->at_seq < view_seq(page->view)) /* I2 */
        add_hot_source(page, HOT_HISTORY, from, to);
    if (from < state.flush_mark)
        TRY(read_cold(page, from, to < state.flush_mark ? to : state.flush_mark - 1, e));
    for (size_t i = 0; i < page->source_count; i++)
        TRY(advance(page, &page->sources[i], e));
    return OK;
}

static bool comes_before(const PastPage *page, uint64_t a, uint64_t b)
{
    return page->range->descending ? a > b : a < b;
}

/* The source whose entry comes first, NULL at the end. */
static PastSource *first_source(PastPage *page)
{
    PastSource *first = NULL;
    for (size_t i = 0; i < page->source_count; i++) {
        PastSource *source = &page->sources[i];
        if (source->has_entry && (!first || comes_before(page, source->seq, first->seq)))
            first = source;
    }
    return first;
}

static void cut_after(const PastPage *page, uint64_t seq, PastResult *result)
{
    result->more = true;
    result->resume_seq = page->range->descending ? seq - 1 : seq + 1;
}

static Code merge(PastPage *page, PastResult *result, Error *e)
{
    for (PastSource *first; (first = first_source(page));) {
        /* Past a cut of the cold source its rows are unknown: the page ends there. */
        if (page->cold_is_cut && comes_before(page, page->cold_limit_seq, first->seq))
            break;
        if (result->count == page->range->limit) {
            cut_after(page, result->rows[result->count - 1].seq, result);
            return OK;
        }
        uint64_t seq = first->seq;
        result->rows[result->count++] = (PastRow){seq, arena_copy(page->arena, first->row)};
        for (size_t i = 0; i < page->source_count; i++) {
            if (page->sources[i].has_entry && page->sources[i].seq == seq)
                TRY(advance(page, &page->sources[i], e));
        }
    }
    if (page->cold_is_cut)
        cut_after(page, page->cold_limit_seq, result);
    return OK;
}

Code view_past_page(ReadView *view, const Table *table, Partition partition, const PastRange *range,
                    Arena *arena, PastResult *out, Error *e)
{
    must(range->limit > 0);
    PastPage page = {
        .view = view, .table = table, .partition = partition, .range = range, .arena = arena};
    PastResult result = {.rows = arena_new_array(arena, PastRow, range->limit)};
    Code code = open_sources(&page, e);
    if (code == OK)
        code = merge(&page, &result, e);
    close_page(&page);
    if (code == OK)
        *out = result;
    return code;
}
