/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills a Config. Each source (defaults, file, environment) hands over texts, numbers, booleans or
 * lists, which meet the same checks of type and range; so a setting behaves the same wherever it
 * comes from. A value of a SECRET never appears in a message.
 */
#include "server/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "os/file.h"
#include "os/log.h"
#include "server/toml.h"

enum {
    FILE_BYTES_MAX = 1024 * 1024,
    LIST_MAX = 64,
    WARNED_MAX = 64,
};

typedef enum SettingType { SETTING_TEXT, SETTING_INT, SETTING_BOOL, SETTING_LIST } SettingType;
enum { PLAIN, SECRET };

typedef struct Setting {
    SettingType type;
    const char *path, *value, *environment, *meaning;
    size_t offset; /* in Config */
    int64_t min, max;
    bool secret;
} Setting;

static const Setting settings[] = {
#define SETTING(type, field, path, value, min, max, environment, visibility, meaning) \
    {SETTING_##type,          path, value, environment,         meaning,              \
     offsetof(Config, field), min,  max,   visibility == SECRET},
#define SETTING_ALIAS(name, path)
#define ENV_ALIAS(name, variable)
#define KNOWN_FOREIGN(path, instead)
#define FOREIGN_ENV(name)
#include "../../spec/config.def"
#undef SETTING
#undef SETTING_ALIAS
#undef ENV_ALIAS
#undef KNOWN_FOREIGN
#undef FOREIGN_ENV
};

typedef struct NamePair {
    const char *name, *other;
} NamePair;

#define SETTING(...)
#define SETTING_ALIAS(name, path) {name, path},
#define ENV_ALIAS(name, variable)
#define KNOWN_FOREIGN(path, instead)
#define FOREIGN_ENV(name)
static const NamePair aliases[] = {
#include "../../spec/config.def"
};
#undef SETTING_ALIAS
#undef ENV_ALIAS
#define SETTING_ALIAS(name, path)
#define ENV_ALIAS(name, variable) {name, variable},
static const NamePair environment_aliases[] = {
#include "../../spec/config.def"
};
#undef ENV_ALIAS
#undef KNOWN_FOREIGN
#define ENV_ALIAS(name, variable)
#define KNOWN_FOREIGN(path, instead) {path, instead},
static const NamePair foreign[] = {
#include "../../spec/config.def"
};
#undef KNOWN_FOREIGN
#undef FOREIGN_ENV
#define KNOWN_FOREIGN(path, instead)
#define FOREIGN_ENV(name) {name, ""},
static const NamePair foreign_environment[] = {
#include "../../spec/config.def"
};

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What all steps share. */
typedef struct Load {
    Config *config;
    Arena *arena;
    ConfigWarnings warnings;
    const char *file;               /* for messages; NULL while it is not the file */
    const char *warned[WARNED_MAX]; /* foreign patterns that were named already */
    size_t warned_count;
    Error *e;
    Code code; /* of the visitor */
} Load;

/* A value from any source, with the place it stands at. */
typedef struct Given {
    const char *name; /* as the user wrote it */
    TomlKind kind;
    Slice text;
    int64_t number;
    const char *const *items;
    size_t item_count;
    uint32_t line, column;
} Given;

__attribute__((format(printf, 2, 3))) static void warn(const ConfigWarnings *warnings,
                                                       const char *format, ...)
{
    if (!warnings->warn)
        return;
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    warnings->warn(warnings->context, text);
}

static bool matches(const char *pattern, const char *name)
{
    size_t size = strlen(pattern);
    if (size > 0 && pattern[size - 1] == '*')
        return strncmp(pattern, name, size - 1) == 0;
    return strcmp(pattern, name) == 0;
}

static const NamePair *find_pair(const NamePair *pairs, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (matches(pairs[i].name, name))
            return &pairs[i];
    }
    return NULL;
}

static const Setting *find_setting(const char *path)
{
    const NamePair *alias = find_pair(aliases, COUNT(aliases), path);
    path = alias ? alias->other : path;
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (strcmp(settings[i].path, path) == 0)
            return &settings[i];
    }
    return NULL;
}

/* The single-letter edits from one name to the other; enough for suggestions, names are short. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { NAME_MAX_BYTES = 100 };
    size_t row[NAME_MAX_BYTES + 1], a_size = strlen(a), b_size = strlen(b);
    if (a_size > NAME_MAX_BYTES || b_size > NAME_MAX_BYTES)
        return NAME_MAX_BYTES;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = best < row[j] + 1 ? best : row[j] + 1;
            best = best < row[j - 1] + 1 ? best : row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_size];
}

static void consider(const char *name, const char *candidate, const char **best, size_t *distance)
{
    size_t d = edit_distance(name, candidate);
    if (d < *distance) {
        *distance = d;
        *best = candidate;
    }
}

/* The setting that was probably meant, or NULL. A right key in a wrong section counts as near. */
static const char *suggestion(const char *path)
{
    const char *best = NULL;
    size_t distance = 2 + strlen(path) / 5;
    const char *key = strrchr(path, '.') ? strrchr(path, '.') + 1 : path;
    for (size_t i = 0; i < COUNT(settings); i++) {
        consider(path, settings[i].path, &best, &distance);
        const char *setting_key = strrchr(settings[i].path, '.') + 1;
        if (!best && strlen(key) > 4 && strcmp(key, setting_key) == 0)
            best = settings[i].path;
    }
    return best;
}

static const char *environment_suggestion(const char *name)
{
    const char *best = NULL;
    size_t distance = 2 + strlen(name) / 5;
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (*settings[i].environment)
            consider(name, settings[i].environment, &best, &distance);
    }
    return best;
}

/* "server.toml:3:1: " or nothing, before what is said about a setting. */
static const char *place(const Load *load, const Given *given)
{
    if (!load->file)
        return "";
    return arena_printf(load->arena, "%s:%u:%u: ", load->file, given->line, given->column);
}

static Code wrong(const Load *load, const Given *given, const Setting *setting)
{
    const char *shown = "that value";
    if (!setting->secret && given->kind == TOML_TEXT)
        shown =
            arena_printf(load->arena, "\"%.*s\"",
                         (int)(given->text.size < 100 ? given->text.size : 100), given->text.data);
    else if (!setting->secret && given->kind == TOML_INT)
        shown = arena_printf(load->arena, "%lld", (long long)given->number);
    const char *allowed = "a text";
    if (setting->type == SETTING_INT)
        allowed = arena_printf(load->arena, "a whole number from %lld to %lld",
                               (long long)setting->min, (long long)setting->max);
    else if (setting->type == SETTING_BOOL)
        allowed = "true or false";
    else if (setting->type == SETTING_LIST)
        allowed =
            arena_printf(load->arena, "a list of at most %lld texts", (long long)setting->max);
    else if (given->kind == TOML_TEXT)
        allowed = arena_printf(load->arena, "a text of %lld to %lld bytes", (long long)setting->min,
                               (long long)setting->max);
    return fail_at(load->e, E_CONFIG, given->line, given->column,
                   "%s%s cannot be %s; it must be %s", place(load, given), given->name, shown,
                   allowed);
}

static Code set_text(Load *load, const Setting *setting, const Given *given, ConfigText *out)
{
    bool fits = given->kind == TOML_TEXT && (int64_t)given->text.size >= setting->min &&
                (int64_t)given->text.size <= setting->max &&
                (given->text.size == 0 || !memchr(given->text.data, 0, given->text.size));
    if (!fits)
        return wrong(load, given, setting);
    *out = arena_text(load->arena, given->text);
    return OK;
}

static Code set_int(Load *load, const Setting *setting, const Given *given, ConfigInt *out)
{
    if (given->kind != TOML_INT || given->number < setting->min || given->number > setting->max)
        return wrong(load, given, setting);
    *out = given->number;
    return OK;
}

static Code set_list(Load *load, const Setting *setting, const Given *given, ConfigList *out)
{
    if (given->kind != TOML_LIST || (int64_t)given->item_count > setting->max)
        return wrong(load, given, setting);
    const char **items = arena_new_array(load->arena, const char *, given->item_count + 1);
    for (size_t i = 0; i < given->item_count; i++)
        items[i] = arena_text(load->arena, slice_of_text(given->items[i]));
    *out = (ConfigList){items, given->item_count};
    return OK;
}

static Code set(Load *load, const Setting *setting, const Given *given)
{
    char *field = (char *)load->config + setting->offset;
    switch (setting->type) {
    case SETTING_TEXT:
        return set_text(load, setting, given, (ConfigText *)field);
    case SETTING_INT:
        return set_int(load, setting, given, (ConfigInt *)field);
    case SETTING_BOOL:
        if (given->kind != TOML_BOOL)
            return wrong(load, given, setting);
        *(ConfigBool *)field = given->number != 0;
        return OK;
    case SETTING_LIST:
        return set_list(load, setting, given, (ConfigList *)field);
    }
    return OK;
}

/* "a, b ,c" -> {"a", "b", "c"}; empty pieces are left out. */
static bool split_list(Arena *arena, const char *text, const char **items, size_t *out_count)
{
    size_t count = 0;
    while (*text) {
        size_t size = strcspn(text, ",");
        const char *from = text + strspn(text, " ");
        size_t kept = from < text + size ? (size_t)(text + size - from) : 0;
        while (kept > 0 && from[kept - 1] == ' ')
            kept--;
        if (kept > 0 && count == LIST_MAX)
            return false;
        if (kept > 0)
            items[count++] = arena_text(arena, slice_of(from, kept));
        text += size + (text[size] == ',');
    }
    *out_count = count;
    return true;
}

/* Defaults and the environment are texts: read one as the type of its setting. */
static Code set_from_text(Load *load, const Setting *setting, const char *name, const char *text)
{
    const char *items[LIST_MAX];
    Given given = {.name = name, .kind = TOML_TEXT, .text = slice_of_text(text)};
    if (setting->type == SETTING_INT) {
        char *end;
        errno = 0;
        given.number = strtoll(text, &end, 10);
        bool digits = (text[0] >= '0' && text[0] <= '9') || text[0] == '-';
        if (errno == 0 && digits && *end == 0)
            given.kind = TOML_INT;
    } else if (setting->type == SETTING_BOOL) {
        given.number = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
        if (given.number || strcmp(text, "false") == 0 || strcmp(text, "0") == 0)
            given.kind = TOML_BOOL;
    } else if (setting->type == SETTING_LIST) {
        given.items = items;
        if (split_list(load->arena, text, items, &given.item_count))
            given.kind = TOML_LIST;
    }
    return set(load, setting, &given);
}

static void warn_foreign(Load *load, const NamePair *pair, const char *where, const char *name)
{
    for (size_t i = 0; i < load->warned_count; i++) {
        if (load->warned[i] == pair->name)
            return;
    }
    if (load->warned_count < WARNED_MAX)
        load->warned[load->warned_count++] = pair->name;
    warn(&load->warnings, "%s%s has no effect here%s%s", where, name, *pair->other ? ": " : "",
         pair->other);
}

static Code apply_entry(Load *load, const TomlEntry *entry)
{
    Given given = {.name = entry->path,
                   .kind = entry->kind,
                   .text = slice_of(entry->text, entry->text_bytes),
                   .number = entry->number,
                   .items = entry->items,
                   .item_count = entry->item_count,
                   .line = entry->line,
                   .column = entry->column};
    const char *path = entry->path;
    if (strncmp(path, "authentication.", 15) == 0)
        path = arena_printf(load->arena, "auth.%s", path + 15);
    const Setting *setting = find_setting(path);
    if (setting)
        return set(load, setting, &given);
    const NamePair *known = find_pair(foreign, COUNT(foreign), path);
    if (known) {
        warn_foreign(load, known, place(load, &given), entry->path);
        return OK;
    }
    const char *meant = suggestion(path);
    return fail_at(load->e, E_CONFIG, entry->line, entry->column, "%sunknown setting %s%s%s%s",
                   place(load, &given), entry->path, meant ? "; did you mean " : "",
                   meant ? meant : "", meant ? "?" : "");
}

static bool visit(void *context, const TomlEntry *entry)
{
    Load *load = context;
    load->code = apply_entry(load, entry);
    return load->code == OK;
}

static Code load_file(Load *load, const char *file)
{
    Slice text;
    TRY(file_read(file, FILE_BYTES_MAX, load->arena, &text, load->e));
    load->file = file;
    TomlError error;
    Code code = OK;
    if (!toml_read(text.data, text.size, visit, load, &error))
        code = error.line == 0
                   ? load->code
                   : fail_at(load->e, E_CONFIG, error.line, error.column, "%s:%u:%u: %s", file,
                             error.line, error.column, error.text);
    load->file = NULL;
    return code;
}

static Code apply_variable(Load *load, const char *variable)
{
    enum { PREFIX_BYTES = 8 };
    if (strncmp(variable, "KALAMDB_", PREFIX_BYTES) != 0 || !strchr(variable, '='))
        return OK;
    const char *value = strchr(variable, '=') + 1;
    const char *full = arena_text(load->arena, slice_of(variable, (size_t)(value - 1 - variable)));
    const char *name = full + PREFIX_BYTES;
    const NamePair *alias = find_pair(environment_aliases, COUNT(environment_aliases), name);
    const char *wanted = alias ? alias->other : name;
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (*settings[i].environment && strcmp(settings[i].environment, wanted) == 0)
            return set_from_text(load, &settings[i], full, value);
    }
    const NamePair *known = find_pair(foreign_environment, COUNT(foreign_environment), name);
    if (known) {
        warn_foreign(load, known, "", full);
        return OK;
    }
    /* Clients keep variables of this prefix too (KALAMDB_URL), so an unknown one is no reason to
     * stop; one that looks like a misspelt setting is worth a word. */
    const char *meant = environment_suggestion(name);
    if (meant)
        warn(&load->warnings, "%s is no setting; did you mean KALAMDB_%s?", full, meant);
    return OK;
}

/* Texts that are one of a few words. */
static Code check_words(const Config *config, Error *e)
{
    LogLevel level;
    if (!log_level_of(slice_of_text(config->logging_level), &level))
        return fail(e, E_CONFIG,
                    "logging.level cannot be \"%s\"; it must be error, warn, info or debug",
                    config->logging_level);
    const char *format = config->logging_format;
    if (strcmp(format, "auto") != 0 && strcmp(format, "compact") != 0 &&
        strcmp(format, "json") != 0)
        return fail(e, E_CONFIG,
                    "logging.format cannot be \"%s\"; it must be auto, compact or json", format);
    return OK;
}

Code config_load(const char *file, char *const *environment, ConfigWarnings warnings, Arena *arena,
                 Config *out_config, Error *e)
{
    Config config = {0};
    Load load = {.config = &config, .arena = arena, .warnings = warnings, .e = e};
    for (size_t i = 0; i < COUNT(settings); i++)
        TRY(set_from_text(&load, &settings[i], settings[i].path, settings[i].value));
    if (file || file_exists("server.toml"))
        TRY(load_file(&load, file ? file : "server.toml"));
    for (size_t i = 0; environment && environment[i]; i++)
        TRY(apply_variable(&load, environment[i]));
    TRY(check_words(&config, e));
    *out_config = config;
    return OK;
}

static Slice print_list(const ConfigList *list, Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    for (size_t i = 0; i < list->count; i++) {
        buffer_add_text(&out, i ? "," : "");
        buffer_add_text(&out, list->items[i]);
    }
    return arena_copy(arena, buffer_slice(&out));
}

static Slice print_setting(const Config *config, const Setting *setting, Arena *arena)
{
    const void *field = (const char *)config + setting->offset;
    if (setting->secret)
        return SLICE("***");
    switch (setting->type) {
    case SETTING_TEXT:
        return slice_of_text(*(const ConfigText *)field);
    case SETTING_INT:
        return slice_of_text(arena_printf(arena, "%lld", (long long)*(const ConfigInt *)field));
    case SETTING_BOOL:
        return *(const ConfigBool *)field ? SLICE("true") : SLICE("false");
    case SETTING_LIST:
        return print_list((const ConfigList *)field, arena);
    }
    return (Slice){0};
}

void config_describe(const Config *config, Arena *arena, const ConfigSetting **out,
                     size_t *out_count)
{
    size_t count = sizeof settings / sizeof *settings;
    ConfigSetting *list = arena_new_array(arena, ConfigSetting, count);
    for (size_t i = 0; i < count; i++)
        list[i] = (ConfigSetting){settings[i].path, settings[i].meaning,
                                  print_setting(config, &settings[i], arena)};
    *out = list;
    *out_count = count;
}
