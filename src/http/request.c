/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking things up in a request: headers, query parameters, cookies.
 */
#include "http/http_int.h"

bool http_header(const HttpRequest *request, const char *name, Slice *out_value)
{
    Slice wanted = slice_of_text(name);
    for (size_t i = 0; i < request->header_count; i++)
        if (slice_equal_ignoring_case(request->headers[i].name, wanted)) {
            *out_value = request->headers[i].value;
            return true;
        }
    return false;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_percent_decode(Slice text, bool plus_is_space, Buffer *out)
{
    size_t before = out->size;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.size ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.size ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0)) {
                out->size = before;
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        buffer_add_char(out, c);
    }
    return true;
}

/* Cuts the part before the first `separator` off *rest. */
static Slice cut(Slice *rest, char separator)
{
    const char *at = rest->size ? (const char *)memchr(rest->data, separator, rest->size) : NULL;
    size_t size = at ? (size_t)(at - rest->data) : rest->size;
    Slice part = slice_of(rest->data, size);
    size_t skip = at ? size + 1 : size;
    *rest = slice_of(rest->data + skip, rest->size - skip);
    return part;
}

bool http_query(const HttpRequest *request, const char *name, Buffer *out_value)
{
    CLEANUP(buffer_done) Buffer decoded = {0};
    Slice rest = request->query;
    while (rest.size) {
        Slice value = cut(&rest, '&');
        Slice key = cut(&value, '=');
        buffer_clear(&decoded);
        if (http_percent_decode(key, true, &decoded) &&
            slice_equal(buffer_slice(&decoded), slice_of_text(name)))
            return http_percent_decode(value, true, out_value);
    }
    return false;
}

bool http_cookie(const HttpRequest *request, const char *name, Slice *out_value)
{
    Slice wanted = slice_of_text(name);
    for (size_t i = 0; i < request->header_count; i++) {
        Slice rest = request->headers[i].value;
        if (!slice_equal_ignoring_case(request->headers[i].name, SLICE("cookie")))
            continue;
        while (rest.size) {
            Slice value = cut(&rest, ';');
            while (value.size && value.data[0] == ' ')
                value = slice_of(value.data + 1, value.size - 1);
            Slice key = cut(&value, '=');
            if (slice_equal(key, wanted)) {
                *out_value = value;
                return true;
            }
        }
    }
    return false;
}

void http_request_on_gone(HttpRequest *request, void (*gone)(void *argument), void *argument)
{
    HttpExchange *x = (HttpExchange *)request;
    x->gone = gone;
    x->gone_argument = argument;
}
