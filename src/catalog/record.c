/* SPDX-License-Identifier: Apache-2.0
 *
 * Catalog records to bytes and back (docs/formats/catalog.md):
 *
 *     record    = version(u8 = 1)  body  crc(u32)
 *     namespace = name  created_at(u64)
 *     table     = namespace  name  kind(u8)  access(u8)  durable(u8)  flush_rows(u32)
 *                 flush_interval_s(u32)  ttl_s(u32)  feed_window_s(u32)
 *                 feed_window_bytes(u64)  created_at(u64)  updated_at(u64)  schema
 *                 [expired_before(u64): where the TTL was made longer]
 *     user      = id(u64)  user_id
 *                 flags(u8: 1 registered, 2 erasure begun, 4 erased, 8 credentials changed)
 *                 role(u8)
 *                 email  password_hash  auth_type  failed_logins(u32)
 *                 locked_until(u64)  last_login(u64)
 *                 created_at(u64)  updated_at(u64)  deleted_at(u64)
 *                 with flag 8: credentials_at(u64)
 *     user link = user_id
 *     counter   = next(u64)
 *
 * Texts and the schema are a varint size and bytes; numbers are big-endian; times are microseconds
 * since 1970, 0 = never. The checksum is CRC-32C over the key and then everything before it, so
 * that a record under a wrong key is found out too.
 */
#include <stdio.h>

#include "catalog/catalog_int.h"
#include "data/row.h"

enum {
    RECORD_VERSION = 1,
    CRC_BYTES = 4,
    FLAG_REGISTERED = 1,
    FLAG_ERASING = 2,
    FLAG_ERASED = 4,
    FLAG_CREDENTIALS = 8,
    FLAGS_ALL = 15
};

/* The numbers of these enums are stored. */
_Static_assert(ROLE_ANONYMOUS == 0 && ROLE_USER == 1 && ROLE_SERVICE == 2 && ROLE_DBA == 3 &&
                   ROLE_SYSTEM == 4,
               "roles are stored as numbers: append only");
_Static_assert(TABLE_USER == 0 && TABLE_SHARED == 1 && TABLE_STREAM == 2,
               "kinds are stored as numbers: append only");
_Static_assert(ACCESS_PRIVATE == 0 && ACCESS_PUBLIC == 1 && ACCESS_RESTRICTED == 2 &&
                   ACCESS_DBA == 3,
               "access levels are stored as numbers: append only");

/* ---- Keys ---- */

RecordKey catalog__key(char prefix, Slice rest)
{
    must(rest.size <= USER_ID_BYTES_MAX);
    RecordKey key = {.size = 1 + rest.size};
    key.data[0] = prefix;
    if (rest.size)
        memcpy(key.data + 1, rest.data, rest.size);
    return key;
}

RecordKey catalog__key_u64(char prefix, uint64_t id)
{
    char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(id >> (56 - 8 * i));
    return catalog__key(prefix, slice_of(bytes, sizeof bytes));
}

RecordKey catalog__key_u32(char prefix, uint32_t id)
{
    char bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (char)(id >> (24 - 8 * i));
    return catalog__key(prefix, slice_of(bytes, sizeof bytes));
}

RecordKey catalog__key_past(uint32_t table_id, uint32_t version)
{
    return catalog__key_u64(KEY_PAST, (uint64_t)table_id << 32 | version);
}

static const char *key_noun(Slice key)
{
    switch (key.size ? key.data[0] : 0) {
    case KEY_NAMESPACE:
        return "namespace record";
    case KEY_TABLE:
        return "table record";
    case KEY_PAST:
        return "record of an earlier definition";
    case KEY_USER:
        return "user record";
    case KEY_USER_LINK:
        return "user number record";
    case KEY_COUNTER:
        return "counter record";
    default:
        return "catalog record";
    }
}

Code catalog__corrupt(Slice key, const char *why, Error *e)
{
    char shown[4 * 64 + 4];
    size_t used = 0;
    for (size_t i = 0; i < key.size && i < 64; i++) {
        unsigned char c = (unsigned char)key.data[i];
        bool plain = c > 0x20 && c < 0x7F && c != '\\';
        used += (size_t)snprintf(shown + used, sizeof shown - used, plain ? "%c" : "\\x%02x", c);
    }
    shown[used] = 0;
    return fail(e, E_CORRUPT, "%s, system key '%s%s': %s", key_noun(key), shown,
                key.size > 64 ? "..." : "", why);
}

/* ---- The frame around every record ---- */

static size_t begin(Buffer *out)
{
    size_t start = out->size;
    buffer_add_u8(out, RECORD_VERSION);
    return start;
}

static void seal(Slice key, size_t start, Buffer *out)
{
    uint32_t crc = crc32c(crc32c(0, key), slice_of(out->data + start, out->size - start));
    buffer_add_u32(out, crc);
}

static Code unseal(Slice key, Slice value, Cursor *out_body, Error *e)
{
    if (value.size < 1 + CRC_BYTES)
        return catalog__corrupt(key, "it is too short", e);
    Slice sealed = slice_of(value.data, value.size - CRC_BYTES);
    Cursor tail = cursor_of(slice_of(value.data + sealed.size, CRC_BYTES));
    uint32_t crc = 0;
    must(cursor_u32(&tail, &crc));
    if (crc != crc32c(crc32c(0, key), sealed))
        return catalog__corrupt(key, "the checksum is wrong", e);
    if (sealed.data[0] != RECORD_VERSION)
        return fail(e, E_FORMAT_VERSION, "A %s has format %u; this program knows %u", key_noun(key),
                    (unsigned)(unsigned char)sealed.data[0], (unsigned)RECORD_VERSION);
    *out_body = cursor_of(slice_of(sealed.data + 1, sealed.size - 1));
    return OK;
}

/* ---- Fields ---- */

static bool take_text(Cursor *c, size_t size_max, Arena *arena, Slice *out)
{
    Slice text;
    if (!cursor_sized(c, &text) || text.size > size_max || !slice_is_utf8(text))
        return false;
    *out = arena_copy(arena, text);
    return true;
}

static bool take_name(Cursor *c, Arena *arena, Slice *out)
{
    return take_text(c, NAME_BYTES_MAX, arena, out) && out->size > 0;
}

static bool take_time(Cursor *c, int64_t *out)
{
    uint64_t v;
    if (!cursor_u64(c, &v) || v > INT64_MAX)
        return false;
    *out = (int64_t)v;
    return true;
}

static bool take_small(Cursor *c, unsigned max, unsigned *out)
{
    uint8_t v;
    if (!cursor_u8(c, &v) || v > max)
        return false;
    *out = v;
    return true;
}

static bool key_is(Slice key, const RecordKey *want)
{
    return slice_equal(key, record_key_slice(want));
}

/* ---- Namespaces ---- */

void catalog__encode_namespace(Slice key, const Namespace *namespace_, Buffer *out)
{
    size_t start = begin(out);
    buffer_add_sized(out, namespace_->name);
    buffer_add_u64(out, (uint64_t)namespace_->created_at_us);
    seal(key, start, out);
}

Code catalog__decode_namespace(Slice key, Slice value, Arena *arena, Namespace *out, Error *e)
{
    Cursor c;
    TRY(unseal(key, value, &c, e));
    Namespace n = {0};
    if (!take_name(&c, arena, &n.name) || !take_time(&c, &n.created_at_us) || cursor_left(&c) > 0)
        return catalog__corrupt(key, "a field is malformed", e);
    FoldedName folded;
    must(catalog__fold(n.name, &folded));
    RecordKey want = catalog__key(KEY_NAMESPACE, folded_slice(&folded));
    if (!key_is(key, &want))
        return catalog__corrupt(key, "it belongs under another key", e);
    *out = n;
    return OK;
}

/* ---- Tables ---- */

void catalog__encode_table(Slice key, const Table *table, Buffer *out)
{
    size_t start = begin(out);
    buffer_add_sized(out, table->namespace_name);
    buffer_add_sized(out, table->name);
    buffer_add_u8(out, (uint8_t)table->kind);
    buffer_add_u8(out, (uint8_t)table->access);
    buffer_add_u8(out, table->durable);
    buffer_add_u32(out, table->flush_rows);
    buffer_add_u32(out, table->flush_interval_s);
    buffer_add_u32(out, table->ttl_s);
    buffer_add_u32(out, table->feed_window_s);
    buffer_add_u64(out, table->feed_window_bytes);
    buffer_add_u64(out, (uint64_t)table->created_at_us);
    buffer_add_u64(out, (uint64_t)table->updated_at_us);
    CLEANUP(buffer_done) Buffer schema = {0};
    schema_encode(table->schema, &schema);
    buffer_add_sized(out, buffer_slice(&schema));
    int64_t since_us = table->kind == TABLE_SHARED ? table->opened_at_us : table->expired_before_us;
    if (since_us)
        buffer_add_u64(out, (uint64_t)since_us);
    seal(key, start, out);
}

static bool take_table_fields(Cursor *c, Arena *arena, Table *t, Slice *out_schema)
{
    unsigned kind, access, durable;
    if (!take_name(c, arena, &t->namespace_name) || !take_name(c, arena, &t->name) ||
        !take_small(c, TABLE_STREAM, &kind) || !take_small(c, ACCESS_DBA, &access) ||
        !take_small(c, 1, &durable) || !cursor_u32(c, &t->flush_rows) ||
        !cursor_u32(c, &t->flush_interval_s) || !cursor_u32(c, &t->ttl_s) ||
        !cursor_u32(c, &t->feed_window_s) || !cursor_u64(c, &t->feed_window_bytes) ||
        !take_time(c, &t->created_at_us) || !take_time(c, &t->updated_at_us) ||
        !cursor_sized(c, out_schema))
        return false;
    int64_t *since_us = kind == TABLE_SHARED ? &t->opened_at_us : &t->expired_before_us;
    if (cursor_left(c) > 0 && (!take_time(c, since_us) || cursor_left(c) > 0))
        return false;
    t->kind = (TableKind)kind;
    t->access = (AccessLevel)access;
    t->durable = durable;
    return true;
}

/* Everything but the number, which stands in the key. */
static Code decode_definition(Slice key, Slice value, Arena *arena, Table *out, Error *e)
{
    Cursor c;
    TRY(unseal(key, value, &c, e));
    Slice schema_bytes;
    if (!take_table_fields(&c, arena, out, &schema_bytes))
        return catalog__corrupt(key, "a field is malformed", e);
    Schema *schema;
    if (schema_decode(schema_bytes, arena, &schema, e) != OK)
        return catalog__corrupt(key, "the schema does not decode", e);
    if (schema->key_index < 0 && out->kind != TABLE_STREAM)
        return catalog__corrupt(key, "the table has no primary key", e);
    out->schema = schema;
    return OK;
}

Code catalog__decode_table(Slice key, Slice value, Arena *arena, Table *out, Error *e)
{
    Table t = {0};
    TRY(decode_definition(key, value, arena, &t, e));
    Cursor id = cursor_of(slice_of(key.data + 1, key.size - 1));
    if (!cursor_u32(&id, &t.id) || cursor_left(&id) > 0 || t.id == 0)
        return catalog__corrupt(key, "the key is malformed", e);
    *out = t;
    return OK;
}

Code catalog__decode_past(Slice key, Slice value, Arena *arena, Table *out, Error *e)
{
    Table t = {0};
    uint32_t version;
    TRY(decode_definition(key, value, arena, &t, e));
    Cursor c = cursor_of(slice_of(key.data + 1, key.size - 1));
    if (!cursor_u32(&c, &t.id) || !cursor_u32(&c, &version) || cursor_left(&c) > 0 || t.id == 0)
        return catalog__corrupt(key, "the key is malformed", e);
    if (version != t.schema->version)
        return catalog__corrupt(key, "it belongs under another key", e);
    *out = t;
    return OK;
}

/* The key of a table without a number: what stands in a definition. */
static RecordKey definition_key(void)
{
    return catalog__key_u32(KEY_TABLE, UINT32_MAX);
}

void catalog_encode_definition(const Table *table, Buffer *out)
{
    RecordKey key = definition_key();
    catalog__encode_table(record_key_slice(&key), table, out);
}

Code catalog_decode_definition(Slice bytes, Arena *arena, Table *out, Error *e)
{
    RecordKey key = definition_key();
    return catalog__decode_table(record_key_slice(&key), bytes, arena, out, e);
}

/* ---- Users ---- */

void catalog__encode_user(Slice key, const User *user, Buffer *out)
{
    size_t start = begin(out);
    buffer_add_u64(out, user->id);
    buffer_add_sized(out, user->user_id);
    static const uint8_t erasure_flags[] = {
        [ERASURE_NONE] = 0, [ERASURE_BEGUN] = FLAG_ERASING, [ERASURE_DONE] = FLAG_ERASED};
    buffer_add_u8(out, (uint8_t)((user->registered ? FLAG_REGISTERED : 0) |
                                 (user->credentials_at_us ? FLAG_CREDENTIALS : 0) |
                                 erasure_flags[user->erasure]));
    buffer_add_u8(out, (uint8_t)user->role);
    buffer_add_sized(out, user->email);
    buffer_add_sized(out, user->password_hash);
    buffer_add_sized(out, user->auth_type);
    buffer_add_u32(out, user->failed_logins);
    buffer_add_u64(out, (uint64_t)user->locked_until_us);
    buffer_add_u64(out, (uint64_t)user->last_login_us);
    buffer_add_u64(out, (uint64_t)user->created_at_us);
    buffer_add_u64(out, (uint64_t)user->updated_at_us);
    buffer_add_u64(out, (uint64_t)user->deleted_at_us);
    if (user->credentials_at_us)
        buffer_add_u64(out, (uint64_t)user->credentials_at_us);
    seal(key, start, out);
}

static bool take_user_fields(Cursor *c, Arena *arena, User *u)
{
    unsigned flags, role;
    if (!cursor_u64(c, &u->id) || u->id == 0 ||
        !take_text(c, USER_ID_BYTES_MAX, arena, &u->user_id) || !take_small(c, FLAGS_ALL, &flags) ||
        !take_small(c, ROLE_SYSTEM, &role) || !take_text(c, EMAIL_BYTES_MAX, arena, &u->email) ||
        !take_text(c, PASSWORD_HASH_BYTES_MAX, arena, &u->password_hash) ||
        !take_text(c, AUTH_TYPE_BYTES_MAX, arena, &u->auth_type) ||
        !cursor_u32(c, &u->failed_logins) || !take_time(c, &u->locked_until_us) ||
        !take_time(c, &u->last_login_us) || !take_time(c, &u->created_at_us) ||
        !take_time(c, &u->updated_at_us) || !take_time(c, &u->deleted_at_us))
        return false;
    if ((flags & FLAG_CREDENTIALS) &&
        (!take_time(c, &u->credentials_at_us) || u->credentials_at_us == 0))
        return false;
    u->registered = flags & FLAG_REGISTERED;
    u->erasure = flags & FLAG_ERASED    ? ERASURE_DONE
                 : flags & FLAG_ERASING ? ERASURE_BEGUN
                                        : ERASURE_NONE;
    u->role = (Role)role;
    return cursor_left(c) == 0;
}

Code catalog__decode_user(Slice key, Slice value, Arena *arena, User *out, Error *e)
{
    Cursor c;
    TRY(unseal(key, value, &c, e));
    User u = {0};
    if (!take_user_fields(&c, arena, &u))
        return catalog__corrupt(key, "a field is malformed", e);
    RecordKey want = catalog__key(KEY_USER, u.user_id);
    if (!key_is(key, &want))
        return catalog__corrupt(key, "it belongs under another key", e);
    *out = u;
    return OK;
}

void catalog__encode_user_link(Slice key, Slice user_id, Buffer *out)
{
    size_t start = begin(out);
    buffer_add_sized(out, user_id);
    seal(key, start, out);
}

Code catalog__decode_user_link(Slice key, Slice value, Arena *arena, Slice *out_user_id, Error *e)
{
    Cursor c;
    TRY(unseal(key, value, &c, e));
    Slice user_id;
    if (!take_text(&c, USER_ID_BYTES_MAX, arena, &user_id) || user_id.size == 0 ||
        cursor_left(&c) > 0)
        return catalog__corrupt(key, "a field is malformed", e);
    *out_user_id = user_id;
    return OK;
}

/* ---- Counters ---- */

void catalog__encode_counter(Slice key, uint64_t next, Buffer *out)
{
    size_t start = begin(out);
    buffer_add_u64(out, next);
    seal(key, start, out);
}

Code catalog__decode_counter(Slice key, Slice value, uint64_t *out_next, Error *e)
{
    Cursor c;
    TRY(unseal(key, value, &c, e));
    uint64_t next;
    if (!cursor_u64(&c, &next) || next == 0 || next > INT64_MAX || cursor_left(&c) > 0)
        return catalog__corrupt(key, "a field is malformed", e);
    *out_next = next;
    return OK;
}
