/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel's memory of the tables in a folder, for tests of reads that may not wait.
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../test.h"

/* Calls `each` with every table of the folder, open to read. */
static inline void each_table(const char *folder, void (*each)(int file, void *context),
                              void *context)
{
    DIR *listed = opendir(folder);
    CHECK(listed);
    for (struct dirent *entry; (entry = readdir(listed));) {
        char path[1024];
        if (!strstr(entry->d_name, ".sst"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        int file = open(path, O_RDONLY | O_CLOEXEC);
        CHECK(file >= 0);
        each(file, context);
        close(file);
    }
    closedir(listed);
}

static inline void drop_file(int file, void *context)
{
    (void)context;
    CHECK_INT(posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
}

/* Not for sure: a read that was refused makes the kernel fetch the page, and it comes any time. */
static inline void drop_page_cache(const char *folder)
{
    each_table(folder, drop_file, NULL);
}

static inline void ask_file(int file, void *context)
{
    char byte;
    struct iovec into = {&byte, 1};
    CHECK_INT(pread(file, &byte, 1, 0), 1);
    *(bool *)context &= preadv2(file, &into, 1, 0, RWF_NOWAIT) == 1;
}

/* Whether the file system tells what is in memory; tmpfs does not. */
static inline bool page_cache_tells(const char *folder)
{
    bool tells = true;
    each_table(folder, ask_file, &tells);
    return tells;
}
