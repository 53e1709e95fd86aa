/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the files of a partition lie, and cleaning up there. Only files whose name we could have
 * given are ever removed; a folder goes only when it is empty.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cold/cold_int.h"
#include "os/file.h"

enum { ENTRIES_MAX = 10 * 1000 * 1000 }; /* in one folder */

Code cold_folder_path(const ColdPlace *place, Buffer *out, Error *e)
{
    CLEANUP(buffer_done) Buffer path = {0};
    buffer_add_text(&path, place->is_shared ? "shared/" : "user/");
    if (!place->is_shared) {
        TRY(cold_encode_name(place->user_id, &path, e));
        buffer_add_char(&path, '/');
    }
    TRY(cold_encode_name(place->namespace_name, &path, e));
    buffer_add_char(&path, '/');
    TRY(cold_encode_name(place->table_name, &path, e));
    buffer_add_slice(out, buffer_slice(&path));
    return OK;
}

void cold_segment_name(uint64_t batch, Buffer *out)
{
    buffer_printf(out, "batch-%" PRIu64 ".parquet", batch);
}

/* The number in "batch-<n>.parquet"; false for any other name, leading zeros included. */
static bool parse_segment_name(Slice name, uint64_t *out_batch)
{
    char text[64], again[64];
    uint64_t batch = 0;
    if (name.size >= sizeof text)
        return false;
    memcpy(text, name.data, name.size);
    text[name.size] = 0;
    if (sscanf(text, "batch-%" SCNu64 ".parquet", &batch) != 1)
        return false;
    snprintf(again, sizeof again, "batch-%" PRIu64 ".parquet", batch);
    *out_batch = batch;
    return strcmp(text, again) == 0;
}

Code cold__path(const char *storage_root, Slice folder, Slice name, Buffer *out, Error *e)
{
    buffer_clear(out);
    buffer_printf(out, "%s/%.*s%s%.*s", storage_root, SLICE_ARGS(folder), name.size ? "/" : "",
                  SLICE_ARGS(name));
    if (out->size >= COLD_PATH_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "the path of a segment has %zu bytes, the limit is %d",
                    out->size, COLD_PATH_BYTES_MAX);
    buffer_add_char(out, 0);
    return OK;
}

Code cold_segment_remove(const char *storage_root, Slice folder, uint64_t batch, Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0}, path = {0};
    cold_segment_name(batch, &name);
    TRY(cold__path(storage_root, folder, buffer_slice(&name), &path, e));
    return file_remove(path.data, e);
}

/* ---- Files that nothing names ---- */

static bool is_temporary(Slice name)
{
    Slice suffix = SLICE(".tmp");
    return (slice_starts_with(name, SLICE("batch-")) ||
            slice_starts_with(name, SLICE("manifest.json"))) &&
           name.size > suffix.size &&
           memcmp(name.data + name.size - suffix.size, suffix.data, suffix.size) == 0;
}

/* False: it belongs there. */
static bool is_stray(const FileEntry *entry, bool (*is_listed)(void *context, uint64_t batch),
                     void *context, ColdStray *out)
{
    Slice name = slice_of_text(entry->name);
    uint64_t batch = 0;
    *out = (ColdStray){entry->name, COLD_STRAY_UNKNOWN};
    if (entry->is_folder)
        return true;
    if (slice_equal(name, SLICE("manifest.json")))
        return false;
    if (parse_segment_name(name, &batch)) {
        out->kind = COLD_STRAY_SEGMENT;
        return !is_listed(context, batch);
    }
    if (is_temporary(name))
        out->kind = COLD_STRAY_TEMPORARY;
    return true;
}

Code cold_find_stray(const char *storage_root, Slice folder,
                     bool (*is_listed)(void *context, uint64_t batch), void *context, Arena *arena,
                     ColdStray **out, size_t *out_count, Error *e)
{
    CLEANUP(buffer_done) Buffer path = {0};
    FileEntry *entries = NULL;
    size_t count = 0, found = 0;
    TRY(cold__path(storage_root, folder, (Slice){0}, &path, e));
    if (!file_exists(path.data)) {
        *out_count = 0;
        return OK;
    }
    TRY(file_list(path.data, ENTRIES_MAX, arena, &entries, &count, e));
    ColdStray *strays = arena_new_array(arena, ColdStray, count + 1);
    for (size_t i = 0; i < count; i++)
        found += is_stray(&entries[i], is_listed, context, &strays[found]);
    *out = strays;
    *out_count = found;
    return OK;
}

Code cold_sweep(const char *storage_root, Slice folder,
                bool (*is_listed)(void *context, uint64_t batch), void *context,
                uint32_t *out_removed, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer path = {0};
    ColdStray *strays = NULL;
    size_t count = 0;
    uint32_t removed = 0;
    TRY(cold_find_stray(storage_root, folder, is_listed, context, arena, &strays, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (strays[i].kind == COLD_STRAY_UNKNOWN)
            continue;
        TRY(cold__path(storage_root, folder, slice_of_text(strays[i].name), &path, e));
        TRY(file_remove(path.data, e));
        removed++;
    }
    *out_removed = removed;
    return OK;
}

/* ---- All folders ---- */

typedef struct Walk {
    const char *storage_root;
    Code (*visit)(void *context, Slice folder, Error *e);
    void *context;
} Walk;

static Code walk(const Walk *w, const char *folder, int levels, Error *e)
{
    if (levels == 0)
        return w->visit(w->context, slice_of_text(folder), e);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer path = {0};
    FileEntry *entries = NULL;
    size_t count = 0;
    TRY(cold__path(w->storage_root, slice_of_text(folder), (Slice){0}, &path, e));
    if (!file_exists(path.data))
        return OK;
    TRY(file_list(path.data, ENTRIES_MAX, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        if (entries[i].is_folder)
            TRY(walk(w, arena_printf(arena, "%s/%s", folder, entries[i].name), levels - 1, e));
    }
    return OK;
}

Code cold_each_folder(const char *storage_root,
                      Code (*visit)(void *context, Slice folder, Error *e), void *context, Error *e)
{
    Walk w = {storage_root, visit, context};
    TRY(walk(&w, "user", 3, e));
    return walk(&w, "shared", 2, e);
}
