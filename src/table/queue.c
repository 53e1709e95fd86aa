/* SPDX-License-Identifier: Apache-2.0
 *
 * Intents that wait for the committer, fair between owners: whoever waits takes turns, one intent
 * each. Intents of one owner stay in their order.
 *
 *     lanes (owner modulo their number)      turns
 *     0: a -> b -> c                         0 -> 2       the next is a, and then d
 *     2: d
 *
 * I1. A lane that holds intents is in the list of turns, once; no other is.
 *
 * Owners that share a lane share its turns. A lane takes half of the queue at most, so that nobody
 * fills it alone.
 */
#include "base/limits.h"
#include "table/table_int.h"

enum { LANE_INTENTS_MAX = COMMIT_QUEUE_MAX / 2 };

/* Owners are numbered one after the other, so that the first ones of a server share no lane. */
static IntentLane *lane_of(IntentQueue *queue, const Intent *intent)
{
    return &queue->lanes[intent->owner % INTENT_LANES];
}

static void add_turn(IntentQueue *queue, IntentLane *lane)
{
    lane->next_turn = NULL;
    if (queue->last_turn)
        queue->last_turn->next_turn = lane;
    else
        queue->first_turn = lane;
    queue->last_turn = lane;
}

bool queue__push(IntentQueue *queue, Intent *intent)
{
    IntentLane *lane = lane_of(queue, intent);
    if (queue->count >= COMMIT_QUEUE_MAX || lane->count >= LANE_INTENTS_MAX)
        return false;
    intent->next = NULL;
    if (lane->tail)
        lane->tail->next = intent;
    else
        lane->head = intent;
    lane->tail = intent;
    if (lane->count++ == 0)
        add_turn(queue, lane); /* I1 */
    queue->count++;
    return true;
}

Intent *queue__first(const IntentQueue *queue)
{
    return queue->first_turn ? queue->first_turn->head : NULL;
}

void queue__pop(IntentQueue *queue)
{
    IntentLane *lane = queue->first_turn;
    must(lane && lane->count > 0);
    Intent *intent = lane->head;
    lane->head = intent->next;
    if (!lane->head)
        lane->tail = NULL;
    intent->next = NULL;
    lane->count--;
    queue->count--;
    queue->first_turn = lane->next_turn;
    if (!queue->first_turn)
        queue->last_turn = NULL;
    if (lane->count > 0)
        add_turn(queue, lane); /* I1 */
}
