/* SPDX-License-Identifier: Apache-2.0
 *
 * The columns of a table at one schema version. Immutable once built; shared by reference count
 * with everything that decodes rows of that version.
 */
#pragma once

#include "data/value.h"

typedef enum DefaultKind {
    DEFAULT_NONE,
    DEFAULT_LITERAL,      /* `value` */
    DEFAULT_NOW,          /* NOW(), CURRENT_TIMESTAMP */
    DEFAULT_SNOWFLAKE_ID, /* SNOWFLAKE_ID(), AUTO_INCREMENT, SERIAL … */
    DEFAULT_UUID_V7,
    DEFAULT_ULID,
    DEFAULT_CURRENT_USER,
} DefaultKind;

typedef struct Column {
    uint32_t field_id; /* from 1, never reused in a table; names a column in Parquet files */
    Slice name;        /* as written at CREATE; compared without case */
    Type type;
    bool not_null;
    bool primary_key;
    DefaultKind default_kind;
    Value default_value; /* for DEFAULT_LITERAL, already of the column's type */
    /* What rows from before ADD COLUMN read, fixed then whatever the default becomes later: not
     * NULL, of the column's type. Without it they read NULL. */
    bool has_fill;
    Value fill;
} Column;

typedef struct Schema {
    uint32_t version; /* from 1 */
    uint32_t column_count;
    int32_t key_index; /* column of the primary key, -1 when a STREAM has none */
    uint32_t next_field_id;
    Column *columns; /* in rising order of field_id: ADD COLUMN appends, DROP COLUMN leaves a gap */
} Schema;

/* Index of a column by name, ignoring case; -1 when there is none. `_seq` and `_deleted` are not
 * columns. */
int32_t schema_find(const Schema *schema, Slice name);
/* Serialises for the catalog; decode checks everything and allocates in the arena. */
void schema_encode(const Schema *schema, Buffer *out);
CHECKED Code schema_decode(Slice bytes, Arena *arena, Schema **out, Error *e);
