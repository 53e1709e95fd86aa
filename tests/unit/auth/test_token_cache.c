/* SPDX-License-Identifier: Apache-2.0
 *
 * The token cache: what it may answer and when it must not. Time is fake.
 */
#include "auth/token_cache.h"

#include <stdatomic.h>
#include <stdio.h>

#include "auth/token.h"
#include "os/clock.h"
#include "os/thread.h"
#include "test.h"

static _Atomic int64_t now_us;
static TokenCache *cache;
static Arena *arena;

static int64_t fake_clock(void)
{
    return now_us;
}

static void begin(size_t entries_max)
{
    now_us = 1000 * INT64_C(1000000);
    clock_replace(fake_clock, fake_clock);
    cache = token_cache_new(entries_max);
    arena = arena_new();
}

static void end(void)
{
    token_cache_free(cache);
    arena_free(arena);
    clock_replace(NULL, NULL);
}

static void put(Slice token, Slice user_id, Role role)
{
    CachedToken found = {.user = 7, .user_id = user_id, .role = role, .expires_at_s = 2000};
    token_cache_put(cache, token, &found, token_cache_generation(cache, user_id));
}

TEST("a cached token comes back with another user, or a token never put is found")
{
    begin(64);
    CachedToken got = {0};
    CHECK(!token_cache_get(cache, SLICE("a.b.c"), arena, &got));
    put(SLICE("a.b.c"), SLICE("alice"), ROLE_SERVICE);
    put(SLICE("a.b.d"), SLICE("bob"), ROLE_USER);
    CHECK(token_cache_get(cache, SLICE("a.b.c"), arena, &got));
    CHECK_SLICE(got.user_id, SLICE("alice"));
    CHECK_INT(got.user, 7);
    CHECK_INT(got.role, ROLE_SERVICE);
    CHECK_INT(got.expires_at_s, 2000);
    CHECK(token_cache_get(cache, SLICE("a.b.d"), arena, &got));
    CHECK_SLICE(got.user_id, SLICE("bob"));
    CHECK(!token_cache_get(cache, SLICE("a.b.e"), arena, &got));
    CHECK(!token_cache_get(cache, SLICE(""), arena, &got));
    end();
}

TEST("a cached token outlives its time")
{
    begin(64);
    CachedToken got;
    put(SLICE("t"), SLICE("alice"), ROLE_USER);
    now_us = (2000 + TOKEN_LEEWAY_S) * INT64_C(1000000);
    CHECK(token_cache_get(cache, SLICE("t"), arena, &got));
    now_us += 1000000;
    CHECK(!token_cache_get(cache, SLICE("t"), arena, &got));
    end();
}

TEST("a user whose role changed is still let in by a cached token")
{
    begin(64);
    CachedToken got;
    put(SLICE("t1"), SLICE("alice"), ROLE_DBA);
    put(SLICE("t2"), SLICE("alice"), ROLE_DBA);
    put(SLICE("t3"), SLICE("bob"), ROLE_USER);
    token_cache_forget_user(cache, SLICE("alice"));
    CHECK(!token_cache_get(cache, SLICE("t1"), arena, &got));
    CHECK(!token_cache_get(cache, SLICE("t2"), arena, &got));
    CHECK(token_cache_get(cache, SLICE("t3"), arena, &got));
    put(SLICE("t1"), SLICE("alice"), ROLE_USER);
    CHECK(token_cache_get(cache, SLICE("t1"), arena, &got));
    CHECK_INT(got.role, ROLE_USER);
    end();
}

TEST("a finding from before a role change is put after it and believed")
{
    begin(64);
    CachedToken got,
        found = {.user = 7, .user_id = SLICE("alice"), .role = ROLE_DBA, .expires_at_s = 2000};
    uint64_t generation = token_cache_generation(cache, found.user_id);
    token_cache_forget_user(cache, found.user_id);
    token_cache_put(cache, SLICE("t"), &found, generation);
    CHECK(!token_cache_get(cache, SLICE("t"), arena, &got));
    end();
}

TEST("the cache grows without bound, or a full one takes nothing new")
{
    begin(64);
    CachedToken got;
    for (int i = 0; i < 10000; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", i);
        put(slice_of_text(token), SLICE("alice"), ROLE_USER);
        CHECK(token_cache_get(cache, slice_of_text(token), arena, &got));
    }
    int kept = 0;
    for (int i = 0; i < 10000; i++) {
        char token[16];
        snprintf(token, sizeof token, "t%d", i);
        kept += token_cache_get(cache, slice_of_text(token), arena, &got);
    }
    CHECK(kept <= 64);
    end();
}

static atomic_bool stop;

static void use_cache(void *argument)
{
    const char *user = argument;
    Arena *mine = arena_new();
    for (int i = 0; !atomic_load(&stop); i++) {
        char token[32];
        snprintf(token, sizeof token, "%s%d", user, i % 50);
        CachedToken got,
            found = {
                .user = 1, .user_id = slice_of_text(user), .role = ROLE_USER, .expires_at_s = 2000};
        if (token_cache_get(cache, slice_of_text(token), mine, &got))
            CHECK(slice_equal(got.user_id, found.user_id));
        else
            token_cache_put(cache, slice_of_text(token), &found,
                            token_cache_generation(cache, found.user_id));
        if (i % 100 == 0)
            arena_reset(mine);
    }
    arena_free(mine);
}

TEST("threads that share the cache read each other's half-written entries")
{
    begin(64);
    atomic_store(&stop, false);
    static char *const users[] = {"alice", "bob", "carol"};
    Thread *threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_OK(thread_start("cache", THREAD_ANY, use_cache, users[i], &threads[i], e));
    for (int i = 0; i < 20000; i++)
        token_cache_forget_user(cache, slice_of_text(users[i % 3]));
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    end();
}
