/* SPDX-License-Identifier: Apache-2.0
 *
 * The turns of those who wait for the committer.
 */
#include <stdlib.h>

#include "../test.h"
#include "base/limits.h"
#include "table/table_int.h"

static Intent *push(IntentQueue *queue, uint64_t owner)
{
    Intent *intent = intent_new(0);
    intent->owner = owner;
    CHECK(queue__push(queue, intent));
    return intent;
}

static uint64_t pop(IntentQueue *queue)
{
    Intent *intent = queue__first(queue);
    CHECK(intent);
    uint64_t owner = intent->owner;
    queue__pop(queue);
    intent_unref(intent);
    return owner;
}

TEST("a single write that waits for thousands of another user's")
{
    IntentQueue *queue = x_new(IntentQueue);
    for (int i = 0; i < 3000; i++)
        (void)push(queue, 7);
    (void)push(queue, 8);
    (void)push(queue, 9);
    int before = 0;
    while (pop(queue) != 8)
        before++;
    CHECK(before <= 1);
    CHECK_INT(pop(queue), 9);
    while (queue->count > 0)
        CHECK_INT(pop(queue), 7);
    CHECK(!queue__first(queue));
    (void)push(queue, 8);
    CHECK_INT(pop(queue), 8);
    free(queue);
}

TEST("writes of one user that overtake each other")
{
    IntentQueue *queue = x_new(IntentQueue);
    Intent *sent[300];
    for (int i = 0; i < 300; i++)
        sent[i] = push(queue, (uint64_t)(i % 3));
    int next[3] = {0, 1, 2};
    while (queue->count > 0) {
        Intent *intent = queue__first(queue);
        uint64_t owner = intent->owner;
        CHECK(intent == sent[next[owner]]);
        next[owner] += 3;
        (void)pop(queue);
    }
    free(queue);
}

TEST("a user who fills the queue so that nobody else gets in, or a queue without an end")
{
    IntentQueue *queue = x_new(IntentQueue);
    Intent *more = intent_new(0);
    more->owner = 7;
    while (queue__push(queue, more))
        more = intent_new(0), more->owner = 7;
    CHECK_INT(queue->count, COMMIT_QUEUE_MAX / 2);
    for (uint64_t owner = 0; queue->count < COMMIT_QUEUE_MAX; owner++)
        (void)push(queue, owner % 5);
    more->owner = 100;
    CHECK(!queue__push(queue, more));
    intent_unref(more);
    while (queue->count > 0)
        (void)pop(queue);
    free(queue);
}
