/* SPDX-License-Identifier: Apache-2.0
 *
 * Following tables whose rows are made when they are read (view.c).
 */
#pragma once

#include "live/live_int.h"

/* All rows of a view as they were once, by key. Immutable; shared by reference between loops. */
typedef struct ViewRows ViewRows;

/* What a subscription to a view has and gets. */
typedef struct ViewFollower ViewFollower;

/* After the subscription has joined its channel: asks for rows. Ends it when its options cannot be served. */
void live__view_start(Subscription *subscription);
/* Before it leaves its channel. */
void live__view_leave(Subscription *subscription);
void live__view_free(ViewFollower *follower); /* accepts NULL */
/* Sends what is there, until the client's queue is full. */
void live__view_step(Subscription *subscription);
/* Something that views show has changed: LIVE_ON_…. Any thread, holding no lock. */
void live__touch(LiveHub *hub, unsigned sources);
/* Refreshes that had to wait for their time. Once a second. */
void live__views_tick(LiveHub *hub);
void live__views_free(LiveHub *hub);
/* The last rows that came for the entry. Accepts NULL. */
void live__view_rows_unref(ViewRows *rows);
