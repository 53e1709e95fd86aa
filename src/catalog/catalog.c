/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog in memory: loading it, finding and listing.
 *
 * I1. Every table of `tables` is in `tables_by_id` and the reverse, and its namespace is in
 *     `namespaces`.
 * I2. next_table_id and next_user_id are above every id that a stored record or a key can hold.
 * I3. Maps are written by catalog_open and by catalog_change_apply only.
 *
 * A lock held for one hash lookup guards the maps. It is not a reader-writer lock: those cost their
 * readers the same two atomic writes, and nothing here holds it longer but the lists.
 */
#include <stdlib.h>

#include "catalog/catalog_int.h"

/* Exist without a record, cannot be dropped. */
static const char *const builtin_namespaces[] = {"default", "system", "dba"};

/* ---- Loading ---- */

static Code add_namespace(Catalog *catalog, Slice name, int64_t created_at_us)
{
    FoldedName folded;
    must(catalog__fold(name, &folded));
    NamespaceObject *object = catalog__namespace_new(name, created_at_us);
    NamespaceObject *before =
        (NamespaceObject *)map_put(catalog->namespaces, folded_slice(&folded), object);
    free(before);
    return before ? E_ALREADY_EXISTS : OK;
}

static Code load_namespace(Catalog *catalog, Slice key, Slice value, Arena *arena, Error *e)
{
    Namespace n;
    TRY(catalog__decode_namespace(key, value, arena, &n, e));
    if (map_count(catalog->namespaces) >= NAMESPACES_MAX)
        return catalog__corrupt(key, "there are too many namespaces", e);
    if (add_namespace(catalog, n.name, n.created_at_us) != OK)
        return catalog__corrupt(key, "there are two of this name", e);
    return OK;
}

static Code load_table(Catalog *catalog, Slice key, Slice value, Arena *arena, Error *e)
{
    Table t;
    TRY(catalog__decode_table(key, value, arena, &t, e));
    FoldedName folded;
    must(catalog__fold(t.namespace_name, &folded));
    if (!map_get(catalog->namespaces, folded_slice(&folded))) /* I1 */
        return catalog__corrupt(key, "its namespace does not exist", e);
    must(catalog__fold_table(t.namespace_name, t.name, &folded));
    if (map_count(catalog->tables) >= TABLES_MAX)
        return catalog__corrupt(key, "there are too many tables", e);
    if (map_get(catalog->tables, folded_slice(&folded)))
        return catalog__corrupt(key, "there are two of this name", e);
    TableObject *object = catalog__table_new(&t, t.id, t.namespace_name);
    atomic_store_explicit(&object->current, true, memory_order_relaxed); /* not shared yet */
    (void)map_put(catalog->tables, folded_slice(&folded), object);
    (void)map_put(catalog->tables_by_id, slice_of(&t.id, sizeof t.id), object);
    if (t.id >= catalog->next_table_id) /* I2 */
        catalog->next_table_id = (uint64_t)t.id + 1;
    return OK;
}

typedef Code LoadRecord(Catalog *catalog, Slice key, Slice value, Arena *arena, Error *e);

static Code load_all(Catalog *catalog, HotSnapshot *snapshot, char prefix, LoadRecord *load,
                     Error *e)
{
    char after = (char)(prefix + 1);
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(&prefix, 1),
                                        slice_of(&after, 1), false);
    while (hot_next(it)) {
        TRY(load(catalog, hot_key(it), hot_value(it), arena, e));
        arena_reset(arena);
    }
    return hot_iterator_end(it, e);
}

Code catalog_read_tables(HotSnapshot *snapshot, Slice namespace_name, Arena *arena, Table **out,
                         size_t *out_count, Error *e)
{
    char prefix = KEY_TABLE, after = KEY_TABLE + 1;
    CLEANUP(buffer_done) Buffer found = {0};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, slice_of(&prefix, 1),
                                        slice_of(&after, 1), false);
    while (hot_next(it)) {
        Table t;
        TRY(catalog__decode_table(hot_key(it), hot_value(it), arena, &t, e));
        if (!namespace_name.size || slice_equal_ignoring_case(t.namespace_name, namespace_name))
            buffer_add(&found, &t, sizeof t);
    }
    TRY(hot_iterator_end(it, e));
    *out_count = found.size / sizeof(Table);
    *out = arena_new_array(arena, Table, *out_count + 1);
    if (found.size)
        memcpy(*out, found.data, found.size);
    return OK;
}

Code catalog_read_past(HotSnapshot *snapshot, uint32_t table_id, Arena *arena, Table **out,
                       size_t *out_count, Error *e)
{
    RecordKey from = catalog__key_past(table_id, 0), to = catalog__key_past(table_id, UINT32_MAX);
    CLEANUP(buffer_done) Buffer found = {0};
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it = hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, record_key_slice(&from),
                                        record_key_slice(&to), false);
    while (hot_next(it)) {
        Table t;
        TRY(catalog__decode_past(hot_key(it), hot_value(it), arena, &t, e));
        buffer_add(&found, &t, sizeof t);
    }
    TRY(hot_iterator_end(it, e));
    *out_count = found.size / sizeof(Table);
    *out = arena_new_array(arena, Table, *out_count + 1);
    if (found.size)
        memcpy(*out, found.data, found.size);
    return OK;
}

static Code load_counter(HotSnapshot *snapshot, Slice name, atomic_uint_least64_t *out_next,
                         Error *e)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    RecordKey key = catalog__key(KEY_COUNTER, name);
    Slice value;
    Code code =
        hot_get(snapshot, HOT_BLOCKING, HOT_SYSTEM, record_key_slice(&key), arena, &value, e);
    if (code == E_NOT_FOUND) {
        *out_next = 1;
        return OK;
    }
    TRY(code);
    uint64_t next;
    TRY(catalog__decode_counter(record_key_slice(&key), value, &next, e));
    *out_next = next;
    return OK;
}

/* The highest numeric user id that has a record also bounds the counter (I2). */
static Code check_user_counter(Catalog *catalog, HotSnapshot *snapshot, Error *e)
{
    CLEANUP(hot_iterator_close_ptr)
    HotIterator *it =
        hot_iterator_open(snapshot, HOT_BLOCKING, HOT_SYSTEM, SLICE("i"), SLICE("j"), true);
    if (!hot_next(it))
        return hot_iterator_end(it, e);
    Slice key = hot_key(it);
    Cursor c = cursor_of(slice_of(key.data + 1, key.size - 1));
    uint64_t id;
    if (!cursor_u64(&c, &id) || cursor_left(&c) > 0 || id == 0 || id > INT64_MAX)
        return catalog__corrupt(key, "the key is malformed", e);
    if (id >= catalog->next_user_id)
        catalog->next_user_id = id + 1;
    return OK;
}

static Code load(Catalog *catalog, HotStore *store, Error *e)
{
    HotSnapshot *snapshot = hot_snapshot_new(store);
    Code code = load_counter(snapshot, SLICE("table"), &catalog->next_table_id, e);
    if (code == OK)
        code = load_counter(snapshot, SLICE("user"), &catalog->next_user_id, e);
    if (code == OK)
        code = check_user_counter(catalog, snapshot, e);
    if (code == OK)
        code = load_all(catalog, snapshot, KEY_NAMESPACE, load_namespace, e);
    if (code == OK)
        code = load_all(catalog, snapshot, KEY_TABLE, load_table, e);
    hot_snapshot_free(snapshot);
    return code;
}

Code catalog_open(HotStore *store, Catalog **out, Error *e)
{
    Catalog *catalog = x_new(Catalog);
    mutex_init(&catalog->lock);
    catalog->namespaces = map_new();
    catalog->tables = map_new();
    catalog->tables_by_id = map_new();
    atomic_init(&catalog->version, 1);
    for (size_t i = 0; i < sizeof builtin_namespaces / sizeof *builtin_namespaces; i++)
        must(add_namespace(catalog, slice_of_text(builtin_namespaces[i]), 0) == OK);
    Code code = load(catalog, store, e);
    if (code != OK) {
        catalog_close(catalog);
        return code;
    }
    *out = catalog;
    return OK;
}

void catalog_close(Catalog *catalog)
{
    if (!catalog)
        return;
    Slice key;
    void *value;
    for (size_t i = 0; map_next(catalog->tables, &i, &key, &value);)
        table_unref(&((TableObject *)value)->table);
    for (size_t i = 0; map_next(catalog->namespaces, &i, &key, &value);)
        free(value);
    map_free(catalog->namespaces);
    map_free(catalog->tables);
    map_free(catalog->tables_by_id);
    mutex_done(&catalog->lock);
    free(catalog);
}

/* ---- Finding ---- */

Table *catalog_find_table(Catalog *catalog, Slice namespace_name, Slice name)
{
    FoldedName folded;
    if (!catalog__fold_table(namespace_name, name, &folded))
        return NULL;
    MUTEX_SCOPE(&catalog->lock);
    TableObject *object = (TableObject *)map_get(catalog->tables, folded_slice(&folded));
    return object ? table_ref(&object->table) : NULL;
}

Table *catalog_find_table_by_id(Catalog *catalog, uint32_t id)
{
    MUTEX_SCOPE(&catalog->lock);
    TableObject *object = (TableObject *)map_get(catalog->tables_by_id, slice_of(&id, sizeof id));
    return object ? table_ref(&object->table) : NULL;
}

bool catalog_has_namespace(Catalog *catalog, Slice name)
{
    FoldedName folded;
    if (!catalog__fold(name, &folded))
        return false;
    MUTEX_SCOPE(&catalog->lock);
    return map_get(catalog->namespaces, folded_slice(&folded)) != NULL;
}

uint64_t catalog_version(Catalog *catalog)
{
    /* Acquire: with a version, the maps that belong to it. */
    return atomic_load_explicit(&catalog->version, memory_order_acquire);
}

/* ---- Lists ---- */

static int compare_names(Slice a, Slice b)
{
    FoldedName folded_a, folded_b;
    must(catalog__fold(a, &folded_a));
    must(catalog__fold(b, &folded_b));
    return slice_compare(folded_slice(&folded_a), folded_slice(&folded_b));
}

static int compare_namespaces(const void *a, const void *b)
{
    return compare_names(((const Namespace *)a)->name, ((const Namespace *)b)->name);
}

static int compare_tables(const void *a, const void *b)
{
    const Table *ta = *(Table *const *)a, *tb = *(Table *const *)b;
    int order = compare_names(ta->namespace_name, tb->namespace_name);
    return order ? order : compare_names(ta->name, tb->name);
}

void catalog_list_namespaces(Catalog *catalog, Arena *arena, Namespace **out, size_t *out_count)
{
    size_t count = 0;
    Namespace *list;
    {
        MUTEX_SCOPE(&catalog->lock);
        list = arena_new_array(arena, Namespace, map_count(catalog->namespaces));
        Slice key;
        void *value;
        for (size_t i = 0; map_next(catalog->namespaces, &i, &key, &value); count++) {
            list[count] = ((NamespaceObject *)value)->info;
            list[count].name = arena_copy(arena, list[count].name);
        }
    }
    qsort(list, count, sizeof *list, compare_namespaces);
    *out = list;
    *out_count = count;
}

void catalog_list_tables(Catalog *catalog, Arena *arena, Table ***out, size_t *out_count)
{
    size_t count = 0;
    Table **list;
    {
        MUTEX_SCOPE(&catalog->lock);
        list = arena_new_array(arena, Table *, map_count(catalog->tables));
        Slice key;
        void *value;
        for (size_t i = 0; map_next(catalog->tables, &i, &key, &value); count++)
            list[count] = table_ref(&((TableObject *)value)->table);
    }
    qsort(list, count, sizeof *list, compare_tables);
    *out = list;
    *out_count = count;
}
