/* SPDX-License-Identifier: Apache-2.0
 *
 * How a bench prints a figure, and what it reads of a process: that of the server, of a yardstick.
 */
#pragma once

#include "wire.h"

#include <dirent.h>
#include <time.h>

static inline void line(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static inline void line(const char *name, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%-54s ", name);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* Of all threads of a process since it started. */
static inline double process_seconds(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0)
        die("the processor time of %d: %m", pid);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double process_resident_bytes(pid_t pid)
{
    char name[64], text[128];
    long long all = 0, resident = 0;
    snprintf(name, sizeof name, "/proc/%d/statm", pid);
    FILE *file = fopen(name, "r");
    if (!file || !fgets(text, sizeof text, file) || sscanf(text, "%lld %lld", &all, &resident) != 2)
        die("%s: %m", name);
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* Whether a thread of it runs or waits for a processor or a disk. */
static inline bool process_is_busy(pid_t pid)
{
    char name[300], text[512];
    bool busy = false;
    snprintf(name, sizeof name, "/proc/%d/task", pid);
    DIR *tasks = opendir(name);
    if (!tasks)
        die("%s: %m", name);
    for (struct dirent *task; !busy && (task = readdir(tasks));) {
        snprintf(name, sizeof name, "/proc/%d/task/%s/stat", pid, task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(name, "r");
        const char *end = file && fgets(text, sizeof text, file) ? strrchr(text, ')') : NULL;
        busy = end && (end[2] == 'R' || end[2] == 'D');
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return busy;
}
