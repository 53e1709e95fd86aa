/* SPDX-License-Identifier: Apache-2.0 */
#include "api/guard.h"

#include <stdio.h>

#include "../test.h"

static Guard *guard_of(const char *const *proxies)
{
    Guard *guard = NULL;
    GuardSettings settings = {
        .is_enabled = true,
        .connections_per_address = 2,
        .requests_per_address_per_s = 1,
        .statements_per_user_per_s = 1,
        .trusted_proxies = proxies,
    };
    CHECK_OK(guard_new(&settings, &guard, e));
    return guard;
}

static void ask(const Guard *guard, const char *peer, bool is_loopback, const char *forwarded,
                ClientAddress *out)
{
    HttpHeader header = {SLICE("x-forwarded-for"), slice_of_text(forwarded ? forwarded : "")};
    HttpRequest request = {.headers = &header, .header_count = forwarded ? 1 : 0};
    snprintf(request.peer.address, sizeof request.peer.address, "%s", peer);
    request.peer.is_loopback = is_loopback;
    guard_client(guard, &request, out);
}

TEST("a client behind a proxy that passes for this machine, or a forged address that is believed")
{
    static const char *const proxies[] = {"10.0.0.0/8", "192.0.2.7", "2001:db8::/32", NULL};
    static const struct {
        const char *peer;
        bool is_loopback;
        const char *forwarded;
        const char *want;
        bool want_loopback;
    } rows[] = {
        {"127.0.0.1", true, NULL, "127.0.0.1", true},
        {"127.0.0.1", true, "198.51.100.4", "198.51.100.4", false},
        {"127.0.0.1", true, "127.0.0.1", "127.0.0.1", false}, /* a proxy's client is never local */
        {"127.0.0.1", true, "::1", "127.0.0.1", false},
        {"127.0.0.1", true, "::ffff:127.0.0.1", "127.0.0.1", false},
        {"127.0.0.1", true, "nonsense", "127.0.0.1", false},
        {"10.200.3.4", false, "198.51.100.4 , 10.1.1.1", "198.51.100.4", false},
        {"11.0.0.1", false, "198.51.100.4", "11.0.0.1", false}, /* not trusted */
        {"192.0.2.7", false, "2001:db8::1", "2001:db8::1", false},
        {"192.0.2.8", false, "198.51.100.4", "192.0.2.8", false},
        {"2001:db8:1::5", false, "198.51.100.4", "198.51.100.4", false},
        {"2001:db9::5", false, "198.51.100.4", "2001:db9::5", false},
        /* a client that sends the header itself, and a proxy that appends to it */
        {"127.0.0.1", true, "203.0.113.9, 198.51.100.4", "198.51.100.4", false},
        {"127.0.0.1", true, "127.0.0.1,203.0.113.9,\t198.51.100.4, 10.1.1.1,192.0.2.7",
         "198.51.100.4", false},
        {"10.1.1.1", false, "203.0.113.9, nonsense, 10.2.2.2", "10.2.2.2", false},
        {"10.1.1.1", false, "10.4.4.4, 10.3.3.3", "10.4.4.4", false}, /* from within */
        /* proxies behind each other on this machine, and on another */
        {"127.0.0.1", true, "203.0.113.9, 198.51.100.4, 127.0.0.1", "198.51.100.4", false},
        {"127.0.0.1", true, "198.51.100.4, ::1, 127.0.0.1", "198.51.100.4", false},
        {"127.0.0.1", true, "203.0.113.9, 127.0.0.1, 10.1.1.1", "10.1.1.1", false},
        {"10.1.1.1", false, "203.0.113.9, 127.0.0.1", "10.1.1.1", false},
        {"10.1.1.1", false, "198.51.100.4,", "10.1.1.1", false},
        {"10.1.1.1", false, ",", "10.1.1.1", false},
    };
    Guard *guard = guard_of(proxies);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ClientAddress client;
        ask(guard, rows[i].peer, rows[i].is_loopback, rows[i].forwarded, &client);
        CHECK_TEXT(client.text, rows[i].want);
        CHECK_INT(client.is_loopback, rows[i].want_loopback);
    }
    guard_free(guard);
}

TEST("a header that the client sends beside the one of its proxy, and is believed")
{
    static const char *const proxies[] = {"10.0.0.0/8", NULL};
    HttpHeader headers[] = {{SLICE("X-Forwarded-For"), SLICE("203.0.113.9")},
                            {SLICE("X-Real-IP"), SLICE("203.0.113.9")},
                            {SLICE("x-forwarded-for"), SLICE("198.51.100.4")},
                            {SLICE("x-forwarded-for"), SLICE("10.1.1.1")}};
    HttpRequest request = {.headers = headers, .header_count = 4};
    ClientAddress client;
    Guard *guard = guard_of(proxies);
    snprintf(request.peer.address, sizeof request.peer.address, "10.2.2.2");
    guard_client(guard, &request, &client);
    CHECK_TEXT(client.text, "198.51.100.4");
    request.header_count = 2;
    request.headers = headers + 1;
    guard_client(guard, &request, &client);
    CHECK_TEXT(client.text, "198.51.100.4");
    request.header_count = 1;
    guard_client(guard, &request, &client);
    CHECK_TEXT(client.text, "203.0.113.9");
    guard_free(guard);
}

TEST("a range that is none and is taken for one")
{
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0",      "x", "10.0.0.0/",
                                      "::/129",      "10.0.0.0/8x", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *const proxies[] = {bad[i], NULL};
        GuardSettings settings = {.connections_per_address = 1, .trusted_proxies = proxies};
        Guard *guard = NULL;
        CHECK_CODE(guard_new(&settings, &guard, e), E_CONFIG);
    }
}

TEST("connections of one address beyond the limit, or a slot that is not given back")
{
    Guard *guard = guard_of(NULL);
    Peer one = {.address = "198.51.100.1"}, two = {.address = "198.51.100.2"};
    CLEANUP(buffer_done) Buffer body = {0};
    for (int round = 0; round < 3; round++) {
        CHECK_INT(guard_connected(guard, &one, &body), 0);
        CHECK_INT(guard_connected(guard, &one, &body), 0);
        CHECK_INT(guard_connected(guard, &one, &body), 503);
        CHECK_INT(guard_connected(guard, &two, &body), 0);
        guard_disconnected(guard, &one);
        guard_disconnected(guard, &one);
        guard_disconnected(guard, &two);
    }
    Peer local = {.address = "127.0.0.1", .is_loopback = true};
    for (int i = 0; i < 10; i++)
        CHECK_INT(guard_connected(guard, &local, &body), 0);
    guard_free(guard);
}
