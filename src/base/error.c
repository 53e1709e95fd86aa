/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors and assertions. Texts are cut at a character boundary, never in the middle of one.
 */
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    Code code;
    CodeInfo info;
} infos[] = {
#define CODE(name, number, http, retry, wire, kind, meaning) \
    {name, {#name, wire, kind, meaning, http, retry}},
#include "../../spec/errors.def"
#undef CODE
};

const CodeInfo *code_info(Code code)
{
    for (size_t i = 0; i < sizeof infos / sizeof *infos; i++) {
        if (infos[i].code == code)
            return &infos[i].info;
    }
    return &infos[0].info;
}

/* Shortens `text` so that a UTF-8 sequence cut off by the buffer's end disappears. */
static void trim_partial_character(char *text)
{
    size_t size = strlen(text);
    size_t start = size;
    while (start > 0 && size - start < 4 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (size - (start - 1) < want)
        text[start - 1] = 0;
}

static Code fill(Error *e, Code code, uint32_t line, uint32_t column, const char *format,
                 va_list args)
{
    must(code != OK);
    if (!e)
        return code;
    e->code = code;
    e->line = line;
    e->column = column;
    int written = vsnprintf(e->text, sizeof e->text, format, args);
    if (written >= (int)sizeof e->text)
        trim_partial_character(e->text);
    return code;
}

Code fail(Error *e, Code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    Code result = fill(e, code, 0, 0, format, args);
    va_end(args);
    return result;
}

Code fail_at(Error *e, Code code, uint32_t line, uint32_t column, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    Code result = fill(e, code, line, column, format, args);
    va_end(args);
    return result;
}

Code wrap(Error *e, const char *format, ...)
{
    must(e && e->code != OK);
    char text[2 * ERROR_TEXT_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, ERROR_TEXT_BYTES_MAX - 2, format, args);
    va_end(args);
    size_t size = used < 0 ? 0 : strlen(text);
    snprintf(text + size, sizeof text - size, ": %s", e->text);
    memcpy(e->text, text, sizeof e->text - 1);
    e->text[sizeof e->text - 1] = 0;
    trim_partial_character(e->text);
    return e->code;
}

_Noreturn void must_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "kalamdb: broken invariant `%s` at %s:%d\n", condition, file, line);
    abort();
}
