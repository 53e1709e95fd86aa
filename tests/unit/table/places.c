/* SPDX-License-Identifier: Apache-2.0 */
#include "places.h"

#include <string.h>

#include "../test.h"
#include "os/file.h"

Places places_new(void)
{
    Arena *arena = arena_new();
    const char *root = test_folder();
    return (Places){arena, arena_printf(arena, "%s/data", root),
                    arena_printf(arena, "%s/backup", root), arena_printf(arena, "%s/other", root)};
}

void places_fill(Fixture *f)
{
    for (int i = 1; i <= 20; i++)
        fixture_put(f, i, "x");
    fixture_flush(f);
    for (int i = 21; i <= 30; i++)
        fixture_put(f, i, "y");
    fixture_flush(f);
    fixture_put(f, 3, "changed");
    fixture_delete(f, 4);
    fixture_delete(f, 25);
    fixture_put(f, 31, "hot");
    fixture_put(f, 32, "deleted while hot");
    fixture_delete(f, 32);
}

static void list_files(const char *folder, Arena *arena, Buffer *out)
{
    FileEntry *entries;
    size_t count;
    CHECK_OK(file_list(folder, 1000, arena, &entries, &count, e));
    for (size_t i = 0; i < count; i++) {
        const char *path = arena_printf(arena, "%s/%s", folder, entries[i].name);
        if (entries[i].is_folder)
            list_files(path, arena, out);
        else
            buffer_add(out, &path, sizeof path);
    }
}

size_t places_files(const char *folder, Arena *arena, const char *const **out_paths)
{
    CLEANUP(buffer_done) Buffer files = {0};
    list_files(folder, arena, &files);
    const char **paths = arena_alloc(arena, files.size + 1);
    memcpy(paths, files.data, files.size);
    *out_paths = paths;
    return files.size / sizeof *paths;
}

Slice places_damage(const char *path, Arena *arena)
{
    Slice bytes;
    CHECK_OK(file_read(path, 1 << 26, arena, &bytes, e));
    CHECK(bytes.size > 0);
    char *changed = arena_text(arena, bytes);
    memcpy(changed, bytes.data, bytes.size);
    changed[bytes.size / 2] ^= 4;
    CHECK_OK(file_write(path, slice_of(changed, bytes.size), 0600, e));
    return bytes;
}
