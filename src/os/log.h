/* SPDX-License-Identifier: Apache-2.0
 *
 * The structured log: an event is a fixed sentence plus named fields, so that lines can be searched
 * by machine. On a terminal it is readable text, otherwise one JSON object a line. Thread-safe; one
 * write(2) per line, so that lines of threads and processes do not mix.
 *
 *     log_event(LOG_LEVEL_INFO, "listening", LOG_TEXT("host", host), LOG_INT("port", port));
 *
 * Only the folders at the top log (api/, jobs/, server/); those below return errors. Passwords,
 * tokens, secrets and row contents never go into a field.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

typedef enum LogLevel {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
} LogLevel;

typedef enum LogFormat {
    LOG_FORMAT_AUTO, /* text on a terminal, else JSON */
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON,
} LogFormat;

typedef struct LogField {
    const char *name; /* NULL ends the list */
    Slice text;       /* the value, unless is_number */
    int64_t number;
    bool is_number;
} LogField;

#define LOG_SLICE(name_, slice_) ((LogField){.name = (name_), .text = (slice_)})
#define LOG_TEXT(name_, text_) LOG_SLICE(name_, slice_of_text(text_))
#define LOG_INT(name_, number_) \
    ((LogField){.name = (name_), .number = (int64_t)(number_), .is_number = true})
/* The code's name and the sentence of an Error. */
#define LOG_ERROR(error_) \
    LOG_TEXT("code", code_info((error_)->code)->name), LOG_TEXT("error", (error_)->text)

#define log_event(level, message, ...) \
    log_write((level), (message), (const LogField[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}})
void log_write(LogLevel level, const char *message, const LogField *fields);

/* Level and format from now on; before that: info, auto. */
void log_set(LogLevel level, LogFormat format);
/* Where lines go; before that: standard error. The descriptor stays the caller's. */
void log_set_descriptor(int descriptor);
/* "error", "warn", "info", "debug", and "trace" as debug; false for any other word. */
bool log_level_of(Slice word, LogLevel *out_level);
