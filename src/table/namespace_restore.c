/* SPDX-License-Identifier: Apache-2.0
 *
 * Bringing a namespace back while everything runs: its tables get numbers of their own, are filled
 * where nobody sees them, and appear in one commit.
 *
 *     1. every file is compared with the list, every record read          nothing is written before
 *     2. one commit: numbers given out, and for each a record "dropped table"
 *     3. segments copied; rows, heads, dead records and entries in bounded commits, under the new
 *        numbers
 *     4. what came of it is verified
 *     5. one commit: namespace and tables into the catalog, the records of 2 gone
 *
 * I1. Until 5 no catalog knows the tables: nothing reads, flushes or compacts them. If 5 does not
 *     come, the purge of dropped tables (table/sweep.c), at once or at the next start, removes keys
 *     and files.
 * I2. Rows keep their seqs, which are below everything this server gives out from 2 on, or the
 *     backup is refused.
 * I3. The tables are created after every seq given out before: a cursor from before, whatever table
 *     had the name, is too old (view_partition). Feed and history begin empty.
 * I4. Batch numbers are new where a file of that number is there.
 */
#include "base/limits.h"
#include "cold/cold.h"
#include "data/row.h"
#include "os/clock.h"
#include "os/file_piece.h"
#include "os/throttle.h"
#include "table/backup_int.h"
#include "table/dump.h"
#include "table/manifest.h"
#include "table/table_int.h"
#include "table/verify.h"

enum {
    PIECE_RECORDS = 5000,
    PIECE_BYTES = 4 * 1024 * 1024,
    COMMIT_TRIES_MAX = 100,
    STOP_CHECK_RECORDS = 4096,
    CLAIM_WAIT_MS = 60 * 1000,
};

typedef struct Restore {
    Database *db;
    const char *backup;
    Slice name;
    BackupStop stop;
    BackupReport report;
    uint64_t seq; /* the commit of the backup */
    Arena *arena; /* of the restore */
    Arena *own;   /* of the record */
    Table *tables;
    size_t count;
    uint32_t first_id;
    Buffer copied; /* const char * of each segment file made */
    /* the table that is filled */
    const Table *table;
    const char *folder; /* in the backup */
    /* the partition that is filled */
    Arena *of_partition;
    Partition partition;
    bool is_open, is_left_out, has_claim;
    PartitionState state;
    Slice place; /* its folder below storage/ */
    /* what the next commit writes */
    Intent *piece;
    size_t piece_bytes;
    uint64_t records;
    bool may_have_appeared; /* 5 was sent */
} Restore;

static Code check_stop(Restore *r, Error *e)
{
    if (r->records++ % STOP_CHECK_RECORDS != 0)
        return OK;
    if (r->stop.is_stopped && r->stop.is_stopped(r->stop.context))
        return fail(e, E_CANCELLED, "the restore was stopped");
    if (r->report.rows)
        backup__tell(&r->stop, "Restored %llu row(s) so far", (unsigned long long)r->report.rows);
    else
        backup__tell(&r->stop, "Checking the backup");
    return OK;
}

/* ---- 1: is it whole ---- */

/* No link stands where a file or a folder of the backup should. */
static Code check_plain(Restore *r, const BackupFile *file, Error *e)
{
    FileLook look;
    const char *path = arena_printf(r->own, "%s/%.*s", r->backup, SLICE_ARGS(file->path));
    const char *slash = memchr(file->path.data, '/', file->path.size);
    size_t above = slash ? (size_t)(slash - file->path.data) : 0;
    TRY(file_look(arena_printf(r->own, "%s/%.*s", r->backup, (int)above, file->path.data), &look,
                  e));
    bool is_sound = look.kind == FILE_FOLDER;
    TRY(file_look(path, &look, e));
    if (!is_sound || look.kind != FILE_PLAIN)
        return fail(e, E_CORRUPT, "%.*s of the backup is missing, or a link",
                    SLICE_ARGS(file->path));
    return OK;
}

static Code check_seqs(const Restore *r, const DumpRecord *record, Error *e)
{
    bool is_death = record->kind == DUMP_DEAD;
    if (record->seq > r->seq || (is_death && record->number > r->seq) ||
        record->state.flush_mark > r->seq + 1)
        return fail(e, E_CORRUPT, "the backup holds seqs above its commit");
    if (record->kind != DUMP_SEGMENT)
        return OK;
    SegmentEntry *entry;
    TRY(segment_decode(record->bytes, r->own, &entry, e));
    if (entry->max_seq > r->seq)
        return fail(e, E_CORRUPT, "the backup holds seqs above its commit");
    return OK;
}

static Code keep_definition(Restore *r, Slice bytes, Table *out, Error *e)
{
    TRY(catalog_decode_definition(bytes, r->arena, out, e));
    if (out->kind != TABLE_STREAM && out->schema->key_index < 0)
        return fail(e, E_CORRUPT, "table %.*s of the backup has no key", SLICE_ARGS(out->name));
    out->namespace_name = r->name;
    return OK;
}

static Code read_through(Restore *r, DumpReader *reader, Table *out, Error *e)
{
    for (DumpRecord record = {0}; record.kind != DUMP_END; arena_reset(r->own)) {
        TRY(dump_reader_next(reader, &record, e));
        TRY(check_stop(r, e));
        TRY(check_seqs(r, &record, e));
        if (record.kind == DUMP_TABLE)
            TRY(keep_definition(r, record.bytes, out, e));
    }
    return OK;
}

static Code check_table(Restore *r, const char *path, Table *out, Error *e)
{
    DumpReader *reader;
    TRY(dump_reader_open(path, &reader, e));
    Code code = read_through(r, reader, out, e);
    dump_reader_close(reader);
    return code;
}

static size_t count_tables(const BackupList *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        Slice path = list->files[i].path;
        count +=
            path.size > 5 && slice_equal(slice_of(path.data + path.size - 5, 5), SLICE("/rows"));
    }
    return count;
}

static Code check_backup(Restore *r, Error *e)
{
    BackupList list;
    Slice bytes;
    TRY(backup__read_list(r->backup, r->arena, &bytes, &list, e));
    if (!list.is_namespace)
        return fail(e, E_INVALID_INPUT,
                    "This is the backup of a whole server; stop the server and run: "
                    "kalamdb-server --restore <backup> <new data folder>");
    r->seq = r->report.seq = list.seq;
    for (size_t i = 0; i < list.count; i++, arena_reset(r->own)) {
        TRY(check_stop(r, e));
        TRY(check_plain(r, &list.files[i], e));
        TRY(backup__check_file(r->backup, &list.files[i], r->own, e));
        r->report.files++;
        r->report.bytes += list.files[i].bytes;
    }
    r->count = count_tables(&list);
    r->tables = arena_new_array(r->arena, Table, r->count + 1);
    if (r->count > TABLES_MAX)
        return fail(e, E_CORRUPT, "the backup has more tables than may be");
    for (size_t i = 0; i < r->count; i++)
        TRY(check_table(r, arena_printf(r->arena, "%s/table-%zu/rows", r->backup, i), &r->tables[i],
                        e));
    return OK;
}

/* ---- commits of the catalog ---- */

typedef Code PlanChange(Restore *r, Intent *intent, CatalogChange **out, Error *e);

static Code change_once(Restore *r, PlanChange *plan, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(r->db));
    CatalogChange *change = NULL;
    TRY(plan(r, intent, &change, e));
    intent_set_catalog_change(intent, change);
    intent->durable = true;
    return database_commit(r->db, intent, e);
}

static Code change_catalog(Restore *r, PlanChange *plan, Error *e)
{
    Code code = E_CONFLICT;
    for (int i = 0; i < COMMIT_TRIES_MAX && code == E_CONFLICT; i++)
        code = change_once(r, plan, e);
    return code;
}

static Slice dropped_key(uint32_t id, char out[5])
{
    SeqKey place = table__seq_key((Partition){id, 0}, 0);
    out[0] = SYSTEM_PREFIX_DROPPED;
    memcpy(out + 1, place.bytes, 4);
    return slice_of(out, 5);
}

/* 2 */
static Code plan_reserve(Restore *r, Intent *intent, CatalogChange **out, Error *e)
{
    char key[5];
    CLEANUP(buffer_done) Buffer value = {0};
    TRY(catalog_plan_reserve_tables(database_catalog(r->db), (uint32_t)r->count, &r->first_id, out,
                                    e));
    for (size_t i = 0; i < r->count; i++) {
        r->tables[i].id = r->first_id + (uint32_t)i;
        buffer_clear(&value);
        table__encode_dropped(&r->tables[i], &value);
        intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, dropped_key(r->tables[i].id, key),
                       buffer_slice(&value));
    }
    return OK;
}

/* 5 */
static Code plan_appear(Restore *r, Intent *intent, CatalogChange **out, Error *e)
{
    char key[5];
    int64_t now_us = clock_wall_us(), last_us = seq_time_us(database_last_seq(r->db));
    int64_t created_at_us = ((now_us > last_us ? now_us : last_us) / 1000 + 1) * 1000; /* I3 */
    for (size_t i = 0; i < r->count; i++) {
        r->tables[i].created_at_us = r->tables[i].updated_at_us = created_at_us;
        intent_add_raw(intent, RAW_DELETE, HOT_SYSTEM, dropped_key(r->tables[i].id, key),
                       (Slice){0});
    }
    return catalog_plan_restore_namespace(database_catalog(r->db), r->name, r->tables, r->count,
                                          out, e);
}

/* ---- 3: what is put where ---- */

static Code send_piece(Restore *r, Error *e)
{
    CLEANUP(intent_unref_ptr) Intent *intent = TAKE(r->piece);
    r->piece_bytes = 0;
    return intent ? database_commit(r->db, intent, e) : OK;
}

static Code put(Restore *r, HotFamily family, Slice key, Slice value, Error *e)
{
    if (!r->piece)
        r->piece = intent_new(database_last_seq(r->db));
    intent_add_raw(r->piece, RAW_PUT, family, key, value);
    r->piece_bytes += key.size + value.size;
    bool is_full = r->piece->raw_count >= PIECE_RECORDS || r->piece_bytes >= PIECE_BYTES;
    return is_full ? send_piece(r, e) : OK;
}

static Code put_u64(Restore *r, HotFamily family, Slice key, uint64_t v, Error *e)
{
    char value[8];
    table__encode_u64(v, value);
    return put(r, family, key, slice_of(value, sizeof value), e);
}

static Code put_row(Restore *r, const DumpRecord *record, Error *e)
{
    CLEANUP(buffer_done) Buffer value = {0};
    SeqKey key = table__seq_key(r->partition, record->seq);
    VersionHeader header = {.kind = VERSION_LIVE, .row = record->bytes}; /* I3: no history */
    if (record->seq < r->state.flush_mark)
        return fail(e, E_CORRUPT, "a row of the backup lies below the flush mark");
    table__encode_row(&key, &header, &value);
    r->report.rows += r->table->kind == TABLE_STREAM;
    return put(r, HOT_ROWS, table__key_slice(&key), buffer_slice(&value), e);
}

static Code put_head(Restore *r, const DumpRecord *record, Error *e)
{
    CLEANUP(buffer_done) Buffer key = {0};
    table__add_head_key(&key, r->partition, record->bytes);
    r->report.rows++;
    return put_u64(r, HOT_HEADS, buffer_slice(&key), record->seq, e);
}

/* A number that no file in the folder has. I4 */
static const char *free_batch(Restore *r, uint64_t *io_batch)
{
    for (;; ++*io_batch) {
        CLEANUP(buffer_done) Buffer name = {0};
        cold_segment_name(*io_batch, &name);
        const char *path =
            arena_printf(r->of_partition, "%s/%.*s/%.*s", database_storage_folder(r->db),
                         SLICE_ARGS(r->place), SLICE_ARGS(buffer_slice(&name)));
        if (!file_exists(path))
            return path;
    }
}

static Code put_segment(Restore *r, const DumpRecord *record, Error *e)
{
    CLEANUP(buffer_done) Buffer value = {0};
    SegmentEntry *entry;
    TRY(segment_decode(record->bytes, r->own, &entry, e));
    entry->batch = r->state.next_batch;
    if (!throttle_take(database_throttle(r->db), 2 * entry->size_bytes, r->stop.is_stopped,
                       r->stop.context))
        return fail(e, E_CANCELLED, "the restore was stopped");
    r->records = 0; /* a file may be as long as many records */
    const char *to = arena_text(r->arena, slice_of_text(free_batch(r, &entry->batch)));
    r->state.next_batch = entry->batch + 1;
    buffer_add(&r->copied, &to, sizeof to);
    TRY(file_copy(
        arena_printf(r->own, "%s/%llu.parquet", r->folder, (unsigned long long)record->number), to,
        0600, e));
    segment_encode(entry, &value);
    SeqKey key = table__seq_key(r->partition, entry->min_seq);
    return put(r, HOT_SEGMENTS, table__key_slice(&key), buffer_slice(&value), e);
}

static Code put_dead(Restore *r, const DumpRecord *record, Error *e)
{
    SeqKey key = table__seq_key(r->partition, record->seq);
    return put_u64(r, HOT_DEAD, table__key_slice(&key), record->number, e);
}

/* ---- partitions ---- */

/* The sweep after a failed write takes no file of the partition for left over meanwhile. */
static Code claim(Restore *r, Error *e)
{
    TRY(claims_take(database__claims(r->db), r->partition, CLAIM_WAIT_MS, e));
    r->has_claim = true;
    return OK;
}

static void release(Restore *r)
{
    if (r->has_claim)
        claims_release(database__claims(r->db), r->partition);
    r->has_claim = false;
}

static Code make_user_once(Restore *r, Slice user_id, User *out, Error *e)
{
    uint64_t read_seq = database_last_seq(r->db);
    CatalogChange *change;
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(r->db));
    Code code = catalog_get_user(snapshot, HOT_BLOCKING, user_id, r->of_partition, out, e);
    hot_snapshot_free(snapshot);
    if (code != E_NOT_FOUND)
        return code;
    *out = (User){.user_id = user_id,
                  .role = ROLE_USER,
                  .created_at_us = clock_wall_us(),
                  .updated_at_us = clock_wall_us()};
    TRY(catalog_plan_put_user(database_catalog(r->db), out, &change, e));
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(read_seq);
    intent_set_catalog_change(intent, change);
    return database_commit(r->db, intent, e);
}

static Code find_user(Restore *r, Slice user_id, User *out, Error *e)
{
    Code code = E_CONFLICT;
    for (int i = 0; i < COMMIT_TRIES_MAX && code == E_CONFLICT; i++)
        code = make_user_once(r, user_id, out, e);
    return code;
}

static Code end_partition(Restore *r, Error *e)
{
    CLEANUP(buffer_done) Buffer value = {0};
    if (!r->is_open || r->is_left_out)
        return OK;
    r->is_open = false;
    const char *folder = arena_printf(r->of_partition, "%s/%.*s", database_storage_folder(r->db),
                                      SLICE_ARGS(r->place));
    if (r->state.next_batch > 0)
        TRY(file_sync_folder(folder, e));
    table__encode_state(&r->state, &value);
    TRY(put(r, HOT_SYSTEM, table__state_key(r->of_partition, r->partition), buffer_slice(&value),
            e));
    if (r->state.next_batch > 0)
        TRY(send_piece(r, e)); /* its files are named */
    release(r);
    return OK;
}

static Code begin_partition(Restore *r, const DumpRecord *record, Error *e)
{
    User user = {0};
    bool is_shared = r->table->kind == TABLE_SHARED;
    arena_reset(r->of_partition);
    if (is_shared != (record->user_id.size == 0))
        return fail(e, E_CORRUPT, "a partition of the backup has no owner");
    if (!is_shared)
        TRY(find_user(r, arena_copy(r->of_partition, record->user_id), &user, e));
    r->is_open = true;
    r->is_left_out = user.erasure != ERASURE_NONE; /* an erased user stays erased */
    r->partition = (Partition){r->table->id, user.id};
    r->state = (PartitionState){.flush_mark = record->state.flush_mark,
                                .flushed_at_us = record->state.flushed_at_us};
    if (!r->is_left_out)
        TRY(claim(r, e));
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(r->db));
    Code code =
        table__folder(r->db, snapshot, r->table, r->partition, r->of_partition, &r->place, e);
    hot_snapshot_free(snapshot);
    return code;
}

static Code make_place(Restore *r, Error *e)
{
    return file_make_folders(arena_printf(r->of_partition, "%s/%.*s",
                                          database_storage_folder(r->db), SLICE_ARGS(r->place)),
                             0700, e);
}

static Code put_record(Restore *r, const DumpRecord *record, Error *e)
{
    if (record->kind == DUMP_PARTITION || record->kind == DUMP_END)
        TRY(end_partition(r, e));
    if (record->kind == DUMP_PARTITION)
        return begin_partition(r, record, e);
    if (record->kind == DUMP_TABLE || record->kind == DUMP_END || r->is_left_out)
        return OK;
    switch (record->kind) {
    case DUMP_SEGMENT:
        TRY(make_place(r, e));
        return put_segment(r, record, e);
    case DUMP_DEAD:
        return put_dead(r, record, e);
    case DUMP_ROW:
        return put_row(r, record, e);
    default:
        return put_head(r, record, e);
    }
}

static Code fill_records(Restore *r, DumpReader *reader, Error *e)
{
    r->is_open = r->is_left_out = false;
    for (DumpRecord record = {0}; record.kind != DUMP_END; arena_reset(r->own)) {
        TRY(dump_reader_next(reader, &record, e));
        TRY(check_stop(r, e));
        TRY(put_record(r, &record, e));
    }
    return OK;
}

static Code fill_table(Restore *r, size_t index, Error *e)
{
    DumpReader *reader;
    r->table = &r->tables[index];
    r->folder = arena_printf(r->arena, "%s/table-%zu", r->backup, index);
    TRY(dump_reader_open(arena_printf(r->arena, "%s/rows", r->folder), &reader, e));
    Code code = fill_records(r, reader, e);
    dump_reader_close(reader);
    r->report.tables++;
    return code;
}

/* ---- 4: does it agree with itself ---- */

static void keep_first(void *context, const char *text)
{
    Error *first = (Error *)context;
    if (first->code == OK)
        first->code = fail(first, E_CORRUPT, "%s", text);
}

static Code verify(Restore *r, Error *e)
{
    Error first = {0};
    VerifyReport report;
    VerifyOptions options = {.read_segments = true,
                             .on_problem = keep_first,
                             .context = &first,
                             .only = r->tables,
                             .only_count = r->count};
    TRY(check_stop(r, e));
    TRY(database_verify(r->db, &options, &report, e));
    if (report.problems)
        return fail(e, E_CORRUPT, "what was restored has %llu problem(s), the first: %s",
                    (unsigned long long)report.problems, first.text);
    return OK;
}

/* ---- all of it ---- */

static Code fill(Restore *r, Error *e)
{
    if (database_last_seq(r->db) <= r->seq) /* I2 */
        return fail(e, E_INVALID_OPERATION,
                    "The backup is of a later moment than this server's clock shows; set it right");
    for (size_t i = 0; i < r->count; i++)
        TRY(fill_table(r, i, e));
    TRY(send_piece(r, e));
    TRY(verify(r, e));
    r->may_have_appeared = true;
    return change_catalog(r, plan_appear, e);
}

/* What could not be removed is by the next start. */
static void undo(Restore *r)
{
    Error ignored;
    const char *const *copied = (const char *const *)(const void *)r->copied.data;
    for (size_t i = 0; i < r->copied.size / sizeof *copied; i++) {
        if (file_remove(copied[i], &ignored) != OK)
            return;
    }
    if (flush_purge_dropped(r->db, NULL, &ignored) != OK)
        return;
}

static Code write_manifest(void *context, Partition partition, Error *e)
{
    Restore *r = (Restore *)context;
    r->partition = partition;
    TRY(claim(r, e)); /* an erasure of its user comes before, or removes what is written */
    Code code = table__write_manifest(r->db, r->table, partition, e);
    release(r);
    return code;
}

/* manifest.json is for people: that it cannot be written undoes nothing. */
static void write_manifests(Restore *r)
{
    Error ignored;
    for (size_t i = 0; i < r->count; i++) {
        r->table = &r->tables[i];
        if (table__each_partition(r->db, HOT_SEGMENTS, r->table, write_manifest, r, &ignored) != OK)
            return;
    }
}

static Code restore(Restore *r, Error *e)
{
    TRY(check_backup(r, e)); /* 1 */
    CatalogChange *change;
    TRY(catalog_plan_restore_namespace(database_catalog(r->db), r->name, r->tables, 0, &change,
                                       e)); /* early: may it be at all */
    catalog_change_free(change);
    JobStop stop = {r->stop.is_stopped, r->stop.context};
    TRY(flush_purge_dropped(r->db, &stop, e)); /* tables of these names may have left files */
    TRY(change_catalog(r, plan_reserve, e));
    Code code = fill(r, e);
    intent_unref(TAKE(r->piece));
    release(r);
    if (code == OK)
        write_manifests(r);
    else if (code != E_OUTCOME_UNKNOWN || !r->may_have_appeared)
        undo(r);
    return code;
}

Code database_restore_namespace(Database *db, const char *backup, Slice name, BackupStop stop,
                                BackupReport *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(arena_free_ptr) Arena *own = arena_new();
    CLEANUP(arena_free_ptr) Arena *of_partition = arena_new();
    Restore r = {.db = db,
                 .backup = backup,
                 .name = name,
                 .stop = stop,
                 .arena = arena,
                 .own = own,
                 .of_partition = of_partition};
    Code code = restore(&r, e);
    buffer_done(&r.copied);
    if (code == OK)
        *out = r.report;
    return code;
}
