/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of types and of their spellings. A new type is a row in each table, a tag in type.h
 * and a case in value.c, cast.c, json.c, row.c and key.c.
 */
#include "data/type.h"

static const TypeInfo infos[] = {
    {TYPE_NULL, "NULL", "Text", "VARCHAR", "BYTE_ARRAY"},
    {TYPE_BOOLEAN, "BOOLEAN", "Boolean", "BOOLEAN", "BOOLEAN"},
    {TYPE_SMALLINT, "SMALLINT", "SmallInt", "SMALLINT", "INT32"},
    {TYPE_INT, "INT", "Int", "INTEGER", "INT32"},
    {TYPE_BIGINT, "BIGINT", "BigInt", "BIGINT", "INT64"},
    {TYPE_FLOAT, "FLOAT", "Float", "FLOAT", "FLOAT"},
    {TYPE_DOUBLE, "DOUBLE", "Double", "DOUBLE", "DOUBLE"},
    {TYPE_TEXT, "TEXT", "Text", "VARCHAR", "BYTE_ARRAY"},
    {TYPE_TIMESTAMP, "TIMESTAMP", "Timestamp", "TIMESTAMP", "INT64"},
    {TYPE_JSON, "JSON", "Json", "VARCHAR", "BYTE_ARRAY"},
    {TYPE_BYTES, "BYTES", "Bytes", "BLOB", "BYTE_ARRAY"},
    {TYPE_UUID, "UUID", "Uuid", "UUID", "FIXED_LEN_BYTE_ARRAY"},
};

static const struct {
    const char *spelling;
    Type type;
} spellings[] = {
    {"boolean", TYPE_BOOLEAN},
    {"bool", TYPE_BOOLEAN},
    {"smallint", TYPE_SMALLINT},
    {"int2", TYPE_SMALLINT},
    {"smallserial", TYPE_SMALLINT},
    {"serial2", TYPE_SMALLINT},
    {"int", TYPE_INT},
    {"integer", TYPE_INT},
    {"int4", TYPE_INT},
    {"mediumint", TYPE_INT},
    {"serial", TYPE_INT},
    {"serial4", TYPE_INT},
    {"signed", TYPE_INT},
    {"bigint", TYPE_BIGINT},
    {"int8", TYPE_BIGINT},
    {"int64", TYPE_BIGINT},
    {"bigserial", TYPE_BIGINT},
    {"serial8", TYPE_BIGINT},
    {"float", TYPE_FLOAT},
    {"real", TYPE_FLOAT},
    {"float4", TYPE_FLOAT},
    {"double", TYPE_DOUBLE},
    {"double precision", TYPE_DOUBLE},
    {"float8", TYPE_DOUBLE},
    {"float64", TYPE_DOUBLE},
    {"text", TYPE_TEXT},
    {"varchar", TYPE_TEXT},
    {"char", TYPE_TEXT},
    {"character", TYPE_TEXT},
    {"character varying", TYPE_TEXT},
    {"string", TYPE_TEXT},
    {"nvarchar", TYPE_TEXT},
    {"clob", TYPE_TEXT},
    {"tinytext", TYPE_TEXT},
    {"mediumtext", TYPE_TEXT},
    {"longtext", TYPE_TEXT},
    {"timestamp", TYPE_TIMESTAMP},
    {"json", TYPE_JSON},
    {"jsonb", TYPE_JSON},
    {"bytes", TYPE_BYTES},
    {"bytea", TYPE_BYTES},
    {"blob", TYPE_BYTES},
    {"binary", TYPE_BYTES},
    {"varbinary", TYPE_BYTES},
    {"uuid", TYPE_UUID},
};

const TypeInfo *type_info(Type type)
{
    for (size_t i = 0; i < sizeof infos / sizeof infos[0]; i++) {
        if (infos[i].type == type)
            return &infos[i];
    }
    return &infos[0];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Cuts "(255)" off the end: a length or precision changes nothing here. False when the parentheses
 * hold anything but digits. */
static bool cut_argument(Slice *s)
{
    while (s->size && is_blank(s->data[s->size - 1]))
        s->size--;
    if (s->size == 0 || s->data[s->size - 1] != ')')
        return true;
    size_t at = s->size - 1;
    while (at > 0 &&
           ((s->data[at - 1] >= '0' && s->data[at - 1] <= '9') || is_blank(s->data[at - 1])))
        at--;
    if (at == 0 || s->data[at - 1] != '(')
        return false;
    s->size = at - 1;
    while (s->size && is_blank(s->data[s->size - 1]))
        s->size--;
    return true;
}

/* Writes `s` with each run of blanks as one blank; returns the size, or 0 when it does not fit. */
static size_t squeeze(Slice s, char *out, size_t room)
{
    size_t size = 0;
    for (size_t i = 0; i < s.size; i++) {
        bool blank = is_blank(s.data[i]);
        if (blank && (size == 0 || out[size - 1] == ' '))
            continue;
        if (size == room)
            return 0;
        out[size++] = blank ? ' ' : s.data[i];
    }
    return size;
}

Type type_of_sql(Slice spelling)
{
    char text[32];
    if (!cut_argument(&spelling))
        return TYPE_NULL;
    Slice name = slice_of(text, squeeze(spelling, text, sizeof text));
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        if (slice_equal_ignoring_case(name, slice_of_text(spellings[i].spelling)))
            return spellings[i].type;
    }
    return TYPE_NULL;
}
