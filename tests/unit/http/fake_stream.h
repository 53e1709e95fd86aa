/* SPDX-License-Identifier: Apache-2.0
 *
 * A stream in memory: the test pushes bytes in and looks at what comes out. Shared by the unit
 * tests and the fuzz targets of http/.
 */
#pragma once

#include <stdlib.h>

#include "base/arena.h"
#include "os/loop.h"
#include "os/stream.h"

typedef struct FakeStream {
    Stream stream;
    Buffer out;
    bool is_paused, is_closed, is_gone;
    size_t unread; /* bytes of `out` the peer pretends not to have read yet */
} FakeStream;

static inline void fake_write(Stream *stream, Slice bytes)
{
    FakeStream *fake = (FakeStream *)stream;
    if (!fake->is_closed)
        buffer_add_slice(&fake->out, bytes);
}

static inline void fake_write_buffer(Stream *stream, Buffer *bytes)
{
    fake_write(stream, buffer_slice(bytes));
    buffer_done(bytes);
}

static inline void fake_write_shared(Stream *stream, SharedBuffer *bytes)
{
    fake_write(stream, shared_buffer_slice(bytes));
}

static inline size_t fake_queued(const Stream *stream)
{
    return ((const FakeStream *)stream)->unread;
}

static inline void fake_pause(Stream *stream)
{
    ((FakeStream *)stream)->is_paused = true;
}

static inline void fake_resume(Stream *stream)
{
    ((FakeStream *)stream)->is_paused = false;
}

static inline void fake_close(Stream *stream)
{
    ((FakeStream *)stream)->is_closed = true;
}

static const StreamOperations fake_operations = {
    fake_write, fake_write_buffer, fake_write_shared, fake_queued,
    fake_pause, fake_resume,       fake_close,        fake_close,
};

static inline FakeStream *fake_new(void)
{
    FakeStream *fake = x_new(FakeStream);
    fake->stream.operations = &fake_operations;
    return fake;
}

/* The stream reports its end; its owner is gone afterwards. */
static inline void fake_end(FakeStream *fake)
{
    fake->is_closed = true;
    if (!fake->is_gone)
        fake->stream.handlers->on_closed(fake->stream.context);
    fake->is_gone = true;
}

static inline void fake_free(FakeStream *fake)
{
    fake_end(fake);
    buffer_done(&fake->out);
    free(fake);
}

/* Bytes from the peer, `piece` at a time, in memory of their own (so that a read past them
 * shows). */
static inline void fake_push(FakeStream *fake, Slice bytes, size_t piece)
{
    for (size_t at = 0; at < bytes.size && !fake->is_closed; at += piece) {
        size_t size = bytes.size - at < piece ? bytes.size - at : piece;
        char *copy = (char *)malloc(size);
        if (!copy)
            abort();
        memcpy(copy, bytes.data + at, size);
        fake->stream.handlers->on_read(fake->stream.context, copy, size);
        free(copy);
    }
}

static inline void fake_stop_loop(void *loop)
{
    loop_stop((Loop *)loop);
}

/* Runs the tasks that are waiting. */
static inline void fake_turn(Loop *loop)
{
    loop_post(loop, fake_stop_loop, loop);
    loop_run(loop);
}
