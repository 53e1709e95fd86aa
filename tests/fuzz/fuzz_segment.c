/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment entries from a damaged store: the decoder refuses or gives an entry that encodes to the
 * same bytes again. The checksum is made right first, or nothing would get past it.
 */
#include <stdlib.h>
#include <string.h>

#include "cold/cold.h"
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena *arena = arena_new();
    Buffer bytes = {0}, again = {0}, once_more = {0};
    SegmentEntry *entry = NULL;
    Error error;
    buffer_add(&bytes, data, size);
    buffer_add_u32(&bytes, crc32c(0, buffer_slice(&bytes)));
    if (segment_decode(buffer_slice(&bytes), arena, &entry, &error) == OK) {
        segment_encode(entry, &again); /* may be shorter: varints have long forms */
        must(segment_decode(buffer_slice(&again), arena, &entry, &error) == OK);
        segment_encode(entry, &once_more);
        must(slice_equal(buffer_slice(&again), buffer_slice(&once_more)));
    }
    /* As it came, with whatever checksum. */
    (void)!segment_decode(slice_of(data, size), arena, &entry, &error);
    buffer_done(&bytes);
    buffer_done(&again);
    buffer_done(&once_more);
    arena_free(arena);
    return 0;
}
