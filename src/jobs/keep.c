/* SPDX-License-Identifier: Apache-2.0
 *
 * Jobs that keep data elsewhere: backups and exports. Writers go on meanwhile; flushes and compactions wait for the thread.
 */
#include <stdio.h>

#include "jobs/jobs_int.h"
#include "table/export.h"

typedef struct KeepRun {
    Jobs *jobs;
    const Job *job;
} KeepRun;

static bool is_stopped(void *context)
{
    const KeepRun *run = (const KeepRun *)context;
    return jobs__is_killed(run->jobs, run->job);
}

Code jobs__run_backup(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    KeepRun run = {jobs, job};
    BackupReport report;
    must(job->target); /* a backup does not survive a restart */
    TRY(database_backup(jobs->db, job->target, (BackupStop){is_stopped, &run}, &report, e));
    snprintf(message, message_bytes,
             "Backed up %llu file(s), %llu bytes, as of commit %llu; verified",
             (unsigned long long)report.files, (unsigned long long)report.bytes,
             (unsigned long long)report.seq);
    return OK;
}

Code jobs__run_export(Jobs *jobs, const Job *job, char *message, size_t message_bytes, Error *e)
{
    KeepRun run = {jobs, job};
    ExportReport report;
    must(job->user); /* an export does not survive a restart */
    TRY(database_export_user(jobs->db, job->user, job->id, (BackupStop){is_stopped, &run}, &report,
                             e));
    if (report.tables == 0)
        snprintf(message, message_bytes, "No data found for this user in any table");
    else
        snprintf(message, message_bytes,
                 "Exported %llu row(s) of %llu table(s), %llu bytes, as of commit %llu",
                 (unsigned long long)report.rows, (unsigned long long)report.tables,
                 (unsigned long long)report.bytes, (unsigned long long)report.seq);
    return OK;
}
