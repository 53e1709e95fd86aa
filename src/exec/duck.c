/* SPDX-License-Identifier: Apache-2.0
 *
 * A SELECT through DuckDB: everything the native executor leaves, and everything that reads
 * segments.
 *
 * Each table reference is printed as the rows of a callback, hot(handle, ref), and, where segments
 * may hold wanted rows, UNION ALL read_parquet([those segments]), less the rows that have died. All
 * tables are read at one view, which keeps the segment files it may read (I2).
 *
 * Threads: DuckDB calls the sources on threads of its own. A ReadView is for one thread at a time,
 * so every call on it stands under the lock of the statement.
 */
#include "exec/select.h"

#include "base/limits.h"
#include "cold/cold.h"
#include "data/row.h"
#include "engine/engine.h"
#include "exec/dead_rows.h"
#include "exec/transaction.h"
#include "exec/views.h"
#include "os/clock.h"
#include "os/thread.h"

#include <stdlib.h>

typedef struct Duck Duck;

/* How the rows of segments are asked whether they died. */
typedef enum DuckWay {
    DUCK_BY_SEQ,   /* in a transaction all are asked, which notes them as read */
    DUCK_FIND_ROW, /* by seq, and what is found is kept for later statements */
    DUCK_BY_ROW,   /* by the number of the row, which spares reading _seq */
    DUCK_CLEAN,    /* not at all: none has died */
    DUCK_WAYS,
} DuckWay;

typedef struct DuckSegments {
    SegmentEntry *entries;
    uint64_t *batches;
    uint32_t count;
} DuckSegments;

/* One table reference. */
typedef struct DuckTable {
    Duck *duck;
    Table *table; /* a reference; NULL for a view */
    Partition partition;
    const ExecView *sysview;
    const Schema *schema;
    uint64_t seq_min, seq_max;
    BoundExpr
        *condition; /* in a transaction: which of the scanned hot rows count as read; NULL: all */
    DeadList dead;  /* of its segments */
    DuckSegments segments[DUCK_WAYS];
    DeadList *dead_rows; /* of each of segments[DUCK_BY_ROW]: numbers of rows instead of seqs */
    DeadRow *found;      /* heap; guarded by duck->lock */
    size_t found_count, found_capacity;
    Value **rows; /* of a view, all made before the statement runs */
    size_t row_count, row_capacity;
    struct DuckTable *next;
} DuckTable;

struct Duck {
    Run *run;
    ReadView *view;
    const Select *select;
    const Expr *where; /* that of a single-table SELECT, for pruning; else NULL */
    EngineQuery *query;
    DuckTable *tables;
    Mutex lock; /* of the view */
};

typedef struct DuckScan {
    DuckTable *table;
    StagedWalk *walk;
    Arena *scratch;
    Value *values;
    size_t next;
} DuckScan;

static TableView table_view(const DuckTable *table)
{
    return (TableView){table->duck->run, table->duck->view, table->table, table->partition};
}

/* ---- sources ---- */

static Code scan_open(void *context, void **out, Error *e)
{
    DuckTable *table = context;
    DuckScan *scan = x_new(DuckScan);
    scan->table = table;
    scan->values = x_new_array(Value, table->schema->column_count + 1);
    if (table->table) {
        MUTEX_SCOPE(&table->duck->lock);
        TableView at = table_view(table);
        Code code = exec__walk_open(&at, table->seq_min, table->seq_max, false, &scan->walk, e);
        if (code != OK) {
            free(scan->values);
            free(scan);
            return code;
        }
    }
    *out = scan;
    return OK;
}

static Code next_of_view(DuckScan *scan, EngineRow *out_row, bool *out_end)
{
    *out_end = scan->next == scan->table->row_count;
    if (!*out_end)
        *out_row = (EngineRow){.values = scan->table->rows[scan->next++]};
    return OK;
}

/* What the condition cannot tell counts as read. */
static void note_scanned(DuckScan *scan, uint64_t seq)
{
    const DuckTable *table = scan->table;
    TableView at = table_view(table);
    if (table->condition) {
        RowView row = {.values = scan->values, .seq = seq};
        Error ignored = {0};
        bool matches = true;
        if (!scan->scratch)
            scan->scratch = arena_new();
        Code code = sql_eval_condition(table->condition, &row, &at.run->eval, scan->scratch,
                                       &matches, &ignored);
        arena_reset(scan->scratch);
        if (code == OK && !matches)
            return;
    }
    exec__note_read(&at, seq);
}

static Code scan_next(void *context, EngineRow *out_row, bool *out_end, Error *e)
{
    DuckScan *scan = context;
    if (!scan->walk)
        return next_of_view(scan, out_row, out_end);
    uint64_t seq = 0;
    Slice bytes = {0};
    MUTEX_SCOPE(&scan->table->duck->lock);
    TRY(exec__walk_next(scan->walk, out_end, &seq, &bytes, e));
    if (*out_end)
        return OK;
    TRY(row_decode(scan->table->schema, bytes, scan->values, e));
    if (scan->table->duck->run->transaction)
        note_scanned(scan, seq);
    *out_row = (EngineRow){.values = scan->values, .seq = seq};
    return OK;
}

static void scan_close(void *context)
{
    DuckScan *scan = context;
    if (!scan)
        return;
    mutex_lock(&scan->table->duck->lock);
    exec__walk_close(scan->walk);
    mutex_unlock(&scan->table->duck->lock);
    arena_free(scan->scratch);
    free(scan->values);
    free(scan);
}

static Code are_alive(void *context, const uint64_t *seqs, uint32_t count, bool *out_alive,
                      Error *e)
{
    DuckTable *table = context;
    if (!table->dead.is_cut && !table->duck->run->transaction) {
        view_mark_alive(&table->dead, seqs, count, out_alive);
        return OK;
    }
    MUTEX_SCOPE(&table->duck->lock);
    for (uint32_t i = 0; i < count; i++) {
        bool is_dead = view_is_dead(&table->dead, seqs[i]);
        uint64_t at = 0;
        if (table->dead.is_cut && !is_dead)
            TRY(view_dead_at(table->duck->view, table->partition, seqs[i], &at, e));
        TableView view = table_view(table);
        out_alive[i] = !is_dead && at == 0 && !exec__is_hidden(&view, seqs[i]);
        if (out_alive[i])
            exec__note_read(&view, seqs[i]); /* every cold row of a result has come through here */
    }
    return OK;
}

/* Rows that are asked for together mostly come from one file. */
static void are_alive_at(void *context, const uint32_t *files, const uint64_t *rows, uint32_t count,
                         bool *out_alive)
{
    const DuckTable *table = context;
    bool is_one = memcmp(files, files + 1, (count - 1) * sizeof *files) == 0;
    for (uint32_t from = 0, to = 0; from < count; from = to) {
        to = is_one ? count : from + 1;
        while (to < count && files[to] == files[from])
            to++;
        must(files[from] < table->segments[DUCK_BY_ROW].count);
        view_mark_alive(&table->dead_rows[files[from]], rows + from, to - from, out_alive + from);
    }
}

static void found_dead(void *context, uint64_t seq, uint64_t row)
{
    DuckTable *table = context;
    MUTEX_SCOPE(&table->duck->lock);
    if (table->found_count == table->dead.count) /* a scan that is read twice */
        return;
    if (!table->found)
        table->found = x_new_array(DeadRow, table->dead.count);
    table->found[table->found_count++] = (DeadRow){seq, row};
}

static int compare_found(const void *a, const void *b)
{
    const DeadRow *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* At the end of the statement, whose threads are done with it. */
static void keep_found(DuckTable *table)
{
    const DuckSegments *asked = &table->segments[DUCK_FIND_ROW];
    if (!table->found_count)
        return; /* nothing is allocated */
    qsort(table->found, table->found_count, sizeof *table->found, compare_found);
    size_t from = 0, to = 0;
    for (uint32_t i = 0; i < asked->count; i++, from = to) {
        const SegmentEntry *entry = &asked->entries[i]; /* ascending */
        while (from < table->found_count && table->found[from].seq < entry->min_seq)
            from++;
        for (to = from; to < table->found_count && table->found[to].seq <= entry->max_seq;)
            to++;
        exec__dead_rows_add(table->duck->run->executor->dead_rows, table->partition, entry,
                            table->found + from, to - from);
    }
    free(table->found);
}

/* ---- tables for the printer ---- */

static Code keep_view_row(void *context, const Value *values, Error *e)
{
    DuckTable *table = context;
    Arena *arena = table->duck->run->arena;
    if (table->row_count == EXEC_VIEW_ROWS_MAX)
        return fail(e, E_TOO_LARGE, "The view has more than %d rows", EXEC_VIEW_ROWS_MAX);
    if (table->row_count == table->row_capacity) {
        size_t capacity = table->row_capacity ? table->row_capacity * 2 : 64;
        Value **rows = arena_new_array(arena, Value *, capacity);
        if (table->row_count)
            memcpy(rows, table->rows, table->row_count * sizeof *rows);
        table->rows = rows;
        table->row_capacity = capacity;
    }
    Value *row = arena_new_array(arena, Value, table->schema->column_count);
    for (uint32_t i = 0; i < table->schema->column_count; i++)
        row[i] = exec__copy_value(&values[i], arena);
    table->rows[table->row_count++] = row;
    return OK;
}

static Code open_view(DuckTable *table, Slice namespace_name, Slice name, Error *e)
{
    Run *run = table->duck->run;
    TRY(exec__find_view(run, namespace_name, name, &table->sysview, e));
    table->schema = exec__view_schema(table->sysview, run->arena);
    return table->sysview->fill(table->sysview->context, &run->session, run->arena, keep_view_row,
                                table, e);
}

static Code find_table(void *context, const TableName *name, PrintTable *out, Error *e)
{
    Duck *duck = context;
    Run *run = duck->run;
    DuckTable *table = arena_new_of(run->arena, DuckTable);
    *table = (DuckTable){.duck = duck, .seq_max = UINT64_MAX, .next = duck->tables};
    duck->tables = table;
    Slice namespace_name = exec__namespace_of(run, name);
    if (catalog_is_system_namespace(namespace_name)) {
        TRY(open_view(table, namespace_name, name->name, e));
    } else {
        TRY(exec__find_table(run, name, &table->table, e));
        TRY(exec__check_access(run, table->table, ACCESS_READ, e));
        TRY(exec__check_open(run, table->duck->view, table->table, e));
        table->partition = exec__partition(&run->session, table->table);
        table->schema = table->table->schema;
    }
    *out = (PrintTable){
        .schema = table->schema,
        .namespace_name = namespace_name,
        .has_system_columns = table->table != NULL,
        .tag = table,
    };
    return OK;
}

static DeadList dead_between(const DeadList *all, uint64_t from, uint64_t to)
{
    DeadList part = {.seqs = all->seqs};
    size_t low = 0, high = all->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (all->seqs[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    if (all->count)
        part.seqs += low;
    while (low + part.count < all->count && part.seqs[part.count] <= to)
        part.count++;
    return part;
}

/* DuckDB's names for where a row lies would mean the table's columns. */
static bool hides_places(const Schema *schema)
{
    return schema_find(schema, SLICE("file_row_number")) >= 0 ||
           schema_find(schema, SLICE("file_index")) >= 0;
}

/* Where only the first rows are wanted, few are asked, and DuckDB's way to find them numbers rows
 * by itself. */
static DuckWay choose_way(DuckTable *table, const SegmentEntry *entry, bool is_top)
{
    const Run *run = table->duck->run;
    if (run->transaction || table->dead.is_cut)
        return DUCK_BY_SEQ;
    DeadList dead = dead_between(&table->dead, entry->min_seq, entry->max_seq);
    if (dead.count == 0)
        return DUCK_CLEAN;
    if (is_top || hides_places(table->schema))
        return DUCK_BY_SEQ;
    DeadList *rows = &table->dead_rows[table->segments[DUCK_BY_ROW].count];
    bool is_known = exec__dead_rows_find(run->executor->dead_rows, table->partition, entry, &dead,
                                         run->arena, rows);
    return is_known ? DUCK_BY_ROW : DUCK_FIND_ROW;
}

static Code sort_segments(DuckTable *table, const SegmentEntry *entries, uint32_t count,
                          bool is_top, Error *e)
{
    Arena *arena = table->duck->run->arena;
    TRY(view_dead_list(table->duck->view, table->partition, arena, &table->dead, e));
    table->dead_rows = arena_new_array(arena, DeadList, count);
    for (size_t i = 0; i < DUCK_WAYS; i++) {
        table->segments[i].entries = arena_new_array(arena, SegmentEntry, count);
        table->segments[i].batches = arena_new_array(arena, uint64_t, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        DuckSegments *to = &table->segments[choose_way(table, &entries[i], is_top)];
        to->entries[to->count] = entries[i];
        to->batches[to->count++] = entries[i].batch;
    }
    return OK;
}

/* The segments that may hold wanted rows, by batch number. */
static Code find_segments(DuckTable *table, const TableRef *ref, bool is_top, bool *out_any,
                          Error *e)
{
    Duck *duck = table->duck;
    BindContext bind = exec__bind_context(duck->run, table->schema);
    bind.namespace_name = exec__namespace_of(duck->run, &ref->table);
    bind.table = ref->table.name;
    bind.alias = ref->alias;
    Pruning pruning = {0};
    /* The WHERE speaks of the table after FROM, not of those in its sub-selects. */
    const Expr *where = ref == duck->select->from ? duck->where : NULL;
    TRY(exec__pruning(duck->run, &bind, where, &pruning, e));
    if (duck->run->transaction && where && sql_expr_is_native(where))
        TRY(sql_bind_condition(&bind, where, duck->run->arena, &table->condition, e));
    table->seq_min = pruning.seq_min;
    table->seq_max = pruning.seq_max;
    ScanScope scope = {duck->view, table->table, table->partition, &bind, where};
    SegmentEntry *entries = NULL;
    size_t count = 0;
    TRY(exec__wanted_segments(duck->run, &scope, &pruning, &entries, &count, e));
    if (count == 0)
        return OK;
    *out_any = true;
    TRY(sort_segments(table, entries, (uint32_t)count, is_top, e));
    return view_check_segments(duck->view, table->table, table->partition, entries, count, e);
}

/* One branch of the union. */
static void print_branch(const PrintTable *printed, const SegmentList *list, DuckWay way,
                         uint32_t ref, Buffer *out)
{
    static const char *const checks[DUCK_WAYS] = {
        [DUCK_BY_SEQ] = " WHERE alive(%llu, %u, _seq)",
        [DUCK_FIND_ROW] = " WHERE alive_found(%llu, %u, _seq, file_row_number)",
        [DUCK_BY_ROW] = " WHERE alive_at(%llu, %u, file_index::UINTEGER, file_row_number)",
    };
    const DuckTable *table = printed->tag;
    buffer_add_text(out, " UNION ALL SELECT * FROM ");
    if (printed->top.size)
        buffer_add_text(out, "(SELECT * FROM ");
    cold_add_read_parquet(out, list, table->schema);
    buffer_printf(out, " AS %.*s", SLICE_ARGS(printed->alias));
    if (way != DUCK_CLEAN)
        buffer_printf(out, checks[way], (unsigned long long)engine_query_handle(table->duck->query),
                      ref);
    if (printed->top.size && printed->where.size)
        buffer_printf(out, " %s (%.*s)", way == DUCK_CLEAN ? "WHERE" : "AND",
                      SLICE_ARGS(printed->where));
    if (printed->top.size)
        buffer_printf(out, "%.*s)", SLICE_ARGS(printed->top));
}

Code exec__cold_folder(const Run *run, const Table *table, Buffer *out, Error *e)
{
    ColdPlace place = {
        .namespace_name = table->namespace_name,
        .table_name = table->name,
        .is_shared = table->kind == TABLE_SHARED,
        .user_id = run->session.user_id,
    };
    return cold_folder_path(&place, out, e);
}

static Code print_segments(const PrintTable *printed, uint32_t ref, Buffer *out, Error *e)
{
    const DuckTable *table = printed->tag;
    const Duck *duck = table->duck;
    CLEANUP(buffer_done) Buffer folder = {0};
    TRY(exec__cold_folder(duck->run, table->table, &folder, e));
    for (uint32_t way = 0; way < DUCK_WAYS; way++) {
        SegmentList list = {
            .storage_root = database_storage_folder(duck->run->executor->db),
            .folder = buffer_slice(&folder),
            .batches = table->segments[way].batches,
            .count = table->segments[way].count,
        };
        if (list.count)
            print_branch(printed, &list, (DuckWay)way, ref, out);
    }
    return OK;
}

static Code print_table(void *context, const TableRef *ref, const PrintTable *printed, Buffer *out,
                        Error *e)
{
    Duck *duck = context;
    DuckTable *table = printed->tag;
    EngineSource source = {
        .schema = table->schema,
        .context = table,
        .rows_estimated = table->row_count,
        .open = scan_open,
        .next = scan_next,
        .close = scan_close,
        .are_alive = are_alive,
        .are_alive_at = are_alive_at,
        .found_dead = found_dead,
    };
    uint32_t number = 0;
    bool has_segments = false;
    TRY(engine_query_add_source(duck->query, &source, &number, e));
    if (table->table)
        TRY(find_segments(table, ref, printed->top.size > 0, &has_segments, e));
    unsigned long long handle = engine_query_handle(duck->query);
    if (!has_segments) {
        buffer_printf(out, "hot(%llu, %u)", handle, number);
        return OK;
    }
    buffer_printf(out, "(SELECT * FROM hot(%llu, %u)", handle, number);
    TRY(print_segments(printed, number, out, e));
    buffer_add_char(out, ')');
    return OK;
}

/* ---- the statement ---- */

/* A single-table SELECT gets the order that clients expect where they wrote none. */
static Code add_implicit_order(Duck *duck, Error *e)
{
    const Select *select = duck->select;
    const TableRef *from = select->from;
    if (!from || from->kind != REF_TABLE || select->set_operation != SET_NONE)
        return OK;
    Run *run = duck->run;
    for (uint32_t i = 0; i < select->with_count; i++)
        if (!from->table.namespace_name.size &&
            slice_equal_ignoring_case(select->with[i].name, from->table.name))
            return OK; /* the name is that of a WITH table */
    if (catalog_is_system_namespace(exec__namespace_of(run, &from->table)))
        return OK;
    CLEANUP(table_unref_ptr) Table *table = NULL;
    TRY(exec__find_table(run, &from->table, &table, e));
    duck->where = select->where;
    int32_t column = exec__implicit_order(select, table->schema);
    if (column == BOUND_NOT_A_COLUMN)
        return OK;
    Expr *expr = arena_new_of(run->arena, Expr);
    Slice name =
        column >= 0 ? arena_copy(run->arena, table->schema->columns[column].name) : SLICE("_seq");
    *expr = (Expr){
        .kind = EXPR_COLUMN,
        .offset = select->offset,
        .column = {.table = from->alias.size ? from->alias : from->table.name, .name = name}};
    Select *ordered = arena_new_of(run->arena, Select);
    *ordered = *select;
    ordered->order = arena_new_of(run->arena, OrderItem);
    ordered->order[0] = (OrderItem){.expr = expr};
    ordered->order_count = 1;
    duck->select = ordered;
    return OK;
}

static void announce(const Duck *duck, const RowOutput *output, const PrintColumn *printed,
                     size_t count, const EngineColumn *engine)
{
    ResultColumn *columns = arena_new_array(duck->run->arena, ResultColumn, count);
    for (size_t i = 0; i < count; i++) {
        const Column *source = printed[i].source;
        columns[i] = (ResultColumn){
            .name = printed[i].name,
            .type = printed[i].type != TYPE_NULL ? printed[i].type : engine[i].type,
            .primary_key = source && source->primary_key,
            .not_null = source && source->not_null,
            .unique = source && source->primary_key,
        };
    }
    output->begin(output->context);
    output->columns(output->context, columns, count);
}

static Code stream(const Duck *duck, EngineResult *result, const RowOutput *output,
                   const PrintColumn *printed, size_t count, size_t *out_rows, Error *e)
{
    Value *values = arena_new_array(duck->run->arena, Value, count);
    for (size_t rows = 0;; rows++) {
        const Value *row = NULL;
        bool end = false;
        TRY(engine_result_next(result, &row, &end, e));
        if (end) {
            *out_rows = rows;
            return OK;
        }
        for (size_t i = 0; i < count; i++) {
            values[i] = row[i];
            if (printed[i].type == TYPE_JSON) /* JSON is text to DuckDB */
                values[i].type = TYPE_JSON;
        }
        TRY(output->row(output->context, values, e));
    }
}

uint32_t exec__time_left_ms(const Run *run)
{
    if (!run->deadline_us)
        return 0;
    int64_t left = (run->deadline_us - clock_monotonic_us()) / 1000;
    return left < 1 ? 1 : left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

PrintRequest exec__print_request(const Run *run, const PrintCallbacks *callbacks)
{
    return (PrintRequest){
        .text = run->text,
        .parameters = run->request->params,
        .parameter_count = (uint32_t)run->request->param_count,
        .eval = &run->eval,
        .callbacks = callbacks,
    };
}

static Code run_duck(Duck *duck, const RowOutput *output, size_t *out_rows, Error *e)
{
    Run *run = duck->run;
    TRY(add_implicit_order(duck, e));
    PrintCallbacks callbacks = {duck, find_table, print_table};
    PrintRequest request = exec__print_request(run, &callbacks);
    CLEANUP(buffer_done) Buffer sql = {0};
    PrintColumn *columns = NULL;
    size_t count = 0;
    TRY(sql_print_select(&request, duck->select, run->arena, &sql, &columns, &count, e));
    EngineLimits limits = {
        .wait_ms = EXEC_ENGINE_WAIT_MS,
        .timeout_ms = exec__time_left_ms(run),
        .bytes_max = EXEC_RESULT_BYTES_MAX,
    };
    CLEANUP(engine_result_free_ptr) EngineResult *result = NULL;
    TRY(engine_run(duck->query, buffer_slice(&sql), &limits, &result, e));
    if (engine_result_column_count(result) != count)
        return fail(e, E_INTERNAL, "The result has another number of columns than was printed");
    announce(duck, output, columns, count, engine_result_columns(result));
    return stream(duck, result, output, columns, count, out_rows, e);
}

Code exec__select_duck(Run *run, ReadView *view, const Select *select, const RowOutput *output,
                       size_t *out_rows, Error *e)
{
    Duck duck = {.run = run, .view = view, .select = select};
    mutex_init_ranked(&duck.lock, LOCK_STATEMENT);
    duck.query = engine_query_new(database_engine(run->executor->db));
    engine_query_watch(duck.query, exec__has_left(run));
    Code code = run_duck(&duck, output, out_rows, e);
    engine_query_free(duck.query);
    for (DuckTable *table = duck.tables; table; table = table->next) {
        keep_found(table);
        table_unref(table->table);
    }
    mutex_done(&duck.lock);
    return code;
}
