/* SPDX-License-Identifier: Apache-2.0
 *
 * The WebSocket half of the bench's client: frames out masked, frames in as they come.
 */
#pragma once

#include "wire.h"

#define WIRE_UPGRADE                                                              \
    "GET /v1/ws?compress=false HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n" \
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                        \
    "Sec-WebSocket-Key: YmVuY2htYXJrLWtleS0xNg==\r\n\r\n"

/* The bytes of the first frame if it is all there, else 0; its payload. */
static inline size_t wire_frame(const Wire *w, const char **out_payload, size_t *out_count)
{
    const unsigned char *in = (const unsigned char *)w->in;
    if (w->bytes < 2)
        return 0;
    size_t head = 2, count = in[1] & 127;
    if (count >= 126) {
        size_t width = count == 126 ? 2 : 8;
        if (w->bytes < 2 + width)
            return 0;
        count = 0;
        for (size_t i = 0; i < width; i++)
            count = count << 8 | in[2 + i];
        head += width;
    }
    if (w->bytes < head + count)
        return 0;
    *out_payload = w->in + head;
    *out_count = count;
    return head + count;
}

/* Sends a text frame. The mask is zero: allowed, and cheap. */
static inline void wire_send_frame(Wire *w, const char *text)
{
    size_t count = strlen(text);
    unsigned char head[8] = {0x81};
    size_t bytes = 2;
    if (count > 65535)
        die("a frame of %zu bytes", count);
    if (count < 126) {
        head[1] = (unsigned char)(0x80 | count);
    } else {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(count >> 8);
        head[3] = (unsigned char)count;
        bytes = 4;
    }
    char *out = calloc(1, bytes + 4 + count);
    if (!out)
        abort();
    memcpy(out, head, bytes);
    memcpy(out + bytes + 4, text, count);
    wire_send(w, out, bytes + 4 + count);
    free(out);
}

/* Waits for a frame that holds `text`; others are passed over. */
static inline void wire_wait_frame(Wire *w, const char *text)
{
    for (;;) {
        const char *payload;
        size_t count, bytes;
        while ((bytes = wire_frame(w, &payload, &count)) == 0)
            wire_read(w);
        bool found = memmem(payload, count, text, strlen(text)) != NULL;
        bool refused =
            memmem(payload, count, "\"error\"", 7) || memmem(payload, count, "auth_error", 10);
        if (refused && !found)
            die("the server said %.*s", (int)count, payload);
        wire_take(w, bytes);
        if (found)
            return;
    }
}

static inline void wire_send_authenticate(Wire *w, const char *token)
{
    char text[8192];
    snprintf(text, sizeof text,
             "{\"type\":\"authenticate\",\"method\":\"jwt\",\"token\":\"%s\","
             "\"protocol\":{\"serialization\":\"json\",\"compression\":\"none\"}}",
             token);
    wire_send_frame(w, text);
}

/* Opens a WebSocket and authenticates. */
static inline Wire wire_open_socket(int port, const char *token)
{
    Wire w = wire_open(port);
    wire_send(&w, WIRE_UPGRADE, strlen(WIRE_UPGRADE));
    char *end = NULL;
    do
        wire_read(&w);
    while (!(end = strstr(w.in, "\r\n\r\n")));
    if (strncmp(w.in, "HTTP/1.1 101", 12) != 0)
        die("no upgrade: %.200s", w.in);
    wire_take(&w, (size_t)(end - w.in) + 4);
    wire_send_authenticate(&w, token);
    wire_wait_frame(&w, "auth_success");
    return w;
}
