/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/api/live: a live query as server-sent events (docs/http.md).
 */
#pragma once

#include "api/api.h"

/* Takes the request. Loop thread. */
void live_stream_route(ApiLoop *api, HttpRequest *request);
