/* SPDX-License-Identifier: Apache-2.0
 *
 * schema_decode over any bytes, as they are and with a right checksum. What decodes must encode to
 * a schema that decodes to the same bytes again.
 */
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_schema(Slice bytes)
{
    Arena *arena = arena_new();
    Schema *schema = NULL, *again = NULL;
    Error e = {0};
    if (schema_decode(bytes, arena, &schema, &e) == OK) {
        CLEANUP(buffer_done) Buffer first = {0}, second = {0};
        schema_encode(schema, &first);
        must(schema_decode(buffer_slice(&first), arena, &again, &e) == OK);
        schema_encode(again, &second);
        must(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    } else {
        must(e.code == E_CORRUPT && schema == NULL);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    try_schema(slice_of(data, size));
    buffer_add(&bytes, data, size);
    buffer_add_u32(&bytes, crc32c(0, slice_of(data, size)));
    try_schema(buffer_slice(&bytes));
    return 0;
}
