/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /metrics: figures in the Prometheus text format, for this machine and for administrators.
 */
#pragma once

#include "api/api.h"

/* Takes the request. Loop thread. */
void metrics_route(ApiLoop *api, HttpRequest *request);
