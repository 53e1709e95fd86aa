/* SPDX-License-Identifier: Apache-2.0
 *
 * Pins: a statement that may read segment files holds one from before it lists them until it has read
 * them. Who removes files first waits for the pins of that moment.
 */
#include <stdlib.h>

#include "os/thread.h"
#include "table/table_int.h"

enum { PINS_MAX = 1024 }; /* more than there are workers and jobs */

struct Pins {
    Mutex lock;
    Cond removed;
    /* guarded by lock */
    uint64_t next;
    uint64_t active[PINS_MAX];
    size_t count;
};

Pins *pins_new(void)
{
    Pins *pins = x_new(Pins);
    mutex_init(&pins->lock);
    cond_init(&pins->removed);
    return pins;
}

void pins_free(Pins *pins)
{
    if (!pins)
        return;
    must(pins->count == 0);
    cond_done(&pins->removed);
    mutex_done(&pins->lock);
    free(pins);
}

uint64_t pins_add(Pins *pins)
{
    MUTEX_SCOPE(&pins->lock);
    must(pins->count < PINS_MAX);
    pins->active[pins->count++] = pins->next;
    return pins->next++;
}

void pins_remove(Pins *pins, uint64_t pin)
{
    MUTEX_SCOPE(&pins->lock);
    for (size_t i = 0; i < pins->count; i++) {
        if (pins->active[i] == pin) {
            pins->active[i] = pins->active[--pins->count];
            cond_broadcast(&pins->removed);
            return;
        }
    }
    must(!"a pin is removed once");
}

static bool has_older(const Pins *pins, uint64_t than)
{
    for (size_t i = 0; i < pins->count; i++) {
        if (pins->active[i] < than)
            return true;
    }
    return false;
}

void pins_wait(Pins *pins)
{
    MUTEX_SCOPE(&pins->lock);
    uint64_t now = pins->next;
    while (has_older(pins, now))
        cond_wait(&pins->removed, &pins->lock);
}
