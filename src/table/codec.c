/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys and version headers (docs/formats/keys.md).
 *
 *   version: u8 format<<4 | kind · [history: varint superseded_by - seq] · varint seq - prev_seq (0
 *   = none)
 *            · u16 check · row codec bytes
 *
 * The check is the low half of the CRC-32C over the key and the header, so that a value filed under
 * a wrong key, or a header with a wrong bit, gives E_CORRUPT; the row has its own.
 */
#include <stdlib.h>

#include "data/row.h"
#include "os/clock.h"
#include "table/table_int.h"

enum { VERSION_FORMAT = 1, STATE_FORMAT = 1, HISTORY_BIT = 8 };

void table__encode_u64(uint64_t v, char out[8])
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(v >> (56 - 8 * i));
}

bool table__decode_u64(Slice bytes, uint64_t *out)
{
    Cursor c = cursor_of(bytes);
    return bytes.size == 8 && cursor_u64(&c, out);
}

static void encode_partition(Partition partition, char out[PARTITION_BYTES])
{
    for (int i = 0; i < 4; i++)
        out[i] = (char)(partition.table_id >> (24 - 8 * i));
    table__encode_u64(partition.user, out + 4);
}

SeqKey table__seq_key(Partition partition, uint64_t seq)
{
    SeqKey key;
    encode_partition(partition, key.bytes);
    table__encode_u64(seq, key.bytes + PARTITION_BYTES);
    return key;
}

bool table__read_seq_key(Slice bytes, Partition *out_partition, uint64_t *out_seq)
{
    Cursor c = cursor_of(bytes);
    return bytes.size == SEQ_KEY_BYTES && cursor_u32(&c, &out_partition->table_id) &&
           cursor_u64(&c, &out_partition->user) && cursor_u64(&c, out_seq);
}

void table__add_head_key(Buffer *out, Partition partition, Slice key)
{
    encode_partition(partition, buffer_reserve(out, PARTITION_BYTES));
    out->size += PARTITION_BYTES;
    buffer_add_slice(out, key);
}

Slice table__state_key(Arena *arena, Partition partition)
{
    char *key = (char *)arena_alloc(arena, 1 + PARTITION_BYTES);
    key[0] = SYSTEM_PREFIX_PARTITION;
    encode_partition(partition, key + 1);
    return slice_of(key, 1 + PARTITION_BYTES);
}

void table__encode_state(const PartitionState *state, Buffer *out)
{
    size_t start = out->size;
    buffer_add_u8(out, STATE_FORMAT);
    buffer_add_u64(out, state->flush_mark);
    buffer_add_u64(out, state->feed_low);
    buffer_add_u64(out, state->next_batch);
    buffer_add_u64(out, state->flushed_at_us);
    buffer_add_u32(out, crc32c(0, slice_of(out->data + start, out->size - start)));
}

Code table__decode_state(Slice bytes, PartitionState *out, Error *e)
{
    Cursor c = cursor_of(bytes);
    uint8_t format;
    uint32_t crc;
    PartitionState state;
    if (!cursor_u8(&c, &format) || format != STATE_FORMAT || !cursor_u64(&c, &state.flush_mark) ||
        !cursor_u64(&c, &state.feed_low) || !cursor_u64(&c, &state.next_batch) ||
        !cursor_u64(&c, &state.flushed_at_us) || !cursor_u32(&c, &crc) || cursor_left(&c) ||
        crc != crc32c(0, slice_of(bytes.data, bytes.size - 4)))
        return fail(e, E_CORRUPT, "the state record of a partition is damaged");
    *out = state;
    return OK;
}

static uint16_t header_check(Slice key, Slice header)
{
    return (uint16_t)crc32c(crc32c(0, key), header);
}

static void encode_version(const SeqKey *key, const VersionHeader *header, bool is_history,
                           Buffer *out)
{
    uint64_t seq;
    must(table__decode_u64(slice_of(key->bytes + PARTITION_BYTES, 8), &seq));
    must(header->prev_seq < seq);
    size_t start = out->size;
    buffer_add_u8(out,
                  (uint8_t)(VERSION_FORMAT << 4 | (is_history ? HISTORY_BIT : 0) | header->kind));
    if (is_history) {
        must(header->superseded_by > seq);
        buffer_add_varint(out, header->superseded_by - seq);
    }
    buffer_add_varint(out, header->prev_seq ? seq - header->prev_seq : 0);
    uint16_t check =
        header_check(table__key_slice(key), slice_of(out->data + start, out->size - start));
    buffer_add_u8(out, (uint8_t)(check >> 8));
    buffer_add_u8(out, (uint8_t)check);
    buffer_add_slice(out, header->row);
}

void table__encode_row(const SeqKey *key, const VersionHeader *header, Buffer *out)
{
    encode_version(key, header, false, out);
}

void table__encode_history(const SeqKey *key, const VersionHeader *header, Buffer *out)
{
    encode_version(key, header, true, out);
}

static Code decode_version(Slice key, Slice value, bool is_history, VersionHeader *out, Error *e)
{
    Partition partition;
    uint64_t seq, superseded = 0, delta;
    uint8_t head, high, low;
    Cursor c = cursor_of(value);
    VersionHeader header = {0};
    if (!table__read_seq_key(key, &partition, &seq) || !cursor_u8(&c, &head) ||
        head >> 4 != VERSION_FORMAT || !!(head & HISTORY_BIT) != is_history ||
        (is_history && !cursor_varint(&c, &superseded)) || !cursor_varint(&c, &delta) ||
        delta > seq)
        return fail(e, E_CORRUPT, "a row version has a damaged header");
    size_t header_bytes = (size_t)((const char *)c.at - value.data);
    if (!cursor_u8(&c, &high) || !cursor_u8(&c, &low) ||
        (uint16_t)(high << 8 | low) != header_check(key, slice_of(value.data, header_bytes)))
        return fail(e, E_CORRUPT, "row version %llu of table %u fails its check",
                    (unsigned long long)seq, partition.table_id);
    header.kind = (VersionKind)(head & 7);
    header.prev_seq = delta ? seq - delta : 0;
    header.superseded_by = is_history ? seq + superseded : 0;
    header.row = slice_of(c.at, cursor_left(&c));
    if (header.kind != VERSION_LIVE && header.kind != VERSION_TOMBSTONE)
        return fail(e, E_CORRUPT, "row version %llu is of an unknown kind",
                    (unsigned long long)seq);
    *out = header;
    return OK;
}

Code table__decode_row(Slice key, Slice value, VersionHeader *out, Error *e)
{
    return decode_version(key, value, false, out, e);
}

Code table__decode_history(Slice key, Slice value, VersionHeader *out, Error *e)
{
    return decode_version(key, value, true, out, e);
}

Code table__key_of_row(const Schema *schema, Slice row, Arena *arena, Slice *out_key, Error *e)
{
    must(schema->key_index >= 0);
    Value *values = arena_new_array(arena, Value, schema->column_count);
    TRY(row_decode(schema, row, values, e));
    CLEANUP(buffer_done) Buffer key = {0};
    TRY(key_encode(&values[schema->key_index], &key, e));
    *out_key = arena_copy(arena, buffer_slice(&key));
    return OK;
}

void table__encode_dropped(const Table *table, Buffer *out)
{
    size_t start = out->size;
    buffer_add_u8(out, STATE_FORMAT);
    buffer_add_u8(out, (uint8_t)table->kind);
    buffer_add_sized(out, table->namespace_name);
    buffer_add_sized(out, table->name);
    buffer_add_u32(out, crc32c(0, slice_of(out->data + start, out->size - start)));
}

Code table__decode_dropped(Slice key, Slice value, Table *out, Error *e)
{
    Cursor k = cursor_of(key), c = cursor_of(value);
    uint8_t prefix, format, kind;
    uint32_t crc;
    Table table = {0};
    if (!cursor_u8(&k, &prefix) || !cursor_u32(&k, &table.id) || !cursor_u8(&c, &format) ||
        format != STATE_FORMAT || !cursor_u8(&c, &kind) || kind > TABLE_STREAM ||
        !cursor_sized(&c, &table.namespace_name) || !cursor_sized(&c, &table.name) ||
        !cursor_u32(&c, &crc) || cursor_left(&c) ||
        crc != crc32c(0, slice_of(value.data, value.size - 4)))
        return fail(e, E_CORRUPT, "the record of a dropped table is damaged");
    table.kind = (TableKind)kind;
    *out = table;
    return OK;
}

uint64_t table__ttl_floor(const Table *table)
{
    if (table->kind != TABLE_STREAM || table->ttl_s == 0)
        return 0;
    int64_t before_us = clock_wall_us() - (int64_t)table->ttl_s * 1000000;
    return seq_at(before_us > table->expired_before_us ? before_us : table->expired_before_us);
}
