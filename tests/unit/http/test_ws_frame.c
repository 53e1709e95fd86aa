/* SPDX-License-Identifier: Apache-2.0
 *
 * The framer against the behaviours of the Autobahn suite, chapters 1 to 7. A row is a list of
 * client frames in short hand; the events must be the same however the bytes are cut.
 *
 *     "t:Hello"   final text      "T:Hel"   text, more follows
 *     "b: B: c: C:" binary, continuation
 *     "p: o: x:"  ping, pong, close (payload given raw)
 * Events: "t:Hello" message, "p:" ping, "o:" pong, "x1000:reason", "!1002" error, "L" too large.
 */
#include "test.h"

#include <stdio.h>

#include "http/ws_frame.h"

static void add_client_frame(Buffer *out, unsigned first, Slice payload)
{
    static const unsigned char mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    char head[10];
    size_t head_bytes = ws_frame_head(WS_TEXT, payload.size, head);
    head[0] = (char)first;
    head[1] = (char)(head[1] | 0x80);
    buffer_add(out, head, head_bytes);
    buffer_add(out, mask, 4);
    for (size_t i = 0; i < payload.size; i++)
        buffer_add_char(out, (char)(payload.data[i] ^ (char)mask[i & 3]));
}

static void add_event(Buffer *out, const WsEvent *event)
{
    switch (event->kind) {
    case WS_EVENT_MESSAGE:
        buffer_add_text(out, event->opcode == WS_TEXT ? "t:" : "b:");
        buffer_add_slice(out, event->payload);
        break;
    case WS_EVENT_PING:
    case WS_EVENT_PONG:
        buffer_add_text(out, event->kind == WS_EVENT_PING ? "p:" : "o:");
        buffer_add_slice(out, event->payload);
        break;
    case WS_EVENT_CLOSE:
        buffer_printf(out, "x%d:", event->code);
        buffer_add_slice(out, event->payload);
        break;
    case WS_EVENT_ERROR:
        buffer_printf(out, "!%d", event->code);
        break;
    case WS_EVENT_TOO_LARGE:
        buffer_add_text(out, "L");
        break;
    default:
        break;
    }
    buffer_add_char(out, ' ');
}

static void run_framer(Slice bytes, size_t piece, uint32_t max, Buffer *events)
{
    WsFramer framer;
    ws_framer_init(&framer, max);
    for (size_t at = 0; at < bytes.size; at += piece) {
        Slice input = slice_of(bytes.data + at, bytes.size - at < piece ? bytes.size - at : piece);
        for (;;) {
            WsEvent event = ws_framer_next(&framer, &input);
            if (event.kind == WS_EVENT_NONE)
                break;
            add_event(events, &event);
        }
    }
    ws_framer_done(&framer);
}

static void check_events(Slice bytes, uint32_t max, Slice want)
{
    for (size_t piece = 1; piece <= bytes.size + 1; piece += piece < 16 ? 1 : bytes.size / 3 + 1) {
        CLEANUP(buffer_done) Buffer events = {0};
        run_framer(bytes, piece, max, &events);
        CHECK_SLICE(buffer_slice(&events), want);
    }
}

static unsigned first_byte(char kind)
{
    switch (kind) {
    case 't':
        return 0x81;
    case 'T':
        return 0x01;
    case 'b':
        return 0x82;
    case 'B':
        return 0x02;
    case 'c':
        return 0x80;
    case 'C':
        return 0x00;
    case 'p':
        return 0x89;
    case 'P':
        return 0x09;
    case 'o':
        return 0x8A;
    default:
        return 0x88;
    }
}

typedef struct Case {
    const char *id;
    const char *frames[6];
    const char *want;
} Case;

static void check_cases(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        for (size_t f = 0; f < 6 && cases[i].frames[f]; f++)
            add_client_frame(&bytes, first_byte(cases[i].frames[f][0]),
                             slice_of_text(cases[i].frames[f] + 2));
        CLEANUP(buffer_done) Buffer events = {0};
        run_framer(buffer_slice(&bytes), 1 << 20, 1000, &events);
        if (!slice_equal(buffer_slice(&events), slice_of_text(cases[i].want)))
            fprintf(stderr, "case %s\n", cases[i].id);
        check_events(buffer_slice(&bytes), 1000, slice_of_text(cases[i].want));
    }
}
#define CHECK_CASES(cases) check_cases(cases, sizeof(cases) / sizeof *(cases))

TEST("autobahn 1, 2, 5: messages, pings and fragments come out as they went in")
{
    static const Case cases[] = {
        {"1.1.1", {"t:"}, "t: "},
        {"1.1.2", {"t:Hello"}, "t:Hello "},
        {"1.2.1", {"b:"}, "b: "},
        {"1.2.2", {"b:\xff\xfe"}, "b:\xff\xfe "},
        {"2.1", {"p:"}, "p: "},
        {"2.2", {"p:Hello"}, "p:Hello "},
        {"2.3", {"p:\xff\xfe\xfd"}, "p:\xff\xfe\xfd "},
        {"2.7", {"o:"}, "o: "},
        {"2.8", {"o:unsolicited"}, "o:unsolicited "},
        {"2.10", {"p:1", "p:2", "p:3"}, "p:1 p:2 p:3 "},
        {"5.1", {"P:a", "c:b"}, "!1002 "},
        {"5.3", {"T:Hel", "c:lo"}, "t:Hello "},
        {"5.6", {"T:Hel", "p:now", "c:lo"}, "p:now t:Hello "},
        {"5.7", {"T:", "C:", "c:"}, "t: "},
        {"5.9", {"c:lost"}, "!1002 "},
        {"5.11", {"C:lost", "t:x"}, "!1002 "},
        {"5.15", {"T:a", "c:b", "C:c", "t:d"}, "t:ab !1002 "},
        {"5.18", {"T:a", "t:b"}, "!1002 "},
        {"5.18b", {"T:a", "b:b"}, "!1002 "},
        {"5.19", {"T:a", "C:b", "p:1", "C:c", "p:2", "c:d"}, "p:1 p:2 t:abcd "},
    };
    CHECK_CASES(cases);
}

TEST("autobahn 3, 4: reserved bits and opcodes fail the connection")
{
    for (unsigned first = 0; first < 256; first++) {
        unsigned opcode = first & 15;
        bool is_known = opcode <= 2 || (opcode >= 8 && opcode <= 10);
        if ((first & 0x70) == 0 && is_known)
            continue;
        CLEANUP(buffer_done) Buffer bytes = {0};
        add_client_frame(&bytes, 0x81, SLICE("ok"));
        add_client_frame(&bytes, first, SLICE("bad"));
        add_client_frame(&bytes, 0x89, SLICE("never"));
        check_events(buffer_slice(&bytes), 1000, SLICE("t:ok !1002 "));
    }
}

TEST("autobahn 6: invalid UTF-8 fails at the byte that makes it so")
{
    static const Case cases[] = {
        {"6.2.1", {"t:Hello-\xC2\xB5@\xC3\x9F\xC3\xB6"}, "t:Hello-\xC2\xB5@\xC3\x9F\xC3\xB6 "},
        {"6.2.3", {"T:\xC2", "C:\xB5", "c:"}, "t:\xC2\xB5 "},
        {"6.3.1",
         {"t:\xCE\xBA\xED\xA0\x80"
          "edited"},
         "!1007 "},
        {"6.4.1", {"T:\xCE\xBA\xE1\xBD\xB9", "C:\xF4\x90\x80\x80", "c:x"}, "!1007 "},
        {"6.4.2", {"T:\xF4", "C:\x90"}, "!1007 "},
        {"6.6.1", {"t:\xCE"}, "!1007 "},
        {"6.6.x", {"T:\xCE", "c:"}, "!1007 "},
        {"6.6.y", {"T:\xCE", "p:\xFF", "c:\xBA"}, "p:\xFF t:\xCE\xBA "},
        {"6.7.2", {"t:\xC2\x80"}, "t:\xC2\x80 "},
        {"6.7.3", {"t:\xE0\xA0\x80"}, "t:\xE0\xA0\x80 "},
        {"6.7.4", {"t:\xF0\x90\x80\x80"}, "t:\xF0\x90\x80\x80 "},
        {"6.8.1", {"t:\xF8\x88\x80\x80\x80"}, "!1007 "},
        {"6.9.3", {"t:\xEF\xBF\xBF"}, "t:\xEF\xBF\xBF "},
        {"6.9.4", {"t:\xF4\x8F\xBF\xBF"}, "t:\xF4\x8F\xBF\xBF "},
        {"6.10.3", {"t:\xF7\xBF\xBF\xBF"}, "!1007 "},
        {"6.11.1", {"t:\xED\x9F\xBF"}, "t:\xED\x9F\xBF "},
        {"6.11.5", {"t:\xF4\x90\x80\x80"}, "!1007 "},
        {"6.12.1", {"t:\x80"}, "!1007 "},
        {"6.14.1", {"t:\xC0\xA0"}, "!1007 "},
        {"6.16.1", {"t:\xFE"}, "!1007 "},
        {"6.17.1", {"t:\xC0\xAF"}, "!1007 "},
        {"6.18.3", {"t:\xF0\x8F\xBF\xBF"}, "!1007 "},
        {"6.20.1", {"t:\xED\xA0\x80"}, "!1007 "},
        {"6.21.8", {"t:\xED\xAF\xBF\xED\xBF\xBF"}, "!1007 "},
        {"binary", {"b:\xED\xA0\x80"}, "b:\xED\xA0\x80 "},
    };
    CHECK_CASES(cases);
    Buffer bytes = {0};
    add_client_frame(&bytes, 0x81, SLICE("\xCE\xBA\xF4\x90 and much more that never comes"));
    CLEANUP(buffer_done) Buffer events = {0};
    run_framer(slice_of(bytes.data, 10), 1, 1000, &events); /* head, CE BA F4 90 */
    CHECK_SLICE(buffer_slice(&events), SLICE("!1007 "));
    buffer_done(&bytes);
}

TEST("autobahn 7: close frames are checked, and nothing counts after them")
{
    static const Case cases[] = {
        {"7.1.1", {"t:Hello", "x:\x03\xE8"}, "t:Hello x1000: "},
        {"7.1.3", {"x:\x03\xE8", "p:after"}, "x1000: "},
        {"7.1.5", {"T:frag", "x:\x03\xE8", "c:ment"}, "x1000: "},
        {"7.3.1", {"x:"}, "x1005: "},
        {"7.3.2", {"x:a"}, "!1002 "},
        {"7.3.4", {"x:\x03\xE8Hello"}, "x1000:Hello "},
        {"7.5.1", {"x:\x03\xE8\xCE\xBA\xED\xA0\x80"}, "!1007 "},
    };
    CHECK_CASES(cases);
    static const int good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009,
                               1010, 1011, 3000, 3999, 4000, 4999};
    static const int bad[] = {0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(ws_code_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char payload[2] = {(char)(bad[i] >> 8), (char)bad[i]};
        CLEANUP(buffer_done) Buffer bytes = {0};
        add_client_frame(&bytes, 0x88, slice_of(payload, 2));
        check_events(buffer_slice(&bytes), 1000, SLICE("!1002 "));
    }
}

TEST("autobahn 1, 2.5: every length form works, and long control frames do not")
{
    static const size_t sizes[] = {0, 125, 126, 127, 128, 65535, 65536, 65537, 200000};
    static char text[200000];
    memset(text, '*', sizeof text);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CLEANUP(buffer_done) Buffer bytes = {0};
        CLEANUP(buffer_done) Buffer want = {0};
        CLEANUP(buffer_done) Buffer events = {0};
        add_client_frame(&bytes, 0x81, slice_of(text, sizes[i]));
        buffer_printf(&want, "t:%.*s ", (int)sizes[i], text);
        run_framer(buffer_slice(&bytes), 997, 1 << 20, &events);
        CHECK_SLICE(buffer_slice(&events), buffer_slice(&want));
    }
    CLEANUP(buffer_done) Buffer ping = {0};
    add_client_frame(&ping, 0x89, slice_of(text, 126));
    check_events(buffer_slice(&ping), 1000, SLICE("!1002 "));
}

TEST("an unmasked frame, a wasteful or a negative length fail the connection")
{
    check_events(SLICE("\x81\x02hi"), 1000, SLICE("!1002 "));
    check_events(SLICE("\x81\xFE\x00\x05"
                       "mmmm"),
                 1000, SLICE("!1002 "));
    check_events(slice_of("\x82\xFF\0\0\0\0\0\0\xFF\xFF"
                          "mmmm",
                          14),
                 1000, SLICE("!1002 "));
    check_events(slice_of("\x82\xFF\x80\0\0\0\0\0\0\0"
                          "mmmm",
                          14),
                 1000, SLICE("!1002 "));
}

TEST("a message over the limit is announced, skipped, and the next one is whole")
{
    char text[60];
    memset(text, 'x', sizeof text);
    CLEANUP(buffer_done) Buffer bytes = {0};
    add_client_frame(&bytes, 0x81, slice_of(text, 51));
    add_client_frame(&bytes, 0x81, SLICE("next"));
    add_client_frame(&bytes, 0x01, slice_of(text, 30)); /* fragments that add up */
    add_client_frame(&bytes, 0x00, slice_of(text, 20));
    add_client_frame(&bytes, 0x89, SLICE("ping"));
    add_client_frame(&bytes, 0x00, slice_of(text, 1));
    add_client_frame(&bytes, 0x80, slice_of(text, 60));
    add_client_frame(&bytes, 0x82, slice_of(text, 50));
    CLEANUP(buffer_done) Buffer want = {0};
    buffer_printf(&want, "L t:next p:ping L b:%.50s ", text);
    check_events(buffer_slice(&bytes), 50, buffer_slice(&want));
}

TEST("an idle framer holds memory of its last message")
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    add_client_frame(&bytes, 0x81, SLICE("some message"));
    add_client_frame(&bytes, 0x89, SLICE("ping"));
    WsFramer framer;
    ws_framer_init(&framer, 1000);
    Slice input = buffer_slice(&bytes);
    while (ws_framer_next(&framer, &input).kind != WS_EVENT_NONE)
        continue;
    CHECK(framer.message.data == NULL && framer.control.data == NULL);
    ws_framer_done(&framer);
}

TEST("frames we send are whole, unmasked, and close reasons are not cut inside a character")
{
    CLEANUP(buffer_done) Buffer out = {0};
    ws_frame_close(1006, SLICE("never sent"), &out);
    CHECK_SLICE(buffer_slice(&out), slice_of("\x88\x00", 2));
    buffer_clear(&out);
    CLEANUP(buffer_done) Buffer reason = {0};
    buffer_add_text(&reason, "a");
    for (int i = 0; i < 80; i++)
        buffer_add_text(&reason, "\xC3\xBC");
    ws_frame_close(1008, buffer_slice(&reason), &out);
    CHECK_INT(out.size, 2 + 2 + 123);
    CHECK(slice_is_utf8(slice_of(out.data + 4, out.size - 4)));
    SharedBuffer *shared = ws_frame_shared(WS_BINARY, SLICE("abc"));
    CHECK_SLICE(shared_buffer_slice(shared), SLICE("\x82\x03"
                                                   "abc"));
    shared_buffer_unref(shared);
}
