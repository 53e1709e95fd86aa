/* SPDX-License-Identifier: Apache-2.0
 *
 * ALTER TABLE: one operation makes a new definition of the table, whose schema version is one
 * higher. Rows are not rewritten: they are found by field id, under whatever schema they were
 * written (data/row.h, cold/cold.h).
 *
 * I1. A field id names one column for ever: ADD takes the next one, RENAME and a wider type keep
 *     it, and what DROP frees is never used again.
 * I2. A column never has NULLs under NOT NULL: what demands it looks at all live rows of all
 *     partitions, and the committer refuses the change when rows of the table were committed since
 *     (catalog_plan_alter_table, needs_quiet).
 * I3. What rows from before ADD COLUMN read is fixed by it (Column.fill); a later SET DEFAULT is
 *     for new rows only.
 * I4. The changes of a SHARED table from before more roles came to read it lie below opened_at_us,
 *     those after it above: the committer refuses this one too when rows were committed since.
 */
#include "exec/exec_int.h"

#include "base/limits.h"
#include "exec/dml.h"
#include "exec/turns.h"
#include "os/clock.h"
#include "sql/sql.h"
#include "table/nulls.h"

#include <inttypes.h>

typedef struct Alteration {
    Run *run;
    const AlterTable *alter;
    Table *table; /* a reference: the definition that is altered */
    Table definition;
    Schema schema;
    int32_t index; /* of the column that changes, -1 for none */
    bool changed;
    bool opens;            /* I4: more roles will read the table */
    bool must_be_empty;    /* I2: there may be no live row at all … */
    bool must_be_non_null; /* … or none with NULL in the column */
    uint64_t checked_seq;  /* rows of checked_version up to here are known to be fine */
    uint32_t checked_version;
} Alteration;

/* ---- one function for each operation: from the old definition to the new one ---- */

static Column *column_of(Alteration *a)
{
    return &a->schema.columns[a->index];
}

static Code find_column(Alteration *a, Error *e)
{
    return exec__find_column(&a->schema, a->alter->column, &a->index, e);
}

static Code refuse_key(const Column *column, const char *what, Error *e)
{
    if (!column->primary_key)
        return OK;
    return fail(e, E_INVALID_OPERATION, "Column '%.*s' is a PRIMARY KEY and cannot be %s",
                SLICE_ARGS(column->name), what);
}

/* I3. Time stands still for old rows. Numbers that must differ from row to row, and users, cannot
 *     be made up for them. */
static Code set_fill(Alteration *a, Column *column, Error *e)
{
    if (column->default_kind != DEFAULT_LITERAL && column->default_kind != DEFAULT_NOW)
        return OK;
    TRY(sql_default_value(column, &a->run->eval, a->run->arena, &column->fill, e));
    column->has_fill = !column->fill.is_null;
    return OK;
}

static Code add_column(Alteration *a, Error *e)
{
    const ColumnDefinition *from = &a->alter->definition;
    Schema *schema = &a->schema;
    if (schema_find(schema, from->name) >= 0) {
        if (a->alter->if_not_exists)
            return OK;
        return fail(e, E_ALREADY_EXISTS, "Column '%.*s' already exists", SLICE_ARGS(from->name));
    }
    if (schema->column_count == COLUMNS_MAX || schema->next_field_id == UINT32_MAX)
        return fail(e, E_INVALID_OPERATION, "Table has too many columns (max %d)", COLUMNS_MAX);
    a->index = (int32_t)schema->column_count++;
    Column *column = column_of(a);
    *column = (Column){
        .field_id = schema->next_field_id++,
        .name = from->name,
        .type = from->type,
        .not_null = from->not_null,
        .default_kind = from->default_kind,
        .default_value = from->default_value,
    };
    TRY(set_fill(a, column, e));
    a->must_be_empty = column->not_null && !column->has_fill;
    a->changed = true;
    return OK;
}

static Code drop_column(Alteration *a, Error *e)
{
    Schema *schema = &a->schema;
    if (a->alter->if_exists && schema_find(schema, a->alter->column) < 0)
        return OK;
    TRY(find_column(a, e));
    TRY(refuse_key(column_of(a), "dropped", e));
    if (schema->column_count == 1)
        return fail(e, E_INVALID_OPERATION, "Table must have at least one column");
    schema->column_count--;
    for (uint32_t i = (uint32_t)a->index; i < schema->column_count; i++)
        schema->columns[i] = schema->columns[i + 1];
    if (schema->key_index > a->index)
        schema->key_index--;
    a->changed = true;
    return OK;
}

static Code rename_column(Alteration *a, Error *e)
{
    TRY(find_column(a, e));
    int32_t other = schema_find(&a->schema, a->alter->new_name);
    if (other >= 0 && other != a->index)
        return fail(e, E_ALREADY_EXISTS, "Column '%.*s' already exists",
                    SLICE_ARGS(a->alter->new_name));
    a->changed = !slice_equal(column_of(a)->name, a->alter->new_name);
    column_of(a)->name = a->alter->new_name;
    return OK;
}

/* Every value of the one is exactly a value of the other; rows and segments convert as they are
 * read. */
static bool is_wider(Type from, Type to)
{
    switch (from) {
    case TYPE_SMALLINT:
        return to == TYPE_INT || to == TYPE_BIGINT || to == TYPE_DOUBLE;
    case TYPE_INT:
        return to == TYPE_BIGINT || to == TYPE_DOUBLE;
    case TYPE_FLOAT:
        return to == TYPE_DOUBLE;
    case TYPE_JSON:
        return to == TYPE_TEXT;
    default:
        return false;
    }
}

static Code widen_value(const Column *column, Type to, Arena *arena, Value *io_value, Error *e)
{
    const char *what =
        arena_printf(arena, "the default of column '%.*s'", SLICE_ARGS(column->name));
    Value from = *io_value;
    return value_cast(&from, to, what, arena, io_value, e);
}

static Code change_type(Alteration *a, Error *e)
{
    Column *column = column_of(a);
    Type to = a->alter->type;
    if (column->type == to)
        return OK;
    if (!is_wider(column->type, to))
        return fail(
            e, E_INVALID_OPERATION,
            "Column '%.*s' cannot change from %s to %s: not every value of %s is one of %s. A type "
            "may only become wider (SMALLINT, INT, BIGINT; SMALLINT or INT to DOUBLE; FLOAT to "
            "DOUBLE; JSON to TEXT)",
            SLICE_ARGS(column->name), type_info(column->type)->name, type_info(to)->name,
            type_info(column->type)->name, type_info(to)->name);
    if (column->primary_key && type_is_integer(column->type) != type_is_integer(to))
        return fail(
            e, E_INVALID_OPERATION,
            "Column '%.*s' is a PRIMARY KEY of type %s and cannot become %s: its keys would "
            "change",
            SLICE_ARGS(column->name), type_info(column->type)->name, type_info(to)->name);
    if (column->default_kind == DEFAULT_LITERAL)
        TRY(widen_value(column, to, a->run->arena, &column->default_value, e));
    if (column->has_fill)
        TRY(widen_value(column, to, a->run->arena, &column->fill, e));
    column->type = to;
    a->changed = true;
    return OK;
}

static Code set_not_null(Alteration *a, Error *e)
{
    Column *column = column_of(a);
    if (column->not_null)
        return OK;
    if (column->default_kind == DEFAULT_LITERAL && column->default_value.is_null)
        return fail(e, E_INVALID_OPERATION,
                    "Column '%.*s' has DEFAULT NULL and cannot be NOT NULL; use DROP DEFAULT first",
                    SLICE_ARGS(column->name));
    column->not_null = true;
    a->must_be_non_null = a->changed = true;
    return OK;
}

static Code drop_not_null(Alteration *a, Error *e)
{
    Column *column = column_of(a);
    TRY(refuse_key(column, "nullable", e));
    a->changed |= column->not_null;
    column->not_null = false;
    return OK;
}

static Code modify_column(Alteration *a, Error *e)
{
    TRY(change_type(a, e));
    if (a->alter->nullability == NULLABILITY_NOT_NULL)
        return set_not_null(a, e);
    return a->alter->nullability == NULLABILITY_NULL ? drop_not_null(a, e) : OK;
}

static Code set_default(Alteration *a, Error *e)
{
    Column *column = column_of(a);
    DefaultKind kind = DEFAULT_NONE;
    Value value = value_null(column->type);
    if (a->alter->action == ALTER_SET_DEFAULT)
        TRY(sql_column_default(a->run->text, a->alter->default_expr, column, a->run->arena, &kind,
                               &value, e));
    if (kind == DEFAULT_LITERAL && value.is_null && column->not_null)
        return fail(e, E_INVALID_OPERATION, "Column '%.*s' is NOT NULL but its default is NULL",
                    SLICE_ARGS(column->name));
    a->changed = kind != column->default_kind ||
                 (kind == DEFAULT_LITERAL && !value_identical(&value, &column->default_value));
    column->default_kind = kind;
    column->default_value = value;
    return OK;
}

/* What has expired stays gone, whether its space was given back yet or not. */
static void set_ttl(Table *table, uint32_t ttl_s)
{
    int64_t before_us = clock_wall_us() - (int64_t)table->ttl_s * 1000000;
    if (ttl_s > table->ttl_s && before_us > table->expired_before_us)
        table->expired_before_us = before_us;
    table->ttl_s = ttl_s;
}

static bool reads_more(AccessLevel now, AccessLevel before)
{
    for (Role role = ROLE_USER; role <= ROLE_SYSTEM; role++)
        if (access_level_allows(now, role, false) && !access_level_allows(before, role, false))
            return true;
    return false;
}

static Code set_options(Alteration *a, Error *e)
{
    const TableOptions *options = &a->alter->options;
    Table *table = &a->definition;
    if (options->access != SQL_ACCESS_UNSET) {
        if (table->kind != TABLE_SHARED)
            return fail(e, E_INVALID_OPERATION, "ACCESS LEVEL can only be set on SHARED tables");
        table->access = exec__access_level(options->access);
        a->opens = reads_more(table->access, a->table->access);
    }
    if (options->has_flush_policy) {
        if (table->kind == TABLE_STREAM)
            return fail(e, E_INVALID_OPERATION, SQL_STREAM_FLUSH_POLICY);
        table->flush_rows = options->flush_rows;
        table->flush_interval_s = options->flush_interval_s;
    }
    if (options->has_ttl) {
        if (table->kind != TABLE_STREAM)
            return fail(e, E_INVALID_OPERATION, "TTL_SECONDS is only supported for STREAM tables");
        set_ttl(table, (uint32_t)options->ttl_s);
    }
    if (options->has_feed_window || options->has_feed_bytes) {
        if (table->kind == TABLE_STREAM)
            return fail(e, E_INVALID_OPERATION, SQL_STREAM_FEED_WINDOW);
        if (options->has_feed_window)
            table->feed_window_s = options->feed_window_s;
        if (options->has_feed_bytes)
            table->feed_window_bytes = options->feed_window_bytes;
    }
    a->changed = table->access != a->table->access || table->flush_rows != a->table->flush_rows ||
                 table->flush_interval_s != a->table->flush_interval_s ||
                 table->ttl_s != a->table->ttl_s ||
                 table->feed_window_s != a->table->feed_window_s ||
                 table->feed_window_bytes != a->table->feed_window_bytes;
    return OK;
}

static Code apply_action(Alteration *a, Error *e)
{
    AlterAction action = a->alter->action;
    if (action == ALTER_ADD_COLUMN)
        return add_column(a, e);
    if (action == ALTER_DROP_COLUMN)
        return drop_column(a, e);
    if (action == ALTER_RENAME_COLUMN)
        return rename_column(a, e);
    if (action == ALTER_SET_OPTIONS || action == ALTER_RESET_OPTIONS)
        return set_options(a, e);
    TRY(find_column(a, e));
    if (action == ALTER_COLUMN_TYPE)
        return modify_column(a, e);
    if (action == ALTER_SET_NOT_NULL)
        return set_not_null(a, e);
    if (action == ALTER_DROP_NOT_NULL)
        return drop_not_null(a, e);
    return set_default(a, e);
}

/* ---- the plan ---- */

/* Starts again from the definition of this moment. */
static Code start(Alteration *a, Error *e)
{
    table_unref_ptr(&a->table);
    TRY(exec__find_table(a->run, &a->alter->table, &a->table, e));
    if (!exec__may_alter_table(a->run->session.role, a->table->kind, a->table->access))
        return fail(e, E_PERMISSION_DENIED, "Insufficient privileges to alter %s table '%.*s.%.*s'",
                    table_kind_name(a->table->kind), SLICE_ARGS(a->table->namespace_name),
                    SLICE_ARGS(a->table->name));
    a->definition = *a->table;
    a->schema = *a->table->schema;
    a->schema.columns = arena_new_array(a->run->arena, Column, a->schema.column_count + 1u);
    for (uint32_t i = 0; i < a->schema.column_count; i++)
        a->schema.columns[i] = a->table->schema->columns[i];
    a->index = -1;
    a->changed = a->opens = a->must_be_empty = a->must_be_non_null = false;
    return OK;
}

/* I2. Rows that an earlier try has seen under the same definition are not looked at again. */
static Code check_rows(Alteration *a, ReadView *view, Error *e)
{
    uint32_t version = a->table->schema->version;
    uint64_t after = a->checked_version == version ? a->checked_seq : 0;
    bool found = false;
    int32_t column = a->must_be_empty ? -1 : a->index;
    TRY(table_find_null(view, a->table, column, after, &found, e));
    const char *name = arena_text(a->run->arena, column_of(a)->name);
    if (found && a->must_be_empty)
        return fail(
            e, E_CONSTRAINT,
            "Column '%s' is NOT NULL and the rows that exist would have no value in it: add it "
            "with a literal DEFAULT or NOW(), or without NOT NULL",
            name);
    if (found)
        return fail(e, E_CONSTRAINT,
                    "NOT NULL constraint violation: column '%s' has rows with NULL", name);
    a->checked_version = version;
    a->checked_seq = view_seq(view);
    return OK;
}

static Code plan_alter(void *context, ReadView *view, CatalogChange **out, Error *e)
{
    Alteration *a = context;
    TRY(start(a, e));
    Code code = apply_action(a, e);
    if (a->alter->column.size)
        code = exec__place(a->run, a->alter->column_offset, code, e);
    TRY(code);
    if (!a->changed)
        return OK;
    bool needs_rows = a->must_be_empty || a->must_be_non_null;
    if (needs_rows && !exec__may_learn_of_rows(a->run->session.role, a->table->kind))
        return fail(e, E_PERMISSION_DENIED,
                    "Whether a column can become NOT NULL depends on the rows of all users, which "
                    "takes the Service, DBA or System role");
    if (needs_rows)
        TRY(check_rows(a, view, e));
    TRY(exec__check_time(a->run, e));
    a->schema.version++;
    a->definition.schema = &a->schema;
    a->definition.updated_at_us = a->run->eval.now_us;
    if (a->opens)
        a->definition.opened_at_us = view_next_moment_us(view, a->run->eval.now_us);
    return catalog_plan_alter_table(database_catalog(a->run->executor->db), a->table,
                                    &a->definition, needs_rows || a->opens, out, e);
}

/* ---- the answer ---- */

static const char *describe_default(const Alteration *a)
{
    Value text = exec__default_text(&a->schema.columns[a->index], a->run->arena);
    return text.is_null ? "" : arena_text(a->run->arena, text.bytes);
}

static const char *describe_options(const Alteration *a)
{
    const TableOptions *options = &a->alter->options;
    const char *verb = a->alter->action == ALTER_RESET_OPTIONS ? "RESET" : "SET";
    CLEANUP(buffer_done) Buffer out = {0};
    if (options->access != SQL_ACCESS_UNSET) {
        buffer_add_text(&out, "SET ACCESS LEVEL ");
        for (const char *c = access_level_name(a->definition.access); *c; c++)
            buffer_add_char(&out, (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c));
    }
    if (options->has_flush_policy)
        buffer_printf(&out, "%s%s FLUSH_POLICY", out.size ? ", " : "", verb);
    if (options->has_ttl)
        buffer_printf(&out, "%s%s TTL_SECONDS", out.size ? ", " : "", verb);
    if (options->has_feed_window || options->has_feed_bytes)
        buffer_printf(&out, "%s%s FEED_WINDOW", out.size ? ", " : "", verb);
    return arena_text(a->run->arena, buffer_slice(&out));
}

static const char *describe(const Alteration *a)
{
    const AlterTable *alter = a->alter;
    Arena *arena = a->run->arena;
    const char *column = arena_text(arena, alter->column);
    switch (alter->action) {
    case ALTER_ADD_COLUMN:
        return arena_printf(arena, "ADD COLUMN %s %s", column,
                            type_info(alter->definition.type)->name);
    case ALTER_DROP_COLUMN:
        return arena_printf(arena, "DROP COLUMN %s", column);
    case ALTER_RENAME_COLUMN:
        return arena_printf(arena, "RENAME COLUMN %s TO %.*s", column, SLICE_ARGS(alter->new_name));
    case ALTER_COLUMN_TYPE:
        return arena_printf(arena, "MODIFY COLUMN %s %s%s", column, type_info(alter->type)->name,
                            alter->nullability == NULLABILITY_NOT_NULL ? " NOT NULL"
                            : alter->nullability == NULLABILITY_NULL   ? " NULL"
                                                                       : "");
    case ALTER_SET_NOT_NULL:
        return arena_printf(arena, "ALTER COLUMN %s SET NOT NULL", column);
    case ALTER_DROP_NOT_NULL:
        return arena_printf(arena, "ALTER COLUMN %s DROP NOT NULL", column);
    case ALTER_SET_DEFAULT:
        return arena_printf(arena, "ALTER COLUMN %s SET DEFAULT %s", column, describe_default(a));
    case ALTER_DROP_DEFAULT:
        return arena_printf(arena, "ALTER COLUMN %s DROP DEFAULT", column);
    case ALTER_SET_OPTIONS:
    case ALTER_RESET_OPTIONS:
        break;
    }
    return describe_options(a);
}

static void end(const Alteration *a)
{
    Slice namespace_name = a->table->namespace_name, name = a->table->name;
    const char *format =
        a->changed ? "Table %.*s.%.*s altered successfully: %s (version %" PRIu32 ")"
                   : "Table %.*s.%.*s unchanged: %s (version %" PRIu32 " - no changes needed)";
    exec__end_message(a->run, 0,
                      arena_printf(a->run->arena, format, SLICE_ARGS(namespace_name),
                                   SLICE_ARGS(name), describe(a), a->schema.version));
}

/* To writes that lost to ALTERs of the table again and again. */
static void give_way(const Run *run, uint32_t table_id)
{
    int64_t deadline_us = clock_monotonic_us() + EXEC_TURN_WAIT_MS * (int64_t)1000;
    if (run->deadline_us && run->deadline_us < deadline_us)
        deadline_us = run->deadline_us;
    exec__turns_wait(run->executor->turns, table_id, deadline_us);
}

Code exec__alter_table(Run *run, Error *e)
{
    Alteration a = {.run = run, .alter = &run->statement->alter_table};
    TRY(exec__find_table(run, &a.alter->table, &a.table, e));
    give_way(run, a.table->id);
    Code code = exec__change(run->executor, run, plan_alter, &a, e);
    if (code == OK)
        end(&a);
    table_unref(a.table);
    return code;
}
