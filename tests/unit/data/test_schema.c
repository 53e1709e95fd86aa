/* SPDX-License-Identifier: Apache-2.0 */
#include "base/limits.h"
#include "data/row.h"
#include "data/schema.h"
#include "sample.h"
#include "test.h"

static void check_same_schema(const Schema *got, const Schema *want)
{
    CHECK_INT(got->version, want->version);
    CHECK_INT(got->next_field_id, want->next_field_id);
    CHECK_INT(got->key_index, want->key_index);
    CHECK_INT(got->column_count, want->column_count);
    for (uint32_t i = 0; i < want->column_count; i++) {
        const Column *a = &got->columns[i], *b = &want->columns[i];
        CHECK_INT(a->field_id, b->field_id);
        CHECK_SLICE(a->name, b->name);
        CHECK_INT(a->type, b->type);
        CHECK_INT(a->not_null, b->not_null);
        CHECK_INT(a->primary_key, b->primary_key);
        CHECK_INT(a->default_kind, b->default_kind);
        sample_check_values(&a->default_value, &b->default_value, 1);
        CHECK_INT(a->has_fill, b->has_fill);
        if (b->has_fill)
            sample_check_values(&a->fill, &b->fill, 1);
    }
}

TEST("the bytes of a stored schema have changed: old catalogs become unreadable")
{
    Arena *arena = arena_new();
    Column columns[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns), *got = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    Slice golden = sample_golden("schema.hex", arena);
    schema_encode(&schema, &bytes);
    sample_check_bytes("schema.hex", buffer_slice(&bytes), golden);
    CHECK_OK(schema_decode(golden, arena, &got, e));
    check_same_schema(got, &schema);
    arena_free(arena);
}

TEST("the bytes of a stored schema with a fill have changed, or a schema without one is not of "
     "format 1")
{
    Arena *arena = arena_new();
    Column columns[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns), *got = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    Slice golden = sample_golden("schema_fill.hex", arena);
    columns[5] = sample_column(7, "note", TYPE_TEXT);
    columns[5].default_kind = DEFAULT_LITERAL;
    columns[5].default_value = value_text(SLICE("new"));
    columns[5].has_fill = true;
    columns[5].fill = value_text(SLICE("old"));
    schema = sample_schema(2, columns, 6);
    schema.key_index = 0;
    schema_encode(&schema, &bytes);
    sample_check_bytes("schema_fill.hex", buffer_slice(&bytes), golden);
    CHECK_OK(schema_decode(golden, arena, &got, e));
    check_same_schema(got, &schema);
    columns[5].has_fill = false;
    buffer_clear(&bytes);
    schema_encode(&schema, &bytes);
    CHECK_INT(bytes.data[0], 1);
    arena_free(arena);
}

TEST("a schema without a key or with literals of each type does not read back")
{
    Arena *arena = arena_new();
    Column columns[SAMPLE_COLUMNS_MAX];
    Value values[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_all_schema(columns), *got = NULL;
    sample_all_row(values);
    for (uint32_t i = 0; i < schema.column_count; i++) {
        columns[i].default_kind = DEFAULT_LITERAL;
        columns[i].default_value = values[i];
        columns[i].has_fill = i % 3 != 1 && !values[i].is_null;
        if (columns[i].has_fill)
            columns[i].fill = values[i];
    }
    columns[3].default_value = value_null(TYPE_INT);
    columns[0].primary_key = false;
    schema.key_index = -1;
    CLEANUP(buffer_done) Buffer bytes = {0};
    schema_encode(&schema, &bytes);
    CHECK_OK(schema_decode(buffer_slice(&bytes), arena, &got, e));
    memset(bytes.data, 'x', bytes.size); /* nothing may point into the bytes */
    check_same_schema(got, &schema);
    arena_free(arena);
}

TEST("a column is not found by its name in another case, or a missing one is found")
{
    Column columns[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns);
    CHECK_INT(schema_find(&schema, SLICE("CONTENT")), 3);
    CHECK_INT(schema_find(&schema, SLICE("conten")), -1);
    CHECK_INT(schema_find(&schema, SLICE("_seq")), -1);
    CHECK_INT(schema_find(&schema, SLICE("")), -1);
}

TEST("a damaged or cut-off schema is read as if it were whole")
{
    Arena *arena = arena_new();
    Column columns[SAMPLE_COLUMNS_MAX];
    Schema schema = sample_chat_schema(columns), *got = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    schema_encode(&schema, &bytes);
    for (size_t size = 0; size < bytes.size; size++)
        CHECK_CODE(schema_decode(slice_of(bytes.data, size), arena, &got, e), E_CORRUPT);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] = (char)(bytes.data[i] ^ 0x10);
        CHECK_CODE(schema_decode(buffer_slice(&bytes), arena, &got, e), E_CORRUPT);
        bytes.data[i] = (char)(bytes.data[i] ^ 0x10);
    }
    CHECK(got == NULL);
    arena_free(arena);
}

/* The body with a right checksum. */
static void check_forged(Slice body, Code want)
{
    Arena *arena = arena_new();
    Schema *got = NULL;
    CLEANUP(buffer_done) Buffer bytes = {0};
    buffer_add_slice(&bytes, body);
    buffer_add_u32(&bytes, crc32c(0, body));
    CHECK_CODE(schema_decode(buffer_slice(&bytes), arena, &got, e), want);
    arena_free(arena);
}

TEST("a fill passes in format 1, is lost in format 2, or is read when it is cut off")
{
    check_forged(SLICE("\1\1\3\1\2"
                       "\1\1a\3\3\0"
                       "\2\1b\1\4\0\1"),
                 E_CORRUPT); /* a fill in format 1 */
    check_forged(SLICE("\2\1\3\1\2"
                       "\1\1a\3\3\0"
                       "\2\1b\1\4\0\1"),
                 OK);
    check_forged(SLICE("\2\1\3\1\2"
                       "\1\1a\3\3\0"
                       "\2\1b\1\4\0"),
                 E_CORRUPT); /* and one cut off */
}

TEST("a schema that breaks an invariant passes under a right checksum")
{
    /* format, version, next field id, key + 1, count, then: id, name, type, flags, default */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\3\0"),
                 OK);
    check_forged(SLICE("\3\1\2\1\1"
                       "\1\1a\3\3\0"),
                 E_CORRUPT); /* format */
    check_forged(SLICE("\1\0\2\1\1"
                       "\1\1a\3\3\0"),
                 E_CORRUPT);                      /* version 0 */
    check_forged(SLICE("\1\1\2\1\0"), E_CORRUPT); /* no columns */
    check_forged(SLICE("\1\1\2\2\1"
                       "\1\1a\3\3\0"),
                 E_CORRUPT); /* key past the end */
    check_forged(SLICE("\1\1\2\0\1"
                       "\1\1a\3\3\0"),
                 E_CORRUPT); /* key not announced */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\1\0"),
                 E_CORRUPT); /* key not flagged */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\2\0"),
                 E_CORRUPT); /* key may be null */
    check_forged(SLICE("\1\1\1\1\1"
                       "\1\1a\3\3\0"),
                 E_CORRUPT); /* id not below the next */
    check_forged(SLICE("\1\1\2\1\1"
                       "\0\1a\3\3\0"),
                 E_CORRUPT); /* id 0 */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\0\3\3\0"),
                 E_CORRUPT); /* no name */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1\xFF\3\3\0"),
                 E_CORRUPT); /* name is not UTF-8 */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\0\3\0"),
                 E_CORRUPT); /* type NULL */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\x08\3\0"),
                 E_CORRUPT); /* type unknown */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\7\0"),
                 E_CORRUPT); /* flag unknown */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\3\7"),
                 E_CORRUPT); /* default unknown */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\3\1"),
                 E_CORRUPT); /* literal cut off */
    check_forged(SLICE("\1\1\2\1\1"
                       "\1\1a\3\3\0\0"),
                 E_CORRUPT); /* bytes too many */
    check_forged(SLICE("\1\1\3\1\2"
                       "\1\1a\3\3\0\2\1b\3\0\0"),
                 OK);
    check_forged(SLICE("\1\1\3\1\2"
                       "\1\1a\3\3\0\2\1A\3\0\0"),
                 E_CORRUPT); /* same name */
    check_forged(SLICE("\1\1\3\1\2"
                       "\2\1a\3\3\0\1\1b\3\0\0"),
                 E_CORRUPT); /* ids fall */
    check_forged(SLICE("\1\1\3\1\2"
                       "\1\1a\3\3\0\2\1b\3\2\0"),
                 E_CORRUPT); /* two keys */
    check_forged(SLICE("\1\1\3\1\xFF\xFF\x7F"
                       "\1\1a\3\3\0"),
                 E_CORRUPT); /* huge count */
}
