/* SPDX-License-Identifier: Apache-2.0
 *
 * A database in a temporary folder with one table t(id BIGINT PRIMARY KEY, v TEXT), and a model of
 * what its rows should be. Values are written as intents, the way exec/ does it.
 */
#pragma once

#include "table/compact.h"
#include "table/flush.h"
#include "table/view.h"

typedef struct Fixture {
    Database *db;
    Table *table;
    Partition partition; /* of user "alice" */
    const char *folder;
} Fixture;

/* Opens `folder`, making the namespace, the table and the user on the first call. */
void fixture_open(Fixture *f, const char *folder, TableKind kind);
void fixture_open_window(Fixture *f, const char *folder, TableKind kind, uint32_t feed_window_s);
void fixture_close(Fixture *f);
/* A second user's partition of the same table. */
Partition fixture_partition(Fixture *f, const char *user_id);

/* Insert, update (id exists) or delete (v NULL), each its own commit, retried on conflict; returns
 * the seq. */
uint64_t fixture_put(Fixture *f, int64_t id, const char *v);
uint64_t fixture_delete(Fixture *f, int64_t id);
/* Resolves a change at a view without committing it. */
Intent *fixture_resolve(Fixture *f, ReadView *view, int64_t id, const char *v);
/* "1=a 2=b " in order of seq: the live rows over both tiers at the newest commit. */
const char *fixture_rows(Fixture *f, Arena *arena);
/* The same as of an earlier commit, in pages of `limit`. */
const char *fixture_rows_at(Fixture *f, uint64_t at_seq, size_t limit, bool descending,
                            Arena *arena);
/* "+1=a ~1=a>b -1=b " : the feed after a cursor. */
const char *fixture_feed(Fixture *f, uint64_t after_seq, Arena *arena);
/* Flushes the partition up to its newest commit. */
/* Waits while a job works on the partition. */
void fixture_flush(Fixture *f);
/* Where the segments of a partition lie, relative to the storage folder. */
Slice fixture_folder(Fixture *f, Partition partition, Arena *arena);
/* Compacts the partition until nothing is left to do; returns the number of steps. */
int fixture_compact(Fixture *f, CompactMode mode);
/* The check of the data folder, segments read, must find nothing. */
void fixture_check_sound(Fixture *f);
