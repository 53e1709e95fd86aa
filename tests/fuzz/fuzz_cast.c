/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to every type. What converts must print to a text that converts to the same value; a failure
 * must leave a message in UTF-8.
 */
#include "data/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_type(Slice text, Type type, Arena *arena)
{
    Error e = {0};
    Value from = value_text(text), value, again;
    if (value_cast(&from, type, "column 'c'", arena, &value, &e) != OK) {
        must(e.code == E_CONSTRAINT && slice_is_utf8(slice_of_text(e.text)));
        return;
    }
    CLEANUP(buffer_done) Buffer printed = {0};
    value_print(&value, &printed);
    from = value_text(buffer_slice(&printed));
    must(value_cast(&from, type, "column 'c'", arena, &again, &e) == OK);
    must(value_identical(&value, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const Type types[] = {TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,  TYPE_BIGINT,
                                 TYPE_FLOAT,   TYPE_DOUBLE,   TYPE_TEXT, TYPE_TIMESTAMP,
                                 TYPE_JSON,    TYPE_BYTES,    TYPE_UUID};
    Arena *arena = arena_new();
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        try_type(slice_of(data, size), types[i], arena);
    (void)type_of_sql(slice_of(data, size));
    arena_free(arena);
    return 0;
}
