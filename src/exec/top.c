/* SPDX-License-Identifier: Apache-2.0
 *
 * "The newest 50": the first rows of segments by a column of whole numbers or times, or by _seq,
 * without reading all of them. The entries of the segments say between which values their rows lie,
 * so the values are gone through from the best on, a range at a time: each step reads the rows of
 * one range, out of the segments that reach into it, and the caller stops when what is left is
 * worse than what it has.
 *
 *   I1  The ranges are disjoint and come in the order asked for: after a step no better row is left
 *       than `next`. Bounds of entries may be looser than the values, never tighter.
 *   I2  A segment whose rows have no known bounds makes the whole "not handled".
 *
 * Values are handled as ranks, which ascend in the order asked for: the value itself, or its
 * complement when it is descending. How far a range goes is a guess from the entries (rows lie
 * evenly between their bounds); a wrong guess costs time only. The WHERE is DuckDB's; the caller
 * applies it again, and puts rows of both tiers into one order.
 */
#include "exec/select.h"

#include "base/limits.h"
#include "cold/cold.h"
#include "engine/engine.h"

#include <stdlib.h>

enum {
    TOP_ROWS_MAX = 10 * 1000, /* more is no small part of most tables */
    FIRST_ROWS = 8192,        /* a row group: what the first step reads where there is a WHERE */
    NEXT_ROWS = 2048,         /* less is not worth a step */
    GROWTH_MAX = 32,          /* of a step, as a multiple of all before */
};

static const double MARGIN = 1.5; /* more than what is likely needed, lest another step is */

typedef enum TopPhase { TOP_NULLS_FIRST, TOP_RANGES, TOP_NULLS_LAST, TOP_END } TopPhase;

typedef struct TopFile {
    const SegmentEntry *entry;
    uint64_t null_count;
    bool has_values;
    int64_t first, last; /* ranks */
} TopFile;

struct TopScan {
    Run *run;
    TopRequest request;
    const Schema *schema;
    TopFile *files; /* by their best ranks */
    size_t file_count;
    DeadList dead;
    bool has_bounds; /* the WHERE bounds the column: NULL is out */
    TopPhase phase;
    int64_t next;       /* I1: the lowest rank that was not read */
    int64_t stop;       /* the WHERE excludes what is above */
    double wanted_rows; /* that the next step shall read, by the entries */
    double read_rows;   /* that the steps so far have read */
    uint64_t found_rows;
    int32_t *columns; /* of the result behind _seq */
    uint32_t column_count;
};

/* ---- ranks ---- */

static int64_t rank_of(const TopScan *top, int64_t value)
{
    return top->request.order[0].descending ? ~value : value;
}

/* False of numbers that the column cannot have, which a WHERE may compare it with. */
static bool holds(Type type, int64_t value)
{
    if (type == TYPE_SMALLINT)
        return value >= INT16_MIN && value <= INT16_MAX;
    return type != TYPE_INT || (value >= INT32_MIN && value <= INT32_MAX);
}

/* False when the entry does not say between which values the rows lie. */
static bool find_edges(const TopScan *top, const SegmentEntry *entry, int64_t *out_min,
                       int64_t *out_max, uint64_t *out_nulls)
{
    int32_t index = top->request.order[0].column;
    *out_nulls = 0;
    if (index == BOUND_SEQ) {
        *out_min = (int64_t)entry->min_seq;
        *out_max = (int64_t)entry->max_seq;
        return true;
    }
    const Column *column = &top->schema->columns[index];
    const SegmentStats *stats = segment_stats(entry, column->field_id);
    if (!stats && (!column->has_fill || column->fill.is_null)) { /* added later */
        *out_nulls = entry->row_count;
        return true;
    }
    if (!stats) {
        *out_min = *out_max = column->fill.integer;
        return column->fill.type == column->type;
    }
    *out_nulls = stats->null_count;
    if (stats->null_count == entry->row_count)
        return true;
    bool same_order =
        stats->has_bounds && (stats->min.type == column->type ||
                              (type_is_integer(stats->min.type) && type_is_integer(column->type)));
    if (!same_order)
        return false;
    *out_min = stats->min.integer;
    *out_max = stats->max.integer;
    return holds(column->type, *out_min) && holds(column->type, *out_max);
}

static bool init_file(const TopScan *top, const SegmentEntry *entry, TopFile *out)
{
    int64_t min = 0, max = 0;
    *out = (TopFile){.entry = entry};
    if (!find_edges(top, entry, &min, &max, &out->null_count))
        return false;
    out->has_values = out->null_count < entry->row_count;
    bool is_descending = top->request.order[0].descending;
    out->first = rank_of(top, is_descending ? max : min);
    out->last = rank_of(top, is_descending ? min : max);
    return true;
}

static int compare_files(const void *a, const void *b)
{
    const TopFile *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

/* ---- opening ---- */

static bool is_ordered_by_number(const TopRequest *request, const Schema *schema)
{
    if (request->order_count == 0)
        return false;
    for (size_t i = 0; i < request->order_count; i++)
        if (request->order[i].column < 0 && request->order[i].column != BOUND_SEQ)
            return false;
    int32_t first = request->order[0].column;
    if (first == BOUND_SEQ)
        return true;
    Type type = schema->columns[first].type;
    return type_is_integer(type) || type == TYPE_TIMESTAMP;
}

/* What the WHERE says of the column: pages are asked for like this. */
static void take_bounds(TopScan *top, const Pruning *pruning)
{
    bool is_descending = top->request.order[0].descending, has_min = false, has_max = false;
    int64_t min = 0, max = 0;
    int32_t index = top->request.order[0].column;
    if (index == BOUND_SEQ) {
        has_min = has_max = true;
        min = (int64_t)pruning->seq_min;
        max = pruning->seq_max > INT64_MAX ? INT64_MAX : (int64_t)pruning->seq_max;
    }
    for (size_t i = 0; index >= 0 && i < pruning->bound_count; i++) {
        const ColumnBounds *b = &pruning->bounds[i];
        const Column *column = &top->schema->columns[index];
        if (b->column != column)
            continue;
        top->has_bounds = b->has_min || b->has_max;
        bool is_time = column->type == TYPE_TIMESTAMP;
        has_min =
            b->has_min && (is_time ? b->min.type == TYPE_TIMESTAMP : type_is_integer(b->min.type));
        has_max =
            b->has_max && (is_time ? b->max.type == TYPE_TIMESTAMP : type_is_integer(b->max.type));
        min = has_min ? b->min.integer : 0;
        max = has_max ? b->max.integer : 0;
    }
    if (is_descending ? has_max : has_min)
        top->next = rank_of(top, is_descending ? max : min);
    if (is_descending ? has_min : has_max)
        top->stop = rank_of(top, is_descending ? min : max);
}

static void choose_columns(TopScan *top)
{
    uint32_t count = top->schema->column_count;
    top->columns = arena_new_array(top->run->arena, int32_t, count + 1);
    for (uint32_t i = 0; i < count; i++)
        if (top->request.columns[i])
            top->columns[top->column_count++] = (int32_t)i;
}

static Code init(TopScan *top, bool *out_handled, Error *e)
{
    const ScanScope *scope = top->request.scope;
    Pruning pruning = {0};
    SegmentEntry *entries = NULL;
    size_t count = 0;
    TRY(exec__pruning(top->run, scope->bind, scope->where, &pruning, e));
    TRY(exec__wanted_segments(top->run, scope, &pruning, &entries, &count, e));
    top->files = arena_new_array(top->run->arena, TopFile, count + 1);
    for (size_t i = 0; i < count; i++)
        if (!init_file(top, &entries[i], &top->files[top->file_count++]))
            return OK; /* I2 */
    if (count)
        qsort(top->files, count, sizeof *top->files, compare_files);
    take_bounds(top, &pruning);
    choose_columns(top);
    *out_handled = true;
    if (top->run->mode == HOT_CACHED_ONLY) /* a loop makes no step: that list may be long */
        return OK;
    TRY(view_dead_list(scope->view, scope->partition, top->run->arena, &top->dead, e));
    *out_handled = !top->dead.is_cut;
    return OK;
}

Code exec__top_open(Run *run, const TopRequest *request, TopScan **out, Error *e)
{
    const Schema *schema = request->scope->table->schema;
    if (run->transaction || request->rows > TOP_ROWS_MAX || !is_ordered_by_number(request, schema))
        return OK;
    TopScan *top = arena_new_of(run->arena, TopScan);
    *top = (TopScan){.run = run, .request = *request, .schema = schema};
    top->next = INT64_MIN;
    top->stop = INT64_MAX;
    top->phase = request->order[0].nulls_first ? TOP_NULLS_FIRST : TOP_RANGES;
    top->wanted_rows = 2.0 * (double)request->rows;
    if (request->scope->where && top->wanted_rows < FIRST_ROWS)
        top->wanted_rows = FIRST_ROWS;
    bool handled = false;
    TRY(init(top, &handled, e));
    if (handled)
        *out = top;
    return OK;
}

/* ---- what is left ---- */

static bool has_nulls(const TopScan *top)
{
    for (size_t i = 0; !top->has_bounds && i < top->file_count; i++)
        if (top->files[i].null_count)
            return true;
    return false;
}

static bool reaches(const TopScan *top, const TopFile *file, int64_t end)
{
    return file->has_values && file->last >= top->next && file->first <= end;
}

/* The best rank a row can have that was not read. */
static bool best_left(const TopScan *top, int64_t *out)
{
    bool found = false;
    for (size_t i = 0; top->next <= top->stop && i < top->file_count; i++) {
        const TopFile *file = &top->files[i];
        if (!reaches(top, file, top->stop))
            continue;
        int64_t best = file->first > top->next ? file->first : top->next;
        *out = !found || best < *out ? best : *out;
        found = true;
    }
    return found;
}

static void end_phase(TopScan *top)
{
    bool was_first = top->phase == TOP_NULLS_FIRST;
    bool nulls_come = top->phase == TOP_RANGES && !top->request.order[0].nulls_first;
    top->phase = was_first ? TOP_RANGES : nulls_come ? TOP_NULLS_LAST : TOP_END;
}

bool exec__top_is_done(TopScan *top, const Value *worst)
{
    bool nulls_first = top->request.order[0].nulls_first;
    int64_t best = 0;
    for (;; end_phase(top))
        switch (top->phase) {
        case TOP_NULLS_FIRST:
            if (has_nulls(top))
                return false; /* equal at best: the keys behind the first decide */
            break;
        case TOP_RANGES:
            if (worst && worst->is_null && nulls_first)
                return true;
            if (best_left(top, &best))
                return worst && !worst->is_null && rank_of(top, worst->integer) < best;
            break;
        case TOP_NULLS_LAST:
            if (has_nulls(top))
                return worst && !worst->is_null;
            break;
        default:
            return true;
        }
}

/* ---- how far a step goes ---- */

static double rows_until(const TopScan *top, int64_t end)
{
    double rows = 0;
    for (size_t i = 0; i < top->file_count; i++) {
        const TopFile *file = &top->files[i];
        if (!reaches(top, file, end))
            continue;
        int64_t from = file->first > top->next ? file->first : top->next;
        int64_t to = file->last < end ? file->last : end;
        double share =
            ((double)to - (double)from + 1) / ((double)file->last - (double)file->first + 1);
        rows += share * (double)(file->entry->row_count - file->null_count);
    }
    return rows;
}

static int64_t choose_end(const TopScan *top, const Value *worst)
{
    int64_t low = top->next, high = top->stop;
    if (worst && !worst->is_null) {
        int64_t rank = rank_of(top, worst->integer);
        high = rank < high ? rank : high; /* equal to the worst is not yet worse */
    }
    if (rows_until(top, high) <= top->wanted_rows)
        return high;
    while (low < high) {
        int64_t middle = (int64_t)(((__int128)low + high) >> 1);
        if (rows_until(top, middle) >= top->wanted_rows)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

/* ---- one step ---- */

typedef struct TopStep {
    TopScan *top;
    EngineQuery *query;
    bool is_null; /* the rows whose value is NULL; else those up to `end` */
    int64_t end;
    SegmentEntry *entries;
    uint64_t *batches; /* in the order asked for: DuckDB then skips what comes too late */
    uint32_t count;
    bool has_dead;
    uint32_t ref;
} TopStep;

static void choose_files(TopStep *step)
{
    const TopScan *top = step->top;
    step->entries = arena_new_array(top->run->arena, SegmentEntry, top->file_count + 1);
    step->batches = arena_new_array(top->run->arena, uint64_t, top->file_count + 1);
    for (size_t i = 0; i < top->file_count; i++) {
        const TopFile *file = &top->files[i];
        if (step->is_null ? file->null_count == 0 : !reaches(top, file, step->end))
            continue;
        step->entries[step->count] = *file->entry;
        step->batches[step->count++] = file->entry->batch;
        step->has_dead |=
            view_has_dead_between(&top->dead, file->entry->min_seq, file->entry->max_seq);
    }
}

static Code are_alive(void *context, const uint64_t *seqs, uint32_t count, bool *out_alive,
                      Error *e)
{
    (void)e;
    const TopScan *top = context;
    view_mark_alive(&top->dead, seqs, count, out_alive);
    return OK;
}

static Code find_table(void *context, const TableName *name, PrintTable *out, Error *e)
{
    (void)e;
    (void)name;
    const TopStep *step = context;
    *out = (PrintTable){
        .schema = step->top->schema,
        .namespace_name = step->top->request.scope->bind->namespace_name,
        .has_system_columns = true,
    };
    return OK;
}

static Code print_table(void *context, const TableRef *ref, const PrintTable *table, Buffer *out,
                        Error *e)
{
    (void)ref;
    (void)table;
    const TopStep *step = context;
    const TopScan *top = step->top;
    CLEANUP(buffer_done) Buffer folder = {0};
    TRY(exec__cold_folder(top->run, top->request.scope->table, &folder, e));
    SegmentList list = {
        .storage_root = database_storage_folder(top->run->executor->db),
        .folder = buffer_slice(&folder),
        .batches = step->batches,
        .count = step->count,
    };
    buffer_add_text(out, "(SELECT * FROM ");
    cold_add_read_parquet(out, &list, top->schema);
    if (step->has_dead)
        buffer_printf(out, " WHERE alive(%llu, %u, _seq)",
                      (unsigned long long)engine_query_handle(step->query), step->ref);
    buffer_add_char(out, ')');
    return OK;
}

static Expr *column_expr(const TopScan *top, int32_t index)
{
    Expr *expr = arena_new_of(top->run->arena, Expr);
    Slice name = index < 0 ? SLICE("_seq") : top->schema->columns[index].name;
    *expr = (Expr){.kind = EXPR_COLUMN, .column = {.name = name}};
    return expr;
}

static Expr *binary(const TopScan *top, Operator op, Expr *left, Expr *right)
{
    if (!left || !right)
        return left ? left : right;
    Expr *expr = arena_new_of(top->run->arena, Expr);
    *expr = (Expr){.kind = EXPR_BINARY, .op = op, .left = left, .right = right};
    return expr;
}

/* `column op the value of a rank`; NULL where no value lies beyond it: segments reach into the
 * range, so one that the column cannot have is outside of all. */
static Expr *edge(const TopScan *top, Operator ascending, Operator descending, int64_t rank)
{
    int32_t index = top->request.order[0].column;
    bool is_descending = top->request.order[0].descending;
    Type type = index < 0 ? TYPE_BIGINT : top->schema->columns[index].type;
    int64_t edge_value = rank_of(top, rank);
    bool is_open = rank == (ascending == OP_GREATER_EQUAL ? INT64_MIN : INT64_MAX);
    if (is_open || !holds(type, edge_value))
        return NULL;
    Expr *value = arena_new_of(top->run->arena, Expr);
    *value = (Expr){.kind = EXPR_LITERAL, .value = value_integer(type, edge_value)};
    return binary(top, is_descending ? descending : ascending, column_expr(top, index), value);
}

static Expr *null_test(const TopScan *top, bool negated)
{
    Expr *expr = arena_new_of(top->run->arena, Expr);
    *expr = (Expr){.kind = EXPR_IS,
                   .is = IS_NULL,
                   .negated = negated,
                   .left = column_expr(top, top->request.order[0].column)};
    return expr;
}

static Expr *condition_of(const TopStep *step)
{
    const TopScan *top = step->top;
    Expr *where = (Expr *)top->request.scope->where;
    if (step->is_null)
        return binary(top, OP_AND, null_test(top, false), where);
    Expr *range = binary(top, OP_AND, edge(top, OP_GREATER_EQUAL, OP_LESS_EQUAL, top->next),
                         edge(top, OP_LESS_EQUAL, OP_GREATER_EQUAL, step->end));
    if (!range && has_nulls(top)) /* they have a step of their own */
        range = null_test(top, true);
    return binary(top, OP_AND, range, where);
}

/* SELECT _seq, the columns FROM t WHERE range AND where ORDER BY the order, _seq LIMIT limit */
static Code print_step(TopStep *step, uint64_t limit, Buffer *out, Error *e)
{
    const TopScan *top = step->top;
    Run *run = top->run;
    SelectItem *items = arena_new_array(run->arena, SelectItem, top->column_count + 1);
    items[0] = (SelectItem){.expr = column_expr(top, BOUND_SEQ)};
    for (uint32_t i = 0; i < top->column_count; i++)
        items[i + 1] = (SelectItem){.expr = column_expr(top, top->columns[i])};
    uint32_t order_count = (uint32_t)top->request.order_count;
    OrderItem *order = arena_new_array(run->arena, OrderItem, order_count + 1);
    for (uint32_t i = 0; i < order_count; i++) {
        const TopOrder *key = &top->request.order[i];
        order[i] = (OrderItem){column_expr(top, key->column), key->descending, key->nulls_first};
    }
    order[order_count] = (OrderItem){.expr = column_expr(top, BOUND_SEQ)};
    Expr count = {.kind = EXPR_LITERAL, .value = value_integer(TYPE_BIGINT, (int64_t)limit)};
    Select select = {
        .items = items,
        .item_count = top->column_count + 1,
        .from = (TableRef *)top->request.from,
        .where = condition_of(step),
        .order = order,
        .order_count = order_count + 1,
        .limit = &count,
        .has_limit = true,
    };
    PrintCallbacks callbacks = {step, find_table, print_table};
    PrintRequest request = exec__print_request(run, &callbacks);
    PrintColumn *columns = NULL;
    size_t printed = 0;
    return sql_print_select(&request, &select, run->arena, out, &columns, &printed, e);
}

static Code take_rows(const TopScan *top, EngineResult *result, uint64_t *out_rows, Error *e)
{
    Value *values = arena_new_array(top->run->arena, Value, top->schema->column_count + 1);
    for (uint32_t i = 0; i < top->schema->column_count; i++)
        values[i] = value_null(top->schema->columns[i].type);
    for (uint64_t rows = 0;; rows++) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end) {
            *out_rows = rows;
            return OK;
        }
        if (row[0].is_null)
            return fail(e, E_CORRUPT, "a row of a segment has no _seq");
        for (uint32_t i = 0; i < top->column_count; i++) {
            Value *v = &values[top->columns[i]];
            Type type = v->type;
            *v = row[i + 1];
            must(v->type == type || type_is_text(type));
            v->type = type; /* DuckDB knows JSON as text */
        }
        RowView view = {.values = values, .seq = (uint64_t)row[0].integer};
        TRY(top->request.row(top->request.context, &view, e));
    }
}

static Code run_step(TopStep *step, uint64_t limit, uint64_t *out_rows, Error *e)
{
    const TopScan *top = step->top;
    const ScanScope *scope = top->request.scope;
    CLEANUP(buffer_done) Buffer sql = {0};
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    EngineSource source = {.schema = top->schema, .context = step->top, .are_alive = are_alive};
    TRY(view_check_segments(scope->view, scope->table, scope->partition, step->entries, step->count,
                            e));
    TRY(engine_query_add_source(step->query, &source, &step->ref, e));
    TRY(print_step(step, limit, &sql, e));
    EngineLimits limits = {
        .wait_ms = EXEC_ENGINE_WAIT_MS,
        .timeout_ms = exec__time_left_ms(top->run),
        .bytes_max = EXEC_RESULT_BYTES_MAX,
    };
    TRY(engine_run(step->query, buffer_slice(&sql), &limits, &result, e));
    return take_rows(top, result, out_rows, e);
}

/* The next step goes as far as the rows that were found so far suggest. */
static void move_on(TopScan *top, const TopStep *step, uint64_t rows, uint64_t limit)
{
    double most = top->read_rows * GROWTH_MAX;
    top->found_rows += rows;
    top->wanted_rows = most;
    if (top->found_rows && limit > rows)
        top->wanted_rows =
            MARGIN * (double)(limit - rows) * top->read_rows / (double)top->found_rows;
    if (top->wanted_rows < NEXT_ROWS)
        top->wanted_rows = NEXT_ROWS;
    if (top->wanted_rows < top->read_rows / 2) /* the hits may all have been at the beginning */
        top->wanted_rows = top->read_rows / 2;
    if (top->wanted_rows > most && most > NEXT_ROWS)
        top->wanted_rows = most;
    if (step->is_null || step->end == INT64_MAX || step->end >= top->stop)
        end_phase(top);
    else
        top->next = step->end + 1; /* I1 */
}

Code exec__top_step(TopScan *top, uint64_t limit, const Value *worst, Error *e)
{
    must(top->run->mode != HOT_CACHED_ONLY);
    must(top->phase != TOP_END);
    must(limit > 0);
    TopStep step = {.top = top, .is_null = top->phase != TOP_RANGES};
    if (!step.is_null)
        step.end = choose_end(top, worst);
    top->read_rows += step.is_null ? 0 : rows_until(top, step.end);
    choose_files(&step);
    must(step.count > 0); /* exec__top_is_done has said that something is left */
    uint64_t rows = 0;
    step.query = engine_query_new(database_engine(top->run->executor->db));
    engine_query_watch(step.query, exec__has_left(top->run));
    Code code = run_step(&step, limit, &rows, e);
    engine_query_free(step.query);
    TRY(code);
    move_on(top, &step, rows, limit);
    return OK;
}
