/* SPDX-License-Identifier: Apache-2.0
 *
 * Parquet pages carry no checksum: a wrong byte in one could become a wrong answer. So a segment is
 * compared with the checksum of its entry before a statement reads it for the first time after a
 * start, and again whenever the file looks changed. One that this process wrote was read back for
 * that checksum.
 *
 * The memory of good files is a cache: bounded, and forgotten whole when it is full.
 */
#include <stdlib.h>

#include "base/map.h"
#include "cold/cold.h"
#include "os/thread.h"
#include "table/table_int.h"

enum { TRUSTED_MAX = 100 * 1000, TRUST_KEY_BYTES = SEQ_KEY_BYTES + 4 };

struct Trust {
    Mutex lock;
    Map *stamps; /* partition | batch | checksum -> uint64_t, owned; guarded by lock */
};

typedef struct TrustKey {
    char bytes[TRUST_KEY_BYTES];
} TrustKey;

static TrustKey key_of(Partition partition, const SegmentEntry *entry)
{
    TrustKey key;
    SeqKey place = table__seq_key(partition, entry->batch);
    memcpy(key.bytes, place.bytes, SEQ_KEY_BYTES);
    memcpy(key.bytes + SEQ_KEY_BYTES, &entry->crc, sizeof entry->crc);
    return key;
}

Trust *trust_new(void)
{
    Trust *trust = x_new(Trust);
    mutex_init(&trust->lock);
    trust->stamps = map_new();
    return trust;
}

static void forget_all(Trust *trust)
{
    Slice key;
    void *value;
    for (size_t at = 0; map_next(trust->stamps, &at, &key, &value);)
        free(value);
    map_free(trust->stamps);
}

void trust_free(Trust *trust)
{
    if (!trust)
        return;
    forget_all(trust);
    mutex_done(&trust->lock);
    free(trust);
}

static uint64_t get(Trust *trust, const TrustKey *key)
{
    MUTEX_SCOPE(&trust->lock);
    const uint64_t *stamp =
        (const uint64_t *)map_get(trust->stamps, slice_of(key->bytes, TRUST_KEY_BYTES));
    return stamp ? *stamp : 0;
}

static void put(Trust *trust, const TrustKey *key, uint64_t stamp)
{
    uint64_t *value = x_new(uint64_t);
    *value = stamp;
    MUTEX_SCOPE(&trust->lock);
    if (map_count(trust->stamps) >= TRUSTED_MAX) {
        forget_all(trust);
        trust->stamps = map_new();
    }
    free(map_put(trust->stamps, slice_of(key->bytes, TRUST_KEY_BYTES), value));
}

/* What cold_segment_write made and a commit names. */
void trust__written(Trust *trust, Partition partition, const SegmentEntry *entry)
{
    TrustKey key = key_of(partition, entry);
    if (entry->stamp)
        put(trust, &key, entry->stamp);
}

Code view_check_segments(ReadView *view, const Table *table, Partition partition,
                         const SegmentEntry *entries, size_t count, Error *e)
{
    Database *db = view__database(view);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice folder;
    if (count == 0)
        return OK;
    TRY(table__folder(db, view_snapshot(view), table, partition, arena, &folder, e));
    for (size_t i = 0; i < count; i++) {
        TrustKey key = key_of(partition, &entries[i]);
        uint64_t known = get(database__trust(db), &key), stamp = known;
        TRY(cold_segment_trust(database_storage_folder(db), folder, &entries[i], &stamp, e));
        if (stamp != known)
            put(database__trust(db), &key, stamp);
    }
    return OK;
}
