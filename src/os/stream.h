/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream: bytes in, bytes out, whatever carries them. TCP is one (os/tcp.h), TLS can wrap one,
 * tests and fuzzers make their own. It belongs to one loop thread.
 *
 * Writing only queues; the queue goes out in one gathered system call at the end of the loop's
 * turn. The queue is not bounded here: who writes looks at stream_queued_bytes and stops; when the
 * queue has been above the mark and falls to it, on_drained tells.
 */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"

/* -- bytes that many streams send ------------------------------------------------------------- */

/* Immutable once shared; counted across threads. */
typedef struct SharedBuffer {
    _Atomic(uint32_t) references;
    uint32_t size;
    char data[];
} SharedBuffer;

/* One reference, the caller's; the bytes are not set. */
SharedBuffer *shared_buffer_new(size_t size);
SharedBuffer *shared_buffer_copy(Slice bytes);
void shared_buffer_unref(SharedBuffer *buffer); /* any thread; accepts NULL */
static inline Slice shared_buffer_slice(const SharedBuffer *buffer)
{
    return (Slice){buffer->data, buffer->size};
}

/* -- the stream ------------------------------------------------------------------------------- */

typedef struct Stream Stream;

/* What the owner of a stream is told. None of them is called from within a stream_* call. */
typedef struct StreamHandlers {
    /* Borrows `bytes` until it returns. They may be changed in place (unmasking). */
    void (*on_read)(void *context, char *bytes, size_t size);
    /* The peer will send no more; writing still works. */
    void (*on_end)(void *context);
    /* The queue fell to the mark after having been above it. */
    void (*on_drained)(void *context);
    /* The last call, exactly once, also after stream_close. The stream is gone when it returns. */
    void (*on_closed)(void *context);
} StreamHandlers;

typedef struct StreamOperations {
    void (*write)(Stream *stream, Slice bytes);
    void (*write_buffer)(Stream *stream, Buffer *bytes);
    void (*write_shared)(Stream *stream, SharedBuffer *bytes);
    size_t (*queued_bytes)(const Stream *stream);
    void (*pause)(Stream *stream);
    void (*resume)(Stream *stream);
    void (*close)(Stream *stream);
    void (*abort)(Stream *stream);
} StreamOperations;

struct Stream {
    const StreamOperations *operations;
    const StreamHandlers *handlers; /* set by the owner before the first turn; may be replaced */
    void *context;                  /* the owner's */
    size_t drain_mark_bytes;
};

/* Copies `bytes`; small writes share a block. After close all writes are ignored. */
static inline void stream_write(Stream *stream, Slice bytes)
{
    stream->operations->write(stream, bytes);
}
/* Takes the buffer's memory and leaves it empty. */
static inline void stream_write_buffer(Stream *stream, Buffer *bytes)
{
    stream->operations->write_buffer(stream, bytes);
}
/* Adds a reference of its own. */
static inline void stream_write_shared(Stream *stream, SharedBuffer *bytes)
{
    stream->operations->write_shared(stream, bytes);
}
/* Bytes accepted and not yet taken by the kernel. */
static inline size_t stream_queued_bytes(const Stream *stream)
{
    return stream->operations->queued_bytes(stream);
}
/* No on_read until resume; what the kernel holds makes the peer wait. */
static inline void stream_pause(Stream *stream)
{
    stream->operations->pause(stream);
}
static inline void stream_resume(Stream *stream)
{
    stream->operations->resume(stream);
}
/* Sends what is queued, says goodbye and gives the peer a moment to read it. on_read is not
 * called any more. Calling it twice is fine. */
static inline void stream_close(Stream *stream)
{
    stream->operations->close(stream);
}
/* Drops what is queued and closes at once. */
static inline void stream_abort(Stream *stream)
{
    stream->operations->abort(stream);
}
