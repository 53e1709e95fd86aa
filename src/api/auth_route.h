/* SPDX-License-Identifier: Apache-2.0
 *
 * The routes below /v1/api/auth: login, refresh, logout, me, first-time setup.
 */
#pragma once

#include "api/api.h"

AuthGate *auth_gate_new(uint32_t requests_per_s);
void auth_gate_free(AuthGate *gate); /* accepts NULL */

/* Takes one of the attempts of an address (limiter_address_key); false when there is none left. Any
 * thread. */
bool auth_gate_take(AuthGate *gate, Slice key);

/* Each takes the request and answers it, at once or from a worker. Loop thread. */
void auth_login_route(ApiLoop *api, HttpRequest *request);
void auth_refresh_route(ApiLoop *api, HttpRequest *request);
void auth_logout_route(ApiLoop *api, HttpRequest *request);
void auth_me_route(ApiLoop *api, HttpRequest *request);
void auth_setup_route(ApiLoop *api, HttpRequest *request);
void auth_status_route(ApiLoop *api, HttpRequest *request);
