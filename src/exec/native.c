/* SPDX-License-Identifier: Apache-2.0
 *
 * The native SELECT: filter, projection, ORDER BY, LIMIT and count(*) over one table's hot rows,
 * one row by key, the rows of a view, or no table at all. It says "not handled" instead of being
 * slow: when segments have to be read for more than their first rows (top.c), and when more than
 * EXEC_NATIVE_BYTES_MAX of rows would have to be kept.
 *
 * Rows are pushed: a source (walk, key, view) calls consume() for each, which filters and then
 *   counts        count(*)
 *   emits         when the source's order is the one asked for; stops at LIMIT
 *   keeps         otherwise, all rows or the best LIMIT + OFFSET of them in a heap, emitted at
 *                 the end
 */
#include "exec/select.h"

#include "data/row.h"
#include "exec/transaction.h"
#include "exec/views.h"
#include "sql/sql.h"
#include "table/figures.h"

#include <stdlib.h>

enum { COLD_KEYS_MAX = 8 }; /* so many single rows are read from segments, more are DuckDB's */

typedef struct OrderKey {
    BoundExpr *expr;
    bool descending, nulls_first;
} OrderKey;

typedef struct KeptRow {
    Value *keys, *values;
    uint64_t arrival; /* breaks ties: the place in the source, the seq where rows are walked */
} KeptRow;

typedef struct Native {
    Run *run;
    ReadView *view;
    const Select *select;
    const RowOutput *output;
    Table *table; /* a reference; NULL for views and without FROM */
    Partition partition;
    const ExecView *sysview; /* or NULL */
    const Schema *schema;    /* NULL without FROM */
    BindContext bind;
    BoundExpr *where;
    KeyCondition key;
    Value *key_list;
    size_t key_count;
    bool by_key; /* the source is key_list */
    BoundExpr **items;
    ResultColumn *columns;
    size_t item_count;
    OrderKey *order;
    size_t order_count;
    bool counts, direct, descending, has_limit;
    uint64_t limit, skip;
    /* what happened so far */
    Arena *scratch; /* of one row */
    Arena *keep;    /* of the kept rows */
    Value *row_values, *out_values, *order_values;
    KeptRow *kept;
    size_t kept_count, kept_capacity;
    uint64_t visited, matched, emitted;
    uint64_t cold_rows; /* out of segments, the best first */
    bool stopped;       /* LIMIT is reached */
    bool over_budget;
} Native;

static void native_done(Native *n)
{
    table_unref(n->table);
    arena_free(n->scratch);
    arena_free(n->keep);
    free(n->kept);
}

/* ---- preparing ---- */

static Code find_source(Native *n, Error *e)
{
    const TableRef *from = n->select->from;
    n->bind = exec__bind_context(n->run, NULL);
    if (!from)
        return OK;
    Slice namespace_name = exec__namespace_of(n->run, &from->table);
    if (catalog_is_system_namespace(namespace_name)) {
        TRY(exec__find_view(n->run, namespace_name, from->table.name, &n->sysview, e));
        n->schema = exec__view_schema(n->sysview, n->run->arena);
    } else {
        TRY(exec__find_table(n->run, &from->table, &n->table, e));
        TRY(exec__check_access(n->run, n->table, ACCESS_READ, e));
        TRY(exec__check_open(n->run, n->view, n->table, e));
        n->partition = exec__partition(&n->run->session, n->table);
        n->schema = n->table->schema;
    }
    n->bind.schema = n->schema;
    n->bind.namespace_name = namespace_name;
    n->bind.table = from->table.name;
    n->bind.alias = from->alias;
    return OK;
}

/* LIMIT and OFFSET; NULL counts as not written. */
static Code bind_count(Native *n, const Expr *expr, const char *what, uint64_t *out, bool *out_has,
                       Error *e)
{
    if (!expr)
        return OK;
    BindContext bind = exec__bind_context(n->run, NULL);
    BoundExpr *bound = NULL;
    Value value = {0}, number = {0};
    TRY(sql_bind(&bind, expr, n->run->arena, &bound, e));
    TRY(sql_eval(bound, NULL, &n->run->eval, n->run->arena, &value, e));
    if (value.is_null)
        return OK;
    if (value_cast(&value, TYPE_BIGINT, what, n->run->arena, &number, NULL) != OK ||
        number.integer < 0)
        return exec__place(n->run, expr->offset,
                           fail(e, E_INVALID_SQL, "%s must be a whole number of 0 or more", what),
                           e);
    *out = (uint64_t)number.integer;
    *out_has = true;
    return OK;
}

static void add_item(Native *n, BoundExpr *expr, Slice name)
{
    int32_t index = sql_bound_column(expr);
    ResultColumn *column = &n->columns[n->item_count];
    *column = (ResultColumn){.name = name, .type = sql_bound_type(expr)};
    if (index >= 0 && n->table) {
        const Column *source = &n->schema->columns[index];
        column->primary_key = source->primary_key;
        column->not_null = source->not_null;
        column->unique = source->primary_key;
    }
    n->items[n->item_count++] = expr;
}

static Code add_named(Native *n, Slice name, Error *e)
{
    Expr *expr = arena_new_of(n->run->arena, Expr);
    *expr = (Expr){.kind = EXPR_COLUMN, .column = {.name = name}};
    BoundExpr *bound = NULL;
    TRY(sql_bind(&n->bind, expr, n->run->arena, &bound, e));
    add_item(n, bound, name);
    return OK;
}

static Code add_star(Native *n, Error *e)
{
    for (uint32_t i = 0; i < n->schema->column_count; i++)
        TRY(add_named(n, n->schema->columns[i].name, e));
    if (!n->table)
        return OK;
    TRY(add_named(n, SLICE("_seq"), e));
    return add_named(n, SLICE("_deleted"), e);
}

static Code bind_items(Native *n, Error *e)
{
    size_t room = 0;
    for (uint32_t i = 0; i < n->select->item_count; i++)
        room += n->select->items[i].star ? n->schema->column_count + 2 : 1;
    n->items = arena_new_array(n->run->arena, BoundExpr *, room);
    n->columns = arena_new_array(n->run->arena, ResultColumn, room);
    for (uint32_t i = 0; i < n->select->item_count; i++) {
        const SelectItem *item = &n->select->items[i];
        if (item->star) {
            TRY(add_star(n, e));
            continue;
        }
        Slice name = sql_item_name(item, n->run->arena);
        if (n->counts) {
            n->columns[n->item_count++] = (ResultColumn){.name = name, .type = TYPE_BIGINT};
            continue;
        }
        BoundExpr *bound = NULL;
        TRY(sql_bind(&n->bind, item->expr, n->run->arena, &bound, e));
        add_item(n, bound, name);
    }
    return OK;
}

/* ORDER BY 2, ORDER BY alias, ORDER BY expression. */
static Code bind_order_item(Native *n, const OrderItem *item, BoundExpr **out, Error *e)
{
    const Expr *expr = item->expr;
    if (expr->kind == EXPR_LITERAL && expr->value.type == TYPE_BIGINT && !expr->value.is_null) {
        int64_t place = expr->value.integer;
        if (place < 1 || (uint64_t)place > n->item_count)
            return fail(e, E_INVALID_SQL, "ORDER BY %lld: the result has %zu columns",
                        (long long)place, n->item_count);
        *out = n->items[place - 1];
        return OK;
    }
    if (expr->kind == EXPR_LITERAL)
        return fail(e, E_INVALID_SQL, "ORDER BY a constant has no effect");
    for (size_t i = 0; expr->kind == EXPR_COLUMN && !expr->column.table.size && i < n->item_count;
         i++)
        if (slice_equal_ignoring_case(n->columns[i].name, expr->column.name)) {
            *out = n->items[i];
            return OK;
        }
    return sql_bind(&n->bind, expr, n->run->arena, out, e);
}

static Code bind_order(Native *n, Error *e)
{
    const Select *select = n->select;
    int32_t implicit =
        n->table && !n->counts ? exec__implicit_order(select, n->schema) : BOUND_NOT_A_COLUMN;
    n->order = arena_new_array(n->run->arena, OrderKey, select->order_count + 1);
    for (uint32_t i = 0; !n->counts && i < select->order_count; i++) {
        OrderKey *key = &n->order[n->order_count++];
        *key = (OrderKey){.descending = select->order[i].descending,
                          .nulls_first = select->order[i].nulls_first};
        TRY(bind_order_item(n, &select->order[i], &key->expr, e));
    }
    if (implicit != BOUND_NOT_A_COLUMN) {
        Expr expr = {.kind = EXPR_COLUMN, .column = {.name = SLICE("_seq")}};
        if (implicit >= 0)
            expr.column.name = n->schema->columns[implicit].name;
        TRY(sql_bind(&n->bind, &expr, n->run->arena, &n->order[n->order_count++].expr, e));
    }
    bool by_seq = n->order_count > 0 && n->table && sql_bound_column(n->order[0].expr) == BOUND_SEQ;
    bool one_row = n->by_key && n->key_count <= 1;
    n->direct = n->order_count == 0 || one_row || (by_seq && !n->by_key);
    /* The best of most orders that descend are new: kept first, they spare keeping others. */
    n->descending = n->order_count > 0 && n->order[0].descending && !n->by_key;
    return OK;
}

static void choose_source(Native *n)
{
    n->key = sql_key_condition(n->where, n->schema ? n->schema->key_index : -1);
    if (!n->table || n->table->kind == TABLE_STREAM || n->schema->key_index < 0)
        return;
    n->by_key =
        sql_key_list(n->where, n->schema->key_index, n->run->arena, &n->key_list, &n->key_count);
}

static bool is_mixed_count(const Native *n, bool *out_counts)
{
    uint32_t counts = 0;
    for (uint32_t i = 0; i < n->select->item_count; i++)
        if (!n->select->items[i].star && sql_expr_is_count_star(n->select->items[i].expr))
            counts++;
    *out_counts = counts > 0;
    return counts > 0 && counts < n->select->item_count;
}

/* *out_handled false: a shape that the printer treats, or refuses with the better words. */
static Code prepare(Native *n, bool *out_handled, Error *e)
{
    if (n->select->from && n->select->from->kind != REF_TABLE)
        return OK;
    TRY(find_source(n, e));
    if (n->table && n->run->executor->options.duckdb_only)
        return OK;
    for (uint32_t i = 0; i < n->select->item_count; i++) {
        const SelectItem *item = &n->select->items[i];
        Slice visible = n->bind.alias.size ? n->bind.alias : n->bind.table;
        if (item->star && (!n->schema || (item->star_table.size &&
                                          !slice_equal_ignoring_case(item->star_table, visible))))
            return OK;
    }
    if (is_mixed_count(n, &n->counts) || (n->counts && !n->select->from))
        return OK;
    TRY(sql_bind_condition(&n->bind, n->select->where, n->run->arena, &n->where, e));
    choose_source(n);
    TRY(bind_items(n, e));
    TRY(bind_order(n, e));
    bool has_skip = false;
    TRY(bind_count(n, n->select->limit, "LIMIT", &n->limit, &n->has_limit, e));
    TRY(bind_count(n, n->select->row_offset, "OFFSET", &n->skip, &has_skip, e));
    *out_handled = true;
    return OK;
}

/* ---- rows ---- */

static int compare_rows(const Native *n, const KeptRow *a, const KeptRow *b)
{
    for (size_t i = 0; i < n->order_count; i++) {
        const Value *x = &a->keys[i], *y = &b->keys[i];
        if (x->is_null != y->is_null)
            return x->is_null == n->order[i].nulls_first ? -1 : 1;
        int order = x->is_null ? 0 : value_compare(x, y);
        if (order)
            return n->order[i].descending ? -order : order;
    }
    return (a->arrival > b->arrival) - (a->arrival < b->arrival);
}

static int compare_for_sort(const void *a, const void *b, void *n)
{
    return compare_rows(n, a, b);
}

/* A heap with the worst kept row at its root. */
static void sift_up(Native *n, size_t at)
{
    for (size_t up = (at - 1) / 2; at > 0 && compare_rows(n, &n->kept[up], &n->kept[at]) < 0;
         at = up, up = (at - 1) / 2) {
        KeptRow row = n->kept[up];
        n->kept[up] = n->kept[at];
        n->kept[at] = row;
    }
}

static void sift_down(Native *n)
{
    size_t at = 0;
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < n->kept_count; child++)
            if (compare_rows(n, &n->kept[worst], &n->kept[child]) < 0)
                worst = child;
        if (worst == at)
            return;
        KeptRow row = n->kept[worst];
        n->kept[worst] = n->kept[at];
        n->kept[at] = row;
        at = worst;
    }
}

static Code eval_items(Native *n, const RowView *row, Error *e)
{
    for (size_t i = 0; i < n->item_count; i++)
        TRY(sql_eval(n->items[i], row, &n->run->eval, n->scratch, &n->out_values[i], e));
    return OK;
}

static Value *copy_values(Native *n, const Value *values, size_t count)
{
    Value *copy = arena_new_array(n->keep, Value, count);
    for (size_t i = 0; i < count; i++)
        copy[i] = exec__copy_value(&values[i], n->keep);
    return copy;
}

static uint64_t wanted_rows(const Native *n)
{
    return n->limit + n->skip < n->limit ? UINT64_MAX : n->limit + n->skip;
}

static Code keep_row(Native *n, const RowView *row, Error *e)
{
    for (size_t i = 0; i < n->order_count; i++)
        TRY(sql_eval(n->order[i].expr, row, &n->run->eval, n->scratch, &n->order_values[i], e));
    KeptRow kept = {.keys = n->order_values};
    kept.arrival = n->table && !n->by_key ? row->seq : n->matched;
    bool full = n->has_limit && n->kept_count >= wanted_rows(n);
    if (full && compare_rows(n, &kept, &n->kept[0]) >= 0)
        return OK;
    TRY(eval_items(n, row, e));
    kept.keys = copy_values(n, n->order_values, n->order_count);
    kept.values = copy_values(n, n->out_values, n->item_count);
    if (arena_bytes(n->keep) > EXEC_NATIVE_BYTES_MAX)
        n->over_budget = n->stopped = true;
    if (full) {
        n->kept[0] = kept;
        sift_down(n);
        return OK;
    }
    if (n->kept_count == n->kept_capacity) {
        n->kept_capacity = n->kept_capacity ? n->kept_capacity * 2 : 64;
        n->kept = x_grow(n->kept, n->kept_capacity * sizeof *n->kept);
    }
    n->kept[n->kept_count++] = kept;
    if (n->has_limit)
        sift_up(n, n->kept_count - 1);
    return OK;
}

static Code emit(Native *n, const Value *values, Error *e)
{
    TRY(n->output->row(n->output->context, values, e));
    n->emitted++;
    return OK;
}

static TableView table_view(const Native *n)
{
    return (TableView){n->run, n->view, n->table, n->partition};
}

static Code consume(Native *n, const RowView *row, Error *e)
{
    bool matches = false;
    TRY(sql_eval_condition(n->where, row, &n->run->eval, n->scratch, &matches, e));
    if (!matches)
        return OK;
    if (n->table) {
        TableView at = table_view(n);
        exec__note_read(&at, row->seq);
    }
    n->matched++;
    if (n->counts)
        return OK;
    if (!n->direct)
        return keep_row(n, row, e);
    if (n->matched <= n->skip)
        return OK;
    TRY(eval_items(n, row, e));
    TRY(emit(n, n->out_values, e));
    n->stopped = n->has_limit && n->emitted >= n->limit;
    return OK;
}

static Code visit(Native *n, const RowView *row, Error *e)
{
    n->visited++;
    if (n->visited % EXEC_CLOCK_ROWS == 0)
        TRY(exec__check_time(n->run, e));
    if (n->run->mode == HOT_CACHED_ONLY && n->visited > EXEC_CACHED_ROWS_MAX)
        return fail(e, E_WOULD_BLOCK, "too many rows for a loop");
    Code code = consume(n, row, e);
    arena_reset(n->scratch);
    return code;
}

static Code visit_encoded(Native *n, uint64_t seq, Slice bytes, Error *e)
{
    TRY(row_decode(n->schema, bytes, n->row_values, e));
    RowView row = {.values = n->row_values, .seq = seq};
    return visit(n, &row, e);
}

/* ---- sources ---- */

static Code visit_key(Native *n, const Value *value, Error *e)
{
    CLEANUP(buffer_done) Buffer key = {0};
    Error ignored = {0};
    if (key_encode(value, &key, &ignored) != OK)
        return OK; /* longer than any key: no row has it */
    Version version = {0};
    TableView at = table_view(n);
    Code code = exec__find(&at, buffer_slice(&key), n->run->arena, &version, e);
    if (code == E_NOT_FOUND)
        return OK;
    TRY(code);
    if (!version.has_row && n->run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the row lies in a segment");
    if (!version.has_row)
        TRY(view_load_cold(n->view, n->table, n->partition, n->run->arena, &version, e));
    return visit_encoded(n, version.seq, version.row, e);
}

static Code scan_keys(Native *n, Error *e)
{
    for (size_t i = 0; i < n->key_count && !n->stopped; i++)
        TRY(visit_key(n, &n->key_list[i], e));
    return OK;
}

static Code scan_hot(Native *n, Error *e)
{
    uint64_t from = n->key.has_seq ? n->key.seq_min : 0;
    uint64_t to = n->key.has_seq ? n->key.seq_max : UINT64_MAX;
    CLEANUP(exec__walk_close_ptr) StagedWalk *walk = NULL;
    TableView at = table_view(n);
    TRY(exec__walk_open(&at, from, to, n->descending, &walk, e));
    while (!n->stopped) {
        bool end = false;
        uint64_t seq = 0;
        Slice bytes = {0};
        TRY(exec__walk_next(walk, &end, &seq, &bytes, e));
        if (end)
            break;
        TRY(visit_encoded(n, seq, bytes, e));
    }
    return OK;
}

static Code view_row(void *context, const Value *values, Error *e)
{
    Native *n = context;
    RowView row = {.values = values};
    TRY(visit(n, &row, e));
    return n->stopped ? fail(e, E_CANCELLED, "enough rows") : OK;
}

static Code scan_view(Native *n, Error *e)
{
    Code code =
        n->sysview->fill(n->sysview->context, &n->run->session, n->run->arena, view_row, n, e);
    return n->stopped ? OK : code;
}

/* count(*) of everything: the entries of the segments say how many rows they hold. */
static Code count_all(Native *n, Error *e)
{
    uint64_t cold = 0;
    if (n->run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the dead rows of the segments have to be counted");
    TRY(view_count_cold(n->view, n->partition, &cold, e));
    n->matched += cold;
    return scan_hot(n, e);
}

static Code cold_row(void *context, const RowView *row, Error *e)
{
    Native *n = context;
    uint64_t matched = n->matched;
    TRY(visit(n, row, e));
    n->cold_rows += n->matched - matched;
    return n->over_budget ? fail(e, E_CANCELLED, "more rows than are kept") : OK;
}

/* The first rows of the segments, in steps; *out_top stays NULL where they cannot be had so. */
static Code open_top(Native *n, const ScanScope *scope, TopScan **out_top, Error *e)
{
    if (!n->has_limit || n->counts || n->by_key || n->order_count == 0)
        return OK;
    TopOrder *order = arena_new_array(n->run->arena, TopOrder, n->order_count);
    for (size_t i = 0; i < n->order_count; i++)
        order[i] = (TopOrder){sql_bound_column(n->order[i].expr), n->order[i].descending,
                              n->order[i].nulls_first};
    bool *columns = arena_new_array(n->run->arena, bool, n->schema->column_count);
    memset(columns, 0, n->schema->column_count * sizeof *columns);
    sql_bound_columns(n->where, columns);
    for (size_t i = 0; i < n->item_count; i++)
        sql_bound_columns(n->items[i], columns);
    for (size_t i = 0; i < n->order_count; i++)
        sql_bound_columns(n->order[i].expr, columns);
    TopRequest request = {
        .scope = scope,
        .from = n->select->from,
        .order = order,
        .order_count = n->order_count,
        .columns = columns,
        .rows = wanted_rows(n),
        .row = cold_row,
        .context = n,
    };
    return exec__top_open(n->run, &request, out_top, e);
}

/* A step has all columns that the SELECT reads. Where they are too much DuckDB may still do it: it
 * gives only what is asked for. */
static Code step(Native *n, TopScan *top, const Value *worst, Error *e)
{
    Error failure = {0};
    uint64_t had = n->direct ? n->matched : n->cold_rows;
    Code code = exec__top_step(top, wanted_rows(n) - had, worst, &failure);
    if (code == E_TOO_LARGE)
        n->over_budget = n->stopped = true;
    if (code == OK || n->over_budget)
        return OK;
    if (e)
        *e = failure;
    return code;
}

static Code scan_top(Native *n, TopScan *top, Error *e)
{
    while (!n->stopped) {
        bool full = !n->direct && n->kept_count >= wanted_rows(n);
        const Value *worst = full ? &n->kept[0].keys[0] : NULL;
        if (exec__top_is_done(top, worst))
            break;
        if (n->run->mode == HOT_CACHED_ONLY)
            return fail(e, E_WOULD_BLOCK, "rows lie in segments");
        TRY(step(n, top, worst, e));
    }
    return OK;
}

/* Of rows in the order of _seq those of the segments are the oldest. */
static Code scan_both(Native *n, TopScan *top, Error *e)
{
    bool cold_first = n->direct && !n->descending;
    if (cold_first)
        TRY(scan_top(n, top, e));
    if (!n->stopped)
        TRY(scan_hot(n, e));
    return cold_first ? OK : scan_top(n, top, e);
}

/* *out_complete false: rows of segments are missing. */
static Code scan(Native *n, bool *out_complete, Error *e)
{
    *out_complete = true;
    if (n->key.never || (n->has_limit && n->limit == 0 && !n->counts))
        return OK;
    if (!n->schema) {
        RowView none = {0};
        return visit(n, &none, e);
    }
    if (n->sysview)
        return scan_view(n, e);
    if (n->by_key && n->key_count <= COLD_KEYS_MAX)
        return scan_keys(n, e);
    bool cold = false;
    ScanScope scope = {n->view, n->table, n->partition, &n->bind, n->select->where};
    TRY(exec__needs_cold(n->run, &scope, &cold, e));
    if (n->by_key && !cold)
        return scan_keys(n, e);
    if (cold && n->counts && !n->select->where && !n->run->transaction)
        return count_all(n, e);
    TopScan *top = NULL;
    if (cold)
        TRY(open_top(n, &scope, &top, e));
    if (top)
        return scan_both(n, top, e);
    /* The newest N rows may all be hot; nothing else can do without the segments. */
    bool newest = n->direct && n->descending && n->has_limit && !n->counts && !n->by_key;
    if (cold && !newest) {
        *out_complete = false;
        return OK;
    }
    TRY(scan_hot(n, e));
    *out_complete = !cold || n->stopped;
    return OK;
}

/* ---- the end ---- */

static Code finish_count(Native *n, Error *e)
{
    for (size_t i = 0; i < n->item_count; i++)
        n->out_values[i] = value_integer(TYPE_BIGINT, (int64_t)n->matched);
    if (n->skip > 0 || (n->has_limit && n->limit == 0))
        return OK;
    return emit(n, n->out_values, e);
}

static Code finish_kept(Native *n, Error *e)
{
    if (n->kept_count)
        qsort_r(n->kept, n->kept_count, sizeof *n->kept, compare_for_sort, n);
    for (size_t i = n->skip; i < n->kept_count; i++) {
        if (n->has_limit && n->emitted >= n->limit)
            break;
        TRY(emit(n, n->kept[i].values, e));
    }
    return OK;
}

static Code run_native(Native *n, bool *out_handled, Error *e)
{
    bool ready = false;
    TRY(prepare(n, &ready, e));
    if (!ready)
        return OK;
    n->scratch = arena_new();
    n->keep = arena_new();
    n->row_values = arena_new_array(n->run->arena, Value, n->schema ? n->schema->column_count : 1);
    n->out_values = arena_new_array(n->run->arena, Value, n->item_count);
    n->order_values = arena_new_array(n->run->arena, Value, n->order_count + 1);
    n->output->begin(n->output->context);
    n->output->columns(n->output->context, n->columns, n->item_count);
    bool complete = false;
    TRY(scan(n, &complete, e));
    if (!complete || (n->over_budget && n->table))
        return OK;
    if (n->over_budget)
        return fail(e, E_NO_MEMORY, "The rows of the view do not fit in memory; narrow the query");
    *out_handled = true;
    if (n->counts)
        return finish_count(n, e);
    return n->direct ? OK : finish_kept(n, e);
}

Code exec__select_native(Run *run, ReadView *view, const Select *select, const RowOutput *output,
                         size_t *out_rows, bool *out_handled, Error *e)
{
    Native n = {.run = run, .view = view, .select = select, .output = output};
    *out_handled = false;
    Code code = run_native(&n, out_handled, e);
    if (code == OK)
        *out_rows = n.emitted;
    native_done(&n);
    return code;
}
