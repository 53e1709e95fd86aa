/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes in pages; a page of users of whom nothing was noted is not kept.
 */
#include "table/standing.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

enum { PAGE_USERS = 512, UNKNOWN = 0, DROPPED = 1, LIVES_WITH_ROLE = 2 };

typedef struct Page {
    uint8_t notes[PAGE_USERS]; /* UNKNOWN, DROPPED, or LIVES_WITH_ROLE + the role */
} Page;

struct Standings {
    Map *pages; /* number / PAGE_USERS -> Page, owned */
};

Standings *standings_new(void)
{
    Standings *standings = x_new(Standings);
    standings->pages = map_new();
    return standings;
}

void standings_free(Standings *standings)
{
    Slice key;
    void *page;
    if (!standings)
        return;
    for (size_t at = 0; map_next(standings->pages, &at, &key, &page);)
        free(page);
    map_free(standings->pages);
    free(standings);
}

static uint8_t note_of(const Standings *standings, uint64_t number)
{
    uint64_t key = number / PAGE_USERS;
    if (map_count(standings->pages) == 0) /* each part of each commit asks */
        return UNKNOWN;
    const Page *page = (const Page *)map_get(standings->pages, slice_of(&key, sizeof key));
    return page ? page->notes[number % PAGE_USERS] : UNKNOWN;
}

void standings_note(Standings *standings, uint64_t number, const UserState *state)
{
    uint64_t key = number / PAGE_USERS;
    Page *page = (Page *)map_get(standings->pages, slice_of(&key, sizeof key));
    if (!page) {
        page = x_new(Page);
        map_put(standings->pages, slice_of(&key, sizeof key), page);
    }
    uint8_t *note = &page->notes[number % PAGE_USERS];
    if (!state->is_alive)
        *note = DROPPED;
    else /* nobody can log in with an id that is not registered */
        *note = state->registered ? (uint8_t)(LIVES_WITH_ROLE + state->role) : UNKNOWN;
}

bool standings_is_dropped(const Standings *standings, uint64_t number)
{
    return note_of(standings, number) == DROPPED;
}

bool standings_has_role(const Standings *standings, uint64_t number, Role role)
{
    uint8_t note = note_of(standings, number);
    return note == UNKNOWN || note >= LIVES_WITH_ROLE + role;
}
