/* SPDX-License-Identifier: Apache-2.0
 *
 * Following tables whose rows are made when they are read.
 */
#pragma once

#include "live/live_int.h"

typedef struct ViewRows ViewRows;
typedef struct ViewFollower ViewFollower;

typedef struct ViewRow {
    Slice key; /* of its primary key columns, one after the other */
    const Value *values;
    uint64_t stamp; /* of the refresh that found it like this */
} ViewRow;

/* All rows of a view as they were once. Immutable; shared by reference between loops. */
struct ViewRows {
    _Atomic unsigned refs;
    View *view;
    Arena *arena;
    ViewRow *rows; /* by key */
    size_t count, capacity, bytes;
    uint64_t ticket; /* it holds all that was asked for up to here */
};

struct View {
    LiveHub *hub;
    Table *table; /* in no catalog */
    unsigned sources;
    uint64_t figures;
    LiveViewFill *fill;
    void *context;
    _Atomic size_t interest, alive; /* followers; ViewRows */
    ViewRows *current;              /* of the refresh that runs, or ran last */
    LoopTask poke;                  /* asks `poked_loop` to start a refresh */
    /* guarded by hub->lock */
    LiveLoop *poked_loop;  /* a reference, while the poke is on its way */
    uint64_t wanted, done; /* tickets */
    int64_t not_before_us;
    size_t arriving; /* loops that have not got the newest rows yet */
    bool is_running;
};

/* What a subscription to a view has and gets. */
struct ViewFollower {
    View *view;
    uint64_t ticket; /* its first rows are of a refresh that began after it asked */
    ViewRows *have, *target;
    size_t have_at, target_at;
    uint32_t batch_num;
    Error *resnapshot; /* told before the first page */
    bool is_acked;
    bool is_loaded; /* has got its first rows */
    bool is_lost;   /* what it has is not known any more */
};

/* ---- view_rows.c ---- */

ViewRows *live__view_rows_ref(ViewRows *rows);
void live__view_rows_unref(ViewRows *rows); /* accepts NULL */
/* Whether a column of two rows is the same, as far as changes go. */
bool live__view_same_cell(const View *view, uint32_t column, const Value *a, const Value *b);
/* Asks for rows; those of this ticket or a later one were made after the call. On a loop. */
uint64_t live__view_refresh(View *view);
/* Refreshes that had to wait for their time. Once a second. */
void live__views_tick(LiveHub *hub);
void live__views_free(LiveHub *hub);

/* ---- view.c ---- */

/* After the subscription has joined its channel: asks for rows. Ends it when its options cannot be
 * served. */
void live__view_start(Subscription *subscription);
/* Before it leaves its channel. */
void live__view_leave(Subscription *subscription);
void live__view_free(ViewFollower *follower); /* accepts NULL */
/* Sends what is there, until the client's queue is full. */
void live__view_step(Subscription *subscription);
