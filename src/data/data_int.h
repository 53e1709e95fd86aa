/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of data/ share with each other and with nobody else.
 */
#pragma once

#include "data/value.h"

/* CRC-32C by tables alone: the fallback of crc32c(), and what the tests compare it with. */
uint32_t data__crc32c_tables(uint32_t crc, Slice bytes);

/* The payload of one non-null value (docs/formats/row.md). `at` has data__payload_bytes_max(value)
 * bytes of room; returns the place after the payload. */
size_t data__payload_bytes_max(const Value *value);
unsigned char *data__put_payload(unsigned char *at, const Value *value);
/* False when `tag` is no type or the bytes are none of its payloads; text and bytes are
 * borrowed. */
bool data__take_payload(Cursor *c, Type tag, Value *out);

/* True when the integer fits into the type (SMALLINT, INT, BIGINT or TIMESTAMP). */
bool data__integer_fits(int64_t v, Type type);

/* The range of TIMESTAMP: 0001-01-01 00:00:00 to 9999-12-31 23:59:59.999999. */
#define DATA__TIMESTAMP_MIN_US INT64_C(-62135596800000000)
#define DATA__TIMESTAMP_MAX_US INT64_C(253402300799999999)
