/* SPDX-License-Identifier: Apache-2.0 */
#include "api/failure_log.h"

#include <unistd.h>

#include "../test.h"
#include "os/clock.h"
#include "os/log.h"

static int64_t now_us;

static int64_t fake_clock(void)
{
    return now_us;
}

typedef struct Scene {
    FailureLog *log;
    int ends[2];
    int64_t count; /* of what was told */
} Scene;

static void begin(Scene *s)
{
    *s = (Scene){.log = failure_log_new()};
    CHECK(pipe(s->ends) == 0);
    now_us = 1000;
    clock_replace(fake_clock, fake_clock);
    log_set_descriptor(s->ends[1]);
}

static void end(Scene *s)
{
    log_set_descriptor(STDERR_FILENO);
    clock_replace(NULL, NULL);
    close(s->ends[0]);
    close(s->ends[1]);
    CHECK_INT(failure_log_count(s->log), s->count);
    failure_log_free(s->log);
}

static void tell(Scene *s, Code code, const char *text, int number)
{
    Error error = {0};
    CHECK(fail(&error, code, text, number) == code);
    failure_log_tell(s->log, "a request failed", SLICE("ute"), &error);
    s->count++;
}

/* What was written since the last call; a byte of our own stands behind, so that nothing waits. */
static Slice written(const Scene *s)
{
    static char text[65536];
    CHECK(write(s->ends[1], "", 1) == 1);
    ssize_t size = read(s->ends[0], text, sizeof text);
    CHECK(size > 0 && text[size - 1] == 0);
    return slice_of(text, (size_t)size - 1);
}

static int64_t lines(const Scene *s)
{
    Slice text = written(s);
    int64_t count = 0;
    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == '\n';
    return count;
}

static bool holds(Slice text, Slice part)
{
    return memmem(text.data, text.size, part.data, part.size) != NULL;
}

TEST("a full disk that is filled with a line for each refused write")
{
    Scene s;
    begin(&s);
    for (int i = 0; i < 1000; i++)
        tell(&s, E_DISK_FULL, "%d bytes are free", i);
    CHECK_INT(lines(&s), 1);
    now_us += (int64_t)FAILURE_LOG_PAUSE_S * 1000000;
    for (int i = 0; i < 10; i++)
        tell(&s, E_DISK_FULL, "%d bytes are free", i);
    Slice line = written(&s);
    CHECK(holds(line, SLICE("\"code\":\"E_DISK_FULL\",\"error\":\"0 bytes are free\"")));
    CHECK(holds(line, SLICE("\"user\":\"ute\",\"more_since_the_last_line\":999}\n")));
    end(&s);
}

TEST("a failure that hides behind another one, or one that is told without end because it changes")
{
    Scene s;
    begin(&s);
    for (int i = 0; i < 3; i++) {
        tell(&s, E_DISK_FULL, "%d bytes are free", i);
        tell(&s, E_SEGMENT_DAMAGED, "batch-%d.parquet", i % 2);
    }
    CHECK_INT(lines(&s), 3);
    for (int i = 0; i < 1000; i++)
        tell(&s, E_INTERNAL, "number %d", i);
    CHECK_INT(lines(&s), FAILURE_LOG_CAUSES_MAX - 3);
    now_us += (int64_t)FAILURE_LOG_PAUSE_S * 1000000;
    tell(&s, E_INTERNAL, "number %d", 1000);
    tell(&s, E_SEGMENT_DAMAGED, "batch-%d.parquet", 2);
    CHECK_INT(lines(&s), 2);
    end(&s);
}
