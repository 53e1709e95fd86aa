/* SPDX-License-Identifier: Apache-2.0
 *
 * STORAGE CHECK, BACKUP DATABASE, RESTORE DATABASE, EXPORT USER DATA, SHOW EXPORT. The check reads
 * at one view while writers go on; the others are jobs. A whole server is restored by one that is
 * not running (server/offline.c).
 */
#include "exec/exec_int.h"

#include <ctype.h>
#include <string.h>

#include "os/clock.h"
#include "os/file.h"
#include "sql/sql.h"
#include "table/export.h"
#include "table/verify.h"

/* ---- STORAGE CHECK ---- */

static const ResultColumn check_columns[] = {
    COLUMN("storage_id", TYPE_TEXT),   COLUMN("status", TYPE_TEXT),
    COLUMN("readable", TYPE_BOOLEAN),  COLUMN("writable", TYPE_BOOLEAN),
    COLUMN("listable", TYPE_BOOLEAN),  COLUMN("deletable", TYPE_BOOLEAN),
    COLUMN("latency_ms", TYPE_BIGINT), COLUMN("total_bytes", TYPE_BIGINT),
    COLUMN("used_bytes", TYPE_BIGINT), COLUMN("error", TYPE_TEXT),
    COLUMN("tested_at", TYPE_BIGINT),
};

typedef struct Check {
    Run *run;
    bool readable, writable, listable, deletable;
    int64_t started_us;
    uint64_t total_bytes;
    VerifyReport report;
    Error probe; /* why the folder cannot be used */
    Slice first; /* problem */
} Check;

static void keep_first(void *context, const char *text)
{
    Check *check = context;
    if (check->first.size == 0)
        check->first = arena_copy(check->run->arena, slice_of_text(text));
}

static bool is_late(void *context)
{
    Check *check = context;
    Error late = {0};
    return exec__check_time(check->run, &late) != OK;
}

/* Writes, reads, lists and removes a file of its own. */
static Code probe(Check *check, Error *e)
{
    Arena *arena = check->run->arena;
    const char *root = database_storage_folder(check->run->executor->db);
    const char *path = arena_printf(arena, "%s/.check", root);
    Slice wrote = SLICE("kalamdb storage check"), got = {0};
    FileEntry *entries = NULL;
    size_t count = 0;
    TRY(file_write(path, wrote, 0600, e));
    check->writable = true;
    TRY(file_read(path, 1024, arena, &got, e));
    check->readable = slice_equal(got, wrote);
    TRY(file_list(root, 100000, arena, &entries, &count, e));
    check->listable = true;
    TRY(file_remove(path, e));
    check->deletable = true;
    return file_space(root, &check->total_bytes, e);
}

static const char *status_of(const Check *check)
{
    if (!check->readable && !check->writable)
        return "unreachable";
    return check->probe.code == OK && check->report.problems == 0 ? "healthy" : "degraded";
}

static Code storage_check(Run *run, Error *e)
{
    Slice id = run->statement->check.id;
    bool extended = run->statement->check.is_extended;
    if (id.size && !slice_equal_ignoring_case(id, SLICE("local")))
        return exec__place(run, run->statement->check.offset,
                           fail(e, E_NOT_FOUND, "Storage '%.*s' not found", SLICE_ARGS(id)), e);
    Check check = {.run = run, .started_us = clock_monotonic_us()};
    check.probe.code = probe(&check, &check.probe);
    int64_t latency_ms = (clock_monotonic_us() - check.started_us) / 1000;
    VerifyOptions options = {.read_segments = extended,
                             .on_problem = keep_first,
                             .is_stopped = is_late,
                             .context = &check};
    Code code = database_verify(run->executor->db, &options, &check.report, e);
    if (code == E_CANCELLED)
        TRY(exec__check_time(run, e)); /* why it was */
    TRY(code);
    CLEANUP(buffer_done) Buffer error = {0};
    if (check.probe.code != OK)
        buffer_printf(&error, "the storage folder cannot be used: %s",
                      code_info(check.probe.code)->meaning);
    if (check.report.problems)
        buffer_printf(&error, "%s%llu problem(s), the first: %.*s", error.size ? "; " : "",
                      (unsigned long long)check.report.problems, SLICE_ARGS(check.first));
    Value total =
        extended ? value_integer(TYPE_BIGINT, (int64_t)check.total_bytes) : value_null(TYPE_BIGINT);
    Value used = extended ? value_integer(TYPE_BIGINT, (int64_t)check.report.segment_bytes)
                          : value_null(TYPE_BIGINT);
    Value values[] = {
        value_text(SLICE("local")),
        value_text(slice_of_text(status_of(&check))),
        value_boolean(check.readable),
        value_boolean(check.writable),
        value_boolean(check.listable),
        value_boolean(check.deletable),
        value_integer(TYPE_BIGINT, latency_ms),
        total,
        used,
        error.size ? value_text(arena_copy(run->arena, buffer_slice(&error)))
                   : value_null(TYPE_TEXT),
        value_integer(TYPE_BIGINT, clock_wall_ms()),
    };
    run->sink->columns(run->sink->context, check_columns,
                       sizeof check_columns / sizeof *check_columns);
    TRY(run->sink->row(run->sink->context, values, e));
    run->sink->end(run->sink->context, 1, NULL, run->session.user_id);
    return OK;
}

/* ---- BACKUP, RESTORE ---- */

/* At the namespace. */
static Code check_copied(Run *run, Slice space, Error *e)
{
    if (catalog_is_system_namespace(space))
        return fail(e, E_INVALID_OPERATION,
                    "Namespace '%.*s' has no data of its own; BACKUP DATABASE TO '<name>' copies "
                    "the whole server",
                    SLICE_ARGS(space));
    if (space.size && !catalog_has_namespace(database_catalog(run->executor->db), space))
        return fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' not found", SLICE_ARGS(space));
    return OK;
}

/* What no other name of the backup would change has no place in the text. */
static Code place_name(const Run *run, Code code, Error *e)
{
    bool is_of_name = code == E_INVALID_INPUT || code == E_INVALID_OPERATION || code == E_NOT_FOUND;
    return is_of_name ? exec__place(run, run->statement->backup.place_offset, code, e) : code;
}

static Code backup(Run *run, Error *e)
{
    Slice space = run->statement->backup.namespace_name, place = run->statement->backup.place;
    char id[JOB_ID_BYTES];
    TRY(exec__place(run, run->statement->backup.name_offset, check_copied(run, space, e), e));
    TRY(place_name(run, jobs_request_backup(run->executor->jobs, space, place, id, e), e));
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Database backup started to '%.*s'. Job ID: %s",
                                   SLICE_ARGS(place), id));
    return OK;
}

static Code check_restored(Run *run, Slice space, Error *e)
{
    Catalog *catalog = database_catalog(run->executor->db);
    if (space.size == 0)
        return fail(e, E_UNSUPPORTED,
                    "A running server cannot be replaced by a backup; stop it and run: "
                    "kalamdb-server --restore <backup> <new data folder>. One namespace is "
                    "restored by RESTORE DATABASE <namespace> FROM '<name>'");
    if (!catalog_has_namespace(catalog, space) || catalog_is_system_namespace(space))
        return sql_check_name(SQL_NAME_NAMESPACE, space, e);
    return catalog_check_restore(catalog, space, e);
}

static Code restore(Run *run, Error *e)
{
    Slice space = run->statement->backup.namespace_name, place = run->statement->backup.place;
    char id[JOB_ID_BYTES];
    TRY(exec__place(run, run->statement->backup.name_offset, check_restored(run, space, e), e));
    TRY(place_name(run, jobs_request_restore(run->executor->jobs, space, place, id, e), e));
    exec__end_message(run, 0,
                      arena_printf(run->arena, "Database restore started from '%.*s'. Job ID: %s",
                                   SLICE_ARGS(place), id));
    return OK;
}

/* ---- EXPORT USER DATA, SHOW EXPORT: of the session's user, always ---- */

static Code export_user(Run *run, Error *e)
{
    User user = {.id = run->session.user, .user_id = run->session.user_id};
    char id[JOB_ID_BYTES];
    if (user.id == 0) /* nothing was ever written under this id */
        return fail(e, E_NOT_FOUND, "No data found for this user in any table");
    TRY(jobs_request_export(run->executor->jobs, &user, id, e));
    exec__end_message(run, 0, arena_printf(run->arena, "User data export started. Job ID: %s", id));
    return OK;
}

static const ResultColumn export_columns[] = {
    COLUMN("job_id", TYPE_TEXT),          COLUMN("status", TYPE_TEXT),
    COLUMN("created_at", TYPE_TIMESTAMP), COLUMN("message", TYPE_TEXT),
    COLUMN("download_url", TYPE_TEXT),
};

/* Where the archive is fetched from; NULL while it is not there, or not any more. */
static CHECKED Code download_url(Run *run, const JobInfo *job, Value *out, Error *e)
{
    static const char digits[] = "0123456789ABCDEF";
    CLEANUP(buffer_done) Buffer url = {0};
    const char *path;
    Slice user_id = run->session.user_id;
    *out = value_null(TYPE_TEXT);
    if (job->status != JOB_COMPLETED)
        return OK;
    Code code =
        export_zip_path(run->executor->db, user_id, slice_of_text(job->id), run->arena, &path, e);
    if (code != OK)
        return code == E_NOT_FOUND ? OK : code;
    buffer_add_text(&url, "/v1/exports/");
    for (size_t i = 0; i < user_id.size; i++) {
        unsigned char c = (unsigned char)user_id.data[i];
        if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
            buffer_add_char(&url, (char)c);
        else
            buffer_printf(&url, "%%%c%c", digits[c >> 4], digits[c & 15]);
    }
    buffer_printf(&url, "/%s", job->id);
    *out = value_text(arena_copy(run->arena, buffer_slice(&url)));
    return OK;
}

/* What its user reads of an export: the reason of a failure may name folders of the server, but for
 * that of a damaged segment; administrators have it in system.jobs. */
static Slice shown_message(const JobInfo *job)
{
    if (job->status != JOB_FAILED || job->code == E_SEGMENT_DAMAGED)
        return job->message;
    return SLICE("The export failed; ask again, or an administrator finds the reason in "
                 "system.jobs");
}

static Code show_export(Run *run, Error *e)
{
    JobInfo *jobs = NULL;
    size_t count = 0, shown = 0;
    TRY(jobs_list(run->executor->jobs, run->arena, &jobs, &count, e));
    run->sink->columns(run->sink->context, export_columns,
                       sizeof export_columns / sizeof *export_columns);
    for (size_t i = 0; i < count; i++) {
        if (!jobs_is_export_of(&jobs[i], run->session.user_id))
            continue;
        Value values[] = {
            value_text(slice_of_text(jobs[i].id)),
            value_text(slice_of_text(job_status_name(jobs[i].status))),
            value_integer(TYPE_TIMESTAMP, jobs[i].created_at_us),
            value_text(shown_message(&jobs[i])),
            value_null(TYPE_TEXT),
        };
        TRY(download_url(run, &jobs[i], &values[4], e));
        TRY(run->sink->row(run->sink->context, values, e));
        shown++;
    }
    run->sink->end(run->sink->context, shown, NULL, run->session.user_id);
    return OK;
}

Code exec__run_keep(Run *run, Error *e)
{
    switch (run->statement->kind) {
    case STATEMENT_STORAGE_CHECK:
        return storage_check(run, e);
    case STATEMENT_BACKUP:
        return backup(run, e);
    case STATEMENT_RESTORE:
        return restore(run, e);
    case STATEMENT_EXPORT_USER:
        return export_user(run, e);
    case STATEMENT_SHOW_EXPORT:
        return show_export(run, e);
    default:
        return fail(e, E_INTERNAL, "not a statement that keeps data");
    }
}
