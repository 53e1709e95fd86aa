/* SPDX-License-Identifier: Apache-2.0
 *
 * ALTER TABLE: one operation per statement. What depends on the table as it is (whether the column
 * exists, its type) is left to the executor.
 */
#include "sql/sql_int.h"

static bool accept_text(Parser *p, const char *word)
{
    if (!sql__at_text(p, word))
        return false;
    sql__advance(p);
    return true;
}

static Code expect_text(Parser *p, const char *word)
{
    return accept_text(p, word) ? OK : sql__expected(p, word);
}

/* COLUMN is noise before a name. */
static void skip_column_word(Parser *p)
{
    TokenKind next = sql__peek_second(p).kind;
    if (sql__at_text(p, "COLUMN") && (next == TOKEN_WORD || next == TOKEN_QUOTED))
        sql__advance(p);
}

static bool is_system_column(Slice name)
{
    return slice_equal_ignoring_case(name, SLICE("_seq")) ||
           slice_equal_ignoring_case(name, SLICE("_deleted")) ||
           slice_equal_ignoring_case(name, SLICE("_commit_seq"));
}

/* The column that changes. */
static Code column_name(Parser *p, AlterTable *alter)
{
    alter->column_offset = p->token.start;
    TRY(sql__name(p, "a column name", &alter->column));
    if (is_system_column(alter->column))
        return sql__fail(p, E_INVALID_OPERATION, alter->column_offset,
                         "Column '%.*s' is a system column and cannot be altered",
                         SLICE_ARGS(alter->column));
    return OK;
}

static Code check_new_name(Parser *p, const char *verb, Slice name, uint32_t offset)
{
    if (is_system_column(name))
        return sql__fail(p, E_INVALID_OPERATION, offset,
                         "Cannot %s column '%.*s': reserved system column name", verb,
                         SLICE_ARGS(name));
    if (sql_check_name(SQL_NAME_COLUMN, name, p->e) != OK)
        return sql__place(p->text, offset, p->e);
    return OK;
}

static Code refuse_constraint(Parser *p)
{
    static const Keyword words[] = {KW_CONSTRAINT, KW_PRIMARY, KW_UNIQUE, KW_CHECK, KW_FOREIGN};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (sql__at_word(p, words[i]))
            return sql__unsupported(p, p->token.start,
                                    "Constraints of a table cannot be added or dropped");
    return OK;
}

static Code add_column(Parser *p, AlterTable *alter)
{
    alter->action = ALTER_ADD_COLUMN;
    TRY(refuse_constraint(p));
    skip_column_word(p);
    if (sql__at_word(p, KW_IF) && sql__peek_second(p).keyword == KW_NOT) {
        sql__advance(p);
        sql__advance(p);
        TRY(sql__expect_word(p, KW_EXISTS));
        alter->if_not_exists = true;
    }
    ColumnDefinition *column = &alter->definition;
    ColumnState state = {0};
    column->offset = alter->column_offset = p->token.start;
    TRY(sql__new_column_name(p, &column->name));
    TRY(check_new_name(p, "add", column->name, column->offset));
    alter->column = column->name;
    TRY(sql__column(p, column, &state));
    if (column->primary_key)
        return sql__fail(p, E_INVALID_OPERATION, column->offset,
                         "A PRIMARY KEY cannot be added to a table");
    if (sql__at_word(p, KW_FIRST) || sql__at_text(p, "AFTER"))
        return sql__unsupported(p, p->token.start,
                                "FIRST and AFTER are not supported: a new column is the last one");
    return OK;
}

static Code drop_column(Parser *p, AlterTable *alter)
{
    alter->action = ALTER_DROP_COLUMN;
    TRY(refuse_constraint(p));
    skip_column_word(p);
    if (sql__at_word(p, KW_IF) && sql__peek_second(p).keyword == KW_EXISTS) {
        sql__advance(p);
        sql__advance(p);
        alter->if_exists = true;
    }
    TRY(column_name(p, alter));
    if (sql__at_word(p, KW_CASCADE) || sql__at_word(p, KW_RESTRICT))
        return sql__unsupported(
            p, p->token.start,
            "CASCADE and RESTRICT are not supported: nothing depends on a column");
    return OK;
}

static Code rename_column(Parser *p, AlterTable *alter)
{
    alter->action = ALTER_RENAME_COLUMN;
    if (sql__at_word(p, KW_TO))
        return sql__unsupported(p, p->token.start, "Renaming a table is not supported yet");
    skip_column_word(p);
    TRY(column_name(p, alter));
    TRY(sql__expect_word(p, KW_TO));
    uint32_t offset = p->token.start;
    TRY(sql__new_column_name(p, &alter->new_name));
    return check_new_name(p, "rename to", alter->new_name, offset);
}

static Code column_type(Parser *p, AlterTable *alter)
{
    uint32_t offset = p->token.start;
    bool is_serial;
    alter->action = ALTER_COLUMN_TYPE;
    TRY(sql__column_type(p, &alter->type, &is_serial));
    if (is_serial)
        return sql__unsupported(
            p, offset,
            "A column cannot become SERIAL; use ALTER COLUMN c SET DEFAULT SNOWFLAKE_ID()");
    return OK;
}

static Code modify_column(Parser *p, AlterTable *alter)
{
    skip_column_word(p);
    TRY(column_name(p, alter));
    TRY(column_type(p, alter));
    if (sql__accept_word(p, KW_NOT)) {
        alter->nullability = NULLABILITY_NOT_NULL;
        return sql__expect_word(p, KW_NULL);
    }
    if (sql__accept_word(p, KW_NULL))
        alter->nullability = NULLABILITY_NULL;
    return OK;
}

static Code set_of_column(Parser *p, AlterTable *alter)
{
    if (accept_text(p, "DATA")) {
        TRY(expect_text(p, "TYPE"));
        return column_type(p, alter);
    }
    if (sql__accept_word(p, KW_NOT)) {
        alter->action = ALTER_SET_NOT_NULL;
        return sql__expect_word(p, KW_NULL);
    }
    if (!sql__accept_word(p, KW_DEFAULT))
        return sql__expected(p, "NOT NULL, DEFAULT or DATA TYPE");
    alter->action = ALTER_SET_DEFAULT;
    return sql__expr(p, &alter->default_expr);
}

static Code alter_column(Parser *p, AlterTable *alter)
{
    skip_column_word(p);
    TRY(column_name(p, alter));
    if (accept_text(p, "TYPE"))
        return column_type(p, alter);
    if (sql__accept_word(p, KW_SET))
        return set_of_column(p, alter);
    if (!sql__accept_word(p, KW_DROP))
        return sql__expected(p, "TYPE, SET or DROP");
    if (sql__accept_word(p, KW_NOT)) {
        alter->action = ALTER_DROP_NOT_NULL;
        return sql__expect_word(p, KW_NULL);
    }
    alter->action = ALTER_DROP_DEFAULT;
    return sql__accept_word(p, KW_DEFAULT) ? OK : sql__expected(p, "NOT NULL or DEFAULT");
}

static Code check_options(Parser *p, const TableOptions *options, uint32_t offset)
{
    bool is_fixed = options->kind != SQL_TABLE_UNSET || options->storage_id.size ||
                    options->use_user_storage || options->has_durability;
    if (is_fixed)
        return sql__unsupported(
            p, offset,
            "ALTER TABLE can set FLUSH_POLICY, FEED_WINDOW_HOURS, FEED_WINDOW_BYTES, TTL_SECONDS "
            "and "
            "ACCESS_LEVEL; the other options are fixed when the table is created");
    bool has_any = options->access != SQL_ACCESS_UNSET || options->has_flush_policy ||
                   options->has_ttl || options->has_feed_window || options->has_feed_bytes;
    return has_any ? OK : sql__fail(p, E_INVALID_SQL, offset, "No option to set was given");
}

static Code set_options(Parser *p, AlterTable *alter)
{
    uint32_t offset = p->token.start;
    alter->action = ALTER_SET_OPTIONS;
    if (accept_text(p, "ACCESS")) {
        TRY(expect_text(p, "LEVEL"));
        return sql__access_level(p, &alter->options);
    }
    bool has_word = accept_text(p, "TBLPROPERTIES");
    if (p->token.kind != TOKEN_LEFT)
        return sql__expected(p, has_word ? "'('" : "ACCESS LEVEL, TBLPROPERTIES or '('");
    TRY(sql__table_options(p, &alter->options));
    return check_options(p, &alter->options, offset);
}

static Code operation(Parser *p, AlterTable *alter)
{
    if (accept_text(p, "ADD"))
        return add_column(p, alter);
    if (sql__accept_word(p, KW_DROP))
        return drop_column(p, alter);
    if (accept_text(p, "RENAME"))
        return rename_column(p, alter);
    if (accept_text(p, "MODIFY"))
        return modify_column(p, alter);
    if (sql__accept_word(p, KW_ALTER))
        return alter_column(p, alter);
    if (sql__accept_word(p, KW_SET))
        return set_options(p, alter);
    if (accept_text(p, "RESET")) {
        alter->action = ALTER_RESET_OPTIONS;
        return sql__reset_options(p, &alter->options);
    }
    return sql__expected(p, "ADD, DROP, RENAME, MODIFY, ALTER, SET or RESET");
}

Code sql__alter_table(Parser *p, Statement *s)
{
    AlterTable *alter = &s->alter_table;
    s->kind = STATEMENT_ALTER_TABLE;
    TRY(sql__table_name(p, &alter->table));
    TRY(operation(p, alter));
    if (p->token.kind == TOKEN_COMMA)
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "Only one ALTER TABLE operation is supported per statement");
    return OK;
}
