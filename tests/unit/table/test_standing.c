/* SPDX-License-Identifier: Apache-2.0
 *
 * The committer's memory of how users stand.
 */
#include "../test.h"
#include "table/standing.h"

TEST("a dropped user that is forgotten, a restored one that is still refused, or a neighbour of "
     "either")
{
    static const uint64_t numbers[] = {1, 511, 512, 513, 4096, 4097, UINT64_MAX};
    static const UserState dropped = {.role = ROLE_DBA}, alive = {ROLE_DBA, .is_alive = true};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    Standings *users = standings_new();
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(!standings_is_dropped(users, numbers[i]));
        standings_note(users, numbers[i], &dropped);
        standings_note(users, numbers[i], &dropped); /* each record of a user says so again */
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(standings_is_dropped(users, numbers[i]));
        standings_note(users, numbers[i], &alive);
        CHECK(!standings_is_dropped(users, numbers[i]));
        for (size_t k = i + 1; k < COUNT; k++)
            CHECK(standings_is_dropped(users, numbers[k]));
    }
    for (uint64_t number = 1; number < 10000; number++)
        standings_note(users, number, number % 3 ? &alive : &dropped);
    for (uint64_t number = 1; number < 10000; number++)
        CHECK(standings_is_dropped(users, number) == (number % 3 == 0));
    standings_free(users);
}

TEST("a role that was lowered still counts, or one that was not does not")
{
    Standings *users = standings_new();
    for (int role = ROLE_ANONYMOUS; role <= ROLE_SYSTEM; role++)
        CHECK(standings_has_role(users, 7, (Role)role)); /* nothing was noted */
    for (int now = ROLE_ANONYMOUS; now <= ROLE_SYSTEM; now++) {
        standings_note(users, 7, &(UserState){(Role)now, .is_alive = true, .registered = true});
        for (int then = ROLE_ANONYMOUS; then <= ROLE_SYSTEM; then++)
            CHECK(standings_has_role(users, 7, (Role)then) == (then <= now));
        CHECK(standings_has_role(users, 8, ROLE_SYSTEM));
    }
    standings_note(users, 7, &(UserState){ROLE_USER, .is_alive = true});
    CHECK(standings_has_role(users, 7, ROLE_SYSTEM)); /* no account, so no session of it */
    standings_note(users, 7, &(UserState){.role = ROLE_SYSTEM});
    CHECK(!standings_has_role(users, 7, ROLE_ANONYMOUS));
    standings_free(users);
}
