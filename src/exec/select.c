/* SPDX-License-Identifier: Apache-2.0
 *
 * A SELECT goes to the native executor when that can answer it, else to DuckDB, both at the same
 * view. What is common to both stands here: the sink as an output, the row limit, the implicit
 * order.
 */
#include "exec/select.h"

#include "exec/transaction.h"
#include "sql/sql.h"

typedef struct SinkOutput {
    const Run *run;
    size_t rows;
} SinkOutput;

static void sink_begin(void *context)
{
    SinkOutput *out = context;
    out->rows = 0;
    out->run->sink->begin(out->run->sink->context, out->run->index);
}

/* A column of nothing but NULLs has no type of its own; clients get TEXT. */
static void sink_columns(void *context, const ResultColumn *columns, size_t count)
{
    SinkOutput *out = context;
    ResultColumn *typed = arena_new_array(out->run->arena, ResultColumn, count);
    for (size_t i = 0; i < count; i++) {
        typed[i] = columns[i];
        if (typed[i].type == TYPE_NULL)
            typed[i].type = TYPE_TEXT;
    }
    out->run->sink->columns(out->run->sink->context, typed, count);
}

static Code sink_row(void *context, const Value *values, Error *e)
{
    SinkOutput *out = context;
    size_t rows_max = out->run->executor->options.result_rows_max;
    if (out->rows == rows_max)
        return fail(e, E_TOO_LARGE, "The result has more than %zu rows; narrow it or use LIMIT",
                    rows_max);
    out->rows++;
    return out->run->sink->row(out->run->sink->context, values, e);
}

static Code select_once(Run *run, size_t *out_rows, Error *e)
{
    ReadView *view = NULL;
    TRY(exec__open_view(run, &view, e));
    SinkOutput sink = {.run = run};
    RowOutput output = {&sink, sink_begin, sink_columns, sink_row};
    Code code = exec__select(run, view, run->statement->select, &output, out_rows, e);
    exec__close_view(run, view);
    return code;
}

Code exec__run_select(Run *run, Error *e)
{
    size_t rows = 0;
    Code code = E_CONFLICT; /* of exec__check_open, before the first row: a newer view has it */
    for (int i = 0; i < EXEC_CONFLICT_TRIES_MAX && code == E_CONFLICT; i++) {
        code = select_once(run, &rows, e);
        if (run->transaction)
            break;
    }
    TRY(code);
    run->sink->end(run->sink->context, rows, NULL, run->session.user_id);
    return OK;
}

Code exec__select(Run *run, ReadView *view, const Select *select, const RowOutput *output,
                  size_t *out_rows, Error *e)
{
    bool handled = false;
    if (sql_select_is_native(select))
        TRY(exec__select_native(run, view, select, output, out_rows, &handled, e));
    if (handled)
        return OK;
    if (run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the statement needs DuckDB");
    return exec__select_duck(run, view, select, output, out_rows, e);
}

static bool has_aggregate(const Select *select)
{
    for (uint32_t i = 0; i < select->item_count; i++)
        if (select->items[i].expr && sql_expr_has_aggregate(select->items[i].expr))
            return true;
    return false;
}

int32_t exec__implicit_order(const Select *select, const Schema *schema)
{
    bool plain = select->set_operation == SET_NONE && !select->distinct && !select->group_count &&
                 !select->having && !select->order_count && !has_aggregate(select);
    if (!plain)
        return BOUND_NOT_A_COLUMN;
    if (schema->key_index < 0)
        return BOUND_SEQ;
    Slice key = schema->columns[schema->key_index].name;
    for (uint32_t i = 0; i < select->item_count; i++) {
        const SelectItem *item = &select->items[i];
        if (item->star)
            return schema->key_index;
        if (item->expr->kind == EXPR_COLUMN &&
            slice_equal_ignoring_case(item->expr->column.name, key))
            return schema->key_index;
    }
    return BOUND_SEQ;
}
