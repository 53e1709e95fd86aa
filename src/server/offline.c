/* SPDX-License-Identifier: Apache-2.0
 *
 * --verify: opens the folder for inspection and says for people what the check found. --restore:
 * table/backup.h.
 */
#include "server/offline.h"

#include <inttypes.h>
#include <stdio.h>

#include "table/backup.h"
#include "table/flush.h"

static int failed(const char *folder, const Error *error)
{
    if (strstr(error->text, folder))
        fprintf(stderr, "kalamdb-server: %s\n", error->text);
    else
        fprintf(stderr, "kalamdb-server: %s: %s\n", folder, error->text);
    return 1;
}

static void print_problem(void *context, const char *text)
{
    (void)context;
    printf("PROBLEM  %s\n", text);
}

static void print_note(void *context, const char *text)
{
    if (++*(uint64_t *)context <= VERIFY_PROBLEMS_TOLD)
        printf("NOTE     %s\n", text);
}

static void print_damage(uint64_t problems)
{
    printf("DAMAGED     %" PRIu64 " problem%s\n", problems, problems == 1 ? "" : "s");
}

static void print_report(const VerifyReport *r, uint64_t notes)
{
    printf("commit      %" PRIu64 "\n", r->seq);
    printf("catalog     %" PRIu64 " users, %" PRIu64 " tables, %" PRIu64 " partitions\n", r->users,
           r->tables, r->partitions);
    printf("hot tier    %" PRIu64 " rows, %" PRIu64 " tombstones, %" PRIu64
           " versions of history\n",
           r->rows, r->tombstones, r->history);
    printf("keys        %" PRIu64 " heads, %" PRIu64 " dead records\n", r->heads, r->dead);
    printf("cold tier   %" PRIu64 " segments, %" PRIu64 " rows, %" PRIu64 " bytes\n", r->segments,
           r->segment_rows, r->segment_bytes);
    if (notes)
        printf("notes       %" PRIu64 ", none of them damage\n", notes);
    if (r->problems > VERIFY_PROBLEMS_TOLD)
        printf("            (the first %d problems are listed)\n", VERIFY_PROBLEMS_TOLD);
    if (r->problems)
        print_damage(r->problems);
    else
        printf("OK          everything agrees\n");
}

static void count_problem(void *context, const char *text)
{
    ++*(uint64_t *)context;
    print_problem(NULL, text);
}

/* Its files against its list. *out_is_namespace: that is all there is to check. */
static int verify_backup(const char *folder, bool *out_is_namespace)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Error error = {0};
    BackupList list;
    uint64_t problems = 0, bytes = 0;
    BackupTell tell = {count_problem, &problems};
    if (backup_check(folder, &tell, &list, arena, &error) != OK)
        return failed(folder, &error);
    for (size_t i = 0; i < list.count; i++)
        bytes += list.files[i].bytes;
    printf("backup      of a %s as of commit %" PRIu64 ", %zu files, %" PRIu64 " bytes\n",
           list.is_namespace ? "namespace" : "server", list.seq, list.count, bytes);
    if (problems)
        print_damage(problems);
    else if (list.is_namespace)
        printf("OK          every file is as it was written\n");
    *out_is_namespace = list.is_namespace;
    return problems ? 1 : 0;
}

int offline_verify(const char *folder)
{
    Error error = {0};
    bool is_namespace = false;
    if (backup_is_there(folder)) {
        int result = verify_backup(folder, &is_namespace);
        if (result || is_namespace)
            return result;
    }
    Database *db = NULL;
    VerifyReport report;
    DatabaseOptions options = database_inspect_options(folder);
    VerifyOptions verify = {.read_segments = true, .on_problem = print_problem};
    if (database_open(&options, &db, &error) != OK)
        return failed(folder, &error);
    uint64_t notes = 0;
    StrayTell tell = {print_note, &notes};
    Code code = database_verify(db, &verify, &report, &error);
    if (code == OK)
        code = flush_find_stray(db, &tell, &error);
    database_close(db);
    if (code != OK)
        return failed(folder, &error);
    print_report(&report, notes);
    return report.problems ? 1 : 0;
}

int offline_restore(const char *backup, const char *folder)
{
    Error error = {0};
    BackupReport report;
    if (backup_restore(backup, folder, &report, &error) != OK)
        return failed(folder, &error);
    printf("OK          restored %" PRIu64 " files, %" PRIu64 " bytes, as of commit %" PRIu64 "\n",
           report.files, report.bytes, report.seq);
    return 0;
}
