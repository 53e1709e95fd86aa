/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/ws: the WebSocket sessions of live queries.
 */
#pragma once

#include "api/api.h"

/* Answers the request, by an upgrade or a refusal. Loop thread. */
void live_socket_accept(ApiLoop *api, HttpRequest *request);
/* Closes all sessions of the loop with 1001: the server stops. Loop thread. */
void live_socket_close_all(ApiLoop *api);
