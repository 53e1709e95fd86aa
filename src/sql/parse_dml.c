/* SPDX-License-Identifier: Apache-2.0
 *
 * INSERT, UPDATE, DELETE, TRUNCATE.
 */
#include "sql/sql_int.h"

/* An expression or the keyword DEFAULT. */
static Code value_or_default(Parser *p, Expr **out)
{
    if (!sql__at_word(p, KW_DEFAULT))
        return sql__expr(p, out);
    Expr *expr = arena_new_of(p->arena, Expr);
    expr->kind = EXPR_DEFAULT;
    expr->offset = p->token.start;
    sql__advance(p);
    TRY(sql__finish_expr(p, expr));
    *out = expr;
    return OK;
}

static Code check_twice(Parser *p, const Slice *names, uint32_t count, uint32_t offset)
{
    for (uint32_t i = 0; i + 1 < count; i++)
        if (slice_equal_ignoring_case(names[i], names[count - 1]))
            return sql__fail(p, E_INVALID_SQL, offset, "Column '%.*s' is named twice",
                             SLICE_ARGS(names[i]));
    return OK;
}

static Code insert_columns(Parser *p, Insert *insert)
{
    uint32_t offset_count = 0;
    do {
        if (insert->column_count && p->token.kind == TOKEN_RIGHT)
            break;
        if (insert->column_count == COLUMNS_MAX)
            return sql__fail(p, E_INVALID_SQL, p->token.start, "More than %d columns", COLUMNS_MAX);
        uint32_t offset = p->token.start;
        Slice name;
        TRY(sql__name(p, "a column name", &name));
        *PUSH(p, insert->columns, insert->column_count) = name;
        *PUSH(p, insert->column_offsets, offset_count) = offset;
        TRY(check_twice(p, insert->columns, insert->column_count, offset));
    } while (sql__accept(p, TOKEN_COMMA));
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

static Code insert_row(Parser *p, Insert *insert, uint32_t *io_value_count)
{
    uint32_t offset = p->token.start, width = 0;
    TRY(sql__expect(p, TOKEN_LEFT, "'('"));
    do {
        if (width && p->token.kind == TOKEN_RIGHT)
            break;
        Expr *value;
        TRY(value_or_default(p, &value));
        *PUSH(p, insert->values, *io_value_count) = value;
        width++;
    } while (sql__accept(p, TOKEN_COMMA));
    TRY(sql__expect(p, TOKEN_RIGHT, "',' or ')'"));
    uint32_t want = insert->column_count ? insert->column_count
                    : insert->row_count  ? insert->width
                                         : width;
    if (width != want)
        return sql__fail(p, E_INVALID_SQL, offset, "Row %u has %u values, expected %u",
                         insert->row_count + 1, width, want);
    if (insert->row_count == 0)
        insert->row_offset = offset;
    insert->width = width;
    insert->row_count++;
    return OK;
}

static Code insert_values(Parser *p, Insert *insert)
{
    uint32_t value_count = 0;
    do {
        if (insert->row_count && p->token.kind != TOKEN_LEFT &&
            (p->token.kind == TOKEN_END || p->token.kind == TOKEN_SEMICOLON))
            break;
        if (insert->row_count == INSERT_ROWS_MAX)
            return sql__fail(p, E_INVALID_SQL, p->token.start, "More than %d rows in one INSERT",
                             INSERT_ROWS_MAX);
        TRY(insert_row(p, insert, &value_count));
    } while (sql__accept(p, TOKEN_COMMA));
    return OK;
}

static Code refuse_tail(Parser *p)
{
    if (sql__at_word(p, KW_ON))
        return sql__unsupported(p, p->token.start, "ON CONFLICT is not supported");
    if (sql__at_word(p, KW_RETURNING))
        return sql__unsupported(p, p->token.start, "RETURNING is not supported");
    return OK;
}

Code sql__insert(Parser *p, Statement *s)
{
    s->kind = STATEMENT_INSERT;
    Insert *insert = &s->insert;
    if (!sql__at_word(p, KW_INTO) && sql__at_word(p, KW_OR))
        return sql__unsupported(p, p->token.start, "INSERT OR … is not supported");
    TRY(sql__expect_word(p, KW_INTO));
    TRY(sql__table_name(p, &insert->table));
    if (p->token.kind == TOKEN_LEFT && sql__peek_second(p).keyword != KW_SELECT) {
        sql__advance(p);
        TRY(insert_columns(p, insert));
    }
    if (sql__accept_word(p, KW_DEFAULT)) {
        TRY(sql__expect_word(p, KW_VALUES));
        insert->default_values = true;
        insert->row_count = 1;
    } else if (sql__accept_word(p, KW_VALUES)) {
        TRY(insert_values(p, insert));
    } else if (sql__at_select(p) || p->token.kind == TOKEN_LEFT) {
        TRY(sql__select(p, &insert->select));
    } else {
        return sql__expected(p, insert->column_count ? "VALUES, SELECT or DEFAULT VALUES"
                                                     : "'(', VALUES, SELECT or DEFAULT VALUES");
    }
    return refuse_tail(p);
}

static Code optional_alias(Parser *p, Slice *out)
{
    if (sql__accept_word(p, KW_AS) || sql__at_name(p))
        return sql__name(p, "a table alias", out);
    return OK;
}

static Code check_assigned_twice(Parser *p, const Update *update)
{
    const Assignment *last = &update->assignments[update->assignment_count - 1];
    for (const Assignment *a = update->assignments; a < last; a++)
        if (slice_equal_ignoring_case(a->column, last->column))
            return sql__fail(p, E_INVALID_SQL, last->offset, "Column '%.*s' is assigned twice",
                             SLICE_ARGS(last->column));
    return OK;
}

static Code assignments(Parser *p, Update *update)
{
    do {
        if (update->assignment_count == COLUMNS_MAX)
            return sql__fail(p, E_INVALID_SQL, p->token.start, "More than %d columns", COLUMNS_MAX);
        Assignment a = {.offset = p->token.start};
        TRY(sql__name(p, "a column name", &a.column));
        TRY(sql__expect(p, TOKEN_EQUAL, "'='"));
        TRY(value_or_default(p, &a.value));
        *PUSH(p, update->assignments, update->assignment_count) = a;
        TRY(check_assigned_twice(p, update));
    } while (sql__accept(p, TOKEN_COMMA));
    return OK;
}

/* A write to every row is nearly always a forgotten WHERE. */
static Code required_where(Parser *p, const char *statement, Expr **out)
{
    if (p->token.kind == TOKEN_END || p->token.kind == TOKEN_SEMICOLON ||
        (p->token.kind == TOKEN_RIGHT && p->depth > 1))
        return sql__fail(p, E_INVALID_OPERATION, p->token.start, "%s requires a WHERE clause",
                         statement);
    TRY(sql__expect_word(p, KW_WHERE));
    TRY(sql__expr(p, out));
    return refuse_tail(p);
}

Code sql__update(Parser *p, Statement *s)
{
    s->kind = STATEMENT_UPDATE;
    Update *update = &s->update;
    TRY(sql__table_name(p, &update->table));
    TRY(optional_alias(p, &update->alias));
    TRY(sql__expect_word(p, KW_SET));
    TRY(assignments(p, update));
    if (sql__at_word(p, KW_FROM))
        return sql__unsupported(p, p->token.start, "UPDATE … FROM is not supported");
    return required_where(p, "UPDATE", &update->where);
}

Code sql__delete(Parser *p, Statement *s)
{
    s->kind = STATEMENT_DELETE;
    Delete *d = &s->delete_;
    TRY(sql__expect_word(p, KW_FROM));
    TRY(sql__table_name(p, &d->table));
    if (sql__at_word(p, KW_USING))
        return sql__unsupported(p, p->token.start, "DELETE … USING is not supported");
    TRY(optional_alias(p, &d->alias));
    return required_where(p, "DELETE", &d->where);
}

Code sql__truncate(Parser *p, Statement *s)
{
    s->kind = STATEMENT_TRUNCATE;
    (void)sql__accept_word(p, KW_TABLE);
    TRY(sql__table_name(p, &s->delete_.table));
    if (p->token.kind == TOKEN_COMMA)
        return sql__unsupported(p, p->token.start, "TRUNCATE of several tables is not supported");
    return OK;
}
