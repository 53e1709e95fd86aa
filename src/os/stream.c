/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared buffers and the out queue.
 *
 * The count of a shared buffer needs no order to go up (who adds a reference holds one); going down
 * releases, and the last one acquires, so that all reads happen before the memory is freed.
 */
#include "os/stream.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/arena.h"
#include "os/out_queue.h"

enum {
    JOIN_BYTES_MAX = 16 * 1024, /* copied pieces grow up to this */
    FIRST_PIECE_BYTES = 512,
    COPY_BYTES_MAX = 512, /* a taken buffer this small is cheaper copied than queued */
};

SharedBuffer *shared_buffer_new(size_t size)
{
    must(size <= UINT32_MAX);
    SharedBuffer *buffer = (SharedBuffer *)x_grow(NULL, sizeof *buffer + size);
    atomic_init(&buffer->references, 1);
    buffer->size = (uint32_t)size;
    return buffer;
}

SharedBuffer *shared_buffer_copy(Slice bytes)
{
    SharedBuffer *buffer = shared_buffer_new(bytes.size);
    if (bytes.size)
        memcpy(buffer->data, bytes.data, bytes.size);
    return buffer;
}

static SharedBuffer *shared_buffer_ref(SharedBuffer *buffer)
{
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void shared_buffer_unref(SharedBuffer *buffer)
{
    if (!buffer)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        free(buffer);
}

static void piece_done(OutPiece *piece)
{
    if (piece->shared)
        shared_buffer_unref(piece->shared);
    else
        free(piece->data);
}

void out_queue_done(OutQueue *queue)
{
    for (uint32_t i = queue->first; i < queue->count; i++)
        piece_done(&queue->pieces[i]);
    free(queue->pieces);
    *queue = (OutQueue){0};
}

static OutPiece *add_piece(OutQueue *queue)
{
    if (queue->count == queue->capacity && queue->first >= queue->capacity / 2 && queue->first) {
        queue->count -= queue->first;
        memmove(queue->pieces, queue->pieces + queue->first, queue->count * sizeof(OutPiece));
        queue->first = 0;
    }
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity ? queue->capacity * 2 : 2;
        queue->pieces = (OutPiece *)x_grow(queue->pieces, queue->capacity * sizeof(OutPiece));
    }
    OutPiece *piece = &queue->pieces[queue->count++];
    *piece = (OutPiece){0};
    return piece;
}

/* The last piece, if bytes may still be added to it. */
static OutPiece *open_piece(OutQueue *queue, size_t more)
{
    if (queue->count - queue->first <= queue->pinned)
        return NULL;
    OutPiece *last = &queue->pieces[queue->count - 1];
    bool fits = !last->shared && last->size + more <= JOIN_BYTES_MAX;
    return fits ? last : NULL;
}

void out_queue_add(OutQueue *queue, Slice bytes)
{
    if (bytes.size == 0)
        return;
    OutPiece *piece = open_piece(queue, bytes.size);
    if (!piece)
        piece = add_piece(queue);
    if (piece->size + bytes.size > piece->capacity) {
        size_t capacity = piece->capacity ? piece->capacity * 2 : FIRST_PIECE_BYTES;
        if (capacity < piece->size + bytes.size)
            capacity = piece->size + bytes.size;
        piece->data = (char *)x_grow(piece->data, capacity);
        piece->capacity = capacity;
    }
    memcpy(piece->data + piece->size, bytes.data, bytes.size);
    piece->size += bytes.size;
    queue->bytes += bytes.size;
}

void out_queue_add_buffer(OutQueue *queue, Buffer *bytes)
{
    if (bytes->size <= COPY_BYTES_MAX) {
        out_queue_add(queue, buffer_slice(bytes));
        buffer_done(bytes);
        return;
    }
    OutPiece *piece = add_piece(queue);
    *piece = (OutPiece){NULL, bytes->data, bytes->size, bytes->capacity};
    queue->bytes += bytes->size;
    *bytes = (Buffer){0};
}

void out_queue_add_shared(OutQueue *queue, SharedBuffer *bytes)
{
    if (bytes->size == 0)
        return;
    OutPiece *piece = add_piece(queue);
    *piece = (OutPiece){shared_buffer_ref(bytes), bytes->data, bytes->size, 0};
    queue->bytes += bytes->size;
}

unsigned out_queue_peek(const OutQueue *queue, Slice *out, unsigned max)
{
    unsigned n = 0;
    for (uint32_t i = queue->first; i < queue->count && n < max; i++, n++) {
        size_t skip = i == queue->first ? queue->sent : 0;
        out[n] = slice_of(queue->pieces[i].data + skip, queue->pieces[i].size - skip);
    }
    return n;
}

void out_queue_pop(OutQueue *queue, size_t size)
{
    must(size <= queue->bytes);
    queue->bytes -= size;
    while (size > 0) {
        OutPiece *piece = &queue->pieces[queue->first];
        size_t left = piece->size - queue->sent;
        if (size < left) {
            queue->sent += size;
            return;
        }
        size -= left;
        piece_done(piece);
        queue->sent = 0;
        queue->first++;
    }
    if (queue->bytes == 0)
        out_queue_done(queue);
}
