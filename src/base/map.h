/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash map from bytes to pointers, for things kept in memory by name or key. Keys are copied,
 * values are borrowed. Not thread-safe; the owner guards it.
 */
#pragma once

#include "base/slice.h"

typedef struct Map Map;

Map *map_new(void);
void map_free(Map *map); /* accepts NULL; values are the caller's */
size_t map_count(const Map *map);
void *map_get(const Map *map, Slice key); /* NULL when absent */
/* Stores a non-NULL value; returns the one it replaced, or NULL. */
void *map_put(Map *map, Slice key, void *value);
void *map_remove(Map *map, Slice key); /* returns what was there, or NULL */

/* Visits all entries in no particular order: for (size_t i = 0; map_next(m, &i, &k, &v);) The map
 * must not gain entries meanwhile; removing the current one is fine. */
bool map_next(const Map *map, size_t *position, Slice *out_key, void **out_value);
