/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions DuckDB may be asked for. What is not in this table cannot be called. Nothing here
 * reads files, settings, the catalog, variables or other queries, or changes any state; nothing
 * gives
 * lists or maps, which the wire cannot carry.
 */
#include "sql/print_int.h"

typedef enum CallUse {
    SCALAR,
    AGGREGATE, /* also as a window function */
    WINDOW,    /* with OVER only */
    OURS,      /* evaluated by us, once a statement */
} CallUse;

enum { ANY_NUMBER = 100 };

typedef struct Allowed {
    const char *name;
    const char *format; /* DuckDB's name, or a template with $1 and $2 for the arguments */
    CallUse use;
    uint8_t arg_min, arg_max;
} Allowed;

static const Allowed allowed[] = {
    /* the statement's surroundings */
    {"now", NULL, OURS, 0, 0},
    {"current_timestamp", NULL, OURS, 0, 0},
    {"current_user", NULL, OURS, 0, 0},
    {"current_user_id", NULL, OURS, 0, 0},
    {"current_role", NULL, OURS, 0, 0},
    {"snowflake_id", NULL, OURS, 0, 0},
    {"uuid_v7", NULL, OURS, 0, 0},
    {"ulid", NULL, OURS, 0, 0},
    /* aggregates */
    {"count", "count", AGGREGATE, 0, 1},
    {"sum", "sum", AGGREGATE, 1, 1},
    {"avg", "avg", AGGREGATE, 1, 1},
    {"min", "min", AGGREGATE, 1, 1},
    {"max", "max", AGGREGATE, 1, 1},
    {"string_agg", "string_agg", AGGREGATE, 1, 2},
    {"bool_and", "bool_and", AGGREGATE, 1, 1},
    {"bool_or", "bool_or", AGGREGATE, 1, 1},
    {"bit_and", "bit_and", AGGREGATE, 1, 1},
    {"bit_or", "bit_or", AGGREGATE, 1, 1},
    {"bit_xor", "bit_xor", AGGREGATE, 1, 1},
    {"stddev", "stddev", AGGREGATE, 1, 1},
    {"stddev_pop", "stddev_pop", AGGREGATE, 1, 1},
    {"stddev_samp", "stddev_samp", AGGREGATE, 1, 1},
    {"variance", "variance", AGGREGATE, 1, 1},
    {"var_pop", "var_pop", AGGREGATE, 1, 1},
    {"var_samp", "var_samp", AGGREGATE, 1, 1},
    {"median", "median", AGGREGATE, 1, 1},
    {"mode", "mode", AGGREGATE, 1, 1},
    {"any_value", "any_value", AGGREGATE, 1, 1},
    {"first", "first", AGGREGATE, 1, 1},
    {"last", "last", AGGREGATE, 1, 1},
    {"arg_min", "arg_min", AGGREGATE, 2, 2},
    {"arg_max", "arg_max", AGGREGATE, 2, 2},
    {"approx_count_distinct", "approx_count_distinct", AGGREGATE, 1, 1},
    {"quantile_cont", "quantile_cont", AGGREGATE, 2, 2},
    {"quantile_disc", "quantile_disc", AGGREGATE, 2, 2},
    {"corr", "corr", AGGREGATE, 2, 2},
    {"covar_pop", "covar_pop", AGGREGATE, 2, 2},
    {"covar_samp", "covar_samp", AGGREGATE, 2, 2},
    {"count_if", "count_if", AGGREGATE, 1, 1},
    {"product", "product", AGGREGATE, 1, 1},
    /* windows */
    {"row_number", "row_number", WINDOW, 0, 0},
    {"rank", "rank", WINDOW, 0, 0},
    {"dense_rank", "dense_rank", WINDOW, 0, 0},
    {"percent_rank", "percent_rank", WINDOW, 0, 0},
    {"cume_dist", "cume_dist", WINDOW, 0, 0},
    {"ntile", "ntile", WINDOW, 1, 1},
    {"lag", "lag", WINDOW, 1, 3},
    {"lead", "lead", WINDOW, 1, 3},
    {"first_value", "first_value", WINDOW, 1, 1},
    {"last_value", "last_value", WINDOW, 1, 1},
    {"nth_value", "nth_value", WINDOW, 2, 2},
    /* choosing */
    {"coalesce", "coalesce", SCALAR, 1, ANY_NUMBER},
    {"ifnull", "ifnull", SCALAR, 2, 2},
    {"nullif", "nullif", SCALAR, 2, 2},
    {"greatest", "greatest", SCALAR, 1, ANY_NUMBER},
    {"least", "least", SCALAR, 1, ANY_NUMBER},
    /* text */
    {"lower", "lower", SCALAR, 1, 1},
    {"upper", "upper", SCALAR, 1, 1},
    {"length", "length", SCALAR, 1, 1},
    {"char_length", "length", SCALAR, 1, 1},
    {"character_length", "length", SCALAR, 1, 1},
    {"strlen", "strlen", SCALAR, 1, 1},
    {"octet_length", "octet_length", SCALAR, 1, 1},
    {"substr", "substr", SCALAR, 2, 3},
    {"substring", "substr", SCALAR, 2, 3},
    {"left", "left", SCALAR, 2, 2},
    {"right", "right", SCALAR, 2, 2},
    {"trim", "trim", SCALAR, 1, 2},
    {"ltrim", "ltrim", SCALAR, 1, 2},
    {"rtrim", "rtrim", SCALAR, 1, 2},
    {"lpad", "lpad", SCALAR, 3, 3},
    {"rpad", "rpad", SCALAR, 3, 3},
    {"concat", "concat", SCALAR, 1, ANY_NUMBER},
    {"concat_ws", "concat_ws", SCALAR, 2, ANY_NUMBER},
    {"replace", "replace", SCALAR, 3, 3},
    {"repeat", "repeat", SCALAR, 2, 2},
    {"reverse", "reverse", SCALAR, 1, 1},
    {"starts_with", "starts_with", SCALAR, 2, 2},
    {"ends_with", "ends_with", SCALAR, 2, 2},
    {"contains", "contains($1::VARCHAR, $2::VARCHAR)", SCALAR, 2, 2},
    {"strpos", "strpos", SCALAR, 2, 2},
    {"instr", "instr", SCALAR, 2, 2},
    {"split_part", "split_part", SCALAR, 3, 3},
    {"translate", "translate", SCALAR, 3, 3},
    {"ascii", "ascii", SCALAR, 1, 1},
    {"chr", "chr($1::INTEGER)", SCALAR, 1, 1},
    {"md5", "md5", SCALAR, 1, 1},
    {"sha256", "sha256", SCALAR, 1, 1},
    {"regexp_matches", "regexp_matches", SCALAR, 2, 3},
    {"regexp_replace", "regexp_replace", SCALAR, 3, 4},
    {"regexp_extract", "regexp_extract", SCALAR, 2, 2},
    {"levenshtein", "levenshtein", SCALAR, 2, 2},
    {"to_base64", "to_base64", SCALAR, 1, 1},
    {"hex", "hex", SCALAR, 1, 1},
    /* numbers */
    {"abs", "abs", SCALAR, 1, 1},
    {"round", "round($1)", SCALAR, 1, 1},
    {"round", "round($1, $2::INTEGER)", SCALAR, 2, 2},
    {"trunc", "trunc", SCALAR, 1, 1},
    {"ceil", "ceil", SCALAR, 1, 1},
    {"ceiling", "ceil", SCALAR, 1, 1},
    {"floor", "floor", SCALAR, 1, 1},
    {"sign", "sign($1)::INTEGER", SCALAR, 1, 1},
    {"sqrt", "sqrt", SCALAR, 1, 1},
    {"cbrt", "cbrt", SCALAR, 1, 1},
    {"mod", "($1 % nullif($2, 0))", SCALAR, 2, 2},
    {"power", "power", SCALAR, 2, 2},
    {"pow", "power", SCALAR, 2, 2},
    {"exp", "exp", SCALAR, 1, 1},
    {"ln", "ln", SCALAR, 1, 1},
    {"log10", "log10", SCALAR, 1, 1},
    {"log2", "log2", SCALAR, 1, 1},
    {"sin", "sin", SCALAR, 1, 1},
    {"cos", "cos", SCALAR, 1, 1},
    {"tan", "tan", SCALAR, 1, 1},
    {"asin", "asin", SCALAR, 1, 1},
    {"acos", "acos", SCALAR, 1, 1},
    {"atan", "atan", SCALAR, 1, 1},
    {"atan2", "atan2", SCALAR, 2, 2},
    {"degrees", "degrees", SCALAR, 1, 1},
    {"radians", "radians", SCALAR, 1, 1},
    {"pi", "pi", SCALAR, 0, 0},
    {"isnan", "isnan", SCALAR, 1, 1},
    {"isinf", "isinf", SCALAR, 1, 1},
    /* time */
    {"date_part", "date_part", SCALAR, 2, 2},
    {"date_trunc", "CAST(date_trunc($1, $2) AS TIMESTAMP)", SCALAR, 2, 2},
    {"date_diff", "date_diff", SCALAR, 3, 3},
    {"datediff", "date_diff", SCALAR, 3, 3},
    {"strftime", "strftime", SCALAR, 2, 2},
    {"epoch", "epoch", SCALAR, 1, 1},
    {"epoch_ms", "epoch_ms($1::TIMESTAMP)", SCALAR, 1, 1},
    {"epoch_us", "epoch_us($1::TIMESTAMP)", SCALAR, 1, 1},
    {"year", "year", SCALAR, 1, 1},
    {"month", "month", SCALAR, 1, 1},
    {"day", "day", SCALAR, 1, 1},
    {"hour", "hour", SCALAR, 1, 1},
    {"minute", "minute", SCALAR, 1, 1},
    {"second", "second", SCALAR, 1, 1},
    {"dayofweek", "dayofweek", SCALAR, 1, 1},
    {"dayofyear", "dayofyear", SCALAR, 1, 1},
    {"week", "week", SCALAR, 1, 1},
    {"quarter", "quarter", SCALAR, 1, 1},
    {"dayname", "dayname", SCALAR, 1, 1},
    {"monthname", "monthname", SCALAR, 1, 1},
    {"last_day", "CAST(last_day($1) AS TIMESTAMP)", SCALAR, 1, 1},
    {"make_timestamp", "make_timestamp($1::BIGINT)", SCALAR, 1, 1},
    /* JSON */
    {"json_extract", "json_extract", SCALAR, 2, 2},
    {"json_extract_string", "json_extract_string", SCALAR, 2, 2},
    {"json_array_length", "json_array_length", SCALAR, 1, 1},
    {"json_length", "json_array_length", SCALAR, 1, 1},
    {"json_valid", "json_valid", SCALAR, 1, 1},
    {"json_type", "json_type", SCALAR, 1, 1},
    {"json_get", "json_extract", SCALAR, 2, 2},
    {"json_get_json", "json_extract", SCALAR, 2, 2},
    {"json_get_str", "json_extract_string", SCALAR, 2, 2},
    {"json_as_text", "json_extract_string", SCALAR, 2, 2},
    {"json_get_int", "TRY_CAST(json_extract_string($1, $2) AS BIGINT)", SCALAR, 2, 2},
    {"json_get_float", "TRY_CAST(json_extract_string($1, $2) AS DOUBLE)", SCALAR, 2, 2},
    {"json_get_bool", "TRY_CAST(json_extract_string($1, $2) AS BOOLEAN)", SCALAR, 2, 2},
};

enum { ALLOWED_COUNT = sizeof(allowed) / sizeof(*allowed) };

static uint32_t argument_count(const Expr *call)
{
    return call->star ? 0 : call->item_count;
}

/* The row for this many arguments; else one of the name for the message; else NULL. */
static const Allowed *find_allowed(const Expr *call)
{
    const Allowed *found = NULL;
    for (int i = 0; i < ALLOWED_COUNT; i++) {
        if (!slice_equal_ignoring_case(call->name, slice_of_text(allowed[i].name)))
            continue;
        found = &allowed[i];
        if (argument_count(call) >= found->arg_min && argument_count(call) <= found->arg_max)
            break;
    }
    return found;
}

static Code check_call(Printer *p, const Expr *call, const Allowed *f)
{
    uint32_t count = argument_count(call);
    if (f->arg_max == 0 && count)
        return sql__print_fail(p, call->offset, E_INVALID_SQL, "%.*s() takes no arguments",
                               SLICE_ARGS(call->name));
    if (count < f->arg_min || count > f->arg_max)
        return sql__print_fail(p, call->offset, E_INVALID_SQL,
                               "%.*s() takes %d to %d arguments, %u were "
                               "given",
                               SLICE_ARGS(call->name), f->arg_min, f->arg_max, count);
    bool is_count = f->use == AGGREGATE && f->arg_min == 0;
    if (call->star && !is_count)
        return sql__print_fail(p, call->offset, E_INVALID_SQL, "Only count() takes *");
    if (f->use != AGGREGATE && (call->distinct || call->call_order_count))
        return sql__print_fail(p, call->offset, E_INVALID_SQL,
                               "DISTINCT and ORDER BY inside () are for aggregates only");
    if (f->use == WINDOW && !call->window)
        return sql__print_fail(p, call->offset, E_INVALID_SQL, "%.*s() needs OVER (…)",
                               SLICE_ARGS(call->name));
    if (call->window && f->use != WINDOW && f->use != AGGREGATE)
        return sql__print_fail(p, call->offset, E_INVALID_SQL, "%.*s() is no window function",
                               SLICE_ARGS(call->name));
    return OK;
}

/* NOW(), CURRENT_USER, ids: a constant of the statement. */
static Code print_ours(Printer *p, const Expr *call)
{
    BindContext context = {.text = p->request->text};
    BoundExpr *bound;
    Value value;
    TRY(sql_bind(&context, call, p->arena, &bound, p->e));
    TRY(sql_eval(bound, NULL, p->request->eval, p->arena, &value, p->e));
    sql_print_value(p->out, &value);
    return OK;
}

static Code print_template(Printer *p, const Expr *call, const char *format)
{
    for (const char *c = format; *c; c++) {
        if (*c != '$') {
            buffer_add_char(p->out, *c);
            continue;
        }
        uint32_t index = (uint32_t)(*++c - '1');
        must(index < call->item_count);
        TRY(sql__print_expr(p, call->items[index]));
    }
    return OK;
}

/* These want a small whole number where ours are BIGINT. */
static bool wants_integer(const Allowed *f, uint32_t index)
{
    static const struct {
        const char *name;
        uint32_t index;
    } places[] = {{"lpad", 1}, {"rpad", 1}, {"lag", 1}, {"lead", 1}};
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (index == places[i].index && strcmp(f->name, places[i].name) == 0)
            return true;
    return false;
}

/* Those that give one of their arguments, or compare them with each other. */
static bool is_choice(const Allowed *f)
{
    static const char *const names[] = {"coalesce", "ifnull", "nullif", "greatest", "least"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}

static Code print_arguments(Printer *p, const Expr *call, const Allowed *f)
{
    Type common =
        is_choice(f) ? sql__print_common_type(p, (const Expr *const *)call->items, call->item_count)
                     : TYPE_NULL;
    buffer_printf(p->out, "%s(", f->format);
    if (call->star)
        buffer_add_char(p->out, '*');
    if (call->distinct)
        buffer_add_text(p->out, "DISTINCT ");
    for (uint32_t i = 0; i < call->item_count; i++) {
        if (i)
            buffer_add_text(p->out, ", ");
        TRY(sql__print_choice(p, call->items[i], common));
        if (wants_integer(f, i))
            buffer_add_text(p->out, "::INTEGER");
    }
    TRY(sql__print_order(p, call->call_order, call->call_order_count));
    buffer_add_char(p->out, ')');
    return OK;
}

static Code print_bound(Printer *p, FrameBound bound, const Expr *expr)
{
    static const char *const words[] = {
        [FRAME_NONE] = "",
        [FRAME_UNBOUNDED_PRECEDING] = "UNBOUNDED PRECEDING",
        [FRAME_PRECEDING] = " PRECEDING",
        [FRAME_CURRENT_ROW] = "CURRENT ROW",
        [FRAME_FOLLOWING] = " FOLLOWING",
        [FRAME_UNBOUNDED_FOLLOWING] = "UNBOUNDED FOLLOWING",
    };
    if (expr)
        TRY(sql__print_expr(p, expr));
    buffer_add_text(p->out, words[bound]);
    return OK;
}

static Code print_window(Printer *p, const Window *window)
{
    buffer_add_text(p->out, " OVER (");
    for (uint32_t i = 0; i < window->partition_count; i++) {
        buffer_add_text(p->out, i ? ", " : "PARTITION BY ");
        TRY(sql__print_expr(p, window->partition[i]));
    }
    TRY(sql__print_order(p, window->order, window->order_count));
    if (window->has_frame) {
        buffer_add_text(p->out, window->frame_is_range ? " RANGE BETWEEN " : " ROWS BETWEEN ");
        TRY(print_bound(p, window->frame_start, window->frame_start_expr));
        buffer_add_text(p->out, " AND ");
        TRY(print_bound(p, window->frame_end, window->frame_end_expr));
    }
    buffer_add_char(p->out, ')');
    return OK;
}

Code sql__print_call(Printer *p, const Expr *call)
{
    const Allowed *f = find_allowed(call);
    if (!f)
        return sql__print_fail(p, call->offset, E_INVALID_SQL, "Function '%.*s' is not available",
                               SLICE_ARGS(call->name));
    TRY(check_call(p, call, f));
    if (f->use == OURS)
        return print_ours(p, call);
    bool is_template = strchr(f->format, '$') != NULL;
    if (is_template)
        return print_template(p, call, f->format);
    TRY(print_arguments(p, call, f));
    return call->window ? print_window(p, call->window) : OK;
}
