/* SPDX-License-Identifier: Apache-2.0
 *
 * SELECT for DuckDB. Every column of every SELECT is printed AS c0, c1 …, every table AS t0, t1
 * …, so
 * that what DuckDB resolves is never a user's name; the users' names are resolved here.
 *
 * I1: nothing of the user's text is copied: words are ours, names are quoted, values are rendered.
 */
#include <stdio.h>

#include "sql/print_int.h"

Code sql__print_fail(Printer *p, uint32_t offset, Code code, const char *format, ...)
{
    char message[ERROR_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    uint32_t line, column;
    sql_place(p->request->text, offset, &line, &column);
    return fail_at(p->e, code, line, column, "%s", message);
}

/* ---- names and values ---- */

void sql_print_name(Buffer *out, Slice name)
{
    buffer_add_quoted(out, name, '"');
}

/* SQL text ends at a zero byte on its way to DuckDB, so those are written as chr(0). */
static void print_text(Buffer *out, Slice s)
{
    if (!s.size || !memchr(s.data, '\0', s.size)) {
        buffer_add_quoted(out, s, '\'');
        return;
    }
    buffer_add_char(out, '(');
    for (;;) {
        const char *zero = s.size ? memchr(s.data, '\0', s.size) : NULL;
        size_t size = zero ? (size_t)(zero - s.data) : s.size;
        buffer_add_quoted(out, slice_of(s.data, size), '\'');
        if (!zero)
            break;
        buffer_add_text(out, " || chr(0) || ");
        s = slice_of(zero + 1, s.size - size - 1);
    }
    buffer_add_char(out, ')');
}

static void print_bytes(Buffer *out, Slice s)
{
    static const char digits[] = "0123456789ABCDEF";
    buffer_add_char(out, '\'');
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        buffer_add_text(out, "\\x");
        buffer_add_char(out, digits[c >> 4]);
        buffer_add_char(out, digits[c & 15]);
    }
    buffer_add_text(out, "'::BLOB");
}

static void print_quoted_value(Buffer *out, const Value *value)
{
    buffer_add_char(out, '\'');
    value_print(value, out);
    buffer_printf(out, "'::%s", type_info(value->type)->duckdb);
}

void sql_print_value(Buffer *out, const Value *value)
{
    const char *type = value->type == TYPE_NULL ? NULL : type_info(value->type)->duckdb;
    if (value->is_null) {
        buffer_add_text(out, "NULL");
        if (type)
            buffer_printf(out, "::%s", type);
        return;
    }
    switch (value->type) {
    case TYPE_BOOLEAN:
        buffer_add_text(out, value->boolean ? "true" : "false");
        break;
    case TYPE_SMALLINT:
    case TYPE_INT:
    case TYPE_BIGINT:
        buffer_printf(out, value->integer < 0 ? "(%lld)::%s" : "%lld::%s",
                      (long long)value->integer, type);
        break;
    case TYPE_TEXT:
    case TYPE_JSON:
        print_text(out, value->bytes);
        break;
    case TYPE_BYTES:
        print_bytes(out, value->bytes);
        break;
    default: /* FLOAT, DOUBLE, TIMESTAMP, UUID: our own digits in quotes */
        print_quoted_value(out, value);
    }
}

/* ---- the parts of a SELECT ---- */

static Slice printed_name(Printer *p, const char *prefix, uint32_t index)
{
    return slice_of_text(arena_printf(p->arena, "%s%u", prefix, index));
}

typedef struct Output {
    ScopeColumn *columns;
    uint32_t count;
} Output;

static void add_output(Printer *p, Output *output, ScopeColumn column)
{
    column.printed = printed_name(p, "c", output->count);
    buffer_printf(p->out, " AS %.*s", SLICE_ARGS(column.printed));
    *PUSH(p, output->columns, output->count) = column;
}

static bool is_of_relation(const Scope *scope, const ScopeColumn *column, Slice name)
{
    return !column->is_merged &&
           slice_equal_ignoring_case(scope->relations[column->relation].name, name);
}

static Code print_star(Printer *p, const SelectItem *item, Output *output)
{
    const Scope *scope = p->scope;
    uint32_t before = output->count;
    for (uint32_t i = 0; i < scope->column_count; i++) {
        const ScopeColumn *column = &scope->columns[i];
        bool is_wanted = item->star_table.size ? is_of_relation(scope, column, item->star_table)
                                               : !column->is_hidden;
        if (!is_wanted)
            continue;
        if (output->count == COLUMNS_MAX)
            return sql__print_fail(p, item->offset, E_INVALID_SQL, "More than %d columns",
                                   COLUMNS_MAX);
        buffer_add_text(p->out, output->count ? ", " : " ");
        buffer_add_slice(p->out, column->printed);
        add_output(p, output, *column);
    }
    if (output->count > before)
        return OK;
    if (item->star_table.size)
        return sql__print_fail(p, item->offset, E_TABLE_NOT_FOUND, "Table '%.*s' is not in FROM",
                               SLICE_ARGS(item->star_table));
    return sql__print_fail(p, item->offset, E_INVALID_SQL, "SELECT * needs FROM");
}

static Code print_item(Printer *p, const SelectItem *item, Output *output)
{
    if (item->star)
        return print_star(p, item, output);
    if (output->count == COLUMNS_MAX)
        return sql__print_fail(p, item->offset, E_INVALID_SQL, "More than %d columns", COLUMNS_MAX);
    buffer_add_text(p->out, output->count ? ", " : " ");
    TRY(sql__print_expr(p, item->expr));
    ScopeColumn column = {.type = sql__print_type(p, item->expr)};
    column.name = sql_item_name(item, p->arena);
    if (item->expr->kind == EXPR_COLUMN) {
        const ScopeColumn *source;
        TRY(sql__resolve(p, item->expr, &source));
        column.source = source ? source->source : NULL;
        if (source && !item->alias.size)
            column.name = source->name;
    }
    add_output(p, output, column);
    return OK;
}

static Code print_condition(Printer *p, const char *word, const Expr *expr, bool allows_aggregates)
{
    if (!expr)
        return OK;
    if (!allows_aggregates && sql_expr_has_aggregate(expr))
        return sql__print_fail(p, sql__find_aggregate(expr)->offset, E_INVALID_SQL,
                               "Aggregates are not allowed in WHERE and ON; use HAVING");
    buffer_add_text(p->out, word);
    return sql__print_expr(p, expr);
}

static bool is_position(const Expr *expr)
{
    return expr->kind == EXPR_LITERAL && expr->value.type == TYPE_BIGINT && !expr->value.is_null;
}

/* n of GROUP BY n and ORDER BY n: the n-th column of the result. */
static Code print_position(Printer *p, const Expr *expr, uint32_t count)
{
    int64_t n = expr->value.integer;
    if (n < 1 || n > count)
        return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                               "There is no column number %lld; the "
                               "result has %u",
                               (long long)n, count);
    buffer_printf(p->out, "%lld", (long long)n);
    return OK;
}

static Code print_group(Printer *p, const Select *select, uint32_t column_count)
{
    for (uint32_t i = 0; i < select->group_count; i++) {
        buffer_add_text(p->out, i ? ", " : " GROUP BY ");
        const Expr *expr = select->group[i];
        if (sql_expr_has_aggregate(expr))
            return sql__print_fail(p, expr->offset, E_INVALID_SQL,
                                   "Aggregates are not allowed in GROUP BY");
        if (is_position(expr))
            TRY(print_position(p, expr, column_count));
        else
            TRY(sql__print_expr(p, expr));
    }
    return OK;
}

/* The number of the column a bare name in ORDER BY means; 0 when it is none. */
static uint32_t output_position(const Expr *expr, const ScopeColumn *columns, uint32_t count)
{
    if (expr->kind != EXPR_COLUMN || expr->column.table.size)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        if (slice_equal_ignoring_case(columns[i].name, expr->column.name))
            return i + 1;
    return 0;
}

static void print_direction(Printer *p, const OrderItem *item)
{
    buffer_add_text(p->out, item->descending ? " DESC" : " ASC");
    buffer_add_text(p->out, item->nulls_first ? " NULLS FIRST" : " NULLS LAST");
}

static Code print_select_order(Printer *p, const Select *select, const ScopeColumn *columns,
                               uint32_t count)
{
    for (uint32_t i = 0; i < select->order_count; i++) {
        const OrderItem *item = &select->order[i];
        buffer_add_text(p->out, i ? ", " : " ORDER BY ");
        uint32_t position = output_position(item->expr, columns, count);
        if (position)
            buffer_printf(p->out, "%u", position);
        else if (is_position(item->expr))
            TRY(print_position(p, item->expr, count));
        else if (select->set_operation != SET_NONE)
            return sql__print_fail(p, item->expr->offset, E_INVALID_SQL,
                                   "ORDER BY after UNION, INTERSECT "
                                   "or EXCEPT takes names and numbers of result columns only");
        else
            TRY(sql__print_expr(p, item->expr));
        print_direction(p, item);
    }
    return OK;
}

Code sql__print_order(Printer *p, const OrderItem *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buffer_add_text(p->out, i ? ", " : " ORDER BY ");
        TRY(sql__print_expr(p, order[i].expr));
        print_direction(p, &order[i]);
    }
    return OK;
}

static Code print_limit(Printer *p, const Select *select)
{
    uint64_t n;
    if (select->limit) {
        TRY(sql__print_count(p, select->limit, "LIMIT", &n));
        buffer_printf(p->out, " LIMIT %llu", (unsigned long long)n);
    }
    if (select->row_offset) {
        TRY(sql__print_count(p, select->row_offset, "OFFSET", &n));
        buffer_printf(p->out, " OFFSET %llu", (unsigned long long)n);
    }
    return OK;
}

/* ---- a SELECT ---- */

static Code print_items(Printer *p, const Select *select, Output *output)
{
    for (uint32_t i = 0; i < select->item_count; i++)
        TRY(print_item(p, &select->items[i], output));
    return OK;
}

/* FROM is printed aside first, because it says what the names before it mean. */
static Code print_plain(Printer *p, const Select *select, Output *output)
{
    CLEANUP(buffer_done) Buffer from = {0};
    if (select->from) {
        Buffer *out = p->out;
        p->out = &from;
        Code code = sql__print_from(p, select->from);
        p->out = out;
        TRY(code);
    }
    buffer_add_text(p->out, select->distinct ? "SELECT DISTINCT" : "SELECT");
    TRY(print_items(p, select, output));
    if (select->from) {
        buffer_add_text(p->out, " FROM ");
        buffer_add_slice(p->out, buffer_slice(&from));
    }
    TRY(print_condition(p, " WHERE ", select->where, false));
    p->allows_alias = true;
    TRY(print_group(p, select, output->count));
    TRY(print_condition(p, " HAVING ", select->having, true));
    TRY(print_select_order(p, select, output->columns, output->count));
    TRY(sql__check_groups(p, select));
    p->allows_alias = false;
    return print_limit(p, select);
}

static Code print_set_operation(Printer *p, const Select *select, Scope *outer, Output *output)
{
    static const char *const words[] = {"", " UNION ", " INTERSECT ", " EXCEPT "};
    ScopeColumn *right;
    uint32_t right_count;
    buffer_add_char(p->out, '(');
    TRY(sql__print_select(p, select->left, outer, &output->columns, &output->count));
    buffer_printf(p->out, ")%s%s(", words[select->set_operation], select->set_all ? "ALL " : "");
    TRY(sql__print_select(p, select->right, outer, &right, &right_count));
    buffer_add_char(p->out, ')');
    if (right_count != output->count)
        return sql__print_fail(p, select->right->offset, E_INVALID_SQL,
                               "The two sides have %u and %u "
                               "columns",
                               output->count, right_count);
    for (uint32_t i = 0; i < right_count; i++)
        output->columns[i].source = NULL; /* the two sides' types meet in DuckDB */
    TRY(print_select_order(p, select, output->columns, output->count));
    return print_limit(p, select);
}

static Code print_with_table(Printer *p, const WithTable *table, bool is_first)
{
    PrintWith *with = arena_new_of(p->arena, PrintWith);
    with->name = table->name;
    with->printed = printed_name(p, "w", p->relation_counter++);
    buffer_printf(p->out, "%s%.*s AS (", is_first ? "WITH " : ", ", SLICE_ARGS(with->printed));
    TRY(sql__print_select(p, table->select, NULL, &with->columns, &with->column_count));
    buffer_add_char(p->out, ')');
    if (table->column_count && table->column_count != with->column_count)
        return sql__print_fail(p, table->offset, E_INVALID_SQL,
                               "'%.*s' names %u columns, its SELECT has "
                               "%u",
                               SLICE_ARGS(table->name), table->column_count, with->column_count);
    for (uint32_t i = 0; i < table->column_count; i++)
        with->columns[i].name = table->columns[i];
    with->next = p->with;
    p->with = with;
    return OK;
}

static Code print_with(Printer *p, const Select *select)
{
    for (uint32_t i = 0; i < select->with_count; i++)
        TRY(print_with_table(p, &select->with[i], i == 0));
    if (select->with_count)
        buffer_add_char(p->out, ' ');
    return OK;
}

Code sql__print_select(Printer *p, const Select *select, Scope *outer, ScopeColumn **out_columns,
                       uint32_t *out_count)
{
    Scope scope = {.outer = outer, .select = select}, *scope_before = p->scope;
    PrintWith *with_before = p->with;
    bool allowed_alias = p->allows_alias;
    Output output = {0};
    p->allows_alias = false;
    TRY(print_with(p, select));
    p->scope = &scope;
    if (select->set_operation != SET_NONE)
        TRY(print_set_operation(p, select, outer, &output));
    else
        TRY(print_plain(p, select, &output));
    p->scope = scope_before;
    p->with = with_before;
    p->allows_alias = allowed_alias;
    *out_columns = output.columns;
    *out_count = output.count;
    return OK;
}

Code sql_print_select(const PrintRequest *request, const Select *select, Arena *arena, Buffer *out,
                      PrintColumn **out_columns, size_t *out_column_count, Error *e)
{
    Printer p = {.request = request, .arena = arena, .out = out, .e = e};
    ScopeColumn *columns;
    uint32_t count;
    TRY(sql__print_select(&p, select, NULL, &columns, &count));
    PrintColumn *result = arena_new_array(arena, PrintColumn, count);
    for (uint32_t i = 0; i < count; i++)
        result[i] = (PrintColumn){columns[i].name, columns[i].source, columns[i].type};
    *out_columns = result;
    *out_column_count = count;
    return OK;
}
