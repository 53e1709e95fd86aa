/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of system tables that somebody follows. They are made when they are read, out of the
 * catalog, the jobs and the subscriptions, and no feed tells what became of them. So when one of
 * these changes a worker makes all rows once more, and the loops send each follower the difference
 * to what it has (view.c).
 *
 *     something changes ─> live_hub_touch ─> poked (a loop) ─> refresh (a worker) ─> arrived (each
 *     loop) ─> live__view_step (each follower)
 *
 * I1. A view's `interest` is raised before a follower asks for rows, and looked at after a change
 *     has become visible; so the rows that a follower begins with, or a later refresh, show the
 *     change (as in hub.c, I1).
 * I2. One refresh of a view runs at a time, and its rows reach each loop in the order of refreshes.
 * I3. A refresh begins when the rows of the one before it have reached all loops: where one is
 *     late, no rows heap up before it, and none that are on their way count as those of slow
 *     clients (view.c, I3).
 */
#include <stddef.h>
#include <stdlib.h>

#include "base/limits.h"
#include "data/row.h"
#include "live/view_int.h"
#include "os/clock.h"

enum {
    QUICK_US = 5 * 1000,         /* a refresh that takes longer than this … */
    REST_FACTOR = 9,             /* … is followed by so many times as long without one */
    FIRST_TABLE_ID = 0x7FFFFF00, /* tables never get there */
};

/* ---- rows ---- */

static ViewRows *rows_new(View *view)
{
    ViewRows *rows = x_new(ViewRows);
    atomic_init(&rows->refs, 1);
    atomic_fetch_add_explicit(&view->alive, 1, memory_order_relaxed);
    rows->view = view;
    rows->arena = arena_new();
    return rows;
}

ViewRows *live__view_rows_ref(ViewRows *rows)
{
    atomic_fetch_add_explicit(&rows->refs, 1, memory_order_relaxed);
    return rows;
}

void live__view_rows_unref(ViewRows *rows)
{
    /* release: our uses come before the free; acquire: the free comes after theirs. */
    if (!rows || atomic_fetch_sub_explicit(&rows->refs, 1, memory_order_acq_rel) != 1)
        return;
    atomic_fetch_sub_explicit(&rows->view->alive, 1, memory_order_relaxed);
    arena_free(rows->arena);
    free(rows->rows);
    free(rows);
}

static Value copy_value(ViewRows *rows, const Value *value)
{
    Value copy = *value;
    if (!value->is_null && (type_is_text(value->type) || value->type == TYPE_BYTES)) {
        copy.bytes = arena_copy(rows->arena, value->bytes);
        rows->bytes += copy.bytes.size;
    }
    return copy;
}

static const Value *copy_values(ViewRows *rows, const Value *values)
{
    uint32_t count = rows->view->table->schema->column_count;
    Value *copy = arena_new_array(rows->arena, Value, count);
    for (uint32_t i = 0; i < count; i++)
        copy[i] = copy_value(rows, &values[i]);
    rows->bytes += count * sizeof(Value);
    return copy;
}

static Code encode_key(const View *view, const Value *values, Buffer *out, Error *e)
{
    const Schema *schema = view->table->schema;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (schema->columns[i].primary_key)
            TRY(key_encode(&values[i], out, e));
    }
    return OK;
}

static Code keep_row(void *context, const Value *values, Error *e)
{
    ViewRows *rows = (ViewRows *)context;
    CLEANUP(buffer_done) Buffer key = {0};
    if (rows->count == LIVE_VIEW_ROWS_MAX || rows->bytes > LIVE_VIEW_BYTES_MAX)
        return fail(e, E_UNSUPPORTED,
                    "%.*s.%.*s has more rows than can be followed: at most %d, and %d MiB",
                    SLICE_ARGS(rows->view->table->namespace_name),
                    SLICE_ARGS(rows->view->table->name), LIVE_VIEW_ROWS_MAX,
                    LIVE_VIEW_BYTES_MAX / (1024 * 1024));
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 64;
        rows->rows = (ViewRow *)x_grow(rows->rows, rows->capacity * sizeof(ViewRow));
    }
    TRY(encode_key(rows->view, values, &key, e));
    rows->rows[rows->count++] = (ViewRow){.key = arena_copy(rows->arena, buffer_slice(&key)),
                                          .values = copy_values(rows, values)};
    return OK;
}

static int compare_rows(const void *a, const void *b)
{
    return slice_compare(((const ViewRow *)a)->key, ((const ViewRow *)b)->key);
}

bool live__view_same_cell(const View *view, uint32_t column, const Value *a, const Value *b)
{
    bool is_figure = column < 64 && (view->figures >> column & 1);
    return is_figure || value_identical(&a[column], &b[column]);
}

static bool is_same(const View *view, const Value *a, const Value *b)
{
    for (uint32_t i = 0; i < view->table->schema->column_count; i++) {
        if (!live__view_same_cell(view, i, a, b))
            return false;
    }
    return true;
}

/* Rows that are as they were keep their stamp, and what was told of them. */
static void stamp(ViewRows *rows, const ViewRows *before)
{
    size_t k = 0;
    for (size_t i = 0; i < rows->count; i++) {
        ViewRow *row = &rows->rows[i];
        while (before && k < before->count && slice_compare(before->rows[k].key, row->key) < 0)
            k++;
        const ViewRow *old = before && k < before->count ? &before->rows[k] : NULL;
        row->stamp = rows->ticket;
        if (!old || !slice_equal(old->key, row->key) ||
            !is_same(rows->view, old->values, row->values))
            continue;
        row->stamp = old->stamp;
        row->values = copy_values(rows, old->values);
    }
}

static Code make_rows(View *view, uint64_t ticket, ViewRows **out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    ViewRows *rows = rows_new(view);
    rows->ticket = ticket;
    Code code = view->fill(view->context, arena, keep_row, rows, e);
    if (code != OK) {
        live__view_rows_unref(rows);
        return code;
    }
    if (rows->count)
        qsort(rows->rows, rows->count, sizeof *rows->rows, compare_rows);
    stamp(rows, view->current);
    *out = rows;
    return OK;
}

/* ---- refresh ---- */

static void start_refresh(View *view);

/* Rows, or why there are none, on their way to one loop. */
typedef struct Arrival {
    LoopTask task;
    LiveLoop *loop; /* a reference */
    View *view;
    ViewRows *rows; /* a reference; NULL: `error` */
    Error error;
} Arrival;

static void deliver_rows(Arrival *arrival, Entry *entry)
{
    live__view_rows_unref(entry->view_rows);
    entry->view_rows = live__view_rows_ref(arrival->rows);
    for (Channel *channel = entry->channels, *next; channel; channel = next) {
        next = channel->next; /* an error may end the last of a channel */
        for (Subscription *s = channel->subscriptions, *after; s; s = after) {
            after = s->next;
            if (!s->is_waiting)
                live__view_step(s);
        }
    }
}

static void end_followers(Entry *entry, const Error *error)
{
    for (Channel *channel = entry->channels, *next; channel; channel = next) {
        next = channel->next;
        for (Subscription *s = channel->subscriptions, *after; s; s = after) {
            after = s->next;
            live__end(s, error);
        }
    }
}

static Partition partition_of(const View *view)
{
    return (Partition){view->table->id, 0};
}

static void arrived(LoopTask *task)
{
    Arrival *arrival = (Arrival *)task;
    LiveLoop *loop = arrival->loop;
    Partition partition = partition_of(arrival->view);
    Entry *entry = loop->is_closed ? NULL : live__find_entry(loop, &partition);
    if (entry && arrival->rows)
        deliver_rows(arrival, entry);
    else if (entry)
        end_followers(entry, &arrival->error);
    live__view_rows_unref(arrival->rows);
    mutex_lock(&loop->hub->lock);
    bool is_last = --arrival->view->arriving == 0;
    mutex_unlock(&loop->hub->lock);
    if (is_last && !loop->is_closed)
        start_refresh(arrival->view);
    free(arrival);
    live__loop_unref(loop);
}

static void post_to_loops(View *view, ViewRows *rows, const Error *error)
{
    LiveHub *hub = view->hub;
    MUTEX_SCOPE(&hub->lock); /* no loop can be closed meanwhile */
    view->arriving = hub->loop_count;
    for (size_t i = 0; i < hub->loop_count; i++) {
        Arrival *arrival = x_new(Arrival);
        *arrival = (Arrival){.task = {.run = arrived}, .loop = hub->loops[i], .view = view};
        if (rows)
            arrival->rows = live__view_rows_ref(rows);
        else
            arrival->error = *error;
        atomic_fetch_add_explicit(&arrival->loop->refs, 1, memory_order_relaxed);
        loop_post_task(arrival->loop->loop, &arrival->task);
    }
}

/* Says what the next refresh waits for; true when it may begin at once. */
static bool end_refresh(View *view, uint64_t ticket, int64_t began_us)
{
    int64_t now_us = clock_monotonic_us(), took_us = now_us - began_us;
    MUTEX_SCOPE(&view->hub->lock);
    view->done = ticket;
    view->is_running = false;
    view->not_before_us = took_us > QUICK_US ? now_us + REST_FACTOR * took_us : 0;
    return view->wanted != ticket && view->not_before_us == 0;
}

static void refresh(void *argument) /* worker thread, one at a time for a view */
{
    View *view = (View *)argument;
    Error error = {0};
    ViewRows *rows = NULL;
    int64_t began_us = clock_monotonic_us();
    mutex_lock(&view->hub->lock);
    uint64_t ticket = view->wanted;
    mutex_unlock(&view->hub->lock);
    bool is_followed = atomic_load_explicit(&view->interest, memory_order_acquire) > 0;
    if (is_followed) {
        if (make_rows(view, ticket, &rows, &error) != OK)
            rows = NULL;
        post_to_loops(view, rows, &error);
    }
    live__view_rows_unref(view->current);
    view->current = rows;
    if (end_refresh(view, ticket, began_us))
        start_refresh(view);
}

/* Does nothing when one is under way or has not arrived (I3), is not due, or when the workers have
 * no room: the last arrival and live__views_tick look again. On loops and workers only, for they
 * end before the workers' queue does. */
static void start_refresh(View *view)
{
    LiveHub *hub = view->hub;
    mutex_lock(&hub->lock);
    bool starts = !view->is_running && view->arriving == 0 && view->wanted != view->done &&
                  clock_monotonic_us() >= view->not_before_us;
    view->is_running |= starts;
    mutex_unlock(&hub->lock);
    if (!starts || workers_push(hub->workers, (Task){refresh, view}))
        return;
    mutex_lock(&hub->lock);
    view->is_running = false;
    mutex_unlock(&hub->lock);
}

uint64_t live__view_refresh(View *view)
{
    mutex_lock(&view->hub->lock);
    uint64_t ticket = ++view->wanted;
    mutex_unlock(&view->hub->lock);
    start_refresh(view);
    return ticket;
}

static void poked(LoopTask *task)
{
    View *view = (View *)((char *)task - offsetof(View, poke));
    mutex_lock(&view->hub->lock);
    LiveLoop *loop = view->poked_loop;
    view->poked_loop = NULL;
    mutex_unlock(&view->hub->lock);
    if (!loop->is_closed)
        start_refresh(view);
    live__loop_unref(loop);
}

/* Whatever happens until the loop comes to it is one refresh. */
static void poke(View *view)
{
    LiveHub *hub = view->hub;
    MUTEX_SCOPE(&hub->lock); /* no loop can be closed meanwhile */
    view->wanted++;
    if (view->poked_loop || hub->loop_count == 0)
        return;
    view->poked_loop = hub->loops[0];
    view->poke.run = poked;
    atomic_fetch_add_explicit(&view->poked_loop->refs, 1, memory_order_relaxed);
    loop_post_task(view->poked_loop->loop, &view->poke);
}

void live_hub_touch(LiveHub *hub, unsigned sources)
{
    for (size_t i = 0; i < hub->view_count && sources; i++) {
        View *view = hub->views[i];
        /* I1: a read-modify-write although nothing changes. */
        if (!(view->sources & sources) ||
            atomic_fetch_add_explicit(&view->interest, 0, memory_order_acq_rel) == 0)
            continue;
        poke(view);
    }
}

void live__views_tick(LiveHub *hub)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        if (atomic_load_explicit(&hub->views[i]->interest, memory_order_relaxed) > 0)
            start_refresh(hub->views[i]);
    }
}

/* ---- the views of a hub ---- */

void live_hub_add_view(LiveHub *hub, const LiveView *definition)
{
    must(hub->view_count < LIVE_VIEWS_MAX);
    View *view = x_new(View);
    Table table = {
        .name = definition->name,
        .kind = TABLE_SHARED,
        .access = ACCESS_DBA,
        .schema = definition->schema,
    };
    view->hub = hub;
    view->table = catalog_table_of_view(&table, definition->namespace_name,
                                        FIRST_TABLE_ID + (uint32_t)hub->view_count);
    view->sources = definition->sources;
    view->figures = definition->figures;
    view->fill = definition->fill;
    view->context = definition->context;
    hub->views[hub->view_count] = view;
    hub->view_count++;
}

View *live__find_view(LiveHub *hub, Slice namespace_name, Slice name, Table **out_table)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        const Table *table = hub->views[i]->table;
        if (!slice_equal_ignoring_case(table->namespace_name, namespace_name) ||
            !slice_equal_ignoring_case(table->name, name))
            continue;
        *out_table = table_ref(hub->views[i]->table);
        return hub->views[i];
    }
    return NULL;
}

void live__views_free(LiveHub *hub)
{
    for (size_t i = 0; i < hub->view_count; i++) {
        live__view_rows_unref(hub->views[i]->current);
        table_unref(hub->views[i]->table);
        free(hub->views[i]);
    }
}
