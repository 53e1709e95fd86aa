/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is calling, and whether it calls too often: the client's address behind trusted proxies, and
 * the limits per address and per user. Loopback is exempt from the limits per address. Any thread.
 */
#pragma once

#include "http/http.h"

enum { GUARD_ADDRESS_BYTES = 46 };

typedef struct GuardSettings {
    bool is_enabled;
    uint32_t connections_per_address;
    uint32_t requests_per_address_per_s;
    uint32_t statements_per_user_per_s;
    const char *const
        *trusted_proxies; /* addresses or ranges, "10.0.0.0/8"; ends with NULL; may be NULL */
} GuardSettings;

typedef struct Guard Guard;

/* Copies all; E_CONFIG names a range that is none. */
CHECKED Code guard_new(const GuardSettings *settings, Guard **out, Error *e);
void guard_free(Guard *guard); /* accepts NULL */

/* For HttpHandlers: 0 or 503 with the flat body. Each 0 must meet a guard_disconnected. */
int guard_connected(Guard *guard, const Peer *peer, Buffer *body);
void guard_disconnected(Guard *guard, const Peer *peer);

typedef struct ClientAddress {
    char text[GUARD_ADDRESS_BYTES];
    bool is_loopback; /* the client itself runs on this machine; a proxy's client never does */
} ClientAddress;
/* The peer, or whom a trusted proxy (loopback is one) says it speaks for. */
void guard_client(const Guard *guard, const HttpRequest *request, ClientAddress *out);
/* One more request of the address, one more statement of the user. False: answer 429. */
bool guard_request(Guard *guard, const ClientAddress *client);
bool guard_statement(Guard *guard, Slice user_id);
