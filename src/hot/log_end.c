/* SPDX-License-Identifier: Apache-2.0
 *
 * A torn end of RocksDB's log of writes. RocksDB takes a record that ends too early for one that
 * was never written, but refuses to open when a power cut leaves garbage there that has the size of
 * a record. A commit is answered after the sync of its record, so one that was torn was never
 * acknowledged as durable, and is cut.
 *
 * I1. Only the newest log that holds anything is cut. A sync of a later log comes after that of
 *     those before it, so where a later one is empty nothing was acknowledged since; where it is
 *     not, a cut could leave a hole.
 * I2. What follows the first damaged byte goes. No record, whole or part of one, is found anywhere
 *     in it: else the damage lies in the middle, and what follows it may have been acknowledged.
 * I3. A log that was closed and synced is in the MANIFEST with its size (tame.cc): should it be
 *     cut, the store does not open.
 *
 * Of one kind of damage RocksDB says nothing: where zeros stand for a record it skips the rest of
 * the block and goes on behind it. So the logs are read before it opens:
 *
 * I4. No log has a whole record, or part of one, behind something that is none.
 *
 * Of what the newest log holds nothing else would tell. So the file `synced` names it, once the
 * store is open, and after a clean stop with its size (manifest.c):
 *
 * I5. That log, or a later one, is there: a log that is replaced goes only after the next one is in
 *     the folder for good. What it held at a clean stop it holds still, whole: all of that was
 *     synced.
 *
 * What that proves and what not: docs/decisions/0017-log-end.md. The log is made of the same blocks
 * and fragments as the MANIFEST (manifest.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "hot/hot_int.h"
#include "os/file.h"

/* The number of a log file; 0 when it is none. */
static unsigned long long log_number(const char *name)
{
    char *end = NULL;
    unsigned long long number = strtoull(name, &end, 10);
    return end != name && strcmp(end, ".log") == 0 ? number : 0;
}

/* That holds anything (I1); NULL when there is none. */
static Code newest_log(const char *folder, Arena *arena, const char **out, Error *e)
{
    FileEntry *files;
    size_t count = 0;
    unsigned long long newest = 0;
    *out = NULL;
    TRY(file_list(folder, HOT_FILES_MAX, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++) {
        uint64_t size = 0;
        if (files[i].is_folder || log_number(files[i].name) <= newest)
            continue;
        const char *path = arena_printf(arena, "%s/%s", folder, files[i].name);
        TRY(file_size(path, &size, e));
        if (size == 0)
            continue;
        newest = log_number(files[i].name);
        *out = path;
    }
    return OK;
}

Code hot__find_log(const char *folder, uint64_t *out_number, uint64_t *out_bytes, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *files;
    size_t count = 0;
    *out_number = *out_bytes = 0;
    TRY(file_list(folder, HOT_FILES_MAX, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (!files[i].is_folder && log_number(files[i].name) > *out_number)
            *out_number = log_number(files[i].name);
    }
    if (*out_number == 0)
        return OK;
    return file_size(arena_printf(arena, "%s/%06llu.log", folder, (unsigned long long)*out_number),
                     out_bytes, e);
}

Code hot__mend_log(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *path = NULL;
    Slice bytes;
    size_t end = 0;
    TRY(newest_log(folder, arena, &path, e));
    if (!path)
        return fail(e, E_CORRUPT, "the hot store has no log");
    TRY(file_read(path, HOT_LOG_BYTES_MAX, arena, &bytes, e));
    if (!hot__manifest_end(bytes, &end) || end == bytes.size)
        return fail(e, E_CORRUPT, "%s is not damaged in its last record", path);
    return file_cut(path, end, e);
}

void hot__add_cut(HotCuts *cuts, const char *path, size_t offset, size_t size)
{
    const char *slash = strrchr(path, '/');
    HotCut cut = {.offset = offset, .bytes = size - offset};
    snprintf(cut.file, sizeof cut.file, "%s", slash ? slash + 1 : path);
    cuts->total++;
    cuts->bytes += cut.bytes;
    if (cuts->count < HOT_CUTS_MAX)
        cuts->cuts[cuts->count++] = cut;
}

/* `kept`: so many bytes of it are known to be whole. */
static Code check_log(const char *path, uint64_t kept, HotCuts *cuts, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t size = 0;
    Slice bytes;
    size_t end = 0;
    TRY(file_size(path, &size, e));
    if (size > HOT_LOG_BYTES_MAX) /* far more than options allow: left to RocksDB */
        return OK;
    TRY(file_read(path, HOT_LOG_BYTES_MAX, arena, &bytes, e));
    if (!hot__manifest_end(bytes, &end) || end < kept) /* I5 */
        return fail(e, E_CORRUPT, "%s is damaged before its end", path);
    if (end < bytes.size)
        hot__add_cut(cuts, path, end, bytes.size);
    return OK;
}

Code hot__check_logs(const char *folder, HotCuts *cuts, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FileEntry *files;
    size_t count = 0;
    uint64_t noted = 0, kept = 0, newest = 0, bytes;
    if (!file_exists(folder))
        return OK;
    TRY(hot__noted_log(folder, &noted, &kept, e));
    TRY(hot__find_log(folder, &newest, &bytes, e));
    if (newest < noted) /* I5 */
        return fail(e, E_CORRUPT, "%s/%06llu.log, the newest log, is missing", folder,
                    (unsigned long long)noted);
    TRY(file_list(folder, HOT_FILES_MAX, arena, &files, &count, e));
    for (size_t i = 0; i < count; i++) {
        uint64_t number = files[i].is_folder ? 0 : log_number(files[i].name);
        const char *path = arena_printf(arena, "%s/%s", folder, files[i].name);
        if (number)
            TRY(check_log(path, number == noted ? kept : 0, cuts, e));
    }
    return OK;
}
