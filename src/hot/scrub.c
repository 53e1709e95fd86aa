/* SPDX-License-Identifier: Apache-2.0
 *
 * Making deleted bytes leave the disk at once instead of at some later merge. Each merge costs some
 * syncs and whole files, however little it is asked for, so there are as few as can be:
 *
 * I1. A range that lies in no file needs none: what was in memory is written out before.
 * I2. Two neighbouring ranges are merged as one unless a file lies wholly between them. The files
 *     that hold the two are then all that hold the one.
 *
 * The names of a file's first and last key stay in RocksDB's own manifest until the next start,
 * which writes it anew.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "hot/hot_int.h"

/* Where a memtable waits to be written, the flush of an empty one would wait for it and not switch
 * (switch.c, I3). */
static Code flush_family(HotStore *store, HotFamily family, Error *e)
{
    uint64_t waiting = 0;
    TRY(hot__switch_begin(store, e));
    (void)rocksdb_property_int_cf(store->db, store->families[family],
                                  "rocksdb.num-immutable-mem-table", &waiting);
    char *error_text = waiting ? hot__touch(store, family, SLICE("")) : NULL;
    hot__switch_once();
    if (!error_text)
        error_text = hot__flush_family(store->db, store->families[family]);
    return hot__switch_end(store, error_text, "flush the hot store", e);
}

Code hot_flush(HotStore *store, Error *e)
{
    Code code = OK;
    TRY(hot__enter(store, e));
    for (int i = 0; i < HOT_FAMILY_COUNT && code == OK; i++)
        code = flush_family(store, (HotFamily)i, e);
    hot__leave(store);
    return code;
}

static Code merge_range(HotStore *store, HotFamily family, Slice from, Slice to, Error *e,
                        struct HotMerge *merge)
{
    TRY(hot__switch_begin(store, e));
    char *error_text = hot__touch(store, family, from);
    hot__switch_once();
    if (!error_text)
        error_text = hot__merge_range(store->db, store->families[family], from, to, merge);
    return hot__switch_end(store, error_text, "rewrite the hot store", e);
}

/* ---- which files hold a range ---- */

typedef struct Files {
    HotRange *spans; /* first and last key of each, by the first */
    Slice *reach;    /* of each and those before: the greatest last key */
    Slice *end;      /* of each and those after: the least last key */
    size_t count;
} Files;

static int by_first_key(const void *a, const void *b)
{
    return slice_compare(((const HotRange *)a)->from, ((const HotRange *)b)->from);
}

static Slice take_key(char *key, size_t size, Arena *arena)
{
    Slice taken = arena_copy(arena, slice_of(key, size));
    rocksdb_free(key);
    return taken;
}

static void add_level(Files *files, rocksdb_level_metadata_t *level, Arena *arena)
{
    size_t count = rocksdb_level_metadata_get_file_count(level);
    for (size_t i = 0; i < count; i++) {
        size_t size = 0;
        rocksdb_sst_file_metadata_t *file = rocksdb_level_metadata_get_sst_file_metadata(level, i);
        HotRange *span = &files->spans[files->count++];
        char *key = rocksdb_sst_file_metadata_get_smallestkey(file, &size);
        span->from = take_key(key, size, arena);
        key = rocksdb_sst_file_metadata_get_largestkey(file, &size);
        span->to = take_key(key, size, arena);
        rocksdb_sst_file_metadata_destroy(file);
    }
}

static void index_files(Files *files, Arena *arena)
{
    size_t count = files->count;
    if (count == 0)
        return;
    qsort(files->spans, count, sizeof *files->spans, by_first_key);
    files->reach = arena_new_array(arena, Slice, count);
    files->end = arena_new_array(arena, Slice, count);
    for (size_t i = 0; i < count; i++) {
        Slice last = files->spans[i].to;
        bool is_less = i && slice_compare(last, files->reach[i - 1]) < 0;
        files->reach[i] = is_less ? files->reach[i - 1] : last;
    }
    for (size_t i = count; i-- > 0;) {
        Slice last = files->spans[i].to;
        bool is_more = i + 1 < count && slice_compare(last, files->end[i + 1]) > 0;
        files->end[i] = is_more ? files->end[i + 1] : last;
    }
}

static void list_files(HotStore *store, HotFamily family, Arena *arena, Files *out)
{
    rocksdb_column_family_metadata_t *all =
        rocksdb_get_column_family_metadata_cf(store->db, store->families[family]);
    size_t levels = rocksdb_column_family_metadata_get_level_count(all);
    size_t count = rocksdb_column_family_metadata_get_file_count(all);
    *out = (Files){.spans = arena_new_array(arena, HotRange, count + 1)};
    for (size_t i = 0; i < levels; i++) {
        rocksdb_level_metadata_t *level = rocksdb_column_family_metadata_get_level_metadata(all, i);
        add_level(out, level, arena);
        rocksdb_level_metadata_destroy(level);
    }
    must(out->count == count);
    rocksdb_column_family_metadata_destroy(all);
    index_files(out, arena);
}

/* How many files begin before the key. */
static size_t count_before(const Files *files, Slice key)
{
    size_t low = 0, high = files->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(files->spans[middle].from, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_in_files(const Files *files, const HotRange *range)
{
    size_t before = count_before(files, range->to);
    return before > 0 && slice_compare(files->reach[before - 1], range->from) >= 0;
}

static bool has_file_between(const Files *files, Slice from, Slice to)
{
    size_t before = count_before(files, from);
    return before < files->count && slice_compare(files->end[before], to) < 0;
}

/* ---- merges ---- */

/* The next ranges as one; false when no file holds what is left of them (I1, I2). */
static bool next_merge(const Files *files, const HotRange *ranges, size_t count, size_t *io_at,
                       HotRange *out)
{
    size_t at = *io_at;
    while (at < count && !is_in_files(files, &ranges[at]))
        at++;
    if (at == count)
        return false;
    *out = ranges[at++];
    for (; at < count && !has_file_between(files, out->to, ranges[at].from); at++) {
        must(slice_compare(out->to, ranges[at].from) <= 0);
        out->to = ranges[at].to;
    }
    *io_at = at;
    return true;
}

static Code merge_one(HotStore *store, HotFamily family, const HotRange *range, const HotStop *stop,
                      Error *e)
{
    TRY(hot__enter(store, e));
    struct HotMerge *merge = hot__merge_join(store->tamer);
    /* asked after it can be cancelled, so that whoever says stop and then cancels is heard */
    bool is_stopped = stop && stop->is_stopped && stop->is_stopped(stop->context);
    Code code = is_stopped ? fail(e, E_CANCELLED, "stopped")
                           : merge_range(store, family, range->from, range->to, e, merge);
    hot__merge_leave(store->tamer, merge);
    Code refusal = code == E_CANCELLED ? hot__switch_refusal(store, e) : OK;
    if (refusal != OK) /* merges are barred until who is inside has left */
        code = refusal;
    hot__leave(store);
    return code;
}

static Code flush_and_list(HotStore *store, HotFamily family, Arena *arena, Files *out, Error *e)
{
    TRY(hot__enter(store, e));
    Code code = flush_family(store, family, e);
    if (code == OK)
        list_files(store, family, arena, out);
    hot__leave(store);
    return code;
}

Code hot_scrub(HotStore *store, HotFamily family, const HotRange *ranges, size_t count,
               const HotStop *stop, Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Files files;
    HotRange merge;
    TRY(flush_and_list(store, family, arena, &files, e));
    for (size_t at = 0; next_merge(&files, ranges, count, &at, &merge);)
        TRY(merge_one(store, family, &merge, stop, e));
    return OK;
}
