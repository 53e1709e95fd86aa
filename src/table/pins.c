/* SPDX-License-Identifier: Apache-2.0
 *
 * Pins: which readers may still read segment files. Every ReadView holds one from before it takes
 * its snapshot until it closes, because the snapshot names the files of its moment however late
 * they are listed.
 *
 * I1. A file that a commit no longer names may be read only through a view whose pin is older than
 *     that commit. Who removes files takes a mark after the commit and waits until no pin is older
 *     than the mark.
 */
#include <stdlib.h>

#include "os/clock.h"
#include "os/thread.h"
#include "table/table_int.h"

enum { STOP_CHECK_US = 200 * 1000 };

struct Pins {
    Mutex lock;
    Cond removed;
    /* guarded by lock */
    uint64_t next;
    uint64_t *active;
    size_t count, capacity;
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
    free(pins->active);
    free(pins);
}

uint64_t pins_add(Pins *pins)
{
    MUTEX_SCOPE(&pins->lock);
    if (pins->count ==
        pins->capacity) { /* as many as there are views at once: threads, and what they nest */
        pins->capacity = pins->capacity ? pins->capacity * 2 : 64;
        pins->active = x_grow(pins->active, pins->capacity * sizeof *pins->active);
    }
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

/* Nothing tells of a stop, so it is asked for now and then. */
Code pins_wait(Pins *pins, const JobStop *stop, Error *e)
{
    uint64_t mark = pins_mark(pins);
    for (;;) {
        if (stop && stop->is_stopped && stop->is_stopped(stop->context))
            return fail(e, E_CANCELLED, "the job was cancelled");
        MUTEX_SCOPE(&pins->lock);
        int64_t deadline_us = clock_monotonic_us() + STOP_CHECK_US;
        while (has_older(pins, mark)) {
            if (!cond_wait_until(&pins->removed, &pins->lock, deadline_us))
                break;
        }
        if (!has_older(pins, mark))
            return OK;
    }
}

uint64_t pins_mark(Pins *pins)
{
    MUTEX_SCOPE(&pins->lock);
    return pins->next;
}

bool pins_have_passed(Pins *pins, uint64_t mark)
{
    MUTEX_SCOPE(&pins->lock);
    return !has_older(pins, mark);
}
