/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "table/table_int.h"

#include <stdio.h>

#include "../test.h"
#include "data/row.h"
#include "os/clock.h"
#include "table/verify.h"

enum { USER_COUNT_MAX = 8, CLAIM_WAIT_MS = 1000 };

static void commit_change(Fixture *f, CatalogChange *change)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(f->db));
    intent_set_catalog_change(intent, change);
    CHECK_OK(database_commit(f->db, intent, e));
}

static void make_table(Fixture *f, TableKind kind)
{
    CatalogChange *change = NULL;
    Column columns[] = {
        {.field_id = 1,
         .name = SLICE("id"),
         .type = TYPE_BIGINT,
         .not_null = true,
         .primary_key = true},
        {.field_id = 2, .name = SLICE("v"), .type = TYPE_TEXT},
    };
    Schema schema = {
        .version = 1, .column_count = 2, .key_index = 0, .next_field_id = 3, .columns = columns};
    Table definition = {
        .namespace_name = SLICE("app"),
        .name = SLICE("t"),
        .kind = kind,
        .durable = kind != TABLE_STREAM,
        .ttl_s = kind == TABLE_STREAM ? 3600 : 0,
        .schema = &schema,
    };
    CHECK_OK(catalog_plan_create_namespace(database_catalog(f->db), SLICE("app"), 1, &change, e));
    commit_change(f, change);
    CHECK_OK(catalog_plan_create_table(database_catalog(f->db), &definition, &change, e));
    commit_change(f, change);
}

Partition fixture_partition(Fixture *f, const char *user_id)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    User user;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    Code code =
        catalog_get_user(snapshot, HOT_BLOCKING, slice_of_text(user_id), arena, &user, NULL);
    hot_snapshot_free(snapshot);
    if (code == E_NOT_FOUND) {
        CatalogChange *change = NULL;
        user = (User){.user_id = slice_of_text(user_id),
                      .registered = true,
                      .role = ROLE_USER,
                      .auth_type = SLICE("Password"),
                      .created_at_us = 1,
                      .updated_at_us = 1};
        CHECK_OK(catalog_plan_put_user(database_catalog(f->db), &user, &change, e));
        commit_change(f, change);
    }
    return (Partition){f->table->id, user.id};
}

void fixture_open(Fixture *f, const char *folder, TableKind kind)
{
    fixture_open_window(f, folder, kind, 86400);
}

void fixture_open_window(Fixture *f, const char *folder, TableKind kind, uint32_t feed_window_s)
{
    DatabaseOptions options = {
        .folder = folder,
        .hot = {.block_cache_bytes = 8 << 20, .write_buffer_bytes = 8 << 20, .background_jobs = 1},
        .feed_window_s = feed_window_s,
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 128 << 20},
    };
    f->folder = folder;
    CHECK_OK(database_open(&options, &f->db, e));
    f->table = catalog_find_table(database_catalog(f->db), SLICE("app"), SLICE("t"));
    if (!f->table) {
        make_table(f, kind);
        f->table = catalog_find_table(database_catalog(f->db), SLICE("app"), SLICE("t"));
    }
    CHECK(f->table);
    f->partition = fixture_partition(f, "alice");
}

void fixture_close(Fixture *f)
{
    table_unref(f->table);
    database_close(f->db);
}

static void encode(const Fixture *f, int64_t id, const char *v, Buffer *row, Buffer *key)
{
    Value values[2] = {value_integer(TYPE_BIGINT, id), value_text(slice_of_text(v))};
    row_encode(f->table->schema, values, row);
    CHECK_OK(key_encode(&values[0], key, e));
}

Intent *fixture_resolve(Fixture *f, ReadView *view, int64_t id, const char *v)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buffer_done) Buffer row = {0};
    CLEANUP(buffer_done) Buffer key = {0};
    Version old = {0};
    encode(f, id, v ? v : "", &row, &key);
    Code code = E_NOT_FOUND;
    if (f->table->kind != TABLE_STREAM)
        code = view_find(view, f->table, f->partition, buffer_slice(&key), arena, &old, NULL);
    CHECK(code == OK || code == E_NOT_FOUND);
    if (code == OK && !old.has_row)
        CHECK_OK(view_load_cold(view, f->table, f->partition, arena, &old, e));
    if (code != OK && !v)
        return NULL;
    Intent *intent = intent_new(view_seq(view));
    RowChange change = {
        .kind = !v           ? CHANGE_DELETE
                : code == OK ? CHANGE_UPDATE
                             : CHANGE_INSERT,
        .key = buffer_slice(&key),
        .new_row = v ? buffer_slice(&row) : old.row,
        .old_row = old.row,
        .old_seq = old.seq,
        .old_prev_seq = old.prev_seq,
        .old_is_cold = old.is_cold,
    };
    CHECK_OK(intent_add(intent, intent_part(intent, f->table, f->partition), &change, e));
    return intent;
}

static uint64_t write(Fixture *f, int64_t id, const char *v)
{
    for (;;) {
        ReadView *view = NULL;
        CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
        Intent *intent = fixture_resolve(f, view, id, v);
        view_close(view);
        if (!intent)
            return 0;
        Error error = {0};
        Code code = database_commit(f->db, intent, &error);
        uint64_t seq = intent->commit_seq;
        intent_unref(intent);
        if (code == OK)
            return seq;
        if (code != E_CONFLICT)
            test_failed(__FILE__, __LINE__, "commit: %s", error.text);
    }
}

uint64_t fixture_put(Fixture *f, int64_t id, const char *v)
{
    return write(f, id, v);
}

uint64_t fixture_delete(Fixture *f, int64_t id)
{
    return write(f, id, NULL);
}

static void add_row(const Fixture *f, Slice row, const char *before, const char *after, Buffer *out)
{
    Value values[2];
    CHECK_OK(row_decode(f->table->schema, row, values, e));
    buffer_printf(out, "%s%lld=%.*s%s", before, (long long)values[0].integer,
                  SLICE_ARGS(values[1].bytes), after);
}

const char *fixture_rows_at(Fixture *f, uint64_t at_seq, size_t limit, bool descending,
                            Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    PastRange range = {
        .at_seq = at_seq, .max_seq = UINT64_MAX, .limit = limit, .descending = descending};
    PastResult page = {.more = true};
    while (page.more) {
        ReadView *view = NULL;
        CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
        CHECK_OK(view_past_page(view, f->table, f->partition, &range, arena, &page, e));
        view_close(view);
        for (size_t i = 0; i < page.count; i++)
            add_row(f, page.rows[i].row, "", " ", &out);
        if (descending)
            range.max_seq = page.resume_seq;
        else
            range.min_seq = page.resume_seq;
    }
    return arena_text(arena, buffer_slice(&out));
}

const char *fixture_rows(Fixture *f, Arena *arena)
{
    return fixture_rows_at(f, database_last_seq(f->db), 1000, false, arena);
}

const char *fixture_feed(Fixture *f, uint64_t after_seq, Arena *arena)
{
    CLEANUP(buffer_done) Buffer out = {0};
    CLEANUP(view_close_ptr) ReadView *view = NULL;
    CLEANUP(feed_close_ptr) Feed *feed = NULL;
    CHECK_OK(view_open(f->db, HOT_BLOCKING, &view, e));
    CHECK_OK(feed_open(view, f->table, f->partition, after_seq, &feed, e));
    uint64_t last = after_seq;
    for (;;) {
        bool end;
        FeedChange change;
        CHECK_OK(feed_next(feed, &end, &change, e));
        if (end)
            break;
        CHECK(change.seq > last);
        last = change.seq;
        if (change.kind == CHANGE_UPDATE) {
            add_row(f, change.old_row, "~", ">", &out);
            add_row(f, change.new_row, "", " ", &out);
        } else {
            add_row(f, change.new_row, change.kind == CHANGE_INSERT ? "+" : "-", " ", &out);
        }
    }
    return arena_text(arena, buffer_slice(&out));
}

void fixture_flush(Fixture *f)
{
    uint64_t rows;
    Error error;
    Code code;
    do {
        flush_wait(f->db, f->partition, CLAIM_WAIT_MS);
        code = flush_partition(f->db, f->table, f->partition, &rows, &error);
    } while (code == E_CLAIMED);
    if (code != OK)
        test_failed(__FILE__, __LINE__, "flush: %s", error.text);
}

int fixture_compact(Fixture *f, CompactMode mode)
{
    CompactOptions options = {.mode = mode};
    CompactResult result = {.segments = 1};
    int steps = -1;
    for (; result.segments; steps++)
        CHECK_OK(compact_step(f->db, f->table, f->partition, &options, &result, e));
    return steps;
}

static void print_problem(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "    %s\n", text);
}

void fixture_check_sound(Fixture *f)
{
    VerifyReport report;
    VerifyOptions options = {.read_segments = true, .on_problem = print_problem};
    CHECK_OK(database_verify(f->db, &options, &report, e));
    CHECK_INT(report.problems, 0);
}

Slice fixture_folder(Fixture *f, Partition partition, Arena *arena)
{
    Slice folder = {0};
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(f->db));
    CHECK_OK(table__folder(f->db, snapshot, f->table, partition, arena, &folder, e));
    hot_snapshot_free(snapshot);
    return folder;
}
