/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening RocksDB with the settings the promises need, and writing batches.
 *
 * I1. Every write goes through the WAL of all families: a batch is atomic across families.
 * I2. wal_recovery_mode is TolerateCorruptedTailRecords: a torn tail (never acknowledged) is cut,
 *     damage in the middle refuses to open (log_end.c sees what RocksDB would skip). Point-in-time
 *     recovery would drop acknowledged commits silently.
 * I3. The WAL is never recycled, which I2 needs.
 * I4. After a failed write the store takes no further one and does not repair itself (tame.cc):
 *     what the log holds is what the next start, or hot_reopen, finds, in all families alike.
 * I5. All tables are open, from before the first read of them on. RocksDB 7.8 frees the deleted
 *     ranges of a table twice when a walk may not, or cannot, open the next one of level 0
 *     (docs/decisions/0023).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hot/hot_int.h"

enum {
    LEVEL0_FILES = 8, /* before they are merged */
    LEVEL_BASE_BYTES = 512 << 20,
    FILTER_BITS = 10,       /* for each key */
    HEADS_FILTER_BITS = 16, /* an INSERT asks for each of its keys in each table */
};

static const char *const family_names[HOT_FAMILY_COUNT] = {
    [HOT_ROWS] = "default", /* RocksDB insists on a family of this name; rows are the default */
    [HOT_HISTORY] = "history",   [HOT_HEADS] = "heads", [HOT_DEAD] = "dead",
    [HOT_SEGMENTS] = "segments", [HOT_DUE] = "due",     [HOT_SYSTEM] = "system",
};

Code hot__fail(Error *e, char *error_text, const char *doing)
{
    static const struct {
        const char *words;
        Code code;
    } meanings[] = {
        {"No space left", E_DISK_FULL},
        {"Corruption", E_CORRUPT},
        {"compaction paused", E_CANCELLED},
        {"not in memory", E_WOULD_BLOCK}, /* page_cache.cc */
        {"lock hold by", E_LOCKED},
        {"While lock file", E_LOCKED},
        {"IO error", E_IO},
    };
    Code code = E_IO;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        if (strstr(error_text, meanings[i].words)) {
            code = meanings[i].code;
            break;
        }
    }
    Code result = fail(e, code, "%s: %s", doing, error_text);
    rocksdb_free(error_text);
    return result;
}

/* Blocks of 16 KB with filters: point reads of `heads` and `rows` touch one block. Filters and
 * indexes are cut into blocks of a few KB, too: those of a large file are a megabyte or two, more
 * than a shard of the block cache, which kept none of them, so that each read had it all from the
 * file again. */
static rocksdb_block_based_table_options_t *table_options(rocksdb_cache_t *cache, HotFamily family)
{
    double filter_bits = family == HOT_HEADS ? HEADS_FILTER_BITS : FILTER_BITS;
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_size(table, 16 * 1024);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(filter_bits));
    rocksdb_block_based_options_set_partition_filters(table, 1);
    rocksdb_block_based_options_set_index_type(
        table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(table, 1);
    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_format_version(table, 5);
    return table;
}

/* Rows of many partitions lie in each table that is written out, so all of them are merged with
 * what is below, and most leave the hot tier soon after. So they are merged seldom and much of them
 * at once (docs/decisions/0021). */
static void shape_merges(rocksdb_options_t *o, HotFamily family)
{
    if (family > HOT_HEADS)
        return;
    rocksdb_options_set_level0_file_num_compaction_trigger(o, LEVEL0_FILES);
    if (family == HOT_HEADS)
        return;
    rocksdb_options_set_max_bytes_for_level_base(o, LEVEL_BASE_BYTES);
    rocksdb_options_set_bottommost_compression(o, rocksdb_lz4_compression);
}

static size_t memtable_bytes(const HotOptions *options, HotFamily family)
{
    size_t part = family <= HOT_HISTORY ? 2 : family == HOT_HEADS ? 4 : 16;
    return options->write_buffer_bytes / part;
}

static rocksdb_options_t *family_options_new(const HotOptions *options, rocksdb_cache_t *cache,
                                             HotFamily family)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_write_buffer_size(o, memtable_bytes(options, family));
    rocksdb_options_set_arena_block_size(o, 64 * 1024); /* idle memory is this per family */
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(o, rocksdb_zstd_compression);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    shape_merges(o, family);
    rocksdb_block_based_table_options_t *table = table_options(cache, family);
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
    return o;
}

enum { LIMITER_REFILL_US = 100 * 1000, LIMITER_FAIRNESS = 10 };

static rocksdb_options_t *store_options_new(const HotOptions *options, struct HotTamer **out_tamer)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_create_missing_column_families(o, 1);
    rocksdb_options_set_wal_recovery_mode(
        o, rocksdb_tolerate_corrupted_tail_records_recovery); /* I2 */
    rocksdb_options_set_recycle_log_file_num(o, 0);           /* I3 */
    *out_tamer = hot__tame(o);                                /* I4 */
    hot__tell_late(o);
    hot__guard_logs(o);
    hot__read_page_cache(o);
    hot__count_gaps(o);
    rocksdb_options_set_db_write_buffer_size(o, options->write_buffer_bytes);
    rocksdb_options_set_max_background_jobs(o, options->background_jobs);
    rocksdb_options_set_max_open_files(o, -1); /* I5 */
    rocksdb_options_set_max_file_opening_threads(o, 1);
    rocksdb_options_set_bytes_per_sync(o, 1024 * 1024);
    if (options->merge_bytes_per_s) {
        rocksdb_ratelimiter_t *limiter = rocksdb_ratelimiter_create(
            (int64_t)options->merge_bytes_per_s, LIMITER_REFILL_US, LIMITER_FAIRNESS);
        rocksdb_options_set_ratelimiter(o, limiter);
        rocksdb_ratelimiter_destroy(limiter); /* the options share it */
    }
    rocksdb_options_set_stats_dump_period_sec(o, 0); /* no CPU when idle */
    rocksdb_options_set_stats_persist_period_sec(o, 0);
    rocksdb_options_set_max_total_wal_size(o, options->write_buffer_bytes * 2);
    return o;
}

static Code open_instance(HotStore *store, bool read_only, Error *e)
{
    char *error_text = NULL;
    const rocksdb_options_t *const *family_options =
        (const rocksdb_options_t *const *)store->family_options;
    rocksdb_t *db = read_only ? rocksdb_open_for_read_only_column_families(
                                    store->options, store->folder, HOT_FAMILY_COUNT, family_names,
                                    family_options, store->families, 0, &error_text)
                              : rocksdb_open_column_families(
                                    store->options, store->folder, HOT_FAMILY_COUNT, family_names,
                                    family_options, store->families, &error_text);
    if (error_text)
        return hot__fail(e, error_text, "open the hot store");
    store->db = db;
    return OK;
}

/* What was cut may be asked for while the store is opened again. */
static void add_cuts(HotStore *store, const HotCuts *cuts)
{
    MUTEX_SCOPE(&store->lock);
    for (size_t i = 0; i < cuts->count && store->cuts.count < HOT_CUTS_MAX; i++)
        store->cuts.cuts[store->cuts.count++] = cuts->cuts[i];
    store->cuts.total += cuts->total;
    store->cuts.bytes += cuts->bytes;
}

Code hot__open_db(HotStore *store, bool read_only, Error *e)
{
    Error ignored; /* what RocksDB says of it */
    HotCuts cuts = {0};
    hot__limit_merges(store->options, 0);
    TRY(hot__check_logs(store->folder, &cuts, e)); /* I2 */
    if (read_only)
        return open_instance(store, true, e);
    hot__hold_compactions(store->tamer, true);
    Code code = open_instance(store, false, e);
    if (code == E_CORRUPT && hot__mend_manifest(store->folder, &cuts, &ignored) == OK)
        code = open_instance(store, false, e);
    if (code == E_CORRUPT && hot__mend_log(store->folder, &ignored) == OK)
        code = open_instance(store, false, e);
    if (code == OK)
        code = hot__note_manifest(store->folder, e);
    hot__hold_compactions(store->tamer, false);
    if (code != OK) {
        hot__close_db(store);
        return code;
    }
    hot__limit_merges(store->options, store->merge_bytes_per_s);
    hot__switch_forget(store);
    add_cuts(store, &cuts);
    return OK;
}

bool hot_take_cut(HotStore *store, HotCut *out)
{
    MUTEX_SCOPE(&store->lock);
    HotCuts *cuts = &store->cuts;
    if (cuts->count == 0)
        return false;
    *out = cuts->cuts[0];
    memmove(cuts->cuts, cuts->cuts + 1, --cuts->count * sizeof *cuts->cuts);
    return true;
}

void hot_count_cuts(HotStore *store, uint64_t *out_cuts, uint64_t *out_bytes)
{
    MUTEX_SCOPE(&store->lock);
    *out_cuts = store->cuts.total;
    *out_bytes = store->cuts.bytes;
}

void hot__close_db(HotStore *store)
{
    if (!store->db)
        return;
    for (int i = 0; i < HOT_FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(store->families[i]);
    hot__limit_merges(store->options, 0);
    rocksdb_cancel_all_background_work(store->db, 1);
    rocksdb_close(store->db);
    store->db = NULL;
}

Code hot_open(const char *folder, const HotOptions *options, HotStore **out, Error *e)
{
    HotStore *store = x_new(HotStore);
    store->folder = x_text(slice_of_text(folder));
    mutex_init(&store->lock);
    mutex_init(&store->switching);
    cond_init(&store->changed);
    store->options = store_options_new(options, &store->tamer);
    store->merge_bytes_per_s = options->merge_bytes_per_s;
    store->keep_deleted_us = (int64_t)options->keep_deleted_s * 1000000;
    store->cache = rocksdb_cache_create_lru(options->block_cache_bytes);
    for (int i = 0; i < HOT_FAMILY_COUNT; i++)
        store->family_options[i] = family_options_new(options, store->cache, (HotFamily)i);
    store->synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(store->synced, 1);
    store->unsynced = rocksdb_writeoptions_create();
    Code code = hot__open_db(store, options->read_only, e);
    if (code != OK) {
        hot_close(store);
        return code;
    }
    hot__assume_garbage(store);
    *out = store;
    return OK;
}

void hot_close(HotStore *store)
{
    if (!store)
        return;
    must(store->users == 0);
    hot__close_db(store);
    hot__switch_forget(store);
    rocksdb_writeoptions_destroy(store->synced);
    rocksdb_writeoptions_destroy(store->unsynced);
    for (int i = 0; i < HOT_FAMILY_COUNT; i++)
        rocksdb_options_destroy(store->family_options[i]);
    rocksdb_cache_destroy(store->cache);
    rocksdb_options_destroy(store->options);
    cond_done(&store->changed);
    mutex_done(&store->lock);
    mutex_done(&store->switching);
    free(store->folder);
    free(store);
}

struct HotBatch {
    rocksdb_writebatch_t *batch;
    bool was_given;
};

HotBatch *hot_batch_new(void)
{
    HotBatch *batch = x_new(HotBatch);
    batch->batch = rocksdb_writebatch_create();
    return batch;
}

void hot_batch_free(HotBatch *batch)
{
    if (!batch)
        return;
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

void hot_batch_clear(HotBatch *batch)
{
    rocksdb_writebatch_clear(batch->batch);
    batch->was_given = false;
}

void hot_batch_put(HotBatch *batch, HotStore *store, HotFamily family, Slice key, Slice value)
{
    rocksdb_writebatch_put_cf(batch->batch, store->families[family], key.data, key.size, value.data,
                              value.size);
}

void hot_batch_delete(HotBatch *batch, HotStore *store, HotFamily family, Slice key)
{
    rocksdb_writebatch_delete_cf(batch->batch, store->families[family], key.data, key.size);
}

void hot_batch_delete_range(HotBatch *batch, HotStore *store, HotFamily family, Slice from,
                            Slice to)
{
    hot_note_deleted(store, family, 1); /* whoever knows how much it is says so, too */
    rocksdb_writebatch_delete_range_cf(batch->batch, store->families[family], from.data, from.size,
                                       to.data, to.size);
}

Code hot_write(HotStore *store, HotBatch *batch, bool sync, Error *e)
{
    char *error_text = NULL;
    uint64_t appends = hot__log_appends();
    TRY(hot__switch_begin(store, e));
    rocksdb_write(store->db, sync ? store->synced : store->unsynced, batch->batch, &error_text);
    batch->was_given |= hot__log_appends() > appends;
    return hot__switch_end(store, error_text, "write to the hot store", e);
}

bool hot_batch_was_given(const HotBatch *batch)
{
    return batch->was_given;
}

uint64_t hot_family_property(HotStore *store, HotFamily family, const char *name)
{
    uint64_t value = 0;
    if (hot__enter(store, NULL) != OK)
        return 0;
    if (rocksdb_property_int_cf(store->db, store->families[family], name, &value) != 0)
        value = 0;
    hot__leave(store);
    return value;
}

uint64_t hot_property(HotStore *store, const char *name)
{
    uint64_t total = 0;
    for (int i = 0; i < HOT_FAMILY_COUNT; i++)
        total += hot_family_property(store, (HotFamily)i, name);
    return total;
}

/* It stands in a text for people, "Cumulative stall: 00:00:1.500 H:M:S, …", and nowhere else unless
 * all statistics are on, which every read pays for. */
uint64_t hot_stall_us(HotStore *store)
{
    static const char label[] = "Cumulative stall: ";
    unsigned hours, minutes;
    double seconds;
    uint64_t stall_us = 0;
    if (hot__enter(store, NULL) != OK)
        return 0;
    char *text = rocksdb_property_value(store->db, "rocksdb.dbstats");
    hot__leave(store);
    const char *found = text ? strstr(text, label) : NULL;
    if (found && sscanf(found + sizeof label - 1, "%u:%u:%lf", &hours, &minutes, &seconds) == 3)
        stall_us = (uint64_t)(((double)hours * 60 + minutes) * 60e6 + seconds * 1e6);
    rocksdb_free(text);
    return stall_us;
}
