/* SPDX-License-Identifier: Apache-2.0
 *
 * How the users stand whose record was written since the start, by number: the committer's memory
 * of whom it refuses (committer.c, I4). It is never forgotten while the server runs, since a
 * statement from before a drop may come back at any time after the erasure. Numbers are given out
 * in turn, so a byte for each is the limit: a million users take 1.1 MB, and one among thousands
 * that nobody wrote takes 600 bytes.
 *
 * For one thread.
 */
#pragma once

#include "base/error.h"
#include "catalog/catalog.h"

typedef struct Standings Standings;

Standings *standings_new(void);
void standings_free(Standings *standings); /* accepts NULL */
void standings_note(Standings *standings, uint64_t number, const UserState *state);
bool standings_is_dropped(const Standings *standings, uint64_t number);
/* Whether somebody who was allowed something by that role may still do it. */
bool standings_has_role(const Standings *standings, uint64_t number, Role role);
