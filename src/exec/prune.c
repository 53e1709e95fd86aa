/* SPDX-License-Identifier: Apache-2.0
 *
 * What a WHERE says about the ranges of columns, so that segments whose statistics exclude it are
 * not opened. Only conjuncts at the top of the WHERE of the form `column op constant` are looked
 * at; all else is ignored, which is safe: the WHERE itself is still evaluated on every row.
 *
 * Nothing here can make a statement fail: a constant that does not evaluate says nothing.
 */
#include "exec/select.h"

#include "cold/cold.h"
#include "sql/sql.h"

enum { BOUNDS_MAX = 16 }; /* columns; more do not prune better */

typedef struct Pruner {
    const Run *run;
    const BindContext *bind;
    Pruning *out;
} Pruner;

static const Column *column_of(const Pruner *p, const Expr *expr)
{
    if (expr->kind != EXPR_COLUMN)
        return NULL;
    Slice table = expr->column.table;
    Slice visible = p->bind->alias.size ? p->bind->alias : p->bind->table;
    if (table.size && !slice_equal_ignoring_case(table, visible))
        return NULL;
    int32_t index = schema_find(p->bind->schema, expr->column.name);
    return index < 0 ? NULL : &p->bind->schema->columns[index];
}

static bool constant_of(const Pruner *p, const Expr *expr, const Column *column, Value *out)
{
    if (!expr || !sql_expr_is_native(expr))
        return false;
    BindContext bind = exec__bind_context(p->run, NULL);
    Error ignored = {0};
    BoundExpr *bound = NULL;
    Value value = {0};
    if (sql_bind(&bind, expr, p->run->arena, &bound, &ignored) != OK || !sql_bound_is_pure(bound) ||
        sql_eval(bound, NULL, &p->run->eval, p->run->arena, &value, &ignored) != OK ||
        value.is_null)
        return false;
    if (value.type == TYPE_TEXT && !type_is_text(column->type))
        return value_cast(&value, column->type, "column", p->run->arena, out, &ignored) == OK &&
               !out->is_null;
    if (!value_comparable(value.type, column->type))
        return false;
    *out = value;
    return true;
}

static ColumnBounds *bounds_of(Pruner *p, const Column *column)
{
    Pruning *out = p->out;
    for (size_t i = 0; i < out->bound_count; i++)
        if (out->bounds[i].column == column)
            return &out->bounds[i];
    if (out->bound_count == BOUNDS_MAX)
        return NULL;
    ColumnBounds *bounds = &out->bounds[out->bound_count++];
    *bounds = (ColumnBounds){.column = column};
    return bounds;
}

static void add_min(Pruner *p, const Column *column, const Value *value)
{
    ColumnBounds *bounds = bounds_of(p, column);
    if (!bounds || (bounds->has_min && value_compare(value, &bounds->min) <= 0))
        return;
    bounds->has_min = true;
    bounds->min = *value;
}

static void add_max(Pruner *p, const Column *column, const Value *value)
{
    ColumnBounds *bounds = bounds_of(p, column);
    if (!bounds || (bounds->has_max && value_compare(value, &bounds->max) >= 0))
        return;
    bounds->has_max = true;
    bounds->max = *value;
}

static void add_compare(Pruner *p, const Expr *expr)
{
    bool flipped = expr->left->kind != EXPR_COLUMN;
    const Column *column = column_of(p, flipped ? expr->right : expr->left);
    Value value;
    if (!column || !constant_of(p, flipped ? expr->left : expr->right, column, &value))
        return;
    bool is_min = expr->op == OP_GREATER || expr->op == OP_GREATER_EQUAL;
    bool is_max = expr->op == OP_LESS || expr->op == OP_LESS_EQUAL;
    if (expr->op == OP_EQUAL)
        is_min = is_max = true;
    else if (flipped) {
        bool was_min = is_min;
        is_min = is_max;
        is_max = was_min;
    }
    if (is_min)
        add_min(p, column, &value);
    if (is_max)
        add_max(p, column, &value);
}

static void add_in(Pruner *p, const Expr *expr)
{
    const Column *column = column_of(p, expr->left);
    Value least = {0}, most = {0};
    for (uint32_t i = 0; column && i < expr->item_count; i++) {
        Value value;
        if (!constant_of(p, expr->items[i], column, &value))
            return;
        if (i == 0 || value_compare(&value, &least) < 0)
            least = value;
        if (i == 0 || value_compare(&value, &most) > 0)
            most = value;
    }
    if (!column || expr->item_count == 0)
        return;
    add_min(p, column, &least);
    add_max(p, column, &most);
}

static void add(Pruner *p, const Expr *expr)
{
    if (expr->kind == EXPR_BINARY && expr->op == OP_AND) {
        add(p, expr->left);
        add(p, expr->right);
    } else if (expr->kind == EXPR_BINARY && expr->op >= OP_EQUAL && expr->op <= OP_GREATER_EQUAL) {
        if (expr->op != OP_NOT_EQUAL)
            add_compare(p, expr);
    } else if (expr->kind == EXPR_BETWEEN && !expr->negated) {
        const Column *column = column_of(p, expr->left);
        Value value;
        if (column && constant_of(p, expr->right, column, &value))
            add_min(p, column, &value);
        if (column && constant_of(p, expr->third, column, &value))
            add_max(p, column, &value);
    } else if (expr->kind == EXPR_IN && !expr->negated) {
        add_in(p, expr);
    }
}

Code exec__pruning(const Run *run, const BindContext *bind, const Expr *where, Pruning *out,
                   Error *e)
{
    *out = (Pruning){.seq_max = UINT64_MAX};
    if (!where)
        return OK;
    out->bounds = arena_new_array(run->arena, ColumnBounds, BOUNDS_MAX);
    Pruner pruner = {.run = run, .bind = bind, .out = out};
    add(&pruner, where);
    if (!sql_expr_is_native(where))
        return OK;
    BoundExpr *bound = NULL;
    TRY(sql_bind_condition(bind, where, run->arena, &bound, e));
    KeyCondition key = sql_key_condition(bound, bind->schema->key_index);
    if (key.has_seq) {
        out->seq_min = key.seq_min;
        out->seq_max = key.seq_max;
    }
    return OK;
}

static bool may_contain(const Pruning *pruning, const SegmentEntry *entry)
{
    if (entry->max_seq < pruning->seq_min || entry->min_seq > pruning->seq_max)
        return false;
    for (size_t i = 0; i < pruning->bound_count; i++) {
        const ColumnBounds *b = &pruning->bounds[i];
        if (!segment_may_contain(entry, b->column, b->has_min ? &b->min : NULL,
                                 b->has_max ? &b->max : NULL))
            return false;
    }
    return true;
}

Code exec__wanted_segments(const Run *run, const ScanScope *scope, const Pruning *pruning,
                           SegmentEntry **out, size_t *out_count, Error *e)
{
    *out_count = 0;
    if (scope->table->kind == TABLE_STREAM) /* streams are never flushed */
        return OK;
    size_t count = 0;
    TRY(view_segments(scope->view, scope->partition, pruning->seq_min, pruning->seq_max, run->arena,
                      out, &count, e));
    for (size_t i = 0; i < count; i++)
        if (may_contain(pruning, &(*out)[i]))
            (*out)[(*out_count)++] = (*out)[i];
    return OK;
}

Code exec__needs_cold(const Run *run, const ScanScope *scope, bool *out, Error *e)
{
    PartitionState state = {0};
    TRY(view_partition(scope->view, scope->table, scope->partition, &state, e));
    if (state.flush_mark == 0 || scope->table->kind == TABLE_STREAM) {
        *out = false;
        return OK;
    }
    Pruning pruning = {0};
    TRY(exec__pruning(run, scope->bind, scope->where, &pruning, e));
    SegmentEntry *segments = NULL;
    size_t count = 0;
    TRY(exec__wanted_segments(run, scope, &pruning, &segments, &count, e));
    *out = count > 0;
    return OK;
}
