/* SPDX-License-Identifier: Apache-2.0
 *
 * What libfault.c (calls, counting) and libfault_disk.c (what would survive a power cut) share. All
 * disk_ functions are called with the one lock of libfault.c held, and reach the kernel by system
 * calls of their own, so that nothing here is counted or caught again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum Keep { KEEP_NONE, KEEP_PREFIX, KEEP_TORN, KEEP_ALL } Keep;

/* A file or folder by identity, not by name. */
typedef struct Node Node;

/* Takes what `root` holds as durable. `after` is where a cut writes. */
void disk_start(const char *root, const char *after, Keep keep, uint64_t seed);
/* Removes what was kept aside; for a normal end. */
void disk_stop(void);

/* The node of an open file or folder; `created` says that this open made it. */
Node *disk_opened(int fd, bool created);

/* Before bytes change, then with what came of it: bytes written, or -1 for a failure. */
void disk_before_write(Node *node, int fd, uint64_t offset, size_t bytes);
void disk_after_write(Node *node, ssize_t written);
/* Before a size changes (ftruncate, O_TRUNC, fallocate), then whether it did. */
void disk_before_resize(Node *node, int fd, uint64_t new_bytes);
void disk_after_resize(Node *node, bool done);

/* A sync covers what was written before it started: the mark, and later the sync itself. */
uint64_t disk_sync_mark(Node *node);
void disk_synced(Node *node, int fd, uint64_t mark);

/* Before the name is removed or replaced, then whether it was. */
void disk_before_unname(const char *path);
void disk_after_unname(bool done);

/* Writes the durable state to `after`. */
void disk_cut(void);

/* What a broken assumption of the library itself ends with. */
_Noreturn void fault_die(const char *what, const char *path);
