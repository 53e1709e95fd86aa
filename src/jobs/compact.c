/* SPDX-License-Identifier: Apache-2.0
 *
 * When compaction runs: on request for a whole table, by itself for partitions that were flushed or
 * have old dead rows.
 *
 * By itself it rewrites at most ROUND_ROWS rows before queued jobs and due flushes get their turn,
 * and a stopping server or a killed job interrupts it between rows. A round that fails is warned of
 * and not tried again before the partition is noted again. After a restart partitions are noted by
 * their next flush, or by their old dead rows.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jobs/jobs_int.h"
#include "os/log.h"

enum { ROUND_ROWS = 500 * 1000, ROUND_PARTITIONS = 1000, FILES_RETRY_US = 1000 * 1000 };

typedef struct CompactRun {
    Jobs *jobs;
    const Job *job; /* NULL for an automatic compaction */
    Table *table;
    CompactMode mode;
    uint64_t until_seq;
    uint64_t segments, rows_read, rows_dropped;
} CompactRun;

static bool is_stopped(void *context)
{
    const CompactRun *run = (const CompactRun *)context;
    return jobs__is_killed(run->jobs, run->job);
}

/* One step by the table's definition of this moment: an ALTER in between makes another try of it. */
static Code step(CompactRun *run, Partition partition, const CompactOptions *options,
                 CompactResult *out, Error *e)
{
    for (int tries = 1;; tries++) {
        CLEANUP(table_unref_ptr)
        Table *table =
            catalog_find_table_by_id(database_catalog(run->jobs->db), partition.table_id);
        if (!table)
            return fail(e, E_CANCELLED, "the table was dropped");
        Code code = compact_step(run->jobs->db, table, partition, options, out, e);
        if (code != E_CONFLICT || table_is_current(table) || tries == JOBS_ALTER_TRIES_MAX)
            return code;
    }
}

static Code compact_once(CompactRun *run, Partition partition, bool *out_done, Error *e)
{
    CompactOptions options = {run->mode, run->until_seq, is_stopped, run};
    CompactResult result = {0};
    if (is_stopped(run))
        return fail(e, E_CANCELLED, "the job was cancelled");
    TRY(step(run, partition, &options, &result, e));
    run->segments += result.segments;
    run->rows_read += result.rows_read;
    run->rows_dropped += result.rows_read - result.rows_kept;
    *out_done = result.segments == 0;
    return OK;
}

/* ---- on request ---- */

static Code compact_all(void *context, Partition partition, Error *e)
{
    for (bool done = false; !done;)
        TRY(compact_once((CompactRun *)context, partition, &done, e));
    return OK;
}

Code jobs__run_compact(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), job->table_id);
    if (!table)
        return fail(e, E_CANCELLED, "the table was dropped");
    CompactRun run = {.jobs = jobs,
                      .job = job,
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

void jobs__note_compactable(Jobs *jobs, Partition partition)
{
    char bytes[12];
    memcpy(bytes, &partition.table_id, 4);
    memcpy(bytes + 4, &partition.user, 8);
    Slice key = slice_of(bytes, sizeof bytes);
    if (map_get(jobs->compactable, key) || map_count(jobs->compactable) >= DIRTY_PARTITIONS_MAX)
        return; /* there is always a next time */
    Dirt *dirt = x_new(Dirt);
    *dirt = (Dirt){.table_id = partition.table_id, .user = partition.user};
    map_put(jobs->compactable, key, dirt);
}

static Code note_if_due(void *context, Partition partition, Error *e)
{
    CompactRun *run = (CompactRun *)context;
    bool due = false;
    if (is_stopped(run))
        return fail(e, E_CANCELLED, "the server stops");
    TRY(compact_is_due(run->jobs->db, run->table, partition, &due, e));
    if (due)
        jobs__note_compactable(run->jobs, partition);
    return OK;
}

void jobs__note_old_dead(Jobs *jobs, Table *table)
{
    Error error = {0};
    CompactRun run = {.jobs = jobs, .table = table};
    Code code = compact_each_partition(jobs->db, table, true, note_if_due, &run, &error);
    if (code != OK && code != E_CANCELLED)
        jobs__warn_of_table("the search for dead rows failed", table, &error);
}

/* Compacts one partition until it has nothing left or the round is full; true when it has more. */
static bool compact_partition(Jobs *jobs, const Dirt *dirt, uint64_t *io_rows)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(jobs->db), dirt->table_id);
    if (!table)
        return false;
    Error error = {0};
    bool done = false;
    CompactRun run = {.jobs = jobs, .table = table};
    Code code = OK;
    while (code == OK && !done && *io_rows + run.rows_read < ROUND_ROWS)
        code = compact_once(&run, (Partition){dirt->table_id, dirt->user}, &done, &error);
    *io_rows += run.rows_read;
    if (run.segments)
        log_event(LOG_LEVEL_INFO, "compacted", LOG_SLICE("namespace", table->namespace_name),
                  LOG_SLICE("table", table->name), LOG_INT("segments", run.segments),
                  LOG_INT("rows", run.rows_read), LOG_INT("dropped", run.rows_dropped));
    if (code != OK && code != E_CANCELLED)
        jobs__warn_of_table("a compaction failed", table, &error);
    return code == OK && !done;
}

static bool remove_obsolete(Jobs *jobs)
{
    Error error = {0};
    bool more = false;
    if (obsolete_remove(jobs->obsolete, &more, &error) == OK)
        return more;
    log_event(LOG_LEVEL_WARN, "replaced segment files were not removed", LOG_ERROR(&error));
    return false; /* the next check tries again */
}

int64_t jobs__compact_due(Jobs *jobs)
{
    Slice key;
    void *value;
    uint64_t rows = 0;
    size_t partitions = 0;
    for (size_t at = 0;
         rows < ROUND_ROWS && partitions < ROUND_PARTITIONS && !jobs__is_killed(jobs, NULL) &&
         map_next(jobs->compactable, &at, &key, &value);
         partitions++) {
        if (compact_partition(jobs, (const Dirt *)value, &rows))
            break; /* the round is full: this one goes on in the next */
        map_remove(jobs->compactable, key);
        free(value);
    }
    bool files_wait = remove_obsolete(jobs);
    if (map_count(jobs->compactable) > 0)
        return 0;
    return files_wait ? FILES_RETRY_US : INT64_MAX;
}
