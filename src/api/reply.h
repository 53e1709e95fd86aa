/* SPDX-License-Identifier: Apache-2.0
 *
 * Answers that many routes share: the SQL envelope of an error, the flat errors of the auth routes,
 * CORS.
 */
#pragma once

#include "api/api.h"

/* {"status":"error","results":[],"took":…,"error":{code, message[, details]}}. `details` may be
 * empty. Inner failures are told to admins only; others read that the request failed and that the
 * log knows why. */
void reply_sql_error(ApiLoop *api, HttpRequest *request, const Error *error, double took_ms,
                     bool is_admin, Slice details);
/* {"error": name, "message": text} */
void reply_flat_error(ApiLoop *api, HttpRequest *request, int status, const char *name,
                      const char *text);
/* JSON with CORS headers; takes the buffer. */
void reply_json(ApiLoop *api, HttpRequest *request, int status, Buffer *body);
/* The same with further headers (at most 8), whose texts are borrowed for the call. */
void reply_json_with(ApiLoop *api, HttpRequest *request, int status, const HttpHeader *headers,
                     size_t count, Buffer *body);
enum { REPLY_CORS_HEADERS_MAX = 3 };
/* Writes what the page that asks must read to see the answer; returns the new count. */
size_t reply_add_cors(ApiLoop *api, HttpRequest *request, HttpHeader *headers, size_t count);
/* Whether pages of this origin may call us (security.cors.allowed_origins). */
bool reply_origin_allowed(const ApiContext *context, Slice origin);
/* Answers OPTIONS. */
void reply_preflight(ApiLoop *api, HttpRequest *request);
