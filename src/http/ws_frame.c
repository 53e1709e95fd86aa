/* SPDX-License-Identifier: Apache-2.0
 *
 * The WebSocket framer (RFC 6455).
 *
 *      0                   1                   2                   3
 *      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *     |F|R|R|R| opcode|M| 7 bits of   |  126: 2 bytes of length       |
 *     |I|S|S|S|       |A| length      |  127: 8 bytes of length       |
 *     |N|V|V|V|       |S|             |                               |
 *     | ... length ...                | 4 bytes of masking key        |
 *
 * Invariants
 * I1  Bytes are unmasked and checked as they come; what is kept is what the application will get.
 * I2  A control frame never touches the message under way.
 * I3  message.size <= message_max, control.size <= 125.
 */
#include "http/ws_frame.h"

#include "base/error.h"
#include "base/limits.h"

enum { FIN = 0x80, RSV = 0x70, OPCODE = 0x0F, MASKED = 0x80, LENGTH = 0x7F };

/* -- UTF-8 ------------------------------------------------------------------------------------ */

/* The state: bytes still to come in the low 8 bits, then the smallest and the largest value the
 * next byte may have. */
static uint32_t utf8_state(unsigned left, unsigned low, unsigned high)
{
    return left | low << 8 | high << 16;
}

static bool utf8_first(unsigned char c, uint32_t *state)
{
    if (c < 0x80)
        *state = 0;
    else if (c >= 0xC2 && c <= 0xDF)
        *state = utf8_state(1, 0x80, 0xBF);
    else if (c >= 0xE0 && c <= 0xEF) /* no over-long form, no surrogate */
        *state = utf8_state(2, c == 0xE0 ? 0xA0 : 0x80, c == 0xED ? 0x9F : 0xBF);
    else if (c >= 0xF0 && c <= 0xF4) /* nothing above U+10FFFF */
        *state = utf8_state(3, c == 0xF0 ? 0x90 : 0x80, c == 0xF4 ? 0x8F : 0xBF);
    else
        return false;
    return true;
}

static bool eight_ascii(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return (word & 0x8080808080808080u) == 0;
}

/* Streaming check: start with 0, feed pieces; false as soon as it cannot become valid. At the end
 * the state must be 0 again. */
static bool feed_utf8(uint32_t *state, Slice bytes)
{
    uint32_t s = *state;
    for (size_t i = 0; i < bytes.size;) {
        if (s == 0 && bytes.size - i >= 8 && eight_ascii(bytes.data + i)) {
            i += 8;
            continue;
        }
        unsigned char c = (unsigned char)bytes.data[i++];
        if (s == 0) {
            if (!utf8_first(c, &s))
                return false;
            continue;
        }
        if (c < (s >> 8 & 0xFF) || c > (s >> 16 & 0xFF))
            return false;
        unsigned left = (s & 0xFF) - 1;
        s = left ? utf8_state(left, 0x80, 0xBF) : 0;
    }
    *state = s;
    return true;
}

bool ws_code_is_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* -- receiving -------------------------------------------------------------------------------- */

void ws_framer_init(WsFramer *f, uint32_t message_bytes_max)
{
    *f = (WsFramer){.message_max = message_bytes_max};
}

void ws_framer_done(WsFramer *f)
{
    buffer_done(&f->message);
    buffer_done(&f->control);
}

static WsEvent broken(WsFramer *f, int code, const char *what)
{
    f->is_done = true;
    return (WsEvent){WS_EVENT_ERROR, WS_CLOSE, code, slice_of_text(what)};
}

static WsEvent nothing(void)
{
    return (WsEvent){0};
}

static bool is_control(unsigned opcode)
{
    return opcode & 8;
}

/* The first two bytes alone can break the rules: then nobody waits for the rest. */
static const char *check_start(const WsFramer *f, unsigned first, unsigned second)
{
    unsigned opcode = first & OPCODE;
    if (first & RSV)
        return "reserved bit set";
    if ((opcode > WS_BINARY && opcode < WS_CLOSE) || opcode > WS_PONG)
        return "reserved opcode";
    if (!(second & MASKED))
        return "frame is not masked";
    if (is_control(opcode)) {
        if (!(first & FIN))
            return "fragmented control frame";
        return (second & LENGTH) > WS_CONTROL_BYTES_MAX ? "control frame too long" : NULL;
    }
    if (opcode == WS_CONTINUATION && f->message_opcode == WS_CONTINUATION)
        return "continuation of nothing";
    if (opcode != WS_CONTINUATION && f->message_opcode != WS_CONTINUATION)
        return "new message inside a fragmented one";
    return NULL;
}

static uint8_t head_size(unsigned second)
{
    unsigned length = second & LENGTH;
    return (uint8_t)(2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + 4);
}

static bool read_length(const WsFramer *f, uint64_t *out_length)
{
    unsigned length = f->head[1] & LENGTH, bytes = length == 126 ? 2 : length == 127 ? 8 : 0;
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | f->head[2 + i];
    if (bytes == 0)
        value = length;
    *out_length = value;
    bool is_minimal = bytes == 0 || (bytes == 2 ? value > 125 : value > UINT16_MAX);
    return is_minimal && value <= INT64_MAX;
}

/* The header is whole: the frame begins. */
static WsEvent begin_frame(WsFramer *f)
{
    uint64_t length;
    if (!read_length(f, &length))
        return broken(f, WS_CODE_PROTOCOL, "bad frame length");
    if (length > WS_SKIPPED_BYTES_MAX)
        return broken(f, WS_CODE_TOO_LARGE, "the frame is too large even to be skipped");
    memcpy(f->mask, f->head + f->head_need - 4, 4);
    f->opcode = f->head[0] & OPCODE;
    f->is_final = f->head[0] & FIN;
    f->frame_left = length;
    f->mask_at = 0;
    f->head_bytes = 0;
    f->in_payload = true;
    if (is_control(f->opcode)) {
        buffer_clear(&f->control);
        return nothing();
    }
    if (f->opcode != WS_CONTINUATION) {
        f->message_opcode = f->opcode;
        f->utf8_state = 0;
        f->is_skipping = false;
    }
    if (!f->is_skipping && length > f->message_max - f->message.size) {
        f->is_skipping = true;
        buffer_done(&f->message);
        return (WsEvent){.kind = WS_EVENT_TOO_LARGE, .opcode = (WsOpcode)f->message_opcode};
    }
    return nothing();
}

static WsEvent take_head(WsFramer *f, Slice *input)
{
    while (input->size) {
        f->head[f->head_bytes++] = (uint8_t)input->data[0];
        *input = slice_of(input->data + 1, input->size - 1);
        if (f->head_bytes < 2)
            continue;
        if (f->head_bytes == 2) {
            const char *problem = check_start(f, f->head[0], f->head[1]);
            if (problem)
                return broken(f, WS_CODE_PROTOCOL, problem);
            f->head_need = head_size(f->head[1]);
        }
        if (f->head_bytes == f->head_need)
            return begin_frame(f);
    }
    return nothing();
}

static void unmask(WsFramer *f, char *bytes, size_t size)
{
    uint8_t key[8];
    for (unsigned i = 0; i < 8; i++)
        key[i] = f->mask[(f->mask_at + i) & 3];
    uint64_t wide;
    memcpy(&wide, key, sizeof wide);
    size_t i = 0;
    for (; size - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < size; i++)
        bytes[i] = (char)(bytes[i] ^ key[i & 7]);
    f->mask_at = (uint8_t)((f->mask_at + size) & 3);
}

static WsEvent take_payload(WsFramer *f, Slice *input)
{
    size_t size = input->size < f->frame_left ? input->size : (size_t)f->frame_left;
    Slice piece = slice_of(input->data, size);
    if (size)
        *input = slice_of(input->data + size, input->size - size);
    f->frame_left -= size;
    bool for_control = is_control(f->opcode);
    if (size == 0 || (f->is_skipping && !for_control))
        return nothing();
    Buffer *to = for_control ? &f->control : &f->message;
    size_t before = to->size;
    buffer_add_slice(to, piece);
    unmask(f, to->data + before, size);                                                 /* I1 */
    must(f->message.size <= f->message_max && f->control.size <= WS_CONTROL_BYTES_MAX); /* I3 */
    if (!for_control && f->message_opcode == WS_TEXT &&
        !feed_utf8(&f->utf8_state, slice_of(to->data + before, size)))
        return broken(f, WS_CODE_BAD_UTF8, "text is not valid UTF-8");
    return nothing();
}

static WsEvent end_close(WsFramer *f)
{
    Slice payload = buffer_slice(&f->control);
    f->is_done = true;
    if (payload.size == 0)
        return (WsEvent){WS_EVENT_CLOSE, WS_CLOSE, WS_CODE_NONE, {0}};
    if (payload.size == 1)
        return broken(f, WS_CODE_PROTOCOL, "close frame of one byte");
    int code = (unsigned char)payload.data[0] << 8 | (unsigned char)payload.data[1];
    Slice reason = slice_of(payload.data + 2, payload.size - 2);
    if (!ws_code_is_valid(code))
        return broken(f, WS_CODE_PROTOCOL, "invalid close code");
    if (!slice_is_utf8(reason))
        return broken(f, WS_CODE_BAD_UTF8, "close reason is not valid UTF-8");
    return (WsEvent){WS_EVENT_CLOSE, WS_CLOSE, code, reason};
}

static WsEvent end_frame(WsFramer *f)
{
    f->in_payload = false;
    if (f->opcode == WS_CLOSE)
        return end_close(f);
    if (is_control(f->opcode)) /* I2 */
        return (WsEvent){f->opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG, (WsOpcode)f->opcode,
                         0, buffer_slice(&f->control)};
    if (!f->is_final)
        return nothing();
    WsOpcode opcode = (WsOpcode)f->message_opcode;
    f->message_opcode = WS_CONTINUATION;
    if (f->is_skipping)
        return f->is_skipping = false, nothing();
    if (opcode == WS_TEXT && f->utf8_state != 0)
        return broken(f, WS_CODE_BAD_UTF8, "text ends inside a character");
    f->is_delivered = true;
    return (WsEvent){WS_EVENT_MESSAGE, opcode, 0, buffer_slice(&f->message)};
}

/* Idle connections hold no memory. */
static void release_unused(WsFramer *f)
{
    if (f->message_opcode == WS_CONTINUATION)
        buffer_done(&f->message);
    if (!f->in_payload || !is_control(f->opcode))
        buffer_done(&f->control);
}

WsEvent ws_framer_next(WsFramer *f, Slice *input)
{
    if (f->is_delivered)
        buffer_clear(&f->message);
    f->is_delivered = false;
    while (!f->is_done) {
        WsEvent event = nothing();
        if (!f->in_payload) {
            if (input->size == 0)
                break;
            event = take_head(f, input);
        } else if (f->frame_left > 0) {
            if (input->size == 0)
                break;
            event = take_payload(f, input);
        } else {
            event = end_frame(f);
        }
        if (event.kind != WS_EVENT_NONE)
            return event;
    }
    release_unused(f);
    return nothing();
}

/* -- sending ---------------------------------------------------------------------------------- */

size_t ws_frame_head(WsOpcode opcode, size_t payload_bytes, char out_head[10])
{
    out_head[0] = (char)(FIN | opcode);
    if (payload_bytes < 126) {
        out_head[1] = (char)payload_bytes;
        return 2;
    }
    size_t bytes = payload_bytes <= UINT16_MAX ? 2 : 8;
    out_head[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++)
        out_head[2 + i] = (char)(payload_bytes >> (8 * (bytes - 1 - i)));
    return 2 + bytes;
}

SharedBuffer *ws_frame_shared(WsOpcode opcode, Slice payload)
{
    char head[10];
    size_t head_bytes = ws_frame_head(opcode, payload.size, head);
    SharedBuffer *frame = shared_buffer_new(head_bytes + payload.size);
    memcpy(frame->data, head, head_bytes);
    if (payload.size)
        memcpy(frame->data + head_bytes, payload.data, payload.size);
    return frame;
}

static void add_close(Slice payload, Buffer *out)
{
    char head[10];
    buffer_add(out, head, ws_frame_head(WS_CLOSE, payload.size, head));
    buffer_add_slice(out, payload);
}

void ws_frame_close(int code, Slice reason, Buffer *out)
{
    if (!ws_code_is_valid(code)) {
        add_close((Slice){0}, out);
        return;
    }
    char payload[WS_CONTROL_BYTES_MAX] = {(char)(code >> 8), (char)code};
    size_t size = reason.size < sizeof payload - 2 ? reason.size : sizeof payload - 2;
    while (size > 0 && size < reason.size && (reason.data[size] & 0xC0) == 0x80)
        size--; /* not inside a character */
    if (!slice_is_utf8(slice_of(reason.data, size)))
        size = 0;
    if (size)
        memcpy(payload + 2, reason.data, size);
    add_close(slice_of(payload, size + 2), out);
}
