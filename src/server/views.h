/* SPDX-License-Identifier: Apache-2.0
 *
 * The system views whose rows live outside exec/: system.live (live/) and system.settings (config).
 */
#pragma once

#include "exec/exec.h"
#include "live/live.h"
#include "server/config.h"

/* Registers them; borrows all three. Before traffic. */
void server_add_views(Executor *executor, LiveHub *live, const Config *config);
