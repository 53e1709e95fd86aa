/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading TOML 1.0 through toml++, behind a C interface small enough that no C++ leaks out. The
 * file is flattened: each value is shown once with its dotted path
 * ("storage.rocksdb.max_open_files").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum TomlKind {
    TOML_TEXT,
    TOML_INT,
    TOML_BOOL,
    TOML_LIST,  /* of texts */
    TOML_OTHER, /* a float, a date, a list of anything else */
} TomlKind;

typedef struct TomlEntry {
    const char *path;
    TomlKind kind;
    const char *text; /* TOML_TEXT, may be followed by more after a zero byte, hence: */
    size_t text_bytes;
    int64_t number;           /* TOML_INT, TOML_BOOL */
    const char *const *items; /* TOML_LIST, zero-terminated texts */
    size_t item_count;
    uint32_t line, column; /* 1-based */
} TomlEntry;

/* The entry and what it points to are borrowed for the call. False ends the reading. */
typedef bool TomlVisit(void *context, const TomlEntry *entry);

typedef struct TomlError {
    char text[256];
    uint32_t line, column;
} TomlError;

/* Visits every value in the order of its path. False when the text is no TOML (out_error is filled)
 * or when the visitor ended it (out_error->line is 0). Any thread. */
bool toml_read(const char *text, size_t size, TomlVisit *visit, void *context,
               TomlError *out_error);

#ifdef __cplusplus
}
#endif
