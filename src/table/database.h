/* SPDX-License-Identifier: Apache-2.0
 *
 * A Database is one data folder: hot store, cold tier, catalog, committer and feed behind one
 * handle.
 *
 * Reading: open a ReadView (one commit over both tiers), ask it for versions, close it. Writing:
 * resolve at a view into an Intent and submit it. Following: register a ChangeSink.
 */
#pragma once

#include "engine/engine.h"
#include "table/intent.h"

typedef struct Database Database;

typedef struct DatabaseOptions {
    const char *folder; /* data folder; created when missing */
    HotOptions hot;
    uint32_t node;              /* 0..1023, in every seq */
    uint32_t feed_window_s;     /* how long the feed keeps changes, for tables that do not say */
    uint64_t feed_window_bytes; /* how many bytes of them a partition keeps; 0 = no limit */
    EngineConfig engine;        /* folders are filled in by database_open */
    /* what flush, compaction, backup and export may read and write; 0 = no limit */
    uint64_t background_bytes_per_s;
    bool inspect; /* nothing in the folder changes: only views may be used; no commits, no sinks */
} DatabaseOptions;

/* Options that open a folder to inspect it, with modest memory. */
DatabaseOptions database_inspect_options(const char *folder);
/* Opens or creates the folder, replays the log, loads the catalog, starts the committer. E_LOCKED
 * when another server uses the folder, E_FORMAT_VERSION when it was written by another format. */
CHECKED Code database_open(const DatabaseOptions *options, Database **out, Error *e);
/* Refuses new intents and answers the queued ones: nothing is committed from then on, no sink and
 * no `done` called. */
void database_finish(Database *db);
/* The same, syncs, marks the stop as clean, closes. Accepts NULL. */
void database_close(Database *db);

Catalog *database_catalog(Database *db);
HotStore *database_hot(Database *db);
EnginePool *database_engine(Database *db);         /* statements */
EnginePool *database_flush_engine(Database *db);   /* flush and compaction */
struct Throttle *database_throttle(Database *db);  /* what background work shares */
const char *database_folder(Database *db);         /* the data folder */
const char *database_storage_folder(Database *db); /* "<data>/storage" */
/* The feed window of a table: its own or the server's. NULL: the server's. */
uint32_t database_feed_window_s(Database *db, const Table *table);
uint64_t database_feed_window_bytes(Database *db, const Table *table); /* 0 = no limit */
/* At which age rows of a table are to be flushed: its own, or the server's where it names no
 * policy; 0 = never. The server's is set before there is traffic. */
uint32_t database_flush_interval_s(Database *db, const Table *table);
void database_set_flush_interval(Database *db, uint32_t seconds);

/* ---- seqs (table/seq.h has the arithmetic) ---- */
/* The next number of the one sequence of this server, for an id that is part of the commit to come.
 * Any thread. */
uint64_t database_next_id(Database *db);
/* The same for an id that is told to somebody without a commit that holds it (SELECT
 * SNOWFLAKE_ID()): not given out before a synced ceiling covers it, so that no later run repeats
 * it. E_WOULD_BLOCK on loops when that takes a sync. */
CHECKED Code database_give_id(Database *db, uint64_t *out, Error *e);
/* The newest committed seq that readers may see. Any thread. */
uint64_t database_last_seq(Database *db);

/* ---- writing ---- */
/* Queues the intent (takes one reference) and returns; intent->done tells the outcome. E_BUSY when
 * the queue is full, E_SHUTTING_DOWN; then done is not called and the reference stays the caller's.
 * Any thread. */
CHECKED Code database_submit(Database *db, Intent *intent, Error *e);
/* Submits and waits; not on loop threads. Keeps the caller's reference. */
CHECKED Code database_commit(Database *db, Intent *intent, Error *e);
/* True from a failed write until the hot store was opened again (reopen.c): writes are refused,
 * reads go on. */
bool database_is_read_only(Database *db);

/* ---- following ---- */
/* One group of commits, in seq order, already durable where asked and visible to new views.
 * `intents` are borrowed for the call: take references. */
typedef struct CommitGroup {
    Intent *const *intents;
    size_t count;
    uint64_t last_seq; /* of the last intent */
} CommitGroup;
typedef struct ChangeSink {
    void (*on_commit)(void *context,
                      const CommitGroup *group); /* committer thread: hand over, do not work */
    void *context;
    /* After a failed write, writes go on. `has_lost`: acknowledged commits of async tables are
     * gone, and their feeds start anew. Committer thread; may be NULL. */
    void (*on_reopen)(void *context, bool has_lost);
} ChangeSink;
/* At most 64 sinks; register before traffic. */
void database_add_sink(Database *db, ChangeSink sink);

typedef struct DatabaseStats {
    uint64_t commits, groups, rows, conflicts, syncs, sync_us;
    uint64_t reopen_tries; /* to go on after a failed write */
    size_t queue_depth;
    /* Since the start. Failed: not those that were stopped, or that another try follows at once. */
    uint64_t flushes, flush_rows, flush_us, flush_failures;
    uint64_t compactions, compact_rows, compact_dropped_rows, compact_us, compact_failures;
} DatabaseStats;
void database_stats(Database *db, DatabaseStats *out);
