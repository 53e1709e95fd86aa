/* SPDX-License-Identifier: Apache-2.0
 *
 * The preloaded disk: wraps the calls of libc that change files, counts those below
 * KALAM_FAULT_DIR, fails, shortens, delays or cuts at the one asked for, and tells libfault_disk.c
 * what became of the others. README.md lists the environment variables.
 *
 * Everything reaches the kernel by syscall(2), never by another wrapped function. One lock orders
 * all calls on watched files; calls on other files and on sockets take no lock.
 */
#include "libfault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { DESCRIPTORS_MAX = 1 << 20, PATH_BYTES = 4096, EXIT_CUT = 137 };

typedef enum Mode { MODE_COUNT, MODE_FAIL, MODE_SHORT, MODE_DELAY, MODE_CUT } Mode;

/* What is known of an open watched file. */
typedef struct File {
    Node *node;
    bool synced_writes; /* O_SYNC or O_DSYNC */
    bool appends;
    char path[];
} File;

static File *_Atomic files[DESCRIPTORS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct {
    bool on, may_cut, real_sync;
    char root[PATH_BYTES];
    size_t root_bytes;
    Mode mode;
    uint64_t at, times, every, count;
    int error;
    unsigned delay_us;
    int log; /* descriptor or -1 */
    bool armed;
    const char *arm, *during, *operations, *part;
} fault = {.log = -1};

static sem_t cut_asked;

_Noreturn void fault_die(const char *what, const char *path)
{
    fprintf(stderr, "libfault: %s: %s (%s)\n", what, path, strerror(errno));
    _exit(99);
}

/* ---- Paths ---- */

/* Takes "." and ".." and double slashes out of an absolute path. */
static void normalize(char *path)
{
    char *out = path;
    for (char *in = path; *in;) {
        while (*in == '/')
            in++;
        size_t size = strcspn(in, "/");
        if (size == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/')
                ;
        } else if (size > 0 && !(size == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, size);
            out += size;
        }
        in += size;
    }
    if (out == path)
        *out++ = '/';
    *out = 0;
}

/* The absolute form; false when the path is none that could be watched. */
static bool absolute(int folder, const char *path, char out[PATH_BYTES])
{
    char base[PATH_BYTES] = "";
    if (!path)
        return false;
    if (path[0] != '/' && folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, base, sizeof base) < 0)
            return false;
    } else if (path[0] != '/') {
        char self[64];
        snprintf(self, sizeof self, "/proc/self/fd/%d", folder);
        ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, self, base, sizeof base - 1);
        if (size < 0)
            return false;
        base[size] = 0;
    }
    if (snprintf(out, PATH_BYTES, "%s/%s", base, path) >= PATH_BYTES)
        return false;
    normalize(out);
    return true;
}

static bool watched(int folder, const char *path, char out[PATH_BYTES])
{
    int before = errno;
    bool is = fault.on && absolute(folder, path, out) &&
              strncmp(out, fault.root, fault.root_bytes) == 0 &&
              (out[fault.root_bytes] == '/' || out[fault.root_bytes] == 0);
    errno = before;
    return is;
}

/* ---- Counting ---- */

static bool is_listed(const char *list, const char *word)
{
    size_t size = strlen(word);
    while (*list) {
        size_t piece = strcspn(list, ",");
        if (piece == size && strncmp(list, word, size) == 0)
            return true;
        list += piece + (list[piece] == ',');
    }
    return false;
}

static bool counts(const char *operation, const char *path)
{
    if (!fault.armed && fault.arm)
        fault.armed = syscall(SYS_faccessat, AT_FDCWD, fault.arm, F_OK) == 0;
    else
        fault.armed = true;
    return fault.armed && (!fault.operations || is_listed(fault.operations, operation)) &&
           (!fault.part || strstr(path, fault.part));
}

static void log_call(const char *operation, const char *path, size_t bytes)
{
    char line[PATH_BYTES + 128];
    int size = snprintf(line, sizeof line, "%llu %s %zu %s\n", (unsigned long long)fault.count,
                        operation, bytes, path);
    syscall(SYS_write, fault.log, line, (size_t)size);
}

_Noreturn static void cut(void)
{
    disk_cut();
    syscall(SYS_exit_group, EXIT_CUT);
    for (;;)
        pause();
}

typedef enum Verdict { GO, FAIL, SHORTEN } Verdict;

/* The lock is held, but not meanwhile: one slow call does not stop the others. */
static void delay(void)
{
    struct timespec time = {.tv_sec = fault.delay_us / 1000000,
                            .tv_nsec = (long)(fault.delay_us % 1000000) * 1000};
    pthread_mutex_unlock(&lock);
    nanosleep(&time, NULL);
    pthread_mutex_lock(&lock);
}

/* Counts one call, with the lock held. FAIL: errno is set. */
static Verdict judge(const char *operation, const char *path, size_t bytes)
{
    if (!counts(operation, path))
        return GO;
    fault.count++;
    if (fault.log >= 0)
        log_call(operation, path, bytes);
    bool hit = fault.at > 0 && fault.count >= fault.at &&
               (fault.count - fault.at) % fault.every == 0 &&
               (fault.times == 0 || (fault.count - fault.at) / fault.every < fault.times) &&
               (!fault.during || syscall(SYS_faccessat, AT_FDCWD, fault.during, F_OK) == 0);
    if (!hit || fault.mode == MODE_COUNT)
        return GO;
    if (fault.mode == MODE_CUT)
        cut();
    if (fault.mode == MODE_SHORT)
        return SHORTEN;
    if (fault.delay_us)
        delay();
    if (fault.mode == MODE_DELAY)
        return GO;
    errno = fault.error;
    return FAIL;
}

/* ---- Open and close ---- */

/* NULL also when the number was closed behind our back, as fclose does, and is a socket now. */
static File *file_of(int fd)
{
    File *file = fd >= 0 && fd < DESCRIPTORS_MAX ? atomic_load(&files[fd]) : NULL;
    if (!file)
        return NULL;
    struct stat st;
    int number = errno;
    bool is_file = fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    errno = number;
    return is_file ? file : NULL;
}

static void set_file(int fd, File *file)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        free(atomic_exchange(&files[fd], file));
    else
        free(file);
}

static void remember(int fd, const char *path, int flags, bool created)
{
    size_t bytes = strlen(path) + 1;
    File *file = malloc(sizeof *file + bytes);
    if (!file)
        fault_die("out of memory", path);
    file->node = fault.may_cut ? disk_opened(fd, created) : NULL;
    file->synced_writes = (flags & (O_SYNC | O_DSYNC)) != 0;
    file->appends = (flags & O_APPEND) != 0;
    memcpy(file->path, path, bytes);
    set_file(fd, file);
}

/* O_TRUNC is done as an open and a change of size, so that it can be undone. */
static int open_locked(const char *path, int flags, mode_t mode)
{
    struct stat st;
    bool exists = lstat(path, &st) == 0;
    bool creates = (flags & O_CREAT) && !exists && (flags & O_TMPFILE) != O_TMPFILE;
    bool truncates =
        (flags & O_TRUNC) && exists && S_ISREG(st.st_mode) && st.st_size > 0 && !(flags & O_EXCL);
    if ((creates || truncates) && judge("open", path, 0) == FAIL)
        return -1;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, truncates ? flags & ~O_TRUNC : flags, mode);
    if (fd < 0)
        return -1;
    remember(fd, path, flags, creates);
    if (truncates) {
        Node *node = file_of(fd)->node;
        disk_before_resize(node, fd, 0);
        disk_after_resize(node, syscall(SYS_ftruncate, fd, 0L) == 0);
    }
    return fd;
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    char full[PATH_BYTES];
    int fd;
    if (watched(folder, path, full)) {
        pthread_mutex_lock(&lock);
        fd = open_locked(full, flags, mode);
        int number = errno;
        pthread_mutex_unlock(&lock);
        errno = number;
        return fd;
    }
    fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    if (fault.on && file_of(fd)) /* the number was closed behind our back */
        set_file(fd, NULL);
    return fd;
}

#define MODE_ARGUMENT(flags)               \
    mode_t mode = 0;                       \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list args;                      \
        va_start(args, flags);             \
        mode = va_arg(args, mode_t);       \
        va_end(args);                      \
    }

EXPORT int open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags)
    return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int folder, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags)
    return open_any(folder, path, flags, mode);
}

EXPORT int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* What glibc's headers turn an open without a mode into, when a program is built with checks. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __openat_2(int folder, const char *path, int flags);
EXPORT int __openat_2(int folder, const char *path, int flags)
{
    return open_any(folder, path, flags, 0);
}

EXPORT int close(int fd)
{
    if (file_of(fd)) {
        pthread_mutex_lock(&lock);
        set_file(fd, NULL);
        pthread_mutex_unlock(&lock);
    }
    return (int)syscall(SYS_close, fd);
}

/* ---- Bytes ---- */

enum { AT_POSITION = -1 }; /* write and writev: where the descriptor stands */

static ssize_t write_raw(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (offset == AT_POSITION)
        return syscall(SYS_writev, fd, parts, count);
    return syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
}

static uint64_t write_offset(int fd, const File *file, off_t offset)
{
    if (offset != AT_POSITION)
        return (uint64_t)offset;
    struct stat st;
    if (file->appends && fstat(fd, &st) == 0)
        return (uint64_t)st.st_size;
    return (uint64_t)syscall(SYS_lseek, fd, 0L, SEEK_CUR);
}

static ssize_t write_watched(int fd, File *file, const struct iovec *parts, int count, off_t offset)
{
    size_t bytes = 0;
    for (int i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    Verdict verdict = judge("write", file->path, bytes);
    if (verdict == FAIL)
        return -1;
    struct iovec half = {.iov_base = parts[0].iov_base, .iov_len = parts[0].iov_len / 2};
    if (verdict == SHORTEN && half.iov_len > 0) {
        parts = &half;
        count = 1;
        bytes = half.iov_len;
    }
    disk_before_write(file->node, fd, write_offset(fd, file, offset), bytes);
    ssize_t written = write_raw(fd, parts, count, offset);
    int number = errno;
    disk_after_write(file->node, written);
    if (written > 0 && file->synced_writes)
        disk_synced(file->node, fd, disk_sync_mark(file->node));
    errno = number;
    return written;
}

static ssize_t write_any(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (!file_of(fd) || count < 1)
        return write_raw(fd, parts, count, offset);
    pthread_mutex_lock(&lock);
    ssize_t written = write_watched(fd, file_of(fd), parts, count, offset);
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return written;
}

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    if (!file_of(fd))
        return syscall(SYS_write, fd, bytes, size);
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    return write_any(fd, &part, 1, AT_POSITION);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (!file_of(fd) || offset < 0)
        return syscall(SYS_pwrite64, fd, bytes, size, offset);
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = size};
    return write_any(fd, &part, 1, offset);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    return write_any(fd, parts, count, AT_POSITION);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return write_any(fd, parts, count, offset);
}

static int resize(int fd, off_t size)
{
    pthread_mutex_lock(&lock);
    File *file = file_of(fd);
    int status = -1;
    if (judge("truncate", file->path, (size_t)size) != FAIL) {
        disk_before_resize(file->node, fd, (uint64_t)size);
        status = (int)syscall(SYS_ftruncate, fd, size);
        disk_after_resize(file->node, status == 0);
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int ftruncate(int fd, off_t size)
{
    return file_of(fd) ? resize(fd, size) : (int)syscall(SYS_ftruncate, fd, size);
}

EXPORT int truncate(const char *path, off_t size)
{
    char full[PATH_BYTES];
    if (!watched(AT_FDCWD, path, full))
        return (int)syscall(SYS_truncate, path, size);
    int fd = open_any(AT_FDCWD, full, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int status = resize(fd, size), number = errno;
    close(fd);
    errno = number;
    return status;
}

static int allocate(int fd, int mode, off_t offset, off_t size)
{
    pthread_mutex_lock(&lock);
    File *file = file_of(fd);
    struct stat st;
    int status = -1;
    if (judge("allocate", file->path, (size_t)size) != FAIL && fstat(fd, &st) == 0) {
        off_t end =
            (mode & FALLOC_FL_KEEP_SIZE) || offset + size < st.st_size ? st.st_size : offset + size;
        disk_before_resize(file->node, fd, (uint64_t)end);
        status = (int)syscall(SYS_fallocate, fd, mode, offset, size);
        disk_after_resize(file->node, status == 0);
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t size)
{
    if (!file_of(fd))
        return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    return allocate(fd, mode, offset, size);
}

EXPORT int posix_fallocate(int fd, off_t offset, off_t size)
{
    int before = errno;
    int status = file_of(fd) ? allocate(fd, 0, offset, size)
                             : (int)syscall(SYS_fallocate, fd, 0, offset, size);
    int number = status == 0 ? 0 : errno;
    errno = before;
    return number;
}

/* ---- Sync ---- */

static int sync_any(int fd, long call)
{
    if (!file_of(fd))
        return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    File *file = file_of(fd);
    int status = -1;
    if (judge("fsync", file->path, 0) != FAIL) {
        uint64_t mark = disk_sync_mark(file->node);
        status = 0;
        if (fault.real_sync) {
            pthread_mutex_unlock(&lock); /* writes go on while the disk works */
            status = (int)syscall(call, fd);
            pthread_mutex_lock(&lock);
        }
        if (status == 0)
            disk_synced(file->node, fd, mark);
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int fsync(int fd)
{
    return sync_any(fd, SYS_fsync);
}

EXPORT int fdatasync(int fd)
{
    return sync_any(fd, SYS_fdatasync);
}

/* Makes nothing durable: it starts writing, and says nothing of sizes and the disk's own cache.
 * Without flags it only asks the kernel whether it can: no disk is asked, so none refuses, and
 * RocksDB aborts when one seems to. */
EXPORT int sync_file_range(int fd, off64_t offset, off64_t size, unsigned flags)
{
    const File *file = flags ? file_of(fd) : NULL;
    if (!file)
        return (int)syscall(SYS_sync_file_range, fd, offset, size, flags);
    pthread_mutex_lock(&lock);
    int status = judge("range", file->path, (size_t)size) == FAIL ? -1 : 0;
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

/* ---- Names ---- */

static int rename_any(int from_folder, const char *from, int to_folder, const char *to,
                      unsigned flags)
{
    char full_from[PATH_BYTES], full_to[PATH_BYTES];
    bool is_from = watched(from_folder, from, full_from), is_to = watched(to_folder, to, full_to);
    if (!is_from && !is_to)
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int status = -1;
    if (judge("rename", is_to ? full_to : full_from, 0) != FAIL) {
        if (is_to && !flags)
            disk_before_unname(full_to);
        status = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
        if (is_to && !flags)
            disk_after_unname(status == 0);
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int rename(const char *from, const char *to)
{
    return rename_any(AT_FDCWD, from, AT_FDCWD, to, 0);
}

EXPORT int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return rename_any(from_folder, from, to_folder, to, 0);
}

EXPORT int renameat2(int from_folder, const char *from, int to_folder, const char *to,
                     unsigned flags)
{
    return rename_any(from_folder, from, to_folder, to, flags);
}

EXPORT int unlinkat(int folder, const char *path, int flags)
{
    char full[PATH_BYTES];
    if (!watched(folder, path, full))
        return (int)syscall(SYS_unlinkat, folder, path, flags);
    pthread_mutex_lock(&lock);
    int status = -1;
    if (judge(flags & AT_REMOVEDIR ? "rmdir" : "unlink", full, 0) != FAIL) {
        disk_before_unname(full);
        status = (int)syscall(SYS_unlinkat, AT_FDCWD, full, flags);
        int number = errno;
        disk_after_unname(status == 0);
        errno = number;
    }
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

EXPORT int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

EXPORT int remove(const char *path)
{
    struct stat st;
    bool is_folder = lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
    return unlinkat(AT_FDCWD, path, is_folder ? AT_REMOVEDIR : 0);
}

EXPORT int mkdirat(int folder, const char *path, mode_t mode)
{
    char full[PATH_BYTES];
    if (!watched(folder, path, full))
        return (int)syscall(SYS_mkdirat, folder, path, mode);
    pthread_mutex_lock(&lock);
    int status = -1;
    if (judge("mkdir", full, 0) != FAIL)
        status = (int)syscall(SYS_mkdirat, AT_FDCWD, full, mode);
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

EXPORT int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    char full[PATH_BYTES];
    if (!watched(to_folder, to, full))
        return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int status = -1;
    if (judge("link", full, 0) != FAIL)
        status = (int)syscall(SYS_linkat, from_folder, from, AT_FDCWD, full, flags);
    int number = errno;
    pthread_mutex_unlock(&lock);
    errno = number;
    return status;
}

EXPORT int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* The names of large-file programs; off_t has 64 bits in all that we build. */
#define ALIAS(name, of) EXPORT extern __typeof__(of) name __attribute__((alias(#of)))
ALIAS(open64, open);
ALIAS(openat64, openat);
ALIAS(creat64, creat);
ALIAS(__open64_2, __open_2);
ALIAS(__openat64_2, __openat_2);
ALIAS(pwrite64, pwrite);
ALIAS(pwritev64, pwritev);
ALIAS(ftruncate64, ftruncate);
ALIAS(truncate64, truncate);
ALIAS(fallocate64, fallocate);
ALIAS(posix_fallocate64, posix_fallocate);

/* ---- Start ---- */

static void ask_for_cut(int number)
{
    (void)number;
    sem_post(&cut_asked);
}

/* A signal handler may not take locks: it wakes this thread, which may. */
static void *wait_for_cut(void *unused)
{
    (void)unused;
    while (sem_wait(&cut_asked) != 0)
        ;
    pthread_mutex_lock(&lock);
    cut();
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static int word_of(const char *name, const char *const *words, int count)
{
    const char *text = getenv(name);
    if (!text || !*text)
        return 0;
    for (int i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return i;
    }
    fault_die("a value is not known", name);
}

static void read_settings(void)
{
    static const char *const modes[] = {"count", "fail", "short", "delay", "cut"};
    static const char *const errors[] = {"EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE"};
    static const int numbers[] = {EIO, ENOSPC, EDQUOT, EROFS, EMFILE};
    fault.mode = (Mode)word_of("KALAM_FAULT_MODE", modes, 5);
    fault.error = numbers[word_of("KALAM_FAULT_ERRNO", errors, 5)];
    fault.at = number_of("KALAM_FAULT_AT", 0);
    fault.times = number_of("KALAM_FAULT_TIMES", 1);
    fault.delay_us =
        (unsigned)number_of("KALAM_FAULT_DELAY_US", fault.mode == MODE_DELAY ? 1000 : 0);
    fault.operations = getenv("KALAM_FAULT_OPS");
    fault.part = getenv("KALAM_FAULT_PATH");
    fault.arm = getenv("KALAM_FAULT_ARM");
    fault.during = getenv("KALAM_FAULT_DURING");
    fault.every = number_of("KALAM_FAULT_EVERY", 1);
    if (fault.every == 0)
        fault.every = 1;
    const char *log = getenv("KALAM_FAULT_LOG");
    if (log)
        fault.log = (int)syscall(SYS_openat, AT_FDCWD, log,
                                 O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
}

static void start_cutting(void)
{
    static const char *const keeps[] = {"none", "prefix", "torn", "all"};
    static char after[PATH_BYTES];
    const char *given = getenv("KALAM_FAULT_AFTER");
    if (!absolute(AT_FDCWD, given ? given : "", after))
        fault_die("no such path", "KALAM_FAULT_AFTER");
    Keep keep = (Keep)word_of("KALAM_FAULT_KEEP", keeps, 4);
    fault.may_cut = given && *given;
    fault.real_sync = !fault.may_cut || number_of("KALAM_FAULT_REAL_SYNC", 0);
    disk_start(fault.root, fault.may_cut ? after : "", keep, number_of("KALAM_FAULT_SEED", 1));
    if (!fault.may_cut) {
        if (fault.mode == MODE_CUT)
            fault_die("a cut needs a place for its result", "KALAM_FAULT_AFTER");
        return;
    }
    sem_init(&cut_asked, 0, 0);
    struct sigaction action = {.sa_handler = ask_for_cut, .sa_flags = SA_RESTART};
    sigaction(SIGUSR2, &action, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_cut, NULL) != 0)
        fault_die("cannot start a thread", "");
    pthread_detach(thread);
}

__attribute__((constructor)) static void start(void)
{
    const char *root = getenv("KALAM_FAULT_DIR");
    if (!root || !*root)
        return;
    /* The folder may not be there yet: resolve the one it will be in. */
    char parent[PATH_BYTES], resolved[PATH_MAX];
    if (!absolute(AT_FDCWD, root, fault.root))
        fault_die("no such path", root);
    snprintf(parent, sizeof parent, "%s", fault.root);
    char *slash = strrchr(parent, '/');
    *slash = 0;
    if (realpath(*parent ? parent : "/", resolved)) {
        char whole[PATH_BYTES];
        if (snprintf(whole, sizeof whole, "%s/%s", resolved, slash + 1) < PATH_BYTES)
            memcpy(fault.root, whole, sizeof whole);
        normalize(fault.root);
    }
    fault.root_bytes = strlen(fault.root);
    read_settings();
    start_cutting();
    fault.on = true;
}

__attribute__((destructor)) static void stop(void)
{
    if (fault.on && fault.may_cut)
        disk_stop();
}
