/* SPDX-License-Identifier: Apache-2.0
 *
 * Bits in pages; a page without a bit is not kept.
 */
#include "table/dropped.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/map.h"

enum { WORD_BITS = 64, PAGE_WORDS = 64, PAGE_BITS = WORD_BITS * PAGE_WORDS };

typedef struct Page {
    size_t count;
    uint64_t words[PAGE_WORDS];
} Page;

struct DroppedUsers {
    Map *pages; /* number / PAGE_BITS -> Page, owned */
};

DroppedUsers *dropped_users_new(void)
{
    DroppedUsers *users = x_new(DroppedUsers);
    users->pages = map_new();
    return users;
}

void dropped_users_free(DroppedUsers *users)
{
    Slice key;
    void *page;
    if (!users)
        return;
    for (size_t at = 0; map_next(users->pages, &at, &key, &page);)
        free(page);
    map_free(users->pages);
    free(users);
}

static Page *page_of(const DroppedUsers *users, uint64_t number)
{
    uint64_t key = number / PAGE_BITS;
    return (Page *)map_get(users->pages, slice_of(&key, sizeof key));
}

static Page *add_page(DroppedUsers *users, uint64_t number)
{
    uint64_t key = number / PAGE_BITS;
    Page *page = x_new(Page);
    map_put(users->pages, slice_of(&key, sizeof key), page);
    return page;
}

static void remove_page(DroppedUsers *users, uint64_t number)
{
    uint64_t key = number / PAGE_BITS;
    free(map_remove(users->pages, slice_of(&key, sizeof key)));
}

static uint64_t bit_of(uint64_t number)
{
    return UINT64_C(1) << (number % WORD_BITS);
}

static size_t word_of(uint64_t number)
{
    return (size_t)(number % PAGE_BITS / WORD_BITS);
}

bool dropped_users_has(const DroppedUsers *users, uint64_t number)
{
    if (map_count(users->pages) == 0) /* most often: each part of each commit asks */
        return false;
    const Page *page = page_of(users, number);
    return page && (page->words[word_of(number)] & bit_of(number));
}

void dropped_users_set(DroppedUsers *users, uint64_t number, bool is_dropped)
{
    if (dropped_users_has(users, number) == is_dropped)
        return;
    Page *page = page_of(users, number);
    if (!page)
        page = add_page(users, number);
    page->words[word_of(number)] ^= bit_of(number);
    page->count += is_dropped ? 1 : (size_t)-1;
    if (page->count == 0)
        remove_page(users, number);
}
