/* SPDX-License-Identifier: Apache-2.0
 *
 * First rows in the order that ORDER BY asks for. They are kept until the last one is read and go
 * out as one page: a client that left between two pages could not come back, for the largest `_seq`
 * it has seen would say nothing about the rows it has not. So there is a limit to them. Changes
 * come in commit order, as everywhere.
 *
 * I1. `bytes` are those kept: texts, keys and what holds them. Each is taken from what all
 *     OrderedRows may keep together before it is kept, and given back with all others.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"
#include "live/reader_int.h"

typedef struct OrderedRow {
    const Value *keys; /* order_count of them */
    Slice text;        /* the row as it goes out */
    uint64_t seq;      /* breaks ties */
} OrderedRow;

struct OrderedRows {
    OrderedMemory *memory;
    Arena *arena;
    OrderedRow *rows;
    size_t count, capacity, bytes;
};

OrderedRows *live__ordered_new(OrderedMemory *memory)
{
    OrderedRows *ordered = x_new(OrderedRows);
    ordered->memory = memory;
    ordered->arena = arena_new();
    return ordered;
}

void live__ordered_free(OrderedRows *ordered)
{
    if (!ordered)
        return;
    atomic_fetch_sub_explicit(&ordered->memory->bytes, ordered->bytes, memory_order_relaxed);
    arena_free(ordered->arena);
    free(ordered->rows);
    free(ordered);
}

static Code take_room(OrderedRows *ordered, size_t bytes, Error *e) /* I1 */
{
    OrderedMemory *memory = ordered->memory;
    if (ordered->count >= LIVE_ORDERED_ROWS_MAX || ordered->bytes + bytes > LIVE_ORDERED_BYTES_MAX)
        return fail(e, E_UNSUPPORTED,
                    "ORDER BY in a live query orders at most %d first rows and %d MiB; ask for "
                    "fewer with last_rows, or leave it out",
                    LIVE_ORDERED_ROWS_MAX, LIVE_ORDERED_BYTES_MAX / (1024 * 1024));
    size_t before = atomic_fetch_add_explicit(&memory->bytes, bytes, memory_order_relaxed);
    if (before + bytes > memory->bytes_max) {
        atomic_fetch_sub_explicit(&memory->bytes, bytes, memory_order_relaxed);
        return fail(e, E_BUSY,
                    "The first rows of too many live queries with ORDER BY are read at once; retry "
                    "in a moment");
    }
    ordered->bytes += bytes;
    return OK;
}

static bool has_bytes(const Value *value)
{
    return !value->is_null &&
           (value->type == TYPE_TEXT || value->type == TYPE_JSON || value->type == TYPE_BYTES);
}

static const Value *keep_keys(OrderedRows *ordered, const Value *keys, uint32_t count)
{
    Value *kept = arena_new_array(ordered->arena, Value, count);
    for (uint32_t i = 0; i < count; i++) {
        kept[i] = keys[i];
        if (has_bytes(&keys[i]))
            kept[i].bytes = arena_copy(ordered->arena, keys[i].bytes);
    }
    return kept;
}

Code live__ordered_add(OrderedRows *ordered, const LiveQuery *query, const Value *values,
                       uint64_t seq, Slice text, Arena *scratch, Error *e)
{
    RowView row = {.values = values, .seq = seq};
    Value *keys = arena_new_array(scratch, Value, query->order_count);
    size_t bytes = sizeof(OrderedRow) + query->order_count * sizeof(Value) + text.size;
    for (uint32_t i = 0; i < query->order_count; i++) {
        TRY(sql_eval(query->order[i].expr, &row, &query->eval, scratch, &keys[i], e));
        bytes += has_bytes(&keys[i]) ? keys[i].bytes.size : 0;
    }
    TRY(take_room(ordered, bytes, e));
    if (ordered->count == ordered->capacity) {
        ordered->capacity = ordered->capacity ? ordered->capacity * 2 : 64;
        ordered->rows = (OrderedRow *)x_grow(ordered->rows, ordered->capacity * sizeof(OrderedRow));
    }
    ordered->rows[ordered->count++] = (OrderedRow){keep_keys(ordered, keys, query->order_count),
                                                   arena_copy(ordered->arena, text), seq};
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
    if (ordered->count) /* without rows there is no array, which qsort_r must have */
        qsort_r(ordered->rows, ordered->count, sizeof *ordered->rows, compare, (void *)query);
    for (size_t i = 0; i < ordered->count; i++) {
        if (i)
            buffer_add_char(out, ',');
        buffer_add_slice(out, ordered->rows[i].text);
    }
    return (uint32_t)ordered->count;
}
