/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "data/data_int.h"
#include "data/row.h"
#include "sample.h"
#include "test.h"

/* Encodes to the golden bytes, and decodes from them. */
static void check_golden(const Schema *schema, const Value *values, const char *name)
{
    Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer bytes = {0};
    Value got[SAMPLE_COLUMNS_MAX];
    Slice golden = sample_golden(name, arena);
    row_encode(schema, values, &bytes);
    sample_check_bytes(name, buffer_slice(&bytes), golden);
    CHECK_OK(row_decode(schema, golden, got, e));
    sample_check_values(got, values, schema->column_count);
    arena_free(arena);
}

TEST("the bytes of a stored row have changed: old data folders become unreadable")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value values[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns);
    sample_chat_row(values);
    check_golden(&schema, values, "row_chat.hex");
    schema = sample_all_schema(columns);
    sample_all_row(values);
    check_golden(&schema, values, "row_all_types.hex");
    values[1] = value_null(TYPE_BOOLEAN);
    for (uint32_t i = 4; i < 11; i++)
        values[i] = value_null(columns[i].type);
    columns[9].field_id = 200; /* ends a run of NULLs */
    columns[10].field_id = 201;
    schema.next_field_id = 202;
    check_golden(&schema, values, "row_nulls.hex");
}

TEST("a chat row takes 20 bytes or more beside its texts and numbers")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value values[5];
    CLEANUP(buffer_done) Buffer bytes = {0};
    Schema schema = sample_chat_schema(columns);
    sample_chat_row(values);
    row_encode(&schema, values, &bytes);
    size_t content = 8 + 1 + 8 + values[2].bytes.size + values[3].bytes.size;
    CHECK(bytes.size - content < 20);
}

/* A row of the chat table, encoded. */
static void encode_chat(Buffer *out)
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value values[5];
    Schema schema = sample_chat_schema(columns);
    sample_chat_row(values);
    row_encode(&schema, values, out);
}

TEST("a column added later does not read as its fill or NULL, or a later default changes old rows")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value got[SAMPLE_COLUMNS_MAX], want[SAMPLE_COLUMNS_MAX];
    CLEANUP(buffer_done) Buffer bytes = {0};
    encode_chat(&bytes);
    Schema schema = sample_chat_schema(columns);
    columns[5] = sample_column(6, "note", TYPE_TEXT);
    columns[6] = sample_column(7, "stars", TYPE_INT);
    columns[6].default_kind = DEFAULT_LITERAL;
    columns[6].default_value = value_integer(TYPE_INT, 4); /* set after the column was added */
    columns[6].has_fill = true;
    columns[6].fill = value_integer(TYPE_INT, 3);
    columns[7] = sample_column(9, "seen_at", TYPE_TIMESTAMP);
    columns[7].default_kind = DEFAULT_NOW;
    schema = sample_schema(2, columns, 8);
    sample_chat_row(want);
    want[5] = value_null(TYPE_TEXT);
    want[6] = value_integer(TYPE_INT, 3);
    want[7] = value_null(TYPE_TIMESTAMP);
    CHECK_OK(row_decode(&schema, buffer_slice(&bytes), got, e));
    sample_check_values(got, want, 8);
}

TEST("a dropped column shifts its neighbours, or a column of a newer schema fails the read")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value got[SAMPLE_COLUMNS_MAX], want[SAMPLE_COLUMNS_MAX];
    CLEANUP(buffer_done) Buffer bytes = {0};
    encode_chat(&bytes);
    sample_chat_schema(columns);
    sample_chat_row(want);
    columns[2] = columns[3]; /* drop 3 and 5, add 8 */
    columns[3] = sample_column(8, "new", TYPE_UUID);
    Schema schema = sample_schema(4, columns, 4);
    want[2] = want[3];
    want[3] = value_null(TYPE_UUID);
    CHECK_OK(row_decode(&schema, buffer_slice(&bytes), got, e));
    sample_check_values(got, want, 4);
    buffer_clear(&bytes); /* and a row of this schema, read by the older one */
    row_encode(&schema, want, &bytes);
    schema = sample_chat_schema(columns);
    CHECK_OK(row_decode(&schema, buffer_slice(&bytes), got, e));
    CHECK(got[2].is_null && got[4].is_null);
    CHECK_SLICE(got[3].bytes, want[2].bytes);
}

static void check_widened(Value from, Type to, const Value *want)
{
    Column column = sample_column(1, "c", from.type);
    Schema schema = sample_schema(1, &column, 1);
    CLEANUP(buffer_done) Buffer bytes = {0};
    Value got;
    row_encode(&schema, &from, &bytes);
    column.type = to;
    schema.version = 2;
    if (!want) {
        CHECK_CODE(row_decode(&schema, buffer_slice(&bytes), &got, e), E_CORRUPT);
        return;
    }
    CHECK_OK(row_decode(&schema, buffer_slice(&bytes), &got, e));
    sample_check_values(&got, want, 1);
}

TEST("a value of a widened column is not widened, or a wrong type is believed")
{
    Value small = value_integer(TYPE_SMALLINT, -5), real = {.type = TYPE_FLOAT, .real = 0.25};
    Value wide = value_integer(TYPE_BIGINT, -5), doubled = value_double(0.25);
    Value minus_five = value_double(-5), text = value_text(SLICE("1"));
    Value json = {.type = TYPE_JSON, .bytes = SLICE("1")};
    check_widened(small, TYPE_BIGINT, &wide);
    check_widened(small, TYPE_DOUBLE, &minus_five);
    check_widened(real, TYPE_DOUBLE, &doubled);
    check_widened(json, TYPE_TEXT, &text);
    check_widened(value_integer(TYPE_BIGINT, 70000), TYPE_SMALLINT, NULL);
    check_widened(value_integer(TYPE_BIGINT, INT64_MAX), TYPE_DOUBLE, NULL);
    check_widened(text, TYPE_BIGINT, NULL);
    check_widened(text, TYPE_JSON, NULL);
    check_widened(small, TYPE_TIMESTAMP, NULL);
}

TEST("a damaged or cut-off row is read as if it were whole")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value got[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns);
    CLEANUP(buffer_done) Buffer bytes = {0};
    encode_chat(&bytes);
    for (size_t size = 0; size < bytes.size; size++)
        CHECK_CODE(row_decode(&schema, slice_of(bytes.data, size), got, e), E_CORRUPT);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
        CHECK_CODE(row_decode(&schema, buffer_slice(&bytes), got, e), E_CORRUPT);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ 1 << bit % 8);
    }
    CHECK_OK(row_decode(&schema, buffer_slice(&bytes), got, e));
}

/* A row of schema version 2 (of the chat table as version 1, unless said) with a right checksum. */
static void check_forged(uint32_t version, Slice body, Code want)
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Value got[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns);
    schema.version = version;
    CLEANUP(buffer_done) Buffer bytes = {0};
    buffer_add_slice(&bytes, body);
    buffer_add_u32(&bytes, crc32c(0, body));
    CHECK_CODE(row_decode(&schema, buffer_slice(&bytes), got, e), want);
}

TEST("fields that come twice, have an unknown tag or are no value pass under a right checksum")
{
    check_forged(1, SLICE("\x01\x02"), OK);                        /* no fields at all */
    check_forged(1, SLICE("\x02\x02"), E_CORRUPT);                 /* another format */
    check_forged(1, SLICE("\x01\x00"), E_CORRUPT);                 /* schema version 0 */
    check_forged(1, SLICE("\x01\x02\x23\x02\x03\x02"), E_CORRUPT); /* step 0 */
    check_forged(1, SLICE("\x01\x02\x28\x02"), E_CORRUPT);         /* tag 8 */
    check_forged(1, SLICE("\x01\x02\x23"), E_CORRUPT);             /* no payload */
    check_forged(1, SLICE("\x01\x02\x3E\x01"), E_CORRUPT);         /* a run of one */
    check_forged(1, SLICE("\x01\x02\x3E\xFF\xFF\x7F"), E_CORRUPT); /* a huge run */
    check_forged(1, SLICE("\x01\x02\x66\x05zzz"), E_CORRUPT);      /* text past the end */
    check_forged(1, SLICE("\x01\x02\x21\x02"), E_CORRUPT);         /* boolean 2 */
    check_forged(1, SLICE("\x01\x02\xE1\x7F\x02"), E_CORRUPT);     /* dropped, but no value */
    check_forged(1, SLICE("\x01\x02\xFE\xFF\xFF\xFF\xFF\x03\x02"), E_CORRUPT); /* id overflow */
    check_forged(1, SLICE("\x01\x02\x3E\x05"), OK);                            /* five NULLs */
    check_forged(2, SLICE("\x01\x02\x3E\x05"), OK);
    check_forged(2, SLICE("\x01\x02\x3E\x04"), E_CORRUPT); /* own version, one missing */
    check_forged(2, SLICE("\x01\x02\x3E\x06"), E_CORRUPT); /* own version, one unknown */
}

static Value random_value(Type type, const char *random_bytes)
{
    Value v = {.type = type};
    int64_t bits = (int64_t)(test_random() >> test_random() % 64);
    if (test_random() % 4 == 0)
        return value_null(type);
    switch (type) {
    case TYPE_BOOLEAN:
        v.boolean = bits & 1;
        break;
    case TYPE_FLOAT:
        v.real = (double)(float)bits;
        break;
    case TYPE_DOUBLE:
        v.real = (double)bits / 3;
        break;
    case TYPE_TEXT:
    case TYPE_JSON:
    case TYPE_BYTES:
        v.bytes = slice_of(random_bytes, (size_t)bits % 300);
        break;
    case TYPE_UUID:
        memcpy(v.uuid, random_bytes, sizeof v.uuid);
        break;
    default:
        v.integer = type == TYPE_SMALLINT ? (int16_t)bits : type == TYPE_INT ? (int32_t)bits : bits;
    }
    return v;
}

TEST("some row of random columns, gaps and NULLs does not read back")
{
    static const Type types[] = {TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,  TYPE_BIGINT,
                                 TYPE_FLOAT,   TYPE_DOUBLE,   TYPE_TEXT, TYPE_TIMESTAMP,
                                 TYPE_JSON,    TYPE_BYTES,    TYPE_UUID};
    char random_bytes[300];
    for (size_t i = 0; i < sizeof random_bytes; i++)
        random_bytes[i] = (char)test_random();
    Arena *arena = arena_new();
    Column *columns = arena_new_array(arena, Column, COLUMNS_MAX);
    Value *values = arena_new_array(arena, Value, COLUMNS_MAX);
    Value *got = arena_new_array(arena, Value, COLUMNS_MAX);
    for (int round = 0; round < 300; round++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        uint32_t count = round == 0 ? COLUMNS_MAX : 1 + (uint32_t)(test_random() % 30), id = 0;
        for (uint32_t i = 0; i < count; i++) {
            id += test_random() % 8 ? 1 : 1 + (uint32_t)(test_random() % 1000);
            columns[i] = sample_column(id, "c", types[test_random() % 11]);
            values[i] = random_value(columns[i].type, random_bytes);
        }
        Schema schema = sample_schema(1 + (uint32_t)round, columns, count);
        row_encode(&schema, values, &bytes);
        CHECK_OK(row_decode(&schema, buffer_slice(&bytes), got, e));
        sample_check_values(got, values, count);
    }
    arena_free(arena);
}
