/* SPDX-License-Identifier: Apache-2.0
 *
 * dump_take over any bytes, record after record. What is taken lies within the bytes and in the
 * order that writers keep. The input's frames get sound checksums first, or nearly all of it would
 * end at the first one.
 */
#include <string.h>

#include "data/row.h"
#include "table/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void seal(char *bytes, size_t size)
{
    for (size_t at = 0; size - at >= 8;) {
        const unsigned char *head = (const unsigned char *)bytes + at;
        size_t body = (size_t)head[2] << 8 | head[3]; /* small sizes only */
        bytes[at] = bytes[at + 1] = 0;
        if (body > size - at - 8)
            body = size - at - 8;
        bytes[at + 2] = (char)(body >> 8);
        bytes[at + 3] = (char)body;
        uint32_t crc = crc32c(0, slice_of(bytes + at + 8, body));
        for (int i = 0; i < 4; i++)
            bytes[at + 4 + (size_t)i] = (char)(crc >> (24 - 8 * i));
        at += 8 + body;
    }
}

static void take_all(Slice bytes)
{
    DumpOrder order = {0};
    Error e = {0};
    for (;;) {
        DumpRecord record = {0};
        size_t used;
        if (dump_take(bytes, &order, &record, &used, &e) != OK || used == 0)
            return;
        must(used <= bytes.size);
        must(record.bytes.size < used && record.user_id.size < used);
        must(!record.bytes.size || (record.bytes.data >= bytes.data &&
                                    record.bytes.data + record.bytes.size <= bytes.data + used));
        must(order.records > 1 || record.kind == DUMP_TABLE);
        bytes = slice_of(bytes.data + used, bytes.size - used);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char *copy = (char *)arena_alloc(arena, size + 1);
    if (size)
        memcpy(copy, data, size);
    take_all(slice_of(copy, size));
    if (size > 65535)
        return 0;
    seal(copy, size);
    take_all(slice_of(copy, size));
    return 0;
}
