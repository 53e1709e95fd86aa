/* SPDX-License-Identifier: Apache-2.0 */
#include "os/log.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"
#include "test.h"

static int64_t fixed_time(void)
{
    return 1700000000123456;
}

/* The lines written while `body` ran. */
static Slice lines_of(void (*body)(void), LogLevel level, LogFormat format)
{
    static char lines[16384];
    int ends[2];
    CHECK(pipe(ends) == 0);
    clock_replace(fixed_time, NULL);
    log_set(level, format);
    log_set_descriptor(ends[1]);
    body();
    log_set_descriptor(STDERR_FILENO);
    log_set(LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    clock_replace(NULL, NULL);
    close(ends[1]);
    size_t size = 0;
    ssize_t got;
    while ((got = read(ends[0], lines + size, sizeof lines - size)) > 0)
        size += (size_t)got;
    close(ends[0]);
    return slice_of(lines, size);
}

static void say_fields(void)
{
    log_event(LOG_LEVEL_WARN, "a \"thing\"", LOG_TEXT("host", "127.0.0.1"), LOG_INT("port", -80),
              LOG_TEXT("text", "two\nlines \xff"), LOG_TEXT("empty", ""));
    log_event(LOG_LEVEL_DEBUG, "not written");
}

TEST("a JSON line escapes quotes, line ends and bytes that are not UTF-8")
{
    CHECK_SLICE(lines_of(say_fields, LOG_LEVEL_INFO, LOG_FORMAT_JSON),
                SLICE("{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"message\":"
                      "\"a \\\"thing\\\"\",\"host\":\"127.0.0.1\",\"port\":-80,"
                      "\"text\":\"two\\nlines ?\",\"empty\":\"\"}\n"));
}

TEST("a text line stays one line, and values with spaces are quoted")
{
    CHECK_SLICE(lines_of(say_fields, LOG_LEVEL_WARN, LOG_FORMAT_TEXT),
                SLICE("2023-11-14T22:13:20.123Z warn  a \\\"thing\\\" host=127.0.0.1 port=-80 "
                      "text=\"two\\nlines ?\" empty=\"\"\n"));
}

static void say_error(void)
{
    Error error = {0};
    Code code = fail(&error, E_IO, "read x: gone");
    (void)code;
    log_event(LOG_LEVEL_ERROR, "stopped", LOG_ERROR(&error));
}

TEST("what is not a terminal gets JSON, and an Error becomes two fields")
{
    CHECK_SLICE(lines_of(say_error, LOG_LEVEL_ERROR, LOG_FORMAT_AUTO),
                SLICE("{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"error\",\"message\":"
                      "\"stopped\",\"code\":\"E_IO\",\"error\":\"read x: gone\"}\n"));
}

static void say_long(void)
{
    static char text[20000];
    memset(text, 'a', sizeof text);
    text[0] = 'b'; /* so that a two-byte letter straddles the limit */
    for (size_t i = 1; i + 1 < sizeof text; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    log_event(LOG_LEVEL_INFO, "long", LOG_SLICE("text", slice_of(text, sizeof text)));
}

TEST("a long value is cut between characters and the line stays whole")
{
    Slice line = lines_of(say_long, LOG_LEVEL_INFO, LOG_FORMAT_JSON);
    CHECK(line.size < 5000);
    CHECK(slice_is_utf8(line));
    CHECK(memcmp(line.data + line.size - 6, "...\"}\n", 6) == 0);
}

TEST("level words are those of the settings")
{
    LogLevel level;
    CHECK(log_level_of(SLICE("WARN"), &level) && level == LOG_LEVEL_WARN);
    CHECK(log_level_of(SLICE("trace"), &level) && level == LOG_LEVEL_DEBUG);
    CHECK(!log_level_of(SLICE("loud"), &level));
}

TEST("a line below the level is written")
{
    CHECK_INT(lines_of(say_long, LOG_LEVEL_WARN, LOG_FORMAT_JSON).size, 0);
    CHECK(lines_of(say_error, LOG_LEVEL_WARN, LOG_FORMAT_JSON).size > 0);
}
