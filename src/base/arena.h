/* SPDX-License-Identifier: Apache-2.0
 *
 * An arena hands out memory that lives until the arena is reset or freed: one per request, session
 * or process. It is passed by name; there is no hidden current one. Not thread-safe.
 *
 * Small allocations abort when memory is out. What the network or a user sizes must meet a limit of
 * base/limits.h before it gets here.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/slice.h"

typedef struct Arena Arena;

Arena *arena_new(void);
/* For what stays and is counted in thousands: its first block has so many bytes. */
Arena *arena_new_small(size_t first_block_bytes);
void arena_free(Arena *arena);      /* accepts NULL */
void arena_free_ptr(Arena **arena); /* for CLEANUP */
/* Forgets all allocations, keeps one block. */
void arena_reset(Arena *arena);
/* Bytes handed out since the last reset. */
size_t arena_bytes(const Arena *arena);

/* Zeroed, aligned for any type; never NULL. */
void *arena_alloc(Arena *arena, size_t size);
#define arena_new_array(arena, Type, count) ((Type *)arena_alloc((arena), sizeof(Type) * (count)))
#define arena_new_of(arena, Type) arena_new_array(arena, Type, 1)
/* Copies; the copy is followed by a zero byte that size does not count. */
Slice arena_copy(Arena *arena, Slice bytes);
char *arena_text(Arena *arena, Slice bytes); /* the same, zero-terminated */
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Heap memory that outlives requests: zeroed, aborts when memory is out. Release with free(). */
void *x_new_bytes(size_t size);
#define x_new(Type) ((Type *)x_new_bytes(sizeof(Type)))
#define x_new_array(Type, count) ((Type *)x_new_bytes(sizeof(Type) * (count)))
void *x_grow(void *old, size_t size); /* realloc that aborts instead of failing */
char *x_text(Slice bytes);            /* zero-terminated copy */
