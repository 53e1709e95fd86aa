/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns: a statement that loses again and again to ALTERs of its table is let through.
 *
 * Writes are resolved at a view and win or lose at their commit, so a slow one can lose to quick
 * ALTERs for as long as they come. The one that has lost EXEC_ALTERS_MET_MAX times takes a turn,
 * and ALTERs that begin wait until it ends, at most EXEC_TURN_WAIT_MS. Only who wins depends on
 * it: what does not wait is still checked at its commit.
 */
#pragma once

#include <stdint.h>

enum {
    EXEC_ALTERS_MET_MAX = 3,       /* so often a write loses to ALTER, then it takes a turn */
    EXEC_TURN_WAIT_MS = 10 * 1000, /* an ALTER waits no longer for such writes */
};

typedef struct Turns Turns;

/* Of one statement, on its stack: {0} until taken. */
typedef struct Turn {
    Turns *turns;
    uint32_t table_id;
    struct Turn *next;
} Turn;

Turns *exec__turns_new(void);
/* When no turn is taken and nobody waits. Accepts NULL. */
void exec__turns_free(Turns *turns);
/* Takes one; any number may be taken of one table. Thread-safe, does not wait for anyone. */
void exec__turn_take(Turns *turns, uint32_t table_id, Turn *out_turn);
/* Ends it, {0} too. */
void exec__turn_end(Turn *turn);
/* Returns once nobody has a turn of the table, or at `deadline_us` (monotonic). Workers only. */
void exec__turns_wait(Turns *turns, uint32_t table_id, int64_t deadline_us);
