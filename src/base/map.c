/* SPDX-License-Identifier: Apache-2.0
 *
 * Chained hash map; buckets double when entries outnumber them. Hashes are kept, so growing and
 * missing never touch a key.
 */
#include "base/map.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/error.h"

typedef struct Entry {
    struct Entry *next;
    uint64_t hash;
    void *value;
    size_t key_size;
    char key[];
} Entry;

struct Map {
    Entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
};

Map *map_new(void)
{
    Map *map = x_new(Map);
    map->bucket_count = 4; /* there is a map for each socket */
    map->buckets = x_new_array(Entry *, map->bucket_count);
    return map;
}

void map_free(Map *map)
{
    if (!map)
        return;
    for (size_t i = 0; i < map->bucket_count; i++) {
        for (Entry *entry = map->buckets[i]; entry;) {
            Entry *next = entry->next;
            free(entry);
            entry = next;
        }
    }
    free(map->buckets);
    free(map);
}

size_t map_count(const Map *map)
{
    return map->count;
}

/* The link that points at the entry of `key`, or at the NULL where it would go. */
static Entry **find(const Map *map, Slice key, uint64_t hash)
{
    Entry **link = &map->buckets[hash & (map->bucket_count - 1)];
    while (*link) {
        Entry *entry = *link;
        if (entry->hash == hash && slice_equal(key, slice_of(entry->key, entry->key_size)))
            break;
        link = &entry->next;
    }
    return link;
}

void *map_get(const Map *map, Slice key)
{
    Entry *entry = *find(map, key, slice_hash(key, 0));
    return entry ? entry->value : NULL;
}

static void grow(Map *map)
{
    size_t count = map->bucket_count * 2;
    Entry **buckets = x_new_array(Entry *, count);
    for (size_t i = 0; i < map->bucket_count; i++) {
        for (Entry *entry = map->buckets[i]; entry;) {
            Entry *next = entry->next;
            Entry **link = &buckets[entry->hash & (count - 1)];
            entry->next = *link;
            *link = entry;
            entry = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = count;
}

void *map_put(Map *map, Slice key, void *value)
{
    must(value);
    uint64_t hash = slice_hash(key, 0);
    Entry **link = find(map, key, hash);
    if (*link) {
        void *old = (*link)->value;
        (*link)->value = value;
        return old;
    }
    Entry *entry = (Entry *)x_new_bytes(sizeof(Entry) + key.size);
    entry->hash = hash;
    entry->value = value;
    entry->key_size = key.size;
    if (key.size)
        memcpy(entry->key, key.data, key.size);
    *link = entry;
    if (++map->count > map->bucket_count)
        grow(map);
    return NULL;
}

void *map_remove(Map *map, Slice key)
{
    Entry **link = find(map, key, slice_hash(key, 0));
    Entry *entry = *link;
    if (!entry)
        return NULL;
    void *value = entry->value;
    *link = entry->next;
    free(entry);
    map->count--;
    return value;
}

/* The position counts buckets in its high half and entries of the bucket in its low half, so that
 * removing the current entry only moves its followers one step down: the walk goes from the end of
 * each chain to its start. */
bool map_next(const Map *map, size_t *position, Slice *out_key, void **out_value)
{
    size_t bucket = *position >> 32, done = *position & 0xFFFFFFFFu;
    for (; bucket < map->bucket_count; bucket++, done = 0) {
        size_t length = 0;
        for (Entry *entry = map->buckets[bucket]; entry; entry = entry->next)
            length++;
        /* `done` is how many entries of this chain are still to come, plus one; 0 = chain not
         * begun. */
        size_t left = done ? done - 1 : length;
        if (left == 0)
            continue;
        Entry *entry = map->buckets[bucket];
        for (size_t i = 1; i < left; i++)
            entry = entry->next;
        *position = bucket << 32 | left;
        if (left == 1)
            *position = (bucket + 1) << 32;
        *out_key = slice_of(entry->key, entry->key_size);
        *out_value = entry->value;
        return true;
    }
    return false;
}
