/* SPDX-License-Identifier: Apache-2.0
 *
 * WITH ( … ) of CREATE TABLE: one row of a table for each option. Values may be quoted or not.
 */
#include <inttypes.h>

#include "sql/sql_int.h"

enum {
    FLUSH_ROWS_END = 1000 * 1000,
    FLUSH_INTERVAL_END_S = 86400,
    FEED_WINDOW_MAX_S = 31536000, /* as retention.feed_window_seconds */
    FEED_BYTES_MIN = 64 * 1024,
};
static const uint64_t FEED_BYTES_MAX = UINT64_C(1) << 50;

typedef struct OptionValue {
    Slice text;
    uint32_t offset;
} OptionValue;

typedef Code OptionRule(Parser *p, const OptionValue *value, TableOptions *options);

static bool is_text(Slice s, const char *text)
{
    return slice_equal_ignoring_case(s, slice_of_text(text));
}

static bool whole_number(Slice s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.data[i] - '0');
        if (n > max)
            return false;
    }
    *out = n;
    return s.size > 0;
}

static bool is_digits(Slice s)
{
    for (size_t i = 0; i < s.size; i++)
        if (s.data[i] < '0' || s.data[i] > '9')
            return false;
    return s.size > 0;
}

static Slice trimmed(Slice s)
{
    while (s.size && sql__is_blank(s.data[0]))
        s = slice_of(s.data + 1, s.size - 1);
    while (s.size && sql__is_blank(s.data[s.size - 1]))
        s.size--;
    return s;
}

static const char *kind_name(SqlTableKind kind)
{
    static const char *const names[] = {"", "User", "Shared", "Stream"};
    return names[kind];
}

static Code option_type(Parser *p, const OptionValue *value, TableOptions *options)
{
    SqlTableKind kind = is_text(value->text, "USER")     ? SQL_TABLE_USER
                        : is_text(value->text, "SHARED") ? SQL_TABLE_SHARED
                        : is_text(value->text, "STREAM") ? SQL_TABLE_STREAM
                                                         : SQL_TABLE_UNSET;
    if (is_text(value->text, "SYSTEM"))
        return sql__fail(p, E_INVALID_SQL, value->offset, "Cannot create SYSTEM tables via SQL");
    if (kind == SQL_TABLE_UNSET)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "Invalid TYPE option '%.*s'. Supported: USER, "
                         "SHARED, STREAM",
                         SLICE_ARGS(value->text));
    if (options->kind != SQL_TABLE_UNSET && options->kind != kind)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "Conflicting table type definitions: CREATE %s "
                         "TABLE vs TYPE option %s",
                         kind_name(options->kind), kind_name(kind));
    options->kind = kind;
    return OK;
}

static Code option_storage(Parser *p, const OptionValue *value, TableOptions *options)
{
    for (size_t i = 0; i < value->text.size; i++) {
        char c = value->text.data[i];
        bool is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-';
        if (!is_good)
            return sql__fail(p, E_INVALID_SQL, value->offset,
                             "STORAGE_ID may hold letters, digits, _ and "
                             "- only");
    }
    if (!value->text.size || value->text.size > NAME_BYTES_MAX)
        return sql__fail(p, E_INVALID_SQL, value->offset, "STORAGE_ID must have 1 to %d characters",
                         NAME_BYTES_MAX);
    options->storage_id = value->text;
    return OK;
}

static Code option_boolean(Parser *p, const OptionValue *value, const char *name, bool *out)
{
    *out = is_text(value->text, "TRUE");
    if (!*out && !is_text(value->text, "FALSE"))
        return sql__fail(p, E_INVALID_SQL, value->offset, "%s must be TRUE or FALSE", name);
    return OK;
}

static Code option_user_storage(Parser *p, const OptionValue *value, TableOptions *options)
{
    return option_boolean(p, value, "USE_USER_STORAGE", &options->use_user_storage);
}

static Code flush_part(Parser *p, const OptionValue *value, Slice part, TableOptions *options)
{
    const char *colon = part.size ? memchr(part.data, ':', part.size) : NULL;
    uint64_t n;
    if (!colon)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "Invalid FLUSH_POLICY format '%.*s'. Expected "
                         "'key:value'",
                         SLICE_ARGS(part));
    Slice key = trimmed(slice_of(part.data, (size_t)(colon - part.data)));
    Slice number = trimmed(slice_of(colon + 1, part.size - (size_t)(colon + 1 - part.data)));
    bool is_rows = is_text(key, "rows");
    if (!is_rows && !is_text(key, "interval"))
        return sql__fail(p, E_INVALID_SQL, value->offset, "Unknown FLUSH_POLICY key '%.*s'",
                         SLICE_ARGS(key));
    uint32_t *target = is_rows ? &options->flush_rows : &options->flush_interval_s;
    if (*target)
        return sql__fail(p, E_INVALID_SQL, value->offset, "FLUSH_POLICY names '%.*s' twice",
                         SLICE_ARGS(key));
    if (!is_digits(number))
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "Invalid FLUSH_POLICY value '%.*s' for '%.*s'. Expected a whole number",
                         SLICE_ARGS(number), SLICE_ARGS(key));
    if (!whole_number(number, UINT32_MAX, &n))
        n = UINT32_MAX; /* above every limit */
    if (n == 0)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "FLUSH_POLICY must specify 'rows' or 'interval' "
                         "> 0");
    if (is_rows && n >= FLUSH_ROWS_END)
        return sql__fail(p, E_INVALID_SQL, value->offset, "Row limit must be less than 1,000,000");
    if (!is_rows && n >= FLUSH_INTERVAL_END_S)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "Interval must be less than 86400 seconds (24 "
                         "hours)");
    *target = (uint32_t)n;
    return OK;
}

static Code option_flush(Parser *p, const OptionValue *value, TableOptions *options)
{
    Slice rest = value->text;
    options->has_flush_policy = true;
    for (;;) {
        const char *comma = rest.size ? memchr(rest.data, ',', rest.size) : NULL;
        size_t size = comma ? (size_t)(comma - rest.data) : rest.size;
        TRY(flush_part(p, value, trimmed(slice_of(rest.data, size)), options));
        if (!comma)
            return OK;
        rest = slice_of(comma + 1, rest.size - size - 1);
    }
}

static Code feed_window(Parser *p, const OptionValue *value, uint32_t unit_s, TableOptions *options)
{
    uint64_t n;
    uint32_t max = FEED_WINDOW_MAX_S / unit_s;
    if (options->has_feed_window) /* hours and seconds, or the other name of the hours */
        return sql__fail(p, E_INVALID_SQL, value->offset, "The feed window is given twice");
    if (!whole_number(value->text, max, &n))
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "The feed window must be a whole number of %s from 0 to %u",
                         unit_s == 1 ? "seconds" : "hours", max);
    options->has_feed_window = true;
    options->feed_window_s = (uint32_t)n * unit_s;
    return OK;
}

static Code option_feed_seconds(Parser *p, const OptionValue *value, TableOptions *options)
{
    return feed_window(p, value, 1, options);
}

static Code option_feed_hours(Parser *p, const OptionValue *value, TableOptions *options)
{
    return feed_window(p, value, 3600, options);
}

static Code option_feed_bytes(Parser *p, const OptionValue *value, TableOptions *options)
{
    uint64_t bytes;
    bool is_number = whole_number(value->text, FEED_BYTES_MAX, &bytes);
    if (!is_number || (bytes && bytes < FEED_BYTES_MIN))
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "FEED_WINDOW_BYTES must be 0 or a whole number from %d to %" PRIu64,
                         FEED_BYTES_MIN, FEED_BYTES_MAX);
    options->has_feed_bytes = true;
    options->feed_window_bytes = bytes;
    return OK;
}

static Code option_ttl(Parser *p, const OptionValue *value, TableOptions *options)
{
    if (!whole_number(value->text, UINT32_MAX, &options->ttl_s) || !options->ttl_s)
        return sql__fail(p, E_INVALID_SQL, value->offset,
                         "TTL_SECONDS must be a whole number from 1 to %" PRIu32, UINT32_MAX);
    options->has_ttl = true;
    return OK;
}

static Code option_access(Parser *p, const OptionValue *value, TableOptions *options)
{
    static const char *const words[] = {"", "PUBLIC", "PRIVATE", "RESTRICTED", "DBA"};
    for (int i = SQL_ACCESS_PUBLIC; i <= SQL_ACCESS_DBA; i++)
        if (is_text(value->text, words[i])) {
            options->access = (SqlAccess)i;
            return OK;
        }
    return sql__fail(p, E_INVALID_SQL, value->offset,
                     "Invalid ACCESS_LEVEL '%.*s'. Supported: PUBLIC, "
                     "PRIVATE, RESTRICTED, DBA",
                     SLICE_ARGS(value->text));
}

static Code option_durability(Parser *p, const OptionValue *value, TableOptions *options)
{
    options->has_durability = true;
    options->durability_async = is_text(value->text, "ASYNC");
    if (!options->durability_async && !is_text(value->text, "SYNC"))
        return sql__fail(p, E_INVALID_SQL, value->offset, "DURABILITY must be 'sync' or 'async'");
    return OK;
}

static const struct {
    const char *name;
    OptionRule *rule;
} option_rules[] = {
    {"TYPE", option_type},
    {"STORAGE_ID", option_storage},
    {"USE_USER_STORAGE", option_user_storage},
    {"FLUSH_POLICY", option_flush},
    {"FEED_WINDOW_HOURS", option_feed_hours},
    {"FEED_WINDOW_SECONDS", option_feed_seconds},
    {"FEED_WINDOW_BYTES", option_feed_bytes},
    {"DELETED_RETENTION_HOURS",
     option_feed_hours}, /* the original's name: deletes are part of the feed */
    {"TTL_SECONDS", option_ttl},
    {"ACCESS_LEVEL", option_access},
    {"DURABILITY", option_durability},
};

enum { OPTION_RULES = sizeof option_rules / sizeof *option_rules };

/* `given` tells which options the statement has named already. */
static Code option(Parser *p, TableOptions *options, bool given[OPTION_RULES])
{
    uint32_t offset = p->token.start;
    Slice name;
    TRY(sql__name(p, "an option name", &name));
    size_t i = 0;
    while (i < OPTION_RULES && !is_text(name, option_rules[i].name))
        i++;
    if (i == OPTION_RULES)
        return sql__fail(p, E_INVALID_SQL, offset, "Unknown table option '%.*s'", SLICE_ARGS(name));
    if (given[i])
        return sql__fail(p, E_INVALID_SQL, offset, "Option '%.*s' is given twice",
                         SLICE_ARGS(name));
    given[i] = true;
    TRY(sql__expect(p, TOKEN_EQUAL, "'='"));
    /* A fraction, and the minus of a negative number, are for the rule to refuse: it knows what
     * the option takes. */
    bool is_value = p->token.kind == TOKEN_STRING || p->token.kind == TOKEN_INTEGER ||
                    p->token.kind == TOKEN_WORD || p->token.kind == TOKEN_QUOTED ||
                    p->token.kind == TOKEN_NUMBER || p->token.kind == TOKEN_MINUS;
    if (!is_value)
        return sql__expected(p, "a value");
    OptionValue value = {trimmed(p->token.text), p->token.start};
    sql__advance(p);
    return option_rules[i].rule(p, &value, options);
}

Code sql__access_level(Parser *p, TableOptions *options)
{
    if (p->token.kind != TOKEN_WORD && p->token.kind != TOKEN_STRING)
        return sql__expected(p, "PUBLIC, PRIVATE, RESTRICTED or DBA");
    OptionValue value = {trimmed(p->token.text), p->token.start};
    sql__advance(p);
    return option_access(p, &value, options);
}

Code sql__table_options(Parser *p, TableOptions *options)
{
    bool given[OPTION_RULES] = {false};
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after WITH"));
    while (p->token.kind != TOKEN_RIGHT) {
        TRY(option(p, options, given));
        if (!sql__accept(p, TOKEN_COMMA))
            break;
    }
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

/* ALTER TABLE … RESET ( name, … ) */
Code sql__reset_options(Parser *p, TableOptions *options)
{
    TRY(sql__expect(p, TOKEN_LEFT, "'(' after RESET"));
    do {
        uint32_t offset = p->token.start;
        Slice name;
        TRY(sql__name(p, "an option name", &name));
        if (is_text(name, "FLUSH_POLICY"))
            options->has_flush_policy = true;
        else if (is_text(name, "FEED_WINDOW_HOURS") || is_text(name, "FEED_WINDOW_SECONDS") ||
                 is_text(name, "DELETED_RETENTION_HOURS"))
            options->has_feed_window = true;
        else if (is_text(name, "FEED_WINDOW_BYTES"))
            options->has_feed_bytes = true;
        else
            return sql__fail(p, E_INVALID_SQL, offset,
                             "'%.*s' cannot be reset: FLUSH_POLICY, FEED_WINDOW_HOURS and "
                             "FEED_WINDOW_BYTES have a default of the server",
                             SLICE_ARGS(name));
    } while (sql__accept(p, TOKEN_COMMA));
    return sql__expect(p, TOKEN_RIGHT, "',' or ')'");
}

Code sql__check_options(Parser *p, uint32_t offset, TableOptions *options)
{
    bool is_stream = options->kind == SQL_TABLE_STREAM;
    if (is_stream && !options->has_ttl)
        return sql__fail(p, E_INVALID_SQL, offset, "STREAM tables must specify 'TTL_SECONDS'");
    if (!is_stream && options->has_ttl)
        return sql__fail(p, E_INVALID_SQL, offset,
                         "TTL_SECONDS is only supported for STREAM tables");
    if (options->use_user_storage && options->kind != SQL_TABLE_USER)
        return sql__fail(p, E_INVALID_SQL, offset,
                         "USE_USER_STORAGE is only supported for USER tables");
    bool is_shared = options->kind == SQL_TABLE_SHARED || options->kind == SQL_TABLE_UNSET;
    if (options->access != SQL_ACCESS_UNSET && !is_shared)
        return sql__fail(p, E_INVALID_SQL, offset,
                         "ACCESS_LEVEL is only supported for SHARED tables");
    if (is_stream && (options->has_feed_window || options->has_feed_bytes))
        return sql__fail(p, E_INVALID_SQL, offset, "%s", SQL_STREAM_FEED_WINDOW);
    if (is_stream && options->has_flush_policy)
        return sql__fail(p, E_INVALID_SQL, offset, "%s", SQL_STREAM_FLUSH_POLICY);
    return OK;
}
