/* SPDX-License-Identifier: Apache-2.0
 *
 * First rows in the order that ORDER BY asks for. They are kept until the last one is read and go
 * out as one page: a client that left between two pages could not come back, for the largest `_seq`
 * it has seen would say nothing about the rows it has not. So there is a limit to them. Changes
 * come in commit order, as everywhere.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "live/reader_int.h"

typedef struct OrderedRow {
    const Value *keys; /* order_count of them */
    Slice text;        /* the row as it goes out */
    uint64_t seq;      /* breaks ties */
} OrderedRow;

struct OrderedRows {
    Arena *arena;
    OrderedRow *rows;
    size_t count, capacity, bytes;
};

void live__ordered_free(OrderedRows *ordered)
{
    if (!ordered)
        return;
    arena_free(ordered->arena);
    free(ordered->rows);
    free(ordered);
}

static Code check_room(const OrderedRows *ordered, size_t more_bytes, Error *e)
{
    if (ordered->count < LIVE_ORDERED_ROWS_MAX &&
        ordered->bytes + more_bytes <= LIVE_ORDERED_BYTES_MAX)
        return OK;
    return fail(e, E_UNSUPPORTED,
                "ORDER BY in a live query orders at most %d first rows and %d MiB; ask for fewer "
                "with last_rows, or leave it out",
                LIVE_ORDERED_ROWS_MAX, LIVE_ORDERED_BYTES_MAX / (1024 * 1024));
}

static void keep_key(OrderedRows *ordered, const Value *value, Value *out)
{
    *out = *value;
    bool has_bytes =
        value->type == TYPE_TEXT || value->type == TYPE_JSON || value->type == TYPE_BYTES;
    if (!value->is_null && has_bytes)
        out->bytes = arena_copy(ordered->arena, value->bytes);
}

Code live__ordered_add(OrderedRows **io, const LiveQuery *query, const Value *values, uint64_t seq,
                       Slice text, Arena *scratch, Error *e)
{
    if (!*io) {
        *io = x_new(OrderedRows);
        (*io)->arena = arena_new();
    }
    OrderedRows *ordered = *io;
    RowView row = {.values = values, .seq = seq};
    TRY(check_room(ordered, text.size, e));
    Value *keys = arena_new_array(ordered->arena, Value, query->order_count);
    for (uint32_t i = 0; i < query->order_count; i++) {
        Value value;
        TRY(sql_eval(query->order[i].expr, &row, &query->eval, scratch, &value, e));
        keep_key(ordered, &value, &keys[i]);
    }
    if (ordered->count == ordered->capacity) {
        ordered->capacity = ordered->capacity ? ordered->capacity * 2 : 64;
        ordered->rows = (OrderedRow *)x_grow(ordered->rows, ordered->capacity * sizeof(OrderedRow));
    }
    ordered->rows[ordered->count++] = (OrderedRow){keys, arena_copy(ordered->arena, text), seq};
    ordered->bytes += text.size;
    return OK;
}

static int compare(const void *a, const void *b, void *context)
{
    const LiveQuery *query = (const LiveQuery *)context;
    const OrderedRow *x = (const OrderedRow *)a, *y = (const OrderedRow *)b;
    for (uint32_t i = 0; i < query->order_count; i++) {
        const Value *v = &x->keys[i], *w = &y->keys[i];
        if (v->is_null != w->is_null)
            return v->is_null == query->order[i].nulls_first ? -1 : 1;
        int order = v->is_null ? 0 : value_compare(v, w);
        if (order)
            return query->order[i].descending ? -order : order;
    }
    return (x->seq > y->seq) - (x->seq < y->seq);
}

uint32_t live__ordered_take(OrderedRows *ordered, const LiveQuery *query, Buffer *out)
{
    if (!ordered)
        return 0;
    qsort_r(ordered->rows, ordered->count, sizeof *ordered->rows, compare, (void *)query);
    for (size_t i = 0; i < ordered->count; i++) {
        if (i)
            buffer_add_char(out, ',');
        buffer_add_slice(out, ordered->rows[i].text);
    }
    return (uint32_t)ordered->count;
}
