/* SPDX-License-Identifier: Apache-2.0
 *
 * The archive of an export, read again by libzip, which wrote it; tests/e2e reads one by the format
 * alone.
 */
#include <errno.h>
#include <string.h>
#include <zip.h>

#include "../test.h"
#include "cold/zip.h"
#include "os/file.h"

static Slice entry(zip_t *zip, const char *name, Arena *arena)
{
    zip_stat_t stat;
    CHECK(zip_stat(zip, name, 0, &stat) == 0);
    CHECK(stat.comp_method == ZIP_CM_STORE);
    char *bytes = (char *)arena_alloc(arena, stat.size + 1);
    zip_file_t *file = zip_fopen(zip, name, 0);
    CHECK(file);
    CHECK_INT(zip_fread(file, bytes, stat.size + 1), stat.size);
    CHECK(zip_fclose(file) == 0); /* compares the checksum */
    return slice_of(bytes, stat.size);
}

TEST("an archive lacks bytes of a file, or overwrites one that is there")
{
    Arena *arena = arena_new();
    const char *folder = test_folder();
    const char *a = arena_printf(arena, "%s/a", folder), *b = arena_printf(arena, "%s/b", folder);
    size_t size = 1000 * 1000 + 7;
    char *bytes = (char *)arena_alloc(arena, size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    CHECK_OK(file_write(a, slice_of(bytes, size), 0600, e));
    CHECK_OK(file_write(b, (Slice){0}, 0600, e));
    ColdZipFile files[] = {{a, "the big one.parquet"}, {b, "empty"}};
    ColdZip order = {.path = arena_printf(arena, "%s/x.zip", folder), .files = files, .count = 2};
    CHECK_OK(cold_zip_write(&order, e));
    int error = 0;
    zip_t *zip = zip_open(order.path, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    CHECK(zip);
    CHECK_INT(zip_get_num_entries(zip, 0), 2);
    CHECK_SLICE(entry(zip, "the big one.parquet", arena), slice_of(bytes, size));
    CHECK_SLICE(entry(zip, "empty", arena), SLICE(""));
    CHECK(zip_close(zip) == 0);
    CHECK_CODE(cold_zip_write(&order, e), E_ALREADY_EXISTS);
    CHECK(file_exists(order.path));
    arena_free(arena);
}

static const char *failing;
static int calls_until, failing_with;

static int fail_when(const char *operation, const char *path)
{
    return strcmp(operation, failing) == 0 && strstr(path, ".zip") && --calls_until == 0
               ? failing_with
               : 0;
}

static bool always(void *context)
{
    (void)context;
    return true;
}

TEST("an archive that could not be written whole is told to be, or stays")
{
    static const struct {
        const char *operation;
        int at, with;
        Code code;
    } cases[] = {{"open", 1, EIO, E_IO},
                 {"write", 1, ENOSPC, E_DISK_FULL},
                 {"write", 3, EIO, E_IO},
                 {"fsync", 1, EIO, E_IO}};
    Arena *arena = arena_new();
    const char *folder = test_folder(), *a = arena_printf(arena, "%s/a", folder);
    size_t size = 600 * 1000;
    CHECK_OK(file_write(a, slice_of((const char *)arena_alloc(arena, size), size), 0600, e));
    ColdZipFile files[] = {{a, "a"}, {a, "b"}};
    ColdZip order = {.path = arena_printf(arena, "%s/x.zip", folder), .files = files, .count = 2};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        failing = cases[i].operation;
        calls_until = cases[i].at;
        failing_with = cases[i].with;
        file_set_fault(fail_when);
        CHECK_CODE(cold_zip_write(&order, e), cases[i].code);
        file_set_fault(NULL);
        CHECK(!file_exists(order.path));
    }
    order.is_stopped = always;
    CHECK_CODE(cold_zip_write(&order, e), E_CANCELLED);
    CHECK(!file_exists(order.path));
    files[1].path = arena_printf(arena, "%s/none", folder);
    order.is_stopped = NULL;
    CHECK_CODE(cold_zip_write(&order, e), E_IO);
    CHECK(!file_exists(order.path));
    arena_free(arena);
}
