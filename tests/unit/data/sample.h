/* SPDX-License-Identifier: Apache-2.0
 *
 * Schemas, rows and golden files that the tests of the codecs share.
 */
#pragma once

#include "data/schema.h"

enum { SAMPLE_COLUMNS_MAX = 16 };

/* A schema over columns on the caller's stack. */
Schema sample_schema(uint32_t version, Column *columns, uint32_t count);
Column sample_column(uint32_t field_id, const char *name, Type type);

/* The chat table of the quick start, and one row of it. */
Schema sample_chat_schema(Column columns[SAMPLE_COLUMNS_MAX]);
void sample_chat_row(Value values[5]);
/* A column of every type, and a row with a value in each. */
Schema sample_all_schema(Column columns[SAMPLE_COLUMNS_MAX]);
void sample_all_row(Value values[11]);

/* Fails the test unless all are identical. */
void sample_check_values(const Value *got, const Value *want, uint32_t count);
/* The bytes of tests/unit/data/golden/<name>: hexadecimal digits, blanks, # comments. */
Slice sample_golden(const char *name, Arena *arena);
/* The file as it is. */
Slice sample_golden_text(const char *name, Arena *arena);
/* Fails the test, showing the bytes in hexadecimal, unless they are equal. */
void sample_check_bytes(const char *what, Slice got, Slice want);
