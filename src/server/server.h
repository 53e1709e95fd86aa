/* SPDX-License-Identifier: Apache-2.0
 *
 * The whole server as one object: opened from settings, run until a signal, closed in order.
 */
#pragma once

#include "server/config.h"

typedef struct Server Server;

/* Opens the data folder and everything above it; listens. E_LOCKED, E_FORMAT_VERSION,
 * E_ADDRESS_IN_USE … */
CHECKED Code server_open(const Config *config, Server **out, Error *e);
/* The port that was bound (settings may say 0). */
uint16_t server_port(const Server *server);
/* The one-time token that allows the first-time setup from elsewhere; NULL when set up already. */
const char *server_setup_token(const Server *server);
/* Serves until SIGTERM or SIGINT; then answers what runs, ends WebSockets, and returns. */
void server_run(Server *server);
/* Syncs and closes. Accepts NULL. */
void server_close(Server *server);
