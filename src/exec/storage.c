/* SPDX-License-Identifier: Apache-2.0
 *
 * STORAGE FLUSH and STORAGE COMPACT of one table or of all tables of a namespace: jobs are queued,
 * and the statement waits for them up to flush_wait_ms, so that most callers find the work done.
 * What takes longer goes on; its id is in the message.
 */
#include "exec/exec_int.h"

#include "os/clock.h"

typedef enum Work { WORK_FLUSH, WORK_COMPACT } Work;

static const char *const statement_words[] = {"STORAGE FLUSH", "STORAGE COMPACT"};
static const char *const nouns[] = {"flush", "compaction"};
static const char *const nothing[] = {"no pending writes", "nothing to compact"};

typedef enum Request { STARTED, NOTHING_TO_DO, QUEUED_ALREADY } Request;

static Code request(Run *run, Work work, Table *table, Request *out, char out_id[JOB_ID_BYTES],
                    Error *e)
{
    if (work == WORK_COMPACT) {
        bool started = false;
        TRY(jobs_request_compact(run->executor->jobs, table, &started, out_id, e));
        *out = started ? STARTED : QUEUED_ALREADY;
        return OK;
    }
    FlushRequest outcome = FLUSH_STARTED;
    TRY(jobs_request_flush(run->executor->jobs, table, &outcome, out_id, e));
    *out = outcome == FLUSH_STARTED           ? STARTED
           : outcome == FLUSH_NOTHING_PENDING ? NOTHING_TO_DO
                                              : QUEUED_ALREADY;
    return OK;
}

/* Work that was begun on a table. */
typedef struct Begun {
    char id[JOB_ID_BYTES];
    uint32_t table_id;
} Begun;

static bool is_dropped(const Run *run, uint32_t table_id)
{
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table_by_id(database_catalog(run->executor->db), table_id);
    return !table;
}

/* The code of a statement whose job failed with `code`. Those of failures inside the server stay:
 * by them api/reply.c keeps the text, which may name paths, from who is no administrator. */
static Code told_as(Code code)
{
    if (code_info(code)->can_retry || code == E_SEGMENT_DAMAGED || code == E_INTERNAL)
        return code;
    bool is_damage = code == E_CORRUPT || code == E_NOT_FOUND; /* the latter: a file is gone */
    return is_damage ? E_CORRUPT : E_EXECUTION;
}

/* Waits for a job until `deadline_us`, and fails as it did. A table that was dropped meanwhile
 * needs nothing any more. */
static Code wait_for(Run *run, const Begun *begun, int64_t deadline_us, Error *e)
{
    const char *id = begun->id;
    int64_t left_us = deadline_us - clock_monotonic_us();
    JobInfo info = {0};
    TRY(jobs_wait(run->executor->jobs, id, left_us > 0 ? (uint32_t)(left_us / 1000) : 0, run->arena,
                  &info, e));
    if (info.status == JOB_FAILED)
        return fail(e, told_as(info.code), "Job %s failed: %.*s", id, SLICE_ARGS(info.message));
    if (info.status == JOB_CANCELLED && !is_dropped(run, begun->table_id))
        return fail(e, E_CANCELLED, "Job %s was cancelled", id);
    return OK;
}

static int64_t deadline_of(const Run *run)
{
    return clock_monotonic_us() + (int64_t)run->executor->options.flush_wait_ms * 1000;
}

static Code one_table(Run *run, Work work, Error *e)
{
    CLEANUP(table_unref_ptr) Table *table = NULL;
    TRY(exec__find_table(run, &run->statement->table.name, &table, e));
    if (table->kind == TABLE_STREAM)
        return fail(e, E_INVALID_OPERATION, "%s TABLE is not supported for STREAM tables",
                    statement_words[work]);
    Request outcome = STARTED;
    Begun begun = {.table_id = table->id};
    TRY(request(run, work, table, &outcome, begun.id, e));
    if (outcome == STARTED)
        TRY(wait_for(run, &begun, deadline_of(run), e));
    const char *noun = nouns[work];
    const char *place = arena_printf(run->arena, "'%.*s.%.*s'", SLICE_ARGS(table->namespace_name),
                                     SLICE_ARGS(table->name));
    const char *message = NULL;
    switch (outcome) {
    case STARTED:
        message = arena_printf(run->arena, "Storage %s started for table %s. Job ID: %s", noun,
                               place, begun.id);
        break;
    case NOTHING_TO_DO:
        message = arena_printf(run->arena, "Storage %s skipped: %s for table %s", noun,
                               nothing[work], place);
        break;
    case QUEUED_ALREADY:
        message = arena_printf(run->arena,
                               "Storage %s skipped: a %s is already queued or running for table %s",
                               noun, noun, place);
        break;
    }
    exec__end_message(run, 0, message);
    return OK;
}

/* ---- all tables of a namespace ---- */

typedef struct AllTables {
    Run *run;
    Work work;
    Slice namespace_name;
    Begun *begun;
    size_t count;
} AllTables;

static Code request_one(AllTables *all, Table *table, Error *e)
{
    if (table->kind == TABLE_STREAM ||
        !slice_equal_ignoring_case(table->namespace_name, all->namespace_name))
        return OK;
    Request outcome = STARTED;
    Begun *begun = &all->begun[all->count];
    begun->table_id = table->id;
    TRY(request(all->run, all->work, table, &outcome, begun->id, e));
    all->count += outcome == STARTED;
    return OK;
}

static Code request_all(AllTables *all, Error *e)
{
    Table **tables = NULL;
    size_t count = 0;
    Arena *arena = all->run->arena;
    catalog_list_tables(database_catalog(all->run->executor->db), arena, &tables, &count);
    all->begun = arena_new_array(arena, Begun, count + 1);
    Code code = OK;
    for (size_t i = 0; i < count; i++) {
        if (code == OK)
            code = request_one(all, tables[i], e);
        table_unref(tables[i]);
    }
    return code;
}

static void end_all(const AllTables *all)
{
    Run *run = all->run;
    const char *noun = nouns[all->work];
    if (all->count == 0) {
        exec__end_message(run, 0,
                          arena_printf(run->arena, "Storage %s skipped: %s in namespace '%.*s'",
                                       noun, nothing[all->work], SLICE_ARGS(all->namespace_name)));
        return;
    }
    CLEANUP(buffer_done) Buffer text = {0};
    buffer_printf(&text, "Storage %s started for %zu table(s) in namespace '%.*s'. Job IDs: [",
                  noun, all->count, SLICE_ARGS(all->namespace_name));
    for (size_t i = 0; i < all->count; i++)
        buffer_printf(&text, "%s%s", i ? ", " : "", all->begun[i].id);
    buffer_add_char(&text, ']');
    exec__end_message(run, 0, arena_text(run->arena, buffer_slice(&text)));
}

static Code all_tables(Run *run, Work work, Error *e)
{
    Slice name = run->statement->namespace_.name;
    AllTables all = {
        .run = run,
        .work = work,
        .namespace_name = name.size ? name : run->session.namespace_name,
    };
    if (!catalog_has_namespace(database_catalog(run->executor->db), all.namespace_name))
        return exec__place(run,
                           name.size ? run->statement->namespace_.offset : run->statement->offset,
                           fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' does not exist",
                                SLICE_ARGS(all.namespace_name)),
                           e);
    TRY(request_all(&all, e));
    int64_t deadline_us = deadline_of(run);
    for (size_t i = 0; i < all.count; i++)
        TRY(wait_for(run, &all.begun[i], deadline_us, e));
    end_all(&all);
    return OK;
}

Code exec__run_storage(Run *run, Error *e)
{
    switch (run->statement->kind) {
    case STATEMENT_FLUSH_TABLE:
        return one_table(run, WORK_FLUSH, e);
    case STATEMENT_FLUSH_ALL:
        return all_tables(run, WORK_FLUSH, e);
    case STATEMENT_COMPACT_TABLE:
        return one_table(run, WORK_COMPACT, e);
    case STATEMENT_COMPACT_ALL:
        return all_tables(run, WORK_COMPACT, e);
    default:
        return fail(e, E_INTERNAL, "not a statement about storage");
    }
}
