/* SPDX-License-Identifier: Apache-2.0
 *
 * A line is built in memory and leaves with one write(2), so no lock is needed. A value longer than
 * VALUE_BYTES_MAX is cut, never the form of the line. Bytes that are not UTF-8 become '?'.
 */
#include "os/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "os/clock.h"

enum { VALUE_BYTES_MAX = 4096 };

/* Relaxed: a line that just misses a change of settings is no harm. */
static atomic_int level_now = LOG_LEVEL_INFO;
static atomic_int format_now = LOG_FORMAT_AUTO;
static atomic_int descriptor_now = STDERR_FILENO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_set(LogLevel level, LogFormat format)
{
    atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
    atomic_store_explicit(&format_now, (int)format, memory_order_relaxed);
}

void log_set_descriptor(int descriptor)
{
    atomic_store_explicit(&descriptor_now, descriptor, memory_order_relaxed);
}

static bool is_written(LogLevel level)
{
    return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool log_level_of(Slice word, LogLevel *out_level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++) {
        if (slice_equal_ignoring_case(word, slice_of_text(level_names[i]))) {
            *out_level = (LogLevel)i;
            return true;
        }
    }
    if (slice_equal_ignoring_case(word, SLICE("trace"))) {
        *out_level = LOG_LEVEL_DEBUG;
        return true;
    }
    return false;
}

/* Escapes as JSON does; in the text form it keeps a value on its line and inside its quotes. */
static void add_escaped(Buffer *line, Slice text)
{
    bool valid = slice_is_utf8(text);
    size_t size = text.size < VALUE_BYTES_MAX ? text.size : VALUE_BYTES_MAX;
    while (valid && size < text.size && size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80)
        size--;
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '"' || c == '\\')
            buffer_printf(line, "\\%c", c);
        else if (c == '\n')
            buffer_add_text(line, "\\n");
        else if (c < 0x20 || c == 0x7F)
            buffer_printf(line, "\\u%04x", c);
        else
            buffer_add_char(line, c >= 0x80 && !valid ? '?' : (char)c);
    }
    if (size < text.size)
        buffer_add_text(line, "...");
}

static void add_quoted(Buffer *line, Slice text)
{
    buffer_add_char(line, '"');
    add_escaped(line, text);
    buffer_add_char(line, '"');
}

static void add_time(Buffer *line)
{
    int64_t now_us = clock_wall_us();
    time_t seconds = (time_t)(now_us / 1000000);
    struct tm t;
    gmtime_r(&seconds, &t);
    buffer_printf(line, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", t.tm_year + 1900, t.tm_mon + 1,
                  t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)(now_us / 1000 % 1000));
}

static void add_json(Buffer *line, LogLevel level, const char *message, const LogField *fields)
{
    buffer_add_text(line, "{\"time\":\"");
    add_time(line);
    buffer_printf(line, "\",\"level\":\"%s\",\"message\":", level_names[level]);
    add_quoted(line, slice_of_text(message));
    for (const LogField *f = fields; f->name; f++) {
        buffer_add_char(line, ',');
        add_quoted(line, slice_of_text(f->name));
        buffer_add_char(line, ':');
        if (f->is_number)
            buffer_printf(line, "%lld", (long long)f->number);
        else
            add_quoted(line, f->text);
    }
    buffer_add_text(line, "}\n");
}

/* Values with nothing odd in them go without quotes: host=127.0.0.1 */
static bool is_plain(Slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c && strchr("_-./:@+,", c));
        if (!plain)
            return false;
    }
    return text.size > 0;
}

static void add_plain(Buffer *line, LogLevel level, const char *message, const LogField *fields)
{
    add_time(line);
    buffer_printf(line, " %-5s ", level_names[level]);
    add_escaped(line, slice_of_text(message));
    for (const LogField *f = fields; f->name; f++) {
        buffer_printf(line, " %s=", f->name);
        if (f->is_number)
            buffer_printf(line, "%lld", (long long)f->number);
        else if (is_plain(f->text))
            add_escaped(line, f->text);
        else
            add_quoted(line, f->text);
    }
    buffer_add_char(line, '\n');
}

void log_write(LogLevel level, const char *message, const LogField *fields)
{
    if (!is_written(level))
        return;
    int descriptor = atomic_load_explicit(&descriptor_now, memory_order_relaxed);
    int format = atomic_load_explicit(&format_now, memory_order_relaxed);
    int errno_before = errno;
    if (format == LOG_FORMAT_AUTO)
        format = isatty(descriptor) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
    CLEANUP(buffer_done) Buffer line = {0};
    if (format == LOG_FORMAT_JSON)
        add_json(&line, level, message, fields);
    else
        add_plain(&line, level, message, fields);
    /* A log that cannot be written is no reason to stop serving. */
    ssize_t put = write(descriptor, line.data, line.size);
    (void)put;
    errno = errno_before;
}
