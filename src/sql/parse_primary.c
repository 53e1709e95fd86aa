/* SPDX-License-Identifier: Apache-2.0
 *
 * The leaves of expressions: literals, parameters, names, calls, CASE, CAST, parentheses, types.
 */
#include <stdlib.h>

#include "sql/sql_int.h"

static Expr *new_at(Parser *p, ExprKind kind)
{
    Expr *expr = arena_new_of(p->arena, Expr);
    expr->kind = kind;
    expr->offset = p->token.start;
    return expr;
}

static Code finish(Parser *p, Expr *expr, Expr **out)
{
    TRY(sql__finish_expr(p, expr));
    *out = expr;
    return OK;
}

static Code literal(Parser *p, Value value, Expr **out)
{
    Expr *expr = new_at(p, EXPR_LITERAL);
    expr->value = value;
    sql__advance(p);
    return finish(p, expr, out);
}

static Code parse_integer(Parser *p, Expr **out)
{
    if (p->token.number > INT64_MAX)
        return sql__fail(p, E_INVALID_SQL, p->token.start, "The number is out of range of BIGINT");
    return literal(p, value_integer(TYPE_BIGINT, (int64_t)p->token.number), out);
}

static Code parse_number(Parser *p, Expr **out)
{
    double number = strtod(arena_text(p->arena, p->token.text), NULL);
    if (number > 1.7976931348623157e308)
        return sql__fail(p, E_INVALID_SQL, p->token.start, "The number is out of range of DOUBLE");
    return literal(p, value_double(number), out);
}

static Code parse_parameter(Parser *p, Expr **out)
{
    if (p->token.number > SQL_PARAMETERS_MAX)
        return sql__fail(p, E_INVALID_PARAMETER, p->token.start,
                         "Parameter count exceeded: maximum %d parameters allowed, got %llu",
                         SQL_PARAMETERS_MAX, (unsigned long long)p->token.number);
    Expr *expr = new_at(p, EXPR_PARAMETER);
    expr->parameter = (uint32_t)p->token.number;
    if (expr->parameter > p->parameter_count)
        p->parameter_count = expr->parameter;
    sql__advance(p);
    return finish(p, expr, out);
}

/* ---- types ---- */

/* (n) or (p, s) behind a type; the numbers mean nothing to the types we have. */
static Code skip_type_arguments(Parser *p)
{
    if (!sql__accept(p, TOKEN_LEFT))
        return OK;
    uint64_t ignored;
    do {
        TRY(sql__unsigned(p, "a length", UINT32_MAX, &ignored));
    } while (sql__accept(p, TOKEN_COMMA));
    return sql__expect(p, TOKEN_RIGHT, "')'");
}

static bool is_serial(Slice name)
{
    static const char *const names[] = {"SERIAL",  "BIGSERIAL", "SMALLSERIAL",
                                        "SERIAL2", "SERIAL4",   "SERIAL8"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        if (slice_equal_ignoring_case(name, slice_of_text(names[i])))
            return true;
    return false;
}

/* A serial column holds 64-bit ids whatever its spelling; narrower ones could not. */
static Type named_type(Slice name, bool *out_serial)
{
    *out_serial = is_serial(name);
    return *out_serial ? TYPE_BIGINT : type_of_sql(name);
}

static Code unsupported_type(Parser *p, uint32_t offset, Slice name)
{
    return sql__fail(p, E_UNSUPPORTED, offset, "Unsupported data type: %.*s", SLICE_ARGS(name));
}

static Code skip_time_zone(Parser *p, uint32_t offset, Slice name)
{
    bool is_with = sql__at_word(p, KW_WITH) &&
                   slice_equal_ignoring_case(sql__peek_second(p).text, SLICE("TIME"));
    if (is_with)
        return unsupported_type(p, offset, SLICE("TIMESTAMP WITH TIME ZONE"));
    if (!slice_equal_ignoring_case(name, SLICE("TIMESTAMP")) || !sql__at_text(p, "WITHOUT"))
        return OK;
    sql__advance(p);
    if (!sql__at_text(p, "TIME"))
        return sql__expected(p, "TIME ZONE");
    sql__advance(p);
    if (!sql__at_text(p, "ZONE"))
        return sql__expected(p, "ZONE");
    sql__advance(p);
    return OK;
}

Code sql__column_type(Parser *p, Type *out, bool *out_serial)
{
    uint32_t offset = p->token.start;
    if (p->token.kind != TOKEN_WORD || sql__keyword_use(p->token.keyword) == RESERVED)
        return sql__expected(p, "a data type");
    Slice name = p->token.text;
    sql__advance(p);
    if (slice_equal_ignoring_case(name, SLICE("DOUBLE")) && sql__at_text(p, "PRECISION"))
        sql__advance(p);
    if (slice_equal_ignoring_case(name, SLICE("CHARACTER")) && sql__at_text(p, "VARYING")) {
        sql__advance(p);
        name = SLICE("VARCHAR");
    }
    Type type = named_type(name, out_serial);
    if (type == TYPE_NULL)
        return unsupported_type(p, offset, name);
    TRY(skip_type_arguments(p));
    TRY(skip_time_zone(p, offset, name));
    if (sql__at_text(p, "UNSIGNED"))
        return sql__fail(p, E_UNSUPPORTED, offset, "Unsupported data type: %.*s UNSIGNED",
                         SLICE_ARGS(name));
    *out = type;
    return OK;
}

Code sql__type(Parser *p, Type *out)
{
    uint32_t offset = p->token.start;
    bool is_serial_type;
    TRY(sql__column_type(p, out, &is_serial_type));
    if (is_serial_type)
        return sql__fail(p, E_INVALID_SQL, offset, "SERIAL is for columns; cast to BIGINT instead");
    return OK;
}

/* ---- words with a rule of their own ---- */

static Code parse_case(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_CASE);
    sql__advance(p);
    if (!sql__at_word(p, KW_WHEN))
        TRY(sql__expr(p, &expr->left));
    if (!sql__at_word(p, KW_WHEN))
        return sql__expected(p, "WHEN");
    while (sql__accept_word(p, KW_WHEN)) {
        Expr *when, *then;
        TRY(sql__expr(p, &when));
        TRY(sql__expect_word(p, KW_THEN));
        TRY(sql__expr(p, &then));
        *PUSH(p, expr->items, expr->item_count) = when;
        *PUSH(p, expr->items, expr->item_count) = then;
    }
    if (sql__accept_word(p, KW_ELSE))
        TRY(sql__expr(p, &expr->right));
    if (!sql__accept_word(p, KW_END))
        return sql__expected(p, expr->right ? "END" : "WHEN, ELSE or END");
    return finish(p, expr, out);
}

static Code parse_cast(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_CAST);
    sql__advance(p);
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after CAST"));
    TRY(sql__expr(p, &expr->left));
    TRY(sql__expect_word(p, KW_AS));
    TRY(sql__type(p, &expr->type));
    TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
    return finish(p, expr, out);
}

static Code parse_exists(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_EXISTS);
    sql__advance(p);
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after EXISTS"));
    if (!sql__at_select(p))
        return sql__expected(p, "SELECT");
    TRY(sql__select(p, &expr->select));
    TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
    return finish(p, expr, out);
}

static Code parse_parentheses(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_SUBQUERY);
    sql__advance(p);
    if (!sql__at_select(p)) {
        TRY(sql__expr(p, out));
        if (p->token.kind == TOKEN_COMMA)
            return sql__unsupported(p, p->token.start, "Row values (a, b) are not supported");
        return sql__expect(p, TOKEN_RIGHT, "')'");
    }
    TRY(sql__select(p, &expr->select));
    TRY(sql__expect(p, TOKEN_RIGHT, "')'"));
    return finish(p, expr, out);
}

static Code parse_timestamp(Parser *p, Expr **out)
{
    uint32_t offset = p->token.start;
    sql__advance(p);
    int64_t us;
    if (!timestamp_parse(p->token.text, &us))
        return sql__fail(p, E_INVALID_SQL, p->token.start,
                         "'%.*s' is not a timestamp; write it as "
                         "'2026-11-21 04:07:12'",
                         SLICE_ARGS(p->token.text));
    TRY(literal(p, value_integer(TYPE_TIMESTAMP, us), out));
    (*out)->offset = offset;
    return OK;
}

/* ---- INTERVAL '1 day 2 hours' ---- */

static bool interval_unit(Slice word, int32_t *out_months, int64_t *out_us)
{
    static const struct {
        const char *name;
        int32_t months;
        int64_t us;
    } units[] = {
        {"microsecond", 0, 1},
        {"millisecond", 0, 1000},
        {"second", 0, 1000000},
        {"sec", 0, 1000000},
        {"minute", 0, 60 * 1000000LL},
        {"min", 0, 60 * 1000000LL},
        {"hour", 0, 3600 * 1000000LL},
        {"day", 0, 86400 * 1000000LL},
        {"week", 0, 7 * 86400 * 1000000LL},
        {"month", 1, 0},
        {"mon", 1, 0},
        {"year", 12, 0},
    };
    if (word.size > 1 && (word.data[word.size - 1] | 32) == 's')
        word.size--;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (slice_equal_ignoring_case(word, slice_of_text(units[i].name))) {
            *out_months = units[i].months;
            *out_us = units[i].us;
            return true;
        }
    return false;
}

static Slice next_word(Slice *io)
{
    while (io->size && sql__is_blank(io->data[0]))
        *io = slice_of(io->data + 1, io->size - 1);
    size_t size = 0;
    while (size < io->size && !sql__is_blank(io->data[size]))
        size++;
    Slice word = slice_of(io->data, size);
    *io = slice_of(io->data + size, io->size - size);
    return word;
}

static bool parse_count(Slice word, int64_t *out)
{
    bool negative = word.size && word.data[0] == '-';
    int64_t n = 0;
    if (word.size == (negative ? 1 : 0) || word.size > 12)
        return false;
    for (size_t i = negative; i < word.size; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        n = n * 10 + (word.data[i] - '0');
    }
    *out = negative ? -n : n;
    return true;
}

static bool add_interval(Expr *expr, Slice count_word, Slice unit_word)
{
    int64_t count, us, product, months;
    int32_t unit_months;
    if (!parse_count(count_word, &count) || !interval_unit(unit_word, &unit_months, &us))
        return false;
    months = expr->months + count * unit_months;
    if (months > INT32_MAX / 2 || months < INT32_MIN / 2)
        return false;
    if (__builtin_mul_overflow(count, us, &product) ||
        __builtin_add_overflow(expr->interval_us, product, &expr->interval_us))
        return false;
    expr->months = (int32_t)months;
    return true;
}

static Code bad_interval(Parser *p, uint32_t offset)
{
    return sql__fail(p, E_INVALID_SQL, offset,
                     "An interval is written as INTERVAL '3 days 2 hours' or "
                     "INTERVAL 3 DAY, with whole numbers");
}

static Code parse_interval(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_INTERVAL);
    sql__advance(p);
    Token count = p->token;
    sql__advance(p);
    Slice rest = count.text, number = next_word(&rest), unit = next_word(&rest);
    if (!unit.size) { /* INTERVAL '3' DAY, INTERVAL 3 DAY */
        unit = p->token.text;
        if (p->token.kind != TOKEN_WORD || !add_interval(expr, number, unit))
            return bad_interval(p, count.start);
        sql__advance(p);
        return finish(p, expr, out);
    }
    for (; number.size; number = next_word(&rest), unit = next_word(&rest))
        if (!add_interval(expr, number, unit))
            return bad_interval(p, count.start);
    return finish(p, expr, out);
}

/* ---- calls and names ---- */

static Code parse_frame_bound(Parser *p, FrameBound *out, Expr **out_expr)
{
    if (sql__accept_word(p, KW_UNBOUNDED)) {
        bool is_start = sql__accept_word(p, KW_PRECEDING);
        *out = is_start ? FRAME_UNBOUNDED_PRECEDING : FRAME_UNBOUNDED_FOLLOWING;
        return is_start ? OK : sql__expect_word(p, KW_FOLLOWING);
    }
    if (sql__accept_word(p, KW_CURRENT)) {
        *out = FRAME_CURRENT_ROW;
        return sql__expect_word(p, KW_ROW);
    }
    TRY(sql__expr(p, out_expr));
    bool is_preceding = sql__accept_word(p, KW_PRECEDING);
    *out = is_preceding ? FRAME_PRECEDING : FRAME_FOLLOWING;
    return is_preceding ? OK : sql__expect_word(p, KW_FOLLOWING);
}

static Code parse_frame(Parser *p, Window *window)
{
    window->has_frame = true;
    window->frame_is_range = sql__at_word(p, KW_RANGE);
    sql__advance(p);
    if (!sql__accept_word(p, KW_BETWEEN)) {
        window->frame_end = FRAME_CURRENT_ROW;
        return parse_frame_bound(p, &window->frame_start, &window->frame_start_expr);
    }
    TRY(parse_frame_bound(p, &window->frame_start, &window->frame_start_expr));
    TRY(sql__expect_word(p, KW_AND));
    return parse_frame_bound(p, &window->frame_end, &window->frame_end_expr);
}

static Code parse_window(Parser *p, Window **out)
{
    Window *window = arena_new_of(p->arena, Window);
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after OVER"));
    if (sql__accept_word(p, KW_PARTITION)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__expr_list(p, &window->partition, &window->partition_count));
    }
    if (sql__accept_word(p, KW_ORDER)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__order_list(p, &window->order, &window->order_count));
    }
    if (sql__at_word(p, KW_ROWS) || sql__at_word(p, KW_RANGE))
        TRY(parse_frame(p, window));
    *out = window;
    return sql__expect(p, TOKEN_RIGHT, "PARTITION BY, ORDER BY, ROWS, RANGE or ')'");
}

static Code parse_arguments(Parser *p, Expr *call)
{
    sql__advance(p);
    if (sql__accept(p, TOKEN_RIGHT))
        return OK;
    if (sql__accept(p, TOKEN_STAR)) {
        call->star = true;
        return sql__expect(p, TOKEN_RIGHT, "')'");
    }
    call->distinct = sql__accept_word(p, KW_DISTINCT);
    if (!call->distinct)
        (void)sql__accept_word(p, KW_ALL);
    TRY(sql__expr_list(p, &call->items, &call->item_count));
    if (sql__accept_word(p, KW_ORDER)) {
        TRY(sql__expect_word(p, KW_BY));
        TRY(sql__order_list(p, &call->call_order, &call->call_order_count));
    }
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

static Expr *text_literal(Parser *p, Slice text)
{
    Expr *expr = new_at(p, EXPR_LITERAL);
    expr->value = value_text(text);
    expr->height = 1;
    return expr;
}

/* EXTRACT(year FROM x) is date_part('year', x). */
static Code parse_extract(Parser *p, Expr *call)
{
    sql__advance(p);
    if (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_STRING)
        return sql__expected(p, "a part such as YEAR");
    *PUSH(p, call->items, call->item_count) = text_literal(p, p->token.text);
    sql__advance(p);
    TRY(sql__expect_word(p, KW_FROM));
    Expr *time;
    TRY(sql__expr(p, &time));
    *PUSH(p, call->items, call->item_count) = time;
    call->name = SLICE("date_part");
    return sql__expect(p, TOKEN_RIGHT, "')'");
}

static Code parse_call(Parser *p, Expr **out)
{
    Expr *call = new_at(p, EXPR_CALL);
    call->name = p->token.text;
    bool is_extract = sql__at_text(p, "extract");
    sql__advance(p);
    if (is_extract)
        TRY(parse_extract(p, call));
    else
        TRY(parse_arguments(p, call));
    if (sql__at_word(p, KW_FILTER) && sql__peek_second(p).kind == TOKEN_LEFT)
        return sql__unsupported(p, p->token.start,
                                "FILTER is not supported; use CASE inside the "
                                "aggregate");
    if (sql__accept_word(p, KW_OVER))
        TRY(parse_window(p, &call->window));
    return finish(p, call, out);
}

/* CURRENT_TIMESTAMP and its like are calls without parentheses. */
static Code parse_bare_call(Parser *p, Expr **out)
{
    Expr *call = new_at(p, EXPR_CALL);
    call->name = p->token.text;
    sql__advance(p);
    return finish(p, call, out);
}

static Code parse_column(Parser *p, Expr **out)
{
    Expr *expr = new_at(p, EXPR_COLUMN);
    ColumnName *column = &expr->column;
    TRY(sql__name(p, "an expression", &column->name));
    for (int i = 0; i < 2 && sql__accept(p, TOKEN_DOT); i++) {
        column->namespace_name = column->table;
        column->table = column->name;
        TRY(sql__name(p, "a column name after the dot", &column->name));
    }
    return finish(p, expr, out);
}

static Code parse_word(Parser *p, Expr **out)
{
    Token next = sql__peek_second(p);
    switch (p->token.keyword) {
    case KW_NULL:
        return literal(p, value_null(TYPE_NULL), out);
    case KW_TRUE:
    case KW_FALSE:
        return literal(p, value_boolean(p->token.keyword == KW_TRUE), out);
    case KW_CASE:
        return parse_case(p, out);
    case KW_CAST:
        return parse_cast(p, out);
    case KW_EXISTS:
        if (next.kind == TOKEN_LEFT)
            return parse_exists(p, out);
        break;
    case KW_TIMESTAMP:
    case KW_DATE:
        if (next.kind == TOKEN_STRING)
            return parse_timestamp(p, out);
        break;
    case KW_INTERVAL:
        if (next.kind == TOKEN_STRING || next.kind == TOKEN_INTEGER)
            return parse_interval(p, out);
        break;
    case KW_CURRENT_TIMESTAMP:
    case KW_CURRENT_USER:
    case KW_CURRENT_ROLE:
        if (next.kind != TOKEN_LEFT)
            return parse_bare_call(p, out);
        break;
    default:
        break;
    }
    bool may_be_call = sql__keyword_use(p->token.keyword) != RESERVED ||
                       p->token.keyword == KW_LEFT || p->token.keyword == KW_RIGHT;
    if (next.kind == TOKEN_LEFT && may_be_call)
        return parse_call(p, out);
    if (sql__keyword_use(p->token.keyword) == RESERVED)
        return sql__expected(p, "an expression");
    return parse_column(p, out);
}

Code sql__primary(Parser *p, Expr **out)
{
    switch (p->token.kind) {
    case TOKEN_INTEGER:
        return parse_integer(p, out);
    case TOKEN_NUMBER:
        return parse_number(p, out);
    case TOKEN_STRING:
        return literal(p, value_text(p->token.text), out);
    case TOKEN_PARAMETER:
        return parse_parameter(p, out);
    case TOKEN_LEFT:
        return parse_parentheses(p, out);
    case TOKEN_WORD:
        return parse_word(p, out);
    case TOKEN_QUOTED:
        return parse_column(p, out);
    default:
        return sql__expected(p, "an expression");
    }
}
