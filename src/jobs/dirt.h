/* SPDX-License-Identifier: Apache-2.0
 *
 * The dirt that commits leave: rows and bytes of partitions, counted in memory. Any thread; guarded
 * by dirt_lock.
 */
#pragma once

#include "jobs/jobs_int.h"

/* A feed is trimmed to its bytes when so large a part of them has come since. */
enum { FEED_PARTS = 4 };

/* What commits left in a partition. */
struct Dirt {
    struct Dirt *previous, *next; /* in one of the two lists of Jobs */
    Partition partition;
    uint64_t rows;         /* that may wait for a flush */
    uint64_t bytes;        /* of changes since the feed was trimmed to its bytes */
    int64_t not_before_us; /* after a failure: when to look again */
    bool is_counted;       /* rows has what waited before the first commit that was seen */
    bool is_listed;
};

/* The sink of the committer. */
void jobs__on_commit(void *context, const CommitGroup *group);
/* Takes partitions that wait for a look; their counts begin at 0. */
size_t jobs__take_dirt(Jobs *jobs, Dirt *out, size_t limit);
/* Whether its rows are counted, or will be soon because it waits for a look. */
bool jobs__is_counted(Jobs *jobs, Partition partition);
/* Adds what a look has left: rows that it counted and bytes that it did not trim. With what commits
 * added meanwhile it may be due again. Where the look failed, not_before_us lists the partition
 * again for then, to be counted. */
void jobs__return_dirt(Jobs *jobs, const Table *table, const Dirt *left);
/* Another policy: what is counted was judged by the old one. */
void jobs__forget_counts(Jobs *jobs, uint32_t table_id);
void jobs__free_dirt(Map *dirt);
uint32_t jobs__policy_rows(const Jobs *jobs, const Table *table);
void jobs__sleeps_until(Jobs *jobs, int64_t wall_us);
