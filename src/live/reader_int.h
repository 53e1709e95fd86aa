/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading for one subscription, apart from loops and sockets.
 */
#pragma once

#include "live/query_int.h"

/* ---- reader.c: first rows, resume and catch-up, in bounded steps ---- */

typedef enum ReadPhase {
    READ_LAST_ROWS,   /* finding where the newest n rows begin */
    READ_RESUME_SCAN, /* finding what was deleted since the cursor */
    READ_ROWS,        /* pages, and between them what READ_RESUME_SCAN found, and finds */
    READ_FEED,        /* changes after `cursor` */
} ReadPhase;

/* What all OrderedRows of a hub keep. Any thread. */
typedef struct OrderedMemory {
    size_t bytes_max;
    _Atomic size_t bytes;
} OrderedMemory;

typedef struct ReadBudget {
    HotRead mode;
    size_t bytes, rows; /* of one step */
    OrderedMemory *ordered;
} ReadBudget;

/* Before each message in reader->out. */
typedef struct MessageHead {
    uint64_t cursor; /* as LiveSocket.send wants it */
    size_t size;
} MessageHead;

typedef struct OrderedRows OrderedRows;

typedef struct Reader {
    LiveQuery *query; /* a reference */
    Slice id;         /* borrowed from the subscription, which outlives its reads */
    ReadPhase phase;
    bool seq_text, is_acked;
    bool has_sent;     /* a page or a delete; not an acknowledgement */
    bool is_ordered;   /* its first rows are one page, as ORDER BY says */
    bool is_from_now;  /* READ_FEED: nothing before the first view */
    Error *resnapshot; /* what first rows are sent again for; told before them. NULL: nothing */
    bool reached;      /* out: the feed was read to its end at `cursor` */
    uint64_t at_seq;   /* first rows: the commit they show; 0 until the first step */
    uint64_t from;     /* resume: the client's cursor */
    uint64_t cursor;   /* READ_FEED: everything up to here was read */
    uint64_t next_seq; /* READ_ROWS: continue here; READ_LAST_ROWS: look below here, inclusive */
    uint64_t last_rows, found;
    uint32_t page_rows, batch_num, row_count;
    size_t step_rows; /* rows asked of one past page, by their size */
    uint64_t last_row_seq;
    Buffer rows; /* the page under way */
    OrderedRows *ordered;
    uint64_t *deletes; /* seqs of the changes that took a row out of sight: the next ones to send */
    size_t delete_count, delete_capacity, delete_at;
    uint64_t scanned_seq; /* resume: such changes up to here were found */
    Buffer out;           /* messages: MessageHead, bytes */
} Reader;

/* Loading for a request with options. */
Reader *live__reader_new(LiveQuery *query, Slice id, const LiveRequest *request,
                         const LiveFeatures *features);
/* Catch-up after `cursor`. */
Reader *live__reader_feed(LiveQuery *query, Slice id, uint64_t cursor);
void live__reader_free(Reader *reader); /* accepts NULL */
/* The reader of a subscription that has to begin again, in place of `old`: from its cursor if it
 * has one, or (`why` set: the cursor is no good) without. Takes `old`. */
Reader *live__reader_anew(Reader *old, const LiveRequest *request, const LiveFeatures *features,
                          const Error *why);
/* The page under way goes to `out` as it is: the rows after it may have other columns. */
void live__reader_end_page(Reader *reader);
/* Appends messages to reader->out. After a failure what is in `out` is still right. Any thread, one
 * at a time; with HOT_CACHED_ONLY (READ_FEED only) E_WOULD_BLOCK leaves the reader as a shorter
 * step would. */
CHECKED Code live__reader_step(Reader *reader, Database *db, const ReadBudget *budget, Error *e);

/* ---- order.c: first rows that are sorted ---- */

OrderedRows *live__ordered_new(OrderedMemory *memory); /* borrows it */
/* Copies what it keeps. E_UNSUPPORTED when they are too many, E_BUSY when all together are. */
CHECKED Code live__ordered_add(OrderedRows *ordered, const LiveQuery *query, const Value *values,
                               uint64_t seq, Slice text, Arena *scratch, Error *e);
/* Sorts, appends them as a list to `out` and says how many. */
uint32_t live__ordered_take(OrderedRows *ordered, const LiveQuery *query, Buffer *out);
void live__ordered_free(OrderedRows *ordered); /* accepts NULL */
