/* SPDX-License-Identifier: Apache-2.0
 *
 * Going on after a failed write, without a restart. RocksDB may not repair itself (hot/tame.cc), so
 * the hot store is closed and opened as a new process would: its log decides what became of the
 * group whose write failed.
 *
 *     probe the disk -> shut readers out -> close, open -> compare seqs -> settle the group ->
 *     write -> let readers in
 *
 * I1. The store is closed only after a file of that folder was written, synced, renamed and
 *     removed, and there is room for what opening writes: while the disk stays bad, readers keep
 *     the old instance.
 * I2. Writes go on only after a synced write of this run.
 * I3. What was synced before it was acknowledged is there, or nothing is written any more.
 * I4. Readers come in after last_seq, the catalog and the async floor fit what the store holds.
 *
 * Committer thread.
 */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "os/clock.h"
#include "os/file.h"
#include "table/table_int.h"

enum {
    PROBE_BYTES = 1024 * 1024,
    PATH_BYTES = 4096,
    ROOM_BYTES_MIN = 16 * 1024 * 1024, /* beside what is in memory only */
    SEQ_MS_SHIFT = SEQ_NODE_BITS + SEQ_COUNTER_BITS,
};

/* I1. */
static Code check_room(Database *db, Error *e)
{
    uint64_t unwritten = hot_property(database_hot(db), "rocksdb.cur-size-all-mem-tables");
    uint64_t needed = 2 * unwritten + ROOM_BYTES_MIN, free_bytes = 0;
    TRY(file_free_space(database_folder(db), &free_bytes, e));
    if (free_bytes < needed)
        return fail(e, E_DISK_FULL,
                    "%" PRIu64 " bytes of the disk are free, %" PRIu64 " are needed to go on",
                    free_bytes, needed);
    return OK;
}

static Code probe(Database *db, Error *e)
{
    char path[PATH_BYTES + 16];
    CLEANUP(buffer_done) Buffer bytes = {0};
    TRY(check_room(db, e));
    snprintf(path, sizeof path, "%s/rocksdb/probe", database_folder(db));
    memset(buffer_reserve(&bytes, PROBE_BYTES), 'k', PROBE_BYTES);
    Code code = file_write(path, slice_of(bytes.data, PROBE_BYTES), 0600, e);
    Error ignored;
    Code removed = file_remove(path, code == OK ? e : &ignored);
    return code == OK ? removed : code;
}

/* What the log made of the group in doubt, told by last_seq alone: it stands in the batch of each
 * group. */
static Code judge(const KnownSeqs *known, uint64_t stored, GroupFate *out, Error *e)
{
    if (known->doubted && stored == known->doubted)
        *out = GROUP_THERE;
    else if (stored == known->published)
        *out = GROUP_ABSENT;
    else if (stored < known->published ? stored >= known->synced
                                       : known->floor && stored == known->floor)
        *out = COMMITS_LOST;
    else
        return fail(e, E_CORRUPT,
                    "commits that were synced are not in the hot store: it ends at %" PRIu64
                    ", and %" PRIu64 " was synced",
                    stored, known->synced); /* I3 */
    return OK;
}

static Code read_last_seq(Database *db, uint64_t *out, Error *e)
{
    ReadView *view = NULL;
    TRY(view_open(db, HOT_BLOCKING, &view, e));
    *out = view_seq(view);
    view_close(view);
    return OK;
}

Code reopen__open(Database *db, int64_t patience_ms, const KnownSeqs *known, GroupFate *out,
                  Error *e)
{
    uint64_t stored = 0;
    TRY(probe(db, e));
    if (!hot_shut(database_hot(db), patience_ms))
        return fail(e, E_BUSY, "statements still read the old state");
    Code code = hot_reopen(database_hot(db), e);
    if (code == OK)
        code = read_last_seq(db, &stored, e);
    if (code == OK)
        code = judge(known, stored, out, e);
    if (code != OK)
        hot_admit(database_hot(db));
    return code;
}

static void put_u64(Database *db, HotBatch *batch, Slice key, uint64_t v)
{
    char value[8];
    table__encode_u64(v, value);
    hot_batch_put(batch, database_hot(db), HOT_SYSTEM, key, slice_of(value, sizeof value));
}

Code reopen__end(Database *db, GroupFate fate, KnownSeqs *io_known, Error *e)
{
    SeqGenerator *generator = database__generator(db);
    uint64_t floor = seq_next(generator, clock_wall_us());
    uint64_t ceiling = floor + ((uint64_t)CEILING_AHEAD_MS << SEQ_MS_SHIFT);
    HotBatch *batch = hot_batch_new();
    if (fate == COMMITS_LOST) { /* as after a stop that was not clean: database.c, I2 */
        put_u64(db, batch, SYSTEM_KEY_ASYNC_FLOOR, floor);
        put_u64(db, batch, SYSTEM_KEY_LAST_SEQ, floor);
        io_known->floor = floor;
    }
    put_u64(db, batch, SYSTEM_KEY_CEILING, ceiling);
    Code code = hot_write(database_hot(db), batch, true, e); /* I2 */
    hot_batch_free(batch);
    if (code == OK) {
        atomic_store_explicit(&generator->ceiling, ceiling, memory_order_relaxed);
        if (fate == COMMITS_LOST)
            database__set_async_floor(db, floor);
    }
    hot_admit(database_hot(db)); /* I4 */
    return code;
}
