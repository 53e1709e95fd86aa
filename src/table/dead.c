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

/* Ascending seqs: where each of the dead lies among them. */
static void mark_sorted(const DeadList *list, size_t from, const uint64_t *seqs, uint32_t count,
                        bool *out_dead)
{
    uint32_t first = 0;
    for (size_t i = from; i < list->count && list->seqs[i] <= seqs[count - 1]; i++) {
        uint32_t end = count;
        while (first < end) {
            uint32_t middle = first + (end - first) / 2;
            if (seqs[middle] < list->seqs[i])
                first = middle + 1;
            else
                end = middle;
        }
        for (; first < count && seqs[first] == list->seqs[i]; first++)
            out_dead[first] = true;
    }
}

/* Neighbours ask together, mostly in the order of a segment, and few of them are dead. */
void view_mark_dead(const DeadList *list, const uint64_t *seqs, uint32_t count, bool *out_dead)
{
    uint64_t least = UINT64_MAX, most = 0;
    bool descends = false;
    for (uint32_t i = 0; i < count; i++) {
        descends |= seqs[i] < most;
        least = seqs[i] < least ? seqs[i] : least;
        most = seqs[i] > most ? seqs[i] : most;
    }
    memset(out_dead, 0, count * sizeof *out_dead);
    size_t first = lower_bound(list, 0, least);
    if (first == list->count || list->seqs[first] > most)
        return;
    if (!descends) {
        mark_sorted(list, first, seqs, count, out_dead);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        out_dead[i] = view_is_dead(list, seqs[i]);
}
