/* SPDX-License-Identifier: Apache-2.0
 *
 * Arena of growing blocks. Blocks double from 4 KB to 256 KB; a larger request gets its own block.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"

enum { FIRST_BLOCK_BYTES = 4096, BLOCK_BYTES_MAX = 256 * 1024 };

typedef struct Block {
    struct Block *next;
    size_t used, size;
    alignas(max_align_t) char data[];
} Block;

struct Arena {
    Block *top; /* the block that serves requests; older ones follow */
    size_t bytes;
};

void *x_new_bytes(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    must(memory);
    return memory;
}

void *x_grow(void *old, size_t size)
{
    void *memory = realloc(old, size ? size : 1);
    must(memory);
    return memory;
}

char *x_text(Slice bytes)
{
    char *copy = (char *)x_new_bytes(bytes.size + 1);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

static Block *block_new(size_t size)
{
    Block *block = malloc(sizeof(Block) + size);
    must(block);
    block->next = NULL;
    block->used = 0;
    block->size = size;
    return block;
}

Arena *arena_new_small(size_t first_block_bytes)
{
    Arena *arena = x_new(Arena);
    arena->top = block_new(first_block_bytes);
    return arena;
}

Arena *arena_new(void)
{
    return arena_new_small(FIRST_BLOCK_BYTES);
}

static void free_blocks(Block *block)
{
    while (block) {
        Block *next = block->next;
        free(block);
        block = next;
    }
}

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    free_blocks(arena->top);
    free(arena);
}

void arena_free_ptr(Arena **arena)
{
    arena_free(*arena);
    *arena = NULL;
}

void arena_reset(Arena *arena)
{
    free_blocks(arena->top->next);
    arena->top->next = NULL;
    arena->top->used = 0;
    arena->bytes = 0;
    if (arena->top->size > BLOCK_BYTES_MAX) {
        free(arena->top);
        arena->top = block_new(FIRST_BLOCK_BYTES);
    }
}

size_t arena_bytes(const Arena *arena)
{
    return arena->bytes;
}

void *arena_alloc(Arena *arena, size_t size)
{
    size_t align = alignof(max_align_t);
    must(size <= SIZE_MAX / 2);
    size = (size + align - 1) & ~(align - 1);
    Block *top = arena->top;
    if (top->size - top->used < size) {
        size_t want = top->size * 2 > BLOCK_BYTES_MAX ? BLOCK_BYTES_MAX : top->size * 2;
        Block *block = block_new(size > want ? size : want);
        block->next = top;
        arena->top = top = block;
    }
    void *memory = top->data + top->used;
    top->used += size;
    arena->bytes += size;
    memset(memory, 0, size);
    return memory;
}

Slice arena_copy(Arena *arena, Slice bytes)
{
    return (Slice){arena_text(arena, bytes), bytes.size};
}

char *arena_text(Arena *arena, Slice bytes)
{
    char *copy = (char *)arena_alloc(arena, bytes.size + 1);
    if (bytes.size)
        memcpy(copy, bytes.data, bytes.size);
    return copy;
}

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    must(size >= 0);
    char *text = (char *)arena_alloc(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, again);
    va_end(again);
    return text;
}
