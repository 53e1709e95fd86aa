/* SPDX-License-Identifier: Apache-2.0
 *
 * Values for $1, $2, … as clients give them: a JSON array of scalars. Any thread.
 */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "data/value.h"

/* `list` may be NULL or null: no values. Texts and values live in the arena. E_INVALID_INPUT (no
 * array), E_INVALID_PARAMETER. */
CHECKED Code parameters_read(const json_t *list, Arena *arena, const Value **out, size_t *out_count,
                             Error *e);
/* The same from a text. */
CHECKED Code parameters_parse(Slice text, Arena *arena, const Value **out, size_t *out_count,
                              Error *e);
