/* SPDX-License-Identifier: Apache-2.0
 *
 * The row codec: the values of one row to bytes and back. Format: docs/formats/row.md.
 *
 * A row carries the version of the schema it was written with and a checksum over everything, so
 * that a wrong byte gives E_CORRUPT and never a wrong answer. Fields are found by field id: a
 * column added later reads as its default or NULL, a dropped one is skipped.
 */
#pragma once

#include "data/schema.h"

/* Appends the encoded row; `values` holds schema->column_count values of the columns' types. */
void row_encode(const Schema *schema, const Value *values, Buffer *out);

/* Decodes into `out_values` (room for schema->column_count). Text and bytes point into `bytes`.
 * `schema` is the current one; rows of another version read by field id. Types that were widened
 * since are widened. On failure (E_CORRUPT) what `out_values` holds is undefined. */
CHECKED Code row_decode(const Schema *schema, Slice bytes, Value *out_values, Error *e);

/* Order-preserving, prefix-free encoding of a key value (docs/formats/keys.md): bytes compare as
 * values do. E_CONSTRAINT above KEY_BYTES_MAX. NULL is not a key. */
CHECKED Code key_encode(const Value *value, Buffer *out, Error *e);
/* Nobody needs to read keys; tests and fuzz_key prove by it that none loses or gains anything. */
CHECKED Code key_decode(Slice *io_bytes, Type type, Arena *arena, Value *out, Error *e);

/* CRC-32C (Castagnoli), the checksum of all our formats. */
uint32_t crc32c(uint32_t crc, Slice bytes);
