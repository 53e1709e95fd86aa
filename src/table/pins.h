/* SPDX-License-Identifier: Apache-2.0
 *
 * Which statements may still read segment files, and waiting until none does (pins.c).
 */
#pragma once

#include "table/flush.h"

/* Any thread. */
typedef struct Pins Pins;
Pins *pins_new(void);
void pins_free(Pins *pins); /* no pin may be left; accepts NULL */
/* From now on no file is unlinked that is listed now; returns the pin, for pins_remove. */
uint64_t pins_add(Pins *pins);
void pins_remove(Pins *pins, uint64_t pin);
/* Waits until every pin that exists now is gone. Not on loops. E_CANCELLED when stopped. */
CHECKED Code pins_wait(Pins *pins, const JobStop *stop, Error *e);
/* The same without waiting: later, pins_have_passed tells whether every pin older than the mark is
 * gone. */
uint64_t pins_mark(Pins *pins);
bool pins_have_passed(Pins *pins, uint64_t mark);
