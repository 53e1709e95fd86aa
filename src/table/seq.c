/* SPDX-License-Identifier: Apache-2.0
 *
 * The generator is one atomic word: each call moves it to the greater of "now" and "one further".
 */
#include "table/seq.h"

#include <stdatomic.h>

#include "base/error.h"

enum { MS_SHIFT = SEQ_NODE_BITS + SEQ_COUNTER_BITS, COUNTER_MASK = (1 << SEQ_COUNTER_BITS) - 1 };

static uint64_t compose(uint64_t ms, uint64_t node, uint64_t counter)
{
    return ms << MS_SHIFT | node << SEQ_COUNTER_BITS | counter;
}

static uint64_t ms_since_epoch(int64_t us)
{
    int64_t ms = us / 1000 - SEQ_EPOCH_MS;
    return ms > 0 ? (uint64_t)ms : 0;
}

void seq_init(SeqGenerator *g, uint32_t node, uint64_t ceiling)
{
    must(node < 1u << SEQ_NODE_BITS);
    g->node = node;
    /* The ceiling may carry another node's bits or any counter: start in the millisecond after
     * it. */
    uint64_t ms = ceiling >> MS_SHIFT;
    atomic_init(&g->last, ceiling ? compose(ms, node, COUNTER_MASK) : compose(0, node, 0));
    if (ceiling && atomic_load(&g->last) < ceiling)
        atomic_init(&g->last, compose(ms + 1, node, COUNTER_MASK));
    atomic_init(&g->ceiling, ceiling);
}

uint64_t seq_next(SeqGenerator *g, int64_t now_us)
{
    uint64_t now = compose(ms_since_epoch(now_us), g->node, 0);
    /* Relaxed is enough: the word orders itself, and nothing else is published through it. */
    uint64_t last = atomic_load_explicit(&g->last, memory_order_relaxed);
    for (;;) {
        uint64_t next = last + 1;
        if ((last & COUNTER_MASK) == COUNTER_MASK)
            next = compose((last >> MS_SHIFT) + 1, g->node, 0); /* I2 */
        if (next < now)
            next = now;
        if (atomic_compare_exchange_weak_explicit(&g->last, &last, next, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            must(next > last);
            return next;
        }
    }
}

uint64_t seq_at(int64_t at_us)
{
    return ms_since_epoch(at_us) << MS_SHIFT;
}

int64_t seq_time_us(uint64_t seq)
{
    return ((int64_t)(seq >> MS_SHIFT) + SEQ_EPOCH_MS) * 1000;
}
