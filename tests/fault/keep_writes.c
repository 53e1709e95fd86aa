/* SPDX-License-Identifier: Apache-2.0
 *
 * The scenes of the write path: commits of one row and of several partitions, a flush, a
 * compaction, and a start with a log to replay and files left over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/test.h"
#include "data/row.h"
#include "keep.h"
#include "os/file.h"
#include "table/compact.h"

/* ---- commits ---- */

typedef struct Write {
    const char *user;
    int64_t id;
    const char *v; /* NULL: deleted */
} Write;

enum { STEPS = 7, WRITES_MAX = 4 };

/* Each is one commit; the rows of both users after so many of them stand below. */
static const Write steps[STEPS][WRITES_MAX] = {
    {{"alice", 5, "new"}},
    {{"alice", 1, "changed"}},
    {{"alice", 2, NULL}},
    {{"alice", 4, "both"}, {"bob", 1, "both"}, {"bob", 2, "both"}},
    {{"bob", 1, NULL}, {"alice", 3, NULL}, {"alice", 6, "in"}},
    {{"alice", 2, "again"}},
    {{"alice", 1, NULL}, {"bob", 2, "last"}},
};
static const char *const rows_after[STEPS + 1] = {
    "1=old 2=old 3=old 4=old |",
    "1=old 2=old 3=old 4=old 5=new |",
    "2=old 3=old 4=old 5=new 1=changed |",
    "3=old 4=old 5=new 1=changed |",
    "3=old 5=new 1=changed 4=both |1=both 2=both ",
    "5=new 1=changed 4=both 6=in |2=both ",
    "5=new 1=changed 4=both 6=in 2=again |2=both ",
    "5=new 4=both 6=in 2=again |2=last ",
};

/* Resolves a row's change at the view. */
static Code add_write(Intent *intent, Database *db, ReadView *view, const Write *write, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer row = {0};
    CLEANUP(buffer_done) Buffer key = {0};
    CLEANUP(table_unref_ptr)
    Table *table = catalog_find_table(database_catalog(db), SLICE("tmp"), SLICE("d"));
    User user;
    Version old = {0};
    Value values[] = {value_integer(TYPE_BIGINT, write->id),
                      value_text(slice_of_text(write->v ? write->v : ""))};
    TRY(keep_find_user(db, write->user, arena, &user, e));
    Partition partition = {table->id, user.id};
    row_encode(table->schema, values, &row);
    TRY(key_encode(&values[0], &key, e));
    Code code = view_find(view, table, partition, buffer_slice(&key), arena, &old, e);
    if (code != OK && code != E_NOT_FOUND)
        return code;
    bool is_there = code == OK;
    if (is_there && !old.has_row)
        TRY(view_load_cold(view, table, partition, arena, &old, e));
    RowChange change = {
        .kind = !write->v  ? CHANGE_DELETE
                : is_there ? CHANGE_UPDATE
                           : CHANGE_INSERT,
        .key = buffer_slice(&key),
        .new_row = write->v ? buffer_slice(&row) : old.row,
        .old_row = old.row,
        .old_seq = old.seq,
        .old_prev_seq = old.prev_seq,
        .old_is_cold = old.is_cold,
    };
    return intent_add(intent, intent_part(intent, table, partition), &change, e);
}

static Code commit_step(Database *db, const Write *writes, Error *e)
{
    ReadView *view = NULL;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(view_seq(view));
    intent->durable = true;
    Code code = OK;
    for (int i = 0; i < WRITES_MAX && writes[i].user && code == OK; i++)
        code = add_write(intent, db, view, &writes[i], e);
    view_close(view);
    return code == OK ? database_commit(db, intent, e) : code;
}

/* How many were acknowledged is kept beside the disk, one byte each. */
static const char *acknowledged_path(const char *disk, Arena *arena)
{
    return arena_printf(arena, "%s/../acknowledged", disk);
}

static void note_acknowledged(const char *disk, Arena *arena)
{
    FILE *file = fopen(acknowledged_path(disk, arena), "a");
    CHECK(file && fputc('.', file) == '.');
    CHECK(fclose(file) == 0);
}

static Code run_commits(Database *db, const char *disk, Arena *arena, Error *e)
{
    for (int i = 0; i < STEPS; i++) {
        TRY(commit_step(db, steps[i], e));
        note_acknowledged(disk, arena);
    }
    return OK;
}

bool commits_run(const char *disk)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    remove(acknowledged_path(disk, arena));
    return keep_act(disk, run_commits);
}

/* Exactly the acknowledged ones, and the one that had no answer whole or not at all. */
void commits_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice dots = {0};
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    if (file_exists(acknowledged_path(disk, arena)))
        CHECK_OK(file_read(acknowledged_path(disk, arena), STEPS, arena, &dots, e));
    const char *rows = arena_printf(arena, "%s|%s", keep_rows(db, "tmp", "d", "alice", arena),
                                    keep_rows(db, "tmp", "d", "bob", arena));
    size_t done = dots.size;
    CHECK(!acknowledged || done == STEPS);
    if (strcmp(rows, rows_after[done]) != 0 &&
        (done == STEPS || strcmp(rows, rows_after[done + 1]) != 0))
        test_failed(__FILE__, __LINE__, "after %zu commits there is %s", done, rows);
    database_close(db);
}

/* ---- flush and compaction ---- */

static Code app_partition(Database *db, const char *user_id, Arena *arena, Table **out_table,
                          Partition *out, Error *e)
{
    User user;
    TRY(keep_find_user(db, user_id, arena, &user, e));
    *out_table = catalog_find_table(database_catalog(db), SLICE("app"), SLICE("t"));
    *out = (Partition){(*out_table)->id, user.id};
    return OK;
}

static Code run_flush(Database *db, const char *disk, Arena *arena, Error *e)
{
    static const char *const users[] = {"alice", "bob"};
    (void)disk;
    for (int i = 0; i < 2; i++) {
        CLEANUP(table_unref_ptr) Table *table = NULL;
        Partition partition;
        uint64_t rows;
        TRY(app_partition(db, users[i], arena, &table, &partition, e));
        TRY(flush_partition(db, table, partition, &rows, e));
        TRY(flush_trim(db, partition, e));
    }
    return hot_flush(database_hot(db), e);
}

bool flush_run(const char *disk)
{
    return keep_act(disk, run_flush);
}

/* Whether the flush was committed shows in the flush mark; the rows are the same either way. */
void flush_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    CLEANUP(table_unref_ptr) Table *table = NULL;
    Partition partition;
    bool is_pending = false;
    CHECK_OK(app_partition(db, "alice", arena, &table, &partition, e));
    CHECK_OK(flush_is_pending(db, table, partition, &is_pending, e));
    CHECK(!is_pending || !acknowledged);
    database_close(db);
    CHECK(flush_run(disk)); /* it goes on */
    database_close(keep_open_checked(keep_path(disk, "data"), true));
}

static Code compact(Database *db, Arena *arena, uint32_t *out_segments, Error *e)
{
    CLEANUP(table_unref_ptr) Table *table = NULL;
    Partition partition;
    CompactOptions options = {.mode = COMPACT_ALL};
    CompactResult result = {.segments = 1};
    *out_segments = 0;
    TRY(app_partition(db, "alice", arena, &table, &partition, e));
    while (result.segments > 0) {
        TRY(compact_step(db, table, partition, &options, &result, e));
        *out_segments += result.segments;
    }
    return OK;
}

static Code run_compact(Database *db, const char *disk, Arena *arena, Error *e)
{
    uint32_t segments;
    (void)disk;
    TRY(compact(db, arena, &segments, e));
    return keep_sweep(db, e);
}

bool compact_run(const char *disk)
{
    return keep_act(disk, run_compact);
}

void compact_check(const char *disk, bool acknowledged)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Database *db = keep_open_checked(keep_path(disk, "data"), true);
    uint32_t segments;
    CHECK_OK(compact(db, arena, &segments, e)); /* it goes on */
    CHECK(segments == 0 || !acknowledged);
    database_close(db);
    database_close(keep_open_checked(keep_path(disk, "data"), true));
}

/* ---- start ---- */

static Code do_nothing(Database *db, const char *disk, Arena *arena, Error *e)
{
    (void)db, (void)disk, (void)arena, (void)e;
    return OK;
}

bool start_run(const char *disk)
{
    return keep_act(disk, do_nothing);
}

void start_check(const char *disk, bool acknowledged)
{
    (void)acknowledged;
    database_close(keep_open_checked(keep_path(disk, "data"), true));
}

/* What a crash between a file and its commit leaves. */
void start_prepare(const char *disk)
{
    static const char *const names[] = {"batch-77.parquet", "batch-78.parquet.tmp"};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (int i = 0; i < 2; i++)
        CHECK_OK(
            file_write(arena_printf(arena, "%s/data/storage/user/alice/app/t/%s", disk, names[i]),
                       SLICE("left over"), 0600, e));
}
