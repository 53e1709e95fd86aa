/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of segments that have died, all at once: a scan of a million rows cannot ask for each.
 */
#include "table/table_int.h"

static Code collect(HotIterator *it, Arena *arena, DeadList *out, Error *e)
{
    size_t capacity = 0;
    while (!out->is_cut && hot_next(it)) {
        Slice key = hot_key(it);
        uint64_t seq;
        if (key.size != SEQ_KEY_BYTES ||
            !table__decode_u64(slice_of(key.data + PARTITION_BYTES, SEQ_BYTES), &seq))
            return fail(e, E_CORRUPT, "the key of a dead row is damaged");
        if (out->count == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            uint64_t *more = arena_new_array(arena, uint64_t, capacity);
            if (out->count)
                memcpy(more, out->seqs, out->count * sizeof *more);
            out->seqs = more;
        }
        out->seqs[out->count++] = seq;
        out->is_cut = out->count == DEAD_LIST_MAX;
    }
    return hot_iterator_end(it, e);
}

Code view_dead_list(ReadView *view, Partition partition, Arena *arena, DeadList *out, Error *e)
{
    SeqKey from = table__seq_key(partition, 0), to = table__seq_key(partition, UINT64_MAX);
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(view_snapshot(view), view_mode(view), HOT_DEAD,
                                        table__key_slice(&from), table__key_slice(&to), false);
    DeadList list = {0};
    TRY(collect(it, arena, &list, e));
    *out = list;
    return OK;
}

/* The first place at or after `from` whose seq is at least that. */
static size_t lower_bound(const DeadList *list, size_t from, uint64_t seq)
{
    size_t end = list->count;
    while (from < end) {
        size_t middle = from + (end - from) / 2;
        if (list->seqs[middle] < seq)
            from = middle + 1;
        else
            end = middle;
    }
    return from;
}

bool view_is_dead(const DeadList *list, uint64_t seq)
{
    size_t at = lower_bound(list, 0, seq);
    return at < list->count && list->seqs[at] == seq;
}

bool view_has_dead_between(const DeadList *list, uint64_t from, uint64_t to)
{
    size_t at = lower_bound(list, 0, from);
    return list->is_cut || (at < list->count && list->seqs[at] <= to);
}

/* Whether each is one more than the one before, as rows are that a scan left nothing out of. This
 * is asked of every row of a large scan, so the processor compares some at once. */
static bool are_neighbours(const uint64_t *seqs, uint32_t count)
{
    typedef uint64_t Lanes __attribute__((vector_size(32)));
    enum { LANES = sizeof(Lanes) / sizeof(uint64_t) };
    uint64_t first = seqs[0];
    Lanes want = {first, first + 1, first + 2, first + 3}, differs = {0}, some;
    if (seqs[count - 1] - first != count - 1)
        return false;
    uint32_t at = 0;
    for (; count - at >= LANES; at += LANES, want += LANES) {
        memcpy(&some, seqs + at, sizeof some);
        differs |= some ^ want;
    }
    bool differ = differs[0] | differs[1] | differs[2] | differs[3];
    for (; at < count; at++)
        differ |= seqs[at] != first + at;
    return !differ;
}

static bool do_ascend(const uint64_t *seqs, uint32_t count)
{
    bool descends = false;
    for (uint32_t i = 1; i < count; i++)
        descends |= seqs[i] < seqs[i - 1];
    return !descends;
}

static void mark_neighbours(const DeadList *list, const uint64_t *seqs, uint32_t count,
                            bool *out_alive)
{
    for (size_t i = lower_bound(list, 0, seqs[0]); i < list->count; i++) {
        if (list->seqs[i] - seqs[0] >= count)
            return;
        out_alive[list->seqs[i] - seqs[0]] = false;
    }
}

/* Ascending seqs: where each of the dead lies among them. */
static void mark_ascending(const DeadList *list, const uint64_t *seqs, uint32_t count,
                           bool *out_alive)
{
    uint32_t first = 0;
    size_t i = lower_bound(list, 0, seqs[0]);
    for (; i < list->count && list->seqs[i] <= seqs[count - 1]; i++) {
        uint32_t end = count;
        while (first < end) {
            uint32_t middle = first + (end - first) / 2;
            if (seqs[middle] < list->seqs[i])
                first = middle + 1;
            else
                end = middle;
        }
        for (; first < count && seqs[first] == list->seqs[i]; first++)
            out_alive[first] = false;
    }
}

/* Neighbours ask together, mostly in the order of a segment, and few of them are dead. */
void view_mark_alive(const DeadList *list, const uint64_t *seqs, uint32_t count, bool *out_alive)
{
    memset(out_alive, true, count * sizeof *out_alive);
    if (count == 0 || list->count == 0)
        return;
    if (are_neighbours(seqs, count))
        mark_neighbours(list, seqs, count, out_alive);
    else if (do_ascend(seqs, count))
        mark_ascending(list, seqs, count, out_alive);
    else
        for (uint32_t i = 0; i < count; i++)
            out_alive[i] = !view_is_dead(list, seqs[i]);
}
