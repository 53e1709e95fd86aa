/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of a request: where it ends, and what it says.
 *
 * The scan goes first. It takes only lines that end in CRLF and holds every size limit, so that a
 * request means the same to us as to any proxy before us: llhttp 8.1 takes a bare CR for a line end
 * and joins folded lines (CVE-2023-30589 and kin), which is how requests are smuggled. llhttp then
 * sees a whole head in one piece and keeps no state between requests.
 */
#include "http/http_int.h"

#include <llhttp.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/limits.h"

enum { BLANK_LINES_MAX = 2, REQUEST_LINE_EXTRA_BYTES = 32 };

static ScanResult end_line(HeadScan *scan, bool *out_is_end)
{
    *out_is_end = false;
    scan->after_cr = false;
    if (scan->line_bytes == 0) {
        if (scan->lines > 0)
            *out_is_end = true;
        else if (++scan->blank > BLANK_LINES_MAX)
            return SCAN_BAD;
        return SCAN_MORE;
    }
    scan->line_bytes = 0;
    return ++scan->lines > HTTP_HEADERS_MAX + 1 ? SCAN_HEADERS_TOO_LARGE : SCAN_MORE;
}

static ScanResult text_byte(HeadScan *scan, unsigned char c)
{
    if (scan->after_cr || (c < 0x20 && c != '\t') || c == 0x7F)
        return SCAN_BAD;
    if (scan->line_bytes++ == 0 && (c == ' ' || c == '\t'))
        return SCAN_BAD; /* a folded line */
    if (scan->line_bytes == 1 && c == ':')
        return SCAN_BAD; /* a header without a name */
    if (scan->lines == 0)
        return scan->line_bytes > HTTP_TARGET_BYTES_MAX + REQUEST_LINE_EXTRA_BYTES
                   ? SCAN_TARGET_TOO_LONG
                   : SCAN_MORE;
    return ++scan->header_bytes > HTTP_HEADER_BYTES_MAX ? SCAN_HEADERS_TOO_LARGE : SCAN_MORE;
}

ScanResult http__scan_head(HeadScan *scan, Slice bytes, size_t *out_taken)
{
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char c = (unsigned char)bytes.data[i];
        ScanResult result = SCAN_MORE;
        if (c == '\r') {
            result = scan->after_cr ? SCAN_BAD : SCAN_MORE;
            scan->after_cr = true;
        } else if (c == '\n') {
            bool is_end = false;
            result = scan->after_cr ? end_line(scan, &is_end) : SCAN_BAD;
            if (is_end) {
                *out_taken = i + 1;
                return SCAN_DONE;
            }
        } else {
            result = text_byte(scan, c);
        }
        if (result != SCAN_MORE) {
            *out_taken = i;
            return result;
        }
    }
    *out_taken = bytes.size;
    return SCAN_MORE;
}

/* -- llhttp ----------------------------------------------------------------------------------- */

typedef struct HeadParser {
    llhttp_t llhttp; /* first: the callbacks get it */
    HttpExchange *exchange;
    unsigned headers_max;
    bool in_value, is_done;
} HeadParser;

static void extend(Slice *slice, const char *at, size_t size)
{
    if (slice->data == NULL)
        slice->data = at;
    slice->size = (size_t)(at + size - slice->data);
}

static int on_url(llhttp_t *llhttp, const char *at, size_t size)
{
    extend(&((HeadParser *)llhttp)->exchange->request.target, at, size);
    return 0;
}

static int on_field(llhttp_t *llhttp, const char *at, size_t size)
{
    HeadParser *parser = (HeadParser *)llhttp;
    HttpRequest *request = &parser->exchange->request;
    if (parser->in_value || request->header_count == 0) {
        if (request->header_count == parser->headers_max)
            return -1;
        parser->exchange->storage[request->header_count++] = (HttpHeader){{0}, {0}};
        parser->in_value = false;
    }
    extend(&parser->exchange->storage[request->header_count - 1].name, at, size);
    return 0;
}

static int on_value(llhttp_t *llhttp, const char *at, size_t size)
{
    HeadParser *parser = (HeadParser *)llhttp;
    HttpRequest *request = &parser->exchange->request;
    if (request->header_count == 0)
        return -1;
    parser->in_value = true;
    extend(&parser->exchange->storage[request->header_count - 1].value, at, size);
    return 0;
}

static int on_value_complete(llhttp_t *llhttp)
{
    ((HeadParser *)llhttp)->in_value = true; /* also when the value was empty */
    return 0;
}

static int on_headers_complete(llhttp_t *llhttp)
{
    ((HeadParser *)llhttp)->is_done = true;
    return HPE_PAUSED; /* bodies are ours: head.c only */
}

static const HttpMethod methods[] = {
    [HTTP_GET] = METHOD_GET,     [HTTP_HEAD] = METHOD_HEAD,     [HTTP_POST] = METHOD_POST,
    [HTTP_PUT] = METHOD_PUT,     [HTTP_DELETE] = METHOD_DELETE, [HTTP_OPTIONS] = METHOD_OPTIONS,
    [HTTP_PATCH] = METHOD_PATCH,
};

static HttpMethod method_of(unsigned method)
{
    bool is_known = method == HTTP_DELETE || (method < sizeof methods / sizeof *methods &&
                                              (methods[method] || method == HTTP_GET));
    return is_known ? methods[method] : METHOD_OTHER;
}

/* -- what the headers mean -------------------------------------------------------------------- */

typedef struct Framing {
    unsigned hosts, lengths, encodings, expects;
    Slice length, encoding, expect;
    bool close, keep_alive, upgrade;
} Framing;

static Slice trim(Slice s)
{
    while (s.size && (s.data[0] == ' ' || s.data[0] == '\t'))
        s.data++, s.size--;
    while (s.size && (s.data[s.size - 1] == ' ' || s.data[s.size - 1] == '\t'))
        s.size--;
    return s;
}

static bool list_has(Slice list, Slice word)
{
    while (list.size) {
        const char *comma = (const char *)memchr(list.data, ',', list.size);
        size_t size = comma ? (size_t)(comma - list.data) : list.size;
        if (slice_equal_ignoring_case(trim(slice_of(list.data, size)), word))
            return true;
        size_t skip = comma ? size + 1 : size;
        list = slice_of(list.data + skip, list.size - skip);
    }
    return false;
}

static void read_header(Framing *framing, HttpHeader *header)
{
    header->value = trim(header->value);
    Slice name = header->name, value = header->value;
    switch (name.size) { /* few headers have these lengths: most are passed over at once */
    case 4:
        framing->hosts += slice_equal_ignoring_case(name, SLICE("host"));
        break;
    case 6:
        if (slice_equal_ignoring_case(name, SLICE("expect"))) {
            framing->expects++;
            framing->expect = value;
        }
        break;
    case 7:
        if (slice_equal_ignoring_case(name, SLICE("upgrade")))
            framing->upgrade |= list_has(value, SLICE("websocket"));
        break;
    case 10:
        if (slice_equal_ignoring_case(name, SLICE("connection"))) {
            framing->close |= list_has(value, SLICE("close"));
            framing->keep_alive |= list_has(value, SLICE("keep-alive"));
        }
        break;
    case 14:
        if (slice_equal_ignoring_case(name, SLICE("content-length"))) {
            framing->lengths++;
            framing->length = value;
        }
        break;
    case 17:
        if (slice_equal_ignoring_case(name, SLICE("transfer-encoding"))) {
            framing->encodings++;
            framing->encoding = value;
        }
        break;
    default:
        break;
    }
}

static bool parse_length(Slice text, uint64_t *out_length)
{
    uint64_t length = 0;
    if (text.size == 0 || text.size > 18)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        length = length * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out_length = length;
    return true;
}

static HttpProblem bad(const char *message)
{
    return (HttpProblem){400, "BAD_REQUEST", message};
}

static bool read_framing(HttpExchange *x, const Framing *framing, HttpProblem *out)
{
    if (framing->hosts > 1 || (framing->hosts == 0 && !x->is_http_10))
        return *out = bad("Exactly one Host header is required"), false;
    if (framing->lengths > 1)
        return *out = bad("More than one Content-Length header"), false;
    if (framing->lengths && framing->encodings)
        return *out = bad("Content-Length and Transfer-Encoding exclude each other"), false;
    if (framing->encodings > 1 || (framing->encodings && x->is_http_10))
        return *out = bad("Transfer-Encoding is not allowed here"), false;
    if (framing->encodings && !slice_equal_ignoring_case(framing->encoding, SLICE("chunked")))
        return *out = (HttpProblem){501, "NOT_IMPLEMENTED", "Only chunked Transfer-Encoding"},
               false;
    if (framing->lengths && !parse_length(framing->length, &x->body_left))
        return *out = bad("Content-Length is not a number"), false;
    bool wants_continue = slice_equal_ignoring_case(framing->expect, SLICE("100-continue"));
    if (framing->expects && !wants_continue)
        return *out = (HttpProblem){417, "EXPECTATION_FAILED", "Only 100-continue is known"}, false;
    x->body_kind = framing->encodings ? BODY_CHUNKED : x->body_left ? BODY_SIZED : BODY_NONE;
    x->expects_continue = wants_continue && !x->is_http_10 && x->body_kind != BODY_NONE;
    x->request.keep_alive =
        x->is_http_10 ? framing->keep_alive && !framing->close : !framing->close;
    x->request.wants_upgrade = framing->upgrade && x->request.method == METHOD_GET &&
                               !x->is_http_10 && x->body_kind == BODY_NONE;
    return true;
}

/* "/path?query", or the same after "http://host" (which clients of proxies send), or "*". */
static bool read_target(HttpRequest *request)
{
    Slice rest = request->target;
    if (rest.size > HTTP_TARGET_BYTES_MAX)
        return false;
    if (slice_starts_with(rest, SLICE("http://")) || slice_starts_with(rest, SLICE("https://"))) {
        const char *authority = (const char *)memchr(rest.data, '/', rest.size) + 2;
        size_t left = (size_t)(rest.data + rest.size - authority);
        const char *path = left ? (const char *)memchr(authority, '/', left) : NULL;
        rest = path ? slice_of(path, (size_t)(rest.data + rest.size - path)) : SLICE("/");
    }
    const char *mark = rest.size ? (const char *)memchr(rest.data, '?', rest.size) : NULL;
    size_t path_bytes = mark ? (size_t)(mark - rest.data) : rest.size;
    request->path = slice_of(rest.data, path_bytes);
    if (mark)
        request->query = slice_of(mark + 1, rest.size - path_bytes - 1);
    bool is_star = request->method == METHOD_OPTIONS && slice_equal(request->path, SLICE("*"));
    return is_star || (path_bytes > 0 && rest.data[0] == '/');
}

static bool run_llhttp(HttpExchange *x, unsigned headers_max, Slice text, HttpProblem *out)
{
    static const llhttp_settings_t settings = {
        .on_url = on_url,
        .on_header_field = on_field,
        .on_header_value = on_value,
        .on_header_value_complete = on_value_complete,
        .on_headers_complete = on_headers_complete,
    };
    HeadParser parser = {.exchange = x, .headers_max = headers_max};
    llhttp_init(&parser.llhttp, HTTP_REQUEST, &settings);
    llhttp_execute(&parser.llhttp, text.data, text.size);
    if (!parser.is_done)
        return *out = bad("The request is not valid HTTP/1.1"), false;
    if (parser.llhttp.http_major != 1 || parser.llhttp.http_minor > 1)
        return *out = (HttpProblem){505, "VERSION_NOT_SUPPORTED", "Only HTTP/1.0 and HTTP/1.1"},
               false;
    x->is_http_10 = parser.llhttp.http_minor == 0;
    x->request.method = method_of(parser.llhttp.method);
    const char *space = (const char *)memchr(text.data, ' ', text.size);
    x->request.method_text = slice_of(text.data, space ? (size_t)(space - text.data) : 0);
    return true;
}

HttpExchange *http__exchange_new(void)
{
    HttpExchange *x = x_new(HttpExchange);
    x->request.headers = x->storage;
    return x;
}

void http__exchange_free(HttpExchange *x)
{
    buffer_done(&x->body);
    buffer_done(&x->held);
    free(x);
}

HttpExchange *http__parse_head(Slice head, unsigned lines, HttpProblem *out_problem)
{
    while (head.size && (head.data[0] == '\r' || head.data[0] == '\n'))
        head.data++, head.size--; /* empty lines before the request */
    size_t headers_max = lines, headers_bytes = headers_max * sizeof(HttpHeader);
    HttpExchange *x = (HttpExchange *)x_grow(NULL, sizeof *x + headers_bytes + head.size);
    memset(x, 0, sizeof *x);
    x->request.headers = x->storage;
    char *text = (char *)x->storage + headers_bytes;
    memcpy(text, head.data, head.size);
    Framing framing = {0};
    if (!run_llhttp(x, (unsigned)headers_max, slice_of(text, head.size), out_problem))
        goto bad;
    for (size_t i = 0; i < x->request.header_count; i++)
        read_header(&framing, &x->storage[i]);
    if (!read_target(&x->request)) {
        bool is_long = x->request.target.size > HTTP_TARGET_BYTES_MAX;
        *out_problem = is_long
                           ? (HttpProblem){414, "URI_TOO_LONG", "The request target is too long"}
                           : bad("The request target is not a path");
        goto bad;
    }
    if (!read_framing(x, &framing, out_problem))
        goto bad;
    return x;
bad:
    http__exchange_free(x);
    return NULL;
}
