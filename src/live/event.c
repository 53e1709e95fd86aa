/* SPDX-License-Identifier: Apache-2.0
 *
 * What a change of a row means to a query: the row before and the row after are both looked at.
 */
#include "data/row.h"
#include "live/query_int.h"

/* Entering what the query shows is an insert, leaving it a delete, staying an update. */
LiveEvent live__event_of(ChangeKind kind, bool old_matches, bool new_matches)
{
    bool was_there = kind != CHANGE_INSERT && old_matches;
    bool is_there = kind != CHANGE_DELETE && new_matches;
    if (was_there)
        return is_there ? LIVE_EVENT_UPDATE : LIVE_EVENT_DELETE;
    return is_there ? LIVE_EVENT_INSERT : LIVE_EVENT_NONE;
}

static Code decode(const Schema *schema, Slice row, Arena *arena, const Value **out, Error *e)
{
    Value *values = arena_new_array(arena, Value, schema->column_count);
    TRY(row_decode(schema, row, values, e));
    *out = values;
    return OK;
}

Code live__change_decode(const Schema *schema, ChangeKind kind, uint64_t seq, uint64_t old_seq,
                         Slice new_row, Slice old_row, Arena *arena, LiveChange *out, Error *e)
{
    LiveChange change = {.kind = kind, .seq = seq, .old_seq = old_seq};
    if (kind != CHANGE_DELETE)
        TRY(decode(schema, new_row, arena, &change.new_values, e));
    if (kind !=
        CHANGE_INSERT) /* a tombstone holds the last row, should the row before not come along */
        TRY(decode(schema, old_row.size ? old_row : new_row, arena, &change.old_values, e));
    *out = change;
    return OK;
}
