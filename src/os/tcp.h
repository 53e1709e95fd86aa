/* SPDX-License-Identifier: Apache-2.0
 *
 * TCP: listening sockets, one per loop on the same port (SO_REUSEPORT, the kernel spreads the
 * connections), and the connections they accept, as streams.
 */
#pragma once

#include "os/loop.h"
#include "os/stream.h"

typedef struct Peer {
    char address[46]; /* text without port, "127.0.0.1" or "2001:db8::1"; mapped IPv4 as IPv4 */
    bool is_loopback;
} Peer;

typedef struct Listener Listener;

/* Somebody connected. The callee owns the stream: it sets handlers and context before it
 * returns. */
typedef void TcpAccepted(void *context, Stream *stream, const Peer *peer);

/* Is the port free? Sockets of one user may share a port, so a second server would not notice by
 * itself: ask once before the loops listen. `host` is an address or a name. Port 0 is always free.
 * E_ADDRESS_IN_USE names host and port; E_CONFIG an address this machine does not have. */
CHECKED Code tcp_port_check(const char *host, uint16_t port, Error *e);

/* Listens on this loop. With port 0 the kernel chooses; out_port (may be NULL) tells which. */
typedef struct TcpListen {
    const char *host;
    uint16_t port;
    TcpAccepted *accepted;
    void *context; /* borrows */
} TcpListen;
CHECKED Code tcp_listen(Loop *loop, const TcpListen *listen, Listener **out_listener,
                        uint16_t *out_port, Error *e);
/* Stops accepting; connections live on. Accepts NULL. */
void listener_close(Listener *listener);
