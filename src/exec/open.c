/* SPDX-License-Identifier: Apache-2.0
 *
 * The transactions that are open, for system.transactions: one entry for each, made at BEGIN and
 * taken away when it ends. Its figures are what the thread that runs the transaction last told; the
 * transaction itself is read by nobody else.
 */
#include "exec/open.h"
#include "exec/views.h"

#include "os/clock.h"
#include "os/thread.h"

#include <stdlib.h>

struct OpenTransaction {
    OpenTransaction *previous, *next;
    OpenTransactions *list;
    char *id, *user_id;
    uint64_t snapshot_seq;
    int64_t began_us;
    /* guarded by the list's lock */
    int64_t active_us; /* when the last statement began or ended */
    OpenFigures figures;
};

struct OpenTransactions {
    Mutex lock; /* rank: docs/locks.md, "open transactions" */
    /* guarded by lock */
    OpenTransaction *first;
};

OpenTransactions *exec__open_new(void)
{
    OpenTransactions *list = x_new(OpenTransactions);
    mutex_init(&list->lock);
    return list;
}

void exec__open_free(OpenTransactions *list)
{
    if (!list)
        return;
    must(!list->first);
    mutex_done(&list->lock);
    free(list);
}

OpenTransaction *exec__open_add(OpenTransactions *list, Slice id, Slice user_id, uint64_t seq)
{
    OpenTransaction *entry = x_new(OpenTransaction);
    entry->list = list;
    entry->id = x_text(id);
    entry->user_id = x_text(user_id);
    entry->snapshot_seq = seq;
    entry->began_us = entry->active_us = clock_monotonic_us();
    MUTEX_SCOPE(&list->lock);
    entry->next = list->first;
    if (entry->next)
        entry->next->previous = entry;
    list->first = entry;
    return entry;
}

void exec__open_tell(OpenTransaction *entry, const OpenFigures *figures)
{
    int64_t now_us = clock_monotonic_us();
    MUTEX_SCOPE(&entry->list->lock);
    entry->figures = *figures;
    entry->active_us = now_us;
}

void exec__open_remove(OpenTransaction *entry)
{
    if (!entry)
        return;
    {
        MUTEX_SCOPE(&entry->list->lock);
        *(entry->previous ? &entry->previous->next : &entry->list->first) = entry->next;
        if (entry->next)
            entry->next->previous = entry->previous;
    }
    free(entry->id);
    free(entry->user_id);
    free(entry);
}

/* ---- system.transactions ---- */

enum { COLUMNS = 11 };

static const ResultColumn columns[COLUMNS] = {
    KEY_COLUMN("transaction_id", TYPE_TEXT),
    COLUMN("owner_id", TYPE_TEXT),
    COLUMN("origin", TYPE_TEXT),
    COLUMN("state", TYPE_TEXT),
    COLUMN("age_ms", TYPE_BIGINT),
    COLUMN("idle_ms", TYPE_BIGINT),
    COLUMN("write_count", TYPE_BIGINT),
    COLUMN("write_bytes", TYPE_BIGINT),
    COLUMN("touched_tables_count", TYPE_INT),
    COLUMN("snapshot_commit_seq", TYPE_BIGINT),
    COLUMN("user_id", TYPE_TEXT),
};

static void make_row(const OpenTransaction *entry, int64_t now_us, Arena *arena, Value *out)
{
    const OpenFigures *figures = &entry->figures;
    const Value values[COLUMNS] = {
        value_text(arena_copy(arena, slice_of_text(entry->id))),
        value_text(slice_of_text(arena_printf(arena, "sql-req-%s", entry->id))),
        value_text(SLICE("sql_batch")),
        value_text(figures->commits     ? SLICE("committing")
                   : figures->row_count ? SLICE("open_write")
                                        : SLICE("open_read")),
        value_integer(TYPE_BIGINT, (now_us - entry->began_us) / 1000),
        value_integer(TYPE_BIGINT, (now_us - entry->active_us) / 1000),
        value_integer(TYPE_BIGINT, (int64_t)figures->row_count),
        value_integer(TYPE_BIGINT, (int64_t)figures->bytes),
        value_integer(TYPE_INT, (int64_t)figures->table_count),
        value_integer(TYPE_BIGINT, (int64_t)entry->snapshot_seq),
        value_text(arena_copy(arena, slice_of_text(entry->user_id))),
    };
    memcpy(out, values, sizeof values);
}

/* Copies under the lock; a slow reader of the rows holds up nobody. */
static Value *copy_rows(OpenTransactions *list, Arena *arena, size_t *out_count)
{
    size_t count = 0;
    MUTEX_SCOPE(&list->lock);
    for (const OpenTransaction *entry = list->first; entry; entry = entry->next)
        count++;
    Value *values = arena_new_array(arena, Value, count * COLUMNS + 1);
    int64_t now_us = clock_monotonic_us();
    *out_count = count;
    Value *at = values;
    for (const OpenTransaction *entry = list->first; entry; entry = entry->next, at += COLUMNS)
        make_row(entry, now_us, arena, at);
    return values;
}

static Code fill(void *context, const Session *session, Arena *arena, ExecRow *row,
                 void *row_context, Error *e)
{
    (void)session;
    size_t count;
    const Value *values = copy_rows(((Executor *)context)->open, arena, &count);
    for (size_t i = 0; i < count; i++)
        TRY(row(row_context, &values[i * COLUMNS], e));
    return OK;
}

void exec__add_transactions_view(Executor *executor)
{
    executor_add_view(executor, &(ExecView){
                                    .namespace_name = "system",
                                    .name = "transactions",
                                    .columns = columns,
                                    .column_count = COLUMNS,
                                    .admin_only = true,
                                    .fill = fill,
                                    .context = executor,
                                });
}
