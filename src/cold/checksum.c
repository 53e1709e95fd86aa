/* SPDX-License-Identifier: Apache-2.0
 *
 * The checksum of a whole segment. DuckDB checks no checksum of its own files, so this is what
 * tells a damaged file from a good one: after a restore, or when somebody asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cold/cold_int.h"
#include "data/row.h"
#include "os/file.h"

enum { READ_BYTES = 256 * 1024 };

static Code checksum_of(int file, const char *path, uint32_t *out_crc, uint64_t *out_bytes,
                        Error *e)
{
    CLEANUP(buffer_done) Buffer room = {0};
    char *bytes = buffer_reserve(&room, READ_BYTES);
    uint32_t crc = 0;
    uint64_t total = 0;
    for (;;) {
        ssize_t got = read(file, bytes, READ_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail(e, E_IO, "%s cannot be read: %s", path, strerror(errno));
        if (got == 0)
            break;
        crc = crc32c(crc, slice_of(bytes, (size_t)got));
        total += (uint64_t)got;
    }
    *out_crc = crc;
    *out_bytes = total;
    return OK;
}

Code cold_file_checksum(const char *path, uint32_t *out_crc, uint64_t *out_bytes, Error *e)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return fail(e, E_NOT_FOUND, "%s does not exist", path);
    if (file < 0)
        return fail(e, E_IO, "%s cannot be opened: %s", path, strerror(errno));
    Code code = checksum_of(file, path, out_crc, out_bytes, e);
    close(file);
    return code;
}

static Code check_size(const char *path, uint64_t bytes, const SegmentEntry *entry, Error *e)
{
    if (bytes != entry->size_bytes)
        return fail(e, E_CORRUPT, "%s has %llu bytes, %llu were written", path,
                    (unsigned long long)bytes, (unsigned long long)entry->size_bytes);
    return OK;
}

static Code segment_path(const char *storage_root, Slice folder, uint64_t batch, Buffer *out,
                         Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0};
    cold_segment_name(batch, &name);
    return cold__path(storage_root, folder, buffer_slice(&name), out, e);
}

Code cold_segment_check(const char *storage_root, Slice folder, const SegmentEntry *entry, Error *e)
{
    CLEANUP(buffer_done) Buffer path = {0};
    uint64_t bytes = 0;
    TRY(segment_path(storage_root, folder, entry->batch, &path, e));
    TRY(file_size(path.data, &bytes, e));
    return check_size(path.data, bytes, entry, e);
}

Code cold_segment_verify(const char *storage_root, Slice folder, const SegmentEntry *entry,
                         Error *e)
{
    CLEANUP(buffer_done) Buffer path = {0};
    uint32_t crc = 0;
    uint64_t bytes = 0;
    TRY(segment_path(storage_root, folder, entry->batch, &path, e));
    TRY(cold_file_checksum(path.data, &crc, &bytes, e));
    TRY(check_size(path.data, bytes, entry, e));
    if (crc != entry->crc)
        return fail(e, E_CORRUPT, "%s: the checksum does not match", path.data);
    return OK;
}

uint64_t cold__stamp(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return 0;
    uint64_t stamp = (uint64_t)st.st_ino * 0x9E3779B97F4A7C15u;
    stamp ^= (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
    stamp = stamp * 0x9E3779B97F4A7C15u + (uint64_t)st.st_size;
    return stamp ? stamp : 1;
}

Code cold_segment_trust(const char *storage_root, Slice folder, const SegmentEntry *entry,
                        uint64_t *io_stamp, Error *e)
{
    CLEANUP(buffer_done) Buffer path = {0};
    TRY(segment_path(storage_root, folder, entry->batch, &path, e));
    uint64_t stamp = cold__stamp(path.data); /* of before, so that what changes meanwhile shows */
    if (stamp && stamp == *io_stamp)
        return OK;
    Error error = {0};
    Code code = cold_segment_verify(storage_root, folder, entry, &error);
    if (code == OK && stamp)
        *io_stamp = stamp;
    if (code == OK)
        return OK;
    /* Who asked is a user: the name, not where it lies. */
    bool is_damage = code == E_NOT_FOUND || code == E_CORRUPT;
    const char *what = code == E_NOT_FOUND ? "is missing"
                       : is_damage         ? "is damaged"
                                           : "cannot be read";
    return fail(e, is_damage ? E_SEGMENT_DAMAGED : code,
                "segment %.*s/batch-%llu.parquet %s; an administrator may have it in a backup",
                SLICE_ARGS(folder), (unsigned long long)entry->batch, what);
}
