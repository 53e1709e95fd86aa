/* SPDX-License-Identifier: Apache-2.0
 *
 * Records of a namespace backup to bytes and back:
 *
 *     u32 size of the body · u32 CRC-32C of the body · body: u8 kind, then by kind
 *       TABLE      the definition
 *       PARTITION  sized user id · flush mark, next batch, flushed at (u64 each)
 *       SEGMENT    u64 number · entry        DEAD  u64 seq · u64 seq of death
 *       ROW        u64 seq · row             HEAD  u64 seq · key
 *       END        u64 records before
 *
 * I1. The order is TABLE (PARTITION SEGMENT* DEAD* ROW* HEAD*)* END; seqs ascend within DEAD and
 *     ROW. Both sides check it.
 */
#include "table/dump.h"

#include <stdlib.h>

#include "base/limits.h"
#include "data/row.h"

enum {
    FRAME_BYTES = 8,
    BODY_BYTES_MAX = ROW_BYTES_MAX + 64 * 1024,
    PIECE_BYTES = 256 * 1024,
};

/* ---- order ---- */

static bool follows(DumpOrder *order, const DumpRecord *record)
{
    bool is_first = order->records == 0;
    if (record->kind == DUMP_TABLE || is_first)
        return record->kind == DUMP_TABLE && is_first;
    if (order->last == DUMP_END)
        return false;
    if (record->kind == DUMP_END)
        return record->number == order->records;
    if (record->kind == DUMP_PARTITION) {
        order->has_partition = true;
        order->partitions++;
        return true;
    }
    if (!order->has_partition || record->kind < order->last)
        return false;
    bool has_order = record->kind == DUMP_DEAD || record->kind == DUMP_ROW;
    bool goes_on = record->kind == order->last;
    return !has_order || !goes_on || record->seq > order->seq;
}

static bool take_place(DumpOrder *order, const DumpRecord *record) /* I1 */
{
    if (!follows(order, record))
        return false;
    order->last = record->kind;
    order->seq = record->seq;
    order->records++;
    return true;
}

/* ---- bytes ---- */

static void encode(const DumpRecord *record, Buffer *out)
{
    buffer_add_u8(out, (uint8_t)record->kind);
    switch (record->kind) {
    case DUMP_TABLE:
        buffer_add_slice(out, record->bytes);
        break;
    case DUMP_PARTITION:
        buffer_add_sized(out, record->user_id);
        buffer_add_u64(out, record->state.flush_mark);
        buffer_add_u64(out, record->state.next_batch);
        buffer_add_u64(out, record->state.flushed_at_us);
        break;
    case DUMP_SEGMENT:
        buffer_add_u64(out, record->number);
        buffer_add_slice(out, record->bytes);
        break;
    case DUMP_DEAD:
        buffer_add_u64(out, record->seq);
        buffer_add_u64(out, record->number);
        break;
    case DUMP_ROW:
    case DUMP_HEAD:
        buffer_add_u64(out, record->seq);
        buffer_add_slice(out, record->bytes);
        break;
    case DUMP_END:
        buffer_add_u64(out, record->number);
        break;
    }
}

static bool decode_fields(Cursor *c, DumpRecord *out)
{
    switch (out->kind) {
    case DUMP_TABLE:
        break;
    case DUMP_PARTITION:
        return cursor_sized(c, &out->user_id) && out->user_id.size <= USER_ID_BYTES_MAX &&
               cursor_u64(c, &out->state.flush_mark) && cursor_u64(c, &out->state.next_batch) &&
               cursor_u64(c, &out->state.flushed_at_us) && cursor_left(c) == 0;
    case DUMP_DEAD:
        return cursor_u64(c, &out->seq) && cursor_u64(c, &out->number) && cursor_left(c) == 0;
    case DUMP_SEGMENT:
        if (!cursor_u64(c, &out->number))
            return false;
        break;
    case DUMP_ROW:
        if (!cursor_u64(c, &out->seq))
            return false;
        break;
    case DUMP_HEAD:
        if (!cursor_u64(c, &out->seq) || cursor_left(c) > KEY_BYTES_MAX)
            return false;
        break;
    case DUMP_END:
        return cursor_u64(c, &out->number) && cursor_left(c) == 0;
    default:
        return false;
    }
    out->bytes = slice_of(c->at, cursor_left(c));
    return out->bytes.size > 0;
}

static bool decode(Slice body, DumpRecord *out)
{
    Cursor c = cursor_of(body);
    uint8_t kind;
    if (!cursor_u8(&c, &kind))
        return false;
    *out = (DumpRecord){.kind = (DumpKind)kind};
    return decode_fields(&c, out);
}

Code dump_take(Slice bytes, DumpOrder *order, DumpRecord *out, size_t *out_used, Error *e)
{
    Cursor head = cursor_of(bytes);
    uint32_t size, crc;
    *out_used = 0;
    if (bytes.size < FRAME_BYTES)
        return OK;
    must(cursor_u32(&head, &size));
    must(cursor_u32(&head, &crc));
    if (size == 0 || size > BODY_BYTES_MAX)
        return fail(e, E_CORRUPT, "record %llu has an impossible size",
                    (unsigned long long)order->records);
    if (bytes.size - FRAME_BYTES < size)
        return OK;
    Slice body = slice_of(bytes.data + FRAME_BYTES, size);
    if (crc != crc32c(0, body) || !decode(body, out) || !take_place(order, out))
        return fail(e, E_CORRUPT, "record %llu is damaged", (unsigned long long)order->records);
    *out_used = FRAME_BYTES + size;
    return OK;
}

/* ---- writing ---- */

struct DumpWriter {
    FileWriter *file;
    DumpOrder order;
    Buffer body, frame;
};

Code dump_writer_open(const char *path, DumpWriter **out, Error *e)
{
    FileWriter *file;
    TRY(file_writer_open(path, 0600, &file, e));
    DumpWriter *writer = x_new(DumpWriter);
    writer->file = file;
    *out = writer;
    return OK;
}

Code dump_writer_put(DumpWriter *writer, const DumpRecord *record, Error *e)
{
    if (!take_place(&writer->order, record))
        return fail(e, E_INTERNAL, "a record of the backup is out of order");
    buffer_clear(&writer->body);
    buffer_clear(&writer->frame);
    encode(record, &writer->body);
    Slice body = buffer_slice(&writer->body);
    must(body.size <= BODY_BYTES_MAX);
    buffer_add_u32(&writer->frame, (uint32_t)body.size);
    buffer_add_u32(&writer->frame, crc32c(0, body));
    TRY(file_writer_write(writer->file, buffer_slice(&writer->frame), e));
    return file_writer_write(writer->file, body, e);
}

Code dump_writer_finish(DumpWriter *writer, Error *e)
{
    DumpRecord end = {.kind = DUMP_END, .number = writer->order.records};
    TRY(dump_writer_put(writer, &end, e));
    return file_writer_sync(writer->file, e);
}

void dump_writer_close(DumpWriter *writer)
{
    if (!writer)
        return;
    file_writer_close(writer->file);
    buffer_done(&writer->body);
    buffer_done(&writer->frame);
    free(writer);
}

/* ---- reading ---- */

struct DumpReader {
    FileReader *file;
    char *path; /* for errors; owned */
    DumpOrder order;
    Buffer window; /* read and, from `at` on, not yet taken */
    size_t at;
};

Code dump_reader_open(const char *path, DumpReader **out, Error *e)
{
    FileReader *file;
    TRY(file_reader_open(path, &file, e));
    DumpReader *reader = x_new(DumpReader);
    reader->file = file;
    reader->path = x_text(slice_of_text(path));
    *out = reader;
    return OK;
}

/* Moves what is left to the front and reads more behind it; *out_got = 0 at the end of the file. */
static Code read_more(DumpReader *reader, size_t *out_got, Error *e)
{
    size_t left = reader->window.size - reader->at;
    if (left && reader->at)
        memmove(reader->window.data, reader->window.data + reader->at, left);
    reader->window.size = left;
    reader->at = 0;
    char *to = buffer_reserve(&reader->window, PIECE_BYTES);
    TRY(file_reader_read(reader->file, to, PIECE_BYTES, out_got, e));
    reader->window.size += *out_got;
    return OK;
}

static Code next(DumpReader *reader, DumpRecord *out, Error *e)
{
    for (;;) {
        size_t used = 0, got = 0;
        Slice rest = slice_of(reader->window.data + reader->at, reader->window.size - reader->at);
        if (rest.size)
            TRY(dump_take(rest, &reader->order, out, &used, e));
        reader->at += used;
        if (used && out->kind != DUMP_END)
            return OK;
        if (used && reader->at < reader->window.size)
            return fail(e, E_CORRUPT, "there are bytes after the last record");
        /* out may point into the window: after the end there is nothing to point at */
        TRY(read_more(reader, &got, e));
        if (used && got)
            return fail(e, E_CORRUPT, "there are bytes after the last record");
        if (used)
            return OK;
        if (got == 0)
            return fail(e, E_CORRUPT, "the file ends before its last record");
    }
}

Code dump_reader_next(DumpReader *reader, DumpRecord *out, Error *e)
{
    Code code = next(reader, out, e);
    return code == E_CORRUPT && e ? wrap(e, "%s", reader->path) : code;
}

void dump_reader_close(DumpReader *reader)
{
    if (!reader)
        return;
    file_reader_close(reader->file);
    buffer_done(&reader->window);
    free(reader->path);
    free(reader);
}
