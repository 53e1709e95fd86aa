/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving back the space of deleted entries. RocksDB drops them when it merges the file that deletes
 * them with the one that holds them. It merges by what files weigh, and one that deletes a range
 * weighs nothing; nor does it write out a memtable that does not get full. So what is deleted is
 * counted here, and a family is merged down when a good part of it is garbage, or when some has
 * been lying there for a while (docs/decisions/0016).
 *
 * I1. A family is due again at the earliest when 20 times as long has passed as the last merge
 *     took: at most a twentieth of the time is spent on it, whatever is deleted.
 * I2. What was deleted before the store was opened is not known: some is assumed in each family.
 */
#include "hot/hot_int.h"
#include "os/clock.h"

enum {
    GARBAGE_SHARE = 4, /* of the bytes of a family, one in so many */
    REST_FACTOR = 20,
};
static const uint64_t garbage_bytes_min = 16 << 20;
static const int64_t keep_us_min = 5 * 1000 * 1000;

static const HotFamily reclaimed[] = {HOT_ROWS, HOT_HISTORY, HOT_HEADS, HOT_DEAD, HOT_SEGMENTS};
enum { RECLAIMED_COUNT = sizeof reclaimed / sizeof *reclaimed };

void hot__assume_garbage(HotStore *store)
{
    for (size_t i = 0; i < RECLAIMED_COUNT; i++)
        hot_note_deleted(store, reclaimed[i], 1); /* I2 */
}

void hot_note_deleted(HotStore *store, HotFamily family, uint64_t bytes)
{
    Garbage *garbage = &store->garbage[family];
    MUTEX_SCOPE(&store->lock);
    if (garbage->bytes == 0 && bytes)
        garbage->since_us = clock_wall_us();
    garbage->bytes += bytes;
}

uint64_t hot_range_bytes(HotStore *store, HotFamily family, Slice from, Slice to)
{
    char *error_text = NULL;
    uint64_t bytes = 0;
    if (hot__enter(store, NULL) != OK)
        return 0;
    rocksdb_approximate_sizes_cf(store->db, store->families[family], 1, &from.data, &from.size,
                                 &to.data, &to.size, &bytes, &error_text);
    hot__leave(store);
    if (error_text)
        bytes = 0;
    rocksdb_free(error_text);
    return bytes;
}

static bool is_large(HotStore *store, HotFamily family, uint64_t garbage_bytes)
{
    uint64_t all = 0;
    return garbage_bytes >= garbage_bytes_min &&
           rocksdb_property_int_cf(store->db, store->families[family],
                                   "rocksdb.live-sst-files-size", &all) == 0 &&
           garbage_bytes >= all / GARBAGE_SHARE;
}

static int64_t later(int64_t a_us, int64_t b_us)
{
    return a_us > b_us ? a_us : b_us;
}

/* After how long the family is due, INT64_MAX for never. Inside. What leaves the feed window does
 * so by the wall clock, so the time that it may lie there is measured by it, too. */
static int64_t wait_us(HotStore *store, HotFamily family)
{
    mutex_lock(&store->lock);
    Garbage garbage = store->garbage[family];
    mutex_unlock(&store->lock);
    if (garbage.bytes == 0)
        return INT64_MAX;
    int64_t wait = garbage.since_us + later(store->keep_deleted_us, keep_us_min) - clock_wall_us();
    if (is_large(store, family, garbage.bytes))
        wait = 0;
    return later(later(wait, garbage.rests_until_us - clock_monotonic_us()), 0); /* I1 */
}

/* By index in `reclaimed`. */
static Code all_waits_us(HotStore *store, int64_t out[RECLAIMED_COUNT], Error *e)
{
    TRY(hot__enter(store, e));
    for (size_t i = 0; i < RECLAIMED_COUNT; i++)
        out[i] = wait_us(store, reclaimed[i]);
    hot__leave(store);
    return OK;
}

int64_t hot_reclaim_wait_us(HotStore *store)
{
    int64_t waits_us[RECLAIMED_COUNT], least_us = INT64_MAX;
    if (all_waits_us(store, waits_us, NULL) != OK)
        return keep_us_min;
    for (size_t i = 0; i < RECLAIMED_COUNT; i++)
        least_us = waits_us[i] < least_us ? waits_us[i] : least_us;
    return least_us;
}

static Code merge_inside(HotStore *store, HotFamily family, struct HotMerge *merge, Error *e)
{
    TRY(hot__switch_begin(store, e));
    char *error_text = hot__touch(store, family, SLICE(""));
    hot__switch_once();
    if (!error_text)
        error_text = hot__merge_down(store->db, store->families[family], merge);
    return hot__switch_end(store, error_text, "merge the hot store", e);
}

static Code merge_down(HotStore *store, HotFamily family, Error *e)
{
    TRY(hot__enter(store, e));
    struct HotMerge *merge = hot__merge_join(store->tamer);
    Code code = merge_inside(store, family, merge, e);
    hot__merge_leave(store->tamer, merge);
    hot__leave(store);
    return code;
}

/* The count starts anew before the merge: what is deleted meanwhile may not be in it. */
static Code reclaim_family(HotStore *store, HotFamily family, Error *e)
{
    Garbage *garbage = &store->garbage[family];
    int64_t started_us = clock_monotonic_us();
    mutex_lock(&store->lock);
    uint64_t bytes = garbage->bytes;
    garbage->bytes = 0;
    mutex_unlock(&store->lock);
    Code code = merge_down(store, family, e);
    int64_t ended_us = clock_monotonic_us();
    mutex_lock(&store->lock);
    garbage->rests_until_us = ended_us + REST_FACTOR * (ended_us - started_us);
    mutex_unlock(&store->lock);
    if (code != OK)
        hot_note_deleted(store, family, bytes);
    return code;
}

Code hot_reclaim(HotStore *store, Error *e)
{
    int64_t waits_us[RECLAIMED_COUNT];
    bool is_flushed = false;
    TRY(all_waits_us(store, waits_us, e));
    for (size_t i = 0; i < RECLAIMED_COUNT; i++) {
        if (waits_us[i] > 0)
            continue;
        if (!is_flushed)
            TRY(hot_flush(store, e)); /* all families: so the log starts anew, too */
        is_flushed = true;
        TRY(reclaim_family(store, reclaimed[i], e));
    }
    return OK;
}

void hot_allow_merges(HotStore *store, bool is_allowed)
{
    hot__bar_merges(store->tamer, HOT_BAR_STOPPING, !is_allowed);
}

void hot_cancel_merges(HotStore *store)
{
    hot__cancel_merges(store->tamer);
}
