/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs that keep data elsewhere, or bring it back: backups, restores of namespaces, exports.
 * Writers, flushes and compactions go on meanwhile.
 */
#include <stdio.h>

#include "jobs/keep.h"
#include "jobs/rest.h"
#include "os/clock.h"
#include "os/log.h"
#include "table/export.h"

enum { EXPORTS_LOOK_S = 3600 };

static void tell(void *context, const char *text)
{
    const JobRun *run = (const JobRun *)context;
    jobs__progress(run->jobs, run->job, "%s", text);
}

Code jobs__run_backup(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    JobRun run = {jobs, job};
    BackupReport report;
    must(job->target); /* a backup does not survive a restart */
    BackupStop stop = {jobs__is_stopped, &run, tell};
    if (job->space)
        TRY(database_backup_namespace(jobs->db, slice_of_text(job->space), job->target, stop,
                                      &report, e));
    else
        TRY(database_backup(jobs->db, job->target, stop, &report, e));
    int used = snprintf(message, message_bytes,
                        "Backed up %llu file(s), %llu bytes, as of commit %llu; verified",
                        (unsigned long long)report.files, (unsigned long long)report.bytes,
                        (unsigned long long)report.seq);
    if (job->space && used > 0 && (size_t)used < message_bytes)
        snprintf(message + used, message_bytes - (size_t)used, "; %llu table(s), %llu row(s)",
                 (unsigned long long)report.tables, (unsigned long long)report.rows);
    return OK;
}

/* Flush policies hold for what was restored as for what is written. */
static void note_tables(Jobs *jobs, Slice namespace_name)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table **tables;
    size_t count;
    catalog_list_tables(database_catalog(jobs->db), arena, &tables, &count);
    for (size_t i = 0; i < count; i++) {
        Error error = {0};
        bool is_of_it = slice_equal_ignoring_case(tables[i]->namespace_name, namespace_name);
        if (is_of_it && due_note_all(jobs->db, tables[i], NULL, NULL, &error) != OK)
            jobs__warn(jobs, "the search for partitions failed", (Partition){tables[i]->id, 0},
                       &error);
        table_unref(tables[i]);
    }
    MUTEX_SCOPE(&jobs->lock);
    jobs__wake(jobs);
}

Code jobs__run_restore(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    JobRun run = {jobs, job};
    BackupReport report;
    must(job->target && job->space); /* a restore does not survive a restart */
    TRY(database_restore_namespace(jobs->db, job->target, slice_of_text(job->space),
                                   (BackupStop){jobs__is_stopped, &run, tell}, &report, e));
    note_tables(jobs, slice_of_text(job->space));
    snprintf(message, message_bytes, "Restored %llu table(s), %llu row(s), as of commit %llu",
             (unsigned long long)report.tables, (unsigned long long)report.rows,
             (unsigned long long)report.seq);
    return OK;
}

Code jobs__run_export(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    JobRun run = {jobs, job};
    ExportReport report;
    must(job->user); /* an export does not survive a restart */
    TRY(database_export_user(jobs->db, job->user, job->id,
                             (BackupStop){jobs__is_stopped, &run, tell}, &report, e));
    if (report.tables == 0)
        snprintf(message, message_bytes, "No data found for this user in any table");
    else
        snprintf(
            message, message_bytes,
            "Exported %llu row(s) of %llu table(s), an archive of %llu bytes, as of commit %llu",
            (unsigned long long)report.rows, (unsigned long long)report.tables,
            (unsigned long long)report.zip_bytes, (unsigned long long)report.seq);
    return OK;
}

void jobs__sweep_exports(Jobs *jobs)
{
    Error error = {0};
    uint32_t removed = 0;
    if (export_sweep(jobs->db, &removed, &error) != OK)
        log_event(LOG_LEVEL_WARN, "what was left of exports was not removed", LOG_ERROR(&error));
    else if (removed)
        log_event(LOG_LEVEL_INFO, "removed exports that were not complete",
                  LOG_INT("files", removed));
}

int64_t jobs__expire_exports(Jobs *jobs)
{
    Error error = {0};
    uint32_t removed = 0;
    int64_t now_us = clock_wall_us(), keep_us = (int64_t)jobs->options.export_keep_s * 1000000;
    if (keep_us == 0)
        return INT64_MAX;
    if (now_us < jobs->exports_at_us)
        return jobs->exports_at_us - now_us;
    jobs->exports_at_us = now_us + (int64_t)EXPORTS_LOOK_S * 1000000;
    if (export_expire(jobs->db, now_us - keep_us, &removed, &error) != OK)
        log_event(LOG_LEVEL_WARN, "old exports were not removed", LOG_ERROR(&error));
    else if (removed)
        log_event(LOG_LEVEL_INFO, "removed old exports", LOG_INT("files", removed));
    return (int64_t)EXPORTS_LOOK_S * 1000000;
}
