/* SPDX-License-Identifier: Apache-2.0 */
#include "table/view.h"

#include "test.h"

#include <string.h>

enum { COUNT_MAX = 70, DEAD_MAX = 12 };

static uint32_t pick(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

/* Neighbours, ascending with gaps, with one out of its place, and equal ones. */
static void make_seqs(uint64_t *state, uint64_t *seqs, uint32_t count)
{
    uint32_t shape = pick(state, 4);
    uint64_t seq = pick(state, 100);
    for (uint32_t i = 0; i < count; i++, seq += shape == 0 ? 1 : pick(state, 4))
        seqs[i] = seq;
    if (shape < 2 || count == 0)
        return;
    uint32_t a = pick(state, count), b = pick(state, count);
    uint64_t kept = seqs[a];
    seqs[a] = seqs[b];
    seqs[b] = kept;
    if (shape == 3) /* between ends that look like neighbours */
        for (uint32_t i = 0; i < count; i++)
            seqs[i] = i == 0 || i == count - 1 ? seqs[0] + i : seqs[0] + pick(state, count);
}

static uint64_t make_dead(uint64_t *state, uint64_t *seqs)
{
    uint64_t count = pick(state, DEAD_MAX + 1), seq = pick(state, 120);
    for (uint64_t i = 0; i < count; i++, seq += 1 + pick(state, 20))
        seqs[i] = seq;
    return count;
}

/* Would catch a shortcut for rows in some order that takes a living row for a dead one, or writes
 * beyond what was asked: the bytes behind must stay. */
TEST("rows asked together live as each of them does, in whatever order they come")
{
    uint64_t state = 7;
    for (int round = 0; round < 20000; round++) {
        uint64_t seqs[COUNT_MAX], dead[DEAD_MAX];
        bool alive[COUNT_MAX + 1];
        uint32_t count = pick(&state, COUNT_MAX + 1), wrong = 0;
        DeadList list = {.seqs = dead};
        make_seqs(&state, seqs, count);
        list.count = make_dead(&state, dead);
        memset(alive, 0, sizeof alive);
        view_mark_alive(&list, seqs, count, alive);
        for (uint32_t i = 0; i < count; i++)
            wrong += alive[i] == view_is_dead(&list, seqs[i]);
        CHECK_INT(wrong, 0);
        CHECK(!alive[count]);
    }
}
