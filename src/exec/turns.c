/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns (turns.h): a short list under one lock; it is empty but when statements starve.
 */
#include "exec/turns.h"

#include "base/arena.h"
#include "os/thread.h"

#include <stdlib.h>

struct Turns {
    Mutex lock;
    Cond ended;
    Turn *first;
};

Turns *exec__turns_new(void)
{
    Turns *turns = x_new(Turns);
    mutex_init(&turns->lock);
    cond_init(&turns->ended);
    return turns;
}

void exec__turns_free(Turns *turns)
{
    if (!turns)
        return;
    must(!turns->first);
    cond_done(&turns->ended);
    mutex_done(&turns->lock);
    free(turns);
}

void exec__turn_take(Turns *turns, uint32_t table_id, Turn *out_turn)
{
    MUTEX_SCOPE(&turns->lock);
    *out_turn = (Turn){turns, table_id, turns->first};
    turns->first = out_turn;
}

void exec__turn_end(Turn *turn)
{
    Turns *turns = turn->turns;
    if (!turns)
        return;
    MUTEX_SCOPE(&turns->lock);
    Turn **link = &turns->first;
    while (*link != turn)
        link = &(*link)->next;
    *link = turn->next;
    *turn = (Turn){0};
    cond_broadcast(&turns->ended);
}

static bool is_taken(const Turns *turns, uint32_t table_id)
{
    for (const Turn *turn = turns->first; turn; turn = turn->next)
        if (turn->table_id == table_id)
            return true;
    return false;
}

void exec__turns_wait(Turns *turns, uint32_t table_id, int64_t deadline_us)
{
    MUTEX_SCOPE(&turns->lock);
    while (is_taken(turns, table_id) && cond_wait_until(&turns->ended, &turns->lock, deadline_us))
        continue;
}
