/* SPDX-License-Identifier: Apache-2.0
 *
 * The committer's memory of dropped users.
 */
#include "../test.h"
#include "table/dropped.h"

TEST("a dropped user that is forgotten, a restored one that is still refused, or a neighbour of "
     "either")
{
    static const uint64_t numbers[] = {1, 63, 64, 4095, 4096, 4097, UINT64_MAX};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    DroppedUsers *users = dropped_users_new();
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(!dropped_users_has(users, numbers[i]));
        dropped_users_set(users, numbers[i], true);
        dropped_users_set(users, numbers[i], true); /* each record of a user says so again */
    }
    for (size_t i = 0; i < COUNT; i++) {
        CHECK(dropped_users_has(users, numbers[i]));
        dropped_users_set(users, numbers[i], false);
        dropped_users_set(users, numbers[i], false);
        CHECK(!dropped_users_has(users, numbers[i]));
        for (size_t k = i + 1; k < COUNT; k++)
            CHECK(dropped_users_has(users, numbers[k]));
    }
    for (uint64_t number = 1; number < 10000; number++)
        dropped_users_set(users, number, number % 3 == 0);
    for (uint64_t number = 1; number < 10000; number++)
        CHECK(dropped_users_has(users, number) == (number % 3 == 0));
    dropped_users_free(users);
}
