/* SPDX-License-Identifier: Apache-2.0
 *
 * Segment files that nothing names any more: on a list since the commit that replaced them,
 * unlinked when no view that was open then is left.
 *
 *   system 'o' | partition | batch u64 -> u8 format · sized folder · varint size · u32 CRC of the
 *                                         file · u32 CRC-32C of all before
 *
 * I1. The record comes in the commit that drops the entry and goes after the unlink: a crash
 *     between leaves a record without a file, never a file without a record (and that one the sweep
 *     at start would remove).
 * I2. A round takes its list first and its mark in pins after it: whoever may read a file of the
 *     list has an older pin.
 * I3. Only a file of the listed size and checksum is removed. A table of the same name may have
 *     come since, and may use the number again.
 */
#include <stdlib.h>

#include "cold/cold.h"
#include "data/row.h"
#include "os/file.h"
#include "table/compact.h"
#include "table/table_int.h"

enum { OBSOLETE_FORMAT = 1, ROUND_FILES_MAX = 1000, OBSOLETE_KEY_BYTES = 1 + SEQ_KEY_BYTES };

typedef struct Listed {
    Slice key, folder;
    SegmentEntry entry; /* batch, size and checksum only */
} Listed;

struct Obsolete {
    Database *db;
    Arena *arena; /* of the round */
    Listed *list;
    size_t count; /* 0: no round is open */
    uint64_t mark;
};

/* ---- records ---- */

void obsolete__add(Intent *intent, Partition partition, Slice folder, const SegmentEntry *entry)
{
    CLEANUP(buffer_done) Buffer value = {0};
    char key[OBSOLETE_KEY_BYTES] = {SYSTEM_PREFIX_OBSOLETE};
    SeqKey place = table__seq_key(partition, entry->batch);
    memcpy(key + 1, place.bytes, SEQ_KEY_BYTES);
    buffer_add_u8(&value, OBSOLETE_FORMAT);
    buffer_add_sized(&value, folder);
    buffer_add_varint(&value, entry->size_bytes);
    buffer_add_u32(&value, entry->crc);
    buffer_add_u32(&value, crc32c(0, buffer_slice(&value)));
    intent_add_raw(intent, RAW_PUT, HOT_SYSTEM, slice_of(key, sizeof key), buffer_slice(&value));
}

static Code decode(Slice key, Slice value, Arena *arena, Listed *out, Error *e)
{
    Partition partition;
    Listed listed = {0};
    Cursor c = cursor_of(value);
    uint8_t format;
    uint32_t crc;
    if (key.size != OBSOLETE_KEY_BYTES ||
        !table__read_seq_key(slice_of(key.data + 1, SEQ_KEY_BYTES), &partition,
                             &listed.entry.batch) ||
        !cursor_u8(&c, &format) || format != OBSOLETE_FORMAT || !cursor_sized(&c, &listed.folder) ||
        !cursor_varint(&c, &listed.entry.size_bytes) || !cursor_u32(&c, &listed.entry.crc) ||
        !cursor_u32(&c, &crc) || cursor_left(&c) ||
        crc != crc32c(0, slice_of(value.data, value.size - 4)))
        return fail(e, E_CORRUPT, "the record of an obsolete file is damaged");
    listed.key = arena_copy(arena, key);
    listed.folder = arena_copy(arena, listed.folder);
    *out = listed;
    return OK;
}

/* ---- rounds ---- */

Obsolete *obsolete_new(Database *db)
{
    Obsolete *o = x_new(Obsolete);
    o->db = db;
    o->arena = arena_new();
    return o;
}

void obsolete_free(Obsolete *o)
{
    if (!o)
        return;
    arena_free(o->arena);
    free(o);
}

static Code take_list(Obsolete *o, HotSnapshot *snapshot, Error *e)
{
    static const char from[] = {SYSTEM_PREFIX_OBSOLETE}, to[] = {SYSTEM_PREFIX_OBSOLETE + 1};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(from, 1),
                                        slice_of(to, 1), false);
    size_t count = 0;
    while (count < ROUND_FILES_MAX && hot_next(it)) {
        if (count == 0)
            o->list = arena_new_array(o->arena, Listed, ROUND_FILES_MAX);
        TRY(decode(hot_key(it), hot_value(it), o->arena, &o->list[count++], e));
    }
    TRY(hot_iterator_end(it, e));
    o->count = count;
    return OK;
}

static Code open_round(Obsolete *o, Error *e)
{
    arena_reset(o->arena);
    HotSnapshot *snapshot = hot_snapshot_new(database_hot(o->db));
    Code code = take_list(o, snapshot, e);
    hot_snapshot_free(snapshot);
    o->mark = pins_mark(database__pins(o->db)); /* I2 */
    return code;
}

static Code unlink_all(Obsolete *o, Error *e)
{
    const char *root = database_storage_folder(o->db);
    CLEANUP(intent_unref_ptr) Intent *intent = intent_new(database_last_seq(o->db));
    for (size_t i = 0; i < o->count; i++) {
        const Listed *listed = &o->list[i];
        Error mismatch = {0};
        Code code = cold_segment_verify(root, listed->folder, &listed->entry, &mismatch);
        if (code == OK) /* I3 */
            TRY(cold_segment_remove(root, listed->folder, listed->entry.batch, e));
        else if (code != E_CORRUPT && code != E_NOT_FOUND)
            return fail(e, code, "%s", mismatch.text);
        /* The folder of a dropped table, whose manifest is gone, may be empty now. */
        TRY(file_remove_empty_folder(
            arena_printf(o->arena, "%s/%.*s", root, SLICE_ARGS(listed->folder)), e));
        intent_add_raw(intent, RAW_DELETE, HOT_SYSTEM, listed->key, (Slice){0});
    }
    return database_commit(o->db, intent, e);
}

static Code go_on(Obsolete *o, bool *out_more, Error *e)
{
    if (o->count == 0)
        TRY(open_round(o, e));
    *out_more = o->count > 0;
    if (o->count == 0 || !pins_have_passed(database__pins(o->db), o->mark))
        return OK;
    bool was_full = o->count == ROUND_FILES_MAX;
    Code code = unlink_all(o, e);
    o->count = 0; /* after a failure the next round lists again */
    if (code == OK)
        *out_more = was_full;
    return code;
}

Code obsolete_remove(Obsolete *o, bool *out_more, Error *e)
{
    bool has_waited = o->count > 0; /* what came on the list since is for another round */
    TRY(go_on(o, out_more, e));
    return has_waited && o->count == 0 ? go_on(o, out_more, e) : OK;
}
