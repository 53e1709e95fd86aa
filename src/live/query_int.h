/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries, what changes mean to them, and the messages that say so. Pure: any thread.
 */
#pragma once

#include "live/live.h"
#include "sql/eval.h"

/* ---- query.c: what is asked for ---- */

typedef struct LiveColumn {
    uint32_t index; /* in the schema */
    Slice name;     /* on the wire: the alias if there is one */
} LiveColumn;

/* One part of ORDER BY. */
typedef struct LiveOrder {
    BoundExpr *expr;
    bool descending, nulls_first;
} LiveOrder;

/* Immutable once made; shared by reference between a loop and the workers. */
typedef struct LiveQuery {
    _Atomic unsigned refs;
    Arena *arena;
    Table *table;      /* a reference */
    struct View *view; /* NULL unless it is a system table: view_rows.c */
    Partition partition;
    BoundExpr *where; /* NULL: every row */
    EvalContext eval;
    Slice sql;
    const Value *params;
    size_t param_count;
    LiveRequest options; /* those of SUBSCRIBE TO … OPTIONS (…); no texts */
    LiveColumn *columns;
    uint32_t column_count;
    LiveOrder *order; /* of the first rows */
    uint32_t order_count;
    bool is_star;      /* `_deleted` is shown too */
    bool is_shareable; /* the same for every user of the role */
} LiveQuery;

/* The request's text and parameters. */
CHECKED Code live__query_new(LiveHub *hub, Database *db, const LiveUser *user,
                             const LiveRequest *request, LiveQuery **out, Error *e);
/* view_rows.c: a system table that can be followed, and a reference to its definition; NULL when
 * there is none. */
struct View *live__find_view(LiveHub *hub, Slice namespace_name, Slice name, Table **out_table);
LiveQuery *live__query_ref(LiveQuery *query);
void live__query_unref(LiveQuery *query); /* accepts NULL */
/* E_TABLE_NOT_FOUND with the reason once the table was dropped or altered: the query ends then. A
 * view opened before a call that gives OK holds no row of a newer schema. */
CHECKED Code live__query_check(const LiveQuery *query, Database *db, Error *e);
/* No cursor is older: its table did not exist. */
uint64_t live__query_born(const LiveQuery *query);
/* Whether a row is seen through the query. */
CHECKED Code live__query_matches(const LiveQuery *query, const Value *values, uint64_t seq,
                                 Arena *arena, bool *out, Error *e);

/* ---- event.c: what a change means to a query ---- */

typedef enum LiveEvent {
    LIVE_EVENT_NONE,
    LIVE_EVENT_INSERT,
    LIVE_EVENT_UPDATE,
    LIVE_EVENT_DELETE
} LiveEvent;

LiveEvent live__event_of(ChangeKind kind, bool old_matches, bool new_matches);

/* A change with its rows decoded by one schema; made once, looked at by every channel. */
typedef struct LiveChange {
    ChangeKind kind;
    uint64_t seq, old_seq;
    const Value *old_values, *new_values; /* NULL where there is none */
} LiveChange;

CHECKED Code live__change_decode(const Schema *schema, ChangeKind kind, uint64_t seq,
                                 uint64_t old_seq, Slice new_row, Slice old_row, Arena *arena,
                                 LiveChange *out, Error *e);
/* query.c: what the change is to this query. */
CHECKED Code live__query_event(const LiveQuery *query, const LiveChange *change, Arena *arena,
                               LiveEvent *out, Error *e);

/* ---- message.c: the JSON that goes out ---- */

typedef struct BatchControl {
    uint32_t batch_num;
    bool has_more, seq_text;
    uint64_t last_seq;
    uint32_t total_rows; /* of the acknowledgement: when all rows are known; else 0 */
} BatchControl;

void live__add_ack(Buffer *out, Slice id, const LiveQuery *query, const BatchControl *control);
void live__add_batch(Buffer *out, Slice id, Slice rows, const BatchControl *control);
void live__add_error(Buffer *out, Slice id, const char *code, const char *message);
/* For clients that announced `schema`: the columns from here on, those from `old_columns` on being
 * new. */
CHECKED Code live__add_schema_message(Buffer *out, Slice id, const LiveQuery *query,
                                      uint32_t old_columns, Error *e);
/* For clients that announced `resnapshot`: all rows so far are void, and why; first rows follow. */
void live__add_resnapshot(Buffer *out, Slice id, const Error *why);
/* {…} of a row. */
CHECKED Code live__add_row(Buffer *out, const LiveQuery *query, const Value *values, uint64_t seq,
                           Error *e);
/* A change message is head + body; the body is the same for all subscriptions of a query. */
void live__add_change_head(Buffer *out, Slice id);
CHECKED Code live__add_change_body(Buffer *out, const LiveQuery *query, LiveEvent event,
                                   const LiveChange *change, Error *e);
/* The socket's word for a code, and its sentence. */
const char *live__error_code(Code code);
void live__error_text(const Error *error, Buffer *out);
