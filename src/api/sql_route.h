/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /v1/api/sql (and its early alias /api/v1/query).
 */
#pragma once

#include "api/api.h"

/* Answers the request, at once or when its statements have run. Loop thread. */
void sql_route(ApiLoop *api, HttpRequest *request);
