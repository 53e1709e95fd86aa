/* SPDX-License-Identifier: Apache-2.0
 *
 * The out queue, and TCP streams over loopback. The client is a plain blocking socket in the
 * test's thread, the loop runs in its own.
 */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "os/out_queue.h"
#include "os/tcp.h"

TEST("the out queue changes, loses or doubles bytes")
{
    OutQueue queue = {0};
    CLEANUP(buffer_done) Buffer want = {0};
    CLEANUP(buffer_done) Buffer got = {0};
    char text[700];
    for (size_t round = 0; round < 2000; round++) {
        size_t size = test_random() % sizeof text;
        memset(text, 'a' + (int)(round % 26), size);
        Slice piece = slice_of(text, size);
        buffer_add_slice(&want, piece);
        if (round % 3 == 0) {
            out_queue_add(&queue, piece);
        } else if (round % 3 == 1) {
            Buffer taken = {0};
            buffer_add_slice(&taken, piece);
            out_queue_add_buffer(&queue, &taken);
            CHECK(taken.data == NULL);
        } else {
            SharedBuffer *shared = shared_buffer_copy(piece);
            out_queue_add_shared(&queue, shared);
            shared_buffer_unref(shared);
        }
        Slice pieces[8];
        unsigned count = out_queue_peek(&queue, pieces, 8);
        size_t pop = queue.bytes ? test_random() % (queue.bytes + 1) : 0, left = 0;
        for (unsigned i = 0; i < count; i++) {
            size_t take = pieces[i].size < pop - left ? pieces[i].size : pop - left;
            buffer_add(&got, pieces[i].data, take);
            left += take;
        }
        out_queue_pop(&queue, left);
        CHECK_INT(got.size + queue.bytes, want.size);
    }
    CHECK(memcmp(got.data, want.data, got.size) == 0);
    out_queue_pop(&queue, queue.bytes);
    CHECK(queue.pieces == NULL); /* an empty queue holds no memory */
    out_queue_done(&queue);
}

TEST("pieces that a system call is sending move or grow")
{
    OutQueue queue = {0};
    Slice before, after;
    out_queue_add(&queue, SLICE("sending"));
    queue.pinned = 1;
    out_queue_peek(&queue, &before, 1);
    for (int i = 0; i < 100; i++)
        out_queue_add(&queue, SLICE("later"));
    out_queue_peek(&queue, &after, 1);
    CHECK(before.data == after.data && before.size == after.size);
    out_queue_done(&queue);
}

/* -- sockets ---------------------------------------------------------------------------------- */

enum { ANSWER_BYTES = 8 * 1024 * 1024 };

typedef struct Echo {
    Loop *loop;
    Listener *listener;
    uint16_t port;
    Stream *stream;
    int drained, closed;
    Peer peer;
    SharedBuffer *frame;
} Echo;

/* "A" answers with 8 MB of shared buffers, "Q" closes, all else is echoed. */
static void on_read(void *context, char *bytes, size_t size)
{
    Echo *echo = (Echo *)context;
    if (bytes[0] == 'A') {
        for (int i = 0; i < ANSWER_BYTES / (int)echo->frame->size; i++)
            stream_write_shared(echo->stream, echo->frame);
        return;
    }
    stream_write(echo->stream, slice_of(bytes, size));
    if (bytes[0] == 'Q') {
        stream_close(echo->stream);
        stream_write(echo->stream, SLICE("never"));
    }
}

static void on_end(void *context)
{
    stream_close(((Echo *)context)->stream);
}

static void on_drained(void *context)
{
    ((Echo *)context)->drained++;
}

static void on_closed(void *context)
{
    Echo *echo = (Echo *)context;
    echo->closed++;
    loop_stop(echo->loop);
}

static const StreamHandlers handlers = {on_read, on_end, on_drained, on_closed};

static void on_accepted(void *context, Stream *stream, const Peer *peer)
{
    Echo *echo = (Echo *)context;
    echo->stream = stream;
    echo->peer = *peer;
    stream->handlers = &handlers;
    stream->context = echo;
}

static void start(Echo *echo)
{
    *echo = (Echo){0};
    echo->frame = shared_buffer_new(1024);
    memset(echo->frame->data, 'x', 1024);
    CHECK_OK(loop_new(&echo->loop, e));
    TcpListen listen = {"127.0.0.1", 0, on_accepted, echo};
    CHECK_OK(tcp_listen(echo->loop, &listen, &echo->listener, &echo->port, e));
    CHECK_OK(loop_thread_start(echo->loop, "echo", e));
}

static void stop(Echo *echo)
{
    loop_thread_join(echo->loop);
    loop_free(echo->loop);
    CHECK_INT(echo->frame->references, 1);
    shared_buffer_unref(echo->frame);
    CHECK_INT(echo->closed, 1);
}

static int connect_to(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_INT(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static size_t read_all(int fd, size_t want, char *out)
{
    size_t got = 0;
    char drop[65536];
    while (got < want) {
        ssize_t n = out ? read(fd, out + got, want - got) : read(fd, drop, sizeof drop);
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    return got;
}

TEST("bytes are echoed, and what was queued before a close is lost")
{
    Echo echo;
    start(&echo);
    int fd = connect_to(echo.port);
    char text[16];
    CHECK_INT(write(fd, "hello", 5), 5);
    CHECK_INT(read_all(fd, 5, text), 5);
    CHECK(memcmp(text, "hello", 5) == 0);
    CHECK_INT(write(fd, "Quit", 4), 4);
    CHECK_INT(read_all(fd, 10, text), 4); /* and then the end */
    CHECK(memcmp(text, "Quit", 4) == 0);
    close(fd);
    stop(&echo);
    CHECK_TEXT(echo.peer.address, "127.0.0.1");
    CHECK(echo.peer.is_loopback);
}

TEST("an answer larger than the kernel's buffers gets lost, or on_drained is never called")
{
    Echo echo;
    start(&echo);
    int fd = connect_to(echo.port);
    CHECK_INT(write(fd, "A", 1), 1);
    CHECK_INT(read_all(fd, ANSWER_BYTES, NULL), ANSWER_BYTES);
    shutdown(fd, SHUT_WR);
    char none;
    CHECK_INT(read(fd, &none, 1), 0);
    close(fd);
    stop(&echo);
    CHECK_INT(echo.drained, 1);
}

TEST("a client that vanishes in the middle of an answer leaves the stream or its buffers behind")
{
    Echo echo;
    start(&echo);
    int fd = connect_to(echo.port);
    char some[1000];
    CHECK_INT(write(fd, "A", 1), 1);
    CHECK_INT(read_all(fd, sizeof some, some), sizeof some);
    struct linger reset = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    stop(&echo);
}

TEST("a port that somebody else has is not named, or two loops cannot share one")
{
    Loop *loop;
    CHECK_OK(loop_new(&loop, e));
    Listener *first, *second, *third;
    uint16_t port;
    Echo echo = {.loop = loop};
    TcpListen listen = {"127.0.0.1", 0, on_accepted, &echo};
    CHECK_OK(tcp_listen(loop, &listen, &first, &port, e));
    listen.port = port;
    CHECK_OK(tcp_listen(loop, &listen, &second, NULL, e));
    Error e = {0};
    CHECK_INT(tcp_port_check("127.0.0.1", port, &e), E_ADDRESS_IN_USE);
    CHECK(strstr(e.text, "127.0.0.1") != NULL);
    listener_close(first);
    listener_close(second);
    listen.host = "no-such-host.invalid";
    CHECK_INT(tcp_listen(loop, &listen, &third, NULL, &e), E_CONFIG);
    loop_free(loop);
}
