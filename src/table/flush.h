/* SPDX-License-Identifier: Apache-2.0
 *
 * Moving rows from the hot to the cold tier, and giving back what the feed window no longer needs.
 *
 * For threads of jobs/. Each commits through the committer; before that commit nothing has
 * happened, after it everything. E_CLAIMED when somebody else works on the partition: flush_wait,
 * then again. E_BUSY when something else is short, as threads or places in the committer's queue.
 */
#pragma once

#include "table/view.h"

/* Visits every partition of a table that has rows in the hot tier, in key order. */
CHECKED Code flush_each_partition(Database *db, const Table *table,
                                  Code (*visit)(void *context, Partition partition, Error *e),
                                  void *context, Error *e);
/* True when live rows at or above the flush mark exist. */
CHECKED Code flush_is_pending(Database *db, const Table *table, Partition partition, bool *out,
                              Error *e);
/* Live rows at or above the flush mark, counted up to `limit`. */
CHECKED Code flush_count_pending(Database *db, const Table *table, Partition partition,
                                 size_t limit, size_t *out, Error *e);
/* Waits until nobody works on the partition, at most so long. */
void flush_wait(Database *db, Partition partition, uint32_t wait_ms);

/* What time has done or will do to a partition. */
typedef struct Outlook {
    uint64_t pending_seq; /* of the oldest row that lives and is not flushed; 0 = none */
    /* of the oldest change above feed low (in a STREAM: of any row); 0 = none */
    uint64_t change_seq;
    bool has_stale_copies; /* of flushed rows, below feed low */
    bool has_dead;         /* rows that lie in a segment */
} Outlook;
CHECKED Code flush_outlook(Database *db, const Table *table, Partition partition, Outlook *out,
                           Error *e);
CHECKED Code flush_outlook_at(ReadView *view, const Table *table, Partition partition, Outlook *out,
                              Error *e);
/* Writes one segment of everything live from the flush mark to the newest commit, and commits it;
 * rewrites manifest.json. *out_rows = 0: nothing to do. E_CLAIMED, E_BUSY as above,
 * E_CONFLICT when it began with an old definition, E_CANCELLED when the table was dropped
 * meanwhile. */
CHECKED Code flush_partition(Database *db, Table *table, Partition partition, uint64_t *out_rows,
                             Error *e);
/* Raises feed low to the newest change that has left the window and removes what lies below it; of
 * a STREAM what has expired. E_CLAIMED, E_BUSY, E_CANCELLED as above; E_CONFLICT when the TTL was
 * made longer or the table was dropped meanwhile. */
CHECKED Code flush_trim(Database *db, Partition partition, Error *e);
/* Who asks whether a job shall stop; is_stopped may be NULL. */
typedef struct JobStop {
    bool (*is_stopped)(void *context);
    void *context;
} JobStop;
/* Removes the files and entries that dropped tables left behind; waits for statements that may read
 * them. E_CANCELLED when stopped, E_IO when a file cannot be read or removed: then its table stays
 * listed. `stop` may be NULL. */
CHECKED Code flush_purge_dropped(Database *db, const JobStop *stop, Error *e);
/* Removes temporary files and segment files that no entry names, everywhere: after open and after a
 * failed write. Goes on where a folder fails, and fails at the end by the first. E_CANCELLED when
 * stopped; `stop` may be NULL. */
CHECKED Code flush_sweep(Database *db, const JobStop *stop, uint32_t *out_removed, Error *e);
/* Writes every manifest.json that is missing or not as it should be, one partition after the other,
 * beside whatever else runs: it takes longer than the sweep. Goes on, fails and stops as that. */
CHECKED Code flush_mend_manifests(Database *db, const JobStop *stop, Error *e);
/* Tells what these would remove or put right, and what in the storage folder is not ours, and
 * changes nothing: one line for each, which begins with the path below the storage folder. Goes on
 * and fails as the sweep. */
typedef struct StrayTell {
    void (*tell)(void *context, const char *text);
    void *context;
} StrayTell;
CHECKED Code flush_find_stray(Database *db, const StrayTell *tell, Error *e);
