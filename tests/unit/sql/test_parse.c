/* SPDX-License-Identifier: Apache-2.0
 *
 * Statements: which parse, what the tree says, and where and how errors point.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "sql/sql.h"
#include "test.h"

static Statement *parse(Arena *arena, const char *text)
{
    Statement *s = NULL;
    Error e = {0};
    if (sql_parse(slice_of_text(text), arena, &s, &e) != OK)
        test_failed(__FILE__, __LINE__, "%s: %u:%u %s", text, e.line, e.column, e.text);
    return s;
}

TEST("each statement of the dialect is recognised as its kind")
{ /* long: table */
    static const struct {
        const char *text;
        StatementKind kind;
    } cases[] = {
        {"CREATE NAMESPACE chat", STATEMENT_CREATE_NAMESPACE},
        {"create namespace if not exists chat;", STATEMENT_CREATE_NAMESPACE},
        {"DROP NAMESPACE chat", STATEMENT_DROP_NAMESPACE},
        {"DROP NAMESPACE IF EXISTS chat CASCADE", STATEMENT_DROP_NAMESPACE},
        {"USE chat", STATEMENT_USE_NAMESPACE},
        {"USE NAMESPACE chat", STATEMENT_USE_NAMESPACE},
        {"SET NAMESPACE chat", STATEMENT_USE_NAMESPACE},
        {"SHOW NAMESPACES", STATEMENT_SHOW_NAMESPACES},
        {"SHOW TABLES", STATEMENT_SHOW_TABLES},
        {"SHOW TABLES IN chat", STATEMENT_SHOW_TABLES},
        {"SHOW STORAGES", STATEMENT_SHOW_STORAGES},
        {"SHOW CREATE TABLE chat.messages", STATEMENT_SHOW_CREATE_TABLE},
        {"DESCRIBE TABLE chat.messages HISTORY", STATEMENT_DESCRIBE_TABLE},
        {"ALTER TABLE t RESET (FLUSH_POLICY, FEED_WINDOW_HOURS)", STATEMENT_ALTER_TABLE},
        {"SHOW TABLES IN NAMESPACE chat", STATEMENT_SHOW_TABLES},
        {"CREATE TABLE t (id BIGINT PRIMARY KEY)", STATEMENT_CREATE_TABLE},
        {"DROP TABLE chat.t", STATEMENT_DROP_TABLE},
        {"DROP USER TABLE IF EXISTS chat.t", STATEMENT_DROP_TABLE},
        {"DESCRIBE TABLE chat.t", STATEMENT_DESCRIBE_TABLE},
        {"DESC TABLE t", STATEMENT_DESCRIBE_TABLE},
        {"INSERT INTO t VALUES (1)", STATEMENT_INSERT},
        {"UPDATE t SET a = 1 WHERE id = 1", STATEMENT_UPDATE},
        {"DELETE FROM t WHERE id = 1", STATEMENT_DELETE},
        {"SELECT 1", STATEMENT_SELECT},
        {"(SELECT 1) UNION (SELECT 2)", STATEMENT_SELECT},
        {"WITH w AS (SELECT 1) SELECT * FROM w", STATEMENT_SELECT},
        {"EXECUTE AS USER 'alice' (SELECT 1)", STATEMENT_EXECUTE_AS},
        {"CREATE USER bob WITH PASSWORD 'pw' ROLE user", STATEMENT_CREATE_USER},
        {"CREATE USER 'bob' WITH OAUTH '{\"provider\":\"google\"}' ROLE dba EMAIL 'b@x'",
         STATEMENT_CREATE_USER},
        {"CREATE USER svc WITH INTERNAL ROLE system", STATEMENT_CREATE_USER},
        {"ALTER USER bob SET PASSWORD 'new'", STATEMENT_ALTER_USER},
        {"ALTER USER bob SET ROLE analyst", STATEMENT_ALTER_USER},
        {"ALTER USER bob SET EMAIL 'x@y'", STATEMENT_ALTER_USER},
        {"DROP USER IF EXISTS bob", STATEMENT_DROP_USER},
        {"STORAGE FLUSH TABLE chat.t", STATEMENT_FLUSH_TABLE},
        {"STORAGE FLUSH ALL", STATEMENT_FLUSH_ALL},
        {"STORAGE FLUSH ALL IN NAMESPACE chat", STATEMENT_FLUSH_ALL},
        {"STORAGE COMPACT TABLE chat.t", STATEMENT_COMPACT_TABLE},
        {"STORAGE COMPACT ALL IN chat", STATEMENT_COMPACT_ALL},
        {"STORAGE CHECK", STATEMENT_STORAGE_CHECK},
        {"STORAGE CHECK local EXTENDED", STATEMENT_STORAGE_CHECK},
        {"BACKUP DATABASE TO '/b'", STATEMENT_BACKUP},
        {"RESTORE DATABASE FROM '/b'", STATEMENT_RESTORE},
        {"EXPORT USER DATA", STATEMENT_EXPORT_USER},
        {"SHOW EXPORT", STATEMENT_SHOW_EXPORT},
        {"KILL JOB 'FL-1'", STATEMENT_KILL_JOB},
        {"KILL JOB FL-1", STATEMENT_KILL_JOB},
        {"KILL LIVE QUERY 'a-b-c'", STATEMENT_KILL_LIVE_QUERY},
        {"SUBSCRIBE TO chat.t", STATEMENT_SUBSCRIBE},
        {"SUBSCRIBE TO SELECT * FROM chat.t OPTIONS (last_rows=20)", STATEMENT_SUBSCRIBE},
        {"BEGIN", STATEMENT_BEGIN},
        {"BEGIN TRANSACTION", STATEMENT_BEGIN},
        {"TRUNCATE t", STATEMENT_TRUNCATE},
        {"TRUNCATE TABLE app.t", STATEMENT_TRUNCATE},
        {"START TRANSACTION", STATEMENT_BEGIN},
        {"COMMIT", STATEMENT_COMMIT},
        {"ROLLBACK", STATEMENT_ROLLBACK},
        {"EXPLAIN SELECT 1", STATEMENT_EXPLAIN},
        {"/* hello */ -- line\n SELECT 1 -- end", STATEMENT_SELECT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Statement *s = parse(arena, cases[i].text);
        if (s->kind != cases[i].kind)
            test_failed(__FILE__, __LINE__, "%s is %s", cases[i].text, sql_statement_name(s->kind));
        CHECK(s->text.size > 0 && s->text.data[s->text.size - 1] != ';');
    }
}

TEST("an error names its place and what was expected")
{ /* long: table */
    static const struct {
        const char *text;
        Code code;
        uint32_t line, column;
        const char *message;
    } cases[] = {
        {"SELEC 1", E_INVALID_SQL, 1, 1,
         "Expected a statement such as SELECT, INSERT, UPDATE, DELETE or CREATE, found 'SELEC'"},
        {"SELECT", E_INVALID_SQL, 1, 7, "Expected an expression, found the end of the statement"},
        {"SELECT FROM t", E_INVALID_SQL, 1, 8, "Expected an expression, found 'FROM'"},
        {"SELECT 1 +", E_INVALID_SQL, 1, 11,
         "Expected an expression, found the end of the statement"},
        {"SELECT (1", E_INVALID_SQL, 1, 10, "Expected ')', found the end of the statement"},
        {"SELECT 1\nFROM\n  WHERE", E_INVALID_SQL, 3, 3,
         "Expected a table name, found the reserved word 'WHERE'; to use it as a name write it in "
         "double quotes"},
        {"SELECT 'é' x y", E_INVALID_SQL, 1, 14, "Expected the end of the statement, found 'y'"},
        {"SELECT 'abc", E_INVALID_SQL, 1, 8, "Unterminated quoted string"},
        {"SELECT \"abc", E_INVALID_SQL, 1, 8, "Unterminated quoted name"},
        {"SELECT 1 /* x", E_INVALID_SQL, 1, 10, "Unterminated block comment"},
        {"SELECT ?", E_INVALID_SQL, 1, 8, "Parameters are written $1, $2 …, not ?, found '?'"},
        {"SELECT $0", E_INVALID_SQL, 1, 8, "Parameters count from $1, found '0'"},
        {"SELECT $51", E_INVALID_PARAMETER, 1, 8,
         "Parameter count exceeded: maximum 50 parameters allowed, got 51"},
        {"SELECT 12abc", E_INVALID_SQL, 1, 8,
         "A number cannot be followed by a letter, found '12'"},
        {"SELECT 9223372036854775808", E_INVALID_SQL, 1, 8, "The number is out of range of BIGINT"},
        {"SELECT 1e999", E_INVALID_SQL, 1, 8, "The number is out of range of DOUBLE"},
        {"SELECT E'a'", E_INVALID_SQL, 1, 8, NULL},
        {"SELECT a FROM t WHERE", E_INVALID_SQL, 1, 22, NULL},
        {"SELECT a FROM t GROUP a", E_INVALID_SQL, 1, 23, "Expected BY, found 'a'"},
        {"SELECT a FROM t ORDER BY a NULLS x", E_INVALID_SQL, 1, 34,
         "Expected FIRST or LAST, found 'x'"},
        {"SELECT a FROM t JOIN u", E_INVALID_SQL, 1, 23,
         "Expected ON or USING, found the end of the statement"},
        {"SELECT a FROM f(1)", E_UNSUPPORTED, 1, 16, NULL},
        {"SELECT a FROM 'file.parquet'", E_INVALID_SQL, 1, 15, NULL},
        {"SELECT CASE 1 END", E_INVALID_SQL, 1, 15, "Expected WHEN, found 'END'"},
        {"SELECT CAST(1 AS nothing)", E_UNSUPPORTED, 1, 18, "Unsupported data type: nothing"},
        {"SELECT a IS 5", E_INVALID_SQL, 1, 13, NULL},
        {"SELECT a IN 5", E_INVALID_SQL, 1, 13, "Expected '(' after IN, found '5'"},
        {"SELECT (1, 2)", E_UNSUPPORTED, 1, 10, NULL},
        {"SELECT TIMESTAMP 'never'", E_INVALID_SQL, 1, 18, NULL},
        {"SELECT INTERVAL '1 foo'", E_INVALID_SQL, 1, 17, NULL},
        {"INSERT t VALUES (1)", E_INVALID_SQL, 1, 8, "Expected INTO, found 't'"},
        {"INSERT INTO t (a, A) VALUES (1, 2)", E_INVALID_SQL, 1, 19, "Column 'a' is named twice"},
        {"INSERT INTO t VALUES (1, 2), (3)", E_INVALID_SQL, 1, 30,
         "Row 2 has 1 values, expected 2"},
        {"INSERT INTO t (a) VALUES (1, 2)", E_INVALID_SQL, 1, 26, "Row 1 has 2 values, expected 1"},
        {"INSERT INTO t (a)", E_INVALID_SQL, 1, 18, NULL},
        {"INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", E_UNSUPPORTED, 1, 26,
         "ON CONFLICT is not supported"},
        {"INSERT INTO t VALUES (1) RETURNING a", E_UNSUPPORTED, 1, 26,
         "RETURNING is not supported"},
        {"UPDATE t SET a = 1", E_INVALID_OPERATION, 1, 19, "UPDATE requires a WHERE clause"},
        {"DELETE FROM t", E_INVALID_OPERATION, 1, 14, "DELETE requires a WHERE clause"},
        {"UPDATE t SET a = 1, A = 2 WHERE b", E_INVALID_SQL, 1, 21, "Column 'A' is assigned twice"},
        {"UPDATE t SET a 1", E_INVALID_SQL, 1, 16, "Expected '=', found '1'"},
        {"CREATE VIEW v AS SELECT 1", E_INVALID_SQL, 1, 1,
         "Unsupported statement type: CREATE VIEW"},
        {"CREATE INDEX i ON t (a)", E_INVALID_SQL, 1, 1,
         "Unsupported statement type: CREATE INDEX"},
        {"ALTER TABLE t ADD COLUMN a INT FIRST", E_UNSUPPORTED, 1, 32,
         "FIRST and AFTER are not supported: a new column is the last one"},
        {"TRUNCATE t, u", E_UNSUPPORTED, 1, 11, "TRUNCATE of several tables is not supported"},
        {"TRUNCATE TABLE", E_INVALID_SQL, 1, 15,
         "Expected a table name, found the end of the statement"},
        {"COPY t TO 'x'", E_INVALID_SQL, 1, 1, "Unsupported statement type: COPY"},
        {"ATTACH 'x'", E_INVALID_SQL, 1, 1, "Unsupported statement type: ATTACH"},
        {"PRAGMA x", E_INVALID_SQL, 1, 1, "Unsupported statement type: PRAGMA"},
        {"SHOW USERS", E_INVALID_SQL, 1, 1, NULL},
        {"SET x = 1", E_UNSUPPORTED, 1, 1, NULL},
        {"SELECT 1; SELECT 2", E_INVALID_SQL, 1, 11,
         "Expected the end of the statement, found 'SELECT'"},
        {"", E_EMPTY_SQL, 0, 0, "No SQL statements provided"},
        {";", E_EMPTY_SQL, 0, 0, "No SQL statements provided"},
        {"EXECUTE AS USER '' (SELECT 1)", E_INVALID_INPUT, 1, 17,
         "EXECUTE AS USER username cannot be empty"},
        {"EXECUTE AS USER 'alice (SELECT 1)", E_INVALID_INPUT, 1, 17,
         "EXECUTE AS USER username quote was not closed"},
        {"EXECUTE AS USER alice SELECT 1", E_INVALID_INPUT, 1, 23,
         "EXECUTE AS USER must wrap SQL in parentheses"},
        {"EXECUTE AS USER alice (SELECT 1", E_INVALID_INPUT, 1, 32,
         "EXECUTE AS USER missing closing ')'"},
        {"EXECUTE AS USER alice ()", E_INVALID_INPUT, 1, 24,
         "EXECUTE AS USER requires a non-empty inner SQL statement"},
        {"EXECUTE AS USER alice (SELECT 1; SELECT 2)", E_INVALID_INPUT, 1, 34,
         "EXECUTE AS USER must contain exactly one wrapped SQL statement"},
        {"EXECUTE AS USER alice (SELECT 1) SELECT 2", E_INVALID_INPUT, 1, 34,
         "EXECUTE AS USER can only wrap a single SQL statement"},
        {"EXECUTE AS USER a (EXECUTE AS USER b (SELECT 1))", E_INVALID_INPUT, 1, 20, NULL},
        {"EXECUTE AS USER a (DELETE FROM t)", E_INVALID_OPERATION, 1, 33,
         "DELETE requires a WHERE clause"},
        {"CREATE USER bob PASSWORD 'x'", E_INVALID_SQL, 1, 17, NULL},
        {"CREATE USER bob WITH PASSWORD 'x' ROLE king", E_INVALID_SQL, 1, 40,
         "Invalid role 'king'. Hint: Valid roles: dba, admin, developer, analyst, viewer, user, "
         "service, system"},
        {"SUBSCRIBE TO chat.t OPTIONS (rows=1)", E_INVALID_SQL, 1, 30,
         "Unknown subscription option: 'rows'. Valid options are: last_rows, batch_size, from"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Statement *s;
        Error e = {0};
        Code code = sql_parse(slice_of_text(cases[i].text), arena, &s, &e);
        if (code != cases[i].code || e.line != cases[i].line || e.column != cases[i].column)
            test_failed(__FILE__, __LINE__, "%s: %s %u:%u %s", cases[i].text,
                        code ? code_info(code)->name : "OK", e.line, e.column, e.text);
        if (cases[i].message)
            CHECK_TEXT(e.text, cases[i].message);
        CHECK(slice_is_utf8(slice_of_text(e.text)));
    }
}

TEST("CREATE TABLE: the chat example's columns, defaults and options")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Statement *s =
        parse(arena, "CREATE USER TABLE IF NOT EXISTS chat.messages (\n"
                     "  id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(),\n"
                     "  body VARCHAR(200) NOT NULL DEFAULT 'it''s',\n"
                     "  score DOUBLE PRECISION NULL DEFAULT -1,\n"
                     "  at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP,\n"
                     ") WITH (FLUSH_POLICY = 'rows:1000, interval:60', storage_id = 'local', "
                     "durability = async, DELETED_RETENTION_HOURS = 24)");
    const CreateTable *c = &s->create_table;
    CHECK(c->if_not_exists);
    CHECK_SLICE(c->table.namespace_name, SLICE("chat"));
    CHECK_SLICE(c->table.name, SLICE("messages"));
    CHECK_INT(c->column_count, 4);
    CHECK_INT(c->key_index, 0);
    CHECK(c->columns[0].primary_key && c->columns[0].not_null);
    CHECK_INT(c->columns[0].default_kind, DEFAULT_SNOWFLAKE_ID);
    CHECK_INT(c->columns[1].type, TYPE_TEXT);
    CHECK(c->columns[1].not_null);
    CHECK_SLICE(c->columns[1].default_value.bytes, SLICE("it's"));
    CHECK_INT(c->columns[2].type, TYPE_DOUBLE);
    CHECK(c->columns[2].default_value.real == -1.0 && !c->columns[2].not_null);
    CHECK_INT(c->columns[3].default_kind, DEFAULT_NOW);
    CHECK_INT(c->options.kind, SQL_TABLE_USER);
    CHECK_INT(c->options.flush_rows, 1000);
    CHECK_INT(c->options.flush_interval_s, 60);
    CHECK(c->options.has_durability && c->options.durability_async);
    CHECK_INT(c->options.feed_window_s, 24 * 3600);
    CHECK_SLICE(c->options.storage_id, SLICE("local"));
}

TEST("CREATE TABLE: automatic numbers, key constraints and TYPE in all their spellings")
{
    static const struct {
        const char *text;
        int key;
        DefaultKind kind;
        SqlTableKind table;
    } cases[] = {
        {"CREATE TABLE t (id SERIAL PRIMARY KEY)", 0, DEFAULT_SNOWFLAKE_ID, SQL_TABLE_UNSET},
        {"CREATE TABLE t (id BIGSERIAL, PRIMARY KEY (ID))", 0, DEFAULT_SNOWFLAKE_ID,
         SQL_TABLE_UNSET},
        {"CREATE TABLE t (id BIGINT PRIMARY KEY AUTO_INCREMENT)", 0, DEFAULT_SNOWFLAKE_ID,
         SQL_TABLE_UNSET},
        {"CREATE TABLE t (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)", 0,
         DEFAULT_SNOWFLAKE_ID, SQL_TABLE_UNSET},
        {"CREATE TABLE t (id INT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)", 0,
         DEFAULT_SNOWFLAKE_ID, SQL_TABLE_UNSET},
        {"CREATE TABLE t (id UUID DEFAULT UUID_V7() PRIMARY KEY) WITH (TYPE='USER')", 0,
         DEFAULT_UUID_V7, SQL_TABLE_USER},
        {"CREATE TABLE t (id TEXT DEFAULT ULID(), CONSTRAINT pk PRIMARY KEY (id)) WITH "
         "(TYPE='shared')",
         0, DEFAULT_ULID, SQL_TABLE_SHARED},
        {"CREATE STREAM TABLE t (id TEXT DEFAULT CURRENT_USER) WITH (TTL_SECONDS = 30)", -1,
         DEFAULT_CURRENT_USER, SQL_TABLE_STREAM},
        {"CREATE SHARED TABLE t (id BIGINT PRIMARY KEY) USING parquet WITH (ACCESS_LEVEL='public')",
         0, DEFAULT_NONE, SQL_TABLE_SHARED},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Statement *s = parse(arena, cases[i].text);
        CHECK_INT(s->create_table.key_index, cases[i].key);
        CHECK_INT(s->create_table.columns[0].default_kind, cases[i].kind);
        CHECK_INT(s->create_table.options.kind, cases[i].table);
        if (cases[i].kind == DEFAULT_SNOWFLAKE_ID)
            CHECK_INT(s->create_table.columns[0].type, TYPE_BIGINT);
    }
}

TEST("CREATE TABLE refuses with the original's messages")
{ /* long: table */
    static const struct {
        const char *text, *message;
        Code code;
    } cases[] = {
        {"CREATE TABLE t ()", "Table must have at least one column", E_INVALID_SQL},
        {"CREATE TABLE t (a INT, A TEXT)",
         "Duplicate column name 'A'. Column names are case-insensitive.", E_INVALID_SQL},
        {"CREATE USER TABLE t (a INT)", "User tables require a PRIMARY KEY column", E_INVALID_SQL},
        {"CREATE TABLE t (a INT)", "Shared tables require a PRIMARY KEY column", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY, b INT PRIMARY KEY)",
         "Multiple PRIMARY KEY definitions found", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY, PRIMARY KEY (a))",
         "Multiple PRIMARY KEY definitions found", E_INVALID_SQL},
        {"CREATE TABLE t (a INT, b INT, PRIMARY KEY (a, b))",
         "Composite PRIMARY KEYs are not supported yet", E_UNSUPPORTED},
        {"CREATE TABLE t (a INT, PRIMARY KEY (x))",
         "PRIMARY KEY column 'x' not found in column list", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY, b INT UNIQUE)",
         "UNIQUE is not supported yet: the constraint would not be enforced", E_UNSUPPORTED},
        {"CREATE TABLE t (a INT PRIMARY KEY, CHECK (a > 0))",
         "CHECK is not supported yet: the constraint would not be enforced", E_UNSUPPORTED},
        {"CREATE TABLE t (a INT PRIMARY KEY, b INT REFERENCES u (x))",
         "REFERENCES is not supported yet: the constraint would not be enforced", E_UNSUPPORTED},
        {"CREATE TABLE t (a INT PRIMARY KEY, FOREIGN KEY (a) REFERENCES u (x))",
         "FOREIGN is not supported yet: the constraint would not be enforced", E_UNSUPPORTED},
        {"CREATE STREAM TABLE t (a INT)", "STREAM tables must specify 'TTL_SECONDS'",
         E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (TTL_SECONDS=5)",
         "TTL_SECONDS is only supported for STREAM tables", E_INVALID_SQL},
        {"CREATE USER TABLE t (a INT PRIMARY KEY) WITH (TYPE='SHARED')",
         "Conflicting table type definitions: CREATE User TABLE vs TYPE option Shared",
         E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (TYPE='x')",
         "Invalid TYPE option 'x'. Supported: USER, SHARED, STREAM", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (TYPE='SYSTEM')",
         "Cannot create SYSTEM tables via SQL", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (USE_USER_STORAGE=TRUE)",
         "USE_USER_STORAGE is only supported for USER tables", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows:1000000')",
         "Row limit must be less than 1,000,000", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='interval:86400')",
         "Interval must be less than 86400 seconds (24 hours)", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='cols:1')",
         "Unknown FLUSH_POLICY key 'cols'", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows')",
         "Invalid FLUSH_POLICY format 'rows'. Expected 'key:value'", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows:x')",
         "Invalid FLUSH_POLICY value 'x' for 'rows'. Expected a whole number", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='interval:')",
         "Invalid FLUSH_POLICY value '' for 'interval'. Expected a whole number", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows:99999999999999999999')",
         "Row limit must be less than 1,000,000", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows:5,rows:6')",
         "FLUSH_POLICY names 'rows' twice", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (TYPE='USER', type='USER')",
         "Option 'type' is given twice", E_INVALID_SQL},
        /* One thing under two names: which of them holds would be a matter of luck. */
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FEED_WINDOW_HOURS=1, FEED_WINDOW_SECONDS=5)",
         "The feed window is given twice", E_INVALID_SQL},
        {"ALTER TABLE t SET (DELETED_RETENTION_HOURS=2, FEED_WINDOW_HOURS=0)",
         "The feed window is given twice", E_INVALID_SQL},
        /* Numbers that no option takes: told what the option takes. */
        {"CREATE STREAM TABLE t (a INT) WITH (TTL_SECONDS=-5)",
         "TTL_SECONDS must be a whole number from 1 to 4294967295", E_INVALID_SQL},
        {"CREATE STREAM TABLE t (a INT) WITH (TTL_SECONDS=1.5)",
         "TTL_SECONDS must be a whole number from 1 to 4294967295", E_INVALID_SQL},
        {"ALTER TABLE t SET (FEED_WINDOW_HOURS=-1)",
         "The feed window must be a whole number of hours from 0 to 8760", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (FLUSH_POLICY='rows:0')",
         "FLUSH_POLICY must specify 'rows' or 'interval' > 0", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY) WITH (COLOR='red')", "Unknown table option 'COLOR'",
         E_INVALID_SQL},
        {"CREATE TABLE t (a INTERVAL PRIMARY KEY)", "Unsupported data type: INTERVAL",
         E_UNSUPPORTED},
        {"CREATE TABLE t (_seq INT PRIMARY KEY)",
         "Column name '_seq' is reserved and cannot be used", E_INVALID_OPERATION},
        {"CREATE TABLE t (select INT PRIMARY KEY)",
         "Name 'select' is a reserved SQL keyword and cannot be used", E_INVALID_OPERATION},
        {"CREATE TABLE \"a b\" (a INT PRIMARY KEY)", "Name cannot contain spaces",
         E_INVALID_OPERATION},
        {"CREATE NAMESPACE system", "Namespace 'system' is reserved and cannot be used",
         E_INVALID_OPERATION},
        {"CREATE NAMESPACE table", "Name 'table' is a reserved SQL keyword and cannot be used",
         E_INVALID_OPERATION},
        {"CREATE TABLE t (a INT PRIMARY KEY DEFAULT NULL)",
         "Column 'a' is NOT NULL but its default is NULL", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY DEFAULT NOW())",
         "NOW() cannot be the default of a column of type INT", E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY DEFAULT 1 + 1)", NULL, E_INVALID_SQL},
        {"CREATE TABLE t (a INT PRIMARY KEY DEFAULT 'x')", NULL, E_CONSTRAINT},
        {"CREATE TABLE t (a INT NULL PRIMARY KEY)", "A PRIMARY KEY column cannot be NULL",
         E_INVALID_SQL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Statement *s;
        Error e = {0};
        Code code = sql_parse(slice_of_text(cases[i].text), arena, &s, &e);
        if (code != cases[i].code || (cases[i].message && strcmp(e.text, cases[i].message) != 0))
            test_failed(__FILE__, __LINE__, "%s: %s %s", cases[i].text,
                        code ? code_info(code)->name : "OK", e.text);
        CHECK(e.line == 1 && e.column > 0);
    }
}

TEST("INSERT: rows, columns, DEFAULT, parameters and SELECT")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Insert *i =
        &parse(arena, "INSERT INTO chat.m (id, \"Body\") VALUES ($1, 'a'), (DEFAULT, NULL),")
             ->insert;
    CHECK_INT(i->row_count, 2);
    CHECK_INT(i->width, 2);
    CHECK_INT(i->column_count, 2);
    CHECK_SLICE(i->columns[1], SLICE("Body"));
    CHECK_INT(i->values[0]->kind, EXPR_PARAMETER);
    CHECK_INT(i->values[2]->kind, EXPR_DEFAULT);
    CHECK(i->values[3]->value.is_null);
    CHECK(parse(arena, "INSERT INTO m DEFAULT VALUES")->insert.default_values);
    CHECK(parse(arena, "INSERT INTO m SELECT * FROM n")->insert.select);
    CHECK(parse(arena, "INSERT INTO m (a) SELECT 1")->insert.select);
    CHECK(parse(arena, "INSERT INTO m (SELECT 1)")->insert.select);
    CHECK_INT(parse(arena, "INSERT INTO m VALUES ($2, $7)")->parameter_count, 7);
}

TEST("operators bind as in PostgreSQL")
{
    static const struct {
        const char *text, *same;
    } cases[] = {
        {"1 + 2 * 3", "1 + (2 * 3)"},
        {"NOT a = b", "NOT (a = b)"},
        {"a OR b AND c", "a OR (b AND c)"},
        {"NOT a AND b", "(NOT a) AND b"},
        {"a = b IS NULL", "(a = b) IS NULL"},
        {"a || b = c", "(a || b) = c"},
        {"a + 1 || b", "(a + 1) || b"},
        {"-a + b", "(-a) + b"},
        {"- a :: INT", "-(a::INT)"},
        {"a BETWEEN 1 AND 2 AND b", "(a BETWEEN 1 AND 2) AND b"},
        {"a LIKE b || 'x'", "a LIKE (b || 'x')"},
        {"a IN (1, 2) = b", "(a IN (1, 2)) = b"},
        {"a - b - c", "(a - b) - c"},
        {"a NOT IN (1) OR b", "(a NOT IN (1)) OR b"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Expr *a, *b;
        CHECK_OK(sql_parse_expr(slice_of_text(cases[i].text), arena, &a, e));
        CHECK_OK(sql_parse_expr(slice_of_text(cases[i].same), arena, &b, e));
        if (a->kind != b->kind || a->op != b->op || a->left->kind != b->left->kind ||
            a->left->op != b->left->op)
            test_failed(__FILE__, __LINE__, "%s is not %s", cases[i].text, cases[i].same);
    }
}

TEST("words that are no keywords of the dialect can name columns and tables")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    parse(arena, "SELECT type, user, role, key, timestamp, date, first, count, name AS select, "
                 "\"from\" FROM storage job");
    parse(arena, "SELECT t.* , s.x y FROM a.t, b.s AS s");
    const Statement *s = parse(arena, "SELECT a, FROM t");
    CHECK_INT(s->select->item_count, 1);
}

TEST("SUBSCRIBE TO: the short form becomes a SELECT, options are read, the rest is refused with a "
     "reason")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Statement *s = parse(
        arena, "SUBSCRIBE TO chat.m WHERE a = 'x' OPTIONS (last_rows = 20, batch_size=5, from=77)");
    CHECK_SLICE(s->subscribe.select->text, SLICE("SELECT * FROM chat.m WHERE a = 'x'"));
    CHECK(s->subscribe.has_last_rows && s->subscribe.last_rows == 20);
    CHECK(s->subscribe.batch_size == 5 && s->subscribe.from == 77);
    s = parse(arena, "SUBSCRIBE TO chat.m ORDER BY a DESC, b OPTIONS (last_rows = 20)");
    CHECK_SLICE(s->subscribe.select->text, SLICE("SELECT * FROM chat.m ORDER BY a DESC, b"));
    CHECK_INT(s->subscribe.select->order_count, 2);
    static const char *const refused[] = {
        "SELECT * FROM m",
        "SELECT * FROM c.m ORDER BY count(*)",
        "SELECT * FROM c.m LIMIT 1",
        "SELECT DISTINCT a FROM c.m",
        "SELECT a FROM c.m GROUP BY a",
        "SELECT * FROM c.m, c.n",
        "SELECT * FROM (SELECT * FROM c.m) x",
        "SELECT * FROM c.m UNION SELECT * FROM c.n",
        "WITH w AS (SELECT 1) SELECT * FROM c.m",
        "SELECT _seq FROM c.m",
        "SELECT a + 1 FROM c.m",
        "SELECT * FROM c.m WHERE a IN (SELECT 1)",
        "SELECT * FROM c.m WHERE count(*) > 1",
        "SELECT * FROM c.m WHERE regexp_matches(a, 'x')",
        "SELECT 1",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        Statement *select = parse(arena, refused[i]);
        Error e = {0};
        CHECK_INT(sql_check_live(select->select, slice_of_text(refused[i]), &e), E_INVALID_SQL);
        CHECK(e.line == 1 && e.column > 0);
    }
    static const char *const accepted[] = {
        "SELECT * FROM c.m WHERE a IN (1, 2) AND b BETWEEN 1 AND 2 AND lower(d) LIKE 'x%'",
        "SELECT * FROM c.m WHERE c IS NULL",
        "SELECT id, body AS b FROM c.m ORDER BY lower(b) DESC",
        "SELECT * FROM c.m WHERE at > NOW() - INTERVAL '1 hour'",
    };
    for (size_t i = 0; i < sizeof(accepted) / sizeof(*accepted); i++) {
        Statement *select = parse(arena, accepted[i]);
        CHECK_OK(sql_check_live(select->select, slice_of_text(accepted[i]), e));
    }
}

TEST("what the native executor can take is told from what DuckDB must do")
{
    static const struct {
        const char *text;
        bool is_native;
    } cases[] = {
        {"SELECT * FROM t WHERE a = 1 ORDER BY b DESC LIMIT 5", true},
        {"SELECT a + 1 AS x, lower(b) FROM t", true},
        {"SELECT count(*) FROM t WHERE a > 1", true},
        {"SELECT COUNT(1) FROM t", true},
        {"SELECT 1", true},
        {"SELECT count(a) FROM t", false},
        {"SELECT count(*), a FROM t", false},
        {"SELECT sum(a) FROM t", false},
        {"SELECT a FROM t GROUP BY a", false},
        {"SELECT DISTINCT a FROM t", false},
        {"SELECT a FROM t JOIN u USING (a)", false},
        {"SELECT a FROM t WHERE EXISTS (SELECT 1)", false},
        {"SELECT round(a, 2) FROM t", false},
        {"SELECT j->'a' FROM t", false},
        {"SELECT row_number() OVER () FROM t", false},
        {"SELECT a FROM t UNION SELECT 1", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        Statement *s = parse(arena, cases[i].text);
        if (sql_select_is_native(s->select) != cases[i].is_native)
            test_failed(__FILE__, __LINE__, "%s", cases[i].text);
    }
}

TEST("a result column is named by its alias, column or text")
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Select *s = parse(arena, "SELECT a AS Xy, t.Bc, COUNT( * ), a + 1 FROM t")->select;
    static const char *const want[] = {"Xy", "Bc", "count( * )", "a + 1"};
    for (uint32_t i = 0; i < 4; i++)
        CHECK_SLICE(sql_item_name(&s->items[i], arena), slice_of_text(want[i]));
}

/* ---- limits ---- */

static char *repeated(const char *head, const char *part, size_t count, const char *tail)
{
    size_t size = strlen(head) + strlen(part) * count + strlen(tail) + 1;
    char *text = malloc(size), *at = text;
    CHECK(text != NULL);
    at += snprintf(at, size, "%s", head);
    for (size_t i = 0; i < count; i++)
        at += snprintf(at, size - (size_t)(at - text), "%s", part);
    snprintf(at, size - (size_t)(at - text), "%s", tail);
    return text;
}

TEST("nesting of every kind ends in an error, never in a full stack")
{
    static const struct {
        const char *head, *part, *tail;
        size_t count;
    } cases[] = {
        {"SELECT ", "(", "1", 100000},
        {"SELECT ", "- ", "1", 100000},
        {"SELECT ", "NOT ", "1", 100000},
        {"SELECT 1", " + 1", "", 100000},
        {"SELECT 'a'", " || 'a'", "", 100000},
        {"SELECT ", "f(", "1", 100000},
        {"SELECT ", "(SELECT ", "1", 50000},
        {"SELECT * FROM ", "(SELECT * FROM ", "t", 50000},
        {"", "(", "SELECT 1", 100000},
        {"SELECT 1", " UNION SELECT 1", "", 50000},
        {"SELECT * FROM t", ", t", "", 100000},
        {"SELECT * FROM t", " CROSS JOIN t", "", 50000},
        {"SELECT 1", "::INT", "", 100000},
        {"SELECT a", " IS NULL", "", 100000},
        {"SELECT ", "CASE WHEN ", "1", 100000},
        {"", "EXPLAIN ", "SELECT 1", 100000},
        {"SELECT ", "a IN (", "1", 100000},
        {"SELECT ", "CAST(", "1", 100000},
        {"SELECT 1", " BETWEEN 1 AND 1", "", 50000},
        {"SELECT ", "EXISTS (SELECT ", "1", 50000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        char *text = repeated(cases[i].head, cases[i].part, cases[i].count, cases[i].tail);
        Statement *s;
        Error e = {0};
        Code code = sql_parse(slice_of_text(text), arena, &s, &e);
        free(text);
        if (code != E_INVALID_SQL || !e.line)
            test_failed(__FILE__, __LINE__, "%s: %s", cases[i].part, e.text);
    }
}

TEST("long runs that nest nothing parse: AND, OR, IN lists, VALUES")
{
    static const struct {
        const char *head, *part, *tail;
    } cases[] = {
        {"SELECT a", " AND a", ""},
        {"SELECT a", " OR a", ""},
        {"SELECT a IN (1", ",2", ")"},
        {"INSERT INTO t VALUES (1)", ",(2)", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        char *text = repeated(cases[i].head, cases[i].part, 20000, cases[i].tail);
        parse(arena, text);
        free(text);
    }
}

TEST("limits on rows, columns and bytes are errors with a reason")
{
    static const struct {
        const char *head, *part, *tail, *reason;
        size_t count;
    } cases[] = {
        {"INSERT INTO t VALUES (1)", ",(1)", "", "More than 50000 rows", INSERT_ROWS_MAX},
        {"SELECT 1", ",1", "", "More than 1000 columns", COLUMNS_MAX},
        {"SELECT 1", " ", "", "SQL query too long: 1048584 bytes (maximum 1048576 bytes)",
         SQL_BYTES_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        char *text = repeated(cases[i].head, cases[i].part, cases[i].count, cases[i].tail);
        Statement *s;
        Error e = {0};
        Code code = sql_parse(slice_of_text(text), arena, &s, &e);
        free(text);
        CHECK_INT(code, E_INVALID_SQL);
        CHECK(strstr(e.text, cases[i].reason));
    }
}
