/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables and namespaces as objects in memory, and the words for their kinds.
 *
 * I1. A TableObject never changes after catalog__table_new, but for its two atomics.
 * I2. `current` is set when the catalog starts to show the table, cleared when it stops, never set
 *     again.
 */
#include <stdlib.h>

#include "catalog/catalog_int.h"

/* ---- Words ---- */

static const char *const role_names[] = {
    [ROLE_ANONYMOUS] = "anonymous", [ROLE_USER] = "user",
    [ROLE_SERVICE] = "service",     [ROLE_DBA] = "dba",
    [ROLE_SYSTEM] = "system",
};
static const char *const kind_names[] = {
    [TABLE_USER] = "user",
    [TABLE_SHARED] = "shared",
    [TABLE_STREAM] = "stream",
};
static const char *const access_names[] = {
    [ACCESS_PRIVATE] = "private",
    [ACCESS_PUBLIC] = "public",
    [ACCESS_RESTRICTED] = "restricted",
    [ACCESS_DBA] = "dba",
};

const char *role_name(Role role)
{
    must((size_t)role < sizeof role_names / sizeof *role_names);
    return role_names[role];
}

bool role_of_text(Slice text, Role *out)
{
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++) {
        if (slice_equal(text, slice_of_text(role_names[i]))) {
            *out = (Role)i;
            return true;
        }
    }
    return false;
}

const char *table_kind_name(TableKind kind)
{
    must((size_t)kind < sizeof kind_names / sizeof *kind_names);
    return kind_names[kind];
}

const char *access_level_name(AccessLevel level)
{
    must((size_t)level < sizeof access_names / sizeof *access_names);
    return access_names[level];
}

bool access_level_allows(AccessLevel level, Role role, bool writes)
{
    switch (level) {
    case ACCESS_PUBLIC:
        return role >= ROLE_SERVICE || (role >= ROLE_USER && !writes);
    case ACCESS_PRIVATE:
    case ACCESS_RESTRICTED:
        return role >= ROLE_SERVICE;
    case ACCESS_DBA:
        return role >= ROLE_DBA;
    }
    return false;
}

bool catalog_is_system_namespace(Slice name)
{
    return slice_equal_ignoring_case(name, SLICE("system")) ||
           slice_equal_ignoring_case(name, SLICE("information_schema"));
}

/* ---- Names ---- */

static void add_folded(FoldedName *out, Slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        out->data[out->size++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
}

bool catalog__fold(Slice name, FoldedName *out)
{
    if (name.size > NAME_BYTES_MAX)
        return false;
    out->size = 0;
    add_folded(out, name);
    return true;
}

bool catalog__fold_table(Slice namespace_name, Slice name, FoldedName *out)
{
    if (name.size > NAME_BYTES_MAX || !catalog__fold(namespace_name, out))
        return false;
    out->data[out->size++] = 0;
    add_folded(out, name);
    return true;
}

/* ---- Objects ---- */

/* Hands out pieces of an object's own allocation. */
typedef struct Packer {
    char *at;
} Packer;

static Slice pack_text(Packer *packer, Slice text)
{
    Slice copy = slice_of(packer->at, text.size);
    if (text.size)
        memcpy(packer->at, text.data, text.size);
    packer->at += text.size + 1; /* a zero byte follows: calloc'ed */
    return copy;
}

static bool has_bytes(const Value *value)
{
    return !value->is_null && (type_is_text(value->type) || value->type == TYPE_BYTES);
}

static bool has_default_bytes(const Column *column)
{
    return column->default_kind == DEFAULT_LITERAL && has_bytes(&column->default_value);
}

static bool has_fill_bytes(const Column *column)
{
    return column->has_fill && has_bytes(&column->fill);
}

static size_t texts_size(const Table *table, Slice namespace_name)
{
    size_t size = namespace_name.size + 1 + table->name.size + 1;
    for (uint32_t i = 0; i < table->schema->column_count; i++) {
        const Column *column = &table->schema->columns[i];
        size += column->name.size + 1;
        if (has_default_bytes(column))
            size += column->default_value.bytes.size + 1;
        if (has_fill_bytes(column))
            size += column->fill.bytes.size + 1;
    }
    return size;
}

TableObject *catalog__table_new(const Table *definition, uint32_t id, Slice namespace_name)
{
    const Schema *from = definition->schema;
    must(from->column_count <= COLUMNS_MAX);
    /* Schema, then columns, then texts: from the strictest alignment to none. */
    _Static_assert(sizeof(Schema) % alignof(Column) == 0, "columns follow the schema");
    size_t columns_size = sizeof(Column) * from->column_count;
    TableObject *object =
        (TableObject *)x_new_bytes(sizeof(TableObject) + sizeof(Schema) + columns_size +
                                   texts_size(definition, namespace_name));
    Schema *schema = (Schema *)(void *)object->data;
    Column *columns = (Column *)(void *)(object->data + sizeof(Schema));
    Packer packer = {object->data + sizeof(Schema) + columns_size};
    object->table = *definition;
    object->table.id = id;
    object->table.namespace_name = pack_text(&packer, namespace_name);
    object->table.name = pack_text(&packer, definition->name);
    object->table.schema = schema;
    *schema = *from;
    schema->columns = columns;
    for (uint32_t i = 0; i < from->column_count; i++) {
        columns[i] = from->columns[i];
        columns[i].name = pack_text(&packer, from->columns[i].name);
        if (has_default_bytes(&columns[i]))
            columns[i].default_value.bytes =
                pack_text(&packer, from->columns[i].default_value.bytes);
        if (has_fill_bytes(&columns[i]))
            columns[i].fill.bytes = pack_text(&packer, from->columns[i].fill.bytes);
    }
    atomic_init(&object->refs, 1);
    atomic_init(&object->current, false);
    return object;
}

Table *catalog_table_of_view(const Table *definition, Slice namespace_name, uint32_t id)
{
    TableObject *object = catalog__table_new(definition, id, namespace_name);
    atomic_store_explicit(&object->current, true,
                          memory_order_release); /* I2, and it never stops */
    return &object->table;
}

Table *table_ref(Table *table)
{
    /* Relaxed: whoever calls holds a reference already, so the object cannot go away meanwhile. */
    unsigned before =
        atomic_fetch_add_explicit(&((TableObject *)table)->refs, 1, memory_order_relaxed);
    must(before > 0);
    return table;
}

void table_unref(Table *table)
{
    if (!table)
        return;
    /* Release what this thread read of the object, acquire what the others did, then free. */
    unsigned before =
        atomic_fetch_sub_explicit(&((TableObject *)table)->refs, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        free(table);
}

void table_unref_ptr(Table **table)
{
    table_unref(*table);
    *table = NULL;
}

bool table_is_current(const Table *table)
{
    /* Acquire: who sees that it is gone also sees the catalog that is newer. */
    return atomic_load_explicit(&((TableObject *)(uintptr_t)table)->current, memory_order_acquire);
}

NamespaceObject *catalog__namespace_new(Slice name, int64_t created_at_us)
{
    NamespaceObject *object =
        (NamespaceObject *)x_new_bytes(sizeof(NamespaceObject) + name.size + 1);
    if (name.size)
        memcpy(object->data, name.data, name.size);
    object->info.name = slice_of(object->data, name.size);
    object->info.created_at_us = created_at_us;
    return object;
}
