/* SPDX-License-Identifier: Apache-2.0
 *
 * row_decode over any bytes. The checksum would stop nearly every mutation, so the input is also
 * tried with a right one. What decodes must survive another round through the codec.
 */
#include "data/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLUMNS = 13 };

/* A column of every type, gaps in the ids, a default. */
static Schema make_schema(uint32_t version, Column columns[COLUMNS])
{
    static const Type types[COLUMNS] = {
        TYPE_BIGINT, TYPE_BOOLEAN,   TYPE_SMALLINT, TYPE_INT,   TYPE_FLOAT, TYPE_DOUBLE, TYPE_TEXT,
        TYPE_DOUBLE, TYPE_TIMESTAMP, TYPE_JSON,     TYPE_BYTES, TYPE_UUID,  TYPE_TEXT};
    for (uint32_t i = 0; i < COLUMNS; i++)
        columns[i] = (Column){.field_id = i + 1 + (i > 6) * 3,
                              .name = SLICE("c"),
                              .type = types[i],
                              .default_value = value_null(types[i])};
    columns[12].has_fill = true;
    columns[12].fill = value_text(SLICE("later"));
    return (Schema){.version = version,
                    .column_count = COLUMNS,
                    .key_index = 0,
                    .next_field_id = 100,
                    .columns = columns};
}

static void try_row(uint32_t version, Slice bytes)
{
    Column columns[COLUMNS];
    Value values[COLUMNS], again[COLUMNS];
    Error e = {0};
    Schema schema = make_schema(version, columns);
    if (row_decode(&schema, bytes, values, &e) != OK) {
        must(e.code == E_CORRUPT);
        return;
    }
    CLEANUP(buffer_done) Buffer out = {0};
    row_encode(&schema, values, &out);
    must(row_decode(&schema, buffer_slice(&out), again, &e) == OK);
    for (int i = 0; i < COLUMNS; i++)
        must(value_identical(&values[i], &again[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    try_row(1, slice_of(data, size));
    buffer_add(&bytes, data, size);
    buffer_add_u32(&bytes, crc32c(0, slice_of(data, size)));
    try_row(1, buffer_slice(&bytes));
    try_row(2, buffer_slice(&bytes));
    return 0;
}
