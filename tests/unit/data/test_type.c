/* SPDX-License-Identifier: Apache-2.0 */
#include "data/type.h"
#include "test.h"

TEST("a type spelling of the dialect is unknown or maps to another type")
{
    static const struct {
        const char *spelling;
        Type want;
    } rows[] = {
        {"BIGINT", TYPE_BIGINT},
        {"int8", TYPE_BIGINT},
        {"BigSerial", TYPE_BIGINT},
        {"integer", TYPE_INT},
        {"SERIAL", TYPE_INT},
        {"int2", TYPE_SMALLINT},
        {"VARCHAR(255)", TYPE_TEXT},
        {"varchar ( 10 )", TYPE_TEXT},
        {"TEXT", TYPE_TEXT},
        {"DOUBLE PRECISION", TYPE_DOUBLE},
        {"double \n precision", TYPE_DOUBLE},
        {"real", TYPE_FLOAT},
        {"TIMESTAMP(6)", TYPE_TIMESTAMP},
        {"jsonb", TYPE_JSON},
        {"bytea", TYPE_BYTES},
        {"uuid", TYPE_UUID},
        {"BOOL", TYPE_BOOLEAN},
        {"INTERVAL", TYPE_NULL},
        {"TINYINT", TYPE_NULL},
        {"", TYPE_NULL},
        {"(5)", TYPE_NULL},
        {"VARCHAR(5", TYPE_NULL},
        {"VARCHAR(a)", TYPE_NULL},
        {")", TYPE_NULL},
        {"a very long name of a type that does not exist", TYPE_NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        CHECK_INT(type_of_sql(slice_of_text(rows[i].spelling)), rows[i].want);
}

TEST("a type's own name is not read back as the type")
{
    static const Type types[] = {TYPE_BOOLEAN, TYPE_SMALLINT, TYPE_INT,  TYPE_BIGINT,
                                 TYPE_FLOAT,   TYPE_DOUBLE,   TYPE_TEXT, TYPE_TIMESTAMP,
                                 TYPE_JSON,    TYPE_BYTES,    TYPE_UUID};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        CHECK_INT(type_info(types[i])->type, types[i]);
        CHECK_INT(type_of_sql(slice_of_text(type_info(types[i])->name)), types[i]);
    }
    CHECK_TEXT(type_info(TYPE_BIGINT)->wire, "BigInt");
    CHECK_INT(type_info((Type)99)->type, TYPE_NULL);
}
