/* SPDX-License-Identifier: Apache-2.0
 *
 * The committer's memory: which keys were committed lately, so that it can decide without reading.
 *
 * A ring holds the last CONFLICT_KEYS_MAX commits of keys in seq order; a chained index finds the
 * newest entry of a key in it. An intent resolved before the ring's oldest entry cannot be judged
 * and conflicts: it is resolved again at a newer snapshot.
 *
 * I1. Every key committed with a seq > floor is in the ring.
 * I2. Entries are in ascending seq order.
 *
 * Two keys with the same 64-bit hash only cost a needless rerun. Committer thread only.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "table/table_int.h"

enum { RING_SIZE = CONFLICT_KEYS_MAX, BUCKETS = CONFLICT_KEYS_MAX, NO_ENTRY = 0 };

typedef struct Entry {
    uint64_t key, seq, died_seq;
    Partition partition;
    uint32_t older; /* index + 1 of the next entry of the bucket; stale when overwritten */
} Entry;

struct Conflicts {
    Entry *ring;
    uint32_t *buckets; /* index + 1 of the newest entry */
    uint64_t noted;    /* entries ever noted; the next goes to noted % RING_SIZE */
    uint64_t floor;    /* everything committed after it is in the ring */
};

Conflicts *conflicts_new(uint64_t start_seq)
{
    Conflicts *c = x_new(Conflicts);
    c->ring = x_new_array(Entry, RING_SIZE); /* zero pages: costs memory only as it fills */
    c->buckets = x_new_array(uint32_t, BUCKETS);
    c->floor = start_seq;
    return c;
}

void conflicts_free(Conflicts *c)
{
    if (!c)
        return;
    free(c->ring);
    free(c->buckets);
    free(c);
}

static uint64_t partition_seed(Partition partition, uint64_t salt)
{
    return (partition.user * 0x9E3779B97F4A7C15u) ^ ((uint64_t)partition.table_id << 8) ^ salt;
}

uint64_t conflicts_key(Partition partition, Slice key)
{
    return slice_hash(key, partition_seed(partition, 1));
}

uint64_t conflicts_version_key(Partition partition, uint64_t seq)
{
    return slice_hash(slice_of(&seq, sizeof seq), partition_seed(partition, 2));
}

uint64_t conflicts_layout_key(Partition partition)
{
    return slice_hash(SLICE("layout"), partition_seed(partition, 3));
}

bool conflicts_hit(const Conflicts *c, uint64_t key, uint64_t read_seq)
{
    if (read_seq < c->floor)
        return true;
    uint64_t newer = UINT64_MAX;
    for (uint32_t at = c->buckets[key % BUCKETS]; at != NO_ENTRY;) {
        const Entry *entry = &c->ring[at - 1];
        /* A link into an overwritten slot leads to a newer entry, perhaps of another bucket: the
         * chain ends. */
        if (entry->seq > newer || entry->seq <= read_seq)
            return false;
        if (entry->key == key)
            return true;
        newer = entry->seq;
        at = entry->older;
    }
    return false;
}

static int compare_seqs(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool has_read(const ReadSet *reads, const Entry *entry)
{
    if (!partition_equal(entry->partition, reads->partition))
        return false;
    return reads->all || bsearch(&entry->died_seq, reads->seqs, reads->count, sizeof *reads->seqs,
                                 compare_seqs) != NULL;
}

bool conflicts_hit_reads(const Conflicts *c, const ReadSet *reads, size_t count, uint64_t read_seq)
{
    if (read_seq < c->floor)
        return true;
    uint64_t kept = c->noted < RING_SIZE ? c->noted : RING_SIZE;
    for (uint64_t back = 1; back <= kept; back++) {
        const Entry *entry = &c->ring[(c->noted - back) % RING_SIZE];
        if (entry->seq <= read_seq)
            return false; /* I2 */
        for (size_t i = 0; entry->died_seq && i < count; i++)
            if (has_read(&reads[i], entry))
                return true;
    }
    return false;
}

void conflicts_note(Conflicts *c, uint64_t key, uint64_t seq, Partition partition,
                    uint64_t died_seq)
{
    uint32_t index = (uint32_t)(c->noted % RING_SIZE);
    Entry *entry = &c->ring[index];
    if (c->noted >= RING_SIZE)
        c->floor = entry->seq; /* I1: what is overwritten lies at or below the floor */
    uint32_t *bucket = &c->buckets[key % BUCKETS];
    *entry = (Entry){key, seq, died_seq, partition, *bucket == index + 1 ? NO_ENTRY : *bucket};
    *bucket = index + 1;
    c->noted++;
}

bool conflicts_deaths(const Conflicts *c, const FlushRange *range, uint64_t read_seq,
                      void (*visit)(void *context, uint64_t died_seq, uint64_t at), void *context)
{
    if (read_seq < c->floor)
        return false;
    uint64_t kept = c->noted < RING_SIZE ? c->noted : RING_SIZE;
    for (uint64_t back = 1; back <= kept; back++) {
        const Entry *entry = &c->ring[(c->noted - back) % RING_SIZE];
        if (entry->seq <= read_seq)
            break; /* I2 */
        if (entry->died_seq >= range->from_seq && entry->died_seq <= range->to_seq &&
            entry->died_seq && partition_equal(entry->partition, range->partition))
            visit(context, entry->died_seq, entry->seq);
    }
    return true;
}
