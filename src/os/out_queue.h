/* SPDX-License-Identifier: Apache-2.0
 *
 * What waits to be sent on one stream: a queue of pieces, each copied, taken or shared. Pure, no
 * I/O. An empty queue holds no memory. `{0}` is an empty queue.
 */
#pragma once

#include "os/stream.h"

typedef struct OutPiece {
    SharedBuffer *shared; /* a reference, or NULL: then data is ours */
    char *data;
    size_t size, capacity;
} OutPiece;

typedef struct OutQueue {
    OutPiece *pieces;
    uint32_t first, count, capacity; /* pieces[first .. count) wait */
    uint32_t pinned; /* the first pieces are in a system call and must not move or grow */
    size_t sent;     /* bytes of pieces[first] that are gone already */
    size_t bytes;    /* that wait */
} OutQueue;

void out_queue_done(OutQueue *queue);
/* Copies; joins the last piece when that is small and ours. */
void out_queue_add(OutQueue *queue, Slice bytes);
void out_queue_add_buffer(OutQueue *queue, Buffer *bytes); /* takes */
void out_queue_add_shared(OutQueue *queue, SharedBuffer *bytes);
/* The first pieces as slices, at most `max` of them; returns how many. */
unsigned out_queue_peek(const OutQueue *queue, Slice *out, unsigned max);
/* Forgets the first `size` bytes. */
void out_queue_pop(OutQueue *queue, size_t size);
