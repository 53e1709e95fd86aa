/* SPDX-License-Identifier: Apache-2.0
 *
 * UPDATE, DELETE and the rows of TRUNCATE, and what all writes share: resolving at a view into an
 * Intent, then committing it, and resolving again after a conflict; or, in a transaction, staging
 * it.
 *
 * Rows are found by key; else by a walk over the hot rows; else, when segments may hold some of
 * them or the WHERE is not native, by a SELECT through DuckDB over both tiers at the same view. A
 * row that UPDATE leaves as it is makes no change and is not counted.
 */
#include "exec/dml.h"

#include "base/limits.h"
#include "data/row.h"
#include "exec/turns.h"
#include "sql/sql.h"

#include <stdio.h>
#include <stdlib.h>

enum { COLD_KEYS_MAX = 8 }; /* so many single rows are read from segments, more are DuckDB's */

typedef struct Change {
    int32_t column;
    BoundExpr *value; /* NULL: extra_values[place] */
    size_t place;
} Change;

typedef struct Target { /* of UPDATE and DELETE */
    Dml *dml;
    const Expr *where;
    BindContext bind;
    BoundExpr *condition; /* NULL when not native */
    bool is_native, is_update;
    Change *changes;
    size_t change_count;
    SelectItem *extras; /* SET expressions that DuckDB evaluates */
    size_t extra_count;
    Value *new_values;
    const Value *extra_values; /* what DuckDB made of the extras for the current row, or NULL */
    struct DuckRow *duck_rows, **duck_tail;
    size_t duck_bytes;
    /* `*` is printed from the catalog, which ALTER TABLE may have changed meanwhile */
    size_t duck_column_count;
    size_t visited;
    bool is_partial; /* stop where a commit is full, instead of failing */
    bool is_full;    /* … which is what happened */
} Target;

/* A row that DuckDB found. Kept until the query has ended, because the view is DuckDB's until
 * then. */
typedef struct DuckRow {
    Slice row;
    uint64_t seq;
    Value *extra_values;
    struct DuckRow *next;
} DuckRow;

/* A row that was found. */
typedef struct Found {
    const Value *values;
    Version version;
    bool is_complete; /* version.prev_seq and is_cold are known: it was found by key */
} Found;

Code exec__check_not_null(const Column *column, const Value *value, size_t row, Error *e)
{
    if (!column->not_null || !value->is_null)
        return OK;
    return fail(e, E_CONSTRAINT,
                "NOT NULL constraint violation: column '%.*s' cannot be NULL (row %zu)",
                SLICE_ARGS(column->name), row);
}

Code exec__find_column(const Schema *schema, Slice name, int32_t *out, Error *e)
{
    int32_t index = schema_find(schema, name);
    if (index >= 0) {
        *out = index;
        return OK;
    }
    if (slice_equal_ignoring_case(name, SLICE("_seq")) ||
        slice_equal_ignoring_case(name, SLICE("_deleted")))
        return fail(e, E_INVALID_OPERATION, "System column '%.*s' cannot be written",
                    SLICE_ARGS(name));
    return fail(e, E_COLUMN_NOT_FOUND, "Column '%.*s' does not exist", SLICE_ARGS(name));
}

Code exec__encode_row(Dml *dml, const Value *values, Buffer *out, Error *e)
{
    buffer_clear(out);
    row_encode(dml->table->schema, values, out);
    if (out->size > ROW_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "A row of %zu bytes is too large; at most %d are allowed",
                    out->size, ROW_BYTES_MAX);
    return OK;
}

/* The encoded primary key; empty in a STREAM that has none. */
Code exec__encode_key(Dml *dml, const Value *values, Error *e)
{
    buffer_clear(&dml->key);
    int32_t index = dml->table->schema->key_index;
    return index < 0 ? OK : key_encode(&values[index], &dml->key, e);
}

/* ---- one row ---- */

static Code new_value(Target *t, const Change *change, const RowView *row, Value *out, Error *e)
{
    const Column *column = &t->dml->table->schema->columns[change->column];
    if (change->value)
        return sql_eval(change->value, row, &t->dml->run->eval, t->dml->scratch, out, e);
    char what[NAME_BYTES_MAX + 16];
    snprintf(what, sizeof what, "column '%.*s'", SLICE_ARGS(column->name));
    return value_cast(&t->extra_values[change->place], column->type, what, t->dml->scratch, out, e);
}

/* Adds the change of a found row; `new_row` NULL deletes it. */
static Code add_change(Target *t, Found *found, const Buffer *new_row, Error *e)
{
    Dml *dml = t->dml;
    TRY(exec__encode_key(dml, found->values, e));
    Slice key = buffer_slice(&dml->key);
    if (!found->is_complete && dml->table->kind != TABLE_STREAM) {
        Version version = {0};
        TableView at = exec__table_view(dml);
        TRY(exec__find(&at, key, dml->scratch, &version, e));
        must(version.seq == found->version.seq); /* the same view */
        if (!version.has_row)
            version.row = found->version.row;
        found->version = version;
    }
    RowChange change = {
        .kind = new_row ? CHANGE_UPDATE : CHANGE_DELETE,
        .key = key,
        .new_row = new_row ? buffer_slice(new_row) : found->version.row,
        .old_row = found->version.row,
        .old_seq = found->version.seq,
        .old_prev_seq = found->version.prev_seq,
        .old_is_cold = found->version.is_cold,
    };
    dml->affected++;
    return intent_add(dml->intent, dml->part, &change, e);
}

static Code update_row(Target *t, Found *found, Error *e)
{
    Dml *dml = t->dml;
    const Schema *schema = dml->table->schema;
    RowView row = {.values = found->values, .seq = found->version.seq};
    memcpy(t->new_values, found->values, schema->column_count * sizeof *t->new_values);
    bool changed = false;
    for (size_t i = 0; i < t->change_count; i++) {
        int32_t column = t->changes[i].column;
        TRY(new_value(t, &t->changes[i], &row, &t->new_values[column], e));
        TRY(exec__check_not_null(&schema->columns[column], &t->new_values[column], 1, e));
        if (!value_identical(&t->new_values[column], &found->values[column]))
            changed = true;
    }
    if (!changed) {
        TableView at = exec__table_view(dml);
        exec__note_read(&at, found->version.seq);
        return OK;
    }
    TRY(exec__encode_row(dml, t->new_values, &dml->row, e));
    return add_change(t, found, &dml->row, e);
}

/* Whether the changes of another deletion would not fit into this commit. */
static bool is_full(const Target *t, const Found *found)
{
    const Intent *intent = t->dml->intent;
    return intent->row_count == COMMIT_ROWS_MAX ||
           intent->bytes + 2 * found->version.row.size + KEY_BYTES_MAX > COMMIT_BYTES_MAX;
}

static Code change_row(Target *t, Found *found, Error *e)
{
    if (t->is_partial && is_full(t, found)) {
        t->is_full = true;
        return OK;
    }
    return t->is_update ? update_row(t, found, e) : add_change(t, found, NULL, e);
}

/* A row of the hot tier or found by key: decoded, tested, changed. */
static Code visit(Target *t, Found *found, Error *e)
{
    Dml *dml = t->dml;
    t->visited++;
    if (t->visited % EXEC_CLOCK_ROWS == 0)
        TRY(exec__check_time(dml->run, e));
    if (dml->run->mode == HOT_CACHED_ONLY && t->visited > EXEC_CACHED_ROWS_MAX)
        return fail(e, E_WOULD_BLOCK, "too many rows for a loop");
    TRY(row_decode(dml->table->schema, found->version.row, dml->values, e));
    found->values = dml->values;
    RowView row = {.values = dml->values, .seq = found->version.seq};
    bool matches = false;
    TRY(sql_eval_condition(t->condition, &row, &dml->run->eval, dml->scratch, &matches, e));
    if (matches)
        TRY(change_row(t, found, e));
    arena_reset(dml->scratch);
    return OK;
}

/* ---- finding rows ---- */

/* *out_count grows by one when there is such a row. */
static Code find_key(Target *t, const Value *value, Version *out, size_t *out_count, Error *e)
{
    Dml *dml = t->dml;
    Error ignored = {0};
    buffer_clear(&dml->key);
    if (key_encode(value, &dml->key, &ignored) != OK)
        return OK; /* longer than any key: no row has it */
    Arena *arena = dml->run->arena;
    TableView at = exec__table_view(dml);
    Code code = exec__find(&at, buffer_slice(&dml->key), arena, out, e);
    if (code == E_NOT_FOUND)
        return OK;
    TRY(code);
    if (!out->has_row && dml->run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the row lies in a segment");
    if (!out->has_row)
        TRY(view_load_cold(dml->view, dml->table, dml->partition, arena, out, e));
    (*out_count)++;
    return OK;
}

static int compare_versions(const void *a, const void *b)
{
    const Version *x = a, *y = b;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* By age, as all other ways to find rows go, and not in the order of the keys. */
static Code visit_keys(Target *t, const Value *keys, size_t key_count, Error *e)
{
    const Run *run = t->dml->run;
    Version *versions = arena_new_array(run->arena, Version, key_count + 1);
    size_t count = 0;
    if (run->mode == HOT_CACHED_ONLY && key_count > EXEC_CACHED_ROWS_MAX)
        return fail(e, E_WOULD_BLOCK, "too many rows for a loop");
    for (size_t i = 0; i < key_count; i++) {
        if (i % EXEC_CLOCK_ROWS == 0)
            TRY(exec__check_time(run, e));
        TRY(find_key(t, &keys[i], &versions[count], &count, e));
    }
    if (count > 1)
        qsort(versions, count, sizeof *versions, compare_versions);
    for (size_t i = 0; i < count; i++) {
        Found found = {.is_complete = true, .version = versions[i]};
        TRY(visit(t, &found, e));
    }
    return OK;
}

static Code visit_hot(Target *t, const KeyCondition *key, Error *e)
{
    Dml *dml = t->dml;
    CLEANUP(exec__walk_close_ptr) StagedWalk *walk = NULL;
    TableView at = exec__table_view(dml);
    TRY(exec__walk_open(&at, key->has_seq ? key->seq_min : 0,
                        key->has_seq ? key->seq_max : UINT64_MAX, false, &walk, e));
    while (!t->is_full) {
        bool end = false;
        Found found = {0};
        TRY(exec__walk_next(walk, &end, &found.version.seq, &found.version.row, e));
        if (end)
            break;
        TRY(visit(t, &found, e));
    }
    return OK;
}

static Code duck_row(void *context, const Value *values, Error *e)
{
    Target *t = context;
    Dml *dml = t->dml;
    Arena *arena = dml->run->arena;
    const Schema *schema = dml->table->schema;
    if (t->duck_column_count != schema->column_count + 2 + t->extra_count)
        return fail(e, E_CONFLICT, "table '%.*s.%.*s' was altered meanwhile",
                    SLICE_ARGS(dml->table->namespace_name), SLICE_ARGS(dml->table->name));
    for (uint32_t i = 0; i < schema->column_count; i++)
        TRY(value_cast(&values[i], schema->columns[i].type, "column", dml->scratch, &dml->values[i],
                       e));
    TRY(exec__encode_row(dml, dml->values, &dml->row, e));
    DuckRow *found = arena_new_of(arena, DuckRow);
    found->row = arena_copy(arena, buffer_slice(&dml->row));
    found->seq = (uint64_t)values[schema->column_count].integer;
    found->extra_values = arena_new_array(arena, Value, t->extra_count + 1);
    for (size_t i = 0; i < t->extra_count; i++)
        found->extra_values[i] = exec__copy_value(&values[schema->column_count + 2 + i], arena);
    *t->duck_tail = found;
    t->duck_tail = &found->next;
    arena_reset(dml->scratch);
    t->duck_bytes += 2 * found->row.size;
    if (t->is_partial && t->duck_bytes > COMMIT_BYTES_MAX) {
        t->is_full = true;
        return fail(e, E_CANCELLED, "enough rows for a commit");
    }
    if (++t->visited > COMMIT_ROWS_MAX)
        return fail(e, E_TOO_LARGE, "The statement changes more than %d rows", COMMIT_ROWS_MAX);
    return OK;
}

static Code change_duck_rows(Target *t, Error *e)
{
    Dml *dml = t->dml;
    t->is_full |= t->visited == COMMIT_ROWS_MAX; /* there may be more */
    for (const DuckRow *row = t->duck_rows; row; row = row->next) {
        TRY(row_decode(dml->table->schema, row->row, dml->values, e));
        t->extra_values = row->extra_values;
        Found found = {.values = dml->values, .version = {.seq = row->seq, .row = row->row}};
        TRY(change_row(t, &found, e));
        arena_reset(dml->scratch);
    }
    return OK;
}

static void duck_begin(void *context)
{
    (void)context;
}

static void duck_columns(void *context, const ResultColumn *columns, size_t count)
{
    (void)columns;
    ((Target *)context)->duck_column_count = count;
}

/* SELECT *, <SET expressions that are not native> FROM t WHERE … ORDER BY _seq: as a walk over the
 * hot rows goes, so that the rows that one UPDATE changes keep their order wherever they lie. */
static Code visit_by_duck(Target *t, Error *e)
{
    Run *run = t->dml->run;
    if (run->mode == HOT_CACHED_ONLY)
        return fail(e, E_WOULD_BLOCK, "the statement needs DuckDB");
    bool is_update = t->is_update;
    const TableName *name =
        is_update ? &run->statement->update.table : &run->statement->delete_.table;
    TableRef from = {
        .kind = REF_TABLE, .offset = name->offset, .table = *name, .alias = t->bind.alias};
    SelectItem *items = arena_new_array(run->arena, SelectItem, t->extra_count + 1);
    items[0] = (SelectItem){.star = true, .offset = name->offset};
    for (size_t i = 0; i < t->extra_count; i++)
        items[i + 1] = t->extras[i];
    Select select = {
        .offset = name->offset,
        .items = items,
        .item_count = (uint32_t)t->extra_count + 1,
        .from = &from,
        .where = (Expr *)t->where,
        .text = run->text,
    };
    Expr oldest = {.kind = EXPR_COLUMN, .column = {.name = SLICE("_seq")}};
    Expr limit = {.kind = EXPR_LITERAL, .value = value_integer(TYPE_BIGINT, COMMIT_ROWS_MAX)};
    OrderItem order = {.expr = &oldest};
    select.order = &order;
    select.order_count = 1;
    if (t->is_partial) {
        select.limit = &limit;
        select.has_limit = true;
    }
    RowOutput output = {t, duck_begin, duck_columns, duck_row};
    size_t rows = 0;
    t->duck_tail = &t->duck_rows;
    Code code = exec__select_duck(run, t->dml->view, &select, &output, &rows, e);
    if (code != E_CANCELLED || !t->is_full)
        TRY(code);
    return change_duck_rows(t, e);
}

static Code find_rows(Target *t, Error *e)
{
    Dml *dml = t->dml;
    if (!t->is_native || t->extra_count)
        return visit_by_duck(t, e);
    int32_t key_index = dml->table->schema->key_index;
    KeyCondition key = sql_key_condition(t->condition, key_index);
    if (key.never)
        return OK;
    Value *keys = NULL;
    size_t count = 0;
    bool by_key = dml->table->kind != TABLE_STREAM && key_index >= 0 &&
                  sql_key_list(t->condition, key_index, dml->run->arena, &keys, &count);
    bool cold = false;
    ScanScope scope = {dml->view, dml->table, dml->partition, &t->bind, t->where};
    if (!by_key || count > COLD_KEYS_MAX)
        TRY(exec__needs_cold(dml->run, &scope, &cold, e));
    if (cold)
        return visit_by_duck(t, e);
    if (!by_key)
        return visit_hot(t, &key, e);
    return visit_keys(t, keys, count, e);
}

/* ---- the statements ---- */

static Code bind_where(Target *t, const TableName *name, Slice alias, const Expr *where, Error *e)
{
    Dml *dml = t->dml;
    t->where = where;
    t->bind = exec__bind_context(dml->run, dml->table->schema);
    t->bind.namespace_name = exec__namespace_of(dml->run, name);
    t->bind.table = name->name;
    t->bind.alias = alias;
    t->is_native = sql_expr_is_native(where);
    if (!t->is_native)
        return OK;
    return sql_bind_condition(&t->bind, where, dml->run->arena, &t->condition, e);
}

static Code bind_change(Target *t, const Assignment *assignment, Error *e)
{
    const Schema *schema = t->dml->table->schema;
    Change change = {0};
    TRY(exec__find_column(schema, assignment->column, &change.column, e));
    const Column *column = &schema->columns[change.column];
    if (column->primary_key)
        return fail(e, E_INVALID_OPERATION, "UPDATE cannot modify primary key column '%.*s'",
                    SLICE_ARGS(column->name));
    for (size_t i = 0; i < t->change_count; i++)
        if (t->changes[i].column == change.column)
            return fail(e, E_INVALID_SQL, "Column '%.*s' is set twice", SLICE_ARGS(column->name));
    if (assignment->value->kind == EXPR_DEFAULT || sql_expr_is_native(assignment->value)) {
        TRY(sql_bind_assignment(&t->bind, assignment->value, column, t->dml->run->arena,
                                &change.value, e));
    } else {
        change.place = t->extra_count;
        t->extras[t->extra_count++] = (SelectItem){
            .offset = assignment->offset,
            .expr = assignment->value,
            .text = column->name,
        };
    }
    t->changes[t->change_count++] = change;
    return OK;
}

static Code resolve_update(Dml *dml, Error *e)
{
    const Update *update = &dml->run->statement->update;
    Arena *arena = dml->run->arena;
    if (dml->table->kind == TABLE_STREAM)
        return fail(e, E_INVALID_OPERATION, "UPDATE not supported for STREAM tables");
    Target t = {.dml = dml, .is_update = true};
    t.changes = arena_new_array(arena, Change, update->assignment_count);
    t.extras = arena_new_array(arena, SelectItem, update->assignment_count);
    t.new_values = arena_new_array(arena, Value, dml->table->schema->column_count);
    TRY(bind_where(&t, &update->table, update->alias, update->where, e));
    for (uint32_t i = 0; i < update->assignment_count; i++) {
        const Assignment *assignment = &update->assignments[i];
        TRY(exec__place(dml->run, assignment->offset, bind_change(&t, assignment, e), e));
    }
    return find_rows(&t, e);
}

static Code resolve_delete(Dml *dml, Error *e)
{
    const Delete *statement = &dml->run->statement->delete_;
    bool truncates = dml->run->statement->kind == STATEMENT_TRUNCATE;
    Target t = {.dml = dml, .is_partial = truncates && !dml->run->transaction};
    TRY(bind_where(&t, &statement->table, statement->alias, statement->where, e));
    TRY(find_rows(&t, e));
    dml->is_full = t.is_full;
    return OK;
}

static const TableName *target_of(const Statement *statement, const char **out_word,
                                  const char **out_verb)
{
    switch (statement->kind) {
    case STATEMENT_INSERT:
        *out_word = "insert into";
        *out_verb = "Inserted";
        return &statement->insert.table;
    case STATEMENT_UPDATE:
        *out_word = "update";
        *out_verb = "Updated";
        return &statement->update.table;
    case STATEMENT_TRUNCATE:
        *out_word = "truncate";
        *out_verb = "Truncated";
        return &statement->delete_.table;
    default:
        must(statement->kind == STATEMENT_DELETE);
        *out_word = "delete from";
        *out_verb = "Deleted";
        return &statement->delete_.table;
    }
}

static Code resolve_at(Dml *dml, Resolved *out, Error *e)
{
    Run *run = dml->run;
    const char *word = NULL;
    const TableName *name = target_of(run->statement, &word, &out->verb);
    Slice namespace_name = exec__namespace_of(run, name);
    if (catalog_is_system_namespace(namespace_name))
        return fail(e, E_INVALID_OPERATION, "Cannot %s system table '%.*s.%.*s'", word,
                    SLICE_ARGS(namespace_name), SLICE_ARGS(name->name));
    TRY(exec__find_table(run, name, &dml->table, e));
    TRY(exec__check_access(run, dml->table, ACCESS_WRITE, e));
    TRY(exec__check_open(run, dml->view, dml->table, e));
    dml->partition = exec__partition(&run->session, dml->table);
    dml->intent = intent_new(view_seq(dml->view));
    exec__own_intent(run, dml->intent);
    dml->intent->durable = dml->table->durable;
    dml->part = intent_part(dml->intent, dml->table, dml->partition);
    dml->values = arena_new_array(run->arena, Value, dml->table->schema->column_count);
    if (run->statement->kind == STATEMENT_INSERT)
        TRY(exec__resolve_insert(dml, e));
    else if (run->statement->kind == STATEMENT_UPDATE)
        TRY(resolve_update(dml, e));
    else
        TRY(resolve_delete(dml, e));
    out->affected = dml->affected;
    out->is_partial = dml->is_full;
    if (run->transaction)
        return exec__stage(run, dml->intent, e);
    out->intent = dml->affected ? TAKE(dml->intent) : NULL;
    return OK;
}

static void note_alter(Resolved *out, const Table *table)
{
    if (table && !table_is_current(table))
        out->altered_table_id = table->id;
}

Code exec__resolve(Run *run, Resolved *out, Error *e)
{
    Dml dml = {.run = run, .scratch = arena_new()};
    Code code = exec__open_view(run, &dml.view, e);
    if (code == OK)
        code = resolve_at(&dml, out, e);
    if (code == E_CONFLICT)
        note_alter(out, dml.table);
    exec__close_view(run, dml.view);
    intent_unref(dml.intent);
    table_unref(dml.table);
    buffer_done(&dml.key);
    buffer_done(&dml.row);
    arena_free(dml.scratch);
    return code;
}

void exec__end_dml(const Run *run, const Resolved *resolved)
{
    exec__end_message(
        run, resolved->affected,
        arena_printf(run->arena, "%s %zu row(s)", resolved->verb, resolved->affected));
}

/* The turn keeps ALTERs from beginning; those under way are few, and are met as before. */
static void take_turn(const Run *run, const Resolved *resolved, int *io_alters_met, Turn *turn)
{
    if (resolved->altered_table_id && ++*io_alters_met == EXEC_ALTERS_MET_MAX)
        exec__turn_take(run->executor->turns, resolved->altered_table_id, turn);
}

static Code commit_once(Run *run, Resolved *resolved, Error *e)
{
    TRY(exec__resolve(run, resolved, e));
    if (!resolved->intent)
        return OK;
    Code code = database_commit(run->executor->db, resolved->intent, e);
    const IntentPart *part = &resolved->intent->parts[0];
    resolved->last_seq = part->changes[part->count - 1].old_seq;
    if (code == E_CONFLICT)
        note_alter(resolved, part->table);
    intent_unref(TAKE(resolved->intent));
    return code;
}

Code exec__commit_dml(Run *run, Resolved *out, Error *e)
{
    CLEANUP(exec__turn_end) Turn turn = {0};
    int alters_met = 0;
    for (int i = 0; i < EXEC_CONFLICT_TRIES_MAX; i++) {
        TRY(exec__check_time(run, e));
        out->altered_table_id = 0;
        Code code = commit_once(run, out, e);
        if (code != E_CONFLICT || run->transaction)
            return code;
        take_turn(run, out, &alters_met, &turn);
    }
    return fail(e, E_CONFLICT,
                "its rows were changed by other commits again and again; run the statement again");
}

Code exec__run_dml(Run *run, Error *e)
{
    Resolved resolved = {0};
    TRY(exec__commit_dml(run, &resolved, e));
    exec__end_dml(run, &resolved);
    return OK;
}
