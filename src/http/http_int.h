/* SPDX-License-Identifier: Apache-2.0
 *
 * The inside of http/.
 *
 *     bytes -> HeadScan -> head parser (llhttp) -> HttpExchange -> body -> on_request
 *     http_respond -> held until its turn -> stream
 */
#pragma once

#include "http/http.h"

/* -- the head of a request -------------------------------------------------------------------- */

typedef enum ScanResult {
    SCAN_MORE, /* all bytes taken, the head goes on */
    SCAN_DONE,
    SCAN_BAD, /* bare CR or LF, folded line, NUL or another control character */
    SCAN_TARGET_TOO_LONG,
    SCAN_HEADERS_TOO_LARGE,
} ScanResult;

/* Finds the end of a head, and refuses what llhttp 8.1 would let through. `{0}` to start. */
typedef struct HeadScan {
    uint32_t line_bytes, header_bytes;
    uint16_t lines; /* ended so far, the request line included */
    uint8_t blank;  /* empty lines before the request line */
    bool after_cr;
} HeadScan;
ScanResult http__scan_head(HeadScan *scan, Slice bytes, size_t *out_taken);

typedef enum BodyKind { BODY_NONE, BODY_SIZED, BODY_CHUNKED } BodyKind;

/* One request and its answer. */
typedef struct HttpExchange {
    HttpRequest request;               /* first: the public face */
    struct HttpConnection *connection; /* NULL once the client has left */
    struct HttpExchange *next;
    Buffer body;
    Buffer held; /* answer that waits for the answers before it */
    void (*gone)(void *argument);
    void *gone_argument;
    void (*drained)(void *argument);
    void *drained_argument;
    uint64_t body_left; /* BODY_SIZED */
    uint64_t body_owed; /* of the answer, is_sized */
    BodyKind body_kind;
    bool expects_continue, is_http_10;
    bool is_complete;   /* all of it has been received */
    bool is_dispatched; /* on_request was called */
    bool is_streaming;  /* begun, not ended */
    bool is_sized;      /* streaming with a Content-Length, of which body_owed is still to come */
    bool is_answered;
    bool is_cut;          /* the answer is not whole: the connection must be cut */
    HttpHeader storage[]; /* headers, then the text of the head */
} HttpExchange;

/* What is wrong with a request. */
typedef struct HttpProblem {
    int status;
    const char *code; /* "BAD_REQUEST" */
    const char *message;
} HttpProblem;

/* Makes an exchange from a whole head, or returns NULL and the problem. `lines` is the scan's. */
HttpExchange *http__parse_head(Slice head, unsigned lines, HttpProblem *out_problem);
HttpExchange *http__exchange_new(void);
void http__exchange_free(HttpExchange *exchange);

/* -- chunked bodies --------------------------------------------------------------------------- */

typedef enum ChunkResult { CHUNK_MORE, CHUNK_DONE, CHUNK_BAD, CHUNK_TOO_LARGE } ChunkResult;
/* `{0}` to start. */
typedef struct ChunkDecoder {
    uint64_t left;       /* of the chunk under way */
    uint32_t line_bytes; /* of the size line or the trailers */
    uint8_t state, digits;
} ChunkDecoder;
/* Appends payload to *body until the end, or until it would be longer than `max`. */
ChunkResult http__decode_chunks(ChunkDecoder *decoder, Slice bytes, size_t max, Buffer *body,
                                size_t *out_taken);

/* -- connections and the server --------------------------------------------------------------- */

typedef struct ServerLink {
    struct ServerLink *next, *previous;
} ServerLink;

typedef enum WaitKind { WAIT_NONE, WAIT_HEAD, WAIT_BODY, WAIT_IDLE } WaitKind;

typedef struct HttpConnection {
    ServerLink link;
    HttpServer *server;
    Stream *stream;             /* NULL after an upgrade */
    HttpExchange *first, *last; /* in order of arrival, not yet answered in full */
    HttpExchange *reading;      /* == last while its body is under way */
    uint32_t exchange_count;
    size_t body_bytes; /* of all exchanges */
    Buffer head;       /* the part of a head that has come */
    Buffer input;      /* bytes that wait until a request may be read again */
    HeadScan scan;
    ChunkDecoder chunks;
    uint64_t deadline_ms;
    uint64_t progress_ms;  /* when the out queue last changed */
    size_t progress_bytes; /* what it was then */
    struct WsConnection *upgraded;
    Peer peer;
    WaitKind wait;
    bool is_busy;         /* http__run is on the stack */
    bool is_input_closed; /* nothing more is parsed: an error or the last request */
    bool has_ended;       /* the peer sends no more */
    uint8_t asked;        /* how often since, whether it still reads */
    bool is_closing;
    bool is_let_in; /* on_disconnect is due */
    bool had_request;
    bool is_paused;
} HttpConnection;

struct HttpServer {
    Loop *loop;
    const HttpHandlers *handlers;
    void *context;
    HttpOptions options;
    Listener *listeners[8];
    int listener_count;
    ServerLink connections; /* ring of HttpConnection */
    ServerLink sockets;     /* ring of WsConnection */
    ServerLink closing;     /* those of them that must be gone by their deadline */
    size_t connection_count, socket_count;
    LoopTimer *sweep; /* runs while there are connections */
    bool is_sweeping, is_draining;
    void (*drained)(void *context);
    void *drained_context;
    int64_t date_second;
    char date[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
};

static inline void http__link(ServerLink *ring, ServerLink *link)
{
    *link = (ServerLink){ring->next, ring};
    ring->next->previous = link;
    ring->next = link;
}

static inline void http__unlink(ServerLink *link)
{
    link->next->previous = link->previous;
    link->previous->next = link->next;
}

/* Takes the stream; `status` != 0: refuses with that and the body. */
void http__connection_new(HttpServer *server, Stream *stream, const Peer *peer, bool is_let_in,
                          int status, Slice refusal);
/* Something was answered or drained: go on. */
void http__run(HttpConnection *connection);
void http__sweep_connection(HttpConnection *connection, uint64_t now_ms);
/* Hands the stream over; the connection is freed as soon as nobody uses it. The exchange is freed.
 * Writes `answer` before. Returns the peer and what had been received already. */
Stream *http__upgrade(HttpExchange *exchange, struct WsConnection *socket, Slice answer,
                      Peer *out_peer);
/* The server goes: the connection is aborted and never looks at it again. */
void http__cut(HttpConnection *connection);
/* The server forgets a connection; frees nothing. */
void http__forget_connection(HttpConnection *connection);
void http__start_sweep(HttpServer *server);
/* Bytes that followed the upgrade request; delivered in a later turn (ws.c). */
void ws__early_input(struct WsConnection *socket, Slice bytes);
void ws__sweep(ServerLink *link, uint64_t now_ms);
void ws__cut(ServerLink *link);
