/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON going out: values straight to bytes, no tree. JSON coming in is read by Jansson (api/).
 */
#pragma once

#include "data/value.h"

/* A quoted string; control characters, quotes and backslashes escaped; UTF-8 passes through. */
void json_add_string(Buffer *out, Slice text);
void json_add_text(Buffer *out, const char *text); /* the same for a zero-terminated string */
/* `"name":` */
void json_add_name(Buffer *out, const char *name);
/* The wire form of a value (docs/http.md, "Types on the wire"): BIGINT as a string of digits,
 * TIMESTAMP as a number of microseconds, BYTES as an array of numbers, JSON as a string that holds
 * the text, NULL as null. E_EXECUTION for NaN and infinities, which JSON cannot say. */
CHECKED Code json_add_value(Buffer *out, const Value *value, Error *e);

/* Whether the bytes are one JSON text by RFC 8259 and nothing else: UTF-8, escaped surrogates in
 * pairs, nested no deeper than JSON_DEPTH_MAX. If not, the offset of the first byte that does not
 * fit is set. */
bool json_text_valid(Slice text, size_t *out_offset);
