/* SPDX-License-Identifier: Apache-2.0
 *
 * Single files: bounded reads, and writes that either happen durably or not at all.
 *
 * A write goes to a temporary name in the same folder, is synced, renamed over the old file, and
 * then the folder is synced. A crash leaves at most a "*.tmp" file, which the next write replaces.
 * A failed fsync is never retried: the kernel may have dropped the pages and would say yes the
 * second time.
 */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buffer.h"
#include "os/os_int.h"

static _Atomic(FileFault *) fault_hook;

void file_set_fault(FileFault *fault)
{
    atomic_store(&fault_hook, fault);
}

bool file__fault(const char *operation, const char *path)
{
    FileFault *hook = atomic_load(&fault_hook);
    int number = hook ? hook(operation, path) : 0;
    if (number == 0)
        return false;
    errno = number;
    return true;
}

Code file__failed(Error *e, const char *operation, const char *path)
{
    int number = errno;
    Code code = E_IO;
    if (number == ENOENT || number == ENOTDIR)
        code = E_NOT_FOUND;
    else if (number == ENOSPC || number == EDQUOT)
        code = E_DISK_FULL;
    else if (number == EEXIST)
        code = E_ALREADY_EXISTS;
    return fail(e, code, "%s %s: %s", operation, path, strerror(number));
}

static void close_descriptor(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

static Code open_file(const char *path, int flags, unsigned mode, int *out_descriptor, Error *e)
{
    int descriptor = -1;
    if (!file__fault("open", path)) {
        do
            descriptor = open(path, flags | O_CLOEXEC, (mode_t)mode);
        while (descriptor < 0 && errno == EINTR);
    }
    if (descriptor < 0)
        return file__failed(e, "open", path);
    *out_descriptor = descriptor;
    return OK;
}

static Code sync_descriptor(int descriptor, const char *path, Error *e)
{
    if (file__fault("fsync", path) || fsync(descriptor) != 0)
        return file__failed(e, "fsync", path);
    return OK;
}

/* Of one that asks for nothing, so that it says only whether it may be asked. */
static bool has_pieces(int descriptor, const char *path)
{
    return !file__fault("sync_file_range", path) && sync_file_range(descriptor, 0, 1, 0) == 0;
}

/* A sync of much at once keeps the disk busy for all of it, and the sync of the log, for which
 * statements wait, stands behind. So the bytes go out a piece at a time before: it gets in between.
 * Whatever fails there is as final as a failed sync, for the kernel tells of it once, and with the
 * disk's own number: EINVAL and EOPNOTSUPP may say that bytes are lost. */
static Code sync_piece_by_piece(int descriptor, const char *path, Error *e)
{
    enum { PIECE_BYTES = 1024 * 1024 };
    const unsigned how =
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    off_t size = has_pieces(descriptor, path) ? lseek(descriptor, 0, SEEK_END) : 0;
    for (off_t at = 0; at < size; at += PIECE_BYTES) {
        if (file__fault("sync_file_range", path) ||
            sync_file_range(descriptor, at, PIECE_BYTES, how) != 0)
            return file__failed(e, "sync_file_range", path);
    }
    return sync_descriptor(descriptor, path, e);
}

Code file_read(const char *path, size_t bytes_max, Arena *arena, Slice *out_bytes, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, O_RDONLY, 0, &descriptor, e));
    CLEANUP(buffer_done) Buffer bytes = {0};
    enum { PIECE_BYTES = 64 * 1024 };
    for (;;) {
        char *at = buffer_reserve(&bytes, PIECE_BYTES);
        ssize_t got = file__fault("read", path) ? -1 : read(descriptor, at, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file__failed(e, "read", path);
        if (got == 0)
            break;
        bytes.size += (size_t)got;
        if (bytes.size > bytes_max)
            return fail(e, E_TOO_LARGE, "read %s: more than %zu bytes", path, bytes_max);
    }
    *out_bytes = arena_copy(arena, buffer_slice(&bytes));
    return OK;
}

static Code write_all(int descriptor, const char *path, Slice bytes, Error *e)
{
    while (bytes.size > 0) {
        ssize_t put = file__fault("write", path) ? -1 : write(descriptor, bytes.data, bytes.size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return file__failed(e, "write", path);
        bytes = slice_of(bytes.data + put, bytes.size - (size_t)put);
    }
    return OK;
}

/* The folder part of a path: "." when it has none. */
static void folder_of(const char *path, Buffer *out_folder)
{
    const char *slash = strrchr(path, '/');
    buffer_clear(out_folder);
    if (!slash)
        buffer_add_text(out_folder, ".");
    else
        buffer_add(out_folder, path, slash == path ? 1 : (size_t)(slash - path));
    buffer_add_u8(out_folder, 0);
}

static Code sync_folder_of(const char *path, Error *e)
{
    CLEANUP(buffer_done) Buffer folder = {0};
    folder_of(path, &folder);
    return file_sync_folder(folder.data, e);
}

static Code write_synced(const char *path, Slice bytes, unsigned mode, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, mode, &descriptor, e));
    TRY(write_all(descriptor, path, bytes, e));
    return sync_descriptor(descriptor, path, e);
}

Code file_write(const char *path, Slice bytes, unsigned mode, Error *e)
{
    CLEANUP(buffer_done) Buffer temporary = {0};
    buffer_printf(&temporary, "%s.tmp", path);
    buffer_add_u8(&temporary, 0);
    Code code = write_synced(temporary.data, bytes, mode, e);
    if (code == OK)
        code = file_rename(temporary.data, path, e);
    if (code != OK)
        unlink(temporary.data); /* what stays is harmless: the next write replaces it */
    return code;
}

static Code copy_bytes(int from, int to, const char *from_path, const char *to_path, Error *e)
{
    enum { PIECE_BYTES = 256 * 1024 };
    CLEANUP(buffer_done) Buffer room = {0};
    char *bytes = buffer_reserve(&room, PIECE_BYTES);
    for (;;) {
        ssize_t got = file__fault("read", from_path) ? -1 : read(from, bytes, PIECE_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file__failed(e, "read", from_path);
        if (got == 0)
            return OK;
        TRY(write_all(to, to_path, slice_of(bytes, (size_t)got), e));
    }
}

Code file_copy(const char *from, const char *to, unsigned mode, Error *e)
{
    CLEANUP(close_descriptor) int source = -1;
    CLEANUP(close_descriptor) int target = -1;
    TRY(open_file(from, O_RDONLY, 0, &source, e));
    TRY(open_file(to, O_WRONLY | O_CREAT | O_EXCL, mode, &target, e));
    TRY(copy_bytes(source, target, from, to, e));
    return sync_piece_by_piece(target, to, e);
}

Code file_cut(const char *path, uint64_t bytes, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, O_WRONLY, 0, &descriptor, e));
    if (file__fault("ftruncate", path) || ftruncate(descriptor, (off_t)bytes) != 0)
        return file__failed(e, "shorten", path);
    return sync_descriptor(descriptor, path, e);
}

Code file_sync(const char *path, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, O_RDONLY, 0, &descriptor, e));
    return sync_piece_by_piece(descriptor, path, e);
}

Code file_rename(const char *from, const char *to, Error *e)
{
    if (file__fault("rename", from) || rename(from, to) != 0)
        return file__failed(e, "rename", from);
    return sync_folder_of(to, e);
}

Code file_remove(const char *path, Error *e)
{
    if (!file__fault("unlink", path) && unlink(path) == 0)
        return OK;
    return errno == ENOENT ? OK : file__failed(e, "unlink", path);
}

Code file_sync_folder(const char *path, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, O_RDONLY | O_DIRECTORY, 0, &descriptor, e));
    return sync_descriptor(descriptor, path, e);
}

Code file_size(const char *path, uint64_t *out_bytes, Error *e)
{
    struct stat st;
    if (file__fault("stat", path) || stat(path, &st) != 0)
        return file__failed(e, "stat", path);
    *out_bytes = (uint64_t)st.st_size;
    return OK;
}

Code file_space(const char *path, uint64_t *out_total_bytes, Error *e)
{
    struct statvfs st;
    if (file__fault("statvfs", path) || statvfs(path, &st) != 0)
        return file__failed(e, "statvfs", path);
    *out_total_bytes = (uint64_t)st.f_blocks * st.f_frsize;
    return OK;
}

Code file_free_space(const char *path, uint64_t *out_bytes, Error *e)
{
    struct statvfs st;
    if (file__fault("statvfs", path) || statvfs(path, &st) != 0)
        return file__failed(e, "statvfs", path);
    *out_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return OK;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

struct FileLock {
    int descriptor;
};

static Code lock(const char *path, int flags, FileLock **out_lock, Error *e)
{
    CLEANUP(close_descriptor) int descriptor = -1;
    TRY(open_file(path, flags, 0644, &descriptor, e));
    if (file__fault("flock", path) || flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return fail(e, E_LOCKED, "%s is locked by another process", path);
        return file__failed(e, "flock", path);
    }
    FileLock *held = x_new(FileLock);
    held->descriptor = descriptor;
    descriptor = -1;
    *out_lock = held;
    return OK;
}

Code file_lock(const char *path, FileLock **out_lock, Error *e)
{
    return lock(path, O_RDWR | O_CREAT, out_lock, e);
}

Code file_lock_existing(const char *path, FileLock **out_lock, Error *e)
{
    return lock(path, O_RDONLY, out_lock, e);
}

void file_unlock(FileLock *lock)
{
    if (!lock)
        return;
    close(lock->descriptor);
    free(lock);
}
