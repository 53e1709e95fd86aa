/* SPDX-License-Identifier: Apache-2.0
 *
 * When compaction runs: on request for a whole table, by itself for partitions that were flushed or
 * have old dead rows.
 *
 * By itself it rewrites at most ROUND_ROWS rows before queued compactions get their turn, and a
 * stopping server or a killed job interrupts it between rows. A partition that another job works on
 * comes later. A round that fails is warned of and not tried again before the partition is noted
 * again. After a restart partitions are noted by their next flush, or by their old dead rows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "jobs/jobs_int.h"
#include "jobs/rest.h"
#include "os/log.h"

enum {
    ROUND_ROWS = 500 * 1000,
    ROUND_PARTITIONS = 1000,
    FILES_RETRY_US = 1000 * 1000,
    CLAIMED_RETRY_US = 1000 * 1000,
    GIVE_WAY_US = 100 * 1000,
};

typedef struct CompactRun {
    JobRun run; /* without a job for an automatic compaction */
    Table *table;
    CompactMode mode;
    uint64_t until_seq;
    uint64_t segments, rows_read, rows_dropped;
} CompactRun;

/* One step by the table's definition of this moment: an ALTER in between makes another try of
 * it. */
static Code step(CompactRun *run, Partition partition, const CompactOptions *options,
                 CompactResult *out, Error *e)
{
    for (int tries = 1;; tries++) {
        CLEANUP(table_unref_ptr)
        Table *table =
            catalog_find_table_by_id(database_catalog(run->run.jobs->db), partition.table_id);
        if (!table)
            return fail(e, E_CANCELLED, "the table was dropped");
        Code code = compact_step(run->run.jobs->db, table, partition, options, out, e);
        if (code != E_CONFLICT || table_is_current(table) || tries == JOBS_ALTER_TRIES_MAX)
            return code;
    }
}

static Code compact_once(CompactRun *run, Partition partition, bool *out_done, Error *e)
{
    CompactOptions options = {run->mode, run->until_seq, jobs__is_stopped, &run->run};
    CompactResult result = {0};
    Code code = E_BUSY;
    for (int tries = 0; code != OK;) {
        if (jobs__is_stopped(&run->run))
            return fail(e, E_CANCELLED, "the job was cancelled");
        code = step(run, partition, &options, &result, e);
        if (code != OK && !jobs__may_try_again(&run->run, partition, &tries, e))
            return code;
    }
    run->segments += result.segments;
    run->rows_read += result.rows_read;
    run->rows_dropped += result.rows_read - result.rows_kept;
    *out_done = result.segments == 0;
    return OK;
}

/* ---- on request ---- */

static Code compact_all(void *context, Partition partition, Error *e)
{
    CompactRun *run = (CompactRun *)context;
    for (bool done = false; !done;) {
        TRY(compact_once(run, partition, &done, e));
        jobs__progress(run->run.jobs, run->run.job, "Rewrote %" PRIu64 " segment(s) so far",
                       run->segments);
    }
    return OK;
}

Code jobs__run_compact(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), job->table_id);
    if (!table)
        return fail(e, E_CANCELLED, "the table was dropped");
    CompactRun run = {.run = {jobs, job},
                      .table = table,
                      .mode = COMPACT_ALL,
                      .until_seq = database_last_seq(jobs->db)};
    TRY(compact_each_partition(jobs->db, table, false, compact_all, &run, e));
    snprintf(message, message_bytes, "Rewrote %llu segment(s), dropped %llu of %llu row(s)",
             (unsigned long long)run.segments, (unsigned long long)run.rows_dropped,
             (unsigned long long)run.rows_read);
    return OK;
}

/* ---- by itself ---- */

struct Noted {
    Noted *next; /* they take turns: one that is busy holds up nobody */
    Partition partition;
};

static Slice key_of(const Partition *partition, char bytes[12])
{
    memcpy(bytes, &partition->table_id, 4);
    memcpy(bytes + 4, &partition->user, 8);
    return slice_of(bytes, 12);
}

static void note(Jobs *jobs, Partition partition)
{
    char bytes[12];
    Slice key = key_of(&partition, bytes);
    if (map_get(jobs->compactable, key) || map_count(jobs->compactable) >= DIRTY_PARTITIONS_MAX)
        return; /* there is always a next time */
    Noted *noted = x_new(Noted);
    *noted = (Noted){.partition = partition};
    map_put(jobs->compactable, key, noted);
    if (jobs->last_noted)
        jobs->last_noted->next = noted;
    else
        jobs->first_noted = noted;
    jobs->last_noted = noted;
}

void jobs__note_compactable(Jobs *jobs, Partition partition)
{
    MUTEX_SCOPE(&jobs->lock);
    note(jobs, partition);
    jobs__wake(jobs);
}

/* Puts back one that has more to do or that somebody works on; how many are noted now. */
static size_t put_back(Jobs *jobs, Partition partition, bool is_noted)
{
    MUTEX_SCOPE(&jobs->lock);
    if (is_noted)
        note(jobs, partition);
    return map_count(jobs->compactable);
}

static bool take_noted(Jobs *jobs, Partition *out)
{
    char bytes[12];
    MUTEX_SCOPE(&jobs->lock);
    Noted *noted = jobs->first_noted;
    if (!noted)
        return false;
    jobs->first_noted = noted->next;
    if (!noted->next)
        jobs->last_noted = NULL;
    *out = noted->partition;
    map_remove(jobs->compactable, key_of(out, bytes));
    free(noted);
    return true;
}

static const char compaction_failed[] = "a compaction failed";
static const char removal_failed[] = "replaced segment files were not removed";

typedef enum Turn { TURN_DONE, TURN_MORE, TURN_CLAIMED, TURN_BUSY } Turn;

/* Compacts one partition until it has nothing left or the round is full. */
static Turn compact_partition(Jobs *jobs, Partition partition, uint64_t *io_rows)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), partition.table_id);
    if (!table)
        return TURN_DONE;
    Error error = {0};
    bool done = false;
    CompactRun run = {.run = {jobs, NULL}, .table = table};
    Code code = OK;
    while (code == OK && !done && *io_rows + run.rows_read < ROUND_ROWS)
        code = compact_once(&run, partition, &done, &error);
    *io_rows += run.rows_read;
    if (run.segments)
        log_event(LOG_LEVEL_INFO, "compacted", LOG_SLICE("namespace", table->namespace_name),
                  LOG_SLICE("table", table->name), LOG_INT("segments", run.segments),
                  LOG_INT("rows", run.rows_read), LOG_INT("dropped", run.rows_dropped));
    if (code == OK)
        jobs__went_well(jobs, compaction_failed, partition);
    else if (code != E_CANCELLED && code != E_CLAIMED)
        jobs__warn(jobs, compaction_failed, partition, &error);
    if (code == E_CLAIMED || (code != OK && database_is_read_only(jobs->db)))
        return TURN_CLAIMED;
    if (code == E_BUSY) /* nothing but this note says that it is due */
        return TURN_BUSY;
    return code == OK && !done ? TURN_MORE : TURN_DONE;
}

static bool remove_obsolete(Jobs *jobs)
{
    Error error = {0};
    bool more = false;
    if (obsolete_remove(jobs->obsolete, &more, &error) == OK) {
        jobs__went_well(jobs, removal_failed, (Partition){0, 0});
        return more;
    }
    jobs__warn(jobs, removal_failed, (Partition){0, 0}, &error);
    return false; /* the next check tries again */
}

int64_t jobs__compact_due(Jobs *jobs)
{
    Partition noted;
    uint64_t rows = 0;
    size_t left = 0;
    Turn turn = TURN_DONE;
    if (jobs__gives_way(jobs))
        return GIVE_WAY_US;
    for (int i = 0; i < ROUND_PARTITIONS && turn == TURN_DONE && rows < ROUND_ROWS &&
                    !jobs__is_killed(jobs, NULL) && take_noted(jobs, &noted);
         i++) {
        turn = compact_partition(jobs, noted, &rows);
        left = put_back(jobs, noted, turn != TURN_DONE);
    }
    bool files_wait = remove_obsolete(jobs);
    if (turn == TURN_CLAIMED)
        return CLAIMED_RETRY_US;
    if (left && turn != TURN_BUSY)
        return 0;
    if (files_wait)
        return FILES_RETRY_US;
    return left ? (int64_t)jobs->options.check_interval_s * 1000 * 1000 : INT64_MAX;
}
