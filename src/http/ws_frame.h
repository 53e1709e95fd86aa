/* SPDX-License-Identifier: Apache-2.0
 *
 * The WebSocket protocol as a pure machine: bytes in any pieces go in, events come out. No I/O, no
 * time. The server's side: frames that arrive must be masked, frames that leave are not.
 *
 * It fails fast: a violation is reported with the byte that makes it one, invalid UTF-8 in the
 * middle of a fragmented message included. After WS_EVENT_CLOSE and WS_EVENT_ERROR it takes nothing
 * more.
 */
#pragma once

#include "base/buffer.h"
#include "base/slice.h"
#include "os/stream.h"

typedef enum WsOpcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
} WsOpcode;

enum {
    WS_CODE_NORMAL = 1000,
    WS_CODE_GOING_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_NONE = 1005,     /* a close frame without a code; never sent */
    WS_CODE_ABNORMAL = 1006, /* no close frame at all; never sent */
    WS_CODE_BAD_UTF8 = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_TOO_LARGE = 1009,
    WS_CODE_INTERNAL = 1011,
};

typedef enum WsEventKind {
    WS_EVENT_NONE,      /* all input is used up */
    WS_EVENT_MESSAGE,   /* opcode WS_TEXT or WS_BINARY, payload */
    WS_EVENT_PING,      /* payload to be sent back */
    WS_EVENT_PONG,      /* payload */
    WS_EVENT_TOO_LARGE, /* a message begins that is longer than the limit; it is being skipped */
    WS_EVENT_CLOSE,     /* code (WS_CODE_NONE when there was none), payload = reason */
    WS_EVENT_ERROR,     /* code to close with, payload = what was wrong */
} WsEventKind;

typedef struct WsEvent {
    WsEventKind kind;
    WsOpcode opcode;
    int code;
    Slice payload; /* valid until the next call with this framer */
} WsEvent;

typedef struct WsFramer {
    uint64_t frame_left;  /* payload bytes of the frame that are still to come */
    Buffer message;       /* payload of the fragments so far, unmasked */
    Buffer control;       /* payload of a control frame */
    uint32_t message_max; /* bytes */
    uint32_t utf8_state;  /* of the text message under way */
    uint8_t mask[4];
    uint8_t head[14]; /* the frame header as far as it has come */
    uint8_t head_bytes, head_need;
    uint8_t mask_at;        /* which mask byte comes next */
    uint8_t opcode;         /* of the frame under way */
    uint8_t message_opcode; /* of the message under way; WS_CONTINUATION = none */
    bool in_payload, is_final, is_skipping, is_done, is_delivered;
} WsFramer;

void ws_framer_init(WsFramer *framer, uint32_t message_bytes_max);
void ws_framer_done(WsFramer *framer);
/* Takes bytes from the front of *input until there is an event. Call until WS_EVENT_NONE. */
WsEvent ws_framer_next(WsFramer *framer, Slice *input);

/* -- sending ---------------------------------------------------------------------------------- */

/* The header of a whole, final, unmasked frame; at most 10 bytes, returns how many. */
size_t ws_frame_head(WsOpcode opcode, size_t payload_bytes, char out_head[10]);
/* One frame for many connections; returns a new shared buffer with one reference. */
SharedBuffer *ws_frame_shared(WsOpcode opcode, Slice payload);
/* Appends a close frame; a code that must not be sent becomes an empty frame. */
void ws_frame_close(int code, Slice reason, Buffer *out);
/* May this code stand in a close frame? */
bool ws_code_is_valid(int code);
