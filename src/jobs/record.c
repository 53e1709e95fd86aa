/* SPDX-License-Identifier: Apache-2.0
 *
 * Job records: system 'j' | number u64 -> format, type, status, id, table, parameters, message,
 * times, CRC-32C.
 */
#include <stdlib.h>

#include "data/row.h"
#include "jobs/jobs_int.h"

enum { RECORD_FORMAT = 1, TEXT_BYTES_MAX = 64 * 1024 };

static const char *const type_names[JOB_TYPE_COUNT] = {
    [JOB_FLUSH] = "flush",
    [JOB_CLEANUP] = "cleanup",
    [JOB_COMPACT] = "compact",
    [JOB_BACKUP] = "backup",
    [JOB_USER_EXPORT] = "user_export",
    [JOB_USER_CLEANUP] = "user_cleanup",
    [JOB_RESTORE] = "restore",
};
static const char *const status_names[] = {"queued", "running",   "completed",
                                           "failed", "cancelled", "skipped"};

const char *jobs__type_name(JobType type)
{
    must(type < JOB_TYPE_COUNT);
    return type_names[type];
}

const char *job_status_name(JobStatus status)
{
    must(status <= JOB_SKIPPED);
    return status_names[status];
}

void jobs__free_job(Job *job)
{
    if (!job)
        return;
    free(job->parameters);
    free(job->message);
    free(job->target);
    free(job->space);
    free(job);
}

void jobs__encode(const Job *job, Buffer *out)
{
    size_t start = out->size;
    buffer_add_u8(out, RECORD_FORMAT);
    buffer_add_u8(out, (uint8_t)job->type);
    buffer_add_u8(out, (uint8_t)job->status);
    buffer_add_u64(out, job->number);
    buffer_add_sized(out, slice_of_text(job->id));
    buffer_add_u32(out, job->table_id);
    buffer_add_sized(out, slice_of_text(job->parameters));
    buffer_add_sized(out, slice_of_text(job->message ? job->message : ""));
    buffer_add_u64(out, (uint64_t)job->created_at_us);
    buffer_add_u64(out, (uint64_t)job->started_at_us);
    buffer_add_u64(out, (uint64_t)job->finished_at_us);
    buffer_add_u32(out, crc32c(0, slice_of(out->data + start, out->size - start)));
}

static bool decode(Slice bytes, Job *job)
{
    Cursor c = cursor_of(bytes);
    uint8_t format, type, status;
    uint32_t crc;
    uint64_t created, started, finished;
    Slice id, parameters, message;
    if (!cursor_u8(&c, &format) || format != RECORD_FORMAT || !cursor_u8(&c, &type) ||
        type >= JOB_TYPE_COUNT || !cursor_u8(&c, &status) || status > JOB_SKIPPED ||
        !cursor_u64(&c, &job->number) || !cursor_sized(&c, &id) || id.size >= JOB_ID_BYTES ||
        !cursor_u32(&c, &job->table_id) || !cursor_sized(&c, &parameters) ||
        parameters.size > TEXT_BYTES_MAX || !cursor_sized(&c, &message) ||
        message.size > TEXT_BYTES_MAX || !cursor_u64(&c, &created) || !cursor_u64(&c, &started) ||
        !cursor_u64(&c, &finished) || !cursor_u32(&c, &crc) || cursor_left(&c) ||
        crc != crc32c(0, slice_of(bytes.data, bytes.size - 4)))
        return false;
    job->type = (JobType)type;
    job->status = (JobStatus)status;
    memcpy(job->id, id.data, id.size);
    job->parameters = x_text(parameters);
    job->message = x_text(message);
    job->created_at_us = (int64_t)created;
    job->started_at_us = (int64_t)started;
    job->finished_at_us = (int64_t)finished;
    return true;
}

Code jobs__decode(Slice bytes, Job **out, Error *e)
{
    Job *job = x_new(Job);
    if (!decode(bytes, job)) {
        jobs__free_job(job);
        return fail(e, E_CORRUPT, "the record of a job is damaged");
    }
    *out = job;
    return OK;
}
