/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP on libuv.
 *
 * A stream's life:   OPEN --close--> CLOSING --sent, shut down--> LINGERING --peer's end--> GONE
 *                      \______________ abort, error, linger time over ______________________/
 *
 * Invariants
 * I1  on_closed is called once, from the close callback, and never from within a stream_* call.
 * I2  Bytes leave only in flush(): at the end of the loop's turn, or when a pending write ends.
 * I3  At most one uv_write is pending; while it is, the pieces it sends are pinned in the queue.
 * I4  Lingering: a socket closed with unread input resets the connection, and the peer may lose the
 *     answer it has not read. So input is read and dropped until the peer's end, for a limited
 *     time.
 */
#include "os/tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/limits.h"
#include "os/loop_int.h"
#include "os/out_queue.h"

enum {
    GATHER_PIECES_MAX = 256, /* in one system call */
    BACKLOG = 4096,
    LINGER_MS = 1000,
    KEEPALIVE_SECONDS = 60,
};

typedef enum TcpState { STATE_OPEN, STATE_CLOSING, STATE_LINGERING, STATE_GONE } TcpState;

typedef struct PendingWrite {
    uv_write_t uv;
    size_t bytes;
} PendingWrite;

typedef struct TcpStream {
    Stream stream;
    uv_tcp_t uv;
    Loop *loop;
    LoopLink link;
    struct TcpStream *next_dirty;
    OutQueue out;
    uv_timer_t *linger;      /* only while lingering */
    uv_shutdown_t *shutdown; /* only while shutting down */
    TcpState state;
    bool is_dirty, is_paused, is_writing, was_above_mark, has_ended;
} TcpStream;

struct Listener {
    uv_tcp_t uv;
    LoopLink link;
    Loop *loop;
    TcpAccepted *accepted;
    void *context;
};

static void flush(TcpStream *tcp);

/* -- closing ---------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
    TcpStream *tcp = (TcpStream *)handle->data;
    loop__unlink(&tcp->link);
    if (tcp->stream.handlers)
        tcp->stream.handlers->on_closed(tcp->stream.context);
    out_queue_done(&tcp->out);
    free(tcp->shutdown);
    free(tcp);
}

static void on_linger_closed(uv_handle_t *handle)
{
    free(handle);
}

static void mark_dirty(TcpStream *tcp)
{
    if (tcp->is_dirty)
        return;
    tcp->is_dirty = true;
    tcp->next_dirty = tcp->loop->dirty;
    tcp->loop->dirty = tcp;
}

static void forget_dirty(TcpStream *tcp)
{
    if (!tcp->is_dirty)
        return;
    TcpStream **at = &tcp->loop->dirty;
    while (*at != tcp)
        at = &(*at)->next_dirty;
    *at = tcp->next_dirty;
    tcp->is_dirty = false;
}

static void go(TcpStream *tcp)
{
    if (tcp->state == STATE_GONE)
        return;
    tcp->state = STATE_GONE;
    forget_dirty(tcp);
    if (tcp->linger) {
        uv_close((uv_handle_t *)tcp->linger, on_linger_closed);
        tcp->linger = NULL;
    }
    uv_close((uv_handle_t *)&tcp->uv, on_closed); /* I1; cancels a pending write and shutdown */
}

static void on_linger_over(uv_timer_t *timer)
{
    go((TcpStream *)timer->data);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    TcpStream *tcp = (TcpStream *)request->handle->data;
    if (tcp->state == STATE_GONE)
        return;
    if (status < 0 || tcp->has_ended) {
        go(tcp);
        return;
    }
    tcp->state = STATE_LINGERING; /* I4 */
    tcp->linger = x_new(uv_timer_t);
    uv_timer_init(&tcp->loop->uv, tcp->linger);
    tcp->linger->data = tcp;
    uv_timer_start(tcp->linger, on_linger_over, LINGER_MS, 0);
}

static void shut_down(TcpStream *tcp)
{
    if (tcp->shutdown)
        return;
    tcp->shutdown = x_new(uv_shutdown_t);
    if (uv_shutdown(tcp->shutdown, (uv_stream_t *)&tcp->uv, on_shutdown))
        go(tcp);
}

/* -- reading ---------------------------------------------------------------------------------- */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    TcpStream *tcp = (TcpStream *)handle->data;
    *out = uv_buf_init(tcp->loop->read_block, LOOP_READ_BYTES);
}

static void on_read(uv_stream_t *uv, ssize_t size, const uv_buf_t *block)
{
    TcpStream *tcp = (TcpStream *)uv->data;
    bool is_open = tcp->state == STATE_OPEN;
    if (size > 0 && is_open) {
        tcp->stream.handlers->on_read(tcp->stream.context, block->base, (size_t)size);
    } else if (size == UV_EOF) {
        tcp->has_ended = true;
        if (is_open)
            tcp->stream.handlers->on_end(tcp->stream.context);
        else if (tcp->state == STATE_LINGERING)
            go(tcp);
    } else if (size < 0) {
        go(tcp);
    }
}

static void start_reading(TcpStream *tcp)
{
    if (tcp->has_ended)
        return;
    int result = uv_read_start((uv_stream_t *)&tcp->uv, on_alloc, on_read);
    if (result && result != UV_EALREADY)
        go(tcp);
}

/* -- writing ---------------------------------------------------------------------------------- */

static void sent(TcpStream *tcp, size_t bytes)
{
    out_queue_pop(&tcp->out, bytes);
    if (tcp->was_above_mark && tcp->out.bytes <= tcp->stream.drain_mark_bytes) {
        tcp->was_above_mark = false;
        if (tcp->state == STATE_OPEN)
            tcp->stream.handlers->on_drained(tcp->stream.context);
    }
}

static void on_written(uv_write_t *request, int status)
{
    TcpStream *tcp = (TcpStream *)request->handle->data;
    size_t bytes = ((PendingWrite *)request)->bytes;
    free(request);
    tcp->is_writing = false;
    tcp->out.pinned = 0;
    if (status < 0) {
        go(tcp);
        return;
    }
    sent(tcp, bytes);
    flush(tcp);
}

static unsigned gather(TcpStream *tcp, uv_buf_t *bufs)
{
    Slice pieces[GATHER_PIECES_MAX];
    unsigned count = out_queue_peek(&tcp->out, pieces, GATHER_PIECES_MAX);
    for (unsigned i = 0; i < count; i++)
        bufs[i] = uv_buf_init((char *)(uintptr_t)pieces[i].data, (unsigned)pieces[i].size);
    return count;
}

/* The kernel is full: libuv waits until it is not, and keeps what it sends. */
static void write_pending(TcpStream *tcp, uv_buf_t *bufs, unsigned count)
{
    PendingWrite *write = x_new(PendingWrite);
    for (unsigned i = 0; i < count; i++)
        write->bytes += bufs[i].len;
    if (uv_write(&write->uv, (uv_stream_t *)&tcp->uv, bufs, count, on_written)) {
        free(write);
        go(tcp);
        return;
    }
    tcp->is_writing = true; /* I3 */
    tcp->out.pinned = count;
}

/* I2 */
static void flush(TcpStream *tcp)
{
    uv_buf_t bufs[GATHER_PIECES_MAX];
    while (tcp->out.bytes && !tcp->is_writing && tcp->state != STATE_GONE) {
        unsigned count = gather(tcp, bufs);
        int result = uv_try_write((uv_stream_t *)&tcp->uv, bufs, count);
        if (result > 0) {
            sent(tcp, (size_t)result);
        } else if (result == UV_EAGAIN || result == 0) {
            write_pending(tcp, bufs, count);
        } else {
            go(tcp);
        }
    }
    if (tcp->state == STATE_CLOSING && tcp->out.bytes == 0)
        shut_down(tcp);
}

void tcp__flush_dirty(Loop *loop)
{
    while (loop->dirty) { /* on_drained may make a stream dirty again */
        TcpStream *tcp = loop->dirty;
        loop->dirty = tcp->next_dirty;
        tcp->is_dirty = false;
        flush(tcp);
    }
}

/* -- the operations --------------------------------------------------------------------------- */

static void queued(TcpStream *tcp)
{
    if (tcp->out.bytes > tcp->stream.drain_mark_bytes)
        tcp->was_above_mark = true;
    if (!tcp->is_writing)
        mark_dirty(tcp);
}

static void tcp_write(Stream *stream, Slice bytes)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (tcp->state != STATE_OPEN)
        return;
    out_queue_add(&tcp->out, bytes);
    queued(tcp);
}

static void tcp_write_buffer(Stream *stream, Buffer *bytes)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (tcp->state != STATE_OPEN) {
        buffer_done(bytes);
        return;
    }
    out_queue_add_buffer(&tcp->out, bytes);
    queued(tcp);
}

static void tcp_write_shared(Stream *stream, SharedBuffer *bytes)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (tcp->state != STATE_OPEN)
        return;
    out_queue_add_shared(&tcp->out, bytes);
    queued(tcp);
}

static size_t tcp_queued_bytes(const Stream *stream)
{
    return ((const TcpStream *)stream)->out.bytes;
}

static void tcp_pause(Stream *stream)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (tcp->is_paused || tcp->state != STATE_OPEN)
        return;
    tcp->is_paused = true;
    uv_read_stop((uv_stream_t *)&tcp->uv);
}

static void tcp_resume(Stream *stream)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (!tcp->is_paused || tcp->state != STATE_OPEN)
        return;
    tcp->is_paused = false;
    start_reading(tcp);
}

static void tcp_close(Stream *stream)
{
    TcpStream *tcp = (TcpStream *)stream;
    if (tcp->state != STATE_OPEN)
        return;
    if (tcp->is_paused)
        tcp_resume(stream);
    if (tcp->state != STATE_OPEN)
        return;
    tcp->state = STATE_CLOSING;
    if (!tcp->is_writing)
        mark_dirty(tcp); /* the flush shuts down */
}

static void tcp_abort(Stream *stream)
{
    go((TcpStream *)stream);
}

static const StreamOperations tcp_operations = {
    .write = tcp_write,
    .write_buffer = tcp_write_buffer,
    .write_shared = tcp_write_shared,
    .queued_bytes = tcp_queued_bytes,
    .pause = tcp_pause,
    .resume = tcp_resume,
    .close = tcp_close,
    .abort = tcp_abort,
};

/* -- accepting -------------------------------------------------------------------------------- */

static void fill_peer(const struct sockaddr_storage *address, Peer *out_peer)
{
    *out_peer = (Peer){0};
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        inet_ntop(AF_INET, &v4->sin_addr, out_peer->address, sizeof out_peer->address);
        out_peer->is_loopback = ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    } else if (address->ss_family == AF_INET6) {
        const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(v6)) {
            inet_ntop(AF_INET, v6->s6_addr + 12, out_peer->address, sizeof out_peer->address);
            out_peer->is_loopback = v6->s6_addr[12] == 127;
        } else {
            inet_ntop(AF_INET6, v6, out_peer->address, sizeof out_peer->address);
            out_peer->is_loopback = IN6_IS_ADDR_LOOPBACK(v6);
        }
    }
}

static void on_connection(uv_stream_t *server, int status)
{
    Listener *listener = (Listener *)server->data;
    if (status < 0)
        return; /* no descriptor left: libuv turns the client away and goes on */
    TcpStream *tcp = x_new(TcpStream);
    tcp->loop = listener->loop;
    tcp->stream.operations = &tcp_operations;
    tcp->stream.drain_mark_bytes = SOCKET_QUEUE_BYTES_MAX / 4;
    uv_tcp_init(&listener->loop->uv, &tcp->uv);
    tcp->uv.data = tcp;
    loop__link(&listener->loop->streams, &tcp->link);
    struct sockaddr_storage address = {0};
    int bytes = sizeof address;
    if (uv_accept(server, (uv_stream_t *)&tcp->uv) ||
        uv_tcp_getpeername(&tcp->uv, (struct sockaddr *)&address, &bytes)) {
        go(tcp);
        return;
    }
    uv_tcp_nodelay(&tcp->uv, 1);
    uv_tcp_keepalive(&tcp->uv, 1, KEEPALIVE_SECONDS);
    Peer peer;
    fill_peer(&address, &peer);
    listener->accepted(listener->context, &tcp->stream, &peer);
    must(tcp->stream.handlers);
    if (tcp->state != STATE_GONE && !tcp->is_paused)
        start_reading(tcp);
}

/* One bound socket, or a Code. With `shared` other sockets of this user may bind the port too. */
static Code bind_socket(const char *host, uint16_t port, bool shared, int *out_socket, Error *e)
{
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, service, &hints, &found);
    if (result)
        return fail(e, E_CONFIG, "cannot listen on %s:%u: %s", host, port, gai_strerror(result));
    struct addrinfo *chosen = found; /* a name like localhost has several: IPv4 first */
    while (chosen->ai_next && chosen->ai_family != AF_INET)
        chosen = chosen->ai_next;
    if (chosen->ai_family != AF_INET)
        chosen = found;
    int fd = socket(chosen->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, error = fd < 0 ? errno : 0;
    if (!error && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
                   (shared && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on)) ||
                   bind(fd, chosen->ai_addr, chosen->ai_addrlen)))
        error = errno;
    freeaddrinfo(found);
    if (!error) {
        *out_socket = fd;
        return OK;
    }
    if (fd >= 0)
        close(fd);
    if (error == EADDRINUSE)
        return fail(e, E_ADDRESS_IN_USE, "port %u on %s is in use by another program", port, host);
    Code code = error == EADDRNOTAVAIL || error == EACCES ? E_CONFIG : E_IO;
    return fail(e, code, "cannot listen on %s:%u: %s", host, port, strerror(error));
}

Code tcp_port_check(const char *host, uint16_t port, Error *e)
{
    int fd;
    TRY(bind_socket(host, port, false, &fd, e));
    close(fd);
    return OK;
}

static void on_listener_closed(uv_handle_t *handle)
{
    free(handle);
}

static uint16_t bound_port(const uv_tcp_t *uv)
{
    struct sockaddr_storage address = {0};
    int bytes = sizeof address;
    if (uv_tcp_getsockname(uv, (struct sockaddr *)&address, &bytes))
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

Code tcp_listen(Loop *loop, const TcpListen *listen, Listener **out_listener, uint16_t *out_port,
                Error *e)
{
    int fd;
    TRY(bind_socket(listen->host, listen->port, true, &fd, e));
    Listener *listener = x_new(Listener);
    listener->loop = loop;
    listener->accepted = listen->accepted;
    listener->context = listen->context;
    listener->uv.data = listener;
    uv_tcp_init(&loop->uv, &listener->uv);
    loop__link(&loop->listeners, &listener->link);
    int result = uv_tcp_open(&listener->uv, fd);
    if (result)
        close(fd);
    else
        result = uv_listen((uv_stream_t *)&listener->uv, BACKLOG, on_connection);
    if (result) {
        listener_close(listener);
        if (result == UV_EADDRINUSE)
            return fail(e, E_ADDRESS_IN_USE, "port %u on %s is in use by another program",
                        listen->port, listen->host);
        return loop__fail(e, result, "listen");
    }
    if (out_port)
        *out_port = bound_port(&listener->uv);
    *out_listener = listener;
    return OK;
}

void listener_close(Listener *listener)
{
    if (!listener)
        return;
    loop__unlink(&listener->link);
    uv_close((uv_handle_t *)&listener->uv, on_listener_closed);
}

void tcp__close_all(Loop *loop)
{
    while (loop->listeners.next != &loop->listeners)
        listener_close((Listener *)((char *)loop->listeners.next - offsetof(Listener, link)));
    for (LoopLink *at = loop->streams.next; at != &loop->streams; at = at->next)
        go((TcpStream *)((char *)at - offsetof(TcpStream, link)));
}
