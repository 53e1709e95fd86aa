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

/* Neighbours ask together, and most of them have no dead row among them. */
void view_mark_dead(const DeadList *list, const uint64_t *seqs, uint32_t count, bool *out_dead)
{
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < count; i++) {
        least = seqs[i] < least ? seqs[i] : least;
        most = seqs[i] > most ? seqs[i] : most;
    }
    size_t first = lower_bound(list, 0, least);
    bool none = first == list->count || list->seqs[first] > most;
    for (uint32_t i = 0; i < count; i++)
        out_dead[i] = !none && view_is_dead(list, seqs[i]);
}
