/* SPDX-License-Identifier: Apache-2.0 */
#include "sql/sql.h"

#include "test.h"

static const AlterTable *parse(Arena *arena, const char *text)
{
    Statement *statement = NULL;
    CHECK_OK(sql_parse(slice_of_text(text), arena, &statement, e));
    CHECK_INT(statement->kind, STATEMENT_ALTER_TABLE);
    return &statement->alter_table;
}

TEST("a form of ALTER TABLE is taken for another, or names another column")
{
    static const struct {
        const char *text;
        AlterAction action;
        const char *column, *new_name;
        Type type;
    } cases[] = {
        {"ALTER TABLE a.t ADD COLUMN c TEXT", ALTER_ADD_COLUMN, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t ADD c TEXT NULL DEFAULT 'x';", ALTER_ADD_COLUMN, "c", "", TYPE_NULL},
        {"alter user table a.t add column if not exists c int", ALTER_ADD_COLUMN, "c", "",
         TYPE_NULL},
        {"ALTER SHARED TABLE a.t DROP COLUMN c", ALTER_DROP_COLUMN, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t DROP COLUMN IF EXISTS c", ALTER_DROP_COLUMN, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t DROP \"c d\"", ALTER_DROP_COLUMN, "c d", "", TYPE_NULL},
        {"ALTER TABLE a.t RENAME COLUMN c TO d", ALTER_RENAME_COLUMN, "c", "d", TYPE_NULL},
        {"ALTER TABLE a.t RENAME c TO d", ALTER_RENAME_COLUMN, "c", "d", TYPE_NULL},
        {"ALTER TABLE a.t MODIFY COLUMN c BIGINT NOT NULL", ALTER_COLUMN_TYPE, "c", "",
         TYPE_BIGINT},
        {"ALTER TABLE a.t MODIFY c INT8", ALTER_COLUMN_TYPE, "c", "", TYPE_BIGINT},
        {"ALTER TABLE a.t ALTER COLUMN c TYPE DOUBLE PRECISION", ALTER_COLUMN_TYPE, "c", "",
         TYPE_DOUBLE},
        {"ALTER TABLE a.t ALTER c SET DATA TYPE TEXT", ALTER_COLUMN_TYPE, "c", "", TYPE_TEXT},
        {"ALTER TABLE a.t ALTER COLUMN c SET NOT NULL", ALTER_SET_NOT_NULL, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t ALTER COLUMN c DROP NOT NULL", ALTER_DROP_NOT_NULL, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t ALTER COLUMN c SET DEFAULT -1", ALTER_SET_DEFAULT, "c", "", TYPE_NULL},
        {"ALTER TABLE a.t ALTER COLUMN c DROP DEFAULT", ALTER_DROP_DEFAULT, "c", "", TYPE_NULL},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const AlterTable *alter = parse(arena, cases[i].text);
        CHECK_SLICE(alter->table.namespace_name, SLICE("a"));
        CHECK_SLICE(alter->table.name, SLICE("t"));
        CHECK_INT(alter->action, cases[i].action);
        CHECK_SLICE(alter->column, slice_of_text(cases[i].column));
        CHECK_SLICE(alter->new_name, slice_of_text(cases[i].new_name));
        CHECK_INT(alter->type, cases[i].type);
    }
    CHECK_INT(parse(arena, cases[8].text)->nullability, NULLABILITY_NOT_NULL);
    CHECK_INT(parse(arena, cases[9].text)->nullability, NULLABILITY_UNSET);
    CHECK(parse(arena, cases[2].text)->if_not_exists);
    CHECK(parse(arena, cases[4].text)->if_exists);
    arena_free(arena);
}

TEST("a default is not converted to the column's type, or a function that does not fit is taken")
{
    Arena *arena = arena_new();
    const char *text = "ALTER TABLE t ALTER COLUMN c SET DEFAULT '12'";
    const AlterTable *alter = parse(arena, text);
    Column column = {.field_id = 1, .name = SLICE("c"), .type = TYPE_BIGINT};
    DefaultKind kind;
    Value value;
    CHECK_OK(sql_column_default(slice_of_text(text), alter->default_expr, &column, arena, &kind,
                                &value, e));
    CHECK_INT(kind, DEFAULT_LITERAL);
    CHECK(value.type == TYPE_BIGINT && value.integer == 12);
    text = "ALTER TABLE t ALTER COLUMN c SET DEFAULT ulid()";
    alter = parse(arena, text);
    Error error = {0};
    CHECK_CODE(sql_column_default(slice_of_text(text), alter->default_expr, &column, arena, &kind,
                                  &value, &error),
               E_INVALID_SQL);
    CHECK_INT(error.column, 42);
    column.type = TYPE_TEXT;
    CHECK_OK(sql_column_default(slice_of_text(text), alter->default_expr, &column, arena, &kind,
                                &value, e));
    CHECK_INT(kind, DEFAULT_ULID);
    arena_free(arena);
}

TEST("options are lost, or one that cannot be changed passes")
{
    Arena *arena = arena_new();
    const AlterTable *alter = parse(arena, "ALTER TABLE t SET ACCESS LEVEL restricted");
    CHECK_INT(alter->action, ALTER_SET_OPTIONS);
    CHECK_INT(alter->options.access, SQL_ACCESS_RESTRICTED);
    alter = parse(arena, "ALTER TABLE t SET TBLPROPERTIES (ACCESS_LEVEL = 'PUBLIC')");
    CHECK_INT(alter->options.access, SQL_ACCESS_PUBLIC);
    alter = parse(arena, "ALTER TABLE t SET (FLUSH_POLICY = 'rows:5,interval:6', TTL_SECONDS = 7)");
    CHECK_INT(alter->options.flush_rows, 5);
    CHECK_INT(alter->options.flush_interval_s, 6);
    CHECK_INT(alter->options.ttl_s, 7);
    arena_free(arena);
}

TEST("something that is refused has no code, or passes")
{
    static const struct {
        const char *text;
        Code code;
    } cases[] = {
        {"ALTER TABLE t", E_INVALID_SQL},
        {"ALTER TABLE t ADD", E_INVALID_SQL},
        {"ALTER TABLE t ADD COLUMN c", E_INVALID_SQL},
        {"ALTER TABLE t ADD COLUMN c INT, DROP COLUMN d", E_INVALID_SQL},
        {"ALTER TABLE t ADD COLUMN c INT NOT NULL DEFAULT NULL", E_INVALID_SQL},
        {"ALTER TABLE t ADD COLUMN select INT", E_INVALID_OPERATION},
        {"ALTER TABLE t ADD COLUMN _id INT", E_INVALID_OPERATION},
        {"ALTER TABLE t ADD COLUMN c INT AFTER d", E_UNSUPPORTED},
        {"ALTER TABLE t ADD CONSTRAINT k UNIQUE (c)", E_UNSUPPORTED},
        {"ALTER TABLE t ADD PRIMARY KEY (c)", E_UNSUPPORTED},
        {"ALTER TABLE t RENAME TO u", E_UNSUPPORTED},
        {"ALTER TABLE t RENAME c d", E_INVALID_SQL},
        {"ALTER TABLE t DROP COLUMN c RESTRICT", E_UNSUPPORTED},
        {"ALTER TABLE t DROP COLUMN _deleted", E_INVALID_OPERATION},
        {"ALTER TABLE t MODIFY COLUMN c SERIAL", E_UNSUPPORTED},
        {"ALTER TABLE t ALTER COLUMN c SET NULL", E_INVALID_SQL},
        {"ALTER TABLE t ALTER COLUMN c", E_INVALID_SQL},
        {"ALTER TABLE t SET ACCESS LEVEL secret", E_INVALID_SQL},
        {"ALTER TABLE t SET (DURABILITY = 'async')", E_UNSUPPORTED},
        {"ALTER TABLE t SET (TYPE = 'USER')", E_UNSUPPORTED},
        {"ALTER TABLE t SET FLUSH_POLICY = 'rows:1'", E_INVALID_SQL},
        {"ALTER TABLE t SET ()", E_INVALID_SQL},
        {"ALTER NAMESPACE n SET OPTIONS (a = 1)", E_UNSUPPORTED},
        {"ALTER VIEW v", E_INVALID_SQL},
    };
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Statement *statement = NULL;
        CHECK_CODE(sql_parse(slice_of_text(cases[i].text), arena, &statement, e), cases[i].code);
    }
    arena_free(arena);
}
