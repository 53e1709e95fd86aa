/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders: making them durably, and listing them within a bound.
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "os/file.h"
#include "os/file_piece.h"
#include "os/os_int.h"

enum { TREE_ENTRIES_MAX = 10 * 1000 * 1000 }; /* in one folder */

/* ---- making ---- */

/* A folder that is there counts as durable, so whoever finds one that is being made waits until its
 * name is synced. */
typedef struct Making {
    const char *path;
    struct Making *next;
} Making;

static pthread_mutex_t making_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t made = PTHREAD_COND_INITIALIZER;
static Making *makings; /* guarded by making_lock */

static bool is_being_made(const char *path)
{
    for (const Making *making = makings; making; making = making->next)
        if (strcmp(making->path, path) == 0)
            return true;
    return false;
}

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* False when the folder is there; else it is the caller's to make. */
static bool begin_making(Making *making)
{
    pthread_mutex_lock(&making_lock);
    while (is_being_made(making->path))
        pthread_cond_wait(&made, &making_lock);
    bool wanted = !is_there(making->path);
    if (wanted) {
        making->next = makings;
        makings = making;
    }
    pthread_mutex_unlock(&making_lock);
    return wanted;
}

static void end_making(const Making *making)
{
    pthread_mutex_lock(&making_lock);
    Making **at = &makings;
    while (*at != making)
        at = &(*at)->next;
    *at = making->next;
    pthread_cond_broadcast(&made);
    pthread_mutex_unlock(&making_lock);
}

static Code sync_parent(const char *path, Error *e)
{
    CLEANUP(buffer_done) Buffer parent = {0};
    const char *slash = strrchr(path, '/');
    if (!slash)
        return file_sync_folder(".", e);
    if (slash == path)
        return file_sync_folder("/", e);
    buffer_add(&parent, path, (size_t)(slash - path));
    buffer_add_u8(&parent, 0);
    return file_sync_folder(parent.data, e);
}

static Code make(const char *path, unsigned mode, Error *e)
{
    if (file__fault("mkdir", path) || (mkdir(path, (mode_t)mode) != 0 && errno != EEXIST))
        return file__failed(e, "mkdir", path);
    if (!is_there(path))
        return fail(e, E_IO, "mkdir %s: there is something else of that name", path);
    Code code = sync_parent(path, e);
    if (code != OK)
        (void)rmdir(path); /* else the next who wants it takes it for durable */
    return code;
}

/* One level; its name becomes durable in the folder above. */
static Code make_one(const char *path, unsigned mode, Error *e)
{
    Making making = {.path = path};
    if (!begin_making(&making))
        return OK;
    Code code = make(path, mode, e);
    end_making(&making);
    return code;
}

Code file_make_folders(const char *path, unsigned mode, Error *e)
{
    CLEANUP(buffer_done) Buffer copy = {0};
    buffer_add_text(&copy, path);
    while (copy.size > 1 && copy.data[copy.size - 1] == '/')
        copy.size--;
    buffer_add_u8(&copy, 0);
    for (char *at = copy.data + 1; copy.data[0] && *at; at++) {
        if (*at != '/')
            continue;
        *at = 0;
        TRY(make_one(copy.data, mode, e));
        *at = '/';
    }
    return make_one(copy.data, mode, e);
}

Code file_remove_empty_folder(const char *path, Error *e)
{
    if (!file__fault("rmdir", path) && rmdir(path) == 0)
        return OK;
    bool harmless = errno == ENOENT || errno == ENOTEMPTY || errno == EEXIST;
    return harmless ? OK : file__failed(e, "rmdir", path);
}

static void close_folder(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

static bool is_folder(const char *path, const struct dirent *entry)
{
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    CLEANUP(buffer_done) Buffer full = {0};
    buffer_printf(&full, "%s/%s", path, entry->d_name);
    buffer_add_u8(&full, 0);
    struct stat st;
    return stat(full.data, &st) == 0 && S_ISDIR(st.st_mode);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const FileEntry *)a)->name, ((const FileEntry *)b)->name);
}

Code file_list(const char *path, size_t entries_max, Arena *arena, FileEntry **out_entries,
               size_t *out_count, Error *e)
{
    CLEANUP(close_folder) DIR *folder = file__fault("open", path) ? NULL : opendir(path);
    if (!folder)
        return file__failed(e, "open", path);
    CLEANUP(buffer_done) Buffer found = {0};
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno != 0)
            return file__failed(e, "read", path);
        if (!entry)
            break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (found.size / sizeof(FileEntry) == entries_max)
            return fail(e, E_TOO_LARGE, "list %s: more than %zu entries", path, entries_max);
        FileEntry one = {.name = arena_text(arena, slice_of_text(entry->d_name)),
                         .is_folder = is_folder(path, entry)};
        buffer_add(&found, &one, sizeof one);
    }
    size_t count = found.size / sizeof(FileEntry);
    FileEntry *entries = arena_new_array(arena, FileEntry, count ? count : 1);
    if (count > 0)
        memcpy(entries, found.data, found.size);
    qsort(entries, count, sizeof *entries, by_name);
    *out_entries = entries;
    *out_count = count;
    return OK;
}

static Code remove_below(const char *path, int depth_max, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *entries;
    size_t count;
    FileLook look;
    TRY(file_look(path, &look, e));
    if (look.kind != FILE_FOLDER) /* a link is removed, not what it points at */
        return file_remove(path, e);
    if (depth_max == 0)
        return fail(e, E_INVALID_OPERATION, "%s lies deeper than anything that is written there",
                    path);
    TRY(file_list(path, TREE_ENTRIES_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++)
        TRY(remove_below(arena_printf(arena, "%s/%s", path, entries[i].name), depth_max - 1, e));
    if (count)
        TRY(file_sync_folder(path, e));
    /* One in which something was made meanwhile is not gone. */
    bool is_gone = !file__fault("rmdir", path) && (rmdir(path) == 0 || errno == ENOENT);
    return is_gone ? OK : file__failed(e, "rmdir", path);
}

Code file_remove_tree(const char *path, int depth_max, Error *e)
{
    FileLook look;
    TRY(file_look(path, &look, e));
    if (look.kind == FILE_NOTHING)
        return OK;
    TRY(remove_below(path, depth_max, e));
    CLEANUP(buffer_done) Buffer above = {0};
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return file_sync_folder(slash ? "/" : ".", e);
    buffer_add(&above, path, (size_t)(slash - path));
    buffer_add_u8(&above, 0);
    return file_sync_folder(above.data, e);
}
