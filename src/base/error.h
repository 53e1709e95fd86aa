/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors: a Code says what a program may do about it, an Error says it to a person.
 *
 * A function that can fail returns Code and takes `Error *e` last. On failure its outputs are
 * untouched and `e` is filled where the failure happened. Errors are logged once, at the top
 * (api/, jobs/, server/). A programmer's mistake is `must()`: on in every build, it aborts.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Code {
    OK = 0,
#define CODE(name, number, http, retry, wire, kind, meaning) name = number,
#include "../../spec/errors.def"
#undef CODE
} Code;

/* On every function that returns a Code: ignoring it is a compile error. */
#define CHECKED __attribute__((warn_unused_result))

enum { ERROR_TEXT_BYTES_MAX = 1024 };

typedef struct Error {
    Code code;
    uint32_t line;                   /* 1-based place in the SQL text or file; 0 = no place */
    uint32_t column;                 /* 1-based, in characters */
    char text[ERROR_TEXT_BYTES_MAX]; /* one sentence for a person, always valid UTF-8 */
} Error;

/* Fills *e (which may be NULL) and returns `code`, so that `return fail(...)` reads well. */
CHECKED Code fail(Error *e, Code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with a place in the text the user sent. */
CHECKED Code fail_at(Error *e, Code code, uint32_t line, uint32_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* Puts context before the text already there ("flush chat.messages: disk full"); returns
 * e->code. */
CHECKED Code wrap(Error *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct CodeInfo {
    const char *name; /* "E_CORRUPT" */
    const char *wire; /* "DATA_CORRUPT" */
    const char *kind; /* "Storage error" */
    const char *meaning;
    int http_status;
    bool can_retry;
} CodeInfo;

/* Static description of a code; for OK and unknown numbers that of E_INTERNAL. */
const CodeInfo *code_info(Code code);

_Noreturn void must_failed(const char *condition, const char *file, int line);
#define must(condition) ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))
#ifdef KALAM_DEBUG
#define debug_must(condition) must(condition)
#else
#define debug_must(condition) ((void)sizeof(condition))
#endif

/* `TRY(f(...))` leaves the function with the code of the first call that fails. */
#define TRY(call)                \
    do {                         \
        Code try_code_ = (call); \
        if (try_code_ != OK)     \
            return try_code_;    \
    } while (0)

/* Cleanup by scope: CLEANUP(buffer_done) Buffer b = {0}; — the function takes a pointer to the
 * variable. */
#define CLEANUP(function) __attribute__((cleanup(function)))
/* Moves a pointer out of its variable, which becomes NULL. */
#define TAKE(pointer)                           \
    __extension__({                             \
        __typeof__(pointer) taken_ = (pointer); \
        (pointer) = NULL;                       \
        taken_;                                 \
    })
