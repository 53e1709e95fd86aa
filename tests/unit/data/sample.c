/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared samples; the golden files are found beside this source file.
 */
#include "sample.h"

#include <stdio.h>

#include "test.h"

Schema sample_schema(uint32_t version, Column *columns, uint32_t count)
{
    return (Schema){.version = version,
                    .column_count = count,
                    .key_index = 0,
                    .next_field_id = columns[count - 1].field_id + 1,
                    .columns = columns};
}

Column sample_column(uint32_t field_id, const char *name, Type type)
{
    return (Column){.field_id = field_id,
                    .name = slice_of_text(name),
                    .type = type,
                    .default_value = value_null(type)};
}

Schema sample_chat_schema(Column columns[SAMPLE_COLUMNS_MAX])
{
    columns[0] = sample_column(1, "id", TYPE_BIGINT);
    columns[0].primary_key = columns[0].not_null = true;
    columns[0].default_kind = DEFAULT_SNOWFLAKE_ID;
    columns[1] = sample_column(2, "conversation_id", TYPE_BIGINT);
    columns[1].not_null = true;
    columns[2] = sample_column(3, "role_id", TYPE_TEXT);
    columns[3] = sample_column(4, "content", TYPE_TEXT);
    columns[3].default_kind = DEFAULT_LITERAL;
    columns[3].default_value = value_text(SLICE("(empty)"));
    columns[4] = sample_column(5, "created_at", TYPE_TIMESTAMP);
    columns[4].default_kind = DEFAULT_NOW;
    return sample_schema(1, columns, 5);
}

void sample_chat_row(Value values[5])
{
    values[0] = value_integer(TYPE_BIGINT, INT64_C(382318436352729088));
    values[1] = value_integer(TYPE_BIGINT, 1);
    values[2] = value_text(SLICE("user"));
    values[3] = value_text(SLICE("Hello, w\xC3\xB6rld!"));
    values[4] = value_integer(TYPE_TIMESTAMP, INT64_C(1795234032123456));
}

static const Type all_types[] = {TYPE_BIGINT, TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,
                                 TYPE_FLOAT,  TYPE_DOUBLE,  TYPE_TEXT,     TYPE_TIMESTAMP,
                                 TYPE_JSON,   TYPE_BYTES,   TYPE_UUID};

Schema sample_all_schema(Column columns[SAMPLE_COLUMNS_MAX])
{
    uint32_t count = sizeof all_types / sizeof all_types[0];
    for (uint32_t i = 0; i < count; i++)
        columns[i] = sample_column(i + 1, type_info(all_types[i])->name, all_types[i]);
    columns[0].primary_key = columns[0].not_null = true;
    return sample_schema(7, columns, count);
}

void sample_all_row(Value values[11])
{
    values[0] = value_integer(TYPE_BIGINT, INT64_MIN);
    values[1] = value_boolean(true);
    values[2] = value_integer(TYPE_SMALLINT, -2);
    values[3] = value_integer(TYPE_INT, 300);
    values[4] = (Value){.type = TYPE_FLOAT, .real = 0.5};
    values[5] = value_double(-1.5);
    values[6] = value_text(SLICE("text"));
    values[7] = value_integer(TYPE_TIMESTAMP, -1);
    values[8] = (Value){.type = TYPE_JSON, .bytes = SLICE("[1]")};
    values[9] = (Value){.type = TYPE_BYTES, .bytes = SLICE("\0\xFF")};
    values[10] = (Value){.type = TYPE_UUID};
    for (uint8_t i = 0; i < 16; i++)
        values[10].uuid[i] = i;
}

void sample_check_values(const Value *got, const Value *want, uint32_t count)
{
    CLEANUP(buffer_done) Buffer text = {0};
    for (uint32_t i = 0; i < count; i++) {
        if (value_identical(&got[i], &want[i]))
            continue;
        value_print(&got[i], &text);
        buffer_add_text(&text, "`, want `");
        value_print(&want[i], &text);
        test_failed(__FILE__, __LINE__, "value %u is `%.*s`", i, SLICE_ARGS(buffer_slice(&text)));
    }
}

Slice sample_golden_text(const char *name, Arena *arena)
{
    const char *slash = strrchr(__FILE__, '/');
    char *path = arena_printf(arena, "%.*s/golden/%s", (int)(slash - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        test_failed(__FILE__, __LINE__, "cannot open %s", path);
    char *bytes = (char *)arena_alloc(arena, 65536);
    size_t size = fread(bytes, 1, 65536, file);
    fclose(file);
    CHECK(size < 65536);
    return slice_of(bytes, size);
}

Slice sample_golden(const char *name, Arena *arena)
{
    Slice text = sample_golden_text(name, arena);
    char *bytes = (char *)arena_alloc(arena, text.size / 2 + 1);
    size_t digits = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '#') {
            while (i + 1 < text.size && text.data[i] != '\n')
                i++;
            continue;
        }
        if (c == ' ' || c == '\n')
            continue;
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        CHECK(digit >= 0);
        bytes[digits / 2] = (char)((unsigned char)bytes[digits / 2] << 4 | (unsigned char)digit);
        digits++;
    }
    CHECK_INT(digits % 2, 0);
    return slice_of(bytes, digits / 2);
}

static void add_hex(Buffer *out, Slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        buffer_printf(out, "%02x", (unsigned char)bytes.data[i]);
}

void sample_check_bytes(const char *what, Slice got, Slice want)
{
    if (slice_equal(got, want))
        return;
    CLEANUP(buffer_done) Buffer text = {0};
    add_hex(&text, got);
    buffer_add_text(&text, ", want ");
    add_hex(&text, want);
    test_failed(__FILE__, __LINE__, "%s is %.*s", what, SLICE_ARGS(buffer_slice(&text)));
}
