/* SPDX-License-Identifier: Apache-2.0
 *
 * The catalog over a real hot store: what a plan refuses, what comes back after a reopen, what
 * readers see while changes are applied.
 */
#include "catalog/catalog_int.h"

#include <stdio.h>

#include "test.h"

static HotStore *store;
static Catalog *catalog;

static void open_all(void)
{
    HotOptions options = {
        .block_cache_bytes = 1 << 20, .write_buffer_bytes = 4 << 20, .background_jobs = 2};
    CHECK_OK(hot_open(test_folder(), &options, &store, e));
    CHECK_OK(catalog_open(store, &catalog, e));
}

static void close_all(void)
{
    catalog_close(catalog);
    hot_close(store);
    catalog = NULL;
    store = NULL;
}

static void reopen(void)
{
    close_all();
    open_all();
}

/* What the committer does. Frees the change. */
static void commit(CatalogChange *change)
{
    HotBatch *batch = hot_batch_new();
    catalog_change_write(change, store, batch);
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    catalog_change_apply(catalog, change);
    catalog_change_free(change);
}

static void put_raw(Slice key, Slice value)
{
    HotBatch *batch = hot_batch_new();
    hot_batch_put(batch, store, HOT_SYSTEM, key, value);
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
}

static void create_namespace(Slice name)
{
    CatalogChange *change;
    CHECK_OK(catalog_plan_create_namespace(catalog, name, 1000, &change, e));
    commit(change);
}

static Column two_columns[] = {
    {.field_id = 1,
     .name = {"id", 2},
     .type = TYPE_BIGINT,
     .not_null = true,
     .primary_key = true,
     .default_kind = DEFAULT_SNOWFLAKE_ID},
    {.field_id = 3,
     .name = {"Body", 4},
     .type = TYPE_TEXT,
     .default_kind = DEFAULT_LITERAL,
     .default_value = {.type = TYPE_TEXT, .bytes = {"hello", 5}}},
};
static const Schema two_column_schema = {
    .version = 1, .column_count = 2, .key_index = 0, .next_field_id = 4, .columns = two_columns};

static Table definition(Slice namespace_name, Slice name)
{
    return (Table){.namespace_name = namespace_name,
                   .name = name,
                   .kind = TABLE_USER,
                   .access = ACCESS_RESTRICTED,
                   .durable = true,
                   .flush_rows = 1000,
                   .flush_interval_s = 60,
                   .created_at_us = 5,
                   .updated_at_us = 6,
                   .schema = &two_column_schema};
}

static void create_table(Slice namespace_name, Slice name)
{
    Table table = definition(namespace_name, name);
    CatalogChange *change;
    CHECK_OK(catalog_plan_create_table(catalog, &table, &change, e));
    commit(change);
}

static void drop_table(Slice namespace_name, Slice name)
{
    Table *table = catalog_find_table(catalog, namespace_name, name);
    CHECK(table);
    CatalogChange *change;
    CHECK_OK(catalog_plan_drop_table(catalog, table, &change, e));
    CHECK(catalog_change_dropped_table(change) == table);
    commit(change);
    CHECK(!table_is_current(table));
    table_unref(table);
}

static uint32_t table_id(Slice namespace_name, Slice name)
{
    Table *table = catalog_find_table(catalog, namespace_name, name);
    CHECK(table);
    uint32_t id = table->id;
    table_unref(table);
    return id;
}

static size_t count_past(uint32_t id, Arena *arena, Table **out)
{
    size_t count = 0;
    HotSnapshot *snapshot = hot_snapshot_new(store);
    CHECK_OK(catalog_read_past(snapshot, id, arena, out, &count, e));
    hot_snapshot_free(snapshot);
    return count;
}

static void alter_table(Slice namespace_name, Slice name, uint32_t version)
{
    Table *table = catalog_find_table(catalog, namespace_name, name);
    Table changed = *table;
    Schema schema = *table->schema;
    schema.version = version;
    changed.schema = &schema;
    CatalogChange *change;
    CHECK_OK(catalog_plan_alter_table(catalog, table, &changed, false, &change, e));
    commit(change);
    table_unref(table);
}

static void fail_test(void *context, const char *text)
{
    (void)context;
    CHECK_TEXT(text, "");
}

TEST("an ALTER loses the definition before, keeps more than the limit, or DROP leaves some behind")
{
    open_all();
    Arena *arena = arena_new();
    Table *past;
    uint64_t users;
    create_table(SLICE("default"), SLICE("a"));
    create_table(SLICE("default"), SLICE("b"));
    uint32_t a = table_id(SLICE("default"), SLICE("a"));
    CHECK_INT(count_past(a, arena, &past), 0);
    alter_table(SLICE("default"), SLICE("b"), 2);
    for (uint32_t version = 2; version <= PAST_DEFINITIONS_MAX + 5; version++)
        alter_table(SLICE("default"), SLICE("a"), version);
    reopen();
    CHECK_INT(count_past(a, arena, &past), PAST_DEFINITIONS_MAX);
    for (uint32_t i = 0; i < PAST_DEFINITIONS_MAX; i++)
        CHECK_INT(past[i].schema->version, 5 + i);
    CHECK_SLICE(past[0].schema->columns[1].name, SLICE("Body"));
    HotSnapshot *snapshot = hot_snapshot_new(store);
    CHECK_OK(catalog_verify(snapshot, fail_test, NULL, &users, e));
    hot_snapshot_free(snapshot);
    drop_table(SLICE("default"), SLICE("a"));
    reopen();
    CHECK_INT(count_past(a, arena, &past), 0);
    CHECK_INT(count_past(table_id(SLICE("default"), SLICE("b")), arena, &past), 1);
    arena_free(arena);
    close_all();
}

TEST("a namespace that goes without one of its tables, or takes a table or namespace that is not "
     "its "
     "own")
{
    open_all();
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CatalogChange *change;
    Table **tables, *past;
    size_t count;
    create_namespace(SLICE("Chat"));
    create_namespace(SLICE("chats"));
    create_table(SLICE("chat"), SLICE("a"));
    create_table(SLICE("CHAT"), SLICE("b"));
    create_table(SLICE("chats"), SLICE("a"));
    create_table(SLICE("default"), SLICE("a"));
    Table *held = catalog_find_table(catalog, SLICE("chat"), SLICE("b"));
    alter_table(SLICE("chat"), SLICE("a"), 2);
    uint32_t altered = table_id(SLICE("chat"), SLICE("a"));
    CHECK_OK(catalog_plan_drop_namespace(catalog, SLICE("chat"), true, &change, e));
    CHECK(table_is_current(held));
    count = 0;
    for (const CatalogChange *c = change; c; c = catalog_change_next(c))
        count += catalog_change_dropped_table(c) != NULL;
    CHECK_INT(count, 2);
    commit(change);
    CHECK(!table_is_current(held));
    table_unref(held);
    for (int i = 0; i < 2; i++) {
        CHECK(!catalog_has_namespace(catalog, SLICE("chat")));
        CHECK(catalog_has_namespace(catalog, SLICE("chats")));
        catalog_list_tables(catalog, arena, &tables, &count);
        CHECK_INT(count, 2);
        CHECK_SLICE(tables[0]->namespace_name, SLICE("chats"));
        CHECK_SLICE(tables[1]->namespace_name, SLICE("default"));
        table_unref(tables[0]);
        table_unref(tables[1]);
        reopen();
    }
    CHECK_INT(count_past(altered, arena, &past), 0);
    close_all();
}

TEST("a drop of a namespace that removes more past definitions at once than the limit")
{
    open_all();
    CatalogChange *change;
    char name[NAME_BYTES_MAX];
    Schema schema = two_column_schema;
    schema.version = PAST_DEFINITIONS_MAX + 1;
    create_namespace(SLICE("chat"));
    for (int i = 0; i <= PAST_DEFINITIONS_DROPPED_MAX / PAST_DEFINITIONS_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        Table table = definition(SLICE("chat"), slice_of_text(name));
        table.schema = &schema;
        CHECK_OK(catalog_plan_create_table(catalog, &table, &change, e));
        commit(change);
    }
    CHECK_CODE(catalog_plan_drop_namespace(catalog, SLICE("chat"), true, &change, e), E_TOO_LARGE);
    drop_table(SLICE("chat"), SLICE("t7"));
    CHECK_OK(catalog_plan_drop_namespace(catalog, SLICE("chat"), true, &change, e));
    commit(change);
    CHECK(!catalog_has_namespace(catalog, SLICE("chat")));
    close_all();
}

TEST("the built-in namespaces exist in an empty store and cannot be made or dropped")
{
    static const char *const names[] = {"default", "system", "dba", "DBA"};
    open_all();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CatalogChange *change;
        Slice name = slice_of_text(names[i]);
        CHECK(catalog_has_namespace(catalog, name));
        CHECK_CODE(catalog_plan_create_namespace(catalog, name, 1, &change, e), E_ALREADY_EXISTS);
        CHECK_CODE(catalog_plan_drop_namespace(catalog, name, false, &change, e),
                   E_INVALID_OPERATION);
    }
    close_all();
}

TEST("a table comes back from the store with every field of its definition")
{
    open_all();
    create_namespace(SLICE("Chat"));
    create_table(SLICE("chat"), SLICE("Messages"));
    uint32_t id = table_id(SLICE("chat"), SLICE("messages"));
    reopen();
    Table *t = catalog_find_table(catalog, SLICE("CHAT"), SLICE("MESSAGES"));
    CHECK(t);
    CHECK(table_is_current(t));
    CHECK_INT(t->id, id);
    CHECK_SLICE(t->namespace_name, SLICE("Chat"));
    CHECK_SLICE(t->name, SLICE("Messages"));
    CHECK_INT(t->kind, TABLE_USER);
    CHECK_INT(t->access, ACCESS_RESTRICTED);
    CHECK(t->durable);
    CHECK_INT(t->flush_rows, 1000);
    CHECK_INT(t->flush_interval_s, 60);
    CHECK_INT(t->ttl_s, 0);
    CHECK_INT(t->created_at_us, 5);
    CHECK_INT(t->updated_at_us, 6);
    CHECK_INT(t->schema->column_count, 2);
    CHECK_INT(t->schema->next_field_id, 4);
    CHECK_INT(t->schema->columns[0].default_kind, DEFAULT_SNOWFLAKE_ID);
    CHECK(t->schema->columns[0].primary_key);
    CHECK_SLICE(t->schema->columns[1].name, SLICE("Body"));
    CHECK_SLICE(t->schema->columns[1].default_value.bytes, SLICE("hello"));
    Table *same = catalog_find_table_by_id(catalog, id);
    CHECK(same == t);
    table_unref(same);
    table_unref(t);
    close_all();
}

static size_t check_since(TableKind kind, int64_t opened_at_us, int64_t expired_before_us)
{
    CLEANUP(buffer_done) Buffer bytes = {0};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Table table = definition(SLICE("n"), SLICE("t")), back;
    table.kind = kind;
    table.opened_at_us = opened_at_us;
    table.expired_before_us = expired_before_us;
    catalog_encode_definition(&table, &bytes);
    CHECK_OK(catalog_decode_definition(buffer_slice(&bytes), arena, &back, e));
    CHECK_INT(back.opened_at_us, opened_at_us);
    CHECK_INT(back.expired_before_us, expired_before_us);
    return bytes.size;
}

TEST("since when a table is open, or what had expired, is forgotten or taken for the other; a "
     "record "
     "without either is none from before they were")
{
    CHECK_INT(check_since(TABLE_SHARED, 7000, 0), check_since(TABLE_SHARED, 0, 0) + 8);
    CHECK_INT(check_since(TABLE_STREAM, 0, 9000), check_since(TABLE_STREAM, 0, 0) + 8);
}

TEST("a table's texts do not point into the definition it was made from")
{
    open_all();
    char name[] = "events", column_name[] = "key", literal[] = "dflt";
    Column column = {.field_id = 1,
                     .name = slice_of_text(column_name),
                     .type = TYPE_TEXT,
                     .not_null = true,
                     .primary_key = true,
                     .default_kind = DEFAULT_LITERAL,
                     .default_value = value_text(slice_of_text(literal))};
    Schema schema = {.version = 1, .column_count = 1, .next_field_id = 2, .columns = &column};
    Table table = definition(SLICE("default"), slice_of_text(name));
    table.schema = &schema;
    CatalogChange *change;
    CHECK_OK(catalog_plan_create_table(catalog, &table, &change, e));
    memset(name, 'x', sizeof name - 1);
    memset(column_name, 'x', sizeof column_name - 1);
    memset(literal, 'x', sizeof literal - 1);
    commit(change);
    Table *t = catalog_find_table(catalog, SLICE("default"), SLICE("events"));
    CHECK(t);
    CHECK_SLICE(t->schema->columns[0].name, SLICE("key"));
    CHECK_SLICE(t->schema->columns[0].default_value.bytes, SLICE("dflt"));
    table_unref(t);
    close_all();
}

/* The table's definition with one more column, whose texts are the caller's. */
static Table with_column(const Table *table, Schema *schema, Column columns[3], Slice name)
{
    Table changed = *table;
    *schema = *table->schema;
    for (uint32_t i = 0; i < schema->column_count; i++)
        columns[i] = schema->columns[i];
    columns[schema->column_count++] = (Column){.field_id = schema->next_field_id++,
                                               .name = name,
                                               .type = TYPE_TEXT,
                                               .has_fill = true,
                                               .fill = value_text(name)};
    schema->columns = columns;
    schema->version++;
    changed.schema = schema;
    changed.updated_at_us = 99;
    return changed;
}

TEST("an altered table is found in its old form, keeps texts of the plan, or is another table "
     "after a reopen")
{
    open_all();
    create_namespace(SLICE("chat"));
    create_table(SLICE("chat"), SLICE("Messages"));
    uint64_t version = catalog_version(catalog);
    Table *old = catalog_find_table(catalog, SLICE("chat"), SLICE("messages"));
    CHECK(old);
    char name[] = "note";
    Schema schema;
    Column columns[3];
    Table changed = with_column(old, &schema, columns, slice_of_text(name));
    CatalogChange *change;
    CHECK_OK(catalog_plan_alter_table(catalog, old, &changed, true, &change, e));
    CHECK(catalog_change_dropped_table(change) == NULL);
    CHECK_INT(catalog_change_quiet_table(change), old->id);
    CHECK(table_is_current(old));
    memset(name, 'x', sizeof name - 1);
    commit(change);
    CHECK(!table_is_current(old));
    CHECK(catalog_version(catalog) > version);
    for (int i = 0; i < 2; i++) {
        Table *now = catalog_find_table(catalog, SLICE("chat"), SLICE("messages"));
        Table *same = catalog_find_table_by_id(catalog, old->id);
        CHECK(now && now == same && now != old);
        CHECK(table_is_current(now));
        CHECK_INT(now->schema->version, 2);
        CHECK_INT(now->schema->column_count, 3);
        CHECK_SLICE(now->schema->columns[2].name, SLICE("note"));
        CHECK(now->schema->columns[2].has_fill);
        CHECK_SLICE(now->schema->columns[2].fill.bytes, SLICE("note"));
        CHECK_INT(now->updated_at_us, 99);
        table_unref(now);
        table_unref(same);
        if (i == 0)
            reopen();
    }
    CHECK_INT(old->schema->column_count, 2); /* who still holds it reads it */
    table_unref(old);
    close_all();
}

TEST(
    "a plan to alter an outdated definition passes, or a table altered meanwhile cannot be dropped")
{
    open_all();
    create_table(SLICE("default"), SLICE("t"));
    Table *old = catalog_find_table(catalog, SLICE("default"), SLICE("t"));
    CHECK(old);
    Schema schema;
    Column columns[3];
    Table changed = with_column(old, &schema, columns, SLICE("note"));
    CatalogChange *change, *unused;
    CHECK_OK(catalog_plan_alter_table(catalog, old, &changed, false, &change, e));
    CHECK_INT(catalog_change_quiet_table(change), 0);
    CHECK(catalog_change_guard(change) != 0);
    commit(change);
    CHECK_CODE(catalog_plan_alter_table(catalog, old, &changed, false, &unused, e), E_CONFLICT);
    CHECK_OK(catalog_plan_drop_table(catalog, old, &change, e));
    CHECK_INT(catalog_change_dropped_table(change)->schema->version, 2);
    commit(change);
    CHECK(catalog_find_table(catalog, SLICE("default"), SLICE("t")) == NULL);
    CHECK_CODE(catalog_plan_drop_table(catalog, old, &unused, e), E_TABLE_NOT_FOUND);
    table_unref(old);
    close_all();
}

TEST("a number is not used again after DROP and a reopen, nor when a plan came to nothing")
{
    open_all();
    create_table(SLICE("default"), SLICE("a"));
    uint32_t first = table_id(SLICE("default"), SLICE("a"));
    drop_table(SLICE("default"), SLICE("a"));
    reopen();
    CHECK(!catalog_find_table(catalog, SLICE("default"), SLICE("a")));
    create_table(SLICE("default"), SLICE("a"));
    CHECK(table_id(SLICE("default"), SLICE("a")) > first);

    /* Two plans at once, committed in the reverse order, one of them dropped again. */
    Table b = definition(SLICE("default"), SLICE("b")),
          c = definition(SLICE("default"), SLICE("c"));
    CatalogChange *plan_b, *plan_c;
    CHECK_OK(catalog_plan_create_table(catalog, &b, &plan_b, e));
    CHECK_OK(catalog_plan_create_table(catalog, &c, &plan_c, e));
    commit(plan_c);
    commit(plan_b);
    uint32_t highest = table_id(SLICE("default"), SLICE("c"));
    CHECK(highest > table_id(SLICE("default"), SLICE("b")));
    drop_table(SLICE("default"), SLICE("c"));
    reopen();
    create_table(SLICE("default"), SLICE("d"));
    CHECK(table_id(SLICE("default"), SLICE("d")) > highest);
    close_all();
}

TEST("plans refuse what does not exist, exists already or is not empty, with the clients' texts")
{
    open_all();
    create_namespace(SLICE("chat"));
    create_table(SLICE("chat"), SLICE("messages"));
    CatalogChange *change;
    Error error = {0};
    CHECK_INT(catalog_plan_create_namespace(catalog, SLICE("CHAT"), 1, &change, &error),
              E_ALREADY_EXISTS);
    CHECK_TEXT(error.text, "Namespace 'CHAT' already exists");
    CHECK_INT(catalog_plan_drop_namespace(catalog, SLICE("nope"), false, &change, &error),
              E_NAMESPACE_NOT_FOUND);
    CHECK_TEXT(error.text, "Namespace 'nope' not found");
    CHECK_INT(catalog_plan_drop_namespace(catalog, SLICE("chat"), false, &change, &error),
              E_INVALID_OPERATION);
    CHECK_TEXT(
        error.text,
        "Namespace 'chat' is not empty: it has 1 table. DROP NAMESPACE chat CASCADE drops them "
        "too");
    Table t = definition(SLICE("chat"), SLICE("MESSAGES"));
    CHECK_INT(catalog_plan_create_table(catalog, &t, &change, &error), E_ALREADY_EXISTS);
    CHECK_TEXT(error.text, "Table chat.MESSAGES already exists");
    t = definition(SLICE("nope"), SLICE("t"));
    CHECK_INT(catalog_plan_create_table(catalog, &t, &change, &error), E_NAMESPACE_NOT_FOUND);
    CHECK_TEXT(error.text,
               "Namespace 'nope' does not exist. Create it first with CREATE NAMESPACE nope");
    t = definition(SLICE("system"), SLICE("t"));
    CHECK_INT(catalog_plan_create_table(catalog, &t, &change, &error), E_INVALID_OPERATION);
    CHECK_TEXT(error.text,
               "Cannot create system table 'system.t'. System tables are managed internally.");

    Table *held = catalog_find_table(catalog, SLICE("chat"), SLICE("messages"));
    drop_table(SLICE("chat"), SLICE("messages"));
    CHECK_INT(catalog_plan_drop_table(catalog, held, &change, &error), E_TABLE_NOT_FOUND);
    CHECK_TEXT(error.text, "Table 'messages' not found in namespace 'chat'");
    table_unref(held);

    CHECK_OK(catalog_plan_drop_namespace(catalog, SLICE("Chat"), false, &change, e));
    commit(change);
    CHECK(!catalog_has_namespace(catalog, SLICE("chat")));
    reopen();
    CHECK(!catalog_has_namespace(catalog, SLICE("chat")));
    close_all();
}

TEST("limits hold: names too long, tables without or with too many columns")
{
    open_all();
    char name[NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof name);
    Slice longest = slice_of(name, NAME_BYTES_MAX), too_long = slice_of(name, sizeof name);
    CatalogChange *change;
    CHECK_CODE(catalog_plan_create_namespace(catalog, too_long, 1, &change, e),
               E_INVALID_OPERATION);
    CHECK_CODE(catalog_plan_create_namespace(catalog, SLICE(""), 1, &change, e),
               E_INVALID_OPERATION);
    create_namespace(longest);
    create_table(longest, longest);
    Table t = definition(longest, too_long);
    CHECK_CODE(catalog_plan_create_table(catalog, &t, &change, e), E_INVALID_OPERATION);
    CHECK(!catalog_find_table(catalog, longest, too_long));
    CHECK(!catalog_find_table(catalog, too_long, longest));
    Schema schema = two_column_schema;
    t = definition(longest, SLICE("t"));
    t.schema = &schema;
    schema.column_count = 0;
    CHECK_CODE(catalog_plan_create_table(catalog, &t, &change, e), E_INVALID_OPERATION);
    schema.column_count = COLUMNS_MAX + 1;
    CHECK_CODE(catalog_plan_create_table(catalog, &t, &change, e), E_INVALID_OPERATION);
    reopen();
    CHECK(catalog_has_namespace(catalog, longest));
    (void)table_id(longest, longest);
    close_all();
}

TEST("the number of namespaces is limited")
{
    open_all();
    CatalogChange *change;
    for (int i = 3; i < NAMESPACES_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        CHECK_OK(catalog_plan_create_namespace(catalog, slice_of_text(name), 1, &change, e));
        catalog_change_apply(catalog, change);
        catalog_change_free(change);
    }
    CHECK_CODE(catalog_plan_create_namespace(catalog, SLICE("more"), 1, &change, e),
               E_INVALID_OPERATION);
    close_all();
}

TEST("changes of namespaces and tables share one guard, each user has another")
{
    open_all();
    CatalogChange *a, *b, *alice, *alice_again, *bob;
    Table t = definition(SLICE("default"), SLICE("t"));
    User user = {.user_id = SLICE("alice"), .role = ROLE_USER}, other = user, third = user;
    third.user_id = SLICE("bob");
    CHECK_OK(catalog_plan_create_namespace(catalog, SLICE("x"), 1, &a, e));
    CHECK_OK(catalog_plan_create_table(catalog, &t, &b, e));
    CHECK_OK(catalog_plan_put_user(catalog, &user, &alice, e));
    CHECK_OK(catalog_plan_put_user(catalog, &other, &alice_again, e));
    CHECK_OK(catalog_plan_put_user(catalog, &third, &bob, e));
    CHECK(catalog_change_guard(a) == catalog_change_guard(b));
    CHECK(catalog_change_guard(alice) == catalog_change_guard(alice_again));
    CHECK(catalog_change_guard(alice) != catalog_change_guard(bob));
    CHECK(catalog_change_guard(alice) != catalog_change_guard(a));
    catalog_change_free(a);
    catalog_change_free(b);
    catalog_change_free(alice);
    catalog_change_free(alice_again);
    catalog_change_free(bob);
    CHECK(!catalog_find_table(catalog, SLICE("default"), SLICE("t")));
    close_all();
}

TEST("lists are sorted by name without regard to case, and hold references")
{
    open_all();
    create_namespace(SLICE("Zoo"));
    create_namespace(SLICE("apple"));
    create_table(SLICE("zoo"), SLICE("b"));
    create_table(SLICE("zoo"), SLICE("A"));
    create_table(SLICE("apple"), SLICE("z"));
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Namespace *namespaces;
    Table **tables;
    size_t count;
    catalog_list_namespaces(catalog, arena, &namespaces, &count);
    CHECK_INT(count, 5);
    CHECK_SLICE(namespaces[0].name, SLICE("apple"));
    CHECK_SLICE(namespaces[4].name, SLICE("Zoo"));
    catalog_list_tables(catalog, arena, &tables, &count);
    CHECK_INT(count, 3);
    CHECK_SLICE(tables[0]->name, SLICE("z"));
    CHECK_SLICE(tables[1]->name, SLICE("A"));
    CHECK_SLICE(tables[2]->name, SLICE("b"));
    close_all();
    CHECK_SLICE(tables[2]->namespace_name, SLICE("Zoo"));
    for (size_t i = 0; i < count; i++)
        table_unref(tables[i]);
}

TEST("the version grows with tables and namespaces, not with logins")
{
    open_all();
    uint64_t before = catalog_version(catalog);
    create_table(SLICE("default"), SLICE("t"));
    uint64_t after = catalog_version(catalog);
    CHECK(after > before);
    User user = {.user_id = SLICE("alice"), .role = ROLE_USER};
    CatalogChange *change;
    CHECK_OK(catalog_plan_put_user(catalog, &user, &change, e));
    commit(change);
    CHECK_INT(catalog_version(catalog), after);
    close_all();
}

/* ---- Damage ---- */

/* Opens, with `value` under `key` and the table chat.messages beside it; then takes the record out
 * again. */
static void check_refused(Slice key, Slice value, Code want, const char *want_text)
{
    open_all();
    if (!catalog_has_namespace(catalog, SLICE("chat"))) {
        create_namespace(SLICE("chat"));
        create_table(SLICE("chat"), SLICE("messages"));
    }
    put_raw(key, value);
    catalog_close(catalog);
    Error error = {0};
    Code code = catalog_open(store, &catalog, &error);
    HotBatch *batch = hot_batch_new();
    hot_batch_delete(batch, store, HOT_SYSTEM, key);
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    hot_close(store);
    CHECK_INT(code, want);
    CHECK_TEXT(error.text, want_text);
}

TEST("a damaged namespace record is named when the catalog is opened")
{
    check_refused(SLICE("nchat"), SLICE("\1\4chatxxxxxxxxxxxx"), E_CORRUPT,
                  "namespace record, system key 'nchat': the checksum is wrong");
}

TEST("a damaged table record is named when the catalog is opened")
{
    check_refused(SLICE("t\0\0\0\1"), SLICE("\1garbage"), E_CORRUPT,
                  "table record, system key 't\\x00\\x00\\x00\\x01': the checksum is wrong");
}

TEST("a truncated counter is named when the catalog is opened")
{
    check_refused(SLICE("ctable"), SLICE("\1"), E_CORRUPT,
                  "counter record, system key 'ctable': it is too short");
}

TEST("a sound record copied under another key is found out")
{
    CLEANUP(buffer_done) Buffer value = {0};
    Namespace n = {.name = SLICE("chat")};
    catalog__encode_namespace(SLICE("nchat"), &n, &value);
    check_refused(SLICE("nother"), buffer_slice(&value), E_CORRUPT,
                  "namespace record, system key 'nother': the checksum is wrong");
    buffer_clear(&value);
    catalog__encode_namespace(SLICE("nother"), &n, &value);
    check_refused(SLICE("nother"), buffer_slice(&value), E_CORRUPT,
                  "namespace record, system key 'nother': it belongs under another key");
}

TEST("a table whose namespace is gone, or a second one of its name, is refused")
{
    CLEANUP(buffer_done) Buffer value = {0};
    Slice key = SLICE("t\0\0\0\7");
    Table t = definition(SLICE("gone"), SLICE("t"));
    catalog__encode_table(key, &t, &value);
    check_refused(key, buffer_slice(&value), E_CORRUPT,
                  "table record, system key 't\\x00\\x00\\x00\\x07': its namespace does not exist");
    buffer_clear(&value);
    t = definition(SLICE("chat"), SLICE("Messages"));
    catalog__encode_table(key, &t, &value);
    check_refused(key, buffer_slice(&value), E_CORRUPT,
                  "table record, system key 't\\x00\\x00\\x00\\x07': there are two of this name");
}

TEST("a lost counter does not lead to a number in use")
{
    open_all();
    create_table(SLICE("default"), SLICE("a"));
    uint32_t first = table_id(SLICE("default"), SLICE("a"));
    HotBatch *batch = hot_batch_new();
    hot_batch_delete(batch, store, HOT_SYSTEM, SLICE("ctable"));
    CHECK_OK(hot_write(store, batch, false, e));
    hot_batch_free(batch);
    reopen();
    create_table(SLICE("default"), SLICE("b"));
    CHECK(table_id(SLICE("default"), SLICE("b")) > first);
    close_all();
}

/* ---- Threads ---- */

static atomic_bool stop_finding;
static atomic_ulong found, missed;

static void find_for_ever(void *argument)
{
    Catalog *c = argument;
    while (!atomic_load(&stop_finding)) {
        uint64_t version = catalog_version(c);
        Table *t = catalog_find_table(c, SLICE("Default"), SLICE("T"));
        if (!t) {
            atomic_fetch_add(&missed, 1);
            continue;
        }
        /* Reads all that a statement reads, so that a sanitizer sees a table freed too early. */
        CHECK(t->schema->column_count == 2);
        CHECK(slice_equal(t->schema->columns[1].default_value.bytes, SLICE("hello")));
        if (!table_is_current(t))
            CHECK(catalog_version(c) >= version);
        Table *by_id = catalog_find_table_by_id(c, t->id);
        CHECK(!by_id || by_id == t);
        table_unref(by_id);
        table_unref(t);
        atomic_fetch_add(&found, 1);
    }
}

TEST("readers that find tables while they are dropped and made again never see a freed one")
{
    open_all();
    atomic_store(&stop_finding, false);
    Thread *threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_OK(thread_start("find", THREAD_ANY, find_for_ever, catalog, &threads[i], e));
    for (int i = 0; i < 300; i++) {
        create_table(SLICE("default"), SLICE("t"));
        drop_table(SLICE("default"), SLICE("t"));
    }
    create_table(SLICE("default"), SLICE("t"));
    while (atomic_load(&found) == 0)
        ;
    atomic_store(&stop_finding, true);
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    close_all();
}

static void plan_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < 200; i++) {
        Table t = definition(SLICE("default"), SLICE("t"));
        CatalogChange *change;
        Error error;
        CHECK(catalog_plan_create_table(catalog, &t, &change, &error) == OK);
        HotBatch *batch = hot_batch_new();
        catalog_change_write(change, store, batch); /* reads the counter that others move */
        hot_batch_free(batch);
        catalog_change_free(change);
    }
}

TEST("plans made at once on several threads take different numbers")
{
    open_all();
    Thread *threads[3];
    for (int i = 0; i < 3; i++)
        CHECK_OK(thread_start("plan", THREAD_ANY, plan_many, NULL, &threads[i], e));
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    create_table(SLICE("default"), SLICE("t"));
    CHECK_INT(table_id(SLICE("default"), SLICE("t")), 601);
    close_all();
}
