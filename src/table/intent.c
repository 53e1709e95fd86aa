/* SPDX-License-Identifier: Apache-2.0
 *
 * Building intents. An intent owns one arena; everything added is copied into it, because it
 * outlives the statement: subscribers read its rows after the client has its answer.
 */
#include "table/intent.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/limits.h"

Intent *intent_new(uint64_t read_seq)
{
    Arena *arena = arena_new();
    Intent *intent = arena_new_of(arena, Intent);
    intent->arena = arena;
    intent->read_seq = read_seq;
    atomic_init(&intent->refs, 1);
    return intent;
}

Intent *intent_ref(Intent *intent)
{
    atomic_fetch_add_explicit(&intent->refs, 1, memory_order_relaxed);
    return intent;
}

void intent_unref(Intent *intent)
{
    /* Release and acquire: whoever frees must see all that other holders did before they let go. */
    if (!intent || atomic_fetch_sub_explicit(&intent->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < intent->part_count; i++)
        table_unref(intent->parts[i].table);
    for (size_t i = 0; i < intent->read_count; i++)
        table_unref(intent->reads[i].table);
    catalog_change_free(intent->catalog_change);
    arena_free(intent->arena);
}

void intent_unref_ptr(Intent **intent)
{
    intent_unref(*intent);
    *intent = NULL;
}

/* An array of the arena with room for one more; doubles by copying. */
static void *grow(Arena *arena, void *old, size_t count, size_t *io_capacity, size_t item_bytes)
{
    if (count < *io_capacity)
        return old;
    size_t capacity = *io_capacity ? *io_capacity * 2 : 1;
    char *items = (char *)arena_alloc(arena, capacity * item_bytes);
    if (count)
        memcpy(items, old, count * item_bytes);
    *io_capacity = capacity;
    return items;
}

IntentPart *intent_part(Intent *intent, Table *table, Partition partition)
{
    for (size_t i = 0; i < intent->part_count; i++) {
        if (partition_equal(intent->parts[i].partition, partition))
            return &intent->parts[i];
    }
    intent->parts = (IntentPart *)grow(intent->arena, intent->parts, intent->part_count,
                                       &intent->part_capacity, sizeof(IntentPart));
    IntentPart *part = &intent->parts[intent->part_count++];
    *part = (IntentPart){.table = table_ref(table), .partition = partition};
    if (table->durable)
        intent->durable = true;
    return part;
}

Code intent_add(Intent *intent, IntentPart *part, const RowChange *change, Error *e)
{
    size_t bytes = change->key.size + change->new_row.size + change->old_row.size;
    if (intent->row_count == COMMIT_ROWS_MAX)
        return fail(e, E_TOO_LARGE, "a commit may change at most %d rows; split the statement",
                    COMMIT_ROWS_MAX);
    if (intent->bytes + bytes > COMMIT_BYTES_MAX)
        return fail(e, E_TOO_LARGE, "a commit may hold at most %d bytes; split the statement",
                    COMMIT_BYTES_MAX);
    part->changes = (RowChange *)grow(intent->arena, part->changes, part->count, &part->capacity,
                                      sizeof(RowChange));
    RowChange *copy = &part->changes[part->count++];
    *copy = *change;
    copy->key = arena_copy(intent->arena, change->key);
    copy->new_row = arena_copy(intent->arena, change->new_row);
    copy->old_row = arena_copy(intent->arena, change->old_row);
    intent->row_count++;
    intent->bytes += bytes;
    return OK;
}

void intent_add_raw(Intent *intent, RawKind kind, HotFamily family, Slice key, Slice value)
{
    intent->raw = (RawWrite *)grow(intent->arena, intent->raw, intent->raw_count,
                                   &intent->raw_capacity, sizeof(RawWrite));
    intent->raw[intent->raw_count++] = (RawWrite){
        .kind = kind,
        .family = family,
        .key = arena_copy(intent->arena, key),
        .value = arena_copy(intent->arena, value),
    };
    intent->bytes += key.size + value.size;
}

void intent_add_reads(Intent *intent, const ReadSet *reads)
{
    intent->reads = (ReadSet *)grow(intent->arena, intent->reads, intent->read_count,
                                    &intent->read_capacity, sizeof(ReadSet));
    ReadSet *copy = &intent->reads[intent->read_count++];
    *copy = *reads;
    copy->table = table_ref(reads->table);
    copy->seqs = arena_new_array(intent->arena, uint64_t, reads->count);
    if (reads->count)
        memcpy(copy->seqs, reads->seqs, reads->count * sizeof *copy->seqs);
}

void intent_set_catalog_change(Intent *intent, CatalogChange *change)
{
    must(!intent->catalog_change);
    intent->catalog_change = change;
    intent->durable = true;
}
