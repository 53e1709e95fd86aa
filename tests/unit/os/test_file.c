/* SPDX-License-Identifier: Apache-2.0 */
#include "os/file.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "os/thread.h"
#include "test.h"

static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", test_folder(), name);
    return path;
}

static void check_content(const char *path, const char *want)
{
    Arena *arena = arena_new();
    Slice got;
    CHECK_OK(file_read(path, 1000, arena, &got, e));
    CHECK_TEXT(got.data, want);
    arena_free(arena);
}

static const char *fault_operation;
static int fault_after, fault_errno, sync_count;

static int fault(const char *operation, const char *path)
{
    (void)path;
    sync_count += strcmp(operation, "fsync") == 0;
    if (fault_operation && strcmp(operation, fault_operation) == 0 && fault_after-- == 0)
        return fault_errno;
    return 0;
}

TEST("a file that was written reads back, and its mode is the one asked for")
{
    const char *path = in_folder("a");
    CHECK_OK(file_write(path, SLICE("secret"), 0600, e));
    check_content(path, "secret");
    struct stat st;
    CHECK(stat(path, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    uint64_t bytes;
    CHECK_OK(file_size(path, &bytes, e));
    CHECK_INT(bytes, 6);
}

TEST("a write whose system call fails leaves the old content and no error is lost")
{
    const char *path = in_folder("a");
    CHECK_OK(file_write(path, SLICE("old"), 0644, e));
    static const char *const operations[] = {"open", "write", "fsync", "rename"};
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        fault_operation = operations[i];
        fault_after = 0;
        fault_errno = i % 2 ? ENOSPC : EIO;
        file_set_fault(fault);
        Error error = {0};
        Code code = file_write(path, SLICE("new"), 0644, &error);
        file_set_fault(NULL);
        CHECK_INT(code, i % 2 ? E_DISK_FULL : E_IO);
        CHECK(strstr(error.text, path));
        check_content(path, "old");
    }
}

TEST("a write syncs the file and then the folder, or a power cut would lose it")
{
    fault_operation = NULL;
    sync_count = 0;
    file_set_fault(fault);
    CHECK_OK(file_write(in_folder("a"), SLICE("x"), 0644, e));
    file_set_fault(NULL);
    CHECK_INT(sync_count, 2);
}

TEST("a piece that the disk refuses, with whatever number, fails the sync: the kernel tells of it "
     "once; where files have no pieces they are synced whole")
{
    const char *path = in_folder("pieces");
    enum { NONE = -1, ASKS_FOR_PIECES, FIRST_PIECE, SECOND_PIECE, AFTER_ALL };
    const struct {
        int which, number;
        Code want;
        int syncs;
    } cases[] = {
        {NONE, 0, OK, 1},
        {ASKS_FOR_PIECES, ENOSYS, OK, 1},
        {ASKS_FOR_PIECES, EPERM, OK, 1},
        {FIRST_PIECE, EIO, E_IO, 0},
        {FIRST_PIECE, ENOSPC, E_DISK_FULL, 0},
        {FIRST_PIECE, EINVAL, E_IO, 0},
        {SECOND_PIECE, EOPNOTSUPP, E_IO, 0},
        {SECOND_PIECE, ENOSYS, E_IO, 0},
        {AFTER_ALL, EIO, OK, 1},
    };
    static char rows[1024 * 1024 + 1]; /* two pieces */
    CHECK_OK(file_write(path, slice_of(rows, sizeof rows), 0644, e));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error error = {0};
        fault_operation = cases[i].which == NONE ? NULL : "sync_file_range";
        fault_after = cases[i].which;
        fault_errno = cases[i].number;
        sync_count = 0;
        file_set_fault(fault);
        Code code = file_sync(path, &error);
        file_set_fault(NULL);
        CHECK_INT(code, cases[i].want);
        CHECK_INT(sync_count, cases[i].syncs);
    }
    fault_operation = NULL;
}

TEST("a file above the limit is refused, at the limit it is read")
{
    const char *path = in_folder("a");
    CHECK_OK(file_write(path, SLICE("12345"), 0644, e));
    Arena *arena = arena_new();
    Slice got;
    CHECK_CODE(file_read(path, 4, arena, &got, e), E_TOO_LARGE);
    CHECK_OK(file_read(path, 5, arena, &got, e));
    CHECK_CODE(file_read(in_folder("none"), 5, arena, &got, e), E_NOT_FOUND);
    arena_free(arena);
}

TEST("folders are made at every level, and making them again is OK")
{
    CHECK_OK(file_make_folders(in_folder("a/b//c/"), 0755, e));
    CHECK_OK(file_make_folders(in_folder("a/b/c"), 0755, e));
    CHECK(file_exists(in_folder("a/b/c")));
    CHECK_OK(file_write(in_folder("a/file"), SLICE(""), 0644, e));
    CHECK_CODE(file_make_folders(in_folder("a/file/below"), 0755, e), E_IO);
    CHECK_OK(file_remove_empty_folder(in_folder("a"), e));
    CHECK(file_exists(in_folder("a")));
    CHECK_OK(file_remove_empty_folder(in_folder("a/b/c"), e));
    CHECK(!file_exists(in_folder("a/b/c")));
}

TEST("a folder whose name could not be synced is not left, where the next one to want it would "
     "find it")
{
    const char *path = in_folder("unsynced");
    fault_operation = "fsync";
    fault_after = 0;
    fault_errno = EIO;
    file_set_fault(fault);
    Error error = {0};
    CHECK_INT(file_make_folders(path, 0755, &error), E_IO);
    CHECK(!file_exists(path));
    sync_count = 0;
    CHECK_OK(file_make_folders(path, 0755, e));
    file_set_fault(NULL);
    CHECK_INT(sync_count, 1);
}

enum { MAKING_ROUNDS = 100, YIELDS = 50 };
static atomic_int syncs_begun, found_early;

/* Gives the other thread time between a folder and the sync of its name. */
static int slow_sync(const char *operation, const char *path)
{
    (void)path;
    for (int i = 0; strcmp(operation, "open") == 0 && i < YIELDS; i++)
        sched_yield();
    if (strcmp(operation, "fsync") == 0)
        atomic_fetch_add(&syncs_begun, 1);
    return 0;
}

typedef struct FolderMaker {
    const char *path;
    int syncs_before;
} FolderMaker;

static void make_one_folder(void *argument)
{
    const FolderMaker *maker = (const FolderMaker *)argument;
    Error error = {0};
    if (file_make_folders(maker->path, 0755, &error) != OK ||
        atomic_load(&syncs_begun) == maker->syncs_before)
        atomic_fetch_add(&found_early, 1);
}

TEST("who finds a folder that another thread makes goes on only when its name is synced")
{
    file_set_fault(slow_sync);
    for (int i = 0; i < MAKING_ROUNDS; i++) {
        Thread *threads[2];
        FolderMaker maker = {in_folder("shared"), atomic_load(&syncs_begun)};
        CHECK_OK(thread_start("a", THREAD_ANY, make_one_folder, &maker, &threads[0], e));
        CHECK_OK(thread_start("b", THREAD_ANY, make_one_folder, &maker, &threads[1], e));
        thread_join(threads[0]);
        thread_join(threads[1]);
        CHECK_OK(file_remove_empty_folder(maker.path, e));
    }
    file_set_fault(NULL);
    CHECK_INT(atomic_load(&found_early), 0);
}

static int put_before_removal(const char *operation, const char *path)
{
    char late[600];
    if (strcmp(operation, "rmdir") != 0)
        return 0;
    snprintf(late, sizeof late, "%s/late", path);
    FILE *file = fopen(late, "w");
    CHECK(file != NULL);
    fclose(file);
    return 0;
}

TEST("a tree counts as removed although something was put there meanwhile")
{
    CHECK_OK(file_make_folders(in_folder("tree"), 0755, e));
    file_set_fault(put_before_removal);
    CHECK_CODE(file_remove_tree(in_folder("tree"), 3, e), E_IO);
    file_set_fault(NULL);
    CHECK_OK(file_remove_tree(in_folder("tree"), 3, e));
    CHECK(!file_exists(in_folder("tree")));
}

TEST("a listing is sorted, tells folders from files and is bounded")
{
    CHECK_OK(file_write(in_folder("b"), SLICE(""), 0644, e));
    CHECK_OK(file_write(in_folder("a"), SLICE(""), 0644, e));
    CHECK_OK(file_make_folders(in_folder("c"), 0755, e));
    Arena *arena = arena_new();
    FileEntry *entries;
    size_t count;
    CHECK_OK(file_list(test_folder(), 3, arena, &entries, &count, e));
    CHECK_INT(count, 3);
    CHECK_TEXT(entries[0].name, "a");
    CHECK_TEXT(entries[2].name, "c");
    CHECK(!entries[1].is_folder && entries[2].is_folder);
    CHECK_CODE(file_list(test_folder(), 2, arena, &entries, &count, e), E_TOO_LARGE);
    CHECK_CODE(file_list(in_folder("none"), 2, arena, &entries, &count, e), E_NOT_FOUND);
    arena_free(arena);
}

TEST("a second lock on the same file is refused until the first is released")
{
    FileLock *first, *second;
    CHECK_OK(file_lock(in_folder("lock"), &first, e));
    CHECK_CODE(file_lock(in_folder("lock"), &second, e), E_LOCKED);
    file_unlock(first);
    CHECK_OK(file_lock(in_folder("lock"), &second, e));
    file_unlock(second);
    file_unlock(NULL);
}

TEST("the lock of a file that is there is the same lock, and makes no file")
{
    FileLock *first, *second;
    CHECK_CODE(file_lock_existing(in_folder("lock"), &first, e), E_NOT_FOUND);
    CHECK(!file_exists(in_folder("lock")));
    CHECK_OK(file_lock(in_folder("lock"), &first, e));
    CHECK_CODE(file_lock_existing(in_folder("lock"), &second, e), E_LOCKED);
    file_unlock(first);
    CHECK_OK(file_lock_existing(in_folder("lock"), &first, e));
    CHECK_CODE(file_lock(in_folder("lock"), &second, e), E_LOCKED);
    file_unlock(first);
}

TEST("renaming moves the content, removing what is not there is OK")
{
    CHECK_OK(file_write(in_folder("a"), SLICE("x"), 0644, e));
    CHECK_OK(file_rename(in_folder("a"), in_folder("b"), e));
    check_content(in_folder("b"), "x");
    CHECK_OK(file_sync(in_folder("b"), e));
    CHECK_OK(file_remove(in_folder("b"), e));
    CHECK_OK(file_remove(in_folder("b"), e));
    CHECK_CODE(file_rename(in_folder("a"), in_folder("b"), e), E_NOT_FOUND);
}
