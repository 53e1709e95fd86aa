/* SPDX-License-Identifier: Apache-2.0
 *
 * FROM: tables become what the caller prints for them, joins are printed with ON, and the names
 * they
 * bring are collected in the scope.
 *
 * I1: the relations of a join are neighbours in the scope; those of its left side come first.
 */
#include "sql/print_int.h"

static bool same_name(Slice a, Slice b)
{
    return slice_equal_ignoring_case(a, b);
}

/* ---- relations ---- */

static uint32_t add_relation(Printer *p, Slice name, Slice namespace_name)
{
    Scope *scope = p->scope;
    *PUSH(p, scope->relations, scope->relation_count) = (ScopeRelation){name, namespace_name};
    return scope->relation_count - 1;
}

static Slice qualified(Printer *p, uint32_t number, Slice column)
{
    CLEANUP(buffer_done) Buffer text = {0};
    buffer_printf(&text, "t%u.", number);
    sql_print_name(&text, column);
    return arena_copy(p->arena, buffer_slice(&text));
}

static void add_column(Printer *p, ScopeColumn column)
{
    *PUSH(p, p->scope->columns, p->scope->column_count) = column;
}

static Code check_alias(Printer *p, const TableRef *ref, Slice name)
{
    const Scope *scope = p->scope;
    for (uint32_t i = 0; i < scope->relation_count && name.size; i++)
        if (same_name(scope->relations[i].name, name) && ref->alias.size &&
            !scope->relations[i].namespace_name.size)
            return sql__print_fail(p, ref->offset, E_INVALID_SQL,
                                   "The table name '%.*s' is used twice", SLICE_ARGS(name));
    return OK;
}

static void add_table_columns(Printer *p, const PrintTable *table, uint32_t relation,
                              uint32_t number)
{
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        add_column(p, (ScopeColumn){.name = column->name,
                                    .printed = qualified(p, number, column->name),
                                    .type = column->type,
                                    .source = column,
                                    .relation = relation});
    }
    static const struct {
        const char *name;
        Type type;
    } system_columns[] = {{"_seq", TYPE_BIGINT}, {"_deleted", TYPE_BOOLEAN}};
    for (int i = 0; i < 2 && table->has_system_columns; i++) {
        Slice name = slice_of_text(system_columns[i].name);
        add_column(p, (ScopeColumn){.name = name,
                                    .printed = qualified(p, number, name),
                                    .type = system_columns[i].type,
                                    .relation = relation});
    }
}

static void add_made_columns(Printer *p, const ScopeColumn *columns, uint32_t count,
                             uint32_t relation, uint32_t number)
{
    for (uint32_t i = 0; i < count; i++) {
        ScopeColumn column = columns[i];
        column.printed = qualified(p, number, column.printed);
        column.relation = relation;
        column.is_merged = column.is_hidden = false;
        add_column(p, column);
    }
}

static const PrintWith *find_with(const Printer *p, const TableName *name)
{
    if (name->namespace_name.size)
        return NULL;
    for (const PrintWith *with = p->with; with; with = with->next)
        if (same_name(with->name, name->name))
            return with;
    return NULL;
}

static Code place_error(Printer *p, uint32_t offset, Code code)
{
    if (code != OK && p->e && !p->e->line)
        sql_place(p->request->text, offset, &p->e->line, &p->e->column);
    return code;
}

static Code print_table(Printer *p, const TableRef *ref)
{
    Slice name = ref->alias.size ? ref->alias : ref->table.name;
    TRY(check_alias(p, ref, name));
    uint32_t number = p->relation_counter++;
    const PrintWith *with = find_with(p, &ref->table);
    if (with) {
        uint32_t relation = add_relation(p, name, slice_of("", 0));
        buffer_printf(p->out, "%.*s AS t%u", SLICE_ARGS(with->printed), number);
        add_made_columns(p, with->columns, with->column_count, relation, number);
        return OK;
    }
    const PrintCallbacks *callbacks = p->request->callbacks;
    PrintTable table = {0};
    TRY(place_error(p, ref->offset,
                    callbacks->find_table(callbacks->context, &ref->table, &table, p->e)));
    uint32_t relation =
        add_relation(p, name, ref->alias.size ? slice_of("", 0) : table.namespace_name);
    add_table_columns(p, &table, relation, number);
    table.alias = slice_of_text(arena_printf(p->arena, "t%u", number));
    TRY(sql__print_top(p, ref, &table));
    TRY(place_error(p, ref->offset,
                    callbacks->print_table(callbacks->context, ref, &table, p->out, p->e)));
    buffer_printf(p->out, " AS t%u", number);
    return OK;
}

static Code print_sub_select(Printer *p, const TableRef *ref)
{
    ScopeColumn *columns;
    uint32_t count, number = p->relation_counter++;
    TRY(check_alias(p, ref, ref->alias));
    buffer_add_char(p->out, '(');
    TRY(sql__print_select(p, ref->select, p->scope->outer, &columns, &count));
    buffer_printf(p->out, ") AS t%u", number);
    uint32_t relation = add_relation(p, ref->alias, slice_of("", 0));
    add_made_columns(p, columns, count, relation, number);
    return OK;
}

/* ---- names ---- */

static bool relation_matches(const ScopeRelation *relation, const ColumnName *name)
{
    if (!relation->name.size || !same_name(relation->name, name->table))
        return false;
    return !name->namespace_name.size || same_name(relation->namespace_name, name->namespace_name);
}

/* In the relations [from, to) of one scope. *out_count tells how many columns have the name. */
static const ScopeColumn *find_in(const Scope *scope, const ColumnName *name, uint32_t from,
                                  uint32_t to, uint32_t *out_count)
{
    const ScopeColumn *found = NULL;
    *out_count = 0;
    for (uint32_t i = 0; i < scope->column_count; i++) {
        const ScopeColumn *column = &scope->columns[i];
        if (column->relation < from || column->relation >= to ||
            !same_name(column->name, name->name))
            continue;
        bool fits =
            name->table.size
                ? !column->is_merged && relation_matches(&scope->relations[column->relation], name)
                : !column->is_hidden;
        if (!fits)
            continue;
        (*out_count)++;
        found = column;
    }
    return found;
}

Code sql__resolve(Printer *p, const Expr *expr, const ScopeColumn **out)
{
    *out = NULL;
    for (const Scope *scope = p->scope; scope; scope = scope->outer) {
        uint32_t count;
        *out = find_in(scope, &expr->column, scope->visible_from, scope->relation_count, &count);
        if (count > 1)
            return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                                   "Column '%.*s' is ambiguous; write its "
                                   "table before it",
                                   SLICE_ARGS(expr->column.name));
        if (*out)
            return OK;
    }
    return OK;
}

/* ---- joins ---- */

/* Merged columns stand before the others of their join in SELECT *. */
static void insert_merged(Printer *p, ScopeColumn merged)
{
    Scope *scope = p->scope;
    uint32_t at = 0;
    while (at < scope->column_count &&
           (scope->columns[at].relation < merged.relation ||
            (scope->columns[at].is_merged && scope->columns[at].merged_end == merged.merged_end)))
        at++;
    add_column(p, merged);
    ScopeColumn *columns = scope->columns;
    memmove(&columns[at + 1], &columns[at], (scope->column_count - 1 - at) * sizeof(*columns));
    columns[at] = merged;
}

static Code using_side(Printer *p, const TableRef *join, Slice name, uint32_t from, uint32_t to,
                       ScopeColumn **out)
{
    ColumnName column = {.name = name};
    uint32_t count;
    const ScopeColumn *found = find_in(p->scope, &column, from, to, &count);
    if (count > 1)
        return sql__print_fail(p, join->offset, E_INVALID_SQL,
                               "Column '%.*s' of USING is ambiguous", SLICE_ARGS(name));
    if (!found)
        return sql__print_fail(p, join->offset, E_COLUMN_NOT_FOUND,
                               "Column '%.*s' of USING is not on "
                               "both sides",
                               SLICE_ARGS(name));
    *out = &p->scope->columns[found - p->scope->columns];
    return OK;
}

static Slice merged_text(Printer *p, JoinKind kind, Slice left, Slice right)
{
    if (kind == JOIN_RIGHT)
        return right;
    if (kind != JOIN_FULL)
        return left;
    return slice_of_text(
        arena_printf(p->arena, "coalesce(%.*s, %.*s)", SLICE_ARGS(left), SLICE_ARGS(right)));
}

/* One column of USING: printed as an equality; both sides are hidden behind a merged column. */
static Code print_using(Printer *p, const TableRef *join, Slice name, uint32_t from,
                        uint32_t middle)
{
    ScopeColumn *left, *right;
    uint32_t to = p->scope->relation_count;
    TRY(using_side(p, join, name, from, middle, &left));
    TRY(using_side(p, join, name, middle, to, &right));
    buffer_printf(p->out, "(%.*s = %.*s)", SLICE_ARGS(left->printed), SLICE_ARGS(right->printed));
    ScopeColumn merged = join->join == JOIN_RIGHT ? *right : *left;
    merged.printed = merged_text(p, join->join, left->printed, right->printed);
    merged.is_merged = true;
    merged.relation = from;
    merged.merged_end = to;
    merged.is_hidden = false;
    if (join->join == JOIN_FULL)
        merged.source = NULL;
    right->is_hidden = true;
    left->is_hidden = true;
    insert_merged(p, merged);
    return OK;
}

static Code print_join(Printer *p, TableRef *join)
{
    static const char *const words[] = {" JOIN ", " LEFT JOIN ", " RIGHT JOIN ", " FULL JOIN ",
                                        " CROSS JOIN "};
    Scope *scope = p->scope;
    uint32_t from = scope->relation_count, visible_before = scope->visible_from;
    buffer_add_char(p->out, '(');
    TRY(sql__print_from(p, join->left));
    uint32_t middle = scope->relation_count;
    buffer_add_text(p->out, words[join->join]);
    TRY(sql__print_from(p, join->right));
    if (join->on) {
        if (sql_expr_has_aggregate(join->on))
            return sql__print_fail(p, join->on->offset, E_INVALID_SQL,
                                   "Aggregates are not allowed in WHERE and ON; use HAVING");
        buffer_add_text(p->out, " ON ");
        scope->visible_from = from;
        TRY(sql__print_expr(p, join->on));
        scope->visible_from = visible_before;
    }
    for (uint32_t i = 0; i < join->using_count; i++) {
        buffer_add_text(p->out, i ? " AND " : " ON ");
        TRY(print_using(p, join, join->using_columns[i], from, middle));
    }
    buffer_add_char(p->out, ')');
    return OK;
}

Code sql__print_from(Printer *p, TableRef *ref)
{
    switch (ref->kind) {
    case REF_TABLE:
        return print_table(p, ref);
    case REF_SELECT:
        return print_sub_select(p, ref);
    default:
        return print_join(p, ref);
    }
}
