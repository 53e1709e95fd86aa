/* SPDX-License-Identifier: Apache-2.0
 *
 * Entries and channels of a loop (channel.c). All on the loop's thread.
 */
#pragma once

#include "base/map.h"
#include "live/index_int.h"

typedef struct Subscription Subscription;

/* A partition that this loop follows. */
struct Entry {
    Partition partition;
    Channel *channels; /* all of them */
    Channel *scanned;  /* those that are in no bucket (index.c), by peer_next */
    Map *equals;       /* buckets by column and value; NULL: none yet */
    IndexColumn columns[INDEX_COLUMNS_MAX];
    uint64_t last_change_seq;   /* newest change of it that this loop has seen */
    struct ViewRows *view_rows; /* of a system table: the newest that came; a reference */
};

struct Channel {
    LiveQuery *query; /* a reference */
    Entry *entry;
    Channel *prev, *next;           /* of the entry */
    Bucket *bucket;                 /* NULL: it is scanned */
    Channel *peer_prev, *peer_next; /* of the bucket, or of those scanned */
    Subscription *subscriptions;
    Slice key; /* in loop->channels; its own bytes */
};

/* NULL when nobody follows it. */
Entry *live__find_entry(LiveLoop *loop, const Partition *partition);
/* The channel of a query, compiled if there is none; without a subscription yet. */
CHECKED Code live__channel_of(LiveClient *client, const LiveRequest *request, Channel **out,
                              Error *e);
/* The channel goes if it has no subscription. */
void live__drop_unused(LiveLoop *loop, Channel *channel);
/* Over to a channel of the same partition, with its query. Not while a worker reads for it. */
void live__move(Subscription *subscription, Channel *channel);
/* Into a channel; out of it, which then goes if it has no other. */
void live__join(Subscription *subscription, Channel *channel);
void live__leave(Subscription *subscription);
