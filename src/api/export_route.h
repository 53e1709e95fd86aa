/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /v1/exports/{user_id}/{export_id}: the zip of an export, to the user it is of, and to
 * administrators.
 */
#pragma once

#include "api/api.h"

#define EXPORT_ROUTE_PREFIX "/v1/exports/"
/* Takes the request. Loop thread. */
void export_route(ApiLoop *api, HttpRequest *request);
