/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and folders, with the durability that callers rely on spelled out. All block: not for loop
 * threads. Thread-safe. Errors carry the path: E_NOT_FOUND (no such file), E_DISK_FULL,
 * E_TOO_LARGE, E_LOCKED, and E_IO for the rest.
 *
 * A file is durable after its own fsync; its name is durable after an fsync of the folder.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/slice.h"

/* The whole file, followed by a zero byte that size does not count. E_TOO_LARGE above
 * `bytes_max`. */
CHECKED Code file_read(const char *path, size_t bytes_max, Arena *arena, Slice *out_bytes,
                       Error *e);
/* Replaces the file by these bytes, durably: after OK the new content survives a power cut, after a
 * failure the old one is still there. `mode` is that of a new file, 0644 or 0600. */
CHECKED Code file_write(const char *path, Slice bytes, unsigned mode, Error *e);
/* Flushes what somebody else wrote (DuckDB's COPY does not) to the disk. */
CHECKED Code file_sync(const char *path, Error *e);
/* Shortens a file, durably. */
CHECKED Code file_cut(const char *path, uint64_t bytes, Error *e);
/* Copies a file to a path that does not exist; its bytes are on disk after OK, its name after
 * file_sync_folder. */
CHECKED Code file_copy(const char *from, const char *to, unsigned mode, Error *e);
/* Renames within one folder and makes the new name durable. */
CHECKED Code file_rename(const char *from, const char *to, Error *e);
/* Removes a file; that it is not there is OK. Durable only after file_sync_folder. */
CHECKED Code file_remove(const char *path, Error *e);
/* Makes the names in a folder durable: files made, renamed and removed in it. */
CHECKED Code file_sync_folder(const char *path, Error *e);
/* Makes the folder and those above it that are missing, durably. */
CHECKED Code file_make_folders(const char *path, unsigned mode, Error *e);
/* Removes a folder that is empty; that it is not there or not empty is OK. */
CHECKED Code file_remove_empty_folder(const char *path, Error *e);
/* Removes whatever is there, folders with all they hold, durably; links are removed and not
 * followed. That nothing is there is OK. E_INVALID_OPERATION when folders are nested deeper than
 * `depth_max`: what is above that is gone then. */
CHECKED Code file_remove_tree(const char *path, int depth_max, Error *e);
CHECKED Code file_size(const char *path, uint64_t *out_bytes, Error *e);
/* Bytes of the disk that a folder lies on. */
CHECKED Code file_space(const char *path, uint64_t *out_total_bytes, Error *e);
/* Bytes of it that this process may still write. */
CHECKED Code file_free_space(const char *path, uint64_t *out_bytes, Error *e);
bool file_exists(const char *path);

typedef struct FileEntry {
    const char *name; /* without its folder */
    bool is_folder;
} FileEntry;

/* What a folder holds, sorted by name, without "." and "..". E_TOO_LARGE above `entries_max`. */
CHECKED Code file_list(const char *path, size_t entries_max, Arena *arena, FileEntry **out_entries,
                       size_t *out_count, Error *e);

/* A lock that ends with the process however it ends. */
typedef struct FileLock FileLock;

/* Takes the lock, making the file if need be, without waiting; E_LOCKED when another holds it. */
CHECKED Code file_lock(const char *path, FileLock **out_lock, Error *e);
/* The same of a file that is there, which need not be writable; else E_NOT_FOUND. */
CHECKED Code file_lock_existing(const char *path, FileLock **out_lock, Error *e);
void file_unlock(FileLock *lock); /* accepts NULL */

/* The fault hook: called before every system call of this file with its name ("open", "write",
 * "fsync", "rename" …); what it returns other than 0 is the errno with which the call fails. NULL
 * removes it. */
typedef int FileFault(const char *operation, const char *path);
void file_set_fault(FileFault *fault);
