/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of catalog/ share: the objects in memory, and records to bytes and back
 * (docs/formats/catalog.md).
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/buffer.h"
#include "base/limits.h"
#include "base/map.h"
#include "catalog/catalog.h"
#include "os/thread.h"

/* ---- Objects ---- */

/* A Table and all it points at, in one allocation: schema, columns, texts follow in `data`. */
typedef struct TableObject {
    Table table; /* first, so that a Table * is a TableObject * */
    atomic_uint refs;
    atomic_bool current;
    alignas(max_align_t) char data[];
} TableObject;

/* A new object with one reference, deep copy of `definition` under that id; not yet current. */
TableObject *catalog__table_new(const Table *definition, uint32_t id, Slice namespace_name);

typedef struct NamespaceObject {
    Namespace info;
    char data[];
} NamespaceObject;

NamespaceObject *catalog__namespace_new(Slice name, int64_t created_at_us);

struct Catalog {
    /* The next id to give out. Only ever grows; ids of plans that came to nothing are lost. */
    atomic_uint_least64_t next_table_id, next_user_id;
    atomic_uint_least64_t version;
    Mutex lock; /* rank: docs/locks.md, "catalog" */
    /* guarded by lock */
    Map *namespaces;   /* folded name -> NamespaceObject, owned */
    Map *tables;       /* folded "namespace NUL name" -> TableObject, one reference */
    Map *tables_by_id; /* the id's 4 bytes as in memory -> TableObject, borrowed from `tables` */
};

/* Names as keys of the maps and of records: ASCII letters lower case. */
typedef struct FoldedName {
    size_t size;
    char data[2 * NAME_BYTES_MAX + 1];
} FoldedName;

/* False when a name is longer than NAME_BYTES_MAX: then nothing has that name. */
bool catalog__fold(Slice name, FoldedName *out);
bool catalog__fold_table(Slice namespace_name, Slice name, FoldedName *out);
static inline Slice folded_slice(const FoldedName *name)
{
    return slice_of(name->data, name->size);
}

/* ---- Records ---- */

enum {
    KEY_NAMESPACE = 'n', /* + folded name */
    KEY_TABLE = 't',     /* + table id, u32 */
    KEY_PAST = 'h',      /* + table id, u32 + schema version, u32 */
    KEY_USER = 'u',      /* + user id text */
    KEY_USER_LINK = 'i', /* + numeric user id, u64 */
    KEY_COUNTER = 'c',   /* + "table" or "user" */
};

typedef struct RecordKey {
    size_t size;
    char data[1 + USER_ID_BYTES_MAX];
} RecordKey;

RecordKey catalog__key(char prefix, Slice rest); /* rest is at most USER_ID_BYTES_MAX */
RecordKey catalog__key_u32(char prefix, uint32_t id);
RecordKey catalog__key_u64(char prefix, uint64_t id);
RecordKey catalog__key_past(uint32_t table_id, uint32_t version);
static inline Slice record_key_slice(const RecordKey *key)
{
    return slice_of(key->data, key->size);
}

/* Encoders append a whole record, checksum over key and record included. */
void catalog__encode_namespace(Slice key, const Namespace *namespace_, Buffer *out);
void catalog__encode_table(Slice key, const Table *table, Buffer *out);
void catalog__encode_user(Slice key, const User *user, Buffer *out);
void catalog__encode_user_link(Slice key, Slice user_id, Buffer *out);
void catalog__encode_counter(Slice key, uint64_t next, Buffer *out);

/* Decoders check everything; texts are copied to the arena. E_CORRUPT names the key,
 * E_FORMAT_VERSION when the record is sound but of a version this program does not know. */
CHECKED Code catalog__decode_namespace(Slice key, Slice value, Arena *arena, Namespace *out,
                                       Error *e);
CHECKED Code catalog__decode_table(Slice key, Slice value, Arena *arena, Table *out, Error *e);
/* A definition that was replaced: a table record under another key. */
CHECKED Code catalog__decode_past(Slice key, Slice value, Arena *arena, Table *out, Error *e);
CHECKED Code catalog__decode_user(Slice key, Slice value, Arena *arena, User *out, Error *e);
CHECKED Code catalog__decode_user_link(Slice key, Slice value, Arena *arena, Slice *out_user_id,
                                       Error *e);
CHECKED Code catalog__decode_counter(Slice key, Slice value, uint64_t *out_next, Error *e);

/* E_CORRUPT with the key in words. */
CHECKED Code catalog__corrupt(Slice key, const char *why, Error *e);
