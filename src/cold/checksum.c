/* SPDX-License-Identifier: Apache-2.0
 *
 * The checksum of a whole segment. DuckDB checks no checksum of its own files, so this is what
 * tells a damaged file from a good one: after a restore, or when somebody asks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cold/cold_int.h"
#include "data/row.h"

enum { READ_BYTES = 256 * 1024 };

static Code checksum_of(int file, uint32_t *out_crc, uint64_t *out_bytes, Error *e)
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
            return fail(e, E_IO, "a segment cannot be read: %s", strerror(errno));
        if (got == 0)
            break;
        crc = crc32c(crc, slice_of(bytes, (size_t)got));
        total += (uint64_t)got;
    }
    *out_crc = crc;
    *out_bytes = total;
    return OK;
}

Code cold__file_checksum(const char *path, uint32_t *out_crc, uint64_t *out_bytes, Error *e)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT)
        return fail(e, E_NOT_FOUND, "%s does not exist", path);
    if (file < 0)
        return fail(e, E_IO, "%s cannot be opened: %s", path, strerror(errno));
    Code code = checksum_of(file, out_crc, out_bytes, e);
    close(file);
    return code;
}

Code cold_segment_verify(const char *storage_root, Slice folder, const SegmentEntry *entry,
                         Error *e)
{
    CLEANUP(buffer_done) Buffer name = {0}, path = {0};
    uint32_t crc = 0;
    uint64_t bytes = 0;
    cold_segment_name(entry->batch, &name);
    TRY(cold__path(storage_root, folder, buffer_slice(&name), &path, e));
    TRY(cold__file_checksum(path.data, &crc, &bytes, e));
    if (bytes != entry->size_bytes)
        return fail(e, E_CORRUPT, "%s has %llu bytes, %llu were written", path.data,
                    (unsigned long long)bytes, (unsigned long long)entry->size_bytes);
    if (crc != entry->crc)
        return fail(e, E_CORRUPT, "%s: the checksum does not match", path.data);
    return OK;
}
