/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings of a server: a struct that spec/config.def generates, and the function that fills it
 * from a TOML file and the environment. docs/configuration.md lists them all.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

typedef struct ConfigList {
    const char *const *items; /* zero-terminated */
    size_t count;
} ConfigList;

typedef const char *ConfigText;
typedef int64_t ConfigInt;
typedef bool ConfigBool;

#define CONFIG_FIELD_TEXT ConfigText
#define CONFIG_FIELD_INT ConfigInt
#define CONFIG_FIELD_BOOL ConfigBool
#define CONFIG_FIELD_LIST ConfigList

typedef struct Config {
#define SETTING(type, field, ...) CONFIG_FIELD_##type field;
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
} Config;

/* Told of what is accepted without effect; the text is borrowed for the call. */
typedef struct ConfigWarnings {
    void (*warn)(void *context, const char *text);
    void *context;
} ConfigWarnings;

/* Defaults, then the file, then the environment (a NULL-ended list of "NAME=value", as environ).
 * `file` NULL means ./server.toml if there is one. Texts of *out_config live in the arena. E_CONFIG
 * with a sentence that names the file, the line and what is allowed; E_NOT_FOUND when a file that
 * was named is not there. Blocks; for the start of a process. */
CHECKED Code config_load(const char *file, char *const *environment, ConfigWarnings warnings,
                         Arena *arena, Config *out_config, Error *e);

typedef struct ConfigSetting {
    const char *name, *meaning; /* static */
    Slice value;                /* as text; secrets as *** */
} ConfigSetting;
/* All settings as they are in force, in the order of spec/config.def; memory in the arena. */
void config_describe(const Config *config, Arena *arena, const ConfigSetting **out,
                     size_t *out_count);

/* Sees to it that config->auth_jwt_secret holds a secret: the configured one, if it is fit, or the
 * one kept in <data>/jwt_secret (mode 0600), which is made on the first start. E_CONFIG when the
 * configured one is well known or short and the server is not bound to loopback (there it
 * warns). */
CHECKED Code config_ensure_secret(Config *config, ConfigWarnings warnings, Arena *arena, Error *e);
