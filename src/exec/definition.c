/* SPDX-License-Identifier: Apache-2.0
 *
 * SHOW CREATE TABLE: the definition of a table as the statement that makes one like it. What is the
 * default anyway is left out, so that the statement means the same on a server with other defaults
 * only where the table leaves the choice to the server.
 */
#include "exec/exec_int.h"

#include <inttypes.h>

static const ResultColumn columns[] = {
    COLUMN("table_name", TYPE_TEXT),
    COLUMN("create_statement", TYPE_TEXT),
};

Value exec__default_text(const Column *column, Arena *arena)
{
    switch (column->default_kind) {
    case DEFAULT_NONE:
        return value_null(TYPE_TEXT);
    case DEFAULT_NOW:
        return value_text(SLICE("NOW()"));
    case DEFAULT_SNOWFLAKE_ID:
        return value_text(SLICE("SNOWFLAKE_ID()"));
    case DEFAULT_UUID_V7:
        return value_text(SLICE("UUID_V7()"));
    case DEFAULT_ULID:
        return value_text(SLICE("ULID()"));
    case DEFAULT_CURRENT_USER:
        return value_text(SLICE("CURRENT_USER()"));
    case DEFAULT_LITERAL:
        break;
    }
    if (column->default_value.is_null)
        return value_text(SLICE("NULL"));
    CLEANUP(buffer_done) Buffer out = {0};
    value_print(&column->default_value, &out);
    return value_text(arena_copy(arena, buffer_slice(&out)));
}

static void add_quoted(Buffer *out, Slice text)
{
    buffer_add_char(out, '\'');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\'')
            buffer_add_char(out, '\'');
        buffer_add_char(out, text.data[i]);
    }
    buffer_add_char(out, '\'');
}

/* Numbers, booleans and NULL as they are; all else as a text, which is cast to the column. */
static void add_default(const Column *column, Arena *arena, Buffer *out)
{
    Value shown = exec__default_text(column, arena);
    if (shown.is_null)
        return;
    buffer_add_text(out, " DEFAULT ");
    bool is_plain = column->default_kind != DEFAULT_LITERAL || column->default_value.is_null ||
                    column->type == TYPE_BOOLEAN || type_is_integer(column->type);
    if (is_plain)
        buffer_add_slice(out, shown.bytes);
    else
        add_quoted(out, shown.bytes);
}

static void add_column(const Column *column, Arena *arena, Buffer *out)
{
    buffer_printf(out, "    %.*s %s", SLICE_ARGS(column->name), type_info(column->type)->name);
    if (column->primary_key)
        buffer_add_text(out, " PRIMARY KEY");
    else if (column->not_null)
        buffer_add_text(out, " NOT NULL");
    add_default(column, arena, out);
}

/* Starts an option: WITH before the first, a comma before the others. */
static void begin_option(Buffer *out, size_t *io_count, const char *name)
{
    buffer_printf(out, "%s%s = ", *io_count ? ", " : " WITH (", name);
    (*io_count)++;
}

static void add_flush_policy(const Table *table, Buffer *out, size_t *io_count)
{
    if (!table->flush_rows && !table->flush_interval_s)
        return;
    begin_option(out, io_count, "FLUSH_POLICY");
    buffer_add_char(out, '\'');
    if (table->flush_rows)
        buffer_printf(out, "rows:%" PRIu32, table->flush_rows);
    if (table->flush_interval_s)
        buffer_printf(out, "%sinterval:%" PRIu32, table->flush_rows ? "," : "",
                      table->flush_interval_s);
    buffer_add_char(out, '\'');
}

static void add_number(uint64_t number, const char *name, Buffer *out, size_t *io_count)
{
    if (!number)
        return;
    begin_option(out, io_count, name);
    buffer_printf(out, "%" PRIu64, number);
}

static void add_options(const Table *table, Buffer *out)
{
    size_t count = 0;
    bool is_hours = table->feed_window_s % 3600 == 0;
    add_number(table->ttl_s, "TTL_SECONDS", out, &count);
    if (table->kind == TABLE_SHARED && table->access != ACCESS_PRIVATE) {
        begin_option(out, &count, "ACCESS_LEVEL");
        add_quoted(out, slice_of_text(access_level_name(table->access)));
    }
    add_flush_policy(table, out, &count);
    add_number(is_hours ? table->feed_window_s / 3600 : table->feed_window_s,
               is_hours ? "FEED_WINDOW_HOURS" : "FEED_WINDOW_SECONDS", out, &count);
    add_number(table->feed_window_bytes, "FEED_WINDOW_BYTES", out, &count);
    if (table->durable == (table->kind == TABLE_STREAM)) {
        begin_option(out, &count, "DURABILITY");
        buffer_add_text(out, table->durable ? "'sync'" : "'async'");
    }
    if (count)
        buffer_add_char(out, ')');
}

static void add_statement(const Table *table, Arena *arena, Buffer *out)
{
    static const char *const words[] = {
        [TABLE_USER] = "USER", [TABLE_SHARED] = "SHARED", [TABLE_STREAM] = "STREAM"};
    const Schema *schema = table->schema;
    buffer_printf(out, "CREATE %s TABLE %.*s.%.*s (\n", words[table->kind],
                  SLICE_ARGS(table->namespace_name), SLICE_ARGS(table->name));
    for (uint32_t i = 0; i < schema->column_count; i++) {
        add_column(&schema->columns[i], arena, out);
        buffer_add_text(out, i + 1 < schema->column_count ? ",\n" : "\n");
    }
    buffer_add_char(out, ')');
    add_options(table, out);
}

Code exec__show_create_table(Run *run, Error *e)
{
    CLEANUP(table_unref_ptr) Table *table = NULL;
    TRY(exec__find_table(run, &run->statement->table.name, &table, e));
    CLEANUP(buffer_done) Buffer statement = {0};
    add_statement(table, run->arena, &statement);
    Value values[] = {value_text(table->name), value_text(buffer_slice(&statement))};
    run->sink->columns(run->sink->context, columns, sizeof columns / sizeof *columns);
    TRY(run->sink->row(run->sink->context, values, e));
    run->sink->end(run->sink->context, 1, NULL, run->session.user_id);
    return OK;
}
