/* SPDX-License-Identifier: Apache-2.0
 *
 * DuckDB's error texts -> an Error that may be shown to a user. The texts can hold paths and the
 * SQL we printed, so a text is passed on only when its kind is on the list, only its first line,
 * and only when it contains nothing of either. All else gets a sentence of our own.
 */
#include <string.h>

#include "engine/engine_int.h"

typedef enum Show { HIDE_TEXT, SHOW_TEXT } Show;

static const struct {
    const char *prefix;
    Code code;
    Show show;
    const char *own; /* what is said instead of DuckDB's text */
} kinds[] = {
    {"Conversion Error", E_EXECUTION, SHOW_TEXT, "a value cannot be converted"},
    {"Out of Range Error", E_EXECUTION, SHOW_TEXT, "a value is out of range"},
    {"Divide by Zero Error", E_EXECUTION, SHOW_TEXT, "division by zero"},
    {"Decimal Error", E_EXECUTION, SHOW_TEXT, "a decimal is out of range"},
    {"Mismatch Type Error", E_EXECUTION, SHOW_TEXT, "types do not match"},
    {"Invalid Input Error", E_EXECUTION, SHOW_TEXT, "a function was given an invalid value"},
    {"Invalid type Error", E_EXECUTION, SHOW_TEXT, "a value has an invalid type"},
    {"Constraint Error", E_EXECUTION, SHOW_TEXT, "a constraint failed"},
    {"Binder Error", E_INVALID_SQL, SHOW_TEXT, "types or functions do not fit together"},
    {"Catalog Error", E_INVALID_SQL, HIDE_TEXT, "a function is not available"},
    {"Not implemented Error", E_UNSUPPORTED, SHOW_TEXT, "this is not supported"},
    {"Parser Error", E_INTERNAL, HIDE_TEXT, "the query engine refused the statement"},
    {"Syntax Error", E_INTERNAL, HIDE_TEXT, "the query engine refused the statement"},
    {"Permission Error", E_INTERNAL, HIDE_TEXT, "the query engine was refused access"},
    {"Out of Memory Error", E_NO_MEMORY, HIDE_TEXT,
     "the statement needs more memory than it may use"},
    {"IO Error", E_IO, HIDE_TEXT, "a file could not be read or written"},
    {"INTERRUPT Error", E_CANCELLED, HIDE_TEXT, "the statement was stopped"},
};

/* Words that only damaged or missing files produce. */
static const char *const damage_words[] = {
    "magic bytes", "Thrift",  "TProtocol", "ZSTD",    "zstd",          "decompress",  "Decompress",
    "corrupt",     "Corrupt", "parquet",   "Parquet", "Out of buffer", "page header",
};

static bool is_damage(const char *text)
{
    for (size_t i = 0; i < sizeof damage_words / sizeof *damage_words; i++) {
        if (strstr(text, damage_words[i]))
            return true;
    }
    return false;
}

/* "batch-12.parquet" where the text names a segment, else an empty slice. */
static Slice find_segment(const char *text)
{
    for (const char *at = text; (at = strstr(at, "batch-")); at++) {
        size_t digits = strspn(at + 6, "0123456789");
        const char *end = at + 6 + digits;
        if (digits > 0 && strncmp(end, ".parquet", 8) == 0)
            return slice_of(at, (size_t)(end + 8 - at));
    }
    return (Slice){0};
}

static Slice first_line(const char *text)
{
    return slice_of(text, strcspn(text, "\r\n"));
}

static bool contains(Slice text, const char *word)
{
    return memmem(text.data, text.size, word, strlen(word)) != NULL;
}

/* Paths and printed SQL never leave the server, nor do hints to write DuckDB's SQL. */
static bool may_be_shown(const Instance *instance, Slice text)
{
    static const char *const ours[] = {"hot(",    "alive(", "alive_found(", "alive_at(",
                                       "parquet", "DuckDB", "duckdb",       "INTERNAL"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (contains(text, ours[i]))
            return false;
    const EngineConfig *config = &instance->pool->config;
    return slice_is_utf8(text) && !contains(text, config->allowed_folder) &&
           !contains(text, config->temp_directory);
}

/* True for what a file, and not a value of the user, is to blame for: values are quoted in the
 * texts, and may say "corrupt" or "batch-3.parquet" too. */
static bool is_about_file(const Instance *instance, const char *text)
{
    static const char *const others[] = {"Binder", "INTERNAL", "FATAL", "Permission",
                                         "Out of Memory"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (strncmp(text, others[i], strlen(others[i])) == 0)
            return false;
    }
    if (strstr(text, instance->pool->config.allowed_folder))
        return find_segment(text).size > 0;
    return !strpbrk(text, "'\"") && is_damage(text);
}

static Code damaged_file(const char *text, Error *e)
{
    Slice segment = find_segment(text);
    const char *name = segment.size ? segment.data : "a segment";
    int size = segment.size ? (int)segment.size : (int)strlen(name);
    if (strncmp(text, "Conversion Error", 16) == 0)
        return fail(e, E_EXECUTION, "%.*s: a stored value does not convert to its column's type",
                    size, name);
    bool is_missing = strstr(text, "No such file") || strstr(text, "No files found") ||
                      strstr(text, "Cannot open file") || strstr(text, "Could not read");
    if (is_missing)
        return fail(e, E_IO, "%.*s cannot be opened or read", size, name);
    return fail(e, E_CORRUPT, "%.*s is damaged", size, name);
}

static Code stopped(EngineQuery *query, Error *e)
{
    if (engine__is_cancelled(query))
        return fail(e, E_CANCELLED, "the statement was cancelled");
    return fail(e, E_TIMEOUT, "the statement ran longer than its limit and was stopped");
}

static Code by_kind(Instance *instance, const char *text, Error *e)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t size = strlen(kinds[i].prefix);
        if (strncmp(text, kinds[i].prefix, size) != 0)
            continue;
        Slice line = first_line(text);
        bool shown =
            kinds[i].show == SHOW_TEXT && line.size > size + 2 && may_be_shown(instance, line);
        if (!shown)
            return fail(e, kinds[i].code, "%s", kinds[i].own);
        return fail(e, kinds[i].code, "%.*s", (int)(line.size - size - 2), line.data + size + 2);
    }
    /* INTERNAL, FATAL and whatever a future version invents: the instance may be unusable. */
    instance->is_broken = true; /* I3 */
    return fail(e, E_INTERNAL, "the query engine failed; the log has the details");
}

Code engine__failure(Instance *instance, EngineQuery *query, const char *text, Error *e)
{
    if (!text)
        text = "";
    if (instance->pool->trace)
        instance->pool->trace(instance->pool->trace_context, text);
    mutex_lock(&query->lock);
    Error kept = query->error;
    mutex_unlock(&query->lock);
    bool is_stopped = engine__is_cancelled(query) || atomic_load(&query->is_expired);
    if (kept.code != OK) /* I4 */
        return fail(e, kept.code, "%s", kept.text);
    if (is_stopped)
        return stopped(query, e);
    if (strncmp(text, "IO Error", 8) == 0 && strstr(text, "No space left"))
        return fail(e, E_DISK_FULL, "no space is left on the disk");
    if (is_about_file(instance, text))
        return damaged_file(text, e);
    return by_kind(instance, text, e);
}
