/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared answers. Texts of failures inside the server (I/O, corruption, bugs) can name paths: only
 * admins get them on the wire, everybody else a sentence; the log has them all.
 */
#include "api/reply.h"

#include "api/failure_log.h"
#include "data/json.h"

enum { HEADERS_MAX = 12 };

static bool is_inner(Code code)
{
    return code == E_INTERNAL || code == E_IO || code == E_CORRUPT || code == E_DISK_FULL ||
           code == E_OUTCOME_UNKNOWN || code == E_WOULD_BLOCK;
}

/* What users read instead: never where the server keeps its files. */
static const char *outer_text(Code code)
{
    switch ((int)code) {
    case E_DISK_FULL:
        return "The server has no disk space left; reads go on, writes are refused until there is "
               "some";
    case E_OUTCOME_UNKNOWN:
        return "The disk failed during this commit; it may or may not be stored. Read before you "
               "retry";
    case E_CORRUPT:
        return "Stored data is damaged; an administrator must look at the log";
    default:
        return "SQL request failed; an administrator finds the reason in the log";
    }
}

bool reply_origin_allowed(const ApiContext *context, Slice origin)
{
    const char *const *allowed = context->settings.allowed_origins;
    if (!allowed || !allowed[0])
        return true;
    if (origin.size && slice_equal(origin, slice_of_text(context->settings.public_origin)))
        return true;
    for (; *allowed; allowed++) {
        if (slice_equal(origin, slice_of_text(*allowed)) ||
            slice_equal(SLICE("*"), slice_of_text(*allowed)))
            return true;
    }
    return false;
}

/* An origin is echoed only when listed: with credentials "*" would be refused by browsers and
 * wrong. */
size_t reply_add_cors(ApiLoop *api, HttpRequest *request, HttpHeader *headers, size_t count)
{
    Slice origin;
    if (!http_header(request, "origin", &origin) || !reply_origin_allowed(api->context, origin))
        return count;
    headers[count++] = (HttpHeader){SLICE("Access-Control-Allow-Origin"), origin};
    headers[count++] = (HttpHeader){SLICE("Vary"), SLICE("Origin")};
    const char *const *allowed = api->context->settings.allowed_origins;
    if (allowed && allowed[0] && strcmp(allowed[0], "*") != 0)
        headers[count++] = (HttpHeader){SLICE("Access-Control-Allow-Credentials"), SLICE("true")};
    return count;
}

void reply_json_with(ApiLoop *api, HttpRequest *request, int status, const HttpHeader *headers,
                     size_t count, Buffer *body)
{
    HttpHeader all[HEADERS_MAX] = {{SLICE("Content-Type"), SLICE("application/json")}};
    size_t used = 1;
    must(count + 2 + REPLY_CORS_HEADERS_MAX <= HEADERS_MAX);
    for (size_t i = 0; i < count; i++)
        all[used++] = headers[i];
    used = reply_add_cors(api, request, all, used);
    if (status == 503 || status == 429)
        all[used++] = (HttpHeader){SLICE("Retry-After"), SLICE("1")};
    http_respond_buffer(request, status, all, used, body);
}

void reply_json(ApiLoop *api, HttpRequest *request, int status, Buffer *body)
{
    reply_json_with(api, request, status, NULL, 0, body);
}

void reply_preflight(ApiLoop *api, HttpRequest *request)
{
    HttpHeader headers[HEADERS_MAX];
    size_t count = reply_add_cors(api, request, headers, 0);
    headers[count++] =
        (HttpHeader){SLICE("Access-Control-Allow-Methods"), SLICE("GET, POST, OPTIONS")};
    headers[count++] = (HttpHeader){SLICE("Access-Control-Allow-Headers"),
                                    SLICE("Authorization, Content-Type, Last-Event-ID")};
    headers[count++] = (HttpHeader){SLICE("Access-Control-Max-Age"), SLICE("3600")};
    http_respond(request, 204, headers, count, (Slice){0});
}

static void add_error_object(Buffer *out, const Error *error, bool is_admin, Slice details)
{
    buffer_add_text(out, "\"error\":{\"code\":");
    json_add_text(out, code_info(error->code)->wire);
    buffer_add_text(out, ",\"message\":");
    json_add_text(out, is_inner(error->code) && !is_admin ? outer_text(error->code) : error->text);
    if (error->line)
        buffer_printf(out, ",\"line\":%u,\"column\":%u", error->line, error->column);
    if (is_admin && details.size) {
        buffer_add_text(out, ",\"details\":");
        json_add_string(out, details);
    }
    buffer_add_char(out, '}');
}

static void add_sql_error(Buffer *out, const Error *error, double took_ms, bool is_admin,
                          Slice details)
{
    /* Clients have always seen the error of a refused token before the empty results, any other
     * after them. */
    if (code_info(error->code)->http_status == 401) {
        buffer_add_text(out, "{\"status\":\"error\",");
        add_error_object(out, error, false, (Slice){0});
        buffer_printf(out, ",\"results\":[],\"took\":%.3f}", took_ms);
        return;
    }
    buffer_printf(out, "{\"status\":\"error\",\"results\":[],\"took\":%.3f,", took_ms);
    add_error_object(out, error, is_admin, details);
    buffer_add_char(out, '}');
}

void reply_sql_error(ApiLoop *api, HttpRequest *request, const Error *error, double took_ms,
                     bool is_admin, Slice details)
{
    Buffer body = {0};
    if (is_inner(error->code) || error->code == E_SEGMENT_DAMAGED)
        failure_log_tell(api->context->failures, "a request failed", (Slice){0}, error);
    add_sql_error(&body, error, took_ms, is_admin, details);
    reply_json(api, request, code_info(error->code)->http_status, &body);
}

void reply_flat_error(ApiLoop *api, HttpRequest *request, int status, const char *name,
                      const char *text)
{
    Buffer body = {0};
    buffer_add_text(&body, "{\"error\":");
    json_add_text(&body, name);
    buffer_add_text(&body, ",\"message\":");
    json_add_text(&body, text);
    buffer_add_char(&body, '}');
    reply_json(api, request, status, &body);
}
