/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks the order in which each thread takes its locks (docs/locks.md), at the first wrong step
 * and without a second thread: a deadlock needs two threads at the wrong moment, this does not.
 *
 * I1. A lock is taken only by who holds nothing or locks of lower ranks alone.
 * I2. A wait gives up its lock, so it must be the only one: others would be held for as long as it
 *     lasts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os/os_int.h"

/* Ranks rise strictly (I1), so that nobody can hold more than one of each. */
enum { HELD_MAX = LOCK_LEAF };

static _Thread_local struct {
    const LockPlace *places[HELD_MAX];
    size_t count;
} held;

static _Noreturn void stop(const char *what, const LockPlace *wanted)
{
    fprintf(stderr, "lock order: %s", what);
    if (wanted)
        fprintf(stderr, " %s (rank %d, %s:%d)", wanted->name, (int)wanted->rank, wanted->file,
                wanted->line);
    for (size_t i = 0; i < held.count; i++)
        fprintf(stderr, "%s %s (rank %d, %s:%d)", i ? "," : " while holding", held.places[i]->name,
                (int)held.places[i]->rank, held.places[i]->file, held.places[i]->line);
    fputs("; see docs/locks.md\n", stderr);
    abort();
}

void os__order_take(const LockPlace *place)
{
    if (place->rank < LOCK_CALLER || place->rank > LOCK_LEAF)
        stop("taking a lock without a rank:", place);
    for (size_t i = 0; i < held.count; i++) {
        if (held.places[i]->rank >= place->rank) /* I1 */
            stop("taking", place);
    }
    must(held.count < HELD_MAX);
    held.places[held.count++] = place;
}

void os__order_release(const LockPlace *place)
{
    size_t i = 0;
    while (i < held.count && held.places[i] != place)
        i++;
    if (i == held.count)
        stop("releasing what this thread does not hold:", place);
    held.count--;
    memmove(&held.places[i], &held.places[i + 1], (held.count - i) * sizeof *held.places);
}

void os__order_wait(const LockPlace *place)
{
    if (held.count != 1 || held.places[0] != place) /* I2 */
        stop("waiting with", place);
}

void os__order_none(void)
{
    if (held.count > 0)
        stop("waiting for a commit", NULL);
}
