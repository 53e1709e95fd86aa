/* SPDX-License-Identifier: Apache-2.0
 *
 * The scan and the parser of request heads.
 */
#include "test.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "http/http_int.h"

static ScanResult scan_whole(Slice text, size_t piece, size_t *out_taken)
{
    HeadScan scan = {0};
    *out_taken = 0;
    for (size_t at = 0; at < text.size;) {
        size_t size = text.size - at < piece ? text.size - at : piece, taken = 0;
        ScanResult result = http__scan_head(&scan, slice_of(text.data + at, size), &taken);
        at += taken;
        *out_taken = at;
        if (result != SCAN_MORE)
            return result;
    }
    return SCAN_MORE;
}

TEST("a head that other servers read differently would be smuggled through")
{
    static const struct {
        const char *text;
        size_t size;
        ScanResult want;
    } rows[] = {
#define ROW(text, want) {text, sizeof text - 1, want}
        ROW("GET / HTTP/1.1\r\nHost: a\r\n\r\n", SCAN_DONE),
        ROW("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", SCAN_DONE),
        ROW("\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nHost: a\r\n", SCAN_MORE),
        ROW("GET / HTTP/1.1\nHost: a\r\n\r\n", SCAN_BAD), /* bare LF */
        ROW("GET / HTTP/1.1\r\nHost: a\n\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: a\rY: b\r\n\r\n", SCAN_BAD), /* bare CR */
        ROW("GET / HTTP/1.1\r\nX: a\r\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", SCAN_BAD), /* folded */
        ROW("GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\n: no name\r\n\r\n", SCAN_BAD),
        ROW(" GET / HTTP/1.1\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", SCAN_BAD), /* NUL */
        ROW("GET /\0 HTTP/1.1\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: \x01\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: \x7f\r\n\r\n", SCAN_BAD),
        ROW("GET / HTTP/1.1\r\nX: a\tb\r\n\r\n", SCAN_DONE),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t piece = 1; piece < 64; piece += 13) {
            size_t taken;
            Slice text = slice_of(rows[i].text, rows[i].size);
            ScanResult got = scan_whole(text, piece, &taken);
            if (got != rows[i].want)
                fprintf(stderr, "row %zu\n", i);
            CHECK_INT(got, rows[i].want);
            if (got == SCAN_DONE)
                CHECK_INT(taken, text.size);
        }
}

TEST("an endless request line or header block would fill the memory")
{
    CLEANUP(buffer_done) Buffer b = {0};
    size_t taken;
    buffer_add_text(&b, "GET /");
    for (int i = 0; i < HTTP_TARGET_BYTES_MAX + 100; i++)
        buffer_add_char(&b, 'a');
    CHECK_INT(scan_whole(buffer_slice(&b), 1000, &taken), SCAN_TARGET_TOO_LONG);
    buffer_clear(&b);
    buffer_add_text(&b, "GET / HTTP/1.1\r\nX: ");
    for (int i = 0; i < HTTP_HEADER_BYTES_MAX; i++)
        buffer_add_char(&b, 'a');
    CHECK_INT(scan_whole(buffer_slice(&b), 1000, &taken), SCAN_HEADERS_TOO_LARGE);
    buffer_clear(&b);
    buffer_add_text(&b, "GET / HTTP/1.1\r\n");
    for (int i = 0; i < HTTP_HEADERS_MAX + 1; i++)
        buffer_add_text(&b, "X: a\r\n");
    CHECK_INT(scan_whole(buffer_slice(&b), 1000, &taken), SCAN_HEADERS_TOO_LARGE);
}

/* 0 when the head is accepted, else the status. */
static int parse_status(Slice head)
{
    HeadScan scan = {0};
    size_t taken;
    CHECK_INT(http__scan_head(&scan, head, &taken), SCAN_DONE);
    HttpProblem problem = {0};
    HttpExchange *x = http__parse_head(head, scan.lines, &problem);
    if (!x)
        return problem.status;
    http__exchange_free(x);
    return 0;
}

TEST("a request with two lengths, no host or an odd encoding is refused before its body")
{
    static const struct {
        const char *rest;
        int want;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"GET / HTTP/1.0\r\n\r\n", 0},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
         400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n", 0},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
         "chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n", 417},
        {"GET http://a/b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400},
        {"NONSENSE / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.7\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"hello\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int got = parse_status(slice_of_text(rows[i].rest));
        if (got != rows[i].want)
            fprintf(stderr, "row %zu\n", i);
        CHECK_INT(got, rows[i].want);
    }
    int other = parse_status(
        SLICE("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"));
    CHECK(other == 501 || other == 400);
}

TEST("what a handler reads of a request is what the client sent")
{
    Slice head =
        SLICE("POST /a%20b?x=1&name=J%C3%BCrgen+K&bad=%zz HTTP/1.1\r\nHost:  h \r\n"
              "X-Empty:\r\nCookie: a=1; kalamdb_auth=tok; b=2\r\nConnection: close\r\n\r\n");
    HeadScan scan = {0};
    size_t taken;
    CHECK_INT(http__scan_head(&scan, head, &taken), SCAN_DONE);
    HttpProblem problem;
    HttpExchange *x = http__parse_head(head, scan.lines, &problem);
    CHECK(x);
    HttpRequest *r = &x->request;
    CLEANUP(buffer_done) Buffer value = {0};
    Slice header;
    CHECK_INT(r->method, METHOD_POST);
    CHECK_SLICE(r->method_text, SLICE("POST"));
    CHECK_SLICE(r->path, SLICE("/a%20b"));
    CHECK_INT(r->header_count, 4);
    CHECK(!r->keep_alive);
    CHECK(http_header(r, "HOST", &header));
    CHECK_SLICE(header, SLICE("h"));
    CHECK(http_header(r, "x-empty", &header));
    CHECK_INT(header.size, 0);
    CHECK(!http_header(r, "x-absent", &header));
    CHECK(http_query(r, "name", &value));
    CHECK_SLICE(buffer_slice(&value), SLICE("J\xC3\xBCrgen K"));
    CHECK(!http_query(r, "bad", &value));
    CHECK(!http_query(r, "nam", &value));
    CHECK(http_cookie(r, "kalamdb_auth", &header));
    CHECK_SLICE(header, SLICE("tok"));
    http__exchange_free(x);
}

TEST("chunked bodies end where they say, in any pieces, and bad framing is refused")
{
    static const struct {
        const char *text;
        ChunkResult want;
        const char *body;
    } rows[] = {
        {"5\r\nhello\r\n0\r\n\r\n", CHUNK_DONE, "hello"},
        {"5;x=y\r\nhello\r\n1 \r\n!\r\n0\r\nTrailer: a\r\n\r\n", CHUNK_DONE, "hello!"},
        {"0\r\n\r\n", CHUNK_DONE, ""},
        {"A\r\n0123456789\r\n00\r\n\r\n", CHUNK_DONE, "0123456789"},
        {"5\r\nhel", CHUNK_MORE, "hel"},
        {"5\nhello\r\n0\r\n\r\n", CHUNK_BAD, NULL},
        {"5\rhello\r\n0\r\n\r\n", CHUNK_BAD, NULL},
        {"\r\n", CHUNK_BAD, NULL},
        {"-1\r\n", CHUNK_BAD, NULL},
        {"0x5\r\n", CHUNK_BAD, NULL},
        {"123456789\r\n", CHUNK_BAD, NULL},
        {"5\r\nhelloX\r\n", CHUNK_BAD, NULL},
        {"5\r\nhello\n0\r\n\r\n", CHUNK_BAD, NULL},
        {"0\r\nA: b\rC: d\r\n\r\n", CHUNK_BAD, NULL},
        {"0\r\n folded\r\n\r\n", CHUNK_BAD, NULL},
        {"65\r\n", CHUNK_TOO_LARGE, NULL},
        {"FFFFFFFF\r\n", CHUNK_TOO_LARGE, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t piece = 1; piece < 40; piece += 4) {
            ChunkDecoder decoder = {0};
            CLEANUP(buffer_done) Buffer body = {0};
            Slice text = slice_of_text(rows[i].text);
            ChunkResult got = CHUNK_MORE;
            for (size_t at = 0; at < text.size && got == CHUNK_MORE; at += piece) {
                size_t size = text.size - at < piece ? text.size - at : piece, taken;
                got = http__decode_chunks(&decoder, slice_of(text.data + at, size), 100, &body,
                                          &taken);
            }
            CHECK_INT(got, rows[i].want);
            if (rows[i].body)
                CHECK_SLICE(buffer_slice(&body), slice_of_text(rows[i].body));
        }
}
