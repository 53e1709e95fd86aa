/* SPDX-License-Identifier: Apache-2.0
 *
 * Planned changes: what is checked, what is written, how memory follows.
 *
 * I1. A plan changes nothing but the id counters in memory, so that one that comes to nothing
 *     leaves no trace.
 * I2. Ids are taken from a counter that only grows, and every change that gives one out writes the
 *     counter as it stands at that moment: a stored id is below the stored counter,
 *     in any order of commits.
 * I3. Between plan and apply no change with the same guard was applied (the committer sees to it),
 *     so that what the plan checked still holds. Apply therefore cannot fail, and must() says so.
 */
#include <stdlib.h>

#include "catalog/catalog_int.h"
#include "os/clock.h"

typedef enum ChangeType {
    CREATE_NAMESPACE,
    DROP_NAMESPACE,
    CREATE_TABLE,
    DROP_TABLE,
    ALTER_TABLE,
    RESERVE_TABLES,
    PUT_USER
} ChangeType;

enum { WRITES_MAX = 3, GUARD_SCHEMA_SEED = 0x6361, GUARD_USER_SEED = 0x7573 };

typedef struct Write {
    RecordKey key;
    Buffer value;
    bool is_delete;
} Write;

struct CatalogChange {
    ChangeType type;
    /* of the same plan (a restore, the drop of a namespace), written and applied with it; owned */
    struct CatalogChange *next;
    Catalog *catalog; /* borrowed; outlives every change */
    uint64_t guard;
    Write writes[WRITES_MAX];
    size_t write_count;
    const char *counter;               /* "table" or "user" when an id was given out, else NULL */
    FoldedName name;                   /* key of the map that changes */
    NamespaceObject *namespace_object; /* CREATE_NAMESPACE; owned until applied */
    TableObject *created;              /* a reference; of CREATE_TABLE until applied */
    Table *dropped;                    /* DROP_TABLE; a reference */
    Table *altered;                    /* ALTER_TABLE: what `created` replaces; a reference */
    bool needs_quiet;
    UserState user_state; /* PUT_USER */
    uint64_t user_number;
};

static uint64_t schema_guard(void)
{
    return slice_hash(SLICE("catalog"), GUARD_SCHEMA_SEED);
}

/* How many past definitions there may be. Their versions may have gaps, but none is above the
 * last. */
static uint32_t past_count(const Table *table)
{
    uint32_t version = table->schema->version;
    if (version > PAST_DEFINITIONS_MAX)
        return PAST_DEFINITIONS_MAX;
    return version ? version - 1 : 0;
}

static CatalogChange *change_new(Catalog *catalog, ChangeType type, uint64_t guard)
{
    CatalogChange *change = x_new(CatalogChange);
    change->type = type;
    change->catalog = catalog;
    change->guard = guard;
    return change;
}

static Write *add_write(CatalogChange *change, RecordKey key)
{
    must(change->write_count < WRITES_MAX);
    Write *write = &change->writes[change->write_count++];
    write->key = key;
    return write;
}

static void free_one(CatalogChange *change)
{
    for (size_t i = 0; i < change->write_count; i++)
        buffer_done(&change->writes[i].value);
    free(change->namespace_object);
    if (change->created)
        table_unref(&change->created->table);
    table_unref(change->dropped);
    table_unref(change->altered);
    free(change);
}

void catalog_change_free(CatalogChange *change)
{
    while (change) {
        CatalogChange *next = change->next;
        free_one(change);
        change = next;
    }
}

/* ---- Namespaces ---- */

static bool is_builtin(const FoldedName *name)
{
    Slice s = folded_slice(name);
    return slice_equal(s, SLICE("default")) || slice_equal(s, SLICE("system")) ||
           slice_equal(s, SLICE("dba"));
}

static Code check_name(const char *what, Slice name, Error *e)
{
    if (name.size == 0)
        return fail(e, E_INVALID_OPERATION, "%s name cannot be empty", what);
    if (name.size > NAME_BYTES_MAX)
        return fail(e, E_INVALID_OPERATION, "%s name is too long (%zu characters, max %d)", what,
                    name.size, NAME_BYTES_MAX);
    if (!slice_is_utf8(name) || memchr(name.data, 0, name.size))
        return fail(e, E_INVALID_OPERATION, "%s name is not valid text", what);
    return OK;
}

static size_t count_namespaces(Catalog *catalog)
{
    MUTEX_SCOPE(&catalog->lock);
    return map_count(catalog->namespaces);
}

Code catalog_plan_create_namespace(Catalog *catalog, Slice name, int64_t now_us,
                                   CatalogChange **out, Error *e)
{
    TRY(check_name("Namespace", name, e));
    if (catalog_has_namespace(catalog, name))
        return fail(e, E_ALREADY_EXISTS, "Namespace '%.*s' already exists", SLICE_ARGS(name));
    if (count_namespaces(catalog) >= NAMESPACES_MAX)
        return fail(e, E_INVALID_OPERATION, "There are %d namespaces already, as many as may be",
                    NAMESPACES_MAX);
    CatalogChange *change = change_new(catalog, CREATE_NAMESPACE, schema_guard());
    must(catalog__fold(name, &change->name));
    change->namespace_object = catalog__namespace_new(name, now_us);
    Write *write = add_write(change, catalog__key(KEY_NAMESPACE, folded_slice(&change->name)));
    catalog__encode_namespace(record_key_slice(&write->key), &change->namespace_object->info,
                              &write->value);
    *out = change;
    return OK;
}

static size_t count_tables_of(Catalog *catalog, const FoldedName *name)
{
    size_t count = 0;
    MUTEX_SCOPE(&catalog->lock);
    Slice key;
    void *value;
    for (size_t i = 0; map_next(catalog->tables, &i, &key, &value);) {
        const Table *table = &((TableObject *)value)->table;
        count += slice_equal_ignoring_case(table->namespace_name, folded_slice(name));
    }
    return count;
}

/* Takes the reference. */
static CatalogChange *drop_table(Catalog *catalog, Table *table)
{
    CatalogChange *change = change_new(catalog, DROP_TABLE, schema_guard());
    change->dropped = table;
    must(catalog__fold_table(table->namespace_name, table->name, &change->name));
    add_write(change, catalog__key_u32(KEY_TABLE, table->id))->is_delete = true;
    return change;
}

/* Adds the drop of each of its tables; returns how many records of past definitions go with
 * them. */
static size_t drop_tables_of(CatalogChange *space)
{
    Catalog *catalog = space->catalog;
    size_t past = 0;
    MUTEX_SCOPE(&catalog->lock);
    Slice key;
    void *value;
    for (size_t i = 0; map_next(catalog->tables, &i, &key, &value);) {
        Table *table = &((TableObject *)value)->table;
        if (!slice_equal_ignoring_case(table->namespace_name, folded_slice(&space->name)))
            continue;
        CatalogChange *change = drop_table(catalog, table_ref(table));
        change->next = space->next;
        space->next = change;
        past += past_count(table);
    }
    return past;
}

static Code check_droppable(Catalog *catalog, Slice name, bool with_tables, FoldedName *out,
                            Error *e)
{
    if (!catalog__fold(name, out) || !catalog_has_namespace(catalog, name))
        return fail(e, E_NAMESPACE_NOT_FOUND, "Namespace '%.*s' not found", SLICE_ARGS(name));
    if (is_builtin(out))
        return fail(e, E_INVALID_OPERATION, "Namespace '%.*s' is built in and cannot be dropped",
                    SLICE_ARGS(name));
    size_t tables = with_tables ? 0 : count_tables_of(catalog, out);
    if (tables > 0)
        return fail(e, E_INVALID_OPERATION,
                    "Namespace '%.*s' is not empty: it has %zu table%s. DROP NAMESPACE %.*s "
                    "CASCADE drops them too",
                    SLICE_ARGS(name), tables, tables == 1 ? "" : "s", SLICE_ARGS(name));
    return OK;
}

Code catalog_plan_drop_namespace(Catalog *catalog, Slice name, bool with_tables,
                                 CatalogChange **out, Error *e)
{
    FoldedName folded;
    TRY(check_droppable(catalog, name, with_tables, &folded, e));
    CatalogChange *change = change_new(catalog, DROP_NAMESPACE, schema_guard());
    change->name = folded;
    add_write(change, catalog__key(KEY_NAMESPACE, folded_slice(&folded)))->is_delete = true;
    size_t past = with_tables ? drop_tables_of(change) : 0;
    if (past > PAST_DEFINITIONS_DROPPED_MAX) {
        catalog_change_free(change);
        return fail(e, E_TOO_LARGE,
                    "The tables of namespace '%.*s' were altered %zu times, and %d of that can go "
                    "at once: drop some of the tables first",
                    SLICE_ARGS(name), past, PAST_DEFINITIONS_DROPPED_MAX);
    }
    *out = change;
    return OK;
}

/* ---- Tables ---- */

/* The namespace's name as it was created, or an empty slice; the text is copied to `out`. */
static Slice namespace_spelling(Catalog *catalog, Slice name, char out[NAME_BYTES_MAX])
{
    FoldedName folded;
    if (!catalog__fold(name, &folded))
        return (Slice){0};
    MUTEX_SCOPE(&catalog->lock);
    NamespaceObject *object =
        (NamespaceObject *)map_get(catalog->namespaces, folded_slice(&folded));
    if (!object)
        return (Slice){0};
    memcpy(out, object->info.name.data, object->info.name.size);
    return slice_of(out, object->info.name.size);
}

static bool table_exists(Catalog *catalog, const FoldedName *name, size_t *out_count)
{
    MUTEX_SCOPE(&catalog->lock);
    *out_count = map_count(catalog->tables);
    return map_get(catalog->tables, folded_slice(name)) != NULL;
}

static Code check_table(Catalog *catalog, const Table *definition, Slice namespace_name, Error *e)
{
    if (namespace_name.size == 0)
        return fail(e, E_NAMESPACE_NOT_FOUND,
                    "Namespace '%.*s' does not exist. Create it first with CREATE NAMESPACE %.*s",
                    SLICE_ARGS(definition->namespace_name), SLICE_ARGS(definition->namespace_name));
    if (slice_equal(namespace_name, SLICE("system")))
        return fail(
            e, E_INVALID_OPERATION,
            "Cannot create system table 'system.%.*s'. System tables are managed internally.",
            SLICE_ARGS(definition->name));
    TRY(check_name("Table", definition->name, e));
    if (definition->schema->column_count == 0)
        return fail(e, E_INVALID_OPERATION, "Table must have at least one column");
    if (definition->schema->column_count > COLUMNS_MAX)
        return fail(e, E_INVALID_OPERATION, "Table has too many columns (%u, max %d)",
                    definition->schema->column_count, COLUMNS_MAX);
    FoldedName folded;
    size_t tables = 0;
    must(catalog__fold_table(namespace_name, definition->name, &folded));
    if (table_exists(catalog, &folded, &tables))
        return fail(e, E_ALREADY_EXISTS, "Table %.*s.%.*s already exists",
                    SLICE_ARGS(namespace_name), SLICE_ARGS(definition->name));
    if (tables >= TABLES_MAX)
        return fail(e, E_INVALID_OPERATION, "There are %d tables already, as many as may be",
                    TABLES_MAX);
    return OK;
}

/* I2. Relaxed: the counter orders nothing but itself. */
static uint64_t take_id(atomic_uint_least64_t *next)
{
    return atomic_fetch_add_explicit(next, 1, memory_order_relaxed);
}

static CatalogChange *create_table(Catalog *catalog, const Table *definition, uint32_t id,
                                   Slice namespace_name)
{
    CatalogChange *change = change_new(catalog, CREATE_TABLE, schema_guard());
    change->created = catalog__table_new(definition, id, namespace_name);
    must(catalog__fold_table(namespace_name, definition->name, &change->name));
    Write *write = add_write(change, catalog__key_u32(KEY_TABLE, id));
    catalog__encode_table(record_key_slice(&write->key), &change->created->table, &write->value);
    return change;
}

Code catalog_plan_create_table(Catalog *catalog, const Table *definition, CatalogChange **out,
                               Error *e)
{
    char spelling[NAME_BYTES_MAX];
    Slice namespace_name = namespace_spelling(catalog, definition->namespace_name, spelling);
    TRY(check_table(catalog, definition, namespace_name, e));
    must(definition->kind == TABLE_STREAM || definition->schema->key_index >= 0);
    uint64_t id = take_id(&catalog->next_table_id);
    if (id > UINT32_MAX)
        return fail(e, E_INVALID_OPERATION, "All numbers for tables have been used up");
    *out = create_table(catalog, definition, (uint32_t)id, namespace_name);
    (*out)->counter = "table";
    return OK;
}

/* ---- Restoring a namespace ---- */

Code catalog_plan_reserve_tables(Catalog *catalog, uint32_t count, uint32_t *out_first_id,
                                 CatalogChange **out, Error *e)
{
    /* Relaxed: as take_id. */
    uint64_t first =
        atomic_fetch_add_explicit(&catalog->next_table_id, count, memory_order_relaxed);
    if (first + count > UINT32_MAX)
        return fail(e, E_INVALID_OPERATION, "All numbers for tables have been used up");
    CatalogChange *change = change_new(catalog, RESERVE_TABLES, schema_guard());
    change->counter = "table";
    *out_first_id = (uint32_t)first;
    *out = change;
    return OK;
}

/* Adds the table to the list whose end *io_end is; `names` holds those that are in it. */
static Code plan_restored(Catalog *catalog, const Table *definition, Slice namespace_name,
                          Map *names, CatalogChange **io_end, Error *e)
{
    TRY(check_table(catalog, definition, namespace_name, e));
    CatalogChange *change = create_table(catalog, definition, definition->id, namespace_name);
    (*io_end)->next = change;
    *io_end = change;
    if (map_put(names, folded_slice(&change->name), change))
        return fail(e, E_CORRUPT, "two tables of the backup are named %.*s",
                    SLICE_ARGS(definition->name));
    return OK;
}

Code catalog_check_restore(Catalog *catalog, Slice name, Error *e)
{
    FoldedName folded;
    if (!catalog_has_namespace(catalog, name))
        return OK;
    must(catalog__fold(name, &folded));
    if (count_tables_of(catalog, &folded) > 0)
        return fail(e, E_ALREADY_EXISTS,
                    "Namespace '%.*s' has tables; restore into one that does not exist or is empty",
                    SLICE_ARGS(name));
    return OK;
}

static Code plan_namespace(Catalog *catalog, Slice name, CatalogChange **out, Error *e)
{
    if (!catalog_has_namespace(catalog, name))
        return catalog_plan_create_namespace(catalog, name, clock_wall_us(), out, e);
    TRY(catalog_check_restore(catalog, name, e));
    *out =
        change_new(catalog, RESERVE_TABLES, schema_guard()); /* writes nothing: the list's start */
    return OK;
}

Code catalog_plan_restore_namespace(Catalog *catalog, Slice name, const Table *definitions,
                                    size_t count, CatalogChange **out, Error *e)
{
    char spelling[NAME_BYTES_MAX];
    CatalogChange *first;
    TRY(plan_namespace(catalog, name, &first, e));
    Slice found = namespace_spelling(catalog, name, spelling);
    CatalogChange *end = first;
    Map *names = map_new();
    Code code = OK;
    for (size_t i = 0; i < count && code == OK; i++)
        code = plan_restored(catalog, &definitions[i], found.size ? found : name, names, &end, e);
    map_free(names);
    if (code != OK) {
        catalog_change_free(first);
        return code;
    }
    *out = first;
    return OK;
}

Code catalog_plan_drop_table(Catalog *catalog, Table *table, CatalogChange **out, Error *e)
{
    Table *current = catalog_find_table_by_id(catalog, table->id);
    if (!current)
        return fail(e, E_TABLE_NOT_FOUND, "Table '%.*s' not found in namespace '%.*s'",
                    SLICE_ARGS(table->name), SLICE_ARGS(table->namespace_name));
    *out = drop_table(catalog, current);
    return OK;
}

static void check_alteration(const Table *table, const Table *definition)
{
    must(definition->kind == table->kind);
    must(slice_equal(definition->name, table->name));
    must(slice_equal(definition->namespace_name, table->namespace_name));
    must(definition->schema->version > table->schema->version);
    must(definition->schema->next_field_id >= table->schema->next_field_id);
    must(definition->schema->column_count > 0);
    must(definition->schema->column_count <= COLUMNS_MAX);
    must(definition->kind == TABLE_STREAM || definition->schema->key_index >= 0);
}

/* The definition that is replaced becomes the newest of the past ones; the oldest goes. */
static void keep_past(CatalogChange *change, const Table *table)
{
    uint32_t version = table->schema->version;
    Write *write = add_write(change, catalog__key_past(table->id, version));
    catalog__encode_table(record_key_slice(&write->key), table, &write->value);
    if (version > PAST_DEFINITIONS_MAX)
        add_write(change, catalog__key_past(table->id, version - PAST_DEFINITIONS_MAX))->is_delete =
            true;
}

Code catalog_plan_alter_table(Catalog *catalog, Table *table, const Table *definition,
                              bool needs_quiet, CatalogChange **out, Error *e)
{
    check_alteration(table, definition);
    if (!table_is_current(table))
        return fail(e, E_CONFLICT, "Table '%.*s' was altered or dropped meanwhile",
                    SLICE_ARGS(table->name));
    CatalogChange *change = change_new(catalog, ALTER_TABLE, schema_guard());
    change->altered = table_ref(table);
    change->created = catalog__table_new(definition, table->id, table->namespace_name);
    change->needs_quiet = needs_quiet;
    must(catalog__fold_table(table->namespace_name, table->name, &change->name));
    Write *write = add_write(change, catalog__key_u32(KEY_TABLE, table->id));
    catalog__encode_table(record_key_slice(&write->key), &change->created->table, &write->value);
    keep_past(change, table);
    *out = change;
    return OK;
}

/* ---- Users ---- */

static bool has_control(Slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == 0x7F)
            return true;
    }
    return false;
}

static Code check_user(const User *user, Error *e)
{
    Slice id = user->user_id;
    if (id.size == 0)
        return fail(e, E_INVALID_INPUT, "User id cannot be empty");
    if (id.size > USER_ID_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "User id is too long (%zu bytes, max %d)", id.size,
                    USER_ID_BYTES_MAX);
    if (!slice_is_utf8(id) || has_control(id))
        return fail(e, E_INVALID_INPUT, "User id holds characters that are not text");
    if (memchr(id.data, '/', id.size) || memchr(id.data, '\\', id.size) ||
        memmem(id.data, id.size, "..", 2))
        return fail(e, E_INVALID_INPUT, "User id cannot contain '..', '/' or '\\'");
    if (slice_equal(id, SLICE("."))) /* clients leave it out of the URL of an export */
        return fail(e, E_INVALID_INPUT, "User id cannot be '.'");
    if (user->email.size > EMAIL_BYTES_MAX)
        return fail(e, E_INVALID_INPUT, "Email is too long (%zu bytes, max %d)", user->email.size,
                    EMAIL_BYTES_MAX);
    if (!slice_is_utf8(user->email) || has_control(user->email))
        return fail(e, E_INVALID_INPUT, "Email holds characters that are not text");
    must(user->password_hash.size <= PASSWORD_HASH_BYTES_MAX);
    must(user->auth_type.size <= AUTH_TYPE_BYTES_MAX);
    must(user->role <= ROLE_SYSTEM);
    return OK;
}

Code catalog_plan_put_user(Catalog *catalog, User *io_user, CatalogChange **out, Error *e)
{
    TRY(check_user(io_user, e));
    CatalogChange *change =
        change_new(catalog, PUT_USER, slice_hash(io_user->user_id, GUARD_USER_SEED));
    change->user_state = (UserState){io_user->role, io_user->deleted_at_us == 0,
                                     io_user->credentials_at_us, io_user->registered};
    if (io_user->id == 0) {
        io_user->id = take_id(&catalog->next_user_id);
        change->counter = "user";
        Write *link = add_write(change, catalog__key_u64(KEY_USER_LINK, io_user->id));
        catalog__encode_user_link(record_key_slice(&link->key), io_user->user_id, &link->value);
    }
    change->user_number = io_user->id;
    must(io_user->id < atomic_load_explicit(&catalog->next_user_id, memory_order_relaxed));
    Write *write = add_write(change, catalog__key(KEY_USER, io_user->user_id));
    catalog__encode_user(record_key_slice(&write->key), io_user, &write->value);
    *out = change;
    return OK;
}

/* ---- What the committer does with a change ---- */

uint64_t catalog_change_guard(const CatalogChange *change)
{
    return change->guard;
}

const CatalogChange *catalog_change_next(const CatalogChange *change)
{
    return change->next;
}

Table *catalog_change_dropped_table(const CatalogChange *change)
{
    return change->dropped;
}

const Table *catalog_change_altered_table(const CatalogChange *change)
{
    return change->type == ALTER_TABLE ? &change->created->table : NULL;
}

uint32_t catalog_change_quiet_table(const CatalogChange *change)
{
    return change->needs_quiet ? change->altered->id : 0;
}

int64_t catalog_change_not_before_us(const CatalogChange *change)
{
    int64_t latest_us = 0;
    for (const CatalogChange *c = change; c; c = c->next) {
        bool is_new = c->type == CREATE_TABLE;
        if (!is_new && c->type != ALTER_TABLE)
            continue;
        const Table *table = &c->created->table;
        int64_t since_us = is_new ? table->created_at_us : table->opened_at_us;
        if (since_us > latest_us)
            latest_us = since_us;
    }
    return latest_us;
}

Slice catalog_change_user(const CatalogChange *change)
{
    if (change->type != PUT_USER)
        return (Slice){0};
    /* The key of the last write is the prefix and the user id. */
    Slice key = record_key_slice(&change->writes[change->write_count - 1].key);
    return slice_of(key.data + 1, key.size - 1);
}

UserState catalog_change_user_state(const CatalogChange *change)
{
    must(change->type == PUT_USER);
    return change->user_state;
}

uint64_t catalog_change_user_number(const CatalogChange *change)
{
    must(change->type == PUT_USER);
    return change->user_number;
}

static void write_counter(const CatalogChange *change, HotStore *store, HotBatch *batch)
{
    bool is_table = change->type == CREATE_TABLE || change->type == RESERVE_TABLES;
    atomic_uint_least64_t *next =
        is_table ? &change->catalog->next_table_id : &change->catalog->next_user_id;
    RecordKey key = catalog__key(KEY_COUNTER, slice_of_text(change->counter));
    CLEANUP(buffer_done) Buffer value = {0};
    catalog__encode_counter(record_key_slice(&key),
                            atomic_load_explicit(next, memory_order_relaxed), &value);
    hot_batch_put(batch, store, HOT_SYSTEM, record_key_slice(&key), buffer_slice(&value));
}

/* A dropped table takes its past definitions with it. */
static void forget_past(const Table *table, HotStore *store, HotBatch *batch)
{
    uint32_t version = table->schema->version, count = past_count(table);
    for (uint32_t i = 1; i <= count; i++) {
        RecordKey key = catalog__key_past(table->id, version - i);
        hot_batch_delete(batch, store, HOT_SYSTEM, record_key_slice(&key));
    }
}

static void write_one(const CatalogChange *change, HotStore *store, HotBatch *batch)
{
    for (size_t i = 0; i < change->write_count; i++) {
        const Write *write = &change->writes[i];
        Slice key = record_key_slice(&write->key);
        if (write->is_delete)
            hot_batch_delete(batch, store, HOT_SYSTEM, key);
        else
            hot_batch_put(batch, store, HOT_SYSTEM, key, buffer_slice(&write->value));
    }
    if (change->dropped)
        forget_past(change->dropped, store, batch);
    if (change->counter)
        write_counter(change, store, batch);
}

void catalog_change_write(const CatalogChange *change, HotStore *store, HotBatch *batch)
{
    for (; change; change = change->next)
        write_one(change, store, batch);
}

static void apply_create_table(Catalog *catalog, CatalogChange *change)
{
    TableObject *object = TAKE(change->created);
    uint32_t id = object->table.id;
    atomic_store_explicit(&object->current, true, memory_order_relaxed); /* the lock publishes it */
    must(!map_put(catalog->tables, folded_slice(&change->name), object)); /* I3 */
    must(!map_put(catalog->tables_by_id, slice_of(&id, sizeof id), object));
}

static void apply_drop_table(Catalog *catalog, CatalogChange *change)
{
    uint32_t id = change->dropped->id;
    TableObject *object = (TableObject *)map_remove(catalog->tables, folded_slice(&change->name));
    must(object == (TableObject *)change->dropped); /* I3 */
    must(map_remove(catalog->tables_by_id, slice_of(&id, sizeof id)) == object);
    /* Release: whoever sees it gone sees the maps without it (table_is_current acquires). */
    atomic_store_explicit(&object->current, false, memory_order_release);
    table_unref(&object->table); /* the maps' reference; the change still holds one */
}

static void apply_alter_table(Catalog *catalog, CatalogChange *change)
{
    TableObject *object = change->created;
    table_ref(&object->table); /* the maps'; the change keeps its own */
    TableObject *old = (TableObject *)change->altered;
    uint32_t id = object->table.id;
    atomic_store_explicit(&object->current, true, memory_order_relaxed); /* the lock publishes it */
    must(map_put(catalog->tables, folded_slice(&change->name), object) == old); /* I3 */
    must(map_put(catalog->tables_by_id, slice_of(&id, sizeof id), object) == old);
    /* Release: as in apply_drop_table. */
    atomic_store_explicit(&old->current, false, memory_order_release);
    table_unref(&old->table); /* the maps' reference; the change still holds one */
}

static void apply_one(Catalog *catalog, CatalogChange *change)
{
    if (change->type == CREATE_NAMESPACE) {
        NamespaceObject *object = TAKE(change->namespace_object);
        must(!map_put(catalog->namespaces, folded_slice(&change->name), object)); /* I3 */
    } else if (change->type == DROP_NAMESPACE) {
        void *object = map_remove(catalog->namespaces, folded_slice(&change->name));
        must(object); /* I3 */
        free(object);
    } else if (change->type == CREATE_TABLE) {
        apply_create_table(catalog, change);
    } else if (change->type == ALTER_TABLE) {
        apply_alter_table(catalog, change);
    } else if (change->type == DROP_TABLE) {
        apply_drop_table(catalog, change);
    }
}

void catalog_change_apply(Catalog *catalog, CatalogChange *change)
{
    must(change->catalog == catalog);
    if (change->type == PUT_USER)
        return; /* users live in the store only */
    MUTEX_SCOPE(&catalog->lock);
    for (CatalogChange *c = change; c; c = c->next)
        apply_one(catalog, c);
    /* Release: pairs with catalog_version. */
    atomic_fetch_add_explicit(&catalog->version, 1, memory_order_release);
}
