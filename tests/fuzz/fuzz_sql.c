/* SPDX-License-Identifier: Apache-2.0
 *
 * SQL text from anyone: split, parse, bind and evaluate, print for DuckDB. Nothing may crash,
 * run long or
 * leave an error without words; what is printed must be well-formed UTF-8 and hold no zero byte.
 */
#include "sql/print.h"

static Column columns[] = {
    {.field_id = 1, .name = {"id", 2}, .type = TYPE_BIGINT, .not_null = true, .primary_key = true},
    {.field_id = 2, .name = {"name", 4}, .type = TYPE_TEXT},
    {.field_id = 3, .name = {"at", 2}, .type = TYPE_TIMESTAMP},
    {.field_id = 4, .name = {"d", 1}, .type = TYPE_DOUBLE},
};
static const Schema schema = {
    .version = 1, .column_count = 4, .next_field_id = 5, .columns = columns};

static Value parameters[] = {
    {.type = TYPE_BIGINT, .integer = -1},
    {.type = TYPE_TEXT, .bytes = {"it's\0\"x", 7}},
    {.type = TYPE_NULL, .is_null = true},
};

static Code next_id(void *context, DefaultKind kind, Arena *arena, Value *out, Error *e)
{
    (void)context, (void)arena, (void)e;
    *out = kind == DEFAULT_SNOWFLAKE_ID ? value_integer(TYPE_BIGINT, 1) : value_text(SLICE("id"));
    return OK;
}

static const EvalContext statement = {
    .now_us = 1, .user_id = {"al'ice", 6}, .role = {"user", 4}, .new_id = next_id};

/* Every table exists, so that the printer sees all there is to see. */
static Code find_table(void *context, const TableName *name, PrintTable *out, Error *e)
{
    (void)context, (void)e;
    *out = (PrintTable){
        .schema = &schema, .namespace_name = name->namespace_name, .has_system_columns = true};
    return OK;
}

static Code print_table(void *context, const TableRef *ref, const PrintTable *table, Buffer *out,
                        Error *e)
{
    (void)context, (void)ref, (void)table, (void)e;
    buffer_add_text(out, "hot(1)");
    return OK;
}

static void check_error(const Error *e)
{
    must(e->text[0]);
    must(slice_is_utf8(slice_of_text(e->text)));
}

static void evaluate(Slice text, const Expr *expr, Arena *arena)
{
    BindContext context = {
        .text = text, .schema = &schema, .parameters = parameters, .parameter_count = 3};
    Value values[4] = {value_integer(TYPE_BIGINT, 7), value_text(SLICE("Zoë")),
                       value_null(TYPE_TIMESTAMP), value_double(-0.5)};
    RowView row = {.values = values, .seq = 9};
    BoundExpr *bound;
    Value value;
    Error e = {0};
    if (!expr)
        return;
    if (sql_bind(&context, expr, arena, &bound, &e) != OK ||
        sql_eval(bound, &row, &statement, arena, &value, &e) != OK) {
        check_error(&e);
        return;
    }
    if (sql_bound_type(bound) == TYPE_BOOLEAN) {
        Value *keys;
        size_t count;
        (void)sql_key_condition(bound, 0);
        (void)sql_key_list(bound, 0, arena, &keys, &count);
    }
    CLEANUP(buffer_done) Buffer printed = {0};
    if (!value.is_null)
        value_print(&value, &printed);
    must(type_is_text(value.type) || value.is_null || slice_is_utf8(buffer_slice(&printed)));
}

static void print(Slice text, const Select *select, Arena *arena)
{
    static const PrintCallbacks callbacks = {.find_table = find_table, .print_table = print_table};
    PrintRequest request = {text, parameters, 3, &statement, &callbacks};
    CLEANUP(buffer_done) Buffer out = {0};
    PrintColumn *result;
    size_t count;
    Error e = {0};
    (void)sql_select_is_native(select);
    if (sql_check_live(select, text, &e) != OK)
        check_error(&e);
    e = (Error){0};
    if (sql_print_select(&request, select, arena, &out, &result, &count, &e) != OK) {
        check_error(&e);
        return;
    }
    must(count > 0 && slice_is_utf8(buffer_slice(&out)));
    must(!memchr(out.data, '\0', out.size));
}

static void use(Slice text, const Statement *s, Arena *arena)
{
    if (s->kind == STATEMENT_EXECUTE_AS)
        s = s->execute_as.statement;
    if (s->kind == STATEMENT_EXPLAIN)
        s = s->inner;
    if (s->kind == STATEMENT_SELECT) {
        print(text, s->select, arena);
        evaluate(text, s->select->where, arena);
        for (uint32_t i = 0; i < s->select->item_count; i++)
            evaluate(text, s->select->items[i].expr, arena);
    }
    if (s->kind == STATEMENT_UPDATE)
        evaluate(text, s->update.where, arena);
    if (s->kind == STATEMENT_DELETE)
        evaluate(text, s->delete_.where, arena);
    for (uint32_t i = 0; s->kind == STATEMENT_INSERT && i < s->insert.row_count * s->insert.width;
         i++)
        evaluate(text, s->insert.values[i], arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    SqlPiece *pieces;
    size_t count;
    Error e = {0};
    Statement *s;
    if (sql_parse(slice_of(data, size), arena, &s, &e) != OK)
        check_error(&e);
    e = (Error){0};
    if (sql_split(slice_of(data, size), arena, &pieces, &count, &e) != OK) {
        check_error(&e);
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        e = (Error){0};
        if (sql_parse_piece(&pieces[i], arena, &s, &e) == OK)
            use(pieces[i].text, s, arena);
        else
            check_error(&e);
    }
    return 0;
}
