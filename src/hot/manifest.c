/* SPDX-License-Identifier: Apache-2.0
 *
 * A torn end of RocksDB's MANIFEST. RocksDB takes a record that ends too early for one that was
 * never written, but refuses to open when a power cut leaves garbage there. It syncs each batch of
 * records before it does anything that relies on it, so what was torn need not be there; only the
 * bytes cannot tell a torn record from one that was synced and went bad since. It is cut only where
 * that is no danger either:
 *
 * I1. Only the one last record is cut. No record, whole or part of one, is found anywhere behind
 *     it.
 * I2. What was in the MANIFEST when it was made is never cut: the file `synced` holds its name and
 *     size of that moment. Until that file is written nothing is appended (tame.cc holds
 *     compactions back).
 * I3. Without its last record a MANIFEST describes the state before a flush, a merge of files or
 *     the end of a log. That is the same data, as long as the files it names are there, which
 *     RocksDB checks: each table file by size, and each log that was closed, because the end of a
 *     log is a record of its own before that of its flush (track_and_verify_wals_in_manifest). So
 *     should the record have been synced after all, and a file have been removed because of it, the
 *     store does not open.
 *
 * The file `synced` also names the newest log (log_end.c).
 *
 * The MANIFEST is written in blocks of 32 KiB, as a log of records, which are cut into fragments
 * where a block ends:
 *
 *     u32 masked CRC-32C of all that follows · u16 size of the payload · u8 kind · payload
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "data/row.h"
#include "hot/hot_int.h"
#include "os/file.h"

enum { BLOCK_BYTES = 32 * 1024, HEADER_BYTES = 7, NAME_FILE_BYTES_MAX = 256 };
enum { FRAGMENT_WHOLE = 1, FRAGMENT_FIRST, FRAGMENT_MIDDLE, FRAGMENT_LAST };

#define SYNCED_NAME "synced"
#define CRC_MASK_DELTA 0xA282EAD8u

static const unsigned char *at_of(Slice bytes, size_t at)
{
    return (const unsigned char *)bytes.data + at;
}

/* The kind of the intact fragment at `at`, and where it ends; 0 when there is none. */
static int read_fragment(Slice bytes, size_t at, size_t *out_end)
{
    const unsigned char *p = at_of(bytes, at);
    size_t room = BLOCK_BYTES - at % BLOCK_BYTES;
    if (room > bytes.size - at)
        room = bytes.size - at;
    if (room < HEADER_BYTES)
        return 0;
    size_t size = HEADER_BYTES + (p[4] | (size_t)p[5] << 8);
    int kind = p[6];
    if (size > room || kind < FRAGMENT_WHOLE || kind > FRAGMENT_LAST)
        return 0;
    uint32_t crc = crc32c(0, slice_of(p + HEADER_BYTES - 1, size - HEADER_BYTES + 1));
    uint32_t masked = ((crc >> 15) | (crc << 17)) + CRC_MASK_DELTA;
    if (masked != (p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24))
        return 0;
    *out_end = at + size;
    return kind;
}

bool hot__manifest_end(Slice bytes, size_t *out_end)
{
    size_t at = 0, end = 0, next = 0;
    bool is_inside = false; /* a record of several fragments */
    while (at < bytes.size) {
        size_t room = BLOCK_BYTES - at % BLOCK_BYTES;
        if (room < HEADER_BYTES) { /* the rest of a block is left empty */
            at += room;
            continue;
        }
        int kind = read_fragment(bytes, at, &next);
        bool begins = kind == FRAGMENT_WHOLE || kind == FRAGMENT_FIRST;
        if (kind == 0 || begins == is_inside)
            break;
        at = next;
        is_inside = kind == FRAGMENT_FIRST || kind == FRAGMENT_MIDDLE;
        if (!is_inside)
            end = at;
    }
    for (; at < bytes.size; at++) {
        if (read_fragment(bytes, at, &next)) /* I1 */
            return false;
    }
    *out_end = end;
    return true;
}

/* The name in CURRENT. */
static Code current_name(const char *folder, Arena *arena, Slice *out, Error *e)
{
    Slice text;
    TRY(file_read(arena_printf(arena, "%s/CURRENT", folder), NAME_FILE_BYTES_MAX, arena, &text, e));
    if (text.size < 2 || text.data[text.size - 1] != '\n' || memchr(text.data, '/', text.size))
        return fail(e, E_CORRUPT, "the file CURRENT of the hot store names no MANIFEST");
    *out = slice_of(text.data, text.size - 1);
    return OK;
}

/* "<number of a log> <bytes of it that are synced> <CRC-32C of the words before>": a note that went
 * bad itself must not keep the store from opening. */
static const char *log_line(Arena *arena, uint64_t number, uint64_t bytes)
{
    const char *words =
        arena_printf(arena, "%llu %llu", (unsigned long long)number, (unsigned long long)bytes);
    return arena_printf(arena, "%s %08x\n", words, crc32c(0, slice_of_text(words)));
}

/* "<name of the MANIFEST> <bytes>", and the line of the newest log. */
static Code write_note(const char *folder, Slice manifest, uint64_t bytes, bool is_log_synced,
                       Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    uint64_t log, log_bytes;
    TRY(hot__find_log(folder, &log, &log_bytes, e));
    const char *line = log_line(arena, log, is_log_synced ? log_bytes : 0);
    const char *text =
        arena_printf(arena, "%.*s %llu\n%s", SLICE_ARGS(manifest), (unsigned long long)bytes, line);
    return file_write(arena_printf(arena, "%s/" SYNCED_NAME, folder), slice_of_text(text), 0600, e);
}

Code hot__note_manifest(const char *folder, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice name;
    uint64_t size = 0;
    TRY(current_name(folder, arena, &name, e));
    TRY(file_size(arena_printf(arena, "%s/%.*s", folder, SLICE_ARGS(name)), &size, e));
    return write_note(folder, name, size, false, e);
}

/* How much of the MANIFEST of that name was there when it was made. */
static Code synced_bytes(const char *folder, Slice name, Arena *arena, uint64_t *out, Error *e)
{
    Slice text;
    TRY(file_read(arena_printf(arena, "%s/" SYNCED_NAME, folder), NAME_FILE_BYTES_MAX, arena, &text,
                  e));
    if (text.size <= name.size + 1 || memcmp(text.data, name.data, name.size) != 0 ||
        text.data[name.size] != ' ')
        return fail(e, E_CORRUPT, "nothing was added to %.*s", SLICE_ARGS(name)); /* I2 */
    *out = strtoull(text.data + name.size + 1, NULL, 10); /* file_read ends it with a zero */
    return OK;
}

Code hot_note_stop(HotStore *store, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice name;
    uint64_t bytes = 0;
    TRY(current_name(store->folder, arena, &name, e));
    TRY(synced_bytes(store->folder, name, arena, &bytes, e));
    return write_note(store->folder, name, bytes, true, e);
}

Code hot__noted_log(const char *folder, uint64_t *out_number, uint64_t *out_bytes, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice text;
    char *end = NULL;
    *out_number = *out_bytes = 0;
    const char *path = arena_printf(arena, "%s/" SYNCED_NAME, folder);
    if (!file_exists(path))
        return OK;
    Code code = file_read(path, NAME_FILE_BYTES_MAX, arena, &text, e); /* ends with a zero */
    if (code == E_TOO_LARGE)                                           /* it went bad itself */
        return OK;
    TRY(code);
    const char *line = memchr(text.data, '\n', text.size);
    if (!line)
        return OK;
    uint64_t number = strtoull(line + 1, &end, 10), bytes = strtoull(end, NULL, 10);
    if (strcmp(line + 1, log_line(arena, number, bytes)) != 0)
        return OK;
    *out_number = number;
    *out_bytes = bytes;
    return OK;
}

Code hot__mend_manifest(const char *folder, HotCuts *cuts, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice name, bytes;
    uint64_t synced = 0;
    size_t end = 0;
    TRY(current_name(folder, arena, &name, e));
    TRY(synced_bytes(folder, name, arena, &synced, e));
    const char *path = arena_printf(arena, "%s/%.*s", folder, SLICE_ARGS(name));
    TRY(file_read(path, HOT_MANIFEST_BYTES_MAX, arena, &bytes, e));
    if (!hot__manifest_end(bytes, &end) || end < synced || end == bytes.size)
        return fail(e, E_CORRUPT, "%.*s is damaged before its last record", SLICE_ARGS(name));
    TRY(file_cut(path, end, e));
    hot__add_cut(cuts, path, end, bytes.size);
    return OK;
}
