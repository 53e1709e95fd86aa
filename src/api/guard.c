/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses and limits.
 *
 * I1. A forwarded address is believed only from loopback peers and configured ranges, and never
 *     when it claims to be loopback itself: what is allowed to this machine only (first-time setup,
 *     health) cannot be asked for through a proxy.
 * I2. Of a list, only what trusted proxies appended counts: the last address that is none of
 *     theirs is the client. What stands before it the client may have made up, and with it a limit
 *     of its own for every request. Proxies of one machine pass on to each other from loopback:
 *     as trusted a hop as a loopback peer is, as long as no other was in between.
 */
#include "api/guard.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "auth/limiter.h"
#include "base/arena.h"
#include "base/map.h"
#include "os/thread.h"

enum { RANGES_MAX = 64, KEYS_MAX = 64 * 1024, ADDRESS_BYTES = 16 };

typedef struct Range {
    uint8_t bytes[ADDRESS_BYTES]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;
} Range;

struct Guard {
    bool is_enabled;
    uint32_t connections_max;
    Limiter *requests, *statements;
    Range ranges[RANGES_MAX];
    size_t range_count;

    Mutex lock;
    Map *connections; /* guarded by lock: address text -> count as uintptr_t */
};

/* Any address as 16 bytes; false when it is none. */
static bool parse_address(const char *text, uint8_t out[ADDRESS_BYTES])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    if (inet_pton(AF_INET6, text, out) == 1)
        return true;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, text, out + sizeof mapped) == 1;
}

static Code parse_range(const char *text, Range *out, Error *e)
{
    char address[GUARD_ADDRESS_BYTES];
    const char *slash = strchr(text, '/');
    size_t size = slash ? (size_t)(slash - text) : strlen(text);
    char *end = NULL;
    if (size < sizeof address) {
        memcpy(address, text, size);
        address[size] = 0;
        bool is_v4 = !memchr(address, ':', size);
        unsigned width = is_v4 ? 32 : 128;
        unsigned long bits = slash ? strtoul(slash + 1, &end, 10) : width;
        if (parse_address(address, out->bytes) && bits <= width &&
            (!slash || (end != slash + 1 && !*end))) {
            out->bits = (unsigned)bits + (is_v4 ? 96 : 0);
            return OK;
        }
    }
    return fail(e, E_CONFIG,
                "security.trusted_proxy_ranges: '%.80s' is no address and no range like 10.0.0.0/8",
                text);
}

static bool in_range(const uint8_t address[ADDRESS_BYTES], const Range *range)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    if (memcmp(address, range->bytes, whole) != 0)
        return false;
    return rest == 0 || (address[whole] ^ range->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_loopback_address(const uint8_t address[ADDRESS_BYTES])
{
    static const Range v4 = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127}, 104};
    static const Range v6 = {{[15] = 1}, 128};
    return in_range(address, &v4) || in_range(address, &v6);
}

static bool is_trusted(const Guard *guard, const Peer *peer)
{
    uint8_t address[ADDRESS_BYTES];
    if (peer->is_loopback)
        return true;
    if (!parse_address(peer->address, address))
        return false;
    for (size_t i = 0; i < guard->range_count; i++) {
        if (in_range(address, &guard->ranges[i]))
            return true;
    }
    return false;
}

/* Cuts the last address off a list, without blanks. */
static Slice take_last(Slice *io_list)
{
    size_t start = io_list->size, end = io_list->size;
    if (!end)
        return *io_list; /* an empty header has no bytes to point to */
    while (start > 0 && io_list->data[start - 1] != ',')
        start--;
    Slice last = slice_of(io_list->data + start, end - start);
    *io_list = slice_of(io_list->data, start ? start - 1 : 0);
    while (last.size && (last.data[0] == ' ' || last.data[0] == '\t'))
        last = slice_of(last.data + 1, last.size - 1);
    while (last.size && (last.data[last.size - 1] == ' ' || last.data[last.size - 1] == '\t'))
        last.size--;
    return last;
}

static bool is_here(const ClientAddress *hop)
{
    uint8_t address[ADDRESS_BYTES];
    return parse_address(hop->text, address) && is_loopback_address(address);
}

/* Takes the address for the client's; true when it may have been forwarded by yet another proxy,
 * that is when it is one of those trusted itself. */
static bool believe(const Guard *guard, Slice forwarded, ClientAddress *out)
{
    Peer peer = {0};
    uint8_t address[ADDRESS_BYTES];
    if (forwarded.size == 0 || forwarded.size >= sizeof peer.address)
        return false;
    memcpy(peer.address, forwarded.data, forwarded.size);
    if (!parse_address(peer.address, address))
        return false;
    if (is_loopback_address(address)) /* I1 */
        return is_here(out);
    memcpy(out->text, peer.address, sizeof out->text);
    return is_trusted(guard, &peer);
}

/* I2: from the newest address on, over all headers of that name. False when there is none. */
static bool follow(const Guard *guard, const HttpRequest *request, const char *name,
                   ClientAddress *out)
{
    bool has = false, goes_on = true;
    for (size_t i = request->header_count; i-- > 0 && goes_on;) {
        if (!slice_equal_ignoring_case(request->headers[i].name, slice_of_text(name)))
            continue;
        has = true;
        Slice list = request->headers[i].value;
        do
            goes_on = believe(guard, take_last(&list), out);
        while (goes_on && list.size);
    }
    return has;
}

void guard_client(const Guard *guard, const HttpRequest *request, ClientAddress *out)
{
    memcpy(out->text, request->peer.address, sizeof out->text);
    out->is_loopback = request->peer.is_loopback;
    if (!is_trusted(guard, &request->peer))
        return;
    if (follow(guard, request, "x-forwarded-for", out) || follow(guard, request, "x-real-ip", out))
        out->is_loopback = false; /* I1 */
}

/* ---- limits ---- */

bool guard_request(Guard *guard, const ClientAddress *client)
{
    char buffer[16];
    if (!guard->is_enabled || client->is_loopback)
        return true;
    return limiter_take(guard->requests, limiter_address_key(slice_of_text(client->text), buffer));
}

bool guard_statement(Guard *guard, Slice user_id)
{
    return limiter_take(guard->statements, user_id);
}

int guard_connected(Guard *guard, const Peer *peer, Buffer *body)
{
    Slice key = slice_of_text(peer->address);
    if (!guard->is_enabled || peer->is_loopback)
        return 0;
    MUTEX_SCOPE(&guard->lock);
    uintptr_t count = (uintptr_t)map_get(guard->connections, key);
    if (count >= guard->connections_max) {
        buffer_printf(body,
                      "{\"error\":\"TOO_MANY_CONNECTIONS\",\"message\":\"Too many connections from "
                      "your IP address\","
                      "\"current\":%llu,\"max\":%u}",
                      (unsigned long long)count, guard->connections_max);
        return 503;
    }
    map_put(guard->connections, key, (void *)(count + 1));
    return 0;
}

void guard_disconnected(Guard *guard, const Peer *peer)
{
    Slice key = slice_of_text(peer->address);
    if (!guard->is_enabled || peer->is_loopback)
        return;
    MUTEX_SCOPE(&guard->lock);
    uintptr_t count = (uintptr_t)map_get(guard->connections, key);
    must(count > 0);
    if (count == 1)
        map_remove(guard->connections, key);
    else
        map_put(guard->connections, key, (void *)(count - 1));
}

/* ---- life ---- */

Code guard_new(const GuardSettings *settings, Guard **out, Error *e)
{
    Guard *guard = x_new(Guard);
    mutex_init(&guard->lock);
    guard->connections = map_new();
    guard->is_enabled = settings->is_enabled;
    guard->connections_max = settings->connections_per_address;
    guard->requests = limiter_new(settings->requests_per_address_per_s,
                                  settings->requests_per_address_per_s, KEYS_MAX);
    guard->statements = limiter_new(settings->statements_per_user_per_s,
                                    settings->statements_per_user_per_s, KEYS_MAX);
    Code code = OK;
    for (const char *const *range = settings->trusted_proxies; code == OK && range && *range;
         range++) {
        if (guard->range_count == RANGES_MAX)
            code = fail(e, E_CONFIG, "security.trusted_proxy_ranges holds more than %d ranges",
                        RANGES_MAX);
        else
            code = parse_range(*range, &guard->ranges[guard->range_count++], e);
    }
    if (code != OK) {
        guard_free(guard);
        return code;
    }
    *out = guard;
    return OK;
}

void guard_free(Guard *guard)
{
    if (!guard)
        return;
    limiter_free(guard->requests);
    limiter_free(guard->statements);
    map_free(guard->connections);
    mutex_done(&guard->lock);
    free(guard);
}
