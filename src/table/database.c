/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing a data folder.
 *
 *   <folder>/LOCK      held while the server runs
 *   <folder>/rocksdb/  the hot store
 *   <folder>/storage/  the cold tier
 *   <folder>/tmp/      DuckDB's spill files; emptied at start
 *
 * I1. The generator starts above the synced ceiling of the run before (seq.h).
 * I2. After a stop that was not clean, unsynced commits of async tables may be gone while clients
 *     hold cursors past them: the feed of those tables starts anew, above every seq a client can
 *     hold.
 */
#include "table/database.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"
#include "os/throttle.h"
#include "table/table_int.h"
#include "table/window.h"
#include "table/work_done.h"

enum {
    SINKS_MAX = 64,
    PATH_BYTES = 4096,
    /* each of eight flushes writes with one; a compaction and an export read with one and write
     * with another */
    FLUSH_INSTANCES = 12,
};

struct Database {
    FileLock *lock;
    HotStore *hot;
    Catalog *catalog;
    EnginePool *engine, *flush_engine;
    Committer *committer;
    Pins *pins;
    Claims *claims;
    Throttle *throttle;
    Trust *trust;
    Windows *windows;
    SeqGenerator generator;
    _Atomic uint64_t last_seq;
    _Atomic bool read_only;
    uint64_t async_floor; /* changes only while readers are shut out (reopen.c) */
    uint64_t feed_floor;
    bool inspect;
    char inspect_temp[64]; /* where the engine of an inspection may spill; empty = none */
    uint32_t feed_window_s, flush_interval_s;
    uint64_t feed_window_bytes;
    WorkDone flushed, compacted;
    ChangeSink sinks[SINKS_MAX];
    _Atomic size_t sink_count; /* the committer may run already when a sink is added */
    char folder[PATH_BYTES], storage_folder[PATH_BYTES];
};

Catalog *database_catalog(Database *db)
{
    return db->catalog;
}
HotStore *database_hot(Database *db)
{
    return db->hot;
}
EnginePool *database_engine(Database *db)
{
    return db->engine;
}
EnginePool *database_flush_engine(Database *db)
{
    return db->flush_engine;
}
const char *database_folder(Database *db)
{
    return db->folder;
}
const char *database_storage_folder(Database *db)
{
    return db->storage_folder;
}
uint32_t database_feed_window_s(Database *db, const Table *table)
{
    return table && table->feed_window_s ? table->feed_window_s : db->feed_window_s;
}
uint64_t database_feed_window_bytes(Database *db, const Table *table)
{
    return table && table->feed_window_bytes ? table->feed_window_bytes : db->feed_window_bytes;
}
uint32_t database_flush_interval_s(Database *db, const Table *table)
{
    bool names_one = table->flush_interval_s || table->flush_rows;
    return names_one ? table->flush_interval_s : db->flush_interval_s;
}
void database_set_flush_interval(Database *db, uint32_t seconds)
{
    db->flush_interval_s = seconds;
}
Pins *database__pins(Database *db)
{
    return db->pins;
}
Throttle *database_throttle(Database *db)
{
    return db->throttle;
}
Claims *database__claims(Database *db)
{
    return db->claims;
}
SeqGenerator *database__generator(Database *db)
{
    return &db->generator;
}
uint64_t database__async_floor(Database *db)
{
    return db->async_floor;
}

Trust *database__trust(Database *db)
{
    return db->trust;
}
Windows *database__windows(Database *db)
{
    return db->windows;
}
uint64_t database__feed_floor(Database *db)
{
    return db->feed_floor;
}

/* Release and acquire: who reads the seq sees the commit's catalog change applied. */
uint64_t database_last_seq(Database *db)
{
    return atomic_load_explicit(&db->last_seq, memory_order_acquire);
}
void database__set_last_seq(Database *db, uint64_t seq)
{
    atomic_store_explicit(&db->last_seq, seq, memory_order_release);
}

bool database_is_read_only(Database *db)
{
    return atomic_load_explicit(&db->read_only, memory_order_acquire);
}
void database__set_read_only(Database *db, bool is_read_only)
{
    atomic_store_explicit(&db->read_only, is_read_only, memory_order_release);
}
void database__set_async_floor(Database *db, uint64_t floor)
{
    db->async_floor = floor;
    database__set_last_seq(db, floor);
}

uint64_t database_next_id(Database *db)
{
    return seq_next(&db->generator, clock_wall_us());
}

void database_add_sink(Database *db, ChangeSink sink)
{
    size_t count =
        atomic_load_explicit(&db->sink_count, memory_order_relaxed); /* one thread adds */
    must(count < SINKS_MAX);
    db->sinks[count] = sink;
    /* Release: whoever counts the sink sees its functions. */
    atomic_store_explicit(&db->sink_count, count + 1, memory_order_release);
}

const ChangeSink *database__sinks(Database *db, size_t *out_count)
{
    *out_count = atomic_load_explicit(&db->sink_count, memory_order_acquire);
    return db->sinks;
}

WorkDone *database__flushed(Database *db)
{
    return &db->flushed;
}
WorkDone *database__compacted(Database *db)
{
    return &db->compacted;
}

/* Relaxed: each figure stands for itself. */
static void add(_Atomic uint64_t *figure, uint64_t n)
{
    atomic_fetch_add_explicit(figure, n, memory_order_relaxed);
}

static uint64_t load(_Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

void table__count_work(WorkDone *work, Code code, int64_t started_us, uint64_t rows,
                       uint64_t dropped_rows)
{
    if (code == E_CANCELLED || code == E_CONFLICT || (code == OK && rows == 0))
        return;
    add(code == OK ? &work->count : &work->failures, 1);
    add(&work->us, (uint64_t)(clock_monotonic_us() - started_us));
    if (code == OK) {
        add(&work->rows, rows);
        add(&work->dropped_rows, dropped_rows);
    }
}

void database_stats(Database *db, DatabaseStats *out)
{
    committer_stats(db->committer, out);
    out->flushes = load(&db->flushed.count);
    out->flush_rows = load(&db->flushed.rows);
    out->flush_us = load(&db->flushed.us);
    out->flush_failures = load(&db->flushed.failures);
    out->compactions = load(&db->compacted.count);
    out->compact_rows = load(&db->compacted.rows);
    out->compact_dropped_rows = load(&db->compacted.dropped_rows);
    out->compact_us = load(&db->compacted.us);
    out->compact_failures = load(&db->compacted.failures);
}

/* ---- opening ---- */

static Code join_path(const char *folder, const char *name, char out[PATH_BYTES], Error *e)
{
    int size = snprintf(out, PATH_BYTES, "%s/%s", folder, name);
    if (size < 0 || size >= PATH_BYTES)
        return fail(e, E_TOO_LARGE, "the path of the data folder is too long");
    return OK;
}

/* A backup is restored, never run: its clients' cursors would fit nothing. */
static Code refuse_backup(const char *folder, Error *e)
{
    char path[PATH_BYTES];
    TRY(join_path(folder, BACKUP_MANIFEST_NAME, path, e));
    if (!file_exists(path))
        return OK;
    return fail(e, E_INVALID_OPERATION,
                "%s is a backup; restore it into an empty folder with "
                "kalamdb-server --restore %s <data folder>",
                folder, folder);
}

static Code lock_folder(Database *db, const char *folder, Error *e)
{
    char path[PATH_BYTES];
    TRY(join_path(folder, "LOCK", path, e));
    /* Who only looks changes nothing: the folder may lie on a disk that cannot be written. */
    Code code = db->inspect ? file_lock_existing(path, &db->lock, e) : E_NOT_FOUND;
    if (code == E_NOT_FOUND)
        code = file_lock(path, &db->lock, e);
    if (code == E_LOCKED)
        return fail(e, E_LOCKED,
                    "another server is using the data folder %s; stop it or choose another "
                    "folder with KALAMDB_DATA_DIR",
                    folder);
    return code;
}

/* A backup that nobody writes needs no lock, and may lie on a disk that cannot be written. */
static Code open_to_inspect(Database *db, const char *folder, Error *e)
{
    char path[PATH_BYTES];
    TRY(join_path(folder, BACKUP_MANIFEST_NAME, path, e));
    if (!file_exists(path))
        TRY(lock_folder(db, folder, e));
    return join_path(folder, "storage", db->storage_folder, e);
}

static Code open_folders(Database *db, const char *folder, Error *e)
{
    char path[PATH_BYTES];
    if (db->inspect) {
        TRY(join_path(folder, "rocksdb/CURRENT", path, e));
        if (!file_exists(path))
            return fail(e, E_NOT_FOUND, "%s is no data folder: it holds no rocksdb/CURRENT",
                        folder);
    } else {
        TRY(refuse_backup(folder, e));
        TRY(file_make_folders(folder, 0700, e));
    }
    /* DuckDB compares the texts of paths with that of the folder it may use, which is resolved. */
    if (!realpath(folder, db->folder))
        return fail(e, E_IO, "the data folder %s cannot be resolved", folder);
    folder = db->folder;
    if (db->inspect)
        return open_to_inspect(db, folder, e);
    TRY(lock_folder(db, folder, e));
    TRY(join_path(folder, "storage", db->storage_folder, e));
    TRY(file_make_folders(db->storage_folder, 0700, e));
    TRY(join_path(folder, "tmp", path, e));
    return file_make_folders(path, 0700, e);
}

/* One instance, and a temporary folder outside: the data folder stays as it is. */
static Code open_inspecting_engine(Database *db, EngineConfig *config, Error *e)
{
    snprintf(db->inspect_temp, sizeof db->inspect_temp, "/tmp/kalamdb-inspect-XXXXXX");
    if (!mkdtemp(db->inspect_temp)) {
        db->inspect_temp[0] = 0;
        return fail(e, E_IO, "no temporary folder can be made in /tmp");
    }
    config->instances = 1;
    config->temp_directory = db->inspect_temp;
    return engine_pool_new(config, &db->flush_engine, e);
}

static void remove_inspecting_temp(Database *db)
{
    char path[PATH_BYTES];
    Error ignored;
    if (!db->inspect_temp[0] || join_path(db->inspect_temp, "0", path, &ignored) != OK)
        return;
    if (file_remove_empty_folder(path, &ignored) == OK &&
        file_remove_empty_folder(db->inspect_temp, &ignored) != OK)
        return; /* nothing of ours is in it; the system clears /tmp */
}

static Code open_engines(Database *db, const DatabaseOptions *options, Error *e)
{
    char path[PATH_BYTES], flush_path[PATH_BYTES];
    TRY(join_path(options->folder, "tmp/statements", path, e));
    TRY(join_path(options->folder, "tmp/flush", flush_path, e));
    EngineConfig config = options->engine;
    config.allowed_folder = db->storage_folder;
    if (db->inspect)
        return open_inspecting_engine(db, &config, e);
    config.temp_directory = path;
    TRY(engine_pool_new(&config, &db->engine, e));
    config.instances = FLUSH_INSTANCES;
    config.temp_directory = flush_path;
    return engine_pool_new(&config, &db->flush_engine, e);
}

static Code read_u64(HotSnapshot *snapshot, Arena *arena, Slice key, uint64_t fallback,
                     uint64_t *out, Error *e)
{
    Slice value;
    Code code = hot_get(snapshot, HOT_BLOCKING, HOT_SYSTEM, key, arena, &value, e);
    if (code == E_NOT_FOUND) {
        *out = fallback;
        return OK;
    }
    if (code != OK)
        return code;
    if (!table__decode_u64(value, out))
        return fail(e, E_CORRUPT, "the record %.*s is damaged", SLICE_ARGS(key));
    return OK;
}

static void put_u64(Database *db, HotBatch *batch, Slice key, uint64_t v)
{
    char value[8];
    table__encode_u64(v, value);
    hot_batch_put(batch, db->hot, HOT_SYSTEM, key, slice_of(value, sizeof value));
}

typedef struct StoredState {
    uint64_t format, last_seq, ceiling, clean, async_floor, feed_floor;
} StoredState;

static Code read_state(Database *db, StoredState *out, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    HotSnapshot *snapshot = hot_snapshot_new(db->hot);
    Code code = read_u64(snapshot, arena, SYSTEM_KEY_FORMAT, 0, &out->format, e);
    if (code == OK)
        code = read_u64(snapshot, arena, SYSTEM_KEY_LAST_SEQ, 0, &out->last_seq, e);
    if (code == OK)
        code = read_u64(snapshot, arena, SYSTEM_KEY_CEILING, 0, &out->ceiling, e);
    if (code == OK)
        code = read_u64(snapshot, arena, SYSTEM_KEY_CLEAN, 0, &out->clean, e);
    if (code == OK)
        code = read_u64(snapshot, arena, SYSTEM_KEY_ASYNC_FLOOR, 0, &out->async_floor, e);
    if (code == OK)
        code = read_u64(snapshot, arena, SYSTEM_KEY_FEED_FLOOR, 0, &out->feed_floor, e);
    hot_snapshot_free(snapshot);
    return code;
}

/* Brings seqs and the async floor up to date and marks the folder as in use, in one synced
 * batch. */
static Code start_run(Database *db, uint32_t node, Error *e)
{
    StoredState state;
    TRY(read_state(db, &state, e));
    if (state.format != 0 && state.format != FORMAT_VERSION)
        return fail(e, E_FORMAT_VERSION,
                    "the data folder has format version %llu and this server reads version %d; "
                    "start the server "
                    "version that wrote it, or choose another folder",
                    (unsigned long long)state.format, FORMAT_VERSION);
    db->feed_floor = state.feed_floor;
    db->async_floor = state.async_floor;
    if (db->inspect) {
        database__set_last_seq(db, state.last_seq);
        return OK;
    }
    uint64_t highest = state.ceiling > state.last_seq ? state.ceiling : state.last_seq;
    seq_init(&db->generator, node, highest); /* I1 */
    HotBatch *batch = hot_batch_new();
    uint64_t last_seq = state.last_seq;
    if (state.format != 0 && !state.clean) { /* I2 */
        last_seq = db->async_floor = seq_next(&db->generator, clock_wall_us());
        put_u64(db, batch, SYSTEM_KEY_ASYNC_FLOOR, db->async_floor);
        put_u64(db, batch, SYSTEM_KEY_LAST_SEQ, last_seq);
        if (last_seq > highest)
            highest = last_seq;
    }
    put_u64(db, batch, SYSTEM_KEY_CEILING, highest);
    put_u64(db, batch, SYSTEM_KEY_FORMAT, FORMAT_VERSION);
    hot_batch_delete(batch, db->hot, HOT_SYSTEM, SYSTEM_KEY_CLEAN);
    Code code = hot_write(db->hot, batch, true, e);
    hot_batch_free(batch);
    atomic_store(&db->generator.ceiling, highest);
    database__set_last_seq(db, last_seq);
    return code;
}

static Code open_all(Database *db, const DatabaseOptions *options, Error *e)
{
    char path[PATH_BYTES];
    if ((size_t)snprintf(db->folder, PATH_BYTES, "%s", options->folder) >= PATH_BYTES)
        return fail(e, E_TOO_LARGE, "the path of the data folder is too long");
    TRY(open_folders(db, options->folder, e));
    TRY(join_path(options->folder, "rocksdb", path, e));
    HotOptions hot = options->hot;
    hot.read_only = options->inspect;
    hot.keep_deleted_s = options->feed_window_s;
    TRY(hot_open(path, &hot, &db->hot, e));
    TRY(start_run(db, options->node, e));
    TRY(catalog_open(db->hot, &db->catalog, e));
    TRY(open_engines(db, options, e));
    if (options->inspect)
        return OK;
    return committer_start(db, database_last_seq(db), &db->committer, e);
}

DatabaseOptions database_inspect_options(const char *folder)
{
    return (DatabaseOptions){
        .folder = folder,
        .inspect = true,
        .hot = {.block_cache_bytes = 64 << 20,
                .write_buffer_bytes = 64 << 20,
                .background_jobs = 2},
        .engine = {.instances = 1, .threads_per_instance = 1, .memory_limit_bytes = 512 << 20},
    };
}

Code database_open(const DatabaseOptions *options, Database **out, Error *e)
{
    Database *db = x_new(Database);
    db->feed_window_s = options->feed_window_s;
    db->feed_window_bytes = options->feed_window_bytes;
    db->inspect = options->inspect;
    db->pins = pins_new();
    db->claims = claims_new();
    db->throttle = throttle_new(options->background_bytes_per_s);
    db->trust = trust_new();
    db->windows = windows_new();
    Code code = open_all(db, options, e);
    if (code != OK) {
        database_close(db);
        return code;
    }
    *out = db;
    return OK;
}

/* Everything acknowledged is synced already; this makes async commits durable and says so. */
static void mark_clean(Database *db)
{
    HotBatch *batch = hot_batch_new();
    put_u64(db, batch, SYSTEM_KEY_CLEAN, 1);
    put_u64(db, batch, SYSTEM_KEY_CEILING,
            atomic_load(&db->generator.last)); /* nothing above was given out */
    Error ignored;
    Code code = hot_write(db->hot, batch, true, &ignored);
    if (code == OK)
        (void)!hot_note_stop(db->hot, &ignored); /* without it the next start misses less */
    else /* the next start treats the stop as unclean, which is safe */
        database__set_read_only(db, true);
    hot_batch_free(batch);
}

void database_finish(Database *db)
{
    if (db && db->committer)
        committer_stop(db->committer);
}

void database_close(Database *db)
{
    if (!db)
        return;
    database_finish(db);
    if (db->committer) {
        if (!database_is_read_only(db))
            mark_clean(db);
    }
    committer_free(db->committer);
    engine_pool_free(db->flush_engine);
    engine_pool_free(db->engine);
    catalog_close(db->catalog);
    hot_close(db->hot);
    remove_inspecting_temp(db);
    pins_free(db->pins);
    claims_free(db->claims);
    throttle_free(db->throttle);
    trust_free(db->trust);
    windows_free(db->windows);
    file_unlock(db->lock);
    free(db);
}

/* ---- committing from a thread that may wait ---- */

Code database_submit(Database *db, Intent *intent, Error *e)
{
    must(!db->inspect);
    return committer_submit(db->committer, intent, e);
}

typedef struct Waiter {
    Mutex lock;
    Cond ended;
    bool has_ended; /* guarded by lock */
    Code code;
    Error error;
} Waiter;

static void wake_waiter(void *context, Intent *intent, Code code, const Error *error)
{
    (void)intent;
    Waiter *waiter = (Waiter *)context;
    MUTEX_SCOPE(&waiter->lock);
    waiter->code = code;
    waiter->error = *error;
    waiter->has_ended = true;
    cond_signal(&waiter->ended);
}

Code database_commit(Database *db, Intent *intent, Error *e)
{
    must(thread_kind() != THREAD_LOOP);
    mutex_none_held();
    Waiter waiter = {0};
    mutex_init(&waiter.lock);
    cond_init(&waiter.ended);
    intent->done = wake_waiter;
    intent->context = &waiter;
    Code code = database_submit(db, intent_ref(intent), e);
    if (code != OK) {
        intent_unref(intent);
    } else {
        mutex_lock(&waiter.lock);
        while (!waiter.has_ended)
            cond_wait(&waiter.ended, &waiter.lock);
        mutex_unlock(&waiter.lock);
        code = waiter.code;
        if (code != OK && e)
            *e = waiter.error;
    }
    cond_done(&waiter.ended);
    mutex_done(&waiter.lock);
    return code;
}

Code database_give_id(Database *db, uint64_t *out, Error *e)
{
    uint64_t id = database_next_id(db);
    if (id > atomic_load_explicit(&db->generator.ceiling, memory_order_relaxed)) {
        if (thread_kind() == THREAD_LOOP)
            return fail(e, E_WOULD_BLOCK, "the ceiling of ids must be raised first");
        CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(db));
        intent->durable = true; /* any synced commit raises the ceiling above what was given out */
        TRY(database_commit(db, intent, e));
        must(id <= atomic_load_explicit(&db->generator.ceiling, memory_order_relaxed));
    }
    *out = id;
    return OK;
}
