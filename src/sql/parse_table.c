/* SPDX-License-Identifier: Apache-2.0
 *
 * CREATE TABLE: columns, defaults, the primary key.
 */
#include "sql/sql_int.h"

static Code refuse_constraint(Parser *p, uint32_t offset, Slice word)
{
    return sql__fail(p, E_UNSUPPORTED, offset,
                     "%.*s is not supported yet: the constraint would not be "
                     "enforced",
                     SLICE_ARGS(word));
}

/* ---- DEFAULT ---- */

static bool default_function(Slice name, DefaultKind *out)
{
    static const struct {
        const char *name;
        DefaultKind kind;
    } functions[] = {
        {"now", DEFAULT_NOW},
        {"current_timestamp", DEFAULT_NOW},
        {"snowflake_id", DEFAULT_SNOWFLAKE_ID},
        {"uuid_v7", DEFAULT_UUID_V7},
        {"ulid", DEFAULT_ULID},
        {"current_user", DEFAULT_CURRENT_USER},
        {"current_user_id", DEFAULT_CURRENT_USER},
    };
    for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++)
        if (slice_equal_ignoring_case(name, slice_of_text(functions[i].name))) {
            *out = functions[i].kind;
            return true;
        }
    return false;
}

/* Whether what the function gives always fits the column. */
static bool default_fits(DefaultKind kind, Type type)
{
    switch (kind) {
    case DEFAULT_NOW:
        return type == TYPE_TIMESTAMP || type == TYPE_TEXT;
    case DEFAULT_SNOWFLAKE_ID:
        return type == TYPE_BIGINT || type == TYPE_TEXT;
    case DEFAULT_UUID_V7:
        return type == TYPE_UUID || type == TYPE_TEXT;
    default:
        return type == TYPE_TEXT;
    }
}

static Code literal_default(Parser *p, const Expr *expr, ColumnDefinition *column)
{
    const Value *value = &expr->value;
    column->default_kind = DEFAULT_LITERAL;
    const char *what =
        arena_printf(p->arena, "the default of column '%.*s'", SLICE_ARGS(column->name));
    if (value_cast(value, column->type, what, p->arena, &column->default_value, p->e) != OK)
        return sql__place(p->text, expr->offset, p->e);
    if (column->type == TYPE_FLOAT || column->type == TYPE_DOUBLE)
        column->default_value.real += 0.0; /* -0.0 becomes 0.0, as it will be read back */
    return OK;
}

static Code use_default(Parser *p, Expr *expr, ColumnDefinition *column)
{
    if (expr->kind == EXPR_CAST && expr->left->kind == EXPR_LITERAL && expr->type == column->type)
        expr = expr->left;
    if (expr->kind == EXPR_LITERAL)
        return literal_default(p, expr, column);
    if (expr->kind != EXPR_CALL || !default_function(expr->name, &column->default_kind))
        return sql__fail(p, E_INVALID_SQL, expr->offset,
                         "DEFAULT must be a literal or one of NOW(), "
                         "SNOWFLAKE_ID(), UUID_V7(), ULID() and CURRENT_USER()");
    if (expr->item_count || expr->star)
        return sql__fail(p, E_INVALID_SQL, expr->offset, "%.*s() takes no arguments",
                         SLICE_ARGS(expr->name));
    if (!default_fits(column->default_kind, column->type))
        return sql__fail(p, E_INVALID_SQL, expr->offset,
                         "%.*s() cannot be the default of a column of type %s",
                         SLICE_ARGS(expr->name), type_info(column->type)->name);
    return OK;
}

static Code parse_default(Parser *p, ColumnDefinition *column)
{
    Expr *expr;
    TRY(sql__expr(p, &expr));
    return use_default(p, expr, column);
}

Code sql_column_default(Slice text, Expr *expr, const Column *target, Arena *arena,
                        DefaultKind *out_kind, Value *out_value, Error *e)
{
    Parser p = {.text = text, .arena = arena, .e = e};
    ColumnDefinition column = {.name = target->name, .type = target->type};
    TRY(use_default(&p, expr, &column));
    *out_kind = column.default_kind;
    *out_value = column.default_value;
    return OK;
}

static Code make_serial(Parser *p, ColumnDefinition *column, uint32_t offset)
{
    if (column->default_kind != DEFAULT_NONE && column->default_kind != DEFAULT_SNOWFLAKE_ID)
        return sql__fail(p, E_INVALID_SQL, offset, "Column '%.*s' has a default already",
                         SLICE_ARGS(column->name));
    if (!type_is_integer(column->type))
        return sql__fail(p, E_INVALID_SQL, offset, "An automatic number needs a BIGINT column");
    column->type = TYPE_BIGINT; /* ids are 64 bits wide whatever was written */
    column->default_kind = DEFAULT_SNOWFLAKE_ID;
    return OK;
}

static Code parse_generated(Parser *p, ColumnDefinition *column, uint32_t offset)
{
    if (!sql__accept_word(p, KW_ALWAYS)) {
        if (!sql__accept_word(p, KW_BY))
            return sql__expected(p, "ALWAYS or BY DEFAULT");
        TRY(sql__expect_word(p, KW_DEFAULT));
    }
    TRY(sql__expect_word(p, KW_AS));
    if (p->token.kind == TOKEN_LEFT)
        return sql__unsupported(p, offset, "Generated columns are not supported; AS IDENTITY is");
    TRY(sql__expect_word(p, KW_IDENTITY));
    return make_serial(p, column, offset);
}

/* ---- columns ---- */

static Code not_null(Parser *p, ColumnDefinition *column, ColumnState *state, bool is_not)
{
    uint32_t offset = p->token.start;
    TRY(sql__expect_word(p, KW_NULL));
    state->has_not_null |= is_not;
    state->has_null |= !is_not;
    if (state->has_null && state->has_not_null)
        return sql__fail(p, E_INVALID_SQL, offset, "Column '%.*s' is both NULL and NOT NULL",
                         SLICE_ARGS(column->name));
    column->not_null = state->has_not_null;
    return OK;
}

/* One word or more behind the type; *out_done is false at the end of the column. */
static Code column_constraint(Parser *p, ColumnDefinition *column, ColumnState *state,
                              bool *out_done)
{
    uint32_t offset = p->token.start;
    Token token = p->token;
    *out_done = true;
    if (sql__accept_word(p, KW_CONSTRAINT)) {
        Slice ignored;
        return sql__name(p, "a constraint name", &ignored);
    }
    if (sql__accept_word(p, KW_NOT))
        return not_null(p, column, state, true);
    if (sql__at_word(p, KW_NULL))
        return not_null(p, column, state, false);
    if (sql__accept_word(p, KW_DEFAULT)) {
        if (column->default_kind != DEFAULT_NONE)
            return sql__fail(p, E_INVALID_SQL, offset, "Column '%.*s' has a default already",
                             SLICE_ARGS(column->name));
        return parse_default(p, column);
    }
    if (sql__accept_word(p, KW_PRIMARY)) {
        state->key_count++;
        column->primary_key = true;
        return sql__expect_word(p, KW_KEY);
    }
    if (sql__accept_word(p, KW_AUTO_INCREMENT))
        return make_serial(p, column, offset);
    if (sql__accept_word(p, KW_GENERATED))
        return parse_generated(p, column, offset);
    if (token.keyword == KW_UNIQUE || token.keyword == KW_CHECK || token.keyword == KW_REFERENCES)
        return refuse_constraint(p, offset, token.text);
    *out_done = false;
    return OK;
}

static Code check_column_name(Parser *p, const CreateTable *create, const ColumnDefinition *column)
{
    if (sql_check_name(SQL_NAME_COLUMN, column->name, p->e) != OK)
        return sql__place(p->text, column->offset, p->e);
    for (uint32_t i = 0; i < create->column_count; i++)
        if (slice_equal_ignoring_case(create->columns[i].name, column->name))
            return sql__fail(p, E_INVALID_SQL, column->offset,
                             "Duplicate column name '%.*s'. Column "
                             "names are case-insensitive.",
                             SLICE_ARGS(column->name));
    return OK;
}

static Code add_key(Parser *p, CreateTable *create, uint32_t index, uint32_t offset)
{
    if (create->key_index >= 0)
        return sql__fail(p, E_INVALID_SQL, offset, "Multiple PRIMARY KEY definitions found");
    create->key_index = (int32_t)index;
    create->columns[index].primary_key = true;
    create->columns[index].not_null = true;
    return OK;
}

Code sql__new_column_name(Parser *p, Slice *out)
{
    if (p->token.kind != TOKEN_WORD)
        return sql__name(p, "a column name", out);
    *out = p->token.text;
    sql__advance(p);
    return OK;
}

Code sql__column(Parser *p, ColumnDefinition *column, ColumnState *state)
{
    uint32_t type_offset = p->token.start;
    bool is_serial;
    TRY(sql__column_type(p, &column->type, &is_serial));
    if (is_serial)
        TRY(make_serial(p, column, type_offset));
    for (bool is_done = true; is_done;)
        TRY(column_constraint(p, column, state, &is_done));
    bool default_is_null = column->default_kind == DEFAULT_LITERAL && column->default_value.is_null;
    if (default_is_null && (column->not_null || column->primary_key))
        return sql__fail(p, E_INVALID_SQL, column->offset,
                         "Column '%.*s' is NOT NULL but its default is "
                         "NULL",
                         SLICE_ARGS(column->name));
    return OK;
}

static Code table_column(Parser *p, CreateTable *create)
{
    ColumnDefinition column = {.offset = p->token.start};
    ColumnState state = {0};
    if (create->column_count == COLUMNS_MAX)
        return sql__fail(p, E_INVALID_SQL, column.offset, "More than %d columns", COLUMNS_MAX);
    TRY(sql__new_column_name(p, &column.name));
    TRY(check_column_name(p, create, &column));
    TRY(sql__column(p, &column, &state));
    *PUSH(p, create->columns, create->column_count) = column;
    if (!column.primary_key)
        return OK;
    if (state.has_null || state.key_count > 1)
        return sql__fail(p, E_INVALID_SQL, column.offset,
                         state.has_null ? "A PRIMARY KEY column cannot be NULL"
                                        : "Multiple PRIMARY KEY definitions found");
    return add_key(p, create, create->column_count - 1, column.offset);
}

/* Behind PRIMARY KEY ( in a table constraint. */
static Code key_constraint(Parser *p, CreateTable *create)
{
    TRY(sql__expect_word(p, KW_KEY));
    TRY(sql__expect(p, TOKEN_LEFT, "'('"));
    uint32_t offset = p->token.start;
    Slice name;
    TRY(sql__name(p, "a column name", &name));
    if (p->token.kind == TOKEN_COMMA)
        return sql__unsupported(p, offset, "Composite PRIMARY KEYs are not supported yet");
    TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
    for (uint32_t i = 0; i < create->column_count; i++)
        if (slice_equal_ignoring_case(create->columns[i].name, name))
            return add_key(p, create, i, offset);
    return sql__fail(p, E_INVALID_SQL, offset, "PRIMARY KEY column '%.*s' not found in column list",
                     SLICE_ARGS(name));
}

/* Constraints name columns that may follow, so the key is looked up when all are known. */
static Code table_item(Parser *p, CreateTable *create, Parser *key_at)
{
    if (sql__accept_word(p, KW_CONSTRAINT)) {
        Slice ignored;
        TRY(sql__name(p, "a constraint name", &ignored));
        if (!sql__at_word(p, KW_PRIMARY) && !sql__at_word(p, KW_UNIQUE) &&
            !sql__at_word(p, KW_CHECK) && !sql__at_word(p, KW_FOREIGN))
            return sql__expected(p, "PRIMARY KEY");
    }
    if (sql__at_word(p, KW_UNIQUE) || sql__at_word(p, KW_CHECK) || sql__at_word(p, KW_FOREIGN))
        return refuse_constraint(p, p->token.start, p->token.text);
    if (!sql__accept_word(p, KW_PRIMARY))
        return table_column(p, create);
    if (key_at->arena)
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "Multiple PRIMARY KEY definitions found");
    *key_at = *p;
    TRY(sql__expect_word(p, KW_KEY));
    TRY(sql__expect(p, TOKEN_LEFT, "'('"));
    Expr **ignored;
    uint32_t count;
    TRY(sql__expr_list(p, &ignored, &count));
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

static Code table_items(Parser *p, CreateTable *create)
{
    Parser key_at = {0};
    TRY(sql__expect(p, TOKEN_LEFT, "'(' and the columns"));
    while (p->token.kind != TOKEN_RIGHT) {
        TRY(table_item(p, create, &key_at));
        if (!sql__accept(p, TOKEN_COMMA))
            break;
    }
    uint32_t end = p->token.start;
    TRY(sql__expect(p, TOKEN_RIGHT, "',' or ')'"));
    if (!create->column_count)
        return sql__fail(p, E_INVALID_SQL, end, "Table must have at least one column");
    return key_at.arena ? key_constraint(&key_at, create) : OK;
}

static SqlTableKind prefix_kind(Parser *p)
{
    if (sql__accept_word(p, KW_USER))
        return SQL_TABLE_USER;
    if (sql__accept_word(p, KW_SHARED))
        return SQL_TABLE_SHARED;
    return sql__accept_word(p, KW_STREAM) ? SQL_TABLE_STREAM : SQL_TABLE_UNSET;
}

static Code table_head(Parser *p, CreateTable *create)
{
    create->options.kind = prefix_kind(p);
    TRY(sql__expect_word(p, KW_TABLE));
    if (sql__accept_word(p, KW_IF)) {
        TRY(sql__expect_word(p, KW_NOT));
        TRY(sql__expect_word(p, KW_EXISTS));
        create->if_not_exists = true;
    }
    TRY(sql__table_name(p, &create->table));
    if (sql_check_name(SQL_NAME_TABLE, create->table.name, p->e) != OK)
        return sql__place(p->text, create->table.offset, p->e);
    return OK;
}

Code sql__create_table(Parser *p, Statement *s)
{
    s->kind = STATEMENT_CREATE_TABLE;
    CreateTable *create = &s->create_table;
    create->key_index = -1;
    TRY(table_head(p, create));
    TRY(table_items(p, create));
    if (sql__accept_word(p, KW_USING)) {
        Slice ignored;
        TRY(sql__name(p, "a word after USING", &ignored));
    }
    if (sql__accept_word(p, KW_WITH))
        TRY(sql__table_options(p, &create->options));
    TRY(sql__check_options(p, s->offset, &create->options));
    SqlTableKind kind = create->options.kind;
    if (create->key_index < 0 && kind != SQL_TABLE_STREAM)
        return sql__fail(p, E_INVALID_SQL, create->table.offset,
                         "%s tables require a PRIMARY KEY column",
                         kind == SQL_TABLE_USER ? "User" : "Shared");
    return OK;
}
