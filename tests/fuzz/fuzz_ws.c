/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the WebSocket framer: what comes out must not depend on how the bytes are cut, text is
 * always UTF-8 and nothing exceeds its limit.
 */
#include "base/error.h"
#include "base/limits.h"
#include "http/ws_frame.h"

enum { MESSAGE_MAX = 300 };

static void note(Buffer *log, const WsEvent *event)
{
    must(event->payload.size <= MESSAGE_MAX);
    if (event->kind == WS_EVENT_CLOSE || event->opcode == WS_TEXT)
        must(slice_is_utf8(event->payload));
    if (event->kind == WS_EVENT_ERROR || event->kind == WS_EVENT_CLOSE)
        must(ws_code_is_valid(event->code) || event->code == WS_CODE_NONE);
    buffer_add_u8(log, (uint8_t)event->kind);
    buffer_add_u8(log, (uint8_t)event->opcode);
    buffer_add_u32(log, (uint32_t)event->code);
    buffer_add_sized(log, event->payload);
}

static void run(Slice bytes, size_t piece, Buffer *log)
{
    WsFramer framer;
    ws_framer_init(&framer, MESSAGE_MAX);
    for (size_t at = 0; at < bytes.size; at += piece) {
        Slice input = slice_of(bytes.data + at, bytes.size - at < piece ? bytes.size - at : piece);
        WsEvent event;
        while ((event = ws_framer_next(&framer, &input)).kind != WS_EVENT_NONE)
            note(log, &event);
    }
    ws_framer_done(&framer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    Buffer whole = {0}, cut = {0};
    Slice bytes = slice_of(data + 1, size - 1);
    run(bytes, bytes.size + 1, &whole);
    run(bytes, data[0] % 16 + 1u, &cut);
    must(slice_equal(buffer_slice(&whole), buffer_slice(&cut)));
    buffer_done(&whole);
    buffer_done(&cut);
    return 0;
}
