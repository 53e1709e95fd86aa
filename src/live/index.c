/* SPDX-License-Identifier: Apache-2.0
 *
 * Which queries of a partition a change may concern.
 *
 * A filter that asks for `column = constant` (alone, or with more by AND) can be true only for rows
 * that have the constant there. Such a channel stands in the bucket of that value, and a change
 * looks into the buckets of its old and of its new row: ten thousand rooms with a subscriber each
 * cost what two cost. All other channels are asked about every change.
 *
 * I1. A channel is in exactly one list: that of its bucket, or entry->scanned. So nothing is
 *     delivered to it twice.
 * I2. A bucket belongs to one definition of the table: while an ALTER is on its way there may be
 *     channels of two.
 */
#include <stdlib.h>

#include "live/live_int.h"

/* Channels with the same constant for the same column. */
struct Bucket {
    Channel *first;
    size_t count;
    IndexColumn *column; /* of the entry */
    size_t key_size;
    char key[];
};

static bool is_hashed(Type type)
{
    return type_is_integer(type) || type == TYPE_TIMESTAMP || type == TYPE_TEXT ||
           type == TYPE_UUID;
}

/* False: no bucket can have it. */
static bool add_key(Buffer *out, const Schema *schema, uint32_t column, const Value *value)
{
    if (value->is_null)
        return false;
    buffer_clear(out);
    buffer_add(out, &schema, sizeof schema); /* I2 */
    buffer_add_u32(out, column);
    if (value->type == TYPE_TEXT)
        buffer_add_slice(out, value->bytes);
    else if (value->type == TYPE_UUID)
        buffer_add(out, value->uuid, sizeof value->uuid);
    else
        buffer_add_u64(out, (uint64_t)value->integer);
    return true;
}

static Bucket *find_bucket(const Entry *entry, const Buffer *key)
{
    return entry->equals ? (Bucket *)map_get(entry->equals, buffer_slice(key)) : NULL;
}

static IndexColumn *column_of(Entry *entry, const Schema *schema, uint32_t column)
{
    IndexColumn *unused = NULL;
    for (size_t i = 0; i < INDEX_COLUMNS_MAX; i++) {
        IndexColumn *c = &entry->columns[i];
        if (c->bucket_count && c->schema == schema && c->column == column)
            return c;
        if (!c->bucket_count && !unused)
            unused = c;
    }
    if (unused)
        *unused = (IndexColumn){.schema = schema, .column = column};
    return unused;
}

/* Of all columns that the filter compares with a constant, the one whose bucket is smallest. False
 * when there is none. */
static bool choose_key(const Entry *entry, const LiveQuery *query, uint32_t *out_column,
                       Value *out_value)
{
    const Schema *schema = query->table->schema;
    CLEANUP(buffer_done) Buffer key = {0};
    size_t best = SIZE_MAX;
    for (uint32_t i = 0; query->where && i < schema->column_count; i++) {
        KeyCondition condition = sql_key_condition(query->where, (int32_t)i);
        if (!condition.has_key || condition.key.type != schema->columns[i].type ||
            !is_hashed(condition.key.type) || !add_key(&key, schema, i, &condition.key))
            continue;
        const Bucket *bucket = find_bucket(entry, &key);
        size_t count = bucket ? bucket->count : 0;
        if (count < best) {
            best = count;
            *out_column = i;
            *out_value = condition.key;
        }
    }
    return best != SIZE_MAX;
}

/* NULL: the channel is to be scanned. */
static Bucket *bucket_of(Entry *entry, const LiveQuery *query)
{
    uint32_t at;
    Value value;
    if (!choose_key(entry, query, &at, &value))
        return NULL;
    IndexColumn *column = column_of(entry, query->table->schema, at);
    CLEANUP(buffer_done) Buffer key = {0};
    if (!column || !add_key(&key, column->schema, at, &value))
        return NULL;
    Bucket *bucket = find_bucket(entry, &key);
    if (bucket)
        return bucket;
    bucket = (Bucket *)x_new_bytes(sizeof *bucket + key.size);
    bucket->column = column;
    bucket->key_size = key.size;
    memcpy(bucket->key, key.data, key.size);
    column->bucket_count++;
    if (!entry->equals)
        entry->equals = map_new();
    map_put(entry->equals, buffer_slice(&key), bucket);
    return bucket;
}

void live__index_add(Entry *entry, Channel *channel)
{
    channel->bucket = bucket_of(entry, channel->query);
    Channel **first = channel->bucket ? &channel->bucket->first : &entry->scanned;
    channel->peer_next = *first;
    if (*first)
        (*first)->peer_prev = channel;
    *first = channel;
    if (channel->bucket)
        channel->bucket->count++;
}

void live__index_remove(Entry *entry, Channel *channel)
{
    Bucket *bucket = channel->bucket;
    if (channel->peer_prev)
        channel->peer_prev->peer_next = channel->peer_next;
    else
        *(bucket ? &bucket->first : &entry->scanned) = channel->peer_next;
    if (channel->peer_next)
        channel->peer_next->peer_prev = channel->peer_prev;
    if (!bucket || --bucket->count > 0)
        return;
    map_remove(entry->equals, slice_of(bucket->key, bucket->key_size));
    bucket->column->bucket_count--;
    free(bucket);
}

static void add_bucket(const Entry *entry, const IndexColumn *column, const Value *values,
                       Buffer *key, const Bucket **io_before, Buffer *out)
{
    if (!values || !add_key(key, column->schema, column->column, &values[column->column]))
        return;
    const Bucket *bucket = find_bucket(entry, key);
    if (bucket == *io_before)
        return;
    *io_before = bucket;
    for (Channel *channel = bucket ? bucket->first : NULL; channel; channel = channel->peer_next)
        buffer_add(out, &channel, sizeof channel);
}

void live__index_find(const Entry *entry, const IndexColumn *column, const LiveChange *change,
                      Buffer *scratch, Buffer *out)
{
    const Bucket *before = NULL; /* that of the old row: the new one may have the same */
    add_bucket(entry, column, change->old_values, scratch, &before, out);
    add_bucket(entry, column, change->new_values, scratch, &before, out);
}
