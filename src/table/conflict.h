/* SPDX-License-Identifier: Apache-2.0
 *
 * What was committed lately: from it alone the committer decides whether an intent conflicts. By
 * its thread only.
 */
#pragma once

#include "table/intent.h"

typedef struct Conflicts Conflicts;
/* Knows nothing of commits up to start_seq. */
Conflicts *conflicts_new(uint64_t start_seq);
void conflicts_free(Conflicts *conflicts); /* accepts NULL */
/* What a primary key, a row version without one, and the flush mark of a partition are called here:
 * hashes, so that two may share one, which costs a conflict and nothing else. */
uint64_t conflicts_key(Partition partition, Slice key);
uint64_t conflicts_version_key(Partition partition, uint64_t seq);
uint64_t conflicts_layout_key(Partition partition);
/* True when `key` was committed after read_seq, or when that can no longer be told. */
bool conflicts_hit(const Conflicts *conflicts, uint64_t key, uint64_t read_seq);
/* Notes that `key` was committed at seq; a version of a partition that died then is noted with it
 * (0 = none). */
void conflicts_note(Conflicts *conflicts, uint64_t key, uint64_t seq, Partition partition,
                    uint64_t died_seq);
/* True when one of the read versions died after read_seq, or when that can no longer be told. */
bool conflicts_hit_reads(const Conflicts *conflicts, const ReadSet *reads, size_t count,
                         uint64_t read_seq);
/* Calls back for every noted death after read_seq of a version in [from, to]; false when too old to
 * tell. */
bool conflicts_deaths(const Conflicts *conflicts, const FlushRange *range, uint64_t read_seq,
                      void (*visit)(void *context, uint64_t died_seq, uint64_t at), void *context);
