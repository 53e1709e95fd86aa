/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads tests/live/\*.spec and makes a test of each `test` in them.
 */
#include "spec.h"

#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPECS_MAX = 200, LINES_MAX = 400, LINE_BYTES_MAX = 1000 };

static Spec specs[SPECS_MAX];
static size_t spec_total;

void spec_run(void);

const Spec *spec_of(const char *name)
{
    for (size_t i = 0; i < spec_total; i++) {
        if (strcmp(specs[i].name, name) == 0)
            return &specs[i];
    }
    return NULL;
}

size_t spec_count(void)
{
    return spec_total;
}

void spec_failed(const Spec *spec, const SpecLine *line, const char *format, ...)
{
    char text[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    test_failed(spec->file, line->number, "%s%s%s: %s", line->who,
                line->kind == SPEC_SEND     ? "> "
                : line->kind == SPEC_EXPECT ? "< "
                                            : "",
                line->text, text);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

Slice spec_word(const char **io_text)
{
    const char *at = *io_text;
    while (is_blank(*at))
        at++;
    const char *start = at;
    while (*at && !is_blank(*at))
        at++;
    *io_text = at;
    while (is_blank(**io_text))
        ++*io_text;
    return slice_of(start, (size_t)(at - start));
}

_Noreturn static void refuse(const char *file, int number, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, number, what);
    exit(2);
}

static char *trimmed(const char *text)
{
    while (is_blank(*text))
        text++;
    size_t size = strlen(text);
    while (size && is_blank(text[size - 1]))
        size--;
    return x_text(slice_of(text, size));
}

/* "anna> SELECT 1": the sign ends the first word. */
static SpecLine line_of(const char *text, int number)
{
    const char *rest = text;
    Slice first = spec_word(&rest);
    char sign = first.size > 1 ? first.data[first.size - 1] : 0;
    SpecLine line = {.kind = SPEC_DO, .number = number};
    if (sign != '>' && sign != '<') {
        line.who = x_text((Slice){0});
        line.text = trimmed(text);
        return line;
    }
    line.kind = sign == '>' ? SPEC_SEND : SPEC_EXPECT;
    line.who = x_text(slice_of(first.data, first.size - 1));
    line.text = trimmed(rest);
    return line;
}

static void add_line(Spec *spec, SpecLine line)
{
    if (spec->line_count == LINES_MAX)
        refuse(spec->file, line.number, "too many lines");
    spec->lines[spec->line_count++] = line;
}

static void begin_spec(Spec *spec, const char *file, const char *name)
{
    *spec = (Spec){.file = x_text(slice_of_text(file)), .name = trimmed(name)};
    spec->lines = x_new_array(SpecLine, LINES_MAX);
}

static Spec *begin_test(const char *file, int number, const char *name, const Spec *setup)
{
    if (spec_total == SPECS_MAX)
        refuse(file, number, "too many tests");
    Spec *spec = &specs[spec_total++];
    begin_spec(spec, file, name);
    for (size_t i = 0; i < setup->line_count; i++)
        add_line(spec, setup->lines[i]);
    test_register(spec->file, spec->name, spec_run);
    return spec;
}

static void read_file(const char *file)
{
    FILE *in = fopen(file, "r");
    CHECK(in);
    char text[LINE_BYTES_MAX];
    Spec setup, *spec = &setup;
    begin_spec(&setup, file, "setup");
    for (int number = 1; fgets(text, sizeof text, in); number++) {
        const char *rest = text;
        if (!strchr(text, '\n'))
            refuse(file, number, "the line is too long or does not end");
        Slice first = spec_word(&rest);
        if (first.size == 0 || first.data[0] == '#')
            continue;
        if (!is_blank(text[0]) && slice_equal(first, SLICE("test")))
            spec = begin_test(file, number, rest, &setup);
        else if (!is_blank(text[0]) && !slice_equal(first, SLICE("setup")))
            refuse(file, number, "`setup` or `test` begins here, and other lines are indented");
        else if (is_blank(text[0]))
            add_line(spec, line_of(text, number));
    }
    fclose(in);
    free(setup.file); /* the texts of its lines are its tests' */
    free(setup.name);
    free(setup.lines);
}

__attribute__((constructor)) static void read_all(void)
{
    glob_t files;
    if (glob("tests/live/*.spec", 0, NULL, &files) != 0)
        return;
    for (size_t i = 0; i < files.gl_pathc; i++)
        read_file(files.gl_pathv[i]);
    globfree(&files);
}
