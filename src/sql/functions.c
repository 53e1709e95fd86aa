/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions we evaluate ourselves: one row each in the table at the end. What gives exactly
 * DuckDB's results is here; all others go to DuckDB (print_functions.c).
 */
#include <math.h>

#include "sql/eval_int.h"

static Code give(Value *out, Value value)
{
    *out = value;
    return OK;
}

static Code give_text(Value *out, Slice s)
{
    return give(out, value_text(s));
}

static Code give_integer(Value *out, int64_t n)
{
    return give(out, value_integer(TYPE_BIGINT, n));
}

static Code check_bytes(const CallContext *c, size_t bytes)
{
    return sql__check_room(c->arena, c->call->function->name, bytes, c->e);
}

/* ---- the statement's surroundings ---- */

static Code body_now(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return give(out, value_integer(TYPE_TIMESTAMP, c->eval->now_us));
}

static Code body_user(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return give_text(out, c->eval->user_id);
}

static Code body_role(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return give_text(out, c->eval->role);
}

static Code new_id(const CallContext *c, DefaultKind kind, Value *out)
{
    if (!c->eval->new_id)
        return fail(c->e, E_EXECUTION, "%s() makes no ids here", c->call->function->name);
    return c->eval->new_id(c->eval->id_context, kind, c->arena, out, c->e);
}

static Code body_snowflake(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return new_id(c, DEFAULT_SNOWFLAKE_ID, out);
}

static Code body_uuid(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return new_id(c, DEFAULT_UUID_V7, out);
}

static Code body_ulid(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)args, (void)count;
    return new_id(c, DEFAULT_ULID, out);
}

/* ---- choosing among values ---- */

static Code body_coalesce(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    for (uint32_t i = 0; i < count; i++)
        if (!args[i].is_null)
            return give(out, args[i]);
    return give(out, value_null(c->call->type));
}

static Code body_nullif(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    bool is_equal = !args[0].is_null && !args[1].is_null && value_compare(&args[0], &args[1]) == 0;
    return give(out, is_equal ? value_null(c->call->type) : args[0]);
}

static Code extreme(const CallContext *c, const Value *args, uint32_t count, Value *out, int sign)
{
    const Value *best = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!args[i].is_null && (!best || value_compare(&args[i], best) * sign > 0))
            best = &args[i];
    return give(out, best ? *best : value_null(c->call->type));
}

static Code body_greatest(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    return extreme(c, args, count, out, 1);
}

static Code body_least(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    return extreme(c, args, count, out, -1);
}

/* ---- text ---- */

static Code body_lower(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    return give_text(out, sql__text_lower(args[0].bytes, c->arena));
}

static Code body_upper(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    return give_text(out, sql__text_upper(args[0].bytes, c->arena));
}

static Code body_length(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give_integer(out, sql__text_length(args[0].bytes));
}

static Code body_strlen(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give_integer(out, (int64_t)args[0].bytes.size);
}

static Code body_substr(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c;
    return give_text(out, sql__substring(args[0].bytes, args[1].integer,
                                         count > 2 ? args[2].integer : 0, count > 2));
}

static Code body_left(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    int64_t size = sql__text_length(args[0].bytes), n = args[1].integer;
    if (n < 0)
        n = n < -size ? 0 : size + n;
    return give_text(out, sql__substring(args[0].bytes, 1, n, true));
}

static Code body_right(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    int64_t size = sql__text_length(args[0].bytes), n = args[1].integer;
    if (n < 0)
        n = n < -size ? 0 : size + n;
    if (n > size)
        n = size;
    return give_text(out, sql__substring(args[0].bytes, size - n + 1, n, true));
}

static bool holds(Slice set, Slice character)
{
    for (size_t at = 0; at < set.size;) {
        size_t bytes = sql__character_bytes(set, at);
        if (slice_equal(slice_of(set.data + at, bytes), character))
            return true;
        at += bytes;
    }
    return false;
}

static size_t last_character(Slice s)
{
    size_t at = s.size - 1;
    while (at && ((unsigned char)s.data[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static Slice trim_ends(Slice s, Slice set, bool left, bool right)
{
    while (left && s.size) {
        size_t bytes = sql__character_bytes(s, 0);
        if (!holds(set, slice_of(s.data, bytes)))
            break;
        s = slice_of(s.data + bytes, s.size - bytes);
    }
    while (right && s.size) {
        size_t at = last_character(s);
        if (!holds(set, slice_of(s.data + at, s.size - at)))
            break;
        s.size = at;
    }
    return s;
}

static Slice trim_set(const Value *args, uint32_t count)
{
    return count > 1 ? args[1].bytes : SLICE(" ");
}

static Code body_trim(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c;
    return give_text(out, trim_ends(args[0].bytes, trim_set(args, count), true, true));
}

static Code body_ltrim(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c;
    return give_text(out, trim_ends(args[0].bytes, trim_set(args, count), true, false));
}

static Code body_rtrim(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c;
    return give_text(out, trim_ends(args[0].bytes, trim_set(args, count), false, true));
}

/* The binder has cast the arguments to TEXT; NULLs count as nothing. */
static Code body_concat(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    size_t size = 0;
    for (uint32_t i = 0; i < count; i++)
        size += args[i].is_null ? 0 : args[i].bytes.size;
    TRY(check_bytes(c, size));
    char *text = arena_alloc(c->arena, size + 1), *at = text;
    for (uint32_t i = 0; i < count; i++) {
        if (args[i].is_null || !args[i].bytes.size)
            continue;
        memcpy(at, args[i].bytes.data, args[i].bytes.size);
        at += args[i].bytes.size;
    }
    return give_text(out, slice_of(text, size));
}

static bool find(Slice text, Slice what, size_t from, size_t *out_at)
{
    if (what.size > text.size - from)
        return false;
    const char *found = what.size ? memmem(text.data + from, text.size - from, what.data, what.size)
                                  : text.data + from;
    *out_at = found ? (size_t)(found - text.data) : 0;
    return found || !what.size;
}

static Code body_replace(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    Slice text = args[0].bytes, from = args[1].bytes, to = args[2].bytes;
    if (!from.size)
        return give(out, args[0]);
    size_t hits = 0, at = 0, hit;
    for (; find(text, from, at, &hit); at = hit + from.size)
        hits++;
    TRY(check_bytes(c, text.size - hits * from.size + hits * to.size));
    char *copy = arena_alloc(c->arena, text.size - hits * from.size + hits * to.size + 1);
    size_t size = 0;
    for (at = 0; find(text, from, at, &hit); at = hit + from.size) {
        memcpy(copy + size, text.data + at, hit - at);
        size += hit - at;
        if (to.size)
            memcpy(copy + size, to.data, to.size);
        size += to.size;
    }
    if (text.size > at)
        memcpy(copy + size, text.data + at, text.size - at);
    return give_text(out, slice_of(copy, size + text.size - at));
}

static Code body_repeat(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    Slice text = args[0].bytes;
    int64_t n = args[1].integer < 0 || !text.size ? 0 : args[1].integer;
    if (n > ROW_BYTES_MAX)
        n = ROW_BYTES_MAX + 1;
    TRY(check_bytes(c, (size_t)n * text.size));
    char *copy = arena_alloc(c->arena, (size_t)n * text.size + 1);
    for (int64_t i = 0; i < n; i++)
        memcpy(copy + (size_t)i * text.size, text.data, text.size);
    return give_text(out, slice_of(copy, (size_t)n * text.size));
}

static Code body_starts_with(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give(out, value_boolean(slice_starts_with(args[0].bytes, args[1].bytes)));
}

static Code body_ends_with(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    Slice text = args[0].bytes, end = args[1].bytes;
    bool ends = text.size >= end.size &&
                slice_equal(slice_of(text.data + text.size - end.size, end.size), end);
    return give(out, value_boolean(ends));
}

static Code body_contains(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    size_t ignored;
    return give(out, value_boolean(find(args[0].bytes, args[1].bytes, 0, &ignored)));
}

static Code body_strpos(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    size_t at;
    if (!find(args[0].bytes, args[1].bytes, 0, &at))
        return give_integer(out, 0);
    return give_integer(out, sql__text_length(slice_of(args[0].bytes.data, at)) + 1);
}

/* ---- numbers ---- */

static Code body_abs(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    bool is_negative = type_is_integer(args[0].type) ? args[0].integer < 0 : signbit(args[0].real);
    return is_negative ? sql__negate(&args[0], out, c->e) : give(out, args[0]);
}

static Code give_real(const Value *like, double real, Value *out)
{
    Value value = value_double(like->type == TYPE_FLOAT ? (double)(float)real : real);
    value.type = like->type == TYPE_FLOAT ? TYPE_FLOAT : TYPE_DOUBLE;
    return give(out, value);
}

static Code body_round(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return type_is_integer(args[0].type) ? give(out, args[0])
                                         : give_real(&args[0], round(args[0].real), out);
}

static Code body_trunc(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return type_is_integer(args[0].type) ? give(out, args[0])
                                         : give_real(&args[0], trunc(args[0].real), out);
}

/* The binder has cast integers to DOUBLE: DuckDB's ceil and floor give no integers. */
static Code body_ceil(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give_real(&args[0], ceil(args[0].real), out);
}

static Code body_floor(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give_real(&args[0], floor(args[0].real), out);
}

static Code body_sign(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    double real = type_is_integer(args[0].type) ? (double)args[0].integer : args[0].real;
    return give(out, value_integer(TYPE_INT, (real > 0) - (real < 0)));
}

static Code body_sqrt(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    if (args[0].real < 0)
        return fail(c->e, E_EXECUTION, "Cannot take the square root of a negative number");
    return give(out, value_double(sqrt(args[0].real)));
}

static Code body_mod(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)count;
    Type type = sql__arithmetic_type(OP_MODULO, args[0].type, args[1].type);
    return sql__arithmetic(OP_MODULO, type, &args[0], &args[1], out, c->e);
}

/* ---- time ---- */

static Code body_epoch_us(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    return give_integer(out, args[0].integer);
}

static Code body_epoch_ms(const CallContext *c, const Value *args, uint32_t count, Value *out)
{
    (void)c, (void)count;
    int64_t us = args[0].integer, ms = us / 1000;
    return give_integer(out, us % 1000 < 0 ? ms - 1 : ms);
}

/* ---- the table, in byte order ---- */

enum { MANY = 100 };

static const SqlFunction functions[] = {
    {"abs", "n", 1, 1, '=', false, false, body_abs},
    {"ceil", "d", 1, 1, '=', false, false, body_ceil},
    {"ceiling", "d", 1, 1, '=', false, false, body_ceil},
    {"char_length", "t", 1, 1, 'i', false, false, body_length},
    {"character_length", "t", 1, 1, 'i', false, false, body_length},
    {"coalesce", "s", 1, MANY, '=', true, false, body_coalesce},
    {"concat", "c", 1, MANY, 't', true, false, body_concat},
    {"contains", "tt", 2, 2, 'b', false, false, body_contains},
    {"current_role", "", 0, 0, 't', false, true, body_role},
    {"current_timestamp", "", 0, 0, 'T', false, true, body_now},
    {"current_user", "", 0, 0, 't', false, true, body_user},
    {"current_user_id", "", 0, 0, 't', false, true, body_user},
    {"ends_with", "tt", 2, 2, 'b', false, false, body_ends_with},
    {"epoch_ms", "T", 1, 1, 'i', false, false, body_epoch_ms},
    {"epoch_us", "T", 1, 1, 'i', false, false, body_epoch_us},
    {"floor", "d", 1, 1, '=', false, false, body_floor},
    {"greatest", "s", 1, MANY, '=', true, false, body_greatest},
    {"ifnull", "ss", 2, 2, '=', true, false, body_coalesce},
    {"least", "s", 1, MANY, '=', true, false, body_least},
    {"left", "ti", 2, 2, 't', false, false, body_left},
    {"length", "t", 1, 1, 'i', false, false, body_length},
    {"lower", "t", 1, 1, 't', false, false, body_lower},
    {"ltrim", "tt", 1, 2, 't', false, false, body_ltrim},
    {"mod", "nn", 2, 2, '%', false, false, body_mod},
    {"now", "", 0, 0, 'T', false, true, body_now},
    {"nullif", "ss", 2, 2, '=', true, false, body_nullif},
    {"repeat", "ti", 2, 2, 't', false, false, body_repeat},
    {"replace", "ttt", 3, 3, 't', false, false, body_replace},
    {"right", "ti", 2, 2, 't', false, false, body_right},
    {"round", "n", 1, 1, '=', false, false, body_round},
    {"rtrim", "tt", 1, 2, 't', false, false, body_rtrim},
    {"sign", "n", 1, 1, 'n', false, false, body_sign},
    {"snowflake_id", "", 0, 0, 'i', false, true, body_snowflake},
    {"sqrt", "D", 1, 1, 'd', false, false, body_sqrt},
    {"starts_with", "tt", 2, 2, 'b', false, false, body_starts_with},
    {"strlen", "t", 1, 1, 'i', false, false, body_strlen},
    {"strpos", "tt", 2, 2, 'i', false, false, body_strpos},
    {"substr", "tii", 2, 3, 't', false, false, body_substr},
    {"substring", "tii", 2, 3, 't', false, false, body_substr},
    {"trim", "tt", 1, 2, 't', false, false, body_trim},
    {"trunc", "n", 1, 1, '=', false, false, body_trunc},
    {"ulid", "", 0, 0, 't', false, true, body_ulid},
    {"upper", "t", 1, 1, 't', false, false, body_upper},
    {"uuid_v7", "", 0, 0, 't', false, true, body_uuid},
};

enum { FUNCTION_COUNT = sizeof(functions) / sizeof(*functions), NAME_BYTES = 24 };

const SqlFunction *sql__find_function(Slice name)
{
    char lower[NAME_BYTES];
    if (!name.size || name.size > sizeof(lower))
        return NULL;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        lower[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    int low = 0, high = FUNCTION_COUNT - 1;
    while (low <= high) {
        int middle = (low + high) / 2;
        int order =
            slice_compare(slice_of(lower, name.size), slice_of_text(functions[middle].name));
        if (order == 0)
            return &functions[middle];
        if (order < 0)
            high = middle - 1;
        else
            low = middle + 1;
    }
    return NULL;
}

const char *sql__function_names(Arena *arena)
{
    CLEANUP(buffer_done) Buffer names = {0};
    for (int i = 0; i < FUNCTION_COUNT; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", functions[i].name);
    return arena_text(arena, buffer_slice(&names));
}
